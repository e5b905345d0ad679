//! Blocks (spec/chain.md "Block"): what the clusters agree on, and what a committed one is stored and pushed as.

use crate::application::Transaction;
use crate::certificate::CommitCertificate;
use crate::codec::{
    Parsed, array, be_u32, be_u64, bytes32, count32, items, put_bytes32, put_u32, put_u64, refuse, whole,
};
use crate::context::BlockId;
use crate::transaction::Transfer;
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Height};
use sha2::{Digest, Sha256};

/// The longest encoded block, in bytes; a frame of the wire (8 MiB) holds it with room to spare.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;
/// Bytes of a block without transactions.
pub const BLOCK_HEADER_BYTES: usize = 52;

/// A block of the account ledger.
pub type Block = BlockOf<Transfer>;

/// A block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockOf<T> {
    /// Its height, from 1.
    pub height: Height,
    /// ID of the block below; of the genesis for height 1.
    pub parent: [u8; 32],
    /// The cluster that made it.
    pub proposer: ClusterId,
    /// The round in which the maker saw the block below committed. Everybody derives the skip set from this and not
    /// from a certificate of his own, since two certificates of one block may name different rounds.
    pub parent_commit_round: u32,
    /// In the order in which they are carried out.
    pub transactions: Vec<T>,
}

impl<T: Transaction> BlockOf<T> {
    /// The bytes whose hash is the block ID.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.length());
        self.put(&mut out);
        out.into()
    }

    pub(crate) fn length(&self) -> usize {
        BLOCK_HEADER_BYTES + self.transactions.iter().map(T::length).sum::<usize>()
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.height.0);
        out.extend_from_slice(&self.parent);
        put_u32(out, self.proposer.0);
        put_u32(out, self.parent_commit_round);
        put_u32(out, count32(self.transactions.len()));
        for transaction in &self.transactions {
            transaction.put(out);
        }
    }

    /// Reads exactly one block.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BLOCK_BYTES {
            return None;
        }
        whole(bytes, Self::parse)
    }

    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, height) = be_u64(input)?;
        let (rest, parent) = array::<32>(rest)?;
        let (rest, proposer) = be_u32(rest)?;
        let (rest, parent_commit_round) = be_u32(rest)?;
        let (rest, count) = be_u32(rest)?;
        let Ok(count) = usize::try_from(count) else {
            return refuse(input);
        };
        let (rest, transactions) = items(rest, count, T::SHORTEST, transaction)?;
        let block = Self {
            height: Height(height),
            parent,
            proposer: ClusterId(proposer),
            parent_commit_round,
            transactions,
        };
        Ok((rest, block))
    }

    /// The ID of a block from its bytes.
    #[must_use]
    pub fn id_of(bytes: &[u8]) -> BlockId {
        id_of(bytes)
    }
}

/// The ID of a block of any application from its bytes.
pub(crate) fn id_of(bytes: &[u8]) -> BlockId {
    BlockId(Sha256::digest(bytes).into())
}

/// One transaction at the front of the input.
pub(crate) fn transaction<T: Transaction>(input: &[u8]) -> Parsed<'_, T> {
    match T::read(input) {
        Some((transaction, rest)) => Ok((rest, transaction)),
        None => refuse(input),
    }
}

/// A block and the proof that it was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedBlock {
    /// The block's bytes, as they were hashed.
    pub block: Bytes,
    /// The precommits of a quorum.
    pub certificate: CommitCertificate,
}

impl CommittedBlock {
    /// What is stored and pushed.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(4 + self.block.len() + self.certificate.length());
        put_bytes32(&mut out, &self.block);
        self.certificate.encode(&mut out);
        out.into()
    }

    /// Reads exactly one; the block lies within `bytes`, and is not looked at.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let (block, certificate) = whole(bytes, |input| {
            let (rest, block) = bytes32(input, MAX_BLOCK_BYTES)?;
            let (rest, certificate) = CommitCertificate::parse(rest)?;
            Ok((rest, (block, certificate)))
        })?;
        Some(Self { block: bytes.slice_ref(block), certificate })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::certificate::CommitSignature;
    use duohuo_wire::ids::{Epoch, NodeId};

    #[test]
    fn a_committed_block_is_written_at_once_and_its_block_lies_within_what_was_read() {
        let signature =
            CommitSignature { cluster: ClusterId(3), epoch: Epoch(2), node: NodeId(11), signature: [1; 64] };
        let certificate = CommitCertificate {
            height: Height(7),
            round: 0,
            block: [6; 32],
            signatures: vec![signature; 254],
        };
        let committed = CommittedBlock { block: Bytes::from(vec![7; MAX_BLOCK_BYTES]), certificate };
        let bytes = committed.encode();
        assert_eq!(bytes.len(), 4 + MAX_BLOCK_BYTES + 46 + 254 * 80);
        assert_eq!(bytes.len(), 4 + MAX_BLOCK_BYTES + committed.certificate.length(), "it does not grow");
        let read = CommittedBlock::decode(&bytes).unwrap();
        assert_eq!(read, committed);
        assert_eq!(read.block.as_ptr(), bytes[4..].as_ptr());
    }
}
