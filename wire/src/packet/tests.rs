#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::{arbitrary::Source, *};
use crate::codec::Field as _;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_packet_survives_the_round_trip(entropy in proptest::collection::vec(any::<u8>(), 0..600)) {
        for packet_type in PacketType::ALL {
            let packet = arbitrary::packet(*packet_type, &mut Source(&entropy));
            let mut bytes = BytesMut::new();
            packet.encode(&mut bytes);
            prop_assert_eq!(Packet::decode(packet_type.code(), &bytes), Ok(packet));
        }
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes(
        body in proptest::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..200),
    ) {
        for packet_type in PacketType::ALL {
            if let Ok(packet) = Packet::decode(packet_type.code(), &body) {
                let mut bytes = BytesMut::new();
                packet.encode(&mut bytes);
                prop_assert_eq!(&bytes[..], &body[..]);
            }
        }
    }

    #[test]
    fn a_damaged_packet_never_panics_and_what_is_accepted_is_canonical(
        entropy in proptest::collection::vec(any::<u8>(), 0..300),
        place in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        for packet_type in PacketType::ALL {
            let packet = arbitrary::packet(*packet_type, &mut Source(&entropy));
            let mut bytes = BytesMut::new();
            packet.encode(&mut bytes);
            let at = place.index(bytes.len());
            bytes[at] = value;
            if let Ok(packet) = Packet::decode(packet_type.code(), &bytes) {
                let mut again = BytesMut::new();
                packet.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}

#[test]
fn an_unknown_type_is_refused() {
    for code in [0x00, 0x04, 0x0F, 0x22, 0x37, 0x41, 0x5B, 0x67, 0xFF] {
        assert_eq!(Packet::decode(code, &[]), Err(DecodeError::UnknownType(code)));
    }
}

#[test]
fn an_unknown_critical_extension_is_refused_and_another_is_kept() {
    let body = [0, 0, 0, 0, 0, 0, 0, 9, 0x0A, 0x0A, 0, 1, 0x77];
    let packet = Packet::decode(0x52, &body).unwrap();
    assert_eq!(packet.extensions().get(0x0A0A), Some(&[0x77][..]));
    let body = [0, 0, 0, 0, 0, 0, 0, 9, 0x8A, 0x0A, 0, 0];
    assert_eq!(Packet::decode(0x52, &body), Err(DecodeError::UnknownCriticalTlv(0x8A0A)));
}

/// W-TLV-4: of all packets with an unknown extension, those that a reader reads otherwise, or does not give back.
fn read_otherwise(reader: impl Fn(u8, &[u8]) -> Result<Packet, DecodeError>) -> usize {
    let entropy: Vec<u8> = (0..200).map(|n: u8| n.wrapping_mul(37)).collect();
    let is_wrong = |packet_type: &&PacketType| {
        let mut bytes = BytesMut::new();
        let plain = arbitrary::packet(**packet_type, &mut Source(&entropy));
        plain.encode(&mut bytes);
        bytes.extend_from_slice(&[0x7F, 0xFF, 0, 2, 0xAA, 0xBB]);
        let Ok(read) = reader(packet_type.code(), &bytes) else {
            return true;
        };
        let mut again = BytesMut::new();
        read.encode(&mut again);
        again != bytes
    };
    PacketType::ALL.iter().filter(is_wrong).count()
}

#[test]
fn w_tlv_4_a_reader_that_drops_or_refuses_what_it_does_not_know_is_noticed() {
    assert_eq!(read_otherwise(Packet::decode), 0);
    let all = PacketType::ALL.len();
    let dropping = |code, body: &[u8]| Packet::decode(code, &body[..body.len() - 6]);
    assert_eq!(read_otherwise(dropping), all);
    let refusing = |code, body: &[u8]| match Packet::decode(code, body) {
        Ok(packet) if packet.extensions().is_empty() => Ok(packet),
        _ => Err(DecodeError::TrailingBytes),
    };
    assert_eq!(read_otherwise(refusing), all);
}

#[test]
fn a_list_given_in_any_order_is_sent_in_ascending_order_once() {
    let row = Row { in_sync: vec![NodeId(9), NodeId(2), NodeId(9)], ..Row::default() };
    let mut out = BytesMut::new();
    row.put(&mut out);
    assert_eq!(&out[24..34], &[0, 2, 0, 0, 0, 2, 0, 0, 0, 9]);
}
