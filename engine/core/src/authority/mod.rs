//! The authentication node (mission AUTH-1..8): verifies identities, keeps the table of masters, arbitrates changes.
//!
//! Decisions are [`table::Command`]s: checked against the table, made durable, and only then told (design R1, I9).
//! What it hears (keepalives, probes, reports) is soft and forgotten at a restart, which is why it listens for
//! [`crate::config::Timers::startup_interval`] before it grants anything.

mod claims;
mod journal;
mod news;
mod orders;
mod rehearsals;
mod reports;
mod requests;
pub mod table;
mod takeovers;

use crate::config::AuthorityConfig;
use crate::deadlines::Deadlines;
use crate::discard::{Discard, Discards};
use crate::disk::Disk;
use crate::event::Event;
use crate::held::Held;
use crate::io::{Input, Machine, Output, Stored, StreamId, Table as StoreTable, Write};
use crate::lateness::Lateness;
use crate::links::{DatagramEvent, Links, Party, StreamEvent, turn};
use crate::numbered::Numbered;
use crate::offences::{Offence, Offences, offender};
use crate::outbox::Outbox;
use crate::random::Random;
use crate::store::StartError;
use crate::time::{Duration, Instant};
use crate::watch::Watchers;
use bytes::{Bytes, BytesMut};
use claims::Inquiry;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::operations::put_paused;
use duohuo_wire::packet::{
    DecisionReason, History, Journal as JournalPage, Notice, OrderOutcome, Outcome, Packet, Role, RosterPush,
    StatusAnswer,
};
use duohuo_wire::roster::Roster;
use duohuo_wire::statement::{Row, SignedRow, SignedSwitch};
use duohuo_wire::status::{NeighbourStatus, StatusReport};
use duohuo_wire::tlv::Extensions;
use journal::Journal;
use news::News;
use orders::Pending;
use rehearsals::Rehearsals;
use reports::Reports;
use std::collections::BTreeMap;
use table::{Command, Conflict, Table};
use takeovers::Takeovers;

/// What may wait for the disk beside what was decided: who asked and is not answered asks again (B-BND-4).
const MAX_WAITING: usize = 8_192;

/// The authority's machine; driven as [`crate::io`] says.
pub struct Authority {
    config: AuthorityConfig,
    random: Random,
    links: Links,
    out: Outbox,
    disk: Disk,
    table: Table,
    journal: Journal,
    takeovers: Takeovers,
    /// What waits for the batch of that token.
    deferred: BTreeMap<u64, Vec<Deferred>>,
    /// How many these are.
    waiting: usize,
    persisted: u64,
    /// Soft state per cluster.
    soft: Numbered<ClusterId, Soft>,
    /// The sealed cluster ID of each node that opened last, and when it expires: a claim is repeated, and opening costs more than
    /// all the rest of it.
    opened: BTreeMap<NodeId, (Bytes, u64)>,
    /// The cluster of each node in the roster.
    home: BTreeMap<NodeId, ClusterId>,
    deadlines: Deadlines<Deadline>,
    /// What the masters of other clusters have not been told yet.
    news: News,
    /// The last row that was signed: a decision is told more than once.
    signed: Option<SignedRow>,
    reports: Reports,
    rehearsals: Rehearsals,
    /// Clusters whose master erred as its predecessor did, and under which epoch: not switched any more.
    alarmed: BTreeMap<ClusterId, Epoch>,
    watchers: Watchers,
    discards: Discards,
    offences: Offences,
    started_at: Option<Instant>,
    now: Instant,
    failed: bool,
}

/// What is heard of a cluster; not durable.
#[derive(Default)]
struct Soft {
    /// When the master's last keepalive came.
    heard_at: Option<Instant>,
    /// When it came, and no grant stands for it.
    kept_alive_at: Option<Instant>,
    /// How late its keepalives come.
    lateness: Lateness,
    /// The entry of the master table is in force (not aged out).
    present: bool,
    /// When it ages out. Moves with each keepalive, so that its deadline is moved only when it comes.
    ages_at: Instant,
    /// When that deadline comes, if it is set.
    looked_at: Option<Instant>,
    /// The master said that it stops.
    resigned: bool,
    /// Challenge of the last keepalive answer, and of the one before.
    challenges: [u64; 2],
    /// A claim being looked into.
    inquiry: Option<Box<Inquiry>>,
    /// When masters were switched, newest last: for damping.
    switched_at: Vec<Instant>,
    /// An order that waits for an answer.
    pending: Option<Box<Pending>>,
    /// What the master said last that its chain has committed.
    height: Height,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deadline {
    /// A master's ageing timer (AUTH-2).
    Age(ClusterId),
    /// The next probe of an incumbent, or the verdict.
    Inquiry(ClusterId),
    /// An order is carried out without the word that it waits for.
    Order(ClusterId),
    /// Masters of other clusters are told the next row.
    News,
}

/// What is to be said when a batch is durable, with the row as it was decided: a later decision that is not durable
/// yet must not show (I9).
struct Deferred {
    effect: Effect,
    row: Option<Row>,
    table_version: u64,
}

/// Something to say as soon as everything decided so far is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Effect {
    /// Answer a request with the row.
    Answer { to: NodeId, request: u64, outcome: Outcome, cluster: ClusterId, stream: bool },
    /// Tell the cluster, and the masters of all others (AUTH-8).
    Notify(ClusterId),
    /// The answer to the first registration.
    Registered { to: NodeId, request: u64, cluster: ClusterId },
    /// All masters of a cluster so far, by epoch; none: it is not registered.
    History { to: NodeId, cluster: ClusterId, nodes: Vec<NodeId> },
    /// The forced switch (AUTH-6).
    Switch(Box<SignedSwitch>),
    /// What became of an order.
    OrderAnswer { stream: StreamId, request: u64, outcome: OrderOutcome, number: u64, entry: u64 },
    /// A page of the journal.
    Journal { stream: StreamId, page: Box<JournalPage> },
    /// Tell the operator.
    Event(Event),
}

impl Effect {
    /// The cluster whose row it shows.
    const fn cluster(&self) -> Option<ClusterId> {
        match self {
            Self::Answer { cluster, .. } | Self::Notify(cluster) => Some(*cluster),
            Self::Registered { .. }
            | Self::History { .. }
            | Self::Switch(_)
            | Self::OrderAnswer { .. }
            | Self::Journal { .. }
            | Self::Event(_) => None,
        }
    }
}

impl Authority {
    /// An authority with the table that its log replays to.
    ///
    /// # Errors
    /// The log is damaged, or the keys are not those of the roster.
    pub fn new(config: AuthorityConfig, stored: Stored) -> Result<Self, StartError> {
        let mut table = Table::default();
        let mut journal = Journal::default();
        for (position, (sequence, bytes)) in stored.commands.iter().enumerate() {
            let in_order = u64::try_from(position).is_ok_and(|p| p + 1 == *sequence);
            let command =
                Command::decode(bytes).filter(|_| in_order).ok_or(StartError::Damaged("command"))?;
            let (at_unix_us, reason, _) =
                journal::undated(bytes.clone()).ok_or(StartError::Damaged("command"))?;
            let old = master_of(&table, &command);
            table
                .apply(&command)
                .map_err(|_| StartError::Damaged("command that does not follow the one before"))?;
            journal.note(&command, old, &table, at_unix_us, reason);
        }
        let takeovers = Takeovers::load(&stored.records, &journal)?;
        let party = &config.roster.authority;
        let keys_fit = party.session_key == duohuo_wire::handshake::public_key(&config.session_secret)
            && party.signing_key == config.signing_key.verifying_key().to_bytes();
        if !keys_fit {
            return Err(StartError::WrongKey);
        }
        let mut random = Random::new(config.seed);
        let links = Links::new(
            NodeId::AUTHORITY,
            config.session_secret.clone(),
            &config.roster,
            config.unix_at_zero,
            config.timers.stream_deadline,
            config.versions,
            &mut random,
        );
        let home = homes(&config.roster);
        let mut soft = Numbered::default();
        for (cluster, _) in table.entries() {
            soft.insert(*cluster, Soft { present: true, ..Soft::default() });
        }
        Ok(Self {
            config,
            random,
            links,
            out: Outbox::default(),
            disk: Disk::default(),
            table,
            journal,
            takeovers,
            deferred: BTreeMap::new(),
            waiting: 0,
            persisted: 0,
            soft,
            home,
            opened: BTreeMap::new(),
            deadlines: Deadlines::default(),
            news: News::default(),
            signed: None,
            reports: Reports::default(),
            rehearsals: Rehearsals::default(),
            alarmed: BTreeMap::new(),
            watchers: Watchers::default(),
            discards: Discards::default(),
            offences: Offences::default(),
            started_at: None,
            now: Instant::ZERO,
            failed: false,
        })
    }

    /// The table.
    #[must_use]
    pub const fn table(&self) -> &Table {
        &self.table
    }

    /// What it holds in memory.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let switches = self.soft.ascending().map(|(_, soft)| soft.switched_at.len()).sum();
        let mut held = vec![
            Held::entries("waits for the disk", self.waiting),
            Held::entries("watchers", self.watchers.count()),
            Held::entries("switches", switches),
            Held::entries("reports", self.reports.count_held()),
            self.offences.held(),
        ];
        held.extend(self.links.held());
        held
    }

    /// The counters of what was dropped.
    #[must_use]
    pub const fn discards(&self) -> &Discards {
        &self.discards
    }

    fn start(&mut self) {
        if self.started_at.is_some() {
            return;
        }
        self.started_at = Some(self.now);
        // Every master has a full age to be heard again.
        let clusters: Vec<ClusterId> = self.table.entries().map(|(cluster, _)| *cluster).collect();
        for cluster in clusters {
            let age = self.config.timers.startup_interval + self.config.timers.dead_interval;
            self.ages_after(cluster, age);
        }
    }

    /// Still listening for masters that were there before it started.
    fn is_starting(&self) -> bool {
        self.started_at.is_none_or(|at| self.now < at + self.config.timers.startup_interval)
    }

    /// Make a decision durable; `effects` are said when it is.
    fn decide(
        &mut self,
        command: &Command,
        reason: DecisionReason,
        effects: Vec<Effect>,
    ) -> Result<(), Conflict> {
        let old = master_of(&self.table, command);
        self.table.apply(command)?;
        let unix = self.config.unix_at_zero + Duration::from_nanos(self.now.as_nanos());
        let at_unix_us = u64::try_from(unix.as_micros()).unwrap_or(u64::MAX);
        self.journal.note(command, old, &self.table, at_unix_us, reason);
        let value = journal::dated(command, at_unix_us, reason);
        let put = Write::Put { table: StoreTable::Command, key: self.table.version(), value };
        let token = self.out.persist(vec![put]);
        self.disk.asked(token, self.now);
        let deferred: Vec<Deferred> = effects.into_iter().map(|effect| self.as_decided(effect)).collect();
        self.waiting += deferred.len();
        self.deferred.entry(token).or_default().extend(deferred);
        Ok(())
    }

    /// An answer that shows the table: at once if all of it is durable, else when it is (I9).
    fn when_durable(&mut self, effect: Effect) {
        let deferred = self.as_decided(effect);
        if self.persisted == self.out.last_token() {
            self.carry_out(deferred);
        } else if self.waiting >= MAX_WAITING {
            self.discards.count(Discard::RateLimited);
        } else {
            self.waiting += 1;
            self.deferred.entry(self.out.last_token()).or_default().push(deferred);
        }
    }

    fn as_decided(&self, effect: Effect) -> Deferred {
        let row =
            effect.cluster().and_then(|cluster| self.table.entry(cluster)).map(|entry| entry.row.clone());
        Deferred { effect, row, table_version: self.table.version() }
    }

    fn carry_out(&mut self, deferred: Deferred) {
        let Deferred { effect, row, table_version } = deferred;
        match effect {
            Effect::Answer { to, request, outcome, stream, .. } => {
                let Some(row) = row else { return };
                let packet = self.notice(row, request, outcome, table_version);
                if stream {
                    self.links.send_stream(Party::Node(to), &packet, &mut self.out);
                } else {
                    self.links.send_datagram(Party::Node(to), &packet, &mut self.out);
                }
            }
            Effect::Notify(cluster) => {
                let Some(row) = row else { return };
                let packet = self.notice(row, 0, Outcome::Notice, table_version);
                self.notify(cluster, packet);
            }
            Effect::Registered { to, request, cluster } => self.send_registered(to, request, cluster),
            Effect::History { to, cluster, nodes } => {
                let history = History::sign(cluster, Epoch(1), nodes, &self.config.signing_key);
                self.links.send_stream(Party::Node(to), &Packet::from(history), &mut self.out);
            }
            Effect::Switch(order) => self.send_switch(&order),
            Effect::OrderAnswer { stream, request, outcome, number, entry } => {
                self.send_order_answer(stream, request, outcome, number, entry);
            }
            Effect::Journal { stream, page } => {
                self.links.send_on(stream, &Packet::from(*page), &mut self.out);
            }
            Effect::Event(event) => self.event(event),
        }
    }

    /// A row, signed.
    fn notice(&mut self, row: Row, request: u64, outcome: Outcome, table_version: u64) -> Packet {
        let key = &self.config.signing_key;
        let row = match self.signed.take() {
            Some(signed) if signed.row == row => signed,
            _ => SignedRow::sign(row, key),
        };
        self.signed = Some(row.clone());
        Packet::from(Notice { request, outcome, table_version, row, ..Default::default() })
    }

    fn event(&mut self, event: Event) {
        let unix = self.config.unix_at_zero + Duration::from_nanos(self.now.as_nanos());
        self.watchers.tell(&event, unix, ClusterId(0), &mut self.links, &mut self.out);
    }

    fn offended(&mut self, node: NodeId, offence: Offence) {
        if let Some(count) = self.offences.note(self.now, node, offence) {
            let cluster = self.home.get(&node).copied().unwrap_or_default();
            self.event(Event::Offended { cluster, node, offence, count });
        }
    }

    fn on_datagram_event(&mut self, event: DatagramEvent) -> Result<(), Discard> {
        match event {
            DatagramEvent::Nothing | DatagramEvent::Established => Ok(()),
            DatagramEvent::Packet(Party::Node(node), packet) => self.on_node_datagram(node, packet),
            DatagramEvent::Packet(..) => Err(Discard::Forbidden),
        }
    }

    fn on_stream_event(&mut self, stream: StreamId, event: StreamEvent) -> Result<(), Discard> {
        match event {
            StreamEvent::Established(_) => Ok(()),
            StreamEvent::Refused(_, why) => {
                self.links.answer_unsupported(stream, &why, &mut self.out);
                Err(why)
            }
            StreamEvent::Broken(party, why) => {
                self.stream_lost(stream, party);
                Err(why)
            }
            StreamEvent::Packet(Party::Node(node), packet) => self.on_node_stream(node, packet),
            StreamEvent::Packet(Party::Client(_), packet) => self.on_client(stream, packet),
            StreamEvent::Packet(Party::Authority, _) => Err(Discard::Reflected),
        }
    }

    fn stream_lost(&mut self, stream: StreamId, party: Option<Party>) {
        self.watchers.remove(stream);
        if let Some(Party::Node(node)) = party {
            self.node_stream_closed(node);
        }
    }

    fn on_client(&mut self, stream: StreamId, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::StatusQuery(query) => {
                let report = self.status();
                let report = crate::watch::encode_report(&report);
                let mut extensions = Extensions::new();
                if let Some(times) = self.disk.times() {
                    times.put(&mut extensions);
                }
                put_paused(self.table.paused(), &mut extensions);
                self.links.spoken().put(&mut extensions);
                let answer = StatusAnswer { request: query.request, report, extensions };
                self.links.send_on(stream, &Packet::from(answer), &mut self.out);
                Ok(())
            }
            Packet::Watch(watch) => {
                self.watchers.add(stream, watch.kinds);
                Ok(())
            }
            Packet::Order(order) => self.on_order(stream, order),
            Packet::JournalQuery(query) => {
                self.on_journal_query(stream, &query);
                Ok(())
            }
            _ => Err(Discard::Forbidden),
        }
    }

    fn status(&self) -> StatusReport {
        let uptime = self.now - self.started_at.unwrap_or(self.now);
        StatusReport {
            role: Role::Ordinary,
            node: NodeId::AUTHORITY,
            authority_up: true,
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            rows: self.table.entries().map(|(_, e)| e.row.clone()).collect(),
            discards: self.discards.iter().map(|(label, n)| (label.to_owned(), n)).collect(),
            ..Default::default()
        }
    }

    fn roster_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.config.roster.encode(&mut bytes);
        bytes.freeze()
    }

    fn on_roster(&mut self, roster: Roster) {
        if roster.version <= self.config.roster.version {
            return;
        }
        let before = core::mem::replace(&mut self.config.roster, roster);
        self.home = homes(&self.config.roster);
        self.opened.clear(); // it is bound to the keys of the roster
        let version = self.config.roster.version;
        let push = Packet::from(RosterPush { roster: self.roster_bytes(), ..Default::default() });
        for party in self.links.parties_with_stream() {
            if matches!(party, Party::Node(_)) {
                self.links.send_stream(party, &push, &mut self.out);
            }
        }
        for (stream, party) in self.links.succeed(&before, &self.config.roster, &mut self.out) {
            self.stream_lost(stream, party);
        }
        self.event(Event::RosterInForce { version });
    }

    fn take(&mut self, input: Input) -> Result<(), Discard> {
        match input {
            Input::Tick => {}
            Input::Datagram { group: true, .. } => return Err(Discard::Unexpected),
            Input::Datagram { from, bytes, .. } => {
                let event = self.links.on_datagram(turn!(self), from, &bytes)?;
                let party = event.party();
                let done = self.on_datagram_event(event);
                if let Err(why) = done
                    && let Some(node) = offender(party, why)
                {
                    self.offended(node, Offence::RefusedPackets);
                }
                return done;
            }
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
            Input::Persisted { token } => {
                self.disk.done(token, self.now);
                self.takeovers.durable(token, self.now);
                self.persisted = self.persisted.max(token);
                let later = self.deferred.split_off(&(token + 1));
                for deferred in core::mem::replace(&mut self.deferred, later).into_values().flatten() {
                    self.waiting -= 1;
                    self.carry_out(deferred);
                }
            }
            Input::PersistFailed => {
                self.failed = true;
                self.event(Event::StoreFailed);
                self.out.push(Output::Exit);
            }
            Input::Roster(roster) => self.on_roster(*roster),
            Input::Shutdown => self.out.push(Output::Exit),
            Input::BlocksRead { .. }
            | Input::ChunkRead { .. }
            | Input::WrongResults(_)
            | Input::KeepBlocks(_)
            | Input::Outside(_) => {
                return Err(Discard::Unexpected);
            }
        }
        Ok(())
    }

    fn run_deadlines(&mut self) {
        for (stream, party) in self.links.tick(turn!(self)) {
            self.discards.count(Discard::TooSlow);
            self.stream_lost(stream, party);
        }
        while let Some(deadline) = self.deadlines.pop_due(self.now) {
            match deadline {
                Deadline::Age(cluster) => self.look_at_age(cluster),
                Deadline::Inquiry(cluster) => self.continue_inquiry(cluster),
                Deadline::Order(cluster) => self.order_is_due(cluster),
                Deadline::News => self.tell_news(),
            }
        }
    }
}

fn homes(roster: &Roster) -> BTreeMap<NodeId, ClusterId> {
    roster.all_nodes().map(|(cluster, node)| (node.id, cluster.id)).collect()
}

/// Who is master where a command is about to be applied.
fn master_of(table: &Table, command: &Command) -> NodeId {
    table.entry(command.cluster()).map_or(NodeId(0), |entry| entry.row.master)
}

impl Machine for Authority {
    fn handle(&mut self, now: Instant, input: Input) {
        self.out.assert_drained();
        self.now = self.now.max(now);
        if self.failed {
            return; // an authority that cannot write says nothing more (R1)
        }
        self.start();
        if let Err(why) = self.take(input) {
            self.discards.count(why);
        }
        if !self.failed {
            self.run_deadlines();
        }
        assert!(
            self.deferred.first_key_value().is_none_or(|(token, _)| *token > self.persisted),
            "everything that is durable has been said"
        );
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.links.poll_timeout(), self.deadlines.next()].into_iter().flatten().min()
    }

    /// On the wire the authority tells no neighbours; a page of its own may show which masters it hears.
    fn about(&self) -> StatusReport {
        let heard = |(cluster, entry): (&ClusterId, &table::Entry)| {
            let soft = self.soft.get(cluster);
            let age = soft.and_then(|s| s.heard_at).map(|at| self.now - at);
            NeighbourStatus {
                node: entry.row.master,
                alive: soft.is_some_and(|s| s.present),
                role: Role::Master,
                priority: 0,
                height: duohuo_wire::ids::Height(0),
                age_us: age.map_or(u64::MAX, |a| u64::try_from(a.as_micros()).unwrap_or(u64::MAX)),
            }
        };
        StatusReport { neighbours: self.table.entries().map(heard).collect(), ..self.status() }
    }

    fn measured(&self) -> Vec<crate::io::Measured> {
        self.takeovers.latest(&self.journal)
    }

    fn roster_in_force(&self) -> Option<&Roster> {
        Some(&self.config.roster)
    }
}
