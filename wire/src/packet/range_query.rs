//! `RangeQuery` (type 0x3F): asks for committed blocks of some heights (IN-5, SYS-6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                              from                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                               to                              |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           max_bytes                           |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Answered as a ChainQuery is, and by no block above `to`: so that several members can be asked for different heights at once.

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// Asks for committed blocks of some heights.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RangeQuery {
    /// The first height wanted.
    pub from: Height,
    /// The last height wanted.
    pub to: Height,
    /// Stop after this many bytes of blocks.
    pub max_bytes: u32,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl RangeQuery {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            from: codec::get(input, "range_query.from")?,
            to: codec::get(input, "range_query.to")?,
            max_bytes: codec::get(input, "range_query.max_bytes")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.from.put(out);
        self.to.put(out);
        self.max_bytes.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> RangeQuery {
        RangeQuery {
            from: Height(0x0102_0304_0506_0768),
            to: Height(0x0102_0304_0506_0769),
            max_bytes: 0x0506_076a,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x68][..], // from
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x69],     // to
            &[0x05, 0x06, 0x07, 0x6a],                             // max_bytes
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::RangeQuery(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x3f, &literal(), &[]);
        assert_eq!(RangeQuery::decode(&[]), Err(DecodeError::Truncated { field: "range_query.from" }));
    }
}
