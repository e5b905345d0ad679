//! What the observer has seen, and what follows from it: roles, heights, votes and their conflicts, first times.

use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::packet::Event as EventPacket;
use duohuo_wire::statement::Row;
use duohuo_wire::status::{Role, StatusReport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Numbers of the events on the wire: positions in `duohuo_core::event::Event`.
pub(crate) mod kind {
    pub(crate) const SUSPECTED: u16 = 1;
    pub(crate) const DEAD: u16 = 2;
    pub(crate) const GRANTED: u16 = 6;
    pub(crate) const IN_SYNC_CHANGED: u16 = 7;
    pub(crate) const ROLE_CHANGED: u16 = 8;
    pub(crate) const RELEASED: u16 = 9;
    pub(crate) const RECEIVED: u16 = 10;
    pub(crate) const COMMITTED: u16 = 11;
    pub(crate) const CONSENSUS_ERROR_REPORTED: u16 = 12;
    pub(crate) const FORCED_SWITCH: u16 = 13;
    pub(crate) const ALARM: u16 = 14;
    pub(crate) const AGED_OUT: u16 = 15;
    pub(crate) const HALTED: u16 = 19;
}

/// Names of the kinds, as in logs.
const NAMES: [&str; 22] = [
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
];

/// The name of a kind.
pub(crate) fn name(kind: u16) -> &'static str {
    NAMES.get(usize::from(kind)).copied().unwrap_or("unknown")
}

/// Most votes kept for comparison; the oldest heights go first.
const VOTES_KEPT: usize = 400_000;
/// Most conflicts told; the rest is counted.
const TOLD: usize = 20;

/// Microseconds of Unix time: what events carry.
pub(crate) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// One node as seen from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeView {
    /// A session is open.
    pub(crate) connected: bool,
    /// The last report.
    pub(crate) report: Option<StatusReport>,
    /// When it came.
    pub(crate) reported_at: Option<Instant>,
    /// By the last event or report.
    pub(crate) role: Option<Role>,
    /// Highest seen.
    pub(crate) height: u64,
}

/// One event worth keeping for a step's times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) at_us: u64,
    pub(crate) from: NodeId,
    pub(crate) kind: u16,
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
}

/// (height, cluster, round, kind of vote): one word each, for ever.
type VoteKey = (u64, ClusterId, u32, u32);
/// The value (`None`: nil) and the signature.
type Vote = (Option<[u8; 32]>, [u8; 64]);

#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) nodes: BTreeMap<NodeId, NodeView>,
    /// The authority's table, as it last told.
    pub(crate) rows: BTreeMap<ClusterId, Row>,
    pub(crate) rows_at: Option<Instant>,
    /// Events since the last [`View::forget_events`], votes only if released.
    pub(crate) seen: Vec<Seen>,
    /// When each height was first committed anywhere.
    pub(crate) heights: BTreeMap<u64, u64>,
    hashes: BTreeMap<u64, ([u8; 32], NodeId)>,
    votes: BTreeMap<VoteKey, Vote>,
    /// Conflicting votes: P1 broken.
    pub(crate) conflicting_votes: u64,
    /// Different ledgers at one height.
    pub(crate) different_hashes: u64,
    /// In words, the first few.
    pub(crate) told: Vec<String>,
    /// Nodes that compute wrong results by order: their hashes do not count.
    pub(crate) drilled: BTreeSet<NodeId>,
    /// Nodes that stopped signing by themselves.
    pub(crate) halted: BTreeSet<NodeId>,
}

/// Shared between the observer, the steps and the screen.
#[derive(Debug, Default)]
pub(crate) struct Picture(Mutex<View>);

impl Picture {
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        // a panic elsewhere fails the demo anyway; the view is plain data
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    pub(crate) fn connected(&mut self, node: NodeId, up: bool) {
        let view = self.nodes.entry(node).or_default();
        view.connected = up;
        if !up {
            view.role = None;
            view.report = None;
        }
    }

    pub(crate) fn report(&mut self, from: NodeId, report: StatusReport) {
        if from == NodeId::AUTHORITY {
            self.rows = report.rows.iter().map(|row| (row.cluster, row.clone())).collect();
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

    pub(crate) fn event(&mut self, from: NodeId, event: &EventPacket) {
        match event.kind {
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
            });
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
    pub(crate) fn hash(&mut self, height: u64, hash: [u8; 32], from: NodeId) {
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

    /// How many different signed words were compared.
    pub(crate) fn votes_compared(&self) -> usize {
        self.votes.len()
    }

    pub(crate) fn forget_events(&mut self) {
        self.seen.clear();
    }

    /// The highest block seen anywhere.
    pub(crate) fn height(&self) -> u64 {
        self.heights.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// The first event that `wanted` accepts, by its own time stamp.
    pub(crate) fn first(&self, since_us: u64, wanted: impl Fn(&Seen) -> bool) -> Option<Seen> {
        self.seen.iter().filter(|s| s.at_us >= since_us && wanted(s)).min_by_key(|s| s.at_us).copied()
    }

    /// The longest time between two successive new heights from `since_us` to `until_us`, in milliseconds.
    pub(crate) fn longest_gap_ms(&self, since_us: u64, until_us: u64) -> f64 {
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
    pub(crate) fn rate(&self) -> usize {
        let since = unix_us().saturating_sub(1_000_000);
        self.heights.values().rev().take_while(|at| **at >= since).count()
    }
}

/// Microseconds as milliseconds.
#[allow(clippy::cast_precision_loss, reason = "spans of a demonstration are far below 2^52 us")]
pub(crate) fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::Height;

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
