//! Blocks a second, and how they fall with the clusters: networks of real processes that make small blocks as fast as they can,
//! with their stores on a disk and in memory, with standbys and without.

use super::floor;
use super::network::{LIGHT, Load, MEMORY, PORT, Rig, spanning};
use duohuo_rig::layout::Layout;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// Transfers in flight at each master: the next block always has something to hold.
const STEADY: usize = 20;
/// Blocks of at most ten transfers, one as soon as the one before is durable.
const SMALL_BLOCKS: &str = "[chain]\nblock_interval_ms = 0\nmax_block_transactions = 10\n";
/// The first ports of these networks.
const PACE_PORT: u16 = PORT + 10;
const GROWTH_PORT: u16 = PORT + 20;

/// Networks of four clusters on one kind of store.
#[derive(Serialize)]
pub(crate) struct Pace {
    stores: &'static str,
    fsync_ms: f64,
    /// One fdatasync there and 2.5 round trips: no commit is faster.
    floor_ms: f64,
    with_standbys: Sizes,
    without_standbys: Sizes,
    /// Median latency with standbys over that without, one transfer in flight at each master.
    record_before_vote_ratio: Option<f64>,
    /// The same of the processor time of all processes for a block: what others want of the machine does not enter.
    record_before_vote_processor_ratio: f64,
    /// Median latency with standbys over the floor.
    over_floor_ratio: Option<f64>,
}

/// The same network with little and with enough to do.
#[derive(Serialize)]
struct Sizes {
    light: Load,
    steady: Load,
}

/// A network of so many clusters.
#[derive(Serialize)]
pub(crate) struct Grown {
    clusters: u8,
    nodes_a_cluster: u8,
    processes: usize,
    load: Load,
    /// Of all processes together, for each height and cluster.
    processor_ms_a_height_and_cluster: f64,
}

/// Each kind of store in turn.
pub(crate) fn measure(program: &Path, directory: &Path, span: Duration) -> Result<Vec<Pace>, String> {
    let memory = tempfile::tempdir_in(MEMORY).map_err(|e| format!("{MEMORY}: {e}"))?;
    let kinds = [("disk", directory), ("memory", memory.path())];
    let mut ports = PACE_PORT..;
    let mut of = |stores: &'static str, directory: &Path| -> Result<Pace, String> {
        let floor = floor::measure(directory)?;
        let mut sizes = |nodes: u32| {
            let port = ports.next().unwrap_or(PACE_PORT);
            let path = directory.join(port.to_string());
            let runs = |id: duohuo_wire::ids::NodeId| id.0 % 100 <= nodes;
            let rig = Rig::start(program, &path, &Layout::four_companies(port), runs, SMALL_BLOCKS)?;
            let sizes =
                Sizes { light: rig.load(LIGHT, spanning(span))?, steady: rig.load(STEADY, spanning(span))? };
            rig.stop();
            let _ = std::fs::remove_dir_all(path);
            Ok::<_, String>(sizes)
        };
        let (with_standbys, without_standbys) = (sizes(3)?, sizes(1)?);
        let [with, without] = [&with_standbys, &without_standbys].map(|s| s.light.median());
        let of_both = with.is_finite() && without.is_finite();
        Ok(Pace {
            stores,
            fsync_ms: floor.fsync_ms.median,
            floor_ms: floor.commit_ms,
            record_before_vote_ratio: of_both.then(|| with / without),
            record_before_vote_processor_ratio: with_standbys.steady.processor_ms_a_block()
                / without_standbys.steady.processor_ms_a_block(),
            over_floor_ratio: with.is_finite().then(|| with / floor.commit_ms),
            with_standbys,
            without_standbys,
        })
    };
    kinds.map(|(stores, directory)| of(stores, directory)).into_iter().collect()
}

/// More and more clusters, with a standby and an ordinary node each and without; stores in memory, since the processors are what
/// is measured.
pub(crate) fn growth(program: &Path, span: Duration) -> Result<Vec<Grown>, String> {
    let memory = tempfile::tempdir_in(MEMORY).map_err(|e| format!("{MEMORY}: {e}"))?;
    let mut grown = Vec::new();
    for (port, (clusters, nodes)) in (GROWTH_PORT..)
        .zip([4u8, 7, 10, 16].into_iter().flat_map(|clusters| [(clusters, 1u8), (clusters, 3)]))
    {
        let path = memory.path().join(port.to_string());
        let runs = |id: duohuo_wire::ids::NodeId| id.0 % 100 <= u32::from(nodes);
        let rig = Rig::start(program, &path, &Layout::spread(clusters, 3, port), runs, SMALL_BLOCKS)?;
        let load = rig.load(STEADY, spanning(span))?;
        let processes = rig.all.len() + 1;
        rig.stop();
        let _ = std::fs::remove_dir_all(path);
        grown.push(Grown {
            clusters,
            nodes_a_cluster: nodes,
            processes,
            processor_ms_a_height_and_cluster: load.processor_ms_a_block() / f64::from(clusters),
            load,
        });
    }
    Ok(grown)
}

impl Pace {
    pub(crate) fn print(&self) {
        println!(
            "stores on {}: fdatasync {:.2} ms, floor {:.2} ms, at most {:.0} blocks/s one after the other",
            self.stores,
            self.fsync_ms,
            self.floor_ms,
            1e3 / self.floor_ms
        );
        for (name, sizes) in [("3 nodes", &self.with_standbys), ("1 node", &self.without_standbys)] {
            for load in [&sizes.light, &sizes.steady] {
                println!("  4 clusters of {name}, {}", load.text());
            }
        }
        println!(
            "  record before vote: {:.2} times the latency, {:.2} times the processor time of all for a block; light: {:.1} times the floor",
            self.record_before_vote_ratio.unwrap_or(f64::NAN),
            self.record_before_vote_processor_ratio,
            self.over_floor_ratio.unwrap_or(f64::NAN)
        );
    }
}

impl Grown {
    pub(crate) fn print(&self) {
        println!(
            "{} clusters of {}, {} processes: {:.2} ms of processor time for each height and cluster; {}",
            self.clusters,
            self.nodes_a_cluster,
            self.processes,
            self.processor_ms_a_height_and_cluster,
            self.load.text()
        );
    }
}
