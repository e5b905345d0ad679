//! The types that the consensus core is generic over. Validator = cluster, power 1; a value is the ID of a block
//! (mode "proposal and parts": the block itself travels beside it).

use arc_malachitebft_core_types as mbft;
use core::fmt;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use mbft::{NilOrVal, Round, SignedExtension, VoteType};

/// SHA-256 of an encoded block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub [u8; 32]);

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(6) {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl mbft::Value for BlockId {
    type Id = Self;
    fn id(&self) -> Self {
        *self
    }
}

/// The validator's name: its cluster.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Address(pub(crate) ClusterId);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl mbft::Address for Address {}

/// A height, as the core wants it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct ChainHeight(pub(crate) u64);

impl From<Height> for ChainHeight {
    fn from(height: Height) -> Self {
        Self(height.0)
    }
}

impl fmt::Display for ChainHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl mbft::Height for ChainHeight {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }
    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }
    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// An Ed25519 signature and under whose key it stands: the master `node` of `epoch`. The cluster is the signer's address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Signature {
    pub(crate) epoch: Epoch,
    pub(crate) node: NodeId,
    pub(crate) bytes: [u8; 64],
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.epoch, self.node)
    }
}

/// A scheme in name only: keys are looked up in our own table by (cluster, epoch), never by the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scheme;

impl mbft::SigningScheme for Scheme {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = ();
    type PrivateKey = ();

    fn decode_signature(_: &[u8]) -> Result<Signature, &'static str> {
        Err("signatures are coded in message.rs")
    }
    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.bytes.to_vec()
    }
    fn decode_public_key(_: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }
    fn encode_public_key((): &()) -> Vec<u8> {
        Vec::new()
    }
}

/// A cluster as validator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Validator(pub(crate) Address);

impl mbft::Validator<Context> for Validator {
    fn address(&self) -> &Address {
        &self.0
    }
    fn public_key(&self) -> &() {
        &()
    }
    fn voting_power(&self) -> mbft::VotingPower {
        1
    }
}

/// All clusters, ascending, and the order in which they propose at this one height: round r is the turn of
/// `turns[r mod n]`. The order is computed from committed blocks alone (ledger.rs), so it is the same everywhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ValidatorSet {
    validators: Vec<Validator>,
    turns: Vec<Validator>,
}

impl ValidatorSet {
    /// `turns` holds every cluster once and is not empty.
    pub(crate) fn new(turns: &[ClusterId]) -> Self {
        let turns: Vec<Validator> = turns.iter().map(|c| Validator(Address(*c))).collect();
        let mut validators = turns.clone();
        validators.sort_by_key(|v| v.0);
        Self { validators, turns }
    }

    /// Whose turn it is in a round.
    pub(crate) fn proposer(&self, round: u32) -> Option<&Validator> {
        let count = u32::try_from(self.turns.len()).ok()?;
        let turn = round.checked_rem(count)?;
        self.turns.get(usize::try_from(turn).ok()?)
    }
}

impl mbft::ValidatorSet<Context> for ValidatorSet {
    fn count(&self) -> usize {
        self.validators.len()
    }
    fn total_voting_power(&self) -> mbft::VotingPower {
        self.validators.len() as u64
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.validators.iter().find(|v| v.0 == *address)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.validators.get(index)
    }
}

/// A proposal of one block in one round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Proposal {
    pub(crate) height: ChainHeight,
    pub(crate) round: Round,
    pub(crate) value: BlockId,
    pub(crate) pol_round: Round,
    pub(crate) address: Address,
}

impl mbft::Proposal<Context> for Proposal {
    fn height(&self) -> ChainHeight {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &BlockId {
        &self.value
    }
    fn take_value(self) -> BlockId {
        self.value
    }
    fn pol_round(&self) -> Round {
        self.pol_round
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
}

/// A prevote or precommit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Vote {
    pub(crate) kind: VoteType,
    pub(crate) height: ChainHeight,
    pub(crate) round: Round,
    pub(crate) value: NilOrVal<BlockId>,
    pub(crate) address: Address,
}

impl mbft::Vote<Context> for Vote {
    fn height(&self) -> ChainHeight {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<BlockId> {
        &self.value
    }
    fn take_value(self) -> NilOrVal<BlockId> {
        self.value
    }
    fn vote_type(&self) -> VoteType {
        self.kind
    }
    fn validator_address(&self) -> &Address {
        &self.address
    }
    fn extension(&self) -> Option<&SignedExtension<Context>> {
        None
    }
    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        None
    }
    fn extend(self, _: SignedExtension<Context>) -> Self {
        self
    }
}

/// Parts do not pass through the core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NoPart;

impl mbft::ProposalPart<Context> for NoPart {
    fn is_first(&self) -> bool {
        true
    }
    fn is_last(&self) -> bool {
        true
    }
}

/// The core's view of the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context;

impl mbft::Context for Context {
    type Address = Address;
    type Height = ChainHeight;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = mbft::LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Scheme;

    #[expect(
        clippy::expect_used,
        reason = "a roster has at least one cluster; nothing from a peer reaches this"
    )]
    fn select_proposer<'a>(&self, set: &'a ValidatorSet, _: ChainHeight, round: Round) -> &'a Validator {
        set.proposer(round.as_u32().unwrap_or(0)).expect("a validator set is not empty")
    }

    fn new_proposal(
        &self,
        height: ChainHeight,
        round: Round,
        value: BlockId,
        pol_round: Round,
        address: Address,
    ) -> Proposal {
        Proposal { height, round, value, pol_round, address }
    }

    fn new_prevote(
        &self,
        height: ChainHeight,
        round: Round,
        value: NilOrVal<BlockId>,
        address: Address,
    ) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, address }
    }

    fn new_precommit(
        &self,
        height: ChainHeight,
        round: Round,
        value: NilOrVal<BlockId>,
        address: Address,
    ) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, address }
    }
}

/// Short names for the core's types over our context.
pub(crate) type SignedVote = mbft::SignedVote<Context>;
pub(crate) type SignedProposal = mbft::SignedProposal<Context>;
pub(crate) type PolkaCertificate = mbft::PolkaCertificate<Context>;
pub(crate) type RoundCertificate = mbft::RoundCertificate<Context>;
