//! `duohuo drill`: what a failover of a cluster would be now, and how long it would take, without one. Nothing is ordered,
//! nobody is suspected, nothing is signed: all that happens is that every party is asked for its report, some times over, so
//! that nothing of it can move a master (P1 is not in reach of a client that asks).
//!
//! Whom the authority would grant follows from its own table by the rules of spec/behaviour.md 4.3 and 5.2. The times are those
//! of the parties themselves: how long their disks took lately until a write was durable, and how long a question and its answer
//! take from here.

use crate::access::{Access, AccessArgs, Server, ask_answer};
use crate::failure::{FAILED, Failure};
use clap::{Args, ValueEnum};
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::operations::{DiskTimes, paused};
use duohuo_wire::roster::{ClusterEntry, NodeEntry};
use duohuo_wire::statement::Row;
use duohuo_wire::status::StatusReport;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Rehearse a failover of a cluster: who would take over, whether it could, and how long each step would take; nothing is changed
#[derive(Args, Debug)]
#[command(after_help = format!("What it cannot measure is how long the fault takes to be noticed: a process that ends is known at once (its connections close; three probes, 1 ms apart), a machine \
that falls silent after 1.5 keepalive intervals. To see a real one, hand over: duohuo switchover.\n\nExit status: 0 it could; 1 it could not, and why; 2 wrong usage; 3 no answer from the authority; 4 a \
configuration, key or roster file is invalid"))]
pub(crate) struct DrillArgs {
    /// The cluster, by name or number
    cluster: String,
    #[command(flatten)]
    access: AccessArgs,
    /// How often each party is asked; the slowest answer counts
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
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
    /// The slowest question and its answer.
    round_trip: Duration,
    disk: Option<DiskTimes>,
    paused: Vec<ClusterId>,
}

fn ask(access: &Access, server: &Server, args: &DrillArgs) -> Result<Asked, String> {
    let timeout = Duration::from_secs(args.timeout);
    let told = |e: duohuo_driver::client::ClientError| e.to_string();
    let mut client = access.connect(server, timeout).map_err(told)?;
    let mut slowest = Duration::ZERO;
    let mut last = ask_answer(&mut client, timeout).map_err(told)?;
    for _ in 0..args.rounds {
        let begun = Instant::now();
        last = ask_answer(&mut client, timeout).map_err(told)?;
        slowest = slowest.max(begun.elapsed());
    }
    let (report, extensions) = last;
    Ok(Asked {
        report,
        round_trip: slowest,
        disk: DiskTimes::of(&extensions),
        paused: paused(&extensions).unwrap_or_default(),
    })
}

/// One step of a failover.
struct Step {
    name: String,
    took: Duration,
    /// What the figure is made of.
    by: String,
}

/// What came of it.
struct Rehearsal<'a> {
    row: Row,
    /// Who would be granted.
    heir: Option<&'a NodeEntry>,
    /// The set after it.
    set: Vec<&'a NodeEntry>,
    steps: Vec<Step>,
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
    let authority = ask(&access, &access.authority(), args)
        .map_err(|e| Failure::unreachable(format!("the authority did not answer: {e}")))?;
    let nodes: BTreeMap<NodeId, Result<Asked, String>> = access
        .nodes()
        .iter()
        .filter(|server| cluster.nodes.iter().any(|n| n.id == server.id))
        .map(|server| (server.id, ask(&access, server, args)))
        .collect();
    let row = authority.report.rows.iter().find(|row| row.cluster == cluster.id).cloned();
    let row = row.ok_or_else(|| {
        Failure::failed(format!("{} has no master yet; start its nodes, then try again", cluster.name))
    })?;
    let rehearsal = rehearse(cluster, row, &authority, &nodes);
    match args.output {
        Format::Table => print!("{}", as_table(cluster, &rehearsal)),
        Format::Json => println!("{}", as_json(cluster, &rehearsal)),
    }
    Ok(ExitCode::from(if rehearsal.against.is_empty() { 0 } else { FAILED }))
}

/// The rules of a claim (spec/behaviour.md 4.3) and of the election (5.2), for a master that is gone this moment.
fn rehearse<'a>(
    cluster: &'a ClusterEntry,
    row: Row,
    authority: &Asked,
    nodes: &BTreeMap<NodeId, Result<Asked, String>>,
) -> Rehearsal<'a> {
    let (mut against, mut beside) = (Vec::new(), Vec::new());
    let name = |id: NodeId| {
        cluster.nodes.iter().find(|n| n.id == id).map_or_else(|| id.0.to_string(), |n| n.name.clone())
    };
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
    let heir = fit.first().copied();
    let mut set = Vec::new();
    let mut steps = Vec::new();
    if let Some((heir, asked)) = heir.and_then(|heir| Some((heir, answered(heir.id)?))) {
        let hears = |id: NodeId| asked.report.neighbours.iter().any(|n| n.node == id && n.alive);
        set = cluster
            .nodes
            .iter()
            .filter(|n| row.in_sync.contains(&n.id) && !row.barred.contains(&n.id) && n.id != row.master)
            .filter(|n| n.id == heir.id || hears(n.id))
            .collect();
        if let Some(lag) =
            answered(row.master).map(|m| m.report.height.0.saturating_sub(asked.report.height.0))
            && lag > 1
        {
            beside.push(format!("{} is {lag} blocks behind, which it fetches before it proposes", heir.name));
        }
        steps = the_steps(heir, asked, authority, set.iter().filter_map(|n| Some((*n, answered(n.id)?))));
        if set.len() == 1 {
            beside.push(format!(
                "{} would be alone in the in-sync set: nobody could take over from it",
                heir.name
            ));
        }
    } else {
        against.push("nobody could take over".into());
    }
    if answered(row.master).is_none() {
        beside.push(format!("its master {} does not answer here", name(row.master)));
    }
    Rehearsal { row, heir, set, steps, against, beside }
}

fn the_steps<'a>(
    heir: &NodeEntry,
    asked: &Asked,
    authority: &Asked,
    set: impl Iterator<Item = (&'a NodeEntry, &'a Asked)>,
) -> Vec<Step> {
    let half = |trip: Duration| trip / 2;
    let disk = |asked: &Asked| Duration::from_micros(asked.disk.unwrap_or_default().worst_us.into());
    let told = |asked: &Asked| match asked.disk {
        Some(d) => format!("its last write {}, the worst lately {}", ms_of(d.last_us), ms_of(d.worst_us)),
        None => "it has written nothing yet".into(),
    };
    let mut steps = vec![
        Step {
            name: format!("the claim of {} reaches the authority", heir.name),
            took: half(authority.round_trip),
            by: "half a question and answer from here, the slowest".into(),
        },
        Step {
            name: "the authority asks the master once more".into(),
            took: PROBES,
            by: "three probes, 1 ms apart; none if its connection is closed but one".into(),
        },
        Step { name: "its decision is durable".into(), took: disk(authority), by: told(authority) },
        Step {
            name: format!("{} hears of it", heir.name),
            took: half(asked.round_trip),
            by: "half a question and answer from here, the slowest".into(),
        },
        Step { name: "its promise is durable".into(), took: disk(asked), by: told(asked) },
    ];
    let slowest = set
        .filter(|(n, _)| n.id != heir.id)
        .map(|(n, member)| (n, member, member.round_trip + disk(member)))
        .max_by_key(|(.., took)| *took);
    if let Some((n, member, took)) = slowest {
        steps.push(Step {
            name: format!("{} has its log, the slowest of the set", n.name),
            took,
            by: format!("a question and answer from here, and {}", told(member)),
        });
    }
    steps
}

/// Of the authority's inquiry (spec/behaviour.md 2).
const PROBES: Duration = Duration::from_millis(3);

fn ms_of(us: u32) -> String {
    format!("{:.1} ms", f64::from(us) / 1000.0)
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn names(nodes: &[&NodeEntry]) -> String {
    nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn as_table(cluster: &ClusterEntry, rehearsal: &Rehearsal<'_>) -> String {
    let Rehearsal { row, heir, set, steps, against, beside } = rehearsal;
    let master = cluster.nodes.iter().find(|n| n.id == row.master).map_or("?", |n| n.name.as_str());
    let mut out = format!(
        "drill: cluster {}, if {master}, its master of epoch {}, were gone now\n",
        cluster.name, row.epoch.0
    );
    if let Some(heir) = heir {
        out.push_str(&format!(
            "the authority would grant epoch {} to {}, in sync: {}\n",
            row.epoch.next().0,
            heir.name,
            names(set)
        ));
    }
    let width = steps.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
    for step in steps {
        out.push_str(&format!("  {:<width$} {:>8.1} ms  {}\n", step.name, ms(step.took), step.by));
    }
    if !steps.is_empty() {
        let sum: Duration = steps.iter().map(|s| s.took).sum();
        out.push_str(&format!(
            "  {:<width$} {:>8.1} ms\n",
            "from the claim to its first word, at most",
            ms(sum)
        ));
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

fn as_json(cluster: &ClusterEntry, rehearsal: &Rehearsal<'_>) -> serde_json::Value {
    let Rehearsal { row, heir, set, steps, against, beside } = rehearsal;
    let steps: Vec<_> =
        steps.iter().map(|s| json!({ "step": s.name, "ms": ms(s.took), "by": s.by })).collect();
    json!({
        "schema": 1, "cluster": cluster.name, "epoch": row.epoch.0, "version": row.version.0, "master": row.master.0,
        "would_grant": heir.map(|n| n.id.0), "would_be_in_sync": set.iter().map(|n| n.id.0).collect::<Vec<_>>(),
        "steps": steps, "against": against, "beside": beside, "could": against.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::{Epoch, Height, RoomId, Version};
    use duohuo_wire::status::{NeighbourStatus, Role};

    const A1: NodeId = NodeId(101);
    const A2: NodeId = NodeId(102);
    const A3: NodeId = NodeId(103);

    fn cluster() -> ClusterEntry {
        let node = |id: NodeId, priority| NodeEntry {
            id,
            name: format!("a{}", id.0 - 100),
            room: RoomId(1),
            priority,
            address: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
            session_key: [0; 32],
            signing_key: [0; 32],
        };
        ClusterEntry {
            id: ClusterId(1),
            name: "A".into(),
            group: std::net::SocketAddr::from(([239, 0, 0, 1], 1)),
            nodes: vec![node(A1, 200), node(A2, 150), node(A3, 100)],
        }
    }

    fn row() -> Row {
        Row {
            cluster: ClusterId(1),
            epoch: Epoch(7),
            version: Version(2),
            master: A1,
            in_sync: vec![A1, A2, A3],
            ..Default::default()
        }
    }

    fn asked(id: NodeId) -> Asked {
        let neighbour = |node| NeighbourStatus {
            node,
            alive: true,
            role: Role::Ordinary,
            priority: 100,
            height: Height(5),
            age_us: 10,
        };
        Asked {
            report: StatusReport {
                node: id,
                epoch: Epoch(7),
                version: Version(2),
                authority_up: true,
                height: Height(5),
                neighbours: [A1, A2, A3].into_iter().filter(|n| *n != id).map(neighbour).collect(),
                ..Default::default()
            },
            round_trip: Duration::from_millis(2),
            disk: Some(DiskTimes { last_us: 900, worst_us: 4_000 }),
            paused: Vec::new(),
        }
    }

    fn all() -> BTreeMap<NodeId, Result<Asked, String>> {
        [A1, A2, A3].into_iter().map(|id| (id, Ok(asked(id)))).collect()
    }

    #[test]
    fn the_next_in_order_would_be_granted_and_the_steps_add_up() {
        let cluster = cluster();
        let found = rehearse(&cluster, row(), &asked(NodeId(0)), &all());
        assert_eq!(found.heir.map(|n| n.id), Some(A2));
        assert_eq!(names(&found.set), "a2, a3");
        assert!(
            found.against.is_empty() && found.beside.is_empty(),
            "{:?} {:?}",
            found.against,
            found.beside
        );
        let took: Vec<_> = found.steps.iter().map(|s| ms(s.took)).collect();
        assert_eq!(took, [1.0, 3.0, 4.0, 1.0, 4.0, 6.0]);
        let told = as_table(&cluster, &found);
        assert!(told.contains("would grant epoch 8 to a2, in sync: a2, a3\n"), "{told}");
        assert!(told.ends_with("it could; nothing was changed\n"), "{told}");
    }

    #[test]
    fn who_is_barred_away_halted_or_not_in_sync_is_passed_over_and_the_reason_told() {
        let cluster = cluster();
        let mut nodes = all();
        nodes.insert(A2, Err("refused".into()));
        let found = rehearse(&cluster, row(), &asked(NodeId(0)), &nodes);
        assert_eq!(found.heir.map(|n| n.id), Some(A3));
        assert!(found.beside.contains(&"a2 does not answer".to_owned()), "{:?}", found.beside);
        let barred = Row { barred: vec![A2], in_sync: vec![A1, A2], ..row() };
        let found = rehearse(&cluster, barred, &asked(NodeId(0)), &all());
        assert_eq!(found.heir.map(|n| n.id), None);
        assert_eq!(found.against, ["nobody could take over"]);
        assert!(
            as_table(&cluster, &found)
                .ends_with("NO: nobody could take over\nit could not; nothing was changed\n")
        );
    }

    #[test]
    fn a_pause_and_a_fence_that_does_not_stand_are_against_it() {
        let cluster = cluster();
        for paused in [ClusterId(0), ClusterId(1)] {
            let authority = Asked { paused: vec![paused], ..asked(NodeId(0)) };
            let found = rehearse(&cluster, row(), &authority, &all());
            assert!(found.against.iter().any(|why| why.contains("paused")), "{paused:?}");
        }
        let elsewhere = Asked { paused: vec![ClusterId(2)], ..asked(NodeId(0)) };
        assert!(rehearse(&cluster, row(), &elsewhere, &all()).against.is_empty());
        let unfenced = Row { unfenced: true, ..row() };
        let found = rehearse(&cluster, unfenced, &asked(NodeId(0)), &all());
        assert!(found.against.iter().any(|why| why.contains("fence")), "{:?}", found.against);
    }
}
