//! `duohuo demo`: a whole network on this machine, its failures, and the proof that nothing was lost.

mod report;
mod screen;
mod stage;
mod steps;

use crate::access::Access;
use crate::failure::Failure;
use crate::layout::Layout;
use crate::network::{Network, Settings};
use clap::Args;
use duohuo_driver::keys::hex;
use duohuo_rig::audit::{self, Audit, Transactions};
use duohuo_rig::{load, observer, picture, processes};
use load::Load;
use observer::{Observer, Told};
use picture::Picture;
use processes::Processes;
use report::{CRASH_BOUND_MS, StepReport, median};
use screen::{Mode, Screen, print_line};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use stage::Stage;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use steps::Scenario;

/// Start a whole network on this machine, break it in every way the patent names, and check that nothing is lost
#[derive(Args, Debug)]
#[command(after_help = DEMO_HELP)]
pub(crate) struct DemoArgs {
    /// Which faults
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Scenario::Tour)]
    scenario: Scenario,
    /// Afterwards leave the network running until Ctrl-C, and print how to look at it
    #[arg(long)]
    keep: bool,
    /// Print one JSON object per event, the summary last
    #[arg(long)]
    json: bool,
    /// Keep keys, stores and logs in their temporary directory; they are kept anyway if something fails
    #[arg(long)]
    keep_files: bool,
    /// Milliseconds between keepalives, 1..=10000
    #[arg(long, value_name = "MS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    keepalive_interval_ms: u64,
    /// Kill so many masters one after the other, 1..=1000 (scenario master-fails)
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// For tests only: all processes append the keys of their sessions to this file, so that captures can be read
    #[cfg(feature = "key-log")]
    #[arg(long, value_name = "FILE")]
    key_log: Option<PathBuf>,
}

impl DemoArgs {
    /// What each process is told beside its configuration.
    fn of_processes(&self) -> Result<Vec<OsString>, String> {
        #[cfg(feature = "key-log")]
        if let Some(path) = &self.key_log {
            let path = std::path::absolute(path).map_err(|e| format!("{}: {e}", path.display()))?;
            return Ok(vec!["--key-log".into(), path.into()]);
        }
        Ok(Vec::new())
    }
}

const DEMO_HELP: &str = "Exit status: 0 nothing was lost or applied twice, all ledgers agree, no conflicting vote was seen, and every recovery \
happened; 1 otherwise; 2 wrong usage";

/// All transfers must be answered within this after the last fault.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A little quiet after the last transfer, so that every node has the last block.
const QUIET: Duration = Duration::from_millis(300);
/// Ports below the range from which systems take theirs.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_ATTEMPTS: u32 = 100;

pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|e| Failure::failed(format!("signals: {e}")))?;
    }
    let directory = tempfile::Builder::new().prefix("duohuo-demo-").tempdir().map_err(|e| {
        Failure::failed(format!("temporary directory: {e}; expected a writable one: set TMPDIR"))
    })?;
    let mode = match (args.json, std::io::stdout().is_terminal()) {
        (true, _) => Mode::Json,
        (false, true) => Mode::Live,
        (false, false) => Mode::Plain,
    };
    let screen = Arc::new(Screen::new(mode));
    let outcome = perform(args, directory.path().to_owned(), &screen, interrupted);
    screen.stop();
    let ok = matches!(&outcome, Ok(true));
    if args.keep_files || !ok {
        let path = directory.keep();
        eprintln!("keys, stores and logs are in {}", path.display());
    }
    match outcome {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(why) => {
            if mode == Mode::Json {
                screen.json("problem", json!({ "text": why }));
                screen.close(&summary(false, &[], &Transactions::default(), 0, true, 0));
            }
            Err(Failure::failed(why))
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
    let told = Arc::clone(screen);
    let told: Told = Arc::new(move |from, event| told.protocol_event(from, event));
    let observer = Observer::new(access("observer")?, Arc::clone(&picture), told);
    let load = Load::start(access("load")?);
    screen.start(Arc::clone(&picture), Arc::clone(&load.state));
    let program = std::env::current_exe().map_err(|e| format!("where is this program: {e}"))?;
    let mut stage = Stage {
        processes: Processes::new(program, args.of_processes()?),
        network,
        observer,
        load: Some(load),
        picture,
        screen: Arc::clone(screen),
        interrupted,
        reports: Vec::new(),
        fallen: Vec::new(),
        overtaken: false,
    };
    let begun = Instant::now();
    let played = open(&mut stage, begun).and_then(|()| stage.play(args.scenario, args.repeat));
    let transfers_answered = close(&mut stage, played.is_ok());
    let (ledgers, all_told) = ledgers(&mut stage);
    let late = stage.processes.stop_all();
    stage.show_live();
    let audit = audit(&stage);
    screen.stop();
    let mut problems: Vec<String> = stage.fallen.clone();
    problems.extend(played.err());
    problems.extend(transfers_answered.err());
    problems.extend(all_told.err());
    // the same reason can end the steps and the waiting after them
    problems.dedup();
    problems.extend(late.iter().map(|id| format!("{} did not stop when told to", stage.name_of(*id))));
    let ok = tell(&stage, &audit, &ledgers, problems, begun.elapsed());
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

/// Every live node's ledger, compared, in lines for people; an error if one is not known.
fn ledgers(stage: &mut Stage) -> (Vec<String>, Result<(), String>) {
    let mut view = stage.picture.view();
    let (mut values, mut owners, mut silent) = (Vec::new(), BTreeMap::<_, Vec<String>>::new(), None);
    for id in stage.processes.live() {
        let name = stage.name_of(id);
        let Some(report) = view.nodes.get(&id).and_then(|n| n.report.clone()) else {
            values.push(json!({ "node": id.0, "error": "no report" }));
            silent = Some(format!("{name} did not report its ledger"));
            continue;
        };
        if report.height.0 > 0 {
            view.hash(report.height.0, report.state_hash, id);
        }
        let hash = hex(&report.state_hash);
        values.push(json!({ "node": id.0, "height": report.height.0, "state_hash": hash }));
        owners.entry((report.height.0, hash)).or_default().push(name);
    }
    drop(view);
    stage.screen.json("ledgers", json!({ "nodes": values }));
    let lines = owners.into_iter().flat_map(|((height, hash), names)| {
        [format!("ledger      {hash}"), format!("            height {height}: {}", names.join(" "))]
    });
    (lines.collect(), silent.map_or(Ok(()), Err))
}

fn audit(stage: &Stage) -> Audit {
    let stores: Vec<_> = stage
        .network
        .roster
        .all_nodes()
        .map(|(_, n)| (n.id, stage.network.store_path(n.id)))
        .filter(|(_, path)| path.exists())
        .collect();
    audit::audit(stores.iter().map(|(id, path)| (*id, path.as_path())), stage.network.roster.consortium)
}

/// The last JSON object, as the interface promises it.
fn summary(
    ok: bool,
    steps: &[StepReport],
    transactions: &Transactions,
    height: u64,
    agree: bool,
    conflicting_votes: u64,
) -> serde_json::Value {
    json!({
        "event": "summary", "ok": ok, "steps": steps.iter().map(StepReport::json).collect::<Vec<_>>(),
        "transactions": {
            "submitted": transactions.submitted, "committed": transactions.committed,
            "lost": transactions.lost, "duplicated": transactions.duplicated,
        },
        "ledger": { "height": height, "agree": agree }, "conflicting_votes": conflicting_votes,
    })
}

/// The end of the story. `true`: all is well.
fn tell(stage: &Stage, audit: &Audit, ledgers: &[String], mut problems: Vec<String>, took: Duration) -> bool {
    let ids = stage.load.as_ref().map(Load::ids).unwrap_or_default();
    let mut transactions = Transactions::count(&ids, &audit.counts);
    // a block that holds one transaction twice, whoever sent it, counts too
    let twice = audit.counts.values().filter(|n| **n > 1).count() as u64;
    transactions.duplicated = transactions.duplicated.max(twice);
    let view = stage.picture.view();
    problems.extend(audit.problems.iter().cloned());
    problems.extend(view.halted.iter().map(|id| format!("{} stopped signing by itself", stage.name_of(*id))));
    problems.extend(view.told.iter().cloned());
    let agree = view.different_hashes == 0 && audit.different_blocks == 0;
    let ok = problems.is_empty()
        && !stage.reports.is_empty()
        && stage.reports.iter().all(StepReport::ok)
        && agree
        && transactions.lost == 0
        && transactions.duplicated == 0
        && transactions.submitted > 0
        && view.conflicting_votes == 0
        && view.broken_epochs == 0;
    let crash = crash_line(&stage.reports);
    if stage.screen.mode() == Mode::Json {
        for problem in &problems {
            stage.screen.json("problem", json!({ "text": problem }));
        }
        if let Some(text) = crash {
            stage.screen.json("note", json!({ "text": text }));
        }
        stage.screen.close(&summary(
            ok,
            &stage.reports,
            &transactions,
            audit.height,
            agree,
            view.conflicting_votes,
        ));
        return ok;
    }
    print_line(&format!("\n{}", report::head()));
    for step in &stage.reports {
        print_line(&step.line());
    }
    print_line("");
    for line in ledgers {
        print_line(line);
    }
    print_line(&format!(
        "ledger      height {}, {} on all nodes",
        audit.height,
        if agree { "the same" } else { "NOT THE SAME" }
    ));
    print_line(&format!(
        "transfers   submitted {}   committed {}   lost {}   applied twice {}",
        transactions.submitted, transactions.committed, transactions.lost, transactions.duplicated
    ));
    print_line(&format!(
        "votes       {} compared, {} conflicting",
        view.votes_compared(),
        view.conflicting_votes
    ));
    if let Some(text) = crash {
        print_line(&text);
    }
    for problem in &problems {
        print_line(&format!("problem     {problem}"));
    }
    print_line(&format!("{} after {:.1} s", if ok { "ALL WELL" } else { "FAILED" }, took.as_secs_f64()));
    ok
}

/// What a crash of a master costs, and whether that is what was promised.
fn crash_line(steps: &[StepReport]) -> Option<String> {
    let crashes = steps.iter().filter(|r| r.name == "master-fails").filter_map(StepReport::commit_ms);
    let ms = median(crashes.collect())?;
    let verdict = if ms <= CRASH_BOUND_MS { "kept" } else { "MISSED" };
    Some(format!(
        "crash       kill -9 to first commit {ms:.1} ms (median); bound {CRASH_BOUND_MS} ms (idle): {verdict}"
    ))
}

/// Start it all again, from its stores, and wait for Ctrl-C.
fn keep(stage: &mut Stage) -> Result<(), String> {
    if stage.interrupted.load(Ordering::Relaxed) {
        return Ok(());
    }
    stage.start_all()?;
    let settled = stage.settle();
    let access = quoted(&stage.network.directory.join("client.toml"));
    let program = std::env::current_exe().map_or_else(|_| "duohuo".into(), |p| quoted(&p));
    // the summary stays the last JSON object on standard output
    let say =
        |text: &str| if stage.screen.mode() == Mode::Json { eprintln!("{text}") } else { print_line(text) };
    if let Err(why) = settled {
        say(&format!("the network runs again, but {why}"));
    }
    say(&format!(
        "the network runs until Ctrl-C; look at it with\n  {program} status --config {access}\n  {program} submit --config {access} --from 1 --to 2 --amount 5"
    ));
    while !stage.interrupted.load(Ordering::Relaxed) {
        for (id, status) in stage.processes.fallen() {
            eprintln!("{} ended by itself: {status}", stage.name_of(id));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    stage.processes.stop_all();
    Ok(())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
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
