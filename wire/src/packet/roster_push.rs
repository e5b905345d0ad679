//! `RosterPush` (type 0x1e): the authority hands on the signed roster (AUTH-1, SYS-6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         roster length                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     roster (length bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::{Bytes, BytesMut};

use crate::{codec, error::DecodeError, tlv::Extensions};

/// The authority hands on the signed roster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RosterPush {
    /// The canonical signed roster, see `roster`.
    pub roster: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl RosterPush {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            roster: codec::get_bytes32(input, "roster_push.roster")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        codec::put_bytes32(&self.roster, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> RosterPush {
        RosterPush { roster: Bytes::from_static(&[0xC0, 0xC1, 0xC2]), extensions: Extensions::default() }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x00, 0x00, 0x00, 0x03, 0xc0, 0xc1, 0xc2][..], // roster
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::RosterPush(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x1e, &literal(), &[]);
        assert_eq!(RosterPush::decode(&[]), Err(DecodeError::Truncated { field: "roster_push.roster" }));
    }

    #[test]
    fn a_roster_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[0..4].fill(0xFF);
        assert!(RosterPush::decode(&bytes) == Err(DecodeError::Truncated { field: "roster_push.roster" }));
    }
}
