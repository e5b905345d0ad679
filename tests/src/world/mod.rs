//! A world in one process: production machines, bytes between them, a disk each, under virtual time.
//!
//! The seed decides every delay and every loss; the same seed gives the same run.

mod look;
mod network;

use crate::checker::Checker;
use crate::client::{Book, Client};
use crate::consortium::{CLIENT, Consortium};
use crate::faults::Kind;
use crate::host::{self, Anyone, Clock, Disk, Host, Settings};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Machine, Output, StreamId, Table};
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::roster::NodeEntry;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
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
    /// The machine under all of them is busy: somebody is not given a processor for a while.
    Busy,
    /// It is given one again.
    Resume {
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
    /// Datagrams seen on the wire: receiver, input.
    captured: Vec<(NodeId, Input)>,
    /// What the client was answered.
    pub book: Rc<RefCell<Book>>,
    /// How busy the machine under all of them is: each millisecond somebody may stand still for up to so long.
    busy: Duration,
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
        Self::with_settings(seed, consortium, luck, Settings::default())
    }

    /// A world whose machines are told these settings.
    #[must_use]
    pub fn with_settings(seed: u64, consortium: Consortium, luck: Luck, settings: Settings) -> Self {
        let mut hosts = BTreeMap::new();
        let clusters = consortium.roster.clusters.len();
        let mut host = |id, address| {
            hosts.insert(id, Host::new(address, settings));
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
            checker: Checker::new(clusters),
            captured: Vec::new(),
            book: Rc::default(),
            busy: Duration::ZERO,
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
        let machine = host::start_as(id, &self.consortium, &host.disk, seed, &host.told);
        if id == NodeId::AUTHORITY {
            self.checker.authority_started(&host.disk);
        }
        self.put(id, machine);
    }

    /// A node is enrolled: it gets a host, and the authority the new roster.
    pub fn enrol(&mut self, cluster: ClusterId, room: u16, priority: u8) -> Option<NodeId> {
        let entry: NodeEntry = self.consortium.enrol(cluster, room, priority)?;
        self.hosts.insert(entry.id, Host::new(entry.address, self.settings));
        let roster = Box::new(self.consortium.roster.clone());
        self.give(NodeId::AUTHORITY, Input::Roster(roster));
        Some(entry.id)
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
        let ends: Vec<End> = self.streams.keys().copied().filter(|(node, _)| *node == id).collect();
        for end in ends {
            self.close(end);
        }
    }

    /// SIGSTOP: nothing reaches the machine, and it does nothing, until [`World::resume`].
    pub fn pause(&mut self, id: NodeId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.paused = host.machine.is_some();
        }
    }

    /// SIGCONT: all that was waiting comes at once.
    pub fn resume(&mut self, id: NodeId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if !core::mem::take(&mut host.paused) {
            return;
        }
        let waiting = core::mem::take(&mut host.backlog);
        for input in waiting {
            self.schedule_input(id, self.now, input);
        }
        self.schedule_input(id, self.now, Input::Tick);
    }

    /// Kill it when it has said so many things more.
    pub fn crash_after(&mut self, id: NodeId, outputs: u32) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.crash_after = Some(outputs);
        }
    }

    /// All processes share a busy machine from now on: each millisecond one of them, drawn at random, stands still for
    /// up to `most`. Zero: no more.
    pub fn set_busy(&mut self, most: Duration) {
        if self.busy.is_zero() && !most.is_zero() {
            self.schedule(self.now, What::Busy);
        }
        self.busy = most;
    }

    fn keep_busy(&mut self) {
        if self.busy.is_zero() {
            return;
        }
        self.feel(Kind::Busy);
        let pick = usize::try_from(self.rng.next_u64() % self.hosts.len() as u64).unwrap_or(0);
        let span = self.between((Duration::ZERO, self.busy));
        let victim = self.hosts.iter().nth(pick).map(|(id, host)| (*id, host.life, host.paused));
        if let Some((host, life, false)) = victim
            && host != CLIENT
        {
            self.pause(host);
            self.schedule(self.now + span, What::Resume { host, life });
        }
        self.schedule(self.now + Duration::from_millis(1), What::Busy);
    }

    /// It is not killed after so many things any more.
    pub fn disarm(&mut self, id: NodeId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.crash_after = None;
        }
    }

    /// Its clock runs faster (or slower) by so many parts per million from now on.
    pub fn set_clock_rate(&mut self, id: NodeId, ppm: i32) {
        let now = self.now;
        if let Some(host) = self.hosts.get_mut(&id) {
            host.clock = Clock::from_now(now, host.clock.local(now), ppm);
            host.timer = None;
        }
        self.schedule_input(id, now, Input::Tick);
    }

    /// Its wall clock is wrong by so much from its next start on.
    pub fn set_wall_clock(&mut self, id: NodeId, seconds: i64) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.told.wall_offset = seconds;
        }
    }

    /// Its durable writes take so many times as long; at 1 what waits is written at once.
    pub fn slow_disk(&mut self, id: NodeId, factor: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let recovers = host.disk_factor > 1 && factor == 1;
        host.disk_factor = factor;
        if recovers {
            host.disk_free_at = now;
            let (life, waiting) = (host.life, host.writing.len());
            for _ in 0..waiting {
                self.schedule(now, What::DiskDone { host: id, life });
            }
        }
    }

    /// Its disk is full: the next write fails, and none is tried after it.
    pub fn fill_disk(&mut self, id: NodeId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk_fails = true;
        }
    }

    /// Whether its next write fails.
    #[must_use]
    pub fn has_full_disk(&self, id: NodeId) -> bool {
        self.hosts.get(&id).is_some_and(|h| h.disk_fails)
    }

    /// It has no file descriptors left: no stream can be opened by it or to it.
    pub fn refuse_streams(&mut self, id: NodeId, refuse: bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.refuses_streams = refuse;
        }
    }

    /// Make its chain say things that are not so.
    pub fn lie(&mut self, id: NodeId, on: bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.told.lies.set(on);
        }
    }

    /// Stop it in good order.
    pub fn shut_down(&mut self, id: NodeId) {
        self.give(id, Input::Shutdown);
        self.kill(id);
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
                    self.give_or_keep(to, input);
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
                    self.give_or_keep(host, Input::Tick);
                }
            }
            What::DiskDone { host, life } => {
                let Some(h) = self.hosts.get_mut(&host).filter(|h| h.life == life) else {
                    return;
                };
                let Some((token, writes)) = h.writing.pop_front() else {
                    return;
                };
                self.checker.wrote(host, &writes);
                host::write(&mut h.disk, writes);
                self.checker.disk(self.now, host, &h.disk);
                if self.lying_disks.is_none() {
                    self.give_or_keep(host, Input::Persisted { token });
                }
            }
            What::Busy => self.keep_busy(),
            What::Resume { host, life } => {
                if self.hosts.get(&host).is_some_and(|h| h.life == life) {
                    self.resume(host);
                }
            }
            What::CutTimeout { a, b, since } => self.cut_timeout(a, b, since),
            What::Dial { from, life, stream, to } => self.dial(from, life, stream, to),
        }
    }

    fn schedule_input(&mut self, to: NodeId, at: Instant, input: Input) {
        if let Some(life) = self.hosts.get(&to).map(|h| h.life) {
            self.schedule(at, What::Input { to, life, input });
        }
    }

    /// As [`World::give`]; what comes for one that is paused waits, as long as there is room.
    fn give_or_keep(&mut self, to: NodeId, input: Input) {
        /// Datagrams that a socket's buffer holds.
        const SOCKET_BUFFER: usize = 256;
        let Some(host) = self.hosts.get_mut(&to).filter(|h| h.paused) else {
            self.give(to, input);
            return;
        };
        let datagram = |input: &Input| matches!(input, Input::Datagram { .. });
        let full = host.backlog.iter().filter(|i| datagram(i)).count() >= SOCKET_BUFFER;
        if !(matches!(input, Input::Tick) || datagram(&input) && full) {
            host.backlog.push(input);
        }
    }

    fn give(&mut self, to: NodeId, input: Input) {
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        let Some(mut machine) = host.machine.take() else {
            return;
        };
        let life = host.life;
        let mut outputs_left = host.crash_after;
        machine.handle(host.clock.local(self.now), input);
        let mut exit = false;
        while let Some(output) = machine.poll_output() {
            if let Some(left) = &mut outputs_left {
                if *left == 0 {
                    // Dead before this one; what it said before is said.
                    exit = true;
                    self.feel(Kind::CrashAtOutput);
                    break;
                }
                *left -= 1;
            }
            exit |= matches!(output, Output::Exit);
            self.carry_out(to, life, output);
        }
        let timeout = machine.poll_timeout();
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        host.machine = Some(machine);
        host.crash_after = outputs_left;
        if let Some(at) = timeout.map(|at| host.clock.global(at))
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

    /// Into the digest.
    fn note(&mut self, from: NodeId, event: &Event) {
        let fields = event.fields();
        let parts = [
            self.now.as_nanos(),
            u64::from(from.0),
            u64::from(fields.kind),
            u64::from(fields.cluster.0),
            u64::from(fields.node.0),
            fields.epoch.0,
            fields.height.0,
            u64::from(fields.round),
            u64::from(fields.detail),
        ];
        for part in parts {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
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
                let lie = self.lying_disks;
                let factor = self.hosts.get(&from).map_or(1, |h| h.disk_factor);
                let span = self.between(self.luck.disk) * factor;
                if self.hosts.get(&from).is_some_and(|h| h.disk_fails) {
                    self.schedule_input(from, self.now, Input::PersistFailed);
                    return;
                }
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
                let blocks = host::read_blocks(&host.disk, first, max_bytes);
                let at = self.now + self.between(self.luck.disk);
                self.schedule_input(from, at, Input::BlocksRead { token, blocks });
            }
            Output::Event(event) => {
                if self.trace && !event.is_frequent() {
                    println!("{} {from} {event:?}", self.now);
                }
                self.note(from, &event);
                if let Event::Released(vote) = &event {
                    let disks = self.hosts.iter().map(|(id, host)| (*id, &host.disk));
                    self.checker.released(self.now, from, vote, disks);
                }
                self.checker.event(self.now, from, &event);
            }
            Output::Exit => {}
            #[cfg(feature = "key-log")]
            Output::Key(_) => {}
        }
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

    /// Breaks a rule on purpose: a stopped machine gets another disk.
    pub fn restore(&mut self, id: NodeId, image: Disk) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk = image;
        }
    }

    /// Breaks a rule on purpose: a stopped machine's disk loses what `lost` says.
    pub fn lose(&mut self, id: NodeId, lost: impl Fn(Table, u64) -> bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk.retain(|(table, key), _| !lost(*table, *key));
        }
    }

    /// The disk of a machine fails at its next write.
    pub fn fail_disk(&mut self, id: NodeId) {
        self.give(id, Input::PersistFailed);
    }

    /// Tell a node to compute wrong results, or to stop it.
    pub fn wrong_results(&mut self, id: NodeId, on: bool) {
        self.give(id, Input::WrongResults(on));
    }
}
