//! Rooms that go dark, for the figures of deployments.

use crate::world::{Outcome, World};
use duohuo_wire::ids::{ClusterId, NodeId};
use std::collections::BTreeSet;

/// `lost` go dark at once; so many clusters must have a master that acts in `kept`, and the chain must go on.
pub(crate) fn go_dark(world: &mut World, lost: &[u8], kept: &[u8], clusters: usize) -> Outcome {
    let before = world.rows();
    let survivors: BTreeSet<NodeId> = kept.iter().flat_map(|room| world.in_room(*room)).collect();
    for room in lost {
        world.dark(*room)?;
    }
    let orphans: Vec<ClusterId> = before
        .values()
        .filter(|row| !survivors.contains(&row.master))
        .filter(|row| row.in_sync.iter().any(|id| survivors.contains(id)))
        .map(|row| row.cluster)
        .collect();
    world.switched(&before, &orphans, &survivors)?;
    let acting = world.rows().values().filter(|row| survivors.contains(&row.master)).count();
    if acting != clusters {
        return Err(format!("{acting} clusters have a master in rooms {kept:?}, expected {clusters}"));
    }
    world.goes_on()
}

/// Cables and processes of all rooms come back.
pub(crate) fn come_back(world: &mut World) -> Outcome {
    world.heal()?;
    world.revive()?;
    world.goes_on()
}
