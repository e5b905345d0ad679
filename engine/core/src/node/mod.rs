//! A node of a cluster (mission OUT-1..9, IN-1..5): one machine that can follow, stand by and lead.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the machine: inputs in, outputs out, who handles what |
//! | `alive.rs`, `neighbours.rs`, `group.rs` | keepalives and probes, the neighbour table, the multicast group |
//! | `claims.rs` | election, registration, claims |
//! | `learning.rs` | what the authority says: rows, histories, orders, rosters |
//! | `notes.rs` | the note of an epoch, and the promise for which it stands |
//! | `master.rs`, `lead.rs` | the role of master: the gate and what goes through it |
//! | `fence.rs` | a forced master's fence, from both sides |
//! | `lineage.rs` | who was master when, to be handed on |
//! | `log.rs`, `follow.rs`, `parts.rs` | the log and how it follows a master's, in parts if need be; blocks |
//! | `outside.rs` | the lease, and what acts outside the chain |
//! | `catch_up.rs`, `snapshots.rs`, `serving.rs` | far behind: snapshots and blocks from several nodes; what is kept; what is served |
//! | `mesh.rs` | streams: to the cluster, to the authority, to other masters |
//! | `clients.rs` | what clients may ask |
//! | `watched.rs` | what the outside may ask of the machine |
//! | `takeover.rs` | how this node came to lead, measured |
//! | `rehearse.rs` | a takeover rehearsed |
//! | `signers.rs` | the keys that others' statements are verified with |

mod alive;
mod catch_up;
mod claims;
mod clients;
mod fence;
mod follow;
mod gate;
mod group;
mod lead;
mod learning;
mod lineage;
mod log;
mod master;
mod mesh;
mod neighbours;
mod notes;
mod outside;
mod parts;
mod rehearse;
mod serving;
mod signers;
mod snapshots;
mod takeover;
mod watched;

use crate::chain::{Chain, TransactionId};
use crate::config::NodeConfig;
use crate::discard::{Discard, Discards};
use crate::disk::Disk;
use crate::event::Event;
use crate::io::{Input, Machine, Output, Stored, StreamId, Write};
use crate::links::{DatagramEvent, Links, Party, StreamEvent, turn};
use crate::offences::{Offence, Offences, offender};
use crate::outbox::Outbox;
use crate::random::Random;
use crate::store::{META_REGISTERING, StartError};
use crate::time::{Duration, Instant};
use crate::watch::Watchers;
use bytes::Bytes;
use catch_up::CatchUp;
use claims::Claims;
use core::net::SocketAddr;
use duohuo_wire::header::Header;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::{NodeSealedId, Packet, Role};
use duohuo_wire::roster::Roster;
use duohuo_wire::statement::SignedRow;
use duohuo_wire::status::StatusReport;
use fence::Fencing;
use follow::FollowerState;
use group::Group;
use learning::Learning;
use lineage::Lineage;
use log::Log;
use master::Master;
use mesh::Mesh;
use neighbours::Neighbours;
use outside::Outside;
use rehearse::Rehearsals;
use serving::Serving;
use signers::Signers;
use snapshots::Snapshots;
use std::collections::BTreeMap;

/// A node's machine; driven as [`crate::io`] says.
pub struct Node {
    config: NodeConfig,
    me: NodeId,
    cluster: ClusterId,
    now: Instant,
    started_at: Option<Instant>,
    random: Random,
    links: Links,
    out: Outbox,
    disk: Disk,
    discards: Discards,
    offences: Offences,
    /// Times that a cluster was found to have signed two words for one.
    equivocations: u64,
    watchers: Watchers,

    signers: Signers,
    neighbours: Neighbours,
    group: Group,
    keepalive_at: Instant,
    authority_keepalive: AuthorityKeepalive,

    /// The newest signed row of each cluster.
    rows: BTreeMap<ClusterId, SignedRow>,
    /// How often one of them changed.
    row_changes: u64,
    lineage: Lineage,
    /// All changes of the table up to this version are known.
    table_version: u64,
    claims: Claims,
    learning: Learning,
    sealed_id: Bytes,
    registration: Option<(u32, Vec<NodeSealedId>)>,
    mesh: Mesh,

    chain: Box<dyn Chain>,
    log: Log,
    /// Height of the last block committed here and told to the cluster.
    height: Height,
    duty: Duty,
    noted: takeover::Noted,
    rehearsals: Rehearsals,
    unwritten: lead::Unwritten,
    follower: FollowerState,
    /// What acts outside the chain: from the first input on, if there is any.
    outside: Option<Outside>,
    /// `Some` while this node is far behind.
    far: Option<Box<CatchUp>>,
    serving: Serving,
    snapshots: Snapshots,
    /// The newest snapshot that was told of.
    snapshots_told: Height,
    /// What follows when the batch of that token is durable.
    after: BTreeMap<u64, Vec<After>>,
    persisted: u64,
    /// When a promise that is owed is written even if nothing else is.
    promise_at: Option<Instant>,
    /// Clients that wait for their transaction.
    waiting: BTreeMap<TransactionId, Vec<(StreamId, u64)>>,
    subscriptions: BTreeMap<StreamId, clients::Subscription>,
    told_role: Role,
    registering: Registering,
    stopped: bool,
    /// When to be called at the latest, as it was after the last input: nothing changes between two.
    wake_at: Option<Instant>,
}

/// Whether the store says that this node may have asked for the first registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Registering {
    No,
    Marking,
    Marked,
}

/// What this node does for its cluster.
enum Duty {
    /// Keeps the log and the chain.
    Follow,
    /// The grant is being made durable.
    Adopt(Epoch),
    /// Forced: it puts up its fence, and says nothing before.
    Fence(Box<Fencing>),
    /// Master.
    Lead(Box<Master>),
    /// Design R8: it stopped signing, for good in this run.
    Halted,
}

/// What follows from something being durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// The promise of a grant (rule 15).
    Adopted(Epoch),
    /// Our own log as master, up to this length.
    Own { epoch: Epoch, end: u64 },
    /// A forced master's closed record.
    Closed(Epoch),
    /// A follower's state: acknowledge it.
    Acknowledge(follow::Acknowledgement),
    /// The mark that this node may ask for the cluster's first registration.
    Registering,
    /// A block, and the state after it if it is executed already.
    Committed(Height, Option<[u8; 32]>),
    /// A snapshot of somebody else's, in the place of all blocks up to its height, and the state in it.
    Installed(Height, [u8; 32]),
    /// A piece of our own snapshot of a height.
    SnapshotStep(Height),
    /// The proof of one.
    SnapshotProven,
    /// What was promised already, for a rehearsal.
    Rehearsed(rehearse::Wrote),
}

/// The keepalive to the authority (OUT-3).
#[derive(Default)]
struct AuthorityKeepalive {
    challenge: u64,
}

impl Node {
    /// A node with the state of its store; `chain` has been given the stored blocks already.
    ///
    /// # Errors
    /// The store is damaged, or the keys are not those of the roster.
    pub fn new(config: NodeConfig, stored: Stored, chain: Box<dyn Chain>) -> Result<Self, StartError> {
        let me = config.node;
        let (cluster, entry) = config.roster.node(me).ok_or(StartError::NotInRoster)?;
        let keys_fit = entry.session_key == duohuo_wire::handshake::public_key(&config.session_secret)
            && entry.signing_key == config.signing_key.verifying_key().to_bytes();
        if !keys_fit {
            return Err(StartError::WrongKey);
        }
        let (cluster_id, group_address) = (cluster.id, cluster.group);
        let height = chain.status().height;
        let log = Log::load(&stored, height)?;
        let snapshots = Snapshots::load(&stored)?;
        let marked = stored.meta.contains_key(&META_REGISTERING);
        let registering = if marked { Registering::Marked } else { Registering::No };
        let mut random = Random::new(config.seed);
        let links = Links::new(
            me,
            config.session_secret.clone(),
            &config.roster,
            config.unix_at_zero,
            config.timers.stream_deadline,
            config.versions,
            &mut random,
        );
        let group = Group::new(
            cluster_id,
            me,
            group_address,
            *config.group_secret,
            config.signing_key.clone(),
            &mut random,
        );
        let mut node = Self {
            me,
            cluster: cluster_id,
            now: Instant::ZERO,
            started_at: None,
            random,
            links,
            out: Outbox::default(),
            disk: Disk::default(),
            discards: Discards::default(),
            offences: Offences::default(),
            equivocations: 0,
            watchers: Watchers::default(),
            signers: Signers::of(&config.roster, cluster_id),
            neighbours: Neighbours::new(config.timers),
            group,
            keepalive_at: Instant::ZERO,
            authority_keepalive: AuthorityKeepalive::default(),
            rows: BTreeMap::new(),
            row_changes: 0,
            lineage: Lineage::default(),
            table_version: 0,
            claims: Claims::default(),
            learning: Learning::default(),
            sealed_id: Bytes::new(),
            registration: None,
            mesh: Mesh::default(),
            chain,
            follower: FollowerState::default(),
            outside: None,
            far: None,
            serving: Serving::default(),
            snapshots_told: snapshots.proven().map_or(Height(0), |s| s.height),
            snapshots,
            log,
            height,
            duty: Duty::Follow,
            noted: takeover::Noted::default(),
            rehearsals: Rehearsals::default(),
            unwritten: lead::Unwritten::default(),
            after: BTreeMap::new(),
            persisted: 0,
            promise_at: None,
            waiting: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            told_role: Role::Ordinary,
            registering,
            stopped: false,
            wake_at: None,
            config,
        };
        node.follower.told = node.acknowledgement();
        node.enrol_neighbours();
        Ok(node)
    }

    fn enrol_neighbours(&mut self) {
        let members: Vec<(NodeId, u8)> = self
            .config
            .roster
            .cluster(self.cluster)
            .map(|c| c.nodes.iter().filter(|n| n.id != self.me).map(|n| (n.id, n.priority)).collect())
            .unwrap_or_default();
        self.neighbours.enrol(&members);
    }

    fn own_row(&self) -> Option<&duohuo_wire::statement::Row> {
        self.rows.get(&self.cluster).map(|signed| &signed.row)
    }

    fn event(&mut self, event: Event) {
        self.note_for_takeover(&event);
        let unix = self.config.unix_at_zero + Duration::from_nanos(self.now.as_nanos());
        self.watchers.tell(&event, unix, self.cluster, &mut self.links, &mut self.out);
    }

    /// Queue a batch; `after` follows when it is durable. Nothing to write: when all before it is.
    fn persist(&mut self, writes: Vec<Write>, after: After) {
        let token = if writes.is_empty() { self.out.last_token() } else { self.write(writes) };
        if token == self.persisted {
            self.follow_up(after);
        } else {
            self.after.entry(token).or_default().push(after);
        }
    }

    fn on_persisted(&mut self, token: u64) {
        self.disk.done(token, self.now);
        self.persisted = self.persisted.max(token);
        let later = self.after.split_off(&(token + 1));
        for after in core::mem::replace(&mut self.after, later).into_values().flatten() {
            self.follow_up(after);
        }
    }

    fn follow_up(&mut self, after: After) {
        match after {
            After::Adopted(epoch) => self.begin_to_lead(epoch),
            After::Closed(epoch) => self.has_closed(epoch),
            After::Own { epoch, end } => {
                if let Duty::Lead(master) = &mut self.duty
                    && master.epoch() == epoch
                {
                    master.persisted(end);
                }
                self.release();
            }
            After::Registering => {
                self.registering = Registering::Marked;
                self.consider();
            }
            After::SnapshotStep(height) => self.snapshot_step(height),
            After::SnapshotProven => self.snapshot_is_proven(),
            After::Rehearsed(wrote) => self.rehearsal_wrote(wrote),
            After::Acknowledge(acknowledgement) => self.acknowledge(acknowledgement),
            After::Installed(height, state_hash) => {
                self.snapshot_step(height);
                self.has_committed(height, Some(state_hash));
            }
            After::Committed(height, executed) => self.has_committed(height, executed),
        }
    }

    /// A block is durable, or a snapshot in the place of blocks.
    fn has_committed(&mut self, height: Height, executed: Option<[u8; 32]>) {
        if matches!(self.duty, Duty::Lead(_)) {
            self.chain.committed(self.now, height);
        }
        let status = self.chain.status();
        let now = (status.height == height).then_some(status.state_hash);
        // Unknown only if the role ended between the gate and the disk: later blocks are executed already.
        if let Some(state_hash) = executed.or(now) {
            self.event(Event::Committed { height, state_hash });
        }
        self.run_subscriptions();
        self.run_chain();
        self.hand_over_between_heights();
    }

    fn start(&mut self) {
        if self.started_at.is_some() {
            return;
        }
        self.started_at = Some(self.now);
        self.outside = self.config.outside.map(|config| Outside::new(self.now, config));
        self.keepalive_at = self.now;
    }

    fn on_datagram(&mut self, from: SocketAddr, bytes: &Bytes) -> Result<(), Discard> {
        let header = Header::decode_datagram(bytes).map_err(Discard::Decode)?;
        if header.is_sealed() && self.is_group_sealed(&header) {
            return self.on_group(from, &header, bytes);
        }
        let event = self.links.on_datagram(turn!(self), from, bytes)?;
        match event {
            DatagramEvent::Nothing => Ok(()),
            DatagramEvent::Established => {
                self.consider();
                Ok(())
            }
            DatagramEvent::Packet(Party::Authority, packet) => self.on_authority(packet),
            DatagramEvent::Packet(..) => Err(Discard::Forbidden),
        }
    }

    fn on_stream_event(&mut self, stream: StreamId, event: StreamEvent) -> Result<(), Discard> {
        match event {
            StreamEvent::Established(party) => {
                self.stream_up(party, stream);
                Ok(())
            }
            StreamEvent::Refused(_, why) => {
                self.links.answer_unsupported(stream, &why, &mut self.out);
                Err(why)
            }
            StreamEvent::Broken(party, why) => {
                self.stream_lost(stream, party);
                Err(why)
            }
            StreamEvent::Packet(Party::Authority, packet) => self.on_authority(packet),
            StreamEvent::Packet(Party::Client(_), packet) => self.on_client(stream, packet),
            StreamEvent::Packet(Party::Node(node), packet) => {
                let (cluster, _) = self.config.roster.node(node).ok_or(Discard::UnknownKey)?;
                if cluster.id == self.cluster {
                    self.on_member(node, packet)
                } else {
                    let cluster = cluster.id;
                    self.on_other_cluster(cluster, node, packet)
                }
            }
        }
    }

    /// A packet of a node of our own cluster.
    fn on_member(&mut self, node: NodeId, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::Notice(notice) => self.learn_row(notice.row).map(|_| ()),
            Packet::History(history) => self.learn_history(&history),
            Packet::GroupKey(key) => self.on_group_key(&key),
            Packet::RegistrationSync(sync) => {
                // Any other member could hand on sealed IDs that are none (B-MESH-7).
                let by_master = self.own_row().is_some_and(|row| row.master == node);
                if sync.cluster != self.cluster || !by_master {
                    return Err(Discard::Forbidden);
                }
                self.learn_registration(sync.registration_epoch, sync.sealed_ids);
                Ok(())
            }
            Packet::Resync(resync) => self.on_log(node, resync),
            Packet::Append(append) => self.on_append(node, append),
            Packet::Ack(ack) => self.on_acknowledgement(node, &ack),
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
            // An older program, of something that it does not know: no offence.
            Packet::Unsupported(_) => Err(Discard::Unexpected),
            _ => Err(Discard::Forbidden),
        }
    }

    fn on_roster(&mut self, roster: Roster) {
        let ours = roster.node(self.me).is_some_and(|(cluster, _)| cluster.id == self.cluster);
        if roster.version <= self.config.roster.version || !ours {
            return;
        }
        let before = core::mem::replace(&mut self.config.roster, roster);
        let ended = self.links.succeed(&before, &self.config.roster, &mut self.out);
        self.signers = Signers::of(&self.config.roster, self.cluster);
        self.enrol_neighbours();
        self.chain.learn_roster(&self.config.roster);
        self.run_chain();
        let version = self.config.roster.version;
        self.event(Event::RosterInForce { version });
        for (stream, party) in ended {
            self.stream_lost(stream, party);
        }
        self.consider();
    }

    fn take(&mut self, input: Input) -> Result<(), Discard> {
        match input {
            Input::Tick => {}
            Input::Datagram { from, bytes, .. } => return self.on_datagram(from, &bytes),
            Input::StreamAccepted { stream, from } => {
                return self.links.stream_accepted(self.now, stream, from, &mut self.out);
            }
            Input::StreamOpened { stream } => {
                self.links.stream_opened(turn!(self), stream);
            }
            Input::StreamBytes { stream, bytes } => {
                let events = self.links.stream_bytes(turn!(self), stream, &bytes);
                for event in events {
                    let party = event.party();
                    if let Err(why) = self.on_stream_event(stream, event) {
                        self.discards.count(why);
                        if let Some(node) = offender(party, why) {
                            self.offended(node, Offence::RefusedPackets);
                        }
                    }
                }
            }
            Input::StreamClosed { stream } => {
                let party = self.links.stream_closed(stream);
                self.stream_lost(stream, party);
            }
            Input::Persisted { token } => self.on_persisted(token),
            Input::PersistFailed => {
                self.event(Event::StoreFailed);
                self.stop();
            }
            Input::BlocksRead { token, blocks } => self.send_blocks(token, blocks),
            Input::ChunkRead { token, chunk } => self.chunk_read(token, chunk),
            Input::Roster(roster) => self.on_roster(*roster),
            Input::KeepBlocks(count) => self.config.keep_blocks = count,
            Input::WrongResults(on) => self.chain.inject_wrong_results(on),
            Input::Outside(report) => self.on_report(report),
            Input::Shutdown => self.leave(true),
        }
        Ok(())
    }

    fn offended(&mut self, node: NodeId, offence: Offence) {
        if let Some(count) = self.offences.note(self.now, node, offence) {
            let cluster = self.config.roster.node(node).map_or(ClusterId(0), |(cluster, _)| cluster.id);
            self.event(Event::Offended { cluster, node, offence, count });
        }
    }

    /// Resign, say so, and leave.
    fn stop(&mut self) {
        self.resign();
        self.stopped = true;
        self.out.push(Output::Exit);
    }

    fn run_deadlines(&mut self) {
        for (stream, party) in self.links.tick(turn!(self)) {
            self.discards.count(Discard::TooSlow);
            self.stream_lost(stream, party);
        }
        self.run_neighbours();
        if self.now >= self.keepalive_at {
            self.send_keepalives();
        }
        if self.promise_at.is_some_and(|at| self.now >= at) {
            self.write_owed_promise();
        }
        self.run_mesh();
        self.run_learning();
        self.run_claims();
        self.run_rehearsal();
        self.change_in_sync();
        self.run_fence();
        self.hand_over();
        self.run_catch_up();
        self.run_serving();
        if self.chain.poll_timeout().is_some_and(|at| self.now >= at) {
            self.chain.tick(self.now);
            self.run_chain();
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        [
            Some(self.keepalive_at),
            self.promise_at,
            self.links.poll_timeout(),
            self.neighbours.poll_timeout(),
            self.mesh.poll_timeout(),
            self.claims.poll_timeout(),
            self.learning.poll_timeout(),
            self.rehearsals.poll_timeout(),
            self.change_timeout(),
            self.duty_timeout(),
            self.follower.poll_timeout(),
            self.outside.as_ref().and_then(Outside::poll_timeout),
            self.far.as_ref().and_then(|c| c.poll_timeout()),
            self.serving.poll_timeout(),
            self.chain.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn assert_invariants(&self) {
        if let Duty::Lead(master) = &self.duty {
            assert!(
                master.epoch() == self.log.promised(),
                "a master's epoch is the one its node promised (I1)"
            );
            assert!(self.log.synced() == self.log.promised(), "a master's log is its own");
        }
        assert!(
            self.log.owes_promise() == self.promise_at.is_some(),
            "a promise that is owed has its time, and no other"
        );
        assert!(
            self.after.first_key_value().is_none_or(|(token, _)| *token > self.persisted),
            "what is durable has been followed up"
        );
    }
}

impl Machine for Node {
    fn handle(&mut self, now: Instant, input: Input) {
        self.out.assert_drained();
        // A tick of our own that comes late by more than half the dead interval says nothing about others.
        let due = self.wake_at;
        self.now = self.now.max(now);
        if self.stopped {
            return;
        }
        self.start();
        let lateness = due.map_or(Duration::ZERO, |at| self.now - at);
        if lateness > self.config.timers.dead_interval / 2 {
            self.neighbours.forgive(self.now);
            if let Duty::Lead(master) = &mut self.duty {
                master.forgive(self.now);
            }
        }
        self.lease_came_late(lateness);
        if let Err(why) = self.take(input) {
            self.discards.count(why);
        }
        if !self.stopped {
            self.run_deadlines();
        }
        self.run_outside();
        self.assert_invariants();
        self.wake_at = self.next_wake_up();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    /// On the wire a node tells no rows; a page of its own may show what it knows.
    fn about(&self) -> StatusReport {
        StatusReport { rows: self.rows.values().map(|signed| signed.row.clone()).collect(), ..self.status() }
    }

    fn measured(&self) -> Vec<crate::io::Measured> {
        self.own_takeover().into_iter().collect()
    }

    fn roster_in_force(&self) -> Option<&Roster> {
        Some(&self.config.roster)
    }
}
