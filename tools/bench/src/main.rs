//! `duohuo-bench`: one command for each measurement, `--json` for a machine. A measurement is compared with a peer in the
//! same run, since figures of two machines cannot be.

mod codec;
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
}

fn main() -> ExitCode {
    match Arguments::parse().measurement {
        Measurement::Codec(options) => codec::run(&options),
    }
}
