//! Whole networks under an operator's orders: planned switches under load, pauses, and a start by force after the loss
//! of a whole in-sync set.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{Consortium, Place, cluster_id, node};
use duohuo_tests::scenario::{ms, settled};
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{OrderKind, OrderOutcome};

const A: usize = 0;

fn a() -> ClusterId {
    cluster_id(A)
}

/// The longest time between two commits of the chain that follow each other, since `from`.
fn longest_gap(world: &World, from: Instant) -> core::time::Duration {
    let times: Vec<Instant> =
        world.checker.commits.values().map(|(at, _)| *at).filter(|at| *at >= from).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// B-HND-1: a planned switch under load: every commit comes, none late by more than a failover, and both masters'
/// words agree (the checker compares all of them).
#[test]
fn a_planned_switch_misses_no_commit() {
    for seed in 20..23 {
        let mut world = settled(seed);
        let quiet = world.now();
        world.run_for(ms(1000));
        let usual = longest_gap(&world, quiet);
        let begun = world.now();
        let number = world.order(OrderKind::Switch, a(), NodeId(0));
        assert!(world.run_until(ms(1000), |w| w.answered(number) == Some(OrderOutcome::Done)), "seed {seed}");
        assert!(world.run_until(ms(500), |w| w.master(a()) == Some(node(A, 1))), "seed {seed}");
        world.run_for(ms(500));
        let epoch = world.checker.rows().entry(a()).unwrap().row.epoch;
        assert_eq!(epoch, Epoch(2), "seed {seed}: one switch, no more");
        let (first_word, who) = world.checker.first_words[&(a(), Epoch(2))];
        assert_eq!(who, node(A, 1));
        let gap = longest_gap(&world, begun);
        println!(
            "seed {seed}: first word after {:?}, longest gap {gap:?}, before it {usual:?}",
            first_word - begun
        );
        assert!(gap < usual + ms(10), "seed {seed}: a gap of {gap:?}, {usual:?} before");
        // The old master follows again, in sync, and can be switched back to.
        let back = world.order(OrderKind::Switch, a(), node(A, 0));
        assert!(world.run_until(ms(2000), |w| w.answered(back) == Some(OrderOutcome::Done)), "seed {seed}");
        assert!(world.run_until(ms(500), |w| w.master(a()) == Some(node(A, 0))), "seed {seed}");
    }
}

/// S15: a master that is well for long obeys before the authority would go on without it: nobody is blamed.
#[test]
fn a_master_that_is_well_is_switched_because_it_resigns() {
    let mut world = settled(23);
    world.run_for(ms(5000));
    let begun = world.now();
    let number = world.order(OrderKind::Switch, a(), NodeId(0));
    assert!(world.run_until(ms(1000), |w| w.answered(number) == Some(OrderOutcome::Done)));
    // Two dead intervals are what it may take; at sync_interval, 200 ms, nobody would have waited for it.
    assert!(world.now() - begun < ms(150), "{:?}", world.now() - begun);
}

#[test]
fn a_paused_cluster_switches_by_order_only() {
    let mut world = settled(31);
    let pause = world.order(OrderKind::Pause, ClusterId(0), NodeId(0));
    assert!(world.run_until(ms(500), |w| w.answered(pause) == Some(OrderOutcome::Done)));
    world.kill(node(A, 0));
    world.run_for(ms(1000));
    assert_eq!(world.checker.rows().entry(a()).unwrap().row.epoch, Epoch(1));
    let switch = world.order(OrderKind::Switch, a(), node(A, 2));
    assert!(world.run_until(ms(1000), |w| w.answered(switch) == Some(OrderOutcome::Done)));
    assert!(world.run_until(ms(500), |w| w.master(a()) == Some(node(A, 2))));
    let resume = world.order(OrderKind::Resume, ClusterId(0), NodeId(0));
    assert!(world.run_until(ms(500), |w| w.answered(resume) == Some(OrderOutcome::Done)));
    world.kill(node(A, 2));
    assert!(world.run_until(ms(1000), |w| w.master(a()) == Some(node(A, 1))));
}

#[test]
fn a_barred_node_is_cleared_and_may_lead_again() {
    let mut world = settled(32);
    let wrong = node(A, 0);
    world.checker.expect_wrong_results(a(), wrong);
    world.wrong_results(wrong, true);
    assert!(world.run_until(ms(1000), |w| w.master(a()) == Some(node(A, 1))));
    world.wrong_results(wrong, false);
    world.kill(wrong);
    world.start(wrong);
    world.run_for(ms(500));
    let early = world.order(OrderKind::Switch, a(), wrong);
    assert!(world.run_until(ms(500), |w| w.answered(early) == Some(OrderOutcome::Barred)));
    let unbar = world.order(OrderKind::Unbar, a(), wrong);
    assert!(world.run_until(ms(500), |w| w.answered(unbar) == Some(OrderOutcome::Done)));
    let added = |w: &World| w.checker.rows().entry(a()).unwrap().row.in_sync.contains(&wrong);
    assert!(world.run_until(ms(2000), added), "it catches up and is in sync again");
    let switch = world.order(OrderKind::Switch, a(), wrong);
    assert!(world.run_until(ms(1000), |w| w.answered(switch) == Some(OrderOutcome::Done)));
    assert!(world.run_until(ms(500), |w| w.master(a()) == Some(wrong)));
}

/// The in-sync set of A shrinks to its master and the standby, both are lost, and the third is forced: it is fenced, says
/// nothing up to two above what the others worked on, and the chain goes on with it.
fn forced(seed: u64, lost_for_good: bool) -> World {
    let mut world = settled(seed);
    world.kill(node(A, 2));
    let alone = |w: &World| w.checker.rows().entry(a()).unwrap().row.in_sync.len() == 2;
    assert!(world.run_until(ms(2000), alone), "seed {seed}");
    if lost_for_good {
        world.kill(node(A, 0));
        world.kill(node(A, 1));
    } else {
        // Alive, but given up: nobody hears them any more but each other.
        for id in world.consortium.keys.keys().copied().collect::<Vec<_>>() {
            if id != node(A, 0) && id != node(A, 1) {
                world.set_cut(id, node(A, 0), true);
                world.set_cut(id, node(A, 1), true);
            }
        }
        world.run_for(ms(200));
    }
    world.start(node(A, 2));
    world.run_for(ms(500));
    let epoch = world.checker.rows().entry(a()).unwrap().row.epoch;
    let force = world.order(OrderKind::Force, a(), node(A, 2));
    assert!(world.run_until(ms(2000), |w| w.answered(force).is_some()), "seed {seed}");
    assert_eq!(world.answered(force), Some(OrderOutcome::Done), "seed {seed}");
    assert!(
        world.run_until(ms(2000), |w| w.saw(|e| matches!(e, Event::Fenced { .. }))),
        "seed {seed}: fenced"
    );
    let forced = epoch.next();
    assert!(
        world.run_until(ms(3000), |w| w.checker.first_words.contains_key(&(a(), forced))),
        "seed {seed}: it speaks again"
    );
    let closed = world.checker.log.iter().find_map(|(_, _, e)| match e {
        Event::Fenced { height, .. } => Some(*height),
        _ => None,
    });
    let height = world.checker.height();
    assert!(height.0 + 1 > closed.unwrap().0, "seed {seed}: not before the others are above {closed:?}");
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 5), "seed {seed}");
    world
}

#[test]
fn r5_a_lost_set_is_replaced_by_force() {
    for seed in 40..42 {
        let mut world = forced(seed, true);
        // Who comes back follows the forced master, whatever it once said.
        world.start(node(A, 0));
        world.start(node(A, 1));
        let whole = |w: &World| w.checker.rows().entry(a()).unwrap().row.in_sync.len() == 3;
        assert!(world.run_until(ms(5000), whole), "seed {seed}: all are in sync again");
        assert!(!world.saw(|e| matches!(e, Event::Halted { .. })), "seed {seed}");
    }
}

#[test]
fn r5_a_master_that_was_given_up_but_lives_is_counted_by_nobody() {
    for seed in 50..52 {
        let mut world = forced(seed, false);
        world.mend_network();
        let whole = |w: &World| w.checker.rows().entry(a()).unwrap().row.in_sync.len() == 3;
        assert!(world.run_until(ms(5000), whole), "seed {seed}: all are in sync again");
    }
}

/// Seven clusters bear two faults: five of the six others promise the fence. The sixth hears neither the authority nor the
/// forced node, and of the others only when they have said who is master now; so it goes on with the old master, which
/// follows the chain by it. To that one the forced cluster is faulty, which is what f allows: the ledgers agree, and the
/// checkers find nothing wrong.
#[test]
fn r5_a_cluster_that_promised_nothing_hears_a_master_that_was_given_up_and_ledgers_agree() {
    let three: &[Place] = &[(1, 200), (2, 150), (3, 100)];
    let two: &[Place] = &[(2, 200), (3, 150)];
    for seed in 70..73 {
        let consortium = Consortium::new(seed, &[three, two, two, two, two, two, two]);
        let mut world = World::new(seed, consortium, Luck::default());
        world.start_all();
        // A block every 200 ms: time to reconnect between two.
        world.start_client(ms(200), Instant::from_nanos(u64::MAX / 2));
        let members = |w: &World, c: usize| {
            w.checker.rows().entry(cluster_id(c)).map_or(0, |entry| entry.row.in_sync.len())
        };
        let settled = |w: &World| members(w, A) == 3 && (1..7).all(|c| members(w, c) == 2);
        assert!(world.run_until(ms(5000), settled), "seed {seed}");
        world.kill(node(A, 2));
        assert!(world.run_until(ms(2000), |w| members(w, A) == 2), "seed {seed}");
        let (given_up, ignorant) = ([node(A, 0), node(A, 1)], [node(6, 0), node(6, 1)]);
        let pair = |list: &[NodeId; 2], id| list.contains(&id);
        let others: Vec<NodeId> = world.consortium.keys.keys().copied().collect();
        for id in others.iter().filter(|id| !pair(&given_up, **id) && !pair(&ignorant, **id)) {
            for cut in given_up.iter().chain(&ignorant) {
                world.set_cut(*id, *cut, true);
            }
        }
        // Until all streams have ended, so that nothing waits in them.
        world.run_for(ms(2500));
        world.start(node(A, 2));
        world.run_for(ms(500));
        let force = world.order(OrderKind::Force, a(), node(A, 2));
        let answered = |w: &World| w.answered(force) == Some(OrderOutcome::Done);
        assert!(world.run_until(ms(2000), answered), "seed {seed}");
        let stands = |w: &World| w.saw(|e| matches!(e, Event::Fenced { .. }));
        assert!(world.run_until(ms(2000), stands), "seed {seed}");
        for other in (1..6).flat_map(|c| [node(c, 0), node(c, 1)]) {
            ignorant.into_iter().for_each(|id| world.set_cut(other, id, false));
        }
        let speaks = |w: &World| w.checker.first_words.contains_key(&(a(), Epoch(2)));
        assert!(world.run_until(ms(5000), speaks), "seed {seed}");
        let height = world.checker.height();
        assert!(world.run_until(ms(10_000), |w| w.checker.height().0 > height.0 + 10), "seed {seed}");
        let is_heard = |w: &World| w.checker.count_outlived() > 0;
        assert!(
            world.run_until(ms(20_000), is_heard),
            "seed {seed}: it is heard where the forced one speaks"
        );
        world.mend_network();
        assert!(world.run_until(ms(10_000), |w| members(w, A) == 3), "seed {seed}: all are in sync again");
    }
}

/// Rule 17: the forced master dies before its fence stands; it comes back, and fences first.
#[test]
fn r5_a_forced_master_that_restarts_fences_again() {
    let mut world = settled(60);
    world.kill(node(A, 2));
    let alone = |w: &World| w.checker.rows().entry(a()).unwrap().row.in_sync.len() == 2;
    assert!(world.run_until(ms(2000), alone));
    world.kill(node(A, 0));
    world.kill(node(A, 1));
    world.kill(node(1, 0));
    world.kill(node(1, 1));
    world.kill(node(1, 2));
    world.start(node(A, 2));
    world.run_for(ms(500));
    let force = world.order(OrderKind::Force, a(), node(A, 2));
    assert!(world.run_until(ms(2000), |w| w.answered(force) == Some(OrderOutcome::Done)));
    world.run_for(ms(1000));
    assert!(!world.saw(|e| matches!(e, Event::Fenced { .. })), "two clusters of four are no quorum");
    world.kill(node(A, 2));
    for n in 0..3 {
        world.start(node(1, n));
    }
    world.start(node(A, 2));
    assert!(world.run_until(ms(5000), |w| w.saw(|e| matches!(e, Event::Fenced { .. }))));
    let height = world.checker.height();
    assert!(world.run_until(ms(3000), |w| w.checker.height().0 > height.0 + 5));
}
