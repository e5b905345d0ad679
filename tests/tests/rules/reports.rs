//! The authority: consensus errors.

use super::network::*;
use bytes::Bytes;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_wire::ids::{Epoch, Height, Version};
use duohuo_wire::packet::*;

/// A result of the first node of cluster `c` in epoch 1.
fn result(z: &Lone, c: usize, hash: u8) -> SignedResult {
    let key = &z.consortium.keys[&node(c, 0)].signing;
    SignedResult::sign(cluster_id(c), node(c, 0), Epoch(1), Height(9), [hash; 32], key)
}

/// Cluster A with three nodes, and the masters of the others.
fn four_masters() -> (Lone, Peer, Peer, Bytes, Vec<Peer>) {
    let (mut z, m, a, sealed_id) = three();
    let others = (1..4).map(|c| register(&mut z, c).0).collect();
    (z, m, a, sealed_id, others)
}

fn report(evidence: Vec<SignedResult>) -> ConsensusError {
    ConsensusError { request: 1, height: Height(9), evidence, ..Default::default() }
}

/// AUTH-6, B-ERR-3, B-ERR-4: proof by a quorum switches at once; the bar is durable before the order goes to every node of
/// the cluster, by datagram and by stream.
#[test]
fn b_err_4_the_bar_is_durable_before_the_order() {
    let (mut z, mut m, mut a, sealed_id, mut others) = four_masters();
    m.heard(&mut z);
    a.heard(&mut z);
    z.quick_disk = false;
    let evidence = vec![result(&z, 0, 6), result(&z, 1, 5), result(&z, 2, 5), result(&z, 3, 5)];
    others[0].tell(&mut z, report(evidence));
    let order =
        |p: &Packet| matches!(p, Packet::ForcedSwitch(s) if s.order.old_master == M && s.order.proven);
    assert_eq!((m.heard(&mut z), a.heard(&mut z), m.read(&mut z)), (vec![], vec![], vec![]));
    z.sync();
    assert_eq!(z.row(A).unwrap().barred, [M]);
    for peer in [&mut m, &mut a] {
        assert!(peer.heard(&mut z).iter().any(order) && peer.read(&mut z).iter().any(order));
    }
    // Steps S1509 to S1511: the barred incumbent is asked nothing.
    z.quick_disk = true;
    a.say(&mut z, Update { version: Version(3), ..claim(&sealed_id) });
    assert_eq!(probe_of(&m.heard(&mut z)), None);
    assert_eq!(notices(&a.heard(&mut z))[0], (8, Outcome::Done, 2, 0));
    m.say(&mut z, Update { epoch: Epoch(2), version: Version(0), ..claim(&sealed_id) });
    assert_eq!(z.row(A).unwrap().master, STANDBY, "the barred one is not granted again");
}

/// B-ERR-1, B-ERR-2: what is no evidence, and who may not bring it.
#[test]
fn b_err_2_what_is_no_evidence_switches_nobody() {
    let (mut z, _m, mut a, _, mut others) = four_masters();
    let right = [result(&z, 0, 6), result(&z, 1, 5), result(&z, 2, 5), result(&z, 3, 5)];
    let key = z.consortium.keys[&M].signing.clone();
    let stranger = z.consortium.keys[&node(1, 1)].signing.clone();
    let with = |at: usize, other: SignedResult| {
        let mut evidence = right.to_vec();
        evidence[at] = other;
        evidence
    };
    let wrong = [
        vec![],
        vec![right[0].clone()],
        // The accused's result: forged, of another epoch, not of its master.
        with(0, SignedResult { hash: [7; 32], ..right[0].clone() }),
        with(0, SignedResult::sign(A, M, Epoch(2), Height(9), [6; 32], &key)),
        with(
            0,
            SignedResult::sign(
                A,
                STANDBY,
                Epoch(1),
                Height(9),
                [6; 32],
                &z.consortium.keys[&STANDBY].signing,
            ),
        ),
        // The others': not their master's, another height, no contradiction, not one hash, of the accused itself.
        with(1, SignedResult::sign(cluster_id(1), node(1, 1), Epoch(1), Height(9), [5; 32], &stranger)),
        with(
            1,
            SignedResult::sign(
                cluster_id(1),
                node(1, 0),
                Epoch(1),
                Height(8),
                [5; 32],
                &z.consortium.keys[&node(1, 0)].signing,
            ),
        ),
        with(1, result(&z, 1, 6)),
        with(2, result(&z, 2, 4)),
        with(3, SignedResult::sign(A, M, Epoch(1), Height(9), [5; 32], &key)),
    ];
    for (at, evidence) in wrong.into_iter().enumerate() {
        others[0].tell(&mut z, report(evidence));
        assert_eq!(z.discards("bad_statement"), at as u64 + 1, "case {at}");
    }
    a.tell(&mut z, report(right.to_vec()));
    assert_eq!(z.discards("forbidden"), 1, "only a master reports");
    others[0].tell(&mut z, report(vec![right[1].clone(), right[0].clone()]));
    assert_eq!(z.discards("forbidden"), 2, "and not itself");
    assert_eq!(z.row(A).unwrap().barred, []);
}

/// B-ERR-3: without proof it takes f + 1 distinct clusters; one that repeats itself is one.
#[test]
fn b_err_3_one_cluster_is_not_enough_without_proof() {
    let (mut z, _m, _a, _, mut others) = four_masters();
    let evidence = vec![result(&z, 0, 6), result(&z, 1, 5)];
    for _ in 0..3 {
        others[0].tell(&mut z, report(evidence.clone()));
    }
    assert_eq!(z.row(A).unwrap().barred, []);
    others[1].tell(&mut z, report(evidence));
    assert_eq!(z.row(A).unwrap().barred, [M]);
}

/// B-ERR-5: the successor with the same result at the same height is not switched again: an alarm.
#[test]
fn b_err_5_the_same_error_again_is_an_alarm() {
    let (mut z, _m, mut a, sealed_id, mut others) = four_masters();
    let evidence = vec![result(&z, 0, 6), result(&z, 1, 5), result(&z, 2, 5), result(&z, 3, 5)];
    others[0].tell(&mut z, report(evidence.clone()));
    a.say(&mut z, Update { version: Version(3), ..claim(&sealed_id) });
    let again = SignedResult::sign(A, STANDBY, Epoch(2), Height(9), [6; 32], &a.keys.signing);
    others[0].tell(&mut z, report([vec![again], evidence[1..].to_vec()].concat()));
    assert!(z.events.iter().any(|e| matches!(e, Event::Alarm { .. })));
    assert_eq!(z.row(A).unwrap().barred, [M]);
}
