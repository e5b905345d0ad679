//! The authority alone: keepalives on one core against the bare limit, grants with a durable log, memory, and a room of
//! clusters that fail at once.

mod bare;
mod grants;
mod keepalives;
mod stage;

use clap::Args;
use duohuo_core::Duration;
use grants::{Grants, Room};
use keepalives::Keepalives;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// A keepalive costs at most so much more than the bare limit: bare / authority.
const MIN_RATIO: f64 = 0.80;
/// Keepalives in a queue: as many as there can be fresh ones of 64 masters.
const BATCH: usize = 64;
/// At so many masters.
const RATIO_AT: u32 = 4_096;
/// And with the most masters at most so many times what it costs with the fewest.
const MAX_GROWTH: f64 = 1.3;

/// So many clusters that fail at once have masters within so many milliseconds.
const ROOM: u32 = 2_000;
const ROOM_MS: f64 = 2_000.0;

/// Options of `authority`.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Masters that send keepalives.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 512, 4_096, 16_384, 65_536])]
    masters: Vec<u32>,
    /// Keepalives that wait in the socket when the loop wakes, with 4,096 masters.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256])]
    waiting: Vec<usize>,
    /// Clusters whose masters ask for grants as fast as they get them.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 254])]
    grants: Vec<u32>,
    /// Clusters that lose their masters in one moment.
    #[arg(long, value_delimiter = ',', default_values_t = [254, 2_000])]
    room: Vec<u32>,
    /// Seconds of grants.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Where the stores are: the disk that is measured [default: the system's temporary directory].
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    measurement: &'static str,
    processors: usize,
    keepalives: Vec<Keepalives>,
    /// At other rates: how many keepalives wait when the loop wakes.
    rates: Vec<Keepalives>,
    /// The authority's cost with the most masters against that with the fewest.
    growth: Option<f64>,
    grants: Vec<Grants>,
    rooms: Vec<Room>,
    met: bool,
}

/// Measure; exit status 1 if a target is missed, 3 if it could not be measured.
pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(report) => {
            if options.json {
                println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
            } else {
                print(&report);
            }
            ExitCode::from(u8::from(!report.met))
        }
        Err(why) => {
            eprintln!("duohuo-bench authority: {why}");
            ExitCode::from(3)
        }
    }
}

fn measure(options: &Options) -> Result<Report, String> {
    let directory = options.directory.clone().unwrap_or_else(std::env::temp_dir);
    let store = || tempfile::tempdir_in(&directory).map_err(|e| format!("{}: {e}", directory.display()));
    let mut keepalives = Vec::new();
    for masters in &options.masters {
        keepalives.push(keepalives::measure(*masters, BATCH, store()?.path())?);
        eprintln!("{masters} masters are done");
    }
    let mut rates = Vec::new();
    for batch in &options.waiting {
        rates.push(keepalives::measure(RATIO_AT, *batch, store()?.path())?);
        eprintln!("{batch} keepalives at a time are done");
    }
    let mut grants = Vec::new();
    for clusters in &options.grants {
        grants.push(grants::grants(*clusters, Duration::from_secs(options.seconds), store()?.path())?);
        eprintln!("grants of {clusters} clusters are done");
    }
    let mut rooms = Vec::new();
    for clusters in &options.room {
        rooms.push(grants::room(*clusters, store()?.path())?);
        eprintln!("a room of {clusters} clusters is done");
    }
    let growth = match (keepalives.first(), keepalives.last()) {
        (Some(few), Some(many)) if many.masters > few.masters => Some(many.cost_ns() / few.cost_ns()),
        _ => None,
    };
    let ratio_met = keepalives.iter().filter(|k| k.masters == RATIO_AT).all(|k| k.ratio >= MIN_RATIO);
    let rooms_met = rooms.iter().all(|room| room.clusters > ROOM || room.all_ms <= ROOM_MS);
    let met = ratio_met && rooms_met && growth.is_none_or(|growth| growth <= MAX_GROWTH);
    Ok(Report {
        measurement: "authority",
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        keepalives,
        rates,
        growth,
        grants,
        rooms,
        met,
    })
}

fn print(report: &Report) {
    for keepalives in report.keepalives.iter().chain(&report.rates) {
        keepalives.print();
    }
    report.grants.iter().for_each(Grants::print);
    report.rooms.iter().for_each(Room::print);
    if let Some(growth) = report.growth {
        println!("the last costs {growth:.2} times the first (target: at most {MAX_GROWTH})");
    }
}
