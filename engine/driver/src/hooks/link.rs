//! The node's end of the line to its keeper.

use super::keeper::Instance;
use super::settings::HooksSettings;
use super::talk::{self, Said};
use crate::error::DriverError;
use duohuo_core::Duration;
use duohuo_core::io::Output;
use duohuo_core::outside::Report;
use mio::unix::pipe::{Receiver, Sender};
use mio::{Interest, Registry, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A keeper, as its node sees it.
#[derive(Debug)]
pub struct Link {
    child: Child,
    /// `None` once it is told that the node is gone.
    said: Option<Sender>,
    reports: Receiver,
    partial: Vec<u8>,
    margin: Duration,
    is_open: bool,
}

impl Link {
    /// Start the keeper: this very program, as `duohuo keeper`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(
        registry: &Registry,
        token: Token,
        config: &Path,
        instance: Instance,
        settings: &HooksSettings,
    ) -> Result<Self, DriverError> {
        let wrong = |call| move |e| DriverError::system(call, e);
        let program = std::env::current_exe().map_err(wrong("readlink(/proc/self/exe)"))?;
        let mut child = Command::new(program)
            .arg("keeper")
            .arg("--config")
            .arg(config)
            .args(["--cluster", &instance.cluster.0.to_string()])
            .args(["--node", &instance.node.0.to_string()])
            .args(["--priority", &instance.priority.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // a terminal's Ctrl-C is for the node; the keeper ends when it has ended what acts
            .process_group(0)
            .spawn()
            .map_err(wrong("execve(duohuo keeper)"))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(DriverError::system("pipe", ErrorKind::BrokenPipe.into()));
        };
        let (said, mut reports) = (Sender::from(stdin), Receiver::from(stdout));
        said.set_nonblocking(true).map_err(wrong("fcntl(keeper)"))?;
        reports.set_nonblocking(true).map_err(wrong("fcntl(keeper)"))?;
        registry.register(&mut reports, token, Interest::READABLE).map_err(wrong("epoll_ctl(keeper)"))?;
        let margin = settings.lease.margin;
        Ok(Self { child, said: Some(said), reports, partial: Vec::new(), margin, is_open: true })
    }

    /// Whether the keeper is there.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// How long an orderly end may take.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.margin
    }

    /// Pass on what the machine wants of what acts outside; anything else is not ours.
    pub fn carry_out(&mut self, output: Output) {
        let said = match output {
            Output::Act { epoch, stop_at, until } => Said::Act { epoch, stop_at, until },
            Output::StopActing => Said::Stop,
            Output::Cover { members } => Said::Cover { members },
            Output::Follow { epoch, master, address } => {
                Said::Follow { epoch, master, address: address.ip() }
            }
            _ => return,
        };
        let sent = self.said.as_mut().map(|pipe| pipe.write_all(said.line().as_bytes()));
        if let Some(Err(e)) = sent {
            // it does not read: a pipe holds hundreds of lines
            tracing::error!("keeper: {e}; it ends what acts when its lease is over");
            self.is_open = false;
        }
    }

    /// What the keeper reported; empty when there is no more for now.
    pub fn reports(&mut self) -> Vec<Report> {
        let mut chunk = [0; 1024];
        loop {
            match self.reports.read(&mut chunk) {
                Ok(0) => {
                    self.is_open = false;
                    break;
                }
                Ok(count) => self.partial.extend(chunk.iter().take(count)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.is_open = false;
                    break;
                }
            }
        }
        let mut reports = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            match talk::read_report(&line) {
                Some(report) => reports.push(report),
                None => tracing::error!(line = line.trim_end(), "keeper: reported something unknown"),
            }
        }
        reports
    }
}

impl Drop for Link {
    /// The keeper sees the end of its input, ends what acts, and ends.
    fn drop(&mut self) {
        self.said = None;
        let patience = self.margin + Duration::from_secs(1);
        let begun = crate::clock::now();
        while matches!(self.child.try_wait(), Ok(None)) && crate::clock::now() - begun < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
