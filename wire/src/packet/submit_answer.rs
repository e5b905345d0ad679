//! `SubmitAnswer` (type 0x51): what became of a transaction (SYS-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    verdict    |                     height                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         height (cont.)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | height (cont.)|
//! +-+-+-+-+-+-+-+-+
//! |              master: u8 0, or u8 1 and an address             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use core::net::SocketAddr;

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

crate::codec::code_enum! {
    /// What became of a transaction.
    SubmitVerdict {
        /// In a block, with effect.
        Committed = 0,
        /// In a block, without effect.
        Refused = 1,
        /// The pool is full.
        TryLater = 2,
        /// This node takes no transactions.
        NotMaster = 3,
        /// Not a transaction.
        Malformed = 4,
        /// Too late for its own limit.
        Expired = 5,
    }
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SubmitAnswer {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The verdict.
    pub verdict: SubmitVerdict,
    /// Where it was committed; 0 if it was not.
    pub height: Height,
    /// For `NotMaster`: whom to ask, if known.
    pub master: Option<SocketAddr>,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl SubmitAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "submit_answer.request")?,
            verdict: codec::get(input, "submit_answer.verdict")?,
            height: codec::get(input, "submit_answer.height")?,
            master: codec::get(input, "submit_answer.master")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.verdict.put(out);
        self.height.put(out);
        self.master.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> SubmitAnswer {
        SubmitAnswer {
            request: 0x0102_0304_0506_075a,
            verdict: SubmitVerdict::NotMaster,
            height: Height(0x0102_0304_0506_075c),
            master: Some(SocketAddr::from(([10, 0, 0, 1], 7400))),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x5a][..], // request
            &[0x03],                                               // verdict
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x5c],     // height
            &[0x01, 0x04, 0x0a, 0x00, 0x00, 0x01, 0x1c, 0xe8],     // master
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::SubmitAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x51, &literal(), &[]);
        assert_eq!(SubmitAnswer::decode(&[]), Err(DecodeError::Truncated { field: "submit_answer.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(
            0x51,
            &literal(),
            8,
            0xEE,
            DecodeError::BadValue { field: "submit_answer.verdict" },
        );
        testing::refused_with(
            0x51,
            &literal(),
            17,
            0xEE,
            DecodeError::BadValue { field: "submit_answer.master" },
        );
    }
}
