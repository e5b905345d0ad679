//! Holds a run of the production engine against the rules of the model.
//!
//! A run is seen from outside: what became durable, where, in which order, what left the clusters, and who crashed. The
//! acceptor follows each cluster with the guards of [`crate::rules`] and the production table, and refuses the first
//! step that the model has no step for. What it keeps per node is what the model keeps; an acknowledgement is credited
//! when what it tells is durable, as in the model. Of the model's steps only Append, Ask and the messages under way
//! are not seen, and need not be: they are enabled whenever what follows from them is.

use crate::rules;
use bytes::Bytes;
use core::fmt;
use duohuo_core::authority::table::{Command, Table as Rows};
use duohuo_core::io::{Table, Write};
use duohuo_core::store::{META_LOG_END, META_NOTE, META_PROMISE, META_SNAPSHOTS, snapshots};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::statement::Row;
use std::collections::{BTreeMap, BTreeSet};

/// A step of a run.
#[derive(Clone, Debug)]
pub enum Observation {
    /// These writes of a machine are durable, all or none.
    Wrote {
        /// A node, or [`NodeId::AUTHORITY`].
        node: NodeId,
        /// In order.
        writes: Vec<Write>,
    },
    /// A signed word left a node.
    Released {
        /// Who.
        node: NodeId,
        /// The epoch it was signed in: that of the speaker's role, or an older one if the word is said again.
        epoch: Epoch,
        /// The height it speaks about.
        height: u64,
        /// Its signature, which stands in the record behind it.
        signature: [u8; 64],
    },
    /// A machine lost its memory.
    Crashed {
        /// Who.
        node: NodeId,
    },
}

/// Why the model has no such step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A decision that cannot be read or does not follow from the table.
    Decision,
    /// A node that is in no cluster.
    Stranger,
    /// A promise that falls, or of an epoch that was never granted, or adopted by a node that was not granted it.
    Promise,
    /// The store is not a log: a gap, or a value that cannot be read.
    Store,
    /// A record that is not the one that the epoch's log has there.
    OtherRecord,
    /// A log that shrank, or changed, in an epoch that it was synced to.
    Shrunk,
    /// A word by who does not lead, or of an epoch that is yet to come.
    NotMaster,
    /// A word whose record is not on the speaker's own disk.
    Unrecorded,
    /// A word that not every member of the set has acknowledged.
    Unacknowledged,
}

/// The step that was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its place in the run, from 0.
    pub step: usize,
    /// Whose.
    pub node: NodeId,
    /// Why.
    pub why: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} of {}: the model has no such step: {:?}", self.step, self.node, self.why)
    }
}

/// What was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Accepted {
    /// Decisions of the authority.
    pub decisions: usize,
    /// Promises, adopted grants among them.
    pub promises: usize,
    /// Writes to logs.
    pub logs: usize,
    /// Words released whose record was looked up.
    pub words: usize,
}

/// A record as the store has it: height u64, epoch u64, bytes.
fn height_of(record: &Bytes) -> Option<u64> {
    record.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}

fn epoch_of(record: &Bytes) -> Option<u64> {
    height_of(&record.slice(8.min(record.len())..))
}

/// Whether nothing is signed at its height or below: the record of a fence (behaviour.md 7.4).
fn is_closed(record: &Bytes) -> bool {
    record.get(16..) == Some(&[0xFF])
}

/// A node's disk, and whether it leads.
#[derive(Clone, Default)]
struct Seen {
    promised: u64,
    synced: u64,
    records: BTreeMap<u64, Bytes>,
    end: u64,
    height: u64,
    leads: bool,
    /// The epoch that it noted since it started (B-NOTE-1); 0: none.
    noted: u64,
    /// What says that a snapshot is whole, by its place, and the pieces that are there.
    snapshots: BTreeMap<u64, Bytes>,
    pieces: BTreeSet<u64>,
}

impl Seen {
    /// B-LOG-5: how far it may acknowledge.
    fn acknowledged(&self) -> u64 {
        let ahead = |record: &Bytes| {
            !is_closed(record) && height_of(record).is_some_and(|height| height > self.height + 1)
        };
        self.records.iter().find(|(_, record)| ahead(record)).map_or(self.end, |(index, _)| *index)
    }

    /// How far it may have acknowledged by the note of an epoch alone: its log is its master's (B-NOTE-6).
    fn acknowledged_by_note(&self, epoch: u64, master: &Self) -> u64 {
        let is_theirs = |(index, record): (&u64, &Bytes)| {
            height_of(record).is_some_and(|height| height <= master.height)
                || master.records.get(index) == Some(record)
        };
        let stands = self.noted == epoch && self.promised < epoch && self.end <= master.end;
        if stands && self.records.iter().all(is_theirs) { self.acknowledged() } else { 0 }
    }

    fn write(&mut self, write: &Write) -> Result<(), Refusal> {
        match write {
            Write::Put { table: Table::Meta, key: META_PROMISE, value } => {
                let halves = value.first_chunk::<8>().zip(value.last_chunk::<8>()).ok_or(Refusal::Store)?;
                (self.promised, self.synced) = (u64::from_be_bytes(*halves.0), u64::from_be_bytes(*halves.1));
            }
            Write::Put { table: Table::Meta, key: META_NOTE, value } => {
                self.noted = u64::from_be_bytes(*value.first_chunk::<8>().ok_or(Refusal::Store)?);
            }
            Write::Put { table: Table::Meta, key: META_LOG_END, value } => {
                self.end = u64::from_be_bytes(*value.first_chunk::<8>().ok_or(Refusal::Store)?);
            }
            Write::Put { table: Table::Block, key, .. } => self.height = self.height.max(*key),
            Write::Put { table: Table::Record, key, value } => drop(self.records.insert(*key, value.clone())),
            Write::DeleteRange { table: Table::Record, from, to } => {
                self.records.retain(|key, _| key < from || key >= to);
            }
            Write::Put { table: Table::Snapshot, key, .. } => drop(self.pieces.insert(*key)),
            Write::DeleteRange { table: Table::Snapshot, from, to } => {
                self.pieces.retain(|key| key < from || key >= to);
            }
            Write::Put { table: Table::Meta, key, value } if META_SNAPSHOTS.contains(key) => {
                self.snapshots.insert(*key, value.clone());
            }
            Write::DeleteRange { table: Table::Meta, from, to } => {
                self.snapshots.retain(|key, _| key < from || key >= to);
            }
            _ => {}
        }
        Ok(())
    }

    /// A snapshot that a quorum signed stands for all blocks up to its own, once all of it is there. One that is not
    /// proven stands for nothing: who made it has the blocks.
    fn counts_snapshots(&mut self) -> Result<(), Refusal> {
        let kept = snapshots(&self.snapshots).map_err(|_| Refusal::Store)?;
        let whole = kept.iter().filter(|snapshot| {
            snapshot.is_proven()
                && (0..snapshot.chunks).all(|chunk| self.pieces.contains(&snapshot.key(chunk)))
        });
        self.height = whole.map(|snapshot| snapshot.height.0).fold(self.height, u64::max);
        Ok(())
    }

    /// Up to where a fence has closed the log.
    fn closed(&self) -> u64 {
        self.records.values().filter(|record| is_closed(record)).filter_map(height_of).max().unwrap_or(0)
    }

    /// The records that are kept are the end of the log, without a gap.
    fn is_a_log(&self) -> bool {
        let first = self.records.keys().next().copied().unwrap_or(self.end);
        let ascending = self.records.keys().copied().eq(first..first + self.records.len() as u64);
        ascending && first + self.records.len() as u64 == self.end
    }
}

/// Follows a run.
#[derive(Default)]
pub struct Acceptor {
    cluster_of: BTreeMap<NodeId, ClusterId>,
    rows: Rows,
    /// The newest row of each epoch.
    told: BTreeMap<(ClusterId, u64), Row>,
    nodes: BTreeMap<NodeId, Seen>,
    /// The log of each epoch's master, as far as anybody has it on its disk.
    logs: BTreeMap<(ClusterId, u64), BTreeMap<u64, Bytes>>,
    acknowledged: BTreeMap<(u64, NodeId), u64>,
    accepted: Accepted,
}

impl Acceptor {
    /// For nodes of these clusters, before the first of them has started for the first time.
    pub fn new(nodes: impl IntoIterator<Item = (NodeId, ClusterId)>) -> Self {
        Self { cluster_of: nodes.into_iter().collect(), ..Self::default() }
    }

    /// Follow a whole run.
    ///
    /// # Errors
    /// The first step that the model has no step for.
    pub fn accept<'a>(mut self, run: impl IntoIterator<Item = &'a Observation>) -> Result<Accepted, Refused> {
        for (step, observation) in run.into_iter().enumerate() {
            let (node, done) = match observation {
                Observation::Wrote { node, writes } if *node == NodeId::AUTHORITY => {
                    (*node, self.decided(writes))
                }
                Observation::Wrote { node, writes } => (*node, self.wrote(*node, writes)),
                Observation::Released { node, epoch, height, signature } => {
                    (*node, self.released(*node, epoch.0, *height, signature))
                }
                Observation::Crashed { node } => {
                    self.keeps_what_it_acknowledged_by_note(*node);
                    let seen = self.nodes.entry(*node).or_default();
                    (seen.leads, seen.noted) = (false, 0);
                    (*node, Ok(()))
                }
            };
            done.map_err(|why| Refused { step, node, why })?;
        }
        Ok(self.accepted)
    }

    /// What a node acknowledged by its note counts after its crash: its log and the note are on its disk.
    fn keeps_what_it_acknowledged_by_note(&mut self, node: NodeId) {
        let Some((cluster, seen)) = self.cluster_of.get(&node).zip(self.nodes.get(&node)) else { return };
        let epoch = seen.noted;
        let master = self.told.get(&(*cluster, epoch)).and_then(|row| self.nodes.get(&row.master));
        let length = master.map_or(0, |master| seen.acknowledged_by_note(epoch, master));
        let told = self.acknowledged.entry((epoch, node)).or_default();
        *told = (*told).max(length);
    }

    /// The model's Claim, Change and Accuse: the production table decides.
    fn decided(&mut self, writes: &[Write]) -> Result<(), Refusal> {
        for write in writes {
            let Write::Put { table: Table::Command, value, .. } = write else { continue };
            let command = Command::decode(value).ok_or(Refusal::Decision)?;
            self.rows.apply(&command).map_err(|_| Refusal::Decision)?;
            for (_, entry) in self.rows.entries() {
                self.told.insert((entry.row.cluster, entry.row.epoch.0), entry.row.clone());
            }
            self.accepted.decisions += 1;
        }
        Ok(())
    }

    /// The model's Learn, Follow and Persist.
    fn wrote(&mut self, node: NodeId, writes: &[Write]) -> Result<(), Refusal> {
        // A promise that was owed goes before what it goes with, and is about the log as it was (B-NOTE-5).
        if let [promise @ Write::Put { table: Table::Meta, key: META_PROMISE, .. }, rest @ ..] = writes
            && !rest.is_empty()
        {
            self.wrote(node, core::slice::from_ref(promise))?;
            return self.wrote(node, rest);
        }
        let cluster = *self.cluster_of.get(&node).ok_or(Refusal::Stranger)?;
        let before = self.nodes.entry(node).or_default().clone();
        let mut after = before.clone();
        writes.iter().try_for_each(|write| after.write(write))?;
        after.counts_snapshots()?;
        if (after.promised, after.synced) != (before.promised, before.synced) {
            self.promises(node, cluster, &before, &mut after)?;
        }
        if !after.is_a_log() {
            return Err(Refusal::Store);
        }
        let touched = after.synced != before.synced
            || after.end != before.end
            || after.records.len() != before.records.len();
        if touched && after.synced > 0 {
            self.keeps_to_the_log(cluster, &before, &after)?;
        }
        let told = self.acknowledged.entry((after.synced, node)).or_default();
        *told = (*told).max(after.acknowledged());
        self.nodes.insert(node, after);
        Ok(())
    }

    fn promises(
        &mut self,
        node: NodeId,
        cluster: ClusterId,
        before: &Seen,
        after: &mut Seen,
    ) -> Result<(), Refusal> {
        let epoch = after.promised;
        let row = self.told.get(&(cluster, epoch)).ok_or(Refusal::Promise)?;
        let allowed = if row.master == node {
            // Barred in this epoch after it was granted: it may not know that yet.
            rules::may_adopt(epoch, before.promised, true, false)
        } else {
            rules::may_follow(epoch, before.promised, false)
        };
        if !allowed || after.synced != epoch {
            return Err(Refusal::Promise);
        }
        after.leads = row.master == node;
        self.accepted.promises += 1;
        Ok(())
    }

    /// What stands on the disk is a part of the log of the epoch's master, and in the same epoch the log only grows; but a
    /// forced master's fence takes the place of all that lies where it closes the log (B-FNC-3).
    fn keeps_to_the_log(&mut self, cluster: ClusterId, before: &Seen, after: &Seen) -> Result<(), Refusal> {
        let same_epoch = after.synced == before.synced;
        if same_epoch {
            let closed = after.closed();
            let is_forced = self.told.get(&(cluster, after.synced)).is_some_and(|row| row.unfenced);
            if closed > before.closed() && !is_forced {
                return Err(Refusal::Shrunk);
            }
            let history = after.height.max(closed);
            let kept = |index: &u64, record: &Bytes| {
                height_of(record).is_some_and(|height| height <= history)
                    || after.records.get(index) == Some(record)
            };
            let grows = rules::may_become(before.end, after.end);
            if !grows || !before.records.iter().all(|(index, record)| kept(index, record)) {
                return Err(Refusal::Shrunk);
            }
        }
        let log = self.logs.entry((cluster, after.synced)).or_default();
        let from = if same_epoch { before.end } else { 0 };
        for (index, record) in after.records.range(from..) {
            if log.entry(*index).or_insert_with(|| record.clone()) != record {
                return Err(Refusal::OtherRecord);
            }
        }
        self.accepted.logs += 1;
        Ok(())
    }

    /// The model's Release. The set waited for is at least that of the newest row of the epoch: a member is waited for
    /// until its removal is told, and a new one from before its addition is decided.
    fn released(
        &mut self,
        node: NodeId,
        signed_in: u64,
        height: u64,
        signature: &[u8; 64],
    ) -> Result<(), Refusal> {
        let cluster = *self.cluster_of.get(&node).ok_or(Refusal::Stranger)?;
        let seen = self.nodes.get(&node).ok_or(Refusal::NotMaster)?;
        // B-NOTE-2: the note of an epoch that it was granted stands for the promise.
        let granted = self.told.get(&(cluster, seen.noted)).is_some_and(|row| row.master == node);
        let by_note = seen.noted > seen.promised && granted;
        let epoch = if by_note { seen.noted } else { seen.promised };
        if !(seen.leads || by_note) || signed_in > epoch {
            return Err(Refusal::NotMaster);
        }
        if height <= seen.height {
            return Ok(()); // said again about a block that stands: its record is history
        }
        let holds = |record: &Bytes| record.windows(64).any(|part| part == signature);
        let found = seen.records.iter().find(|(_, record)| holds(record));
        let (index, record) = found.ok_or(Refusal::Unrecorded)?;
        if epoch_of(record) != Some(signed_in) {
            return Err(Refusal::Unrecorded);
        }
        // A word of an older epoch is said again under the present one, in the bytes that were signed then.
        let row = self.told.get(&(cluster, epoch)).ok_or(Refusal::NotMaster)?;
        let others = row.in_sync.iter().filter(|member| **member != node);
        let acknowledged = others.map(|member| {
            let written = self.acknowledged.get(&(epoch, *member)).copied().unwrap_or(0);
            written.max(self.nodes.get(member).map_or(0, |of| of.acknowledged_by_note(epoch, seen)))
        });
        if !rules::may_release(*index, seen.end, acknowledged) {
            return Err(Refusal::Unacknowledged);
        }
        self.accepted.words += 1;
        Ok(())
    }
}
