//! `Notice` (type 0x16): the authority's signed row: after every change, and as the answer to a claim, change or
//! query (AUTH-8, OUT-4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    outcome    |                 table_version                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     table_version (cont.)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |table_version (|
//! +-+-+-+-+-+-+-+-+
//! |                        row: signed row                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    statement::SignedRow,
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// What became of a claim or a change.
    Outcome {
        /// No request: this is the row.
        Notice = 0,
        /// Done: the row is the new one.
        Done = 1,
        /// The request built on another row than this.
        Stale = 2,
        /// The claimant is not in the in-sync set.
        NotInSync = 3,
        /// The claimant is barred.
        Barred = 4,
        /// The master still answers.
        IncumbentHeard = 5,
        /// The sealed cluster ID does not open to the claim.
        BadSealedId = 6,
        /// Too soon after the last switch.
        HoldDown = 7,
        /// The authority is not ready: ask again.
        Starting = 8,
        /// Only the row's master may ask this.
        NotMaster = 9,
        /// The in-sync set would be empty.
        LastMember = 10,
        /// The cluster is not registered.
        Unregistered = 11,
        /// An operator has paused automatic switches.
        Paused = 12,
        /// A forced master's fence does not stand yet.
        Unfenced = 13,
    }
}

/// The authority's signed row: after every change, and as the answer to a claim, change or query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Notice {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// What became of the request; `Notice` if there was none.
    pub outcome: Outcome,
    /// The version of the whole table now.
    pub table_version: u64,
    /// The row, signed by the authority.
    pub row: SignedRow,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Notice {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "notice.request")?,
            outcome: codec::get(input, "notice.outcome")?,
            table_version: codec::get(input, "notice.table_version")?,
            row: codec::get(input, "notice.row")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.outcome.put(out);
        self.table_version.put(out);
        self.row.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::ids::{ClusterId, Epoch, NodeId, Version};
    use crate::packet::{Packet, testing};
    use crate::statement::Row;

    fn sample() -> Notice {
        Notice {
            request: 0x0102_0304_0506_071f,
            outcome: Outcome::Stale,
            table_version: 0x0102_0304_0506_0721,
            row: SignedRow {
                row: Row {
                    cluster: ClusterId(3),
                    epoch: Epoch(4),
                    version: Version(2),
                    master: NodeId(9),
                    in_sync: vec![NodeId(7), NodeId(9)],
                    barred: vec![NodeId(8)],
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
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1f][..], // request
            &[0x02],                                               // outcome
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x21],     // table_version
            &[
                0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x09, 0x00, 0x02, 0x00, 0x00, 0x00, 0x07,
                0x00, 0x00, 0x00, 0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0x08, 0x01, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x37, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
                0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,
            ], // row
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Notice(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x16, &literal(), &[]);
        assert_eq!(Notice::decode(&[]), Err(DecodeError::Truncated { field: "notice.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x16, &literal(), 8, 0xEE, DecodeError::BadValue { field: "notice.outcome" });
        testing::refused_with(0x16, &literal(), 57, 0xEE, DecodeError::BadValue { field: "row.unfenced" });
    }
}
