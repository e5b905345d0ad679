//! What a list of samples says.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// The order statistics of samples, in their unit.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Summary {
    /// The smallest.
    pub(crate) min: f64,
    /// Half are at most this.
    pub(crate) median: f64,
    /// 95 of 100 are at most this.
    pub(crate) p95: f64,
    /// 99 of 100 are at most this.
    pub(crate) p99: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Summary {
    /// Of at least one sample; `None` of none.
    pub(crate) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            // The nearest rank: the smallest sample that so many percent do not exceed.
            let rank = (samples.len() * percent).div_ceil(100).max(1);
            samples.get(rank - 1).copied()
        };
        Some(Self {
            min: *samples.first()?,
            median: at(50)?,
            p95: at(95)?,
            p99: at(99)?,
            max: *samples.last()?,
        })
    }
}

/// Processor time, of this thread or of all of this process: what others want of the machine does not enter.
pub(crate) fn processor_seconds(of_process: bool) -> f64 {
    let clock = if of_process { ClockId::ProcessCPUTime } else { ClockId::ThreadCPUTime };
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_statistics_are_nearest_ranks() {
        let samples = (1..=100).rev().map(f64::from).collect();
        let expected = Summary { min: 1.0, median: 50.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(Summary::of(samples), Some(expected));
    }

    #[test]
    fn one_sample_is_all_of_them() {
        assert_eq!(
            Summary::of(vec![7.0]),
            Some(Summary { min: 7.0, median: 7.0, p95: 7.0, p99: 7.0, max: 7.0 })
        );
        assert_eq!(Summary::of(Vec::new()), None);
    }
}
