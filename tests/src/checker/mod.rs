//! Watches from outside: what every run must keep, whatever the machines believe.
//!
//! | checker | what it says |
//! |---|---|
//! | S1 | no two conflicting words of a cluster at one height, round and kind |
//! | S2 | a released word stands on the disk of every member of the in-sync set that the authority has on its disk, but for what an operator's force gives up |
//! | S3 | no lock is forgotten: after a precommit, another value only with a newer quorum of prevotes for it |
//! | S4 | one master per epoch, and epochs only grow |
//! | S5 | the same state at the same height, everywhere |
//! | S6 | no answered transfer lost or applied twice |
//! | S7 | a barred node is granted nothing, and says nothing in a later epoch |
//! | S8 | nobody is barred who computed no wrong result |
//! | S9 | what is kept for the current height, and what each machine holds in memory, stays within its bound |
//! | S10 | after the faults stop, everything converges ([`crate::sim`]) |
//! | S11 | no more clusters compute wrong results, or lie, than the network promises to bear |
//! | S12 | epochs, versions and promises on the disks never fall, across restarts too |
//! | S13 | who becomes master holds every word that its cluster ever said |
//! | S14 | a master waits for everybody in the set that the authority has on its disk |
//! | S15 | a master that is well and reaches the authority is not deposed but by a switch that it obeyed ([`crate::world`]) |
//! | S16 | no two nodes of a cluster act outside the chain at one true time ([`crate::outside`]) |
//! | S17 | a cluster that was forced says nothing before its fence stands, nor up to where that closes, which is above all it said before |
//! | S18 | what a disk keeps of a log has no gap, and ends where the log does |
//! | S19 | nobody but clients sends more than 10,000 packets within a second, what it answers to clients aside: nobody asks and answers in circles |
//!
//! Each looks after every step; S10 when a run has come to rest.

mod disks;
mod forced;

use crate::host::Disk;
use bytes::Bytes;
use duohuo_core::Instant;
use duohuo_core::authority::table::{Command, Table as Rows};
use duohuo_core::chain::{TransactionId, VoteKind, VoteSeen};
use duohuo_core::event::Event;
use duohuo_core::io::{Table, Write};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::{OrderKind, Role};
use std::collections::{BTreeMap, BTreeSet};

/// Which word of a cluster.
type Slot = (ClusterId, Height, u32, VoteKind);

/// A step of a run as the disks and the network saw it, for whoever judges it by other rules than the checkers here.
#[derive(Clone, Debug)]
pub enum Step {
    /// These writes of a machine are durable.
    Wrote {
        /// Which machine.
        node: NodeId,
        /// What it wrote.
        writes: Vec<Write>,
    },
    /// A signed word left a node.
    Released {
        /// Which node.
        node: NodeId,
        /// The word.
        vote: VoteSeen,
    },
    /// A machine is gone, and what it had not written.
    Killed {
        /// Which machine.
        node: NodeId,
    },
}

/// The checkers' state.
#[derive(Default)]
pub struct Checker {
    words: BTreeMap<Slot, VoteSeen>,
    /// In which epoch each was first released. That may be later than the one under which it was signed: a record that its master could
    /// not release any more is said by a later one that holds it.
    released_in: BTreeMap<Slot, Epoch>,
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
    barred: BTreeMap<NodeId, (ClusterId, Epoch)>,
    /// The operator's forces: what was said before is given up for lost.
    forced: BTreeMap<ClusterId, forced::Forced>,
    /// What was heard of masters that were given up so.
    outlived: forced::Outlived,
    /// Which cluster each node is of.
    pub homes: BTreeMap<NodeId, ClusterId>,
    /// The role that each node told last, and its epoch.
    roles: BTreeMap<NodeId, (Role, Epoch)>,
    /// The authority's table as its disk has it.
    rows: Rows,
    /// The epoch that each node's disk promises.
    promised: BTreeMap<NodeId, Epoch>,
    /// The block that the first disk had at each height.
    blocks: BTreeMap<Height, Bytes>,
    /// At which height each transfer stands.
    transfers: BTreeMap<TransactionId, Height>,
    /// The most packets that any machine sent within a second.
    pub most_said: usize,
    /// The most that any machine held in memory: entries and bytes.
    pub most_held: BTreeMap<&'static str, (usize, usize)>,
    /// Checkers that say nothing: where a rule is broken on purpose, so that it is seen which others notice.
    pub silenced: BTreeSet<&'static str>,
    /// Everything that was told, but for votes and commits.
    pub log: Vec<(Instant, NodeId, Event)>,
    /// When each node released its first word in an epoch.
    pub first_words: BTreeMap<(ClusterId, Epoch), (Instant, NodeId)>,
    /// When each height was first committed, and where.
    pub commits: BTreeMap<Height, (Instant, NodeId)>,
    /// Words that left their nodes.
    pub said: u64,
    /// Rounds above 0 in which a cluster said something: how much of the consensus' recovery was seen.
    pub late_rounds: u64,
    /// The steps of the run, if somebody asked for them before it began.
    pub history: Option<Vec<Step>>,
    /// What was broken; a run must end with none.
    pub broken: Vec<String>,
}

/// Packets that a machine may send within a second: several times what was ever seen of one that asks for nothing twice.
const PACKETS_A_SECOND: usize = 10_000;

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

    /// This node computes as the others do again: from now on S5 looks at it as at everybody.
    pub fn expect_right_results(&mut self, node: NodeId) {
        self.wrongdoers.remove(&node);
    }

    /// This cluster may accuse others of what they did not do.
    pub fn expect_lies(&mut self, cluster: ClusterId) {
        self.faulty.insert(cluster);
        if self.clusters > 0 && self.faulty.len() > self.tolerated() {
            let faulty = self.faulty.len();
            self.say("S11", || format!("{faulty} faulty clusters at once: the scenario is wrong"));
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
        self.record(|| Step::Killed { node });
        self.roles.remove(&node);
    }

    /// The role a node told last.
    #[must_use]
    pub fn role(&self, node: NodeId) -> Option<Role> {
        self.roles.get(&node).map(|(role, _)| *role)
    }

    /// The epoch that a node leads in, if it does.
    fn leads_in(&self, node: NodeId) -> Option<Epoch> {
        self.roles.get(&node).filter(|(role, _)| *role == Role::Master).map(|(_, epoch)| *epoch)
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

    fn authority_started(&mut self, disk: &Disk) {
        self.rows = Rows::default();
        for (_, bytes) in disk.range((Table::Command, 0)..=(Table::Command, u64::MAX)) {
            self.command(bytes);
        }
    }

    fn record(&mut self, step: impl FnOnce() -> Step) {
        if let Some(history) = &mut self.history {
            history.push(step());
        }
    }

    fn decided(&mut self, writes: &[Write]) {
        for write in writes {
            if let Write::Put { table: Table::Command, value, .. } = write {
                self.command(value);
            }
        }
    }

    fn command(&mut self, bytes: &bytes::Bytes) {
        let command = Command::decode(bytes);
        let applied = command.as_ref().map(|command| self.rows.apply(command));
        if let Some(command) = &command {
            self.forced_by(command);
        }
        if applied != Some(Ok(())) {
            self.say("S4", || format!("the authority wrote a decision that does not follow: {bytes:?}"));
        }
    }

    /// Something is broken.
    pub(crate) fn say(&mut self, checker: &'static str, what: impl FnOnce() -> String) {
        if !self.silenced.contains(checker) {
            self.broken.push(format!("{checker}: {}", what()));
        }
    }

    /// What a machine sent within the second that is on.
    pub fn says(&mut self, now: Instant, node: NodeId, packets: usize) {
        self.most_said = self.most_said.max(packets);
        if packets > PACKETS_A_SECOND {
            self.say("S19", || format!("{now}: {node} sent {packets} packets within a second"));
        }
    }

    /// One event of one machine.
    pub fn event(&mut self, now: Instant, from: NodeId, event: &Event) {
        match event {
            Event::Released(vote) => {
                self.record(|| Step::Released { node: from, vote: *vote });
                self.first_words.entry((vote.cluster, vote.epoch)).or_insert((now, from));
                if let Some((Role::Master, epoch)) = self.roles.get(&from)
                    && self.grants.get(&(vote.cluster, *epoch)) == Some(&from)
                {
                    let slot = (vote.cluster, vote.height, vote.round, vote.kind);
                    self.released_in.entry(slot).or_insert(*epoch);
                }
                self.said += 1;
                self.late_rounds += u64::from(vote.round > 0);
                // What it passes on of another cluster's words is not its own.
                let is_later =
                    |(cluster, epoch): &(ClusterId, Epoch)| vote.cluster == *cluster && vote.epoch > *epoch;
                if self.barred.get(&from).is_some_and(is_later) {
                    self.say("S7", || {
                        format!("{now}: {from} is barred and speaks in {} of {}", vote.epoch, vote.cluster)
                    });
                }
                self.spoken(now, vote);
                // A master that an operator gave up for lost may speak on where nobody counts it (rule 17).
                if !self.is_outlived(vote.cluster, vote.epoch) {
                    self.lock(now, vote);
                    self.word(vote);
                }
            }
            Event::Received(vote) if self.is_outlived(vote.cluster, vote.epoch) => {
                self.outlived_word(from, vote);
            }
            Event::Received(vote) => self.word(vote),
            Event::FencePromised { cluster, epoch, .. } => self.promised_fence(from, *cluster, *epoch),
            Event::Committed { height, state_hash } => {
                self.commits.entry(*height).or_insert((now, from));
                if self.wrongdoers.contains(&from) {
                    return;
                }
                let agreed = *self.committed.entry(*height).or_insert(*state_hash);
                if agreed != *state_hash {
                    self.say("S5", || format!("{now}: {from} has another state at {height} than others"));
                }
            }
            Event::Granted { cluster, epoch, node } => {
                if let Some(before) = self.grants.insert((*cluster, *epoch), *node)
                    && before != *node
                {
                    self.say("S4", || format!("{now}: {cluster} {epoch} granted to {before} and to {node}"));
                }
                let newest =
                    self.grants.range((*cluster, Epoch(0))..=(*cluster, Epoch(u64::MAX))).next_back();
                if newest.is_some_and(|((_, e), _)| e > epoch) {
                    self.say("S4", || format!("{now}: the epoch of {cluster} fell to {epoch}"));
                }
                if self.barred.contains_key(node) {
                    self.say("S7", || format!("{now}: {node} is barred and is granted {epoch}"));
                }
            }
            Event::ForcedSwitch { cluster, node, height } if from == NodeId::AUTHORITY => {
                let epoch = self.rows.entry(*cluster).map_or(Epoch(0), |entry| entry.row.epoch);
                self.barred.insert(*node, (*cluster, epoch));
                if !self.wrongdoers.contains(node) {
                    self.say("S8", || format!("{now}: {node} is barred for {height}, and did nothing wrong"));
                }
            }
            Event::Ordered { kind: OrderKind::Unbar, node, .. } => {
                self.barred.remove(node);
            }
            Event::RoleChanged { role, epoch } => {
                self.roles.insert(from, (*role, *epoch));
            }
            Event::Halted { reason } => self.say("R8", || format!("{now}: {from} halted: {reason:?}")),
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
        self.compare(slot, &first, vote);
    }

    fn compare(&mut self, slot: Slot, first: &VoteSeen, vote: &VoteSeen) {
        if first.value != vote.value {
            self.say("S1", || format!("conflicting words for {slot:?}: {first:?} and {vote:?}"));
        } else if first.signature != vote.signature {
            self.say("S1", || format!("one word in two wordings for {slot:?}"));
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
                    let (cluster, round) = (vote.cluster, vote.round);
                    self.say("S3", || {
                        format!("{now}: {cluster} forgot at {height} in round {round} what it precommitted in round {locked}")
                    });
                }
            }
            VoteKind::Precommit => {
                let newest = self.locks.entry(vote.cluster).or_insert((vote.height, vote.round, value));
                if (vote.height, vote.round) >= (newest.0, newest.1) {
                    *newest = (vote.height, vote.round, value);
                }
                let kept = (Height(vote.height.0.saturating_sub(50)), 0, [0; 32]);
                if self.prevotes.first_key_value().is_some_and(|(first, _)| *first < kept) {
                    self.prevotes = self.prevotes.split_off(&kept);
                }
            }
        }
    }

    /// After every step.
    pub fn check(&self, _now: Instant) {
        assert!(self.broken.is_empty(), "{:#?}", self.broken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::write;
    use duohuo_core::held::Held;
    use duohuo_core::store::META_LOG_END;

    pub(super) const C: ClusterId = ClusterId(1);
    pub(super) const A: NodeId = NodeId(11);
    pub(super) const B: NodeId = NodeId(12);

    pub(super) fn said(broken: &Checker) -> Vec<String> {
        broken.broken.iter().map(|text| text.chars().take_while(|c| *c != ':').collect()).collect()
    }

    pub(super) fn vote(cluster: u32, height: u64, round: u32, kind: VoteKind, value: u8) -> VoteSeen {
        VoteSeen {
            cluster: ClusterId(cluster),
            epoch: Epoch(1),
            height: Height(height),
            round,
            kind,
            value: Some([value; 32]),
            signature: [value; 64],
        }
    }

    pub(super) fn release(checker: &mut Checker, vote: VoteSeen) {
        checker.event(Instant::ZERO, A, &Event::Released(vote));
    }

    pub(super) fn registered(checker: &mut Checker) -> [Write; 2] {
        let at = duohuo_core::authority::table::At { epoch: Epoch(1), version: duohuo_wire::ids::Version(0) };
        let register = Command::Register { cluster: C, node: A };
        let add = Command::Add { cluster: C, at, node: B };
        let put = |key, command: &Command| Write::Put { table: Table::Command, key, value: command.encode() };
        let writes = [put(1, &register), put(2, &add)];
        checker.decided(&writes);
        writes
    }

    pub(super) fn decide(checker: &mut Checker, key: u64, command: &Command) {
        checker.decided(&[Write::Put { table: Table::Command, key, value: command.encode() }]);
    }

    #[test]
    fn s1_fires_at_two_values_and_at_two_wordings() {
        let mut checker = Checker::new(4);
        release(&mut checker, vote(1, 5, 0, VoteKind::Prevote, 1));
        release(&mut checker, vote(1, 5, 0, VoteKind::Prevote, 1));
        release(&mut checker, vote(1, 5, 1, VoteKind::Prevote, 2));
        assert_eq!(said(&checker), [""; 0]);
        checker.event(Instant::ZERO, B, &Event::Received(vote(1, 5, 0, VoteKind::Prevote, 2)));
        let again = VoteSeen { signature: [9; 64], ..vote(1, 5, 1, VoteKind::Prevote, 2) };
        checker.event(Instant::ZERO, B, &Event::Received(again));
        assert_eq!(said(&checker), ["S1", "S1"]);
    }

    #[test]
    fn s2_fires_at_a_word_that_a_member_does_not_hold() {
        let mut checker = Checker::new(4);
        registered(&mut checker);
        let word = vote(1, 5, 0, VoteKind::Prevote, 1);
        let mut holds = Disk::new();
        holds.insert((Table::Record, 7), bytes::Bytes::copy_from_slice(&word.signature));
        let mut ahead = Disk::new();
        ahead.insert((Table::Block, 5), bytes::Bytes::new());
        let (empty, stranger) = (Disk::new(), NodeId(99));
        checker.released(Instant::ZERO, A, &word, [(A, &holds), (B, &ahead), (stranger, &empty)].into_iter());
        assert_eq!(said(&checker), [""; 0]);
        checker.released(Instant::ZERO, A, &word, [(A, &holds), (B, &empty)].into_iter());
        assert_eq!(said(&checker), ["S2"]);
    }

    #[test]
    fn s3_fires_at_a_forgotten_lock_and_not_at_one_that_a_quorum_freed() {
        let mut checker = Checker::new(4);
        release(&mut checker, vote(1, 5, 0, VoteKind::Precommit, 1));
        for cluster in 2..=4 {
            release(&mut checker, vote(cluster, 5, 1, VoteKind::Prevote, 2));
        }
        release(&mut checker, vote(1, 5, 2, VoteKind::Prevote, 2));
        release(&mut checker, vote(1, 6, 0, VoteKind::Prevote, 3));
        assert_eq!(said(&checker), [""; 0]);
        release(&mut checker, vote(2, 5, 0, VoteKind::Precommit, 1));
        release(&mut checker, vote(2, 5, 3, VoteKind::Prevote, 4));
        assert_eq!(said(&checker), ["S3"]);
    }

    #[test]
    fn s4_fires_at_a_second_master_of_an_epoch_an_epoch_that_falls_and_a_decision_that_does_not_follow() {
        let mut checker = Checker::new(4);
        let granted = |epoch, node| Event::Granted { cluster: C, epoch: Epoch(epoch), node };
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &granted(2, A));
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &granted(2, A));
        assert_eq!(said(&checker), [""; 0]);
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &granted(2, B));
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &granted(1, A));
        let writes = registered(&mut checker);
        checker.decided(&writes);
        assert_eq!(said(&checker), ["S4", "S4", "S4", "S4"]);
    }

    #[test]
    fn s5_fires_at_another_state_but_of_a_known_wrongdoer() {
        let mut checker = Checker::new(4);
        let committed = |hash| Event::Committed { height: Height(3), state_hash: [hash; 32] };
        checker.expect_wrong_results(C, B);
        checker.event(Instant::ZERO, A, &committed(1));
        checker.event(Instant::ZERO, B, &committed(2));
        assert_eq!(said(&checker), [""; 0]);
        checker.event(Instant::ZERO, NodeId(21), &committed(2));
        assert_eq!(said(&checker), ["S5"]);
    }

    #[test]
    fn s7_fires_when_the_barred_is_granted_or_speaks_and_s8_at_a_bar_without_a_cause() {
        let mut checker = Checker::new(4);
        registered(&mut checker);
        let bar = |node| Event::ForcedSwitch { cluster: C, node, height: Height(3) };
        checker.expect_wrong_results(C, A);
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &bar(A));
        release(&mut checker, vote(1, 5, 0, VoteKind::Prevote, 1));
        assert_eq!(said(&checker), [""; 0], "it may be heard once more in its epoch");
        let of_another =
            VoteSeen { cluster: ClusterId(2), epoch: Epoch(3), ..vote(1, 5, 0, VoteKind::Prevote, 1) };
        checker.event(Instant::ZERO, A, &Event::Released(of_another));
        assert_eq!(said(&checker), [""; 0], "it may pass on what another cluster said in a later epoch");
        let granted = Event::Granted { cluster: C, epoch: Epoch(3), node: A };
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &granted);
        release(&mut checker, VoteSeen { epoch: Epoch(3), ..vote(1, 6, 0, VoteKind::Prevote, 1) });
        checker.event(Instant::ZERO, NodeId::AUTHORITY, &bar(B));
        assert_eq!(said(&checker), ["S7", "S7", "S8"]);
    }

    #[test]
    fn s9_fires_at_a_log_without_bound_and_s11_at_a_scenario_beyond_the_promise() {
        let mut checker = Checker::new(4);
        checker.wrote(Instant::ZERO, A, &[], &Disk::new(), disks::RECORDS);
        assert_eq!(said(&checker), [""; 0]);
        checker.wrote(Instant::ZERO, A, &[], &Disk::new(), disks::RECORDS + 1);
        checker.expect_lies(C);
        assert_eq!(said(&checker), ["S9"]);
        checker.expect_lies(ClusterId(2));
        assert_eq!(said(&checker), ["S9", "S11"]);
    }

    #[test]
    fn s9_fires_at_what_a_machine_holds_beyond_its_bound_and_at_what_has_none() {
        let mut checker = Checker::new(4);
        let mut hold = |name, entries, bytes| {
            checker.holds(Instant::ZERO, A, &[Held { name, entries, bytes }]);
            core::mem::take(&mut checker.broken).len()
        };
        assert_eq!(hold("gate", 1_024, 16 << 20), 0);
        assert_eq!(
            (hold("gate", 1_025, 0), hold("gate", 0, (16 << 20) + 1), hold("a new one", 0, 0)),
            (1, 1, 1)
        );
        assert_eq!(checker.most_held["gate"], (1_025, (16 << 20) + 1));
    }

    #[test]
    fn s19_fires_at_the_ten_thousand_and_first_packet_within_a_second() {
        let mut checker = Checker::new(4);
        checker.says(Instant::ZERO, A, PACKETS_A_SECOND);
        assert_eq!(said(&checker), [""; 0]);
        checker.says(Instant::ZERO, A, PACKETS_A_SECOND + 1);
        assert_eq!(said(&checker), ["S19"]);
    }

    #[test]
    fn s18_fires_at_a_gap_in_a_log_and_at_an_end_that_is_none() {
        let put = |key| Write::Put { table: Table::Record, key, value: Bytes::from_static(&[0; 16]) };
        let end = |end: u64| Write::Put {
            table: Table::Meta,
            key: META_LOG_END,
            value: Bytes::copy_from_slice(&end.to_be_bytes()),
        };
        for (writes, holds) in [
            (vec![put(5), put(6), end(7)], true),
            (vec![end(7)], true),
            (vec![put(5), put(7), end(8)], false),
            (vec![put(5), put(6), end(6)], false),
            (vec![put(5), end(7)], false),
        ] {
            let mut checker = Checker::new(4);
            let mut disk = Disk::new();
            let records = write(&mut disk, &writes).unsigned_abs();
            checker.wrote(Instant::ZERO, A, &writes, &disk, records);
            assert_eq!(said(&checker), if holds { vec![] } else { vec!["S18"] }, "{writes:?}");
        }
    }

    #[test]
    fn r8_fires_when_somebody_halts() {
        let mut checker = Checker::new(4);
        let reason = duohuo_core::chain::HaltReason::DoubleSign;
        checker.event(Instant::ZERO, A, &Event::Halted { reason });
        assert_eq!(said(&checker), ["R8"]);
    }
}
