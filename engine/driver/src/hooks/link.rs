//! The node's end of the line to its keeper. A keeper that is lost is started anew: the new one ends first what the old one
//! may have left, then does what is wished.

use super::talk::{self, Charge, Heard, Said};
use crate::clock;
use crate::error::DriverError;
use duohuo_core::io::Output;
use duohuo_core::outside::Report;
use duohuo_core::{Duration, Instant};
use mio::unix::pipe::{Receiver, Sender};
use mio::{Interest, Registry, Token};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

/// A keeper that is lost is started again, but not oftener than this.
const RESTART_INTERVAL: Duration = Duration::from_millis(200);
/// So often in a row, each within [`CALM`] of the one before: then the node stops.
const MOST_RESTARTS: u32 = 5;
const CALM: Duration = Duration::from_secs(60);
/// A line that is longer is none of a keeper's.
const MOST_LINE: usize = 64 * 1024;

/// The keeper, as its node sees it.
#[derive(Debug)]
pub(super) struct Link {
    registry: Registry,
    token: Token,
    charge: Charge,
    pipes: Option<Pipes>,
    /// What it runs just now; 0: nothing.
    group: i32,
    /// What a new keeper must be told, too.
    wish: Option<Said>,
    cover: Option<Said>,
    follow: Option<Said>,
    restart_at: Option<Instant>,
    lost_at: Option<Instant>,
    restarts: u32,
    /// It was lost, and the machine has not been told.
    is_news: bool,
}

#[derive(Debug)]
struct Pipes {
    child: Child,
    /// `None` once it is told that the node is gone.
    said: Option<Sender>,
    reports: Receiver,
    partial: Vec<u8>,
}

impl Link {
    /// Start the keeper: this very program, as `duohuo keeper`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(registry: &Registry, token: Token, charge: Charge) -> Result<Self, DriverError> {
        let registry = registry.try_clone().map_err(|e| DriverError::system("dup(epoll)", e))?;
        let mut link = Self {
            registry,
            token,
            charge,
            pipes: None,
            group: 0,
            wish: None,
            cover: None,
            follow: None,
            restart_at: None,
            lost_at: None,
            restarts: 0,
            is_news: false,
        };
        link.pipes = Some(link.spawn()?);
        Ok(link)
    }

    fn spawn(&self) -> Result<Pipes, DriverError> {
        let wrong = |call| move |e| DriverError::system(call, e);
        // not its path: that may be a newer program by now, or gone
        let mut child = Command::new("/proc/self/exe")
            .arg0("duohuo")
            .arg("keeper")
            .args(self.charge.json_log.then_some("--json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // the service manager is spoken to by the node alone
            .env_remove("NOTIFY_SOCKET")
            // a terminal's Ctrl-C is for the node; the keeper ends when it has ended what acts
            .process_group(0)
            .spawn()
            .map_err(wrong("execve(duohuo keeper)"))?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(DriverError::system("pipe", ErrorKind::BrokenPipe.into()));
        };
        let mut first = serde_json::to_string(&self.charge)
            .map_err(|e| DriverError::system("charge of the keeper", std::io::Error::other(e)))?;
        first.push('\n');
        // what it is told first fits into the pipe unless the settings are huge; then it is read at once
        stdin.write_all(first.as_bytes()).map_err(wrong("write(keeper)"))?;
        let (said, mut reports) = (Sender::from(stdin), Receiver::from(stdout));
        said.set_nonblocking(true).map_err(wrong("fcntl(keeper)"))?;
        reports.set_nonblocking(true).map_err(wrong("fcntl(keeper)"))?;
        self.registry
            .register(&mut reports, self.token, Interest::READABLE)
            .map_err(wrong("epoll_ctl(keeper)"))?;
        Ok(Pipes { child, said: Some(said), reports, partial: Vec::new() })
    }

    /// How long an orderly end may take.
    #[must_use]
    pub(super) fn margin(&self) -> Duration {
        self.charge.settings.lease().margin
    }

    /// Whether it is lost and must not be started again.
    #[must_use]
    pub(super) fn is_given_up(&self) -> bool {
        self.pipes.is_none() && self.restart_at.is_none()
    }

    /// When [`Link::run`] wants to be called.
    #[must_use]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.restart_at
    }

    /// Pass on what the machine wants of what acts outside; anything else is not ours.
    pub(super) fn carry_out(&mut self, output: &Output) {
        let said = match output {
            Output::Act { epoch, stop_at, until } => {
                Said::Act { epoch: *epoch, stop_at: *stop_at, until: *until }
            }
            Output::StopActing => Said::Stop,
            Output::Cover { members } => Said::Cover { members: members.clone() },
            Output::Follow { epoch, master, address } => {
                Said::Follow { epoch: *epoch, master: *master, address: address.ip() }
            }
            _ => return,
        };
        match said {
            Said::Act { .. } => (self.wish, self.follow) = (Some(said.clone()), None),
            Said::Stop => self.wish = None,
            Said::Cover { .. } => self.cover = Some(said.clone()),
            Said::Follow { .. } => self.follow = Some(said.clone()),
        }
        self.say(&said);
    }

    fn say(&mut self, said: &Said) {
        let sender = self.pipes.as_mut().and_then(|pipes| pipes.said.as_mut());
        let sent = sender.map(|pipe| pipe.write_all(said.line().as_bytes()));
        if let Some(Err(e)) = sent {
            // it does not read, and a pipe holds hundreds of lines
            tracing::error!("keeper: {e}: it is killed");
            self.lose();
        }
    }

    /// What the keeper reported; empty when there is no more for now.
    pub(super) fn reports(&mut self) -> Vec<Report> {
        let Some(pipes) = &mut self.pipes else { return Vec::new() };
        let is_open = read_all(&mut pipes.reports, &mut pipes.partial);
        let mut reports = Vec::new();
        while let Some(end) = pipes.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pipes.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match talk::read_heard(&line) {
                Some(Heard::Report(report)) => reports.push(report),
                Some(Heard::Group(group)) => self.group = group,
                None => tracing::error!(line = line.trim_end(), "keeper: said something unknown"),
            }
        }
        if !is_open || pipes.partial.len() > MOST_LINE {
            self.lose();
        }
        reports
    }

    /// It is gone, or of no use. What ran under it goes with it; what acts is ended by the next keeper.
    fn lose(&mut self) {
        let Some(mut pipes) = self.pipes.take() else { return };
        let _ = pipes.child.kill();
        let ended = pipes.child.wait();
        let _ = self.registry.deregister(&mut pipes.reports);
        if let Some(group) = Pid::from_raw(self.group) {
            // an error: it has ended by itself
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.group = 0;
        let now = clock::now();
        let is_again = self.lost_at.is_some_and(|at| now.saturating_since(at) < CALM);
        self.restarts = if is_again { self.restarts + 1 } else { 0 };
        self.lost_at = Some(now);
        self.is_news = true;
        let status = ended.map_or_else(|e| e.to_string(), |status| status.to_string());
        if self.restarts >= MOST_RESTARTS {
            tracing::error!(
                "the keeper of the hooks was lost {MOST_RESTARTS} times in a row ({status}): this node stops"
            );
        } else {
            tracing::error!(
                "the keeper of the hooks was lost ({status}): another begins, which ends what acts first"
            );
            self.restart_at = Some(now + RESTART_INTERVAL * self.restarts);
        }
    }

    /// Start it again, if it is time; whether it was lost since the last call.
    pub(super) fn run(&mut self, now: Instant) -> bool {
        if self.restart_at.take_if(|at| now >= *at).is_some() {
            self.restart(now);
        }
        core::mem::take(&mut self.is_news)
    }

    fn restart(&mut self, now: Instant) {
        match self.spawn() {
            Ok(pipes) => {
                self.pipes = Some(pipes);
                // whom it waits for before what it may do
                for said in [self.cover.clone(), self.follow.clone(), self.wish.clone()].into_iter().flatten()
                {
                    self.say(&said);
                }
            }
            Err(e) => {
                tracing::error!("{e}");
                self.restart_at = Some(now + RESTART_INTERVAL);
            }
        }
    }
}

/// Whether there may be more.
fn read_all(from: &mut Receiver, into: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 1024];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return false,
            Ok(count) => into.extend(chunk.iter().take(count)),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return e.kind() == ErrorKind::WouldBlock,
        }
    }
}

impl Drop for Link {
    /// The keeper sees the end of its input, ends what acts, and ends.
    fn drop(&mut self) {
        let patience = self.margin() + Duration::from_secs(1);
        let Some(pipes) = &mut self.pipes else { return };
        pipes.said = None;
        let begun = clock::now();
        while matches!(pipes.child.try_wait(), Ok(None)) && clock::now().saturating_since(begun) < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
