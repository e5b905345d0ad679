//! What clients may ask: to commit a transaction, to see the status, to watch.

use super::{Duty, Node};
use crate::chain::{SubmitError, TransactionId};
use crate::discard::Discard;
use crate::io::StreamId;
use crate::links::Party;
use crate::time::Duration;
use core::net::SocketAddr;
use duohuo_wire::ids::{Epoch, Height, NodeId, Version};
use duohuo_wire::packet::{Packet, StatusAnswer, Submit, SubmitAnswer, SubmitVerdict};
use duohuo_wire::status::{NeighbourStatus, StatusReport};

/// Clients that may wait for one transaction: more are told to try later.
const WAITERS_PER_TRANSACTION: usize = 8;

impl Node {
    pub(super) fn on_client(&mut self, stream: StreamId, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::Submit(submit) => {
                self.on_submit(stream, &submit);
                Ok(())
            }
            Packet::StatusQuery(query) => {
                let report = crate::watch::encode_report(&self.status());
                let answer = StatusAnswer { request: query.request, report, ..Default::default() };
                self.links.send_on(stream, &Packet::from(answer), &mut self.out);
                Ok(())
            }
            Packet::Watch(watch) => {
                self.watchers.add(stream, watch.kinds);
                Ok(())
            }
            _ => Err(Discard::Forbidden),
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
            conflicts: 0,
        }
    }
}
