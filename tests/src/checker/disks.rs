//! What must stand on the disks, after every write: S2, S6, S9, S12, S13, S18.

use super::Checker;
use crate::host::{Disk, height_of};
use bytes::Bytes;
use duohuo_chain::{Block, CommittedBlock};
use duohuo_core::Instant;
use duohuo_core::chain::{TransactionId, VoteKind, VoteSeen};
use duohuo_core::held::Held;
use duohuo_core::io::{Table, Write};
use duohuo_core::store::{META_LOG_END, META_PROMISE};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};

/// Log records of one node at once: far above what the rounds of one height need.
pub(super) const RECORDS: usize = 20_000;

/// What a machine may hold in memory: entries, and bytes. Several times what was ever seen.
const BOUNDS: &[(&str, usize, usize)] = &[
    ("log", RECORDS, 64 << 20),
    ("parts of a log", RECORDS, 64 << 20),
    ("gate", 1_024, 16 << 20),
    ("waits for the disk", 20_000, 0),
    ("waiting clients", 20_000, 0),
    ("watchers", 64, 0),
    ("pool", 20_000, 0),
    ("datagram sessions", 512, 0),
    ("streams", 512, 16 << 20),
    ("group senders", 512, 0),
    ("keepalives sent", 512, 0),
    ("early messages", 256 * 8, 0),
    ("receipts", 20_000, 0),
    ("gossip", 20_000, 0),
    ("results", 4_096, 0),
    ("verified signatures", 3 * 4_096, 0),
    ("switches", 256, 0),
    ("reports", 1_024, 0),
    ("offences", 256, 0),
    ("words of others", 256 * 8, 0),
];

impl Checker {
    /// These writes of a machine are durable; `disk` and `records` are what it has now.
    pub fn wrote(&mut self, now: Instant, node: NodeId, writes: &[Write], disk: &Disk, records: usize) {
        self.record(|| super::Step::Wrote { node, writes: writes.to_vec() });
        if node == NodeId::AUTHORITY {
            self.decided(writes);
            return;
        }
        if records > RECORDS {
            self.say("S9", || format!("{now}: {node} keeps {records} records"));
        }
        let mut shrank = false;
        for write in writes {
            match write {
                Write::Put { table: Table::Meta, key: META_PROMISE, value } => self.promise(now, node, value),
                Write::Put { table: Table::Block, key, value } => self.block(now, node, Height(*key), value),
                Write::Put { table: Table::Record, .. } | Write::DeleteRange { table: Table::Record, .. } => {
                    shrank = true;
                }
                _ => {}
            }
        }
        if shrank {
            self.is_a_log(now, node, disk, records);
        }
        let in_sync = self.rows.entries().find(|(_, entry)| entry.row.in_sync.contains(&node));
        if let Some(cluster) = in_sync.map(|(cluster, _)| *cluster).filter(|_| shrank) {
            self.holds_all("S2", now, (cluster, Epoch(u64::MAX)), node, disk);
        }
    }

    /// S18: what is kept of a log is its end, and has no gap: else the node does not start from it.
    fn is_a_log(&mut self, now: Instant, node: NodeId, disk: &Disk, records: usize) {
        let end = disk.get(&(Table::Meta, META_LOG_END)).and_then(|value| value.first_chunk::<8>());
        let end = end.map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let mut kept = disk.range((Table::Record, 0)..=(Table::Record, u64::MAX)).map(|((_, key), _)| *key);
        let first = kept.next().unwrap_or(end);
        let last = kept.next_back().unwrap_or(first);
        if first + records as u64 != end || (records > 0 && last + 1 != end) {
            self.say("S18", || {
                format!(
                    "{now}: {node} keeps {records} records from {first} to {last} of a log that ends at {end}"
                )
            });
        }
    }

    /// A machine starts from this disk: nothing on it may be older than what it was known to hold.
    pub fn started(&mut self, now: Instant, node: NodeId, disk: &Disk) {
        if node == NodeId::AUTHORITY {
            let before: Vec<(ClusterId, Epoch, Version)> =
                self.rows.entries().map(|(c, entry)| (*c, entry.row.epoch, entry.row.version)).collect();
            self.authority_started(disk);
            for (cluster, epoch, version) in before {
                let row = self.rows.entry(cluster).map(|entry| (entry.row.epoch, entry.row.version));
                if row.is_none_or(|row| row < (epoch, version)) {
                    self.say("S12", || {
                        format!(
                            "{now}: the authority knew {cluster} at {epoch} {version}, and starts at {row:?}"
                        )
                    });
                }
            }
            return;
        }
        match disk.get(&(Table::Meta, META_PROMISE)) {
            Some(value) => self.promise(now, node, value),
            None if self.promised.contains_key(&node) => {
                self.say("S12", || format!("{now}: {node} starts without the epoch that it promised"));
            }
            None => {}
        }
    }

    /// S12: the promised epoch of a node never falls.
    fn promise(&mut self, now: Instant, node: NodeId, value: &Bytes) {
        let promised = value.first_chunk::<8>().map_or(Epoch(0), |bytes| Epoch(u64::from_be_bytes(*bytes)));
        let before = self.promised.entry(node).or_default();
        if promised < *before {
            let before = *before;
            self.say("S12", || format!("{now}: {node} promised {before}, and now {promised}"));
        } else {
            *before = promised;
        }
    }

    /// S5, S6: the same block at a height on every disk, and each transfer in one block only.
    fn block(&mut self, now: Instant, node: NodeId, height: Height, bytes: &Bytes) {
        let Some(committed) = CommittedBlock::decode(bytes) else {
            self.say("S5", || format!("{now}: {node} stores at {height} what is no block"));
            return;
        };
        if let Some(first) = self.blocks.get(&height) {
            if *first != committed.block {
                self.say("S5", || format!("{now}: {node} stores another block at {height} than others"));
            }
            return;
        }
        let transactions =
            Block::decode(&committed.block).map(|block| block.transactions).unwrap_or_default();
        for transfer in transactions {
            if let Some(before) = self.transfers.insert(transfer.id, height) {
                self.say("S6", || format!("{now}: {:?} stands at {before} and at {height}", transfer.id));
            }
        }
        self.blocks.insert(height, committed.block);
    }

    /// S6: a client was answered that its transfer is committed at this height.
    pub fn answered(&mut self, now: Instant, transfer: TransactionId, told: Height) {
        let stands = self.transfers.get(&transfer).copied();
        if stands.is_none_or(|height| height > told) {
            self.say("S6", || {
                format!("{now}: {transfer:?} was answered at {told}, and stands at {stands:?}")
            });
        }
    }

    /// S2: a word leaves a node, before [`Checker::event`] hears of it.
    pub fn released<'a>(
        &mut self,
        now: Instant,
        from: NodeId,
        vote: &VoteSeen,
        disks: impl Iterator<Item = (NodeId, &'a Disk)>,
    ) {
        let outlived = self.is_outlived(vote.cluster, vote.epoch);
        let Some(entry) = self.rows.entry(vote.cluster).filter(|_| !outlived) else { return };
        let in_sync = &entry.row.in_sync;
        let lacking: Vec<NodeId> = disks
            .filter(|(node, disk)| {
                in_sync.contains(node) && !is_recorded(disk, vote) && height_of(disk) < vote.height
            })
            .map(|(node, _)| node)
            .collect();
        for node in lacking {
            self.say("S2", || {
                format!("{now}: {from} released {}, and {node}, in sync, does not hold it", told(vote))
            });
        }
    }

    /// Every word that this cluster said in these epochs above the node's last block, and that no force gave up, stands on its disk.
    pub fn holds_all(
        &mut self,
        checker: &'static str,
        now: Instant,
        (cluster, until): (ClusterId, Epoch),
        node: NodeId,
        disk: &Disk,
    ) {
        let height = height_of(disk);
        let first = (cluster, height.next(), 0, VoteKind::Proposal);
        let last = (cluster, Height(u64::MAX), u32::MAX, VoteKind::Precommit);
        let released_in = |slot, word: &VoteSeen| self.released_in.get(slot).copied().unwrap_or(word.epoch);
        let mut needed = self.words.range(first..=last);
        let lacking = needed
            .find(|(slot, word)| {
                released_in(slot, word) <= until && !self.is_given_up(word) && !is_recorded(disk, word)
            })
            .map(|(_, word)| *word);
        if let Some(word) = lacking {
            self.say(checker, || format!("{now}: {node} does not hold {}", told(&word)));
        }
    }

    /// S2 after a change of the authority's table: who is in sync holds all that was said.
    pub fn set_changed<'a>(
        &mut self,
        now: Instant,
        writes: &[Write],
        disk_of: impl Fn(NodeId) -> Option<&'a Disk>,
    ) {
        if !writes.iter().any(|write| matches!(write, Write::Put { table: Table::Command, .. })) {
            return;
        }
        let sets: Vec<(ClusterId, Vec<NodeId>)> =
            self.rows.entries().map(|(cluster, entry)| (*cluster, entry.row.in_sync.clone())).collect();
        for (cluster, node) in sets.iter().flat_map(|(c, nodes)| nodes.iter().map(|node| (*c, *node))) {
            if let Some(disk) = disk_of(node) {
                self.holds_all("S2", now, (cluster, Epoch(u64::MAX)), node, disk);
            }
        }
    }

    /// S9: what a machine holds in memory.
    pub fn holds(&mut self, now: Instant, node: NodeId, held: &[Held]) {
        for Held { name, entries, bytes } in held {
            let most = self.most_held.entry(name).or_default();
            *most = (most.0.max(*entries), most.1.max(*bytes));
            let bound = BOUNDS.iter().find(|(of, _, _)| of == name);
            if bound.is_none_or(|(_, most, most_bytes)| entries > most || bytes > most_bytes) {
                self.say("S9", || format!("{now}: {node} holds {entries} of {name:?}, {bytes} bytes"));
            }
        }
    }
}

fn told(vote: &VoteSeen) -> String {
    format!("{:?} of {} at {} round {}", vote.kind, vote.cluster, vote.height, vote.round)
}

/// Its signature stands in a record on that disk. The newest records first: a word is looked for soon after it was written.
fn is_recorded(disk: &Disk, word: &VoteSeen) -> bool {
    let (first, signature) = (word.signature[0], &word.signature[..]);
    let mut newest_first = disk.range((Table::Record, 0)..=(Table::Record, u64::MAX)).rev();
    newest_first
        .any(|(_, record)| memchr::memchr_iter(first, record).any(|at| record[at..].starts_with(signature)))
}
