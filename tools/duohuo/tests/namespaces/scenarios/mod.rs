//! The scenarios: name, what it shows, how it is played.

mod authority_crashes;
mod bad_cables;
mod clocks;
mod dep_3;
mod dep_4;
mod fig_13;
mod fig_14;
mod fig_15;
mod fig_17;
mod fig_19;
mod full_disk;
mod lost_set;
mod old_disk;
mod paused_master;
mod room_link;
mod rooms;

use crate::world::Outcome;

/// All, in the order in which they are run.
pub(crate) const SCENARIOS: &[(&str, &str, fn() -> Outcome)] = &[
    ("fig-13", "REC-1: the master dies, the standby takes over", fig_13::play),
    ("fig-14", "REC-2: master and standby die together, the ordinary node takes over", fig_14::play),
    ("fig-15", "REC-3: the master computes wrong results and is switched by order", fig_15::play),
    ("fig-17", "DEP-1: two companies, each room goes dark in its turn", fig_17::play),
    ("fig-19", "DEP-2: four companies, two rooms go dark", fig_19::play),
    ("dep-3", "three rooms of four go dark at once, three masters are left", dep_3::play),
    ("dep-4", "a node more per cluster, added while running; any three rooms go dark", dep_4::play),
    (
        "link-authority-near",
        "the rooms' link is cut, the authority is in room 1",
        room_link::authority_in_room_1,
    ),
    (
        "link-authority-far",
        "the rooms' link is cut, the authority is in room 2",
        room_link::authority_in_room_2,
    ),
    (
        "link-authority-apart",
        "a room is cut off, the authority is at a third site",
        room_link::authority_apart,
    ),
    ("link-one-way", "a room hears everybody and nobody hears it", room_link::one_way),
    ("link-triangle", "two rooms are cut from each other, the authority sees both", room_link::triangle),
    ("paused-master", "SIGSTOP a master through a failover, then SIGCONT", paused_master::play),
    ("old-disk", "an old copy of a store does not vote from the past", old_disk::play),
    (
        "lost-set",
        "the whole in-sync set of a cluster is lost, and an operator forces the node left",
        lost_set::play,
    ),
    ("full-disk", "the master's disk is full: it resigns", full_disk::play),
    ("bad-cables", "loss, narrow cables, and a master dies meanwhile", bad_cables::play),
    ("clocks", "no two machines agree how late it is", clocks::play),
    (
        "authority-crashes",
        "kill -9 the authority in the midst of switches; its log forgets nothing",
        authority_crashes::play,
    ),
];
