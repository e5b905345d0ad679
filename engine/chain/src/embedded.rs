//! The chain itself: heights one after the other, transactions in, blocks out.

use crate::Timing;
use crate::block::{Block, CommittedBlock, MAX_BLOCK_BYTES};
use crate::certificate::CommitCertificate;
use crate::context::BlockId;
use crate::keys::Keys;
use crate::ledger::{Genesis, Ledger, Outcome};
use crate::message::{Hello, MAX_GOSSIP, Message};
use crate::pool::Pool;
use crate::results::Results;
use crate::talk::{TALK_INTERVAL, Talk, is_due};
use crate::transaction::Transfer;
use crate::work::{Around, Work, send};
use arc_malachitebft_core_consensus::Input;
use arc_malachitebft_core_types::{Round, TimeoutKind};
use bytes::Bytes;
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, ChainStatus, HaltReason, Record, SubmitError, TransactionId, VoteSeen,
};
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::SigningKey;
use std::collections::{BTreeMap, VecDeque};

/// Messages of one cluster kept for a height that we have not started.
const MAX_EARLY: usize = 256;
/// Of these, blocks.
const MAX_EARLY_BODIES: usize = 2;
/// Submitted transactions are passed on in one message if they come closer together than this.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(1);
/// Own waiting transactions told to a peer that comes up.
const MAX_RETOLD: usize = 1_000;

/// What a chain is made of.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// The cluster this node belongs to.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// Its signing key.
    pub signing_key: SigningKey,
    /// The consortium.
    pub roster: Roster,
    /// The accounts before the first block.
    pub genesis: Genesis,
    /// Pace and bounds.
    pub timing: Timing,
}

/// A block that was decided here and waits for [`Chain::committed`].
struct Decided {
    id: BlockId,
    block: Block,
    round: u32,
}

/// The embedded chain.
pub struct Embedded {
    cluster: ClusterId,
    consortium: [u8; 16],
    genesis: Genesis,
    timing: Timing,
    keys: Keys,
    ledger: Ledger,
    /// The round of the certificate of the ledger's last block, as we saw it.
    last_commit_round: u32,
    last_commit_at: Instant,
    pool: Pool,
    results: Results,
    /// `Some` while this node is master.
    epoch: Option<Epoch>,
    is_halted: bool,
    work: Option<Work>,
    decided: Option<Decided>,
    /// A height that is decided or applied and not yet reported durable.
    awaiting: Option<Height>,
    /// Entries of the log given to `lead`, of heights not started yet.
    log: Vec<Record>,
    early: BTreeMap<ClusterId, VecDeque<Message>>,
    next_start_at: Instant,
    receipts: Vec<(Height, Outcome)>,
    gossip: Vec<Transfer>,
    gossip_at: Instant,
    talks: BTreeMap<ClusterId, Talk>,
    outputs: VecDeque<ChainOutput>,
}

impl Embedded {
    /// A chain at its genesis, following.
    #[must_use]
    pub fn new(config: EmbeddedConfig) -> Self {
        let keys = Keys::new(config.cluster, config.node, config.signing_key, &config.roster);
        let timing =
            Timing { max_block_bytes: config.timing.max_block_bytes.min(MAX_BLOCK_BYTES), ..config.timing };
        Self {
            cluster: config.cluster,
            consortium: config.roster.consortium,
            ledger: Ledger::new(config.roster.consortium, keys.clusters(), &config.genesis),
            genesis: config.genesis,
            pool: Pool::new(timing.max_pool),
            timing,
            keys,
            last_commit_round: 0,
            last_commit_at: Instant::ZERO,
            results: Results::default(),
            epoch: None,
            is_halted: false,
            work: None,
            decided: None,
            awaiting: None,
            log: Vec::new(),
            early: BTreeMap::new(),
            next_start_at: Instant::ZERO,
            receipts: Vec::new(),
            gossip: Vec::new(),
            gossip_at: Instant::ZERO,
            talks: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The accounts.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What an account holds after the last block.
    #[must_use]
    pub fn balance(&self, account: u32) -> u64 {
        self.ledger.balance(account)
    }

    fn leads(&self) -> bool {
        self.epoch.is_some() && !self.is_halted
    }

    /// The work, what it needs, and what follows from it.
    fn with_work(&mut self, now: Instant, act: impl FnOnce(&mut Work, &mut Around<'_>)) {
        let Some(mut work) = self.work.take() else {
            return;
        };
        act(&mut work, &mut self.around(now));
        self.work = Some(work);
        self.settle();
    }

    fn around(&mut self, now: Instant) -> Around<'_> {
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
        let Some(block) = Block::decode(&bytes) else {
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
        self.drain_early(now);
    }

    fn may_start(&self) -> bool {
        self.leads() && self.work.is_none() && self.awaiting.is_none()
    }

    /// No empty blocks: somebody has a transaction, or somebody else began.
    fn wants_height(&self, height: Height) -> bool {
        let is_for = |m: &Message| m.working_height() == Some(height);
        self.pool.len() > 0 || self.early.values().any(|list| list.iter().any(is_for))
    }

    fn drain_early(&mut self, now: Instant) {
        let height = self.ledger.height().next();
        let early = core::mem::take(&mut self.early);
        for (from, list) in early {
            for message in list {
                match message.working_height() {
                    Some(of) if of == height => self.work_on(now, from, message),
                    Some(of) if of > height => self.keep_early(from, message),
                    _ => {}
                }
            }
        }
    }

    fn keep_early(&mut self, from: ClusterId, message: Message) {
        let list = self.early.entry(from).or_default();
        let is_body = |m: &Message| matches!(m, Message::Body { .. });
        if list.contains(&message) {
            return;
        }
        if is_body(&message) && list.iter().filter(|m| is_body(m)).count() >= MAX_EARLY_BODIES {
            if let Some(oldest) = list.iter().position(is_body) {
                list.remove(oldest);
            }
        } else if list.len() >= MAX_EARLY {
            list.pop_front();
        }
        list.push_back(message);
    }

    fn work_on(&mut self, now: Instant, from: ClusterId, message: Message) {
        self.with_work(now, |work, around| match message {
            Message::Vote(vote) => work.feed(Input::Vote(vote), around),
            Message::Proposal(proposal) => work.take_proposal(proposal, around),
            Message::Body { block, .. } => work.take_body(from, block, around),
            Message::Polka(certificate) => work.feed(Input::PolkaCertificate(certificate), around),
            Message::Round(certificate) => work.feed(Input::RoundCertificate(certificate), around),
            Message::Hello(_) | Message::Result(_) | Message::Transactions(_) => {}
        });
    }

    fn on_working(&mut self, now: Instant, from: ClusterId, message: Message, of: Height) {
        let height = self.ledger.height().next();
        if of < height {
            self.tell_late(now, from, of);
        } else if of.0 > height.0.saturating_add(1) {
            self.ask_blocks(now, from);
        } else if of == height && self.work.is_some() {
            self.work_on(now, from, message);
        } else {
            self.keep_early(from, message);
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
        self.outputs.push_back(ChainOutput::Send { to, bytes: Message::Hello(hello).encode() });
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

    fn on_transactions(&mut self, now: Instant, list: Vec<Transfer>) {
        let height = self.ledger.height().next();
        for transfer in list {
            if transfer.in_time(height) && self.ledger.committed_at(transfer.id).is_none() {
                self.pool.insert(transfer, false);
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

    fn execute(&mut self, id: BlockId, block: &Block, round: u32) {
        for outcome in self.ledger.execute(id, block) {
            if self.pool.remove(outcome.transaction) {
                self.receipts.push((block.height, outcome));
            }
        }
        self.last_commit_round = round;
        self.pool.expire(block.height);
        self.keys.forget_below(block.height);
    }

    fn report(&mut self, height: Height) {
        let (done, later): (Vec<_>, Vec<_>) = self.receipts.drain(..).partition(|(at, _)| *at <= height);
        self.receipts = later;
        for (height, outcome) in done {
            let Outcome { transaction, applied } = outcome;
            self.outputs.push_back(ChainOutput::Receipt { transaction, height, applied });
        }
    }

    fn sign_result(&mut self) {
        let Some(epoch) = self.epoch else { return };
        let result = self.keys.sign_result(epoch, self.ledger.height(), self.ledger.state_hash());
        let bytes = Message::Result(result.clone()).encode();
        self.outputs.push_back(ChainOutput::Send { to: None, bytes });
        self.on_result(result);
    }

    fn on_result(&mut self, result: duohuo_wire::statement::SignedResult) {
        let quorum = self.keys.quorum();
        for evidence in self.results.insert(result, self.ledger.height(), self.cluster, quorum) {
            self.outputs.push_back(ChainOutput::ConsensusError { evidence });
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

    fn checked(&self, committed: &Bytes) -> Result<(CommittedBlock, Block, BlockId), BlockError> {
        let committed = CommittedBlock::decode(committed).ok_or(BlockError::Malformed)?;
        let block = Block::decode(&committed.block).ok_or(BlockError::Malformed)?;
        let id = Block::id_of(&committed.block);
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

impl Chain for Embedded {
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

    fn lead(&mut self, now: Instant, epoch: Epoch, log: &[Record]) {
        if self.is_halted {
            return;
        }
        self.epoch = Some(epoch);
        self.work = None;
        self.decided = None;
        self.awaiting = None;
        self.early.clear();
        self.log = log.iter().filter(|record| record.height > self.ledger.height()).cloned().collect();
        self.next_start_at = now;
        self.try_start(now);
        if self.leads() {
            self.say_hello(None, true);
        }
    }

    fn follow(&mut self) {
        self.epoch = None;
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
        let Some(message) = Message::decode(message) else {
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
                if result.height.0 > self.ledger.height().0.saturating_add(1) {
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
        let transfer = Transfer::decode(transaction).ok_or(SubmitError::Malformed)?;
        if let Some(height) = self.ledger.committed_at(transfer.id) {
            return Err(SubmitError::AlreadyCommitted(height));
        }
        if !transfer.in_time(self.ledger.height().next()) {
            return Err(SubmitError::Expired);
        }
        // A follower takes nothing: it has nobody to propose it.
        if !self.leads() {
            return Err(SubmitError::PoolFull);
        }
        match self.pool.insert(transfer, true) {
            None => return Err(SubmitError::PoolFull),
            Some(false) => {}
            Some(true) => {
                self.gossip.push(transfer);
                self.send_gossip(now);
                self.try_start(now);
            }
        }
        Ok(transfer.id)
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
        if self.leads() && self.ledger.height() == height {
            self.sign_result();
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
        Ok(block.height)
    }

    fn votes_in(&self, message: &Bytes) -> Vec<VoteSeen> {
        Message::decode(message).map(|m| m.words()).unwrap_or_default()
    }

    fn inject_wrong_results(&mut self, on: bool) {
        self.ledger.inject_wrong_results(on);
    }

    fn reset(&mut self) {
        let is_wrong = self.ledger.is_wrong();
        self.ledger = Ledger::new(self.consortium, self.keys.clusters(), &self.genesis);
        self.ledger.inject_wrong_results(is_wrong);
        self.results.clear_own(self.cluster);
        self.last_commit_round = 0;
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
        self.try_start(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let timer = self.work.as_ref().and_then(Work::next_timer);
        let gossip = (!self.gossip.is_empty()).then_some(self.gossip_at);
        let wants_start = self.may_start() && self.wants_height(self.ledger.height().next());
        let start = wants_start.then_some(self.next_start_at);
        [timer, gossip, start].into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<ChainOutput> {
        self.outputs.pop_front()
    }
}
