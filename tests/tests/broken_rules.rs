//! Each rule that safety rests on, broken on purpose: the checker must fire. A checker that never fired is not trusted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::Instant;
use duohuo_core::chain::{TransactionId, VoteKind};
use duohuo_core::event::Event;
use duohuo_core::io::Table;
use duohuo_tests::checker::Step;
use duohuo_tests::consortium::{Consortium, FIG_16, cluster_id, node};
use duohuo_tests::faults::everybody;
use duohuo_tests::host::Disk;
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::sim::converge;
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::{Epoch, Height, NodeId};
use duohuo_wire::packet::OrderKind;
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
        // An acknowledgement that was forgotten is noticed sooner, as often as not.
        world.silence(&["S14"]);
        world.lying_disks = Some(ms(40));
        crash_whole_clusters(&mut world);
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S2: "), "{complaint}");
}

#[test]
fn r1_an_authority_that_forgets_a_grant_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S12"]);
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
    assert!(
        complaint.is_some_and(|c| c.contains("S4") && c.contains("granted to")),
        "the checker of P2 did not fire"
    );
}

#[test]
#[should_panic(expected = "S12: ")]
fn s12_an_authority_that_starts_from_an_older_table_is_noticed_at_once() {
    let mut world = settled(1);
    world.kill(NodeId::AUTHORITY);
    let last = world.last_key(NodeId::AUTHORITY, Table::Command).unwrap();
    world.lose(NodeId::AUTHORITY, |table, key| table == Table::Command && key >= last);
    world.start(NodeId::AUTHORITY);
    world.run_for(ms(1));
}

#[test]
fn rule_13_a_node_that_lost_its_log_and_kept_its_name_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S12", "S2", "S13"]);
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

/// A cluster of two (Fig. 16) whose master stands still, and whose standby is granted epoch 2 and has spoken in it.
/// What the standby's disk held before is returned.
fn overtaken(seed: u64) -> (World, Disk) {
    let mut world = World::new(seed, Consortium::new(seed, &FIG_16), Luck::default());
    world.start_all();
    world.start_client(ms(5), Instant::from_nanos(u64::MAX / 2));
    let in_sync =
        |w: &World| w.checker.rows().entry(cluster_id(0)).is_some_and(|entry| entry.row.in_sync.len() == 2);
    assert!(world.run_until(ms(3000), |w| in_sync(w) && w.checker.height().0 > 5));
    world.run_for(ms(seed % 17));
    let before = world.image(node(0, 1));
    world.pause(node(0, 0));
    assert!(world.run_until(ms(1000), |w| w.checker.first_words.contains_key(&(cluster_id(0), Epoch(2)))));
    world.run_for(ms(60));
    (world, before)
}

/// The old master wakes up, alone with its standby.
fn wake_the_old_master(world: &mut World) {
    for id in everybody(world).into_iter().filter(|id| *id != node(0, 0) && *id != node(0, 1)) {
        world.set_cut(node(0, 0), id, true);
        world.set_cut(node(0, 1), id, true);
    }
    world.resume(node(0, 0));
    world.run_for(ms(3000));
}

#[test]
fn r3_an_old_master_that_wakes_up_says_nothing() {
    for seed in 1..=4 {
        let (mut world, _) = overtaken(seed);
        let first = |w: &World| w.checker.log.len();
        let before = first(&world);
        world.kill(node(0, 1));
        world.start(node(0, 1));
        wake_the_old_master(&mut world);
        assert!(first(&world) > before, "they do live");
    }
}

#[test]
fn r3_a_member_that_forgets_its_promise_is_noticed() {
    let complaint = first_complaint(|seed| {
        set_back_and_woken(seed, &["S12"]);
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S1:") || complaint.contains("S2:"), "{complaint}");
}

#[test]
fn s12_a_node_that_starts_from_an_older_promise_is_noticed_at_once() {
    let complaint = first_complaint(|seed| set_back_and_woken(seed, &[]));
    assert!(complaint.is_some_and(|c| c.contains("S12: ")));
}

#[test]
fn s1_a_second_word_of_one_cluster_in_one_round_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S2", "S3", "S6", "S12", "S13", "S14", "R8"]);
        world.lying_disks = Some(ms(40));
        crash_whole_clusters(&mut world);
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S1: "), "{complaint}");
}

/// Let time pass until the master of cluster A has just precommitted a block.
fn until_a_precommit(world: &mut World) {
    world.checker.history = Some(Vec::new());
    let is_one = |step: &Step| {
        matches!(step, Step::Released { vote, .. } if vote.cluster == cluster_id(0)
        && vote.kind == VoteKind::Precommit && vote.value.is_some())
    };
    world.run_until(ms(3000), |w| w.checker.history.iter().flatten().any(is_one));
    world.checker.history = None;
}

/// Clusters A and B are one node each, D is gone: without A nothing is decided that it precommitted just now. It and B forget
/// what they said last, and are granted again.
#[test]
fn s3_a_lock_that_a_cluster_forgot_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S1", "S2", "S4", "S5", "S6", "S12", "S13", "S14", "S15", "R8"]);
        let gone = [(0, 1), (0, 2), (1, 1), (1, 2), (3, 0), (3, 1), (3, 2)];
        gone.into_iter().for_each(|(c, n)| world.kill(node(c, n)));
        let alone =
            |w: &World, c| w.checker.rows().entry(cluster_id(c)).is_some_and(|e| e.row.in_sync.len() == 1);
        assert!(world.run_until(ms(3000), |w| alone(w, 0) && alone(w, 1)));
        world.lying_disks = Some(ms(40));
        for _ in 0..4 {
            world.run_for(ms(300));
            until_a_precommit(&mut world);
            for c in 0..2 {
                world.kill(node(c, 0));
                world.start(node(c, 0));
            }
            world.run_for(ms(1500));
        }
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S3: "), "{complaint}");
}

#[test]
fn s9_a_disk_that_keeps_the_whole_log_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.hoarding_disks = true;
        world.run_for(ms(120_000));
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S9: "), "{complaint}");
}

/// The standby forgets its promise of epoch 2: it acknowledges the old master's epoch again, and the old master goes on
/// from where it stood.
fn set_back_and_woken(seed: u64, silenced: &[&'static str]) {
    let (mut world, before) = overtaken(seed);
    world.silence(silenced);
    world.kill(node(0, 1));
    world.restore(node(0, 1), before);
    wake_the_old_master(&mut world);
    world.start(node(0, 1));
    world.run_for(ms(3000));
}

/// Cluster A's second standby was away for long; then `forged` decides over who is in sync, and only it is left.
fn only_who_was_away_is_left(seed: u64, forged: impl FnOnce(&mut World, Disk)) -> World {
    let mut world = settled(seed);
    let away = node(0, 2);
    let with_it = world.image(NodeId::AUTHORITY);
    world.kill(away);
    // With cluster D gone the chain needs A: nobody goes on from where A stood.
    for n in 0..3 {
        world.kill(node(3, n));
    }
    let removed = |w: &World| {
        w.checker.rows().entry(cluster_id(0)).is_some_and(|entry| !entry.row.in_sync.contains(&away))
    };
    assert!(world.run_until(ms(2000), removed));
    world.run_for(ms(200 + seed % 13));
    world.kill(NodeId::AUTHORITY);
    forged(&mut world, with_it);
    // The rest of the cluster dies in the middle of its work; who was away comes back and is all there is.
    world.kill(node(0, 0));
    world.kill(node(0, 1));
    world.start(NodeId::AUTHORITY);
    world.start(away);
    world.run_for(ms(2500));
    world
}

#[test]
fn r4_who_is_not_in_sync_is_not_granted() {
    for seed in 1..=4 {
        let world = only_who_was_away_is_left(seed, |_, _| {});
        assert_eq!(world.master(cluster_id(0)), None, "nobody may: it does not know what was said");
    }
}

#[test]
fn r4_and_r5_an_authority_that_takes_back_a_removal_is_noticed() {
    // To the master it said that the member is out, so that the master went on without it; then it forgets that.
    let complaint = first_complaint(|seed| {
        only_who_was_away_is_left(seed, |world, with_it| {
            world.silence(&["S12"]);
            world.restore(NodeId::AUTHORITY, with_it);
        });
    });
    let complaint = complaint.expect("a checker fires");
    let noticed = ["S1:", "S2:", "S3:", "S13:"].iter().any(|checker| complaint.contains(checker));
    assert!(noticed, "{complaint}");
}

#[test]
fn s13_a_master_that_lacks_what_its_cluster_said_is_noticed() {
    let complaint = first_complaint(|seed| {
        only_who_was_away_is_left(seed, |world, with_it| {
            world.silence(&["S12", "S2", "S14"]);
            world.restore(NodeId::AUTHORITY, with_it);
        });
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S13: "), "{complaint}");
}

#[test]
fn s14_a_master_that_does_not_wait_for_who_is_in_sync_is_noticed() {
    let mut world = settled(1);
    world.silence(&["S12", "S2"]);
    let with_it = world.image(NodeId::AUTHORITY);
    world.kill(node(0, 2));
    let removed = |w: &World| {
        w.checker.rows().entry(cluster_id(0)).is_some_and(|entry| !entry.row.in_sync.contains(&node(0, 2)))
    };
    assert!(world.run_until(ms(2000), removed));
    world.run_for(ms(100));
    world.kill(NodeId::AUTHORITY);
    world.restore(NodeId::AUTHORITY, with_it);
    let complaint = catch_unwind(AssertUnwindSafe(|| {
        world.start(NodeId::AUTHORITY);
        world.run_for(ms(500));
    }));
    let complaint = complaint.expect_err("a checker fires");
    let complaint = complaint.downcast_ref::<String>().unwrap();
    assert!(complaint.contains("S14: ") && complaint.contains("13"), "{complaint}");
}

/// The link between master and standby of cluster A is cut, and nothing else.
fn lone_cut(seed: u64, deaf: bool) -> World {
    let mut world = settled(seed);
    world.run_for(ms(5000));
    world.deaf_authority = deaf;
    world.set_cut(node(0, 0), node(0, 1), true);
    world.run_for(ms(2000));
    world
}

#[test]
fn r6_one_cut_link_moves_no_master() {
    for seed in 1..=4 {
        assert_eq!(lone_cut(seed, false).master(cluster_id(0)), Some(node(0, 0)));
    }
}

#[test]
fn r6_an_authority_that_does_not_ask_the_incumbent_is_noticed() {
    let complaint = first_complaint(|seed| drop(lone_cut(seed, true)));
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S15: "), "{complaint}");
}

#[test]
fn r2_a_driver_that_writes_in_another_order_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.set_luck(Luck { disk: (ms(2), ms(9)), ..Luck::default() });
        world.reordering_disks = true;
        crash_whole_clusters(&mut world);
    });
    let complaint = complaint.expect("a checker fires");
    println!("{complaint}");
}

#[test]
fn s19_who_says_all_a_thousand_times_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.repeats = 1000;
        world.run_for(ms(1000));
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S19: "), "{complaint}");
}

#[test]
fn s18_a_driver_that_writes_in_another_order_leaves_gaps_in_logs_and_it_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S1", "S2", "S3", "S4", "S5", "S6", "S12", "S13", "S14", "R8"]);
        world.set_luck(Luck { disk: (ms(2), ms(9)), ..Luck::default() });
        world.reordering_disks = true;
        world.run_for(ms(1000));
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S18: "), "{complaint}");
}

/// Rule 17: a forced node whose log lost what its fence closed speaks where its predecessor may have spoken.
#[test]
fn s17_a_forced_master_whose_fence_is_lost_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S2", "S13", "S18", "R8"]);
        let (cluster, forced) = (cluster_id(0), node(0, 2));
        world.kill(forced);
        let is_out = |w: &World| {
            w.checker.rows().entry(cluster).is_some_and(|entry| !entry.row.in_sync.contains(&forced))
        };
        assert!(world.run_until(ms(2000), is_out), "seed {seed}");
        world.kill(node(0, 0));
        world.kill(node(0, 1));
        world.start(forced);
        world.run_for(ms(500));
        world.order(OrderKind::Force, cluster, forced);
        let stands = |w: &World| w.saw(|e| matches!(e, Event::Fenced { .. }));
        assert!(world.run_until(ms(3000), stands), "seed {seed}");
        // Without a fourth cluster nothing is decided before this one speaks.
        for n in 0..3 {
            world.kill(node(1, n));
        }
        world.kill(forced);
        world.lose(forced, |table, _| table == Table::Record);
        world.start(forced);
        world.run_for(ms(3000));
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S17: "), "{complaint}");
}

#[test]
fn s5_another_state_at_the_same_height_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S8"]);
        world.wrong_results(node(1, 0), true);
        world.run_for(ms(2000));
    });
    assert!(complaint.is_some_and(|c| c.contains("S5: ")));
}

#[test]
fn s6_an_answer_before_the_block_is_on_a_disk_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S1", "S2", "S3", "S5", "S13", "S14", "R8"]);
        world.lying_disks = Some(ms(40));
        world.run_for(ms(2000));
    });
    assert!(complaint.is_some_and(|c| c.contains("S6: ")));
}

#[test]
fn s7_an_authority_that_forgets_a_bar_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.silence(&["S12", "S4", "S2", "S14"]);
        let before = world.image(NodeId::AUTHORITY);
        let wrong = node(0, 0);
        world.checker.expect_wrong_results(cluster_id(0), wrong);
        world.wrong_results(wrong, true);
        assert!(world.run_until(ms(2000), |w| w.saw(|e| matches!(e, Event::ForcedSwitch { .. }))));
        world.run_for(ms(300));
        world.kill(NodeId::AUTHORITY);
        for n in 0..3 {
            world.kill(node(0, n));
        }
        world.restore(NodeId::AUTHORITY, before);
        world.start(NodeId::AUTHORITY);
        world.start(wrong);
        world.run_for(ms(4000));
    });
    let complaint = complaint.expect("a checker fires");
    assert!(complaint.contains("S7: "), "{complaint}");
}

#[test]
fn s8_two_lying_clusters_of_four_bar_an_honest_master_and_it_is_noticed() {
    let complaint = first_complaint(|seed| {
        let mut world = settled(seed);
        world.lie(node(1, 0), true);
        world.lie(node(2, 0), true);
        world.run_for(ms(3000));
    });
    assert!(complaint.is_some_and(|c| c.contains("S8: ")), "more than f lie: beyond the promise");
}

#[test]
fn s11_more_liars_than_the_network_promises_to_bear_are_noticed() {
    let mut world = settled(1);
    world.checker.expect_lies(cluster_id(1));
    world.run_for(ms(10));
    world.checker.expect_lies(cluster_id(2));
    assert!(catch_unwind(AssertUnwindSafe(|| world.run_for(ms(10)))).is_err());
}

#[test]
#[should_panic(expected = "stands in 0 blocks")]
fn s6_an_answered_transfer_that_is_in_no_block_is_noticed() {
    let mut world = settled(1);
    world.run_for(ms(300));
    world.book.borrow_mut().committed.insert(TransactionId([0xFF; 16]), Height(3));
    world.audit(node(0, 0));
}

#[test]
fn s10_a_network_that_does_not_converge_is_noticed() {
    let mut world = settled(1);
    assert_eq!(converge(&mut world, ms(3000), "now"), Ok(()));
    // Three of four clusters lose everybody: no quorum, and no master where nobody is.
    for c in 1..4 {
        for n in 0..3 {
            world.kill(node(c, n));
        }
    }
    let why = converge(&mut world, ms(3000), "then").expect_err("it cannot");
    assert!(why.starts_with("S10: then: a cluster has no master"), "{why}");
}
