//! The authority of the model: the production [`Table`] over a log of production [`Command`]s.

use crate::members::{Members, id, index};
use crate::mutant::Mutant;
use duohuo_core::authority::table::{At, Command, Table};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::order::{OrderKind, SignedOrder};
use std::sync::Arc;

const CLUSTER: ClusterId = ClusterId(1);
/// The others, so that one cluster may be forced.
const OTHERS: [ClusterId; 3] = [ClusterId(2), ClusterId(3), ClusterId(4)];
/// Distinct reporters that bar a master without proof: f + 1 of four clusters.
const THRESHOLD: u8 = 2;

/// A row as it is told: what the nodes act upon.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// Epoch.
    pub epoch: u8,
    /// Version.
    pub version: u8,
    /// Master.
    pub master: u8,
    /// In-sync set.
    pub in_sync: Members,
    /// Barred nodes.
    pub barred: Members,
    /// Its master was forced, or follows one that was, and no fence stands yet.
    pub unfenced: bool,
}

impl Row {
    const fn at(self) -> At {
        At { epoch: Epoch(self.epoch as u64), version: Version(self.version as u64) }
    }
}

/// The log of commands and the table that it gives.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Decided {
    commands: Vec<Command>,
    table: Table,
}

impl Decided {
    fn after(&self, command: Command) -> Option<Self> {
        let mut next = self.clone();
        next.table.apply(&command).ok()?;
        next.commands.push(command);
        Some(next)
    }

    fn row(&self) -> Row {
        let row = &self.table.entry(CLUSTER).expect("the cluster is registered at the start").row;
        let small = |n: u64| u8::try_from(n).expect("bounded explorations stay small");
        Row {
            epoch: small(row.epoch.0),
            version: small(row.version.0),
            master: index(row.master),
            in_sync: Members::of(&row.in_sync),
            barred: Members::of(&row.barred),
            unfenced: row.unfenced,
        }
    }

    /// The same, as if the master had put up a fence.
    fn fenced(&self) -> Self {
        let at = self.row().at();
        self.after(Command::Fenced { cluster: CLUSTER, at, height: Height(0) }).expect("an unfenced row")
    }

    /// The same history, as if nobody had been barred since the last grant.
    fn without_bars(&self) -> Self {
        let mut table = Table::default();
        let commands: Vec<Command> =
            self.commands.iter().filter(|c| !matches!(c, Command::Bar { .. })).cloned().collect();
        for command in &commands {
            table.apply(command).expect("a barred master changes nothing, so a bar is the last command");
        }
        Self { commands, table }
    }
}

/// The authority. Its disk is the same as its memory but under [`Mutant::AuthorityForgets`]: a decision is durable
/// before it is told, so a crash between the two is as if it had not been taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    memory: Arc<Decided>,
    disk: Arc<Decided>,
    /// Reports counted against the present master: soft.
    reports: u8,
}

impl Authority {
    /// After the first `nodes` nodes of a cluster were registered and added; node 0 is master.
    ///
    /// # Panics
    /// Never: the commands follow from each other.
    #[must_use]
    pub fn new(nodes: u8) -> Self {
        let mut decided = Decided { commands: Vec::new(), table: Table::default() };
        decided =
            decided.after(Command::Register { cluster: CLUSTER, node: id(0) }).expect("the first command");
        for node in 1..nodes {
            let at = decided.row().at();
            decided =
                decided.after(Command::Add { cluster: CLUSTER, at, node: id(node) }).expect("a node more");
        }
        for cluster in OTHERS {
            decided = decided.after(Command::Register { cluster, node: id(0) }).expect("another cluster");
        }
        let decided = Arc::new(decided);
        Self { memory: Arc::clone(&decided), disk: decided, reports: 0 }
    }

    /// The row now.
    #[must_use]
    pub fn row(&self) -> Row {
        self.memory.row()
    }

    /// What a crash would bring back.
    #[must_use]
    pub fn row_on_disk(&self) -> Row {
        self.disk.row()
    }

    /// Reports counted.
    #[must_use]
    pub const fn reports(&self) -> u8 {
        self.reports
    }

    /// A claim by a node that knows the row `known` and hears `alive`. The incumbent may be silent at any moment, so
    /// whether it is asked makes no difference here. The new row; `None`: refused, nothing changed.
    pub fn claim(&mut self, claimant: u8, known: Row, alive: Members, mutant: Option<Mutant>) -> Option<Row> {
        let row = self.row();
        let at = compared(known, row, mutant);
        let mut base = Arc::clone(&self.memory);
        let mut at = at;
        if mutant == Some(Mutant::BarredGranted) && at == row.at() && row.barred.has(claimant) {
            base = Arc::new(base.without_bars());
            at = base.row().at();
        }
        if mutant == Some(Mutant::GrantOutside) && at == row.at() && !row.in_sync.has(claimant) {
            base = Arc::new(base.after(Command::Add { cluster: CLUSTER, at, node: id(claimant) })?);
            at = base.row().at();
        }
        let now = base.row();
        let in_sync = now.in_sync.and(alive).minus(now.barred).with(claimant).ids();
        let mut next = base.after(Command::Grant { cluster: CLUSTER, at, node: id(claimant), in_sync })?;
        if mutant == Some(Mutant::DutyNotInherited) && next.row().unfenced {
            next = next.fenced();
        }
        self.reports = 0;
        Some(self.decide(next, mutant))
    }

    /// A request of `from`, master as of the row `known`, to add or remove a node.
    pub fn change(
        &mut self,
        from: u8,
        known: Row,
        add: bool,
        node: u8,
        mutant: Option<Mutant>,
    ) -> Option<Row> {
        let row = self.row();
        if row.master != from {
            return None;
        }
        let (cluster, at, node) = (CLUSTER, compared(known, row, mutant), id(node));
        let command =
            if add { Command::Add { cluster, at, node } } else { Command::Remove { cluster, at, node } };
        let next = self.memory.after(command)?;
        Some(self.decide(next, mutant))
    }

    /// An operator, who saw nobody of the set, forces a start with a node outside. The authority may still hear some of it, or
    /// think so: its question (B-ORD-7) makes accidents rarer, and nothing rests on it.
    pub fn forced(&mut self, node: u8) -> Option<Row> {
        let at = self.row().at();
        let order = SignedOrder {
            consortium: [0; 16],
            number: self.memory.table.orders() + 1,
            kind: OrderKind::Force,
            cluster: CLUSTER,
            node: id(node),
            epoch: Epoch(0),
            expires: u64::MAX,
            who: String::new(),
            why: String::new(),
            signature: [0; 64],
        };
        let (order, node, in_sync, height) = (Box::new(order), id(node), Vec::<NodeId>::new(), Height(0));
        let next = self.memory.after(Command::Order { order, at, node, in_sync, height })?;
        self.reports = 0;
        Some(self.decide(next, None))
    }

    /// The master of the row `known` says that its fence stands.
    pub fn fenced(&mut self, from: u8, known: Row, mutant: Option<Mutant>) -> Option<Row> {
        let row = self.row();
        if row.master != from {
            return None;
        }
        let at = compared(known, row, mutant);
        let next = self.memory.after(Command::Fenced { cluster: CLUSTER, at, height: Height(0) })?;
        Some(self.decide(next, mutant))
    }

    /// Enough clusters accuse the master: it is barred, if another is left.
    pub fn accused(&mut self, mutant: Option<Mutant>) -> Option<Row> {
        let (height, hash) = (Height(0), [0; 32]);
        let at = self.row().at();
        let next = self.memory.after(Command::Bar { cluster: CLUSTER, at, height, hash })?;
        self.reports = 0;
        Some(self.decide(next, mutant))
    }

    /// A report of the one cluster that lies, sent once or repeated. `Some`: it brought about a bar.
    pub fn slandered(&mut self, mutant: Option<Mutant>) -> Option<Row> {
        self.reports = if mutant == Some(Mutant::ReportsPerPacket) { self.reports + 1 } else { 1 };
        if self.reports < THRESHOLD { None } else { self.accused(mutant) }
    }

    /// Crash and restart.
    pub fn crash(&mut self) {
        self.memory = Arc::clone(&self.disk);
        self.reports = 0;
    }

    fn decide(&mut self, next: Decided, mutant: Option<Mutant>) -> Row {
        let before = core::mem::replace(&mut self.memory, Arc::new(next));
        let forgets = mutant == Some(Mutant::AuthorityForgets);
        self.disk = if forgets { before } else { Arc::clone(&self.memory) };
        self.row()
    }
}

/// What the table compares a request by.
fn compared(known: Row, row: Row, mutant: Option<Mutant>) -> At {
    if mutant == Some(Mutant::NoVersions) && known.epoch == row.epoch { row.at() } else { known.at() }
}
