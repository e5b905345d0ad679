//! `SnapshotOffer` (type 0x3D): what a snapshot is made of, and what proves it (IN-5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        manifest length                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    manifest (length bytes)                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                          proof length                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      proof (length bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Also the answer to a ChainQuery or RangeQuery for blocks that are pruned, and sent by a master to its cluster when a snapshot is proven.

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// What a snapshot is made of, and what proves it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotOffer {
    /// Its height; 0: there is none.
    pub height: Height,
    /// As the chain encodes it.
    pub manifest: Bytes,
    /// As the chain encodes it; signed results of a quorum of clusters.
    pub proof: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl SnapshotOffer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            height: codec::get(input, "snapshot_offer.height")?,
            manifest: codec::get_bytes32(input, "snapshot_offer.manifest")?,
            proof: codec::get_bytes32(input, "snapshot_offer.proof")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.height.put(out);
        codec::put_bytes32(&self.manifest, out);
        codec::put_bytes32(&self.proof, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> SnapshotOffer {
        SnapshotOffer {
            height: Height(0x0102_0304_0506_0762),
            manifest: Bytes::from_static(&[0xC1, 0xC1, 0xC2]),
            proof: Bytes::from_static(&[0xC2, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x62][..], // height
            &[0x00, 0x00, 0x00, 0x03, 0xc1, 0xc1, 0xc2],           // manifest
            &[0x00, 0x00, 0x00, 0x03, 0xc2, 0xc1, 0xc2],           // proof
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::SnapshotOffer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x3d, &literal(), &[]);
        assert_eq!(
            SnapshotOffer::decode(&[]),
            Err(DecodeError::Truncated { field: "snapshot_offer.height" })
        );
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[8..12].fill(0xFF);
        assert_eq!(
            SnapshotOffer::decode(&bytes),
            Err(DecodeError::Truncated { field: "snapshot_offer.manifest" })
        );
    }
}
