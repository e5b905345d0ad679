//! The chain itself: heights one after the other, transactions in, blocks out. What its node asks of it: `asked.rs`.

mod asked;

use crate::Timing;
use crate::accounts::{Accounts, Genesis};
use crate::application::{Application, Transaction as _};
use crate::block::{BlockOf, CommittedBlock, MAX_BLOCK_BYTES, id_of};
use crate::certificate::CommitCertificate;
use crate::context::BlockId;
use crate::contradictions::Contradictions;
use crate::early::Early;
use crate::keys::Keys;
use crate::ledger::{LedgerOf, Outcome};
use crate::message::{Hello, MAX_GOSSIP, Message};
use crate::pool::Pool;
use crate::results::Results;
use crate::snapshot::encode_proof;
use crate::talk::{TALK_INTERVAL, Talk, is_due};
use crate::vouching::Vouching;
use crate::work::{Around, Work};
use arc_malachitebft_core_consensus::Input;
use arc_malachitebft_core_types::Round;
use bytes::Bytes;
use duohuo_core::chain::{BlockError, ChainOutput, HaltReason, Record};
use duohuo_core::limits::LAST_HEIGHT;
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::SigningKey;
use std::collections::{BTreeMap, VecDeque};

/// Submitted transactions are passed on in one message if they come closer together than this.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(1);
/// Results of our own execution that a new master signs anew: as far back as others keep theirs.
const MAX_RECENT: usize = 64;
/// Own waiting transactions told to a peer that comes up.
const MAX_RETOLD: usize = 1_000;

/// What a chain is made of.
#[derive(Clone)]
pub struct EmbeddedConfig<G = Genesis> {
    /// The cluster this node belongs to.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Its signing key.
    pub signing_key: SigningKey,
    /// The consortium.
    pub roster: Roster,
    /// The accounts before the first block; or the application, for [`EmbeddedOf::with_application`].
    pub genesis: G,
    /// Pace and bounds.
    pub timing: Timing,
}

/// A block that was decided here and waits for [`Chain::committed`](duohuo_core::chain::Chain::committed).
struct Decided<T> {
    id: BlockId,
    block: BlockOf<T>,
    round: u32,
}

/// The embedded chain with the ledger of accounts.
pub type Embedded = EmbeddedOf<Accounts>;

/// The embedded chain.
pub struct EmbeddedOf<A: Application> {
    cluster: ClusterId,
    consortium: [u8; 16],
    genesis: A,
    timing: Timing,
    keys: Keys,
    ledger: LedgerOf<A>,
    /// The round of the certificate of the ledger's last block, as we saw it.
    last_commit_round: u32,
    last_commit_at: Instant,
    pool: Pool<A::Transaction>,
    results: Results,
    /// `Some` while this node is master.
    epoch: Option<Epoch>,
    /// A fence stands here: nothing is signed up to this height.
    closed: Height,
    is_halted: bool,
    is_wrong: bool,
    work: Option<Work>,
    decided: Option<Decided<A::Transaction>>,
    /// A height that is decided or applied and not yet reported durable.
    awaiting: Option<Height>,
    /// Entries of the log given to `lead`, of heights not started yet.
    log: Vec<Record>,
    early: Early<A::Transaction>,
    contradictions: Contradictions,
    next_start_at: Instant,
    receipts: Vec<(Height, Outcome)>,
    /// The state after the newest blocks, as we found it.
    recent: VecDeque<(Height, [u8; 32])>,
    vouching: Vouching,
    gossip: Vec<A::Transaction>,
    gossip_at: Instant,
    talks: BTreeMap<ClusterId, Talk>,
    outputs: VecDeque<ChainOutput>,
}

impl EmbeddedOf<Accounts> {
    /// A chain of the account ledger at its genesis, following.
    #[must_use]
    pub fn new(config: EmbeddedConfig) -> Self {
        let EmbeddedConfig { cluster, node, signing_key, roster, genesis, timing } = config;
        let genesis = Accounts::new(&genesis);
        Self::with_application(EmbeddedConfig { cluster, node, signing_key, roster, genesis, timing })
    }

    /// What an account holds after the last block.
    #[must_use]
    pub fn balance(&self, account: u32) -> u64 {
        self.ledger.balance(account)
    }
}

impl<A: Application> EmbeddedOf<A> {
    /// A chain of any application at its genesis, following.
    #[must_use]
    pub fn with_application(config: EmbeddedConfig<A>) -> Self {
        let keys = Keys::new(config.cluster, config.node, config.signing_key, &config.roster);
        let timing =
            Timing { max_block_bytes: config.timing.max_block_bytes.min(MAX_BLOCK_BYTES), ..config.timing };
        Self {
            cluster: config.cluster,
            consortium: config.roster.consortium,
            ledger: LedgerOf::with_application(
                config.roster.consortium,
                keys.clusters(),
                config.genesis.clone(),
                timing.snapshot_interval,
            ),
            genesis: config.genesis,
            pool: Pool::new(timing.max_pool),
            timing,
            keys,
            last_commit_round: 0,
            last_commit_at: Instant::ZERO,
            results: Results::default(),
            epoch: None,
            closed: Height(0),
            is_halted: false,
            is_wrong: false,
            work: None,
            decided: None,
            awaiting: None,
            log: Vec::new(),
            early: Early::default(),
            contradictions: Contradictions::default(),
            next_start_at: Instant::ZERO,
            receipts: Vec::new(),
            recent: VecDeque::new(),
            vouching: Vouching::default(),
            gossip: Vec::new(),
            gossip_at: Instant::ZERO,
            talks: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The state after the last block.
    #[must_use]
    pub fn ledger(&self) -> &LedgerOf<A> {
        &self.ledger
    }

    fn leads(&self) -> bool {
        self.epoch.is_some() && !self.is_halted
    }

    /// The work, what it needs, and what follows from it.
    fn with_work(&mut self, now: Instant, act: impl FnOnce(&mut Work, &mut Around<'_, A>)) {
        let Some(mut work) = self.work.take() else {
            return;
        };
        act(&mut work, &mut self.around(now));
        self.work = Some(work);
        self.settle();
    }

    fn around(&mut self, now: Instant) -> Around<'_, A> {
        Around {
            keys: &mut self.keys,
            outputs: &mut self.outputs,
            ledger: &self.ledger,
            pool: &self.pool,
            timing: &self.timing,
            parent_commit_round: self.last_commit_round,
            now,
        }
    }

    fn settle(&mut self) {
        let Some(work) = &mut self.work else { return };
        if let Some(reason) = work.side.halted {
            return self.halt(reason);
        }
        if self.decided.is_some() {
            return;
        }
        let Some(certificate) = &work.side.decided else {
            return;
        };
        let id = certificate.value_id;
        let height = work.side.height;
        let certificate = CommitCertificate::from_core(certificate);
        let Some(bytes) = work.side.bodies.get(&id).cloned() else {
            return self.halt(HaltReason::Core);
        };
        let Some(block) = BlockOf::decode(&bytes) else {
            return self.halt(HaltReason::Core);
        };
        if certificate.verify(&mut self.keys).is_err() {
            return self.halt(HaltReason::Core);
        }
        self.decided = Some(Decided { id, block, round: certificate.round });
        self.awaiting = Some(height);
        let block = CommittedBlock { block: bytes, certificate }.encode();
        self.outputs.push_back(ChainOutput::Commit { height, block });
    }

    /// Design R8.
    fn halt(&mut self, reason: HaltReason) {
        self.is_halted = true;
        self.vouching.end();
        self.work = None;
        self.decided = None;
        self.outputs.push_back(ChainOutput::Halt { reason });
    }

    /// Starts the next height if there is reason to.
    fn try_start(&mut self, now: Instant) {
        let Some(epoch) = self.epoch else { return };
        if !self.may_start() {
            return;
        }
        let height = self.ledger.height().next();
        self.log.retain(|record| record.height >= height);
        let (log, later): (Vec<_>, Vec<_>) = self.log.drain(..).partition(|record| record.height == height);
        self.log = later;
        // What a predecessor began goes on at once.
        if log.is_empty() && (now < self.next_start_at || !self.wants_height(height)) {
            return;
        }
        let cluster = self.cluster;
        let work = Work::start(cluster, epoch, &log, &mut self.around(now));
        self.work = Some(work);
        self.settle();
        for (from, message) in self.early.take(height) {
            self.work_on(now, from, message);
        }
    }

    fn may_start(&self) -> bool {
        let is_over = self.ledger.height() >= LAST_HEIGHT;
        self.leads() && self.work.is_none() && self.awaiting.is_none() && !self.abstains() && !is_over
    }

    /// The next height lies behind the fence: others decide it.
    fn abstains(&self) -> bool {
        self.ledger.height() < self.closed
    }

    /// No empty blocks: somebody has a transaction, or somebody else began.
    fn wants_height(&self, height: Height) -> bool {
        self.pool.len() > 0 || self.early.has(height)
    }

    fn work_on(&mut self, now: Instant, from: ClusterId, message: Message<A::Transaction>) {
        self.with_work(now, |work, around| match message {
            Message::Vote(vote) => work.feed(Input::Vote(vote), around),
            Message::Proposal(proposal) => work.take_proposal(proposal, around),
            Message::Body { block, .. } => work.take_body(from, block, around),
            Message::Polka(certificate) => work.feed(Input::PolkaCertificate(certificate), around),
            Message::Round(certificate) => work.feed(Input::RoundCertificate(certificate), around),
            Message::Hello(_) | Message::Result(_) | Message::Transactions(_) => {}
        });
    }

    fn on_working(&mut self, now: Instant, from: ClusterId, message: Message<A::Transaction>, of: Height) {
        let height = self.ledger.height().next();
        if of < height {
            self.tell_late(now, from, of);
        } else if of.0 > height.0.saturating_add(u64::from(!self.abstains())) {
            self.ask_blocks(now, from);
        } else if of == height && self.work.is_some() {
            self.work_on(now, from, message);
        } else {
            self.early.keep(from, message);
            self.try_start(now);
        }
    }

    /// Somebody works on a height that is done. The last votes of a height always come late; only one that comes
    /// much later shows that its sender is stuck.
    fn tell_late(&mut self, now: Instant, peer: ClusterId, of: Height) {
        let is_straggler = of == self.ledger.height() && now < self.last_commit_at + TALK_INTERVAL;
        let talk = self.talks.entry(peer).or_default();
        if is_straggler || !is_due(&mut talk.told_late_at, now) {
            return;
        }
        self.say_hello(Some(peer), false);
    }

    fn ask_blocks(&mut self, now: Instant, peer: ClusterId) {
        let talk = self.talks.entry(peer).or_default();
        if is_due(&mut talk.behind_at, now) {
            self.outputs.push_back(ChainOutput::Behind { peer });
        }
    }

    fn say_hello(&mut self, to: Option<ClusterId>, asks: bool) {
        let hello = match &self.work {
            Some(work) if work.side.height > self.ledger.height() => work.hello(asks),
            _ => Hello { height: self.ledger.height(), round: Round::Nil, asks, bodies: Vec::new() },
        };
        self.outputs
            .push_back(ChainOutput::Send { to, bytes: Message::<A::Transaction>::Hello(hello).encode() });
    }

    fn on_hello(&mut self, now: Instant, from: ClusterId, hello: &Hello) {
        let known = self.awaiting.unwrap_or_default().max(self.ledger.height());
        if hello.height > known {
            self.ask_blocks(now, from);
        }
        if !hello.asks || !is_due(&mut self.talks.entry(from).or_default().answered_at, now) {
            return;
        }
        self.say_hello(Some(from), false);
        if hello.height == self.ledger.height() {
            self.with_work(now, |work, around| work.send_all(from, &hello.bodies, around));
        }
    }

    fn on_transactions(&mut self, now: Instant, list: Vec<A::Transaction>) {
        let height = self.ledger.height().next();
        for transaction in list {
            if transaction.in_time(height) && self.ledger.committed_at(transaction.id()).is_none() {
                self.pool.insert(transaction, false);
            }
        }
        self.try_start(now);
    }

    fn send_gossip(&mut self, now: Instant) {
        if self.gossip.is_empty() || now < self.gossip_at {
            return;
        }
        let rest =
            if self.gossip.len() > MAX_GOSSIP { self.gossip.split_off(MAX_GOSSIP) } else { Vec::new() };
        let batch = core::mem::replace(&mut self.gossip, rest);
        let bytes = Message::Transactions(batch).encode();
        self.outputs.push_back(ChainOutput::Send { to: None, bytes });
        self.gossip_at = now + GOSSIP_INTERVAL;
    }

    fn execute(&mut self, id: BlockId, block: &BlockOf<A::Transaction>, round: u32) {
        for outcome in self.ledger.execute(id, block) {
            if self.pool.remove(outcome.transaction) {
                self.receipts.push((block.height, outcome));
            }
        }
        self.last_commit_round = round;
        self.pool.expire(block.height);
        self.keys.forget_below(block.height);
        self.contradictions.forget_up_to(block.height);
        self.remember_result();
        if let Some(snapshot) = self.ledger.snapshot() {
            self.outputs.push_back(ChainOutput::Snapshot(snapshot));
        }
    }

    fn report(&mut self, height: Height) {
        let (done, later): (Vec<_>, Vec<_>) = self.receipts.drain(..).partition(|(at, _)| *at <= height);
        self.receipts = later;
        for (height, outcome) in done {
            let Outcome { transaction, applied } = outcome;
            self.outputs.push_back(ChainOutput::Receipt { transaction, height, applied });
        }
    }

    fn remember_result(&mut self) {
        self.recent.push_back((self.ledger.height(), self.ledger.state_hash()));
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
    }

    /// A new master vouches for what its predecessor did, oldest first: if it errs the same way at the same height, the
    /// authority is to see that before anything newer (B-ERR-5).
    fn sign_due_results(&mut self, now: Instant) {
        for (height, hash) in self.vouching.due(now) {
            self.sign_result(height, hash);
        }
    }

    fn sign_result(&mut self, height: Height, hash: [u8; 32]) {
        let Some(epoch) = self.epoch else { return };
        let result = self.keys.sign_result(epoch, height, hash);
        let bytes = Message::<A::Transaction>::Result(result.clone()).encode();
        self.outputs.push_back(ChainOutput::Send { to: None, bytes });
        self.on_result(result);
    }

    fn on_result(&mut self, result: duohuo_wire::statement::SignedResult) {
        let quorum = self.keys.quorum();
        let height = result.height;
        for evidence in self.results.insert(result, self.ledger.height(), self.cluster, quorum) {
            self.outputs.push_back(ChainOutput::ConsensusError { evidence });
        }
        if self.ledger.is_snapshot_height(height)
            && let Some(results) = self.results.agreed(height, self.cluster, quorum)
        {
            let proof = encode_proof(&results);
            self.outputs.push_back(ChainOutput::SnapshotProven { height, proof });
        }
    }

    /// Whether a signed word may be taken from this sender. Words of older epochs are taken only from the cluster
    /// they speak for: its current master re-sends its predecessors' words, and nobody else need.
    fn is_admissible(&self, from: ClusterId, cluster: ClusterId, epoch: Epoch) -> bool {
        cluster == from || self.keys.is_newest(cluster, epoch)
    }

    /// The height in work or the one after: only their words are judged and kept. Others only hint at where the
    /// sender stands, and that it may say: who waited long at its gate says words that are out of date, and is no offender.
    fn is_near(&self, height: Height) -> bool {
        let last = self.ledger.height();
        height > last && height.0 <= last.0.saturating_add(2)
    }

    /// CH-15: of the words that were verified just now.
    fn compare(&mut self, message: &Message<A::Transaction>) {
        if !matches!(message, Message::Vote(_) | Message::Proposal(_)) {
            return;
        }
        for word in message.words() {
            if let Some(words) = self.contradictions.note(word) {
                self.outputs.push_back(ChainOutput::Equivocation { words });
            }
        }
    }

    fn checked(
        &self,
        committed: &Bytes,
    ) -> Result<(CommittedBlock, BlockOf<A::Transaction>, BlockId), BlockError> {
        let committed = CommittedBlock::decode(committed).ok_or(BlockError::Malformed)?;
        let block = BlockOf::decode(&committed.block).ok_or(BlockError::Malformed)?;
        let id = id_of(&committed.block);
        if block.height <= self.ledger.height() {
            return Err(BlockError::Old);
        }
        if block.height > LAST_HEIGHT {
            return Err(BlockError::Malformed);
        }
        if block.height != self.ledger.height().next() {
            return Err(BlockError::Gap);
        }
        if block.parent != self.ledger.last_block().0 {
            return Err(BlockError::WrongParent);
        }
        if committed.certificate.height != block.height || committed.certificate.block != id.0 {
            return Err(BlockError::BadCertificate);
        }
        Ok((committed, block, id))
    }
}

#[cfg(test)]
#[path = "embedded_tests.rs"]
mod tests;
