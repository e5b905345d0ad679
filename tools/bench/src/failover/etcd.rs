//! The peer's side: three etcd, from kill -9 of their leader until a write is taken again. A write that waits for a leader
//! that is gone does not end before long, so a new one is begun every few milliseconds, and the first to be answered counts.

use super::daemon::{Daemon, command, wait};
use super::{Conditions, Fault, some_time};
use duohuo_rig::hosts::wires::{self, Host};
use duohuo_rig::picture::unix_us;
use rustix::process::Signal;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const CONFIGURATION: &str = include_str!("../../peers/etcd.conf.yml");
const NAMES: [(&str, u8); 3] = [("e1", 11), ("e2", 12), ("e3", 13)];
/// The election time-out is so many heartbeats, as etcd recommends.
const ELECTION: u64 = 10;
const CLIENT_PORT: u16 = 2379;
const ANSWER: Duration = Duration::from_secs(10);
/// Between two writes that try.
const TRY_INTERVAL: Duration = Duration::from_millis(3);

/// Which version is here.
pub(super) fn version() -> Result<String, String> {
    let missing = "etcd is missing: apt-get install etcd-server";
    let output = command("etcd").arg("--version").output().map_err(|_| missing)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // etcd Version: 3.4.23
    Ok(said.split_whitespace().nth(2).unwrap_or("unknown").to_owned())
}

struct Member {
    host: Host,
    daemon: Option<Daemon>,
}

impl Member {
    fn start(&mut self, conditions: Conditions, directory: &Path) -> Result<(), String> {
        let heartbeat_ms = conditions.interval_ms;
        let name = &self.host.name;
        let cluster: Vec<String> =
            NAMES.iter().map(|(name, number)| format!("{name}=http://10.77.1.{number}:2380")).collect();
        let text = CONFIGURATION
            .replace("@NAME@", name)
            .replace("@DIRECTORY@", &directory.join(name).display().to_string())
            .replace("@HEARTBEAT@", &heartbeat_ms.to_string())
            .replace("@ELECTION@", &(heartbeat_ms * ELECTION).to_string())
            .replace("@ADDRESS@", &self.host.address().to_string())
            .replace("@CLUSTER@", &cluster.join(","));
        let path = directory.join(format!("{name}.yml"));
        std::fs::write(&path, text).map_err(|e| e.to_string())?;
        let log = std::fs::File::create(directory.join(format!("{name}.log"))).map_err(|e| e.to_string())?;
        let path = path.display().to_string();
        let words = ["etcd", "--config-file", &path];
        self.daemon = Some(Daemon::start(conditions, &self.host, &words, Stdio::null(), log.into())?);
        Ok(())
    }

    fn ask(&self, path: &str, body: &str) -> Option<String> {
        ask(self.host.address(), path, body)
    }

    /// Whether it leads.
    fn leads(&self) -> Option<bool> {
        let answer = self.ask("/v3/maintenance/status", "{}")?;
        let answer: serde_json::Value = serde_json::from_str(&answer).ok()?;
        Some(answer.get("leader")? == answer.get("header")?.get("member_id")?)
    }
}

/// One request to the JSON gateway; the body of an answer of 200.
fn ask(host: Ipv4Addr, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((host, CLIENT_PORT)), ANSWER).ok()?;
    stream.set_read_timeout(Some(ANSWER)).ok()?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
}

fn write_one(host: Ipv4Addr) -> bool {
    // key "k", value "v"
    ask(host, "/v3/kv/put", r#"{"key":"aw==","value":"dg=="}"#).is_some()
}

/// So many times, milliseconds from the fault to a write that was answered.
pub(super) fn measure(conditions: Conditions, fault: Fault, rounds: u32) -> Result<Vec<f64>, String> {
    let interval_ms = conditions.interval_ms;
    wires::lay(&[1])?;
    let directory = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut members = Vec::new();
    for (name, number) in NAMES {
        let host = Host { name: name.into(), room: 1, number };
        wires::plug_in(&host)?;
        members.push(Member { host, daemon: None });
    }
    for member in &mut members {
        member.start(conditions, directory.path())?;
    }
    let mut samples = Vec::new();
    for _ in 0..rounds {
        let leader = wait("etcd: three members, one leader, and writes", || {
            let leads: Option<Vec<bool>> = members.iter().map(Member::leads).collect();
            let leader = leads?.iter().position(|leads| *leads)?;
            members.iter().all(|m| write_one(m.host.address())).then_some(leader)
        })?;
        std::thread::sleep(Duration::from_millis(interval_ms * ELECTION) + some_time(interval_ms));
        let others: Vec<Ipv4Addr> =
            members.iter().enumerate().filter(|(i, _)| *i != leader).map(|(_, m)| m.host.address()).collect();
        let Some(member) = members.get_mut(leader) else { continue };
        let since = unix_us();
        match fault {
            Fault::Kill => member.daemon = None,
            Fault::Cut => wires::link(&member.host, false)?,
            Fault::Stop => member.daemon.iter().for_each(|d| d.signal(Signal::STOP)),
        }
        samples.push(first_write(&others, since)?);
        match fault {
            Fault::Kill => member.start(conditions, directory.path())?,
            Fault::Cut => wires::link(&member.host, true)?,
            Fault::Stop => member.daemon.iter().for_each(|d| d.signal(Signal::CONT)),
        }
    }
    Ok(samples)
}

/// Milliseconds until one of many writes is answered.
fn first_write(others: &[Ipv4Addr], since: u64) -> Result<f64, String> {
    let done = Arc::new(AtomicU64::new(u64::MAX));
    let mut turn = others.iter().cycle();
    wait("etcd: no write was taken", || {
        let first = done.load(Ordering::Relaxed);
        if first != u64::MAX {
            return Some(first);
        }
        let (host, done) = (*turn.next()?, Arc::clone(&done));
        std::thread::spawn(move || {
            if write_one(host) {
                done.fetch_min(unix_us(), Ordering::Relaxed);
            }
        });
        std::thread::sleep(TRY_INTERVAL);
        None
    })
    .map(|at| at.saturating_sub(since) as f64 / 1000.0)
}
