//! DEP-1, Figs. 16 and 17: two companies, one room each; the other one takes over all four masters.

use super::rooms::{come_back, go_dark};
use crate::world::{Outcome, World};
use duohuo_rig::layout::TWO_COMPANIES;

/// Room 1 goes dark and comes back, then room 2.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(TWO_COMPANIES, 9)?;
    go_dark(&mut world, &[1], &[2], 4)?;
    come_back(&mut world)?;
    go_dark(&mut world, &[2], &[1], 4)?;
    come_back(&mut world)?;
    world.judge()
}
