//! How this node came to lead, measured by its own clock while it happens, and told to the authority (spec/behaviour.md
//! 4.9). Nothing is decided by it.

use super::{Duty, Node};
use crate::event::Event;
use crate::io::Measured;
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{Epoch, NodeId};
use duohuo_wire::takeover::Takeover;
use duohuo_wire::tlv::Extensions;

/// A master that is ready and has committed nothing for so long tells what there is.
const PATIENCE: Duration = Duration::from_secs(10);
/// Told with so many keepalives that the authority answered: one of them was enough, and is on its disk.
const ENOUGH: u32 = 16;

/// What is noted for the takeover that may come, and of the one that came last.
#[derive(Default)]
pub(super) struct Noted {
    heard: Option<(Epoch, Instant)>,
    suspected_at: Option<Instant>,
    claimed_at: Option<Instant>,
    reign: Option<Reign>,
}

struct Reign {
    epoch: Epoch,
    granted_at: Instant,
    heard_at: Option<Instant>,
    suspected_at: Option<Instant>,
    claimed_at: Option<Instant>,
    promised_at: Option<Instant>,
    ready_at: Option<Instant>,
    spoke_at: Option<Instant>,
    committed_at: Option<Instant>,
    /// Keepalives that told it and were answered.
    answered: u32,
}

impl Noted {
    /// The master of that epoch was heard as such.
    pub(super) const fn heard(&mut self, now: Instant, epoch: Epoch) {
        self.heard = Some((epoch, now));
        self.suspected_at = None;
        self.claimed_at = None;
    }

    /// The grant of an epoch came.
    pub(super) fn granted(&mut self, now: Instant, epoch: Epoch) {
        // Another one's reign between would have been the one before: it was not heard.
        let heard = self.heard.take().filter(|(heard, _)| heard.next() == epoch);
        self.reign = Some(Reign {
            epoch,
            granted_at: now,
            heard_at: heard.map(|(_, at)| at),
            suspected_at: self.suspected_at.take(),
            claimed_at: self.claimed_at.take(),
            promised_at: None,
            ready_at: None,
            spoke_at: None,
            committed_at: None,
            answered: 0,
        });
    }

    /// Its promise is durable.
    pub(super) fn promised(&mut self, now: Instant, epoch: Epoch) {
        if let Some(reign) = self.reign.as_mut().filter(|reign| reign.epoch == epoch) {
            reign.promised_at.get_or_insert(now);
        }
    }

    /// The authority answered a keepalive of ours.
    pub(super) fn answered(&mut self, now: Instant, is_outside: bool) {
        if let Some(reign) = self.reign.as_mut().filter(|reign| reign.takeover(now, is_outside).is_some()) {
            reign.answered = reign.answered.saturating_add(1);
        }
    }
}

impl Reign {
    /// All of it, or all that there will be. `is_outside`: what acts is outside the chain, and commits nothing here.
    fn takeover(&self, now: Instant, is_outside: bool) -> Option<Takeover> {
        let ready_at = self.ready_at?;
        if !is_outside && self.committed_at.is_none() && now < ready_at + PATIENCE {
            return None;
        }
        let before = |at: Option<Instant>| at.map(|at| micros(self.granted_at - at));
        let after = |at: Option<Instant>| at.map(|at| micros(at - self.granted_at));
        Some(Takeover {
            heard_us: before(self.heard_at),
            suspected_us: before(self.suspected_at),
            claimed_us: before(self.claimed_at),
            promised_us: after(self.promised_at),
            ready_us: after(self.ready_at),
            spoke_us: after(self.spoke_at),
            committed_us: after(self.committed_at),
        })
    }
}

impl Node {
    /// A sign of a takeover, before it or in it.
    pub(super) fn note_for_takeover(&mut self, event: &Event) {
        let now = self.now;
        match event {
            Event::Suspected { node } if self.is_incumbent(*node) => {
                self.noted.suspected_at.get_or_insert(now);
            }
            Event::Claimed { .. } => {
                self.noted.claimed_at.get_or_insert(now);
            }
            Event::Released(_) | Event::Committed { .. } | Event::Acting { .. } => {
                let Duty::Lead(master) = &self.duty else { return };
                let epoch = master.epoch();
                let Some(reign) = self.noted.reign.as_mut().filter(|reign| reign.epoch == epoch) else {
                    return;
                };
                match event {
                    Event::Released(_) => reign.spoke_at.get_or_insert(now),
                    // A block of the reign before may still be on its way to the disk.
                    Event::Committed { .. } if reign.spoke_at.is_some() => {
                        reign.committed_at.get_or_insert(now)
                    }
                    Event::Acting { .. } => reign.ready_at.get_or_insert(now),
                    _ => return,
                };
            }
            _ => {}
        }
    }

    /// Nothing more may be in the way of a word than is for any master.
    pub(super) fn note_readiness(&mut self) {
        let Duty::Lead(master) = &self.duty else { return };
        let is_ready = self.outside.is_none() && master.is_ready();
        let epoch = master.epoch();
        if let Some(reign) = self.noted.reign.as_mut().filter(|reign| is_ready && reign.epoch == epoch) {
            reign.ready_at.get_or_insert(self.now);
        }
    }

    /// The incumbent was heard as master.
    pub(super) fn heard_as_master(&mut self, node: NodeId) {
        if let Some(epoch) = self.own_row().filter(|row| row.master == node).map(|row| row.epoch) {
            self.noted.heard(self.now, epoch);
        }
    }

    fn is_incumbent(&self, node: NodeId) -> bool {
        self.own_row().is_some_and(|row| row.master == node)
    }

    /// How this node came to lead, for those who look.
    pub(super) fn own_takeover(&self) -> Option<Measured> {
        let reign = self.noted.reign.as_ref().filter(|reign| reign.epoch > Epoch(1))?;
        let takeover = reign.takeover(self.now, self.outside.is_some())?;
        let outage_us = takeover.heard_us.zip(takeover.ready_us).map(|(before, after)| before + after);
        let (cluster, epoch, to) = (self.cluster, reign.epoch, self.me);
        Some(Measured { cluster, epoch, to, granted_us: 0, takeover, outage_us })
    }

    /// What a keepalive to the authority in that epoch tells of it. The first master of a cluster took over from nobody.
    pub(super) fn told_takeover(&self, epoch: Epoch) -> Extensions {
        let mut extensions = Extensions::new();
        let is_outside = self.outside.is_some();
        let told = self
            .noted
            .reign
            .as_ref()
            .filter(|reign| reign.epoch == epoch && epoch > Epoch(1) && reign.answered < ENOUGH)
            .and_then(|reign| reign.takeover(self.now, is_outside));
        if let Some(takeover) = told {
            takeover.add_to(&mut extensions);
        }
        extensions
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn reign_at(noted: &mut Noted) -> &mut Reign {
        noted.reign.as_mut().expect("granted")
    }

    #[test]
    fn what_was_not_seen_is_absent_and_spans_are_counted_from_the_grant() {
        let mut noted = Noted::default();
        noted.heard(ms(100), Epoch(4));
        noted.suspected_at = Some(ms(103));
        noted.granted(ms(110), Epoch(5));
        noted.promised(ms(112), Epoch(5));
        reign_at(&mut noted).ready_at = Some(ms(115));
        assert_eq!(reign_at(&mut noted).takeover(ms(116), false), None, "it may commit yet");
        let mut told = Takeover {
            heard_us: Some(10_000),
            suspected_us: Some(7_000),
            claimed_us: None,
            promised_us: Some(2_000),
            ready_us: Some(5_000),
            spoke_us: None,
            committed_us: None,
        };
        assert_eq!(reign_at(&mut noted).takeover(ms(116), true), Some(told), "outside nothing is committed");
        assert_eq!(reign_at(&mut noted).takeover(ms(10_115), false), Some(told), "long enough");
        reign_at(&mut noted).committed_at = Some(ms(120));
        told.committed_us = Some(10_000);
        assert_eq!(reign_at(&mut noted).takeover(ms(120), false), Some(told));
    }

    #[test]
    fn a_master_of_another_epoch_than_the_one_before_was_not_the_one_before() {
        let mut noted = Noted::default();
        noted.heard(ms(100), Epoch(3));
        noted.granted(ms(110), Epoch(5));
        assert_eq!(reign_at(&mut noted).heard_at, None);
    }

    #[test]
    fn hearing_the_incumbent_again_ends_what_was_suspected() {
        let mut noted = Noted { suspected_at: Some(ms(1)), claimed_at: Some(ms(2)), ..Default::default() };
        noted.heard(ms(3), Epoch(1));
        assert!(noted.suspected_at.is_none() && noted.claimed_at.is_none());
    }
}
