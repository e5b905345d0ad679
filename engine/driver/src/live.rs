//! What SIGHUP reads again of a process's configuration: what can change live does, what cannot is named.

use crate::config::{AuthoritySettings, ConfigError, LogLevel, LogSettings, NodeSettings, log_settings};
use crate::config_keys::{self, Effective, Process};
use std::path::PathBuf;

/// The configuration in force.
pub struct Live {
    path: PathBuf,
    process: Process,
    in_force: Vec<Effective>,
    set_level: Box<dyn FnMut(LogLevel) + Send>,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// Whether drills are allowed now; `None`: as before.
    pub drill_allowed: Option<bool>,
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
    /// What the file says now; `set_level` changes the log's level.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(
        path: PathBuf,
        process: Process,
        set_level: Box<dyn FnMut(LogLevel) + Send>,
    ) -> Result<Self, ConfigError> {
        let in_force = config_keys::effective(&path, process)?;
        Ok(Self { path, process, in_force, set_level })
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

    fn read(&self) -> Result<Vec<Effective>, ConfigError> {
        match self.process {
            Process::Node => NodeSettings::read(&self.path).map(|_| ())?,
            Process::Authority => AuthoritySettings::read(&self.path).map(|_| ())?,
            Process::Client => {}
        }
        config_keys::effective(&self.path, self.process)
    }

    fn take(&mut self, new: Vec<Effective>) -> Taken {
        let mut taken = Taken::default();
        for (key, old, new) in config_keys::differences(&self.in_force, &new) {
            match key.as_str() {
                "log.level" => {
                    let LogSettings { level, .. } = log_settings(&self.path);
                    (self.set_level)(level);
                    tracing::info!("{key} is {new} now, it was {old}");
                }
                "drill.allow" => {
                    taken.drill_allowed = Some(new == "true");
                    tracing::info!("{key} is {new} now, it was {old}");
                }
                _ => {
                    tracing::warn!(
                        "{key} is {new} in the file and {old} here: it changes when this process is started again"
                    );
                    continue;
                }
            }
            if let Some(entry) = self.in_force.iter_mut().find(|e| e.name == key) {
                entry.value = new;
            }
        }
        taken
    }
}
