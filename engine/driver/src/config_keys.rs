//! The keys of the configurations, one by one: who has them, what they default to, which may change while the process
//! runs. What a configuration amounts to with its defaults, how two differ, and where in its file a key stands.

use crate::config::{ConfigError, unreadable};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Whose configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Process {
    /// A node.
    Node,
    /// The authority.
    Authority,
    /// A command that looks or submits.
    Client,
}

/// One key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Dotted.
    pub name: &'static str,
    /// Who has it.
    pub of: &'static [Process],
    /// As TOML; `None`: it must be there; empty: without it the thing is off.
    pub default: Option<&'static str>,
    /// SIGHUP is enough.
    pub live: bool,
    /// The same on all processes of a network.
    pub shared: bool,
    /// One line for people.
    pub help: &'static str,
}

const NODE: &[Process] = &[Process::Node];
const CLIENT: &[Process] = &[Process::Client];
const AUTHORITY: &[Process] = &[Process::Authority];
const SERVERS: &[Process] = &[Process::Node, Process::Authority];
const ALL: &[Process] = &[Process::Node, Process::Authority, Process::Client];

const fn required(name: &'static str, of: &'static [Process], help: &'static str) -> Key {
    Key { name, of, default: None, live: false, shared: false, help }
}

const fn shared(
    name: &'static str,
    of: &'static [Process],
    default: &'static str,
    help: &'static str,
) -> Key {
    Key { name, of, default: Some(default), live: false, shared: true, help }
}

/// A key of `[hooks]` that is off without a value.
const fn hook(name: &'static str, help: &'static str) -> Key {
    plain(name, NODE, "", help)
}

const fn plain(name: &'static str, of: &'static [Process], default: &'static str, help: &'static str) -> Key {
    Key { name, of, default: Some(default), live: false, shared: false, help }
}

const fn live(name: &'static str, of: &'static [Process], default: &'static str, help: &'static str) -> Key {
    Key { name, of, default: Some(default), live: true, shared: false, help }
}

/// All of them, in the order in which a file has them.
pub const KEYS: &[Key] = &[
    required("node", NODE, "this node's number in the roster"),
    required("roster", ALL, "the signed roster; paths are relative to this file"),
    required("operator_public_key", ALL, "64 hex digits: rosters signed by any other key are refused"),
    required("store", SERVERS, "what it must not forget; never copied, never lent"),
    required("genesis", NODE, "opening balances, the same file on every node; not with hooks"),
    shared(
        "chain",
        NODE,
        "",
        "\"hooks\": an existing service under the programs of [hooks], in the place of the embedded chain",
    ),
    required("key", CLIENT, "the client's key file"),
    required("keys.session", SERVERS, "X25519, mode 0600"),
    required("keys.signing", SERVERS, "Ed25519, mode 0600"),
    required("keys.group", NODE, "the secret of the cluster's multicast group, mode 0600"),
    required("keys.sealing", AUTHORITY, "X25519, seals cluster IDs, mode 0600"),
    shared(
        "timers.keepalive_interval_ms",
        SERVERS,
        "100",
        "1..=10000; every other span of the protocol follows from it",
    ),
    plain(
        "wire.lowest",
        SERVERS,
        "1",
        "1..=2; the lowest version of the wire that is spoken; 2 shuts out programs that know only 1",
    ),
    plain(
        "wire.highest",
        SERVERS,
        "2",
        "1..=2; the highest that is offered; 1 holds the process to what the release before spoke",
    ),
    shared("chain.block_interval_ms", NODE, "10", "from a commit to the next height, at least"),
    shared("chain.propose_timeout_ms", NODE, "150", "how long a round waits for its proposal"),
    shared(
        "chain.vote_timeout_ms",
        NODE,
        "50",
        "how long a round waits for more votes; at most propose_timeout_ms",
    ),
    shared("chain.timeout_delta_ms", NODE, "50", "what each round adds to both"),
    shared("chain.max_timeout_ms", NODE, "10000", "neither grows beyond this"),
    shared(
        "chain.rebroadcast_interval_ms",
        NODE,
        "250",
        "how often an unfinished round says everything again",
    ),
    plain(
        "chain.max_block_transactions",
        NODE,
        "10000",
        "1..=1000000; of a block that this node makes; it takes what others make, up to 4 MiB",
    ),
    plain(
        "chain.max_block_bytes",
        NODE,
        "1048576",
        "4096..=4194304; above the default raise propose_timeout_ms: a block must reach all masters within it",
    ),
    plain(
        "chain.max_pool",
        NODE,
        "20000",
        "1..=10000000; transactions that wait; more are told to try later",
    ),
    shared(
        "chain.snapshot_interval",
        NODE,
        "1000",
        "a snapshot at every multiple of this height, 0 never; another value is another chain",
    ),
    Key {
        name: "chain.keep_blocks",
        of: NODE,
        default: Some("100000"),
        live: true,
        shared: false,
        help: "blocks kept below the newest proven snapshot; older ones are pruned",
    },
    hook("hooks.name", "what programs are given as the instance's name; without it the cluster's"),
    plain("hooks.type", NODE, "\"INSTANCE\"", "what they are given as its type: \"INSTANCE\" or \"GROUP\""),
    hook(
        "hooks.notify",
        "[\"/path/program\", \"argument\"]: in the place of promote and demote where these are missing",
    ),
    hook("hooks.promote", "makes the service act; never run without the lease"),
    hook("hooks.demote", "ends that, in whatever state the service is; 0 only if it has ended"),
    hook("hooks.kill", "ends it by force, when demote failed or hung"),
    hook("hooks.health", "0: the service is well"),
    hook("hooks.sync", "0: this copy is in step; prints its position, a number"),
    hook(
        "hooks.cover",
        "makes the service wait for each of DUOHUO_IN_SYNC; 0 only if they hold all that was confirmed",
    ),
    hook("hooks.follow", "makes this copy follow DUOHUO_MASTER"),
    hook("hooks.fifo", "keepalived's lines at each change of state; made if it is not there"),
    hook(
        "hooks.socket",
        "where the service tells results and consensus errors, and asks who acts; mode 0600",
    ),
    shared(
        "hooks.lease_ms",
        NODE,
        "6000",
        "200..=600000; what a crash of the master costs, and then promote",
    ),
    shared("hooks.margin_ms", NODE, "3000", "50..=600000; at the end of the lease, for demote and kill"),
    shared("hooks.drift_ppm", NODE, "1000", "how much faster one node's clock may run than another's"),
    plain("hooks.promote_limit_ms", NODE, "30000", "10..=3600000; then it is killed, and tried again"),
    plain("hooks.demote_limit_ms", NODE, "1500", "10..=600000; with kill_limit_ms + 200 within margin_ms"),
    plain("hooks.kill_limit_ms", NODE, "1000", "10..=600000"),
    plain("hooks.check_limit_ms", NODE, "2000", "10..=600000; of health, sync and cover"),
    plain("hooks.follow_limit_ms", NODE, "600000", "10..=86400000"),
    plain("hooks.check_interval_ms", NODE, "1000", "10..=600000; between two runs of health, and of sync"),
    plain(
        "hooks.health_weight",
        NODE,
        "0",
        "what failing health takes off the priority; 0: the node is unfit and gives its role away",
    ),
    plain("hooks.health_fall", NODE, "3", "so many failures in a row until it is unwell"),
    plain("hooks.health_rise", NODE, "2", "so many successes in a row until it is well again"),
    plain(
        "vip.address",
        NODE,
        "",
        "\"10.0.0.9/24\": follows whoever acts; duohuo-vip --config with this file holds it",
    ),
    plain("vip.interface", NODE, "", "\"eth0\": where"),
    plain(
        "vip.socket",
        NODE,
        "\"vip.sock\"",
        "where duohuo-vip asks this node, mode 0600; with hooks it is hooks.socket",
    ),
    shared("vip.lease_ms", NODE, "3000", "50..=600000; what a crash of the master costs the address"),
    shared("vip.margin_ms", NODE, "500", "50..=600000; at the end of the lease, in which it is given up"),
    shared("vip.drift_ppm", NODE, "1000", "how much faster one node's clock may run than another's"),
    live("drill.allow", NODE, "false", "whether SIGUSR1 may make this node compute wrong results"),
    plain(
        "control.socket",
        SERVERS,
        "",
        "where duohuo control speaks to this process; its user and root may, and who is named below; without it there is none",
    ),
    plain("control.users", SERVERS, "[]", "numbers of users that may, too"),
    plain("control.groups", SERVERS, "[]", "numbers of groups: whose primary group it is may, too"),
    Key {
        name: "http.listen",
        of: SERVERS,
        default: Some(""),
        live: true,
        shared: false,
        help: "status page, metrics, health answers, read-only: \"127.0.0.1:4752\"; without it there are none",
    },
    Key {
        name: "log.format",
        of: SERVERS,
        default: Some("\"plain\""),
        live: true,
        shared: false,
        help: "\"plain\" or \"json\"",
    },
    live("log.level", SERVERS, "\"info\"", "\"error\", \"warn\", \"info\" or \"debug\""),
];

/// One key with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// Dotted.
    pub name: String,
    /// As TOML; empty: off.
    pub value: String,
    /// In the file, or by default.
    pub in_file: bool,
    /// What is known of the key.
    pub key: Option<&'static Key>,
}

/// Whether a key has a meaning where `chain` is, or is not, "hooks".
fn has_meaning(name: &str, hooks: bool) -> bool {
    match name {
        "genesis" => !hooks,
        "chain" => hooks,
        "vip.socket" | "vip.lease_ms" | "vip.margin_ms" | "vip.drift_ppm" => !hooks,
        _ if name.starts_with("chain.") => !hooks,
        _ if name.starts_with("hooks.") => hooks,
        _ => true,
    }
}

/// Whose configuration a text is, by the keys that it has.
#[must_use]
pub fn process_of(text: &str) -> Option<Process> {
    let table = toml::from_str::<toml::Table>(text).ok()?;
    let has = |key: &str| table.contains_key(key);
    if has("node") {
        Some(Process::Node)
    } else if has("key") {
        Some(Process::Client)
    } else if has("store") || has("keys") {
        Some(Process::Authority)
    } else {
        None
    }
}

/// All keys of a configuration, with the defaults of those that are not in the file.
///
/// # Errors
/// The file cannot be read, or is no TOML.
pub fn effective(path: &Path, process: Process) -> Result<Vec<Effective>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        ConfigError::new(
            path,
            "file",
            e.to_string(),
            "a readable TOML file",
            unreadable(path, &e).unwrap_or_else(|| "check the path and its permissions".into()),
        )
    })?;
    let mut found = BTreeMap::new();
    let table = DeTable::parse(&text).map_err(|e| {
        let mut error =
            ConfigError::new(path, "syntax", e.message().replace('\n', " "), "TOML", "correct it there");
        error.span = e.span().map(Box::new);
        error
    })?;
    flatten("", table.get_ref(), &mut found);
    let hooks = found.contains_key("chain");
    let known = KEYS.iter().filter(|k| k.of.contains(&process) && has_meaning(k.name, hooks));
    let mut all: Vec<Effective> = known
        .map(|key| {
            let value = found.remove(key.name);
            Effective {
                name: key.name.into(),
                in_file: value.is_some(),
                value: value.unwrap_or_else(|| key.default.unwrap_or_default().into()),
                key: Some(key),
            }
        })
        .collect();
    all.extend(found.into_iter().map(|(name, value)| Effective { name, value, in_file: true, key: None }));
    Ok(all)
}

/// What two configurations have differently: key, first, second; "nothing" where one has it not.
#[must_use]
pub fn differences(first: &[Effective], second: &[Effective]) -> Vec<(String, String, String)> {
    let told = |all: &[Effective], name: &str| {
        all.iter()
            .find(|e| e.name == name && !e.value.is_empty())
            .map_or("nothing".into(), |e| e.value.clone())
    };
    let mut names: Vec<&String> = first.iter().map(|e| &e.name).collect();
    names.extend(second.iter().map(|e| &e.name).filter(|n| first.iter().all(|e| e.name != **n)));
    let each = names.into_iter().map(|name| (name.clone(), told(first, name), told(second, name)));
    each.filter(|(_, a, b)| a != b).collect()
}

/// A complete file with a line of explanation for each key; keys that are not given a value stand there as comments. With a
/// value of `chain` it is one with hooks.
#[must_use]
pub fn example(process: Process, values: &BTreeMap<&str, String>) -> String {
    let whose = match process {
        Process::Node => "a node",
        Process::Authority => "the authority",
        Process::Client => "a client",
    };
    let mut out = format!(
        "# Configuration of {whose}; paths are relative to this file. Check it: duohuo config check FILE\n"
    );
    let mut section = "";
    let hooks = values.contains_key("chain");
    for key in KEYS.iter().filter(|k| k.of.contains(&process) && has_meaning(k.name, hooks)) {
        let (table, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        // writing to a string cannot fail
        if table != section {
            section = table;
            let _ = write!(out, "\n[{table}]\n");
        }
        let mut about = key.help.to_owned();
        if key.shared {
            about.push_str("; the same for the whole network");
        }
        if key.live {
            about.push_str("; SIGHUP is enough");
        }
        let _ = writeln!(out, "# {about}");
        let _ = match (values.get(key.name), key.default) {
            (Some(value), _) => writeln!(out, "{name} = {value}"),
            (None, Some("")) => writeln!(out, "# {name} = "),
            (None, Some(default)) => writeln!(out, "# {name} = {default}"),
            (None, None) => writeln!(out, "# {name} =        # required"),
        };
    }
    out
}

/// Where the value of a dotted key stands; of a key that is not there, the header of its table.
#[must_use]
pub fn place(text: &str, key: &str) -> Option<Range<usize>> {
    let table = DeTable::parse(text).ok()?;
    let mut here = table.get_ref();
    let mut found = None;
    for part in key.split('.') {
        let (name, value) = here.iter().find(|(k, _)| k.get_ref() == part)?;
        found = Some(match value.get_ref() {
            DeValue::Table(_) => name.span(),
            _ => value.span(),
        });
        match value.get_ref() {
            DeValue::Table(inner) => here = inner,
            _ => break,
        }
    }
    found
}

fn flatten(prefix: &str, table: &DeTable<'_>, out: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => flatten(&name, inner, out),
            other => {
                out.insert(name, text_of(other));
            }
        }
    }
}

fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) => toml::Value::String(s.to_string()).to_string(),
        DeValue::Integer(i) => i.to_string(),
        DeValue::Float(f) => f.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => d.to_string(),
        DeValue::Array(items) => {
            let items: Vec<_> = items.iter().map(|i| text_of(i.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(_) => "{..}".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What a reader of files says it expects where a key is that it does not know.
    fn expected(error: &str) -> BTreeSet<String> {
        let list = error.split("expected").nth(1).unwrap_or_default();
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn written(process: Process) -> (tempfile::TempDir, std::path::PathBuf) {
        written_with(process, &[])
    }

    fn written_with(
        process: Process,
        more: &[(&'static str, &str)],
    ) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("it.toml");
        let values = KEYS.iter().filter(|k| k.default.is_none()).map(|k| {
            let value = if k.name == "node" { "101".into() } else { "\"x\"".into() };
            (k.name, value)
        });
        let values = values.chain(more.iter().map(|(key, value)| (*key, (*value).to_owned()))).collect();
        std::fs::write(&path, example(process, &values)).expect("write");
        (directory, path)
    }

    fn refusal(path: &Path, process: Process) -> String {
        match process {
            Process::Node => crate::config::NodeSettings::read(path).map(|_| ()),
            _ => crate::config::AuthoritySettings::read(path).map(|_| ()),
        }
        .expect_err("refused")
        .to_string()
    }

    #[test]
    fn the_list_of_keys_is_what_the_readers_of_the_files_know() {
        for process in [Process::Node, Process::Authority] {
            let (_directory, path) = written(process);
            let text = std::fs::read_to_string(&path).expect("read");
            let of = |table: &str| -> BTreeSet<String> {
                KEYS.iter()
                    .filter(|k| k.of.contains(&process))
                    .filter_map(|k| k.name.strip_prefix(table))
                    .map(|rest| rest.split('.').next().unwrap_or_default().to_owned())
                    .collect()
            };
            std::fs::write(&path, format!("wrong = 1\n{text}")).expect("write");
            assert_eq!(expected(&refusal(&path, process)), of(""), "{process:?}");
            for table in of("") {
                let header = format!("\n[{table}]\n");
                if !text.contains(&header) {
                    continue;
                }
                std::fs::write(&path, text.replacen(&header, &format!("{header}wrong = 1\n"), 1))
                    .expect("write");
                assert_eq!(
                    expected(&refusal(&path, process)),
                    of(&format!("{table}.")),
                    "{process:?} {table}"
                );
            }
        }
    }

    #[test]
    fn the_keys_of_hooks_are_what_their_reader_knows() {
        let (_directory, path) = written_with(Process::Node, &[("chain", "\"hooks\"")]);
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(!text.contains("[chain]") && !text.contains("genesis ="), "{text}");
        std::fs::write(&path, text.replacen("\n[hooks]\n", "\n[hooks]\nwrong = 1\n", 1)).expect("write");
        let keys = KEYS.iter().filter_map(|k| k.name.strip_prefix("hooks.")).map(str::to_owned).collect();
        assert_eq!(expected(&refusal(&path, Process::Node)), keys);
        let all = effective(&path, Process::Node).expect("read");
        assert!(all.iter().all(|e| e.name != "genesis" && !e.name.starts_with("chain.")));
        let lease = all.iter().find(|e| e.name == "hooks.lease_ms").expect("there");
        assert_eq!((lease.value.as_str(), lease.in_file), ("6000", false));
    }

    #[test]
    fn the_defaults_of_hooks_are_those_of_the_code() {
        use crate::hooks::settings::default as of;
        let default = |name: &str| {
            KEYS.iter().find(|k| k.name == name).and_then(|k| k.default).and_then(|d| d.parse::<u64>().ok())
        };
        for (name, value) in [
            ("hooks.lease_ms", of::LEASE_MS),
            ("hooks.margin_ms", of::MARGIN_MS),
            ("hooks.drift_ppm", of::DRIFT_PPM.into()),
            ("hooks.promote_limit_ms", of::PROMOTE_LIMIT_MS),
            ("hooks.demote_limit_ms", of::DEMOTE_LIMIT_MS),
            ("hooks.kill_limit_ms", of::KILL_LIMIT_MS),
            ("hooks.check_limit_ms", of::CHECK_LIMIT_MS),
            ("hooks.follow_limit_ms", of::FOLLOW_LIMIT_MS),
            ("hooks.check_interval_ms", of::CHECK_INTERVAL_MS),
            ("hooks.health_weight", of::HEALTH_WEIGHT.into()),
            ("hooks.health_fall", of::HEALTH_FALL.into()),
            ("hooks.health_rise", of::HEALTH_RISE.into()),
        ] {
            assert_eq!(default(name), Some(value), "{name}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_code() {
        let timing = duohuo_chain::Timing::default();
        let default = |name: &str| {
            KEYS.iter().find(|k| k.name == name).and_then(|k| k.default).and_then(|d| d.parse::<u128>().ok())
        };
        for (name, span) in [
            ("chain.block_interval_ms", timing.block_interval),
            ("chain.propose_timeout_ms", timing.propose_timeout),
            ("chain.vote_timeout_ms", timing.vote_timeout),
            ("chain.timeout_delta_ms", timing.timeout_delta),
            ("chain.max_timeout_ms", timing.max_timeout),
            ("chain.rebroadcast_interval_ms", timing.rebroadcast_interval),
        ] {
            assert_eq!(default(name), Some(span.as_millis()), "{name}");
        }
        assert_eq!(default("timers.keepalive_interval_ms"), Some(100));
        assert_eq!(default("chain.snapshot_interval"), Some(u128::from(timing.snapshot_interval)));
        for (name, count) in [
            ("chain.max_block_transactions", timing.max_block_transactions),
            ("chain.max_block_bytes", timing.max_block_bytes),
            ("chain.max_pool", timing.max_pool),
        ] {
            assert_eq!(default(name), u128::try_from(count).ok(), "{name}");
        }
        assert_eq!(default("vip.lease_ms"), Some(u128::from(crate::vip::LEASE_MS)));
        assert_eq!(default("vip.margin_ms"), Some(u128::from(crate::vip::MARGIN_MS)));
        assert_eq!(default("vip.drift_ppm"), Some(u128::from(crate::vip::DRIFT_PPM)));
        assert_eq!(default("chain.keep_blocks"), Some(u128::from(crate::config_chain::KEEP_BLOCKS)));
    }

    #[test]
    fn what_a_configuration_amounts_to_has_its_defaults_and_how_two_differ_is_told_by_key() {
        let (_first, first) = written(Process::Node);
        let (_second, second) = written(Process::Node);
        let text = std::fs::read_to_string(&second).expect("read");
        let changed = text
            .replace("# level = \"info\"", "level = \"debug\"")
            .replace("[http]\n", "[http]\nlisten = \"[::1]:1\"\n");
        std::fs::write(&second, changed).expect("write");
        let (first, second) = (
            effective(&first, Process::Node).expect("read"),
            effective(&second, Process::Node).expect("read"),
        );
        let level = first.iter().find(|e| e.name == "log.level").expect("there");
        assert_eq!((level.value.as_str(), level.in_file), ("\"info\"", false));
        assert_eq!(
            differences(&first, &second),
            [
                ("http.listen".to_owned(), "nothing".to_owned(), "\"[::1]:1\"".to_owned()),
                ("log.level".to_owned(), "\"info\"".to_owned(), "\"debug\"".to_owned())
            ]
        );
    }

    #[test]
    fn a_key_has_a_place_and_one_that_is_missing_has_none() {
        let text = "a = 1\n[t]\nb = 22\n";
        assert_eq!(place(text, "t.b"), Some(14..16));
        assert_eq!(place(text, "a"), Some(4..5));
        assert_eq!(place(text, "t.c"), None);
    }
}
