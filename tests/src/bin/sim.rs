//! The simulator: whole networks under virtual time, faults drawn from seeds, checkers that watch.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a program

use core::time::Duration;
use duohuo_tests::faults::Kind;
use duohuo_tests::plan::Plan;
use duohuo_tests::sim::{Outcome, minimise, run};
use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

// Simulating is mostly small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "\
usage: sim --seed N [--without I,J..] [--quiet]   one run, an event a line, and what it came to
       sim --seeds A..B [--jobs N] [--counters] [--every N]   the runs of these seeds
       sim --minutes M | --hours H [--from N]     the seeds from N on until the time is over
       sim --fresh N                              N seeds that nobody chose: the first is drawn from the system
       sim --kept                                 the seeds of tests/seeds.txt, which once found a bug
       sim --legend                               what the lines and the fault counters mean
--jobs: runs side by side, default: one per core. --counters: fail if a kind of fault had no effect in all runs.
--every: what it came to so far, after each N runs.
--tries: runs spent on making a failing one smaller, default 60.
--without: leave out the faults with these numbers (as a failing run prints them).
exit status: 0 nothing broken, 1 a promise was broken, 2 wrong usage";

struct Options {
    first: u64,
    end: Option<u64>,
    time: Option<Duration>,
    /// Runs of the seeds that once found a bug.
    kept: bool,
    jobs: usize,
    one: bool,
    quiet: bool,
    counters: bool,
    /// Runs after which the sum so far is printed; 0: at the end only.
    every: u64,
    /// Runs spent on making a failing one smaller.
    tries: usize,
    without: Vec<usize>,
}

fn options() -> Result<Options, String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options {
        first: 0,
        end: None,
        time: None,
        kept: false,
        jobs,
        one: false,
        quiet: false,
        counters: false,
        every: 0,
        tries: 60,
        without: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    let mut given = false;
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        let number =
            |text: String| text.parse::<u64>().map_err(|_| format!("expected a number, found {text:?}"));
        match name.as_str() {
            "--seed" => {
                options.first = number(value()?)?;
                options.end = Some(options.first + 1);
                (options.one, given) = (true, true);
            }
            "--seeds" => {
                let text = value()?;
                let (first, end) = text.split_once("..").ok_or(format!("expected A..B, found {text:?}"))?;
                options.first = number(first.to_owned())?;
                options.end = Some(number(end.to_owned())?);
                given = true;
            }
            "--fresh" => {
                options.first = fresh();
                options.end = Some(options.first + number(value()?)?);
                given = true;
                println!("fresh seeds: --seeds {}..{}", options.first, options.end.unwrap_or_default());
            }
            "--kept" => (options.kept, given) = (true, true),
            "--from" => options.first = number(value()?)?,
            "--minutes" => (options.time, given) = (Some(Duration::from_secs(60 * number(value()?)?)), true),
            "--hours" => (options.time, given) = (Some(Duration::from_secs(3600 * number(value()?)?)), true),
            "--jobs" => options.jobs = usize::try_from(number(value()?)?.max(1)).unwrap_or(1),
            "--tries" => options.tries = usize::try_from(number(value()?)?).unwrap_or(usize::MAX),
            "--counters" => options.counters = true,
            "--every" => options.every = number(value()?)?,
            "--quiet" => options.quiet = true,
            "--without" => {
                for part in value()?.split(',') {
                    options.without.push(usize::try_from(number(part.to_owned())?).unwrap_or(usize::MAX));
                }
            }
            "--legend" => {
                legend();
                std::process::exit(0);
            }
            "--help" | "-h" => {
                println!("{USAGE}");
                std::process::exit(0);
            }
            _ => return Err(format!("unknown option {name}")),
        }
    }
    if !given {
        return Err("which seeds?".to_owned());
    }
    Ok(options)
}

/// A seed that nobody chose: the standard library's hash keys come from the system's randomness.
fn fresh() -> u64 {
    std::collections::hash_map::RandomState::new().hash_one(std::process::id()) >> 16
}

/// The seeds of tests/seeds.txt: a number, then what it found.
fn kept() -> Vec<u64> {
    let lines = include_str!("../../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
}

/// Processor time that this process has spent.
fn processor_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).unwrap_or_default()
}

fn legend() {
    println!(
        "An event line: time from the start, who tells it (#0: the authority, 11: node 1 of cluster 1), the event."
    );
    println!("Events are those of spec/behaviour.md section 14; votes and commits are left out.");
    println!(
        "A line FAULT: what is done to whom. Faults, and what their counters count (effects, not attempts):"
    );
    for kind in Kind::ALL {
        println!("{:>4} {:<18} {}", kind.number(), kind.name(), kind.text());
    }
    println!(
        "What a failing run says begins with the checker: S1 to S19 (tests/src/checker/mod.rs), P3, P4, L4, L6, R8, or an assertion."
    );
}

/// The plan of a seed, without some of its faults.
fn plan(seed: u64, without: &[usize]) -> Plan {
    let mut plan = Plan::draw(seed);
    let mut number = 0;
    plan.faults.retain(|_| {
        number += 1;
        !without.contains(&(number - 1))
    });
    plan
}

/// What to leave out of `all` to get `few`.
fn left_out(all: &Plan, few: &Plan) -> Vec<usize> {
    let kept = |at: Duration, kind: Kind| few.faults.iter().any(|f| f.at == at && f.kind == kind);
    (0..).zip(&all.faults).filter(|(_, f)| !kept(f.at, f.kind)).map(|(n, _)| n).collect()
}

fn report_failure(seed: u64, why: &str, tries: usize) {
    let whole = Plan::draw(seed);
    println!("seed {seed}: FAILED: {why}");
    println!("  replay: cargo run --release -p duohuo-tests --bin sim -- --seed {seed}");
    let few = minimise(&whole, tries);
    let out = left_out(&whole, &few);
    let list: Vec<String> = out.iter().map(ToString::to_string).collect();
    if !out.is_empty() {
        println!(
            "  with {} of {} faults: --seed {seed} --without {}",
            few.faults.len(),
            whole.faults.len(),
            list.join(",")
        );
    }
    for fault in &few.faults {
        println!(
            "  at {:?}: {} for {:?} (whom {}, more {})",
            fault.at,
            fault.kind.name(),
            fault.span,
            fault.whom,
            fault.more
        );
    }
    println!("  luck: {:?}, remembers {}", whole.luck, whole.remembers);
    println!("  layout: {:?}, keepalives each {:?}", whole.layout, whole.settings.keepalive);
}

#[derive(Default)]
struct Sum {
    runs: u64,
    failed: u64,
    switched: u64,
    switches: u64,
    blocks: u64,
    late_rounds: u64,
    node_time: Duration,
    virtual_time: Duration,
    slowest: Duration,
    felt: BTreeMap<Kind, u64>,
    most_held: BTreeMap<&'static str, (usize, usize)>,
    most_said: usize,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.failed += u64::from(outcome.failure.is_some());
        self.switched += u64::from(outcome.switches > 0);
        self.switches += outcome.switches;
        self.blocks += outcome.height;
        self.late_rounds += outcome.late_rounds;
        self.virtual_time += outcome.virtual_time;
        self.node_time += outcome.virtual_time * u32::try_from(outcome.hosts).unwrap_or(u32::MAX);
        self.slowest = self.slowest.max(outcome.converged_in);
        for (kind, count) in &outcome.felt {
            *self.felt.entry(*kind).or_default() += count;
        }
        self.most_said = self.most_said.max(outcome.most_said);
        for (name, (entries, bytes)) in &outcome.most_held {
            let most = self.most_held.entry(name).or_default();
            *most = (most.0.max(*entries), most.1.max(*bytes));
        }
    }

    fn print(&self, spent: Duration) {
        let work = processor_time().as_secs_f64();
        println!(
            "{} seeds, {} failed, {} with a change of leaders: {} changes, {} blocks, {} words in rounds above 0; slowest to converge: {:.1} s",
            self.runs,
            self.failed,
            self.switched,
            self.switches,
            self.blocks,
            self.late_rounds,
            self.slowest.as_secs_f64()
        );
        println!(
            "simulated: {:.0} node-hours per CPU hour, {:.0} times real time per core ({:.0} s of virtual time, {work:.0} s of CPU, {:.0} s passed)",
            self.node_time.as_secs_f64() / work,
            self.virtual_time.as_secs_f64() / work,
            self.virtual_time.as_secs_f64(),
            spent.as_secs_f64()
        );
        println!("faults, by kind, that had an effect:");
        for kind in Kind::ALL {
            println!(
                "{:>4} {:<18} {}",
                kind.number(),
                kind.name(),
                self.felt.get(kind).copied().unwrap_or(0)
            );
        }
        let held: Vec<String> =
            self.most_held.iter().map(|(name, most)| format!("{name} {most:?}")).collect();
        println!("the most that a machine held (entries, bytes): {}", held.join(", "));
        println!("the most packets that a machine sent within a second: {}", self.most_said);
    }
}

fn one(options: &Options) -> ExitCode {
    let outcome = run(&plan(options.first, &options.without), !options.quiet);
    println!("{outcome:#?}");
    if outcome.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn many(options: &Options) -> ExitCode {
    // A panic is an outcome; what it says stands there.
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let next = AtomicU64::new(options.first);
    let kept = kept();
    let sum = Mutex::new(Sum::default());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let seed = if options.kept {
                        let Some(seed) = usize::try_from(seed).ok().and_then(|n| kept.get(n)) else { return };
                        *seed
                    } else {
                        seed
                    };
                    let over = options.time.is_some_and(|time| begun.elapsed() >= time);
                    if over || options.end.is_some_and(|end| seed >= end) {
                        return;
                    }
                    let outcome = run(&Plan::draw(seed), false);
                    if let Some(why) = &outcome.failure
                        && let Ok(mut failures) = failures.lock()
                    {
                        println!("seed {seed}: {}", why.chars().take(300).collect::<String>());
                        failures.push((seed, why.clone()));
                    }
                    if let Ok(mut sum) = sum.lock() {
                        sum.add(&outcome);
                        if sum.runs.is_multiple_of(options.every) {
                            sum.print(begun.elapsed());
                        }
                    }
                }
            });
        }
    });
    let spent = begun.elapsed();
    let failures = failures.into_inner().unwrap_or_default();
    for (seed, why) in failures.iter().take(3) {
        report_failure(*seed, why, options.tries);
    }
    let sum = sum.into_inner().unwrap_or_default();
    sum.print(spent);
    let silent: Vec<&str> = Kind::ALL
        .iter()
        .filter(|kind| sum.felt.get(kind).is_none_or(|n| *n == 0))
        .map(|k| k.name())
        .collect();
    if options.counters && !silent.is_empty() {
        println!("these faults had no effect in any run: {}", silent.join(", "));
        return ExitCode::FAILURE;
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn main() -> ExitCode {
    match options() {
        Ok(options) if options.one => one(&options),
        Ok(options) => many(&options),
        Err(why) => {
            eprintln!("sim: {why}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
