//! DEP-4, SYS-6: one more ordinary node per cluster, added while running; then any three rooms fail.

use super::rooms::{come_back, go_dark};
use crate::wires::node_address;
use crate::world::{Outcome, World};
use duohuo_rig::layout::{ADDED_PRIORITY, FOUR_COMPANIES, LayoutNode};
use duohuo_wire::ids::NodeId;
use rustix::process::Signal;

/// Each room in its turn is the last one.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    add_nodes(&mut world)?;
    for kept in 1..=4 {
        let lost: Vec<u8> = (1..=4).filter(|room| *room != kept).collect();
        go_dark(&mut world, &lost, &[kept], 4)?;
        come_back(&mut world)?;
    }
    world.judge()
}

/// To each cluster one in the room where it has none.
fn add_nodes(world: &mut World) -> Outcome {
    let mut added = Vec::new();
    for (cluster, (name, rooms)) in (1u8..).zip(FOUR_COMPANIES) {
        let room = (1u16..=4).find(|room| !rooms.contains(room)).unwrap_or(1);
        let node = LayoutNode {
            name: format!("{name}4"),
            room,
            priority: ADDED_PRIORITY,
            address: node_address(room, cluster, 4),
        };
        let id = world.network.add_node(world.cluster(name), &node).map_err(|e| e.to_string())?;
        added.push(id);
    }
    world.network.publish().map_err(|e| e.to_string())?;
    world.signal(NodeId::AUTHORITY, Signal::HUP);
    for id in added {
        let entry =
            world.network.roster.node(id).map(|(_, node)| node.clone()).ok_or("it was not enrolled")?;
        world.plug_in_node(&entry)?;
        world.run(id)?;
    }
    world.settle()?;
    world.goes_on()
}
