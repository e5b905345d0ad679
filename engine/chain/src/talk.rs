//! Politeness towards one peer: what is said or asked at most once in a while, however often there is reason to.

use duohuo_core::time::{Duration, Instant};

/// How often one peer is asked for blocks, told that it is late, or answered.
pub(crate) const TALK_INTERVAL: Duration = Duration::from_millis(20);

/// When we last did the things that are not done too often, for one peer.
#[derive(Default)]
pub(crate) struct Talk {
    pub(crate) behind_at: Option<Instant>,
    pub(crate) told_late_at: Option<Instant>,
    pub(crate) answered_at: Option<Instant>,
}

/// Whether it may be done now; then it counts as done.
pub(crate) fn is_due(last: &mut Option<Instant>, now: Instant) -> bool {
    if last.is_some_and(|at| now < at + TALK_INTERVAL) {
        return false;
    }
    *last = Some(now);
    true
}
