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
mod scratch;
mod witness;

pub use copy::{ChainCopy, Restoring};
pub use error::StoreError;

use bytes::Bytes;
use duohuo_core::io::{Stored, Table, Write};
use duohuo_core::store::KeptSnapshot;
use duohuo_wire::ids::{Height, NodeId};
use mio::Waker;
use redb::{
    Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageError, TableDefinition, TableError,
};
use scratch::Scratch;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use witness::Witness;

type Rows = TableDefinition<'static, u64, &'static [u8]>;

const META: Rows = TableDefinition::new("meta");
const RECORD: Rows = TableDefinition::new("record");
const BLOCK: Rows = TableDefinition::new("block");
const COMMAND: Rows = TableDefinition::new("command");
const SNAPSHOT: Rows = TableDefinition::new("snapshot");
/// Whose store this is; row 0: format version, 1: consortium, 2: node, 3: the number of the last commit.
const IDENTITY: Rows = TableDefinition::new("identity");

/// Row of [`IDENTITY`].
const COMMIT_ROW: u64 = 3;
/// Of the layout described on this page.
const FORMAT_VERSION: u32 = 1;
/// Page cache of redb. The working set is the open heights' log; blocks are read once each.
const CACHE_BYTES: usize = 32 << 20;
/// Requests that may wait; more make the loop wait, which is the back-pressure of a disk that cannot follow.
const QUEUE_REQUESTS: usize = 4096;
/// Batches in one transaction: bounds how long the first of them waits.
const GROUP_BATCHES: usize = 512;

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

    /// Hand the store to its thread. `waker` is called after each completion.
    ///
    /// # Errors
    /// No thread could be made.
    pub fn start(self, waker: Arc<Waker>) -> Result<Store, StoreError> {
        let path = self.path.clone();
        let io = |e: std::io::Error| StoreError::Io { path: path.clone(), what: e.to_string() };
        let witness = Witness::open(&path).map_err(io)?;
        let (batches, batch_inbox) = sync_channel(QUEUE_REQUESTS);
        let (reads, read_inbox) = sync_channel(QUEUE_REQUESTS);
        let (outbox, completions) = channel();
        let db = Arc::new(self.db);
        let answers = Answers { outbox, waker };
        let reader = Reader { db: Arc::clone(&db), path: path.clone(), answers: answers.clone() };
        let worker = Worker { db, path: self.path, commits: self.commits, witness, answers, failed: false };
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let threads = vec![
            thread("store").spawn(move || worker.run(&batch_inbox)).map_err(io)?,
            thread("store-reads").spawn(move || reader.run(&read_inbox)).map_err(io)?,
        ];
        let ends = Some((batches, reads));
        Ok(Store { ends, completions, threads, waiting: None, last_asked: 0, last_done: 0 })
    }
}

/// What the store's thread answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Completion {
    /// All batches up to this token are on disk.
    Persisted {
        /// The highest of the group.
        token: u64,
    },
    /// A batch failed; none later will be tried.
    Failed,
    /// Blocks that were asked for.
    Blocks {
        /// Of the request.
        token: u64,
        /// In order, without a gap.
        blocks: Vec<(Height, Bytes)>,
    },
    /// A piece of a snapshot that was asked for.
    Chunk {
        /// Of the request.
        token: u64,
        /// Empty if it is not there.
        chunk: Bytes,
    },
}

#[derive(Debug)]
struct Batch {
    token: u64,
    writes: Vec<Write>,
}

enum Read {
    Blocks { token: u64, from: Height, max_bytes: u32 },
    Chunk { token: u64, key: u64 },
}

/// The loop's end of a store.
#[derive(Debug)]
pub struct Store {
    ends: Option<(SyncSender<Batch>, SyncSender<Read>)>,
    completions: Receiver<Completion>,
    threads: Vec<JoinHandle<()>>,
    /// Not yet with the thread.
    waiting: Option<Batch>,
    last_asked: u64,
    last_done: u64,
}

impl Store {
    /// Write a batch; answered by [`Completion::Persisted`] with this token or a later one, some time after
    /// [`flush`](Self::flush).
    pub fn persist(&mut self, token: u64, writes: Vec<Write>) {
        self.last_asked = token;
        let batch = self.waiting.get_or_insert_with(|| Batch { token, writes: Vec::new() });
        batch.token = token;
        batch.writes.extend(writes);
    }

    /// What was asked since the last time goes to the thread, as one: what one input wants written shares a transaction.
    pub fn flush(&mut self) {
        if let (Some(batch), Some((batches, _))) = (self.waiting.take(), &self.ends) {
            // the thread ends only after this end is dropped, or by a panic, which its completions' end shows
            let _ = batches.send(batch);
        }
    }

    /// Read blocks from a height on.
    pub fn read(&self, token: u64, from: Height, max_bytes: u32) {
        self.request(Read::Blocks { token, from, max_bytes });
    }

    /// Read a piece of a snapshot.
    pub fn read_chunk(&self, token: u64, key: u64) {
        self.request(Read::Chunk { token, key });
    }

    fn request(&self, read: Read) {
        if let Some((_, reads)) = &self.ends {
            let _ = reads.send(read);
        }
    }

    /// The next answer, if there is one.
    pub fn completion(&mut self) -> Option<Completion> {
        match self.completions.try_recv() {
            Ok(done) => {
                match done {
                    Completion::Persisted { token } => self.last_done = token,
                    Completion::Failed => self.last_done = u64::MAX,
                    Completion::Blocks { .. } | Completion::Chunk { .. } => {}
                }
                Some(done)
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => None,
            Err(std::sync::mpsc::TryRecvError::Disconnected) if self.last_done != u64::MAX => {
                self.last_done = u64::MAX;
                Some(Completion::Failed)
            }
            Err(std::sync::mpsc::TryRecvError::Disconnected) => None,
        }
    }

    /// Whether all that was asked is on disk (or never will be).
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.last_done >= self.last_asked
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.flush();
        self.ends = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// How the threads answer the loop.
#[derive(Clone)]
struct Answers {
    outbox: Sender<Completion>,
    waker: Arc<Waker>,
}

impl Answers {
    fn answer(&self, done: Completion) {
        if self.outbox.send(done).is_ok()
            && let Err(e) = self.waker.wake()
        {
            tracing::error!(error = %e, "the store cannot wake the loop");
        }
    }
}

/// Reads for others beside the thread that writes: nobody's catching up makes a vote wait.
struct Reader {
    db: Arc<Database>,
    path: PathBuf,
    answers: Answers,
}

impl Reader {
    fn run(self, inbox: &Receiver<Read>) {
        while let Ok(read) = inbox.recv() {
            let done = match read {
                Read::Blocks { token, from, max_bytes } => {
                    let blocks = self.told(read_blocks(&self.db, from, max_bytes), "a block");
                    Completion::Blocks { token, blocks }
                }
                Read::Chunk { token, key } => {
                    let chunk = self.told(read_chunk(&self.db, key), "a piece of a snapshot");
                    Completion::Chunk { token, chunk }
                }
            };
            self.answers.answer(done);
        }
    }

    fn told<T: Default>(&self, read: Result<T, redb::Error>, what: &str) -> T {
        read.unwrap_or_else(|e| {
            tracing::error!(path = %self.path.display(), error = %e, "{what} of the store cannot be read: this node serves none");
            T::default()
        })
    }
}

struct Worker {
    db: Arc<Database>,
    path: PathBuf,
    /// The number of the last commit.
    commits: u64,
    witness: Witness,
    answers: Answers,
    failed: bool,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Batch>) {
        while let Ok(first) = inbox.recv() {
            let mut batches = vec![first];
            while batches.len() < GROUP_BATCHES
                && let Ok(next) = inbox.try_recv()
            {
                batches.push(next);
            }
            let Some(token) = batches.last().map(|batch| batch.token) else { continue };
            if self.failed {
                continue;
            }
            let done = match self.commit(batches.iter().flat_map(|batch| &batch.writes)) {
                Ok(()) => Completion::Persisted { token },
                Err(e) => {
                    tracing::error!(path = %self.path.display(), error = %e, "the store cannot be written: free space or replace the disk, then start this node again");
                    self.failed = true;
                    Completion::Failed
                }
            };
            self.answers.answer(done);
        }
    }

    fn commit<'a>(&mut self, writes: impl Iterator<Item = &'a Write>) -> Result<(), redb::Error> {
        let commit = self.commits + 1;
        write(&self.db, commit, writes)?;
        self.commits = commit;
        self.witness.saw(commit).map_err(redb::Error::Io)
    }
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// One transaction, with the settings of the module's page.
fn begin(db: &Database) -> Result<redb::WriteTransaction, redb::Error> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    txn.set_two_phase_commit(false);
    txn.set_quick_repair(false);
    Ok(txn)
}

fn write<'a>(db: &Database, commit: u64, writes: impl Iterator<Item = &'a Write>) -> Result<(), redb::Error> {
    let txn = begin(db)?;
    {
        txn.open_table(IDENTITY)?.insert(COMMIT_ROW, commit.to_be_bytes().as_slice())?;
        let mut tables =
            [Table::Meta, Table::Record, Table::Block, Table::Command, Table::Snapshot].map(|t| (t, None));
        for write in writes {
            let wanted = match write {
                Write::Put { table, .. } | Write::DeleteRange { table, .. } => *table,
            };
            let Some((_, slot)) = tables.iter_mut().find(|(t, _)| *t == wanted) else { continue };
            let rows = match slot {
                Some(rows) => rows,
                None => slot.insert(txn.open_table(definition(wanted))?),
            };
            match write {
                Write::Put { key, value, .. } => {
                    rows.insert(*key, wrap_value(wanted, *key, value).as_slice())?;
                }
                Write::DeleteRange { from, to, .. } => rows.retain_in(*from..*to, |_, _| false)?,
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn read_blocks(db: &Database, from: Height, max_bytes: u32) -> Result<Vec<(Height, Bytes)>, redb::Error> {
    let read = db.begin_read()?;
    let rows = read.open_table(BLOCK)?;
    let mut blocks = Vec::new();
    let mut bytes = 0usize;
    let mut expected = from.0;
    for row in rows.range(from.0..)? {
        let (key, value) = row?;
        let height = key.value();
        if height != expected {
            break;
        }
        let block = unwrap_value(Table::Block, height, value.value())
            .ok_or_else(|| StorageError::Corrupted(format!("block {height} does not match its checksum")))?;
        bytes += block.len();
        if bytes > max_bytes as usize && !blocks.is_empty() {
            break;
        }
        blocks.push((Height(height), block));
        expected = expected.saturating_add(1);
    }
    Ok(blocks)
}

fn read_chunk(db: &Database, key: u64) -> Result<Bytes, redb::Error> {
    let read = db.begin_read()?;
    let rows = read.open_table(SNAPSHOT)?;
    let Some(value) = rows.get(key)? else { return Ok(Bytes::new()) };
    let chunk = unwrap_value(Table::Snapshot, key, value.value())
        .ok_or_else(|| StorageError::Corrupted(format!("piece {key} does not match its checksum")))?;
    Ok(chunk)
}

fn definition(table: Table) -> Rows {
    match table {
        Table::Meta => META,
        Table::Record => RECORD,
        Table::Block => BLOCK,
        Table::Command => COMMAND,
        Table::Snapshot => SNAPSHOT,
    }
}

fn name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta value",
        Table::Record => "record",
        Table::Block => "block",
        Table::Command => "command",
        Table::Snapshot => "piece of a snapshot",
    }
}

fn checksum(table: Table, key: u64, value: &[u8]) -> [u8; 4] {
    let tag = match table {
        Table::Meta => 0u8,
        Table::Record => 1,
        Table::Block => 2,
        Table::Command => 3,
        Table::Snapshot => 4,
    };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[tag]);
    crc.update(&key.to_be_bytes());
    crc.update(value);
    crc.finalize().to_be_bytes()
}

fn wrap_value(table: Table, key: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + 4);
    bytes.extend_from_slice(&checksum(table, key, value));
    bytes.extend_from_slice(value);
    bytes
}

fn unwrap_value(table: Table, key: u64, bytes: &[u8]) -> Option<Bytes> {
    let (crc, value) = bytes.split_first_chunk::<4>()?;
    (*crc == checksum(table, key, value)).then(|| Bytes::copy_from_slice(value))
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
