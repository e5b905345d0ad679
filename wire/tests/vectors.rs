//! The vectors of `spec/vectors`, read as any other implementation would read them: what is valid decodes to the stated
//! fields and encodes to the same bytes; what is invalid is refused for exactly the stated reason.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

#[path = "../examples/make_vectors/files/mod.rs"]
mod files;

use std::{collections::BTreeMap, fs, path::PathBuf};

use bytes::BytesMut;
use duohuo_wire::show::Show;
use duohuo_wire::{
    group::{self, GroupSecret},
    handshake::{self, Accepted, Initiation, Initiator, Keys, Prologue, Transport},
    header::Header,
    ids::{ClusterId, NodeId},
    packet::{
        GroupKey, HandshakeInit, Packet, PacketType, SignedOrder, SignedResult, SignedRow, SignedSwitch,
    },
    roster::Roster,
    seal::ReplayWindow,
    sealed_id,
    sign::{VerifyingKey, verifying_key},
    status::StatusReport,
    stream::FrameReader,
    takeover::SignedTakeover,
    versions::{Agreement, Versions},
};
use serde_json::{Value, json};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

fn load(name: &str) -> Value {
    let text = fs::read_to_string(directory().join(name.to_owned() + ".json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn names() -> Vec<String> {
    let files = fs::read_dir(directory()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is missing or no text"))
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    let text = text(value, key);
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn array<const N: usize>(value: &Value, key: &str) -> [u8; N] {
    bytes(value, key).try_into().unwrap()
}

fn number(value: &Value, key: &str) -> u64 {
    let field = &value[key];
    field.as_u64().or_else(|| field.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{key} is no number"))
}

fn small(value: &Value, key: &str) -> u32 {
    number(value, key).try_into().unwrap()
}

fn verify_key(value: &Value, key: &str) -> VerifyingKey {
    verifying_key(&array(value, key)).unwrap()
}

/// What is read, or the label of the refusal.
type Read = Result<Value, &'static str>;

fn shown(value: &impl Show) -> Value {
    serde_json::from_str(&files::json::pretty(&value.show())).unwrap()
}

/// Runs every case of a file.
fn check(name: &str, read: impl Fn(&Value, &Value) -> Read) {
    let file = load(name);
    let tests = file["tests"].as_array().unwrap();
    assert_eq!(number(&file, "number_of_tests"), tests.len() as u64, "{name}");
    let mut wrong = Vec::new();
    for test in tests {
        let expected = match text(test, "result") {
            "valid" => Ok(&test["fields"]),
            _ => Err(text(test, "reason")),
        };
        let got = read(&file, test);
        let agrees = match (&got, expected) {
            (Ok(got), Ok(expected)) => got == expected,
            (Err(got), Err(expected)) => *got == expected,
            _ => false,
        };
        let comment = text(test, "comment");
        if !agrees {
            wrong.push(format!("{name} {}: {comment}: expected {expected:?}, got {got:?}", test["id"]));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Reads a body, and asserts that it has no other encoding.
fn read_body(kind: u8, body: &[u8]) -> Result<Packet, &'static str> {
    let packet = Packet::decode(kind, body).map_err(|error| error.label())?;
    let mut again = BytesMut::new();
    packet.encode(&mut again);
    assert_eq!(again, body);
    Ok(packet)
}

#[test]
fn the_committed_files_are_what_the_generator_writes() {
    let mut written: BTreeMap<String, String> = files::all().into_iter().collect();
    for name in names().iter().filter(|name| *name != "schema") {
        let name = name.to_owned() + ".json";
        let text = fs::read_to_string(directory().join(&name)).unwrap();
        let same = written.remove(&name).is_some_and(|expected| expected == text);
        assert!(same, "{name} differs: run `cargo run -p duohuo-wire --example make_vectors`");
    }
    assert!(written.is_empty(), "not written yet: {:?}", written.keys());
}

#[test]
fn every_packet_type_has_a_file() {
    for kind in PacketType::ALL {
        let start = format!("packet_{:02x}_", kind.code());
        assert_eq!(names().iter().filter(|name| name.starts_with(&start)).count(), 1, "{}", kind.name());
    }
}

fn prologue(transcript: &Value) -> Prologue {
    let transport = if transcript["transport"] == "stream" { Transport::Stream } else { Transport::Datagram };
    Prologue { consortium: array(transcript, "consortium"), transport }
}

/// What a side of a transcript states.
fn stated(transcript: &Value, side: &str) -> Option<Versions> {
    transcript[side].is_string().then(|| {
        let [lowest, highest] = array(transcript, side);
        Versions::new(lowest, highest).unwrap()
    })
}

fn start(transcript: &Value) -> (Initiator, HandshakeInit) {
    Initiation {
        local: &array(transcript, "initiator_secret"),
        remote_public: &array(transcript, "responder_public"),
        prologue: &prologue(transcript),
        ephemeral: array(transcript, "initiator_ephemeral_secret"),
        timestamp: array(transcript, "timestamp"),
        session: number(transcript, "initiator_session"),
        cookie: None,
        sender: NodeId(small(transcript, "initiator")),
        versions: stated(transcript, "initiator_versions"),
    }
    .begin()
    .unwrap()
}

fn answer(transcript: &Value, init: &HandshakeInit) -> Result<Accepted, &'static str> {
    let versions = stated(transcript, "responder_versions").unwrap_or(Versions::FIRST);
    handshake::open(
        &array(transcript, "responder_secret"),
        &prologue(transcript),
        init,
        array(transcript, "responder_ephemeral_secret"),
    )
    .and_then(|opened| {
        let session = number(transcript, "responder_session");
        opened.answer(versions, session, NodeId(small(transcript, "responder")))
    })
    .map_err(|_| "bad_handshake")
}

/// The keys of initiator and responder.
fn keys(transcript: &Value) -> (Keys, Keys) {
    let (mut initiator, init) = start(transcript);
    let accepted = answer(transcript, &init).unwrap();
    (initiator.try_finish(&accepted.response).unwrap(), accepted.keys)
}

fn group_secret(group: &Value, generation: u32) -> GroupSecret {
    GroupSecret { cluster: ClusterId(small(group, "cluster")), generation, secret: array(group, "secret") }
}

#[test]
fn every_packet_is_read_as_stated_alone_and_under_its_seal() {
    let (_, responder) = keys(&load("handshake")["transcripts"]["stream"]);
    for name in names().iter().filter(|name| name.starts_with("packet_")) {
        check(name, |file, test| {
            let kind = small(file, "type").try_into().unwrap();
            let (body, packet) = (bytes(test, "body"), bytes(test, "hex"));
            let alone = read_body(kind, &body);
            let header = Header::decode(&packet).unwrap();
            let carried = match text(file, "seal") {
                "none" => Packet::decode_unsealed(&packet).map(|read| read.1).map_err(|error| error.label()),
                "session" => responder.opening.open(&header, &packet).map_err(|error| error.label()),
                _ => {
                    let secret = group_secret(&file["group"], header.group);
                    let key = group::sender_key(&secret, header.sender, header.session);
                    let member = verify_key(&file["group"], "signing_key");
                    key.open(&header, &packet, &member).map_err(|error| error.label())
                }
            };
            assert_eq!(carried, alone, "{name} {}: the packet that carries the body", test["id"]);
            alone.map(|packet| shown(&packet))
        });
    }
}

#[test]
fn every_header_is_read_as_stated() {
    check("header", |_, test| {
        let datagram = bytes(test, "hex");
        Header::decode_datagram(&datagram).map(|header| shown(&header)).map_err(|error| error.label())
    });
}

#[test]
fn every_stream_is_cut_as_stated_in_any_split() {
    for piece in [1, 7, usize::MAX] {
        check("stream", |_, test| {
            let mut reader = FrameReader::new(small(test, "limit"));
            let mut packets = Vec::new();
            for part in bytes(test, "hex").chunks(piece) {
                reader.push(part);
                while let Some(packet) = reader.next().map_err(|error| error.label())? {
                    packets.push(packet.len());
                }
            }
            Ok(json!({ "packets": packets, "waiting": reader.buffered() }))
        });
    }
}

#[test]
fn every_window_takes_what_is_stated() {
    for test in load("window")["tests"].as_array().unwrap() {
        let mut window = ReplayWindow::new();
        let accepted = test["accepted"].as_array().unwrap();
        for (sequence, accepted) in test["sequences"].as_array().unwrap().iter().zip(accepted) {
            let sequence = sequence.as_str().unwrap().parse().unwrap();
            assert_eq!(window.check(sequence), accepted.as_bool().unwrap(), "{} {sequence}", test["comment"]);
            window.commit(sequence);
        }
    }
}

#[test]
fn every_handshake_goes_as_stated() {
    check("handshake", |file, test| {
        let transcript = &file["transcripts"][text(test, "transcript")];
        let packet = bytes(test, "hex");
        let header = Header::decode(&packet).map_err(|error| error.label())?;
        if header.is_sealed() {
            let (initiator, responder) = keys(transcript);
            let (to, session) = match text(test, "from") {
                "initiator" => (responder, "responder_session"),
                _ => (initiator, "initiator_session"),
            };
            assert_eq!(header.session, number(transcript, session));
            let opened = to.opening.open(&header, &packet).map_err(|error| error.label())?;
            if let Packet::Probe(proof) = &opened
                && proof.nonce == 0
                && Agreement::of(proof) != to.agreement
            {
                return Err("bad_handshake");
            }
            return Ok(shown(&opened));
        }
        let decoded = Packet::decode_unsealed(&packet).map_err(|error| error.label())?.1;
        let cookie = &file["cookie"];
        match &decoded {
            Packet::HandshakeInit(init) => {
                if !handshake::check_mac1(&array(transcript, "responder_public"), &packet) {
                    return Err("bad_mac");
                }
                let accepted = answer(transcript, init)?;
                if !file["enrolled"].as_array().unwrap().contains(&shown(&accepted.remote_public)) {
                    return Err("unknown_key");
                }
                if test["source"].is_string() && test["source"] != cookie["address"] {
                    return Err("wrong_address");
                }
                let mac2 = handshake::check_mac2(&array(cookie, "cookie"), &packet);
                if test["last_timestamp"].is_string() {
                    let last = array(test, "last_timestamp");
                    if accepted.timestamp == last || (accepted.timestamp < last && !mac2) {
                        return Err("old_handshake");
                    }
                }
                assert_eq!(accepted.remote_public, array(transcript, "initiator_public"));
                assert_eq!(accepted.timestamp, array(transcript, "timestamp"));
                assert_eq!(mac2, test["mac2"].as_bool().unwrap(), "{}", test["comment"]);
            }
            Packet::HandshakeResponse(response) => {
                if response.initiator_session != number(transcript, "initiator_session") {
                    return Err("unknown_session");
                }
                if !handshake::check_mac1(&array(transcript, "initiator_public"), &packet) {
                    return Err("bad_mac");
                }
                start(transcript).0.try_finish(response).map_err(|_| "bad_handshake")?;
            }
            Packet::Cookie(given) => {
                let first = Packet::decode_unsealed(&bytes(&file["tests"][0], "hex")).unwrap().1;
                let Packet::HandshakeInit(init) = first else { panic!("the first case is an initiation") };
                let from = text(cookie, text(test, "for")).parse().unwrap();
                assert_eq!(handshake::cookie(&array(cookie, "secret"), &from, &init), given.cookie);
            }
            other => panic!("no packet of a handshake: {other:?}"),
        }
        Ok(shown(&decoded))
    });
}

#[test]
fn every_group_packet_is_opened_as_stated() {
    check("group", |file, test| {
        let packet = bytes(test, "hex");
        let header = Header::decode(&packet).map_err(|error| error.label())?;
        let whole = &file["group"];
        // The key is the one the case names, or the file's.
        let named = if test["group"].is_object() { &test["group"] } else { whole };
        let secret = group_secret(whole, small(named, "generation"));
        let key = group::sender_key(&secret, NodeId(small(named, "sender")), number(named, "boot"));
        let member = verify_key(whole, "signing_key");
        let opened = key.open(&header, &packet, &member).map_err(|error| error.label())?;
        let mut body = BytesMut::new();
        opened.encode(&mut body);
        assert_eq!(body, bytes(test, "body"));
        Ok(shown(&opened))
    });
}

#[test]
fn every_sealed_cluster_id_opens_as_stated() {
    check("sealed_id", |_, test| {
        let binding = sealed_id::binding(&array(test, "session_key"), &array(test, "signing_key"));
        let claims = sealed_id::open(
            &array(test, "secret"),
            &bytes(test, "hex"),
            ClusterId(small(test, "declared_cluster")),
            &array(test, "consortium"),
            &binding,
        )
        .map_err(|error| error.label())?;
        for time in test["times"].as_array().unwrap() {
            assert_eq!(claims.is_valid_at(number(time, "at")), time["holds"].as_bool().unwrap());
        }
        Ok(shown(&claims))
    });
}

#[test]
fn every_statement_holds_as_stated() {
    check("statements", |_, test| {
        let key = verifying_key(&array(test, "signing_key")).ok_or("bad_signature")?;
        let bytes = bytes(test, "hex");
        let mut again = BytesMut::new();
        let (fields, holds) = match text(test, "statement") {
            "row" => {
                let row = SignedRow::decode(&bytes).map_err(|error| error.label())?;
                row.encode(&mut again);
                (shown(&row), row.verify(&key))
            }
            "result" => {
                let result = SignedResult::decode(&bytes).map_err(|error| error.label())?;
                result.encode(&mut again);
                (shown(&result), result.verify(&key))
            }
            "order" => {
                let order = SignedOrder::decode(&bytes).map_err(|error| error.label())?;
                order.encode(&mut again);
                (shown(&order), order.verify(&key))
            }
            "takeover" => {
                let takeover = SignedTakeover::decode(&bytes).map_err(|error| error.label())?;
                takeover.encode(&mut again);
                (shown(&takeover), takeover.verify(&key))
            }
            "switch" => {
                let order = SignedSwitch::decode(&bytes).map_err(|error| error.label())?;
                order.encode(&mut again);
                (shown(&order), order.verify(&key))
            }
            what => {
                let kind = if what == "history" { PacketType::History } else { PacketType::GroupKey };
                let packet = read_body(kind.code(), &bytes)?;
                packet.encode(&mut again);
                let holds = match &packet {
                    Packet::History(history) => history.verify(&key),
                    Packet::GroupKey(group) => group.verify(&key),
                    other => panic!("no statement: {other:?}"),
                };
                (shown(&packet), holds)
            }
        };
        assert_eq!(again, bytes);
        if holds { Ok(fields) } else { Err("bad_signature") }
    });
}

#[test]
fn every_status_report_is_read_as_stated() {
    check("status", |_, test| {
        let bytes = bytes(test, "hex");
        let report = StatusReport::decode(&bytes).map_err(|error| error.label())?;
        let mut again = BytesMut::new();
        report.encode(&mut again);
        assert_eq!(again, bytes);
        Ok(shown(&report))
    });
}

#[test]
fn every_roster_is_read_as_stated() {
    check("roster", |_, test| {
        let bytes = bytes(test, "hex");
        let roster = Roster::decode(&bytes).map_err(|error| error.label())?;
        let mut again = BytesMut::new();
        roster.encode(&mut again);
        assert_eq!(again, bytes);
        if roster.verify(&verify_key(test, "signing_key")) {
            Ok(shown(&roster))
        } else {
            Err("bad_signature")
        }
    });
}

const EXCHANGES: [&str; 3] = ["exchange", "exchange_rec_2", "exchange_rec_3"];

#[test]
fn the_failovers_open_packet_by_packet_and_no_sequence_comes_twice() {
    EXCHANGES.into_iter().for_each(opens_packet_by_packet);
}

/// W-RCV-9: each sealed packet came the way that section 7 of the page names.
#[test]
fn the_failovers_travel_as_the_page_says() {
    for test in EXCHANGES.iter().flat_map(|name| load(name)["tests"].as_array().unwrap().clone()) {
        let header = Header::decode(&bytes(&test, "hex")).unwrap();
        let kind = header.known_type().unwrap();
        let travels = match text(&test, "session") {
            "group" => kind.travels_in_group(),
            _ if !header.is_sealed() => continue,
            session if session.ends_with("stream") => kind.travels_over(Transport::Stream),
            _ => kind.travels_over(Transport::Datagram),
        };
        assert!(travels, "{} in {}", kind.name(), test["session"]);
    }
}

fn opens_packet_by_packet(name: &str) {
    let file = load(name);
    let roster = Roster::decode(&bytes(&file, "roster")).unwrap();
    assert!(roster.verify(&verify_key(&file, "operator_key")));
    let authority = verifying_key(&roster.authority.signing_key).unwrap();
    let mut sessions = BTreeMap::new();
    for session in file["sessions"].as_array().unwrap() {
        sessions.insert(text(session, "name").to_owned(), (session.clone(), keys(session)));
    }
    check(name, |file, test| {
        let packet = bytes(test, "hex");
        let header = Header::decode(&packet).map_err(|error| error.label())?;
        let (from, name) = (small(test, "from"), text(test, "session"));
        assert_eq!(header.sender, NodeId(from));
        let opened = if !header.is_sealed() {
            let session = &sessions[name].0;
            let to =
                if from == small(session, "initiator") { "responder_public" } else { "initiator_public" };
            assert!(handshake::check_mac1(&array(session, to), &packet));
            Packet::decode_unsealed(&packet).map_err(|error| error.label())?.1
        } else if name == "group" {
            let secret = group_secret(&file["group"], small(&file["group"], "generation"));
            let key = group::sender_key(&secret, header.sender, header.session);
            let sender = verifying_key(&roster.node(header.sender).unwrap().1.signing_key).unwrap();
            key.open(&header, &packet, &sender).map_err(|error| error.label())?
        } else {
            let (session, (initiator, responder)) = &sessions[name];
            let to = if from == small(session, "initiator") { responder } else { initiator };
            to.opening.open(&header, &packet).map_err(|error| error.label())?
        };
        match &opened {
            Packet::Notice(notice) => assert!(notice.row.verify(&authority)),
            Packet::GroupKey(key) => assert!(holds(&roster, key)),
            Packet::ForcedSwitch(switch) => assert!(switch.order.verify(&authority)),
            Packet::ConsensusError(report) => {
                for result in &report.evidence {
                    let key = roster.node(result.node).unwrap().1.signing_key;
                    assert!(result.verify(&verifying_key(&key).unwrap()));
                }
            }
            _ => {}
        }
        Ok(shown(&opened))
    });
    let mut windows: BTreeMap<(String, u32), ReplayWindow> = BTreeMap::new();
    for test in file["tests"].as_array().unwrap() {
        let header = Header::decode(&bytes(test, "hex")).unwrap();
        if header.is_sealed() {
            let window = windows.entry((text(test, "session").to_owned(), header.sender.0)).or_default();
            assert!(window.check(header.sequence), "{}", test["id"]);
            window.commit(header.sequence);
        }
    }
}

fn holds(roster: &Roster, key: &GroupKey) -> bool {
    let (cluster, master) = roster.node(key.master).unwrap();
    cluster.id == key.cluster && key.verify(&verifying_key(&master.signing_key).unwrap())
}
