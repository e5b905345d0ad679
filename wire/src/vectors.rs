//! Whole packets made by an independent implementation of spec/wire.md (Python, its own Noise, HKDF and HMAC).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::{
    group::{self, GroupSecret},
    handshake::{self, Initiation, Prologue, Transport},
    header::Header,
    ids::{ClusterId, Epoch, NodeId, Version},
    packet::{Packet, Probe, Row, StatusQuery},
    sealed_id::{self, SealedClaims},
    sign::SigningKey,
    statement::SignedRow,
    tlv::Extensions,
};

const INIT: &str = "\
    44554f4801010000000000c00a010000000000000000000000000000000000000000000700000000000000000000004d\
    ff2ee45601ec1b67310c7790404585ae697331eee1c1f8cf2419731c1fff3e6b7370644d4d9d5a55185d5fe2c51c96af\
    d2fd9407506e5c77b4ebeb5fb37172b0783ff40d3aef34dcf60492719476335eb524bef852c0b0cea1755a6c4416ed7d\
    42262af13ed9b18fa52b4b5e2584c71b940debc8fbcc559428572d97003bb2de66165eb4ce7fff0fcb5557b6b4de4749";
const RESPONSE: &str = "\
    44554f48010200000000007c0a010000000000000000000000000000000000000000000000000000000000000000004d\
    000000000000005838ab664bd86f77d7e66bdd9ae0792913a94fd8b33a1260027e4b46c1f4884c672dbc56bd45b5550e\
    b824888ba7f36d7d321f11bdc0970cf935d9a558557edc9952f94206";
const SEALED: &str = "\
    44554f4801520001000000440a01000000000000000000580000000000000003000000070000000027d287b77f454bbb\
    333757a78d9e2ddc44e45a24e06158ba6c2dde00";
const SEALED_BACK: &str = "\
    44554f4801520001000000440a010000000000000000004d0000000000000000000000000000000052f23e66ab8cbf0f\
    13680bfcdf0d675b51812a27f3abd24bda19280d";
const COOKIE: &str = "\
    973d55da43b5c8c3232bc13eed00bd07";
const GROUP: &str = "\
    44554f48011c00010000008c0a010000000000000000b00700000000000000000000000700000005c11b247c7d1ab53c\
    65b19d6d0aa6f8c7c05cfb3c58a8dcd93b089228f51fe456a88ed3fc509f8dfeb14675aa0c8dfceaa820ed7cbd1293b6\
    3f09190a5eadee299571aad9cc55031bff316730a7a7ad3486f1a07efbef3f2b24fdf99be265e471490ed652";
const SEALED_ID: &str = "\
    31d4ab6aceec961137917037936e60716fac573afe94d9da84a8020448dfc11264e62355cd5bde7f4630b2ed8c83a368\
    a0ba946db86de39d00c08afe0735e97234450b717fd1922c1a33181e790cd023eb173ef6";
const ROW: &str = "\
    000000030000000000000004000000000000000200000009000200000007000000090001000000080100000000000000\
    376c0ae24695fab3249fe39ad51d7f885e8faacf5a81d9f7c1dba84f73b592353df353cc95613d9991e8c5ced6f87dcc\
    2091364f2f2ed0a0acc564694b7399860c";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn query(request: u64) -> Packet {
    StatusQuery { request, extensions: Extensions::default() }.into()
}

#[test]
fn the_handshake_and_the_session_are_those_of_the_other_implementation() {
    let prologue = Prologue { consortium: [0x33; 16], transport: Transport::Datagram };
    let timestamp = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let (initiator, init) = Initiation {
        local: &[0x11; 32],
        remote_public: &handshake::public_key(&[0x22; 32]),
        prologue: &prologue,
        ephemeral: [0x44; 32],
        timestamp,
        session: 77,
        cookie: Some([0xC0; 16]),
        sender: NodeId(7),
        versions: None,
    }
    .begin()
    .unwrap();
    let packet = Packet::from(init.clone()).encode_unsealed(NodeId(7));
    assert_eq!(packet, hex(INIT));
    assert_eq!(Packet::decode_unsealed(&packet).unwrap().1, init.clone().into());

    let accepted = handshake::respond(&[0x22; 32], &prologue, &init, [0x55; 32], 88, NodeId(0)).unwrap();
    assert_eq!(Packet::from(accepted.response.clone()).encode_unsealed(NodeId(0)), hex(RESPONSE));

    let keys = initiator.finish(&accepted.response).unwrap();
    assert_eq!(keys.sealing.seal(&query(5), NodeId(7), 88, 3), hex(SEALED));
    assert_eq!(accepted.keys.sealing.seal(&query(6), NodeId(0), 77, 0), hex(SEALED_BACK));

    let from = "10.0.0.1:7400".parse().unwrap();
    assert_eq!(&handshake::cookie(&[1; 32], &from, &init)[..], &hex(COOKIE)[..]);
}

#[test]
fn the_group_seal_is_that_of_the_other_implementation() {
    let secret = GroupSecret { cluster: ClusterId(3), generation: 5, secret: [9; 32] };
    let probe: Packet = Probe { nonce: 1, epoch: Epoch(2), extensions: Extensions::default() }.into();
    let signing = SigningKey::from_bytes(&[4; 32]);
    let key = group::sender_key(&secret, NodeId(7), 0xB007);
    assert_eq!(key.seal(&probe, &signing, NodeId(7), 0xB007, 0), hex(GROUP));
    let header = Header::decode(&hex(GROUP)).unwrap();
    assert_eq!(key.open(&header, &hex(GROUP), &signing.verifying_key()), Ok(probe));
}

#[test]
fn the_sealed_cluster_id_is_that_of_the_other_implementation() {
    let claims = SealedClaims {
        cluster: ClusterId(3),
        node: NodeId(7),
        registration_epoch: 4,
        serial: 5,
        issued: 1000,
        expires: 2000,
    };
    let binding = sealed_id::binding(&[6; 32], &[7; 32]);
    assert_eq!(sealed_id::seal(&[1; 32], [8; 32], &claims, &[2; 16], &binding), hex(SEALED_ID));
    assert_eq!(sealed_id::open(&[1; 32], &hex(SEALED_ID), ClusterId(3), &[2; 16], &binding), Ok(claims));
}

#[test]
fn a_signed_row_is_that_of_the_other_implementation() {
    let row = Row {
        cluster: ClusterId(3),
        epoch: Epoch(4),
        version: Version(2),
        master: NodeId(9),
        in_sync: vec![NodeId(9), NodeId(7)],
        barred: vec![NodeId(8)],
        unfenced: true,
        table_version: 55,
    };
    let signed = SignedRow::sign(row, &SigningKey::from_bytes(&[7; 32]));
    let mut out = bytes::BytesMut::new();
    signed.encode(&mut out);
    assert_eq!(out, hex(ROW));
}
