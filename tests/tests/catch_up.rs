//! A node that was away for long: from a snapshot and the blocks above it, asked of several.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use core::time::Duration;
use duohuo_chain::Timing;
use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_core::io::Table;
use duohuo_tests::consortium::{Consortium, FIG_18, cluster_id, node};
use duohuo_tests::host::Settings;
use duohuo_tests::scenario::ms;
use duohuo_tests::sim::converge;
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::NodeId;

/// A network that takes a snapshot every so many heights and keeps so many blocks below it.
fn network(seed: u64, snapshot_interval: u64, keep_blocks: u64) -> World {
    let timing = Timing { snapshot_interval, block_interval: ms(2), ..Timing::default() };
    let settings = Settings { timing, keep_blocks, ..Settings::default() };
    let mut world = World::with_settings(seed, Consortium::new(seed, &FIG_18), Luck::default(), settings);
    world.start_all();
    world.start_client(ms(3), Instant::from_nanos(u64::MAX / 2));
    let in_sync = |e: &Event| matches!(e, Event::InSyncChanged { members: 3, .. });
    let settled = world.run_until(ms(3000), |w| {
        (0..4).all(|c| w.master(cluster_id(c)).is_some())
            && w.checker.log.iter().filter(|(_, _, e)| in_sync(e)).count() >= 4
    });
    assert!(settled);
    world
}

/// Away until the chain is `blocks` further; then it is in sync again within a second.
fn goes_away_and_comes_back(world: &mut World, who: NodeId, blocks: u64) {
    world.kill(who);
    let height = world.checker.height().0;
    assert!(world.run_until(Duration::from_secs(120), |w| w.checker.height().0 > height + blocks));
    let told = world.checker.log.len();
    world.start(who);
    let back = world.run_until(ms(1000), |w| {
        w.checker.log[told..]
            .iter()
            .any(|(_, _, e)| matches!(e, Event::InSyncChanged { node, members: 3, .. } if *node == who))
    });
    assert!(back, "it catches up and is in sync: {:?}", &world.checker.log[told..]);
}

fn said(world: &World, who: NodeId, wanted: impl Fn(&Event) -> bool) -> bool {
    world.checker.log.iter().any(|(_, from, e)| *from == who && wanted(e))
}

#[test]
fn who_was_away_longer_than_blocks_are_kept_starts_from_a_snapshot() {
    let mut world = network(1, 25, 10);
    let away = node(0, 2);
    goes_away_and_comes_back(&mut world, away, 150);
    assert!(said(&world, away, |e| matches!(e, Event::CatchingUp { missing, .. } if *missing > 100)));
    assert!(said(&world, away, |e| matches!(e, Event::CaughtUp { .. })));
    let (first, last) =
        (world.first_key(away, Table::Block).unwrap(), world.last_key(away, Table::Block).unwrap());
    assert!(first > 100, "it has no block of before: {first}");
    world.run_for(ms(1000));
    assert!(world.last_key(away, Table::Block).unwrap() > last);
    // And starts again from what it keeps.
    world.kill(away);
    world.start(away);
    world.run_for(ms(1000));
    assert!(world.last_key(away, Table::Block).unwrap() > last + 20);
}

#[test]
fn who_was_away_for_more_than_a_thousand_blocks_asks_for_a_snapshot_although_all_blocks_are_kept() {
    let mut world = network(2, 100, u64::MAX);
    let away = node(1, 1);
    goes_away_and_comes_back(&mut world, away, 1_010);
    assert!(world.first_key(away, Table::Block).unwrap() > 900, "it fetched the tail only");
    assert_eq!(world.first_key(node(1, 0), Table::Block), Some(1), "the others pruned nothing");
}

#[test]
fn without_snapshots_the_blocks_are_fetched_from_several() {
    let mut world = network(3, 0, 0);
    let away = node(0, 2);
    goes_away_and_comes_back(&mut world, away, 150);
    assert_eq!(world.first_key(away, Table::Block), Some(1));
    assert!(said(&world, away, |e| matches!(e, Event::CatchingUp { .. })));
    world.audit(away);
}

#[test]
fn blocks_below_a_proven_snapshot_are_pruned_and_no_others() {
    let mut world = network(4, 25, 10);
    let height = world.checker.height().0;
    assert!(world.run_until(ms(5000), |w| w.checker.height().0 > height + 100));
    world.run_for(ms(100));
    for c in 0..4 {
        for n in 0..3 {
            let first = world.first_key(node(c, n), Table::Block).unwrap();
            let last = world.last_key(node(c, n), Table::Block).unwrap();
            assert!(first > 1, "{} pruned nothing", node(c, n));
            assert!((10..=10 + 2 * 25 + 25).contains(&(last - first)), "{first}..={last}");
        }
    }
}

#[test]
fn a_whole_cluster_that_was_away_starts_from_another_clusters_snapshot() {
    let mut world = network(5, 25, 10);
    for n in 0..3 {
        world.kill(node(3, n));
    }
    let height = world.checker.height().0;
    assert!(world.run_until(Duration::from_secs(60), |w| w.checker.height().0 > height + 150));
    for n in 0..3 {
        world.start(node(3, n));
    }
    let reached = world.checker.height().0;
    let all = world.run_until(ms(5000), |w| {
        (0..3).all(|n| w.last_key(node(3, n), Table::Block).is_some_and(|height| height > reached))
    });
    assert!(all, "every node of it goes on");
}

/// B-BLK-9, broken: disks that drop blocks with no snapshot above them strand who was away, and it is noticed (S10).
#[test]
fn b_blk_9_blocks_pruned_without_a_snapshot_are_missed() {
    let missing = |prune: bool| {
        let mut world = network(6, 0, 0);
        let away = node(0, 2);
        world.kill(away);
        let height = world.checker.height().0;
        assert!(world.run_until(ms(5000), |w| w.checker.height().0 > height + 50));
        for c in 0..4 {
            for n in (0..3).filter(|n| prune && node(c, *n) != away) {
                world.lose(node(c, n), |table, key| table == Table::Block && key < height + 30);
            }
        }
        world.start(away);
        converge(&mut world, ms(2000), "after the pruning").err()
    };
    assert_eq!(missing(false), None);
    assert_eq!(missing(true).as_deref(), Some("S10: after the pruning: a node lacks blocks"));
}

/// B-BLK-11, REC-3: who computed wrongly when a snapshot was taken has a wrong one in its store, which nobody proves. Started anew, it
/// computes as the others do; from that snapshot it would be wrong at every height (found by an hour of faults in real processes).
#[test]
fn b_blk_11_a_state_that_was_computed_wrongly_across_a_snapshot_is_right_again_after_a_restart() {
    let mut world = network(7, 25, 10);
    let wrong = node(2, 0);
    world.checker.expect_wrong_results(cluster_id(2), wrong);
    world.wrong_results(wrong, true);
    let height = world.checker.height().0;
    assert!(world.run_until(Duration::from_secs(20), |w| w.checker.height().0 > height + 30));
    world.wrong_results(wrong, false);
    world.kill(wrong);
    // The checker compares its state with that of the others at each height (S5).
    world.checker.expect_right_results(wrong);
    let before = world.last_key(wrong, Table::Block).unwrap();
    world.start(wrong);
    world.run_for(ms(2000));
    assert!(world.last_key(wrong, Table::Block).unwrap() > before + 20, "it goes on");
}

/// B-BLK-11, REC-3: a master that nobody can replace took a snapshot while it computed wrongly. Started anew it computes as the others
/// do, and signs the right results of these heights with them: a proof of the state that its snapshot is not of (seed 9338).
#[test]
fn b_blk_11_a_snapshot_of_a_wrong_state_is_given_no_proof() {
    let mut world = network(8, 25, 10);
    let (wrong, right) = (node(2, 0), node(0, 1));
    (1..3).for_each(|n| world.kill(node(2, n)));
    let alone = |e: &Event| matches!(e, Event::InSyncChanged { cluster, members: 1, .. } if *cluster == cluster_id(2));
    assert!(world.run_until(ms(1000), |w| w.saw(alone)));
    world.checker.expect_wrong_results(cluster_id(2), wrong);
    world.wrong_results(wrong, true);
    let first = |w: &World, id| w.snapshots(id).first().map(|(s, _)| s.clone());
    assert!(world.run_until(Duration::from_secs(20), |w| first(w, wrong).is_some()));
    world.kill(wrong);
    world.checker.expect_right_results(wrong);
    world.start(wrong);
    assert!(world.run_until(ms(5000), |w| w.master(cluster_id(2)) == Some(wrong)));
    // New masters vouch for these heights again, to it too.
    [0, 1, 3].into_iter().for_each(|c| world.kill(node(c, 0)));
    let goes_on = |w: &World| w.snapshots(wrong).len() == 2;
    assert!(world.run_until(ms(5000), goes_on), "it goes on, to the next snapshot");
    let (ours, theirs) = (first(&world, wrong).unwrap(), first(&world, right).unwrap());
    assert_eq!((ours.height, theirs.is_proven()), (theirs.height, true));
    assert_ne!(ours.manifest, theirs.manifest);
    assert!(!ours.is_proven());
}
