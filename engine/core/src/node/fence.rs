//! The fence of a forced master (design R5; rules 7 and 17), from both of its sides.
//!
//! A node that is forced knows nothing of what its cluster said: the whole in-sync set is lost. Before its first word it
//! has n - f other clusters promise, durably, to count nothing of an older epoch, and tell the height they work on. What
//! its predecessor may have said, it said at most one height above the highest of these: to commit the height before, it
//! needed a quorum, and one honest member of that quorum is among those who answer. Up to there the log is closed: a
//! record of the cluster's log says so, so that every later master knows, and none of them signs anything below.

use super::gate::Gated;
use super::{After, Duty, Node};
use crate::chain::Record;
use crate::discard::Discard;
use crate::event::Event;
use crate::limits::LAST_HEIGHT;
use crate::links::{Party, turn};
use crate::time::{Duration, Instant};
use bytes::{BufMut as _, Bytes, BytesMut};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, Version};
use duohuo_wire::packet::{Fence, FenceAnswer, Fenced, Packet};
use duohuo_wire::statement::{Row, SignedRow};
use std::collections::BTreeMap;

/// A forced master that says nothing yet (I8).
pub(super) struct Fencing {
    epoch: Epoch,
    version: Version,
    /// Which clusters promised, and the heights they work on.
    promised: BTreeMap<ClusterId, Height>,
    stage: Stage,
    retry_at: Instant,
    retry_interval: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The others are asked.
    Asking,
    /// The record is on its way to the disk.
    Closing(Height),
    /// The authority is told.
    Telling { closed: Height, request: u64 },
}

impl Fencing {
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) const fn poll_timeout(&self) -> Instant {
        self.retry_at
    }
}

/// What another cluster was promised about a cluster's epochs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Promise {
    epoch: Epoch,
    height: Height,
    /// Told once: it stood in the logs of our whole set.
    is_safe: bool,
}

impl Node {
    /// The grant is adopted, its promise durable, and the row is unfenced.
    pub(super) fn begin_fence(&mut self, row: &Row) {
        self.duty = Duty::Fence(Box::new(Fencing {
            epoch: row.epoch,
            version: row.version,
            promised: BTreeMap::new(),
            stage: Stage::Asking,
            retry_at: self.now,
            retry_interval: self.config.timers.retry_interval,
        }));
        // OUT-4: who are the others now?
        self.query(duohuo_wire::packet::QueryScope::Changed);
        self.consider();
        self.run_mesh();
        self.run_fence();
    }

    /// Ask, or tell, again.
    pub(super) fn run_fence(&mut self) {
        let longest = self.config.timers.retry_interval * 16;
        let Duty::Fence(fencing) = &mut self.duty else { return };
        if self.now < fencing.retry_at {
            return;
        }
        fencing.retry_at = self.now + fencing.retry_interval;
        fencing.retry_interval = (fencing.retry_interval * 2).min(longest);
        match fencing.stage {
            Stage::Asking => self.ask_fence(),
            Stage::Closing(_) => {}
            Stage::Telling { closed, request } => {
                // So many unanswered: the session may be one that the authority no longer has.
                if fencing.retry_interval == longest {
                    self.links.open_datagram(turn!(self), Party::Authority);
                }
                self.tell_fenced(closed, request);
            }
        }
    }

    fn ask_fence(&mut self) {
        let Duty::Fence(fencing) = &self.duty else { return };
        let asked: Vec<NodeId> = self
            .other_masters()
            .into_iter()
            .filter(|(cluster, _)| !fencing.promised.contains_key(cluster))
            .map(|(_, node)| node)
            .collect();
        let Some(row) = self.rows.get(&self.cluster).cloned() else { return };
        let packet = Packet::from(Fence { row, ..Default::default() });
        for node in asked {
            self.links.send_stream(Party::Node(node), &packet, &mut self.out);
        }
    }

    fn tell_fenced(&mut self, height: Height, request: u64) {
        let Duty::Fence(fencing) = &self.duty else { return };
        let (epoch, version, cluster) = (fencing.epoch, fencing.version, self.cluster);
        let packet = Fenced { request, cluster, epoch, version, height, ..Default::default() };
        self.send_to_authority(&Packet::from(packet), false);
    }

    /// Another cluster promised.
    pub(super) fn on_fence_answer(
        &mut self,
        cluster: ClusterId,
        node: NodeId,
        answer: &FenceAnswer,
    ) -> Result<(), Discard> {
        let is_master = self.rows.get(&cluster).is_some_and(|s| s.row.master == node);
        let clusters = self.config.roster.clusters.len();
        let own_height = self.height.next();
        let Duty::Fence(fencing) = &mut self.duty else {
            return Err(Discard::Unexpected);
        };
        let meant = answer.cluster == self.cluster && answer.epoch == fencing.epoch;
        let in_range = answer.height <= LAST_HEIGHT;
        if !is_master || !meant || !in_range || fencing.stage != Stage::Asking {
            return Err(Discard::Unexpected);
        }
        fencing.promised.insert(cluster, answer.height);
        if fencing.promised.len() < clusters - clusters.saturating_sub(1) / 3 {
            return Ok(());
        }
        let highest = fencing.promised.values().copied().fold(own_height, Height::max);
        // Above every record of our own as well: what is closed is whole.
        let closed = self.log.last_height().unwrap_or_default().max(highest.next());
        fencing.stage = Stage::Closing(closed);
        let epoch = fencing.epoch;
        let writes = self.log.close(Record::closed(closed, epoch));
        self.persist(writes, After::Closed(epoch));
        Ok(())
    }

    /// The closed record is durable on all of the in-sync set: on us, who are alone in it.
    pub(super) fn has_closed(&mut self, epoch: Epoch) {
        let request = self.random.u64();
        let Duty::Fence(fencing) = &mut self.duty else { return };
        let Stage::Closing(closed) = fencing.stage else { return };
        if fencing.epoch != epoch {
            return;
        }
        fencing.stage = Stage::Telling { closed, request };
        fencing.retry_interval = self.config.timers.retry_interval;
        fencing.retry_at = self.now;
        self.run_fence();
    }

    /// A newer own row while the fence is being put up: it stands, or somebody else is master.
    pub(super) fn fence_learns(&mut self, row: &Row) {
        let Duty::Fence(fencing) = &mut self.duty else { return };
        if row.epoch == fencing.epoch && row.unfenced {
            fencing.version = row.version;
        } else if row.epoch == fencing.epoch {
            self.begin_to_act(row);
        } else {
            self.duty = Duty::Follow;
        }
    }

    /// A forced master of another cluster asks us to count nothing of its cluster's older epochs.
    pub(super) fn on_fence(
        &mut self,
        cluster: ClusterId,
        node: NodeId,
        signed: SignedRow,
    ) -> Result<(), Discard> {
        if signed.row.cluster != cluster || signed.row.master != node || !signed.row.unfenced {
            return Err(Discard::BadStatement);
        }
        let epoch = signed.row.epoch;
        self.learn_row(signed)?;
        let Some(signed) = self.rows.get(&cluster).filter(|s| s.row.epoch == epoch && s.row.master == node)
        else {
            return Err(Discard::OldEpoch);
        };
        if !signed.row.unfenced {
            return Err(Discard::Unexpected);
        }
        // The promise is what the row says; it is kept where our successors find it.
        let bytes = Record::promise(signed);
        let Duty::Lead(master) = &mut self.duty else {
            return Err(Discard::Forbidden);
        };
        match master.promises.get(&cluster) {
            Some(promise) if promise.epoch == epoch => {
                let (height, is_safe) = (promise.height, promise.is_safe);
                if is_safe {
                    self.answer_fence(node, cluster, epoch, height);
                }
                return Ok(());
            }
            _ => {}
        }
        let height = self.height.next();
        master.promises.insert(cluster, Promise { epoch, height, is_safe: false });
        self.append(height, bytes);
        self.hold(Gated::Promise { node, cluster, epoch, height });
        self.run_chain();
        Ok(())
    }

    /// Our whole in-sync set has the promise in its log.
    pub(super) fn has_promised(&mut self, node: NodeId, cluster: ClusterId, epoch: Epoch, height: Height) {
        if let Duty::Lead(master) = &mut self.duty {
            master.promises.insert(cluster, Promise { epoch, height, is_safe: true });
        }
        self.event(Event::FencePromised { cluster, epoch, height });
        self.answer_fence(node, cluster, epoch, height);
    }

    fn answer_fence(&mut self, node: NodeId, cluster: ClusterId, epoch: Epoch, height: Height) {
        let packet = Packet::from(FenceAnswer { cluster, epoch, height, ..Default::default() });
        self.links.send_stream(Party::Node(node), &packet, &mut self.out);
    }

    /// Promises that stand in what our master sent: its successor, who may be us, counts nothing older either.
    pub(super) fn learn_promises(&mut self, records: &[Record]) {
        for signed in records.iter().filter_map(Record::promised_row) {
            // Signed by the authority or no row at all: what is not is ignored here.
            let _ = self.learn_row(signed);
        }
    }
}

/// Records that the machine writes itself, beside the chain's, which never begin with these bytes.
impl Record {
    const CLOSED: u8 = 0xFF;
    const PROMISE: u8 = 0xFE;

    /// Nothing is signed at this height or below: a fence stands there.
    fn closed(height: Height, epoch: Epoch) -> Self {
        Self { height, epoch, bytes: Bytes::from_static(&[Self::CLOSED]) }
    }

    /// The bytes of a promise to count nothing older than this row.
    fn promise(signed: &SignedRow) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(Self::PROMISE);
        signed.encode(&mut bytes);
        bytes.freeze()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.bytes.as_ref() == [Self::CLOSED]
    }

    /// Whether the machine wrote it, and not the chain.
    pub(super) fn is_own(&self) -> bool {
        self.bytes.first().is_some_and(|tag| *tag >= Self::PROMISE)
    }

    fn promised_row(&self) -> Option<SignedRow> {
        let row = self.bytes.strip_prefix(&[Self::PROMISE])?;
        SignedRow::decode(row).ok()
    }
}
