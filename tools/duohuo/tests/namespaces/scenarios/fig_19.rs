//! DEP-2, Figs. 18 and 19: four companies, three nodes per cluster; any two rooms fail.

use super::rooms::{come_back, go_dark};
use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;

/// Rooms 3 and 4 as in the figure, then the other two, then one of each.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    for (lost, kept) in [([3, 4], [1, 2]), ([1, 2], [3, 4]), ([1, 4], [2, 3])] {
        go_dark(&mut world, &lost, &kept, 4)?;
        come_back(&mut world)?;
    }
    world.judge()
}
