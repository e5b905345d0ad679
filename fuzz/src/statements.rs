//! Signed statements, the roster, the status report: read whole or refused, one encoding, and no forged signature holds.

use bytes::BytesMut;
use duohuo_wire::{
    order::SignedOrder,
    packet::{GroupKey, History, Packet, PacketType},
    roster::Roster,
    sign::SigningKey,
    statement::{SignedResult, SignedRow, SignedSwitch},
    status::StatusReport,
};

/// Whose signatures are asked for. The fuzzer does not have the secret: it would have to break Ed25519.
fn stranger() -> SigningKey {
    SigningKey::from_bytes(&[0xF2; 32])
}

/// Decoded, encoded again, and (for what is signed) asked for its signature.
macro_rules! round_trip {
    ($ty:ty, $data:expr, |$value:ident| $also:expr) => {
        if let Ok($value) = <$ty>::decode($data) {
            let mut bytes = BytesMut::new();
            $value.encode(&mut bytes);
            assert_eq!(&bytes[..], $data, concat!(stringify!($ty), " encodes to itself"));
            $also;
        }
    };
}

pub(crate) fn row(data: &[u8]) {
    round_trip!(SignedRow, data, |row| {
        assert!(!row.verify(&stranger().verifying_key()));
        // A row that we sign holds, and only as it was signed.
        let mut signed = SignedRow::sign(row.row.clone(), &stranger());
        assert!(signed.verify(&stranger().verifying_key()));
        signed.row.epoch.0 ^= 1;
        assert!(!signed.verify(&stranger().verifying_key()));
    });
}

pub(crate) fn result(data: &[u8]) {
    round_trip!(SignedResult, data, |result| assert!(!result.verify(&stranger().verifying_key())));
}

pub(crate) fn switch(data: &[u8]) {
    round_trip!(SignedSwitch, data, |order| assert!(!order.verify(&stranger().verifying_key())));
}

pub(crate) fn order(data: &[u8]) {
    round_trip!(SignedOrder, data, |order| assert!(!order.verify(&stranger().verifying_key())));
}

/// The first byte says which of the two statements that are packets.
pub(crate) fn signed_packet(data: &[u8]) {
    let Some((which, body)) = data.split_first() else {
        return;
    };
    let key = stranger().verifying_key();
    if which & 1 == 0 {
        round_trip!(History, body, |history| assert!(!history.verify(&key)));
    } else {
        round_trip!(GroupKey, body, |group| assert!(!group.verify(&key)));
    }
}

pub(crate) fn roster(data: &[u8]) {
    round_trip!(Roster, data, |roster| {
        assert_eq!(roster.validate(), Ok(()), "an accepted roster is valid");
        assert!(!roster.verify(&stranger().verifying_key()));
        // Lookups and enumeration agree.
        for (cluster, node) in roster.all_nodes() {
            assert_eq!(roster.node(node.id), Some((cluster, node)));
            assert!(roster.by_session_key(&node.session_key).is_some());
        }
    });
}

pub(crate) fn status(data: &[u8]) {
    round_trip!(StatusReport, data, |report| drop(report));
    // As a client gets it: inside a packet.
    let _ = Packet::decode(PacketType::StatusAnswer.code(), data);
}
