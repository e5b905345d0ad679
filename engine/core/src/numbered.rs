//! Many values, each found by its number in one look.

use core::hash::Hash;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Values by number. An ordered map of some thousand values misses the cache at each level of its tree; this one misses it
/// once. Numbers are spread in the same way in every run, and who looks at all of them sees them ascending: nothing
/// depends on chance. Only what we or the operator numbered is kept by this: nobody else can choose numbers that meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Numbered<K: Eq + Hash, V>(HashMap<K, V, FixedState>);

impl<K: Eq + Hash, V> Default for Numbered<K, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Ord + Hash, V> Numbered<K, V> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn contains(&self, number: &K) -> bool {
        self.0.contains_key(number)
    }

    pub(crate) fn get(&self, number: &K) -> Option<&V> {
        self.0.get(number)
    }

    pub(crate) fn get_mut(&mut self, number: &K) -> Option<&mut V> {
        self.0.get_mut(number)
    }

    /// The value of a number, made if there is none.
    pub(crate) fn get_or_default(&mut self, number: K) -> &mut V
    where
        V: Default,
    {
        self.0.entry(number).or_default()
    }

    /// Takes the place of one that is there.
    pub(crate) fn insert(&mut self, number: K, value: V) {
        self.0.insert(number, value);
    }

    pub(crate) fn remove(&mut self, number: &K) -> Option<V> {
        self.0.remove(number)
    }

    /// All, ascending: for what is done now and then.
    pub(crate) fn ascending(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter()
    }

    /// All, ascending, to be changed.
    pub(crate) fn ascending_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        let mut all: Vec<_> = self.0.iter_mut().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_seen_ascending_however_they_came_and_went() {
        let mut some = Numbered::default();
        for number in [7_u64, u64::MAX, 3, 1 << 40, 0, 9] {
            some.insert(number, number.count_ones());
        }
        some.remove(&9);
        *some.get_or_default(5) += 1;
        some.ascending_mut().for_each(|(_, ones)| *ones += 1);
        let all: Vec<(u64, u32)> = some.ascending().map(|(number, ones)| (*number, *ones)).collect();
        assert_eq!(all, [(0, 1), (3, 3), (5, 2), (7, 4), (1 << 40, 2), (u64::MAX, 65)]);
        assert_eq!((some.len(), some.get(&9), some.contains(&7)), (6, None, true));
    }
}
