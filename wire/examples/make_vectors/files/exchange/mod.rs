//! Whole recoveries as exchanges: spec/behaviour.md, section 12, packet by packet.

use bytes::{Bytes, BytesMut};
use duohuo_wire::{
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, RoomId, Version},
    packet::*,
    roster::{ClusterEntry, NodeEntry, Party, Roster},
    sealed_id::{self, SealedClaims},
    show::Show as _,
    tlv::Extensions,
};
use ed25519_dalek::SigningKey;

use super::{
    Suite,
    crypto::{GroupPlace, NoiseKeys, Seal, public},
    handshake::Transcript,
    json::{J, obj},
    parties::{CONSORTIUM, NOW_S, timestamp},
};

mod rec_1;
mod rec_2;
mod rec_3;

const CLUSTER: ClusterId = ClusterId(3);
const OLD_SECRET: [u8; 32] = [0x64; 32];
const NEW_SECRET: [u8; 32] = [0x65; 32];
const SEALING_SECRET: [u8; 32] = [0x01; 32];
const RECORDED: &[u8] = b"a word of height 101, signed and recorded under epoch 4";

fn byte(id: u32) -> u8 {
    id.to_be_bytes()[3]
}

fn session_secret(id: u32) -> [u8; 32] {
    [0x10 + byte(id); 32]
}

fn signing(id: u32) -> SigningKey {
    SigningKey::from_bytes(&[0x40 + byte(id); 32])
}

fn signing_public(id: u32) -> [u8; 32] {
    signing(id).verifying_key().to_bytes()
}

/// Clusters 3 and 4, and as many more of two nodes as there are to be.
fn roster(clusters: u32) -> Roster {
    let node = |id: u32, room: u16| NodeEntry {
        id: NodeId(id),
        name: format!("node {id}"),
        room: RoomId(room),
        priority: 100 + byte(id),
        address: std::net::SocketAddr::from(([10, 0, 0, byte(id)], 7400)),
        session_key: public(&session_secret(id)),
        signing_key: signing_public(id),
    };
    let cluster = |id: u32, nodes: Vec<NodeEntry>| ClusterEntry {
        id: ClusterId(id),
        name: format!("cluster {id}"),
        group: std::net::SocketAddr::from(([239, 0, 0, byte(id)], 7400)),
        nodes,
    };
    Roster {
        consortium: CONSORTIUM,
        version: 12,
        authority: Party {
            address: "10.0.0.100:7400".parse().unwrap(),
            session_key: public(&session_secret(0)),
            signing_key: signing_public(0),
        },
        clusters: core::iter::once(cluster(3, vec![node(7, 1), node(8, 2), node(9, 1)]))
            .chain((1..clusters).map(|n| {
                let first = 9 + 2 * n;
                cluster(3 + n, vec![node(first, 1), node(first + 1, 2)])
            }))
            .collect(),
        clients: vec![],
        signature: [0; 64],
    }
    .sign(&SigningKey::from_bytes(&[0x0A; 32]))
}

/// One session of two parties.
struct Session {
    name: &'static str,
    transcript: Transcript,
    next: [u64; 2],
}

/// What is under way.
struct Exchange {
    suite: Suite,
    sessions: Vec<Session>,
    group_next: [u64; 16],
}

impl Exchange {
    fn session(&mut self, name: &'static str, initiator: u32, responder: u32, transport: u8) {
        let at = u32::try_from(self.sessions.len()).unwrap();
        let keys = NoiseKeys {
            consortium: CONSORTIUM,
            transport,
            initiator: session_secret(initiator),
            responder: session_secret(responder),
            initiator_ephemeral: [0x80 + byte(at); 32],
            responder_ephemeral: [0xA0 + byte(at); 32],
            timestamp: timestamp(NOW_S, at),
        };
        let ids = [0x1000 + u64::from(at), 0x2000 + u64::from(at)];
        let transcript = Transcript::new(keys, ids, [initiator, responder], None);
        self.sessions.push(Session { name, transcript, next: [0, 0] });
    }

    fn handshakes(&mut self) {
        for session in &self.sessions {
            let [from, to] = session.transcript.parties;
            for (comment, bytes, from, to) in [
                ("before: message 1", &session.transcript.init, from, to),
                ("before: message 2", &session.transcript.response, to, from),
            ] {
                let packet = Packet::decode_unsealed(bytes).unwrap().1;
                self.suite.valid(
                    comment,
                    vec![
                        ("step", J::text("setup")),
                        ("from", from.show()),
                        ("to", J::List(vec![to.show()])),
                        ("session", J::text(session.name)),
                        ("packet", J::text(packet.name())),
                        ("hex", J::hex(bytes)),
                        ("fields", packet.show()),
                    ],
                );
            }
        }
    }

    fn send(&mut self, step: &str, comment: &str, name: &str, from: u32, packet: impl Into<Packet>) {
        let packet = packet.into();
        let session = self.sessions.iter_mut().find(|session| session.name == name).unwrap();
        let [initiator, responder] = session.transcript.parties;
        let side = usize::from(from != initiator);
        let to = if side == 0 { responder } else { initiator };
        let seal = session.transcript.seals()[side];
        let body = body(&packet);
        let id = session.transcript.sessions[1 - side];
        let bytes = seal.packet(packet.packet_type().code(), id, session.next[side], from, &body);
        session.next[side] += 1;
        self.suite.valid(
            comment,
            vec![
                ("step", J::text(step)),
                ("from", from.show()),
                ("to", J::List(vec![to.show()])),
                ("session", J::text(session.name)),
                ("packet", J::text(packet.name())),
                ("body", J::hex(&body)),
                ("hex", J::hex(&bytes)),
                ("fields", packet.show()),
            ],
        );
    }

    fn tell(&mut self, step: &str, comment: &str, from: u32, to: &[u32], packet: impl Into<Packet>) {
        let packet = packet.into();
        let sequence = self.group_next[usize::from(byte(from))];
        self.group_next[usize::from(byte(from))] += 1;
        let place = GroupPlace { generation: 4, sender: from, boot: boot(from), sequence };
        let seal = Seal::group(CLUSTER.0, 4, &OLD_SECRET, from, place.boot);
        let body = body(&packet);
        let bytes = seal.group_packet(&place, packet.packet_type().code(), &body, &signing(from));
        self.suite.valid(
            comment,
            vec![
                ("step", J::text(step)),
                ("from", from.show()),
                ("to", to.to_vec().show()),
                ("session", J::text("group")),
                ("packet", J::text(packet.name())),
                ("body", J::hex(&body)),
                ("hex", J::hex(&bytes)),
                ("fields", packet.show()),
            ],
        );
    }
}

fn boot(id: u32) -> u64 {
    0xB000 + u64::from(id)
}

fn body(packet: &Packet) -> Vec<u8> {
    let mut out = BytesMut::new();
    packet.encode(&mut out);
    out.to_vec()
}

fn none() -> Extensions {
    Extensions::default()
}

fn row(
    cluster: u32,
    epoch: u64,
    version: u64,
    master: u32,
    in_sync: &[u32],
    table_version: u64,
) -> SignedRow {
    row_with(cluster, epoch, version, master, in_sync, &[], table_version)
}

fn row_with(
    cluster: u32,
    epoch: u64,
    version: u64,
    master: u32,
    in_sync: &[u32],
    barred: &[u32],
    table_version: u64,
) -> SignedRow {
    let row = Row {
        cluster: ClusterId(cluster),
        epoch: Epoch(epoch),
        version: Version(version),
        master: NodeId(master),
        in_sync: in_sync.iter().map(|id| NodeId(*id)).collect(),
        barred: barred.iter().map(|id| NodeId(*id)).collect(),
        unfenced: false,
        table_version,
    };
    SignedRow::sign(row, &signing(0))
}

fn notice(request: u64, outcome: Outcome, table_version: u64, row: SignedRow) -> Notice {
    Notice { request, outcome, table_version, row, extensions: none() }
}

fn sealed_id(node: u32) -> Bytes {
    let claims = SealedClaims {
        cluster: CLUSTER,
        node: NodeId(node),
        registration_epoch: 1,
        serial: u64::from(node),
        issued: NOW_S - 3600,
        expires: NOW_S + 82_800,
    };
    let binding = sealed_id::binding(&public(&session_secret(node)), &signing_public(node));
    sealed_id::seal(&SEALING_SECRET, [0x70 + byte(node); 32], &claims, &CONSORTIUM, &binding)
}

fn keepalive(node: u32, role: Role, epoch: u64, version: u64, heard: &[(u32, u32)]) -> NodeKeepalive {
    NodeKeepalive {
        cluster: CLUSTER,
        priority: 100 + byte(node),
        role,
        in_sync: true,
        interval_us: 100_000,
        epoch: Epoch(epoch),
        version: Version(version),
        promised: Epoch(epoch),
        log_end: LogIndex(816),
        height: Height(100),
        address: std::net::SocketAddr::from(([10, 0, 0, byte(node)], 7400)),
        heard: heard.iter().map(|(id, sequence)| Heard { node: NodeId(*id), sequence: *sequence }).collect(),
        extensions: none(),
    }
}

/// The session of a node with the authority, over datagrams.
const fn with_authority(node: u32) -> &'static str {
    match node {
        7 => "7-0 datagram",
        8 => "8-0 datagram",
        9 => "9-0 datagram",
        11 => "11-0 datagram",
        13 => "13-0 datagram",
        _ => "15-0 datagram",
    }
}

/// An exchange whose handshakes are done: (session, initiator, responder, 0 datagram or 1 stream).
fn begin(
    name: &str,
    notes: &[&str],
    clusters: u32,
    parties: &[u32],
    sessions: &[(&'static str, u32, u32, u8)],
) -> Exchange {
    let mut exchange =
        Exchange { suite: Suite::new(name, "exchange", &[]), sessions: Vec::new(), group_next: [0; 16] };
    for (session, initiator, responder, transport) in sessions {
        exchange.session(session, *initiator, *responder, *transport);
    }
    let parties = parties.iter().map(|id| {
        obj! {
            "node": id.show(), "session_secret": session_secret(*id).show(),
            "session_key": public(&session_secret(*id)).show(), "signing_seed": [0x40 + byte(*id); 32].show(),
            "signing_key": signing_public(*id).show(), "boot": boot(*id).show(),
        }
    });
    let shown = exchange
        .sessions
        .iter()
        .map(|session| {
            let J::Object(mut pairs) = session.transcript.show() else { return J::Null };
            pairs.insert(0, ("name", J::text(session.name)));
            J::Object(pairs)
        })
        .collect();
    let roster = roster(clusters);
    let mut bytes = BytesMut::new();
    roster.encode(&mut bytes);
    exchange.suite = Suite::new(name, "exchange", notes)
        .with("roster", J::hex(&bytes))
        .with("operator_key", SigningKey::from_bytes(&[0x0A; 32]).verifying_key().to_bytes().show())
        .with("authority_sealing_secret", SEALING_SECRET.show())
        .with("unix_s", NOW_S.show())
        .with("registration_epoch", J::Number(1))
        .with("parties", J::List(parties.collect()))
        .with("sessions", J::List(shown))
        .with(
            "group",
            obj! { "cluster": CLUSTER.show(), "generation": J::Number(4), "secret": OLD_SECRET.show() },
        );
    exchange.handshakes();
    exchange
}

pub(crate) fn suites() -> [Suite; 3] {
    [rec_1::suite(), rec_2::suite(), rec_3::suite()]
}

/// What a new master hands a member before its log: the group key, the registration data, the rows it knows.
fn greet(exchange: &mut Exchange, step: &str, stream: &str, master: u32, rows: &[SignedRow]) {
    let key = GroupKey::sign(CLUSTER, 5, NEW_SECRET, NodeId(master), &signing(master));
    exchange.send(step, "the promise is durable: a new group key", stream, master, key);
    let sync = RegistrationSync {
        cluster: CLUSTER,
        registration_epoch: 1,
        sealed_ids: [7, 8, 9].map(|id| NodeSealedId { node: NodeId(id), sealed_id: sealed_id(id) }).into(),
        extensions: none(),
    };
    exchange.send(step, "the registration data", stream, master, sync);
    for row in rows {
        let notice = notice(0, Outcome::Notice, 56, row.clone());
        exchange.send(step, "the rows it knows", stream, master, notice);
    }
}

/// The log of the open height, and its acknowledgement.
fn resync(exchange: &mut Exchange, step: &str, stream: &str, master: u32, member: u32, comment: &str) {
    let resync = Resync {
        epoch: Epoch(5),
        height: Height(100),
        start: LogIndex(815),
        records: vec![WireRecord {
            height: Height(101),
            epoch: Epoch(4),
            bytes: Bytes::from_static(RECORDED),
        }],
        extensions: none(),
    };
    exchange.send(step, "the log of the open height", stream, master, resync);
    let ack = Ack {
        epoch: Epoch(5),
        end: LogIndex(816),
        height: Height(100),
        synced: Epoch(5),
        extensions: none(),
    };
    exchange.send(step, comment, stream, member, ack);
}

/// The master of another cluster is shown the row and then the recorded word; the authority hears the new master.
fn speak(exchange: &mut Exchange, step: &str, peer: &str, master: u32, row: &SignedRow, table_version: u64) {
    let shown = notice(0, Outcome::Notice, table_version, row.clone());
    exchange.send(step, "greets the other master with its row", peer, master, shown);
    let word = Consensus {
        cluster: CLUSTER,
        epoch: Epoch(5),
        message: Bytes::from_static(RECORDED),
        extensions: none(),
    };
    exchange.send(step, "the recorded word once more, as it was signed", peer, master, word);
    let keepalive = MasterKeepalive {
        cluster: CLUSTER,
        epoch: Epoch(5),
        height: Height(100),
        challenge: 0,
        table_version,
        extensions: none(),
    };
    exchange.send(step, "the new master's keepalive", with_authority(master), master, keepalive);
    let answer =
        MasterKeepaliveAnswer { challenge: 0xC4A2, epoch: Epoch(5), table_version, extensions: none() };
    exchange.send(step, "and the answer", with_authority(master), 0, answer);
}

/// Everybody of the cluster is there, and the authority has told the row as it is.
fn before(exchange: &mut Exchange, steps: [&str; 2], others: &[u32]) {
    let old = row(3, 4, 2, 9, &[7, 8, 9], 55);
    for (node, role, heard) in [
        (7, Role::Standby, &[][..]),
        (8, Role::Ordinary, &[(7, 0)][..]),
        (9, Role::Master, &[(7, 0), (8, 0)][..]),
    ] {
        let to: Vec<u32> = [7, 8, 9].into_iter().filter(|other| *other != node).collect();
        exchange.tell(steps[0], "a keepalive to the group", node, &to, keepalive(node, role, 4, 2, heard));
    }
    let keepalive = MasterKeepalive {
        cluster: CLUSTER,
        epoch: Epoch(4),
        height: Height(100),
        challenge: 0,
        table_version: 55,
        extensions: none(),
    };
    exchange.send(steps[1], "the master's keepalive", "9-0 datagram", 9, keepalive);
    let answer =
        MasterKeepaliveAnswer { challenge: 0xC4A1, epoch: Epoch(4), table_version: 55, extensions: none() };
    exchange.send(steps[1], "and the answer", "9-0 datagram", 0, answer);
    for node in [7, 8, 9].iter().chain(others) {
        let row = notice(0, Outcome::Notice, 55, old.clone());
        exchange.send(steps[1], "the row as it was", with_authority(*node), 0, row);
    }
}

fn probe(nonce: u64) -> Probe {
    Probe { nonce, epoch: Epoch(4), extensions: none() }
}

/// A claim on the row of epoch 4.
fn claim(node: u32, version: u64, reason: ClaimReason, alive: &[u32]) -> Update {
    Update {
        request: 1,
        cluster: CLUSTER,
        epoch: Epoch(4),
        version: Version(version),
        reason,
        alive: alive.iter().map(|id| NodeId(*id)).collect(),
        height: Height(100),
        sealed_id: sealed_id(node),
        extensions: none(),
    }
}
