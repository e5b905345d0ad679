//! The files of `spec/vectors`, by name. Used by the example that writes them and by the test that reads them.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod cases;
pub(crate) mod crypto;
mod exchange;
mod group;
mod handshake;
mod header;
pub(crate) mod json;
mod packets;
mod parties;
mod roster;
mod sealed_id;
mod statements;
mod stream;

use json::{J, obj, pretty};

/// One file in the making.
pub(crate) struct Suite {
    name: String,
    kind: &'static str,
    notes: Vec<String>,
    extra: Vec<(&'static str, J)>,
    tests: Vec<J>,
}

/// What is said of one case, beside its number and comment.
pub(crate) type Pairs = Vec<(&'static str, J)>;

impl Suite {
    pub(crate) fn new(name: &str, kind: &'static str, notes: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            extra: Vec::new(),
            tests: Vec::new(),
        }
    }

    /// A property of the whole file.
    pub(crate) fn with(mut self, key: &'static str, value: J) -> Self {
        self.extra.push((key, value));
        self
    }

    /// The number of the next case: the sequence it is sealed with.
    pub(crate) fn next_id(&self) -> u64 {
        self.tests.len() as u64 + 1
    }

    /// A case that must be accepted.
    pub(crate) fn valid(&mut self, comment: &str, more: Pairs) {
        self.push(comment, vec![("result", J::text("valid"))], more);
    }

    /// A case that must be refused for exactly this reason, the first broken rule.
    pub(crate) fn invalid(&mut self, comment: &str, rule: &str, reason: &str, more: Pairs) {
        let verdict =
            vec![("result", J::text("invalid")), ("reason", J::text(reason)), ("rule", J::text(rule))];
        self.push(comment, verdict, more);
    }

    fn push(&mut self, comment: &str, verdict: Pairs, more: Pairs) {
        let mut test = vec![("id", J::Number(self.next_id())), ("comment", J::text(comment))];
        test.extend(verdict);
        test.extend(more);
        self.tests.push(J::Object(test));
    }

    fn file(self) -> (String, String) {
        let mut file = vec![
            ("protocol", J::text("duohuo")),
            ("wire_version", J::Number(2)),
            ("schema", J::text("schema.json")),
            ("kind", J::text(self.kind)),
            ("number_of_tests", J::Number(self.tests.len() as u64)),
            ("notes", J::List(self.notes.into_iter().map(J::Text).collect())),
        ];
        file.extend(self.extra);
        file.push(("tests", J::List(self.tests)));
        (self.name + ".json", pretty(&J::Object(file)))
    }
}

/// Every file: its name and what stands in it.
pub(crate) fn all() -> Vec<(String, String)> {
    let mut suites = packets::suites();
    suites.extend([
        header::suite(),
        stream::suite(),
        stream::windows(),
        handshake::suite(),
        group::suite(),
        sealed_id::suite(),
        statements::suite(),
        statements::status(),
        roster::suite(),
    ]);
    suites.extend(exchange::suites());
    suites.into_iter().map(Suite::file).collect()
}

/// What is said of the keys of a session, so that its packets can be opened.
pub(crate) fn seal_keys(key: &[u8; 32], iv: &[u8; 12]) -> J {
    obj! { "key": J::hex(key), "iv": J::hex(iv) }
}
