//! A node: joining, registering, claiming, rosters.

use super::scene::*;
use bytes::{Bytes, BytesMut};
use duohuo_core::event::Event;
use duohuo_core::io::Table;
use duohuo_core::store::META_PROMISE;
use duohuo_tests::consortium::{Consortium, FIG_18, cluster_id};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{Epoch, NodeId, Version};
use duohuo_wire::packet::*;
use duohuo_wire::roster::Roster;

/// OUT-6, OUT-7, B-CLM-15: it asks to join as soon as it can, keeps the answer, and claims nothing before it is let in.
#[test]
fn out_6_7_a_node_joins_and_keeps_what_it_is_given() {
    let mut scene = Scene::new();
    let asked = scene.z.read(&mut scene.n);
    let join = asked.iter().find_map(|p| match p {
        Packet::Join(join) => Some(join.clone()),
        _ => None,
    });
    let join = join.expect("it asks to join");
    assert_eq!((join.cluster, join.roster_version), (A, 1));
    let refused =
        JoinAnswer { request: join.request, verdict: JoinVerdict::UnknownNode, ..Default::default() };
    scene.z.tell(&mut scene.n, refused);
    scene.histories(4);
    let vacant = row(&scene.n, OWN, 1, 0, M, &[M]);
    scene.z.say(&mut scene.n, notice(vacant));
    scene.n.pass(ms(400));
    assert_eq!(scene.claims(), []);
    // Let in, it claims with the sealed ID of the answer.
    let (mut scene, _m) = Scene::following();
    scene.n.pass(ms(400));
    assert_eq!(scene.claims()[0].sealed_id, Bytes::from_static(&SEALED));
}

/// B-CLM-13: who lacks the history of one cluster claims nothing and adopts nothing.
#[test]
fn b_clm_13_without_all_histories_nothing_is_claimed_or_adopted() {
    let mut scene = Scene::new();
    scene.let_in();
    scene.histories(3);
    let granted = row(&scene.n, OWN, 1, 0, ME, &[M, THIRD]);
    scene.z.say(&mut scene.n, notice(granted));
    scene.n.pass(ms(400));
    assert_eq!(scene.claims(), []);
    assert!(!scene.leads());
    // With the last one, a grant that waited is adopted.
    let (mut scene, _m) = Scene::following();
    scene.z.hang_up(&mut scene.n);
    scene.n.pass(ms(60));
    scene.z.accept_stream(&mut scene.n);
    scene.let_in();
    scene.histories(3);
    scene.granted(&[ME]);
    assert!(!scene.leads());
    let last = History::sign(cluster_id(3), Epoch(1), vec![], &scene.z.keys.signing);
    scene.z.tell(&mut scene.n, last);
    assert!(scene.leads());
}

/// B-CLM-8, OUT-1, B-CLM-12: the first in the order registers after the startup interval, once it has written that it does;
/// the others do not.
#[test]
fn b_clm_8_the_first_in_the_order_registers_when_its_mark_is_durable() {
    let mut n = Lone::new(Consortium::new(1, &FIG_18), M);
    let mut z = Peer::new(&n, NodeId::AUTHORITY);
    z.accept_stream(&mut n);
    z.accept_datagram(&mut n);
    let mut scene = Scene { n, z };
    scene.let_in();
    for c in 0..4 {
        let history = History::sign(cluster_id(c), Epoch(1), vec![], &scene.z.keys.signing);
        scene.z.tell(&mut scene.n, history);
    }
    scene.n.quick_disk = false;
    let registers = |scene: &mut Scene| {
        scene.z.read(&mut scene.n).iter().filter(|p| matches!(p, Packet::Register(_))).count()
    };
    scene.n.pass(ms(199));
    assert!(!scene.n.is_writing() && registers(&mut scene) == 0, "others are listened for first");
    scene.n.pass(ms(2));
    assert!(scene.n.is_writing());
    assert_eq!(registers(&mut scene), 0, "not before the mark is durable");
    scene.n.sync();
    assert_eq!(registers(&mut scene), 1);
}

/// B-CLM-12, B-ROL-4, rule 13: in the set, and nothing promised: the log is lost. It halts and does nothing more.
#[test]
fn b_clm_12_a_member_that_promised_nothing_has_lost_its_log() {
    let mut scene = Scene::joined();
    let in_sync = row(&scene.n, OWN, 1, 2, M, &[M, ME]);
    scene.z.say(&mut scene.n, notice(in_sync));
    assert!(scene.n.events.iter().any(|e| matches!(e, Event::Halted { .. })));
    let mut m = Peer::new(&scene.n, M);
    m.open_stream(&mut scene.n, true);
    m.tell(&mut scene.n, Resync { epoch: Epoch(1), ..Default::default() });
    assert_eq!(
        (scene.n.discards("forbidden"), acks(&m.read(&mut scene.n))),
        (1, vec![]),
        "acknowledges nothing"
    );
    scene.n.pass(ms(400));
    assert_eq!(scene.claims(), [], "claims nothing");
    scene.granted(&[ME]);
    assert!(!scene.leads(), "leads nothing");
}

/// B-CLM-9, B-CLM-10, B-CLM-11: a claim comes not before the startup interval, is repeated unchanged, and promises nothing,
/// refused or not.
#[test]
fn b_clm_11_a_claim_and_its_refusal_change_no_promise() {
    let (mut scene, mut m) = Scene::following();
    scene.n.quick_disk = false;
    scene.n.pass(ms(150));
    assert_eq!(scene.claims(), []);
    scene.n.pass(ms(115));
    let claims = scene.claims();
    assert!(claims.len() >= 2 && claims.iter().all(|c| *c == claims[0]));
    assert_eq!((claims[0].epoch, claims[0].version), (Epoch(1), Version(2)));
    let refusal = row(&scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
    let refusal = Notice { request: claims[0].request, outcome: Outcome::IncumbentHeard, ..notice(refusal) };
    // The note is all that the claim wants written, and the refusal wants nothing.
    assert!(scene.n.sync_one());
    let promise = scene.n.disk()[&(Table::Meta, META_PROMISE)].clone();
    assert_eq!(promise[..8], 1_u64.to_be_bytes());
    scene.z.say(&mut scene.n, refusal);
    assert!(!scene.n.is_writing());
    assert_eq!(scene.claims(), [], "it waits");
    scene.n.pass(ms(16));
    assert_ne!(scene.claims()[0].request, claims[0].request, "and claims anew");
    // The master it claimed against is still acknowledged: nothing was promised.
    scene.n.quick_disk = true;
    m.tell(&mut scene.n, append(0, vec![record(1, 1, b"a")]));
    assert_eq!(acks(&m.read(&mut scene.n)), [(1, 1, 1)]);
}

/// OUT-5, IN-4: the sealed ID that the master hands on is the one a later claim shows.
#[test]
fn in_4_registration_data_is_taken_from_the_master() {
    let (mut scene, mut m) = Scene::following();
    let own = NodeSealedId { node: ME, sealed_id: Bytes::from(vec![0x77; 84]) };
    let sync =
        RegistrationSync { cluster: A, registration_epoch: 1, sealed_ids: vec![own], ..Default::default() };
    m.tell(&mut scene.n, sync.clone());
    scene.n.pass(ms(400));
    assert_eq!(scene.claims()[0].sealed_id, Bytes::from(vec![0x77; 84]));
    let mut foreign = Peer::new(&scene.n, PEER);
    foreign.open_stream(&mut scene.n, true);
    foreign.tell(&mut scene.n, sync);
    assert_eq!(scene.n.discards("forbidden"), 1, "of its own cluster only");
}

/// B-MESH-7: only the master hands it on, and for its own cluster.
#[test]
fn b_mesh_7_registration_data_of_another_member_or_cluster_is_refused() {
    let (mut scene, mut m) = Scene::following();
    let own = NodeSealedId { node: ME, sealed_id: Bytes::from(vec![0x5A; 84]) };
    let of = |cluster| RegistrationSync {
        cluster,
        registration_epoch: 1,
        sealed_ids: vec![own.clone()],
        ..Default::default()
    };
    let mut third = Peer::new(&scene.n, THIRD);
    third.open_stream(&mut scene.n, true);
    third.tell(&mut scene.n, of(A));
    m.tell(&mut scene.n, of(cluster_id(OTHER)));
    assert_eq!(scene.n.discards("forbidden"), 2);
    scene.n.pass(ms(400));
    assert_ne!(scene.claims()[0].sealed_id, Bytes::from(vec![0x5A; 84]));
}

/// W-ROS-4, B-ROS-1: a roster that the authority pushes is taken only if the operator signed it, for us, and newer.
#[test]
fn b_ros_1_a_pushed_roster_must_be_the_operators() {
    let mut scene = Scene::joined();
    let push = |roster: Roster| {
        let mut bytes = BytesMut::new();
        roster.encode(&mut bytes);
        RosterPush { roster: bytes.freeze(), ..Default::default() }
    };
    let operator = scene.n.consortium.operator.clone();
    let current = scene.n.consortium.roster.clone();
    let with = |version, change: &dyn Fn(&mut Roster)| {
        let mut roster = Roster { version, ..current.clone() };
        change(&mut roster);
        roster.sign(&operator)
    };
    let in_force = |scene: &Scene| scene.n.events.iter().any(|e| matches!(e, Event::RosterInForce { .. }));
    let by_authority = Roster { version: 2, ..current.clone() }.sign(&scene.z.keys.signing);
    let of_others = with(2, &|r| r.consortium = [7; 16]);
    for refused in [by_authority, of_others] {
        scene.z.tell(&mut scene.n, push(refused));
    }
    assert_eq!(scene.n.discards("bad_statement"), 2);
    scene.z.tell(&mut scene.n, RosterPush { roster: Bytes::from_static(b"no roster"), ..Default::default() });
    assert_eq!(scene.n.discards("truncated"), 1);
    let without_us = with(2, &|r| r.clusters[OWN].nodes.retain(|n| n.id != ME));
    for passed_over in [with(1, &|_| ()), with(0, &|_| ()), without_us] {
        scene.z.tell(&mut scene.n, push(passed_over));
    }
    assert!(!in_force(&scene));
    scene.z.tell(&mut scene.n, push(with(2, &|_| ())));
    assert!(in_force(&scene));
}

/// B-ROS-2: a node closes the stream of a member whose session key was withdrawn, and what that says afterwards is nobody's.
#[test]
fn b_ros_2_a_node_hears_no_more_of_a_withdrawn_key() {
    let (mut scene, mut m) = Scene::following();
    let operator = scene.n.consortium.operator.clone();
    let mut roster = scene.n.consortium.roster.clone();
    roster.version = 2;
    roster.clusters[OWN].nodes.iter_mut().filter(|n| n.id == M).for_each(|n| n.session_key = [9; 32]);
    let mut bytes = BytesMut::new();
    roster.sign(&operator).encode(&mut bytes);
    scene.z.tell(&mut scene.n, RosterPush { roster: bytes.freeze(), ..Default::default() });
    let (stream, _) = m.stream.as_ref().unwrap();
    assert!(scene.n.has_closed(*stream));
    let (authority, _) = scene.z.stream.as_ref().unwrap();
    assert!(!scene.n.has_closed(*authority), "whose key stays, stays");
    m.tell(&mut scene.n, Resync { epoch: Epoch(1), ..Default::default() });
    assert_eq!(m.read(&mut scene.n), [], "no log is acknowledged on it");
}
