//! A network made by hand from `keygen`, and changed while it runs.

use crate::network::{Network, eventually, run, text};
use rustix::process::Signal;
use std::fmt::Write as _;

/// The line `name = "value"` of a command's output.
fn value<'a>(output: &'a str, name: &str) -> &'a str {
    let line = output.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
    line.map(|v| v.trim_matches('"')).unwrap_or_else(|| panic!("no {name} in {output}"))
}

fn keygen(arguments: &[&str]) -> String {
    let output = run(&[&["keygen"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn a_network_made_by_hand_commits_grows_reloads_and_stops_in_order() {
    let network = Network::new(2);
    let (authority, mut nodes) = network.start(&[101, 102]);
    commits_once_per_id(&network);

    // a third node and a client, enrolled by a new version of the roster
    let roster = network.path("net/roster.toml");
    let mut entry = std::fs::read_to_string(&roster).expect("roster");
    let node = keygen(&["node", "--dir", &network.file("net/node-103")]);
    let client = keygen(&["client", "--key", &network.file("net/auditor.key")]);
    let _ = write!(
        entry,
        "\n[[client]]\nid = 9010\nname = \"auditor\"\nsession_key = \"{}\"\n",
        value(&client, "session_key")
    );
    let node = format!(
        "[[cluster.node]]\nid = 103\nname = \"a3\"\nroom = 3\npriority = 50\naddress = \"{}\"\nsession_key = \"{}\"\nsigning_key = \"{}\"\n\n[[client]]",
        network.address(3),
        value(&node, "session_key"),
        value(&node, "signing_key")
    );
    let entry = entry.replacen("[[client]]", &node, 1).replacen("version = 1", "version = 2", 1);
    std::fs::write(&roster, entry).expect("roster");
    for name in ["group.key", "node.toml"] {
        std::fs::copy(network.node_file(101, name), network.node_file(103, name)).expect("copy");
    }
    network.edit(&network.node_file(103, "node.toml"), "node = 101", "node = 103");

    // not yet signed: refused by name, and nothing changes
    authority.signal(Signal::HUP);
    authority.await_log("it is not the operator's over this content");
    authority.await_log("the roster in force stays");
    let signed = keygen(&[
        "sign",
        "--roster",
        &network.file("net/roster.toml"),
        "--operator-key",
        &network.file("net/operator.key"),
    ]);
    assert_eq!(signed, "signed version 2\n");
    authority.signal(Signal::HUP);
    nodes.push(network.node(103, &["--init"]));
    eventually("the third node is in sync", || (network.status_of(103)["state"] == "in sync").then_some(()));
    network.commit();
    let as_auditor = run(&[
        "status",
        "--roster",
        &network.file("net/roster.toml"),
        "--key",
        &network.file("net/auditor.key"),
    ]);
    assert_eq!(as_auditor.status.code(), Some(0), "{}", text(&as_auditor.stdout));
    assert!(text(&as_auditor.stdout).contains("authority"), "{}", text(&as_auditor.stdout));

    // the same version again is no newer roster
    authority.signal(Signal::HUP);
    authority.await_log("2 is not newer than the roster in force; expected a version above 2; raise `version` and sign the roster again");
    network.commit();

    for node in nodes {
        let log = node.log.clone();
        node.stop();
        let log = std::fs::read_to_string(log).expect("log");
        assert!(log.contains("told to stop") && log.trim_end().ends_with("stopped"), "{log}");
    }
    authority.stop();
}

fn commits_once_per_id(network: &Network) {
    let id = "00112233445566778899aabbccddeeff";
    let first = network.submit(5, &["--id", id, "--timeout", "30"]);
    assert_eq!(first.status.code(), Some(0), "{}", text(&first.stderr));
    let first = text(&first.stdout);
    assert!(first.starts_with(&format!("transfer {id}\ncommitted at height ")), "{first}");
    let again = network.submit(5, &["--id", id, "--timeout", "30"]);
    assert_eq!(text(&again.stdout), first, "the same transfer at the same height");
    let other = network.submit(6, &["--id", id, "--timeout", "30"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("another transfer of this id was committed"),
        "{}",
        text(&other.stderr)
    );
    let too_much = network.submit(4_000_000_000, &["--timeout", "30"]);
    assert_eq!(too_much.status.code(), Some(1));
    assert!(text(&too_much.stdout).contains("without effect: account 1 does not hold 4000000000"));
}

#[test]
fn keys_are_never_overwritten_and_a_bad_roster_is_not_signed() {
    let network = Network::new(2);
    let again = run(&["keygen", "network", "--dir", &network.file("net")]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("operator.key: file: File exists"), "{}", text(&again.stderr));
    let again = run(&["keygen", "client", "--key", &network.file("net/client.key")]);
    assert_eq!(again.status.code(), Some(1));

    network.edit(&network.path("net/roster.toml"), "id = 102", "id = 101");
    let arguments =
        ["--roster", &network.file("net/roster.toml"), "--operator-key", &network.file("net/operator.key")];
    let signed = run(&[&["keygen", "sign"], arguments.as_slice()].concat());
    assert_eq!(signed.status.code(), Some(4), "{}", text(&signed.stdout));
    assert!(text(&signed.stderr).contains("roster.toml: content: "), "{}", text(&signed.stderr));
}
