//! The role of master: replication of the log, the gate, the in-sync set (design R2, R4, R5; rules 18 to 23).
//!
//! This is the only way out for anything the chain says. [`Master::release`] lets an item go when every record that
//! was appended before it is durable here and acknowledged, under this epoch, by every member of the in-sync set and
//! by everyone being added to it. Nothing here sends; the node does, with what this answers.

use super::fence::Promise;
use super::gate::{Gate, Gated};
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::packet::{Change, ChangeKind};
use duohuo_wire::statement::Row;
use std::collections::{BTreeMap, BTreeSet};

/// How far one member follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Follower {
    /// Log length acknowledged under this epoch; `None`: its log is not ours yet.
    acknowledged: Option<u64>,
    /// Log length sent on the stream that stands.
    sent: Option<u64>,
    /// Our log is on its way there in parts (B-LOG-12).
    giving: bool,
    /// The furthest place from which it asked for the next part, under this epoch.
    parts_held: u64,
    /// Committed height it told.
    height: Height,
    /// Since when something is owed.
    waiting_since: Option<Instant>,
}

/// A change of the set that was asked for and not yet answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    change: Change,
    retry_at: Instant,
    retry_interval: Duration,
}

#[derive(Debug)]
pub(super) struct Master {
    epoch: Epoch,
    version: Version,
    me: NodeId,
    cluster: ClusterId,
    /// W: who must acknowledge, as the newest row of this epoch says.
    waiting_for: BTreeSet<NodeId>,
    /// Asked to be added: waited for from that moment (rule 21).
    adding: Option<NodeId>,
    barred: Vec<NodeId>,
    followers: BTreeMap<NodeId, Follower>,
    /// Log length durable here.
    durable: u64,
    /// Log length at the beginning of the role.
    inherited: u64,
    /// Log length that may be known outside: what was inherited, and what was released since.
    exposed: u64,
    /// Log length released under this epoch: every member of the set holds it. What was only inherited may still be
    /// cut by a later master that lacks it.
    released: u64,
    /// An operator wants another master: at the latest then this one resigns.
    pub(super) hand_over_at: Option<Instant>,
    /// What was promised to forced masters of other clusters.
    pub(super) promises: BTreeMap<ClusterId, Promise>,
    pub(super) gate: Gate,
    asked: Option<Asked>,
}

impl Master {
    /// Rule 15: after the promise is durable. `end` is the length of the inherited log, all of it exposed.
    pub(super) fn new(now: Instant, me: NodeId, row: &Row, end: u64) -> Self {
        assert!(row.master == me && row.in_sync.contains(&me), "only the granted node leads");
        assert!(!row.unfenced, "an unfenced grant needs the fence of rule 17 first (I8)");
        let mut master = Self {
            epoch: row.epoch,
            version: row.version,
            me,
            cluster: row.cluster,
            waiting_for: row.in_sync.iter().copied().filter(|n| *n != me).collect(),
            adding: None,
            barred: row.barred.clone(),
            followers: BTreeMap::new(),
            durable: end,
            inherited: end,
            exposed: end,
            released: 0,
            hand_over_at: None,
            promises: BTreeMap::new(),
            gate: Gate::default(),
            asked: None,
        };
        master.owed(now);
        master
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether its acknowledgement is waited for before anything is said.
    pub(super) fn waits_for(&self, node: NodeId) -> bool {
        self.waiting_for.contains(&node) || self.adding == Some(node)
    }

    /// Rule 22: a newer row of this epoch.
    pub(super) fn learn(&mut self, row: &Row) {
        if row.epoch != self.epoch || row.version <= self.version {
            return;
        }
        self.version = row.version;
        self.waiting_for = row.in_sync.iter().copied().filter(|n| *n != self.me).collect();
        self.barred.clone_from(&row.barred);
        self.adding = None;
        self.asked = None;
    }

    /// Our own disk holds the log up to `end`.
    pub(super) fn persisted(&mut self, end: u64) {
        self.durable = self.durable.max(end);
    }

    /// Who must acknowledge besides this node: the set, and who is being added to it.
    pub(super) fn holders(&self) -> impl Iterator<Item = NodeId> {
        self.waiting_for.iter().chain(self.adding.iter()).copied()
    }

    /// Who is outside the set and holds all that was exposed.
    pub(super) fn caught_up(&self) -> impl Iterator<Item = NodeId> {
        self.followers
            .iter()
            .filter(|(node, _)| !self.waiting_for.contains(*node) && !self.barred.contains(*node))
            .filter(|(_, f)| f.sent.is_some() && f.acknowledged.is_some_and(|a| a >= self.exposed))
            .map(|(node, _)| *node)
    }

    /// The log that the role began with is with all who are waited for: a word waits for its own record alone.
    pub(super) fn is_ready(&self) -> bool {
        let has_it = |node: &NodeId| {
            self.followers.get(node).and_then(|f| f.acknowledged).is_some_and(|end| end >= self.inherited)
        };
        self.durable >= self.inherited && self.waiting_for.iter().chain(self.adding.iter()).all(has_it)
    }

    /// Log length that is safe: durable here and acknowledged by all who must (rule 19).
    fn safe(&self) -> u64 {
        let acknowledged = |node: &NodeId| self.followers.get(node).and_then(|f| f.acknowledged).unwrap_or(0);
        self.waiting_for.iter().chain(self.adding.iter()).map(acknowledged).fold(self.durable, u64::min)
    }

    /// What may go now, in order.
    pub(super) fn release(&mut self, promised: Epoch) -> Vec<Gated> {
        // I1: the epoch of the role is the one promised, or there is no role.
        assert!(promised == self.epoch, "a master of an older epoch releases nothing");
        let safe = self.safe();
        let mut free = Vec::new();
        while let Some((after, item)) = self.gate.pop(safe) {
            self.exposed = self.exposed.max(after);
            self.released = self.released.max(after);
            free.push(item);
        }
        assert!(self.released <= safe, "nothing is released that is not safe");
        free
    }

    #[cfg(test)]
    const fn exposed(&self) -> u64 {
        self.exposed
    }

    pub(super) const fn released(&self) -> u64 {
        self.released
    }

    /// Our own loop came late: what members owe, they owe from now.
    pub(super) fn forgive(&mut self, now: Instant) {
        for since in self.followers.values_mut().filter_map(|f| f.waiting_since.as_mut()) {
            *since = now;
        }
    }

    /// There are new records: whoever is waited for and has no stream owes from now.
    pub(super) fn owed(&mut self, now: Instant) {
        for node in &self.waiting_for {
            self.followers.entry(*node).or_default().waiting_since.get_or_insert(now);
        }
    }

    /// The stream of a member is up: it needs our log from the start.
    pub(super) fn stream_up(&mut self, node: NodeId) {
        let follower = self.followers.entry(node).or_default();
        (follower.sent, follower.giving) = (None, false);
        // What it acknowledged under this epoch stays acknowledged: it is on its disk.
    }

    pub(super) fn stream_down(&mut self, node: NodeId) {
        if let Some(follower) = self.followers.get_mut(&node) {
            (follower.sent, follower.giving) = (None, false);
        }
    }

    /// Everything up to `end` is now on its stream.
    pub(super) fn sent(&mut self, now: Instant, node: NodeId, end: u64) {
        let follower = self.followers.entry(node).or_default();
        (follower.sent, follower.giving) = (Some(end), false);
        if follower.acknowledged.unwrap_or(0) < end {
            follower.waiting_since.get_or_insert(now);
        }
    }

    /// A part of our log is on its stream; the one after it waits to be asked for.
    pub(super) fn sent_part(&mut self, now: Instant, node: NodeId) {
        let follower = self.followers.entry(node).or_default();
        (follower.sent, follower.giving) = (None, true);
        follower.waiting_since.get_or_insert(now);
    }

    /// It asks for the part that begins at `next`. If it asked for none so far before, that is an answer: what it owes, it owes
    /// from now (B-LOG-13).
    pub(super) fn holds_parts(&mut self, now: Instant, node: NodeId, next: u64) {
        let follower = self.followers.entry(node).or_default();
        if next > follower.parts_held {
            follower.parts_held = next;
            follower.waiting_since = follower.waiting_since.map(|_| now);
        }
    }

    /// Who is being given our log in parts.
    pub(super) fn given_in_parts(&self) -> impl Iterator<Item = NodeId> {
        self.followers.iter().filter(|(_, f)| f.giving).map(|(node, _)| *node)
    }

    /// Whether nothing of our log is on its stream.
    pub(super) fn lacks_log(&self, node: NodeId) -> bool {
        self.followers.get(&node).is_none_or(|f| f.sent.is_none() && !f.giving)
    }

    /// From where a member is to be sent; `None`: it has not got our log yet (a resync comes first).
    pub(super) fn sent_to(&self, node: NodeId) -> Option<u64> {
        self.followers.get(&node).and_then(|f| f.sent)
    }

    /// Its acknowledgement under this epoch.
    pub(super) fn acknowledged(&mut self, now: Instant, node: NodeId, end: u64, height: Height) {
        let follower = self.followers.entry(node).or_default();
        let before = follower.acknowledged.unwrap_or(0);
        follower.acknowledged = Some(before.max(end));
        follower.height = height;
        let owed = follower.sent.is_some_and(|sent| sent > end);
        follower.waiting_since = match follower.waiting_since {
            Some(_) if owed && end > before => Some(now),
            Some(since) if owed => Some(since),
            _ => None,
        };
    }

    /// The next change of the set to ask for, or to ask for again. One at a time: each bumps the version.
    ///
    /// A member is proposed for removal when it owes an acknowledgement for longer than `patience` with it; zero: it
    /// is dead (R5). A node is proposed for addition when it acknowledged all that was exposed (rule 21), and is waited for from
    /// this very moment. `is_ready`: what acts outside is, too.
    pub(super) fn next_change(
        &mut self,
        now: Instant,
        patience: impl Fn(NodeId) -> Duration,
        is_ready: impl Fn(NodeId) -> bool,
        retry_interval: Duration,
        mut request: impl FnMut() -> u64,
    ) -> Option<Change> {
        if let Some(asked) = &mut self.asked {
            if now < asked.retry_at {
                return None;
            }
            asked.retry_interval = (asked.retry_interval * 2).min(retry_interval * 64);
            asked.retry_at = now + asked.retry_interval;
            return Some(asked.change.clone());
        }
        let silent = |node: &NodeId| {
            let patience = patience(*node);
            patience == Duration::ZERO
                || self
                    .followers
                    .get(node)
                    .and_then(|f| f.waiting_since)
                    .is_some_and(|since| now - since >= patience)
        };
        let lost = self.waiting_for.iter().copied().find(silent);
        let caught_up = || self.caught_up().find(|node| patience(*node) > Duration::ZERO && is_ready(*node));
        let (kind, node) = match lost {
            Some(node) => (ChangeKind::Remove, node),
            None => (ChangeKind::Add, caught_up()?),
        };
        if kind == ChangeKind::Add {
            self.adding = Some(node);
            // I5: waited for before it is asked for, and it holds all that was exposed.
            assert!(
                self.followers.get(&node).and_then(|f| f.acknowledged).is_some_and(|a| a >= self.exposed),
                "only who holds all that was exposed is added"
            );
        }
        let change = Change {
            request: request(),
            cluster: self.cluster,
            epoch: self.epoch,
            version: self.version,
            kind,
            node,
            ..Default::default()
        };
        self.asked = Some(Asked { change: change.clone(), retry_at: now + retry_interval, retry_interval });
        Some(change)
    }

    /// The authority answered our change with something else than a newer row. If nothing was changed at this very
    /// version the request is void: it may be asked anew, but one who is being added is waited for until a newer row.
    pub(super) fn change_refused(&mut self, request: u64) {
        if self.asked.as_ref().is_some_and(|a| a.change.request == request) {
            self.asked = None;
        }
    }

    pub(super) fn poll_timeout(&self, patience: impl Fn(NodeId) -> Duration) -> Option<Instant> {
        if let Some(asked) = &self.asked {
            return Some(asked.retry_at);
        }
        self.waiting_for
            .iter()
            .filter_map(|node| {
                let since = self.followers.get(node).and_then(|f| f.waiting_since)?;
                Some(since + patience(*node))
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const ME: NodeId = NodeId(1);
    const A: NodeId = NodeId(2);
    const B: NodeId = NodeId(3);
    const E: Epoch = Epoch(4);
    const DEAD: Duration = Duration::from_millis(50);
    const RETRY: Duration = Duration::from_millis(20);

    fn dead_a(node: NodeId) -> Duration {
        if node == A { Duration::ZERO } else { DEAD }
    }

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn row(version: u64, in_sync: &[NodeId]) -> Row {
        Row {
            cluster: ClusterId(1),
            epoch: E,
            version: Version(version),
            master: ME,
            in_sync: in_sync.to_vec(),
            barred: Vec::new(),
            unfenced: false,
            table_version: 9,
        }
    }

    fn vote(n: u8) -> Gated {
        Gated::Send { to: None, bytes: Bytes::copy_from_slice(&[n]) }
    }

    fn with_members(members: &[NodeId]) -> Master {
        let mut all = vec![ME];
        all.extend(members);
        Master::new(ms(0), ME, &row(0, &all), 0)
    }

    #[test]
    fn a_vote_waits_for_our_own_disk() {
        let mut m = with_members(&[]);
        m.gate.hold(1, vote(1), Height(0));
        assert_eq!(m.release(E), []);
        m.persisted(1);
        assert_eq!(m.release(E), [vote(1)]);
    }

    #[test]
    fn a_vote_waits_for_every_member_of_the_set_and_not_for_a_majority() {
        let mut m = with_members(&[A, B]);
        m.gate.hold(3, vote(1), Height(0));
        m.persisted(3);
        m.acknowledged(ms(1), A, 3, Height(0));
        assert_eq!(m.release(E), []);
        m.acknowledged(ms(1), B, 2, Height(0));
        assert_eq!(m.release(E), []);
        m.acknowledged(ms(1), B, 3, Height(0));
        assert_eq!(m.release(E), [vote(1)]);
        assert_eq!(m.exposed(), 3);
    }

    #[test]
    fn it_is_ready_when_all_who_are_waited_for_have_the_log_that_it_began_with() {
        let mut m = Master::new(ms(0), ME, &row(0, &[ME, A]), 5);
        assert!(!m.is_ready(), "an acknowledgement of nothing is one, too");
        m.acknowledged(ms(1), A, 4, Height(0));
        assert!(!m.is_ready());
        m.acknowledged(ms(1), A, 5, Height(0));
        assert!(m.is_ready());
        assert!(Master::new(ms(0), ME, &row(0, &[ME]), 5).is_ready());
        assert!(
            !Master::new(ms(0), ME, &row(0, &[ME, A]), 0).is_ready(),
            "an empty log, too, must be theirs"
        );
    }

    #[test]
    fn asking_for_a_removal_is_not_enough_to_go_on_without() {
        let mut m = with_members(&[A]);
        m.gate.hold(1, vote(1), Height(0));
        m.persisted(1);
        let change = m.next_change(ms(0), dead_a, |_| true, RETRY, || 7).expect("a removal");
        assert_eq!((change.kind, change.node), (ChangeKind::Remove, A));
        assert_eq!((change.cluster, change.epoch, change.version), (ClusterId(1), E, Version(0)));
        assert_eq!(m.release(E), []);
        m.learn(&row(1, &[ME]));
        assert_eq!(m.release(E), [vote(1)]);
        m.sent(ms(0), A, 1);
        m.acknowledged(ms(0), A, 1, Height(0));
        let change = m.next_change(ms(0), |_| DEAD, |_| true, RETRY, || 8).expect("an addition");
        assert_eq!((change.epoch, change.version, change.kind), (E, Version(1), ChangeKind::Add));
    }

    #[test]
    fn who_is_being_added_is_waited_for_from_the_asking() {
        let mut m = with_members(&[]);
        m.stream_up(A);
        m.sent(ms(0), A, 0);
        m.acknowledged(ms(0), A, 0, Height(0));
        let change = m.next_change(ms(0), |_| DEAD, |_| true, RETRY, || 7).expect("an addition");
        assert_eq!((change.kind, change.node), (ChangeKind::Add, A));
        m.gate.hold(1, vote(1), Height(0));
        m.persisted(1);
        assert_eq!(m.release(E), []);
        m.change_refused(7);
        assert_eq!(m.release(E), [], "a refusal alone frees nobody");
        m.acknowledged(ms(1), A, 1, Height(0));
        assert_eq!(m.release(E), [vote(1)]);
    }

    #[test]
    fn who_lacks_an_exposed_record_is_not_added() {
        let mut m = with_members(&[]);
        m.gate.hold(2, vote(1), Height(0));
        m.persisted(2);
        m.release(E);
        m.stream_up(A);
        m.sent(ms(0), A, 2);
        m.acknowledged(ms(0), A, 1, Height(0));
        assert_eq!(m.next_change(ms(0), |_| DEAD, |_| true, RETRY, || 7), None);
        m.acknowledged(ms(0), A, 2, Height(0));
        assert!(m.next_change(ms(0), |_| DEAD, |_| true, RETRY, || 7).is_some());
    }

    #[test]
    fn the_inherited_log_counts_as_exposed() {
        let mut m = Master::new(ms(0), ME, &row(0, &[ME]), 5);
        m.stream_up(A);
        m.sent(ms(0), A, 5);
        m.acknowledged(ms(0), A, 4, Height(0));
        assert_eq!(m.next_change(ms(0), |_| DEAD, |_| true, RETRY, || 7), None);
    }

    #[test]
    fn a_member_that_owes_an_acknowledgement_is_removed_at_the_dead_interval() {
        let mut m = with_members(&[A]);
        m.sent(ms(0), A, 0);
        m.acknowledged(ms(0), A, 0, Height(0));
        m.sent(ms(100), A, 1);
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(150)));
        assert_eq!(m.next_change(ms(149), |_| DEAD, |_| true, RETRY, || 7), None);
        let change = m.next_change(ms(150), |_| DEAD, |_| true, RETRY, || 7).expect("a removal");
        assert_eq!((change.kind, change.node), (ChangeKind::Remove, A));
    }

    #[test]
    fn a_member_without_a_stream_owes_from_the_start_of_the_role() {
        let mut m = with_members(&[A]);
        assert_eq!(m.next_change(ms(49), |_| DEAD, |_| true, RETRY, || 7), None);
        assert!(
            m.next_change(ms(50), |_| DEAD, |_| true, RETRY, || 7)
                .is_some_and(|c| c.kind == ChangeKind::Remove)
        );
    }

    #[test]
    fn our_own_lateness_is_nobodys_debt() {
        let mut m = with_members(&[A]);
        m.forgive(ms(500));
        assert_eq!(m.next_change(ms(549), |_| DEAD, |_| true, RETRY, || 7), None);
    }

    #[test]
    fn what_was_only_inherited_is_not_told_as_released() {
        let mut m = Master::new(ms(0), ME, &row(0, &[ME]), 5);
        assert_eq!((m.exposed(), m.released()), (5, 0));
        m.gate.hold(5, vote(1), Height(0));
        m.release(E);
        assert_eq!(m.released(), 5);
    }

    #[test]
    fn a_change_is_repeated_unchanged_until_it_is_answered() {
        let mut m = with_members(&[A]);
        let first = m.next_change(ms(0), dead_a, |_| true, RETRY, || 7);
        assert_eq!(m.next_change(ms(19), dead_a, |_| true, RETRY, || 8), None);
        assert_eq!(m.next_change(ms(20), dead_a, |_| true, RETRY, || 8), first);
    }

    #[test]
    fn a_row_of_another_epoch_or_an_older_version_changes_nothing() {
        let mut m = with_members(&[A]);
        m.learn(&row(0, &[ME]));
        assert!(m.waiting_for.contains(&A));
        let mut other = row(5, &[ME]);
        other.epoch = Epoch(5);
        m.learn(&other);
        assert!(m.waiting_for.contains(&A));
    }

    #[test]
    #[should_panic(expected = "a master of an older epoch releases nothing")]
    fn a_master_whose_node_promised_more_releases_nothing() {
        let mut m = with_members(&[]);
        m.release(Epoch(5));
    }

    #[test]
    fn it_says_what_it_is_and_whom_it_waits_for() {
        let mut m = with_members(&[A]);
        assert_eq!((m.epoch(), m.released()), (E, 0));
        assert!(m.waits_for(A) && !m.waits_for(B) && !m.waits_for(ME));
        assert_eq!(m.holders().collect::<Vec<_>>(), [A]);
        m.acknowledged(ms(0), A, 0, Height(0));
        m.sent(ms(0), B, 0);
        m.acknowledged(ms(0), B, 0, Height(0));
        assert!(m.next_change(ms(0), |_| DEAD, |_| true, RETRY, || 7).is_some());
        assert!(m.waits_for(B), "it is being added");
        assert_eq!(m.holders().collect::<Vec<_>>(), [A, B]);
    }

    /// B-ISS-4: neither the barred nor the dead, nor who has no stream or lacks the health that is asked for.
    #[test]
    fn who_is_barred_dead_away_or_unfit_is_not_added() {
        let caught_up = |barred: Vec<NodeId>| {
            let mut m = Master::new(ms(0), ME, &Row { barred, ..row(0, &[ME]) }, 0);
            m.sent(ms(0), A, 0);
            m.acknowledged(ms(0), A, 0, Height(0));
            m
        };
        let asks = |m: &mut Master, patience, fit| m.next_change(ms(0), |_| patience, |_| fit, RETRY, || 7);
        assert!(asks(&mut caught_up(vec![]), DEAD, true).is_some());
        assert_eq!(asks(&mut caught_up(vec![A]), DEAD, true), None);
        assert_eq!(asks(&mut caught_up(vec![]), Duration::ZERO, true), None);
        assert_eq!(asks(&mut caught_up(vec![]), DEAD, false), None);
        let mut away = caught_up(vec![]);
        away.stream_down(A);
        assert_eq!((away.sent_to(A), asks(&mut away, DEAD, true)), (None, None));
        let mut anew = caught_up(vec![]);
        anew.stream_up(A);
        assert_eq!((anew.sent_to(A), asks(&mut anew, DEAD, true)), (None, None));
        anew.sent(ms(0), A, 4);
        assert_eq!(anew.sent_to(A), Some(4));
        assert_eq!(caught_up(vec![]).caught_up().collect::<Vec<_>>(), [A]);
    }

    #[test]
    fn what_a_member_owes_begins_with_the_first_unacknowledged_and_anew_with_each_that_it_acknowledges() {
        let mut m = with_members(&[A]);
        m.acknowledged(ms(0), A, 5, Height(0));
        m.sent(ms(10), A, 5);
        assert_eq!(m.poll_timeout(|_| DEAD), None, "it has all");
        m.sent(ms(20), A, 9);
        m.sent(ms(25), A, 10);
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(70)));
        m.acknowledged(ms(30), A, 7, Height(0));
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(80)), "it moves");
        m.acknowledged(ms(40), A, 7, Height(0));
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(80)), "it does not");
        m.acknowledged(ms(45), A, 6, Height(0));
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(80)), "an old answer takes nothing back");
        m.gate.hold(7, vote(1), Height(0));
        m.persisted(7);
        assert_eq!(m.release(E), [vote(1)]);
        m.acknowledged(ms(50), A, 10, Height(0));
        assert_eq!(m.poll_timeout(|_| DEAD), None);
    }

    /// B-LOG-13: who asks again for what it asked for before does not gain time by it.
    #[test]
    fn a_part_that_is_asked_for_counts_as_an_answer_once() {
        let mut m = with_members(&[A]);
        assert!(m.lacks_log(A));
        m.sent_part(ms(0), A);
        assert!(!m.lacks_log(A));
        assert_eq!((m.sent_to(A), m.given_in_parts().collect::<Vec<_>>()), (None, vec![A]));
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(50)));
        m.holds_parts(ms(10), A, 6);
        m.sent_part(ms(10), A);
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(60)));
        for next in [6, 5] {
            m.holds_parts(ms(20), A, next);
            assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(60)), "it asked for this part before");
        }
        m.holds_parts(ms(30), A, 9);
        m.sent(ms(30), A, 12);
        assert_eq!((m.sent_to(A), m.given_in_parts().count()), (Some(12), 0));
        assert_eq!(m.poll_timeout(|_| DEAD), Some(ms(80)), "it owes the whole log");
        for ends in [Master::stream_up, Master::stream_down] {
            m.sent_part(ms(30), A);
            ends(&mut m, A);
            assert!(m.lacks_log(A));
        }
    }

    /// B-ISS-5: the wait doubles up to 64 times, and a refusal of that very request ends it.
    #[test]
    fn a_change_is_repeated_after_twice_the_wait_each_time_and_asked_anew_after_its_refusal() {
        let mut m = with_members(&[A]);
        let first = m.next_change(ms(0), dead_a, |_| true, RETRY, || 7);
        let mut at = 20;
        for wait in [40, 80, 160, 320, 640, 1280, 1280, 1280] {
            assert_eq!(m.poll_timeout(dead_a), Some(ms(at)));
            assert_eq!(m.next_change(ms(at - 1), dead_a, |_| true, RETRY, || 8), None);
            assert_eq!(m.next_change(ms(at), dead_a, |_| true, RETRY, || 8), first);
            at += wait;
        }
        m.change_refused(8);
        assert_eq!(m.next_change(ms(at - 1), dead_a, |_| true, RETRY, || 9), None, "it was another one");
        m.change_refused(7);
        let anew = m.next_change(ms(at - 1), dead_a, |_| true, RETRY, || 9).expect("asked anew");
        assert_eq!((anew.request, anew.kind, anew.node), (9, ChangeKind::Remove, A));
    }
}
