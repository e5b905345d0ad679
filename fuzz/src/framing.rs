//! Headers, the packets of a stream, and extensions.

use bytes::{Bytes, BytesMut};
use duohuo_tests::crc::crc32;
use duohuo_wire::{
    error::DecodeError,
    header::{CRC_BYTES, Header, MAX_DATAGRAM, MAX_FRAME, MAX_HANDSHAKE_FRAME, MIN_BYTES},
    packet::{Packet, PacketType},
    stream::FrameReader,
    tlv::CRITICAL,
};

use crate::draw::Draw;

/// The checks of spec/wire.md section 2.1 on any bytes. A fuzzer seldom finds a CRC: the bytes are tried as they are
/// and with the right one.
pub(crate) fn header(data: &[u8]) {
    check_header(data);
    if let Some(covered) = data.len().checked_sub(CRC_BYTES) {
        let mut bytes = data.to_vec();
        let crc = crc32(&bytes[..covered]);
        bytes[covered..].copy_from_slice(&crc.to_be_bytes());
        check_header(&bytes);
    }
}

fn check_header(bytes: &[u8]) {
    let header = Header::decode(bytes);
    let datagram = Header::decode_datagram(bytes);
    if bytes.len() > MAX_DATAGRAM as usize {
        assert!(datagram.is_err(), "a datagram is never longer than its limit");
    } else {
        assert_eq!(header, datagram, "below its limit a datagram is read as any packet");
    }
    if let Ok(accepted) = &header {
        assert!(bytes.len() >= MIN_BYTES && accepted.length as usize == bytes.len());
        assert_eq!(accepted.is_sealed(), accepted.packet_type >= 0x10, "W-HDR-11");
    }
    match Packet::decode_unsealed(bytes) {
        Ok((accepted, packet)) => {
            assert_eq!(Ok(accepted), header, "what is read whole has a header that is read alone");
            let again = packet.encode_unsealed(accepted.sender);
            // Flags 7..1 are ignored, and sent as zero.
            if accepted.flags == 0 {
                assert_eq!(&again[..], bytes);
            }
        }
        Err(error) => assert!(header.is_ok() || header == Err(error), "the header is asked first"),
    }
}

/// Any split of a stream gives the same packets, or the same refusal; the splits are drawn from the input.
pub(crate) fn frames(data: &[u8]) {
    let mut draw = Draw::new(data);
    let limit = draw.pick(&[MAX_HANDSHAKE_FRAME, MAX_FRAME, MIN_BYTES as u32, 68]);
    let cuts = draw.short();
    let stream = draw.rest();
    let (whole, verdict, waiting) = read(limit, [stream].into_iter());
    let mut rest = stream;
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, later) = rest.split_at(usize::from(*cut).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces.push(rest);
    assert_eq!(read(limit, pieces.into_iter()), (whole.clone(), verdict, waiting));
    assert_eq!(read(limit, stream.chunks(1)), (whole.clone(), verdict, waiting));
    let cut_off: usize = whole.iter().map(Bytes::len).sum();
    assert_eq!(whole.concat(), stream[..cut_off], "packets are the stream's bytes, in order");
    match verdict {
        None => assert_eq!(cut_off + waiting, stream.len(), "what is not a packet yet waits"),
        Some(_) => assert_eq!(waiting, 0, "after a refusal nothing is kept"),
    }
    // Nothing waits beyond one packet: memory is bounded by the limit.
    assert!(verdict.is_some() || waiting < limit as usize || waiting < 12);
}

fn read<'a>(limit: u32, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<DecodeError>, usize) {
    let mut reader = FrameReader::new(limit);
    let mut frames = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), reader.buffered()),
            }
        }
    }
    (frames, None, reader.buffered())
}

/// Extensions after a fixed part, against a reading of section 2.2 that shares nothing with the code under test.
pub(crate) fn extensions(data: &[u8]) {
    const FIXED: usize = 8;
    let mut body = vec![0; FIXED];
    body.extend_from_slice(data);
    let found = Packet::decode(PacketType::StatusQuery.code(), &body);
    match (&found, expected_extensions(data)) {
        (Ok(packet), Ok(expected)) => {
            let kept: Vec<(u16, Vec<u8>)> =
                packet.extensions().iter().map(|(kind, value)| (kind, value.to_vec())).collect();
            assert_eq!(kept, expected, "unknown extensions are kept byte for byte");
            let mut bytes = BytesMut::new();
            packet.encode(&mut bytes);
            assert_eq!(&bytes[..], body);
        }
        (Err(error), Err(label)) => assert_eq!(error.label(), label),
        (_, expected) => panic!("found {found:?}, expected {expected:?}"),
    }
}

fn expected_extensions(mut rest: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, &'static str> {
    let mut list: Vec<(u16, Vec<u8>)> = Vec::new();
    while !rest.is_empty() {
        let [a, b, c, d, after @ ..] = rest else {
            return Err("tlv_truncated");
        };
        let (kind, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
        if length > after.len() {
            return Err("tlv_truncated");
        }
        if list.last().is_some_and(|(last, _)| *last >= kind) {
            return Err("tlv_order");
        }
        if kind & CRITICAL != 0 {
            return Err("unknown_critical_tlv");
        }
        list.push((kind, after[..length].to_vec()));
        rest = &after[length..];
    }
    Ok(list)
}
