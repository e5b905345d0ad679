//! `[hooks]` of a node's configuration: programs, limits, and the terms of the lease, checked together.

use crate::config::{ConfigError, beside};
use duohuo_core::Duration;
use duohuo_core::config::Timers;
use duohuo_core::lease::LeaseTerms;
use duohuo_core::outside::{OutsideConfig, Program};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The table as it is written.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HooksFile {
    name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Kind,
    #[serde(default)]
    notify: Vec<String>,
    #[serde(default)]
    promote: Vec<String>,
    #[serde(default)]
    demote: Vec<String>,
    #[serde(default)]
    kill: Vec<String>,
    #[serde(default)]
    health: Vec<String>,
    #[serde(default)]
    sync: Vec<String>,
    #[serde(default)]
    cover: Vec<String>,
    #[serde(default)]
    follow: Vec<String>,
    fifo: Option<PathBuf>,
    socket: Option<PathBuf>,
    lease_ms: Option<u64>,
    margin_ms: Option<u64>,
    drift_ppm: Option<u32>,
    promote_limit_ms: Option<u64>,
    demote_limit_ms: Option<u64>,
    kill_limit_ms: Option<u64>,
    check_limit_ms: Option<u64>,
    follow_limit_ms: Option<u64>,
    check_interval_ms: Option<u64>,
    health_weight: Option<u8>,
    health_fall: Option<u32>,
    health_rise: Option<u32>,
}

/// keepalived's first argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Kind {
    /// One instance.
    #[default]
    Instance,
    /// A sync group.
    Group,
}

impl Kind {
    /// The word itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Instance => "INSTANCE",
            Self::Group => "GROUP",
        }
    }
}

/// What `[hooks]` says, checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HooksSettings {
    /// What the programs are given as the instance's name.
    pub name: String,
    /// As what.
    pub kind: Kind,
    /// Program and first arguments, in the order of [`Program`]. Empty: none.
    pub programs: [Vec<String>; 7],
    /// Where a line is written at each change of state.
    pub fifo: Option<PathBuf>,
    /// Where the service may speak to the node.
    pub socket: Option<PathBuf>,
    /// From the sending of a request to the moment by which what acts has ended.
    pub lease_ms: u64,
    /// At the end of it: in which it is made to end.
    pub margin_ms: u64,
    /// How much faster one node's clock may run than another's, parts per million.
    pub drift_ppm: u32,
    /// How long each program may take, in the order of [`Program`].
    pub limits_ms: [u64; 7],
    /// Between two checks of health, and of the copy.
    pub check_interval_ms: u64,
    /// What failing health takes off the priority; 0: the node is unfit.
    pub health_weight: u8,
    /// So many failures in a row until it is unwell.
    pub health_fall: u32,
    /// So many successes in a row until it is well again.
    pub health_rise: u32,
}

/// The keys of the programs, in the order of [`Program`].
const KEYS: [&str; 7] = ["promote", "demote", "kill", "health", "sync", "cover", "follow"];

/// Beside the programs: a turn of the keeper's own, and the burial of what was killed.
pub const SLACK_MS: u64 = 200;

/// What is taken where the file says nothing; `config_keys` tells the same.
pub(crate) mod default {
    pub(crate) const LEASE_MS: u64 = 6_000;
    pub(crate) const MARGIN_MS: u64 = 3_000;
    pub(crate) const DRIFT_PPM: u32 = 1_000;
    pub(crate) const PROMOTE_LIMIT_MS: u64 = 30_000;
    pub(crate) const DEMOTE_LIMIT_MS: u64 = 1_500;
    pub(crate) const KILL_LIMIT_MS: u64 = 1_000;
    pub(crate) const CHECK_LIMIT_MS: u64 = 2_000;
    pub(crate) const FOLLOW_LIMIT_MS: u64 = 600_000;
    pub(crate) const CHECK_INTERVAL_MS: u64 = 1_000;
    pub(crate) const HEALTH_WEIGHT: u8 = 0;
    pub(crate) const HEALTH_FALL: u32 = 3;
    pub(crate) const HEALTH_RISE: u32 = 2;
}

fn index(program: Program) -> usize {
    program as usize - 1
}

impl HooksSettings {
    /// The program's command; empty if there is none.
    #[must_use]
    pub fn command(&self, program: Program) -> &[String] {
        self.programs.get(index(program)).map_or(&[], Vec::as_slice)
    }

    /// Whether the operator named it.
    #[must_use]
    pub fn has(&self, program: Program) -> bool {
        !self.command(program).is_empty()
    }

    /// How long it may take.
    #[must_use]
    pub fn limit(&self, program: Program) -> Duration {
        Duration::from_millis(self.limits_ms.get(index(program)).copied().unwrap_or(0))
    }

    /// The lease.
    #[must_use]
    pub fn lease(&self) -> LeaseTerms {
        let ms = Duration::from_millis;
        LeaseTerms { span: ms(self.lease_ms), margin: ms(self.margin_ms), drift_ppm: self.drift_ppm }
    }

    /// What the machine is told of it.
    #[must_use]
    pub fn outside(&self) -> OutsideConfig {
        OutsideConfig {
            lease: self.lease(),
            has_copy: self.has(Program::Sync),
            has_cover: self.has(Program::Cover),
        }
    }

    /// `cluster`: the name where the file has none.
    pub(crate) fn check(
        path: &Path,
        file: HooksFile,
        cluster: &str,
        timers: &Timers,
    ) -> Result<Self, ConfigError> {
        let wrong = Wrong(path);
        let name = checked_name(wrong, file.name.unwrap_or_else(|| cluster.into()))?;
        let or_notify = |own: Vec<String>| if own.is_empty() { file.notify.clone() } else { own };
        let (promote, demote) = (or_notify(file.promote), or_notify(file.demote));
        let programs = [promote, demote, file.kill, file.health, file.sync, file.cover, file.follow];
        for (program, key) in programs.iter().zip(KEYS) {
            check_program(program, matches!(key, "promote" | "demote")).map_err(|(what, expected)| {
                wrong.of(key, what, expected, "correct the path, or its owner and mode (chmod go-w)")
            })?;
        }
        let ms = |key: &str, value: Option<u64>, default: u64, least: u64, most: u64| {
            wrong.unless_within(key, value.unwrap_or(default), least, most)
        };
        let check_limit = ms("check_limit_ms", file.check_limit_ms, default::CHECK_LIMIT_MS, 10, 600_000)?;
        let settings = Self {
            name,
            kind: file.kind,
            programs,
            fifo: file.fifo.map(|fifo| beside(path, &fifo)),
            socket: file.socket.map(|socket| beside(path, &socket)),
            lease_ms: ms("lease_ms", file.lease_ms, default::LEASE_MS, 200, 600_000)?,
            margin_ms: ms("margin_ms", file.margin_ms, default::MARGIN_MS, 50, 600_000)?,
            drift_ppm: file.drift_ppm.unwrap_or(default::DRIFT_PPM),
            limits_ms: [
                ms("promote_limit_ms", file.promote_limit_ms, default::PROMOTE_LIMIT_MS, 10, 3_600_000)?,
                ms("demote_limit_ms", file.demote_limit_ms, default::DEMOTE_LIMIT_MS, 10, 600_000)?,
                ms("kill_limit_ms", file.kill_limit_ms, default::KILL_LIMIT_MS, 10, 600_000)?,
                check_limit,
                check_limit,
                check_limit,
                ms("follow_limit_ms", file.follow_limit_ms, default::FOLLOW_LIMIT_MS, 10, 86_400_000)?,
            ],
            check_interval_ms: ms(
                "check_interval_ms",
                file.check_interval_ms,
                default::CHECK_INTERVAL_MS,
                10,
                600_000,
            )?,
            health_weight: file.health_weight.unwrap_or(default::HEALTH_WEIGHT),
            health_fall: checked_count(wrong, "health_fall", file.health_fall, default::HEALTH_FALL)?,
            health_rise: checked_count(wrong, "health_rise", file.health_rise, default::HEALTH_RISE)?,
        };
        settings.check_drift(wrong)?;
        settings.check_relations(wrong, timers)?;
        Ok(settings)
    }

    fn check_drift(&self, wrong: Wrong<'_>) -> Result<(), ConfigError> {
        if self.drift_ppm <= 1_000_000 {
            return Ok(());
        }
        Err(wrong.of(
            "drift_ppm",
            format!("{} is out of range", self.drift_ppm),
            "0..=1000000 (parts per million)",
            "leave it out for the default, or use twice what the worst clock is wrong by",
        ))
    }

    /// What one key alone cannot tell (B-HOOK-5).
    fn check_relations(&self, wrong: Wrong<'_>, timers: &Timers) -> Result<(), ConfigError> {
        let raise = "raise lease_ms, the same on all nodes of the cluster";
        let (lease, margin) = (self.lease_ms, self.margin_ms);
        if margin >= lease {
            return Err(wrong.of(
                "margin_ms",
                format!("{margin} is not below lease_ms = {lease}"),
                "a margin shorter than the lease",
                raise,
            ));
        }
        let [_, demote, kill, ..] = self.limits_ms;
        let ending = if self.has(Program::Kill) { demote + kill } else { demote };
        if ending + SLACK_MS > margin {
            let sum =
                if self.has(Program::Kill) { "demote_limit_ms + kill_limit_ms" } else { "demote_limit_ms" };
            return Err(wrong.of(
                "demote_limit_ms",
                format!("{sum} + {SLACK_MS} = {} is above margin_ms = {margin}", ending + SLACK_MS),
                "what ends it within the margin, so that it has ended before the lease is over",
                "raise margin_ms and lease_ms, the same on all nodes of the cluster, or lower the limits",
            ));
        }
        let dead = u64::try_from(timers.dead_interval.as_millis()).unwrap_or(u64::MAX);
        // A request is a quarter of this old when the next one goes out.
        let held = (lease - margin) / 4 * 3;
        if held <= dead {
            return Err(wrong.of(
                "lease_ms",
                format!(
                    "three quarters of lease_ms - margin_ms are {held}, and a member that died is removed after {dead} \
                     (the dead interval): each such death would end what acts"
                ),
                format!("lease_ms above margin_ms + {}", dead.saturating_mul(4) / 3 + 4),
                raise,
            ));
        }
        Ok(())
    }

    /// What is allowed and may still not be meant.
    #[must_use]
    pub fn warnings(&self, timers: &Timers) -> Vec<String> {
        let mut all = Vec::new();
        if !self.has(Program::Kill) {
            all.push(
                "hooks.kill is not there: if demote fails or hangs, nothing else ends what acts before its lease is over"
                    .into(),
            );
        }
        if self.has(Program::Cover) && !self.has(Program::Sync) {
            all.push("hooks.cover without hooks.sync: a copy counts as in step before it is".into());
        }
        let sync = u64::try_from(timers.sync_interval.as_millis()).unwrap_or(u64::MAX);
        if (self.lease_ms - self.margin_ms) / 4 * 3 <= sync {
            all.push(format!(
                "three quarters of hooks.lease_ms - hooks.margin_ms are not above the sync interval ({sync} ms): a member that \
                 is there and acknowledges nothing ends what acts before it is removed"
            ));
        }
        all
    }
}

/// Makes errors about one file.
#[derive(Clone, Copy)]
struct Wrong<'a>(&'a Path);

impl Wrong<'_> {
    fn of(self, key: &str, wrong: String, expected: impl Into<String>, advice: &str) -> ConfigError {
        ConfigError::new(self.0, format!("`hooks.{key}`"), wrong, expected, advice)
    }

    fn unless_within(self, key: &str, value: u64, least: u64, most: u64) -> Result<u64, ConfigError> {
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        let expected = format!("{least}..={most} (milliseconds)");
        Err(self.of(key, format!("{value} is out of range"), expected, "leave it out for the default"))
    }
}

fn checked_name(wrong: Wrong<'_>, name: String) -> Result<String, ConfigError> {
    let is_bad = |c: char| c.is_whitespace() || c == '"' || c.is_control();
    if !name.is_empty() && name.len() <= 64 && !name.chars().any(is_bad) {
        return Ok(name);
    }
    Err(wrong.of(
        "name",
        format!("{name:?}"),
        "at most 64 bytes without blanks and quotation marks",
        "name the instance as in keepalived",
    ))
}

fn checked_count(wrong: Wrong<'_>, key: &str, value: Option<u32>, default: u32) -> Result<u32, ConfigError> {
    match value.unwrap_or(default) {
        0 => Err(wrong.of(key, "0".into(), "at least 1", "leave it out for the default")),
        count => Ok(count),
    }
}

/// What somebody else could change must not be run.
fn check_program(command: &[String], is_needed: bool) -> Result<(), (String, &'static str)> {
    const EXPECTED: &str = "an absolute path of a program that only its owner can change, then its arguments";
    let Some(program) = command.first() else {
        return if is_needed { Err(("not there, nor `notify`".into(), EXPECTED)) } else { Ok(()) };
    };
    if !Path::new(program).is_absolute() {
        return Err((format!("{program} is not an absolute path"), EXPECTED));
    }
    let metadata = std::fs::metadata(program).map_err(|e| (format!("{program}: {e}"), EXPECTED))?;
    let mode = metadata.permissions().mode();
    if !metadata.is_file() || mode & 0o111 == 0 {
        return Err((format!("{program} cannot be run"), EXPECTED));
    }
    if mode & 0o022 != 0 {
        return Err((format!("{program} can be changed by others (mode {:o})", mode & 0o7777), EXPECTED));
    }
    Ok(())
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
