//! The bodies of all packets: what is accepted has exactly one encoding (W-ENC-4), and nothing panics (W-ENC-5).
//!
//! One target for each family of packets that are spoken together: 43 targets would give most of a campaign's time to
//! packets of two numbers. The first byte of an input picks the type within the family, the rest is the body.

use bytes::BytesMut;
use duohuo_wire::{
    header::{Header, MAX_FRAME},
    ids::NodeId,
    packet::{
        Packet,
        PacketType::{self, *},
    },
    stream::FrameReader,
};

/// The families, by the names of their targets; together they are all types.
pub const FAMILIES: &[(&str, &[PacketType])] = &[
    ("packet_handshake", &[HandshakeInit, HandshakeResponse, Cookie]),
    ("packet_joining", &[Join, JoinAnswer, Register, Registered, RegistrationSync, RosterPush]),
    ("packet_claims", &[Update, Change, Notice, Query, History]),
    ("packet_reports", &[ConsensusError, ForcedSwitch, Unsupported]),
    ("packet_orders", &[Order, OrderAnswer, JournalQuery, Journal, Fence, FenceAnswer, Fenced]),
    (
        "packet_keepalives",
        &[MasterKeepalive, MasterKeepaliveAnswer, Probe, ProbeAnswer, NodeKeepalive, GroupKey],
    ),
    ("packet_log", &[Resync, Append, Ack]),
    (
        "packet_blocks",
        &[
            BlockPush,
            ChainQuery,
            ChainEnd,
            Consensus,
            SnapshotQuery,
            SnapshotOffer,
            SnapshotChunk,
            RangeQuery,
        ],
    ),
    (
        "packet_clients",
        &[
            Submit,
            SubmitAnswer,
            StatusQuery,
            StatusAnswer,
            Watch,
            Event,
            StateQuery,
            StateAnswer,
            BlockQuery,
            BlockAnswer,
            Subscribe,
        ],
    ),
];

/// The types of a target; empty if it is not one of packets.
#[must_use]
pub fn family(target: &str) -> &'static [PacketType] {
    FAMILIES.iter().find(|(name, _)| *name == target).map_or(&[], |(_, types)| types)
}

/// The type and the body that an input of a family's target stands for.
#[must_use]
pub fn split<'a>(types: &[PacketType], input: &'a [u8]) -> Option<(PacketType, &'a [u8])> {
    let (pick, body) = input.split_first()?;
    Some((types[usize::from(*pick) % types.len()], body))
}

/// An input of a family's target: a body that is accepted encodes to itself, alone and inside a packet.
pub(crate) fn check(types: &[PacketType], input: &[u8]) {
    let Some((packet_type, body)) = split(types, input) else {
        return;
    };
    let Ok(packet) = Packet::decode(packet_type.code(), body) else {
        return;
    };
    assert_eq!(packet.packet_type(), packet_type);
    let mut bytes = BytesMut::new();
    packet.encode(&mut bytes);
    assert_eq!(&bytes[..], body, "an accepted body encodes to itself");
    assert_eq!(Packet::decode(packet_type.code(), &bytes), Ok(packet.clone()));
    if packet_type.is_handshake() {
        let whole = packet.encode_unsealed(NodeId(7));
        let header = Header::decode(&whole).expect("a packet of ours has a header of ours");
        assert_eq!(Packet::decode_unsealed(&whole), Ok((header, packet)));
        let mut reader = FrameReader::new(MAX_FRAME);
        reader.push(&whole);
        assert_eq!(reader.next(), Ok(Some(whole.freeze())), "and is one packet of a stream");
    }
}
