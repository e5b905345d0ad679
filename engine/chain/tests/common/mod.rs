//! A consortium in memory under virtual time. It plays the machine's part: it gates what a master says until its
//! standby holds the log, pushes blocks, grants, and fetches blocks for those that are behind. And it watches, from
//! outside, every signed word that leaves a master.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::type_complexity,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs
)]

use bytes::Bytes;
use duohuo_chain::{Embedded, EmbeddedConfig, Genesis, Timing, Transfer};
use duohuo_core::chain::{
    Chain, ChainOutput, HaltReason, Reception, Record, Snapshot, TransactionId, VoteKind,
};
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, RoomId};
use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party, Roster};
use duohuo_wire::sign::SigningKey;
use duohuo_wire::statement::SignedResult;
use std::collections::{BTreeMap, VecDeque};

pub const NODES: u32 = 3;

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub fn signing_key(node: NodeId) -> SigningKey {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&node.0.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

pub fn node_id(cluster: ClusterId, index: u32) -> NodeId {
    NodeId(cluster.0 * 10 + index + 1)
}

pub fn roster(clusters: u32) -> Roster {
    let address = "127.0.0.1:1".parse().unwrap();
    let key = |n: u32| {
        let mut key = [5; 32];
        key[..4].copy_from_slice(&n.to_be_bytes());
        key
    };
    let node = |cluster: u32, index: u32| {
        let id = node_id(ClusterId(cluster), index);
        NodeEntry {
            id,
            name: format!("n{}", id.0),
            room: RoomId(1),
            priority: 1,
            address,
            session_key: key(id.0),
            signing_key: signing_key(id).verifying_key().to_bytes(),
        }
    };
    Roster {
        consortium: [3; 16],
        version: 1,
        authority: Party { address, session_key: key(0), signing_key: key(0) },
        clusters: (1..=clusters)
            .map(|c| ClusterEntry {
                id: ClusterId(c),
                name: format!("c{c}"),
                group: "239.0.0.1:1".parse().unwrap(),
                nodes: (0..NODES).map(|i| node(c, i)).collect(),
            })
            .collect(),
        clients: Vec::new(),
        signature: [0; 64],
    }
}

pub fn genesis() -> Genesis {
    Genesis { accounts: (0..10).map(|a| (a, 1_000_000)).collect() }
}

pub fn new_chain(clusters: u32, cluster: ClusterId, index: u32, timing: Timing) -> Embedded {
    let node = node_id(cluster, index);
    let mut chain = Embedded::new(EmbeddedConfig {
        cluster,
        node,
        signing_key: signing_key(node),
        roster: roster(clusters),
        genesis: genesis(),
        timing,
    });
    for c in 1..=clusters {
        chain.learn_grant(ClusterId(c), Epoch(1), node_id(ClusterId(c), 0));
    }
    chain
}

/// One node and what its machine keeps.
pub struct Node {
    pub chain: Embedded,
    pub log: Vec<Record>,
    pub blocks: Vec<Bytes>,
    pub snapshots: BTreeMap<Height, Snapshot>,
    pub is_dead: bool,
    /// It adopted this grant; it takes records of no older epoch.
    pub promised: Epoch,
    gate: VecDeque<(usize, ChainOutput)>,
    written: usize,
    durable: usize,
}

pub struct Cluster {
    pub id: ClusterId,
    pub nodes: Vec<Node>,
    pub master: usize,
    pub epoch: Epoch,
    /// The next in line; the in-sync set is it and the master.
    pub standby: Option<usize>,
    pub outputs: u64,
    pub crash_at: Option<u64>,
    pub takeover_after: Option<Duration>,
    pub keeps_no_log: bool,
}

enum Event {
    Deliver { to: ClusterId, from: ClusterId, epoch: Epoch, bytes: Bytes },
    Copy { cluster: ClusterId, node: usize, epoch: Epoch, from: usize, end: usize, what: Copied },
    Ack { cluster: ClusterId, node: usize, end: usize },
    Promote { cluster: ClusterId },
    Fetch { cluster: ClusterId, peer: ClusterId },
    Submit,
}

enum Copied {
    Entry(Record),
    Block(Bytes),
}

pub struct Net {
    pub now: Instant,
    pub random: Random,
    pub clusters: BTreeMap<ClusterId, Cluster>,
    events: BTreeMap<(Instant, u64), Event>,
    seq: u64,
    link_free_at: BTreeMap<(ClusterId, ClusterId), Instant>,
    pub latency: Duration,
    pub replication: Duration,
    pub submit_every: Option<Duration>,
    pub timing: Timing,
    submitted: u64,
    pub receipts: Vec<(TransactionId, Height, bool)>,
    pub halts: Vec<(ClusterId, HaltReason)>,
    pub proofs: BTreeMap<(ClusterId, Height), Bytes>,
    pub accusations: Vec<(ClusterId, Vec<SignedResult>)>,
    pub refused: u64,
    /// Every word that left a master: value and signature.
    pub words: BTreeMap<(ClusterId, Height, u32, VoteKind), (Option<[u8; 32]>, [u8; 64])>,
    pub conflicts: Vec<String>,
    /// Who was told, and of whom.
    pub equivocations: Vec<(ClusterId, ClusterId)>,
    pub resent_differently: Vec<String>,
    /// When each height was first committed anywhere.
    pub commits: BTreeMap<Height, (Instant, Bytes)>,
}

impl Net {
    pub fn new(clusters: u32, seed: u64, timing: Timing) -> Self {
        let mut net = Self {
            now: Instant::from_nanos(1_000_000),
            random: Random(seed),
            clusters: BTreeMap::new(),
            events: BTreeMap::new(),
            seq: 0,
            link_free_at: BTreeMap::new(),
            latency: Duration::from_micros(250),
            replication: Duration::from_micros(100),
            submit_every: Some(Duration::from_millis(3)),
            timing,
            submitted: 0,
            receipts: Vec::new(),
            halts: Vec::new(),
            proofs: BTreeMap::new(),
            accusations: Vec::new(),
            refused: 0,
            words: BTreeMap::new(),
            conflicts: Vec::new(),
            equivocations: Vec::new(),
            resent_differently: Vec::new(),
            commits: BTreeMap::new(),
        };
        for c in 1..=clusters {
            let id = ClusterId(c);
            let nodes = (0..NODES)
                .map(|i| Node {
                    chain: new_chain(clusters, id, i, timing),
                    log: Vec::new(),
                    blocks: Vec::new(),
                    snapshots: BTreeMap::new(),
                    is_dead: false,
                    promised: Epoch(1),
                    gate: VecDeque::new(),
                    written: 0,
                    durable: 0,
                })
                .collect();
            let cluster = Cluster {
                id,
                nodes,
                master: 0,
                epoch: Epoch(1),
                standby: Some(1),
                outputs: 0,
                crash_at: None,
                takeover_after: Some(Duration::from_millis(20)),
                keeps_no_log: false,
            };
            net.clusters.insert(id, cluster);
        }
        net
    }

    pub fn start(&mut self) {
        for id in self.ids() {
            let now = self.now;
            self.call(id, |chain| chain.lead(now, Epoch(1), &[], Height(0)));
        }
        for id in self.ids() {
            self.peers_up(id);
        }
        if self.submit_every.is_some() {
            self.after(Duration::ZERO, Event::Submit);
        }
    }

    pub fn ids(&self) -> Vec<ClusterId> {
        self.clusters.keys().copied().collect()
    }

    fn after(&mut self, span: Duration, event: Event) {
        self.seq += 1;
        self.events.insert((self.now + span, self.seq), event);
    }

    pub fn master(&self, id: ClusterId) -> &Node {
        let cluster = &self.clusters[&id];
        &cluster.nodes[cluster.master]
    }

    pub fn chain(&mut self, id: ClusterId) -> &mut Embedded {
        let cluster = self.clusters.get_mut(&id).unwrap();
        &mut cluster.nodes[cluster.master].chain
    }

    pub fn height(&self, id: ClusterId) -> u64 {
        self.master(id).chain.status().height.0
    }

    pub fn max_height(&self) -> u64 {
        self.ids().into_iter().map(|id| self.height(id)).max().unwrap()
    }

    pub fn kill(&mut self, id: ClusterId) {
        let cluster = self.clusters.get_mut(&id).unwrap();
        let master = cluster.master;
        cluster.nodes[master].is_dead = true;
        cluster.nodes[master].gate.clear();
        let after = cluster.takeover_after;
        // What of the log was still under way is lost from some point on.
        let in_flight: Vec<_> = self
            .events
            .iter()
            .filter(
                |(_, e)| matches!(e, Event::Copy { cluster, from, .. } if *cluster == id && *from == master),
            )
            .map(|(key, _)| *key)
            .collect();
        let arrives = self.random.below(in_flight.len() as u64 + 1) as usize;
        for key in in_flight.into_iter().skip(arrives) {
            self.events.remove(&key);
        }
        if let Some(after) = after {
            self.after(after, Event::Promote { cluster: id });
        }
    }

    /// The standby is granted the next epoch, whether the old master lives or not.
    pub fn promote(&mut self, id: ClusterId) {
        let cluster = self.clusters.get_mut(&id).unwrap();
        let Some(next) = cluster.standby.take() else {
            return;
        };
        cluster.epoch = cluster.epoch.next();
        cluster.master = next;
        let epoch = cluster.epoch;
        let keeps_no_log = cluster.keeps_no_log;
        let node = &mut cluster.nodes[next];
        node.promised = epoch;
        if keeps_no_log {
            node.log.clear();
        }
        let height = node.chain.status().height;
        node.log.retain(|r| r.height > height);
        node.written = node.log.len();
        node.durable = node.written;
        let log = node.log.clone();
        for c in self.clusters.values_mut() {
            for n in &mut c.nodes {
                n.chain.learn_grant(id, epoch, node_id(id, next as u32));
            }
        }
        // A third node becomes the new standby, with a copy of the log and the blocks.
        let cluster = self.clusters.get_mut(&id).unwrap();
        let third = next + 1;
        if third < NODES as usize {
            let (blocks, log) = (cluster.nodes[next].blocks.clone(), cluster.nodes[next].log.clone());
            let node = &mut cluster.nodes[third];
            for block in blocks.iter().skip(node.blocks.len()) {
                node.chain.restore(block).unwrap();
            }
            node.blocks = blocks;
            node.log = log;
            node.promised = epoch;
            cluster.standby = Some(third);
        }
        let now = self.now;
        self.call(id, |chain| chain.lead(now, epoch, &log, Height(0)));
        self.peers_up(id);
    }

    fn peers_up(&mut self, id: ClusterId) {
        let now = self.now;
        for other in self.ids() {
            if other != id && !self.master(other).is_dead && !self.master(id).is_dead {
                self.call(other, |chain| chain.peer_up(now, id));
                self.call(id, |chain| chain.peer_up(now, other));
            }
        }
    }

    /// Calls the master's chain and does what it says.
    pub fn call<T>(&mut self, id: ClusterId, act: impl FnOnce(&mut Embedded) -> T) -> T {
        let index = self.clusters[&id].master;
        self.call_node(id, index, act)
    }

    pub fn call_node<T>(&mut self, id: ClusterId, index: usize, act: impl FnOnce(&mut Embedded) -> T) -> T {
        let result = act(&mut self.clusters.get_mut(&id).unwrap().nodes[index].chain);
        self.drain(id, index);
        result
    }

    fn drain(&mut self, id: ClusterId, index: usize) {
        loop {
            let cluster = self.clusters.get_mut(&id).unwrap();
            let node = &mut cluster.nodes[index];
            let Some(output) = node.chain.poll_output() else {
                break;
            };
            if node.is_dead {
                continue;
            }
            if cluster.crash_at == Some(cluster.outputs) {
                cluster.crash_at = None;
                self.kill(id);
                continue;
            }
            cluster.outputs += 1;
            self.output(id, index, output);
        }
        self.release(id, index);
    }

    fn output(&mut self, id: ClusterId, index: usize, output: ChainOutput) {
        let now = self.now;
        let cluster = self.clusters.get_mut(&id).unwrap();
        let node = &mut cluster.nodes[index];
        match output {
            ChainOutput::Log { height, bytes } => {
                assert_eq!(height, node.chain.status().height.next(), "entries belong to the height in work");
                let record = Record { height, epoch: node.promised, bytes };
                node.log.push(record.clone());
                node.written += 1;
                let (epoch, end) = (node.promised, node.written);
                self.copy(id, index, epoch, end, Copied::Entry(record));
            }
            ChainOutput::Send { .. } | ChainOutput::Commit { .. } | ChainOutput::Receipt { .. } => {
                node.gate.push_back((node.written, output));
            }
            ChainOutput::Behind { peer } => {
                self.after(self.latency * 2, Event::Fetch { cluster: id, peer });
            }
            ChainOutput::ConsensusError { evidence } => self.accusations.push((id, evidence)),
            ChainOutput::Snapshot(snapshot) => drop(node.snapshots.insert(snapshot.height, snapshot)),
            ChainOutput::SnapshotProven { height, proof } => drop(self.proofs.insert((id, height), proof)),
            ChainOutput::Equivocation { words } => {
                let [first, second] = *words;
                assert_eq!((first.cluster, first.height), (second.cluster, second.height));
                assert_eq!((first.round, first.kind), (second.round, second.kind));
                assert_ne!(first.value, second.value);
                self.equivocations.push((id, first.cluster));
            }
            ChainOutput::Halt { reason } => self.halts.push((id, reason)),
        }
        let _ = now;
    }

    fn copy(&mut self, id: ClusterId, index: usize, epoch: Epoch, end: usize, what: Copied) {
        let cluster = self.clusters.get_mut(&id).unwrap();
        let is_current = epoch == cluster.epoch;
        match cluster.standby {
            Some(node) if is_current => {
                let event = Event::Copy { cluster: id, node, epoch, from: index, end, what };
                self.after(self.replication, event);
            }
            None if is_current => cluster.nodes[index].durable = end,
            // Deposed: nobody acknowledges.
            _ => {}
        }
    }

    fn release(&mut self, id: ClusterId, index: usize) {
        loop {
            let node = &mut self.clusters.get_mut(&id).unwrap().nodes[index];
            if node.is_dead || node.gate.front().is_none_or(|(needs, _)| *needs > node.durable) {
                return;
            }
            let (_, output) = node.gate.pop_front().unwrap();
            let epoch = node.promised;
            match output {
                ChainOutput::Send { to, bytes } => self.send(id, epoch, to, &bytes),
                ChainOutput::Commit { height, block } => self.commit(id, index, height, block),
                ChainOutput::Receipt { transaction, height, applied } => {
                    self.receipts.push((transaction, height, applied));
                }
                _ => unreachable!("only these are gated"),
            }
        }
    }

    fn send(&mut self, from: ClusterId, epoch: Epoch, to: Option<ClusterId>, bytes: &Bytes) {
        self.watch(from, bytes);
        for id in self.ids() {
            if id == from || to.is_some_and(|to| to != id) {
                continue;
            }
            let jitter = Duration::from_micros(self.random.below(100));
            let free_at = self.link_free_at.get(&(from, id)).copied().unwrap_or_default();
            let arrives_at = (self.now + self.latency + jitter).max(free_at + Duration::from_nanos(1));
            self.link_free_at.insert((from, id), arrives_at);
            self.seq += 1;
            let event = Event::Deliver { to: id, from, epoch, bytes: bytes.clone() };
            self.events.insert((arrives_at, self.seq), event);
        }
    }

    fn watch(&mut self, from: ClusterId, bytes: &Bytes) {
        for seen in self.clusters[&from].nodes[0].chain.votes_in(bytes) {
            let key = (seen.cluster, seen.height, seen.round, seen.kind);
            let (value, signature) = *self.words.entry(key).or_insert((seen.value, seen.signature));
            if value != seen.value {
                self.conflicts.push(format!("{key:?} at {}", self.now));
            } else if signature != seen.signature {
                self.resent_differently.push(format!("{key:?} at {}", self.now));
            }
        }
    }

    fn commit(&mut self, id: ClusterId, index: usize, height: Height, block: Bytes) {
        let now = self.now;
        let body = |bytes: &Bytes| duohuo_chain::CommittedBlock::decode(bytes).unwrap().block;
        let (_, first) = self.commits.entry(height).or_insert((now, block.clone()));
        assert_eq!(body(first), body(&block), "fork at {height}");
        self.store(id, index, height, block);
        self.call_node(id, index, |chain| chain.committed(now, height));
    }

    fn store(&mut self, id: ClusterId, index: usize, height: Height, block: Bytes) {
        let node = &mut self.clusters.get_mut(&id).unwrap().nodes[index];
        if node.blocks.len() as u64 + 1 == height.0 {
            node.blocks.push(block.clone());
        }
        node.log.retain(|r| r.height > height);
        let (epoch, end) = (node.promised, node.written);
        self.copy(id, index, epoch, end, Copied::Block(block));
    }

    /// Runs until `until`, or `done`.
    pub fn run(&mut self, span: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.now + span;
        while !done(self) {
            let event_at = self.events.keys().next().map(|(at, _)| *at);
            let timers = self.ids().into_iter().filter(|id| !self.master(*id).is_dead);
            let timer = timers.filter_map(|id| self.master(id).chain.poll_timeout().map(|at| (at, id))).min();
            let timer_at = timer.map(|(at, _)| at.max(self.now));
            let Some(next) = [event_at, timer_at].into_iter().flatten().min() else {
                return done(self);
            };
            if next > until {
                self.now = until;
                return done(self);
            }
            self.now = next;
            if event_at == Some(next) {
                let (_, event) = self.events.pop_first().unwrap();
                self.handle(event);
            } else if let Some((_, id)) = timer {
                let now = self.now;
                self.call(id, |chain| chain.tick(now));
            }
        }
        true
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Deliver { to, from, epoch, bytes } => {
                // Peers count nothing from a deposed master.
                if !self.master(to).is_dead && epoch == self.clusters[&from].epoch {
                    let reception = self.call(to, |chain| chain.receive(now, from, &bytes));
                    self.refused += u64::from(reception == Reception::Refused);
                }
            }
            Event::Copy { cluster, node, epoch, from, end, what } => {
                let replica = &mut self.clusters.get_mut(&cluster).unwrap().nodes[node];
                if replica.promised != epoch || replica.is_dead {
                    return;
                }
                match what {
                    Copied::Entry(record) => replica.log.push(record),
                    Copied::Block(block) => {
                        if let Ok(height) = replica.chain.apply(now, &block) {
                            replica.blocks.push(block);
                            replica.log.retain(|r| r.height > height);
                            replica.chain.committed(now, height);
                            if let Some(ChainOutput::Snapshot(snapshot)) = replica.chain.poll_output() {
                                replica.snapshots.insert(snapshot.height, snapshot);
                            }
                            assert_eq!(replica.chain.poll_output(), None, "a follower says nothing else");
                        }
                    }
                }
                self.after(self.replication, Event::Ack { cluster, node: from, end });
            }
            Event::Ack { cluster, node, end } => {
                let master = &mut self.clusters.get_mut(&cluster).unwrap().nodes[node];
                master.durable = master.durable.max(end);
                self.release(cluster, node);
            }
            Event::Promote { cluster } => self.promote(cluster),
            Event::Fetch { cluster, peer } => self.fetch(cluster, peer),
            Event::Submit => {
                self.submit();
                if let Some(every) = self.submit_every {
                    self.after(every, Event::Submit);
                }
            }
        }
    }

    fn fetch(&mut self, id: ClusterId, peer: ClusterId) {
        if self.master(id).is_dead || self.master(peer).is_dead {
            return;
        }
        let index = self.clusters[&id].master;
        for _ in 0..50 {
            let have = self.height(id);
            let Some(block) = self.master(peer).blocks.get(have as usize).cloned() else {
                return;
            };
            let now = self.now;
            let Ok(height) = self.call_node(id, index, |chain| chain.apply(now, &block)) else {
                return;
            };
            self.store(id, index, height, block);
            self.call_node(id, index, |chain| chain.committed(now, height));
        }
    }

    /// A client's transaction at a random living master; whether it was taken.
    pub fn submit(&mut self) -> Option<TransactionId> {
        let ids: Vec<_> = self.ids().into_iter().filter(|id| !self.master(*id).is_dead).collect();
        if ids.is_empty() {
            return None;
        }
        let id = ids[self.random.below(ids.len() as u64) as usize];
        let bytes = self.transfer(self.max_height() + 200);
        let now = self.now;
        self.call(id, |chain| chain.submit(now, &bytes)).ok()
    }

    pub fn transfer(&mut self, valid_until: u64) -> Bytes {
        self.submitted += 1;
        let mut tid = [0; 16];
        tid[..8].copy_from_slice(&self.submitted.to_be_bytes());
        let transfer = Transfer {
            id: TransactionId(tid),
            from: self.random.below(10) as u32,
            to: self.random.below(12) as u32,
            amount: self.random.below(1_000),
            valid_until: Height(valid_until),
        };
        let mut bytes = Vec::new();
        transfer.encode(&mut bytes);
        bytes.into()
    }

    pub fn assert_safe(&self, what: &str) {
        assert_eq!(self.equivocations, [], "{what}: nobody said two things");
        assert!(self.conflicts.is_empty(), "{what}: conflicting words: {:?}", self.conflicts);
        assert!(self.resent_differently.is_empty(), "{what}: signed again: {:?}", self.resent_differently);
        assert!(self.halts.is_empty(), "{what}: halted: {:?}", self.halts);
    }

    /// The spans between commits that are longer than `limit`.
    pub fn pauses(&self, limit: Duration) -> Vec<Duration> {
        let times: Vec<Instant> = self.commits.values().map(|(at, _)| *at).collect();
        times.windows(2).map(|w| w[1].saturating_since(w[0])).filter(|span| *span > limit).collect()
    }
}
