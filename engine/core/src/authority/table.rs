//! The authority's table: a deterministic state machine of commands (mission AUTH-2, AUTH-3, AUTH-5; design R1).
//!
//! All that must survive is here and nothing else. A command either applies or names the conflict; the same commands
//! in the same order give the same table on any machine, so that the log can be replicated without a change here.
//! Keepalives, ageing and suspicion are soft and live elsewhere.

use super::journal::undated;
use crate::limits::LAST_EPOCH;
use crate::numbered::Numbered;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::order::{OrderKind, SignedOrder};
use duohuo_wire::statement::Row;
use std::collections::BTreeSet;

/// The cluster of an order that is about all of them.
pub const EVERYWHERE: ClusterId = ClusterId(0);

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
    /// What an operator ordered, with what the authority decided when it was carried out. Pause and resume are about
    /// no row: they are compared with nothing but the order's number.
    Order {
        /// As it was signed.
        order: Box<SignedOrder>,
        /// The row decided upon.
        at: At,
        /// The node it is about; the new master of a switch, also where the order left it open.
        node: NodeId,
        /// A switch: the new in-sync set, as in a grant.
        in_sync: Vec<NodeId>,
        /// A force: the height that the chain has committed, as far as the authority knows.
        height: Height,
    },
    /// A forced master's fence stands (rule 17).
    Fenced {
        /// Which.
        cluster: ClusterId,
        /// The row decided upon.
        at: At,
        /// It signs nothing at this height or below.
        height: Height,
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
    /// The order's number was used already, or a higher one.
    Replayed,
    /// It is so already.
    Unchanged,
    /// The node is not barred.
    NotBarred,
    /// A forced master's fence does not stand yet.
    Unfenced,
    /// As many clusters are cold as the chain can bear.
    TooManyForced,
    /// Epoch, version or table version are at their end.
    Exhausted,
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
    /// The height up to which the last forced master signs nothing.
    pub closed: Option<Height>,
}

/// The table.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    clusters: Numbered<ClusterId, Entry>,
    version: u64,
    /// The highest number of an order that was applied.
    orders: u64,
    /// Where no master is switched but by order; cluster 0: everywhere.
    paused: BTreeSet<ClusterId>,
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
        self.clusters.ascending()
    }

    /// The highest number of an order that was applied.
    #[must_use]
    pub const fn orders(&self) -> u64 {
        self.orders
    }

    /// Where an operator paused automatic switches.
    pub fn paused(&self) -> impl Iterator<Item = ClusterId> + '_ {
        self.paused.iter().copied()
    }

    /// Whether an operator paused automatic switches there.
    #[must_use]
    pub fn is_paused(&self, cluster: ClusterId) -> bool {
        self.paused.contains(&cluster) || self.paused.contains(&EVERYWHERE)
    }

    /// Clusters that the chain can do without: f of n.
    #[must_use]
    pub fn bearable(&self) -> usize {
        self.clusters.len().saturating_sub(1) / 3
    }

    /// Clusters besides `cluster` whose forced master may sign nothing yet, the chain being at `height`.
    fn cold(&self, cluster: ClusterId, height: Height) -> usize {
        let is_cold = |e: &Entry| e.row.unfenced || e.closed.is_some_and(|closed| closed > height);
        self.clusters.ascending().filter(|(id, entry)| **id != cluster && is_cold(entry)).count()
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
        self.check_counters(command)?;
        let row = |cluster: &ClusterId, at: &At| {
            let row = &self.clusters.get(cluster).ok_or(Conflict::Unregistered)?.row;
            // The one place where epoch and version are compared (I9).
            if At::of(row) == *at { Ok(row) } else { Err(Conflict::Stale) }
        };
        match command {
            Command::Register { cluster, .. } => {
                if self.clusters.contains(cluster) {
                    return Err(Conflict::AlreadyRegistered);
                }
            }
            Command::Grant { cluster, at, node, in_sync } => check_grant(row(cluster, at)?, *node, in_sync)?,
            Command::Add { cluster, at, node } => {
                let row = row(cluster, at)?;
                if row.unfenced {
                    return Err(Conflict::Unfenced);
                }
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
            Command::Order { order, at, node, in_sync, height } => {
                if order.number <= self.orders {
                    return Err(Conflict::Replayed);
                }
                let cluster = &order.cluster;
                match order.kind {
                    OrderKind::Pause | OrderKind::Resume => {
                        if *cluster != EVERYWHERE && !self.clusters.contains(cluster) {
                            return Err(Conflict::Unregistered);
                        }
                        if self.paused.contains(cluster) == (order.kind == OrderKind::Pause) {
                            return Err(Conflict::Unchanged);
                        }
                    }
                    OrderKind::Unbar => {
                        if !row(cluster, at)?.barred.contains(node) {
                            return Err(Conflict::NotBarred);
                        }
                    }
                    OrderKind::Switch => {
                        let row = row(cluster, at)?;
                        if row.unfenced {
                            return Err(Conflict::Unfenced);
                        }
                        if row.master == *node {
                            return Err(Conflict::IsMaster);
                        }
                        check_grant(row, *node, in_sync)?;
                    }
                    OrderKind::Force => {
                        let row = row(cluster, at)?;
                        if row.barred.contains(node) {
                            return Err(Conflict::Barred);
                        }
                        if row.in_sync.contains(node) {
                            return Err(Conflict::AlreadyInSync);
                        }
                        if self.cold(*cluster, *height) >= self.bearable() {
                            return Err(Conflict::TooManyForced);
                        }
                    }
                }
            }
            Command::Fenced { cluster, at, .. } => {
                if !row(cluster, at)?.unfenced {
                    return Err(Conflict::Unchanged);
                }
            }
        }
        Ok(())
    }

    /// Numbers only grow (P2): where one would have to begin anew there is no decision any more (B-TAB-9).
    fn check_counters(&self, command: &Command) -> Result<(), Conflict> {
        let grants = match command {
            Command::Grant { .. } => true,
            Command::Order { order, .. } => matches!(order.kind, OrderKind::Switch | OrderKind::Force),
            _ => false,
        };
        let row = self.clusters.get(&command.cluster()).map(|entry| &entry.row);
        let is_over = match row {
            Some(row) if grants => row.epoch >= LAST_EPOCH,
            Some(row) => row.version.0 == u64::MAX,
            None => false,
        };
        // a pause of everywhere moves every row
        let everywhere = matches!(command, Command::Order { order, .. } if order.cluster == EVERYWHERE);
        let any_over =
            everywhere && self.clusters.ascending().any(|(_, entry)| entry.row.version.0 == u64::MAX);
        if is_over || any_over || self.version == u64::MAX { Err(Conflict::Exhausted) } else { Ok(()) }
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
            let entry = Entry { row, masters: vec![*node], last_bar: None, closed: None };
            self.clusters.insert(*cluster, entry);
            return Ok(());
        }
        if let Command::Order { order, .. } = command {
            self.orders = order.number;
            if matches!(order.kind, OrderKind::Pause | OrderKind::Resume) {
                self.pause(order, version);
                return Ok(());
            }
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
            Command::Order { order, node, in_sync, .. } => match order.kind {
                OrderKind::Pause | OrderKind::Resume => {}
                OrderKind::Unbar => {
                    row.version.0 += 1;
                    row.barred.retain(|n| n != node);
                }
                OrderKind::Switch | OrderKind::Force => {
                    row.epoch = row.epoch.next();
                    row.version = Version(0);
                    row.master = *node;
                    // Nobody of the set of a force survived, or it would not be given: the node is alone, and owes
                    // the fence until it says that it stands (rule 7).
                    let forced = order.kind == OrderKind::Force;
                    row.in_sync = if forced { vec![*node] } else { in_sync.clone() };
                    row.unfenced |= forced;
                    entry.masters.push(*node);
                }
            },
            Command::Fenced { height, .. } => {
                row.version.0 += 1;
                row.unfenced = false;
                entry.closed = Some(*height);
            }
        }
        assert!(
            !entry.row.unfenced || entry.row.in_sync == [entry.row.master],
            "an unfenced master is alone"
        );
        assert!(entry.row.in_sync.contains(&entry.row.master), "the master is a member of its own set");
        assert!(
            u64::try_from(entry.masters.len()) == Ok(entry.row.epoch.0),
            "every epoch has exactly one master (P2)"
        );
        Ok(())
    }

    /// The rows it is about move on, so that no claim under way is granted after all.
    fn pause(&mut self, order: &SignedOrder, version: u64) {
        if order.kind == OrderKind::Pause {
            self.paused.insert(order.cluster);
        } else {
            self.paused.remove(&order.cluster);
        }
        for (cluster, entry) in self.clusters.ascending_mut() {
            if order.cluster == EVERYWHERE || order.cluster == *cluster {
                entry.row.version.0 += 1;
                entry.row.table_version = version;
            }
        }
    }
}

/// R4, rule 3: who is granted, and with whom.
fn check_grant(row: &Row, node: NodeId, in_sync: &[NodeId]) -> Result<(), Conflict> {
    if row.barred.contains(&node) {
        return Err(Conflict::Barred);
    }
    if !row.in_sync.contains(&node) {
        return Err(Conflict::NotInSync);
    }
    let within = in_sync.iter().all(|n| row.in_sync.contains(n) && !row.barred.contains(n));
    let ascending = in_sync.is_sorted_by(|a, b| a < b);
    if !within || !ascending || !in_sync.contains(&node) {
        return Err(Conflict::BadSet);
    }
    Ok(())
}

fn insert_ascending(set: &mut Vec<NodeId>, node: NodeId) {
    if let Err(at) = set.binary_search(&node) {
        set.insert(at, node);
    }
}

impl Command {
    /// The cluster it is about.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        match self {
            Self::Register { cluster, .. }
            | Self::Grant { cluster, .. }
            | Self::Add { cluster, .. }
            | Self::Remove { cluster, .. }
            | Self::Bar { cluster, .. }
            | Self::Fenced { cluster, .. } => *cluster,
            Self::Order { order, .. } => order.cluster,
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
            Self::Order { order, at, node, in_sync, height } => {
                head(&mut out, 6, order.cluster, Some(at));
                out.put_u32(node.0);
                out.put_u64(height.0);
                out.put_u16(u16::try_from(in_sync.len()).unwrap_or(u16::MAX));
                for member in in_sync {
                    out.put_u32(member.0);
                }
                order.encode(&mut out);
            }
            Self::Fenced { cluster, at, height } => {
                head(&mut out, 7, *cluster, Some(at));
                out.put_u64(height.0);
            }
        }
        out.freeze()
    }

    /// Read a command of the log. `None`: the log is damaged.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Option<Self> {
        let (_, _, mut b) = undated(bytes.clone())?;
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
            6 => {
                let at = at()?;
                let node = NodeId(b.try_get_u32().ok()?);
                let height = Height(b.try_get_u64().ok()?);
                let mut in_sync = Vec::new();
                for _ in 0..b.try_get_u16().ok()? {
                    in_sync.push(NodeId(b.try_get_u32().ok()?));
                }
                let order = SignedOrder::decode(&b.split_off(0)).ok().filter(|o| o.cluster == cluster)?;
                Self::Order { order: Box::new(order), at, node, in_sync, height }
            }
            7 => {
                let at = at()?;
                Self::Fenced { cluster, at, height: Height(b.try_get_u64().ok()?) }
            }
            _ => return None,
        };
        (!b.has_remaining()).then_some(command)
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
