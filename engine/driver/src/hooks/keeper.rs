//! The process that runs the operator's programs. It is a child of the node and outlives it: what acts is ended at the
//! lease's time whether the node lives, hangs, is stopped, or was killed.

use super::runner::{Do, Facts, Runner};
use super::settings::HooksSettings;
use super::talk::{self, Said};
use crate::clock;
use duohuo_core::Duration;
use duohuo_core::outside::{Ending, Program};
use duohuo_wire::ids::{ClusterId, NodeId};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

/// A wait on a channel stops in suspend; what is due is looked at so often at least, on the clock that does not.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// What is read of a program's output.
const OUTPUT_BYTES: u64 = 64;

/// Who it is kept for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instance {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Its priority in the roster.
    pub priority: u8,
}

enum News {
    Said(Said),
    NodeIsGone,
    Ended { run: u64, ending: Ending, output: String },
}

struct Keeper {
    settings: HooksSettings,
    instance: Instance,
    runner: Runner,
    /// The process group of each run that was not yet reported.
    groups: BTreeMap<u64, Pid>,
    news: Sender<News>,
}

/// Keep until `input` ends and nothing acts any more.
///
/// # Errors
/// A thread cannot be started.
pub fn run(
    settings: HooksSettings,
    instance: Instance,
    input: impl Read + Send + 'static,
    mut output: impl Write,
) -> std::io::Result<()> {
    let (news, inbox) = channel();
    let said = news.clone();
    thread::Builder::new().name("said".into()).spawn(move || listen(input, &said))?;
    let runner = Runner::new(clock::now(), settings.clone());
    let mut keeper = Keeper { settings, instance, runner, groups: BTreeMap::new(), news };
    loop {
        keeper.work(&mut output);
        if keeper.runner.is_over() {
            return Ok(());
        }
        let now = clock::now();
        match wait(&inbox, keeper.runner.poll_timeout().map(|at| at - now)) {
            Some(News::Said(said)) => keeper.runner.said(clock::now(), said),
            Some(News::NodeIsGone) => keeper.runner.node_is_gone(clock::now()),
            Some(News::Ended { run, ending, output }) => {
                keeper.groups.remove(&run);
                keeper.runner.ended(clock::now(), run, ending, &output);
            }
            None => keeper.runner.tick(clock::now()),
        }
    }
}

fn wait(inbox: &Receiver<News>, span: Option<Duration>) -> Option<News> {
    let span = span.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
    match inbox.recv_timeout(span) {
        Ok(news) => Some(news),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
    }
}

fn listen(input: impl Read, news: &Sender<News>) {
    for line in BufReader::new(input).lines() {
        let Ok(line) = line else { break };
        match Said::read(&line) {
            Some(said) => drop(news.send(News::Said(said))),
            None => tracing::error!(line, "keeper: the node said something unknown"),
        }
    }
    let _ = news.send(News::NodeIsGone);
}

impl Keeper {
    fn work(&mut self, output: &mut impl Write) {
        while let Some(todo) = self.runner.poll() {
            match todo {
                Do::Start { run, program, facts } => self.start(run, program, &facts),
                Do::Kill { run } => {
                    if let Some(group) = self.groups.get(&run) {
                        // gone already, at worst
                        let _ = kill_process_group(*group, Signal::KILL);
                    }
                }
                Do::Report(report) => {
                    if let Some(line) = talk::report_line(&report) {
                        // nobody listens any more when the node is gone
                        let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
                    }
                }
                Do::State(state) => self.write_fifo(state.name()),
            }
        }
    }

    fn command(&self, program: Program, facts: &Facts) -> Option<Command> {
        let (path, arguments) = self.settings.command(program).split_first()?;
        let members: Vec<String> = facts.members.iter().map(|node| node.0.to_string()).collect();
        let priority = self.instance.priority.to_string();
        let mut command = Command::new(path);
        command
            .args(arguments)
            .args(["INSTANCE", &self.settings.name, facts.state.name(), &priority])
            .env("DUOHUO_PROGRAM", program.name())
            .env("DUOHUO_CLUSTER", self.instance.cluster.0.to_string())
            .env("DUOHUO_NODE", self.instance.node.0.to_string())
            .env("DUOHUO_EPOCH", facts.epoch.0.to_string())
            .env("DUOHUO_ROLE", facts.state.name())
            .env("DUOHUO_REASON", facts.reason)
            .env("DUOHUO_IN_SYNC", members.join(" "))
            .stdin(Stdio::null())
            .stdout(if program == Program::Sync { Stdio::piped() } else { Stdio::null() })
            .process_group(0);
        if let Some((master, address)) = facts.master {
            command.env("DUOHUO_MASTER", master.0.to_string());
            command.env("DUOHUO_MASTER_ADDRESS", address.to_string());
        }
        Some(command)
    }

    fn start(&mut self, run: u64, program: Program, facts: &Facts) {
        let started = self.command(program, facts).map(|mut command| command.spawn());
        let news = self.news.clone();
        let failed = |ending| drop(self.news.send(News::Ended { run, ending, output: String::new() }));
        match started {
            Some(Ok(child)) => {
                if let Ok(pid) = i32::try_from(child.id())
                    && let Some(group) = Pid::from_raw(pid)
                {
                    self.groups.insert(run, group);
                }
                let waiter = thread::Builder::new().name(program.name().into());
                if let Err(e) = waiter.spawn(move || bury(child, run, &news)) {
                    tracing::error!("keeper: {}: no thread to wait for it: {e}", program.name());
                }
            }
            Some(Err(e)) => {
                tracing::error!("keeper: {} cannot be started: {e}", program.name());
                failed(Ending::NotStarted);
            }
            None => failed(Ending::NotStarted),
        }
    }

    /// As keepalived: one line at each change, and nobody is waited for.
    fn write_fifo(&self, state: &str) {
        let Some(path) = &self.settings.fifo else { return };
        let line = format!("INSTANCE \"{}\" {state} {}\n", self.settings.name, self.instance.priority);
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
        let opened = i32::try_from(nonblocking)
            .map_err(std::io::Error::other)
            .and_then(|flags| std::fs::OpenOptions::new().write(true).custom_flags(flags).open(path));
        if let Err(e) = opened.and_then(|mut fifo| fifo.write_all(line.as_bytes())) {
            tracing::warn!(
                "{}: {e}; the line {:?} is lost: is a reader there?",
                path.display(),
                line.trim_end()
            );
        }
    }
}

/// Wait for a program to end.
fn bury(mut child: Child, run: u64, news: &Sender<News>) {
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        // not text: no position
        let _ = stdout.take(OUTPUT_BYTES).read_to_string(&mut output);
    }
    let ending = match child.wait() {
        Ok(status) if status.success() => Ending::Done,
        _ => Ending::Failed,
    };
    let _ = news.send(News::Ended { run, ending, output });
}
