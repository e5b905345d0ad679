//! Many deadlines, one queue: setting, moving and finding the next are logarithmic, never a scan.

use crate::time::Instant;
use std::collections::{BTreeMap, BTreeSet};

/// A deadline per key.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
    /// The first of them, which every input asks for.
    next: Option<Instant>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new(), next: None }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Set or move.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        if let Some(before) = self.by_key.insert(key, at) {
            self.by_time.remove(&(before, key));
        }
        self.by_time.insert((at, key));
        self.next = self.by_time.first().map(|(at, _)| *at);
    }

    pub(crate) fn clear(&mut self, key: K) {
        if let Some(before) = self.by_key.remove(&key) {
            self.by_time.remove(&(before, key));
            self.next = self.by_time.first().map(|(at, _)| *at);
        }
    }

    /// The next key that is due, taken out.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next? > now {
            return None;
        }
        let (_, key) = self.by_time.first().copied()?;
        self.clear(key);
        Some(key)
    }

    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_due_at_its_instant_and_not_before() {
        let mut d = Deadlines::default();
        d.set(1, Instant::from_nanos(10));
        assert_eq!(d.pop_due(Instant::from_nanos(9)), None);
        assert_eq!(d.pop_due(Instant::from_nanos(10)), Some(1));
        assert_eq!(d.pop_due(Instant::from_nanos(11)), None);
    }

    #[test]
    fn a_moved_deadline_is_due_once_at_its_new_instant() {
        let mut d = Deadlines::default();
        d.set(1, Instant::from_nanos(10));
        d.set(1, Instant::from_nanos(30));
        d.set(2, Instant::from_nanos(20));
        assert_eq!(d.next(), Some(Instant::from_nanos(20)));
        assert_eq!(d.pop_due(Instant::from_nanos(40)), Some(2));
        assert_eq!(d.pop_due(Instant::from_nanos(40)), Some(1));
        assert_eq!(d.pop_due(Instant::from_nanos(40)), None);
    }
}
