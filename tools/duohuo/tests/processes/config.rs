//! `duohuo config`, and what it says of files that are wrong: word for word, in `golden/`.
//! After a change on purpose: UPDATE_GOLDEN=1 cargo test -p duohuo --test processes config

use crate::network::{Network, run, text};
use std::path::Path;

fn golden(name: &str, told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/processes/golden/{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, told).expect("write");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "{}", path.display());
}

/// What `config check` says, without our directory and addresses.
fn check(network: &Network, file: &Path) -> (Option<i32>, String) {
    let output = run(&["config", "check", &file.display().to_string()]);
    let told = format!("{}{}", text(&output.stdout), text(&output.stderr));
    let told = told.replace(&format!("{}/", network.path("net").display()), "");
    let address = network.address(1).to_string();
    if !told.contains(&address) {
        return (output.status.code(), told);
    }
    let told = told.replace(&"^".repeat(address.len() + 2), "^^^^^^^^^");
    (output.status.code(), told.replace(&address, "ADDRESS"))
}

#[test]
fn a_configuration_that_cannot_be_used_is_told_with_line_and_caret_and_what_to_do() {
    for (name, from, to) in [
        ("out_of_range", "keepalive_interval_ms = 50", "keepalive_interval_ms = 0"),
        ("unknown_key", "keepalive_interval_ms = 50", "keepalive_intervall_ms = 50"),
        ("wrong_type", "keepalive_interval_ms = 50", "keepalive_interval_ms = \"50ms\""),
        ("syntax", "store = \"node.redb\"", "store = \"node.redb"),
        ("missing_key", "store = \"node.redb\"\n", ""),
        ("relation", "[drill]", "[chain]\npropose_timeout_ms = 200\nmax_timeout_ms = 100\n\n[drill]"),
        ("own_address", "[drill]", "[http]\nlisten = \"ADDRESS\"\n\n[drill]"),
        ("unknown_node", "node = 101", "node = 109"),
        ("unknown_word", "level = \"info\"", "level = \"loud\""),
    ] {
        let network = Network::new(2);
        let file = network.node_file(101, "node.toml");
        network.edit(&file, from, &to.replace("ADDRESS", &network.address(1).to_string()));
        let (status, told) = check(&network, &file);
        assert_eq!(status, Some(4), "{name}: {told}");
        golden(name, &told);
    }
}

#[test]
fn a_good_configuration_is_accepted_and_what_may_not_be_meant_is_warned_of() {
    let network = Network::new(2);
    let file = network.node_file(101, "node.toml");
    let good = "node-101/node.toml: good: node 101 (a1 of cluster A, room 1), roster version 1, keepalives every 50 ms\n";
    assert_eq!(check(&network, &file), (Some(0), good.to_owned()));
    network.edit(
        &file,
        "[drill]",
        "[http]\nlisten = \"0.0.0.0:4752\"\n\n[chain]\npropose_timeout_ms = 60\n\n[drill]",
    );
    let (status, told) = check(&network, &file);
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(told.matches("\nwarning: ").count(), 2, "{told}");
    let authority = network.path("net/authority/authority.toml");
    assert_eq!(check(&network, &authority).0, Some(0));
    assert_eq!(check(&network, &network.path("net/client.toml")).0, Some(0));
    assert_eq!(check(&network, &network.path("net/genesis.toml")).0, Some(4));
}

#[test]
fn an_example_is_complete_and_what_it_amounts_to_can_be_shown_and_compared() {
    let network = Network::new(2);
    let made = network.node_file(101, "example.toml");
    let arguments = ["config", "init", "node", "--node", "101", "--operator-public-key"];
    let (operator, out) = (network.file("net/operator.pub"), made.display().to_string());
    let output = run(&[arguments.as_slice(), &[&operator, "--out", &out]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    // the files of a network that keygen made stand one directory higher
    network.edit(&made, "roster = \"roster.toml\"", "roster = \"../roster.toml\"");
    network.edit(&made, "genesis = \"genesis.toml\"", "genesis = \"../genesis.toml\"");
    let (status, told) = check(&network, &made);
    assert_eq!(status, Some(0), "{told}");
    let shown = text(&run(&["config", "show", "--effective", &out]).stdout);
    for line in [
        "timers.keepalive_interval_ms = 100   # default; the same for the whole network\n",
        "log.level = \"info\"   # default; SIGHUP is enough\n",
        "http.listen = -   # off; SIGHUP is enough\n",
        "# dead_interval = 500 ms\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let kept = network.node_file(101, "node.toml").display().to_string();
    let output = run(&["config", "diff", &kept, &out]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stdout);
    assert_eq!(told, "timers.keepalive_interval_ms: 50 -> 100   must be the same for the whole network\n");
    assert_eq!(run(&["config", "diff", &out, &out]).status.code(), Some(0));
    let again = run(&[arguments.as_slice(), &[&operator, "--out", &out]].concat());
    assert_eq!(again.status.code(), Some(1), "never over a file that is there");
}

/// The drop-in of the package: read as systemd reads it, where a comment behind a value is part of it.
#[test]
fn the_drop_in_for_hooks_keeps_the_keeper_alive_and_waits_longer_than_the_margin() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../package/systemd/hooks.conf");
    let file = std::fs::read_to_string(&path).expect("the drop-in");
    let lines: Vec<&str> = file.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    assert_eq!(lines, ["[Service]", "KillMode=process", "TimeoutStopSec=15"]);
    let margin = duohuo_driver::config_keys::KEYS.iter().find(|k| k.name == "hooks.margin_ms");
    assert_eq!(margin.and_then(|k| k.default), Some("3000"), "below TimeoutStopSec");
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/hooks.md");
    let spec = std::fs::read_to_string(spec).expect("the page");
    assert!(spec.contains(&format!("```\n{}\n```", lines.join("\n"))), "as the page has it");
}
