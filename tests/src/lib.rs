//! Scenarios over the production engine: whole networks in one process under virtual time, real bytes, real crypto,
//! with checkers that watch from outside. The scenarios themselves are in `tests/`.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)] // a test that lacks its parts must stop

pub mod checker;
pub mod client;
pub mod consortium;
pub mod crc;
pub mod faults;
pub mod host;
mod liar;
pub mod lone;
pub mod outside;
pub mod plan;
pub mod scenario;
pub mod sim;
pub mod specification;
pub mod world;
