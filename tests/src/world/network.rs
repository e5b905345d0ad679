//! The network of the world: datagrams that get lost, streams that keep their order, and cuts.

use super::agenda::What;
use super::{End, Input, STREAM_PATIENCE, World};
use crate::faults::Kind;
use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::io::StreamId;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Role;
use rand_core::Rng as _;
use std::rc::Rc;

/// Where a packet's header has the version (spec/wire.md, "Header").
const VERSION_AT: usize = 4;

impl World {
    /// Cut or mend the link between two hosts, both ways. Datagrams are lost; streams wait, and end after a while.
    pub fn set_cut(&mut self, a: NodeId, b: NodeId, cut: bool) {
        self.touch_link(a, b);
        if cut {
            for pair in [(a, b), (b, a)] {
                self.cut.insert(pair, self.now);
            }
            self.schedule(self.now + STREAM_PATIENCE, What::CutTimeout { a, b, since: self.now });
            return;
        }
        for pair in [(a, b), (b, a)] {
            self.cut.remove(&pair);
        }
        let ends: Vec<End> = self.held.keys().copied().filter(|(node, _)| *node == a || *node == b).collect();
        for end in ends {
            let between = self.streams.get(&end).is_some_and(|((other, _), _)| *other == a || *other == b);
            if between {
                for bytes in self.held.remove(&end).unwrap_or_default() {
                    self.stream_bytes(end, bytes);
                }
            }
        }
    }

    /// Cut one direction: datagrams of `from` are lost; a stream, which needs acknowledgements, gets nowhere either.
    pub fn cut_one_way(&mut self, from: NodeId, to: NodeId) {
        self.touch_link(from, to);
        self.cut.insert((from, to), self.now);
        self.schedule(self.now + STREAM_PATIENCE, What::CutTimeout { a: from, b: to, since: self.now });
    }

    /// A link gets slower by so much, one way; zero: as it was.
    pub fn set_slow(&mut self, from: NodeId, to: NodeId, extra: Duration) {
        self.touch_link(from, to);
        if extra.is_zero() {
            self.slow.remove(&(from, to));
        } else {
            self.slow.insert((from, to), extra);
        }
    }

    /// A link keeps datagrams back, one way, and then lets all of them go at once.
    pub fn set_clogged(&mut self, from: NodeId, to: NodeId, clogged: bool) {
        self.touch_link(from, to);
        if clogged {
            self.clogged.entry((from, to)).or_default();
            return;
        }
        for input in self.clogged.remove(&(from, to)).unwrap_or_default() {
            self.feel(Kind::Clog);
            self.schedule_input(to, self.now, input);
        }
    }

    /// The switch forgets (or learns again) where multicast of this node goes.
    pub fn set_mute(&mut self, node: NodeId, mute: bool) {
        if mute {
            self.mute.insert(node);
        } else {
            self.mute.remove(&node);
        }
    }

    /// A link loses datagrams longer than `bytes`, one way; `None`: no more.
    pub fn set_narrow(&mut self, from: NodeId, to: NodeId, bytes: Option<usize>) {
        self.touch_link(from, to);
        match bytes {
            Some(bytes) => drop(self.narrow.insert((from, to), bytes)),
            None => drop(self.narrow.remove(&(from, to))),
        }
    }

    /// All streams between two hosts are reset.
    pub fn reset_streams(&mut self, a: NodeId, b: NodeId) {
        self.touch_link(a, b);
        let ends: Vec<End> = self
            .streams
            .iter()
            .filter(|((node, _), ((other, _), _))| (*node, *other) == (a, b))
            .map(|(end, _)| *end)
            .collect();
        for end in ends {
            self.feel(Kind::Reset);
            self.schedule_input(end.0, self.now, Input::StreamClosed { stream: end.1 });
            self.close(end);
        }
    }

    /// Who is behind each address: hosts, in order of their numbers, and the groups.
    pub(super) fn learn_addresses(&mut self) {
        self.addresses.clear();
        self.clusters = self.consortium.roster.all_nodes().map(|(c, node)| (node.id, c.id)).collect();
        self.checker.homes.clone_from(&self.clusters);
        let mut add = |address, id| Rc::make_mut(self.addresses.entry(address).or_default()).push(id);
        for (id, host) in &self.hosts {
            add(host.address, *id);
        }
        for cluster in &self.consortium.roster.clusters {
            cluster.nodes.iter().for_each(|node| add(cluster.group, node.id));
        }
    }

    /// Everything between hosts works again.
    pub fn mend_network(&mut self) {
        let cut: Vec<(NodeId, NodeId)> = self.cut.keys().copied().collect();
        for (a, b) in cut {
            self.set_cut(a, b, false);
        }
        let clogged: Vec<(NodeId, NodeId)> = self.clogged.keys().copied().collect();
        for (from, to) in clogged {
            self.set_clogged(from, to, false);
        }
        self.slow.clear();
        self.mute.clear();
        self.narrow.clear();
    }

    /// A cut that lasted: both ends of each stream between the two see it end.
    pub(super) fn cut_timeout(&mut self, a: NodeId, b: NodeId, since: Instant) {
        if self.cut.get(&(a, b)) != Some(&since) {
            return;
        }
        let ends: Vec<End> = self
            .streams
            .iter()
            .filter(|((node, _), ((other, _), _))| (*node, *other) == (a, b) || (*node, *other) == (b, a))
            .map(|(end, _)| *end)
            .collect();
        for end in ends {
            self.streams.remove(&end);
            self.held.remove(&end);
            self.schedule_input(end.0, self.now, Input::StreamClosed { stream: end.1 });
        }
    }

    /// Bytes on their way to an end, after those before them.
    pub(super) fn stream_bytes(&mut self, to: End, bytes: Bytes) {
        let Some(((from, _), _)) = self.streams.get(&to).copied() else { return };
        let delay = self.delay(from, to.0);
        let bytes = self.in_its_version(from, to.0, bytes);
        let Some((_, last)) = self.streams.get_mut(&to) else { return };
        let at = (self.now + delay).max(*last + Duration::from_nanos(1));
        *last = at;
        self.schedule_input(to.0, at, Input::StreamBytes { stream: to.1, bytes });
    }

    pub(super) fn dial(&mut self, from: NodeId, life: u32, stream: StreamId, to: SocketAddr) {
        if self.hosts.get(&from).is_none_or(|h| h.life != life) {
            return;
        }
        let target = self.addresses.get(&to).and_then(|at| at.first().copied());
        let refuses = |id: NodeId| self.hosts.get(&id).is_none_or(|h| h.refuses_streams);
        if refuses(from) || target.is_some_and(refuses) {
            self.feel(Kind::NoDescriptors);
            self.schedule_input(from, self.now, Input::StreamClosed { stream });
            return;
        }
        let is_cut = |t: NodeId| self.cut.contains_key(&(from, t)) || self.cut.contains_key(&(t, from));
        let reachable = target.filter(|t| !is_cut(*t) && self.is_up(*t));
        let Some(target) = reachable else {
            self.schedule_input(from, self.now, Input::StreamClosed { stream });
            return;
        };
        let Some(host) = self.hosts.get_mut(&target) else {
            return;
        };
        host.next_accepted += 2;
        let accepted = StreamId(host.next_accepted);
        let from_address = self.hosts[&from].address;
        let (here, there) = ((from, stream), (target, accepted));
        self.streams.insert(here, (there, self.now));
        self.streams.insert(there, (here, self.now));
        self.schedule_input(target, self.now, Input::StreamAccepted { stream: accepted, from: from_address });
        self.schedule_input(from, self.now, Input::StreamOpened { stream });
    }

    /// One end goes; the other is told after what is under way.
    pub(super) fn close(&mut self, end: End) {
        let Some((other, _)) = self.streams.remove(&end) else {
            return;
        };
        let Some((_, last)) = self.streams.remove(&other) else {
            return;
        };
        let delay = self.between(self.luck.delay);
        let at = (self.now + delay).max(last);
        self.schedule_input(other.0, at, Input::StreamClosed { stream: other.1 });
    }

    /// How long what is sent now takes.
    fn delay(&mut self, from: NodeId, to: NodeId) -> Duration {
        let extra = self.slow.get(&(from, to)).copied();
        if extra.is_some() {
            self.feel(Kind::Slow);
        }
        self.between(self.luck.delay) + extra.unwrap_or_default()
    }

    pub(super) fn datagram(&mut self, from: NodeId, to: SocketAddr, bytes: &Bytes) {
        let group = to.ip().is_multicast();
        let receivers = self.addresses.get(&to).cloned().unwrap_or_default();
        if group && self.mute.contains(&from) {
            self.feel(Kind::NoMulticast);
            return;
        }
        for receiver in receivers.iter().copied() {
            let copies = if self.by_chance(self.luck.duplication) { 2 } else { 1 };
            if copies == 2 {
                self.feel(Kind::Duplication);
            }
            for _ in 0..copies {
                self.datagram_to(from, receiver, group, bytes.clone());
            }
        }
        if self.by_chance(self.luck.replay) && !self.captured.is_empty() {
            self.feel(Kind::Replay);
            let pick = usize::try_from(self.rng.next_u64() % self.captured.len() as u64).unwrap_or(0);
            let (receiver, input) = self.captured[pick].clone();
            self.schedule_input(receiver, self.now, input);
        }
    }

    fn datagram_to(&mut self, from: NodeId, receiver: NodeId, group: bool, mut bytes: Bytes) {
        if self.by_chance(self.luck.loss) {
            self.feel(Kind::Loss);
            return;
        }
        if self.deaf_authority
            && receiver == NodeId::AUTHORITY
            && self.checker.role(from) == Some(Role::Master)
        {
            return;
        }
        if self.cut.contains_key(&(from, receiver)) {
            self.feel(Kind::Cut);
            return;
        }
        if self.narrow.get(&(from, receiver)).is_some_and(|most| bytes.len() > *most) {
            self.feel(Kind::Narrow);
            return;
        }
        if self.by_chance(self.luck.corruption) {
            self.feel(Kind::Corruption);
            let mut damaged = bytes.to_vec();
            let bit = usize::try_from(self.rng.next_u32()).unwrap_or(0) % (damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            bytes = damaged.into();
        }
        bytes = self.in_its_version(from, receiver, bytes);
        let at = self.now + self.delay(from, receiver);
        let last = self.last_arrival.entry((from, receiver)).or_insert(at);
        if at < *last {
            self.feel(Kind::Reorder);
        } else {
            *last = at;
        }
        let input = Input::Datagram { from: self.hosts[&from].address, group, bytes };
        self.capture(receiver, &input);
        if self.by_chance(self.luck.astray) {
            self.feel(Kind::Astray);
            let pick = usize::try_from(self.rng.next_u64() % self.hosts.len() as u64).unwrap_or(0);
            if let Some(stranger) = self.hosts.keys().nth(pick).copied() {
                self.schedule_input(stranger, at, input.clone());
            }
        }
        if let Some(kept) = self.clogged.get_mut(&(from, receiver)) {
            kept.push(input);
        } else {
            self.schedule_input(receiver, at, input);
        }
    }

    /// What one of the two says in a later version, the other cannot read.
    fn in_its_version(&mut self, from: NodeId, to: NodeId, bytes: Bytes) -> Bytes {
        if self.later.contains(&from) == self.later.contains(&to) || bytes.len() <= VERSION_AT {
            return bytes;
        }
        self.feel(Kind::LaterVersion);
        let mut bytes = bytes.to_vec();
        bytes[VERSION_AT] ^= 2;
        bytes.into()
    }

    /// Keep what was on the wire, so that it can come again: from an earlier life of its receiver, too.
    fn capture(&mut self, receiver: NodeId, input: &Input) {
        const CAPTURED: usize = 4096;
        if self.luck.replay == 0 {
            return;
        }
        if self.captured.len() < CAPTURED {
            self.captured.push((receiver, input.clone()));
        } else {
            let at = usize::try_from(self.rng.next_u64() % CAPTURED as u64).unwrap_or(0);
            self.captured[at] = (receiver, input.clone());
        }
    }
}
