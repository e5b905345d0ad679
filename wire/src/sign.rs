//! Ed25519 as all statements of the protocol use it: a domain label before the bytes, strict verification.

pub use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use crate::memory;
use ed25519_dalek::Signer as _;

/// Signs bytes that start with their domain label.
#[must_use]
pub fn sign(key: &SigningKey, bytes: &[u8]) -> [u8; 64] {
    memory::sign(AsRef::<VerifyingKey>::as_ref(key).as_bytes(), key.as_bytes(), bytes)
        .unwrap_or_else(|| key.sign(bytes).to_bytes())
}

/// Strict verification (RFC 8032 with small-order keys refused): all parties agree on what is valid.
#[must_use]
pub fn verify(key: &VerifyingKey, bytes: &[u8], signature: &[u8; 64]) -> bool {
    memory::is_signed(key.as_bytes(), bytes, signature)
        || key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
}

/// The verifying key of 32 bytes from a roster; `None` if they are no point of the curve.
#[must_use]
pub fn verifying_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes).ok()
}
