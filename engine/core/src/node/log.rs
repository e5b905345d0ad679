//! The log of a cluster on one node (design R2, R3): what the master's signed words rest upon.
//!
//! A log is, in idea, one endless sequence of records; only those above the committed height are kept, because a
//! decided height makes its locks and votes history. What is kept is: the records, where the next one goes (`end`),
//! the highest epoch promised, and the epoch whose master's log this one is a prefix of (`synced`). All changes come
//! out as [`Write`]s of one batch, so that a crash leaves the state before or after, never between (rules 9 and 10).

use crate::chain::Record;
use crate::io::{Stored, Table, Write};
use crate::store::{
    META_LOG_END, META_PROMISE, StartError, decode_promise, decode_record, decode_u64, encode_promise,
    encode_record, encode_u64,
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
}

impl Log {
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
            if record.height > height {
                records.insert(*index, record);
            }
        }
        // Kept records are the tail of the log, without a gap.
        let first = records.keys().next().copied().unwrap_or(end);
        let whole = first.checked_add(records.len() as u64) == Some(end);
        if !whole || synced > promised {
            return Err(StartError::Damaged("log with a gap"));
        }
        Ok(Self { records, end, promised, synced, height, released: 0 })
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn promised(&self) -> Epoch {
        self.promised
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

    /// How far this log may be acknowledged: a record of height h only by a node that holds the chain up to h - 1.
    pub(super) fn acknowledged(&self) -> u64 {
        let beyond =
            self.records.iter().find(|(_, r)| r.height > self.height.next()).map(|(index, _)| *index);
        beyond.unwrap_or(self.end)
    }

    /// Adopt a grant: promise the epoch and call the own log its master's (rule 15). What was never acknowledged
    /// (records of a height whose predecessor is missing) is dropped: no master can have released it.
    pub(super) fn adopt(&mut self, epoch: Epoch) -> Vec<Write> {
        assert!(epoch > self.promised, "a row is adopted once (rule 15)");
        (self.promised, self.synced) = (epoch, epoch);
        let mut writes = self.cut(self.acknowledged());
        writes.push(self.put_promise());
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
        assert!(epoch >= self.promised, "an older epoch is not listened to (R3)");
        assert!(self.height >= master_height, "blocks come before records");
        if epoch == self.synced {
            // Same epoch: a prefix of that log is here already; a repetition, however late, cuts nothing (rule 11).
            // Where it begins beyond our end, what lies between belongs to heights that are committed here.
            if start > self.end {
                assert!(self.records.is_empty(), "records before the master's log are history");
                self.end = start;
            }
            return self.extend(start, records).ok_or(Divergence);
        }
        let end = start + records.len() as u64;
        let theirs =
            |index: u64| index.checked_sub(start).and_then(|i| records.get(usize::try_from(i).ok()?));
        // Rule I3: what was released and is not history must stand in the new master's log, byte for byte.
        let lost = self
            .records
            .range(..self.released)
            .any(|(index, mine)| mine.height > master_height && theirs(*index) != Some(mine));
        if lost {
            return Err(Divergence);
        }
        let mut writes = Vec::new();
        let differing =
            self.records.iter().find(|(index, mine)| theirs(**index) != Some(mine)).map(|(i, _)| *i);
        if let Some(from) = differing {
            writes.extend(self.cut(from));
        }
        for (index, record) in (start..).zip(records) {
            if record.height > self.height && !self.records.contains_key(&index) {
                writes.push(Write::Put { table: Table::Record, key: index, value: encode_record(&record) });
                self.records.insert(index, record);
            }
        }
        self.end = end;
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

    fn put_promise(&self) -> Write {
        Write::Put {
            table: Table::Meta,
            key: META_PROMISE,
            value: encode_promise(self.promised, self.synced),
        }
    }
}
