//! The sealed cluster ID (AUTH-3, AUTH-5): a right to speak for a cluster, sealed by the authority to itself.
//!
//! In the shape of RFC 9180's Auth mode with equal keys: the key is drawn from DH(ephemeral, S) and DH(S, S), so only
//! the holder of S makes one, and it opens only with the node's keys and the declared cluster as context.

use bytes::{Bytes, BytesMut};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::{
    codec::{self, Field as _},
    crypt::{self, Cipher},
    header::TAG_BYTES,
    ids::{ClusterId, NodeId},
};

const LABEL: &[u8] = b"duohuo sealed id 1";
const CLAIMS_BYTES: usize = 36;

/// Bytes of a sealed ID: ephemeral public key 32, claims 36, tag 16.
pub const SEALED_ID_BYTES: usize = 32 + CLAIMS_BYTES + TAG_BYTES;

/// What is inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SealedClaims {
    /// The cluster the node may speak for.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Of the cluster's registration: older ones are void.
    pub registration_epoch: u32,
    /// For revoking one.
    pub serial: u64,
    /// Unix seconds.
    pub issued: u64,
    /// Unix seconds; valid before, not at.
    pub expires: u64,
}

impl SealedClaims {
    /// Whether a time, in Unix seconds, lies in `issued..expires`.
    #[must_use]
    pub const fn is_valid_at(&self, unix_s: u64) -> bool {
        self.issued <= unix_s && unix_s < self.expires
    }
}

/// Why a sealed ID was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealedIdError {
    /// Not 84 bytes.
    #[error("not {SEALED_ID_BYTES} bytes")]
    BadLength,
    /// Not made by this authority for this node, cluster and consortium.
    #[error("does not open for this node, cluster and consortium")]
    Forged,
}

impl SealedIdError {
    /// The metric label of this refusal.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::BadLength => "sealed_id_bad_length",
            Self::Forged => "sealed_id_forged",
        }
    }
}

/// What a sealed ID is bound to: SHA-256(session key, signing key) of the node.
#[must_use]
pub fn binding(session_key: &[u8; 32], signing_key: &[u8; 32]) -> [u8; 32] {
    crypt::sha256(&[session_key, signing_key])
}

/// Seals. `secret` is the authority's sealing key (X25519), `ephemeral` 32 fresh random bytes.
#[must_use]
pub fn seal(
    secret: &[u8; 32],
    ephemeral: [u8; 32],
    claims: &SealedClaims,
    consortium: &[u8; 16],
    binding: &[u8; 32],
) -> Bytes {
    let ephemeral = Zeroizing::new(ephemeral);
    let own_public = crypt::public_key(secret);
    let ephemeral_public = crypt::public_key(&ephemeral);
    let fresh = crypt::diffie_hellman(&ephemeral, &own_public);
    let cipher = fresh
        .and_then(|fresh| cipher(secret, &own_public, &fresh, consortium, binding, claims.cluster))
        .expect("the public key of a secret is of prime order: the product is not zero");
    let mut plain = BytesMut::with_capacity(CLAIMS_BYTES);
    claims.cluster.put(&mut plain);
    claims.node.put(&mut plain);
    claims.registration_epoch.put(&mut plain);
    claims.serial.put(&mut plain);
    claims.issued.put(&mut plain);
    claims.expires.put(&mut plain);
    let tag = cipher.seal(0, &ephemeral_public, &mut plain);
    [&ephemeral_public, &plain[..], &tag].concat().into()
}

/// Opens for a declared cluster and a node's keys; the times are the caller's to check.
///
/// # Errors
/// It has not the right length, or was not made by the holder of `secret` for exactly this.
pub fn open(
    secret: &[u8; 32],
    sealed_id: &[u8],
    cluster: ClusterId,
    consortium: &[u8; 16],
    binding: &[u8; 32],
) -> Result<SealedClaims, SealedIdError> {
    let sealed: &[u8; SEALED_ID_BYTES] = sealed_id.try_into().map_err(|_| SealedIdError::BadLength)?;
    let (ephemeral_public, rest) = sealed.split_first_chunk::<32>().ok_or(SealedIdError::BadLength)?;
    let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(SealedIdError::BadLength)?;
    let own_public = crypt::public_key(secret);
    let cipher = crypt::diffie_hellman(secret, ephemeral_public)
        .and_then(|fresh| cipher(secret, &own_public, &fresh, consortium, binding, cluster))
        .ok_or(SealedIdError::Forged)?;
    let mut plain = body.to_vec();
    if !cipher.open(0, ephemeral_public, &mut plain, tag) {
        return Err(SealedIdError::Forged);
    }
    let claims = parse(&plain).map_err(|_| SealedIdError::BadLength)?;
    if claims.cluster != cluster {
        return Err(SealedIdError::Forged);
    }
    Ok(claims)
}

fn parse(plain: &[u8]) -> Result<SealedClaims, crate::error::DecodeError> {
    let mut input = plain;
    let input = &mut input;
    Ok(SealedClaims {
        cluster: codec::get(input, "claims.cluster")?,
        node: codec::get(input, "claims.node")?,
        registration_epoch: codec::get(input, "claims.registration_epoch")?,
        serial: codec::get(input, "claims.serial")?,
        issued: codec::get(input, "claims.issued")?,
        expires: codec::get(input, "claims.expires")?,
    })
}

/// PRK = HKDF-Extract(label; DH(e, S), DH(S, S)); key and iv = HKDF-Expand(PRK, consortium, binding, cluster; 44).
fn cipher(
    secret: &[u8; 32],
    own_public: &[u8; 32],
    fresh: &[u8; 32],
    consortium: &[u8; 16],
    binding: &[u8; 32],
    cluster: ClusterId,
) -> Option<Cipher> {
    let own = crypt::diffie_hellman(secret, own_public)?;
    let material = Zeroizing::new([*fresh, *own].concat());
    let hkdf = Hkdf::<Sha256>::new(Some(LABEL), &material);
    let info = [&consortium[..], binding, &cluster.0.to_be_bytes()].concat();
    Some(Cipher::expand(&hkdf, &info))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const SECRET: [u8; 32] = [1; 32];
    const CONSORTIUM: [u8; 16] = [2; 16];

    fn claims() -> SealedClaims {
        SealedClaims {
            cluster: ClusterId(3),
            node: NodeId(7),
            registration_epoch: 4,
            serial: 5,
            issued: 1_000,
            expires: 2_000,
        }
    }

    fn node_binding() -> [u8; 32] {
        binding(&[6; 32], &[7; 32])
    }

    fn sealed() -> Bytes {
        seal(&SECRET, [8; 32], &claims(), &CONSORTIUM, &node_binding())
    }

    #[test]
    fn it_opens_for_the_node_and_cluster_it_was_made_for() {
        assert_eq!(sealed().len(), 84);
        assert_eq!(open(&SECRET, &sealed(), ClusterId(3), &CONSORTIUM, &node_binding()), Ok(claims()));
    }

    #[test]
    fn another_cluster_node_consortium_or_authority_cannot_use_it() {
        let forged = Err(SealedIdError::Forged);
        assert_eq!(open(&SECRET, &sealed(), ClusterId(4), &CONSORTIUM, &node_binding()), forged);
        assert_eq!(open(&SECRET, &sealed(), ClusterId(3), &CONSORTIUM, &binding(&[6; 32], &[8; 32])), forged);
        assert_eq!(open(&SECRET, &sealed(), ClusterId(3), &CONSORTIUM, &binding(&[5; 32], &[7; 32])), forged);
        assert_eq!(open(&SECRET, &sealed(), ClusterId(3), &[3; 16], &node_binding()), forged);
        assert_eq!(open(&[9; 32], &sealed(), ClusterId(3), &CONSORTIUM, &node_binding()), forged);
    }

    #[test]
    fn who_knows_only_the_public_key_cannot_make_one() {
        // The forger does everything right, but has only its own secret for the second product.
        let forger = [9; 32];
        let authority_public = crypt::public_key(&SECRET);
        let fresh = crypt::diffie_hellman(&[8; 32], &authority_public).unwrap();
        let cipher =
            cipher(&forger, &authority_public, &fresh, &CONSORTIUM, &node_binding(), ClusterId(3)).unwrap();
        let mut body = vec![0; 36];
        body[3] = 3;
        let ephemeral_public = crypt::public_key(&[8; 32]);
        let tag = cipher.seal(0, &ephemeral_public, &mut body);
        let forged = [&ephemeral_public[..], &body, &tag].concat();
        assert_eq!(
            open(&SECRET, &forged, ClusterId(3), &CONSORTIUM, &node_binding()),
            Err(SealedIdError::Forged)
        );
    }

    #[test]
    fn any_flipped_bit_is_refused_so_no_expiry_can_be_moved() {
        for bit in (0..84 * 8).step_by(if cfg!(miri) { 101 } else { 1 }) {
            let mut bytes = sealed().to_vec();
            bytes[bit / 8] ^= 0x80 >> (bit % 8);
            if bit == 31 * 8 {
                // X25519 ignores the top bit of a public key; the additional data does not.
                assert_ne!(bytes[31] & 0x80, sealed()[31] & 0x80);
            }
            let opened = open(&SECRET, &bytes, ClusterId(3), &CONSORTIUM, &node_binding());
            assert_eq!(opened, Err(SealedIdError::Forged), "bit {bit}");
        }
    }

    #[test]
    fn a_wrong_length_or_a_key_of_small_order_is_refused() {
        let bytes = sealed();
        let open = |bytes: &[u8]| open(&SECRET, bytes, ClusterId(3), &CONSORTIUM, &node_binding());
        assert_eq!(open(&[]), Err(SealedIdError::BadLength));
        assert_eq!(open(&bytes[..83]), Err(SealedIdError::BadLength));
        assert_eq!(open(&[&bytes[..], &[0]].concat()), Err(SealedIdError::BadLength));
        assert_eq!(open(&[0; 84]), Err(SealedIdError::Forged));
    }

    #[test]
    fn it_is_valid_from_issued_until_before_expires() {
        assert!(!claims().is_valid_at(999));
        assert!(claims().is_valid_at(1_000) && claims().is_valid_at(1_999));
        assert!(!claims().is_valid_at(2_000) && !claims().is_valid_at(2_001));
    }
}
