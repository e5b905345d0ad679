//! Sessions as a node begins them.

use super::scene::*;
use bytes::Bytes;
use duohuo_core::event::Event;
use duohuo_core::io::Input;
use duohuo_tests::consortium::{Consortium, FIG_18};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::*;
use duohuo_wire::versions::{Agreement, Versions};

/// W-RCV-9: what the authority says another way than it travels has no effect at a node.
#[test]
fn w_rcv_9_an_answer_that_came_another_way_has_no_effect() {
    let mut scene = Scene::new();
    let answer = JoinAnswer { verdict: JoinVerdict::Accepted, ..Default::default() };
    scene.z.say(&mut scene.n, answer);
    scene.z.tell(&mut scene.n, Probe { nonce: 4, ..Default::default() });
    scene.z.tell(&mut scene.n, MasterKeepaliveAnswer { challenge: 4, ..Default::default() });
    assert_eq!(scene.n.discards("forbidden"), 3);
    assert!(!scene.n.events.iter().any(|e| matches!(e, Event::Joined { .. })));
    assert!(!scene.z.heard(&mut scene.n).iter().any(|p| matches!(p, Packet::ProbeAnswer(_))));
}

/// W-HSK-7, W-HSK-9, W-HSK-10: a wrong answer does not end a handshake; each attempt has its own ephemeral key and number.
#[test]
fn w_hsk_7_a_forged_response_does_not_end_the_attempt() {
    let mut n = Lone::new(Consortium::new(1, &FIG_18), ME);
    let mut z = Peer::new(&n, NodeId::AUTHORITY);
    z.accept_stream(&mut n);
    n.pass(ms(19));
    let initiations = n.take_datagrams(z.address);
    assert_eq!(initiations.len(), 1);
    n.pass(ms(2));
    let again = n.take_datagrams(z.address);
    let init = |bytes: &Bytes| match Packet::decode_unsealed(bytes) {
        Ok((_, Packet::HandshakeInit(init))) => init,
        other => panic!("{other:?}"),
    };
    let (first, second) = (init(&initiations[0]), init(&again[0]));
    assert_ne!(first.noise[..32], second.noise[..32]);
    assert!(first.initiator_session != second.initiator_session && second.initiator_session != 0);
    // An answer to the attempt before is another session's; one that was damaged is refused; the true one still holds.
    n.give(Input::Tick);
    let forged = HandshakeResponse { initiator_session: second.initiator_session, ..Default::default() };
    z.throw(&mut n, Packet::from(forged).encode_unsealed(z.id).freeze());
    assert_eq!(n.discards("bad_mac"), 1);
    let other = HandshakeResponse { initiator_session: first.initiator_session, ..Default::default() };
    z.throw(&mut n, Packet::from(other).encode_unsealed(z.id).freeze());
    assert_eq!(n.discards("unknown_session"), 1);
    z.answer_init(&mut n, &again[0]);
    let proof = z.heard(&mut n);
    let ranges = Agreement { initiator: Versions::ALL, responder: Versions::FIRST };
    assert_eq!(proof, [Packet::from(ranges.proof())], "the proof comes first (W-HSK-11)");
}
