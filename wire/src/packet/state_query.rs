//! `StateQuery` (type 0x56): a client asks about the state of the application (SYS-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        question length                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    question (length bytes)                    |
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

/// A client asks about the state of the application.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StateQuery {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// As the application reads it; for the account ledger an account, u32.
    pub question: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl StateQuery {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "state_query.request")?,
            question: codec::get_bytes32(input, "state_query.question")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        codec::put_bytes32(&self.question, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> StateQuery {
        StateQuery {
            request: 0x0102_0304_0506_076b,
            question: Bytes::from_static(&[0xC1, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x6b][..], // request
            &[0x00, 0x00, 0x00, 0x03, 0xc1, 0xc1, 0xc2],           // question
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::StateQuery(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x56, &literal(), &[]);
        assert_eq!(StateQuery::decode(&[]), Err(DecodeError::Truncated { field: "state_query.request" }));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[8..12].fill(0xFF);
        assert_eq!(StateQuery::decode(&bytes), Err(DecodeError::Truncated { field: "state_query.question" }));
    }
}
