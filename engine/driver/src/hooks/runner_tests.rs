use super::*;
use crate::hooks::settings::Kind;

fn ms(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn settings() -> HooksSettings {
    HooksSettings {
        name: "x".into(),
        kind: Kind::Instance,
        programs: core::array::from_fn(|_| vec!["/bin/true".to_owned()]),
        fifo: None,
        socket: None,
        lease_ms: 2000,
        margin_ms: 1000,
        drift_ppm: 1000,
        limits_ms: [5000, 500, 300, 400, 400, 400, 60_000],
        check_interval_ms: 1000,
        health_weight: 0,
        health_fall: 2,
        health_rise: 1,
    }
}

/// A runner, and what it does in short words.
struct Stage {
    runner: Runner,
    run: u64,
    did: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        Self { runner: Runner::new(ms(0), settings(), 100), run: 0, did: Vec::new() }
    }

    /// What it did since last asked, without reports of programs.
    fn did(&mut self) -> Vec<String> {
        self.look();
        core::mem::take(&mut self.did)
    }

    fn look(&mut self) {
        while let Some(done) = self.runner.poll() {
            match done {
                Do::Start { run, program, facts, before } => {
                    self.run = run;
                    let is_of_lease = matches!(program, Program::Promote | Program::Cover);
                    assert_eq!(before.is_some(), is_of_lease, "{}", program.name());
                    self.did.push(format!("{} {} {}", program.name(), facts.state.name(), facts.reason));
                }
                Do::Kill { run } => {
                    assert_eq!(run, self.run, "only what runs is killed");
                    self.did.push("kill -9".into());
                }
                Do::Report(Report::Ran { .. }) => {}
                Do::Report(report) => self.did.push(format!("{report:?}")),
                Do::State(state, _) => self.did.push(state.name().into()),
            }
        }
    }

    fn ends(&mut self, at: u64, ending: Ending) {
        self.look();
        let run = self.run;
        self.runner.ended(ms(at), run, ending, "41\n");
    }

    fn act(&mut self, at: u64, stop_at: u64) {
        let until = ms(stop_at + 1000);
        self.runner.said(ms(at), Said::Act { epoch: Epoch(3), stop_at: ms(stop_at), until });
    }

    fn follow(&mut self, at: u64, master: u32) {
        let address = IpAddr::from([127, 0, 0, 1]);
        self.runner.said(ms(at), Said::Follow { epoch: Epoch(3), master: NodeId(master), address });
    }

    /// Started, demoted, promoted, covered; health is checked.
    fn master() -> Self {
        let mut stage = Self::new();
        stage.ends(1, Ending::Done);
        stage.act(2, 1000);
        stage.ends(3, Ending::Done);
        stage.ends(4, Ending::Done); // cover
        stage.did();
        stage
    }
}

#[test]
fn b_hook_1_what_an_earlier_life_left_is_ended_first() {
    let mut stage = Stage::new();
    assert_eq!(stage.did(), ["demote BACKUP start"]);
    stage.act(1, 1000);
    assert_eq!(stage.did(), Vec::<String>::new(), "one program at a time");
    stage.ends(2, Ending::Done);
    assert_eq!(stage.did(), ["Stopped", "BACKUP", "promote MASTER lease"]);
    stage.ends(3, Ending::Done);
    assert_eq!(stage.did(), ["MASTER", "cover MASTER lease"]);
}

#[test]
fn b_lease_7_at_stop_at_it_is_ended_without_a_word_of_the_node_and_not_before() {
    let mut stage = Stage::master();
    stage.runner.running = None;
    stage.runner.next_health = ms(9000);
    stage.runner.tick(ms(999));
    assert_eq!(stage.did(), Vec::<String>::new());
    assert_eq!(stage.runner.poll_timeout(), Some(ms(1000)));
    stage.runner.tick(ms(1000));
    assert_eq!(stage.did(), ["demote BACKUP lease-over"]);
}

#[test]
fn a_newer_lease_carries_it_on() {
    let mut stage = Stage::master();
    stage.runner.running = None;
    stage.runner.next_health = ms(9000);
    stage.act(900, 1900);
    stage.runner.tick(ms(1000));
    assert_eq!(stage.did(), Vec::<String>::new());
    stage.runner.tick(ms(1900));
    assert_eq!(stage.did(), ["demote BACKUP lease-over"]);
}

#[test]
fn b_hook_1_a_promotion_that_hangs_is_killed_and_the_demotion_is_never_skipped() {
    let mut stage = Stage::new();
    stage.ends(1, Ending::Done);
    stage.act(2, 1000);
    stage.did();
    stage.runner.said(ms(500), Said::Stop);
    assert_eq!(stage.did(), ["kill -9"]);
    stage.act(501, 2000); // the newest wish is to act, but what was begun is ended
    stage.ends(502, Ending::Failed);
    assert_eq!(stage.did(), ["demote BACKUP ordered"]);
    stage.ends(600, Ending::Done);
    assert_eq!(stage.did(), ["Stopped", "promote MASTER lease"], "then the newest wish");
}

#[test]
fn b_lease_7_a_demotion_that_hangs_is_killed_at_its_limit_and_kill_follows() {
    let mut stage = Stage::master();
    stage.runner.running = None;
    stage.runner.said(ms(100), Said::Stop);
    assert_eq!(stage.did(), ["demote BACKUP ordered"]);
    stage.runner.tick(ms(599));
    assert_eq!(stage.did(), Vec::<String>::new());
    stage.runner.tick(ms(600));
    assert_eq!(stage.did(), ["kill -9"]);
    stage.ends(601, Ending::Failed);
    assert_eq!(stage.did(), ["kill FAULT ordered"]);
    stage.ends(650, Ending::Done);
    assert_eq!(stage.did(), ["Stopped", "BACKUP"]);
}

#[test]
fn what_does_not_die_is_not_waited_for() {
    let mut stage = Stage::master();
    stage.runner.running = None;
    stage.runner.said(ms(100), Said::Stop);
    stage.runner.tick(ms(600));
    stage.did();
    stage.runner.tick(ms(749));
    assert_eq!(stage.did(), Vec::<String>::new());
    stage.runner.tick(ms(750));
    assert_eq!(stage.did(), ["kill FAULT ordered"]);
}

#[test]
fn a_failed_program_is_run_again_after_a_wait_that_doubles() {
    let mut stage = Stage::new();
    stage.ends(0, Ending::Done);
    stage.act(0, 60_000);
    stage.did();
    for (ends, again) in [(10, 110), (120, 320), (330, 730)] {
        stage.ends(ends, Ending::Failed);
        stage.runner.tick(ms(again - 1));
        assert_eq!(stage.did(), Vec::<String>::new(), "{again}");
        stage.runner.tick(ms(again));
        assert_eq!(stage.did(), ["promote MASTER lease"]);
    }
}

#[test]
fn b_lease_7_when_the_node_is_gone_it_is_ended_and_then_the_keeper_is_over() {
    let mut stage = Stage::master();
    stage.runner.node_is_gone(ms(100));
    assert_eq!(stage.did(), ["kill -9"], "a check is in the way");
    stage.ends(101, Ending::Failed);
    assert_eq!(stage.did(), ["demote STOP node-gone"]);
    assert!(!stage.runner.is_over());
    stage.ends(200, Ending::Done);
    assert_eq!(stage.did(), ["Stopped", "STOP"]);
    assert!(stage.runner.is_over());
}

#[test]
fn a_copy_follows_the_newest_master_and_tells_how_far_it_is() {
    let mut stage = Stage::new();
    stage.ends(0, Ending::Done);
    stage.did();
    stage.follow(1, 12);
    assert_eq!(stage.did(), ["Copy { in_step: false, position: 0 }", "follow BACKUP start"]);
    stage.follow(2, 13);
    assert_eq!(stage.did(), ["Copy { in_step: false, position: 0 }", "kill -9"]);
    stage.ends(3, Ending::Failed);
    assert_eq!(stage.did(), ["follow BACKUP start"]);
    stage.ends(4, Ending::Done);
    assert_eq!(stage.did(), ["health BACKUP start"]);
    stage.ends(5, Ending::Done);
    assert_eq!(stage.did(), ["sync BACKUP start"]);
    stage.ends(6, Ending::Done);
    assert_eq!(stage.did(), ["Copy { in_step: true, position: 41 }"]);
    stage.act(7, 1000);
    assert_eq!(stage.did(), ["promote MASTER lease"]);
}

#[test]
fn health_falls_after_so_many_failures_and_rises_after_so_many_successes() {
    let mut stage = Stage::master(); // its first check runs
    stage.act(5, 60_000);
    let mut at = 10;
    let mut check = |stage: &mut Stage, ending| {
        stage.ends(at, ending);
        let did = stage.did();
        at += 1000;
        stage.runner.tick(ms(at));
        stage.did();
        did
    };
    assert_eq!(check(&mut stage, Ending::Failed), Vec::<String>::new());
    assert_eq!(check(&mut stage, Ending::TimedOut), ["Health { cut: 255 }", "FAULT"]);
    assert_eq!(check(&mut stage, Ending::Failed), Vec::<String>::new());
    assert_eq!(check(&mut stage, Ending::Done), ["Health { cut: 0 }", "MASTER"]);
}

#[test]
fn members_are_covered_again_whenever_they_change() {
    let mut stage = Stage::master();
    stage.runner.running = None;
    stage.runner.next_health = ms(9000);
    stage.runner.said(ms(10), Said::Cover { members: vec![NodeId(12)] });
    assert_eq!(stage.did(), ["cover MASTER lease"]);
    stage.ends(11, Ending::Done);
    assert_eq!(stage.did(), ["Covers { members: [NodeId(12)] }"]);
    let both = vec![NodeId(12), NodeId(13)];
    stage.runner.said(ms(12), Said::Cover { members: both });
    assert_eq!(stage.did(), ["cover MASTER lease"]);
    stage.runner.said(ms(13), Said::Cover { members: vec![] });
    assert_eq!(stage.did(), ["kill -9"], "it waits for who is no member any more");
    stage.ends(14, Ending::Failed);
    assert_eq!(stage.did(), ["cover MASTER lease"]);
    stage.ends(15, Ending::Done);
    assert_eq!(stage.did(), ["Covers { members: [] }"]);
}

#[test]
fn b_hook_7_nothing_begins_for_which_the_lease_is_over() {
    let mut stage = Stage::new();
    stage.ends(1, Ending::Done);
    stage.did();
    stage.act(1000, 1000);
    assert_eq!(stage.did(), Vec::<String>::new(), "the word was late");
    stage.act(1001, 1002);
    assert_eq!(stage.did(), ["promote MASTER lease"]);
}

#[test]
fn b_hook_7_a_promotion_that_failed_is_not_tried_again_without_a_lease() {
    let mut stage = Stage::new();
    stage.ends(1, Ending::Done);
    stage.act(2, 1000);
    stage.did();
    stage.ends(950, Ending::Failed); // again at 1050
    stage.runner.tick(ms(1000));
    assert_eq!(stage.did(), ["demote BACKUP lease-over"], "what it may have begun is ended");
    stage.ends(1001, Ending::Done);
    stage.did();
    stage.runner.tick(ms(1050));
    assert_eq!(stage.did(), Vec::<String>::new());
}

#[test]
fn who_is_told_to_stop_and_has_begun_nothing_has_ended() {
    let mut stage = Stage::new();
    stage.ends(1, Ending::Done);
    stage.did();
    stage.runner.said(ms(2), Said::Stop);
    assert_eq!(stage.did(), ["Stopped"]);
}

#[test]
fn b_hook_1_what_fails_to_end_it_is_tried_again_and_again_and_nothing_else_is() {
    let mut stage = Stage::master();
    stage.runner.running = None;
    stage.runner.said(ms(100), Said::Stop);
    stage.act(101, 60_000);
    assert_eq!(stage.did(), ["demote BACKUP ordered"]);
    stage.ends(150, Ending::Failed);
    assert_eq!(stage.did(), ["kill FAULT ordered"]);
    stage.ends(160, Ending::Failed);
    stage.runner.tick(ms(249));
    assert_eq!(stage.did(), Vec::<String>::new());
    stage.runner.tick(ms(250));
    assert_eq!(stage.did(), ["demote BACKUP ordered"]);
    stage.ends(260, Ending::Failed);
    assert_eq!(stage.did(), ["kill FAULT ordered"]);
    stage.ends(270, Ending::Done);
    assert_eq!(stage.did(), ["Stopped", "BACKUP", "promote MASTER lease"]);
}

#[test]
fn a_weight_lowers_the_priority_that_the_programs_are_told() {
    let lowered = |weight, priority| {
        let settings = HooksSettings { health_weight: weight, health_fall: 1, ..settings() };
        let mut runner = Runner::new(ms(0), settings, priority);
        runner.is_unwell = true;
        runner.priority_now()
    };
    assert_eq!((lowered(0, 100), lowered(30, 100), lowered(200, 100)), (0, 70, 1));
}
