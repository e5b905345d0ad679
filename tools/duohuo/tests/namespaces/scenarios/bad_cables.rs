//! Cables that lose one frame in twenty both ways and take 4 Mbit/s, and a master that dies meanwhile.

use crate::wires::{self, Way};
use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_wire::ids::NodeId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Percent.
const LOSS: u8 = 5;
/// Of each room.
const KILOBITS: u32 = 4_000;

/// Masters may change for no other reason than the cables: safety and going on are what counts.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    for room in [1, 2, 3, 4, 9] {
        wires::lose(room, Way::In, LOSS)?;
        wires::lose(room, Way::Out, LOSS)?;
        wires::narrow(room, KILOBITS)?;
    }
    world.pause(Duration::from_secs(2))?;
    world.goes_on()?;
    let a = world.cluster("A");
    let before = world.rows();
    let row = world.row(a);
    world.kill(&BTreeSet::from([row.master]));
    let heirs: BTreeSet<NodeId> = row.in_sync.into_iter().filter(|id| *id != row.master).collect();
    if !heirs.is_empty() {
        world.switched(&before, &[a], &heirs)?;
    }
    world.goes_on()?;
    world.heal()?;
    world.revive()?;
    world.goes_on()?;
    world.judge()
}
