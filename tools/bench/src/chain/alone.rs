//! The consensus core alone: production chains in one thread, no disk, no sockets, no replication. What the processor alone
//! allows, and how it grows with the clusters.

use crate::statistics::processor_seconds;
use bytes::Bytes;
use duohuo_chain::{Embedded, EmbeddedConfig, Genesis, Timing, Transfer};
use duohuo_core::chain::{Chain, ChainOutput, TransactionId};
use duohuo_core::time::{Duration, Instant};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, RoomId};
use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party, Roster};
use duohuo_wire::sign::SigningKey;
use serde::Serialize;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What the core does with blocks of a size, in a second of processor time.
#[derive(Serialize)]
pub(crate) struct Alone {
    pub(crate) clusters: u32,
    pub(crate) transfers_a_block: usize,
    pub(crate) blocks_a_second: f64,
    pub(crate) transfers_a_second: f64,
}

/// What a height costs with so many clusters, in processor time.
#[derive(Serialize)]
pub(crate) struct Growth {
    pub(crate) clusters: u32,
    pub(crate) us_a_height_and_cluster: f64,
    pub(crate) messages_a_height: f64,
}

fn key(node: u32) -> SigningKey {
    let mut seed = [7; 32];
    if let Some(first) = seed.first_chunk_mut::<4>() {
        *first = node.to_be_bytes();
    }
    SigningKey::from_bytes(&seed)
}

fn roster(clusters: u32) -> Roster {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let node = |id: u32| {
        let signing_key = key(id).verifying_key().to_bytes();
        let mut session_key = [5; 32];
        if let Some(first) = session_key.first_chunk_mut::<4>() {
            *first = id.to_be_bytes();
        }
        NodeEntry {
            id: NodeId(id),
            name: format!("n{id}"),
            room: RoomId(1),
            priority: 1,
            address,
            session_key,
            signing_key,
        }
    };
    Roster {
        consortium: [1; 16],
        version: 1,
        authority: Party { address, session_key: [0; 32], signing_key: [0; 32] },
        clusters: (1..=clusters)
            .map(|c| ClusterEntry {
                id: ClusterId(c),
                name: format!("c{c}"),
                group: SocketAddr::from(([239, 0, 0, 1], 1)),
                nodes: vec![node(c * 10 + 1), node(c * 10 + 2)],
            })
            .collect(),
        clients: Vec::new(),
        signature: [0; 64],
    }
}

struct Network {
    now: Instant,
    chains: Vec<Embedded>,
    messages: u64,
    submitted: u64,
}

impl Network {
    fn new(clusters: u32, transfers_a_block: usize) -> Self {
        let timing = Timing {
            block_interval: Duration::ZERO,
            max_block_transactions: transfers_a_block,
            max_block_bytes: 4 << 20,
            max_pool: 200_000,
            ..Timing::default()
        };
        let roster = roster(clusters);
        let chain = |cluster: u32| {
            let node = cluster * 10 + 1;
            let mut chain = Embedded::new(EmbeddedConfig {
                cluster: ClusterId(cluster),
                node: NodeId(node),
                signing_key: key(node),
                roster: roster.clone(),
                genesis: Genesis { accounts: (0..1_000).map(|account| (account, 1 << 40)).collect() },
                timing,
            });
            for c in 1..=clusters {
                chain.learn_grant(ClusterId(c), Epoch(1), NodeId(c * 10 + 1));
            }
            chain
        };
        let mut network = Self {
            now: Instant::from_nanos(1),
            chains: (1..=clusters).map(chain).collect(),
            messages: 0,
            submitted: 0,
        };
        for chain in &mut network.chains {
            chain.lead(network.now, Epoch(1), &[], Height(0));
        }
        network
    }

    fn height(&self) -> u64 {
        self.chains.iter().map(|c| c.status().height.0).min().unwrap_or(0)
    }

    /// So many transfers to one chain: they reach the others by its gossip.
    fn submit(&mut self, count: usize) {
        for _ in 0..count {
            self.submitted += 1;
            let mut id = [0; 16];
            if let Some(first) = id.first_chunk_mut::<8>() {
                *first = self.submitted.to_be_bytes();
            }
            let account = |n: u64| u32::try_from(n % 1_000).unwrap_or(0);
            let transfer = Transfer {
                id: TransactionId(id),
                from: account(self.submitted),
                to: account(self.submitted * 7 + 1),
                amount: 1,
                valid_until: Height(self.height() + 900),
            };
            let mut bytes = Vec::new();
            transfer.encode(&mut bytes);
            let bytes = Bytes::from(bytes);
            let now = self.now;
            if let Some(first) = self.chains.first_mut() {
                let _ = first.submit(now, &bytes);
            }
        }
    }

    /// Delivers what is said, at once, until nobody says anything; then time passes to the next timer.
    fn step(&mut self) {
        let mut said: VecDeque<(ClusterId, Option<ClusterId>, Bytes)> = VecDeque::new();
        loop {
            for (from, chain) in (1u32..).map(ClusterId).zip(&mut self.chains) {
                while let Some(output) = chain.poll_output() {
                    match output {
                        ChainOutput::Send { to, bytes } => said.push_back((from, to, bytes)),
                        ChainOutput::Commit { height, .. } => chain.committed(self.now, height),
                        _ => {}
                    }
                }
            }
            let Some((from, to, bytes)) = said.pop_front() else { break };
            for (cluster, chain) in (1u32..).map(ClusterId).zip(&mut self.chains) {
                if cluster != from && to.is_none_or(|to| to == cluster) {
                    self.messages += 1;
                    chain.receive(self.now, from, &bytes);
                }
            }
        }
        if let Some(at) = self.chains.iter().filter_map(|c| c.poll_timeout()).min() {
            self.now = self.now.max(at);
            for chain in &mut self.chains {
                chain.tick(self.now);
            }
        }
    }
}

/// How long one of these takes, in seconds: most of a size, since what others want of the machine comes on top.
const WALL: std::time::Duration = std::time::Duration::from_secs(4);

/// Blocks of so many transfers.
pub(crate) fn blocks_of(transfers_a_block: usize) -> Alone {
    let mut network = Network::new(4, transfers_a_block);
    let begin = std::time::Instant::now();
    let mut spent = 0.0;
    while begin.elapsed() < WALL && spent < 2.0 {
        let height = network.height();
        network.submit(transfers_a_block);
        let from = processor_seconds(false);
        while network.height() == height {
            network.step();
        }
        spent += processor_seconds(false) - from;
    }
    Alone {
        clusters: 4,
        transfers_a_block,
        blocks_a_second: network.height() as f64 / spent,
        transfers_a_second: network.submitted as f64 / spent,
    }
}

/// Blocks of one transfer among so many clusters.
pub(crate) fn grown(clusters: u32) -> Growth {
    let mut network = Network::new(clusters, 1);
    let (begin, from) = (std::time::Instant::now(), processor_seconds(false));
    while begin.elapsed() < WALL {
        let height = network.height();
        network.submit(1);
        while network.height() == height {
            network.step();
        }
    }
    let heights = network.height() as f64;
    Growth {
        clusters,
        us_a_height_and_cluster: (processor_seconds(false) - from) * 1e6 / heights / f64::from(clusters),
        messages_a_height: network.messages as f64 / heights,
    }
}
