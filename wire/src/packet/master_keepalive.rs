//! `MasterKeepalive` (type 0x17): a master refreshes the ageing timer of its row (AUTH-4, OUT-3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           challenge                           |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         table_version                         |
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
    ids::{ClusterId, Epoch, Height},
    tlv::Extensions,
};

/// A master refreshes the ageing timer of its row.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MasterKeepalive {
    /// The master's cluster.
    pub cluster: ClusterId,
    /// The epoch it acts in.
    pub epoch: Epoch,
    /// Its chain height.
    pub height: Height,
    /// Echo of the last answer's challenge: proves freshness; 0 before the first answer.
    pub challenge: u64,
    /// The newest table it knows.
    pub table_version: u64,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl MasterKeepalive {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            cluster: codec::get(input, "master_keepalive.cluster")?,
            epoch: codec::get(input, "master_keepalive.epoch")?,
            height: codec::get(input, "master_keepalive.height")?,
            challenge: codec::get(input, "master_keepalive.challenge")?,
            table_version: codec::get(input, "master_keepalive.table_version")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.epoch.put(out);
        self.height.put(out);
        self.challenge.put(out);
        self.table_version.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> MasterKeepalive {
        MasterKeepalive {
            cluster: ClusterId(0x0506_0720),
            epoch: Epoch(0x0102_0304_0506_0721),
            height: Height(0x0102_0304_0506_0722),
            challenge: 0x0102_0304_0506_0723,
            table_version: 0x0102_0304_0506_0724,
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x20][..],                     // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x21], // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x22], // height
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23], // challenge
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x24], // table_version
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::MasterKeepalive(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x17, &literal(), &[]);
        assert_eq!(
            MasterKeepalive::decode(&[]),
            Err(DecodeError::Truncated { field: "master_keepalive.cluster" })
        );
    }
}
