//! The roster: who is in the consortium, with which keys and addresses. Signed by the operator, pushed by the
//! authority, never learnt from the network otherwise (AUTH-1, SYS-4, SYS-6).

use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
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

/// The address of a node that was taken out: nobody is there, and who speaks from there is nobody (W-ROS-5).
pub const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1));

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

impl NodeEntry {
    /// Whether it was taken out: its line stays, for the signatures of the past (W-ROS-5).
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.address == NOWHERE
    }
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
        self.clients.iter().find(|client| client.session_key == *key).map(PartyRef::Client)
    }

    /// All nodes of all clusters, ascending by cluster, then node.
    pub fn all_nodes(&self) -> impl Iterator<Item = (&ClusterEntry, &NodeEntry)> {
        self.clusters.iter().flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn node(id: u32) -> NodeEntry {
        NodeEntry {
            id: NodeId(id),
            name: format!("node {id}"),
            room: RoomId(1),
            priority: 100,
            address: SocketAddr::from(([10, 0, 0, 1], 7400)),
            session_key: [u8::try_from(id).unwrap(); 32],
            signing_key: [1; 32],
        }
    }

    fn cluster(id: u32, nodes: &[u32]) -> ClusterEntry {
        ClusterEntry {
            id: ClusterId(id),
            name: format!("cluster {id}"),
            group: SocketAddr::from(([239, 0, 0, 1], 7400)),
            nodes: nodes.iter().map(|id| node(*id)).collect(),
        }
    }

    fn roster() -> Roster {
        Roster {
            consortium: [9; 16],
            version: 3,
            authority: Party {
                address: "[2001:db8::1]:7400".parse().unwrap(),
                session_key: [0xF0; 32],
                signing_key: [0xF1; 32],
            },
            clusters: vec![cluster(1, &[1, 2]), cluster(2, &[3, 4, 5])],
            clients: vec![ClientEntry { id: NodeId(90), name: "till".to_owned(), session_key: [90; 32] }],
            signature: [0; 64],
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn refused(change: impl FnOnce(&mut Roster)) -> DecodeError {
        let mut roster = roster();
        change(&mut roster);
        let mut bytes = BytesMut::new();
        roster.encode(&mut bytes);
        Roster::decode(&bytes).unwrap_err()
    }

    #[test]
    fn a_signed_roster_survives_the_round_trip_and_no_cut_of_it_does() {
        let signed = roster().sign(&key());
        let mut bytes = BytesMut::new();
        signed.encode(&mut bytes);
        assert_eq!(Roster::decode(&bytes), Ok(signed.clone()));
        assert!(signed.verify(&key().verifying_key()));
        assert!(!Roster { version: 4, ..signed }.verify(&key().verifying_key()));
        for length in 0..bytes.len() {
            assert!(Roster::decode(&bytes[..length]).is_err(), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Roster::decode(&longer), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn the_roster_starts_with_these_bytes() {
        let mut bytes = BytesMut::new();
        roster().encode(&mut bytes);
        assert_eq!(&bytes[..16], &[9; 16]);
        assert_eq!(&bytes[16..26], &[0, 0, 0, 0, 0, 0, 0, 3, 6, 0x20]);
        // The number of clusters, the first id, and its name.
        assert_eq!(&bytes[107..123], b"\0\x02\0\0\0\x01\x09cluster 1");
    }

    #[test]
    fn parties_are_found_by_number_and_by_key() {
        let roster = roster();
        let (cluster, node) = roster.node(NodeId(4)).unwrap();
        assert_eq!((cluster.id, node.id), (ClusterId(2), NodeId(4)));
        assert!(roster.node(NodeId(90)).is_none() && roster.client(NodeId(90)).is_some());
        assert_eq!(roster.cluster(ClusterId(2)).unwrap().nodes.len(), 3);
        let id = |key: u8| roster.by_session_key(&[key; 32]).map(|party| party.id());
        assert_eq!(id(0xF0), Some(NodeId::AUTHORITY));
        assert_eq!((id(4), id(90), id(6)), (Some(NodeId(4)), Some(NodeId(90)), None));
    }

    #[test]
    fn each_broken_rule_names_its_field() {
        let bad = |field| DecodeError::BadValue { field };
        let order = |field| DecodeError::NotCanonical { field };
        assert_eq!(refused(|r| r.clusters.clear()), bad("roster.clusters"));
        assert_eq!(refused(|r| r.clusters.swap(0, 1)), order("cluster.id"));
        assert_eq!(refused(|r| r.clusters[0].id = ClusterId(0)), bad("cluster.id"));
        assert_eq!(refused(|r| r.clusters[0].name.clear()), bad("cluster.name"));
        assert_eq!(refused(|r| r.clusters[0].group = "[::1]:1".parse().unwrap()), bad("cluster.group"));
        assert_eq!(refused(|r| r.clusters[0].nodes.truncate(1)), bad("cluster.nodes"));
        assert_eq!(refused(|r| r.clusters[1].nodes.swap(0, 1)), order("node.id"));
        assert_eq!(refused(|r| r.clusters[0].nodes[0].id = NodeId(0)), bad("node.id"));
        assert_eq!(refused(|r| r.clusters[0].nodes[1].id = NodeId(3)), bad("node.id"));
        assert_eq!(refused(|r| r.clusters[0].nodes[0].name.clear()), bad("node.name"));
        assert_eq!(refused(|r| r.clusters[0].nodes[0].priority = 255), bad("node.priority"));
        assert_eq!(refused(|r| r.clusters[0].nodes[0].session_key = [0xF0; 32]), bad("node.session_key"));
        assert_eq!(refused(|r| r.clients[0].id = NodeId(5)), bad("client.id"));
        assert_eq!(refused(|r| r.clients[0].id = NodeId(0)), bad("client.id"));
        assert_eq!(refused(|r| r.clients[0].name.clear()), bad("client.name"));
        assert_eq!(refused(|r| r.clients[0].session_key = [5; 32]), bad("client.session_key"));
    }

    #[test]
    fn a_cluster_has_two_to_sixty_four_nodes_and_a_roster_up_to_254_clusters() {
        let with_nodes = |count: u32| {
            let mut roster = roster();
            roster.clusters = vec![cluster(1, &(100..100 + count).collect::<Vec<_>>())];
            roster.validate().is_ok()
        };
        assert_eq!([1, 2, 64, 65].map(with_nodes), [false, true, true, false]);
        let mut roster = roster();
        roster.clusters = (1..=255).map(|id| cluster(id, &[])).collect();
        assert_eq!(roster.validate(), Err(DecodeError::BadValue { field: "roster.clusters" }));
        roster.clusters.pop();
        assert_eq!(roster.validate(), Err(DecodeError::BadValue { field: "cluster.nodes" }));
    }
}
