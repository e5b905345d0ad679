//! R5: a cluster's whole in-sync set is lost; an operator forces the node that is left. It is fenced before it speaks, and
//! those who return follow it.

use duohuo_rig::hosts::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use std::collections::BTreeSet;

/// The set of B shrinks to master and standby; both die; the third node is forced.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let b = world.cluster("B");
    let row = world.row(b);
    let kept = BTreeSet::from([row.master, world.standby(b)?]);
    let left = row.in_sync.iter().copied().find(|id| !kept.contains(id)).ok_or("B has no third node")?;
    world.kill(&BTreeSet::from([left]));
    world
        .wait(|world| (world.row(b).in_sync.len() != 2).then(|| "the third node is still in sync".into()))?;
    world.kill(&kept);
    world.run(left)?;
    let name = world.name(left);
    // It is there, but may not lead: it does not know what the two said.
    world.goes_on()?;
    let before = world.rows();
    if world.row(b).master == left {
        return Err("a node outside the set leads without an order".into());
    }
    let since = World::now_us();
    let order = ["failover", "B", "--to", &name, "--unsafe", "--confirm", "B", "--why", "both rooms burnt"];
    world.order(&order)?;
    let fenced = world.saw("the fence stands", since, |s| s.kind == kind::FENCED && s.node == left)?;
    world.saw("a signed word of the forced master", fenced.at_us, |s| {
        s.kind == kind::RELEASED && s.from == left
    })?;
    world.switched(&before, &[b], &BTreeSet::from([left]))?;
    let early =
        world.saw("a word before the fence", since, |s| s.kind == kind::RELEASED && s.from == left)?;
    if early.at_us < fenced.at_us || early.height <= fenced.height {
        return Err(format!("it spoke at height {}, closed up to {}", early.height, fenced.height));
    }
    world.goes_on()?;
    // The lost ones are found again: they follow, whatever they once said.
    world.revive()?;
    let whole = |world: &mut World| (world.row(b).in_sync.len() != 3).then(|| "B is not whole".to_owned());
    world.wait(whole)?;
    if world.row(b).master != left {
        return Err("the forced master was not kept".into());
    }
    world.judge()
}
