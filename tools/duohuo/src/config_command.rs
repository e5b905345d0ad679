//! `duohuo config`: a commented example, a check before a start, what a file amounts to, and how two differ.

use crate::access::Access;
use crate::failure::{EXIT_HELP, FAILED, Failure};
use clap::{Args, Subcommand, ValueEnum};
use duohuo_core::config::Timers;
use duohuo_driver::config::{AuthoritySettings, ConfigError, NodeSettings, warnings};
use duohuo_driver::config_keys::{self, Effective, Process};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Make, check, show and compare configurations; nothing of it touches a running process
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

/// Whose configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Whose {
    /// Of a node.
    Node,
    /// Of the authority.
    Authority,
    /// Of a command that looks or submits.
    Client,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Print a complete configuration with a line about each key
    #[command(after_help = EXIT_HELP)]
    Init {
        /// Whose
        whose: Whose,
        /// The node's number in the roster
        #[arg(long, value_name = "NUMBER", required_if_eq("whose", "node"))]
        node: Option<u32>,
        /// operator.pub
        #[arg(long, value_name = "FILE")]
        operator_public_key: Option<PathBuf>,
        /// Of a node that runs an existing service by programs, in the place of the embedded chain
        #[arg(long)]
        hooks: bool,
        /// Write it there; never over a file that is there
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Read a configuration and every file that it names, as a start would
    #[command(after_help = "Exit status: 0 it can be used (warnings do not change that); 4 it cannot")]
    Check {
        /// The configuration
        file: PathBuf,
    },
    /// Print what a configuration says, one key a line
    #[command(after_help = EXIT_HELP)]
    Show {
        /// The configuration
        file: PathBuf,
        /// The defaults of all other keys too, and the spans that follow from the keepalive interval
        #[arg(long)]
        effective: bool,
    },
    /// Compare two configurations, defaults included
    #[command(after_help = "Exit status: 0 they say the same; 1 they differ; 4 one cannot be read")]
    Diff {
        /// One
        first: PathBuf,
        /// The other
        second: PathBuf,
    },
}

pub(crate) fn run(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Init { whose, node, operator_public_key, hooks, out } => {
            let text = init(*whose, *node, operator_public_key.as_deref(), *hooks)?;
            match out {
                None => print!("{text}"),
                Some(path) => {
                    write_new(path, &text)?;
                    println!("made {}; when its files are in place: duohuo config check {0}", path.display());
                }
            }
        }
        What::Check { file } => println!("{}", check(file)?),
        What::Show { file, effective } => print!("{}", show(file, *effective)?),
        What::Diff { first, second } => {
            let (process, one) = read(first)?;
            let (_, other) = read(second)?;
            let differences = config_keys::differences(&one, &other);
            for (key, a, b) in &differences {
                let shared =
                    config_keys::KEYS.iter().any(|k| k.name == key && k.shared && k.of.contains(&process));
                let must = if shared { "   must be the same for the whole network" } else { "" };
                println!("{key}: {a} -> {b}{must}");
            }
            if !differences.is_empty() {
                return Ok(ExitCode::from(FAILED));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn init(whose: Whose, node: Option<u32>, operator: Option<&Path>, hooks: bool) -> Result<String, Failure> {
    if hooks && whose != Whose::Node {
        return Err(Failure::failed("--hooks: expected with `node`: only nodes have a chain"));
    }
    let mut values = BTreeMap::new();
    let mut say = |key, value: String| values.insert(key, value);
    let text = |path: &str| format!("\"{path}\"");
    let key = match operator {
        None => "\"\"   # operator.pub".into(),
        Some(path) => {
            let read = std::fs::read_to_string(path);
            text(read.map_err(|e| Failure::invalid(format!("{}: {e}", path.display())))?.trim())
        }
    };
    say("operator_public_key", key);
    say("roster", text("roster.toml"));
    let process = match whose {
        Whose::Node => {
            say("node", node.unwrap_or(0).to_string());
            say("store", text("node.redb"));
            if hooks {
                say("chain", text("hooks"));
            } else {
                say("genesis", text("genesis.toml"));
            }
            say("keys.group", text("group.key"));
            Process::Node
        }
        Whose::Authority => {
            say("store", text("authority.redb"));
            say("keys.sealing", text("sealing.key"));
            Process::Authority
        }
        Whose::Client => {
            say("key", text("client.key"));
            Process::Client
        }
    };
    if process != Process::Client {
        say("keys.session", text("session.key"));
        say("keys.signing", text("signing.key"));
    }
    Ok(config_keys::example(process, &values))
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes())).map_err(|e| {
        Failure::failed(format!("{}: {e}; expected a new file in a writable directory", path.display()))
    })
}

fn process_of(path: &Path) -> Result<Process, ConfigError> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    if let Some(process) = config_keys::process_of(&text) {
        return Ok(process);
    }
    // the reader says what is wrong with a file that is missing or no TOML
    config_keys::effective(path, Process::Client)?;
    Err(ConfigError::new(
        path,
        "file",
        "it has neither `node` nor `store` nor `key`",
        "the configuration of a node, of the authority or of a client",
        "duohuo config init prints examples",
    ))
}

fn read(path: &Path) -> Result<(Process, Vec<Effective>), ConfigError> {
    let process = process_of(path)?;
    Ok((process, config_keys::effective(path, process)?))
}

fn check(path: &Path) -> Result<String, Failure> {
    let (what, warned) = match process_of(path)? {
        Process::Node => {
            let settings = NodeSettings::read(path)?;
            let place =
                settings.roster.node(settings.node).map(|(c, n)| (c.name.clone(), n.name.clone(), n.room));
            let (cluster, name, room) = place.unwrap_or_default();
            let mut what = format!(
                "node {} ({name} of cluster {cluster}, room {}), roster version {}, keepalives every {} ms",
                settings.node.0,
                room.0,
                settings.roster.version,
                settings.timers.keepalive_interval.as_millis()
            );
            if let Some(hooks) = &settings.hooks {
                let _ = write!(what, ", hooks with a lease of {} ms", hooks.lease_ms);
            }
            (what, {
                let hooks = settings.hooks.as_ref();
                let chain = hooks.is_none().then_some(&settings.chain);
                warnings(&settings.timers, chain, hooks, settings.http)
            })
        }
        Process::Authority => {
            let settings = AuthoritySettings::read(path)?;
            let what = format!(
                "the authority of {} clusters, roster version {}, keepalives every {} ms",
                settings.roster.clusters.len(),
                settings.roster.version,
                settings.timers.keepalive_interval.as_millis()
            );
            (what, warnings(&settings.timers, None, None, settings.http))
        }
        Process::Client => {
            let access = Access::from_config(path)?;
            (
                format!("client {}, roster version {}", access.credentials.id.0, access.roster.version),
                Vec::new(),
            )
        }
    };
    let mut out = format!("{}: good: {what}", path.display());
    for warning in warned {
        let _ = write!(out, "\nwarning: {warning}");
    }
    Ok(out)
}

fn show(path: &Path, effective: bool) -> Result<String, Failure> {
    let (_, keys) = read(path)?;
    let mut out = String::new();
    for entry in keys.iter().filter(|e| effective || e.in_file) {
        let mut notes = Vec::new();
        if !entry.in_file {
            notes.push(if entry.value.is_empty() { "off" } else { "default" });
        }
        if entry.key.is_some_and(|k| k.shared) {
            notes.push("the same for the whole network");
        }
        if entry.key.is_some_and(|k| k.live) {
            notes.push("SIGHUP is enough");
        }
        let value = if entry.value.is_empty() { "-" } else { &entry.value };
        let notes = if notes.is_empty() { String::new() } else { format!("   # {}", notes.join("; ")) };
        let _ = writeln!(out, "{} = {value}{notes}", entry.name);
    }
    let keepalive = keys.iter().find(|e| e.name == "timers.keepalive_interval_ms");
    if let Some(ms) = keepalive.filter(|_| effective).and_then(|e| e.value.parse().ok()) {
        let t = Timers::for_keepalive(std::time::Duration::from_millis(ms));
        let _ = writeln!(out, "\n# what follows from the keepalive interval (spec/behaviour.md, section 2)");
        for (name, span) in [
            ("suspect_interval", t.suspect_interval),
            ("dead_interval", t.dead_interval),
            ("sync_interval", t.sync_interval),
            ("startup_interval", t.startup_interval),
            ("redial_interval", t.redial_interval),
        ] {
            let _ = writeln!(out, "# {name} = {} ms", span.as_millis());
        }
    }
    Ok(out)
}
