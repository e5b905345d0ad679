//! A log that does not fit into one packet (B-LOG-12): extensions of Resync and Ack (spec/wire.md 7.23, 7.25).

use crate::assigned::{LOG_PART, PARTS_HELD};
use crate::error::DecodeError;
use crate::ids::LogIndex;
use crate::tlv::Extensions;

/// The records of a Resync are one part of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPart {
    /// The position of the log's first record, not of this part's.
    pub first: LogIndex,
    /// Whether another part follows.
    pub is_followed: bool,
}

/// A member asks for the next part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartsHeld {
    /// Where the log begins that it is being given.
    pub first: LogIndex,
    /// It holds the parts up to here, exclusive, in memory.
    pub next: LogIndex,
}

impl LogPart {
    /// What a Resync is a part of; `None`: it is the whole log.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (first, is_followed) = extensions.field(LOG_PART)?;
        Some(Self { first, is_followed })
    }

    /// The extensions of a Resync that is this part.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        Extensions::of(LOG_PART, &(self.first, self.is_followed))
    }

    /// What must be understood must hold.
    pub(crate) fn require(extensions: &Extensions) -> Result<(), DecodeError> {
        let is_broken = extensions.get(LOG_PART).is_some() && Self::of(extensions).is_none();
        if is_broken { Err(DecodeError::BadValue { field: "resync.part" }) } else { Ok(()) }
    }
}

impl PartsHeld {
    /// What an Ack says. A value of another length is as if the extension were absent: the log is given from its first
    /// record, which is always safe.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (first, next) = extensions.field(PARTS_HELD)?;
        Some(Self { first, next })
    }

    /// The extensions of an Ack that says it.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        Extensions::of(PARTS_HELD, &(self.first, self.next))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::Resync;
    use bytes::BytesMut;

    const FIRST: LogIndex = LogIndex(0x0102_0304_0506_0708);

    #[test]
    fn a_part_is_these_bytes_both_ways() {
        for (is_followed, last) in [(false, 0), (true, 1)] {
            let part = LogPart { first: FIRST, is_followed };
            let extensions = part.extensions();
            assert_eq!(extensions.get(0x8001), Some(&[1, 2, 3, 4, 5, 6, 7, 8, last][..]));
            assert_eq!(LogPart::of(&extensions), Some(part));
        }
    }

    #[test]
    fn what_is_held_is_these_bytes_both_ways() {
        let held = PartsHeld { first: FIRST, next: LogIndex(0x0A0B) };
        let extensions = held.extensions();
        let literal = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0x0A, 0x0B];
        assert_eq!(extensions.get(0x0002), Some(&literal[..]));
        assert_eq!(PartsHeld::of(&extensions), Some(held));
        for length in [0, 8, 15, 17] {
            let mut other = Extensions::new();
            other.insert(0x0002, &vec![0; length]);
            assert_eq!(PartsHeld::of(&other), None, "{length}");
        }
    }

    /// It is critical, so a value that means nothing is no packet; and it stays where it stood among the others.
    #[test]
    fn a_resync_knows_its_part_and_refuses_one_that_is_none() {
        let body = |value: &[u8]| {
            let mut body = vec![0; 28];
            body.extend([0x0A, 0x0A, 0, 1, 0x77, 0x80, 0x01, 0]);
            body.push(u8::try_from(value.len()).unwrap());
            body.extend_from_slice(value);
            body
        };
        let whole = body(&[0, 0, 0, 0, 0, 0, 0, 9, 1]);
        let resync = Resync::decode(&whole).unwrap();
        assert_eq!(LogPart::of(&resync.extensions), Some(LogPart { first: LogIndex(9), is_followed: true }));
        let mut out = BytesMut::new();
        resync.encode(&mut out);
        assert_eq!(out, whole);
        let broken = Err(DecodeError::BadValue { field: "resync.part" });
        for value in [&[][..], &[0; 8], &[0; 10], &[0, 0, 0, 0, 0, 0, 0, 9, 2]] {
            assert_eq!(Resync::decode(&body(value)), broken, "{value:?}");
        }
    }
}
