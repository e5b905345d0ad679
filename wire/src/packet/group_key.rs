//! `GroupKey` (type 0x21): the master hands every member the secret of the cluster's keepalives (IN-3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           generation                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       secret (32 bytes)                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             master                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      signature (64 bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, NodeId},
    sign::{self, SigningKey, VerifyingKey},
    tlv::Extensions,
};

/// The master hands every member the secret of the cluster's keepalives.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupKey {
    /// The cluster.
    pub cluster: ClusterId,
    /// Grows with every new secret: see the header's group field; never 0.
    pub generation: u32,
    /// What all sender keys of this generation are derived from.
    pub secret: [u8; 32],
    /// Who made it.
    pub master: NodeId,
    /// By the master, over "duohuo group key 1" and the fields above.
    pub signature: [u8; 64],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for GroupKey {
    fn default() -> Self {
        Self {
            cluster: Default::default(),
            generation: Default::default(),
            secret: [0; 32],
            master: Default::default(),
            signature: [0; 64],
            extensions: Extensions::default(),
        }
    }
}

impl GroupKey {
    /// States and signs.
    #[must_use]
    pub fn sign(
        cluster: ClusterId,
        generation: u32,
        secret: [u8; 32],
        master: NodeId,
        key: &SigningKey,
    ) -> Self {
        let mut group_key = Self {
            cluster,
            generation,
            secret,
            master,
            signature: [0; 64],
            extensions: Extensions::default(),
        };
        group_key.signature = sign::sign(key, &group_key.canonical());
        group_key
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    fn canonical(&self) -> BytesMut {
        let mut out = BytesMut::from(&b"duohuo group key 1"[..]);
        self.cluster.put(&mut out);
        self.generation.put(&mut out);
        self.secret.put(&mut out);
        self.master.put(&mut out);
        out
    }

    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            cluster: codec::get(input, "group_key.cluster")?,
            generation: codec::get(input, "group_key.generation")?,
            secret: codec::get(input, "group_key.secret")?,
            master: codec::get(input, "group_key.master")?,
            signature: codec::get(input, "group_key.signature")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.generation.put(out);
        self.secret.put(out);
        self.master.put(out);
        self.signature.put(out);
        self.extensions.encode(out);
    }
}

/// Without the secret.
impl core::fmt::Debug for GroupKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("GroupKey")
            .field("cluster", &self.cluster)
            .field("generation", &self.generation)
            .field("master", &self.master)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> GroupKey {
        GroupKey {
            cluster: ClusterId(0x0506_072a),
            generation: 0x0506_072b,
            secret: [0xa4; 32],
            master: NodeId(0x0506_072d),
            signature: [0xa6; 64],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x2a][..], // cluster
            &[0x05, 0x06, 0x07, 0x2b],     // generation
            &[0xa4; 32],                   // secret
            &[0x05, 0x06, 0x07, 0x2d],     // master
            &[0xa6; 64],                   // signature
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::GroupKey(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x21, &literal(), &[]);
        assert!(GroupKey::decode(&[]) == Err(DecodeError::Truncated { field: "group_key.cluster" }));
    }

    #[test]
    fn a_signature_holds_for_exactly_these_fields() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = GroupKey::sign(ClusterId(3), 5, [1; 32], NodeId(9), &key);
        assert!(good.verify(&key.verifying_key()));
        assert!(!good.verify(&SigningKey::from_bytes(&[8; 32]).verifying_key()));
        assert!(!GroupKey { cluster: ClusterId(4), ..good.clone() }.verify(&key.verifying_key()));
        assert!(!GroupKey { generation: 6, ..good.clone() }.verify(&key.verifying_key()));
        assert!(!GroupKey { secret: [2; 32], ..good.clone() }.verify(&key.verifying_key()));
        assert!(!GroupKey { master: NodeId(8), ..good }.verify(&key.verifying_key()));
    }

    #[test]
    fn the_secret_is_not_printed() {
        let text = format!("{:?}", GroupKey { secret: [0xA5; 32], ..sample() });
        assert!(!text.contains("165") && !text.to_lowercase().contains("a5"));
    }
}
