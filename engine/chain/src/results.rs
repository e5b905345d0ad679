//! Results of other clusters' executions, and their comparison with ours (REC-3; design "Consensus errors").

use duohuo_wire::ids::{ClusterId, Epoch, Height};
use duohuo_wire::statement::SignedResult;
use std::collections::{BTreeMap, BTreeSet};

/// Heights below and above ours whose results are kept.
pub(crate) const RESULT_WINDOW: u64 = 64;

/// The book of signed results.
#[derive(Debug, Default)]
pub(crate) struct Results {
    heights: BTreeMap<Height, BTreeMap<ClusterId, SignedResult>>,
    accused: BTreeSet<(Height, ClusterId, Epoch)>,
    /// Heights whose agreement was given out.
    agreed: BTreeSet<Height>,
}

impl Results {
    /// How many are kept.
    pub(crate) fn count(&self) -> usize {
        self.accused.len() + self.heights.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Takes a verified result in; a newer epoch's stands for the cluster. Outside the window it is dropped.
    /// Gives the evidence against each cluster that is newly seen to differ from a quorum to which `own` belongs.
    pub(crate) fn insert(
        &mut self,
        result: SignedResult,
        chain: Height,
        own: ClusterId,
        quorum: usize,
    ) -> Vec<Vec<SignedResult>> {
        let height = result.height;
        if height.0.abs_diff(chain.0) > RESULT_WINDOW {
            return Vec::new();
        }
        self.forget_below(Height(chain.0.saturating_sub(RESULT_WINDOW)));
        let book = self.heights.entry(height).or_default();
        if book.get(&result.cluster).is_some_and(|known| known.epoch >= result.epoch) {
            return Vec::new();
        }
        book.insert(result.cluster, result);
        let Some(ours) = book.get(&own) else {
            return Vec::new();
        };
        let (agree, differ): (Vec<_>, Vec<_>) = book.values().partition(|r| r.hash == ours.hash);
        if agree.len() < quorum {
            return Vec::new();
        }
        let mut reports = Vec::new();
        for liar in differ {
            if self.accused.insert((height, liar.cluster, liar.epoch)) {
                let mut evidence = vec![liar.clone()];
                evidence.extend(agree.iter().map(|r| (*r).clone()));
                reports.push(evidence);
            }
        }
        reports
    }

    /// The results of a quorum that agree, ours among them; once a height.
    pub(crate) fn agreed(
        &mut self,
        height: Height,
        own: ClusterId,
        quorum: usize,
    ) -> Option<Vec<SignedResult>> {
        let book = self.heights.get(&height)?;
        let ours = book.get(&own)?;
        let agree: Vec<SignedResult> = book.values().filter(|r| r.hash == ours.hash).cloned().collect();
        (agree.len() >= quorum && self.agreed.insert(height)).then_some(agree)
    }

    /// Forgets all: the state they were compared with is gone.
    pub(crate) fn clear_own(&mut self, own: ClusterId) {
        for book in self.heights.values_mut() {
            book.remove(&own);
        }
    }

    fn forget_below(&mut self, height: Height) {
        self.heights = self.heights.split_off(&height);
        self.accused = self.accused.split_off(&(height, ClusterId(0), Epoch(0)));
        self.agreed = self.agreed.split_off(&height);
    }
}
