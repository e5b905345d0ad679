//! Sealed packets of a session: one key for each direction, and the window that refuses repeats.

use core::fmt;

use bytes::Bytes;
use hkdf::Hkdf;
use sha2::Sha256;

pub use crate::crypt::OpenError;
#[cfg(feature = "key-log")]
use crate::key_log::{Direction, Entry};
use crate::{
    crypt::{self, Cipher},
    header::{self, CRC_BYTES, Header, MAX_SEQUENCE, TAG_BYTES},
    ids::NodeId,
    packet::Packet,
    versions::{self, Agreement},
};

const LABEL_1: &[u8] = b"duohuo seal 1";
const LABEL_2: &[u8] = b"duohuo seal 2";

/// What one side of a session seals with.
pub struct SealingKey {
    cipher: Cipher,
    version: u8,
}

/// What the other side opens with.
pub struct OpeningKey {
    cipher: Cipher,
    version: u8,
}

/// What the keys of a session are derived for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    /// Version 1: key and iv = HKDF-Expand(the Noise cipher key, "duohuo seal 1", 44).
    First,
    /// Version 2 and above: with what Noise does not cover after the label, so that nothing opens if any of it was changed.
    Bound { version: u8, initiator_session: u64, responder_session: u64, agreement: Agreement },
}

impl Purpose {
    const fn version(self) -> u8 {
        match self {
            Self::First => versions::FIRST,
            Self::Bound { version, .. } => version,
        }
    }

    fn cipher(self, noise_key: &[u8; 32]) -> Cipher {
        let hkdf = Hkdf::<Sha256>::from_prk(noise_key).expect("32 bytes are one hash output");
        match self {
            Self::First => Cipher::expand(&hkdf, LABEL_1),
            Self::Bound { version: _, initiator_session, responder_session, agreement } => {
                let sessions = [initiator_session.to_be_bytes(), responder_session.to_be_bytes()].concat();
                Cipher::expand(&hkdf, &[LABEL_2, &sessions, &agreement.bytes()].concat())
            }
        }
    }
}

impl SealingKey {
    pub(crate) fn new(noise_key: &[u8; 32], purpose: Purpose) -> Self {
        Self { cipher: purpose.cipher(noise_key), version: purpose.version() }
    }

    /// The whole packet as it is sent. `session` is the id its receiver chose; a sequence is used once.
    ///
    /// # Panics
    /// If `sequence` has reached 2^63: a new handshake must come long before.
    #[must_use]
    pub fn seal(&self, packet: &Packet, sender: NodeId, session: u64, sequence: u64) -> Bytes {
        let mut out = crypt::start_packet(self.version, packet.packet_type(), session, sequence, sender, 0);
        packet.encode(&mut out);
        header::set_length(&mut out, TAG_BYTES + CRC_BYTES);
        self.cipher.seal_packet(out, sequence)
    }
}

#[cfg(feature = "key-log")]
impl SealingKey {
    /// For a key log: `receiver_session` is the id that the other side chose.
    #[must_use]
    pub fn key_log(&self, receiver_session: u64) -> Entry {
        Entry::of(Direction::Session { receiver_session }, &self.cipher)
    }
}

#[cfg(feature = "key-log")]
impl OpeningKey {
    /// For a key log: `receiver_session` is the id that this side chose.
    #[must_use]
    pub fn key_log(&self, receiver_session: u64) -> Entry {
        Entry::of(Direction::Session { receiver_session }, &self.cipher)
    }
}

impl OpeningKey {
    pub(crate) fn new(noise_key: &[u8; 32], purpose: Purpose) -> Self {
        Self { cipher: purpose.cipher(noise_key), version: purpose.version() }
    }

    /// Opens a packet whose header has been decoded from the same bytes: the tag first, then the body.
    ///
    /// # Errors
    /// `Forged` if the tag does not hold or the packet is not one of a session; then the body's first broken rule.
    pub fn open(&self, header: &Header, datagram: &[u8]) -> Result<Packet, OpenError> {
        let ours = header.group == 0 && header.version == self.version;
        if !header.is_sealed() || !ours || header.sequence >= MAX_SEQUENCE {
            return Err(OpenError::Forged);
        }
        let body = self.cipher.open_packet(header, datagram).ok_or(OpenError::Forged)?;
        Ok(Packet::decode(header.packet_type, &body)?)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(..)")
    }
}

const WINDOW_BITS: u64 = 1024;
const WORDS: usize = 16;

/// Which of the last 1024 sequences have been accepted. Check before opening, commit after: a forged packet moves
/// nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplayWindow {
    /// One more than the highest committed; 0 = none.
    next: u64,
    /// Bit `sequence mod 1024` of those in the window.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// Nothing accepted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, seen: [0; WORDS] }
    }

    /// Whether a sequence may still be accepted: below 2^63, not older than 1024 behind the newest, not seen.
    #[must_use]
    pub fn check(&self, sequence: u64) -> bool {
        if sequence >= MAX_SEQUENCE {
            return false;
        }
        if sequence >= self.next {
            return true;
        }
        // next - 1 is the newest: the window holds next - 1024 ..= next - 1.
        self.next - sequence <= WINDOW_BITS && !self.is_seen(sequence)
    }

    /// Marks a sequence as accepted. One that `check` refuses changes nothing.
    pub fn commit(&mut self, sequence: u64) {
        if !self.check(sequence) {
            return;
        }
        if sequence >= self.next {
            if sequence - self.next >= WINDOW_BITS {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.next..sequence {
                    self.set(skipped, false);
                }
            }
            self.next = sequence + 1;
        }
        self.set(sequence, true);
    }

    /// The newest sequence accepted.
    #[must_use]
    pub const fn newest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    fn is_seen(&self, sequence: u64) -> bool {
        let (word, bit) = place(sequence);
        self.seen.get(word).is_some_and(|seen| seen & bit != 0)
    }

    fn set(&mut self, sequence: u64, on: bool) {
        let (word, bit) = place(sequence);
        if let Some(seen) = self.seen.get_mut(word) {
            if on {
                *seen |= bit;
            } else {
                *seen &= !bit;
            }
        }
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let slot = sequence % WINDOW_BITS;
    (usize::try_from(slot / 64).unwrap_or(0), 1 << (slot % 64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;
    use crate::{error::DecodeError, packet::StatusQuery, tlv::Extensions, versions::Versions};

    fn sealing(byte: u8) -> SealingKey {
        SealingKey::new(&[byte; 32], Purpose::First)
    }

    fn opening(byte: u8) -> OpeningKey {
        OpeningKey::new(&[byte; 32], Purpose::First)
    }

    fn packet() -> Packet {
        StatusQuery { request: 9, extensions: Extensions::default() }.into()
    }

    #[test]
    fn a_sealed_packet_opens_to_what_was_sealed() {
        let sealed = sealing(1).seal(&packet(), NodeId(7), 0x55, 3);
        assert_eq!(sealed.len(), 40 + 8 + 16 + 4);
        let header = Header::decode(&sealed).unwrap();
        assert_eq!((header.session, header.sequence, header.sender, header.group), (0x55, 3, NodeId(7), 0));
        assert_eq!(opening(1).open(&header, &sealed), Ok(packet()));
        assert_eq!(opening(2).open(&header, &sealed), Err(OpenError::Forged));
    }

    #[test]
    fn any_flipped_bit_is_forged_even_under_a_right_crc() {
        let sealed = sealing(1).seal(&packet(), NodeId(7), 0x55, 3);
        let opening = opening(1);
        for bit in (0..(sealed.len() - CRC_BYTES) * 8).step_by(if cfg!(miri) { 101 } else { 1 }) {
            let mut bytes = bytes::BytesMut::from(&sealed[..sealed.len() - CRC_BYTES]);
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            header::put_crc(&mut bytes);
            let Ok(header) = Header::decode(&bytes) else {
                continue;
            };
            assert_eq!(opening.open(&header, &bytes), Err(OpenError::Forged), "bit {bit}");
        }
    }

    /// W-SEAL-2, W-SEAL-1: what is sealed rightly under the key, and not as a session seals, is not opened.
    #[test]
    fn a_right_tag_opens_no_packet_of_a_group_nor_an_unsealed_one_nor_one_beyond_the_last_sequence() {
        let key = sealing(1);
        let plain = key.seal(&packet(), NodeId(7), 0x55, 3);
        let valid = Header::decode(&plain).unwrap();
        let opened = |flags: u16, sequence: u64, group: u32| {
            let mut out = bytes::BytesMut::new();
            header::put(
                &mut out,
                versions::FIRST,
                packet().packet_type(),
                flags,
                0x55,
                sequence,
                NodeId(7),
                group,
            );
            packet().encode(&mut out);
            header::set_length(&mut out, TAG_BYTES + CRC_BYTES);
            let (head, body) = out.split_at_mut(header::HEADER_BYTES);
            let tag = key.cipher.seal(sequence, head, body);
            out.extend_from_slice(&tag);
            header::put_crc(&mut out);
            opening(1).open(&Header { flags, sequence, group, ..valid }, &out)
        };
        assert_eq!(opened(header::SEALED, 3, 0), Ok(packet()));
        assert_eq!(opened(header::SEALED, (1 << 63) - 1, 0), Ok(packet()));
        assert_eq!(opened(header::SEALED, 1 << 63, 0), Err(OpenError::Forged));
        assert_eq!(opened(header::SEALED, 3, 5), Err(OpenError::Forged));
        assert_eq!(opened(0, 3, 0), Err(OpenError::Forged));
    }

    #[test]
    fn a_body_that_is_sealed_rightly_and_broken_names_its_field() {
        let mut out = crypt::start_packet(1, packet().packet_type(), 1, 0, NodeId(7), 0);
        out.extend_from_slice(&[0; 7]);
        header::set_length(&mut out, TAG_BYTES + CRC_BYTES);
        let sealed = sealing(1).cipher.seal_packet(out, 0);
        let header = Header::decode(&sealed).unwrap();
        let expected = DecodeError::Truncated { field: "status_query.request" };
        assert_eq!(opening(1).open(&header, &sealed), Err(OpenError::Decode(expected)));
    }

    /// W-VER-4: each part of what the keys are bound to makes others, and so does each version.
    #[test]
    fn the_keys_of_version_2_are_those_of_one_handshake() {
        let range = |lowest, highest| Versions::new(lowest, highest).unwrap();
        let agreement = Agreement { initiator: range(1, 2), responder: range(1, 3) };
        let bound = |initiator_session, responder_session, agreement| Purpose::Bound {
            version: 2,
            initiator_session,
            responder_session,
            agreement,
        };
        let sealed = SealingKey::new(&[1; 32], bound(7, 8, agreement)).seal(&packet(), NodeId(7), 0x55, 3);
        let header = Header::decode(&sealed).unwrap();
        assert_eq!((sealed[4], header.version), (2, 2));
        let open = |purpose| OpeningKey::new(&[1; 32], purpose).open(&header, &sealed);
        assert_eq!(open(bound(7, 8, agreement)), Ok(packet()));
        for other in [
            bound(6, 8, agreement),
            bound(7, 9, agreement),
            bound(8, 7, agreement),
            bound(7, 8, Agreement { initiator: range(1, 3), ..agreement }),
            bound(7, 8, Agreement { responder: range(2, 3), ..agreement }),
            Purpose::First,
        ] {
            assert_eq!(open(other), Err(OpenError::Forged));
        }
    }

    /// W-SEAL-2: the tag would hold, and the header names another version.
    #[test]
    fn a_session_opens_its_own_version_only() {
        let mut bound = sealing(1);
        bound.version = 2;
        let sealed = bound.seal(&packet(), NodeId(7), 0x55, 3);
        let header = Header::decode(&sealed).unwrap();
        assert_eq!(opening(1).open(&header, &sealed), Err(OpenError::Forged));
        let mut same = opening(1);
        same.version = 2;
        assert_eq!(same.open(&header, &sealed), Ok(packet()));
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", sealing(1)), "SealingKey(..)");
        assert_eq!(format!("{:?}", opening(1)), "OpeningKey(..)");
    }

    #[test]
    fn the_window_reaches_1023_behind_the_newest() {
        let mut window = ReplayWindow::new();
        assert!(window.check(0) && window.check(5000));
        window.commit(5000);
        assert_eq!(window.newest(), Some(5000));
        assert!(!window.check(5000));
        assert!(window.check(5001) && window.check(4999));
        assert!(window.check(3977));
        assert!(!window.check(3976));
        assert!(!window.check(3975));
    }

    #[test]
    fn each_sequence_is_accepted_once() {
        let mut window = ReplayWindow::new();
        window.commit(0);
        window.commit(2);
        assert!(!window.check(0) && window.check(1) && !window.check(2));
        window.commit(1);
        assert!(!window.check(1));
        window.commit(1026);
        assert!(window.check(3) && !window.check(2));
        for step in [1023_u64, 1024, 1025] {
            let mut window = ReplayWindow::new();
            window.commit(10);
            window.commit(10 + step);
            assert!(window.check(10 + step - 1));
            assert!(!window.check(10));
            assert_eq!(window.check(11), step <= 1024);
        }
    }

    #[test]
    fn sequences_from_2_to_the_63_are_refused() {
        let mut window = ReplayWindow::new();
        assert!(window.check((1 << 63) - 1));
        assert!(!window.check(1 << 63) && !window.check(u64::MAX));
        window.commit(u64::MAX);
        assert_eq!(window.newest(), None);
        window.commit((1 << 63) - 1);
        assert!(!window.check((1 << 63) - 1) && window.check((1 << 63) - 2));
    }

    proptest! {
        #[test]
        fn the_window_agrees_with_a_list_of_all_it_accepted(
            sequences in proptest::collection::vec(0_u64..4000, 0..200),
        ) {
            let mut window = ReplayWindow::new();
            let mut accepted: Vec<u64> = Vec::new();
            for sequence in sequences {
                let newest = accepted.iter().max().copied();
                let fresh = newest.is_none_or(|newest| sequence + 1024 > newest) && !accepted.contains(&sequence);
                prop_assert_eq!(window.check(sequence), fresh);
                window.commit(sequence);
                if fresh {
                    accepted.push(sequence);
                }
            }
        }
    }
}
