//! kill -9 the authority at random instants of switches; after each crash its log is read: it holds all it held before, in
//! order and without contradiction, and every decision that anybody was told.

use crate::world::{Outcome, World};
use duohuo_core::authority::table::{Command, Table};
use duohuo_driver::keys;
use duohuo_driver::store::{Identity, OpenMode, OpenStore};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Crashes of the authority.
const ROUNDS: usize = 8;
/// Most time between the death of a master and that of the authority: a switch takes about as long.
const WITHIN_MS: u64 = 250;

/// Each round another cluster's master dies, then the authority; both come back.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let mut log = Vec::new();
    let clusters: Vec<ClusterId> = world.network.roster.clusters.iter().map(|c| c.id).collect();
    for cluster in clusters.into_iter().cycle().take(ROUNDS) {
        let before = world.rows();
        let row = world.row(cluster);
        let heirs: BTreeSet<NodeId> = row.in_sync.into_iter().filter(|id| *id != row.master).collect();
        world.kill(&BTreeSet::from([row.master]));
        let random = keys::random().first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        std::thread::sleep(Duration::from_millis(random % WITHIN_MS));
        world.kill(&BTreeSet::from([NodeId::AUTHORITY]));
        // what was told before the crash is seen a moment later
        world.pause(Duration::from_millis(100))?;
        let told = world.picture.view().masters().clone();
        log = forgot_nothing(&world, &log, &told)?;
        world.run(NodeId::AUTHORITY)?;
        world.switched(&before, &[cluster], &heirs)?;
        world.revive()?;
        world.goes_on()?;
    }
    world.kill(&BTreeSet::from([NodeId::AUTHORITY]));
    let told = world.picture.view().masters().clone();
    let log = forgot_nothing(&world, &log, &told)?;
    println!("     {} commands in the authority's log after {ROUNDS} crashes", log.len());
    world.revive()?;
    world.judge()
}

/// The log of the dead authority, if it begins with `before`, replays, and has all that was `told`.
fn forgot_nothing(
    world: &World,
    before: &[Command],
    told: &BTreeMap<(ClusterId, Epoch), NodeId>,
) -> Outcome<Vec<Command>> {
    let path = world.network.authority_config_path().with_file_name("authority.redb");
    let identity = Identity { consortium: world.network.roster.consortium, node: NodeId::AUTHORITY };
    let store = OpenStore::open(&path, identity, OpenMode::Existing).map_err(|e| e.to_string())?;
    let stored = store.load().map_err(|e| e.to_string())?;
    let mut log = Vec::new();
    let mut table = Table::default();
    for (n, (sequence, bytes)) in (1u64..).zip(&stored.commands) {
        if n != *sequence {
            return Err(format!("command {n} of the log is missing"));
        }
        let command = Command::decode(bytes).ok_or_else(|| format!("command {n} is damaged"))?;
        table.apply(&command).map_err(|why| format!("command {n} does not follow: {why:?}"))?;
        log.push(command);
    }
    if !log.starts_with(before) {
        return Err(format!("the log of {} commands was rewritten", before.len()));
    }
    for ((cluster, epoch), node) in told {
        let known = table.master_of(*cluster, *epoch);
        if known != Some(*node) {
            return Err(format!(
                "cluster {} epoch {}: {} was told, the log has {known:?}",
                cluster.0,
                epoch.0,
                world.name(*node)
            ));
        }
    }
    Ok(log)
}
