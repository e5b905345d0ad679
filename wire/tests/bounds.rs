//! What a decoder may cost: memory bounded by the bytes that came, before and while they are read, and no faster than they
//! grow. Counted, not timed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{fs, path::PathBuf};

use allocation_counter::{AllocationInfo, measure};
use duohuo_wire::{
    header::{Header, MAX_DATAGRAM, MAX_FRAME, MAX_HANDSHAKE_FRAME},
    packet::{Packet, PacketType},
    roster::Roster,
    status::StatusReport,
    stream::FrameReader,
};
use serde_json::Value;

/// Bytes of memory that a byte of input may cost at most. The dearest are the records of a log: 20 bytes each, and 48 or more
/// when they are read.
const BYTES_PER_BYTE: u64 = 20;
/// Whatever the input: the packet itself.
const FIXED_BYTES: u64 = 2_048;

/// All bodies in the vectors, right and wrong.
fn bodies() -> Vec<(PacketType, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors");
    let mut bodies = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some(code) = name.strip_prefix("packet_").and_then(|rest| rest.get(..2)) else {
            continue;
        };
        let packet_type = PacketType::from_code(u8::from_str_radix(code, 16).unwrap()).unwrap();
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for test in file["tests"].as_array().unwrap() {
            let hex = test["body"].as_str().unwrap();
            let body = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap());
            bodies.push((packet_type, body.collect()));
        }
    }
    assert!(bodies.len() > 600, "the vectors are there");
    bodies
}

fn cost(packet_type: PacketType, body: &[u8]) -> AllocationInfo {
    measure(|| drop(Packet::decode(packet_type.code(), body)))
}

fn is_bounded(info: &AllocationInfo, bytes: usize) -> bool {
    info.bytes_max <= FIXED_BYTES + BYTES_PER_BYTE * bytes as u64
}

#[test]
fn a_count_that_promises_more_than_came_sets_no_memory_aside() {
    // Wherever a count may stand, the largest one is put: the decoder must look at what is left first (W-ENC-2).
    for (packet_type, body) in bodies() {
        for at in 0..body.len() {
            for width in [2, 4] {
                let mut lying = body.clone();
                let end = (at + width).min(lying.len());
                lying[at..end].fill(0xFF);
                let info = cost(packet_type, &lying);
                assert!(is_bounded(&info, lying.len()), "{} at {at}: {info:?}", packet_type.name());
            }
        }
    }
}

/// A body whose last list is as long as `bytes` allow: what grows costs in proportion.
fn grown(packet_type: PacketType, bytes: usize) -> Vec<u8> {
    let epoch_and_index = [0; 24];
    let mut body = epoch_and_index.to_vec();
    match packet_type {
        PacketType::Append => {
            let count = u32::try_from(bytes / 20).unwrap();
            body.extend(count.to_be_bytes());
            body.resize(body.len() + count as usize * 20, 0);
        }
        PacketType::History => {
            body.truncate(12);
            let count = u32::try_from(bytes / 4).unwrap();
            body.extend(count.to_be_bytes());
            body.resize(body.len() + count as usize * 4 + 64, 0);
        }
        _ => {
            // StatusQuery: extensions, each empty, ascending.
            body.truncate(8);
            for kind in 1..=u16::try_from(bytes / 4).unwrap_or(u16::MAX).min(0x7FFF) {
                body.extend(kind.to_be_bytes());
                body.extend([0, 0]);
            }
        }
    }
    body
}

#[test]
fn the_cost_of_a_packet_grows_no_faster_than_the_packet() {
    for packet_type in [PacketType::Append, PacketType::History, PacketType::StatusQuery] {
        let [small, large] = [8_000, 64_000].map(|bytes| {
            let body = grown(packet_type, bytes);
            assert!(Packet::decode(packet_type.code(), &body).is_ok(), "{}", packet_type.name());
            let info = cost(packet_type, &body);
            assert!(is_bounded(&info, body.len()), "{}: {info:?}", packet_type.name());
            info
        });
        // Eight times the bytes: nine times the allocations and bytes at most, counting what was freed on the way.
        let name = packet_type.name();
        assert!(large.bytes_total <= 9 * small.bytes_total, "{name}: {small:?} {large:?}");
        assert!(large.count_total <= 9 * small.count_total, "{name}: {small:?} {large:?}");
    }
}

#[test]
fn what_is_refused_by_its_header_costs_no_memory() {
    let mut packet = vec![0; MAX_DATAGRAM as usize];
    packet[..8].copy_from_slice(&[0x44, 0x55, 0x4F, 0x48, 1, 0x52, 0, 1]);
    for bytes in [&packet[..10], &packet[..], &[0xFF; 1200][..]] {
        assert_eq!(measure(|| assert!(Header::decode_datagram(bytes).is_err())).count_total, 0);
    }
}

#[test]
fn a_stream_holds_no_more_than_it_was_brought_and_one_packet() {
    // A header that promises eight mebibytes, and nothing after it.
    let mut start = vec![0; 12];
    start[..8].copy_from_slice(&[0x44, 0x55, 0x4F, 0x48, 1, 0x52, 0, 1]);
    start[8..].copy_from_slice(&MAX_FRAME.to_be_bytes());
    let info = measure(|| {
        let mut reader = FrameReader::new(MAX_FRAME);
        reader.push(&start);
        assert_eq!(reader.next(), Ok(None));
    });
    assert!(info.bytes_max <= 1_024, "{info:?}");
    // Before the handshake it is refused at the twelfth byte, and nothing more is kept (W-HDR-5).
    let info = measure(|| {
        let mut reader = FrameReader::new(MAX_HANDSHAKE_FRAME);
        for byte in &start {
            reader.push(&[*byte]);
            let _ = reader.next();
        }
        assert!(reader.next().is_err());
        reader.push(&vec![0; 100_000]);
        assert_eq!(reader.buffered(), 0);
    });
    assert!(info.bytes_max <= 101_024, "{info:?}");
}

#[test]
fn a_stream_cut_into_pieces_is_copied_a_bounded_number_of_times() {
    let [small, large] = [64 << 10, 512 << 10].map(|bytes: u32| {
        let mut packet = vec![0; bytes as usize];
        packet[..8].copy_from_slice(&[0x44, 0x55, 0x4F, 0x48, 1, 0x52, 0, 1]);
        packet[8..12].copy_from_slice(&bytes.to_be_bytes());
        measure(|| {
            let mut reader = FrameReader::new(MAX_FRAME);
            for piece in packet.chunks(100) {
                reader.push(piece);
                let _ = reader.next();
            }
            assert_eq!(reader.buffered(), 0, "cut off when it was whole");
        })
    });
    assert!(large.bytes_total <= 9 * small.bytes_total, "{small:?} {large:?}");
    assert!(large.bytes_max <= 4 * (512 << 10), "{large:?}");
}

#[test]
fn tiny_packets_and_tiny_pieces_of_a_stream_cost_in_proportion() {
    let stream = |packets: usize| {
        let mut packet = [0; 44];
        packet[..8].copy_from_slice(&[0x44, 0x55, 0x4F, 0x48, 1, 0x52, 0, 1]);
        packet[11] = 44;
        packet.repeat(packets)
    };
    // All at once; and byte by byte, with the reader asked after each.
    for piece in [usize::MAX, 1] {
        let [small, large] = [250, 2_000].map(|packets| {
            let bytes = stream(packets);
            measure(|| {
                let mut reader = FrameReader::new(MAX_HANDSHAKE_FRAME);
                let mut cut = 0;
                for piece in bytes.chunks(piece.min(bytes.len())) {
                    reader.push(piece);
                    while let Ok(Some(_)) = reader.next() {
                        cut += 1;
                    }
                }
                assert_eq!((cut, reader.buffered()), (packets, 0));
            })
        });
        assert!(large.bytes_total <= 9 * small.bytes_total, "{piece}: {small:?} {large:?}");
        assert!(large.count_total <= 9 * small.count_total, "{piece}: {small:?} {large:?}");
    }
}

#[test]
fn a_roster_and_a_report_that_promise_more_than_came_cost_nothing() {
    for bytes in [&[0xFF; 200][..], &[0; 200], &[1; 200]] {
        let info = measure(|| {
            let _ = Roster::decode(bytes);
            let _ = StatusReport::decode(bytes);
        });
        assert!(is_bounded(&info, bytes.len()), "{info:?}");
    }
}

#[test]
fn nothing_may_follow_a_packet() {
    for (packet_type, body) in bodies() {
        if Packet::decode(packet_type.code(), &body).is_err() {
            continue;
        }
        // Too few bytes for an extension, and none that ascends after those that are there.
        for tail in [&[0][..], &[0, 0], &[0, 0, 0], &[0, 0, 0, 1]] {
            let longer = [&body[..], tail].concat();
            assert!(Packet::decode(packet_type.code(), &longer).is_err(), "{}", packet_type.name());
        }
    }
}
