//! All packets, one file each: a struct, its body's encoding, and its tests.
//!
//! A body is a fixed part, then extensions (see [`crate::tlv`]). `decode` reads all of its input or names the first
//! rule that was broken; for everything it accepts, `encode` gives the same bytes back. `encode` is total: what does
//! not fit a count (65,535 items, 65,535 bytes) is cut; the limits of spec/wire.md lie far below.

use bytes::BytesMut;

use crate::{error::DecodeError, header, ids::NodeId, tlv::Extensions, versions};

pub use crate::{
    journal::{DecisionKind, DecisionReason, JournalEntry},
    order::{OrderKind, SignedOrder},
    statement::{NodeSealedId, Row, SignedResult, SignedRow, SignedSwitch},
    status::Role,
};

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
pub(crate) mod testing;

mod ack;
mod append;
mod block_answer;
mod block_push;
mod block_query;
mod chain_end;
mod chain_query;
mod change;
mod consensus;
mod consensus_error;
mod cookie;
mod event;
mod fence;
mod fence_answer;
mod fenced;
mod forced_switch;
mod group_key;
mod handshake_init;
mod handshake_response;
mod history;
mod join;
mod join_answer;
mod journal;
mod journal_query;
mod master_keepalive;
mod master_keepalive_answer;
mod node_keepalive;
mod notice;
mod order;
mod order_answer;
mod probe;
mod probe_answer;
mod query;
mod range_query;
mod record;
mod register;
mod registered;
mod registration_sync;
mod resync;
mod roster_push;
mod snapshot_chunk;
mod snapshot_offer;
mod snapshot_query;
mod state_answer;
mod state_query;
mod status_answer;
mod status_query;
mod submit;
mod submit_answer;
mod subscribe;
mod table;
mod travel;
mod unsupported;
mod update;
mod watch;

pub use ack::Ack;
pub use append::Append;
pub use block_answer::BlockAnswer;
pub use block_push::BlockPush;
pub use block_query::BlockQuery;
pub use chain_end::ChainEnd;
pub use chain_query::ChainQuery;
pub use change::{Change, ChangeKind};
pub use consensus::Consensus;
pub use consensus_error::ConsensusError;
pub use cookie::Cookie;
pub use event::Event;
pub use fence::Fence;
pub use fence_answer::FenceAnswer;
pub use fenced::Fenced;
pub use forced_switch::ForcedSwitch;
pub use group_key::GroupKey;
pub use handshake_init::HandshakeInit;
pub use handshake_response::HandshakeResponse;
pub use history::History;
pub use join::Join;
pub use join_answer::{JoinAnswer, JoinVerdict};
pub use journal::Journal;
pub use journal_query::JournalQuery;
pub use master_keepalive::MasterKeepalive;
pub use master_keepalive_answer::MasterKeepaliveAnswer;
pub use node_keepalive::{Heard, NodeKeepalive};
pub use notice::{Notice, Outcome};
pub use order::Order;
pub use order_answer::{OrderAnswer, OrderOutcome};
pub use probe::Probe;
pub use probe_answer::ProbeAnswer;
pub use query::{Query, QueryScope};
pub use range_query::RangeQuery;
pub use record::WireRecord;
pub use register::Register;
pub use registered::{RegisterVerdict, Registered};
pub use registration_sync::RegistrationSync;
pub use resync::Resync;
pub use roster_push::RosterPush;
pub use snapshot_chunk::SnapshotChunk;
pub use snapshot_offer::SnapshotOffer;
pub use snapshot_query::SnapshotQuery;
pub use state_answer::StateAnswer;
pub use state_query::StateQuery;
pub use status_answer::StatusAnswer;
pub use status_query::StatusQuery;
pub use submit::Submit;
pub use submit_answer::{SubmitAnswer, SubmitVerdict};
pub use subscribe::Subscribe;
pub use unsupported::Unsupported;
pub use update::{ClaimReason, Update};
pub use watch::Watch;

table::packets! {
    /// Opens a session: Noise IK message 1.
    HandshakeInit = 0x01,
    /// Completes a session: Noise IK message 2.
    HandshakeResponse = 0x02,
    /// Answers an initiation under load: come again and prove your address.
    Cookie = 0x03,
    /// A node asks to be verified as a member of its cluster.
    Join = 0x10,
    /// The verdict on a join, and the sealed cluster ID if the cluster is registered.
    JoinAnswer = 0x11,
    /// A cluster's first master registers the cluster.
    Register = 0x12,
    /// The verdict on a registration, with a sealed cluster ID for every node of the cluster.
    Registered = 0x13,
    /// The master update: a node claims the mastership of its cluster.
    Update = 0x14,
    /// A master asks for a change of its row that changes no master.
    Change = 0x15,
    /// The authority's signed row: after every change, and as the answer to a claim, change or query.
    Notice = 0x16,
    /// A master refreshes the ageing timer of its row.
    MasterKeepalive = 0x17,
    /// The authority answers a master's keepalive.
    MasterKeepaliveAnswer = 0x18,
    /// Asks for rows of the table or for the history of masters.
    Query = 0x19,
    /// A master reports a cluster whose result differs, with the signed results.
    ConsensusError = 0x1a,
    /// The authority's signed order that a cluster change its master.
    ForcedSwitch = 0x1b,
    /// Asks: are you there, and as what.
    Probe = 0x1c,
    /// Answers a probe.
    ProbeAnswer = 0x1d,
    /// The authority hands on the signed roster.
    RosterPush = 0x1e,
    /// Who was master of a cluster in which epoch, signed by the authority.
    History = 0x1f,
    /// Every node, on a timer, to its whole cluster: what fills the neighbour tables.
    NodeKeepalive = 0x20,
    /// The master hands every member the secret of the cluster's keepalives.
    GroupKey = 0x21,
    /// The master hands on what registration returned.
    RegistrationSync = 0x30,
    /// A new master makes a member's log equal to its own.
    Resync = 0x31,
    /// The master appends to a member's log, before it speaks.
    Append = 0x32,
    /// A member holds the log up to here, durably.
    Ack = 0x33,
    /// The master hands on a committed block.
    BlockPush = 0x34,
    /// Asks for committed blocks.
    ChainQuery = 0x35,
    /// Ends the answer to a chain query.
    ChainEnd = 0x36,
    /// Asks for a snapshot, or for a piece of one.
    SnapshotQuery = 0x3c,
    /// What a snapshot is made of, and what proves it.
    SnapshotOffer = 0x3d,
    /// A piece of a snapshot.
    SnapshotChunk = 0x3e,
    /// Asks for committed blocks of some heights.
    RangeQuery = 0x3f,
    /// A message of the consensus algorithm, between masters.
    Consensus = 0x40,
    /// A client submits a transaction.
    Submit = 0x50,
    /// What became of a transaction.
    SubmitAnswer = 0x51,
    /// Asks for a report.
    StatusQuery = 0x52,
    /// A report.
    StatusAnswer = 0x53,
    /// Asks for events as they happen.
    Watch = 0x54,
    /// Something happened.
    Event = 0x55,
    /// A client asks about the state of the application.
    StateQuery = 0x56,
    /// What the state of the application is, as one node has it.
    StateAnswer = 0x57,
    /// A client asks for a committed block.
    BlockQuery = 0x58,
    /// A committed block for a client, with its proof.
    BlockAnswer = 0x59,
    /// A client asks for blocks as they are committed.
    Subscribe = 0x5a,
    /// The answer to an authentic packet of a type or critical extension the receiver does not know.
    Unsupported = 0x5f,
    /// An operator's signed order, handed in by a client.
    Order = 0x60,
    /// What became of an order.
    OrderAnswer = 0x61,
    /// Asks for the authority's decisions, a page at a time.
    JournalQuery = 0x62,
    /// A page of the authority's decisions, chained by hashes, the head signed.
    Journal = 0x63,
    /// A forced master asks another cluster to count nothing of its cluster's older epochs.
    Fence = 0x64,
    /// The promise of another cluster, durable on its whole in-sync set.
    FenceAnswer = 0x65,
    /// A forced master tells the authority that its fence stands.
    Fenced = 0x66,
}

impl Packet {
    /// The whole packet as it is sent outside any session: header, body, CRC. Only for the handshake's types.
    #[must_use]
    pub fn encode_unsealed(&self, sender: NodeId) -> BytesMut {
        let mut out = BytesMut::with_capacity(256);
        header::put(&mut out, versions::FIRST, self.packet_type(), 0, 0, 0, sender, 0);
        self.encode(&mut out);
        header::finish(&mut out);
        out
    }

    /// Reads a whole packet that is not sealed, header and CRC included.
    ///
    /// # Errors
    /// The first reception check that fails; `Sealed` if the packet is sealed.
    pub fn decode_unsealed(bytes: &[u8]) -> Result<(header::Header, Self), DecodeError> {
        let header = header::Header::decode(bytes)?;
        if header.is_sealed() {
            return Err(DecodeError::Sealed);
        }
        let body = bytes
            .get(header::HEADER_BYTES..bytes.len().saturating_sub(header::CRC_BYTES))
            .ok_or(DecodeError::TooShort)?;
        Ok((header, Self::decode(header.packet_type, body)?))
    }
}

#[cfg(test)]
mod tests;
