//! Which of the operator's programs runs now: one at a time, the newest wish wins, the end of acting before all else.
//!
//! A pure machine: told the time, what the node said and how programs ended; it answers with what to start and kill. It
//! ends what acts at `stop_at` by itself (B-LEASE-7), so that a node that hangs, or is gone, delays nothing, and begins
//! nothing for which there is no lease (B-HOOK-7).

use super::settings::HooksSettings;
use super::talk::Said;
use duohuo_core::outside::{Ending, Program, Report, UNFIT};
use duohuo_core::{Duration, Instant};
use duohuo_wire::ids::{Epoch, NodeId};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

/// First wait before a program that failed is run again; doubled up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Of what ends it: there is nothing else to do.
const LONGEST_ENDING_WAIT: Duration = Duration::from_millis(400);
/// A killed program that is not gone by then is not waited for: nothing we can do ends it.
pub(super) const BURIAL: Duration = Duration::from_millis(150);

/// keepalived's states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Master,
    Backup,
    Fault,
    Stop,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Master => "MASTER",
            Self::Backup => "BACKUP",
            Self::Fault => "FAULT",
            Self::Stop => "STOP",
        }
    }
}

/// What a program is told beside its arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) state: State,
    pub(super) priority: u8,
    pub(super) epoch: Epoch,
    pub(super) reason: &'static str,
    pub(super) members: Vec<NodeId>,
    pub(super) master: Option<(NodeId, IpAddr)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Do {
    /// Start it. `run` names this run.
    Start {
        run: u64,
        program: Program,
        facts: Facts,
        /// From here on there is no lease for it.
        before: Option<Instant>,
    },
    /// Kill its whole process group.
    Kill {
        run: u64,
    },
    Report(Report),
    /// The state changed: a line for the fifo, with the priority now.
    State(State, u8),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Act {
    epoch: Epoch,
    stop_at: Instant,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Running {
    run: u64,
    program: Program,
    deadline: Instant,
    /// It was killed for this, at that moment.
    killed: Option<(Ending, Instant)>,
    members: Vec<NodeId>,
    master: Option<NodeId>,
}

pub(super) struct Runner {
    settings: HooksSettings,
    /// Of the roster.
    priority: u8,
    wish: Option<Act>,
    epoch: Epoch,
    reason: &'static str,
    /// Something of ours may act: a promotion was begun, or nobody knows what an earlier life left.
    may_act: bool,
    promoted: bool,
    /// It was told to end, and that is not done: whatever is wished meanwhile.
    owes_end: bool,
    demote_failed: bool,
    node_is_gone: bool,
    members: Vec<NodeId>,
    covered: Option<Vec<NodeId>>,
    follow: Option<(Epoch, NodeId, IpAddr)>,
    followed: bool,
    running: Option<Running>,
    runs: u64,
    /// Programs that failed: when they may run again, and the wait after that.
    waits: BTreeMap<Program, (Instant, Duration)>,
    next_health: Instant,
    next_sync: Instant,
    health_failures: u32,
    health_successes: u32,
    is_unwell: bool,
    told: BTreeMap<Program, Ending>,
    state: Option<State>,
    out: VecDeque<Do>,
}

impl Runner {
    pub(super) fn new(now: Instant, settings: HooksSettings, priority: u8) -> Self {
        let mut runner = Self {
            settings,
            priority,
            wish: None,
            epoch: Epoch(0),
            reason: "start",
            may_act: true,
            promoted: false,
            owes_end: true,
            demote_failed: false,
            node_is_gone: false,
            members: Vec::new(),
            covered: None,
            follow: None,
            followed: false,
            running: None,
            runs: 0,
            waits: BTreeMap::new(),
            next_health: now,
            next_sync: now,
            health_failures: 0,
            health_successes: 0,
            is_unwell: false,
            told: BTreeMap::new(),
            state: None,
            out: VecDeque::new(),
        };
        runner.run(now);
        runner
    }

    pub(super) fn poll(&mut self) -> Option<Do> {
        self.out.pop_front()
    }

    /// The node is gone and nothing of ours acts.
    pub(super) fn is_over(&self) -> bool {
        self.node_is_gone && !self.may_act && self.running.is_none()
    }

    pub(super) fn said(&mut self, now: Instant, said: Said) {
        match said {
            Said::Act { epoch, stop_at, .. } => {
                (self.wish, self.epoch) = (Some(Act { epoch, stop_at }), epoch);
                self.follow = None;
            }
            Said::Stop => {
                self.end("ordered");
                if !self.may_act {
                    self.out.push_back(Do::Report(Report::Stopped));
                }
            }
            Said::Cover { members } => {
                if self.members != members {
                    self.members = members;
                    self.waits.remove(&Program::Cover);
                }
            }
            Said::Follow { epoch, master, address } => {
                self.epoch = epoch;
                self.follow = Some((epoch, master, address));
                self.follow_anew();
            }
        }
        self.run(now);
    }

    /// The node's end of the line is closed: it died, or ended.
    pub(super) fn node_is_gone(&mut self, now: Instant) {
        self.node_is_gone = true;
        self.end("node-gone");
        if !self.may_act {
            self.tell_state(State::Stop);
        }
        self.run(now);
    }

    fn end(&mut self, reason: &'static str) {
        self.owes_end |= self.may_act;
        if self.wish.take().is_some() {
            self.reason = reason;
        }
    }

    fn follow_anew(&mut self) {
        self.followed = false;
        self.waits.remove(&Program::Follow);
        if self.settings.has(Program::Sync) {
            self.out.push_back(Do::Report(Report::Copy { in_step: false, position: 0 }));
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.run(now);
    }

    /// A program ended. `output`: the first bytes of what it wrote, asked of `sync` alone.
    pub(super) fn ended(&mut self, now: Instant, run: u64, ending: Ending, output: &str) {
        let Some(running) = self.running.take_if(|r| r.run == run) else { return };
        let ending = running.killed.map_or(ending, |(why, _)| why);
        self.follow_up(now, &running, ending, output);
        self.run(now);
    }

    fn follow_up(&mut self, now: Instant, running: &Running, ending: Ending, output: &str) {
        let program = running.program;
        let frequent = matches!(program, Program::Health | Program::Sync);
        if !frequent || self.told.get(&program) != Some(&ending) {
            self.told.insert(program, ending);
            self.out.push_back(Do::Report(Report::Ran { program, ending }));
        }
        let done = ending == Ending::Done;
        if done {
            self.waits.remove(&program);
        } else if ending != Ending::Overtaken && !frequent {
            let is_ending = matches!(program, Program::Demote | Program::Kill);
            let longest = if is_ending { LONGEST_ENDING_WAIT } else { LONGEST_WAIT };
            let wait = self.waits.get(&program).map_or(FIRST_WAIT, |(_, wait)| *wait);
            self.waits.insert(program, (now + wait, (wait * 2).min(longest)));
        }
        match program {
            Program::Promote if done => {
                self.promoted = true;
                self.tell_state(State::Master);
            }
            Program::Demote | Program::Kill if done => self.acting_ended(),
            Program::Demote => self.demote_failed = self.settings.has(Program::Kill),
            Program::Kill => self.demote_failed = false,
            Program::Cover if done => {
                self.covered = Some(running.members.clone());
                self.out.push_back(Do::Report(Report::Covers { members: running.members.clone() }));
            }
            Program::Follow if done => {
                self.followed = self.follow.is_some_and(|(_, master, _)| Some(master) == running.master);
                self.tell_state(State::Backup);
            }
            Program::Health if ending != Ending::Overtaken => self.judge_health(done),
            Program::Sync if ending != Ending::Overtaken => {
                let position = output.trim().parse().unwrap_or(0);
                self.out.push_back(Do::Report(Report::Copy { in_step: done, position }));
            }
            _ => {}
        }
    }

    fn acting_ended(&mut self) {
        (self.may_act, self.promoted) = (false, false);
        (self.owes_end, self.demote_failed) = (false, false);
        self.covered = None;
        self.waits.clear();
        self.followed = false;
        self.out.push_back(Do::Report(Report::Stopped));
        self.tell_state(if self.node_is_gone { State::Stop } else { State::Backup });
    }

    fn tell_state(&mut self, state: State) {
        if self.state != Some(state) {
            self.state = Some(state);
            self.out.push_back(Do::State(state, self.priority_now()));
        }
    }

    fn judge_health(&mut self, is_well: bool) {
        if is_well {
            (self.health_successes, self.health_failures) = (self.health_successes.saturating_add(1), 0);
        } else {
            (self.health_failures, self.health_successes) = (self.health_failures.saturating_add(1), 0);
        }
        let unwell = match self.is_unwell {
            false => self.health_failures >= self.settings.health_fall,
            true => self.health_successes < self.settings.health_rise,
        };
        if unwell == self.is_unwell {
            return;
        }
        self.is_unwell = unwell;
        let cut = self.cut();
        self.out.push_back(Do::Report(Report::Health { cut }));
        self.tell_state(match (cut, self.promoted) {
            (UNFIT, _) => State::Fault,
            (_, true) => State::Master,
            (_, false) => State::Backup,
        });
    }

    /// What its health takes off its priority.
    fn cut(&self) -> u8 {
        match (self.is_unwell, self.settings.health_weight) {
            (false, _) => 0,
            (true, 0) => UNFIT,
            (true, weight) => weight,
        }
    }

    fn priority_now(&self) -> u8 {
        match self.cut() {
            0 => self.priority,
            UNFIT => 0,
            cut => self.priority.saturating_sub(cut).max(1),
        }
    }

    /// Whether what may act must be ended now.
    fn must_end(&self, now: Instant) -> bool {
        self.may_act && (self.owes_end || self.wish.is_none_or(|wish| now >= wish.stop_at))
    }

    fn run(&mut self, now: Instant) {
        if self.wish.is_some_and(|wish| now >= wish.stop_at) {
            self.end("lease-over");
        }
        self.hurry(now);
        if self.running.is_some() {
            return;
        }
        let Some(program) = self.next(now) else { return };
        self.runs += 1;
        match program {
            Program::Promote => self.may_act = true,
            Program::Health => self.next_health = now + self.check_interval(),
            Program::Sync => self.next_sync = now + self.check_interval(),
            _ => {}
        }
        let needs_lease = matches!(program, Program::Promote | Program::Cover);
        let before = self.wish.filter(|_| needs_lease).map(|wish| wish.stop_at);
        let facts = self.facts(program);
        self.running = Some(Running {
            run: self.runs,
            program,
            deadline: now + self.settings.limit(program),
            killed: None,
            members: facts.members.clone(),
            master: facts.master.map(|(node, _)| node),
        });
        self.out.push_back(Do::Start { run: self.runs, program, facts, before });
    }

    fn check_interval(&self) -> Duration {
        Duration::from_millis(self.settings.check_interval_ms)
    }

    /// Kill what is over its limit, or in the way; give up on what does not die.
    fn hurry(&mut self, now: Instant) {
        let must_end = self.must_end(now);
        let promotes = self.wish.is_some() && !self.promoted;
        let master = self.follow.map(|(_, master, _)| master);
        let gone = self.node_is_gone;
        let Some(running) = &mut self.running else { return };
        if let Some((why, at)) = running.killed {
            if now >= at + BURIAL {
                let running = running.clone();
                self.running = None;
                self.follow_up(now, &running, why, "");
            }
            return;
        }
        let overtaken = match running.program {
            Program::Demote | Program::Kill => false,
            Program::Promote => must_end,
            // Members that are no members any more would hold up what acts.
            Program::Cover => must_end || running.members != self.members,
            Program::Health | Program::Sync => must_end || promotes || gone,
            Program::Follow => must_end || promotes || gone || running.master != master,
        };
        let why = if now >= running.deadline {
            Ending::TimedOut
        } else if overtaken {
            Ending::Overtaken
        } else {
            return;
        };
        running.killed = Some((why, now));
        self.out.push_back(Do::Kill { run: running.run });
    }

    fn is_due(&self, now: Instant, program: Program) -> bool {
        self.settings.has(program) && self.waits.get(&program).is_none_or(|(at, _)| now >= *at)
    }

    fn next(&self, now: Instant) -> Option<Program> {
        if self.must_end(now) {
            let program = if self.demote_failed { Program::Kill } else { Program::Demote };
            return self.is_due(now, program).then_some(program);
        }
        if self.node_is_gone {
            return None;
        }
        if self.wish.is_some() {
            if !self.promoted {
                return self.is_due(now, Program::Promote).then_some(Program::Promote);
            }
            if self.covered.as_ref() != Some(&self.members) && self.is_due(now, Program::Cover) {
                return Some(Program::Cover);
            }
        } else if self.follow.is_some() && !self.followed && self.settings.has(Program::Follow) {
            return self.is_due(now, Program::Follow).then_some(Program::Follow);
        }
        let serves = self.promoted || self.follow.is_some();
        if serves && self.settings.has(Program::Health) && now >= self.next_health {
            return Some(Program::Health);
        }
        let copies = !self.promoted && self.follow.is_some();
        (copies && self.settings.has(Program::Sync) && now >= self.next_sync).then_some(Program::Sync)
    }

    fn facts(&self, program: Program) -> Facts {
        let state = match program {
            Program::Promote | Program::Cover => State::Master,
            Program::Kill => State::Fault,
            Program::Demote if self.node_is_gone => State::Stop,
            Program::Demote | Program::Follow => State::Backup,
            Program::Health | Program::Sync if self.promoted => State::Master,
            Program::Health | Program::Sync => State::Backup,
        };
        Facts {
            state,
            priority: self.priority_now(),
            epoch: self.epoch,
            reason: if self.wish.is_some() && !self.owes_end { "lease" } else { self.reason },
            members: self.members.clone(),
            master: self.follow.map(|(_, node, address)| (node, address)),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref().map(|r| r.killed.map_or(r.deadline, |(_, at)| at + BURIAL));
        let stop_at = self.wish.map(|wish| wish.stop_at);
        let idle = self.running.is_none();
        let waits = self.waits.values().filter(|_| idle).map(|(at, _)| *at);
        let checks = idle && (self.promoted || self.follow.is_some());
        let health = (checks && self.settings.has(Program::Health)).then_some(self.next_health);
        let sync = (checks && !self.promoted && self.settings.has(Program::Sync)).then_some(self.next_sync);
        running.into_iter().chain(stop_at).chain(waits).chain(health).chain(sync).min()
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
