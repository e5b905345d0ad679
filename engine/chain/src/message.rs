//! Messages between masters (spec/chain.md "Messages"): one byte of kind, then its fields.

use crate::application::Transaction;
use crate::block::{MAX_BLOCK_BYTES, transaction};
use crate::certificate::{MAX_SIGNATURES, SIGNER_BYTES, parse_signer, put_signer};
use crate::codec::{
    Parsed, array, be_u8, be_u16, be_u32, be_u64, bytes32, count16, count32, items, put_bytes32, put_u16,
    put_u32, put_u64, refuse, whole,
};
use crate::context::{
    BlockId, ChainHeight, Context, PolkaCertificate, Proposal, RoundCertificate, SignedProposal, SignedVote,
    Vote,
};
use crate::keys::{kind_code, kind_of, value_of};
use arc_malachitebft_core_types as mbft;
use bytes::{Bytes, BytesMut};
use duohuo_core::chain::{VoteKind, VoteSeen};
use duohuo_wire::ids::Height;
use duohuo_wire::statement::SignedResult;
use mbft::{NilOrVal, Round, RoundCertificateType, VoteType};

/// A round above this is refused: rounds grow by waiting, so none is ever reached, and none overflows.
pub(crate) const MAX_ROUND: u32 = 1 << 24;
/// Block IDs that a hello names.
pub(crate) const MAX_HELLO_BODIES: usize = 16;
/// Transactions in one message.
pub(crate) const MAX_GOSSIP: usize = 4_096;

const HELLO: u8 = 1;
const PROPOSAL: u8 = 2;
const VOTE: u8 = 3;
const BODY: u8 = 4;
const POLKA: u8 = 5;
const ROUND: u8 = 6;
const RESULT: u8 = 7;
const TRANSACTIONS: u8 = 8;

/// Where the sender stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    /// Its last committed height.
    pub(crate) height: Height,
    /// Its round at the height above, if it works there.
    pub(crate) round: Round,
    /// It wants an answer.
    pub(crate) asks: bool,
    /// The blocks of the height above that it has: no need to send them.
    pub(crate) bodies: Vec<BlockId>,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Message<T> {
    Hello(Hello),
    Proposal(SignedProposal),
    Vote(SignedVote),
    /// A proposed block. Not signed: its hash is in the proposal, which is.
    Body {
        height: Height,
        block: Bytes,
    },
    Polka(PolkaCertificate),
    Round(RoundCertificate),
    Result(SignedResult),
    Transactions(Vec<T>),
}

impl<T: Transaction> Message<T> {
    pub(crate) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(256);
        match self {
            Self::Hello(hello) => {
                out.push(HELLO);
                put_u64(&mut out, hello.height.0);
                put_round(&mut out, hello.round);
                out.push(u8::from(hello.asks));
                put_u16(&mut out, count16(hello.bodies.len()));
                for id in &hello.bodies {
                    out.extend_from_slice(&id.0);
                }
            }
            Self::Proposal(proposal) => {
                out.push(PROPOSAL);
                put_proposal(&mut out, proposal);
            }
            Self::Vote(vote) => {
                out.push(VOTE);
                put_vote(&mut out, vote);
            }
            Self::Body { height, block } => {
                out.push(BODY);
                put_u64(&mut out, height.0);
                put_bytes32(&mut out, block);
            }
            Self::Polka(certificate) => {
                out.push(POLKA);
                put_polka(&mut out, certificate);
            }
            Self::Round(certificate) => {
                out.push(ROUND);
                put_round_certificate(&mut out, certificate);
            }
            Self::Result(result) => {
                out.push(RESULT);
                let mut bytes = BytesMut::new();
                result.encode(&mut bytes);
                out.extend_from_slice(&bytes);
            }
            Self::Transactions(list) => {
                out.push(TRANSACTIONS);
                put_u32(&mut out, count32(list.len()));
                for transaction in list {
                    transaction.put(&mut out);
                }
            }
        }
        out.into()
    }

    /// Reads exactly one. The block of a body lies within `bytes`.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            HELLO => whole(rest, parse_hello).map(Self::Hello),
            PROPOSAL => whole(rest, parse_proposal).map(Self::Proposal),
            VOTE => whole(rest, parse_vote).map(Self::Vote),
            BODY => whole(rest, |input| {
                let (rest, height) = be_u64(input)?;
                let (rest, block) = bytes32(rest, MAX_BLOCK_BYTES)?;
                Ok((rest, (Height(height), block)))
            })
            .map(|(height, block)| Self::Body { height, block: bytes.slice_ref(block) }),
            POLKA => whole(rest, parse_polka).map(Self::Polka),
            ROUND => whole(rest, parse_round_certificate).map(Self::Round),
            RESULT => SignedResult::decode(rest).ok().map(Self::Result),
            TRANSACTIONS => whole(rest, |input| {
                let (rest, count) = be_u32(input)?;
                match usize::try_from(count) {
                    Ok(count) if count <= MAX_GOSSIP => items(rest, count, T::SHORTEST, transaction),
                    _ => refuse(input),
                }
            })
            .map(Self::Transactions),
            _ => None,
        }
    }

    /// The height of the working state it belongs to; `None` if it belongs to none.
    pub(crate) fn working_height(&self) -> Option<Height> {
        match self {
            Self::Proposal(p) => Some(Height(p.height.0)),
            Self::Vote(v) => Some(Height(v.height.0)),
            Self::Body { height, .. } => Some(*height),
            Self::Polka(c) => Some(Height(c.height.0)),
            Self::Round(c) => Some(Height(c.height.0)),
            Self::Hello(_) | Self::Result(_) | Self::Transactions(_) => None,
        }
    }

    /// The signed words inside.
    pub(crate) fn words(&self) -> Vec<VoteSeen> {
        match self {
            Self::Proposal(p) => vec![VoteSeen {
                cluster: p.address.0,
                epoch: p.signature.epoch,
                height: Height(p.height.0),
                round: p.round.as_u32().unwrap_or(0),
                kind: VoteKind::Proposal,
                value: Some(p.value.0),
                signature: p.signature.bytes,
            }],
            Self::Vote(vote) => vec![seen(vote)],
            Self::Polka(certificate) => certificate.votes(&Context).map(|v| seen(&v)).collect(),
            Self::Round(certificate) => certificate.votes(&Context).map(|v| seen(&v)).collect(),
            Self::Hello(_) | Self::Body { .. } | Self::Result(_) | Self::Transactions(_) => Vec::new(),
        }
    }
}

fn seen(vote: &SignedVote) -> VoteSeen {
    VoteSeen {
        cluster: vote.address.0,
        epoch: vote.signature.epoch,
        height: Height(vote.height.0),
        round: vote.round.as_u32().unwrap_or(0),
        kind: kind_of(vote.kind),
        value: value_of(&vote.value).copied(),
        signature: vote.signature.bytes,
    }
}

/// u32; nil is 2^32 - 1.
pub(crate) fn put_round(out: &mut Vec<u8>, round: Round) {
    put_u32(out, round.as_u32().unwrap_or(u32::MAX));
}

pub(crate) fn parse_round(input: &[u8]) -> Parsed<'_, Round> {
    let (rest, round) = be_u32(input)?;
    match round {
        u32::MAX => Ok((rest, Round::Nil)),
        round if round <= MAX_ROUND => Ok((rest, Round::new(round))),
        _ => refuse(input),
    }
}

/// A round that is one.
pub(crate) fn parse_some_round(input: &[u8]) -> Parsed<'_, Round> {
    match parse_round(input)? {
        (_, Round::Nil) => refuse(input),
        good => Ok(good),
    }
}

fn put_value(out: &mut Vec<u8>, value: &NilOrVal<BlockId>) {
    match value_of(value) {
        None => out.push(0),
        Some(id) => {
            out.push(1);
            out.extend_from_slice(id);
        }
    }
}

fn parse_value(input: &[u8]) -> Parsed<'_, NilOrVal<BlockId>> {
    let (rest, tag) = be_u8(input)?;
    match tag {
        0 => Ok((rest, NilOrVal::Nil)),
        1 => array::<32>(rest).map(|(rest, id)| (rest, NilOrVal::Val(BlockId(id)))),
        _ => refuse(input),
    }
}

fn parse_kind(input: &[u8]) -> Parsed<'_, VoteType> {
    let (rest, code) = be_u8(input)?;
    match code {
        1 => Ok((rest, VoteType::Prevote)),
        2 => Ok((rest, VoteType::Precommit)),
        _ => refuse(input),
    }
}

pub(crate) fn put_vote(out: &mut Vec<u8>, vote: &SignedVote) {
    put_u64(out, vote.height.0);
    put_round(out, vote.round);
    out.push(kind_code(kind_of(vote.kind)));
    put_value(out, &vote.value);
    put_signer(out, vote.address.0, &vote.signature);
}

pub(crate) fn parse_vote(input: &[u8]) -> Parsed<'_, SignedVote> {
    let (rest, height) = be_u64(input)?;
    let (rest, round) = parse_some_round(rest)?;
    let (rest, kind) = parse_kind(rest)?;
    let (rest, value) = parse_value(rest)?;
    let (rest, (address, signature)) = parse_signer(rest)?;
    let vote = Vote { kind, height: ChainHeight(height), round, value, address };
    Ok((rest, SignedVote::new(vote, signature)))
}

pub(crate) fn put_proposal(out: &mut Vec<u8>, proposal: &SignedProposal) {
    put_u64(out, proposal.height.0);
    put_round(out, proposal.round);
    out.extend_from_slice(&proposal.value.0);
    put_round(out, proposal.pol_round);
    put_signer(out, proposal.address.0, &proposal.signature);
}

pub(crate) fn parse_proposal(input: &[u8]) -> Parsed<'_, SignedProposal> {
    let (rest, height) = be_u64(input)?;
    let (rest, round) = parse_some_round(rest)?;
    let (rest, value) = array::<32>(rest)?;
    let (rest, pol_round) = parse_round(rest)?;
    let (rest, (address, signature)) = parse_signer(rest)?;
    let proposal = Proposal { height: ChainHeight(height), round, value: BlockId(value), pol_round, address };
    Ok((rest, SignedProposal::new(proposal, signature)))
}

pub(crate) fn put_polka(out: &mut Vec<u8>, certificate: &PolkaCertificate) {
    put_u64(out, certificate.height.0);
    put_round(out, certificate.round);
    out.extend_from_slice(&certificate.value_id.0);
    put_u16(out, count16(certificate.polka_signatures.len()));
    for s in &certificate.polka_signatures {
        put_signer(out, s.address.0, &s.signature);
    }
}

pub(crate) fn parse_polka(input: &[u8]) -> Parsed<'_, PolkaCertificate> {
    let (rest, height) = be_u64(input)?;
    let (rest, round) = parse_some_round(rest)?;
    let (rest, value) = array::<32>(rest)?;
    let (rest, count) = parse_signature_count(rest)?;
    let (rest, signers) = items(rest, count, SIGNER_BYTES, parse_signer)?;
    let certificate = PolkaCertificate {
        height: ChainHeight(height),
        round,
        value_id: BlockId(value),
        polka_signatures: signers.into_iter().map(|(a, s)| mbft::PolkaSignature::new(a, s)).collect(),
    };
    Ok((rest, certificate))
}

fn put_round_certificate(out: &mut Vec<u8>, certificate: &RoundCertificate) {
    put_u64(out, certificate.height.0);
    put_round(out, certificate.round);
    out.push(match certificate.cert_type {
        RoundCertificateType::Skip => 0,
        RoundCertificateType::Precommit => 1,
    });
    put_u16(out, count16(certificate.round_signatures.len()));
    for s in &certificate.round_signatures {
        out.push(kind_code(kind_of(s.vote_type)));
        put_value(out, &s.value_id);
        put_signer(out, s.address.0, &s.signature);
    }
}

fn parse_round_certificate(input: &[u8]) -> Parsed<'_, RoundCertificate> {
    let (rest, height) = be_u64(input)?;
    let (rest, round) = parse_some_round(rest)?;
    let (rest, code) = be_u8(rest)?;
    let cert_type = match code {
        0 => RoundCertificateType::Skip,
        1 => RoundCertificateType::Precommit,
        _ => return refuse(input),
    };
    let (rest, count) = parse_signature_count(rest)?;
    let (rest, round_signatures) = items(rest, count, SIGNER_BYTES + 2, |input| {
        let (rest, kind) = parse_kind(input)?;
        let (rest, value) = parse_value(rest)?;
        let (rest, (address, signature)) = parse_signer(rest)?;
        Ok((rest, mbft::RoundSignature::new(kind, value, address, signature)))
    })?;
    Ok((rest, RoundCertificate { height: ChainHeight(height), round, cert_type, round_signatures }))
}

fn parse_signature_count(input: &[u8]) -> Parsed<'_, usize> {
    let (rest, count) = be_u16(input)?;
    if usize::from(count) > MAX_SIGNATURES { refuse(input) } else { Ok((rest, usize::from(count))) }
}

fn parse_hello(input: &[u8]) -> Parsed<'_, Hello> {
    let (rest, height) = be_u64(input)?;
    let (rest, round) = parse_round(rest)?;
    let (rest, asks) = be_u8(rest)?;
    let (rest, count) = be_u16(rest)?;
    if asks > 1 || usize::from(count) > MAX_HELLO_BODIES {
        return refuse(input);
    }
    let (rest, bodies) = items(rest, usize::from(count), 32, array::<32>)?;
    let bodies = bodies.into_iter().map(BlockId).collect();
    Ok((rest, Hello { height: Height(height), round, asks: asks == 1, bodies }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub(crate) mod tests {
    use super::*;
    use crate::context::{Address, Signature};
    use crate::transaction::Transfer;
    use duohuo_core::chain::TransactionId;
    use duohuo_wire::ids::{ClusterId, Epoch, NodeId};

    type Message = super::Message<Transfer>;

    fn signature() -> Signature {
        Signature { epoch: Epoch(2), node: NodeId(11), bytes: [0xab; 64] }
    }

    pub(crate) fn vote(kind: VoteType, value: NilOrVal<BlockId>) -> SignedVote {
        let vote = Vote {
            kind,
            height: ChainHeight(7),
            round: Round::new(1),
            value,
            address: Address(ClusterId(3)),
        };
        SignedVote::new(vote, signature())
    }

    pub(crate) fn proposal(pol_round: Round) -> SignedProposal {
        let proposal = Proposal {
            height: ChainHeight(7),
            round: Round::new(4),
            value: BlockId([6; 32]),
            pol_round,
            address: Address(ClusterId(3)),
        };
        SignedProposal::new(proposal, signature())
    }

    pub(crate) fn polka() -> PolkaCertificate {
        PolkaCertificate::new(
            ChainHeight(7),
            Round::new(1),
            BlockId([6; 32]),
            vec![vote(VoteType::Prevote, NilOrVal::Val(BlockId([6; 32])))],
        )
    }

    fn all() -> Vec<Message> {
        let nil = vote(VoteType::Prevote, NilOrVal::Nil);
        let some = vote(VoteType::Precommit, NilOrVal::Val(BlockId([6; 32])));
        let round = RoundCertificate::new_from_votes(
            ChainHeight(7),
            Round::new(1),
            RoundCertificateType::Skip,
            vec![nil.clone(), some.clone()],
        );
        let transfer =
            Transfer { id: TransactionId([1; 16]), from: 1, to: 2, amount: 3, valid_until: Height(4) };
        let hello =
            Hello { height: Height(6), round: Round::Nil, asks: true, bodies: vec![BlockId([6; 32])] };
        let result = SignedResult {
            cluster: ClusterId(3),
            node: NodeId(11),
            epoch: Epoch(2),
            height: Height(6),
            hash: [1; 32],
            signature: [2; 64],
        };
        vec![
            Message::Hello(hello),
            Message::Proposal(proposal(Round::Nil)),
            Message::Proposal(proposal(Round::new(2))),
            Message::Vote(nil),
            Message::Vote(some),
            Message::Body { height: Height(7), block: Bytes::from_static(b"block") },
            Message::Polka(polka()),
            Message::Round(round),
            Message::Result(result),
            Message::Transactions(vec![transfer, transfer]),
        ]
    }

    #[test]
    fn every_message_reads_as_it_was_written_and_no_shorter_or_longer() {
        for message in all() {
            let bytes = message.encode();
            assert_eq!(Message::decode(&bytes), Some(message));
            for end in 0..bytes.len() {
                assert_eq!(Message::decode(&bytes.slice(..end)), None);
            }
            let longer = [&bytes[..], &[0]].concat().into();
            assert_eq!(Message::decode(&longer), None);
        }
    }

    #[test]
    fn whatever_is_read_is_written_the_same() {
        for message in all() {
            let bytes = message.encode();
            for place in 0..bytes.len() {
                for bit in 0..8 {
                    let mut other = bytes.to_vec();
                    other[place] ^= 1 << bit;
                    let other = Bytes::from(other);
                    if let Some(read) = Message::decode(&other) {
                        assert_eq!(read.encode(), other);
                        let _ = read.words();
                    }
                }
            }
        }
    }

    #[test]
    fn a_vote_has_these_bytes() {
        let mut expected = vec![3];
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 1, 0]);
        expected.extend_from_slice(&[0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 11]);
        expected.extend_from_slice(&[0xab; 64]);
        assert_eq!(Message::Vote(vote(VoteType::Prevote, NilOrVal::Nil)).encode(), expected);
    }

    #[test]
    fn a_count_that_the_bytes_cannot_hold_is_refused_before_anything_is_allocated() {
        let mut bytes = vec![TRANSACTIONS];
        bytes.extend_from_slice(&4_096_u32.to_be_bytes());
        assert_eq!(Message::decode(&bytes.into()), None);
        let mut bytes = vec![BODY];
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(Message::decode(&bytes.into()), None);
    }

    #[test]
    fn the_block_of_a_body_lies_within_the_message() {
        let block = Bytes::from(vec![7; MAX_BLOCK_BYTES]);
        let message = Message::Body { height: Height(7), block }.encode();
        let Some(Message::Body { block, .. }) = Message::decode(&message) else { panic!("a body") };
        assert_eq!(block.as_ptr(), message[13..].as_ptr());
        assert_eq!(block.len() + 13, message.len(), "who keeps it keeps 13 bytes more");
    }

    #[test]
    fn a_round_above_the_bound_is_refused() {
        let of_round = |round: u32| {
            let mut bytes = Message::Vote(vote(VoteType::Prevote, NilOrVal::Nil)).encode().to_vec();
            bytes[9..13].copy_from_slice(&round.to_be_bytes());
            Message::decode(&bytes.into())
        };
        assert!(of_round(MAX_ROUND).is_some());
        assert_eq!(of_round(MAX_ROUND + 1), None);
        assert_eq!(of_round(u32::MAX), None);
    }
}
