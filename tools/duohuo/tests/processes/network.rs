//! A small network in a directory of its own: one cluster, an authority, and commands to look at it.

use serde_json::Value;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Generous: other tests share the machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(30);

/// The command, with nothing on standard input.
pub(crate) fn duohuo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duohuo"));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    duohuo().args(arguments).output().expect("the command starts")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Wait until `what` answers `Some`.
pub(crate) fn eventually<T>(name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(Instant::now() < until, "not within {} s: {name}", PATIENCE.as_secs());
        std::thread::sleep(PAUSE);
    }
}

/// A process of the network; killed when it is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
}

impl Process {
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn await_log(&self, line: &str) {
        eventually(&format!("{line:?} in {}:\n{}", self.log.display(), self.log()), || {
            self.log().contains(line).then_some(())
        });
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let name = format!("the end of the process that logs to {}", self.log.display());
        eventually(&name, || self.child.try_wait().expect("wait"))
    }

    /// Stop in good order: status 0.
    pub(crate) fn stop(mut self) {
        self.signal(rustix::process::Signal::TERM);
        let status = self.ended();
        assert_eq!(status.code(), Some(0), "{status} {:?}\n{}", status.signal(), self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Network {
    directory: TempDir,
    pub(crate) port: u16,
    block: u8,
}

/// Each network has addresses 127.`block`.x.x, so that tests do not meet.
static NEXT: AtomicU16 = AtomicU16::new(0);

impl Network {
    /// One cluster of `nodes` nodes, 101, 102 ..., each in a room of its own, the first of the highest priority.
    pub(crate) fn new(nodes: u8) -> Self {
        Self::of_clusters(1, nodes)
    }

    /// So many clusters A, B ... of `nodes` nodes: 101, 102 ..., 201 ...
    pub(crate) fn of_clusters(clusters: u8, nodes: u8) -> Self {
        let block = u8::try_from(60 + NEXT.fetch_add(1, Ordering::Relaxed) % 100).expect("in range");
        let port = free_port(block);
        let network = Self { directory: tempfile::tempdir().expect("a temporary directory"), port, block };
        let mut layout = format!("authority = \"{}\"\n", network.address(0));
        for (c, name) in (1..=clusters).zip('a'..) {
            let upper = name.to_ascii_uppercase();
            let _ =
                write!(layout, "[[cluster]]\nname = \"{upper}\"\ngroup = \"239.78.{block}.{c}:{port}\"\n");
            for n in 1..=nodes {
                let (priority, address) = (201 - n, network.address_in(c, n));
                let _ = write!(
                    layout,
                    "[[cluster.node]]\nname = \"{name}{n}\"\nroom = {n}\npriority = {priority}\naddress = \"{address}\"\n"
                );
            }
        }
        std::fs::write(network.path("layout.toml"), layout).expect("layout");
        let (directory, layout) = (network.file("net"), network.file("layout.toml"));
        let made = run(&[
            "keygen",
            "network",
            "--dir",
            &directory,
            "--layout",
            &layout,
            "--keepalive-interval-ms",
            "50",
        ]);
        assert!(made.status.success(), "{}", text(&made.stderr));
        network
    }

    /// 0: the authority.
    pub(crate) fn address(&self, n: u8) -> SocketAddr {
        self.address_in(1, n)
    }

    fn address_in(&self, cluster: u8, n: u8) -> SocketAddr {
        SocketAddr::from(([127, self.block, cluster, n + 1], self.port))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn node_file(&self, id: u32, name: &str) -> PathBuf {
        self.path(&format!("net/node-{id}/{name}"))
    }

    pub(crate) fn edit(&self, path: &Path, from: &str, to: &str) {
        let old = std::fs::read_to_string(path).expect("read");
        assert!(old.contains(from), "{from} is not in {}", path.display());
        std::fs::write(path, old.replacen(from, to, 1)).expect("write");
    }

    fn command(&self, kind: &str, directory: &str, arguments: &[&str]) -> Command {
        let mut command = duohuo();
        command.arg(kind).arg("--config").arg(self.path(&format!("net/{directory}/{kind}.toml")));
        command.args(arguments);
        command
    }

    fn spawn(&self, kind: &str, directory: &str, arguments: &[&str]) -> Process {
        let log = self.path(&format!("net/{directory}/log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("log");
        let child = self.command(kind, directory, arguments).stdout(Stdio::null()).stderr(file).spawn();
        Process { child: child.expect("it starts"), log }
    }

    pub(crate) fn authority(&self, arguments: &[&str]) -> Process {
        self.spawn("authority", "authority", arguments)
    }

    pub(crate) fn node(&self, id: u32, arguments: &[&str]) -> Process {
        self.spawn("node", &format!("node-{id}"), arguments)
    }

    /// Start a node that must refuse to start: its exit status and what it says, without time stamps and our directory.
    pub(crate) fn refusal(&self, id: u32, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command("node", &format!("node-{id}"), arguments).output().expect("it starts");
        (output.status.code(), self.told(&output.stderr))
    }

    pub(crate) fn told(&self, stderr: &[u8]) -> String {
        let directory = format!("{}/net/", self.directory.path().display());
        let lines = text(stderr).replace(&directory, "").replace("node-101/../", "");
        let lines = lines.lines().map(|line| line.split_once("ERROR ").map_or(line, |(_, said)| said));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Everybody, for the first time, until the cluster has its master and all are in sync.
    pub(crate) fn start(&self, nodes: &[u32]) -> (Process, Vec<Process>) {
        let authority = self.authority(&["--init"]);
        let nodes: Vec<_> = nodes.iter().map(|id| self.node(*id, &["--init"])).collect();
        eventually("all nodes in sync", || {
            let status = self.status();
            let in_sync =
                status.iter().filter(|n| n["state"] == "in sync" && n["role"] != Value::Null).count();
            let master = status.iter().any(|n| n["role"] == "MASTER");
            (master && in_sync == nodes.len()).then_some(())
        });
        (authority, nodes)
    }

    pub(crate) fn status_output(&self) -> Output {
        run(&["status", "--json", "--config", &self.file("net/client.toml")])
    }

    /// What everybody says of itself; empty while nobody can be asked.
    pub(crate) fn status(&self) -> Vec<Value> {
        let output = self.status_output();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        value["nodes"].as_array().cloned().unwrap_or_default()
    }

    pub(crate) fn status_of(&self, id: u32) -> Value {
        self.status().into_iter().find(|n| n["node"] == id).unwrap_or_default()
    }

    pub(crate) fn submit(&self, amount: u32, more: &[&str]) -> Output {
        let (config, amount) = (self.file("net/client.toml"), amount.to_string());
        let mut arguments =
            vec!["submit", "--config", &config, "--from", "1", "--to", "2", "--amount", &amount];
        arguments.extend(more);
        run(&arguments)
    }

    /// A transfer is committed.
    pub(crate) fn commit(&self) {
        let output = self.submit(1, &["--timeout", "30"]);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && out.contains("committed at height"), "{out}{err}");
    }
}

fn free_port(block: u8) -> u16 {
    let mut port = 20_000 + u16::try_from(std::process::id() % 10_000).expect("in range");
    loop {
        let free = (1..=5).all(|n| {
            let at = SocketAddr::from(([127, block, 1, n], port));
            UdpSocket::bind(at).is_ok() && TcpListener::bind(at).is_ok()
        });
        if free {
            return port;
        }
        port += 1;
    }
}
