//! Our side: a network under load, its clusters hit in turn, judged at the end like any scenario.

use super::{Fault, Network, Ours, some_time};
use duohuo_rig::hosts::world::World;
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::NodeId;
use rustix::process::Signal;
use std::collections::BTreeSet;

/// A room of its own.
const AUTHORITY_ROOM: u8 = 9;

/// One cluster that loses its master, and as few others, of as few nodes, as may be.
const ONE_OF_THREE: &[(&str, &[u16])] = &[("A", &[1, 2, 3]), ("B", &[1, 2]), ("C", &[2, 3]), ("D", &[3, 1])];
/// Who loses its master has another one, and a member that must acknowledge what that one says.
const ENOUGH: usize = 3;

impl Network {
    /// Clusters over rooms.
    const fn layout(self) -> &'static [(&'static str, &'static [u16])] {
        match self {
            Self::Small => ONE_OF_THREE,
            Self::Fig18 => FOUR_COMPANIES,
        }
    }

    /// Rounds on one network: each of its clusters once, before the damping of switches has a say.
    pub(super) fn rounds(self) -> u32 {
        let can_lose = self.layout().iter().filter(|(_, nodes)| nodes.len() >= ENOUGH).count();
        u32::try_from(can_lose).unwrap_or(u32::MAX)
    }
}

/// So many rounds.
pub(super) fn measure(
    network: Network,
    fault: Fault,
    interval_ms: u64,
    rounds: u32,
) -> Result<Vec<Ours>, String> {
    let mut world = World::paced(network.layout(), AUTHORITY_ROOM, interval_ms, |_| Ok(()))?;
    let clusters = world.network.roster.clusters.iter().filter(|c| c.nodes.len() >= ENOUGH);
    let clusters: Vec<_> = clusters.map(|c| c.id).collect();
    let mut samples = Vec::new();
    for cluster in clusters.iter().copied().cycle().take(rounds as usize) {
        world.revive()?;
        world.pause(some_time(interval_ms))?;
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
        let granted = world.saw("a grant", since, |s| {
            s.kind == kind::GRANTED && s.from == NodeId::AUTHORITY && s.cluster == cluster
        })?;
        let detected = world.saw("a suspicion", since, |s| s.kind == kind::SUSPECTED && s.node == master)?;
        let ms = |at_us: u64| at_us.saturating_sub(since) as f64 / 1000.0;
        samples.push(Ours {
            detected: ms(detected.at_us),
            granted: ms(granted.at_us),
            vote: ms(vote.at_us),
            commit: ms(commit.at_us),
        });
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
