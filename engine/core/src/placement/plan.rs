//! A placement that survives what is asked for, and spreads the masters evenly, also after each loss.

use super::{MAX_ROOMS, PlacedCluster, PlacedNode, Placement, subsets};
use duohuo_wire::ids::RoomId;
use std::collections::BTreeMap;

/// Why there is no such placement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// One room must be left.
    #[error(
        "{rooms} rooms cannot survive the loss of {survive}: expected at least {} rooms with nodes", survive + 1
    )]
    TooFewRooms {
        /// Rooms with nodes.
        rooms: usize,
        /// To be lost.
        survive: usize,
    },
    /// Sets of rooms are counted one by one.
    #[error("{0} rooms are more than {MAX_ROOMS}: plan for fewer, larger rooms")]
    TooManyRooms(usize),
    /// Names are letters.
    #[error("{0} clusters; expected 1 to 26")]
    Clusters(usize),
}

const PRIORITIES: [u8; 3] = [200, 150, 100];

/// So many clusters over so many rooms, whose clusters all go on whichever `survive` of these rooms are lost: survive + 1
/// nodes each, no two in one room. The authority has a room of its own, the one after the last.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(rooms: usize, survive: usize, clusters: usize) -> Result<Placement, PlanError> {
    if rooms > MAX_ROOMS {
        return Err(PlanError::TooManyRooms(rooms));
    }
    if survive >= rooms {
        return Err(PlanError::TooFewRooms { rooms, survive });
    }
    if !(1..=26).contains(&clusters) {
        return Err(PlanError::Clusters(clusters));
    }
    let number = |i: usize| RoomId(u16::try_from(i % rooms + 1).unwrap_or(u16::MAX));
    let mut rows: Vec<Vec<RoomId>> =
        (0..clusters).map(|c| (0..=survive).map(|n| number(c + n)).collect()).collect();
    improve(&mut rows, rooms, survive);
    Ok(placement(&rows, RoomId(u16::try_from(rooms + 1).unwrap_or(u16::MAX))))
}

/// Change one cluster's order of rooms at a time, while that makes the load after losses more even.
fn improve(rows: &mut [Vec<RoomId>], rooms: usize, survive: usize) {
    let all: Vec<RoomId> = (1..=rooms).filter_map(|r| u16::try_from(r).ok()).map(RoomId).collect();
    let mut best = load(rows, &all, survive);
    loop {
        let before = best;
        for c in 0..rows.len() {
            let Some(current) = rows.get(c).cloned() else { continue };
            let Some(first) = current.first().copied() else { continue };
            let mut chosen = current;
            for candidate in orders(first, &all, survive) {
                if let Some(row) = rows.get_mut(c) {
                    row.clone_from(&candidate);
                }
                let now = load(rows, &all, survive);
                if now < best {
                    best = now;
                    chosen = candidate;
                }
            }
            if let Some(row) = rows.get_mut(c) {
                *row = chosen;
            }
        }
        if best >= before {
            return;
        }
    }
}

/// The most that [`orders`] tries for one cluster.
const MOST_ORDERS: usize = 2_000;

/// Ways to place the other nodes of a cluster whose master stands in `first`.
fn orders(first: RoomId, all: &[RoomId], survive: usize) -> Vec<Vec<RoomId>> {
    let mut out = vec![vec![first]];
    for _ in 0..survive {
        let longer = out.iter().flat_map(|row| {
            all.iter().filter(|r| !row.contains(r)).map(|r| [row.as_slice(), &[*r]].concat())
        });
        out = longer.take(MOST_ORDERS).collect();
    }
    out
}

/// Over all losses of up to `survive` rooms: by how many masters the busiest room is above an even share, then the sum of
/// the squares.
fn load(rows: &[Vec<RoomId>], all: &[RoomId], survive: usize) -> (usize, usize) {
    let (mut above, mut squares) = (0, 0);
    for lost in subsets(all).filter(|s| s.len() <= survive) {
        let mut carried: BTreeMap<RoomId, usize> = BTreeMap::new();
        for row in rows {
            if let Some(room) = row.iter().find(|r| !lost.contains(r)) {
                *carried.entry(*room).or_default() += 1;
            }
        }
        let even = rows.len().div_ceil(all.len() - lost.len());
        above += carried.values().copied().max().unwrap_or(0).saturating_sub(even);
        squares += carried.values().map(|n| n * n).sum::<usize>();
    }
    (above, squares)
}

fn placement(rows: &[Vec<RoomId>], authority: RoomId) -> Placement {
    let clusters = ('A'..='Z').zip(rows).map(|(letter, rooms)| PlacedCluster {
        name: letter.to_string(),
        nodes: (1u8..)
            .zip(rooms)
            .map(|(n, room)| PlacedNode {
                name: format!("{letter}{n}"),
                room: *room,
                priority: PRIORITIES.get(usize::from(n) - 1).copied().unwrap_or(50),
            })
            .collect(),
    });
    Placement { authority, clusters: clusters.collect() }
}
