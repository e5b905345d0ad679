//! What a scenario may ask of a world.

use super::World;
use crate::host::{Anyone, Settings};
use bytes::Bytes;
use duohuo_chain::{Block, CommittedBlock};
use duohuo_core::chain::TransactionId;
use duohuo_core::event::Event;
use duohuo_core::io::{Input, Table};
use duohuo_core::store::{self, KeptSnapshot};
use duohuo_wire::ids::{ClusterId, Height, NodeId};
use duohuo_wire::packet::Role;
use std::collections::BTreeMap;

impl World {
    /// What all machines are told.
    #[must_use]
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// How often a machine dropped something for this reason in its present life.
    #[must_use]
    pub fn discards(&self, id: NodeId, label: &str) -> u64 {
        let machine = self.hosts.get(&id).and_then(|h| h.machine.as_ref());
        machine.and_then(Anyone::discards).map_or(0, |d| d.of(label))
    }

    /// What a machine dropped in its present life, by reason.
    #[must_use]
    pub fn all_discards(&self, id: NodeId) -> Vec<(&'static str, u64)> {
        let machine = self.hosts.get(&id).and_then(|h| h.machine.as_ref());
        machine.and_then(Anyone::discards).map_or_else(Vec::new, |d| d.iter().collect())
    }

    /// All datagrams on the wire so far (kept while the luck has replays).
    #[must_use]
    pub fn captured(&self) -> &[(NodeId, Input)] {
        &self.captured
    }

    /// The highest key of a table on a disk.
    #[must_use]
    pub fn last_key(&self, id: NodeId, table: Table) -> Option<u64> {
        let host = self.hosts.get(&id)?;
        host.disk.range((table, 0)..=(table, u64::MAX)).next_back().map(|((_, key), _)| *key)
    }

    /// The snapshots that a node has whole on its disk, with their pieces.
    #[must_use]
    pub fn snapshots(&self, id: NodeId) -> Vec<(KeptSnapshot, Vec<Bytes>)> {
        let Some(host) = self.hosts.get(&id) else { return Vec::new() };
        let meta = host.disk.range((Table::Meta, 0)..=(Table::Meta, u64::MAX));
        let meta = meta.map(|((_, key), value)| (*key, value.clone())).collect();
        let pieces = |kept: &KeptSnapshot| {
            (0..kept.chunks).filter_map(|n| host.disk.get(&(Table::Snapshot, kept.key(n))).cloned()).collect()
        };
        let kept = store::snapshots(&meta).unwrap_or_default();
        kept.into_iter().map(|kept| (kept.clone(), pieces(&kept))).collect()
    }

    /// The lowest key of a table on a disk.
    #[must_use]
    pub fn first_key(&self, id: NodeId, table: Table) -> Option<u64> {
        let host = self.hosts.get(&id)?;
        host.disk.range((table, 0)..=(table, u64::MAX)).next().map(|((_, key), _)| *key)
    }

    /// Who acts as master of a cluster, by the last role each live node told.
    #[must_use]
    pub fn master(&self, cluster: ClusterId) -> Option<NodeId> {
        let nodes = &self.consortium.roster.cluster(cluster)?.nodes;
        nodes.iter().map(|n| n.id).find(|id| self.is_up(*id) && self.checker.role(*id) == Some(Role::Master))
    }

    /// Every transfer that was answered as committed stands in exactly one block of `id`'s store, if its height is there.
    pub fn audit(&self, id: NodeId) {
        let mut found: BTreeMap<TransactionId, u32> = BTreeMap::new();
        let mut lowest = Height(u64::MAX);
        for block in self.blocks(id) {
            let block = CommittedBlock::decode(&block).and_then(|committed| Block::decode(&committed.block));
            let block = block.expect("a stored block can be read");
            lowest = lowest.min(block.height);
            for transfer in &block.transactions {
                *found.entry(transfer.id).or_default() += 1;
            }
        }
        let reached = self.last_key(id, Table::Block).unwrap_or(0);
        for (transaction, height) in
            self.book.borrow().committed.iter().filter(|(_, h)| **h >= lowest && h.0 <= reached)
        {
            let times = found.get(transaction).copied().unwrap_or(0);
            assert_eq!(
                times, 1,
                "{transaction:?}, answered as committed at {height}, stands in {times} blocks of {id}"
            );
        }
        assert!(found.values().all(|times| *times == 1), "nothing is committed twice");
    }

    /// The committed blocks on a disk.
    #[must_use]
    pub fn blocks(&self, id: NodeId) -> Vec<Bytes> {
        let Some(host) = self.hosts.get(&id) else {
            return Vec::new();
        };
        host.disk
            .iter()
            .filter(|((table, _), _)| *table == Table::Block)
            .map(|(_, block)| block.clone())
            .collect()
    }

    /// The last event of a kind, for scenarios.
    #[must_use]
    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.checker.log.iter().any(|(_, _, event)| wanted(event))
    }
}
