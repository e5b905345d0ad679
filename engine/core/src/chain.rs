//! The chain as the node's machine sees it: one trait (mission SYS-7: the consensus algorithm is not changed).
//!
//! The machine owns the chain and calls it; after each call it drains [`Chain::poll_output`]. A chain does no IO,
//! asks no clock, and holds nothing back for durability: **the machine gates everything it emits**. Each
//! [`ChainOutput::Send`] and [`ChainOutput::Commit`] leaves the machine only when every [`ChainOutput::Log`] that was
//! emitted before it is durable on this node and on every other member of the in-sync set (design R2). So a chain
//! must emit the log entries that imply a message *before* the message, and that is its whole duty to R2.

use crate::held::Held;
use crate::outside::{Word, WordAnswer};
use crate::time::Instant;
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::statement::SignedResult;

/// One entry of the log that design R2 speaks of: opaque to the machine, written and read by the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The height the entry belongs to; entries of committed heights are dropped.
    pub height: Height,
    /// The epoch of the master that wrote it.
    pub epoch: Epoch,
    /// The chain's write-ahead entry, signature and timestamp included: replay re-sends these very bytes. Its first byte
    /// is below 0xFE: the machine has a few records of its own.
    pub bytes: Bytes,
}

/// What a chain wants done. Order matters and is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ChainOutput {
    /// Append to the log of the cluster.
    Log {
        /// The height being worked on: one above that of [`Chain::status`].
        height: Height,
        /// The entry.
        bytes: Bytes,
    },
    /// Send to the master of one other cluster, or of all. Gated. What cannot be delivered (no session) is dropped:
    /// the chain re-sends what still matters in [`Chain::peer_up`].
    Send {
        /// The receiver; `None`: all other masters.
        to: Option<ClusterId>,
        /// The message.
        bytes: Bytes,
    },
    /// A block was decided and executed. Gated; then the machine makes the block durable, pushes it to the cluster
    /// (IN-5) and answers with [`Chain::committed`]. Until then the chain starts no further height.
    Commit {
        /// Its height: the one after the last.
        height: Height,
        /// Block and commit certificate: what [`Chain::apply`] takes elsewhere.
        block: Bytes,
    },
    /// The peer has blocks that we lack: fetch them from it ([`Chain::apply`] will be called).
    Behind {
        /// Who has them.
        peer: ClusterId,
    },
    /// A transaction that was submitted here is in a committed block (only after [`Chain::committed`]).
    Receipt {
        /// Which.
        transaction: TransactionId,
        /// Where.
        height: Height,
        /// Whether the application carried it out; a refused transfer is committed too, without effect.
        applied: bool,
    },
    /// The master of one cluster signed a result that differs from those of a quorum, ours among them (REC-3).
    ConsensusError {
        /// First the accused's, then those that contradict it, each from another cluster.
        evidence: Vec<SignedResult>,
    },
    /// Another cluster signed two words that contradict each other: verified, and told once for each of its epochs. Not gated: no
    /// word of ours is in it.
    Equivocation {
        /// What it said first, and then; equal in all but the value.
        words: Box<[VoteSeen; 2]>,
    },
    /// The state after the block that was executed last, in pieces: to be kept, and handed to who is far behind. Not
    /// gated; a chain without snapshots never says it.
    Snapshot(Snapshot),
    /// The snapshot of that height is proven by what others signed. Gated: our own word is among it.
    SnapshotProven {
        /// Its height.
        height: Height,
        /// What [`Chain::plan`] takes elsewhere.
        proof: Bytes,
    },
    /// Design R8: this chain must not sign any more. It emits nothing after this until [`Chain::follow`].
    Halt {
        /// Why, for the operator.
        reason: HaltReason,
    },
}

/// The state after a block, in pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Of that block.
    pub height: Height,
    /// What the pieces are, and what binds them to the committed chain: opaque to the machine.
    pub manifest: Bytes,
    /// The pieces, at most 256 KiB each.
    pub chunks: Vec<Bytes>,
}

/// What a proven snapshot is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotPlan {
    /// Height of the last block in it.
    pub height: Height,
    /// Hash of the state after it.
    pub state_hash: [u8; 32],
    /// How many pieces there are.
    pub chunks: u32,
}

/// Why a chain stopped signing (design R8).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltReason {
    /// The log replayed to something else than it recorded.
    ReplayDivergence,
    /// It was about to sign a second, different vote for one (height, round, kind).
    DoubleSign,
    /// The log holds an entry that cannot be read.
    BadRecord,
    /// The consensus core reported an error of its own.
    Core,
    /// The authority counts this node in sync, but its store never promised anything: the log is lost (rule 13).
    LostLog,
    /// The log's indexes are at their end (B-LOG-9): a master made them up, and no record has a place any more.
    FullLog,
}

/// Names a transaction for ever: chosen at random by the client, so that submitting again is harmless.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionId(pub [u8; 16]);

/// Why a transaction was not taken into the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubmitError {
    /// The bytes are no transaction.
    Malformed,
    /// The pool is full: try later.
    PoolFull,
    /// Its last valid height is past, or too far ahead.
    Expired,
    /// It was committed already, at this height.
    AlreadyCommitted(Height),
}

/// Why a block was refused; the chain is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockError {
    /// The bytes are no block.
    Malformed,
    /// Its height is at or below ours: nothing to do.
    Old,
    /// Its height is not the next one: ask for the ones between.
    Gap,
    /// It does not extend our last block.
    WrongParent,
    /// The commit certificate does not hold: too few clusters, or a signature that is not of the master that the
    /// certificate names.
    BadCertificate,
    /// The certificate names an epoch whose grant we do not know yet: learn it and try again.
    UnknownGrant(ClusterId, Epoch),
}

/// What became of a message of another master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reception {
    /// It was taken: its words count.
    Taken,
    /// It tells where its sender stands, and no more: none of its words was judged.
    Noticed,
    /// It is bad, and was ignored: to be counted against its sender.
    Refused,
}

/// One signed vote or proposal as an observer sees it; two with equal keys and different values are a conflict (P1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VoteSeen {
    /// Whose word it is.
    pub cluster: ClusterId,
    /// The epoch it was signed under.
    pub epoch: Epoch,
    /// Height.
    pub height: Height,
    /// Round in the height, from 0.
    pub round: u32,
    /// Kind of word.
    pub kind: VoteKind,
    /// The block ID voted for; `None`: nil.
    pub value: Option<[u8; 32]>,
    /// The signature: a re-sent vote has the same.
    pub signature: [u8; 64],
}

/// The kinds of signed words of the consensus.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VoteKind {
    /// A proposal.
    Proposal,
    /// A prevote.
    Prevote,
    /// A precommit.
    Precommit,
}

/// What the chain knows of itself, for status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainStatus {
    /// Height of the last committed block.
    pub height: Height,
    /// Hash over the application's state after it.
    pub state_hash: [u8; 32],
    /// Transactions waiting.
    pub pool: usize,
}

/// The chain. Object-safe; see the module's page for the contract.
pub trait Chain {
    /// Height and state.
    fn status(&self) -> ChainStatus;

    /// A grant the authority signed: from now on `node`'s key signs for (`cluster`, `epoch`). Told in order of
    /// epochs, on every node, before anything that such a key signed. Telling twice is harmless.
    fn learn_grant(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId);

    /// A new roster is in force (a node was added or removed). Clusters do not change.
    fn learn_roster(&mut self, roster: &duohuo_wire::roster::Roster);

    /// This node is master of its cluster for `epoch`: rebuild the consensus core from the log (`log` holds the
    /// entries of heights above [`Chain::status`]'s only, in order; empty for a fresh height), re-send the recorded
    /// bytes, then go on. May be called again with a higher epoch without [`Chain::follow`] between.
    ///
    /// At heights up to `closed` it signs nothing, whatever it hears: a fence stands there (rule 17). It follows the
    /// others' blocks until they are above.
    fn lead(&mut self, now: Instant, epoch: Epoch, log: &[Record], closed: Height);

    /// Whether a height is begun and its block not yet durable here.
    fn is_working(&self) -> bool;

    /// This node is not master (any more): drop the core and everything that is not in the log; keep the blocks.
    fn follow(&mut self);

    /// A session with another cluster's current master is up: say hello and re-send what that peer may lack.
    fn peer_up(&mut self, now: Instant, peer: ClusterId);

    /// A consensus message from the current master of `from`.
    fn receive(&mut self, now: Instant, from: ClusterId, message: &Bytes) -> Reception;

    /// A client's transaction.
    ///
    /// # Errors
    /// Why it was not taken.
    fn submit(&mut self, now: Instant, transaction: &Bytes) -> Result<TransactionId, SubmitError>;

    /// The [`ChainOutput::Commit`] of `height` passed the gate and is durable here: go on.
    fn committed(&mut self, now: Instant, height: Height);

    /// A block that another node committed (pushed, or pulled): verify its certificate, execute it. While leading,
    /// the current height's work is dropped and the next height begins after [`Chain::committed`].
    ///
    /// # Errors
    /// Why it was refused.
    fn apply(&mut self, now: Instant, block: &Bytes) -> Result<Height, BlockError>;

    /// Load a block of our own store at start, trusted: execute it without checking the certificate.
    ///
    /// # Errors
    /// The store is damaged.
    fn restore(&mut self, block: &Bytes) -> Result<Height, BlockError>;

    /// Whether a snapshot is proven, and what it is made of. A chain without snapshots takes none.
    ///
    /// # Errors
    /// [`BlockError::BadCertificate`] if it is not, [`BlockError::UnknownGrant`] if that cannot be said yet.
    fn plan(&self, _manifest: &Bytes, _proof: &Bytes) -> Result<SnapshotPlan, BlockError> {
        Err(BlockError::Malformed)
    }

    /// Whether these bytes are that piece of a snapshot.
    fn is_chunk(&self, _manifest: &Bytes, _index: u32, _chunk: &Bytes) -> bool {
        false
    }

    /// Put a snapshot in the place of the state: one of our own store, or one that [`Chain::plan`] found proven. While
    /// leading it is as with [`Chain::apply`]: the height's work is dropped, and the next begins after
    /// [`Chain::committed`].
    ///
    /// # Errors
    /// The chunks are not those of the manifest, or its height is not above ours; nothing changed.
    fn restore_snapshot(&mut self, _manifest: &Bytes, _chunks: &[Bytes]) -> Result<Height, BlockError> {
        Err(BlockError::Malformed)
    }

    /// A client's question about the state after the last block; `None`: it is no question of this chain.
    fn query(&self, _question: &Bytes) -> Option<Bytes> {
        None
    }

    /// What the chain beside this node says, where the chain is such a one.
    fn told(&mut self, _word: Word) -> WordAnswer {
        WordAnswer::NoHooks
    }

    /// The signed words inside a message, for observers and events.
    fn votes_in(&self, message: &Bytes) -> Vec<VoteSeen>;

    /// Fault injection for drills and tests (REC-3): while set, execution computes wrong results.
    fn inject_wrong_results(&mut self, on: bool);

    /// What it holds in memory beside its state and its pool.
    fn held(&self) -> Vec<Held> {
        Vec::new()
    }

    /// Throw the application's state away and execute the stored blocks anew: `restore` is called for each after it.
    fn reset(&mut self);

    /// Time passed; at or after [`Chain::poll_timeout`].
    fn tick(&mut self, now: Instant);

    /// When [`Chain::tick`] is wanted.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The next thing to do; the machine drains this after each call.
    fn poll_output(&mut self) -> Option<ChainOutput>;
}
