//! The real thing: real processes, each on a host of its own (a network namespace), rooms as bridges, real multicast, and
//! the kernel's own means to cut, lose and narrow. One scenario per file in `scenarios/`; `tests/README.md` says how to run
//! one and look inside.

mod scenarios;

use duohuo_rig::hosts::cell::{self, Cell};
use duohuo_rig::hosts::{wires, world};
use scenarios::SCENARIOS;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Of one scenario, all waiting included; it is killed then.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(150);
const USAGE: &str =
    "usage: cargo test --release -p duohuo --test namespaces -- [--list] [--keep] [SCENARIO...]
  --list   the names of all scenarios
  --keep   afterwards leave processes and namespaces until Ctrl-C, and print how to enter them";

/// What the command line asks for.
struct Request {
    list: bool,
    keep: bool,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|a| a == cell::INSIDE) {
        arguments.remove(0);
        return inside(&arguments);
    }
    let request = match parse(&arguments) {
        Ok(request) => request,
        Err(wrong) => {
            eprintln!("{wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if request.list {
        for (name, about, _) in SCENARIOS {
            println!("{name:<24} {about}");
        }
        return ExitCode::SUCCESS;
    }
    let cell = match Cell::permitted() {
        Ok(cell) => cell,
        Err(why) => {
            println!("{why}\n0 passed, {} failed", request.names.len());
            return ExitCode::FAILURE;
        }
    };
    let failed = request.names.iter().filter(|name| !run(&cell, name, request.keep)).count();
    println!("{} passed, {failed} failed", request.names.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let mut request = Request { list: false, keep: false, names: Vec::new() };
    for argument in arguments {
        match argument.as_str() {
            "--list" => request.list = true,
            "--keep" => request.keep = true,
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            name if SCENARIOS.iter().any(|(known, ..)| *known == name) => request.names.push(name.into()),
            name => return Err(format!("no scenario is named {name}: --list shows them")),
        }
    }
    if request.names.is_empty() {
        request.names = SCENARIOS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    }
    if request.keep && request.names.len() != 1 {
        return Err("--keep goes with one scenario".into());
    }
    Ok(request)
}

/// One scenario in namespaces of its own. `true`: it passed.
fn run(cell: &Cell, name: &str, keep: bool) -> bool {
    let begun = Instant::now();
    let done = cell.run(&[name, if keep { "keep" } else { "end" }], keep, SCENARIO_TIMEOUT);
    let seconds = begun.elapsed().as_secs_f64();
    match &done {
        Ok(()) => println!("ok   {name} ({seconds:.1} s)"),
        Err(why) => println!("FAIL {name} ({seconds:.1} s): {why}"),
    }
    done.is_ok()
}

/// In the namespaces: `NAME keep|end`.
fn inside(arguments: &[String]) -> ExitCode {
    let [name, after] = arguments else { return ExitCode::from(2) };
    let Some((.., play)) = SCENARIOS.iter().find(|(known, ..)| known == name) else {
        return ExitCode::from(2);
    };
    if after == "keep" {
        cell::keep();
    }
    let done = cell::prepare().and_then(|()| play());
    if let Err(why) = &done {
        println!("     {why}");
    }
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
