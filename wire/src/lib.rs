//! Bytes <-> packets: the wire protocol of spec/wire.md.
//!
//! Nothing here knows the time, draws randomness, opens a socket or writes a log: what is needed of these is an
//! argument. Nothing that comes from the network panics.

mod codec;
pub mod error;
pub mod header;
pub mod ids;
pub mod packet;
pub mod roster;
pub mod sign;
pub mod statement;
pub mod status;
pub mod tlv;
