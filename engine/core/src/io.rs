//! What goes into a machine and what comes out: the whole of its world.
//!
//! # Contract
//! The caller owns the time, the sockets and the disk. It calls [`Machine::handle`] with one [`Input`] and the time,
//! then [`Machine::poll_output`] until it answers `None`, carrying the outputs out **in order**, then
//! [`Machine::poll_timeout`], and comes back with [`Input::Tick`] at or after that instant. Handling an input before
//! the outputs of the last one were drained is a bug of the caller and panics.
//!
//! What depends on something being durable is queued only after the caller has said [`Input::Persisted`]: the caller
//! may write [`Output::Persist`] batches at leisure (grouping is welcome) but must make them durable in order of their
//! tokens, each batch whole or not at all, and must not say `Persisted` before they are.

use crate::event::Event;
use crate::outside::{Report, WordAnswer};
use crate::time::Instant;
use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::status::StatusReport;
use duohuo_wire::takeover::Takeover;
use std::collections::BTreeMap;

/// Names one byte stream (a TCP connection). The caller takes even numbers for those it accepted, the machine odd
/// numbers for those it dials. Never used twice in one run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamId(pub u64);

/// What happened to the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time passed.
    Tick,
    /// A datagram came.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// Whether it came by the multicast group's socket.
        group: bool,
        /// Its payload.
        bytes: Bytes,
    },
    /// A peer opened a stream to us.
    StreamAccepted {
        /// Its name: even.
        stream: StreamId,
        /// From where.
        from: SocketAddr,
    },
    /// A stream that [`Output::Dial`] asked for is open.
    StreamOpened {
        /// Its name.
        stream: StreamId,
    },
    /// Bytes came by a stream, cut anywhere.
    StreamBytes {
        /// Which.
        stream: StreamId,
        /// The bytes.
        bytes: Bytes,
    },
    /// A stream ended, or could not be opened. Never said of one that [`Output::CloseStream`] closed.
    StreamClosed {
        /// Which.
        stream: StreamId,
    },
    /// All batches up to this token are durable.
    Persisted {
        /// Of [`Output::Persist`].
        token: u64,
    },
    /// A batch could not be made durable (a full or broken disk); none later will be tried.
    PersistFailed,
    /// The answer to [`Output::ReadBlocks`].
    BlocksRead {
        /// Of the request.
        token: u64,
        /// Blocks in order of height, without a gap; empty if there is none.
        blocks: Vec<(Height, Bytes)>,
    },
    /// The answer to [`Output::ReadChunk`].
    ChunkRead {
        /// Of the request.
        token: u64,
        /// The value; empty if there is none.
        chunk: Bytes,
    },
    /// The operator put a new roster in place; already verified against the operator's key.
    Roster(Box<Roster>),
    /// A drill: from now on (or no longer) compute wrong results (REC-3).
    WrongResults(bool),
    /// The operator wants so many blocks kept below the newest proven snapshot.
    KeepBlocks(u64),
    /// News of what acts outside the chain (design R7).
    Outside(Report),
    /// Stop in good order: resign.
    Shutdown,
}

/// What the machine wants done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a datagram by the unicast socket.
    Datagram {
        /// To where; may be the multicast group's address.
        to: SocketAddr,
        /// At most 1200 bytes.
        bytes: Bytes,
    },
    /// Open a stream; answered by `StreamOpened` or `StreamClosed`.
    Dial {
        /// Its name: odd.
        stream: StreamId,
        /// To where.
        to: SocketAddr,
    },
    /// Send by a stream. The caller queues; over its bound it closes the stream and says `StreamClosed`.
    StreamBytes {
        /// Which.
        stream: StreamId,
        /// The bytes.
        bytes: Bytes,
    },
    /// End a stream, after what was queued.
    CloseStream {
        /// Which.
        stream: StreamId,
    },
    /// Make durable, atomically.
    Persist {
        /// Grows by one with each batch, from 1.
        token: u64,
        /// In order.
        writes: Vec<Write>,
    },
    /// Read committed blocks; answered by `BlocksRead` at any later time.
    ReadBlocks {
        /// Names the request.
        token: u64,
        /// First height wanted.
        from: Height,
        /// Stop after so many bytes, but give at least one block.
        max_bytes: u32,
    },
    /// Act outside the chain, or go on acting (design R7). Said again whenever the times change.
    Act {
        /// In this epoch.
        epoch: Epoch,
        /// At this instant the caller begins to end it by itself, unless told a later one before.
        stop_at: Instant,
        /// By this instant it has ended, by force if need be.
        until: Instant,
    },
    /// End it now; answered by [`Report::Stopped`] when it has.
    StopActing,
    /// What acts must confirm nothing that one of these lacks; answered by [`Report::Covers`].
    Cover {
        /// Without ourselves.
        members: Vec<NodeId>,
    },
    /// This node's copy follows this master's.
    Follow {
        /// The master's epoch.
        epoch: Epoch,
        /// Who.
        master: NodeId,
        /// Where.
        address: SocketAddr,
    },
    /// The answer to [`Report::Word`].
    Answer {
        /// Of the question.
        token: u64,
        /// What came of it.
        answer: WordAnswer,
    },
    /// Read one value of [`Table::Snapshot`]; answered by `ChunkRead` at any later time.
    ReadChunk {
        /// Names the request; of the same row as those of `ReadBlocks`.
        token: u64,
        /// Its key.
        key: u64,
    },
    /// Something worth telling an operator; has no effect on the protocol.
    Event(Event),
    /// A key that came into use, before the first packet under it: for the key log, if there is one.
    #[cfg(feature = "key-log")]
    Key(duohuo_wire::key_log::Entry),
    /// The machine cannot go on (an operator's file is unusable, the disk failed): exit with the event told last.
    Exit,
}

/// The tables of the store: ordered maps from a number to bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    /// Single values; keys are in [`crate::store`].
    Meta,
    /// The log of uncommitted heights, by log index.
    Record,
    /// Committed blocks, by height.
    Block,
    /// The authority's commands, by sequence.
    Command,
    /// Pieces of snapshots; keys are in [`crate::store`].
    Snapshot,
}

/// One change of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// Set a value.
    Put {
        /// Where.
        table: Table,
        /// Key.
        key: u64,
        /// Value.
        value: Bytes,
    },
    /// Remove all keys in `from..to`.
    DeleteRange {
        /// Where.
        table: Table,
        /// First key removed.
        from: u64,
        /// First key kept.
        to: u64,
    },
}

/// What the store held at start, but for snapshots and blocks, which go to the chain one by one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// Table [`Table::Meta`].
    pub meta: BTreeMap<u64, Bytes>,
    /// Table [`Table::Record`].
    pub records: BTreeMap<u64, Bytes>,
    /// Table [`Table::Command`].
    pub commands: BTreeMap<u64, Bytes>,
}

/// How a master came to act, as it was measured (spec/behaviour.md 4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// In which epoch.
    pub epoch: Epoch,
    /// Who.
    pub to: NodeId,
    /// When it was granted, microseconds since 1970; 0: not known here.
    pub granted_us: u64,
    /// By the new master's clock.
    pub takeover: Takeover,
    /// How long nobody could speak, in microseconds, if that is known.
    pub outage_us: Option<u64>,
}

/// A state machine without IO; see the module's page for the contract.
pub trait Machine {
    /// Take one input.
    fn handle(&mut self, now: Instant, input: Input);
    /// The next thing to do.
    fn poll_output(&mut self) -> Option<Output>;
    /// When a [`Input::Tick`] is wanted.
    fn poll_timeout(&self) -> Option<Instant>;
    /// What it says of itself, for those who look; has no effect. A machine at which nobody looks may leave it out.
    fn about(&self) -> StatusReport {
        StatusReport::default()
    }
    /// How masters came to act lately, as far as it was measured, oldest first; for those who look.
    fn measured(&self) -> Vec<Measured> {
        Vec::new()
    }
    /// Everybody, as it knows them now; for those who look.
    fn roster_in_force(&self) -> Option<&Roster> {
        None
    }
}
