//! `Append` (type 0x32): the master appends to a member's log, before it speaks (REC-1, SYS-2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             epoch                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             start                             |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            released                           |
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
    codec::{self, Field as _},
    error::DecodeError,
    ids::{Epoch, LogIndex},
    packet::WireRecord,
    tlv::Extensions,
};

/// The master appends to a member's log, before it speaks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Append {
    /// The master's epoch.
    pub epoch: Epoch,
    /// The position of the first record.
    pub start: LogIndex,
    /// Everything before this position is held by all in-sync members.
    pub released: LogIndex,
    /// The records; none = only `released` is news.
    pub records: Vec<WireRecord>,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Append {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            epoch: codec::get(input, "append.epoch")?,
            start: codec::get(input, "append.start")?,
            released: codec::get(input, "append.released")?,
            records: codec::get_list32(input, "append.records")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.epoch.put(out);
        self.start.put(out);
        self.released.put(out);
        codec::put_list32(&self.records, out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::ids::Height;
    use crate::packet::{Packet, testing};
    use bytes::Bytes;

    fn sample() -> Append {
        Append {
            epoch: Epoch(0x0102_0304_0506_073b),
            start: LogIndex(0x0102_0304_0506_073c),
            released: LogIndex(0x0102_0304_0506_073d),
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
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3b][..], // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3c],     // start
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x3d],     // released
            &[
                0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x64, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x02, 0xe0, 0xe1,
            ], // records
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Append(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x32, &literal(), &[]);
        assert_eq!(Append::decode(&[]), Err(DecodeError::Truncated { field: "append.epoch" }));
    }

    #[test]
    fn a_records_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[24..28].fill(0xFF);
        assert!(Append::decode(&bytes) == Err(DecodeError::Truncated { field: "append.records" }));
    }
}
