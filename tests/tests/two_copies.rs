//! F19: two live copies of one node, keys and all, as a hypervisor's clone of its host makes them. P1 rests on each private
//! key being on one machine, so this is beyond the promise (decision 16). What is kept here is what is seen of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::event::Event;
use duohuo_tests::consortium::node;
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::world::World;
use duohuo_wire::ids::{Epoch, NodeId};
use duohuo_wire::packet::Role;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A network with a second live copy of this node.
fn doubled(seed: u64, original: NodeId) -> World {
    let mut world = settled(seed);
    world.run_for(ms(seed * 7));
    world.copy(original).unwrap();
    world
}

#[test]
fn a_copy_of_a_node_that_does_not_lead_is_seen_and_the_chain_goes_on() {
    for seed in 1..=3 {
        for original in [node(0, 1), node(0, 2)] {
            let mut world = doubled(seed, original);
            let before = world.checker.height();
            world.run_for(ms(3000));
            let reached =
                |(_, _, event): &&(_, _, Event)| matches!(event, Event::AuthorityReachable { up: true });
            let times = world.checker.log.iter().filter(reached).count();
            assert!(
                times > 50,
                "each copy takes the other's stream to the authority again and again: {times}"
            );
            assert!(world.checker.height().0 > before.0 + 50, "the chain goes on");
        }
    }
}

/// Lets both copies of a master live until something stops the run; what that was.
fn stopped_by(seed: u64) -> (World, String) {
    let mut world = doubled(seed, node(0, 0));
    let stopped = catch_unwind(AssertUnwindSafe(|| world.run_for(ms(5000)))).unwrap_err();
    let text = stopped.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| stopped.downcast_ref::<String>().cloned());
    (world, text.unwrap_or_default())
}

/// The cause: the copy is a master that restarted, so it claims, and is granted, what the original then adopts as well.
#[test]
fn two_copies_of_a_master_lead_one_epoch_and_never_go_on_unnoticed() {
    for seed in 1..=3 {
        let (world, said) = stopped_by(seed);
        let leads = Event::RoleChanged { role: Role::Master, epoch: Epoch(2) };
        let leading = world.checker.log.iter().filter(|(_, _, event)| *event == leads);
        let leading: BTreeSet<NodeId> = leading.map(|(_, node, _)| *node).collect();
        assert_eq!(leading.len(), 2, "seed {seed}: the original and its copy: {leading:?}");
        let noticed = if world.checker.broken.is_empty() {
            said == "nothing is released that is not safe"
        } else {
            world.checker.broken.iter().all(|text| text.starts_with("S1: ") || text.starts_with("R8: "))
        };
        assert!(noticed, "seed {seed}: {said}");
    }
}

/// Why a host of a node must not be cloned: what the original said after the copy was made, the copy does not know.
#[test]
fn two_copies_of_a_master_can_say_two_words() {
    let fork = |seed| stopped_by(seed).1.contains("S1: conflicting words");
    assert!((1..=40).any(fork), "if nothing of this is seen any more, decision 16 may promise it");
}
