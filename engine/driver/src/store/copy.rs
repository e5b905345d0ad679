//! Copies of the chain that a store holds: blocks, snapshots, and where they begin. Never of what its owner said or
//! promised: a store that is made from a copy is that of a node that has said nothing yet (spec: B-LOG-10).
//!
//! A copy is a redb file of its own kind, which no process takes for its store; its values keep their checksums.

use super::rows::{BLOCK, META, Rows, SNAPSHOT, begin, name, unwrap_value};
use super::{
    At, FORMAT_VERSION, Identity, OpenStore, Scratch, StoreError, Witness, builder, owner, sync_directory,
    witness,
};
use duohuo_core::io::Table;
use duohuo_core::store::{META_LOWEST_BLOCK, META_SNAPSHOTS};
use duohuo_wire::ids::NodeId;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use std::path::{Path, PathBuf};

/// Of a copy; row 0: format version, 1: consortium, 2: the node that it was taken of.
const COPY: Rows = TableDefinition::new("copy");
/// All that is copied.
const TABLES: [Table; 3] = [Table::Meta, Table::Block, Table::Snapshot];

/// A copy of a chain, and of whose store it was taken.
#[derive(Debug)]
pub struct ChainCopy {
    db: Database,
    path: PathBuf,
    of: Identity,
}

/// What of the meta values says where blocks and snapshots are; the others are promises.
fn is_chain(table: Table, key: u64) -> bool {
    match table {
        Table::Meta => META_SNAPSHOTS.contains(&key) || key == META_LOWEST_BLOCK,
        Table::Block | Table::Snapshot => true,
        Table::Record | Table::Command => false,
    }
}

impl OpenStore {
    /// Write a copy of the chain into a new file, readable by its owner alone; how many bytes it has.
    ///
    /// # Errors
    /// The file is there already, a value of the store is damaged, or the disk fails.
    pub fn copy_chain(&self, to: &Path) -> Result<u64, StoreError> {
        let at = At { path: to, identity: self.identity };
        let begun = new_file(to).map_err(|e| at.io(e))?;
        let made = self.fill(to).and_then(|()| sync_directory(to).map_err(|e| at.io(e)));
        if let Err(e) = made {
            // half a copy is none
            let _ = std::fs::remove_file(to);
            return Err(e);
        }
        Ok(begun.metadata().map_err(|e| at.io(e))?.len())
    }

    fn fill(&self, to: &Path) -> Result<(), StoreError> {
        let at = At { path: to, identity: self.identity };
        let db = builder().create(to).map_err(|e| at.open_error(e))?;
        let txn = begin(&db).map_err(|e| at.io(e))?;
        put_rows(
            &txn,
            COPY,
            &[&FORMAT_VERSION.to_be_bytes(), &self.identity.consortium, &self.identity.node.0.to_be_bytes()],
        )
        .map_err(|e| at.io(e))?;
        take_chain(&self.db, &self.path, self.identity, &txn, to)?;
        txn.commit().map_err(|e| at.io(e))
    }
}

/// A store made of a copy, not yet where its node looks for it: to be proven first.
#[derive(Debug)]
pub struct Restoring {
    store: OpenStore,
    path: PathBuf,
}

impl Restoring {
    /// Make the store of a node that has said nothing, with the chain of a copy in it.
    ///
    /// # Errors
    /// There is a store, or was; the copy is another consortium's or damaged; the disk fails.
    pub fn begin(path: &Path, identity: Identity, copy: &ChainCopy) -> Result<Self, StoreError> {
        let at = At { path, identity };
        if path.metadata().is_ok_and(|m| m.len() > 0) {
            return Err(StoreError::Exists { path: path.into() });
        }
        if copy.of.consortium != identity.consortium {
            return Err(StoreError::Foreign {
                path: copy.path.clone(),
                found: owner(copy.of),
                expected: format!("a copy of consortium {}", hex(&identity.consortium)),
            });
        }
        if let Ok(Some(commits)) = witness::read(path)
            && commits > 0
        {
            return Err(at.damaged(&format!("the file is gone, but {commits} commits were in it")));
        }
        // a crash leaves a file that no process takes for its store
        let unfinished = beside(path, ".unfinished");
        let _ = std::fs::remove_file(&unfinished);
        drop(new_file(&unfinished).map_err(|e| at.io(e))?);
        let db = builder().create(&unfinished).map_err(|e| at.open_error(e))?;
        let store = OpenStore { db, path: unfinished, identity, commits: 0 };
        store.write_identity()?;
        let txn = begin(&store.db).map_err(|e| at.io(e))?;
        take_chain(&copy.db, &copy.path, copy.of, &txn, &store.path)?;
        txn.commit().map_err(|e| at.io(e))?;
        Ok(Self { store, path: path.into() })
    }

    /// What is in it.
    #[must_use]
    pub fn store(&self) -> &OpenStore {
        &self.store
    }

    /// It is sound: put it where its node looks for it.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self) -> Result<(), StoreError> {
        let Self { store: OpenStore { db, path: unfinished, identity, .. }, path } = self;
        let at = At { path: &path, identity };
        drop(db);
        Witness::create(&path).map_err(|e| at.io(e))?;
        std::fs::rename(&unfinished, &path).map_err(|e| at.io(e))?;
        sync_directory(&path).map_err(|e| at.io(e))
    }
}

impl ChainCopy {
    /// Open a copy that [`OpenStore::copy_chain`] made.
    ///
    /// # Errors
    /// It is none, of another format, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let nobody = Identity { consortium: [0; 16], node: NodeId(0) };
        let at = At { path, identity: nobody };
        let no_copy = |what: &str| StoreError::NoCopy { path: path.into(), what: what.into() };
        if !path.exists() {
            return Err(no_copy("the file is missing"));
        }
        // only read: a copy may lie on a medium that cannot be written
        let scratch = Scratch::over(path).map_err(|e| at.io(e))?;
        let db = builder().create_with_backend(scratch).map_err(|e| match at.open_error(e) {
            StoreError::Damaged { what, .. } => no_copy(&what),
            e => e,
        })?;
        let rows = {
            let read = db.begin_read().map_err(|e| at.io(e))?;
            let table =
                read.open_table(COPY).map_err(|_| no_copy("it is no copy that duohuo backup made"))?;
            let row =
                |key: u64| table.get(key).ok().flatten().map(|v| v.value().to_vec()).unwrap_or_default();
            [row(0), row(1), row(2)]
        };
        let [format, consortium, node] = rows;
        match <[u8; 4]>::try_from(format).map(u32::from_be_bytes) {
            Ok(FORMAT_VERSION) => {}
            Ok(found) => return Err(StoreError::Format { path: path.into(), found }),
            Err(_) => return Err(no_copy("its format row is malformed")),
        }
        let consortium =
            <[u8; 16]>::try_from(consortium).map_err(|_| no_copy("its consortium row is malformed"))?;
        let node = <[u8; 4]>::try_from(node).map_err(|_| no_copy("its node row is malformed"))?;
        let of = Identity { consortium, node: NodeId(u32::from_be_bytes(node)) };
        Ok(Self { db, path: path.into(), of })
    }

    /// Of whose store it was taken.
    #[must_use]
    pub fn of(&self) -> Identity {
        self.of
    }
}

/// The chain's values of one file into a transaction of another, each after a look at its checksum.
fn take_chain(
    from: &Database,
    path: &Path,
    identity: Identity,
    txn: &WriteTransaction,
    to: &Path,
) -> Result<(), StoreError> {
    let source = At { path, identity };
    let target = At { path: to, identity };
    let read = from.begin_read().map_err(|e| source.io(e))?;
    for table in TABLES {
        let definition = match table {
            Table::Block => BLOCK,
            Table::Snapshot => SNAPSHOT,
            _ => META,
        };
        let mut out = txn.open_table(definition).map_err(|e| target.io(e))?;
        // a store that was made before there were snapshots has no table of them
        let Ok(rows) = read.open_table(definition) else { continue };
        for row in rows.iter().map_err(|e| source.storage(e))? {
            let (key, value) = row.map_err(|e| source.storage(e))?;
            let key = key.value();
            if !is_chain(table, key) {
                continue;
            }
            if unwrap_value(table, key, value.value()).is_none() {
                return Err(source.damaged(&format!("{} {key} does not match its checksum", name(table))));
            }
            out.insert(key, value.value()).map_err(|e| target.io(e))?;
        }
    }
    Ok(())
}

fn put_rows(txn: &WriteTransaction, table: Rows, rows: &[&[u8]]) -> Result<(), redb::Error> {
    let mut table = txn.open_table(table)?;
    for (key, row) in (0..).zip(rows) {
        table.insert(key, *row)?;
    }
    Ok(())
}

/// Never over one that is there: redb takes an empty file for a new one.
fn new_file(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
