//! `Update` (type 0x14): the master update: a node claims the mastership of its cluster (AUTH-5, OUT-2, REC-1,
//! REC-2, REC-3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            version                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     reason    |          alive count          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |               alive: count x node u32, ascending              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |        sealed_id length       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    sealed_id (length bytes)                   |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, NodeId, Version},
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// Why a node claims.
    ClaimReason {
        /// The master is silent and answers no probe.
        Suspicion = 0,
        /// The master's stream closed.
        StreamClosed = 1,
        /// The authority ordered a switch.
        Forced = 2,
        /// The row names no master.
        Vacant = 3,
        /// The claimant is the row's master and has restarted: it needs a new epoch.
        Restart = 4,
    }
}

/// The master update: a node claims the mastership of its cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Update {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The cluster claimed.
    pub cluster: ClusterId,
    /// The epoch of the row the claim builds on.
    pub epoch: Epoch,
    /// The version of that row.
    pub version: Version,
    /// Why.
    pub reason: ClaimReason,
    /// The nodes the claimant hears, itself included, ascending.
    pub alive: Vec<NodeId>,
    /// The claimant's chain height.
    pub height: Height,
    /// The claimant's sealed cluster ID.
    pub sealed_id: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Update {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "update.request")?,
            cluster: codec::get(input, "update.cluster")?,
            epoch: codec::get(input, "update.epoch")?,
            version: codec::get(input, "update.version")?,
            reason: codec::get(input, "update.reason")?,
            alive: codec::get_ascending(input, "update.alive", |node: &NodeId| *node)?,
            height: codec::get(input, "update.height")?,
            sealed_id: codec::get_bytes16(input, "update.sealed_id")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.cluster.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.reason.put(out);
        codec::put_ascending(&self.alive, out, |node| *node);
        self.height.put(out);
        codec::put_bytes16(&self.sealed_id, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Update {
        Update {
            request: 0x0102_0304_0506_071d,
            cluster: ClusterId(0x0506_071e),
            epoch: Epoch(0x0102_0304_0506_071f),
            version: Version(0x0102_0304_0506_0720),
            reason: ClaimReason::Forced,
            alive: vec![NodeId(1), NodeId(7)],
            height: Height(0x0102_0304_0506_0723),
            sealed_id: Bytes::from_static(&[0xC0, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1d][..], // request
            &[0x05, 0x06, 0x07, 0x1e],                             // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1f],     // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x20],     // version
            &[0x02],                                               // reason
            &[0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x07], // alive
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23],     // height
            &[0x00, 0x03, 0xc0, 0xc1, 0xc2],                       // sealed_id
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Update(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x14, &literal(), &[]);
        assert_eq!(Update::decode(&[]), Err(DecodeError::Truncated { field: "update.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x14, &literal(), 28, 0xEE, DecodeError::BadValue { field: "update.reason" });
    }

    #[test]
    fn alive_must_ascend() {
        testing::refused_with(0x14, &literal(), 34, 7, DecodeError::NotCanonical { field: "update.alive" });
    }

    #[test]
    fn a_alive_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[29..31].fill(0xFF);
        assert!(Update::decode(&bytes) == Err(DecodeError::Truncated { field: "update.alive" }));
    }

    #[test]
    fn a_sealed_id_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[47..49].fill(0xFF);
        assert!(Update::decode(&bytes) == Err(DecodeError::Truncated { field: "update.sealed_id" }));
    }
}
