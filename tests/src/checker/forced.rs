//! What an operator's force gives up, exactly (rule 17; decision 19), and S17.
//!
//! A force names the epoch from which on the cluster knows nothing of what it said. Until its fence stands the forced
//! node is alone and silent, so that everything older is given up. The fence then says how far: a word of an older epoch
//! is given up at the height it closed, and below. One above it is one that the fence missed, and nobody may lack it.
//!
//! A master that was given up and lives may follow the chain and speak above the fence, too. The n - f clusters that promised
//! do not count it. The others, at most f, may until they learn the forced row: to them its cluster is one of the f that
//! may be faulty, and agreement does not rest on what it says (decision 19). So what it says is compared with its own words, and
//! not with those of the forced one. A master takes no proposal that its cluster promised not to count. One that was deposed before
//! the promise, and has not heard of it yet, may: what it counts changes nothing, since it can release nothing.

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

/// What a master promised on all its disks about another cluster.
#[derive(Clone, Copy)]
struct Promise {
    /// The epoch that it led in.
    made_in: Epoch,
    /// The first epoch of the other cluster that counts.
    counts_from: Epoch,
}

/// What was heard of masters that a force gave up.
#[derive(Default)]
pub(super) struct Outlived {
    /// The epochs that forces began.
    forces: BTreeSet<(ClusterId, Epoch)>,
    /// Words, with the force that the master who said them was under, if any.
    words: BTreeMap<(Slot, Epoch), VoteSeen>,
    /// In which of its epochs the first cluster promised last, and since which epoch of the second: to count nothing older.
    promises: BTreeMap<(ClusterId, ClusterId), Promise>,
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
        let promise =
            self.homes.get(&from).and_then(|home| self.outlived.promises.get(&(*home, vote.cluster)));
        let is_bound = |promise: &Promise| {
            vote.epoch < promise.counts_from
                && self.leads_in(from).is_some_and(|epoch| epoch >= promise.made_in)
        };
        // Of votes it cannot be told whether they came in the certificate of a cluster that did not promise.
        if vote.kind == VoteKind::Proposal && promise.is_some_and(is_bound) {
            self.say("S17", || format!("{from} takes what its cluster promised not to count: {vote:?}"));
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
        if let (Some(home), Some(made_in)) = (self.homes.get(&from), self.leads_in(from)) {
            let promise = Promise { made_in, counts_from: epoch };
            let newest = self.outlived.promises.entry((*home, cluster)).or_insert(promise);
            if newest.counts_from < epoch {
                *newest = promise;
            }
        }
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
    use duohuo_wire::packet::Role;

    const FORCED: NodeId = NodeId(13);

    /// A word at height 5 of the set 11 and 12; then 13 is forced: epoch 2.
    fn forced() -> Checker {
        let mut checker = Checker::new(4);
        checker.homes = [21, 22, 23, 31].map(|id| (NodeId(id), ClusterId(id / 10))).into();
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

    /// A node becomes master.
    fn lead(checker: &mut Checker, node: u32, epoch: u64) {
        let event = Event::RoleChanged { role: Role::Master, epoch: Epoch(epoch) };
        checker.event(Instant::ZERO, NodeId(node), &event);
    }

    #[test]
    fn s17_fires_where_a_master_takes_a_proposal_that_its_cluster_promised_not_to_count() {
        let mut checker = forced();
        let promise = Event::FencePromised { cluster: C, epoch: Epoch(2), height: Height(5) };
        lead(&mut checker, 22, 3);
        lead(&mut checker, 21, 4);
        checker.event(Instant::ZERO, NodeId(21), &promise);
        let proposal = vote(1, 7, 0, VoteKind::Proposal, 1);
        hear(&mut checker, 31, proposal);
        hear(&mut checker, 22, proposal);
        assert_eq!(said(&checker), [""; 0], "another cluster, and a master that was deposed before");
        lead(&mut checker, 23, 5);
        hear(&mut checker, 23, proposal);
        hear(&mut checker, 21, proposal);
        assert_eq!(said(&checker), ["S17", "S17"], "its successor, and itself");
        hear(&mut checker, 21, VoteSeen { epoch: Epoch(2), ..proposal });
        assert_eq!(said(&checker).len(), 2);
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
