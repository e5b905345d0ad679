//! Signed statements: what a party says to everyone, checkable by whoever it is shown to.
//!
//! The signed bytes are an ASCII domain label followed by the fields as they are encoded; a signature made for one
//! kind of statement is never valid for another.

use bytes::{BufMut, BytesMut};

use crate::{
    codec::{self, Field, Parsed},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, NodeId, Version},
    sign::{self, SigningKey, VerifyingKey},
};

/// Canonical bytes of a statement.
fn canonical(label: &str, fields: impl FnOnce(&mut BytesMut)) -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    out.put_slice(label.as_bytes());
    fields(&mut out);
    out
}

/// One row of the authority's table: who is a cluster's master, and who may become it (AUTH-2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// The cluster the row is about.
    pub cluster: ClusterId,
    /// The reign; 0 = no master was ever registered.
    pub epoch: Epoch,
    /// Counts the changes inside the epoch.
    pub version: Version,
    /// 0 = none.
    pub master: NodeId,
    /// The nodes that hold everything committed, ascending; the master is one of them.
    pub in_sync: Vec<NodeId>,
    /// The nodes that must not become master, ascending (REC-3).
    pub barred: Vec<NodeId>,
    /// The master before this one was not fenced when this one was granted.
    pub unfenced: bool,
    /// The version of the whole table at which this row last changed.
    pub table_version: u64,
}

impl Field for Row {
    const LEAST: usize = 37;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let row = Self {
            cluster: codec::get(input, "row.cluster")?,
            epoch: codec::get(input, "row.epoch")?,
            version: codec::get(input, "row.version")?,
            master: codec::get(input, "row.master")?,
            in_sync: codec::get_ascending(input, "row.in_sync", |node: &NodeId| *node)?,
            barred: codec::get_ascending(input, "row.barred", |node: &NodeId| *node)?,
            unfenced: codec::get(input, "row.unfenced")?,
            table_version: codec::get(input, "row.table_version")?,
        };
        Ok((input, row))
    }
    fn put(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.master.put(out);
        codec::put_ascending(&self.in_sync, out, |node| *node);
        codec::put_ascending(&self.barred, out, |node| *node);
        self.unfenced.put(out);
        self.table_version.put(out);
    }
}

/// A row, signed by the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRow {
    /// What is stated.
    pub row: Row,
    /// By the authority, over "duohuo row 1" and the row.
    pub signature: [u8; 64],
}

/// All zero: for filling in.
impl Default for SignedRow {
    fn default() -> Self {
        Self { row: Row::default(), signature: [0; 64] }
    }
}

impl SignedRow {
    /// Signs a row; its lists are sorted first, as they go on the wire.
    #[must_use]
    pub fn sign(mut row: Row, key: &SigningKey) -> Self {
        for list in [&mut row.in_sync, &mut row.barred] {
            list.sort_unstable();
            list.dedup();
        }
        let signature = sign::sign(key, &canonical("duohuo row 1", |out| row.put(out)));
        Self { row, signature }
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &canonical("duohuo row 1", |out| self.row.put(out)), &self.signature)
    }

    /// Appends the row and the signature.
    pub fn encode(&self, out: &mut BytesMut) {
        self.put(out);
    }

    /// Reads one signed row and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::whole(bytes, "row")
    }
}

impl Field for SignedRow {
    const LEAST: usize = Row::LEAST + 64;
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        let (rest, row) = Row::parse(input, field)?;
        let (rest, signature) = Field::parse(rest, "row.signature")?;
        Ok((rest, Self { row, signature }))
    }
    fn put(&self, out: &mut BytesMut) {
        self.row.put(out);
        self.signature.put(out);
    }
}

/// The result a node computed at a height, signed by it: evidence in a consensus-error report (OUT-8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedResult {
    /// The node's cluster.
    pub cluster: ClusterId,
    /// The node that signed.
    pub node: NodeId,
    /// The epoch it was master in.
    pub epoch: Epoch,
    /// The block the result belongs to.
    pub height: Height,
    /// SHA-256 of the state after the block.
    pub hash: [u8; 32],
    /// By the node, over "duohuo result 1" and the fields above.
    pub signature: [u8; 64],
}

impl SignedResult {
    /// States and signs.
    #[must_use]
    pub fn sign(
        cluster: ClusterId,
        node: NodeId,
        epoch: Epoch,
        height: Height,
        hash: [u8; 32],
        key: &SigningKey,
    ) -> Self {
        let mut result = Self { cluster, node, epoch, height, hash, signature: [0; 64] };
        result.signature = sign::sign(key, &result.canonical());
        result
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    /// Appends the fields and the signature: 120 bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        self.put(out);
    }

    /// Reads one signed result and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::whole(bytes, "result")
    }

    fn canonical(&self) -> BytesMut {
        canonical("duohuo result 1", |out| self.put_fields(out))
    }

    fn put_fields(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.node.put(out);
        self.epoch.put(out);
        self.height.put(out);
        self.hash.put(out);
    }
}

impl Field for SignedResult {
    const LEAST: usize = 120;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let result = Self {
            cluster: codec::get(input, "result.cluster")?,
            node: codec::get(input, "result.node")?,
            epoch: codec::get(input, "result.epoch")?,
            height: codec::get(input, "result.height")?,
            hash: codec::get(input, "result.hash")?,
            signature: codec::get(input, "result.signature")?,
        };
        Ok((input, result))
    }
    fn put(&self, out: &mut BytesMut) {
        self.put_fields(out);
        self.signature.put(out);
    }
}

/// The authority's order that a cluster change its master (AUTH-6), signed by it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedSwitch {
    /// The cluster that must change.
    pub cluster: ClusterId,
    /// The epoch of the old master: the order says nothing about later ones.
    pub epoch: Epoch,
    /// Who must not go on.
    pub old_master: NodeId,
    /// The height of the reported difference; 0 if the order was given by a person.
    pub height: Height,
    /// The reports prove the fault (two signed, different results), rather than merely count.
    pub proven: bool,
    /// By the authority, over "duohuo switch 1" and the fields above.
    pub signature: [u8; 64],
}

/// All zero: for filling in.
impl Default for SignedSwitch {
    fn default() -> Self {
        Self {
            cluster: ClusterId::default(),
            epoch: Epoch::default(),
            old_master: NodeId::default(),
            height: Height::default(),
            proven: false,
            signature: [0; 64],
        }
    }
}

impl SignedSwitch {
    /// States and signs.
    #[must_use]
    pub fn sign(
        cluster: ClusterId,
        epoch: Epoch,
        old_master: NodeId,
        height: Height,
        proven: bool,
        key: &SigningKey,
    ) -> Self {
        let mut order = Self { cluster, epoch, old_master, height, proven, signature: [0; 64] };
        order.signature = sign::sign(key, &order.canonical());
        order
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    /// Appends the fields and the signature: 89 bytes.
    pub fn encode(&self, out: &mut BytesMut) {
        self.put(out);
    }

    /// Reads one signed switch and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut or out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::whole(bytes, "switch")
    }

    fn canonical(&self) -> BytesMut {
        canonical("duohuo switch 1", |out| self.put_fields(out))
    }

    fn put_fields(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.epoch.put(out);
        self.old_master.put(out);
        self.height.put(out);
        self.proven.put(out);
    }
}

impl Field for SignedSwitch {
    const LEAST: usize = 89;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let order = Self {
            cluster: codec::get(input, "switch.cluster")?,
            epoch: codec::get(input, "switch.epoch")?,
            old_master: codec::get(input, "switch.old_master")?,
            height: codec::get(input, "switch.height")?,
            proven: codec::get(input, "switch.proven")?,
            signature: codec::get(input, "switch.signature")?,
        };
        Ok((input, order))
    }
    fn put(&self, out: &mut BytesMut) {
        self.put_fields(out);
        self.signature.put(out);
    }
}

/// A cluster's sealed ID for one of its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeSealedId {
    /// The only node that may present it.
    pub node: NodeId,
    /// See [`crate::sealed_id`].
    pub sealed_id: bytes::Bytes,
}

impl Field for NodeSealedId {
    const LEAST: usize = 6;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let entry = Self {
            node: codec::get(input, "sealed_ids.node")?,
            sealed_id: codec::get_bytes16(input, "sealed_ids.sealed_id")?,
        };
        Ok((input, entry))
    }
    fn put(&self, out: &mut BytesMut) {
        self.node.put(out);
        codec::put_bytes16(&self.sealed_id, out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn row() -> Row {
        Row { cluster: ClusterId(3), epoch: Epoch(4), in_sync: vec![NodeId(7), NodeId(9)], ..Row::default() }
    }

    #[test]
    fn a_row_is_signed_sorted_and_any_change_voids_it() {
        let signed = SignedRow::sign(Row { in_sync: vec![NodeId(9), NodeId(7), NodeId(9)], ..row() }, &key());
        assert_eq!(signed.row, row());
        let mut bytes = BytesMut::new();
        signed.encode(&mut bytes);
        assert_eq!(SignedRow::decode(&bytes), Ok(signed.clone()));
        assert!(signed.verify(&key().verifying_key()));
        assert!(!signed.verify(&SigningKey::from_bytes(&[8; 32]).verifying_key()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            if let Ok(changed) = SignedRow::decode(&changed) {
                assert!(!changed.verify(&key().verifying_key()), "byte {at}");
            }
        }
    }

    #[test]
    fn a_result_and_a_switch_hold_for_exactly_their_fields() {
        let result = SignedResult::sign(ClusterId(3), NodeId(9), Epoch(4), Height(100), [0xAA; 32], &key());
        let order = SignedSwitch::sign(ClusterId(3), Epoch(4), NodeId(9), Height(100), true, &key());
        assert!(result.verify(&key().verifying_key()) && order.verify(&key().verifying_key()));
        let (mut one, mut other) = (BytesMut::new(), BytesMut::new());
        result.encode(&mut one);
        order.encode(&mut other);
        assert_eq!((one.len(), other.len()), (120, 89));
        for at in 0..one.len() {
            let mut changed = one.clone();
            changed[at] ^= 1;
            assert!(!SignedResult::decode(&changed).unwrap().verify(&key().verifying_key()), "byte {at}");
        }
        for at in 0..other.len() {
            let mut changed = other.clone();
            changed[at] ^= 1;
            if let Ok(changed) = SignedSwitch::decode(&changed) {
                assert!(!changed.verify(&key().verifying_key()), "byte {at}");
            }
        }
    }

    #[test]
    fn a_statement_must_be_whole_and_alone() {
        let mut bytes = BytesMut::new();
        SignedSwitch::sign(ClusterId(3), Epoch(4), NodeId(9), Height(0), false, &key()).encode(&mut bytes);
        for length in 0..bytes.len() {
            assert!(SignedSwitch::decode(&bytes[..length]).is_err());
        }
        bytes.put_u8(0);
        assert_eq!(SignedSwitch::decode(&bytes), Err(DecodeError::TrailingBytes));
        assert_eq!(SignedResult::decode(&[]), Err(DecodeError::Truncated { field: "result.cluster" }));
        assert_eq!(SignedRow::decode(&[]), Err(DecodeError::Truncated { field: "row.cluster" }));
    }
}
