//! What the loop shows to those who only look: a status page, metrics, a watchdog. The loop puts a snapshot up and goes on;
//! if somebody is reading just then it puts up the next one instead. Nothing here makes it wait.

use crate::clock;
use crate::hooks::shown::Shown;
use crate::net::NetCounters;
use duohuo_core::event::Event;
use duohuo_core::io::{Machine, Measured};
use duohuo_core::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::Role;
use duohuo_wire::roster::Roster;
use duohuo_wire::status::StatusReport;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Between two snapshots.
pub const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(250);
/// Events that are kept, newest last.
const MOST_EVENTS: usize = 64;
/// Switches that are kept, newest last.
const MOST_SWITCHES: usize = 20;
/// Samples of the two plots: five minutes, one a second.
const MOST_SAMPLES: usize = 300;
/// Senders to the group whose keepalives are timed: anybody can send there.
const MOST_SENDERS: usize = 256;
/// How old a suspicion or an order may be to count as the beginning of the switch that follows it.
const SWITCH_MEMORY: Duration = Duration::from_secs(30);

/// Upper bounds of [`Histogram`]'s buckets, in microseconds.
pub const BUCKETS_US: [u64; 12] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000];

/// Spans, counted by size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    /// At most so long; not cumulative. The last one is everything longer.
    pub counts: [u64; 13],
    /// Of all, in microseconds.
    pub sum_us: u64,
}

impl Histogram {
    /// One more.
    pub fn observe(&mut self, span: Duration) {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }
}

/// An event with its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Happened {
    /// Microseconds since 1970.
    pub at_unix_us: u64,
    /// What.
    pub event: Event,
}

/// How a master came to be, as this process saw it. Instants are microseconds since 1970; 0: not seen from here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Switch {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// The new epoch.
    pub epoch: Epoch,
    /// The new master.
    pub to: NodeId,
    /// Somebody suspected the old one, or its switch was ordered.
    pub began_us: u64,
    /// This node asked for the role.
    pub claimed_us: u64,
    /// The grant was durable (at the authority), or its promise was (at the node).
    pub granted_us: u64,
    /// The new master's first signed word.
    pub spoke_us: u64,
    /// Its first commit.
    pub committed_us: u64,
    /// What the new master measured, if this process knows it.
    pub measured: Option<Measured>,
}

/// One second of the plots.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// Blocks committed here.
    pub commits: u32,
    /// The worst lateness of a neighbour's keepalive, in microseconds.
    pub late_us: u64,
}

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Microseconds since 1970, of this snapshot.
    pub at_unix_us: u64,
    /// What the machine says of itself.
    pub report: StatusReport,
    /// Of the roster in force.
    pub roster_version: u64,
    /// The roster in force.
    pub roster: Option<Arc<Roster>>,
    /// Events of the last time, but for those that come with every message.
    pub events: VecDeque<Happened>,
    /// Counts of all events since the start, by name.
    pub event_counts: BTreeMap<&'static str, u64>,
    /// Switches seen since the start, newest last.
    pub switches: VecDeque<Switch>,
    /// The last minutes, newest last.
    pub samples: VecDeque<Sample>,
    /// From the instant the machine asked for to the call.
    pub loop_lag: Histogram,
    /// How much later than announced neighbours' keepalives came.
    pub keepalive_lateness: Histogram,
    /// What the network did to us.
    pub net: NetCounters,
    /// When the configuration was last read again, microseconds since 1970, and whether it was taken; 0: never.
    pub reloaded: (u64, bool),
    /// With hooks.
    pub hooks: Option<Shown>,
}

/// The place where the loop puts its snapshots; cloned to whoever looks.
#[derive(Clone, Debug, Default)]
pub struct Board {
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    /// Nanoseconds of the loop's last turn on [`clock::now`]; 0: it has not begun.
    beat: Arc<AtomicU64>,
}

impl Board {
    /// The newest snapshot.
    #[must_use]
    pub fn look(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long ago the loop last turned; `None`: it has not begun.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        match self.beat.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(clock::now().saturating_since(Instant::from_nanos(nanos))),
        }
    }

    /// The loop turns; cheap enough for every turn.
    pub fn beat(&self, now: Instant) {
        self.beat.store(now.as_nanos().max(1), Ordering::Relaxed);
    }

    /// Put a snapshot up, unless somebody is taking one down at this very moment.
    pub fn show(&self, snapshot: &Arc<Snapshot>) {
        if let Ok(mut shown) = self.snapshot.try_lock() {
            *shown = Arc::clone(snapshot);
        }
    }
}

/// What the loop notes for the board while it works.
#[derive(Debug)]
pub struct Notes {
    board: Board,
    snapshot: Snapshot,
    /// 0 = the authority.
    me: NodeId,
    keepalive_interval: Duration,
    heard: BTreeMap<SocketAddr, Instant>,
    sample: Sample,
    sample_at: Instant,
    show_at: Instant,
    opening: Opening,
    unix_at_zero: Duration,
}

/// The switch that may be under way.
#[derive(Clone, Copy, Debug, Default)]
struct Opening {
    began_us: u64,
    claimed_us: u64,
}

impl Notes {
    /// Nothing yet.
    #[must_use]
    pub fn new(board: Board, me: NodeId, keepalive_interval: Duration) -> Self {
        Self {
            board,
            snapshot: Snapshot::default(),
            me,
            keepalive_interval,
            heard: BTreeMap::new(),
            sample: Sample::default(),
            sample_at: clock::now() + Duration::from_secs(1),
            show_at: Instant::ZERO,
            opening: Opening::default(),
            unix_at_zero: clock::unix_at_zero(),
        }
    }

    fn unix_us(&self, now: Instant) -> u64 {
        let since = self.unix_at_zero + Duration::from_nanos(now.as_nanos());
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// When [`Notes::show`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.show_at
    }

    /// The loop turns. `due`: when the machine wanted to be called.
    pub fn turn(&mut self, now: Instant, due: Option<Instant>) {
        self.board.beat(now);
        if let Some(due) = due.filter(|due| *due <= now && *due > Instant::ZERO) {
            self.snapshot.loop_lag.observe(now.saturating_since(due));
        }
    }

    /// A datagram came by the group's socket: in quiet times all are keepalives.
    pub fn group_datagram(&mut self, now: Instant, from: SocketAddr) {
        if let Some(last) = self.heard.get_mut(&from) {
            let gap = now.saturating_since(core::mem::replace(last, now));
            // a neighbour that was away is not late
            if gap < self.keepalive_interval * 50 {
                let late = gap.saturating_sub(self.keepalive_interval);
                self.snapshot.keepalive_lateness.observe(late);
                let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
                self.sample.late_us = self.sample.late_us.max(late_us);
            }
        } else if self.heard.len() < MOST_SENDERS {
            self.heard.insert(from, now);
        }
    }

    /// What is shown of the hooks, from the first call on.
    pub fn hooks(&mut self) -> &mut Shown {
        self.snapshot.hooks.get_or_insert_default()
    }

    /// The configuration was read again.
    pub fn reloaded(&mut self, now: Instant, taken: bool) {
        self.snapshot.reloaded = (self.unix_us(now), taken);
    }

    /// The machine told something.
    pub fn event(&mut self, now: Instant, event: Event) {
        let at = self.unix_us(now);
        *self.snapshot.event_counts.entry(event.name()).or_default() += 1;
        if let Some(hooks) = &mut self.snapshot.hooks {
            hooks.event(&event);
        }
        match event {
            Event::Committed { .. } => {
                self.sample.commits = self.sample.commits.saturating_add(1);
                if let Some(last) = self.snapshot.switches.back_mut()
                    && last.to == self.me
                    && last.spoke_us > 0
                    && last.committed_us == 0
                {
                    last.committed_us = at;
                }
            }
            Event::Released(_) => {
                if let Some(last) = self.snapshot.switches.back_mut()
                    && last.to == self.me
                    && last.spoke_us == 0
                {
                    last.spoke_us = at;
                }
            }
            Event::Suspected { node } if node == self.snapshot.report.master => self.open(at),
            Event::ForcedSwitch { .. } | Event::AgedOut { .. } => self.open(at),
            Event::Claimed { .. } => {
                self.open(at);
                self.opening.claimed_us = at;
            }
            Event::Granted { cluster, epoch, node } => self.switched(at, cluster, epoch, node),
            Event::RoleChanged { role: Role::Master, epoch } => {
                self.switched(at, self.snapshot.report.cluster, epoch, self.me);
            }
            _ => {}
        }
        if !event.is_frequent() {
            push(&mut self.snapshot.events, Happened { at_unix_us: at, event }, MOST_EVENTS);
        }
    }

    /// The first sign of a switch, unless an older one is still fresh.
    fn open(&mut self, at: u64) {
        let memory = u64::try_from(SWITCH_MEMORY.as_micros()).unwrap_or(u64::MAX);
        if at.saturating_sub(self.opening.began_us) > memory {
            self.opening = Opening { began_us: at, claimed_us: 0 };
        }
    }

    fn switched(&mut self, at: u64, cluster: ClusterId, epoch: Epoch, to: NodeId) {
        let memory = u64::try_from(SWITCH_MEMORY.as_micros()).unwrap_or(u64::MAX);
        let opening = core::mem::take(&mut self.opening);
        let fresh = at.saturating_sub(opening.began_us) <= memory;
        let opening = if fresh { opening } else { Opening::default() };
        let switch = Switch {
            cluster,
            epoch,
            to,
            began_us: opening.began_us,
            claimed_us: opening.claimed_us,
            granted_us: at,
            spoke_us: 0,
            committed_us: 0,
            measured: None,
        };
        push(&mut self.snapshot.switches, switch, MOST_SWITCHES);
    }

    /// A switch was measured: one that was seen from here, or one of an earlier life, in its place.
    fn measured(&mut self, one: Measured) {
        let switches = &mut self.snapshot.switches;
        let same = |s: &&mut Switch| (s.cluster, s.epoch) == (one.cluster, one.epoch);
        if let Some(switch) = switches.iter_mut().find(same) {
            switch.measured = Some(one);
        } else if one.granted_us > 0 {
            let (cluster, epoch, to) = (one.cluster, one.epoch, one.to);
            let switch = Switch {
                cluster,
                epoch,
                to,
                granted_us: one.granted_us,
                measured: Some(one),
                ..Switch::default()
            };
            push(switches, switch, MOST_SWITCHES);
            switches.make_contiguous().sort_by_key(|switch| switch.granted_us);
        }
    }

    /// Put a snapshot up if it is time; the machine is asked only then.
    pub fn show(&mut self, now: Instant, net: NetCounters, machine: &dyn Machine) {
        if now >= self.sample_at {
            push(&mut self.snapshot.samples, core::mem::take(&mut self.sample), MOST_SAMPLES);
            self.sample_at = now + Duration::from_secs(1);
        }
        if now < self.show_at {
            return;
        }
        self.show_at = now + SNAPSHOT_INTERVAL;
        self.snapshot.at_unix_us = self.unix_us(now);
        self.snapshot.net = net;
        if let Some(hooks) = &mut self.snapshot.hooks {
            hooks.at(now);
        }
        self.snapshot.report = machine.about();
        machine.measured().into_iter().for_each(|one| self.measured(one));
        if let Some(roster) = machine.roster_in_force()
            && self.snapshot.roster.as_ref().is_none_or(|known| known.version != roster.version)
        {
            self.snapshot.roster_version = roster.version;
            self.snapshot.roster = Some(Arc::new(roster.clone()));
        }
        self.board.show(&Arc::new(self.snapshot.clone()));
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(item);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn notes(me: u32) -> (Board, Notes) {
        let board = Board::default();
        let notes = Notes::new(board.clone(), NodeId(me), Duration::from_millis(100));
        (board, notes)
    }

    /// Says the same of itself each time, and counts how often it is asked.
    #[derive(Default)]
    struct Asked(std::cell::Cell<u32>);

    impl Machine for Asked {
        fn handle(&mut self, _: Instant, _: duohuo_core::io::Input) {}
        fn poll_output(&mut self) -> Option<duohuo_core::io::Output> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
        fn about(&self) -> StatusReport {
            self.0.set(self.0.get() + 1);
            StatusReport { master: NodeId(7), cluster: ClusterId(3), ..Default::default() }
        }
    }

    fn shown(board: &Board, notes: &mut Notes, ms: u64) -> Arc<Snapshot> {
        notes.show(at(ms), NetCounters::default(), &Asked::default());
        board.look()
    }

    #[test]
    fn a_span_is_counted_in_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for us in [100, 101, 1_000_000, 1_000_001] {
            histogram.observe(Duration::from_micros(us));
        }
        assert_eq!(histogram.counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(histogram.sum_us, 2_000_202);
    }

    #[test]
    fn a_snapshot_is_not_put_up_while_one_is_taken_down_and_the_loop_does_not_wait() {
        let (board, mut notes) = notes(8);
        let first = shown(&board, &mut notes, 1);
        let reading = board.snapshot.lock().expect("nobody panicked");
        notes.show(at(1000), NetCounters::default(), &Asked::default());
        drop(reading);
        assert_eq!(board.look().at_unix_us, first.at_unix_us, "left out");
        assert!(shown(&board, &mut notes, 2000).at_unix_us > first.at_unix_us);
    }

    #[test]
    fn a_snapshot_is_asked_for_at_its_interval_and_not_before() {
        let (_, mut notes) = notes(8);
        let machine = Asked::default();
        for ms in [1000, 1249, 1250, 1499, 1500] {
            notes.show(at(ms), NetCounters::default(), &machine);
        }
        assert_eq!(machine.0.get(), 3);
    }

    #[test]
    fn a_keepalive_is_late_by_what_exceeds_the_interval_and_an_absence_is_none() {
        let (board, mut notes) = notes(8);
        let from = "127.0.0.1:1".parse().expect("address");
        for ms in [1000, 1080, 1200, 9000] {
            notes.group_datagram(at(ms), from);
        }
        let lateness = shown(&board, &mut notes, 9001).keepalive_lateness;
        assert_eq!((lateness.counts[0], lateness.counts[7], lateness.sum_us), (1, 1, 20_000));
    }

    #[test]
    fn a_switch_is_told_with_its_phases() {
        let (board, mut notes) = notes(8);
        shown(&board, &mut notes, 1000);
        let vote = duohuo_core::chain::VoteSeen {
            cluster: ClusterId(3),
            epoch: Epoch(5),
            height: duohuo_wire::ids::Height(1),
            round: 0,
            kind: duohuo_core::chain::VoteKind::Prevote,
            value: None,
            signature: [0; 64],
        };
        let committed = Event::Committed { height: duohuo_wire::ids::Height(1), state_hash: [0; 32] };
        notes.event(at(2000), committed);
        notes.event(at(2010), Event::Suspected { node: NodeId(6) });
        notes.event(at(2020), Event::Suspected { node: NodeId(7) });
        let claimed = Event::Claimed { epoch: Epoch(4), reason: duohuo_wire::packet::ClaimReason::Suspicion };
        notes.event(at(2021), claimed);
        notes.event(at(2025), Event::RoleChanged { role: Role::Master, epoch: Epoch(5) });
        notes.event(at(2030), Event::Released(vote));
        notes.event(at(2031), Event::Released(vote));
        notes.event(at(2040), committed);
        notes.event(at(2050), committed);
        let snapshot = shown(&board, &mut notes, 3000);
        let zero = notes.unix_us(at(0));
        let switch = snapshot.switches.back().expect("one");
        let ms = |us: u64| (us - zero) / 1000;
        assert_eq!((switch.cluster, switch.epoch, switch.to), (ClusterId(3), Epoch(5), NodeId(8)));
        assert_eq!(
            [switch.began_us, switch.claimed_us, switch.granted_us, switch.spoke_us, switch.committed_us]
                .map(ms),
            [2020, 2021, 2025, 2030, 2040]
        );
        assert_eq!(snapshot.switches.len(), 1);
        assert_eq!(snapshot.event_counts.get("released"), Some(&2));
        assert!(snapshot.events.iter().all(|e| !e.event.is_frequent()));
        // an old suspicion belongs to no later switch
        notes.event(at(4000), Event::Suspected { node: NodeId(7) });
        notes.event(at(40_000), Event::RoleChanged { role: Role::Master, epoch: Epoch(6) });
        assert_eq!(shown(&board, &mut notes, 50_000).switches.back().map(|s| s.began_us), Some(0));
    }
}
