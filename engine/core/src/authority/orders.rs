//! What an operator orders (spec/behaviour.md 4.8): judged against the table, carried out as a command of it, answered
//! with what became of it.

use super::table::{At, Command, Conflict, EVERYWHERE};
use super::{Authority, Deadline, Effect};
use crate::discard::Discard;
use crate::event::Event;
use crate::io::StreamId;
use crate::links::Party;
use crate::time::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::order::{OrderKind, SignedOrder};
use duohuo_wire::packet::{
    DecisionReason, Fenced, ForcedSwitch, JournalQuery, Order, OrderAnswer, OrderOutcome, Outcome, Packet,
    Probe,
};
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::statement::{Row, SignedSwitch};

/// An order that waits: a switch for the incumbent to hand over, a force for whoever of the set may still be there. Soft:
/// an authority that restarts meanwhile has not carried it out.
pub(super) struct Pending {
    order: SignedOrder,
    /// Who takes over.
    node: NodeId,
    /// The row's when it was begun: a master of another epoch is not meant.
    epoch: Epoch,
    /// A force: what an answer of a member would carry.
    nonce: u64,
    asker: Asker,
}

/// Who is to be answered.
#[derive(Clone, Copy)]
struct Asker {
    stream: StreamId,
    request: u64,
    came_at: Instant,
}

impl Authority {
    pub(super) fn on_order(&mut self, stream: StreamId, packet: Order) -> Result<(), Discard> {
        let Order { request, order, .. } = packet;
        let asker = Asker { stream, request, came_at: self.now };
        if let Err(outcome) = self.judge(&order) {
            self.answer_order(asker, outcome);
            return Ok(());
        }
        match order.kind {
            OrderKind::Pause | OrderKind::Resume => {
                let at = At { epoch: Epoch(0), version: Version(0) };
                self.carry_out_order(asker, order, at, NodeId(0), Vec::new());
            }
            OrderKind::Unbar | OrderKind::Switch | OrderKind::Force => {
                let Some(row) = self.table.entry(order.cluster).map(|entry| entry.row.clone()) else {
                    self.answer_order(asker, OrderOutcome::Unregistered);
                    return Ok(());
                };
                self.on_order_for(asker, order, &row);
            }
        }
        Ok(())
    }

    /// An order that is about a row.
    fn on_order_for(&mut self, asker: Asker, order: SignedOrder, row: &Row) {
        if order.epoch != Epoch(0) && order.epoch != row.epoch {
            self.answer_order(asker, OrderOutcome::Stale);
            return;
        }
        match order.kind {
            OrderKind::Switch => match self.successor(&order, row) {
                Ok(node) => self.begin_switch(asker, order, row, node),
                Err(outcome) => self.answer_order(asker, outcome),
            },
            OrderKind::Force => self.begin_force(asker, order, row),
            _ => {
                let node = order.node;
                self.carry_out_order(asker, order, At::of(row), node, Vec::new());
            }
        }
    }

    /// What can be said of an order without a look at the row. In the order of spec/behaviour.md.
    fn judge(&self, order: &SignedOrder) -> Result<(), OrderOutcome> {
        let signed =
            VerifyingKey::from_bytes(&self.config.operator_key).is_ok_and(|operator| order.verify(&operator));
        if !signed {
            return Err(OrderOutcome::BadSignature);
        }
        if order.consortium != self.config.roster.consortium {
            return Err(OrderOutcome::WrongConsortium);
        }
        let everywhere = order.cluster == EVERYWHERE;
        let (may_be_everywhere, needs_node) = match order.kind {
            OrderKind::Pause | OrderKind::Resume => (true, Some(false)),
            OrderKind::Switch => (false, None),
            OrderKind::Unbar | OrderKind::Force => (false, Some(true)),
        };
        let names = needs_node.is_none_or(|needed| needed == (order.node != NodeId(0)));
        if order.who.is_empty() || order.why.is_empty() || (everywhere && !may_be_everywhere) || !names {
            return Err(OrderOutcome::Malformed);
        }
        if self.unix_seconds() >= order.expires {
            return Err(OrderOutcome::Expired);
        }
        if order.number <= self.table.orders() {
            return Err(OrderOutcome::Replayed);
        }
        let known = everywhere
            || self.config.roster.cluster(order.cluster).is_some_and(|cluster| {
                order.node == NodeId(0) || cluster.nodes.iter().any(|n| n.id == order.node)
            });
        if !known {
            return Err(OrderOutcome::Unknown);
        }
        if self.is_starting() {
            return Err(OrderOutcome::Starting);
        }
        if self.soft.get(&order.cluster).is_some_and(|soft| soft.pending.is_some()) {
            return Err(OrderOutcome::Busy);
        }
        Ok(())
    }

    fn is_heard(&self, node: NodeId) -> bool {
        self.links.stream_of(Party::Node(node)).is_some()
    }

    /// Who takes over: the node named, or the first that can, by priority and then by number.
    fn successor(&self, order: &SignedOrder, row: &Row) -> Result<NodeId, OrderOutcome> {
        let may = |node: NodeId| {
            if node == row.master {
                Err(OrderOutcome::IsMaster)
            } else if row.barred.contains(&node) {
                Err(OrderOutcome::Barred)
            } else if !row.in_sync.contains(&node) {
                Err(OrderOutcome::NotInSync)
            } else if !self.is_heard(node) {
                Err(OrderOutcome::Unheard)
            } else {
                Ok(node)
            }
        };
        if order.node != NodeId(0) {
            return may(order.node);
        }
        let nodes = self.config.roster.cluster(order.cluster).map_or(&[][..], |cluster| &cluster.nodes);
        nodes
            .iter()
            .filter(|n| n.priority > 0 && may(n.id).is_ok())
            .min_by_key(|n| (core::cmp::Reverse(n.priority), n.id))
            .map(|n| n.id)
            .ok_or(OrderOutcome::NobodyElse)
    }

    /// Ask the incumbent to finish and resign; who is not there need not be asked.
    fn begin_switch(&mut self, asker: Asker, order: SignedOrder, row: &Row, node: NodeId) {
        let (cluster, epoch, master) = (row.cluster, row.epoch, row.master);
        if row.unfenced {
            self.answer_order(asker, OrderOutcome::Unfenced);
            return;
        }
        self.soft.get_or_default(cluster).pending =
            Some(Box::new(Pending { order, node, epoch, nonce: 0, asker }));
        if !self.is_heard(master) || row.barred.contains(&master) {
            self.finish_switch(cluster);
            return;
        }
        let key = &self.config.signing_key;
        let order = SignedSwitch::sign(cluster, epoch, master, Height(0), false, key);
        let packet = Packet::from(ForcedSwitch { order, ..Default::default() });
        self.links.send_stream(Party::Node(master), &packet, &mut self.out);
        self.deadlines.set(Deadline::Order(cluster), self.now + self.config.timers.sync_interval);
    }

    /// While somebody who holds all that was said is there, nothing need be forgotten (R5): each member with a stream is
    /// probed, since a stream of one that was cut off stands for long.
    fn begin_force(&mut self, asker: Asker, order: SignedOrder, row: &Row) {
        let (cluster, epoch, node) = (row.cluster, row.epoch, order.node);
        let members = row.in_sync.iter().copied().filter(|n| !row.barred.contains(n));
        let asked: Vec<NodeId> = members.filter(|n| self.is_heard(*n)).collect();
        if asked.is_empty() || row.in_sync.contains(&node) {
            self.carry_out_order(asker, order, At::of(row), node, Vec::new());
            return;
        }
        let nonce = self.random.u64() | 1;
        self.soft.get_or_default(cluster).pending =
            Some(Box::new(Pending { order, node, epoch, nonce, asker }));
        for member in asked {
            let probe = Packet::from(Probe { nonce, epoch, ..Default::default() });
            self.links.send_datagram(Party::Node(member), &probe, &mut self.out);
        }
        self.deadlines.set(Deadline::Order(cluster), self.now + self.config.timers.dead_interval);
    }

    /// A member of the set answered: it is not lost. `false`: nobody waited for this answer.
    pub(super) fn is_answer_to_force(&mut self, cluster: ClusterId, node: NodeId, nonce: u64) -> bool {
        let in_sync = self.table.entry(cluster).is_some_and(|e| e.row.in_sync.contains(&node));
        let soft = self.soft.get(&cluster).and_then(|soft| soft.pending.as_ref());
        let awaited = soft.is_some_and(|p| p.order.kind == OrderKind::Force && p.nonce == nonce);
        if awaited && in_sync {
            self.give_up_order(cluster, OrderOutcome::SetAlive);
        }
        awaited
    }

    /// The time is over.
    pub(super) fn order_is_due(&mut self, cluster: ClusterId) {
        if self.finish_switch(cluster) {
            return;
        }
        let Some(pending) = self.soft.get_mut(&cluster).and_then(|soft| soft.pending.take()) else { return };
        let Some(row) = self.table.entry(cluster).map(|entry| entry.row.clone()) else { return };
        let Pending { order, node, epoch, asker, .. } = *pending;
        if row.epoch == epoch {
            self.carry_out_order(asker, order, At::of(&row), node, Vec::new());
        } else {
            self.answer_order(asker, OrderOutcome::Stale);
        }
    }

    /// The incumbent resigned, is gone, or took too long: nothing that it may still do contradicts its successor.
    /// `false`: there was nothing to finish.
    pub(super) fn finish_switch(&mut self, cluster: ClusterId) -> bool {
        let is_switch = |pending: &mut Box<Pending>| pending.order.kind == OrderKind::Switch;
        let soft = self.soft.get_mut(&cluster);
        let Some(pending) = soft.and_then(|soft| soft.pending.take_if(is_switch)) else {
            return false;
        };
        self.deadlines.clear(Deadline::Order(cluster));
        let Pending { order, node, epoch, asker, .. } = *pending;
        let Some(row) = self.table.entry(cluster).map(|entry| entry.row.clone()) else {
            return false;
        };
        if row.epoch != epoch {
            self.answer_order(asker, OrderOutcome::Stale);
            return false;
        }
        let in_sync = row.in_sync.iter().copied().filter(|n| !row.barred.contains(n)).collect();
        self.carry_out_order(asker, order, At::of(&row), node, in_sync)
    }

    /// It is not carried out after all.
    pub(super) fn give_up_order(&mut self, cluster: ClusterId, outcome: OrderOutcome) {
        if let Some(pending) = self.soft.get_mut(&cluster).and_then(|soft| soft.pending.take()) {
            self.deadlines.clear(Deadline::Order(cluster));
            self.answer_order(pending.asker, outcome);
        }
    }

    /// The order becomes a command of the table, with who and why in it; all hear of it when it is durable.
    fn carry_out_order(
        &mut self,
        asker: Asker,
        order: SignedOrder,
        at: At,
        node: NodeId,
        in_sync: Vec<NodeId>,
    ) -> bool {
        let (cluster, kind, number) = (order.cluster, order.kind, order.number);
        let height = self.height_of_the_chain();
        let command = Command::Order { order: Box::new(order), at, node, in_sync, height };
        let mut effects = vec![
            Effect::OrderAnswer {
                stream: asker.stream,
                request: asker.request,
                outcome: OrderOutcome::Done,
                number,
                entry: self.table.version() + 1,
            },
            Effect::Event(Event::Ordered { cluster, node, kind, number }),
        ];
        let grants = matches!(kind, OrderKind::Switch | OrderKind::Force);
        if grants {
            effects.push(Effect::Event(Event::Granted { cluster, epoch: at.epoch.next(), node }));
        }
        let rows = self.table.entries().map(|(id, _)| *id);
        effects.extend(rows.filter(|id| cluster == EVERYWHERE || cluster == *id).map(Effect::Notify));
        match self.decide(&command, DecisionReason::Order, effects) {
            Ok(()) => {
                if grants {
                    self.has_granted(cluster, asker.came_at);
                }
                true
            }
            Err(conflict) => {
                self.answer_order(asker, why_not(conflict));
                false
            }
        }
    }

    /// The height that f + 1 clusters' masters say they committed: one of them is honest.
    fn height_of_the_chain(&self) -> Height {
        let mut heights: Vec<Height> = self.soft.ascending().map(|(_, soft)| soft.height).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(self.table.bearable()).copied().unwrap_or_default()
    }

    fn answer_order(&mut self, asker: Asker, outcome: OrderOutcome) {
        let number = self.table.orders();
        let Asker { stream, request, .. } = asker;
        self.when_durable(Effect::OrderAnswer { stream, request, outcome, number, entry: 0 });
    }

    pub(super) fn send_order_answer(
        &mut self,
        stream: StreamId,
        request: u64,
        outcome: OrderOutcome,
        number: u64,
        table_version: u64,
    ) {
        let answer = OrderAnswer { request, outcome, number, table_version, ..Default::default() };
        self.links.send_on(stream, &Packet::from(answer), &mut self.out);
    }

    pub(super) fn on_journal_query(&mut self, stream: StreamId, query: &JournalQuery) {
        let mut page = self.journal.page(query.request, query.from, &self.config.signing_key);
        self.takeovers.add_to(&mut page);
        self.when_durable(Effect::Journal { stream, page: Box::new(page) });
    }

    /// Rule 17: the forced master's fence stands.
    pub(super) fn on_fenced(&mut self, node: NodeId, fenced: &Fenced) -> Result<(), Discard> {
        let cluster = self.cluster_of(node, fenced.cluster)?;
        let row = &self.table.entry(cluster).ok_or(Discard::Unexpected)?.row;
        let (epoch, master) = (row.epoch, row.master);
        let answer =
            |outcome| Effect::Answer { to: node, request: fenced.request, outcome, cluster, stream: false };
        if master != node {
            self.when_durable(answer(Outcome::NotMaster));
            return Ok(());
        }
        let at = At { epoch: fenced.epoch, version: fenced.version };
        let effects = vec![
            answer(Outcome::Done),
            Effect::Event(Event::Fenced { cluster, node, epoch, height: fenced.height }),
            Effect::Notify(cluster),
        ];
        let command = Command::Fenced { cluster, at, height: fenced.height };
        match self.decide(&command, DecisionReason::None, effects) {
            Ok(()) => {}
            Err(Conflict::Unchanged) => self.when_durable(answer(Outcome::Done)),
            Err(_) => self.when_durable(answer(Outcome::Stale)),
        }
        Ok(())
    }
}

const fn why_not(conflict: Conflict) -> OrderOutcome {
    match conflict {
        Conflict::Unregistered => OrderOutcome::Unregistered,
        Conflict::NotInSync | Conflict::BadSet => OrderOutcome::NotInSync,
        Conflict::Barred => OrderOutcome::Barred,
        Conflict::IsMaster => OrderOutcome::IsMaster,
        Conflict::AlreadyInSync => OrderOutcome::InSync,
        Conflict::Replayed => OrderOutcome::Replayed,
        Conflict::Unchanged => OrderOutcome::Unchanged,
        Conflict::NotBarred => OrderOutcome::NotBarred,
        Conflict::Unfenced => OrderOutcome::Unfenced,
        Conflict::TooManyForced => OrderOutcome::TooManyForced,
        Conflict::Stale | Conflict::AlreadyRegistered | Conflict::LastMember | Conflict::Exhausted => {
            OrderOutcome::Stale
        }
    }
}
