//! An operator's orders by the command, over real processes.

use crate::network::{Network, eventually, run, text};
use serde_json::Value;
use std::process::Output;

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
    let again = order(&network, &["switchover", "A", "--to", "a3"], &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("IsMaster"), "{}", text(&again.stderr));
    done(&network, &["pause"]);
    let twice = order(&network, &["pause"], &[]);
    assert!(text(&twice.stderr).contains("Unchanged"), "{}", text(&twice.stderr));
    done(&network, &["resume"]);
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
