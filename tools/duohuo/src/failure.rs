//! How a command ends: one exit status per kind of failure, the same for all commands.

use duohuo_driver::DriverError;
use duohuo_driver::config::ConfigError;
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
        Self { text: e.to_string(), status: INVALID }
    }
}

impl From<DriverError> for Failure {
    fn from(e: DriverError) -> Self {
        let status = if matches!(e, DriverError::Config(_)) { INVALID } else { FAILED };
        Self { text: e.to_string(), status }
    }
}
