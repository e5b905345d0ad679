//! `Join` (type 0x10): a node asks to be verified as a member of its cluster (AUTH-1, OUT-6).
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
//! |                         roster_version                        |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::ClusterId,
    tlv::Extensions,
};

/// A node asks to be verified as a member of its cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Join {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The cluster the node says it belongs to.
    pub cluster: ClusterId,
    /// The roster the node holds.
    pub roster_version: u64,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Join {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "join.request")?,
            cluster: codec::get(input, "join.cluster")?,
            roster_version: codec::get(input, "join.roster_version")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.cluster.put(out);
        self.roster_version.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Join {
        Join {
            request: 0x0102_0304_0506_0719,
            cluster: ClusterId(0x0506_071a),
            roster_version: 0x0102_0304_0506_071b,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x19][..], // request
            &[0x05, 0x06, 0x07, 0x1a],                             // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x1b],     // roster_version
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Join(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x10, &literal(), &[]);
        assert_eq!(Join::decode(&[]), Err(DecodeError::Truncated { field: "join.request" }));
    }
}
