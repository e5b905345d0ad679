//! What the outside may ask of a node's machine: nothing here changes it.

use super::{Duty, Node};
use crate::discard::Discards;
use crate::held::Held;
use duohuo_wire::ids::{Epoch, NodeId};
use duohuo_wire::packet::Role;

impl Node {
    /// The role it plays.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.duty {
            Duty::Lead(_) => Role::Master,
            _ if self.claims.standby == Some(self.me) => Role::Standby,
            _ => Role::Ordinary,
        }
    }

    /// The counters of what was dropped.
    #[must_use]
    pub const fn discards(&self) -> &Discards {
        &self.discards
    }

    /// The epoch in which it leads.
    #[must_use]
    pub fn leads(&self) -> Option<Epoch> {
        match &self.duty {
            Duty::Lead(master) => Some(master.epoch()),
            _ => None,
        }
    }

    /// Whether as master it says nothing that `node` has not on its disk: its own, a member's of the set that it knows,
    /// or of who is being added (rules 19 and 21).
    #[must_use]
    pub fn waits_for(&self, node: NodeId) -> bool {
        matches!(&self.duty, Duty::Lead(master) if node == self.me || master.waits_for(node))
    }

    /// What it holds in memory.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        let gate = match &self.duty {
            Duty::Lead(master) => master.gate.held(),
            _ => Held::entries("gate", 0),
        };
        let mut held = vec![
            self.log.held(),
            self.follower.held(),
            gate,
            Held::entries("waits for the disk", self.after.values().map(Vec::len).sum()),
            Held::entries("waiting clients", self.waiting.values().map(Vec::len).sum()),
            Held::entries("watchers", self.watchers.count()),
            self.offences.held(),
            Held::entries("pool", self.chain.status().pool),
        ];
        held.extend(self.links.held());
        held.extend(self.group.held());
        held.extend(self.chain.held());
        held
    }
}
