//! `ChainEnd` (type 0x36): ends the answer to a chain query (IN-5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
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

/// Ends the answer to a chain query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ChainEnd {
    /// The sender's height: there is nothing more for now.
    pub height: Height,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl ChainEnd {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self { height: codec::get(input, "chain_end.height")?, extensions: Extensions::decode(input)? })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.height.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> ChainEnd {
        ChainEnd { height: Height(0x0102_0304_0506_073f), extensions: Extensions::default() }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3f][..], // height
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::ChainEnd(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x36, &literal(), &[]);
        assert_eq!(ChainEnd::decode(&[]), Err(DecodeError::Truncated { field: "chain_end.height" }));
    }
}
