//! The chain in quiet times and with clusters away.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::Net;
use duohuo_chain::Timing;
use duohuo_core::chain::Chain;
use duohuo_core::time::Duration;
use duohuo_wire::ids::ClusterId;

fn at_height(height: u64) -> impl Fn(&Net) -> bool {
    move |net| net.ids().iter().all(|id| net.master(*id).is_dead || net.height(*id) >= height)
}

#[test]
fn four_clusters_commit_two_hundred_heights_with_equal_states() {
    let mut net = Net::new(4, 1, Timing::default());
    net.start();
    assert!(net.run(Duration::from_secs(10), at_height(200)), "at {}", net.max_height());
    net.submit_every = None;
    net.run(Duration::from_millis(500), |_| false);
    net.assert_safe("quiet");
    let states: Vec<_> = net.ids().iter().map(|id| net.master(*id).chain.status()).collect();
    assert!(states.iter().all(|s| *s == states[0]), "{states:?}");
    assert_eq!(states[0].pool, 0);
    let total: u64 = net.chain(ClusterId(1)).ledger().accounts().map(|(_, b)| b).sum();
    assert_eq!(total, 10_000_000);
    assert!(net.receipts.len() > 500, "{}", net.receipts.len());
    assert_eq!(net.refused, 0);
    assert!(net.accusations.is_empty());
    // Idle: no empty blocks.
    let height = net.max_height();
    net.run(Duration::from_secs(5), |_| false);
    assert_eq!(net.max_height(), height);
    for id in net.ids() {
        let standby = &net.clusters[&id].nodes[1];
        assert_eq!(standby.chain.status().state_hash, states[0].state_hash);
    }
}
