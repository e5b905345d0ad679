//! `ConsensusError` (type 0x1a): a master reports a cluster whose result differs, with the signed results (OUT-8,
//! REC-3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |             count             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |               count x signed result (120 bytes)               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    statement::SignedResult,
    tlv::Extensions,
};

/// A master reports a cluster whose result differs, with the signed results.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsensusError {
    /// The asker's number; nothing answers it.
    pub request: u64,
    /// The height of the difference.
    pub height: Height,
    /// The accused's result first, then those that contradict it.
    pub evidence: Vec<SignedResult>,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl ConsensusError {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "consensus_error.request")?,
            height: codec::get(input, "consensus_error.height")?,
            evidence: codec::get_list(input, "consensus_error.evidence")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.height.put(out);
        codec::put_list(&self.evidence, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::ids::{ClusterId, Epoch, NodeId};
    use crate::packet::{Packet, testing};

    fn sample() -> ConsensusError {
        ConsensusError {
            request: 0x0102_0304_0506_0723,
            height: Height(0x0102_0304_0506_0724),
            evidence: vec![SignedResult {
                cluster: ClusterId(3),
                node: NodeId(9),
                epoch: Epoch(4),
                height: Height(100),
                hash: [0xAA; 32],
                signature: [0xBB; 64],
            }],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23][..], // request
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x24],     // height
            &[
                0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x64, 0xaa, 0xaa, 0xaa, 0xaa,
                0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
                0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb,
            ], // evidence
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::ConsensusError(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x1a, &literal(), &[]);
        assert_eq!(
            ConsensusError::decode(&[]),
            Err(DecodeError::Truncated { field: "consensus_error.request" })
        );
    }

    #[test]
    fn a_evidence_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[16..18].fill(0xFF);
        assert!(
            ConsensusError::decode(&bytes)
                == Err(DecodeError::Truncated { field: "consensus_error.evidence" })
        );
    }
}
