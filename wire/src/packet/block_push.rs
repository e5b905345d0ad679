//! `BlockPush` (type 0x34): the master hands on a committed block (SYS-2, IN-5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
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

/// The master hands on a committed block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlockPush {
    /// The block's height.
    pub height: Height,
    /// The block and what proves it, as the chain encodes them.
    pub block: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl BlockPush {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            height: codec::get(input, "block_push.height")?,
            block: codec::get_bytes32(input, "block_push.block")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
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

    fn sample() -> BlockPush {
        BlockPush {
            height: Height(0x0102_0304_0506_073d),
            block: Bytes::from_static(&[0xC0, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3d][..], // height
            &[0x00, 0x00, 0x00, 0x03, 0xc0, 0xc1, 0xc2],           // block
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::BlockPush(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x34, &literal(), &[]);
        assert_eq!(BlockPush::decode(&[]), Err(DecodeError::Truncated { field: "block_push.height" }));
    }

    #[test]
    fn a_block_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[8..12].fill(0xFF);
        assert!(BlockPush::decode(&bytes) == Err(DecodeError::Truncated { field: "block_push.block" }));
    }
}
