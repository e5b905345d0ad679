//! Acting outside the chain: the lease at work, and the copies that must be in step (design R7; behaviour.md 15).
//!
//! Run once at the end of every input, so that whatever changed the role, the set or the time is seen by one place.

use super::{Duty, Node};
use crate::event::Event;
use crate::io::Output;
use crate::lease::{Lease, Order};
use crate::links::Party;
use crate::outside::{OutsideConfig, Report, UNFIT};
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{Epoch, LogIndex, NodeId};
use duohuo_wire::lease::{LeaseGiven, LeaseRequest};
use duohuo_wire::packet::{Append, Packet};
use std::collections::{BTreeMap, BTreeSet};

/// Another member's copy, as it told.
#[derive(Clone, Copy, Debug)]
struct Copy {
    in_step: bool,
    /// Since when it is out of step.
    since: Instant,
}

/// Giving the role back in good order: what acts is ended first.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// Waited for no longer than this.
    until: Instant,
    /// The process ends, too.
    exits: bool,
}

pub(super) struct Outside {
    config: OutsideConfig,
    lease: Lease,
    leads: Option<Epoch>,
    /// The epoch of the role in which this node acted last.
    acted: Option<Epoch>,
    /// The driver was told to act, and not yet to end it.
    is_told: bool,
    /// Nothing of ours acts: the driver said so after the last stop.
    is_ended: bool,
    /// By when what acts, or was told to end, has ended: the newest lease's end. Taken when it is told that it has, or has not.
    ends_by: Option<Instant>,
    leaving: Option<Leaving>,
    cut: u8,
    in_step: bool,
    position: u64,
    /// To be answered with the next acknowledgement.
    nonce: Option<u64>,
    copies: BTreeMap<NodeId, Copy>,
    /// What was asked to be covered, and what is.
    wanted: Option<BTreeSet<NodeId>>,
    covered: BTreeSet<NodeId>,
    followed: Option<(Epoch, NodeId)>,
}

impl Outside {
    pub(super) fn new(now: Instant, config: OutsideConfig) -> Self {
        Self {
            lease: Lease::new(now, config.lease),
            leads: None,
            acted: None,
            is_told: false,
            is_ended: true,
            ends_by: None,
            leaving: None,
            cut: 0,
            in_step: !config.has_copy,
            position: 0,
            nonce: None,
            copies: BTreeMap::new(),
            wanted: None,
            covered: BTreeSet::new(),
            followed: None,
            config,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let leaving = self.leaving.map(|l| l.until);
        let ends_by = self.ends_by.filter(|_| !self.is_told);
        self.lease.poll_timeout().into_iter().chain(leaving).chain(ends_by).min()
    }

    /// A roster's priority, lowered by the health of what acts; 0: never.
    pub(super) const fn priority(&self, roster: u8) -> u8 {
        match self.cut {
            0 => roster,
            UNFIT => 0,
            // Lowered, it may still lead where nobody better is.
            cut if roster > 0 => match roster.saturating_sub(cut) {
                0 => 1,
                priority => priority,
            },
            _ => 0,
        }
    }

    /// Whether a node's copy is out of step, or it gives no lease, for so long.
    pub(super) fn is_out_of_step(&self, now: Instant, node: NodeId, patience: Duration) -> bool {
        let out = self.copies.get(&node).filter(|copy| !copy.in_step).map(|copy| copy.since);
        out.into_iter().chain(self.lease.owed_since(node)).any(|since| now - since >= patience)
    }

    /// Whether a node that holds the log may be added to the set (B-LEASE-6, B-HOOK-4).
    fn may_be_added(&self, node: NodeId) -> bool {
        let copy = self.copies.get(&node).is_some_and(|copy| copy.in_step);
        copy && self.ends_by.is_none_or(|until| self.lease.is_covered_by(node, until))
    }

    /// Whether this node leads, and acted in this very role.
    fn acts_in_role(&self) -> bool {
        self.leads.is_some() && self.acted == self.leads
    }

    pub(super) fn is_ready_for(&self, node: NodeId) -> bool {
        self.may_be_added(node) && (!self.config.has_cover || self.covered.contains(&node))
    }
}

impl Node {
    /// Whether the node acts outside the chain now.
    #[must_use]
    pub fn acts_outside(&self) -> Option<Epoch> {
        self.outside.as_ref().and_then(|o| o.lease.acts_in())
    }

    /// Whether this node's health lets it lead.
    pub(super) fn own_priority(&self, roster: u8) -> u8 {
        self.outside.as_ref().map_or(roster, |o| o.priority(roster))
    }

    /// Our own loop came late by so much.
    pub(super) fn lease_came_late(&mut self, late: Duration) {
        let order = self.outside.as_mut().and_then(|o| o.lease.late_tick(self.now, late));
        self.carry_out(order);
    }

    /// What follows for what acts outside from all that happened.
    pub(super) fn run_outside(&mut self) {
        if self.outside.is_none() {
            return;
        }
        self.follow_the_role();
        self.ask_for_the_lease();
        self.cover_members();
        self.run_lease();
        self.follow_the_master();
        self.give_up_if_unfit();
        self.go_on_leaving();
        self.tell_if_overdue();
    }

    fn follow_the_role(&mut self) {
        let leads = match &self.duty {
            Duty::Lead(master) => Some(master.epoch()),
            _ => None,
        };
        let Some(outside) = &mut self.outside else { return };
        if outside.leads == leads {
            return;
        }
        outside.leads = leads;
        outside.copies.clear();
        outside.wanted = None;
        outside.covered.clear();
        let order = outside.lease.role_over();
        if let Some(epoch) = leads {
            outside.lease.lead(self.now, epoch);
        }
        self.carry_out(order);
    }

    /// An empty Append to every member that follows, with the lease in it.
    fn ask_for_the_lease(&mut self) {
        let nonce = match &self.outside {
            Some(outside) if outside.lease.is_due(self.now) => self.random.u64(),
            _ => return,
        };
        let Some(outside) = &mut self.outside else { return };
        outside.lease.ask(self.now, nonce);
        let span_us = outside.lease.terms().span_us();
        self.tell_followers(LeaseRequest { nonce, span_us });
    }

    fn tell_followers(&mut self, request: LeaseRequest) {
        let Duty::Lead(master) = &self.duty else { return };
        let packet = Packet::from(Append {
            epoch: master.epoch(),
            start: LogIndex(self.log.end()),
            released: LogIndex(master.released()),
            records: Vec::new(),
            extensions: request.extensions(),
        });
        for (node, _) in self.neighbours.iter() {
            let sent = master.sent_to(*node).is_some()
                && self.links.send_stream(Party::Node(*node), &packet, &mut self.out);
            if let (true, Some(outside)) = (sent, &mut self.outside) {
                outside.lease.asks(self.now, *node);
            }
        }
    }

    /// While acting: those who must be waited for by what acts are those of the set, and those who could be added.
    fn cover_members(&mut self) {
        let (Duty::Lead(master), Some(outside)) = (&self.duty, &mut self.outside) else { return };
        if !outside.config.has_cover {
            return;
        }
        let mut wanted: BTreeSet<NodeId> = master.holders().collect();
        if outside.lease.acts_in().is_some() {
            wanted.extend(master.caught_up().filter(|node| outside.may_be_added(*node)));
        }
        if outside.wanted.as_ref() == Some(&wanted) {
            return;
        }
        // What is not wanted any more may be given up at any moment from here on.
        outside.covered.retain(|node| wanted.contains(node));
        let members = wanted.iter().copied().collect();
        outside.wanted = Some(wanted);
        self.out.push(Output::Cover { members });
    }

    fn run_lease(&mut self) {
        let Some(outside) = &mut self.outside else { return };
        let order = match &self.duty {
            Duty::Lead(master) => outside.lease.run(self.now, master.holders()),
            _ => outside.lease.run(self.now, core::iter::empty()),
        };
        self.carry_out(order);
    }

    fn carry_out(&mut self, order: Option<Order>) {
        let Some(outside) = &mut self.outside else { return };
        match order {
            None => {}
            Some(Order::Act { epoch, stop_at, until }) => {
                let begins = !outside.is_told;
                (outside.is_told, outside.is_ended) = (true, false);
                outside.acted = Some(epoch);
                outside.ends_by = Some(until);
                self.out.push(Output::Act { epoch, stop_at, until });
                if begins {
                    self.event(Event::Acting { epoch });
                }
            }
            Some(Order::Stop(why)) => {
                let epoch = outside.acted.unwrap_or(Epoch(0));
                outside.is_told = false;
                // Whatever acts again is asked anew whom it waits for.
                outside.wanted = None;
                outside.covered.clear();
                self.out.push(Output::StopActing);
                self.event(Event::ActingEnded { epoch, why });
            }
        }
    }

    /// B-HOOK-6: the lease is over, and what acted has not been reported to have ended.
    fn tell_if_overdue(&mut self) {
        let Some(outside) = &mut self.outside else { return };
        if outside.is_told || outside.ends_by.take_if(|at| self.now >= *at).is_none() {
            return;
        }
        if !outside.is_ended {
            let epoch = outside.acted.unwrap_or(Epoch(0));
            self.event(Event::Overdue { epoch });
        }
    }

    /// Where the copy of a node that does not lead comes from.
    fn follow_the_master(&mut self) {
        if !matches!(self.duty, Duty::Follow) {
            if let (Duty::Lead(_) | Duty::Adopt(_), Some(outside)) = (&self.duty, &mut self.outside) {
                outside.followed = None;
            }
            return;
        }
        let Some((epoch, master)) = self.own_row().map(|r| (r.epoch, r.master)) else { return };
        let Some(outside) = &mut self.outside else { return };
        if master == self.me || outside.followed == Some((epoch, master)) {
            return;
        }
        let Some(address) = self.config.roster.node(master).map(|(_, n)| n.address) else { return };
        outside.followed = Some((epoch, master));
        self.out.push(Output::Follow { epoch, master, address });
    }

    /// End what acts, give the lease back, then resign: nobody need wait for our span.
    pub(super) fn leave(&mut self, exits: bool) {
        let leads = matches!(self.duty, Duty::Lead(_));
        let Some(outside) = &mut self.outside else { return self.leave_at_once(exits) };
        if !leads || !outside.acts_in_role() {
            return self.leave_at_once(exits);
        }
        let until = self.now + outside.config.lease.margin;
        outside.leaving.get_or_insert(Leaving { until, exits }).exits |= exits;
        self.end_acting();
    }

    /// The role will be given up in good order: what acts ends now, so that the lease can be given back.
    pub(super) fn end_acting(&mut self) {
        let order = self.outside.as_mut().filter(|o| o.acts_in_role()).and_then(|o| o.lease.leave());
        self.carry_out(order);
    }

    /// What acted in this role has not reported its end yet.
    pub(super) fn is_ending_to_act(&self) -> bool {
        self.outside.as_ref().is_some_and(|o| o.acts_in_role() && !o.is_ended)
    }

    /// Nothing acts any more: nobody need wait for our span. Before the end is reported, nothing is given back.
    pub(super) fn give_lease_back(&mut self) {
        if self.outside.as_ref().is_some_and(|o| o.acts_in_role() && o.is_ended) {
            self.tell_followers(LeaseRequest { nonce: 0, span_us: 0 });
        }
    }

    fn go_on_leaving(&mut self) {
        let Some(outside) = &mut self.outside else { return };
        let Some(leaving) = outside.leaving else { return };
        if !outside.is_ended && self.now < leaving.until && outside.leads.is_some() {
            return;
        }
        outside.leaving = None;
        self.give_lease_back();
        self.leave_at_once(leaving.exits);
        self.follow_the_role();
    }

    fn leave_at_once(&mut self, exits: bool) {
        self.resign();
        if exits {
            self.write_owed_promise(); // who starts again is in no doubt
            self.stopped = true;
            self.out.push(Output::Exit);
        }
    }

    /// Whoever could lead instead of an unfit master.
    fn has_successor(&self) -> bool {
        self.claims.standby.is_some()
    }

    pub(super) fn on_report(&mut self, report: Report) {
        let Some(outside) = &mut self.outside else { return };
        match report {
            Report::Stopped => {
                if outside.lease.acts_in().is_none() {
                    (outside.is_ended, outside.ends_by) = (true, None);
                }
                self.hand_over();
            }
            Report::Ran { program, ending } => self.event(Event::ProgramEnded { program, ending }),
            Report::Health { cut } if outside.cut == cut => {}
            Report::Health { cut } => {
                outside.cut = cut;
                self.event(Event::HealthChanged { cut });
                self.consider();
            }
            Report::Copy { in_step, position } => {
                let changed = outside.in_step != in_step;
                (outside.in_step, outside.position) = (in_step, position);
                if changed {
                    self.event(Event::CopyChanged { in_step, position });
                }
            }
            Report::Covers { members } => {
                let members: BTreeSet<NodeId> = members.into_iter().collect();
                if outside.wanted.as_ref() == Some(&members) {
                    outside.covered = members;
                    self.change_in_sync();
                }
            }
            Report::Restarted => {
                outside.wanted = None;
                outside.covered.clear();
                self.event(Event::KeeperLost);
            }
            Report::Word { token, word } => {
                let answer = self.chain.told(word);
                self.out.push(Output::Answer { token, answer });
                self.run_chain();
            }
        }
    }

    /// A master whose service is unfit gives its role to whoever is fit; with nobody else it keeps it.
    fn give_up_if_unfit(&mut self) {
        let unfit = self.outside.as_ref().is_some_and(|o| o.cut == UNFIT && o.leaving.is_none());
        if unfit && matches!(self.duty, Duty::Lead(_)) && self.has_successor() {
            self.leave(false);
        }
    }

    /// A member's acknowledgement brings the lease, and the state of its copy.
    pub(super) fn on_lease_given(&mut self, node: NodeId, given: LeaseGiven) {
        let Some(outside) = &mut self.outside else { return };
        outside.lease.acknowledged(node, given.nonce);
        let copy = outside.copies.entry(node).or_insert(Copy { in_step: given.is_in_step, since: self.now });
        if copy.in_step != given.is_in_step {
            *copy = Copy { in_step: given.is_in_step, since: self.now };
        }
    }

    /// The master asks for the lease. It is answered with the acknowledgement of the Append that carries it.
    pub(super) fn on_lease_request(&mut self, request: LeaseRequest) {
        let Some(outside) = &mut self.outside else { return };
        if request.span_us == 0 {
            outside.lease.given_back(self.now);
        } else if outside.lease.give(self.now, Duration::from_micros(u64::from(request.span_us))) {
            outside.nonce = Some(request.nonce);
        }
    }

    /// What the next acknowledgement gives. Asked only for one that goes out under the master's own, durably promised epoch.
    pub(super) fn lease_to_give(&mut self) -> Option<LeaseGiven> {
        let outside = self.outside.as_mut()?;
        let nonce = outside.nonce.take()?;
        Some(LeaseGiven { nonce, is_in_step: outside.in_step, position: outside.position })
    }
}
