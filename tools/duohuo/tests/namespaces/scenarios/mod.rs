//! The scenarios: name, what it shows, how it is played.

mod fig_13;

use crate::world::Outcome;

/// All, in the order in which they are run.
pub(crate) const SCENARIOS: &[(&str, &str, fn() -> Outcome)] =
    &[("fig-13", "REC-1: the master dies, the standby takes over", fig_13::play)];
