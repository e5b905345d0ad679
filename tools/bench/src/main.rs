//! `duohuo-bench`: one command for each measurement, `--json` for a machine. A measurement is compared with a peer in the
//! same run, since figures of two machines cannot be.

mod authority;
mod chain;
mod codec;
mod failover;
mod plot;
mod statistics;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "duohuo-bench", about = "Measures Duohuo against a peer in the same run.")]
struct Arguments {
    #[command(subcommand)]
    measurement: Measurement,
}

#[derive(Subcommand)]
enum Measurement {
    /// Decode and encode of packets against slicing by hand; exit status 1 if a target is missed.
    Codec(codec::Options),
    /// From a fault of who acts until another one acts, beside a peer; exit status 1 if a target is missed.
    Failover(failover::Options),
    /// Switches for no reason while all processors are busy, ours and the peers' at the same time; exit status 1 if there is one of ours.
    Quiet(failover::quiet::Options),
    /// The authority's keepalives against the bare limit, its grants, its memory, a room of clusters that fail at once.
    Authority(authority::Options),
    /// The chain under load as real processes, the core alone, catching up, and the floor below them.
    Chain(chain::Options),
    /// The growth that `chain --json` printed, as a picture.
    Plot(plot::Options),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = arguments.split_first()
        && first == duohuo_rig::hosts::cell::INSIDE
    {
        return failover::inside(rest);
    }
    match Arguments::parse().measurement {
        Measurement::Codec(options) => codec::run(&options),
        Measurement::Failover(options) => failover::run(&options),
        Measurement::Quiet(options) => failover::quiet::run(&options),
        Measurement::Authority(options) => authority::run(&options),
        Measurement::Chain(options) => chain::run(&options),
        Measurement::Plot(options) => plot::run(&options),
    }
}
