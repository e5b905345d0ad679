//! `BlockAnswer` (type 0x59): a committed block for a client, with its proof (SYS-1).
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
//! |                          block length                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      block (length bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// A committed block for a client, with its proof.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlockAnswer {
    /// The asker's number for this exchange.
    pub request: u64,
    /// Its height.
    pub height: Height,
    /// The block and what proves it, as the chain encodes them; empty: this node has not got it.
    pub block: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl BlockAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "block_answer.request")?,
            height: codec::get(input, "block_answer.height")?,
            block: codec::get_bytes32(input, "block_answer.block")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.height.put(out);
        codec::put_bytes32(&self.block, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> BlockAnswer {
        BlockAnswer {
            request: 0x0102_0304_0506_0773,
            height: Height(0x0102_0304_0506_0774),
            block: Bytes::from_static(&[0xC2, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x73][..], // request
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x74],     // height
            &[0x00, 0x00, 0x00, 0x03, 0xc2, 0xc1, 0xc2],           // block
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::BlockAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x59, &literal(), &[]);
        assert_eq!(BlockAnswer::decode(&[]), Err(DecodeError::Truncated { field: "block_answer.request" }));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[16..20].fill(0xFF);
        assert_eq!(BlockAnswer::decode(&bytes), Err(DecodeError::Truncated { field: "block_answer.block" }));
    }
}
