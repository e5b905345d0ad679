//! Sessions and streams, as the authority receives them, and what a client may say.

use super::network::*;
use duohuo_core::io::{Input, StreamId};
use duohuo_tests::consortium::CLIENT;
use duohuo_tests::lone::Peer;
use duohuo_tests::scenario::ms;
use duohuo_wire::handshake::Transport;
use duohuo_wire::ids::{Epoch, NodeId};
use duohuo_wire::packet::*;

/// W-HSK-6, W-HSK-8: message 1 that comes again opens nothing; a session that was never proven is not sent on.
#[test]
fn w_hsk_8_an_unproven_session_changes_and_gets_nothing() {
    let (mut z, mut m, mut a, _) = three();
    let mut again = Peer::new(&z, STANDBY);
    for _ in 0..5 {
        again.initiate(&z, Transport::Datagram); // newer than the one that stands
    }
    let (_, init) = again.initiate(&z, Transport::Datagram);
    again.throw(&mut z, init.clone());
    assert_eq!(z.take_datagrams(again.address).len(), 1, "it is answered");
    again.throw(&mut z, init);
    assert_eq!(z.discards("old_handshake"), 1);
    // What follows is still said in the session that was proven.
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    assert_eq!(notices(&a.heard(&mut z)), [(0, Outcome::Notice, 1, 3)]);
    // Nor does a stream that was not proven replace the one that stands.
    let mut ghost = Peer::new(&z, STANDBY);
    ghost.open_stream(&mut z, false);
    assert_eq!(join(&mut z, &mut a, A).verdict, JoinVerdict::Accepted);
}

/// W-HSK-11: the proof is not answered; any other probe is.
#[test]
fn w_hsk_11_the_proof_is_not_answered() {
    let (mut z, mut m, _, _) = three();
    m.heard(&mut z);
    m.say(&mut z, Probe::default());
    assert_eq!(m.heard(&mut z), []);
    m.say(&mut z, Probe { nonce: 1, ..Default::default() });
    let answer = ProbeAnswer { nonce: 1, role: Role::Ordinary, epoch: Epoch(0), ..Default::default() };
    assert_eq!(m.heard(&mut z), [Packet::from(answer)]);
}

/// W-RCV-1: a session that does not exist, or is another party's, opens nothing; nor one that is too old.
#[test]
fn w_rcv_1_a_packet_of_no_session_is_dropped() {
    let (mut z, mut m, a, _) = three();
    let session = m.datagram.as_ref().unwrap().remote;
    m.datagram.as_mut().unwrap().remote = session ^ 1;
    m.say(&mut z, Query::default());
    m.datagram.as_mut().unwrap().remote = a.datagram.as_ref().unwrap().remote;
    m.say(&mut z, Query::default());
    assert_eq!((z.discards("unknown_session"), m.heard(&mut z)), (2, vec![]));
    m.datagram.as_mut().unwrap().remote = session;
    m.say(&mut z, Query::default());
    assert_eq!(m.heard(&mut z).len(), 1);
    z.pass(ms(900_001));
    m.say(&mut z, Query::default());
    assert_eq!(z.discards("unknown_session"), 3);
}

/// W-RCV-2, W-RCV-3, W-RCV-7, W-WIN-3: a repetition is dropped, and a forged packet moves no window.
#[test]
fn w_rcv_7_a_forged_packet_moves_no_window() {
    let (mut z, mut m, a, _) = three();
    m.heard(&mut z);
    // Another session's key, under the number of this one and far ahead.
    let (theirs, ours) = (a.datagram.as_ref().unwrap(), m.datagram.as_ref().unwrap());
    let forged = theirs.keys.sealing.seal(&Query::default().into(), M, ours.remote, ours.next + 5000);
    let right = m.seal(Query { request: 1, ..Default::default() });
    m.throw(&mut z, forged);
    assert_eq!(z.discards("forged"), 1);
    m.throw(&mut z, right.clone());
    assert_eq!(m.heard(&mut z).len(), 1, "the true one is taken after it");
    m.throw(&mut z, right);
    assert_eq!((z.discards("replayed"), m.heard(&mut z)), (1, vec![]));
}

/// W-RCV-8, W-RCV-2: a stream that skips, repeats or forges is closed; a packet that cannot be read leaves it open, and is
/// answered if it may be of a newer version (W-RCV-5).
#[test]
fn w_rcv_8_a_stream_is_closed_for_a_broken_seal_and_not_for_an_unknown_packet() {
    let (mut z, mut m, _, _) = three();
    m.read(&mut z);
    let mut query = Query { request: 1, ..Default::default() };
    query.extensions.insert(0x8777, &[]);
    m.tell(&mut z, query);
    assert_eq!(z.discards("unknown_critical_tlv"), 1);
    let unsupported = Unsupported { packet_type: 0, critical_tlv: 0x8777, ..Default::default() };
    assert_eq!(m.read(&mut z), [Packet::from(unsupported)]);
    m.tell(&mut z, Query { request: 1, ..Default::default() });
    assert_eq!(notices(&m.read(&mut z)).len(), 1, "the stream is open");
    let stream = m.stream.as_ref().unwrap().0;
    m.stream.as_mut().unwrap().1.next += 1;
    m.tell(&mut z, Query { request: 1, ..Default::default() });
    assert_eq!(z.discards("out_of_sequence"), 1);
    assert!(z.has_closed(stream));
}

/// W-RCV-9: a claim by stream, a join by datagram and the like have no effect, and the stream goes on.
#[test]
fn w_rcv_9_a_packet_that_came_another_way_has_no_effect() {
    let (mut z, mut m, mut a, sealed_id) = three();
    let before = z.row(A);
    m.read(&mut z);
    a.tell(&mut z, claim(&sealed_id));
    m.tell(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    m.tell(&mut z, MasterKeepalive { cluster: A, epoch: Epoch(1), ..Default::default() });
    m.tell(&mut z, Probe { nonce: 5, ..Default::default() });
    m.say(&mut z, Join { request: 1, cluster: A, ..Default::default() });
    m.say(&mut z, Register { request: 1, cluster: A, ..Default::default() });
    assert_eq!(z.discards("forbidden"), 6);
    z.pass(ms(20));
    assert_eq!(z.row(A), before);
    assert_eq!(m.read(&mut z), []);
    m.tell(&mut z, Query { request: 1, ..Default::default() });
    assert_eq!(notices(&m.read(&mut z)).len(), 1);
}

/// W-RCV-10: a sealed datagram from another address than the roster's has no effect.
#[test]
fn w_rcv_10_a_datagram_from_elsewhere_has_no_effect() {
    let (mut z, mut m, _, _) = three();
    m.heard(&mut z);
    let right = m.seal(Query { request: 1, ..Default::default() });
    let from = "127.66.0.1:9".parse().unwrap();
    z.give(Input::Datagram { from, group: false, bytes: right });
    assert_eq!((z.discards("wrong_address"), z.take_datagrams(from), m.heard(&mut z)), (1, vec![], vec![]));
}

/// B-CLI-3: a client asks for the status and watches; nothing else it says has an effect.
#[test]
fn b_cli_3_a_client_has_no_say() {
    let (mut z, _, _, sealed_id) = three();
    let mut client = Peer::new(&z, CLIENT);
    client.open_stream(&mut z, true);
    client.tell(&mut z, StatusQuery { request: 6, ..Default::default() });
    assert!(matches!(&client.read(&mut z)[..], [Packet::StatusAnswer(answer)] if answer.request == 6));
    client.tell(&mut z, Query { request: 1, ..Default::default() });
    client.tell(&mut z, Submit { request: 1, ..Default::default() });
    client.tell(&mut z, claim(&sealed_id));
    client.tell(&mut z, Register { request: 1, cluster: A, ..Default::default() });
    assert_eq!((z.discards("forbidden"), client.read(&mut z)), (4, vec![]));
}

/// B-MESH-2: a person may look from several windows with one key; the ninth closes the first.
#[test]
fn b_mesh_2_a_client_has_eight_streams_and_the_ninth_closes_the_oldest() {
    let (mut z, _, _, _) = three();
    let mut client = Peer::new(&z, CLIENT);
    let mut windows = Vec::new();
    for request in 1..=8 {
        client.open_stream(&mut z, true);
        client.tell(&mut z, StatusQuery { request, ..Default::default() });
        assert_eq!(client.read(&mut z).len(), 1);
        windows.extend(client.stream.take());
    }
    // the first one is still open
    client.stream = Some(windows.remove(0));
    client.tell(&mut z, StatusQuery { request: 9, ..Default::default() });
    assert!(matches!(&client.read(&mut z)[..], [Packet::StatusAnswer(answer)] if answer.request == 9));
    windows.insert(0, client.stream.take().expect("a stream"));
    client.open_stream(&mut z, true);
    windows.extend(client.stream.take());
    let closed: Vec<bool> = windows.iter().map(|(stream, _)| z.has_closed(*stream)).collect();
    assert_eq!(closed, [true, false, false, false, false, false, false, false, false]);
}

/// W-HSK-3, W-HSK-4, W-HSK-12: beyond a hundred initiations a cookie is asked for; with it, from the address it was given to and
/// under the same ephemeral key, the initiation is answered. The cookie is smaller than what it answers.
#[test]
fn w_hsk_4_under_load_an_address_must_be_proved() {
    let mut z = ready();
    let mut flood = Peer::new(&z, M);
    let (_, init) = flood.initiate(&z, Transport::Datagram);
    for _ in 0..100 {
        flood.throw(&mut z, init.clone());
    }
    assert_eq!((z.discards("old_handshake"), z.discards("rate_limited")), (99, 0));
    let mut honest = Peer::new(&z, STANDBY);
    let (_, init) = honest.initiate(&z, Transport::Datagram);
    honest.throw(&mut z, init.clone());
    assert_eq!(z.discards("rate_limited"), 1);
    let answer = z.take_datagrams(honest.address).remove(0);
    assert!(answer.len() < init.len());
    let Ok((_, Packet::Cookie(cookie))) = Packet::decode_unsealed(&answer) else { panic!("{answer:?}") };
    let wrong = honest.initiate_again(&z, [1; 16]);
    honest.throw(&mut z, wrong);
    let right = honest.initiate_again(&z, cookie.cookie);
    z.give(Input::Datagram { from: flood.address, group: false, bytes: right.clone() });
    assert_eq!(z.discards("rate_limited"), 3, "a wrong cookie, and the right one from elsewhere");
    z.take_datagrams(honest.address);
    honest.throw(&mut z, right);
    let answer = z.take_datagrams(honest.address).remove(0);
    assert!(matches!(Packet::decode_unsealed(&answer), Ok((_, Packet::HandshakeResponse(_)))));
}

/// W-HSK-6: a party whose wall clock went back proves its address, and is let in; what was captured is not.
#[test]
fn w_hsk_6_a_clock_that_went_back_locks_nobody_out() {
    let mut z = ready();
    let mut before = Peer::new(&z, STANDBY);
    let (_, captured) = before.initiate(&z, Transport::Datagram);
    for _ in 0..5 {
        before.initiate(&z, Transport::Datagram);
    }
    before.open_datagram(&mut z, true);
    z.forget_outputs();
    let cookie = |z: &mut duohuo_tests::lone::Lone, peer: &Peer| {
        let answers = z.take_datagrams(peer.address);
        let [answer] = &answers[..] else { panic!("one answer: {answers:?}") };
        let Ok((_, Packet::Cookie(cookie))) = Packet::decode_unsealed(answer) else { panic!("a cookie") };
        cookie.cookie
    };
    // The captured first message is answered with a cookie for its address, and opens nothing.
    before.throw(&mut z, captured);
    cookie(&mut z, &before);
    assert_eq!(z.discards("old_handshake"), 1);
    // The same party, its clock behind: with the cookie it is answered.
    let mut behind = Peer::new(&z, STANDBY);
    let (_, init) = behind.initiate(&z, Transport::Datagram);
    behind.throw(&mut z, init);
    let proof = cookie(&mut z, &behind);
    let wrong = behind.initiate_again(&z, [1; 16]);
    behind.throw(&mut z, wrong);
    assert_eq!(z.discards("old_handshake"), 3, "a wrong cookie is none");
    z.forget_outputs();
    let right = behind.initiate_again(&z, proof);
    behind.throw(&mut z, right.clone());
    let answers = z.take_datagrams(behind.address);
    assert!(matches!(Packet::decode_unsealed(&answers[0]), Ok((_, Packet::HandshakeResponse(_)))));
    // A copy of it, on the way for longer, is none: it would put another session in the place of this one.
    behind.throw(&mut z, right);
    assert_eq!((z.discards("old_handshake"), z.take_datagrams(behind.address).len()), (4, 0));
    // A repetition of the newest is refused, cookie or not.
    let (_, newest) = before.initiate(&z, Transport::Datagram);
    before.throw(&mut z, newest.clone());
    z.forget_outputs();
    before.throw(&mut z, newest);
    assert_eq!((z.discards("old_handshake"), z.take_datagrams(before.address).len()), (5, 0));
}

/// W-HSK-12: who has no address in the roster is not looked at, and uses up nobody's allowance.
#[test]
fn w_hsk_12_an_address_of_nobody_costs_no_key_operation() {
    let mut z = ready();
    let mut honest = Peer::new(&z, STANDBY);
    let (_, init) = honest.initiate(&z, Transport::Datagram);
    let from = "127.66.0.1:9".parse().unwrap();
    for _ in 0..500 {
        // It holds, but for the place it comes from.
        z.give(Input::Datagram { from, group: false, bytes: init.clone() });
    }
    assert_eq!((z.discards("wrong_address"), z.discards("rate_limited")), (500, 0));
    assert_eq!(z.take_datagrams(from).len(), 0, "not even a cookie");
    honest.open_datagram(&mut z, true);
}

/// W-HSK-12: an address with its cookie has an allowance of its own, of 20; another one has its own as well.
#[test]
fn w_hsk_12_a_proved_address_has_an_allowance_of_its_own() {
    let mut z = ready();
    let mut flood = Peer::new(&z, M);
    let (_, spoofed) = flood.initiate(&z, Transport::Datagram);
    for _ in 0..100 {
        flood.throw(&mut z, spoofed.clone());
    }
    let proof = |z: &mut duohuo_tests::lone::Lone, peer: &mut Peer| {
        z.forget_outputs();
        let (_, init) = peer.initiate(z, Transport::Datagram);
        peer.throw(z, init);
        let answer = z.take_datagrams(peer.address).remove(0);
        let Ok((_, Packet::Cookie(cookie))) = Packet::decode_unsealed(&answer) else { panic!("{answer:?}") };
        peer.initiate_again(z, cookie.cookie)
    };
    let mut greedy = Peer::new(&z, STANDBY);
    let right = proof(&mut z, &mut greedy);
    let before = z.discards("rate_limited");
    for _ in 0..25 {
        greedy.throw(&mut z, right.clone());
    }
    // The first is answered, 19 are repetitions of it, 5 are not looked at.
    assert_eq!((z.discards("old_handshake"), z.discards("rate_limited")), (99 + 19, before + 5));
    assert_eq!(z.take_datagrams(greedy.address).len(), 1, "who has a cookie is sent no other");
    let right = proof(&mut z, &mut flood);
    flood.throw(&mut z, right);
    let answer = z.take_datagrams(flood.address).remove(0);
    assert!(matches!(Packet::decode_unsealed(&answer), Ok((_, Packet::HandshakeResponse(_)))));
}

/// W-HSK-13: of the streams of strangers, all from one address or not, the 401st initiation at once closes its stream; a member
/// and its stream are let in all the same.
#[test]
fn w_hsk_13_a_stream_beyond_the_allowance_is_closed_and_a_members_is_not() {
    let mut z = ready();
    let mut client = Peer::new(&z, CLIENT);
    let (_, init) = client.initiate(&z, Transport::Stream);
    let mut streams = Vec::new();
    for n in 0..401_u64 {
        let stream = StreamId(100_000 + 2 * n);
        let from = std::net::SocketAddr::from(([127, 66, (n % 3) as u8, 1], 9));
        z.give(Input::StreamAccepted { stream, from });
        z.give(Input::StreamBytes { stream, bytes: init.clone() });
        z.give(Input::StreamClosed { stream });
        streams.push(stream);
    }
    assert_eq!(z.discards("rate_limited"), 1);
    let closed: Vec<bool> = streams.iter().map(|stream| z.has_closed(*stream)).collect();
    assert_eq!((closed[399], closed[400]), (false, true));
    connected(&mut z, STANDBY);
}
