//! A node of the register, and its authority: `register node --config FILE [--init]`, `register authority --config FILE [--init]`, with the files
//! that `duohuo keygen network` makes. This is all that a program of one's own needs besides its application.

use duohuo_driver::config::{AuthoritySettings, NodeSettings};
use duohuo_driver::start::{Around, run_authority, run_node_as};
use duohuo_driver::store::OpenMode;
use duohuo_example_register::Register;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("register: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let usage = "expected: register node|authority --config FILE [--init]";
    let config = arguments.iter().position(|a| a == "--config").and_then(|at| arguments.get(at + 1));
    let config = Path::new(config.ok_or(usage)?);
    let is_first = arguments.iter().any(|a| a == "--init");
    let mode = if is_first { OpenMode::Create } else { OpenMode::Existing };
    match arguments.first().map(String::as_str) {
        Some("node") => {
            run_node_as(NodeSettings::read(config)?, mode, Around::default(), Register::default())?;
        }
        Some("authority") => {
            run_authority(AuthoritySettings::read(config)?, mode, Around::default())?;
        }
        _ => return Err(usage.into()),
    }
    Ok(())
}
