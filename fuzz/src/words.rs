//! Lines of the socket of hooks, and what operators ask beside a report.

use std::{fmt::Write as _, sync::LazyLock};

use duohuo_core::outside::Word;
use duohuo_driver::hooks::heard;
use duohuo_tests::consortium::{Consortium, FIG_18};
use duohuo_wire::{
    ids::ClusterId,
    operations::{DiskTimes, paused, put_paused},
    rehearsal::{self, Kept, Rehearsed},
    roster::Roster,
    takeover::{SignedTakeover, Takeover},
    tlv::Extensions,
};
use serde_json::Value;

use crate::draw::Draw;

static ROSTER: LazyLock<Roster> = LazyLock::new(|| Consortium::new(7, &FIG_18).roster);

/// A line is a word that a second, lenient reading finds too, or is refused by one line that says why.
pub(crate) fn socket_line(line: &[u8]) {
    let second: Result<Value, _> = serde_json::from_slice(line);
    match heard(line, &ROSTER) {
        Ok(word) => {
            let said = second.expect("a question is JSON");
            assert_eq!(word, second_reading(&said).expect("a question of spec/hooks.md 4"));
            // How it is written changes nothing.
            assert_eq!(heard(said.to_string().as_bytes(), &ROSTER), Ok(word));
        }
        Err(refusal) => {
            let text = refusal.strip_suffix('\n').expect("a line");
            assert!(!text.contains('\n'), "one line for one line");
            let said: Value = serde_json::from_str(text).expect("an answer is JSON");
            assert_eq!(said["ok"], false);
            assert!(["malformed", "no_cluster"].contains(&said["answer"].as_str().expect("a word")));
            assert!(!said["about"].as_str().expect("a sentence").is_empty());
            // A key that is there twice makes it none; anything else that the second reading takes is one.
            let no_key_twice = second.as_ref().is_ok_and(|v| v.to_string().len() == squeezed(line).len());
            if no_key_twice && let Ok(value) = second {
                assert_eq!(second_reading(&value), None, "refused for nothing: {text}");
            }
        }
    }
}

/// Section 4 of spec/hooks.md over any JSON.
fn second_reading(said: &Value) -> Option<Option<Word>> {
    let all = said.as_object()?;
    let has = |keys: &[&str]| all.len() == keys.len() && keys.iter().all(|key| all.contains_key(*key));
    let height = || all.get("height")?.as_u64().map(duohuo_wire::ids::Height);
    match all.get("do")?.as_str()? {
        "state" if has(&["do"]) => Some(None),
        "result" if has(&["do", "height", "hash"]) => {
            let text = all.get("hash")?.as_str()?;
            if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let mut hash = [0; 32];
            for (place, byte) in hash.iter_mut().enumerate() {
                *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
            }
            Some(Some(Word::Result { height: height()?, hash }))
        }
        "accuse" if has(&["do", "height", "cluster"]) => {
            let named = all.get("cluster")?;
            let mut clusters = ROSTER.clusters.iter();
            let cluster = clusters
                .find(|c| named.as_u64() == Some(c.id.0.into()) || named.as_str() == Some(&*c.name))?;
            Some(Some(Word::Accuse { cluster: cluster.id, height: height()? }))
        }
        _ => None,
    }
}

/// Without what stands between tokens. A key that is there twice makes a line longer than what was read.
fn squeezed(line: &[u8]) -> Vec<u8> {
    line.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect()
}

/// What is put is read again, and a value that nobody puts is as if it were absent.
pub(crate) fn operations(data: &[u8]) {
    let mut draw = Draw::new(data);
    let kind = u16::from_be_bytes(draw.array());
    let value = draw.rest();
    let mut found = Extensions::new();
    found.insert(kind & 0x7FFF, value);
    let mut again = Extensions::new();
    if let Some(times) = DiskTimes::of(&found) {
        assert_eq!(value.len(), 8);
        times.put(&mut again);
        assert_eq!(again, found, "one encoding");
    } else {
        assert!(kind & 0x7FFF != 1 || value.len() != 8, "eight bytes are two times");
    }
    match paused(&found) {
        Some(clusters) => {
            let mut again = Extensions::new();
            put_paused(clusters.iter().copied(), &mut again);
            assert_eq!(again, found, "one encoding");
            assert_eq!(clusters.len() * size_of::<ClusterId>(), value.len());
        }
        None => assert!(kind & 0x7FFF != 2 || !value.len().is_multiple_of(4)),
    }
    match Takeover::of(&found) {
        Some(takeover) => {
            let mut again = Extensions::new();
            takeover.add_to(&mut again);
            assert_eq!(again, found, "one encoding");
        }
        None => {
            assert!(kind & 0x7FFF != 1 || value.len() != Takeover::LENGTH, "any seven spans are a takeover")
        }
    }
    match SignedTakeover::of(&found) {
        Some(kept) => {
            assert_eq!(kept.len() * SignedTakeover::LENGTH, value.len(), "none is passed over");
            let mut again = Extensions::new();
            SignedTakeover::add_to(&kept, &mut again);
            assert!(kept.len() > SignedTakeover::MOST || again == found, "one encoding");
            for one in kept {
                let _ = one.outage_us();
            }
        }
        None => assert!(kind & 0x7FFF != 1 || !value.len().is_multiple_of(SignedTakeover::LENGTH)),
    }
    rehearsals(&found);
}

/// What says that something is rehearsed, and what it came to: whatever is read has one encoding.
fn rehearsals(found: &Extensions) {
    if let Some(rehearsed) = Rehearsed::of(found) {
        let mut again = Extensions::new();
        rehearsed.put_in(&mut again);
        assert_eq!(again, *found, "one encoding");
    }
    if let Some(nonce) = rehearsal::nonce_of(found) {
        assert_eq!(rehearsal::rehearsing(nonce), *found, "one encoding");
    }
    if let Some(kept) = Kept::of(found) {
        assert_eq!(kept.extensions(), *found, "one encoding");
    }
    if rehearsal::is_asked(found) {
        assert_eq!(rehearsal::asking(), *found, "one encoding");
    }
}

/// Questions, right and wrong.
pub(crate) fn line_seeds() -> Vec<Vec<u8>> {
    let mut hash = String::new();
    for byte in 0..32 {
        let _ = write!(hash, "{byte:02x}");
    }
    let name = &ROSTER.clusters.last().expect("clusters").name;
    let lines = [
        "{\"do\":\"state\"}\n".to_owned(),
        format!("{{\"do\":\"result\",\"height\":7,\"hash\":\"{hash}\"}}\n"),
        format!("{{\"do\":\"result\",\"height\":18446744073709551615,\"hash\":\"{}\"}}", hash.to_uppercase()),
        format!("{{\"do\":\"accuse\",\"cluster\":\"{name}\",\"height\":7}}\n"),
        "{ \"height\": 0, \"cluster\": 1, \"do\": \"accuse\" }".to_owned(),
        "{\"do\":\"accuse\",\"cluster\":1.5,\"height\":-1}".to_owned(),
        "{\"do\":\"state\",\"do\":\"result\"}".to_owned(),
        "{\"do\":\"state\",\"more\":[[{}]]}".to_owned(),
        "state\n".to_owned(),
        "[\"accuse\",1,7]".to_owned(),
        String::new(),
    ];
    lines.into_iter().map(String::into_bytes).collect()
}

/// Values of all these extensions, whole and cut.
pub(crate) fn operation_seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 1, 0, 0, 1, 2, 3, 4, 5, 6],
        vec![0, 1, 0, 0, 1, 2, 3, 4, 5],
        vec![0, 2],
        vec![0, 2, 0, 0, 0, 0, 0, 0, 0, 7],
        vec![0, 2, 0, 0, 0],
        vec![0x7F, 0xFF, 1],
        [&[0, 1][..], &[0xFF; 8], &[0; 48]].concat(),
        [&[0, 1][..], &[0xFF; 8], &[0; 47]].concat(),
        [&[0, 1][..], &[1; 400]].concat(),
        [&[0, 1][..], &[1; 199]].concat(),
        vec![0, 1],
        [&[0, 2][..], &[7; 12]].concat(),
        [&[0, 4][..], &[0; 32]].concat(),
        [&[0, 4, 6, 255][..], &[0xFF; 28], &[0, 2], &[0; 12], &[0, 0, 0, 1], &[9; 8]].concat(),
        [&[0, 4][..], &[0; 31]].concat(),
    ]
}
