//! S16: at no true time do two nodes of one cluster act outside the chain (design R7).
//!
//! The world stands in for the process that runs an operator's programs. What acts goes on, whatever becomes of the
//! machine that ordered it, until it was ended and that was reported, or until the order's own end by the host's own
//! clock: the worst that the rules of behaviour.md section 15 allow.

use duohuo_core::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use std::collections::BTreeMap;

/// One order to act, as its host holds it.
#[derive(Clone, Copy, Debug)]
struct Order {
    cluster: ClusterId,
    epoch: Epoch,
    /// On its host's clock.
    until: Instant,
    /// It was told to end.
    ends: bool,
}

/// Who acts.
#[derive(Default)]
pub struct Acting {
    orders: BTreeMap<NodeId, Order>,
    /// How often somebody began to act.
    pub begun: u64,
}

impl Acting {
    /// A host is told to act until `until`, by its own clock. `clock`: what a host's clock shows now. `apart`: whether an
    /// operator's force lies between this epoch and another one.
    ///
    /// # Panics
    /// Another node of the cluster acts still.
    pub fn act(
        &mut self,
        host: NodeId,
        cluster: ClusterId,
        epoch: Epoch,
        until: Instant,
        clock: impl Fn(NodeId) -> Instant,
        apart: impl Fn(Epoch) -> bool,
    ) {
        for (other, order) in &self.orders {
            let left = order.until - clock(*other);
            assert!(
                *other == host || order.cluster != cluster || left.is_zero() || apart(order.epoch),
                "S16: {host} acts for {cluster} in {epoch:?}, and {other} acts still, in {:?}, for {left:?} more",
                order.epoch
            );
        }
        let before = self.orders.insert(host, Order { cluster, epoch, until, ends: false });
        self.begun += u64::from(before.is_none_or(|o| o.ends || o.epoch != epoch));
    }

    /// A host is told to end it.
    pub fn stop(&mut self, host: NodeId) {
        if let Some(order) = self.orders.get_mut(&host) {
            order.ends = true;
        }
    }

    /// A host has ended it and reports so.
    pub fn ended(&mut self, host: NodeId) {
        if self.orders.get(&host).is_some_and(|order| order.ends) {
            self.orders.remove(&host);
        }
    }

    /// Who acts for a cluster, and in which epoch. `clock`: as in [`Acting::act`].
    pub fn who(&self, cluster: ClusterId, clock: impl Fn(NodeId) -> Instant) -> Option<(NodeId, Epoch)> {
        let acts = |host: &NodeId, order: &Order| {
            order.cluster == cluster && !order.ends && clock(*host) < order.until
        };
        self.orders.iter().find(|(host, order)| acts(host, order)).map(|(host, order)| (*host, order.epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ClusterId = ClusterId(1);

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    #[should_panic(expected = "S16: n12 acts for c1 in Epoch(2), and n11 acts still")]
    fn two_that_act_at_the_same_moment_are_noticed() {
        let mut acting = Acting::default();
        acting.act(NodeId(11), A, Epoch(1), ms(100), |_| ms(0), |_| false);
        acting.act(NodeId(12), A, Epoch(2), ms(200), |_| ms(99), |_| false);
    }

    #[test]
    #[should_panic(expected = "S16: n13 acts for c1 in Epoch(3), and n12 acts still")]
    fn who_was_given_up_by_force_does_not_count_and_everybody_else_does() {
        let mut acting = Acting::default();
        acting.act(NodeId(11), A, Epoch(1), ms(100), |_| ms(0), |_| false);
        acting.act(NodeId(12), A, Epoch(2), ms(200), |_| ms(50), |epoch| epoch < Epoch(2));
        acting.act(NodeId(13), A, Epoch(3), ms(300), |_| ms(60), |epoch| epoch < Epoch(2));
    }

    #[test]
    fn one_after_the_other_is_well() {
        let mut acting = Acting::default();
        acting.act(NodeId(11), A, Epoch(1), ms(100), |_| ms(0), |_| false);
        acting.act(NodeId(12), A, Epoch(2), ms(200), |_| ms(100), |_| false);
        acting.stop(NodeId(12));
        acting.ended(NodeId(12));
        acting.act(NodeId(11), A, Epoch(3), ms(250), |_| ms(120), |_| false);
        assert_eq!(acting.who(A, |_| ms(130)), Some((NodeId(11), Epoch(3))));
        assert_eq!(acting.begun, 3);
    }
}
