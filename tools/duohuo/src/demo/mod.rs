//! `duohuo demo`: a whole network on this machine, its failures, and the proof that nothing was lost.

mod load;
mod observer;
mod picture;
mod processes;
mod report;
mod screen;
mod stage;
mod steps;

use crate::access::Access;
use crate::layout::Layout;
use crate::network::{Network, Settings};
use clap::Args;
use duohuo_driver::keys::hex;
use duohuo_wire::ids::NodeId;
use load::Load;
use observer::Observer;
use picture::Picture;
use processes::Processes;
use report::{Audit, CRASH_BOUND_MS, Transactions, median};
use screen::{Mode, Screen};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use stage::Stage;
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use steps::Scenario;

/// Start a whole network on this machine, break it in every way the patent names, and check that nothing is lost
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// What happens
    #[arg(long, value_enum, default_value_t = Scenario::Tour)]
    scenario: Scenario,
    /// Leave the network running until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// One JSON object per event, the summary last
    #[arg(long)]
    json: bool,
    /// Keep keys, stores and logs
    #[arg(long)]
    keep_files: bool,
    /// Milliseconds between keepalives
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    keepalive_interval_ms: u64,
    /// Kill so many masters one after the other (scenario master-fails)
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
}

/// All transfers must be answered within this after the last fault.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A little quiet after the last transfer, so that every node has the last block.
const QUIET: Duration = Duration::from_millis(300);
/// Ports below the range from which systems take theirs.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_ATTEMPTS: u32 = 100;

pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(|e| format!("signals: {e}"))?;
    }
    let directory = tempfile::Builder::new()
        .prefix("duohuo-demo-")
        .tempdir()
        .map_err(|e| format!("temporary directory: {e}"))?;
    let mode = match (args.json, std::io::stdout().is_terminal()) {
        (true, _) => Mode::Json,
        (false, true) => Mode::Live,
        (false, false) => Mode::Plain,
    };
    let screen = Arc::new(Screen::new(mode));
    if mode == Mode::Live {
        print!("\x1b[2J");
    }
    let outcome = perform(args, directory.path().to_owned(), &screen, interrupted);
    let ok = matches!(&outcome, Ok(true));
    if args.keep_files || !ok {
        let path = directory.keep();
        eprintln!("keys, stores and logs are in {}", path.display());
    }
    match outcome {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(why) => {
            screen.json("summary", json!({ "ok": false, "error": why }));
            Err(why)
        }
    }
}

fn perform(
    args: &DemoArgs,
    directory: PathBuf,
    screen: &Arc<Screen>,
    interrupted: Arc<AtomicBool>,
) -> Result<bool, String> {
    let layout = free_layout(args.scenario)?;
    let settings = Settings { keepalive_interval_ms: args.keepalive_interval_ms, drill: true };
    let network = Network::create(&directory, &layout, settings).map_err(|e| e.to_string())?;
    let access =
        |name: &str| Access::from_config(&directory.join(format!("{name}.toml"))).map_err(|e| e.to_string());
    let picture = Arc::new(Picture::default());
    let observer = Observer::new(access("observer")?, Arc::clone(&picture), Arc::clone(screen));
    let load = Load::start(access("load")?);
    let drawing = screen.start(Arc::clone(&picture), Arc::clone(&load.state));
    let mut stage = Stage {
        processes: Processes::new()?,
        network,
        observer,
        load: Some(load),
        picture,
        screen: Arc::clone(screen),
        interrupted,
        reports: Vec::new(),
        fallen: Vec::new(),
    };
    let begun = Instant::now();
    let played = open(&mut stage, begun).and_then(|()| stage.play(args.scenario, args.repeat));
    let transfers_answered = close(&mut stage, played.is_ok());
    let final_height = ledgers_agree(&mut stage);
    let late = stage.processes.stop_all();
    stage.show_live();
    let audit = audit(&stage);
    screen.stop();
    if let Some(drawing) = drawing {
        let _ = drawing.join();
    }
    let mut problems: Vec<String> = stage.fallen.clone();
    problems.extend(played.err());
    problems.extend(transfers_answered.err());
    problems.extend(final_height.err());
    problems.extend(late.iter().map(|id| format!("{} did not stop when told to", stage.name_of(*id))));
    let ok = tell(&stage, &audit, problems, begun.elapsed());
    if args.keep {
        keep(&mut stage)?;
    }
    Ok(ok)
}

/// Everybody starts, registers, and is in sync.
fn open(stage: &mut Stage, begun: Instant) -> Result<(), String> {
    stage.screen.doing("start the authority and the nodes");
    stage.screen.json(
        "started",
        json!({ "directory": stage.network.directory, "nodes": stage.network.roster.all_nodes().count() }),
    );
    stage.start_all()?;
    stage.settle()?;
    stage.chain_goes_on()?;
    let nodes = stage.processes.live().len();
    stage.screen.say(&format!(
        "authority and {nodes} nodes are up and in sync after {:.1} s",
        begun.elapsed().as_secs_f64()
    ));
    stage.screen.say(&report::head());
    Ok(())
}

/// No new transfers; all old ones answered.
fn close(stage: &mut Stage, all_well: bool) -> Result<(), String> {
    let Some(mut load) = stage.load.take() else { return Ok(()) };
    stage.screen.doing("wait for the last transfers");
    let timeout = if all_well { ANSWER_TIMEOUT } else { Duration::from_secs(1) };
    // the observer's height is still needed by nobody: no new transfers are made
    let answered = load.finish(timeout);
    let state = Arc::clone(&load.state);
    stage.load = Some(load);
    stage.pause(QUIET)?;
    let failed = state.failed.load(Ordering::Relaxed);
    let waiting = state.outstanding.load(Ordering::Relaxed);
    if !answered {
        return Err(format!("{waiting} transfers were never answered"));
    }
    if failed > 0 {
        return Err(format!("{failed} transfers were refused or expired"));
    }
    Ok(())
}

/// Every live node's ledger, told and compared.
fn ledgers_agree(stage: &mut Stage) -> Result<(), String> {
    let live = stage.processes.live();
    let mut view = stage.picture.view();
    let mut lines = Vec::new();
    for id in live {
        let Some(report) = view.nodes.get(&id).and_then(|n| n.report.clone()) else {
            lines.push(json!({ "node": id.0, "error": "no report" }));
            continue;
        };
        if report.height.0 > 0 {
            view.hash(report.height.0, report.state_hash, id);
        }
        lines.push(json!({ "node": id.0, "height": report.height.0, "state_hash": hex(&report.state_hash) }));
    }
    let silent = lines.iter().any(|l| l.get("error").is_some());
    drop(view);
    stage.screen.json("ledgers", json!({ "nodes": lines }));
    if stage.screen.mode() != Mode::Json {
        for line in &lines {
            let text = |key: &str| {
                line.get(key).map(|v| v.to_string().trim_matches('"').to_owned()).unwrap_or_default()
            };
            stage.screen.say(&format!(
                "node {:<5} height {:<7} ledger {}{}",
                text("node"),
                text("height"),
                text("state_hash"),
                text("error")
            ));
        }
    }
    if silent { Err("a live node did not report its ledger".into()) } else { Ok(()) }
}

fn audit(stage: &Stage) -> Audit {
    let stores: Vec<_> = stage
        .network
        .roster
        .all_nodes()
        .map(|(_, n)| (n.id, stage.network.store_path(n.id)))
        .filter(|(_, path)| path.exists())
        .collect();
    report::audit(stores.iter().map(|(id, path)| (*id, path.as_path())), stage.network.roster.consortium)
}

/// The end of the story. `true`: all is well.
fn tell(stage: &Stage, audit: &Audit, mut problems: Vec<String>, took: Duration) -> bool {
    let ids = stage.load.as_ref().map(Load::ids).unwrap_or_default();
    let transactions = Transactions::count(&ids, &audit.counts);
    // a block that holds one transaction twice, whoever sent it, counts too
    let twice = audit.counts.values().filter(|n| **n > 1).count() as u64;
    let duplicated = transactions.duplicated.max(twice);
    let view = stage.picture.view();
    problems.extend(audit.problems.iter().cloned());
    problems.extend(view.halted.iter().map(|id| format!("{} stopped signing by itself", stage.name_of(*id))));
    problems.extend(view.told.iter().cloned());
    let agree = view.different_hashes == 0 && audit.different_blocks == 0;
    let steps_ok = !stage.reports.is_empty() && stage.reports.iter().all(report::StepReport::ok);
    let ok = problems.is_empty()
        && steps_ok
        && agree
        && transactions.lost == 0
        && duplicated == 0
        && transactions.submitted > 0
        && view.conflicting_votes == 0;
    let crash = median(
        stage
            .reports
            .iter()
            .filter(|r| r.name == "master-fails")
            .filter_map(report::StepReport::commit_ms)
            .collect(),
    );
    let crash_text = crash.map(|ms| {
        let verdict = if ms <= CRASH_BOUND_MS { "within" } else { "ABOVE" };
        format!("kill -9 of a master to the first commit: {ms:.1} ms in the median, {verdict} the bound of {CRASH_BOUND_MS} ms (10 ms keepalives, idle machine)")
    });
    if stage.screen.mode() == Mode::Json {
        for problem in &problems {
            println!("{}", json!({ "event": "problem", "text": problem }));
        }
        if let Some(text) = crash_text {
            println!("{}", json!({ "event": "note", "text": text }));
        }
        println!(
            "{}",
            json!({
                "event": "summary", "ok": ok, "steps": stage.reports.iter().map(report::StepReport::json).collect::<Vec<_>>(),
                "transactions": {
                    "submitted": transactions.submitted, "committed": transactions.committed,
                    "lost": transactions.lost, "duplicated": duplicated,
                },
                "ledger": { "height": audit.height, "agree": agree }, "conflicting_votes": view.conflicting_votes,
            })
        );
        return ok;
    }
    println!("\n{}", report::head());
    for step in &stage.reports {
        println!("{}", step.line());
    }
    println!();
    println!(
        "transfers   submitted {}   committed {}   lost {}   applied twice {duplicated}",
        transactions.submitted, transactions.committed, transactions.lost
    );
    println!(
        "ledger      height {}, {} on all nodes",
        audit.height,
        if agree { "the same" } else { "NOT THE SAME" }
    );
    println!("votes       {} compared, {} conflicting", view.votes_compared(), view.conflicting_votes);
    if let Some(text) = crash_text {
        println!("{text}");
    }
    for problem in &problems {
        println!("problem     {problem}");
    }
    println!("{} after {:.1} s", if ok { "ALL WELL" } else { "FAILED" }, took.as_secs_f64());
    ok
}

/// Start it all again, from its stores, and wait for Ctrl-C.
fn keep(stage: &mut Stage) -> Result<(), String> {
    if stage.interrupted.load(Ordering::Relaxed) {
        return Ok(());
    }
    stage.start_all()?;
    let settled = stage.settle();
    let access = stage.network.directory.join("client.toml");
    let program = std::env::current_exe().map_or_else(|_| "duohuo".into(), |p| p.display().to_string());
    let text = format!(
        "the network runs until Ctrl-C; look at it with\n  {program} status --config {access}\n  {program} submit --config {access} --from 1 --to 2 --amount 5",
        access = access.display()
    );
    if stage.screen.mode() == Mode::Json {
        eprintln!("{text}")
    } else {
        println!("{text}")
    }
    settled?;
    while !stage.interrupted.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    let all: BTreeSet<NodeId> = stage.processes.live();
    stage.processes.stop(&all);
    stage.processes.stop_all();
    Ok(())
}

/// A layout whose addresses are all free.
fn free_layout(scenario: Scenario) -> Result<Layout, String> {
    for _ in 0..PORT_ATTEMPTS {
        let random = duohuo_driver::keys::random().first_chunk::<2>().copied().map_or(0, u16::from_be_bytes);
        let port = PORTS.start + random % (PORTS.end - PORTS.start);
        let layout = match scenario {
            Scenario::TwoCompanies => Layout::two_companies(port),
            _ => Layout::four_companies(port),
        };
        if layout.addresses().all(|at| UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()) {
            return Ok(layout);
        }
    }
    Err("no port is free on all addresses 127.x.x.x; stop another demo, or check that loopback is up (ip addr show lo)".into())
}
