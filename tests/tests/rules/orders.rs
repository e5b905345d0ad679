//! The orders of an operator, one rule after the other, and the journal of what was decided.

use super::network::*;
use duohuo_core::event::Event;
use duohuo_core::io::Table;
use duohuo_tests::consortium::{CLIENT, cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::packet::*;
use duohuo_wire::sign::VerifyingKey;

const ORDINARY: NodeId = NodeId(13);
/// The machine's wall clock at the start of each test.
const NOW: u64 = 1_700_000_000;

fn operator(z: &mut Lone) -> Peer {
    let mut client = Peer::new(z, CLIENT);
    client.open_stream(z, true);
    client
}

fn unsigned(z: &Lone, number: u64, kind: OrderKind, node: NodeId) -> SignedOrder {
    SignedOrder {
        consortium: z.consortium.roster.consortium,
        number,
        kind,
        cluster: A,
        node,
        epoch: Epoch(0),
        expires: NOW + 3600,
        who: "Ada".to_owned(),
        why: "a drill".to_owned(),
        signature: [0; 64],
    }
}

fn hand_in(z: &mut Lone, client: &mut Peer, order: SignedOrder) {
    let order = order.sign(&z.consortium.operator);
    client.tell(z, Order { request: 3, order, ..Default::default() });
}

fn answer(z: &mut Lone, client: &mut Peer) -> Option<OrderAnswer> {
    client.read(z).into_iter().find_map(|packet| match packet {
        Packet::OrderAnswer(answer) => Some(answer),
        _ => None,
    })
}

/// What becomes of an order that is answered at once.
fn outcome(z: &mut Lone, client: &mut Peer, order: SignedOrder) -> OrderOutcome {
    hand_in(z, client, order);
    answer(z, client).expect("it is answered").outcome
}

/// Cluster A led by 11 with all in sync, and registered clusters B, C, D beside it; an operator.
fn network() -> (Lone, Peer, Peer, Peer) {
    let (z, m, a, client, _) = whole_network();
    (z, m, a, client)
}

/// The masters of the other clusters, too.
fn whole_network() -> (Lone, Peer, Peer, Peer, Vec<Peer>) {
    let (mut z, m, a, _) = three();
    let others = (1..4).map(|c| register(&mut z, c).0).collect();
    let client = operator(&mut z);
    (z, m, a, client, others)
}

/// B-ORD-1, B-ORD-2: what is not the operator's, of another consortium, late or used already changes nothing.
#[test]
fn b_ord_1_an_order_is_the_operators_and_is_used_once() {
    let (mut z, _, _, mut client) = network();
    let pause = |z: &Lone, number| unsigned(z, number, OrderKind::Pause, NodeId(0));
    let forged = pause(&z, 1).sign(&z.consortium.keys[&NodeId::AUTHORITY].signing);
    client.tell(&mut z, Order { request: 3, order: forged, ..Default::default() });
    assert_eq!(answer(&mut z, &mut client).unwrap().outcome, OrderOutcome::BadSignature);
    let other = SignedOrder { consortium: [9; 16], ..pause(&z, 1) };
    assert_eq!(outcome(&mut z, &mut client, other), OrderOutcome::WrongConsortium);
    let nobody = SignedOrder { who: String::new(), ..pause(&z, 1) };
    assert_eq!(outcome(&mut z, &mut client, nobody), OrderOutcome::Malformed);
    let late = SignedOrder { expires: NOW, ..pause(&z, 1) };
    assert_eq!(outcome(&mut z, &mut client, late), OrderOutcome::Expired);
    let unknown = SignedOrder { cluster: ClusterId(99), ..pause(&z, 1) };
    assert_eq!(outcome(&mut z, &mut client, unknown), OrderOutcome::Unknown);
    assert!(!z.events.iter().any(|e| matches!(e, Event::Ordered { .. })));
    let order = pause(&z, 5);
    assert_eq!(outcome(&mut z, &mut client, order.clone()), OrderOutcome::Done);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Replayed);
    let lower = unsigned(&z, 4, OrderKind::Resume, NodeId(0));
    assert_eq!(outcome(&mut z, &mut client, lower), OrderOutcome::Replayed);
    let mut z = z.restarted();
    z.pass(ms(201));
    let mut client = operator(&mut z);
    let again = unsigned(&z, 5, OrderKind::Resume, NodeId(0));
    assert_eq!(outcome(&mut z, &mut client, again), OrderOutcome::Replayed, "after a restart, too");
}

/// B-ORD-3: an order for one epoch is not for another.
#[test]
fn b_ord_3_an_order_is_for_the_epoch_it_names() {
    let (mut z, _, _, mut client) = network();
    let mut order = unsigned(&z, 1, OrderKind::Switch, STANDBY);
    order.epoch = Epoch(2);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Stale);
    assert_eq!(z.row(A).unwrap().epoch, Epoch(1));
}

/// B-ORD-4: nothing of an order shows before it is durable, and who and why are in the journal.
#[test]
fn b_ord_4_an_order_is_told_when_it_is_durable() {
    let (mut z, _, _, mut client) = network();
    z.quick_disk = false;
    z.events.clear();
    let pause = unsigned(&z, 1, OrderKind::Pause, NodeId(0));
    hand_in(&mut z, &mut client, pause);
    client.tell(&mut z, JournalQuery { request: 4, from: 1, ..Default::default() });
    assert_eq!((client.read(&mut z), z.events.clone()), (vec![], vec![]));
    z.sync();
    let read = client.read(&mut z);
    assert!(matches!(&read[0], Packet::OrderAnswer(a) if a.outcome == OrderOutcome::Done && a.number == 1));
    let Packet::Journal(page) = &read[1] else { panic!("a page") };
    let last = page.entries.last().unwrap();
    let order = SignedOrder::decode(&last.order).unwrap();
    assert_eq!((order.who.as_str(), order.why.as_str(), last.kind), ("Ada", "a drill", DecisionKind::Order));
    let authority = VerifyingKey::from_bytes(&z.consortium.roster.authority.signing_key).unwrap();
    assert!(page.verify(&authority));
    let hash = page.entries.iter().fold(page.before, |hash, entry| entry.chained(&hash));
    assert_eq!((hash, page.head), (page.head_hash, last.number));
}

/// B-ORD-5: the incumbent is asked; when it resigns, the node ordered is granted with the whole set, and nobody else.
#[test]
fn b_ord_5_a_switch_is_granted_when_the_incumbent_resigns() {
    let (mut z, mut m, mut a, mut client) = network();
    let switch = unsigned(&z, 1, OrderKind::Switch, NodeId(0));
    hand_in(&mut z, &mut client, switch);
    assert_eq!(answer(&mut z, &mut client), None);
    let asked = |p: &Packet| matches!(p, Packet::ForcedSwitch(s) if s.order.height == Height(0) && s.order.old_master == M);
    assert!(m.read(&mut z).iter().any(asked));
    let second = unsigned(&z, 2, OrderKind::Switch, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, second), OrderOutcome::Busy);
    m.say(&mut z, change(ChangeKind::Resign, 1, 2, M));
    let row = z.row(A).unwrap();
    assert_eq!((row.epoch, row.master), (Epoch(2), STANDBY));
    assert_eq!(row.in_sync, [M, STANDBY, ORDINARY]);
    assert!(!row.unfenced && row.barred.is_empty());
    assert_eq!(answer(&mut z, &mut client).unwrap().outcome, OrderOutcome::Done);
    assert!(notices(&a.heard(&mut z)).contains(&(0, Outcome::Notice, 2, 0)));
}

/// B-ORD-5: an incumbent that does not resign is not waited for longer than sync_interval; one that claims anew has gone.
#[test]
fn b_ord_5_a_switch_does_not_wait_for_ever() {
    let (mut z, _m, _a, mut client) = network();
    let switch = unsigned(&z, 1, OrderKind::Switch, STANDBY);
    hand_in(&mut z, &mut client, switch);
    z.pass(ms(199));
    assert_eq!(z.row(A).unwrap().epoch, Epoch(1));
    z.pass(ms(1));
    assert_eq!(z.row(A).unwrap().master, STANDBY);
    let (mut z, mut m, _a, mut client) = network();
    let sealed_id = join(&mut z, &mut m, A).sealed_id;
    let switch = unsigned(&z, 1, OrderKind::Switch, STANDBY);
    hand_in(&mut z, &mut client, switch);
    m.say(&mut z, claim(&sealed_id));
    let row = z.row(A).unwrap();
    assert_eq!((row.epoch, row.master), (Epoch(2), STANDBY));
}

/// B-ORD-5: who cannot take over is not switched to.
#[test]
fn b_ord_5_only_a_member_that_is_heard_takes_over() {
    let (mut z, mut m, mut a, mut client) = network();
    let to = |z: &Lone, node| unsigned(z, 1, OrderKind::Switch, node);
    let order = to(&z, M);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::IsMaster);
    let order = to(&z, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Unheard);
    a.hang_up(&mut z);
    let order = to(&z, NodeId(0));
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::NobodyElse);
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, ORDINARY));
    let order = to(&z, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::NotInSync);
    let order = SignedOrder { node: NodeId(21), ..to(&z, M) };
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Unknown);
    assert_eq!(z.row(A).unwrap().epoch, Epoch(1));
}

/// B-ORD-6: while it is paused nobody is switched but by order; the row's own master may come back.
#[test]
fn b_ord_6_a_pause_suspends_automatic_switches() {
    let (mut z, mut m, mut a, mut client) = network();
    let sealed_id = join(&mut z, &mut a, A).sealed_id;
    let everywhere = SignedOrder { cluster: ClusterId(0), ..unsigned(&z, 1, OrderKind::Pause, NodeId(0)) };
    assert_eq!(outcome(&mut z, &mut client, everywhere.clone()), OrderOutcome::Done);
    let again = SignedOrder { number: 2, ..everywhere };
    assert_eq!(outcome(&mut z, &mut client, again), OrderOutcome::Unchanged);
    m.hang_up(&mut z);
    a.heard(&mut z);
    a.say(&mut z, Update { version: Version(3), ..claim(&sealed_id) });
    z.pass(ms(50));
    assert_eq!(notices(&a.heard(&mut z)), [(8, Outcome::Paused, 1, 3)]);
    let switch = unsigned(&z, 3, OrderKind::Switch, STANDBY);
    assert_eq!(outcome(&mut z, &mut client, switch), OrderOutcome::Done, "an order is no automatic switch");
    let sealed_id = join(&mut z, &mut a, A).sealed_id;
    let own = Update { epoch: Epoch(2), version: Version(0), ..claim(&sealed_id) };
    a.say(&mut z, own);
    assert_eq!(z.row(A).unwrap().epoch, Epoch(3), "the master that restarted is none");
    let resume = SignedOrder { cluster: ClusterId(0), ..unsigned(&z, 4, OrderKind::Resume, NodeId(0)) };
    assert_eq!(outcome(&mut z, &mut client, resume), OrderOutcome::Done);
}

/// B-ORD-7: a node is forced only when nobody of the set is there; it is alone, and owes the fence.
#[test]
fn b_ord_7_a_force_is_for_a_set_that_is_lost() {
    let (mut z, mut m, mut a, mut client) = network();
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, ORDINARY));
    let force = |z: &Lone, number, node| unsigned(z, number, OrderKind::Force, node);
    let order = force(&z, 1, ORDINARY);
    a.heard(&mut z);
    hand_in(&mut z, &mut client, order.clone());
    z.pass(ms(40));
    let nonce = probe_of(&a.heard(&mut z)).expect("a member with a stream is probed");
    let alive = ProbeAnswer { nonce, role: Role::Ordinary, epoch: Epoch(1), ..Default::default() };
    a.say(&mut z, alive.clone());
    assert_eq!(answer(&mut z, &mut client).unwrap().outcome, OrderOutcome::SetAlive);
    // Cut off, its stream still stands: it answers nothing, or something of before.
    hand_in(&mut z, &mut client, order);
    a.say(&mut z, alive);
    z.pass(ms(49));
    assert_eq!((answer(&mut z, &mut client), z.row(A).unwrap().epoch), (None, Epoch(1)));
    z.pass(ms(1));
    assert_eq!(z.row(A).unwrap().epoch, Epoch(2));
    let (mut z, mut m, mut a, mut client) = network();
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, ORDINARY));
    m.hang_up(&mut z);
    a.hang_up(&mut z);
    let order = force(&z, 1, STANDBY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::InSync);
    let order = force(&z, 1, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Done);
    let row = z.row(A).unwrap();
    assert_eq!((row.epoch, row.master, row.unfenced), (Epoch(2), ORDINARY, true));
    assert_eq!(row.in_sync, [ORDINARY]);
}

/// B-ORD-7: f clusters at one height are forced, and no more (n = 4: one).
#[test]
fn b_ord_7_no_more_than_f_clusters_are_cold_at_once() {
    let (mut z, mut m, mut a, mut client, mut others) = whole_network();
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, ORDINARY));
    m.hang_up(&mut z);
    a.hang_up(&mut z);
    let order = unsigned(&z, 1, OrderKind::Force, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Done);
    others[0].hang_up(&mut z);
    let other = |number, z: &Lone| SignedOrder {
        cluster: cluster_id(1),
        ..unsigned(z, number, OrderKind::Force, node(1, 1))
    };
    let order = other(2, &z);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::TooManyForced);
    // Its fence stands, but nobody says yet that the chain is above it.
    let mut forced = connected(&mut z, ORDINARY);
    let fenced = Fenced { request: 7, cluster: A, epoch: Epoch(2), height: Height(9), ..Default::default() };
    forced.say(&mut z, fenced);
    assert!(!z.row(A).unwrap().unfenced);
    let order = other(2, &z);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::TooManyForced);
    for (peer, c) in others.iter_mut().skip(1).zip([2, 3]) {
        let keepalive = MasterKeepalive {
            cluster: cluster_id(c),
            epoch: Epoch(1),
            height: Height(9),
            ..Default::default()
        };
        peer.heard(&mut z);
        peer.say(&mut z, keepalive.clone());
        let challenge = peer.heard(&mut z).into_iter().find_map(|p| match p {
            Packet::MasterKeepaliveAnswer(answer) => Some(answer.challenge),
            _ => None,
        });
        peer.say(&mut z, MasterKeepalive { challenge: challenge.unwrap(), ..keepalive });
    }
    let order = other(2, &z);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Done, "the chain has passed the fence");
}

/// B-ORD-8: only the forced master says that its fence stands, once; until then it adds nobody.
#[test]
fn b_ord_8_an_unfenced_master_is_alone_until_its_fence_stands() {
    let (mut z, mut m, mut a, mut client) = network();
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, ORDINARY));
    m.hang_up(&mut z);
    a.hang_up(&mut z);
    let order = unsigned(&z, 1, OrderKind::Force, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Done);
    let mut forced = connected(&mut z, ORDINARY);
    let fenced = Fenced { request: 7, cluster: A, epoch: Epoch(2), height: Height(9), ..Default::default() };
    a.heard(&mut z);
    a.say(&mut z, fenced.clone());
    assert_eq!(notices(&a.heard(&mut z))[0].1, Outcome::NotMaster);
    forced.heard(&mut z);
    forced.say(&mut z, change(ChangeKind::Add, 2, 0, STANDBY));
    assert_eq!(notices(&forced.heard(&mut z)), [(7, Outcome::Unfenced, 2, 0)]);
    let switch = unsigned(&z, 2, OrderKind::Switch, NodeId(0));
    assert_eq!(outcome(&mut z, &mut client, switch), OrderOutcome::NobodyElse);
    forced.say(&mut z, fenced);
    let row = z.row(A).unwrap();
    assert_eq!((row.version, row.unfenced), (Version(1), false));
    forced.say(&mut z, change(ChangeKind::Add, 2, 1, STANDBY));
    assert_eq!(z.row(A).unwrap().in_sync, [STANDBY, ORDINARY]);
}

/// B-ORD-7, rule F3: the duty to fence goes from grant to grant.
#[test]
fn b_ord_8_the_duty_to_fence_is_inherited() {
    let (mut z, mut m, mut a, mut client) = network();
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, ORDINARY));
    m.hang_up(&mut z);
    a.hang_up(&mut z);
    let order = unsigned(&z, 1, OrderKind::Force, ORDINARY);
    assert_eq!(outcome(&mut z, &mut client, order), OrderOutcome::Done);
    let mut forced = connected(&mut z, ORDINARY);
    let sealed_id = join(&mut z, &mut forced, A).sealed_id;
    let own = Update { epoch: Epoch(2), version: Version(0), alive: vec![ORDINARY], ..claim(&sealed_id) };
    forced.say(&mut z, own);
    let row = z.row(A).unwrap();
    assert_eq!((row.epoch, row.unfenced), (Epoch(3), true));
}

/// B-ORD-4, B-ORD-9, broken: a disk that says too early that it has written shows what a crash would lose.
#[test]
fn b_ord_4_a_disk_that_lies_tells_an_order_that_is_not_there() {
    let (mut z, _, _, mut client) = network();
    z.quick_disk = false;
    let pause = unsigned(&z, 1, OrderKind::Pause, NodeId(0));
    hand_in(&mut z, &mut client, pause);
    client.tell(&mut z, JournalQuery { request: 4, from: 1, ..Default::default() });
    let on_disk = |z: &Lone| z.disk().keys().filter(|(table, _)| *table == Table::Command).count() as u64;
    let before = on_disk(&z);
    z.lie_about_the_disk();
    let read = client.read(&mut z);
    assert_eq!(on_disk(&z), before);
    assert!(matches!(&read[0], Packet::OrderAnswer(a) if a.table_version > before));
    assert!(matches!(&read[1], Packet::Journal(page) if page.head > before));
}
