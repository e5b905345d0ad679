//! Everybody but the machine: the enrolled parties with their true keys, who answer handshakes and open what they get.

use std::collections::BTreeMap;

use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_core::io::{Input, Output, StreamId};
use duohuo_tests::consortium::Consortium;
use duohuo_wire::{
    group::{GroupSecret, sender_key},
    handshake::{Initiation, Initiator, Keys, Prologue, Transport, public_key, respond},
    header::{Header, MAX_DATAGRAM, MAX_FRAME},
    ids::{ClusterId, NodeId},
    packet::{GroupKey, HandshakeInit, Packet, Probe},
    sign::VerifyingKey,
    stream::FrameReader,
};

/// How a packet travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Datagram,
    Stream,
    Group,
}

/// A session with the machine, from the other side.
struct Session {
    keys: Keys,
    /// The id that the machine chose.
    to: u64,
    sent: u64,
}

enum Line {
    /// The machine dialled and was not answered.
    Dialled,
    /// The machine owes the first message.
    Waiting,
    /// The party dialled; the machine owes the response.
    Opening(Box<Initiator>),
    Up(Box<Session>),
}

struct Stream {
    party: NodeId,
    line: Line,
    reader: FrameReader,
}

/// The parties.
pub(super) struct Cast {
    pub(super) consortium: &'static Consortium,
    /// Whom the machine plays.
    pub(super) target: NodeId,
    attempts: BTreeMap<NodeId, Initiator>,
    sessions: BTreeMap<NodeId, Session>,
    streams: BTreeMap<StreamId, Stream>,
    /// Secrets of the target's group by generation: all that were handed out, since a master that lies hands out several.
    secrets: BTreeMap<u32, Vec<[u8; 32]>>,
    next_accepted: u64,
    /// Grows with each key, timestamp and sequence: nothing is used twice.
    counter: u64,
    /// What goes to the machine next.
    pub(super) replies: Vec<Input>,
}

impl Cast {
    pub(super) fn new(consortium: &'static Consortium, target: NodeId) -> Self {
        let mut cast = Self {
            consortium,
            target,
            attempts: BTreeMap::new(),
            sessions: BTreeMap::new(),
            streams: BTreeMap::new(),
            secrets: BTreeMap::new(),
            next_accepted: 0,
            counter: 0,
            replies: Vec::new(),
        };
        if let Some(cluster) = cast.cluster_of(target) {
            cast.secrets.insert(0, vec![consortium.groups[&cluster]]);
        }
        cast
    }

    /// Everybody but the target.
    pub(super) fn parties(&self) -> Vec<NodeId> {
        self.consortium.keys.keys().copied().filter(|id| *id != self.target).collect()
    }

    pub(super) fn cluster_of(&self, party: NodeId) -> Option<ClusterId> {
        self.consortium.roster.node(party).map(|(cluster, _)| cluster.id)
    }

    pub(super) fn address(&self, party: NodeId) -> SocketAddr {
        let roster = &self.consortium.roster;
        if party == NodeId::AUTHORITY {
            return roster.authority.address;
        }
        roster.node(party).map_or_else(|| SocketAddr::from(([127, 99, 0, 1], 1)), |(_, node)| node.address)
    }

    /// The machine started anew: what was agreed with its earlier life is worth nothing.
    pub(super) fn forget(&mut self) {
        self.attempts.clear();
        self.sessions.clear();
        self.streams.clear();
        self.replies.clear();
    }

    /// A secret of a generation that a master handed out, one of the cast or the target.
    pub(super) fn learn_secret(&mut self, key: &GroupKey) {
        if Some(key.cluster) == self.cluster_of(self.target) {
            self.secrets.entry(key.generation).or_default().push(key.secret);
        }
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    fn fresh_key(&mut self, party: NodeId) -> [u8; 32] {
        let mut key = [0x77; 32];
        key[..8].copy_from_slice(&self.count().to_be_bytes());
        key[8..12].copy_from_slice(&party.0.to_be_bytes());
        key
    }

    fn prologue(&self, transport: Transport) -> Prologue {
        Prologue { consortium: self.consortium.roster.consortium, transport }
    }

    fn begin(&mut self, party: NodeId, transport: Transport) -> (Initiator, Bytes) {
        let mut timestamp = [0; 12];
        timestamp[4..].copy_from_slice(&self.count().to_be_bytes());
        let ephemeral = self.fresh_key(party);
        let session = self.count();
        let (initiator, init) = Initiation {
            local: &self.consortium.keys[&party].session,
            remote_public: &public_key(&self.consortium.keys[&self.target].session),
            prologue: &self.prologue(transport),
            ephemeral,
            timestamp,
            session,
            cookie: None,
            sender: party,
            versions: None,
        }
        .begin()
        .expect("the target's key is a key");
        (initiator, Packet::from(init).encode_unsealed(party).freeze())
    }

    /// A party opens a datagram session.
    pub(super) fn greet(&mut self, party: NodeId) {
        let (initiator, bytes) = self.begin(party, Transport::Datagram);
        self.attempts.insert(party, initiator);
        self.datagram(party, bytes);
    }

    /// A party opens a stream.
    pub(super) fn connect(&mut self, party: NodeId) {
        let stream = StreamId(self.next_accepted);
        self.next_accepted += 2;
        let (initiator, bytes) = self.begin(party, Transport::Stream);
        let line = Line::Opening(Box::new(initiator));
        self.streams.insert(stream, Stream { party, line, reader: FrameReader::new(MAX_FRAME) });
        let from = self.address(party);
        self.replies.extend([Input::StreamAccepted { stream, from }, Input::StreamBytes { stream, bytes }]);
    }

    /// The machine's oldest dial succeeds or fails. Whether there was one.
    pub(super) fn answer_dial(&mut self, accept: bool) -> bool {
        let dialled = self.streams.iter_mut().find(|(_, s)| matches!(s.line, Line::Dialled));
        let Some((stream, entry)) = dialled.map(|(id, entry)| (*id, entry)) else {
            return false;
        };
        if accept {
            entry.line = Line::Waiting;
            self.replies.push(Input::StreamOpened { stream });
        } else {
            self.hang_up(stream);
        }
        true
    }

    /// The open streams.
    pub(super) fn streams(&self) -> Vec<StreamId> {
        self.streams.iter().filter(|(_, s)| !matches!(s.line, Line::Dialled)).map(|(id, _)| *id).collect()
    }

    pub(super) fn hang_up(&mut self, stream: StreamId) {
        if self.streams.remove(&stream).is_some() {
            self.replies.push(Input::StreamClosed { stream });
        }
    }

    fn datagram(&mut self, party: NodeId, bytes: Bytes) {
        if bytes.len() <= MAX_DATAGRAM as usize {
            self.replies.push(Input::Datagram { from: self.address(party), group: false, bytes });
        }
    }

    /// A party says something under its keys; nothing happens if it has none for this way.
    pub(super) fn say(&mut self, party: NodeId, way: Way, packet: &Packet) {
        if packet.packet_type().is_handshake() {
            return;
        }
        match way {
            Way::Datagram => {
                let Some(session) = self.sessions.get_mut(&party) else { return };
                let bytes = session.keys.sealing.seal(packet, party, session.to, session.sent);
                session.sent += 1;
                self.datagram(party, bytes);
            }
            Way::Stream => {
                let line = self.streams.iter_mut().rev().find_map(|(id, s)| match &mut s.line {
                    Line::Up(session) if s.party == party => Some((*id, session)),
                    _ => None,
                });
                let Some((stream, session)) = line else { return };
                let bytes = session.keys.sealing.seal(packet, party, session.to, session.sent);
                session.sent += 1;
                self.replies.push(Input::StreamBytes { stream, bytes });
            }
            Way::Group => self.say_to_group(party, packet),
        }
    }

    fn say_to_group(&mut self, party: NodeId, packet: &Packet) {
        let newest = self
            .secrets
            .last_key_value()
            .and_then(|(generation, secrets)| Some((*generation, *secrets.last()?)));
        let (Some(cluster), Some((generation, secret))) = (self.cluster_of(party), newest) else {
            return;
        };
        if Some(cluster) != self.cluster_of(self.target) {
            return;
        }
        let secret = GroupSecret { cluster, generation, secret };
        let boot = 0xB007 + u64::from(party.0);
        let key = sender_key(&secret, party, boot);
        let sequence = 1000 + self.count();
        let bytes = key.seal(packet, &self.consortium.keys[&party].signing, party, boot, sequence);
        if bytes.len() <= MAX_DATAGRAM as usize {
            self.replies.push(Input::Datagram { from: self.address(party), group: true, bytes });
        }
    }

    /// What the machine sent, and to whom: everybody opens what is theirs. Handshakes are answered.
    pub(super) fn hear(&mut self, output: &Output) -> Vec<(NodeId, Way, Packet)> {
        match output {
            Output::Datagram { to, bytes } => self.hear_datagram(*to, bytes),
            Output::Dial { stream, to } => {
                let party = self.parties().into_iter().find(|party| self.address(*party) == *to);
                let party = party.expect("the machine dials enrolled parties only");
                let line = Line::Dialled;
                self.streams.insert(*stream, Stream { party, line, reader: FrameReader::new(MAX_FRAME) });
                Vec::new()
            }
            Output::StreamBytes { stream, bytes } => self.hear_stream(*stream, bytes),
            Output::CloseStream { stream } => {
                self.streams.remove(stream);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn hear_datagram(&mut self, to: SocketAddr, bytes: &Bytes) -> Vec<(NodeId, Way, Packet)> {
        let header = Header::decode_datagram(bytes).expect("the machine sends datagrams that are packets");
        assert_eq!(header.sender, self.target, "it speaks for itself");
        let group = self.cluster_of(self.target).and_then(|c| self.consortium.roster.cluster(c));
        if group.is_some_and(|c| c.group == to) {
            return self.hear_group(NodeId::AUTHORITY, &header, bytes).into_iter().collect();
        }
        let Some(party) = self.parties().into_iter().find(|party| self.address(*party) == to) else {
            return Vec::new(); // an answer to a stranger: judged by its size
        };
        if !header.is_sealed() {
            self.hear_handshake(party, bytes);
            return Vec::new();
        }
        let same_cluster = self.cluster_of(party).is_some_and(|c| Some(c) == self.cluster_of(self.target));
        if same_cluster {
            return self.hear_group(party, &header, bytes).into_iter().collect();
        }
        // A party that opened a new session meanwhile cannot read the old one's packets: no fault of the machine.
        let opened = self.sessions.get(&party).and_then(|s| s.keys.opening.open(&header, bytes).ok());
        opened.map(|packet| (party, Way::Datagram, packet)).into_iter().collect()
    }

    /// A group packet, if it is sealed under a secret that was handed out; of the generation of enrolment it always is.
    fn hear_group(&self, party: NodeId, header: &Header, bytes: &[u8]) -> Option<(NodeId, Way, Packet)> {
        let cluster = self.cluster_of(self.target)?;
        let verify: VerifyingKey = self.consortium.keys[&self.target].signing.verifying_key();
        let open = |secret: &[u8; 32]| {
            let secret = GroupSecret { cluster, generation: header.group, secret: *secret };
            sender_key(&secret, self.target, header.session).open(header, bytes, &verify).ok()
        };
        let opened = self.secrets.get(&header.group).and_then(|secrets| secrets.iter().rev().find_map(open));
        assert!(
            opened.is_some() || header.group != 0,
            "every member opens what is sealed under the enrolment"
        );
        opened.map(|packet| (party, Way::Group, packet))
    }

    fn hear_handshake(&mut self, party: NodeId, bytes: &[u8]) {
        match Packet::decode_unsealed(bytes).expect("a handshake of the machine is one").1 {
            Packet::HandshakeInit(init) => {
                if let Some((session, answer)) = self.respond(party, &init, Transport::Datagram) {
                    self.sessions.insert(party, session);
                    self.datagram(party, answer);
                }
            }
            Packet::HandshakeResponse(response) => {
                let finished = self.attempts.get_mut(&party).and_then(|a| a.try_finish(&response).ok());
                if let Some(keys) = finished {
                    self.attempts.remove(&party);
                    self.sessions.insert(party, Session { keys, to: response.responder_session, sent: 0 });
                    // The first sealed packet proves the keys (W-HSK-8).
                    self.say(party, Way::Datagram, &Probe::default().into());
                }
            }
            _ => {}
        }
    }

    fn respond(
        &mut self,
        party: NodeId,
        init: &HandshakeInit,
        transport: Transport,
    ) -> Option<(Session, Bytes)> {
        let ephemeral = self.fresh_key(party);
        let ours = self.count();
        let secret = self.consortium.keys[&party].session;
        let accepted = respond(&secret, &self.prologue(transport), init, ephemeral, ours, party).ok()?;
        let bytes = Packet::from(accepted.response).encode_unsealed(party).freeze();
        Some((Session { keys: accepted.keys, to: init.initiator_session, sent: 0 }, bytes))
    }

    fn hear_stream(&mut self, stream: StreamId, bytes: &Bytes) -> Vec<(NodeId, Way, Packet)> {
        let mut heard = Vec::new();
        // The stream may have ended with the news of it still on its way.
        let Some(entry) = self.streams.get_mut(&stream) else { return heard };
        entry.reader.push(bytes);
        while let Some(entry) = self.streams.get_mut(&stream) {
            let frame = entry.reader.next().expect("what it sends by a stream is packets");
            let Some(frame) = frame else { break };
            let party = entry.party;
            match &mut entry.line {
                Line::Dialled => panic!("it sends nothing before the stream is open"),
                Line::Waiting => {
                    let Ok((_, Packet::HandshakeInit(init))) = Packet::decode_unsealed(&frame) else {
                        panic!("a dialler begins with an initiation");
                    };
                    if let Some((session, bytes)) = self.respond(party, &init, Transport::Stream) {
                        if let Some(entry) = self.streams.get_mut(&stream) {
                            entry.line = Line::Up(Box::new(session));
                        }
                        self.replies.push(Input::StreamBytes { stream, bytes });
                    }
                }
                Line::Opening(initiator) => {
                    let Ok((_, Packet::HandshakeResponse(response))) = Packet::decode_unsealed(&frame) else {
                        panic!("an acceptor answers with a response");
                    };
                    let keys = initiator.try_finish(&response).expect("to this initiation");
                    entry.line =
                        Line::Up(Box::new(Session { keys, to: response.responder_session, sent: 0 }));
                    self.say(party, Way::Stream, &Probe::default().into());
                }
                Line::Up(session) => {
                    let header = Header::decode(&frame).expect("a packet has a header");
                    let packet =
                        session.keys.opening.open(&header, &frame).expect("it opens at its receiver");
                    heard.push((party, Way::Stream, packet));
                }
            }
        }
        heard
    }
}
