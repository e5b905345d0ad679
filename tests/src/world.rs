//! A world in one process: production machines, bytes between them, a disk each, under virtual time.
//!
//! The seed decides every delay and every loss; the same seed gives the same run.

use crate::checker::Checker;
use crate::client::{Book, Client};
use crate::consortium::{CLIENT, Consortium};
use crate::host::{self, Anyone, Host};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_chain::{Block, CommittedBlock};
use duohuo_core::Instant;
use duohuo_core::chain::TransactionId;
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Machine, Output, StreamId, Table, Write};
use duohuo_wire::ids::{ClusterId, Height, NodeId};
use duohuo_wire::packet::Role;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::cell::RefCell;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
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
            delay: (us(50), us(200)),
            disk: (us(200), us(800)),
        }
    }
}

enum What {
    Input {
        to: NodeId,
        life: u32,
        input: Input,
    },
    DiskDone {
        host: NodeId,
        life: u32,
    },
    Timer {
        host: NodeId,
        life: u32,
    },
    /// A cut has lasted for as long as a stream waits for acknowledgements.
    CutTimeout {
        a: NodeId,
        b: NodeId,
        since: Instant,
    },
    /// A dial arrives.
    Dial {
        from: NodeId,
        life: u32,
        stream: StreamId,
        to: SocketAddr,
    },
}

struct Scheduled {
    at: Instant,
    order: u64,
    what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

type End = (NodeId, StreamId);

/// The world.
pub struct World {
    /// Everybody.
    pub consortium: Consortium,
    now: Instant,
    order: u64,
    agenda: BinaryHeap<Scheduled>,
    hosts: BTreeMap<NodeId, Host>,
    /// Both ends of each open stream, and when the last bytes towards that end arrive (streams keep their order).
    streams: BTreeMap<End, (End, Instant)>,
    /// Pairs that cannot reach each other, and since when.
    cut: BTreeMap<(NodeId, NodeId), Instant>,
    /// Bytes that a cut holds back, by the end they go to: sent again when it is mended.
    held: BTreeMap<End, Vec<Bytes>>,
    rng: ChaCha12Rng,
    luck: Luck,
    /// Watches from outside.
    pub checker: Checker,
    /// Datagrams seen on the wire: receiver, input.
    captured: Vec<(NodeId, Input)>,
    /// What the client was answered.
    pub book: Rc<RefCell<Book>>,
    /// Breaks a rule on purpose: `Persisted` is said at once, and the write follows so much later.
    pub lying_disks: Option<Duration>,
    /// Prints events as they happen.
    pub trace: bool,
}

/// A stream that gets no acknowledgement for so long ends, as the driver sets it.
const STREAM_PATIENCE: Duration = Duration::from_secs(2);

impl World {
    /// A world where nothing runs yet.
    #[must_use]
    pub fn new(seed: u64, consortium: Consortium, luck: Luck) -> Self {
        let mut hosts = BTreeMap::new();
        let mut host = |id, address| {
            hosts.insert(
                id,
                Host {
                    address,
                    machine: None,
                    disk: BTreeMap::new(),
                    writing: VecDeque::new(),
                    disk_free_at: Instant::ZERO,
                    life: 0,
                    next_accepted: 0,
                    timer: None,
                },
            );
        };
        host(NodeId::AUTHORITY, consortium.roster.authority.address);
        for (_, node) in consortium.roster.all_nodes() {
            host(node.id, node.address);
        }
        if let Ok(address) = "127.99.0.1:1".parse() {
            host(CLIENT, address);
        }
        Self {
            consortium,
            now: Instant::from_nanos(1),
            order: 0,
            agenda: BinaryHeap::new(),
            hosts,
            streams: BTreeMap::new(),
            cut: BTreeMap::new(),
            held: BTreeMap::new(),
            rng: ChaCha12Rng::seed_from_u64(seed),
            luck,
            checker: Checker::default(),
            captured: Vec::new(),
            book: Rc::default(),
            lying_disks: None,
            trace: std::env::var_os("DUOHUO_TRACE").is_some(),
        }
    }

    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Change the luck from here on.
    pub fn set_luck(&mut self, luck: Luck) {
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
        let machine = host::start(id, &self.consortium, &host.disk, seed);
        self.put(id, machine);
    }

    /// Start a client that submits a transfer every `rate` until `until`.
    pub fn start_client(&mut self, rate: Duration, until: Instant) {
        let secret = self.consortium.keys[&CLIENT].session;
        let client =
            Client::new(CLIENT, secret, self.consortium.roster.clone(), rate, until, Rc::clone(&self.book));
        self.put(CLIENT, Anyone::Client(Box::new(client)));
    }

    fn put(&mut self, id: NodeId, machine: Anyone) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        host.machine = Some(machine);
        host.life += 1;
        host.writing.clear();
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
        host.writing.clear();
        self.checker.killed(id);
        let ends: Vec<End> = self.streams.keys().copied().filter(|(node, _)| *node == id).collect();
        for end in ends {
            self.close(end);
        }
    }

    /// Whether it runs.
    #[must_use]
    pub fn is_up(&self, id: NodeId) -> bool {
        self.hosts.get(&id).is_some_and(|h| h.machine.is_some())
    }

    /// Cut or mend the link between two hosts, both ways. Datagrams are lost; streams wait, and end after a while.
    pub fn set_cut(&mut self, a: NodeId, b: NodeId, cut: bool) {
        if cut {
            for pair in [(a, b), (b, a)] {
                self.cut.insert(pair, self.now);
            }
            self.schedule(self.now + STREAM_PATIENCE, What::CutTimeout { a, b, since: self.now });
            return;
        }
        for pair in [(a, b), (b, a)] {
            self.cut.remove(&pair);
        }
        let ends: Vec<End> = self.held.keys().copied().filter(|(node, _)| *node == a || *node == b).collect();
        for end in ends {
            let between = self.streams.get(&end).is_some_and(|((other, _), _)| *other == a || *other == b);
            if between {
                for bytes in self.held.remove(&end).unwrap_or_default() {
                    self.stream_bytes(end, bytes);
                }
            }
        }
    }

    /// A cut that lasted: both ends of each stream between the two see it end.
    fn cut_timeout(&mut self, a: NodeId, b: NodeId, since: Instant) {
        if self.cut.get(&(a, b)) != Some(&since) {
            return;
        }
        let ends: Vec<End> = self
            .streams
            .iter()
            .filter(|((node, _), ((other, _), _))| (*node, *other) == (a, b) || (*node, *other) == (b, a))
            .map(|(end, _)| *end)
            .collect();
        for end in ends {
            self.streams.remove(&end);
            self.held.remove(&end);
            self.schedule_input(end.0, self.now, Input::StreamClosed { stream: end.1 });
        }
    }

    /// Bytes on their way to an end, after those before them.
    fn stream_bytes(&mut self, to: End, bytes: Bytes) {
        let delay = self.between(self.luck.delay);
        let Some((_, last)) = self.streams.get_mut(&to) else { return };
        let at = (self.now + delay).max(*last + Duration::from_nanos(1));
        *last = at;
        self.schedule_input(to.0, at, Input::StreamBytes { stream: to.1, bytes });
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
        self.order += 1;
        self.agenda.push(Scheduled { at, order: self.order, what });
    }

    /// Let virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.run_while(until, |_| true);
    }

    /// Let time pass until `done` or the span is over; whether it was done.
    pub fn run_until(&mut self, span: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + span;
        self.run_while(until, |world| !done(world));
        done(self)
    }

    fn run_while(&mut self, until: Instant, go_on: impl Fn(&Self) -> bool) {
        while go_on(self) {
            let Some(next) = self.agenda.peek() else {
                break;
            };
            if next.at > until {
                break;
            }
            let Some(next) = self.agenda.pop() else { break };
            self.now = self.now.max(next.at);
            self.happen(next.what);
            self.checker.check(self.now);
        }
        if go_on(self) {
            self.now = self.now.max(until);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Input { to, life, input } => {
                if self.hosts.get(&to).is_some_and(|h| h.life == life) {
                    self.give(to, input);
                }
            }
            What::Timer { host, life } => {
                let due = self.hosts.get_mut(&host).is_some_and(|h| {
                    let due = h.life == life && h.timer.is_some_and(|at| at <= self.now);
                    if due {
                        h.timer = None;
                    }
                    due
                });
                if due {
                    self.give(host, Input::Tick);
                }
            }
            What::DiskDone { host, life } => {
                let Some(h) = self.hosts.get_mut(&host).filter(|h| h.life == life) else {
                    return;
                };
                let Some((token, writes)) = h.writing.pop_front() else {
                    return;
                };
                for write in writes {
                    match write {
                        Write::Put { table, key, value } => drop(h.disk.insert((table, key), value)),
                        Write::DeleteRange { table, from, to } => {
                            h.disk.retain(|(t, k), _| *t != table || *k < from || *k >= to);
                        }
                    }
                }
                if self.lying_disks.is_none() {
                    self.give(host, Input::Persisted { token });
                }
            }
            What::CutTimeout { a, b, since } => self.cut_timeout(a, b, since),
            What::Dial { from, life, stream, to } => self.dial(from, life, stream, to),
        }
    }

    fn dial(&mut self, from: NodeId, life: u32, stream: StreamId, to: SocketAddr) {
        if self.hosts.get(&from).is_none_or(|h| h.life != life) {
            return;
        }
        let target = self.hosts.iter().find(|(_, h)| h.address == to).map(|(id, _)| *id);
        let reachable = target.filter(|t| !self.cut.contains_key(&(from, *t)) && self.is_up(*t));
        let Some(target) = reachable else {
            self.schedule_input(from, self.now, Input::StreamClosed { stream });
            return;
        };
        let Some(host) = self.hosts.get_mut(&target) else {
            return;
        };
        host.next_accepted += 2;
        let accepted = StreamId(host.next_accepted);
        let from_address = self.hosts[&from].address;
        let (here, there) = ((from, stream), (target, accepted));
        self.streams.insert(here, (there, self.now));
        self.streams.insert(there, (here, self.now));
        self.schedule_input(target, self.now, Input::StreamAccepted { stream: accepted, from: from_address });
        self.schedule_input(from, self.now, Input::StreamOpened { stream });
    }

    fn schedule_input(&mut self, to: NodeId, at: Instant, input: Input) {
        if let Some(life) = self.hosts.get(&to).map(|h| h.life) {
            self.schedule(at, What::Input { to, life, input });
        }
    }

    /// One end goes; the other is told after what is under way.
    fn close(&mut self, end: End) {
        let Some((other, _)) = self.streams.remove(&end) else {
            return;
        };
        let Some((_, last)) = self.streams.remove(&other) else {
            return;
        };
        let delay = self.between(self.luck.delay);
        let at = (self.now + delay).max(last);
        self.schedule_input(other.0, at, Input::StreamClosed { stream: other.1 });
    }

    fn give(&mut self, to: NodeId, input: Input) {
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        let Some(mut machine) = host.machine.take() else {
            return;
        };
        let life = host.life;
        machine.handle(self.now, input);
        let mut exit = false;
        while let Some(output) = machine.poll_output() {
            exit |= matches!(output, Output::Exit);
            self.carry_out(to, life, output);
        }
        let timeout = machine.poll_timeout();
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        host.machine = Some(machine);
        if let Some(at) = timeout
            && host.timer.is_none_or(|set| at < set)
        {
            let at = at.max(self.now + Duration::from_nanos(1));
            host.timer = Some(at);
            self.schedule(at, What::Timer { host: to, life });
        }
        if exit {
            self.kill(to);
        }
    }

    fn carry_out(&mut self, from: NodeId, life: u32, output: Output) {
        match output {
            Output::Datagram { to, bytes } => self.datagram(from, to, &bytes),
            Output::Dial { stream, to } => {
                let at = self.now + self.between(self.luck.delay);
                self.schedule(at, What::Dial { from, life, stream, to });
            }
            Output::StreamBytes { stream, bytes } => {
                let Some((other, _)) = self.streams.get(&(from, stream)).copied() else { return };
                if self.cut.contains_key(&(from, other.0)) {
                    self.held.entry(other).or_default().push(bytes);
                } else {
                    self.stream_bytes(other, bytes);
                }
            }
            Output::CloseStream { stream } => self.close((from, stream)),
            Output::Persist { token, writes } => {
                let span = self.between(self.luck.disk);
                let lie = self.lying_disks;
                if lie.is_some() {
                    self.schedule_input(from, self.now, Input::Persisted { token });
                }
                let Some(host) = self.hosts.get_mut(&from) else {
                    return;
                };
                let at = host.disk_free_at.max(self.now) + span + lie.unwrap_or_default();
                host.disk_free_at = at;
                host.writing.push_back((token, writes));
                self.schedule(at, What::DiskDone { host: from, life });
            }
            Output::ReadBlocks { token, from: first, max_bytes } => {
                let Some(host) = self.hosts.get(&from) else {
                    return;
                };
                let mut blocks = Vec::new();
                let mut bytes = 0;
                for ((_, height), block) in
                    host.disk.range((Table::Block, first.0)..=(Table::Block, u64::MAX))
                {
                    if bytes > 0 && bytes + block.len() > max_bytes as usize {
                        break;
                    }
                    bytes += block.len();
                    blocks.push((Height(*height), block.clone()));
                }
                let at = self.now + self.between(self.luck.disk);
                self.schedule_input(from, at, Input::BlocksRead { token, blocks });
            }
            Output::Event(event) => {
                if self.trace && !event.is_frequent() {
                    println!("{} {from} {event:?}", self.now);
                }
                self.checker.event(self.now, from, &event);
            }
            Output::Exit => {}
        }
    }

    fn datagram(&mut self, from: NodeId, to: SocketAddr, bytes: &Bytes) {
        let roster = &self.consortium.roster;
        let group = to.ip().is_multicast();
        let receivers: Vec<NodeId> = if group {
            roster
                .clusters
                .iter()
                .filter(|c| c.group == to)
                .flat_map(|c| c.nodes.iter().map(|n| n.id))
                .collect()
        } else {
            self.hosts.iter().filter(|(_, h)| h.address == to).map(|(id, _)| *id).collect()
        };
        let source = self.hosts[&from].address;
        for receiver in receivers {
            let copies = if self.by_chance(self.luck.duplication) { 2 } else { 1 };
            for _ in 0..copies {
                if self.by_chance(self.luck.loss) || self.cut.contains_key(&(from, receiver)) {
                    continue;
                }
                let at = self.now + self.between(self.luck.delay);
                let mut bytes = bytes.clone();
                if self.by_chance(self.luck.corruption) {
                    let mut damaged = bytes.to_vec();
                    let bit = usize::try_from(self.rng.next_u32()).unwrap_or(0) % (damaged.len() * 8);
                    damaged[bit / 8] ^= 1 << (bit % 8);
                    bytes = damaged.into();
                }
                let input = Input::Datagram { from: source, group, bytes };
                self.capture(receiver, &input);
                self.schedule_input(receiver, at, input);
            }
        }
        if self.by_chance(self.luck.replay) && !self.captured.is_empty() {
            let pick = usize::try_from(self.rng.next_u64() % self.captured.len() as u64).unwrap_or(0);
            let (receiver, input) = self.captured[pick].clone();
            self.schedule_input(receiver, self.now, input);
        }
    }

    /// Keep what was on the wire, so that it can come again: from an earlier life of its receiver, too.
    fn capture(&mut self, receiver: NodeId, input: &Input) {
        const CAPTURED: usize = 4096;
        if self.luck.replay == 0 {
            return;
        }
        if self.captured.len() < CAPTURED {
            self.captured.push((receiver, input.clone()));
        } else {
            let at = usize::try_from(self.rng.next_u64() % CAPTURED as u64).unwrap_or(0);
            self.captured[at] = (receiver, input.clone());
        }
    }

    /// Give a machine an input out of turn: what an attacker on its segment could.
    pub fn inject(&mut self, to: NodeId, input: Input) {
        self.give(to, input);
    }

    /// How often a machine dropped something for this reason in its present life.
    #[must_use]
    pub fn discards(&self, id: NodeId, label: &str) -> u64 {
        let machine = self.hosts.get(&id).and_then(|h| h.machine.as_ref());
        machine.and_then(Anyone::discards).map_or(0, |d| d.of(label))
    }

    /// All datagrams on the wire so far (kept while [`Luck::replay`] is not zero).
    #[must_use]
    pub fn captured(&self) -> &[(NodeId, Input)] {
        &self.captured
    }

    /// Breaks a rule on purpose: a stopped machine's disk loses what `lost` says.
    pub fn lose(&mut self, id: NodeId, lost: impl Fn(Table, u64) -> bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk.retain(|(table, key), _| !lost(*table, *key));
        }
    }

    /// The highest key of a table on a disk.
    #[must_use]
    pub fn last_key(&self, id: NodeId, table: Table) -> Option<u64> {
        let host = self.hosts.get(&id)?;
        host.disk.range((table, 0)..=(table, u64::MAX)).next_back().map(|((_, key), _)| *key)
    }

    /// The disk of a machine fails at its next write.
    pub fn fail_disk(&mut self, id: NodeId) {
        self.give(id, Input::PersistFailed);
    }

    /// Tell a node to compute wrong results, or to stop it.
    pub fn wrong_results(&mut self, id: NodeId, on: bool) {
        self.give(id, Input::WrongResults(on));
    }

    /// Who acts as master of a cluster, by the last role each live node told.
    #[must_use]
    pub fn master(&self, cluster: ClusterId) -> Option<NodeId> {
        let nodes = &self.consortium.roster.cluster(cluster)?.nodes;
        nodes.iter().map(|n| n.id).find(|id| self.is_up(*id) && self.checker.role(*id) == Some(Role::Master))
    }

    /// Every transfer that was answered as committed stands in exactly one block of `id`'s store.
    pub fn audit(&self, id: NodeId) {
        let mut found: BTreeMap<TransactionId, u32> = BTreeMap::new();
        for block in self.blocks(id) {
            let block = CommittedBlock::decode(&block).and_then(|committed| Block::decode(&committed.block));
            let block = block.expect("a stored block can be read");
            for transfer in &block.transactions {
                *found.entry(transfer.id).or_default() += 1;
            }
        }
        for (transaction, height) in &self.book.borrow().committed {
            let times = found.get(transaction).copied().unwrap_or(0);
            assert_eq!(
                times, 1,
                "{transaction:?}, answered as committed at {height}, stands in {times} blocks of {id}"
            );
        }
        assert!(found.values().all(|times| *times == 1), "nothing is committed twice");
    }

    /// The committed blocks on a disk.
    #[must_use]
    pub fn blocks(&self, id: NodeId) -> Vec<Bytes> {
        let Some(host) = self.hosts.get(&id) else {
            return Vec::new();
        };
        host.disk
            .iter()
            .filter(|((table, _), _)| *table == Table::Block)
            .map(|(_, block)| block.clone())
            .collect()
    }

    /// The last event of a kind, for scenarios.
    #[must_use]
    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.checker.log.iter().any(|(_, _, event)| wanted(event))
    }
}
