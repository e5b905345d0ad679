//! The authority: claims, inquiries, changes of the in-sync set.

use super::network::*;
use bytes::Bytes;
use duohuo_tests::consortium::node;
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId, Version};
use duohuo_wire::packet::*;

/// AUTH-5, B-CLM-1: each check of a claim in its order; nothing changes but by a grant, however often it comes.
#[test]
fn b_clm_1_a_refused_claim_changes_nothing() {
    let (mut z, _m, mut a, sealed_id) = three();
    let before = z.row(A);
    a.say(&mut z, Update { cluster: ClusterId(2), ..claim(&sealed_id) });
    assert_eq!((z.discards("forbidden"), a.heard(&mut z)), (1, vec![]));
    let mut stale = connected(&mut z, NodeId(13));
    let sealed_13 = join(&mut z, &mut stale, A).sealed_id;
    let refusals = [
        // A stolen sealed ID comes before everything that follows, and so on down the table.
        (Update { epoch: Epoch(9), ..claim(&sealed_13) }, Outcome::BadSealedId),
        (Update { sealed_id: Bytes::new(), ..claim(&sealed_id) }, Outcome::BadSealedId),
        (Update { epoch: Epoch(0), ..claim(&sealed_id) }, Outcome::Stale),
        (Update { version: Version(1), ..claim(&sealed_id) }, Outcome::Stale),
        (Update { version: Version(3), ..claim(&sealed_id) }, Outcome::Stale),
    ];
    for (claim, outcome) in refusals {
        for _ in 0..2 {
            a.say(&mut z, claim.clone());
            assert_eq!(notices(&a.heard(&mut z)), [(8, outcome, 1, 2)]);
        }
    }
    assert_eq!(z.row(A), before);
    let (mut lone_cluster, unregistered) = (connected(&mut z, node(1, 1)), z.discards("unexpected"));
    let sealed = join(&mut z, &mut lone_cluster, ClusterId(2)).sealed_id;
    assert!(sealed.is_empty(), "there is no sealed ID for a cluster that is not registered");
    lone_cluster.say(&mut z, Update { cluster: ClusterId(2), ..claim(&sealed) });
    assert_eq!(z.discards("unexpected"), unregistered, "no sealed ID is refused first");
}

/// B-CLM-1, check 5: who is not in the in-sync set is not granted.
#[test]
fn a_claimant_outside_the_set_is_refused() {
    let mut z = ready();
    register(&mut z, 0);
    let mut a = connected(&mut z, STANDBY);
    let sealed_id = join(&mut z, &mut a, A).sealed_id;
    a.heard(&mut z);
    a.say(&mut z, Update { version: Version(0), ..claim(&sealed_id) });
    assert_eq!(notices(&a.heard(&mut z)), [(8, Outcome::NotInSync, 1, 0)]);
}

/// R6, B-CLM-2, B-CLM-6: a silent incumbent is asked three times; then the claimant is granted, with whom it hears.
#[test]
fn r6_a_silent_incumbent_is_replaced_after_three_probes() {
    let (mut z, mut m, mut a, sealed_id) = three();
    a.say(&mut z, claim(&sealed_id));
    z.pass(ms(4));
    let asked: Vec<Packet> = m.heard(&mut z).into_iter().filter(|p| matches!(p, Packet::Probe(_))).collect();
    assert_eq!(asked.len(), 3);
    assert_eq!(notices(&a.heard(&mut z)), [(8, Outcome::Done, 2, 0), (0, Outcome::Notice, 2, 0)]);
    let row = z.row(A).unwrap();
    assert_eq!((row.master, row.in_sync), (STANDBY, vec![STANDBY, NodeId(13)]));
}

/// B-CLM-2: how late a master is, its keepalives say; the time until its first one is the takeover's, and a cut is no lateness.
#[test]
fn b_clm_2_a_master_is_given_the_time_that_its_keepalives_were_late() {
    // After the first: one in time, one after its entry had aged out, one that is 4 ms late; what an inquiry takes from then on.
    for (gaps, least, most) in [(&[10][..], 3, 4), (&[10, 200], 3, 4), (&[10, 14], 10, 12)] {
        let (mut z, mut m, mut a, sealed_id) = three();
        z.pass(ms(45));
        let mut challenge = alive(&mut z, &mut m, keepalive(1, 0));
        for gap in gaps {
            z.pass(ms(*gap));
            challenge = alive(&mut z, &mut m, keepalive(1, challenge));
        }
        a.say(&mut z, claim(&sealed_id));
        z.pass(ms(least - 1));
        assert_eq!(z.row(A).unwrap().master, M, "{gaps:?}");
        z.pass(ms(most + 1 - least));
        assert_eq!(z.row(A).unwrap().master, STANDBY, "{gaps:?}");
    }
}

/// B-CLM-2: when its stream closes one probe is enough, and that one was sent.
#[test]
fn b_clm_2_an_inquiry_ends_with_the_stream_if_a_probe_is_unanswered_by_then() {
    let (mut z, mut m, mut a, sealed_id) = three();
    let challenge = alive(&mut z, &mut m, keepalive(1, 0));
    z.pass(ms(14));
    alive(&mut z, &mut m, keepalive(1, challenge));
    a.say(&mut z, claim(&sealed_id));
    z.pass(ms(5));
    assert_eq!(z.row(A).unwrap().master, M, "it is given 8 ms more, since it was late by 4");
    m.hang_up(&mut z);
    assert_eq!(z.row(A).unwrap().master, STANDBY);
}

/// R6, B-CLM-2: an incumbent that answers is kept; only the answer asked for counts.
#[test]
fn r6_an_incumbent_that_answers_is_kept() {
    let (mut z, mut m, mut a, sealed_id) = three();
    a.say(&mut z, claim(&sealed_id));
    let nonce = probe_of(&m.heard(&mut z)).unwrap();
    let answer = |nonce| ProbeAnswer { nonce, role: Role::Master, epoch: Epoch(1), ..Default::default() };
    m.say(&mut z, answer(nonce + 1));
    a.say(&mut z, answer(nonce));
    assert_eq!((z.discards("unexpected"), notices(&a.heard(&mut z))), (2, vec![]));
    m.say(&mut z, answer(nonce));
    z.pass(ms(20));
    assert_eq!(notices(&a.heard(&mut z)), [(8, Outcome::IncumbentHeard, 1, 2)]);
    assert_eq!(z.row(A).unwrap().master, M);
}

/// B-CLM-3, B-CLM-4: an incumbent that gave up its epoch is replaced; one that has not heard of it is told.
#[test]
fn an_incumbent_that_gave_up_is_replaced_and_one_that_has_not_heard_is_told() {
    for (promised, outcome) in [(1, Outcome::Done), (0, Outcome::IncumbentHeard)] {
        let (mut z, mut m, mut a, sealed_id) = three();
        a.say(&mut z, claim(&sealed_id));
        let nonce = probe_of(&m.heard(&mut z)).unwrap();
        m.say(
            &mut z,
            ProbeAnswer { nonce, role: Role::Ordinary, epoch: Epoch(promised), ..Default::default() },
        );
        assert_eq!(notices(&a.heard(&mut z))[0].1, outcome);
        let told = notices(&m.heard(&mut z));
        assert_eq!(told, [(0, Outcome::Notice, 1 + promised, 2 - 2 * promised)]);
    }
}

/// B-CLM-5: one inquiry at a time, and none for a row that has moved.
#[test]
fn b_clm_5_an_inquiry_into_a_row_that_moved_is_dropped() {
    let (mut z, mut m, mut a, sealed_id) = three();
    let mut third = connected(&mut z, NodeId(13));
    let sealed_13 = join(&mut z, &mut third, A).sealed_id;
    third.heard(&mut z);
    a.say(&mut z, claim(&sealed_id));
    third.say(&mut z, Update { alive: vec![NodeId(13)], ..claim(&sealed_13) });
    assert_eq!(third.heard(&mut z), [], "another claimant is not answered");
    m.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    z.pass(ms(50));
    let row = z.row(A).unwrap();
    assert_eq!((row.master, row.epoch, row.version), (M, Epoch(1), Version(3)));
    assert!(notices(&a.heard(&mut z)).iter().all(|n| n.1 != Outcome::Done));
}

/// B-ISS-1: only the row's master changes its set, and only by nodes of its cluster. B-ISS-2: and it may resign.
#[test]
fn b_iss_1_only_the_master_changes_the_set() {
    let (mut z, mut m, mut a, sealed_id) = three();
    let before = z.row(A);
    a.say(&mut z, change(ChangeKind::Remove, 1, 2, NodeId(13)));
    assert_eq!(notices(&a.heard(&mut z)), [(7, Outcome::NotMaster, 1, 2)]);
    m.say(&mut z, change(ChangeKind::Add, 1, 2, NodeId(21)));
    assert_eq!(z.discards("forbidden"), 1);
    assert_eq!(z.row(A), before);
    m.heard(&mut z);
    m.say(&mut z, change(ChangeKind::Resign, 1, 2, M));
    assert_eq!(z.row(A), before, "a resignation changes no row");
    m.heard(&mut z);
    a.say(&mut z, claim(&sealed_id));
    assert_eq!(probe_of(&m.heard(&mut z)), None, "nobody is asked");
    assert_eq!(z.row(A).unwrap().master, STANDBY);
}

/// W-SID-2: a sealed ID is good from its issue, not before; a clock that fell back asks for a fresh one.
#[test]
fn w_sid_2_a_sealed_id_that_is_not_of_this_time_is_refused() {
    let (mut z, _m, mut a, sealed_id) = three();
    z.pass(ms(24 * 3600 * 1000));
    a.open_stream(&mut z, true);
    a.open_datagram(&mut z, true);
    a.say(&mut z, claim(&sealed_id));
    assert_eq!(notices(&a.heard(&mut z)), [(8, Outcome::BadSealedId, 1, 2)]);
    // Issued a moment after a restart at an earlier time: not yet valid there.
    let later = join(&mut z, &mut a, A).sealed_id;
    let mut z = z.restarted();
    z.pass(ms(201));
    let mut a = connected(&mut z, STANDBY);
    a.say(&mut z, claim(&later));
    assert_eq!(notices(&a.heard(&mut z)), [(8, Outcome::BadSealedId, 1, 2)]);
}
