//! One machine alone, and peers that may say anything to it: what an enrolled party that breaks a rule could send, byte
//! for byte, and what it would be answered. The machine is the production one; time and disk are the test's.

use crate::consortium::{Consortium, Keys};
use crate::host::{self, Anyone, Disk};
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::config::{AuthorityConfig, Timers};
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Machine, Output, StreamId, Write};
use duohuo_wire::group::{GroupSecret, sender_key};
use duohuo_wire::handshake::{self, Initiation, Initiator, Prologue, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::packet::{NodeKeepalive, Packet, Probe};
use duohuo_wire::statement::Row;
use duohuo_wire::versions::Versions;
use std::collections::VecDeque;

/// What the machine's randomness begins from, unless a test says otherwise.
const SEED: [u8; 32] = [0x5E; 32];

/// A driver that does what none may: what the machine puts out becomes what it returns.
pub type Bend = Box<dyn FnMut(Output) -> Vec<Output>>;

/// A machine without a world.
pub struct Lone {
    /// Everybody's keys.
    pub consortium: Consortium,
    /// What it told its operator.
    pub events: Vec<Event>,
    /// Whether what it wants durable is durable at once; if not, [`Lone::sync`] makes it so.
    pub quick_disk: bool,
    /// What stands between the machine and the world, if it is to break a rule.
    pub bend: Option<Bend>,
    machine: Anyone,
    id: NodeId,
    now: Instant,
    disk: Disk,
    writing: VecDeque<(u64, Vec<Write>)>,
    outputs: Vec<Output>,
    accepted: u64,
}

impl Lone {
    /// The machine of a party of this consortium, started from an empty disk.
    #[must_use]
    pub fn new(consortium: Consortium, id: NodeId) -> Self {
        Self::with_disk(consortium, id, Disk::new(), SEED)
    }

    fn with_disk(consortium: Consortium, id: NodeId, disk: Disk, seed: [u8; 32]) -> Self {
        let machine = host::start(id, &consortium, &disk, seed);
        let mut lone = Self {
            consortium,
            events: Vec::new(),
            quick_disk: true,
            bend: None,
            machine,
            id,
            now: Instant::from_nanos(1),
            disk,
            writing: VecDeque::new(),
            outputs: Vec::new(),
            accepted: 0,
        };
        lone.give(Input::Tick);
        lone
    }

    /// Killed and started again from its disk.
    #[must_use]
    pub fn restarted(self) -> Self {
        self.restarted_with(SEED)
    }

    /// The same, where the operating system gives it this randomness.
    #[must_use]
    pub fn restarted_with(self, seed: [u8; 32]) -> Self {
        Self::with_disk(self.consortium, self.id, self.disk, seed)
    }

    /// One input; what comes out is kept until it is asked for.
    pub fn give(&mut self, input: Input) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            let outputs = match &mut self.bend {
                Some(bend) => bend(output),
                None => vec![output],
            };
            for output in outputs {
                match output {
                    Output::Event(event) => self.events.push(event),
                    Output::Persist { token, writes } => self.writing.push_back((token, writes)),
                    output => self.outputs.push(output),
                }
            }
        }
        if self.quick_disk {
            self.sync();
        }
    }

    /// What it wants durable becomes so.
    pub fn sync(&mut self) {
        while self.sync_one() {}
    }

    /// The oldest batch that it wants durable becomes so. Whether there was one.
    pub fn sync_one(&mut self) -> bool {
        let Some((token, writes)) = self.writing.pop_front() else {
            return false;
        };
        host::write(&mut self.disk, &writes);
        self.give(Input::Persisted { token });
        true
    }

    /// The disk says that the newest batch is durable, and has not even begun with the oldest.
    pub fn lie_about_the_disk(&mut self) {
        if let Some((token, _)) = self.writing.back() {
            let token = *token;
            self.give(Input::Persisted { token });
        }
    }

    /// What is durable.
    #[must_use]
    pub const fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Whether something waits for the disk.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Let time pass, with every timer on the way.
    pub fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= until) {
            self.now = at.max(self.now + Duration::from_nanos(1));
            self.give(Input::Tick);
        }
        self.now = until;
        self.give(Input::Tick);
    }

    /// How often it dropped something for this reason.
    #[must_use]
    pub fn discards(&self, label: &str) -> u64 {
        self.machine.discards().map_or(0, |d| d.of(label))
    }

    /// A row of the table, if the machine is the authority.
    #[must_use]
    pub fn row(&self, cluster: ClusterId) -> Option<Row> {
        match &self.machine {
            Anyone::Authority(authority) => authority.table().entry(cluster).map(|e| e.row.clone()),
            _ => None,
        }
    }

    /// The datagrams it sent to an address, taken out.
    pub fn take_datagrams(&mut self, address: SocketAddr) -> Vec<Bytes> {
        let mut taken = Vec::new();
        self.outputs.retain(|output| match output {
            Output::Datagram { to, bytes } if *to == address => {
                taken.push(bytes.clone());
                false
            }
            _ => true,
        });
        taken
    }

    /// The packets it put on a stream, taken out.
    pub fn take_stream(&mut self, stream: StreamId) -> Vec<Bytes> {
        let mut taken = Vec::new();
        self.outputs.retain(|output| match output {
            Output::StreamBytes { stream: s, bytes } if *s == stream => {
                taken.push(bytes.clone());
                false
            }
            _ => true,
        });
        taken
    }

    /// The stream that it dials to an address, if it does.
    pub fn take_dial(&mut self, address: SocketAddr) -> Option<StreamId> {
        let at = self.outputs.iter().position(|o| matches!(o, Output::Dial { to, .. } if *to == address))?;
        match self.outputs.remove(at) {
            Output::Dial { stream, .. } => Some(stream),
            _ => None,
        }
    }

    /// Whether it closed a stream.
    #[must_use]
    pub fn has_closed(&self, stream: StreamId) -> bool {
        self.outputs.iter().any(|o| matches!(o, Output::CloseStream { stream: s } if *s == stream))
    }

    /// Whether it wants to exit.
    #[must_use]
    pub fn has_exited(&self) -> bool {
        self.outputs.iter().any(|o| matches!(o, Output::Exit))
    }

    /// Everything it sent and nobody took yet.
    pub fn forget_outputs(&mut self) {
        self.outputs.clear();
    }

    /// How many things it sent that nobody took yet.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.outputs.len()
    }

    fn address_of(&self, id: NodeId) -> SocketAddr {
        let roster = &self.consortium.roster;
        match roster.node(id) {
            Some((_, node)) => node.address,
            None if id == NodeId::AUTHORITY => roster.authority.address,
            None => "127.99.0.1:1".parse().expect("an address"),
        }
    }
}

/// One session of a peer with the machine.
pub struct Link {
    /// What it seals and opens with.
    pub keys: handshake::Keys,
    /// What the machine finds the session by.
    pub remote: u64,
    /// The next sequence to seal with.
    pub next: u64,
}

/// A party that speaks with the machine.
pub struct Peer {
    /// Who it is.
    pub id: NodeId,
    /// From where it speaks.
    pub address: SocketAddr,
    /// Its keys.
    pub keys: Keys,
    /// Its datagram session.
    pub datagram: Option<Link>,
    /// Its stream and the session on it.
    pub stream: Option<(StreamId, Link)>,
    /// What it states in its handshakes; none: a program that knows version 1 alone.
    pub versions: Option<Versions>,
    handshakes: u8,
    group_sequence: u64,
}

impl Peer {
    /// A party of the machine's consortium, not connected yet.
    #[must_use]
    pub fn new(lone: &Lone, id: NodeId) -> Self {
        Self {
            id,
            address: lone.address_of(id),
            keys: lone.consortium.keys[&id].clone(),
            datagram: None,
            stream: None,
            versions: None,
            handshakes: 0,
            group_sequence: 0,
        }
    }

    fn prologue(lone: &Lone, transport: Transport) -> Prologue {
        Prologue { consortium: lone.consortium.roster.consortium, transport }
    }

    /// Message 1 to the machine; every call is a newer one.
    pub fn initiate(&mut self, lone: &Lone, transport: Transport) -> (Initiator, Bytes) {
        self.handshakes += 1;
        self.message_1(lone, transport, None, self.versions)
    }

    /// The last message 1 as somebody on the way makes it who wants other versions to be spoken.
    #[must_use]
    pub fn restated(&self, lone: &Lone, transport: Transport, versions: Option<Versions>) -> Bytes {
        self.message_1(lone, transport, None, versions).1
    }

    /// The last message 1 of a datagram handshake once more, with a cookie.
    #[must_use]
    pub fn initiate_again(&self, lone: &Lone, cookie: [u8; 16]) -> Bytes {
        self.message_1(lone, Transport::Datagram, Some(cookie), self.versions).1
    }

    fn message_1(
        &self,
        lone: &Lone,
        transport: Transport,
        cookie: Option<[u8; 16]>,
        versions: Option<Versions>,
    ) -> (Initiator, Bytes) {
        let n = self.handshakes;
        let to = handshake::public_key(&lone.consortium.keys[&lone.id].session);
        let mut timestamp = [0; 12];
        timestamp[11] = n;
        let prologue = Self::prologue(lone, transport);
        let (initiator, init) = Initiation {
            local: &self.keys.session,
            remote_public: &to,
            prologue: &prologue,
            ephemeral: [0x60 + n; 32],
            timestamp,
            session: u64::from(n),
            cookie,
            sender: self.id,
            versions,
        }
        .begin()
        .expect("the machine's key is one");
        (initiator, Packet::from(init).encode_unsealed(self.id).freeze())
    }

    /// Begin a datagram session, and prove it if `prove`.
    pub fn open_datagram(&mut self, lone: &mut Lone, prove: bool) {
        let (initiator, init) = self.initiate(lone, Transport::Datagram);
        self.throw(lone, init);
        self.finish_datagram(lone, initiator);
        if prove {
            let proof = self.proof();
            self.say(lone, proof);
        }
    }

    /// Take the machine's response to a message 1.
    pub fn finish_datagram(&mut self, lone: &mut Lone, mut initiator: Initiator) {
        let answers = lone.take_datagrams(self.address);
        let response = answers.iter().find_map(|bytes| match Packet::decode_unsealed(bytes) {
            Ok((_, Packet::HandshakeResponse(response))) => Some(response),
            _ => None,
        });
        let response = response.expect("the machine answers");
        let keys = initiator.try_finish(&response).expect("it is the machine");
        self.datagram = Some(Link { keys, remote: response.responder_session, next: 0 });
    }

    /// What proves the datagram session.
    #[must_use]
    pub fn proof(&self) -> Probe {
        let link = self.datagram.as_ref().expect("a datagram session");
        self.versions.map_or_else(Probe::default, |_| link.keys.agreement.proof())
    }

    /// Dial the machine, and prove the session if `prove`.
    pub fn open_stream(&mut self, lone: &mut Lone, prove: bool) {
        let (mut initiator, init) = self.initiate(lone, Transport::Stream);
        lone.accepted += 2;
        let stream = StreamId(lone.accepted);
        lone.give(Input::StreamAccepted { stream, from: self.address });
        lone.give(Input::StreamBytes { stream, bytes: init });
        let frames = lone.take_stream(stream);
        let Ok((_, Packet::HandshakeResponse(response))) = Packet::decode_unsealed(&frames[0]) else {
            panic!("the machine answers")
        };
        let keys = initiator.try_finish(&response).expect("it is the machine");
        self.stream = Some((stream, Link { keys, remote: response.responder_session, next: 0 }));
        if prove {
            self.tell(lone, Probe::default());
        }
    }

    /// Take the stream that the machine dials, and the proof on it.
    pub fn accept_stream(&mut self, lone: &mut Lone) {
        let stream = lone.take_dial(self.address).expect("the machine dials");
        lone.give(Input::StreamOpened { stream });
        let frames = lone.take_stream(stream);
        let (link, response) = self.respond(lone, &frames[0], Transport::Stream);
        self.stream = Some((stream, link));
        lone.give(Input::StreamBytes { stream, bytes: response });
    }

    /// Answer the datagram handshake that the machine began.
    pub fn accept_datagram(&mut self, lone: &mut Lone) {
        let datagrams = lone.take_datagrams(self.address);
        self.answer_init(lone, datagrams.last().expect("the machine initiates"));
    }

    /// Answer this message 1.
    pub fn answer_init(&mut self, lone: &mut Lone, init: &Bytes) {
        let (link, response) = self.respond(lone, init, Transport::Datagram);
        self.datagram = Some(link);
        self.throw(lone, response);
    }

    fn respond(&self, lone: &Lone, init: &Bytes, transport: Transport) -> (Link, Bytes) {
        let Ok((_, Packet::HandshakeInit(init))) = Packet::decode_unsealed(init) else {
            panic!("the machine initiates")
        };
        let prologue = Self::prologue(lone, transport);
        let accepted = handshake::respond(&self.keys.session, &prologue, &init, [0x71; 32], 77, self.id)
            .expect("the machine knows this key");
        let response = Packet::from(accepted.response).encode_unsealed(self.id).freeze();
        (Link { keys: accepted.keys, remote: init.initiator_session, next: 0 }, response)
    }

    /// Any bytes, as a datagram from this peer's address.
    pub fn throw(&self, lone: &mut Lone, bytes: Bytes) {
        lone.give(Input::Datagram { from: self.address, group: false, bytes });
    }

    /// Seal with the next sequence of the datagram session.
    pub fn seal(&mut self, packet: impl Into<Packet>) -> Bytes {
        let link = self.datagram.as_mut().expect("a datagram session");
        link.next += 1;
        link.keys.sealing.seal(&packet.into(), self.id, link.remote, link.next - 1)
    }

    /// Say something by datagram.
    pub fn say(&mut self, lone: &mut Lone, packet: impl Into<Packet>) {
        let bytes = self.seal(packet);
        self.throw(lone, bytes);
    }

    /// Seal with the next sequence of the stream.
    pub fn seal_stream(&mut self, packet: impl Into<Packet>) -> Bytes {
        let (_, link) = self.stream.as_mut().expect("a stream");
        link.next += 1;
        link.keys.sealing.seal(&packet.into(), self.id, link.remote, link.next - 1)
    }

    /// Say something by stream.
    pub fn tell(&mut self, lone: &mut Lone, packet: impl Into<Packet>) {
        let bytes = self.seal_stream(packet);
        self.pour(lone, bytes);
    }

    /// Any bytes, on this peer's stream.
    pub fn pour(&self, lone: &mut Lone, bytes: Bytes) {
        let stream = self.stream.as_ref().expect("a stream").0;
        lone.give(Input::StreamBytes { stream, bytes });
    }

    /// The stream ends.
    pub fn hang_up(&mut self, lone: &mut Lone) {
        let (stream, _) = self.stream.take().expect("a stream");
        lone.give(Input::StreamClosed { stream });
    }

    /// What the machine said by datagram since it was asked last.
    pub fn heard(&mut self, lone: &mut Lone) -> Vec<Packet> {
        let link = self.datagram.as_ref().expect("a datagram session");
        let open = |bytes: &Bytes| {
            let header = Header::decode(bytes).ok()?;
            link.keys.opening.open(&header, bytes).ok()
        };
        lone.take_datagrams(self.address).iter().filter_map(open).collect()
    }

    /// What the machine said by stream since it was asked last.
    pub fn read(&mut self, lone: &mut Lone) -> Vec<Packet> {
        let (stream, link) = self.stream.as_ref().expect("a stream");
        let open = |bytes: &Bytes| {
            let header = Header::decode(bytes).ok()?;
            link.keys.opening.open(&header, bytes).ok()
        };
        lone.take_stream(*stream).iter().filter_map(open).collect()
    }

    /// Seal for a group of this secret and generation, under boot 1, with the next sequence.
    pub fn seal_group(&mut self, secret: &GroupSecret, packet: impl Into<Packet>) -> Bytes {
        self.group_sequence += 1;
        let key = sender_key(secret, self.id, 1);
        key.seal(&packet.into(), &self.keys.signing, self.id, 1, self.group_sequence)
    }

    /// A keepalive to the group under the enrolment secret, from this peer's address.
    pub fn keep_alive(&mut self, lone: &mut Lone, keepalive: NodeKeepalive) {
        let secret = enrolment(lone, keepalive.cluster);
        let bytes = self.seal_group(&secret, keepalive);
        lone.give(Input::Datagram { from: self.address, group: true, bytes });
    }
}

/// The enrolment secret of a cluster's group.
#[must_use]
pub fn enrolment(lone: &Lone, cluster: ClusterId) -> GroupSecret {
    GroupSecret { cluster, generation: 0, secret: lone.consortium.groups[&cluster] }
}

/// What the authority of a consortium is told: for tests that start it from a log of their own.
#[must_use]
pub fn authority_config(consortium: &Consortium) -> AuthorityConfig {
    let keys = consortium.keys[&NodeId::AUTHORITY].clone();
    AuthorityConfig {
        session_secret: keys.session.into(),
        signing_key: keys.signing,
        sealing_secret: consortium.sealing.into(),
        roster: consortium.roster.clone(),
        operator_key: consortium.operator.verifying_key().to_bytes(),
        timers: Timers::for_keepalive(Duration::from_millis(10)),
        versions: Versions::ALL,
        seed: SEED,
        unix_at_zero: Duration::from_secs(1_700_000_000),
    }
}
