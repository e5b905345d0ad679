//! `Probe` (type 0x1c): asks: are you there, and as what (REC-1, AUTH-4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             nonce                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
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
    ids::Epoch,
    tlv::Extensions,
};

/// Asks: are you there, and as what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Probe {
    /// Echoed in the answer.
    pub nonce: u64,
    /// The newest epoch the asker knows.
    pub epoch: Epoch,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Probe {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            nonce: codec::get(input, "probe.nonce")?,
            epoch: codec::get(input, "probe.epoch")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.nonce.put(out);
        self.epoch.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Probe {
        Probe {
            nonce: 0x0102_0304_0506_0725,
            epoch: Epoch(0x0102_0304_0506_0726),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x25][..], // nonce
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x26],     // epoch
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Probe(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x1c, &literal(), &[]);
        assert_eq!(Probe::decode(&[]), Err(DecodeError::Truncated { field: "probe.nonce" }));
    }
}
