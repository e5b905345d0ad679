//! A world in one process: production machines, bytes between them, a disk each, under virtual time.
//!
//! The seed decides every delay and every loss; the same seed gives the same run.

mod acting;
mod agenda;
mod health;
mod look;
mod network;
mod step;
mod trouble;

use self::agenda::{Agenda, What};
use self::health::Health;
use crate::checker::Checker;
use crate::client::{Book, Client};
use crate::consortium::{CLIENT, Consortium};
use crate::faults::Kind;
use crate::host::{self, Anyone, Disk, Host, Settings};
use crate::outside::Acting;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::io::{Input, StreamId};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::memory::Remembering;
use duohuo_wire::order::{OrderKind, SignedOrder};
use duohuo_wire::packet::OrderOutcome;
use duohuo_wire::rehearsal::Rehearsed;
use duohuo_wire::roster::NodeEntry;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a run draws its luck from.
#[derive(Clone, Copy, Debug)]
pub struct Luck {
    /// Loss of datagrams, in parts per thousand.
    pub loss: u32,
    /// Duplication of datagrams, in parts per thousand.
    pub duplication: u32,
    /// Datagrams of long ago that come again, in parts per thousand of those sent.
    pub replay: u32,
    /// Datagrams with a flipped bit, in parts per thousand.
    pub corruption: u32,
    /// Datagrams of which a copy comes to somebody else, in parts per thousand.
    pub astray: u32,
    /// One-way delay.
    pub delay: (Duration, Duration),
    /// Time of a durable write.
    pub disk: (Duration, Duration),
}

impl Default for Luck {
    fn default() -> Self {
        let us = Duration::from_micros;
        Self {
            loss: 0,
            duplication: 0,
            replay: 0,
            corruption: 0,
            astray: 0,
            delay: (us(50), us(200)),
            disk: (us(200), us(800)),
        }
    }
}

type End = (NodeId, StreamId);

/// The world.
pub struct World {
    /// Everybody.
    pub consortium: Consortium,
    now: Instant,
    agenda: Agenda,
    /// Boxed: who is looked for is found among numbers that lie close together.
    hosts: BTreeMap<NodeId, Box<Host>>,
    /// Who gets what is sent to an address.
    addresses: BTreeMap<SocketAddr, Rc<Vec<NodeId>>>,
    /// Which cluster each node is of.
    clusters: BTreeMap<NodeId, ClusterId>,
    /// Both ends of each open stream, and when the last bytes towards that end arrive (streams keep their order).
    streams: BTreeMap<End, (End, Instant)>,
    /// Pairs that cannot reach each other, and since when.
    cut: BTreeMap<(NodeId, NodeId), Instant>,
    /// What a link adds to the delay, one way.
    slow: BTreeMap<(NodeId, NodeId), Duration>,
    /// Links that keep everything back, one way, and the datagrams they keep.
    clogged: BTreeMap<(NodeId, NodeId), Vec<Input>>,
    /// Whose multicast gets nowhere.
    mute: BTreeSet<NodeId>,
    /// Links that lose datagrams longer than this, one way.
    narrow: BTreeMap<(NodeId, NodeId), usize>,
    /// When the latest datagram of a link arrives: one that arrives before it has been overtaken.
    last_arrival: BTreeMap<(NodeId, NodeId), Instant>,
    /// Bytes that a cut holds back, by the end they go to: sent again when it is mended.
    held: BTreeMap<End, Vec<Bytes>>,
    rng: ChaCha12Rng,
    luck: Luck,
    settings: Settings,
    /// How often each fault had an effect.
    pub felt: BTreeMap<Kind, u64>,
    /// Digest of everything that happened: the same seed gives the same.
    digest: u64,
    /// Watches from outside.
    pub checker: Checker,
    /// Who acts outside the chain.
    pub acting: Acting,
    /// Breaks a rule on purpose: whoever acts counts its lease from when the last answer came.
    pub lease_from_reception: bool,
    /// A fault: what acts is never reported to have ended.
    pub ends_unreported: bool,
    /// Datagrams seen on the wire: receiver, input.
    captured: Vec<(NodeId, Input)>,
    /// What the client was answered.
    pub book: Rc<RefCell<Book>>,
    /// The highest number of an order given so far.
    ordered: u64,
    /// How busy the machine under all of them is: ten times in a keepalive somebody may stand still for up to so long.
    busy: Duration,
    /// Breaks a rule on purpose: `Persisted` is said at once, and the write follows so much later.
    pub lying_disks: Option<Duration>,
    /// Breaks a rule on purpose: of the batches that wait, the newest is written first.
    pub reordering_disks: bool,
    /// Breaks a rule on purpose: what a node wants deleted of its log stays on its disk.
    pub hoarding_disks: bool,
    /// Breaks a rule on purpose: whoever sends a datagram sends it so many times.
    pub repeats: usize,
    /// Breaks a rule on purpose (R6): the authority hears nothing of the masters, as if it did not ask.
    pub deaf_authority: bool,
    /// Hosts that speak a later version of the protocol.
    later: BTreeSet<NodeId>,
    health: Health,
    /// Since when each node acts as master.
    leads_since: BTreeMap<NodeId, Instant>,
    /// Prints events as they happen.
    pub trace: bool,
    /// While it lives, the cryptography of this thread has stand-ins.
    pub remembering: Option<Remembering>,
}

/// Added to a node's number to name a copy of it.
const COPY: u32 = 100_000;

/// A stream that gets no acknowledgement for so long ends, as the driver sets it.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);

impl World {
    /// A world where nothing runs yet.
    #[must_use]
    pub fn new(seed: u64, consortium: Consortium, luck: Luck) -> Self {
        Self::with_settings(seed, consortium, luck, Settings::default())
    }

    /// A world whose machines are told these settings.
    #[must_use]
    pub fn with_settings(seed: u64, consortium: Consortium, luck: Luck, settings: Settings) -> Self {
        let mut hosts = BTreeMap::new();
        let number = consortium.roster.clusters.len();
        let mut host = |id, address| {
            hosts.insert(id, Box::new(Host::new(id, address, settings)));
        };
        host(NodeId::AUTHORITY, consortium.roster.authority.address);
        for (_, node) in consortium.roster.all_nodes() {
            host(node.id, node.address);
        }
        if let Ok(address) = "127.99.0.1:1".parse() {
            host(CLIENT, address);
        }
        let mut world = Self {
            consortium,
            addresses: BTreeMap::new(),
            clusters: BTreeMap::new(),
            now: Instant::from_nanos(1),
            agenda: Agenda::default(),
            hosts,
            streams: BTreeMap::new(),
            cut: BTreeMap::new(),
            slow: BTreeMap::new(),
            clogged: BTreeMap::new(),
            mute: BTreeSet::new(),
            narrow: BTreeMap::new(),
            last_arrival: BTreeMap::new(),
            held: BTreeMap::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            luck,
            settings,
            felt: BTreeMap::new(),
            digest: 0,
            checker: Checker::new(number),
            acting: Acting::default(),
            lease_from_reception: false,
            ends_unreported: false,
            captured: Vec::new(),
            book: Rc::default(),
            ordered: 0,
            busy: Duration::ZERO,
            lying_disks: None,
            reordering_disks: false,
            hoarding_disks: false,
            repeats: 1,
            deaf_authority: false,
            later: BTreeSet::new(),
            health: Health::default(),
            leads_since: BTreeMap::new(),
            trace: std::env::var_os("DUOHUO_TRACE").is_some(),
            remembering: Some(duohuo_wire::memory::remember()),
        };
        world.learn_addresses();
        world
    }

    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Change the luck from here on.
    pub fn set_luck(&mut self, luck: Luck) {
        self.touch_all();
        self.luck = luck;
    }

    /// Start everybody.
    pub fn start_all(&mut self) {
        let all: Vec<NodeId> = self.hosts.keys().copied().filter(|id| *id != CLIENT).collect();
        for id in all {
            self.start(id);
        }
    }

    /// Start a node or the authority from its disk.
    pub fn start(&mut self, id: NodeId) {
        let seed = self.draw_key();
        let Some(host) = self.hosts.get(&id) else { return };
        let machine = host::start_as(host.who, &self.consortium, &host.disk, seed, &host.told);
        self.checker.started(self.now, id, &host.disk);
        self.put(id, machine);
    }

    /// A node is enrolled: it gets a host, and the authority the new roster.
    pub fn enrol(&mut self, cluster: ClusterId, room: u16, priority: u8) -> Option<NodeId> {
        let entry: NodeEntry = self.consortium.enrol(cluster, room, priority)?;
        let host = Host::new(entry.id, entry.address, self.settings);
        self.hosts.insert(entry.id, Box::new(host));
        self.learn_addresses();
        let roster = Box::new(self.consortium.roster.clone());
        self.give(CLIENT, Input::Roster(roster.clone()));
        self.give(NodeId::AUTHORITY, Input::Roster(roster));
        Some(entry.id)
    }

    /// F19: a second live copy of a node, from a copy of its disk, at the same address: what a host that a hypervisor
    /// cloned is. Datagrams to the address reach both, streams the first; each dials for itself. Its number in this world.
    pub fn copy(&mut self, id: NodeId) -> Option<NodeId> {
        let original = self.hosts.get(&id)?;
        let copy = NodeId(id.0 + COPY);
        let mut host = Host::new(id, original.address, self.settings);
        host.disk = original.disk.clone();
        host.records = original.records;
        self.hosts.insert(copy, Box::new(host));
        self.learn_addresses();
        self.start(copy);
        Some(copy)
    }

    /// Start a client that submits a transfer every `rate` until `until`.
    pub fn start_client(&mut self, rate: Duration, until: Instant) {
        let secret = self.consortium.keys[&CLIENT].session;
        let client =
            Client::new(CLIENT, secret, self.consortium.roster.clone(), rate, until, Rc::clone(&self.book));
        self.put(CLIENT, Anyone::Client(Box::new(client)));
    }

    /// An operator's order, handed in by the client: the next number, good for an hour, for any epoch.
    pub fn order(&mut self, kind: OrderKind, cluster: ClusterId, node: NodeId) -> u64 {
        self.ordered += 1;
        let order = SignedOrder {
            consortium: self.consortium.roster.consortium,
            number: self.ordered,
            kind,
            cluster,
            node,
            epoch: Epoch(0),
            expires: u64::MAX,
            who: "operator".to_owned(),
            why: "drill".to_owned(),
            signature: [0; 64],
        };
        self.book.borrow_mut().orders.push_back(order.sign(&self.consortium.operator));
        self.ordered
    }

    /// What became of an order, if it was answered.
    #[must_use]
    pub fn answered(&self, number: u64) -> Option<OrderOutcome> {
        self.book.borrow().answered.iter().find(|(n, _)| *n == number).map(|(_, outcome)| *outcome)
    }

    /// The client asks a node to rehearse a takeover.
    pub fn rehearse(&mut self, node: NodeId) {
        self.book.borrow_mut().to_rehearse.push_back(node);
    }

    /// What nodes answered that were asked to rehearse.
    #[must_use]
    pub fn rehearsed(&self) -> Vec<(NodeId, Rehearsed)> {
        self.book.borrow().rehearsed.clone()
    }

    fn put(&mut self, id: NodeId, machine: Anyone) {
        self.touch(id);
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        host.machine = Some(machine);
        host.life += 1;
        host.writing.clear();
        host.disk_fails = false;
        host.crash_after = None;
        host.next_accepted = 0;
        host.timer = None;
        let life = host.life;
        self.schedule(self.now, What::Input { to: id, life, input: Input::Tick });
    }

    /// kill -9: the machine is gone, what was not durable is lost, its streams are reset.
    pub fn kill(&mut self, id: NodeId) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        if host.machine.take().is_none() {
            return;
        }
        host.life += 1;
        host.paused = false;
        host.backlog.clear();
        host.crash_after = None;
        if !host.writing.is_empty() {
            *self.felt.entry(Kind::LostWrites).or_default() += 1;
        }
        host.writing.clear();
        self.checker.killed(id);
        self.leads_since.remove(&id);
        self.touch(id);
        let ends: Vec<End> = self.streams.keys().copied().filter(|(node, _)| *node == id).collect();
        for end in ends {
            self.close(end);
        }
    }

    /// The digest of everything that happened so far.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// A fault had an effect.
    pub(crate) fn feel(&mut self, kind: Kind) {
        *self.felt.entry(kind).or_default() += 1;
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self, id: NodeId) -> bool {
        self.hosts.get(&id).is_some_and(|h| h.machine.is_some())
    }

    fn draw_key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.rng.fill_bytes(&mut key);
        key
    }

    fn between(&mut self, span: (Duration, Duration)) -> Duration {
        let width = u64::try_from((span.1 - span.0).as_nanos()).unwrap_or(0);
        span.0 + Duration::from_nanos(if width == 0 { 0 } else { self.rng.next_u64() % width })
    }

    fn by_chance(&mut self, per_thousand: u32) -> bool {
        per_thousand > 0 && self.rng.next_u32() % 1000 < per_thousand
    }

    fn schedule(&mut self, at: Instant, what: What) {
        self.agenda.push(at, what);
    }

    /// Something comes out of the blue.
    pub fn arrive(&mut self, to: NodeId, input: Input) {
        self.schedule_input(to, self.now, input);
    }

    /// Give a machine an input out of turn: what an attacker on its segment could.
    pub fn inject(&mut self, to: NodeId, input: Input) {
        self.give(to, input);
    }

    /// A copy of a disk, as a backup would be.
    #[must_use]
    pub fn image(&self, id: NodeId) -> Disk {
        self.hosts.get(&id).map(|h| h.disk.clone()).unwrap_or_default()
    }
}
