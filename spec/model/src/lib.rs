//! The protocol that carries promise P1, as a model that `stateright` explores: the authority's decisions (by the
//! production table of `duohuo-core`), grants, the promise, the log and its acknowledgements, the gate, changes of
//! the in-sync set, forced switches, crashes, and a network that loses, repeats and delays at will. No clock: any
//! suspicion, at any moment.
//!
//! [`protocol`] is the model, [`properties`] what must hold, [`mutant`] the rules that can be left out. [`trace`] holds
//! runs of the production engine against the same rules. What is and is not modelled: `spec/model/README.md`.
#![allow(clippy::indexing_slicing)] // arrays by node, epoch and slot, all within the bounds that `Bounds::check` allows

pub mod authority;
pub mod bounds;
pub mod explore;
pub mod members;
pub mod mutant;
pub mod properties;
pub mod protocol;
pub mod rules;
pub mod state;
pub mod trace;
