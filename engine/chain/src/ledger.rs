//! What follows from committed blocks alone: the state of the application and its hash, which transactions are spent,
//! and whose turn it is to propose.

use crate::accounts::{Accounts, Genesis};
use crate::application::{Application, Transaction as _};
use crate::block::BlockOf;
use crate::codec::{
    Parsed, array, be_u16, be_u32, be_u64, bytes32, count16, count32, items, put_bytes32, put_u16, put_u32,
    put_u64, refuse, whole,
};
use crate::context::BlockId;
use crate::snapshot::Manifest;
use bytes::Bytes;
use duohuo_core::chain::{Snapshot, TransactionId};
use duohuo_core::limits::LAST_HEIGHT;
use duohuo_wire::ids::{ClusterId, Height};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// For how many heights a proposer whose round failed has no first turn.
pub const SKIP_HEIGHTS: u64 = 64;
/// Bytes of a spent transaction in a snapshot.
const SPENT_BYTES: usize = 32;
/// Bytes of a skipped cluster in a snapshot.
const SKIPPED_BYTES: usize = 12;

/// What became of one transaction of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Which.
    pub transaction: TransactionId,
    /// Whether it moved anything.
    pub applied: bool,
}

/// The ledger of accounts.
pub type Ledger = LedgerOf<Accounts>;

/// A committed transaction that could still be submitted again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Spent {
    at: Height,
    until: Height,
}

/// The state after the last executed block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LedgerOf<A> {
    application: A,
    height: Height,
    block: BlockId,
    state_hash: [u8; 32],
    /// Committed transactions and where, until they could not be valid any more.
    spent: BTreeMap<TransactionId, Spent>,
    spent_until: BTreeSet<(Height, TransactionId)>,
    clusters: Vec<ClusterId>,
    /// The last height at which a cluster has no first turn.
    skipped_until: BTreeMap<ClusterId, Height>,
    /// Turns at the last executed height and at the next.
    last_turns: Vec<ClusterId>,
    next_turns: Vec<ClusterId>,
    /// A snapshot is taken at the multiples of this height; 0: never.
    snapshot_interval: u64,
    /// Taken after the last block.
    taken: Option<(Manifest, Vec<Bytes>)>,
}

impl LedgerOf<Accounts> {
    /// The accounts before the first block.
    #[must_use]
    pub fn new(
        consortium: [u8; 16],
        clusters: &[ClusterId],
        genesis: &Genesis,
        snapshot_interval: u64,
    ) -> Self {
        Self::with_application(consortium, clusters, Accounts::new(genesis), snapshot_interval)
    }

    /// What an account holds.
    #[must_use]
    pub fn balance(&self, account: u32) -> u64 {
        self.application.balance(account)
    }

    /// All accounts that hold or held something.
    pub fn accounts(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.application.iter()
    }
}

impl<A: Application> LedgerOf<A> {
    /// The state before the first block.
    #[must_use]
    pub fn with_application(
        consortium: [u8; 16],
        clusters: &[ClusterId],
        application: A,
        snapshot_interval: u64,
    ) -> Self {
        let state_hash: [u8; 32] = Sha256::new()
            .chain_update(b"duohuo genesis 2")
            .chain_update(consortium)
            .chain_update(snapshot_interval.to_be_bytes())
            .chain_update(application.genesis())
            .finalize()
            .into();
        let mut ledger = Self {
            application,
            height: Height(0),
            block: BlockId(state_hash),
            state_hash,
            spent: BTreeMap::new(),
            spent_until: BTreeSet::new(),
            clusters: clusters.to_vec(),
            skipped_until: BTreeMap::new(),
            last_turns: Vec::new(),
            next_turns: Vec::new(),
            snapshot_interval,
            taken: None,
        };
        ledger.next_turns = ledger.turns_at(Height(1));
        ledger
    }

    /// The application.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.application
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

    /// Where a transaction was committed, as long as it is remembered.
    #[must_use]
    pub fn committed_at(&self, id: TransactionId) -> Option<Height> {
        self.spent.get(&id).map(|spent| spent.at)
    }

    /// In which order the clusters propose at the next height.
    #[must_use]
    pub fn turns(&self) -> &[ClusterId] {
        &self.next_turns
    }

    /// Fault injection (REC-3).
    pub fn inject_wrong_results(&mut self, on: bool) {
        self.application.inject_wrong_results(on);
    }

    /// Whether a block may be voted for: it extends ours and holds nothing twice, spent or out of time.
    /// The state is not looked at: what it does not allow is committed without effect.
    #[must_use]
    pub fn accepts(&self, block: &BlockOf<A::Transaction>) -> bool {
        let mut ids = BTreeSet::new();
        block.height == self.height.next()
            && block.height <= LAST_HEIGHT
            && block.parent == self.block.0
            && self.clusters.contains(&block.proposer)
            && block
                .transactions
                .iter()
                .all(|t| t.in_time(block.height) && !self.spent.contains_key(&t.id()) && ids.insert(t.id()))
    }

    /// Carries out the next block. The caller has checked height and parent.
    pub fn execute(&mut self, id: BlockId, block: &BlockOf<A::Transaction>) -> Vec<Outcome> {
        self.take_turns(block);
        let mut outcomes = Vec::with_capacity(block.transactions.len());
        for transaction in &block.transactions {
            let (id, until) = (transaction.id(), transaction.valid_until());
            let fresh = transaction.in_time(block.height) && !self.spent.contains_key(&id);
            let applied = fresh && self.application.execute(transaction);
            if fresh {
                self.spent.insert(id, Spent { at: block.height, until });
                self.spent_until.insert((until, id));
            }
            outcomes.push(Outcome { transaction: id, applied });
        }
        self.forget_expired(block.height);
        let mut changes = Vec::new();
        self.application.end_block(block.height, &mut changes);
        self.state_hash = Sha256::new()
            .chain_update(self.state_hash)
            .chain_update(block.height.0.to_be_bytes())
            .chain_update(id.0)
            .chain_update(changes)
            .finalize()
            .into();
        self.height = block.height;
        self.block = id;
        self.take_snapshot();
        outcomes
    }

    /// At the multiples of the interval the hash of the state binds a snapshot (CH-11).
    fn take_snapshot(&mut self) {
        self.taken = None;
        if !is_snapshot_height(self.height, self.snapshot_interval) {
            return;
        }
        let state = Bytes::from(self.encode());
        let (manifest, chunks) = Manifest::of(self.height, self.block.0, self.state_hash, &state);
        self.state_hash = manifest.state_hash();
        self.taken = Some((manifest, chunks));
    }

    /// The snapshot that was taken after the last block, once.
    pub(crate) fn snapshot(&mut self) -> Option<Snapshot> {
        self.taken.take().map(|(manifest, chunks)| manifest.into_snapshot(chunks))
    }

    /// Whether the results of a height prove a snapshot.
    pub(crate) fn is_snapshot_height(&self, height: Height) -> bool {
        is_snapshot_height(height, self.snapshot_interval)
    }

    /// The state in a snapshot: `None` if the chunks are not those of the manifest, or no state. The rest is as here.
    pub(crate) fn restored(&self, manifest: &Manifest, chunks: &[Bytes]) -> Option<Self> {
        let all_fit = chunks.iter().enumerate().all(|(index, chunk)| manifest.is_chunk(index, chunk));
        if !all_fit || chunks.len() != manifest.chunks.len() || !self.is_snapshot_height(manifest.height) {
            return None;
        }
        let state = chunks.concat();
        let state = whole(&state, State::parse)?;
        let known = |c: &ClusterId| self.clusters.contains(c);
        let fits = state.height == manifest.height
            && state.block == manifest.block
            && state.last_turns.iter().all(known)
            && state.skipped.iter().all(|(cluster, _)| known(cluster));
        let mut application = self.application.clone();
        if !fits || !application.restore(&state.application) {
            return None;
        }
        let mut ledger = Self {
            application,
            height: manifest.height,
            block: BlockId(manifest.block),
            state_hash: manifest.state_hash(),
            spent_until: state.spent.iter().map(|(id, spent)| (spent.until, *id)).collect(),
            spent: state.spent.into_iter().collect(),
            clusters: self.clusters.clone(),
            skipped_until: state.skipped.into_iter().collect(),
            last_turns: state.last_turns,
            next_turns: Vec::new(),
            snapshot_interval: self.snapshot_interval,
            taken: None,
        };
        ledger.next_turns = ledger.turns_at(ledger.height.next());
        Some(ledger)
    }

    /// The state as spec/chain.md "Snapshots" has it.
    fn encode(&self) -> Vec<u8> {
        let application = self.application.snapshot();
        let mut out = Vec::with_capacity(application.len() + self.spent.len() * SPENT_BYTES + 4_096);
        put_u64(&mut out, self.height.0);
        out.extend_from_slice(&self.block.0);
        put_u16(&mut out, count16(self.last_turns.len()));
        for cluster in &self.last_turns {
            put_u32(&mut out, cluster.0);
        }
        put_u16(&mut out, count16(self.skipped_until.len()));
        for (cluster, until) in &self.skipped_until {
            put_u32(&mut out, cluster.0);
            put_u64(&mut out, until.0);
        }
        put_u32(&mut out, count32(self.spent.len()));
        for (id, spent) in &self.spent {
            out.extend_from_slice(&id.0);
            put_u64(&mut out, spent.at.0);
            put_u64(&mut out, spent.until.0);
        }
        put_bytes32(&mut out, &application);
        out
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
    fn take_turns(&mut self, block: &BlockOf<A::Transaction>) {
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

fn is_snapshot_height(height: Height, interval: u64) -> bool {
    height.0.checked_rem(interval) == Some(0) && height.0 > 0
}

/// The bytes of a snapshot, read.
struct State {
    height: Height,
    block: [u8; 32],
    last_turns: Vec<ClusterId>,
    skipped: Vec<(ClusterId, Height)>,
    spent: Vec<(TransactionId, Spent)>,
    application: Bytes,
}

impl State {
    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, height) = be_u64(input)?;
        let (rest, block) = array::<32>(rest)?;
        let (rest, count) = be_u16(rest)?;
        let (rest, last_turns) = items(rest, usize::from(count), 4, |input| {
            be_u32(input).map(|(rest, cluster)| (rest, ClusterId(cluster)))
        })?;
        let (rest, count) = be_u16(rest)?;
        let (rest, skipped) = items(rest, usize::from(count), SKIPPED_BYTES, |input| {
            let (rest, cluster) = be_u32(input)?;
            let (rest, until) = be_u64(rest)?;
            Ok((rest, (ClusterId(cluster), Height(until))))
        })?;
        let (rest, count) = be_u32(rest)?;
        let Ok(count) = usize::try_from(count) else { return refuse(input) };
        let (rest, spent) = items(rest, count, SPENT_BYTES, |input| {
            let (rest, id) = array::<16>(input)?;
            let (rest, at) = be_u64(rest)?;
            let (rest, until) = be_u64(rest)?;
            Ok((rest, (TransactionId(id), Spent { at: Height(at), until: Height(until) })))
        })?;
        let (rest, application) = bytes32(rest, usize::try_from(u32::MAX).unwrap_or(usize::MAX))?;
        let application = Bytes::copy_from_slice(application);
        Ok((rest, Self { height: Height(height), block, last_turns, skipped, spent, application }))
    }
}
