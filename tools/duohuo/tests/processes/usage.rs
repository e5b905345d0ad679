//! Exit statuses and help.

use crate::network::{Network, duohuo, run, text};

#[test]
fn every_command_says_in_one_sentence_what_it_does_and_how_it_ends() {
    let commands: &[&[&str]] = &[
        &[],
        &["authority"],
        &["node"],
        &["demo"],
        &["status"],
        &["submit"],
        &["decode"],
        &["history"],
        &["drill"],
        &["control"],
        &["switchover"],
        &["failover"],
        &["unbar"],
        &["pause"],
        &["resume"],
        &["keygen"],
        &["keygen", "network"],
        &["keygen", "node"],
        &["keygen", "sign"],
        &["layout"],
        &["layout", "check"],
        &["layout", "plan"],
        &["neighbours"],
        &["watch"],
        &["wait"],
        &["check"],
        &["config"],
        &["config", "check"],
        &["roster"],
        &["roster", "init"],
        &["roster", "add"],
        &["store"],
        &["store", "init"],
    ];
    for command in commands {
        let output = duohuo().args(*command).arg("--help").output().expect("it starts");
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(help.contains("Exit status: 0 "), "{command:?}: {help}");
        let first = help.lines().next().unwrap_or_default();
        assert!(first.len() > 20 && !first.contains("Usage"), "{command:?}: {help}");
    }
    let top = text(&run(&["--help"]).stdout);
    for command in [
        "authority",
        "node",
        "demo",
        "status",
        "submit",
        "keygen",
        "layout",
        "neighbours",
        "watch",
        "wait",
        "check",
        "config",
        "roster",
        "store",
        "decode",
    ] {
        let line = top.lines().find(|l| l.trim_start().starts_with(command)).unwrap_or_default();
        assert!(line.len() > 30, "{command} is not explained: {top}");
    }
}

#[test]
fn wrong_usage_is_status_two() {
    for arguments in [
        &["frobnicate"] as &[&str],
        &["node"],
        &["status"],
        &["demo", "--scenario", "peace"],
        &["demo", "--keepalive-interval-ms", "0"],
        &["submit", "--config", "x", "--from", "1", "--to", "2", "--amount", "3", "--id", "xyz"],
        &["keygen", "network", "--dir", "/nonexistent/x", "--nodes", "1"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn nobody_there_is_status_three() {
    let network = Network::new(2);
    let status = network.status_output();
    assert_eq!(status.status.code(), Some(3));
    assert_eq!(network.status().len(), 3, "everybody is listed all the same");
    let submit = network.submit(1, &["--timeout", "1"]);
    assert_eq!(submit.status.code(), Some(3), "{}", text(&submit.stderr));
    assert!(text(&submit.stderr).contains("submit again with --id "), "{}", text(&submit.stderr));
}

#[test]
fn a_missing_configuration_is_status_four_and_named() {
    for arguments in [
        &["status", "--config", "/nonexistent/client.toml"] as &[&str],
        &["node", "--config", "/nonexistent/client.toml"],
        &["authority", "--config", "/nonexistent/client.toml"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(4), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.contains("/nonexistent/client.toml: file: No such file or directory"), "{told}");
        assert!(told.contains("expected a readable TOML file; check the path"), "{told}");
    }
}
