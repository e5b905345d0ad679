//! The cryptography of spec/wire.md once more, so that broken packets can be sealed and every intermediate value shown.
//! What the crate makes is asserted to be equal wherever it makes the same thing.

use aes_gcm::{Aes256Gcm, KeyInit as _, aead::AeadInOut as _};
use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

pub(crate) const HEADER: usize = 40;

/// What seals in one direction.
#[derive(Clone, Copy)]
pub(crate) struct Seal {
    pub(crate) key: [u8; 32],
    pub(crate) iv: [u8; 12],
    /// Of the wire: what the header says.
    pub(crate) version: u8,
}

impl Seal {
    pub(crate) fn expand(hkdf: &Hkdf<Sha256>, info: &[u8]) -> Self {
        let mut bytes = [0; 44];
        hkdf.expand(info, &mut bytes).unwrap();
        Self { key: bytes[..32].try_into().unwrap(), iv: bytes[32..].try_into().unwrap(), version: 1 }
    }

    /// Of one direction of a session, from the key that Noise's Split gave.
    pub(crate) fn session(noise_key: &[u8; 32]) -> Self {
        Self::expand(&Hkdf::from_prk(noise_key).unwrap(), b"duohuo seal 1")
    }

    /// The same in version 2: the numbers of both sessions and both ranges, initiator first.
    pub(crate) fn bound(noise_key: &[u8; 32], sessions: [u64; 2], ranges: [[u8; 2]; 2]) -> Self {
        let sessions = sessions.map(u64::to_be_bytes).concat();
        let info = [&b"duohuo seal 2"[..], &sessions, &ranges.concat()].concat();
        Self { version: 2, ..Self::expand(&Hkdf::from_prk(noise_key).unwrap(), &info) }
    }

    /// Of one sender of a group.
    pub(crate) fn group(cluster: u32, generation: u32, secret: &[u8; 32], sender: u32, boot: u64) -> Self {
        let salt = [cluster.to_be_bytes(), generation.to_be_bytes()].concat();
        let info = [&b"duohuo group 1"[..], &sender.to_be_bytes(), &boot.to_be_bytes()].concat();
        Self::expand(&Hkdf::new(Some(&salt), secret), &info)
    }

    /// A whole packet of a session.
    pub(crate) fn packet(&self, kind: u8, session: u64, sequence: u64, sender: u32, body: &[u8]) -> Vec<u8> {
        let mut header = header(kind, 1, body.len() + 60, session, sequence, sender, 0);
        header[4] = self.version;
        self.finish(&header, sequence, body)
    }

    /// A whole packet of a group, signed inside.
    pub(crate) fn group_packet(&self, at: &GroupPlace, kind: u8, body: &[u8], sign: &SigningKey) -> Vec<u8> {
        let header = at.header(kind, body.len() + 64);
        let signature = sign.sign(&[b"duohuo group sign 1", &header[..], body].concat()).to_bytes();
        self.finish(&header, at.sequence, &[body, &signature].concat())
    }

    /// Header, sealed body, tag, CRC.
    pub(crate) fn finish(&self, header: &[u8], sequence: u64, plain: &[u8]) -> Vec<u8> {
        let mut nonce = self.iv;
        for (byte, counter) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= counter;
        }
        let mut packet = [header, &aead(&self.key, &nonce, header, plain)[..]].concat();
        put_crc(&mut packet);
        packet
    }
}

/// Where a packet of a group comes from.
#[derive(Clone, Copy)]
pub(crate) struct GroupPlace {
    pub(crate) generation: u32,
    pub(crate) sender: u32,
    pub(crate) boot: u64,
    pub(crate) sequence: u64,
}

impl GroupPlace {
    /// The header over a plaintext of so many bytes.
    pub(crate) fn header(&self, kind: u8, plain: usize) -> Vec<u8> {
        header(kind, 1, plain + 60, self.boot, self.sequence, self.sender, self.generation)
    }
}

/// The 40 bytes of a header.
pub(crate) fn header(
    kind: u8,
    flags: u16,
    length: usize,
    session: u64,
    sequence: u64,
    sender: u32,
    group: u32,
) -> Vec<u8> {
    let mut out = b"DUOH\x01".to_vec();
    out.push(kind);
    out.extend(flags.to_be_bytes());
    out.extend(u32::try_from(length).unwrap().to_be_bytes());
    out.extend([10, 1, 0, 0]);
    out.extend(session.to_be_bytes());
    out.extend(sequence.to_be_bytes());
    out.extend(sender.to_be_bytes());
    out.extend(group.to_be_bytes());
    out
}

/// A whole packet of the handshake.
pub(crate) fn unsealed(kind: u8, sender: u32, body: &[u8]) -> Vec<u8> {
    let mut packet = [&header(kind, 0, body.len() + 44, 0, 0, sender, 0)[..], body].concat();
    put_crc(&mut packet);
    packet
}

pub(crate) fn put_crc(packet: &mut Vec<u8>) {
    let crc = crc32fast::hash(packet);
    packet.extend(crc.to_be_bytes());
}

/// Writes the CRC of a changed packet anew.
pub(crate) fn mend_crc(packet: &mut Vec<u8>) {
    packet.truncate(packet.len() - 4);
    put_crc(packet);
}

/// Seals; the tag comes last.
pub(crate) fn aead(key: &[u8; 32], nonce: &[u8; 12], additional: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut out = plain.to_vec();
    let cipher = Aes256Gcm::new(key.into());
    let tag: [u8; 16] =
        cipher.encrypt_inout_detached(nonce.into(), additional, (&mut out[..]).into()).unwrap().into();
    out.extend(tag);
    out
}

pub(crate) fn public(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

pub(crate) fn dh(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public)).to_bytes()
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

pub(crate) fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().into()
}

pub(crate) fn mac16(key: &[u8], data: &[u8]) -> [u8; 16] {
    hmac(key, data)[..16].try_into().unwrap()
}

/// The key of mac1 towards the holder of a public key.
pub(crate) fn mac1_key(public: &[u8; 32]) -> [u8; 32] {
    sha256(&[b"duohuo mac1", public])
}

/// What Noise IK gives for fixed keys: both messages and everything derived on the way.
pub(crate) struct Noise {
    pub(crate) prologue: Vec<u8>,
    pub(crate) message_1: Vec<u8>,
    pub(crate) message_2: Vec<u8>,
    pub(crate) hash_1: [u8; 32],
    pub(crate) hash_2: [u8; 32],
    pub(crate) chaining_key: [u8; 32],
    pub(crate) k1: [u8; 32],
    pub(crate) k2: [u8; 32],
}

/// The keys of a handshake.
#[derive(Clone, Copy)]
pub(crate) struct NoiseKeys {
    pub(crate) consortium: [u8; 16],
    pub(crate) transport: u8,
    pub(crate) initiator: [u8; 32],
    pub(crate) responder: [u8; 32],
    pub(crate) initiator_ephemeral: [u8; 32],
    pub(crate) responder_ephemeral: [u8; 32],
    pub(crate) timestamp: [u8; 12],
}

struct Symmetric {
    chaining_key: [u8; 32],
    hash: [u8; 32],
    key: [u8; 32],
    counter: u64,
}

impl Symmetric {
    fn mix_hash(&mut self, data: &[u8]) {
        self.hash = sha256(&[&self.hash, data]);
    }

    fn mix_key(&mut self, material: &[u8]) {
        let (chaining_key, key) = hkdf2(&self.chaining_key, material);
        (self.chaining_key, self.key, self.counter) = (chaining_key, key, 0);
    }

    fn encrypt_and_hash(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        let sealed = aead(&self.key, &nonce, &self.hash, plain);
        self.counter += 1;
        self.mix_hash(&sealed);
        sealed
    }
}

fn hkdf2(chaining_key: &[u8; 32], material: &[u8]) -> ([u8; 32], [u8; 32]) {
    let temporary = hmac(chaining_key, material);
    let first = hmac(&temporary, &[1]);
    let second = hmac(&temporary, &[&first[..], &[2]].concat());
    (first, second)
}

/// The whole handshake.
pub(crate) fn noise(keys: &NoiseKeys) -> Noise {
    let prologue = [b"duohuo\x01\x01", &keys.consortium[..], &[keys.transport]].concat();
    let initial = sha256_name();
    let mut state = Symmetric { chaining_key: initial, hash: initial, key: [0; 32], counter: 0 };
    let (si, sr) = (public(&keys.initiator), public(&keys.responder));
    let (ei, er) = (public(&keys.initiator_ephemeral), public(&keys.responder_ephemeral));
    state.mix_hash(&prologue);
    state.mix_hash(&sr);
    state.mix_hash(&ei);
    state.mix_key(&dh(&keys.initiator_ephemeral, &sr));
    let sealed_static = state.encrypt_and_hash(&si);
    state.mix_key(&dh(&keys.initiator, &sr));
    let sealed_timestamp = state.encrypt_and_hash(&keys.timestamp);
    let hash_1 = state.hash;
    let message_1 = [&ei[..], &sealed_static, &sealed_timestamp].concat();
    state.mix_hash(&er);
    state.mix_key(&dh(&keys.responder_ephemeral, &ei));
    state.mix_key(&dh(&keys.responder_ephemeral, &si));
    let message_2 = [&er[..], &state.encrypt_and_hash(&[])].concat();
    let (k1, k2) = hkdf2(&state.chaining_key, &[]);
    let (hash_2, chaining_key) = (state.hash, state.chaining_key);
    Noise { prologue, message_1, message_2, hash_1, hash_2, chaining_key, k1, k2 }
}

/// The protocol's name is shorter than a hash: it is filled with zeros.
fn sha256_name() -> [u8; 32] {
    let mut name = [0; 32];
    name[..28].copy_from_slice(b"Noise_IK_25519_AESGCM_SHA256");
    name
}
