//! `duohuo status`: asks every node and the authority, and prints one table of each cluster; or of one cluster, or of one node.

use crate::access::{Access, AccessArgs, Server, ask_answer};
use crate::failure::{EXIT_HELP, Failure, UNREACHABLE};
use crate::network::in_service;
use clap::{Args, ValueEnum};
use duohuo_driver::keys::hex;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::operations;
use duohuo_wire::status::{Role, StatusReport};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Show who is master, standby and in sync, and how far each ledger is
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct StatusArgs {
    /// One cluster, or one node, by name or number [default: the network]
    name: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// How to print: a table; one JSON object, with the counters of discarded input too; or lines of columns with tabs
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// The same as --output json
    #[arg(long, hide = true)]
    json: bool,
    /// Again every second, until interrupted
    #[arg(short, long)]
    watch: bool,
    /// Seconds to wait for each answer; all are asked at the same time
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

/// How what was seen is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// One object, with the number of its schema.
    Json,
    /// For scripts: tabs between the columns, names in the first line.
    Tsv,
}

pub(crate) type Answer = (Server, Result<StatusReport, String>);

/// What a script finds in the output, as JSON and as TSV.
const SCHEMA: u32 = 1;

/// Between two pictures with --watch.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let timeout = Duration::from_secs(args.timeout);
    let format = if args.json { Format::Json } else { args.output };
    let scope = Scope::of(&access, args.name.as_deref())?;
    loop {
        let answers = scope.ask(&access, timeout);
        let paused = paused(&access, timeout);
        let shown: Vec<Answer> = answers.iter().filter(|(s, _)| scope.shows(s.id)).cloned().collect();
        let text = match format {
            Format::Table => as_table(&access, &answers, paused.as_deref(), &scope),
            Format::Json => format!("{}\n", as_json(&access, &shown, paused.as_deref())),
            Format::Tsv => as_tsv(&access, &shown),
        };
        if args.watch && format == Format::Table && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
            // home, and clear what is below
            print!("\x1b[H\x1b[J");
        }
        print!("{text}");
        if !args.watch {
            let all_there = shown.iter().all(|(_, answer)| answer.is_ok());
            return Ok(if all_there { ExitCode::SUCCESS } else { ExitCode::from(UNREACHABLE) });
        }
        if std::io::Write::flush(&mut std::io::stdout()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(WATCH_INTERVAL);
    }
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scope {
    Network,
    Cluster(ClusterId),
    Node(ClusterId, NodeId),
}

impl Scope {
    fn of(access: &Access, name: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = name else { return Ok(Self::Network) };
        let is = |other: &str, number: u32| other == name || name.parse() == Ok(number);
        let clusters = in_service(&access.roster);
        if let Some(cluster) = clusters.iter().find(|c| is(&c.name, c.id.0)) {
            return Ok(Self::Cluster(cluster.id));
        }
        for cluster in &clusters {
            if let Some(node) = cluster.nodes.iter().find(|n| is(&n.name, n.id.0)) {
                return Ok(Self::Node(cluster.id, node.id));
            }
        }
        Err(Failure::invalid(format!(
            "the roster has no cluster or node {name:?} in service; expected one that duohuo status shows"
        )))
    }

    fn has(self, cluster: ClusterId) -> bool {
        match self {
            Self::Network => true,
            Self::Cluster(id) | Self::Node(id, _) => id == cluster,
        }
    }

    /// Whether somebody who was asked is shown: the authority always.
    fn shows(self, node: NodeId) -> bool {
        match self {
            Self::Network | Self::Cluster(_) => true,
            Self::Node(_, id) => id == node || node == NodeId::AUTHORITY,
        }
    }

    /// The authority, and the nodes of what is looked at; of a node's cluster all, since its master says how far it is behind.
    fn ask(self, access: &Access, timeout: Duration) -> Vec<Answer> {
        let in_it = |server: &Server| access.roster.node(server.id).is_some_and(|(c, _)| self.has(c.id));
        let nodes = access.nodes().into_iter().filter(in_it);
        ask_these(access, &std::iter::once(access.authority()).chain(nodes).collect::<Vec<_>>(), timeout)
    }
}

/// Everybody at the same time, the authority first.
pub(crate) fn ask_all(access: &Access, timeout: Duration) -> Vec<Answer> {
    let servers: Vec<_> = std::iter::once(access.authority()).chain(access.nodes()).collect();
    ask_these(access, &servers, timeout)
}

fn ask_these(access: &Access, servers: &[Server], timeout: Duration) -> Vec<Answer> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = servers
            .iter()
            .map(|server| {
                scope.spawn(move || (*server, access.status(server, timeout).map_err(|e| e.to_string())))
            })
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// Where an operator paused automatic switches, in words, if anywhere and if the authority tells.
pub(crate) fn paused(access: &Access, timeout: Duration) -> Option<String> {
    let mut client = access.connect(&access.authority(), timeout).ok()?;
    let (_, extensions) = ask_answer(&mut client, timeout).ok()?;
    let clusters = operations::paused(&extensions)?;
    if clusters.contains(&ClusterId(0)) {
        return Some("everywhere".into());
    }
    let name =
        |id: &ClusterId| access.roster.cluster(*id).map_or_else(|| id.0.to_string(), |c| c.name.clone());
    (!clusters.is_empty()).then(|| clusters.iter().map(name).collect::<Vec<_>>().join(", "))
}

fn place(access: &Access, server: &Server) -> (String, String, String) {
    access.roster.node(server.id).map_or_else(
        || ("-".into(), "authority".into(), "-".into()),
        |(cluster, node)| (cluster.name.clone(), node.name.clone(), node.room.0.to_string()),
    )
}

pub(crate) fn role_name(report: &StatusReport) -> &'static str {
    if report.node == NodeId::AUTHORITY {
        return "authority";
    }
    match report.role {
        Role::Master => "MASTER",
        Role::Standby => "standby",
        Role::Ordinary => "ordinary",
    }
}

pub(crate) fn state(report: &StatusReport) -> &'static str {
    if report.halted {
        "HALTED"
    } else if report.node == NodeId::AUTHORITY {
        "up"
    } else if report.barred.contains(&report.node) {
        "barred"
    } else if report.in_sync.contains(&report.node) {
        "in sync"
    } else {
        "catching up"
    }
}

/// One line of the table about a node.
struct Line {
    node: String,
    address: String,
    room: String,
    role: String,
    state: String,
    priority: String,
    height: String,
    lag: String,
    pool: String,
    hash: String,
}

impl Line {
    const HEAD: [&'static str; 10] =
        ["Node", "Address", "Room", "Role", "State", "Prio", "Height", "Lag", "Pool", "State hash"];

    fn cells(&self) -> [&str; 10] {
        [
            &self.node,
            &self.address,
            &self.room,
            &self.role,
            &self.state,
            &self.priority,
            &self.height,
            &self.lag,
            &self.pool,
            &self.hash,
        ]
    }
}

/// Numbers stand on the right.
const RIGHT: [bool; 10] = [false, false, true, false, false, true, true, true, true, false];

/// What the newest report of a cluster says: epoch, version, master.
fn newest<'a>(
    answers: &'a [Answer],
    nodes: &'a [duohuo_wire::roster::NodeEntry],
) -> Option<&'a StatusReport> {
    let ours = answers.iter().filter(|(s, _)| nodes.iter().any(|n| n.id == s.id));
    ours.filter_map(|(_, a)| a.as_ref().ok()).max_by_key(|r| (r.epoch, r.version))
}

fn as_table(access: &Access, answers: &[Answer], paused: Option<&str>, scope: &Scope) -> String {
    let mut out = String::new();
    let authority = answers.iter().find(|(s, _)| s.id == NodeId::AUTHORITY);
    if let Some((server, answer)) = authority {
        // writing to a string cannot fail
        let _ = match answer {
            Ok(r) => writeln!(
                out,
                "authority {}: {}, {} of {} clusters registered, roster version {} here",
                server.address,
                state(r),
                r.rows.len(),
                access.roster.clusters.len(),
                access.roster.version
            ),
            Err(why) => writeln!(out, "authority {}: NO ANSWER: {why}", server.address),
        };
    }
    if let Some(paused) = paused {
        let _ = writeln!(out, "automatic switches are paused: {paused} (duohuo resume ends it)");
    }
    for cluster in in_service(&access.roster).iter().filter(|c| scope.has(c.id)) {
        let newest = newest(answers, &cluster.nodes);
        let master = newest.and_then(|r| cluster.nodes.iter().find(|n| n.id == r.master));
        let top = newest.map_or(0, |r| {
            let of = |id| answers.iter().find(|(s, _)| s.id == id).and_then(|(_, a)| a.as_ref().ok());
            of(r.master).map_or(r.height.0, |m| m.height.0)
        });
        let shown = cluster.nodes.iter().filter(|n| scope.shows(n.id));
        let lines: Vec<Line> = shown.map(|n| line(n, answers, top)).collect();
        let title = match (newest, master) {
            (Some(r), Some(m)) => format!(
                " Cluster {} ({})  epoch {}.{}  master {} ",
                cluster.name, cluster.id.0, r.epoch.0, r.version.0, m.name
            ),
            (Some(_), None) => format!(" Cluster {} ({})  no master yet ", cluster.name, cluster.id.0),
            (None, _) => format!(" Cluster {} ({})  nobody answers ", cluster.name, cluster.id.0),
        };
        boxed(&mut out, &title, &lines);
    }
    for (server, answer) in answers.iter().filter(|(s, _)| s.id != NodeId::AUTHORITY && scope.shows(s.id)) {
        match answer {
            Err(why) => {
                let (_, name, _) = place(access, server);
                let _ = writeln!(out, "{name}: {why}");
            }
            Ok(report) if matches!(scope, Scope::Node(..)) => out.push_str(&details(access, report)),
            Ok(_) => {}
        }
    }
    out
}

/// What a node says of itself beside its line.
fn details(access: &Access, report: &StatusReport) -> String {
    let name = |id: NodeId| access.roster.node(id).map_or_else(|| id.0.to_string(), |(_, n)| n.name.clone());
    let names = |ids: Vec<String>| if ids.is_empty() { "nobody".to_owned() } else { ids.join(", ") };
    let of = |ids: &[NodeId]| names(ids.iter().map(|id| name(*id)).collect());
    let hears = names(report.neighbours.iter().filter(|n| n.alive).map(|n| name(n.node)).collect());
    let standby = if report.standby == NodeId(0) { "nobody".to_owned() } else { name(report.standby) };
    let dropped = report.discards.iter().filter(|(_, count)| *count > 0);
    let dropped: Vec<String> = dropped.map(|(label, count)| format!("{label} {count}")).collect();
    let dropped = if dropped.is_empty() { "nothing".to_owned() } else { dropped.join(", ") };
    format!(
        "in sync: {}; barred: {}; standby: {standby}; hears: {hears}\nup for {} s; dropped since then: {dropped}\n",
        of(&report.in_sync),
        of(&report.barred),
        report.uptime_ms / 1000
    )
}

fn line(node: &duohuo_wire::roster::NodeEntry, answers: &[Answer], top: u64) -> Line {
    let answer = answers.iter().find(|(s, _)| s.id == node.id).map(|(_, a)| a);
    let mut line = Line {
        node: node.name.clone(),
        address: node.address.to_string(),
        room: node.room.0.to_string(),
        role: String::new(),
        state: "NO ANSWER".into(),
        priority: node.priority.to_string(),
        height: String::new(),
        lag: String::new(),
        pool: String::new(),
        hash: String::new(),
    };
    if let Some(Ok(r)) = answer {
        line.role = role_name(r).into();
        line.state = if r.authority_up { state(r).into() } else { format!("{}, no authority", state(r)) };
        line.height = r.height.0.to_string();
        line.lag = top.saturating_sub(r.height.0).to_string();
        line.pool = r.pool.to_string();
        line.hash = hex(r.state_hash.get(..8).unwrap_or_default());
    }
    line
}

fn boxed(out: &mut String, title: &str, lines: &[Line]) {
    let mut widths = Line::HEAD.map(str::len);
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line.cells()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rule: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+";
    let row = |cells: [&str; 10], right: &[bool]| {
        let cell = |((cell, width), right): ((&str, &usize), &bool)| {
            if *right { format!("| {cell:>width$} ") } else { format!("| {cell:<width$} ") }
        };
        cells.into_iter().zip(&widths).zip(right).map(cell).collect::<String>() + "|"
    };
    let rest: String = rule.chars().skip(title.chars().count() + 1).collect();
    let _ = writeln!(out, "+{title}{rest}");
    let _ = writeln!(out, "{}", row(Line::HEAD, &RIGHT));
    let _ = writeln!(out, "{rule}");
    for line in lines {
        let _ = writeln!(out, "{}", row(line.cells(), &RIGHT));
    }
    let _ = writeln!(out, "{rule}");
}

/// The columns only grow, at the end; the schema's number is in each line, as it is in the JSON.
fn as_tsv(access: &Access, answers: &[Answer]) -> String {
    let mut out = String::from(
        "cluster\tnode\tname\troom\taddress\trole\tstate\tepoch\tversion\tmaster\theight\tstate_hash\tpool\tauthority_up\tuptime_ms\terror\tschema\n",
    );
    for (server, answer) in answers {
        let (cluster, name, room) = place(access, server);
        let _ = write!(out, "{cluster}\t{}\t{name}\t{room}\t{}", server.id.0, server.address);
        let _ = match answer {
            Ok(r) => writeln!(
                out,
                "\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t\t{SCHEMA}",
                role_name(r),
                state(r),
                r.epoch.0,
                r.version.0,
                r.master.0,
                r.height.0,
                hex(&r.state_hash),
                r.pool,
                r.authority_up,
                r.uptime_ms
            ),
            Err(why) => writeln!(out, "{}{}\t{SCHEMA}", "\t".repeat(11), why.replace(['\t', '\n'], " ")),
        };
    }
    out
}

fn as_json(access: &Access, answers: &[Answer], paused: Option<&str>) -> serde_json::Value {
    let nodes: Vec<_> = answers
        .iter()
        .map(|(server, answer)| {
            let (cluster, name, room) = place(access, server);
            let mut value = serde_json::json!({
                "node": server.id.0, "name": name, "cluster": cluster, "room": room, "address": server.address.to_string(),
            });
            let more = match answer {
                Ok(r) => report_json(r),
                Err(why) => serde_json::json!({ "error": why }),
            };
            if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
                value.extend(more.clone());
            }
            value
        })
        .collect();
    serde_json::json!({ "schema": SCHEMA, "nodes": nodes, "paused": paused })
}

pub(crate) fn report_json(r: &StatusReport) -> serde_json::Value {
    let ids = |ids: &[NodeId]| ids.iter().map(|n| n.0).collect::<Vec<_>>();
    serde_json::json!({
        "role": role_name(r), "state": state(r), "epoch": r.epoch.0, "version": r.version.0, "master": r.master.0,
        "standby": r.standby.0, "in_sync": ids(&r.in_sync), "barred": ids(&r.barred), "height": r.height.0,
        "state_hash": hex(&r.state_hash), "pool": r.pool, "authority_up": r.authority_up, "halted": r.halted,
        "uptime_ms": r.uptime_ms, "conflicts": r.conflicts,
        "discards": r.discards.iter().map(|(k, v)| (k.clone(), serde_json::Value::from(*v))).collect::<serde_json::Map<_, _>>(),
        "rows": r.rows.iter().map(|row| serde_json::json!({
            "cluster": row.cluster.0, "epoch": row.epoch.0, "version": row.version.0, "master": row.master.0,
            "in_sync": ids(&row.in_sync), "barred": ids(&row.barred), "unfenced": row.unfenced,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_title_in_its_first_rule_and_straight_edges() {
        let line = |node: &str, height: &str| Line {
            node: node.into(),
            address: "10.0.1.11:4750".into(),
            room: "1".into(),
            role: "MASTER".into(),
            state: "in sync".into(),
            priority: "200".into(),
            height: height.into(),
            lag: "0".into(),
            pool: "3".into(),
            hash: "0011223344556677".into(),
        };
        let mut out = String::new();
        boxed(&mut out, " Cluster A (1)  epoch 7.2  master a1 ", &[line("a1", "18221"), line("a2", "9")]);
        assert_eq!(
            out,
            "\
+ Cluster A (1)  epoch 7.2  master a1 --+---------+------+--------+-----+------+------------------+
| Node | Address        | Room | Role   | State   | Prio | Height | Lag | Pool | State hash       |
+------+----------------+------+--------+---------+------+--------+-----+------+------------------+
| a1   | 10.0.1.11:4750 |    1 | MASTER | in sync |  200 |  18221 |   0 |    3 | 0011223344556677 |
| a2   | 10.0.1.11:4750 |    1 | MASTER | in sync |  200 |      9 |   0 |    3 | 0011223344556677 |
+------+----------------+------+--------+---------+------+--------+-----+------+------------------+
"
        );
    }
}
