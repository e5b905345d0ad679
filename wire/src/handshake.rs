//! The handshake: Noise_IK_25519_AESGCM_SHA256 (Noise revision 34), the MACs around it, and the cookie.
//!
//! The machinery is snow's with the primitives of this crate; the ephemeral key is given by the caller, so nothing
//! here draws randomness. No application data travels in message 1; the responder must change no state for good
//! before the first sealed packet has come (W-HSK-8).

use core::{fmt, net::IpAddr, net::SocketAddr};

use hmac::Mac as _;
use sha2::{Digest as _, Sha256};
use snow::{
    Builder, HandshakeState,
    params::{CipherChoice, DHChoice, HashChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Random},
};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    crypt::{self, Aead},
    header::{self, HEADER_BYTES},
    ids::NodeId,
    packet::{HandshakeInit, HandshakeResponse, Packet, PacketType},
    seal::{OpeningKey, Purpose, SealingKey},
    tlv::Extensions,
    versions::{self, Agreement, Versions},
};

const PATTERN: &str = "Noise_IK_25519_AESGCM_SHA256";
const INIT_MAC1_AT: usize = HEADER_BYTES + 8 + 108;
const INIT_MAC2_AT: usize = INIT_MAC1_AT + 16;
const RESPONSE_MAC1_AT: usize = HEADER_BYTES + 8 + 8 + 48;

/// What a session runs over: keys of one are worth nothing on the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// UDP.
    Datagram,
    /// TCP.
    Stream,
}

/// What both sides must agree on before a handshake can succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prologue {
    /// The roster's.
    pub consortium: [u8; 16],
    /// What the session runs over.
    pub transport: Transport,
}

impl Prologue {
    fn bytes(&self) -> Vec<u8> {
        let transport = match self.transport {
            Transport::Datagram => 0,
            Transport::Stream => 1,
        };
        [&b"duohuo"[..], &[versions::FIRST, header::SUITE], &self.consortium, &[transport]].concat()
    }
}

/// Why a handshake did not succeed. None of these says more to the other side than silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Not made by the holder of the key, not for this consortium and transport, or changed on the way.
    #[error("the handshake message is not authentic")]
    Forged,
    /// The answer to another initiation.
    #[error("answers another initiation")]
    WrongSession,
    /// The other's public key is not one (the shared secret would be zero).
    #[error("the remote public key is of small order")]
    BadKey,
    /// It holds, and there is no version that both sides speak.
    #[error("the other side speaks versions {0} of the wire, this side none of them")]
    NoCommonVersion(Versions),
}

impl HandshakeError {
    /// The metric label of this refusal (W-HSK-5).
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Forged | Self::BadKey => "bad_handshake",
            Self::WrongSession => "unknown_session",
            Self::NoCommonVersion(_) => "bad_version",
        }
    }
}

/// The two keys of one side, and what they speak.
#[derive(Debug)]
pub struct Keys {
    /// The version of the wire of this session.
    pub version: u8,
    /// Both ranges, as this side knows them.
    pub agreement: Agreement,
    /// For what this side sends.
    pub sealing: SealingKey,
    /// For what it receives.
    pub opening: OpeningKey,
}

/// The side that began, waiting for the answer.
pub struct Initiator {
    noise: HandshakeState,
    session: u64,
    stated: Option<Versions>,
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Initiator(session {:#x}, ..)", self.session)
    }
}

/// All that an initiator begins with: each is one input of the protocol, and none has a default.
#[derive(Clone, Copy)]
pub struct Initiation<'a> {
    /// This side's X25519 secret.
    pub local: &'a [u8; 32],
    /// The responder's X25519 key, from the roster.
    pub remote_public: &'a [u8; 32],
    /// What both sides must agree on.
    pub prologue: &'a Prologue,
    /// 32 fresh random bytes.
    pub ephemeral: [u8; 32],
    /// u64 Unix seconds and u32 nanoseconds, higher than in every initiation before.
    pub timestamp: [u8; 12],
    /// The number of this side's session.
    pub session: u64,
    /// The cookie that the responder sent for the attempt before.
    pub cookie: Option<[u8; 16]>,
    /// Under whose number the packet will be encoded.
    pub sender: NodeId,
    /// The versions that this side speaks and states (W-VER-1); `None`: version 1, as one that knows no other.
    pub versions: Option<Versions>,
}

impl Initiation<'_> {
    /// Begins: the packet is complete but for its encoding under `sender`.
    ///
    /// # Errors
    /// `BadKey` if `remote_public` is no key.
    pub fn begin(self) -> Result<(Initiator, HandshakeInit), HandshakeError> {
        let prologue = self.prologue.bytes();
        let mut state = builder(self.ephemeral)
            .local_private_key(self.local)
            .and_then(|builder| builder.remote_public_key(self.remote_public))
            .and_then(|builder| builder.prologue(&prologue))
            .and_then(Builder::build_initiator)
            .map_err(|_| HandshakeError::BadKey)?;
        let mut noise = [0; 108];
        let written = state.write_message(&self.timestamp, &mut noise);
        if written != Ok(noise.len()) {
            return Err(HandshakeError::BadKey);
        }
        let mut init = HandshakeInit {
            initiator_session: self.session,
            noise,
            mac1: [0; 16],
            mac2: [0; 16],
            extensions: Extensions::default(),
        };
        // Before the MACs: they cover the length in the header.
        if let Some(versions) = self.versions {
            versions.state(&mut init.extensions);
        }
        init.mac1 =
            mac1(self.remote_public, &Packet::from(init.clone()).encode_unsealed(self.sender), INIT_MAC1_AT);
        if let Some(cookie) = self.cookie {
            let packet = Packet::from(init.clone()).encode_unsealed(self.sender);
            init.mac2 = crypt::hmac16(&cookie, &[packet.get(..INIT_MAC2_AT).unwrap_or_default()]);
        }
        Ok((Initiator { noise: state, session: self.session, stated: self.versions }, init))
    }
}

impl Initiator {
    /// Completes with the response; gives up this attempt if it does not fit.
    ///
    /// # Errors
    /// As [`Initiator::try_finish`].
    pub fn finish(mut self, response: &HandshakeResponse) -> Result<Keys, HandshakeError> {
        self.try_finish(response)
    }

    /// Completes with the response; if it does not fit, the true one can still come: a forger ends no attempt.
    ///
    /// # Errors
    /// `WrongSession`, `Forged` or `NoCommonVersion`.
    pub fn try_finish(&mut self, response: &HandshakeResponse) -> Result<Keys, HandshakeError> {
        if response.initiator_session != self.session {
            return Err(HandshakeError::WrongSession);
        }
        let mut payload = [0; 48];
        if self.noise.read_message(&response.noise, &mut payload) != Ok(0) {
            return Err(HandshakeError::Forged);
        }
        // Who stated nothing was told nothing.
        let responder = self.stated.and_then(|_| Versions::of_response(response)).unwrap_or(Versions::FIRST);
        let agreement = Agreement { initiator: self.stated.unwrap_or(Versions::FIRST), responder };
        let version = agreement.version().ok_or(HandshakeError::NoCommonVersion(responder))?;
        let purpose = purpose(version, agreement, self.session, response.responder_session);
        let (to_responder, to_initiator) = split(&mut self.noise);
        Ok(Keys {
            version,
            agreement,
            sealing: SealingKey::new(&to_responder, purpose),
            opening: OpeningKey::new(&to_initiator, purpose),
        })
    }
}

/// An initiation that holds: what the responder learnt, and its answer.
#[derive(Debug)]
pub struct Accepted {
    /// The initiator's X25519 public key, proven; whether it is enrolled is the caller's to check.
    pub remote_public: [u8; 32],
    /// u64 Unix seconds and u32 nanoseconds; must exceed the last one accepted from this key.
    pub timestamp: [u8; 12],
    /// This side's keys.
    pub keys: Keys,
    /// To be sent, under the responder's number.
    pub response: HandshakeResponse,
}

/// An initiation that holds, not answered yet: two of a responder's key operations are done, the three of the answer are
/// not. Whom it is worth answering is the caller's to say.
pub struct Opened {
    /// The initiator's X25519 public key, proven; whether it is enrolled is the caller's to check.
    pub remote_public: [u8; 32],
    /// u64 Unix seconds and u32 nanoseconds; must exceed the last one accepted from this key.
    pub timestamp: [u8; 12],
    noise: HandshakeState,
    initiator_session: u64,
    stated: Option<Versions>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened(session {:#x}, ..)", self.initiator_session)
    }
}

/// Opens an initiation; see [`Initiation`] for what is not named here. `ephemeral` is used if it is answered.
///
/// # Errors
/// `Forged`.
pub fn open(
    local: &[u8; 32],
    prologue: &Prologue,
    init: &HandshakeInit,
    ephemeral: [u8; 32],
) -> Result<Opened, HandshakeError> {
    let prologue = prologue.bytes();
    let mut noise = builder(ephemeral)
        .local_private_key(local)
        .and_then(|builder| builder.prologue(&prologue))
        .and_then(Builder::build_responder)
        .map_err(|_| HandshakeError::BadKey)?;
    // snow wants room for the tag while it opens.
    let mut payload = [0; 108];
    if noise.read_message(&init.noise, &mut payload) != Ok(12) {
        return Err(HandshakeError::Forged);
    }
    let timestamp = *payload.first_chunk::<12>().ok_or(HandshakeError::Forged)?;
    let remote_public: [u8; 32] =
        noise.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(HandshakeError::Forged)?;
    let stated = Versions::of_init(init);
    Ok(Opened { remote_public, timestamp, noise, initiator_session: init.initiator_session, stated })
}

impl Opened {
    /// The answer of a side that speaks `versions`. `sender` is its number. What is stated to an initiator that states
    /// nothing would be nothing to it, and its proof could not repeat it (W-VER-1).
    ///
    /// # Errors
    /// `Forged`, `NoCommonVersion`.
    pub fn answer(
        mut self,
        versions: Versions,
        responder_session: u64,
        sender: NodeId,
    ) -> Result<Accepted, HandshakeError> {
        let initiator = self.stated.unwrap_or(Versions::FIRST);
        let version = initiator.common(versions).ok_or(HandshakeError::NoCommonVersion(initiator))?;
        let responder = if self.stated.is_some() { versions } else { Versions::FIRST };
        let agreement = Agreement { initiator, responder };
        let mut noise = [0; 48];
        let written = self.noise.write_message(&[], &mut noise);
        if written != Ok(noise.len()) {
            return Err(HandshakeError::Forged);
        }
        let mut response = HandshakeResponse {
            initiator_session: self.initiator_session,
            responder_session,
            noise,
            mac1: [0; 16],
            extensions: Extensions::default(),
        };
        if self.stated.is_some() {
            versions.state(&mut response.extensions);
        }
        let packet = Packet::from(response.clone()).encode_unsealed(sender);
        response.mac1 = mac1(&self.remote_public, &packet, RESPONSE_MAC1_AT);
        let purpose = purpose(version, agreement, self.initiator_session, responder_session);
        let (to_responder, to_initiator) = split(&mut self.noise);
        let keys = Keys {
            version,
            agreement,
            sealing: SealingKey::new(&to_initiator, purpose),
            opening: OpeningKey::new(&to_responder, purpose),
        };
        Ok(Accepted { remote_public: self.remote_public, timestamp: self.timestamp, keys, response })
    }
}

/// Opens and answers an initiation, whoever sent it, in version 1.
///
/// # Errors
/// `Forged`.
pub fn respond(
    local: &[u8; 32],
    prologue: &Prologue,
    init: &HandshakeInit,
    ephemeral: [u8; 32],
    responder_session: u64,
    sender: NodeId,
) -> Result<Accepted, HandshakeError> {
    open(local, prologue, init, ephemeral)?.answer(Versions::FIRST, responder_session, sender)
}

/// Whether an initiation or a response was made by someone who knows this side's public key: an HMAC, checked before
/// anything costly. `packet` is the whole packet as received.
#[must_use]
pub fn check_mac1(own_public: &[u8; 32], packet: &[u8]) -> bool {
    let at = match packet.get(5).copied().and_then(PacketType::from_code) {
        Some(PacketType::HandshakeInit) => INIT_MAC1_AT,
        Some(PacketType::HandshakeResponse) => RESPONSE_MAC1_AT,
        _ => return false,
    };
    check_mac(&mac1_key(own_public), packet, at)
}

/// Whether an initiation carries the cookie its sender was given at its address.
#[must_use]
pub fn check_mac2(cookie: &[u8; 16], packet: &[u8]) -> bool {
    packet.get(5) == Some(&PacketType::HandshakeInit.code()) && check_mac(cookie, packet, INIT_MAC2_AT)
}

/// The cookie for an initiation from an address; `secret` changes every two minutes.
#[must_use]
pub fn cookie(secret: &[u8; 32], from: &SocketAddr, init: &HandshakeInit) -> [u8; 16] {
    let ephemeral = init.noise.first_chunk::<32>().map_or(&[][..], <[u8; 32]>::as_slice);
    let port = from.port().to_be_bytes();
    match from.ip() {
        IpAddr::V4(ip) => crypt::hmac16(secret, &[&ip.octets(), &port, ephemeral]),
        IpAddr::V6(ip) => crypt::hmac16(secret, &[&ip.octets(), &port, ephemeral]),
    }
}

/// The X25519 public key of a secret.
#[must_use]
pub fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    crypt::public_key(secret)
}

fn mac1_key(receiver_public: &[u8; 32]) -> [u8; 32] {
    crypt::sha256(&[b"duohuo mac1", receiver_public])
}

fn mac1(receiver_public: &[u8; 32], packet: &[u8], at: usize) -> [u8; 16] {
    crypt::hmac16(&mac1_key(receiver_public), &[packet.get(..at).unwrap_or_default()])
}

fn check_mac(key: &[u8], packet: &[u8], at: usize) -> bool {
    let Some((covered, rest)) = packet.split_at_checked(at) else {
        return false;
    };
    let Some(mac) = rest.first_chunk::<16>() else {
        return false;
    };
    crypt::hmac(key, &[covered]).verify_truncated_left(mac).is_ok()
}

fn purpose(version: u8, agreement: Agreement, initiator_session: u64, responder_session: u64) -> Purpose {
    match version {
        versions::FIRST => Purpose::First,
        _ => Purpose::Bound { version, initiator_session, responder_session, agreement },
    }
}

/// The raw Noise cipher keys: initiator to responder, then back.
fn split(state: &mut HandshakeState) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let (first, second) = state.dangerously_get_raw_split();
    (Zeroizing::new(first), Zeroizing::new(second))
}

fn builder<'a>(ephemeral: [u8; 32]) -> Builder<'a> {
    let params = PATTERN.parse().expect("the pattern's name is one of the Noise specification");
    Builder::with_resolver(params, Box::new(Primitives { ephemeral: Zeroizing::new(ephemeral) }))
}

/// The primitives of suite 1, and as the source of randomness the one ephemeral key of this handshake.
struct Primitives {
    ephemeral: Zeroizing<[u8; 32]>,
}

impl CryptoResolver for Primitives {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Given(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::new(X25519::default()) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256).then(|| Box::new(Sha(Sha256::new())) as Box<dyn Hash>)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        matches!(choice, CipherChoice::AESGCM).then(|| Box::new(Gcm(None)) as Box<dyn Cipher>)
    }
}

/// Gives the caller's 32 bytes, once.
struct Given(Option<Zeroizing<[u8; 32]>>);

impl Random for Given {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != bytes.len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(bytes.as_slice());
        Ok(())
    }
}

#[derive(Default)]
struct X25519 {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Drop for X25519 {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        if let Some(secret) = privkey.first_chunk::<32>() {
            self.secret = *secret;
            self.public = crypt::public_key(secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        rng.try_fill_bytes(&mut self.secret)?;
        self.public = crypt::ephemeral_public_key(&self.secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let public = pubkey.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let own = || self.public;
        let shared = crypt::diffie_hellman_of(&self.secret, own, public).ok_or(snow::Error::Dh)?;
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.as_slice());
        Ok(())
    }
}

struct Sha(Sha256);

impl Hash for Sha {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash: [u8; 32] = self.0.finalize_reset().into();
        for (to, from) in out.iter_mut().zip(hash) {
            *to = from;
        }
    }
}

/// Noise's AESGCM: nonce = four zero bytes, then the counter, big-endian.
struct Gcm(Option<Aead>);

impl Gcm {
    fn nonce(counter: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        for (to, from) in nonce.iter_mut().skip(4).zip(counter.to_be_bytes()) {
            *to = from;
        }
        nonce
    }
}

impl Cipher for Gcm {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(Aead::new(key));
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let aead = self.0.as_ref().expect("snow sets the key before it encrypts");
        let (body, rest) = out.split_at_mut(plaintext.len());
        body.copy_from_slice(plaintext);
        let tag = aead.seal(&Self::nonce(nonce), authtext, body);
        for (to, from) in rest.iter_mut().zip(tag) {
            *to = from;
        }
        plaintext.len() + tag.len()
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let aead = self.0.as_ref().ok_or(snow::Error::Decrypt)?;
        let (body, tag) = ciphertext.split_last_chunk::<16>().ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..body.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(body);
        if !aead.open(&Self::nonce(nonce), authtext, out, tag) {
            return Err(snow::Error::Decrypt);
        }
        Ok(body.len())
    }
}

#[cfg(test)]
mod tests;
