//! Ed25519 as all statements of the protocol use it: a domain label before the bytes, strict verification.

pub use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use crate::memory;
use ed25519_dalek::Signer as _;

/// Signs bytes that start with their domain label.
#[must_use]
pub fn sign(key: &SigningKey, bytes: &[u8]) -> [u8; 64] {
    let signature = key.sign(bytes).to_bytes();
    memory::keep_signature(key.verifying_key().as_bytes(), bytes, &signature);
    signature
}

/// Strict verification (RFC 8032 with small-order keys refused): all parties agree on what is valid.
#[must_use]
pub fn verify(key: &VerifyingKey, bytes: &[u8], signature: &[u8; 64]) -> bool {
    if memory::knows_signature(key.as_bytes(), bytes, signature) {
        return true;
    }
    let good = key.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok();
    if good {
        memory::keep_signature(key.as_bytes(), bytes, signature);
    }
    good
}

/// The verifying key of 32 bytes from a roster; `None` if they are no point of the curve.
#[must_use]
pub fn verifying_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes).ok()
}
