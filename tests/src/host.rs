//! A host of the world: one machine, its disk, and how it starts from that disk.

use crate::client::Client;
use crate::consortium::Consortium;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_chain::{Embedded, EmbeddedConfig, Genesis, Timing};
use duohuo_core::Instant;
use duohuo_core::authority::Authority;
use duohuo_core::chain::Chain;
use duohuo_core::config::{AuthorityConfig, NodeConfig, Timers};
use duohuo_core::discard::Discards;
use duohuo_core::io::{Input, Machine, Output, Stored, Table, Write};
use duohuo_core::node::Node;
use duohuo_wire::ids::NodeId;
use std::collections::{BTreeMap, VecDeque};

/// Keepalive interval of all worlds.
pub const KEEPALIVE: Duration = Duration::from_millis(10);

/// Whatever runs on a host.
pub(crate) enum Anyone {
    Authority(Box<Authority>),
    Node(Box<Node>),
    Client(Box<Client>),
}

impl Anyone {
    fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Self::Authority(machine) => machine.as_mut(),
            Self::Node(machine) => machine.as_mut(),
            Self::Client(machine) => machine.as_mut(),
        }
    }

    /// What it dropped, and why.
    pub(crate) fn discards(&self) -> Option<&Discards> {
        match self {
            Self::Authority(machine) => Some(machine.discards()),
            Self::Node(machine) => Some(machine.discards()),
            Self::Client(_) => None,
        }
    }
}

impl Machine for Anyone {
    fn handle(&mut self, now: Instant, input: Input) {
        self.machine().handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.machine().poll_output()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Authority(machine) => machine.poll_timeout(),
            Self::Node(machine) => machine.poll_timeout(),
            Self::Client(machine) => machine.poll_timeout(),
        }
    }
}

/// One machine and its disk.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) machine: Option<Anyone>,
    pub(crate) disk: BTreeMap<(Table, u64), Bytes>,
    /// Batches not yet durable, oldest first.
    pub(crate) writing: VecDeque<(u64, Vec<Write>)>,
    pub(crate) disk_free_at: Instant,
    /// Incremented with each start: what was meant for an earlier life is dropped.
    pub(crate) life: u32,
    pub(crate) next_accepted: u64,
    pub(crate) timer: Option<Instant>,
}

/// The machine of a node or of the authority, as its disk says.
pub(crate) fn start(
    id: NodeId,
    consortium: &Consortium,
    disk: &BTreeMap<(Table, u64), Bytes>,
    seed: [u8; 32],
) -> Anyone {
    let mut stored = Stored::default();
    let mut blocks = Vec::new();
    for ((table, key), value) in disk {
        match table {
            Table::Meta => drop(stored.meta.insert(*key, value.clone())),
            Table::Record => drop(stored.records.insert(*key, value.clone())),
            Table::Command => drop(stored.commands.insert(*key, value.clone())),
            Table::Block => blocks.push(value.clone()),
        }
    }
    let keys = consortium.keys[&id].clone();
    let timers = Timers::for_keepalive(KEEPALIVE);
    let roster = consortium.roster.clone();
    let operator_key = consortium.operator.verifying_key().to_bytes();
    let unix_at_zero = Duration::from_secs(1_700_000_000);
    if id == NodeId::AUTHORITY {
        let config = AuthorityConfig {
            session_secret: keys.session,
            signing_key: keys.signing,
            sealing_secret: consortium.sealing,
            roster,
            operator_key,
            timers,
            seed,
            unix_at_zero,
        };
        let authority = Authority::new(config, stored).expect("the authority starts from its own disk");
        return Anyone::Authority(Box::new(authority));
    }
    let cluster = roster.node(id).expect("only enrolled nodes are started").0.id;
    let mut chain = Embedded::new(EmbeddedConfig {
        cluster,
        node: id,
        signing_key: keys.signing.clone(),
        roster: roster.clone(),
        genesis: Genesis { accounts: (0..16).map(|a| (a, 1_000_000)).collect() },
        timing: Timing::default(),
    });
    for block in &blocks {
        chain.restore(block).expect("own blocks restore");
    }
    let config = NodeConfig {
        node: id,
        session_secret: keys.session,
        signing_key: keys.signing,
        roster,
        operator_key,
        group_secret: consortium.groups[&cluster],
        timers,
        seed,
        unix_at_zero,
    };
    let node = Node::new(config, stored, Box::new(chain)).expect("a node starts from its own disk");
    Anyone::Node(Box::new(node))
}
