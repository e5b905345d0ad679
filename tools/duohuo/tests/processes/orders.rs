//! An operator's orders by the command, over real processes.

use crate::network::{Network, duohuo, eventually, run, text};
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};

fn order(network: &Network, command: &[&str], more: &[&str]) -> Output {
    let (config, key) = (network.file("net/client.toml"), network.file("net/operator.key"));
    let common = ["--config", &config, "--operator-key", &key, "--why", "a drill", "--who", "Ada"];
    run(&[command, &common, more].concat())
}

fn done(network: &Network, command: &[&str]) -> String {
    let output = order(network, command, &[]);
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

fn history(network: &Network) -> Vec<Value> {
    let output = run(&["history", "--config", &network.file("net/client.toml"), "-o", "json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    value["entries"].as_array().cloned().expect("entries")
}

#[test]
fn orders_are_carried_out_once_and_stand_in_the_history() {
    let network = Network::new(3);
    let (authority, nodes) = network.start(&[101, 102, 103]);
    network.commit();
    let dry = order(&network, &["switchover", "A"], &["--dry-run"]);
    assert!(text(&dry.stdout).contains("could take over: a2, a3"), "{}", text(&dry.stdout));
    assert_eq!(network.status_of(101)["role"], "MASTER");
    done(&network, &["switchover", "A", "--to", "a3"]);
    eventually("a3 is master", || (network.status_of(103)["role"] == "MASTER").then_some(()));
    network.commit();
    let switch = eventually("the history tells how long it took", || {
        history(&network).into_iter().find(|e| e["what"] == "order_switch" && e["outage_us"].is_u64())
    });
    let (master, authority_saw) = (&switch["phases"]["master"], &switch["phases"]["authority"]);
    let measured = |span: &Value| span.as_u64().is_some_and(|us| us < 60_000_000);
    for span in
        ["heard_before_us", "promised_after_us", "ready_after_us", "spoke_after_us", "committed_after_us"]
    {
        assert!(measured(&master[span]), "{span} {switch}");
    }
    for span in ["heard_before_us", "asked_before_us", "durable_after_us"] {
        assert!(measured(&authority_saw[span]), "{span} {switch}");
    }
    assert!(master["suspected_before_us"].is_null() && master["claimed_before_us"].is_null(), "{switch}");
    let again = order(&network, &["switchover", "A", "--to", "a3"], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("IsMaster"), "{}", text(&again.stderr));
    let drill = |expected: i32| {
        let output = run(&["drill", "A", "--config", &network.file("net/client.toml"), "-o", "json"]);
        assert_eq!(output.status.code(), Some(expected), "{}", text(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let before = network.status_of(103)["epoch"].clone();
    let rehearsed = drill(0);
    assert_eq!((&rehearsed["master"], &rehearsed["would_grant"]), (&Value::from(103), &Value::from(101)));
    let standbys = rehearsed["standbys"].as_array().cloned().unwrap_or_default();
    assert_eq!(
        standbys.iter().map(|s| &s["node"]).collect::<Vec<_>>(),
        [&Value::from(101), &Value::from(102)]
    );
    for standby in &standbys {
        assert_eq!(
            (&standby["whole"], &standby["outcome"]),
            (&Value::from(true), &Value::from("Done")),
            "{standby}"
        );
        for phase in
            ["suspected", "claimed", "noted", "started", "promised", "acknowledged", "from_last_heard"]
        {
            let span = standby["phases"][format!("{phase}_ms")].as_f64();
            assert!(span.is_some_and(|ms| ms > 0.0 && ms < 60_000.0), "{phase} {standby}");
        }
    }
    assert_eq!(network.status_of(103)["epoch"], before, "a drill changes nothing");
    assert!(
        !history(&network).iter().any(|e| e["epoch"].as_u64() > before.as_u64()),
        "nor is anything decided"
    );
    network.commit();
    done(&network, &["pause", "--wait"]);
    let rehearsed = drill(1);
    assert!(rehearsed["against"][0].as_str().is_some_and(|why| why.contains("paused")), "{rehearsed}");
    let shown = run(&["status", "--config", &network.file("net/client.toml")]);
    assert!(
        text(&shown.stdout).contains("automatic switches are paused: everywhere"),
        "{}",
        text(&shown.stdout)
    );
    let judged = run(&["check", "--config", &network.file("net/client.toml")]);
    assert_eq!(judged.status.code(), Some(1));
    assert!(
        text(&judged.stdout).contains("automatic switches are paused: everywhere"),
        "{}",
        text(&judged.stdout)
    );
    let twice = order(&network, &["pause"], &[]);
    assert!(text(&twice.stderr).contains("Unchanged"), "{}", text(&twice.stderr));
    done(&network, &["resume", "--wait"]);
    let clear = order(&network, &["unbar", "a1"], &[]);
    assert!(text(&clear.stderr).contains("NotBarred"), "{}", text(&clear.stderr));
    let unconfirmed = order(&network, &["failover", "A", "--to", "a1", "--unsafe"], &[]);
    assert!(text(&unconfirmed.stderr).contains("--confirm A"), "{}", text(&unconfirmed.stderr));
    let alive = order(&network, &["failover", "A", "--to", "a1", "--unsafe", "--confirm", "A"], &[]);
    assert!(
        text(&alive.stderr).contains("InSync"),
        "who is in the set is not forced: {}",
        text(&alive.stderr)
    );
    let forged = {
        let (config, key) = (network.file("net/client.toml"), network.file("net/authority/signing.key"));
        run(&["pause", "--config", &config, "--operator-key", &key, "--why", "mischief"])
    };
    assert!(text(&forged.stderr).contains("BadSignature"), "{}", text(&forged.stderr));

    let seen = network.file("seen");
    let noted = || run(&["history", "--config", &network.file("net/client.toml"), "--seen", &seen]);
    assert!(noted().status.success() && noted().status.success());
    std::fs::write(&seen, format!("1 {}\n", "ab".repeat(32))).expect("written");
    let rewritten = noted();
    assert_eq!(rewritten.status.code(), Some(1));
    assert!(text(&rewritten.stderr).contains("the history was rewritten"), "{}", text(&rewritten.stderr));
    let told = history(&network);
    let orders: Vec<_> = told.iter().filter(|e| e["who"] == "Ada").collect();
    let names: Vec<_> = orders.iter().map(|e| e["what"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["order_switch", "order_pause", "order_resume"]);
    assert_eq!((orders[0]["old"].as_u64(), orders[0]["new"].as_u64()), (Some(101), Some(103)));
    assert_eq!(orders[0]["why"], "a drill");
    assert!(told.iter().all(|e| e["at_unix_us"].as_u64() > Some(0)));
    authority.stop();
    let authority = network.authority(&[]);
    eventually("the history after a restart", || {
        let output = run(&["history", "--config", &network.file("net/client.toml")]);
        (output.status.success() && text(&output.stdout).contains("Ada: a drill")).then_some(())
    });
    assert_eq!(history(&network)[..told.len()], told[..], "nothing of it was changed");
    drop((authority, nodes));
}

#[test]
fn a_switchover_waits_for_its_time_and_is_void_if_the_master_changed_before() {
    let network = Network::new(3);
    let (_authority, _nodes) = network.start(&[101, 102, 103]);
    network.commit();
    let told = done(&network, &["switchover", "A", "--to", "a2", "--at", "+1s"]);
    assert!(told.contains("a1 handed over, epoch 2"), "{told}");
    eventually("a2 is master", || (network.status_of(102)["role"] == "MASTER").then_some(()));
    let (config, key) = (network.file("net/client.toml"), network.file("net/operator.key"));
    let common = ["--config", &config, "--operator-key", &key, "--why", "a drill", "--who", "Ada"];
    let mut planned = duohuo()
        .args(["switchover", "A", "--to", "a3", "--at", "+8s"])
        .args(common)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // it has looked at the row when it says until when it waits
    let mut told = BufReader::new(planned.stderr.take().expect("piped")).lines();
    let waits = told.find(|line| line.as_ref().is_ok_and(|line| line.contains("waiting until")));
    assert!(waits.is_some());
    done(&network, &["switchover", "A", "--to", "a1"]);
    let told: Vec<String> = told.map_while(Result::ok).collect();
    assert_eq!(planned.wait().expect("it ends").code(), Some(1));
    assert!(told.iter().any(|line| line.contains("Stale")), "{told:?}");
    let past = order(&network, &["switchover", "A", "--at", "2020-01-01T00:00:00Z"], &[]);
    assert_eq!(past.status.code(), Some(2));
    assert!(text(&past.stderr).contains("is over; expected a time to come"), "{}", text(&past.stderr));
}
