//! An authority of many clusters, and the nodes of these as far as it knows them: their keys and their sessions. The
//! handshakes are real; the time in which they happen is not, since the authority answers a thousand a second at most.

use bytes::Bytes;
use duohuo_core::authority::Authority;
use duohuo_core::authority::table::{At, Command};
use duohuo_core::config::{AuthorityConfig, Timers};
use duohuo_core::io::{Input, Machine as _, Output, Stored};
use duohuo_core::{Duration, Instant};
use duohuo_driver::clock;
use duohuo_wire::handshake::{self, Initiation, Initiator, Keys, Prologue, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId, RoomId, Version};
use duohuo_wire::packet::{Packet, Probe};
use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party, Roster};
use duohuo_wire::sealed_id::{self, SealedClaims};
use duohuo_wire::sign::SigningKey;
use rand::RngExt as _;
use std::net::SocketAddr;

/// Handshakes are so far apart, so that none is answered with a cookie.
const HANDSHAKE_INTERVAL: Duration = Duration::from_millis(10);
const CONSORTIUM: [u8; 16] = [7; 16];
const AUTHORITY_SECRET: [u8; 32] = [1; 32];
const SEALING_SECRET: [u8; 32] = [2; 32];
const SIGNING_SECRET: [u8; 32] = [3; 32];
const OPERATOR_SECRET: [u8; 32] = [4; 32];
/// Of sealed IDs: as the authority has it.
const REGISTRATION_EPOCH: u32 = 1;
/// Of a sealed ID; long enough for any measurement.
const HOURS_24: u64 = 24 * 3600;

/// A node with a session at the authority.
pub(super) struct Member {
    pub(super) cluster: ClusterId,
    pub(super) node: NodeId,
    pub(super) keys: Keys,
    /// As the authority named it.
    pub(super) session: u64,
    /// As the node named it: what is said to it carries this.
    pub(super) own_session: u64,
    pub(super) sequence: u64,
    /// Of the newest answer.
    pub(super) challenge: u64,
}

impl Member {
    /// The next datagram to the authority.
    pub(super) fn seal(&mut self, packet: &Packet) -> Bytes {
        self.sequence += 1;
        self.keys.sealing.seal(packet, self.node, self.session, self.sequence - 1)
    }

    /// What the authority said.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<Packet> {
        let header = Header::decode_datagram(bytes).ok()?;
        self.keys.opening.open(&header, bytes).ok()
    }
}

/// Number of node `n` (from 1) of cluster `c` (from 1).
pub(super) const fn node_id(cluster: u32, n: u32) -> NodeId {
    NodeId(cluster * 4 + n)
}

/// Everybody, all at one address: the authority knows them apart by their keys.
pub(super) struct Everybody {
    pub(super) roster: Roster,
    secrets: Vec<(ClusterId, NodeId, [u8; 32])>,
    nodes_a_cluster: u32,
    members_at: SocketAddr,
}

/// The operator's public key.
pub(super) fn operator() -> SigningKey {
    SigningKey::from_bytes(&OPERATOR_SECRET)
}

impl Everybody {
    pub(super) fn new(clusters: u32, nodes_a_cluster: u32, at: SocketAddr, members_at: SocketAddr) -> Self {
        let mut secrets = Vec::new();
        let mut entries = Vec::new();
        for c in 1..=clusters {
            let mut nodes = Vec::new();
            for n in 1..=nodes_a_cluster {
                let secret: [u8; 32] = rand::rng().random();
                let id = node_id(c, n);
                secrets.push((ClusterId(c), id, secret));
                nodes.push(NodeEntry {
                    id,
                    name: format!("n{}", id.0),
                    room: RoomId(1),
                    priority: 100,
                    address: members_at,
                    session_key: handshake::public_key(&secret),
                    signing_key: [9; 32],
                });
            }
            let group = SocketAddr::from(([239, 0, 0, 1], 4750));
            entries.push(ClusterEntry { id: ClusterId(c), name: format!("c{c}"), group, nodes });
        }
        let signing_key = SigningKey::from_bytes(&SIGNING_SECRET).verifying_key().to_bytes();
        let authority =
            Party { address: at, session_key: handshake::public_key(&AUTHORITY_SECRET), signing_key };
        let roster = Roster {
            consortium: CONSORTIUM,
            version: 1,
            authority,
            clusters: entries,
            clients: Vec::new(),
            signature: [0; 64],
        };
        Self { roster, secrets, nodes_a_cluster, members_at }
    }

    /// Their authority, which has heard nobody yet: every cluster has its first node as master and all in the set.
    pub(super) fn authority(&self, timers: Timers) -> Result<Authority, String> {
        let mut commands = Vec::new();
        for cluster in &self.roster.clusters {
            let mut nodes = cluster.nodes.iter();
            if let Some(first) = nodes.next() {
                commands.push(Command::Register { cluster: cluster.id, node: first.id });
            }
            for (version, node) in (0..).zip(nodes) {
                let at = At { epoch: Epoch(1), version: Version(version) };
                commands.push(Command::Add { cluster: cluster.id, at, node: node.id });
            }
        }
        let commands = (1..).zip(commands.iter().map(Command::encode)).collect();
        let config = AuthorityConfig {
            session_secret: AUTHORITY_SECRET.into(),
            signing_key: SigningKey::from_bytes(&SIGNING_SECRET),
            sealing_secret: SEALING_SECRET.into(),
            roster: self.roster.clone(),
            operator_key: operator().verifying_key().to_bytes(),
            timers,
            versions: duohuo_wire::versions::Versions::ALL,
            seed: rand::rng().random(),
            unix_at_zero: clock::unix_at_zero(),
        };
        Authority::new(config, Stored { commands, ..Stored::default() }).map_err(|e| format!("{e:?}"))
    }

    /// How long before now the authority must have started, for all of them to have come in one after the other.
    fn head_start(&self, timers: Timers) -> Duration {
        timers.startup_interval
            + HANDSHAKE_INTERVAL * u32::try_from(self.secrets.len() + 1).unwrap_or(u32::MAX)
    }

    /// Those of them who are wanted open their sessions.
    pub(super) fn enter(
        &self,
        authority: &mut Authority,
        timers: Timers,
        members: &mut Vec<Member>,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<(), String> {
        let head_start = u64::try_from(self.head_start(timers).as_nanos()).unwrap_or(u64::MAX);
        let mut now = Instant::from_nanos(clock::now().as_nanos().saturating_sub(head_start));
        say(authority, now, Input::Tick);
        now = now + timers.startup_interval;
        for (cluster, node, secret) in self.secrets.iter().filter(|(_, node, _)| wanted(node.0 % 4)) {
            now = now + HANDSHAKE_INTERVAL;
            let unix = clock::unix_at_zero().as_secs() + now.as_nanos() / 1_000_000_000;
            let (mut initiator, own_session, init) = start(*node, secret, unix)?;
            let answers = say(authority, now, self.datagram(init));
            let response = answers.iter().find_map(|bytes| match Packet::decode_unsealed(bytes) {
                Ok((_, Packet::HandshakeResponse(response))) => Some(response),
                _ => None,
            });
            let response = response.ok_or("the authority did not answer a handshake")?;
            let keys = initiator.try_finish(&response).map_err(|e| e.to_string())?;
            let session = response.responder_session;
            let mut member = Member {
                cluster: *cluster,
                node: *node,
                keys,
                session,
                own_session,
                sequence: 0,
                challenge: 0,
            };
            // the first packet under the keys proves them; it is not answered
            let proof = member.seal(&Packet::from(Probe { nonce: 0, ..Default::default() }));
            say(authority, now, self.datagram(proof));
            members.push(member);
        }
        Ok(())
    }

    fn datagram(&self, bytes: Bytes) -> Input {
        Input::Datagram { from: self.members_at, group: false, bytes }
    }

    /// The sessions alone, without an authority: `members` and the keys of the other side.
    pub(super) fn sessions(&self) -> Result<(Vec<Member>, Vec<Keys>), String> {
        let (mut members, mut others) = (Vec::new(), Vec::new());
        for (n, (cluster, node, secret)) in self.secrets.iter().enumerate() {
            let (mut initiator, own_session, init) = start(*node, secret, 1)?;
            let Ok((_, Packet::HandshakeInit(init))) = Packet::decode_unsealed(&init) else {
                return Err("no initiation".into());
            };
            let session = rand::rng().random_range(1..u64::MAX - n as u64);
            let key = rand::rng().random();
            let accepted =
                handshake::respond(&AUTHORITY_SECRET, &prologue(), &init, key, session, NodeId::AUTHORITY)
                    .map_err(|e| e.to_string())?;
            let keys = initiator.try_finish(&accepted.response).map_err(|e| e.to_string())?;
            members.push(Member {
                cluster: *cluster,
                node: *node,
                keys,
                session,
                own_session,
                sequence: 0,
                challenge: 0,
            });
            others.push(accepted.keys);
        }
        Ok((members, others))
    }

    /// The right of a node to speak for its cluster, as the authority seals it.
    pub(super) fn sealed_id(&self, cluster: ClusterId, node: NodeId) -> Bytes {
        let Some((_, entry)) = self.roster.node(node) else { return Bytes::new() };
        let unix = clock::unix_at_zero().as_secs();
        let issued = unix + clock::now().as_nanos() / 1_000_000_000 - 1;
        let claims = SealedClaims {
            cluster,
            node,
            registration_epoch: REGISTRATION_EPOCH,
            serial: 1,
            issued,
            expires: issued + HOURS_24,
        };
        let binding = sealed_id::binding(&entry.session_key, &entry.signing_key);
        sealed_id::seal(&SEALING_SECRET, rand::rng().random(), &claims, &CONSORTIUM, &binding)
    }

    /// All nodes of a cluster.
    pub(super) fn nodes_of(&self, cluster: ClusterId) -> Vec<NodeId> {
        (1..=self.nodes_a_cluster).map(|n| node_id(cluster.0, n)).collect()
    }
}

const fn prologue() -> Prologue {
    Prologue { consortium: CONSORTIUM, transport: Transport::Datagram }
}

/// A node's first message.
fn start(node: NodeId, secret: &[u8; 32], unix: u64) -> Result<(Initiator, u64, Bytes), String> {
    let mut timestamp = [0; 12];
    timestamp[..8].copy_from_slice(&unix.to_be_bytes());
    let public = handshake::public_key(&AUTHORITY_SECRET);
    let (ephemeral, session) = (rand::rng().random(), rand::rng().random_range(1..u64::MAX));
    let (initiator, init) = Initiation {
        local: secret,
        remote_public: &public,
        prologue: &prologue(),
        ephemeral,
        timestamp,
        session,
        cookie: None,
        sender: node,
        versions: None,
    }
    .begin()
    .map_err(|e| e.to_string())?;
    Ok((initiator, session, Packet::from(init).encode_unsealed(node).freeze()))
}

/// One input; the datagrams that came of it.
fn say(authority: &mut Authority, now: Instant, input: Input) -> Vec<Bytes> {
    authority.handle(now, input);
    let mut datagrams = Vec::new();
    while let Some(output) = authority.poll_output() {
        if let Output::Datagram { bytes, .. } = output {
            datagrams.push(bytes);
        }
    }
    datagrams
}
