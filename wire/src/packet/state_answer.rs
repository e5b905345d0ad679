//! `StateAnswer` (type 0x57): what the state of the application is, as one node has it (SYS-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     known     |                     height                    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         height (cont.)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | height (cont.)|                 answer length                 |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |answer length (|
//! +-+-+-+-+-+-+-+-+
//! |                     answer (length bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! It is that node's word and proves nothing: a client that must not believe one node asks several, of different clusters.

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// What the state of the application is, as one node has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StateAnswer {
    /// The asker's number for this exchange.
    pub request: u64,
    /// Whether the application understood the question.
    pub known: bool,
    /// The height that the answer holds for.
    pub height: Height,
    /// As the application writes it; for the account ledger a balance, u64.
    pub answer: Bytes,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl StateAnswer {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "state_answer.request")?,
            known: codec::get(input, "state_answer.known")?,
            height: codec::get(input, "state_answer.height")?,
            answer: codec::get_bytes32(input, "state_answer.answer")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.known.put(out);
        self.height.put(out);
        codec::put_bytes32(&self.answer, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> StateAnswer {
        StateAnswer {
            request: 0x0102_0304_0506_076d,
            known: true,
            height: Height(0x0102_0304_0506_076f),
            answer: Bytes::from_static(&[0xC3, 0xC1, 0xC2]),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x6d][..], // request
            &[0x01],                                               // known
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x6f],     // height
            &[0x00, 0x00, 0x00, 0x03, 0xc3, 0xc1, 0xc2],           // answer
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::StateAnswer(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x57, &literal(), &[]);
        assert_eq!(StateAnswer::decode(&[]), Err(DecodeError::Truncated { field: "state_answer.request" }));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[17..21].fill(0xFF);
        assert_eq!(StateAnswer::decode(&bytes), Err(DecodeError::Truncated { field: "state_answer.answer" }));
    }

    #[test]
    fn a_boolean_is_0_or_1() {
        testing::refused_with(0x57, &literal(), 8, 2, DecodeError::BadValue { field: "state_answer.known" });
    }
}
