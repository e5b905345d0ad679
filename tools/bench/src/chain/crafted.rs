//! A network that stood for long: its blocks are made here with its nodes' keys, certificates and all, and put into the
//! stores, since no machine makes a hundred thousand of them while somebody waits. Every node verifies them as any others.

use duohuo_chain::certificate::{CommitCertificate, CommitSignature};
use duohuo_chain::{Block, CommittedBlock, Genesis, Ledger, Transfer};
use duohuo_core::chain::TransactionId;
use duohuo_core::io::{Table, Write};
use duohuo_driver::keys;
use duohuo_driver::store::{Completion, Identity, OpenMode, OpenStore, Store};
use duohuo_rig::network::{ACCOUNTS, Network, OPENING_BALANCE};
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::sign::{self, SigningKey};
use std::sync::Arc;

/// Blocks written at once.
const BATCH: u64 = 500;

/// Who signs for a cluster.
pub(crate) struct Signer {
    pub(crate) cluster: ClusterId,
    pub(crate) epoch: Epoch,
    pub(crate) node: NodeId,
    key: SigningKey,
}

impl Signer {
    pub(crate) fn of(
        network: &Network,
        cluster: ClusterId,
        epoch: Epoch,
        node: NodeId,
    ) -> Result<Self, String> {
        let file = network.process_directory(node).join("signing.key");
        let secret = keys::read_secret(&file).map_err(|e| e.to_string())?;
        Ok(Self { cluster, epoch, node, key: SigningKey::from_bytes(&secret) })
    }

    /// A precommit of round 0 (spec/chain.md "Signatures").
    fn precommit(&self, consortium: &[u8; 16], height: Height, block: &[u8; 32]) -> CommitSignature {
        let mut bytes = b"duohuo vote 1".to_vec();
        bytes.extend_from_slice(consortium);
        bytes.extend(self.cluster.0.to_be_bytes());
        bytes.extend(self.epoch.0.to_be_bytes());
        bytes.extend(self.node.0.to_be_bytes());
        bytes.extend(height.0.to_be_bytes());
        bytes.extend(0u32.to_be_bytes());
        bytes.extend([2, 1]);
        bytes.extend_from_slice(block);
        bytes.extend(u32::MAX.to_be_bytes());
        let signature = sign::sign(&self.key, &bytes);
        CommitSignature { cluster: self.cluster, epoch: self.epoch, node: self.node, signature }
    }
}

/// What the blocks are.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) blocks: u64,
    pub(crate) transfers_a_block: u64,
    pub(crate) snapshot_interval: u64,
}

/// Makes the blocks from the genesis on and puts them into the stores of these nodes, which do not run; bytes of all.
pub(crate) fn fill(
    network: &Network,
    signers: &[Signer],
    nodes: &[NodeId],
    plan: Plan,
) -> Result<usize, String> {
    let consortium = network.roster.consortium;
    let clusters: Vec<ClusterId> = network.roster.clusters.iter().map(|c| c.id).collect();
    let genesis = Genesis { accounts: (1..=ACCOUNTS).map(|id| (id, OPENING_BALANCE)).collect() };
    let mut parent = Ledger::new(consortium, &clusters, &genesis, plan.snapshot_interval).last_block().0;
    let poll = mio::Poll::new().map_err(|e| e.to_string())?;
    let waker = Arc::new(mio::Waker::new(poll.registry(), mio::Token(0)).map_err(|e| e.to_string())?);
    let open = |node: &NodeId| -> Result<Store, String> {
        let identity = Identity { consortium, node: *node };
        let store = OpenStore::open(&network.store_path(*node), identity, OpenMode::Existing);
        store.and_then(|store| store.start(Arc::clone(&waker))).map_err(|e| e.to_string())
    };
    let mut stores = nodes.iter().map(open).collect::<Result<Vec<_>, String>>()?;
    let quorum = clusters.len() - (clusters.len() - 1) / 3;
    let (mut writes, mut bytes) = (Vec::new(), 0);
    for height in 1..=plan.blocks {
        let block = Block {
            height: Height(height),
            parent,
            proposer: *clusters.first().ok_or("no cluster")?,
            parent_commit_round: 0,
            transactions: (0..plan.transfers_a_block).map(|n| transfer(height, n)).collect(),
        }
        .encode();
        parent = Block::id_of(&block).0;
        let signed = signers.iter().take(quorum);
        let certificate = CommitCertificate {
            height: Height(height),
            round: 0,
            block: parent,
            signatures: signed.map(|s| s.precommit(&consortium, Height(height), &parent)).collect(),
        };
        let value = CommittedBlock { block, certificate }.encode();
        bytes += value.len();
        writes.push(Write::Put { table: Table::Block, key: height, value });
        if height % BATCH == 0 || height == plan.blocks {
            let batch = core::mem::take(&mut writes);
            for store in &mut stores {
                store.persist(height, batch.clone());
                store.flush();
            }
            for store in &mut stores {
                settle(store, height)?;
            }
        }
    }
    Ok(bytes)
}

fn settle(store: &mut Store, token: u64) -> Result<(), String> {
    loop {
        match store.completion() {
            Some(Completion::Persisted { token: done }) if done >= token => return Ok(()),
            Some(Completion::Failed) => return Err("a store does not take blocks".into()),
            Some(_) => {}
            None => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
    }
}

fn transfer(height: u64, n: u64) -> Transfer {
    let mut id = [0; 16];
    let (first, second) = id.split_at_mut(8);
    first.copy_from_slice(&height.to_be_bytes());
    second.copy_from_slice(&n.to_be_bytes());
    let account = |n: u64| 1 + u32::try_from(n % u64::from(ACCOUNTS)).unwrap_or(0);
    Transfer {
        id: TransactionId(id),
        from: account(height + n),
        to: account(height * 7 + n * 3),
        amount: 1,
        valid_until: Height(height + 900),
    }
}
