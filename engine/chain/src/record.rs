//! Entries of the log (spec/chain.md "Records"): what the consensus core took in at the height being worked on, in
//! order, own signed words among it, and the blocks that were proposed. Replaying them gives the same core again.

use crate::application::Transaction;
use crate::block::{BlockOf, MAX_BLOCK_BYTES};
use crate::codec::{Parsed, array, be_u8, be_u32, bytes32, count32, put_bytes32, put_u32, refuse, whole};
use crate::context::{Address, BlockId, ChainHeight, Context};
use crate::message::{
    parse_polka, parse_proposal, parse_round, parse_some_round, parse_vote, put_polka, put_proposal,
    put_round, put_vote,
};
use arc_malachitebft_core_consensus::{Input, ProposedValue};
use arc_malachitebft_core_types::{Timeout, TimeoutKind, Validity, ValueOrigin};
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Height};

const BODY: u8 = 1;
const VALUE: u8 = 2;
const PROPOSAL: u8 = 3;
const VOTE: u8 = 4;
const TIMEOUT: u8 = 5;
const POLKA: u8 = 6;

/// Before the block of a body: its kind and length.
const BODY_HEADER_BYTES: usize = 5;

/// An entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Entry {
    /// A proposed block; stands before the entry that first names it.
    Body(Bytes),
    /// Something the core took in.
    Input(Input<Context>),
}

impl Entry {
    pub(crate) fn as_input(&self) -> Option<&Input<Context>> {
        match self {
            Self::Body(_) => None,
            Self::Input(input) => Some(input),
        }
    }

    pub(crate) fn body(block: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(BODY_HEADER_BYTES + block.len());
        out.push(BODY);
        put_bytes32(&mut out, block);
        out.into()
    }

    /// The entry of a block that is made here, and the block's bytes, which lie within it.
    pub(crate) fn of_block<T: Transaction>(block: &BlockOf<T>) -> (Bytes, Bytes) {
        let length = block.length();
        let mut out = Vec::with_capacity(BODY_HEADER_BYTES + length);
        out.push(BODY);
        put_u32(&mut out, count32(length));
        block.put(&mut out);
        let entry = Bytes::from(out);
        let block = entry.slice(BODY_HEADER_BYTES..);
        (entry, block)
    }

    /// The bytes of an input; `None` for the kinds that the core never asks to log.
    pub(crate) fn input(input: &Input<Context>) -> Option<Bytes> {
        let mut out = Vec::with_capacity(192);
        match input {
            Input::ProposedValue(value, _) => {
                out.push(VALUE);
                put_round(&mut out, value.round);
                put_round(&mut out, value.valid_round);
                put_u32(&mut out, value.proposer.0.0);
                out.extend_from_slice(&value.value.0);
                out.push(u8::from(value.validity.is_valid()));
            }
            Input::Proposal(proposal) => {
                out.push(PROPOSAL);
                put_proposal(&mut out, proposal);
            }
            Input::Vote(vote) => {
                out.push(VOTE);
                put_vote(&mut out, vote);
            }
            Input::TimeoutElapsed(timeout) => {
                out.push(TIMEOUT);
                out.push(timeout_code(timeout.kind)?);
                put_round(&mut out, timeout.round);
            }
            Input::PolkaCertificate(certificate) => {
                out.push(POLKA);
                put_polka(&mut out, certificate);
            }
            Input::StartHeight(..)
            | Input::RoundCertificate(_)
            | Input::Propose(_)
            | Input::SyncValueResponse(_) => return None,
        }
        Some(out.into())
    }

    /// Reads an entry of `height`; one of another height is refused. The block of a body lies within `bytes`.
    pub(crate) fn decode(bytes: &Bytes, height: Height) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let height = ChainHeight::from(height);
        match *kind {
            BODY => whole(rest, |input| bytes32(input, MAX_BLOCK_BYTES))
                .map(|block| Self::Body(bytes.slice_ref(block))),
            VALUE => whole(rest, |input| parse_proposed(input, height)).map(Self::Input),
            PROPOSAL => {
                let proposal = whole(rest, parse_proposal)?;
                (proposal.height == height).then_some(Self::Input(Input::Proposal(proposal)))
            }
            VOTE => {
                let vote = whole(rest, parse_vote)?;
                (vote.height == height).then_some(Self::Input(Input::Vote(vote)))
            }
            TIMEOUT => whole(rest, parse_timeout).map(|t| Self::Input(Input::TimeoutElapsed(t))),
            POLKA => {
                let certificate = whole(rest, parse_polka)?;
                (certificate.height == height).then_some(Self::Input(Input::PolkaCertificate(certificate)))
            }
            _ => None,
        }
    }
}

/// The three that change what the core votes; the others are not logged.
pub(crate) fn timeout_code(kind: TimeoutKind) -> Option<u8> {
    match kind {
        TimeoutKind::Propose => Some(0),
        TimeoutKind::Prevote => Some(1),
        TimeoutKind::Precommit => Some(2),
        TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => None,
    }
}

fn parse_timeout(input: &[u8]) -> Parsed<'_, Timeout> {
    let (rest, code) = be_u8(input)?;
    let kind = match code {
        0 => TimeoutKind::Propose,
        1 => TimeoutKind::Prevote,
        2 => TimeoutKind::Precommit,
        _ => return refuse(input),
    };
    let (rest, round) = parse_some_round(rest)?;
    Ok((rest, Timeout::new(round, kind)))
}

fn parse_proposed(input: &[u8], height: ChainHeight) -> Parsed<'_, Input<Context>> {
    let (rest, round) = parse_some_round(input)?;
    let (rest, valid_round) = parse_round(rest)?;
    let (rest, proposer) = be_u32(rest)?;
    let (rest, value) = array::<32>(rest)?;
    let (rest, valid) = be_u8(rest)?;
    if valid > 1 {
        return refuse(input);
    }
    let value = ProposedValue {
        height,
        round,
        valid_round,
        proposer: Address(ClusterId(proposer)),
        value: BlockId(value),
        validity: Validity::from_bool(valid == 1),
    };
    Ok((rest, Input::ProposedValue(value, ValueOrigin::Consensus)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::block::Block;
    use crate::message::tests::{polka, proposal, vote};
    use crate::transaction::Transfer;
    use arc_malachitebft_core_types::{NilOrVal, Round, VoteType};
    use duohuo_core::chain::TransactionId;

    #[test]
    fn every_entry_reads_as_it_was_written_and_garbage_is_refused() {
        let value = ProposedValue {
            height: ChainHeight(7),
            round: Round::new(4),
            valid_round: Round::Nil,
            proposer: Address(ClusterId(3)),
            value: BlockId([6; 32]),
            validity: Validity::Valid,
        };
        let inputs = [
            Input::ProposedValue(value, ValueOrigin::Consensus),
            Input::Proposal(proposal(Round::new(2))),
            Input::Vote(vote(VoteType::Precommit, NilOrVal::Val(BlockId([6; 32])))),
            Input::TimeoutElapsed(Timeout::propose(Round::new(4))),
            Input::TimeoutElapsed(Timeout::prevote(Round::new(4))),
            Input::TimeoutElapsed(Timeout::precommit(Round::new(4))),
            Input::PolkaCertificate(polka()),
        ];
        for input in inputs {
            let bytes = Entry::input(&input).unwrap();
            assert_eq!(Entry::decode(&bytes, Height(7)), Some(Entry::Input(input)));
            for end in 0..bytes.len() {
                assert_eq!(Entry::decode(&bytes.slice(..end), Height(7)), None);
            }
        }
        let body = Entry::body(b"block");
        assert_eq!(Entry::decode(&body, Height(7)), Some(Entry::Body(Bytes::from_static(b"block"))));
    }

    #[test]
    fn a_block_is_written_once_and_lies_within_its_entry() {
        let transfer =
            Transfer { id: TransactionId([1; 16]), from: 1, to: 2, amount: 3, valid_until: Height(9) };
        let block = Block {
            height: Height(7),
            parent: [5; 32],
            proposer: ClusterId(3),
            parent_commit_round: 1,
            transactions: vec![transfer; 3],
        };
        let (entry, bytes) = Entry::of_block(&block);
        assert_eq!((&entry, &bytes), (&Entry::body(&block.encode()), &block.encode()));
        assert_eq!(bytes.as_ptr(), entry[5..].as_ptr());
        let Some(Entry::Body(read)) = Entry::decode(&entry, Height(7)) else { panic!("a body") };
        assert_eq!(read.as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn a_signed_entry_of_another_height_is_refused() {
        let bytes = Entry::input(&Input::Vote(vote(VoteType::Prevote, NilOrVal::Nil))).unwrap();
        assert_eq!(Entry::decode(&bytes, Height(8)), None);
    }

    #[test]
    fn rebroadcasts_are_not_logged() {
        assert_eq!(Entry::input(&Input::TimeoutElapsed(Timeout::rebroadcast(Round::new(0)))), None);
    }
}
