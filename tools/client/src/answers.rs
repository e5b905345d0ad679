//! What a client is told.

use bytes::Bytes;
use duohuo_chain::CommittedBlock;
use duohuo_driver::client::ClientError;
use duohuo_wire::ids::{ClusterId, Height, NodeId};

/// Names a transaction that was given to [`crate::Network::submit`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// A transaction of the submitted ID stands in a committed block whose certificate was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt<T> {
    /// As the block holds it: an ID is carried out once, so that it may differ from what was submitted under the same ID.
    pub transaction: T,
    /// Where.
    pub height: Height,
    /// Whether the application carried it out, as the node says that answered; the proof does not cover it.
    pub applied: bool,
    /// Its place in the block.
    pub index: usize,
    /// The block and its certificate, to be kept as evidence.
    pub block: CommittedBlock,
}

/// An answer about the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// After this height.
    pub height: Height,
    /// As the application writes it; `None`: it did not understand the question.
    pub answer: Option<Bytes>,
}

/// What became of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer<T> {
    /// Committed, and proven.
    Committed(Ticket, Receipt<T>),
    /// It is no transaction of this chain.
    Malformed(Ticket),
    /// It was not committed before its last valid height, and never will be.
    Expired(Ticket),
    /// The next block of the subscription.
    Block(Height, CommittedBlock),
    /// The node that was asked has pruned this height: subscribe from a later one.
    Pruned(Height),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientFailure {
    /// Nobody answered in time. A transaction may still be committed: submit it again.
    #[error("no answer in time; the last failure was: {}", last.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string))]
    TimedOut {
        /// What went wrong last, if anything did.
        last: Option<ClientError>,
    },
    /// Nobody answered in time, and a master acts that the roster does not have: it is not reached, and nothing that it signed is
    /// believed.
    #[error(
        "no answer in time: {master} leads {cluster}, and the roster here, version {version}, has no such node; expected the newest \
         roster: bring it here as to the nodes"
    )]
    OldRoster {
        /// The version of the roster that the client was given.
        version: u64,
        /// Whose master it is.
        cluster: ClusterId,
        /// The master that is not in it; there may be more.
        master: NodeId,
    },
    /// The transaction is none.
    #[error("the network calls the transaction malformed")]
    Malformed,
    /// Its last valid height passed.
    #[error("the transaction was not committed before its last valid height")]
    Expired,
}
