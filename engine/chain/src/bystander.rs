//! The chain of `chain = "hooks"`: an existing chain node, or any stateful service, runs beside this one under the
//! operator's programs, keeps its own data and speaks for itself. Who may act, and until when, is the lease's
//! (spec/behaviour.md 15); no record and no block passes through here.
//!
//! What does is results (REC-3): what the chain beside says that it computed is signed under the master's epoch and told to the
//! other masters, and what they tell is compared. A result is one node's word about one height in one epoch. It binds no
//! successor, so that nothing of it need be in the log; that no node says two in one epoch is kept here, since a process
//! that starts again leads under a new epoch (R3).

use crate::keys::Keys;
use crate::message::Message;
use crate::transaction::Transfer;
use bytes::Bytes;
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, ChainStatus, Reception, Record, SubmitError, TransactionId, VoteSeen,
};
use duohuo_core::held::Held;
use duohuo_core::outside::{Word, WordAnswer};
use duohuo_core::time::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::SigningKey;
use duohuo_wire::statement::SignedResult;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Results of one cluster that are kept, the highest; also accusations that wait, and what was reported.
pub const MAX_RESULTS: usize = 64;

/// A chain that is somebody else's.
pub struct Bystander {
    cluster: ClusterId,
    keys: Keys,
    /// `Some` while this node is master.
    epoch: Option<Epoch>,
    /// A fence stands here: nothing is signed up to this height.
    closed: Height,
    is_wrong: bool,
    /// What the chain beside said.
    own: BTreeMap<Height, [u8; 32]>,
    /// Ours of this epoch, and the newest of each other cluster's newest epoch.
    results: BTreeMap<ClusterId, BTreeMap<Height, SignedResult>>,
    /// Accusations of the chain beside that wait for two results that differ.
    accused: BTreeSet<(Height, ClusterId)>,
    reported: BTreeSet<(Height, ClusterId, Epoch)>,
    outputs: VecDeque<ChainOutput>,
}

impl Bystander {
    /// Following.
    #[must_use]
    pub fn new(cluster: ClusterId, node: NodeId, signing_key: SigningKey, roster: &Roster) -> Self {
        Self {
            cluster,
            keys: Keys::new(cluster, node, signing_key, roster),
            epoch: None,
            closed: Height(0),
            is_wrong: false,
            own: BTreeMap::new(),
            results: BTreeMap::new(),
            accused: BTreeSet::new(),
            reported: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    fn signed(&self, cluster: ClusterId, height: Height) -> Option<&SignedResult> {
        self.results.get(&cluster)?.get(&height)
    }

    /// The chain beside computed this.
    fn on_own(&mut self, height: Height, hash: [u8; 32]) -> WordAnswer {
        let hash = if self.is_wrong { hash.map(|byte| !byte) } else { hash };
        match self.signed(self.cluster, height) {
            Some(ours) if ours.hash != hash => return WordAnswer::Contradicts,
            Some(_) => return WordAnswer::Told,
            None => {}
        }
        self.own.insert(height, hash);
        keep_newest(&mut self.own);
        self.say(height, hash)
    }

    fn say(&mut self, height: Height, hash: [u8; 32]) -> WordAnswer {
        let Some(epoch) = self.epoch.filter(|_| height > self.closed) else { return WordAnswer::Kept };
        let result = self.keys.sign_result(epoch, height, hash);
        self.send(None, &result);
        self.keep(result);
        WordAnswer::Told
    }

    fn send(&mut self, to: Option<ClusterId>, result: &SignedResult) {
        let bytes = Message::<Transfer>::Result(result.clone()).encode();
        self.outputs.push_back(ChainOutput::Send { to, bytes });
    }

    /// A verified result. Who says two of one height in one epoch is held to the first.
    fn keep(&mut self, result: SignedResult) {
        let book = self.results.entry(result.cluster).or_default();
        if book.values().next().is_some_and(|known| known.epoch < result.epoch) {
            book.clear();
        }
        if book.values().next().is_some_and(|known| known.epoch > result.epoch) {
            return;
        }
        let height = result.height;
        book.entry(height).or_insert(result);
        keep_newest(book);
        self.compare(height);
    }

    /// Who differs from a quorum that we belong to, or from us and stands accused, is reported.
    fn compare(&mut self, height: Height) {
        let Some(ours) = self.signed(self.cluster, height) else { return };
        let at = self.results.values().filter_map(|book| book.get(&height));
        let (agree, differ): (Vec<_>, Vec<_>) = at.partition(|result| result.hash == ours.hash);
        let is_quorum = agree.len() >= self.keys.quorum();
        let mut reports = Vec::new();
        for wrong in differ {
            let is_accused = self.accused.contains(&(height, wrong.cluster));
            let key = (height, wrong.cluster, wrong.epoch);
            if (is_quorum || is_accused) && !self.reported.contains(&key) {
                let evidence = core::iter::once(wrong).chain(agree.iter().copied()).cloned().collect();
                reports.push((key, evidence));
            }
        }
        for (key, evidence) in reports {
            self.accused.remove(&(height, key.1));
            self.reported.insert(key);
            while self.reported.len() > MAX_RESULTS {
                self.reported.pop_first();
            }
            self.outputs.push_back(ChainOutput::ConsensusError { evidence });
        }
    }

    fn on_accusation(&mut self, cluster: ClusterId, height: Height) -> WordAnswer {
        if cluster == self.cluster || !self.keys.is_cluster(cluster) {
            return WordAnswer::NoCluster;
        }
        if self.epoch.is_none() {
            return WordAnswer::NotMaster;
        }
        match (self.signed(cluster, height), self.signed(self.cluster, height)) {
            (Some(theirs), Some(ours)) if theirs.hash == ours.hash => WordAnswer::Agrees,
            (Some(_), Some(_)) => {
                self.accused.insert((height, cluster));
                self.compare(height);
                WordAnswer::Reported
            }
            _ => {
                self.accused.insert((height, cluster));
                while self.accused.len() > MAX_RESULTS {
                    self.accused.pop_first();
                }
                WordAnswer::Kept
            }
        }
    }
}

/// The lowest heights go.
fn keep_newest<T>(book: &mut BTreeMap<Height, T>) {
    while book.len() > MAX_RESULTS {
        book.pop_first();
    }
}

impl Chain for Bystander {
    fn status(&self) -> ChainStatus {
        ChainStatus { height: Height(0), state_hash: [0; 32], pool: 0 }
    }

    fn learn_grant(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId) {
        self.keys.learn_grant(cluster, epoch, node);
    }

    fn learn_roster(&mut self, roster: &Roster) {
        self.keys.learn_roster(roster);
    }

    /// A new master vouches for what its own chain computed, oldest first: if it errs as its predecessor did at the same
    /// height, the authority is to see that before anything newer (B-ERR-5).
    fn lead(&mut self, _now: Instant, epoch: Epoch, _log: &[Record], closed: Height) {
        self.follow();
        (self.epoch, self.closed) = (Some(epoch), closed);
        for (height, hash) in self.own.clone() {
            self.say(height, hash);
        }
    }

    fn is_working(&self) -> bool {
        false
    }

    fn follow(&mut self) {
        self.epoch = None;
        self.closed = Height(0);
        self.results.clear();
        self.accused.clear();
        self.reported.clear();
        self.outputs.clear();
    }

    fn peer_up(&mut self, _now: Instant, peer: ClusterId) {
        let ours = self.results.get(&self.cluster).cloned().unwrap_or_default();
        for result in ours.values() {
            self.send(Some(peer), result);
        }
    }

    fn receive(&mut self, _now: Instant, from: ClusterId, message: &Bytes) -> Reception {
        match Message::<Transfer>::decode(message) {
            Some(Message::Result(result))
                if self.epoch.is_some()
                    && from != self.cluster
                    && result.cluster == from
                    && self.keys.verify_result(&result) =>
            {
                self.keep(result);
                Reception::Taken
            }
            _ => Reception::Refused,
        }
    }

    fn submit(&mut self, _now: Instant, _transaction: &Bytes) -> Result<TransactionId, SubmitError> {
        Err(SubmitError::Malformed)
    }

    fn committed(&mut self, _now: Instant, _height: Height) {}

    fn apply(&mut self, _now: Instant, _block: &Bytes) -> Result<Height, BlockError> {
        Err(BlockError::Malformed)
    }

    fn restore(&mut self, _block: &Bytes) -> Result<Height, BlockError> {
        Err(BlockError::Malformed)
    }

    fn told(&mut self, word: Word) -> WordAnswer {
        match word {
            Word::Result { height, hash } => self.on_own(height, hash),
            Word::Accuse { cluster, height } => self.on_accusation(cluster, height),
        }
    }

    fn votes_in(&self, _message: &Bytes) -> Vec<VoteSeen> {
        Vec::new()
    }

    fn inject_wrong_results(&mut self, on: bool) {
        self.is_wrong = on;
    }

    fn held(&self) -> Vec<Held> {
        let results = self.results.values().map(BTreeMap::len).sum::<usize>();
        let entries = results + self.own.len() + self.accused.len() + self.reported.len();
        vec![Held { name: "results", entries, bytes: 0 }]
    }

    fn reset(&mut self) {}

    fn tick(&mut self, _now: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_output(&mut self) -> Option<ChainOutput> {
        self.outputs.pop_front()
    }
}
