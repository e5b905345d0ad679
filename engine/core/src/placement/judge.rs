//! One fault, and what follows for each cluster and for the chain.

use super::{PlacedCluster, Placement};
use duohuo_wire::ids::RoomId;
use std::collections::BTreeSet;

/// What breaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing in these rooms runs any more.
    Lost(BTreeSet<RoomId>),
    /// These rooms hear each other, the rest hears each other, and neither hears the other.
    Cut(BTreeSet<RoomId>),
    /// Two rooms do not hear each other; everybody else hears both.
    Link(RoomId, RoomId),
}

/// What becomes of one cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Its master goes on; the set loses whom it does not hear.
    Stays {
        /// Position of the master in the cluster.
        master: usize,
    },
    /// Another node is granted.
    Moves {
        /// Position of the new master.
        to: usize,
    },
    /// Nobody of it may act.
    Waits(Why),
}

/// Why nobody of a cluster may act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// No node of it is left.
    NobodyLeft,
    /// The master misses members, and the authority, which alone can take them out of the set, is lost or not heard.
    CannotShrink,
    /// The master is gone, and nobody who is left reaches the authority.
    CannotClaim,
    /// Only nodes of priority 0 are left.
    NobodyElectable,
}

/// Rooms that hear each other, and what stands there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Side {
    /// The rooms.
    pub rooms: BTreeSet<RoomId>,
    /// Whether the authority is one of them.
    pub authority: bool,
    /// Clusters whose acting master stands there.
    pub acting: usize,
    /// Whether these masters decide blocks.
    pub goes_on: bool,
}

/// What follows from a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// By cluster, in the order of the placement.
    pub fates: Vec<Fate>,
    /// For a link that is cut the two sides overlap: each is all rooms but one end.
    pub sides: Vec<Side>,
}

impl Verdict {
    /// Whether blocks are decided anywhere.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.sides.iter().any(|s| s.goes_on)
    }

    /// How many clusters act where the chain goes on.
    #[must_use]
    pub fn acting_where_it_goes_on(&self) -> Option<usize> {
        self.sides.iter().filter(|s| s.goes_on).map(|s| s.acting).max()
    }
}

impl Fault {
    /// Whether what stands in one room hears what stands in the other.
    pub(super) fn hears(&self, a: RoomId, b: RoomId) -> bool {
        match self {
            Self::Lost(rooms) => !rooms.contains(&a) && !rooms.contains(&b),
            Self::Cut(rooms) => rooms.contains(&a) == rooms.contains(&b),
            Self::Link(x, y) => (a, b) != (*x, *y) && (a, b) != (*y, *x),
        }
    }

    fn is_lost(&self, room: RoomId) -> bool {
        matches!(self, Self::Lost(rooms) if rooms.contains(&room))
    }

    /// The largest sets of rooms in which all hear all.
    fn sides(&self, all: BTreeSet<RoomId>) -> Vec<BTreeSet<RoomId>> {
        let without = |gone: &BTreeSet<RoomId>| all.difference(gone).copied().collect::<BTreeSet<_>>();
        match self {
            Self::Lost(rooms) => vec![without(rooms)],
            Self::Cut(rooms) => vec![without(rooms), all.intersection(rooms).copied().collect()],
            Self::Link(x, y) => vec![without(&BTreeSet::from([*x])), without(&BTreeSet::from([*y]))],
        }
    }
}

/// What follows from `fault`.
#[must_use]
pub fn judge(placement: &Placement, fault: &Fault) -> Verdict {
    let fates: Vec<Fate> = placement.clusters.iter().map(|c| fate(c, fault, placement.authority)).collect();
    let quorum = placement.quorum();
    let sides = fault.sides(placement.rooms()).into_iter().map(|rooms| {
        let acts_here = |(cluster, fate): &(&PlacedCluster, &Fate)| {
            fate.acting().and_then(|i| cluster.nodes.get(i)).is_some_and(|n| rooms.contains(&n.room))
        };
        let acting = placement.clusters.iter().zip(&fates).filter(acts_here).count();
        Side { authority: rooms.contains(&placement.authority), acting, goes_on: acting >= quorum, rooms }
    });
    Verdict { sides: sides.collect(), fates }
}

impl Fate {
    /// The position of the node that acts.
    #[must_use]
    pub const fn acting(&self) -> Option<usize> {
        match self {
            Self::Stays { master } => Some(*master),
            Self::Moves { to } => Some(*to),
            Self::Waits(_) => None,
        }
    }
}

fn fate(cluster: &PlacedCluster, fault: &Fault, authority: RoomId) -> Fate {
    let room = |i: usize| cluster.nodes.get(i).map_or(authority, |n| n.room);
    if cluster.nodes.iter().all(|n| fault.is_lost(n.room)) {
        return Fate::Waits(Why::NobodyLeft);
    }
    let Some(master) = cluster.first_master() else { return Fate::Waits(Why::NobodyElectable) };
    let at = room(master);
    let master_lives = !fault.is_lost(at);
    if master_lives {
        let hears_all = cluster.nodes.iter().all(|n| fault.hears(at, n.room));
        if hears_all || fault.hears(at, authority) {
            return Fate::Stays { master };
        }
    }
    let may_claim = |i: usize| !fault.hears(at, room(i)) && fault.hears(room(i), authority);
    if let Some(to) = cluster.best(may_claim) {
        return Fate::Moves { to };
    }
    if master_lives {
        return Fate::Waits(Why::CannotShrink);
    }
    let electable_left = cluster.nodes.iter().any(|n| n.priority > 0 && !fault.is_lost(n.room));
    Fate::Waits(if electable_left { Why::CannotClaim } else { Why::NobodyElectable })
}
