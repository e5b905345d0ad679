//! DEP-3: three rooms of DEP-2 fail at once; the one that is left carries three masters, a quorum of four.

use super::rooms::{come_back, go_dark};
use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;

/// Room 1 is left: it has no node of D.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    go_dark(&mut world, &[2, 3, 4], &[1], 3)?;
    come_back(&mut world)?;
    world.judge()
}
