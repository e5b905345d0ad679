//! The files of an operator: one TOML file per process, key files, the signed roster. Whatever is wrong with one is
//! told with its file, its key, what was expected, and what to do.

use crate::config_chain::{ChainChoice, ChainSettings};
use crate::config_control::ControlFile;
use crate::config_keys;
use crate::config_wire::WireFile;
use crate::control::ControlSettings;
use crate::hooks::settings::{HooksFile, HooksSettings};
use crate::keys;
use crate::roster_file;
use crate::vip::{VipFile, VipSettings};
use duohuo_chain::Timing;
use duohuo_core::Duration;
use duohuo_core::config::Timers;
use duohuo_wire::ids::NodeId;
use duohuo_wire::roster::Roster;
use duohuo_wire::secret::Secret;
use duohuo_wire::sign::VerifyingKey;
use duohuo_wire::versions::Versions;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use crate::config_chain::read_genesis;

/// A file of the operator that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}: {key}: {wrong}; expected {expected}; {advice}", file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The key in it, dotted, or what part of the file.
    pub key: String,
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub expected: String,
    /// What to do.
    pub advice: Box<str>,
    /// Where in the file, in bytes, if that is known.
    pub span: Option<Box<Range<usize>>>,
}

impl ConfigError {
    /// Without a place in the file.
    pub fn new(
        file: &Path,
        key: impl Into<String>,
        wrong: impl Into<String>,
        expected: impl Into<String>,
        advice: impl Into<Box<str>>,
    ) -> Self {
        Self {
            file: file.into(),
            key: key.into(),
            wrong: wrong.into(),
            expected: expected.into(),
            advice: advice.into(),
            span: None,
        }
    }

    /// With the place of its key, if the file is TOML and has it.
    #[must_use]
    pub(crate) fn located(mut self) -> Self {
        if self.span.is_none()
            && let Ok(text) = std::fs::read_to_string(&self.file)
        {
            self.span = config_keys::place(&text, self.key.trim_matches('`')).map(Box::new);
        }
        self
    }
}

/// Milliseconds a keepalive interval may have.
const KEEPALIVE_MS: std::ops::RangeInclusive<u64> = 1..=10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    node: u32,
    roster: PathBuf,
    operator_public_key: String,
    store: PathBuf,
    genesis: Option<PathBuf>,
    keys: NodeKeys,
    #[serde(default)]
    timers: TimersFile,
    #[serde(default)]
    wire: WireFile,
    #[serde(default)]
    chain: ChainChoice,
    hooks: Option<HooksFile>,
    #[serde(default)]
    vip: VipFile,
    #[serde(default)]
    drill: DrillFile,
    #[serde(default)]
    control: ControlFile,
    #[serde(default)]
    http: HttpFile,
    #[serde(default)]
    log: LogFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeKeys {
    session: PathBuf,
    signing: PathBuf,
    group: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorityFile {
    roster: PathBuf,
    operator_public_key: String,
    store: PathBuf,
    keys: AuthorityKeys,
    #[serde(default)]
    timers: TimersFile,
    #[serde(default)]
    wire: WireFile,
    #[serde(default)]
    control: ControlFile,
    #[serde(default)]
    http: HttpFile,
    #[serde(default)]
    log: LogFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthorityKeys {
    session: PathBuf,
    signing: PathBuf,
    sealing: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TimersFile {
    #[serde(default = "default_keepalive_ms")]
    keepalive_interval_ms: u64,
}

fn default_keepalive_ms() -> u64 {
    100
}

impl Default for TimersFile {
    fn default() -> Self {
        Self { keepalive_interval_ms: default_keepalive_ms() }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DrillFile {
    #[serde(default)]
    allow: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct HttpFile {
    listen: Option<SocketAddr>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LogFile {
    #[serde(default)]
    format: LogFormat,
    #[serde(default)]
    level: LogLevel,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// The least serious line that is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What stops the process.
    Error,
    /// What an operator should look at.
    Warn,
    /// Changes of state.
    #[default]
    Info,
    /// For developers.
    Debug,
}

/// Log settings of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogSettings {
    /// Format.
    pub format: LogFormat,
    /// Level.
    pub level: LogLevel,
}

/// What a node's files say, read and checked.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Who it is.
    pub node: NodeId,
    /// Verified.
    pub roster: Roster,
    /// Where later rosters come from.
    pub roster_source: RosterSource,
    /// Its store.
    pub store: PathBuf,
    /// Opening balances of the ledger: account and amount. None with hooks, where the chain is not ours.
    pub genesis: Vec<(u32, u64)>,
    /// The operator's programs, with `chain = "hooks"`.
    pub hooks: Option<HooksSettings>,
    /// A virtual address follows this node, whose chain is embedded.
    pub vip: Option<VipSettings>,
    /// X25519.
    pub session_secret: Secret,
    /// Ed25519 seed.
    pub signing_secret: Secret,
    /// Of the multicast group.
    pub group_secret: Secret,
    /// Spans.
    pub timers: Timers,
    /// Of the wire.
    pub versions: Versions,
    /// Pace of the chain; what the file leaves out is the chain's own default.
    pub chain: Timing,
    /// Blocks kept below the newest proven snapshot.
    pub keep_blocks: u64,
    /// Whether SIGUSR1 may make it compute wrong results.
    pub drill_allowed: bool,
    /// Where an operator on this machine may speak to it; `None`: nowhere.
    pub control: Option<ControlSettings>,
    /// Where the status page, metrics and health answers are; `None`: nowhere.
    pub http: Option<SocketAddr>,
    /// Log.
    pub log: LogSettings,
    /// Where the keys of all sessions are written; not in the file, the command line has it.
    #[cfg(feature = "key-log")]
    pub key_log: Option<PathBuf>,
}

/// What the authority's files say, read and checked.
#[derive(Clone, Debug)]
pub struct AuthoritySettings {
    /// Verified.
    pub roster: Roster,
    /// Where later rosters come from.
    pub roster_source: RosterSource,
    /// Its store.
    pub store: PathBuf,
    /// X25519.
    pub session_secret: Secret,
    /// Ed25519 seed.
    pub signing_secret: Secret,
    /// X25519, seals cluster IDs.
    pub sealing_secret: Secret,
    /// Spans.
    pub timers: Timers,
    /// Of the wire.
    pub versions: Versions,
    /// As in [`NodeSettings::control`].
    pub control: Option<ControlSettings>,
    /// As in [`NodeSettings::http`].
    pub http: Option<SocketAddr>,
    /// Log.
    pub log: LogSettings,
    /// Where the keys of all sessions are written; not in the file, the command line has it.
    #[cfg(feature = "key-log")]
    pub key_log: Option<PathBuf>,
}

/// The roster's file and the key it must be signed with.
#[derive(Clone, Debug)]
pub struct RosterSource {
    path: PathBuf,
    operator_key: [u8; 32],
    version: u64,
}

impl RosterSource {
    /// Read the first roster.
    ///
    /// # Errors
    /// It is unreadable, malformed or not signed by the operator.
    pub fn open(path: &Path, operator_key: [u8; 32]) -> Result<(Self, Roster), ConfigError> {
        let roster = roster_file::read_verified(path, &operator_key)?;
        Ok((Self { path: path.into(), operator_key, version: roster.version }, roster))
    }

    /// The operator's public key.
    #[must_use]
    pub fn operator_key(&self) -> [u8; 32] {
        self.operator_key
    }

    /// Read a newer one.
    ///
    /// # Errors
    /// As [`RosterSource::open`], or its version is not higher.
    pub fn reload(&mut self) -> Result<Roster, ConfigError> {
        let roster = roster_file::read_verified(&self.path, &self.operator_key)?;
        if roster.version <= self.version {
            return Err(ConfigError::new(
                &self.path,
                "version",
                format!("{} is not newer than the roster in force", roster.version),
                format!("a version above {}", self.version),
                "raise `version` and sign the roster again (duohuo keygen sign)",
            ));
        }
        self.version = roster.version;
        Ok(roster)
    }
}

impl NodeSettings {
    /// Read a node's configuration and all files that it names; paths are relative to it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_all(path).map_err(ConfigError::located)
    }

    fn read_all(path: &Path) -> Result<Self, ConfigError> {
        let file: NodeFile = read_toml(path, "duohuo keygen network writes a complete example")?;
        let node = NodeId(file.node);
        let (roster_source, roster) = read_roster(path, &file.roster, &file.operator_public_key)?;
        let Some((cluster, entry)) = roster.node(node) else {
            return Err(ConfigError::new(
                path,
                "node",
                format!("{} is not in the roster {}", file.node, beside(path, &file.roster).display()),
                "the id of a node of the roster",
                "correct `node`, or enrol the node in a new roster",
            ));
        };
        let session_secret = keys::read_secret(&beside(path, &file.keys.session))?;
        let signing_secret = keys::read_secret(&beside(path, &file.keys.signing))?;
        check_pair(
            path,
            &file.keys.session,
            "session",
            &keys::session_public(&session_secret),
            &entry.session_key,
        )?;
        check_pair(
            path,
            &file.keys.signing,
            "signing",
            &keys::signing_public(&signing_secret),
            &entry.signing_key,
        )?;
        let timers = timers(path, &file.timers)?;
        let ChainSettings { timing, keep_blocks, genesis, hooks } = ChainSettings::read(
            path,
            file.chain,
            file.genesis.as_deref(),
            file.hooks,
            &cluster.name,
            &timers,
        )?;
        let asks = hooks.as_ref().map(|hooks| hooks.socket.as_deref());
        let vip = file.vip.check(path, asks, &timers)?;
        Ok(Self {
            node,
            vip,
            roster_source,
            store: beside(path, &file.store),
            genesis,
            hooks,
            session_secret,
            signing_secret,
            group_secret: keys::read_secret(&beside(path, &file.keys.group))?,
            timers,
            versions: file.wire.check(path)?,
            chain: timing,
            keep_blocks,
            drill_allowed: file.drill.allow,
            control: file.control.check(path)?,
            http: http(path, file.http.listen, entry.address)?,
            log: LogSettings { format: file.log.format, level: file.log.level },
            #[cfg(feature = "key-log")]
            key_log: None,
            roster,
        })
    }
}

impl AuthoritySettings {
    /// Read the authority's configuration and all files that it names; paths are relative to it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::read_all(path).map_err(ConfigError::located)
    }

    fn read_all(path: &Path) -> Result<Self, ConfigError> {
        let file: AuthorityFile = read_toml(path, "duohuo keygen network writes a complete example")?;
        let (roster_source, roster) = read_roster(path, &file.roster, &file.operator_public_key)?;
        let session_secret = keys::read_secret(&beside(path, &file.keys.session))?;
        let signing_secret = keys::read_secret(&beside(path, &file.keys.signing))?;
        let entry = &roster.authority;
        check_pair(
            path,
            &file.keys.session,
            "session",
            &keys::session_public(&session_secret),
            &entry.session_key,
        )?;
        check_pair(
            path,
            &file.keys.signing,
            "signing",
            &keys::signing_public(&signing_secret),
            &entry.signing_key,
        )?;
        Ok(Self {
            roster_source,
            store: beside(path, &file.store),
            session_secret,
            signing_secret,
            sealing_secret: keys::read_secret(&beside(path, &file.keys.sealing))?,
            timers: timers(path, &file.timers)?,
            versions: file.wire.check(path)?,
            control: file.control.check(path)?,
            http: http(path, file.http.listen, entry.address)?,
            log: LogSettings { format: file.log.format, level: file.log.level },
            #[cfg(feature = "key-log")]
            key_log: None,
            roster,
        })
    }
}

/// The log settings of a process's file alone, so that what is wrong with the rest can be logged as it asks.
#[must_use]
pub fn log_settings(path: &Path) -> LogSettings {
    #[derive(Deserialize)]
    struct Only {
        #[serde(default)]
        log: LogFile,
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    toml::from_str::<Only>(&text)
        .map_or_else(|_| LogSettings::default(), |f| LogSettings { format: f.log.format, level: f.log.level })
}

/// A path in a configuration is relative to the configuration.
#[must_use]
pub fn beside(config: &Path, path: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new("")).join(path)
}

/// Read a TOML file; unknown keys are errors.
///
/// # Errors
/// The file cannot be read, or the first key that is wrong.
pub fn read_toml<T: DeserializeOwned>(path: &Path, advice: &str) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        ConfigError::new(
            path,
            "file",
            e.to_string(),
            "a readable TOML file",
            unreadable(path, &e).unwrap_or_else(|| format!("check the path and its permissions; {advice}")),
        )
    })?;
    let wrong = |key: String, e: &toml::de::Error| {
        let place = e.span().map_or_else(String::new, |span| {
            let line = text.get(..span.start).map_or(0, |before| before.matches('\n').count()) + 1;
            format!(" (line {line})")
        });
        let message = e.message().trim().replace('\n', " ");
        let mut error =
            ConfigError::new(path, key, format!("{message}{place}"), "what the example has there", advice);
        error.span = e.span().map(Box::new);
        error
    };
    let deserializer = toml::Deserializer::parse(&text).map_err(|e| wrong("syntax".into(), &e))?;
    serde_path_to_error::deserialize(deserializer).map_err(|e| {
        let key = match e.path().to_string() {
            root if root == "." => "file".into(),
            key => format!("`{key}`"),
        };
        wrong(key, e.inner())
    })
}

/// What to do where a process's configuration is missing: its machine was not set up.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Option<String> {
    let is_of_a_process =
        path.file_name().is_some_and(|name| name == "node.toml" || name == "authority.toml");
    (is_of_a_process && error.kind() == std::io::ErrorKind::NotFound).then(|| {
        "check the path; on its own machine duohuo setup puts it into /etc/duohuo, from the pack of that machine".into()
    })
}

fn read_roster(
    config: &Path,
    roster: &Path,
    operator_key: &str,
) -> Result<(RosterSource, Roster), ConfigError> {
    let key = keys::parse_hex::<32>(operator_key)
        .filter(|k| VerifyingKey::from_bytes(k).is_ok())
        .ok_or_else(|| {
            ConfigError::new(
                config,
                "`operator_public_key`",
                "not an Ed25519 public key",
                "64 hex digits",
                "copy the operator's public key (operator.pub) into it",
            )
        })?;
    RosterSource::open(&beside(config, roster), key)
}

fn check_pair(
    config: &Path,
    file: &Path,
    which: &str,
    ours: &[u8; 32],
    theirs: &[u8; 32],
) -> Result<(), ConfigError> {
    if ours == theirs {
        return Ok(());
    }
    Err(ConfigError::new(
        &beside(config, file),
        "file",
        format!("its public key is {}", keys::hex(ours)),
        format!("{}, the {which} key that the roster has for this process", keys::hex(theirs)),
        "use the key file that belongs to this node, or enrol the new key in a new roster",
    ))
}

fn timers(path: &Path, file: &TimersFile) -> Result<Timers, ConfigError> {
    let ms = in_range(path, "timers.keepalive_interval_ms", file.keepalive_interval_ms, &KEEPALIVE_MS)?;
    Ok(Timers::for_keepalive(ms))
}

fn http(path: &Path, listen: Option<SocketAddr>, own: SocketAddr) -> Result<Option<SocketAddr>, ConfigError> {
    if listen == Some(own) {
        return Err(ConfigError::new(
            path,
            "`http.listen`",
            format!("{own} is the address at which this process speaks to the others"),
            "another port, best on loopback: 127.0.0.1:4752",
            "change the port, or leave [http] out: then there is no status page",
        ));
    }
    Ok(listen)
}

/// What is allowed and may still not be meant: one sentence each.
#[must_use]
pub fn warnings(
    timers: &Timers,
    chain: Option<&Timing>,
    hooks: Option<&HooksSettings>,
    http: Option<SocketAddr>,
) -> Vec<String> {
    let mut all = hooks.map_or_else(Vec::new, |hooks| hooks.warnings(timers));
    if let Some(chain) = chain.filter(|c| c.propose_timeout < timers.suspect_interval) {
        all.push(format!(
            "chain.propose_timeout_ms is {}, and a silent host is suspected after {} ms (1.5 keepalive intervals): \
             whenever a proposer falls silent, its round is lost before its cluster has another master",
            chain.propose_timeout.as_millis(),
            timers.suspect_interval.as_millis()
        ));
    }
    if let Some(listen) = http.filter(|l| !l.ip().is_loopback()) {
        all.push(format!(
            "http.listen is {listen}: whoever reaches it sees roles, heights and addresses; there is no password. Keep it \
             on loopback, or behind a firewall"
        ));
    }
    all
}

pub(crate) fn in_range(
    path: &Path,
    key: &str,
    ms: u64,
    range: &std::ops::RangeInclusive<u64>,
) -> Result<Duration, ConfigError> {
    if range.contains(&ms) {
        return Ok(Duration::from_millis(ms));
    }
    Err(ConfigError::new(
        path,
        format!("`{key}`"),
        format!("{ms} is out of range"),
        format!("{}..={} (milliseconds)", range.start(), range.end()),
        "use the value of the other processes of this network",
    ))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
