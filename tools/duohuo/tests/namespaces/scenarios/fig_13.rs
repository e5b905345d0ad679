//! REC-1, Fig. 13: the master fails.

use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::NodeId;
use duohuo_wire::status::Role;
use std::collections::BTreeSet;

/// Kill the master of A; every step of the figure is seen.
pub(crate) fn play() -> Outcome {
    // S1301, S1302: all keep alive, in the cluster and towards the authority: the network is whole
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let a = world.cluster("A");
    let before = world.rows();
    let (master, standby) = (world.row(a).master, world.standby(a)?);
    let rest: BTreeSet<NodeId> = world.row(a).in_sync.into_iter().filter(|id| *id != master).collect();
    let since = World::now_us();
    // S1303: the master dies
    world.kill(&BTreeSet::from([master]));
    // S1304: a neighbour misses it
    let missed = |s: &duohuo_rig::picture::Seen| s.node == master && rest.contains(&s.from);
    world.saw("S1304, a neighbour suspects the master", since, |s| s.kind == kind::SUSPECTED && missed(s))?;
    // S1305: for its neighbours it is dead
    world.saw("S1305, the master is dead", since, |s| s.kind == kind::DEAD && missed(s))?;
    // S1306, S1307, S1309 to S1311: the standby leads, claims, is checked and granted
    let granted = world.saw("S1311, a new master is granted", since, |s| {
        s.kind == kind::GRANTED && s.from == NodeId::AUTHORITY && s.cluster == a
    })?;
    if granted.node != standby {
        return Err(format!(
            "{} was granted, expected the standby {}",
            world.name(granted.node),
            world.name(standby)
        ));
    }
    world.switched(&before, &[a], &rest)?;
    // S1308: the rest elect a new standby among themselves
    world.wait(|world| {
        let view = world.picture.view();
        let standbys =
            rest.iter().filter(|id| view.nodes.get(id).and_then(|n| n.role) == Some(Role::Standby));
        (standbys.count() != 1).then(|| "S1308, nobody or both are standby".to_owned())
    })?;
    // S1312, S1313: all nodes of A know the row; the other masters count A's words again, so the chain goes on
    world.settle()?;
    world.saw("S1313, a signed word of the new master", since, |s| {
        s.kind == kind::RELEASED && s.from == standby
    })?;
    world.goes_on()?;
    // SYS-7: who died comes back and rejoins
    world.revive()?;
    world.judge()
}
