//! An epoch that may be granted is noted before it is, so that the grant needs no write of its own (decision 43).

use super::group::{keepalive, last_group_sequence};
use super::scene::*;
use bytes::Bytes;
use duohuo_core::io::{Input, Table};
use duohuo_core::store::{META_NOTE, META_PROMISE};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{Epoch, Height, LogIndex, NodeId};
use duohuo_wire::packet::*;

/// It has claimed epoch 2; the note is on the disk, or on its way.
fn claimed(durable: bool) -> (Scene, Peer) {
    let (mut scene, m) = Scene::following();
    scene.n.quick_disk = false;
    scene.n.pass(ms(265));
    if durable {
        scene.n.sync();
    }
    (scene, m)
}

fn noted(scene: &Scene) -> Option<u64> {
    let value = scene.n.disk().get(&(Table::Meta, META_NOTE))?;
    Some(u64::from_be_bytes(*value.first_chunk()?))
}

/// The first word of an epoch to a member: the log.
fn gives_its_log(scene: &mut Scene, m: &mut Peer, epoch: u64) -> bool {
    m.read(&mut scene.n).iter().any(|p| matches!(p, Packet::Resync(r) if r.epoch == Epoch(epoch)))
}

/// Back after a kill, let in, and told the row of epoch 1 by its master.
fn back(scene: Scene) -> (Scene, Peer) {
    let mut n = scene.n.restarted();
    n.quick_disk = true;
    let mut z = Peer::new(&n, NodeId::AUTHORITY);
    z.accept_stream(&mut n);
    z.accept_datagram(&mut n);
    let mut scene = Scene { n, z };
    scene.let_in();
    scene.histories(4);
    let mut m = Peer::new(&scene.n, M);
    m.open_stream(&mut scene.n, true);
    let old = row(&scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
    m.tell(&mut scene.n, notice(old));
    (scene, m)
}

/// The master of epoch 1 gives its log, and what the node says to it.
fn follows(scene: &mut Scene, m: &mut Peer) -> bool {
    let before = scene.n.discards("old_epoch");
    m.tell(&mut scene.n, Resync { epoch: Epoch(1), ..Default::default() });
    let acknowledged = !acks(&m.read(&mut scene.n)).iter().all(|(_, _, synced)| *synced == 0);
    assert_eq!(scene.n.discards("old_epoch") > before, !acknowledged, "or it is refused, for that reason");
    acknowledged
}

/// The authority answers what the node asked since its start.
fn answer(scene: &mut Scene, epoch: u64) {
    let request = scene.z.read(&mut scene.n).into_iter().rev().find_map(|p| match p {
        Packet::Query(q) if q.scope == QueryScope::Changed => Some(q.request),
        _ => None,
    });
    let master = if epoch == 1 { M } else { THIRD };
    let now = row(&scene.n, OWN, epoch, 2, master, &[M, ME, THIRD]);
    scene.z.tell(&mut scene.n, Notice { request: request.expect("it asks"), ..notice(now) });
}

fn promised(scene: &Scene) -> u64 {
    let value = &scene.n.disk()[&(Table::Meta, META_PROMISE)];
    u64::from_be_bytes(*value.first_chunk().unwrap())
}

/// B-NOTE-1, B-NOTE-2: noted with the claim, the epoch is led as soon as it is granted, and nothing is written for it.
#[test]
fn b_note_1_an_epoch_that_is_noted_with_its_claim_is_led_at_once() {
    let (mut scene, mut m) = claimed(true);
    assert_eq!(noted(&scene), Some(2));
    m.read(&mut scene.n);
    scene.granted(&[M, ME]);
    assert!(scene.leads() && !scene.n.is_writing());
    assert!(gives_its_log(&mut scene, &mut m, 2));
}

/// B-NOTE-2: a note that is not durable yet, or is of another epoch, is no promise.
#[test]
fn b_note_2_a_note_that_is_on_its_way_or_of_another_epoch_is_no_promise() {
    let (mut scene, mut m) = claimed(false);
    m.read(&mut scene.n);
    scene.granted(&[M, ME]);
    assert!(!scene.leads() && !gives_its_log(&mut scene, &mut m, 2));
    scene.n.sync_one();
    assert!(scene.leads() && gives_its_log(&mut scene, &mut m, 2));
    assert!(!scene.n.is_writing(), "the note was enough");

    let (mut scene, mut m) = claimed(true);
    m.read(&mut scene.n);
    let later = row(&scene.n, OWN, 3, 0, ME, &[M, ME]);
    scene.z.say(&mut scene.n, notice(later));
    assert!(!scene.leads() && !gives_its_log(&mut scene, &mut m, 3));
    // Who was master between must be known, too.
    scene.n.sync();
    assert!(scene.leads() && gives_its_log(&mut scene, &mut m, 3));
}

/// B-NOTE-3: after a restart the noted epoch counts as promised until the authority says, anew, that it is not granted.
#[test]
fn b_note_3_a_restarted_node_is_in_doubt_until_the_authority_answers() {
    let (mut scene, mut m) = back(claimed(true).0);
    assert!(!follows(&mut scene, &mut m), "its master's row is an old one, as far as it knows");
    // The authority's row by any other way may be old as well: it may have been on its way since before the kill.
    let old = row(&scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
    scene.z.say(&mut scene.n, notice(old));
    assert!(!follows(&mut scene, &mut m));
    scene.n.pass(ms(60));
    assert_eq!(scene.claims(), [], "and it claims nothing that it could not adopt");
    answer(&mut scene, 1);
    assert!(follows(&mut scene, &mut m));
    // The next time it needs nobody's word.
    scene.n.sync();
    assert_eq!(noted(&scene), Some(0));
    let (mut scene, mut m) = back(scene);
    assert!(follows(&mut scene, &mut m));
}

/// B-NOTE-3: if it is granted, the old master gets nothing acknowledged any more.
#[test]
fn b_note_3_a_noted_epoch_that_was_granted_stays_promised() {
    let (mut scene, mut m) = back(claimed(true).0);
    answer(&mut scene, 2);
    assert!(!follows(&mut scene, &mut m));
    let mut successor = Peer::new(&scene.n, THIRD);
    successor.open_stream(&mut scene.n, true);
    successor.tell(&mut scene.n, Resync { epoch: Epoch(2), start: LogIndex(0), ..Default::default() });
    assert_eq!(acks(&successor.read(&mut scene.n)), [(2, 0, 2)]);
}

/// B-NOTE-4: a claim that came to nothing leaves no doubt behind, and its node may restart while the authority is away.
#[test]
fn b_note_4_a_note_is_dropped_when_the_master_acts_again() {
    let (mut scene, mut m) = claimed(true);
    scene.n.quick_disk = true;
    let claim = scene.claims().pop().unwrap();
    let heard = vec![Heard { node: ME, sequence: last_group_sequence(&mut scene.n) }];
    m.keep_alive(&mut scene.n, keepalive(m.address, heard));
    assert_eq!(noted(&scene), Some(2), "the claim stands");
    let refusal = row(&scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
    let refusal = Notice { request: claim.request, outcome: Outcome::IncumbentHeard, ..notice(refusal) };
    scene.z.say(&mut scene.n, refusal);
    assert_eq!(noted(&scene), Some(0));
    let (mut scene, mut m) = back(scene);
    assert!(follows(&mut scene, &mut m));
}

/// Another cluster's node that was forced, and whose question makes this master write a record.
fn ask_for_a_record(scene: &mut Scene) {
    let forced = NodeId(12);
    let before = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    scene.z.say(&mut scene.n, notice(before));
    let mut asker = Peer::new(&scene.n, forced);
    asker.open_stream(&mut scene.n, true);
    let row = unfenced(scene, OTHER, 2, forced);
    asker.tell(&mut scene.n, Fence { row, ..Default::default() });
}

fn unfenced(scene: &Scene, cluster: usize, epoch: u64, master: NodeId) -> SignedRow {
    let row = Row { unfenced: true, ..row(&scene.n, cluster, epoch, 0, master, &[master]).row };
    SignedRow::sign(row, &scene.n.consortium.keys[&NodeId::AUTHORITY].signing)
}

/// B-NOTE-5: the first record of the new master is in one write with its promise.
#[test]
fn b_note_5_a_promise_that_stands_by_its_note_goes_with_the_first_record() {
    let (mut scene, _m) = claimed(true);
    scene.granted(&[ME]);
    assert!(scene.leads() && !scene.n.is_writing());
    ask_for_a_record(&mut scene);
    assert_eq!(promised(&scene), 1);
    assert!(scene.n.sync_one());
    let records = scene.n.disk().range((Table::Record, 0)..=(Table::Record, u64::MAX)).count();
    assert_eq!((promised(&scene), records, scene.n.is_writing()), (2, 1, false));
}

/// B-NOTE-5: if nothing is written it is, at the dead interval; and before the process ends. Who is killed before is in doubt.
#[test]
fn b_note_5_a_promise_that_nothing_is_written_with_is_written_at_the_dead_interval() {
    let led = || {
        let (mut scene, m) = claimed(true);
        scene.granted(&[ME]);
        (scene, m)
    };
    let (mut scene, _m) = led();
    scene.n.pass(ms(49));
    assert!(scene.leads() && !scene.n.is_writing());
    scene.n.pass(ms(1));
    scene.n.sync();
    assert_eq!(promised(&scene), 2);
    scene.n.pass(ms(200));
    assert!(!scene.n.is_writing(), "once");

    let (mut scene, _m) = led();
    scene.n.give(Input::Shutdown);
    scene.n.sync();
    assert_eq!(promised(&scene), 2);

    let (mut scene, mut m) = back(led().0);
    assert_eq!(promised(&scene), 1);
    answer(&mut scene, 2);
    assert!(!follows(&mut scene, &mut m));
}

/// B-NOTE-2, B-ROL-1: who is forced writes its promise before it asks anybody.
#[test]
fn b_note_2_a_note_stands_for_no_promise_of_who_is_forced() {
    let (mut scene, _m) = claimed(true);
    let row = unfenced(&scene, OWN, 2, ME);
    scene.z.say(&mut scene.n, notice(row));
    assert!(scene.n.is_writing());
    scene.n.sync();
    assert_eq!(promised(&scene), 2);
}

/// It is heard, and has promised this epoch.
fn lives(n: &mut Lone, peer: &mut Peer, role: Role, epoch: u64) {
    let heard = vec![Heard { node: ME, sequence: last_group_sequence(n) }];
    let promised = Epoch(epoch);
    peer.keep_alive(n, NodeKeepalive { role, promised, epoch: promised, ..keepalive(peer.address, heard) });
}

/// B-NOTE-1: whoever waits for its turn to claim notes the epoch as well, and no sooner than there is something to claim.
#[test]
fn b_note_1_who_is_not_the_first_to_claim_notes_the_epoch_too() {
    let (mut scene, mut m) = Scene::following();
    let grant = row(&scene.n, OWN, 2, 0, THIRD, &[M, ME, THIRD]);
    scene.z.say(&mut scene.n, notice(grant));
    let mut third = Peer::new(&scene.n, THIRD);
    third.accept_stream(&mut scene.n);
    scene.n.pass(ms(190));
    lives(&mut scene.n, &mut third, Role::Master, 2);
    scene.n.pass(ms(10));
    lives(&mut scene.n, &mut m, Role::Ordinary, 1);
    scene.n.pass(ms(1));
    assert_eq!(noted(&scene), None, "its master acts");
    third.hang_up(&mut scene.n);
    assert_eq!((noted(&scene), scene.claims()), (Some(3), vec![]));
}

/// Node 23 is granted the epoch that this node noted, and has a stream.
fn succeeded(scene: &mut Scene) -> Peer {
    let mut third = Peer::new(&scene.n, THIRD);
    third.accept_stream(&mut scene.n);
    lives(&mut scene.n, &mut third, Role::Ordinary, 1);
    let grant = row(&scene.n, OWN, 2, 0, THIRD, &[M, ME, THIRD]);
    scene.z.say(&mut scene.n, notice(grant));
    third
}

fn record(word: &'static [u8]) -> WireRecord {
    WireRecord { height: Height(1), epoch: Epoch(2), bytes: Bytes::from_static(word) }
}

fn first_of(records: Vec<WireRecord>) -> Resync {
    Resync { epoch: Epoch(2), records, ..Default::default() }
}

/// B-NOTE-6: a log that is here already is acknowledged without a write; the promise goes with the first record.
#[test]
fn b_note_6_a_member_that_noted_the_epoch_acknowledges_its_own_log_at_once() {
    let (mut scene, _m) = claimed(true);
    let mut third = succeeded(&mut scene);
    third.tell(&mut scene.n, first_of(vec![]));
    assert_eq!((acks(&third.read(&mut scene.n)), scene.n.is_writing()), (vec![(2, 0, 2)], false));
    assert_eq!(noted(&scene), Some(2), "it stands for the promise");
    let records = vec![record(b"a")];
    third.tell(&mut scene.n, Append { epoch: Epoch(2), records, ..Default::default() });
    assert_eq!((acks(&third.read(&mut scene.n)), promised(&scene)), (vec![], 1));
    assert!(scene.n.sync_one());
    assert_eq!((acks(&third.read(&mut scene.n)), promised(&scene)), (vec![(2, 1, 2)], 2));
    assert!(!scene.n.is_writing());
}

/// B-NOTE-6: what it acknowledged so outlives a kill: its old master gets nothing acknowledged any more.
#[test]
fn b_note_6_who_acknowledged_by_its_note_and_was_killed_acknowledges_nothing_older() {
    let (mut scene, _m) = claimed(true);
    let mut third = succeeded(&mut scene);
    third.tell(&mut scene.n, first_of(vec![]));
    assert_eq!(acks(&third.read(&mut scene.n)), [(2, 0, 2)]);
    let (mut scene, mut m) = back(scene);
    assert!(!follows(&mut scene, &mut m));
    answer(&mut scene, 2);
    assert!(!follows(&mut scene, &mut m));
}

/// B-NOTE-6, broken by the log and by the disk: what is not here yet is written first, and a note on its way is waited for.
#[test]
fn b_note_6_a_log_that_is_another_or_a_note_that_is_not_durable_is_acknowledged_by_the_disk_alone() {
    let (mut scene, _m) = claimed(true);
    let mut third = succeeded(&mut scene);
    third.tell(&mut scene.n, first_of(vec![record(b"a")]));
    assert_eq!(acks(&third.read(&mut scene.n)), []);
    scene.n.sync_one();
    assert_eq!((acks(&third.read(&mut scene.n)), promised(&scene)), (vec![(2, 1, 2)], 2));

    // Its own log is longer: what is cut is cut on the disk.
    let (mut scene, mut m) = claimed(true);
    let of_old = WireRecord { epoch: Epoch(1), ..record(b"x") };
    m.tell(&mut scene.n, Append { epoch: Epoch(1), records: vec![of_old], ..Default::default() });
    scene.n.sync();
    let mut third = succeeded(&mut scene);
    third.tell(&mut scene.n, first_of(vec![]));
    assert_eq!(acks(&third.read(&mut scene.n)), []);
    scene.n.sync_one();
    assert_eq!((acks(&third.read(&mut scene.n)), promised(&scene)), (vec![(2, 0, 2)], 2));

    let (mut scene, _m) = claimed(false);
    let mut third = succeeded(&mut scene);
    third.tell(&mut scene.n, first_of(vec![]));
    assert_eq!(acks(&third.read(&mut scene.n)), []);
    scene.n.sync_one();
    assert_eq!((acks(&third.read(&mut scene.n)), scene.n.is_writing()), (vec![(2, 0, 2)], false));
}
