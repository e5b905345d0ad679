//! The control socket: what an operator on this machine says to the process without a signal. Who calls is asked of the
//! kernel, and what changes anything is kept (B-CTL-2) and told in the log with who, from which process, and why, before it is
//! done (spec/behaviour.md, B-CTL-1).

use crate::acts::Acts;
use crate::error::DriverError;
use crate::hooks::words::{self, Answer};
use crate::socket::{Admitted, Asked, Caller, Question, Socket};
use mio::{Registry, Token, Waker};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a reason.
const MOST_WHY: usize = 255;

/// What `[control]` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ControlSettings {
    /// Where.
    pub socket: PathBuf,
    /// Who may speak beside the process's own user and root.
    pub users: Vec<u32>,
    /// As whose primary group.
    pub groups: Vec<u32>,
}

/// A line of it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Who it is and what it does; changes nothing.
    State {},
    /// As SIGHUP.
    Reload { why: String },
    /// As SIGTERM.
    Stop { why: String },
    /// As SIGUSR1, but said which way.
    WrongResults { on: bool, why: String },
}

impl Question for Request {
    fn read(line: &[u8]) -> Result<Self, Answer> {
        let request: Self = words::read(line)?;
        let is_reason = |why: &str| !why.trim().is_empty() && why.len() <= MOST_WHY;
        if request.why().is_some_and(|why| !is_reason(why)) {
            return Err(Answer::refusal("malformed", format!("why: expected 1 to {MOST_WHY} bytes")));
        }
        Ok(request)
    }

    fn act(&self) -> Option<(&'static str, &str)> {
        self.why().map(|why| (self.name(), why))
    }
}

impl Request {
    fn why(&self) -> Option<&str> {
        match self {
            Self::State {} => None,
            Self::Reload { why } | Self::Stop { why } | Self::WrongResults { why, .. } => Some(why),
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::State {} => "state",
            Self::Reload { .. } => "reload",
            Self::Stop { .. } => "stop",
            Self::WrongResults { on: true, .. } => "wrong_results on",
            Self::WrongResults { on: false, .. } => "wrong_results off",
        }
    }
}

/// The loop's end of it.
#[derive(Debug)]
pub(crate) struct Control(Socket<Request>);

impl Control {
    pub(crate) fn listen(
        registry: &Registry,
        token: Token,
        settings: ControlSettings,
        acts: Arc<Acts>,
    ) -> Result<Self, DriverError> {
        let waker = Waker::new(registry, token).map_err(|e| DriverError::system("eventfd", e))?;
        let ControlSettings { socket, users, groups } = settings;
        let wrong = |source| DriverError::LocalSocket { path: socket.clone(), key: "control.socket", source };
        Socket::listen(&socket, waker, Admitted { users, groups }, Some(acts)).map(Self).map_err(wrong)
    }

    /// The next thing said; what changes anything is in the log from now on.
    pub(crate) fn next(&self) -> Option<Asked<Request>> {
        let asked = self.0.next()?;
        if let Some(why) = asked.request.why() {
            let Caller { user, group, process } = asked.caller;
            // as text in quotation marks: a reason cannot make a line of its own
            tracing::warn!(user, group, process, ?why, "control: {}", asked.request.name());
        }
        Some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_ctl_1_what_changes_anything_says_why() {
        for line in [
            r#"{"do":"reload"}"#,
            r#"{"do":"reload","why":""}"#,
            r#"{"do":"stop","why":"  "}"#,
            r#"{"do":"wrong_results","why":"a drill"}"#,
            r#"{"do":"stop","why":"x","more":1}"#,
            r#"{"do":"dance","why":"x"}"#,
            r#"["stop","x"]"#,
            "",
        ] {
            let told = Request::read(line.as_bytes()).expect_err(line);
            assert_eq!(told.answer, "malformed", "{line}");
        }
        let long = format!(r#"{{"do":"stop","why":"{}"}}"#, "x".repeat(MOST_WHY + 1));
        assert!(Request::read(long.as_bytes()).is_err());
    }

    #[test]
    fn each_word_is_read() {
        let read = |line: &str| Request::read(line.as_bytes()).expect(line);
        assert_eq!(read(r#"{"do":"state"}"#), Request::State {});
        let reload = read(r#"{"do":"reload","why":"a new roster"}"#);
        assert_eq!((reload.name(), reload.why()), ("reload", Some("a new roster")));
        assert_eq!(read(r#"{"do":"stop","why":"x"}"#).name(), "stop");
        let drill = read(r#"{"do":"wrong_results","on":true,"why":"x"}"#);
        assert_eq!(drill.name(), "wrong_results on");
    }
}
