//! `Unsupported` (type 0x5f): the answer to an authentic packet of a type or critical extension the receiver does
//! not know (SYS-6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  packet_type  |          critical_tlv         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    tlv::Extensions,
};

/// The answer to an authentic packet of a type or critical extension the receiver does not know.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unsupported {
    /// The type of that packet.
    pub packet_type: u8,
    /// The extension; 0 if it was the type.
    pub critical_tlv: u16,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Unsupported {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            packet_type: codec::get(input, "unsupported.packet_type")?,
            critical_tlv: codec::get(input, "unsupported.critical_tlv")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.packet_type.put(out);
        self.critical_tlv.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Unsupported {
        Unsupported { packet_type: 104, critical_tlv: 1897, extensions: Extensions::default() }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x68][..],   // packet_type
            &[0x07, 0x69], // critical_tlv
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Unsupported(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x5f, &literal(), &[]);
        assert_eq!(
            Unsupported::decode(&[]),
            Err(DecodeError::Truncated { field: "unsupported.packet_type" })
        );
    }
}
