//! How late somebody's keepalives come of late: what silence means depends on it.
//!
//! On a quiet network a keepalive that is half an interval late is a sign; on a machine whose processors are all busy
//! it is the rule. So each suspicion waits for twice the worst lateness of the recent past, which decays by 1/64 with
//! each keepalive (half of it is forgotten after 44). A crash is not found by this at all: its stream closes.
//!
//! Only what passes from one keepalive to the next tells it, and only while somebody is there all the while: a takeover, a time of
//! being dead and a pause of our own are no lateness of theirs.

use crate::time::{Duration, Instant};

/// Peak-hold of lateness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lateness {
    peak: Duration,
    /// From when the next keepalive is awaited; `None`: whenever it comes, it is not late.
    awaited_from: Option<Instant>,
}

impl Lateness {
    /// A keepalive came, one interval after the one before if it is in time.
    pub(crate) fn came(&mut self, now: Instant, interval: Duration) {
        if let Some(before) = self.awaited_from.replace(now) {
            self.observe((now - before).saturating_sub(interval));
        }
    }

    /// It said something else: the next keepalive is awaited from now.
    pub(crate) fn spoke(&mut self, now: Instant) {
        self.awaited_from = Some(now);
    }

    /// What passes until its next keepalive tells nothing.
    pub(crate) fn excuse(&mut self) {
        self.awaited_from = None;
    }

    fn observe(&mut self, late: Duration) {
        self.peak = (self.peak - self.peak / 64).max(late);
    }

    /// How much longer to wait than the rule says; at most `bound`.
    pub(crate) fn margin(&self, bound: Duration) -> Duration {
        (self.peak * 2).min(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(50);

    #[test]
    fn who_is_in_time_gets_no_margin() {
        let mut l = Lateness::default();
        l.observe(Duration::ZERO);
        assert_eq!(l.margin(BOUND), Duration::ZERO);
    }

    #[test]
    fn the_margin_is_twice_the_worst_and_bounded() {
        let mut l = Lateness::default();
        l.observe(Duration::from_millis(3));
        assert_eq!(l.margin(BOUND), Duration::from_millis(6));
        l.observe(Duration::from_secs(3600));
        assert_eq!(l.margin(BOUND), BOUND);
    }

    #[test]
    fn only_what_passes_between_two_keepalives_is_lateness() {
        let (interval, at) = (Duration::from_millis(10), |ms: u64| Instant::from_nanos(ms * 1_000_000));
        let mut l = Lateness::default();
        l.came(at(1000), interval);
        l.came(at(1010), interval);
        l.excuse();
        l.came(at(2000), interval);
        l.spoke(at(2040));
        l.came(at(2045), interval);
        assert_eq!(l.margin(BOUND), Duration::ZERO);
        l.came(at(2058), interval);
        assert_eq!(l.margin(BOUND), Duration::from_millis(6));
    }

    #[test]
    fn half_is_forgotten_after_forty_four_keepalives_in_time() {
        let mut l = Lateness::default();
        l.observe(Duration::from_millis(16));
        for _ in 0..44 {
            l.observe(Duration::ZERO);
        }
        let left = l.margin(BOUND);
        assert!(left > Duration::from_millis(15) && left < Duration::from_millis(17), "{left:?}");
    }
}
