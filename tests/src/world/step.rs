//! One step after the other: what is next on the agenda happens, and what the machines say to it is carried out.

use super::World;
use super::agenda::What;
use crate::consortium::CLIENT;
use crate::faults::Kind;
use crate::host::{self, Anyone};
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Machine, Output, Table, Write};
use duohuo_core::outside::Report;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{OrderKind, PacketType, Role};

/// A verdict on a transaction: said once for each time that a client asks, so that nothing goes in circles by it.
fn answers_a_client(bytes: &[u8]) -> bool {
    bytes.get(5) == Some(&(PacketType::SubmitAnswer as u8))
}

impl World {
    /// Let virtual time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.run_while(until, |_| true);
    }

    /// Let time pass until `done` or the span is over; whether it was done.
    pub fn run_until(&mut self, span: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + span;
        self.run_while(until, |world| !done(world));
        done(self)
    }

    fn run_while(&mut self, until: Instant, go_on: impl Fn(&Self) -> bool) {
        while go_on(self) {
            let Some((at, what)) = self.agenda.pop(until) else { break };
            self.now = self.now.max(at);
            self.happen(what);
            self.checker.check(self.now);
        }
        if go_on(self) {
            self.now = self.now.max(until);
        }
    }

    /// The authority decided something: S2 and S14 look at everybody.
    fn table_changed(&mut self, writes: &[Write]) {
        let hosts = &self.hosts;
        self.checker.set_changed(self.now, writes, |id| hosts.get(&id).map(|host| &host.disk));
        let all: Vec<NodeId> = self.hosts.keys().copied().collect();
        for id in all {
            self.judge_master(id);
        }
    }

    /// S14: a master waits for everybody in the authority's set, as long as its epoch is the authority's.
    fn judge_master(&mut self, id: NodeId) {
        let Some(Anyone::Node(node)) = self.hosts.get(&id).and_then(|host| host.machine.as_ref()) else {
            return;
        };
        let Some(epoch) = node.leads() else { return };
        let Some(cluster) = self.clusters.get(&id) else { return };
        let Some(row) = self.checker.rows().entry(*cluster).map(|entry| &entry.row) else { return };
        if row.epoch != epoch {
            return;
        }
        let ignored = row.in_sync.iter().copied().find(|member| !node.waits_for(*member));
        if let Some(member) = ignored {
            let now = self.now;
            self.checker.say("S14", || format!("{now}: {id} leads and does not wait for {member}, in sync"));
        }
    }

    /// S9: what it holds in memory; each so many inputs.
    fn judge_memory(&mut self, id: NodeId) {
        const INPUTS: u32 = 64;
        let Some(host) = self.hosts.get_mut(&id) else { return };
        host.look_in = host.look_in.wrapping_add(1);
        if !host.look_in.is_multiple_of(INPUTS) {
            return;
        }
        if let Some(machine) = &host.machine {
            let held = machine.held();
            self.checker.holds(self.now, id, &held);
        }
    }

    /// S6: what the client was answered in this step.
    fn judge_answers(&mut self) {
        let answers = core::mem::take(&mut self.book.borrow_mut().fresh);
        for (transfer, height) in answers {
            self.checker.answered(self.now, transfer, height);
        }
    }

    /// S13: who becomes master holds all that its cluster said up to that epoch. One that slept between its grant and its promise
    /// may find that there is a later master by now: it says nothing any more, and cannot know what that one said.
    fn judge_role(&mut self, id: NodeId, event: &Event) {
        let Event::RoleChanged { role, epoch } = event else { return };
        if *role != Role::Master {
            self.leads_since.remove(&id);
            return;
        }
        self.leads_since.insert(id, self.now);
        let Some((cluster, _)) = self.consortium.roster.node(id) else { return };
        if let Some(host) = self.hosts.get(&id) {
            self.checker.holds_all("S13", self.now, (cluster.id, *epoch), id, &host.disk);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Input { to, life, input } => {
                if self.hosts.get(&to).is_some_and(|h| h.life == life) {
                    self.give_or_keep(to, input);
                }
            }
            What::Timer { host, life } => {
                let due = self.hosts.get_mut(&host).is_some_and(|h| {
                    let due = h.life == life && h.timer.is_some_and(|at| at <= self.now);
                    if due {
                        h.timer = None;
                    }
                    due
                });
                if due {
                    self.give_or_keep(host, Input::Tick);
                }
            }
            What::DiskDone { host, life } => {
                let Some(h) = self.hosts.get_mut(&host).filter(|h| h.life == life) else {
                    return;
                };
                let newest_first = self.reordering_disks && host != NodeId::AUTHORITY;
                let next = if newest_first { h.writing.pop_back() } else { h.writing.pop_front() };
                let Some((token, mut writes)) = next else {
                    return;
                };
                if self.hoarding_disks {
                    writes.retain(|write| !matches!(write, Write::DeleteRange { table: Table::Record, .. }));
                }
                let change = host::write(&mut h.disk, &writes);
                h.records = h.records.saturating_add_signed(change);
                self.checker.wrote(self.now, host, &writes, &h.disk, h.records);
                if host == NodeId::AUTHORITY {
                    self.table_changed(&writes);
                }
                if self.lying_disks.is_none() {
                    self.give_or_keep(host, Input::Persisted { token });
                }
            }
            What::Busy => self.keep_busy(),
            What::Resume { host, life } => {
                if self.hosts.get(&host).is_some_and(|h| h.life == life) {
                    self.resume(host);
                }
            }
            What::CutTimeout { a, b, since } => self.cut_timeout(a, b, since),
            What::Dial { from, life, stream, to } => self.dial(from, life, stream, to),
        }
    }

    pub(super) fn schedule_input(&mut self, to: NodeId, at: Instant, input: Input) {
        if let Some(life) = self.hosts.get(&to).map(|h| h.life) {
            self.schedule(at, What::Input { to, life, input });
        }
    }

    /// As [`World::give`]; what comes for one that is paused waits, as long as there is room.
    fn give_or_keep(&mut self, to: NodeId, input: Input) {
        /// Datagrams that a socket's buffer holds.
        const SOCKET_BUFFER: usize = 256;
        let Some(host) = self.hosts.get_mut(&to).filter(|h| h.paused) else {
            self.give(to, input);
            return;
        };
        let datagram = |input: &Input| matches!(input, Input::Datagram { .. });
        let full = host.backlog.iter().filter(|i| datagram(i)).count() >= SOCKET_BUFFER;
        if !(matches!(input, Input::Tick) || datagram(&input) && full) {
            host.backlog.push(input);
        }
    }

    pub(super) fn give(&mut self, to: NodeId, input: Input) {
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        let Some(mut machine) = host.machine.take() else {
            return;
        };
        let life = host.life;
        if matches!(input, Input::Outside(Report::Stopped)) {
            self.acting.ended(to);
        }
        let mut outputs_left = host.crash_after;
        machine.handle(host.clock.local(self.now), input);
        let (mut exit, mut said) = (false, 0);
        while let Some(output) = machine.poll_output() {
            if let Some(left) = outputs_left.as_mut().filter(|_| !is_key_log(&output)) {
                if *left == 0 {
                    // Dead before this one; what it said before is said.
                    exit = true;
                    self.feel(Kind::CrashAtOutput);
                    break;
                }
                *left -= 1;
            }
            exit |= matches!(output, Output::Exit);
            said += match &output {
                Output::Datagram { .. } => self.repeats,
                Output::StreamBytes { bytes, .. } => usize::from(to != CLIENT && !answers_a_client(bytes)),
                _ => 0,
            };
            self.carry_out(to, life, output);
        }
        let timeout = machine.poll_timeout();
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        host.machine = Some(machine);
        host.crash_after = outputs_left;
        if self.now - host.pace.0 >= Duration::from_secs(1) {
            host.pace = (self.now, 0);
        }
        host.pace.1 += said;
        let said = host.pace.1;
        self.checker.says(self.now, to, said);
        self.judge_master(to);
        self.judge_memory(to);
        if to == CLIENT {
            self.judge_answers();
        }
        let Some(host) = self.hosts.get_mut(&to) else {
            return;
        };
        if let Some(at) = timeout.map(|at| host.clock.global(at))
            && host.timer.is_none_or(|set| at < set)
        {
            let at = at.max(self.now + Duration::from_nanos(1));
            host.timer = Some(at);
            self.schedule(at, What::Timer { host: to, life });
        }
        if exit {
            self.kill(to);
        }
    }

    /// F47: an order is carried out.
    fn feel_order(&mut self, from: NodeId, event: &Event) {
        let Event::Ordered { kind, .. } = event else { return };
        if from != NodeId::AUTHORITY {
            return;
        }
        match kind {
            OrderKind::Switch => self.feel(Kind::OrderedSwitch),
            OrderKind::Pause => self.feel(Kind::OrderedPause),
            OrderKind::Unbar => self.feel(Kind::OrderedUnbar),
            OrderKind::Force => self.feel(Kind::OrderedForce),
            OrderKind::Resume => {}
        }
    }

    /// Into the digest.
    fn note(&mut self, from: NodeId, event: &Event) {
        let fields = event.fields();
        let parts = [
            self.now.as_nanos(),
            u64::from(from.0),
            u64::from(fields.kind),
            u64::from(fields.cluster.0),
            u64::from(fields.node.0),
            fields.epoch.0,
            fields.height.0,
            u64::from(fields.round),
            u64::from(fields.detail),
        ];
        for part in parts {
            self.digest = (self.digest ^ part).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
        }
    }

    fn carry_out(&mut self, from: NodeId, life: u32, output: Output) {
        match output {
            Output::Datagram { to, bytes } => {
                for _ in 0..self.repeats {
                    self.datagram(from, to, &bytes);
                }
            }
            Output::Dial { stream, to } => {
                let at = self.now + self.between(self.luck.delay);
                self.schedule(at, What::Dial { from, life, stream, to });
            }
            Output::StreamBytes { stream, bytes } => {
                let Some((other, _)) = self.streams.get(&(from, stream)).copied() else { return };
                if self.cut.contains_key(&(from, other.0)) {
                    self.held.entry(other).or_default().push(bytes);
                } else {
                    self.stream_bytes(other, bytes);
                }
            }
            Output::CloseStream { stream } => self.close((from, stream)),
            Output::Persist { token, writes } => {
                let lie = self.lying_disks;
                let factor = self.hosts.get(&from).map_or(1, |h| h.disk_factor);
                let span = self.between(self.luck.disk) * factor;
                if self.hosts.get(&from).is_some_and(|h| h.disk_fails) {
                    self.schedule_input(from, self.now, Input::PersistFailed);
                    return;
                }
                if lie.is_some() {
                    self.schedule_input(from, self.now, Input::Persisted { token });
                }
                let Some(host) = self.hosts.get_mut(&from) else {
                    return;
                };
                let at = host.disk_free_at.max(self.now) + span + lie.unwrap_or_default();
                host.disk_free_at = at;
                host.writing.push_back((token, writes));
                self.schedule(at, What::DiskDone { host: from, life });
            }
            Output::ReadBlocks { token, from: first, max_bytes } => {
                let Some(host) = self.hosts.get(&from) else {
                    return;
                };
                let blocks = host::read_blocks(&host.disk, first, max_bytes);
                let at = self.now + self.between(self.luck.disk);
                self.schedule_input(from, at, Input::BlocksRead { token, blocks });
            }
            Output::ReadChunk { token, key } => {
                let Some(host) = self.hosts.get(&from) else {
                    return;
                };
                let chunk = host.disk.get(&(Table::Snapshot, key)).cloned().unwrap_or_default();
                let at = self.now + self.between(self.luck.disk);
                self.schedule_input(from, at, Input::ChunkRead { token, chunk });
            }
            Output::Event(event) => {
                if self.trace && !event.is_frequent() {
                    println!("{} {from} {event:?}", self.now);
                }
                self.note(from, &event);
                if let Event::Released(vote) = &event {
                    let disks = self.hosts.iter().map(|(id, host)| (*id, &host.disk));
                    self.checker.released(self.now, from, vote, disks);
                }
                self.feel_order(from, &event);
                self.judge_grant(&event);
                self.judge_role(from, &event);
                self.checker.event(self.now, from, &event);
            }
            Output::Act { epoch, until, .. } => self.act(from, epoch, until),
            Output::StopActing => self.stop_acting(from),
            Output::Cover { .. } | Output::Follow { .. } | Output::Answer { .. } | Output::Exit => {}
            #[cfg(feature = "key-log")]
            Output::Key(_) => {}
        }
    }
}

/// What only a build with the key log says is no place to crash at: a seed stands for the same run in every build.
const fn is_key_log(output: &Output) -> bool {
    match output {
        #[cfg(feature = "key-log")]
        Output::Key(_) => true,
        _ => false,
    }
}
