//! `chain = "hooks"` with real processes and tiny shell scripts: who runs when, what is killed, what is told.

use crate::network::{Network, Process, eventually, run, text};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What every program is. Files in the directory beside its trace make it hang or fail; of a program that runs while another
/// does, the lock tells. `sleep` holds the lock, too: it is gone only if the whole group was killed.
const SCRIPT: &str = r#"#!/bin/sh
dir=$1 verb=$2
exec 9>"$dir/lock"
flock -n 9 || echo "$verb" >>"$dir/two"
echo "$verb $3 $4 $5 $6" >>"$dir/trace"
if [ -e "$dir/hang-$verb" ]; then sleep 600; fi
if [ -e "$dir/fail-$verb" ]; then exit 1; fi
case $verb in
promote)
    # of the same cluster: the directory's name ends in the node's number
    for other in "${dir%??}"*/acts; do
        if [ -e "$other" ] && [ "$other" != "$dir/acts" ]; then echo "$other" >>"$dir/two-act"; fi
    done
    : >"$dir/acts"
    ;;
demote | kill) rm -f "$dir/acts" ;;
sync) echo 41 ;;
esac
"#;

const TERMS: &str = "lease_ms = 2800\nmargin_ms = 1200\ndemote_limit_ms = 600\nkill_limit_ms = 400\ncheck_interval_ms = 200\n";

struct Scripts {
    directory: PathBuf,
}

impl Scripts {
    /// Make node `id` a node with hooks.
    fn of(network: &Network, id: u32, programs: &[&str], more: &str) -> Self {
        let directory = network.path(&format!("scripts-{id}"));
        std::fs::create_dir(&directory).expect("directory");
        let program = directory.join("it");
        std::fs::write(&program, SCRIPT).expect("script");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("mode");
        let config = network.node_file(id, "node.toml");
        let mut text = std::fs::read_to_string(&config).expect("read");
        text = text.replace("genesis = \"../genesis.toml\"\n", "chain = \"hooks\"\n");
        text.push_str("\n[hooks]\nname = \"VI_1\"\n");
        for verb in programs {
            let line = format!("{verb} = [{:?}, {:?}, {verb:?}]\n", program.display(), directory.display());
            text.push_str(&line.replace("\"\"", "\""));
        }
        text.push_str(TERMS);
        text.push_str(more);
        std::fs::write(&config, text).expect("write");
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn trace(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("trace")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Without what is run again and again.
    fn changes(&self) -> Vec<String> {
        self.trace().into_iter().filter(|l| !l.starts_with("health") && !l.starts_with("sync")).collect()
    }

    /// On a machine whose processors are all wanted a node may lose its lease, and get it again, before anything is done to it:
    /// what follows from a fault is what stands behind this.
    fn count(&self) -> usize {
        self.changes().len()
    }

    fn acts(&self) -> bool {
        self.path("acts").exists()
    }

    fn set(&self, name: &str) {
        std::fs::write(self.path(name), "").expect("write");
    }

    fn clear(&self, name: &str) {
        std::fs::remove_file(self.path(name)).expect("remove");
    }

    /// Neither two programs of this node, nor this node and another one.
    fn assert_never_two(&self) {
        let two = std::fs::read_to_string(self.path("two-act")).unwrap_or_default();
        assert!(two.is_empty(), "promoted while others acted: {two}");
        let two = std::fs::read_to_string(self.path("two")).unwrap_or_default();
        assert!(two.is_empty(), "these began while another one ran: {two}; all: {:?}", self.trace());
    }
}

impl Drop for Scripts {
    /// No `sleep` of a failed test stays.
    fn drop(&mut self) {
        let lock = self.path("lock").display().to_string();
        let mut fuser = std::process::Command::new("fuser");
        let _ = fuser.args(["-k", &lock]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

const ALL: [&str; 3] = ["promote", "demote", "kill"];

/// A cluster of nodes with these programs, started, the first one acting.
fn cluster(nodes: u8, programs: &[&str], more: &str) -> (Network, Vec<Scripts>, Process, Vec<Process>) {
    let network = Network::new(nodes);
    let ids: Vec<u32> = (1..=u32::from(nodes)).map(|n| 100 + n).collect();
    let scripts: Vec<Scripts> = ids.iter().map(|id| Scripts::of(&network, *id, programs, more)).collect();
    let (authority, processes) = network.start(&ids);
    eventually("the first node acts", || scripts[0].acts().then_some(()));
    (network, scripts, authority, processes)
}

#[test]
fn b_hook_1_the_killed_nodes_keeper_ends_it_and_the_standby_is_promoted_afterwards() {
    let (_network, scripts, _authority, mut nodes) = cluster(2, &ALL, "");
    let started = ["demote INSTANCE VI_1 BACKUP 200", "promote INSTANCE VI_1 MASTER 200"];
    assert_eq!(scripts[0].changes()[..2], started);
    let begins = || scripts[1].changes().first().cloned();
    assert_eq!(eventually("the standby has begun", begins), "demote INSTANCE VI_1 BACKUP 199");
    let before = scripts.iter().map(Scripts::count).collect::<Vec<_>>();
    drop(nodes.remove(0)); // kill -9
    eventually("the keeper ends what acted", || (!scripts[0].acts()).then_some(()));
    assert_eq!(scripts[0].changes()[before[0]..], ["demote INSTANCE VI_1 STOP 200"]);
    eventually("the standby acts", || scripts[1].acts().then_some(()));
    assert_eq!(scripts[1].changes()[before[1]..], ["promote INSTANCE VI_1 MASTER 199"]);
    assert!(!scripts[0].acts());
    scripts.iter().for_each(Scripts::assert_never_two);
}

#[test]
fn b_lease_5_a_node_that_stops_in_good_order_demotes_first_and_nobody_waits_for_the_lease() {
    let (network, scripts, _authority, mut nodes) = cluster(2, &ALL, "");
    nodes.remove(0).stop();
    assert!(!scripts[0].acts(), "it has ended before its process has");
    assert_eq!(scripts[0].changes()[2..], ["demote INSTANCE VI_1 BACKUP 200"]);
    eventually("the standby acts", || scripts[1].acts().then_some(()));
    // And back: the one that comes again follows.
    let again = network.node(101, &[]);
    eventually("it is in sync again", || (network.status_of(101)["state"] == "in sync").then_some(()));
    assert!(!scripts[0].acts() && scripts[1].acts());
    drop(again);
    scripts.iter().for_each(Scripts::assert_never_two);
}

#[test]
fn b_lease_7_a_demotion_that_hangs_is_killed_with_its_group_and_kill_follows() {
    let (_network, scripts, _authority, mut nodes) = cluster(2, &ALL, "");
    scripts[0].set("hang-demote");
    nodes.remove(0).stop();
    assert!(!scripts[0].acts());
    assert_eq!(
        scripts[0].changes()[2..],
        ["demote INSTANCE VI_1 BACKUP 200", "kill INSTANCE VI_1 FAULT 200"]
    );
    scripts[0].assert_never_two();
}

#[test]
fn b_hook_1_a_promotion_that_fails_is_tried_again_and_one_that_hangs_is_killed_for_the_demotion() {
    let (network, scripts, authority, nodes) = cluster(2, &ALL, "");
    scripts[1].set("fail-promote");
    let [first, second] = <[Process; 2]>::try_from(nodes).unwrap_or_else(|_| unreachable!());
    drop(first);
    let promotions = || scripts[1].changes().iter().filter(|l| l.starts_with("promote")).count();
    eventually("it is tried again", || (promotions() >= 3).then_some(()));
    assert!(!scripts[1].acts());
    scripts[1].clear("fail-promote");
    eventually("it succeeds", || scripts[1].acts().then_some(()));
    second.await_log("ending: Failed");
    // Without the authority and the other node nobody is removed from the set; alone in it, it goes on.
    drop(authority);
    eventually("it goes on", || scripts[1].acts().then_some(()));
    drop(second);
    eventually("its keeper ends it", || (!scripts[1].acts()).then_some(()));
    // One that hangs is in the way of ending.
    let before = promotions();
    scripts[1].set("hang-promote");
    let authority = network.authority(&[]);
    let again = network.node(102, &[]);
    eventually("it hangs", || (promotions() > before).then_some(()));
    again.stop();
    assert_eq!(scripts[1].changes().last().map(String::as_str), Some("demote INSTANCE VI_1 BACKUP 199"));
    scripts.iter().for_each(Scripts::assert_never_two);
    drop(authority);
}

#[test]
fn b_hook_6_what_cannot_be_ended_in_time_is_told_loudly_and_tried_again() {
    let (network, scripts, _authority, nodes) = cluster(2, &ALL, "");
    scripts[0].set("fail-demote");
    scripts[0].set("fail-kill");
    // Cut off, so that its lease lapses: the process stands still.
    let done = order(&network, "a2");
    assert!(done.0, "{}", done.1);
    nodes[0].await_log("overdue");
    assert!(scripts[0].acts());
    scripts[0].clear("fail-kill");
    eventually("it is tried again until it has ended", || (!scripts[0].acts()).then_some(()));
    eventually("the other acts, since a lease ends by itself", || scripts[1].acts().then_some(()));
    scripts[0].assert_never_two();
}

fn order(network: &Network, to: &str) -> (bool, String) {
    let (config, key) = (network.file("net/client.toml"), network.file("net/operator.key"));
    let output = run(&[
        "switchover",
        "A",
        "--to",
        to,
        "--config",
        &config,
        "--operator-key",
        &key,
        "--why",
        "a test",
        "--who",
        "Ada",
    ]);
    (output.status.success(), text(&output.stderr))
}

#[test]
fn b_lease_7_a_node_that_hangs_is_demoted_by_its_keeper_before_the_lease_is_over() {
    let (_network, scripts, _authority, nodes) = cluster(2, &ALL, "");
    nodes[0].signal(rustix::process::Signal::STOP);
    eventually("its keeper ends what acts", || (!scripts[0].acts()).then_some(()));
    eventually("the standby acts", || scripts[1].acts().then_some(()));
    nodes[0].signal(rustix::process::Signal::CONT);
    nodes[0].await_log("acting_ended");
    assert!(!scripts[0].acts());
    scripts.iter().for_each(Scripts::assert_never_two);
}

#[test]
fn r7_whatever_befalls_nodes_and_keepers_never_two_act() {
    let (network, scripts, _authority, nodes) = cluster(3, &ALL, "");
    let mut nodes: Vec<Option<Process>> = nodes.into_iter().map(Some).collect();
    let actor = |nodes: &[Option<Process>]| {
        eventually("one acts, and the set is whole", || {
            let at = scripts.iter().position(Scripts::acts)?;
            let whole = network.status().iter().filter(|n| n["state"] == "in sync").count() == 3;
            (whole && nodes.iter().all(Option::is_some)).then_some(at)
        })
    };
    let id = |at: usize| 101 + u32::try_from(at).expect("small");
    let moved = |from: usize| {
        eventually("another one acts", || scripts.iter().position(Scripts::acts).filter(|at| *at != from));
    };
    for fault in ["killed", "hangs", "keeper lost", "ordered", "killed", "stopped"] {
        let at = actor(&nodes);
        let node = nodes[at].take().expect("it runs");
        match fault {
            "killed" => drop(node),
            "stopped" => node.stop(),
            "hangs" => {
                node.signal(rustix::process::Signal::STOP);
                moved(at);
                node.signal(rustix::process::Signal::CONT);
                nodes[at] = Some(node);
            }
            "keeper lost" => {
                let pid = rustix::process::Pid::from_raw(keeper(&network, id(at))).expect("a process");
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
                node.await_log("keeper_lost");
                nodes[at] = Some(node);
            }
            _ => {
                let to = ["a1", "a2", "a3"][(at + 1) % 3];
                let (is_done, about) = order(&network, to);
                assert!(is_done, "{about}");
                moved(at);
                nodes[at] = Some(node);
            }
        }
        if nodes[at].is_none() {
            moved(at);
            nodes[at] = Some(network.node(id(at), &[]));
        }
    }
    actor(&nodes);
    scripts.iter().for_each(Scripts::assert_never_two);
}

/// The process that holds the lock of a node's keeper.
fn keeper(network: &Network, id: u32) -> i32 {
    let read = std::fs::read_to_string(network.node_file(id, "node.keeper")).expect("there");
    read.trim().parse().expect("a process")
}

#[test]
fn b_hook_1_a_keeper_that_is_lost_is_started_anew_and_ends_first_what_acts() {
    let (network, scripts, _authority, nodes) = cluster(2, &ALL, "");
    let (killed, before) = (keeper(&network, 101), scripts[0].count());
    let pid = rustix::process::Pid::from_raw(killed).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
    nodes[0].await_log("keeper_lost");
    let expected = ["demote INSTANCE VI_1 BACKUP 200", "promote INSTANCE VI_1 MASTER 200"];
    eventually("it acts again", || {
        (scripts[0].changes().get(before..before + 2) == Some(&expected.map(String::from))).then_some(())
    });
    eventually("by another keeper", || (keeper(&network, 101) != killed).then_some(()));
    assert!(scripts[0].acts());
    scripts.iter().for_each(Scripts::assert_never_two);
}

#[test]
fn b_hook_2_a_script_made_for_keepalived_runs_unchanged_and_its_fifo_has_the_same_lines() {
    let network = Network::new(2);
    for id in [101, 102] {
        let directory = network.path(&format!("scripts-{id}"));
        std::fs::create_dir(&directory).expect("directory");
        let script = directory.join("notify.sh");
        // as keepalived's own documentation has it
        let text = "#!/bin/bash\nTYPE=$1\nNAME=$2\nSTATE=$3\ncase $STATE in\n\"MASTER\") echo \"$TYPE $NAME\" > \"${0%/*}/master\"\n;;\n\"BACKUP\") rm -f \"${0%/*}/master\"\n;;\n*) rm -f \"${0%/*}/master\"\n;;\nesac\n";
        std::fs::write(&script, text).expect("script");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("mode");
        let config = network.node_file(id, "node.toml");
        let old = std::fs::read_to_string(&config).expect("read");
        let new = old.replace("genesis = \"../genesis.toml\"\n", "chain = \"hooks\"\n");
        let hooks = format!(
            "\n[hooks]\nname = \"VI_1\"\ntype = \"GROUP\"\nnotify = [{:?}]\nfifo = \"notify.fifo\"\nlease_ms = 2800\nmargin_ms = 1200\ndemote_limit_ms = 1000\n",
            script.display().to_string()
        );
        std::fs::write(&config, new + &hooks).expect("write");
    }
    let (_authority, nodes) = network.start(&[101, 102]);
    let master = |id: u32| network.path(&format!("scripts-{id}/master"));
    eventually("the first is told MASTER", || {
        std::fs::read_to_string(master(101)).ok().filter(|t| t == "GROUP VI_1\n")
    });
    nodes[0].await_log("program: Promote, ending: Done");
    let fifo = std::fs::File::open(network.node_file(101, "notify.fifo")).expect("made by the keeper");
    let mut nodes = nodes;
    nodes.remove(0).stop();
    eventually("the second is told MASTER", || master(102).exists().then_some(()));
    assert!(!master(101).exists());
    let lines: Vec<String> = BufReader::new(fifo).lines().map_while(Result::ok).collect();
    let states: Vec<&str> = lines.iter().filter_map(|l| l.strip_prefix("GROUP \"VI_1\" ")).collect();
    assert_eq!(states, ["BACKUP 200", "MASTER 200", "BACKUP 200", "STOP 200"], "{lines:?}");
}

#[test]
fn b_hook_3_a_master_whose_service_is_unfit_gives_the_role_away_and_a_copy_is_added_when_it_is_in_step() {
    let programs = ["promote", "demote", "kill", "health", "sync", "cover", "follow"];
    let (network, scripts, _authority, nodes) = cluster(2, &programs, "health_fall = 2\nhealth_rise = 1\n");
    nodes[1].await_log("copy_changed");
    assert!(scripts[0].changes().iter().any(|l| l.starts_with("cover")));
    assert!(scripts[1].changes().iter().any(|l| l.starts_with("follow INSTANCE VI_1 BACKUP")));
    scripts[0].set("fail-health");
    eventually("the other acts", || scripts[1].acts().then_some(()));
    nodes[0].await_log("health_changed");
    eventually("the unfit one does not", || (!scripts[0].acts()).then_some(()));
    assert_eq!(network.status_of(102)["role"], "MASTER");
    scripts.iter().for_each(Scripts::assert_never_two);
}

#[test]
fn what_runs_is_counted() {
    let network = Network::new(2);
    let page = std::net::SocketAddr::from((network.address(1).ip(), network.port + 1));
    let more = format!("socket = \"chain.sock\"\n\n[http]\nlisten = \"{page}\"\n");
    let scripts = Scripts::of(&network, 101, &ALL, &more);
    let _others = Scripts::of(&network, 102, &ALL, "");
    let _running = network.start(&[101, 102]);
    eventually("it acts", || scripts.acts().then_some(()));
    assert_eq!(ask(&network.node_file(101, "chain.sock"), "dance")["answer"], "malformed");
    assert_eq!(result(&network.node_file(101, "chain.sock"), 1, 'a')["answer"], "told");
    let metrics = eventually("it is shown", || {
        let (_, _, body) = crate::looking::get(page, "/metrics");
        (body.contains("duohuo_hooks_acting 1") && body.contains("answer=\"told\"")).then_some(body)
    });
    for line in [
        "duohuo_hooks_runs_total{program=\"promote\",ending=\"done\"} 1",
        "duohuo_hooks_runs_total{program=\"demote\",ending=\"done\"} 1",
        "duohuo_hooks_answers_total{answer=\"told\"} 1",
        "duohuo_hooks_health_cut 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

/// One question, one answer.
fn ask(socket: &Path, question: &str) -> Value {
    let stream = UnixStream::connect(socket).unwrap_or_else(|e| panic!("{}: {e}", socket.display()));
    (&stream).write_all(format!("{question}\n").as_bytes()).expect("written");
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).expect("an answer");
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

fn result(socket: &Path, height: u64, digit: char) -> Value {
    let hash: String = std::iter::repeat_n(digit, 64).collect();
    ask(socket, &format!("{{\"do\":\"result\",\"height\":{height},\"hash\":\"{hash}\"}}"))
}

#[test]
fn b_hook_10_the_service_is_told_who_acts_and_bad_questions_are_refused_and_change_nothing() {
    let (network, scripts, _authority, nodes) = cluster(2, &ALL, "socket = \"chain.sock\"\n");
    let (first, second) = (network.node_file(101, "chain.sock"), network.node_file(102, "chain.sock"));
    let state =
        eventually("it acts", || Some(ask(&first, "{\"do\":\"state\"}")).filter(|s| s["acting"] == true));
    assert_eq!(
        (&state["node"], &state["cluster"], &state["role"]),
        (&101.into(), &1.into(), &"master".into())
    );
    let ns = |key: &str| state[key].as_u64().expect("a number");
    assert!(ns("now_ns") < ns("stop_at_ns") && ns("until_ns") - ns("stop_at_ns") == 1_200_000_000, "{state}");
    let state = ask(&second, "{\"do\":\"state\"}");
    assert_eq!((&state["acting"], &state["master"]), (&false.into(), &101.into()));
    for (question, answer) in [
        ("", "malformed"),
        ("\u{0}\u{1}", "malformed"),
        ("{\"do\":\"stop\"}", "malformed"),
        ("{\"do\":\"result\",\"height\":1,\"hash\":\"zz\"}", "malformed"),
        ("{\"do\":\"accuse\",\"cluster\":\"nobody\",\"height\":1}", "no_cluster"),
        ("{\"do\":\"accuse\",\"cluster\":1,\"height\":1}", "no_cluster"),
        (&"x".repeat(2000), "too_long"),
    ] {
        let said = ask(&first, question);
        assert_eq!((&said["ok"], &said["answer"]), (&false.into(), &answer.into()), "{question}: {said}");
    }
    assert_eq!(result(&first, 7, 'a')["answer"], "told");
    assert_eq!(result(&first, 7, 'b')["answer"], "contradicts");
    assert_eq!(result(&second, 7, 'b')["answer"], "kept");
    assert!(scripts[0].acts());
    drop(nodes);
}

#[test]
fn b_hook_8_a_wrong_result_of_the_chain_beside_switches_its_cluster_and_the_program_is_demoted() {
    let network = Network::of_clusters(4, 2);
    let ids: Vec<u32> = (1..=4).flat_map(|c| [c * 100 + 1, c * 100 + 2]).collect();
    let scripts: Vec<Scripts> =
        ids.iter().map(|id| Scripts::of(&network, *id, &ALL, "socket = \"chain.sock\"\n")).collect();
    let (_authority, nodes) = network.start(&ids);
    let acts = |id: u32| scripts[ids.iter().position(|i| *i == id).expect("known")].acts();
    eventually("every master acts", || [101, 201, 301, 401].into_iter().all(&acts).then_some(()));
    let socket = |id: u32| network.node_file(id, "chain.sock");
    // The replicas beside compute, too: what they found is said when their node leads.
    assert_eq!(result(&socket(302), 9, 'a')["answer"], "kept");
    for (id, digit) in [(101, 'a'), (201, 'a'), (401, 'a'), (301, 'b')] {
        assert_eq!(result(&socket(id), 9, digit)["answer"], "told");
    }
    eventually("the standby of C acts, and its old master does not", || {
        (acts(302) && !acts(301)).then_some(())
    });
    assert_eq!(network.status_of(302)["role"], "MASTER");
    assert!([101, 201, 401].into_iter().all(&acts), "nobody else");
    // An accusation without two results that differ is kept, and one against who said the same is refused.
    eventually("its result has come", || {
        (ask(&socket(101), "{\"do\":\"accuse\",\"cluster\":\"C\",\"height\":9}")["answer"] == "agrees")
            .then_some(())
    });
    assert_eq!(
        ask(&socket(102), "{\"do\":\"accuse\",\"cluster\":\"C\",\"height\":9}")["answer"],
        "not_master"
    );
    drop(nodes);
    scripts.iter().for_each(Scripts::assert_never_two);
}

#[test]
fn config_check_and_show_know_the_hooks_and_tell_what_is_wrong() {
    let network = Network::new(2);
    let scripts = Scripts::of(&network, 101, &ALL, "");
    let file = network.node_file(101, "node.toml").display().to_string();
    let check = || run(&["config", "check", &file]);
    let good = check();
    assert!(
        text(&good.stdout).contains("hooks with a lease of 2800 ms"),
        "{}{}",
        text(&good.stdout),
        text(&good.stderr)
    );
    let shown = text(&run(&["config", "show", "--effective", &file]).stdout);
    assert!(shown.contains("hooks.promote_limit_ms = 30000   # default"), "{shown}");
    assert!(!shown.contains("genesis") && !shown.contains("chain.block_interval_ms"), "{shown}");
    network.edit(Path::new(&file), "margin_ms = 1200", "margin_ms = 1199");
    let wrong = check();
    assert_eq!(wrong.status.code(), Some(4));
    assert!(
        text(&wrong.stderr).contains("demote_limit_ms + kill_limit_ms + 200 = 1200"),
        "{}",
        text(&wrong.stderr)
    );
    network.edit(Path::new(&file), "margin_ms = 1199", "margins_ms = 1199");
    assert!(text(&check().stderr).contains("unknown field `margins_ms`"));
    network.edit(Path::new(&file), "chain = \"hooks\"\n", "chain = \"hook\"\n");
    assert!(text(&check().stderr).contains("chain"), "{}", text(&check().stderr));
    let example = run(&["config", "init", "node", "--node", "1", "--hooks"]);
    assert!(text(&example.stdout).contains("\n[hooks]\n"), "{}", text(&example.stdout));
    drop(scripts);
}
