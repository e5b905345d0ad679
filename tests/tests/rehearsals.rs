//! Whole networks in which takeovers are rehearsed under load: nothing comes of it, and the real ones are as before.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::event::Event;
use duohuo_core::io::Table;
use duohuo_core::store::META_PROMISE;
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::world::World;
use duohuo_wire::ids::{Epoch, NodeId};
use duohuo_wire::rehearsal::{RehearsalEnd, Rehearsed};

const A: usize = 0;

fn rehearse(world: &mut World, node: NodeId) -> Rehearsed {
    let before = world.rehearsed().len();
    world.rehearse(node);
    assert!(world.run_until(ms(3000), |w| w.rehearsed().len() > before), "{node} answers");
    world.rehearsed().pop().unwrap().1
}

/// B-DRL-1, B-DRL-2: the standbys of a cluster rehearse in turn while transfers flow; the checkers hold every word that is said
/// against every other.
#[test]
fn b_drl_2_rehearsals_under_load_change_nothing() {
    let (mut records, mut words) = (0, 0);
    for seed in 300..304 {
        let mut world = settled(seed);
        world.run_for(ms(1000));
        let promises = |w: &World| -> Vec<_> {
            let of = |n| w.image(node(A, n)).get(&(Table::Meta, META_PROMISE)).cloned();
            (0..3).map(of).collect()
        };
        let (before, height, log) = (promises(&world), world.checker.height(), world.checker.log.len());
        for turn in 0..6 {
            let told = rehearse(&mut world, node(A, 1 + turn % 2));
            assert_eq!(told.end, RehearsalEnd::Whole, "seed {seed}: {told:?}");
            assert_eq!(told.members.len(), 1, "seed {seed}: {told:?}");
            records += told.records;
            words += told.words;
            world.run_for(ms(510));
        }
        assert_eq!(promises(&world), before, "seed {seed}");
        assert!(world.checker.height().0 > height.0 + 20, "seed {seed}: the chain goes on");
        let entry = world.checker.rows().entry(cluster_id(A)).unwrap();
        assert_eq!((entry.row.epoch, entry.row.master), (Epoch(1), node(A, 0)), "seed {seed}");
        let happened = |(_, _, e): &(_, _, Event)| {
            matches!(e, Event::Claimed { .. } | Event::Granted { .. } | Event::Halted { .. })
        };
        assert!(
            !world.checker.log[log..].iter().any(happened),
            "seed {seed}: {:?}",
            &world.checker.log[log..]
        );
    }
    assert!(
        records > 0 && words > 0,
        "some began in the middle of a height: {records} records, {words} words"
    );
}

/// The master dies at any moment of a rehearsal: the takeover is a real one, and the chain goes on.
#[test]
fn b_drl_2_a_master_that_dies_during_a_rehearsal_is_followed_as_ever() {
    for seed in 310..322 {
        let mut world = settled(seed);
        world.run_for(ms(500));
        world.rehearse(node(A, 1));
        world.run_for(ms(5) + core::time::Duration::from_micros(300) * u32::try_from(seed - 310).unwrap());
        world.kill(node(A, 0));
        let follows = world.run_until(ms(1000), |w| w.master(cluster_id(A)) == Some(node(A, 1)));
        assert!(follows, "seed {seed}: {:?}", world.rehearsed());
        let height = world.checker.height();
        world.run_for(ms(500));
        assert!(world.checker.height() > height, "seed {seed}");
        assert_eq!(world.checker.rows().entry(cluster_id(A)).unwrap().row.epoch, Epoch(2), "seed {seed}");
    }
}
