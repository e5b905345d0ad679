//! The roster: who is in the consortium, with which keys and addresses. Signed by the operator, pushed by the
//! authority, never learnt from the network otherwise (AUTH-1, SYS-4, SYS-6).

use core::net::SocketAddr;
use std::collections::BTreeSet;

use bytes::{BufMut, BytesMut};

use crate::{
    codec::{self, Field, Parsed},
    error::DecodeError,
    ids::{ClusterId, NodeId, RoomId},
    sign::{self, SigningKey, VerifyingKey},
};

const LABEL: &[u8] = b"duohuo roster 1";

/// Most clusters of one consortium.
pub const MAX_CLUSTERS: usize = 254;
/// Fewest and most nodes of one cluster.
pub const CLUSTER_NODES: core::ops::RangeInclusive<usize> = 2..=64;
/// The highest priority a node can have; 0 = never master.
pub const MAX_PRIORITY: u8 = 254;

/// The authority's place and keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Party {
    /// UDP and TCP.
    pub address: SocketAddr,
    /// X25519 public key.
    pub session_key: [u8; 32],
    /// Ed25519 public key.
    pub signing_key: [u8; 32],
}

/// One node of a cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEntry {
    /// Unique over the whole roster, never 0.
    pub id: NodeId,
    /// For people; not empty.
    pub name: String,
    /// Where it stands: nodes of one room fail together.
    pub room: RoomId,
    /// 1..=254, the higher the sooner master; 0 = never master.
    pub priority: u8,
    /// UDP and TCP.
    pub address: SocketAddr,
    /// X25519 public key; unique over the whole roster.
    pub session_key: [u8; 32],
    /// Ed25519 public key.
    pub signing_key: [u8; 32],
}

/// One cluster: one member of the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterEntry {
    /// Never 0.
    pub id: ClusterId,
    /// For people; not empty.
    pub name: String,
    /// The IPv4 multicast group and port of its keepalives.
    pub group: SocketAddr,
    /// Ascending by id.
    pub nodes: Vec<NodeEntry>,
}

/// One that may submit and watch, and is no node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientEntry {
    /// Unique over the whole roster, never 0.
    pub id: NodeId,
    /// For people; not empty.
    pub name: String,
    /// X25519 public key; unique over the whole roster.
    pub session_key: [u8; 32],
}

/// Everyone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Roster {
    /// Random, fixed for the life of the consortium: part of every key.
    pub consortium: [u8; 16],
    /// Only grows.
    pub version: u64,
    /// The authentication service.
    pub authority: Party,
    /// Ascending by id.
    pub clusters: Vec<ClusterEntry>,
    /// Ascending by id.
    pub clients: Vec<ClientEntry>,
    /// By the operator key, over "duohuo roster 1" and everything above.
    pub signature: [u8; 64],
}

/// Whose key it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartyRef<'a> {
    /// The authentication service.
    Authority(&'a Party),
    /// A node, with its cluster.
    Node(&'a ClusterEntry, &'a NodeEntry),
    /// A client.
    Client(&'a ClientEntry),
}

impl PartyRef<'_> {
    /// The party's number: 0 for the authority.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        match self {
            Self::Authority(_) => NodeId::AUTHORITY,
            Self::Node(_, node) => node.id,
            Self::Client(client) => client.id,
        }
    }
}

impl Roster {
    /// A node and its cluster.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<(&ClusterEntry, &NodeEntry)> {
        self.all_nodes().find(|(_, node)| node.id == id)
    }

    /// A cluster.
    #[must_use]
    pub fn cluster(&self, id: ClusterId) -> Option<&ClusterEntry> {
        self.clusters.iter().find(|cluster| cluster.id == id)
    }

    /// A client.
    #[must_use]
    pub fn client(&self, id: NodeId) -> Option<&ClientEntry> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Whose session key this is.
    #[must_use]
    pub fn by_session_key(&self, key: &[u8; 32]) -> Option<PartyRef<'_>> {
        if self.authority.session_key == *key {
            return Some(PartyRef::Authority(&self.authority));
        }
        let node = self.all_nodes().find(|(_, node)| node.session_key == *key);
        if let Some((cluster, node)) = node {
            return Some(PartyRef::Node(cluster, node));
        }
        self.clients
            .iter()
            .find(|client| client.session_key == *key)
            .map(PartyRef::Client)
    }

    /// All nodes of all clusters, ascending by cluster, then node.
    pub fn all_nodes(&self) -> impl Iterator<Item = (&ClusterEntry, &NodeEntry)> {
        self.clusters
            .iter()
            .flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)))
    }

    /// Signs, and writes the signature into the roster.
    #[must_use]
    pub fn sign(mut self, key: &SigningKey) -> Self {
        self.signature = sign::sign(key, &self.canonical());
        self
    }

    /// Whether the holder of the operator key signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    /// Appends the canonical signed roster.
    pub fn encode(&self, out: &mut BytesMut) {
        self.put_fields(out);
        self.signature.put(out);
    }

    /// Reads one roster and nothing after it, and checks everything but the signature.
    ///
    /// # Errors
    /// The first field that is cut or out of range; then the first rule of [`Roster::validate`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = bytes;
        let input = &mut input;
        let roster = Self {
            consortium: codec::get(input, "roster.consortium")?,
            version: codec::get(input, "roster.version")?,
            authority: codec::get(input, "roster.authority")?,
            clusters: codec::get_list(input, "roster.clusters")?,
            clients: codec::get_list(input, "roster.clients")?,
            signature: codec::get(input, "roster.signature")?,
        };
        if !input.is_empty() {
            return Err(DecodeError::TrailingBytes);
        }
        roster.validate()?;
        Ok(roster)
    }

    /// The rules a roster obeys beyond its encoding. For those who make one; `decode` calls it.
    ///
    /// # Errors
    /// The first rule that is broken, named by its field.
    pub fn validate(&self) -> Result<(), DecodeError> {
        let bad = |field| Err(DecodeError::BadValue { field });
        if self.clusters.is_empty() || self.clusters.len() > MAX_CLUSTERS {
            return bad("roster.clusters");
        }
        codec::require_ascending(&self.clusters, "cluster.id", |cluster| cluster.id)?;
        codec::require_ascending(&self.clients, "client.id", |client| client.id)?;
        for cluster in &self.clusters {
            cluster.validate()?;
        }
        for client in &self.clients {
            if client.id.0 == 0 {
                return bad("client.id");
            }
            if !name_fits(&client.name) {
                return bad("client.name");
            }
        }
        let mut ids = BTreeSet::new();
        let mut keys = BTreeSet::from([self.authority.session_key]);
        for (_, node) in self.all_nodes() {
            if !ids.insert(node.id) {
                return bad("node.id");
            }
            if !keys.insert(node.session_key) {
                return bad("node.session_key");
            }
        }
        for client in &self.clients {
            if !ids.insert(client.id) {
                return bad("client.id");
            }
            if !keys.insert(client.session_key) {
                return bad("client.session_key");
            }
        }
        Ok(())
    }

    fn canonical(&self) -> BytesMut {
        let mut out = BytesMut::with_capacity(4096);
        out.put_slice(LABEL);
        self.put_fields(&mut out);
        out
    }

    fn put_fields(&self, out: &mut BytesMut) {
        self.consortium.put(out);
        self.version.put(out);
        self.authority.put(out);
        codec::put_list(&self.clusters, out);
        codec::put_list(&self.clients, out);
    }
}

impl ClusterEntry {
    fn validate(&self) -> Result<(), DecodeError> {
        let bad = |field| Err(DecodeError::BadValue { field });
        if self.id.0 == 0 {
            return bad("cluster.id");
        }
        if !name_fits(&self.name) {
            return bad("cluster.name");
        }
        if !self.group.is_ipv4() {
            return bad("cluster.group");
        }
        if !CLUSTER_NODES.contains(&self.nodes.len()) {
            return bad("cluster.nodes");
        }
        codec::require_ascending(&self.nodes, "node.id", |node| node.id)?;
        for node in &self.nodes {
            if node.id.0 == 0 {
                return bad("node.id");
            }
            if !name_fits(&node.name) {
                return bad("node.name");
            }
            if node.priority > MAX_PRIORITY {
                return bad("node.priority");
            }
        }
        Ok(())
    }
}

fn name_fits(name: &str) -> bool {
    (1..=255).contains(&name.len())
}

impl Field for Party {
    const LEAST: usize = 71;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let party = Self {
            address: codec::get(input, "authority.address")?,
            session_key: codec::get(input, "authority.session_key")?,
            signing_key: codec::get(input, "authority.signing_key")?,
        };
        Ok((input, party))
    }
    fn put(&self, out: &mut BytesMut) {
        self.address.put(out);
        self.session_key.put(out);
        self.signing_key.put(out);
    }
}

impl Field for NodeEntry {
    const LEAST: usize = 79;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let node = Self {
            id: codec::get(input, "node.id")?,
            name: codec::get(input, "node.name")?,
            room: codec::get(input, "node.room")?,
            priority: codec::get(input, "node.priority")?,
            address: codec::get(input, "node.address")?,
            session_key: codec::get(input, "node.session_key")?,
            signing_key: codec::get(input, "node.signing_key")?,
        };
        Ok((input, node))
    }
    fn put(&self, out: &mut BytesMut) {
        self.id.put(out);
        self.name.put(out);
        self.room.put(out);
        self.priority.put(out);
        self.address.put(out);
        self.session_key.put(out);
        self.signing_key.put(out);
    }
}

impl Field for ClusterEntry {
    const LEAST: usize = 14;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let cluster = Self {
            id: codec::get(input, "cluster.id")?,
            name: codec::get(input, "cluster.name")?,
            group: codec::get(input, "cluster.group")?,
            nodes: codec::get_list(input, "cluster.nodes")?,
        };
        Ok((input, cluster))
    }
    fn put(&self, out: &mut BytesMut) {
        self.id.put(out);
        self.name.put(out);
        self.group.put(out);
        codec::put_list(&self.nodes, out);
    }
}

impl Field for ClientEntry {
    const LEAST: usize = 37;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let client = Self {
            id: codec::get(input, "client.id")?,
            name: codec::get(input, "client.name")?,
            session_key: codec::get(input, "client.session_key")?,
        };
        Ok((input, client))
    }
    fn put(&self, out: &mut BytesMut) {
        self.id.put(out);
        self.name.put(out);
        self.session_key.put(out);
    }
}
