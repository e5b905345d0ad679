//! REC-3, Fig. 15: the master errs in consensus.

use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_rig::picture::kind;
use duohuo_wire::ids::NodeId;
use rustix::process::Signal;
use std::collections::BTreeSet;

/// The master of C computes wrong balances; it is barred, its standby takes over.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let c = world.cluster("C");
    let before = world.rows();
    let (master, standby) = (world.row(c).master, world.standby(c)?);
    let rest: BTreeSet<NodeId> = world.row(c).in_sync.into_iter().filter(|id| *id != master).collect();
    let since = World::now_us();
    world.picture.view().drilled.insert(master);
    world.signal(master, Signal::USR1);
    // S1501, S1502: another master finds that only C differs, and reports it
    world.saw("S1502, a report of C's result", since, |s| {
        s.kind == kind::CONSENSUS_ERROR_REPORTED && s.cluster == c && s.from != master
    })?;
    // S1503, S1504: at the threshold the authority bars the master and orders the switch
    world.saw("S1504, the order to switch", since, |s| s.kind == kind::FORCED_SWITCH && s.cluster == c)?;
    // S1505 to S1507, S1509 to S1511: the standby claims and is granted
    world.saw("S1511, the standby is granted", since, |s| {
        s.kind == kind::GRANTED && s.from == NodeId::AUTHORITY && s.cluster == c && s.node == standby
    })?;
    world.switched(&before, &[c], &rest)?;
    let row = world.row(c);
    if row.barred != [master] || row.in_sync.contains(&master) {
        return Err(format!("S1505, the old master must be barred and outside the set: {row:?}"));
    }
    // S1508: the new standby is another one
    world.settle()?;
    let elected = world.standby(c)?;
    if elected == master || !rest.contains(&elected) {
        return Err(format!("S1508, {} is standby", world.name(elected)));
    }
    // S1512, S1513: the others count the new master's words
    world.goes_on()?;
    // started anew without its fault it follows, and stays barred
    world.kill(&BTreeSet::from([master]));
    world.picture.view().drilled.remove(&master);
    world.revive()?;
    if world.row(c).barred != [master] {
        return Err("the old master was pardoned".into());
    }
    world.judge()
}
