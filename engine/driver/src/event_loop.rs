//! One loop per process: gives a machine its world, as the contract of [`duohuo_core::io`] says.

use crate::acts::{self, Acts};
use crate::board::Notes;
use crate::clock::{self, Alarm};
use crate::config::RosterSource;
use crate::control::{Control, ControlSettings, Request};
use crate::error::DriverError;
use crate::hooks::words::{self, Answer};
use crate::hooks::{Charge, Hooks};
use crate::live::Live;
use crate::net::{FIRST_STREAM, Net, NetCounters};
use crate::signalled::{Keeping, Place};
use crate::signals::{Order, Orders};
use crate::store::{Completion, OpenStore, Store};
use crate::vip::{Vip, VipSettings};
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Machine, Output};
use duohuo_core::outside::Report;
use duohuo_core::{Duration, Instant};
use duohuo_wire::sign::SigningKey;
use mio::{Events, Poll, Token, Waker};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

const ALARM: Token = Token(3);
const STORE: Token = Token(4);
const SIGNALS: Token = Token(5);
const KEEPER: Token = Token(6);
const WORDS: Token = Token(7);
const CONTROL: Token = Token(8);
const VIP: Token = Token(9);

/// How long an orderly stop may take: the last batches to disk, the last bytes to the peers.
const STOP_DEADLINE: Duration = Duration::from_secs(1);
/// So long, in one turn of the loop, is handled what came by streams, and then initiations of handshakes; at least one of each.
const STREAMS_BUDGET: Duration = Duration::from_millis(2);
const INITIATIONS_BUDGET: Duration = Duration::from_millis(1);
/// Between two log lines about what was counted.
const COUNTERS_INTERVAL: Duration = Duration::from_secs(60);

/// Everything around a machine.
#[derive(Debug)]
pub struct World {
    poll: Poll,
    alarm: Alarm,
    net: Net,
    store: Store,
    orders: Orders,
    roster: RosterSource,
    drill_allowed: bool,
    #[cfg(feature = "key-log")]
    key_log: Option<crate::key_log::KeyLogFile>,
    wrong_results: bool,
    /// An operator's programs, and what they run.
    hooks: Option<Hooks>,
    /// Where an operator on this machine speaks to it.
    control: Option<Control>,
    /// What signals do is kept.
    keeping: Option<Keeping>,
    /// Who holds a virtual address asks here.
    vip: Option<Vip>,
    /// Told to stop, and the machine has not said yet that it is done.
    is_leaving: bool,
    /// Set by an order to stop or by the machine's own exit.
    stop_at: Option<Instant>,
    exit: Option<Exit>,
    logged: NetCounters,
    log_at: Instant,
    /// For those who only look.
    notes: Option<Notes>,
    /// What the machine is to be told of what it wanted.
    reports: Vec<Report>,
    /// What of the configuration can change while the process runs.
    live: Option<Live>,
}

/// Why a loop ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// By order of the operator.
    Stopped,
    /// The machine cannot go on; the log says why.
    Failed,
}

impl World {
    /// Bind the sockets, start the store's thread, take over the signals.
    ///
    /// # Errors
    /// See [`DriverError`].
    pub fn new(
        local: SocketAddr,
        group: Option<SocketAddr>,
        store: OpenStore,
        roster: RosterSource,
        drill_allowed: bool,
    ) -> Result<Self, DriverError> {
        let poll = Poll::new().map_err(|e| DriverError::system("epoll_create", e))?;
        let registry = poll.registry();
        let net = Net::bind(registry, local, group)?;
        let waker = Arc::new(Waker::new(registry, STORE).map_err(|e| DriverError::system("eventfd", e))?);
        let store = store.start(waker)?;
        let alarm = Alarm::new(registry, ALARM)?;
        let orders = Orders::listen(registry, SIGNALS)?;
        Ok(Self {
            alarm,
            net,
            store,
            orders,
            roster,
            drill_allowed,
            #[cfg(feature = "key-log")]
            key_log: None,
            wrong_results: false,
            hooks: None,
            control: None,
            keeping: None,
            vip: None,
            is_leaving: false,
            stop_at: None,
            exit: None,
            logged: NetCounters::default(),
            log_at: clock::now() + COUNTERS_INTERVAL,
            notes: None,
            reports: Vec::new(),
            live: None,
            poll,
        })
    }

    /// Run an operator's programs as the machine says.
    ///
    /// # Errors
    /// Their keeper, or their socket, cannot be made.
    pub fn with_hooks(self, charge: Option<Charge>) -> Result<Self, DriverError> {
        let hooks =
            charge.map(|charge| Hooks::start(self.poll.registry(), KEEPER, WORDS, charge)).transpose()?;
        Ok(Self { hooks, ..self })
    }

    /// Listen to an operator on this machine, and keep what he asks, by a socket or by signals.
    ///
    /// # Errors
    /// The socket cannot be made, or what is kept for it is damaged.
    pub fn with_control(
        self,
        settings: Option<ControlSettings>,
        store: &Path,
        key: &SigningKey,
    ) -> Result<Self, DriverError> {
        let (control, place) = match settings {
            None => (None, Place::beside(store, key)),
            Some(settings) => {
                let path = acts::path_beside(store);
                let acts = Acts::open(&path, key.clone()).map_err(|e| {
                    DriverError::system("the file of acts beside the store (control.socket)", e)
                })?;
                let acts = Arc::new(acts);
                let control = Control::listen(self.poll.registry(), CONTROL, settings, Arc::clone(&acts))?;
                (Some(control), Place::Open(acts))
            }
        };
        let keeping = Keeping::start(place).map_err(|e| DriverError::system("a thread for acts", e))?;
        Ok(Self { control, keeping: Some(keeping), ..self })
    }

    /// Lend the lease to who holds a virtual address.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn with_vip(self, settings: Option<&VipSettings>) -> Result<Self, DriverError> {
        let listen = |settings| Vip::listen(self.poll.registry(), VIP, settings);
        let vip = settings.map(listen).transpose()?;
        Ok(Self { vip, ..self })
    }

    /// Write the keys of all sessions to a file.
    ///
    /// # Errors
    /// It cannot be opened.
    #[cfg(feature = "key-log")]
    pub fn with_key_log(self, path: Option<&Path>) -> Result<Self, DriverError> {
        let key_log = path.map(crate::key_log::KeyLogFile::open).transpose()?;
        Ok(Self { key_log, ..self })
    }

    /// Show what happens to those who only look.
    #[must_use]
    pub fn with_notes(self, notes: Option<Notes>) -> Self {
        Self { notes, ..self }
    }

    /// Read the configuration again when told to reload.
    #[must_use]
    pub fn with_live(self, live: Option<Live>) -> Self {
        Self { live, ..self }
    }

    /// Be the world of `machine` until it is told to stop or cannot go on.
    ///
    /// # Errors
    /// The kernel refuses to wait for events; nothing a network can cause.
    pub fn run(mut self, machine: &mut dyn Machine) -> Result<Exit, DriverError> {
        let mut events = Events::with_capacity(256);
        // a machine speaks first when it is told the time
        self.give(machine, Input::Tick);
        loop {
            let due = machine.poll_timeout();
            self.wait(machine, &mut events)?;
            if let Some(notes) = &mut self.notes {
                notes.turn(clock::now(), due);
            }
            self.take_events(machine, &events);
            self.net.read();
            while let Some(datagram) = self.net.next_datagram() {
                if let (Some(notes), Input::Datagram { from, group: true, .. }) = (&mut self.notes, &datagram)
                {
                    notes.group_datagram(clock::now(), *from);
                }
                self.give(machine, datagram);
            }
            self.take_some(machine, STREAMS_BUDGET, Net::next_input);
            self.take_some(machine, INITIATIONS_BUDGET, Net::next_initiation);
            let now = clock::now();
            if machine.poll_timeout().is_some_and(|at| at <= now) {
                self.give(machine, Input::Tick);
            }
            self.net.expire(now);
            self.run_hooks(machine, now);
            self.run_vip(machine, now);
            self.log_counters(now);
            if let Some(notes) = &mut self.notes {
                notes.show(now, self.net.counters(), machine);
            }
            if let Some(exit) = self.is_over(now) {
                if let Some(keeping) = self.keeping.take() {
                    keeping.finish(STOP_DEADLINE);
                }
                return Ok(exit);
            }
        }
    }

    /// What can be dear gets so much of a turn; then it is looked anew what is due and who says that he is there (B-BND-2).
    fn take_some(
        &mut self,
        machine: &mut dyn Machine,
        budget: Duration,
        next: fn(&mut Net) -> Option<Input>,
    ) {
        let until = clock::now() + budget;
        while let Some(input) = next(&mut self.net) {
            self.give(machine, input);
            if clock::now() >= until {
                return;
            }
        }
    }

    fn wait(&mut self, machine: &dyn Machine, events: &mut Events) -> Result<(), DriverError> {
        let show_at = self.notes.as_ref().map(Notes::poll_timeout);
        let hooks_at = self.hooks.as_ref().and_then(Hooks::poll_timeout);
        let vip_at = self.vip.as_ref().and_then(Vip::poll_timeout);
        let due = [machine.poll_timeout(), self.net.poll_timeout(), self.stop_at, show_at, hooks_at, vip_at];
        let due = due.into_iter().flatten().min();
        let at_once = self.net.is_busy() || due.is_some_and(|at| at <= clock::now());
        if !at_once {
            self.alarm.set(due)?;
        }
        match self.poll.poll(events, at_once.then_some(std::time::Duration::ZERO)) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {
                // nothing came
                events.clear();
                Ok(())
            }
            Err(e) => Err(DriverError::system("epoll_wait", e)),
        }
    }

    fn take_events(&mut self, machine: &mut dyn Machine, events: &Events) {
        for event in events {
            match event.token() {
                ALARM => self.alarm.rang(),
                STORE => self.take_completions(machine),
                SIGNALS => self.take_orders(machine),
                KEEPER => self.take_reports(machine),
                WORDS => self.take_words(machine),
                CONTROL => self.take_controls(machine),
                VIP => self.run_vip(machine, clock::now()),
                token => self.net.ready(token, token.0 >= FIRST_STREAM && event.is_writable()),
            }
        }
    }

    fn take_completions(&mut self, machine: &mut dyn Machine) {
        while let Some(done) = self.store.completion() {
            let input = match done {
                Completion::Persisted { token } => Input::Persisted { token },
                Completion::Failed => Input::PersistFailed,
                Completion::Blocks { token, blocks } => Input::BlocksRead { token, blocks },
                Completion::Chunk { token, chunk } => Input::ChunkRead { token, chunk },
            };
            self.give(machine, input);
        }
    }

    fn take_reports(&mut self, machine: &mut dyn Machine) {
        let reports = self.hooks.as_mut().map(Hooks::reports).unwrap_or_default();
        for report in reports {
            self.give(machine, Input::Outside(report));
        }
    }

    fn take_words(&mut self, machine: &mut dyn Machine) {
        while let Some(report) = self.hooks.as_mut().and_then(|hooks| hooks.next_word(machine, clock::now()))
        {
            self.give(machine, Input::Outside(report));
        }
    }

    /// A keeper that was lost is started again; one that is lost again and again ends this node.
    fn run_hooks(&mut self, machine: &mut dyn Machine, now: Instant) {
        let Some(hooks) = &mut self.hooks else { return };
        let is_lost = hooks.run(now);
        if let Some(notes) = &mut self.notes {
            hooks.show(notes.hooks());
        }
        if hooks.is_given_up() && self.stop_at.is_none() {
            self.exit.get_or_insert(Exit::Failed);
            self.stop_at = Some(now + STOP_DEADLINE);
        }
        if is_lost {
            self.give(machine, Input::Outside(Report::Restarted));
        }
    }

    fn run_vip(&mut self, machine: &mut dyn Machine, now: Instant) {
        let report = self.vip.as_mut().and_then(|vip| vip.run(machine, now));
        self.reports.extend(report);
        while let Some(report) = self.reports.pop() {
            self.give(machine, Input::Outside(report));
        }
    }

    fn take_orders(&mut self, machine: &mut dyn Machine) {
        for (order, mut signalled) in self.orders.pending() {
            let is_an_act = match order {
                Order::Stop => self.exit.is_none(),
                Order::Reload => true,
                Order::ToggleWrongResults => self.drill_allowed,
            };
            if order == Order::ToggleWrongResults {
                signalled.what = if self.wrong_results { "wrong_results off" } else { "wrong_results on" };
            }
            if let Some(keeping) = self.keeping.as_ref().filter(|_| is_an_act) {
                let (user, process) = (signalled.caller.user, signalled.caller.process);
                tracing::info!(user, process, why = ?signalled.why, "signal: {}", signalled.what);
                keeping.keep(signalled);
            }
            self.obey(machine, order);
        }
    }

    /// What an operator on this machine says; who and why is in the log already.
    fn take_controls(&mut self, machine: &mut dyn Machine) {
        while let Some(asked) = self.control.as_ref().and_then(Control::next) {
            let answer = match &asked.request {
                Request::State {} => {
                    let hooks = self.hooks.as_ref().and_then(Hooks::lease);
                    let lease = hooks.or(self.vip.as_ref().and_then(Vip::lease));
                    words::state(machine, lease, clock::now())
                }
                Request::Reload { .. } if !self.reload(machine) => Answer::refusal(
                    "refused",
                    "the files cannot be used, and nothing changed; the log says why",
                ),
                Request::WrongResults { on, .. } if *on == self.wrong_results => {
                    Answer::refusal("unchanged", "it is so already")
                }
                Request::WrongResults { .. } if !self.drill_allowed => Answer::refusal(
                    "refused",
                    "drills are not allowed here; set `allow = true` in [drill] of the configuration to hold one",
                ),
                Request::Reload { .. } => Answer::done(),
                Request::WrongResults { .. } => {
                    self.obey(machine, Order::ToggleWrongResults);
                    Answer::done()
                }
                Request::Stop { .. } => {
                    self.obey(machine, Order::Stop);
                    Answer::done()
                }
            };
            // an error: whoever asked is gone
            let _ = asked.reply.try_send(answer);
        }
    }

    fn obey(&mut self, machine: &mut dyn Machine, order: Order) {
        match order {
            Order::Stop => {
                tracing::info!("told to stop");
                self.exit.get_or_insert(Exit::Stopped);
                // what acts is ended first
                let hooks = self.hooks.as_ref().map(Hooks::margin);
                let margin = hooks.or(self.vip.as_ref().map(Vip::margin)).unwrap_or_default();
                self.stop_at.get_or_insert(clock::now() + margin + STOP_DEADLINE);
                self.is_leaving = self.hooks.is_some() || self.vip.is_some();
                self.give(machine, Input::Shutdown);
            }
            Order::Reload => {
                self.reload(machine);
            }
            Order::ToggleWrongResults if self.drill_allowed => {
                self.wrong_results = !self.wrong_results;
                tracing::warn!(on = self.wrong_results, "drill: wrong results");
                self.give(machine, Input::WrongResults(self.wrong_results));
            }
            Order::ToggleWrongResults => {
                tracing::warn!(
                    "SIGUSR1 ignored: drills are not allowed here; set `allow = true` in [drill] of the configuration to hold one"
                );
            }
        }
    }

    /// The configuration, then the roster. Whether both could be used.
    fn reload(&mut self, machine: &mut dyn Machine) -> bool {
        let mut is_taken = true;
        if let Some(live) = &mut self.live {
            let taken = live.reload();
            is_taken = taken.is_some();
            if let Some(allow) = taken.as_ref().and_then(|t| t.drill_allowed) {
                self.drill_allowed = allow;
            }
            if let Some(count) = taken.as_ref().and_then(|t| t.keep_blocks) {
                self.give(machine, Input::KeepBlocks(count));
            }
            if let Some(notes) = &mut self.notes {
                notes.reloaded(clock::now(), taken.is_some());
            }
        }
        match self.roster.reload() {
            Ok(roster) => {
                self.give(machine, Input::Roster(Box::new(roster)));
                is_taken
            }
            // told to read the configuration, as often as not
            Err(e) if e.key == "version" => {
                tracing::info!("{e}; the roster in force stays");
                is_taken
            }
            Err(e) => {
                tracing::error!("{e}; the roster in force stays");
                false
            }
        }
    }

    /// One input, and all that follows from it.
    fn give(&mut self, machine: &mut dyn Machine, input: Input) {
        machine.handle(clock::now(), input);
        while let Some(output) = machine.poll_output() {
            self.carry_out(output);
        }
        self.store.flush();
        self.net.flush();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Datagram { to, bytes } => self.net.send(to, &bytes),
            Output::Dial { stream, to } => self.net.dial(stream, to),
            Output::StreamBytes { stream, bytes } => self.net.write(stream, bytes),
            Output::CloseStream { stream } => self.net.close(stream, clock::now()),
            Output::Persist { token, writes } => self.store.persist(token, writes),
            Output::ReadBlocks { token, from, max_bytes } => self.store.read(token, from, max_bytes),
            Output::Act { .. }
            | Output::StopActing
            | Output::Cover { .. }
            | Output::Follow { .. }
            | Output::Answer { .. } => {
                if let Some(hooks) = &mut self.hooks {
                    hooks.carry_out(&output);
                }
                let report = self.vip.as_mut().and_then(|vip| vip.carry_out(&output));
                self.reports.extend(report);
            }
            Output::ReadChunk { token, key } => self.store.read_chunk(token, key),
            Output::Event(event) => {
                log_event(&event);
                if let Some(notes) = &mut self.notes {
                    notes.event(clock::now(), event);
                }
            }
            #[cfg(feature = "key-log")]
            Output::Key(entry) => {
                if let Some(key_log) = &mut self.key_log {
                    key_log.write(&entry);
                }
            }
            Output::Exit => {
                self.is_leaving = false;
                self.exit.get_or_insert(Exit::Failed);
                self.stop_at.get_or_insert(clock::now() + STOP_DEADLINE);
            }
        }
    }

    fn is_over(&mut self, now: Instant) -> Option<Exit> {
        let stop_at = self.stop_at?;
        let done = self.store.is_idle() && self.net.is_flushed() && !self.net.is_busy() && !self.is_leaving;
        if done || now >= stop_at { self.exit } else { None }
    }

    /// What the network does to us is counted, and told at most once a minute.
    fn log_counters(&mut self, now: Instant) {
        let counters = self.net.counters();
        if now < self.log_at || counters == self.logged {
            return;
        }
        self.logged = counters;
        self.log_at = now + COUNTERS_INTERVAL;
        tracing::warn!(
            datagrams_unsent = counters.datagrams_unsent,
            initiations_over = counters.initiations_over,
            accepts_refused = counters.accepts_refused,
            queues_over = counters.queues_over,
            "network: since the start"
        );
    }
}

/// Run a machine in its world, and name the store in what goes wrong.
///
/// # Errors
/// See [`World::run`].
pub fn run(machine: &mut dyn Machine, world: World, store: &Path) -> Result<Exit, DriverError> {
    let exit = world.run(machine)?;
    match exit {
        Exit::Stopped => tracing::info!("stopped"),
        Exit::Failed => {
            tracing::error!(store = %store.display(), "the machine cannot go on: see the event before this line")
        }
    }
    Ok(exit)
}

fn log_event(event: &Event) {
    if !event.is_frequent() {
        let name = event.name();
        match event {
            Event::StoreFailed | Event::Halted { .. } | Event::Alarm { .. } | Event::Overdue { .. } => {
                tracing::error!(?event, "{name}")
            }
            Event::Equivocated { node, word } => {
                // Both lines together are the evidence: all that was signed, but for the consortium.
                let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                tracing::warn!(
                    cluster = word.cluster.0,
                    node = node.0,
                    epoch = word.epoch.0,
                    height = word.height.0,
                    round = word.round,
                    kind = ?word.kind,
                    value = word.value.map_or("nil".to_owned(), |value| hex(&value)),
                    signature = hex(&word.signature),
                    "{name}"
                );
            }
            Event::Dead { .. }
            | Event::ForcedSwitch { .. }
            | Event::ConsensusErrorReported { .. }
            | Event::Unstable { .. }
            | Event::Offended { .. }
            | Event::Ordered { .. }
            | Event::Fenced { .. } => {
                tracing::warn!(?event, "{name}");
            }
            Event::AuthorityReachable { up: false } => tracing::warn!(
                up = false,
                "{name}: no stream to the authority: is it started there, and do its TCP and UDP pass? The chain goes on without \
                 it; nobody is registered, granted or added to an in-sync set"
            ),
            Event::NoCommonVersion { party, theirs, ours } => tracing::warn!(
                party = party.0,
                %theirs,
                %ours,
                "{name}: no version of the wire that both speak, so there is no session; upgrade the older program, or \
                 widen [wire] of this process (W-VER-2)"
            ),
            _ => tracing::info!(?event, "{name}"),
        }
    }
}
