//! `RegistrationSync` (type 0x30): the master hands on what registration returned (IN-4, OUT-5).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       registration_epoch                      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |             count             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    count x node u32, length u16, sealed ID; node ascending    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::ClusterId,
    statement::NodeSealedId,
    tlv::Extensions,
};

/// The master hands on what registration returned.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RegistrationSync {
    /// The cluster.
    pub cluster: ClusterId,
    /// As in Registered.
    pub registration_epoch: u32,
    /// One per node, ascending by node.
    pub sealed_ids: Vec<NodeSealedId>,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl RegistrationSync {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            cluster: codec::get(input, "registration_sync.cluster")?,
            registration_epoch: codec::get(input, "registration_sync.registration_epoch")?,
            sealed_ids: codec::get_ascending(
                input,
                "registration_sync.sealed_ids",
                |entry: &NodeSealedId| entry.node,
            )?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
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

    fn sample() -> RegistrationSync {
        RegistrationSync {
            cluster: ClusterId(0x0506_0739),
            registration_epoch: 0x0506_073a,
            sealed_ids: vec![
                NodeSealedId { node: NodeId(1), sealed_id: Bytes::from_static(&[0xD0]) },
                NodeSealedId { node: NodeId(7), sealed_id: Bytes::new() },
            ],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x39][..], // cluster
            &[0x05, 0x06, 0x07, 0x3a],     // registration_epoch
            &[0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0xd0, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00], // sealed_ids
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::RegistrationSync(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x30, &literal(), &[]);
        assert_eq!(
            RegistrationSync::decode(&[]),
            Err(DecodeError::Truncated { field: "registration_sync.cluster" })
        );
    }

    #[test]
    fn sealed_ids_must_ascend() {
        testing::refused_with(
            0x30,
            &literal(),
            13,
            7,
            DecodeError::NotCanonical { field: "registration_sync.sealed_ids" },
        );
    }

    #[test]
    fn a_sealed_ids_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[8..10].fill(0xFF);
        assert!(
            RegistrationSync::decode(&bytes)
                == Err(DecodeError::Truncated { field: "registration_sync.sealed_ids" })
        );
    }
}
