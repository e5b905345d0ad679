//! A whole failover as an exchange: REC-1 of spec/behaviour.md, section 12, packet by packet.

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

fn roster() -> Roster {
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
        clusters: vec![
            cluster(3, vec![node(7, 1), node(8, 2), node(9, 1)]),
            cluster(4, vec![node(11, 1), node(12, 2)]),
        ],
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
    let row = Row {
        cluster: ClusterId(cluster),
        epoch: Epoch(epoch),
        version: Version(version),
        master: NodeId(master),
        in_sync: in_sync.iter().map(|id| NodeId(*id)).collect(),
        barred: vec![],
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

pub(crate) fn suite() -> Suite {
    let parties = [0_u32, 7, 8, 9, 11].map(|id| {
        obj! {
            "node": id.show(), "session_secret": session_secret(id).show(),
            "session_key": public(&session_secret(id)).show(), "signing_seed": [0x40 + byte(id); 32].show(),
            "signing_key": signing_public(id).show(), "boot": boot(id).show(),
        }
    });
    let mut exchange = Exchange {
        suite: Suite::new("exchange", "exchange", &[]),
        sessions: Vec::new(),
        group_next: [0; 16],
    };
    for (name, initiator, responder, transport) in [
        ("7-0 datagram", 7, 0, 0),
        ("8-0 datagram", 8, 0, 0),
        ("9-0 datagram", 9, 0, 0),
        ("11-0 datagram", 11, 0, 0),
        ("7-8 stream", 7, 8, 1),
        ("7-11 stream", 7, 11, 1),
    ] {
        exchange.session(name, initiator, responder, transport);
    }
    let shown = exchange
        .sessions
        .iter()
        .map(|session| {
            let J::Object(mut pairs) = session.transcript.show() else { return J::Null };
            pairs.insert(0, ("name", J::text(session.name)));
            J::Object(pairs)
        })
        .collect();
    let roster = roster();
    let mut bytes = BytesMut::new();
    roster.encode(&mut bytes);
    exchange.suite = Suite::new(
        "exchange",
        "exchange",
        &[
            "REC-1 of spec/behaviour.md, section 12: 9 is the master m of cluster 3, 7 the standby a, 8 the ordinary node a1, 0 the authority Z, 11 the master N of cluster 4.",
            "All packets in order; step names the row of the table. Between S1303's keepalive and S1304 node 9 dies and its streams close.",
            "session names the session a packet travels in, group = the group seal, generation 4 as all of these are sent within the group grace.",
        ],
    )
    .with("roster", J::hex(&bytes))
    .with("operator_key", SigningKey::from_bytes(&[0x0A; 32]).verifying_key().to_bytes().show())
    .with("authority_sealing_secret", SEALING_SECRET.show())
    .with("unix_s", NOW_S.show())
    .with("registration_epoch", J::Number(1))
    .with("parties", J::List(parties.into()))
    .with("sessions", J::List(shown))
    .with("group", obj! { "cluster": CLUSTER.show(), "generation": J::Number(4), "secret": OLD_SECRET.show() });
    exchange.handshakes();
    before(&mut exchange);
    suspicion(&mut exchange);
    grant(&mut exchange);
    after(&mut exchange);
    exchange.suite
}

fn before(exchange: &mut Exchange) {
    let old = row(3, 4, 2, 9, &[7, 8, 9], 55);
    for (node, role, heard) in [
        (7, Role::Standby, &[][..]),
        (8, Role::Ordinary, &[(7, 0)][..]),
        (9, Role::Master, &[(7, 0), (8, 0)][..]),
    ] {
        let others: Vec<u32> = [7, 8, 9].into_iter().filter(|other| *other != node).collect();
        exchange.tell("S1301", "a keepalive to the group", node, &others, keepalive(node, role, 4, 2, heard));
    }
    let keepalive = MasterKeepalive {
        cluster: CLUSTER,
        epoch: Epoch(4),
        height: Height(100),
        challenge: 0,
        table_version: 55,
        extensions: none(),
    };
    exchange.send("S1302", "the master's keepalive", "9-0 datagram", 9, keepalive);
    let answer =
        MasterKeepaliveAnswer { challenge: 0xC4A1, epoch: Epoch(4), table_version: 55, extensions: none() };
    exchange.send("S1302", "and the answer", "9-0 datagram", 0, answer);
    for node in [7, 8, 9, 11] {
        let name = ["7-0 datagram", "8-0 datagram", "9-0 datagram", "11-0 datagram"]
            [[7, 8, 9, 11].iter().position(|other| *other == node).unwrap()];
        exchange.send("S1302", "the row as it was", name, 0, notice(0, Outcome::Notice, 55, old.clone()));
    }
}

fn suspicion(exchange: &mut Exchange) {
    let probe = |nonce| Probe { nonce, epoch: Epoch(4), extensions: none() };
    exchange.tell("S1304", "the master's stream closed: the first probe of 7", 7, &[9], probe(0x7001));
    let claim = Update {
        request: 1,
        cluster: CLUSTER,
        epoch: Epoch(4),
        version: Version(2),
        reason: ClaimReason::StreamClosed,
        alive: vec![NodeId(7), NodeId(8)],
        height: Height(100),
        sealed_id: sealed_id(7),
        extensions: none(),
    };
    exchange.send("S1307", "the standby claims, already at the suspicion", "7-0 datagram", 7, claim);
    exchange.tell("S1304", "the first probe of 8", 8, &[9], probe(0x8001));
    exchange.send(
        "S1310",
        "the authority asks the incumbent: once, its stream is gone",
        "9-0 datagram",
        0,
        probe(0xA001),
    );
    for comment in ["the second probe of 7", "the third probe of 7"] {
        exchange.tell("S1304", comment, 7, &[9], probe(0x7001));
    }
    for comment in ["the second probe of 8", "the third probe of 8"] {
        exchange.tell("S1304", comment, 8, &[9], probe(0x8001));
    }
}

fn grant(exchange: &mut Exchange) {
    let new = row(3, 5, 0, 7, &[7, 8], 56);
    exchange.send(
        "S1312",
        "no answer: the grant, to the claimant",
        "7-0 datagram",
        0,
        notice(1, Outcome::Done, 56, new.clone()),
    );
    for (name, comment) in [
        ("9-0 datagram", "to the old master, which is dead"),
        ("7-0 datagram", "to the new master as to all nodes of the cluster"),
        ("8-0 datagram", "to the ordinary node"),
        ("11-0 datagram", "to the masters of the other clusters"),
    ] {
        exchange.send("S1312", comment, name, 0, notice(0, Outcome::Notice, 56, new.clone()));
    }
}

fn after(exchange: &mut Exchange) {
    let new = row(3, 5, 0, 7, &[7, 8], 56);
    let other = row(4, 2, 1, 11, &[11, 12], 40);
    let stream = "7-8 stream";
    let key = GroupKey::sign(CLUSTER, 5, NEW_SECRET, NodeId(7), &signing(7));
    exchange.send("S1313", "the promise is durable: a new group key", stream, 7, key);
    let sync = RegistrationSync {
        cluster: CLUSTER,
        registration_epoch: 1,
        sealed_ids: [7, 8, 9].map(|id| NodeSealedId { node: NodeId(id), sealed_id: sealed_id(id) }).into(),
        extensions: none(),
    };
    exchange.send("S1313", "the registration data", stream, 7, sync);
    for row in [&new, &other] {
        let notice = notice(0, Outcome::Notice, 56, row.clone());
        exchange.send("S1313", "the rows it knows", stream, 7, notice);
    }
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
    exchange.send("S1313", "the log of the open height", stream, 7, resync);
    let ack = Ack {
        epoch: Epoch(5),
        end: LogIndex(816),
        height: Height(100),
        synced: Epoch(5),
        extensions: none(),
    };
    exchange.send("S1313", "log, promise and synced are durable at 8", stream, 8, ack);
    exchange.send(
        "S1313",
        "greets the other master with its row",
        "7-11 stream",
        7,
        notice(0, Outcome::Notice, 56, new.clone()),
    );
    let word = Consensus {
        cluster: CLUSTER,
        epoch: Epoch(5),
        message: Bytes::from_static(RECORDED),
        extensions: none(),
    };
    exchange.send("S1313", "the recorded word once more, as it was signed", "7-11 stream", 7, word);
    let keepalive_to_authority = MasterKeepalive {
        cluster: CLUSTER,
        epoch: Epoch(5),
        height: Height(100),
        challenge: 0,
        table_version: 56,
        extensions: none(),
    };
    exchange.send("S1313", "the new master's keepalive", "7-0 datagram", 7, keepalive_to_authority);
    let answer =
        MasterKeepaliveAnswer { challenge: 0xC4A2, epoch: Epoch(5), table_version: 56, extensions: none() };
    exchange.send("S1313", "and the answer", "7-0 datagram", 0, answer);
    exchange.tell(
        "S1313",
        "the group hears who leads",
        7,
        &[8, 9],
        keepalive(7, Role::Master, 5, 0, &[(8, 3)]),
    );
    exchange.tell("S1308", "and who is next", 8, &[7, 9], keepalive(8, Role::Standby, 5, 0, &[(7, 4)]));
}
