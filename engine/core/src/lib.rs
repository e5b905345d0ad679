//! All state machines of Duohuo, sans IO: told the time, told the bytes, answering with outputs.
//!
//! Two machines, [`Node`] and [`Authority`], which never use each other: they meet through packets. Both are driven as
//! [`io`] says.

pub mod chain;
pub mod config;
pub mod event;
pub mod io;
mod deadlines;
pub mod discard;
pub mod election;
mod links;
pub mod authority;
pub mod node;
mod outbox;
mod random;
pub mod store;
mod watch;
pub mod time;

pub use time::{Duration, Instant};
