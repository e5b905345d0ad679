//! All state machines of Duohuo, sans IO: told the time, told the bytes, answering with outputs.
//!
//! Two machines, [`node::Node`] and [`authority::Authority`], which never use each other: they meet through packets.
//! Both are driven as [`io`] says.

pub mod authority;
pub mod chain;
pub mod config;
mod deadlines;
pub mod discard;
mod disk;
pub mod election;
pub mod event;
pub mod held;
pub mod io;
mod lateness;
pub mod lease;
pub mod limits;
mod links;
pub mod node;
mod numbered;
pub mod offences;
mod outbox;
pub mod outside;
pub mod placement;
mod random;
pub mod store;
pub mod time;
mod watch;

pub use time::{Duration, Instant};
