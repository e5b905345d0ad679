//! Packets drawn from a string of bytes: what the property tests run over.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use core::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};

use super::*;
use crate::codec::Field;

/// Turns bytes into values; yields zeros when they are used up.
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn few(&mut self) -> usize {
        usize::from(self.byte() % 5)
    }

    /// Any value of a type, by trying its parser on ever longer draws of bytes made plausible.
    pub(crate) fn take<T: Arbitrary>(&mut self) -> T {
        T::draw(self)
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()]
    }

    fn option<T: Arbitrary>(&mut self) -> Option<T> {
        bool::draw(self).then(|| T::draw(self))
    }

    fn bytes(&mut self) -> Bytes {
        let count = usize::from(self.byte() % 40);
        (0..count).map(|_| self.byte()).collect()
    }

    fn text(&mut self) -> String {
        (0..self.few()).map(|_| char::from(self.byte() & 0x7F)).collect()
    }

    fn list<T: Arbitrary>(&mut self) -> Vec<T> {
        (0..self.few()).map(|_| T::draw(self)).collect()
    }

    fn nodes(&mut self) -> Vec<NodeId> {
        let mut list: Vec<NodeId> = self.list();
        list.sort_unstable();
        list.dedup();
        list
    }

    fn sealed_ids(&mut self) -> Vec<NodeSealedId> {
        self.nodes().into_iter().map(|node| NodeSealedId { node, sealed_id: self.bytes() }).collect()
    }

    fn heard(&mut self) -> Vec<Heard> {
        self.nodes().into_iter().map(|node| Heard { node, sequence: self.take() }).collect()
    }

    fn extensions(&mut self) -> Extensions {
        let mut extensions = Extensions::new();
        for _ in 0..self.few() {
            // 1 is the heard list, known to one packet; the critical ones are refused.
            let kind = self.take::<u16>() & 0x7FFF;
            extensions.insert(kind.max(2), &self.bytes());
        }
        extensions
    }
}

/// Drawn from a [`Source`].
pub(crate) trait Arbitrary {
    fn draw(source: &mut Source) -> Self;
}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        impl Arbitrary for $ty {
            fn draw(source: &mut Source) -> Self {
                let bytes: Vec<u8> = (0..Self::LEAST).map(|_| source.byte()).collect();
                Self::parse(&bytes, "").unwrap().1
            }
        }
    )*};
}
plain! { u8, u16, u32, u64, crate::ids::NodeId, crate::ids::ClusterId, crate::ids::Epoch, crate::ids::Version, crate::ids::Height, crate::ids::LogIndex }

impl<const N: usize> Arbitrary for [u8; N] {
    fn draw(source: &mut Source) -> Self {
        core::array::from_fn(|_| source.byte())
    }
}

impl Arbitrary for bool {
    fn draw(source: &mut Source) -> Self {
        source.byte() & 1 == 1
    }
}

impl Arbitrary for SocketAddr {
    fn draw(source: &mut Source) -> Self {
        let mut bytes = BytesMut::new();
        let (family, width) = if bool::draw(source) { (4, 4) } else { (6, 16) };
        bytes.put_u8(family);
        for _ in 0..width + 2 {
            bytes.put_u8(source.byte());
        }
        Self::parse(&bytes, "").unwrap().1
    }
}

impl Arbitrary for SignedResult {
    fn draw(source: &mut Source) -> Self {
        Self {
            cluster: source.take(),
            node: source.take(),
            epoch: source.take(),
            height: source.take(),
            hash: source.take(),
            signature: source.take(),
        }
    }
}

impl Arbitrary for SignedSwitch {
    fn draw(source: &mut Source) -> Self {
        Self {
            cluster: source.take(),
            epoch: source.take(),
            old_master: source.take(),
            height: source.take(),
            proven: source.take(),
            signature: source.take(),
        }
    }
}

impl Arbitrary for SignedOrder {
    fn draw(source: &mut Source) -> Self {
        Self {
            consortium: source.take(),
            number: source.take(),
            kind: source.pick(OrderKind::ALL),
            cluster: source.take(),
            node: source.take(),
            epoch: source.take(),
            expires: source.take(),
            who: source.text(),
            why: source.text(),
            signature: source.take(),
        }
    }
}

impl Arbitrary for JournalEntry {
    fn draw(source: &mut Source) -> Self {
        Self {
            number: source.take(),
            at_unix_us: source.take(),
            kind: source.pick(DecisionKind::ALL),
            reason: source.pick(DecisionReason::ALL),
            cluster: source.take(),
            epoch: source.take(),
            version: source.take(),
            old: source.take(),
            new: source.take(),
            node: source.take(),
            order: source.bytes(),
        }
    }
}

impl Arbitrary for Row {
    fn draw(source: &mut Source) -> Self {
        Self {
            cluster: source.take(),
            epoch: source.take(),
            version: source.take(),
            master: source.take(),
            in_sync: source.nodes(),
            barred: source.nodes(),
            unfenced: source.take(),
            table_version: source.take(),
        }
    }
}

impl Arbitrary for SignedRow {
    fn draw(source: &mut Source) -> Self {
        Self { row: source.take(), signature: source.take() }
    }
}

impl Arbitrary for WireRecord {
    fn draw(source: &mut Source) -> Self {
        Self { height: source.take(), epoch: source.take(), bytes: source.bytes() }
    }
}

/// A packet of a type, its fields drawn from `source`.
pub(crate) fn packet(packet_type: PacketType, source: &mut Source) -> Packet {
    match packet_type {
        PacketType::HandshakeInit => HandshakeInit {
            initiator_session: source.take(),
            noise: source.take(),
            mac1: source.take(),
            mac2: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::HandshakeResponse => HandshakeResponse {
            initiator_session: source.take(),
            responder_session: source.take(),
            noise: source.take(),
            mac1: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Cookie => Cookie {
            initiator_session: source.take(),
            cookie: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Join => Join {
            request: source.take(),
            cluster: source.take(),
            roster_version: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::JoinAnswer => JoinAnswer {
            request: source.take(),
            verdict: source.pick(JoinVerdict::ALL),
            roster_version: source.take(),
            sealed_id: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Register => {
            Register { request: source.take(), cluster: source.take(), extensions: source.extensions() }
                .into()
        }
        PacketType::Registered => Registered {
            request: source.take(),
            verdict: source.pick(RegisterVerdict::ALL),
            registration_epoch: source.take(),
            sealed_ids: source.sealed_ids(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Update => Update {
            request: source.take(),
            cluster: source.take(),
            epoch: source.take(),
            version: source.take(),
            reason: source.pick(ClaimReason::ALL),
            alive: source.nodes(),
            height: source.take(),
            sealed_id: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Change => Change {
            request: source.take(),
            cluster: source.take(),
            epoch: source.take(),
            version: source.take(),
            kind: source.pick(ChangeKind::ALL),
            node: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Notice => Notice {
            request: source.take(),
            outcome: source.pick(Outcome::ALL),
            table_version: source.take(),
            row: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::MasterKeepalive => MasterKeepalive {
            cluster: source.take(),
            epoch: source.take(),
            height: source.take(),
            challenge: source.take(),
            table_version: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::MasterKeepaliveAnswer => MasterKeepaliveAnswer {
            challenge: source.take(),
            epoch: source.take(),
            table_version: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Query => Query {
            request: source.take(),
            scope: source.pick(QueryScope::ALL),
            cluster: source.take(),
            since: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::ConsensusError => ConsensusError {
            request: source.take(),
            height: source.take(),
            evidence: source.list(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::ForcedSwitch => {
            ForcedSwitch { order: source.take(), extensions: source.extensions() }.into()
        }
        PacketType::Probe => {
            Probe { nonce: source.take(), epoch: source.take(), extensions: source.extensions() }.into()
        }
        PacketType::ProbeAnswer => ProbeAnswer {
            nonce: source.take(),
            role: source.pick(Role::ALL),
            epoch: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::RosterPush => {
            RosterPush { roster: source.bytes(), extensions: source.extensions() }.into()
        }
        PacketType::History => History {
            cluster: source.take(),
            first_epoch: source.take(),
            nodes: source.list(),
            signature: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::NodeKeepalive => NodeKeepalive {
            cluster: source.take(),
            priority: source.take::<u8>().min(254),
            role: source.pick(Role::ALL),
            in_sync: source.take(),
            interval_us: source.take(),
            epoch: source.take(),
            version: source.take(),
            promised: source.take(),
            log_end: source.take(),
            height: source.take(),
            address: source.take(),
            heard: source.heard(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::GroupKey => GroupKey {
            cluster: source.take(),
            generation: source.take(),
            secret: source.take(),
            master: source.take(),
            signature: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::RegistrationSync => RegistrationSync {
            cluster: source.take(),
            registration_epoch: source.take(),
            sealed_ids: source.sealed_ids(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Resync => Resync {
            epoch: source.take(),
            height: source.take(),
            start: source.take(),
            records: source.list(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Append => Append {
            epoch: source.take(),
            start: source.take(),
            released: source.take(),
            records: source.list(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Ack => Ack {
            epoch: source.take(),
            end: source.take(),
            height: source.take(),
            synced: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::BlockPush => {
            BlockPush { height: source.take(), block: source.bytes(), extensions: source.extensions() }.into()
        }
        PacketType::ChainQuery => {
            ChainQuery { from: source.take(), max_bytes: source.take(), extensions: source.extensions() }
                .into()
        }
        PacketType::ChainEnd => ChainEnd { height: source.take(), extensions: source.extensions() }.into(),
        PacketType::SnapshotQuery => {
            SnapshotQuery { height: source.take(), chunk: source.take(), extensions: source.extensions() }
                .into()
        }
        PacketType::SnapshotOffer => SnapshotOffer {
            height: source.take(),
            manifest: source.bytes(),
            proof: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::SnapshotChunk => SnapshotChunk {
            height: source.take(),
            chunk: source.take(),
            content: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::RangeQuery => RangeQuery {
            from: source.take(),
            to: source.take(),
            max_bytes: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Consensus => Consensus {
            cluster: source.take(),
            epoch: source.take(),
            message: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Submit => {
            Submit { request: source.take(), transaction: source.bytes(), extensions: source.extensions() }
                .into()
        }
        PacketType::SubmitAnswer => SubmitAnswer {
            request: source.take(),
            verdict: source.pick(SubmitVerdict::ALL),
            height: source.take(),
            master: source.option(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::StatusQuery => {
            StatusQuery { request: source.take(), extensions: source.extensions() }.into()
        }
        PacketType::StatusAnswer => {
            StatusAnswer { request: source.take(), report: source.bytes(), extensions: source.extensions() }
                .into()
        }
        PacketType::Watch => {
            Watch { request: source.take(), kinds: source.take(), extensions: source.extensions() }.into()
        }
        PacketType::Event => Event {
            at_unix_us: source.take(),
            kind: source.take(),
            cluster: source.take(),
            node: source.take(),
            epoch: source.take(),
            height: source.take(),
            round: source.take(),
            detail: source.take(),
            hash: source.take(),
            signature: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::StateQuery => {
            StateQuery { request: source.take(), question: source.bytes(), extensions: source.extensions() }
                .into()
        }
        PacketType::StateAnswer => StateAnswer {
            request: source.take(),
            known: source.take(),
            height: source.take(),
            answer: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::BlockQuery => {
            BlockQuery { request: source.take(), height: source.take(), extensions: source.extensions() }
                .into()
        }
        PacketType::BlockAnswer => BlockAnswer {
            request: source.take(),
            height: source.take(),
            block: source.bytes(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Subscribe => Subscribe {
            request: source.take(),
            from: source.take(),
            count: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Unsupported => Unsupported {
            packet_type: source.take(),
            critical_tlv: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Order => {
            Order { request: source.take(), order: source.take(), extensions: source.extensions() }.into()
        }
        PacketType::OrderAnswer => OrderAnswer {
            request: source.take(),
            outcome: source.pick(OrderOutcome::ALL),
            number: source.take(),
            table_version: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::JournalQuery => {
            JournalQuery { request: source.take(), from: source.take(), extensions: source.extensions() }
                .into()
        }
        PacketType::Journal => Journal {
            request: source.take(),
            before: source.take(),
            entries: source.list(),
            head: source.take(),
            head_hash: source.take(),
            signature: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Fence => Fence { row: source.take(), extensions: source.extensions() }.into(),
        PacketType::FenceAnswer => FenceAnswer {
            cluster: source.take(),
            epoch: source.take(),
            height: source.take(),
            extensions: source.extensions(),
        }
        .into(),
        PacketType::Fenced => Fenced {
            request: source.take(),
            cluster: source.take(),
            epoch: source.take(),
            version: source.take(),
            height: source.take(),
            extensions: source.extensions(),
        }
        .into(),
    }
}
