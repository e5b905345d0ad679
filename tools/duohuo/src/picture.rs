//! What the observer has seen, and what follows from it: roles, heights, votes and their conflicts, first times.

use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::Event as EventPacket;
use duohuo_wire::statement::Row;
use duohuo_wire::status::{Role, StatusReport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Numbers of the events on the wire: positions in `duohuo_core::event::Event`.
pub mod kind {
    /// A neighbour fell silent.
    pub const SUSPECTED: u16 = 1;
    /// It answered no probe.
    pub const DEAD: u16 = 2;
    /// The teller asked for the role.
    pub const CLAIMED: u16 = 4;
    /// The authority refused the teller's request.
    pub const REFUSED: u16 = 5;
    /// A cluster has a new master.
    pub const GRANTED: u16 = 6;
    /// Somebody joined or left an in-sync set.
    pub const IN_SYNC_CHANGED: u16 = 7;
    /// The teller's role.
    pub const ROLE_CHANGED: u16 = 8;
    /// A signed word left its master.
    pub const RELEASED: u16 = 9;
    /// A signed word came.
    pub const RECEIVED: u16 = 10;
    /// A block is committed.
    pub const COMMITTED: u16 = 11;
    /// A wrong result was reported.
    pub const CONSENSUS_ERROR_REPORTED: u16 = 12;
    /// The order to switch.
    pub const FORCED_SWITCH: u16 = 13;
    /// A result differs, and nobody can be blamed.
    pub const ALARM: u16 = 14;
    /// A master's entry aged out.
    pub const AGED_OUT: u16 = 15;
    /// The teller stopped signing by itself.
    pub const HALTED: u16 = 19;
    /// An operator's order was carried out.
    pub const ORDERED: u16 = 30;
    /// A forced master's fence stands.
    pub const FENCED: u16 = 31;
    /// Another cluster promised a forced master to count nothing older.
    pub const FENCE_PROMISED: u16 = 32;
}

/// Names of the kinds, as in logs.
const NAMES: [&str; 24] = [
    "unknown",
    "suspected",
    "dead",
    "alive",
    "claimed",
    "refused",
    "granted",
    "in_sync_changed",
    "role_changed",
    "released",
    "received",
    "committed",
    "consensus_error_reported",
    "forced_switch",
    "alarm",
    "aged_out",
    "authority_reachable",
    "joined",
    "roster_in_force",
    "halted",
    "store_failed",
    "unstable",
    "equivocated",
    "offended",
];

/// The name of a kind.
#[must_use]
pub fn name(kind: u16) -> &'static str {
    match kind {
        kind::ORDERED => "ordered",
        kind::FENCED => "fenced",
        kind::FENCE_PROMISED => "fence_promised",
        kind => NAMES.get(usize::from(kind)).copied().unwrap_or("unknown"),
    }
}

/// Most votes kept for comparison; the oldest heights go first.
const VOTES_KEPT: usize = 400_000;
/// Most conflicts told; the rest is counted.
const TOLD: usize = 20;

/// Microseconds of Unix time: what events carry.
#[must_use]
pub fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One node as seen from outside.
#[derive(Clone, Debug, Default)]
pub struct NodeView {
    /// A session is open.
    pub connected: bool,
    /// The last report.
    pub report: Option<StatusReport>,
    /// When it came.
    pub reported_at: Option<Instant>,
    /// By the last event or report.
    pub role: Option<Role>,
    /// Highest seen.
    pub height: u64,
}

/// One event worth keeping for a step's times.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// By its teller's clock, Unix time in microseconds.
    pub at_us: u64,
    /// Its teller.
    pub from: NodeId,
    /// One of [`kind`].
    pub kind: u16,
    /// About which cluster; 0 = none.
    pub cluster: ClusterId,
    /// About which node; 0 = the authority or none.
    pub node: NodeId,
    /// In which epoch; of a word, the one in which it was signed; 0 = none.
    pub epoch: Epoch,
    /// At which height; 0 = none.
    pub height: u64,
    /// By kind.
    pub detail: u32,
}

/// (height, cluster, round, kind of vote): one word each, for ever.
type VoteKey = (u64, ClusterId, u32, u32);
/// The value (`None`: nil) and the signature.
type Vote = (Option<[u8; 32]>, [u8; 64]);

/// All that was seen.
#[derive(Debug, Default)]
pub struct View {
    /// By number; 0 is the authority.
    pub nodes: BTreeMap<NodeId, NodeView>,
    /// The authority's table, as it last told.
    pub rows: BTreeMap<ClusterId, Row>,
    /// When it told.
    pub rows_at: Option<Instant>,
    /// Events since the last [`View::forget_events`], votes only if released.
    pub seen: Vec<Seen>,
    /// When each height was first committed anywhere.
    pub heights: BTreeMap<u64, u64>,
    hashes: BTreeMap<u64, ([u8; 32], NodeId)>,
    votes: BTreeMap<VoteKey, Vote>,
    masters: BTreeMap<(ClusterId, Epoch), NodeId>,
    /// Conflicting votes: P1 broken.
    pub conflicting_votes: u64,
    /// Different ledgers at one height.
    pub different_hashes: u64,
    /// Second masters of an epoch, and rows that went back: P2 broken.
    pub broken_epochs: u64,
    /// In words, the first few.
    pub told: Vec<String>,
    /// Nodes that compute wrong results by order: their hashes do not count.
    pub drilled: BTreeSet<NodeId>,
    /// Nodes that stopped signing by themselves.
    pub halted: BTreeSet<NodeId>,
}

/// Shared between the observer, the steps and the screen.
#[derive(Debug, Default)]
pub struct Picture(Mutex<View>);

impl Picture {
    /// The picture itself; the observer waits while it is held.
    pub fn view(&self) -> MutexGuard<'_, View> {
        // a panic elsewhere fails the demo anyway; the view is plain data
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// A session with it was opened, or ended.
    pub fn connected(&mut self, node: NodeId, up: bool) {
        let view = self.nodes.entry(node).or_default();
        view.connected = up;
        if !up {
            view.role = None;
            view.report = None;
        }
    }

    /// What it said of itself.
    pub fn report(&mut self, from: NodeId, report: StatusReport) {
        if from == NodeId::AUTHORITY {
            self.table(&report.rows);
            self.rows_at = Some(Instant::now());
        }
        if from != NodeId::AUTHORITY && report.height.0 > 0 && !self.drilled.contains(&from) {
            self.hash(report.height.0, report.state_hash, from);
        }
        let view = self.nodes.entry(from).or_default();
        view.role = Some(report.role);
        view.height = view.height.max(report.height.0);
        view.reported_at = Some(Instant::now());
        view.report = Some(report);
    }

    /// What happened to it.
    pub fn event(&mut self, from: NodeId, event: &EventPacket) {
        match event.kind {
            kind::GRANTED => self.master(event.cluster, event.epoch, event.node),
            kind::RELEASED | kind::RECEIVED => self.vote(event),
            kind::COMMITTED => self.committed(from, event),
            kind::ROLE_CHANGED => self.role_changed(from, event.detail),
            kind::HALTED => {
                self.halted.insert(from);
            }
            _ => {}
        }
        if event.kind != kind::RECEIVED {
            self.seen.push(Seen {
                at_us: event.at_unix_us,
                from,
                kind: event.kind,
                cluster: event.cluster,
                node: event.node,
                epoch: event.epoch,
                height: event.height.0,
                detail: event.detail,
            });
        }
    }

    /// The authority's rows: none may go back.
    fn table(&mut self, rows: &[Row]) {
        for row in rows {
            self.master(row.cluster, row.epoch, row.master);
            let known = self.rows.insert(row.cluster, row.clone());
            if let Some(known) = known.filter(|k| (k.epoch, k.version) > (row.epoch, row.version)) {
                self.broken_epochs += 1;
                self.tell(format!("cluster {}: its row went back from {known:?} to {row:?}", row.cluster.0));
            }
        }
    }

    /// Each epoch has one master.
    fn master(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId) {
        let known = *self.masters.entry((cluster, epoch)).or_insert(node);
        if known != node {
            self.broken_epochs += 1;
            self.tell(format!(
                "cluster {} epoch {}: nodes {} and {} are both its master",
                cluster.0, epoch.0, known.0, node.0
            ));
        }
    }

    fn role_changed(&mut self, from: NodeId, role: u32) {
        let role = match role {
            2 => Role::Master,
            1 => Role::Standby,
            _ => Role::Ordinary,
        };
        self.nodes.entry(from).or_default().role = Some(role);
    }

    fn committed(&mut self, from: NodeId, event: &EventPacket) {
        let height = event.height.0;
        let first = self.heights.entry(height).or_insert(event.at_unix_us);
        *first = (*first).min(event.at_unix_us);
        let view = self.nodes.entry(from).or_default();
        view.height = view.height.max(height);
    }

    /// Two honest nodes must have the same ledger at one height.
    pub fn hash(&mut self, height: u64, hash: [u8; 32], from: NodeId) {
        let (known, by) = *self.hashes.entry(height).or_insert((hash, from));
        if known != hash {
            self.different_hashes += 1;
            self.tell(format!("height {height}: nodes {} and {} have different ledgers", by.0, from.0));
        }
    }

    fn vote(&mut self, event: &EventPacket) {
        let key = (event.height.0, event.cluster, event.round, event.detail & 15);
        let value = (event.detail & 16 == 0).then_some(event.hash);
        let vote = (value, event.signature);
        match self.votes.get(&key) {
            None => {
                self.votes.insert(key, vote);
                if self.votes.len() > VOTES_KEPT {
                    self.votes.pop_first();
                }
            }
            Some(known) if *known == vote => {}
            Some(known) => {
                self.conflicting_votes += 1;
                let what = if known.0 == value { "two signatures of one value" } else { "two values" };
                let (height, cluster, round, kind) = key;
                let kind =
                    ["?", "proposal", "prevote", "precommit"].get(kind as usize).copied().unwrap_or("?");
                self.tell(format!("cluster {} height {height} round {round} {kind}: {what}", cluster.0));
            }
        }
    }

    fn tell(&mut self, text: String) {
        if self.told.len() < TOLD {
            self.told.push(text);
        }
    }

    /// Who was granted each epoch, as far as anybody was told.
    #[must_use]
    pub const fn masters(&self) -> &BTreeMap<(ClusterId, Epoch), NodeId> {
        &self.masters
    }

    /// How many different signed words were compared.
    #[must_use]
    pub fn votes_compared(&self) -> usize {
        self.votes.len()
    }

    /// Begin a new list of what was seen; what is compared stays.
    pub fn forget_events(&mut self) {
        self.seen.clear();
    }

    /// The highest block seen anywhere.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.heights.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// The first event that `wanted` accepts, by its own time stamp.
    pub fn first(&self, since_us: u64, wanted: impl Fn(&Seen) -> bool) -> Option<Seen> {
        self.seen.iter().filter(|s| s.at_us >= since_us && wanted(s)).min_by_key(|s| s.at_us).copied()
    }

    /// The longest time between two successive new heights from `since_us` to `until_us`, in milliseconds.
    #[must_use]
    pub fn longest_gap_ms(&self, since_us: u64, until_us: u64) -> f64 {
        let mut times: Vec<u64> = self.heights.values().copied().filter(|at| *at <= until_us).collect();
        times.sort_unstable();
        let from = times.partition_point(|at| *at < since_us).saturating_sub(1);
        let in_step = times.get(from..).unwrap_or_default();
        let mut gap = in_step
            .windows(2)
            .map(|w| w.last().copied().unwrap_or(0) - w.first().copied().unwrap_or(0))
            .max()
            .unwrap_or(0);
        if let Some(last) = in_step.last() {
            gap = gap.max(until_us.saturating_sub(*last));
        }
        milliseconds(gap)
    }

    /// Blocks a second over the last second.
    #[must_use]
    pub fn rate(&self) -> usize {
        let since = unix_us().saturating_sub(1_000_000);
        self.heights.values().rev().take_while(|at| **at >= since).count()
    }
}

/// Microseconds as milliseconds.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "spans of a demonstration are far below 2^52 us")]
pub fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::{Height, Version};

    fn vote(kind: u16, value: u8, signature: u8) -> EventPacket {
        EventPacket {
            kind,
            cluster: ClusterId(1),
            height: Height(7),
            detail: 2,
            hash: [value; 32],
            signature: [signature; 64],
            ..Default::default()
        }
    }

    #[test]
    fn a_vote_seen_twice_is_none_and_another_value_or_signature_is_a_conflict() {
        let mut view = View::default();
        view.event(NodeId(101), &vote(kind::RELEASED, 1, 1));
        view.event(NodeId(201), &vote(kind::RECEIVED, 1, 1));
        assert_eq!(view.conflicting_votes, 0);
        view.event(NodeId(201), &vote(kind::RECEIVED, 1, 2));
        assert_eq!(view.conflicting_votes, 1);
        view.event(NodeId(301), &vote(kind::RECEIVED, 2, 1));
        assert_eq!(view.conflicting_votes, 2);
        assert_eq!(
            view.told,
            [
                "cluster 1 height 7 round 0 prevote: two signatures of one value",
                "cluster 1 height 7 round 0 prevote: two values"
            ]
        );
    }

    #[test]
    fn a_second_master_of_an_epoch_and_a_row_that_goes_back_are_told() {
        let mut view = View::default();
        let mut granted = |epoch, node| {
            let (kind, cluster) = (kind::GRANTED, ClusterId(1));
            let grant =
                EventPacket { kind, cluster, epoch: Epoch(epoch), node: NodeId(node), ..Default::default() };
            view.event(NodeId::AUTHORITY, &grant);
            view.broken_epochs
        };
        assert_eq!(granted(1, 101), 0);
        assert_eq!(granted(2, 102), 0);
        assert_eq!(granted(2, 103), 1);
        assert_eq!(view.told, ["cluster 1 epoch 2: nodes 102 and 103 are both its master"]);
        let row = |epoch, version| Row {
            cluster: ClusterId(1),
            epoch: Epoch(epoch),
            version: Version(version),
            master: NodeId(102),
            ..Row::default()
        };
        view.table(&[row(2, 1)]);
        view.table(&[row(2, 1)]);
        assert_eq!(view.broken_epochs, 1);
        view.table(&[row(2, 0)]);
        assert_eq!(view.broken_epochs, 2);
    }

    #[test]
    fn the_gap_counts_from_the_last_height_before_the_fault_to_the_end() {
        let mut view = View::default();
        view.heights.extend([(1, 1_000), (2, 2_000), (3, 12_000), (4, 13_000)]);
        assert!((view.longest_gap_ms(2_500, 13_500) - 10.0).abs() < 1e-9);
        assert!((view.longest_gap_ms(12_500, 40_000) - 27.0).abs() < 1e-9);
    }

    #[test]
    fn different_ledgers_at_one_height_are_told() {
        let mut view = View::default();
        view.hash(3, [1; 32], NodeId(101));
        view.hash(3, [1; 32], NodeId(201));
        assert_eq!(view.different_hashes, 0);
        view.hash(3, [2; 32], NodeId(301));
        assert_eq!(view.different_hashes, 1);
    }
}
