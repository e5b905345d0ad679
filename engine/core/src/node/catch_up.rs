//! Catching up from far behind: a snapshot and the blocks above it, in pieces, from several nodes at once. What is only
//! a few blocks behind asks one node for them (follow.rs).
//!
//! Nothing here is believed: a snapshot is proven by the results that a quorum signed, each of its pieces by its hash,
//! each block by its certificate. Who sends what does not hold is asked no more.

use super::follow::CATCH_UP_PATIENCE;
use super::serving::{CATCH_UP_BYTES, MANIFEST};
use super::{After, Duty, Node};
use crate::chain::{BlockError, Snapshot};
use crate::discard::Discard;
use crate::event::Event;
use crate::links::Party;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::ids::Height;
use duohuo_wire::packet::{BlockPush, QueryScope, RangeQuery, SnapshotChunk, SnapshotOffer, SnapshotQuery};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Further behind than this a node asks several others.
const FAR: u64 = 64;
/// Further behind than this it asks for a snapshot first.
const SNAPSHOT_FAR: u64 = 1_000;
/// A question that got no whole answer for so long is asked of somebody else. Above what a server's budget can make it
/// wait when all its places are taken (serving.rs): 16 MiB at 10 MiB/s.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions that a node may leave unanswered, or answer with nothing, before it is asked no more.
const FAILURES: u32 = 3;
/// Blocks that wait for those below them, in bytes and in heights.
const EARLY_BYTES: usize = 16 << 20;
const EARLY_HEIGHTS: u64 = 4_096;
/// Heights asked for at once, at most and at first.
const RANGE: u64 = 512;
const FIRST_RANGE: u64 = 16;
/// A snapshot of more pieces is not fetched: 4 GiB would be held in memory.
const CHUNKS: u32 = 1 << 14;
/// Between two progress events.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// What a source was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Offer,
    Chunk(u32),
    Blocks { from: Height, to: Height },
}

#[derive(Default)]
struct Source {
    task: Option<(Task, Instant)>,
    failures: u32,
    /// It has not got the snapshot that is being fetched.
    lacks_snapshot: bool,
}

/// A snapshot on its way here.
struct Fetching {
    height: Height,
    manifest: Bytes,
    proof: Bytes,
    chunks: Vec<Option<Bytes>>,
    missing: usize,
}

#[derive(Default)]
enum Wanted {
    /// Blocks will do.
    #[default]
    Nothing,
    /// Somebody is to say what there is.
    Offer,
    Chunks(Box<Fetching>),
}

pub(super) struct CatchUp {
    /// The greatest height that somebody told.
    target: Height,
    /// Who said so first: asked for blocks in the plain way if all else fails.
    first: Party,
    sources: BTreeMap<Party, Source>,
    /// Who sent what does not hold, or answered too little: asked no more.
    banned: BTreeSet<Party>,
    snapshot: Wanted,
    /// The lowest height that nobody was asked for yet.
    next: Height,
    /// Heights to be asked for again.
    again: VecDeque<(Height, Height)>,
    /// Blocks that wait for those below them, and who sent them.
    early: BTreeMap<Height, (Party, Bytes)>,
    early_bytes: usize,
    /// Mean size of a block, as far as is known.
    block_bytes: usize,
    told_at: Instant,
}

impl CatchUp {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let asked = self.sources.values().filter_map(|s| s.task.map(|(_, at)| at + PATIENCE)).min();
        asked.into_iter().chain([self.told_at + PROGRESS_INTERVAL]).min()
    }

    fn take_task(&mut self, source: Party, is_it: impl Fn(Task) -> bool) -> Option<Task> {
        let place = self.sources.get_mut(&source)?;
        let (task, _) = place.task.take_if(|(task, _)| is_it(*task))?;
        Some(task)
    }

    /// What was asked of a source and will not come from it is asked of another.
    fn give_back(&mut self, task: Task, height: Height) {
        if let Task::Blocks { from, to } = task {
            let from = from.max(height.next());
            // Gaps between what came already are asked for one by one.
            let mut start = None;
            for at in (from.0..=to.0).map(Height) {
                if self.early.contains_key(&at) {
                    if let Some(start) = start.take() {
                        self.again.push_back((start, Height(at.0 - 1)));
                    }
                } else {
                    start.get_or_insert(at);
                }
            }
            if let Some(start) = start {
                self.again.push_back((start, to));
            }
        }
    }

    fn drop_source(&mut self, source: Party, height: Height) {
        if let Some((task, _)) = self.sources.remove(&source).and_then(|s| s.task) {
            self.give_back(task, height);
        }
    }

    fn ban(&mut self, source: Party, height: Height) {
        self.banned.insert(source);
        self.drop_source(source, height);
    }

    fn fail(&mut self, source: Party, height: Height) {
        let Some(place) = self.sources.get_mut(&source) else { return };
        place.failures += 1;
        if place.failures >= FAILURES {
            self.ban(source, height);
        }
    }

    /// What to ask of this source next.
    fn next_task(&mut self, source: Party, height: Height) -> Option<Task> {
        let asked = |task: Task| self.sources.values().any(|s| s.task.is_some_and(|(t, _)| t == task));
        match &self.snapshot {
            Wanted::Offer => (!asked(Task::Offer)).then_some(Task::Offer),
            Wanted::Chunks(fetching) => {
                if self.sources.get(&source).is_some_and(|s| s.lacks_snapshot) {
                    return None;
                }
                let lacking = (0u32..).zip(&fetching.chunks).filter(|(_, chunk)| chunk.is_none());
                lacking.map(|(index, _)| Task::Chunk(index)).find(|task| !asked(*task))
            }
            Wanted::Nothing => self.next_range(height),
        }
    }

    fn next_range(&mut self, height: Height) -> Option<Task> {
        while let Some((from, to)) = self.again.pop_front() {
            let from = from.max(height.next());
            if from <= to {
                return Some(Task::Blocks { from, to });
            }
        }
        self.next = self.next.max(height.next());
        let full = self.early_bytes >= EARLY_BYTES || self.next.0 - height.0 > EARLY_HEIGHTS;
        if self.next > self.target || full {
            return None;
        }
        let fits = CATCH_UP_BYTES as usize / self.block_bytes.max(1);
        let count = if self.block_bytes == 0 { FIRST_RANGE } else { (fits as u64).clamp(1, RANGE) };
        let (from, to) = (self.next, Height(self.next.0.saturating_add(count - 1).min(self.target.0)));
        self.next = to.next();
        Some(Task::Blocks { from, to })
    }

    fn permille(&self) -> u32 {
        let Wanted::Chunks(fetching) = &self.snapshot else { return 0 };
        let all = fetching.chunks.len();
        u32::try_from((all - fetching.missing) * 1_000 / all.max(1)).unwrap_or(1_000)
    }
}

impl Node {
    /// Somebody has blocks up to `target`: if that is far from here, several are asked. Whether they are.
    pub(super) fn consider_catch_up(&mut self, from: Party, target: Height) -> bool {
        if let Some(catch_up) = &mut self.far {
            catch_up.target = catch_up.target.max(target);
            self.add_sources(from);
            self.run_far_catch_up();
            return true;
        }
        if target.0.saturating_sub(self.height.0) <= FAR || self.is_stuck() {
            return false;
        }
        self.begin_catch_up(from, target);
        true
    }

    /// What several could not help with a moment ago is not asked of all of them again at once (B-BLK-12).
    fn is_stuck(&self) -> bool {
        let is_now = |(height, at)| height == self.height && self.now - at < CATCH_UP_PATIENCE;
        self.follower.stuck.is_some_and(is_now)
    }

    fn begin_catch_up(&mut self, from: Party, target: Height) {
        let far = target.0.saturating_sub(self.height.0) > SNAPSHOT_FAR;
        self.far = Some(Box::new(CatchUp {
            target,
            first: from,
            sources: BTreeMap::new(),
            banned: BTreeSet::new(),
            snapshot: if far { Wanted::Offer } else { Wanted::Nothing },
            next: self.height.next(),
            again: VecDeque::new(),
            early: BTreeMap::new(),
            early_bytes: 0,
            block_bytes: 0,
            told_at: self.now,
        }));
        self.follower_asks_nobody();
        self.add_sources(from);
        self.tell_progress();
        self.run_far_catch_up();
    }

    /// Everybody who may have what we lack: who said so, and every node of the cluster that is ahead of us; for a
    /// master the other masters too.
    fn add_sources(&mut self, from: Party) {
        let ahead = self.neighbours.iter().filter(|(_, n)| n.height > self.height);
        let mut parties: Vec<Party> = ahead.map(|(node, _)| Party::Node(*node)).collect();
        if matches!(self.duty, Duty::Lead(_)) {
            parties.extend(self.other_masters().into_iter().map(|(_, node)| Party::Node(node)));
        }
        parties.push(from);
        parties.retain(|party| self.links.stream_of(*party).is_some());
        let Some(catch_up) = &mut self.far else { return };
        for party in parties {
            if !catch_up.banned.contains(&party) {
                catch_up.sources.entry(party).or_default();
            }
        }
    }

    /// A stream ended: what was asked for by it will not be answered.
    pub(super) fn lose_source(&mut self, party: Party) {
        let height = self.height;
        if let Some(catch_up) = &mut self.far {
            catch_up.drop_source(party, height);
            self.run_far_catch_up();
        }
    }

    /// A role ended: whom it let us ask is no business of ours any more.
    pub(super) fn give_up_far_catch_up(&mut self) {
        self.far = None;
    }

    /// Applies what can be, asks for what is missing.
    pub(super) fn run_far_catch_up(&mut self) {
        self.apply_early();
        let (now, height) = (self.now, self.height);
        let Some(catch_up) = &mut self.far else { return };
        if height >= catch_up.target {
            self.far = None;
            self.event(Event::CaughtUp { height });
            return;
        }
        let late: Vec<Party> = catch_up
            .sources
            .iter()
            .filter(|(_, s)| s.task.is_some_and(|(_, at)| now - at >= PATIENCE))
            .map(|(party, _)| *party)
            .collect();
        for party in late {
            if let Some(task) = catch_up.take_task(party, |_| true) {
                catch_up.give_back(task, height);
            }
            catch_up.fail(party, height);
        }
        let idle: Vec<Party> =
            catch_up.sources.iter().filter(|(_, s)| s.task.is_none()).map(|(party, _)| *party).collect();
        for party in idle {
            self.ask_source(party);
        }
        self.end_if_stuck();
        self.tell_progress_if_due();
    }

    fn ask_source(&mut self, party: Party) {
        let (now, height) = (self.now, self.height);
        let Some(catch_up) = &mut self.far else { return };
        let Some(task) = catch_up.next_task(party, height) else { return };
        let packet = match (task, &catch_up.snapshot) {
            (Task::Chunk(chunk), Wanted::Chunks(fetching)) => {
                SnapshotQuery { height: fetching.height, chunk, ..Default::default() }.into()
            }
            (Task::Blocks { from, to }, _) => {
                RangeQuery { from, to, max_bytes: CATCH_UP_BYTES, ..Default::default() }.into()
            }
            _ => SnapshotQuery { chunk: MANIFEST, ..Default::default() }.into(),
        };
        if let Some(source) = catch_up.sources.get_mut(&party) {
            source.task = Some((task, now));
        }
        if !self.links.send_stream(party, &packet, &mut self.out) {
            catch_up.drop_source(party, height);
        }
    }

    /// Nobody left to ask, or nobody has what is wanted.
    fn end_if_stuck(&mut self) {
        let Some(catch_up) = &mut self.far else { return };
        if catch_up.sources.values().any(|s| s.task.is_some()) {
            return;
        }
        if !matches!(catch_up.snapshot, Wanted::Nothing) && !catch_up.sources.is_empty() {
            // Nobody has the snapshot any more: a newer one took its place. Blocks are asked for; who has pruned them
            // answers with what it has.
            catch_up.snapshot = Wanted::Nothing;
            catch_up.next = self.height.next();
            for source in catch_up.sources.values_mut() {
                source.lacks_snapshot = false;
            }
            self.run_far_catch_up();
            return;
        }
        let first = catch_up.first;
        self.far = None;
        self.follower.stuck = Some((self.height, self.now));
        self.event(Event::CaughtUp { height: self.height });
        self.catch_up(first);
    }

    /// A block that cannot be applied yet; whether it is kept until it can.
    pub(super) fn keep_early(&mut self, from: Party, push: &BlockPush) -> bool {
        let height = self.height;
        let Some(catch_up) = &mut self.far else { return false };
        let near = push.height > height && push.height.0 - height.0 <= EARLY_HEIGHTS * 2;
        // The lowest ones always fit: they are what everything waits for.
        let fits = catch_up.early_bytes < EARLY_BYTES * 2 || push.height == height.next();
        if !near || !fits || catch_up.early.contains_key(&push.height) {
            return near;
        }
        catch_up.early_bytes += push.block.len();
        catch_up.block_bytes = match catch_up.block_bytes {
            0 => push.block.len().max(1),
            mean => (mean * 7 + push.block.len()) / 8,
        };
        catch_up.target = catch_up.target.max(push.height);
        catch_up.early.insert(push.height, (from, push.block.clone()));
        true
    }

    fn apply_early(&mut self) {
        loop {
            let next = self.height.next();
            let Some(catch_up) = &mut self.far else { return };
            while let Some(entry) = catch_up.early.first_entry() {
                if *entry.key() >= next {
                    break;
                }
                catch_up.early_bytes -= entry.remove().1.len();
            }
            let Some((from, block)) = catch_up.early.get(&next).cloned() else { return };
            match self.chain.apply(self.now, &block) {
                Ok(height) => self.applied(height, block),
                Err(BlockError::UnknownGrant(..)) => {
                    self.query(QueryScope::History);
                    return;
                }
                Err(_) => {
                    self.discards.count(Discard::BadBlock);
                    let height = self.height;
                    if let Some(catch_up) = &mut self.far {
                        catch_up.early.remove(&next);
                        catch_up.early_bytes -= block.len();
                        catch_up.again.push_front((next, next));
                        catch_up.ban(from, height);
                    }
                }
            }
        }
    }

    /// The end of an answer to a question of ours for blocks; whether it was one.
    pub(super) fn range_ended(&mut self, from: Party, told: Height) -> bool {
        let height = self.height;
        let Some(catch_up) = &mut self.far else { return false };
        let Some(task) = catch_up.take_task(from, |task| matches!(task, Task::Blocks { .. })) else {
            return false;
        };
        let waiting = catch_up.again.len();
        catch_up.give_back(task, height);
        let Task::Blocks { from: first, to } = task else { return true };
        let brought_none = catch_up.again.len() == waiting + 1
            && catch_up.again.back() == Some(&(first.max(height.next()), to));
        if brought_none || told < first {
            catch_up.fail(from, height);
        } else if let Some(source) = catch_up.sources.get_mut(&from) {
            source.failures = 0;
        }
        self.run_far_catch_up();
        true
    }

    /// What a snapshot is made of, asked for or not.
    pub(super) fn on_snapshot_offer(&mut self, from: Party, offer: SnapshotOffer) -> Result<(), Discard> {
        let asked = self.far.as_mut().and_then(|c| c.take_task(from, |task| task == Task::Offer));
        let good = self.take_offer(from, offer);
        if asked.is_some()
            && let Some(catch_up) = &mut self.far
            && matches!(catch_up.snapshot, Wanted::Offer)
        {
            // It has none that helps: blocks from the start.
            catch_up.snapshot = Wanted::Nothing;
        }
        self.run_far_catch_up();
        good
    }

    fn take_offer(&mut self, from: Party, offer: SnapshotOffer) -> Result<(), Discard> {
        if offer.height <= self.height {
            if self.snapshots.unproven(offer.height) == Some(&offer.manifest) {
                self.prove_snapshot(offer.height, &offer.manifest, &offer.proof)?;
            }
            return Ok(());
        }
        // Somebody who offers one is ahead; but a few blocks are fetched faster as blocks, if they are there.
        let SnapshotOffer { height, manifest, proof, .. } = offer;
        let Some(chunks) = self.plan(height, &manifest, &proof)? else { return Ok(()) };
        if self.far.is_none() {
            let was_refused_blocks = self.follower_asks(from);
            // Its pieces may not be there yet: who offers it is still writing it.
            if !was_refused_blocks || self.is_stuck() {
                return Ok(());
            }
            self.begin_catch_up(from, height);
        }
        let Some(catch_up) = &mut self.far else { return Ok(()) };
        if let Wanted::Chunks(fetching) = &catch_up.snapshot
            && fetching.height >= height
        {
            return Ok(());
        }
        if chunks > CHUNKS {
            return Err(Discard::Unexpected);
        }
        catch_up.target = catch_up.target.max(height);
        let missing = chunks as usize;
        let chunks = vec![None; missing];
        catch_up.snapshot = Wanted::Chunks(Box::new(Fetching { height, manifest, proof, chunks, missing }));
        for source in catch_up.sources.values_mut() {
            source.lacks_snapshot = false;
        }
        if !catch_up.banned.contains(&from) {
            catch_up.sources.entry(from).or_default();
        }
        Ok(())
    }

    /// How many pieces, if it is proven. Not known yet: the grants are asked for, and the offer again later.
    pub(super) fn plan(
        &mut self,
        height: Height,
        manifest: &Bytes,
        proof: &Bytes,
    ) -> Result<Option<u32>, Discard> {
        match self.chain.plan(manifest, proof) {
            Ok(plan) if plan.height == height => Ok(Some(plan.chunks)),
            Err(BlockError::UnknownGrant(..)) => {
                self.query(QueryScope::History);
                Ok(None)
            }
            Ok(_) | Err(_) => Err(Discard::BadBlock),
        }
    }

    pub(super) fn on_snapshot_chunk(&mut self, from: Party, packet: SnapshotChunk) -> Result<(), Discard> {
        let height = self.height;
        let Some(catch_up) = &mut self.far else { return Err(Discard::Unexpected) };
        if catch_up.take_task(from, |task| task == Task::Chunk(packet.chunk)).is_none() {
            return Err(Discard::Unexpected);
        }
        let Wanted::Chunks(fetching) = &mut catch_up.snapshot else { return Ok(()) };
        if fetching.height != packet.height {
            return Ok(());
        }
        let place = fetching.chunks.get_mut(packet.chunk as usize);
        if packet.content.is_empty() {
            if let Some(source) = catch_up.sources.get_mut(&from) {
                source.lacks_snapshot = true;
            }
        } else if !self.chain.is_chunk(&fetching.manifest, packet.chunk, &packet.content) {
            catch_up.ban(from, height);
            self.run_far_catch_up();
            return Err(Discard::BadBlock);
        } else if let Some(place @ None) = place {
            *place = Some(packet.content);
            fetching.missing -= 1;
        }
        self.install_snapshot();
        self.run_far_catch_up();
        Ok(())
    }

    /// If all pieces are here, the snapshot takes the place of our state.
    fn install_snapshot(&mut self) {
        let Some(catch_up) = &mut self.far else { return };
        if !matches!(&catch_up.snapshot, Wanted::Chunks(fetching) if fetching.missing == 0) {
            return;
        }
        let Wanted::Chunks(fetching) = core::mem::take(&mut catch_up.snapshot) else { return };
        let Fetching { height, manifest, proof, chunks, .. } = *fetching;
        if height <= self.height {
            return; // blocks were faster
        }
        let chunks: Vec<Bytes> = chunks.into_iter().flatten().collect();
        if self.chain.restore_snapshot(&manifest, &chunks).is_err() {
            // Proven, and no state: a quorum signed what is none.
            self.discards.count(Discard::BadBlock);
            return;
        }
        self.write_down();
        self.height = height;
        let mut writes = self.snapshots.install(Snapshot { height, manifest, chunks }, proof);
        writes.extend(self.log.commit(height));
        let state_hash = self.chain.status().state_hash;
        self.persist(writes, After::Installed(height, state_hash));
        self.give_log_anew();
        self.after_applying(height);
        self.tell_progress();
    }

    fn tell_progress(&mut self) {
        let Some(catch_up) = &mut self.far else { return };
        catch_up.told_at = self.now;
        let missing = catch_up.target.0.saturating_sub(self.height.0);
        let event =
            Event::CatchingUp { height: self.height, missing, snapshot_permille: catch_up.permille() };
        self.event(event);
    }

    fn tell_progress_if_due(&mut self) {
        if self.far.as_ref().is_some_and(|c| self.now - c.told_at >= PROGRESS_INTERVAL) {
            self.tell_progress();
        }
    }
}
