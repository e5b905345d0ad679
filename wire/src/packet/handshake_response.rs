//! `HandshakeResponse` (type 0x02): completes a session: Noise IK message 2 (AUTH-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       initiator_session                       |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       responder_session                       |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        noise (48 bytes)                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        mac1 (16 bytes)                        |
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

/// Completes a session: Noise IK message 2.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HandshakeResponse {
    /// As in the initiation.
    pub initiator_session: u64,
    /// The session id the responder chose; never 0.
    pub responder_session: u64,
    /// Noise message 2: ephemeral 32, empty payload + 16.
    pub noise: [u8; 48],
    /// Under the initiator's public key.
    pub mac1: [u8; 16],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for HandshakeResponse {
    fn default() -> Self {
        Self {
            initiator_session: Default::default(),
            responder_session: Default::default(),
            noise: [0; 48],
            mac1: [0; 16],
            extensions: Extensions::default(),
        }
    }
}

impl HandshakeResponse {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            initiator_session: codec::get(input, "handshake_response.initiator_session")?,
            responder_session: codec::get(input, "handshake_response.responder_session")?,
            noise: codec::get(input, "handshake_response.noise")?,
            mac1: codec::get(input, "handshake_response.mac1")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.initiator_session.put(out);
        self.responder_session.put(out);
        self.noise.put(out);
        self.mac1.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> HandshakeResponse {
        HandshakeResponse {
            initiator_session: 0x0102_0304_0506_070b,
            responder_session: 0x0102_0304_0506_070c,
            noise: [0xa5; 48],
            mac1: [0xa6; 16],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0b][..], // initiator_session
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c],     // responder_session
            &[0xa5; 48],                                           // noise
            &[0xa6; 16],                                           // mac1
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::HandshakeResponse(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x02, &literal(), &[]);
        assert_eq!(
            HandshakeResponse::decode(&[]),
            Err(DecodeError::Truncated { field: "handshake_response.initiator_session" })
        );
    }
}
