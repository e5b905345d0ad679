//! Keys and values of the tables that the machines keep in the store.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use duohuo_wire::ids::{Epoch, Height};

use crate::chain::Record;

/// Meta: the highest promised epoch and the epoch whose master's log ours is a prefix of (design R3).
pub const META_PROMISE: u64 = 1;
/// Meta: the index one past the last record ever appended, kept when records are dropped.
pub const META_LOG_END: u64 = 2;

/// Meta: set before the first registration of the cluster is asked for, so that its answer finds a node that knows
/// why it has promised nothing yet (rule 13).
pub const META_REGISTERING: u64 = 3;

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
