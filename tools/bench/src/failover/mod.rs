//! How long nobody acts after a fault: ours and a peer's in one run, in turn, each process on a host of its own.
//!
//! Ours: from the fault to the new master's first signed word, and to its first commit. The peer's: from the fault until it
//! says that the other one acts. Faults are told by the same clock and done by the same means on both sides.

mod bfd;
mod daemon;
mod etcd;
mod keepalived;
mod ours;
pub(crate) mod quiet;

use crate::statistics::Summary;
use clap::{Args, ValueEnum};
use duohuo_rig::hosts::cell::{self, Cell};
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tempfile::TempDir;

/// Of a network until it is whole, and of one round of faults at most.
const START: Duration = Duration::from_secs(60);
const ROUND: Duration = Duration::from_secs(40);
/// On one network, or one pair of the peer's: the authority holds no switch of a cluster back that is one of five within ten seconds.
const ROUNDS_AT_ONCE: u32 = 4;

/// Options of `failover`.
#[derive(Args)]
pub(crate) struct Options {
    /// Whom to compare with.
    #[arg(long, value_enum, default_value = "keepalived")]
    peer: Peer,
    /// Milliseconds between two keepalives of ours and two adverts of the peer.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    interval_ms: u64,
    /// Faults on each side.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// What happens to who acts.
    #[arg(long, value_enum, default_value = "kill")]
    fault: Fault,
    /// Who takes part on our side.
    #[arg(long, value_enum, default_value = "small")]
    network: Network,
    /// Milliseconds of our chain between two heights, in which there is nothing to vote on.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pause_ms: u64,
    #[command(flatten)]
    scheduling: Scheduling,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// How all processes of both sides are scheduled, beside whatever else there is.
#[derive(Args, Clone, Copy, Serialize, Deserialize)]
struct Scheduling {
    /// Real-time priority (SCHED_RR) of all processes of both sides; 0: none.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=99))]
    realtime: u8,
    /// Niceness of all processes of both sides; -20 weighs 87 times what others do, near to CPUWeight=10000 in a unit.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i8).range(-20..=19))]
    nice: i8,
}

impl Scheduling {
    /// What a command is started by.
    fn starter(self) -> Vec<String> {
        let mut starter = Vec::new();
        if self.nice != 0 {
            starter.extend(["nice".into(), "-n".into(), self.nice.to_string()]);
        }
        if self.realtime != 0 {
            starter.extend(["chrt".into(), "--rr".into(), self.realtime.to_string()]);
        }
        starter
    }

    /// Whether this user may: `nice` goes on without it.
    fn check(self) -> Result<(), String> {
        let Some((first, rest)) = self.starter().split_first().map(|(f, r)| (f.clone(), r.to_vec())) else {
            return Ok(());
        };
        let tried = std::process::Command::new(&first).args(rest).arg("true").output();
        match tried {
            Ok(tried) if tried.status.success() && tried.stderr.is_empty() => Ok(()),
            Ok(tried) => Err(format!(
                "--nice, --realtime: {}; root may",
                String::from_utf8_lossy(&tried.stderr).trim()
            )),
            Err(e) => Err(format!("{first}: {e}")),
        }
    }
}

/// Who takes part on our side. All of them share this machine's processors, each host of a peer's pair has one for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Network {
    /// The authority, a cluster of three, one of two: six processes.
    Two,
    /// The authority, a cluster of three, three clusters of two: ten processes.
    Small,
    /// The authority, four clusters of three: thirteen processes.
    Fig18,
}

/// What happens to who acts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    /// kill -9.
    Kill,
    /// Its cable is pulled.
    Cut,
    /// SIGSTOP: the machine stands still.
    Stop,
}

/// Whom to compare with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// VRRPv3; a takeover is the line MASTER of the other one's FIFO.
    Keepalived,
    /// BFD of FRR, three intervals; it only detects.
    Bfd,
    /// Three members, the election time-out ten intervals; a takeover is the first write that is taken, to be compared with
    /// our first commit.
    Etcd,
}

impl Peer {
    fn version(self) -> Result<String, String> {
        match self {
            Self::Keepalived => keepalived::version(),
            Self::Bfd => bfd::version(),
            Self::Etcd => etcd::version(),
        }
    }

    fn measure(self, conditions: Conditions, fault: Fault, rounds: u32) -> Result<Vec<f64>, String> {
        match self {
            Self::Keepalived => keepalived::measure(conditions, fault, rounds),
            Self::Bfd => bfd::measure(conditions, fault, rounds),
            Self::Etcd => etcd::measure(conditions, fault, rounds),
        }
    }

    fn watch(self, conditions: Conditions, seconds: u64) -> Result<u64, String> {
        match self {
            Self::Keepalived => keepalived::watch(conditions, seconds),
            Self::Bfd => bfd::watch(conditions, seconds),
            Self::Etcd => Err("etcd is not watched".into()),
        }
    }

    /// Our side of the comparison.
    const fn beside(self, ours: &Ours) -> f64 {
        match self {
            Self::Keepalived | Self::Bfd => ours.vote,
            Self::Etcd => ours.commit,
        }
    }

    fn name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }
}

/// Under what both sides are measured.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Conditions {
    network: Network,
    pause_ms: u64,
    interval_ms: u64,
    #[serde(flatten)]
    scheduling: Scheduling,
}

/// What one side is to do, in namespaces of its own.
#[derive(Serialize, Deserialize)]
struct Errand {
    /// `None`: ours.
    peer: Option<Peer>,
    conditions: Conditions,
    what: What,
}

#[derive(Serialize, Deserialize)]
enum What {
    Rounds { fault: Fault, rounds: u32 },
    Quiet { seconds: u64 },
}

/// One round of ours, milliseconds from the fault.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ours {
    /// Somebody suspects the master.
    detected: Option<f64>,
    /// Somebody of its cluster asks for the role.
    claimed: Option<f64>,
    /// The authority's decision is durable.
    granted: Option<f64>,
    /// The new master's promise is durable.
    leads: Option<f64>,
    /// Refusals of claims before it.
    refused: usize,
    /// The new master's first signed word leaves it.
    vote: f64,
    /// Its first commit.
    commit: f64,
}

/// The figures of one thing.
type Figures = Option<Summary>;

#[derive(Serialize)]
struct Report {
    measurement: &'static str,
    fault: Fault,
    #[serde(flatten)]
    conditions: Conditions,
    processors: usize,
    rounds: usize,
    ours: OursReport,
    peer: PeerReport,
    /// Our first vote (beside etcd: our first commit) against the peer's takeover.
    ratio_median: f64,
    ratio_p99: f64,
    /// What each is to be at most; none: nothing is asked of this case.
    target_median: Option<f64>,
    target_p99: Option<f64>,
    met: bool,
}

/// Milliseconds from the fault.
#[derive(Serialize)]
struct OursReport {
    detected_ms: Figures,
    claimed_ms: Figures,
    granted_ms: Figures,
    leads_ms: Figures,
    vote_ms: Figures,
    commit_ms: Figures,
    /// Claims that were refused before the first vote, in all rounds.
    refused: usize,
}

#[derive(Serialize)]
struct PeerReport {
    name: Peer,
    version: String,
    /// Milliseconds from the fault.
    takeover_ms: Figures,
}

/// What is asked of our first vote (of our first commit beside etcd), as a ratio to the peer's takeover: at the median, at
/// the 99th percentile.
const fn target(peer: Peer, fault: Fault, interval_ms: u64) -> (Option<f64>, Option<f64>) {
    match (peer, fault, interval_ms) {
        (Peer::Keepalived, Fault::Kill, 10) => (Some(0.20), Some(0.50)),
        (Peer::Keepalived, Fault::Kill, 1000) => (Some(0.01), None),
        (Peer::Keepalived | Peer::Bfd, Fault::Cut | Fault::Stop, 10) => (Some(0.75), None),
        (Peer::Keepalived | Peer::Bfd, Fault::Cut | Fault::Stop, 1000) => (Some(0.70), None),
        (Peer::Etcd, Fault::Kill, 10) => (Some(0.10), None),
        _ => (None, None),
    }
}

/// Measure; exit status 1 if a target is missed, 3 if it could not be measured.
pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(report) => {
            if options.json {
                println!("{}", serde_json::to_string(&report).unwrap_or_default());
            } else {
                print!("{}", table(&report));
            }
            ExitCode::from(u8::from(!report.met))
        }
        Err(why) => {
            eprintln!("duohuo-bench failover: {why}");
            ExitCode::from(3)
        }
    }
}

fn measure(options: &Options) -> Result<Report, String> {
    options.scheduling.check()?;
    build_duohuo()?;
    let version = options.peer.version()?;
    let cell = Cell::permitted()?;
    let directory = tempfile::tempdir().map_err(|e| format!("temporary directory: {e}"))?;
    let conditions = Conditions {
        network: options.network,
        pause_ms: options.pause_ms,
        interval_ms: options.interval_ms,
        scheduling: options.scheduling,
    };
    let (mut ours, mut peer): (Vec<Ours>, Vec<f64>) = (Vec::new(), Vec::new());
    // In turn: a machine that is slow for a while is so for both.
    let turns = options.rounds.div_ceil(ROUNDS_AT_ONCE);
    for turn in 0..turns {
        let rounds = options.rounds / turns + u32::from(turn < options.rounds % turns);
        let what = || What::Rounds { fault: options.fault, rounds };
        ours.extend(turn_of::<Ours>(&cell, Errand { peer: None, conditions, what: what() }, &directory)?);
        let errand = Errand { peer: Some(options.peer), conditions, what: what() };
        peer.extend(turn_of::<f64>(&cell, errand, &directory)?);
        eprintln!("turn {} of {turns} is done", turn + 1);
    }
    let figures = |of: fn(&Ours) -> Option<f64>| Summary::of(ours.iter().filter_map(of).collect());
    let vote = figures_of(&ours, |o| o.vote).ok_or("nothing was measured")?;
    let takeover = Summary::of(peer.clone()).ok_or("nothing was measured")?;
    let beside = figures_of(&ours, |o| options.peer.beside(o)).ok_or("nothing was measured")?;
    let (ratio_median, ratio_p99) = (beside.median / takeover.median, beside.p99 / takeover.p99);
    let (target_median, target_p99) = target(options.peer, options.fault, options.interval_ms);
    Ok(Report {
        measurement: "failover",
        fault: options.fault,
        conditions,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        rounds: ours.len(),
        ours: OursReport {
            detected_ms: figures(|o| o.detected),
            claimed_ms: figures(|o| o.claimed),
            granted_ms: figures(|o| o.granted),
            leads_ms: figures(|o| o.leads),
            vote_ms: Some(vote),
            commit_ms: figures_of(&ours, |o| o.commit),
            refused: ours.iter().map(|o| o.refused).sum(),
        },
        peer: PeerReport { name: options.peer, version, takeover_ms: Some(takeover) },
        ratio_median,
        ratio_p99,
        target_median,
        target_p99,
        met: target_median.is_none_or(|t| ratio_median <= t) && target_p99.is_none_or(|t| ratio_p99 <= t),
    })
}

fn figures_of(ours: &[Ours], of: impl Fn(&Ours) -> f64) -> Figures {
    Summary::of(ours.iter().map(of).collect())
}

/// The command that is measured, as the source here says; where it is not cargo that runs us, it must be there already.
fn build_duohuo() -> Result<(), String> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    let status = std::process::Command::new(cargo)
        .args(["build", "--release", "--locked", "--quiet", "-p", "duohuo"])
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo build --release -p duohuo: {status}")),
        Err(e) => Err(format!("cargo build --release -p duohuo: {e}")),
    }
}

/// Some rounds of one side.
fn turn_of<T: for<'a> Deserialize<'a>>(
    cell: &Cell,
    errand: Errand,
    directory: &TempDir,
) -> Result<Vec<T>, String> {
    let What::Rounds { rounds, .. } = errand.what else { return Ok(Vec::new()) };
    let text = cell_side(cell, &errand, &directory.path().join("samples.json"), START + ROUND * rounds)?;
    serde_json::from_str(&text).map_err(|e| format!("samples: {e}"))
}

/// One side in namespaces of its own: what it wrote down.
fn cell_side(cell: &Cell, errand: &Errand, results: &Path, patience: Duration) -> Result<String, String> {
    let side = errand.peer.map_or_else(|| "ours".into(), Peer::name);
    let path = results.display().to_string();
    let errand = serde_json::to_string(errand).map_err(|e| e.to_string())?;
    cell.run(&[&errand, &path], false, patience).map_err(|why| format!("{side}: {why}"))?;
    std::fs::read_to_string(results).map_err(|e| format!("{path}: {e}"))
}

/// In the namespaces: `ERRAND FILE`.
pub(crate) fn inside(arguments: &[String]) -> ExitCode {
    match measure_side(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("     {why}");
            ExitCode::FAILURE
        }
    }
}

fn measure_side(arguments: &[String]) -> Result<(), String> {
    let [errand, file] = arguments else { return Err("expected an errand and a file".into()) };
    let Errand { peer, conditions, what } = serde_json::from_str(errand).map_err(|e| e.to_string())?;
    cell::prepare()?;
    let text = match (peer, what) {
        (None, What::Rounds { fault, rounds }) => {
            serde_json::to_string(&ours::measure(conditions, fault, rounds)?)
        }
        (None, What::Quiet { seconds }) => serde_json::to_string(&ours::watch(conditions, seconds)?),
        (Some(peer), What::Rounds { fault, rounds }) => {
            serde_json::to_string(&peer.measure(conditions, fault, rounds)?)
        }
        (Some(peer), What::Quiet { seconds }) => serde_json::to_string(&peer.watch(conditions, seconds)?),
    };
    std::fs::write(file, text.map_err(|e| e.to_string())?).map_err(|e| format!("{file}: {e}"))
}

/// A moment that has nothing to do with anybody's timers.
fn some_time(interval_ms: u64) -> Duration {
    Duration::from_micros(rand::rng().random_range(0..interval_ms.max(1) * 2000))
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    // writing to a string cannot fail
    let _ = writeln!(
        text,
        "{:?} of who acts, every {} ms, {} rounds; ms from the fault",
        report.fault, report.conditions.interval_ms, report.rounds
    );
    let _ = writeln!(text, "{:<28}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "min", "median", "p95", "p99", "max");
    let takeover = format!("{:?} takes over", report.peer.name);
    let rows = [
        ("suspected", report.ours.detected_ms),
        ("claimed", report.ours.claimed_ms),
        ("granted", report.ours.granted_ms),
        ("promised", report.ours.leads_ms),
        ("first vote of the new master", report.ours.vote_ms),
        ("first commit", report.ours.commit_ms),
        (takeover.as_str(), report.peer.takeover_ms),
    ];
    for (name, figures) in rows {
        if let Some(f) = figures {
            let _ = writeln!(
                text,
                "{name:<28}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>9.1}",
                f.min, f.median, f.p95, f.p99, f.max
            );
        }
    }
    let wanted = |t: Option<f64>| t.map_or_else(String::new, |t| format!(" (target: at most {t:.2})"));
    let _ = writeln!(
        text,
        "ours / takeover: median {:.3}{}, p99 {:.3}{}",
        report.ratio_median,
        wanted(report.target_median),
        report.ratio_p99,
        wanted(report.target_p99)
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_of_the_issue_has_its_target() {
        let beside = |peer, fault, interval| target(peer, fault, interval);
        assert_eq!(beside(Peer::Keepalived, Fault::Kill, 10), (Some(0.20), Some(0.50)));
        assert_eq!(beside(Peer::Keepalived, Fault::Kill, 1000), (Some(0.01), None));
        assert_eq!(beside(Peer::Keepalived, Fault::Cut, 10), (Some(0.75), None));
        assert_eq!(beside(Peer::Bfd, Fault::Stop, 1000), (Some(0.70), None));
        assert_eq!(beside(Peer::Etcd, Fault::Kill, 10), (Some(0.10), None));
        assert_eq!(beside(Peer::Keepalived, Fault::Kill, 100), (None, None));
    }
}
