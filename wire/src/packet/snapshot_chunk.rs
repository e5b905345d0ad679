//! `SnapshotChunk` (type 0x3E): a piece of a snapshot (IN-5).
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
//! |                         content length                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     content (length bytes)                    |
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

/// A piece of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotChunk {
    /// The height of the snapshot.
    pub height: Height,
    /// Which piece, from 0.
    pub chunk: u32,
    /// The piece; empty: the sender has not got it.
    pub content: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl SnapshotChunk {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            height: codec::get(input, "snapshot_chunk.height")?,
            chunk: codec::get(input, "snapshot_chunk.chunk")?,
            content: codec::get_bytes32(input, "snapshot_chunk.content")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.height.put(out);
        self.chunk.put(out);
        codec::put_bytes32(&self.content, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> SnapshotChunk {
        SnapshotChunk {
            height: Height(0x0102_0304_0506_0765),
            chunk: 0x0506_0766,
            content: Bytes::from_static(&[0xC2, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x65][..], // height
            &[0x05, 0x06, 0x07, 0x66],                             // chunk
            &[0x00, 0x00, 0x00, 0x03, 0xc2, 0xc1, 0xc2],           // content
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::SnapshotChunk(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x3e, &literal(), &[]);
        assert_eq!(
            SnapshotChunk::decode(&[]),
            Err(DecodeError::Truncated { field: "snapshot_chunk.height" })
        );
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[12..16].fill(0xFF);
        assert_eq!(
            SnapshotChunk::decode(&bytes),
            Err(DecodeError::Truncated { field: "snapshot_chunk.content" })
        );
    }
}
