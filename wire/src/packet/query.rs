//! `Query` (type 0x19): asks for rows of the table or for the history of masters (AUTH-7, OUT-4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     scope     |                    cluster                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |cluster (cont.)|                     since                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         since (cont.)                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | since (cont.) |
//! +-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! Answered by one Notice per row, and for `History` by one History per cluster; the request number is echoed in
//! the notices.

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::ClusterId,
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// What a query asks for.
    QueryScope {
        /// The rows.
        Cluster = 0,
        /// The rows changed since a table version.
        Changed = 1,
        /// Who was master in which epoch.
        History = 2,
    }
}

/// Asks for rows of the table or for the history of masters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// What is asked.
    pub scope: QueryScope,
    /// Which cluster; 0 = all.
    pub cluster: ClusterId,
    /// For `Changed`: only rows changed after this table version.
    pub since: u64,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Query {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "query.request")?,
            scope: codec::get(input, "query.scope")?,
            cluster: codec::get(input, "query.cluster")?,
            since: codec::get(input, "query.since")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.scope.put(out);
        self.cluster.put(out);
        self.since.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Query {
        Query {
            request: 0x0102_0304_0506_0722,
            scope: QueryScope::Changed,
            cluster: ClusterId(0x0506_0724),
            since: 0x0102_0304_0506_0725,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x22][..], // request
            &[0x01],                                               // scope
            &[0x05, 0x06, 0x07, 0x24],                             // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x25],     // since
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Query(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x19, &literal(), &[]);
        assert_eq!(Query::decode(&[]), Err(DecodeError::Truncated { field: "query.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x19, &literal(), 8, 0xEE, DecodeError::BadValue { field: "query.scope" });
    }
}
