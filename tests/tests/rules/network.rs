//! The authority's machine, and peers that speak with it: cluster A with three nodes.

use bytes::Bytes;
use duohuo_tests::consortium::{Consortium, FIG_18, cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::packet::*;

/// Cluster A; its first node registers it.
pub(crate) const A: ClusterId = ClusterId(1);
pub(crate) const M: NodeId = NodeId(11);
pub(crate) const STANDBY: NodeId = NodeId(12);

/// An authority that has listened for its startup interval.
pub(crate) fn ready() -> Lone {
    let mut z = Lone::new(Consortium::new(1, &FIG_18), NodeId::AUTHORITY);
    z.pass(ms(201));
    z
}

/// A node with a stream and a datagram session.
pub(crate) fn connected(z: &mut Lone, id: NodeId) -> Peer {
    let mut peer = Peer::new(z, id);
    peer.open_stream(z, true);
    peer.open_datagram(z, true);
    peer
}

/// The first node of cluster `c` registers it; its sealed ID.
pub(crate) fn register(z: &mut Lone, c: usize) -> (Peer, Bytes) {
    let mut m = connected(z, node(c, 0));
    m.tell(z, Register { request: 5, cluster: cluster_id(c), ..Default::default() });
    let sealed = m.read(z).into_iter().find_map(|packet| match packet {
        Packet::Registered(r) if r.verdict == RegisterVerdict::Accepted => Some(r.sealed_ids),
        _ => None,
    });
    m.heard(z);
    (m, sealed.expect("it is registered")[0].sealed_id.clone())
}

/// The sealed ID that a node is given when it joins.
pub(crate) fn join(z: &mut Lone, peer: &mut Peer, cluster: ClusterId) -> JoinAnswer {
    peer.tell(z, Join { request: 9, cluster, roster_version: 1, ..Default::default() });
    peer.read(z)
        .into_iter()
        .find_map(|packet| match packet {
            Packet::JoinAnswer(answer) => Some(answer),
            _ => None,
        })
        .expect("it is answered")
}

pub(crate) fn change(kind: ChangeKind, epoch: u64, version: u64, node: NodeId) -> Change {
    Change {
        request: 7,
        cluster: A,
        epoch: Epoch(epoch),
        version: Version(version),
        kind,
        node,
        ..Default::default()
    }
}

/// Cluster A with 11 as master and 11, 12, 13 in sync: row (1, 2); 12 and its sealed ID.
pub(crate) fn three() -> (Lone, Peer, Peer, Bytes) {
    let mut z = ready();
    let (mut m, _) = register(&mut z, 0);
    m.say(&mut z, change(ChangeKind::Add, 1, 0, STANDBY));
    m.say(&mut z, change(ChangeKind::Add, 1, 1, NodeId(13)));
    assert_eq!(z.row(A).unwrap().in_sync, [M, STANDBY, NodeId(13)]);
    let mut a = connected(&mut z, STANDBY);
    let sealed_id = join(&mut z, &mut a, A).sealed_id;
    m.heard(&mut z);
    (z, m, a, sealed_id)
}

pub(crate) fn claim(sealed_id: &Bytes) -> Update {
    Update {
        request: 8,
        cluster: A,
        epoch: Epoch(1),
        version: Version(2),
        reason: ClaimReason::Suspicion,
        alive: vec![STANDBY, NodeId(13)],
        height: Height(4),
        sealed_id: sealed_id.clone(),
        ..Default::default()
    }
}

/// The notices among packets, as (request, outcome, epoch, version).
pub(crate) fn notices(packets: &[Packet]) -> Vec<(u64, Outcome, u64, u64)> {
    let of = |packet: &Packet| match packet {
        Packet::Notice(n) => Some((n.request, n.outcome, n.row.row.epoch.0, n.row.row.version.0)),
        _ => None,
    };
    packets.iter().filter_map(of).collect()
}

/// What a master of cluster A says to stay in the table.
pub(crate) fn keepalive(epoch: u64, challenge: u64) -> MasterKeepalive {
    MasterKeepalive { cluster: A, epoch: Epoch(epoch), challenge, ..Default::default() }
}

/// Says it, and what the answer challenges it with.
pub(crate) fn alive(z: &mut Lone, peer: &mut Peer, said: MasterKeepalive) -> u64 {
    peer.heard(z);
    peer.say(z, said);
    let answers = peer.heard(z);
    let challenge = |p: &Packet| match p {
        Packet::MasterKeepaliveAnswer(answer) => Some(answer.challenge),
        _ => None,
    };
    answers.iter().find_map(challenge).expect("it is answered")
}

pub(crate) fn probe_of(packets: &[Packet]) -> Option<u64> {
    packets.iter().find_map(|packet| match packet {
        Packet::Probe(probe) => Some(probe.nonce),
        _ => None,
    })
}
