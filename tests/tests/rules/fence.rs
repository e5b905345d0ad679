//! A forced master and those it asks (spec/behaviour.md 7.4), and a master that hands over by order (7.3), one rule after
//! the other.

use super::scene::*;
use duohuo_core::io::Table;
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{Epoch, Height, LogIndex, NodeId};
use duohuo_wire::packet::*;

/// The clusters that are not the node's own, by their place in the layout.
const OTHERS: [usize; 3] = [0, 2, 3];

/// A row that says: forced, and not fenced yet.
fn unfenced(n: &Lone, cluster: usize, epoch: u64, master: NodeId) -> SignedRow {
    let mut forced = row(n, cluster, epoch, 0, master, &[master]).row;
    forced.unfenced = true;
    SignedRow::sign(forced, &n.consortium.keys[&NodeId::AUTHORITY].signing)
}

/// Node 22, which has this log of its old master, is forced, or so it is told (`told`), and its promise is durable; the masters of the others have streams.
fn forced(told: bool, log: Vec<WireRecord>) -> (Scene, Vec<Peer>) {
    let mut scene = Scene::joined();
    let first = row(&scene.n, OWN, 1, 0, M, &[M]);
    scene.z.say(&mut scene.n, notice(first));
    let mut m = Peer::new(&scene.n, M);
    m.open_stream(&mut scene.n, true);
    m.tell(&mut scene.n, Resync { epoch: Epoch(1), ..Default::default() });
    m.tell(&mut scene.n, append(0, log));
    let mut others = Vec::new();
    for c in OTHERS {
        let of_other = row(&scene.n, c, 1, 0, node(c, 0), &[node(c, 0)]);
        scene.z.say(&mut scene.n, notice(of_other));
    }
    let grant = if told { unfenced(&scene.n, OWN, 2, ME) } else { row(&scene.n, OWN, 2, 0, ME, &[ME]) };
    scene.z.say(&mut scene.n, notice(grant));
    for c in OTHERS {
        let mut peer = Peer::new(&scene.n, node(c, 0));
        if node(c, 0) < ME {
            peer.open_stream(&mut scene.n, true);
        } else {
            peer.accept_stream(&mut scene.n);
        }
        others.push(peer);
    }
    (scene, others)
}

fn answer(height: u64) -> FenceAnswer {
    FenceAnswer { cluster: A, epoch: Epoch(2), height: Height(height), ..Default::default() }
}

/// What the authority was told of the fence.
fn fenced(scene: &mut Scene) -> Vec<Height> {
    let of = |p| match p {
        Packet::Fenced(fenced) => Some(fenced.height),
        _ => None,
    };
    scene.z.heard(&mut scene.n).into_iter().filter_map(of).collect()
}

fn records(n: &Lone) -> Vec<bytes::Bytes> {
    n.disk()
        .iter()
        .filter(|((table, _), _)| *table == Table::Record)
        .map(|(_, bytes)| bytes.clone())
        .collect()
}

fn asked(packets: &[Packet]) -> usize {
    packets.iter().filter(|p| matches!(p, Packet::Fence(_))).count()
}

/// B-FNC-1: all three other clusters (n = 4) must have answered; until then it asks, ever less often, and says nothing else.
#[test]
fn b_fnc_1_a_forced_master_asks_until_a_quorum_has_answered_and_says_nothing() {
    let (mut scene, mut others) = forced(true, vec![]);
    // After 20, 40, 80, 160 and then each 320 ms again; nothing else.
    scene.n.pass(ms(1000));
    for peer in &mut others {
        let mut read = peer.read(&mut scene.n);
        read.retain(|p| !matches!(p, Packet::Probe(_))); // the proof of the session
        assert_eq!((asked(&read), read.len()), (6, 6), "{read:?}");
    }
    others[0].tell(&mut scene.n, answer(1));
    others[1].tell(&mut scene.n, answer(1));
    scene.n.pass(ms(400));
    assert_eq!(asked(&others[0].read(&mut scene.n)), 0, "who answered is asked no more");
    assert_eq!((fenced(&mut scene), scene.leads()), (vec![], false));
    others[2].tell(&mut scene.n, answer(1));
    assert_eq!(fenced(&mut scene), [Height(2)]);
    assert!(!scene.leads(), "not until the row says that it stands");
    let stands = row(&scene.n, OWN, 2, 1, ME, &[ME]);
    scene.z.say(&mut scene.n, notice(stands));
    assert!(scene.leads());
}

/// B-FNC-1, broken by others: one cluster that answers for three, an answer to another force, one by who is not master.
#[test]
fn b_fnc_1_answers_are_counted_once_per_cluster_and_for_this_force_only() {
    let (mut scene, mut others) = forced(true, vec![]);
    fenced(&mut scene);
    for _ in 0..3 {
        others[0].tell(&mut scene.n, answer(1));
    }
    assert_eq!(scene.n.discards("unexpected"), 0);
    others[1].tell(&mut scene.n, answer(1));
    others[2].tell(&mut scene.n, FenceAnswer { epoch: Epoch(1), ..answer(1) });
    others[2].tell(&mut scene.n, FenceAnswer { cluster: cluster_id(0), ..answer(1) });
    others[2].tell(&mut scene.n, answer(1 << 62));
    let mut standby = Peer::new(&scene.n, node(0, 1));
    standby.open_stream(&mut scene.n, true);
    standby.tell(&mut scene.n, answer(1));
    assert_eq!(scene.n.discards("unexpected"), 4);
    scene.n.pass(ms(400));
    assert_eq!(fenced(&mut scene), []);
    others[2].tell(&mut scene.n, answer(1));
    assert_eq!(fenced(&mut scene), [Height(2)]);
}

/// B-FNC-1, broken by the authority: one that does not say that it forced has the node lead without a fence, and what the
/// others hear of it shows that.
#[test]
fn b_fnc_1_an_authority_that_hides_the_force_is_noticed() {
    let heard = |told| {
        let (mut scene, mut others) = forced(told, vec![]);
        scene.n.pass(ms(1000));
        let mut heard: Vec<Packet> = others.iter_mut().flat_map(|peer| peer.read(&mut scene.n)).collect();
        heard.retain(|p| !matches!(p, Packet::Probe(_) | Packet::Fence(_)));
        (scene.leads(), heard.is_empty())
    };
    assert_eq!(heard(true), (false, true));
    assert_eq!(heard(false), (true, false));
}

/// B-FNC-3: one above the highest of the heights; one record takes the place of all, and is durable before it is told, again
/// and again.
#[test]
fn b_fnc_3_the_log_is_closed_above_all_heights_before_the_authority_is_told() {
    let (mut scene, mut others) = forced(true, vec![record(1, 1, b"a")]);
    assert_eq!(records(&scene.n).len(), 1, "what it had of its cluster's log");
    scene.n.quick_disk = false;
    for (peer, height) in others.iter_mut().zip([4, 9, 6]) {
        peer.tell(&mut scene.n, answer(height));
    }
    scene.n.pass(ms(400));
    assert_eq!(fenced(&mut scene), []);
    scene.n.sync();
    let closed = records(&scene.n);
    assert!(closed.len() == 1 && closed[0].ends_with(&[0xFF]), "{closed:?}");
    assert_eq!(fenced(&mut scene), [Height(10)]);
    // Again after 20, 40, 80 and 160 ms, until a row answers.
    scene.n.pass(ms(310));
    assert_eq!(fenced(&mut scene), [Height(10); 4]);
    scene.n.quick_disk = true;
    let stands = row(&scene.n, OWN, 2, 1, ME, &[ME]);
    scene.z.say(&mut scene.n, notice(stands));
    scene.n.pass(ms(1000));
    assert_eq!(fenced(&mut scene), []);
    assert!(scene.leads());
}

/// B-FNC-3, broken: a disk that says too early that it has the record lets a fence be told that a crash would lose.
#[test]
fn b_fnc_3_a_disk_that_lies_tells_a_fence_that_is_not_there() {
    let (mut scene, mut others) = forced(true, vec![record(1, 1, b"a")]);
    scene.n.quick_disk = false;
    for peer in &mut others {
        peer.tell(&mut scene.n, answer(4));
    }
    scene.n.lie_about_the_disk();
    assert_eq!(fenced(&mut scene), [Height(5)]);
    assert!(!records(&scene.n)[0].ends_with(&[0xFF]));
}

/// Node 22 leads with node 23, which acknowledged its log; node 12 is forced in another cluster and has a stream.
fn asked_by_the_forced() -> (Scene, Peer, Peer) {
    let (mut scene, _m) = Scene::following();
    scene.granted(&[ME, THIRD]);
    let mut third = Peer::new(&scene.n, THIRD);
    third.accept_stream(&mut scene.n);
    third.tell(&mut scene.n, ack(0));
    third.read(&mut scene.n);
    let before = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    scene.z.say(&mut scene.n, notice(before));
    let mut asker = Peer::new(&scene.n, FORCED);
    asker.open_stream(&mut scene.n, true);
    asker.read(&mut scene.n);
    (scene, third, asker)
}

const FORCED: NodeId = NodeId(12);

fn ack(end: u64) -> Ack {
    Ack { epoch: Epoch(2), end: LogIndex(end), synced: Epoch(2), ..Default::default() }
}

fn fence(scene: &Scene) -> Fence {
    Fence { row: unfenced(&scene.n, OTHER, 2, FORCED), ..Default::default() }
}

/// The heights that the forced node was answered.
fn answered(scene: &mut Scene, asker: &mut Peer) -> Vec<Height> {
    let of = |p| match p {
        Packet::FenceAnswer(answer) => {
            assert_eq!((answer.cluster, answer.epoch), (cluster_id(OTHER), Epoch(2)));
            Some(answer.height)
        }
        _ => None,
    };
    asker.read(&mut scene.n).into_iter().filter_map(of).collect()
}

/// Up to where the other member of the set was sent the log.
fn sent(scene: &mut Scene, third: &mut Peer) -> u64 {
    let of = |p| match p {
        Packet::Append(append) => Some(append.start.0 + append.records.len() as u64),
        _ => None,
    };
    third.read(&mut scene.n).into_iter().filter_map(of).max().unwrap_or_default()
}

/// B-FNC-2: the promise stands in the log of the whole set before it is told; it is the same when asked again.
#[test]
fn b_fnc_2_a_promise_is_told_when_the_whole_set_has_it() {
    let (mut scene, mut third, mut asker) = asked_by_the_forced();
    let packet = fence(&scene);
    asker.tell(&mut scene.n, packet.clone());
    let end = sent(&mut scene, &mut third);
    assert!(end > 0 && records(&scene.n).iter().any(is_promise));
    scene.n.pass(ms(30));
    asker.tell(&mut scene.n, packet.clone());
    assert_eq!(answered(&mut scene, &mut asker), [], "one of its set does not have it");
    third.tell(&mut scene.n, ack(end - 1));
    assert_eq!(answered(&mut scene, &mut asker), []);
    third.tell(&mut scene.n, ack(end));
    assert_eq!(answered(&mut scene, &mut asker), [Height(1)]);
    asker.tell(&mut scene.n, packet);
    assert_eq!(answered(&mut scene, &mut asker), [Height(1)]);
    assert_eq!(records(&scene.n).iter().filter(|bytes| is_promise(bytes)).count(), 1);
    // And counts nothing older, whoever says it.
    let mut old = Peer::new(&scene.n, PEER);
    old.open_stream(&mut scene.n, true);
    let before = scene.n.discards("old_epoch");
    old.tell(&mut scene.n, word(1));
    assert_eq!(scene.n.discards("old_epoch"), before + 1);
}

/// B-GATE-3: what is written next goes to a member at once, whether or not it acknowledged what went before; what rests on
/// it waits for that (B-GATE-2).
#[test]
fn b_gate_3_records_follow_each_other_to_a_member_that_has_acknowledged_none() {
    let (mut scene, mut third, mut first) = asked_by_the_forced();
    let next = NodeId(13);
    let mut second = Peer::new(&scene.n, next);
    second.open_stream(&mut scene.n, true);
    let packet = fence(&scene);
    first.tell(&mut scene.n, packet);
    let forced_again = unfenced(&scene.n, OTHER, 3, next);
    second.tell(&mut scene.n, Fence { row: forced_again, ..Default::default() });
    let appended: Vec<_> = third
        .read(&mut scene.n)
        .into_iter()
        .filter_map(|packet| match packet {
            Packet::Append(append) if !append.records.is_empty() => Some(append),
            _ => None,
        })
        .collect();
    let ends = |append: &Append| append.start.0 + append.records.len() as u64;
    assert!(appended.len() > 1, "one for each promise: {appended:?}");
    assert!(
        appended.windows(2).all(|pair| pair[1].start.0 == ends(&pair[0])),
        "none is left out: {appended:?}"
    );
    assert!(
        appended.iter().all(|append| append.released == LogIndex(0)),
        "nothing is released: {appended:?}"
    );
    let end = appended.last().map(ends).unwrap();
    let mut is_promised = |scene: &mut Scene| {
        second.read(&mut scene.n).iter().any(|p| matches!(p, Packet::FenceAnswer(a) if a.epoch == Epoch(3)))
    };
    third.tell(&mut scene.n, ack(end - 1));
    assert!(!is_promised(&mut scene));
    third.tell(&mut scene.n, ack(end));
    assert!(is_promised(&mut scene));
}

fn word(epoch: u64) -> Consensus {
    Consensus { cluster: cluster_id(OTHER), epoch: Epoch(epoch), ..Default::default() }
}

/// Its tag, after height and epoch.
fn is_promise(record: &bytes::Bytes) -> bool {
    record.get(16) == Some(&0xFE)
}

/// B-FNC-2, broken by who asks: for a row that does not name it, that the authority did not sign, that is fenced, or old.
#[test]
fn b_fnc_2_only_who_the_newest_row_names_unfenced_is_promised() {
    let (mut scene, _third, mut asker) = asked_by_the_forced();
    let mut refused = |row: SignedRow, label: &str| {
        let before = scene.n.discards(label);
        asker.tell(&mut scene.n, Fence { row, ..Default::default() });
        assert_eq!(scene.n.discards(label), before + 1, "{label}");
    };
    let Scene { n, .. } = Scene::new();
    refused(unfenced(&n, OTHER, 2, PEER), "bad_statement");
    refused(unfenced(&n, OWN, 3, FORCED), "bad_statement");
    refused(row(&n, OTHER, 2, 0, FORCED, &[FORCED]), "bad_statement");
    let forged = SignedRow::sign(unfenced(&n, OTHER, 2, FORCED).row, &n.consortium.keys[&FORCED].signing);
    refused(forged, "bad_statement");
    let stands = row(&n, OTHER, 4, 0, PEER, &[PEER]);
    scene.z.say(&mut scene.n, notice(stands));
    asker.tell(&mut scene.n, Fence { row: unfenced(&n, OTHER, 2, FORCED), ..Default::default() });
    assert_eq!(answered(&mut scene, &mut asker), []);
    assert!(!records(&scene.n).iter().any(is_promise));
}

/// B-FNC-2, broken: a disk that says too early that it has the promise lets one be told that a crash would lose.
#[test]
fn b_fnc_2_a_disk_that_lies_tells_a_promise_that_is_not_there() {
    let told = |lies: bool| {
        let (mut scene, mut third, mut asker) = asked_by_the_forced();
        scene.n.quick_disk = false;
        let packet = fence(&scene);
        asker.tell(&mut scene.n, packet);
        let end = sent(&mut scene, &mut third);
        third.tell(&mut scene.n, ack(end));
        if lies {
            scene.n.lie_about_the_disk();
        }
        let on_disk = records(&scene.n).iter().any(is_promise);
        (answered(&mut scene, &mut asker), on_disk)
    };
    assert_eq!(told(false), (vec![], false));
    assert_eq!(told(true), (vec![Height(1)], false));
}

/// B-FNC-5: a history that goes on past an epoch is enough to drop what is signed in it, before any row is shown; the peer
/// that goes on saying it is counted by nobody. An authority that withholds the history is noticed.
#[test]
fn b_fnc_5_a_history_that_ends_later_outweighs_the_row() {
    let counted = |masters: &[NodeId]| {
        let (mut scene, _m) = Scene::following();
        scene.granted(&[ME]);
        let old = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
        scene.z.say(&mut scene.n, notice(old));
        let history = History::sign(cluster_id(OTHER), Epoch(1), masters.to_vec(), &scene.z.keys.signing);
        scene.z.tell(&mut scene.n, history);
        let mut peer = Peer::new(&scene.n, PEER);
        peer.open_stream(&mut scene.n, true);
        peer.tell(&mut scene.n, word(1));
        // What is empty is no word: "bad" says that it got as far as the chain.
        (scene.n.discards("old_epoch"), scene.n.discards("bad_consensus"))
    };
    assert_eq!(counted(&[PEER, FORCED]), (1, 0));
    assert_eq!(counted(&[PEER]), (0, 1));
}

fn hand_over(epoch: u64, who: NodeId, key: &duohuo_wire::sign::SigningKey) -> ForcedSwitch {
    let order = SignedSwitch::sign(A, Epoch(epoch), who, Height(0), false, key);
    ForcedSwitch { order, ..Default::default() }
}

fn resigned(scene: &mut Scene) -> usize {
    let is =
        |p: &Packet| matches!(p, Packet::Change(c) if c.kind == ChangeKind::Resign && c.epoch == Epoch(2));
    scene.z.heard(&mut scene.n).iter().filter(|p| is(p)).count()
}

/// B-HND-1: with nothing under way it resigns at once, and claims nothing for sync_interval (200 ms), though nobody leads.
#[test]
fn b_hnd_1_a_master_that_handed_over_does_not_come_back_at_once() {
    let (mut scene, _m) = Scene::following();
    scene.granted(&[ME]);
    let key = scene.z.keys.signing.clone();
    scene.z.say(&mut scene.n, hand_over(2, ME, &key));
    assert_eq!((resigned(&mut scene), scene.leads()), (1, false));
    scene.n.pass(ms(199));
    assert_eq!(scene.claims(), []);
    scene.n.pass(ms(400));
    assert!(!scene.claims().is_empty(), "nobody took it");
}

/// B-HND-1: what is under way is waited for two dead intervals (100 ms) at the longest.
#[test]
fn b_hnd_1_a_member_that_does_not_acknowledge_holds_no_switch_up() {
    let (mut scene, _third, mut asker) = asked_by_the_forced();
    let held = fence(&scene);
    asker.tell(&mut scene.n, held);
    let key = scene.z.keys.signing.clone();
    scene.z.say(&mut scene.n, hand_over(2, ME, &key));
    scene.n.pass(ms(99));
    assert_eq!((resigned(&mut scene), scene.leads()), (0, true));
    scene.n.pass(ms(1));
    assert_eq!((resigned(&mut scene), scene.leads()), (1, false));
    assert_eq!(answered(&mut scene, &mut asker), [], "it is released from nothing");
}

/// B-HND-1, broken by others: who is not the authority, and a switch that is meant for somebody else or another epoch.
#[test]
fn b_hnd_1_nobody_hands_over_for_what_the_authority_did_not_ask_of_it() {
    let (mut scene, m) = Scene::following();
    scene.granted(&[ME]);
    let key = scene.z.keys.signing.clone();
    scene.z.say(&mut scene.n, hand_over(2, ME, &m.keys.signing));
    assert_eq!(scene.n.discards("bad_statement"), 1);
    scene.z.say(&mut scene.n, hand_over(1, ME, &key));
    assert_eq!(scene.n.discards("old_epoch"), 1);
    scene.z.say(&mut scene.n, hand_over(3, ME, &key));
    scene.z.say(&mut scene.n, hand_over(2, THIRD, &key));
    assert_eq!(scene.n.discards("unexpected"), 2);
    scene.n.pass(ms(300));
    assert_eq!((resigned(&mut scene), scene.leads()), (0, true));
}

/// B-FNC-3: an authority that lost the session hears of the fence by a new one.
#[test]
fn b_fnc_3_an_authority_that_does_not_answer_is_told_with_a_new_session() {
    let (mut scene, mut others) = forced(true, vec![]);
    others.iter_mut().for_each(|other| other.tell(&mut scene.n, answer(1)));
    assert_eq!(fenced(&mut scene), [Height(2)]);
    // Again after 20, 60 and 140 ms, the last time with a new handshake.
    scene.n.pass(ms(100));
    assert_eq!(fenced(&mut scene), [Height(2); 2]);
    assert_eq!(scene.n.take_datagrams(scene.z.address).len(), 0);
    scene.n.pass(ms(60));
    scene.z.accept_datagram(&mut scene.n);
    scene.n.pass(ms(400));
    assert_eq!(fenced(&mut scene), [Height(2)]);
}
