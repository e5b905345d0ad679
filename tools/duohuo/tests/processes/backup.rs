//! `duohuo store backup` and `restore`, `duohuo roster replace`: a node whose disk is lost comes back under a new number, with
//! the chain of a backup and nothing that the old one said.

use crate::network::{Network, duohuo, eventually, run, text};
use std::process::Output;

fn backup(network: &Network, id: u32, out: &str) -> Output {
    let config = network.node_file(id, "node.toml").display().to_string();
    run(&["store", "backup", "--config", &config, "--out", &network.file(out)])
}

fn restore(network: &Network, id: u32, from: &str) -> Output {
    let config = network.node_file(id, "node.toml").display().to_string();
    let client = network.file("net/client.toml");
    run(&["store", "restore", "--node", &config, "--from", &network.file(from), "--config", &client])
}

fn refused(output: &Output, why: &str) {
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains(why), "{told}");
}

fn lose_disk(network: &Network, id: u32) {
    for file in ["node.redb", "node.redb.witness"] {
        std::fs::remove_file(network.node_file(id, file)).expect("it was there");
    }
}

#[test]
fn a_node_that_lost_its_disk_comes_back_under_a_new_number_with_the_chain_of_a_backup() {
    let network = Network::new(3);
    let (authority, mut nodes) = network.start(&[101, 102, 103]);
    for _ in 0..3 {
        network.commit();
    }
    refused(&backup(&network, 103, "a3.backup"), "its node is running; expected it stopped");
    nodes.pop().expect("a3").stop();
    let made = backup(&network, 103, "a3.backup");
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    refused(&backup(&network, 103, "a3.backup"), "a backup is never written over");
    // the chain goes on: the backup is of the past
    network.commit();

    lose_disk(&network, 103);
    refused(&restore(&network, 103, "a3.backup"), "a3 (number 103) has spoken: decision ");
    assert!(!network.node_file(103, "node.redb").exists(), "nothing was made");

    let (dir, pid) = (network.file("net"), authority.child.id().to_string());
    let replaced = run(&["roster", "replace", "--dir", &dir, "--node", "a3", "--reload", &pid]);
    let told = text(&replaced.stdout);
    assert!(told.starts_with("node 104: a3, in the place of node 103, roster version 2\n"), "{told}");
    authority.await_log("version: 2");
    let made = restore(&network, 104, "a3.backup");
    let told = text(&made.stdout);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(told.contains("with the chain of node 103: 3 blocks, 1 to 3, from the genesis"), "{told}");
    refused(&restore(&network, 104, "a3.backup"), "there is a store already");
    nodes.push(network.node(104, &[]));
    eventually("a3 is in sync again", || (network.status_of(104)["state"] == "in sync").then_some(()));
    network.commit();

    // who was taken out is no part of the network for those who look
    let client = network.file("net/client.toml");
    let settled = run(&["wait", "settled", "--config", &client, "--timeout", "30"]);
    assert_eq!(settled.status.code(), Some(0), "{}", text(&settled.stderr));
    assert!(network.status().iter().all(|n| n["node"] != 103));
    let check = run(&["check", "--config", &client]);
    assert!(
        text(&check.stdout).starts_with("DUOHUO OK - 1 clusters led, 3 nodes in sync"),
        "{}",
        text(&check.stdout)
    );
    drop((authority, nodes));
}

#[test]
fn b_log_10_a_backup_that_proves_nothing_makes_no_store() {
    let network = Network::new(2);
    let (_authority, mut nodes) = network.start(&[101, 102]);
    network.commit();
    nodes.pop().expect("a2").stop();
    let made = backup(&network, 102, "a2.backup");
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    // another network, whose authority signed nothing of this
    let other = Network::new(2);
    let (_other_authority, _other_nodes) = other.start(&[101, 102]);
    let config = other.node_file(102, "node.toml").display().to_string();
    let (from, client) = (network.file("a2.backup"), other.file("net/client.toml"));
    let (dir, added) = (other.file("net"), other.address(3).to_string());
    let add = [
        "roster",
        "add",
        "--dir",
        &dir,
        "--cluster",
        "A",
        "--name",
        "a3",
        "--room",
        "3",
        "--address",
        &added,
    ];
    assert!(run(&add).status.success());
    let config = config.replace("node-102", "node-103");
    let foreign = run(&["store", "restore", "--node", &config, "--from", &from, "--config", &client]);
    refused(&foreign, "it belongs to node 102 of consortium");
    let store = network.node_file(102, "node.redb").display().to_string();
    let by_hand = run(&["store", "restore", "--node", &config, "--from", &store, "--config", &client]);
    refused(&by_hand, "a store is never copied by hand");
    assert!(!other.node_file(103, "node.redb").exists());
    // a backup is not started from, either
    std::fs::copy(&from, other.node_file(103, "node.redb")).expect("copied");
    let started = duohuo().args(["node", "--config", &config]).output().expect("it starts");
    assert_eq!(started.status.code(), Some(1));
    assert!(text(&started.stderr).contains("damaged"), "{}", text(&started.stderr));
}
