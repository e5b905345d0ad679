//! The one way bytes are sealed: AES-256-GCM, nonce = iv XOR sequence, the header as sent as additional data.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use bytes::{Bytes, BytesMut};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::{
    error::DecodeError,
    header::{self, CRC_BYTES, HEADER_BYTES, Header, SEALED, TAG_BYTES},
    ids::NodeId,
    memory,
    packet::PacketType,
};

/// Key and iv as they come out of a key schedule.
pub(crate) const KEY_IV_BYTES: usize = 44;

/// Seals under one key, each time with another nonce.
pub(crate) enum Aead {
    // Wiped by its own drop (feature zeroize of aes-gcm).
    Gcm(Aes256Gcm),
    /// A simulator's.
    StandIn(memory::StandIn),
}

impl Aead {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        memory::stand_in(key).map_or_else(|| Self::Gcm(Aes256Gcm::new(key.into())), Self::StandIn)
    }

    /// Seals in place; gives the tag.
    pub(crate) fn seal(&self, nonce: &[u8; 12], additional: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        match self {
            Self::Gcm(gcm) => gcm
                .encrypt_inout_detached(nonce.into(), additional, bytes.into())
                .expect("a body is far below GCM's limit of 64 GiB")
                .into(),
            Self::StandIn(stand_in) => stand_in.tag(nonce, additional, bytes),
        }
    }

    /// Opens in place; `false` if the tag does not hold.
    pub(crate) fn open(
        &self,
        nonce: &[u8; 12],
        additional: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        match self {
            Self::Gcm(gcm) => {
                gcm.decrypt_inout_detached(nonce.into(), additional, bytes.into(), tag.into()).is_ok()
            }
            Self::StandIn(stand_in) => stand_in.tag(nonce, additional, bytes) == *tag,
        }
    }
}

/// A cipher under one key and iv.
pub(crate) struct Cipher {
    aead: Aead,
    iv: [u8; 12],
    #[cfg(feature = "key-log")]
    key: Zeroizing<[u8; 32]>,
}

impl Drop for Cipher {
    fn drop(&mut self) {
        self.iv.zeroize();
    }
}

impl ZeroizeOnDrop for Cipher {}

impl Cipher {
    /// HKDF-Expand(PRK, info, 44) = key, then iv.
    pub(crate) fn expand(hkdf: &Hkdf<Sha256>, info: &[u8]) -> Self {
        let mut material = Zeroizing::new([0; KEY_IV_BYTES]);
        hkdf.expand(info, material.as_mut()).expect("44 bytes are far below HKDF's limit of 8,160");
        let mut key = Zeroizing::new([0; 32]);
        let mut iv = [0; 12];
        let (first, last) = material.split_at(32);
        key.copy_from_slice(first);
        iv.copy_from_slice(last);
        Self::new(&key, iv)
    }

    pub(crate) fn new(key: &[u8; 32], iv: [u8; 12]) -> Self {
        Self {
            aead: Aead::new(key),
            iv,
            #[cfg(feature = "key-log")]
            key: Zeroizing::new(*key),
        }
    }

    /// Key and iv, for a key log.
    #[cfg(feature = "key-log")]
    pub(crate) fn material(&self) -> ([u8; 32], [u8; 12]) {
        (*self.key, self.iv)
    }

    fn nonce(&self, sequence: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, counter) in nonce.iter_mut().skip(4).zip(sequence.to_be_bytes()) {
            *byte ^= counter;
        }
        nonce
    }

    /// Seals in place; gives the tag.
    pub(crate) fn seal(&self, sequence: u64, additional: &[u8], bytes: &mut [u8]) -> [u8; TAG_BYTES] {
        self.aead.seal(&self.nonce(sequence), additional, bytes)
    }

    /// Opens in place; `false` if the tag does not hold.
    pub(crate) fn open(
        &self,
        sequence: u64,
        additional: &[u8],
        bytes: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        self.aead.open(&self.nonce(sequence), additional, bytes, tag)
    }

    /// Seals everything after the header, completes the packet with tag and CRC. `packet`'s length field must hold
    /// the final length already: it is authenticated.
    pub(crate) fn seal_packet(&self, mut packet: BytesMut, sequence: u64) -> Bytes {
        assert!(sequence < header::MAX_SEQUENCE, "a sender stops before sequence 2^63");
        let (head, body) = packet.split_at_mut(HEADER_BYTES);
        let tag = self.seal(sequence, head, body);
        packet.extend_from_slice(&tag);
        header::put_crc(&mut packet);
        packet.freeze()
    }

    /// The opened body of a packet; `None` if the tag does not hold.
    pub(crate) fn open_packet(&self, header: &Header, datagram: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (covered, _crc) = datagram.split_last_chunk::<CRC_BYTES>()?;
        let (covered, tag) = covered.split_last_chunk::<TAG_BYTES>()?;
        let (head, body) = covered.split_at_checked(HEADER_BYTES)?;
        let mut body = Zeroizing::new(body.to_vec());
        self.open(header.sequence, head, &mut body, tag).then_some(body)
    }
}

/// A header of a sealed packet, with room for the body and what follows it.
pub(crate) fn start_packet(
    version: u8,
    packet_type: PacketType,
    session: u64,
    sequence: u64,
    sender: NodeId,
    group: u32,
) -> BytesMut {
    let mut out = BytesMut::with_capacity(512);
    header::put(&mut out, version, packet_type, SEALED, session, sequence, sender, group);
    out
}

/// HMAC-SHA256.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac =
        <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// The first 16 bytes of an HMAC.
pub(crate) fn hmac16(key: &[u8], parts: &[&[u8]]) -> [u8; 16] {
    let full: [u8; 32] = hmac(key, parts).finalize().into_bytes().into();
    let mut short = [0; 16];
    short.copy_from_slice(full.split_at(16).0);
    short
}

/// SHA-256.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// X25519; `None` if the result is all zero (the other's key is no key).
pub(crate) fn diffie_hellman(secret: &[u8; 32], public: &[u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
    diffie_hellman_of(secret, || public_key(secret), public)
}

/// The same, where the public key of the secret is at hand.
pub(crate) fn diffie_hellman_of(
    secret: &[u8; 32],
    own: impl FnOnce() -> [u8; 32],
    public: &[u8; 32],
) -> Option<Zeroizing<[u8; 32]>> {
    if let Some(shared) = memory::shared(own, public) {
        let mut point = *public;
        point[31] &= 0x7f;
        return (!SMALL_ORDER.contains(&&point)).then(|| Zeroizing::new(shared));
    }
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public));
    shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
}

/// The public keys with which every product is zero.
#[rustfmt::skip]
pub(crate) const SMALL_ORDER: [&[u8; 32]; 7] = [
    &[0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00],
    &[0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57],
    &[0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    &[0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
];

/// The X25519 public key of a secret.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    memory::public_key(secret, || PublicKey::from(&StaticSecret::from(*secret)).to_bytes())
}

/// The same of a secret that is used for one exchange.
pub(crate) fn ephemeral_public_key(secret: &[u8; 32]) -> [u8; 32] {
    memory::ephemeral_public_key(secret)
        .unwrap_or_else(|| PublicKey::from(&StaticSecret::from(*secret)).to_bytes())
}

/// Why a sealed packet was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// The tag does not hold: another key made it, or it was changed on the way.
    #[error("the seal does not hold")]
    Forged,
    /// Authentic, and not a packet.
    #[error("sealed rightly, but {0}")]
    Decode(#[from] DecodeError),
}

impl OpenError {
    /// The metric label of this refusal.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Decode(error) => error.label(),
        }
    }
}
