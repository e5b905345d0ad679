//! Claims that are rehearsed (spec/behaviour.md 6.2): they go the way of a claim up to the write, and change nothing.

use super::{Authority, Effect};
use crate::config::REHEARSAL_INTERVAL;
use crate::discard::Discard;
use crate::io::{Table as StoreTable, Write};
use crate::store::{META_REHEARSED, encode_u64};
use crate::time::Instant;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Outcome;
use duohuo_wire::statement::Row;
use std::collections::BTreeMap;

/// Nodes that are helped within one interval: more would have the disk's time from claims.
const MOST: usize = 32;

/// What was written for a moment ago: the request of each node, and when.
#[derive(Default)]
pub(super) struct Rehearsals(BTreeMap<NodeId, (u64, Instant)>);

impl Rehearsals {
    /// Whether this is written for; a repetition is answered with the first.
    fn admit(&mut self, node: NodeId, request: u64, now: Instant) -> Result<bool, Discard> {
        self.0.retain(|_, (_, at)| now - *at < REHEARSAL_INTERVAL);
        match self.0.get(&node) {
            Some((last, _)) if *last == request => Ok(false),
            None if self.0.len() < MOST => {
                self.0.insert(node, (request, now));
                Ok(true)
            }
            _ => Err(Discard::RateLimited),
        }
    }
}

impl Authority {
    /// What a claim would meet is answered at once; if nothing stands against it, after a write as a grant's, of a value that nobody
    /// reads.
    pub(super) fn rehearse(&mut self, row: &Row, node: NodeId, request: u64) -> Result<(), Discard> {
        let cluster = row.cluster;
        let answer = |outcome| Effect::Answer { to: node, request, outcome, cluster, stream: false };
        if row.master == node {
            self.when_durable(answer(Outcome::Stale));
            return Ok(());
        }
        if let Some(outcome) = self.stands_against(row, node) {
            self.when_durable(answer(outcome));
            return Ok(());
        }
        if !self.rehearsals.admit(node, request, self.now)? {
            return Ok(());
        }
        let put = Write::Put { table: StoreTable::Meta, key: META_REHEARSED, value: encode_u64(request) };
        let token = self.out.persist(vec![put]);
        self.disk.asked(token, self.now);
        self.when_durable(answer(Outcome::Done));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Duration;

    /// B-DRL-4: by node, and in all.
    #[test]
    fn b_drl_4_no_more_than_thirty_two_within_half_a_second() {
        let mut rehearsals = Rehearsals::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        for node in 1..=40 {
            let expected = if node <= 32 { Ok(true) } else { Err(Discard::RateLimited) };
            assert_eq!(rehearsals.admit(NodeId(node), 7, at(u64::from(node))), expected, "{node}");
        }
        assert_eq!(rehearsals.admit(NodeId(1), 7, at(500)), Ok(false), "a repetition");
        assert_eq!(rehearsals.admit(NodeId(1), 8, at(500)), Err(Discard::RateLimited));
        // The first has had its half second; who was dropped is helped when it asks again.
        assert_eq!(rehearsals.admit(NodeId(40), 7, at(501)), Ok(true));
        assert_eq!(rehearsals.admit(NodeId(39), 7, at(501)), Err(Discard::RateLimited));
        assert_eq!(rehearsals.admit(NodeId(1), 8, at(502)), Ok(true));
    }
}
