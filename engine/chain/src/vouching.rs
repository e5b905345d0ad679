//! Results that a new master owes for blocks which its predecessor's word stood for (chain.md, Results).
//!
//! Sixty-four signatures, and as many verifications by every other master, at the very moment when all of them wait for the new
//! master's first word: so they wait for it, too, and come a few at a time.

use core::time::Duration;
use duohuo_core::Instant;
use duohuo_wire::ids::Height;
use std::collections::VecDeque;

/// From the beginning of a role to the first of them.
const DELAY: Duration = Duration::from_millis(50);
/// From some of them to the next.
const INTERVAL: Duration = Duration::from_millis(10);
/// At once.
const BATCH: usize = 8;

/// A height, and the state after it.
pub(crate) type Outcome = (Height, [u8; 32]);

/// What is owed, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Vouching {
    owed: VecDeque<Outcome>,
    at: Instant,
}

impl Vouching {
    /// A role begins with these.
    pub(crate) fn begin(&mut self, now: Instant, owed: impl Iterator<Item = Outcome>) {
        self.owed = owed.collect();
        self.at = now + DELAY;
    }

    /// The role is over, or the chain begins anew.
    pub(crate) fn end(&mut self) {
        self.owed.clear();
    }

    /// A block more. `Some`: it is signed now, since nothing older waits.
    #[must_use]
    pub(crate) fn add(&mut self, outcome: Outcome) -> Option<Outcome> {
        if self.owed.is_empty() {
            return Some(outcome);
        }
        self.owed.push_back(outcome);
        None
    }

    /// What is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Outcome> {
        if self.owed.is_empty() || now < self.at {
            return Vec::new();
        }
        self.at = now + INTERVAL;
        self.owed.drain(..BATCH.min(self.owed.len())).collect()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        (!self.owed.is_empty()).then_some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(height: u64) -> Outcome {
        (Height(height), [7; 32])
    }

    #[test]
    fn what_is_owed_comes_in_order_a_few_at_a_time_and_the_newest_last() {
        let start = Instant::ZERO + Duration::from_secs(1);
        let mut vouching = Vouching::default();
        assert_eq!(vouching.add(of(1)), Some(of(1)), "nothing older waits");
        vouching.begin(start, (1..=20).map(of));
        assert_eq!((vouching.due(start).len(), vouching.add(of(21))), (0, None));
        let (mut now, mut told) = (start, Vec::new());
        while let Some(at) = vouching.poll_timeout() {
            now = at;
            let due = vouching.due(now);
            assert!(!due.is_empty() && due.len() <= BATCH);
            told.extend(due);
        }
        assert_eq!(told, (1..=21).map(of).collect::<Vec<_>>());
        assert_eq!(now - start, DELAY + INTERVAL * 2);
        assert_eq!(vouching.add(of(22)), Some(of(22)));
    }

    #[test]
    fn a_role_that_is_over_owes_nothing() {
        let mut vouching = Vouching::default();
        vouching.begin(Instant::ZERO, core::iter::once(of(1)));
        vouching.end();
        assert_eq!((vouching.poll_timeout(), vouching.due(Instant::ZERO + DELAY)), (None, Vec::new()));
    }
}
