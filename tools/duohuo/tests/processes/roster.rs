//! `duohuo roster`: a network that grows, loses a node and changes a key while it runs; and the package's pages.

use crate::network::{Network, eventually, run, text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn roster(arguments: &[&str]) -> String {
    let output = run(&[&["roster"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// `roster init` and `keygen network` are one.
#[test]
fn a_network_begins_with_roster_init_as_with_keygen_network() {
    let network = Network::new(2);
    let (layout, dir) = (network.file("layout.toml"), network.file("begun"));
    let told = roster(&["init", "--dir", &dir, "--layout", &layout, "--keepalive-interval-ms", "50"]);
    assert!(told.starts_with(&format!("made {dir}: ")) && told.contains("first start:\n"), "{told}");
    let files = |root: &Path| {
        let mut found: Vec<PathBuf> = Vec::new();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                found.push(path.strip_prefix(root).expect("below").to_owned());
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    };
    assert_eq!(files(&network.path("begun")), files(&network.path("net")));
    let operator = network.file("begun/operator.pub");
    let shown = roster(&["show", &network.file("begun/roster.toml"), "--operator-public-key", &operator]);
    assert!(
        shown.starts_with("version 1, consortium ") && shown.contains(", signed by the operator\n"),
        "{shown}"
    );
    let again = run(&["roster", "init", "--dir", &dir]);
    assert_eq!(again.status.code(), Some(1), "what is there is not written over: {}", text(&again.stdout));
}

#[test]
fn sys_6_a_node_is_enrolled_and_started_with_two_commands_another_is_taken_out_and_a_third_gets_a_new_key() {
    let network = Network::new(2);
    let (authority, mut nodes) = network.start(&[101, 102]);
    let (dir, pid) = (network.file("net"), authority.child.id().to_string());
    let address = network.address(3).to_string();

    // two commands
    let told = roster(&[
        "add",
        "--dir",
        &dir,
        "--reload",
        &pid,
        "--cluster",
        "A",
        "--name",
        "a3",
        "--room",
        "3",
        "--address",
        &address,
    ]);
    assert!(told.starts_with("node 103: a3 of cluster A, roster version 2\n"), "{told}");
    nodes.push(network.node(103, &["--init"]));
    eventually("a3 is in sync", || (network.status_of(103)["state"] == "in sync").then_some(()));
    network.commit();

    // a2 goes for good
    nodes.remove(1).stop();
    let told = roster(&["remove", "--dir", &dir, "--reload", &pid, "--node", "a2"]);
    assert!(told.starts_with("a2 is out, roster version 3; "), "{told}");
    authority.await_log("version: 3");
    network.commit();
    let show = [
        "show",
        &network.file("net/roster.toml"),
        "--operator-public-key",
        &network.file("net/operator.pub"),
    ];
    let told = roster(&show);
    assert!(
        told.starts_with("version 3, consortium ") && told.contains(", signed by the operator\n"),
        "{told}"
    );
    assert!(told.lines().any(|l| l.trim_start().starts_with("a2 ") && l.contains("never leads")), "{told}");
    // its old key opens nothing any more
    let old = network.node(102, &[]);
    let refused = eventually("a2 ends", || {
        let log = old.log();
        log.contains("the session key that the roster has for this process").then_some(log)
    });
    assert!(refused.contains("session.key"), "{refused}");

    // a3 gets a new session key: a restart of it alone
    roster(&["rotate", "--dir", &dir, "--reload", &pid, "--node", "a3"]);
    authority.await_log("version: 4");
    nodes.pop().expect("a3").stop();
    nodes.push(network.node(103, &[]));
    eventually("a3 is in sync again", || (network.status_of(103)["state"] == "in sync").then_some(()));
    network.commit();

    // a node that comes later verifies all that the removed one signed
    let address = network.address(4).to_string();
    roster(&[
        "add",
        "--dir",
        &dir,
        "--reload",
        &pid,
        "--cluster",
        "A",
        "--name",
        "a4",
        "--room",
        "4",
        "--address",
        &address,
    ]);
    nodes.push(network.node(104, &["--init"]));
    eventually("a4 is in sync", || (network.status_of(104)["state"] == "in sync").then_some(()));
    for node in nodes {
        node.stop();
    }
    authority.stop();
}

#[test]
fn what_cannot_be_changed_is_refused_by_name() {
    let network = Network::new(2);
    let dir = network.file("net");
    let refused = |arguments: &[&str]| {
        let output = run(&[&["roster"], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        text(&output.stderr)
    };
    assert!(refused(&["remove", "--dir", &dir, "--node", "b1"]).contains("no node b1 in the roster"));
    let add = ["add", "--dir", &dir, "--room", "3", "--address", "127.0.0.1:9", "--cluster"];
    assert!(
        refused(&[add.as_slice(), &["B", "--name", "x"]].concat()).contains("no cluster B in the roster")
    );
    assert!(refused(&[add.as_slice(), &["A", "--name", "a1"]].concat()).contains("there is a node a1"));
    roster(&["remove", "--dir", &dir, "--node", "a1"]);
    assert!(
        refused(&["remove", "--dir", &dir, "--node", "a2"])
            .contains("a2 is the last node of its cluster that may lead")
    );
    let mut files = std::fs::read_dir(network.path("net")).expect("a directory");
    assert!(!files.any(|f| f.expect("an entry").file_name() == "node-103"), "nothing was made");
}

#[test]
fn what_one_machine_needs_is_packed_and_a_store_is_made_once() {
    let network = Network::new(2);
    let out = network.path("a1");
    roster(&["pack", "--dir", &network.file("net"), "--node", "a1", "--out", &network.file("a1")]);
    let config = out.join("node.toml");
    network.edit(&config, "/var/lib/duohuo/node.redb", "node.redb");
    let config = config.display().to_string();
    let checked = run(&["config", "check", &config]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked.stderr));
    let made = run(&["store", "init", "--config", &config]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    assert!(out.join("node.redb").exists());
    let again = run(&["store", "init", "--config", &config]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("there is a store already"), "{}", text(&again.stderr));
    roster(&["pack", "--dir", &network.file("net"), "--node", "authority", "--out", &network.file("z")]);
    assert!(network.path("z/authority.toml").exists() && network.path("z/sealing.key").exists());
    roster(&["pack", "--dir", &network.file("net"), "--all", "--out", &network.file("all")]);
    for file in ["authority/authority.toml", "a1/node.toml", "a2/group.key"] {
        assert!(network.path("all").join(file).exists(), "{file}");
    }
    let both = ["roster", "pack", "--dir", "x", "--all", "--node", "a1", "--out", "y"];
    assert_eq!(run(&both).status.code(), Some(2));
}

fn files(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for part in ["man", "completions"] {
        for entry in std::fs::read_dir(dir.join(part)).expect("a directory") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("below").to_owned();
            all.insert(name, std::fs::read_to_string(&path).expect("read"));
        }
    }
    all
}

/// After a change of a command: cargo run --release -- docs --dir tools/package
#[test]
fn the_man_pages_and_completions_that_are_checked_in_are_those_of_the_command() {
    let fresh = tempfile::tempdir().expect("directory");
    let made = run(&["docs", "--dir", &fresh.path().display().to_string()]);
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let kept = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../package"));
    let fresh = files(fresh.path());
    assert_eq!(fresh.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    for (name, page) in &fresh {
        assert!(
            kept.get(name) == Some(page),
            "{} is not current: cargo run --release -- docs --dir tools/package",
            name.display()
        );
    }
}
