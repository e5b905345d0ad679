//! What can be wrong with bytes. Every refusal names the rule, and where there is one, the field.

use nom::error::{ErrorKind, ParseError};

/// Bytes that are not a packet of this protocol. The reception checks of spec/wire.md, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// W-HDR-1: fewer bytes than the smallest packet.
    #[error("shorter than the smallest packet")]
    TooShort,
    /// W-HDR-2
    #[error("the magic is not 0x44554F48")]
    BadMagic,
    /// W-HDR-3: a protocol version this code does not speak.
    #[error("protocol version {0}, expected 1")]
    BadVersion(u8),
    /// W-HDR-4: `length` is not the number of bytes that came.
    #[error("the length field is not the number of bytes")]
    BadLength,
    /// W-HDR-5: longer than the limit of this transport.
    #[error("longer than the limit")]
    TooLong,
    /// W-HDR-6
    #[error("header length {0} words, expected 10")]
    BadHeaderLength(u8),
    /// W-HDR-7: damaged on the way.
    #[error("the CRC does not match")]
    BadCrc,
    /// W-HDR-8: flags that must be understood and are not.
    #[error("unknown critical flags {0:#06x}")]
    UnknownFlags(u16),
    /// W-HDR-9
    #[error("cipher suite {0}, expected 1")]
    BadSuite(u8),
    /// W-HDR-10
    #[error("the reserved field is not zero")]
    ReservedNotZero,
    /// W-HDR-11: a packet of this type must be sealed and is not.
    #[error("must be sealed and is not")]
    NotSealed,
    /// W-HDR-11: a handshake packet must not be sealed and is.
    #[error("must not be sealed and is")]
    Sealed,
    /// No packet of version 1 has this type.
    #[error("unknown packet type {0:#04x}")]
    UnknownType(u8),
    /// The bytes end inside a field, or a count promises more than there is.
    #[error("the bytes end inside {field}")]
    Truncated {
        /// The field that is cut.
        field: &'static str,
    },
    /// Bytes after the last field.
    #[error("bytes after the last field")]
    TrailingBytes,
    /// A value outside the field's range.
    #[error("{field} has a value outside its range")]
    BadValue {
        /// The field.
        field: &'static str,
    },
    /// The same meaning has another, canonical encoding: not ascending, or an empty optional part.
    #[error("{field} is not in its canonical form")]
    NotCanonical {
        /// The field.
        field: &'static str,
    },
    /// Extension types must ascend strictly.
    #[error("extension {kind:#06x} is not after the one before it")]
    TlvOrder {
        /// The extension's type.
        kind: u16,
    },
    /// An extension is longer than what is left of the packet, or its header is cut.
    #[error("an extension is cut")]
    TlvTruncated,
    /// An extension this code does not know and must.
    #[error("unknown critical extension {0:#06x}")]
    UnknownCriticalTlv(u16),
}

impl DecodeError {
    /// The metric label of this refusal.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::BadMagic => "bad_magic",
            Self::BadVersion(_) => "bad_version",
            Self::BadLength => "bad_length",
            Self::TooLong => "too_long",
            Self::BadHeaderLength(_) => "bad_header_length",
            Self::BadCrc => "bad_crc",
            Self::UnknownFlags(_) => "unknown_flags",
            Self::BadSuite(_) => "bad_suite",
            Self::ReservedNotZero => "reserved_not_zero",
            Self::NotSealed => "not_sealed",
            Self::Sealed => "sealed",
            Self::UnknownType(_) => "unknown_type",
            Self::Truncated { .. } => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::BadValue { .. } => "bad_value",
            Self::NotCanonical { .. } => "not_canonical",
            Self::TlvOrder { .. } => "tlv_order",
            Self::TlvTruncated => "tlv_truncated",
            Self::UnknownCriticalTlv(_) => "unknown_critical_tlv",
        }
    }
}

/// For nom's own combinators; every parser of this crate names its field instead.
impl<I> ParseError<I> for DecodeError {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::Truncated { field: "packet" }
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl From<nom::Err<Self>> for DecodeError {
    fn from(error: nom::Err<Self>) -> Self {
        match error {
            nom::Err::Error(inner) | nom::Err::Failure(inner) => inner,
            nom::Err::Incomplete(_) => Self::Truncated { field: "packet" },
        }
    }
}

impl From<DecodeError> for nom::Err<DecodeError> {
    fn from(error: DecodeError) -> Self {
        Self::Error(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_which_field_and_has_a_label() {
        let error = DecodeError::Truncated { field: "update.epoch" };
        assert_eq!(error.to_string(), "the bytes end inside update.epoch");
        assert_eq!(error.label(), "truncated");
        assert_eq!(DecodeError::BadVersion(2).to_string(), "protocol version 2, expected 1");
    }
}
