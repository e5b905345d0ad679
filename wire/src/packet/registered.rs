//! `Registered` (type 0x13): the verdict on a registration, with a sealed cluster ID for every node of the
//! cluster (AUTH-3, OUT-5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    verdict    |               registration_epoch              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |registration_ep|             count             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    count x node u32, length u16, sealed ID; node ascending    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    statement::NodeSealedId,
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// What the authority says to a registration.
    RegisterVerdict {
        /// Registered.
        Accepted = 0,
        /// The cluster has a registration: send an update.
        AlreadyRegistered = 1,
        /// Not a member, or not allowed to be master.
        Refused = 2,
        /// The authority is not ready: ask again.
        Starting = 3,
    }
}

/// The verdict on a registration, with a sealed cluster ID for every node of the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Registered {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The verdict.
    pub verdict: RegisterVerdict,
    /// Counts registrations of this cluster: older sealed IDs are void.
    pub registration_epoch: u32,
    /// One per node, ascending by node; empty unless accepted.
    pub sealed_ids: Vec<NodeSealedId>,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Registered {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "registered.request")?,
            verdict: codec::get(input, "registered.verdict")?,
            registration_epoch: codec::get(input, "registered.registration_epoch")?,
            sealed_ids: codec::get_ascending(input, "registered.sealed_ids", |entry: &NodeSealedId| {
                entry.node
            })?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.verdict.put(out);
        self.registration_epoch.put(out);
        codec::put_ascending(&self.sealed_ids, out, |entry| entry.node);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::ids::NodeId;
    use crate::packet::{Packet, testing};
    use bytes::Bytes;

    fn sample() -> Registered {
        Registered {
            request: 0x0102_0304_0506_071c,
            verdict: RegisterVerdict::Refused,
            registration_epoch: 0x0506_071e,
            sealed_ids: vec![
                NodeSealedId { node: NodeId(1), sealed_id: Bytes::from_static(&[0xD0]) },
                NodeSealedId { node: NodeId(7), sealed_id: Bytes::new() },
            ],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1c][..], // request
            &[0x02],                                               // verdict
            &[0x05, 0x06, 0x07, 0x1e],                             // registration_epoch
            &[0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0xd0, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00], // sealed_ids
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Registered(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x13, &literal(), &[]);
        assert_eq!(Registered::decode(&[]), Err(DecodeError::Truncated { field: "registered.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(
            0x13,
            &literal(),
            8,
            0xEE,
            DecodeError::BadValue { field: "registered.verdict" },
        );
    }

    #[test]
    fn sealed_ids_must_ascend() {
        testing::refused_with(
            0x13,
            &literal(),
            18,
            7,
            DecodeError::NotCanonical { field: "registered.sealed_ids" },
        );
    }

    #[test]
    fn a_sealed_ids_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[13..15].fill(0xFF);
        assert!(Registered::decode(&bytes) == Err(DecodeError::Truncated { field: "registered.sealed_ids" }));
    }
}
