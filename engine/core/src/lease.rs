//! The lease of design R7: whether this node may act outside the chain, and until when.
//!
//! One struct, two sides. A master *asks* every member of its in-sync set again and again; a request that all of them
//! acknowledged lets it act until a span after the moment it was **sent**, on its own clock. A member *gives*: it notes
//! when it last acknowledged, and does not act itself, should it be granted, before that span, stretched by the drift
//! bound, is over on its clock. The answer was sent after the request, so that the old master's span ends first
//! (behaviour.md section 15). Nothing here sends, asks a clock, or touches what the chain may say: the lease stands on top of
//! the epoch, and P1 does not rest on it.

use crate::time::{Duration, Instant};
use duohuo_wire::ids::{Epoch, NodeId};
use std::collections::{BTreeMap, VecDeque};

/// Requests whose answer may still come.
const ASKED_AT_ONCE: usize = 32;
/// A lease that is asked for so often in the time in which it may be renewed survives as many lost answers less one.
const ASKS_PER_LEASE: u32 = 4;

/// How long a lease lasts. The same on all nodes of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTerms {
    /// From the sending of a request to the moment by which whatever acted has ended. Above `margin`.
    pub span: Duration,
    /// At the end of it: the time in which what acts is made to end. 0 < margin < span.
    pub margin: Duration,
    /// How much faster one node's clock may run than another's of the same cluster, parts per million.
    pub drift_ppm: u32,
}

impl LeaseTerms {
    /// How long a successor waits, on its own clock, after it acknowledged a lease of `span`: span x (1 + drift).
    #[must_use]
    pub fn wait_for(&self, span: Duration) -> Duration {
        let nanos = span.as_nanos();
        let drift = (nanos * u128::from(self.drift_ppm)).div_ceil(1_000_000);
        Duration::from_nanos(u64::try_from(nanos + drift).unwrap_or(u64::MAX))
    }

    /// Between two requests.
    #[must_use]
    pub fn ask_interval(&self) -> Duration {
        (self.span - self.margin) / ASKS_PER_LEASE
    }

    /// A tick of one's own that is later than this drops what one holds.
    #[must_use]
    pub fn late_limit(&self) -> Duration {
        self.span / 2
    }

    /// The span as it travels.
    #[must_use]
    pub fn span_us(&self) -> u32 {
        u32::try_from(self.span.as_micros()).unwrap_or(u32::MAX)
    }
}

/// What the caller must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Act (go on acting) in this epoch. Begin to end it at `stop_at` by yourself; at `until` it has ended.
    Act { epoch: Epoch, stop_at: Instant, until: Instant },
    /// End it.
    Stop(Ended),
}

/// Why acting ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// This node leads no more.
    RoleOver = 0,
    /// Not all members acknowledged in time.
    Lapsed = 1,
    /// Our own loop came late.
    LateTick = 2,
    /// We are told to stop, or give the role back.
    Leaving = 3,
}

/// Both sides of the lease on one node.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    terms: LeaseTerms,
    /// The epoch in which this node leads, and whether it may ask.
    leads: Option<Epoch>,
    /// It is on its way out: nothing is asked for any more.
    leaving: bool,
    /// Requests under way: nonce, and the moment of sending.
    asked: VecDeque<(u64, Instant)>,
    /// Of each member the newest request it acknowledged: when that was sent.
    given: BTreeMap<NodeId, Instant>,
    /// Who was asked and has not answered at all since: from when.
    owed: BTreeMap<NodeId, Instant>,
    /// When the newest request was sent: our own part in it.
    asked_at: Option<Instant>,
    ask_at: Instant,
    acting: Option<Acting>,
    /// Before this our own acting is not safe, as far as we know: see the module's page.
    free_at: Instant,
    /// All is given, and only `free_at` is waited for.
    waits_until: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Acting {
    epoch: Epoch,
    stop_at: Instant,
    until: Instant,
}

impl Lease {
    /// At the start of a process: an earlier life may have acknowledged a lease the moment before.
    pub(crate) fn new(now: Instant, terms: LeaseTerms) -> Self {
        Self {
            terms,
            leads: None,
            leaving: false,
            asked: VecDeque::new(),
            given: BTreeMap::new(),
            owed: BTreeMap::new(),
            asked_at: None,
            ask_at: Instant::ZERO,
            acting: None,
            free_at: now + terms.wait_for(terms.span),
            waits_until: None,
        }
    }

    pub(crate) const fn terms(&self) -> &LeaseTerms {
        &self.terms
    }

    /// The epoch this node acts in.
    pub(crate) fn acts_in(&self) -> Option<Epoch> {
        self.acting.map(|a| a.epoch)
    }

    /// The role of master begins.
    pub(crate) fn lead(&mut self, now: Instant, epoch: Epoch) {
        self.forget();
        (self.leads, self.leaving) = (Some(epoch), false);
        self.ask_at = now;
    }

    /// The role is over.
    pub(crate) fn role_over(&mut self) -> Option<Order> {
        self.leads = None;
        self.forget();
        self.stop(Ended::RoleOver)
    }

    /// We leave in good order: stop, ask no more. What was acknowledged is not used again.
    pub(crate) fn leave(&mut self) -> Option<Order> {
        self.leaving = true;
        self.forget();
        self.stop(Ended::Leaving)
    }

    /// Our own loop came so late that what we hold may be over without our knowing.
    pub(crate) fn late_tick(&mut self, now: Instant, late: Duration) -> Option<Order> {
        if late <= self.terms.late_limit() {
            return None;
        }
        self.forget();
        self.ask_at = now;
        self.stop(Ended::LateTick)
    }

    fn forget(&mut self) {
        self.asked.clear();
        self.given.clear();
        self.owed.clear();
        self.asked_at = None;
    }

    fn stop(&mut self, why: Ended) -> Option<Order> {
        self.acting.take().map(|_| Order::Stop(why))
    }

    /// Whether a request is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.leads.is_some() && !self.leaving && now >= self.ask_at
    }

    /// A request with this nonce is sent now, to all members.
    pub(crate) fn ask(&mut self, now: Instant, nonce: u64) {
        if self.asked.len() >= ASKED_AT_ONCE {
            self.asked.pop_front();
        }
        self.asked.push_back((nonce, now));
        self.asked_at = Some(now);
        self.ask_at = now + self.terms.ask_interval();
    }

    /// The request under way goes to this member, too.
    pub(crate) fn asks(&mut self, now: Instant, node: NodeId) {
        self.owed.entry(node).or_insert(now);
    }

    /// Since when a member owes every answer.
    pub(crate) fn owed_since(&self, node: NodeId) -> Option<Instant> {
        self.owed.get(&node).copied()
    }

    /// A member acknowledges the request of that nonce. Counted from its sending, whenever the answer comes.
    pub(crate) fn acknowledged(&mut self, node: NodeId, nonce: u64) {
        let Some((_, sent_at)) = self.asked.iter().find(|(asked, _)| *asked == nonce) else {
            return;
        };
        self.owed.remove(&node);
        let newest = self.given.entry(node).or_insert(*sent_at);
        *newest = (*newest).max(*sent_at);
    }

    /// Whether `node` acknowledged a lease that ends no sooner than `until`: who is to be waited for from now on must stand
    /// behind what acts, or is being ended, until then.
    pub(crate) fn is_covered_by(&self, node: NodeId, until: Instant) -> bool {
        self.given.get(&node).is_some_and(|sent_at| *sent_at + self.terms.span >= until)
    }

    /// Until when this node may act, if `holders` are those that must acknowledge besides itself.
    fn until(&self, holders: impl Iterator<Item = NodeId>) -> Option<Instant> {
        let mut oldest = self.asked_at?;
        for node in holders {
            oldest = oldest.min(*self.given.get(&node)?);
        }
        Some(oldest + self.terms.span)
    }

    /// What follows at `now`; again after everything that may have changed it.
    pub(crate) fn run(&mut self, now: Instant, holders: impl Iterator<Item = NodeId>) -> Option<Order> {
        let held = match self.leads {
            Some(epoch) if !self.leaving => self.until(holders).map(|until| (epoch, until)),
            _ => None,
        };
        let may = held.and_then(|(epoch, until)| {
            // Beyond the clock's beginning nothing can be held.
            let stop_at = Instant::from_nanos(
                until.as_nanos().checked_sub(u64::try_from(self.terms.margin.as_nanos()).ok()?)?,
            );
            (now < stop_at && (now >= self.free_at || self.acting.is_some())).then_some(Acting {
                epoch,
                stop_at,
                until,
            })
        });
        let waits = may.is_none() && held.is_some() && now < self.free_at;
        self.waits_until = waits.then_some(self.free_at);
        match (may, self.acting) {
            (Some(new), old) if old != Some(new) => {
                self.acting = Some(new);
                Some(Order::Act { epoch: new.epoch, stop_at: new.stop_at, until: new.until })
            }
            (Some(_), _) => None,
            (None, Some(_)) => self.stop(Ended::Lapsed),
            (None, None) => None,
        }
    }

    /// This node acknowledges a master's lease of `span` now. `false`: it is longer than our own terms allow, and
    /// is not acknowledged, because a restart of ours would wait for less.
    pub(crate) fn give(&mut self, now: Instant, span: Duration) -> bool {
        if span > self.terms.span {
            return false;
        }
        self.free_at = self.free_at.max(now + self.terms.wait_for(span));
        true
    }

    /// The master that we acknowledged has stopped acting, and says that it uses nothing of ours any more.
    pub(crate) fn given_back(&mut self, now: Instant) {
        self.free_at = self.free_at.min(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.leads?;
        let ask_at = (!self.leaving).then_some(self.ask_at);
        ask_at.into_iter().chain(self.acting.map(|a| a.stop_at)).chain(self.waits_until).min()
    }
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
