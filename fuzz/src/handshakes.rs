//! The handshake with messages changed on the way: nobody is taken for another, and a forger ends no attempt.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use duohuo_wire::{
    handshake::{
        Accepted, HandshakeError, Initiation, Initiator, Keys, Prologue, Transport, check_mac1, check_mac2,
        cookie, open, public_key,
    },
    header::Header,
    ids::NodeId,
    packet::{HandshakeInit, HandshakeResponse, Packet, Probe},
    seal::OpenError,
    versions::{Agreement, NEWEST, Versions},
};

use crate::{draw::Draw, edits::edit};

const INITIATOR: [u8; 32] = [0x11; 32];
const RESPONDER: [u8; 32] = [0x22; 32];
const COOKIE_SECRET: [u8; 32] = [0x66; 32];
const NODE: NodeId = NodeId(7);
const INITIATOR_SESSION: u64 = 0x0102_0304;
const RESPONDER_SESSION: u64 = 0x0506_0708;

fn prologue(draw: &mut Draw<'_>) -> Prologue {
    let transport = draw.pick(&[Transport::Datagram, Transport::Stream]);
    Prologue { consortium: [0x33; 16], transport }
}

/// Any range, or none.
fn stated(draw: &mut Draw<'_>) -> Option<Versions> {
    let (lowest, more) = (draw.byte() % 4, draw.byte() % 3);
    Versions::new(lowest, lowest + more)
}

fn begin(
    versions: Option<Versions>,
    prologue: &Prologue,
    cookie: Option<[u8; 16]>,
) -> (Initiator, HandshakeInit) {
    Initiation {
        local: &INITIATOR,
        remote_public: &public_key(&RESPONDER),
        prologue,
        ephemeral: [0x44; 32],
        timestamp: [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2],
        session: INITIATOR_SESSION,
        cookie,
        sender: NODE,
        versions,
    }
    .begin()
    .expect("the responder's key is a key")
}

/// What a responder does with an initiation: MACs first, then Noise. Both cookie paths: without and with the cookie.
pub(crate) fn responder(data: &[u8]) {
    let mut draw = Draw::new(data);
    let prologue = prologue(&mut draw);
    let from = address(&mut draw);
    let (theirs, ours) = (stated(&mut draw), stated(&mut draw).unwrap_or(Versions::FIRST));
    let (_, first) = begin(theirs, &prologue, None);
    let given = cookie(&COOKIE_SECRET, &from, &first);
    let with_cookie = draw.bool();
    let (mut initiator, init) =
        if with_cookie { begin(theirs, &prologue, Some(given)) } else { begin(theirs, &prologue, None) };
    let genuine = Packet::from(init.clone()).encode_unsealed(NODE).freeze();
    assert!(check_mac1(&public_key(&RESPONDER), &genuine));
    assert_eq!(check_mac2(&given, &genuine), with_cookie, "W-HSK-2");
    let elsewhere = SocketAddr::new(from.ip(), from.port() ^ 1);
    let other = cookie(&COOKIE_SECRET, &elsewhere, &init);
    assert!(!check_mac2(&other, &genuine), "a cookie is its address's");

    let packet = edit(&genuine, &mut draw);
    let Ok((_, Packet::HandshakeInit(received))) = Packet::decode_unsealed(&packet) else {
        return;
    };
    let covered = packet.get(..156) == genuine.get(..156);
    assert_eq!(
        check_mac1(&public_key(&RESPONDER), &packet),
        covered && received.mac1 == init.mac1,
        "W-HSK-1"
    );
    let answered = answer(&prologue, &received, ours);
    let came = Versions::of_init(&received).unwrap_or(Versions::FIRST);
    match answered {
        Ok(accepted) => {
            assert_eq!(received.noise, init.noise, "nobody but the initiator can make message 1");
            assert_eq!(accepted.remote_public, public_key(&INITIATOR));
            assert_eq!(Some(accepted.keys.version), came.common(ours), "W-VER-2");
            match initiator.try_finish(&accepted.response) {
                Ok(keys) => {
                    assert_eq!(received.initiator_session, INITIATOR_SESSION);
                    same_or_nothing(&keys, &accepted.keys, true);
                }
                Err(HandshakeError::NoCommonVersion(_)) => assert_ne!(Versions::of_init(&received), theirs),
                Err(_) => assert_ne!(received.initiator_session, INITIATOR_SESSION),
            }
        }
        Err(HandshakeError::NoCommonVersion(range)) => {
            assert_eq!((range, came.common(ours)), (came, None), "W-VER-2");
        }
        Err(_) => assert_ne!(received.noise, init.noise, "a true message 1 is answered"),
    }
    let wrong = Prologue { consortium: [0x34; 16], ..prologue };
    assert!(answer(&wrong, &received, ours).is_err());
}

/// What an initiator does with responses: those that do not hold end nothing (W-HSK-7), and the true one makes keys that fit.
pub(crate) fn initiator(data: &[u8]) {
    let mut draw = Draw::new(data);
    let prologue = prologue(&mut draw);
    let (theirs, ours) = (stated(&mut draw), stated(&mut draw).unwrap_or(Versions::FIRST));
    let (mut initiator, init) = begin(theirs, &prologue, None);
    let Ok(accepted) = answer(&prologue, &init, ours) else {
        assert_eq!(theirs.unwrap_or(Versions::FIRST).common(ours), None, "a true initiation");
        return;
    };
    let genuine = Packet::from(accepted.response.clone()).encode_unsealed(NodeId::AUTHORITY).freeze();
    for _ in 0..3 {
        let Some(received) = response(&edit(&genuine, &mut draw)) else {
            continue;
        };
        let same = (received.initiator_session, received.noise)
            == (accepted.response.initiator_session, accepted.response.noise);
        if same {
            // Nothing but the range, the MAC or the other's session number may differ: these are found out under the seal.
            let changed = received.extensions != accepted.response.extensions
                || received.responder_session != accepted.response.responder_session;
            if let (Ok(keys), true) = (begin(theirs, &prologue, None).0.try_finish(&received), changed) {
                let same_sessions = received.responder_session == accepted.response.responder_session;
                same_or_nothing(&keys, &accepted.keys, same_sessions);
            }
            break;
        }
        assert!(initiator.try_finish(&received).is_err(), "only the responder can make message 2");
    }
    let keys = initiator.try_finish(&accepted.response).expect("the true response still finishes");
    fit(&keys, &accepted.keys);
}

fn answer(prologue: &Prologue, init: &HandshakeInit, versions: Versions) -> Result<Accepted, HandshakeError> {
    open(&RESPONDER, prologue, init, [0x55; 32])?.answer(versions, RESPONDER_SESSION, NodeId::AUTHORITY)
}

/// W-VER-3, W-VER-4: two sides that know different ranges come to keys that do not fit, or to a proof that says so.
fn same_or_nothing(initiator: &Keys, responder: &Keys, same_sessions: bool) {
    let proof = initiator.agreement.proof();
    let sealed = initiator.sealing.seal(&Packet::from(proof.clone()), NODE, RESPONDER_SESSION, 0);
    let Ok(header) = Header::decode(&sealed) else {
        assert!(initiator.version > NEWEST, "a header of a version that this crate speaks");
        return;
    };
    match responder.opening.open(&header, &sealed) {
        Ok(_) if initiator.agreement == responder.agreement => fit(initiator, responder),
        Ok(_) => assert_ne!(Agreement::of(&proof), responder.agreement, "W-VER-3"),
        Err(error) => {
            assert_eq!(error, OpenError::Forged);
            assert!(initiator.agreement != responder.agreement || !same_sessions, "W-VER-4");
        }
    }
}

fn response(packet: &Bytes) -> Option<HandshakeResponse> {
    match Packet::decode_unsealed(packet) {
        Ok((_, Packet::HandshakeResponse(response))) => Some(response),
        _ => None,
    }
}

fn fit(initiator: &Keys, responder: &Keys) {
    let probe = Packet::from(Probe { nonce: 5, ..Default::default() });
    for (from, to) in [(initiator, responder), (responder, initiator)] {
        let sealed = from.sealing.seal(&probe, NODE, 1, 0);
        let Ok(header) = Header::decode(&sealed) else {
            assert!(from.version > NEWEST, "a header of a version that this crate speaks");
            return;
        };
        assert_eq!(to.opening.open(&header, &sealed), Ok(probe.clone()));
        assert_eq!(from.opening.open(&header, &sealed), Err(OpenError::Forged));
    }
}

fn address(draw: &mut Draw<'_>) -> SocketAddr {
    let ip = if draw.bool() {
        IpAddr::V4(Ipv4Addr::from(draw.array::<4>()))
    } else {
        IpAddr::V6(Ipv6Addr::from(draw.array::<16>()))
    };
    SocketAddr::new(ip, draw.u16())
}
