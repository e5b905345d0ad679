//! A node: grants, leading, obeying, and what is between clusters.

use super::scene::*;
use bytes::Bytes;
use duohuo_tests::consortium::{CLIENT, cluster_id};
use duohuo_tests::lone::Peer;
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::*;

/// B-ELC-2: nobody acts by election alone; a row that the authority did not sign grants nothing (B-ROW-1).
#[test]
fn b_elc_2_only_a_signed_grant_makes_a_master() {
    let (mut scene, mut m) = Scene::following();
    scene.n.pass(ms(400));
    assert!(!scene.leads());
    let mut forged = row(&scene.n, OWN, 2, 0, ME, &[ME]);
    forged.row.epoch = Epoch(3);
    m.tell(&mut scene.n, notice(forged));
    let by_master = SignedRow::sign(row(&scene.n, OWN, 2, 0, ME, &[ME]).row, &m.keys.signing);
    m.tell(&mut scene.n, notice(by_master));
    // Rightly signed, but its master is of another cluster.
    let foreign = row(&scene.n, OWN, 2, 0, PEER, &[PEER]);
    m.tell(&mut scene.n, notice(foreign));
    assert_eq!(scene.n.discards("bad_statement"), 3);
    assert!(!scene.leads());
    scene.granted(&[ME]);
    assert!(scene.leads());
}

/// B-ROL-1, R3: the promise is durable before the node says anything as master of the epoch.
#[test]
fn b_rol_1_the_promise_is_durable_before_the_first_word() {
    let (mut scene, mut m) = Scene::following();
    scene.n.quick_disk = false;
    m.read(&mut scene.n);
    scene.z.heard(&mut scene.n);
    scene.granted(&[M, ME]);
    scene.z.say(&mut scene.n, Probe { nonce: 4, ..Default::default() });
    scene.n.pass(ms(40));
    assert!(!scene.leads());
    let said = scene.z.heard(&mut scene.n);
    assert!(!said.iter().any(|p| matches!(p, Packet::MasterKeepalive(_))));
    let answer = said.iter().find_map(|p| match p {
        Packet::ProbeAnswer(a) => Some((a.role, a.epoch)),
        _ => None,
    });
    assert_eq!(answer, Some((Role::Ordinary, Epoch(1))), "and does not tell a promise that is not durable");
    assert_eq!(m.read(&mut scene.n), []);
    scene.n.sync();
    assert!(scene.leads());
    assert!(m.read(&mut scene.n).iter().any(|p| matches!(p, Packet::Resync(r) if r.epoch == Epoch(2))));
}

/// OUT-3, OUT-4, OUT-5, IN-4, B-ROL-6: a new master keeps itself alive at the authority, asks who the others are, and pushes the
/// group key, the registration data and its log to its cluster.
#[test]
fn out_3_4_5_a_new_master_keeps_alive_asks_and_pushes() {
    let (mut scene, mut m) = Scene::following();
    let sealed = |node: NodeId| NodeSealedId { node, sealed_id: Bytes::from(vec![0x77; 84]) };
    let sync = RegistrationSync {
        cluster: A,
        registration_epoch: 1,
        sealed_ids: vec![sealed(M), sealed(ME), sealed(THIRD)],
        ..Default::default()
    };
    m.tell(&mut scene.n, sync.clone());
    m.read(&mut scene.n);
    scene.z.read(&mut scene.n);
    scene.granted(&[M, ME]);
    let pushed = m.read(&mut scene.n);
    assert!(pushed.iter().any(|p| matches!(p, Packet::GroupKey(k) if k.generation == 2 && k.master == ME)));
    assert!(pushed.contains(&Packet::from(sync)), "what registration returned goes to every node");
    assert!(pushed.iter().any(|p| matches!(p, Packet::Resync(_))));
    let asked = scene.z.read(&mut scene.n);
    assert!(asked.iter().any(|p| matches!(p, Packet::Query(q) if q.scope == QueryScope::Changed)));
    scene.z.heard(&mut scene.n);
    scene.n.pass(ms(50));
    let alive: Vec<MasterKeepalive> = scene
        .z
        .heard(&mut scene.n)
        .into_iter()
        .filter_map(|p| match p {
            Packet::MasterKeepalive(k) => Some(k),
            _ => None,
        })
        .collect();
    assert!((5..=8).contains(&alive.len()), "every 7.5 to 10 ms: {}", alive.len());
    assert!(alive.iter().all(|k| k.epoch == Epoch(2) && k.challenge == 0));
    scene.z.say(&mut scene.n, MasterKeepaliveAnswer { challenge: 99, epoch: Epoch(2), ..Default::default() });
    scene.n.pass(ms(11));
    let echoed = scene.z.heard(&mut scene.n);
    assert!(echoed.iter().any(|p| matches!(p, Packet::MasterKeepalive(k) if k.challenge == 99)));
}

/// SYS-5, B-MESH-4, B-MESH-5: who does not lead takes nothing from other clusters but rows, and sends them nothing.
#[test]
fn sys_5_a_standby_takes_no_part_between_clusters() {
    let (mut scene, _m) = Scene::following();
    let other = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    let mut peer = Peer::new(&scene.n, PEER);
    peer.open_stream(&mut scene.n, true);
    peer.tell(&mut scene.n, notice(other));
    assert_eq!(scene.n.discards("forbidden"), 0, "a row is taken from anybody");
    let words: [Packet; 4] = [
        Consensus { cluster: ClusterId(1), epoch: Epoch(1), ..Default::default() }.into(),
        BlockPush { height: Height(9), ..Default::default() }.into(),
        ChainQuery { from: Height(1), max_bytes: 100, ..Default::default() }.into(),
        ChainEnd { height: Height(9), ..Default::default() }.into(),
    ];
    for word in words.clone() {
        peer.tell(&mut scene.n, word);
    }
    assert_eq!(scene.n.discards("forbidden"), 4);
    scene.n.pass(ms(300));
    assert_eq!(peer.read(&mut scene.n), []);
    // As a master it does, but under the newest epoch and from the row's master only.
    scene.granted(&[ME]);
    let foreign = |epoch| Consensus { cluster: ClusterId(1), epoch: Epoch(epoch), ..Default::default() };
    peer.tell(&mut scene.n, foreign(0));
    peer.tell(&mut scene.n, foreign(2));
    assert_eq!((scene.n.discards("old_epoch"), scene.n.discards("unknown_epoch")), (1, 1));
    let mut nobody = Peer::new(&scene.n, NodeId(12));
    nobody.open_stream(&mut scene.n, true);
    nobody.tell(&mut scene.n, foreign(1));
    assert_eq!(scene.n.discards("old_epoch"), 2, "not from its standby");
    peer.tell(&mut scene.n, foreign(1));
    assert_eq!(scene.n.discards("bad_consensus"), 1, "this one got as far as the chain");
}

/// B-MESH-5, B-MESH-6: the other masters are dialled while the authority decides, and nothing is said to them before it leads; if
/// it decides otherwise the streams are given up.
#[test]
fn b_mesh_5_who_claims_dials_the_other_masters_and_says_nothing() {
    for is_granted in [true, false] {
        let (mut scene, _m) = Scene::following();
        let other = NodeId(31);
        let theirs = row(&scene.n, 2, 1, 0, other, &[other]);
        scene.z.say(&mut scene.n, notice(theirs));
        let mut far = Peer::new(&scene.n, other);
        assert_eq!(scene.n.take_dial(far.address), None, "a standby has nothing to say to it");
        scene.n.pass(ms(300));
        let claims = scene.claims();
        assert!(!claims.is_empty(), "its master is silent");
        far.accept_stream(&mut scene.n);
        let (stream, _) = far.stream.as_ref().expect("just accepted");
        let stream = *stream;
        scene.n.pass(ms(5));
        let proof = |p: &Packet| matches!(p, Packet::Probe(_));
        assert!(far.read(&mut scene.n).iter().all(proof), "only that it is who it is");
        if is_granted {
            scene.granted(&[ME, THIRD]);
            let said = far.read(&mut scene.n);
            let own = |p: &Packet| matches!(p, Packet::Notice(n) if n.row.row.epoch == Epoch(2));
            assert!(own(&said[0]) && said.iter().any(|p| matches!(p, Packet::Consensus(_))), "{said:?}");
            assert!(!scene.n.has_closed(stream));
        } else {
            let now = row(&scene.n, OWN, 1, 2, M, &[M, ME, THIRD]);
            let refusal =
                Notice { request: claims[0].request, outcome: Outcome::IncumbentHeard, ..notice(now) };
            scene.z.say(&mut scene.n, refusal);
            assert!(scene.n.has_closed(stream));
        }
    }
}

/// B-ROL-2, B-ROL-3: a row of a higher epoch, or one that bars it, ends the role; the same epoch does not bring it back.
#[test]
fn b_rol_3_a_newer_row_ends_the_role_for_good() {
    let (mut scene, _m) = Scene::following();
    scene.granted(&[ME]);
    let mut client = Peer::new(&scene.n, CLIENT);
    client.open_stream(&mut scene.n, true);
    assert!(scene.leads());
    let mut barred = row(&scene.n, OWN, 2, 1, ME, &[M, ME]).row;
    barred.barred = vec![ME];
    let barred = SignedRow::sign(barred, &scene.z.keys.signing);
    scene.z.say(&mut scene.n, notice(barred));
    assert!(!scene.leads());
    client.tell(&mut scene.n, Submit { request: 3, ..Default::default() });
    let refused = |p: &Packet| matches!(p, Packet::SubmitAnswer(a) if a.verdict == SubmitVerdict::NotMaster);
    assert!(client.read(&mut scene.n).iter().any(refused));
    let same_epoch = row(&scene.n, OWN, 2, 2, ME, &[ME]);
    scene.z.say(&mut scene.n, notice(same_epoch));
    assert!(!scene.leads(), "epoch 2 was promised once");
    // A restart ends it too: the same row makes nobody master.
    let (mut scene, _m) = Scene::following();
    scene.granted(&[ME]);
    let mut n = scene.n.restarted();
    let mut z = Peer::new(&n, NodeId::AUTHORITY);
    z.accept_stream(&mut n);
    z.accept_datagram(&mut n);
    let mut again = Scene { n, z };
    again.let_in();
    again.histories(4);
    again.granted(&[ME]);
    assert!(!again.leads());
}

/// OUT-9, B-ROL-5: the master obeys an order signed by the authority, and no other.
#[test]
fn out_9_a_forced_switch_is_obeyed_if_the_authority_signed_it() {
    let (mut scene, mut m) = Scene::following();
    scene.granted(&[ME]);
    let order = |epoch, key: &duohuo_wire::sign::SigningKey| ForcedSwitch {
        order: SignedSwitch::sign(A, Epoch(epoch), ME, Height(9), true, key),
        ..Default::default()
    };
    let by_authority = scene.z.keys.signing.clone();
    scene.z.say(&mut scene.n, order(2, &m.keys.signing));
    assert_eq!(scene.n.discards("bad_statement"), 1);
    scene.z.say(&mut scene.n, order(1, &by_authority));
    assert_eq!(scene.n.discards("old_epoch"), 1);
    m.tell(&mut scene.n, order(2, &by_authority));
    assert_eq!(scene.n.discards("forbidden"), 1);
    assert!(scene.leads());
    scene.z.say(&mut scene.n, order(2, &by_authority));
    assert!(!scene.leads());
}

/// B-ROW-2: the table version that it tells the authority is one up to which it lacks nothing, whatever row it has seen.
#[test]
fn b_row_2_the_version_told_lacks_nothing() {
    let (mut scene, _m) = Scene::following();
    scene.granted(&[ME]);
    let query = scene.z.read(&mut scene.n).into_iter().rev().find_map(|p| match p {
        Packet::Query(q) if q.scope == QueryScope::Changed => Some(q),
        _ => None,
    });
    let query = query.expect("it asks for changes");
    assert_eq!(query.since, 0, "notices that came unasked prove nothing about what lies between");
    let told = |scene: &mut Scene| {
        scene.z.heard(&mut scene.n);
        scene.n.pass(ms(11));
        scene.z.heard(&mut scene.n).iter().find_map(|p| match p {
            Packet::MasterKeepalive(k) => Some(k.table_version),
            _ => None,
        })
    };
    assert_eq!(told(&mut scene), Some(0));
    let other = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    let other = Notice { request: query.request, table_version: 300, ..notice(other) };
    scene.z.tell(&mut scene.n, other);
    assert_eq!(told(&mut scene), Some(300));
}

/// B-TAB-9: a row or a history of an epoch that nobody grants is not learnt, whoever signed it; the last one is.
#[test]
fn b_tab_9_no_epoch_is_learnt_that_cannot_be_granted() {
    let (mut scene, _m) = Scene::following();
    let last = u64::from(u32::MAX);
    let masters = |first, count| {
        let key = &scene.n.consortium.keys[&NodeId::AUTHORITY].signing;
        History::sign(cluster_id(OTHER), Epoch(first), vec![PEER; count], key)
    };
    let histories = [masters(last, 2), masters(u64::MAX, 1), masters(u64::MAX - 1, 3), masters(last, 1)];
    for (count, history) in (1..).zip(histories) {
        scene.z.tell(&mut scene.n, history);
        assert_eq!(scene.n.discards("bad_statement"), count.min(3));
    }
    for (count, epoch) in [(4, last + 1), (5, u64::MAX - 1), (6, u64::MAX)] {
        let row = row(&scene.n, OWN, epoch, 0, ME, &[ME]);
        scene.z.say(&mut scene.n, notice(row));
        assert_eq!((scene.n.discards("bad_statement"), scene.leads()), (count, false), "epoch {epoch}");
    }
    let row = row(&scene.n, OWN, last, u64::MAX, ME, &[ME]);
    scene.z.say(&mut scene.n, notice(row));
    assert_eq!((scene.n.discards("bad_statement"), scene.leads()), (6, true));
}
