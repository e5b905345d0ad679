//! A whole network as real processes on loopback: the authority, four clusters of three nodes, real fsync, clients that keep
//! so many transfers in flight. With standbys and without them: what recording before voting costs.

use crate::statistics::Summary;
use duohuo_chain::Transfer;
use duohuo_core::chain::TransactionId;
use duohuo_driver::client::Client;
use duohuo_driver::keys;
use duohuo_rig::access::Access;
use duohuo_rig::layout::Layout;
use duohuo_rig::network::{ACCOUNTS, Network, Settings};
use duohuo_rig::processes::Processes;
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::packet::{Packet, Submit, SubmitVerdict};
use duohuo_wire::statement::Row;
use duohuo_wire::status::Role;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a network may take to be whole, or a node to catch up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Transfers in flight at each master: one shows the latency, many the throughput.
pub(crate) const LIGHT: usize = 1;
const HEAVY: usize = 2_000;
/// A file system without a disk.
pub(crate) const MEMORY: &str = "/dev/shm";
/// The first port of the networks; each has its own.
pub(crate) const PORT: u16 = 4_870;

/// What clients saw.
#[derive(Serialize)]
pub(crate) struct Load {
    in_flight_at_each_master: usize,
    committed_a_second: f64,
    blocks_a_second: f64,
    /// From the submission to the answer that it is committed and durable.
    latency_ms: Option<Summary>,
    told_later: u64,
    /// Of all processes of the network.
    processor_seconds: f64,
    blocks: u64,
}

/// Networks of four clusters.
#[derive(Serialize)]
pub(crate) struct Measured {
    with_standbys: Vec<Load>,
    without_standbys: Vec<Load>,
    /// One node a cluster, stores in memory and no pause between blocks: what a disk faster than any would leave.
    no_disk: Vec<Load>,
    /// Median latency with standbys over that without, one transfer in flight at each master.
    record_before_vote_ratio: Option<f64>,
    /// Median latency with standbys, one transfer in flight at each master, over the floor of the same run.
    over_floor_ratio: Option<f64>,
    /// Transfers a second with standbys under heavy load, over the core alone in one thread with blocks of 1,000.
    over_core_ratio: Option<f64>,
}

impl Load {
    pub(crate) fn median(&self) -> f64 {
        self.latency_ms.map_or(f64::NAN, |l| l.median)
    }

    /// Of all processes of the network together.
    pub(crate) fn processor_ms_a_block(&self) -> f64 {
        self.processor_seconds * 1e3 / self.blocks as f64
    }

    pub(crate) fn text(&self) -> String {
        let latency = self
            .latency_ms
            .map_or_else(String::new, |l| format!(", latency p50 {:.1} ms, p99 {:.1} ms", l.median, l.p99));
        format!(
            "{} in flight at each master: {:.0} transfers/s, {:.0} blocks/s{latency}, {:.1} ms of processor time a block, {} told to try later",
            self.in_flight_at_each_master,
            self.committed_a_second,
            self.blocks_a_second,
            self.processor_ms_a_block(),
            self.told_later
        )
    }
}

impl Measured {
    pub(crate) fn print(&self) {
        for (name, loads) in [
            ("3 nodes", &self.with_standbys),
            ("1 node", &self.without_standbys),
            ("1 node in memory without a pause between blocks", &self.no_disk),
        ] {
            for load in loads {
                println!("4 clusters of {name}, {}", load.text());
            }
        }
        if let Some(ratio) = self.record_before_vote_ratio {
            println!("record before vote: {ratio:.2} times the latency without standbys");
        }
        if let Some((floor, core)) = self.over_floor_ratio.zip(self.over_core_ratio) {
            println!("light: {floor:.1} times the floor; heavy: {core:.3} times the core alone");
        }
    }
}

pub(crate) struct Rig {
    pub(crate) network: Network,
    processes: Processes,
    pub(crate) access: Access,
    /// Whom to wait for.
    pub(crate) all: BTreeSet<NodeId>,
}

impl Rig {
    /// Those of the nodes that are to run; `chain` goes into their configurations.
    pub(crate) fn start(
        program: &Path,
        directory: &Path,
        layout: &Layout,
        runs: impl Fn(NodeId) -> bool,
        chain: &str,
    ) -> Result<Self, String> {
        let settings = Settings { keepalive_interval_ms: 500, drill: false };
        let network = Network::create(directory, layout, settings).map_err(|e| e.to_string())?;
        for (_, node) in network.roster.all_nodes() {
            let path = network.node_config_path(node.id);
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            std::fs::write(&path, text + chain).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let access = Access::from_config(&directory.join("load.toml")).map_err(|e| e.to_string())?;
        let mut processes = Processes::new(program.to_owned(), Vec::new());
        processes.start(&network, NodeId::AUTHORITY)?;
        let ids = network.roster.all_nodes().map(|(_, n)| n.id);
        let all: BTreeSet<NodeId> = ids.filter(|id| runs(*id)).collect();
        for id in &all {
            processes.start(&network, *id)?;
        }
        let mut rig = Self { network, processes, access, all };
        rig.wait(|rig| rig.whole())?;
        Ok(rig)
    }

    /// kill -9, everybody: nothing changes hands.
    pub(crate) fn kill_all(&mut self) {
        self.processes.kill(&BTreeSet::from([NodeId::AUTHORITY]));
        self.processes.kill(&self.all);
    }

    /// The authority and these nodes, until the network is whole.
    pub(crate) fn start_again(&mut self, nodes: &[NodeId]) -> Result<(), String> {
        self.start_one(NodeId::AUTHORITY)?;
        self.all = nodes.iter().copied().collect();
        for id in nodes {
            self.start_one(*id)?;
        }
        self.wait(Self::acts)
    }

    pub(crate) fn start_one(&mut self, id: NodeId) -> Result<(), String> {
        self.processes.start(&self.network, id)
    }

    pub(crate) fn rows(&self) -> Result<Vec<Row>, String> {
        self.access
            .status(&self.access.authority(), CONNECT_TIMEOUT)
            .map(|report| report.rows)
            .map_err(|e| e.to_string())
    }

    /// What a process and its threads used of the processors, so far.
    pub(crate) fn processor_seconds(&self, id: NodeId) -> f64 {
        let pid = self.processes.pid(id).unwrap_or_default();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let ns = threads.filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<f64>().ok()
        });
        ns.sum::<f64>() / 1e9
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

    /// Every cluster has a master that acts.
    fn acts(&self) -> bool {
        self.masters().len() == self.network.roster.clusters.len()
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

    pub(crate) fn height(&self, id: NodeId) -> Option<u64> {
        let server = self.access.nodes().into_iter().find(|s| s.id == id)?;
        self.access.status(&server, CONNECT_TIMEOUT).ok().map(|report| report.height.0)
    }

    /// Keeps so many transfers in flight at each master until it is enough, which is asked with each turn.
    pub(crate) fn load(
        &self,
        in_flight: usize,
        mut is_enough: impl FnMut(Instant) -> bool,
    ) -> Result<Load, String> {
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
        let processor_seconds =
            || self.all.iter().chain([&NodeId::AUTHORITY]).map(|id| self.processor_seconds(*id)).sum::<f64>();
        let processor_seconds_before = processor_seconds();
        let begin = Instant::now();
        // What is not answered at the end is not counted.
        while !is_enough(begin) {
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
        let blocks = height - height_before;
        Ok(Load {
            processor_seconds: processor_seconds() - processor_seconds_before,
            blocks,
            in_flight_at_each_master: in_flight,
            committed_a_second: committed as f64 / seconds,
            blocks_a_second: blocks as f64 / seconds,
            latency_ms: Summary::of(samples),
            told_later,
        })
    }

    pub(crate) fn stop(mut self) {
        self.processes.stop_all();
    }
}

/// For so long.
pub(crate) fn spanning(span: Duration) -> impl FnMut(Instant) -> bool {
    move |begun| begun.elapsed() >= span
}

pub(crate) fn measure(
    program: &Path,
    directory: &Path,
    span: Duration,
    floor_ms: f64,
    core_a_second: Option<f64>,
) -> Result<Measured, String> {
    let loads = |directory: &Path, port: u16, nodes: u32, chain: &str| -> Result<Vec<Load>, String> {
        let path = directory.join(port.to_string());
        let rig = Rig::start(program, &path, &Layout::four_companies(port), |id| id.0 % 100 <= nodes, chain)?;
        let loads = vec![rig.load(LIGHT, spanning(span))?, rig.load(HEAVY, spanning(span))?];
        rig.stop();
        // gigabytes would be left of many runs
        let _ = std::fs::remove_dir_all(path);
        Ok(loads)
    };
    let with_standbys = loads(directory, PORT, 3, "")?;
    let without_standbys = loads(directory, PORT + 1, 1, "")?;
    let memory = tempfile::tempdir_in(MEMORY).map_err(|e| format!("{MEMORY}: {e}"))?;
    let no_disk = loads(memory.path(), PORT + 4, 1, "[chain]\nblock_interval_ms = 0\n")?;
    let light = |loads: &[Load]| loads.first().map(Load::median).filter(|ms| ms.is_finite());
    let heavy = with_standbys.last().map(|load| load.committed_a_second);
    Ok(Measured {
        record_before_vote_ratio: light(&with_standbys)
            .zip(light(&without_standbys))
            .map(|(with, without)| with / without),
        over_floor_ratio: light(&with_standbys).map(|ms| ms / floor_ms),
        over_core_ratio: heavy.zip(core_a_second).map(|(heavy, core)| heavy / core),
        with_standbys,
        without_standbys,
        no_disk,
    })
}
