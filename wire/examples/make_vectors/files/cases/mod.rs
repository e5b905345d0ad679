//! The bodies of each type of packet: three or more that are right, and where its fields can go wrong. A room for each
//! family of packets.

use bytes::{Bytes, BytesMut};
use duohuo_wire::{
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version},
    lease::{LeaseGiven, LeaseRequest},
    operations::{DiskTimes, put_paused},
    packet::*,
    parts::{LogPart, PartsHeld},
    takeover::{Granting, SignedTakeover, Takeover},
    tlv::Extensions,
};
use ed25519_dalek::SigningKey;

mod clients;
mod handshakes;
mod joining;
mod ledger;
mod liveness;
mod log;
mod orders;
mod snapshots;
mod switching;
mod table;

pub(crate) use orders::{signed_order, signed_takeover};
pub(crate) use table::signed_row;

/// What is said of one type beside what holds for all.
pub(super) struct Case {
    /// Smallest, usual, and near the limits; the usual one comes second.
    pub(super) valid: Vec<(&'static str, Packet)>,
    /// The usual body with some bytes changed.
    pub(super) patches: Vec<Patch>,
}

impl Case {
    /// Of a type whose fields take any value.
    fn of(valid: Vec<(&'static str, Packet)>) -> Self {
        Self { valid, patches: Vec::new() }
    }
}

/// (comment, rule, reason, offset in the usual body, bytes written there).
pub(super) type Patch = (&'static str, &'static str, &'static str, usize, Vec<u8>);

const MAX: u64 = u64::MAX;

/// In the order of the specification.
pub(super) fn case(kind: PacketType) -> Case {
    match kind {
        PacketType::HandshakeInit => handshakes::handshake_init(),
        PacketType::HandshakeResponse => handshakes::handshake_response(),
        PacketType::Cookie => handshakes::cookie(),
        PacketType::Join => joining::join(),
        PacketType::JoinAnswer => joining::join_answer(),
        PacketType::Register => joining::register(),
        PacketType::Registered => joining::registered(),
        PacketType::Update => table::update(),
        PacketType::Change => table::change(),
        PacketType::Notice => table::notice(),
        PacketType::MasterKeepalive => liveness::master_keepalive(),
        PacketType::MasterKeepaliveAnswer => liveness::master_keepalive_answer(),
        PacketType::Query => table::query(),
        PacketType::ConsensusError => switching::consensus_error(),
        PacketType::ForcedSwitch => switching::forced_switch(),
        PacketType::Probe => liveness::probe(),
        PacketType::ProbeAnswer => liveness::probe_answer(),
        PacketType::RosterPush => joining::roster_push(),
        PacketType::History => table::history(),
        PacketType::NodeKeepalive => liveness::node_keepalive(),
        PacketType::GroupKey => joining::group_key(),
        PacketType::RegistrationSync => joining::registration_sync(),
        PacketType::Resync => log::resync(),
        PacketType::Append => log::append(),
        PacketType::Ack => log::ack(),
        PacketType::BlockPush => log::block_push(),
        PacketType::ChainQuery => log::chain_query(),
        PacketType::ChainEnd => log::chain_end(),
        PacketType::SnapshotQuery => snapshots::snapshot_query(),
        PacketType::SnapshotOffer => snapshots::snapshot_offer(),
        PacketType::SnapshotChunk => snapshots::snapshot_chunk(),
        PacketType::RangeQuery => snapshots::range_query(),
        PacketType::Consensus => log::consensus(),
        PacketType::Submit => clients::submit(),
        PacketType::SubmitAnswer => clients::submit_answer(),
        PacketType::StatusQuery => clients::status_query(),
        PacketType::StatusAnswer => clients::status_answer(),
        PacketType::Watch => clients::watch(),
        PacketType::Event => clients::event(),
        PacketType::StateQuery => ledger::state_query(),
        PacketType::StateAnswer => ledger::state_answer(),
        PacketType::BlockQuery => ledger::block_query(),
        PacketType::BlockAnswer => ledger::block_answer(),
        PacketType::Subscribe => ledger::subscribe(),
        PacketType::Unsupported => clients::unsupported(),
        PacketType::Order => orders::order(),
        PacketType::OrderAnswer => orders::order_answer(),
        PacketType::JournalQuery => orders::journal_query(),
        PacketType::Journal => orders::journal(),
        PacketType::Fence => orders::fence(),
        PacketType::FenceAnswer => orders::fence_answer(),
        PacketType::Fenced => orders::fenced(),
    }
}

fn none() -> Extensions {
    Extensions::default()
}

fn nodes(ids: impl IntoIterator<Item = u32>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

/// An enum's first unassigned value, and the highest.
fn enum_patches(what: &'static str, more: &'static str, offset: usize, first_free: u8) -> [Patch; 2] {
    [
        (what, "W-ENC-1", "bad_value", offset, vec![first_free]),
        (more, "W-ENC-1", "bad_value", offset, vec![255]),
    ]
}

/// A list of two nodes: its count and its first node stand at these offsets.
fn node_list_patches(count: usize, first: usize) -> [Patch; 4] {
    [
        ("more nodes promised than there are bytes", "W-ENC-2", "truncated", count, vec![0xFF, 0xFF]),
        ("the same node twice", "W-ENC-3", "not_canonical", first, vec![0, 0, 0, 7, 0, 0, 0, 7]),
        ("nodes in descending order", "W-ENC-3", "not_canonical", first, vec![0, 0, 0, 9, 0, 0, 0, 8]),
        (
            "descending as unsigned numbers",
            "W-ENC-3",
            "not_canonical",
            first,
            vec![0xFF, 0, 0, 9, 0, 0, 0, 8],
        ),
    ]
}
