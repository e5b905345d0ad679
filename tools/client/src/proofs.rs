//! The blocks that prove what was committed: each is asked for and verified once, however many transactions of ours
//! stand in it.

use crate::answers::Receipt;
use crate::trust::Trust;
use bytes::Bytes;
use duohuo_chain::{BlockOf, CommittedBlock, Transaction};
use duohuo_core::chain::{BlockError, TransactionId};
use duohuo_wire::ids::{Height, NodeId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Blocks kept after their proof: answers about one block come close together.
const KEPT: usize = 4;

/// A block on its way to be a proof.
enum Stage<T> {
    Asked { of: NodeId, at: Instant, request: u64 },
    Unverified { from: NodeId, at: Instant, block: Bytes },
    Proven { block: CommittedBlock, transactions: Vec<T>, places: BTreeMap<TransactionId, usize> },
}

/// What became of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It proves what stands in it.
    Proven,
    /// It is on its way, or who signed it is.
    Waits,
    /// It is none: somebody else must be asked.
    Worthless,
}

pub(crate) struct Proofs<T>(BTreeMap<Height, Stage<T>>);

impl<T: Transaction> Proofs<T> {
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether a block must be asked for.
    pub(crate) fn lacks(&self, height: Height) -> bool {
        !self.0.contains_key(&height)
    }

    pub(crate) fn asked(&mut self, height: Height, of: NodeId, at: Instant, request: u64) {
        self.0.insert(height, Stage::Asked { of, at, request });
    }

    /// An answer; the height, if it was asked for here.
    pub(crate) fn arrived(&mut self, from: NodeId, request: u64, block: &Bytes) -> Option<Height> {
        self.0.iter_mut().find_map(|(height, stage)| match *stage {
            Stage::Asked { of, at, request: asked } if of == from && asked == request => {
                *stage = Stage::Unverified { from, at, block: block.clone() };
                Some(*height)
            }
            _ => None,
        })
    }

    /// What a node was asked for, or brought, and will not come or hold any more.
    pub(crate) fn lose(&mut self, node: NodeId) -> Vec<Height> {
        self.drop_if(|stage| match stage {
            Stage::Asked { of, .. } => *of == node,
            Stage::Unverified { from, .. } => *from == node,
            Stage::Proven { .. } => false,
        })
    }

    /// What did not come within a span, or names grants that nobody told within it.
    pub(crate) fn late(&mut self, now: Instant, patience: Duration) -> Vec<Height> {
        self.drop_if(|stage| match stage {
            Stage::Asked { at, .. } | Stage::Unverified { at, .. } => now >= *at + patience,
            Stage::Proven { .. } => false,
        })
    }

    fn drop_if(&mut self, is_gone: impl Fn(&Stage<T>) -> bool) -> Vec<Height> {
        let gone: Vec<Height> =
            self.0.iter().filter(|(_, s)| is_gone(s)).map(|(height, _)| *height).collect();
        for height in &gone {
            self.0.remove(height);
        }
        gone
    }

    /// Heights whose block is here and not verified yet: more may be known now of who signed it.
    pub(crate) fn unverified(&self) -> Vec<Height> {
        let is_it = |s: &&Stage<T>| matches!(s, Stage::Unverified { .. });
        self.0.iter().filter(|(_, s)| is_it(s)).map(|(height, _)| *height).collect()
    }

    pub(crate) fn examine(&mut self, height: Height, trust: &mut Trust) -> Verdict {
        let block = match self.0.get(&height) {
            Some(Stage::Unverified { block, .. }) => block.clone(),
            Some(Stage::Proven { .. }) => return Verdict::Proven,
            Some(Stage::Asked { .. }) => return Verdict::Waits,
            None => return Verdict::Worthless,
        };
        let proven = match trust.verify(&block) {
            // asked for at the connection; patience asks again
            Err(BlockError::UnknownGrant(..)) => return Verdict::Waits,
            Ok(block) if block.certificate.height == height => {
                BlockOf::<T>::decode(&block.block).map(|decoded| (block, decoded.transactions))
            }
            Ok(_) | Err(_) => None,
        };
        let Some((block, transactions)) = proven else {
            self.0.remove(&height);
            return Verdict::Worthless;
        };
        let places = transactions.iter().enumerate().map(|(place, t)| (t.id(), place)).collect();
        self.0.insert(height, Stage::Proven { block, transactions, places });
        self.forget_old();
        Verdict::Proven
    }

    fn forget_old(&mut self) {
        let proven = |s: &&Stage<T>| matches!(s, Stage::Proven { .. });
        let mut all: Vec<Height> =
            self.0.iter().filter(|(_, s)| proven(s)).map(|(height, _)| *height).collect();
        all.truncate(all.len().saturating_sub(KEPT));
        for height in all {
            self.0.remove(&height);
        }
    }

    /// The proof of one transaction, if it stands in the proven block of that height.
    pub(crate) fn receipt(&self, height: Height, id: TransactionId, applied: bool) -> Option<Receipt<T>> {
        let Some(Stage::Proven { block, transactions, places }) = self.0.get(&height) else { return None };
        let index = *places.get(&id)?;
        let transaction = transactions.get(index)?.clone();
        Some(Receipt { transaction, height, applied, index, block: block.clone() })
    }
}
