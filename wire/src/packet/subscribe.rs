//! `Subscribe` (type 0x5A): a client asks for blocks as they are committed (SYS-1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                              from                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             count                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Answered by a BlockAnswer for each height from `from` on, in order: those that are committed at once, the others when they are. A Subscribe replaces the one before on its stream.

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::Height,
    tlv::Extensions,
};

/// A client asks for blocks as they are committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subscribe {
    /// The asker's number; the answers carry it.
    pub request: u64,
    /// The first height wanted.
    pub from: Height,
    /// How many blocks may be sent before it asks again.
    pub count: u32,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Subscribe {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "subscribe.request")?,
            from: codec::get(input, "subscribe.from")?,
            count: codec::get(input, "subscribe.count")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.from.put(out);
        self.count.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Subscribe {
        Subscribe {
            request: 0x0102_0304_0506_0776,
            from: Height(0x0102_0304_0506_0777),
            count: 0x0506_0778,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x76][..], // request
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x77],     // from
            &[0x05, 0x06, 0x07, 0x78],                             // count
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Subscribe(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x5a, &literal(), &[]);
        assert_eq!(Subscribe::decode(&[]), Err(DecodeError::Truncated { field: "subscribe.request" }));
    }
}
