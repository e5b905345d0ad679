//! F19: two live copies of one node, keys and all, as a hypervisor's clone of its host makes them. P1 rests on each private
//! key being on one machine, so this is beyond the promise (decision 16). What is kept here is what is seen of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::event::Event;
use duohuo_tests::consortium::node;
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::world::World;
use duohuo_wire::ids::NodeId;
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

#[test]
fn two_copies_of_a_master_stop_before_a_second_word() {
    for seed in 1..=3 {
        let mut world = doubled(seed, node(0, 0));
        let stopped = catch_unwind(AssertUnwindSafe(|| world.run_for(ms(5000)))).unwrap_err();
        let said = stopped.downcast_ref::<&str>().copied();
        assert_eq!(said, Some("nothing is released that is not safe"), "seed {seed}");
        assert_eq!(world.checker.broken, [""; 0], "seed {seed}: no checker has anything to say");
    }
}
