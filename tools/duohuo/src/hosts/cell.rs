//! Where a scenario runs: network, mount and process namespaces of its own, so that nothing of it is left behind and nothing
//! else on the machine is touched. Without root, a user namespace in which we are.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// First argument of the process in the namespaces.
pub const INSIDE: &str = "--inside";
/// The commands that we use, and Debian's packages of them.
const COMMANDS: [(&str, &str); 6] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("nft", "nftables"),
];
/// What a scenario does first and may not be allowed: mounting, bridges, filters.
const PROBE: &str =
    "mount -t tmpfs probe /tmp && ip link add probe type bridge && nft add table netdev probe";
const PAUSE: Duration = Duration::from_millis(20);

/// How namespaces can be had here.
pub struct Cell {
    /// Of `unshare`, to become root first; none if we are.
    become_root: &'static [&'static str],
}

impl Cell {
    /// Find out; the error says what to do.
    pub fn permitted() -> Result<Self, String> {
        for (command, package) in COMMANDS {
            let found =
                command_named(command).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if found.is_err() {
                return Err(format!("the command {command} is missing: install the package {package}"));
            }
        }
        let mut refusals = Vec::new();
        for become_root in [&[][..], &["--user", "--map-root-user"]] {
            let cell = Self { become_root };
            let probe = cell.unshare().args(["sh", "-c", PROBE]).output();
            match probe {
                Ok(output) if output.status.success() => return Ok(cell),
                Ok(output) => refusals.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(e) => refusals.push(e.to_string()),
            }
        }
        Err(format!(
            "network namespaces cannot be made here: {}\nrun it as root; or allow them to users: sysctl -w kernel.unprivileged_userns_clone=1 (Debian), \
             sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), sysctl -w user.max_user_namespaces=10000; \
             in a container: give it CAP_SYS_ADMIN and CAP_NET_ADMIN, and no seccomp profile that forbids unshare",
            refusals.join("; ")
        ))
    }

    fn unshare(&self) -> Command {
        let mut command = command_named("unshare");
        command.args(self.become_root);
        command.args(["--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]);
        command
    }

    /// Run this program once more in there, with [`INSIDE`] and these arguments; its output is ours.
    ///
    /// # Errors
    /// It failed, or was not done in time, which ends it.
    pub fn run(&self, arguments: &[&str], keep: bool, timeout: Duration) -> Result<(), String> {
        let program = std::env::current_exe().map_err(|e| format!("where is this program: {e}"))?;
        let mut command = self.unshare();
        command.arg(program).arg(INSIDE).args(arguments).stdin(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("unshare: {e}"))?;
        // it ends when this end closes, however we end
        let _lifeline = child.stdin.take();
        if keep {
            self.tell_how_to_enter(child.id());
            return match child.wait() {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(status.to_string()),
                Err(e) => Err(e.to_string()),
            };
        }
        let until = Instant::now() + timeout;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(status.to_string()),
                Ok(None) if Instant::now() < until => std::thread::sleep(PAUSE),
                Ok(None) => {
                    // all that runs in there goes with it
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("not done within {} s", timeout.as_secs()));
                }
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    fn tell_how_to_enter(&self, unshare: u32) {
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let inside = std::iter::repeat_with(|| {
            std::thread::sleep(PAUSE);
            std::fs::read_to_string(&children).unwrap_or_default()
        });
        let inside = inside.take(50).find(|pids| !pids.trim().is_empty()).unwrap_or_default();
        let user = if self.become_root.is_empty() { "" } else { " --user --preserve-credentials" };
        println!(
            "     enter with: nsenter --target {}{user} --net --mount --pid\n     \
             then: ip netns list; tcpdump -ni room1; nsenter --net=/run/netns/A1 tcpdump -ni eth0",
            inside.trim()
        );
    }
}

/// Whether what runs is left for looking.
static KEPT: AtomicBool = AtomicBool::new(false);

/// Leave the network of the scenario when it is over.
pub fn keep() {
    KEPT.store(true, Ordering::Relaxed);
}

/// Whether it is to be left.
pub fn is_kept() -> bool {
    KEPT.load(Ordering::Relaxed)
}

/// First thing inside: a life no longer than our parent's, and a place for the names of namespaces.
pub fn prepare() -> Result<(), String> {
    std::thread::spawn(|| {
        // read until the end of who started us; all that runs in here goes with us
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    });
    run("ip", &["link", "set", "lo", "up"], "")?;
    // hides the host's names from us and ours from the host
    if std::fs::create_dir_all("/run/netns").is_ok() {
        return run("mount", &["-t", "tmpfs", "names", "/run/netns"], "");
    }
    run("mount", &["-t", "tmpfs", "run", "/run"], "")?;
    std::fs::create_dir_all("/run/netns").map_err(|e| format!("/run/netns: {e}"))
}

/// Until somebody ends us.
pub fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}

/// Also from where Debian keeps what only administrators need.
fn command_named(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Run a command to its end with this on its standard input; what it says if it fails.
pub fn run(command: &str, arguments: &[&str], input: &str) -> Result<(), String> {
    use std::io::Write as _;
    let failed = |why: &str| format!("{command} {}: {why}", arguments.join(" "));
    let mut child = command_named(command)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|e| failed(&e.to_string()))?;
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child.wait().map_err(|e| failed(&e.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(said.trim())) }
}
