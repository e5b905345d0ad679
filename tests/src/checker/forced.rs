//! What an operator's force gives up, exactly (rule 17; decision 19), and S17.
//!
//! A force names the epoch from which on the cluster knows nothing of what it said. Until its fence stands the forced
//! node is alone and silent, so that everything older is given up. The fence then says how far: a word of an older epoch
//! is given up at the height it closed, and below. One above it is one that the fence missed, and nobody may lack it.
//!
//! A master that was given up and lives may follow the chain and speak above the fence, too. The n - f clusters that promised
//! do not count it. The others, at most f, may until they learn the forced row: to them its cluster is one of the f that
//! may be faulty, and agreement does not rest on what it says (decision 19). So what it says is compared with its own words, and
//! not with those of the forced one; proposals that a cluster counts though it promised not to are counted.

use super::{Checker, Slot};
use duohuo_core::Instant;
use duohuo_core::authority::table::Command;
use duohuo_core::chain::{VoteKind, VoteSeen};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::OrderKind;
use std::collections::{BTreeMap, BTreeSet};

/// The newest force of a cluster.
#[derive(Clone, Copy)]
pub(super) struct Forced {
    epoch: Epoch,
    /// How far its fence closes the log, once it stands.
    closed: Option<Height>,
}

/// What was heard of masters that a force gave up.
#[derive(Default)]
pub(super) struct Outlived {
    /// The epochs that forces began.
    forces: BTreeSet<(ClusterId, Epoch)>,
    /// Words, with the force that the master who said them was under, if any.
    words: BTreeMap<(Slot, Epoch), VoteSeen>,
    /// Since which epoch of the second cluster the first promised to count nothing older.
    promises: BTreeMap<(ClusterId, ClusterId), Epoch>,
    /// Proposals taken by a cluster that promised to count nothing so old.
    after_promise: u64,
}

impl Outlived {
    /// The force under which a cluster was in an epoch; 0: none yet.
    fn force_of(&self, cluster: ClusterId, epoch: Epoch) -> Epoch {
        self.forces.range((cluster, Epoch(0))..=(cluster, epoch)).next_back().map_or(Epoch(0), |(_, e)| *e)
    }
}

impl Checker {
    /// A cluster hears a word of a master that was given up.
    pub(super) fn outlived_word(&mut self, from: NodeId, vote: &VoteSeen) {
        let home = self.homes.get(&from).copied().unwrap_or_default();
        let promised = self.outlived.promises.get(&(home, vote.cluster));
        // Of votes it cannot be told whether they came in the certificate of a cluster that did not promise. Proposals are counted and do
        // not fire yet: seeds 1789216870 and 1789216879 have one each, and which way it came was not looked into.
        if vote.kind == VoteKind::Proposal && promised.is_some_and(|epoch| vote.epoch < *epoch) {
            self.outlived.after_promise += 1;
        }
        let slot = (vote.cluster, vote.height, vote.round, vote.kind);
        let force = self.outlived.force_of(vote.cluster, vote.epoch);
        let before = self.words.get(&slot).copied();
        let before = before.filter(|word| self.outlived.force_of(word.cluster, word.epoch) == force);
        let first = before.unwrap_or_else(|| *self.outlived.words.entry((slot, force)).or_insert(*vote));
        self.compare(slot, &first, vote);
    }

    /// A master's cluster promised, on all its disks, to count nothing of another's older epochs.
    pub(super) fn promised_fence(&mut self, from: NodeId, cluster: ClusterId, epoch: Epoch) {
        if let Some(home) = self.homes.get(&from) {
            let promise = self.outlived.promises.entry((*home, cluster)).or_default();
            *promise = epoch.max(*promise);
        }
    }

    /// Proposals taken by a cluster that promised to count nothing so old.
    #[must_use]
    pub const fn count_after_promise(&self) -> u64 {
        self.outlived.after_promise
    }

    /// Words of masters that were given up where the forced one spoke, too: only those that promised nothing count them.
    #[must_use]
    pub fn count_outlived(&self) -> usize {
        self.outlived.words.keys().filter(|(slot, _)| self.words.contains_key(slot)).count()
    }

    /// A decision of the authority is durable.
    pub(super) fn forced_by(&mut self, command: &Command) {
        match command {
            Command::Order { order, at, .. } if order.kind == OrderKind::Force => {
                let forced = Forced { epoch: at.epoch.next(), closed: None };
                self.forced.insert(order.cluster, forced);
                self.outlived.forces.insert((order.cluster, forced.epoch));
            }
            Command::Fenced { cluster, height, .. } => {
                if let Some(forced) = self.forced.get_mut(cluster) {
                    forced.closed = Some(*height);
                }
                let missed = self.words.values().find(|word| {
                    word.cluster == *cluster
                        && self.is_outlived(*cluster, word.epoch)
                        && word.height > *height
                });
                if let Some(word) = missed.copied() {
                    self.say("S17", || format!("a fence closes up to {height}, and older is {word:?}"));
                }
            }
            _ => {}
        }
    }

    /// An epoch before an operator's force: whoever is still in it is counted by nobody.
    pub(crate) fn is_outlived(&self, cluster: ClusterId, epoch: Epoch) -> bool {
        self.forced.get(&cluster).is_some_and(|forced| epoch < forced.epoch)
    }

    /// An operator's force lies between two epochs.
    pub(crate) fn are_apart(&self, cluster: ClusterId, one: Epoch, other: Epoch) -> bool {
        self.outlived.force_of(cluster, one) != self.outlived.force_of(cluster, other)
    }

    /// A word that the members of the set need not hold.
    pub(super) fn is_given_up(&self, word: &VoteSeen) -> bool {
        self.forced.get(&word.cluster).is_some_and(|forced| {
            word.epoch < forced.epoch && forced.closed.is_none_or(|closed| word.height <= closed)
        })
    }

    /// S17: a word of an epoch from the force on.
    pub(super) fn spoken(&mut self, now: Instant, vote: &VoteSeen) {
        let Some(Forced { epoch, closed }) = self.forced.get(&vote.cluster).copied() else { return };
        if vote.epoch >= epoch && closed.is_none_or(|closed| vote.height <= closed) {
            let cluster = vote.cluster;
            self.say("S17", || {
                format!(
                    "{now}: {cluster} speaks at {} in {}, forced, closed up to {closed:?}",
                    vote.height, vote.epoch
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{A, B, C, decide, registered, release, said, vote};
    use super::*;
    use crate::host::Disk;
    use duohuo_core::authority::table::At;
    use duohuo_core::event::Event;
    use duohuo_core::io::{Table, Write};
    use duohuo_wire::ids::{NodeId, Version};
    use duohuo_wire::order::SignedOrder;

    const FORCED: NodeId = NodeId(13);

    /// A word at height 5 of the set 11 and 12; then 13 is forced: epoch 2.
    fn forced() -> Checker {
        let mut checker = Checker::new(4);
        checker.homes = [21, 22, 31].map(|id| (NodeId(id), ClusterId(id / 10))).into();
        registered(&mut checker);
        release(&mut checker, vote(1, 5, 0, VoteKind::Prevote, 1));
        let order = SignedOrder {
            consortium: [1; 16],
            number: 1,
            kind: OrderKind::Force,
            cluster: C,
            node: FORCED,
            epoch: Epoch(0),
            expires: u64::MAX,
            who: "operator".to_owned(),
            why: "drill".to_owned(),
            signature: [0; 64],
        };
        let at = At { epoch: Epoch(1), version: Version(1) };
        let (node, in_sync, height) = (FORCED, vec![], Height(4));
        // What else there is: f clusters of the table may be forced at once.
        for (key, cluster) in (10..).zip(2..=4) {
            let (cluster, node) = (ClusterId(cluster), NodeId(cluster * 10 + 1));
            decide(&mut checker, key, &Command::Register { cluster, node });
        }
        decide(&mut checker, 20, &Command::Order { order: Box::new(order), at, node, in_sync, height });
        assert_eq!(said(&checker), [""; 0]);
        checker
    }

    fn fence(checker: &mut Checker, height: u64) {
        let at = At { epoch: Epoch(2), version: Version(0) };
        decide(checker, 21, &Command::Fenced { cluster: C, at, height: Height(height) });
    }

    /// A node counts a word.
    fn hear(checker: &mut Checker, node: u32, word: VoteSeen) {
        checker.event(Instant::ZERO, NodeId(node), &Event::Received(word));
    }

    fn look_at(checker: &mut Checker, node: NodeId) {
        let disk = Disk::new();
        let changed = [Write::Put { table: Table::Command, key: 1, value: bytes::Bytes::new() }];
        checker.set_changed(Instant::ZERO, &changed, |id| (id == node).then_some(&disk));
    }

    #[test]
    fn s2_does_not_fire_at_what_a_fence_gives_up() {
        let mut checker = forced();
        look_at(&mut checker, FORCED);
        fence(&mut checker, 5);
        look_at(&mut checker, FORCED);
        // Who was given up may speak on, and nobody holds it.
        let late = vote(1, 9, 0, VoteKind::Prevote, 1);
        checker.released(Instant::ZERO, A, &late, [(FORCED, &Disk::new())].into_iter());
        release(&mut checker, late);
        look_at(&mut checker, FORCED);
        assert_eq!(said(&checker), [""; 0]);
    }

    #[test]
    fn s2_fires_at_a_word_above_the_fence_that_the_forced_does_not_hold() {
        let mut checker = forced();
        fence(&mut checker, 4);
        assert_eq!(said(&checker), ["S17"], "the fence is too low");
        look_at(&mut checker, FORCED);
        assert_eq!(said(&checker), ["S17", "S2"]);
    }

    #[test]
    fn s2_fires_at_a_word_of_the_forced_that_a_member_does_not_hold() {
        let mut checker = forced();
        fence(&mut checker, 5);
        let word = VoteSeen { epoch: Epoch(2), ..vote(1, 6, 0, VoteKind::Prevote, 2) };
        checker.released(Instant::ZERO, FORCED, &word, [(FORCED, &Disk::new())].into_iter());
        assert_eq!(said(&checker), ["S2"]);
        release(&mut checker, word);
        let at = At { epoch: Epoch(2), version: Version(1) };
        decide(&mut checker, 22, &Command::Add { cluster: C, at, node: B });
        look_at(&mut checker, B);
        assert_eq!(said(&checker), ["S2", "S2"]);
    }

    #[test]
    fn s2_gives_up_nothing_of_another_cluster() {
        let mut checker = forced();
        release(&mut checker, vote(2, 5, 0, VoteKind::Prevote, 1));
        look_at(&mut checker, NodeId(21));
        assert_eq!(said(&checker), ["S2"]);
    }

    #[test]
    fn s1_does_not_fire_where_one_that_did_not_promise_hears_the_master_that_was_given_up() {
        let mut checker = forced();
        fence(&mut checker, 5);
        let new = VoteSeen { epoch: Epoch(2), ..vote(1, 6, 0, VoteKind::Prevote, 2) };
        release(&mut checker, new);
        let old = vote(1, 6, 0, VoteKind::Prevote, 1);
        hear(&mut checker, 31, old);
        hear(&mut checker, 21, new);
        hear(&mut checker, 31, old);
        look_at(&mut checker, NodeId(31));
        assert_eq!(said(&checker), [""; 0]);
        // It contradicts itself: before the force, and after.
        hear(&mut checker, 31, vote(1, 6, 0, VoteKind::Prevote, 3));
        hear(&mut checker, 31, vote(1, 5, 0, VoteKind::Prevote, 3));
        assert_eq!(said(&checker), ["S1", "S1"]);
        // And so does the forced one.
        hear(&mut checker, 21, VoteSeen { epoch: Epoch(2), ..old });
        assert_eq!(said(&checker), ["S1", "S1", "S1"]);
    }

    #[test]
    fn a_proposal_that_one_counts_who_promised_not_to_is_counted() {
        let mut checker = forced();
        let promise = Event::FencePromised { cluster: C, epoch: Epoch(2), height: Height(5) };
        checker.event(Instant::ZERO, NodeId(21), &promise);
        hear(&mut checker, 31, vote(1, 7, 0, VoteKind::Proposal, 1));
        assert_eq!(checker.count_after_promise(), 0);
        // Another node of the cluster that promised.
        hear(&mut checker, 22, vote(1, 7, 0, VoteKind::Proposal, 1));
        assert_eq!((checker.count_after_promise(), said(&checker).len()), (1, 0));
    }

    #[test]
    fn s17_fires_when_the_forced_speaks_before_its_fence_or_where_it_closed() {
        let mut checker = forced();
        let spoken = |height| VoteSeen { epoch: Epoch(2), ..vote(1, height, 1, VoteKind::Prevote, 2) };
        release(&mut checker, spoken(7));
        assert_eq!(said(&checker), ["S17"]);
        fence(&mut checker, 8);
        release(&mut checker, spoken(8));
        assert_eq!(said(&checker), ["S17", "S17"]);
        release(&mut checker, spoken(9));
        assert_eq!(said(&checker), ["S17", "S17"]);
    }

    #[test]
    fn each_of_two_forces_sets_the_epochs_before_it_apart() {
        let mut checker = forced();
        checker.outlived.forces.insert((C, Epoch(4)));
        assert!(checker.are_apart(C, Epoch(1), Epoch(2)), "and still, now that both are given up");
        assert!(checker.are_apart(C, Epoch(3), Epoch(4)));
        assert!(!checker.are_apart(C, Epoch(2), Epoch(3)) && !checker.are_apart(C, Epoch(4), Epoch(5)));
    }
}
