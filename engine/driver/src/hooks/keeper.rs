//! The process that runs the operator's programs. It is a child of the node and outlives it: what acts is ended at the
//! lease's time whether the node lives, hangs, is stopped, or was killed.

use super::fifo::{self, Fifo};
use super::runner::{BURIAL, Do, Facts, Runner, State};
use super::talk::{self, Charge, Said};
use crate::clock;
use duohuo_core::Duration;
use duohuo_core::outside::{Ending, Program, Report};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// A wait on a channel stops in suspend; what is due is looked at so often at least, on the clock that does not.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);
/// What is read of a program's output.
const OUTPUT_BYTES: u64 = 64;
/// The first line, at most.
const CHARGE_BYTES: u64 = 1 << 20;
/// Between two looks at whether an earlier keeper is gone.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at whether a killed group is gone.
const GROUP_PAUSE: Duration = Duration::from_millis(1);

enum News {
    Said(Said),
    NodeIsGone,
    Ended { run: u64, ending: Ending, output: String },
}

struct Keeper {
    charge: Charge,
    runner: Runner,
    fifo: Option<Fifo>,
    /// The process group of each run that was not yet reported.
    groups: BTreeMap<u64, Pid>,
    /// The one that the node was told of.
    told_group: i32,
    news: Sender<News>,
}

/// Keep until `input` ends and nothing acts any more.
///
/// # Errors
/// The first line is none of a node's, the lock cannot be made, or a thread cannot be started.
pub fn run(input: impl Read + Send + 'static, mut output: impl Write) -> Result<(), Error> {
    ignore_orders()?;
    let mut input = BufReader::new(input);
    let charge = read_charge(&mut input)?;
    let (news, inbox) = channel();
    let said = news.clone();
    thread::Builder::new().name("said".into()).spawn(move || listen(input, &said))?;
    // Held until this process ends: of two keepers of a node, one runs programs.
    let _lock = lock(&charge.lock)?;
    let fifo = charge.settings.fifo.as_deref().and_then(open_fifo);
    let runner = Runner::new(clock::now(), charge.settings.clone(), charge.priority);
    let mut keeper = Keeper { charge, runner, fifo, groups: BTreeMap::new(), told_group: 0, news };
    loop {
        keeper.work(&mut output);
        if keeper.runner.is_over() {
            return Ok(());
        }
        let now = clock::now();
        match wait(&inbox, keeper.runner.poll_timeout().map(|at| at.saturating_since(now))) {
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

/// Whoever stops a service signals all of it. A keeper ends when its node has, and what acts.
fn ignore_orders() -> Result<(), Error> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

fn read_charge(input: &mut impl BufRead) -> Result<Charge, Error> {
    let mut line = Vec::new();
    input.take(CHARGE_BYTES).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(Error::new(ErrorKind::UnexpectedEof, "no charge: a keeper is started by its node"));
    }
    serde_json::from_slice(&line).map_err(Error::other)
}

/// An earlier keeper of this node may still be ending what acts; two at once would run two programs at once.
fn lock(path: &Path) -> Result<File, Error> {
    let mut file =
        std::fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    let mut waits = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(e)) => return Err(e),
        }
        if !waits {
            waits = true;
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            tracing::warn!(
                "{}: process {} is still ending what acted: waiting for it; if it does not end, end the service by hand, then kill -9 it",
                path.display(),
                holder.trim()
            );
        }
        thread::sleep(LOCK_PAUSE);
    }
    file.set_len(0)?;
    std::io::Seek::rewind(&mut file)?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

fn open_fifo(path: &Path) -> Option<Fifo> {
    let opened = Fifo::open(path);
    if let Err(e) = &opened {
        tracing::error!(
            "{}: {e}; expected a fifo, or a directory where one can be made: its lines are lost",
            path.display()
        );
    }
    opened.ok()
}

fn wait(inbox: &Receiver<News>, span: Option<Duration>) -> Option<News> {
    let span = span.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP);
    inbox.recv_timeout(span).ok()
}

fn listen(input: BufReader<impl Read>, news: &Sender<News>) {
    for line in input.lines() {
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
                Do::Start { run, program, facts, before } => {
                    if before.is_some_and(|at| clock::now() >= at) {
                        self.ended(run, Ending::NotStarted);
                        continue;
                    }
                    self.start(run, program, &facts);
                    self.say_group(output);
                }
                Do::Kill { run } => {
                    if let Some(group) = self.groups.get(&run) {
                        // gone already, at worst
                        let _ = kill_process_group(*group, Signal::KILL);
                    }
                }
                Do::Report(report) => {
                    complain(&report);
                    say(output, &talk::report_line(&report).unwrap_or_default());
                }
                Do::State(state, priority) => self.write_fifo(state, priority),
            }
        }
        self.say_group(output);
    }

    /// Should this process die, the node kills what ran under it.
    fn say_group(&mut self, output: &mut impl Write) {
        let group = self.groups.last_key_value().map_or(0, |(_, group)| group.as_raw_nonzero().get());
        if group != self.told_group {
            self.told_group = group;
            say(output, &talk::group_line(group));
        }
    }

    fn command(&self, program: Program, facts: &Facts) -> Option<Command> {
        let settings = &self.charge.settings;
        let (path, arguments) = settings.command(program).split_first()?;
        let members: Vec<String> = facts.members.iter().map(|node| node.0.to_string()).collect();
        let mut command = Command::new(path);
        command
            .args(arguments)
            .args([settings.kind.name(), &settings.name, facts.state.name(), &facts.priority.to_string()])
            .env("DUOHUO_PROGRAM", program.name())
            .env("DUOHUO_STATE", facts.state.name())
            .env("DUOHUO_CLUSTER", self.charge.cluster.to_string())
            .env("DUOHUO_NODE", self.charge.node.to_string())
            .env("DUOHUO_EPOCH", facts.epoch.0.to_string())
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
        match self.command(program, facts).map(|mut command| command.spawn()) {
            Some(Ok(child)) => {
                let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
                if let Some(group) = group {
                    self.groups.insert(run, group);
                }
                let waiter = thread::Builder::new().name(program.name().into());
                let news = self.news.clone();
                if let Err(e) = waiter.spawn(move || bury(child, group, run, &news)) {
                    // it is killed at its limit, and not waited for
                    tracing::error!("keeper: {}: no thread to wait for it: {e}", program.name());
                }
            }
            Some(Err(e)) => {
                tracing::error!("keeper: {} cannot be started: {e}", program.name());
                self.ended(run, Ending::NotStarted);
            }
            None => self.ended(run, Ending::NotStarted),
        }
    }

    fn ended(&self, run: u64, ending: Ending) {
        // the inbox is ours: it is there
        let _ = self.news.send(News::Ended { run, ending, output: String::new() });
    }

    fn write_fifo(&self, state: State, priority: u8) {
        let Some(fifo) = &self.fifo else { return };
        let line = fifo::line(&self.charge.settings, state, priority);
        if let Err(e) = fifo.write(&line) {
            tracing::warn!("fifo: {e}; the line {:?} is lost: does its reader read?", line.trim_end());
        }
    }
}

/// What failed to end it is told here, too: the node may be gone.
fn complain(report: &Report) {
    if let Report::Ran { program: program @ (Program::Demote | Program::Kill), ending } = report
        && *ending != Ending::Done
    {
        tracing::error!("keeper: {}: {}: the service may act still", program.name(), ending.name());
    }
}

/// Nobody listens any more when the node is gone.
fn say(output: &mut impl Write, line: &str) {
    let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
}

/// Wait for a program to end; for one that was killed, until all of its group is gone: what it started dies by the same signal,
/// but not at the same moment (B-HOOK-1).
fn bury(mut child: Child, group: Option<Pid>, run: u64, news: &Sender<News>) {
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        // not text: no position
        let _ = stdout.take(OUTPUT_BYTES).read_to_string(&mut output);
    }
    let ended = child.wait();
    let killed = ended.as_ref().is_ok_and(|status| status.signal() == Some(Signal::KILL.as_raw()));
    if let Some(group) = group.filter(|_| killed) {
        let until = clock::now() + BURIAL;
        while test_kill_process_group(group).is_ok() && clock::now() < until {
            thread::sleep(GROUP_PAUSE);
        }
    }
    let ending = match ended {
        Ok(status) if status.success() => Ending::Done,
        _ => Ending::Failed,
    };
    let _ = news.send(News::Ended { run, ending, output });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of a group runs still; who is dead and not yet buried by whoever inherited it does not.
    fn alive(group: Pid) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
        let lines = processes.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        let mut names: Vec<String> = lines
            .filter_map(|line| {
                // pid (name) state parent group
                let (name, rest) = line.split_once('(')?.1.rsplit_once(')')?;
                let words: Vec<&str> = rest.split_whitespace().take(3).collect();
                let is_of_group = words.get(2)?.parse() == Ok(group.as_raw_nonzero().get());
                (is_of_group && words.first() != Some(&"Z")).then(|| name.to_owned())
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn b_hook_1_what_was_killed_is_gone_with_all_that_it_started() {
        // `tail` holds 100 MB, which take it some milliseconds to give back; nobody reads what it has.
        let script = "head -c 100000000 /dev/zero | tail -c 100000000 | sleep 600 & wait";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let child = command.spawn().expect("sh");
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("its number");
        // `head` comes and goes; before that there may be less of it.
        while alive(group) != ["sh", "sleep", "tail"] {
            thread::sleep(GROUP_PAUSE);
        }
        let (news, inbox) = channel();
        kill_process_group(group, Signal::KILL).expect("killed");
        bury(child, Some(group), 7, &news);
        assert_eq!(alive(group), [""; 0], "it is said to have ended");
        assert!(matches!(inbox.try_recv(), Ok(News::Ended { run: 7, ending: Ending::Failed, .. })));
    }
}
