//! The `duohuo` command as an operator meets it: real processes on loopback, real files, real faults of the world.
//! Every test has a port of its own and removes what it made.

#![allow(clippy::indexing_slicing, reason = "a wrong index fails the test")]

mod backup;
mod client;
mod config;
mod control;
mod decode;
mod demo;
mod full_disk;
mod hooks;
mod hostile;
mod keys;
mod layout;
mod ledger;
mod looking;
mod network;
mod orders;
mod refusals;
mod roster;
mod usage;
