//! `BlockQuery` (type 0x58): a client asks for a committed block (SYS-1).
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
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// A client asks for a committed block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BlockQuery {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// Which.
    pub height: Height,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl BlockQuery {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "block_query.request")?,
            height: codec::get(input, "block_query.height")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.height.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> BlockQuery {
        BlockQuery {
            request: 0x0102_0304_0506_0771,
            height: Height(0x0102_0304_0506_0772),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x71][..], // request
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x72],     // height
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::BlockQuery(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x58, &literal(), &[]);
        assert_eq!(BlockQuery::decode(&[]), Err(DecodeError::Truncated { field: "block_query.request" }));
    }
}
