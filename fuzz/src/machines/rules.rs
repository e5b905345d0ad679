//! What must hold of all that a machine says, seen from outside, besides its own assertions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, Bytes};
use core::net::SocketAddr;
use duohuo_core::{
    Instant,
    authority::table::{Command, Table},
    event::Event,
    io::{Output, Table as StoreTable, Write},
    store::META_PROMISE,
};
use duohuo_tests::{checker::Checker, consortium::Consortium, host::Disk};
use duohuo_wire::{
    header::MAX_DATAGRAM,
    ids::{ClusterId, Epoch, NodeId, Version},
    packet::Packet,
    statement::{Row, SignedRow},
};

/// Outputs that one input may cause: far above what the largest does, far below what would hurt.
const MAX_OUTPUTS: usize = 20_000;
/// Bytes that one input may make it send.
const MAX_SENT_BYTES: usize = 64 << 20;

/// Watches one machine over all its lives.
pub(super) struct Rules {
    authority: bool,
    verify: duohuo_wire::sign::VerifyingKey,
    last_token: u64,
    dialled: BTreeSet<u64>,
    outputs: usize,
    sent_bytes: usize,
    /// The rows that have been durable, and the newest told of each cluster.
    durable_rows: BTreeMap<(ClusterId, Epoch, Version), Row>,
    table: Table,
    told: BTreeMap<ClusterId, (Epoch, Version)>,
    /// Promised and synced on the node's disk.
    promise: (u64, u64),
    checker: Checker,
}

impl Rules {
    pub(super) fn new(target: NodeId, consortium: &Consortium) -> Self {
        Self {
            authority: target == NodeId::AUTHORITY,
            verify: consortium.keys[&NodeId::AUTHORITY].signing.verifying_key(),
            last_token: 0,
            dialled: BTreeSet::new(),
            outputs: 0,
            sent_bytes: 0,
            durable_rows: BTreeMap::new(),
            table: Table::default(),
            told: BTreeMap::new(),
            promise: (0, 0),
            checker: Checker::default(),
        }
    }

    /// A new life: tokens and streams begin anew; what was told and what is durable stay.
    pub(super) fn restarted(&mut self) {
        self.last_token = 0;
        self.dialled.clear();
    }

    /// Before the outputs of one input.
    pub(super) fn begin(&mut self) {
        (self.outputs, self.sent_bytes) = (0, 0);
    }

    /// One output.
    pub(super) fn output(&mut self, now: Instant, from: NodeId, output: &Output) {
        self.outputs += 1;
        assert!(self.outputs <= MAX_OUTPUTS, "one input causes a bounded number of outputs");
        match output {
            Output::Datagram { bytes, .. } => {
                assert!(bytes.len() <= MAX_DATAGRAM as usize, "never fragmented");
                self.sent_bytes += bytes.len();
            }
            Output::StreamBytes { bytes, .. } => self.sent_bytes += bytes.len(),
            Output::Dial { stream, .. } => {
                assert!(stream.0 % 2 == 1 && self.dialled.insert(stream.0), "odd names, each once");
            }
            Output::Persist { token, .. } => {
                assert_eq!(*token, self.last_token + 1, "tokens grow by one");
                self.last_token = *token;
            }
            // What others said may conflict, since they lie; a halt is an answer to lies.
            Output::Event(Event::Received(_) | Event::Halted { .. }) => {}
            Output::Event(event) => {
                self.checker.event(now, from, event);
                self.checker.check(now);
            }
            _ => {}
        }
        assert!(self.sent_bytes <= MAX_SENT_BYTES, "one input causes bounded sending");
    }

    /// A stranger gets no more bytes than it sent.
    pub(super) fn answered(&self, to: SocketAddr, asked: usize, answers: &[(SocketAddr, usize)]) {
        let answered: usize =
            answers.iter().filter(|(address, _)| *address == to).map(|(_, bytes)| bytes).sum();
        assert!(answered <= asked, "{answered} bytes for {asked} would amplify");
    }

    /// A batch is durable; the machine has not been told yet.
    pub(super) fn durable(&mut self, writes: &[Write], disk: &Disk) {
        for write in writes {
            if let Write::Put { table: StoreTable::Command, key, value } = write {
                self.command(*key, value);
            }
        }
        if let Some(bytes) = disk.get(&(StoreTable::Meta, META_PROMISE)) {
            let mut bytes = bytes.clone();
            let promise = (bytes.get_u64(), bytes.get_u64());
            assert!(promise.0 >= self.promise.0, "a promise never falls");
            assert!(promise.1 >= self.promise.1, "nor does the epoch of the log");
            self.promise = promise;
        }
    }

    fn command(&mut self, key: u64, value: &Bytes) {
        let command = Command::decode(value).expect("the authority's log can be read");
        self.table.apply(&command).expect("each command follows the one before");
        assert_eq!(self.table.version(), key, "commands are numbered by the table's version");
        for (_, entry) in self.table.entries() {
            let row = entry.row.clone();
            let before = self.durable_rows.insert((row.cluster, row.epoch, row.version), row.clone());
            assert!(before.is_none_or(|before| before == row), "one row for each epoch and version");
        }
    }

    /// What the machine said and its receiver opened.
    pub(super) fn said(&mut self, packet: &Packet) {
        match packet {
            Packet::Notice(notice) if self.authority => self.row(&notice.row),
            Packet::ForcedSwitch(switch) if self.authority => {
                let entry = self.table.entry(switch.order.cluster).expect("it switches what it registered");
                let planned = switch.order.height.0 == 0;
                let barred = entry.row.barred.contains(&switch.order.old_master);
                assert!(planned || barred, "the bar is durable first (I9)");
                assert!(switch.order.verify(&self.verify));
            }
            Packet::NodeKeepalive(keepalive) => {
                assert!(keepalive.promised.0 <= self.promise.0, "what is announced as promised is durable");
            }
            Packet::Ack(ack) => {
                assert!(ack.synced.0 <= self.promise.1, "what is acknowledged is durable (I2)");
            }
            Packet::Consensus(word) => {
                assert!(word.epoch.0 <= self.promise.0, "nobody speaks in an epoch it has not promised (I1)");
            }
            _ => {}
        }
    }

    /// A row that the authority tells: signed, durable, and not older than what it told of this cluster before.
    fn row(&mut self, signed: &SignedRow) {
        assert!(signed.verify(&self.verify));
        let row = &signed.row;
        let known = self.durable_rows.get(&(row.cluster, row.epoch, row.version));
        assert_eq!(known, Some(row), "no output contradicts the durable table (I9)");
        let at = (row.epoch, row.version);
        let before = self.told.insert(row.cluster, at).unwrap_or_default();
        assert!(before <= at, "epoch and version of {} fell from {before:?} to {at:?}", row.cluster);
    }
}
