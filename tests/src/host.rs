//! A host of the world: one machine, its disk, and how it starts from that disk.

use crate::client::Client;
use crate::consortium::Consortium;
use crate::liar::Liar;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_chain::{Embedded, EmbeddedConfig, Genesis, Timing};
use duohuo_core::Instant;
use duohuo_core::authority::Authority;
use duohuo_core::chain::Chain;
use duohuo_core::config::{AuthorityConfig, NodeConfig, Timers};
use duohuo_core::discard::Discards;
use duohuo_core::held::Held;
use duohuo_core::io::{Input, Machine, Output, Stored, Table, Write};
use duohuo_core::limits::LOG_PACKET_BYTES;
use duohuo_core::node::Node;
use duohuo_core::outside::OutsideConfig;
use duohuo_core::store::{META_SNAPSHOTS, snapshots};
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::versions::Versions;
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What all machines of a world are told.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between two keepalives.
    pub keepalive: Duration,
    /// Pace of the chain.
    pub timing: Timing,
    /// What acts outside the chain on each node.
    pub outside: Option<OutsideConfig>,
    /// Blocks that a node keeps below its newest proven snapshot.
    pub keep_blocks: u64,
    /// Bytes of records in one packet of a log.
    pub log_packet_bytes: usize,
    /// A rolling upgrade that never ends: at each start a process is the program of the release before, or this one.
    pub mixed_versions: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_millis(10),
            timing: Timing::default(),
            outside: None,
            keep_blocks: 100_000,
            log_packet_bytes: LOG_PACKET_BYTES,
            mixed_versions: false,
        }
    }
}

/// A host's monotonic clock: runs at a rate of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    global: Instant,
    local: Instant,
    ppm: i32,
}

impl Clock {
    /// A clock that shows `local` at `global`, and runs faster by `ppm` parts per million from there.
    pub(crate) const fn from_now(global: Instant, local: Instant, ppm: i32) -> Self {
        Self { global, local, ppm }
    }

    /// Runs as it should.
    pub(crate) const fn is_true(&self) -> bool {
        self.ppm == 0
    }

    fn rate(&self) -> i128 {
        1_000_000 + i128::from(self.ppm)
    }

    /// What it shows.
    pub(crate) fn local(&self, global: Instant) -> Instant {
        let passed = i128::from(global.as_nanos()) - i128::from(self.global.as_nanos());
        let local = i128::from(self.local.as_nanos()) + passed * self.rate() / 1_000_000;
        Instant::from_nanos(u64::try_from(local).unwrap_or(0))
    }

    /// When it will show this; never earlier.
    pub(crate) fn global(&self, local: Instant) -> Instant {
        let passed = i128::from(local.as_nanos()) - i128::from(self.local.as_nanos());
        let global = i128::from(self.global.as_nanos()) + passed * 1_000_000 / self.rate();
        Instant::from_nanos(u64::try_from(global).unwrap_or(0).saturating_add(u64::from(self.ppm != 0)))
    }
}

/// A disk: what a store holds.
pub type Disk = BTreeMap<(Table, u64), Bytes>;

/// Make a batch durable. By how much the number of records changed.
pub fn write(disk: &mut Disk, writes: &[Write]) -> isize {
    let mut records = 0;
    for write in writes {
        match write {
            Write::Put { table, key, value } => {
                let before = disk.insert((*table, *key), value.clone());
                records += isize::from(*table == Table::Record && before.is_none());
            }
            Write::DeleteRange { table, from, to } => {
                let keys: Vec<u64> =
                    disk.range((*table, *from)..(*table, *to)).map(|((_, key), _)| *key).collect();
                for key in keys {
                    disk.remove(&(*table, key));
                    records -= isize::from(*table == Table::Record);
                }
            }
        }
    }
    records
}

/// How many records a disk has.
#[must_use]
pub fn count_records(disk: &Disk) -> usize {
    disk.range((Table::Record, 0)..=(Table::Record, u64::MAX)).count()
}

/// Committed blocks from `from` on, as [`Output::ReadBlocks`] asks for them: at least one if there is one.
#[must_use]
pub fn read_blocks(disk: &Disk, from: Height, max_bytes: u32) -> Vec<(Height, Bytes)> {
    let mut blocks = Vec::new();
    let mut bytes = 0;
    let rows = disk.range((Table::Block, from.0)..=(Table::Block, u64::MAX));
    for (((_, height), block), expected) in rows.zip(from.0..) {
        if *height != expected {
            break;
        }
        if bytes > 0 && bytes + block.len() > max_bytes as usize {
            break;
        }
        bytes += block.len();
        blocks.push((Height(*height), block.clone()));
    }
    blocks
}

/// The height that a disk stands for: of its last block, or of the snapshot that took the place of all of them.
#[must_use]
pub fn height_of(disk: &Disk) -> Height {
    let block = disk.range((Table::Block, 0)..=(Table::Block, u64::MAX)).next_back().map(|((_, h), _)| *h);
    // The entry of a snapshot begins with its height.
    let height = |key| Some(u64::from_be_bytes(*disk.get(&(Table::Meta, key))?.first_chunk::<8>()?));
    let snapshot = META_SNAPSHOTS.into_iter().filter_map(height).max();
    Height(block.max(snapshot).unwrap_or(0))
}

/// The newest proven snapshot of a disk (B-BLK-11), then the blocks above it.
fn restore(chain: &mut Embedded, stored: &Stored, disk: &Disk) {
    let kept = snapshots(&stored.meta).expect("own snapshots are readable");
    if let Some(newest) = kept.iter().rev().find(|snapshot| snapshot.is_proven()) {
        let chunk = |index| disk.get(&(Table::Snapshot, newest.key(index))).cloned();
        let chunks: Vec<Bytes> = (0..newest.chunks).filter_map(chunk).collect();
        chain.restore_snapshot(&newest.manifest, &chunks).expect("own snapshots restore");
    }
    let from = chain.status().height.next();
    for ((_, height), block) in disk.range((Table::Block, from.0)..=(Table::Block, u64::MAX)) {
        assert_eq!(*height, chain.status().height.next().0, "own blocks are without a gap");
        chain.restore(block).expect("own blocks restore");
    }
}

/// Whatever runs on a host.
pub enum Anyone {
    /// The authority.
    Authority(Box<Authority>),
    /// A node.
    Node(Box<Node>),
    /// A client.
    Client(Box<Client>),
}

impl Anyone {
    fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Self::Authority(machine) => machine.as_mut(),
            Self::Node(machine) => machine.as_mut(),
            Self::Client(machine) => machine.as_mut(),
        }
    }

    /// What it holds in memory.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        match self {
            Self::Authority(machine) => machine.held(),
            Self::Node(machine) => machine.held(),
            Self::Client(_) => Vec::new(),
        }
    }

    /// What it dropped, and why.
    #[must_use]
    pub fn discards(&self) -> Option<&Discards> {
        match self {
            Self::Authority(machine) => Some(machine.discards()),
            Self::Node(machine) => Some(machine.discards()),
            Self::Client(_) => None,
        }
    }
}

impl Machine for Anyone {
    fn handle(&mut self, now: Instant, input: Input) {
        self.machine().handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.machine().poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Authority(machine) => machine.poll_timeout(),
            Self::Node(machine) => machine.poll_timeout(),
            Self::Client(machine) => machine.poll_timeout(),
        }
    }
}

/// One machine and its disk.
pub(crate) struct Host {
    /// Whose keys its machine has: its own number, unless it is a copy of another host.
    pub(crate) who: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) machine: Option<Anyone>,
    pub(crate) disk: Disk,
    /// Records on it.
    pub(crate) records: usize,
    /// Batches not yet durable, oldest first.
    pub(crate) writing: VecDeque<(u64, Vec<Write>)>,
    pub(crate) disk_free_at: Instant,
    /// Incremented with each start: what was meant for an earlier life is dropped.
    pub(crate) life: u32,
    pub(crate) next_accepted: u64,
    pub(crate) timer: Option<Instant>,
    pub(crate) clock: Clock,
    /// What its machine is told at its next start.
    pub(crate) told: Told,
    /// Stopped by SIGSTOP or by its hypervisor.
    pub(crate) paused: bool,
    /// What waits for it meanwhile.
    pub(crate) backlog: Vec<Input>,
    /// Inputs until what it holds in memory is looked at again.
    pub(crate) look_in: u32,
    /// When the second began that is on, and the packets that it said in it.
    pub(crate) pace: (Instant, usize),
    /// It dies when it has said so many things more.
    pub(crate) crash_after: Option<u32>,
    /// Its disk is so many times as slow.
    pub(crate) disk_factor: u32,
    /// Its next write fails.
    pub(crate) disk_fails: bool,
    /// It can neither open nor accept a stream.
    pub(crate) refuses_streams: bool,
}

impl Host {
    /// A host with an empty disk, where nothing runs.
    pub(crate) fn new(who: NodeId, address: SocketAddr, settings: Settings) -> Self {
        Self {
            who,
            address,
            machine: None,
            disk: BTreeMap::new(),
            records: 0,
            writing: VecDeque::new(),
            disk_free_at: Instant::ZERO,
            life: 0,
            next_accepted: 0,
            timer: None,
            clock: Clock::from_now(Instant::ZERO, Instant::ZERO, 0),
            told: Told { settings, ..Told::default() },
            paused: false,
            backlog: Vec::new(),
            look_in: 0,
            pace: (Instant::ZERO, 0),
            crash_after: None,
            disk_factor: 1,
            disk_fails: false,
            refuses_streams: false,
        }
    }
}

/// The machine of a node or of the authority, as its disk says.
///
/// # Panics
/// Its own disk does not start it, or `id` is not enrolled.
#[must_use]
pub fn start(id: NodeId, consortium: &Consortium, disk: &Disk, seed: [u8; 32]) -> Anyone {
    start_as(id, consortium, disk, seed, &Told::default())
}

/// What one host's machine is told beside its keys.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) settings: Settings,
    /// Seconds by which its wall clock is wrong.
    pub(crate) wall_offset: i64,
    /// Its chain lies while this is set.
    pub(crate) lies: Rc<Cell<bool>>,
}

pub(crate) fn start_as(
    id: NodeId,
    consortium: &Consortium,
    disk: &Disk,
    seed: [u8; 32],
    told: &Told,
) -> Anyone {
    let settings = told.settings;
    let mut stored = Stored::default();
    for ((table, key), value) in disk {
        match table {
            Table::Meta => drop(stored.meta.insert(*key, value.clone())),
            Table::Record => drop(stored.records.insert(*key, value.clone())),
            Table::Command => drop(stored.commands.insert(*key, value.clone())),
            Table::Block | Table::Snapshot => {}
        }
    }
    let keys = consortium.keys[&id].clone();
    let timers = Timers::for_keepalive(settings.keepalive);
    let held = settings.mixed_versions && seed[0] & 1 == 1;
    let versions = if held { Versions::FIRST } else { Versions::ALL };
    let roster = consortium.roster.clone();
    let operator_key = consortium.operator.verifying_key().to_bytes();
    let unix_at_zero = Duration::from_secs(1_700_000_000u64.saturating_add_signed(told.wall_offset));
    if id == NodeId::AUTHORITY {
        let config = AuthorityConfig {
            session_secret: keys.session.into(),
            signing_key: keys.signing,
            sealing_secret: consortium.sealing.into(),
            roster,
            operator_key,
            timers,
            versions,
            seed,
            unix_at_zero,
        };
        let authority = Authority::new(config, stored).expect("the authority starts from its own disk");
        return Anyone::Authority(Box::new(authority));
    }
    let cluster = roster.node(id).expect("only enrolled nodes are started").0.id;
    let mut chain = Embedded::new(EmbeddedConfig {
        cluster,
        node: id,
        signing_key: keys.signing.clone(),
        roster: roster.clone(),
        genesis: Genesis { accounts: (0..16).map(|a| (a, 1_000_000)).collect() },
        timing: settings.timing,
    });
    restore(&mut chain, &stored, disk);
    let chain = Liar::new(chain, cluster, id, keys.signing.clone(), Rc::clone(&told.lies));
    let config = NodeConfig {
        node: id,
        session_secret: keys.session.into(),
        signing_key: keys.signing,
        roster,
        operator_key,
        group_secret: consortium.groups[&cluster].into(),
        timers,
        versions,
        outside: settings.outside,
        keep_blocks: settings.keep_blocks,
        log_packet_bytes: settings.log_packet_bytes,
        seed,
        unix_at_zero,
    };
    let node = Node::new(config, stored, Box::new(chain)).expect("a node starts from its own disk");
    Anyone::Node(Box::new(node))
}
