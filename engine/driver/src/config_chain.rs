//! What chain a node has, and that chain's settings: the embedded one with its times and its genesis, or hooks.

use crate::config::{ConfigError, beside, in_range, read_toml};
use crate::hooks::settings::{HooksFile, HooksSettings};
use duohuo_chain::Timing;
use duohuo_chain::block::MAX_BLOCK_BYTES;
use duohuo_core::Duration;
use duohuo_core::config::Timers;
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::path::Path;

/// Blocks kept below the newest proven snapshot if the file does not say: who was away for less needs no snapshot.
pub(crate) const KEEP_BLOCKS: u64 = 100_000;
/// What a block that is made here may have, and what may wait for one.
const BLOCK_TRANSACTIONS: RangeInclusive<usize> = 1..=1_000_000;
const BLOCK_BYTES: RangeInclusive<usize> = 4_096..=MAX_BLOCK_BYTES;
const POOL: RangeInclusive<usize> = 1..=10_000_000;
/// Milliseconds a time-out of the chain may have.
const CHAIN_MS: RangeInclusive<u64> = 0..=60_000;

/// The table `[chain]`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChainFile {
    block_interval_ms: Option<u64>,
    propose_timeout_ms: Option<u64>,
    vote_timeout_ms: Option<u64>,
    timeout_delta_ms: Option<u64>,
    max_timeout_ms: Option<u64>,
    rebroadcast_interval_ms: Option<u64>,
    max_block_transactions: Option<u64>,
    max_block_bytes: Option<u64>,
    max_pool: Option<u64>,
    snapshot_interval: Option<u64>,
    keep_blocks: Option<u64>,
}

/// `chain = "hooks"`, or the table of the embedded chain.
pub(crate) enum ChainChoice {
    Embedded(ChainFile),
    Hooks,
}

impl Default for ChainChoice {
    fn default() -> Self {
        Self::Embedded(ChainFile::default())
    }
}

impl<'de> Deserialize<'de> for ChainChoice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> serde::de::Visitor<'de> for Choice {
            type Value = ChainChoice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"hooks\", or the table of the embedded chain")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ChainChoice, E> {
                if name == "hooks" {
                    return Ok(ChainChoice::Hooks);
                }
                Err(E::invalid_value(serde::de::Unexpected::Str(name), &self))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<ChainChoice, A::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                ChainFile::deserialize(table).map(ChainChoice::Embedded)
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

/// What a chain needs, and nothing that another would.
pub(crate) struct ChainSettings {
    pub(crate) timing: Timing,
    pub(crate) keep_blocks: u64,
    pub(crate) genesis: Vec<(u32, u64)>,
    pub(crate) hooks: Option<HooksSettings>,
}

impl ChainSettings {
    /// `cluster`: its name in the roster.
    pub(crate) fn read(
        path: &Path,
        chain: ChainChoice,
        genesis: Option<&Path>,
        hooks: Option<HooksFile>,
        cluster: &str,
        timers: &Timers,
    ) -> Result<Self, ConfigError> {
        let wrong =
            |key: &str, wrong, expected, advice| Err(ConfigError::new(path, key, wrong, expected, advice));
        let file = match (chain, hooks) {
            (ChainChoice::Hooks, Some(_)) if genesis.is_some() => {
                return wrong(
                    "`genesis`",
                    "there, but `chain` is \"hooks\"",
                    "no ledger of ours beside a chain of yours",
                    "remove the key",
                );
            }
            (ChainChoice::Hooks, Some(hooks)) => {
                let hooks = HooksSettings::check(path, hooks, cluster, timers)?;
                let (timing, genesis) = (Timing::default(), Vec::new());
                return Ok(Self { timing, keep_blocks: KEEP_BLOCKS, genesis, hooks: Some(hooks) });
            }
            (ChainChoice::Hooks, None) => {
                return wrong(
                    "`hooks`",
                    "not there, but `chain` is \"hooks\"",
                    "a table [hooks] with the programs to run",
                    "duohuo config init node --hooks prints a complete example",
                );
            }
            (ChainChoice::Embedded(_), Some(_)) => {
                return wrong(
                    "`hooks`",
                    "there, but `chain` is not \"hooks\"",
                    "chain = \"hooks\" above all tables",
                    "add it, and remove `genesis` and [chain]; or remove the table [hooks]",
                );
            }
            (ChainChoice::Embedded(file), None) => file,
        };
        let Some(genesis) = genesis else {
            return wrong(
                "file",
                "missing field `genesis`",
                "the file of the opening balances",
                "copy the genesis file of this network, unchanged, to every node",
            );
        };
        Ok(Self {
            timing: chain_timing(path, &file)?,
            keep_blocks: file.keep_blocks.unwrap_or(KEEP_BLOCKS),
            genesis: read_genesis(&beside(path, genesis))?,
            hooks: None,
        })
    }
}

fn chain_timing(path: &Path, file: &ChainFile) -> Result<Timing, ConfigError> {
    let default = Timing::default();
    let span = |key: &str, ms: Option<u64>, default: Duration| {
        ms.map_or(Ok(default), |ms| in_range(path, &format!("chain.{key}"), ms, &CHAIN_MS))
    };
    let count = |key: &str, value: Option<u64>, range: &RangeInclusive<usize>, default: usize| {
        let Some(value) = value else { return Ok(default) };
        let found = usize::try_from(value).ok().filter(|value| range.contains(value));
        found.ok_or_else(|| {
            ConfigError::new(
                path,
                format!("`chain.{key}`"),
                format!("{value} is out of range"),
                format!("{}..={}", range.start(), range.end()),
                "leave the key out unless there is a reason",
            )
        })
    };
    let timing = Timing {
        max_block_transactions: count(
            "max_block_transactions",
            file.max_block_transactions,
            &BLOCK_TRANSACTIONS,
            default.max_block_transactions,
        )?,
        max_block_bytes: count(
            "max_block_bytes",
            file.max_block_bytes,
            &BLOCK_BYTES,
            default.max_block_bytes,
        )?,
        max_pool: count("max_pool", file.max_pool, &POOL, default.max_pool)?,
        block_interval: span("block_interval_ms", file.block_interval_ms, default.block_interval)?,
        propose_timeout: span("propose_timeout_ms", file.propose_timeout_ms, default.propose_timeout)?,
        vote_timeout: span("vote_timeout_ms", file.vote_timeout_ms, default.vote_timeout)?,
        timeout_delta: span("timeout_delta_ms", file.timeout_delta_ms, default.timeout_delta)?,
        max_timeout: span("max_timeout_ms", file.max_timeout_ms, default.max_timeout)?,
        rebroadcast_interval: span(
            "rebroadcast_interval_ms",
            file.rebroadcast_interval_ms,
            default.rebroadcast_interval,
        )?,
        snapshot_interval: file.snapshot_interval.unwrap_or(default.snapshot_interval),
    };
    check_relations(path, &timing)?;
    Ok(timing)
}

/// What one key alone cannot tell.
fn check_relations(path: &Path, timing: &Timing) -> Result<(), ConfigError> {
    let advice = "change one of the two, on all nodes of this network";
    let rules = [
        ("propose_timeout_ms", timing.propose_timeout, "max_timeout_ms", timing.max_timeout),
        ("vote_timeout_ms", timing.vote_timeout, "max_timeout_ms", timing.max_timeout),
        ("vote_timeout_ms", timing.vote_timeout, "propose_timeout_ms", timing.propose_timeout),
    ];
    for (lower, low, upper, high) in rules {
        if low > high {
            return Err(ConfigError::new(
                path,
                format!("`chain.{lower}`"),
                format!("{} is above chain.{upper}, which is {}", low.as_millis(), high.as_millis()),
                format!("at most chain.{upper}"),
                advice,
            ));
        }
    }
    if timing.rebroadcast_interval.is_zero() {
        return Err(ConfigError::new(
            path,
            "`chain.rebroadcast_interval_ms`",
            "0: an unfinished round would say everything again without a pause",
            "at least 1; 250 unless there is a reason",
            "leave the key out",
        ));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisFile {
    account: Vec<AccountFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountFile {
    id: u32,
    balance: u64,
}

/// Read the opening balances; the same on all nodes of a network.
///
/// # Errors
/// The file is unreadable or names an account twice.
pub fn read_genesis(path: &Path) -> Result<Vec<(u32, u64)>, ConfigError> {
    let file: GenesisFile =
        read_toml(path, "copy the genesis file of this network, unchanged, to every node")?;
    let mut accounts: Vec<_> = file.account.iter().map(|a| (a.id, a.balance)).collect();
    accounts.sort_unstable();
    for pair in accounts.windows(2) {
        if let [(first, _), (second, _)] = pair
            && first == second
        {
            return Err(ConfigError::new(
                path,
                format!("`account` {first}"),
                "listed twice",
                "each account once",
                "copy the genesis file of this network, unchanged, to every node",
            ));
        }
    }
    Ok(accounts)
}
