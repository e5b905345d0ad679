//! Who was master of each cluster in which epoch, as the authority signed it: kept so that a master can hand it on to
//! members that missed something while the authority is away (promise P4). Without it a block cannot be verified.

use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{History, Packet};
use duohuo_wire::statement::SignedRow;
use std::collections::BTreeMap;

/// Rows of one cluster kept beyond its history; a node that joins anew gets a newer history, which replaces them.
const ROWS: usize = 1024;

#[derive(Default)]
pub(super) struct Lineage {
    histories: BTreeMap<ClusterId, History>,
    /// One row of each epoch after the history.
    rows: BTreeMap<ClusterId, BTreeMap<Epoch, SignedRow>>,
}

/// The epoch after the last one of a history.
fn end(history: &History) -> Epoch {
    Epoch(history.first_epoch.0.saturating_add(history.nodes.len() as u64))
}

/// The last epoch that a history names.
pub(super) fn last_epoch(history: &History) -> Epoch {
    Epoch(end(history).0.saturating_sub(1))
}

impl Lineage {
    /// The master of an epoch, if it is known.
    pub(super) fn master(&self, cluster: ClusterId, epoch: Epoch) -> Option<NodeId> {
        let in_history = |history: &History| {
            let place = usize::try_from(epoch.0.checked_sub(history.first_epoch.0)?).ok()?;
            history.nodes.get(place).copied()
        };
        let in_rows = |rows: &BTreeMap<Epoch, SignedRow>| Some(rows.get(&epoch)?.row.master);
        let history = self.histories.get(&cluster).and_then(in_history);
        history.or_else(|| self.rows.get(&cluster).and_then(in_rows))
    }

    /// Whether the master of this epoch is known.
    pub(super) fn knows(&self, cluster: ClusterId, epoch: Epoch) -> bool {
        self.master(cluster, epoch).is_some()
    }

    /// Whether a master of a later epoch is known: rows may come in any order, a history is whole (rule 17).
    pub(super) fn has_newer(&self, cluster: ClusterId, epoch: Epoch) -> bool {
        self.histories.get(&cluster).is_some_and(|history| end(history) > epoch.next())
    }

    /// A verified history: the longer one stays.
    pub(super) fn learn(&mut self, history: &History) {
        let known = self.histories.get(&history.cluster).map(end);
        if known.is_none_or(|known| known <= end(history)) {
            if let Some(rows) = self.rows.get_mut(&history.cluster) {
                *rows = rows.split_off(&end(history));
            }
            self.histories.insert(history.cluster, history.clone());
        }
    }

    /// A verified row.
    pub(super) fn learn_row(&mut self, signed: &SignedRow) {
        let (cluster, epoch) = (signed.row.cluster, signed.row.epoch);
        if !self.knows(cluster, epoch) {
            let rows = self.rows.entry(cluster).or_default();
            rows.insert(epoch, signed.clone());
            if rows.len() > ROWS {
                rows.pop_first();
            }
        }
    }

    /// All of it, oldest first, as it is handed on.
    pub(super) fn packets(&self) -> Vec<Packet> {
        let histories = self.histories.values().cloned().map(Packet::from);
        let rows = self.rows.values().flat_map(BTreeMap::values);
        histories.chain(rows.map(|signed| Packet::from(super::learning::notice(signed.clone())))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::Version;
    use duohuo_wire::sign::SigningKey;
    use duohuo_wire::statement::Row;

    const C: ClusterId = ClusterId(1);

    fn history(masters: &[u32]) -> History {
        let key = SigningKey::from_bytes(&[1; 32]);
        History::sign(C, Epoch(1), masters.iter().map(|m| NodeId(*m)).collect(), &key)
    }

    fn row(epoch: u64) -> SignedRow {
        let row = Row {
            cluster: C,
            epoch: Epoch(epoch),
            version: Version(0),
            master: NodeId(1),
            in_sync: vec![NodeId(1)],
            barred: vec![],
            unfenced: false,
            table_version: epoch,
        };
        SignedRow::sign(row, &SigningKey::from_bytes(&[1; 32]))
    }

    #[test]
    fn rows_follow_the_history_and_a_longer_history_replaces_them() {
        let mut lineage = Lineage::default();
        lineage.learn(&history(&[1, 2]));
        for epoch in [2, 3, 5] {
            lineage.learn_row(&row(epoch));
        }
        let known = |l: &Lineage| (1..=6).filter(|e| l.knows(C, Epoch(*e))).collect::<Vec<u64>>();
        assert_eq!(known(&lineage), [1, 2, 3, 5]);
        assert_eq!(lineage.packets().len(), 3, "epoch 2 is in the history");
        lineage.learn(&history(&[1, 2, 3, 4]));
        assert_eq!(known(&lineage), [1, 2, 3, 4, 5]);
        assert_eq!(lineage.packets().len(), 2);
        assert_eq!(lineage.master(C, Epoch(4)), Some(NodeId(4)));
        assert_eq!((lineage.master(C, Epoch(0)), lineage.master(C, Epoch(6))), (None, None));
        lineage.learn(&history(&[1]));
        assert_eq!(known(&lineage), [1, 2, 3, 4, 5], "a shorter one changes nothing");
    }

    #[test]
    fn a_later_epoch_of_a_history_is_known_before_its_row() {
        let mut lineage = Lineage::default();
        lineage.learn(&history(&[1, 2, 1]));
        assert!(lineage.has_newer(C, Epoch(1)) && lineage.has_newer(C, Epoch(2)));
        assert!(!lineage.has_newer(C, Epoch(3)) && !lineage.has_newer(C, Epoch(9)));
        assert!(!lineage.has_newer(ClusterId(2), Epoch(1)));
    }

    #[test]
    #[cfg_attr(miri, ignore = "2,000 signatures take Miri too long")]
    fn rows_beyond_the_bound_are_dropped_oldest_first() {
        let mut lineage = Lineage::default();
        for epoch in 1..=2000 {
            lineage.learn_row(&row(epoch));
        }
        assert_eq!(lineage.packets().len(), ROWS);
        assert!(lineage.knows(C, Epoch(2000)) && !lineage.knows(C, Epoch(1)));
    }
}
