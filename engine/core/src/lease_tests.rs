use super::*;

const A: NodeId = NodeId(2);
const B: NodeId = NodeId(3);
const E: Epoch = Epoch(4);

fn ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn terms() -> LeaseTerms {
    LeaseTerms { span: Duration::from_millis(1000), margin: Duration::from_millis(400), drift_ppm: 50_000 }
}

/// A node that started long ago and leads since 10,000 ms.
fn leader() -> Lease {
    let mut lease = Lease::new(ms(0), terms());
    lease.lead(ms(10_000), E);
    lease
}

fn act(stop_ms: u64, until_ms: u64) -> Option<Order> {
    Some(Order::Act { epoch: E, stop_at: ms(stop_ms), until: ms(until_ms) })
}

fn run(lease: &mut Lease, at: u64, holders: &[NodeId]) -> Option<Order> {
    lease.run(ms(at), holders.iter().copied())
}

#[test]
fn a_lease_lasts_from_the_sending_of_the_request_however_late_the_answer() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    assert_eq!(run(&mut lease, 10_000, &[A]), None);
    lease.acknowledged(A, 7);
    assert_eq!(run(&mut lease, 10_300, &[A]), act(10_600, 11_000));
    assert_eq!(lease.acts_in(), Some(E));
}

#[test]
fn all_members_must_have_acknowledged_and_the_oldest_counts() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    assert_eq!(run(&mut lease, 10_001, &[A, B]), None);
    lease.acknowledged(B, 7);
    assert_eq!(run(&mut lease, 10_002, &[A, B]), act(10_600, 11_000));
    lease.ask(ms(10_150), 8);
    lease.acknowledged(A, 8);
    assert_eq!(run(&mut lease, 10_160, &[A, B]), None, "B still stands by the first");
    lease.acknowledged(B, 8);
    assert_eq!(run(&mut lease, 10_170, &[A, B]), act(10_750, 11_150));
}

#[test]
fn it_is_over_a_margin_before_its_end_and_not_a_moment_earlier() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    run(&mut lease, 10_001, &[A]);
    let nanos = |n: u64| Instant::from_nanos(n);
    assert_eq!(lease.run(nanos(10_599_999_999), [A].into_iter()), None);
    let mut at = lease.clone();
    assert_eq!(at.run(nanos(10_600_000_000), [A].into_iter()), Some(Order::Stop(Ended::Lapsed)));
    assert_eq!(lease.run(nanos(10_600_000_001), [A].into_iter()), Some(Order::Stop(Ended::Lapsed)));
    assert_eq!(lease.acts_in(), None);
    assert_eq!(run(&mut lease, 10_601, &[A]), None, "it is said once");
}

#[test]
fn an_answer_to_a_request_that_is_over_gives_nothing() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    assert_eq!(run(&mut lease, 10_600, &[A]), None);
    lease.acknowledged(A, 99);
    assert_eq!(run(&mut lease, 10_100, &[B]), None);
}

#[test]
fn who_is_alone_in_the_set_acts_by_its_own_requests() {
    let mut lease = leader();
    assert_eq!(run(&mut lease, 10_000, &[]), None);
    lease.ask(ms(10_000), 7);
    assert_eq!(run(&mut lease, 10_000, &[]), act(10_600, 11_000));
}

#[test]
fn a_successor_waits_the_span_stretched_by_the_drift_after_its_own_last_acknowledgement() {
    let mut lease = Lease::new(ms(0), terms());
    assert!(lease.give(ms(9_000), Duration::from_millis(1000)));
    assert!(lease.give(ms(9_500), Duration::from_millis(1000)));
    lease.lead(ms(9_600), E);
    let mut nonce = 0;
    let mut at = |lease: &mut Lease, nanos: u64| {
        nonce += 1;
        lease.ask(Instant::from_nanos(nanos), nonce);
        lease.acknowledged(A, nonce);
        lease.run(Instant::from_nanos(nanos), [A].into_iter())
    };
    // 9,500 ms + 1,000 ms x 1.05
    assert_eq!(at(&mut lease, 10_549_999_999), None);
    assert_eq!(lease.poll_timeout(), Some(ms(10_550)));
    assert!(at(&mut lease.clone(), 10_550_000_000).is_some());
    assert!(at(&mut lease, 10_550_000_001).is_some());
}

#[test]
fn a_process_that_starts_waits_as_if_it_had_acknowledged_the_moment_before() {
    let mut lease = Lease::new(ms(10_000), terms());
    lease.lead(ms(10_100), E);
    lease.ask(ms(11_049), 1);
    assert_eq!(run(&mut lease, 11_049, &[]), None);
    assert_eq!(run(&mut lease, 11_050, &[]), act(11_649, 12_049));
}

#[test]
fn a_lease_longer_than_our_own_terms_is_not_acknowledged() {
    let mut lease = Lease::new(ms(0), terms());
    assert!(lease.give(ms(5_000), Duration::from_micros(1_000_000)));
    assert!(!lease.give(ms(6_000), Duration::from_micros(1_000_001)));
    assert_eq!(lease.free_at, ms(6_050), "and nothing is noted");
}

#[test]
fn what_is_given_back_is_waited_for_no_longer() {
    let mut lease = Lease::new(ms(0), terms());
    lease.give(ms(10_000), Duration::from_millis(1000));
    lease.given_back(ms(10_200));
    lease.lead(ms(10_200), E);
    lease.ask(ms(10_200), 1);
    assert_eq!(run(&mut lease, 10_200, &[]), act(10_800, 11_200));
}

#[test]
fn ones_own_late_tick_drops_it_and_what_was_asked_before_it() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    run(&mut lease, 10_001, &[A]);
    let ms_span = Duration::from_millis;
    assert_eq!(lease.late_tick(ms(10_500), ms_span(499)), None);
    assert_eq!(lease.late_tick(ms(10_500), ms_span(500)), None);
    lease.ask(ms(10_500), 8);
    assert_eq!(lease.late_tick(ms(11_002), ms_span(501)), Some(Order::Stop(Ended::LateTick)));
    lease.acknowledged(A, 8);
    assert_eq!(run(&mut lease, 11_002, &[A]), None, "asked before the late tick");
    assert!(lease.is_due(ms(11_002)));
    lease.ask(ms(11_002), 9);
    lease.acknowledged(A, 9);
    assert_eq!(run(&mut lease, 11_003, &[A]), act(11_602, 12_002));
}

#[test]
fn a_role_that_is_over_stops_at_once_and_its_answers_are_void() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    run(&mut lease, 10_001, &[A]);
    assert_eq!(lease.role_over(), Some(Order::Stop(Ended::RoleOver)));
    assert_eq!(lease.role_over(), None);
    lease.lead(ms(10_100), Epoch(5));
    lease.acknowledged(A, 7);
    assert_eq!(run(&mut lease, 10_100, &[A]), None);
}

#[test]
fn who_leaves_asks_no_more_and_acts_no_more_in_that_role() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    run(&mut lease, 10_001, &[A]);
    assert_eq!(lease.leave(), Some(Order::Stop(Ended::Leaving)));
    assert!(!lease.is_due(ms(20_000)));
    lease.acknowledged(A, 7);
    assert_eq!(run(&mut lease, 10_002, &[A]), None);
    assert_eq!(lease.poll_timeout(), None);
}

#[test]
fn a_member_that_joins_the_set_must_stand_behind_what_is_acted_now() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    lease.acknowledged(A, 7);
    run(&mut lease, 10_001, &[A]);
    assert!(!lease.is_covered_by(B, ms(11_000)));
    lease.acknowledged(B, 7);
    assert!(lease.is_covered_by(B, ms(11_000)));
    assert!(!lease.is_covered_by(B, ms(11_001)));
    assert_eq!(run(&mut lease, 10_002, &[A, B]), None, "nothing changes");
}

#[test]
fn a_member_that_joins_without_an_answer_ends_it() {
    let mut lease = leader();
    lease.ask(ms(10_000), 7);
    run(&mut lease, 10_000, &[]);
    assert_eq!(run(&mut lease, 10_001, &[B]), Some(Order::Stop(Ended::Lapsed)));
}

#[test]
fn it_is_asked_for_four_times_in_the_time_in_which_it_may_be_renewed() {
    let mut lease = leader();
    assert!(lease.is_due(ms(10_000)));
    lease.ask(ms(10_000), 7);
    assert!(!lease.is_due(ms(10_149)));
    assert!(lease.is_due(ms(10_150)));
    assert_eq!(lease.poll_timeout(), Some(ms(10_150)));
}

#[test]
fn a_drift_is_rounded_up() {
    let terms = LeaseTerms { drift_ppm: 1, ..terms() };
    assert_eq!(terms.wait_for(Duration::from_nanos(1)), Duration::from_nanos(2));
    assert_eq!(terms.wait_for(Duration::from_secs(1)), Duration::from_nanos(1_000_001_000));
}
