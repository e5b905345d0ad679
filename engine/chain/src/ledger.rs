//! The application: accounts and transfers, so that results can really differ (design, "The chain"). Also what
//! follows from committed blocks alone: which transactions are spent, and whose turn it is to propose.

use crate::block::Block;
use crate::context::BlockId;
use crate::transaction::Transfer;
use duohuo_core::chain::TransactionId;
use duohuo_wire::ids::{ClusterId, Height};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// For how many heights a proposer whose round failed has no first turn.
pub const SKIP_HEIGHTS: u64 = 64;

/// The state before the first block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Genesis {
    /// Accounts and what they hold; the others hold nothing.
    pub accounts: Vec<(u32, u64)>,
}

/// What became of one transaction of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Which.
    pub transaction: TransactionId,
    /// Whether it moved anything.
    pub applied: bool,
}

/// Accounts after the last executed block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ledger {
    height: Height,
    block: BlockId,
    state_hash: [u8; 32],
    balances: BTreeMap<u32, u64>,
    /// Committed transactions and where, until they could not be valid any more.
    spent: BTreeMap<TransactionId, Height>,
    spent_until: BTreeSet<(Height, TransactionId)>,
    clusters: Vec<ClusterId>,
    /// The last height at which a cluster has no first turn.
    skipped_until: BTreeMap<ClusterId, Height>,
    /// Turns at the last executed height and at the next.
    last_turns: Vec<ClusterId>,
    next_turns: Vec<ClusterId>,
    wrong: bool,
}

impl Ledger {
    /// The state before the first block.
    #[must_use]
    pub fn new(consortium: [u8; 16], clusters: &[ClusterId], genesis: &Genesis) -> Self {
        let balances: BTreeMap<u32, u64> = genesis.accounts.iter().copied().collect();
        let mut hash = Sha256::new().chain_update(b"duohuo genesis 1").chain_update(consortium);
        for (account, balance) in &balances {
            hash.update(account.to_be_bytes());
            hash.update(balance.to_be_bytes());
        }
        let state_hash: [u8; 32] = hash.finalize().into();
        let mut ledger = Self {
            height: Height(0),
            block: BlockId(state_hash),
            state_hash,
            balances,
            spent: BTreeMap::new(),
            spent_until: BTreeSet::new(),
            clusters: clusters.to_vec(),
            skipped_until: BTreeMap::new(),
            last_turns: Vec::new(),
            next_turns: Vec::new(),
            wrong: false,
        };
        ledger.next_turns = ledger.turns_at(Height(1));
        ledger
    }

    /// Height of the last executed block.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }

    /// The last executed block; the genesis hash before the first.
    #[must_use]
    pub fn last_block(&self) -> BlockId {
        self.block
    }

    /// Hash over the state: a chain of hashes, one link a block.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        self.state_hash
    }

    /// What an account holds.
    #[must_use]
    pub fn balance(&self, account: u32) -> u64 {
        self.balances.get(&account).copied().unwrap_or(0)
    }

    /// All accounts that hold or held something.
    pub fn accounts(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.balances.iter().map(|(account, balance)| (*account, *balance))
    }

    /// Where a transaction was committed, as long as it is remembered.
    #[must_use]
    pub fn committed_at(&self, id: TransactionId) -> Option<Height> {
        self.spent.get(&id).copied()
    }

    /// In which order the clusters propose at the next height.
    #[must_use]
    pub fn turns(&self) -> &[ClusterId] {
        &self.next_turns
    }

    /// Fault injection: from now on every credit is one too high.
    pub fn inject_wrong_results(&mut self, on: bool) {
        self.wrong = on;
    }

    /// Whether wrong results are injected.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.wrong
    }

    /// Whether a block may be voted for: it extends ours and holds nothing twice, spent or out of time.
    /// Balances are not looked at: an unfunded transfer is committed without effect.
    #[must_use]
    pub fn accepts(&self, block: &Block) -> bool {
        let mut ids = BTreeSet::new();
        block.height == self.height.next()
            && block.parent == self.block.0
            && self.clusters.contains(&block.proposer)
            && block
                .transactions
                .iter()
                .all(|t| t.in_time(block.height) && !self.spent.contains_key(&t.id) && ids.insert(t.id))
    }

    /// Carries out the next block. The caller has checked height and parent.
    pub fn execute(&mut self, id: BlockId, block: &Block) -> Vec<Outcome> {
        self.take_turns(block);
        let mut touched = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(block.transactions.len());
        for transfer in &block.transactions {
            let fresh = transfer.in_time(block.height) && !self.spent.contains_key(&transfer.id);
            let applied = fresh && self.carry_out(transfer, &mut touched);
            if fresh {
                self.spent.insert(transfer.id, block.height);
                self.spent_until.insert((transfer.valid_until, transfer.id));
            }
            outcomes.push(Outcome { transaction: transfer.id, applied });
        }
        self.forget_expired(block.height);
        let mut hash = Sha256::new()
            .chain_update(self.state_hash)
            .chain_update(block.height.0.to_be_bytes())
            .chain_update(id.0);
        for account in touched {
            hash.update(account.to_be_bytes());
            hash.update(self.balance(account).to_be_bytes());
        }
        self.state_hash = hash.finalize().into();
        self.height = block.height;
        self.block = id;
        outcomes
    }

    fn carry_out(&mut self, transfer: &Transfer, touched: &mut BTreeSet<u32>) -> bool {
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
        touched.insert(transfer.from);
        touched.insert(transfer.to);
        true
    }

    fn forget_expired(&mut self, height: Height) {
        while let Some((until, id)) = self.spent_until.first().copied() {
            if until > height {
                break;
            }
            self.spent_until.pop_first();
            self.spent.remove(&id);
        }
    }

    /// The skip rule (spec/chain.md): those whose rounds failed below the commit round of the parent have no first
    /// turn for [`SKIP_HEIGHTS`] heights after it. Only committed block contents enter.
    fn take_turns(&mut self, block: &Block) {
        let failed = usize::try_from(block.parent_commit_round).unwrap_or(usize::MAX);
        let until = Height(self.height.0.saturating_add(SKIP_HEIGHTS));
        for cluster in self.last_turns.iter().take(failed) {
            self.skipped_until.insert(*cluster, until);
        }
        let next = self.turns_at(block.height.next());
        self.last_turns = core::mem::replace(&mut self.next_turns, next);
    }

    /// Round robin by height over those that are not skipped, then the skipped ones.
    fn turns_at(&self, height: Height) -> Vec<ClusterId> {
        let is_skipped = |c: &ClusterId| self.skipped_until.get(c).is_some_and(|until| *until >= height);
        let (mut skipped, mut eligible): (Vec<_>, Vec<_>) = self.clusters.iter().partition(|c| is_skipped(c));
        if eligible.is_empty() {
            core::mem::swap(&mut skipped, &mut eligible);
        }
        for list in [&mut eligible, &mut skipped] {
            let count = u64::try_from(list.len()).unwrap_or(1).max(1);
            let first = usize::try_from(height.0 % count).unwrap_or(0);
            list.rotate_left(first);
        }
        eligible.extend(skipped);
        eligible
    }
}
