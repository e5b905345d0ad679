//! `HandshakeInit` (type 0x01): opens a session: Noise IK message 1 (AUTH-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       initiator_session                       |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       noise (108 bytes)                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        mac1 (16 bytes)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        mac2 (16 bytes)                        |
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

/// Opens a session: Noise IK message 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandshakeInit {
    /// The session id the initiator chose: what it wants to find in packets to it; never 0.
    pub initiator_session: u64,
    /// Noise message 1: ephemeral 32, static 32 + 16, timestamp 12 + 16.
    pub noise: [u8; 108],
    /// Under the responder's public key: proves the sender knows whom it speaks to.
    pub mac1: [u8; 16],
    /// Under the last cookie; zero without one.
    pub mac2: [u8; 16],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for HandshakeInit {
    fn default() -> Self {
        Self {
            initiator_session: Default::default(),
            noise: [0; 108],
            mac1: [0; 16],
            mac2: [0; 16],
            extensions: Extensions::default(),
        }
    }
}

impl HandshakeInit {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            initiator_session: codec::get(input, "handshake_init.initiator_session")?,
            noise: codec::get(input, "handshake_init.noise")?,
            mac1: codec::get(input, "handshake_init.mac1")?,
            mac2: codec::get(input, "handshake_init.mac2")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.initiator_session.put(out);
        self.noise.put(out);
        self.mac1.put(out);
        self.mac2.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> HandshakeInit {
        HandshakeInit {
            initiator_session: 0x0102_0304_0506_070a,
            noise: [0xa3; 108],
            mac1: [0xa4; 16],
            mac2: [0xa5; 16],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0a][..], // initiator_session
            &[0xa3; 108],                                          // noise
            &[0xa4; 16],                                           // mac1
            &[0xa5; 16],                                           // mac2
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::HandshakeInit(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x01, &literal(), &[]);
        assert_eq!(
            HandshakeInit::decode(&[]),
            Err(DecodeError::Truncated { field: "handshake_init.initiator_session" })
        );
    }
}
