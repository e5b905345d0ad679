//! Transactions that wait for a block: in order of arrival, bounded, each once.

use crate::application::{Application, Transaction};
use crate::ledger::LedgerOf;
use duohuo_core::chain::TransactionId;
use duohuo_wire::ids::Height;
use std::collections::BTreeMap;

/// The pool.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    limit: usize,
    next: u64,
    order: BTreeMap<u64, T>,
    /// Its place in the order, and whether it was submitted here (then its fate is reported).
    known: BTreeMap<TransactionId, (u64, bool)>,
}

impl<T: Transaction> Pool<T> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, next: 0, order: BTreeMap::new(), known: BTreeMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    pub(crate) fn clear(&mut self) {
        self.order.clear();
        self.known.clear();
    }

    /// Takes a transaction in; `None`: full; `Some(false)`: it was here.
    pub(crate) fn insert(&mut self, transaction: T, own: bool) -> Option<bool> {
        if let Some((_, is_own)) = self.known.get_mut(&transaction.id()) {
            *is_own |= own;
            return Some(false);
        }
        if self.order.len() >= self.limit {
            return None;
        }
        self.known.insert(transaction.id(), (self.next, own));
        self.order.insert(self.next, transaction);
        self.next = self.next.saturating_add(1);
        Some(true)
    }

    /// Drops a transaction; whether it was submitted here.
    pub(crate) fn remove(&mut self, id: TransactionId) -> bool {
        self.known.remove(&id).is_some_and(|(place, own)| {
            self.order.remove(&place);
            own
        })
    }

    /// The oldest that fit a block of `height`. They stay until a block that holds them is committed.
    pub(crate) fn choose<A: Application<Transaction = T>>(
        &self,
        ledger: &LedgerOf<A>,
        height: Height,
        count: usize,
        bytes: usize,
    ) -> Vec<T> {
        let mut room = bytes;
        let fits = |t: &&T| t.in_time(height) && ledger.committed_at(t.id()).is_none();
        let has_room = |t: &&T| {
            let left = room.checked_sub(t.length());
            room = left.unwrap_or(0);
            left.is_some()
        };
        self.order.values().filter(fits).take(count).take_while(has_room).cloned().collect()
    }

    /// Drops what can be in no block above `height`.
    pub(crate) fn expire(&mut self, height: Height) {
        let dead: Vec<TransactionId> =
            self.order.values().filter(|t| t.valid_until() <= height).map(T::id).collect();
        for id in dead {
            self.remove(id);
        }
    }

    /// The transactions that were submitted here, oldest first.
    pub(crate) fn own(&self, count: usize) -> Vec<T> {
        let is_own = |t: &&T| self.known.get(&t.id()).is_some_and(|(_, own)| *own);
        self.order.values().filter(is_own).take(count).cloned().collect()
    }
}
