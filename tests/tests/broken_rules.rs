//! Each rule that safety rests on, broken on purpose: the checker must fire. A checker that never fired is not trusted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::io::Table;
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::world::World;
use duohuo_wire::ids::NodeId;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// So many seeds at most until a broken rule must have been noticed.
const SEEDS: u64 = 40;

/// Run `scenario` with one seed after the other until a checker fires; what it said.
fn first_complaint(scenario: impl Fn(u64)) -> Option<String> {
    (1..=SEEDS).find_map(|seed| {
        let broken = catch_unwind(AssertUnwindSafe(|| scenario(seed))).err()?;
        let text = broken.downcast_ref::<String>().cloned();
        Some(
            text.unwrap_or_else(|| {
                broken.downcast_ref::<&str>().map(ToString::to_string).unwrap_or_default()
            }),
        )
    })
}

/// Kill masters of cluster A mid-flight, again and again, the whole cluster at once: only the disks remember.
fn crash_whole_clusters(world: &mut World) {
    for round in 0..6 {
        world.run_for(ms(13 + 7 * round));
        for c in 0..2 {
            for n in 0..3 {
                world.kill(node(c, n));
            }
        }
        for c in 0..2 {
            for n in 0..3 {
                world.start(node(c, n));
            }
        }
        world.run_for(ms(600));
    }
}

#[test]
fn honest_disks_survive_the_loss_of_whole_clusters() {
    for seed in 1..=4 {
        let mut world = settled(seed);
        crash_whole_clusters(&mut world);
        assert!(world.run_until(ms(5000), |w| { (0..4).all(|c| w.master(cluster_id(c)).is_some()) }));
    }
}

#[test]
fn r2_a_disk_that_says_durable_too_early_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.lying_disks = Some(ms(40));
        crash_whole_clusters(&mut world);
    });
    assert!(complaint.is_some(), "no checker fired in {SEEDS} seeds");
}

#[test]
fn r1_an_authority_that_forgets_a_grant_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.kill(node(0, 0));
        world.run_for(ms(100));
        world.kill(NodeId::AUTHORITY);
        let last = world.last_key(NodeId::AUTHORITY, Table::Command).unwrap();
        // Back to before the grant. Nodes that run do not believe an older row; one that restarts does.
        world.lose(NodeId::AUTHORITY, |table, key| table == Table::Command && key >= last);
        world.kill(node(0, 1));
        world.kill(node(0, 2));
        world.start(NodeId::AUTHORITY);
        world.start(node(0, 2));
        world.run_for(ms(2000));
    });
    assert!(complaint.is_some_and(|c| c.contains("granted to")), "the checker of P2 did not fire");
}

#[test]
fn rule_13_a_node_that_lost_its_log_and_kept_its_name_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        for round in 0..6 {
            world.run_for(ms(11 + 5 * round));
            // Master and ordinary node die, the standby loses its records in a restart so quick that it stays in the
            // set, and is granted.
            for n in 0..3 {
                world.kill(node(0, n));
            }
            for n in 0..3 {
                world.lose(node(0, n), |table, _| table == Table::Record || table == Table::Meta);
                world.start(node(0, n));
            }
            world.run_for(ms(600));
        }
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("LostLog"), "the node itself says that it must not vote: {complaint}");
}
