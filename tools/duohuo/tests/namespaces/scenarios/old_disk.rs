//! An old copy of a disk: a store that is older than its witness is not opened; a whole old copy follows before it counts.

use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_wire::ids::NodeId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Of the standby of A.
pub(crate) fn play() -> Outcome {
    let mut world = World::start(FOUR_COMPANIES, 9)?;
    let standby = world.standby(world.cluster("A"))?;
    let victim = BTreeSet::from([standby]);
    let store = world.network.store_path(standby);
    let (witness, old, new) = (beside(&store, ".witness"), beside(&store, ".old"), beside(&store, ".new"));
    let (old_witness, new_witness) = (beside(&old, ".witness"), beside(&new, ".witness"));
    world.kill(&victim);
    copy(&store, &old)?;
    copy(&witness, &old_witness)?;
    world.revive()?;
    world.goes_on()?;
    // the operator puts an old copy of the store in place; what it promised since is not in it
    world.kill(&victim);
    copy(&store, &new)?;
    copy(&witness, &new_witness)?;
    copy(&old, &store)?;
    refuses_to_start(&mut world, standby)?;
    world.goes_on()?;
    // the newest copy is good
    copy(&new, &store)?;
    world.revive()?;
    // the whole machine is set back, witness and all: its master gives it the log anew before it may count
    world.kill(&victim);
    copy(&old, &store)?;
    copy(&old_witness, &witness)?;
    world.revive()?;
    world.goes_on()?;
    world.judge()
}

fn refuses_to_start(world: &mut World, id: NodeId) -> Outcome {
    world.may_fall(id);
    world.run(id)?;
    world.wait(|world| world.processes.is_live(id).then(|| "it did not refuse its old store".to_owned()))?;
    let log = world.log(id);
    let said = "or an old copy was put in its place";
    if log.contains(said) { Ok(()) } else { Err(format!("its log does not say {said:?}:\n{log}")) }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn copy(from: &Path, to: &Path) -> Outcome {
    std::fs::copy(from, to).map(|_| ()).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))
}
