//! The control socket of real processes: who may speak, what is done, and what the log says of it.

use crate::network::{Network, Process, eventually, run, text};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Output;

fn control(config: &str, words: &[&str]) -> Output {
    run(&[&["control", "--config", config], words].concat())
}

/// With a socket beside each configuration.
fn with_sockets(network: &Network, more: &str) {
    for config in ["net/node-101/node.toml", "net/authority/authority.toml"] {
        let path = network.file(config);
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, format!("{text}\n[control]\nsocket = \"control.sock\"\n{more}"))
            .expect("written");
    }
}

fn told(process: &Process, word: &str) -> bool {
    let user = rustix::process::getuid().as_raw();
    process.log().lines().any(|line| line.contains(word) && line.contains(&format!("user={user} ")))
}

#[test]
fn b_ctl_1_what_an_operator_on_the_machine_does_is_logged_with_who_and_why() {
    let network = Network::new(2);
    with_sockets(&network, "");
    let (authority, mut nodes) = network.start(&[101, 102]);
    let (node_config, authority_config) =
        (network.file("net/node-101/node.toml"), network.file("net/authority/authority.toml"));
    let mode =
        std::fs::metadata(network.file("net/node-101/control.sock")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let state = control(&node_config, &["state"]);
    assert!(state.status.success(), "{}", text(&state.stderr));
    assert!(text(&state.stdout).contains("\"node\":101,"), "{}", text(&state.stdout));

    let reload = control(&authority_config, &["reload", "--why", "a look"]);
    assert_eq!(
        (reload.status.code(), text(&reload.stdout).trim()),
        (Some(0), "done"),
        "{}",
        text(&reload.stderr)
    );
    assert!(
        told(&authority, "control: reload") && authority.log().contains("why=\"a look\""),
        "{}",
        authority.log()
    );
    let kept = std::fs::read_to_string(&node_config).expect("read");
    std::fs::write(&node_config, format!("{kept}\n[dance]\n")).expect("written");
    let refused = control(&node_config, &["reload", "--why", "a mistake"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("refused: the files cannot be used"), "{}", text(&refused.stderr));
    std::fs::write(&node_config, kept).expect("written");

    let forged = control(&node_config, &["reload", "--why", "a\nline\" of its own"]);
    assert!(forged.status.success());
    let node = nodes.iter_mut().find(|p| p.log.ends_with("node-101/log")).expect("there");
    assert!(node.log().contains(r#"why="a\nline\" of its own""#), "{}", node.log());
    let nothing = control(&node_config, &["stop", "--why", " "]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("malformed: why: expected"), "{}", text(&nothing.stderr));
    let drill = control(&node_config, &["wrong-results", "off", "--why", "a drill"]);
    assert!(text(&drill.stderr).contains("unchanged"), "{}", text(&drill.stderr));
    let stop = control(&node_config, &["stop", "--why", "work on the machine"]);
    assert!(stop.status.success(), "{}", text(&stop.stderr));
    assert_eq!(node.ended().code(), Some(0));
    assert!(told(node, "control: stop"), "{}", node.log());
    let gone = control(&node_config, &["state"]);
    assert_eq!(gone.status.code(), Some(3), "{}", text(&gone.stderr));

    // B-CTL-2: kept, after the process is gone
    let user = rustix::process::getuid().as_raw();
    let history = run(&["history", "--config", &node_config]);
    let shown = text(&history.stdout);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 5, "{shown}{}", text(&history.stderr));
    for (line, words) in lines.iter().zip([
        ["   1  ", "  reload  by user ", ": \"a mistake\""],
        ["   2  ", "  reload  by user ", r#": "a\nline\" of its own""#],
        ["   3  ", "  wrong_results off  by user ", ": \"a drill\""],
        ["   4  ", "  stop  by user ", ": \"work on the machine\""],
    ]) {
        assert!(line.starts_with(words[0]) && line.ends_with(words[2]), "{line}");
        assert!(line.contains(&format!("{}{user}", words[1])), "{line}");
    }
    let kept = network.file("net/node-101/node.acts");
    let changed = std::fs::read_to_string(&kept).expect("kept").replace("a drill", "a joke!");
    std::fs::write(&kept, changed).expect("written");
    let refused = run(&["history", "--config", &node_config]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("line 3: not signed by the process"), "{}", text(&refused.stderr));
}

/// B-CTL-3: without a control socket, too; and among the authority's decisions, by time.
#[test]
fn b_ctl_3_what_signals_do_is_kept_with_who_sent_them() {
    let network = Network::new(2);
    let (authority, mut nodes) = network.start(&[101, 102]);
    network.commit();
    let (config, me, user) =
        (network.file("net/node-102/node.toml"), std::process::id(), rustix::process::getuid().as_raw());
    let nothing = run(&["history", "--config", &config]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(
        text(&nothing.stderr).contains("nothing was ever asked of that process"),
        "{}",
        text(&nothing.stderr)
    );
    nodes[1].signal(rustix::process::Signal::HUP);
    nodes[1].await_log("signal: reload");
    nodes.remove(1).stop();
    let alone = text(&run(&["history", "--config", &config]).stdout);
    let lines: Vec<&str> = alone.lines().collect();
    assert_eq!(lines.len(), 3, "{alone}");
    for (line, what, signal) in [(lines[0], "reload", "HUP"), (lines[1], "stop", "TERM")] {
        assert!(line.contains(&format!("  {what}  by user {user}")), "{line}");
        assert!(line.contains(&format!(", process {me}: \"signal {signal} from ")), "{line}");
    }
    let client = network.file("net/client.toml");
    let all = run(&["history", "--config", &client, "--acts", &config]);
    let all = text(&all.stdout);
    let at = |words: &[&str]| all.lines().position(|line| words.iter().all(|word| line.contains(word)));
    let (registered, reload) = (at(&["register"]), at(&["reload", "here", "a2"]));
    assert!(registered.is_some() && registered < reload, "{all}");
    let stop = at(&["stop", "here", "a2", "signal TERM"]);
    assert!(
        reload < stop && all.ends_with("each signed by the process and chained to the one before\n"),
        "{all}"
    );
    drop(authority);
}

/// B-CTL-2
#[test]
fn b_ctl_2_a_flood_of_acts_is_refused_and_not_done() {
    let network = Network::new(2);
    with_sockets(&network, "");
    let (authority, _nodes) = network.start(&[101]);
    let config = network.file("net/authority/authority.toml");
    let all: Vec<Output> = (0..22).map(|_| control(&config, &["reload", "--why", "again"])).collect();
    assert!(all[..20].iter().all(|asked| asked.status.success()));
    for refused in &all[20..] {
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("too_many: 20 at once"), "{}", text(&refused.stderr));
    }
    assert_eq!(authority.log().matches("control: reload").count(), 20);
}

/// Another user: needs root, to become one.
#[test]
fn b_ctl_1_another_user_is_refused_unless_admitted() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nobody else to call as");
        return;
    }
    let network = Network::new(2);
    with_sockets(&network, "users = [65533]\n");
    let (authority, _nodes) = network.start(&[101, 102]);
    let socket = network.file("net/authority/control.sock");
    // All on the way may be passed by all: what is asked is the socket's own word.
    let mut directory = std::path::Path::new(&socket).parent();
    while let Some(at) = directory.filter(|at| at.as_os_str() != "/") {
        let mode = std::fs::metadata(at).expect("there").mode();
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(mode | 0o001)).expect("ours");
        directory = at.parent().filter(|up| up.starts_with(std::env::temp_dir()));
    }
    let program = network.file("duohuo");
    // By another process: what this one has open for writing, a child of another test's holds open a moment more, and it is busy.
    let copied = std::process::Command::new("cp").args([env!("CARGO_BIN_EXE_duohuo"), &program]).status();
    assert!(copied.is_ok_and(|status| status.success()), "copied");
    let call = |user: u32| {
        let mut command = std::process::Command::new(&program);
        command.args(["control", "--socket", &socket, "reload", "--why", "mischief"]).uid(user).gid(user);
        command.output().expect("it starts")
    };
    let refused = call(65_534);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("forbidden: user 65534 may not speak here"),
        "{}",
        text(&refused.stderr)
    );
    assert!(!authority.log().contains("mischief"), "{}", authority.log());
    let admitted = call(65_533);
    assert!(admitted.status.success(), "{}", text(&admitted.stderr));
    assert!(authority.log().contains("user=65533 group=65533 "), "{}", authority.log());
}

#[test]
fn a_socket_of_a_daemon_that_was_killed_is_taken_over_and_one_of_a_daemon_that_runs_is_not() {
    let network = Network::new(2);
    with_sockets(&network, "");
    let (mut authority, _nodes) = network.start(&[101]);
    let config = network.file("net/authority/authority.toml");
    let node_config = network.file("net/node-102/node.toml");
    let kept = std::fs::read_to_string(&node_config).expect("read");
    let other = format!("{kept}\n[control]\nsocket = \"../authority/control.sock\"\n");
    std::fs::write(&node_config, other).expect("written");
    let (status, said) = network.refusal(102, &["--init"]);
    assert_ne!(status, Some(0));
    assert!(
        said.contains("another process listens there; expected a place") && said.contains("`control.socket`"),
        "{said}"
    );
    assert!(control(&config, &["state"]).status.success(), "the first one still answers");

    authority.signal(rustix::process::Signal::KILL);
    authority.ended();
    assert!(std::path::Path::new(&network.file("net/authority/control.sock")).exists(), "left behind");
    drop(authority);
    let authority = network.authority(&[]);
    eventually("the new one answers", || control(&config, &["state"]).status.success().then_some(()));
    drop(authority);
}
