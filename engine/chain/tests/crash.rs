//! Masters die at every point of what they do, and standbys go on from the log (design R2 to R4).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use common::Net;
use duohuo_chain::Timing;
use duohuo_core::time::Duration;
use duohuo_wire::ids::ClusterId;

fn fast() -> Timing {
    Timing {
        propose_timeout: Duration::from_millis(40),
        vote_timeout: Duration::from_millis(15),
        timeout_delta: Duration::from_millis(10),
        rebroadcast_interval: Duration::from_millis(60),
        ..Timing::default()
    }
}

fn all_at(height: u64) -> impl Fn(&Net) -> bool {
    move |net| net.ids().iter().all(|id| !net.master(*id).is_dead && net.height(*id) >= height)
}

/// Kills the masters of `clusters` at their outputs `at`; the chain must go on with all of them, and nobody may have
/// said two different things.
fn crash(seed: u64, crashes: &[(u32, u64)], takeover: Duration) -> Net {
    let mut net = Net::new(4, seed, fast());
    for (cluster, at) in crashes {
        let cluster = net.clusters.get_mut(&ClusterId(*cluster)).unwrap();
        cluster.crash_at = Some(*at);
        cluster.takeover_after = Some(takeover);
    }
    net.start();
    let what = format!("seed {seed}, crashes {crashes:?}, takeover {takeover:?}");
    let crashed = |net: &Net| crashes.iter().all(|(c, _)| net.clusters[&ClusterId(*c)].crash_at.is_none());
    assert!(net.run(Duration::from_secs(30), crashed), "{what}: not reached");
    let height = net.max_height();
    assert!(net.run(Duration::from_secs(30), all_at(height + 3)), "{what}: stuck at {}", net.max_height());
    net.assert_safe(&what);
    net
}

#[test]
fn a_master_that_dies_at_any_output_is_followed_without_a_second_word() {
    for at in 0..150 {
        crash(1_000 + at, &[(1 + (at % 4) as u32, at)], Duration::from_millis(5));
    }
}

#[test]
fn a_takeover_that_outlasts_rounds_is_as_safe() {
    for at in 0..30 {
        crash(2_000 + at, &[(1 + (at % 4) as u32, at * 5)], Duration::from_millis(200));
    }
}

#[test]
fn two_masters_that_die_together_are_followed_without_a_second_word() {
    for at in (0..100_u64).step_by(3) {
        let crashes = [(1 + (at % 4) as u32, at), (1 + ((at + 1) % 4) as u32, at.wrapping_mul(7) % 100)];
        crash(3_000 + at, &crashes, Duration::from_millis(1 + at % 60));
    }
}

#[test]
fn a_second_crash_after_the_takeover_is_followed_too() {
    for at in (0..50_u64).step_by(2) {
        let mut net = crash(4_000 + at, &[(2, at)], Duration::from_millis(5));
        let outputs = net.clusters[&ClusterId(2)].outputs;
        net.clusters.get_mut(&ClusterId(2)).unwrap().crash_at = Some(outputs + at);
        assert!(net.run(Duration::from_secs(30), |net| { net.clusters[&ClusterId(2)].crash_at.is_none() }));
        let height = net.max_height();
        assert!(net.run(Duration::from_secs(30), all_at(height + 3)), "{at}: stuck at {}", net.max_height());
        net.assert_safe("second crash");
    }
}

#[test]
fn an_old_master_that_lives_on_is_fenced_by_the_missing_acknowledgement() {
    for at in (0..100_u64).step_by(3) {
        let mut net = Net::new(4, 5_000 + at, fast());
        net.start();
        net.run(Duration::from_micros(30_000 + at * 173), |_| false);
        let cluster = ClusterId(1 + (at % 4) as u32);
        net.promote(cluster);
        let height = net.max_height();
        assert!(net.run(Duration::from_secs(30), all_at(height + 3)));
        net.assert_safe("split brain");
    }
}

#[test]
fn a_standby_without_the_log_does_say_second_words_and_the_watch_sees_them() {
    let (mut second_words, mut signed_again, mut named) = (0, 0, 0);
    for at in 0..100_u64 {
        let mut net = Net::new(4, 6_000 + at, fast());
        // Two, so that the others cannot finish the height before the takeover.
        let forgetful = [ClusterId(1 + (at % 4) as u32), ClusterId(1 + ((at + 1) % 4) as u32)];
        for id in forgetful {
            let cluster = net.clusters.get_mut(&id).unwrap();
            cluster.crash_at = Some(20 + at);
            cluster.keeps_no_log = true;
            cluster.takeover_after = Some(Duration::from_millis(1));
        }
        net.start();
        net.run(Duration::from_millis(500), |_| false);
        second_words += u32::from(!net.conflicts.is_empty());
        signed_again += u32::from(!net.resent_differently.is_empty());
        // CH-15: who is told of it is told of those, and of nobody who is honest.
        assert!(net.equivocations.iter().all(|(_, named)| forgetful.contains(named)));
        named += u32::from(!net.equivocations.is_empty());
    }
    println!("of 100 runs {second_words} with second words, {signed_again} with words signed again");
    assert!(second_words > 5, "only {second_words} of 100 runs showed it: the watch is blind");
    // Most are not there any more to hear the second word of a height that is done.
    assert!(named > 0, "in none of 100 runs was somebody named");
    assert!(signed_again > 5, "only {signed_again} of 100 runs showed it: the watch is blind");
}
