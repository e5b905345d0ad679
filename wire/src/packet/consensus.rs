//! `Consensus` (type 0x40): a message of the consensus algorithm, between masters (SYS-1, SYS-7).
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
//! |                         message length                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     message (length bytes)                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, Epoch},
    tlv::Extensions,
};

/// A message of the consensus algorithm, between masters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Consensus {
    /// The sender's cluster: the validator.
    pub cluster: ClusterId,
    /// The epoch the sender acts in.
    pub epoch: Epoch,
    /// As the consensus core encodes it.
    pub message: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Consensus {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            cluster: codec::get(input, "consensus.cluster")?,
            epoch: codec::get(input, "consensus.epoch")?,
            message: codec::get_bytes32(input, "consensus.message")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.epoch.put(out);
        codec::put_bytes32(&self.message, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Consensus {
        Consensus {
            cluster: ClusterId(0x0506_0749),
            epoch: Epoch(0x0102_0304_0506_074a),
            message: Bytes::from_static(&[0xC0, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x49][..],                     // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x4a], // epoch
            &[0x00, 0x00, 0x00, 0x03, 0xc0, 0xc1, 0xc2],       // message
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Consensus(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x40, &literal(), &[]);
        assert_eq!(Consensus::decode(&[]), Err(DecodeError::Truncated { field: "consensus.cluster" }));
    }

    #[test]
    fn a_message_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[12..16].fill(0xFF);
        assert!(Consensus::decode(&bytes) == Err(DecodeError::Truncated { field: "consensus.message" }));
    }
}
