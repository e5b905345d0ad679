//! What each target starts from: the vectors of the specification, examples of the files, and scripts that take a
//! machine to where it does something. The same bytes on each run.

use std::{fs, path::Path};

use duohuo_wire::packet::PacketType;
use serde_json::Value;

use crate::{files, machines, packets, words};

/// The seeds of a target, from the vectors in this directory (`spec/vectors`).
///
/// # Panics
/// The vectors cannot be read.
#[must_use]
pub fn of(target: &str, vectors: &Path) -> Vec<Vec<u8>> {
    let types = packets::family(target);
    if !types.is_empty() {
        return bodies(types, vectors);
    }
    let read = |file: &str| tests(vectors, file, |_| true);
    match target {
        "header" => [read("header.json"), read("stream.json"), read("handshake.json")].concat(),
        "frames" => read("stream.json").into_iter().flat_map(cut).collect(),
        "extensions" => extensions(vectors),
        "session_seal" => in_seal(vectors, 16),
        "group_seal" => in_seal(vectors, 12).into_iter().chain(read("group.json")).collect(),
        "sealed_id" => read("sealed_id.json"),
        "statement_row" => statements(vectors, "row"),
        "statement_result" => statements(vectors, "result"),
        "statement_switch" => statements(vectors, "switch"),
        "statement_order" => statements(vectors, "order"),
        "statement_packet" => [(0, "history"), (1, "group_key")]
            .into_iter()
            .flat_map(|(which, kind)| {
                statements(vectors, kind).into_iter().map(move |s| led_by(&[which], &s))
            })
            .collect(),
        "roster" => read("roster.json"),
        "status" => read("status.json"),
        "handshake_initiator" | "handshake_responder" => edits(),
        "replay_window" => windows(vectors),
        "chain_codec" => vec![vec![0; 40], vec![0; 52]],
        "chain_validator" => vec![vec![7, 0, 7, 50, 3, 0, 0, 0], [4; 24].to_vec()],
        "node_config" => vec![files::node_example().into()],
        "authority_config" => vec![files::authority_example().into()],
        "roster_file" => vec![files::roster_example().into()],
        "genesis_and_key" => vec![files::GENESIS.into(), "0f".repeat(32).into()],
        "hook_line" => words::line_seeds(),
        "operations" => words::operation_seeds(),
        "machine_authority" => machines::authority_seeds(),
        "machine_node" => machines::node_seeds(),
        "network" => (0..8)
            .map(|seed| vec![seed, seed, 1, 0, 40, 2, 2, 3, 60, 1, 1, 30, 5, 5, 0, 9, 0, 1, 9])
            .collect(),
        _ => vec![Vec::new()],
    }
}

/// All bodies of the vectors of these packets, right and wrong ones, as (type, body).
///
/// # Panics
/// The vectors cannot be read.
#[must_use]
pub fn packet_bodies(types: &[PacketType], vectors: &Path) -> Vec<(PacketType, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(vectors).expect("the vectors").flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut bodies = Vec::new();
    for path in files {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let code = name.strip_prefix("packet_").and_then(|rest| rest.get(..2));
        let packet_type =
            code.and_then(|code| u8::from_str_radix(code, 16).ok()).and_then(PacketType::from_code);
        if let Some(packet_type) = packet_type.filter(|packet_type| types.contains(packet_type)) {
            let found = hex_of(&path, "body", |_| true);
            bodies.extend(found.into_iter().map(|body| (packet_type, body)));
        }
    }
    bodies
}

fn bodies(types: &[PacketType], vectors: &Path) -> Vec<Vec<u8>> {
    packet_bodies(types, vectors)
        .into_iter()
        .filter_map(|(packet_type, body)| {
            let pick = types.iter().position(|t| *t == packet_type)?;
            Some(led_by(&[u8::try_from(pick).ok()?], &body))
        })
        .collect()
}

fn led_by(head: &[u8], body: &[u8]) -> Vec<u8> {
    [head, body].concat()
}

/// A stream's bytes in one piece, and cut at places near its header's end.
fn cut(stream: Vec<u8>) -> [Vec<u8>; 2] {
    [led_by(&[0, 0], &stream), led_by(&[0, 4, 11, 1, 32, 1], &stream)]
}

/// What follows the fixed part in the packets of eight fixed bytes.
fn extensions(vectors: &Path) -> Vec<Vec<u8>> {
    packet_bodies(&[PacketType::StatusQuery, PacketType::ChainEnd], vectors)
        .into_iter()
        .filter_map(|(_, body)| body.get(8..).map(<[u8]>::to_vec))
        .collect()
}

/// Bodies as the seals' targets read them: so many bytes of numbers, the type, the length, the body, then edits.
fn in_seal(vectors: &Path, numbers: usize) -> Vec<Vec<u8>> {
    packet_bodies(PacketType::ALL, vectors)
        .into_iter()
        .step_by(7)
        .filter_map(|(packet_type, body)| {
            let place = PacketType::ALL.iter().position(|t| *t == packet_type)?;
            let mut seed = vec![0; numbers];
            seed.push(1); // the sequence's choice: near 0
            seed.push(u8::try_from(place).ok()?);
            seed.extend(u16::try_from(body.len()).ok()?.to_be_bytes());
            seed.extend(&body);
            seed.extend([1, 0, 41, 0, 3]);
            Some(seed)
        })
        .collect()
}

/// One edit of each kind at a few places of a handshake message.
fn edits() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0; 8]];
    for transport in 0..2 {
        for at in [0_u16, 5, 40, 48, 100, 150, 160, 175] {
            for kind in 0..6 {
                let mut seed = vec![transport, 1, 10, 0, 0, 1, 0, 80, 1, 1];
                seed.extend(at.to_be_bytes());
                seed.extend([kind, 3, 1]);
                seeds.push(seed);
            }
        }
    }
    seeds
}

/// The vectors' sequences, each drawn in full.
fn windows(vectors: &Path) -> Vec<Vec<u8>> {
    let file = json(&vectors.join("window.json"));
    let tests = file["tests"].as_array().cloned().unwrap_or_default();
    let script = |test: &Value| {
        let sequences = test["sequences"].as_array().cloned().unwrap_or_default();
        let numbers = sequences.iter().filter_map(|s| s.as_str()?.parse::<u64>().ok());
        numbers.flat_map(|number| led_by(&[250], &led_by(&number.to_be_bytes(), &[1]))).collect()
    };
    tests.iter().map(script).collect()
}

fn statements(vectors: &Path, kind: &str) -> Vec<Vec<u8>> {
    tests(vectors, "statements.json", |test| test["statement"] == kind)
}

fn tests(vectors: &Path, file: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Vec<u8>> {
    hex_of(&vectors.join(file), "hex", wanted)
}

fn hex_of(path: &Path, key: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Vec<u8>> {
    let file = json(path);
    let tests = file["tests"].as_array().cloned().unwrap_or_default();
    tests.iter().filter(|test| wanted(test)).filter_map(|test| unhex(test[key].as_str()?)).collect()
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(digits).collect()
}
