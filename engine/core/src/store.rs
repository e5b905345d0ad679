//! Keys and values of the tables that the machines keep in the store.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use duohuo_wire::ids::{Epoch, Height};

use crate::chain::Record;
use std::collections::BTreeMap;

/// Meta: the highest promised epoch and the epoch whose master's log ours is a prefix of (design R3).
pub const META_PROMISE: u64 = 1;
/// Meta: the index one past the last record ever appended, kept when records are dropped.
pub const META_LOG_END: u64 = 2;

/// Meta: set before the first registration of the cluster is asked for, so that its answer finds a node that knows
/// why it has promised nothing yet (rule 13).
pub const META_REGISTERING: u64 = 3;

/// Meta: the two snapshots that a node keeps.
pub const META_SNAPSHOTS: [u64; 2] = [4, 5];
/// Meta: the lowest height whose block is kept; absent: 1.
pub const META_LOWEST_BLOCK: u64 = 6;

/// Meta: an epoch that may be granted soon, noted before it is; absent or 0: none (B-NOTE-1).
pub const META_NOTE: u64 = 7;

/// Meta, of the authority: the last rehearsal that it wrote something for; nobody reads it (B-DRL-3).
pub const META_REHEARSED: u64 = 8;

/// A whole snapshot in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptSnapshot {
    /// Which of the two places it is in.
    pub slot: u32,
    /// Height of the last block in it.
    pub height: Height,
    /// How many pieces there are.
    pub chunks: u32,
    /// As the chain made it.
    pub manifest: Bytes,
    /// As the chain made it; empty: not proven yet.
    pub proof: Bytes,
}

impl KeptSnapshot {
    /// The key of a piece in [`crate::io::Table::Snapshot`].
    #[must_use]
    pub fn key(&self, chunk: u32) -> u64 {
        snapshot_key(self.slot, chunk)
    }

    /// Whether others can believe it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        !self.proof.is_empty()
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16 + self.manifest.len() + self.proof.len());
        out.put_u64(self.height.0);
        out.put_u32(self.chunks);
        out.put_u32(u32::try_from(self.manifest.len()).unwrap_or(u32::MAX));
        out.put_slice(&self.manifest);
        out.put_slice(&self.proof);
        out.freeze()
    }

    fn decode(slot: u32, mut bytes: Bytes) -> Option<Self> {
        let height = Height(bytes.try_get_u64().ok()?);
        let chunks = bytes.try_get_u32().ok()?;
        let length = usize::try_from(bytes.try_get_u32().ok()?).ok()?;
        if bytes.len() < length {
            return None;
        }
        let manifest = bytes.split_to(length);
        Some(Self { slot, height, chunks, manifest, proof: bytes })
    }
}

/// The key of a piece of the snapshot in one of the two places.
pub(crate) fn snapshot_key(slot: u32, chunk: u32) -> u64 {
    u64::from(slot) << 32 | u64::from(chunk)
}

/// The snapshots of a store, lower first. A chain is given the higher one before the blocks above it.
///
/// # Errors
/// A value cannot be read.
pub fn snapshots(meta: &BTreeMap<u64, Bytes>) -> Result<Vec<KeptSnapshot>, StartError> {
    let mut kept = Vec::new();
    for (slot, key) in (0..).zip(META_SNAPSHOTS) {
        if let Some(bytes) = meta.get(&key) {
            kept.push(KeptSnapshot::decode(slot, bytes.clone()).ok_or(StartError::Damaged("snapshot"))?);
        }
    }
    kept.sort_by_key(|snapshot| snapshot.height);
    Ok(kept)
}

/// The lowest height whose block is kept in a store.
///
/// # Errors
/// The value cannot be read.
pub fn lowest_block(meta: &BTreeMap<u64, Bytes>) -> Result<Height, StartError> {
    match meta.get(&META_LOWEST_BLOCK) {
        Some(bytes) => decode_u64(bytes.clone()).map(Height).ok_or(StartError::Damaged("lowest height")),
        None => Ok(Height(1)),
    }
}

/// Why a machine refuses to start: the store is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// The node is not in the roster.
    #[error("this node's number is not in the roster")]
    NotInRoster,
    /// The key file does not fit the roster.
    #[error("the session or signing key is not the one that the roster names for this node")]
    WrongKey,
    /// A value of the store cannot be read.
    #[error("the store holds a {0} that cannot be read")]
    Damaged(&'static str),
}

pub(crate) fn encode_promise(promised: Epoch, synced: Epoch) -> Bytes {
    let mut out = BytesMut::with_capacity(16);
    out.put_u64(promised.0);
    out.put_u64(synced.0);
    out.freeze()
}

pub(crate) fn decode_promise(mut bytes: Bytes) -> Option<(Epoch, Epoch)> {
    let promise = (Epoch(bytes.try_get_u64().ok()?), Epoch(bytes.try_get_u64().ok()?));
    (!bytes.has_remaining()).then_some(promise)
}

pub(crate) fn encode_u64(value: u64) -> Bytes {
    Bytes::copy_from_slice(&value.to_be_bytes())
}

pub(crate) fn decode_u64(mut bytes: Bytes) -> Option<u64> {
    let value = bytes.try_get_u64().ok()?;
    (!bytes.has_remaining()).then_some(value)
}

pub(crate) fn encode_record(record: &Record) -> Bytes {
    let mut out = BytesMut::with_capacity(16 + record.bytes.len());
    out.put_u64(record.height.0);
    out.put_u64(record.epoch.0);
    out.put_slice(&record.bytes);
    out.freeze()
}

pub(crate) fn decode_record(mut bytes: Bytes) -> Option<Record> {
    let height = Height(bytes.try_get_u64().ok()?);
    let epoch = Epoch(bytes.try_get_u64().ok()?);
    Some(Record { height, epoch, bytes })
}
