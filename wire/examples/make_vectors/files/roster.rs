//! Signed rosters, and what breaks each of their rules.

use bytes::BytesMut;
use duohuo_wire::{
    ids::{ClusterId, NodeId, RoomId},
    roster::{ClientEntry, ClusterEntry, NodeEntry, Party, Roster},
    show::Show as _,
};
use ed25519_dalek::SigningKey;

use super::{Pairs, Suite, json::J};

fn operator() -> SigningKey {
    SigningKey::from_bytes(&[0x0A; 32])
}

fn node(id: u32) -> NodeEntry {
    let byte = id.to_be_bytes()[3];
    NodeEntry {
        id: NodeId(id),
        name: format!("node {id}"),
        room: RoomId(u16::from(byte) % 2 + 1),
        priority: 100 + byte,
        address: std::net::SocketAddr::from(([10, 0, 0, byte], 7400)),
        session_key: [byte; 32],
        signing_key: [0x80 + byte; 32],
    }
}

fn cluster(id: u32, nodes: &[u32]) -> ClusterEntry {
    ClusterEntry {
        id: ClusterId(id),
        name: format!("cluster {id}"),
        group: std::net::SocketAddr::from(([239, 0, 0, id.to_be_bytes()[3]], 7400)),
        nodes: nodes.iter().map(|id| node(*id)).collect(),
    }
}

fn usual() -> Roster {
    Roster {
        consortium: [0x33; 16],
        version: 12,
        authority: Party {
            address: "[2001:db8::1]:7400".parse().unwrap(),
            session_key: [0xF0; 32],
            signing_key: [0xF1; 32],
        },
        clusters: vec![cluster(3, &[7, 8, 9]), cluster(4, &[11, 12])],
        clients: vec![
            ClientEntry { id: NodeId(90), name: "till".to_owned(), session_key: [90; 32] },
            ClientEntry { id: NodeId(91), name: "\u{67dc}\u{53f0}".to_owned(), session_key: [91; 32] },
        ],
        signature: [0; 64],
    }
}

fn encoded(roster: &Roster) -> Vec<u8> {
    let mut out = BytesMut::new();
    roster.encode(&mut out);
    out.to_vec()
}

/// Signed once more, so that the signature is never what is wrong.
fn with(change: impl FnOnce(&mut Roster)) -> Vec<u8> {
    let mut roster = usual();
    change(&mut roster);
    encoded(&roster.sign(&operator()))
}

fn said(bytes: &[u8]) -> Pairs {
    vec![("signing_key", operator().verifying_key().to_bytes().show()), ("hex", J::hex(bytes))]
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new(
        "roster",
        "roster",
        &[
            "hex is RosterPush.roster. signing_key is the operator's public key.",
            "First the bytes are read, then W-ROS-1 to W-ROS-3 are asked, then the signature (bad_signature).",
        ],
    );
    let smallest = |roster: &mut Roster| {
        roster.version = 0;
        roster.clusters.truncate(1);
        roster.clusters[0].nodes.truncate(2);
        roster.clients.clear();
    };
    let edges = |roster: &mut Roster| {
        roster.version = u64::MAX;
        roster.clusters[0].name = "n".repeat(255);
        roster.clusters[0].nodes[0].priority = 0;
        roster.clusters[0].nodes[1].priority = 254;
        roster.clusters[1].nodes[1].id = NodeId(u32::MAX);
        roster.clusters[1].nodes[1].address = "[::ffff:10.0.0.12]:1".parse().unwrap();
        // A client's number may lie between those of nodes.
        roster.clients[0].id = NodeId(10);
    };
    let cases: [(&str, Vec<u8>); 3] = [
        ("usual", with(|_| {})),
        ("smallest: one cluster of two nodes", with(smallest)),
        ("values at their edges", with(edges)),
    ];
    for (comment, bytes) in cases {
        let mut more = said(&bytes);
        more.push(("fields", Roster::decode(&bytes).unwrap().show()));
        suite.valid(comment, more);
    }
    let whole = encoded(
        &Roster { clusters: vec![cluster(3, &(1..=64).collect::<Vec<_>>())], ..usual() }.sign(&operator()),
    );
    let mut more = said(&whole);
    more.push(("fields", Roster::decode(&whole).unwrap().show()));
    suite.valid("a cluster of 64 nodes", more);
    refused(&mut suite);
    suite
}

fn refused(suite: &mut Suite) {
    let bytes = with(|_| {});
    let mut refuse = |comment: &str, rule: &str, reason: &str, bytes: &[u8]| {
        suite.invalid(comment, rule, reason, said(bytes));
    };
    refuse("nothing", "W-ENC-2", "truncated", &[]);
    refuse("the last byte is missing", "W-ENC-2", "truncated", &bytes[..bytes.len() - 1]);
    refuse("a byte follows", "W-ENC-4", "trailing_bytes", &[&bytes[..], &[0]].concat());
    let mut family = bytes.clone();
    family[24] = 5;
    refuse("the authority's address of family 5", "W-ENC-1", "bad_value", &family);
    let mut count = bytes.clone();
    count[107] = 0xFF;
    refuse("more clusters than there are bytes", "W-ENC-2", "truncated", &count);
    let mut name = bytes.clone();
    name[114] = 0xFF;
    refuse("a name that is not UTF-8", "W-ENC-1", "bad_value", &name);
    let mut signature = bytes.clone();
    *signature.last_mut().unwrap() ^= 1;
    refuse("the signature changed", "W-ROS-4", "bad_signature", &signature);
    let mut version = bytes.clone();
    version[23] += 1;
    refuse("the version changed", "W-ROS-4", "bad_signature", &version);
    refuse(
        "signed by another operator",
        "W-ROS-4",
        "bad_signature",
        &encoded(&usual().sign(&SigningKey::from_bytes(&[0x0B; 32]))),
    );

    type Change = fn(&mut Roster);
    let one: &[(&str, &str, Change)] = &[
        ("no cluster", "W-ROS-1", |roster| roster.clusters.clear()),
        ("a cluster of one node", "W-ROS-1", |roster| roster.clusters[1].nodes.truncate(1)),
        ("a cluster without nodes", "W-ROS-1", |roster| roster.clusters[1].nodes.clear()),
        ("a cluster of 65 nodes", "W-ROS-1", |roster| {
            roster.clusters = vec![cluster(3, &(1..=65).collect::<Vec<_>>())]
        }),
        ("cluster 0", "W-ROS-1", |roster| roster.clusters[0].id = ClusterId(0)),
        ("node 0", "W-ROS-1", |roster| roster.clusters[0].nodes[0].id = NodeId(0)),
        ("client 0", "W-ROS-1", |roster| roster.clients[0].id = NodeId(0)),
        ("a node of two clusters", "W-ROS-2", |roster| roster.clusters[1].nodes[0].id = NodeId(9)),
        ("a client with the number of a node", "W-ROS-2", |roster| roster.clients[0].id = NodeId(9)),
        ("two nodes with one session key", "W-ROS-2", |roster| {
            roster.clusters[1].nodes[0].session_key = [9; 32]
        }),
        ("a node with the authority's session key", "W-ROS-2", |roster| {
            roster.clusters[1].nodes[0].session_key = [0xF0; 32]
        }),
        ("a client with the session key of a node", "W-ROS-2", |roster| {
            roster.clients[0].session_key = [9; 32]
        }),
        ("two clients with one session key", "W-ROS-2", |roster| roster.clients[0].session_key = [91; 32]),
        ("a cluster without a name", "W-ROS-3", |roster| roster.clusters[0].name.clear()),
        ("a node without a name", "W-ROS-3", |roster| roster.clusters[0].nodes[0].name.clear()),
        ("a client without a name", "W-ROS-3", |roster| roster.clients[0].name.clear()),
        ("priority 255", "W-ROS-3", |roster| roster.clusters[0].nodes[0].priority = 255),
        ("a group of IPv6", "W-ROS-3", |roster| roster.clusters[0].group = "[ff02::1]:7400".parse().unwrap()),
    ];
    for (comment, rule, change) in one {
        refuse(comment, rule, "bad_value", &with(change));
    }
    let order: &[(&str, Change)] = &[
        ("clusters in descending order", |roster| roster.clusters.reverse()),
        ("the same cluster twice", |roster| roster.clusters[1].id = ClusterId(3)),
        ("nodes in descending order", |roster| roster.clusters[0].nodes.reverse()),
        ("the same node twice in a cluster", |roster| roster.clusters[0].nodes[1].id = NodeId(7)),
        ("clients in descending order", |roster| roster.clients.reverse()),
        ("the same client twice", |roster| roster.clients[1].id = NodeId(90)),
    ];
    for (comment, change) in order {
        refuse(comment, "W-ROS-1", "not_canonical", &with(change));
    }
    let many = with(|roster| {
        roster.clusters = (1..=255)
            .map(|id| ClusterEntry { nodes: vec![], name: String::new(), ..cluster(id, &[]) })
            .collect();
    });
    refuse("255 clusters", "W-ROS-1", "bad_value", &many);
}
