//! The durable store: one redb file, written by a thread of its own so that a slow disk never stops the loop.
//!
//! Group commit: the thread takes all batches that wait, writes them in one transaction, and answers with the highest
//! token. Each value carries a CRC-32 over its table, key and bytes; redb checks its own pages. A store that is
//! damaged, foreign or missing is a refusal to start, never a guess, and its file stays as it was: everything is verified
//! on a scratch copy (`scratch.rs`) before the file itself is opened. A store that went back is damaged too
//! (`witness.rs`).
//!
//! # Settings of redb, and why
//! One-phase commit without quick repair: one fsync per commit. Measured (test `commit_latency`: one 300-byte record a
//! commit, 2000 commits of each turn by turn, ext4 on a virtio disk, both cores busy with other work): one-phase median
//! 0.85 ms, p99 8.1 ms; with quick repair, which implies a second fsync and writes the allocator's state, 3.9 ms and
//! 12.2 ms. The price is that opening after a crash walks the file; we walk it anyway, to verify it and to execute its
//! blocks. One-phase commit relies on redb's page checksums to tell a torn commit from a whole one.

mod copy;
mod error;
mod rows;
mod scratch;
mod threads;
mod witness;

pub use copy::{ChainCopy, Restoring};
pub use error::StoreError;
pub use threads::{Completion, Store};

use bytes::Bytes;
use duohuo_core::io::{Stored, Table};
use duohuo_core::store::KeptSnapshot;
use duohuo_wire::ids::{Height, NodeId};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError};
use rows::{BLOCK, COMMAND, META, RECORD, Rows, SNAPSHOT, begin, definition, name, unwrap_value};
use scratch::Scratch;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use witness::Witness;

/// Whose store this is; row 0: format version, 1: consortium, 2: node, 3: the number of the last commit.
const IDENTITY: Rows = TableDefinition::new("identity");

/// Row of [`IDENTITY`].
const COMMIT_ROW: u64 = 3;
/// Of the layout described on this page.
const FORMAT_VERSION: u32 = 1;
/// Page cache of redb. The working set is the open heights' log; blocks are read once each.
const CACHE_BYTES: usize = 32 << 20;
/// The owner of a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Of the roster.
    pub consortium: [u8; 16],
    /// The node, or [`NodeId::AUTHORITY`].
    pub node: NodeId,
}

/// Whether a store must be there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// First start of this node: make it; refuse if there is one.
    Create,
    /// Any later start: refuse if there is none.
    Existing,
}

/// An open store that nobody writes to yet.
#[derive(Debug)]
pub struct OpenStore {
    db: Database,
    path: PathBuf,
    identity: Identity,
    /// The number of the last commit.
    commits: u64,
}

impl OpenStore {
    /// Open a store and verify all of it; a file that is refused is not changed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open(path: &Path, identity: Identity, mode: OpenMode) -> Result<Self, StoreError> {
        let there = path.metadata().map(|m| m.len() > 0).unwrap_or(false);
        match (mode, there) {
            (OpenMode::Create, true) => Err(StoreError::Exists { path: path.into() }),
            (OpenMode::Create, false) => Self::create(path, identity),
            (OpenMode::Existing, true) => Self::existing(path, identity),
            (OpenMode::Existing, false) => {
                Err(StoreError::Missing { path: path.into(), node: identity.node })
            }
        }
    }

    fn create(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        let at = At { path, identity };
        // a first start that was cut short may have left a witness, but none that saw anything
        match witness::read(path) {
            Ok(Some(commits)) if commits > 0 => {
                return Err(at.damaged(&format!("the file is gone, but {commits} commits were in it")));
            }
            _ => Witness::create(path).map_err(|e| at.io(e))?,
        };
        let db = builder().create(path).map_err(|e| at.open_error(e))?;
        let store = Self { db, path: path.into(), identity, commits: 0 };
        store.write_identity()?;
        sync_directory(path).map_err(|e| at.io(e))?;
        Ok(store)
    }

    fn existing(path: &Path, identity: Identity) -> Result<Self, StoreError> {
        let at = At { path, identity };
        let scratch = Scratch::over(path).map_err(|e| at.io(e))?;
        let db = builder()
            .set_check_integrity_on_open(true)
            .create_with_backend(scratch)
            .map_err(|e| at.open_error(e))?;
        let verified = Self { db, path: path.into(), identity, commits: 0 };
        let commits = verified.check_identity()?;
        verified.check_witness(commits)?;
        for table in [Table::Meta, Table::Record, Table::Block, Table::Command, Table::Snapshot] {
            verified.each(table, |_, _| Ok(()))?;
        }
        drop(verified);
        let db = builder().open(path).map_err(|e| at.open_error(e))?;
        Ok(Self { db, path: path.into(), identity, commits })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds is refused by who reads it.
    pub(crate) fn refused(&self, what: &str) -> StoreError {
        self.at().damaged(what)
    }

    fn at(&self) -> At<'_> {
        At { path: &self.path, identity: self.identity }
    }

    fn write_identity(&self) -> Result<(), StoreError> {
        let at = self.at();
        let txn = begin(&self.db).map_err(|e| at.io(e))?;
        {
            let mut t = txn.open_table(IDENTITY).map_err(|e| at.io(e))?;
            let rows: [(u64, &[u8]); 4] = [
                (0, &FORMAT_VERSION.to_be_bytes()),
                (1, &self.identity.consortium),
                (2, &self.identity.node.0.to_be_bytes()),
                (COMMIT_ROW, &0u64.to_be_bytes()),
            ];
            for (key, value) in rows {
                t.insert(key, value).map_err(|e| at.io(e))?;
            }
            for table in [META, RECORD, BLOCK, COMMAND, SNAPSHOT] {
                txn.open_table(table).map_err(|e| at.io(e))?;
            }
        }
        txn.commit().map_err(|e| at.io(e))
    }

    /// The number of the last commit, if the store is ours.
    fn check_identity(&self) -> Result<u64, StoreError> {
        let at = self.at();
        let read = self.db.begin_read().map_err(|e| at.io(e))?;
        let table = read
            .open_table(IDENTITY)
            .map_err(|_| at.damaged("it is no store of this program: the identity row is missing"))?;
        let row = |key: u64| -> Result<Vec<u8>, StoreError> {
            let value = table.get(key).map_err(|e| at.storage(e))?;
            value.map(|v| v.value().to_vec()).ok_or_else(|| at.damaged("the identity row is incomplete"))
        };
        let number = |bytes: Vec<u8>| {
            <[u8; 4]>::try_from(bytes)
                .map(u32::from_be_bytes)
                .map_err(|_| at.damaged("the identity row is malformed"))
        };
        let format = number(row(0)?)?;
        if format != FORMAT_VERSION {
            return Err(StoreError::Format { path: self.path.clone(), found: format });
        }
        let consortium =
            <[u8; 16]>::try_from(row(1)?).map_err(|_| at.damaged("the identity row is malformed"))?;
        let found = Identity { consortium, node: NodeId(number(row(2)?)?) };
        if found != self.identity {
            return Err(StoreError::Foreign {
                path: self.path.clone(),
                found: owner(found),
                expected: owner(self.identity),
            });
        }
        let commits = <[u8; 8]>::try_from(row(COMMIT_ROW)?)
            .map_err(|_| at.damaged("the number of its last commit is malformed"))?;
        Ok(u64::from_be_bytes(commits))
    }

    /// It must hold all that it ever promised.
    fn check_witness(&self, commits: u64) -> Result<(), StoreError> {
        let at = self.at();
        match witness::read(&self.path) {
            Ok(Some(seen)) if seen <= commits => Ok(()),
            Ok(Some(seen)) => Err(at.damaged(&format!(
                "it ends with commit {commits}, but commit {seen} was durable: its newest pages are broken, or an old copy was put in its place"
            ))),
            Ok(None) => Err(at.damaged("the .witness file beside it is broken")),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err(at.damaged(
                "the .witness file beside it is missing: without it nobody knows whether this is the newest copy",
            )),
            Err(e) => Err(at.io(e)),
        }
    }

    /// Everything but the blocks, verified.
    ///
    /// # Errors
    /// A value does not match its checksum, or the disk fails.
    pub fn load(&self) -> Result<Stored, StoreError> {
        let table = |t: Table| -> Result<BTreeMap<u64, Bytes>, StoreError> {
            let mut map = BTreeMap::new();
            self.each(t, |key, value| {
                map.insert(key, value);
                Ok(())
            })?;
            Ok(map)
        };
        Ok(Stored {
            meta: table(Table::Meta)?,
            records: table(Table::Record)?,
            commands: table(Table::Command)?,
        })
    }

    /// The pieces of a snapshot.
    ///
    /// # Errors
    /// A piece is damaged or missing.
    pub fn snapshot(&self, snapshot: &KeptSnapshot) -> Result<Vec<Bytes>, StoreError> {
        let mut chunks = Vec::new();
        if let Some(last) = snapshot.chunks.checked_sub(1) {
            self.each_in(Table::Snapshot, snapshot.key(0)..=snapshot.key(last), |key, chunk| {
                let expected = snapshot.key(u32::try_from(chunks.len()).unwrap_or(u32::MAX));
                if key != expected {
                    return Err(self
                        .at()
                        .damaged(&format!("a piece of snapshot {} is missing", snapshot.height.0)));
                }
                chunks.push(chunk);
                Ok(())
            })?;
        }
        if chunks.len() != snapshot.chunks as usize {
            return Err(self.at().damaged(&format!("a piece of snapshot {} is missing", snapshot.height.0)));
        }
        Ok(chunks)
    }

    /// Give each block from a height on to `take`, in order. Blocks must be there without a gap, from that height.
    ///
    /// # Errors
    /// A damaged value, a gap, or a block that `take` refuses (its words go into the message).
    pub fn blocks(
        &self,
        from: Height,
        mut take: impl FnMut(Height, Bytes) -> Result<(), String>,
    ) -> Result<Height, StoreError> {
        let mut last = from.0.saturating_sub(1);
        self.each_in(Table::Block, from.0..=u64::MAX, |height, block| {
            if height != last + 1 {
                return Err(self.at().damaged(&format!("after block {last} comes block {height}")));
            }
            last = height;
            take(Height(height), block).map_err(|e| self.at().damaged(&format!("block {height}: {e}")))
        })?;
        Ok(Height(last))
    }

    fn each(
        &self,
        table: Table,
        f: impl FnMut(u64, Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.each_in(table, 0..=u64::MAX, f)
    }

    fn each_in(
        &self,
        table: Table,
        keys: RangeInclusive<u64>,
        mut f: impl FnMut(u64, Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let at = self.at();
        let read = self.db.begin_read().map_err(|e| at.io(e))?;
        let rows = match read.open_table(definition(table)) {
            Ok(rows) => rows,
            // A store that was made before there were snapshots has none.
            Err(TableError::TableDoesNotExist(_)) if table == Table::Snapshot => return Ok(()),
            Err(_) => return Err(at.damaged(&format!("the table of {} is missing", name(table)))),
        };
        for row in rows.range(keys).map_err(|e| at.storage(e))? {
            let (key, value) = row.map_err(|e| at.storage(e))?;
            let key = key.value();
            let value = unwrap_value(table, key, value.value())
                .ok_or_else(|| at.damaged(&format!("{} {key} does not match its checksum", name(table))))?;
            f(key, value)?;
        }
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn owner(identity: Identity) -> String {
    let consortium: String = identity.consortium.iter().map(|b| format!("{b:02x}")).collect();
    match identity.node {
        NodeId::AUTHORITY => format!("the authority of consortium {consortium}"),
        node => format!("node {} of consortium {consortium}", node.0),
    }
}

fn sync_directory(path: &Path) -> Result<(), std::io::Error> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(directory)?.sync_all()
}

/// Where an error happened.
struct At<'a> {
    path: &'a Path,
    identity: Identity,
}

impl At<'_> {
    fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged { path: self.path.into(), what: what.into(), node: self.identity.node }
    }

    fn io(&self, e: impl std::fmt::Display) -> StoreError {
        StoreError::Io { path: self.path.into(), what: e.to_string() }
    }

    fn storage(&self, e: StorageError) -> StoreError {
        match e {
            // redb says `InvalidData` of a file that is none of its own
            StorageError::Io(e)
                if !matches!(
                    e.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                self.io(e)
            }
            e => self.damaged(&e.to_string()),
        }
    }

    fn open_error(&self, e: DatabaseError) -> StoreError {
        match e {
            DatabaseError::DatabaseAlreadyOpen => StoreError::Locked { path: self.path.into() },
            DatabaseError::Storage(e) => self.storage(e),
            e => self.damaged(&e.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
