//! The header of every packet: 40 bytes, in clear, authenticated as sent.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                   magic 0x44554F48 "DUOH"                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    version    |     type      |            flags            |S|
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            length                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! | hdr_len = 10  |   suite = 1   |         reserved = 0          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                                                               |
//! +                           session                             +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                                                               |
//! +                           sequence                            +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            sender                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             group                             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     body, tag if S, crc32                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! The CRC-32 (IEEE) is a trailer outside the seal: computable without keys, so that damage and forgery are counted
//! apart. It is no security.

use bytes::{BufMut, BytesMut};

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::NodeId,
    packet::PacketType,
    versions,
};

/// "DUOH".
pub const MAGIC: u32 = 0x4455_4F48;
/// X25519, AES-256-GCM, SHA-256, Ed25519.
pub const SUITE: u8 = 1;
/// Bytes of the header: the additional data of every seal.
pub const HEADER_BYTES: usize = 40;
/// Bytes of the seal's tag.
pub const TAG_BYTES: usize = 16;
/// Bytes of the trailer.
pub const CRC_BYTES: usize = 4;
/// The smallest packet: a header and a CRC.
pub const MIN_BYTES: usize = 44;
/// The smallest sealed packet.
pub const MIN_SEALED_BYTES: usize = 60;
/// The largest packet in a datagram: never fragmented.
pub const MAX_DATAGRAM: u32 = 1200;
/// The largest packet in a stream.
pub const MAX_FRAME: u32 = 8 << 20;
/// The largest packet in a stream before the handshake is done.
pub const MAX_HANDSHAKE_FRAME: u32 = 8 << 10;
/// Flag: the body is sealed.
pub const SEALED: u16 = 0x0001;
/// The first packet type that travels sealed; those below are the handshake's.
pub const FIRST_SEALED_TYPE: u8 = 0x10;
/// Sequences stay below: the sender stops, the receiver refuses.
pub const MAX_SEQUENCE: u64 = 1 << 63;

/// Flags that are refused when not understood: none is assigned.
const CRITICAL_FLAGS: u16 = 0xFF00;
const HEADER_WORDS: u8 = 10;

/// A header whose reception checks have passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// One that this code knows: 1 in the handshake and under the group seal, else what the session speaks.
    pub version: u8,
    /// See [`PacketType`]; may be one this code does not know.
    pub packet_type: u8,
    /// As received: bit 0 = sealed; bits 7..1 are to be ignored.
    pub flags: u16,
    /// Bytes of the whole packet, header to CRC.
    pub length: u32,
    /// Session: the id its receiver chose. Group: the sender's boot id. Handshake: 0.
    pub session: u64,
    /// The seal's counter; 0 in the handshake.
    pub sequence: u64,
    /// Who says it sent this.
    pub sender: NodeId,
    /// The generation of the group key; 0 outside the group.
    pub group: u32,
}

impl Header {
    /// The numbered reception checks W-HDR-1 to W-HDR-12 of spec/wire.md over a whole packet, CRC included.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_within(bytes, MAX_FRAME)
    }

    /// The same for a datagram: at most [`MAX_DATAGRAM`] bytes.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn decode_datagram(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::decode_within(bytes, MAX_DATAGRAM)
    }

    fn decode_within(bytes: &[u8], limit: u32) -> Result<Self, DecodeError> {
        if bytes.len() < MIN_BYTES {
            return Err(DecodeError::TooShort);
        }
        let length = frame_length(bytes)?;
        if usize::try_from(length) != Ok(bytes.len()) {
            return Err(DecodeError::BadLength);
        }
        if length > limit {
            return Err(DecodeError::TooLong);
        }
        let mut input = bytes;
        let input = &mut input;
        let _magic: u32 = codec::get(input, "magic")?;
        let version = codec::get(input, "version")?;
        let packet_type = codec::get(input, "type")?;
        let flags = codec::get(input, "flags")?;
        let _length: u32 = codec::get(input, "length")?;
        let header_words: u8 = codec::get(input, "header_length")?;
        let suite: u8 = codec::get(input, "suite")?;
        let reserved: u16 = codec::get(input, "reserved")?;
        let header = Self {
            version,
            packet_type,
            flags,
            length,
            session: codec::get(input, "session")?,
            sequence: codec::get(input, "sequence")?,
            sender: codec::get(input, "sender")?,
            group: codec::get(input, "group")?,
        };
        if header_words != HEADER_WORDS {
            return Err(DecodeError::BadHeaderLength(header_words));
        }
        let (covered, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(DecodeError::TooShort)?;
        if crc32fast::hash(covered) != u32::from_be_bytes(*crc) {
            return Err(DecodeError::BadCrc);
        }
        if flags & CRITICAL_FLAGS != 0 {
            return Err(DecodeError::UnknownFlags(flags & CRITICAL_FLAGS));
        }
        if suite != SUITE {
            return Err(DecodeError::BadSuite(suite));
        }
        if reserved != 0 {
            return Err(DecodeError::ReservedNotZero);
        }
        header.check_protection(bytes.len())?;
        Ok(header)
    }

    /// Whether the body is sealed.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.flags & SEALED != 0
    }

    /// The type, if this code knows it.
    #[must_use]
    pub fn known_type(&self) -> Option<PacketType> {
        PacketType::from_code(self.packet_type)
    }

    fn check_protection(&self, length: usize) -> Result<(), DecodeError> {
        match (self.packet_type < FIRST_SEALED_TYPE, self.is_sealed()) {
            (true, true) => return Err(DecodeError::Sealed),
            (false, false) => return Err(DecodeError::NotSealed),
            (false, true) if length < MIN_SEALED_BYTES => return Err(DecodeError::TooShort),
            (false, true) => return Ok(()),
            (true, false) => {}
        }
        if self.version != versions::FIRST {
            return Err(DecodeError::BadVersion(self.version));
        }
        if self.known_type().is_none() {
            return Err(DecodeError::UnknownType(self.packet_type));
        }
        for (value, field) in
            [(self.session, "session"), (self.sequence, "sequence"), (self.group.into(), "group")]
        {
            if value != 0 {
                return Err(DecodeError::BadValue { field });
            }
        }
        Ok(())
    }
}

/// Checks magic and version in the first 12 bytes and gives the packet's length; [`DecodeError::TooShort`] if there
/// are fewer.
pub(crate) fn frame_length(bytes: &[u8]) -> Result<u32, DecodeError> {
    let Some((start, _)) = bytes.split_first_chunk::<12>() else {
        return Err(DecodeError::TooShort);
    };
    let mut input = start.as_slice();
    let input = &mut input;
    if codec::get::<u32>(input, "magic")? != MAGIC {
        return Err(DecodeError::BadMagic);
    }
    let version = codec::get::<u8>(input, "version")?;
    if !(versions::FIRST..=versions::NEWEST).contains(&version) {
        return Err(DecodeError::BadVersion(version));
    }
    let _type: u8 = codec::get(input, "type")?;
    let _flags: u16 = codec::get(input, "flags")?;
    codec::get(input, "length")
}

/// Starts a packet; [`set_length`] must follow when the body is there.
#[allow(clippy::too_many_arguments, reason = "each is one field of the header")]
pub(crate) fn put(
    out: &mut BytesMut,
    version: u8,
    packet_type: PacketType,
    flags: u16,
    session: u64,
    sequence: u64,
    sender: NodeId,
    group: u32,
) {
    out.put_u32(MAGIC);
    out.put_u8(version);
    out.put_u8(packet_type.code());
    out.put_u16(flags);
    out.put_u32(0);
    out.put_u8(HEADER_WORDS);
    out.put_u8(SUITE);
    out.put_u16(0);
    out.put_u64(session);
    out.put_u64(sequence);
    sender.put(out);
    out.put_u32(group);
}

/// Writes the length: what is in `packet` and `more` bytes to come.
pub(crate) fn set_length(packet: &mut [u8], more: usize) {
    let length = u32::try_from(packet.len().saturating_add(more)).unwrap_or(u32::MAX);
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends the CRC.
pub(crate) fn put_crc(out: &mut BytesMut) {
    let crc = crc32fast::hash(out);
    out.put_u32(crc);
}

/// Completes a packet that is not sealed.
pub(crate) fn finish(out: &mut BytesMut) {
    set_length(out, CRC_BYTES);
    put_crc(out);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::{
        packet::{Cookie, Packet},
        tlv::Extensions,
    };

    const COOKIE: [u8; 68] = [
        0x44, 0x55, 0x4F, 0x48, 1, 3, 0, 0, 0, 0, 0, 68, 10, 1, 0, 0, // magic .. reserved
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // session, sequence
        0, 0, 0, 7, 0, 0, 0, 0, // sender, group
        0, 0, 0, 0, 0, 0, 0, 9, // initiator_session
        0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5,
        0xA5, // cookie
        0, 0, 0, 0, // CRC, set by `crc`
    ];

    fn crc(bytes: &mut [u8]) {
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_be_bytes());
    }

    fn with(changes: &[(usize, u8)]) -> Result<Header, DecodeError> {
        let mut bytes = COOKIE;
        for (at, value) in changes {
            bytes[*at] = *value;
        }
        crc(&mut bytes);
        Header::decode(&bytes)
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        let mut bytes = COOKIE;
        crc(&mut bytes);
        let expected = Header {
            version: 1,
            packet_type: 3,
            flags: 0,
            length: 68,
            session: 0,
            sequence: 0,
            sender: NodeId(7),
            group: 0,
        };
        assert_eq!(Header::decode(&bytes), Ok(expected));
        let cookie: Packet =
            Cookie { initiator_session: 9, cookie: [0xA5; 16], extensions: Extensions::default() }.into();
        assert_eq!(&cookie.encode_unsealed(NodeId(7))[..], &bytes[..]);
        assert_eq!(Packet::decode_unsealed(&bytes), Ok((expected, cookie)));
    }

    #[test]
    fn the_crc_is_the_ieee_one() {
        let mut out = BytesMut::from(&b"123456789"[..]);
        put_crc(&mut out);
        assert_eq!(&out[9..], &[0xCB, 0xF4, 0x39, 0x26]);
    }

    #[test]
    fn each_check_refuses_what_breaks_it() {
        assert_eq!(Header::decode(&[0; 43]), Err(DecodeError::TooShort));
        assert_eq!(with(&[(0, 0x45)]), Err(DecodeError::BadMagic));
        assert_eq!(with(&[(4, 0)]), Err(DecodeError::BadVersion(0)));
        assert_eq!(with(&[(4, 2)]), Err(DecodeError::BadVersion(2)), "the handshake is version 1");
        assert_eq!(with(&[(4, 3)]), Err(DecodeError::BadVersion(3)));
        assert_eq!(with(&[(11, 67)]), Err(DecodeError::BadLength));
        assert_eq!(with(&[(11, 69)]), Err(DecodeError::BadLength));
        assert_eq!(with(&[(12, 11)]), Err(DecodeError::BadHeaderLength(11)));
        assert_eq!(with(&[(12, 9)]), Err(DecodeError::BadHeaderLength(9)));
        assert_eq!(with(&[(6, 0x80)]), Err(DecodeError::UnknownFlags(0x8000)));
        assert_eq!(with(&[(6, 0x01)]), Err(DecodeError::UnknownFlags(0x0100)));
        assert_eq!(with(&[(13, 2)]), Err(DecodeError::BadSuite(2)));
        assert_eq!(with(&[(14, 1)]), Err(DecodeError::ReservedNotZero));
        assert_eq!(with(&[(15, 1)]), Err(DecodeError::ReservedNotZero));
        assert_eq!(with(&[(7, 1)]), Err(DecodeError::Sealed));
        assert_eq!(with(&[(5, 0x10)]), Err(DecodeError::NotSealed));
        assert_eq!(with(&[(5, 0x04)]), Err(DecodeError::UnknownType(4)));
        assert_eq!(with(&[(23, 1)]), Err(DecodeError::BadValue { field: "session" }));
        assert_eq!(with(&[(31, 1)]), Err(DecodeError::BadValue { field: "sequence" }));
        assert_eq!(with(&[(39, 1)]), Err(DecodeError::BadValue { field: "group" }));
    }

    #[test]
    fn flags_that_may_be_ignored_are() {
        assert_eq!(with(&[(7, 0xFE)]).map(|header| header.flags), Ok(0x00FE));
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let mut good = COOKIE;
        crc(&mut good);
        for bit in 0..good.len() * 8 {
            let mut bytes = good;
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(Header::decode(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_checks_come_in_their_order() {
        // Everything is wrong at once; repaired one by one, each check speaks when those before it hold.
        let mut bytes = [0xFF_u8; 68];
        let repairs: [(&[(usize, u8)], DecodeError); 8] = [
            (&[], DecodeError::BadMagic),
            (&[(0, 0x44), (1, 0x55), (2, 0x4F), (3, 0x48)], DecodeError::BadVersion(0xFF)),
            (&[(4, 1)], DecodeError::BadLength),
            (&[(8, 0), (9, 0), (10, 0), (11, 68)], DecodeError::BadHeaderLength(0xFF)),
            (&[(12, 10)], DecodeError::BadCrc),
            (&[(67, 0)], DecodeError::UnknownFlags(0xFF00)),
            (&[(6, 0)], DecodeError::BadSuite(0xFF)),
            (&[(13, 1)], DecodeError::ReservedNotZero),
        ];
        for (changes, expected) in repairs {
            for (at, value) in changes {
                bytes[*at] = *value;
            }
            if !matches!(expected, DecodeError::BadCrc) && bytes[12] == 10 {
                crc(&mut bytes);
            }
            assert_eq!(Header::decode(&bytes), Err(expected));
        }
        bytes[14..16].fill(0);
        bytes[5] = 0x10;
        crc(&mut bytes);
        assert_eq!(Header::decode(&bytes).map(|header| header.is_sealed()), Ok(true));
    }

    #[test]
    fn a_sealed_packet_has_at_least_sixty_bytes() {
        for (length, expected) in [(59, false), (60, true), (61, true)] {
            let mut bytes = vec![0; usize::from(length)];
            bytes[..40].copy_from_slice(&COOKIE[..40]);
            bytes[5] = 0x52;
            bytes[7] = 1;
            bytes[11] = length;
            crc(&mut bytes);
            assert_eq!(Header::decode(&bytes).is_ok(), expected, "{length}");
        }
    }

    #[test]
    fn a_sealed_packet_of_an_unknown_type_passes_to_be_answered_when_it_opens() {
        let mut bytes = vec![0; 60];
        bytes[..40].copy_from_slice(&COOKIE[..40]);
        bytes[5] = 0xEE;
        bytes[7] = 1;
        bytes[11] = 60;
        crc(&mut bytes);
        assert_eq!(Header::decode(&bytes).unwrap().known_type(), None);
    }

    #[test]
    fn a_packet_beyond_eight_mebibytes_is_too_long() {
        for (length, expected) in [(8 << 20, true), ((8 << 20) + 1, false)] {
            let mut bytes = vec![0; length];
            bytes[..40].copy_from_slice(&COOKIE[..40]);
            bytes[5] = 0x52;
            bytes[7] = 1;
            set_length(&mut bytes, 0);
            crc(&mut bytes);
            assert_eq!(Header::decode(&bytes) != Err(DecodeError::TooLong), expected);
        }
    }
}
