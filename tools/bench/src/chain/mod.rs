//! The chain under load: real processes with real fsync, against the consensus core alone in memory and against the floor
//! below which no replicated chain gets (one durable write and the delays of the messages), in the same run.

mod alone;
mod copy;
mod floor;
mod network;

use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `chain`.
#[derive(Args)]
pub(crate) struct Options {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds of each phase under load.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
    /// The command `duohuo` [default: beside this program].
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Where the stores are: the disk that is measured [default: the system's temporary directory].
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
    /// The core alone only: no processes.
    #[arg(long)]
    alone: bool,
}

/// All that was measured.
#[derive(Serialize)]
struct Report {
    measurement: &'static str,
    /// Processors, and how many processes wanted one, before and after: figures of a busy machine are the machine's.
    processors: usize,
    load_average_before: String,
    load_average_after: String,
    floor: floor::Floor,
    core_alone: Vec<alone::Alone>,
    growth: Vec<alone::Growth>,
    network: Option<network::Measured>,
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(report) if options.json => match serde_json::to_string_pretty(&report) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(why) => failed(&why.to_string()),
        },
        Ok(report) => {
            print(&report);
            ExitCode::SUCCESS
        }
        Err(why) => failed(&why),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("duohuo-bench: {why}");
    ExitCode::FAILURE
}

fn measure(options: &Options) -> Result<Report, String> {
    let load_average_before = load_average();
    let directory = options.directory.clone().unwrap_or_else(std::env::temp_dir);
    let floor = floor::measure(&directory)?;
    let core_alone = [1, 100, 1_000, 10_000].map(alone::blocks_of).into_iter().collect();
    let growth = [4, 7, 10, 16].map(alone::grown).into_iter().collect();
    let network = match options.alone {
        true => None,
        false => Some(network::measure(options.program.clone(), &directory, options.seconds)?),
    };
    Ok(Report {
        measurement: "chain",
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        load_average_before,
        load_average_after: load_average(),
        floor,
        core_alone,
        growth,
        network,
    })
}

fn print(report: &Report) {
    println!("load average before {}, after {}", report.load_average_before, report.load_average_after);
    let floor = &report.floor;
    println!(
        "floor: fdatasync of 4 KiB {:.2} ms, round trip {:.3} ms: {:.2} ms a commit",
        floor.fsync_ms.median, floor.round_trip_ms.median, floor.commit_ms
    );
    for alone in &report.core_alone {
        println!(
            "core alone, 4 clusters in one thread, {} transfers a block: {:.0} transfers/s, {:.0} blocks/s",
            alone.transfers_a_block, alone.transfers_a_second, alone.blocks_a_second
        );
    }
    for grown in &report.growth {
        println!(
            "core alone, {} clusters: {:.0} us of processor for each height and cluster, {:.0} messages a height",
            grown.clusters, grown.us_a_height_and_cluster, grown.messages_a_height
        );
    }
    if let Some(network) = &report.network {
        network.print();
    }
}
