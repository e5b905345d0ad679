//! `[wire]`: the versions of the wire that the process speaks.

use crate::config::ConfigError;
use duohuo_wire::versions::{FIRST, NEWEST, Versions};
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireFile {
    #[serde(default = "first")]
    lowest: u8,
    #[serde(default = "newest")]
    highest: u8,
}

const fn first() -> u8 {
    FIRST
}

const fn newest() -> u8 {
    NEWEST
}

impl Default for WireFile {
    fn default() -> Self {
        Self { lowest: FIRST, highest: NEWEST }
    }
}

impl WireFile {
    pub(crate) fn check(&self, path: &Path) -> Result<Versions, ConfigError> {
        let known = |version| (FIRST..=NEWEST).contains(&version);
        for (key, version) in [("`wire.lowest`", self.lowest), ("`wire.highest`", self.highest)] {
            if !known(version) {
                return Err(ConfigError::new(
                    path,
                    key,
                    format!("this program does not speak version {version}"),
                    format!("{FIRST}..={NEWEST}"),
                    "leave [wire] out to speak all that both sides know",
                ));
            }
        }
        Versions::new(self.lowest, self.highest).ok_or_else(|| {
            ConfigError::new(
                path,
                "`wire.lowest`",
                format!("{} is above wire.highest, which is {}", self.lowest, self.highest),
                "at most wire.highest",
                "lower it, or leave [wire] out to speak all that both sides know",
            )
        })
    }
}
