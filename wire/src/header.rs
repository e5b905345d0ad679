//! The header of every packet: 40 bytes, in clear, authenticated as sent.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                   magic 0x44554F48 "DUOH"                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  version = 1  |     type      |            flags            |S|
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
};

/// "DUOH".
pub const MAGIC: u32 = 0x4455_4F48;
/// The protocol's version.
pub const VERSION: u8 = 1;
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
pub const MAX_DATAGRAM: usize = 1200;
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
        if bytes.len() < MIN_BYTES {
            return Err(DecodeError::TooShort);
        }
        let length = frame_length(bytes)?;
        if usize::try_from(length) != Ok(bytes.len()) {
            return Err(DecodeError::BadLength);
        }
        if length > MAX_FRAME {
            return Err(DecodeError::TooLong);
        }
        let mut input = bytes;
        let input = &mut input;
        let _magic: u32 = codec::get(input, "magic")?;
        let _version: u8 = codec::get(input, "version")?;
        let packet_type = codec::get(input, "type")?;
        let flags = codec::get(input, "flags")?;
        let _length: u32 = codec::get(input, "length")?;
        let header_words: u8 = codec::get(input, "header_length")?;
        let suite: u8 = codec::get(input, "suite")?;
        let reserved: u16 = codec::get(input, "reserved")?;
        let header = Self {
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
        let (covered, crc) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .ok_or(DecodeError::TooShort)?;
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
        if self.known_type().is_none() {
            return Err(DecodeError::UnknownType(self.packet_type));
        }
        for (value, field) in [
            (self.session, "session"),
            (self.sequence, "sequence"),
            (self.group.into(), "group"),
        ] {
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
    if version != VERSION {
        return Err(DecodeError::BadVersion(version));
    }
    let _type: u8 = codec::get(input, "type")?;
    let _flags: u16 = codec::get(input, "flags")?;
    codec::get(input, "length")
}

/// Starts a packet; [`set_length`] must follow when the body is there.
pub(crate) fn put(
    out: &mut BytesMut,
    packet_type: PacketType,
    flags: u16,
    session: u64,
    sequence: u64,
    sender: NodeId,
    group: u32,
) {
    out.put_u32(MAGIC);
    out.put_u8(VERSION);
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
