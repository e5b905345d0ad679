//! What a node asks of its chain, and gives it.

use super::{EmbeddedOf, MAX_RETOLD};
use crate::application::{Application, Transaction as _};
use crate::ledger::LedgerOf;
use crate::message::Message;
use crate::snapshot::{Manifest, decode_proof};
use crate::work::{Work, send};
use arc_malachitebft_core_consensus::Input;
use arc_malachitebft_core_types::TimeoutKind;
use bytes::Bytes;
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, ChainStatus, HaltReason, Reception, Record, SnapshotPlan, SubmitError,
    TransactionId, VoteSeen,
};
use duohuo_core::held::Held;
use duohuo_core::limits::LAST_HEIGHT;
use duohuo_core::time::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;

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

    fn receive(&mut self, now: Instant, from: ClusterId, message: &Bytes) -> Reception {
        if !self.leads() || from == self.cluster || !self.keys.is_cluster(from) {
            return Reception::Refused;
        }
        let Some(message) = Message::<A::Transaction>::decode(message) else {
            return Reception::Refused;
        };
        let is_judged = message.working_height().is_none_or(|of| self.is_near(of));
        let is_good = match &message {
            Message::Vote(v) if v.address.0 == self.cluster => return Reception::Noticed,
            Message::Proposal(p) if p.address.0 == self.cluster => return Reception::Noticed,
            _ if !is_judged => true,
            Message::Vote(v) => {
                self.is_admissible(from, v.address.0, v.signature.epoch) && self.keys.verify_vote(v)
            }
            Message::Proposal(p) => {
                self.is_admissible(from, p.address.0, p.signature.epoch) && self.keys.verify_proposal(p)
            }
            Message::Result(r) => r.cluster == from && self.keys.verify_result(r),
            Message::Hello(_)
            | Message::Body { .. }
            | Message::Polka(_)
            | Message::Round(_)
            | Message::Transactions(_) => true,
        };
        if !is_good {
            return Reception::Refused;
        }
        if is_judged {
            self.compare(&message);
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
        if is_judged { Reception::Taken } else { Reception::Noticed }
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
            self.contradictions.held(),
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
        if !self.ledger.is_snapshot_height(manifest.height) || manifest.height > LAST_HEIGHT {
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
        self.contradictions.forget_up_to(manifest.height);
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
