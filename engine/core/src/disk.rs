//! How long what a machine asks to be written takes until it is durable. Told to whoever operates it; nothing is decided by it.

use crate::time::Instant;
use duohuo_wire::operations::DiskTimes;
use std::collections::VecDeque;

/// Batches on their way, and what the ones before them took.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Token and when it was asked for; as many as the machine waits for.
    asked: VecDeque<(u64, Instant)>,
    times: DiskTimes,
}

impl Disk {
    /// A batch was handed to the driver.
    pub(crate) fn asked(&mut self, token: u64, now: Instant) {
        self.asked.push_back((token, now));
    }

    /// All batches up to this one are durable: the oldest of them waited longest.
    pub(crate) fn done(&mut self, token: u64, now: Instant) {
        let Some((_, oldest)) = self.asked.front().copied().filter(|(first, _)| *first <= token) else {
            return;
        };
        self.asked.retain(|(other, _)| *other > token);
        let took = u32::try_from((now - oldest).as_micros()).unwrap_or(u32::MAX);
        let worst = self.times.worst_us - self.times.worst_us / 64;
        self.times = DiskTimes { last_us: took, worst_us: worst.max(took) };
    }

    /// `None` before the first batch was durable.
    pub(crate) fn times(&self) -> Option<DiskTimes> {
        (self.times != DiskTimes::default()).then_some(self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(us: u64) -> Instant {
        Instant::from_nanos(us * 1000)
    }

    #[test]
    fn a_group_of_batches_took_as_long_as_its_oldest_waited() {
        let mut disk = Disk::default();
        assert_eq!(disk.times(), None);
        disk.asked(1, at(100));
        disk.asked(2, at(500));
        disk.asked(3, at(900));
        disk.done(2, at(1_100));
        assert_eq!(disk.times(), Some(DiskTimes { last_us: 1_000, worst_us: 1_000 }));
        disk.done(2, at(5_000));
        assert_eq!(
            disk.times(),
            Some(DiskTimes { last_us: 1_000, worst_us: 1_000 }),
            "nothing new is durable"
        );
        disk.done(3, at(1_540));
        assert_eq!(disk.times(), Some(DiskTimes { last_us: 640, worst_us: 985 }));
    }
}
