//! Consensus-error reports (mission AUTH-6; design "Consensus errors"): what a report proves, and the count of those
//! that prove nothing by themselves.

use super::table::Table;
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::statement::SignedResult;
use std::collections::{BTreeMap, BTreeSet};

/// Reports older than this no longer count.
const WINDOW: Duration = Duration::from_secs(10);
/// How many reports one cluster may send in a window before it is ignored for the rest of it.
const BUDGET: u32 = 64;

/// A report that was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Finding {
    pub(super) accused: ClusterId,
    pub(super) height: Height,
    pub(super) hash: [u8; 32],
    /// A quorum of signed results contradicts the accused's own signed result: no trust in the reporter is needed.
    pub(super) proven: bool,
}

/// Clusters that can be wrong at once: F <= (N - 1) / 3.
fn faults(clusters: usize) -> usize {
    clusters.saturating_sub(1) / 3
}

/// Look at a report's evidence. `None`: it is no evidence against anybody's current master.
pub(super) fn examine(evidence: &[SignedResult], table: &Table, roster: &Roster) -> Option<Finding> {
    let (accused, others) = evidence.split_first()?;
    let row = &table.entry(accused.cluster)?.row;
    let current =
        row.epoch == accused.epoch && row.master == accused.node && !row.barred.contains(&row.master);
    if !current || !holds(accused, table, roster) {
        return None;
    }
    let mut clusters = BTreeSet::new();
    let common = others.first()?.hash;
    for result in others {
        let contradicts = result.height == accused.height && result.hash == common && common != accused.hash;
        if !contradicts || result.cluster == accused.cluster || !holds(result, table, roster) {
            return None;
        }
        clusters.insert(result.cluster);
    }
    let quorum = roster.clusters.len() - faults(roster.clusters.len());
    Some(Finding {
        accused: accused.cluster,
        height: accused.height,
        hash: accused.hash,
        proven: clusters.len() >= quorum,
    })
}

/// Signed by the node that was master of that cluster in that epoch.
fn holds(result: &SignedResult, table: &Table, roster: &Roster) -> bool {
    table.master_of(result.cluster, result.epoch) == Some(result.node)
        && key_of(roster, result.node).is_some_and(|key| result.verify(&key))
}

pub(super) fn key_of(roster: &Roster, node: NodeId) -> Option<VerifyingKey> {
    roster.node(node).and_then(|(_, n)| VerifyingKey::from_bytes(&n.signing_key).ok())
}

/// A result that is held against the master of a cluster.
type Accused = (ClusterId, Epoch, Height, [u8; 32]);

/// Counts reports per accused result, each reporting cluster once, over a window. What is said of another result of the same
/// master does not add to it: of two clusters that lie one after the other, each about what it heard, none is confirmed by the other.
#[derive(Debug, Default)]
pub(super) struct Reports {
    counted: BTreeMap<Accused, BTreeMap<ClusterId, Instant>>,
    spent: BTreeMap<ClusterId, (Instant, u32)>,
}

impl Reports {
    /// How many are kept: no more than the reporters' budgets of two windows.
    pub(super) fn count_held(&self) -> usize {
        self.spent.len() + self.counted.values().map(BTreeMap::len).sum::<usize>()
    }

    /// Whether the reporter may still report in this window.
    pub(super) fn within_budget(&mut self, now: Instant, reporter: ClusterId) -> bool {
        let (since, spent) = self.spent.entry(reporter).or_insert((now, 0));
        if now - *since >= WINDOW {
            (*since, *spent) = (now, 0);
        }
        *spent = spent.saturating_add(1);
        *spent <= BUDGET
    }

    /// Count a report; `true` when distinct clusters enough to include an honest one have said so of this very result.
    pub(super) fn count(
        &mut self,
        now: Instant,
        finding: &Finding,
        epoch: Epoch,
        reporter: ClusterId,
        clusters: usize,
    ) -> bool {
        let Finding { accused, height, hash, .. } = *finding;
        self.counted.retain(|(cluster, e, ..), reporters| {
            reporters.retain(|_, at| now - *at < WINDOW);
            !reporters.is_empty() && (*cluster != accused || *e == epoch)
        });
        let reporters = self.counted.entry((accused, epoch, height, hash)).or_default();
        reporters.insert(reporter, now);
        reporters.len() > faults(clusters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const T: Instant = Instant::from_nanos(1_000_000_000);

    fn result(height: u64, hash: u8) -> Finding {
        Finding { accused: ClusterId(1), height: Height(height), hash: [hash; 32], proven: false }
    }

    /// Whether the second cluster of four, reporting the second of these at this moment, makes it enough.
    fn second(first: (Finding, u64), then: (Finding, u64), after: Duration) -> bool {
        let mut r = Reports::default();
        assert!(!r.count(T, &first.0, Epoch(first.1), ClusterId(2), 4));
        r.count(T + after, &then.0, Epoch(then.1), ClusterId(3), 4)
    }

    #[test]
    fn one_liar_among_four_clusters_deposes_nobody() {
        let mut r = Reports::default();
        for height in 0..100 {
            assert!(!r.count(T, &result(height / 2, 7), Epoch(1), ClusterId(2), 4));
        }
        assert!(r.count(T, &result(49, 7), Epoch(1), ClusterId(3), 4));
    }

    #[test]
    fn b_err_3_only_reports_of_the_same_result_within_the_window_add_up() {
        let (said, soon) = ((result(5, 7), 1), WINDOW - Duration::from_nanos(1));
        assert!(second(said, said, soon));
        assert!(!second(said, said, WINDOW), "the window");
        assert!(!second(said, (result(5, 7), 2), soon), "a new master starts with a clean count");
        assert!(!second(said, (result(6, 7), 1), soon), "another height");
        assert!(!second(said, (result(5, 8), 1), soon), "another hash");
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_window() {
        let mut r = Reports::default();
        for height in 0..10 {
            r.count(T, &result(height, 7), Epoch(1), ClusterId(2), 4);
        }
        assert_eq!(r.count_held(), 10);
        r.count(T + WINDOW, &result(10, 7), Epoch(1), ClusterId(2), 4);
        assert_eq!(r.count_held(), 1);
        r.count(T + WINDOW, &result(10, 7), Epoch(2), ClusterId(2), 4);
        assert_eq!(r.count_held(), 1, "what is said of an older epoch is void");
    }

    #[test]
    fn a_reporter_has_a_budget() {
        let mut r = Reports::default();
        for _ in 0..BUDGET {
            assert!(r.within_budget(T, ClusterId(1)));
        }
        assert!(!r.within_budget(T, ClusterId(1)));
        assert!(r.within_budget(T + WINDOW, ClusterId(1)));
    }
}
