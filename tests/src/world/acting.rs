//! What acts outside the chain, as a world carries it out.

use super::World;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::io::Input;
use duohuo_core::outside::Report;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};

impl World {
    /// Who acts for a cluster, and in which epoch.
    #[must_use]
    pub fn acts_outside(&self, cluster: ClusterId) -> Option<(NodeId, Epoch)> {
        self.acting.who(cluster, |id| self.local(id))
    }

    /// A node is configured for another span of the lease, from its next start on.
    pub fn set_terms(&mut self, id: NodeId, span: Duration) {
        let outside = self.hosts.get_mut(&id).and_then(|host| host.told.settings.outside.as_mut());
        if let Some(outside) = outside {
            outside.lease.span = span;
        }
    }

    /// What a host's clock shows.
    fn local(&self, id: NodeId) -> Instant {
        self.hosts.get(&id).map_or(Instant::ZERO, |host| host.clock.local(self.now))
    }

    pub(super) fn act(&mut self, id: NodeId, epoch: Epoch, until: Instant) {
        let Some(cluster) = self.consortium.roster.node(id).map(|(cluster, _)| cluster.id) else { return };
        let span = self.settings.outside.map_or(Duration::ZERO, |o| o.lease.span);
        let until = if self.lease_from_reception { self.local(id) + span } else { until };
        // Whoever forces a cluster vouches that its old master has ended (behaviour.md section 15).
        let checker = &self.checker;
        let apart = |other| checker.are_apart(cluster, other, epoch);
        let hosts = &self.hosts;
        let now = self.now;
        let clock = |id| hosts.get(&id).map_or(Instant::ZERO, |host| host.clock.local(now));
        self.acting.act(id, cluster, epoch, until, clock, apart);
    }

    /// Ending it takes up to half the margin; then it is reported.
    pub(super) fn stop_acting(&mut self, id: NodeId) {
        self.acting.stop(id);
        if self.lease_from_reception {
            return; // who counts so ends it later, too
        }
        if self.ends_unreported {
            return;
        }
        let margin = self.settings.outside.map_or(Duration::ZERO, |o| o.lease.margin);
        let at = self.now + self.between((Duration::ZERO, margin / 2));
        self.schedule_input(id, at, Input::Outside(Report::Stopped));
    }
}
