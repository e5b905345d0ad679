//! What cannot be reached from outside in anybody's life.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::block::Block;
use duohuo_core::chain::Chain as _;
use duohuo_wire::ids::RoomId;
use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party};

fn roster() -> Roster {
    let address = "127.0.0.1:1".parse().unwrap();
    let signing = |id: u32| SigningKey::from_bytes(&[u8::try_from(id).unwrap(); 32]);
    let node = |id: u32| NodeEntry {
        id: NodeId(id),
        name: format!("n{id}"),
        room: RoomId(1),
        priority: 1,
        address,
        session_key: [7; 32],
        signing_key: signing(id).verifying_key().to_bytes(),
    };
    let cluster = |id: u32| ClusterEntry {
        id: ClusterId(id),
        name: format!("c{id}"),
        group: "239.0.0.1:1".parse().unwrap(),
        nodes: vec![node(id)],
    };
    Roster {
        consortium: [3; 16],
        version: 1,
        authority: Party { address, session_key: [0; 32], signing_key: [0; 32] },
        clusters: (1..=4).map(cluster).collect(),
        clients: vec![],
        signature: [0; 64],
    }
}

/// A master of cluster 1 whose chain stands at this height.
fn leading_at(height: u64) -> Embedded {
    let mut chain = Embedded::new(EmbeddedConfig {
        cluster: ClusterId(1),
        node: NodeId(1),
        signing_key: SigningKey::from_bytes(&[1; 32]),
        roster: roster(),
        genesis: Genesis { accounts: vec![(1, 100)] },
        timing: Timing::default(),
    });
    for cluster in 1..=4 {
        chain.learn_grant(ClusterId(cluster), Epoch(1), NodeId(cluster));
    }
    let block = block_at(height, &chain);
    chain.execute(id_of(&block.encode()), &block, 0);
    chain.lead(Instant::ZERO, Epoch(1), &[], Height(0));
    chain
}

fn block_at(height: u64, chain: &Embedded) -> Block {
    Block {
        height: Height(height),
        parent: chain.ledger.last_block().0,
        proposer: ClusterId(1),
        parent_commit_round: 0,
        transactions: vec![],
    }
}

/// CH-14: the chain stands still at its last height, and says nothing of a next one; nothing wraps and nothing falls over.
#[test]
fn no_height_is_begun_above_the_last_one() {
    let last = 4_611_686_018_427_387_903;
    let before = leading_at(last - 1);
    assert!(before.may_start());
    let mut chain = leading_at(last);
    assert!(!chain.may_start());
    chain.tick(Instant::ZERO + Duration::from_secs(1));
    assert!(!chain.is_working());
    assert_eq!(chain.poll_timeout(), None);
}

/// CH-14: nor is a block of a greater height voted for, taken, or believed in a snapshot.
#[test]
fn a_block_above_the_last_height_is_no_block() {
    let last = 4_611_686_018_427_387_903;
    let mut chain = leading_at(last - 1);
    assert!(chain.ledger.accepts(&block_at(last, &chain)));
    let committed = |height, chain: &Embedded| {
        let block = block_at(height, chain).encode();
        let certificate = CommitCertificate {
            height: Height(height),
            round: 0,
            block: id_of(&block).0,
            signatures: vec![],
        };
        CommittedBlock { block, certificate }.encode()
    };
    let right = committed(last, &chain);
    assert_eq!(chain.apply(Instant::ZERO, &right), Err(BlockError::BadCertificate), "nobody signed it");
    let mut chain = leading_at(last);
    assert!(!chain.ledger.accepts(&block_at(last + 1, &chain)));
    for height in [last + 1, u64::MAX] {
        let above = committed(height, &chain);
        assert_eq!(chain.apply(Instant::ZERO, &above), Err(BlockError::Malformed), "{height}");
    }
}
