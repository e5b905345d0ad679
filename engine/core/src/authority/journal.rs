//! The journal: what was decided, when and why, as it is shown to those who ask (spec/wire.md 5.7). It is the log of
//! commands read once more, each with what it did to the master, chained by hashes.

use super::table::{Command, Table};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{DecisionKind, DecisionReason, Journal as Page, JournalEntry};
use duohuo_wire::sign::SigningKey;
use std::collections::{BTreeMap, VecDeque};

/// Entries kept to be shown; older ones are in the log, and their hash is.
pub(super) const KEPT: usize = 65_536;
/// Entries of one page.
const PAGE: usize = 1_000;
/// The tag of a command in the log that says when and why; an older log has commands without.
const DATED: u8 = 0x10;

/// A command as it goes to the log: when it was decided, microseconds since 1970, and why.
pub(super) fn dated(command: &Command, at_unix_us: u64, reason: DecisionReason) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(DATED);
    out.put_u64(at_unix_us);
    out.put_u8(reason.code());
    out.put_slice(&command.encode());
    out.freeze()
}

/// When and why, and the command's own bytes.
pub(super) fn undated(mut bytes: Bytes) -> Option<(u64, DecisionReason, Bytes)> {
    if bytes.first() != Some(&DATED) {
        return Some((0, DecisionReason::None, bytes));
    }
    bytes.advance(1);
    let at_unix_us = bytes.try_get_u64().ok()?;
    let reason = DecisionReason::from_code(bytes.try_get_u8().ok()?)?;
    Some((at_unix_us, reason, bytes))
}

/// What can be shown of the decisions so far.
#[derive(Default)]
pub(super) struct Journal {
    entries: VecDeque<JournalEntry>,
    /// The chain's hash before the first entry kept.
    before: [u8; 32],
    /// The chain's hash after the last one.
    head: [u8; 32],
    /// Of each cluster, its epoch and the decision that began it.
    reigns: BTreeMap<ClusterId, (Epoch, u64)>,
}

impl Journal {
    /// A command was applied; `table` is what it made of the one before, whose master was `old`.
    pub(super) fn note(
        &mut self,
        command: &Command,
        old: NodeId,
        table: &Table,
        at_unix_us: u64,
        reason: DecisionReason,
    ) {
        let row = table.entry(command.cluster()).map(|entry| entry.row.clone()).unwrap_or_default();
        let (kind, node, order) = match command {
            Command::Register { node, .. } => (DecisionKind::Register, *node, Bytes::new()),
            Command::Grant { node, .. } => (DecisionKind::Grant, *node, Bytes::new()),
            Command::Add { node, .. } => (DecisionKind::Add, *node, Bytes::new()),
            Command::Remove { node, .. } => (DecisionKind::Remove, *node, Bytes::new()),
            Command::Bar { .. } => (DecisionKind::Bar, old, Bytes::new()),
            Command::Fenced { .. } => (DecisionKind::Fenced, row.master, Bytes::new()),
            Command::Order { order, node, .. } => {
                let mut bytes = BytesMut::new();
                order.encode(&mut bytes);
                (DecisionKind::Order, *node, bytes.freeze())
            }
        };
        let entry = JournalEntry {
            number: table.version(),
            at_unix_us,
            kind,
            reason,
            cluster: command.cluster(),
            epoch: row.epoch,
            version: row.version,
            old,
            new: row.master,
            node,
            order,
        };
        if self.reigns.get(&entry.cluster).is_none_or(|(epoch, _)| *epoch < entry.epoch) {
            self.reigns.insert(entry.cluster, (entry.epoch, entry.number));
        }
        self.head = entry.chained(&self.head);
        self.entries.push_back(entry);
        if self.entries.len() > KEPT
            && let Some(oldest) = self.entries.pop_front()
        {
            self.before = oldest.chained(&self.before);
        }
    }

    /// Of each cluster that was granted, its epoch and the decision that granted it.
    pub(super) fn reigns(&self) -> impl Iterator<Item = (ClusterId, Epoch, u64)> {
        self.reigns.iter().map(|(cluster, (epoch, decision))| (*cluster, *epoch, *decision))
    }

    /// A decision, if it is kept: they are in order, without gaps.
    pub(super) fn entry(&self, number: u64) -> Option<&JournalEntry> {
        let first = self.entries.front()?.number;
        self.entries.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// The number of the last decision; 0 = none yet.
    pub(super) fn last(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.number)
    }

    /// The entries from number `from` on, or from the oldest one kept: as many as a page holds.
    pub(super) fn page(&self, request: u64, from: u64, key: &SigningKey) -> Page {
        let first = self.entries.front().map_or(1, |entry| entry.number);
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let before = self.entries.iter().take(skipped).fold(self.before, |hash, entry| entry.chained(&hash));
        let entries = self.entries.iter().skip(skipped).take(PAGE).cloned().collect();
        Page::sign(request, before, entries, self.last(), self.head, key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use duohuo_wire::ids::{ClusterId, Epoch, Version};

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    /// A cluster registered, and one node added to and removed from its set `changes` times.
    fn journal(changes: u64) -> Journal {
        let (mut table, mut journal) = (Table::default(), Journal::default());
        let cluster = ClusterId(1);
        let mut apply = |command: Command, old| {
            table.apply(&command).unwrap();
            journal.note(&command, old, &table, 7, DecisionReason::None);
        };
        apply(Command::Register { cluster, node: NodeId(1) }, NodeId(0));
        for version in 0..changes {
            let at = super::super::table::At { epoch: Epoch(1), version: Version(version) };
            let node = NodeId(2);
            let command = if version % 2 == 0 {
                Command::Add { cluster, at, node }
            } else {
                Command::Remove { cluster, at, node }
            };
            apply(command, NodeId(1));
        }
        journal
    }

    #[test]
    #[cfg_attr(miri, ignore = "the signed pages of thousands of decisions take Miri too long")]
    fn the_pages_follow_each_other_up_to_the_signed_head() {
        let journal = journal(2_500);
        let (mut hash, mut next) = ([0; 32], 1);
        loop {
            let page = journal.page(9, next, &key());
            assert!(page.verify(&key().verifying_key()));
            assert_eq!((page.request, page.head), (9, 2_501));
            assert_eq!(page.before, hash);
            for entry in &page.entries {
                assert_eq!(entry.number, next);
                hash = entry.chained(&hash);
                next += 1;
            }
            if next > page.head {
                assert_eq!(hash, page.head_hash);
                break;
            }
        }
        assert!(journal.page(9, u64::MAX, &key()).entries.is_empty());
    }

    #[test]
    #[cfg_attr(miri, ignore = "65,546 decisions take Miri too long")]
    fn what_is_not_kept_any_more_is_still_in_the_chain() {
        let journal = journal(KEPT as u64 + 10);
        let page = journal.page(1, 1, &key());
        assert_eq!(page.entries.first().map(|e| e.number), Some(12));
        assert_ne!(page.before, [0; 32]);
    }

    #[test]
    fn a_command_of_an_older_log_has_no_date() {
        let command = Command::Register { cluster: ClusterId(1), node: NodeId(2) };
        assert_eq!(undated(command.encode()), Some((0, DecisionReason::None, command.encode())));
        let bytes = dated(&command, 77, DecisionReason::Vacant);
        assert_eq!(undated(bytes.clone()), Some((77, DecisionReason::Vacant, command.encode())));
        assert_eq!(Command::decode(&bytes), Some(command));
        for cut in 1..10 {
            assert_eq!(undated(bytes.slice(..cut)), None);
        }
    }
}
