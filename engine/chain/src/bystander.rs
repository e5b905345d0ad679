//! The chain of `chain = "hooks"`: an existing chain node, or any stateful service, runs beside this one under the
//! operator's programs, keeps its own data and speaks for itself. What of it is ours, who may act and until when, is the
//! lease's (behaviour.md section 15), so that nothing passes through here: no record, no message, no block.

use bytes::Bytes;
use duohuo_core::chain::{
    BlockError, Chain, ChainOutput, ChainStatus, Record, SubmitError, TransactionId, VoteSeen,
};
use duohuo_core::time::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;

/// A chain that is somebody else's.
#[derive(Debug, Default)]
pub struct Bystander;

impl Chain for Bystander {
    fn status(&self) -> ChainStatus {
        ChainStatus { height: Height(0), state_hash: [0; 32], pool: 0 }
    }

    fn learn_grant(&mut self, _cluster: ClusterId, _epoch: Epoch, _node: NodeId) {}

    fn learn_roster(&mut self, _roster: &Roster) {}

    fn lead(&mut self, _now: Instant, _epoch: Epoch, _log: &[Record]) {}

    fn follow(&mut self) {}

    fn peer_up(&mut self, _now: Instant, _peer: ClusterId) {}

    fn receive(&mut self, _now: Instant, _from: ClusterId, _message: &Bytes) -> bool {
        false
    }

    fn submit(&mut self, _now: Instant, _transaction: &Bytes) -> Result<TransactionId, SubmitError> {
        Err(SubmitError::Malformed)
    }

    fn committed(&mut self, _now: Instant, _height: Height) {}

    fn apply(&mut self, _now: Instant, _block: &Bytes) -> Result<Height, BlockError> {
        Err(BlockError::Malformed)
    }

    fn restore(&mut self, _block: &Bytes) -> Result<Height, BlockError> {
        Err(BlockError::Malformed)
    }

    fn votes_in(&self, _message: &Bytes) -> Vec<VoteSeen> {
        Vec::new()
    }

    fn inject_wrong_results(&mut self, _on: bool) {}

    fn reset(&mut self) {}

    fn tick(&mut self, _now: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_output(&mut self) -> Option<ChainOutput> {
        None
    }
}
