//! A takeover rehearsed (spec/behaviour.md 6.2): the claim, the writes, the log to the members and the start of the chain's core, up
//! to the first word, which is dropped. It goes where a real one goes, by the same packets and writes, and leaves nothing
//! behind: its epoch is 0, which is nobody's (no row has it, no word under it counts, and no log), what is written is what
//! stands already, and the core is gone before anything else is handled.

use super::{After, Duty, Node};
use crate::chain::{ChainOutput, HaltReason};
use crate::config::REHEARSAL_INTERVAL;
use crate::discard::Discard;
use crate::io::StreamId;
use crate::links::Party;
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{Epoch, LogIndex, NodeId, Version};
use duohuo_wire::packet::{Ack, ClaimReason, Outcome, Packet, Resync, Update};
use duohuo_wire::rehearsal::{self, Kept, RehearsalEnd, Rehearsed, Rehearsing};
use std::collections::BTreeMap;

/// The epoch of all that is rehearsed.
const NOBODYS: Epoch = Epoch(0);
/// Whoever did not answer by then counts as not there.
const PATIENCE: Duration = Duration::from_secs(2);
/// A longer log is not sent for a rehearsal: the streams have votes to carry.
const MOST_BYTES: usize = 4 << 20;
/// What it sends to its members in all, in bytes a second: the next rehearsal waits for it.
const RATE: u64 = 1 << 20;

/// The rehearsal that is on, and what bounds them.
#[derive(Default)]
pub(super) struct Rehearsals {
    running: Option<Box<Rehearsal>>,
    /// Until when none begins.
    rests_until: Option<Instant>,
    /// Members of the own cluster that were helped a moment ago, and when.
    helped: BTreeMap<NodeId, Instant>,
}

struct Rehearsal {
    /// Who asked.
    client: (StreamId, u64),
    nonce: u64,
    /// The claim's number.
    request: u64,
    claim: Packet,
    retry_at: Instant,
    retry_interval: Duration,
    began_at: Instant,
    /// When the authority's answer came.
    answered_at: Option<Instant>,
    /// The chain's core was started in this very turn: how long that took shows in the next.
    is_fresh: bool,
    found: Rehearsed,
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrote {
    /// In the place of the note of the epoch (B-NOTE-1).
    Note(u64),
    /// In the place of the promise.
    Promise(u64),
    /// In the place of a member's promise and log, for one that rehearses.
    For { node: NodeId, nonce: u64, asked_at: Instant },
}

impl Rehearsals {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let rehearsal = self.running.as_ref()?;
        let end = rehearsal.began_at + PATIENCE;
        Some(match rehearsal.answered_at {
            None => rehearsal.retry_at.min(end),
            Some(at) if rehearsal.found.started_us.is_none() => at,
            Some(_) => end,
        })
    }

    fn is_busy(&self, now: Instant) -> bool {
        self.running.is_some() || self.rests_until.is_some_and(|until| now < until)
    }

    fn of(&mut self, nonce: u64) -> Option<&mut Rehearsal> {
        self.running.as_deref_mut().filter(|rehearsal| rehearsal.nonce == nonce)
    }
}

impl Rehearsal {
    fn is_whole(&self) -> bool {
        let found = &self.found;
        let own = [found.claimed_us, found.noted_us, found.started_us, found.promised_us];
        own.iter().all(Option::is_some) && found.members.iter().all(|m| m.acknowledged_us.is_some())
    }
}

impl Node {
    /// A client wants to know how a takeover by this node would go.
    pub(super) fn rehearse(&mut self, stream: StreamId, request: u64) {
        let refusal = if self.rehearsals.is_busy(self.now) {
            Some(RehearsalEnd::Busy)
        } else if !self.is_fit_to_rehearse() {
            Some(RehearsalEnd::Unfit)
        } else if self.log.held().bytes > MOST_BYTES {
            Some(RehearsalEnd::TooLong)
        } else {
            None
        };
        if let Some(end) = refusal {
            return self.answer_status(stream, request, Some(&Rehearsed { end, ..Default::default() }));
        }
        self.rehearsals.rests_until = Some(self.now + REHEARSAL_INTERVAL);
        let master = self.own_row().map(|row| row.master);
        let found = Rehearsed {
            suspected_us: master.and_then(|m| self.neighbours.suspected_after(m)).map(micros),
            ..Default::default()
        };
        let nonce = self.random.u64();
        let claim = self.update(NOBODYS, Version(0), ClaimReason::Suspicion);
        let number = claim.request;
        let claim = Packet::from(Update { extensions: rehearsal::rehearsing(nonce), ..claim });
        if !self.send_to_authority(&claim, false) {
            let found = Rehearsed { end: RehearsalEnd::NoAuthority, ..found };
            return self.answer_status(stream, request, Some(&found));
        }
        let retry_interval = self.config.timers.retry_interval;
        self.rehearsals.running = Some(Box::new(Rehearsal {
            client: (stream, request),
            nonce,
            request: number,
            claim,
            retry_at: self.now + retry_interval,
            retry_interval,
            began_at: self.now,
            answered_at: None,
            is_fresh: false,
            found,
        }));
        self.persist(vec![self.log.put_promise()], After::Rehearsed(Wrote::Note(nonce)));
    }

    /// Only who follows a master that acts, and has nothing else to do: nothing of a rehearsal may meet the real thing.
    fn is_fit_to_rehearse(&self) -> bool {
        let is_up_to_date = self.far.is_none() && self.chain.status().height == self.height;
        matches!(self.duty, Duty::Follow) && !self.stopped && is_up_to_date && self.only_stands_by()
    }

    /// The authority answered. Whether it was about the rehearsal.
    pub(super) fn rehearsed_claim(&mut self, request: u64, outcome: Outcome) -> bool {
        let now = self.now;
        let Some(rehearsal) = self.rehearsals.running.as_deref_mut().filter(|r| r.request == request) else {
            return false;
        };
        if rehearsal.answered_at.is_some() {
            return true;
        }
        rehearsal.answered_at = Some(now);
        rehearsal.found.claimed_us = Some(micros(now - rehearsal.began_at));
        rehearsal.found.outcome = Some(outcome);
        let nonce = rehearsal.nonce;
        // What the chain said as a follower is acted on first: what it says from here on is thrown away.
        self.run_chain();
        // One that does not know of rehearsals says that the claim builds on an old row.
        if !matches!(outcome, Outcome::Done | Outcome::Stale) {
            self.end_rehearsal(RehearsalEnd::Refused);
        } else if self.is_fit_to_rehearse() {
            self.rehearse_acting(nonce);
        } else {
            self.end_rehearsal(RehearsalEnd::Overtaken);
        }
        true
    }

    /// As `begin_to_act`: the promise, the log to the members, and the chain's core. Nothing of what it wants done is done.
    fn rehearse_acting(&mut self, nonce: u64) {
        assert!(matches!(self.duty, Duty::Follow), "no core is started beside one that leads");
        let Some(row) = self.own_row() else { return };
        let alive = self.listed_alive();
        let waits_for =
            |n: &NodeId| *n != self.me && *n != row.master && !row.barred.contains(n) && alive.contains(n);
        let members: Vec<NodeId> = row.in_sync.iter().copied().filter(waits_for).collect();
        self.persist(vec![self.log.put_promise()], After::Rehearsed(Wrote::Promise(nonce)));
        let log = Resync { extensions: rehearsal::rehearsing(nonce), ..self.whole_log(NOBODYS) };
        let records = u32::try_from(log.records.len()).unwrap_or(u32::MAX);
        let bytes = (self.log.held().bytes * members.len()) as u64;
        let rest = REHEARSAL_INTERVAL.max(Duration::from_micros(bytes * 1_000_000 / RATE));
        self.rehearsals.rests_until = Some(self.now + rest);
        let log = Packet::from(log);
        for node in &members {
            self.links.send_stream(Party::Node(*node), &log, &mut self.out);
        }
        let (words, would_halt) = self.start_and_drop_core();
        let Some(rehearsal) = self.rehearsals.of(nonce) else { return };
        rehearsal.is_fresh = true;
        (rehearsal.found.records, rehearsal.found.words) = (records, words);
        rehearsal.found.members =
            members.into_iter().map(|node| Rehearsing { node, ..Default::default() }).collect();
        if would_halt {
            self.end_rehearsal(RehearsalEnd::WouldHalt);
        }
    }

    /// How many words it would have said, and whether the log does not replay.
    fn start_and_drop_core(&mut self) -> (u32, bool) {
        let (closed, records) = self.chain_log();
        self.chain.lead(self.now, NOBODYS, &records, closed);
        let (mut words, mut would_halt) = (0, false);
        while let Some(output) = self.chain.poll_output() {
            match output {
                ChainOutput::Send { bytes, .. } => words += self.chain.votes_in(&bytes).len(),
                // A core that decides with a word of ours cannot prove it under an epoch that nobody has: that is no fault.
                ChainOutput::Halt { reason } => would_halt |= reason != HaltReason::Core,
                _ => {}
            }
        }
        self.chain.follow();
        while self.chain.poll_output().is_some() {}
        assert!(!self.chain.is_working(), "the core that was rehearsed is gone");
        (u32::try_from(words).unwrap_or(u32::MAX), would_halt)
    }

    /// A master's log, or that of one who rehearses.
    pub(super) fn on_log(&mut self, node: NodeId, resync: Resync) -> Result<(), Discard> {
        match rehearsal::nonce_of(&resync.extensions).filter(|_| resync.epoch == NOBODYS) {
            None => self.on_resync(node, resync),
            Some(nonce) => self.help_to_rehearse(node, nonce),
        }
    }

    fn help_to_rehearse(&mut self, node: NodeId, nonce: u64) -> Result<(), Discard> {
        if matches!(self.duty, Duty::Lead(_) | Duty::Halted) {
            return Err(Discard::Unexpected);
        }
        let now = self.now;
        let helped = &mut self.rehearsals.helped;
        helped.retain(|_, at| now - *at < REHEARSAL_INTERVAL);
        if helped.contains_key(&node) {
            return Err(Discard::RateLimited);
        }
        helped.insert(node, now);
        // Nothing of that log is taken, whatever it holds.
        let after = After::Rehearsed(Wrote::For { node, nonce, asked_at: now });
        self.persist(vec![self.log.put_promise()], after);
        Ok(())
    }

    /// A member acknowledges our log, or what we rehearsed.
    pub(super) fn on_acknowledgement(&mut self, node: NodeId, ack: &Ack) -> Result<(), Discard> {
        let Some(kept) = Kept::of(&ack.extensions).filter(|_| ack.epoch == NOBODYS) else {
            return self.on_ack(node, ack);
        };
        let now = self.now;
        let rehearsal = self.rehearsals.of(kept.nonce).ok_or(Discard::Unexpected)?;
        let answered_at = rehearsal.answered_at.ok_or(Discard::Unexpected)?;
        let members = &mut rehearsal.found.members;
        let member = members.iter_mut().find(|m| m.node == node && m.acknowledged_us.is_none());
        let member = member.ok_or(Discard::Unexpected)?;
        member.acknowledged_us = Some(micros(now - answered_at));
        member.durable_us = Some(kept.durable_us);
        Ok(())
    }

    pub(super) fn rehearsal_wrote(&mut self, wrote: Wrote) {
        let now = self.now;
        match wrote {
            Wrote::Note(nonce) => {
                if let Some(rehearsal) = self.rehearsals.of(nonce) {
                    rehearsal.found.noted_us = Some(micros(now - rehearsal.began_at));
                }
            }
            Wrote::Promise(nonce) => {
                if let Some(rehearsal) = self.rehearsals.of(nonce)
                    && let Some(at) = rehearsal.answered_at
                {
                    rehearsal.found.promised_us = Some(micros(now - at));
                }
            }
            Wrote::For { node, nonce, asked_at } => {
                if matches!(self.duty, Duty::Halted) {
                    return;
                }
                let ack = Ack {
                    epoch: NOBODYS,
                    end: LogIndex(self.follower.told.end),
                    height: self.follower.told.height,
                    synced: NOBODYS,
                    extensions: Kept { nonce, durable_us: micros(now - asked_at) }.extensions(),
                };
                self.links.send_stream(Party::Node(node), &Packet::from(ack), &mut self.out);
            }
        }
    }

    /// Repetitions, the time that the core took, and the end.
    pub(super) fn run_rehearsal(&mut self) {
        // Asked in every turn of the machine, and there is seldom one.
        if self.rehearsals.running.is_none() {
            return;
        }
        let now = self.now;
        let is_fit = self.is_fit_to_rehearse();
        let Some(rehearsal) = self.rehearsals.running.as_deref_mut() else { return };
        let is_over = now >= rehearsal.began_at + PATIENCE;
        let Some(answered_at) = rehearsal.answered_at else {
            if is_over {
                self.end_rehearsal(RehearsalEnd::NoAuthority);
            } else if !is_fit {
                self.end_rehearsal(RehearsalEnd::Overtaken);
            } else if now >= rehearsal.retry_at {
                rehearsal.retry_interval *= 2;
                rehearsal.retry_at = now + rehearsal.retry_interval;
                let claim = rehearsal.claim.clone();
                self.send_to_authority(&claim, false);
            }
            return;
        };
        if core::mem::take(&mut rehearsal.is_fresh) {
            return; // the clock stands still within a turn
        }
        rehearsal.found.started_us.get_or_insert(micros(now - answered_at));
        if rehearsal.is_whole() {
            self.end_rehearsal(RehearsalEnd::Whole);
        } else if is_over {
            self.end_rehearsal(RehearsalEnd::NoMember);
        }
    }

    fn end_rehearsal(&mut self, end: RehearsalEnd) {
        if let Some(rehearsal) = self.rehearsals.running.take() {
            let Rehearsal { client: (stream, request), found, .. } = *rehearsal;
            self.answer_status(stream, request, Some(&Rehearsed { end, ..found }));
        }
    }
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX - 1)
}
