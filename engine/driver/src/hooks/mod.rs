//! Hooks: the operator's programs, run as the node's machine says (behaviour.md section 15.2).
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | the keys of the configuration |
//! | `runner.rs` | which program runs now, as a pure machine |
//! | `keeper.rs` | the process that runs them, and ends what acts when the node is silent, stopped or dead |
//! | `talk.rs` | the lines between the two |
//! | `link.rs` | the node's end of it |

pub mod keeper;
mod link;
mod runner;
pub mod settings;
mod talk;

pub use link::Link;
