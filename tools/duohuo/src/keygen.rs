//! `duohuo keygen`: keys, signed rosters, and whole networks on disk.

use crate::failure::{EXIT_HELP, Failure};
use crate::layout::Layout;
use crate::network::{self, Network, Settings};
use crate::{layout_command, roster_command};
use clap::{Args, Subcommand};
use duohuo_driver::{keys, roster_file};
use duohuo_wire::sign::SigningKey;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make keys, signed rosters and configurations
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct KeygenArgs {
    #[command(subcommand)]
    what: What,
}

pub(crate) const LAYOUT_HELP: &str = r#"A layout names the authority's address and, for each cluster, its multicast group and its nodes; the node
of the highest priority is the first master:

    authority = "10.0.9.1:4750"
    [[cluster]]
    name = "A"
    group = "239.77.0.1:4750"
    [[cluster.node]]
    name = "a1"
    room = 1
    priority = 200
    address = "10.0.1.1:4750"
    [[cluster.node]]
    name = "a2"
    room = 2
    priority = 150
    address = "10.0.2.1:4750""#;

#[derive(Args, Debug)]
pub(crate) struct NetworkArgs {
    /// Where it goes: a new or empty directory
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Where the nodes stand, as TOML [default: so many clusters and nodes on 127.x]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["clusters", "nodes", "port"])]
    layout: Option<PathBuf>,
    /// How many clusters, 1..=254, without a layout
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=254))]
    clusters: u8,
    /// How many nodes each cluster has, 2..=64, without a layout
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=64))]
    nodes: u8,
    /// UDP and TCP port of all, without a layout
    #[arg(long, default_value_t = 4750, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Milliseconds between keepalives, 1..=10000; all other spans follow from it
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    keepalive_interval_ms: u64,
    /// Pack what each machine needs, too, as roster pack --all does: a new directory, with one of the name of each process in it
    #[arg(long, value_name = "DIRECTORY")]
    pack: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make everything for a new network: keys, a signed roster, one directory per process
    #[command(after_help = format!("{LAYOUT_HELP}\n\n{EXIT_HELP}"))]
    Network(NetworkArgs),
    /// Make the keys of one node; prints what the operator enters into the roster
    #[command(after_help = EXIT_HELP)]
    Node {
        /// Where session.key and signing.key go; files that are there are never overwritten
        #[arg(long, value_name = "DIRECTORY")]
        dir: PathBuf,
    },
    /// Make the key of one client; prints what the operator enters into the roster
    #[command(after_help = EXIT_HELP)]
    Client {
        /// The new key file; one that is there is never overwritten
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Sign a roster after a change (raise its version first)
    #[command(after_help = EXIT_HELP)]
    Sign {
        /// The roster; rewritten with its signature
        #[arg(long, value_name = "FILE")]
        roster: PathBuf,
        /// The operator's key file
        #[arg(long, value_name = "FILE")]
        operator_key: PathBuf,
    },
}

pub(crate) fn run(args: &KeygenArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Network(network) => make(network)?,
        What::Node { dir } => {
            network::make_directory(dir).map_err(Failure::failed)?;
            let (session, signing) = network::write_identity(dir).map_err(Failure::failed)?;
            println!("session_key = \"{}\"\nsigning_key = \"{}\"", keys::hex(&session), keys::hex(&signing));
        }
        What::Client { key } => {
            let secret = keys::random();
            keys::write_secret(key, &secret).map_err(Failure::failed)?;
            println!("session_key = \"{}\"", keys::hex(&keys::session_public(&secret)));
        }
        What::Sign { roster, operator_key } => {
            let operator = SigningKey::from_bytes(&*keys::read_secret(operator_key)?);
            let signed = roster_file::read_unverified(roster)?.sign(&operator);
            roster_file::write(roster, &signed).map_err(Failure::failed)?;
            println!("signed version {}", signed.version);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A whole network on disk: `keygen network`, and `roster init`.
pub(crate) fn make(args: &NetworkArgs) -> Result<(), Failure> {
    let NetworkArgs { dir, layout, clusters, nodes, port, keepalive_interval_ms, pack } = args;
    if let Some(pack) = pack.as_ref().filter(|pack| pack.exists()) {
        return Err(Failure::failed(format!(
            "{}: it is there already; expected a new directory for --pack: choose another name, or move it away",
            pack.display()
        )));
    }
    let judged = layout.as_deref().map(layout_command::judged).transpose()?;
    let layout = match layout {
        Some(path) => Layout::read(path)?,
        None => Layout::spread(*clusters, *nodes, *port),
    };
    let settings = Settings { keepalive_interval_ms: *keepalive_interval_ms, drill: false };
    let network = Network::create(dir, &layout, settings).map_err(Failure::failed)?;
    println!(
        "made {}: operator.key (keep it off the nodes), roster.toml, genesis.toml, and one directory per process",
        dir.display()
    );
    judged.iter().for_each(|line| println!("{line}"));
    if let Some(pack) = pack {
        roster_command::pack_all(&network, pack)?;
        println!("when all run: duohuo wait settled --config {}", dir.join("client.toml").display());
        return Ok(());
    }
    println!("first start:");
    println!("  duohuo authority --init --config {}", network.authority_config_path().display());
    for (_, node) in network.roster.all_nodes() {
        println!("  duohuo node --init --config {}", network.node_config_path(node.id).display());
    }
    println!("then: duohuo status --config {}", dir.join("client.toml").display());
    Ok(())
}
