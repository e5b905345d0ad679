//! `duohuo store`: makes the store of a new process, and copies the chain of one: never what a node said or promised.

use crate::access::{Access, AccessArgs};
use crate::failure::{EXIT_HELP, Failure};
use crate::{history, ledger};
use clap::{Args, Subcommand};
use duohuo_driver::DriverError;
use duohuo_driver::config::{AuthoritySettings, NodeSettings};
use duohuo_driver::config_keys::{Process, process_of};
use duohuo_driver::store::{ChainCopy, Identity, OpenMode, OpenStore, Restoring, StoreError};
use duohuo_wire::ids::NodeId;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Make the store of a process before its very first start; back up and restore the chain that a node holds
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make it; refused if there is one: a node that lost its store must not start again under its number
    #[command(after_help = format!("There is no copy of a whole store to restore from, on purpose: a node that forgets what it said could contradict it. A node whose \
disk is lost comes back under a new number: duohuo roster replace, then store init or store restore. Its keys, its configuration, the roster and the genesis are \
made again by duohuo roster pack.\n\n{EXIT_HELP}"))]
    Init {
        /// The configuration of the node or of the authority
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Copy the chain out of the store of a node that is stopped: blocks and snapshots, nothing that it said or promised
    #[command(after_help = format!("Stop a standby or an ordinary node for it (systemctl stop duohuo-node): its cluster goes on, and it catches up afterwards. The copy serves \
any node of the network, not only this one.\n\n{EXIT_HELP}"))]
    Backup {
        /// The configuration of the node
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// A new file, readable by its owner alone
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Make the store of a new node with the chain of a backup in it, after every block was proven; the node starts without --init,
    /// joins as one that has said nothing, and fetches only what is newer
    #[command(after_help = format!("Refused under a number that the authority's history names: such a node has spoken, and could contradict itself. duohuo roster replace \
gives the machine a new number under its old name.\n\n{EXIT_HELP}"))]
    Restore {
        /// The configuration of the new node
        #[arg(long, value_name = "FILE")]
        node: PathBuf,
        /// What store backup made
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        #[command(flatten)]
        access: AccessArgs,
        /// Seconds to wait for each answer
        #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
        timeout: u64,
    },
}

pub(crate) fn run(args: &StoreArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Init { config } => init(config),
        What::Backup { config, out } => backup(config, out),
        What::Restore { node, from, access, timeout } => {
            restore(node, from, &Access::open(access)?, Duration::from_secs(*timeout))
        }
    }
}

fn init(config: &Path) -> Result<ExitCode, Failure> {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let (store, identity) = match process_of(&text) {
        Some(Process::Authority) => {
            let s = AuthoritySettings::read(config)?;
            (s.store, Identity { consortium: s.roster.consortium, node: NodeId::AUTHORITY })
        }
        _ => {
            let s = NodeSettings::read(config)?;
            let identity = identity(&s);
            (s.store, identity)
        }
    };
    OpenStore::open(&store, identity, OpenMode::Create).map_err(DriverError::from)?;
    println!("made {}; from now on start without --init", store.display());
    Ok(ExitCode::SUCCESS)
}

fn identity(settings: &NodeSettings) -> Identity {
    Identity { consortium: settings.roster.consortium, node: settings.node }
}

fn backup(config: &Path, out: &Path) -> Result<ExitCode, Failure> {
    let settings = NodeSettings::read(config)?;
    let store = match OpenStore::open(&settings.store, identity(&settings), OpenMode::Existing) {
        Err(StoreError::Locked { path }) => {
            return Err(Failure::failed(format!(
                "store {}: its node is running; expected it stopped: stop a node that is not master (systemctl stop duohuo-node; its cluster goes on), and start it afterwards",
                path.display()
            )));
        }
        store => store.map_err(DriverError::from)?,
    };
    if out.exists() {
        return Err(Failure::failed(format!(
            "{}: there is a file already; expected a new one: a backup is never written over",
            out.display()
        )));
    }
    let bytes = store.copy_chain(out).map_err(DriverError::from)?;
    println!("{}: the chain of node {}, {bytes} bytes; start the node again", out.display(), settings.node.0);
    Ok(ExitCode::SUCCESS)
}

fn restore(config: &Path, from: &Path, access: &Access, timeout: Duration) -> Result<ExitCode, Failure> {
    let settings = NodeSettings::read(config)?;
    never_spoke(&settings, access, timeout)?;
    let copy = ChainCopy::open(from).map_err(DriverError::from)?;
    let restoring =
        Restoring::begin(&settings.store, identity(&settings), &copy).map_err(DriverError::from)?;
    let proven = ledger::prove(access, &settings, restoring.store(), timeout).inspect_err(|_| {
        // it proves nothing: not even the beginning of a store
        let _ = std::fs::remove_file(restoring.store().path());
    })?;
    restoring.finish().map_err(DriverError::from)?;
    println!(
        "made {} with the chain of node {}: {proven}; start the node without --init",
        settings.store.display(),
        copy.of().node.0
    );
    Ok(ExitCode::SUCCESS)
}

/// Who was ever in a set may have said and promised what only its lost store knows.
fn never_spoke(settings: &NodeSettings, access: &Access, timeout: Duration) -> Result<(), Failure> {
    let node = settings.node;
    let name = settings.roster.node(node).map_or_else(|| node.0.to_string(), |(_, n)| n.name.clone());
    let record = history::read(access, timeout)?;
    let named = record.entries.iter().find(|e| [e.old, e.new, e.node].contains(&node));
    if let Some(entry) = named {
        return Err(Failure::failed(format!(
            "{name} (number {}) has spoken: decision {} of the authority names it; expected a new number, since what it said and promised is not in a backup: duohuo roster replace \
             --node {name}, then pack it and restore",
            node.0, entry.number
        )));
    }
    let runs = access.nodes().into_iter().find(|server| server.id == node);
    if runs.is_some_and(|server| access.status(&server, Duration::from_secs(1)).is_ok()) {
        return Err(Failure::failed(format!(
            "{name} (number {}) is running; expected a node that was never started",
            node.0
        )));
    }
    Ok(())
}
