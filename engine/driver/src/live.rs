//! What SIGHUP reads again of a process's configuration: what can change live does, what cannot is named.

use crate::config::{AuthoritySettings, ConfigError, LogSettings, NodeSettings};
use crate::config_keys::{self, Effective, Process};
use std::net::SocketAddr;
use std::path::PathBuf;

/// As [`config_keys::differences`] tells of a key that has no value.
const NOTHING: &str = "nothing";

/// What is not the loop's own.
pub struct Switches {
    /// How the log is written.
    pub log: Box<dyn FnMut(LogSettings) + Send>,
    /// Where the status page is; an error, for a person: it stays where it was.
    pub http: Box<dyn FnMut(Option<SocketAddr>) -> Result<(), String> + Send>,
}

/// The configuration in force.
pub struct Live {
    path: PathBuf,
    process: Process,
    in_force: Vec<Effective>,
    switches: Switches,
}

/// Of a file that was read again.
struct Read {
    keys: Vec<Effective>,
    log: LogSettings,
    http: Option<SocketAddr>,
    keep_blocks: Option<u64>,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Whether drills are allowed now; `None`: as before.
    pub drill_allowed: Option<bool>,
    /// How many blocks are kept now; `None`: as before.
    pub keep_blocks: Option<u64>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live")
            .field("path", &self.path)
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl Live {
    /// What the file says now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(path: PathBuf, process: Process, switches: Switches) -> Result<Self, ConfigError> {
        let in_force = config_keys::effective(&path, process)?;
        Ok(Self { path, process, in_force, switches })
    }

    /// Read the file again, and everything that it names; `None`: it cannot be used, and nothing changed.
    pub fn reload(&mut self) -> Option<Taken> {
        match self.read() {
            Ok(new) => Some(self.take(new)),
            Err(e) => {
                tracing::error!("{e}; the configuration in force stays");
                None
            }
        }
    }

    fn read(&self) -> Result<Read, ConfigError> {
        let (log, http, keep_blocks) = match self.process {
            Process::Node => {
                let s = NodeSettings::read(&self.path)?;
                (s.log, s.http, Some(s.keep_blocks))
            }
            _ => {
                let s = AuthoritySettings::read(&self.path)?;
                (s.log, s.http, None)
            }
        };
        let keys = config_keys::effective(&self.path, self.process)?;
        Ok(Read { keys, log, http, keep_blocks })
    }

    fn take(&mut self, read: Read) -> Taken {
        let mut taken = Taken::default();
        for (key, old, new) in config_keys::differences(&self.in_force, &read.keys) {
            match key.as_str() {
                "log.level" | "log.format" => (self.switches.log)(read.log),
                "drill.allow" => taken.drill_allowed = Some(new == "true"),
                "chain.keep_blocks" => taken.keep_blocks = read.keep_blocks,
                "http.listen" => {
                    if let Err(why) = (self.switches.http)(read.http) {
                        tracing::error!("{why}; it stays at {old}");
                        continue;
                    }
                }
                _ => {
                    tracing::warn!(
                        "{key} is {new} in the file and {old} here: it changes when this process is started again"
                    );
                    continue;
                }
            }
            tracing::info!("{key} is {new} now, it was {old}");
            if let Some(entry) = self.in_force.iter_mut().find(|e| e.name == key) {
                entry.value = if new == NOTHING { String::new() } else { new };
            }
        }
        taken
    }
}
