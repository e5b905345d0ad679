//! `JoinAnswer` (type 0x11): the verdict on a join, and the sealed cluster ID if the cluster is registered
//! (AUTH-1, OUT-7).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    verdict    |                 roster_version                |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     roster_version (cont.)                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |roster_version |        sealed_id length       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    sealed_id (length bytes)                   |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// What the authority says to a join.
    JoinVerdict {
        /// Verified: the node is a member.
        Accepted = 0,
        /// Not in the roster.
        UnknownNode = 1,
        /// In the roster, in another cluster.
        WrongCluster = 2,
        /// The authority is not ready: ask again.
        Starting = 3,
    }
}

/// The verdict on a join, and the sealed cluster ID if the cluster is registered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JoinAnswer {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The verdict.
    pub verdict: JoinVerdict,
    /// The roster the authority holds.
    pub roster_version: u64,
    /// This node's sealed cluster ID; empty if the cluster is not registered.
    pub sealed_id: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl JoinAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "join_answer.request")?,
            verdict: codec::get(input, "join_answer.verdict")?,
            roster_version: codec::get(input, "join_answer.roster_version")?,
            sealed_id: codec::get_bytes16(input, "join_answer.sealed_id")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.verdict.put(out);
        self.roster_version.put(out);
        codec::put_bytes16(&self.sealed_id, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> JoinAnswer {
        JoinAnswer {
            request: 0x0102_0304_0506_071a,
            verdict: JoinVerdict::WrongCluster,
            roster_version: 0x0102_0304_0506_071c,
            sealed_id: Bytes::from_static(&[0xC0, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1a][..], // request
            &[0x02],                                               // verdict
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1c],     // roster_version
            &[0x00, 0x03, 0xc0, 0xc1, 0xc2],                       // sealed_id
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::JoinAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x11, &literal(), &[]);
        assert_eq!(JoinAnswer::decode(&[]), Err(DecodeError::Truncated { field: "join_answer.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(
            0x11,
            &literal(),
            8,
            0xEE,
            DecodeError::BadValue { field: "join_answer.verdict" },
        );
    }

    #[test]
    fn a_sealed_id_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[17..19].fill(0xFF);
        assert!(JoinAnswer::decode(&bytes) == Err(DecodeError::Truncated { field: "join_answer.sealed_id" }));
    }
}
