//! Packets that make sense: fields around what the conversation has established, signatures by the true keys.

use bytes::Bytes;
use duohuo_chain::Transfer;
use duohuo_core::{
    authority::table::{At, Command, Table},
    chain::TransactionId,
};
use duohuo_tests::consortium::{Consortium, cluster_id};
use duohuo_wire::{
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version},
    packet::{
        Ack, Append, BlockPush, ChainEnd, ChainQuery, Change, ChangeKind, ClaimReason, Consensus,
        ConsensusError, Fence, FenceAnswer, Fenced, ForcedSwitch, GroupKey, History, Join, JoinAnswer,
        JoinVerdict, JournalQuery, MasterKeepalive, MasterKeepaliveAnswer, NodeKeepalive, NodeSealedId,
        Notice, Order, OrderKind, Outcome, Packet, PacketType, Probe, ProbeAnswer, Query, QueryScope,
        RangeQuery, Register, RegisterVerdict, Registered, RegistrationSync, Resync, Role, RosterPush,
        SignedOrder, SignedResult, SignedRow, SignedSwitch, SnapshotChunk, SnapshotOffer, SnapshotQuery,
        StatusQuery, Submit, Update, Watch, WireRecord,
    },
    parts::{LogPart, PartsHeld},
    statement::Row,
};

use crate::draw::Draw;

/// What has been said so far that a later packet refers to.
pub(super) struct Known {
    consortium: &'static Consortium,
    /// The table of an authority that keeps its own rules.
    pub(super) table: Table,
    /// The newest row of each cluster that the machine told; the table's if it told none.
    pub(super) told: std::collections::BTreeMap<ClusterId, Row>,
    pub(super) sealed_id: Bytes,
    pub(super) challenge: u64,
    pub(super) nonce: u64,
    pub(super) request: u64,
    pub(super) log_end: u64,
    pub(super) height: u64,
    generation: u32,
    /// The number of the last order, more or less.
    ordered: u64,
}

impl Known {
    pub(super) fn new(consortium: &'static Consortium) -> Self {
        Self {
            consortium,
            table: Table::default(),
            told: std::collections::BTreeMap::new(),
            sealed_id: Bytes::new(),
            challenge: 0,
            nonce: 1,
            request: 1,
            log_end: 0,
            height: 0,
            generation: 0,
            ordered: 0,
        }
    }

    /// Take note of what the machine said.
    pub(super) fn heard(&mut self, packet: &Packet) {
        match packet {
            Packet::JoinAnswer(answer) if !answer.sealed_id.is_empty() => {
                self.sealed_id = answer.sealed_id.clone();
            }
            Packet::Notice(notice) => drop(self.told.insert(notice.row.row.cluster, notice.row.row.clone())),
            Packet::MasterKeepaliveAnswer(answer) => self.challenge = answer.challenge,
            Packet::Probe(probe) => self.nonce = probe.nonce,
            Packet::Register(register) => self.request = register.request,
            Packet::Update(update) => self.request = update.request,
            Packet::Change(change) => self.request = change.request,
            Packet::Join(join) => self.request = join.request,
            Packet::Append(append) => self.log_end = append.start.0 + append.records.len() as u64,
            Packet::Resync(resync) => self.log_end = resync.start.0 + resync.records.len() as u64,
            Packet::Ack(ack) => (self.log_end, self.height) = (ack.end.0, ack.height.0),
            Packet::NodeKeepalive(keepalive) => self.height = keepalive.height.0,
            _ => {}
        }
    }

    fn row(&self, cluster: ClusterId) -> Row {
        let told = self.told.get(&cluster).cloned();
        told.or_else(|| self.table.entry(cluster).map(|entry| entry.row.clone())).unwrap_or(Row {
            cluster,
            epoch: Epoch(0),
            version: Version(0),
            master: NodeId(0),
            in_sync: Vec::new(),
            barred: Vec::new(),
            unfenced: false,
            table_version: 0,
        })
    }

    fn cluster(&self, from: NodeId, draw: &mut Draw<'_>) -> ClusterId {
        let own = self.consortium.roster.node(from).map_or(cluster_id(0), |(cluster, _)| cluster.id);
        match draw.byte() {
            0..200 => own,
            200..240 => cluster_id(usize::from(draw.byte() % 3)),
            _ => ClusterId(draw.u32()),
        }
    }

    fn node(&self, draw: &mut Draw<'_>) -> NodeId {
        let all: Vec<NodeId> = self.consortium.roster.all_nodes().map(|(_, node)| node.id).collect();
        if draw.byte() < 240 { draw.pick(&all) } else { NodeId(draw.u32()) }
    }

    fn nodes(&self, draw: &mut Draw<'_>) -> Vec<NodeId> {
        let bits = draw.byte();
        self.consortium
            .roster
            .all_nodes()
            .enumerate()
            .filter(|(place, _)| bits >> (place % 8) & 1 == 1)
            .map(|(_, (_, node))| node.id)
            .collect()
    }

    fn number(&self, known: u64, draw: &mut Draw<'_>) -> u64 {
        draw.near(known)
    }

    fn records(&self, epoch: Epoch, draw: &mut Draw<'_>) -> Vec<WireRecord> {
        (0..draw.byte() % 4)
            .map(|_| WireRecord {
                height: Height(draw.near(self.height + 1)),
                epoch: Epoch(draw.near(epoch.0)),
                bytes: Bytes::copy_from_slice(draw.short()),
            })
            .collect()
    }

    fn sealed_ids(&self, draw: &mut Draw<'_>) -> Vec<NodeSealedId> {
        let nodes = self.nodes(draw);
        nodes
            .into_iter()
            .map(|node| NodeSealedId { node, sealed_id: Bytes::copy_from_slice(draw.short()) })
            .collect()
    }

    /// The authority decides something that its table allows, or nothing; the row as it then is.
    pub(super) fn decide(&mut self, cluster: ClusterId, draw: &mut Draw<'_>) -> Row {
        let node = self.node(draw);
        let at = self.table.entry(cluster).map(|entry| At::of(&entry.row));
        let command = match (at, draw.byte() % 5) {
            (None, _) => Some(Command::Register { cluster, node }),
            (Some(at), 0) => Some(Command::Grant { cluster, at, node, in_sync: vec![node] }),
            (Some(at), 1) => {
                let in_sync = self.table.entry(cluster).map(|e| e.row.in_sync.clone()).unwrap_or_default();
                Some(Command::Grant { cluster, at, node, in_sync })
            }
            (Some(at), 2) => Some(Command::Add { cluster, at, node }),
            (Some(at), 3) => Some(Command::Remove { cluster, at, node }),
            (Some(_), _) => None,
        };
        let enrolled = self.consortium.roster.node(node).is_some_and(|(c, _)| c.id == cluster);
        if let Some(command) = command.filter(|_| enrolled) {
            let _ = self.table.apply(&command);
        }
        self.told.remove(&cluster);
        self.row(cluster)
    }

    /// A packet of this type from this party.
    pub(super) fn craft(
        &mut self,
        packet_type: PacketType,
        from: NodeId,
        draw: &mut Draw<'_>,
    ) -> Option<Packet> {
        let cluster = self.cluster(from, draw);
        let row = self.row(cluster);
        let request = if draw.byte() < 200 { self.request } else { draw.u64() };
        let extensions = duohuo_wire::tlv::Extensions::new();
        let signing = self.consortium.keys[&from].signing.clone();
        let epoch = Epoch(self.number(row.epoch.0, draw));
        let version = Version(self.number(row.version.0, draw));
        let height = Height(self.number(self.height, draw));
        let index = LogIndex(self.number(self.log_end, draw));
        Some(match packet_type {
            PacketType::Join => Join { request, cluster, roster_version: draw.near(1), extensions }.into(),
            PacketType::JoinAnswer => JoinAnswer {
                request,
                verdict: draw.pick(JoinVerdict::ALL),
                roster_version: draw.near(1),
                sealed_id: Bytes::copy_from_slice(draw.short()),
                extensions,
            }
            .into(),
            PacketType::Register => Register { request, cluster, extensions }.into(),
            PacketType::Registered => Registered {
                request,
                verdict: draw.pick(RegisterVerdict::ALL),
                registration_epoch: draw.u32(),
                sealed_ids: self.sealed_ids(draw),
                extensions,
            }
            .into(),
            PacketType::RegistrationSync => RegistrationSync {
                cluster,
                registration_epoch: draw.u32(),
                sealed_ids: self.sealed_ids(draw),
                extensions,
            }
            .into(),
            PacketType::Update => Update {
                request,
                cluster,
                epoch,
                version,
                reason: draw.pick(ClaimReason::ALL),
                alive: self.nodes(draw),
                height,
                sealed_id: self.sealed_id.clone(),
                extensions,
            }
            .into(),
            PacketType::Change => Change {
                request,
                cluster,
                epoch,
                version,
                kind: draw.pick(ChangeKind::ALL),
                node: self.node(draw),
                extensions,
            }
            .into(),
            PacketType::Notice => self.notice(from, cluster, request, draw),
            PacketType::MasterKeepalive => MasterKeepalive {
                cluster,
                epoch,
                height,
                challenge: self.number(self.challenge, draw),
                table_version: draw.near(row.table_version),
                extensions,
            }
            .into(),
            PacketType::MasterKeepaliveAnswer => MasterKeepaliveAnswer {
                challenge: draw.u64(),
                epoch,
                table_version: draw.near(row.table_version),
                extensions,
            }
            .into(),
            PacketType::Query => {
                Query { request, scope: draw.pick(QueryScope::ALL), cluster, since: draw.near(0), extensions }
                    .into()
            }
            PacketType::ConsensusError => {
                ConsensusError { request, height, evidence: self.evidence(height, draw), extensions }.into()
            }
            PacketType::ForcedSwitch => ForcedSwitch {
                order: SignedSwitch::sign(cluster, epoch, row.master, height, draw.bool(), &signing),
                extensions,
            }
            .into(),
            PacketType::Probe => Probe { nonce: draw.u64(), epoch, extensions }.into(),
            PacketType::ProbeAnswer => ProbeAnswer {
                nonce: self.number(self.nonce, draw),
                role: draw.pick(Role::ALL),
                epoch,
                extensions,
            }
            .into(),
            PacketType::RosterPush => {
                let mut roster = bytes::BytesMut::new();
                self.consortium.roster.encode(&mut roster);
                RosterPush { roster: roster.freeze(), extensions }.into()
            }
            PacketType::History => {
                History::sign(cluster, Epoch(draw.near(1)), self.nodes(draw), &signing).into()
            }
            PacketType::NodeKeepalive => self.keepalive(from, cluster, (epoch, version, height, index), draw),
            PacketType::GroupKey => {
                self.generation = self.generation.wrapping_add(u32::from(draw.byte() % 3));
                GroupKey::sign(cluster, self.generation, draw.array(), from, &signing).into()
            }
            PacketType::Resync => {
                // Of a log in parts: the first, the last, one in the middle. No byte more is drawn than by the inputs that there are.
                let first = LogIndex(index.0.saturating_sub(request % 3));
                let extensions = match request % 4 {
                    0 | 1 => extensions,
                    kind => LogPart { first, is_followed: kind == 2 }.extensions(),
                };
                Resync { epoch, height, start: index, records: self.records(epoch, draw), extensions }.into()
            }
            PacketType::Append => Append {
                epoch,
                start: index,
                released: LogIndex(draw.near(index.0)),
                records: self.records(epoch, draw),
                extensions,
            }
            .into(),
            PacketType::Ack => {
                let first = LogIndex(index.0.saturating_sub(request % 3));
                let extensions = match request % 4 {
                    0 | 1 => extensions,
                    _ => PartsHeld { first, next: index }.extensions(),
                };
                Ack { epoch, end: index, height, synced: Epoch(draw.near(epoch.0)), extensions }.into()
            }
            PacketType::BlockPush => {
                BlockPush { height, block: Bytes::copy_from_slice(draw.long()), extensions }.into()
            }
            PacketType::ChainQuery => {
                ChainQuery { from: Height(draw.near(1)), max_bytes: draw.u32(), extensions }.into()
            }
            PacketType::ChainEnd => ChainEnd { height, extensions }.into(),
            PacketType::SnapshotQuery => {
                let chunk = if draw.bool() { u32::MAX } else { draw.u32() % 3 };
                SnapshotQuery { height, chunk, extensions }.into()
            }
            PacketType::SnapshotOffer => {
                let (manifest, proof) = (draw.long().to_vec().into(), draw.long().to_vec().into());
                SnapshotOffer { height, manifest, proof, extensions }.into()
            }
            PacketType::SnapshotChunk => {
                let content = draw.long().to_vec().into();
                SnapshotChunk { height, chunk: draw.u32() % 3, content, extensions }.into()
            }
            PacketType::RangeQuery => {
                let (from, to) = (Height(draw.near(1)), Height(draw.near(100)));
                RangeQuery { from, to, max_bytes: draw.u32(), extensions }.into()
            }
            PacketType::Consensus => {
                Consensus { cluster, epoch, message: Bytes::copy_from_slice(draw.long()), extensions }.into()
            }
            PacketType::Submit => {
                Submit { request: draw.u64(), transaction: self.transaction(draw), extensions }.into()
            }
            PacketType::StatusQuery => StatusQuery { request, extensions }.into(),
            PacketType::Watch => Watch { request, kinds: draw.u32(), extensions }.into(),
            PacketType::Order => {
                self.ordered += u64::from(draw.byte() % 3);
                let order = SignedOrder {
                    consortium: self.consortium.roster.consortium,
                    number: draw.near(self.ordered),
                    kind: draw.pick(OrderKind::ALL),
                    cluster: if draw.byte() < 200 {
                        cluster_id(usize::from(draw.byte() % 3))
                    } else {
                        cluster
                    },
                    node: if draw.bool() { self.node(draw) } else { NodeId(0) },
                    epoch: if draw.bool() { epoch } else { Epoch(0) },
                    expires: if draw.byte() < 240 { u64::MAX } else { draw.u64() },
                    who: "w".to_owned(),
                    why: "y".to_owned(),
                    signature: [0; 64],
                };
                let key = if draw.byte() < 250 { self.consortium.operator.clone() } else { signing };
                Order { request, order: order.sign(&key), extensions }.into()
            }
            PacketType::JournalQuery => JournalQuery { request, from: draw.near(1), extensions }.into(),
            PacketType::Fence => {
                let authority = &self.consortium.keys[&NodeId::AUTHORITY].signing;
                let row = Row { unfenced: draw.byte() < 230, ..self.decide(cluster, draw) };
                Fence { row: SignedRow::sign(row, authority), extensions }.into()
            }
            PacketType::FenceAnswer => FenceAnswer { cluster, epoch, height, extensions }.into(),
            PacketType::Fenced => Fenced { request, cluster, epoch, version, height, extensions }.into(),
            // Answers to clients come from machines only.
            _ => return None,
        })
    }

    fn notice(&mut self, from: NodeId, cluster: ClusterId, request: u64, draw: &mut Draw<'_>) -> Packet {
        // Rows are signed by the authority, whoever hands them on.
        let authority = &self.consortium.keys[&NodeId::AUTHORITY].signing;
        let key = if draw.byte() < 250 { authority } else { &self.consortium.keys[&from].signing }.clone();
        let row = self.decide(cluster, draw);
        Notice {
            request,
            outcome: draw.pick(Outcome::ALL),
            table_version: draw.near(self.table.version()),
            row: SignedRow::sign(row, &key),
            extensions: Default::default(),
        }
        .into()
    }

    fn keepalive(
        &self,
        from: NodeId,
        cluster: ClusterId,
        (epoch, version, height, log_end): (Epoch, Version, Height, LogIndex),
        draw: &mut Draw<'_>,
    ) -> Packet {
        let entry = self.consortium.roster.node(from).map(|(_, node)| node);
        NodeKeepalive {
            cluster,
            priority: entry.map_or(1, |node| node.priority),
            role: draw.pick(Role::ALL),
            in_sync: draw.bool(),
            interval_us: if draw.byte() < 200 { 10_000 } else { draw.u32() },
            epoch,
            version,
            promised: Epoch(draw.near(epoch.0)),
            log_end,
            height,
            address: entry.map_or_else(|| ([127, 0, 0, 1], 1).into(), |node| node.address),
            heard: Vec::new(),
            extensions: Default::default(),
        }
        .into()
    }

    fn evidence(&self, height: Height, draw: &mut Draw<'_>) -> Vec<SignedResult> {
        let roster = &self.consortium.roster;
        let mut evidence = Vec::new();
        for cluster in &roster.clusters {
            let row = self.row(cluster.id);
            let node = if draw.byte() < 230 { row.master } else { self.node(draw) };
            let Some(keys) = self.consortium.keys.get(&node) else { continue };
            let hash = [draw.byte() % 2; 32];
            evidence.push(SignedResult::sign(cluster.id, node, row.epoch, height, hash, &keys.signing));
        }
        evidence
    }

    fn transaction(&self, draw: &mut Draw<'_>) -> Bytes {
        let transfer = Transfer {
            id: TransactionId(draw.array()),
            from: u32::from(draw.byte() % 20),
            to: u32::from(draw.byte() % 20),
            amount: draw.near(1),
            valid_until: Height(draw.near(self.height + 100)),
        };
        let mut bytes = Vec::new();
        transfer.encode(&mut bytes);
        bytes.into()
    }
}
