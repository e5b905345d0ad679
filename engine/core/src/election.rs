//! The election inside a cluster (mission IN-2): a pure function of the neighbour table and the authority's row, so
//! that all nodes that see the same reach the same result. It only *proposes*: a master acts by the authority's grant.
//!
//! The rule, which the patent leaves open: among the nodes that may be granted (alive, in the in-sync set, not barred,
//! priority above zero) the highest priority wins, then the lowest node number. The incumbent stays while it acts:
//! a returning node of higher priority takes nothing over.

use duohuo_wire::ids::NodeId;

/// What the election knows of one node of the cluster, oneself included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Who.
    pub node: NodeId,
    /// 0 = never master; else 1 ..= 254, higher first.
    pub priority: u8,
    /// Heard within its detection time, or answers probes.
    pub alive: bool,
    /// In the in-sync set of the newest row known (before the first registration: every node).
    pub in_sync: bool,
    /// Barred after a consensus error.
    pub barred: bool,
    /// Master of the newest row known, and acts as such or is about to.
    pub acting: bool,
}

impl Candidate {
    const fn may_lead(&self) -> bool {
        self.alive && self.in_sync && !self.barred && self.priority > 0
    }
}

/// The election's result.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Elected {
    /// The acting master, or who should become it.
    pub master: Option<NodeId>,
    /// The next master.
    pub standby: Option<NodeId>,
    /// Who should claim if no master acts, first to last.
    pub order: Vec<NodeId>,
}

/// Elect. The order of `candidates` does not matter.
#[must_use]
pub fn elect(candidates: &[Candidate]) -> Elected {
    let mut eligible: Vec<&Candidate> = candidates.iter().filter(|c| c.may_lead()).collect();
    eligible.sort_by_key(|c| (core::cmp::Reverse(c.priority), c.node));
    let order: Vec<NodeId> = eligible.iter().map(|c| c.node).collect();
    let acting = candidates.iter().find(|c| c.acting && c.alive && !c.barred).map(|c| c.node);
    let master = acting.or_else(|| order.first().copied());
    let standby = order.iter().copied().find(|node| Some(*node) != master);
    Elected { master, standby, order }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(node: u32, priority: u8) -> Candidate {
        Candidate { node: NodeId(node), priority, alive: true, in_sync: true, barred: false, acting: false }
    }

    #[test]
    fn the_highest_priority_leads_and_the_next_stands_by() {
        let e = elect(&[candidate(1, 100), candidate(2, 200), candidate(3, 150)]);
        assert_eq!(e.master, Some(NodeId(2)));
        assert_eq!(e.standby, Some(NodeId(3)));
        assert_eq!(e.order, [NodeId(2), NodeId(3), NodeId(1)]);
    }

    #[test]
    fn the_lower_number_wins_among_equal_priorities_in_any_order() {
        let (a, b) = (candidate(7, 100), candidate(4, 100));
        assert_eq!(elect(&[a, b]), elect(&[b, a]));
        assert_eq!(elect(&[a, b]).master, Some(NodeId(4)));
    }

    #[test]
    fn an_acting_master_is_not_pre_empted() {
        let mut low = candidate(3, 10);
        low.acting = true;
        let e = elect(&[candidate(1, 200), low]);
        assert_eq!(e.master, Some(NodeId(3)));
        assert_eq!(e.standby, Some(NodeId(1)));
    }

    #[test]
    fn the_dead_the_barred_the_lagging_and_priority_zero_are_never_elected() {
        let mut dead = candidate(1, 250);
        dead.alive = false;
        let mut barred = candidate(2, 240);
        barred.barred = true;
        let mut lagging = candidate(3, 230);
        lagging.in_sync = false;
        let zero = candidate(4, 0);
        let e = elect(&[dead, barred, lagging, zero]);
        assert_eq!(e, Elected::default());
    }

    #[test]
    fn a_barred_master_does_not_count_as_acting() {
        let mut old = candidate(1, 200);
        old.acting = true;
        old.barred = true;
        assert_eq!(elect(&[old, candidate(2, 100)]).master, Some(NodeId(2)));
    }

    #[test]
    fn a_lone_master_has_no_standby() {
        let mut only = candidate(1, 200);
        only.acting = true;
        assert_eq!(elect(&[only]).standby, None);
    }
}
