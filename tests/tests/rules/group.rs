//! A node: the group seal, its generations, and freshness.

use super::scene::*;
use bytes::Bytes;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{Consortium, FIG_18};
use duohuo_tests::lone::{Lone, Peer, enrolment};
use duohuo_tests::scenario::ms;
use duohuo_wire::group::GroupSecret;
use duohuo_wire::header::Header;
use duohuo_wire::ids::{Epoch, Version};
use duohuo_wire::packet::*;
use duohuo_wire::roster::NOWHERE;

/// What the node sent to its group last: its sequence, low 32 bits.
pub(crate) fn last_group_sequence(n: &mut Lone) -> u32 {
    let group = n.consortium.roster.cluster(A).unwrap().group;
    let sent = n.take_datagrams(group);
    (Header::decode(sent.last().unwrap()).unwrap().sequence & 0xFFFF_FFFF) as u32
}

pub(crate) fn keepalive(address: std::net::SocketAddr, heard: Vec<Heard>) -> NodeKeepalive {
    NodeKeepalive {
        cluster: A,
        priority: 200,
        role: Role::Master,
        in_sync: true,
        interval_us: 10_000,
        epoch: Epoch(1),
        version: Version(2),
        promised: Epoch(1),
        address,
        heard,
        ..Default::default()
    }
}

/// IN-3, B-NBR-1: a keepalive that echoes nothing, or something that was not sent lately, keeps nobody alive.
#[test]
fn b_nbr_1_only_a_keepalive_that_echoes_ours_counts() {
    let mut n = Lone::new(Consortium::new(1, &FIG_18), ME);
    let mut m = Peer::new(&n, M);
    let alive = |n: &Lone| n.events.iter().filter(|e| matches!(e, Event::Alive { .. })).count();
    let sequence = last_group_sequence(&mut n);
    let heard = |node, sequence| vec![Heard { node, sequence }];
    for stale in [
        vec![],
        heard(ME, sequence.wrapping_sub(1)),
        heard(ME, sequence.wrapping_add(1)),
        heard(THIRD, sequence),
    ] {
        m.keep_alive(&mut n, keepalive(m.address, stale));
    }
    assert_eq!(alive(&n), 0);
    m.keep_alive(&mut n, keepalive(m.address, heard(ME, sequence)));
    assert_eq!(alive(&n), 1);
    // 201 ms later (the echo horizon is 200) that sequence proves nothing any more.
    n.pass(ms(201));
    m.keep_alive(&mut n, keepalive(m.address, heard(ME, sequence)));
    assert_eq!(alive(&n), 1);
    let sequence = last_group_sequence(&mut n);
    m.keep_alive(&mut n, keepalive(m.address, heard(ME, sequence)));
    assert_eq!(alive(&n), 2);
}

/// W-RCV-1, W-RCV-4, W-RCV-10, W-GRP-2, W-GRP-4 at a node: each refusal of the group seal under its label.
#[test]
fn w_grp_2_what_the_group_seal_refuses_at_a_node() {
    let mut n = Lone::new(Consortium::new(1, &FIG_18), ME);
    let secret = enrolment(&n, A);
    let mut m = Peer::new(&n, M);
    let probe = || Probe { nonce: 5, ..Default::default() };
    let right = m.seal_group(&secret, probe());
    m.throw(&mut n, right.clone());
    assert_eq!(n.take_datagrams(m.address).len(), 1, "a probe is answered");
    m.throw(&mut n, right);
    assert_eq!(n.discards("replayed"), 1);
    let unknown = m.seal_group(&GroupSecret { cluster: A, generation: 3, secret: [1; 32] }, probe());
    m.throw(&mut n, unknown);
    assert_eq!(n.discards("unknown_generation"), 1);
    let forged = m.seal_group(&GroupSecret { cluster: A, generation: 0, secret: [1; 32] }, probe());
    m.throw(&mut n, forged);
    assert_eq!(n.discards("forged"), 1);
    // A member that speaks for another, one of another cluster, our own packet, and one from elsewhere.
    let mut liar = Peer::new(&n, THIRD);
    liar.keys.signing = m.keys.signing.clone();
    let unsigned = liar.seal_group(&secret, probe());
    liar.throw(&mut n, unsigned);
    assert_eq!(n.discards("bad_signature"), 1);
    let mut foreign = Peer::new(&n, PEER);
    let other = foreign.seal_group(&secret, probe());
    foreign.throw(&mut n, other);
    assert_eq!(n.discards("forbidden"), 1);
    let mut me = Peer::new(&n, ME);
    let own = me.seal_group(&secret, probe());
    me.throw(&mut n, own);
    assert_eq!(n.discards("reflected"), 1);
    let elsewhere = m.seal_group(&secret, probe());
    foreign.throw(&mut n, elsewhere);
    assert_eq!(n.discards("wrong_address"), 1);
    let update = m.seal_group(&secret, Update::default());
    m.throw(&mut n, update);
    assert_eq!(n.discards("bad_value"), 1, "nothing that changes a role");
    assert_eq!(n.take_datagrams(m.address), Vec::<Bytes>::new());
}

/// Whether a probe under this secret is answered.
fn answered(n: &mut Lone, m: &mut Peer, generation: u32, secret: [u8; 32]) -> bool {
    n.take_datagrams(m.address);
    let secret = GroupSecret { cluster: A, generation, secret };
    let bytes = m.seal_group(&secret, Probe { nonce: 5, ..Default::default() });
    m.throw(n, bytes);
    !n.take_datagrams(m.address).is_empty()
}

/// B-GRP-4: who was not the master of an epoch makes no generation of it, and passing one on is everybody's right.
#[test]
fn b_grp_4_a_generation_is_its_masters_work() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    let mut third = Peer::new(n, THIRD);
    third.open_stream(n, true);
    let key = |generation, maker: &Peer| {
        let secret = [maker.id.0.to_be_bytes()[3]; 32];
        GroupKey::sign(A, generation, secret, maker.id, &maker.keys.signing)
    };
    // Epoch 1 is node 21's; in its name node 23 cannot sign, and in its own it may not.
    let own = key(1, &third);
    third.tell(n, own);
    assert_eq!((n.discards("forbidden"), answered(n, &mut third, 1, [23; 32])), (1, false));
    let in_its_name = GroupKey { master: M, ..key(1, &third) };
    third.tell(n, in_its_name);
    assert_eq!((n.discards("bad_statement"), answered(n, &mut third, 1, [23; 32])), (1, false));
    let passed_on = key(1, &m);
    third.tell(n, passed_on);
    assert!(answered(n, &mut m, 1, [21; 32]));
    // Whose epoch 2 is, is not known yet: both wait, the louder one pushes nobody out, and only the master's is learnt.
    for key in [key(2, &m), key(2, &third), key(9, &third)] {
        third.tell(n, key);
    }
    assert_eq!(n.discards("forbidden"), 1);
    assert!(!answered(n, &mut m, 2, [21; 32]) && !answered(n, &mut third, 9, [23; 32]));
    let grant = row(n, OWN, 2, 0, M, &[M, ME]);
    scene.z.say(n, notice(grant));
    assert!(answered(n, &mut m, 2, [21; 32]) && !answered(n, &mut third, 2, [23; 32]));
    // Epoch 9 comes, and is not node 23's either.
    let later = row(n, OWN, 9, 0, M, &[M, ME]);
    scene.z.say(n, notice(later));
    assert_eq!(n.discards("forbidden"), 2);
    assert!(!answered(n, &mut third, 9, [23; 32]));
}

/// W-GRP-4, B-GRP-1, B-GRP-2: generations only grow, two are received, and the enrolment secret's number is not handed out.
#[test]
fn w_grp_4_generations_only_grow() {
    let (mut scene, mut m) = Scene::following();
    let reigns = History::sign(A, Epoch(1), vec![M; 9], &scene.z.keys.signing);
    scene.z.tell(&mut scene.n, reigns);
    let n = &mut scene.n;
    let key =
        |generation, byte: u8, peer: &Peer| GroupKey::sign(A, generation, [byte; 32], M, &peer.keys.signing);
    let first = enrolment(n, A).secret;
    let zero = key(0, 0, &m);
    m.tell(n, zero);
    assert!(
        answered(n, &mut m, 0, first) && !answered(n, &mut m, 0, [0; 32]),
        "generation 0 stays what was enrolled"
    );
    for generation in [4, 6] {
        let next = key(generation, 4, &m);
        m.tell(n, next);
    }
    assert!(answered(n, &mut m, 6, [4; 32]) && answered(n, &mut m, 4, [4; 32]));
    assert!(!answered(n, &mut m, 0, first), "two are kept");
    for older in [5, 6, 3] {
        let older = key(older, 9, &m);
        m.tell(n, older);
    }
    assert!(answered(n, &mut m, 6, [4; 32]) && !answered(n, &mut m, 5, [9; 32]));
    let forged = GroupKey { generation: 9, ..key(8, 9, &m) };
    m.tell(n, forged);
    assert_eq!(n.discards("bad_statement"), 1);
}

/// W-GRP-1, W-SEAL-1: each start draws a boot of its own, and each packet of it has its own sequence.
#[test]
fn w_grp_1_no_nonce_comes_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..2 {
        // Two runs of one machine; the seed of the machine's randomness is the operating system's affair.
        let mut n = Lone::new(Consortium::new(seed, &FIG_18), ME);
        n.pass(ms(100));
        let group = n.consortium.roster.cluster(A).unwrap().group;
        let mut last = None;
        for bytes in n.take_datagrams(group) {
            let header = Header::decode(&bytes).unwrap();
            assert!(last.is_none_or(|last| header.sequence == last + 1), "ascending, none twice");
            last = Some(header.sequence);
            seen.insert((seed, header.session, header.sequence));
        }
    }
    assert!(seen.len() > 20);
}

/// W-ROS-5: a node that was taken out still holds the group's secret and its keys; it is nobody, from the address that stands in
/// the place of its own too. The others are heard.
#[test]
fn w_ros_5_who_was_taken_out_is_nobody_from_wherever_it_speaks() {
    let mut consortium = Consortium::new(1, &FIG_18);
    let before = Peer::new(&Lone::new(consortium.clone(), ME), THIRD).address;
    let mut roster = consortium.roster.clone();
    let mut nodes = roster.clusters.iter_mut().flat_map(|c| &mut c.nodes);
    nodes.find(|n| n.id == THIRD).unwrap().address = NOWHERE;
    drop(nodes);
    consortium.roster = roster.sign(&consortium.operator);
    let mut n = Lone::new(consortium, ME);
    let secret = enrolment(&n, A);
    let mut out = Peer::new(&n, THIRD);
    assert_eq!(out.address, NOWHERE);
    for from in [NOWHERE, before] {
        out.address = from;
        let probe = out.seal_group(&secret, Probe { nonce: 5, ..Default::default() });
        out.throw(&mut n, probe);
        assert_eq!(n.take_datagrams(from).len(), 0);
    }
    assert_eq!(n.discards("unknown_key"), 2);
    let mut m = Peer::new(&n, M);
    let probe = m.seal_group(&secret, Probe { nonce: 5, ..Default::default() });
    m.throw(&mut n, probe);
    assert_eq!(n.take_datagrams(m.address).len(), 1);
}
