//! Authenticated links of one machine: Noise sessions over datagrams and over streams (spec/wire.md, "Sessions").
//!
//! The same for both machines. It turns bytes into packets of a known party, and packets into sealed bytes; it decides
//! nothing about what a packet means.

mod allowance;
mod datagram;
mod stream;
mod unspoken;

use crate::discard::Discard;
use crate::held::Held;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::time::{Duration, Instant};
use core::net::SocketAddr;
use datagram::DatagramSessions;
use duohuo_wire::error::DecodeError;
use duohuo_wire::handshake::{self, Prologue, Transport};
use duohuo_wire::ids::NodeId;
use duohuo_wire::operations::Spoken;
use duohuo_wire::packet::{Packet, Unsupported};
use duohuo_wire::roster::Roster;
use duohuo_wire::secret::Secret;
use duohuo_wire::versions::{self, Agreement, Versions};
use std::collections::BTreeMap;
pub(crate) use stream::StreamEvent;
use stream::Streams;
use unspoken::Unspoken;

use crate::io::StreamId;
use bytes::Bytes;

/// Nonce of the probe that an initiator sends as its first sealed packet, to prove the keys: a first message can be
/// replayed, a sealed packet cannot. It is not answered.
const PROOF: u64 = 0;

/// A party of the consortium as the roster names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Party {
    Authority,
    Node(NodeId),
    Client(NodeId),
}

impl Party {
    /// Its number.
    pub(crate) const fn id(self) -> NodeId {
        match self {
            Self::Authority => NodeId::AUTHORITY,
            Self::Node(id) | Self::Client(id) => id,
        }
    }
}

/// Where a party is reached, and by what key it is known.
#[derive(Clone, Copy)]
struct Peer {
    party: Party,
    address: SocketAddr,
    key: [u8; 32],
}

/// Who we are and whom we know: what both kinds of sessions need.
pub(crate) struct Identity {
    pub(crate) me: NodeId,
    secret: Secret,
    public: [u8; 32],
    consortium: [u8; 16],
    versions: Versions,
    /// Who owns a session key, and from which address a datagram of theirs must come.
    parties: BTreeMap<[u8; 32], (Party, Option<SocketAddr>)>,
    unix_at_zero: Duration,
    last_timestamp: u128,
}

impl Identity {
    fn prologue(&self, transport: Transport) -> Prologue {
        Prologue { consortium: self.consortium, transport }
    }

    /// 12 bytes that grow with every call: Unix seconds and nanoseconds.
    fn timestamp(&mut self, now: Instant) -> [u8; 12] {
        let unix = self.unix_at_zero + Duration::from_nanos(now.as_nanos());
        self.last_timestamp = unix.as_nanos().max(self.last_timestamp + 1);
        let seconds = u64::try_from(self.last_timestamp / 1_000_000_000).unwrap_or(u64::MAX);
        let nanos = u32::try_from(self.last_timestamp % 1_000_000_000).unwrap_or(0);
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&nanos.to_be_bytes());
        bytes
    }
}

/// What a call needs of its machine, for its duration.
pub(crate) struct Turn<'a> {
    pub(crate) now: Instant,
    pub(crate) roster: &'a Roster,
    pub(crate) random: &'a mut Random,
    pub(crate) out: &'a mut Outbox,
}

/// The turn of a machine: both have these fields.
macro_rules! turn {
    ($machine:ident) => {
        &mut crate::links::Turn {
            now: $machine.now,
            roster: &$machine.config.roster,
            random: &mut $machine.random,
            out: &mut $machine.out,
        }
    };
}
pub(crate) use turn;

/// All links of a machine.
pub(crate) struct Links {
    pub(crate) identity: Identity,
    datagrams: DatagramSessions,
    streams: Streams,
    settled: Settled,
    unspoken: Unspoken,
}

/// What was found of the streams when all that was due had been done: most inputs change none of it.
#[derive(Default)]
struct Settled {
    /// Their changes by then; `None`: nothing was found yet.
    changes: Option<u64>,
    /// When to be called at the latest.
    timeout: Option<Instant>,
}

/// What a datagram was.
#[derive(Debug)]
pub(crate) enum DatagramEvent {
    /// A packet of the handshake: nothing to tell.
    Nothing,
    /// A session that we opened is usable.
    Established,
    /// A packet of a known party.
    Packet(Party, Packet),
}

impl DatagramEvent {
    /// Whose packet it is.
    pub(crate) const fn party(&self) -> Option<Party> {
        match self {
            Self::Nothing | Self::Established => None,
            Self::Packet(party, _) => Some(*party),
        }
    }
}

impl Links {
    pub(crate) fn new(
        me: NodeId,
        secret: Secret,
        roster: &Roster,
        unix_at_zero: Duration,
        stream_deadline: Duration,
        versions: Versions,
        random: &mut Random,
    ) -> Self {
        Self {
            identity: Identity {
                me,
                public: handshake::public_key(&secret),
                secret,
                consortium: roster.consortium,
                versions,
                parties: by_session_key(roster),
                unix_at_zero,
                last_timestamp: 0,
            },
            datagrams: DatagramSessions::new(random.key(), roster),
            streams: Streams::new(stream_deadline, roster),
            settled: Settled::default(),
            unspoken: Unspoken::default(),
        }
    }

    fn is_settled(&self) -> bool {
        self.settled.changes == Some(self.streams.changes())
    }

    /// As long as it is the same, the streams of all parties are.
    pub(crate) const fn stream_changes(&self) -> u64 {
        self.streams.changes()
    }

    /// Begin (or begin anew) a datagram session with a party; an existing one stays in use until the new one stands.
    pub(crate) fn open_datagram(&mut self, turn: &mut Turn<'_>, party: Party) {
        if let Some((address, key)) = address_and_key(turn.roster, party) {
            self.datagrams.open(turn, &mut self.identity, Peer { party, address, key });
        }
    }

    /// Take a unicast datagram that is not group-sealed.
    pub(crate) fn on_datagram(
        &mut self,
        turn: &mut Turn<'_>,
        from: SocketAddr,
        bytes: &Bytes,
    ) -> Result<DatagramEvent, Discard> {
        let event = self.datagrams.receive(turn, &mut self.identity, from, bytes);
        if let Err(why) = &event {
            self.unspoken.note(turn.now, why, self.identity.versions, turn.out);
        }
        event
    }

    /// Seal and queue a datagram; `false` if there is no session with that party.
    pub(crate) fn send_datagram(&mut self, party: Party, packet: &Packet, out: &mut Outbox) -> bool {
        self.datagrams.send(self.identity.me, party, packet, out)
    }

    /// Whether a datagram session with that party stands.
    pub(crate) fn has_datagram(&self, party: Party) -> bool {
        self.datagrams.has(party)
    }

    /// Dial a party.
    pub(crate) fn dial(&mut self, turn: &mut Turn<'_>, party: Party) -> Option<StreamId> {
        let (address, key) = address_and_key(turn.roster, party)?;
        Some(self.streams.dial(turn, Peer { party, address, key }))
    }

    /// The caller accepted a stream.
    pub(crate) fn stream_accepted(
        &mut self,
        now: Instant,
        stream: StreamId,
        from: SocketAddr,
        out: &mut Outbox,
    ) -> Result<(), Discard> {
        self.streams.accepted(now, stream, from.ip(), out)
    }

    /// A dial succeeded: the handshake starts.
    pub(crate) fn stream_opened(&mut self, turn: &mut Turn<'_>, stream: StreamId) {
        self.streams.opened(turn, &mut self.identity, stream);
    }

    /// Bytes of a stream; what they meant, in order. On an error the stream is closed; what was whole before it counts.
    pub(crate) fn stream_bytes(
        &mut self,
        turn: &mut Turn<'_>,
        stream: StreamId,
        bytes: &Bytes,
    ) -> Vec<StreamEvent> {
        let events = self.streams.bytes(turn, &self.identity, stream, bytes);
        if let Some(StreamEvent::Broken(_, why)) = events.last() {
            self.unspoken.note(turn.now, why, self.identity.versions, turn.out);
        }
        events
    }

    /// The stream ended. The party, if its handshake was done.
    pub(crate) fn stream_closed(&mut self, stream: StreamId) -> Option<Party> {
        self.streams.closed(stream)
    }

    /// Close a stream ourselves. The party, if its handshake was done.
    pub(crate) fn close_stream(&mut self, stream: StreamId, out: &mut Outbox) -> Option<Party> {
        self.streams.close(stream, out)
    }

    /// Seal and queue on the newest stream of a party; `false` if there is none.
    pub(crate) fn send_stream(&mut self, party: Party, packet: &Packet, out: &mut Outbox) -> bool {
        match self.streams.of(party) {
            Some(stream) => self.streams.send(self.identity.me, stream, packet, out),
            None => false,
        }
    }

    /// An authentic packet that this version cannot read: say so to its sender (W-RCV-5), and only about what a newer
    /// version may have meant.
    pub(crate) fn answer_unsupported(&mut self, stream: StreamId, why: &Discard, out: &mut Outbox) {
        let (packet_type, critical_tlv) = match why {
            Discard::Decode(DecodeError::UnknownType(packet_type)) => (*packet_type, 0),
            Discard::Decode(DecodeError::UnknownCriticalTlv(kind)) => (0, *kind),
            _ => return,
        };
        let packet = Packet::from(Unsupported { packet_type, critical_tlv, ..Default::default() });
        self.send_on(stream, &packet, out);
    }

    /// Seal and queue on one stream.
    pub(crate) fn send_on(&mut self, stream: StreamId, packet: &Packet, out: &mut Outbox) -> bool {
        self.streams.send(self.identity.me, stream, packet, out)
    }

    /// The newest established stream of a party.
    pub(crate) fn stream_of(&self, party: Party) -> Option<StreamId> {
        self.streams.of(party)
    }

    /// Whether a dial or handshake to the party is under way or done.
    pub(crate) fn is_dialling(&self, party: Party) -> bool {
        self.streams.is_dialling(party)
    }

    /// What we speak, and what the session with each party speaks: its stream, or else its datagrams.
    pub(crate) fn spoken(&self) -> Spoken {
        let sessions: BTreeMap<NodeId, u8> =
            self.datagrams.versions().chain(self.streams.versions()).collect();
        Spoken { ours: self.identity.versions, sessions: sessions.into_iter().collect() }
    }

    /// All parties with an established stream.
    pub(crate) fn parties_with_stream(&self) -> Vec<Party> {
        self.streams.parties()
    }

    /// What it keeps of others.
    pub(crate) fn held(&self) -> [Held; 2] {
        [self.datagrams.held(), self.streams.held()]
    }

    /// Retries and deadlines. Streams that were too slow are closed and named.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) -> Vec<(StreamId, Option<Party>)> {
        for party in self.datagrams.tick(turn, &mut self.identity) {
            self.open_datagram(turn, party);
        }
        if self.is_settled() && self.settled.timeout.is_none_or(|at| turn.now < at) {
            return Vec::new();
        }
        for party in self.streams.take_due_for_renewal(turn.now) {
            self.dial(turn, party);
        }
        let too_slow = self.streams.tick(turn);
        self.settled =
            Settled { changes: Some(self.streams.changes()), timeout: self.streams.poll_timeout() };
        too_slow
    }

    /// A roster takes another's place (B-ROS-2): what stands, or is under way, with a party for which it names another session
    /// key, or none, ends. The streams that ended.
    pub(crate) fn succeed(
        &mut self,
        before: &Roster,
        after: &Roster,
        out: &mut Outbox,
    ) -> Vec<(StreamId, Option<Party>)> {
        self.identity.parties = by_session_key(after);
        let is_withdrawn = |party| key_of(before, party) != key_of(after, party);
        self.datagrams.succeed(after, is_withdrawn);
        self.streams.succeed(after, is_withdrawn, out)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let streams = if self.is_settled() { self.settled.timeout } else { self.streams.poll_timeout() };
        [self.datagrams.poll_timeout(), streams].into_iter().flatten().min()
    }
}

/// Whether a packet that may be the first of an initiator shows that both sides know the same ranges (W-VER-3): the proof
/// says so; in version 2 whatever opened does. In version 1, where we speak more, nothing but the proof is taken first.
fn agrees(agreement: Agreement, version: u8, ours: Versions, packet: Option<&Packet>, proven: bool) -> bool {
    match packet {
        Some(Packet::Probe(probe)) if probe.nonce == PROOF => Agreement::of(probe) == agreement,
        _ => proven || version > versions::FIRST || ours.highest == version,
    }
}

fn address_and_key(roster: &Roster, party: Party) -> Option<(SocketAddr, [u8; 32])> {
    match party {
        Party::Authority => Some((roster.authority.address, roster.authority.session_key)),
        Party::Node(node) => roster.node(node).map(|(_, n)| (n.address, n.session_key)),
        Party::Client(_) => None,
    }
}

fn key_of(roster: &Roster, party: Party) -> Option<[u8; 32]> {
    match party {
        Party::Client(client) => roster.clients.iter().find(|c| c.id == client).map(|c| c.session_key),
        party => address_and_key(roster, party).map(|(_, key)| key),
    }
}

/// Everybody by session key.
fn by_session_key(roster: &Roster) -> BTreeMap<[u8; 32], (Party, Option<SocketAddr>)> {
    let authority = &roster.authority;
    let nodes =
        roster.all_nodes().map(|(_, node)| (node.session_key, (Party::Node(node.id), Some(node.address))));
    let clients = roster.clients.iter().map(|client| (client.session_key, (Party::Client(client.id), None)));
    let authority = [(authority.session_key, (Party::Authority, Some(authority.address)))];
    nodes.chain(clients).chain(authority).collect()
}
