//! Following a master: its log (R3; rules 8 to 12) and its blocks (IN-5), pushed and pulled.

use super::log::Log;
use super::parts::{LogName, Parts, Taken};
use super::serving::CATCH_UP_BYTES;
use super::{After, Duty, Node};
use crate::chain::{BlockError, HaltReason, Record};
use crate::discard::Discard;
use crate::held::Held;
use crate::io::{Table, Write};
use crate::links::Party;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Epoch, Height, LogIndex, NodeId};
use duohuo_wire::lease::LeaseRequest;
use duohuo_wire::packet::{Ack, Append, BlockPush, ChainQuery, Packet, QueryScope, Resync, WireRecord};
use duohuo_wire::parts::{LogPart, PartsHeld};

/// A query for blocks, or for a part of a log, that brought nothing for so long is sent again.
pub(super) const CATCH_UP_PATIENCE: Duration = Duration::from_millis(250);

/// What a follower tells its master, and only when it is durable (rule 9, I2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Acknowledgement {
    pub(super) promised: Epoch,
    pub(super) synced: Epoch,
    pub(super) end: u64,
    pub(super) height: Height,
}

/// Blocks that somebody was asked for, one query at a time.
#[derive(Clone, Copy)]
struct Asked {
    party: Party,
    /// When, or when the last of them was taken.
    at: Instant,
    /// Where the chain stood then.
    height: Height,
    /// It was answered, and none could be taken.
    brought_nothing: bool,
    /// A grant was learnt since: what could not be taken may be now.
    is_wiser: bool,
}

#[derive(Default)]
pub(super) struct FollowerState {
    /// The newest durable state.
    pub(super) told: Acknowledgement,
    /// The master gave us its log on the stream that stands: what it appends extends ours.
    in_step: bool,
    /// What is here of a log that comes in parts, and when the next one was asked for.
    parts: Parts,
    asked_part: Option<Instant>,
    /// Our master's log stands on blocks up to here, which we lack: it is asked for again when they are here.
    awaited: Option<Height>,
    /// Blocks asked for.
    catching_up: Option<Asked>,
    /// Several were asked, and what they sent could not be taken: where the chain stood, and when.
    pub(super) stuck: Option<(Height, Instant)>,
    /// When a log that was appended to without being ours was asked for anew.
    asked_anew: Option<Instant>,
}

impl FollowerState {
    pub(super) fn held(&self) -> Held {
        self.parts.held()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.catching_up.map(|asked| asked.at + CATCH_UP_PATIENCE)
    }
}

impl Node {
    /// The state of the log and the chain now; as durable as the writes queued so far.
    pub(super) fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement {
            promised: self.log.promised(),
            synced: self.log.synced(),
            end: self.log.acknowledged(),
            height: self.height,
        }
    }

    /// Durable now: tell the master of that epoch.
    pub(super) fn acknowledge(&mut self, state: Acknowledgement) {
        assert!(state.promised >= self.follower.told.promised, "a promise never falls");
        self.follower.told = state;
        if self.follower.in_step {
            self.send_ack();
        }
    }

    fn send_ack(&mut self) {
        let state = self.follower.told;
        if matches!(self.duty, Duty::Lead(_) | Duty::Halted) {
            return;
        }
        let Some(row) = self.own_row() else { return };
        let master = row.master;
        if master == self.me || state.promised.max(self.log.bound()) > row.epoch {
            return;
        }
        let epoch = row.epoch;
        let follows = self.follower.in_step && state.promised == epoch && state.synced == epoch;
        let extensions = follows
            .then(|| self.lease_to_give())
            .flatten()
            .map_or_else(Default::default, duohuo_wire::lease::LeaseGiven::extensions);
        let ack = Ack {
            epoch,
            end: LogIndex(state.end),
            height: state.height,
            // Not in step: it asks for a resync.
            synced: if self.follower.in_step { state.synced } else { Epoch(0) },
            extensions,
        };
        self.links.send_stream(Party::Node(master), &Packet::from(ack), &mut self.out);
    }

    /// R3, rule 8: listen to the master of the newest row only, and to no epoch below the promised one.
    fn check_master(&self, node: NodeId, epoch: Epoch) -> Result<(), Discard> {
        let row = self.own_row().ok_or(Discard::UnknownEpoch)?;
        if epoch < row.epoch || epoch < self.log.bound() {
            return Err(Discard::OldEpoch);
        }
        if epoch > row.epoch {
            return Err(Discard::UnknownEpoch);
        }
        if row.master != node || row.master == self.me {
            return Err(Discard::Forbidden);
        }
        if matches!(self.duty, Duty::Lead(_) | Duty::Adopt(_) | Duty::Fence(_) | Duty::Halted) {
            return Err(Discard::Forbidden);
        }
        Ok(())
    }

    pub(super) fn on_resync(&mut self, node: NodeId, resync: Resync) -> Result<(), Discard> {
        self.check_master(node, resync.epoch)?;
        let part = LogPart::of(&resync.extensions);
        let first = part.map_or(resync.start, |part| part.first).0;
        if !Log::is_in_range(resync.start.0) || first > resync.start.0 {
            return Err(Discard::Unexpected);
        }
        if self.height < resync.height {
            // Its log stands on blocks that we lack: fetch them, then ask for the log again.
            self.follower.parts = Parts::default();
            self.follower.awaited = Some(resync.height);
            if !self.consider_catch_up(Party::Node(node), resync.height) {
                self.catch_up(Party::Node(node));
            }
            return Ok(());
        }
        if self.log.leaves_gap(resync.epoch, first) {
            return Err(Discard::Unexpected);
        }
        let records = into_records(resync.records);
        let log = LogName { epoch: resync.epoch, height: resync.height, first };
        match part {
            Some(part) => self.take_part(log, resync.start.0, part.is_followed, records),
            None => self.take_log(log, records),
        }
    }

    /// A log that is longer than a packet (B-LOG-12): without effect before all of it is here.
    fn take_part(
        &mut self,
        log: LogName,
        start: u64,
        is_followed: bool,
        records: Vec<Record>,
    ) -> Result<(), Discard> {
        match self.follower.parts.take(log, start, is_followed, records) {
            Taken::Whole(records) => self.take_log(log, records),
            Taken::Next(_) => {
                self.ask_for_part();
                Ok(())
            }
            Taken::Known => Ok(()),
            Taken::Stray => {
                self.ask_anew();
                Err(Discard::Unexpected)
            }
            Taken::TooLong => Err(Discard::Unexpected),
        }
    }

    /// The next part of the log that is on its way. The Ack tells what is durable, as every one does, and claims nothing of that
    /// log.
    fn ask_for_part(&mut self) {
        let Some(master) = self.own_row().map(|row| row.master) else { return };
        let (parts, told) = (&self.follower.parts, self.follower.told);
        let Some(LogName { epoch, first, .. }) = parts.log() else { return };
        let held = PartsHeld { first: LogIndex(first), next: LogIndex(parts.next()) };
        self.follower.asked_part = Some(self.now);
        let ack = Ack {
            epoch,
            end: LogIndex(told.end),
            height: told.height,
            synced: Epoch(0),
            extensions: held.extensions(),
        };
        self.links.send_stream(Party::Node(master), &Packet::from(ack), &mut self.out);
    }

    /// The master's log, all of it.
    fn take_log(&mut self, log: LogName, records: Vec<Record>) -> Result<(), Discard> {
        self.follower.parts = Parts::default();
        self.learn_promises(&records);
        let (synced, end) = (self.log.synced(), self.log.end());
        match self.log.resync(log.epoch, log.height, log.first, records) {
            Ok(mut writes) => {
                // The first of this epoch, and what is here is what the master has: beside the promise there is nothing to write, and
                // the note stands for that (B-NOTE-6).
                let is_same = synced < log.epoch && end == self.log.end() && writes.iter().all(is_meta);
                if is_same && self.log.is_noted(log.epoch) {
                    self.owe_promise();
                    writes.clear();
                }
                self.follower.in_step = true;
                self.follower.awaited = None;
                let state = self.acknowledgement();
                self.persist(writes, After::Acknowledge(state));
                Ok(())
            }
            Err(_) => {
                self.halt(HaltReason::ReplayDivergence);
                Err(Discard::Unexpected)
            }
        }
    }

    /// The master takes us to be in step, and we are not: unless we wait for its blocks, its log did not get here, and it
    /// would not give it again by itself (B-LOG-11).
    fn ask_anew(&mut self) {
        let waits = self.follower.awaited.is_some()
            || self.follower.catching_up.is_some()
            || self.follower.parts.log().is_some();
        let asked =
            self.follower.asked_anew.is_some_and(|at| self.now - at < self.config.timers.retry_interval);
        if !waits && !asked {
            self.follower.asked_anew = Some(self.now);
            self.send_ack();
        }
    }

    /// Whether a later part of our master's log has what it appends now. One that was asked for long ago is asked for again.
    fn awaits_parts(&mut self) -> bool {
        self.follower.parts.forget_given_up(self.height);
        if self.follower.parts.log().is_none() {
            return false;
        }
        let is_late = self.follower.asked_part.is_none_or(|at| self.now - at >= CATCH_UP_PATIENCE);
        if is_late && self.follower.parts.is_wanted() {
            self.ask_for_part();
        }
        true
    }

    pub(super) fn on_append(&mut self, node: NodeId, append: Append) -> Result<(), Discard> {
        self.check_master(node, append.epoch)?;
        self.heard_as_master(node);
        let synced = self.log.synced() == append.epoch && self.log.promised() == append.epoch;
        if !synced || !self.follower.in_step {
            if self.awaits_parts() {
                return Ok(());
            }
            self.ask_anew();
            return Err(Discard::Unexpected);
        }
        let records = into_records(append.records);
        self.learn_promises(&records);
        let Some(writes) = self.log.extend(append.start.0, records) else {
            return Err(Discard::Unexpected);
        };
        self.log.note_released(append.released.0);
        if let Some(request) = LeaseRequest::of(&append.extensions) {
            self.on_lease_request(request);
        }
        let state = self.acknowledgement();
        self.persist(writes, After::Acknowledge(state));
        Ok(())
    }

    /// A block, pushed or pulled: verify, execute, keep.
    pub(super) fn on_block(&mut self, from: Party, push: &BlockPush) -> Result<(), Discard> {
        if self.keep_early(from, push) {
            self.run_far_catch_up();
            return Ok(());
        }
        match self.chain.apply(self.now, &push.block) {
            Ok(height) => {
                self.applied(height, push.block.clone());
                Ok(())
            }
            Err(BlockError::Old) => Ok(()),
            Err(BlockError::Gap) => {
                if !self.consider_catch_up(from, push.height) {
                    self.catch_up(from);
                }
                Ok(())
            }
            Err(BlockError::UnknownGrant(..)) => {
                self.query(QueryScope::History);
                Ok(())
            }
            Err(BlockError::Malformed | BlockError::WrongParent | BlockError::BadCertificate) => {
                Err(Discard::BadBlock)
            }
        }
    }

    /// The chain executed a block that was decided elsewhere.
    pub(super) fn applied(&mut self, height: Height, block: Bytes) {
        let writes = self.keep_block(height, block.clone());
        let state_hash = self.chain.status().state_hash;
        self.persist(writes, After::Committed(height, Some(state_hash)));
        if matches!(self.duty, Duty::Lead(_)) {
            let push = Packet::from(BlockPush { height, block, ..Default::default() });
            self.tell_members(&push);
            self.give_log_anew();
        }
        self.after_applying(height);
    }

    /// The chain stands at `height`, and what it stands on is on its way to the disk.
    pub(super) fn after_applying(&mut self, height: Height) {
        if !matches!(self.duty, Duty::Lead(_)) {
            let state = self.acknowledgement();
            self.persist(Vec::new(), After::Acknowledge(state));
        }
        self.renew_catch_up();
        if self.follower.awaited.is_some_and(|awaited| height >= awaited) {
            self.follower.awaited = None;
            self.send_ack(); // not in step: it asks for the log
        }
        self.run_chain();
    }

    /// A stream ended: what was asked for by it will not be answered.
    pub(super) fn stop_catch_up(&mut self, party: Party) {
        if self.follower_asks(party) {
            self.follower.catching_up = None;
        }
        self.lose_source(party);
    }

    /// The stream to a member ended: if it was the master's, its log must be given to us anew.
    pub(super) fn out_of_step(&mut self, node: NodeId) {
        if self.own_row().is_none_or(|r| r.master == node) {
            self.follower.in_step = false;
            self.follower.parts = Parts::default();
        }
    }

    /// Pull blocks from a party, one query at a time. Who brought nothing keeps nobody else from being asked.
    pub(super) fn catch_up(&mut self, from: Party) {
        if self.far.is_some() {
            return self.run_far_catch_up();
        }
        let waits = |asked: Asked| {
            self.now - asked.at < CATCH_UP_PATIENCE && (asked.party == from || !asked.brought_nothing)
        };
        if self.follower.catching_up.is_some_and(waits) {
            return;
        }
        self.ask_blocks(from);
    }

    /// A grant was learnt: it may be what a block could not be taken without (B-BLK-4).
    pub(super) fn catch_up_anew(&mut self) {
        self.follower.stuck = None;
        let Some(asked) = &mut self.follower.catching_up else { return };
        asked.is_wiser = true;
        if asked.brought_nothing {
            let party = asked.party;
            self.ask_blocks(party);
        }
    }

    fn ask_blocks(&mut self, from: Party) {
        let query = ChainQuery { from: self.height.next(), max_bytes: CATCH_UP_BYTES, ..Default::default() };
        let asked = self.links.send_stream(from, &Packet::from(query), &mut self.out);
        let (at, height) = (self.now, self.height);
        self.follower.catching_up =
            asked.then_some(Asked { party: from, at, height, brought_nothing: false, is_wiser: false });
    }

    /// Whoever was asked for blocks is waited for no longer; the next push or resync starts another query.
    pub(super) fn give_up_catching_up(&mut self) {
        self.follower.catching_up = None;
        self.give_up_far_catch_up();
    }

    /// Several are asked from now on.
    pub(super) fn follower_asks_nobody(&mut self) {
        self.follower.catching_up = None;
    }

    /// Whether this very party was asked for blocks.
    pub(super) fn follower_asks(&self, party: Party) -> bool {
        self.follower.catching_up.is_some_and(|asked| asked.party == party)
    }

    fn renew_catch_up(&mut self) {
        if let Some(asked) = &mut self.follower.catching_up {
            asked.at = self.now;
        }
    }

    pub(super) fn fetch_from_cluster(&mut self, cluster: ClusterId) {
        if let Some(master) = self.rows.get(&cluster).map(|s| s.row.master) {
            self.catch_up(Party::Node(master));
        }
    }

    /// The end of an answer: ask for more, or go on with the log. An answer of which no block could be taken is not asked for
    /// again at once: it may be the same for long, since a grant is unknown and the authority is away, or a liar's (B-BLK-12).
    pub(super) fn on_chain_end(&mut self, from: Party, height: Height) {
        if self.range_ended(from, height) {
            return;
        }
        let own = self.height;
        let Some(asked) = self.follower.catching_up.as_mut().filter(|asked| asked.party == from) else {
            return;
        };
        if height > own && own == asked.height && !asked.is_wiser {
            asked.brought_nothing = true;
            return;
        }
        self.follower.catching_up = None;
        if self.consider_catch_up(from, height) {
            return;
        }
        if height > self.height {
            self.ask_blocks(from);
        } else if !self.follower.in_step {
            self.send_ack();
        }
    }

    /// A query that brought nothing is given up; the next push or resync starts another.
    pub(super) fn run_catch_up(&mut self) {
        self.run_far_catch_up();
        let Some(asked) = self.follower.catching_up else {
            return;
        };
        if self.now - asked.at >= CATCH_UP_PATIENCE {
            self.follower.catching_up = None;
            if self.links.stream_of(asked.party).is_some() {
                self.ask_blocks(asked.party);
            }
        }
    }
}

/// Whether it says something about the log, and is no part of it.
const fn is_meta(write: &Write) -> bool {
    matches!(write, Write::Put { table: Table::Meta, .. })
}

fn into_records(records: Vec<WireRecord>) -> Vec<Record> {
    records.into_iter().map(|r| Record { height: r.height, epoch: r.epoch, bytes: r.bytes }).collect()
}
