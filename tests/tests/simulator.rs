//! The simulator itself: the same seed gives the same run, and what makes it fast changes nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use core::time::Duration;
use duohuo_core::Instant;
use duohuo_tests::plan::{Pace, Plan};
use duohuo_tests::sim::{
    Outcome, converge, convergence, one_more_switch, quiet, run, without_the_authority, world_of,
};
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::{ClusterId, NodeId};

/// The first faults of a seed's plan, so that it does not take long.
fn beginning(seed: u64, faults: usize) -> Plan {
    let mut plan = Plan::draw(seed);
    plan.faults.truncate(faults);
    plan.end = plan.faults.last().map_or(Duration::ZERO, |fault| fault.at) + plan.settings.keepalive * 20;
    plan
}

fn told(outcome: &Outcome) -> (&Option<String>, u64, u64, u64, Duration) {
    (&outcome.failure, outcome.digest, outcome.height, outcome.switches, outcome.virtual_time)
}

#[test]
fn the_stand_ins_for_signatures_and_exchanges_change_no_event_of_a_run() {
    for seed in [1, 2, 8] {
        let with = run(&Plan { remembers: true, ..beginning(seed, 8) }, false);
        let without = run(&Plan { remembers: false, ..beginning(seed, 8) }, false);
        assert_eq!(told(&with), told(&without), "seed {seed}");
        assert_eq!(with.felt, without.felt, "seed {seed}");
        assert_eq!(with.failure, None, "seed {seed}");
    }
}

#[test]
fn a_part_of_the_seeds_is_fast_and_a_part_computes_all_cryptography() {
    let fast = (0..512).filter(|seed| Pace::of(*seed) == Pace::Fast).count();
    let forgetful = (0..512).filter(|seed| !Plan::draw(*seed).remembers).count();
    assert_eq!((fast, forgetful), (32, 2));
    for seed in 0..32 {
        let plan = Plan::draw(seed);
        let shortest = if Pace::of(seed) == Pace::Fast { 20 } else { 600 };
        assert!(plan.end >= Duration::from_secs(shortest), "seed {seed} ends at {:?}", plan.end);
    }
}

/// The network of a seed without its faults, converged.
fn converged(seed: u64) -> (Plan, World) {
    let plan = Plan::draw(seed);
    let mut world = world_of(&plan);
    world.start_all();
    world.start_client(plan.rate, Instant::from_nanos(u64::MAX / 2));
    // As after the faults of a run: nothing is lost on the way.
    world.set_luck(Luck::default());
    converge(&mut world, convergence(&plan.settings), "at the start").unwrap();
    (plan, world)
}

/// All nodes of the first clusters, so many of them.
fn kill_clusters(world: &mut World, clusters: usize) {
    let roster = world.consortium.roster.clone();
    for node in roster.clusters.iter().take(clusters).flat_map(|cluster| &cluster.nodes) {
        world.kill(node.id);
    }
}

#[test]
fn where_nothing_is_broken_no_check_at_the_end_of_a_run_fires() {
    let (plan, mut world) = converged(3);
    without_the_authority(&mut world, &plan, false).unwrap();
    one_more_switch(&mut world, convergence(&plan.settings)).unwrap();
    quiet(&mut world, &plan).unwrap();
}

#[test]
fn p4_fires_where_the_chain_needs_the_authority() {
    let (plan, mut world) = converged(3);
    // More clusters than may be missing are gone as well: only the authority could bring them back.
    let missing = world.checker.tolerated() + 1;
    kill_clusters(&mut world, missing);
    let broken = without_the_authority(&mut world, &plan, false).unwrap_err();
    assert!(broken.starts_with("P4: "), "{broken}");
}

#[test]
fn p3_fires_where_nobody_follows_a_master() {
    let (plan, mut world) = converged(3);
    let bound = convergence(&plan.settings);
    // The authority answers no claim: nothing it writes gets to the disk.
    world.fill_disk(NodeId::AUTHORITY);
    let broken = one_more_switch(&mut world, bound).unwrap_err();
    assert!(broken.starts_with("P3: "), "{broken}");
}

#[test]
fn l4_fires_where_a_master_changes() {
    let (plan, mut world) = converged(3);
    let first: ClusterId = world.consortium.roster.clusters[0].id;
    let master = world.master(first).unwrap();
    world.kill(master);
    let broken = quiet(&mut world, &plan).unwrap_err();
    assert!(broken.starts_with("L4: "), "{broken}");
}

#[test]
fn l6_fires_where_the_chain_stands_still() {
    let (plan, mut world) = converged(3);
    let missing = world.checker.tolerated() + 1;
    kill_clusters(&mut world, missing);
    let broken = quiet(&mut world, &plan).unwrap_err();
    assert!(broken.starts_with("L6: "), "{broken}");
}
