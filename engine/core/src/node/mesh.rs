//! The streams a node keeps: to the authority, to every node of its cluster, and as master to the other masters
//! (mission SYS-1, SYS-5). Of two nodes the one with the lower number dials.

use super::learning::notice;
use super::{Duty, Node};
use crate::event::Event;
use crate::io::StreamId;
use crate::links::{Party, turn};
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::{ClaimReason, Packet};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Mesh {
    /// Not before then is a party dialled again.
    redial_at: BTreeMap<Party, Instant>,
    /// The wake-up for the earliest of those still wanted.
    wake_at: Option<Instant>,
    /// Peers that were told of our epoch: (stream, our epoch, theirs).
    greeted: BTreeMap<ClusterId, (StreamId, Epoch, Epoch)>,
    /// What all of it was found from the last time.
    seen: Option<Seen>,
    /// It was told whether the authority is reached.
    authority_told: bool,
}

/// A node that has not reached the authority for so long after its start says so.
const AUTHORITY_PATIENCE: Duration = Duration::from_secs(3);

/// Whom we should have a stream with, and whom to greet, follows from this; and from the time, at `wake_at`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    streams: u64,
    rows: u64,
    roster: u64,
    /// The master's epoch, and whether it is one that acts, adopts or puts up its fence; or whether a follower claims.
    duty: (u8, Epoch),
}

impl Mesh {
    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.wake_at
    }

    pub(super) fn forget_greetings(&mut self) {
        self.greeted.clear();
        self.seen = None;
    }
}

impl Node {
    /// Whom we should have a stream with, and dial ourselves.
    fn to_dial(&self) -> Vec<Party> {
        let mut parties = vec![Party::Authority];
        parties.extend(self.members().into_iter().filter(|n| self.me < *n).map(Party::Node));
        if self.needs_masters() {
            let masters = self.other_masters().into_iter().map(|(_, node)| node);
            parties.extend(masters.filter(|n| self.me < *n).map(Party::Node));
        }
        parties
    }

    /// Who leads, and who may do so soon: one that claims or adopts says nothing yet, but the handshakes take as long as the
    /// authority's decision and the disk (B-MESH-5).
    fn needs_masters(&self) -> bool {
        matches!(self.duty, Duty::Lead(_) | Duty::Adopt(_) | Duty::Fence(_)) || self.is_claiming()
    }

    /// Dial who is missing, leave whom we no longer need, greet new peers.
    pub(super) fn run_mesh(&mut self) {
        let seen = self.see_mesh();
        if self.mesh.seen == Some(seen) && self.mesh.wake_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.mesh.seen = Some(seen);
        self.mesh.wake_at = None;
        for party in self.to_dial() {
            if self.links.stream_of(party).is_some() || self.links.is_dialling(party) {
                continue;
            }
            let due = self.mesh.redial_at.get(&party).copied().unwrap_or(Instant::ZERO);
            if self.now < due {
                self.mesh.wake_at = Some(self.mesh.wake_at.map_or(due, |at| at.min(due)));
                continue;
            }
            self.mesh.redial_at.insert(party, self.now + self.config.timers.redial_interval);
            let is_late = self.started_at.is_some_and(|at| self.now - at >= AUTHORITY_PATIENCE);
            if party == Party::Authority && is_late && !self.mesh.authority_told {
                self.mesh.authority_told = true;
                self.event(Event::AuthorityReachable { up: false });
            }
            if self.links.dial(turn!(self), party).is_none() {
                self.mesh.seen = None; // enrolled no more; looked for again
            }
        }
        self.leave_former_peers();
        self.greet_peers();
    }

    fn see_mesh(&self) -> Seen {
        let duty = match &self.duty {
            Duty::Follow => (0, Epoch(u64::from(self.is_claiming()))),
            Duty::Adopt(epoch) => (1, *epoch),
            Duty::Fence(fencing) => (2, fencing.epoch()),
            Duty::Lead(master) => (3, master.epoch()),
            Duty::Halted => (4, Epoch(0)),
        };
        Seen {
            streams: self.links.stream_changes(),
            rows: self.row_changes,
            roster: self.config.roster.version,
            duty,
        }
    }

    /// A stream to another cluster's node that is no master (any more), or that we have no business with.
    fn leave_former_peers(&mut self) {
        let needs = self.needs_masters();
        let masters = self.other_masters();
        for party in self.links.parties_with_stream() {
            let Party::Node(node) = party else { continue };
            let foreign = self.config.roster.node(node).is_none_or(|(cluster, _)| cluster.id != self.cluster);
            let wanted = needs && masters.iter().any(|(_, master)| *master == node);
            // The one who dialled leaves; an accepted stream may be a new master's, of whom we have not heard.
            if foreign
                && !wanted
                && self.me < node
                && let Some(stream) = self.links.stream_of(party)
            {
                self.links.close_stream(stream, &mut self.out);
            }
        }
    }

    /// Show a peer our signed row, and let the chain say hello: once per stream and pair of epochs.
    fn greet_peers(&mut self) {
        let Duty::Lead(master) = &self.duty else {
            return;
        };
        let own_epoch = master.epoch();
        let mut fresh = Vec::new();
        for (cluster, node) in self.other_masters() {
            let Some(stream) = self.links.stream_of(Party::Node(node)) else {
                continue;
            };
            let Some(their_epoch) = self.rows.get(&cluster).map(|s| s.row.epoch) else {
                continue;
            };
            let greeting = (stream, own_epoch, their_epoch);
            if self.mesh.greeted.insert(cluster, greeting) != Some(greeting) {
                fresh.push((cluster, node));
            }
        }
        for (cluster, node) in fresh {
            if let Some(own) = self.rows.get(&self.cluster).cloned() {
                self.links.send_stream(Party::Node(node), &Packet::from(notice(own)), &mut self.out);
            }
            self.chain.peer_up(self.now, cluster);
            self.run_chain();
        }
    }

    pub(super) fn stream_up(&mut self, party: Party, _stream: StreamId) {
        match party {
            Party::Authority => {
                self.mesh.authority_told = true;
                self.event(Event::AuthorityReachable { up: true });
                self.join();
                // A restarted authority has no session with us: make one anew in any case.
                self.links.open_datagram(turn!(self), Party::Authority);
            }
            Party::Node(node) if self.neighbours.of(node).is_some() => self.member_up(node),
            Party::Node(_) => {
                self.mesh.greeted.retain(|_, (stream, _, _)| *stream != _stream);
                self.mesh.seen = None;
                self.run_mesh();
            }
            Party::Client(_) => {}
        }
    }

    fn member_up(&mut self, node: NodeId) {
        if let Some(key) = self.group.newest_key().cloned() {
            self.links.send_stream(Party::Node(node), &Packet::from(key), &mut self.out);
        }
        if let Duty::Lead(master) = &mut self.duty {
            master.stream_up(node);
        }
        self.out_of_step(node);
        self.greet_members();
        self.consider();
    }

    /// A stream ended. `party`: whose newest one it was.
    pub(super) fn stream_lost(&mut self, stream: StreamId, party: Option<Party>) {
        self.watchers.remove(stream);
        self.forget_client(stream);
        if let Some(party) = party {
            self.stop_catch_up(party);
        }
        match party {
            Some(Party::Authority) => self.event(Event::AuthorityReachable { up: false }),
            Some(Party::Node(node)) if self.neighbours.of(node).is_some() => self.member_lost(node),
            _ => {}
        }
        self.run_mesh();
    }

    /// A closed stream is the first sign of a crash: ask at once (design "Fast without being rash").
    fn member_lost(&mut self, node: NodeId) {
        if let Duty::Lead(master) = &mut self.duty {
            master.stream_down(node);
        }
        self.out_of_step(node);
        let nonce = self.random.u64();
        if self.neighbours.suspect(self.now, node, nonce) {
            self.event(Event::Suspected { node });
            if self.own_row().is_some_and(|r| r.master == node) {
                self.note_reason(ClaimReason::StreamClosed);
            }
            self.consider();
        }
        self.run_neighbours();
        self.change_in_sync();
    }
}
