//! What must hold of the pages of `spec/` as texts: rules have IDs, IDs have tests, names lead somewhere. Pure functions over
//! text, so that broken pages can be shown to them; `tests/tests/specification.rs` shows them the real ones.

use std::collections::{BTreeMap, BTreeSet};

/// One sentence-bearing piece of a page: a paragraph, an item of a list or a row of a table, with its first line's number.
fn pieces(page: &str) -> Vec<(usize, String)> {
    let mut pieces: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    let mut code = false;
    for (number, line) in (1..).zip(page.lines()) {
        if line.starts_with("```") {
            code = !code;
        }
        let numbered = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        let starts = line.starts_with("- ") || line.starts_with('|') || line.starts_with("**") || numbered;
        if line.is_empty() || code || line.starts_with('#') {
            open = false;
        } else if open && !starts {
            if let Some((_, text)) = pieces.last_mut() {
                text.push(' ');
                text.push_str(line);
            }
        } else {
            pieces.push((number, line.to_owned()));
            open = true;
        }
    }
    pieces
}

/// Whether `text` is the ID of a rule: W-HDR-1, B-CLM-12, CH-3.
fn is_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let (last, first) = match parts.as_slice() {
        [first @ ("W" | "B"), middle, last]
            if middle.chars().all(|c| c.is_ascii_uppercase()) && !middle.is_empty() =>
        {
            (last, first)
        }
        [first @ "CH", last] => (last, first),
        _ => return false,
    };
    !first.is_empty() && !last.is_empty() && last.chars().all(|c| c.is_ascii_digit())
}

/// The IDs that a piece gives: in bold.
fn given(piece: &str) -> Vec<String> {
    piece.split("**").skip(1).step_by(2).filter(|text| is_id(text)).map(ToOwned::to_owned).collect()
}

fn has_must(piece: &str) -> bool {
    piece.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == "MUST")
}

/// The IDs of a page, each with whether its sentence holds a MUST; and what is wrong with them.
#[must_use]
pub fn rules(name: &str, page: &str) -> (BTreeMap<String, bool>, Vec<String>) {
    let mut rules = BTreeMap::new();
    let mut complaints = Vec::new();
    for (line, piece) in pieces(page) {
        let ids = given(&piece);
        let must = has_must(&piece) && !piece.contains("RFC 2119");
        if must && ids.is_empty() {
            complaints.push(format!("{name}:{line}: a MUST without an ID: {piece}"));
        }
        if must && ids.len() > 1 {
            complaints.push(format!("{name}:{line}: a MUST under {} IDs: {}", ids.len(), ids.join(", ")));
        }
        for id in ids {
            if rules.insert(id.clone(), must).is_some() {
                complaints.push(format!("{name}:{line}: {id} is given to two sentences"));
            }
        }
    }
    (rules, complaints)
}

/// The cells of the rows of a table whose first cell is an ID.
fn rows(page: &str) -> Vec<(String, Vec<&str>)> {
    let cells = |line| -> Vec<&str> { str::split(line, '|').map(str::trim).collect() };
    page.lines()
        .filter(|line| line.starts_with('|'))
        .map(cells)
        .filter(|cells| cells.get(1).is_some_and(|id| is_id(id)))
        .map(|cells| (cells[1].to_owned(), cells[2..].to_vec()))
        .collect()
}

/// Every rule that holds a MUST has one row in the table: what obeys it, what breaks it, and how it is broken.
#[must_use]
pub fn uncovered(rules: &BTreeMap<String, bool>, traceability: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for (id, cells) in rows(traceability) {
        if !rules.contains_key(&id) {
            complaints.push(format!("traceability.md has a row for {id}, which no page gives"));
        }
        if !seen.insert(id.clone()) {
            complaints.push(format!("traceability.md has two rows for {id}"));
        }
        let tests = |at: usize| cells.get(at).is_some_and(|cell| tests_in(cell).next().is_some());
        if !tests(0) || !tests(1) {
            complaints
                .push(format!("traceability.md: {id} needs a test that obeys it and one that breaks it"));
        }
        if !cells.get(2).is_some_and(|kind| ["peer", "fault"].contains(kind)) {
            complaints.push(format!("traceability.md: {id} does not say how it is broken: peer or fault"));
        }
    }
    let without = rules.iter().filter(|(id, must)| **must && !seen.contains(*id));
    complaints.extend(without.map(|(id, _)| format!("traceability.md has no row for {id}")));
    complaints
}

/// What a page names in `backticks`: paths of this repository, and tests in them as `path::name`.
fn named(page: &str) -> impl Iterator<Item = &str> {
    let top = ["wire/", "engine/", "tools/", "tests/", "fuzz/", "spec/"];
    page.split('`')
        .skip(1)
        .step_by(2)
        .filter(move |name| top.iter().any(|t| name.starts_with(t)) && !name.contains([' ', '*', '\n']))
}

fn tests_in(text: &str) -> impl Iterator<Item = &str> {
    named(text).filter(|name| name.contains("::"))
}

/// Names and links of a page that lead nowhere. `read` gives the text of a path from the root of the repository: a file's, or
/// an empty one for a folder; `page_path` is the page's own.
#[must_use]
pub fn dead_names(page_path: &str, page: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in named(page) {
        let (path, test) = name.split_once("::").map_or((name, None), |(path, test)| (path, Some(test)));
        match (read(path.trim_end_matches('/')), test) {
            (None, _) => complaints.push(format!("{page_path} names {path}, which does not exist")),
            (Some(text), Some(test)) if !is_test(&text, test) => {
                complaints.push(format!("{page_path} names the test {test}, which is not in {path}"));
            }
            _ => {}
        }
    }
    let folder = page_path.rsplit_once('/').map_or("", |(folder, _)| folder);
    for link in page.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
        if link.is_empty() || link.contains(':') {
            continue;
        }
        let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
        for part in link.split('/').filter(|part| !part.is_empty()) {
            if part == ".." {
                path.pop();
            } else {
                path.push(part);
            }
        }
        if read(&path.join("/")).is_none() {
            complaints.push(format!("{page_path} links to {link}, which does not exist"));
        }
    }
    complaints
}

/// Whether a file holds a test of this name, and not only a function.
fn is_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().collect();
    (0..lines.len()).any(|at| {
        let attributes = lines[..at].iter().rev().take_while(|line| {
            let line = line.trim_start();
            line.starts_with("#[") || line.starts_with("///") || line.starts_with("reason")
        });
        lines[at].trim_start().starts_with(&head)
            && attributes.into_iter().any(|line| line.trim() == "#[test]")
    })
}

/// The requirements of the patent and the rules and promises of the design that have no row.
#[must_use]
pub fn missing_requirements(traceability: &str) -> Vec<String> {
    let groups =
        [("SYS-", 7), ("AUTH-", 8), ("OUT-", 9), ("IN-", 5), ("REC-", 3), ("DEP-", 4), ("R", 8), ("P", 6)];
    let all = groups.iter().flat_map(|(group, count)| (1..=*count).map(move |n| format!("{group}{n}")));
    all.filter(|id| !traceability.lines().any(|line| line.starts_with(&format!("| {id} |")))).collect()
}

/// Checkers of the simulator, and rules of the design, that no test of whole networks is named to break.
#[must_use]
pub fn unfired(traceability: &str) -> Vec<String> {
    let row = |id: &str| traceability.lines().find(|line| line.starts_with(&format!("| {id} |")));
    // A row names tests that obey a rule, too; those that break it are followed by a word.
    let checked =
        |id: &str| row(id).is_some_and(|row| tests_in(row).any(|name| name.starts_with("tests/tests/")));
    let broken = |id: &str| {
        let pieces = row(id).map(|row| row.split("` (broken)")).into_iter().flatten();
        let mut names = pieces.filter_map(|piece| piece.rsplit('`').next());
        row(id).is_some_and(|row| row.contains("` (broken)"))
            && names.any(|name| name.starts_with("tests/tests/"))
    };
    let checkers = (1..=18).map(|n| format!("S{n}")).filter(|id| !checked(id));
    let rules = (1..=7).map(|n| format!("R{n}")).filter(|id| !broken(id));
    checkers.chain(rules).collect()
}

/// IDs that a text cites and nobody gives.
#[must_use]
pub fn unknown_citations(path: &str, text: &str, rules: &BTreeMap<String, bool>) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let unknown: BTreeSet<&str> = words
        .map(|word| word.trim_matches('-'))
        .filter(|word| is_id(word) && !rules.contains_key(*word))
        .collect();
    unknown.into_iter().map(|id| format!("{path} cites {id}, which no page gives")).collect()
}
