//! What clients may ask: to commit a transaction, to see the state, a block, the status or who is master, to be told of
//! blocks and of events.

use super::{Duty, Node};
use crate::chain::{SubmitError, TransactionId};
use crate::discard::Discard;
use crate::io::StreamId;
use crate::links::Party;
use crate::time::Duration;
use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::packet::{
    Notice, Packet, Query, QueryScope, StateAnswer, StatusAnswer, Submit, SubmitAnswer, SubmitVerdict,
    Subscribe,
};
use duohuo_wire::rehearsal::{self, Rehearsed};
use duohuo_wire::status::{NeighbourStatus, StatusReport};
use duohuo_wire::tlv::Extensions;

/// Clients that may wait for one transaction: more are told to try later.
const WAITERS_PER_TRANSACTION: usize = 8;

/// Blocks that a client wants as they are committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscription {
    request: u64,
    next: Height,
    /// How many more it takes before it asks again.
    left: u32,
    is_reading: bool,
}

impl Node {
    pub(super) fn on_client(&mut self, stream: StreamId, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::Submit(submit) => {
                self.on_submit(stream, &submit);
                Ok(())
            }
            Packet::StatusQuery(query) if rehearsal::is_asked(&query.extensions) => {
                self.rehearse(stream, query.request);
                Ok(())
            }
            Packet::StatusQuery(query) => {
                self.answer_status(stream, query.request, None);
                Ok(())
            }
            Packet::StateQuery(query) => {
                let answer = self.chain.query(&query.question);
                let answer = StateAnswer {
                    request: query.request,
                    known: answer.is_some(),
                    height: self.chain.status().height,
                    answer: answer.unwrap_or_default(),
                    ..Default::default()
                };
                self.links.send_on(stream, &Packet::from(answer), &mut self.out);
                Ok(())
            }
            Packet::BlockQuery(query) => {
                self.serve_block(stream, query.request, query.height);
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                let Subscribe { request, from, count, .. } = subscribe;
                let next = from.max(Height(1));
                let subscription = Subscription { request, next, left: count, is_reading: false };
                self.subscriptions.insert(stream, subscription);
                self.run_subscriptions();
                Ok(())
            }
            Packet::Query(query) => {
                self.answer_query(stream, &query);
                Ok(())
            }
            Packet::Watch(watch) => {
                self.watchers.add(stream, watch.kinds);
                Ok(())
            }
            _ => Err(Discard::Forbidden),
        }
    }

    /// A report, and what a rehearsal that was asked for came to.
    pub(super) fn answer_status(&mut self, stream: StreamId, request: u64, rehearsed: Option<&Rehearsed>) {
        let report = crate::watch::encode_report(&self.status());
        let mut extensions = Extensions::new();
        if let Some(times) = self.disk.times() {
            times.put(&mut extensions);
        }
        self.links.spoken().put(&mut extensions);
        if let Some(rehearsed) = rehearsed {
            rehearsed.put_in(&mut extensions);
        }
        let answer = StatusAnswer { request, report, extensions };
        self.links.send_on(stream, &Packet::from(answer), &mut self.out);
    }

    /// Who is master, as the authority signed it: any node may tell.
    fn answer_query(&mut self, stream: StreamId, query: &Query) {
        let rows = self.rows.values().filter(|signed| {
            let row = &signed.row;
            match query.scope {
                QueryScope::Changed => row.table_version > query.since,
                QueryScope::Cluster | QueryScope::History => {
                    query.cluster == ClusterId(0) || query.cluster == row.cluster
                }
            }
        });
        let mut notices: Vec<Packet> = rows
            .map(|signed| Notice { request: query.request, ..super::learning::notice(signed.clone()) }.into())
            .collect();
        if query.scope == QueryScope::History {
            // The newest rows come last: who reads them knows that all of the history is there.
            notices = self.lineage.packets().into_iter().chain(notices).collect();
        }
        for packet in notices {
            self.links.send_on(stream, &packet, &mut self.out);
        }
    }

    /// Asks the store for what subscribers lack.
    pub(super) fn run_subscriptions(&mut self) {
        let height = self.height;
        let due: Vec<(StreamId, Height)> = self
            .subscriptions
            .iter()
            .filter(|(_, s)| !s.is_reading && s.left > 0 && s.next <= height)
            .map(|(stream, s)| (*stream, s.next))
            .collect();
        for (stream, next) in due {
            if let Some(subscription) = self.subscriptions.get_mut(&stream) {
                subscription.is_reading = true;
            }
            // No room: the next block tries again.
            if !self.serve_next(stream, next)
                && let Some(subscription) = self.subscriptions.get_mut(&stream)
            {
                subscription.is_reading = false;
            }
        }
    }

    /// The store gave blocks for a subscriber.
    pub(super) fn feed_subscriber(&mut self, stream: StreamId, from: Height, blocks: Vec<(Height, Bytes)>) {
        let lowest = self.snapshots.lowest();
        let Some(subscription) = self.subscriptions.get_mut(&stream).filter(|s| s.next == from) else {
            return; // it asked anew meanwhile
        };
        subscription.is_reading = false;
        let request = subscription.request;
        let is_empty = blocks.is_empty();
        let mut sent = Vec::new();
        for (height, block) in blocks.into_iter().take(subscription.left as usize) {
            subscription.left -= 1;
            subscription.next = height.next();
            sent.push((height, block));
        }
        if is_empty && from < lowest {
            // Pruned: it is told so, and hears no more.
            self.subscriptions.remove(&stream);
            sent.push((from, Bytes::new()));
        }
        for (height, block) in sent {
            self.send_block(stream, request, height, block);
        }
        if !is_empty {
            self.run_subscriptions();
        }
    }

    fn on_submit(&mut self, stream: StreamId, submit: &Submit) {
        let request = submit.request;
        if !matches!(self.duty, Duty::Lead(_)) {
            self.answer_submit(stream, request, SubmitVerdict::NotMaster, Height(0));
            return;
        }
        let refusal = match self.chain.submit(self.now, &submit.transaction) {
            Ok(transaction) => {
                let waiting = self.waiting.entry(transaction).or_default();
                if waiting.len() < WAITERS_PER_TRANSACTION {
                    waiting.push((stream, request));
                    None
                } else {
                    Some((SubmitVerdict::TryLater, Height(0)))
                }
            }
            Err(SubmitError::Malformed) => Some((SubmitVerdict::Malformed, Height(0))),
            Err(SubmitError::PoolFull) => Some((SubmitVerdict::TryLater, Height(0))),
            Err(SubmitError::Expired) => Some((SubmitVerdict::Expired, Height(0))),
            Err(SubmitError::AlreadyCommitted(height)) => Some((SubmitVerdict::Committed, height)),
        };
        if let Some((verdict, height)) = refusal {
            self.answer_submit(stream, request, verdict, height);
        }
        self.run_chain();
    }

    fn answer_submit(&mut self, stream: StreamId, request: u64, verdict: SubmitVerdict, height: Height) {
        let master = self.master_address();
        let answer = SubmitAnswer { request, verdict, height, master, ..Default::default() };
        self.links.send_on(stream, &Packet::from(answer), &mut self.out);
    }

    fn master_address(&self) -> Option<SocketAddr> {
        let master = self.own_row()?.master;
        self.config.roster.node(master).map(|(_, n)| n.address)
    }

    pub(super) fn answer_clients(
        &mut self,
        transaction: TransactionId,
        verdict: SubmitVerdict,
        height: Height,
    ) {
        for (stream, request) in self.waiting.remove(&transaction).unwrap_or_default() {
            self.answer_submit(stream, request, verdict, height);
        }
    }

    pub(super) fn refuse_waiting_clients(&mut self) {
        for (stream, request) in core::mem::take(&mut self.waiting).into_values().flatten() {
            self.answer_submit(stream, request, SubmitVerdict::NotMaster, Height(0));
        }
    }

    pub(super) fn forget_client(&mut self, stream: StreamId) {
        self.subscriptions.remove(&stream);
        self.waiting.retain(|_, waiting| {
            waiting.retain(|(s, _)| *s != stream);
            !waiting.is_empty()
        });
    }

    /// What this node knows.
    #[must_use]
    pub fn status(&self) -> StatusReport {
        let row = self.own_row();
        let chain = self.chain.status();
        let age = |at| u64::try_from((self.now - at).as_micros()).unwrap_or(u64::MAX);
        let neighbours = self
            .neighbours
            .iter()
            .map(|(node, n)| NeighbourStatus {
                node: *node,
                alive: n.is_alive(),
                role: n.role,
                priority: n.priority,
                height: n.height,
                age_us: n.heard_at.map_or(u64::MAX, age),
            })
            .collect();
        let uptime: Duration = self.started_at.map_or(Duration::ZERO, |at| self.now - at);
        StatusReport {
            role: self.role(),
            node: self.me,
            cluster: self.cluster,
            epoch: row.map_or(Epoch(0), |r| r.epoch),
            version: row.map_or(Version(0), |r| r.version),
            master: row.map_or(NodeId(0), |r| r.master),
            in_sync: row.map(|r| r.in_sync.clone()).unwrap_or_default(),
            barred: row.map(|r| r.barred.clone()).unwrap_or_default(),
            height: chain.height,
            state_hash: chain.state_hash,
            pool: u32::try_from(chain.pool).unwrap_or(u32::MAX),
            neighbours,
            discards: self.discards.iter().map(|(label, n)| (label.to_owned(), n)).collect(),
            authority_up: self.links.stream_of(Party::Authority).is_some(),
            standby: self.claims.standby.unwrap_or(NodeId(0)),
            halted: matches!(self.duty, Duty::Halted),
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            rows: Vec::new(),
            conflicts: self.equivocations,
        }
    }
}
