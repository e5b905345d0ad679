//! The log of a cluster on one node (design R2, R3): what the master's signed words rest upon.
//!
//! A log is, in idea, one endless sequence of records; only those above the committed height are kept, because a
//! decided height makes its locks and votes history. What is kept is: the records, where the next one goes (`end`),
//! the highest epoch promised, and the epoch whose master's log this one is a prefix of (`synced`). All changes come
//! out as [`Write`]s of one batch, so that a crash leaves the state before or after, never between (rules 9 and 10).

use crate::chain::Record;
use crate::held::Held;
use crate::io::{Stored, Table, Write};
use crate::limits::LOG_END;
use crate::store::{
    META_LOG_END, META_NOTE, META_PROMISE, StartError, decode_promise, decode_record, decode_u64,
    encode_promise, encode_record, encode_u64,
};
use duohuo_wire::ids::{Epoch, Height};
use std::collections::BTreeMap;

/// Design R8: this input would break the log; the node must stop signing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Divergence;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Log {
    records: BTreeMap<u64, Record>,
    end: u64,
    promised: Epoch,
    synced: Epoch,
    /// The committed height: records at or below it are dropped.
    height: Height,
    /// Records below this index were released by some master: they are never cut.
    released: u64,
    /// An epoch that was noted since the start and may be granted; 0: none. Until the promise of that epoch is on the disk the note
    /// stands for it, as soon as it is there itself.
    note: Epoch,
    /// The promise that stands has been written nowhere: a note stands for it.
    owes_promise: bool,
    /// Noted before the start, and higher than what is promised: this node may have acted under it (B-NOTE-3).
    doubt: Epoch,
}

impl Log {
    /// What it keeps.
    pub(super) fn held(&self) -> Held {
        let bytes = self.records.values().map(|record| record.bytes.len()).sum();
        Held { name: "log", entries: self.records.len(), bytes }
    }

    /// Read from the store, for a chain of committed height `height`.
    pub(super) fn load(stored: &Stored, height: Height) -> Result<Self, StartError> {
        let meta = |key| stored.meta.get(&key).cloned();
        let (promised, synced) = match meta(META_PROMISE) {
            Some(bytes) => decode_promise(bytes).ok_or(StartError::Damaged("promise"))?,
            None => (Epoch(0), Epoch(0)),
        };
        let end = match meta(META_LOG_END) {
            Some(bytes) => decode_u64(bytes).ok_or(StartError::Damaged("end of the log"))?,
            None => 0,
        };
        let mut records = BTreeMap::new();
        for (index, bytes) in &stored.records {
            let record = decode_record(bytes.clone()).ok_or(StartError::Damaged("log record"))?;
            // As `commit` leaves them: what stands behind a closed record of a later height is kept, whatever its own.
            if record.height > height || !records.is_empty() {
                records.insert(*index, record);
            }
        }
        // Kept records are the tail of the log, without a gap.
        let first = records.keys().next().copied().unwrap_or(end);
        let whole = first.checked_add(records.len() as u64) == Some(end);
        if !whole || synced > promised {
            return Err(StartError::Damaged("log with a gap"));
        }
        let noted = match meta(META_NOTE) {
            Some(bytes) => Epoch(decode_u64(bytes).ok_or(StartError::Damaged("noted epoch"))?),
            None => Epoch(0),
        };
        let doubt = if noted > promised { noted } else { Epoch(0) };
        Ok(Self { records, end, promised, synced, height, doubt, ..Self::default() })
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn promised(&self) -> Epoch {
        self.promised
    }

    /// Nothing below this epoch is acknowledged: what is promised, or what a node in doubt may have promised.
    pub(super) fn bound(&self) -> Epoch {
        self.promised.max(self.doubt)
    }

    /// An epoch under which this node may have acted before its start; 0: none.
    pub(super) const fn doubt(&self) -> Epoch {
        self.doubt
    }

    /// An epoch that may be granted soon (B-NOTE-1). The promise that stands is written with it: the note that stood for it, if one
    /// did, is no more (B-NOTE-2).
    pub(super) fn note(&mut self, epoch: Epoch) -> Vec<Write> {
        if epoch <= self.bound().max(self.note) {
            return Vec::new();
        }
        self.note = epoch;
        vec![self.put_promise(), Self::put_note(epoch)]
    }

    /// Whether the note of this very epoch stands for its promise: when it is on the disk, and all that was asked for before.
    pub(super) fn is_noted(&self, epoch: Epoch) -> bool {
        self.note == epoch
    }

    /// No epoch above `granted` will be granted, as far as anybody knows: a restart from here on leaves no doubt. The note of one that
    /// was granted may be needed yet.
    pub(super) fn drop_note(&mut self, granted: Epoch) -> Vec<Write> {
        if self.note <= self.promised.max(granted) {
            return Vec::new();
        }
        self.note = Epoch(0);
        vec![Self::put_note(Epoch(0))]
    }

    /// What is promised stands by its note (B-NOTE-2): the promise itself goes with whatever is written next.
    pub(super) fn owe_promise(&mut self) {
        assert!(self.note == self.promised, "the note of another epoch is no promise");
        self.owes_promise = true;
    }

    pub(super) const fn owes_promise(&self) -> bool {
        self.owes_promise
    }

    /// The promise that is owed, to be written now.
    pub(super) fn take_owed_promise(&mut self) -> Option<Write> {
        core::mem::take(&mut self.owes_promise).then(|| self.put_promise())
    }

    /// The authority says, after the start, that the newest epoch is `newest` (B-NOTE-3). If that ends a doubt its note goes: another
    /// restart is in none.
    pub(super) fn end_doubt(&mut self, newest: Epoch) -> Vec<Write> {
        if self.doubt <= newest {
            return Vec::new();
        }
        self.doubt = Epoch(0);
        vec![Self::put_note(Epoch(0))]
    }

    pub(super) const fn synced(&self) -> Epoch {
        self.synced
    }

    /// Index of the first record kept; `end` if there is none.
    pub(super) fn start(&self) -> u64 {
        self.records.keys().next().copied().unwrap_or(self.end)
    }

    pub(super) fn records_from(&self, index: u64) -> impl Iterator<Item = &Record> {
        self.records.range(index..).map(|(_, record)| record)
    }

    /// Whether a log may have records there: no honest one gets near the end of the range, where the next index would not
    /// be a number.
    pub(super) const fn is_in_range(start: u64) -> bool {
        start < LOG_END
    }

    /// Whether a log of `epoch` that begins at `start` leaves a gap after records that are kept: no honest master's does, since
    /// what lies between is committed history (B-LOG-4), and then it is here too.
    pub(super) fn leaves_gap(&self, epoch: Epoch, start: u64) -> bool {
        epoch == self.synced && start > self.end && !self.records.is_empty()
    }

    /// How far this log may be acknowledged: a word of height h only by a node that holds the chain up to h - 1. That the log
    /// is closed is no word: it stands above the chain on purpose, and must not be lost with a grant.
    pub(super) fn acknowledged(&self) -> u64 {
        let beyond = |record: &Record| record.height > self.height.next() && !record.is_closed();
        self.records.iter().find(|(_, record)| beyond(record)).map_or(self.end, |(index, _)| *index)
    }

    /// Whether all that is here may be acknowledged: adopting it cuts nothing.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acknowledged() == self.end
    }

    /// Adopt a grant: promise the epoch and call the own log its master's (rule 15). What was never acknowledged
    /// (records of a height whose predecessor is missing) is dropped: no master can have released it.
    pub(super) fn adopt(&mut self, epoch: Epoch) -> Vec<Write> {
        assert!(epoch > self.bound(), "a row is adopted once (rule 15)");
        (self.promised, self.synced) = (epoch, epoch);
        let mut writes = self.cut(self.acknowledged());
        writes.push(self.put_promise());
        writes
    }

    /// The highest height of a record.
    pub(super) fn last_height(&self) -> Option<Height> {
        self.records.values().map(|r| r.height).max()
    }

    /// A forced master's log begins anew (rule 17): what stands in it was said, if at all, below the fence, and the one
    /// record that says so takes its place.
    pub(super) fn close(&mut self, closed: Record) -> Vec<Write> {
        assert!(closed.height > self.height, "a fence stands above what is committed");
        assert!(self.last_height().is_none_or(|last| last <= closed.height), "it closes all that is there");
        self.released = 0;
        let mut writes = Vec::new();
        if !self.records.is_empty() {
            writes.push(Write::DeleteRange { table: Table::Record, from: self.start(), to: self.end });
            self.records.clear();
        }
        writes.extend(self.append(closed));
        writes
    }

    /// Append one record as master.
    pub(super) fn append(&mut self, record: Record) -> Vec<Write> {
        assert!(record.height > self.height, "a committed height is history");
        let index = self.end;
        let put = Write::Put { table: Table::Record, key: index, value: encode_record(&record) };
        self.records.insert(index, record);
        self.end += 1;
        vec![put, self.put_end()]
    }

    /// Append a master's records from `start`; what is here already stays (rule 11: the log only grows in an epoch).
    /// `None`: there is a gap before `start`.
    pub(super) fn extend(&mut self, start: u64, records: Vec<Record>) -> Option<Vec<Write>> {
        if start > self.end {
            return None;
        }
        let mut writes = Vec::new();
        for (index, record) in (start..).zip(records) {
            if index < self.end {
                continue;
            }
            self.end = index + 1;
            if record.height > self.height {
                writes.push(Write::Put { table: Table::Record, key: index, value: encode_record(&record) });
                self.records.insert(index, record);
            }
        }
        if !writes.is_empty() || start < self.end {
            writes.push(self.put_end());
        }
        Some(writes)
    }

    /// Make this log the new master's (rule 10): keep the common prefix, cut what goes beyond or differs, extend.
    /// `master_height` is the committed height of the master: its log starts above it.
    pub(super) fn resync(
        &mut self,
        epoch: Epoch,
        master_height: Height,
        start: u64,
        records: Vec<Record>,
    ) -> Result<Vec<Write>, Divergence> {
        assert!(epoch >= self.bound(), "an older epoch is not listened to (R3)");
        assert!(self.height >= master_height, "blocks come before records");
        if epoch == self.synced {
            // Same epoch: a prefix of that log is here already; a repetition, however late, cuts nothing (rule 11).
            // Where it begins beyond our end, what lies between belongs to heights that are committed here.
            if start > self.end {
                self.end = start;
            }
            return self.extend(start, records).ok_or(Divergence);
        }
        let end = start + records.len() as u64;
        let theirs =
            |index: u64| index.checked_sub(start).and_then(|i| records.get(usize::try_from(i).ok()?));
        // Rule I3: what was released and is not history must stand in the new master's log, byte for byte. What an
        // operator's force closed is given up by intent.
        let closed = records.iter().filter(|r| r.is_closed()).map(|r| r.height).max().unwrap_or_default();
        let history = master_height.max(closed);
        let lost = self
            .records
            .range(..self.released)
            .any(|(index, mine)| mine.height > history && theirs(*index) != Some(mine));
        if lost {
            return Err(Divergence);
        }
        let mut writes = Vec::new();
        let differing =
            self.records.iter().find(|(index, mine)| theirs(**index) != Some(mine)).map(|(i, _)| *i);
        let released = self.released;
        let mut is_kept = true;
        if let Some(from) = differing {
            // What of it was released is history, or stands in the new log and comes back below.
            let mut cut = self.records.range(from..).take_while(|(index, _)| **index < released);
            is_kept = cut.any(|(_, mine)| mine.height > history);
            self.released = released.min(from);
            writes.extend(self.cut(from));
        }
        for (index, record) in (start..).zip(records) {
            if record.height > self.height && !self.records.contains_key(&index) {
                writes.push(Write::Put { table: Table::Record, key: index, value: encode_record(&record) });
                self.records.insert(index, record);
            }
        }
        self.end = end;
        // A forced master's log may end below what an older one released: that does not speak of what takes these indexes next.
        self.released = if is_kept { released } else { self.released }.min(end);
        (self.promised, self.synced) = (epoch, epoch);
        writes.push(self.put_end());
        writes.push(self.put_promise());
        Ok(writes)
    }

    /// The chain is committed up to `height` here: older records go.
    pub(super) fn commit(&mut self, height: Height) -> Vec<Write> {
        self.height = self.height.max(height);
        let keep =
            self.records.iter().find(|(_, r)| r.height > self.height).map_or(self.end, |(index, _)| *index);
        let first = self.start();
        self.records = self.records.split_off(&keep);
        if first < keep {
            vec![Write::DeleteRange { table: Table::Record, from: first, to: keep }]
        } else {
            Vec::new()
        }
    }

    /// A master said that it released everything below `index`.
    pub(super) fn note_released(&mut self, index: u64) {
        self.released = self.released.max(index.min(self.end));
    }

    fn cut(&mut self, from: u64) -> Vec<Write> {
        let released = from < self.released && self.records.range(from..self.released).next().is_some();
        assert!(!released, "a released record is never cut (I3)");
        drop(self.records.split_off(&from));
        if from >= self.end {
            return Vec::new();
        }
        let to = self.end;
        self.end = from;
        vec![Write::DeleteRange { table: Table::Record, from, to }, self.put_end()]
    }

    fn put_end(&self) -> Write {
        Write::Put { table: Table::Meta, key: META_LOG_END, value: encode_u64(self.end) }
    }

    fn put_note(epoch: Epoch) -> Write {
        Write::Put { table: Table::Meta, key: META_NOTE, value: encode_u64(epoch.0) }
    }

    /// Whether this writes what is promised.
    pub(super) const fn is_promise(write: &Write) -> bool {
        matches!(write, Write::Put { table: Table::Meta, key: META_PROMISE, .. })
    }

    /// What is promised, written as it stands.
    pub(super) fn put_promise(&self) -> Write {
        Write::Put {
            table: Table::Meta,
            key: META_PROMISE,
            value: encode_promise(self.promised, self.synced),
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
