//! The client of a network: submits transactions until each is committed or refused, proves it, and follows failovers
//! by itself. The protocol is spec/clients.md.
//!
//! [`Network`] is driven by [`Network::poll`], which waits no longer than it is told and gives one answer at a time;
//! [`Network::commit`], [`Network::block`], [`Network::ask`] and [`Network::next_block`] block until theirs is here.
//! A connection is made while polling and may take up to [`CONNECT_TIMEOUT`].
//!
//! What is believed: the roster, and what the authority signed (who was master when). A block is believed for its
//! certificate. An answer about the state is the word of one node ([`Network::ask`]).

mod answers;
mod network;
mod proofs;
mod trust;

pub use answers::{Answer, ClientFailure, Receipt, State, Ticket};
pub use duohuo_driver::client::Credentials;
pub use network::{CONNECT_TIMEOUT, Network};
pub use trust::Trust;
