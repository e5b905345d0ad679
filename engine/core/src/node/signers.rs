//! The keys that others' statements are verified with, as points of the curve: 32 bytes of the roster become one once
//! and not with each packet.

use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::{VerifyingKey, verifying_key};
use std::collections::BTreeMap;

/// Of the roster in force.
pub(super) struct Signers {
    authority: Option<VerifyingKey>,
    members: BTreeMap<NodeId, VerifyingKey>,
}

impl Signers {
    /// The authority's, and those of one cluster's nodes.
    pub(super) fn of(roster: &Roster, cluster: ClusterId) -> Self {
        let nodes = roster.cluster(cluster).into_iter().flat_map(|c| &c.nodes);
        Self {
            authority: verifying_key(&roster.authority.signing_key),
            members: nodes.filter_map(|n| Some((n.id, verifying_key(&n.signing_key)?))).collect(),
        }
    }

    /// The authority's; `None`: the roster's bytes are no key.
    pub(super) const fn authority(&self) -> Option<VerifyingKey> {
        self.authority
    }

    /// That of a node of our own cluster; `None` for any other.
    pub(super) fn member(&self, node: NodeId) -> Option<&VerifyingKey> {
        self.members.get(&node)
    }
}
