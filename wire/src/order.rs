//! The orders of an operator: what a person may have the authority do (design R5; spec/wire.md 5.6).
//!
//! An order is signed by the consortium's operator key, so it does not matter who brings it, and who brought it cannot
//! change it. Its number only grows: whatever was applied, or is older than what was, has no effect a second time.

use bytes::{BufMut as _, BytesMut};

use crate::{
    codec::{self, Field, Parsed},
    error::DecodeError,
    ids::{ClusterId, Epoch, NodeId},
    sign::{self, SigningKey, VerifyingKey},
};

crate::codec::code_enum! {
    /// What an order asks for.
    OrderKind {
        /// The node may be master again.
        Unbar = 0,
        /// Another node becomes master: the one named, or, if it is 0, the next in order.
        Switch = 1,
        /// No automatic switch of this cluster, or, if it is 0, of any.
        Pause = 2,
        /// Automatic switches again: undoes a pause of the same cluster, or the one of all.
        Resume = 3,
        /// A node outside the in-sync set becomes master: every member of the set is lost. Unsafe.
        Force = 4,
    }
}

/// An order, signed by the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedOrder {
    /// Of the roster.
    pub consortium: [u8; 16],
    /// Only grows from one order to the next that is applied.
    pub number: u64,
    /// What to do.
    pub kind: OrderKind,
    /// Where; 0 = everywhere (pause, resume).
    pub cluster: ClusterId,
    /// Whom it is about; 0 = nobody, or the next in order.
    pub node: NodeId,
    /// The epoch of the row that the operator saw; 0 = any.
    pub epoch: Epoch,
    /// Unix seconds; from then on it is too late.
    pub expires: u64,
    /// Who gives it.
    pub who: String,
    /// Why.
    pub why: String,
    /// By the operator, over "duohuo order 1" and the fields above.
    pub signature: [u8; 64],
}

/// All zero: for filling in.
impl Default for SignedOrder {
    fn default() -> Self {
        Self {
            consortium: [0; 16],
            number: 0,
            kind: OrderKind::default(),
            cluster: ClusterId::default(),
            node: NodeId::default(),
            epoch: Epoch::default(),
            expires: 0,
            who: String::new(),
            why: String::new(),
            signature: [0; 64],
        }
    }
}

impl SignedOrder {
    /// Signs the fields as they stand.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> Self {
        self.signature = sign::sign(key, &self.canonical());
        self
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    /// Appends the fields and the signature.
    pub fn encode(&self, out: &mut BytesMut) {
        self.put(out);
    }

    /// Reads one order and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut or out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::whole(bytes, "order")
    }

    fn canonical(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(256);
        out.put_slice(b"duohuo order 1");
        self.put_fields(&mut out);
        out
    }

    fn put_fields(&self, out: &mut BytesMut) {
        self.consortium.put(out);
        self.number.put(out);
        self.kind.put(out);
        self.cluster.put(out);
        self.node.put(out);
        self.epoch.put(out);
        self.expires.put(out);
        self.who.put(out);
        self.why.put(out);
    }
}

impl Field for SignedOrder {
    const LEAST: usize = 115;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let order = Self {
            consortium: codec::get(input, "order.consortium")?,
            number: codec::get(input, "order.number")?,
            kind: codec::get(input, "order.kind")?,
            cluster: codec::get(input, "order.cluster")?,
            node: codec::get(input, "order.node")?,
            epoch: codec::get(input, "order.epoch")?,
            expires: codec::get(input, "order.expires")?,
            who: codec::get(input, "order.who")?,
            why: codec::get(input, "order.why")?,
            signature: codec::get(input, "order.signature")?,
        };
        Ok((input, order))
    }
    fn put(&self, out: &mut BytesMut) {
        self.put_fields(out);
        self.signature.put(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn order() -> SignedOrder {
        let order = SignedOrder {
            consortium: [9; 16],
            number: 3,
            kind: OrderKind::Switch,
            cluster: ClusterId(1),
            node: NodeId(2),
            epoch: Epoch(4),
            expires: 1_800_000_000,
            who: "Ada".to_owned(),
            why: "the room gets a new floor".to_owned(),
            signature: [0; 64],
        };
        order.sign(&key())
    }

    #[test]
    fn an_order_holds_for_exactly_its_fields() {
        let order = order();
        assert!(order.verify(&key().verifying_key()));
        assert!(!order.verify(&SigningKey::from_bytes(&[8; 32]).verifying_key()));
        let mut bytes = BytesMut::new();
        order.encode(&mut bytes);
        assert_eq!(SignedOrder::decode(&bytes), Ok(order));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            if let Ok(changed) = SignedOrder::decode(&changed) {
                assert!(!changed.verify(&key().verifying_key()), "byte {at}");
            }
        }
    }

    #[test]
    fn an_order_must_be_whole_and_alone() {
        let mut bytes = BytesMut::new();
        order().encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(SignedOrder::decode(&bytes[..length]).is_err());
        }
        bytes.put_u8(0);
        assert_eq!(SignedOrder::decode(&bytes), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn the_least_order_is_as_long_as_is_said() {
        let mut bytes = BytesMut::new();
        SignedOrder::default().encode(&mut bytes);
        assert_eq!(bytes.len(), SignedOrder::LEAST);
    }
}
