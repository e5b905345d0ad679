//! `duohuo neighbours`, `watch`, `wait` and `check`: for people, scripts and supervisors. None of them changes anything.

use crate::access::{Access, AccessArgs, Server};
use crate::failure::{EXIT_HELP, FAILED, Failure};
use crate::network::in_service;
use crate::spoken;
use crate::status::{Answer, ask_all, paused, state};
use clap::{Args, ValueEnum};
use duohuo_driver::client::{Client, ClientError};
use duohuo_driver::keys::hex;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Event, Packet, Watch};
use duohuo_wire::roster::ClusterEntry;
use duohuo_wire::status::{Role, StatusReport};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Show who hears whom inside each cluster, each direction for itself
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct NeighboursArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Which version of the wire each process speaks with whom, instead: what an upgrade came to
    #[arg(long)]
    versions: bool,
}

pub(crate) fn neighbours(args: &NeighboursArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let timeout = Duration::from_secs(args.timeout);
    if args.versions {
        let told = spoken::ask_all(&access, timeout);
        print!("{}", spoken::table(&access, &told));
        let nobody = told.iter().all(|(_, answered)| answered.is_none());
        return Ok(ExitCode::from(if nobody { crate::failure::UNREACHABLE } else { 0 }));
    }
    let answers = ask_all(&access, timeout);
    print!("{}", grid(&access, &answers));
    let nobody = answers.iter().all(|(_, a)| a.is_err());
    Ok(ExitCode::from(if nobody { crate::failure::UNREACHABLE } else { 0 }))
}

fn report_of(answers: &[Answer], id: NodeId) -> Option<&StatusReport> {
    answers.iter().find(|(s, _)| s.id == id).and_then(|(_, a)| a.as_ref().ok())
}

fn grid(access: &Access, answers: &[Answer]) -> String {
    let mut out = String::from(
        "who (left) last heard whom (top), in milliseconds; silent: no longer heard; ?: did not answer us\n",
    );
    for cluster in &in_service(&access.roster) {
        let width = cluster.nodes.iter().map(|n| n.name.len()).max().unwrap_or(0).max(8);
        let mut row = |first: &str, cells: Vec<String>| {
            let cells: String = cells.iter().map(|c| format!(" {c:>width$}")).collect();
            out.push_str(&format!("{first:<width$}{cells}\n"));
        };
        row(
            &cluster.name,
            cluster.nodes.iter().map(|n| n.name.clone()).chain(["authority".into()]).collect(),
        );
        for from in &cluster.nodes {
            let report = report_of(answers, from.id);
            let cell = |to: &duohuo_wire::roster::NodeEntry| match report {
                None => "?".into(),
                Some(_) if to.id == from.id => "-".into(),
                Some(r) => match r.neighbours.iter().find(|n| n.node == to.id) {
                    Some(n) if n.alive => format!("{:.1}", millis(n.age_us)),
                    _ => "silent".to_owned(),
                },
            };
            let authority = match report {
                None => "?",
                Some(r) if r.authority_up => "up",
                Some(_) => "down",
            };
            row(&from.name, cluster.nodes.iter().map(cell).chain([authority.into()]).collect());
        }
    }
    out
}

fn millis(us: u64) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1000.0
}

/// Print what happens, as one JSON object a line, until interrupted
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Every signed word and every block too: some thousand lines a second
    #[arg(long)]
    all: bool,
    /// Only these kinds, by name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// End after so many lines
    #[arg(long, value_name = "COUNT")]
    count: Option<u64>,
}

/// Names of the kinds of events (spec/behaviour.md, section 14).
const KINDS: [(u16, &str); 37] = [
    (1, "suspected"),
    (2, "dead"),
    (3, "alive"),
    (4, "claimed"),
    (5, "refused"),
    (6, "granted"),
    (7, "in_sync_changed"),
    (8, "role_changed"),
    (9, "released"),
    (10, "received"),
    (11, "committed"),
    (12, "consensus_error_reported"),
    (13, "forced_switch"),
    (14, "alarm"),
    (15, "aged_out"),
    (16, "authority_reachable"),
    (17, "joined"),
    (18, "roster_in_force"),
    (19, "halted"),
    (20, "store_failed"),
    (21, "unstable"),
    (22, "equivocated"),
    (23, "offended"),
    (30, "ordered"),
    (31, "fenced"),
    (32, "fence_promised"),
    (40, "acting"),
    (41, "acting_ended"),
    (42, "program_ended"),
    (43, "health_changed"),
    (44, "copy_changed"),
    (45, "overdue"),
    (46, "keeper_lost"),
    (50, "catching_up"),
    (51, "caught_up"),
    (52, "snapshot_kept"),
    (60, "no_common_version"),
];
/// Those that come with every message.
const FREQUENT: [u16; 3] = [9, 10, 11];
const REDIAL_INTERVAL: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const READ_INTERVAL: Duration = Duration::from_secs(60);

fn kind_name(kind: u16) -> String {
    let known = KINDS.iter().find(|(number, _)| *number == kind);
    known.map_or_else(|| format!("kind_{kind}"), |(_, name)| (*name).to_owned())
}

pub(crate) fn watch(args: &WatchArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let mask = if args.all { 0 } else { FREQUENT.iter().fold(u32::MAX, |mask, kind| mask & !(1 << kind)) };
    let (lines, told) = mpsc::channel();
    for server in std::iter::once(access.authority()).chain(access.nodes()) {
        let (access, lines) = (access.clone(), lines.clone());
        std::thread::spawn(move || {
            while lines.send(follow(&access, &server, mask, &lines)).is_ok() {
                std::thread::sleep(REDIAL_INTERVAL);
            }
        });
    }
    drop(lines);
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut lost: Vec<NodeId> = Vec::new();
    while left > 0 {
        let Ok(line) = told.recv() else { break };
        match line {
            Told::Event(teller, event) => {
                let name = kind_name(event.kind);
                if !args.only.is_empty() && !args.only.contains(&name) {
                    continue;
                }
                if print(&as_line(&access, &teller, &event, &name)).is_err() {
                    return Ok(ExitCode::SUCCESS);
                }
                left -= 1;
            }
            Told::Begun(teller) => lost.retain(|id| *id != teller.id),
            Told::Lost(teller, why) if !lost.contains(&teller.id) => {
                lost.push(teller.id);
                eprintln!("duohuo: not watched until it is back: {why}");
            }
            Told::Lost(..) => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) enum Told {
    Begun(Server),
    Event(Server, Box<Event>),
    Lost(Server, String),
}

/// A closed pipe ends us without a word.
fn print(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{line}")
}

/// One connection's events, until it ends.
pub(crate) fn follow(access: &Access, server: &Server, mask: u32, lines: &mpsc::Sender<Told>) -> Told {
    let session = || -> Result<(), ClientError> {
        let mut client: Client = access.connect(server, CONNECT_TIMEOUT)?;
        client.send(&Packet::from(Watch { request: 1, kinds: mask, ..Default::default() }))?;
        let _ = lines.send(Told::Begun(*server));
        loop {
            if let Some(Packet::Event(event)) = client.recv(READ_INTERVAL)?
                && lines.send(Told::Event(*server, Box::new(event))).is_err()
            {
                return Ok(());
            }
        }
    };
    match session() {
        Ok(()) => Told::Lost(*server, String::new()),
        Err(e) => Told::Lost(*server, e.to_string()),
    }
}

/// Fields that a kind does not use are left out.
fn as_line(access: &Access, teller: &Server, event: &Event, name: &str) -> String {
    let named = |id: NodeId| match id {
        NodeId::AUTHORITY => "authority".to_owned(),
        id => access.roster.node(id).map_or_else(|| id.0.to_string(), |(_, n)| n.name.clone()),
    };
    let mut line = serde_json::Map::new();
    let mut say = |key: &str, value: serde_json::Value| line.insert(key.into(), value);
    say("schema", 1.into());
    say("at_unix_us", event.at_unix_us.into());
    say("teller", named(teller.id).into());
    say("event", name.into());
    if event.cluster.0 != 0 {
        let cluster = access
            .roster
            .cluster(event.cluster)
            .map_or_else(|| event.cluster.0.to_string(), |c| c.name.clone());
        say("cluster", cluster.into());
    }
    if event.node.0 != 0 {
        say("node", named(event.node).into());
    }
    for (key, value) in [
        ("epoch", event.epoch.0),
        ("height", event.height.0),
        ("round", event.round.into()),
        ("detail", event.detail.into()),
    ] {
        if value != 0 {
            say(key, value.into());
        }
    }
    if event.hash != [0; 32] {
        say("hash", hex(&event.hash).into());
    }
    serde_json::Value::Object(line).to_string()
}

/// Wait until a network is in a state
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 it is; 1 it was not in time; 2 wrong usage; 4 a configuration, key or roster file is invalid"
)]
pub(crate) struct WaitArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Which
    state: Wanted,
    /// About this node, by name
    #[arg(long, value_name = "NAME", required_if_eq_any([("state", "master"), ("state", "standby"), ("state", "in-sync"), ("state", "caught-up")]))]
    node: Option<String>,
    /// About this cluster only, by name
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Wanted {
    /// --node is master
    Master,
    /// --node is standby
    Standby,
    /// --node is in the in-sync set
    InSync,
    /// --node has the blocks that the others have; draws how far it is
    CaughtUp,
    /// Every cluster has a master that answers
    Led,
    /// Every node answers and is in sync
    Settled,
}

const ASK_INTERVAL: Duration = Duration::from_millis(100);
const ASK_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn wait(args: &WaitArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let mut clusters = in_service(&access.roster);
    clusters.retain(|c| args.cluster.as_ref().is_none_or(|name| *name == c.name));
    let wanted_node = args.node.as_ref().map(|name| {
        let found = clusters.iter().flat_map(|c| &c.nodes).find(|n| n.name == *name);
        found
            .map(|n| n.id)
            .ok_or_else(|| Failure::failed(format!("no node {name} in the roster; duohuo status lists them")))
    });
    let wanted_node = wanted_node.transpose()?.unwrap_or(NodeId::AUTHORITY);
    if clusters.is_empty() {
        return Err(Failure::failed("no such cluster in the roster; duohuo status lists them"));
    }
    let until = Instant::now() + Duration::from_secs(args.timeout);
    if args.state == Wanted::CaughtUp
        && let (Some(name), Some(node)) =
            (&args.node, access.nodes().into_iter().find(|s| s.id == wanted_node))
    {
        let is_there = crate::progress::wait(&access, &node, name, until);
        return Ok(if is_there { ExitCode::SUCCESS } else { not_within(args.timeout) });
    }
    loop {
        let answers = ask_all(&access, ASK_TIMEOUT);
        let of = |id: NodeId| report_of(&answers, id);
        let there = match args.state {
            Wanted::Master => of(wanted_node).is_some_and(|r| r.role == Role::Master),
            Wanted::Standby => of(wanted_node).is_some_and(|r| r.role == Role::Standby),
            Wanted::InSync => of(wanted_node).is_some_and(is_in_sync),
            Wanted::CaughtUp => false,
            Wanted::Led => clusters.iter().all(|c| leads(&answers, &c.nodes).is_some()),
            Wanted::Settled => {
                clusters.iter().flat_map(|c| &c.nodes).all(|n| of(n.id).is_some_and(is_in_sync))
                    && clusters.iter().all(|c| leads(&answers, &c.nodes).is_some())
            }
        };
        if there {
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() >= until {
            lacking(&answers, &clusters).iter().for_each(|line| eprintln!("duohuo: {line}"));
            return Ok(not_within(args.timeout));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

/// Who is not there, and which cluster nobody leads: what a wait that came to nothing lacked.
fn lacking(answers: &[Answer], clusters: &[ClusterEntry]) -> Vec<String> {
    let silent = |id: NodeId| answers.iter().find(|(s, _)| s.id == id).and_then(|(_, a)| a.as_ref().err());
    let mut lines = Vec::new();
    if let Some(why) = silent(NodeId::AUTHORITY) {
        lines.push(format!("the authority does not answer: {why}"));
    }
    for cluster in clusters {
        for node in &cluster.nodes {
            match (silent(node.id), report_of(answers, node.id)) {
                (Some(why), _) => lines.push(format!("{} does not answer: {why}", node.name)),
                (None, Some(report)) if !is_in_sync(report) => {
                    lines.push(format!("{} is there, and not in sync: {}", node.name, state(report)));
                }
                _ => {}
            }
        }
        if leads(answers, &cluster.nodes).is_none() {
            lines.push(format!("nobody leads cluster {}", cluster.name));
        }
    }
    let more = lines.len().saturating_sub(12);
    lines.truncate(12);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn not_within(seconds: u64) -> ExitCode {
    eprintln!("duohuo: not within {seconds} s; duohuo status shows what there is");
    ExitCode::from(FAILED)
}

fn is_in_sync(r: &StatusReport) -> bool {
    !r.halted && r.in_sync.contains(&r.node) && !r.barred.contains(&r.node)
}

/// The master of the newest epoch, if it answers as such.
fn leads<'a>(answers: &'a [Answer], nodes: &[duohuo_wire::roster::NodeEntry]) -> Option<&'a StatusReport> {
    let ours = answers.iter().filter(|(s, _)| nodes.iter().any(|n| n.id == s.id));
    let reports: Vec<_> = ours.filter_map(|(_, a)| a.as_ref().ok()).collect();
    let epoch = reports.iter().map(|r| r.epoch).max()?;
    reports.into_iter().find(|r| r.epoch == epoch && r.role == Role::Master && !r.halted)
}

/// Judge the network for a supervisor (Nagios, Icinga): one line, figures behind the bar
#[derive(Args, Debug)]
#[command(
    after_help = "Exit status: 0 OK; 1 WARNING: a node is silent, lags, is not in sync or barred, the authority is silent, or automatic switches are paused; 2 CRITICAL: a cluster has no \
master, a node halted, or ledgers differ; 3 UNKNOWN: nobody answers, or a file is invalid"
)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Warn when a node is so many blocks behind the highest
    #[arg(long, value_name = "BLOCKS", default_value_t = 100)]
    lag: u64,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

const UNKNOWN: u8 = 3;

pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let access = match Access::open(&args.access) {
        Ok(access) => access,
        Err(e) => {
            println!("DUOHUO UNKNOWN - {e}");
            return Ok(ExitCode::from(UNKNOWN));
        }
    };
    let answers = ask_all(&access, Duration::from_secs(args.timeout));
    let paused = paused(&access, Duration::from_secs(args.timeout));
    let (status, line) = judge(&access, &answers, args.lag, paused.as_deref());
    println!("{line}");
    Ok(ExitCode::from(status))
}

fn judge(access: &Access, answers: &[Answer], most_lag: u64, paused: Option<&str>) -> (u8, String) {
    let in_service = in_service(&access.roster);
    let nodes: Vec<_> = in_service.iter().flat_map(|c| &c.nodes).collect();
    let reports: Vec<_> = nodes.iter().filter_map(|n| report_of(answers, n.id)).collect();
    if reports.is_empty() && report_of(answers, NodeId::AUTHORITY).is_none() {
        return (UNKNOWN, "DUOHUO UNKNOWN - nobody answers".into());
    }
    let (mut critical, mut warning) = (Vec::new(), Vec::new());
    let mut led = 0;
    for cluster in &access.roster.clusters {
        match leads(answers, &cluster.nodes) {
            Some(_) => led += 1,
            None => critical.push(format!("cluster {} has no master", cluster.name)),
        }
    }
    let top = reports.iter().map(|r| r.height.0).max().unwrap_or(0);
    let mut lag = 0;
    for node in &nodes {
        match report_of(answers, node.id) {
            None => warning.push(format!("{} is silent", node.name)),
            Some(r) if r.halted => critical.push(format!("{} halted", node.name)),
            Some(r) => {
                let behind = top - r.height.0;
                lag = lag.max(behind);
                if !is_in_sync(r) {
                    warning.push(format!("{} is {}", node.name, state(r)));
                } else if behind > most_lag {
                    warning.push(format!("{} is {behind} blocks behind", node.name));
                }
            }
        }
    }
    for (i, r) in reports.iter().enumerate() {
        let same = |other: &&&StatusReport| other.height == r.height && other.state_hash != r.state_hash;
        if let Some(other) = reports.iter().take(i).find(same) {
            critical.push(format!(
                "the ledgers of nodes {} and {} differ at height {}",
                other.node.0, r.node.0, r.height.0
            ));
        }
    }
    if report_of(answers, NodeId::AUTHORITY).is_none() {
        warning.push("the authority is silent".into());
    }
    if let Some(paused) = paused {
        warning.push(format!("automatic switches are paused: {paused}"));
    }
    let clusters = access.roster.clusters.len();
    let figures = format!(
        "clusters_led={led};;;0;{clusters} nodes_answering={};;;0;{} height={top}c lag={lag};{most_lag};;0",
        reports.len(),
        nodes.len()
    );
    let (status, word) = match (critical.is_empty(), warning.is_empty()) {
        (false, _) => (2, "CRITICAL"),
        (true, false) => (1, "WARNING"),
        (true, true) => (0, "OK"),
    };
    critical.append(&mut warning);
    let told = match critical.is_empty() {
        true => format!("{clusters} clusters led, {} nodes in sync, height {top}", reports.len()),
        false => critical.join(", "),
    };
    (status, format!("DUOHUO {word} - {told} | {figures}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_the_specification() {
        let page = include_str!("../../../spec/behaviour.md");
        let (_, page) = page.split_once("## 14. Events").expect("a section");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
        let rows: Vec<(u16, &str)> = rows
            .filter_map(|row| row.split_once(" | "))
            .filter_map(|(kind, rest)| Some((kind.parse().ok()?, rest.split(" |").next()?)))
            .collect();
        assert_eq!(rows, KINDS);
        assert_eq!(kind_name(52), "snapshot_kept");
        assert_eq!(kind_name(0), "kind_0");
        assert_eq!(kind_name(999), "kind_999");
    }
}
