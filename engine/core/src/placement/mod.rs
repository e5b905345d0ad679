//! What a placement of nodes over rooms survives (DEP-1..DEP-4): the rules of the protocol as arithmetic, before
//! anything is installed.
//!
//! The state before the fault is the quiet one: every node is up and in sync, and the node of the highest priority leads.
//! Then, for one cluster:
//! - a master goes on while it hears its whole in-sync set (R2), or can have the authority take out whom it does not
//!   hear (R5);
//! - a node that does not hear its master asks, and is granted if it reaches the authority and the master does not (R4, R6);
//! - else the cluster waits. No clock and no count of nodes enters.
//!
//! The chain goes on where masters of n - f clusters hear each other, f = (n - 1) / 3.

mod judge;
mod plan;

pub use judge::{Fate, Fault, Side, Verdict, Why, judge};
pub use plan::{PlanError, plan};

use duohuo_wire::ids::RoomId;
use std::collections::BTreeSet;

/// Clusters over rooms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Where the authority stands.
    pub authority: RoomId,
    /// The members of the chain.
    pub clusters: Vec<PlacedCluster>,
}

/// One cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedCluster {
    /// For people.
    pub name: String,
    /// At least one.
    pub nodes: Vec<PlacedNode>,
}

/// One node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacedNode {
    /// For people.
    pub name: String,
    /// Where it stands.
    pub room: RoomId,
    /// The highest leads; 0 never does.
    pub priority: u8,
}

/// Why a placement cannot be judged.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlacementError {
    /// There is nothing to judge.
    #[error("it has no cluster, or a cluster without a node")]
    Empty,
    /// Nobody of a cluster may lead.
    #[error("all nodes of cluster {0} have priority 0: nobody may lead it")]
    NoLeader(String),
    /// Sets of rooms are counted one by one.
    #[error("{0} rooms: more than {MAX_ROOMS}, whose sets are too many to go through")]
    TooManyRooms(usize),
}

/// Rooms with nodes in them that a placement may have.
pub const MAX_ROOMS: usize = 12;

impl Placement {
    /// Whether it can be judged.
    ///
    /// # Errors
    /// See [`PlacementError`].
    pub fn validate(&self) -> Result<(), PlacementError> {
        if self.clusters.is_empty() || self.clusters.iter().any(|c| c.nodes.is_empty()) {
            return Err(PlacementError::Empty);
        }
        if let Some(c) = self.clusters.iter().find(|c| c.nodes.iter().all(|n| n.priority == 0)) {
            return Err(PlacementError::NoLeader(c.name.clone()));
        }
        match self.node_rooms().len() {
            rooms if rooms > MAX_ROOMS => Err(PlacementError::TooManyRooms(rooms)),
            _ => Ok(()),
        }
    }

    /// Rooms in which nodes stand.
    #[must_use]
    pub fn node_rooms(&self) -> BTreeSet<RoomId> {
        self.clusters.iter().flat_map(|c| c.nodes.iter().map(|n| n.room)).collect()
    }

    /// All rooms, the authority's too.
    #[must_use]
    pub fn rooms(&self) -> BTreeSet<RoomId> {
        let mut rooms = self.node_rooms();
        rooms.insert(self.authority);
        rooms
    }

    /// How many masters decide a block: n - f.
    #[must_use]
    pub fn quorum(&self) -> usize {
        let n = self.clusters.len();
        n - n.saturating_sub(1) / 3
    }

    /// The same with the authority elsewhere.
    #[must_use]
    pub fn with_authority(&self, room: RoomId) -> Self {
        Self { authority: room, ..self.clone() }
    }

    /// A room in which no node stands.
    #[must_use]
    pub fn free_room(&self) -> RoomId {
        let taken = self.node_rooms();
        RoomId((1..=u16::MAX).find(|r| !taken.contains(&RoomId(*r))).unwrap_or(u16::MAX))
    }

    /// The largest k so that the chain goes on whichever k rooms with nodes are lost, and with how many clusters at
    /// least, for each k from 1 to it.
    #[must_use]
    pub fn survives(&self) -> Vec<usize> {
        let rooms: Vec<RoomId> = self.node_rooms().into_iter().collect();
        let mut least = Vec::new();
        for k in 1..=rooms.len() {
            let verdicts = subsets(&rooms).filter(|s| s.len() == k).map(|s| judge(self, &Fault::Lost(s)));
            match verdicts.map(|v| v.acting_where_it_goes_on()).min().flatten() {
                Some(clusters) => least.push(clusters),
                None => break,
            }
        }
        least
    }
}

impl PlacedCluster {
    /// Who leads before the fault: the highest priority, then the first.
    pub(super) fn first_master(&self) -> Option<usize> {
        self.best(|_| true)
    }

    /// The electable node that is first in the order among those that fit.
    pub(super) fn best(&self, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let electable = self.nodes.iter().enumerate().filter(|(i, n)| n.priority > 0 && fits(*i));
        electable.max_by_key(|(i, n)| (n.priority, core::cmp::Reverse(*i))).map(|(i, _)| i)
    }
}

/// All subsets, the empty one first; of at most [`MAX_ROOMS`] + 1 rooms.
pub fn subsets(rooms: &[RoomId]) -> impl Iterator<Item = BTreeSet<RoomId>> + '_ {
    (0u32..1 << rooms.len().min(MAX_ROOMS + 1)).map(|mask| {
        let of = rooms.iter().enumerate().filter(move |(i, _)| mask & (1 << i) != 0);
        of.map(|(_, room)| *room).collect()
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
