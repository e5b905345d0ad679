//! What a chain is about: the application. The chain orders transactions and proves the order; what they mean, and
//! what the state after them is, is the application's (REC-3: results can differ, and are compared).
//!
//! To plug in one's own: implement [`Transaction`] for what clients submit and [`Application`] for the state, and make
//! the chain of them with [`crate::EmbeddedOf::with_application`]. The account ledger ([`crate::Accounts`]) is one;
//! tools/examples/register is another, with a page on how to go about it.
//!
//! # What the chain expects
//! All nodes carry out the same transactions in the same order and must come to the same bytes: no clock, no
//! randomness, no map without an order, no floating point. An application is told of each transaction at most once.

use crate::transaction::MAX_VALID_AHEAD;
use core::fmt::Debug;
use duohuo_core::chain::TransactionId;
use duohuo_wire::ids::Height;

/// What a client submits.
pub trait Transaction: Clone + PartialEq + Eq + Debug {
    /// Bytes of the shortest one, at least 1: bounds how many a message can hold before it is read.
    const SHORTEST: usize;

    /// Chosen at random by the client; submitted twice, it is carried out once.
    fn id(&self) -> TransactionId;

    /// The last height whose block may hold it, at most [`MAX_VALID_AHEAD`] above the chain's.
    fn valid_until(&self) -> Height;

    /// Bytes of the encoding.
    fn length(&self) -> usize;

    /// Appends the encoding. It must tell its own end: nothing stands between two of them in a block.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads one from the front: it, and what follows. `None` refuses the whole message. Whatever is read must be
    /// written back as the same bytes.
    fn read(input: &[u8]) -> Option<(Self, &[u8])>;

    /// Whether a block of `height` may hold it, duplicates aside (CH-7).
    fn in_time(&self, height: Height) -> bool {
        self.valid_until() >= height && self.valid_until().0 <= height.0.saturating_add(MAX_VALID_AHEAD)
    }
}

/// The state that the transactions of committed blocks change.
pub trait Application: Clone {
    /// What its clients submit.
    type Transaction: Transaction;

    /// The state before the first block as bytes: they go into the genesis hash, so that nodes that were given
    /// different ones find out at the first block.
    fn genesis(&self) -> Vec<u8>;

    /// Carries out one transaction of a committed block; whether it had an effect. One without an effect stays in the
    /// block all the same.
    fn execute(&mut self, transaction: &Self::Transaction) -> bool;

    /// The end of a block: appends what it changed, which goes into the hash of the state. Two states that differ must
    /// have had different bytes here at some block.
    fn end_block(&mut self, height: Height, changes: &mut Vec<u8>);

    /// The whole state as bytes; equal states give equal bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// Puts the state of a snapshot in the place of this one; `false`: the bytes are none, and nothing changed.
    fn restore(&mut self, snapshot: &[u8]) -> bool;

    /// Answers a client's question about the state after the last block; `None`: it is no question.
    fn query(&self, question: &[u8]) -> Option<Vec<u8>>;

    /// Fault injection for drills (REC-3): while set, results are wrong. An application without drills ignores it.
    fn inject_wrong_results(&mut self, on: bool);
}
