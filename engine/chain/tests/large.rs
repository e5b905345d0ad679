//! Blocks as large as they may be: 10,000 transfers by default, 4 MiB where a network is set up for it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::Net;
use core::time::Duration;
use duohuo_chain::block::MAX_BLOCK_BYTES;
use duohuo_chain::{Block, CommittedBlock, Timing, Transfer};
use duohuo_core::chain::{Chain as _, TransactionId};
use duohuo_wire::ids::{ClusterId, Height};

/// Submits so many to one cluster, which tells the others, and runs until all are committed; the blocks.
fn commit(timing: Timing, count: u32) -> (Net, Vec<Block>) {
    let mut net = Net::new(4, 1, timing);
    net.submit_every = None;
    net.start();
    for n in 0..count {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let transfer = Transfer {
            id: TransactionId(id),
            from: n % 10,
            to: (n + 1) % 10,
            amount: 1,
            valid_until: Height(900),
        };
        let mut bytes = Vec::new();
        transfer.encode(&mut bytes);
        let now = net.now;
        net.call(ClusterId(1), |chain| chain.submit(now, &Bytes::from(bytes))).unwrap();
    }
    let pool_is_empty = |net: &Net| net.ids().iter().all(|id| net.master(*id).chain.status().pool == 0);
    assert!(net.run(Duration::from_secs(60), pool_is_empty), "all committed");
    let blocks = net.commits.values().map(|(_, bytes)| {
        let block = CommittedBlock::decode(bytes).unwrap().block;
        Block::decode(&block).unwrap()
    });
    let blocks: Vec<Block> = blocks.collect();
    assert_eq!(blocks.iter().map(|b| b.transactions.len()).sum::<usize>(), count as usize, "each once");
    assert_eq!((&net.conflicts, &net.halts), (&vec![], &vec![]));
    let states: Vec<_> = net.ids().iter().map(|id| net.master(*id).chain.status().state_hash).collect();
    assert!(states.iter().all(|state| *state == states[0]), "one state");
    (net, blocks)
}

#[test]
fn a_block_holds_ten_thousand_transfers_by_default_and_no_more() {
    let (_, blocks) = commit(Timing { block_interval: Duration::from_secs(1), ..Timing::default() }, 15_000);
    let most = blocks.iter().map(|b| b.transactions.len()).max().unwrap();
    assert_eq!(most, 10_000);
}

#[test]
fn a_block_grows_to_four_mebibytes_and_no_further() {
    let timing = Timing {
        block_interval: Duration::from_secs(1),
        max_block_transactions: 1_000_000,
        max_block_bytes: MAX_BLOCK_BYTES,
        max_pool: 200_000,
        ..Timing::default()
    };
    let (_, blocks) = commit(timing, 110_000);
    let largest = blocks.iter().map(|b| b.encode().len()).max().unwrap();
    assert!((MAX_BLOCK_BYTES - 40..=MAX_BLOCK_BYTES).contains(&largest), "{largest}");
}
