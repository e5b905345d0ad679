//! The authority: joining, registering, telling, asking, ageing.

use super::network::*;
use bytes::Bytes;
use duohuo_core::Duration;
use duohuo_core::authority::Authority;
use duohuo_core::authority::table::{At, Command};
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Stored};
use duohuo_tests::consortium::{CLIENT, Consortium, FIG_18, node};
use duohuo_tests::lone::{Lone, Peer, authority_config};
use duohuo_tests::scenario::ms;
use duohuo_wire::handshake::public_key;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId, Version};
use duohuo_wire::packet::*;

/// AUTH-1, B-AUTH-6: an enrolled node is let in, one of another cluster and a client are not.
#[test]
fn auth_1_only_a_node_of_the_cluster_is_let_in() {
    let mut z = ready();
    let mut n = connected(&mut z, M);
    assert_eq!(join(&mut z, &mut n, A).verdict, JoinVerdict::Accepted);
    assert_eq!(join(&mut z, &mut n, ClusterId(2)).verdict, JoinVerdict::WrongCluster);
    let mut client = Peer::new(&z, CLIENT);
    client.open_stream(&mut z, true);
    client.tell(&mut z, Join { request: 1, cluster: A, roster_version: 1, ..Default::default() });
    assert_eq!(z.discards("forbidden"), 1);
}

/// AUTH-3, B-AUTH-7, B-AUTH-8: the first registers, with a sealed ID for each node; the second is told the row.
#[test]
fn auth_3_a_cluster_is_registered_once() {
    let mut z = ready();
    register(&mut z, 0);
    let mut late = connected(&mut z, STANDBY);
    late.tell(&mut z, Register { request: 6, cluster: A, ..Default::default() });
    let read = late.read(&mut z);
    let already =
        |p: &Packet| matches!(p, Packet::Registered(r) if r.verdict == RegisterVerdict::AlreadyRegistered);
    assert!(already(&read[0]));
    assert_eq!(notices(&read), [(0, Outcome::Notice, 1, 0)]);
    assert_eq!(z.row(A).unwrap().master, M);
}

/// B-AUTH-1: nothing shows a decision before it is durable: no answer, no notice, no event, no keepalive's answer.
#[test]
fn b_auth_1_a_decision_is_told_when_it_is_durable() {
    let (mut z, mut m, mut a, _) = three();
    z.quick_disk = false;
    z.events.clear();
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    m.say(&mut z, keepalive(1, 0));
    m.say(&mut z, Query { request: 4, scope: QueryScope::Cluster, cluster: A, ..Default::default() });
    assert!(z.is_writing());
    assert_eq!((m.heard(&mut z), a.heard(&mut z)), (vec![], vec![]));
    assert_eq!(z.events, []);
    z.sync();
    assert_eq!(notices(&m.heard(&mut z))[0], (7, Outcome::Done, 1, 3));
    assert_eq!(notices(&a.heard(&mut z)), [(0, Outcome::Notice, 1, 3)]);
    assert!(z.events.iter().any(|e| matches!(e, Event::InSyncChanged { .. })));
}

/// B-BND-4: who asks and asks while nothing becomes durable fills no memory; what was decided is told all the same.
#[test]
fn b_bnd_4_of_what_is_asked_while_the_disk_is_slow_so_much_waits() {
    let (mut z, mut m, mut a, _) = three();
    z.quick_disk = false;
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    for request in 0..9_000 {
        a.say(&mut z, Query { request, scope: QueryScope::Cluster, cluster: A, ..Default::default() });
    }
    m.say(&mut z, change(ChangeKind::Remove, 1, 3, STANDBY));
    let dropped = z.discards("rate_limited");
    assert!((808..=812).contains(&dropped), "{dropped}");
    z.sync();
    assert_eq!(a.heard(&mut z).len() as u64, 9_000 - dropped + 2, "and two decisions");
    a.say(&mut z, Query { request: 1, scope: QueryScope::Cluster, cluster: A, ..Default::default() });
    assert_eq!(notices(&a.heard(&mut z)).len(), 1);
}

/// B-AUTH-9: of two decisions under way the first is told as it was, not as the second made it.
#[test]
fn b_auth_9_a_decision_is_told_as_it_was() {
    let (mut z, mut m, _, _) = three();
    z.quick_disk = false;
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    m.say(&mut z, change(ChangeKind::Remove, 1, 3, STANDBY));
    z.sync();
    let told: Vec<u64> = notices(&m.heard(&mut z)).iter().map(|n| n.3).collect();
    assert_eq!(told, [3, 3, 4, 4]);
}

/// B-AUTH-2: what was decided is there after a restart, and the authority goes on from it.
#[test]
fn b_auth_2_a_restart_remembers_every_decision() {
    let (z, _, _, _) = three();
    let before = z.row(A);
    assert_eq!(z.restarted().row(A), before);
}

/// B-AUTH-4: after a failed write it says nothing more, whatever is asked, and exits.
#[test]
fn b_auth_4_after_a_failed_write_it_is_silent() {
    let (mut z, mut m, _, _) = three();
    z.quick_disk = false;
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    z.give(Input::PersistFailed);
    assert!(z.has_exited());
    z.forget_outputs();
    m.say(&mut z, Query { request: 4, ..Default::default() });
    m.say(&mut z, Probe { nonce: 3, ..Default::default() });
    z.give(Input::Tick);
    assert_eq!(z.sent(), 0);
}

/// AUTH-8, B-AUTH-5: a change is told to all nodes of the cluster and to the masters of the others, and to nobody else.
#[test]
fn auth_8_a_change_is_told_to_the_cluster_and_the_other_masters() {
    let (mut z, mut m, mut a, _) = three();
    let (mut other, _) = register(&mut z, 1);
    let mut other_standby = connected(&mut z, node(1, 1));
    let mut third = connected(&mut z, NodeId(13));
    z.pass(ms(10));
    for peer in [&mut m, &mut a, &mut other, &mut third] {
        peer.heard(&mut z);
    }
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    assert_eq!(notices(&m.heard(&mut z)), [(7, Outcome::Done, 1, 3), (0, Outcome::Notice, 1, 3)]);
    for peer in [&mut a, &mut other, &mut third] {
        assert_eq!(notices(&peer.heard(&mut z)), [(0, Outcome::Notice, 1, 3)]);
    }
    assert_eq!(other_standby.heard(&mut z), []);
    // What changed nothing is told to nobody but the asker.
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, STANDBY));
    assert_eq!(notices(&m.heard(&mut z)), [(7, Outcome::Stale, 1, 3)]);
    assert_eq!(notices(&a.heard(&mut z)), []);
}

/// B-AUTH-5: a cluster hears of its own decisions at once; to the masters of others goes one row a millisecond, the newest of
/// each cluster.
#[test]
fn b_auth_5_other_masters_hear_of_many_decisions_row_by_row() {
    let (mut z, mut m, mut a, _) = three();
    let (mut other, _) = register(&mut z, 1);
    z.pass(ms(10));
    for peer in [&mut m, &mut a, &mut other] {
        peer.heard(&mut z);
    }
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    m.say(&mut z, change(ChangeKind::Remove, 1, 3, STANDBY));
    m.say(&mut z, change(ChangeKind::Add, 1, 4, STANDBY));
    let told = |version| (0, Outcome::Notice, 1, version);
    assert_eq!(notices(&a.heard(&mut z)), [told(3), told(4), told(5)]);
    assert_eq!(notices(&other.heard(&mut z)), [told(3)]);
    z.pass(ms(1) - Duration::from_nanos(1));
    assert_eq!(notices(&other.heard(&mut z)), []);
    z.pass(Duration::from_nanos(1));
    assert_eq!(notices(&other.heard(&mut z)), [told(5)]);
    z.pass(ms(10));
    assert_eq!(notices(&other.heard(&mut z)), []);
}

/// AUTH-2, AUTH-4, B-AGE-1, B-AGE-2: an answer to a challenge keeps the entry alive; silence and repeated keepalives do not.
#[test]
fn auth_4_only_a_fresh_keepalive_of_the_master_resets_its_age() {
    let (mut z, mut m, mut a, _) = three();
    let challenge = |heard: Vec<Packet>| {
        heard.iter().find_map(|p| match p {
            Packet::MasterKeepaliveAnswer(answer) => Some(answer.challenge),
            _ => None,
        })
    };
    let aged = |z: &Lone| z.events.iter().any(|e| matches!(e, Event::AgedOut { .. }));
    m.say(&mut z, keepalive(1, 0));
    let mut next = challenge(m.heard(&mut z)).unwrap();
    for _ in 0..10 {
        z.pass(ms(40));
        m.say(&mut z, keepalive(1, next));
        let answered = challenge(m.heard(&mut z)).unwrap();
        assert!(answered != 0 && answered != next, "each challenge is fresh");
        next = answered;
    }
    assert!(!aged(&z), "who answers every 40 ms is not 50 ms old");
    // What was captured long ago carries an old challenge; another epoch and another node keep nobody alive.
    z.pass(ms(30));
    m.say(&mut z, keepalive(1, 1));
    m.say(&mut z, keepalive(2, next));
    a.say(&mut z, keepalive(1, next));
    assert_eq!(z.discards("old_epoch"), 2);
    assert_eq!(challenge(a.heard(&mut z)), Some(0));
    z.pass(ms(19));
    assert!(!aged(&z));
    z.pass(ms(2));
    assert!(aged(&z));
    assert_eq!(z.row(A).unwrap().master, M, "the row stays");
}

/// B-AGE-4: what told a node that it is to lead may have been lost; while it is not heard it is told again, and only then.
#[test]
fn b_age_4_a_master_that_is_not_heard_is_told_its_row_again() {
    let (mut z, mut m, mut a, _) = three();
    let told = |z: &mut Lone, p: &mut Peer| {
        let (by_stream, by_datagram) = (p.read(z), p.heard(z));
        [notices(&by_stream), notices(&by_datagram)].concat()
    };
    told(&mut z, &mut m);
    told(&mut z, &mut a);
    m.say(&mut z, keepalive(1, 0));
    z.pass(ms(49));
    assert_eq!(told(&mut z, &mut m), [], "it is heard");
    for _ in 0..3 {
        z.pass(ms(50));
        assert_eq!(told(&mut z, &mut m), [(0, Outcome::Notice, 1, 2)]);
    }
    assert_eq!(told(&mut z, &mut a), [], "it concerns the master alone");
}

/// AUTH-7, B-QRY-1: all rows, one, those that changed, and the history by stream.
#[test]
fn auth_7_a_query_is_answered_by_the_rows_asked_for() {
    let (mut z, mut m, _, _) = three();
    register(&mut z, 1);
    m.heard(&mut z);
    let query = |scope, cluster, since| Query {
        request: 3,
        scope,
        cluster: ClusterId(cluster),
        since,
        ..Default::default()
    };
    m.say(&mut z, query(QueryScope::Cluster, 0, 0));
    assert_eq!(notices(&m.heard(&mut z)), [(3, Outcome::Notice, 1, 2), (3, Outcome::Notice, 1, 0)]);
    m.say(&mut z, query(QueryScope::Cluster, 2, 0));
    assert_eq!(notices(&m.heard(&mut z)), [(3, Outcome::Notice, 1, 0)]);
    m.say(&mut z, query(QueryScope::Changed, 0, 3));
    assert_eq!(notices(&m.heard(&mut z)), [(3, Outcome::Notice, 1, 0)]);
    m.say(&mut z, query(QueryScope::History, 0, 0));
    assert_eq!((z.discards("forbidden"), m.heard(&mut z)), (1, vec![]));
    m.tell(&mut z, query(QueryScope::History, 0, 0));
    let histories: Vec<Vec<NodeId>> = m
        .read(&mut z)
        .into_iter()
        .filter_map(|p| match p {
            Packet::History(h) => Some(h.nodes),
            _ => None,
        })
        .collect();
    assert_eq!(histories, [vec![M], vec![node(1, 0)], vec![], vec![]]);
}

/// B-AUTH-2: a log with a gap, an unreadable command, or one that does not follow the one before stops the start.
#[test]
fn b_auth_2_a_damaged_log_stops_the_start() {
    let register = Command::Register { cluster: A, node: M }.encode();
    let add = |epoch| {
        let at = At { epoch: Epoch(epoch), version: Version(0) };
        Command::Add { cluster: A, at, node: STANDBY }.encode()
    };
    let starts = |commands: &[(u64, &Bytes)]| {
        let commands = commands.iter().map(|(at, command)| (*at, (*command).clone())).collect();
        let stored = Stored { commands, ..Stored::default() };
        Authority::new(authority_config(&Consortium::new(1, &FIG_18)), stored).is_ok()
    };
    assert!(starts(&[]) && starts(&[(1, &register), (2, &add(1))]));
    assert!(!starts(&[(2, &register)]) && !starts(&[(1, &register), (3, &add(1))]));
    assert!(!starts(&[(1, &register), (2, &add(2))]) && !starts(&[(1, &add(1))]));
    assert!(!starts(&[(1, &register.slice(1..))]));
}

/// B-ROS-2: whose session key the new roster withdraws is told so, cut off, and has no effect any more; under its new key it
/// comes back, and nobody else notices.
#[test]
fn b_ros_2_a_withdrawn_key_says_nothing_more_and_the_others_go_on() {
    let (mut z, mut m, mut a, _) = three();
    let mut client = Peer::new(&z, CLIENT);
    client.open_stream(&mut z, true);
    // One whose handshake is not proven yet.
    let mut slow = Peer::new(&z, NodeId(13));
    slow.open_datagram(&mut z, false);
    z.forget_outputs();
    let renewed = [5; 32];
    let mut roster = z.consortium.roster.clone();
    roster.version += 1;
    roster.clients.clear();
    roster.clusters[0].nodes[0].session_key = public_key(&renewed);
    roster.clusters[0].nodes[2].session_key = public_key(&[6; 32]);
    let roster = roster.sign(&z.consortium.operator.clone());
    z.give(Input::Roster(Box::new(roster)));
    let stream_of = |peer: &Peer| peer.stream.as_ref().unwrap().0;
    assert!(m.read(&mut z).iter().any(|p| matches!(p, Packet::RosterPush(_))), "it is told before");
    assert!(z.has_closed(stream_of(&m)) && z.has_closed(stream_of(&client)));
    assert!(!z.has_closed(stream_of(&a)));
    // What it goes on saying under the old key opens nothing, and neither does the proof that was on its way.
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    slow.say(&mut z, Probe::default());
    assert_eq!(z.discards("unknown_session"), 2);
    assert_eq!(z.row(A).unwrap().in_sync.len(), 3);
    m.tell(&mut z, Query { request: 4, scope: QueryScope::Cluster, cluster: A, ..Default::default() });
    assert_eq!((m.read(&mut z), m.heard(&mut z)), (vec![], vec![]));
    a.say(&mut z, Query { request: 5, scope: QueryScope::Cluster, cluster: A, ..Default::default() });
    assert_eq!(notices(&a.heard(&mut z)).len(), 1);
    // Under the new key it is let in.
    let mut again = Peer::new(&z, M);
    again.keys.session = renewed;
    again.open_stream(&mut z, true);
    assert_eq!(join(&mut z, &mut again, A).verdict, JoinVerdict::Accepted);
}
