//! `Resync` (type 0x31): a new master makes a member's log equal to its own (REC-1, SYS-2), in parts if it is long.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             height                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             start                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             count                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |        count x height u64, epoch u64, length u32, bytes       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    assigned::LOG_PART,
    codec::{self, Field as _},
    error::DecodeError,
    ids::{Epoch, Height, LogIndex},
    packet::WireRecord,
    parts::LogPart,
    tlv::Extensions,
};

/// A new master makes a member's log equal to its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Resync {
    /// The master's epoch.
    pub epoch: Epoch,
    /// The master's chain height.
    pub height: Height,
    /// The position of the first record.
    pub start: LogIndex,
    /// The master's whole log of heights that are not committed, or one part of it ([`LogPart`]).
    pub records: Vec<WireRecord>,
    /// 0x8001, a part; and those this version does not know.
    pub extensions: Extensions,
}

impl Resync {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        let resync = Self {
            epoch: codec::get(input, "resync.epoch")?,
            height: codec::get(input, "resync.height")?,
            start: codec::get(input, "resync.start")?,
            records: codec::get_list32(input, "resync.records")?,
            extensions: Extensions::decode_knowing(input, LOG_PART)?,
        };
        LogPart::require(&resync.extensions)?;
        Ok(resync)
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.epoch.put(out);
        self.height.put(out);
        self.start.put(out);
        codec::put_list32(&self.records, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};
    use bytes::Bytes;

    fn sample() -> Resync {
        Resync {
            epoch: Epoch(0x0102_0304_0506_073a),
            height: Height(0x0102_0304_0506_073b),
            start: LogIndex(0x0102_0304_0506_073c),
            records: vec![WireRecord {
                height: Height(100),
                epoch: Epoch(4),
                bytes: Bytes::from_static(&[0xE0, 0xE1]),
            }],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3a][..], // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3b],     // height
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3c],     // start
            &[
                0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x64, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02, 0xe0, 0xe1,
            ], // records
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Resync(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x31, &literal(), &[]);
        assert_eq!(Resync::decode(&[]), Err(DecodeError::Truncated { field: "resync.epoch" }));
    }

    #[test]
    fn a_records_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[24..28].fill(0xFF);
        assert!(Resync::decode(&bytes) == Err(DecodeError::Truncated { field: "resync.records" }));
    }
}
