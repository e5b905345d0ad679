//! The register on the production chain: four clusters in memory agree on who was first.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use bytes::Bytes;
use duohuo_chain::{Application, EmbeddedConfig, EmbeddedOf, Timing, Transaction};
use duohuo_core::chain::{Chain, ChainOutput, Snapshot, TransactionId};
use duohuo_core::time::{Duration, Instant};
use duohuo_example_register::{Deed, Register};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId, RoomId};
use duohuo_wire::roster::{ClusterEntry, NodeEntry, Party, Roster};
use duohuo_wire::sign::SigningKey;
use std::collections::VecDeque;

fn key(node: u32) -> SigningKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&node.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

/// Four clusters; only the master of each plays a part here.
fn roster() -> Roster {
    let address = "127.0.0.1:1".parse().unwrap();
    let node = |id: u32| NodeEntry {
        id: NodeId(id),
        name: format!("n{id}"),
        room: RoomId(1),
        priority: 1,
        address,
        session_key: [u8::try_from(id).unwrap(); 32],
        signing_key: key(id).verifying_key().to_bytes(),
    };
    Roster {
        consortium: [1; 16],
        version: 1,
        authority: Party { address, session_key: [0; 32], signing_key: [0; 32] },
        clusters: (1..=4)
            .map(|c| ClusterEntry {
                id: ClusterId(c),
                name: format!("c{c}"),
                group: "239.0.0.1:1".parse().unwrap(),
                nodes: vec![node(c * 10 + 1), node(c * 10 + 2)],
            })
            .collect(),
        clients: Vec::new(),
        signature: [0; 64],
    }
}

struct Bank {
    chain: EmbeddedOf<Register>,
    blocks: Vec<Bytes>,
    snapshots: Vec<(Snapshot, Bytes)>,
}

fn chain(cluster: u32) -> EmbeddedOf<Register> {
    let node = cluster * 10 + 1;
    let mut chain = EmbeddedOf::with_application(EmbeddedConfig {
        cluster: ClusterId(cluster),
        node: NodeId(node),
        signing_key: key(node),
        roster: roster(),
        genesis: Register::default(),
        timing: Timing { snapshot_interval: 3, ..Timing::default() },
    });
    for c in 1..=4 {
        chain.learn_grant(ClusterId(c), Epoch(1), NodeId(c * 10 + 1));
    }
    chain
}

/// Everybody leads; what is said arrives at once, what is committed is durable at once.
struct Network {
    now: Instant,
    banks: Vec<Bank>,
}

impl Network {
    fn new() -> Self {
        let banks = (1..=4).map(|c| Bank { chain: chain(c), blocks: vec![], snapshots: vec![] }).collect();
        let mut network = Self { now: Instant::from_nanos(1), banks };
        for bank in &mut network.banks {
            bank.chain.lead(network.now, Epoch(1), &[], Height(0));
        }
        network.run(Duration::from_millis(50));
        network
    }

    fn deliver(&mut self) {
        let mut said = VecDeque::new();
        loop {
            for (from, bank) in (1u32..).zip(&mut self.banks) {
                while let Some(output) = bank.chain.poll_output() {
                    match output {
                        ChainOutput::Send { to, bytes } => said.push_back((ClusterId(from), to, bytes)),
                        ChainOutput::Commit { height, block } => {
                            bank.blocks.push(block);
                            bank.chain.committed(self.now, height);
                        }
                        ChainOutput::Snapshot(snapshot) => bank.snapshots.push((snapshot, Bytes::new())),
                        ChainOutput::SnapshotProven { height, proof } => {
                            let taken = bank.snapshots.iter_mut().find(|(s, _)| s.height == height);
                            taken.unwrap().1 = proof;
                        }
                        ChainOutput::Halt { reason } => panic!("halted: {reason:?}"),
                        _ => {}
                    }
                }
            }
            let Some((from, to, bytes)) = said.pop_front() else { return };
            for (cluster, bank) in (1u32..).map(ClusterId).zip(&mut self.banks) {
                if cluster != from && to.is_none_or(|to| to == cluster) {
                    bank.chain.receive(self.now, from, &bytes);
                }
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        self.deliver();
        while let Some(at) = self.banks.iter().filter_map(|b| b.chain.poll_timeout()).min() {
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            for bank in &mut self.banks {
                bank.chain.tick(self.now);
            }
            self.deliver();
        }
        self.now = until;
    }

    fn submit(&mut self, bank: usize, deed: &Deed) {
        let mut bytes = Vec::new();
        deed.put(&mut bytes);
        self.banks[bank].chain.submit(self.now, &bytes.into()).unwrap();
    }
}

fn deed(number: u8, name: &str, digest: u8) -> Deed {
    Deed {
        id: TransactionId([number; 16]),
        valid_until: Height(500),
        name: name.as_bytes().to_vec(),
        digest: [digest; 32],
    }
}

#[test]
fn a_deed_has_these_bytes_and_tells_its_own_end() {
    let mut bytes = Vec::new();
    deed(7, "ab", 9).put(&mut bytes);
    let expected = [&[7; 16][..], &[0, 0, 0, 0, 0, 0, 1, 0xF4], &[2, b'a', b'b'], &[9; 32]].concat();
    assert_eq!(bytes, expected);
    bytes.extend_from_slice(b"rest");
    let (read, rest) = Deed::read(&bytes).unwrap();
    assert_eq!((read, rest), (deed(7, "ab", 9), &b"rest"[..]));
    for cut in 0..expected.len() {
        assert_eq!(Deed::read(&expected[..cut]), None);
    }
}

#[test]
fn four_banks_agree_on_who_was_first() {
    let mut network = Network::new();
    network.submit(0, &deed(1, "house 12", 0xAA));
    network.submit(2, &deed(2, "house 12", 0xBB));
    network.submit(3, &deed(3, "house 13", 0xCC));
    network.run(Duration::from_millis(500));
    let first = network.banks[0].chain.ledger().application().clone();
    let owner = first.entry(b"house 12").unwrap();
    assert!(owner == [0xAA; 32] || owner == [0xBB; 32]);
    assert_eq!(first.entry(b"house 13"), Some([0xCC; 32]));
    let states: Vec<_> = network.banks.iter().map(|b| b.chain.status().state_hash).collect();
    assert!(states.iter().all(|hash| *hash == states[0]));
    assert_eq!(network.banks[1].chain.query(&Bytes::from_static(b"house 12")), Some(owner.to_vec().into()));
}

#[test]
fn a_bank_that_joins_late_starts_from_a_proven_snapshot() {
    let mut network = Network::new();
    for number in 1..=8 {
        network.submit(0, &deed(number, &format!("house {number}"), number));
        network.run(Duration::from_millis(100));
    }
    let bank = &network.banks[0];
    let (snapshot, proof) = bank.snapshots.iter().rfind(|(_, proof)| !proof.is_empty()).unwrap();
    let mut late = chain(2);
    assert_eq!(late.plan(&snapshot.manifest, proof).map(|plan| plan.height), Ok(snapshot.height));
    late.restore_snapshot(&snapshot.manifest, &snapshot.chunks).unwrap();
    for block in bank.blocks.iter().skip(usize::try_from(snapshot.height.0).unwrap()) {
        late.apply(network.now, block).unwrap();
    }
    assert_eq!(late.status(), bank.chain.status());
    assert_eq!(late.ledger().application(), bank.chain.ledger().application());
}

#[test]
fn a_snapshot_that_is_cut_or_out_of_order_is_refused() {
    let mut register = Register::default();
    register.execute(&deed(1, "b", 1));
    register.execute(&deed(2, "a", 2));
    let bytes = register.snapshot();
    let mut other = Register::default();
    assert!(!other.restore(&bytes[..bytes.len() - 1]));
    let swapped = [&bytes[34..], &bytes[..34]].concat();
    assert!(!other.restore(&swapped));
    assert_eq!(other, Register::default());
    assert!(other.restore(&bytes));
    assert_eq!(other.entry(b"a"), Some([2; 32]));
}
