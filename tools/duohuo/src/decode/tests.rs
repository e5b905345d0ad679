//! Every packet of spec/vectors, valid or not.
#![allow(clippy::indexing_slicing, reason = "a wrong index fails the test")]

use super::packet::{Content, Limit, decode};
use duohuo_wire::key_log::KeyLog;
use duohuo_wire::show::Show as _;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

fn files() -> Vec<(String, Value)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors");
    let mut files: Vec<(String, Value)> = std::fs::read_dir(directory)
        .expect("spec/vectors is there")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with("schema.json"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a file of the vectors");
            (path.display().to_string(), serde_json::from_str(&text).expect("it is JSON"))
        })
        .collect();
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    files
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

/// All keys that a file tells.
fn key_log(file: &Value) -> KeyLog {
    let mut log = String::new();
    // the id that stands in the header of every packet of the packet files
    if file["session"].is_object() {
        for test in file["tests"].as_array().into_iter().flatten() {
            let session = &text(test, "hex")[32..48];
            let (key, iv) = (text(&file["session"], "key"), text(&file["session"], "iv"));
            let _ = writeln!(log, "session {session} {key} {iv}");
        }
    }
    for session in file["sessions"].as_array().into_iter().flatten() {
        for (to, from) in [("responder", "initiator"), ("initiator", "responder")] {
            let id = number(&session[format!("{to}_session")]);
            let key = |part: &str| text(session, &format!("{from}_seal_{part}")).to_owned();
            let _ = writeln!(log, "session {id:x} {} {}", key("key"), key("iv"));
        }
    }
    let group = &file["group"];
    if group["key"].is_string() {
        let [cluster, generation, sender, boot] =
            ["cluster", "generation", "sender", "boot"].map(|k| number(&group[k]));
        let (key, iv) = (text(group, "key"), text(group, "iv"));
        let _ = writeln!(log, "group {cluster} {generation} {sender} {boot:x} {key} {iv}");
    }
    KeyLog::parse(&log).expect("the keys of a vector make a key log")
}

#[test]
fn every_vector_is_read_as_it_says_or_refused_for_the_reason_it_says() {
    let (mut valid, mut invalid) = (0, 0);
    for (name, file) in files() {
        let kind = text(&file, "kind");
        if !matches!(kind, "packet" | "group" | "exchange" | "handshake" | "header") {
            continue;
        }
        let keys = key_log(&file);
        for test in file["tests"].as_array().expect("tests") {
            let at = format!("{name} {}: {}", test["id"], text(test, "comment"));
            let bytes =
                super::from_hex(text(test, "hex"), "the vector").unwrap_or_else(|e| panic!("{at}: {e}"));
            let limit = if kind == "header" { Limit::Datagram } else { Limit::Stream };
            let decoded = decode(&bytes, limit, &keys);
            let refusal = match &decoded.content {
                Content::Refused(why) => Some(why.reason),
                _ => None,
            };
            match (text(test, "result"), kind) {
                ("valid", "header") => {
                    let header = decoded.header.unwrap_or_else(|| panic!("{at}: {refusal:?}"));
                    assert_eq!(
                        header.show().to_string().parse::<Value>().ok().as_ref(),
                        test.get("fields"),
                        "{at}"
                    );
                    valid += 1;
                }
                ("valid", _) => match &decoded.content {
                    Content::Packet(packet) => {
                        assert_eq!(
                            packet.show().to_string().parse::<Value>().ok().as_ref(),
                            test.get("fields"),
                            "{at}"
                        );
                        valid += 1;
                    }
                    // a key that the file does not tell: of a handshake's session, or of another sender of the group
                    Content::Sealed => assert!(kind != "packet", "{at}"),
                    Content::Refused(why) => panic!("{at}: {why:?}"),
                },
                (_, "packet" | "header") => {
                    assert_eq!(refusal, Some(text(test, "reason")), "{at}");
                    invalid += 1;
                }
                // what only the receiver's own keys and signatures tell
                _ => {}
            }
        }
    }
    assert!(valid > 250 && invalid > 650, "{valid} valid and {invalid} invalid vectors were read");
}

#[test]
fn hexadecimal_text_may_be_written_as_tools_write_it_and_a_wrong_character_is_named() {
    assert_eq!(super::from_hex("44:55 4f\n48", "it").ok(), Some(b"DUOH".to_vec()));
    let wrong = |text| super::from_hex(text, "the argument").err().map(|e| e.to_string()).unwrap_or_default();
    assert!(
        wrong("44 5x").starts_with("the argument: character 5: 'x'; expected pairs of hexadecimal digits"),
        "{}",
        wrong("44 5x")
    );
    assert!(wrong("445").contains("character 3: a digit without its pair"), "{}", wrong("445"));
}
