//! A full disk: the master cannot keep its word, resigns, and its standby takes over; with space again it comes back.

use crate::cell;
use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_wire::ids::NodeId;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The first node of A, its first master.
const MASTER: NodeId = NodeId(101);

/// Fill the disk of the master of A.
pub(crate) fn play() -> Outcome {
    let mut disk = PathBuf::new();
    let mut world = World::prepared(FOUR_COMPANIES, 9, |world| {
        disk = small_disk(&world.network.node_config_path(MASTER))?;
        world.mounted(disk.clone());
        Ok(())
    })?;
    let a = world.cluster("A");
    let row = world.row(a);
    if row.master != MASTER {
        return Err(format!("{} leads A, expected its node of the highest priority", world.name(row.master)));
    }
    let before = world.rows();
    let heirs: BTreeSet<NodeId> = row.in_sync.into_iter().filter(|id| *id != MASTER).collect();
    world.may_fall(MASTER);
    let filler = disk.join("filler");
    let mut file = std::fs::File::create(&filler).map_err(|e| e.to_string())?;
    while file.write_all(&[0x5a; 512]).is_ok() {}
    world.switched(&before, &[a], &heirs)?;
    world.wait(|world| world.processes.is_live(MASTER).then(|| "it did not end".to_owned()))?;
    let (log, said) = (world.log(MASTER), "the store cannot be written: free space or replace the disk");
    if !log.contains(said) {
        return Err(format!("its log does not say {said:?}:\n{log}"));
    }
    world.goes_on()?;
    std::fs::remove_file(&filler).map_err(|e| e.to_string())?;
    world.revive()?;
    world.judge()
}

/// Mount a file system of 8 MiB over a node's directory, and put its files there.
fn small_disk(config: &Path) -> Outcome<PathBuf> {
    let directory = config.parent().ok_or("a configuration lies in a directory")?;
    let failed = |e: std::io::Error| format!("{}: {e}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let mode = path.metadata().map_err(failed)?.permissions();
        files.push((std::fs::read(&path).map_err(failed)?, mode, path));
    }
    cell::run("mount", &["-t", "tmpfs", "-o", "size=8m", "disk", &directory.display().to_string()], "")?;
    for (bytes, mode, path) in files {
        std::fs::write(&path, bytes).map_err(failed)?;
        std::fs::set_permissions(&path, mode).map_err(failed)?;
    }
    Ok(directory.into())
}
