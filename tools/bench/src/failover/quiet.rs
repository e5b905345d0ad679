//! Nothing happens but work: how often a master is switched for no reason, ours and the peers' at the same time, each in
//! namespaces of its own, while all processors are busy and memory is allocated, touched and given back.

use super::ours::Unasked;
use super::{Conditions, Errand, Network, Peer, Scheduling, What, cell_side, keepalived};
use clap::Args;
use duohuo_rig::hosts::cell::Cell;
use serde::Serialize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Until all networks stand, before the work begins.
const START: Duration = Duration::from_secs(30);
/// Of our chain between two heights, as nodes have it by default.
const PAUSE_MS: u64 = 10;
/// What the memory hog touches, again and again.
const MEMORY_BYTES: usize = 1 << 30;
const PAGE_BYTES: usize = 4096;

/// Options of `quiet`.
#[derive(Args)]
pub(crate) struct Options {
    /// How long all processors are busy.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    minutes: u64,
    /// Milliseconds between two keepalives of ours and two packets of the peers.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    interval_ms: u64,
    /// Busy threads for each processor.
    #[arg(long, default_value_t = 2)]
    busy: usize,
    #[command(flatten)]
    scheduling: Scheduling,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    measurement: &'static str,
    minutes: u64,
    #[serde(flatten)]
    conditions: Conditions,
    processors: usize,
    busy_threads: usize,
    load_average_after: String,
    /// Of ten processes: four clusters and the authority.
    ours: Unasked,
    /// Takeovers of two.
    keepalived: u64,
    /// Sessions that went down, of one.
    bfd: u64,
    met: bool,
}

/// Measure; exit status 1 if ours was switched, 3 if it could not be measured.
pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(report) if options.json => {
            println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
            ExitCode::from(u8::from(!report.met))
        }
        Ok(report) => {
            println!(
                "{} minutes at {} ms with {} busy threads on {} processors, load {}",
                report.minutes,
                report.conditions.interval_ms,
                report.busy_threads,
                report.processors,
                report.load_average_after
            );
            println!(
                "ours: {} switches (target 0), {} suspicions, {} claims, {} refused; keepalived: {} takeovers; bfdd: {} times down",
                report.ours.switches,
                report.ours.suspicions,
                report.ours.claims,
                report.ours.refusals,
                report.keepalived,
                report.bfd
            );
            ExitCode::from(u8::from(!report.met))
        }
        Err(why) => {
            eprintln!("duohuo-bench quiet: {why}");
            ExitCode::from(3)
        }
    }
}

fn measure(options: &Options) -> Result<Report, String> {
    options.scheduling.check()?;
    super::build_duohuo()?;
    keepalived::version()?;
    super::bfd::version()?;
    let cell = Cell::permitted()?;
    let directory = tempfile::tempdir().map_err(|e| format!("temporary directory: {e}"))?;
    let seconds = START.as_secs() + options.minutes * 60;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let busy_threads = processors * options.busy;
    let is_over = Arc::new(AtomicBool::new(false));
    let conditions = Conditions {
        network: Network::Small,
        pause_ms: PAUSE_MS,
        interval_ms: options.interval_ms,
        scheduling: options.scheduling,
    };
    let side = |peer: Option<Peer>| {
        let name = peer.map_or_else(|| "ours".into(), Peer::name);
        let errand = Errand { peer, conditions, what: What::Quiet { seconds } };
        let patience = Duration::from_secs(seconds * 2 + 120);
        cell_side(&cell, &errand, &directory.path().join(name), patience)
    };
    let (ours, keepalived, bfd) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| side(None));
        let keepalived = scope.spawn(|| side(Some(Peer::Keepalived)));
        let bfd = scope.spawn(|| side(Some(Peer::Bfd)));
        for _ in 0..busy_threads {
            let is_over = Arc::clone(&is_over);
            scope.spawn(move || keep_busy(&is_over));
        }
        scope.spawn(|| touch_memory(&is_over));
        let joined = (ours.join(), keepalived.join(), bfd.join());
        is_over.store(true, Ordering::Relaxed);
        joined
    });
    let text =
        |side: std::thread::Result<Result<String, String>>| side.unwrap_or_else(|_| Err("panicked".into()));
    let read = |e: serde_json::Error| e.to_string();
    let ours: Unasked = serde_json::from_str(&text(ours)?).map_err(read)?;
    let met = ours.switches == 0;
    Ok(Report {
        measurement: "quiet",
        minutes: options.minutes,
        conditions,
        processors,
        busy_threads,
        load_average_after: std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned(),
        ours,
        keepalived: serde_json::from_str(&text(keepalived)?).map_err(read)?,
        bfd: serde_json::from_str(&text(bfd)?).map_err(read)?,
        met,
    })
}

fn wait_until_all_stand(is_over: &AtomicBool) {
    let from = Instant::now() + START;
    while Instant::now() < from && !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn keep_busy(is_over: &AtomicBool) {
    wait_until_all_stand(is_over);
    let mut x = 1u64;
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..10_000 {
            x = std::hint::black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
    }
}

fn touch_memory(is_over: &AtomicBool) {
    wait_until_all_stand(is_over);
    while !is_over.load(Ordering::Relaxed) {
        let mut memory = vec![0u8; MEMORY_BYTES];
        for page in memory.chunks_mut(PAGE_BYTES) {
            if let Some(first) = page.first_mut() {
                *first = std::hint::black_box(1);
            }
        }
        std::hint::black_box(&memory);
    }
}
