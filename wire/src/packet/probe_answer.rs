//! `ProbeAnswer` (type 0x1d): answers a probe (REC-1, AUTH-4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             nonce                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      role     |                     epoch                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         epoch (cont.)                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | epoch (cont.) |
//! +-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Epoch,
    status::Role,
    tlv::Extensions,
};

/// Answers a probe.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProbeAnswer {
    /// As in the probe.
    pub nonce: u64,
    /// The answerer's role.
    pub role: Role,
    /// At a master the epoch it acts in; else the highest epoch promised.
    pub epoch: Epoch,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl ProbeAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            nonce: codec::get(input, "probe_answer.nonce")?,
            role: codec::get(input, "probe_answer.role")?,
            epoch: codec::get(input, "probe_answer.epoch")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.nonce.put(out);
        self.role.put(out);
        self.epoch.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> ProbeAnswer {
        ProbeAnswer {
            nonce: 0x0102_0304_0506_0726,
            role: Role::Master,
            epoch: Epoch(0x0102_0304_0506_0728),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x26][..], // nonce
            &[0x02],                                               // role
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x28],     // epoch
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::ProbeAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x1d, &literal(), &[]);
        assert_eq!(ProbeAnswer::decode(&[]), Err(DecodeError::Truncated { field: "probe_answer.nonce" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(
            0x1d,
            &literal(),
            8,
            0xEE,
            DecodeError::BadValue { field: "probe_answer.role" },
        );
    }
}
