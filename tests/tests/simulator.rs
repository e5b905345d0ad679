//! The simulator itself: the same seed gives the same run, and what makes it fast changes nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use core::time::Duration;
use duohuo_tests::plan::{Pace, Plan};
use duohuo_tests::sim::{Outcome, run};

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
    let fast = (0..160).filter(|seed| Pace::of(*seed) == Pace::Fast).count();
    let forgetful = (0..160).filter(|seed| !Plan::draw(*seed).remembers).count();
    assert_eq!((fast, forgetful), (10, 10));
    for seed in 0..32 {
        let plan = Plan::draw(seed);
        let shortest = if Pace::of(seed) == Pace::Fast { 20 } else { 600 };
        assert!(plan.end >= Duration::from_secs(shortest), "seed {seed} ends at {:?}", plan.end);
    }
}
