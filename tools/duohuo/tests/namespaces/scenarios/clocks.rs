//! No step asks a clock who may speak: machines that were switched on at very different times, in time namespaces.

use crate::world::{Outcome, World};
use duohuo_rig::layout::FOUR_COMPANIES;
use duohuo_wire::ids::NodeId;
use std::collections::BTreeSet;
use std::process::Command;

/// Each node runs so many seconds longer than the one before.
const APART: u32 = 1_000_003;

/// The master of A dies; restarted, it is in yet another time.
pub(crate) fn play() -> Outcome {
    let mut world = World::prepared(FOUR_COMPANIES, 9, |world| {
        let ids: Vec<NodeId> = world.network.roster.all_nodes().map(|(_, node)| node.id).collect();
        for (n, id) in (0..).zip(ids) {
            set_clock(world, id, n * APART)?;
        }
        Ok(())
    })?;
    let a = world.cluster("A");
    let before = world.rows();
    let row = world.row(a);
    world.kill(&BTreeSet::from([row.master]));
    let heirs: BTreeSet<NodeId> = row.in_sync.into_iter().filter(|id| *id != row.master).collect();
    world.switched(&before, &[a], &heirs)?;
    world.goes_on()?;
    set_clock(&mut world, row.master, 99 * APART)?;
    world.revive()?;
    world.judge()
}

/// Its monotonic clocks are so many seconds ahead from its next start on.
fn set_clock(world: &mut World, id: NodeId, seconds: u32) -> Outcome {
    let seconds = seconds.to_string();
    let ahead = ["unshare", "--time", "--monotonic", &seconds, "--boottime", &seconds, "--"];
    let uptime = |command: &[&str]| -> Outcome<f64> {
        let (first, rest) = command.split_first().ok_or("no command")?;
        let output = Command::new(first).args(rest).arg("cat").arg("/proc/uptime").output();
        let output = output.map_err(|e| format!("{first}: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
        number.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let moved = uptime(&ahead)? - uptime(&["env"])?;
    let wanted: f64 = seconds.parse().map_err(|_| "no number")?;
    if (moved - wanted).abs() > 60.0 {
        return Err(
            "time namespaces cannot be had here: Linux 6.1 or newer with CONFIG_TIME_NS is needed".into()
        );
    }
    world.run_by(id, &ahead);
    Ok(())
}
