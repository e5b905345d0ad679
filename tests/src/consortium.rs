//! A whole consortium with keys made from a seed: the layouts of the patent's figures.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use duohuo_wire::handshake::public_key;
use duohuo_wire::ids::{ClusterId, NodeId, RoomId};
use duohuo_wire::roster::{ClientEntry, ClusterEntry, NodeEntry, Party, Roster};
use duohuo_wire::sign::SigningKey;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use std::collections::BTreeMap;

/// The client's number.
pub const CLIENT: NodeId = NodeId(9000);
const PORT: u16 = 4751;

/// Private keys of one party.
#[derive(Clone)]
pub struct Keys {
    /// X25519.
    pub session: [u8; 32],
    /// Ed25519.
    pub signing: SigningKey,
}

/// Everybody and their keys.
#[derive(Clone)]
pub struct Consortium {
    /// Signed by [`Consortium::operator`].
    pub roster: Roster,
    /// By number; the authority has 0.
    pub keys: BTreeMap<NodeId, Keys>,
    /// The authority's sealing key.
    pub sealing: [u8; 32],
    /// The operator.
    pub operator: SigningKey,
    /// Enrolment secret of each cluster's group.
    pub groups: BTreeMap<ClusterId, [u8; 32]>,
}

/// One node of a layout: room and priority.
pub type Place = (u16, u8);

/// Fig. 18 (DEP-2): room 1: A, b, c1; room 2: B, d, a1; room 3: C, a, d1; room 4: D, c, b1.
pub const FIG_18: [&[Place]; 4] = [
    &[(1, 200), (3, 150), (2, 100)],
    &[(2, 200), (1, 150), (4, 100)],
    &[(3, 200), (4, 150), (1, 100)],
    &[(4, 200), (2, 150), (3, 100)],
];

/// Fig. 16 (DEP-1): two rooms; masters A, B in room 1 and C, D in room 2, each standby in the other.
pub const FIG_16: [&[Place]; 4] =
    [&[(1, 200), (2, 150)], &[(1, 200), (2, 150)], &[(2, 200), (1, 150)], &[(2, 200), (1, 150)]];

/// Number of node `n` (from 0) of cluster `c` (from 0): 11, 12, 13 for the first cluster, 21 ... for the second.
#[must_use]
pub fn node(cluster: usize, n: usize) -> NodeId {
    NodeId(u32::try_from((cluster + 1) * 10 + n + 1).unwrap_or(0))
}

impl Consortium {
    /// A consortium of this layout, its keys drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, layout: &[&[Place]]) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut key = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let operator = SigningKey::from_bytes(&key());
        let mut keys = BTreeMap::new();
        let mut make = |id: NodeId, session: [u8; 32], signing: [u8; 32]| {
            keys.insert(id, Keys { session, signing: SigningKey::from_bytes(&signing) });
        };
        make(NodeId::AUTHORITY, key(), key());
        make(CLIENT, key(), key());
        let sealing = key();
        let mut groups = BTreeMap::new();
        for (c, nodes) in layout.iter().enumerate() {
            groups.insert(cluster_id(c), key());
            for n in 0..nodes.len() {
                make(node(c, n), key(), key());
            }
        }
        let mut consortium = Self { roster: empty(key()), keys, sealing, operator, groups };
        let clusters = layout.iter().enumerate().map(|(c, nodes)| consortium.cluster(c, nodes)).collect();
        let mut roster = consortium.roster.clone();
        roster.version = 1;
        roster.authority = consortium.party(NodeId::AUTHORITY, address(9, 0, 1));
        roster.clusters = clusters;
        roster.clients = vec![ClientEntry {
            id: CLIENT,
            name: "client".to_owned(),
            session_key: consortium.keys.get(&CLIENT).map(|k| public_key(&k.session)).unwrap_or_default(),
        }];
        consortium.roster = roster.sign(&consortium.operator);
        consortium
    }

    /// Enrol one node more: its entry; the roster gets a new version and signature. `None`: there is no such cluster.
    pub fn enrol(&mut self, cluster: ClusterId, room: u16, priority: u8) -> Option<NodeEntry> {
        let c = usize::try_from(cluster.0).ok()?.checked_sub(1)?;
        let n = self.roster.cluster(cluster)?.nodes.len();
        let id = node(c, n);
        let mut seed = self.operator.to_bytes();
        seed[..4].copy_from_slice(&id.0.to_be_bytes());
        let mut rng = ChaCha12Rng::from_seed(seed);
        let mut key = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        self.keys.insert(id, Keys { session: key(), signing: SigningKey::from_bytes(&key()) });
        let entry = self.entry(c, n, (room, priority));
        let mut roster = self.roster.clone();
        roster.version += 1;
        roster.clusters.iter_mut().find(|entry| entry.id == cluster)?.nodes.push(entry.clone());
        self.roster = roster.sign(&self.operator);
        Some(entry)
    }

    fn party(&self, id: NodeId, address: SocketAddr) -> Party {
        let keys = &self.keys[&id];
        Party {
            address,
            session_key: public_key(&keys.session),
            signing_key: keys.signing.verifying_key().to_bytes(),
        }
    }

    fn entry(&self, c: usize, n: usize, (room, priority): Place) -> NodeEntry {
        let id = node(c, n);
        let party = self.party(id, address(room, c, n));
        NodeEntry {
            id,
            name: format!("{}{}", letter(c), n + 1),
            room: RoomId(room),
            priority,
            address: party.address,
            session_key: party.session_key,
            signing_key: party.signing_key,
        }
    }

    fn cluster(&self, c: usize, nodes: &[Place]) -> ClusterEntry {
        let nodes = nodes.iter().enumerate().map(|(n, place)| self.entry(c, n, *place)).collect();
        let group =
            SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 75, 66, u8::try_from(c + 1).unwrap_or(0))), PORT);
        ClusterEntry { id: cluster_id(c), name: letter(c).to_string(), group, nodes }
    }
}

/// Number of cluster `c` (from 0).
#[must_use]
pub fn cluster_id(c: usize) -> ClusterId {
    ClusterId(u32::try_from(c + 1).unwrap_or(0))
}

fn letter(c: usize) -> char {
    char::from(b'a' + u8::try_from(c).unwrap_or(0))
}

fn address(room: u16, c: usize, n: usize) -> SocketAddr {
    let octet = |x: usize| u8::try_from(x + 1).unwrap_or(0);
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, u8::try_from(room).unwrap_or(0), octet(c), octet(n))), PORT)
}

fn empty(consortium: [u8; 32]) -> Roster {
    let mut id = [0; 16];
    id.copy_from_slice(&consortium[..16]);
    Roster {
        consortium: id,
        version: 0,
        authority: Party {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PORT),
            session_key: [0; 32],
            signing_key: [0; 32],
        },
        clusters: Vec::new(),
        clients: Vec::new(),
        signature: [0; 64],
    }
}
