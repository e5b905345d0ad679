//! Versions of the wire, as the authority receives them (spec/wire.md 3.3). What the two sides come to: the tests of the links.

use super::network::*;
use duohuo_core::event::Event;
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::handshake::Transport;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::*;
use duohuo_wire::versions::{Agreement, Versions};

/// A newer handshake of the standby, which states these versions.
fn speaker(z: &Lone, versions: Option<Versions>) -> Peer {
    let mut peer = Peer::new(z, STANDBY);
    for _ in 0..5 {
        peer.initiate(z, Transport::Datagram); // newer than the one that stands
    }
    peer.versions = versions;
    peer
}

fn asks(z: &mut Lone, peer: &mut Peer) -> usize {
    peer.say(z, Query { request: 1, ..Default::default() });
    peer.heard(z).len()
}

/// W-VER-1, W-VER-2: old and new programs, each in the highest version of both.
#[test]
fn w_ver_2_each_session_speaks_the_highest_version_of_both() {
    for (versions, expected) in [(None, 1), (Some(Versions::FIRST), 1), (Some(Versions::ALL), 2)] {
        let (mut z, ..) = three();
        let mut peer = speaker(&z, versions);
        peer.open_datagram(&mut z, true);
        assert_eq!(peer.datagram.as_ref().unwrap().keys.version, expected);
        assert_eq!(asks(&mut z, &mut peer), 1);
    }
}

/// W-VER-2: silence, a count, and a line for the operator once a minute.
#[test]
fn w_ver_2_without_a_common_version_nothing_is_answered_and_the_operator_is_told_once_a_minute() {
    let (mut z, ..) = three();
    let theirs = Versions::new(7, 9).unwrap();
    let mut peer = speaker(&z, Some(theirs));
    let mut tell = |z: &mut Lone| {
        z.events.clear();
        let (_, init) = peer.initiate(z, Transport::Datagram);
        peer.throw(z, init);
        assert_eq!(z.take_datagrams(peer.address).len(), 0, "silence");
        z.events.clone()
    };
    let event = Event::NoCommonVersion { party: STANDBY, theirs, ours: Versions::ALL };
    assert_eq!(tell(&mut z), [event]);
    assert_eq!(tell(&mut z), []);
    z.pass(ms(60_000));
    assert!(tell(&mut z).contains(&event));
    assert_eq!(z.discards("bad_version"), 3);
}

/// W-VER-3: a proof that tells other ranges ends the session.
#[test]
fn w_ver_3_a_proof_that_tells_other_ranges_ends_the_session() {
    for versions in [None, Some(Versions::FIRST)] {
        let (mut z, ..) = three();
        let mut peer = speaker(&z, versions);
        peer.open_datagram(&mut z, false);
        let proof = peer.proof();
        // What the true initiator would tell if its range had been lowered on the way.
        let responder = Agreement::of(&proof).responder;
        peer.say(&mut z, Agreement { initiator: Versions::ALL, responder }.proof());
        assert_eq!(z.discards("bad_handshake"), 1);
        peer.say(&mut z, proof);
        assert_eq!((z.discards("unknown_session"), asks(&mut z, &mut peer)), (1, 0));
    }
}

/// W-VER-3: the proof that would tell cannot be held back.
#[test]
fn w_ver_3_in_version_1_nothing_is_taken_before_the_proof() {
    for versions in [None, Some(Versions::FIRST)] {
        let (mut z, ..) = three();
        let mut peer = speaker(&z, versions);
        peer.open_datagram(&mut z, false);
        assert_eq!((asks(&mut z, &mut peer), z.discards("bad_handshake")), (0, 1));
        let proof = peer.proof();
        peer.say(&mut z, proof);
        assert_eq!((asks(&mut z, &mut peer), z.discards("bad_handshake")), (1, 1));
    }
}

/// W-VER-4: in version 2 whatever opens proves it, and nothing opens where a range was lowered or taken away.
#[test]
fn w_ver_4_in_version_2_what_opens_proves_the_ranges() {
    let (mut z, ..) = three();
    let mut peer = speaker(&z, Some(Versions::ALL));
    peer.open_datagram(&mut z, false);
    assert_eq!(asks(&mut z, &mut peer), 1, "its proof may be lost");
    let (mut z, ..) = three();
    let mut peer = speaker(&z, Some(Versions::ALL));
    let (initiator, _) = peer.initiate(&z, Transport::Datagram);
    let lowered = peer.restated(&z, Transport::Datagram, Some(Versions::FIRST));
    peer.throw(&mut z, lowered);
    peer.finish_datagram(&mut z, initiator);
    assert_eq!(peer.datagram.as_ref().unwrap().keys.version, 2, "the response says 1..2");
    let proof = peer.proof();
    peer.say(&mut z, proof);
    assert_eq!((asks(&mut z, &mut peer), z.discards("forged")), (0, 2));
}

/// What the machine sent to this peer that opens a handshake.
fn initiations(z: &mut Lone, peer: &Peer) -> Vec<bytes::Bytes> {
    z.pass(ms(1));
    let is_init =
        |bytes: &bytes::Bytes| matches!(Packet::decode_unsealed(bytes), Ok((_, Packet::HandshakeInit(_))));
    z.take_datagrams(peer.address).into_iter().filter(is_init).collect()
}

/// W-VER-6: a master of an older program whose proof was lost is heard again at once, and not when its session is renewed.
#[test]
fn w_ver_6_where_a_proof_was_lost_the_responder_initiates_a_session_of_its_own() {
    let (mut z, ..) = three();
    let mut peer = speaker(&z, None);
    peer.open_datagram(&mut z, false);
    peer.say(&mut z, Query { request: 1, ..Default::default() });
    let initiation = initiations(&mut z, &peer).pop().expect("a session of its own");
    peer.answer_init(&mut z, &initiation);
    assert_eq!(asks(&mut z, &mut peer), 2, "its proof, and the answer");
}

/// W-VER-6: however much comes; and nobody is asked who proves the ranges by the keys, or proved them.
#[test]
fn w_ver_6_one_attempt_at_a_time_and_none_where_no_proof_is_needed() {
    for (versions, proves, attempts) in [
        (None, false, 1),
        (None, true, 0),
        (Some(Versions::FIRST), false, 1),
        (Some(Versions::ALL), false, 0),
    ] {
        let (mut z, ..) = three();
        let mut peer = speaker(&z, versions);
        peer.open_datagram(&mut z, proves);
        for _ in 0..9 {
            peer.say(&mut z, Query { request: 1, ..Default::default() });
        }
        assert_eq!(initiations(&mut z, &peer).len(), attempts, "{versions:?}");
    }
}

/// W-HSK-14: a standby that started again, whose proof was lost, and that says nothing: what it must know goes to its new session.
#[test]
fn w_hsk_14_a_quiet_party_whose_proof_was_lost_hears_again() {
    let (mut z, mut m, ..) = three();
    let mut peer = speaker(&z, Some(Versions::ALL));
    peer.open_datagram(&mut z, false);
    z.pass(ms(997));
    assert_eq!(initiations(&mut z, &peer).len(), 0, "it may be on its way");
    z.pass(ms(2));
    let initiation = initiations(&mut z, &peer).pop().expect("a session of its own");
    peer.answer_init(&mut z, &initiation);
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    assert_eq!(notices(&peer.heard(&mut z)), [(0, Outcome::Notice, 1, 3)]);
}

/// W-HSK-14: whoever proved its session is left alone; and who does not answer is asked as anybody is, one attempt after the other.
#[test]
fn w_hsk_14_nobody_is_asked_who_proved_and_one_attempt_at_a_time_where_none_answers() {
    for (proves, attempts) in [(true, 0), (false, 1)] {
        let (mut z, ..) = three();
        let mut peer = speaker(&z, Some(Versions::ALL));
        peer.open_datagram(&mut z, proves);
        z.pass(ms(1001));
        assert_eq!(initiations(&mut z, &peer).len(), attempts);
        z.pass(ms(15));
        assert_eq!(initiations(&mut z, &peer).len(), 0);
    }
}
