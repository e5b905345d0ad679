//! Results of chains that run beside their nodes: told, compared, reported (spec/hooks.md, rules B-HOOK-8 and B-HOOK-9).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::{node_id, roster, signing_key};
use duohuo_chain::{Bystander, MAX_RESULTS};
use duohuo_core::chain::{Chain, ChainOutput, Reception};
use duohuo_core::outside::{Word, WordAnswer};
use duohuo_core::time::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::statement::SignedResult;

const RIGHT: [u8; 32] = [7; 32];
const WRONG: [u8; 32] = [8; 32];

/// Of four clusters, this one's first node.
fn bystander(cluster: u32) -> Bystander {
    let node = node_id(ClusterId(cluster), 0);
    let mut chain = Bystander::new(ClusterId(cluster), node, signing_key(node), &roster(4));
    for c in 1..=4 {
        chain.learn_grant(ClusterId(c), Epoch(1), node_id(ClusterId(c), 0));
    }
    chain
}

/// Leading in epoch 1.
fn master(cluster: u32) -> Bystander {
    let mut chain = bystander(cluster);
    chain.lead(Instant::ZERO, Epoch(1), &[], Height(0));
    chain
}

fn result(chain: &mut Bystander, height: u64, hash: [u8; 32]) -> WordAnswer {
    chain.told(Word::Result { height: Height(height), hash })
}

fn accuse(chain: &mut Bystander, cluster: u32, height: u64) -> WordAnswer {
    chain.told(Word::Accuse { cluster: ClusterId(cluster), height: Height(height) })
}

/// What it sent, and what it reported.
fn outputs(chain: &mut Bystander) -> (Vec<Bytes>, Vec<Vec<SignedResult>>) {
    let (mut sent, mut reported) = (Vec::new(), Vec::new());
    while let Some(output) = chain.poll_output() {
        match output {
            ChainOutput::Send { bytes, .. } => sent.push(bytes),
            ChainOutput::ConsensusError { evidence } => reported.push(evidence),
            other => panic!("unexpected: {other:?}"),
        }
    }
    (sent, reported)
}

/// The message of a master that computed this.
fn message(cluster: u32, height: u64, hash: [u8; 32]) -> Bytes {
    let mut chain = master(cluster);
    result(&mut chain, height, hash);
    outputs(&mut chain).0.remove(0)
}

fn clusters(evidence: &[SignedResult]) -> Vec<u32> {
    evidence.iter().map(|r| r.cluster.0).collect()
}

#[test]
fn b_hook_8_a_master_tells_what_its_chain_computed_and_a_quorum_contradicts_who_differs() {
    let mut chain = master(1);
    assert_eq!(result(&mut chain, 9, RIGHT), WordAnswer::Told);
    assert_eq!(outputs(&mut chain).0.len(), 1);
    for (cluster, hash) in [(2, RIGHT), (3, WRONG)] {
        assert_eq!(
            chain.receive(Instant::ZERO, ClusterId(cluster), &message(cluster, 9, hash)),
            Reception::Taken
        );
        assert!(outputs(&mut chain).1.is_empty(), "two of four are no quorum");
    }
    assert_eq!(chain.receive(Instant::ZERO, ClusterId(4), &message(4, 9, RIGHT)), Reception::Taken);
    let reported = outputs(&mut chain).1;
    assert_eq!(reported.len(), 1);
    assert_eq!(clusters(&reported[0]), [3, 1, 2, 4], "the accused first, then who contradicts it");
    assert_eq!(reported[0][0].hash, WRONG);
    // Once is enough.
    assert_eq!(chain.receive(Instant::ZERO, ClusterId(4), &message(4, 9, RIGHT)), Reception::Taken);
    assert!(outputs(&mut chain).1.is_empty());
}

#[test]
fn b_hook_8_a_node_that_does_not_lead_keeps_its_results_and_tells_them_when_it_does() {
    let mut chain = bystander(1);
    assert_eq!(result(&mut chain, 8, WRONG), WordAnswer::Kept);
    assert_eq!(result(&mut chain, 8, RIGHT), WordAnswer::Kept, "nothing is signed yet: the newest counts");
    assert_eq!(result(&mut chain, 9, RIGHT), WordAnswer::Kept);
    assert_eq!(outputs(&mut chain).0.len(), 0);
    chain.lead(Instant::ZERO, Epoch(1), &[], Height(0));
    assert_eq!(outputs(&mut chain).0, [message(1, 8, RIGHT), message(1, 9, RIGHT)], "oldest first");
    chain.peer_up(Instant::ZERO, ClusterId(2));
    assert_eq!(outputs(&mut chain).0, [message(1, 8, RIGHT), message(1, 9, RIGHT)], "the same bytes");
}

#[test]
fn b_hook_8_nobody_signs_two_results_of_one_height_in_one_epoch() {
    let mut chain = master(1);
    assert_eq!(result(&mut chain, 9, RIGHT), WordAnswer::Told);
    outputs(&mut chain);
    assert_eq!(result(&mut chain, 9, WRONG), WordAnswer::Contradicts);
    assert_eq!(result(&mut chain, 9, RIGHT), WordAnswer::Told);
    assert!(outputs(&mut chain).0.is_empty(), "said once");
}

#[test]
fn b_hook_9_an_accusation_is_reported_with_both_results_as_soon_as_there_are_two_that_differ() {
    let mut chain = master(1);
    assert_eq!(accuse(&mut chain, 3, 9), WordAnswer::Kept);
    assert_eq!(result(&mut chain, 9, RIGHT), WordAnswer::Told);
    assert!(outputs(&mut chain).1.is_empty(), "the accused has said nothing");
    assert_eq!(chain.receive(Instant::ZERO, ClusterId(3), &message(3, 9, WRONG)), Reception::Taken);
    let reported = outputs(&mut chain).1;
    assert_eq!(reported.iter().map(|e| clusters(e)).collect::<Vec<_>>(), [[3, 1]]);
    assert_eq!(accuse(&mut chain, 3, 9), WordAnswer::Reported);
    assert!(outputs(&mut chain).1.is_empty(), "and not again");
}

#[test]
fn b_hook_9_who_said_the_same_or_is_no_other_cluster_is_not_accused() {
    let mut chain = master(1);
    assert_eq!(result(&mut chain, 9, RIGHT), WordAnswer::Told);
    assert_eq!(chain.receive(Instant::ZERO, ClusterId(3), &message(3, 9, RIGHT)), Reception::Taken);
    assert_eq!(accuse(&mut chain, 3, 9), WordAnswer::Agrees);
    assert_eq!(accuse(&mut chain, 1, 9), WordAnswer::NoCluster);
    assert_eq!(accuse(&mut chain, 5, 9), WordAnswer::NoCluster);
    assert!(outputs(&mut chain).1.is_empty());
    let mut follower = bystander(1);
    assert_eq!(accuse(&mut follower, 3, 9), WordAnswer::NotMaster);
}

#[test]
fn what_is_not_signed_by_the_sender_s_master_is_refused() {
    let mut chain = master(1);
    assert_eq!(
        chain.receive(Instant::ZERO, ClusterId(2), &message(3, 9, WRONG)),
        Reception::Refused,
        "another cluster's"
    );
    assert_eq!(
        chain.receive(Instant::ZERO, ClusterId(1), &message(1, 9, WRONG)),
        Reception::Refused,
        "our own"
    );
    let mut torn = message(3, 9, WRONG).to_vec();
    torn[20] ^= 1;
    assert_eq!(chain.receive(Instant::ZERO, ClusterId(3), &torn.into()), Reception::Refused);
    assert_eq!(chain.receive(Instant::ZERO, ClusterId(3), &Bytes::from_static(b"\x01")), Reception::Refused);
    let mut other = Bystander::new(ClusterId(3), NodeId(32), signing_key(NodeId(32)), &roster(4));
    other.lead(Instant::ZERO, Epoch(1), &[], Height(0));
    result(&mut other, 9, WRONG);
    let no_grant = outputs(&mut other).0.remove(0);
    assert_eq!(
        chain.receive(Instant::ZERO, ClusterId(3), &no_grant),
        Reception::Refused,
        "a node that was not granted the epoch"
    );
}

#[test]
fn p6_what_is_kept_is_bounded_whatever_is_said() {
    let mut chain = master(1);
    let mut liar = master(3);
    for height in 0..1000 {
        result(&mut chain, height, RIGHT);
        accuse(&mut chain, 2, height);
        result(&mut liar, height, WRONG);
    }
    for said in outputs(&mut liar).0 {
        assert_eq!(chain.receive(Instant::ZERO, ClusterId(3), &said), Reception::Taken);
    }
    let entries: usize = chain.held().iter().map(|held| held.entries).sum();
    assert!(entries <= 5 * MAX_RESULTS, "{entries}");
}

#[test]
fn a_drill_of_wrong_results_makes_it_tell_other_hashes() {
    let mut chain = master(1);
    chain.inject_wrong_results(true);
    result(&mut chain, 9, RIGHT);
    assert_ne!(outputs(&mut chain).0.remove(0), message(1, 9, RIGHT));
}

#[test]
fn it_takes_no_block_and_no_transaction() {
    let mut chain = master(1);
    assert!(chain.submit(Instant::ZERO, &Bytes::from_static(b"x")).is_err());
    assert!(chain.apply(Instant::ZERO, &Bytes::from_static(b"x")).is_err());
    assert!(chain.restore(&Bytes::from_static(b"x")).is_err());
}
