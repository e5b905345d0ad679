//! The chain behind one trait ([`duohuo_core::chain::Chain`]): a Tendermint chain whose validators are the clusters,
//! embedded in the node (design, "The chain"), with a small account ledger as application.
//!
//! The consensus core is `arc-malachitebft-core-consensus`, driven synchronously; formats and rules are in
//! spec/chain.md. Nothing here asks a clock or the system's randomness: the same calls give the same outputs.

pub mod accounts;
pub mod application;
pub mod block;
mod bystander;
pub mod certificate;
mod codec;
mod context;
mod contradictions;
mod early;
mod effects;
mod embedded;
mod keys;
pub mod ledger;
mod message;
mod pool;
mod record;
mod results;
pub mod snapshot;
mod talk;
pub mod transaction;
mod verifier;
mod vouching;
mod work;

pub use accounts::{Accounts, Genesis};
pub use application::{Application, Transaction};
pub use block::{Block, BlockOf, CommittedBlock};
pub use bystander::{Bystander, MAX_RESULTS};
pub use context::BlockId;
pub use embedded::{Embedded, EmbeddedConfig, EmbeddedOf};
pub use ledger::{Ledger, LedgerOf};
pub use transaction::Transfer;
pub use verifier::Verifier;

use duohuo_core::time::Duration;

/// Pace and bounds of a chain. The same on all nodes, except for the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// From a commit to the start of the next height, at least.
    pub block_interval: Duration,
    /// How long a round waits for its proposal.
    pub propose_timeout: Duration,
    /// How long a round waits for more prevotes, and for more precommits, once it has a quorum of any.
    pub vote_timeout: Duration,
    /// What each round adds to these.
    pub timeout_delta: Duration,
    /// None of them grows beyond this.
    pub max_timeout: Duration,
    /// How often an unfinished round says everything again.
    pub rebroadcast_interval: Duration,
    /// Transactions in a block we make.
    pub max_block_transactions: usize,
    /// Bytes of a block we make; at most [`block::MAX_BLOCK_BYTES`].
    pub max_block_bytes: usize,
    /// Transactions waiting.
    pub max_pool: usize,
    /// A snapshot is taken, and its hash agreed, at every multiple of this height; 0: never. Part of the genesis.
    pub snapshot_interval: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            block_interval: Duration::from_millis(10),
            propose_timeout: Duration::from_millis(150),
            vote_timeout: Duration::from_millis(50),
            timeout_delta: Duration::from_millis(50),
            max_timeout: Duration::from_secs(10),
            rebroadcast_interval: Duration::from_millis(250),
            max_block_transactions: 10_000,
            max_block_bytes: 1 << 20,
            max_pool: 20_000,
            snapshot_interval: 1_000,
        }
    }
}
