//! `[vip]` beside the embedded chain: a node with the right to no address lends its lease (spec/behaviour.md 15) to the process
//! that has it, `duohuo-vip`, which asks at a socket whether this node acts and until when. With hooks the socket is theirs.

use crate::config::{ConfigError, beside, in_range};
use crate::error::DriverError;
use crate::hooks::words::{self, Answer, Lease};
use crate::socket::{Admitted, Question, Socket};
use duohuo_core::config::Timers;
use duohuo_core::io::{Machine, Output};
use duohuo_core::lease::LeaseTerms;
use duohuo_core::outside::{OutsideConfig, Report};
use duohuo_core::{Duration, Instant};
use mio::{Registry, Token, Waker};
use serde::Deserialize;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What is taken where the file says nothing; `config_keys` tells the same.
pub(crate) const SOCKET: &str = "vip.sock";
pub(crate) const LEASE_MS: u64 = 3_000;
pub(crate) const MARGIN_MS: u64 = 500;
pub(crate) const DRIFT_PPM: u32 = 1_000;
const SPAN_MS: RangeInclusive<u64> = 50..=600_000;

/// The table as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct VipFile {
    address: Option<String>,
    interface: Option<String>,
    socket: Option<PathBuf>,
    lease_ms: Option<u64>,
    margin_ms: Option<u64>,
    drift_ppm: Option<u32>,
}

/// What `[vip]` asks of a node whose chain is embedded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VipSettings {
    /// Where its holder asks.
    pub socket: PathBuf,
    /// How long the address may be held without another word.
    pub lease: LeaseTerms,
}

impl VipFile {
    /// `None`: there is none, or it asks at the socket of the hooks. `hooks`: whether there are any, and their socket.
    pub(crate) fn check(
        self,
        path: &Path,
        hooks: Option<Option<&Path>>,
        timers: &Timers,
    ) -> Result<Option<VipSettings>, ConfigError> {
        let wrong = |key: &str, what: String, expected: &str, advice: &str| {
            ConfigError::new(path, format!("`vip.{key}`"), what, expected, advice)
        };
        let advice = "correct it; duohuo-vip reads the same table";
        let (Some(address), Some(interface)) = (&self.address, &self.interface) else {
            let there = [self.address.is_some(), self.interface.is_some()];
            if there == [false, false] {
                return Ok(None);
            }
            let key = if self.address.is_none() { "address" } else { "interface" };
            return Err(wrong(key, "not there".into(), "address and interface, or neither", advice));
        };
        if !is_address(address) {
            let expected = "an IPv4 address and its prefix, as 10.0.0.9/24";
            return Err(wrong("address", format!("{address:?}"), expected, advice));
        }
        if interface.is_empty() || interface.len() > 15 || interface.contains(['/', ' ']) {
            return Err(wrong("interface", format!("{interface:?}"), "an interface, as eth0", advice));
        }
        if let Some(socket) = hooks {
            let own = [
                ("socket", self.socket.is_some()),
                ("lease_ms", self.lease_ms.is_some()),
                ("margin_ms", self.margin_ms.is_some()),
                ("drift_ppm", self.drift_ppm.is_some()),
            ];
            if let Some((key, _)) = own.into_iter().find(|(_, there)| *there) {
                let what = "there, but `chain` is \"hooks\"".to_owned();
                return Err(wrong(
                    key,
                    what,
                    &format!("hooks.{key}, which serves both"),
                    "move it to [hooks]",
                ));
            }
            if socket.is_none() {
                let (what, expected) = ("not there, but [vip] is", "a socket, at which duohuo-vip asks too");
                return Err(ConfigError::new(path, "`hooks.socket`", what, expected, "add it"));
            }
            return Ok(None);
        }
        let ms = |key: &str, value: Option<u64>, default: u64| {
            in_range(path, &format!("vip.{key}"), value.unwrap_or(default), &SPAN_MS)
        };
        let lease = LeaseTerms {
            span: ms("lease_ms", self.lease_ms, LEASE_MS)?,
            margin: ms("margin_ms", self.margin_ms, MARGIN_MS)?,
            drift_ppm: self.drift_ppm.unwrap_or(DRIFT_PPM).min(1_000_000),
        };
        // A request is a quarter of this old when the next one goes out; the death of a member must end nothing (B-HOOK-5).
        let held = lease.span.saturating_sub(lease.margin) * 3 / 4;
        if held <= timers.dead_interval {
            return Err(wrong(
                "lease_ms",
                format!("three quarters of lease_ms - margin_ms are {}", held.as_millis()),
                &format!(
                    "more than {}, after which a member that died is removed",
                    timers.dead_interval.as_millis()
                ),
                "raise lease_ms, the same on all nodes of the cluster",
            ));
        }
        let socket = self.socket.unwrap_or_else(|| SOCKET.into());
        Ok(Some(VipSettings { socket: beside(path, &socket), lease }))
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, prefix)| {
        address.parse::<Ipv4Addr>().is_ok() && prefix.parse::<u8>().is_ok_and(|prefix| prefix <= 32)
    })
}

impl VipSettings {
    /// What the machine is told of it.
    #[must_use]
    pub const fn outside(&self) -> OutsideConfig {
        OutsideConfig { lease: self.lease, has_copy: false, has_cover: false }
    }
}

/// The one question.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    State {},
}

impl Question for Request {
    fn read(line: &[u8]) -> Result<Self, Answer> {
        words::read(line)
    }
}

/// Told to end, and until when it is waited that the holder has.
#[derive(Clone, Copy)]
struct Ending {
    until: Instant,
    /// The holder was answered that this node does not act: it gives the address up before it asks again.
    is_heard: bool,
}

/// The loop's side of it.
pub(crate) struct Vip {
    socket: Socket<Request>,
    margin: Duration,
    lease: Option<Lease>,
    /// A holder was told under this lease that the node acts.
    is_held: bool,
    ending: Option<Ending>,
}

impl std::fmt::Debug for Vip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vip").field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl Vip {
    pub(crate) fn listen(
        registry: &Registry,
        token: Token,
        settings: &VipSettings,
    ) -> Result<Self, DriverError> {
        let waker = Waker::new(registry, token).map_err(|e| DriverError::system("eventfd", e))?;
        let path = &settings.socket;
        let wrong = |source| DriverError::LocalSocket { path: path.clone(), key: "vip.socket", source };
        let socket = Socket::listen(path, waker, Admitted::default(), None).map_err(wrong)?;
        Ok(Self { socket, margin: settings.lease.margin, lease: None, is_held: false, ending: None })
    }

    /// How long an orderly end may take.
    pub(crate) const fn margin(&self) -> Duration {
        self.margin
    }

    pub(crate) const fn lease(&self) -> Option<Lease> {
        self.lease
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.ending.map(|ending| ending.until)
    }

    /// Answer what was asked, and see whether what was to end has.
    pub(crate) fn run(&mut self, machine: &dyn Machine, now: Instant) -> Option<Report> {
        let mut has_ended = false;
        while let Some(asked) = self.socket.next() {
            if let Some(ending) = &mut self.ending {
                has_ended |= core::mem::replace(&mut ending.is_heard, true);
            }
            self.is_held |= self.lease.is_some_and(|lease| now < lease.stop_at);
            // an error: whoever asked is gone
            let _ = asked.reply.try_send(words::state(machine, self.lease, now));
        }
        has_ended |= self.ending.is_some_and(|ending| now >= ending.until);
        if !has_ended {
            return None;
        }
        self.ending = None;
        Some(Report::Stopped)
    }

    /// What the machine wants; what is to be reported at once.
    pub(crate) fn carry_out(&mut self, output: &Output) -> Option<Report> {
        match output {
            Output::Act { epoch, stop_at, until } => {
                self.ending = None;
                self.lease = Some(Lease { epoch: *epoch, stop_at: *stop_at, until: *until });
            }
            Output::StopActing if self.ending.is_some() => {}
            Output::StopActing => {
                let lease = self.lease.take();
                let until = lease.filter(|_| core::mem::take(&mut self.is_held)).map(|lease| lease.until);
                // Nobody was told that it may have the address: nobody has it.
                let Some(until) = until else { return Some(Report::Stopped) };
                self.ending = Some(Ending { until, is_heard: false });
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::Epoch;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixStream;

    struct Node;

    impl Machine for Node {
        fn handle(&mut self, _: Instant, _: duohuo_core::io::Input) {}
        fn poll_output(&mut self) -> Option<Output> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
    }

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn timers() -> Timers {
        Timers::for_keepalive(Duration::from_millis(100))
    }

    fn vip() -> (tempfile::TempDir, mio::Poll, Vip, UnixStream) {
        let directory = tempfile::tempdir().expect("directory");
        let poll = mio::Poll::new().expect("poll");
        let lease =
            LeaseTerms { span: Duration::from_secs(3), margin: Duration::from_millis(500), drift_ppm: 0 };
        let settings = VipSettings { socket: directory.path().join(SOCKET), lease };
        let vip = Vip::listen(poll.registry(), Token(1), &settings).expect("bound");
        let holder = UnixStream::connect(&settings.socket).expect("connected");
        (directory, poll, vip, holder)
    }

    /// The holder asks; what it is answered, and what the loop reports to the machine.
    fn asks(vip: &mut Vip, holder: &UnixStream, now: Instant) -> (String, Option<Report>) {
        let mut writer = holder;
        writer.write_all(b"{\"do\":\"state\"}\n").expect("written");
        let reader = holder.try_clone().expect("cloned");
        let answered = std::thread::spawn(move || {
            let mut line = String::new();
            BufReader::new(reader).read_line(&mut line).expect("an answer");
            line
        });
        let mut report = None;
        while !answered.is_finished() {
            report = report.or(vip.run(&Node, now));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        (answered.join().expect("read"), report)
    }

    fn act(until_ms: u64) -> Output {
        Output::Act { epoch: Epoch(2), stop_at: ms(until_ms - 500), until: ms(until_ms) }
    }

    #[test]
    fn what_was_lent_has_ended_when_the_holder_asks_again_after_it_was_told() {
        let (_directory, _poll, mut vip, holder) = vip();
        assert!(vip.carry_out(&act(3_000)).is_none());
        let (told, _) = asks(&mut vip, &holder, ms(10));
        assert!(told.contains("\"acting\":true,\"stop_at_ns\":2500000000"), "{told}");
        assert!(vip.carry_out(&Output::StopActing).is_none());
        let (told, report) = asks(&mut vip, &holder, ms(20));
        assert!(told.contains("\"acting\":false") && report.is_none(), "it hears it only now: {told}");
        let (_, report) = asks(&mut vip, &holder, ms(70));
        assert!(matches!(report, Some(Report::Stopped)), "it has done what it heard");
    }

    #[test]
    fn a_holder_that_is_silent_is_waited_for_until_the_lease_is_over_and_nobody_is_if_nobody_was_told() {
        let (_directory, _poll, mut vip, holder) = vip();
        vip.carry_out(&act(3_000));
        assert!(matches!(vip.carry_out(&Output::StopActing), Some(Report::Stopped)));
        vip.carry_out(&act(4_000));
        asks(&mut vip, &holder, ms(10));
        assert!(vip.carry_out(&Output::StopActing).is_none());
        assert_eq!(vip.poll_timeout(), Some(ms(4_000)));
        assert!(vip.run(&Node, ms(3_999)).is_none());
        assert!(matches!(vip.run(&Node, ms(4_000)), Some(Report::Stopped)));
        assert!(vip.run(&Node, ms(5_000)).is_none(), "once");
    }

    #[test]
    fn what_the_table_says_is_checked() {
        let path = Path::new("/etc/duohuo/node.toml");
        let read = |text: &str| toml::from_str::<VipFile>(text).expect("read");
        let check = |text: &str, hooks| read(text).check(path, hooks, &timers());
        let both = "address = \"10.0.0.9/24\"\ninterface = \"eth0\"\n";
        assert_eq!(check("", None).expect("none"), None);
        let found = check(both, None).expect("right").expect("there");
        assert_eq!(found.socket, Path::new("/etc/duohuo/vip.sock"));
        assert_eq!(
            check(both, Some(Some(Path::new("hooks.sock")))).expect("right"),
            None,
            "the hooks' socket"
        );
        for (text, hooks, key) in [
            ("address = \"10.0.0.9/24\"", None, "vip.interface"),
            ("interface = \"eth0\"", None, "vip.address"),
            ("address = \"10.0.0.9\"\ninterface = \"eth0\"", None, "vip.address"),
            ("address = \"10.0.0.9/33\"\ninterface = \"eth0\"", None, "vip.address"),
            ("address = \"10.0.0.9/24\"\ninterface = \"a/b\"", None, "vip.interface"),
            (both, Some(None), "hooks.socket"),
            (&format!("{both}lease_ms = 900"), None, "vip.lease_ms"),
            (&format!("{both}lease_ms = 10"), None, "vip.lease_ms"),
            (&format!("{both}lease_ms = 9000"), Some(Some(Path::new("x"))), "vip.lease_ms"),
        ] {
            let told = check(text, hooks).expect_err(text).to_string();
            assert!(told.contains(key), "{text}: {told}");
        }
    }
}
