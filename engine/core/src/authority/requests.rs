//! Joining, registering, asking, reporting (AUTH-1, AUTH-3, AUTH-6, AUTH-7), and the sealed cluster ID.

use super::reports::{Finding, examine};
use super::table::{At, Command, Conflict};
use super::{Authority, Effect};
use crate::discard::Discard;
use crate::event::Event;
use crate::links::Party;
use crate::offences::Offence;
use crate::time::Duration;
use bytes::Bytes;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{
    ConsensusError, DecisionReason, ForcedSwitch, Join, JoinAnswer, JoinVerdict, NodeSealedId, Outcome,
    Packet, ProbeAnswer, Query, QueryScope, Register, RegisterVerdict, Registered, Role, RosterPush,
};
use duohuo_wire::sealed_id::{self, SealedClaims};
use duohuo_wire::statement::SignedSwitch;

/// How long a sealed cluster ID is good for; renewed with every join.
const SEALED_ID_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Changes with a change of the sealing key or of the rules of registration; none happened yet.
const REGISTRATION_EPOCH: u32 = 1;

impl Authority {
    pub(super) fn on_node_datagram(&mut self, node: NodeId, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::Update(update) => self.on_update(node, update),
            Packet::Change(change) => self.on_change(node, &change),
            Packet::MasterKeepalive(keepalive) => self.on_master_keepalive(node, &keepalive),
            Packet::ProbeAnswer(answer) => self.on_probe_answer(node, &answer),
            Packet::Fenced(fenced) => self.on_fenced(node, &fenced),
            Packet::Query(query) => self.on_query(node, &query, false),
            Packet::Probe(probe) => {
                let answer = ProbeAnswer {
                    nonce: probe.nonce,
                    role: Role::Ordinary,
                    epoch: Epoch(0),
                    ..Default::default()
                };
                self.links.send_datagram(Party::Node(node), &Packet::from(answer), &mut self.out);
                Ok(())
            }
            _ => Err(Discard::Forbidden),
        }
    }

    pub(super) fn on_node_stream(&mut self, node: NodeId, packet: Packet) -> Result<(), Discard> {
        match packet {
            Packet::Join(join) => self.on_join(node, &join),
            Packet::Register(register) => self.on_register(node, &register),
            Packet::Query(query) => self.on_query(node, &query, true),
            Packet::ConsensusError(report) => self.on_consensus_error(node, &report),
            _ => Err(Discard::Forbidden),
        }
    }

    /// AUTH-1. The session proved the key; the roster says whose it is.
    fn on_join(&mut self, node: NodeId, join: &Join) -> Result<(), Discard> {
        let (verdict, sealed_id) = match self.cluster_of(node, join.cluster) {
            Ok(cluster) if self.table.entry(cluster).is_some() => {
                (JoinVerdict::Accepted, self.seal_id(cluster, node))
            }
            Ok(_) => (JoinVerdict::Accepted, Bytes::new()),
            Err(Discard::UnknownKey) => (JoinVerdict::UnknownNode, Bytes::new()),
            Err(_) => (JoinVerdict::WrongCluster, Bytes::new()),
        };
        let roster_version = self.config.roster.version;
        let answer =
            JoinAnswer { request: join.request, verdict, roster_version, sealed_id, ..Default::default() };
        self.links.send_stream(Party::Node(node), &Packet::from(answer), &mut self.out);
        if verdict == JoinVerdict::Accepted && join.roster_version < roster_version {
            let push = RosterPush { roster: self.roster_bytes(), ..Default::default() };
            self.links.send_stream(Party::Node(node), &Packet::from(push), &mut self.out);
        }
        self.event(Event::Joined { node, accepted: verdict == JoinVerdict::Accepted });
        Ok(())
    }

    /// AUTH-3.
    fn on_register(&mut self, node: NodeId, register: &Register) -> Result<(), Discard> {
        let cluster = self.cluster_of(node, register.cluster)?;
        let request = register.request;
        if self.is_starting() {
            self.answer_register(node, request, RegisterVerdict::Starting, Vec::new());
            return Ok(());
        }
        let effects = vec![
            Effect::Registered { to: node, request, cluster },
            Effect::Event(Event::Granted { cluster, epoch: Epoch(1), node }),
            Effect::Notify(cluster),
        ];
        match self.decide(&Command::Register { cluster, node }, DecisionReason::None, effects) {
            Ok(()) => {
                let soft = self.soft.get_or_default(cluster);
                soft.present = true;
                soft.heard_at = Some(self.now);
                self.ages_after(cluster, self.config.timers.dead_interval);
            }
            Err(_) => {
                self.answer_register(node, request, RegisterVerdict::AlreadyRegistered, Vec::new());
                let outcome = Outcome::Notice;
                self.when_durable(Effect::Answer { to: node, request: 0, outcome, cluster, stream: true });
            }
        }
        Ok(())
    }

    pub(super) fn send_registered(&mut self, node: NodeId, request: u64, cluster: ClusterId) {
        let nodes: Vec<NodeId> = self
            .config
            .roster
            .cluster(cluster)
            .map(|c| c.nodes.iter().map(|n| n.id).collect())
            .unwrap_or_default();
        let sealed_ids = nodes
            .into_iter()
            .map(|n| NodeSealedId { node: n, sealed_id: self.seal_id(cluster, n) })
            .collect();
        self.answer_register(node, request, RegisterVerdict::Accepted, sealed_ids);
    }

    fn answer_register(
        &mut self,
        node: NodeId,
        request: u64,
        verdict: RegisterVerdict,
        sealed_ids: Vec<NodeSealedId>,
    ) {
        let answer = Registered {
            request,
            verdict,
            registration_epoch: REGISTRATION_EPOCH,
            sealed_ids,
            ..Default::default()
        };
        self.links.send_stream(Party::Node(node), &Packet::from(answer), &mut self.out);
    }

    /// AUTH-7: one notice per row; the history of masters on demand.
    fn on_query(&mut self, node: NodeId, query: &Query, stream: bool) -> Result<(), Discard> {
        let wanted = |cluster: ClusterId| query.cluster == ClusterId(0) || query.cluster == cluster;
        let clusters: Vec<ClusterId> = self
            .table
            .entries()
            .filter(|(id, e)| {
                wanted(**id) && (query.scope != QueryScope::Changed || e.row.table_version > query.since)
            })
            .map(|(id, _)| *id)
            .collect();
        if query.scope == QueryScope::History {
            if !stream {
                return Err(Discard::Forbidden);
            }
            // One answer per cluster of the roster, so that the asker knows when it has them all.
            let clusters: Vec<ClusterId> =
                self.config.roster.clusters.iter().map(|c| c.id).filter(|id| wanted(*id)).collect();
            for cluster in clusters {
                let nodes = self.table.entry(cluster).map(|e| e.masters.clone()).unwrap_or_default();
                self.when_durable(Effect::History { to: node, cluster, nodes });
            }
            return Ok(());
        }
        for cluster in clusters {
            let (request, outcome) = (query.request, Outcome::Notice);
            self.when_durable(Effect::Answer { to: node, request, outcome, cluster, stream });
        }
        Ok(())
    }

    /// AUTH-6.
    fn on_consensus_error(&mut self, node: NodeId, report: &ConsensusError) -> Result<(), Discard> {
        match self.weigh(node, report) {
            Ok(true) => Ok(()),
            Ok(false) => {
                self.offended(node, Offence::FalseReports);
                Ok(())
            }
            Err(why) => {
                self.offended(node, Offence::FalseReports);
                Err(why)
            }
        }
    }

    /// Whether it proves what it says.
    fn weigh(&mut self, node: NodeId, report: &ConsensusError) -> Result<bool, Discard> {
        let (reporter, _) = self.config.roster.node(node).ok_or(Discard::UnknownKey)?;
        let reporter = reporter.id;
        let is_master = self.table.entry(reporter).is_some_and(|e| e.row.master == node);
        if !is_master || !self.reports.within_budget(self.now, reporter) {
            return Err(Discard::Forbidden);
        }
        let finding =
            examine(&report.evidence, &self.table, &self.config.roster).ok_or(Discard::BadStatement)?;
        if finding.accused == reporter {
            return Err(Discard::Forbidden);
        }
        let Some(entry) = self.table.entry(finding.accused) else {
            return Err(Discard::Unexpected);
        };
        let clusters = self.config.roster.clusters.len();
        let epoch = entry.row.epoch;
        if finding.proven || self.reports.count(self.now, &finding, epoch, reporter, clusters) {
            self.force_switch(finding);
        }
        Ok(finding.proven)
    }

    fn force_switch(&mut self, finding: Finding) {
        let Finding { accused: cluster, height, hash, proven } = finding;
        let Some(entry) = self.table.entry(cluster) else {
            return;
        };
        let (old_master, epoch, at) = (entry.row.master, entry.row.epoch, At::of(&entry.row));
        // The successor made the same mistake: the fault is in all of them, and switching on would only go round. What
        // follows from a wrong state is wrong too, at every height: nothing more is done about this master.
        if self.alarmed.get(&cluster) == Some(&epoch) {
            return;
        }
        // Nor does anybody switch while an operator has paused it.
        if self.table.is_paused(cluster) {
            self.event(Event::Alarm { cluster, height });
            return;
        }
        if entry.last_bar == Some((height, hash)) {
            self.alarmed.insert(cluster, epoch);
            self.event(Event::Alarm { cluster, height });
            return;
        }
        let order = SignedSwitch::sign(cluster, epoch, old_master, height, proven, &self.config.signing_key);
        let effects = vec![
            Effect::Event(Event::ForcedSwitch { cluster, node: old_master, height }),
            Effect::Switch(Box::new(order)),
            Effect::Notify(cluster),
        ];
        match self.decide(&Command::Bar { cluster, at, height, hash }, DecisionReason::None, effects) {
            Ok(()) | Err(Conflict::Barred) => {}
            Err(_) => self.event(Event::Alarm { cluster, height }),
        }
    }

    /// To all nodes of the cluster, by datagram and by stream: it must not wait behind anything.
    pub(super) fn send_switch(&mut self, order: &SignedSwitch) {
        let Some(cluster) = self.config.roster.cluster(order.cluster) else {
            return;
        };
        let packet = Packet::from(ForcedSwitch { order: order.clone(), ..Default::default() });
        let nodes: Vec<NodeId> = cluster.nodes.iter().map(|n| n.id).collect();
        for node in nodes {
            self.links.send_datagram(Party::Node(node), &packet, &mut self.out);
            self.links.send_stream(Party::Node(node), &packet, &mut self.out);
        }
    }

    pub(super) fn unix_seconds(&self) -> u64 {
        (self.config.unix_at_zero + Duration::from_nanos(self.now.as_nanos())).as_secs()
    }

    fn binding(&self, node: NodeId) -> Option<[u8; 32]> {
        let (_, entry) = self.config.roster.node(node)?;
        Some(sealed_id::binding(&entry.session_key, &entry.signing_key))
    }

    fn seal_id(&mut self, cluster: ClusterId, node: NodeId) -> Bytes {
        let Some(binding) = self.binding(node) else {
            return Bytes::new();
        };
        let issued = self.unix_seconds();
        let claims = SealedClaims {
            cluster,
            node,
            registration_epoch: REGISTRATION_EPOCH,
            serial: self.random.u64(),
            issued,
            expires: issued + SEALED_ID_LIFETIME.as_secs(),
        };
        let consortium = self.config.roster.consortium;
        sealed_id::seal(&self.config.sealing_secret, self.random.key(), &claims, &consortium, &binding)
    }

    /// AUTH-5: opens with our own private key to the cluster it claims, for this very node, and is not expired.
    pub(super) fn sealed_id_holds(&mut self, cluster: ClusterId, node: NodeId, sealed: &Bytes) -> bool {
        let now = self.unix_seconds();
        if let Some((before, expires)) = self.opened.get(&node)
            && before == sealed
        {
            return now < *expires && self.home.get(&node) == Some(&cluster);
        }
        let Some(binding) = self.binding(node) else {
            return false;
        };
        let consortium = self.config.roster.consortium;
        let opened = sealed_id::open(&self.config.sealing_secret, sealed, cluster, &consortium, &binding);
        let holds = |claims: &SealedClaims| {
            claims.cluster == cluster
                && claims.node == node
                && claims.registration_epoch == REGISTRATION_EPOCH
                && claims.is_valid_at(now)
        };
        let Some(claims) = opened.ok().filter(holds) else {
            return false;
        };
        self.opened.insert(node, (sealed.clone(), claims.expires));
        true
    }
}
