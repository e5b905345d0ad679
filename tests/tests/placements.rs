//! What `duohuo_core::placement` says of a fault is what whole networks do under virtual time (DEP-1..DEP-3).
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_core::placement::{Fault, PlacedCluster, PlacedNode, Placement, judge};
use duohuo_tests::consortium::{Consortium, FIG_16, FIG_18, Place, cluster_id, node};
use duohuo_tests::scenario::ms;
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::{NodeId, RoomId};

/// The authority's room in these worlds.
const AUTHORITY: RoomId = RoomId(9);

fn placement(layout: &[&[Place]]) -> Placement {
    let clusters = layout.iter().enumerate().map(|(c, nodes)| PlacedCluster {
        name: c.to_string(),
        nodes: nodes
            .iter()
            .map(|(room, priority)| PlacedNode {
                name: room.to_string(),
                room: RoomId(*room),
                priority: *priority,
            })
            .collect(),
    });
    Placement { authority: AUTHORITY, clusters: clusters.collect() }
}

fn settled(seed: u64, layout: &[&[Place]]) -> World {
    let mut world = World::new(seed, Consortium::new(seed, layout), Luck::default());
    world.start_all();
    world.start_client(ms(5), Instant::from_nanos(u64::MAX / 2));
    let complete = |w: &World| {
        let full = |(_, _, e): &&(Instant, _, Event)| matches!(e, Event::InSyncChanged { members, .. } if *members as usize == layout[0].len());
        w.checker.log.iter().filter(full).count() >= layout.len() && w.checker.height().0 >= 5
    };
    assert!(world.run_until(ms(3000), complete), "a network starts");
    world
}

fn rooms(of: &[u16]) -> std::collections::BTreeSet<RoomId> {
    of.iter().map(|r| RoomId(*r)).collect()
}

fn hosts(layout: &[&[Place]]) -> Vec<(NodeId, RoomId)> {
    let nodes = layout.iter().enumerate().flat_map(|(c, nodes)| {
        nodes.iter().enumerate().map(move |(n, (room, _))| (node(c, n), RoomId(*room)))
    });
    nodes.chain([(NodeId::AUTHORITY, AUTHORITY)]).collect()
}

fn strike(world: &mut World, layout: &[&[Place]], fault: &Fault) {
    let hosts = hosts(layout);
    let apart = |a: RoomId, b: RoomId| match fault {
        Fault::Lost(_) => false,
        Fault::Cut(away) => away.contains(&a) != away.contains(&b),
        Fault::Link(x, y) => [(a, b), (b, a)].contains(&(*x, *y)),
    };
    for (i, (a, room_a)) in hosts.iter().enumerate() {
        if matches!(fault, Fault::Lost(rooms) if rooms.contains(room_a)) {
            world.kill(*a);
        }
        for (b, room_b) in &hosts[i + 1..] {
            if apart(*room_a, *room_b) {
                world.set_cut(*a, *b, true);
            }
        }
    }
}

/// The chain goes on or stands still as told, and where it goes on every cluster that is told to act has the master told.
fn as_told(seed: u64, layout: &[&[Place]], fault: &Fault) {
    let verdict = judge(&placement(layout), fault);
    let mut world = settled(seed, layout);
    strike(&mut world, layout, fault);
    world.run_for(ms(2500));
    let height = world.checker.height().0;
    world.run_for(ms(1500));
    let grown = world.checker.height().0 - height;
    assert_eq!(grown > 5, verdict.goes_on(), "{fault:?}: {grown} blocks in 1.5 s");
    for (c, fate) in verdict.fates.iter().enumerate() {
        if let Some(i) = fate.acting() {
            let last = world.checker.grants().range((cluster_id(c), duohuo_wire::ids::Epoch(0))..);
            let last = last.take_while(|((cluster, _), _)| *cluster == cluster_id(c)).last();
            let granted = last.map_or(Some(node(c, 0)), |(_, to)| Some(*to));
            assert_eq!(granted, Some(node(c, i)), "{fault:?}: cluster {c}");
        }
    }
}

#[test]
fn rooms_that_are_lost_in_figure_18() {
    for (seed, gone) in [&[1][..], &[1, 2], &[2, 3, 4], &[9], &[1, 9]].into_iter().enumerate() {
        as_told(seed as u64 + 1, &FIG_18, &Fault::Lost(rooms(gone)));
    }
}

#[test]
fn rooms_that_are_cut_off_in_figure_18() {
    for (seed, away) in [&[1][..], &[3, 4], &[1, 2, 3], &[9]].into_iter().enumerate() {
        as_told(seed as u64 + 11, &FIG_18, &Fault::Cut(rooms(away)));
    }
}

#[test]
fn one_link_that_is_cut_in_figure_18_and_in_figure_16() {
    as_told(21, &FIG_18, &Fault::Link(RoomId(1), RoomId(3)));
    as_told(22, &FIG_18, &Fault::Link(RoomId(1), AUTHORITY));
    as_told(23, &FIG_16, &Fault::Link(RoomId(1), RoomId(2)));
    as_told(24, &FIG_16, &Fault::Lost(rooms(&[1])));
    as_told(25, &FIG_16, &Fault::Cut(rooms(&[2])));
}
