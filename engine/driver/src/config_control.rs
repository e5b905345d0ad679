//! `[control]`: where an operator on this machine speaks to the process, and who may.

use crate::config::{ConfigError, beside};
use crate::control::ControlSettings;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControlFile {
    socket: Option<PathBuf>,
    #[serde(default)]
    users: Vec<u32>,
    #[serde(default)]
    groups: Vec<u32>,
}

impl ControlFile {
    pub(crate) fn check(self, path: &Path) -> Result<Option<ControlSettings>, ConfigError> {
        let Some(socket) = self.socket else {
            if self.users.is_empty() && self.groups.is_empty() {
                return Ok(None);
            }
            return Err(ConfigError::new(
                path,
                "`control.socket`",
                "not there, but users or groups are admitted",
                "the path of the socket",
                "name the socket, or leave [control] out: then there is none",
            ));
        };
        Ok(Some(ControlSettings { socket: beside(path, &socket), users: self.users, groups: self.groups }))
    }
}
