//! Extensions: the TLVs after the fixed part of every body.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |C|            type             |            length             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      value (length bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! C = critical: who does not know the type must refuse the packet. Types ascend strictly, so that a packet has
//! one encoding; unknown extensions that are not critical are kept, so that relaying changes no byte.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use crate::{codec, error::DecodeError};

/// The bit of a type that says: refuse the packet rather than ignore this.
pub const CRITICAL: u16 = 0x8000;

/// The extensions of one packet that the packet's own fields do not carry, by type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extensions(BTreeMap<u16, Bytes>);

impl Extensions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds an extension; refuses a value longer than 65,535 bytes.
    pub fn insert(&mut self, kind: u16, value: Bytes) -> bool {
        if u16::try_from(value.len()).is_err() {
            return false;
        }
        self.0.insert(kind, value);
        true
    }

    /// The value of an extension.
    #[must_use]
    pub fn get(&self, kind: u16) -> Option<&Bytes> {
        self.0.get(&kind)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All extensions in ascending order of their types.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Bytes)> {
        self.0.iter().map(|(kind, value)| (*kind, value))
    }

    pub(crate) fn remove(&mut self, kind: u16) -> Option<Bytes> {
        self.0.remove(&kind)
    }

    /// Reads all of `input`. A critical type that is not in `known` is refused.
    #[inline]
    pub(crate) fn decode(input: &[u8], known: &[u16]) -> Result<Self, DecodeError> {
        // Nearly every packet ends here.
        if input.is_empty() { Ok(Self::new()) } else { Self::decode_some(input, known) }
    }

    fn decode_some(mut input: &[u8], known: &[u16]) -> Result<Self, DecodeError> {
        let mut extensions = BTreeMap::new();
        let mut last = None;
        while !input.is_empty() {
            let kind = codec::get::<u16>(&mut input, "").map_err(|_| DecodeError::TlvTruncated)?;
            let value = codec::get_bytes16(&mut input, "").map_err(|_| DecodeError::TlvTruncated)?;
            if last.is_some_and(|last| kind <= last) {
                return Err(DecodeError::TlvOrder { kind });
            }
            if kind & CRITICAL != 0 && !known.contains(&kind) {
                return Err(DecodeError::UnknownCriticalTlv(kind));
            }
            last = Some(kind);
            extensions.insert(kind, value);
        }
        Ok(Self(extensions))
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        for (kind, value) in self.iter() {
            codec::Field::put(&kind, out);
            codec::put_bytes16(value, out);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_extensions_are_kept_byte_for_byte() {
        let bytes = [0x00, 0x02, 0x00, 0x01, 0xAA, 0x0A, 0x0A, 0x00, 0x00];
        let extensions = Extensions::decode(&bytes, &[]).unwrap();
        assert_eq!(extensions.get(2), Some(&Bytes::from_static(&[0xAA])));
        let mut out = BytesMut::new();
        extensions.encode(&mut out);
        assert_eq!(&out[..], &bytes[..]);
    }

    #[test]
    fn each_broken_rule_has_its_refusal() {
        let cut = Extensions::decode(&[0, 2, 0], &[]);
        assert_eq!(cut, Err(DecodeError::TlvTruncated));
        let cut = Extensions::decode(&[0, 2, 0, 2, 1], &[]);
        assert_eq!(cut, Err(DecodeError::TlvTruncated));
        let twice = Extensions::decode(&[0, 2, 0, 0, 0, 2, 0, 0], &[]);
        assert_eq!(twice, Err(DecodeError::TlvOrder { kind: 2 }));
        let descending = Extensions::decode(&[0, 2, 0, 0, 0, 1, 0, 0], &[]);
        assert_eq!(descending, Err(DecodeError::TlvOrder { kind: 1 }));
        let critical = Extensions::decode(&[0x80, 1, 0, 0], &[]);
        assert_eq!(critical, Err(DecodeError::UnknownCriticalTlv(0x8001)));
        assert!(Extensions::decode(&[0x80, 1, 0, 0], &[0x8001]).is_ok());
    }

    #[test]
    fn a_value_beyond_65535_bytes_is_not_taken() {
        let mut extensions = Extensions::new();
        assert!(!extensions.insert(1, Bytes::from(vec![0; 65_536])));
        assert!(extensions.insert(1, Bytes::from(vec![0; 65_535])));
    }
}
