//! `duohuo store`: makes the store of a new process, and nothing else: a store that is there is never replaced.

use crate::failure::{EXIT_HELP, Failure};
use clap::{Args, Subcommand};
use duohuo_driver::DriverError;
use duohuo_driver::config::{AuthoritySettings, NodeSettings};
use duohuo_driver::config_keys::{Process, process_of};
use duohuo_driver::store::{Identity, OpenMode, OpenStore};
use duohuo_wire::ids::NodeId;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make the store of a process before its very first start
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make it; refused if there is one: a node that lost its store must not start again under its number
    #[command(after_help = format!("There is no copy of a store to restore from, on purpose: a node that forgets what it said could contradict it. A node whose disk is \
lost comes back under a new number: duohuo roster add, then duohuo roster remove of the old one. Its keys, its configuration, the roster and the genesis are the files to keep \
copies of.\n\n{EXIT_HELP}"))]
    Init {
        /// The configuration of the node or of the authority
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

pub(crate) fn run(args: &StoreArgs) -> Result<ExitCode, Failure> {
    let What::Init { config } = &args.what;
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let (store, identity) = match process_of(&text) {
        Some(Process::Authority) => {
            let s = AuthoritySettings::read(config)?;
            (s.store, Identity { consortium: s.roster.consortium, node: NodeId::AUTHORITY })
        }
        _ => {
            let s = NodeSettings::read(config)?;
            (s.store, Identity { consortium: s.roster.consortium, node: s.node })
        }
    };
    OpenStore::open(&store, identity, OpenMode::Create).map_err(DriverError::from)?;
    println!("made {}; from now on start without --init", store.display());
    Ok(ExitCode::SUCCESS)
}
