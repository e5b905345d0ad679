//! The pages of `spec/`: every MUST has an ID, every ID a test that obeys it and one that breaks it, every name leads somewhere.
//! Each check is shown a broken page first: one that never fired is not trusted.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_tests::specification::{
    dead_names, missing_requirements, rules, uncovered, unfired, unknown_citations,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> Option<String> {
    let path = root().join(path);
    if path.is_dir() { Some(String::new()) } else { fs::read_to_string(path).ok() }
}

const PAGES: [&str; 4] = ["spec/wire.md", "spec/behaviour.md", "spec/chain.md", "spec/hooks.md"];

fn all_rules() -> (BTreeMap<String, bool>, Vec<String>) {
    let mut all = BTreeMap::new();
    let mut complaints = Vec::new();
    for page in PAGES {
        let (given, wrong) = rules(page, &read(page).unwrap());
        complaints.extend(wrong);
        for (id, must) in given {
            assert!(all.insert(id.clone(), must).is_none(), "{id} is given by two pages");
        }
    }
    (all, complaints)
}

/// All files below a folder with one of these endings.
fn files(folder: &Path, endings: &[&str], into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("__pycache__") {
                files(&path, endings, into);
            }
        } else if path.extension().is_some_and(|e| endings.iter().any(|known| e == *known)) {
            into.push(path);
        }
    }
}

#[test]
fn every_must_has_one_id_and_every_id_one_sentence() {
    let (rules, complaints) = all_rules();
    assert_eq!(complaints, Vec::<String>::new());
    assert!(rules.values().filter(|must| **must).count() > 90, "the pages are read at all");
}

#[test]
fn every_must_has_a_test_that_obeys_it_and_one_that_breaks_it() {
    let traceability = read("spec/traceability.md").unwrap();
    assert_eq!(uncovered(&all_rules().0, &traceability), Vec::<String>::new());
    assert_eq!(missing_requirements(&traceability), Vec::<String>::new());
}

#[test]
fn every_checker_fires_and_every_rule_is_broken_in_whole_networks() {
    assert_eq!(unfired(&read("spec/traceability.md").unwrap()), Vec::<String>::new());
}

#[test]
fn every_name_and_link_leads_somewhere() {
    let mut pages = vec![root().join("README.md")];
    files(&root().join("spec"), &["md"], &mut pages);
    assert!(pages.len() > 15);
    let mut complaints = Vec::new();
    for page in pages {
        let path = page.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        complaints.extend(dead_names(&path, &fs::read_to_string(&page).unwrap(), &read));
    }
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn every_id_that_code_or_vectors_cite_is_given() {
    let rules = all_rules().0;
    let mut sources = Vec::new();
    for folder in ["wire", "engine", "tests/src", "tests/tests", "tools", "fuzz/fuzz_targets", "spec"] {
        files(&root().join(folder), &["rs", "py", "lua", "json", "md"], &mut sources);
    }
    // This file and its crate's module show broken IDs on purpose.
    sources.retain(|path| !path.ends_with("specification.rs"));
    let mut complaints = Vec::new();
    for path in sources {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        complaints.extend(unknown_citations(&name, &fs::read_to_string(&path).unwrap(), &rules));
    }
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn the_table_of_extensions_is_the_programs() {
    use std::fmt::Write as _;
    let mut table = String::from("| number | packet | extension |\n|---|---|---|\n");
    for a in duohuo_wire::assigned::ASSIGNED {
        let _ = writeln!(table, "| {:#06x} | {} | {} |", a.number, a.packet, a.name);
    }
    let spec = read("spec/wire.md").unwrap_or_default();
    assert!(spec.contains(&format!("{table}\n")), "spec/wire.md 2.2 has another table than:\n{table}");
}

#[test]
fn a_must_without_an_id_is_seen_wherever_it_stands() {
    for broken in [
        "A receiver MUST NOT crash.",
        "- **W-A-1** It MUST hold.\n- It MUST hold too.",
        "| step | it MUST be refused |",
        "1. **W-A-1** fine\n2. A second one\nthat MUST be seen in its second line.",
        "**W-a-1** MUST have an ID and this is none.",
    ] {
        assert_eq!(rules("page", broken).1.len(), 1, "{broken}");
    }
    for right in [
        "**W-A-1** A receiver\nMUST NOT crash.",
        "The words MUST and MAY are those of RFC 2119.",
        "It must, and MUSTARD is none.\n\n```text\nMUST in a drawing\n```",
        "| **B-CLM-12** | it MUST be refused |",
        "- **CH-3** It MUST hold.",
    ] {
        assert_eq!(rules("page", right).1, Vec::<String>::new(), "{right}");
    }
}

#[test]
fn an_id_that_names_two_sentences_is_seen() {
    assert_eq!(rules("page", "- **W-A-1** It MUST.\n- **W-A-1** It may.").1.len(), 1);
    assert_eq!(rules("page", "**W-A-1** **W-A-2** It MUST.").1.len(), 1);
}

#[test]
fn a_must_without_both_tests_is_seen() {
    let rules = BTreeMap::from([("W-A-1".to_owned(), true), ("W-A-2".to_owned(), false)]);
    let test = "`wire/src/a.rs::holds`";
    assert_eq!(uncovered(&rules, &format!("| W-A-1 | {test} | {test} | peer |")), Vec::<String>::new());
    let two = format!("| W-A-1 | {test} | {test} | peer |\n| W-A-1 | {test} | {test} | peer |");
    for broken in [
        String::new(),
        format!("| W-A-1 | {test} | none | peer |"),
        format!("| W-A-1 | none | {test} | peer |"),
        format!("| W-A-1 | {test} | `wire/src/a.rs` | peer |"),
        format!("| W-A-1 | {test} | {test} | somehow |"),
        format!("| W-A-1 | {test} | {test} | own |"),
        format!("| W-A-1 | {test} | {test} | peer |\n| W-A-9 | {test} | {test} | peer |"),
        two,
    ] {
        assert_eq!(uncovered(&rules, &broken).len(), 1, "{broken}");
    }
}

#[test]
fn a_dead_name_is_seen() {
    let read = |path: &str| match path {
        "wire/src/a.rs" => Some("#[test]\nfn holds() {}\nfn helper() {}".to_owned()),
        "wire" | "spec/a.md" => Some(String::new()),
        _ => None,
    };
    let dead = |page: &str| dead_names("spec/page.md", page, &read).len();
    assert_eq!(
        dead(
            "`wire/src/a.rs`, `wire/src/a.rs::holds`, `wire/`, [a](a.md), [b](../spec/a.md#x), [c](https://d)"
        ),
        0
    );
    for broken in [
        "`wire/src/b.rs`",
        "`wire/src/a.rs::holds_not`",
        "`wire/src/a.rs::hold`",
        "`wire/src/a.rs::helper`",
        "[a](b.md)",
        "[a](../a.md)",
    ] {
        assert_eq!(dead(broken), 1, "{broken}");
    }
}

#[test]
fn a_citation_of_nothing_is_seen() {
    let rules = BTreeMap::from([("W-A-1".to_owned(), true)]);
    assert_eq!(unknown_citations("a.rs", "// W-A-1, CVE-2024-1, B-2, SHA-256", &rules), Vec::<String>::new());
    assert_eq!(unknown_citations("a.rs", "// (W-A-2); \"B-CLM-1\"", &rules).len(), 2);
}

#[test]
fn a_checker_or_rule_that_whole_networks_do_not_break_is_seen() {
    let all: Vec<String> = unfired("");
    assert_eq!((all.len(), all.first().unwrap().as_str(), all.last().unwrap().as_str()), (25, "S1", "R7"));
    for (row, fires) in [
        ("| S3 | `tests/tests/a.rs::s3` |", true),
        ("| S3 | `tests/src/a.rs::s3`, `tests/tests/a.rs` |", false),
        ("| R3 | a | `wire/src/a.rs` | `wire/src/a.rs::x`, `tests/tests/a.rs::y` (broken) |", true),
        ("| R3 | a | `wire/src/a.rs` | `tests/tests/a.rs::y` (broken), `wire/src/a.rs::x` |", true),
        ("| R3 | a | `wire/src/a.rs` | `tests/tests/a.rs::y`, `wire/src/a.rs::x` (broken) |", false),
        ("| R3 | a | `wire/src/a.rs` | `tests/tests/a.rs::y` |", false),
    ] {
        assert_eq!(unfired(row).len(), if fires { 24 } else { 25 }, "{row}");
    }
}

#[test]
fn a_requirement_without_a_row_is_seen() {
    assert_eq!(missing_requirements("| SYS-1 |").len(), 7 + 8 + 9 + 5 + 3 + 4 + 8 + 6 - 1);
}

#[test]
fn no_file_of_tests_is_left_out_of_the_program() {
    let folder = root().join("tests/tests");
    for (parent, program) in [(folder.clone(), "main.rs"), (folder.join("rules"), "mod.rs")] {
        let modules = fs::read_to_string(parent.join(program)).unwrap();
        for entry in fs::read_dir(&parent).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_program = path.file_name().is_some_and(|file| file == program);
            assert!(
                is_program || modules.contains(&format!("mod {name};")),
                "{}: in no program",
                path.display()
            );
        }
    }
}
