//! Acting as master: from the adopted grant to what the chain says leaving by the gate (rules 15, 16, 18 to 23).

use super::gate::Gated;
use super::log::Log;
use super::master::Master;
use super::neighbours::{Neighbour, Neighbours};
use super::outside::Outside;
use super::{After, Duty, Node};
use crate::chain::{ChainOutput, HaltReason, Reception, Record, VoteSeen};
use crate::config::Timers;
use crate::discard::Discard;
use crate::event::Event;
use crate::io::{Table, Write};
use crate::links::{Links, Party};
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Epoch, Height, LogIndex, NodeId};
use duohuo_wire::lease::LeaseGiven;
use duohuo_wire::packet::{
    Ack, Append, BlockPush, Change, ChangeKind, Consensus, ConsensusError, Packet, QueryScope, Resync,
    SubmitVerdict, WireRecord,
};
use duohuo_wire::parts::{LogPart, PartsHeld};
use duohuo_wire::statement::{Row, SignedResult};
use duohuo_wire::tlv::Extensions;

/// Records of the log that are neither on our disk nor with the members yet.
#[derive(Default)]
pub(super) struct Unwritten {
    records: Vec<WireRecord>,
    writes: Vec<Write>,
    /// Something waits at the gate for them.
    is_needed: bool,
}

impl Node {
    /// The promise is durable: the role begins, if the row still says so.
    pub(super) fn begin_to_lead(&mut self, epoch: Epoch) {
        self.follower.told.promised = epoch;
        if !matches!(self.duty, Duty::Adopt(adopted) if adopted == epoch) {
            return;
        }
        self.noted.promised(self.now, epoch);
        let Some(row) = self.own_row().filter(|r| r.epoch == epoch && !r.barred.contains(&self.me)).cloned()
        else {
            self.duty = Duty::Follow;
            self.consider();
            return;
        };
        if row.unfenced {
            self.begin_fence(&row);
        } else {
            self.begin_to_act(&row);
        }
    }

    /// The role itself, once nothing stands against it.
    pub(super) fn begin_to_act(&mut self, row: &Row) {
        let epoch = row.epoch;
        self.duty = Duty::Lead(Box::new(Master::new(self.now, self.me, row, self.log.end())));
        let grace = self.group_grace();
        let generation = u32::try_from(epoch.0).unwrap_or(u32::MAX);
        let key = self.group.make(self.now, generation, grace, &mut self.random);
        self.tell_members(&Packet::from(key));
        // With the rows first, which say that this is the master: registration data is taken from nobody else.
        self.greet_members();
        let (closed, records) = self.chain_log();
        self.chain.lead(self.now, epoch, &records, closed);
        // OUT-4: who are the others now?
        self.query(QueryScope::Changed);
        self.consider();
        self.run_mesh();
        self.run_chain();
    }

    /// What the chain goes on from: its own records, and the height up to which it must sign nothing.
    pub(super) fn chain_log(&self) -> (Height, Vec<Record>) {
        let (own, chains): (Vec<Record>, Vec<Record>) =
            self.log.records_from(0).cloned().partition(Record::is_own);
        let closed = own.iter().filter(|r| r.is_closed()).map(|r| r.height).max();
        (closed.unwrap_or_default(), chains)
    }

    /// The authority wants another master by an operator's order: this one finishes its height and resigns.
    pub(super) fn begin_to_hand_over(&mut self, epoch: Epoch, from: NodeId) -> Result<(), Discard> {
        let patience = self.config.timers.dead_interval * 2;
        let me = self.me;
        let Duty::Lead(master) = &mut self.duty else {
            return Err(Discard::Unexpected);
        };
        if master.epoch() != epoch || from != me {
            return Err(Discard::Unexpected);
        }
        if master.hand_over_at.is_none() {
            master.hand_over_at = Some(self.now + patience);
            self.end_acting();
        }
        self.hand_over();
        Ok(())
    }

    /// Resign if there is nothing to finish, or it takes too long.
    pub(super) fn hand_over(&mut self) {
        let Duty::Lead(master) = &self.duty else { return };
        let Some(at) = master.hand_over_at else { return };
        let idle = master.gate.is_empty() && !self.chain.is_working() && !self.is_ending_to_act();
        if idle || self.now >= at {
            self.hand_over_now();
        }
    }

    /// A block is kept and the next height has said nothing: the best moment, unless what acts outside is still being ended.
    pub(super) fn hand_over_between_heights(&mut self) {
        let handing_over = matches!(&self.duty, Duty::Lead(master) if master.hand_over_at.is_some());
        if handing_over && !self.is_ending_to_act() {
            self.hand_over_now();
        }
    }

    fn hand_over_now(&mut self) {
        self.give_lease_back();
        self.resign();
        self.wait_for_successor();
        self.consider();
    }

    /// When the duty itself wants to be looked at.
    pub(super) fn duty_timeout(&self) -> Option<Instant> {
        match &self.duty {
            Duty::Lead(master) => master.hand_over_at,
            Duty::Fence(fencing) => Some(fencing.poll_timeout()),
            _ => None,
        }
    }

    /// The role ends for good (rules 16 and 23); only a new grant brings it back.
    pub(super) fn step_down(&mut self) {
        self.duty = Duty::Follow;
        // What was logged and not written down: the disk has what this node believes it has, before the next master's log
        // is compared with it. Nobody is told: nothing rested on it.
        let writes = core::mem::take(&mut self.unwritten).writes;
        if !writes.is_empty() {
            self.write(writes);
        }
        if self.chain.status().height < self.height {
            // A block that passed the gate is on its way to our disk: it is executed before the core is dropped.
            self.chain.committed(self.now, self.height);
        }
        self.chain.follow();
        self.run_chain();
        self.mesh.forget_greetings();
        self.give_up_catching_up(); // of another cluster's master, perhaps, who is no business of ours any more
        self.refuse_waiting_clients();
    }

    /// Tell the authority that this master stops, so that nobody need wait for its silence.
    pub(super) fn resign(&mut self) {
        let Duty::Lead(master) = &self.duty else {
            return;
        };
        let epoch = master.epoch();
        let version = self.own_row().map_or(duohuo_wire::ids::Version(0), |r| r.version);
        let change = Change {
            request: self.random.u64(),
            cluster: self.cluster,
            epoch,
            version,
            kind: ChangeKind::Resign,
            node: self.me,
            ..Default::default()
        };
        self.send_to_authority(&Packet::from(change), false);
        self.step_down();
    }

    /// Design R8.
    pub(super) fn halt(&mut self, reason: HaltReason) {
        self.event(Event::Halted { reason });
        self.resign();
        self.duty = Duty::Halted;
        self.consider();
    }

    /// Carry out what the chain wants, until it wants nothing more.
    pub(super) fn run_chain(&mut self) {
        while let Some(output) = self.chain.poll_output() {
            self.chain_output(output);
        }
        // A record on which nothing rests that waits at the gate waits too, for the first that does: votes come one by
        // one, and most of them are written down with the word that follows from them.
        if self.unwritten.is_needed {
            self.write_down();
        }
        self.release();
    }

    /// What was logged goes to our disk and to the members at once; the gate waits for both.
    pub(super) fn write_down(&mut self) {
        let Unwritten { records, writes, .. } = core::mem::take(&mut self.unwritten);
        if records.is_empty() {
            return;
        }
        let Duty::Lead(master) = &self.duty else { return };
        let epoch = master.epoch();
        let end = self.log.end();
        self.replicate(end - records.len() as u64, &records);
        self.persist(writes, After::Own { epoch, end });
    }

    fn chain_output(&mut self, output: ChainOutput) {
        match output {
            ChainOutput::Behind { peer } => self.fetch_from_cluster(peer),
            ChainOutput::Receipt { transaction, height, applied } => {
                let verdict = if applied { SubmitVerdict::Committed } else { SubmitVerdict::Refused };
                self.answer_clients(transaction, verdict, height);
            }
            ChainOutput::ConsensusError { evidence } => self.hold(Gated::Report { evidence }),
            ChainOutput::Equivocation { words } => self.equivocated(*words),
            ChainOutput::Halt { reason } => self.halt(reason),
            ChainOutput::Snapshot(snapshot) => self.keep_snapshot(snapshot),
            ChainOutput::SnapshotProven { height, proof } => self.hold(Gated::Proof { height, proof }),
            ChainOutput::Log { height, bytes } => self.append(height, bytes),
            ChainOutput::Send { to, bytes } => self.hold(Gated::Send { to, bytes }),
            ChainOutput::Commit { height, block } => self.hold(Gated::Commit { height, block }),
        }
    }

    /// Who said two things is told with both, and counted; the consensus stands it without a name.
    fn equivocated(&mut self, words: [VoteSeen; 2]) {
        self.equivocations = self.equivocations.saturating_add(1);
        for word in words {
            let node = self.lineage.master(word.cluster, word.epoch).unwrap_or(NodeId(0));
            self.event(Event::Equivocated { node, word });
        }
    }

    /// A record of our own to the log: the one way in, so that they are written and sent in its order.
    pub(super) fn append(&mut self, height: Height, bytes: Bytes) {
        let Duty::Lead(master) = &self.duty else {
            return;
        };
        let epoch = master.epoch();
        if !Log::is_in_range(self.log.end()) {
            self.halt(HaltReason::FullLog);
            return;
        }
        self.unwritten.records.push(WireRecord { height, epoch, bytes: bytes.clone() });
        self.unwritten.writes.extend(self.log.append(Record { height, epoch, bytes }));
    }

    pub(super) fn hold(&mut self, item: Gated) {
        let after = self.log.end();
        if let Duty::Lead(master) = &mut self.duty {
            master.gate.hold(after, item, self.height);
            self.unwritten.is_needed = !self.unwritten.records.is_empty();
        }
    }

    /// Let go what is safe, in order. The one place where anything the chain said leaves this node (R2).
    pub(super) fn release(&mut self) {
        self.note_readiness();
        loop {
            let Duty::Lead(master) = &mut self.duty else {
                return;
            };
            let free = master.release(self.log.promised());
            if free.is_empty() {
                return;
            }
            let epoch = master.epoch();
            for item in free {
                match item {
                    Gated::Send { to, bytes } => self.send_consensus(epoch, to, bytes),
                    Gated::Commit { height, block } => self.commit(height, block),
                    Gated::Report { evidence } => self.report(evidence),
                    Gated::Proof { height, proof } => self.snapshot_proven(height, &proof),
                    Gated::Promise { node, cluster, epoch, height } => {
                        self.has_promised(node, cluster, epoch, height);
                    }
                }
            }
        }
    }

    fn send_consensus(&mut self, epoch: Epoch, to: Option<ClusterId>, message: Bytes) {
        for vote in self.chain.votes_in(&message) {
            self.event(Event::Released(vote));
        }
        let packet = Packet::from(Consensus { cluster: self.cluster, epoch, message, ..Default::default() });
        for (cluster, master) in self.other_masters() {
            if to.is_none_or(|to| to == cluster) {
                self.links.send_stream(Party::Node(master), &packet, &mut self.out);
            }
        }
    }

    /// The masters of the other clusters, as the newest rows say.
    pub(super) fn other_masters(&self) -> Vec<(ClusterId, NodeId)> {
        self.rows
            .iter()
            .filter(|(cluster, signed)| {
                **cluster != self.cluster && !signed.row.barred.contains(&signed.row.master)
            })
            .map(|(cluster, signed)| (*cluster, signed.row.master))
            .collect()
    }

    /// SYS-2: a block that the chain decided goes to our disk and to the cluster.
    fn commit(&mut self, height: Height, block: Bytes) {
        if height <= self.height {
            return; // the same block came from a peer while ours waited at the gate
        }
        assert!(height == self.height.next(), "blocks are committed in order");
        let push = Packet::from(BlockPush { height, block: block.clone(), ..Default::default() });
        self.tell_members(&push);
        let writes = self.keep_block(height, block);
        self.persist(writes, After::Committed(height, None));
        self.give_log_anew();
    }

    /// The block, and the records that it makes history.
    pub(super) fn keep_block(&mut self, height: Height, block: Bytes) -> Vec<Write> {
        // The members count the records of this height too.
        self.write_down();
        self.height = height;
        let mut writes = vec![Write::Put { table: Table::Block, key: height.0, value: block }];
        writes.extend(self.log.commit(height));
        writes.extend(self.snapshots.prune(self.config.keep_blocks));
        writes
    }

    /// Send a packet to every other node of the cluster that has a stream.
    pub(super) fn tell_members(&mut self, packet: &Packet) {
        for node in self.members() {
            self.links.send_stream(Party::Node(node), packet, &mut self.out);
        }
    }

    /// Send a packet to every other cluster's master that has a stream.
    pub(super) fn tell_masters(&mut self, packet: &Packet) {
        for (_, master) in self.other_masters() {
            self.links.send_stream(Party::Node(master), packet, &mut self.out);
        }
    }

    pub(super) fn members(&self) -> Vec<NodeId> {
        self.neighbours.iter().map(|(node, _)| *node).collect()
    }

    /// Give every member with a stream what it needs to follow, if it has not got it.
    pub(super) fn greet_members(&mut self) {
        for node in self.members() {
            let due = match &self.duty {
                Duty::Lead(master) => master.lacks_log(node),
                _ => return,
            };
            if due && self.links.stream_of(Party::Node(node)).is_some() {
                self.greet_member(node);
            }
        }
    }

    /// Who was master when, rows, registration data, then our whole log of the current height.
    fn greet_member(&mut self, node: NodeId) {
        let rows = self.rows.values().map(|signed| Packet::from(super::learning::notice(signed.clone())));
        for packet in self.lineage.packets().into_iter().chain(rows) {
            self.links.send_stream(Party::Node(node), &packet, &mut self.out);
        }
        if let Some(packet) = self.registration_sync() {
            self.links.send_stream(Party::Node(node), &packet, &mut self.out);
        }
        self.send_log(node, None);
    }

    /// Our whole log, or of one that does not fit into a packet the part that is due (B-LOG-12): the one after those that the
    /// member holds, else the first.
    fn send_log(&mut self, node: NodeId, held: Option<PartsHeld>) {
        let Duty::Lead(master) = &mut self.duty else {
            return;
        };
        let (epoch, first, end) = (master.epoch(), self.log.start(), self.log.end());
        let goes_on = |held: &PartsHeld| held.first.0 == first && (first..=end).contains(&held.next.0);
        let start = held.filter(goes_on).map_or(first, |held| held.next.0);
        if start > first {
            if master.sent_to(node).is_some() {
                return; // it asked twice, and the last part is on its stream
            }
            master.holds_parts(self.now, node, start);
        }
        let mut room = Room::of(self.config.log_packet_bytes);
        let records: Vec<_> =
            self.log.records_from(start).take_while(|r| room.takes(&r.bytes)).map(wire_record).collect();
        let up_to = start + records.len() as u64;
        let is_followed = up_to < end;
        let extensions = if start == first && !is_followed {
            Extensions::default()
        } else {
            LogPart { first: LogIndex(first), is_followed }.extensions()
        };
        let (height, start) = (self.height, LogIndex(start));
        let packet = Packet::from(Resync { epoch, height, start, records, extensions });
        if !self.links.send_stream(Party::Node(node), &packet, &mut self.out) {
            return;
        }
        if is_followed {
            master.sent_part(self.now, node);
        } else {
            master.sent(self.now, node, end);
        }
    }

    /// All records that are kept, as a member is given them.
    pub(super) fn whole_log(&self, epoch: Epoch) -> Resync {
        let start = self.log.start();
        let records = self.log.records_from(start).map(wire_record).collect();
        Resync { epoch, height: self.height, start: LogIndex(start), records, ..Default::default() }
    }

    /// A height is done: what is left of a log that was on its way in parts is another log, and a short one.
    pub(super) fn give_log_anew(&mut self) {
        let Duty::Lead(master) = &self.duty else { return };
        let nodes: Vec<NodeId> = master.given_in_parts().collect();
        for node in nodes {
            self.send_log(node, None);
        }
    }

    /// New records to all members that have our log up to `start`.
    pub(super) fn replicate(&mut self, start: u64, records: &[WireRecord]) {
        let Duty::Lead(master) = &mut self.duty else {
            return;
        };
        let (epoch, released, end) = (master.epoch(), LogIndex(master.released()), self.log.end());
        let packet = |start, records: &[WireRecord]| {
            let (start, records) = (LogIndex(start), records.to_vec());
            Packet::from(Append { epoch, start, released, records, ..Default::default() })
        };
        let mut packets = Vec::new();
        let (mut start, mut rest) = (start, records);
        while !rest.is_empty() {
            let mut room = Room::of(self.config.log_packet_bytes);
            let count = rest.iter().take_while(|r| room.takes(&r.bytes)).count();
            let (now, later) = rest.split_at(count);
            packets.push(packet(start, now));
            (start, rest) = (start + count as u64, later);
        }
        // Who is being given our log is shown that there is more: it asks for the log if the first part did not get there
        // (B-LOG-11).
        let sign = packet(end, &[]);
        let (links, out) = (&mut self.links, &mut self.out);
        let mut send = |node: NodeId, packet: &Packet| links.send_stream(Party::Node(node), packet, out);
        master.owed(self.now);
        for (node, _) in self.neighbours.iter() {
            if master.sent_to(*node).is_some() {
                if packets.iter().all(|packet| send(*node, packet)) {
                    master.sent(self.now, *node, end);
                }
            } else if !master.lacks_log(*node) {
                send(*node, &sign);
            }
        }
    }

    /// A member acknowledges, or tells that it cannot follow yet.
    pub(super) fn on_ack(&mut self, node: NodeId, ack: &Ack) -> Result<(), Discard> {
        let Duty::Lead(master) = &mut self.duty else {
            return Err(Discard::Unexpected);
        };
        if ack.epoch < master.epoch() {
            return Err(Discard::OldEpoch);
        }
        if ack.epoch > master.epoch() {
            self.look_for_newer_row(ack.epoch, duohuo_wire::ids::Version(0));
            return Err(Discard::UnknownEpoch);
        }
        if ack.synced == master.epoch() {
            if ack.end.0 > self.log.end() {
                return Err(Discard::Unexpected);
            }
            master.acknowledged(self.now, node, ack.end.0, ack.height);
            if let Some(given) = LeaseGiven::of(&ack.extensions) {
                self.on_lease_given(node, given);
            }
            self.release();
            self.change_in_sync();
        } else {
            self.send_log(node, PartsHeld::of(&ack.extensions));
        }
        Ok(())
    }

    /// Ask for the next change of the in-sync set, if one is due.
    pub(super) fn change_in_sync(&mut self) {
        let Duty::Lead(master) = &mut self.duty else { return };
        let patience = Patience {
            now: self.now,
            timers: &self.config.timers,
            outside: self.outside.as_ref(),
            neighbours: &self.neighbours,
            links: &self.links,
        };
        // Nobody waits for who is enrolled no more.
        let enrolled = |node| patience.neighbours.of(node).is_some();
        let is_ready = |node| patience.outside.is_none_or(|o| o.is_ready_for(node));
        let patience = |node| if enrolled(node) { patience.with(node) } else { Duration::ZERO };
        let (random, retry_interval) = (&mut self.random, self.config.timers.retry_interval);
        let change = master.next_change(self.now, patience, is_ready, retry_interval, || random.u64());
        if let Some(change) = change {
            self.send_to_authority(&Packet::from(change), false);
        }
    }

    fn patience(&self) -> Patience<'_> {
        Patience {
            now: self.now,
            timers: &self.config.timers,
            outside: self.outside.as_ref(),
            neighbours: &self.neighbours,
            links: &self.links,
        }
    }

    pub(super) fn change_timeout(&self) -> Option<Instant> {
        match &self.duty {
            Duty::Lead(master) => master.poll_timeout(|node| self.patience().with(node)),
            _ => None,
        }
    }

    /// OUT-8.
    fn report(&mut self, evidence: Vec<SignedResult>) {
        let Some(accused) = evidence.first() else {
            return;
        };
        let (cluster, height) = (accused.cluster, accused.height);
        self.event(Event::ConsensusErrorReported { cluster, height });
        let request = self.random.u64();
        let packet = Packet::from(ConsensusError { request, height, evidence, ..Default::default() });
        self.send_to_authority(&packet, true);
    }

    /// A packet of another cluster's node: masters only (SYS-5).
    pub(super) fn on_other_cluster(
        &mut self,
        cluster: ClusterId,
        node: NodeId,
        packet: Packet,
    ) -> Result<(), Discard> {
        if let Packet::Notice(notice) = packet {
            self.learn_row(notice.row)?;
            self.run_mesh();
            return Ok(());
        }
        match packet {
            Packet::Fence(fence) => return self.on_fence(cluster, node, fence.row),
            Packet::FenceAnswer(answer) => return self.on_fence_answer(cluster, node, &answer),
            _ => {}
        }
        if !matches!(self.duty, Duty::Lead(_)) {
            return Err(Discard::Forbidden);
        }
        let row = self.rows.get(&cluster).map(|s| &s.row).ok_or(Discard::UnknownEpoch)?;
        if row.master != node || row.barred.contains(&node) {
            return Err(Discard::OldEpoch);
        }
        let epoch = row.epoch;
        match packet {
            Packet::Consensus(consensus) => {
                if consensus.cluster != cluster {
                    return Err(Discard::Forbidden);
                }
                // P2: peers count nothing of an older epoch, and nothing of one whose grant they do not know.
                if consensus.epoch < epoch || self.lineage.has_newer(cluster, consensus.epoch) {
                    return Err(Discard::OldEpoch);
                }
                if consensus.epoch > epoch {
                    return Err(Discard::UnknownEpoch);
                }
                let reception = self.chain.receive(self.now, cluster, &consensus.message);
                if reception == Reception::Taken {
                    for vote in self.chain.votes_in(&consensus.message) {
                        self.event(Event::Received(vote));
                    }
                }
                self.run_chain();
                if reception == Reception::Refused { Err(Discard::BadConsensus) } else { Ok(()) }
            }
            Packet::BlockPush(push) => self.on_block(Party::Node(node), &push),
            Packet::ChainQuery(query) => {
                self.serve_blocks(Party::Node(node), &query);
                Ok(())
            }
            Packet::RangeQuery(query) => {
                self.serve_range(Party::Node(node), &query);
                Ok(())
            }
            Packet::SnapshotQuery(query) => {
                self.serve_snapshot(Party::Node(node), &query);
                Ok(())
            }
            Packet::SnapshotOffer(offer) => self.on_snapshot_offer(Party::Node(node), offer),
            Packet::SnapshotChunk(chunk) => self.on_snapshot_chunk(Party::Node(node), chunk),
            Packet::ChainEnd(end) => {
                self.on_chain_end(Party::Node(node), end.height);
                Ok(())
            }
            _ => Err(Discard::Forbidden),
        }
    }
}

fn wire_record(record: &Record) -> WireRecord {
    WireRecord { height: record.height, epoch: record.epoch, bytes: record.bytes.clone() }
}

/// The room for records in a packet: the first one has it in any case.
struct Room {
    limit: usize,
    taken: usize,
}

impl Room {
    /// Height, epoch and length stand before the bytes of each.
    const RECORD: usize = 20;

    const fn of(limit: usize) -> Self {
        Self { limit, taken: 0 }
    }

    fn takes(&mut self, bytes: &Bytes) -> bool {
        let is_first = self.taken == 0;
        self.taken += Self::RECORD + bytes.len();
        is_first || self.taken <= self.limit
    }
}

/// What decides how long a master waits for a member.
struct Patience<'a> {
    now: Instant,
    timers: &'a Timers,
    outside: Option<&'a Outside>,
    neighbours: &'a Neighbours,
    links: &'a Links,
}

impl Patience<'_> {
    /// How long a member may owe an acknowledgement: no time if it answers no probe and has no stream; the dead
    /// interval if it only answers no probe; a slow disk's time if it answers, or has not been judged yet. A copy outside
    /// the chain has the same time to come in step.
    fn with(&self, node: NodeId) -> Duration {
        let sync_interval = self.timers.sync_interval;
        if self.outside.is_some_and(|o| o.is_out_of_step(self.now, node, sync_interval)) {
            return Duration::ZERO;
        }
        let not_dead = self.neighbours.of(node).is_some_and(Neighbour::is_not_dead);
        match (not_dead, self.links.stream_of(Party::Node(node)).is_some()) {
            (true, _) => self.timers.sync_interval,
            (false, true) => self.timers.dead_interval,
            (false, false) => Duration::ZERO,
        }
    }
}
