//! How scenarios begin: a network in the layout of Fig. 18 that runs, in sync, with transfers flowing.

use crate::consortium::{Consortium, FIG_18, cluster_id, node};
use crate::world::{Luck, World};
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::event::Event;

/// Milliseconds.
#[must_use]
pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// All masters act, every node is in sync, blocks are committed.
///
/// # Panics
/// If that does not come about within three seconds of virtual time.
#[must_use]
pub fn settled(seed: u64) -> World {
    settled_with(seed, Luck::default())
}

/// The same under this luck.
///
/// # Panics
/// As [`settled`].
#[must_use]
pub fn settled_with(seed: u64, luck: Luck) -> World {
    settled_at(seed, luck, ms(5))
}

/// The same, with a transfer every `rate`.
///
/// # Panics
/// As [`settled`].
#[must_use]
pub fn settled_at(seed: u64, luck: Luck, rate: Duration) -> World {
    let mut world = World::new(seed, Consortium::new(seed, &FIG_18), luck);
    world.start_all();
    world.start_client(rate, Instant::from_nanos(u64::MAX / 2));
    let settled = world.run_until(ms(3000), |w| {
        let complete =
            |(_, _, e): &&(Instant, _, Event)| matches!(e, Event::InSyncChanged { members: 3, .. });
        (0..4).all(|c| w.master(cluster_id(c)) == Some(node(c, 0)))
            && w.checker.log.iter().filter(complete).count() >= 4
            && w.checker.height().0 >= 5
    });
    assert!(settled, "a network starts: {:?}", world.checker.log);
    world
}
