//! The rules of spec/, one by one, over one production machine and peers that keep them or do not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod authority;
mod authority_log;
mod bent;
mod catching_up;
mod claims;
mod fence;
mod group;
mod joining;
mod log;
mod network;
mod node_sessions;
mod notes;
mod offences;
mod orders;
mod rehearsals;
mod reports;
mod roles;
mod scene;
mod sessions;
mod takeovers;
mod versions;
