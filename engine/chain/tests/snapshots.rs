//! Snapshots: what proves one, and that a chain that starts from one goes on as if it had executed every block.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use bytes::Bytes;
use common::{Net, new_chain, node_id};
use duohuo_chain::snapshot::Manifest;
use duohuo_chain::{Embedded, Timing};
use duohuo_core::chain::{BlockError, Chain, Snapshot};
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height};

const START: Instant = Instant::from_nanos(1_000_000);
const ONE: ClusterId = ClusterId(1);

fn timing() -> Timing {
    Timing { snapshot_interval: 4, ..Timing::default() }
}

fn follower() -> Embedded {
    new_chain(4, ONE, 2, timing())
}

/// A chain of more than six blocks, its snapshot at four, and the proof of it.
fn four() -> (Net, Snapshot, Bytes) {
    let mut net = Net::new(4, 7, timing());
    net.start();
    assert!(net.run(Duration::from_secs(2), |net| net.height(ONE) >= 7));
    let snapshot = net.master(ONE).snapshots[&Height(4)].clone();
    let proof = net.proofs[&(ONE, Height(4))].clone();
    (net, snapshot, proof)
}

#[test]
fn every_node_takes_the_same_snapshot_and_a_quorum_of_results_proves_it() {
    let (net, snapshot, proof) = four();
    for cluster in net.ids() {
        assert_eq!(net.master(cluster).snapshots[&Height(4)], snapshot);
    }
    let plan = follower().plan(&snapshot.manifest, &proof).unwrap();
    assert_eq!((plan.height, plan.chunks), (Height(4), 1));
    let mut chain = follower();
    for block in &net.master(ONE).blocks[..4] {
        chain.apply(START, block).unwrap();
    }
    assert_eq!(chain.status().state_hash, plan.state_hash, "the state hash binds the snapshot");
}

#[test]
fn who_starts_from_a_snapshot_goes_on_as_who_executed_every_block() {
    let (net, snapshot, _) = four();
    let blocks = &net.master(ONE).blocks;
    let (mut whole, mut short) = (follower(), follower());
    for block in blocks {
        whole.apply(START, block).unwrap();
    }
    assert_eq!(short.restore_snapshot(&snapshot.manifest, &snapshot.chunks), Ok(Height(4)));
    for block in &blocks[4..] {
        short.apply(START, block).unwrap();
    }
    assert_eq!(short.status(), whole.status());
    assert_eq!(short.ledger().accounts().collect::<Vec<_>>(), whole.ledger().accounts().collect::<Vec<_>>());
    assert_eq!(short.ledger().turns(), whole.ledger().turns());
}

#[test]
fn a_transaction_that_was_spent_below_a_snapshot_stays_spent() {
    let (net, snapshot, _) = four();
    let block = net.master(ONE).blocks[0].clone();
    let block = duohuo_chain::CommittedBlock::decode(&block).unwrap();
    let block = duohuo_chain::Block::decode(&block.block).unwrap();
    let transfer = *block.transactions.first().unwrap();
    let mut chain = follower();
    chain.restore_snapshot(&snapshot.manifest, &snapshot.chunks).unwrap();
    assert_eq!(chain.ledger().committed_at(transfer.id), Some(Height(1)));
}

#[test]
fn a_snapshot_without_a_quorum_for_this_very_state_is_not_proven() {
    let (_, snapshot, proof) = four();
    let chain = follower();
    let bad = Err(BlockError::BadCertificate);
    // One result less than a quorum of four.
    let fewer = Bytes::from([&[0, 2], &proof[2..242]].concat());
    assert_eq!(chain.plan(&snapshot.manifest, &fewer), bad);
    let twice = Bytes::from([&[0, 3], &proof[2..242], &proof[2..122]].concat());
    assert_eq!(chain.plan(&snapshot.manifest, &twice), bad);
    // A bit of the last signature.
    let mut forged = proof.to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(chain.plan(&snapshot.manifest, &forged.into()), bad);
    // Another state.
    let mut other = Manifest::decode(&snapshot.manifest).unwrap();
    other.chunks[0][0] ^= 1;
    assert_eq!(chain.plan(&other.encode(), &proof), bad);
    // No snapshot is taken there.
    let mut elsewhere = Manifest::decode(&snapshot.manifest).unwrap();
    elsewhere.height = Height(5);
    assert_eq!(chain.plan(&elsewhere.encode(), &proof), Err(BlockError::Malformed));
    assert_eq!(chain.plan(&snapshot.manifest, &Bytes::new()), Err(BlockError::Malformed));
}

#[test]
fn a_proof_under_a_grant_that_is_not_known_waits_for_it() {
    let (mut net, _, _) = four();
    let old = net.clusters[&ClusterId(3)].epoch;
    net.kill(ClusterId(3));
    assert!(net.run(Duration::from_secs(5), |net| net.height(ONE) >= 14));
    assert!(net.clusters[&ClusterId(3)].epoch > old);
    let proven = |net: &Net| net.proofs.keys().filter(|(c, h)| *c == ONE && h.0 >= 12).map(|k| k.1).last();
    let height = proven(&net).unwrap();
    let manifest = net.master(ONE).snapshots[&height].manifest.clone();
    let proof = net.proofs[&(ONE, height)].clone();
    let mut chain = follower();
    let (third, epoch) = (ClusterId(3), Epoch(2));
    let told = chain.plan(&manifest, &proof);
    assert!(
        told == Err(BlockError::UnknownGrant(third, epoch)) || told.is_ok_and(|plan| plan.height == height)
    );
    chain.learn_grant(third, epoch, node_id(third, 1));
    assert_eq!(chain.plan(&manifest, &proof).map(|plan| plan.height), Ok(height));
}

#[test]
fn chunks_that_are_not_the_manifests_change_nothing() {
    let (_, snapshot, _) = four();
    let mut chain = follower();
    let before = chain.status();
    let mut bad = snapshot.chunks[0].to_vec();
    bad[50] ^= 1;
    let bad = Bytes::from(bad);
    assert!(!chain.is_chunk(&snapshot.manifest, 0, &bad));
    assert!(chain.is_chunk(&snapshot.manifest, 0, &snapshot.chunks[0]));
    for chunks in [vec![bad], vec![], [snapshot.chunks.clone(), snapshot.chunks.clone()].concat()] {
        assert_eq!(chain.restore_snapshot(&snapshot.manifest, &chunks), Err(BlockError::Malformed));
    }
    assert_eq!(chain.status(), before);
    chain.restore_snapshot(&snapshot.manifest, &snapshot.chunks).unwrap();
    assert_eq!(chain.restore_snapshot(&snapshot.manifest, &snapshot.chunks), Err(BlockError::Old));
}

#[test]
fn other_intervals_are_another_chain() {
    let (net, _, _) = four();
    let mut other = new_chain(4, ONE, 2, Timing { snapshot_interval: 5, ..Timing::default() });
    assert_eq!(other.apply(START, &net.master(ONE).blocks[0]), Err(BlockError::WrongParent));
}
