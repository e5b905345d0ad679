//! Our side: a network under load, its clusters hit in turn, judged at the end like any scenario.

use super::{Conditions, Fault, Network, Ours, some_time};
use duohuo_rig::hosts::world::World;
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::{Seen, kind};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Role;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

/// A room of its own.
const AUTHORITY_ROOM: u8 = 9;

/// One cluster that loses its master, and one that says something meanwhile.
const ONE_AND_ANOTHER: &[(&str, &[u16])] = &[("A", &[1, 2, 3]), ("B", &[2, 3])];
/// One cluster that loses its master, and as few others, of as few nodes, as may be.
const ONE_OF_THREE: &[(&str, &[u16])] = &[("A", &[1, 2, 3]), ("B", &[1, 2]), ("C", &[2, 3]), ("D", &[3, 1])];
/// Who loses its master has another one, and a member that must acknowledge what that one says.
const ENOUGH: usize = 3;
/// The client is with another cluster's master after this.
const LOAD_MOVES: Duration = Duration::from_millis(200);

impl Network {
    /// Clusters over rooms.
    const fn layout(self) -> &'static [(&'static str, &'static [u16])] {
        match self {
            Self::Two => ONE_AND_ANOTHER,
            Self::Small => ONE_OF_THREE,
            Self::Fig18 => FOUR_COMPANIES,
        }
    }
}

/// A network that runs.
fn start(conditions: Conditions) -> Result<World, String> {
    World::paced(conditions.network.layout(), AUTHORITY_ROOM, conditions.interval_ms, |world| {
        let text = format!("\n[chain]\nblock_interval_ms = {}\n", conditions.pause_ms);
        let starter = conditions.scheduling.starter();
        let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
        world.run_by(NodeId::AUTHORITY, &starter);
        let nodes: Vec<NodeId> = world.network.roster.all_nodes().map(|(_, node)| node.id).collect();
        nodes.into_iter().try_for_each(|id| {
            world.run_by(id, &starter);
            let path = world.network.node_config_path(id);
            let file = std::fs::OpenOptions::new().append(true).open(&path);
            file.and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|e| format!("{}: {e}", path.display()))
        })
    })
}

/// What happened though nobody did anything to the network.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Unasked {
    /// Grants.
    pub(super) switches: u64,
    pub(super) suspicions: u64,
    pub(super) claims: u64,
    pub(super) refusals: u64,
}

/// So many seconds in which nothing is done to a network under load.
pub(super) fn watch(conditions: Conditions, seconds: u64) -> Result<Unasked, String> {
    let mut world = start(conditions)?;
    let mut unasked = Unasked::default();
    world.picture.view().forget_events();
    for _ in 0..seconds {
        world.pause(Duration::from_secs(1))?;
        let mut view = world.picture.view();
        for seen in &view.seen {
            match seen.kind {
                kind::GRANTED if seen.from == NodeId::AUTHORITY => unasked.switches += 1,
                kind::SUSPECTED => unasked.suspicions += 1,
                kind::CLAIMED => unasked.claims += 1,
                kind::REFUSED => unasked.refusals += 1,
                _ => {}
            }
        }
        view.forget_events();
    }
    world.judge()?;
    Ok(unasked)
}

/// So many rounds.
pub(super) fn measure(conditions: Conditions, fault: Fault, rounds: u32) -> Result<Vec<Ours>, String> {
    let mut world = start(conditions)?;
    let clusters = world.network.roster.clusters.iter().filter(|c| c.nodes.len() >= ENOUGH);
    let clusters: Vec<_> = clusters.map(|c| c.id).collect();
    let mut samples = Vec::new();
    for cluster in clusters.iter().copied().cycle().take(rounds as usize) {
        world.revive()?;
        let of_cluster: BTreeSet<NodeId> =
            world.network.roster.cluster(cluster).into_iter().flat_map(|c| &c.nodes).map(|n| n.id).collect();
        // Its client needs 300 ms to leave a node that stands still, and a chain without transactions has nothing to vote on.
        world.keep_load_from(of_cluster.clone());
        world.pause(LOAD_MOVES)?;
        world.pause(some_time(conditions.interval_ms))?;
        let master = world.row(cluster).master;
        world.picture.view().forget_events();
        let since = World::now_us();
        match fault {
            Fault::Kill => world.kill(&BTreeSet::from([master])),
            Fault::Cut => world.unplug(master)?,
            Fault::Stop => world.signal(master, Signal::STOP),
        }
        let vote = world.saw("a word of a new master", since, |s| {
            s.kind == kind::RELEASED && s.cluster == cluster && s.from != master
        })?;
        let commit = world.saw("a commit of the new master", vote.at_us, |s| {
            s.kind == kind::COMMITTED && s.from == vote.from
        })?;
        world.saw("a grant", since, |s| {
            s.kind == kind::GRANTED && s.from == NodeId::AUTHORITY && s.cluster == cluster
        })?;
        // What led to it, if it was told: who was suspected the moment before the fault is not suspected anew.
        let ms = |at_us: u64| at_us.saturating_sub(since) as f64 / 1000.0;
        let view = world.picture.view();
        let told = |wanted: &dyn Fn(&Seen) -> bool| view.first(since, wanted).map(|s| ms(s.at_us));
        samples.push(Ours {
            detected: told(&|s| s.kind == kind::SUSPECTED && s.node == master),
            claimed: told(&|s| s.kind == kind::CLAIMED && of_cluster.contains(&s.from)),
            granted: told(&|s| {
                s.kind == kind::GRANTED && s.from == NodeId::AUTHORITY && s.cluster == cluster
            }),
            leads: told(&|s| {
                s.kind == kind::ROLE_CHANGED && s.from == vote.from && s.detail == Role::Master as u32
            }),
            refused: view
                .seen
                .iter()
                .filter(|s| s.kind == kind::REFUSED && s.at_us >= since && s.at_us <= vote.at_us)
                .count(),
            vote: ms(vote.at_us),
            commit: ms(commit.at_us),
        });
        drop(view);
        match fault {
            Fault::Kill => {}
            Fault::Cut => world.replug(master)?,
            Fault::Stop => world.signal(master, Signal::CONT),
        }
    }
    world.revive()?;
    world.judge()?;
    Ok(samples)
}
