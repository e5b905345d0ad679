//! `[hooks]` of a node's configuration: programs, limits, and the terms of the lease, checked together.

use crate::config::ConfigError;
use duohuo_core::Duration;
use duohuo_core::lease::LeaseTerms;
use duohuo_core::outside::{OutsideConfig, Program};
use serde::Deserialize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The table as it is written.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct HooksFile {
    name: String,
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
    #[serde(default = "default_lease_ms")]
    lease_ms: u64,
    #[serde(default = "default_margin_ms")]
    margin_ms: u64,
    #[serde(default = "default_drift_ppm")]
    drift_ppm: u32,
    #[serde(default = "default_promote_limit_ms")]
    promote_limit_ms: u64,
    #[serde(default = "default_demote_limit_ms")]
    demote_limit_ms: u64,
    #[serde(default = "default_kill_limit_ms")]
    kill_limit_ms: u64,
    #[serde(default = "default_check_limit_ms")]
    check_limit_ms: u64,
    #[serde(default = "default_follow_limit_ms")]
    follow_limit_ms: u64,
    #[serde(default = "default_check_interval_ms")]
    check_interval_ms: u64,
    #[serde(default)]
    health_weight: u8,
    #[serde(default = "default_health_fall")]
    health_fall: u32,
    #[serde(default = "default_health_rise")]
    health_rise: u32,
}

const fn default_lease_ms() -> u64 {
    6_000
}
const fn default_margin_ms() -> u64 {
    3_000
}
const fn default_drift_ppm() -> u32 {
    1_000
}
const fn default_promote_limit_ms() -> u64 {
    30_000
}
const fn default_demote_limit_ms() -> u64 {
    1_500
}
const fn default_kill_limit_ms() -> u64 {
    1_000
}
const fn default_check_limit_ms() -> u64 {
    2_000
}
const fn default_follow_limit_ms() -> u64 {
    600_000
}
const fn default_check_interval_ms() -> u64 {
    1_000
}
const fn default_health_fall() -> u32 {
    3
}
const fn default_health_rise() -> u32 {
    2
}

/// What `[hooks]` says, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HooksSettings {
    /// What the programs are given as the instance's name.
    pub name: String,
    /// Named in `[hooks]`: program and first arguments. Empty: none.
    pub programs: [Vec<String>; 7],
    /// Where a line is written at each change of state.
    pub fifo: Option<PathBuf>,
    /// The lease.
    pub lease: LeaseTerms,
    /// How long each program may take, in the order of [`Program`].
    pub limits: [Duration; 7],
    /// Between two checks of health, and of the copy.
    pub check_interval: Duration,
    /// What failing health takes off the priority; 0: the node is unfit.
    pub health_weight: u8,
    /// So many failures in a row until it is unwell.
    pub health_fall: u32,
    /// So many successes in a row until it is well again.
    pub health_rise: u32,
}

/// The margin is needed for a tick of the keeper's own as well.
const SLACK: Duration = Duration::from_millis(200);

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
        self.limits.get(index(program)).copied().unwrap_or(Duration::ZERO)
    }

    /// What the machine is told of it.
    #[must_use]
    pub fn outside(&self) -> OutsideConfig {
        OutsideConfig {
            lease: self.lease,
            has_copy: self.has(Program::Sync),
            has_cover: self.has(Program::Cover),
        }
    }

    pub(crate) fn check(path: &Path, file: HooksFile) -> Result<Self, ConfigError> {
        let wrong = |key: &str, wrong: String, expected: &str, advice: &str| {
            ConfigError::new(path, format!("`hooks.{key}`"), wrong, expected, advice)
        };
        let ms = Duration::from_millis;
        if file.name.is_empty() || file.name.chars().any(|c| c.is_whitespace() || c == '"' || c.is_control())
        {
            return Err(wrong(
                "name",
                format!("{:?}", file.name),
                "a name without blanks and quotation marks",
                "name the instance as in keepalived",
            ));
        }
        let or_notify = |own: Vec<String>| if own.is_empty() { file.notify.clone() } else { own };
        let programs = [
            or_notify(file.promote),
            or_notify(file.demote),
            file.kill,
            file.health,
            file.sync,
            file.cover,
            file.follow,
        ];
        for (program, key) in
            programs.iter().zip(["promote", "demote", "kill", "health", "sync", "cover", "follow"])
        {
            let needed = matches!(key, "promote" | "demote");
            check_program(program, needed).map_err(|(what, expected)| {
                wrong(key, what, expected, "correct the path, or its owner and mode (chmod go-w)")
            })?;
        }
        let range = |key: &str, value: u64, range: core::ops::RangeInclusive<u64>| {
            if range.contains(&value) {
                return Ok(ms(value));
            }
            let expected = format!("{}..={} (milliseconds)", range.start(), range.end());
            Err(wrong(key, format!("{value} is out of range"), &expected, "leave it out for the default"))
        };
        let lease = range("lease_ms", file.lease_ms, 200..=600_000)?;
        let margin = range("margin_ms", file.margin_ms, 50..=600_000)?;
        let demote = range("demote_limit_ms", file.demote_limit_ms, 10..=600_000)?;
        let kill = range("kill_limit_ms", file.kill_limit_ms, 10..=600_000)?;
        if margin >= lease {
            return Err(wrong(
                "margin_ms",
                format!("{} is not below lease_ms = {}", file.margin_ms, file.lease_ms),
                "a margin shorter than the lease",
                "raise lease_ms, the same on all nodes of the cluster",
            ));
        }
        if demote + kill + SLACK > margin {
            return Err(wrong(
                "demote_limit_ms",
                format!(
                    "demote_limit_ms + kill_limit_ms + 200 = {} is above margin_ms = {}",
                    (demote + kill + SLACK).as_millis(),
                    file.margin_ms
                ),
                "both programs within the margin, so that what acts has ended before the lease does",
                "raise margin_ms and lease_ms, the same on all nodes of the cluster, or lower the limits",
            ));
        }
        let check = range("check_limit_ms", file.check_limit_ms, 10..=600_000)?;
        let limits = [
            range("promote_limit_ms", file.promote_limit_ms, 10..=3_600_000)?,
            demote,
            kill,
            check,
            check,
            check,
            range("follow_limit_ms", file.follow_limit_ms, 10..=86_400_000)?,
        ];
        Ok(Self {
            name: file.name,
            programs,
            fifo: file.fifo.map(|fifo| crate::config::beside(path, &fifo)),
            lease: LeaseTerms { span: lease, margin, drift_ppm: file.drift_ppm },
            limits,
            check_interval: range("check_interval_ms", file.check_interval_ms, 10..=600_000)?,
            health_weight: file.health_weight,
            health_fall: file.health_fall.max(1),
            health_rise: file.health_rise.max(1),
        })
    }

    /// The table of a configuration file alone: what the keeper reads.
    ///
    /// # Errors
    /// It is not there, or the first key that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        struct Only {
            hooks: HooksFile,
        }
        let only: Only = crate::config::read_toml(path, "see spec/hooks.md for a complete example")?;
        Self::check(path, only.hooks)
    }
}

/// What somebody else could change must not be run.
fn check_program(command: &[String], is_needed: bool) -> Result<(), (String, &'static str)> {
    const EXPECTED: &str = "an absolute path of a program that only its owner can change, then its arguments";
    let Some(program) = command.first() else {
        return if is_needed { Err(("not there".into(), EXPECTED)) } else { Ok(()) };
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
