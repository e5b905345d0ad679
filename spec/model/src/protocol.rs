//! The protocol as steps, each of which may happen whenever its guard allows it.

use crate::authority::{Authority, Row};
use crate::bounds::Bounds;
use crate::members::Members;
use crate::mutant::Mutant;
use crate::rules;
use crate::state::{Breach, Log, Node, Outside, Record, Request, Role, State};
use stateright::{Model, Property};
use std::sync::Arc;

/// The model.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How far it is explored.
    pub bounds: Bounds,
    /// The rule that is broken, if any.
    pub mutant: Option<Mutant>,
}

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A master signs a word: into its log, and to everybody at once.
    Append {
        /// Master.
        node: u8,
        /// What it says.
        value: u8,
    },
    /// A node's disk has all that its memory has.
    Persist {
        /// Who.
        node: u8,
    },
    /// A node that may soon be granted an epoch, or follow one, notes it; the note is durable.
    Note {
        /// Who.
        node: u8,
        /// Which epoch.
        epoch: u8,
    },
    /// The authority tells a restarted node its row of now.
    Fresh {
        /// Whom.
        node: u8,
    },
    /// A master's log arrives; the node writes, then acknowledges.
    Follow {
        /// Receiver.
        node: u8,
        /// The master's epoch.
        epoch: u8,
        /// Its log at the time of sending.
        log: Log,
    },
    /// A word leaves the cluster.
    Release {
        /// Master.
        node: u8,
        /// The slot signed.
        slot: u8,
    },
    /// A master asks for a change of the set.
    Ask {
        /// Master.
        node: u8,
        /// Addition or removal.
        add: bool,
        /// Of whom.
        subject: u8,
    },
    /// Such a request arrives at the authority, for the first time or again.
    Change(Request),
    /// A claim arrives at the authority. Any node may suspect at any moment and claim by any row that was ever told,
    /// so the claims under way are a function of the rows and need no place in the state.
    Claim {
        /// Claimant.
        node: u8,
        /// The row it goes by.
        known: Row,
        /// Whom it hears.
        alive: Members,
    },
    /// A row arrives.
    Learn {
        /// Receiver.
        node: u8,
        /// The row.
        row: Row,
    },
    /// A node crashes and restarts.
    Crash {
        /// Who.
        node: u8,
    },
    /// The authority crashes and restarts.
    CrashAuthority,
    /// The master errs, and enough honest clusters report it.
    Accuse,
    /// The one cluster that lies reports the master, or its report arrives again.
    Slander,
    /// An operator forces a start.
    Force {
        /// With whom.
        node: u8,
    },
    /// The other clusters answer a forced master, and its log is closed.
    Fence {
        /// The forced master.
        node: u8,
    },
    /// The news that a fence stands arrives at the authority, for the first time or again.
    Fenced {
        /// Whose fence.
        node: u8,
        /// In which epoch.
        epoch: u8,
        /// By which version of the row.
        version: u8,
    },
    /// The other clusters count a word.
    Count {
        /// The slot signed.
        slot: u8,
        /// The epoch it was sent in.
        epoch: u8,
        /// The word.
        record: Record,
    },
}

impl Protocol {
    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Node 0 is master of epoch 1, everybody is in sync, no word was said.
    #[must_use]
    pub fn start(&self) -> State {
        let size = self.bounds.nodes;
        let authority = Authority::new(size);
        let row = authority.row();
        let mut state = State {
            rows: Arc::new(vec![row]),
            authority,
            nodes: Default::default(),
            size,
            requests: Arc::default(),
            logs: Arc::default(),
            acknowledged: Default::default(),
            released: Default::default(),
            breach: None,
            wrong: Members::default(),
            outside: Outside::default(),
        };
        for node in 0..size {
            let of = &mut state.nodes[usize::from(node)];
            (of.memory.promised, of.memory.synced) = (1, 1);
            of.disk = of.memory;
            if node != 0 {
                state.acknowledge(1, node, 0);
            }
        }
        self.lead(&mut state, 0, row);
        state
    }

    /// Carry out a step; `None`: its guard does not hold, or it changes nothing.
    #[must_use]
    pub fn step(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Append { node, value } => self.append(&mut state, node, value)?,
            Action::Persist { node } => self.persist(&mut state, node),
            Action::Note { node, epoch } => self.note(&mut state, node, epoch)?,
            Action::Fresh { node } => self.fresh(&mut state, node)?,
            Action::Follow { node, epoch, log } => self.follow(&mut state, node, epoch, log)?,
            Action::Release { node, slot } => self.release(&mut state, node, slot)?,
            Action::Ask { node, add, subject } => self.ask(&mut state, node, add, subject)?,
            Action::Change(request) => self.change(&mut state, request)?,
            Action::Claim { node, known, alive } => {
                let row = state.authority.claim(node, known, alive, self.mutant)?;
                state.tell(row);
            }
            Action::Learn { node, row } => self.learn(&mut state, node, row),
            Action::Crash { node } => {
                let of = &mut state.nodes[usize::from(node)];
                let doubt = if of.disk.noted > of.disk.promised { of.disk.noted } else { 0 };
                let doubt = if self.is(Mutant::NoteForgotten) { 0 } else { doubt };
                *of = Node { memory: of.disk, role: None, doubt, ..*of };
            }
            Action::CrashAuthority => state.authority.crash(),
            Action::Accuse => {
                let master = state.authority.row().master;
                let row = state.authority.accused(self.mutant)?;
                state.wrong = state.wrong.with(master);
                state.tell(row);
            }
            Action::Slander => {
                if let Some(row) = state.authority.slandered(self.mutant) {
                    state.tell(row);
                }
            }
            Action::Force { node } => {
                let row = state.authority.forced(node)?;
                state.outside.forces += 1;
                state.tell(row);
            }
            Action::Fence { node } => self.fence(&mut state, node)?,
            Action::Fenced { node, epoch, version } => {
                let known = Row { epoch, version, ..state.authority.row() };
                let row = state.authority.fenced(node, known, self.mutant)?;
                state.tell(row);
            }
            Action::Count { slot, epoch, record } => count(&mut state, slot, epoch, record)?,
        }
        (state != *before).then_some(state)
    }

    fn append(&self, state: &mut State, node: u8, value: u8) -> Option<()> {
        let of = &mut state.nodes[usize::from(node)];
        let role = of.role.filter(|role| self.may_act(role))?;
        let slot = of.memory.log.len();
        if slot >= self.bounds.slots {
            return None;
        }
        // Values have no meaning: the first one ever chosen for a slot may as well be called 0.
        if value > 0 && !state.logs.iter().any(|(_, log)| log.len() > slot) {
            return None;
        }
        of.memory.log.push(Record::new(role.epoch, value));
        let log = of.memory.log;
        state.send_log(role.epoch, log);
        Some(())
    }

    fn note(&self, state: &mut State, node: u8, epoch: u8) -> Option<()> {
        let of = &mut state.nodes[usize::from(node)];
        if epoch <= of.bound().max(of.memory.noted) {
            return None;
        }
        of.memory.noted = epoch;
        of.disk.noted = epoch;
        if !self.is(Mutant::NoteReplacesPromise) {
            of.disk.promised = of.memory.promised;
        }
        Some(())
    }

    /// What a node may have done under a noted epoch it did after the grant, so before its restart: if the authority has not granted
    /// the epoch now, nothing was done.
    fn fresh(&self, state: &mut State, node: u8) -> Option<()> {
        let granted = if self.is(Mutant::DoubtEndsByAnyRow) { 1 } else { state.authority.row().epoch };
        let of = &mut state.nodes[usize::from(node)];
        if of.doubt <= granted {
            return None;
        }
        of.doubt = 0;
        Some(())
    }

    fn follow(&self, state: &mut State, node: u8, epoch: u8, log: Log) -> Option<()> {
        let of = &mut state.nodes[usize::from(node)];
        let (promised, before) = (of.bound(), of.memory);
        let leads_it = of.role.is_some_and(|role| role.epoch == epoch);
        let allowed = rules::may_follow(epoch.into(), promised.into(), leads_it);
        if !(allowed || self.is(Mutant::AcknowledgeOldEpoch) && epoch < promised) {
            return None;
        }
        if of.memory.synced == epoch && self.is(Mutant::LateResyncOverwrites) {
            of.memory.log = log;
        } else if of.memory.synced >= epoch {
            of.memory.log.extend(&log);
        } else {
            // The first of an epoch: the common prefix stays, what differs or lies beyond is cut.
            of.memory.log = log;
            of.memory.synced = epoch;
        }
        if epoch > before.promised {
            of.memory.promised = epoch;
            of.role = None;
        }
        if epoch >= of.doubt {
            of.doubt = 0;
        }
        // What it has is what its master has, and the note stands for the promise: there is nothing to write.
        let is_same = before.log == of.memory.log && of.disk.log == of.memory.log;
        let needless = of.disk.noted == epoch && (is_same || self.is(Mutant::NoteForAnotherLog));
        if !needless && !self.is(Mutant::AcknowledgeBeforeDurable) {
            of.disk = of.memory;
        }
        let length = of.memory.log.len();
        state.acknowledge(epoch, node, length);
        Some(())
    }

    fn release(&self, state: &mut State, node: u8, slot: u8) -> Option<()> {
        let of = &state.nodes[usize::from(node)];
        let role = of.role.filter(|role| self.may_act(role))?;
        let own = if self.is(Mutant::ReleaseBeforeOwnDisk) { &of.memory } else { &of.disk }.log.len();
        let waited_for = role.waiting.or(role.adding);
        let acknowledged = |k: u8| u64::from(state.acknowledgement(role.epoch, k).unwrap_or(0));
        let allowed = if self.is(Mutant::ReleaseAlone) {
            rules::may_release(slot.into(), own.into(), [])
        } else if self.is(Mutant::ReleaseAfterMajority) {
            let yes = waited_for.iter().filter(|k| acknowledged(*k) > slot.into()).count();
            own > slot && (yes + 1) * 2 > waited_for.len() as usize + 1
        } else {
            rules::may_release(slot.into(), own.into(), waited_for.iter().map(acknowledged))
        };
        if !allowed {
            return None;
        }
        let record = of.memory.log.at(slot);
        if record == Record::CLOSED {
            return None;
        }
        if self.bounds.forces > 0 {
            // It counts when the others have it.
            if !state.send_word(slot, role.epoch, record) {
                return None;
            }
        } else {
            let first = &mut state.released[usize::from(slot)];
            state.breach = state.breach.or(said(first, record));
        }
        if let Some(role) = &mut state.nodes[usize::from(node)].role {
            role.exposed = role.exposed.max(slot + 1);
        }
        Some(())
    }

    fn ask(&self, state: &mut State, node: u8, add: bool, subject: u8) -> Option<()> {
        let of = &mut state.nodes[usize::from(node)];
        let role = of.role.as_mut().filter(|role| self.may_act(role))?;
        if subject == node || role.waiting.has(subject) == add {
            return None;
        }
        let (epoch, version) = (role.epoch, role.version);
        if add {
            let told = state.acknowledged[usize::from(epoch)][usize::from(subject)].checked_sub(1);
            let told = if self.is(Mutant::InheritedNotExposed) { told.or(Some(0)) } else { told };
            let acknowledged = told.map(u64::from);
            if !rules::may_ask_to_add(acknowledged, role.exposed.into())
                && !self.is(Mutant::GrowBeforeCaughtUp)
            {
                return None;
            }
            if !self.is(Mutant::GrowWithoutWaiting) {
                role.adding = role.adding.with(subject);
            }
        } else if self.is(Mutant::ShrinkBeforeConfirmed) {
            role.waiting = role.waiting.without(subject);
        }
        state.send_request(Request { from: node, epoch, version, add, node: subject });
        Some(())
    }

    fn change(&self, state: &mut State, request: Request) -> Option<()> {
        let Request { from, epoch, version, add, node } = request;
        let known = Row { epoch, version, ..state.authority.row() };
        let row = state.authority.change(from, known, add, node, self.mutant)?;
        state.tell(row);
        Some(())
    }

    fn learn(&self, state: &mut State, node: u8, row: Row) {
        let of = &mut state.nodes[usize::from(node)];
        let barred = row.barred.has(node);
        let stands = |role: &Role| role.fencing && role.epoch == row.epoch && !row.unfenced;
        if of.role.as_ref().is_some_and(stands) && !barred {
            self.lead(state, node, row);
            return;
        }
        if let Some(role) = &mut of.role {
            if row.epoch > role.epoch {
                of.role = None;
            } else if row.epoch == role.epoch && row.version > role.version {
                if barred {
                    of.role = None;
                } else {
                    role.version = row.version;
                    role.waiting = row.in_sync.without(node);
                    role.adding = Members::default();
                }
            }
        }
        let (promised, is_master) = (of.bound(), row.master == node);
        if rules::may_adopt(row.epoch.into(), promised.into(), is_master, barred) {
            (of.memory.promised, of.memory.synced) = (row.epoch, row.epoch);
            let log = of.memory.log;
            self.lead(state, node, row);
            if self.is(Mutant::GiveLogBeforePromise) {
                state.send_log(row.epoch, log);
            }
        } else if self.is(Mutant::RestartKeepsRole)
            && is_master
            && !barred
            && row.epoch == promised
            && of.role.is_none()
        {
            self.lead(state, node, row);
        }
    }

    /// The role, which is nothing to the world before the promise is durable.
    fn lead(&self, state: &mut State, node: u8, row: Row) {
        let of = &mut state.nodes[usize::from(node)];
        let log = of.memory.log;
        let exposed = if self.is(Mutant::InheritedNotExposed) { 0 } else { log.len() };
        let waiting = row.in_sync.without(node);
        let (epoch, version, adding) = (row.epoch, row.version, Members::default());
        let fencing = row.unfenced && !self.is(Mutant::NoFence);
        let noted = of.disk.noted == epoch || of.disk.noted > epoch && self.is(Mutant::ActByAnotherNote);
        let adopting = of.disk.promised < epoch && !noted;
        of.role = Some(Role { epoch, version, waiting, adding, exposed, fencing, adopting });
        if !fencing && !adopting {
            state.send_log(epoch, log);
        }
    }

    /// All that was written is durable. If the promise of a grant is among it the role begins, and the whole log goes to everybody.
    fn persist(&self, state: &mut State, node: u8) {
        let of = &mut state.nodes[usize::from(node)];
        of.disk = of.memory;
        if let Some(role) = &mut of.role
            && role.adopting
        {
            role.adopting = false;
            let (fencing, epoch, log) = (role.fencing, role.epoch, of.memory.log);
            if !fencing {
                state.send_log(epoch, log);
            }
        }
    }

    /// The gate is open, as far as the role goes.
    fn may_act(&self, role: &Role) -> bool {
        role.acts() || role.adopting && !role.fencing && self.is(Mutant::ActBeforePromise)
    }

    /// The others tell what they counted, and promise to count nothing of an older epoch. Up to there the log is closed, and
    /// up to the end of what it holds; that is durable before the authority is told.
    fn fence(&self, state: &mut State, node: u8) -> Option<()> {
        let role = state.nodes[usize::from(node)].role.filter(|role| role.fencing && !role.adopting)?;
        if role.epoch < state.outside.promised {
            return None;
        }
        if !self.is(Mutant::FenceWithoutPromise) {
            state.outside.promised = role.epoch;
        }
        let last = state.outside.counted.iter().rposition(|record| *record != Record::NONE);
        let counted = last.map_or(0, |slot| u8::try_from(slot + 1).unwrap_or(u8::MAX));
        let of = &mut state.nodes[usize::from(node)];
        of.memory.log = Log::closed(counted.max(of.memory.log.len()));
        if !self.is(Mutant::FenceNotInLog) {
            of.disk = of.memory;
        }
        state.tell_fenced(node, role.epoch, role.version);
        Some(())
    }

    /// Changes decided in an epoch so far; the first one began with a full set.
    fn changes(&self, epoch: u8, version: u8) -> u8 {
        if epoch == 1 { version - (self.bounds.nodes - 1) } else { version }
    }

    fn node_actions(&self, state: &State, node: u8, actions: &mut Vec<Action>) {
        let of = &state.nodes[usize::from(node)];
        if let Some(role) = of.role {
            actions.extend((0..self.bounds.values).map(|value| Action::Append { node, value }));
            actions.extend((0..of.memory.log.len()).map(|slot| Action::Release { node, slot }));
            if role.fencing {
                actions.push(Action::Fence { node });
            }
            if self.changes(role.epoch, role.version) < self.bounds.changes {
                for subject in 0..self.bounds.nodes {
                    actions.extend([true, false].map(|add| Action::Ask { node, add, subject }));
                }
            }
        }
        if of.memory != of.disk {
            actions.push(Action::Persist { node });
        }
        if of.memory != of.disk || of.role.is_some() || of.disk.noted > of.disk.promised && of.doubt == 0 {
            actions.push(Action::Crash { node });
        }
        if of.doubt > 0 {
            actions.push(Action::Fresh { node });
        }
        if self.bounds.notes {
            let epochs = 2..=(state.rows.last().map_or(0, |row| row.epoch) + 1).min(self.bounds.epochs);
            actions.extend(epochs.map(|epoch| Action::Note { node, epoch }));
        }
        actions.extend(state.logs.iter().map(|(epoch, log)| Action::Follow {
            node,
            epoch: *epoch,
            log: *log,
        }));
        if self.is(Mutant::LogPartByPart) {
            for (epoch, log) in state.logs.iter() {
                let part = |length| Action::Follow { node, epoch: *epoch, log: log.prefix(length) };
                actions.extend((0..log.len()).map(part));
            }
        }
        actions.extend(state.rows.iter().map(|row| Action::Learn { node, row: *row }));
    }

    fn authority_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let row = state.authority.row();
        if row.epoch < self.bounds.epochs {
            for node in 0..self.bounds.nodes {
                for known in state.rows.iter() {
                    let others = known.in_sync.minus(known.barred).without(node);
                    actions.extend(others.subsets().map(|alive| Action::Claim {
                        node,
                        known: *known,
                        alive,
                    }));
                }
            }
            if state.outside.forces < self.bounds.forces {
                actions.extend((0..self.bounds.nodes).map(|node| Action::Force { node }));
            }
        }
        let fenced = |(node, epoch, version): &(u8, u8, u8)| Action::Fenced {
            node: *node,
            epoch: *epoch,
            version: *version,
        };
        actions.extend(state.outside.fences.iter().map(fenced));
        let count = |(slot, epoch, record): &(u8, u8, Record)| Action::Count {
            slot: *slot,
            epoch: *epoch,
            record: *record,
        };
        actions.extend(state.outside.sent.iter().map(count));
        if self.changes(row.epoch, row.version) < self.bounds.changes {
            actions.extend(state.requests.iter().copied().map(Action::Change));
        }
        actions.push(Action::CrashAuthority);
        if self.bounds.bars {
            actions.extend([Action::Accuse, Action::Slander]);
        }
    }
}

/// The other clusters count a word, but for one of an epoch below their promise.
fn count(state: &mut State, slot: u8, epoch: u8, record: Record) -> Option<()> {
    if epoch < state.outside.promised {
        return None;
    }
    let breach = said(&mut state.outside.counted[usize::from(slot)], record);
    state.breach = state.breach.or(breach);
    Some(())
}

/// A word for a slot, after the first one.
fn said(first: &mut Record, record: Record) -> Option<Breach> {
    if *first == Record::NONE {
        *first = record;
    }
    if first.value() != record.value() {
        Some(Breach::Value)
    } else if *first != record {
        Some(Breach::Bytes)
    } else {
        None
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    /// A state in which agreement is broken is not explored further.
    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.breach.is_none() {
            self.authority_actions(state, actions);
            for node in 0..self.bounds.nodes {
                self.node_actions(state, node, actions);
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.step(state, action)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.messages() <= self.bounds.messages
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all(self)
    }
}
