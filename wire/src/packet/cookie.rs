//! `Cookie` (type 0x03): answers an initiation under load: come again and prove your address (AUTH-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       initiator_session                       |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       cookie (16 bytes)                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    tlv::Extensions,
};

/// Answers an initiation under load: come again and prove your address.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cookie {
    /// As in the initiation.
    pub initiator_session: u64,
    /// The key of `mac2` in the repeated initiation.
    pub cookie: [u8; 16],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Cookie {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            initiator_session: codec::get(input, "cookie.initiator_session")?,
            cookie: codec::get(input, "cookie.cookie")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.initiator_session.put(out);
        self.cookie.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Cookie {
        Cookie {
            initiator_session: 0x0102_0304_0506_070c,
            cookie: [0xa5; 16],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c][..], // initiator_session
            &[0xa5; 16],                                           // cookie
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Cookie(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x03, &literal(), &[]);
        assert_eq!(Cookie::decode(&[]), Err(DecodeError::Truncated { field: "cookie.initiator_session" }));
    }
}
