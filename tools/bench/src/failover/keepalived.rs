//! The peer's side: two keepalived with VRRPv3 on one wire. The priorities are those at which it is fastest (its skew is
//! (256 - priority) / 256 of an interval).

use super::daemon::{Daemon, command, wait};
use super::{Conditions, Fault, some_time};
use duohuo_rig::hosts::cell;
use duohuo_rig::hosts::wires::{self, Host};
use duohuo_rig::picture::unix_us;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// With two places for what differs.
const CONFIGURATION: &str = include_str!("../../peers/keepalived.conf");
const PRIORITIES: [(&str, u8, u8); 2] = [("k1", 11, 254), ("k2", 12, 253)];

/// Which version is here.
pub(super) fn version() -> Result<String, String> {
    let missing = "keepalived is missing: apt-get install keepalived";
    let output = command("keepalived").arg("--version").output().map_err(|_| missing)?;
    // it says so on its standard error
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(said.split_whitespace().nth(1).unwrap_or("unknown").trim_end_matches(',').to_owned())
}

/// The last state that each told, and when.
type States = Arc<Mutex<BTreeMap<&'static str, (String, u64)>>>;

/// Of both.
fn pair(
    conditions: Conditions,
    directory: &Path,
    states: &States,
    switches: &Arc<AtomicU64>,
) -> Result<Vec<Router>, String> {
    wires::lay(&[1])?;
    let mut routers = Vec::new();
    for (name, number, priority) in PRIORITIES {
        let mut router = Router::new(name, number, priority, conditions, directory, states, switches)?;
        router.start()?;
        routers.push(router);
    }
    Ok(routers)
}

/// How often one of them takes over in so many seconds in which nothing happens to them.
pub(super) fn watch(conditions: Conditions, seconds: u64) -> Result<u64, String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (states, switches) = (States::default(), Arc::default());
    let _routers = pair(conditions, directory.path(), &states, &switches)?;
    steady(&states, conditions.interval_ms)?;
    let before = switches.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(switches.load(Ordering::Relaxed) - before)
}

/// One of the two.
struct Router {
    name: &'static str,
    host: Host,
    conditions: Conditions,
    configuration: PathBuf,
    daemon: Option<Daemon>,
}

impl Router {
    fn new(
        name: &'static str,
        number: u8,
        priority: u8,
        conditions: Conditions,
        directory: &Path,
        states: &States,
        switches: &Arc<AtomicU64>,
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
            .replace("@INTERVAL@", &format!("{:.2}", conditions.interval_ms as f64 / 1000.0));
        std::fs::write(&configuration, text).map_err(|e| e.to_string())?;
        // both ways, so that it has no end while nobody writes
        let lines =
            std::fs::OpenOptions::new().read(true).write(true).open(&fifo).map_err(|e| e.to_string())?;
        let (states, switches) = (Arc::clone(states), Arc::clone(switches));
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                let now = unix_us();
                // INSTANCE "VI" MASTER 254
                if let Some(state) = line.split_whitespace().nth(2) {
                    switches.fetch_add(u64::from(state == "MASTER"), Ordering::Relaxed);
                    lock(&states).insert(name, (state.to_owned(), now));
                }
            }
        });
        Ok(Self { name, host, conditions, configuration, daemon: None })
    }

    fn start(&mut self) -> Result<(), String> {
        let path = |of: &str| self.configuration.with_extension(of).display().to_string();
        let (configuration, pid, vrrp) = (path("conf"), path("pid"), path("vrrp"));
        for left in [&pid, &vrrp] {
            // One that was killed leaves them, and its child is a zombie until this namespace ends: "already running".
            let _ = std::fs::remove_file(left);
        }
        let log = std::fs::File::create(path("log")).map_err(|e| e.to_string())?;
        let same = log.try_clone().map_err(|e| e.to_string())?;
        let words = [
            "keepalived",
            "--dont-fork",
            "--vrrp",
            "--log-console",
            "--no-syslog",
            "--dont-respawn",
            "--use-file",
            &configuration,
            "--pid",
            &pid,
            "--vrrp_pid",
            &vrrp,
        ];
        self.daemon = Some(Daemon::start(self.conditions, &self.host, &words, log.into(), same.into())?);
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        self.daemon.iter().for_each(|daemon| daemon.signal(signal));
    }
}

fn lock(states: &States) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, (String, u64)>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many takeovers, milliseconds from the fault.
pub(super) fn measure(conditions: Conditions, fault: Fault, rounds: u32) -> Result<Vec<f64>, String> {
    let interval_ms = conditions.interval_ms;
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let states = States::default();
    let mut routers = pair(conditions, directory.path(), &states, &Arc::default())?;
    let mut samples = Vec::new();
    for _ in 0..rounds {
        let acting = steady(&states, interval_ms)?;
        std::thread::sleep(some_time(interval_ms));
        let Some(router) = routers.iter_mut().find(|r| r.name == acting) else {
            return Err("nobody acts".into());
        };
        let since = unix_us();
        match fault {
            Fault::Kill => router.daemon = None,
            Fault::Cut => wires::link(&router.host, false)?,
            Fault::Stop => router.signal(Signal::STOP),
        }
        let taken = wait("keepalived: nobody took over", || {
            let states = lock(&states);
            let mut others = states.iter().filter(|(name, _)| **name != acting);
            others.find(|(_, (state, at))| state == "MASTER" && *at >= since).map(|(_, (_, at))| *at)
        })?;
        samples.push(taken.saturating_sub(since) as f64 / 1000.0);
        match fault {
            // One that goes on after a stop may never stand by again: both say that they are master.
            Fault::Kill | Fault::Stop => {
                router.daemon = None;
                lock(&states).remove(router.name);
                router.start()?;
            }
            Fault::Cut => wires::link(&router.host, true)?,
        }
    }
    Ok(samples)
}

/// Who acts, when one does and the other stands by, and have for a while.
fn steady(states: &States, interval_ms: u64) -> Result<&'static str, String> {
    let since = Duration::from_millis(interval_ms * 10).max(Duration::from_millis(300));
    wait("keepalived: no master and backup", || {
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
