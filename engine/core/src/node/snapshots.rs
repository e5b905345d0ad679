//! Snapshots of the chain's state in the store: two places, written in turn and a piece at a time, so that votes never
//! wait for a whole one; and the pruning of the blocks below a proven one.

use super::{After, Node};
use crate::chain::Snapshot;
use crate::discard::Discard;
use crate::event::Event;
use crate::io::{Stored, Table, Write};
use crate::store::{
    KeptSnapshot, META_LOWEST_BLOCK, META_SNAPSHOTS, StartError, encode_u64, lowest_block, snapshot_key,
    snapshots,
};
use bytes::Bytes;
use duohuo_wire::ids::Height;
use duohuo_wire::packet::{Packet, SnapshotOffer};
use std::collections::VecDeque;

/// Blocks pruned with each one that is kept: many enough to get ahead, few enough not to be felt.
const PRUNED_AT_ONCE: u64 = 64;

/// A snapshot on its way to the store.
struct Writing {
    snapshot: KeptSnapshot,
    chunks: VecDeque<Bytes>,
    next: u32,
}

pub(super) struct Snapshots {
    kept: [Option<KeptSnapshot>; 2],
    writing: Option<Writing>,
    /// The lowest height whose block is kept.
    lowest: Height,
}

impl Snapshots {
    pub(super) fn load(stored: &Stored) -> Result<Self, StartError> {
        let mut kept = [None, None];
        for snapshot in snapshots(&stored.meta)? {
            if let Some(place) = kept.get_mut(snapshot.slot as usize) {
                *place = Some(snapshot);
            }
        }
        Ok(Self { kept, writing: None, lowest: lowest_block(&stored.meta)? })
    }

    /// The newest that others can believe.
    pub(super) fn proven(&self) -> Option<&KeptSnapshot> {
        self.kept.iter().flatten().filter(|s| s.is_proven()).max_by_key(|s| s.height)
    }

    /// The one of a height, whole in the store.
    pub(super) fn at(&self, height: Height) -> Option<&KeptSnapshot> {
        self.kept.iter().flatten().find(|s| s.height == height)
    }

    /// The manifest of the one of a height that lacks its proof, kept or on its way.
    pub(super) fn unproven(&self, height: Height) -> Option<&Bytes> {
        let writing = self.writing.as_ref().map(|w| &w.snapshot);
        let mut ours = self.kept.iter().flatten().chain(writing);
        ours.find(|s| s.height == height && !s.is_proven()).map(|s| &s.manifest)
    }

    pub(super) fn lowest(&self) -> Height {
        self.lowest
    }

    /// The place to write the next one to: never that of the newest proven one.
    fn free_slot(&self) -> u32 {
        let proven = self.proven().map(|s| s.slot);
        let rank = |slot: u32| {
            let place = self.kept.get(slot as usize).and_then(Option::as_ref);
            (proven == Some(slot), place.map(|s| s.height))
        };
        if rank(0) <= rank(1) { 0 } else { 1 }
    }

    /// Begins to write one; the first of its batches. Not while another is being written; and none without a piece.
    fn begin(&mut self, snapshot: Snapshot, proof: Bytes) -> Option<Vec<Write>> {
        if self.writing.is_some() || snapshot.chunks.is_empty() {
            return None;
        }
        let slot = self.free_slot();
        let chunks = u32::try_from(snapshot.chunks.len()).ok()?;
        if let Some(place) = self.kept.get_mut(slot as usize) {
            *place = None;
        }
        let mut writes = self.clear(slot);
        let Snapshot { height, manifest, chunks: pieces } = snapshot;
        let snapshot = KeptSnapshot { slot, height, chunks, manifest, proof };
        self.writing = Some(Writing { snapshot, chunks: pieces.into(), next: 0 });
        writes.extend(self.step());
        Some(writes)
    }

    fn clear(&self, slot: u32) -> Vec<Write> {
        let [first, second] = META_SNAPSHOTS;
        let key = if slot == 0 { first } else { second };
        vec![
            Write::DeleteRange { table: Table::Meta, from: key, to: key + 1 },
            Write::DeleteRange {
                table: Table::Snapshot,
                from: snapshot_key(slot, 0),
                to: snapshot_key(slot + 1, 0),
            },
        ]
    }

    /// The next piece; with the last one, what says that it is whole.
    fn step(&mut self) -> Vec<Write> {
        let Some(writing) = &mut self.writing else { return Vec::new() };
        let Some(chunk) = writing.chunks.pop_front() else { return Vec::new() };
        let key = writing.snapshot.key(writing.next);
        writing.next += 1;
        let mut writes = vec![Write::Put { table: Table::Snapshot, key, value: chunk }];
        if writing.chunks.is_empty() {
            writes.push(put(&writing.snapshot));
        }
        writes
    }

    /// A batch of the one of a height is durable: the next, or none, and with the last one it is kept.
    fn stepped(&mut self, height: Height) -> Vec<Write> {
        if self.writing.as_ref().is_some_and(|w| w.snapshot.height != height) {
            return Vec::new(); // another is installed meanwhile
        }
        let writes = self.step();
        if writes.is_empty()
            && let Some(Writing { snapshot, .. }) = self.writing.take()
            && let Some(place) = self.kept.get_mut(snapshot.slot as usize)
        {
            *place = Some(snapshot);
        }
        writes
    }

    /// Notes the proof of a snapshot that is kept or being written.
    fn prove(&mut self, height: Height, proof: &Bytes) -> Option<Vec<Write>> {
        let fits = |s: &KeptSnapshot| s.height == height && !s.is_proven();
        if let Some(writing) = &mut self.writing
            && fits(&writing.snapshot)
        {
            writing.snapshot.proof = proof.clone();
            // If what says that it is whole is under way already, it says so again with the proof.
            let is_whole = writing.chunks.is_empty();
            return is_whole.then(|| vec![put(&writing.snapshot)]);
        }
        let snapshot = self.kept.iter_mut().flatten().find(|s| fits(s))?;
        snapshot.proof = proof.clone();
        Some(vec![put(snapshot)])
    }

    /// Some of the blocks that nobody needs any more: `keep` below the newest proven snapshot stay.
    pub(super) fn prune(&mut self, keep: u64) -> Vec<Write> {
        let Some(proven) = self.proven() else { return Vec::new() };
        let end = proven.height.0.saturating_sub(keep).saturating_add(1);
        let to = end.min(self.lowest.0.saturating_add(PRUNED_AT_ONCE));
        if self.lowest.0 >= to {
            return Vec::new();
        }
        let from = self.lowest.0;
        self.lowest = Height(to);
        vec![
            Write::DeleteRange { table: Table::Block, from, to },
            Write::Put { table: Table::Meta, key: META_LOWEST_BLOCK, value: encode_u64(to) },
        ]
    }

    /// A snapshot takes the place of all blocks up to its height: whole at once, since the chain goes on from it.
    pub(super) fn install(&mut self, snapshot: Snapshot, proof: Bytes) -> Vec<Write> {
        self.writing = None;
        let height = snapshot.height;
        let mut writes = self.begin(snapshot, proof).unwrap_or_default();
        loop {
            let more = self.step();
            if more.is_empty() {
                break;
            }
            writes.extend(more);
        }
        self.lowest = height.next();
        writes.push(Write::DeleteRange { table: Table::Block, from: 0, to: self.lowest.0 });
        writes.push(Write::Put {
            table: Table::Meta,
            key: META_LOWEST_BLOCK,
            value: encode_u64(self.lowest.0),
        });
        writes
    }
}

fn put(snapshot: &KeptSnapshot) -> Write {
    let [first, second] = META_SNAPSHOTS;
    let key = if snapshot.slot == 0 { first } else { second };
    Write::Put { table: Table::Meta, key, value: snapshot.encode() }
}

impl Node {
    /// The chain took a snapshot.
    pub(super) fn keep_snapshot(&mut self, snapshot: Snapshot) {
        // A chain that takes them faster than the disk writes one loses some, and nothing by it.
        let height = snapshot.height;
        if let Some(writes) = self.snapshots.begin(snapshot, Bytes::new()) {
            self.persist(writes, After::SnapshotStep(height));
        }
    }

    pub(super) fn snapshot_step(&mut self, height: Height) {
        let writes = self.snapshots.stepped(height);
        if writes.is_empty() {
            self.tell_snapshot();
        } else {
            self.persist(writes, After::SnapshotStep(height));
        }
    }

    fn tell_snapshot(&mut self) {
        if let Some(height) = self.snapshots.proven().map(|s| s.height)
            && self.snapshots_told < height
        {
            self.snapshots_told = height;
            self.event(Event::SnapshotKept { height });
        }
    }

    /// It passed the gate: a quorum of clusters, ours among them, signed the state that the snapshot is bound to.
    pub(super) fn snapshot_proven(&mut self, height: Height, proof: &Bytes) {
        let ours = self.snapshots.unproven(height).cloned();
        if let Some(manifest) = ours
            && self.prove_snapshot(height, &manifest, proof) == Ok(true)
        {
            let offer = SnapshotOffer { height, manifest, proof: proof.clone(), ..Default::default() };
            self.tell_members(&Packet::from(offer));
        }
    }

    /// Keeps the proof of the snapshot of ours that lacks it, if it is of that one; whether it is known to be. If ours was taken while this node computed
    /// wrongly, it is of another state than a quorum signed: it stays unproven, and nothing is pruned for it.
    pub(super) fn prove_snapshot(
        &mut self,
        height: Height,
        manifest: &Bytes,
        proof: &Bytes,
    ) -> Result<bool, Discard> {
        if self.plan(height, manifest, proof)?.is_none() {
            return Ok(false);
        }
        if let Some(writes) = self.snapshots.prove(height, proof) {
            self.persist(writes, After::SnapshotProven);
        }
        Ok(true)
    }

    pub(super) fn snapshot_is_proven(&mut self) {
        self.tell_snapshot();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn snapshot(height: u64, chunks: usize) -> Snapshot {
        let chunks = vec![Bytes::from_static(b"piece"); chunks];
        Snapshot { height: Height(height), manifest: Bytes::from(format!("m{height}")), chunks }
    }

    fn empty() -> Snapshots {
        Snapshots::load(&Stored::default()).unwrap()
    }

    /// Writes one, piece by piece; how many batches that took.
    fn write(s: &mut Snapshots, height: u64, chunks: usize) -> usize {
        s.begin(snapshot(height, chunks), Bytes::new()).unwrap();
        let mut batches = 1;
        while !s.stepped(Height(height)).is_empty() {
            assert!(s.at(Height(height)).is_none(), "it is not kept before it is whole on the disk");
            batches += 1;
        }
        batches
    }

    fn prove(s: &mut Snapshots, height: u64) {
        s.prove(Height(height), &Bytes::from_static(b"proof")).unwrap();
    }

    fn deleted(writes: &[Write]) -> Option<(u64, u64)> {
        writes.iter().find_map(|w| match w {
            Write::DeleteRange { table: Table::Block, from, to } => Some((*from, *to)),
            _ => None,
        })
    }

    #[test]
    fn a_snapshot_is_written_a_piece_at_a_time() {
        let mut s = empty();
        assert_eq!(write(&mut s, 10, 3), 3);
        assert_eq!(s.at(Height(10)).map(|k| k.chunks), Some(3));
        assert!(s.proven().is_none());
    }

    #[test]
    fn the_newest_proven_one_is_never_written_over() {
        let mut s = empty();
        write(&mut s, 10, 1);
        prove(&mut s, 10);
        for height in [20, 30, 40] {
            write(&mut s, height, 1);
            assert_eq!(s.proven().map(|k| k.height), Some(Height(10)));
        }
        prove(&mut s, 40);
        write(&mut s, 50, 1);
        assert_eq!(s.proven().map(|k| k.height), Some(Height(40)));
        assert!(s.at(Height(10)).is_none());
    }

    #[test]
    fn a_proof_that_comes_before_the_last_piece_is_written_with_it() {
        let mut s = empty();
        s.begin(snapshot(10, 2), Bytes::new()).unwrap();
        assert_eq!(s.prove(Height(10), &Bytes::from_static(b"proof")), None);
        assert!(!s.stepped(Height(10)).is_empty());
        assert!(s.proven().is_none());
        assert!(s.stepped(Height(10)).is_empty());
        assert_eq!(s.proven().map(|k| k.height), Some(Height(10)));
    }

    #[test]
    fn a_proof_is_wanted_once_for_each_height_that_is_kept_or_being_written() {
        let mut s = empty();
        write(&mut s, 10, 1);
        s.begin(snapshot(20, 2), Bytes::new()).unwrap();
        assert_eq!(s.unproven(Height(9)), None);
        for height in [10, 20] {
            assert_eq!(s.unproven(Height(height)), Some(&Bytes::from(format!("m{height}"))));
            s.prove(Height(height), &Bytes::from_static(b"proof"));
            assert_eq!(s.unproven(Height(height)), None);
        }
        assert_eq!(s.proven().map(|k| k.height), Some(Height(10)), "the other is not whole yet");
    }

    #[test]
    fn nothing_is_pruned_without_a_proven_snapshot_and_never_what_it_keeps_below_it() {
        let mut s = empty();
        write(&mut s, 100, 1);
        assert_eq!(s.prune(0), []);
        prove(&mut s, 100);
        assert_eq!(s.prune(100), []);
        assert_eq!(deleted(&s.prune(30)), Some((1, 65)));
        assert_eq!(deleted(&s.prune(30)), Some((65, 71)), "30 blocks below it stay: 71 to 100");
        assert_eq!(s.prune(30), []);
        assert_eq!(s.lowest(), Height(71));
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let mut s = empty();
        let mut stored = Stored::default();
        let mut all = s.begin(snapshot(10, 1), Bytes::new()).unwrap();
        assert_eq!(s.stepped(Height(10)), []);
        all.extend(s.prove(Height(10), &Bytes::from_static(b"proof")).unwrap());
        all.extend(s.prune(5));
        for write in all {
            if let Write::Put { table: Table::Meta, key, value } = write {
                stored.meta.insert(key, value);
            }
        }
        let again = Snapshots::load(&stored).unwrap();
        assert_eq!(again.proven(), s.proven());
        assert_eq!(again.lowest(), Height(6));
    }

    #[test]
    fn an_installed_snapshot_takes_the_place_of_all_blocks_below() {
        let mut s = empty();
        let writes = s.install(snapshot(100, 2), Bytes::from_static(b"proof"));
        assert_eq!(deleted(&writes), Some((0, 101)));
        assert!(s.at(Height(100)).is_none(), "nobody is offered what is not on the disk yet");
        assert_eq!(s.stepped(Height(100)), []);
        assert_eq!((s.lowest(), s.proven().map(|k| k.chunks)), (Height(101), Some(2)));
        assert_eq!(s.prune(0), [], "there is nothing left to prune");
    }

    #[test]
    fn one_that_was_being_written_when_another_was_installed_is_kept_no_more() {
        let mut s = empty();
        s.begin(snapshot(10, 3), Bytes::new()).unwrap();
        s.install(snapshot(100, 2), Bytes::from_static(b"proof"));
        assert_eq!(s.stepped(Height(10)), []);
        assert!(s.at(Height(10)).is_none() && s.at(Height(100)).is_none());
        assert_eq!(s.stepped(Height(100)), []);
        assert_eq!(s.proven().map(|k| k.height), Some(Height(100)));
    }
}
