//! `duohuo-vip`: a virtual address that follows whoever acts for a cluster. It runs beside a node with `[vip]`, asks it over
//! a socket whether it acts and until when (spec/hooks.md 4 and 8), and has the address exactly so long. It is the only
//! process with the right to change addresses; the node has none. It opens no port and reads nothing but one table of the
//! node's configuration and the node's answers.

mod config;
mod holder;
mod wire;

use clap::Parser;
use holder::{Deed, Holder, Nanos, Word};
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wire::Place;

/// Between two questions.
const ASK_INTERVAL: Duration = Duration::from_millis(50);
/// An answer that takes longer is none.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// The node's answer is a line of some hundred bytes.
const MOST_ANSWER: usize = 64 << 10;
/// Seconds beyond the lease after which the kernel drops the address by itself.
const KERNEL_SECONDS: u64 = 1;

/// Hold a virtual address while the node beside acts for its cluster
#[derive(Parser, Debug)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Needs CAP_NET_ADMIN and CAP_NET_RAW, and the account of the node (its socket is for that alone).\n\
Exit status: 0 stopped by a signal, the address is dropped; 1 cannot start; 2 wrong usage"
)]
struct Cli {
    /// The node's configuration, whose [vip] names the address, the interface and the socket
    #[arg(long, value_name = "FILE", required_unless_present_all = ["socket", "address", "interface"])]
    config: Option<PathBuf>,
    /// The node's socket, in the place of the configuration's
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// The address and its prefix, in the place of the configuration's: 10.0.0.9/24
    #[arg(long, value_name = "ADDRESS/PREFIX", value_parser = address)]
    address: Option<(Ipv4Addr, u8)>,
    /// Where, in the place of the configuration's: eth0
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
}

pub(crate) fn address(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let expected = "expected an IPv4 address and its prefix, as 10.0.0.9/24";
    let (address, prefix) = text.split_once('/').ok_or(expected)?;
    match (address.parse(), prefix.parse()) {
        (Ok(address), Ok(prefix)) if prefix <= 32 => Ok((address, prefix)),
        _ => Err(expected.into()),
    }
}

fn now() -> Nanos {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What of the node's answer counts.
#[derive(Deserialize)]
struct State {
    acting: bool,
    stop_at_ns: u64,
}

/// A connection to the node.
struct Node(BufReader<UnixStream>);

impl Node {
    fn connect(path: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Its state; never waits beyond `patience`.
    fn ask(&mut self, patience: Duration) -> std::io::Result<Word> {
        let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
        self.0.get_ref().set_read_timeout(Some(patience))?;
        self.0.get_mut().write_all(b"{\"do\":\"state\"}\n")?;
        let mut line = Vec::new();
        std::io::Read::take(&mut self.0, MOST_ANSWER as u64).read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Err(invalid("the node hung up, or its answer is no line"));
        }
        let state: State =
            serde_json::from_slice(&line).map_err(|_| invalid("the node's answer is no state"))?;
        Ok(Word { acting: state.acting, stop_at: state.stop_at_ns })
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("duohuo-vip: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What it holds, where, and whom it asks.
struct What {
    socket: PathBuf,
    address: (Ipv4Addr, u8),
    interface: String,
}

/// What the command line says, and where it is silent the configuration.
fn what(cli: &Cli) -> Result<What, String> {
    let mut found = match &cli.config {
        Some(path) => config::read(path)?,
        None => config::Found::default(),
    };
    let missing = |key: &str| format!("{key} is neither on the command line nor in [vip] of a configuration");
    Ok(What {
        socket: cli.socket.clone().or(found.socket.take()).ok_or_else(|| missing("socket"))?,
        address: cli.address.or(found.address).ok_or_else(|| missing("address"))?,
        interface: cli.interface.clone().or(found.interface.take()).ok_or_else(|| missing("interface"))?,
    })
}

fn run(cli: &Cli) -> Result<(), String> {
    let What { socket, address: (address, prefix), interface } = what(cli)?;
    let place = Place::open(address, prefix, &interface).map_err(|e| {
        format!(
            "{address} on {interface}: {e}; expected an Ethernet interface of this machine, and CAP_NET_ADMIN and CAP_NET_RAW"
        )
    })?;
    let stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stopped)).map_err(|e| e.to_string())?;
    }
    // an earlier life may have left it, and nobody has said yet that we may have it
    let left = place.drop_it().map_err(|e| format!("{address} on {interface}: {e}"))?;
    eprintln!(
        "duohuo-vip: {address}/{prefix} on {interface} follows {}{}",
        socket.display(),
        if left { "; one of an earlier life was dropped" } else { "" }
    );
    let mut holder = Holder::default();
    let mut node: Option<Node> = None;
    let mut told = false;
    while !stopped.load(Ordering::Relaxed) {
        let asked = match &mut node {
            Some(node) => node.ask(patience(&holder)),
            None => Node::connect(&socket).and_then(|new| node.insert(new).ask(patience(&holder))),
        };
        match asked {
            Ok(word) => {
                told = false;
                let deed = holder.hear(now(), word);
                carry_out(&place, deed, &holder);
                renew(&place, &holder);
            }
            Err(e) => {
                if !told {
                    eprintln!(
                        "duohuo-vip: {}: {e}; the address is not held until it answers",
                        socket.display()
                    );
                    told = true;
                }
                node = None;
                let deed = holder.lose();
                carry_out(&place, deed, &holder);
            }
        }
        std::thread::sleep(ASK_INTERVAL.min(left_of(&holder).unwrap_or(ASK_INTERVAL)));
        let deed = holder.turn(now());
        carry_out(&place, deed, &holder);
    }
    let deed = holder.lose();
    carry_out(&place, deed, &holder);
    Ok(())
}

/// Of the time that it may be held without another word.
fn left_of(holder: &Holder) -> Option<Duration> {
    holder.held_until().map(|until| Duration::from_nanos(until.saturating_sub(now())))
}

/// An answer is not waited for beyond the time at which the address must go.
fn patience(holder: &Holder) -> Duration {
    ANSWER_TIMEOUT.min(left_of(holder).unwrap_or(ANSWER_TIMEOUT)).max(Duration::from_millis(1))
}

fn carry_out(place: &Place, deed: Option<Deed>, holder: &Holder) {
    let Some(deed) = deed else { return };
    let done = match deed {
        Deed::Take => place.take(seconds(holder)).and_then(|()| place.announce()),
        Deed::Announce => place.announce(),
        Deed::Drop => place.drop_it().map(|_| ()),
    };
    match done {
        Ok(()) if deed == Deed::Announce => {}
        Ok(()) => eprintln!("duohuo-vip: {deed:?} {place:?}"),
        Err(e) => eprintln!("duohuo-vip: {deed:?} {place:?}: {e}"),
    }
}

/// The kernel's own end of it moves with the lease.
fn renew(place: &Place, holder: &Holder) {
    if holder.held_until().is_some()
        && let Err(e) = place.take(seconds(holder))
    {
        eprintln!("duohuo-vip: {place:?}: {e}");
    }
}

fn seconds(holder: &Holder) -> u32 {
    let left = left_of(holder).unwrap_or_default();
    u32::try_from(left.as_secs() + KERNEL_SECONDS).unwrap_or(u32::MAX)
}
