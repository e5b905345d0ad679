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

/// What was written for a moment ago: the request of each node, and when.
pub(super) type Rehearsals = BTreeMap<NodeId, (u64, Instant)>;

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
        let now = self.now;
        self.rehearsals.retain(|_, (_, at)| now - *at < REHEARSAL_INTERVAL);
        if let Some((last, _)) = self.rehearsals.get(&node) {
            // A repetition is answered with the first.
            return if *last == request { Ok(()) } else { Err(Discard::RateLimited) };
        }
        self.rehearsals.insert(node, (request, now));
        let put = Write::Put { table: StoreTable::Meta, key: META_REHEARSED, value: encode_u64(request) };
        let token = self.out.persist(vec![put]);
        self.disk.asked(token, self.now);
        self.when_durable(answer(Outcome::Done));
        Ok(())
    }
}
