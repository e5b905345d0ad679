//! How masters came to act (spec/behaviour.md 4.9): what the authority measured of a grant and what its master told,
//! signed, chained and kept beside the journal. Nothing is decided by it.

use super::Authority;
use super::journal::{Journal, KEPT};
use crate::io::{self, Table as StoreTable, Write};
use crate::store::StartError;
use crate::time::{Duration, Instant};
use bytes::{Bytes, BytesMut};
use duohuo_wire::ids::{ClusterId, Epoch};
use duohuo_wire::packet::Journal as Page;
use duohuo_wire::sign::SigningKey;
use duohuo_wire::takeover::{Granting, SignedTakeover, Takeover};
use std::collections::{BTreeMap, VecDeque};

/// Shown to those who look.
const LATEST: usize = 20;

/// What is kept, and the grants of which nothing is yet.
#[derive(Default)]
pub(super) struct Takeovers {
    kept: VecDeque<SignedTakeover>,
    open: BTreeMap<ClusterId, Open>,
}

/// A grant whose master has not told yet how it came to act.
struct Open {
    decision: u64,
    /// Nothing: it was decided by an earlier run.
    measured: Option<Measured>,
}

struct Measured {
    heard_us: Option<u64>,
    asked_us: Option<u64>,
    decided_at: Instant,
    /// Of the batch that makes the decision durable.
    token: u64,
    durable_us: Option<u64>,
}

impl Open {
    fn granting(&self) -> Granting {
        self.measured.as_ref().map_or_else(Granting::default, |m| Granting {
            heard_us: m.heard_us,
            asked_us: m.asked_us,
            durable_us: m.durable_us,
        })
    }
}

impl Takeovers {
    /// What the store holds of them, and the reigns of which it holds nothing.
    pub(super) fn load(records: &BTreeMap<u64, Bytes>, journal: &Journal) -> Result<Self, StartError> {
        let mut kept: VecDeque<SignedTakeover> = VecDeque::new();
        for (number, bytes) in records {
            let damaged = StartError::Damaged("takeover");
            let one = SignedTakeover::decode(bytes).map_err(|_| damaged)?;
            let follows = kept.back().is_none_or(|last| one.follows(last));
            if one.number != *number || !follows {
                return Err(damaged);
            }
            kept.push_back(one);
            if kept.len() > KEPT {
                kept.pop_front();
            }
        }
        let noted = |decision: u64| kept.iter().rev().any(|one| one.decision == decision);
        let open = journal
            .reigns()
            .filter(|(_, epoch, decision)| *epoch > Epoch(1) && !noted(*decision))
            .map(|(cluster, _, decision)| (cluster, Open { decision, measured: None }))
            .collect();
        Ok(Self { kept, open })
    }

    /// The batch is on disk, and so are those before it.
    pub(super) fn durable(&mut self, token: u64, now: Instant) {
        for measured in self.open.values_mut().filter_map(|open| open.measured.as_mut()) {
            if measured.token <= token && measured.durable_us.is_none() {
                measured.durable_us = Some(micros(now - measured.decided_at));
            }
        }
    }

    fn note(&mut self, open: &Open, after: u64, takeover: Takeover, key: &SigningKey) -> Write {
        let one =
            SignedTakeover::sign(self.kept.back(), after, open.decision, open.granting(), takeover, key);
        let mut value = BytesMut::with_capacity(SignedTakeover::LENGTH);
        one.encode(&mut value);
        let write = Write::Put { table: StoreTable::Record, key: one.number, value: value.freeze() };
        self.kept.push_back(one);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
        write
    }

    /// The newest ones, for those who look.
    pub(super) fn latest(&self, journal: &Journal) -> Vec<io::Measured> {
        let newest = self.kept.iter().skip(self.kept.len().saturating_sub(LATEST));
        let measured = |one: &SignedTakeover| {
            let entry = journal.entry(one.decision)?;
            Some(io::Measured {
                cluster: entry.cluster,
                epoch: entry.epoch,
                to: entry.new,
                granted_us: entry.at_unix_us,
                takeover: one.takeover,
                outage_us: one.outage_us(),
            })
        };
        newest.filter_map(measured).collect()
    }

    /// Add to a page of the journal what was noted after each of its decisions. A page that has no room for all of it
    /// ends before the decision whose takeovers have none: of one decision there are at most as many as clusters.
    pub(super) fn add_to(&self, page: &mut Page) {
        let (Some(first), Some(last)) =
            (page.entries.first().map(|e| e.number), page.entries.last().map(|e| e.number))
        else {
            return;
        };
        let begin = self.kept.partition_point(|one| one.after < first);
        let mut shown: Vec<SignedTakeover> =
            self.kept.iter().skip(begin).take_while(|one| one.after <= last).cloned().collect();
        if let Some(surplus) = shown.get(SignedTakeover::MOST) {
            let end = surplus.after;
            page.entries.retain(|entry| entry.number < end);
            shown.retain(|one| one.after < end);
        }
        if !shown.is_empty() {
            SignedTakeover::add_to(&shown, &mut page.extensions);
        }
    }
}

impl Authority {
    /// A master was granted by the decision made just now, for a claim or an order that came at `asked_at`.
    pub(super) fn begin_takeover(&mut self, cluster: ClusterId, asked_at: Instant) {
        let heard_at = self.soft.get(&cluster).and_then(|soft| soft.kept_alive_at);
        let since = |at: Instant| micros(self.now - at);
        let measured = Measured {
            heard_us: heard_at.map(since),
            asked_us: Some(since(asked_at)),
            decided_at: self.now,
            token: self.out.last_token(),
            durable_us: None,
        };
        let open = Open { decision: self.table.version(), measured: Some(measured) };
        let before = self.takeovers.open.insert(cluster, open);
        if let Some(before) = before.filter(|before| before.measured.is_some()) {
            // It told nothing, and cannot any more.
            self.keep_takeover(&before, Takeover::default());
        }
    }

    /// The master of the row's epoch tells: the first time it is kept.
    pub(super) fn takeover_told(&mut self, cluster: ClusterId, takeover: Takeover) {
        if let Some(open) = self.takeovers.open.remove(&cluster) {
            self.keep_takeover(&open, takeover);
        }
    }

    fn keep_takeover(&mut self, open: &Open, takeover: Takeover) {
        let write = self.takeovers.note(open, self.journal.last(), takeover, &self.config.signing_key);
        let token = self.out.persist(vec![write]);
        self.disk.asked(token, self.now);
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX - 1)
}
