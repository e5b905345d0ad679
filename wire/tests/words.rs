//! What people and metrics see: labels, names, and debug output that holds no secret.
#![allow(clippy::unwrap_used)]

use duohuo_wire::{
    error::DecodeError,
    group::{GroupOpenError, GroupSecret, sender_key},
    handshake::{HandshakeError, Initiation, Prologue, Transport, public_key, respond},
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, RoomId, Version},
    packet::{NodeKeepalive, Packet, PacketType, Probe},
    seal::OpenError,
    sealed_id::SealedIdError,
};

#[test]
fn every_refusal_has_the_label_of_the_specification() {
    let field = "probe.nonce";
    let labels = [
        (DecodeError::TooShort, "too_short"),
        (DecodeError::BadMagic, "bad_magic"),
        (DecodeError::BadVersion(2), "bad_version"),
        (DecodeError::BadLength, "bad_length"),
        (DecodeError::TooLong, "too_long"),
        (DecodeError::BadHeaderLength(9), "bad_header_length"),
        (DecodeError::BadCrc, "bad_crc"),
        (DecodeError::UnknownFlags(0x100), "unknown_flags"),
        (DecodeError::BadSuite(2), "bad_suite"),
        (DecodeError::ReservedNotZero, "reserved_not_zero"),
        (DecodeError::NotSealed, "not_sealed"),
        (DecodeError::Sealed, "sealed"),
        (DecodeError::UnknownType(4), "unknown_type"),
        (DecodeError::Truncated { field }, "truncated"),
        (DecodeError::TrailingBytes, "trailing_bytes"),
        (DecodeError::BadValue { field }, "bad_value"),
        (DecodeError::NotCanonical { field }, "not_canonical"),
        (DecodeError::TlvOrder { kind: 2 }, "tlv_order"),
        (DecodeError::TlvTruncated, "tlv_truncated"),
        (DecodeError::UnknownCriticalTlv(0x8001), "unknown_critical_tlv"),
    ];
    for (error, label) in labels {
        assert_eq!(error.label(), label);
        // Behind a seal it keeps its label.
        assert_eq!(OpenError::Decode(error).label(), label);
        assert_eq!(GroupOpenError::Decode(error).label(), label);
    }
    assert_eq!(OpenError::Forged.label(), "forged");
    assert_eq!(GroupOpenError::Forged.label(), "forged");
    assert_eq!(GroupOpenError::BadSignature.label(), "bad_signature");
    assert_eq!(HandshakeError::Forged.label(), "bad_handshake");
    assert_eq!(HandshakeError::WrongSession.label(), "unknown_session");
    assert_eq!(HandshakeError::BadKey.label(), "bad_handshake");
    assert_eq!(SealedIdError::BadLength.label(), "sealed_id_bad_length");
    assert_eq!(SealedIdError::Forged.label(), "sealed_id_forged");
}

#[test]
fn numbers_are_told_apart_by_a_letter() {
    let shown = [
        ClusterId(3).to_string(),
        NodeId(7).to_string(),
        Epoch(4).to_string(),
        Version(2).to_string(),
        Height(9).to_string(),
        RoomId(1).to_string(),
        LogIndex(5).to_string(),
    ];
    assert_eq!(shown, ["c3", "n7", "e4", "v2", "h9", "room 1", "#5"]);
}

#[test]
fn heights_and_epochs_go_up_by_one_and_not_round() {
    assert_eq!((Height(9).next(), Height(u64::MAX).next()), (Height(10), Height(u64::MAX)));
    assert_eq!((Epoch(4).next(), Epoch(u64::MAX).next()), (Epoch(5), Epoch(u64::MAX)));
}

#[test]
fn debug_output_names_a_key_and_does_not_show_it() {
    let secret = GroupSecret { cluster: ClusterId(3), generation: 5, secret: [0xAB; 32] };
    let key = sender_key(&secret, NodeId(7), 0xB007);
    let prologue = Prologue { consortium: [1; 16], transport: Transport::Datagram };
    let (ours, theirs) = ([0xAB; 32], [0xCD; 32]);
    let (initiator, init) = Initiation {
        local: &ours,
        remote_public: &public_key(&theirs),
        prologue: &prologue,
        ephemeral: [0xAB; 32],
        timestamp: [0; 12],
        session: 0x77,
        cookie: None,
        sender: NodeId(7),
        versions: None,
    }
    .begin()
    .unwrap();
    let keys = respond(&theirs, &prologue, &init, [0xAB; 32], 2, NodeId(0)).unwrap().keys;
    let shown = [format!("{secret:?}"), format!("{key:?}"), format!("{initiator:?}"), format!("{keys:?}")];
    assert_eq!(
        shown,
        [
            "GroupSecret(c3, generation 5, ..)",
            "GroupSenderKey(n7, boot 0xb007, generation 5, ..)",
            "Initiator(session 0x77, ..)",
            "Keys { version: 1, agreement: Agreement { initiator: Versions { lowest: 1, highest: 1 }, \
             responder: Versions { lowest: 1, highest: 1 } }, sealing: SealingKey(..), opening: OpeningKey(..) }",
        ]
    );
}

#[test]
fn a_keepalive_for_filling_in_is_all_zero() {
    let keepalive = NodeKeepalive::default();
    assert_eq!((keepalive.cluster, keepalive.priority, keepalive.in_sync), (ClusterId(0), 0, false));
    let mut body = bytes::BytesMut::new();
    Packet::from(keepalive).encode(&mut body);
    // 58 bytes; the address is 0.0.0.0:0, of family 4.
    let mut expected = [0; 58];
    expected[51] = 4;
    assert_eq!(body[..], expected);
}

#[test]
fn a_sealed_packet_is_not_read_as_one_that_is_not() {
    let prologue = Prologue { consortium: [1; 16], transport: Transport::Stream };
    let (initiator, init) = Initiation {
        local: &[1; 32],
        remote_public: &public_key(&[2; 32]),
        prologue: &prologue,
        ephemeral: [3; 32],
        timestamp: [0; 12],
        session: 1,
        cookie: None,
        sender: NodeId(7),
        versions: None,
    }
    .begin()
    .unwrap();
    let accepted = respond(&[2; 32], &prologue, &init, [4; 32], 2, NodeId(0)).unwrap();
    let keys = initiator.finish(&accepted.response).unwrap();
    let sealed = keys.sealing.seal(&Probe::default().into(), NodeId(7), 2, 0);
    assert_eq!(Packet::decode_unsealed(&sealed), Err(DecodeError::Sealed));
}

#[test]
fn a_group_packet_is_for_its_types_only() {
    for packet_type in PacketType::ALL {
        let group = ["NodeKeepalive", "Probe", "ProbeAnswer"].contains(&packet_type.name());
        assert_eq!(packet_type.travels_in_group(), group, "{}", packet_type.name());
    }
}
