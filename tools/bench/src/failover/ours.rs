//! Our side: the network of Fig. 18 under load, the clusters hit in turn, judged at the end like any scenario.

use super::{Fault, Ours, some_time};
use duohuo_rig::hosts::world::World;
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::NodeId;
use rustix::process::Signal;
use std::collections::BTreeSet;

/// A room of its own.
const AUTHORITY_ROOM: u8 = 9;

/// So many rounds.
pub(super) fn measure(fault: Fault, interval_ms: u64, rounds: u32) -> Result<Vec<Ours>, String> {
    let mut world = World::paced(FOUR_COMPANIES, AUTHORITY_ROOM, interval_ms, |_| Ok(()))?;
    let clusters: Vec<_> = world.network.roster.clusters.iter().map(|c| c.id).collect();
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
