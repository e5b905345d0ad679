//! A whole network as real processes on loopback: the authority, four clusters of three nodes, real fsync, clients that keep
//! so many transfers in flight. With standbys and without them: what recording before voting costs.

use super::copy;
use crate::statistics::Summary;
use duohuo_chain::Transfer;
use duohuo_core::chain::TransactionId;
use duohuo_core::store::lowest_block;
use duohuo_driver::client::Client;
use duohuo_driver::keys;
use duohuo_driver::store::{Identity, OpenMode, OpenStore};
use duohuo_rig::access::Access;
use duohuo_rig::layout::Layout;
use duohuo_rig::network::{ACCOUNTS, Network, Settings};
use duohuo_rig::processes::Processes;
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::packet::{Packet, Submit, SubmitVerdict};
use duohuo_wire::status::Role;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a network may take to be whole, or a node to catch up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Transfers in flight at each master: one shows the latency, many the throughput.
const LIGHT: usize = 1;
const HEAVY: usize = 2_000;
/// The first port of the networks; each has its own.
const PORT: u16 = 4_870;

/// What clients saw.
#[derive(Serialize)]
pub(crate) struct Load {
    in_flight_at_each_master: usize,
    committed_a_second: f64,
    blocks_a_second: f64,
    /// From the submission to the answer that it is committed and durable.
    latency_ms: Option<Summary>,
    told_later: u64,
}

/// How fast a node that was away has everything again.
#[derive(Serialize)]
pub(crate) struct CatchUp {
    blocks: u64,
    megabytes: f64,
    seconds: f64,
    megabytes_a_second: f64,
    /// The same bytes by TCP with AES-GCM and nothing else.
    copy_megabytes_a_second: f64,
}

/// Networks of four clusters.
#[derive(Serialize)]
pub(crate) struct Measured {
    with_standbys: Vec<Load>,
    without_standbys: Vec<Load>,
    /// Median latency with standbys over that without, one transfer in flight at each master.
    record_before_vote_ratio: Option<f64>,
    catch_up: CatchUp,
}

impl Measured {
    pub(crate) fn print(&self) {
        for (name, loads) in [("3 nodes", &self.with_standbys), ("1 node", &self.without_standbys)] {
            for load in loads {
                let latency = load.latency_ms.map_or_else(String::new, |l| {
                    format!(", latency p50 {:.1} ms, p99 {:.1} ms", l.median, l.p99)
                });
                println!(
                    "4 clusters of {name}, {} in flight at each master: {:.0} transfers/s, {:.0} blocks/s{latency}, {} told to try later",
                    load.in_flight_at_each_master,
                    load.committed_a_second,
                    load.blocks_a_second,
                    load.told_later
                );
            }
        }
        if let Some(ratio) = self.record_before_vote_ratio {
            println!("record before vote: {ratio:.2} times the latency without standbys");
        }
        let c = &self.catch_up;
        println!(
            "catch-up: {} blocks, {:.1} MB in {:.2} s: {:.1} MB/s; plain copy {:.0} MB/s",
            c.blocks, c.megabytes, c.seconds, c.megabytes_a_second, c.copy_megabytes_a_second
        );
    }
}

struct Rig {
    network: Network,
    processes: Processes,
    access: Access,
    /// Whom to wait for.
    all: BTreeSet<NodeId>,
}

impl Rig {
    fn start(program: &Path, directory: &Path, port: u16, nodes: &[u8]) -> Result<Self, String> {
        let settings = Settings { keepalive_interval_ms: 500, drill: false };
        let layout = Layout::four_companies(port);
        let network = Network::create(directory, &layout, settings).map_err(|e| e.to_string())?;
        let access = Access::from_config(&directory.join("load.toml")).map_err(|e| e.to_string())?;
        let mut processes = Processes::new(program.to_owned(), Vec::new());
        processes.start(&network, NodeId::AUTHORITY)?;
        let ids = network.roster.all_nodes().map(|(_, n)| n.id);
        let all: BTreeSet<NodeId> =
            ids.filter(|id| nodes.iter().any(|place| id.0 % 100 == u32::from(*place))).collect();
        for id in &all {
            processes.start(&network, *id)?;
        }
        let mut rig = Self { network, processes, access, all };
        rig.wait(|rig| rig.whole())?;
        Ok(rig)
    }

    fn wait(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some((id, why)) = self.processes.fallen().pop() {
                return Err(format!("process {} ended: {why}", id.0));
            }
            if done(self) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("the network did not get whole in time".into())
    }

    /// Every cluster has a master that counts all its running nodes in sync.
    fn whole(&self) -> bool {
        let Ok(report) = self.access.status(&self.access.authority(), CONNECT_TIMEOUT) else { return false };
        self.network.roster.clusters.iter().all(|cluster| {
            let running = cluster.nodes.iter().filter(|n| self.all.contains(&n.id));
            let row = report.rows.iter().find(|row| row.cluster == cluster.id);
            row.is_some_and(|row| running.clone().all(|n| row.in_sync.contains(&n.id)))
        })
    }

    fn masters(&self) -> Vec<NodeId> {
        let acts = |id: &NodeId| {
            let server = self.access.nodes().into_iter().find(|s| s.id == *id);
            server
                .and_then(|s| self.access.status(&s, CONNECT_TIMEOUT).ok())
                .is_some_and(|report| report.role == Role::Master)
        };
        self.all.iter().copied().filter(acts).collect()
    }

    fn height(&self, id: NodeId) -> Option<u64> {
        let server = self.access.nodes().into_iter().find(|s| s.id == id)?;
        self.access.status(&server, CONNECT_TIMEOUT).ok().map(|report| report.height.0)
    }

    /// Keeps so many transfers in flight at each master for so long.
    fn load(&self, in_flight: usize, span: Duration) -> Result<Load, String> {
        let masters = self.masters();
        // Before the connections that the load goes by: a newer one of the same client replaces the older.
        let first = masters.first().copied().ok_or("no master")?;
        let mut height = self.height(first).ok_or("no height")?;
        let height_before = height;
        let mut links: Vec<Client> = Vec::new();
        for server in self.access.nodes().iter().filter(|s| masters.contains(&s.id)) {
            links.push(self.access.connect(server, CONNECT_TIMEOUT).map_err(|e| e.to_string())?);
        }
        let mut sent: BTreeMap<u64, Instant> = BTreeMap::new();
        let mut waiting = vec![0; links.len()];
        let (mut request, mut committed, mut told_later) = (0u64, 0u64, 0u64);
        let mut samples = Vec::new();
        let begin = Instant::now();
        // What is not answered at the end is not counted.
        while begin.elapsed() < span {
            for (link, waiting) in links.iter_mut().zip(&mut waiting) {
                while *waiting < in_flight {
                    request += 1;
                    let id = keys::random().first_chunk::<16>().copied().unwrap_or_default();
                    let account = |n: u64| 1 + u32::try_from(n % u64::from(ACCOUNTS)).unwrap_or(0);
                    let transfer = Transfer {
                        id: TransactionId(id),
                        from: account(request),
                        to: account(request * 7 + 1),
                        amount: 1,
                        valid_until: Height(height + 900),
                    };
                    let mut bytes = Vec::new();
                    transfer.encode(&mut bytes);
                    let submit = Submit { request, transaction: bytes.into(), ..Default::default() };
                    link.send(&Packet::from(submit)).map_err(|e| e.to_string())?;
                    sent.insert(request, Instant::now());
                    *waiting += 1;
                }
                let mut look = Duration::from_micros(200);
                while let Some(packet) = link.recv(look).map_err(|e| e.to_string())? {
                    look = Duration::ZERO;
                    let Packet::SubmitAnswer(answer) = packet else { continue };
                    let Some(at) = sent.remove(&answer.request) else { continue };
                    *waiting -= 1;
                    height = height.max(answer.height.0);
                    match answer.verdict {
                        SubmitVerdict::Committed | SubmitVerdict::Refused => {
                            committed += 1;
                            samples.push(at.elapsed().as_secs_f64() * 1e3);
                        }
                        SubmitVerdict::TryLater => told_later += 1,
                        verdict => return Err(format!("a transfer was answered {verdict:?}")),
                    }
                }
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        Ok(Load {
            in_flight_at_each_master: in_flight,
            committed_a_second: committed as f64 / seconds,
            blocks_a_second: (height - height_before) as f64 / seconds,
            latency_ms: Summary::of(samples),
            told_later,
        })
    }

    fn stop(mut self) {
        self.processes.stop_all();
    }
}

pub(crate) fn measure(program: Option<PathBuf>, directory: &Path, seconds: u64) -> Result<Measured, String> {
    let program = match program {
        Some(program) => program,
        None => std::env::current_exe().map_err(|e| e.to_string())?.with_file_name("duohuo"),
    };
    if !program.exists() {
        return Err(format!("{}: not there; build it: cargo build --release -p duohuo", program.display()));
    }
    let span = Duration::from_secs(seconds);
    let place = |name: &str| {
        let path = directory.join(format!("duohuo-bench-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    };
    let (three, one) = (place("3"), place("1"));
    let mut rig = Rig::start(&program, &three, PORT, &[1, 2, 3])?;
    let with_standbys = vec![rig.load(LIGHT, span)?, rig.load(HEAVY, span)?];
    let catch_up = catch_up(&mut rig, span)?;
    rig.stop();
    let rig = Rig::start(&program, &one, PORT + 1, &[1])?;
    let without_standbys = vec![rig.load(LIGHT, span)?, rig.load(HEAVY, span)?];
    rig.stop();
    for path in [three, one] {
        let _ = std::fs::remove_dir_all(path);
    }
    let median = |loads: &[Load]| loads.first().and_then(|l| l.latency_ms).map(|l| l.median);
    let record_before_vote_ratio =
        median(&with_standbys).zip(median(&without_standbys)).map(|(with, without)| with / without);
    Ok(Measured { with_standbys, without_standbys, record_before_vote_ratio, catch_up })
}

/// An ordinary node is away while the others commit under load, and comes back when the load is over.
fn catch_up(rig: &mut Rig, span: Duration) -> Result<CatchUp, String> {
    let away = *rig.all.iter().find(|id| id.0 % 100 == 3).ok_or("no third node")?;
    let before = rig.height(away).ok_or("no height")?;
    rig.processes.stop(&[away].into());
    rig.load(HEAVY, span * 2)?;
    let masters = rig.masters();
    let head = masters.first().and_then(|id| rig.height(*id)).ok_or("no height")?;
    let begin = Instant::now();
    rig.processes.start(&rig.network, away)?;
    let until = begin + PATIENCE;
    while rig.height(away).is_none_or(|height| height < head) {
        if Instant::now() > until {
            return Err("it did not catch up in time".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let seconds = begin.elapsed().as_secs_f64();
    rig.processes.stop(&[away].into());
    let identity = Identity { consortium: rig.network.roster.consortium, node: away };
    let store = OpenStore::open(&rig.network.store_path(away), identity, OpenMode::Existing)
        .map_err(|e| e.to_string())?;
    let stored = store.load().map_err(|e| e.to_string())?;
    let lowest = lowest_block(&stored.meta).map_err(|e| e.to_string())?;
    let (mut bytes, mut blocks) = (0usize, 0u64);
    store
        .blocks(lowest.max(Height(before + 1)), |_, block| {
            bytes += block.len();
            blocks += 1;
            Ok(())
        })
        .map_err(|e| e.to_string())?;
    let megabytes = bytes as f64 / 1e6;
    Ok(CatchUp {
        blocks,
        megabytes,
        seconds,
        megabytes_a_second: megabytes / seconds,
        copy_megabytes_a_second: copy::megabytes_a_second(bytes.max(1))?,
    })
}
