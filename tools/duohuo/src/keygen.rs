//! `duohuo keygen`: keys, signed rosters, and whole networks on disk.

use crate::layout::Layout;
use crate::network::{self, Network, Settings};
use clap::{Args, Subcommand};
use duohuo_driver::config::ConfigError;
use duohuo_driver::{keys, roster_file};
use duohuo_wire::sign::SigningKey;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make keys, rosters and configurations
#[derive(Args, Debug)]
pub(crate) struct KeygenArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Everything for a new network: keys, a signed roster, one directory per process
    Network {
        /// A new or empty directory
        #[arg(long)]
        dir: PathBuf,
        /// Where the nodes stand, as TOML [default: so many clusters and nodes on 127.x]
        #[arg(long, conflicts_with_all = ["clusters", "nodes", "port"])]
        layout: Option<PathBuf>,
        /// Clusters, without a layout
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=254))]
        clusters: u8,
        /// Nodes of each cluster, without a layout
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=64))]
        nodes: u8,
        /// UDP and TCP port of all, without a layout
        #[arg(long, default_value_t = 4750)]
        port: u16,
        /// Milliseconds between keepalives
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
        keepalive_interval_ms: u64,
    },
    /// Keys of one node; prints what the operator enters into the roster
    Node {
        /// Where the key files go
        #[arg(long)]
        dir: PathBuf,
    },
    /// Keys of one client; prints what the operator enters into the roster
    Client {
        /// The key file
        #[arg(long)]
        key: PathBuf,
    },
    /// Sign a roster after a change (raise its version first)
    Sign {
        /// The roster
        #[arg(long)]
        roster: PathBuf,
        /// The operator's key file
        #[arg(long)]
        operator_key: PathBuf,
    },
}

pub(crate) fn run(args: &KeygenArgs) -> Result<ExitCode, String> {
    carry_out(args).map(|()| ExitCode::SUCCESS).map_err(|e| e.to_string())
}

fn carry_out(args: &KeygenArgs) -> Result<(), ConfigError> {
    match &args.what {
        What::Network { dir, layout, clusters, nodes, port, keepalive_interval_ms } => {
            let layout = match layout {
                Some(path) => Layout::read(path)?,
                None => Layout::spread(*clusters, *nodes, *port),
            };
            let settings = Settings { keepalive_interval_ms: *keepalive_interval_ms, drill: false };
            let network = Network::create(dir, &layout, settings)?;
            println!(
                "made {}: operator.key (keep it off the nodes), roster.toml, genesis.toml, and one directory per process",
                dir.display()
            );
            println!("first start:");
            println!("  duohuo authority --init --config {}", network.authority_config_path().display());
            for (_, node) in network.roster.all_nodes() {
                println!("  duohuo node --init --config {}", network.node_config_path(node.id).display());
            }
            println!("then: duohuo status --config {}", dir.join("client.toml").display());
        }
        What::Node { dir } => {
            network::make_directory(dir)?;
            let (session, signing) = network::write_identity(dir)?;
            println!("session_key = \"{}\"\nsigning_key = \"{}\"", keys::hex(&session), keys::hex(&signing));
        }
        What::Client { key } => {
            let secret = keys::random();
            keys::write_secret(key, &secret)?;
            println!("session_key = \"{}\"", keys::hex(&keys::session_public(&secret)));
        }
        What::Sign { roster, operator_key } => {
            let operator = SigningKey::from_bytes(&keys::read_secret(operator_key)?);
            let signed = roster_file::read_unverified(roster)?.sign(&operator);
            roster_file::write(roster, &signed)?;
            println!("signed version {}", signed.version);
        }
    }
    Ok(())
}
