//! How a command ends: one exit status per kind of failure, the same for all commands.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use duohuo_driver::DriverError;
use duohuo_driver::config::ConfigError;
use duohuo_driver::config_keys::{KEYS, Key};
use std::process::ExitCode;

/// Stands in the help of every command.
pub(crate) const EXIT_HELP: &str = "Exit status: 0 done; 1 failed; 2 wrong usage; 3 no answer from a node or the authority; 4 a configuration, key or roster file is invalid";

/// It was tried and did not succeed.
pub(crate) const FAILED: u8 = 1;
/// Nobody, or not everybody, answered.
pub(crate) const UNREACHABLE: u8 = 3;
/// A file of the operator is missing or wrong.
pub(crate) const INVALID: u8 = 4;

/// Why a command could not do what it was told, for a person.
#[derive(Debug)]
pub(crate) struct Failure {
    text: String,
    status: u8,
}

impl Failure {
    pub(crate) fn failed(why: impl ToString) -> Self {
        Self { text: why.to_string(), status: FAILED }
    }

    pub(crate) fn unreachable(why: impl ToString) -> Self {
        Self { text: why.to_string(), status: UNREACHABLE }
    }

    pub(crate) fn invalid(why: impl ToString) -> Self {
        Self { text: why.to_string(), status: INVALID }
    }

    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ConfigError> for Failure {
    fn from(e: ConfigError) -> Self {
        let style = std::io::IsTerminal::is_terminal(&std::io::stderr());
        Self { text: shown(&e, style), status: INVALID }
    }
}

/// With the line of the file and a caret below, if the place is known; else in one line.
pub(crate) fn shown(e: &ConfigError, style: bool) -> String {
    let text = e.span.as_ref().and_then(|_| std::fs::read_to_string(&e.file).ok());
    let (Some(span), Some(text)) = (e.span.clone(), text) else { return e.to_string() };
    let end = span.end.min(text.len());
    let (wrong, expected) = parted(e);
    let title = format!("{}: {wrong}", e.key);
    let path = e.file.display().to_string();
    let expected = format!("expected {expected}");
    let mark = AnnotationKind::Primary.span(span.start.min(end)..end).label(&expected);
    let about = key_of(e).map(|key| format!("{}: {}", key.name, key.help));
    let mut group =
        Level::ERROR.primary_title(&title).element(Snippet::source(&text).path(&path).annotation(mark));
    if let Some(about) = &about {
        group = group.element(Level::NOTE.message(about));
    }
    let report = [group.element(Level::HELP.message(&*e.advice))];
    let renderer = if style { Renderer::styled() } else { Renderer::plain() };
    format!("the configuration cannot be used\n{}", renderer.render(&report))
}

impl From<DriverError> for Failure {
    fn from(e: DriverError) -> Self {
        let status = if matches!(e, DriverError::Config(_)) { INVALID } else { FAILED };
        Self { text: e.to_string(), status }
    }
}

/// What is wrong and what was expected, where a reader of TOML told both in one sentence.
fn parted(e: &ConfigError) -> (&str, &str) {
    let wrong = e.wrong.rsplit_once(" (line ").map_or(e.wrong.as_str(), |(wrong, _)| wrong);
    match wrong.rsplit_once(", expected ") {
        Some((wrong, expected)) => (wrong, expected),
        None if wrong.starts_with("missing field ") => (wrong, "it in this file"),
        None => (wrong, &e.expected),
    }
}

/// The key that is meant, if it is one of ours.
fn key_of(e: &ConfigError) -> Option<&'static Key> {
    let name = e.key.trim_matches('`');
    let missing = e.wrong.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let name = match (missing, name) {
        (Some(field), "file") => field.to_owned(),
        (Some(field), table) => format!("{table}.{field}"),
        (None, name) => name.to_owned(),
    };
    KEYS.iter().find(|key| key.name == name)
}
