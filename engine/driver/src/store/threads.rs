//! The store while the loop runs: one thread that writes, and one that reads for others beside it.

use super::rows::{read_blocks, read_chunk, write};
use super::witness::Witness;
use super::{OpenStore, StoreError};
use bytes::Bytes;
use duohuo_core::io::Write;
use duohuo_wire::ids::Height;
use mio::Waker;
use redb::Database;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

/// Requests that may wait; more make the loop wait, which is the back-pressure of a disk that cannot follow.
const QUEUE_REQUESTS: usize = 4096;
/// Batches in one transaction: bounds how long the first of them waits.
const GROUP_BATCHES: usize = 512;

impl OpenStore {
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
