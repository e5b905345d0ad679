//! `FenceAnswer` (type 0x65): the promise of another cluster, durable on its whole in-sync set (SYS-3, AUTH-8).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            height                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        extensions ...                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height},
    tlv::Extensions,
};

/// The promise of another cluster, durable on its whole in-sync set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FenceAnswer {
    /// The cluster of the forced master.
    pub cluster: ClusterId,
    /// Nothing of an older epoch of that cluster is counted any more.
    pub epoch: Epoch,
    /// The height the sender's cluster works on.
    pub height: Height,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl FenceAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            cluster: codec::get(input, "fence_answer.cluster")?,
            epoch: codec::get(input, "fence_answer.epoch")?,
            height: codec::get(input, "fence_answer.height")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.epoch.put(out);
        self.height.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> FenceAnswer {
        FenceAnswer {
            cluster: ClusterId(0x0506_0720),
            epoch: Epoch(0x0102_0304_0506_0721),
            height: Height(0x0102_0304_0506_0722),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x20][..],                     // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x21], // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x22], // height
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::FenceAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x65, &literal(), &[]);
        assert_eq!(FenceAnswer::decode(&[]), Err(DecodeError::Truncated { field: "fence_answer.cluster" }));
    }
}
