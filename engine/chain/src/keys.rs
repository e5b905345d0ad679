//! Who signs for a cluster: (cluster, epoch) -> node -> key, and the bytes that are signed (spec/chain.md
//! "Signatures"). Signing and every verification of the chain happen here.

use crate::codec::{put_u32, put_u64};
use crate::context::{Proposal, Signature, SignedProposal, SignedVote, Vote};
use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
use duohuo_core::chain::{BlockError, VoteKind};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::{self, SigningKey, VerifyingKey};
use duohuo_wire::statement::SignedResult;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Starts the bytes of every signed word of the consensus.
const LABEL: &[u8] = b"duohuo vote 1";
/// Verified signatures remembered per height: more than 254 clusters send in a few rounds.
const CACHE_PER_HEIGHT: usize = 4_096;

/// The key table, our own key, and the memory of what was verified.
pub(crate) struct Keys {
    consortium: [u8; 16],
    cluster: ClusterId,
    node: NodeId,
    own: SigningKey,
    clusters: Vec<ClusterId>,
    nodes: BTreeMap<NodeId, (ClusterId, VerifyingKey)>,
    grants: BTreeMap<(ClusterId, Epoch), NodeId>,
    newest: BTreeMap<ClusterId, Epoch>,
    verified: BTreeMap<u64, BTreeSet<[u8; 32]>>,
}

/// A proposal or vote as its signature sees it.
struct Word<'a> {
    cluster: ClusterId,
    height: u64,
    round: Round,
    kind: VoteKind,
    value: Option<&'a [u8; 32]>,
    pol_round: Round,
}

impl<'a> Word<'a> {
    fn of_vote(vote: &'a Vote) -> Self {
        Self {
            cluster: vote.address.0,
            height: vote.height.0,
            round: vote.round,
            kind: kind_of(vote.kind),
            value: value_of(&vote.value),
            pol_round: Round::Nil,
        }
    }

    fn of_proposal(proposal: &'a Proposal) -> Self {
        Self {
            cluster: proposal.address.0,
            height: proposal.height.0,
            round: proposal.round,
            kind: VoteKind::Proposal,
            value: Some(&proposal.value.0),
            pol_round: proposal.pol_round,
        }
    }
}

/// The kind of a vote.
pub(crate) fn kind_of(kind: VoteType) -> VoteKind {
    match kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    }
}

/// The block a vote is for; `None`: nil.
pub(crate) fn value_of(value: &NilOrVal<crate::context::BlockId>) -> Option<&[u8; 32]> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(id) => Some(&id.0),
    }
}

impl Keys {
    pub(crate) fn new(cluster: ClusterId, node: NodeId, own: SigningKey, roster: &Roster) -> Self {
        let mut keys = Self {
            consortium: roster.consortium,
            cluster,
            node,
            own,
            clusters: roster.clusters.iter().map(|c| c.id).collect(),
            nodes: BTreeMap::new(),
            grants: BTreeMap::new(),
            newest: BTreeMap::new(),
            verified: BTreeMap::new(),
        };
        keys.learn_roster(roster);
        keys
    }

    /// Takes new nodes in. Keys of nodes that left stay: the blocks they signed must verify for ever.
    pub(crate) fn learn_roster(&mut self, roster: &Roster) {
        for (cluster, node) in roster.all_nodes() {
            if let Some(key) = sign::verifying_key(&node.signing_key) {
                self.nodes.insert(node.id, (cluster.id, key));
            }
        }
    }

    /// The first grant of an epoch stands.
    pub(crate) fn learn_grant(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId) {
        self.grants.entry((cluster, epoch)).or_insert(node);
        let newest = self.newest.entry(cluster).or_default();
        *newest = (*newest).max(epoch);
    }

    pub(crate) fn clusters(&self) -> &[ClusterId] {
        &self.clusters
    }

    pub(crate) fn is_cluster(&self, cluster: ClusterId) -> bool {
        self.clusters.contains(&cluster)
    }

    /// 2f + 1 of n = 3f + 1, and for the n between: n - f.
    pub(crate) fn quorum(&self) -> usize {
        let n = self.clusters.len();
        n.saturating_sub(n.saturating_sub(1) / 3)
    }

    pub(crate) fn master(&self, cluster: ClusterId, epoch: Epoch) -> Option<NodeId> {
        self.grants.get(&(cluster, epoch)).copied()
    }

    /// Whether no newer grant of the cluster is known.
    pub(crate) fn is_newest(&self, cluster: ClusterId, epoch: Epoch) -> bool {
        self.newest.get(&cluster) == Some(&epoch)
    }

    fn key(&self, cluster: ClusterId, epoch: Epoch, node: NodeId) -> Option<&VerifyingKey> {
        if self.master(cluster, epoch)? != node {
            return None;
        }
        let (home, key) = self.nodes.get(&node)?;
        (*home == cluster).then_some(key)
    }

    pub(crate) fn sign_vote(&mut self, epoch: Epoch, vote: &Vote) -> Signature {
        let word = Word::of_vote(vote);
        self.sign(epoch, &word)
    }

    pub(crate) fn sign_proposal(&mut self, epoch: Epoch, proposal: &Proposal) -> Signature {
        let word = Word::of_proposal(proposal);
        self.sign(epoch, &word)
    }

    fn sign(&mut self, epoch: Epoch, word: &Word<'_>) -> Signature {
        let bytes = self.bytes(epoch, self.node, word);
        let signature = Signature { epoch, node: self.node, bytes: sign::sign(&self.own, &bytes) };
        // Our own words come back through the core: no need to verify what we just made.
        self.remember(word.height, digest(&bytes, &signature));
        signature
    }

    pub(crate) fn sign_result(&self, epoch: Epoch, height: Height, hash: [u8; 32]) -> SignedResult {
        SignedResult::sign(self.cluster, self.node, epoch, height, hash, &self.own)
    }

    pub(crate) fn verify_vote(&mut self, vote: &SignedVote) -> bool {
        self.verify(&Word::of_vote(&vote.message), &vote.signature)
    }

    pub(crate) fn verify_proposal(&mut self, proposal: &SignedProposal) -> bool {
        self.verify(&Word::of_proposal(&proposal.message), &proposal.signature)
    }

    pub(crate) fn verify_result(&self, result: &SignedResult) -> bool {
        self.key(result.cluster, result.epoch, result.node).is_some_and(|key| result.verify(key))
    }

    /// Whether a quorum of clusters signed this state after this height, each once.
    pub(crate) fn check_proof(
        &self,
        height: Height,
        state_hash: [u8; 32],
        results: &[SignedResult],
    ) -> Result<(), BlockError> {
        let mut clusters = BTreeSet::new();
        for result in results {
            let is_about_it = result.height == height && result.hash == state_hash;
            if !is_about_it || !self.is_cluster(result.cluster) || !clusters.insert(result.cluster) {
                return Err(BlockError::BadCertificate);
            }
            if self.master(result.cluster, result.epoch).is_none() {
                return Err(BlockError::UnknownGrant(result.cluster, result.epoch));
            }
            if !self.verify_result(result) {
                return Err(BlockError::BadCertificate);
            }
        }
        if clusters.len() < self.quorum() { Err(BlockError::BadCertificate) } else { Ok(()) }
    }

    fn verify(&mut self, word: &Word<'_>, signature: &Signature) -> bool {
        let bytes = self.bytes(signature.epoch, signature.node, word);
        let digest = digest(&bytes, signature);
        if self.verified.get(&word.height).is_some_and(|seen| seen.contains(&digest)) {
            return true;
        }
        let Some(key) = self.key(word.cluster, signature.epoch, signature.node) else {
            return false;
        };
        let good = sign::verify(key, &bytes, &signature.bytes);
        if good {
            self.remember(word.height, digest);
        }
        good
    }

    fn remember(&mut self, height: u64, digest: [u8; 32]) {
        let seen = self.verified.entry(height).or_default();
        if seen.len() < CACHE_PER_HEIGHT {
            seen.insert(digest);
        }
    }

    /// How many verified signatures are remembered.
    pub(crate) fn count_verified(&self) -> usize {
        self.verified.values().map(BTreeSet::len).sum()
    }

    /// Drops what was verified below a height.
    pub(crate) fn forget_below(&mut self, height: Height) {
        self.verified = self.verified.split_off(&height.0);
    }

    /// The signed bytes: everything the word means and in whose name it stands.
    fn bytes(&self, epoch: Epoch, node: NodeId, word: &Word<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend_from_slice(LABEL);
        out.extend_from_slice(&self.consortium);
        put_u32(&mut out, word.cluster.0);
        put_u64(&mut out, epoch.0);
        put_u32(&mut out, node.0);
        put_u64(&mut out, word.height);
        put_round(&mut out, word.round);
        out.push(kind_code(word.kind));
        match word.value {
            None => out.push(0),
            Some(id) => {
                out.push(1);
                out.extend_from_slice(id);
            }
        }
        put_round(&mut out, word.pol_round);
        out
    }
}

/// Proposal 0, prevote 1, precommit 2.
pub(crate) fn kind_code(kind: VoteKind) -> u8 {
    match kind {
        VoteKind::Proposal => 0,
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    }
}

fn put_round(out: &mut Vec<u8>, round: Round) {
    put_u32(out, round.as_u32().unwrap_or(u32::MAX));
}

fn digest(bytes: &[u8], signature: &Signature) -> [u8; 32] {
    Sha256::new().chain_update(bytes).chain_update(signature.bytes).finalize().into()
}
