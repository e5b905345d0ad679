//! A process of a peer on a host of its own, and waiting for what it says.

use super::Conditions;
use duohuo_rig::hosts::wires::Host;
use rustix::process::{Pid, Signal, kill_process_group};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// A command, also from where Debian keeps what only administrators need.
pub(super) fn command(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin:/usr/lib/frr"));
    command
}

/// It and what it started; ends with this.
pub(super) struct Daemon(Child);

impl Daemon {
    /// Start it in a host's network.
    pub(super) fn start(
        conditions: Conditions,
        host: &Host,
        words: &[&str],
        output: Stdio,
        errors: Stdio,
    ) -> Result<Self, String> {
        let enter = host.enter();
        let [first, rest @ ..] = &enter;
        let mut process = command(first);
        process
            .args(rest)
            .args(conditions.scheduling.starter())
            .args(words)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0);
        let name = words.first().copied().unwrap_or_default();
        process.spawn().map(Self).map_err(|e| format!("{name}: {e}"))
    }

    /// What it prints.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// To it and what it started.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            // an error: it is gone, which others will tell
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Until there is one.
pub(super) fn wait<T>(what: &str, found: impl FnMut() -> Option<T>) -> Result<T, String> {
    wait_for(what, PATIENCE, found)
}

/// As [`wait`], so long at most.
pub(super) fn wait_for<T>(
    what: &str,
    patience: Duration,
    mut found: impl FnMut() -> Option<T>,
) -> Result<T, String> {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = found() {
            return Ok(found);
        }
        if Instant::now() >= until {
            return Err(format!("{what} within {} s", patience.as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
}
