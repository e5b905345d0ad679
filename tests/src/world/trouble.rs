//! What can be done to a host of the world.

use super::World;
use super::agenda::What;
use crate::consortium::CLIENT;
use crate::faults::Kind;
use crate::host::{Clock, Disk, count_records};
use core::time::Duration;
use duohuo_core::io::{Input, Table};
use duohuo_wire::ids::NodeId;
use rand_core::Rng as _;

impl World {
    /// SIGSTOP: nothing reaches the machine, and it does nothing, until [`World::resume`].
    pub fn pause(&mut self, id: NodeId) {
        self.touch(id);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.paused = host.machine.is_some();
        }
    }

    /// SIGCONT: all that was waiting comes at once.
    pub fn resume(&mut self, id: NodeId) {
        self.touch(id);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if !core::mem::take(&mut host.paused) {
            return;
        }
        let waiting = core::mem::take(&mut host.backlog);
        for input in waiting {
            self.schedule_input(id, self.now, input);
        }
        self.schedule_input(id, self.now, Input::Tick);
    }

    /// Kill it when it has said so many things more.
    pub fn crash_after(&mut self, id: NodeId, outputs: u32) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.crash_after = Some(outputs);
        }
    }

    /// All processes share a busy machine from now on: ten times in a keepalive one of them, drawn at random, stands
    /// still for up to `most`. Zero: no more.
    pub fn set_busy(&mut self, most: Duration) {
        self.touch_all();
        if self.busy.is_zero() && !most.is_zero() {
            self.schedule(self.now, What::Busy);
        }
        self.busy = most;
    }

    pub(super) fn keep_busy(&mut self) {
        if self.busy.is_zero() {
            return;
        }
        self.feel(Kind::Busy);
        let pick = usize::try_from(self.rng.next_u64() % self.hosts.len() as u64).unwrap_or(0);
        let span = self.between((Duration::ZERO, self.busy));
        let victim = self.hosts.iter().nth(pick).map(|(id, host)| (*id, host.life, host.paused));
        if let Some((host, life, false)) = victim
            && host != CLIENT
        {
            self.pause(host);
            self.schedule(self.now + span, What::Resume { host, life });
        }
        self.schedule(self.now + self.settings.keepalive / 10, What::Busy);
    }

    /// It is not killed after so many things any more.
    pub fn disarm(&mut self, id: NodeId) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.crash_after = None;
        }
    }

    /// Its clock runs faster (or slower) by so many parts per million from now on.
    pub fn set_clock_rate(&mut self, id: NodeId, ppm: i32) {
        let now = self.now;
        self.touch(id);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.clock = Clock::from_now(now, host.clock.local(now), ppm);
            host.timer = None;
        }
        self.schedule_input(id, now, Input::Tick);
    }

    /// Its wall clock is wrong by so much from its next start on.
    pub fn set_wall_clock(&mut self, id: NodeId, seconds: i64) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.told.wall_offset = seconds;
        }
    }

    /// Its durable writes take so many times as long; at 1 what waits is written at once.
    pub fn slow_disk(&mut self, id: NodeId, factor: u32) {
        let now = self.now;
        self.touch(id);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let recovers = host.disk_factor > 1 && factor == 1;
        host.disk_factor = factor;
        if recovers {
            host.disk_free_at = now;
            let (life, waiting) = (host.life, host.writing.len());
            for _ in 0..waiting {
                self.schedule(now, What::DiskDone { host: id, life });
            }
        }
    }

    /// Its disk is full: the next write fails, and none is tried after it.
    pub fn fill_disk(&mut self, id: NodeId) {
        self.touch(id);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk_fails = true;
        }
    }

    /// Whether its next write fails.
    #[must_use]
    pub fn has_full_disk(&self, id: NodeId) -> bool {
        self.hosts.get(&id).is_some_and(|h| h.disk_fails)
    }

    /// It is upgraded to a later version of the protocol, which the others do not speak, or set back.
    pub fn set_later(&mut self, id: NodeId, later: bool) {
        self.touch(id);
        if later {
            self.later.insert(id);
        } else {
            self.later.remove(&id);
        }
    }

    /// It has no file descriptors left: no stream can be opened by it or to it.
    pub fn refuse_streams(&mut self, id: NodeId, refuse: bool) {
        self.touch(id);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.refuses_streams = refuse;
        }
    }

    /// Make its chain say things that are not so.
    pub fn lie(&mut self, id: NodeId, on: bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.told.lies.set(on);
        }
    }

    /// Stop it in good order.
    pub fn shut_down(&mut self, id: NodeId) {
        self.give(id, Input::Shutdown);
        self.kill(id);
    }

    /// Breaks a rule on purpose: a stopped machine gets another disk.
    pub fn restore(&mut self, id: NodeId, image: Disk) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.records = count_records(&image);
            host.disk = image;
        }
    }

    /// Breaks a rule on purpose: a stopped machine's disk loses what `lost` says.
    pub fn lose(&mut self, id: NodeId, lost: impl Fn(Table, u64) -> bool) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.disk.retain(|(table, key), _| !lost(*table, *key));
            host.records = count_records(&host.disk);
        }
    }

    /// Where a rule is broken on purpose: these checkers say nothing, so that it is seen which others notice.
    pub fn silence(&mut self, checkers: &[&'static str]) {
        self.checker.silenced.extend(checkers);
    }

    /// The disk of a machine fails at its next write.
    pub fn fail_disk(&mut self, id: NodeId) {
        self.give(id, Input::PersistFailed);
    }

    /// Tell a node to compute wrong results, or to stop it.
    pub fn wrong_results(&mut self, id: NodeId, on: bool) {
        self.give(id, Input::WrongResults(on));
    }
}
