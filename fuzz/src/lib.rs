//! The fuzz targets: plain functions over bytes, which libFuzzer calls with inputs of its own making and
//! `tests/replay.rs` with those that are kept. A target that returns has held; one that panics has found something.
//!
//! See README.md for how to run them.

#![forbid(unsafe_code)]

mod chain;
pub mod dictionary;
mod draw;
mod edits;
mod files;
mod framing;
mod handshakes;
mod machines;
mod network;
pub mod packets;
mod seals;
pub mod seeds;
mod statements;
mod words;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its binary, corpus and regressions.
    pub name: &'static str,
    /// Its part of a campaign's time, relative to the others.
    pub share: u32,
    /// Checks one input.
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, share: u32, check: fn(&[u8])) -> Target {
    Target { name, share, check }
}

/// The family of packets at this place of [`packets::FAMILIES`].
macro_rules! family {
    ($place:literal) => {
        target(packets::FAMILIES[$place].0, 1, |input| packets::check(packets::FAMILIES[$place].1, input))
    };
}

/// All targets of a campaign.
pub const TARGETS: &[Target] = &[
    family!(0),
    family!(1),
    family!(2),
    family!(3),
    family!(4),
    family!(5),
    family!(6),
    family!(7),
    family!(8),
    target("header", 1, framing::header),
    target("frames", 1, framing::frames),
    target("extensions", 1, framing::extensions),
    target("session_seal", 1, seals::session),
    target("group_seal", 1, seals::group),
    target("replay_window", 1, seals::window),
    target("sealed_id", 1, seals::sealed_ids),
    target("handshake_initiator", 2, handshakes::initiator),
    target("handshake_responder", 2, handshakes::responder),
    target("statement_row", 1, statements::row),
    target("statement_result", 1, statements::result),
    target("statement_switch", 1, statements::switch),
    target("statement_order", 1, statements::order),
    target("statement_packet", 1, statements::signed_packet),
    target("roster", 1, statements::roster),
    target("status", 1, statements::status),
    target("chain_codec", 1, chain::codec),
    target("chain_validator", 3, chain::validator),
    target("node_config", 2, files::node_config),
    target("authority_config", 1, files::authority_config),
    target("roster_file", 1, files::roster),
    target("genesis_and_key", 1, files::genesis_and_key),
    target("hook_line", 1, words::socket_line),
    target("operations", 1, words::operations),
    target("machine_authority", 6, machines::authority),
    target("machine_node", 8, machines::node),
    target("network", 4, network::network),
];

/// The target of this name.
///
/// # Panics
/// There is none: a binary and this table have come apart.
#[must_use]
pub fn by_name(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).expect("a target of the table")
}

/// The body of a target's binary, whose name is the target's.
#[macro_export]
macro_rules! fuzz {
    () => {
        static TARGET: ::std::sync::LazyLock<&::duohuo_fuzz::Target> =
            ::std::sync::LazyLock::new(|| ::duohuo_fuzz::by_name(::core::env!("CARGO_BIN_NAME")));
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| (TARGET.check)(data));
    };
}
