//! Whether another cluster signs two words for one (height, round, kind): CH-15. The consensus stands that without a name, as long as
//! at most f clusters do it; people want to know who, and to have both words.

use duohuo_core::chain::{VoteKind, VoteSeen};
use duohuo_core::held::Held;
use duohuo_wire::ids::{ClusterId, Epoch, Height};
use std::collections::BTreeMap;

/// Words of one cluster that are kept to be compared: those of the lowest heights and rounds, where the consensus is.
const MAX_WORDS: usize = 256;

type Place = (Height, u32, VoteKind);

#[derive(Debug, Default)]
pub(crate) struct Contradictions {
    /// By cluster and place: what it said there first.
    words: BTreeMap<ClusterId, BTreeMap<Place, VoteSeen>>,
    /// The newest epoch of each cluster in which it was told.
    told: BTreeMap<ClusterId, Epoch>,
}

impl Contradictions {
    /// A word whose signature holds. Both words, if it contradicts an earlier one and nobody was told of this cluster in this epoch.
    pub(crate) fn note(&mut self, word: VoteSeen) -> Option<Box<[VoteSeen; 2]>> {
        let words = self.words.entry(word.cluster).or_default();
        let first = *words.entry((word.height, word.round, word.kind)).or_insert(word);
        if words.len() > MAX_WORDS {
            words.pop_last();
        }
        if first.value == word.value {
            return None;
        }
        let epoch = first.epoch.max(word.epoch);
        if self.told.get(&word.cluster).is_some_and(|told| *told >= epoch) {
            return None;
        }
        self.told.insert(word.cluster, epoch);
        Some(Box::new([first, word]))
    }

    /// Nothing contradicts a height that is done any more: what comes late is not verified.
    pub(crate) fn forget_up_to(&mut self, height: Height) {
        for words in self.words.values_mut() {
            *words = words.split_off(&(height.next(), 0, VoteKind::Proposal));
        }
    }

    pub(crate) fn held(&self) -> Held {
        Held::entries("words of others", self.words.values().map(BTreeMap::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(cluster: u32, epoch: u64, height: u64, round: u32, value: Option<u8>) -> VoteSeen {
        VoteSeen {
            cluster: ClusterId(cluster),
            epoch: Epoch(epoch),
            height: Height(height),
            round,
            kind: VoteKind::Prevote,
            value: value.map(|v| [v; 32]),
            signature: [value.unwrap_or(0xEE); 64],
        }
    }

    #[test]
    fn two_values_for_one_place_are_a_contradiction_and_a_repetition_or_another_place_is_none() {
        let mut c = Contradictions::default();
        let first = word(2, 1, 5, 0, Some(1));
        for other in [
            first,
            first,
            VoteSeen { signature: [9; 64], ..first },
            VoteSeen { round: 1, value: None, ..first },
            VoteSeen { height: Height(6), value: None, ..first },
            VoteSeen { kind: VoteKind::Precommit, value: None, ..first },
            VoteSeen { cluster: ClusterId(3), value: None, ..first },
        ] {
            assert_eq!(c.note(other), None, "{other:?}");
        }
        let second = word(2, 1, 5, 0, None);
        assert_eq!(c.note(second), Some(Box::new([first, second])));
    }

    #[test]
    fn it_is_told_once_for_each_epoch_of_a_cluster() {
        let mut c = Contradictions::default();
        let both = |c: &mut Contradictions, cluster, epoch, height| {
            let told = c.note(word(cluster, epoch, height, 0, Some(1)));
            assert_eq!(told, None);
            c.note(word(cluster, epoch, height, 0, Some(2))).is_some()
        };
        assert!(both(&mut c, 2, 1, 5) && !both(&mut c, 2, 1, 6), "once");
        assert!(both(&mut c, 3, 1, 5), "another cluster");
        assert!(both(&mut c, 2, 2, 7) && !both(&mut c, 2, 1, 8), "a new epoch, and an older one again");
        // The successor says something else than its predecessor: that is the cluster's second word too (P1).
        assert_eq!(c.note(word(4, 1, 9, 0, Some(1))), None);
        assert!(c.note(word(4, 2, 9, 0, Some(2))).is_some());
    }

    #[test]
    fn words_far_above_push_none_of_the_lowest_out_and_what_is_done_is_forgotten() {
        let mut c = Contradictions::default();
        assert_eq!(c.note(word(2, 1, 5, 0, Some(1))), None);
        for round in 1..10_000 {
            c.note(word(2, 1, 5, round, Some(1)));
        }
        assert_eq!(c.held().entries, 256);
        assert!(c.note(word(2, 1, 5, 0, Some(2))).is_some());
        c.forget_up_to(Height(4));
        assert_eq!(c.held().entries, 256);
        c.note(word(2, 1, 6, 0, None));
        c.forget_up_to(Height(5));
        assert_eq!(c.held().entries, 0, "the highest of all was not kept");
    }
}
