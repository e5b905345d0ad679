//! `Fence` (type 0x64): a forced master asks another cluster to count nothing of its cluster's older epochs (SYS-3, AUTH-8).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        row: signed row                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        extensions ...                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    statement::SignedRow,
    tlv::Extensions,
};

/// A forced master asks another cluster to count nothing of its cluster's older epochs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fence {
    /// The row that forced it, signed by the authority: unfenced.
    pub row: SignedRow,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Fence {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self { row: codec::get(input, "fence.row")?, extensions: Extensions::decode(input)? })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.row.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};
    use crate::{
        ids::{ClusterId, Epoch, NodeId, Version},
        statement::Row,
    };

    fn sample() -> Fence {
        Fence {
            row: SignedRow {
                row: Row {
                    cluster: ClusterId(3),
                    epoch: Epoch(5),
                    version: Version(0),
                    master: NodeId(9),
                    in_sync: vec![NodeId(9)],
                    barred: vec![],
                    unfenced: true,
                    table_version: 55,
                },
                signature: [0xCC; 64],
            },
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[
                0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0x09,
                0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x37, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
            ][..], // row
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Fence(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x64, &literal(), &[]);
        assert_eq!(Fence::decode(&[]), Err(DecodeError::Truncated { field: "row.cluster" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x64, &literal(), 32, 0xEE, DecodeError::BadValue { field: "row.unfenced" });
    }
}
