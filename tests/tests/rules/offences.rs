//! Who does again and again what no honest party does is named.

use super::network;
use super::scene::*;
use bytes::Bytes;
use duohuo_core::event::Event;
use duohuo_core::offences::Offence;
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_wire::header::Header;
use duohuo_wire::ids::{Epoch, Height, NodeId, Version};
use duohuo_wire::packet::*;

/// Who was named for what, and how often it had done it.
fn named(lone: &Lone) -> Vec<(NodeId, Offence, u32)> {
    let of = |event: &Event| match *event {
        Event::Offended { node, offence, count, .. } => Some((node, offence, count)),
        _ => None,
    };
    lone.events.iter().filter_map(of).collect()
}

/// B-OFF-1: stale sealed IDs, claims without cause, reports that prove nothing, what only others may say: each under the name of who did it, once.
#[test]
fn b_off_1_a_liar_is_named_at_the_authority_by_what_it_does() {
    let (mut z, mut m, mut a, sealed_id) = network::three();
    let (mut other, _) = network::register(&mut z, 1);
    let claim = network::claim(&sealed_id);
    for _ in 0..3 {
        a.say(&mut z, Update { sealed_id: Bytes::from_static(&[7; 84]), ..claim.clone() });
    }
    assert_eq!(named(&z), []);
    for _ in 0..9 {
        a.say(&mut z, Update { sealed_id: Bytes::from_static(&[7; 84]), ..claim.clone() });
    }
    let who = network::STANDBY;
    assert_eq!(named(&z), [(who, Offence::BadSealedIds, 4)]);
    z.events.clear();
    // Its master answers each time.
    for _ in 0..8 {
        assert_eq!(named(&z), []);
        a.say(&mut z, claim.clone());
        let nonce = network::probe_of(&m.heard(&mut z)).unwrap();
        m.say(&mut z, ProbeAnswer { nonce, role: Role::Master, epoch: Epoch(1), ..Default::default() });
        a.heard(&mut z);
    }
    assert_eq!(named(&z), [(who, Offence::ClaimsInVain, 8)]);
    z.events.clear();
    // Its own word alone against another's.
    let liar = node(1, 0);
    let own = SignedResult::sign(cluster_id(1), liar, Epoch(1), Height(9), [5; 32], &other.keys.signing);
    let theirs = SignedResult::sign(cluster_id(0), network::M, Epoch(1), Height(9), [6; 32], &m.keys.signing);
    for evidence in
        [vec![theirs.clone(), own.clone()], vec![], vec![own.clone(), theirs.clone()], vec![theirs, own]]
    {
        for _ in 0..2 {
            let evidence = evidence.clone();
            other.tell(
                &mut z,
                ConsensusError { request: 1, height: Height(9), evidence, ..Default::default() },
            );
        }
    }
    assert_eq!(named(&z), [(liar, Offence::FalseReports, 8)]);
    assert!(z.row(network::A).unwrap().barred.is_empty());
    z.events.clear();
    // Four of its reports were refused, and count as well.
    for _ in 4..64 {
        assert_eq!(named(&z), []);
        other.tell(&mut z, Submit::default());
    }
    assert_eq!(named(&z), [(liar, Offence::RefusedPackets, 64)]);
}

/// B-OFF-1: keepalives that cannot be true, and a flood of words inside a session; what is late is no offence.
#[test]
fn b_off_1_a_liar_is_named_at_a_node_by_what_it_says() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    let group = n.consortium.roster.cluster(A).unwrap().group;
    let sent = n.take_datagrams(group);
    let sequence =
        u32::try_from(Header::decode(sent.last().unwrap()).unwrap().sequence & 0xFFFF_FFFF).unwrap();
    let mut third = Peer::new(n, THIRD);
    let says = |of: &Peer, role, epoch, more: &[NodeId]| {
        let mut heard = vec![Heard { node: ME, sequence }];
        heard.extend(more.iter().map(|node| Heard { node: *node, sequence: 1 }));
        NodeKeepalive {
            cluster: A,
            priority: 200,
            role,
            in_sync: true,
            interval_us: 10_000,
            epoch: Epoch(epoch),
            version: Version(2),
            promised: Epoch(epoch),
            address: of.address,
            heard,
            ..Default::default()
        }
    };
    // Its master's, an ordinary node's, and a master's of an epoch that nobody knows here.
    for _ in 0..20 {
        let (right, ordinary) = (says(&m, Role::Master, 1, &[THIRD]), says(&third, Role::Ordinary, 1, &[M]));
        m.keep_alive(n, right);
        third.keep_alive(n, ordinary);
        let ahead = says(&third, Role::Master, 9, &[M]);
        third.keep_alive(n, ahead);
    }
    assert_eq!(named(n), []);
    for _ in 0..4 {
        let (usurped, ghost) =
            (says(&third, Role::Master, 1, &[M]), says(&third, Role::Ordinary, 1, &[NodeId(999)]));
        third.keep_alive(n, usurped);
        assert_eq!(named(n), []);
        third.keep_alive(n, ghost);
    }
    assert_eq!(named(n), [(THIRD, Offence::FalseKeepalives, 8)]);
    n.events.clear();
    third.open_stream(n, true);
    for _ in 0..100 {
        // Late: a race could do that.
        third.tell(n, Resync { epoch: Epoch(0), ..Default::default() });
    }
    for count in 0..64 {
        assert_eq!(named(n), [], "{count}");
        third.tell(n, Submit::default());
    }
    assert_eq!(named(n), [(THIRD, Offence::RefusedPackets, 64)]);
}
