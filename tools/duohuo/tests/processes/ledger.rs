//! `duohuo ledger`: what accounts hold, blocks with their proof, and whether a store is proven, from the genesis and from a
//! snapshot.

use crate::client::{client, transfer};
use crate::network::{Network, PATIENCE, eventually, run, text};
use std::process::Output;

fn ledger(network: &Network, arguments: &[&str]) -> Output {
    let config = network.file("net/client.toml");
    run(&[&["ledger"], arguments, &["--config", &config]].concat())
}

fn verify(network: &Network, id: u32) -> Output {
    let node = network.node_file(id, "node.toml").display().to_string();
    ledger(network, &["verify", "--node", &node])
}

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn transfers(network: &Network, count: u8) {
    let mut client = client(network);
    for id in 1..=count {
        client.commit(transfer(id, 5), PATIENCE).expect("committed");
    }
}

#[test]
fn accounts_and_blocks_are_shown_and_a_store_is_proven_from_the_genesis() {
    let network = Network::new(2);
    let (_authority, mut nodes) = network.start(&[101, 102]);
    transfers(&network, 3);
    eventually("the state after the third block", || {
        let told = said(&ledger(&network, &["account", "2"]));
        told.starts_with("account 2: 1000000015, after height 3, as 1 masters say").then_some(())
    });
    let block: serde_json::Value =
        serde_json::from_str(&said(&ledger(&network, &["block", "2"]))).expect("JSON");
    assert_eq!((&block["height"], &block["transfers"][0]["amount"]), (&2.into(), &5.into()));
    assert_eq!(block["signed_by"][0]["cluster"], 1);
    let lines = said(&ledger(&network, &["export", "--from", "2", "--to", "3"]));
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().all(|line| line.starts_with("{\"height\": ")), "{lines}");
    assert_eq!(ledger(&network, &["block", "99"]).status.code(), Some(1), "not committed yet");

    let running = verify(&network, 102);
    assert_eq!(running.status.code(), Some(1), "{}", text(&running.stdout));
    eventually("it has all three", || (network.status_of(102)["height"] == 3).then_some(()));
    nodes.pop().expect("a2").stop();
    let told = said(&verify(&network, 102));
    assert!(told.starts_with("proven: 3 blocks, 1 to 3, from the genesis, against "), "{told}");
    // Another beginning: what follows from it is not what was signed.
    network.edit(&network.path("net/genesis.toml"), "balance = 1000000000", "balance = 1000000001");
    let wrong = verify(&network, 102);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("block 1: WrongParent"), "{}", text(&wrong.stderr));
}

#[test]
fn a_store_whose_old_blocks_are_pruned_is_proven_from_a_snapshot() {
    let network = Network::new(2);
    for id in [101, 102] {
        let chain = "[chain]\nsnapshot_interval = 10\nkeep_blocks = 5\n[timers]";
        network.edit(&network.node_file(id, "node.toml"), "[timers]", chain);
    }
    let (_authority, mut nodes) = network.start(&[101, 102]);
    transfers(&network, 45);
    eventually("it has all", || (network.status_of(102)["height"] == 45).then_some(()));
    let pruned = ledger(&network, &["block", "1"]);
    assert_eq!(pruned.status.code(), Some(1));
    assert!(text(&pruned.stdout).contains("pruned"), "{}", text(&pruned.stdout));
    nodes.pop().expect("a2").stop();
    let told = said(&verify(&network, 102));
    let from = [("36 to 45", 30), ("31 to 45", 30), ("41 to 45", 40)];
    let is_it = |(blocks, height): &(&str, u32)| {
        told.contains(&format!(
            "{blocks}, from the snapshot of height {height}, which a quorum of clusters signed, against "
        ))
    };
    assert!(told.starts_with("proven: ") && from.iter().any(is_it), "{told}");
}
