//! An epoch that may be granted is noted before it is, so that the grant needs no write of its own (decision 43).

use super::group::{keepalive, last_group_sequence};
use super::scene::*;
use duohuo_core::io::Table;
use duohuo_core::store::{META_NOTE, META_PROMISE};
use duohuo_tests::lone::Peer;
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{Epoch, LogIndex, NodeId};
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

/// B-NOTE-1, B-NOTE-2: noted with the claim, the epoch is led as soon as it is granted; the promise is written meanwhile.
#[test]
fn b_note_1_an_epoch_that_is_noted_with_its_claim_is_led_at_once() {
    let (mut scene, mut m) = claimed(true);
    assert_eq!(noted(&scene), Some(2));
    m.read(&mut scene.n);
    scene.granted(&[M, ME]);
    assert!(scene.leads() && scene.n.is_writing());
    assert!(gives_its_log(&mut scene, &mut m, 2));
    scene.n.sync();
    let promise = &scene.n.disk()[&(Table::Meta, META_PROMISE)];
    assert_eq!(promise[..8], 2_u64.to_be_bytes());
}

/// B-NOTE-2: a note that is not durable yet, or is of another epoch, is no promise.
#[test]
fn b_note_2_a_note_that_is_on_its_way_or_of_another_epoch_is_no_promise() {
    let (mut scene, mut m) = claimed(false);
    m.read(&mut scene.n);
    scene.granted(&[M, ME]);
    assert!(!scene.leads() && !gives_its_log(&mut scene, &mut m, 2));
    scene.n.sync();
    assert!(scene.leads() && gives_its_log(&mut scene, &mut m, 2));

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
