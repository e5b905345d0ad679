//! Claims (the patent's master update, AUTH-5), grants and refusals (design R4, R6), and the ageing of masters.

use super::table::{At, Command, Conflict};
use super::{Authority, Deadline, Effect};
use crate::discard::Discard;
use crate::event::Event;
use crate::links::Party;
use crate::offences::Offence;
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{
    Change, ChangeKind, ClaimReason, DecisionReason, MasterKeepalive, MasterKeepaliveAnswer, OrderOutcome,
    Outcome, Packet, Probe, ProbeAnswer, Role, Update,
};
use duohuo_wire::rehearsal;
use duohuo_wire::statement::Row;
use duohuo_wire::takeover::Takeover;

/// Probes sent to an incumbent before it counts as silent.
const PROBES: u32 = 3;
/// So many switches of one cluster inside the window, and an operator is asked to look.
const ASK_OPERATOR: u32 = 3;
/// Damping: so many switches of one cluster inside the window are free; then each further one waits.
const FREE_SWITCHES: usize = 5;
const SWITCH_WINDOW: Duration = Duration::from_secs(10);
/// First hold-down; doubled with each further switch in the window.
const HOLD_DOWN_FIRST: Duration = Duration::from_millis(200);

/// A claim whose incumbent is being asked (R6: "it asks it, on the spot").
pub(super) struct Inquiry {
    claimant: NodeId,
    came_at: Instant,
    request: u64,
    reason: ClaimReason,
    alive: Vec<NodeId>,
    at: At,
    nonce: u64,
    probes_sent: u32,
    probed_at: Instant,
}

/// Who claims, and why.
#[derive(Clone, Copy)]
struct Claim {
    node: NodeId,
    request: u64,
    reason: ClaimReason,
    came_at: Instant,
}

impl Inquiry {
    const fn claim(&self) -> Claim {
        Claim { node: self.claimant, request: self.request, reason: self.reason, came_at: self.came_at }
    }
}

/// A claim's reason, as the journal tells it.
const fn reason_of(reason: ClaimReason) -> DecisionReason {
    match reason {
        ClaimReason::Suspicion => DecisionReason::Suspicion,
        ClaimReason::StreamClosed => DecisionReason::StreamClosed,
        ClaimReason::Forced => DecisionReason::Forced,
        ClaimReason::Vacant => DecisionReason::Vacant,
        ClaimReason::Restart => DecisionReason::Restart,
    }
}

impl Authority {
    /// A claim: (epoch, version) from the newest row the claimant knows, its sealed cluster ID, and whom it hears.
    pub(super) fn on_update(&mut self, node: NodeId, update: Update) -> Result<(), Discard> {
        let cluster = self.cluster_of(node, update.cluster)?;
        let answer =
            |outcome| Effect::Answer { to: node, request: update.request, outcome, cluster, stream: false };
        if !self.sealed_id_holds(cluster, node, &update.sealed_id) {
            self.offended(node, Offence::BadSealedIds);
            self.when_durable(answer(Outcome::BadSealedId));
            return Ok(());
        }
        let Some(entry) = self.table.entry(cluster) else {
            return Err(Discard::Unexpected);
        };
        let row = entry.row.clone();
        if update.epoch == Epoch(0) && rehearsal::nonce_of(&update.extensions).is_some() {
            return self.rehearse(&row, node, update.request);
        }
        let at = At { epoch: update.epoch, version: update.version };
        let refusal = if at == At::of(&row) { self.stands_against(&row, node) } else { Some(Outcome::Stale) };
        if let Some(outcome) = refusal {
            if matches!(outcome, Outcome::NotInSync | Outcome::Barred) {
                self.offended(node, Offence::ClaimsInVain);
            }
            self.when_durable(answer(outcome));
            return Ok(());
        }
        let gone = row.master == node
            || row.barred.contains(&row.master)
            || self.soft.get(&cluster).is_some_and(|s| s.resigned);
        if gone {
            let claim = Claim { node, request: update.request, reason: update.reason, came_at: self.now };
            self.grant(cluster, claim, &update.alive, at);
            return Ok(());
        }
        self.inquire(cluster, node, update, at);
        Ok(())
    }

    /// What stands against granting a cluster to a node that knows its row (4.3, checks 5 to 9).
    pub(super) fn stands_against(&self, row: &Row, node: NodeId) -> Option<Outcome> {
        let cluster = row.cluster;
        if !row.in_sync.contains(&node) {
            Some(Outcome::NotInSync)
        } else if row.barred.contains(&node) {
            Some(Outcome::Barred)
        } else if self.is_starting() {
            Some(Outcome::Starting)
        } else if row.master != node && self.table.is_paused(cluster) {
            Some(Outcome::Paused)
        } else if self.links.stream_of(Party::Node(row.master)).is_some() && self.is_held_down(cluster) {
            Some(Outcome::HoldDown)
        } else {
            None
        }
    }

    fn inquire(&mut self, cluster: ClusterId, claimant: NodeId, update: Update, at: At) {
        let soft = self.soft.get_or_default(cluster);
        if let Some(inquiry) = &mut soft.inquiry
            && inquiry.at == at
        {
            // One at a time. The same claimant again (a repetition) only renews what it hears.
            if inquiry.claimant == claimant {
                inquiry.request = update.request;
                inquiry.reason = update.reason;
                inquiry.alive = update.alive;
            }
            return;
        }
        let nonce = self.random.u64();
        soft.inquiry = Some(Box::new(Inquiry {
            claimant,
            came_at: self.now,
            request: update.request,
            reason: update.reason,
            alive: update.alive,
            at,
            nonce,
            probes_sent: 0,
            probed_at: self.now,
        }));
        self.continue_inquiry(cluster);
    }

    /// The next probe, or the verdict.
    pub(super) fn continue_inquiry(&mut self, cluster: ClusterId) {
        let Some(entry) = self.table.entry(cluster) else {
            return;
        };
        let (master, epoch, at) = (entry.row.master, entry.row.epoch, At::of(&entry.row));
        let Some(soft) = self.soft.get_mut(&cluster) else {
            return;
        };
        let Some(inquiry) = &mut soft.inquiry else {
            return;
        };
        if inquiry.at != at {
            soft.inquiry = None;
            return;
        }
        // A closed stream, or an entry that aged out, and an unanswered probe say the same: one is enough then.
        let heard = soft.present && self.links.stream_of(Party::Node(master)).is_some();
        let probes = if heard { PROBES } else { 1 };
        if inquiry.probes_sent < probes {
            inquiry.probes_sent += 1;
            inquiry.probed_at = self.now;
            let probe = Packet::from(Probe { nonce: inquiry.nonce, epoch, ..Default::default() });
            self.links.send_datagram(Party::Node(master), &probe, &mut self.out);
            // A master that is late as a rule, its stream open, is given time to answer the last one.
            let patient = heard && inquiry.probes_sent == probes;
            let bound = self.config.timers.dead_interval;
            let margin = if patient { soft.lateness.margin(bound) } else { Duration::ZERO };
            let due = self.now + self.config.timers.probe_interval + margin;
            self.deadlines.set(Deadline::Inquiry(cluster), due);
            return;
        }
        if let Some(i) = soft.inquiry.take() {
            self.grant(cluster, i.claim(), &i.alive, i.at);
        }
    }

    /// The incumbent answered: it is heard, unless it says itself that it has given up the epoch.
    pub(super) fn on_probe_answer(&mut self, node: NodeId, answer: &ProbeAnswer) -> Result<(), Discard> {
        let cluster = *self.home.get(&node).ok_or(Discard::UnknownKey)?;
        if self.is_answer_to_force(cluster, node, answer.nonce) {
            return Ok(());
        }
        let row = &self.table.entry(cluster).ok_or(Discard::Unexpected)?.row;
        let (epoch, master) = (row.epoch, row.master);
        let soft = self.soft.get_mut(&cluster).ok_or(Discard::Unexpected)?;
        let awaited = soft.inquiry.as_ref().is_some_and(|i| i.nonce == answer.nonce) && master == node;
        if !awaited {
            return Err(Discard::Unexpected);
        }
        let Some(i) = soft.inquiry.take() else {
            return Err(Discard::Unexpected);
        };
        self.deadlines.clear(Deadline::Inquiry(cluster));
        // Promised the epoch but not acting in it: a restart ended the role (R3). Not yet promised: on its way.
        let gave_up = answer.role != Role::Master && answer.epoch >= epoch;
        if gave_up {
            self.grant(cluster, i.claim(), &i.alive, i.at);
            return Ok(());
        }
        let outcome = Outcome::IncumbentHeard;
        self.offended(i.claimant, Offence::ClaimsInVain);
        self.when_durable(Effect::Answer {
            to: i.claimant,
            request: i.request,
            outcome,
            cluster,
            stream: false,
        });
        if answer.epoch < epoch {
            // It does not know of its own grant: tell it again.
            let outcome = Outcome::Notice;
            self.when_durable(Effect::Answer { to: master, request: 0, outcome, cluster, stream: false });
        }
        Ok(())
    }

    /// R4: epoch + 1 to a member, with those members that it hears.
    fn grant(&mut self, cluster: ClusterId, claim: Claim, alive: &[NodeId], at: At) {
        let Claim { node, request, reason, came_at } = claim;
        // Who is being switched by order has gone: the order says who is next.
        if self.finish_switch(cluster) {
            let outcome = Outcome::Stale;
            self.when_durable(Effect::Answer { to: node, request, outcome, cluster, stream: false });
            return;
        }
        let Some(entry) = self.table.entry(cluster) else {
            return;
        };
        let row = &entry.row;
        let epoch = row.epoch.next();
        let in_sync = row
            .in_sync
            .iter()
            .copied()
            .filter(|n| *n == node || (alive.contains(n) && !row.barred.contains(n)))
            .collect();
        let command = Command::Grant { cluster, at, node, in_sync };
        let outcome = Outcome::Done;
        let effects = vec![
            Effect::Answer { to: node, request, outcome, cluster, stream: false },
            Effect::Event(Event::Granted { cluster, epoch, node }),
            Effect::Notify(cluster),
        ];
        if self.decide(&command, reason_of(reason), effects).is_err() {
            // Raced with another decision: the row tells.
            let outcome = Outcome::Stale;
            self.when_durable(Effect::Answer { to: node, request, outcome, cluster, stream: false });
            return;
        }
        self.has_granted(cluster, came_at);
    }

    /// The master's entry begins anew; what was under way about the one before is void. `asked_at`: when the claim or
    /// the order came.
    pub(super) fn has_granted(&mut self, cluster: ClusterId, asked_at: Instant) {
        self.begin_takeover(cluster, asked_at);
        self.give_up_order(cluster, OrderOutcome::Stale);
        let soft = self.soft.get_or_default(cluster);
        soft.inquiry = None;
        soft.resigned = false;
        soft.present = true;
        soft.heard_at = Some(self.now);
        soft.kept_alive_at = None;
        soft.lateness.excuse();
        soft.switched_at.retain(|t| self.now - *t < SWITCH_WINDOW);
        soft.switched_at.push(self.now);
        let switches = u32::try_from(soft.switched_at.len()).unwrap_or(u32::MAX);
        self.deadlines.clear(Deadline::Inquiry(cluster));
        self.ages_after(cluster, self.age());
        if switches >= ASK_OPERATOR {
            self.event(Event::Unstable { cluster, switches });
        }
    }

    /// Damping: a cluster that changes its master again and again must wait, unless the master's process is gone.
    fn is_held_down(&self, cluster: ClusterId) -> bool {
        let Some(soft) = self.soft.get(&cluster) else {
            return false;
        };
        let recent: Vec<Instant> =
            soft.switched_at.iter().copied().filter(|t| self.now - *t < SWITCH_WINDOW).collect();
        let surplus = recent.len().saturating_sub(FREE_SWITCHES);
        let Some(last) = recent.last().filter(|_| recent.len() >= FREE_SWITCHES) else {
            return false;
        };
        let doublings = u32::try_from(surplus.min(5)).unwrap_or(5);
        self.now < *last + HOLD_DOWN_FIRST * 2u32.pow(doublings)
    }

    /// A change of the in-sync set (R5), or a resignation.
    pub(super) fn on_change(&mut self, node: NodeId, change: &Change) -> Result<(), Discard> {
        let cluster = self.cluster_of(node, change.cluster)?;
        let entry = self.table.entry(cluster).ok_or(Discard::Unexpected)?;
        let (row_master, row_at, epoch) = (entry.row.master, At::of(&entry.row), entry.row.epoch);
        let at = At { epoch: change.epoch, version: change.version };
        let answer =
            |outcome| Effect::Answer { to: node, request: change.request, outcome, cluster, stream: false };
        if row_master != node {
            self.when_durable(answer(Outcome::NotMaster));
            return Ok(());
        }
        let command = match change.kind {
            ChangeKind::Resign => {
                if row_at.epoch == at.epoch {
                    self.soft.get_or_default(cluster).resigned = true;
                    self.finish_switch(cluster);
                }
                self.when_durable(answer(Outcome::Done));
                return Ok(());
            }
            ChangeKind::Add => {
                let enrolled = self.config.roster.node(change.node).is_some_and(|(c, _)| c.id == cluster);
                if !enrolled {
                    return Err(Discard::Forbidden);
                }
                Command::Add { cluster, at, node: change.node }
            }
            ChangeKind::Remove => Command::Remove { cluster, at, node: change.node },
        };
        let members = match change.kind {
            ChangeKind::Add => entry.row.in_sync.len() + 1,
            _ => entry.row.in_sync.len().saturating_sub(1),
        };
        let members = u32::try_from(members).unwrap_or(u32::MAX);
        let effects = vec![
            answer(Outcome::Done),
            Effect::Event(Event::InSyncChanged { cluster, epoch, node: change.node, members }),
            Effect::Notify(cluster),
        ];
        if let Err(conflict) = self.decide(&command, DecisionReason::None, effects) {
            let outcome = match conflict {
                Conflict::Barred => Outcome::Barred,
                Conflict::NotInSync => Outcome::NotInSync,
                Conflict::LastMember | Conflict::IsMaster => Outcome::LastMember,
                Conflict::Unregistered => Outcome::Unregistered,
                Conflict::AlreadyInSync => Outcome::Done,
                Conflict::Unfenced => Outcome::Unfenced,
                // The rest is said of other commands.
                _ => Outcome::Stale,
            };
            self.when_durable(answer(outcome));
        }
        Ok(())
    }

    /// AUTH-4: reset the ageing timer, but only for a keepalive that answers a challenge of ours: one that was
    /// captured or held back keeps nobody alive.
    pub(super) fn on_master_keepalive(
        &mut self,
        node: NodeId,
        keepalive: &MasterKeepalive,
    ) -> Result<(), Discard> {
        let cluster = keepalive.cluster;
        let row = self.table.entry(cluster).map(|entry| &entry.row);
        if row.is_none_or(|row| row.master != node) {
            self.cluster_of(node, cluster)?; // a master is at home where it is master
        }
        let row = row.ok_or(Discard::Unexpected)?;
        let epoch = row.epoch;
        let is_master = row.master == node && epoch == keepalive.epoch;
        let next = self.random.u64();
        let soft = self.soft.get_or_default(cluster);
        let fresh = soft.heard_at.is_none() || soft.challenges.contains(&keepalive.challenge);
        if is_master {
            soft.challenges = [next, soft.challenges[0]];
        }
        if is_master && fresh {
            soft.lateness.came(self.now, self.config.timers.keepalive_interval);
            soft.heard_at = Some(self.now);
            soft.kept_alive_at = Some(self.now);
            soft.height = keepalive.height;
            soft.present = true;
            let ages_at = self.now + self.config.timers.dead_interval;
            if soft.looked_at.is_some_and(|at| at <= ages_at) {
                soft.ages_at = ages_at; // its deadline comes before, and moves then
            } else {
                self.ages_after(cluster, self.age());
            }
        }
        let answer = MasterKeepaliveAnswer {
            challenge: if is_master { next } else { 0 },
            epoch,
            table_version: self.table.version(),
            ..Default::default()
        };
        if self.persisted == self.out.last_token() {
            // While a decision is not durable, its epoch and version are not shown; the next keepalive is near.
            self.links.send_datagram(Party::Node(node), &Packet::from(answer), &mut self.out);
        }
        if is_master
            && fresh
            && let Some(takeover) = Takeover::of(&keepalive.extensions)
        {
            self.takeover_told(cluster, takeover);
        }
        if is_master { Ok(()) } else { Err(Discard::OldEpoch) }
    }

    /// The entry of a cluster is in force for so long from now.
    pub(super) fn ages_after(&mut self, cluster: ClusterId, age: Duration) {
        let soft = self.soft.get_or_default(cluster);
        soft.ages_at = self.now + age;
        if soft.looked_at.is_none_or(|at| soft.ages_at < at) {
            soft.looked_at = Some(soft.ages_at);
            self.deadlines.set(Deadline::Age(cluster), soft.ages_at);
        }
    }

    /// The deadline of an entry has come: it ages out, unless it was heard since.
    pub(super) fn look_at_age(&mut self, cluster: ClusterId) {
        let soft = self.soft.get_or_default(cluster);
        soft.looked_at = None;
        let left = soft.ages_at - self.now;
        if left.is_zero() {
            self.aged_out(cluster);
            self.tell_absent_master(cluster);
        } else {
            self.ages_after(cluster, left);
        }
    }

    /// B-AGE-4: a master that is not heard may not know that it is one.
    fn tell_absent_master(&mut self, cluster: ClusterId) {
        let Some(master) = self.table.entry(cluster).map(|entry| entry.row.master) else { return };
        let stream = self.links.stream_of(Party::Node(master)).is_some();
        let outcome = Outcome::Notice;
        self.when_durable(Effect::Answer { to: master, request: 0, outcome, cluster, stream });
        self.ages_after(cluster, self.age());
    }

    /// AUTH-2: the entry is removed from the table of present masters; the row (who may be granted) stays.
    pub(super) fn aged_out(&mut self, cluster: ClusterId) {
        let Some(entry) = self.table.entry(cluster) else {
            return;
        };
        let node = entry.row.master;
        if let Some(soft) = self.soft.get_mut(&cluster)
            && soft.present
        {
            soft.present = false;
            soft.lateness.excuse();
            self.event(Event::AgedOut { cluster, node });
        }
    }

    /// A closed stream ages the entry at once to what one unanswered probe would say: see `continue_inquiry`.
    pub(super) fn node_stream_closed(&mut self, node: NodeId) {
        let Some(cluster) = self.home.get(&node).copied() else {
            return;
        };
        let is_master = self.table.entry(cluster).is_some_and(|e| e.row.master == node);
        if is_master && let Some(inquiry) = self.soft.get(&cluster).and_then(|s| s.inquiry.as_ref()) {
            self.deadlines
                .set(Deadline::Inquiry(cluster), inquiry.probed_at + self.config.timers.probe_interval);
        }
    }

    /// Maximum age of an entry of the master table.
    const fn age(&self) -> Duration {
        self.config.timers.dead_interval
    }

    /// The cluster of an authenticated node, which must be the one that its packet names.
    pub(super) fn cluster_of(&self, node: NodeId, named: ClusterId) -> Result<ClusterId, Discard> {
        let cluster = *self.home.get(&node).ok_or(Discard::UnknownKey)?;
        if cluster == named { Ok(named) } else { Err(Discard::Forbidden) }
    }
}
