//! The gate of a master: what the chain said, until the log behind it is safe (rules 18 and 19). What is safe, the master says.

use crate::held::Held;
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::statement::SignedResult;
use std::collections::VecDeque;

/// What waits at most.
const MAX_ITEMS: usize = 1_024;
const MAX_BYTES: usize = 16 << 20;

/// Something the chain said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Gated {
    Send {
        to: Option<ClusterId>,
        bytes: Bytes,
    },
    Commit {
        height: Height,
        block: Bytes,
    },
    Report {
        evidence: Vec<SignedResult>,
    },
    Proof {
        height: Height,
        proof: Bytes,
    },
    /// The answer to a forced master of another cluster.
    Promise {
        node: NodeId,
        cluster: ClusterId,
        epoch: Epoch,
        height: Height,
    },
}

impl Gated {
    fn bytes(&self) -> usize {
        match self {
            Self::Send { bytes, .. } | Self::Commit { block: bytes, .. } => bytes.len(),
            Self::Proof { proof, .. } => proof.len(),
            Self::Report { .. } | Self::Promise { .. } => 0,
        }
    }

    /// Whether it may be as good as lost on the way, where blocks up to this one are committed.
    fn may_be_lost(&self, committed: Height) -> bool {
        match self {
            Self::Send { .. } | Self::Report { .. } | Self::Proof { .. } => true,
            Self::Commit { height, .. } => *height <= committed,
            Self::Promise { .. } => false,
        }
    }
}

/// What waits, in order, each with the length of the log that must be safe before.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: VecDeque<(u64, Gated)>,
    bytes: usize,
}

impl Gate {
    /// Hold an item until the log of length `after` is safe. Blocks up to `committed` are.
    ///
    /// B-BND-5: while a member is lost and nobody can remove it, the others go on, and what the chain says meanwhile is of less
    /// and less use: the oldest goes first.
    pub(super) fn hold(&mut self, after: u64, item: Gated, committed: Height) {
        self.bytes += item.bytes();
        self.waiting.push_back((after, item));
        while self.waiting.len() > MAX_ITEMS || self.bytes > MAX_BYTES {
            let oldest = self.waiting.iter().position(|(_, item)| item.may_be_lost(committed));
            let Some((_, item)) = oldest.and_then(|at| self.waiting.remove(at)) else { return };
            self.bytes -= item.bytes();
        }
    }

    /// The first, if it waits for no more than what is `safe`.
    pub(super) fn pop(&mut self, safe: u64) -> Option<(u64, Gated)> {
        let free = self.waiting.pop_front_if(|(after, _)| *after <= safe)?;
        self.bytes -= free.1.bytes();
        Some(free)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn held(&self) -> Held {
        Held { name: "gate", entries: self.waiting.len(), bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(n: u8) -> Gated {
        Gated::Send { to: None, bytes: Bytes::copy_from_slice(&[n]) }
    }

    fn commit(height: u64, bytes: usize) -> Gated {
        Gated::Commit { height: Height(height), block: Bytes::from(vec![0; bytes]) }
    }

    fn all(gate: &mut Gate, safe: u64) -> Vec<Gated> {
        core::iter::from_fn(|| gate.pop(safe)).map(|(_, item)| item).collect()
    }

    #[test]
    fn what_waits_is_counted_with_its_bytes_and_goes_in_order() {
        let mut gate = Gate::default();
        assert!(gate.is_empty());
        let proof = Gated::Proof { height: Height(1), proof: Bytes::from_static(&[0; 100]) };
        let report = Gated::Report { evidence: Vec::new() };
        gate.hold(1, vote(1), Height(0));
        for item in [commit(1, 10), proof.clone(), report.clone()] {
            gate.hold(2, item, Height(0));
        }
        assert_eq!(gate.held(), Held { name: "gate", entries: 4, bytes: 111 });
        assert_eq!(all(&mut gate, 0), []);
        assert_eq!(gate.pop(1), Some((1, vote(1))));
        assert_eq!(gate.pop(1), None);
        assert_eq!(all(&mut gate, 2), [commit(1, 10), proof, report]);
        assert_eq!(gate.held(), Held { name: "gate", entries: 0, bytes: 0 });
    }

    #[test]
    fn b_bnd_5_of_too_much_the_oldest_words_go_and_nothing_that_is_owed() {
        let (node, cluster, epoch) = (NodeId(9), ClusterId(9), Epoch(4));
        let promise = Gated::Promise { node, cluster, epoch, height: Height(1) };
        let mut gate = Gate::default();
        let mut hold = |item| {
            gate.hold(1, item, Height(7));
            gate.held()
        };
        for item in [promise.clone(), commit(7, 1), commit(8, 1), vote(1), vote(2)] {
            hold(item);
        }
        for _ in 5..MAX_ITEMS {
            hold(vote(3));
        }
        assert_eq!(hold(vote(4)).entries, MAX_ITEMS);
        assert_eq!(hold(vote(5)), Held { name: "gate", entries: MAX_ITEMS, bytes: MAX_ITEMS - 1 });
        hold(commit(9, MAX_BYTES));
        assert_eq!(
            all(&mut gate, 1),
            [promise, commit(8, 1), commit(9, MAX_BYTES)],
            "and no word is left beside so many bytes"
        );
        assert!(gate.is_empty());
    }
}
