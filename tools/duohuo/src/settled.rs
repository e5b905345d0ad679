//! Whether a network is whole: every cluster has its master, and all that run follow it.

use crate::picture::View;
use duohuo_wire::ids::NodeId;
use duohuo_wire::roster::Roster;
use duohuo_wire::statement::Row;
use duohuo_wire::status::Role;
use std::collections::BTreeSet;
use std::time::Duration;

/// A live node may be so many blocks behind and count as caught up: blocks are on their way all the time.
const NEAR_HEAD: u64 = 20;
/// A report older than this tells nothing.
const FRESH: Duration = Duration::from_secs(1);

/// What is still missing, in words, until every cluster of which somebody is in `live` is whole.
#[must_use]
pub fn unsettled(view: &View, roster: &Roster, live: &BTreeSet<NodeId>) -> Option<String> {
    if view.rows_at.is_none_or(|at| at.elapsed() > FRESH) {
        return Some("the authority does not answer".into());
    }
    let head = view.height();
    for cluster in &roster.clusters {
        let members: Vec<NodeId> =
            cluster.nodes.iter().map(|n| n.id).filter(|id| live.contains(id)).collect();
        if members.is_empty() {
            continue;
        }
        let Some(row) = view.rows.get(&cluster.id) else {
            return Some(format!("cluster {} is not registered", cluster.name));
        };
        if let Some(why) = unsettled_row(view, row, &members, head, live) {
            return Some(format!("cluster {}: {why}", cluster.name));
        }
    }
    None
}

fn unsettled_row(
    view: &View,
    row: &Row,
    members: &[NodeId],
    head: u64,
    live: &BTreeSet<NodeId>,
) -> Option<String> {
    if !members.contains(&row.master) {
        return Some(format!("its master {} is dead", row.master.0));
    }
    if view.nodes.get(&row.master).and_then(|n| n.role) != Some(Role::Master) {
        return Some(format!("node {} does not act as master yet", row.master.0));
    }
    if let Some(gone) = row.in_sync.iter().find(|id| !live.contains(id)) {
        return Some(format!("dead node {} is still in the in-sync set", gone.0));
    }
    for id in members {
        let node = view.nodes.get(id);
        if !node.is_some_and(|n| n.connected && n.reported_at.is_some_and(|at| at.elapsed() < FRESH)) {
            return Some(format!("node {} does not answer", id.0));
        }
        if !row.in_sync.contains(id) && !row.barred.contains(id) {
            return Some(format!("node {} is not in sync", id.0));
        }
        let known = node.and_then(|n| n.report.as_ref()).map(|r| (r.epoch, r.version));
        if known < Some((row.epoch, row.version)) {
            return Some(format!("node {} does not know the newest row", id.0));
        }
        let height = node.map_or(0, |n| n.height);
        if height + NEAR_HEAD < head {
            return Some(format!("node {} is at height {height} of {head}", id.0));
        }
    }
    None
}
