//! A whole network of production machines under virtual time: crashes, cuts, lies of the wire, drills, in the order the
//! input wants; judged by the checker of the scenarios and, at the end, by the ledger of what was answered.

use std::sync::LazyLock;

use bytes::Bytes;
use core::time::Duration;
use duohuo_core::io::Input;
use duohuo_tests::{
    consortium::{Consortium, node},
    world::{Luck, World},
};
use duohuo_wire::ids::NodeId;

use crate::{draw::Draw, edits::edit};

/// Two clusters of two: small enough to try many orders of events. Its keys are made once.
static CONSORTIUM: LazyLock<Consortium> =
    LazyLock::new(|| Consortium::new(9, &[&[(1, 200), (2, 150)], &[(2, 200), (1, 150)]]));
/// Steps of one script, each up to 64 ms of virtual time.
const MAX_STEPS: usize = 16;

pub(crate) fn network(data: &[u8]) {
    // The keys that all inputs share are made without the stand-ins.
    LazyLock::force(&CONSORTIUM);
    let _remembering = duohuo_wire::memory::remember();
    let mut draw = Draw::new(data);
    let parts = u32::from(draw.byte() % 64);
    let luck =
        Luck { loss: parts, duplication: parts, replay: parts + 1, corruption: parts / 4, ..Luck::default() };
    let mut world = World::new(u64::from(draw.byte()), CONSORTIUM.clone(), luck);
    world.start_all();
    world.start_client(Duration::from_millis(20), world.now() + Duration::from_secs(2));
    world.run_for(Duration::from_millis(300));
    let parties = [NodeId::AUTHORITY, node(0, 0), node(0, 1), node(1, 0), node(1, 1)];
    for _ in 0..MAX_STEPS {
        if draw.is_empty() {
            break;
        }
        let party = draw.pick(&parties);
        match draw.byte() % 8 {
            0 => world.kill(party),
            1 if !world.is_up(party) => world.start(party),
            2 => {
                let other = draw.pick(&parties);
                world.set_cut(party, other, party != other);
            }
            3 | 4 => world.set_cut(party, draw.pick(&parties), false),
            5 => inject(&mut world, party, &mut draw),
            _ => {}
        }
        world.run_for(Duration::from_millis(u64::from(draw.byte() % 64)));
    }
    // Everybody comes back, and what was answered as committed stands everywhere, once.
    for a in parties {
        for b in parties {
            world.set_cut(a, b, false);
        }
        if !world.is_up(a) {
            world.start(a);
        }
    }
    world.set_luck(Luck::default());
    world.run_for(Duration::from_millis(500));
    assert!(world.checker.broken.is_empty(), "{:#?}", world.checker.broken);
}

/// A datagram of the attacker on a party's segment: his own, or one that was on the wire, changed.
fn inject(world: &mut World, to: NodeId, draw: &mut Draw<'_>) {
    let captured = world.captured();
    let place = usize::from(draw.u16());
    let Some((_, Input::Datagram { from, group, bytes })) =
        captured.get(place % captured.len().max(1)).cloned()
    else {
        return;
    };
    let bytes: Bytes = if draw.bool() { edit(&bytes, draw) } else { Bytes::copy_from_slice(draw.short()) };
    if world.is_up(to) {
        world.inject(to, Input::Datagram { from, group, bytes });
    }
}
