#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::{header::Header, packet::StatusQuery};

const INITIATOR: [u8; 32] = [0x11; 32];
const RESPONDER: [u8; 32] = [0x22; 32];
const TIMESTAMP: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

fn prologue() -> Prologue {
    Prologue { consortium: [0x33; 16], transport: Transport::Datagram }
}

fn start(cookie: Option<[u8; 16]>) -> (Initiator, HandshakeInit) {
    let remote = public_key(&RESPONDER);
    Initiation {
        local: &INITIATOR,
        remote_public: &remote,
        prologue: &prologue(),
        ephemeral: [0x44; 32],
        timestamp: TIMESTAMP,
        session: 77,
        cookie,
        sender: NodeId(7),
        versions: None,
    }
    .begin()
    .unwrap()
}

fn answer(init: &HandshakeInit) -> Result<Accepted, HandshakeError> {
    respond(&RESPONDER, &prologue(), init, [0x55; 32], 88, NodeId(0))
}

fn query() -> Packet {
    StatusQuery { request: 5, extensions: Extensions::default() }.into()
}

#[test]
fn both_sides_end_with_the_same_keys_crosswise() {
    let (initiator, init) = start(None);
    let accepted = answer(&init).unwrap();
    assert_eq!(accepted.remote_public, public_key(&INITIATOR));
    assert_eq!(accepted.timestamp, TIMESTAMP);
    assert_eq!((accepted.response.initiator_session, accepted.response.responder_session), (77, 88));
    let keys = initiator.finish(&accepted.response).unwrap();
    for (from, to) in [(&keys, &accepted.keys), (&accepted.keys, &keys)] {
        let sealed = from.sealing.seal(&query(), NodeId(7), 88, 0);
        let header = Header::decode(&sealed).unwrap();
        assert_eq!(to.opening.open(&header, &sealed), Ok(query()));
        // A packet sent back to its sender opens nothing.
        assert!(from.opening.open(&header, &sealed).is_err());
    }
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    assert_eq!(start(None).1, start(None).1);
    let init = start(None).1;
    assert_eq!(answer(&init).unwrap().response, answer(&init).unwrap().response);
}

#[test]
fn a_responder_with_another_key_cannot_answer() {
    let (_, init) = start(None);
    let other = respond(&[0x23; 32], &prologue(), &init, [0x55; 32], 88, NodeId(0));
    assert_eq!(other.err(), Some(HandshakeError::Forged));
}

#[test]
fn another_consortium_or_transport_does_not_shake_hands() {
    let (_, init) = start(None);
    for other in [
        Prologue { consortium: [0x34; 16], ..prologue() },
        Prologue { transport: Transport::Stream, ..prologue() },
    ] {
        let refused = respond(&RESPONDER, &other, &init, [0x55; 32], 88, NodeId(0));
        assert_eq!(refused.err(), Some(HandshakeError::Forged));
    }
}

#[test]
fn any_changed_byte_of_either_message_is_refused() {
    let (_, init) = start(None);
    for at in 0..init.noise.len() {
        let mut changed = init.clone();
        changed.noise[at] ^= 1;
        assert_eq!(answer(&changed).err(), Some(HandshakeError::Forged), "byte {at}");
    }
    let response = answer(&init).unwrap().response;
    for at in 0..response.noise.len() {
        let mut changed = response.clone();
        changed.noise[at] ^= 1;
        assert_eq!(start(None).0.finish(&changed).err(), Some(HandshakeError::Forged), "byte {at}");
    }
}

#[test]
fn a_forged_response_does_not_end_the_attempt() {
    let (mut initiator, init) = start(None);
    let response = answer(&init).unwrap().response;
    let wrong_session = HandshakeResponse { initiator_session: 78, ..response.clone() };
    assert_eq!(initiator.try_finish(&wrong_session).err(), Some(HandshakeError::WrongSession));
    let forged = HandshakeResponse { noise: [9; 48], ..response.clone() };
    assert_eq!(initiator.try_finish(&forged).err(), Some(HandshakeError::Forged));
    let keys = initiator.try_finish(&response).unwrap();
    let sealed = keys.sealing.seal(&query(), NodeId(7), 88, 0);
    let header = Header::decode(&sealed).unwrap();
    assert_eq!(answer(&init).unwrap().keys.opening.open(&header, &sealed), Ok(query()));
}

#[test]
fn a_zero_shared_secret_is_refused_on_both_sides() {
    let zero = Initiation {
        local: &INITIATOR,
        remote_public: &[0; 32],
        prologue: &prologue(),
        ephemeral: [0x44; 32],
        timestamp: TIMESTAMP,
        session: 77,
        cookie: None,
        sender: NodeId(7),
        versions: None,
    }
    .begin();
    assert_eq!(zero.err(), Some(HandshakeError::BadKey));
    let (_, mut init) = start(None);
    init.noise[..32].fill(0);
    assert_eq!(answer(&init).err(), Some(HandshakeError::Forged));
}

#[test]
fn mac1_holds_for_the_receiver_alone_and_covers_all_before_it() {
    let (_, init) = start(None);
    let packet = Packet::from(init.clone()).encode_unsealed(NodeId(7));
    assert_eq!(packet.len(), 192);
    assert!(check_mac1(&public_key(&RESPONDER), &packet));
    assert!(!check_mac1(&public_key(&INITIATOR), &packet));
    for at in 0..172 {
        let mut changed = packet.clone();
        changed[at] ^= 1;
        assert!(!check_mac1(&public_key(&RESPONDER), &changed), "byte {at}");
    }
    for length in 0..172 {
        assert!(!check_mac1(&public_key(&RESPONDER), &packet[..length]));
    }
    let response = Packet::from(answer(&init).unwrap().response).encode_unsealed(NodeId(0));
    assert_eq!(response.len(), 124);
    assert!(check_mac1(&public_key(&INITIATOR), &response));
    assert!(!check_mac1(&public_key(&RESPONDER), &response));
}

#[test]
fn mac2_proves_the_cookie_and_is_zero_without_one() {
    let given = [0xC0; 16];
    let (_, init) = start(Some(given));
    let packet = Packet::from(init).encode_unsealed(NodeId(7));
    assert!(check_mac1(&public_key(&RESPONDER), &packet) && check_mac2(&given, &packet));
    assert!(!check_mac2(&[0xC1; 16], &packet));
    assert_eq!(start(None).1.mac2, [0; 16]);
}

#[test]
fn a_cookie_is_bound_to_secret_address_port_and_ephemeral() {
    let (_, init) = start(None);
    let from: SocketAddr = "10.0.0.1:7400".parse().unwrap();
    let first = cookie(&[1; 32], &from, &init);
    assert_eq!(first, cookie(&[1; 32], &from, &init));
    let mut other_init = init.clone();
    other_init.noise[0] ^= 1;
    for other in [
        cookie(&[2; 32], &from, &init),
        cookie(&[1; 32], &"10.0.0.2:7400".parse().unwrap(), &init),
        cookie(&[1; 32], &"10.0.0.1:7401".parse().unwrap(), &init),
        cookie(&[1; 32], &from, &other_init),
    ] {
        assert_ne!(other, first);
    }
}

const ALL: Versions = Versions::ALL;

fn speak(stated: Option<Versions>, versions: Versions) -> (Initiator, HandshakeInit, Accepted) {
    let remote = public_key(&RESPONDER);
    let (initiator, init) = Initiation {
        local: &INITIATOR,
        remote_public: &remote,
        prologue: &prologue(),
        ephemeral: [0x44; 32],
        timestamp: TIMESTAMP,
        session: 77,
        cookie: None,
        sender: NodeId(7),
        versions: stated,
    }
    .begin()
    .unwrap();
    let accepted = open(&RESPONDER, &prologue(), &init, [0x55; 32]).unwrap().answer(versions, 88, NodeId(0));
    (initiator, init, accepted.unwrap())
}

/// W-VER-1, W-VER-2.
#[test]
fn both_sides_come_to_the_highest_version_that_both_speak() {
    let one = Versions::FIRST;
    for (stated, versions, expected) in
        [(Some(ALL), ALL, 2), (Some(ALL), one, 1), (Some(one), ALL, 1), (None, ALL, 1), (None, one, 1)]
    {
        let (initiator, init, accepted) = speak(stated, versions);
        assert_eq!(Versions::of_init(&init), stated);
        // Who states nothing is told nothing.
        assert_eq!(Versions::of_response(&accepted.response), stated.map(|_| versions));
        let keys = initiator.finish(&accepted.response).unwrap();
        assert_eq!((keys.version, accepted.keys.version), (expected, expected));
        assert_eq!(keys.agreement, accepted.keys.agreement);
        for (from, to) in [(&keys, &accepted.keys), (&accepted.keys, &keys)] {
            let sealed = from.sealing.seal(&query(), NodeId(7), 88, 0);
            assert_eq!(sealed[4], expected);
            let header = Header::decode(&sealed).unwrap();
            assert_eq!(to.opening.open(&header, &sealed), Ok(query()));
        }
    }
}

#[test]
fn the_macs_hold_over_a_packet_that_states_its_range() {
    let (_, init, accepted) = speak(Some(ALL), ALL);
    let init = Packet::from(init).encode_unsealed(NodeId(7));
    let response = Packet::from(accepted.response).encode_unsealed(NodeId(0));
    assert_eq!((init.len(), response.len()), (198, 130));
    assert_eq!(init[188..194], [0, 1, 0, 2, 1, 2]);
    assert!(check_mac1(&public_key(&RESPONDER), &init) && check_mac1(&public_key(&INITIATOR), &response));
}

/// W-VER-2: each side finds it out by what the other states.
#[test]
fn without_a_common_version_there_is_no_session() {
    let two = Versions::new(2, 2).unwrap();
    let one = Versions::FIRST;
    for stated in [None, Some(one)] {
        let (_, init) = start(None);
        let mut init = init;
        if let Some(stated) = stated {
            stated.state(&mut init.extensions);
        }
        let refused = open(&RESPONDER, &prologue(), &init, [0x55; 32]).unwrap().answer(two, 88, NodeId(0));
        assert_eq!(refused.err(), Some(HandshakeError::NoCommonVersion(one)));
    }
    // A responder that knows of no ranges passes the extension over, and states nothing.
    let (mut initiator, init, _) = speak(Some(two), ALL);
    let response = answer(&HandshakeInit { extensions: Extensions::default(), ..init }).unwrap();
    assert_eq!(response.response.extensions, Extensions::default());
    assert_eq!(initiator.try_finish(&response.response).err(), Some(HandshakeError::NoCommonVersion(one)));
}

/// W-VER-3, W-VER-4: whatever is done to the ranges on the way, the two sides do not come to believe the same.
#[test]
fn a_range_changed_on_the_way_leaves_both_sides_without_a_session_or_with_another_agreement() {
    let three = Versions::new(1, 3).unwrap();
    for (to_responder, to_initiator) in [
        (None, None),
        (Some(Versions::FIRST), None),
        (Some(Versions::FIRST), Some(Versions::FIRST)),
        (Some(ALL), Some(Versions::FIRST)),
        (Some(three), Some(ALL)),
        (Some(ALL), Some(three)),
    ] {
        let (initiator, mut init, _) = speak(Some(ALL), ALL);
        let restate = |extensions: &mut Extensions, stated: Option<Versions>| {
            *extensions = Extensions::default();
            if let Some(stated) = stated {
                stated.state(extensions);
            }
        };
        restate(&mut init.extensions, to_responder);
        let opened = open(&RESPONDER, &prologue(), &init, [0x55; 32]).unwrap();
        let mut accepted = opened.answer(ALL, 88, NodeId(0)).unwrap();
        restate(&mut accepted.response.extensions, to_initiator);
        let keys = initiator.finish(&accepted.response).unwrap();
        assert_ne!(keys.agreement, accepted.keys.agreement, "{to_responder:?} {to_initiator:?}");
        let sealed = keys.sealing.seal(&keys.agreement.proof().into(), NodeId(7), 88, 0);
        let header = Header::decode(&sealed).unwrap();
        match accepted.keys.opening.open(&header, &sealed) {
            Ok(Packet::Probe(proof)) => assert_ne!(Agreement::of(&proof), accepted.keys.agreement),
            other => assert_eq!(other, Err(crate::crypt::OpenError::Forged)),
        }
    }
}
