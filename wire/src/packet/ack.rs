//! `Ack` (type 0x33): a member holds the log up to here, durably (REC-1, SYS-2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                              end                              |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             synced                            |
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
    ids::{Epoch, Height, LogIndex},
    tlv::Extensions,
};

/// A member holds the log up to here, durably.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ack {
    /// The epoch of the master it is sent to; never below the highest promised.
    pub epoch: Epoch,
    /// The member's log is durable up to here, exclusive.
    pub end: LogIndex,
    /// The member's chain height.
    pub height: Height,
    /// The epoch whose master's log this log is a prefix of.
    pub synced: Epoch,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Ack {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            epoch: codec::get(input, "ack.epoch")?,
            end: codec::get(input, "ack.end")?,
            height: codec::get(input, "ack.height")?,
            synced: codec::get(input, "ack.synced")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.epoch.put(out);
        self.end.put(out);
        self.height.put(out);
        self.synced.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Ack {
        Ack {
            epoch: Epoch(0x0102_0304_0506_073c),
            end: LogIndex(0x0102_0304_0506_073d),
            height: Height(0x0102_0304_0506_073e),
            synced: Epoch(0x0102_0304_0506_073f),
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3c][..], // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3d],     // end
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3e],     // height
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3f],     // synced
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Ack(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x33, &literal(), &[]);
        assert_eq!(Ack::decode(&[]), Err(DecodeError::Truncated { field: "ack.epoch" }));
    }
}
