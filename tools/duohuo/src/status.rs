//! `duohuo status`: asks every node and the authority, and prints one table.

use crate::access::{Access, AccessArgs, Server};
use crate::failure::{EXIT_HELP, Failure, UNREACHABLE};
use clap::Args;
use duohuo_driver::keys::hex;
use duohuo_wire::ids::NodeId;
use duohuo_wire::status::{Role, StatusReport};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Show who is master, standby and in sync, and how far each ledger is
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    access: AccessArgs,
    /// Print one JSON object instead of a table; it also holds the counters of discarded input
    #[arg(long)]
    json: bool,
    /// Seconds to wait for each answer; all are asked at the same time
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

type Answer = (Server, Result<StatusReport, String>);

pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode, Failure> {
    let access = Access::open(&args.access)?;
    let servers: Vec<_> = std::iter::once(access.authority()).chain(access.nodes()).collect();
    let timeout = Duration::from_secs(args.timeout);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = servers
            .iter()
            .map(|server| {
                let access = &access;
                scope.spawn(move || (*server, access.status(server, timeout).map_err(|e| e.to_string())))
            })
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if args.json {
        println!("{}", as_json(&access, &answers));
    } else {
        print!("{}", as_table(&access, &answers));
    }
    let all_there = answers.iter().all(|(_, answer)| answer.is_ok());
    Ok(if all_there { ExitCode::SUCCESS } else { ExitCode::from(UNREACHABLE) })
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

fn state(report: &StatusReport) -> &'static str {
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

fn as_table(access: &Access, answers: &[Answer]) -> String {
    let mut out = String::new();
    // writing to a string cannot fail
    let _ = writeln!(
        out,
        "{:<10} {:<10} {:>4}  {:<21} {:<10} {:<11} {:>6} {:>9}  {:<16} {:>6}",
        "cluster", "node", "room", "address", "role", "state", "epoch", "height", "state hash", "pool"
    );
    for (server, answer) in answers {
        let (cluster, name, room) = place(access, server);
        let _ = write!(out, "{cluster:<10} {name:<10} {room:>4}  {:<21} ", server.address.to_string());
        let _ = match answer {
            Ok(r) if r.node == NodeId::AUTHORITY => writeln!(out, "{:<10} {:<11}", role_name(r), state(r)),
            Ok(r) => writeln!(
                out,
                "{:<10} {:<11} {:>6} {:>9}  {:<16} {:>6}",
                role_name(r),
                state(r),
                r.epoch.0,
                r.height.0,
                hex(r.state_hash.get(..8).unwrap_or_default()),
                r.pool
            ),
            Err(why) => writeln!(out, "no answer: {why}"),
        };
    }
    out
}

fn as_json(access: &Access, answers: &[Answer]) -> serde_json::Value {
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
    serde_json::json!({ "schema": 1, "nodes": nodes })
}

fn report_json(r: &StatusReport) -> serde_json::Value {
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
