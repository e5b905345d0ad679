//! S15 (design R6): a master that is well, and whose way to the authority is clear, is not deposed by a claim: one
//! cut link between two rooms does not move masters about. "Well" is judged from outside, and narrowly: nothing was done to
//! it, to the authority or to what lies between them, for long enough to be heard again.

use super::World;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::packet::Role;
use std::collections::BTreeMap;

/// When something was last done to a host.
#[derive(Default)]
pub(super) struct Health {
    touched: BTreeMap<NodeId, Instant>,
    network: Option<Instant>,
}

impl World {
    /// Something is done to this host.
    pub(super) fn touch(&mut self, id: NodeId) {
        self.health.touched.insert(id, self.now);
    }

    /// Something is done to a link: it matters if the authority is at one end.
    pub(super) fn touch_link(&mut self, a: NodeId, b: NodeId) {
        if a == NodeId::AUTHORITY {
            self.touch(b);
        } else if b == NodeId::AUTHORITY {
            self.touch(a);
        }
    }

    /// Something is done to everybody.
    pub(super) fn touch_all(&mut self) {
        self.health.network = Some(self.now);
    }

    /// After so long nothing of a former fault matters: sessions stand again, and the authority has listened.
    fn recovery(&self) -> Duration {
        self.settings.keepalive * 30 + Duration::from_secs(4)
    }

    fn is_well(&self, id: NodeId) -> bool {
        let long_ago = |at: &Instant| self.now - *at >= self.recovery();
        self.hosts.get(&id).is_some_and(|host| {
            !host.paused
                && !host.disk_fails
                && !host.refuses_streams
                && host.disk_factor == 1
                && host.clock.is_true()
        }) && self.health.touched.get(&id).is_none_or(long_ago)
    }

    /// Between the authority and this host datagrams come through, and soon.
    fn is_clear(&self, id: NodeId) -> bool {
        let long_ago = |at: Instant| self.now - at >= self.recovery();
        let gentle = self.luck.loss == 0
            && self.luck.corruption == 0
            && self.luck.delay.1 <= Duration::from_micros(400)
            && self.busy.is_zero();
        let ways = [(id, NodeId::AUTHORITY), (NodeId::AUTHORITY, id)];
        gentle
            && self.health.network.is_none_or(long_ago)
            && !ways.iter().any(|way| {
                self.cut.contains_key(way)
                    || self.slow.contains_key(way)
                    || self.clogged.contains_key(way)
                    || self.narrow.contains_key(way)
            })
    }

    /// The master of a cluster as a claim or an order is decided: if it is well it must stay. One that is well obeys a
    /// planned switch in time (B-HND-1), and is master no more; and nobody forces a cluster that has one (B-ORD-7).
    pub(super) fn judge_grant(&mut self, event: &Event) {
        let Event::Granted { cluster, node, .. } = event else { return };
        let Some(incumbent) = self.incumbent(*cluster).filter(|master| master != node) else { return };
        let barred = self.checker.rows().entry(*cluster).is_some_and(|e| e.row.barred.contains(&incumbent));
        let well = self.is_up(incumbent)
            && self.is_well(incumbent)
            && self.is_well(NodeId::AUTHORITY)
            && self.is_clear(incumbent)
            && !self.later.contains(&incumbent)
            && !self.later.contains(&NodeId::AUTHORITY)
            && self.leads_since.get(&incumbent).is_some_and(|since| self.now - *since >= self.recovery());
        if well && !barred {
            let now = self.now;
            self.checker.say("S15", || {
                format!("{now}: {cluster} was given to {node} though {incumbent} is well and in office")
            });
        }
    }

    /// Who was granted before.
    fn incumbent(&self, cluster: ClusterId) -> Option<NodeId> {
        let nodes = &self.consortium.roster.cluster(cluster)?.nodes;
        nodes.iter().map(|n| n.id).find(|id| self.checker.role(*id) == Some(Role::Master))
    }
}
