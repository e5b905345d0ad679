//! Watches from outside: what every run must keep, whatever the machines believe.
//!
//! | checker | what it says |
//! |---|---|
//! | S1 | no two conflicting words of a cluster at one height, round and kind |
//! | S2 | a released word stands on the disk of every member of the in-sync set that the authority has on its disk |
//! | S3 | no lock is forgotten: after a precommit, another value only with a newer quorum of prevotes for it |
//! | S4 | one master per epoch, and epochs only grow |
//! | S5 | the same state at the same height, everywhere |
//! | S6 | no answered transfer lost or applied twice ([`crate::world::World::audit`]) |
//! | S7 | a barred node is granted nothing, and says nothing in a later epoch |
//! | S8 | nobody is barred who computed no wrong result |
//! | S9 | what is kept for the current height stays within its bound |
//! | S10 | after the faults stop, everything converges ([`crate::sim`]) |
//! | S11 | no more clusters compute wrong results, or lie, than the network promises to bear |

use crate::host::Disk;
use duohuo_core::Instant;
use duohuo_core::authority::table::{Command, Table as Rows};
use duohuo_core::chain::{VoteKind, VoteSeen};
use duohuo_core::event::Event;
use duohuo_core::io::{Table, Write};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::Role;
use std::collections::{BTreeMap, BTreeSet};

/// Which word of a cluster.
type Slot = (ClusterId, Height, u32, VoteKind);

/// Log records of one node at once: far above what the rounds of one height need.
const RECORDS: usize = 20_000;

/// The checkers' state.
#[derive(Default)]
pub struct Checker {
    words: BTreeMap<Slot, VoteSeen>,
    /// Who prevoted for a value: (height, round, value).
    prevotes: BTreeMap<(Height, u32, [u8; 32]), BTreeSet<ClusterId>>,
    /// The newest precommit of each cluster for a value.
    locks: BTreeMap<ClusterId, (Height, u32, [u8; 32])>,
    clusters: usize,
    committed: BTreeMap<Height, [u8; 32]>,
    wrongdoers: BTreeSet<NodeId>,
    /// Clusters that compute wrong results or lie at this time.
    faulty: BTreeSet<ClusterId>,
    grants: BTreeMap<(ClusterId, Epoch), NodeId>,
    barred: BTreeMap<NodeId, Epoch>,
    roles: BTreeMap<NodeId, Role>,
    /// The authority's table as its disk has it.
    rows: Rows,
    /// Everything that was told, but for votes and commits.
    pub log: Vec<(Instant, NodeId, Event)>,
    /// When each node released its first word in an epoch.
    pub first_words: BTreeMap<(ClusterId, Epoch), (Instant, NodeId)>,
    /// When each height was first committed, and where.
    pub commits: BTreeMap<Height, (Instant, NodeId)>,
    /// Rounds above 0 in which a cluster said something: how much of the consensus' recovery was seen.
    pub late_rounds: u64,
    /// What was broken; a run must end with none.
    pub broken: Vec<String>,
}

impl Checker {
    /// A checker of a chain of so many clusters.
    #[must_use]
    pub fn new(clusters: usize) -> Self {
        Self { clusters, ..Self::default() }
    }

    /// Faulty clusters that the chain bears: fewer than a third.
    #[must_use]
    pub const fn tolerated(&self) -> usize {
        self.clusters.saturating_sub(1) / 3
    }

    /// Results of this node are wrong on purpose: its state is not compared, and it may be barred.
    pub fn expect_wrong_results(&mut self, cluster: ClusterId, node: NodeId) {
        self.wrongdoers.insert(node);
        self.expect_lies(cluster);
    }

    /// This cluster may accuse others of what they did not do.
    pub fn expect_lies(&mut self, cluster: ClusterId) {
        self.faulty.insert(cluster);
        if self.clusters > 0 && self.faulty.len() > self.tolerated() {
            self.broken
                .push(format!("S11: {} faulty clusters at once: the scenario is wrong", self.faulty.len()));
        }
    }

    /// The cluster is honest again.
    pub fn is_honest(&mut self, cluster: ClusterId) {
        self.faulty.remove(&cluster);
    }

    /// Whether this node computes wrong results, or did.
    #[must_use]
    pub fn is_wrong(&self, node: NodeId) -> bool {
        self.wrongdoers.contains(&node)
    }

    /// Clusters that are faulty now.
    #[must_use]
    pub const fn faulty(&self) -> &BTreeSet<ClusterId> {
        &self.faulty
    }

    /// A node is gone: it has no role.
    pub fn killed(&mut self, node: NodeId) {
        self.roles.remove(&node);
    }

    /// The role a node told last.
    #[must_use]
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.roles.get(&node).copied()
    }

    /// Highest height committed anywhere.
    #[must_use]
    pub fn height(&self) -> Height {
        self.commits.keys().next_back().copied().unwrap_or_default()
    }

    /// The grants, in order of epochs.
    #[must_use]
    pub fn grants(&self) -> &BTreeMap<(ClusterId, Epoch), NodeId> {
        &self.grants
    }

    /// The authority's table as its disk has it.
    #[must_use]
    pub const fn rows(&self) -> &Rows {
        &self.rows
    }

    /// The authority starts from this disk.
    pub fn authority_started(&mut self, disk: &Disk) {
        self.rows = Rows::default();
        for (_, bytes) in disk.range((Table::Command, 0)..=(Table::Command, u64::MAX)) {
            self.command(bytes);
        }
    }

    /// These decisions of the authority are durable.
    pub fn decided(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Put { table: Table::Command, value, .. } = write {
                self.command(value);
            }
        }
    }

    fn command(&mut self, bytes: &bytes::Bytes) {
        let applied = Command::decode(bytes).map(|command| self.rows.apply(&command));
        if applied != Some(Ok(())) {
            self.broken.push(format!("S4: the authority wrote a decision that does not follow: {bytes:?}"));
        }
    }

    /// A word leaves a node, before [`Checker::event`] hears of it.
    pub fn released<'a>(
        &mut self,
        now: Instant,
        from: NodeId,
        vote: &VoteSeen,
        disks: impl Iterator<Item = (NodeId, &'a Disk)>,
    ) {
        let Some(entry) = self.rows.entry(vote.cluster) else { return };
        for (node, disk) in disks.filter(|(node, _)| entry.row.in_sync.contains(node)) {
            let last_block = disk.range((Table::Block, 0)..=(Table::Block, u64::MAX)).next_back();
            if last_block.is_some_and(|((_, height), _)| *height >= vote.height.0) {
                continue;
            }
            let mut records = disk.range((Table::Record, 0)..=(Table::Record, u64::MAX));
            if !records.any(|(_, record)| record.windows(64).any(|part| part == vote.signature)) {
                let said =
                    format!("{:?} of {} at {} round {}", vote.kind, vote.cluster, vote.height, vote.round);
                self.broken.push(format!(
                    "S2: {now}: {from} released {said}, and {node}, in sync, does not hold it"
                ));
            }
        }
    }

    /// What a disk holds now.
    pub fn disk(&mut self, now: Instant, node: NodeId, disk: &Disk) {
        let records = disk.range((Table::Record, 0)..=(Table::Record, u64::MAX)).count();
        if records > RECORDS {
            self.broken.push(format!("S9: {now}: {node} keeps {records} records"));
        }
    }

    /// One event of one machine.
    pub fn event(&mut self, now: Instant, from: NodeId, event: &Event) {
        match event {
            Event::Released(vote) => {
                self.first_words.entry((vote.cluster, vote.epoch)).or_insert((now, from));
                self.late_rounds += u64::from(vote.round > 0);
                if self.barred.get(&from).is_some_and(|epoch| vote.epoch > *epoch) {
                    self.broken.push(format!("S7: {now}: {from} is barred and speaks in {}", vote.epoch));
                }
                self.lock(now, vote);
                self.word(vote);
            }
            Event::Received(vote) => self.word(vote),
            Event::Committed { height, state_hash } => {
                self.commits.entry(*height).or_insert((now, from));
                if self.wrongdoers.contains(&from) {
                    return;
                }
                let agreed = *self.committed.entry(*height).or_insert(*state_hash);
                if agreed != *state_hash {
                    self.broken.push(format!("S5: {now}: {from} has another state at {height} than others"));
                }
            }
            Event::Granted { cluster, epoch, node } => {
                if let Some(before) = self.grants.insert((*cluster, *epoch), *node)
                    && before != *node
                {
                    self.broken
                        .push(format!("S4: {now}: {cluster} {epoch} granted to {before} and to {node}"));
                }
                let newest =
                    self.grants.range((*cluster, Epoch(0))..=(*cluster, Epoch(u64::MAX))).next_back();
                if newest.is_some_and(|((_, e), _)| e > epoch) {
                    self.broken.push(format!("S4: {now}: the epoch of {cluster} fell to {epoch}"));
                }
                if self.barred.contains_key(node) {
                    self.broken.push(format!("S7: {now}: {node} is barred and is granted {epoch}"));
                }
            }
            Event::ForcedSwitch { cluster, node, height } if from == NodeId::AUTHORITY => {
                let epoch = self.rows.entry(*cluster).map_or(Epoch(0), |entry| entry.row.epoch);
                self.barred.insert(*node, epoch);
                if !self.wrongdoers.contains(node) {
                    self.broken
                        .push(format!("S8: {now}: {node} is barred for {height}, and did nothing wrong"));
                }
            }
            Event::RoleChanged { role, .. } => {
                self.roles.insert(from, *role);
            }
            Event::Halted { reason } => self.broken.push(format!("R8: {now}: {from} halted: {reason:?}")),
            _ => {}
        }
        if !event.is_frequent() {
            self.log.push((now, from, *event));
        }
    }

    /// S1: one word per slot, and the same bytes whoever says it.
    fn word(&mut self, vote: &VoteSeen) {
        let slot = (vote.cluster, vote.height, vote.round, vote.kind);
        let first = *self.words.entry(slot).or_insert(*vote);
        if first.value != vote.value {
            self.broken.push(format!("S1: conflicting words for {slot:?}: {first:?} and {vote:?}"));
        } else if first.signature != vote.signature {
            self.broken.push(format!("S1: one word in two wordings for {slot:?}"));
        }
    }

    /// S3: who precommitted a value prevotes for another one only after a newer quorum of prevotes for that.
    fn lock(&mut self, now: Instant, vote: &VoteSeen) {
        let Some(value) = vote.value else { return };
        match vote.kind {
            VoteKind::Proposal => {}
            VoteKind::Prevote => {
                self.prevotes.entry((vote.height, vote.round, value)).or_default().insert(vote.cluster);
                let Some((height, locked, on)) = self.locks.get(&vote.cluster).copied() else { return };
                if height != vote.height || locked >= vote.round || on == value {
                    return;
                }
                let freed = (locked..vote.round).any(|round| {
                    let said = self.prevotes.get(&(height, round, value)).map_or(0, BTreeSet::len);
                    said * 3 > self.clusters * 2
                });
                if !freed {
                    self.broken.push(format!(
                        "S3: {now}: {} forgot at {height} in round {} what it precommitted in round {locked}",
                        vote.cluster, vote.round
                    ));
                }
            }
            VoteKind::Precommit => {
                let newest = self.locks.entry(vote.cluster).or_insert((vote.height, vote.round, value));
                if (vote.height, vote.round) >= (newest.0, newest.1) {
                    *newest = (vote.height, vote.round, value);
                }
                self.prevotes.retain(|(height, _, _), _| height.0 + 50 > vote.height.0);
            }
        }
    }

    /// After every step.
    pub fn check(&self, _now: Instant) {
        assert!(self.broken.is_empty(), "{:#?}", self.broken);
    }
}
