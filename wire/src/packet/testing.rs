//! What every packet's tests have in common.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

/// The bytes decode to the packet, and the packet encodes to the bytes.
pub(crate) fn both_ways(packet: &Packet, bytes: &[u8]) {
    let decoded = Packet::decode(packet.packet_type().code(), bytes);
    assert_eq!(decoded.as_ref(), Ok(packet));
    let mut out = BytesMut::new();
    packet.encode(&mut out);
    assert_eq!(&out[..], bytes);
}

/// No prefix is a packet, but for those that end where the extensions begin (`whole`), and nothing may follow.
pub(crate) fn every_cut_is_refused(packet_type: u8, bytes: &[u8], whole: &[usize]) {
    for length in 0..bytes.len() {
        let decoded = Packet::decode(packet_type, &bytes[..length]);
        assert_eq!(
            decoded.is_ok(),
            whole.contains(&length),
            "{length} of {} bytes: {decoded:?}",
            bytes.len()
        );
    }
    let longer = [bytes, &[0]].concat();
    assert_eq!(Packet::decode(packet_type, &longer), Err(DecodeError::TlvTruncated));
}

/// With one byte changed, the packet is refused for exactly this reason.
pub(crate) fn refused_with(packet_type: u8, bytes: &[u8], offset: usize, value: u8, error: DecodeError) {
    let mut bytes = bytes.to_vec();
    bytes[offset] = value;
    assert_eq!(Packet::decode(packet_type, &bytes), Err(error));
}
