//! `MasterKeepaliveAnswer` (type 0x18): the authority answers a master's keepalive (AUTH-4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           challenge                           |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         table_version                         |
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

/// The authority answers a master's keepalive.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MasterKeepaliveAnswer {
    /// Random; to be echoed in the next keepalive.
    pub challenge: u64,
    /// The epoch of the row: a master of a lower one is master no more.
    pub epoch: Epoch,
    /// The newest table.
    pub table_version: u64,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl MasterKeepaliveAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            challenge: codec::get(input, "master_keepalive_answer.challenge")?,
            epoch: codec::get(input, "master_keepalive_answer.epoch")?,
            table_version: codec::get(input, "master_keepalive_answer.table_version")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.challenge.put(out);
        self.epoch.put(out);
        self.table_version.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> MasterKeepaliveAnswer {
        MasterKeepaliveAnswer {
            challenge: 0x0102_0304_0506_0721,
            epoch: Epoch(0x0102_0304_0506_0722),
            table_version: 0x0102_0304_0506_0723,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x21][..], // challenge
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x22],     // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23],     // table_version
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::MasterKeepaliveAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x18, &literal(), &[]);
        assert_eq!(
            MasterKeepaliveAnswer::decode(&[]),
            Err(DecodeError::Truncated { field: "master_keepalive_answer.challenge" })
        );
    }
}
