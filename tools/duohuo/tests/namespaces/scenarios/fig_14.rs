//! REC-2, Fig. 14: master and standby fail together.

use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::NodeId;
use duohuo_wire::status::Role;
use std::collections::BTreeSet;

/// Kill master and standby of B; the ordinary node takes over.
pub(crate) fn play() -> Outcome {
    // S1401 to S1404: all keep alive
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let b = world.cluster("B");
    let before = world.rows();
    let victims = BTreeSet::from([world.row(b).master, world.standby(b)?]);
    let heirs: BTreeSet<NodeId> =
        world.row(b).in_sync.into_iter().filter(|id| !victims.contains(id)).collect();
    let heir = heirs.first().copied().ok_or("no ordinary node of B is in sync")?;
    let since = World::now_us();
    // S1405: both die
    world.kill(&victims);
    // S1406, S1407: the one that is left finds both dead
    for victim in &victims {
        world.saw("S1407, master and standby are dead", since, |s| {
            s.kind == kind::DEAD && s.from == heir && s.node == *victim
        })?;
    }
    // S1408 to S1412: it elects itself, claims, is checked and granted
    world.saw("S1412, the ordinary node is granted", since, |s| {
        s.kind == kind::GRANTED && s.from == NodeId::AUTHORITY && s.cluster == b && s.node == heir
    })?;
    world.switched(&before, &[b], &heirs)?;
    // S1413, S1414: it acts alone, without a standby
    world.settle()?;
    if world.standby(b).is_ok() {
        return Err("a standby is reported where nobody is left".into());
    }
    world.saw("S1414, a signed word of the new master", since, |s| {
        s.kind == kind::RELEASED && s.from == heir
    })?;
    world.goes_on()?;
    // SYS-7: both come back and rejoin; SYS-4: exactly one of them is standby
    world.revive()?;
    world.wait(|world| {
        let view = world.picture.view();
        let standby = |id: &&NodeId| view.nodes.get(id).and_then(|n| n.role) == Some(Role::Standby);
        (victims.iter().filter(standby).count() != 1).then(|| "nobody or both are standby".to_owned())
    })?;
    world.judge()
}
