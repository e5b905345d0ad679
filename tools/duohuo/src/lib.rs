//! What the `duohuo` command and the tests on real processes share: a network's files, its processes, a client that loads
//! it, an observer that judges it from outside, and the audit of what it left on disk.

pub mod access;
pub mod audit;
pub mod hosts;
pub mod layout;
pub mod load;
pub mod network;
pub mod observer;
pub mod picture;
pub mod processes;
pub mod settled;
