//! The chain under load: real processes with real fsync, against the consensus core alone in memory and against the floor
//! below which no replicated chain gets (one durable write and the delays of the messages), in the same run.

mod alone;
mod away;
mod copy;
mod crafted;
mod floor;
mod network;
mod pace;

use clap::{Args, ValueEnum};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Blocks for which a node is away where the chain takes snapshots.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2_000..=1_000_000))]
    blocks: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// The core alone in memory, and its growth with the clusters
    Alone,
    /// Networks of processes under load
    Load,
    /// A node that comes back
    CatchUp,
    /// Small blocks as fast as they come, stores on the disk and in memory
    Pace,
    /// The same with more and more clusters
    Growth,
}

impl Part {
    const ALL: [Self; 5] = [Self::Alone, Self::Load, Self::CatchUp, Self::Pace, Self::Growth];
}

/// Blocks, and transfers in each, for which a node is away where the chain takes no snapshots: all of them must come.
const ALL_BLOCKS: (u64, u64) = (20_000, 100);
/// Transfers in each of the blocks that a snapshot spares.
const SPARED_TRANSFERS: u64 = 10;

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
    catch_up: Vec<away::CatchUp>,
    pace: Vec<pace::Pace>,
    growth_of_networks: Vec<pace::Grown>,
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
    let wants = |part: Part| options.only.contains(&part);
    let (mut core_alone, mut growth) = (Vec::new(), Vec::new());
    if wants(Part::Alone) {
        core_alone.extend([1, 100, 1_000, 10_000].map(alone::blocks_of));
        growth.extend([4, 7, 10, 16].map(alone::grown));
    }
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("duohuo"),
    };
    if options.only != [Part::Alone] && !program.exists() {
        return Err(format!("{}: not there; build it: cargo build --release -p duohuo", program.display()));
    }
    let stores = tempfile::tempdir_in(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let thousands = core_alone.iter().find(|alone| alone.transfers_a_block == 1_000);
    let core_a_second = thousands.map(|alone| alone.transfers_a_second);
    let span = Duration::from_secs(options.seconds);
    let network = wants(Part::Load)
        .then(|| network::measure(&program, stores.path(), span, floor.commit_ms, core_a_second))
        .transpose()?;
    let mut catch_up = Vec::new();
    if wants(Part::CatchUp) {
        let away = |name: &str, port: u16, (blocks, transfers): (u64, u64), by_snapshot: bool| {
            let path = stores.path().join(name);
            let measured =
                away::measure(&program, &path, network::PORT + port, blocks, transfers, by_snapshot);
            let _ = std::fs::remove_dir_all(path);
            measured
        };
        catch_up.push(away("blocks", 2, ALL_BLOCKS, false)?);
        catch_up.push(away("snapshot", 3, (options.blocks, SPARED_TRANSFERS), true)?);
    }
    let pace = if wants(Part::Pace) { pace::measure(&program, stores.path(), span)? } else { Vec::new() };
    let growth_of_networks = if wants(Part::Growth) { pace::growth(&program, span)? } else { Vec::new() };
    Ok(Report {
        measurement: "chain",
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        load_average_before,
        load_average_after: load_average(),
        floor,
        core_alone,
        growth,
        network,
        catch_up,
        pace,
        growth_of_networks,
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
            "core alone, 4 clusters in one thread, {} transfers a block: {:.0} transfers, {:.0} blocks a second of processor time",
            alone.transfers_a_block, alone.transfers_a_second, alone.blocks_a_second
        );
    }
    for grown in &report.growth {
        println!(
            "core alone, {} clusters: {:.0} us of processor time for each height and cluster, {:.0} messages a height",
            grown.clusters, grown.us_a_height_and_cluster, grown.messages_a_height
        );
    }
    if let Some(network) = &report.network {
        network.print();
    }
    for catch_up in &report.catch_up {
        catch_up.print();
    }
    for pace in &report.pace {
        pace.print();
    }
    for grown in &report.growth_of_networks {
        grown.print();
    }
}
