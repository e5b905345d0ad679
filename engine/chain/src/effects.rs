//! What the consensus core asks for while it works at one height, and what we keep beside it: own signed words (the
//! guard of design R8), block bodies, timers. Every answer is given at once; no effect ever fails towards the core.

use crate::Timing;
use crate::context::{
    BlockId, Context, PolkaCertificate, Proposal, Signature, SignedProposal, SignedVote, Vote,
};
use crate::keys::{Keys, kind_of};
use crate::message::Message;
use crate::record::{Entry, timeout_code};
use crate::transaction::Transfer;
use arc_malachitebft_core_consensus::{
    ConsensusMsg, Effect, Input, LivenessMsg, Resumable, Resume, SignedConsensusMsg,
};
use arc_malachitebft_core_types as mbft;
use bytes::Bytes;
use core::convert::Infallible;
use duohuo_core::chain::{ChainOutput, HaltReason, VoteKind};
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use mbft::{Round, RoundCertificateType, Timeout, TimeoutKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the core says holds no transactions: any kind of them serves.
type Spoken = Message<Transfer>;

/// Votes kept for peers that lack them; with 254 clusters eight rounds.
const MAX_VOTES_KEPT: usize = 4_096;

/// Something we signed at this height.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Vote(SignedVote),
    Proposal(SignedProposal),
}

impl Word {
    pub(crate) fn key(&self) -> (u32, VoteKind) {
        match self {
            Self::Vote(v) => (v.round.as_u32().unwrap_or(0), kind_of(v.kind)),
            Self::Proposal(p) => (p.round.as_u32().unwrap_or(0), VoteKind::Proposal),
        }
    }

    /// Whether both mean the same, signatures aside.
    fn says_what(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Vote(a), Self::Vote(b)) => a.message == b.message,
            (Self::Proposal(a), Self::Proposal(b)) => a.message == b.message,
            _ => false,
        }
    }
}

/// The height being worked on, beside the core.
pub(crate) struct Side {
    pub(crate) height: Height,
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: Epoch,
    /// Own signed words: nothing else may ever be signed for their (round, kind).
    pub(crate) words: BTreeMap<(u32, VoteKind), Word>,
    /// Blocks named by a proposal, and those of them that are in the log.
    pub(crate) bodies: BTreeMap<BlockId, Bytes>,
    pub(crate) logged_bodies: BTreeSet<BlockId>,
    pub(crate) proposals: BTreeMap<(u32, BlockId), SignedProposal>,
    /// Proposals whose block was handed to the core.
    pub(crate) fed: BTreeSet<(u32, BlockId)>,
    pub(crate) votes: VecDeque<SignedVote>,
    pub(crate) polkas: Vec<PolkaCertificate>,
    pub(crate) timers: BTreeMap<(u8, u32), (Instant, Timeout)>,
    /// During replay: the entries that are in the log already.
    pub(crate) replayed: Option<BTreeSet<Bytes>>,
    pub(crate) wants_value: Option<Round>,
    pub(crate) decided: Option<mbft::CommitCertificate<Context>>,
    pub(crate) halted: Option<HaltReason>,
}

impl Side {
    pub(crate) fn new(height: Height, cluster: ClusterId, epoch: Epoch) -> Self {
        Self {
            height,
            cluster,
            epoch,
            words: BTreeMap::new(),
            bodies: BTreeMap::new(),
            logged_bodies: BTreeSet::new(),
            proposals: BTreeMap::new(),
            fed: BTreeSet::new(),
            votes: VecDeque::new(),
            polkas: Vec::new(),
            timers: BTreeMap::new(),
            replayed: None,
            wants_value: None,
            decided: None,
            halted: None,
        }
    }

    /// Keeps a word of ours; a second, different one for the same (round, kind) halts.
    pub(crate) fn keep_word(&mut self, word: Word) {
        let known = self.words.entry(word.key()).or_insert_with(|| word.clone());
        if !known.says_what(&word) {
            self.halt(HaltReason::DoubleSign);
        }
    }

    pub(crate) fn halt(&mut self, reason: HaltReason) {
        self.halted.get_or_insert(reason);
    }
}

/// Answers effects; lives as long as one input is processed.
pub(crate) struct Handler<'a> {
    pub(crate) side: &'a mut Side,
    pub(crate) keys: &'a mut Keys,
    pub(crate) outputs: &'a mut VecDeque<ChainOutput>,
    pub(crate) timing: &'a Timing,
    pub(crate) now: Instant,
}

impl Handler<'_> {
    pub(crate) fn handle(&mut self, effect: Effect<Context>) -> Result<Resume<Context>, Infallible> {
        Ok(match effect {
            Effect::CancelAllTimeouts(r) => {
                self.side.timers.clear();
                r.resume_with(())
            }
            Effect::CancelTimeout(timeout, r) => {
                self.side.timers.remove(&timer_key(timeout));
                r.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, r) => {
                let expires_at = self.now + self.timing.duration(timeout);
                self.side.timers.insert(timer_key(timeout), (expires_at, timeout));
                r.resume_with(())
            }
            Effect::GetValue(_, round, _, r) => {
                self.side.wants_value = Some(round);
                r.resume_with(())
            }
            Effect::SignVote(vote, r) => r.resume_with(self.sign_vote(vote)),
            Effect::SignProposal(proposal, r) => r.resume_with(self.sign_proposal(proposal)),
            Effect::WalAppend(_, input, r) => {
                self.log(&input);
                r.resume_with(())
            }
            Effect::Decide(certificate, _, r) => {
                self.side.decided = Some(certificate);
                r.resume_with(())
            }
            Effect::PublishConsensusMsg(message, r) => {
                self.publish(message);
                r.resume_with(())
            }
            Effect::PublishLivenessMsg(message, r) => {
                match message {
                    LivenessMsg::Vote(vote) => self.send(&Spoken::Vote(vote)),
                    LivenessMsg::PolkaCertificate(certificate) => self.send(&Spoken::Polka(certificate)),
                    LivenessMsg::SkipRoundCertificate(certificate) => self.send(&Spoken::Round(certificate)),
                }
                r.resume_with(())
            }
            Effect::RepublishVote(vote, r) => {
                self.send(&Spoken::Vote(vote));
                r.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, r) => {
                self.send(&Spoken::Round(certificate));
                r.resume_with(())
            }
            Effect::RestreamProposal(_, _, _, _, id, r) => {
                self.send_body(id);
                r.resume_with(())
            }
            Effect::VerifySignature(message, (), r) => {
                let good = match &message.message {
                    ConsensusMsg::Vote(vote) => {
                        self.verify_vote(&SignedVote::new(vote.clone(), message.signature))
                    }
                    ConsensusMsg::Proposal(proposal) => {
                        let signed = SignedProposal::new(proposal.clone(), message.signature);
                        self.trusts() || self.keys.verify_proposal(&signed)
                    }
                };
                r.resume_with(good && self.side.halted.is_none())
            }
            // Asked only for the certificate that the core just made of votes it verified, and it would panic on
            // "no": what is committed is checked in embedded.rs, where it can halt instead.
            Effect::VerifyCommitCertificate(_, _, _, r) => r.resume_with(Ok(())),
            Effect::VerifyPolkaCertificate(certificate, _, _, r) => {
                let quorum = self.keys.quorum();
                let votes: Vec<SignedVote> = certificate.votes(&Context).collect();
                r.resume_with(self.verify_votes(&votes, quorum))
            }
            Effect::VerifyRoundCertificate(certificate, _, _, r) => {
                let votes: Vec<SignedVote> = certificate.votes(&Context).collect();
                let n = self.keys.clusters().len();
                let needed = match certificate.cert_type {
                    RoundCertificateType::Skip => n.saturating_sub(1) / 3 + 1,
                    RoundCertificateType::Precommit => self.keys.quorum(),
                };
                let only_precommits = certificate.cert_type == RoundCertificateType::Precommit;
                let fits = !only_precommits || votes.iter().all(|v| kind_of(v.kind) == VoteKind::Precommit);
                r.resume_with(if fits { self.verify_votes(&votes, needed) } else { bad_certificate() })
            }
            // Never asked: no vote extensions, no values through the core's own sync.
            Effect::VerifyExtendedCommitCertificate(_, _, _, _, r) => r.resume_with(bad_certificate()),
            Effect::ExtendVote(_, _, _, _, r) => r.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, r) => r.resume_with(Ok(())),
            Effect::StartRound(_, _, _, _, r)
            | Effect::CertVerifiedSyncValue(_, _, r)
            | Effect::CertRejectedSyncValue(_, _, _, r)
            | Effect::Finalize(_, _, _, r) => r.resume_with(()),
        })
    }

    /// Entries of the log were verified before they were written.
    fn trusts(&self) -> bool {
        self.side.replayed.is_some()
    }

    fn verify_vote(&mut self, vote: &SignedVote) -> bool {
        self.trusts() || self.keys.verify_vote(vote)
    }

    fn verify_votes(
        &mut self,
        votes: &[SignedVote],
        needed: usize,
    ) -> Result<(), mbft::CertificateError<Context>> {
        let mut signers = BTreeSet::new();
        let good = votes
            .iter()
            .all(|v| self.keys.is_cluster(v.address.0) && signers.insert(v.address.0) && self.verify_vote(v));
        if good && signers.len() >= needed { Ok(()) } else { bad_certificate() }
    }

    fn sign_vote(&mut self, vote: Vote) -> SignedVote {
        let key = (vote.round.as_u32().unwrap_or(0), kind_of(vote.kind));
        match self.side.words.get(&key) {
            Some(Word::Vote(said)) if said.message == vote => return said.clone(),
            Some(_) => self.side.halt(HaltReason::DoubleSign),
            None => {}
        }
        if self.side.halted.is_some() {
            return SignedVote::new(vote, NO_SIGNATURE);
        }
        let signature = self.keys.sign_vote(self.side.epoch, &vote);
        let vote = SignedVote::new(vote, signature);
        self.side.keep_word(Word::Vote(vote.clone()));
        vote
    }

    fn sign_proposal(&mut self, proposal: Proposal) -> SignedProposal {
        let key = (proposal.round.as_u32().unwrap_or(0), VoteKind::Proposal);
        match self.side.words.get(&key) {
            Some(Word::Proposal(said)) if said.message == proposal => return said.clone(),
            Some(_) => self.side.halt(HaltReason::DoubleSign),
            None => {}
        }
        if self.side.halted.is_some() {
            return SignedProposal::new(proposal, NO_SIGNATURE);
        }
        let signature = self.keys.sign_proposal(self.side.epoch, &proposal);
        let proposal = SignedProposal::new(proposal, signature);
        self.side.keep_word(Word::Proposal(proposal.clone()));
        proposal
    }

    fn log(&mut self, input: &Input<Context>) {
        let Some(bytes) = Entry::input(input) else {
            return;
        };
        let is_new = self.side.replayed.as_ref().is_none_or(|known| !known.contains(&bytes));
        match input {
            Input::Vote(vote) => {
                if vote.address.0 == self.side.cluster {
                    self.side.keep_word(Word::Vote(vote.clone()));
                }
                if self.side.votes.len() >= MAX_VOTES_KEPT {
                    self.side.votes.pop_front();
                }
                self.side.votes.push_back(vote.clone());
            }
            Input::Proposal(proposal) => {
                if proposal.address.0 == self.side.cluster {
                    self.side.keep_word(Word::Proposal(proposal.clone()));
                }
                let key = (proposal.round.as_u32().unwrap_or(0), proposal.value);
                self.side.proposals.insert(key, proposal.clone());
            }
            Input::PolkaCertificate(certificate) => self.side.polkas.push(certificate.clone()),
            _ => {}
        }
        if is_new {
            self.emit(ChainOutput::Log { height: self.side.height, bytes });
        }
    }

    fn publish(&mut self, message: SignedConsensusMsg<Context>) {
        match message {
            SignedConsensusMsg::Vote(vote) => self.send(&Spoken::Vote(vote)),
            SignedConsensusMsg::Proposal(proposal) => {
                let id = proposal.value;
                // A re-proposal's block goes out by its own effect.
                let is_first = proposal.pol_round.is_nil();
                self.send(&Spoken::Proposal(proposal));
                if is_first {
                    self.send_body(id);
                }
            }
        }
    }

    fn send_body(&mut self, id: BlockId) {
        if let Some(block) = self.side.bodies.get(&id) {
            let message = Spoken::Body { height: self.side.height, block: block.clone() };
            self.send(&message);
        }
    }

    /// To all; not during replay, which ends with everything of ours being sent as it was recorded.
    fn send(&mut self, message: &Spoken) {
        if self.side.replayed.is_none() {
            self.emit(ChainOutput::Send { to: None, bytes: message.encode() });
        }
    }

    fn emit(&mut self, output: ChainOutput) {
        if self.side.halted.is_none() {
            self.outputs.push_back(output);
        }
    }
}

/// Stands where a halted chain does not sign; verifies under no key.
const NO_SIGNATURE: Signature = Signature { epoch: Epoch(0), node: NodeId(0), bytes: [0; 64] };

fn bad_certificate() -> Result<(), mbft::CertificateError<Context>> {
    Err(mbft::CertificateError::VerificationError(None))
}

fn timer_key(timeout: Timeout) -> (u8, u32) {
    let code = timeout_code(timeout.kind).unwrap_or(match timeout.kind {
        TimeoutKind::Rebroadcast => 3,
        _ => 4,
    });
    (code, timeout.round.as_u32().unwrap_or(0))
}

impl Timing {
    pub(crate) fn duration(&self, timeout: Timeout) -> Duration {
        let round = timeout.round.as_u32().unwrap_or(0);
        let first = match timeout.kind {
            TimeoutKind::Propose => self.propose_timeout,
            TimeoutKind::Prevote | TimeoutKind::Precommit => self.vote_timeout,
            TimeoutKind::Rebroadcast => self.rebroadcast_interval,
            TimeoutKind::FinalizeHeight(_) => Duration::ZERO,
        };
        first.saturating_add(self.timeout_delta.saturating_mul(round)).min(self.max_timeout)
    }
}
