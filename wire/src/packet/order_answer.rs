//! `OrderAnswer` (type 0x61): what became of an order (AUTH-5, AUTH-6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    outcome    |                    number                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        number (cont.)                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |number (cont.) |                 table_version                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     table_version (cont.)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |table_version (|
//! +-+-+-+-+-+-+-+-+
//! |                        extensions ...                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// What became of an order. Where several would fit it is the first of them.
    OrderOutcome {
        /// Applied and durable.
        Done = 0,
        /// The operator's signature does not hold.
        BadSignature = 1,
        /// An order of another consortium.
        WrongConsortium = 2,
        /// Who or why is empty, or the cluster or node does not fit the kind.
        Malformed = 3,
        /// Too late.
        Expired = 4,
        /// Its number was used already, or a higher one.
        Replayed = 5,
        /// The roster has no such cluster, or no such node in it.
        Unknown = 6,
        /// The authority is not ready: ask again.
        Starting = 7,
        /// The cluster is not registered.
        Unregistered = 8,
        /// Given for another epoch than the row's, or the row moved on meanwhile.
        Stale = 9,
        /// The node is not in the in-sync set.
        NotInSync = 10,
        /// The node is barred.
        Barred = 11,
        /// The node is not barred.
        NotBarred = 12,
        /// The node is master already.
        IsMaster = 13,
        /// The node has no stream to the authority.
        Unheard = 14,
        /// Nobody could take over.
        NobodyElse = 15,
        /// An order for this cluster is being carried out.
        Busy = 16,
        /// It is so already.
        Unchanged = 17,
        /// To be forced, a node must not be in the in-sync set: switch to it.
        InSync = 18,
        /// A member of the in-sync set is there: no force is needed.
        SetAlive = 19,
        /// As many clusters are being forced at this height as the chain can bear.
        TooManyForced = 20,
        /// The master before was not fenced yet.
        Unfenced = 21,
    }
}

/// What became of an order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrderAnswer {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// What became of it.
    pub outcome: OrderOutcome,
    /// The highest order number applied so far; the next order needs a higher one.
    pub number: u64,
    /// The decision's number in the journal; 0 if nothing was changed.
    pub table_version: u64,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl OrderAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "order_answer.request")?,
            outcome: codec::get(input, "order_answer.outcome")?,
            number: codec::get(input, "order_answer.number")?,
            table_version: codec::get(input, "order_answer.table_version")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.outcome.put(out);
        self.number.put(out);
        self.table_version.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> OrderAnswer {
        OrderAnswer {
            request: 0x0102_0304_0506_0720,
            outcome: OrderOutcome::Replayed,
            number: 0x0102_0304_0506_0722,
            table_version: 0x0102_0304_0506_0723,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x20][..], // request
            &[0x05],                                               // outcome
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x22],     // number
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23],     // table_version
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::OrderAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x61, &literal(), &[]);
        assert_eq!(OrderAnswer::decode(&[]), Err(DecodeError::Truncated { field: "order_answer.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(
            0x61,
            &literal(),
            8,
            0xEE,
            DecodeError::BadValue { field: "order_answer.outcome" },
        );
    }
}
