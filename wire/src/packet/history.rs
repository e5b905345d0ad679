//! `History` (type 0x1f): who was master of a cluster in which epoch, signed by the authority (AUTH-7).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                          first_epoch                          |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                          nodes count                          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    nodes: count x node u32                    |
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
    ids::{ClusterId, Epoch, NodeId},
    sign::{self, SigningKey, VerifyingKey},
    tlv::Extensions,
};

/// Who was master of a cluster in which epoch, signed by the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// The cluster.
    pub cluster: ClusterId,
    /// The epoch of the first node in the list.
    pub first_epoch: Epoch,
    /// The masters, epoch by epoch without gaps.
    pub nodes: Vec<NodeId>,
    /// By the authority, over "duohuo history 1" and the fields above.
    pub signature: [u8; 64],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for History {
    fn default() -> Self {
        Self {
            cluster: Default::default(),
            first_epoch: Default::default(),
            nodes: Default::default(),
            signature: [0; 64],
            extensions: Extensions::default(),
        }
    }
}

impl History {
    /// States and signs.
    #[must_use]
    pub fn sign(cluster: ClusterId, first_epoch: Epoch, nodes: Vec<NodeId>, key: &SigningKey) -> Self {
        let mut history =
            Self { cluster, first_epoch, nodes, signature: [0; 64], extensions: Extensions::default() };
        history.signature = sign::sign(key, &history.canonical());
        history
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    fn canonical(&self) -> BytesMut {
        let mut out = BytesMut::from(&b"duohuo history 1"[..]);
        self.cluster.put(&mut out);
        self.first_epoch.put(&mut out);
        codec::put_list32(&self.nodes, &mut out);
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
            cluster: codec::get(input, "history.cluster")?,
            first_epoch: codec::get(input, "history.first_epoch")?,
            nodes: codec::get_list32(input, "history.nodes")?,
            signature: codec::get(input, "history.signature")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.first_epoch.put(out);
        codec::put_list32(&self.nodes, out);
        self.signature.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> History {
        History {
            cluster: ClusterId(0x0506_0728),
            first_epoch: Epoch(0x0102_0304_0506_0729),
            nodes: vec![NodeId(7), NodeId(1)],
            signature: [0xa3; 64],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x28][..],                     // cluster
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x29], // first_epoch
            &[0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00, 0x01], // nodes
            &[0xa3; 64],                                       // signature
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::History(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x1f, &literal(), &[]);
        assert_eq!(History::decode(&[]), Err(DecodeError::Truncated { field: "history.cluster" }));
    }

    #[test]
    fn a_nodes_length_beyond_the_bytes_is_refused_before_it_is_allocated() {
        let mut bytes = literal();
        bytes[12..16].fill(0xFF);
        assert!(History::decode(&bytes) == Err(DecodeError::Truncated { field: "history.nodes" }));
    }

    #[test]
    fn a_signature_holds_for_exactly_these_fields() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let good = History::sign(ClusterId(3), Epoch(1), vec![NodeId(7), NodeId(8)], &key);
        assert!(good.verify(&key.verifying_key()));
        assert!(!good.verify(&SigningKey::from_bytes(&[8; 32]).verifying_key()));
        assert!(!History { cluster: ClusterId(4), ..good.clone() }.verify(&key.verifying_key()));
        assert!(!History { first_epoch: Epoch(2), ..good.clone() }.verify(&key.verifying_key()));
        assert!(!History { nodes: vec![NodeId(8), NodeId(7)], ..good }.verify(&key.verifying_key()));
    }
}
