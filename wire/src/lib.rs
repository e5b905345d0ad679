//! Bytes <-> packets: the wire protocol of spec/wire.md.
//!
//! Nothing here knows the time, draws randomness, opens a socket or writes a log: what is needed of these is an
//! argument. Nothing that comes from the network panics.

pub mod assigned;
mod codec;
mod crypt;
pub mod error;
pub mod group;
pub mod handshake;
pub mod header;
pub mod ids;
pub mod journal;
pub mod key_log;
pub mod lease;
#[cfg(feature = "stand-ins")]
pub mod memory;
#[cfg(not(feature = "stand-ins"))]
#[path = "no_memory.rs"]
mod memory;
pub mod operations;
pub mod order;
pub mod packet;
pub mod parts;
pub mod rehearsal;
pub mod roster;
pub mod seal;
pub mod sealed_id;
pub mod secret;
pub mod show;
pub mod sign;
pub mod statement;
pub mod status;
pub mod stream;
pub mod takeover;
pub mod tlv;
#[cfg(test)]
mod vectors;
pub mod versions;
