//! Election, registration, claims: when this node asks for the role, and how often (mission IN-2, OUT-1, OUT-2).

use super::neighbours::Neighbour;
use super::{After, Duty, Node, Registering};
use crate::election::{Candidate, Elected, elect};
use crate::event::Event;
use crate::io::{Table, Write};
use crate::links::{Party, turn};
use crate::store::META_REGISTERING;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::ids::{Epoch, NodeId, Version};
use duohuo_wire::packet::{ClaimReason, Packet, Register, Role, Update};

/// What this node is after.
#[derive(Default)]
pub(super) struct Claims {
    pub(super) standby: Option<NodeId>,
    /// Since when no master acts.
    vacant_since: Option<Instant>,
    /// When the newest own row was learnt: a grantee needs a moment to act.
    row_learnt_at: Option<Instant>,
    not_before: Option<Instant>,
    /// A master acted since the start, as far as we heard.
    has_seen_master: bool,
    asked: Option<Asked>,
    reason: Option<ClaimReason>,
    /// When to consider again.
    wake_at: Option<Instant>,
}

struct Asked {
    request: u64,
    packet: Packet,
    by_stream: bool,
    retry_at: Instant,
    retry_interval: Duration,
}

impl Claims {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.asked.as_ref().map(|a| a.retry_at).or(self.wake_at)
    }
}

impl Node {
    /// The candidates of the election: every node of the cluster, as seen from here.
    fn candidates(&self) -> Vec<Candidate> {
        let row = self.own_row();
        let in_sync = |node: NodeId| row.is_none_or(|r| r.in_sync.contains(&node));
        let barred = |node: NodeId| row.is_some_and(|r| r.barred.contains(&node));
        let own_priority = self.own_priority(self.config.roster.node(self.me).map_or(0, |(_, n)| n.priority));
        let me = Candidate {
            node: self.me,
            priority: own_priority,
            alive: !matches!(self.duty, Duty::Halted),
            in_sync: in_sync(self.me),
            barred: barred(self.me),
            acting: self.is_acting(),
        };
        let others = self.neighbours.iter().map(|(node, n)| Candidate {
            node: *node,
            priority: n.priority,
            alive: n.is_alive(),
            in_sync: in_sync(*node),
            barred: barred(*node),
            acting: self.acts(*node),
        });
        core::iter::once(me).chain(others).collect()
    }

    /// This node acts, or is about to.
    fn is_acting(&self) -> bool {
        let Some(row) = self.own_row() else {
            return false;
        };
        match &self.duty {
            Duty::Lead(master) => master.epoch() == row.epoch,
            Duty::Adopt(epoch) => *epoch == row.epoch,
            Duty::Fence(fencing) => fencing.epoch() == row.epoch,
            Duty::Follow | Duty::Halted => false,
        }
    }

    /// A neighbour acts as the row's master, or has been granted so lately that it may not have said so yet.
    fn acts(&self, node: NodeId) -> bool {
        let (Some(row), Some(neighbour)) = (self.own_row(), self.neighbours.of(node)) else {
            return false;
        };
        if row.master != node || row.barred.contains(&node) || !neighbour.is_alive() {
            return false;
        }
        let acting = neighbour.role == Role::Master && neighbour.promised >= row.epoch;
        let on_its_way = neighbour.promised < row.epoch
            && self.claims.row_learnt_at.is_some_and(|at| self.now - at < self.config.timers.dead_interval);
        acting || on_its_way
    }

    fn elect(&self) -> Elected {
        elect(&self.candidates())
    }

    /// Something changed: who leads, who stands by, and is it on us to claim?
    pub(super) fn consider(&mut self) {
        let elected = self.elect();
        self.claims.standby = elected.standby;
        let role = self.role();
        if role != self.told_role {
            self.told_role = role;
            let epoch = self.own_row().map_or(Epoch(0), |r| r.epoch);
            self.event(Event::RoleChanged { role, epoch });
        }
        self.claims.wake_at = None;
        if self.claims.asked.is_some() || self.stopped || !self.learning.joined || !self.has_histories() {
            return;
        }
        let Some(row) = self.own_row() else {
            self.consider_registering(&elected);
            return;
        };
        let may = row.in_sync.contains(&self.me) && !row.barred.contains(&self.me);
        let vacant = !self.is_acting() && !self.acts(row.master);
        let (master, epoch, version) = (row.master, row.epoch, row.version);
        if !vacant {
            self.claims.vacant_since = None;
            self.claims.has_seen_master = true;
            self.drop_note(epoch);
            return;
        }
        let since = *self.claims.vacant_since.get_or_insert(self.now);
        let Some(rank) = elected.order.iter().position(|n| *n == self.me) else {
            return;
        };
        // Who is in doubt waits for the authority's word: what it claimed now it could not adopt.
        if !may || matches!(self.duty, Duty::Halted) || self.log.doubt() > epoch {
            return;
        }
        // The first of the order claims at once, the next ones if nothing came of it.
        let patience = self.config.timers.suspect_interval * u32::try_from(rank).unwrap_or(u32::MAX);
        let earliest = self.may_claim_from();
        if self.now >= earliest {
            self.note(epoch.next()); // whoever is granted it gives us its log
        }
        let due = (since + patience).max(earliest).max(self.claims.not_before.unwrap_or(Instant::ZERO));
        if self.now < due {
            self.claims.wake_at = Some(due);
            return;
        }
        let reason = self.claims.reason.take().unwrap_or(if master == self.me {
            ClaimReason::Restart
        } else if self.neighbours.is_alive(master) {
            ClaimReason::Vacant
        } else {
            ClaimReason::Suspicion
        });
        self.claim(epoch, version, reason);
    }

    /// Who has just started hears first who is there. Who saw a master act has.
    fn may_claim_from(&self) -> Instant {
        if self.claims.has_seen_master {
            return Instant::ZERO;
        }
        self.started_at.unwrap_or(self.now) + self.config.timers.startup_interval
    }

    fn claim(&mut self, epoch: Epoch, version: Version, reason: ClaimReason) {
        if !self.links.has_datagram(Party::Authority) || self.sealed_id.is_empty() {
            if self.sealed_id.is_empty() {
                self.join();
            }
            self.claims.wake_at = Some(self.now + self.config.timers.retry_interval);
            return;
        }
        let update = self.update(epoch, version, reason);
        self.event(Event::Claimed { epoch, reason });
        self.ask(update.request, update.into(), false);
        self.run_mesh();
    }

    /// Whom a claim lists as alive (B-CLM-14), ascending.
    pub(super) fn listed_alive(&self) -> Vec<NodeId> {
        // Who is only late with an answer, its stream still open, stays in the set; the incumbent must be heard.
        let master = self.own_row().map(|r| r.master);
        let late_only = |node: NodeId| {
            self.neighbours.of(node).is_some_and(Neighbour::is_not_dead)
                && self.links.stream_of(Party::Node(node)).is_some()
                && Some(node) != master
        };
        let mut alive: Vec<NodeId> = self
            .neighbours
            .iter()
            .filter(|(node, n)| n.is_alive() || late_only(**node))
            .map(|(node, _)| *node)
            .collect();
        alive.push(self.me);
        alive.sort_unstable();
        alive
    }

    /// A claim.
    pub(super) fn update(&mut self, epoch: Epoch, version: Version, reason: ClaimReason) -> Update {
        Update {
            request: self.random.u64(),
            cluster: self.cluster,
            epoch,
            version,
            reason,
            alive: self.listed_alive(),
            height: self.height,
            sealed_id: self.sealed_id.clone(),
            ..Default::default()
        }
    }

    /// Whether it has all that a claim needs, and nothing to claim: its master acts.
    pub(super) fn only_stands_by(&self) -> bool {
        let Some(row) = self.own_row() else { return false };
        let may = row.in_sync.contains(&self.me) && !row.barred.contains(&self.me);
        let needs = self.learning.joined && self.has_histories() && !self.sealed_id.is_empty();
        let is_idle = self.claims.asked.is_none() && self.log.doubt() <= row.epoch;
        row.master != self.me && self.acts(row.master) && may && needs && is_idle
    }

    /// OUT-1: nobody is registered; the elected node registers.
    fn consider_registering(&mut self, elected: &Elected) {
        if !self.learning.table_read {
            return;
        }
        let due = self.started_at.unwrap_or(self.now) + self.config.timers.startup_interval;
        let due = due.max(self.claims.not_before.unwrap_or(Instant::ZERO));
        if self.now < due {
            self.claims.wake_at = Some(due);
            return;
        }
        if elected.order.first() != Some(&self.me) {
            return;
        }
        match self.registering {
            Registering::Marking => {}
            Registering::No => {
                self.registering = Registering::Marking;
                let mark = Write::Put { table: Table::Meta, key: META_REGISTERING, value: Bytes::new() };
                self.persist(vec![mark], After::Registering);
            }
            Registering::Marked => {
                let request = self.random.u64();
                let packet = Packet::from(Register { request, cluster: self.cluster, ..Default::default() });
                self.ask(request, packet, true);
            }
        }
    }

    /// A claim stands before the authority.
    pub(super) fn is_claiming(&self) -> bool {
        self.claims.asked.as_ref().is_some_and(|asked| matches!(asked.packet, Packet::Update(_)))
    }

    fn ask(&mut self, request: u64, packet: Packet, by_stream: bool) {
        let retry_interval = self.config.timers.retry_interval;
        self.send_to_authority(&packet, by_stream);
        let retry_at = self.now + retry_interval;
        self.claims.asked = Some(Asked { request, packet, by_stream, retry_at, retry_interval });
    }

    pub(super) fn send_to_authority(&mut self, packet: &Packet, by_stream: bool) -> bool {
        if by_stream {
            self.links.send_stream(Party::Authority, packet, &mut self.out)
        } else {
            self.links.send_datagram(Party::Authority, packet, &mut self.out)
        }
    }

    /// Retries, and claims whose patience ended.
    pub(super) fn run_claims(&mut self) {
        if let Some(asked) = &mut self.claims.asked {
            if self.now < asked.retry_at {
                return;
            }
            asked.retry_interval = (asked.retry_interval * 2).min(self.config.timers.retry_interval * 64);
            asked.retry_at = self.now + asked.retry_interval;
            let (packet, by_stream) = (asked.packet.clone(), asked.by_stream);
            // So many unanswered: the session may be one that the authority no longer has.
            let renew = asked.retry_interval >= self.config.timers.retry_interval * 8;
            if renew {
                self.links.open_datagram(turn!(self), Party::Authority);
            }
            // An incumbent that came back meanwhile ends the claim.
            if matches!(packet, Packet::Update(_)) && self.own_row().is_some_and(|r| self.acts(r.master)) {
                self.claims.asked = None;
                return;
            }
            self.send_to_authority(&packet, by_stream);
        } else if self.claims.wake_at.is_some_and(|at| self.now >= at) {
            self.consider();
        }
    }

    /// No claim of ours before somebody else had so long.
    pub(super) fn hold_back(&mut self, wait: Duration) {
        self.claims.not_before = Some(self.now + wait);
    }

    /// Somebody else is to lead.
    pub(super) fn wait_for_successor(&mut self) {
        self.hold_back(self.config.timers.sync_interval);
    }

    /// A stream to the master closed: the reason of the claim that follows.
    pub(super) fn note_reason(&mut self, reason: ClaimReason) {
        self.claims.reason = Some(reason);
    }

    /// What was asked by this number has its answer. Whether it was still waited for.
    pub(super) fn answered(&mut self, request: u64) -> bool {
        let waited = self.claims.asked.as_ref().is_some_and(|asked| asked.request == request);
        if waited {
            self.claims.asked = None;
        }
        waited
    }

    /// The newest row of the own cluster was learnt: it answers whatever asked for one.
    pub(super) fn answered_by_row(&mut self) {
        self.claims.row_learnt_at = Some(self.now);
        self.claims.not_before = None;
        if matches!(
            self.claims.asked.as_ref().map(|a| &a.packet),
            Some(Packet::Update(_) | Packet::Register(_))
        ) {
            self.claims.asked = None;
        }
    }
}
