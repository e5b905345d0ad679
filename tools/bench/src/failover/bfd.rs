//! The peer's side: two FRR bfdd that watch each other. BFD only detects: whoever would act on it comes later still.

use super::daemon::{Daemon, command, wait};
use super::{Conditions, Fault, some_time};
use duohuo_rig::hosts::wires::{self, Host};
use duohuo_rig::picture::unix_us;
use rustix::process::Signal;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const CONFIGURATION: &str = include_str!("../../peers/bfdd.conf");

/// Which version is here.
pub(super) fn version() -> Result<String, String> {
    let missing = "FRR's bfdd is missing: apt-get install frr";
    let output = command("bfdd").arg("--version").output().map_err(|_| missing)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // bfdd version 8.4.4
    Ok(said.split_whitespace().nth(2).unwrap_or("unknown").to_owned())
}

/// The last state of a session that an end told, and when.
type State = Arc<Mutex<(String, u64)>>;

struct End {
    host: Host,
    other: Host,
    state: State,
    /// How often its session went down.
    downs: Arc<AtomicU64>,
    conditions: Conditions,
    daemon: Option<Daemon>,
}

impl End {
    fn start(&mut self, directory: &Path) -> Result<(), String> {
        let at = directory.join(&self.host.name);
        std::fs::create_dir_all(&at).map_err(|e| e.to_string())?;
        // it gives up root
        std::fs::set_permissions(&at, Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
        let text = CONFIGURATION
            .replace("@PEER@", &self.other.address().to_string())
            .replace("@INTERVAL@", &self.conditions.interval_ms.to_string());
        let path = |name: &str| at.join(name).display().to_string();
        for left in ["bfdd.pid", "bfdd.sock", "bfdd.vty"] {
            // of one that was killed
            let _ = std::fs::remove_file(at.join(left));
        }
        std::fs::write(path("bfdd.conf"), text).map_err(|e| e.to_string())?;
        let (conf, pid, zebra, control) =
            (path("bfdd.conf"), path("bfdd.pid"), path("zebra"), path("bfdd.sock"));
        let directory = at.display().to_string();
        let words = [
            "bfdd",
            "-u",
            "frr",
            "-g",
            "frr",
            "-f",
            &conf,
            "-i",
            &pid,
            "-z",
            &zebra,
            "--vty_socket",
            &directory,
            "--bfdctl",
            &control,
            "-P",
            "0",
        ];
        let log = std::fs::File::create(at.join("log")).map_err(|e| e.to_string())?;
        let mut daemon = Daemon::start(self.conditions, &self.host, &words, Stdio::piped(), log.into())?;
        *lock(&self.state) = (String::new(), 0);
        let (state, downs, output) = (Arc::clone(&self.state), Arc::clone(&self.downs), daemon.output());
        std::thread::spawn(move || {
            for line in BufReader::new(output?).lines().map_while(Result::ok) {
                let now = unix_us();
                // state-change: [mhop:no peer:10.77.1.12 local:0.0.0.0 vrf:default] up -> down reason:control-expired
                if let Some((_, to)) =
                    line.split_once("state-change:").and_then(|(_, l)| l.split_once(" -> "))
                {
                    let to = to.split_whitespace().next().unwrap_or_default();
                    downs.fetch_add(u64::from(to == "down"), Ordering::Relaxed);
                    *lock(&state) = (to.to_owned(), now);
                }
            }
            Some(())
        });
        self.daemon = Some(daemon);
        Ok(())
    }
}

fn lock(state: &State) -> std::sync::MutexGuard<'_, (String, u64)> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Both ends, with a session.
fn pair(conditions: Conditions, directory: &Path) -> Result<Vec<End>, String> {
    wires::lay(&[1])?;
    std::fs::set_permissions(directory, Permissions::from_mode(0o755)).map_err(|e| e.to_string())?;
    let [one, two] =
        [("b1", 11), ("b2", 12)].map(|(name, number)| Host { name: name.into(), room: 1, number });
    let mut ends = Vec::new();
    for (host, other) in [(one.clone(), two.clone()), (two, one)] {
        wires::plug_in(&host)?;
        let (state, downs) = Default::default();
        ends.push(End { host, other, state, downs, conditions, daemon: None });
    }
    for end in &mut ends {
        end.start(directory)?;
    }
    Ok(ends)
}

/// Until both say that the session is up, and have for a while.
fn steady(ends: &[End], interval_ms: u64) -> Result<(), String> {
    let steady = Duration::from_millis(interval_ms * 10).max(Duration::from_millis(300));
    wait("bfdd: no session that stays up", || {
        let since = unix_us().saturating_sub(u64::try_from(steady.as_micros()).unwrap_or(u64::MAX));
        let is_up = |end: &End| matches!(&*lock(&end.state), (state, at) if state == "up" && *at <= since);
        ends.iter().all(is_up).then_some(())
    })
}

/// How often the session goes down in so many seconds in which nothing happens to it.
pub(super) fn watch(conditions: Conditions, seconds: u64) -> Result<u64, String> {
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let ends = pair(conditions, directory.path())?;
    steady(&ends, conditions.interval_ms)?;
    let downs = || ends.iter().map(|end| end.downs.load(Ordering::Relaxed)).max().unwrap_or(0);
    let before = downs();
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(downs() - before)
}

/// So many detections, milliseconds from the fault: what one end says of the other.
pub(super) fn measure(conditions: Conditions, fault: Fault, rounds: u32) -> Result<Vec<f64>, String> {
    let interval_ms = conditions.interval_ms;
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut ends = pair(conditions, directory.path())?;
    let mut samples = Vec::new();
    for round in 0..rounds {
        steady(&ends, interval_ms)?;
        std::thread::sleep(some_time(interval_ms));
        if round % 2 == 1 {
            ends.reverse();
        }
        let Some((victim, [watcher])) = ends.split_first_mut() else { return Err("two ends".into()) };
        let since = unix_us();
        match fault {
            Fault::Kill => victim.daemon = None,
            Fault::Cut => wires::link(&victim.host, false)?,
            Fault::Stop => victim.daemon.iter().for_each(|d| d.signal(Signal::STOP)),
        }
        let down = wait("bfdd: the other end noticed nothing", || {
            let state = lock(&watcher.state);
            (state.0 == "down" && state.1 >= since).then_some(state.1)
        })?;
        samples.push(down.saturating_sub(since) as f64 / 1000.0);
        match fault {
            Fault::Kill => victim.start(directory.path())?,
            Fault::Cut => wires::link(&victim.host, true)?,
            Fault::Stop => victim.daemon.iter().for_each(|d| d.signal(Signal::CONT)),
        }
    }
    Ok(samples)
}
