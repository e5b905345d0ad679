//! The chain itself: heights one after the other, transactions in, blocks out.

use crate::Timing;
use crate::accounts::{Accounts, Genesis};
use crate::application::{Application, Transaction as _};
use crate::block::{BlockOf, CommittedBlock, MAX_BLOCK_BYTES, id_of};
use crate::certificate::CommitCertificate;
use crate::context::BlockId;
use crate::early::Early;
use crate::keys::Keys;
use crate::ledger::{LedgerOf, Outcome};
use crate::message::{Hello, MAX_GOSSIP, Message};
use crate::pool::Pool;
use crate::results::Results;
use crate::snapshot::{Manifest, decode_proof, encode_proof};
use crate::talk::{TALK_INTERVAL, Talk, is_due};
use crate::vouching::Vouching;
use crate::work::{Around, Work, send};
use arc_malachitebft_core_consensus::Input;
use arc_malachitebft_core_types::{Round, TimeoutKind};
use bytes::Bytes;
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, ChainStatus, HaltReason, Record, SnapshotPlan, SubmitError,
    TransactionId, VoteSeen,
};
use duohuo_core::held::Held;
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

/// A block that was decided here and waits for [`Chain::committed`].
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
        self.leads() && self.work.is_none() && self.awaiting.is_none() && !self.abstains()
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

    /// The height in work or the one after: only their words are verified and kept. Others only hint at where the
    /// sender stands, and that it may say.
    fn is_near(&self, height: u64) -> bool {
        let last = self.ledger.height().0;
        height > last && height <= last.saturating_add(2)
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

impl<A: Application> Chain for EmbeddedOf<A> {
    fn status(&self) -> ChainStatus {
        ChainStatus {
            height: self.ledger.height(),
            state_hash: self.ledger.state_hash(),
            pool: self.pool.len(),
        }
    }

    fn learn_grant(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId) {
        self.keys.learn_grant(cluster, epoch, node);
    }

    fn learn_roster(&mut self, roster: &Roster) {
        self.keys.learn_roster(roster);
    }

    fn lead(&mut self, now: Instant, epoch: Epoch, log: &[Record], closed: Height) {
        if self.is_halted {
            return;
        }
        self.epoch = Some(epoch);
        self.closed = closed;
        self.work = None;
        self.decided = None;
        self.awaiting = None;
        self.early.clear();
        self.log = log.iter().filter(|record| record.height > self.ledger.height()).cloned().collect();
        self.next_start_at = now;
        self.try_start(now);
        if self.leads() {
            self.vouching.begin(now, self.recent.iter().copied().filter(|(height, _)| *height > closed));
            self.say_hello(None, true);
        }
    }

    fn is_working(&self) -> bool {
        self.work.is_some() || self.awaiting.is_some()
    }

    fn follow(&mut self) {
        self.epoch = None;
        self.vouching.end();
        self.closed = Height(0);
        self.is_halted = false;
        self.work = None;
        self.decided = None;
        self.awaiting = None;
        self.log.clear();
        self.early.clear();
        self.pool.clear();
        self.gossip.clear();
        self.receipts.clear();
        self.talks.clear();
        self.outputs.clear();
    }

    fn peer_up(&mut self, now: Instant, peer: ClusterId) {
        if !self.leads() {
            return;
        }
        self.say_hello(Some(peer), true);
        self.with_work(now, |work, around| work.send_all(peer, &[], around));
        let waiting = self.pool.own(MAX_RETOLD);
        if !waiting.is_empty() && self.leads() {
            send(&mut self.around(now), Some(peer), &Message::Transactions(waiting));
        }
    }

    fn receive(&mut self, now: Instant, from: ClusterId, message: &Bytes) -> bool {
        if !self.leads() || from == self.cluster || !self.keys.is_cluster(from) {
            return false;
        }
        let Some(message) = Message::<A::Transaction>::decode(message) else {
            return false;
        };
        let is_good = match &message {
            Message::Vote(v) if v.address.0 == self.cluster => return true,
            Message::Proposal(p) if p.address.0 == self.cluster => return true,
            Message::Vote(v) => {
                self.is_admissible(from, v.address.0, v.signature.epoch)
                    && (!self.is_near(v.height.0) || self.keys.verify_vote(v))
            }
            Message::Proposal(p) => {
                self.is_admissible(from, p.address.0, p.signature.epoch)
                    && (!self.is_near(p.height.0) || self.keys.verify_proposal(p))
            }
            Message::Result(r) => r.cluster == from && self.keys.verify_result(r),
            Message::Hello(_)
            | Message::Body { .. }
            | Message::Polka(_)
            | Message::Round(_)
            | Message::Transactions(_) => true,
        };
        if !is_good {
            return false;
        }
        match message {
            Message::Hello(hello) => self.on_hello(now, from, &hello),
            Message::Transactions(list) => self.on_transactions(now, list),
            Message::Result(result) => {
                // Two above: the sender committed a height that we have not even begun.
                let behind = u64::from(!self.abstains());
                if result.height.0 > self.ledger.height().0.saturating_add(behind) {
                    self.ask_blocks(now, from);
                }
                self.on_result(result);
            }
            message => {
                if let Some(of) = message.working_height() {
                    self.on_working(now, from, message, of);
                }
            }
        }
        true
    }

    fn submit(&mut self, now: Instant, transaction: &Bytes) -> Result<TransactionId, SubmitError> {
        let (transaction, rest) = A::Transaction::read(transaction).ok_or(SubmitError::Malformed)?;
        if !rest.is_empty() {
            return Err(SubmitError::Malformed);
        }
        let id = transaction.id();
        if let Some(height) = self.ledger.committed_at(id) {
            return Err(SubmitError::AlreadyCommitted(height));
        }
        if !transaction.in_time(self.ledger.height().next()) {
            return Err(SubmitError::Expired);
        }
        // A follower takes nothing: it has nobody to propose it.
        if !self.leads() {
            return Err(SubmitError::PoolFull);
        }
        match self.pool.insert(transaction.clone(), true) {
            None => return Err(SubmitError::PoolFull),
            Some(false) => {}
            Some(true) => {
                self.gossip.push(transaction);
                self.send_gossip(now);
                self.try_start(now);
            }
        }
        Ok(id)
    }

    fn committed(&mut self, now: Instant, height: Height) {
        if let Some(decided) = self.decided.take_if(|d| d.block.height == height)
            && height == self.ledger.height().next()
        {
            self.execute(decided.id, &decided.block, decided.round);
        }
        if self.is_halted {
            return;
        }
        self.report(height);
        if self.awaiting != Some(height) {
            return;
        }
        self.awaiting = None;
        self.work = None;
        self.last_commit_at = now;
        self.next_start_at = now + self.timing.block_interval;
        if self.leads()
            && self.ledger.height() == height
            && height > self.closed
            && let Some((height, hash)) = self.vouching.add((height, self.ledger.state_hash()))
        {
            self.sign_result(height, hash);
        }
        self.try_start(now);
    }

    fn apply(&mut self, _: Instant, block: &Bytes) -> Result<Height, BlockError> {
        let (committed, block, id) = self.checked(block)?;
        committed.certificate.verify(&mut self.keys)?;
        if let Some(decided) = self.decided.take()
            && decided.id != id
        {
            // Two certificates for two blocks of one height: more than f clusters lie, or we are wrong.
            self.halt(HaltReason::Core);
        }
        self.work = None;
        self.execute(id, &block, committed.certificate.round);
        self.awaiting = self.leads().then_some(block.height);
        Ok(block.height)
    }

    fn restore(&mut self, block: &Bytes) -> Result<Height, BlockError> {
        let (committed, block, id) = self.checked(block)?;
        self.execute(id, &block, committed.certificate.round);
        // What is executed from the own store was cut into snapshots when it was executed first.
        self.outputs.retain(|output| !matches!(output, ChainOutput::Snapshot(_)));
        Ok(block.height)
    }

    fn votes_in(&self, message: &Bytes) -> Vec<VoteSeen> {
        Message::<A::Transaction>::decode(message).map(|m| m.words()).unwrap_or_default()
    }

    fn inject_wrong_results(&mut self, on: bool) {
        self.is_wrong = on;
        self.ledger.inject_wrong_results(on);
    }

    fn held(&self) -> Vec<Held> {
        vec![
            self.early.held(),
            Held::entries("receipts", self.receipts.len()),
            Held::entries("gossip", self.gossip.len()),
            Held::entries("results", self.results.count()),
            Held::entries("verified signatures", self.keys.count_verified()),
        ]
    }

    fn reset(&mut self) {
        self.ledger = LedgerOf::with_application(
            self.consortium,
            self.keys.clusters(),
            self.genesis.clone(),
            self.timing.snapshot_interval,
        );
        self.ledger.inject_wrong_results(self.is_wrong);
        self.results.clear_own(self.cluster);
        self.recent.clear();
        self.vouching.end();
        self.last_commit_round = 0;
    }

    fn plan(&self, manifest: &Bytes, proof: &Bytes) -> Result<SnapshotPlan, BlockError> {
        let manifest = Manifest::decode(manifest).ok_or(BlockError::Malformed)?;
        let results = decode_proof(proof).ok_or(BlockError::Malformed)?;
        if !self.ledger.is_snapshot_height(manifest.height) {
            return Err(BlockError::Malformed);
        }
        let state_hash = manifest.state_hash();
        self.keys.check_proof(manifest.height, state_hash, &results)?;
        let chunks = u32::try_from(manifest.chunks.len()).unwrap_or(u32::MAX);
        Ok(SnapshotPlan { height: manifest.height, state_hash, chunks })
    }

    fn is_chunk(&self, manifest: &Bytes, index: u32, chunk: &Bytes) -> bool {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        Manifest::decode(manifest).is_some_and(|m| m.is_chunk(index, chunk))
    }

    fn restore_snapshot(&mut self, manifest: &Bytes, chunks: &[Bytes]) -> Result<Height, BlockError> {
        let manifest = Manifest::decode(manifest).ok_or(BlockError::Malformed)?;
        if manifest.height <= self.ledger.height() {
            return Err(BlockError::Old);
        }
        let mut ledger = self.ledger.restored(&manifest, chunks).ok_or(BlockError::Malformed)?;
        ledger.inject_wrong_results(self.is_wrong);
        self.ledger = ledger;
        self.recent.clear();
        self.vouching.end();
        self.remember_result();
        // Nobody here saw the block committed: the next one we build blames no proposer (CH-10).
        self.last_commit_round = 0;
        self.decided = None;
        self.work = None;
        self.pool.expire(manifest.height);
        self.keys.forget_below(manifest.height);
        self.awaiting = self.leads().then_some(manifest.height);
        Ok(manifest.height)
    }

    fn query(&self, question: &Bytes) -> Option<Bytes> {
        self.ledger.application().query(question).map(Bytes::from)
    }

    fn tick(&mut self, now: Instant) {
        loop {
            let expired = self.work.as_mut().filter(|w| !w.is_over()).and_then(|w| w.expire(now));
            let Some(timeout) = expired else { break };
            if timeout.kind == TimeoutKind::Rebroadcast {
                self.say_hello(None, true);
            }
            self.with_work(now, |work, around| work.feed(Input::TimeoutElapsed(timeout), around));
        }
        self.send_gossip(now);
        self.sign_due_results(now);
        self.try_start(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.work.as_ref().and_then(Work::next_timer);
        let gossip = (!self.gossip.is_empty()).then_some(self.gossip_at);
        let wants_start = self.may_start() && self.wants_height(self.ledger.height().next());
        let start = wants_start.then_some(self.next_start_at);
        [timer, gossip, start, self.vouching.poll_timeout()].into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<ChainOutput> {
        self.outputs.pop_front()
    }
}
