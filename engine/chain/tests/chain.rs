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

/// One cluster dead for good: heights, virtual time, pauses.
fn lose_one(heights: u64) -> (Duration, usize, Duration) {
    let mut net = Net::new(4, 2, Timing::default());
    net.start();
    assert!(net.run(Duration::from_secs(2), at_height(10)));
    let lost = ClusterId(2);
    net.clusters.get_mut(&lost).unwrap().takeover_after = None;
    net.kill(lost);
    let (from, from_height) = (net.now, net.max_height());
    net.commits.retain(|height, _| height.0 >= from_height);
    assert!(net.run(Duration::from_secs(60), at_height(from_height + heights)), "at {}", net.max_height());
    net.assert_safe("one lost");
    let pauses = net.pauses(Duration::from_millis(100));
    (net.now.saturating_since(from), pauses.len(), pauses.into_iter().max().unwrap_or_default())
}

#[test]
fn the_loss_of_one_cluster_costs_one_pause_in_sixty_four_heights() {
    let (span, pauses, longest) = lose_one(200);
    println!("200 heights in {span:?}, {pauses} pauses, the longest {longest:?}");
    // The lost cluster's turn comes within 4 heights, then once each 64 + 4 at most.
    assert!((3..=4).contains(&pauses), "{pauses} pauses, longest {longest:?}, {span:?} in all");
    assert!(longest < Duration::from_millis(260), "{longest:?}");
    // 200 heights at some 12 ms, and the pauses.
    assert!(span < Duration::from_millis(3_600), "{span:?}");
}

#[test]
fn two_clusters_down_halt_the_chain_and_a_takeover_resumes_it() {
    let mut net = Net::new(4, 3, Timing::default());
    net.start();
    assert!(net.run(Duration::from_secs(2), at_height(20)));
    for id in [ClusterId(1), ClusterId(3)] {
        net.clusters.get_mut(&id).unwrap().takeover_after = None;
        net.kill(id);
    }
    let height = net.max_height();
    net.run(Duration::from_secs(5), |_| false);
    assert!(net.max_height() <= height + 1, "one height may have been under way");
    let height = net.max_height();
    let from = net.now;
    net.promote(ClusterId(1));
    assert!(net.run(Duration::from_secs(20), at_height(height + 1)));
    let resumed = net.now.saturating_since(from);
    assert!(resumed < Duration::from_secs(12), "{resumed:?}");
    assert!(net.run(Duration::from_secs(20), at_height(height + 50)));
    net.assert_safe("two down");
}

#[test]
fn a_laggard_catches_up_by_applying_blocks() {
    let mut net = Net::new(4, 4, Timing::default());
    net.start();
    assert!(net.run(Duration::from_secs(2), at_height(10)));
    net.clusters.get_mut(&ClusterId(4)).unwrap().takeover_after = None;
    net.kill(ClusterId(4));
    assert!(net.run(Duration::from_secs(60), at_height(150)));
    net.promote(ClusterId(4));
    assert!(net.height(ClusterId(4)) < 20);
    let from = net.now;
    assert!(net.run(Duration::from_secs(5), |net| net.height(ClusterId(4)) >= 150));
    let span = net.now.saturating_since(from);
    assert!(span < Duration::from_millis(500), "{span:?}");
    assert!(net.run(Duration::from_secs(20), at_height(200)));
    net.assert_safe("laggard");
    let states: std::collections::BTreeMap<_, _> = net
        .ids()
        .iter()
        .map(|id| (net.master(*id).chain.status().height, net.master(*id).chain.status().state_hash))
        .collect();
    assert!(states.len() <= 2, "{states:?}");
}

#[test]
fn wrong_results_lead_to_one_accusation_of_the_right_cluster_by_each_other() {
    let mut net = Net::new(4, 5, Timing::default());
    net.start();
    assert!(net.run(Duration::from_secs(2), at_height(10)));
    let liar = ClusterId(3);
    net.chain(liar).inject_wrong_results(true);
    let height = net.max_height();
    assert!(net.run(Duration::from_secs(2), at_height(height + 10)));
    net.assert_safe("wrong results");
    assert!(!net.accusations.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    for (by, evidence) in &net.accusations {
        assert_ne!(*by, liar);
        let accused = &evidence[0];
        assert_eq!(accused.cluster, liar);
        assert!(evidence.len() > 3, "a quorum contradicts");
        assert!(evidence[1..].iter().all(|e| e.height == accused.height && e.hash != accused.hash));
        assert!(seen.insert((*by, accused.height)), "accused twice");
    }
    // Its ledger is wrong until it is built anew.
    net.submit_every = None;
    net.run(Duration::from_millis(500), |_| false);
    let good = net.master(ClusterId(1)).chain.status();
    assert_ne!(net.master(liar).chain.status().state_hash, good.state_hash);
    let blocks = net.master(liar).blocks.clone();
    let chain = net.chain(liar);
    chain.inject_wrong_results(false);
    chain.reset();
    for block in &blocks {
        chain.restore(block).unwrap();
    }
    assert_eq!(chain.status().state_hash, good.state_hash);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = Net::new(4, 6, Timing::default());
        net.start();
        net.run(Duration::from_millis(300), |_| false);
        (net.words.clone(), net.commits.clone(), net.max_height())
    };
    assert_eq!(run(), run());
}
