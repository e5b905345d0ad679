//! Being heard and hearing: keepalives to the group and to the authority, what the group says, probes (mission OUT-3, IN-1).

use super::neighbours::Verdict;
use super::{Duty, Node, group};
use crate::discard::Discard;
use crate::event::Event;
use crate::links::Party;
use crate::offences::Offence;
use crate::time::Duration;
use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_wire::header::Header;
use duohuo_wire::ids::{Epoch, NodeId, Version};
use duohuo_wire::packet::{MasterKeepalive, NodeKeepalive, Packet, ProbeAnswer, Role};

impl Node {
    /// A datagram of a node of our own cluster is sealed for the group: nodes keep no datagram sessions.
    pub(super) fn is_group_sealed(&self, header: &Header) -> bool {
        self.config.roster.node(header.sender).is_some()
    }

    pub(super) fn on_group(
        &mut self,
        from: SocketAddr,
        header: &Header,
        bytes: &Bytes,
    ) -> Result<(), Discard> {
        let (cluster, entry) = self.config.roster.node(header.sender).ok_or(Discard::UnknownKey)?;
        if cluster.id != self.cluster {
            return Err(Discard::Forbidden);
        }
        // It may still hold a generation, and what stands in the place of its address is nobody's (W-ROS-5).
        if entry.is_out() {
            return Err(Discard::UnknownKey);
        }
        let address = entry.address;
        let key = self.signers.member(header.sender).ok_or(Discard::UnknownKey)?;
        let packet = self.group.open(header, bytes, key)?;
        #[cfg(feature = "key-log")]
        self.group.learnt.drain(..).for_each(|key| self.out.push(crate::io::Output::Key(key)));
        if address != from {
            return Err(Discard::WrongAddress);
        }
        let sender = header.sender;
        match packet {
            Packet::NodeKeepalive(keepalive) => {
                if keepalive.cluster != self.cluster {
                    return Err(Discard::Forbidden);
                }
                self.neighbours.saw_sequence(sender, header.sequence);
                // Only what was made after something of ours is news: it echoes a sequence that we sent lately. This
                // stops replay to a restarted node, held-back packets, and shows one-way links.
                let horizon = self.config.timers.dead_interval * 4;
                let fresh = keepalive
                    .heard
                    .iter()
                    .any(|h| h.node == self.me && self.group.sent_lately(self.now, h.sequence, horizon));
                if !fresh {
                    return Ok(());
                }
                if self.neighbours.heard(self.now, sender, &keepalive) {
                    self.event(Event::Alive { node: sender });
                }
                if keepalive.role == Role::Master {
                    self.heard_as_master(sender);
                }
                if self.cannot_be(sender, &keepalive) {
                    self.offended(sender, Offence::FalseKeepalives);
                }
                self.look_for_newer_row(keepalive.epoch, keepalive.version);
                self.consider();
                Ok(())
            }
            Packet::Probe(probe) => {
                let answer = self.probe_answer(probe.nonce);
                self.group.send(self.now, Some(address), &answer, &mut self.out);
                Ok(())
            }
            Packet::ProbeAnswer(answer) => {
                let promised = answer.epoch;
                self.neighbours
                    .answered(self.now, sender, answer.nonce, answer.role, promised)
                    .ok_or(Discard::Unexpected)?;
                self.consider();
                Ok(())
            }
            _ => Err(Discard::Forbidden),
        }
    }

    /// Master of an epoch that the authority gave to another, or hearing somebody whom the roster does not have: said by nobody who
    /// is honest, but for the moment in which a roster is on its way.
    fn cannot_be(&self, sender: NodeId, keepalive: &NodeKeepalive) -> bool {
        let master = self.lineage.master(self.cluster, keepalive.epoch);
        let usurps = keepalive.role == Role::Master && master.is_some_and(|master| master != sender);
        let is_enrolled = |node| self.config.roster.node(node).is_some_and(|(c, _)| c.id == self.cluster);
        usurps || keepalive.heard.iter().any(|heard| !is_enrolled(heard.node))
    }

    /// What this node is *now*: a master's epoch, or the highest epoch durably promised.
    pub(super) fn probe_answer(&self, nonce: u64) -> Packet {
        let role = if matches!(self.duty, Duty::Lead(_)) { Role::Master } else { Role::Ordinary };
        Packet::from(ProbeAnswer { nonce, role, epoch: self.durable_promise(), ..Default::default() })
    }

    /// The highest epoch promised durably: a grant being adopted and a master's log being taken over are not told before
    /// they are on disk (B-NBR-5).
    pub(super) fn durable_promise(&self) -> Epoch {
        // Who is in doubt about an epoch acts in none of it.
        self.follower.told.promised.max(self.log.doubt())
    }

    pub(super) fn send_keepalives(&mut self) {
        let role = self.role();
        let row = self.own_row();
        let (epoch, version) = row.map_or((Epoch(0), Version(0)), |r| (r.epoch, r.version));
        let in_sync = row.is_some_and(|r| r.in_sync.contains(&self.me));
        let Some((_, entry)) = self.config.roster.node(self.me) else {
            return;
        };
        let (priority, address) = (self.own_priority(entry.priority), entry.address);
        let heard = self
            .neighbours
            .iter()
            .filter(|(_, n)| n.sequence != 0)
            .map(|(node, n)| duohuo_wire::packet::Heard { node: *node, sequence: group::low(n.sequence) })
            .collect();
        let keepalive = NodeKeepalive {
            cluster: self.cluster,
            priority,
            role,
            in_sync,
            interval_us: u32::try_from(self.config.timers.keepalive_interval.as_micros()).unwrap_or(u32::MAX),
            epoch,
            version,
            promised: self.durable_promise(),
            log_end: duohuo_wire::ids::LogIndex(self.log.end()),
            height: self.height,
            address,
            heard,
            extensions: Default::default(),
        };
        self.group.send(self.now, None, &Packet::from(keepalive), &mut self.out);
        let acting = match &self.duty {
            Duty::Lead(master) => Some(master.epoch()),
            Duty::Fence(fencing) => Some(fencing.epoch()),
            _ => None,
        };
        if let Some(epoch) = acting {
            let packet = Packet::from(MasterKeepalive {
                cluster: self.cluster,
                epoch,
                height: self.height,
                challenge: self.authority_keepalive.challenge,
                table_version: self.table_version,
                extensions: self.told_takeover(epoch),
            });
            self.links.send_datagram(Party::Authority, &packet, &mut self.out);
        }
        // Up to a quarter early, so that nodes that started together do not beat together (RFC 5880, 6.8.7).
        let interval = self.config.timers.keepalive_interval;
        let early = u64::try_from(interval.as_nanos() / 4).unwrap_or(u64::MAX);
        let jitter = if early == 0 { 0 } else { self.random.u64() % early };
        self.keepalive_at = self.now + interval.saturating_sub(Duration::from_nanos(jitter));
    }

    pub(super) fn run_neighbours(&mut self) {
        let random = &mut self.random;
        let verdicts = self.neighbours.tick(self.now, || random.u64());
        let mut changed = false;
        for verdict in verdicts {
            match verdict {
                Verdict::Suspected(node) => {
                    self.event(Event::Suspected { node });
                    changed = true;
                }
                Verdict::Probe { node, nonce } => self.send_probe(node, nonce),
                Verdict::Dead(node) => {
                    self.event(Event::Dead { node });
                    changed = true;
                }
            }
        }
        if changed {
            self.consider();
            self.change_in_sync();
        }
    }

    fn send_probe(&mut self, node: NodeId, nonce: u64) {
        let Some((_, entry)) = self.config.roster.node(node) else {
            return;
        };
        let epoch = self.log.promised();
        let probe = Packet::from(duohuo_wire::packet::Probe { nonce, epoch, ..Default::default() });
        let to = entry.address;
        self.group.send(self.now, Some(to), &probe, &mut self.out);
    }
}
