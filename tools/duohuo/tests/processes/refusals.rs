//! What a node refuses to start with: each time what is wrong, where, what was expected, and what to do.

use crate::network::{Network, Process, eventually};
use rustix::process::Signal;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_port_in_use() {
    let network = Network::new(2);
    let at = network.address(1);
    let other = TcpListener::bind(at).expect("free");
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(1));
    let rest = "the port is in use; expected it free for this process: stop the other process (ss -lnp shows it) or give this \
                node another address in the roster";
    assert_eq!(told, format!("TCP {at}: {rest}"));
    drop(other);
    let _other = UdpSocket::bind(at).expect("free");
    let (status, told) = network.refusal(101, &[]);
    assert_eq!((status, told), (Some(1), format!("UDP {at}: {rest}")));
}

#[test]
fn key_files() {
    let network = Network::new(2);
    let key = network.node_file(101, "session.key");
    mode(&key, 0o644);
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(4));
    assert!(
        told.starts_with(
            "node-101/session.key: permissions: 0644 lets others read the secret; expected 0600; chmod 600 "
        ),
        "{told}"
    );
    mode(&key, 0o600);
    let good = std::fs::read(&key).expect("read");

    std::fs::write(&key, b"\x00\xff this is no key").expect("write");
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(4));
    assert!(told.starts_with("node-101/session.key: ") && told.contains("expected"), "{told}");
    std::fs::write(&key, b"beef\n").expect("write");
    let (_, told) = network.refusal(101, &["--init"]);
    assert!(
        told.starts_with("node-101/session.key: content: 4 characters that are not one key; expected 64 hex digits; bring it again"),
        "{told}"
    );

    std::fs::copy(network.node_file(102, "session.key"), &key).expect("copy");
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(4));
    assert!(told.starts_with("node-101/session.key: file: its public key is "), "{told}");
    assert!(
        told.contains(
            "the session key that the roster has for this process; use the key file that belongs to this node"
        ),
        "{told}"
    );

    std::fs::remove_file(&key).expect("remove");
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(4));
    assert!(told.starts_with("node-101/session.key: file: No such file"), "{told}");
    std::fs::write(&key, good).expect("write");
    assert!(!network.node_file(101, "node.redb").exists(), "nothing was made");
}

#[test]
fn a_roster_with_a_changed_byte() {
    let network = Network::new(2);
    network.edit(&network.path("net/roster.toml"), "priority = 200", "priority = 201");
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(4));
    assert!(told.starts_with("roster.toml: `signature`: it is not the operator's over this content; expected the signature of the key "), "{told}");
    assert!(told.contains("take the roster that the operator signed, unchanged"), "{told}");
}

#[test]
fn an_unknown_configuration_key() {
    let network = Network::new(2);
    network.edit(&network.node_file(101, "node.toml"), "keepalive_interval_ms", "keepalive_ms");
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(4));
    assert!(told.starts_with("node-101/node.toml: `timers.keepalive_ms`: unknown field `keepalive_ms`, expected `keepalive_interval_ms` (line "), "{told}");
    assert!(told.contains("duohuo keygen network writes a complete example"), "{told}");
}

/// It has started for the second time with this log.
fn await_second_start(node: &Process) {
    eventually("the second start", || (node.log().matches("node started").count() == 2).then_some(()));
}

/// A node that was started once and stopped.
fn started_once() -> Network {
    let network = Network::new(2);
    let node = network.node(101, &["--init"]);
    node.await_log("node started");
    node.stop();
    network
}

#[test]
fn a_store_that_is_missing_there_already_or_in_use() {
    let network = Network::new(2);
    let (status, told) = network.refusal(101, &[]);
    assert_eq!(status, Some(1));
    assert!(
        told.starts_with("store node-101/node.redb: the file is missing; expected the store of this node. Before its very first start: duohuo store init, or start it with --init. Do not start it empty under its old name"),
        "{told}"
    );
    let node = network.node(101, &["--init"]);
    node.await_log("node started");
    let (status, told) = network.refusal(101, &[]);
    assert_eq!(status, Some(1));
    assert!(told.starts_with("store node-101/node.redb: in use by another process; expected one process per store: stop the other one first"), "{told}");
    node.signal(Signal::KILL);
    drop(node);
    let (status, told) = network.refusal(101, &["--init"]);
    assert_eq!(status, Some(1));
    assert!(told.starts_with("store node-101/node.redb: there is a store already; --init is for the very first start only: start without it"), "{told}");
    // killed, but whole
    let node = network.node(101, &[]);
    await_second_start(&node);
    node.stop();
}

#[test]
fn a_damaged_store_is_named_and_left_untouched() {
    let network = started_once();
    let store = network.node_file(101, "node.redb");
    let whole = std::fs::read(&store).expect("read");
    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2 + 77);
    let mut flipped = whole.clone();
    // every page of the file, in its middle
    for byte in flipped.iter_mut().skip(4096 + 700).step_by(4096) {
        *byte ^= 0xff;
    }
    let mut overwritten = whole.clone();
    overwritten.iter_mut().take(64).for_each(|byte| *byte = 0x5a);
    for (what, bytes) in [("torn", torn), ("flipped", flipped), ("overwritten", overwritten)] {
        std::fs::write(&store, &bytes).expect("write");
        let (status, told) = network.refusal(101, &[]);
        assert_eq!(status, Some(1), "{what}: {told}");
        assert!(told.starts_with("store node-101/node.redb: damaged: "), "{what}: {told}");
        assert!(
            told.contains(
                "Do not start it empty under its old name: a node that lost its log must not vote."
            ),
            "{what}: {told}"
        );
        assert!(told.contains("give its machine a new number (duohuo roster replace)"), "{what}: {told}");
        assert_eq!(told.lines().count(), 1, "{what}: {told}");
        assert!(std::fs::read(&store).expect("read") == bytes, "{what}: the file was changed");
    }
    std::fs::write(&store, &whole).expect("write");
    let node = network.node(101, &[]);
    await_second_start(&node);
    node.stop();
}

#[test]
fn a_store_of_another_node_is_left_untouched() {
    let network = started_once();
    let (theirs, ours) = (network.node_file(101, "node.redb"), network.node_file(102, "node.redb"));
    for name in ["node.redb", "node.redb.witness"] {
        std::fs::copy(network.node_file(101, name), network.node_file(102, name)).expect("copy");
    }
    let (status, told) = network.refusal(102, &[]);
    assert_eq!(status, Some(1));
    assert!(told.starts_with("store node-102/node.redb: it belongs to node 101 of consortium "), "{told}");
    assert!(told.contains("a store must never be copied or lent to another node"), "{told}");
    assert!(
        std::fs::read(theirs).expect("read") == std::fs::read(ours).expect("read"),
        "the file was changed"
    );
}
