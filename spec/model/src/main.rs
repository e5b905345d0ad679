//! Explores the model within bounds of one's choice: `cargo run --release -p duohuo-model -- --help`.
#![allow(clippy::print_stdout)]

use clap::Parser;
use duohuo_model::bounds::Bounds;
use duohuo_model::explore::shortest;
use duohuo_model::mutant::Mutant;
use duohuo_model::properties::ALWAYS;
use duohuo_model::protocol::Protocol;
use stateright::{Checker, Model};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Explore every state of the protocol within bounds.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Nodes of the cluster, 2 to 4
    #[arg(long, default_value_t = 3)]
    nodes: u8,
    /// The last epoch that is granted, 1 to 7
    #[arg(long, default_value_t = 2)]
    epochs: u8,
    /// Additions and removals per epoch
    #[arg(long, default_value_t = 1)]
    changes: u8,
    /// Slots to sign, 1 to 4
    #[arg(long, default_value_t = 1)]
    slots: u8,
    /// Values to choose from, 1 or 2
    #[arg(long, default_value_t = 1)]
    values: u8,
    /// Different messages sent in one state, at most [default: no bound]
    #[arg(long)]
    messages: Option<usize>,
    /// Let masters be accused and barred
    #[arg(long)]
    bars: bool,
    /// Starts by an operator's force; words then count when the other clusters have them, if ever
    #[arg(long, default_value_t = 0)]
    forces: u8,
    /// Let nodes note an epoch before it is granted
    #[arg(long)]
    notes: bool,
    /// Threads
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Stop after so many seconds, with what was seen until then
    #[arg(long)]
    seconds: Option<u64>,
    /// Break a rule, and print the shortest trace to each property that then fails
    #[arg(long)]
    mutant: Option<Mutant>,
    /// Serve stateright's explorer on this address instead, such as 127.0.0.1:3000
    #[arg(long)]
    explore: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bounds = Bounds {
        nodes: arguments.nodes,
        epochs: arguments.epochs,
        changes: arguments.changes,
        slots: arguments.slots,
        values: arguments.values,
        messages: arguments.messages.unwrap_or(usize::MAX),
        bars: arguments.bars,
        forces: arguments.forces,
        notes: arguments.notes,
    };
    if let Err(why) = bounds.check() {
        eprintln!("duohuo-model: {why}");
        return ExitCode::from(2);
    }
    let model = Protocol { bounds, mutant: arguments.mutant };
    if arguments.mutant.is_some() && arguments.explore.is_none() {
        return break_it(&model);
    }
    let mut builder = model.checker().threads(arguments.threads);
    if let Some(address) = arguments.explore {
        println!("exploring on http://{address}/");
        builder.serve(address);
        return ExitCode::SUCCESS;
    }
    if let Some(seconds) = arguments.seconds {
        builder = builder.timeout(Duration::from_secs(seconds));
    }
    let begun = Instant::now();
    let checker = builder.spawn_bfs();
    while !checker.is_done() {
        std::thread::sleep(Duration::from_millis(200));
        if begun.elapsed().as_secs() >= arguments.seconds.unwrap_or(u64::MAX) {
            break;
        }
    }
    report(&checker, begun.elapsed(), arguments.seconds)
}

/// The shortest way to each property that breaks.
fn break_it(model: &Protocol) -> ExitCode {
    let mut broken = false;
    for property in ALWAYS {
        let Some(found) = shortest(model, &[property]) else {
            println!("holds     {property}");
            continue;
        };
        broken = true;
        println!("BROKEN    {property} in {} steps", found.steps.len());
        for action in found.steps {
            println!("            {action:?}");
        }
    }
    ExitCode::from(u8::from(broken))
}

/// The verdict, and a trace for each property that fails.
fn report(checker: &impl Checker<Protocol>, took: Duration, seconds: Option<u64>) -> ExitCode {
    let complete = seconds.is_none_or(|seconds| took.as_secs() < seconds);
    println!(
        "{} states, {} distinct up to the nodes' names, depth {}, {:.1} s, {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        took.as_secs_f64(),
        if complete { "complete" } else { "stopped at the time limit" }
    );
    let mut failed = false;
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        match (property.expectation.discovery_is_failure(), found) {
            (true, None) => println!("holds     {}", property.name),
            (true, Some(path)) => {
                failed = true;
                println!("BROKEN    {}, by a way that need not be the shortest:", property.name);
                for action in path.into_actions() {
                    println!("            {action:?}");
                }
            }
            (false, Some(_)) => println!("possible  {}", property.name),
            (false, None) => {
                failed |= complete;
                println!("NOT SEEN  {}", property.name);
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
