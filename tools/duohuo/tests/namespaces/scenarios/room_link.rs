//! Partitions of DEP-1's two rooms: only the side that the authority can talk to goes on; healed, there is one ledger.

use crate::wires::{self, Way};
use crate::world::{self, World};
use duohuo_rig::layout::TWO_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::ClusterId;
use duohuo_wire::packet::Outcome;
use std::time::Duration;

/// The cable between the rooms is cut; the authority is in room 1.
pub(crate) fn authority_in_room_1() -> world::Outcome {
    cut_off(World::start(TWO_COMPANIES, 1)?, 2)
}

/// The same, from the other side.
pub(crate) fn authority_in_room_2() -> world::Outcome {
    cut_off(World::start(TWO_COMPANIES, 2)?, 1)
}

/// Room 2 loses its cable; room 1 and the authority, at a third site, see each other.
pub(crate) fn authority_apart() -> world::Outcome {
    cut_off(World::start(TWO_COMPANIES, 9)?, 2)
}

/// `lost` is alone: the other room takes over its masters and goes on, and no block comes to be in `lost`.
fn cut_off(mut world: World, lost: u8) -> world::Outcome {
    let kept = 3 - lost;
    let (inside, outside) = (world.in_room(lost), world.in_room(kept));
    let before = world.rows();
    let orphans = masters_in(&world, lost);
    wires::cut(lost)?;
    world.switched(&before, &orphans, &outside)?;
    world.goes_on()?;
    let stands_at = world.height(&inside);
    world.goes_on()?;
    world.pause(Duration::from_secs(1))?;
    let height = world.height(&inside);
    if height != stands_at {
        return Err(format!("room {lost} went on alone from height {stands_at} to {height}"));
    }
    healed(world)
}

/// Nobody hears room 2, which hears everybody: its masters are replaced, whatever they believe.
pub(crate) fn one_way() -> world::Outcome {
    let mut world = World::start(TWO_COMPANIES, 9)?;
    let before = world.rows();
    let orphans = masters_in(&world, 2);
    let heirs = world.in_room(1);
    wires::cut_one_way(2, Way::Out)?;
    world.switched(&before, &orphans, &heirs)?;
    world.goes_on()?;
    healed(world)
}

/// The rooms do not see each other, and the authority sees both: it refuses whoever claims the place of a master that
/// answers it. No quorum of masters can talk, so the chain may stand; healed, it goes on.
pub(crate) fn triangle() -> world::Outcome {
    let mut world = World::start(TWO_COMPANIES, 9)?;
    let since = World::now_us();
    wires::separate(1, 2)?;
    world.saw("a claim refused, since the master answers", since, |s| {
        s.kind == kind::REFUSED && s.detail == Outcome::IncumbentHeard as u32
    })?;
    world.pause(Duration::from_secs(2))?;
    healed(world)
}

fn masters_in(world: &World, room: u8) -> Vec<ClusterId> {
    let nodes = world.in_room(room);
    world.rows().values().filter(|row| nodes.contains(&row.master)).map(|row| row.cluster).collect()
}

fn healed(mut world: World) -> world::Outcome {
    world.heal()?;
    world.settle()?;
    world.goes_on()?;
    world.judge()
}
