//! The patent's recoveries (Figs. 13 to 15) over four clusters in the layout of Fig. 18.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_chain::Timing;
use duohuo_core::Instant;
use duohuo_core::config::Timers;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{Consortium, FIG_18, cluster_id, node};
use duohuo_tests::host::Settings;
use duohuo_tests::scenario::{ms, settled, settled_at};
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::NodeId;

#[test]
fn a_network_of_four_clusters_starts_and_commits() {
    let mut world = settled(1);
    let before = world.checker.height().0;
    world.run_for(ms(1000));
    assert!(world.checker.height().0 > before + 10);
}

#[test]
fn rec_1_the_standby_takes_over_when_the_master_is_killed() {
    let mut world = settled(2);
    let killed_at = world.now();
    world.kill(node(0, 0));
    assert!(world.run_until(ms(500), |w| w.master(cluster_id(0)) == Some(node(0, 1))));
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 5));
    let (first_word, who) = world.checker.first_words[&(cluster_id(0), duohuo_wire::ids::Epoch(2))];
    assert_eq!(who, node(0, 1));
    assert!(first_word - killed_at < ms(30), "first word after {:?}", first_word - killed_at);
}

/// What a kill costs in messages, writes and rules alone: virtual time has no processors. Until the new master leads it is the same at
/// whatever moment the old one dies; when it votes first is what the chain is at: between two heights there is nothing to vote on.
#[test]
fn rec_1_how_soon_a_new_master_votes_is_the_chains_pause_and_not_the_takeovers() {
    let kills = |pause: u64| -> Vec<(f64, f64)> {
        let timing = Timing { block_interval: ms(pause), ..Timing::default() };
        let settings = Settings { timing, ..Settings::default() };
        let kill = |phase: u64| {
            let mut world =
                World::with_settings(phase, Consortium::new(phase, &FIG_18), Luck::default(), settings);
            world.start_all();
            world.start_client(ms(5), Instant::from_nanos(u64::MAX / 2));
            let is_whole = |w: &World| {
                let complete = |e: &Event| matches!(e, Event::InSyncChanged { members: 3, .. });
                w.checker.log.iter().filter(|(_, _, e)| complete(e)).count() >= 4
            };
            assert!(world.run_until(ms(3000), is_whole));
            world.run_for(ms(50) + core::time::Duration::from_micros(phase * 731));
            let killed_at = world.now();
            world.kill(node(0, 0));
            assert!(world.run_until(ms(500), |w| w.master(cluster_id(0)) == Some(node(0, 1))));
            let leads = world.now() - killed_at;
            let first = (cluster_id(0), duohuo_wire::ids::Epoch(2));
            assert!(world.run_until(ms(500), |w| w.checker.first_words.contains_key(&first)));
            let speaks = world.checker.first_words[&first].0 - killed_at;
            (leads.as_secs_f64() * 1e3, speaks.as_secs_f64() * 1e3)
        };
        (0..20).map(kill).collect()
    };
    let told = |kills: &[(f64, f64)]| {
        let mut waits: Vec<f64> = kills.iter().map(|(leads, speaks)| speaks - leads).collect();
        waits.sort_by(f64::total_cmp);
        let latest = kills.iter().map(|(leads, _)| *leads).fold(0.0, f64::max);
        println!(
            "leads within {latest:.1} ms; then votes after {:.1}, {:.1}, {:.1} ms",
            waits[0], waits[10], waits[19]
        );
        (latest, waits[0], waits[10], waits[19])
    };
    let (with_pause, without) = (told(&kills(10)), told(&kills(0)));
    assert!(with_pause.0 < 3.0 && without.0 < 3.0, "{with_pause:?} {without:?}");
    assert!(with_pause.1 < 2.0, "where the chain is at work: {with_pause:?}");
    assert!(without.2 < with_pause.2, "{with_pause:?} {without:?}");
}

/// B-LOG-12: with room for one record in a packet nearly every log that is handed on comes in parts, and masters die while they give it.
#[test]
fn rec_1_a_successor_whose_log_does_not_fit_into_a_packet_gives_it_in_parts() {
    let settings = Settings { log_packet_bytes: 1, ..Settings::default() };
    let mut world = World::with_settings(21, Consortium::new(21, &FIG_18), Luck::default(), settings);
    world.start_all();
    world.start_client(ms(3), Instant::from_nanos(u64::MAX / 2));
    let all_lead = |w: &World| (0..4).all(|c| w.master(cluster_id(c)).is_some());
    assert!(world.run_until(ms(3000), all_lead));
    for round in 0..8 {
        world.run_for(ms(1000 + 7 * round));
        let master = world.master(cluster_id(0)).unwrap();
        world.kill(master);
        let is_succeeded = |w: &World| w.master(cluster_id(0)).is_some_and(|now| now != master);
        assert!(world.run_until(ms(1000), is_succeeded), "round {round}");
        // In some rounds the successor dies at once, with its log on the way.
        let second = (round % 3 == 0).then(|| world.master(cluster_id(0)).unwrap());
        if let Some(second) = second {
            world.run_for(ms(1));
            world.kill(second);
            world.start(second);
        }
        world.start(master);
        let height = world.checker.height().0;
        assert!(world.run_until(ms(3000), |w| w.checker.height().0 > height + 5), "round {round}");
    }
}

#[test]
fn rec_2_an_ordinary_node_takes_over_when_master_and_standby_are_killed() {
    let mut world = settled(3);
    world.kill(node(1, 0));
    world.kill(node(1, 1));
    assert!(world.run_until(ms(500), |w| w.master(cluster_id(1)) == Some(node(1, 2))));
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 5));
}

#[test]
fn rec_3_a_master_that_computes_wrong_results_is_switched_by_order() {
    let mut world = settled(4);
    let wrong = node(2, 0);
    world.checker.expect_wrong_results(cluster_id(2), wrong);
    world.wrong_results(wrong, true);
    assert!(world.run_until(ms(1000), |w| w.master(cluster_id(2)) == Some(node(2, 1))));
    assert!(world.saw(|e| matches!(e, Event::ForcedSwitch { node, .. } if *node == NodeId(31))));
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 5));
}

#[test]
fn rec_3_works_although_the_wrong_master_cannot_hear_the_order() {
    let mut world = settled(9);
    let wrong = node(2, 0);
    world.checker.expect_wrong_results(cluster_id(2), wrong);
    world.set_cut(NodeId::AUTHORITY, wrong, true);
    world.wrong_results(wrong, true);
    assert!(world.run_until(ms(2000), |w| w.master(cluster_id(2)) == Some(node(2, 1))));
}

#[test]
fn what_was_killed_comes_back_catches_up_and_rejoins() {
    let mut world = settled(5);
    world.kill(node(0, 0));
    world.run_for(ms(500));
    world.start(node(0, 0));
    let rejoined = world.run_until(ms(2000), |w| {
        w.checker
            .log
            .iter()
            .any(|(_, _, e)| matches!(e, Event::InSyncChanged { node: n, members: 3, epoch, .. } if *n == node(0, 0) && epoch.0 == 2))
    });
    assert!(rejoined, "the old master is in sync again");
    assert_eq!(world.master(cluster_id(0)), Some(node(0, 1)), "and takes nothing over");
}

#[test]
fn an_ordinary_node_that_was_away_rejoins_in_the_same_epoch() {
    let mut world = settled(8);
    world.kill(node(0, 2));
    world.run_for(ms(500));
    let told = world.checker.log.len();
    world.start(node(0, 2));
    let rejoined = world.run_until(ms(2000), |w| {
        w.checker.log[told..].iter().any(
            |(_, _, e)| matches!(e, Event::InSyncChanged { node: n, members: 3, .. } if *n == node(0, 2)),
        )
    });
    assert!(rejoined, "it is in sync again");
}

#[test]
fn p4_the_chain_goes_on_without_the_authority_which_forgets_nothing() {
    let mut world = settled(6);
    world.kill(NodeId::AUTHORITY);
    let height = world.checker.height();
    world.run_for(ms(1000));
    assert!(world.checker.height().0 > height.0 + 10, "commits go on");
    world.start(NodeId::AUTHORITY);
    world.run_for(ms(600));
    world.kill(node(3, 0));
    assert!(world.run_until(ms(1000), |w| w.master(cluster_id(3)) == Some(node(3, 1))));
    assert_eq!(
        world.checker.grants().keys().filter(|(c, _)| *c == cluster_id(3)).count(),
        2,
        "epoch 2 follows epoch 1"
    );
}

#[test]
fn dep_2_two_rooms_of_four_are_lost_and_the_other_two_carry_all_clusters() {
    let mut world = settled(7);
    for (c, nodes) in FIG_18.iter().enumerate() {
        for (n, (room, _)) in nodes.iter().enumerate() {
            if *room >= 3 {
                world.kill(node(c, n));
            }
        }
    }
    assert!(world.run_until(ms(1500), |w| { (0..4).all(|c| w.master(cluster_id(c)).is_some()) }));
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 5));
}

/// B-ERR-5: the successor errs at the same height in the same way, so the fault is in all of them.
#[test]
fn rec_3_the_same_wrong_result_by_the_successor_stops_the_switching_and_raises_the_alarm() {
    // Between two blocks everybody has executed the same ones: from then on all three err alike.
    let mut world = settled_at(11, Luck::default(), ms(200));
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height() > height));
    world.run_for(ms(60));
    let cluster = cluster_id(2);
    for n in 0..3 {
        world.checker.expect_wrong_results(cluster, node(2, n));
        world.wrong_results(node(2, n), true);
    }
    let alarm = |e: &Event| matches!(e, Event::Alarm { cluster: c, .. } if *c == cluster);
    assert!(world.run_until(ms(3000), |w| w.saw(alarm)), "somebody has to look");
    assert_eq!(world.master(cluster), Some(node(2, 1)), "one switch, and no more");
    world.run_for(ms(2000));
    assert_eq!(world.master(cluster), Some(node(2, 1)));
    let switches = world.checker.log.iter().filter(|(_, who, e)| {
        *who == NodeId::AUTHORITY && matches!(e, Event::ForcedSwitch { cluster: c, .. } if *c == cluster)
    });
    assert_eq!(switches.count(), 1);
    let height = world.checker.height();
    assert!(world.run_until(ms(3000), |w| w.checker.height().0 > height.0 + 5), "the others go on");
}

/// B-CLM-9: a standby that was away for a moment is in sync again long before the startup interval is over, and may be needed before.
#[test]
fn b_clm_9_who_saw_its_master_since_its_start_claims_at_once() {
    let mut world = settled(23);
    let back = node(0, 1);
    let startup = Timers::for_keepalive(Settings::default().keepalive).startup_interval;
    world.kill(back);
    world.run_for(ms(300));
    world.start(back);
    let started_at = world.now();
    let in_sync =
        |w: &World| w.checker.rows().entry(cluster_id(0)).is_some_and(|entry| entry.row.in_sync.len() == 3);
    assert!(world.run_until(startup, in_sync));
    [0, 2].into_iter().for_each(|n| world.kill(node(0, n)));
    assert!(world.run_until(ms(30), |w| w.master(cluster_id(0)) == Some(back)));
    assert!(world.now() - started_at < startup, "{:?} after its start", world.now() - started_at);
}
