//! The account ledger: the application that comes with the chain (spec/chain.md "Ledger"). Accounts and transfers.

use crate::application::Application;
use crate::codec::{Parsed, be_u32, be_u64, count32, items, put_u32, put_u64, refuse, whole};
use crate::transaction::Transfer;
use duohuo_wire::ids::Height;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of one account in a snapshot.
const ACCOUNT_BYTES: usize = 12;

/// The state before the first block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Genesis {
    /// Accounts and what they hold; the others hold nothing.
    pub accounts: Vec<(u32, u64)>,
}

/// Accounts after the last executed block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accounts {
    balances: BTreeMap<u32, u64>,
    /// Changed by the block that is being carried out.
    touched: BTreeSet<u32>,
    wrong: bool,
}

impl Accounts {
    /// The accounts before the first block.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self { balances: genesis.accounts.iter().copied().collect(), ..Self::default() }
    }

    /// What an account holds.
    #[must_use]
    pub fn balance(&self, account: u32) -> u64 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// All accounts that hold or held something.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.balances.iter().map(|(account, balance)| (*account, *balance))
    }

    fn put(&self, out: &mut Vec<u8>, account: u32) {
        put_u32(out, account);
        put_u64(out, self.balance(account));
    }
}

fn parse_account(input: &[u8]) -> Parsed<'_, (u32, u64)> {
    let (rest, account) = be_u32(input)?;
    let (rest, balance) = be_u64(rest)?;
    Ok((rest, (account, balance)))
}

impl Application for Accounts {
    type Transaction = Transfer;

    fn genesis(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.balances.len() * ACCOUNT_BYTES);
        for account in self.balances.keys() {
            self.put(&mut out, *account);
        }
        out
    }

    fn execute(&mut self, transfer: &Transfer) -> bool {
        let Some(left) = self.balance(transfer.from).checked_sub(transfer.amount) else {
            return false;
        };
        let held = if transfer.from == transfer.to { left } else { self.balance(transfer.to) };
        let Some(gained) = held.checked_add(transfer.amount) else {
            return false;
        };
        let gained = if self.wrong { gained.saturating_add(1) } else { gained };
        self.balances.insert(transfer.from, left);
        self.balances.insert(transfer.to, gained);
        self.touched.insert(transfer.from);
        self.touched.insert(transfer.to);
        true
    }

    fn end_block(&mut self, _: Height, changes: &mut Vec<u8>) {
        for account in core::mem::take(&mut self.touched) {
            self.put(changes, account);
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.balances.len() * ACCOUNT_BYTES);
        put_u32(&mut out, count32(self.balances.len()));
        for account in self.balances.keys() {
            self.put(&mut out, *account);
        }
        out
    }

    fn restore(&mut self, snapshot: &[u8]) -> bool {
        let list = whole(snapshot, |input| {
            let (rest, count) = be_u32(input)?;
            let Ok(count) = usize::try_from(count) else { return refuse(input) };
            items(rest, count, ACCOUNT_BYTES, parse_account)
        });
        let Some(list) = list.filter(|list| list.is_sorted_by(|a, b| a.0 < b.0)) else { return false };
        self.balances = list.into_iter().collect();
        self.touched.clear();
        true
    }

    /// The number of an account, u32; the answer is its balance, u64.
    fn query(&self, question: &[u8]) -> Option<Vec<u8>> {
        let account = u32::from_be_bytes(question.try_into().ok()?);
        Some(self.balance(account).to_be_bytes().to_vec())
    }

    /// From now on every credit is one too high.
    fn inject_wrong_results(&mut self, on: bool) {
        self.wrong = on;
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::new(&Genesis { accounts: vec![(7, 1), (2, 0x0102)] })
    }

    #[test]
    fn a_snapshot_has_these_bytes_and_restores() {
        let bytes =
            [&[0, 0, 0, 2][..], &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2], &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1]]
                .concat();
        assert_eq!(accounts().snapshot(), bytes);
        let mut other = Accounts::default();
        assert!(other.restore(&bytes));
        assert_eq!(other, accounts());
    }

    #[test]
    fn a_snapshot_that_is_cut_longer_or_out_of_order_changes_nothing() {
        let good = accounts().snapshot();
        let mut longer = good.clone();
        longer.push(0);
        let mut swapped = good.clone();
        swapped.rotate_left(4);
        for bad in [&good[..good.len() - 1], &longer, &swapped, &[]] {
            let mut accounts = accounts();
            assert!(!accounts.restore(bad));
            assert_eq!(accounts.balance(2), 0x0102);
        }
        let unordered =
            [&[0, 0, 0, 2][..], &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1]]
                .concat();
        assert!(!accounts().restore(&unordered));
    }

    #[test]
    fn the_balance_of_an_account_is_asked_by_its_number() {
        assert_eq!(accounts().query(&[0, 0, 0, 2]), Some(vec![0, 0, 0, 0, 0, 0, 1, 2]));
        assert_eq!(accounts().query(&[0, 0, 0, 3]), Some(vec![0; 8]));
        assert_eq!(accounts().query(&[0, 0, 2]), None);
    }
}
