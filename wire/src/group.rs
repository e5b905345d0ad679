//! The group seal: what a node says to its whole cluster (IN-3).
//!
//! Every sender has its own key, derived from the cluster's secret, its number and a boot id it draws at each start:
//! no nonce repeats after a crash. Inside the seal the sender signs: a member cannot speak for another.

use core::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use ed25519_dalek::{SigningKey, VerifyingKey};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize as _;

use crate::{
    crypt::{self, Cipher},
    error::DecodeError,
    header::{self, CRC_BYTES, HEADER_BYTES, Header, MAX_SEQUENCE, TAG_BYTES},
    ids::{ClusterId, NodeId},
    packet::{GroupKey, Packet, PacketType},
    sign, versions,
};

const KEY_LABEL: &[u8] = b"duohuo group 1";
const SIGN_LABEL: &[u8] = b"duohuo group sign 1";
const SIGNATURE_BYTES: usize = 64;

/// What the master of a cluster handed to its members.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupSecret {
    /// Whose.
    pub cluster: ClusterId,
    /// The header's group field; 0 = the enrolment secret.
    pub generation: u32,
    /// Random.
    pub secret: [u8; 32],
}

impl Drop for GroupSecret {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupSecret({}, generation {}, ..)", self.cluster, self.generation)
    }
}

impl From<&GroupKey> for GroupSecret {
    fn from(packet: &GroupKey) -> Self {
        Self { cluster: packet.cluster, generation: packet.generation, secret: packet.secret }
    }
}

/// The key of one sender, of one start, of one generation: seals at the sender, opens at all others.
pub struct GroupSenderKey {
    cipher: Cipher,
    generation: u32,
    sender: NodeId,
    boot: u64,
}

impl fmt::Debug for GroupSenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GroupSenderKey({}, boot {:#x}, generation {}, ..)",
            self.sender, self.boot, self.generation
        )
    }
}

/// PRK = HKDF-Extract(cluster, generation; secret); key and iv = HKDF-Expand(PRK, label, sender, boot; 44).
#[must_use]
pub fn sender_key(secret: &GroupSecret, sender: NodeId, boot: u64) -> GroupSenderKey {
    let mut salt = [0; 8];
    let (cluster, generation) = salt.split_at_mut(4);
    cluster.copy_from_slice(&secret.cluster.0.to_be_bytes());
    generation.copy_from_slice(&secret.generation.to_be_bytes());
    let hkdf = Hkdf::<Sha256>::new(Some(&salt), &secret.secret);
    let info = [KEY_LABEL, &sender.0.to_be_bytes(), &boot.to_be_bytes()].concat();
    GroupSenderKey { cipher: Cipher::expand(&hkdf, &info), generation: secret.generation, sender, boot }
}

/// Why a group packet was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupOpenError {
    /// The tag does not hold, or the header names another key.
    #[error("the seal does not hold")]
    Forged,
    /// A member made it, but not the one it names: that member is to be watched.
    #[error("sealed by a member, but not signed by the sender it names")]
    BadSignature,
    /// Authentic, and not a packet the group may carry.
    #[error("sealed and signed rightly, but {0}")]
    Decode(#[from] DecodeError),
}

impl GroupOpenError {
    /// The metric label of this refusal.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::BadSignature => "bad_signature",
            Self::Decode(error) => error.label(),
        }
    }
}

impl GroupSenderKey {
    /// The whole packet as it is sent. `sender` and `boot` are those of this key.
    ///
    /// # Panics
    /// If they are not, or if `sequence` has reached 2^63.
    #[must_use]
    pub fn seal(
        &self,
        packet: &Packet,
        signing: &SigningKey,
        sender: NodeId,
        boot: u64,
        sequence: u64,
    ) -> Bytes {
        assert!((sender, boot) == (self.sender, self.boot), "a key seals for the sender it was derived for");
        let mut out = crypt::start_packet(
            versions::FIRST,
            packet.packet_type(),
            boot,
            sequence,
            sender,
            self.generation,
        );
        packet.encode(&mut out);
        header::set_length(&mut out, SIGNATURE_BYTES + TAG_BYTES + CRC_BYTES);
        let signature = sign::sign(signing, &signed_bytes(&out));
        out.put_slice(&signature);
        self.cipher.seal_packet(out, sequence)
    }

    /// For a key log: `cluster` is the one whose secret this key was derived from.
    #[cfg(feature = "key-log")]
    #[must_use]
    pub fn key_log(&self, cluster: ClusterId) -> crate::key_log::Entry {
        let Self { generation, sender, boot, .. } = *self;
        let direction = crate::key_log::Direction::Group { cluster, generation, sender, boot };
        crate::key_log::Entry::of(direction, &self.cipher)
    }

    /// Opens a packet whose header has been decoded from the same bytes: tag, then signature, then body.
    ///
    /// # Errors
    /// The first of these that does not hold. Only keepalives, probes and their answers may travel so.
    pub fn open(
        &self,
        header: &Header,
        datagram: &[u8],
        verify: &VerifyingKey,
    ) -> Result<Packet, GroupOpenError> {
        let ours = (header.group, header.sender, header.session) == (self.generation, self.sender, self.boot)
            && header.version == versions::FIRST;
        if !ours || !header.is_sealed() || header.sequence >= MAX_SEQUENCE {
            return Err(GroupOpenError::Forged);
        }
        let plain = self.cipher.open_packet(header, datagram).ok_or(GroupOpenError::Forged)?;
        let (body, signature) = plain
            .split_last_chunk::<SIGNATURE_BYTES>()
            .ok_or(GroupOpenError::Decode(DecodeError::Truncated { field: "signature" }))?;
        let mut signed = BytesMut::from(datagram.get(..HEADER_BYTES).unwrap_or_default());
        signed.put_slice(body);
        if !sign::verify(verify, &signed_bytes(&signed), signature) {
            return Err(GroupOpenError::BadSignature);
        }
        if !header.known_type().is_some_and(PacketType::travels_in_group) {
            return Err(GroupOpenError::Decode(DecodeError::BadValue { field: "type" }));
        }
        Ok(Packet::decode(header.packet_type, body)?)
    }
}

fn signed_bytes(header_and_body: &[u8]) -> Vec<u8> {
    [SIGN_LABEL, header_and_body].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::{
        ids::Epoch,
        packet::{Probe, StatusQuery},
        tlv::Extensions,
    };

    const BOOT: u64 = 0xB007;

    fn secret() -> GroupSecret {
        GroupSecret { cluster: ClusterId(3), generation: 5, secret: [9; 32] }
    }

    fn probe() -> Packet {
        Probe { nonce: 1, epoch: Epoch(2), extensions: Extensions::default() }.into()
    }

    fn signing() -> SigningKey {
        SigningKey::from_bytes(&[4; 32])
    }

    fn sealed() -> Bytes {
        sender_key(&secret(), NodeId(7), BOOT).seal(&probe(), &signing(), NodeId(7), BOOT, 0)
    }

    #[test]
    fn every_member_opens_what_a_member_sealed() {
        let sealed = sealed();
        assert_eq!(sealed.len(), 40 + 16 + 64 + 16 + 4);
        let header = Header::decode(&sealed).unwrap();
        assert_eq!((header.group, header.session, header.sender), (5, BOOT, NodeId(7)));
        let key = sender_key(&secret(), NodeId(7), BOOT);
        assert_eq!(key.open(&header, &sealed, &signing().verifying_key()), Ok(probe()));
    }

    #[test]
    fn another_sender_boot_generation_cluster_or_secret_is_another_key() {
        let sealed = sealed();
        let header = Header::decode(&sealed).unwrap();
        let verify = signing().verifying_key();
        let others = [
            sender_key(&secret(), NodeId(8), BOOT),
            sender_key(&secret(), NodeId(7), BOOT + 1),
            sender_key(&GroupSecret { generation: 6, ..secret() }, NodeId(7), BOOT),
            sender_key(&GroupSecret { cluster: ClusterId(4), ..secret() }, NodeId(7), BOOT),
            sender_key(&GroupSecret { secret: [8; 32], ..secret() }, NodeId(7), BOOT),
        ];
        for other in others {
            assert_eq!(other.open(&header, &sealed, &verify), Err(GroupOpenError::Forged));
        }
    }

    #[test]
    fn a_member_cannot_speak_for_another() {
        // Node 8 knows the secret, and so the sender key of node 7; it does not have its signing key.
        let liar = SigningKey::from_bytes(&[5; 32]);
        let sealed = sender_key(&secret(), NodeId(7), BOOT).seal(&probe(), &liar, NodeId(7), BOOT, 0);
        let header = Header::decode(&sealed).unwrap();
        let key = sender_key(&secret(), NodeId(7), BOOT);
        assert_eq!(key.open(&header, &sealed, &signing().verifying_key()), Err(GroupOpenError::BadSignature));
    }

    #[test]
    fn any_flipped_bit_is_forged_even_under_a_right_crc() {
        let sealed = sealed();
        let key = sender_key(&secret(), NodeId(7), BOOT);
        for bit in (0..(sealed.len() - CRC_BYTES) * 8).step_by(if cfg!(miri) { 101 } else { 1 }) {
            let mut bytes = BytesMut::from(&sealed[..sealed.len() - CRC_BYTES]);
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            header::put_crc(&mut bytes);
            let Ok(header) = Header::decode(&bytes) else {
                continue;
            };
            let opened = key.open(&header, &bytes, &signing().verifying_key());
            assert_eq!(opened, Err(GroupOpenError::Forged), "bit {bit}");
        }
    }

    #[test]
    fn the_group_carries_only_keepalives_and_probes() {
        let query: Packet = StatusQuery { request: 1, extensions: Extensions::default() }.into();
        let key = sender_key(&secret(), NodeId(7), BOOT);
        let sealed = key.seal(&query, &signing(), NodeId(7), BOOT, 0);
        let header = Header::decode(&sealed).unwrap();
        let expected = GroupOpenError::Decode(DecodeError::BadValue { field: "type" });
        assert_eq!(key.open(&header, &sealed, &signing().verifying_key()), Err(expected));
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", secret()), "GroupSecret(c3, generation 5, ..)");
    }
}
