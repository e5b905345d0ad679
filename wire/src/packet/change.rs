//! `Change` (type 0x15): a master asks for a change of its row that changes no master (AUTH-2, SYS-6).
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
//! |      kind     |                      node                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  node (cont.) |
//! +-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, Epoch, NodeId, Version},
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// A change of a row.
    ChangeKind {
        /// The node has caught up: add it to the in-sync set.
        Add = 0,
        /// The node does not acknowledge: take it out of the in-sync set.
        Remove = 1,
        /// The master lets go.
        Resign = 2,
    }
}

/// A master asks for a change of its row that changes no master.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The master's cluster.
    pub cluster: ClusterId,
    /// The epoch of the row the change builds on.
    pub epoch: Epoch,
    /// The version of that row.
    pub version: Version,
    /// What to change.
    pub kind: ChangeKind,
    /// Whom it is about; the master itself for a resignation.
    pub node: NodeId,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Change {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "change.request")?,
            cluster: codec::get(input, "change.cluster")?,
            epoch: codec::get(input, "change.epoch")?,
            version: codec::get(input, "change.version")?,
            kind: codec::get(input, "change.kind")?,
            node: codec::get(input, "change.node")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.cluster.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.kind.put(out);
        self.node.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Change {
        Change {
            request: 0x0102_0304_0506_071e,
            cluster: ClusterId(0x0506_071f),
            epoch: Epoch(0x0102_0304_0506_0720),
            version: Version(0x0102_0304_0506_0721),
            kind: ChangeKind::Remove,
            node: NodeId(0x0506_0723),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1e][..], // request
            &[0x05, 0x06, 0x07, 0x1f],                             // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x20],     // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x21],     // version
            &[0x01],                                               // kind
            &[0x05, 0x06, 0x07, 0x23],                             // node
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Change(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x15, &literal(), &[]);
        assert_eq!(Change::decode(&[]), Err(DecodeError::Truncated { field: "change.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x15, &literal(), 28, 0xEE, DecodeError::BadValue { field: "change.kind" });
    }
}
