//! `duohuo drill`: a takeover of a cluster rehearsed by each of its standbys, one after the other, with votes suppressed
//! (spec/behaviour.md 6.2). Each goes the way of a real one, over the same connections and disks, up to the first word, which is
//! thrown away; nothing that anybody decides by is changed.
//!
//! Whom the authority would grant follows from its own table by the rules of spec/behaviour.md 4.3 and 5.2; the times are those
//! of the standbys' own clocks.

use crate::access::{Access, AccessArgs, Server, ask_answer, ask_with};
use crate::failure::{FAILED, Failure};
use clap::{Args, ValueEnum};
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::operations::paused;
use duohuo_wire::packet::Outcome;
use duohuo_wire::rehearsal::{self, RehearsalEnd, Rehearsed};
use duohuo_wire::roster::{ClusterEntry, NodeEntry};
use duohuo_wire::statement::Row;
use duohuo_wire::status::StatusReport;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Between two rehearsals of one node: it refuses those that come sooner (B-DRL-4).
const PAUSE: Duration = Duration::from_millis(520);
/// So often one that was held by somebody else a moment ago is tried again.
const TRIES: u32 = 4;
/// A node gives up after two seconds, and says so.
const PATIENCE: Duration = Duration::from_secs(3);
/// The authority's inquiry, which a rehearsal leaves out: three probes, 1 ms apart (spec/behaviour.md 2).
const INQUIRY_US: u64 = 3_000;

/// What a rehearsal cannot be without being the real thing.
const NOT_EXERCISED: [&str; 4] = [
    "that the master falls silent: it went on; when it would be suspected follows from its keepalives. One whose process ends is known at once, by its closed connections",
    "that the authority asks the master once more: three probes, 1 ms apart, are counted as 3 ms; a master that comes late as a rule is given more",
    "the grant itself: no row was signed, no epoch given, and no word left its node; its connections to the other masters were not opened",
    "what acts outside the chain: no program was run, and no virtual address moved; to see them, hand over: duohuo switchover",
];

/// Rehearse a takeover: each standby goes the way of a real one, up to its first vote, which is thrown away; nothing is changed
#[derive(Args, Debug)]
#[command(after_help = format!("Each standby in turn claims, under an epoch that is nobody's; the authority checks and writes as for a grant; the standby writes as for its promise, starts the chain's core from its log, and throws \
away what that would say; the members of its set get the log and write as for a new master. Nobody is suspected, nothing is granted, and the master goes on; it costs the cluster a few small writes.\n\n\
To see a real one, hand over: duohuo switchover.\n\nExit status: 0 it could; 1 it could not, and why; 2 wrong usage; 3 no answer from the authority; 4 a configuration, key or roster file is invalid"))]
pub(crate) struct DrillArgs {
    /// The cluster, by name or number
    cluster: String,
    #[command(flatten)]
    access: AccessArgs,
    /// How often each standby rehearses; the slowest counts
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    /// For people
    #[default]
    Table,
    /// One object, with the number of its schema
    Json,
}

/// What one party answered.
struct Asked {
    report: StatusReport,
    paused: Vec<ClusterId>,
}

/// A standby that could be granted, and what its slowest rehearsal came to.
struct Standby<'a> {
    node: &'a NodeEntry,
    came_to: Result<Rehearsed, String>,
}

/// All that was found.
struct Drill<'a> {
    row: Row,
    /// In the order of the election: the first would be granted.
    standbys: Vec<Standby<'a>>,
    /// Why it would not come about.
    against: Vec<String>,
    /// What an operator should know, though it would come about.
    beside: Vec<String>,
}

pub(crate) fn run(args: &DrillArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let clusters = crate::network::in_service(&access.roster);
    let named = |c: &&ClusterEntry| c.name == args.cluster || args.cluster.parse() == Ok(c.id.0);
    let cluster = clusters.iter().find(named).ok_or_else(|| {
        let names: Vec<_> = clusters.iter().map(|c| c.name.as_str()).collect();
        Failure::invalid(format!("the roster has no cluster {:?}; it has {}", args.cluster, names.join(", ")))
    })?;
    let timeout = Duration::from_secs(args.timeout);
    let authority = ask(&access, &access.authority(), timeout)
        .map_err(|e| Failure::unreachable(format!("the authority did not answer: {e}")))?;
    let servers: BTreeMap<NodeId, Server> =
        access.nodes().into_iter().map(|server| (server.id, server)).collect();
    let of = |id: &NodeId| servers.get(id).ok_or_else(|| "it is not in service".to_owned());
    let nodes: BTreeMap<NodeId, Result<Asked, String>> = cluster
        .nodes
        .iter()
        .map(|node| (node.id, of(&node.id).and_then(|server| ask(&access, server, timeout))))
        .collect();
    let row = authority.report.rows.iter().find(|row| row.cluster == cluster.id).cloned();
    let row = row.ok_or_else(|| {
        Failure::failed(format!("{} has no master yet; start its nodes, then try again", cluster.name))
    })?;
    let rehearsed =
        |id: NodeId| of(&id).and_then(|server| slowest(&access, server, args.rounds, timeout.max(PATIENCE)));
    let drill = hold(cluster, row, &authority, &nodes, rehearsed);
    match args.output {
        Format::Table => print!("{}", as_table(cluster, &drill)),
        Format::Json => println!("{}", as_json(cluster, &drill)),
    }
    Ok(ExitCode::from(if drill.against.is_empty() { 0 } else { FAILED }))
}

fn ask(access: &Access, server: &Server, timeout: Duration) -> Result<Asked, String> {
    let mut client = access.connect(server, timeout).map_err(|e| e.to_string())?;
    let (report, extensions) = ask_answer(&mut client, timeout).map_err(|e| e.to_string())?;
    Ok(Asked { report, paused: paused(&extensions).unwrap_or_default() })
}

/// So many rehearsals of one node: the first that did not go all the way, or the slowest.
fn slowest(access: &Access, server: &Server, rounds: u32, timeout: Duration) -> Result<Rehearsed, String> {
    let mut worst: Option<Rehearsed> = None;
    let (mut round, mut tries) = (0, 0);
    let mut begun: Option<Instant> = None;
    while round < rounds {
        if let Some(begun) = begun {
            std::thread::sleep(PAUSE.saturating_sub(begun.elapsed()));
        }
        begun = Some(Instant::now());
        let mut client = access.connect(server, timeout).map_err(|e| e.to_string())?;
        let (_, extensions) =
            ask_with(&mut client, rehearsal::asking(), timeout).map_err(|e| e.to_string())?;
        let Some(rehearsed) = Rehearsed::of(&extensions) else {
            return Err("its program is older and does not rehearse; upgrade it".into());
        };
        if rehearsed.end == RehearsalEnd::Busy && tries < TRIES {
            tries += 1;
            continue;
        }
        if rehearsed.end != RehearsalEnd::Whole {
            return Ok(rehearsed);
        }
        if worst.as_ref().is_none_or(|worst| from_claim_us(&rehearsed) > from_claim_us(worst)) {
            worst = Some(rehearsed);
        }
        round += 1;
    }
    worst.ok_or_else(|| "it was not asked".into())
}

/// The rules of a claim (spec/behaviour.md 4.3) and of the election (5.2), and then the rehearsals of those that could be granted.
fn hold<'a>(
    cluster: &'a ClusterEntry,
    row: Row,
    authority: &Asked,
    nodes: &BTreeMap<NodeId, Result<Asked, String>>,
    mut rehearse: impl FnMut(NodeId) -> Result<Rehearsed, String>,
) -> Drill<'a> {
    let (mut against, mut beside) = (Vec::new(), Vec::new());
    let answered = |id: NodeId| nodes.get(&id).and_then(|asked| asked.as_ref().ok());
    if authority.paused.iter().any(|id| *id == cluster.id || *id == ClusterId(0)) {
        against.push("automatic switches are paused; duohuo resume ends that".into());
    }
    if row.unfenced {
        against.push(
            "its master was forced and its fence does not stand yet; wait until the chain goes on".into(),
        );
    }
    let mut fit: Vec<&NodeEntry> = Vec::new();
    for node in cluster.nodes.iter().filter(|n| n.id != row.master) {
        let why_not = match answered(node.id) {
            _ if node.priority == 0 => continue,
            _ if row.barred.contains(&node.id) => "is barred after a wrong result; duohuo unbar clears it",
            _ if !row.in_sync.contains(&node.id) => "is not in the in-sync set: it is down or catching up",
            None => "does not answer",
            Some(asked) if asked.report.halted => "has halted; its log says why",
            Some(asked) if !asked.report.authority_up => "has no connection to the authority",
            Some(asked) if (asked.report.epoch, asked.report.version) != (row.epoch, row.version) => {
                "does not know the newest row yet; try again"
            }
            Some(_) => {
                fit.push(node);
                continue;
            }
        };
        beside.push(format!("{} {why_not}", node.name));
    }
    fit.sort_by_key(|n| (core::cmp::Reverse(n.priority), n.id));
    let standbys: Vec<Standby<'a>> =
        fit.into_iter().map(|node| Standby { node, came_to: rehearse(node.id) }).collect();
    if standbys.is_empty() {
        against.push("nobody could take over".into());
    }
    for (place, standby) in standbys.iter().enumerate() {
        if let Some(why) = what_stopped(cluster, standby) {
            let told = format!("{} {why}", standby.node.name);
            if place == 0 { against.push(told) } else { beside.push(told) }
        }
        let Ok(rehearsed) = &standby.came_to else { continue };
        let older = "the authority's program is older and writes nothing for a rehearsal: its write is not in the figures";
        if rehearsed.outcome == Some(Outcome::Stale) && !beside.iter().any(|note| note == older) {
            beside.push(older.into());
        }
        if rehearsed.end == RehearsalEnd::Whole && rehearsed.members.is_empty() {
            beside.push(format!(
                "{} would be alone in the in-sync set: nobody could take over from it",
                standby.node.name
            ));
        }
    }
    if answered(row.master).is_none() {
        beside.push(format!("its master {} does not answer here", name_of(cluster, row.master)));
    }
    Drill { row, standbys, against, beside }
}

/// Why a rehearsal did not go all the way; `None`: it did.
fn what_stopped(cluster: &ClusterEntry, standby: &Standby<'_>) -> Option<String> {
    let rehearsed = match &standby.came_to {
        Ok(rehearsed) => rehearsed,
        Err(why) => return Some(format!("could not be asked to rehearse: {why}")),
    };
    let late = |m: &&rehearsal::Rehearsing| m.acknowledged_us.is_none();
    Some(match rehearsed.end {
        RehearsalEnd::Whole => return None,
        RehearsalEnd::Unfit => "would not claim now: it catches up, waits for its sealed cluster ID, or its master is not heard; try again".into(),
        RehearsalEnd::Busy => "rehearses for somebody else; try again".into(),
        RehearsalEnd::NoAuthority => "got no answer from the authority within 2 s: does its UDP pass?".into(),
        RehearsalEnd::Refused => match rehearsed.outcome {
            Some(Outcome::Paused) => "would be refused: automatic switches are paused".into(),
            Some(Outcome::HoldDown) => "would be refused: its cluster was switched too often a moment ago".into(),
            Some(Outcome::Starting) => "would be refused: the authority has just started".into(),
            Some(outcome) => format!("would be refused: {outcome:?}"),
            None => "would be refused".into(),
        },
        RehearsalEnd::WouldHalt => "would halt: its log does not replay; keep its store, and read \"halted\" in spec/behaviour.md, section 6".into(),
        RehearsalEnd::NoMember => {
            let names: Vec<_> =
                rehearsed.members.iter().filter(late).map(|m| name_of(cluster, m.node)).collect();
            format!("got no acknowledgement within 2 s of {}: is it up, and is its program as new?", names.join(", "))
        }
        RehearsalEnd::Overtaken => "was interrupted by a real takeover or a catch-up; look: duohuo history".into(),
        RehearsalEnd::TooLong => "has more than 4 MiB of log at the open height, which is not sent for a rehearsal; try again".into(),
    })
}

fn name_of(cluster: &ClusterEntry, id: NodeId) -> String {
    cluster.nodes.iter().find(|n| n.id == id).map_or_else(|| id.0.to_string(), |n| n.name.clone())
}

/// Of the members, the one that came last; `None`: there is none, or one did not come.
fn last_member_us(rehearsed: &Rehearsed) -> Option<u32> {
    let came: Option<Vec<u32>> = rehearsed.members.iter().map(|m| m.acknowledged_us).collect();
    came?.into_iter().max()
}

/// From the claim to the first word, as one follows from the other: the note is written while the authority decides; the own
/// promise and the members' go side by side, and the core starts before any of them is sent.
fn from_claim_us(rehearsed: &Rehearsed) -> Option<u64> {
    let claimed = rehearsed.claimed_us?.max(rehearsed.noted_us?);
    let others = if rehearsed.members.is_empty() { 0 } else { last_member_us(rehearsed)? };
    let ready = rehearsed.promised_us?.max(rehearsed.started_us?).max(others);
    Some(u64::from(claimed) + INQUIRY_US + u64::from(ready))
}

fn from_last_heard_us(rehearsed: &Rehearsed) -> Option<u64> {
    Some(u64::from(rehearsed.suspected_us?) + from_claim_us(rehearsed)?)
}

type Figure = fn(&Rehearsed) -> Option<u64>;

/// The phases in their order, with the keys of the JSON.
const PHASES: [(&str, &str, Figure); 9] = [
    ("its master would be suspected after a silence of", "suspected", |r| r.suspected_us.map(u64::from)),
    ("its claim at the authority, written there, answered", "claimed", |r| r.claimed_us.map(u64::from)),
    ("  beside that: the epoch noted on its own disk", "noted", |r| r.noted_us.map(u64::from)),
    ("the authority asks the master (not done; counted)", "inquiry", |_| Some(INQUIRY_US)),
    ("the chain's core started from its log", "started", |r| r.started_us.map(u64::from)),
    ("its promise on its own disk", "promised", |r| r.promised_us.map(u64::from)),
    ("its log on the disks of all others of its set", "acknowledged", |r| last_member_us(r).map(u64::from)),
    ("from its claim to its first word", "from_claim", from_claim_us),
    ("from its master's last keepalive, at most", "from_last_heard", from_last_heard_us),
];

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1000.0
}

fn names(cluster: &ClusterEntry, heir: &Standby<'_>) -> String {
    let others = heir.came_to.iter().flat_map(|r| &r.members).map(|m| name_of(cluster, m.node));
    core::iter::once(heir.node.name.clone()).chain(others).collect::<Vec<_>>().join(", ")
}

fn as_table(cluster: &ClusterEntry, drill: &Drill<'_>) -> String {
    let Drill { row, standbys, against, beside } = drill;
    let mut out = format!(
        "drill: cluster {}, epoch {}; its master {} goes on\n",
        cluster.name,
        row.epoch.0,
        name_of(cluster, row.master)
    );
    if let Some(heir) = standbys.first() {
        out.push_str(&format!(
            "the authority would grant epoch {} to {}, in sync: {}\n",
            row.epoch.next().0,
            heir.node.name,
            names(cluster, heir)
        ));
    }
    let rehearsed: Vec<(&str, &Rehearsed)> =
        standbys.iter().filter_map(|s| Some((s.node.name.as_str(), s.came_to.as_ref().ok()?))).collect();
    if !rehearsed.is_empty() {
        let width = PHASES.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        out.push_str(&format!("\n  {:<width$}", "ms"));
        for (name, _) in &rehearsed {
            out.push_str(&format!("  {name:>10}"));
        }
        for (name, _, figure) in PHASES {
            out.push_str(&format!("\n  {name:<width$}"));
            for (_, one) in &rehearsed {
                let told = figure(one).map_or_else(|| "-".into(), |us| format!("{:.1}", ms(us)));
                out.push_str(&format!("  {told:>10}"));
            }
        }
        out.push_str("\n\n");
    }
    for (name, one) in &rehearsed {
        let each = one.members.iter().map(|m| {
            let told =
                |us: Option<u32>| us.map_or_else(|| "-".into(), |us| format!("{:.1} ms", ms(us.into())));
            format!(
                "; {} {}, of it its disk {}",
                name_of(cluster, m.node),
                told(m.acknowledged_us),
                told(m.durable_us)
            )
        });
        let each: String = each.collect();
        let idle = if one.records == 0 { "; no height was open: there was nothing to say" } else { "" };
        out.push_str(&format!(
            "{name}: {} records replayed, {} words made and thrown away{idle}{each}\n",
            one.records, one.words
        ));
    }
    for line in NOT_EXERCISED {
        out.push_str(&format!("not exercised: {line}\n"));
    }
    for line in beside {
        out.push_str(&format!("note: {line}\n"));
    }
    for line in against {
        out.push_str(&format!("NO: {line}\n"));
    }
    out.push_str(if against.is_empty() {
        "it could; nothing was changed\n"
    } else {
        "it could not; nothing was changed\n"
    });
    out
}

fn as_json(cluster: &ClusterEntry, drill: &Drill<'_>) -> serde_json::Value {
    let Drill { row, standbys, against, beside } = drill;
    let heir = standbys.first();
    let set = heir.and_then(|heir| Some((heir.node.id, heir.came_to.as_ref().ok()?)));
    let set: Vec<u32> = set
        .map(|(id, r)| core::iter::once(id.0).chain(r.members.iter().map(|m| m.node.0)).collect())
        .unwrap_or_default();
    let in_ms = |us: Option<u64>| us.map(ms);
    let standbys: Vec<_> = standbys
        .iter()
        .map(|standby| match &standby.came_to {
            Err(why) => json!({ "node": standby.node.id.0, "name": standby.node.name, "error": why }),
            Ok(r) => {
                let phases: serde_json::Map<_, _> = PHASES
                    .iter()
                    .map(|(_, key, figure)| (format!("{key}_ms"), json!(in_ms(figure(r)))))
                    .collect();
                let members: Vec<_> = r
                    .members
                    .iter()
                    .map(|m| {
                        let span = |us: Option<u32>| in_ms(us.map(u64::from));
                        json!({ "node": m.node.0, "acknowledged_ms": span(m.acknowledged_us), "durable_ms": span(m.durable_us) })
                    })
                    .collect();
                json!({
                    "node": standby.node.id.0, "name": standby.node.name, "whole": r.end == RehearsalEnd::Whole,
                    "end": format!("{:?}", r.end), "outcome": r.outcome.map(|o| format!("{o:?}")),
                    "phases": phases, "members": members, "records": r.records, "words": r.words,
                })
            }
        })
        .collect();
    json!({
        "schema": 2, "cluster": cluster.name, "epoch": row.epoch.0, "version": row.version.0, "master": row.master.0,
        "would_grant": heir.map(|s| s.node.id.0), "would_be_in_sync": set, "standbys": standbys,
        "not_exercised": NOT_EXERCISED, "against": against, "beside": beside, "could": against.is_empty(),
    })
}

#[cfg(test)]
#[path = "drill_tests.rs"]
mod tests;
