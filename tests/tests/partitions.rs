//! Cut links and broken disks: who may go on, who must be silent (design P1, P3, R3, R5, R6).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{FIG_18, cluster_id, node};
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::world::World;
use duohuo_wire::ids::{Epoch, NodeId};

/// All nodes of a layout with their rooms.
fn places() -> Vec<(NodeId, u16)> {
    let of = |(c, nodes): (usize, &&[(u16, u8)])| {
        nodes.iter().enumerate().map(move |(n, (room, _))| (node(c, n), *room)).collect::<Vec<_>>()
    };
    FIG_18.iter().enumerate().flat_map(of).collect()
}

#[test]
fn r6_one_cut_link_between_master_and_standby_moves_no_master() {
    let mut world = settled(1);
    world.set_cut(node(0, 0), node(0, 1), true);
    let height = world.checker.height();
    world.run_for(ms(2000));
    assert_eq!(world.master(cluster_id(0)), Some(node(0, 0)));
    assert!(!world.checker.grants().contains_key(&(cluster_id(0), Epoch(2))), "nobody was granted");
    assert!(world.checker.height().0 > height.0 + 10, "the master goes on without the one it cannot reach");
}

#[test]
fn r3_a_master_cut_off_from_all_is_replaced_and_says_nothing_new() {
    let mut world = settled(2);
    let old = node(0, 0);
    for (other, _) in places() {
        world.set_cut(old, other, true);
    }
    world.set_cut(old, NodeId::AUTHORITY, true);
    assert!(world.run_until(ms(1000), |w| w.checker.first_words.contains_key(&(cluster_id(0), Epoch(2)))));
    world.run_for(ms(1000));
    for (other, _) in places() {
        world.set_cut(old, other, false);
    }
    world.set_cut(old, NodeId::AUTHORITY, false);
    let back = world.run_until(ms(3000), |w| {
        let rejoined = |(_, _, e): &(Instant, NodeId, Event)| {
            matches!(e, Event::InSyncChanged { node, epoch, .. } if *node == old && epoch.0 >= 2)
        };
        w.checker.log.iter().any(rejoined)
    });
    assert!(back, "the old master follows the new one");
}

#[test]
fn every_two_way_cut_of_the_four_rooms_forks_nothing_and_heals() {
    for side in 1..=7u16 {
        // The authority is with the rooms of the side that holds room 1.
        let near = |room: u16| room == 1 || side & (1 << (room - 2)) == 0;
        if (2..=4).all(near) {
            continue;
        }
        let mut world = settled(u64::from(side) + 10);
        let places = places();
        let pairs = |cut: bool, world: &mut World| {
            for (a, room_a) in &places {
                for (b, room_b) in &places {
                    if a < b && near(*room_a) != near(*room_b) {
                        world.set_cut(*a, *b, cut);
                    }
                }
                if !near(*room_a) {
                    world.set_cut(NodeId::AUTHORITY, *a, cut);
                }
            }
        };
        pairs(true, &mut world);
        world.run_for(ms(2500));
        pairs(false, &mut world);
        let height = world.checker.height();
        let goes_on = world.run_until(ms(10_000), |w| {
            w.checker.height().0 > height.0 + 10 && (0..4).all(|c| w.master(cluster_id(c)).is_some())
        });
        assert!(goes_on, "cut {side:03b}: the chain goes on when the cut is mended");
    }
}

#[test]
fn a_master_whose_disk_fails_resigns_and_its_standby_takes_over() {
    let mut world = settled(3);
    world.fail_disk(node(0, 0));
    assert!(world.run_until(ms(500), |w| w.master(cluster_id(0)) == Some(node(0, 1))));
    assert!(world.saw(|e| matches!(e, Event::StoreFailed)));
}

#[test]
fn r5_a_standby_that_goes_silent_is_removed_before_the_master_goes_on_without_it() {
    let mut world = settled(4);
    let silent = node(0, 1);
    for (other, _) in places() {
        world.set_cut(silent, other, true);
    }
    world.set_cut(silent, NodeId::AUTHORITY, true);
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 10));
    let removed = |e: &Event| matches!(e, Event::InSyncChanged { node, members: 2, .. } if *node == silent);
    assert!(world.saw(removed), "by the authority's word");
    assert_eq!(world.master(cluster_id(0)), Some(node(0, 0)));
}

#[test]
fn p3_a_cluster_recovers_whoever_of_its_set_is_left() {
    for left in 0..3 {
        let mut world = settled(5 + left as u64);
        for n in (0..3).filter(|n| *n != left) {
            world.kill(node(3, n));
        }
        assert!(world.run_until(ms(1000), |w| w.master(cluster_id(3)) == Some(node(3, left))), "node {left}");
    }
}

#[test]
fn p4_who_missed_grants_of_others_follows_again_without_the_authority() {
    for seed in 1..=3 {
        let mut world = settled(seed);
        let away = node(0, 2);
        world.kill(away);
        // Cluster B has two masters meanwhile; blocks of the first one's epoch stand in the chain.
        for master in [node(1, 0), node(1, 1)] {
            assert!(world.run_until(ms(2000), |w| w.master(cluster_id(1)) == Some(master)));
            let grants = world.checker.grants().len();
            world.kill(master);
            assert!(world.run_until(ms(2000), |w| w.checker.grants().len() > grants));
            world.run_for(ms(300));
            world.start(master);
            world.run_for(ms(600));
        }
        world.kill(NodeId::AUTHORITY);
        world.start(away);
        let height = world.checker.height().0;
        let follows = world.run_until(ms(2000), |w| {
            w.last_key(away, duohuo_core::io::Table::Block).is_some_and(|own| own > height)
        });
        assert!(follows, "seed {seed}: its master hands on what the authority had signed");
    }
}

/// B-BND-5: a member is lost and the authority is away, so that nobody removes it: its master says nothing, while the chain goes on
/// without the cluster and gives it ever more to say.
#[test]
fn b_bnd_5_what_a_master_cannot_say_for_long_is_bounded() {
    let mut world = settled(31);
    world.kill(NodeId::AUTHORITY);
    world.kill(node(0, 1));
    let waiting = |w: &World| w.checker.most_held.get("gate").map_or(0, |(entries, _)| *entries);
    let height = world.checker.height();
    assert!(world.run_until(ms(20_000), |w| waiting(w) == 1_024));
    world.run_for(ms(3000));
    assert_eq!(waiting(&world), 1_024);
    assert!(world.checker.height().0 > height.0 + 100, "the others go on");
    world.start(NodeId::AUTHORITY);
    world.start(node(0, 1));
    world.run_for(ms(1000));
    // Three of four clusters must speak, and it is one of three.
    (0..3).for_each(|n| world.kill(node(1, n)));
    let height = world.checker.height();
    assert!(world.run_until(ms(5000), |w| w.checker.height().0 > height.0 + 20), "it speaks again");
}
