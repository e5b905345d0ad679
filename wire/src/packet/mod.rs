//! All packets, one file each: a struct, its body's encoding, and its tests.
//!
//! A body is a fixed part, then extensions (see [`crate::tlv`]). `decode` reads all of its input or names the first
//! rule that was broken; for everything it accepts, `encode` gives the same bytes back. `encode` is total: what does
//! not fit a count (65,535 items, 65,535 bytes) is cut; the limits of spec/wire.md lie far below.

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field, Parsed},
    error::DecodeError,
    handshake::Transport,
    header,
    ids::{Epoch, Height, NodeId},
    tlv::Extensions,
};

pub use crate::{
    statement::{NodeSealedId, Row, SignedResult, SignedRow, SignedSwitch},
    status::Role,
};

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
pub(crate) mod testing;

mod ack;
mod append;
mod block_push;
mod chain_end;
mod chain_query;
mod change;
mod consensus;
mod consensus_error;
mod cookie;
mod event;
mod forced_switch;
mod group_key;
mod handshake_init;
mod handshake_response;
mod history;
mod join;
mod join_answer;
mod master_keepalive;
mod master_keepalive_answer;
mod node_keepalive;
mod notice;
mod probe;
mod probe_answer;
mod query;
mod register;
mod registered;
mod registration_sync;
mod resync;
mod roster_push;
mod status_answer;
mod status_query;
mod submit;
mod submit_answer;
mod unsupported;
mod update;
mod watch;

pub use ack::Ack;
pub use append::Append;
pub use block_push::BlockPush;
pub use chain_end::ChainEnd;
pub use chain_query::ChainQuery;
pub use change::{Change, ChangeKind};
pub use consensus::Consensus;
pub use consensus_error::ConsensusError;
pub use cookie::Cookie;
pub use event::Event;
pub use forced_switch::ForcedSwitch;
pub use group_key::GroupKey;
pub use handshake_init::HandshakeInit;
pub use handshake_response::HandshakeResponse;
pub use history::History;
pub use join::Join;
pub use join_answer::{JoinAnswer, JoinVerdict};
pub use master_keepalive::MasterKeepalive;
pub use master_keepalive_answer::MasterKeepaliveAnswer;
pub use node_keepalive::{Heard, NodeKeepalive};
pub use notice::{Notice, Outcome};
pub use probe::Probe;
pub use probe_answer::ProbeAnswer;
pub use query::{Query, QueryScope};
pub use register::Register;
pub use registered::{RegisterVerdict, Registered};
pub use registration_sync::RegistrationSync;
pub use resync::Resync;
pub use roster_push::RosterPush;
pub use status_answer::StatusAnswer;
pub use status_query::StatusQuery;
pub use submit::Submit;
pub use submit_answer::{SubmitAnswer, SubmitVerdict};
pub use unsupported::Unsupported;
pub use update::{ClaimReason, Update};
pub use watch::Watch;

crate::codec::code_enum! {
    /// The type of a packet.
    PacketType {
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
        /// The answer to an authentic packet of a type or critical extension the receiver does not know.
        Unsupported = 0x5f,
    }
}

/// Any packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Packet {
    /// Opens a session: Noise IK message 1.
    HandshakeInit(HandshakeInit),
    /// Completes a session: Noise IK message 2.
    HandshakeResponse(HandshakeResponse),
    /// Answers an initiation under load: come again and prove your address.
    Cookie(Cookie),
    /// A node asks to be verified as a member of its cluster.
    Join(Join),
    /// The verdict on a join, and the sealed cluster ID if the cluster is registered.
    JoinAnswer(JoinAnswer),
    /// A cluster's first master registers the cluster.
    Register(Register),
    /// The verdict on a registration, with a sealed cluster ID for every node of the cluster.
    Registered(Registered),
    /// The master update: a node claims the mastership of its cluster.
    Update(Update),
    /// A master asks for a change of its row that changes no master.
    Change(Change),
    /// The authority's signed row: after every change, and as the answer to a claim, change or query.
    Notice(Notice),
    /// A master refreshes the ageing timer of its row.
    MasterKeepalive(MasterKeepalive),
    /// The authority answers a master's keepalive.
    MasterKeepaliveAnswer(MasterKeepaliveAnswer),
    /// Asks for rows of the table or for the history of masters.
    Query(Query),
    /// A master reports a cluster whose result differs, with the signed results.
    ConsensusError(ConsensusError),
    /// The authority's signed order that a cluster change its master.
    ForcedSwitch(ForcedSwitch),
    /// Asks: are you there, and as what.
    Probe(Probe),
    /// Answers a probe.
    ProbeAnswer(ProbeAnswer),
    /// The authority hands on the signed roster.
    RosterPush(RosterPush),
    /// Who was master of a cluster in which epoch, signed by the authority.
    History(History),
    /// Every node, on a timer, to its whole cluster: what fills the neighbour tables.
    NodeKeepalive(NodeKeepalive),
    /// The master hands every member the secret of the cluster's keepalives.
    GroupKey(GroupKey),
    /// The master hands on what registration returned.
    RegistrationSync(RegistrationSync),
    /// A new master makes a member's log equal to its own.
    Resync(Resync),
    /// The master appends to a member's log, before it speaks.
    Append(Append),
    /// A member holds the log up to here, durably.
    Ack(Ack),
    /// The master hands on a committed block.
    BlockPush(BlockPush),
    /// Asks for committed blocks.
    ChainQuery(ChainQuery),
    /// Ends the answer to a chain query.
    ChainEnd(ChainEnd),
    /// A message of the consensus algorithm, between masters.
    Consensus(Consensus),
    /// A client submits a transaction.
    Submit(Submit),
    /// What became of a transaction.
    SubmitAnswer(SubmitAnswer),
    /// Asks for a report.
    StatusQuery(StatusQuery),
    /// A report.
    StatusAnswer(StatusAnswer),
    /// Asks for events as they happen.
    Watch(Watch),
    /// Something happened.
    Event(Event),
    /// The answer to an authentic packet of a type or critical extension the receiver does not know.
    Unsupported(Unsupported),
}

impl Packet {
    /// The packet's type.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::HandshakeInit(_) => PacketType::HandshakeInit,
            Self::HandshakeResponse(_) => PacketType::HandshakeResponse,
            Self::Cookie(_) => PacketType::Cookie,
            Self::Join(_) => PacketType::Join,
            Self::JoinAnswer(_) => PacketType::JoinAnswer,
            Self::Register(_) => PacketType::Register,
            Self::Registered(_) => PacketType::Registered,
            Self::Update(_) => PacketType::Update,
            Self::Change(_) => PacketType::Change,
            Self::Notice(_) => PacketType::Notice,
            Self::MasterKeepalive(_) => PacketType::MasterKeepalive,
            Self::MasterKeepaliveAnswer(_) => PacketType::MasterKeepaliveAnswer,
            Self::Query(_) => PacketType::Query,
            Self::ConsensusError(_) => PacketType::ConsensusError,
            Self::ForcedSwitch(_) => PacketType::ForcedSwitch,
            Self::Probe(_) => PacketType::Probe,
            Self::ProbeAnswer(_) => PacketType::ProbeAnswer,
            Self::RosterPush(_) => PacketType::RosterPush,
            Self::History(_) => PacketType::History,
            Self::NodeKeepalive(_) => PacketType::NodeKeepalive,
            Self::GroupKey(_) => PacketType::GroupKey,
            Self::RegistrationSync(_) => PacketType::RegistrationSync,
            Self::Resync(_) => PacketType::Resync,
            Self::Append(_) => PacketType::Append,
            Self::Ack(_) => PacketType::Ack,
            Self::BlockPush(_) => PacketType::BlockPush,
            Self::ChainQuery(_) => PacketType::ChainQuery,
            Self::ChainEnd(_) => PacketType::ChainEnd,
            Self::Consensus(_) => PacketType::Consensus,
            Self::Submit(_) => PacketType::Submit,
            Self::SubmitAnswer(_) => PacketType::SubmitAnswer,
            Self::StatusQuery(_) => PacketType::StatusQuery,
            Self::StatusAnswer(_) => PacketType::StatusAnswer,
            Self::Watch(_) => PacketType::Watch,
            Self::Event(_) => PacketType::Event,
            Self::Unsupported(_) => PacketType::Unsupported,
        }
    }

    /// The packet's name, as in the specification.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.packet_type().name()
    }

    /// Reads the body of a packet of a type.
    ///
    /// # Errors
    /// The type is not known; or the first field that is cut, out of range, or not canonical.
    pub fn decode(packet_type: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let packet_type = PacketType::from_code(packet_type).ok_or(DecodeError::UnknownType(packet_type))?;
        Ok(match packet_type {
            PacketType::HandshakeInit => Self::HandshakeInit(HandshakeInit::decode(body)?),
            PacketType::HandshakeResponse => Self::HandshakeResponse(HandshakeResponse::decode(body)?),
            PacketType::Cookie => Self::Cookie(Cookie::decode(body)?),
            PacketType::Join => Self::Join(Join::decode(body)?),
            PacketType::JoinAnswer => Self::JoinAnswer(JoinAnswer::decode(body)?),
            PacketType::Register => Self::Register(Register::decode(body)?),
            PacketType::Registered => Self::Registered(Registered::decode(body)?),
            PacketType::Update => Self::Update(Update::decode(body)?),
            PacketType::Change => Self::Change(Change::decode(body)?),
            PacketType::Notice => Self::Notice(Notice::decode(body)?),
            PacketType::MasterKeepalive => Self::MasterKeepalive(MasterKeepalive::decode(body)?),
            PacketType::MasterKeepaliveAnswer => {
                Self::MasterKeepaliveAnswer(MasterKeepaliveAnswer::decode(body)?)
            }
            PacketType::Query => Self::Query(Query::decode(body)?),
            PacketType::ConsensusError => Self::ConsensusError(ConsensusError::decode(body)?),
            PacketType::ForcedSwitch => Self::ForcedSwitch(ForcedSwitch::decode(body)?),
            PacketType::Probe => Self::Probe(Probe::decode(body)?),
            PacketType::ProbeAnswer => Self::ProbeAnswer(ProbeAnswer::decode(body)?),
            PacketType::RosterPush => Self::RosterPush(RosterPush::decode(body)?),
            PacketType::History => Self::History(History::decode(body)?),
            PacketType::NodeKeepalive => Self::NodeKeepalive(NodeKeepalive::decode(body)?),
            PacketType::GroupKey => Self::GroupKey(GroupKey::decode(body)?),
            PacketType::RegistrationSync => Self::RegistrationSync(RegistrationSync::decode(body)?),
            PacketType::Resync => Self::Resync(Resync::decode(body)?),
            PacketType::Append => Self::Append(Append::decode(body)?),
            PacketType::Ack => Self::Ack(Ack::decode(body)?),
            PacketType::BlockPush => Self::BlockPush(BlockPush::decode(body)?),
            PacketType::ChainQuery => Self::ChainQuery(ChainQuery::decode(body)?),
            PacketType::ChainEnd => Self::ChainEnd(ChainEnd::decode(body)?),
            PacketType::Consensus => Self::Consensus(Consensus::decode(body)?),
            PacketType::Submit => Self::Submit(Submit::decode(body)?),
            PacketType::SubmitAnswer => Self::SubmitAnswer(SubmitAnswer::decode(body)?),
            PacketType::StatusQuery => Self::StatusQuery(StatusQuery::decode(body)?),
            PacketType::StatusAnswer => Self::StatusAnswer(StatusAnswer::decode(body)?),
            PacketType::Watch => Self::Watch(Watch::decode(body)?),
            PacketType::Event => Self::Event(Event::decode(body)?),
            PacketType::Unsupported => Self::Unsupported(Unsupported::decode(body)?),
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::HandshakeInit(packet) => packet.encode(out),
            Self::HandshakeResponse(packet) => packet.encode(out),
            Self::Cookie(packet) => packet.encode(out),
            Self::Join(packet) => packet.encode(out),
            Self::JoinAnswer(packet) => packet.encode(out),
            Self::Register(packet) => packet.encode(out),
            Self::Registered(packet) => packet.encode(out),
            Self::Update(packet) => packet.encode(out),
            Self::Change(packet) => packet.encode(out),
            Self::Notice(packet) => packet.encode(out),
            Self::MasterKeepalive(packet) => packet.encode(out),
            Self::MasterKeepaliveAnswer(packet) => packet.encode(out),
            Self::Query(packet) => packet.encode(out),
            Self::ConsensusError(packet) => packet.encode(out),
            Self::ForcedSwitch(packet) => packet.encode(out),
            Self::Probe(packet) => packet.encode(out),
            Self::ProbeAnswer(packet) => packet.encode(out),
            Self::RosterPush(packet) => packet.encode(out),
            Self::History(packet) => packet.encode(out),
            Self::NodeKeepalive(packet) => packet.encode(out),
            Self::GroupKey(packet) => packet.encode(out),
            Self::RegistrationSync(packet) => packet.encode(out),
            Self::Resync(packet) => packet.encode(out),
            Self::Append(packet) => packet.encode(out),
            Self::Ack(packet) => packet.encode(out),
            Self::BlockPush(packet) => packet.encode(out),
            Self::ChainQuery(packet) => packet.encode(out),
            Self::ChainEnd(packet) => packet.encode(out),
            Self::Consensus(packet) => packet.encode(out),
            Self::Submit(packet) => packet.encode(out),
            Self::SubmitAnswer(packet) => packet.encode(out),
            Self::StatusQuery(packet) => packet.encode(out),
            Self::StatusAnswer(packet) => packet.encode(out),
            Self::Watch(packet) => packet.encode(out),
            Self::Event(packet) => packet.encode(out),
            Self::Unsupported(packet) => packet.encode(out),
        }
    }

    /// The extensions that the packet's own fields do not carry.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        match self {
            Self::HandshakeInit(packet) => &packet.extensions,
            Self::HandshakeResponse(packet) => &packet.extensions,
            Self::Cookie(packet) => &packet.extensions,
            Self::Join(packet) => &packet.extensions,
            Self::JoinAnswer(packet) => &packet.extensions,
            Self::Register(packet) => &packet.extensions,
            Self::Registered(packet) => &packet.extensions,
            Self::Update(packet) => &packet.extensions,
            Self::Change(packet) => &packet.extensions,
            Self::Notice(packet) => &packet.extensions,
            Self::MasterKeepalive(packet) => &packet.extensions,
            Self::MasterKeepaliveAnswer(packet) => &packet.extensions,
            Self::Query(packet) => &packet.extensions,
            Self::ConsensusError(packet) => &packet.extensions,
            Self::ForcedSwitch(packet) => &packet.extensions,
            Self::Probe(packet) => &packet.extensions,
            Self::ProbeAnswer(packet) => &packet.extensions,
            Self::RosterPush(packet) => &packet.extensions,
            Self::History(packet) => &packet.extensions,
            Self::NodeKeepalive(packet) => &packet.extensions,
            Self::GroupKey(packet) => &packet.extensions,
            Self::RegistrationSync(packet) => &packet.extensions,
            Self::Resync(packet) => &packet.extensions,
            Self::Append(packet) => &packet.extensions,
            Self::Ack(packet) => &packet.extensions,
            Self::BlockPush(packet) => &packet.extensions,
            Self::ChainQuery(packet) => &packet.extensions,
            Self::ChainEnd(packet) => &packet.extensions,
            Self::Consensus(packet) => &packet.extensions,
            Self::Submit(packet) => &packet.extensions,
            Self::SubmitAnswer(packet) => &packet.extensions,
            Self::StatusQuery(packet) => &packet.extensions,
            Self::StatusAnswer(packet) => &packet.extensions,
            Self::Watch(packet) => &packet.extensions,
            Self::Event(packet) => &packet.extensions,
            Self::Unsupported(packet) => &packet.extensions,
        }
    }

    /// The whole packet as it is sent outside any session: header, body, CRC. Only for the handshake's types.
    #[must_use]
    pub fn encode_unsealed(&self, sender: NodeId) -> BytesMut {
        let mut out = BytesMut::with_capacity(256);
        header::put(&mut out, self.packet_type(), 0, 0, 0, sender, 0);
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

impl PacketType {
    /// The name, as in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandshakeInit => "HandshakeInit",
            Self::HandshakeResponse => "HandshakeResponse",
            Self::Cookie => "Cookie",
            Self::Join => "Join",
            Self::JoinAnswer => "JoinAnswer",
            Self::Register => "Register",
            Self::Registered => "Registered",
            Self::Update => "Update",
            Self::Change => "Change",
            Self::Notice => "Notice",
            Self::MasterKeepalive => "MasterKeepalive",
            Self::MasterKeepaliveAnswer => "MasterKeepaliveAnswer",
            Self::Query => "Query",
            Self::ConsensusError => "ConsensusError",
            Self::ForcedSwitch => "ForcedSwitch",
            Self::Probe => "Probe",
            Self::ProbeAnswer => "ProbeAnswer",
            Self::RosterPush => "RosterPush",
            Self::History => "History",
            Self::NodeKeepalive => "NodeKeepalive",
            Self::GroupKey => "GroupKey",
            Self::RegistrationSync => "RegistrationSync",
            Self::Resync => "Resync",
            Self::Append => "Append",
            Self::Ack => "Ack",
            Self::BlockPush => "BlockPush",
            Self::ChainQuery => "ChainQuery",
            Self::ChainEnd => "ChainEnd",
            Self::Consensus => "Consensus",
            Self::Submit => "Submit",
            Self::SubmitAnswer => "SubmitAnswer",
            Self::StatusQuery => "StatusQuery",
            Self::StatusAnswer => "StatusAnswer",
            Self::Watch => "Watch",
            Self::Event => "Event",
            Self::Unsupported => "Unsupported",
        }
    }

    /// Whether packets of this type travel outside any session, unsealed: the handshake's.
    #[must_use]
    pub const fn is_handshake(self) -> bool {
        self.code() < header::FIRST_SEALED_TYPE
    }

    /// Whether packets of this type may travel under the group seal. Nothing that changes a role is among them.
    #[must_use]
    pub const fn travels_in_group(self) -> bool {
        matches!(self, Self::NodeKeepalive | Self::Probe | Self::ProbeAnswer)
    }

    /// Whether sealed packets of this type may travel in a session over this transport (W-RCV-9). The probe that proves
    /// a session is not asked: it opens either.
    #[must_use]
    pub const fn travels_over(self, transport: Transport) -> bool {
        match self {
            Self::HandshakeInit | Self::HandshakeResponse | Self::Cookie | Self::NodeKeepalive => false,
            Self::Notice | Self::Query | Self::ForcedSwitch => true,
            Self::Update
            | Self::Change
            | Self::MasterKeepalive
            | Self::MasterKeepaliveAnswer
            | Self::Probe
            | Self::ProbeAnswer => matches!(transport, Transport::Datagram),
            _ => matches!(transport, Transport::Stream),
        }
    }
}

impl From<HandshakeInit> for Packet {
    fn from(packet: HandshakeInit) -> Self {
        Self::HandshakeInit(packet)
    }
}

impl From<HandshakeResponse> for Packet {
    fn from(packet: HandshakeResponse) -> Self {
        Self::HandshakeResponse(packet)
    }
}

impl From<Cookie> for Packet {
    fn from(packet: Cookie) -> Self {
        Self::Cookie(packet)
    }
}

impl From<Join> for Packet {
    fn from(packet: Join) -> Self {
        Self::Join(packet)
    }
}

impl From<JoinAnswer> for Packet {
    fn from(packet: JoinAnswer) -> Self {
        Self::JoinAnswer(packet)
    }
}

impl From<Register> for Packet {
    fn from(packet: Register) -> Self {
        Self::Register(packet)
    }
}

impl From<Registered> for Packet {
    fn from(packet: Registered) -> Self {
        Self::Registered(packet)
    }
}

impl From<Update> for Packet {
    fn from(packet: Update) -> Self {
        Self::Update(packet)
    }
}

impl From<Change> for Packet {
    fn from(packet: Change) -> Self {
        Self::Change(packet)
    }
}

impl From<Notice> for Packet {
    fn from(packet: Notice) -> Self {
        Self::Notice(packet)
    }
}

impl From<MasterKeepalive> for Packet {
    fn from(packet: MasterKeepalive) -> Self {
        Self::MasterKeepalive(packet)
    }
}

impl From<MasterKeepaliveAnswer> for Packet {
    fn from(packet: MasterKeepaliveAnswer) -> Self {
        Self::MasterKeepaliveAnswer(packet)
    }
}

impl From<Query> for Packet {
    fn from(packet: Query) -> Self {
        Self::Query(packet)
    }
}

impl From<ConsensusError> for Packet {
    fn from(packet: ConsensusError) -> Self {
        Self::ConsensusError(packet)
    }
}

impl From<ForcedSwitch> for Packet {
    fn from(packet: ForcedSwitch) -> Self {
        Self::ForcedSwitch(packet)
    }
}

impl From<Probe> for Packet {
    fn from(packet: Probe) -> Self {
        Self::Probe(packet)
    }
}

impl From<ProbeAnswer> for Packet {
    fn from(packet: ProbeAnswer) -> Self {
        Self::ProbeAnswer(packet)
    }
}

impl From<RosterPush> for Packet {
    fn from(packet: RosterPush) -> Self {
        Self::RosterPush(packet)
    }
}

impl From<History> for Packet {
    fn from(packet: History) -> Self {
        Self::History(packet)
    }
}

impl From<NodeKeepalive> for Packet {
    fn from(packet: NodeKeepalive) -> Self {
        Self::NodeKeepalive(packet)
    }
}

impl From<GroupKey> for Packet {
    fn from(packet: GroupKey) -> Self {
        Self::GroupKey(packet)
    }
}

impl From<RegistrationSync> for Packet {
    fn from(packet: RegistrationSync) -> Self {
        Self::RegistrationSync(packet)
    }
}

impl From<Resync> for Packet {
    fn from(packet: Resync) -> Self {
        Self::Resync(packet)
    }
}

impl From<Append> for Packet {
    fn from(packet: Append) -> Self {
        Self::Append(packet)
    }
}

impl From<Ack> for Packet {
    fn from(packet: Ack) -> Self {
        Self::Ack(packet)
    }
}

impl From<BlockPush> for Packet {
    fn from(packet: BlockPush) -> Self {
        Self::BlockPush(packet)
    }
}

impl From<ChainQuery> for Packet {
    fn from(packet: ChainQuery) -> Self {
        Self::ChainQuery(packet)
    }
}

impl From<ChainEnd> for Packet {
    fn from(packet: ChainEnd) -> Self {
        Self::ChainEnd(packet)
    }
}

impl From<Consensus> for Packet {
    fn from(packet: Consensus) -> Self {
        Self::Consensus(packet)
    }
}

impl From<Submit> for Packet {
    fn from(packet: Submit) -> Self {
        Self::Submit(packet)
    }
}

impl From<SubmitAnswer> for Packet {
    fn from(packet: SubmitAnswer) -> Self {
        Self::SubmitAnswer(packet)
    }
}

impl From<StatusQuery> for Packet {
    fn from(packet: StatusQuery) -> Self {
        Self::StatusQuery(packet)
    }
}

impl From<StatusAnswer> for Packet {
    fn from(packet: StatusAnswer) -> Self {
        Self::StatusAnswer(packet)
    }
}

impl From<Watch> for Packet {
    fn from(packet: Watch) -> Self {
        Self::Watch(packet)
    }
}

impl From<Event> for Packet {
    fn from(packet: Event) -> Self {
        Self::Event(packet)
    }
}

impl From<Unsupported> for Packet {
    fn from(packet: Unsupported) -> Self {
        Self::Unsupported(packet)
    }
}

/// One record of a cluster's log, as it travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireRecord {
    /// The height it belongs to.
    pub height: Height,
    /// The epoch it was written in.
    pub epoch: Epoch,
    /// As the consensus core encodes it.
    pub bytes: Bytes,
}

impl Field for WireRecord {
    const LEAST: usize = 20;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let record = Self {
            height: codec::get(input, "record.height")?,
            epoch: codec::get(input, "record.epoch")?,
            bytes: codec::get_bytes32(input, "record.bytes")?,
        };
        Ok((input, record))
    }
    fn put(&self, out: &mut BytesMut) {
        self.height.put(out);
        self.epoch.put(out);
        codec::put_bytes32(&self.bytes, out);
    }
}

#[cfg(test)]
mod tests;
