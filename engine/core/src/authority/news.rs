//! Who is told a decision, and when: its own cluster at once, the masters of all others one row after the other
//! ([decision 40](../../../../spec/decisions/0040-news-waits-for-its-turn.md)).
//!
//! With n clusters one decision is news to n - 1 masters. When a room of them fails at once, telling each decision to
//! everybody before the next is taken would keep the last cluster waiting for what concerns it least.

use super::{Authority, Deadline};
use crate::links::Party;
use crate::time::Duration;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::packet::Packet;
use std::collections::{BTreeMap, BTreeSet};

/// So many masters are told a row in each millisecond: a tenth of a core, or a quarter of a slow one.
const NEWS_A_MILLISECOND: usize = 32;

/// The newest row of each cluster that is still to be told.
#[derive(Default)]
pub(super) struct News {
    rows: BTreeMap<ClusterId, Packet>,
    /// Told last: everybody has a turn.
    last: ClusterId,
    /// The next turn is set.
    is_due: bool,
}

impl News {
    fn next(&mut self) -> Option<(ClusterId, Packet)> {
        let after = (core::ops::Bound::Excluded(self.last), core::ops::Bound::Unbounded);
        let next = self.rows.range(after).next().or_else(|| self.rows.iter().next()).map(|(id, _)| *id)?;
        self.last = next;
        self.rows.remove_entry(&next)
    }
}

impl Authority {
    /// All nodes of the cluster now, and the masters of all others in their turn (AUTH-8).
    pub(super) fn notify(&mut self, cluster: ClusterId, packet: Packet) {
        let own =
            self.config.roster.cluster(cluster).map(|c| c.nodes.iter().map(|n| n.id).collect::<Vec<_>>());
        for node in own.into_iter().flatten() {
            self.links.send_datagram(Party::Node(node), &packet, &mut self.out);
        }
        self.news.rows.insert(cluster, packet);
        if !self.news.is_due {
            // when all that this input brought has been said to whom it concerns
            self.news.is_due = true;
            self.deadlines.set(Deadline::News, self.now);
        }
    }

    /// The next row, to the masters of all other clusters.
    pub(super) fn tell_news(&mut self) {
        let Some((cluster, packet)) = self.news.next() else {
            self.news.is_due = false;
            return;
        };
        let masters: BTreeSet<NodeId> =
            self.table.entries().filter(|(id, _)| **id != cluster).map(|(_, e)| e.row.master).collect();
        let milliseconds =
            u64::try_from(masters.len().div_ceil(NEWS_A_MILLISECOND).max(1)).unwrap_or(u64::MAX);
        for node in masters {
            self.links.send_datagram(Party::Node(node), &packet, &mut self.out);
        }
        self.deadlines.set(Deadline::News, self.now + Duration::from_millis(milliseconds));
    }
}
