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

use core::ops::Range;

use bytes::{BufMut as _, BytesMut};

use crate::{
    codec::{self, Field},
    error::DecodeError,
};

/// The bit of a type that says: refuse the packet rather than ignore this.
pub const CRITICAL: u16 = 0x8000;

/// The extensions of one packet that the packet's own fields do not carry: kept as they travel, types ascending.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Extensions(Vec<u8>);

impl Extensions {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One.
    #[must_use]
    pub fn one(kind: u16, value: &[u8]) -> Self {
        let mut one = Self::new();
        one.insert(kind, value);
        one
    }

    /// One whose value is a field.
    pub(crate) fn of(kind: u16, value: &impl Field) -> Self {
        let mut one = Self::new();
        one.insert_field(kind, value);
        one
    }

    /// The same beside others.
    pub(crate) fn insert_field(&mut self, kind: u16, value: &impl Field) {
        let mut bytes = BytesMut::new();
        value.put(&mut bytes);
        self.insert(kind, &bytes);
    }

    /// The value of an extension that is one field and nothing more; `None` if it is absent, or not of that shape.
    pub(crate) fn field<T: Field>(&self, kind: u16) -> Option<T> {
        codec::whole(self.get(kind)?, "extension").ok()
    }

    /// Adds an extension, in place of one of the same type; refuses a value longer than 65,535 bytes.
    pub fn insert(&mut self, kind: u16, value: &[u8]) -> bool {
        let Ok(length) = u16::try_from(value.len()) else {
            return false;
        };
        let header = [kind.to_be_bytes(), length.to_be_bytes()];
        self.0.splice(self.place(kind), header.iter().flatten().chain(value).copied());
        true
    }

    /// The value of an extension.
    #[must_use]
    pub fn get(&self, kind: u16) -> Option<&[u8]> {
        self.iter().find_map(|(other, value)| (other == kind).then_some(value))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All extensions in ascending order of their types.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut rest = self.0.as_slice();
        core::iter::from_fn(move || take(&mut rest).ok())
    }

    /// Reads all of `input`. A critical type is refused.
    #[inline]
    pub(crate) fn decode(input: &[u8]) -> Result<Self, DecodeError> {
        // Nearly every packet ends here.
        if input.is_empty() { Ok(Self::new()) } else { Ok(Self::decode_some(input, None)?.0) }
    }

    /// The same where the packet knows the type `own`: its value comes apart from the others.
    #[inline]
    pub(crate) fn decode_with(input: &[u8], own: u16) -> Result<(Self, Option<&[u8]>), DecodeError> {
        if input.is_empty() { Ok((Self::new(), None)) } else { Self::decode_some(input, Some(own)) }
    }

    /// The same where the packet knows the critical type `known`: its value stays among the others.
    pub(crate) fn decode_knowing(input: &[u8], known: u16) -> Result<Self, DecodeError> {
        let (mut extensions, value) = Self::decode_with(input, known)?;
        if let Some(value) = value {
            extensions.insert(known, value);
        }
        Ok(extensions)
    }

    fn decode_some(input: &[u8], own: Option<u16>) -> Result<(Self, Option<&[u8]>), DecodeError> {
        let mut rest = input;
        let mut last = None;
        let (mut own_value, mut before, mut after) = (None, input, &[][..]);
        while !rest.is_empty() {
            let start = rest;
            let (kind, value) = take(&mut rest)?;
            if last.is_some_and(|last| kind <= last) {
                return Err(DecodeError::TlvOrder { kind });
            }
            last = Some(kind);
            if own == Some(kind) {
                let at = input.len().saturating_sub(start.len());
                (own_value, before, after) = (Some(value), input.get(..at).unwrap_or_default(), rest);
            } else if kind & CRITICAL != 0 {
                return Err(DecodeError::UnknownCriticalTlv(kind));
            }
        }
        Ok((Self([before, after].concat()), own_value))
    }

    #[inline]
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        if !self.is_empty() {
            out.put_slice(&self.0);
        }
    }

    /// Writes the packet's own extension of a type in its place among the others: so many bytes, which `put` appends.
    pub(crate) fn encode_with(
        &self,
        out: &mut BytesMut,
        own: u16,
        length: u16,
        put: impl FnOnce(&mut BytesMut),
    ) {
        let Range { start, end } = self.place(own);
        out.put_slice(self.0.get(..start).unwrap_or_default());
        out.put_u16(own);
        out.put_u16(length);
        put(out);
        out.put_slice(self.0.get(end..).unwrap_or_default());
    }

    /// Where an extension of a type stands, or would.
    fn place(&self, kind: u16) -> Range<usize> {
        let mut rest = self.0.as_slice();
        let mut start = 0;
        while let Ok((other, _)) = take(&mut rest) {
            let end = self.0.len().saturating_sub(rest.len());
            if other >= kind {
                return start..if other == kind { end } else { start };
            }
            start = end;
        }
        start..start
    }
}

/// Takes one extension off the front.
fn take<'a>(input: &mut &'a [u8]) -> Result<(u16, &'a [u8]), DecodeError> {
    let cut = |_| DecodeError::TlvTruncated;
    let kind = codec::get::<u16>(input, "").map_err(cut)?;
    let length = codec::get::<u16>(input, "").map_err(cut)?;
    let (rest, value) =
        codec::slice(input, usize::from(length), "").map_err(|_| DecodeError::TlvTruncated)?;
    *input = rest;
    Ok((kind, value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_extensions_are_kept_byte_for_byte() {
        let bytes = [0x00, 0x02, 0x00, 0x01, 0xAA, 0x0A, 0x0A, 0x00, 0x00];
        let extensions = Extensions::decode(&bytes).unwrap();
        assert_eq!(extensions.get(2), Some(&[0xAA][..]));
        let mut out = BytesMut::new();
        extensions.encode(&mut out);
        assert_eq!(&out[..], &bytes[..]);
    }

    #[test]
    fn each_broken_rule_has_its_refusal() {
        let cut = Extensions::decode(&[0, 2, 0]);
        assert_eq!(cut, Err(DecodeError::TlvTruncated));
        let cut = Extensions::decode(&[0, 2, 0, 2, 1]);
        assert_eq!(cut, Err(DecodeError::TlvTruncated));
        let twice = Extensions::decode(&[0, 2, 0, 0, 0, 2, 0, 0]);
        assert_eq!(twice, Err(DecodeError::TlvOrder { kind: 2 }));
        let descending = Extensions::decode(&[0, 2, 0, 0, 0, 1, 0, 0]);
        assert_eq!(descending, Err(DecodeError::TlvOrder { kind: 1 }));
        let critical = Extensions::decode(&[0x80, 1, 0, 0]);
        assert_eq!(critical, Err(DecodeError::UnknownCriticalTlv(0x8001)));
        assert_eq!(Extensions::decode_with(&[0x80, 1, 0, 0], 0x8001), Ok((Extensions::new(), Some(&[][..]))));
        assert_eq!(
            Extensions::decode_with(&[0x80, 1, 0, 0], 0x8002),
            Err(DecodeError::UnknownCriticalTlv(0x8001))
        );
    }

    #[test]
    fn a_value_beyond_65535_bytes_is_not_taken() {
        let mut extensions = Extensions::new();
        assert!(!extensions.insert(1, &[0; 65_536]));
        assert!(extensions.insert(1, &[0; 65_535]));
    }

    #[test]
    fn an_extension_stands_in_the_order_of_types_and_once() {
        let mut extensions = Extensions::new();
        for (kind, value) in [(5, &[5][..]), (1, &[]), (9, &[9, 9]), (5, &[6, 6, 6])] {
            assert!(extensions.insert(kind, value));
        }
        let all: Vec<_> = extensions.iter().collect();
        assert_eq!(all, [(1, &[][..]), (5, &[6, 6, 6]), (9, &[9, 9])]);
        assert_eq!((extensions.get(5), extensions.get(6)), (Some(&[6, 6, 6][..]), None));
    }

    #[test]
    fn a_packets_own_extension_comes_apart_and_goes_back_to_its_place() {
        let bytes = [0, 1, 0, 0, 0, 3, 0, 2, 0xAA, 0xBB, 0, 4, 0, 1, 0xCC];
        for (own, value) in [(1, &[][..]), (3, &[0xAA, 0xBB]), (4, &[0xCC])] {
            let (others, taken) = Extensions::decode_with(&bytes, own).unwrap();
            assert_eq!((taken, others.get(own)), (Some(value), None));
            assert_eq!(others.iter().count(), 2);
            let mut out = BytesMut::new();
            others
                .encode_with(&mut out, own, u16::try_from(value.len()).unwrap(), |out| out.put_slice(value));
            assert_eq!(&out[..], &bytes[..]);
        }
        assert_eq!(Extensions::decode_with(&bytes, 2).unwrap().1, None);
    }

    #[test]
    fn an_own_extension_replaces_one_of_its_type() {
        let mut extensions = Extensions::new();
        extensions.insert(1, &[1]);
        extensions.insert(2, &[2]);
        let mut out = BytesMut::new();
        extensions.encode_with(&mut out, 1, 2, |out| out.put_slice(&[7, 7]));
        assert_eq!(&out[..], &[0, 1, 0, 2, 7, 7, 0, 2, 0, 1, 2]);
    }
}
