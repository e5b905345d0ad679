//! Watches from outside: what every run must keep, whatever the machines believe.

use duohuo_core::Instant;
use duohuo_core::chain::{VoteKind, VoteSeen};
use duohuo_core::event::Event;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::packet::Role;
use std::collections::BTreeMap;

/// Which word of a cluster.
type Slot = (ClusterId, Height, u32, VoteKind);

/// The checkers' state.
#[derive(Default)]
pub struct Checker {
    words: BTreeMap<Slot, VoteSeen>,
    committed: BTreeMap<Height, [u8; 32]>,
    liars: Vec<NodeId>,
    grants: BTreeMap<(ClusterId, Epoch), NodeId>,
    roles: BTreeMap<NodeId, Role>,
    /// Everything that was told, but for votes and commits.
    pub log: Vec<(Instant, NodeId, Event)>,
    /// When each node released its first word in an epoch.
    pub first_words: BTreeMap<(ClusterId, Epoch), (Instant, NodeId)>,
    /// When each height was first committed, and where.
    pub commits: BTreeMap<Height, (Instant, NodeId)>,
    /// What was broken; a run must end with none.
    pub broken: Vec<String>,
}

impl Checker {
    /// Results of this node are wrong on purpose: its state is not compared.
    pub fn expect_wrong_results(&mut self, node: NodeId) {
        self.liars.push(node);
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

    /// One event of one machine.
    pub fn event(&mut self, now: Instant, from: NodeId, event: &Event) {
        match event {
            Event::Released(vote) => {
                self.first_words.entry((vote.cluster, vote.epoch)).or_insert((now, from));
                self.word(vote);
            }
            Event::Received(vote) => self.word(vote),
            Event::Committed { height, state_hash } => {
                self.commits.entry(*height).or_insert((now, from));
                if self.liars.contains(&from) {
                    return;
                }
                let agreed = *self.committed.entry(*height).or_insert(*state_hash);
                if agreed != *state_hash {
                    self.broken.push(format!("{now}: {from} has another state at {height} than others"));
                }
            }
            Event::Granted { cluster, epoch, node } => {
                if let Some(before) = self.grants.insert((*cluster, *epoch), *node)
                    && before != *node
                {
                    self.broken.push(format!("{now}: {cluster} {epoch} granted to {before} and to {node}"));
                }
                let newest =
                    self.grants.range((*cluster, Epoch(0))..=(*cluster, Epoch(u64::MAX))).next_back();
                if newest.is_some_and(|((_, e), _)| e > epoch) {
                    self.broken.push(format!("{now}: the epoch of {cluster} fell to {epoch}"));
                }
            }
            Event::RoleChanged { role, .. } => {
                self.roles.insert(from, *role);
            }
            Event::Halted { reason } => self.broken.push(format!("{now}: {from} halted: {reason:?}")),
            _ => {}
        }
        if !event.is_frequent() {
            self.log.push((now, from, *event));
        }
    }

    /// P1: one word per slot, and the same bytes whoever says it.
    fn word(&mut self, vote: &VoteSeen) {
        let slot = (vote.cluster, vote.height, vote.round, vote.kind);
        let first = *self.words.entry(slot).or_insert(*vote);
        if first.value != vote.value {
            self.broken.push(format!("conflicting words for {slot:?}: {first:?} and {vote:?}"));
        } else if first.signature != vote.signature {
            self.broken.push(format!("one word in two wordings for {slot:?}"));
        }
    }

    /// After every step.
    pub fn check(&self, _now: Instant) {
        assert!(self.broken.is_empty(), "{:#?}", self.broken);
    }
}
