//! The authority's table: a deterministic state machine of commands (mission AUTH-2, AUTH-3, AUTH-5; design R1).
//!
//! All that must survive is here and nothing else. A command either applies or names the conflict; the same commands
//! in the same order give the same table on any machine, so that the log can be replicated without a change here.
//! Keepalives, ageing and suspicion are soft and live elsewhere.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::statement::Row;
use std::collections::BTreeMap;

/// One decision, made durable before anybody hears of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// The first master of a cluster: epoch 1, in sync alone.
    Register {
        /// Which.
        cluster: ClusterId,
        /// Its first master.
        node: NodeId,
    },
    /// A new master: epoch + 1, version 0.
    Grant {
        /// Which.
        cluster: ClusterId,
        /// The row decided upon.
        at: At,
        /// The new master: a member of the in-sync set, not barred.
        node: NodeId,
        /// The new in-sync set: within the old one, without the barred; holds `node`.
        in_sync: Vec<NodeId>,
    },
    /// A node that caught up joins the in-sync set.
    Add {
        /// Which.
        cluster: ClusterId,
        /// The row decided upon.
        at: At,
        /// Who.
        node: NodeId,
    },
    /// A silent node leaves the in-sync set.
    Remove {
        /// Which.
        cluster: ClusterId,
        /// The row decided upon.
        at: At,
        /// Who; never the master.
        node: NodeId,
    },
    /// The master is barred after a consensus error: a forced switch follows (AUTH-6).
    Bar {
        /// Which.
        cluster: ClusterId,
        /// The row decided upon.
        at: At,
        /// Where its result was wrong.
        height: Height,
        /// The wrong result.
        hash: [u8; 32],
    },
}

/// What a command is compared with before it is applied (design R1): epoch *and* version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At {
    /// Epoch.
    pub epoch: Epoch,
    /// Version.
    pub version: Version,
}

impl At {
    /// Of a row.
    #[must_use]
    pub const fn of(row: &Row) -> Self {
        Self { epoch: row.epoch, version: row.version }
    }
}

/// Why a command does not apply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conflict {
    /// The cluster has a row already.
    AlreadyRegistered,
    /// The cluster has no row.
    Unregistered,
    /// The row has moved on.
    Stale,
    /// The node is not in the in-sync set.
    NotInSync,
    /// The node is barred.
    Barred,
    /// The new set is not within the old one, or does not hold the new master.
    BadSet,
    /// The master cannot be removed from its own set.
    IsMaster,
    /// Nobody would be left to grant to.
    LastMember,
    /// A node is in the set already.
    AlreadyInSync,
}

/// One cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The row as it is told to everybody.
    pub row: Row,
    /// The masters by epoch, from epoch 1.
    pub masters: Vec<NodeId>,
    /// Height and hash of the last result somebody was barred for.
    pub last_bar: Option<(Height, [u8; 32])>,
}

/// The table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    clusters: BTreeMap<ClusterId, Entry>,
    version: u64,
}

impl Table {
    /// Commands applied so far.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// One cluster.
    #[must_use]
    pub fn entry(&self, cluster: ClusterId) -> Option<&Entry> {
        self.clusters.get(&cluster)
    }

    /// All clusters.
    pub fn entries(&self) -> impl Iterator<Item = (&ClusterId, &Entry)> {
        self.clusters.iter()
    }

    /// Who was master of a cluster in an epoch.
    #[must_use]
    pub fn master_of(&self, cluster: ClusterId, epoch: Epoch) -> Option<NodeId> {
        let index = usize::try_from(epoch.0.checked_sub(1)?).ok()?;
        self.clusters.get(&cluster)?.masters.get(index).copied()
    }

    /// Check a command against the table.
    ///
    /// # Errors
    /// The rule it would break.
    pub fn check(&self, command: &Command) -> Result<(), Conflict> {
        let row = |cluster: &ClusterId, at: &At| {
            let row = &self.clusters.get(cluster).ok_or(Conflict::Unregistered)?.row;
            // The one place where epoch and version are compared (I9).
            if At::of(row) == *at { Ok(row) } else { Err(Conflict::Stale) }
        };
        match command {
            Command::Register { cluster, .. } => {
                if self.clusters.contains_key(cluster) {
                    return Err(Conflict::AlreadyRegistered);
                }
            }
            Command::Grant { cluster, at, node, in_sync } => {
                let row = row(cluster, at)?;
                if row.barred.contains(node) {
                    return Err(Conflict::Barred);
                }
                if !row.in_sync.contains(node) {
                    return Err(Conflict::NotInSync);
                }
                let within = in_sync.iter().all(|n| row.in_sync.contains(n) && !row.barred.contains(n));
                let ascending = in_sync.is_sorted_by(|a, b| a < b);
                if !within || !ascending || !in_sync.contains(node) {
                    return Err(Conflict::BadSet);
                }
            }
            Command::Add { cluster, at, node } => {
                let row = row(cluster, at)?;
                if row.barred.contains(node) || row.barred.contains(&row.master) {
                    return Err(Conflict::Barred);
                }
                if row.in_sync.contains(node) {
                    return Err(Conflict::AlreadyInSync);
                }
            }
            Command::Remove { cluster, at, node } => {
                let row = row(cluster, at)?;
                if row.barred.contains(&row.master) {
                    return Err(Conflict::Barred);
                }
                if row.master == *node {
                    return Err(Conflict::IsMaster);
                }
                if !row.in_sync.contains(node) {
                    return Err(Conflict::NotInSync);
                }
            }
            Command::Bar { cluster, at, .. } => {
                let row = row(cluster, at)?;
                if row.barred.contains(&row.master) {
                    return Err(Conflict::Barred);
                }
                if !row.in_sync.iter().any(|n| *n != row.master && !row.barred.contains(n)) {
                    return Err(Conflict::LastMember);
                }
            }
        }
        Ok(())
    }

    /// Apply a command.
    ///
    /// # Errors
    /// The rule it would break; the table is unchanged.
    pub fn apply(&mut self, command: &Command) -> Result<(), Conflict> {
        self.check(command)?;
        self.version += 1;
        let version = self.version;
        if let Command::Register { cluster, node } = command {
            let row = Row {
                cluster: *cluster,
                epoch: Epoch(1),
                version: Version(0),
                master: *node,
                in_sync: vec![*node],
                barred: Vec::new(),
                unfenced: false,
                table_version: version,
            };
            self.clusters.insert(*cluster, Entry { row, masters: vec![*node], last_bar: None });
            return Ok(());
        }
        let Some(entry) = self.clusters.get_mut(&command.cluster()) else {
            return Err(Conflict::Unregistered);
        };
        let row = &mut entry.row;
        row.table_version = version;
        match command {
            Command::Register { .. } => {}
            Command::Grant { node, in_sync, .. } => {
                row.epoch = row.epoch.next();
                row.version = Version(0);
                row.master = *node;
                row.in_sync.clone_from(in_sync);
                entry.masters.push(*node);
            }
            Command::Add { node, .. } => {
                row.version.0 += 1;
                insert_ascending(&mut row.in_sync, *node);
            }
            Command::Remove { node, .. } => {
                row.version.0 += 1;
                row.in_sync.retain(|n| n != node);
            }
            Command::Bar { height, hash, .. } => {
                row.version.0 += 1;
                let master = row.master;
                insert_ascending(&mut row.barred, master);
                entry.last_bar = Some((*height, *hash));
            }
        }
        assert!(entry.row.in_sync.contains(&entry.row.master), "the master is a member of its own set");
        assert!(
            u64::try_from(entry.masters.len()) == Ok(entry.row.epoch.0),
            "every epoch has exactly one master (P2)"
        );
        Ok(())
    }
}

fn insert_ascending(set: &mut Vec<NodeId>, node: NodeId) {
    if let Err(at) = set.binary_search(&node) {
        set.insert(at, node);
    }
}

impl Command {
    /// The cluster it is about.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        match self {
            Self::Register { cluster, .. }
            | Self::Grant { cluster, .. }
            | Self::Add { cluster, .. }
            | Self::Remove { cluster, .. }
            | Self::Bar { cluster, .. } => *cluster,
        }
    }

    /// The bytes that stand in the log: tag u8, cluster u32, then as the variant says, big-endian.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        let head = |out: &mut BytesMut, tag: u8, cluster: ClusterId, at: Option<&At>| {
            out.put_u8(tag);
            out.put_u32(cluster.0);
            if let Some(at) = at {
                out.put_u64(at.epoch.0);
                out.put_u64(at.version.0);
            }
        };
        match self {
            Self::Register { cluster, node } => {
                head(&mut out, 1, *cluster, None);
                out.put_u32(node.0);
            }
            Self::Grant { cluster, at, node, in_sync } => {
                head(&mut out, 2, *cluster, Some(at));
                out.put_u32(node.0);
                for member in in_sync {
                    out.put_u32(member.0);
                }
            }
            Self::Add { cluster, at, node } => {
                head(&mut out, 3, *cluster, Some(at));
                out.put_u32(node.0);
            }
            Self::Remove { cluster, at, node } => {
                head(&mut out, 4, *cluster, Some(at));
                out.put_u32(node.0);
            }
            Self::Bar { cluster, at, height, hash } => {
                head(&mut out, 5, *cluster, Some(at));
                out.put_u64(height.0);
                out.put_slice(hash);
            }
        }
        out.freeze()
    }

    /// Read a command of the log. `None`: the log is damaged.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let mut b = bytes.clone();
        let tag = b.try_get_u8().ok()?;
        let cluster = ClusterId(b.try_get_u32().ok()?);
        let mut at = || -> Option<At> {
            Some(At { epoch: Epoch(b.try_get_u64().ok()?), version: Version(b.try_get_u64().ok()?) })
        };
        let command = match tag {
            1 => Self::Register { cluster, node: NodeId(b.try_get_u32().ok()?) },
            2 => {
                let at = at()?;
                let node = NodeId(b.try_get_u32().ok()?);
                let mut in_sync = Vec::new();
                while b.has_remaining() {
                    in_sync.push(NodeId(b.try_get_u32().ok()?));
                }
                Self::Grant { cluster, at, node, in_sync }
            }
            3 => Self::Add { cluster, at: at()?, node: NodeId(b.try_get_u32().ok()?) },
            4 => Self::Remove { cluster, at: at()?, node: NodeId(b.try_get_u32().ok()?) },
            5 => {
                let at = at()?;
                let height = Height(b.try_get_u64().ok()?);
                let mut hash = [0; 32];
                b.try_copy_to_slice(&mut hash).ok()?;
                Self::Bar { cluster, at, height, hash }
            }
            _ => return None,
        };
        (!b.has_remaining()).then_some(command)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const C: ClusterId = ClusterId(1);
    const fn at(epoch: u64, version: u64) -> At {
        At { epoch: Epoch(epoch), version: Version(version) }
    }
    fn ids(ids: &[u32]) -> Vec<NodeId> {
        ids.iter().map(|id| NodeId(*id)).collect()
    }
    fn add(at: At, node: u32) -> Command {
        Command::Add { cluster: C, at, node: NodeId(node) }
    }
    fn grant(at: At, node: u32, set: &[u32]) -> Command {
        Command::Grant { cluster: C, at, node: NodeId(node), in_sync: ids(set) }
    }
    fn bar(at: At) -> Command {
        Command::Bar { cluster: C, at, height: Height(9), hash: [7; 32] }
    }

    /// A table with nodes 1, 2, 3 in sync, 1 master of epoch 1, version 2.
    fn table() -> Table {
        let mut t = Table::default();
        t.apply(&Command::Register { cluster: C, node: NodeId(1) }).unwrap();
        t.apply(&add(at(1, 0), 2)).unwrap();
        t.apply(&add(at(1, 1), 3)).unwrap();
        t
    }

    #[test]
    fn a_registered_cluster_is_in_epoch_one_with_its_master_alone_in_sync() {
        let mut t = Table::default();
        t.apply(&Command::Register { cluster: C, node: NodeId(1) }).unwrap();
        let row = &t.entry(C).unwrap().row;
        assert_eq!((row.epoch, row.version, row.master), (Epoch(1), Version(0), NodeId(1)));
        assert_eq!(row.in_sync, ids(&[1]));
    }

    #[test]
    fn a_cluster_registers_once() {
        assert_eq!(
            table().apply(&Command::Register { cluster: C, node: NodeId(2) }),
            Err(Conflict::AlreadyRegistered)
        );
    }

    #[test]
    fn a_grant_raises_the_epoch_and_starts_the_version_anew() {
        let mut t = table();
        t.apply(&grant(at(1, 2), 2, &[2, 3])).unwrap();
        let row = &t.entry(C).unwrap().row;
        assert_eq!((row.epoch, row.version, row.master), (Epoch(2), Version(0), NodeId(2)));
        assert_eq!(t.master_of(C, Epoch(1)), Some(NodeId(1)));
        assert_eq!(t.master_of(C, Epoch(2)), Some(NodeId(2)));
        assert_eq!(t.master_of(C, Epoch(3)), None);
    }

    #[test]
    fn both_epoch_and_version_must_equal_the_rows() {
        let mut t = table();
        for stale in [at(1, 1), at(1, 3), at(0, 2), at(2, 2)] {
            assert_eq!(t.apply(&grant(stale, 2, &[2])), Err(Conflict::Stale));
        }
        assert_eq!(t, table());
    }

    #[test]
    fn only_a_member_of_the_set_is_granted() {
        assert_eq!(table().apply(&grant(at(1, 2), 4, &[2])), Err(Conflict::NotInSync));
    }

    #[test]
    fn the_new_set_lies_within_the_old_one_and_holds_the_new_master() {
        assert_eq!(table().apply(&grant(at(1, 2), 2, &[2, 4])), Err(Conflict::BadSet));
        assert_eq!(table().apply(&grant(at(1, 2), 2, &[3])), Err(Conflict::BadSet));
        assert_eq!(table().apply(&grant(at(1, 2), 2, &[3, 2])), Err(Conflict::BadSet));
    }

    #[test]
    fn the_master_is_never_removed_from_its_set() {
        let remove = Command::Remove { cluster: C, at: at(1, 2), node: NodeId(1) };
        assert_eq!(table().apply(&remove), Err(Conflict::IsMaster));
    }

    #[test]
    fn a_barred_master_is_not_granted_again_and_changes_no_set() {
        let mut t = table();
        t.apply(&bar(at(1, 2))).unwrap();
        assert_eq!(t.entry(C).unwrap().row.barred, ids(&[1]));
        assert_eq!(t.apply(&grant(at(1, 3), 1, &[1])), Err(Conflict::Barred));
        assert_eq!(t.apply(&add(at(1, 3), 4)), Err(Conflict::Barred));
        assert_eq!(
            t.apply(&Command::Remove { cluster: C, at: at(1, 3), node: NodeId(2) }),
            Err(Conflict::Barred)
        );
        assert_eq!(t.apply(&grant(at(1, 3), 2, &[1, 2])), Err(Conflict::BadSet));
        t.apply(&grant(at(1, 3), 2, &[2, 3])).unwrap();
        assert_eq!(t.apply(&add(at(2, 0), 1)), Err(Conflict::Barred));
    }

    #[test]
    fn the_last_electable_member_is_not_barred() {
        let mut t = Table::default();
        t.apply(&Command::Register { cluster: C, node: NodeId(1) }).unwrap();
        assert_eq!(t.apply(&bar(at(1, 0))), Err(Conflict::LastMember));
    }

    #[test]
    fn every_command_survives_the_log() {
        let all = [
            Command::Register { cluster: C, node: NodeId(1) },
            grant(at(1, 2), 2, &[2, 3]),
            add(at(1, 0), 2),
            Command::Remove { cluster: C, at: at(1, 2), node: NodeId(3) },
            bar(at(1, 2)),
        ];
        for command in all {
            assert_eq!(Command::decode(&command.encode()), Some(command));
        }
    }

    #[test]
    fn a_damaged_command_is_refused() {
        let whole = bar(at(1, 2)).encode();
        for cut in 0..whole.len() {
            assert_eq!(Command::decode(&whole.slice(..cut)), None);
        }
        assert_eq!(Command::decode(&Bytes::from_static(&[9, 0, 0, 0, 1])), None);
    }
}
