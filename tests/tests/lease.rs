//! R7: of one cluster, one node at most acts outside the chain at any true time; and each way of breaking it is seen.

use core::time::Duration;
use duohuo_chain::Timing;
use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_core::io::Input;
use duohuo_core::lease::LeaseTerms;
use duohuo_core::outside::{Ended, OutsideConfig, Report, UNFIT};
use duohuo_tests::consortium::{Consortium, Place, cluster_id, node};
use duohuo_tests::faults::everybody;
use duohuo_tests::host::Settings;
use duohuo_tests::scenario::ms;
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::{Epoch, NodeId};
use duohuo_wire::packet::OrderKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Parts per million: from -5 % to +5 % are 1.05 / 0.95.
const DRIFT: u32 = 105_264;

fn settings(span: u64, margin: u64) -> Settings {
    let lease = LeaseTerms { span: ms(span), margin: ms(margin), drift_ppm: DRIFT };
    let outside = Some(OutsideConfig { lease, has_copy: false, has_cover: false });
    // A slow chain: what it does is not what is watched here.
    let timing = Timing { block_interval: ms(200), ..Timing::default() };
    Settings { outside, timing, ..Settings::default() }
}

/// One cluster of three rooms: what is watched here happens inside a cluster.
const LAYOUT: [&[Place]; 1] = [&[(1, 200), (2, 150), (3, 100)]];

/// A cluster whose master acts.
fn acting(seed: u64) -> World {
    acting_with(seed, settings(400, 100))
}

fn acting_with(seed: u64, settings: Settings) -> World {
    let mut world = World::with_settings(seed, Consortium::new(seed, &LAYOUT), Luck::default(), settings);
    world.start_all();
    let all = |w: &World| w.acts_outside(cluster_id(0)) == Some((node(0, 0), Epoch(1))) && members(w) == 3;
    assert!(world.run_until(ms(8000), all), "the master acts for all");
    world.run_for(ms(50));
    world
}

fn acts(w: &World) -> Option<NodeId> {
    w.acts_outside(cluster_id(0)).map(|(node, _)| node)
}

/// The first moment at which node `id` said that it acts, or ended it.
fn told(world: &World, id: NodeId, event: impl Fn(&Event) -> bool) -> Option<Instant> {
    world.checker.log.iter().find(|(_, from, e)| *from == id && event(e)).map(|(at, _, _)| *at)
}

fn cut_off(world: &mut World, id: NodeId) {
    for other in everybody(world).into_iter().filter(|other| *other != id) {
        world.set_cut(id, other, true);
    }
}

#[test]
fn b_lease_1_a_master_acts_when_all_of_its_set_acknowledged() {
    let mut world = acting(1);
    let before = world.acting.begun;
    world.run_for(ms(5000));
    assert_eq!(world.acting.begun, before, "in quiet times nobody begins anew");
    assert_eq!(acts(&world), Some(node(0, 0)));
}

#[test]
fn b_lease_1_a_master_that_is_cut_off_ends_before_its_span_is_over() {
    let mut world = acting(2);
    let cut_at = world.now();
    cut_off(&mut world, node(0, 0));
    assert!(world.run_until(ms(400), |w| acts(w).is_none()), "it lapses");
    let ended = told(&world, node(0, 0), |e| matches!(e, Event::ActingEnded { .. }));
    assert!(
        ended.is_some_and(|at| at - cut_at <= ms(300)),
        "span less margin from the last sending: {ended:?}"
    );
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))));
}

#[test]
fn b_lease_4_a_successor_waits_the_stretched_span_after_its_own_last_acknowledgement() {
    for seed in 1..=4 {
        let mut world = acting(seed);
        world.set_clock_rate(node(0, 1), 50_000);
        world.run_for(ms(200));
        let killed_at = world.now();
        world.kill(node(0, 0));
        assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))));
        let waited = world.now() - killed_at;
        // 400 ms x 1.105264 by a clock that runs at 1.05; the last acknowledgement is up to 75 ms old.
        assert!(waited >= ms(345) && waited <= ms(460), "{waited:?}");
    }
}

#[test]
fn b_lease_4_a_process_that_starts_acts_for_nobody_before_the_stretched_span_is_over() {
    let mut world = World::with_settings(3, Consortium::new(3, &LAYOUT), Luck::default(), settings(800, 100));
    world.start_all();
    let start = world.now();
    assert!(world.run_until(ms(3000), |w| acts(w).is_some()));
    assert!(world.now() - start >= ms(884), "{:?}", world.now() - start);
}

#[test]
fn b_lease_5_who_stops_in_good_order_gives_the_lease_back_and_nobody_waits() {
    let mut world = acting(4);
    let at = world.now();
    world.arrive(node(0, 0), Input::Shutdown);
    assert!(world.run_until(ms(400), |w| acts(w) == Some(node(0, 1))));
    assert!(world.now() - at < ms(150), "half a margin to end it, and a claim: {:?}", world.now() - at);
    assert!(!world.is_up(node(0, 0)));
}

#[test]
fn b_lease_5_who_hands_over_by_order_gives_the_lease_back_and_nobody_waits() {
    let mut world = acting(6);
    world.start_client(ms(50), world.now() + ms(5000));
    world.run_for(ms(500));
    let ordered_at = world.now();
    let number = world.order(OrderKind::Switch, cluster_id(0), node(0, 1));
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))), "{:?}", world.answered(number));
    let waited = world.now() - ordered_at;
    // Who waits, waits 400 ms x 1.105264 less the age of its last answer, up to 75 ms, from the end of the old one's acting.
    assert!(waited < ms(300), "{waited:?}");
}

#[test]
fn b_lease_5_what_cannot_be_ended_in_time_is_not_given_back() {
    let mut world = acting(5);
    // The report that it has ended never comes: the margin is waited for, and the successor waits its span.
    world.pause(node(0, 0));
    let at = world.now();
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))));
    assert!(world.now() - at >= ms(300), "{:?}", world.now() - at);
    world.resume(node(0, 0));
    world.run_for(ms(1000));
    assert_eq!(acts(&world), Some(node(0, 1)));
}

#[test]
fn b_lease_3_ones_own_late_tick_ends_it() {
    let mut world = acting_with(6, settings(4000, 100));
    world.pause(node(0, 0));
    world.run_for(ms(2500));
    world.resume(node(0, 0));
    world.run_for(ms(5));
    let late = |e: &Event| matches!(e, Event::ActingEnded { why: Ended::LateTick | Ended::RoleOver, .. });
    assert!(told(&world, node(0, 0), late).is_some());
}

fn count(world: &World, id: NodeId, event: impl Fn(&Event) -> bool) -> usize {
    world.checker.log.iter().filter(|(_, from, e)| *from == id && event(e)).count()
}

#[test]
fn b_hook_6_what_ends_in_time_is_not_overdue() {
    let mut world = acting(11);
    cut_off(&mut world, node(0, 0));
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))));
    world.arrive(node(0, 1), Input::Shutdown);
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 2))));
    assert!(world.checker.log.iter().all(|(_, _, e)| !matches!(e, Event::Overdue { .. })));
}

#[test]
fn b_hook_6_what_is_not_reported_to_have_ended_is_told_when_its_lease_is_over_and_once() {
    let mut world = acting(12);
    world.ends_unreported = true;
    cut_off(&mut world, node(0, 0));
    let cut_at = world.now();
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))));
    world.run_for(ms(1000));
    let is_overdue = |e: &Event| matches!(e, Event::Overdue { epoch: Epoch(1) });
    assert_eq!(count(&world, node(0, 0), is_overdue), 1);
    let at = told(&world, node(0, 0), is_overdue).map(|at| at - cut_at);
    // The span is counted from the sending of the last request that all answered, up to 75 ms before the cut.
    assert!(at.is_some_and(|at| at >= ms(320) && at <= ms(405)), "{at:?}");
}

#[test]
fn b_lease_2_a_set_of_one_acts_alone() {
    let mut world = acting(7);
    world.kill(node(0, 1));
    world.kill(node(0, 2));
    let alone = |w: &World| w.checker.rows().entry(cluster_id(0)).is_some_and(|e| e.row.in_sync.len() == 1);
    assert!(world.run_until(ms(2000), alone));
    let before = world.acting.begun;
    world.run_for(ms(3000));
    assert_eq!(acts(&world), Some(node(0, 0)));
    assert_eq!(world.acting.begun, before, "its members were removed in time");
}

#[test]
fn without_the_authority_a_lease_goes_on_and_a_lost_member_ends_it() {
    let mut world = acting(8);
    world.kill(NodeId::AUTHORITY);
    world.run_for(ms(3000));
    assert_eq!(acts(&world), Some(node(0, 0)), "P4");
    world.kill(node(0, 2));
    world.run_for(ms(500));
    assert_eq!(acts(&world), None, "nobody says that the member is out");
    world.start(NodeId::AUTHORITY);
    assert!(world.run_until(ms(3000), |w| acts(w) == Some(node(0, 0))));
}

#[test]
fn b_hook_3_an_unfit_master_gives_its_role_to_who_is_fit() {
    let mut world = acting(9);
    world.arrive(node(0, 0), Input::Outside(Report::Health { cut: UNFIT }));
    assert!(world.run_until(ms(500), |w| acts(w) == Some(node(0, 1))));
    world.run_for(ms(2000));
    assert_eq!(world.master(cluster_id(0)), Some(node(0, 1)), "and does not claim it again");
    world.arrive(node(0, 2), Input::Outside(Report::Health { cut: UNFIT }));
    world.run_for(ms(200));
    world.arrive(node(0, 1), Input::Outside(Report::Health { cut: UNFIT }));
    world.run_for(ms(2000));
    assert_eq!(acts(&world), Some(node(0, 1)), "where nobody is fit the master keeps its role");
    world.arrive(node(0, 2), Input::Outside(Report::Health { cut: 0 }));
    assert!(world.run_until(ms(500), |w| acts(w) == Some(node(0, 2))));
}

#[test]
fn b_hook_3_a_weight_changes_who_comes_next_and_moves_no_master() {
    let mut world = acting(10);
    world.arrive(node(0, 1), Input::Outside(Report::Health { cut: 60 }));
    world.run_for(ms(200));
    assert_eq!(acts(&world), Some(node(0, 0)));
    world.kill(node(0, 0));
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 2))), "150 less 60 is below 100");
}

/// As [`acting`], but copies must be in step, and be covered.
fn with_copies(seed: u64) -> World {
    let lease = LeaseTerms { span: ms(800), margin: ms(100), drift_ppm: DRIFT };
    let outside = Some(OutsideConfig { lease, has_copy: true, has_cover: true });
    let settings = Settings { outside, ..Settings::default() };
    let mut world = World::with_settings(seed, Consortium::new(seed, &LAYOUT), Luck::default(), settings);
    world.start_all();
    assert!(world.run_until(ms(3000), |w| acts(w) == Some(node(0, 0))));
    world
}

fn members(w: &World) -> usize {
    w.checker.rows().entry(cluster_id(0)).map_or(0, |e| e.row.in_sync.len())
}

fn copy(world: &mut World, n: usize, in_step: bool) {
    world.arrive(node(0, n), Input::Outside(Report::Copy { in_step, position: 7 }));
}

#[test]
fn b_hook_4_only_a_copy_that_is_in_step_and_covered_is_added_to_the_set() {
    let mut world = with_copies(11);
    world.run_for(ms(2000));
    assert_eq!(members(&world), 1, "no copy said that it is in step");
    copy(&mut world, 1, true);
    world.run_for(ms(2000));
    assert_eq!(members(&world), 1, "what acts does not wait for it");
    world.arrive(node(0, 0), Input::Outside(Report::Covers { members: vec![node(0, 2)] }));
    world.run_for(ms(1000));
    assert_eq!(members(&world), 1, "that is not what was asked for");
    world.arrive(node(0, 0), Input::Outside(Report::Covers { members: vec![node(0, 1)] }));
    assert!(world.run_until(ms(1000), |w| members(w) == 2));
    assert_eq!(acts(&world), Some(node(0, 0)));
}

#[test]
fn b_hook_4_a_copy_that_falls_out_of_step_is_removed() {
    let mut world = with_copies(12);
    copy(&mut world, 1, true);
    world.run_for(ms(500));
    world.arrive(node(0, 0), Input::Outside(Report::Covers { members: vec![node(0, 1)] }));
    assert!(world.run_until(ms(1000), |w| members(w) == 2));
    let at = world.now();
    copy(&mut world, 1, false);
    assert!(world.run_until(ms(2000), |w| members(w) == 1));
    assert!(world.now() - at >= ms(200), "sync_interval is waited for: {:?}", world.now() - at);
    assert_eq!(acts(&world), Some(node(0, 0)), "the lease does not lapse meanwhile");
}

/// Masters are cut off again and again, with slow clocks, while those of their successors are fast.
fn cut_masters(world: &mut World, rounds: u64, ppm: i32) {
    for round in 0..rounds {
        if let Some(master) = acts(world) {
            for id in (0..3).map(|n| node(0, n)) {
                world.set_clock_rate(id, if id == master { -ppm } else { ppm });
            }
            world.run_for(ms(300 + 37 * round));
            cut_off(world, master);
            world.run_for(ms(800));
            world.mend_network();
        }
        world.run_for(ms(500));
    }
}

fn complaint(mut seeds: core::ops::RangeInclusive<u64>, scenario: impl Fn(u64)) -> Option<String> {
    seeds.find_map(|seed| {
        let broken = catch_unwind(AssertUnwindSafe(|| scenario(seed))).err()?;
        broken.downcast_ref::<String>().cloned()
    })
}

#[test]
fn r7_within_the_drift_bound_two_never_act_at_once() {
    for seed in 20..=22 {
        let mut world = acting(seed);
        cut_masters(&mut world, 4, 50_000);
        assert!(world.acting.begun > 3, "masters did change: {}", world.acting.begun);
    }
}

#[test]
fn r7_clocks_beyond_the_drift_bound_are_noticed() {
    let broken = complaint(20..=24, |seed| {
        let mut world = acting(seed);
        cut_masters(&mut world, 4, 300_000);
    });
    assert!(broken.is_some_and(|c| c.starts_with("S16")), "the checker did not fire");
}

/// Master and one other are the set, answers take 60 ms, clocks are exact, and then the master is cut off: the other is
/// alone, and acts as soon as it has waited.
fn slow_answers(seed: u64, from_reception: bool) {
    let mut settings = settings(400, 100);
    if let Some(outside) = &mut settings.outside {
        outside.lease.drift_ppm = 0;
    }
    let mut world = acting_with(seed, settings);
    world.lease_from_reception = from_reception;
    world.kill(node(0, 2));
    assert!(world.run_until(ms(2000), |w| members(w) == 2));
    world.set_slow(node(0, 0), node(0, 1), ms(30));
    world.set_slow(node(0, 1), node(0, 0), ms(30));
    world.run_for(ms(500 + 11 * seed));
    cut_off(&mut world, node(0, 0));
    assert!(world.run_until(ms(2000), |w| acts(w) == Some(node(0, 1))));
}

#[test]
fn r7_a_lease_counted_from_reception_is_noticed() {
    for seed in 1..=3 {
        slow_answers(seed, false);
    }
    let broken = complaint(1..=8, |seed| slow_answers(seed, true));
    assert!(broken.is_some_and(|c| c.starts_with("S16")), "the checker did not fire");
}

/// A member comes back to a master that acts for itself alone, and that leaves the moment after: what acts is told to end, and
/// ends only with its lease. The member may be added only if it stands behind that (seeds 1210 and 1322).
#[test]
fn r7_who_joins_while_what_acts_is_being_ended_stands_behind_it() {
    let coming_back = || {
        let mut world = acting(13);
        cut_off(&mut world, node(0, 1));
        cut_off(&mut world, node(0, 2));
        assert!(world.run_until(ms(2000), |w| members(w) == 1));
        world.run_for(ms(1000));
        world.ends_unreported = true;
        world.reset_streams(node(0, 0), node(0, 1));
        [NodeId::AUTHORITY, node(0, 0)].into_iter().for_each(|other| world.set_cut(node(0, 1), other, false));
        world
    };
    let mut world = coming_back();
    let since = world.now();
    assert!(world.run_until(ms(2000), |w| members(w) == 2));
    let added_after = world.now() - since;
    assert!(added_after > ms(2) && added_after < ms(100), "{added_after:?}");
    let leaves = |moment: u64| {
        let mut world = coming_back();
        world.run_for(Duration::from_micros(250 * moment).min(added_after));
        world.arrive(node(0, 0), Input::Shutdown);
        world.run_for(ms(2000));
    };
    assert_eq!(complaint(0..=400, leaves), None);
}

#[test]
fn b_lease_6_who_grants_a_shorter_lease_than_is_asked_for_acknowledges_none() {
    // A member whose own terms are shorter would wait too short after a restart: then nobody acts, and no harm is done.
    let mut world = acting(13);
    world.set_terms(node(0, 1), Duration::from_millis(300));
    world.kill(node(0, 1));
    world.start(node(0, 1));
    assert!(world.run_until(ms(1000), |w| members(w) == 2), "it is removed: it owes every answer");
    world.run_for(ms(2000));
    assert_eq!((members(&world), acts(&world)), (2, Some(node(0, 0))), "and not added again");
}
