//! A dictionary for libFuzzer: what a mutation seldom makes by itself, from the codec and the specification.

use duohuo_wire::{
    header::{HEADER_BYTES, MAGIC, SUITE},
    packet::PacketType,
    versions::{FIRST, NEWEST},
};

use crate::packets;

/// The labels of spec/wire.md sections 3 to 6.
const LABELS: &[&str] = &[
    "duohuo",
    "duohuo mac1",
    "duohuo seal 1",
    "duohuo seal 2",
    "duohuo group 1",
    "duohuo group sign 1",
    "duohuo group key 1",
    "duohuo row 1",
    "duohuo result 1",
    "duohuo switch 1",
    "duohuo history 1",
    "duohuo roster 1",
    "duohuo sealed id 1",
];

/// Keys of the operator's files.
const KEYS: &[&str] = &[
    "node = 11",
    "roster = ",
    "operator_public_key = ",
    "store = ",
    "genesis = ",
    "[keys]",
    "session = ",
    "signing = ",
    "group = ",
    "sealing = ",
    "[timers]",
    "keepalive_interval_ms = ",
    "[wire]",
    "lowest = 1",
    "highest = 1",
    "[chain]",
    "block_interval_ms = ",
    "propose_timeout_ms = ",
    "vote_timeout_ms = ",
    "timeout_delta_ms = ",
    "max_timeout_ms = ",
    "rebroadcast_interval_ms = ",
    "max_block_transactions = ",
    "max_block_bytes = ",
    "max_pool = ",
    "[drill]",
    "allow = true",
    "[log]",
    "format = \"json\"",
    "level = \"debug\"",
    "[[account]]",
    "id = 1",
    "balance = ",
    "[[cluster]]",
    "[[cluster.node]]",
    "[[client]]",
    "[authority]",
    "address = ",
    "session_key = ",
    "signing_key = ",
    "priority = ",
    "room = ",
    "version = ",
    "consortium = ",
    "signature = ",
    "18446744073709551615",
    "-1",
    "1e309",
    "'''",
    "\"\"\"",
];

/// Of the lines of spec/hooks.md 4.
const WORDS: &[&str] = &[
    "\"do\":",
    "\"state\"",
    "\"result\"",
    "\"accuse\"",
    "\"height\":",
    "\"hash\":",
    "\"cluster\":",
    "\\u0073tate",
    "18446744073709551615",
    "18446744073709551616",
    "1e0",
    "1.0",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// The text of a target's dictionary.
#[must_use]
pub fn of(target: &str) -> String {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    if target.contains("config") || target == "roster_file" || target == "genesis_and_key" {
        entries.extend(KEYS.iter().map(|key| key.as_bytes().to_vec()));
    } else if target == "hook_line" {
        entries.extend(WORDS.iter().map(|word| word.as_bytes().to_vec()));
    } else {
        entries.extend(packets_and_numbers());
        let family = packets::family(target);
        entries.extend(family.iter().map(|packet_type| vec![packet_type.code()]));
    }
    let line = |(place, bytes): (usize, &Vec<u8>)| {
        let text: String = bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect();
        format!("entry{place}=\"{text}\"\n")
    };
    entries.iter().enumerate().map(line).collect()
}

fn packets_and_numbers() -> Vec<Vec<u8>> {
    let mut entries = vec![
        MAGIC.to_be_bytes().to_vec(),
        [&MAGIC.to_be_bytes()[..], &[FIRST]].concat(),
        [&MAGIC.to_be_bytes()[..], &[NEWEST]].concat(),
        vec![(HEADER_BYTES / 4) as u8, SUITE, 0, 0],
        // Extensions: empty, of one byte, the heard list, a critical one.
        vec![0, 2, 0, 0],
        vec![0, 3, 0, 1, 0],
        vec![0, 1, 0, 2, 0, 0],
        // One range of versions, and two.
        vec![0, 1, 0, 2, 1, 2],
        vec![0, 1, 0, 4, 1, 2, 1, 2],
        vec![0x80, 1, 0, 0],
        // A part of a log.
        [&[0x80, 1, 0, 9][..], &[0; 9]].concat(),
        // An address of each family.
        vec![4, 127, 0, 0, 1, 0x12, 0x8E],
        [&[6][..], &[0; 15], &[1, 0x12, 0x8E]].concat(),
    ];
    entries.extend(LABELS.iter().map(|label| label.as_bytes().to_vec()));
    // Whole starts of packets, and numbers at the ends of their ranges.
    for packet_type in PacketType::ALL {
        let sealed = u8::from(!packet_type.is_handshake());
        entries.push([&MAGIC.to_be_bytes()[..], &[FIRST, packet_type.code(), 0, sealed]].concat());
    }
    for number in [0, 1, 2, 1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX - 1, u64::MAX] {
        entries.push(number.to_be_bytes().to_vec());
    }
    for number in [1_u32, 44, 60, 1_200, 8 << 10, 8 << 20, u32::MAX] {
        entries.push(number.to_be_bytes().to_vec());
    }
    entries
}
