//! The demonstration, short.

use crate::network::{duohuo, eventually, run, text};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::Stdio;

/// The keys of an object, in their order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|o| o.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Every line is an object, and the last one is the summary as the interface promises it.
fn summary(output: &str) -> Value {
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    assert!(lines.iter().all(|l| l["event"].is_string()), "{output}");
    let last = lines.last().cloned().expect("a line");
    assert_eq!(
        keys(&last),
        ["event", "ok", "steps", "transactions", "ledger", "conflicting_votes"],
        "{last}"
    );
    assert_eq!(last["event"], "summary");
    assert_eq!(keys(&last["transactions"]), ["submitted", "committed", "lost", "duplicated"]);
    assert_eq!(keys(&last["ledger"]), ["height", "agree"]);
    for step in last["steps"].as_array().expect("steps") {
        assert_eq!(
            keys(step),
            ["name", "requirement", "ok", "detect_ms", "grant_ms", "vote_ms", "commit_ms", "gap_ms"]
        );
    }
    last
}

#[test]
fn the_demonstration_of_a_dead_master_ends_well() {
    let output = run(&["demo", "--scenario", "master-fails", "--json"]);
    let out = text(&output.stdout);
    let summary = summary(&out);
    assert_eq!(output.status.code(), Some(0), "{summary}\n{}", text(&output.stderr));
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["steps"][0]["name"], "master-fails");
    assert_eq!(summary["steps"][0]["requirement"], "REC-1");
    assert_eq!(summary["transactions"]["lost"], 0);
    assert_eq!(summary["transactions"]["duplicated"], 0);
    assert_eq!(summary["conflicting_votes"], 0);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_network_that_is_kept_can_be_looked_at_with_the_commands_that_are_printed() {
    let directory = tempfile::tempdir().expect("directory");
    let [out, err] = ["out", "err"].map(|name| directory.path().join(name));
    let file = |path| std::fs::File::create(path).expect("file");
    let mut demo = duohuo()
        .args(["demo", "--scenario", "authority-fails", "--json", "--keep"])
        .env("TMPDIR", directory.path())
        .stdout(Stdio::from(file(&out)))
        .stderr(Stdio::from(file(&err)))
        .spawn()
        .expect("it starts");
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let told = eventually("the commands to look at it", || {
        let told = read(&err);
        told.contains(" --amount 5").then_some(told)
    });
    assert!(told.starts_with("the network runs until Ctrl-C; look at it with\n"), "{told}");
    for line in told.lines().skip(1) {
        let output = std::process::Command::new("sh").args(["-c", line]).output().expect("a shell");
        assert_eq!(output.status.code(), Some(0), "{line}\n{}{}", text(&output.stdout), text(&output.stderr));
    }
    let pid = i32::try_from(demo.id()).ok().and_then(Pid::from_raw).expect("a pid");
    kill_process(pid, Signal::INT).expect("it runs");
    let status = eventually("the demo ends", || demo.try_wait().expect("wait"));
    assert_eq!(status.code(), Some(0), "{}", read(&err));
    assert_eq!(summary(&read(&out))["ok"], true);
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).expect("list").flatten().map(|e| e.file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left behind but what we made: {left:?}");
}
