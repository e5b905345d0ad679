//! A machine that stands still, as a paused virtual machine: its master is replaced, and awake again it says nothing new.

use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::NodeId;
use duohuo_wire::status::Role;
use rustix::process::Signal;
use std::collections::BTreeSet;

/// SIGSTOP the master of A, let the cluster switch and the chain go on, SIGCONT.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let a = world.cluster("A");
    let before = world.rows();
    let row = world.row(a);
    let master = row.master;
    let heirs: BTreeSet<NodeId> = row.in_sync.iter().copied().filter(|id| *id != master).collect();
    world.signal(master, Signal::STOP);
    // nothing of what it may still say concerns a block above the one that was open now
    let open = world.picture.view().height() + 1;
    world.switched(&before, &[a], &heirs)?;
    world.goes_on()?;
    world.goes_on()?;
    let woken = World::now_us();
    world.signal(master, Signal::CONT);
    // it learns that it leads no more, and rejoins
    world.wait(|world| {
        let role = world.picture.view().nodes.get(&master).and_then(|n| n.role);
        let known = world.picture.view().nodes.get(&master).and_then(|n| n.report.as_ref()).map(|r| r.epoch);
        let learnt = role.is_some_and(|role| role != Role::Master) && known > Some(row.epoch);
        (!learnt).then(|| "the old master still believes that it leads".to_owned())
    })?;
    world.settle()?;
    world.goes_on()?;
    // words of its epoch that all members had acknowledged may still leave it; a new one may not
    let late = world
        .picture
        .view()
        .seen
        .iter()
        .find(|s| {
            s.from == master
                && s.kind == kind::RELEASED
                && s.at_us >= woken
                && s.epoch == row.epoch
                && s.height > open + 1
        })
        .copied();
    if let Some(late) = late {
        return Err(format!("the old master spoke of height {} in epoch {}", late.height, late.epoch.0));
    }
    world.judge()
}
