//! A state of the model: the authority, the nodes, what was ever sent, and what was ever released.

use crate::authority::{Authority, Row};
use crate::bounds::{MAX_EPOCHS, MAX_NODES, MAX_SLOTS};
use crate::members::Members;
use core::fmt;
use core::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// The exact bytes that a master signed for a slot: who differs in epoch or value differs in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Record(u8);

impl Record {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// A fence closed the slot: nothing is signed there.
    pub const CLOSED: Self = Self(1);

    /// A record made in `epoch` (from 1).
    #[must_use]
    pub const fn new(epoch: u8, value: u8) -> Self {
        Self(epoch << 1 | value)
    }

    /// The epoch it was made in.
    #[must_use]
    pub const fn epoch(self) -> u8 {
        self.0 >> 1
    }

    /// What it says.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0 & 1
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}:{}", self.epoch(), self.value())
    }
}

/// A log: one record per slot, without gaps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Log([Record; MAX_SLOTS]);

impl Log {
    /// Length.
    #[must_use]
    pub fn len(&self) -> u8 {
        let filled = self.0.iter().take_while(|record| **record != Record::NONE).count();
        u8::try_from(filled).unwrap_or(u8::MAX)
    }

    /// Whether nothing stands in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record of a slot; [`Record::NONE`] beyond the end.
    #[must_use]
    pub const fn at(&self, slot: u8) -> Record {
        self.0[slot as usize]
    }

    /// Nothing but closed slots.
    #[must_use]
    pub fn closed(slots: u8) -> Self {
        let mut log = Self::default();
        (0..slots).for_each(|_| log.push(Record::CLOSED));
        log
    }

    /// Its first records.
    #[must_use]
    pub fn prefix(&self, length: u8) -> Self {
        let mut log = Self::default();
        (0..length).for_each(|slot| log.push(self.at(slot)));
        log
    }

    /// One more record.
    pub fn push(&mut self, record: Record) {
        let end = usize::from(self.len());
        self.0[end] = record;
    }

    /// Append what another log holds beyond our end.
    pub fn extend(&mut self, other: &Self) {
        for slot in self.len()..other.len() {
            self.push(other.at(slot));
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().take(usize::from(self.len()))).finish()
    }
}

/// What a node keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// Nothing below this epoch is acknowledged.
    pub promised: u8,
    /// The epoch whose master's log this log is a prefix of.
    pub synced: u8,
    /// An epoch that it noted before it was granted; 0: none. Such a note takes the place of that epoch's promise, as soon as one is
    /// needed.
    pub noted: u8,
    /// The log.
    pub log: Log,
}

/// A master's role; a crash ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Role {
    /// Of which epoch.
    pub epoch: u8,
    /// Of the newest row of this epoch that it has seen.
    pub version: u8,
    /// The others of the set, by that row.
    pub waiting: Members,
    /// Those whose addition it asked for at that version.
    pub adding: Members,
    /// Log length that may be known outside.
    pub exposed: u8,
    /// It was forced, and says nothing before its fence stands.
    pub fencing: bool,
    /// Its promise is not durable yet: it says nothing.
    pub adopting: bool,
}

impl Role {
    /// Nothing stands against it.
    #[must_use]
    pub const fn acts(&self) -> bool {
        !self.fencing && !self.adopting
    }
}

/// A node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Survives a crash.
    pub disk: Kept,
    /// What it acts upon. A follower's memory is its disk but under a mutant: it writes, then acknowledges; a master's
    /// own records go to its disk and to the members at once (B-GATE-3).
    pub memory: Kept,
    /// Its role as master.
    pub role: Option<Role>,
    /// After a restart: the noted epoch, under which it may have acted. It counts as promised until the authority says that the
    /// epoch was not granted before the restart. 0: no doubt.
    pub doubt: u8,
}

impl Node {
    /// Nothing below this epoch is acknowledged.
    #[must_use]
    pub fn bound(&self) -> u8 {
        self.memory.promised.max(self.doubt)
    }
}

/// A request to change the set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Request {
    /// The master that asks.
    pub from: u8,
    /// The row it goes by.
    pub epoch: u8,
    /// Its version.
    pub version: u8,
    /// Addition or removal.
    pub add: bool,
    /// Of whom.
    pub node: u8,
}

/// How agreement was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Breach {
    /// Two values for one slot.
    Value,
    /// Two records that say the same in different bytes: evidence of a double signature to whoever gets both.
    Bytes,
}

/// A state. What was sent stays deliverable for ever: that is loss (never delivered), repetition, reordering and
/// unbounded delay in one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// The authority.
    pub authority: Authority,
    /// The nodes; those beyond [`crate::bounds::Bounds::nodes`] do nothing.
    pub nodes: [Node; MAX_NODES],
    /// How many nodes there are.
    pub size: u8,
    /// Rows told, in that order.
    pub rows: Arc<Vec<Row>>,
    /// Requests sent, ascending.
    pub requests: Arc<Vec<Request>>,
    /// Logs sent, by epoch, ascending: what a resync and appends bring.
    pub logs: Arc<Vec<(u8, Log)>>,
    /// The longest acknowledgement by epoch and node, plus one; 0: none. A master counts it as soon as it is sent: an
    /// acknowledgement only enables, so its delay is the delay of the release.
    pub acknowledged: [[u8; MAX_NODES]; MAX_EPOCHS + 2],
    /// The first record released for each slot.
    pub released: [Record; MAX_SLOTS],
    /// Whether another one was released for the same slot.
    pub breach: Option<Breach>,
    /// Nodes that did err: only they may be barred.
    pub wrong: Members,
    /// What there is to say where an operator may force a start.
    pub outside: Outside,
}

/// The other clusters, who answer as one, and what is on its way to them. Used only where a start may be forced: else a word
/// counts as soon as it is released.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outside {
    /// Forces so far.
    pub forces: u8,
    /// They count nothing of an epoch below this one.
    pub promised: u8,
    /// The first word counted for each slot.
    pub counted: [Record; MAX_SLOTS],
    /// Words sent: slot, epoch of the sender, record; ascending.
    pub sent: Arc<Vec<(u8, u8, Record)>>,
    /// Masters that told the authority of their fences: node, epoch, version; ascending.
    pub fences: Arc<Vec<(u8, u8, u8)>>,
}

impl State {
    /// The node's acknowledgement under an epoch.
    #[must_use]
    pub fn acknowledgement(&self, epoch: u8, node: u8) -> Option<u8> {
        self.acknowledged[usize::from(epoch)][usize::from(node)].checked_sub(1)
    }

    /// Note an acknowledgement.
    pub fn acknowledge(&mut self, epoch: u8, node: u8, length: u8) {
        let told = &mut self.acknowledged[usize::from(epoch)][usize::from(node)];
        *told = (*told).max(length + 1);
    }

    /// The authority tells a row.
    pub fn tell(&mut self, row: Row) {
        Arc::make_mut(&mut self.rows).push(row);
    }

    /// A master sends its log.
    pub fn send_log(&mut self, epoch: u8, log: Log) {
        insert(&mut self.logs, (epoch, log));
    }

    /// A master asks.
    pub fn send_request(&mut self, request: Request) {
        insert(&mut self.requests, request);
    }

    /// A master's word goes to the other clusters. Whether it is new.
    pub fn send_word(&mut self, slot: u8, epoch: u8, record: Record) -> bool {
        let before = self.outside.sent.len();
        insert(&mut self.outside.sent, (slot, epoch, record));
        self.outside.sent.len() > before
    }

    /// A forced master tells the authority that its fence stands.
    pub fn tell_fenced(&mut self, node: u8, epoch: u8, version: u8) {
        insert(&mut self.outside.fences, (node, epoch, version));
    }

    /// Different messages sent so far.
    #[must_use]
    pub fn messages(&self) -> usize {
        let acknowledgements = self.acknowledged.iter().flatten().filter(|length| **length > 0).count();
        let outside = self.outside.sent.len() + self.outside.fences.len();
        self.rows.len() + self.requests.len() + self.logs.len() + acknowledgements + outside
    }

    /// All that tells this state from another, with the nodes called by other names.
    fn write(&self, names: &[u8], out: &mut Vec<u8>) {
        let row = |out: &mut Vec<u8>, row: &Row| {
            let sets = [row.in_sync.renamed(names).0, row.barred.renamed(names).0];
            let unfenced = u8::from(row.unfenced);
            out.extend([row.epoch, row.version, names[usize::from(row.master)], sets[0], sets[1], unfenced]);
        };
        row(out, &self.authority.row());
        row(out, &self.authority.row_on_disk());
        out.extend([
            self.authority.reports(),
            self.wrong.renamed(names).0,
            self.breach.map_or(0, |b| b as u8 + 1),
        ]);
        out.extend(self.released.iter().map(|record| record.0));
        let nodes = out.len();
        const NODE: usize = 2 * (3 + MAX_SLOTS) + 1 + 7 + MAX_EPOCHS + 2;
        out.resize(nodes + NODE * names.len(), 0);
        for (old, new) in names.iter().enumerate() {
            let node = &self.nodes[old];
            let kept = [&node.disk, &node.memory].into_iter().flat_map(|kept| {
                [kept.promised, kept.synced, kept.noted]
                    .into_iter()
                    .chain(kept.log.0.iter().map(|record| record.0))
            });
            let role = node.role.map_or([0; 7], |r| {
                let (waiting, adding) = (r.waiting.renamed(names).0, r.adding.renamed(names).0);
                let stages = [r.fencing, r.adopting].map(u8::from);
                [r.epoch, r.version, waiting, adding, r.exposed, stages[0], stages[1]]
            });
            let acknowledged = self.acknowledged.iter().map(|of| of[old]);
            let place = nodes + NODE * usize::from(*new);
            for (byte, value) in
                out[place..].iter_mut().zip(kept.chain([node.doubt]).chain(role).chain(acknowledged))
            {
                *byte = value;
            }
        }
        for told in self.rows.iter() {
            row(out, told);
        }
        out.push(u8::MAX);
        let mut requests: Vec<Request> = self
            .requests
            .iter()
            .map(|r| Request { from: names[usize::from(r.from)], node: names[usize::from(r.node)], ..*r })
            .collect();
        requests.sort_unstable();
        out.extend(requests.iter().flat_map(|r| [r.from, r.epoch, r.version, u8::from(r.add), r.node]));
        out.push(u8::MAX);
        out.extend(
            self.logs
                .iter()
                .flat_map(|(epoch, log)| core::iter::once(*epoch).chain(log.0.iter().map(|record| record.0))),
        );
        let Outside { forces, promised, counted, sent, fences } = &self.outside;
        out.extend([u8::MAX, *forces, *promised]);
        out.extend(counted.iter().map(|record| record.0));
        out.extend(sent.iter().flat_map(|(slot, epoch, record)| [*slot, *epoch, record.0]));
        out.push(u8::MAX);
        let mut fences: Vec<[u8; 3]> = fences
            .iter()
            .map(|(node, epoch, version)| [names[usize::from(*node)], *epoch, *version])
            .collect();
        fences.sort_unstable();
        out.extend(fences.iter().flatten());
    }
}

/// Two states that differ only by the names of the nodes are one: no rule and no property depends on a name.
impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let (mut least, mut other) = (Vec::with_capacity(256), Vec::with_capacity(256));
        for names in permutations(self.size) {
            other.clear();
            self.write(names, &mut other);
            if least.is_empty() || other < least {
                core::mem::swap(&mut least, &mut other);
            }
        }
        hasher.write(&least);
    }
}

/// All ways to name `n` nodes.
fn permutations(n: u8) -> &'static [Vec<u8>] {
    static ALL: OnceLock<Vec<Vec<Vec<u8>>>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let mut by_size = vec![vec![Vec::new()]];
        for size in 1..=MAX_NODES {
            let last = u8::try_from(size - 1).unwrap_or(0);
            let shorter = by_size[size - 1].clone();
            let longer = shorter.iter().flat_map(|names| {
                (0..size).map(move |place| {
                    let mut names = names.clone();
                    names.insert(place, last);
                    names
                })
            });
            by_size.push(longer.collect());
        }
        by_size
    });
    &all[usize::from(n)]
}

fn insert<T: Ord + Clone>(set: &mut Arc<Vec<T>>, item: T) {
    if let Err(place) = set.binary_search(&item) {
        Arc::make_mut(set).insert(place, item);
    }
}
