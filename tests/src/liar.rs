//! A chain that can be made to lie to the authority: the faulty cluster of mission AUTH-6, of which f are tolerated.

use bytes::Bytes;
use duohuo_chain::Embedded;
use duohuo_core::Instant;
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, ChainStatus, Reception, Record, SnapshotPlan, SubmitError, TransactionId,
    VoteSeen,
};
use duohuo_core::held::Held;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::SigningKey;
use duohuo_wire::statement::SignedResult;
use std::cell::Cell;
use std::rc::Rc;

/// The production chain; while `lies` is set, it also accuses every master whose result it hears, with its own false
/// result of that height as evidence.
pub(crate) struct Liar {
    chain: Embedded,
    cluster: ClusterId,
    node: NodeId,
    key: SigningKey,
    lies: Rc<Cell<bool>>,
    /// Under which epoch it leads.
    leads: Option<Epoch>,
    slander: Vec<ChainOutput>,
}

impl Liar {
    pub(crate) fn new(
        chain: Embedded,
        cluster: ClusterId,
        node: NodeId,
        key: SigningKey,
        lies: Rc<Cell<bool>>,
    ) -> Self {
        Self { chain, cluster, node, key, lies, leads: None, slander: Vec::new() }
    }

    fn accuse(&mut self, message: &Bytes) {
        let Some(epoch) = self.leads.filter(|_| self.lies.get()) else { return };
        // The first byte is the kind; only a result is one signed result and no more.
        let Some(Ok(genuine)) = message.get(1..).map(SignedResult::decode) else { return };
        let mut hash = genuine.hash;
        hash[0] ^= 1;
        let own = SignedResult::sign(self.cluster, self.node, epoch, genuine.height, hash, &self.key);
        self.slander.push(ChainOutput::ConsensusError { evidence: vec![genuine, own] });
    }
}

impl Chain for Liar {
    fn status(&self) -> ChainStatus {
        self.chain.status()
    }
    fn learn_grant(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId) {
        self.chain.learn_grant(cluster, epoch, node);
    }
    fn learn_roster(&mut self, roster: &Roster) {
        self.chain.learn_roster(roster);
    }
    fn lead(&mut self, now: Instant, epoch: Epoch, log: &[Record], closed: Height) {
        self.leads = Some(epoch);
        self.chain.lead(now, epoch, log, closed);
    }
    fn is_working(&self) -> bool {
        self.chain.is_working()
    }
    fn follow(&mut self) {
        self.leads = None;
        self.chain.follow();
    }
    fn peer_up(&mut self, now: Instant, peer: ClusterId) {
        self.chain.peer_up(now, peer);
    }
    fn receive(&mut self, now: Instant, from: ClusterId, message: &Bytes) -> Reception {
        self.accuse(message);
        self.chain.receive(now, from, message)
    }
    fn submit(&mut self, now: Instant, transaction: &Bytes) -> Result<TransactionId, SubmitError> {
        self.chain.submit(now, transaction)
    }
    fn committed(&mut self, now: Instant, height: Height) {
        self.chain.committed(now, height);
    }
    fn apply(&mut self, now: Instant, block: &Bytes) -> Result<Height, BlockError> {
        self.chain.apply(now, block)
    }
    fn restore(&mut self, block: &Bytes) -> Result<Height, BlockError> {
        self.chain.restore(block)
    }
    fn votes_in(&self, message: &Bytes) -> Vec<VoteSeen> {
        self.chain.votes_in(message)
    }
    fn inject_wrong_results(&mut self, on: bool) {
        self.chain.inject_wrong_results(on);
    }
    fn held(&self) -> Vec<Held> {
        self.chain.held()
    }
    fn plan(&self, manifest: &Bytes, proof: &Bytes) -> Result<SnapshotPlan, BlockError> {
        self.chain.plan(manifest, proof)
    }
    fn is_chunk(&self, manifest: &Bytes, index: u32, chunk: &Bytes) -> bool {
        self.chain.is_chunk(manifest, index, chunk)
    }
    fn restore_snapshot(&mut self, manifest: &Bytes, chunks: &[Bytes]) -> Result<Height, BlockError> {
        self.chain.restore_snapshot(manifest, chunks)
    }
    fn query(&self, question: &Bytes) -> Option<Bytes> {
        self.chain.query(question)
    }
    fn reset(&mut self) {
        self.chain.reset();
    }
    fn tick(&mut self, now: Instant) {
        self.chain.tick(now);
    }
    fn poll_timeout(&self) -> Option<Instant> {
        self.chain.poll_timeout()
    }
    fn poll_output(&mut self) -> Option<ChainOutput> {
        self.slander.pop().or_else(|| self.chain.poll_output())
    }
}
