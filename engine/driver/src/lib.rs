//! Gives the machines of [`duohuo_core`] a world: one mio loop per process, sockets, a store off the loop, a clock,
//! signals, and the files of an operator. Takes no protocol decision.

pub mod acts;
pub mod board;
pub mod client;
pub mod clock;
pub mod config;
mod config_chain;
mod config_control;
pub mod config_keys;
mod config_wire;
pub mod control;
pub mod error;
pub mod event_loop;
pub mod hooks;
#[cfg(feature = "key-log")]
pub mod key_log;
pub mod keys;
pub mod live;
pub mod net;
mod privacy;
pub mod roster_file;
mod signalled;
mod signals;
mod socket;
pub mod start;
pub mod store;
mod streams;
pub mod vip;

pub use error::DriverError;
