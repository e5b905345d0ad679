//! `SnapshotQuery` (type 0x3C): asks for a snapshot, or for a piece of one (IN-5, SYS-6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             chunk                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Answered by a SnapshotOffer or a SnapshotChunk; by an offer of height 0 if there is none.

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// Asks for a snapshot, or for a piece of one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotQuery {
    /// The height of the snapshot; 0: the newest that is proven.
    pub height: Height,
    /// Which piece; 2^32 - 1: what it is made of.
    pub chunk: u32,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl SnapshotQuery {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            height: codec::get(input, "snapshot_query.height")?,
            chunk: codec::get(input, "snapshot_query.chunk")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.height.put(out);
        self.chunk.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> SnapshotQuery {
        SnapshotQuery {
            height: Height(0x0102_0304_0506_0760),
            chunk: 0x0506_0761,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x60][..], // height
            &[0x05, 0x06, 0x07, 0x61],                             // chunk
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::SnapshotQuery(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x3c, &literal(), &[]);
        assert_eq!(
            SnapshotQuery::decode(&[]),
            Err(DecodeError::Truncated { field: "snapshot_query.height" })
        );
    }
}
