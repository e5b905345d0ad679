//! `Fenced` (type 0x66): a forced master tells the authority that its fence stands (SYS-3, AUTH-2).
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
//! |                            height                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        extensions ...                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, Version},
    tlv::Extensions,
};

/// A forced master tells the authority that its fence stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fenced {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The master's cluster.
    pub cluster: ClusterId,
    /// The epoch of the row the change builds on.
    pub epoch: Epoch,
    /// The version of that row.
    pub version: Version,
    /// The closed height: it signs nothing at this height or below.
    pub height: Height,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Fenced {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "fenced.request")?,
            cluster: codec::get(input, "fenced.cluster")?,
            epoch: codec::get(input, "fenced.epoch")?,
            version: codec::get(input, "fenced.version")?,
            height: codec::get(input, "fenced.height")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.cluster.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.height.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Fenced {
        Fenced {
            request: 0x0102_0304_0506_0720,
            cluster: ClusterId(0x0506_0721),
            epoch: Epoch(0x0102_0304_0506_0722),
            version: Version(0x0102_0304_0506_0723),
            height: Height(0x0102_0304_0506_0724),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x20][..], // request
            &[0x05, 0x06, 0x07, 0x21],                             // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x22],     // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23],     // version
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x24],     // height
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Fenced(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x66, &literal(), &[]);
        assert_eq!(Fenced::decode(&[]), Err(DecodeError::Truncated { field: "fenced.request" }));
    }
}
