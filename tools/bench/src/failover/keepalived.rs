//! The peer's side: two keepalived with VRRPv3 on one wire. The priorities are those at which it is fastest (its skew is
//! (256 - priority) / 256 of an interval).

use super::{Fault, some_time};
use duohuo_rig::hosts::cell;
use duohuo_rig::hosts::wires::{self, Host};
use duohuo_rig::picture::unix_us;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// With two places for what differs.
const CONFIGURATION: &str = include_str!("../../peers/keepalived.conf");
const PRIORITIES: [(&str, u8, u8); 2] = [("k1", 11, 254), ("k2", 12, 253)];
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// Which version is here.
pub(super) fn version() -> Result<String, String> {
    let missing = "keepalived is missing: apt-get install keepalived";
    let output = command().arg("--version").output().map_err(|_| missing)?;
    // it says so on its standard error
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(said.split_whitespace().nth(1).unwrap_or("unknown").trim_end_matches(',').to_owned())
}

fn command() -> Command {
    let mut command = Command::new("keepalived");
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// The last state that each told, and when.
type States = Arc<Mutex<BTreeMap<&'static str, (String, u64)>>>;

/// One of the two.
struct Router {
    name: &'static str,
    host: Host,
    configuration: PathBuf,
    child: Option<Child>,
}

impl Router {
    fn new(
        name: &'static str,
        number: u8,
        priority: u8,
        interval_ms: u64,
        directory: &Path,
        states: &States,
    ) -> Result<Self, String> {
        let host = Host { name: name.into(), room: 1, number };
        wires::plug_in(&host)?;
        let fifo = directory.join(format!("{name}.fifo"));
        let path = fifo.display().to_string();
        cell::run("mkfifo", &[&path], "")?;
        let configuration = directory.join(format!("{name}.conf"));
        let text = CONFIGURATION
            .replace("@FIFO@", &path)
            .replace("@PRIORITY@", &priority.to_string())
            .replace("@INTERVAL@", &format!("{:.2}", interval_ms as f64 / 1000.0));
        std::fs::write(&configuration, text).map_err(|e| e.to_string())?;
        // both ways, so that it has no end while nobody writes
        let lines =
            std::fs::OpenOptions::new().read(true).write(true).open(&fifo).map_err(|e| e.to_string())?;
        let states = Arc::clone(states);
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let now = unix_us();
                // INSTANCE "VI" MASTER 254
                if let Some(state) = line.split_whitespace().nth(2) {
                    lock(&states).insert(name, (state.to_owned(), now));
                }
            }
        });
        Ok(Self { name, host, configuration, child: None })
    }

    fn start(&mut self) -> Result<(), String> {
        let words = self.host.enter();
        let [first, rest @ ..] = &words;
        let pid = |of: &str| self.configuration.with_extension(of);
        for of in ["pid", "vrrp"] {
            // One that was killed leaves them, and its child is a zombie until this namespace ends: "already running".
            let _ = std::fs::remove_file(pid(of));
        }
        let log =
            std::fs::File::create(self.configuration.with_extension("log")).map_err(|e| e.to_string())?;
        let mut process = Command::new(first);
        process.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        process.args(rest).arg("keepalived");
        process.args([
            "--dont-fork",
            "--vrrp",
            "--log-console",
            "--no-syslog",
            "--dont-respawn",
            "--use-file",
        ]);
        process.arg(&self.configuration).arg("--pid").arg(pid("pid")).arg("--vrrp_pid").arg(pid("vrrp"));
        let same = log.try_clone().map_err(|e| e.to_string())?;
        process.stdin(Stdio::null()).stdout(log).stderr(same).process_group(0);
        self.child = Some(process.spawn().map_err(|e| format!("keepalived: {e}"))?);
        Ok(())
    }

    /// It and what it started.
    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().and_then(|c| i32::try_from(c.id()).ok()).and_then(Pid::from_raw);
        if let Some(group) = child {
            // an error: it is gone, which the states will tell
            let _ = kill_process_group(group, signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock(states: &States) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, (String, u64)>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many takeovers, milliseconds from the fault.
pub(super) fn measure(fault: Fault, interval_ms: u64, rounds: u32) -> Result<Vec<f64>, String> {
    wires::lay(&[1])?;
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let states = States::default();
    let mut routers = Vec::new();
    for (name, number, priority) in PRIORITIES {
        let mut router = Router::new(name, number, priority, interval_ms, directory.path(), &states)?;
        router.start()?;
        routers.push(router);
    }
    let mut samples = Vec::new();
    for _ in 0..rounds {
        let acting = steady(&states, interval_ms)?;
        std::thread::sleep(some_time(interval_ms));
        let Some(router) = routers.iter_mut().find(|r| r.name == acting) else {
            return Err("nobody acts".into());
        };
        let since = unix_us();
        match fault {
            Fault::Kill => router.kill(),
            Fault::Cut => wires::link(&router.host, false)?,
            Fault::Stop => router.signal(Signal::STOP),
        }
        let taken = wait("nobody took over", || {
            let states = lock(&states);
            let mut others = states.iter().filter(|(name, _)| **name != acting);
            others.find(|(_, (state, at))| state == "MASTER" && *at >= since).map(|(_, (_, at))| *at)
        })?;
        samples.push(taken.saturating_sub(since) as f64 / 1000.0);
        match fault {
            Fault::Kill => {
                lock(&states).remove(router.name);
                router.start()?;
            }
            Fault::Cut => wires::link(&router.host, true)?,
            Fault::Stop => router.signal(Signal::CONT),
        }
    }
    Ok(samples)
}

/// Who acts, when one does and the other stands by, and have for a while.
fn steady(states: &States, interval_ms: u64) -> Result<&'static str, String> {
    let since = Duration::from_millis(interval_ms * 10).max(Duration::from_millis(300));
    wait("no master and backup", || {
        let states = lock(states);
        let old = |at: u64| Duration::from_micros(unix_us().saturating_sub(at)) >= since;
        let of = |wanted: &str| {
            let mut found = states.iter().filter(|(_, (state, at))| state == wanted && old(*at));
            found.next().map(|(name, _)| *name)
        };
        let (master, backup) = (of("MASTER"), of("BACKUP"));
        master.filter(|_| backup.is_some())
    })
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> Result<T, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return Ok(found);
        }
        if Instant::now() >= until {
            return Err(format!("keepalived: {what} within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
}
