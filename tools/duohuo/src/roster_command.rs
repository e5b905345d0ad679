//! `duohuo roster`: who belongs to a network. Each change makes a new, signed version; nothing has to stop for it.

use crate::failure::{EXIT_HELP, Failure};
use crate::keygen::{self, LAYOUT_HELP, NetworkArgs};
use crate::layout::{ADDED_PRIORITY, LayoutNode};
use crate::network::{Network, in_service, make_directory};
use clap::{Args, Subcommand};
use duohuo_driver::{keys, roster_file};
use duohuo_wire::ids::NodeId;
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::{SigningKey, VerifyingKey};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Begin a network, and show and change who belongs to it, while it runs
#[derive(Args, Debug)]
#[command(after_help = EXIT_HELP)]
pub(crate) struct RosterArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Args, Debug)]
struct Change {
    /// The network's directory, as keygen network made it, with operator.key
    #[arg(long, value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Then tell the authority: its process number here, or its unit of systemd
    #[arg(long, value_name = "PID|UNIT")]
    reload: Option<String>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Begin: make everything for a new network: keys, a signed roster, one directory per process; the same as keygen network
    #[command(after_help = format!("{LAYOUT_HELP}\n\n{EXIT_HELP}"))]
    Init(NetworkArgs),
    /// Print a roster: clusters, nodes, rooms, priorities, and whether it is signed as it should be
    #[command(after_help = EXIT_HELP)]
    Show {
        /// The roster
        file: PathBuf,
        /// The operator's public key file (operator.pub), to verify the signature with
        #[arg(long, value_name = "FILE")]
        operator_public_key: Option<PathBuf>,
    },
    /// Enrol one more node: makes its keys and configuration, signs the roster anew
    #[command(after_help = EXIT_HELP)]
    Add {
        #[command(flatten)]
        change: Change,
        /// The cluster that it joins, by name
        #[arg(long, value_name = "NAME")]
        cluster: String,
        /// Its name, new in the roster
        #[arg(long, value_name = "NAME")]
        name: String,
        /// Where it stands
        #[arg(long, value_name = "ROOM")]
        room: u16,
        /// UDP and TCP
        #[arg(long, value_name = "ADDRESS:PORT", value_parser = address)]
        address: SocketAddr,
        /// The highest leads; 0 never does
        #[arg(long, default_value_t = ADDED_PRIORITY)]
        priority: u8,
    },
    /// Take a node out for good (stop it first); its entry stays, since what it signed must verify for ever
    #[command(after_help = EXIT_HELP)]
    Remove {
        #[command(flatten)]
        change: Change,
        /// By name
        #[arg(long, value_name = "NAME")]
        node: String,
    },
    /// Put a new node in the place of one that lost its disk: same name, room and address, new keys and a new number; the old one is
    /// taken out
    #[command(after_help = format!("What the old node said and promised is lost with its disk, so nobody may speak under its number again. The old line stays, as NAME-NUMBER: \
what it signed must verify for ever.\n\n{EXIT_HELP}"))]
    Replace {
        #[command(flatten)]
        change: Change,
        /// By name
        #[arg(long, value_name = "NAME")]
        node: String,
    },
    /// Give a node a new session key; the old one is kept beside it as session.key.old
    #[command(after_help = format!("The signing key belongs to the node's number, since what it signed must verify for ever: to have another, add a node and remove this one.\n\n{EXIT_HELP}"))]
    Rotate {
        #[command(flatten)]
        change: Change,
        /// By name
        #[arg(long, value_name = "NAME")]
        node: String,
    },
    /// Sign a roster that was edited by hand: raises its version
    #[command(after_help = EXIT_HELP)]
    Sign {
        /// The roster
        file: PathBuf,
        /// The operator's key file
        #[arg(long, value_name = "FILE")]
        operator_key: PathBuf,
    },
    /// Put all that one process needs into a directory, as it goes to /etc/duohuo of its machine; or so for every process
    #[command(after_help = EXIT_HELP)]
    Pack {
        /// The network's directory
        #[arg(long, value_name = "DIRECTORY")]
        dir: PathBuf,
        /// The node's name, or "authority"
        #[arg(long, value_name = "NAME", required_unless_present = "all")]
        node: Option<String>,
        /// The authority and every node in service, each in a directory of its name below the new one
        #[arg(long, conflicts_with = "node")]
        all: bool,
        /// A new directory
        #[arg(long, value_name = "DIRECTORY")]
        out: PathBuf,
    },
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an address and a port, as 10.0.3.11:4750".into())
}

pub(crate) fn run(args: &RosterArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Init(network) => keygen::make(network)?,
        What::Show { file, operator_public_key } => {
            print!("{}", show(file, operator_public_key.as_deref())?);
        }
        What::Add { change, cluster, name, room, address, priority } => {
            let mut network = Network::open(&change.dir)?;
            if network.find(name).is_some() {
                return Err(Failure::failed(format!(
                    "there is a node {name} in the roster; expected a new name"
                )));
            }
            let id = network.roster.clusters.iter().find(|c| c.name == *cluster).map(|c| c.id);
            let Some(id) = id else {
                return Err(Failure::failed(format!(
                    "no cluster {cluster} in the roster; duohuo roster show lists them"
                )));
            };
            let node = LayoutNode { name: name.clone(), room: *room, priority: *priority, address: *address };
            let node = network.add_node(id, &node).map_err(Failure::failed)?;
            network.publish().map_err(Failure::failed)?;
            println!(
                "node {}: {name} of cluster {cluster}, roster version {}",
                node.0, network.roster.version
            );
            told(&network, change.reload.as_deref())?;
            println!("on its machine, with {} there:", network.process_directory(node).display());
            println!("  duohuo node --init --config {}", network.node_config_path(node).display());
        }
        What::Remove { change, node } => {
            let mut network = Network::open(&change.dir)?;
            let id = found(&network, node)?;
            let left = network
                .roster
                .node(id)
                .map_or(0, |(c, _)| c.nodes.iter().filter(|n| n.id != id && n.priority > 0).count());
            if left == 0 {
                return Err(Failure::failed(format!(
                    "{node} is the last node of its cluster that may lead; expected another one: add it first"
                )));
            }
            network.retire(id);
            network.publish().map_err(Failure::failed)?;
            println!(
                "{node} is out, roster version {}; its keys and its store can be destroyed",
                network.roster.version
            );
            told(&network, change.reload.as_deref())?;
        }
        What::Replace { change, node } => {
            let mut network = Network::open(&change.dir)?;
            let old = found(&network, node)?;
            let new = network.replace_node(old).map_err(Failure::failed)?;
            network.publish().map_err(Failure::failed)?;
            println!(
                "node {}: {node}, in the place of node {}, roster version {}",
                new.0, old.0, network.roster.version
            );
            told(&network, change.reload.as_deref())?;
            println!(
                "next: duohuo roster pack --node {node}; on its machine duohuo store restore, or store init"
            );
        }
        What::Rotate { change, node } => {
            let mut network = Network::open(&change.dir)?;
            let id = found(&network, node)?;
            let path = network.process_directory(id).join("session.key");
            let old = path.with_extension("key.old");
            let secret = keys::random();
            if old.exists() {
                return Err(Failure::failed(format!(
                    "{}: there is one of an earlier change; expected none: destroy it when {node} runs with its present key",
                    old.display()
                )));
            }
            std::fs::rename(&path, &old).map_err(|e| Failure::failed(format!("{}: {e}", path.display())))?;
            keys::write_secret(&path, &secret).map_err(Failure::failed)?;
            network.rotate(id, keys::session_public(&secret));
            network.publish().map_err(Failure::failed)?;
            println!(
                "{node} has a new session key, roster version {}; put it and the roster on its machine and start it again (its cluster goes on)",
                network.roster.version
            );
            told(&network, change.reload.as_deref())?;
        }
        What::Sign { file, operator_key } => {
            let operator = SigningKey::from_bytes(&*keys::read_secret(operator_key)?);
            let roster = roster_file::read_unverified(file)?;
            let signed = Roster { version: roster.version + 1, ..roster }.sign(&operator);
            roster_file::write(file, &signed).map_err(Failure::failed)?;
            println!("signed version {}", signed.version);
        }
        What::Pack { dir, node: Some(node), out, .. } => {
            pack(&Network::open(dir)?, node, out)?;
        }
        What::Pack { dir, node: None, out, .. } => {
            pack_all(&Network::open(dir)?, out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The authority and every node in service, each in a directory of its name.
pub(crate) fn pack_all(network: &Network, out: &Path) -> Result<(), Failure> {
    let clusters = in_service(&network.roster);
    let nodes = clusters.iter().flat_map(|cluster| &cluster.nodes).map(|node| node.name.as_str());
    core::iter::once("authority").chain(nodes).try_for_each(|name| pack(network, name, &out.join(name)))
}

fn pack(network: &Network, name: &str, out: &Path) -> Result<(), Failure> {
    let id = if name == "authority" { NodeId::AUTHORITY } else { found(network, name)? };
    make_directory(out).map_err(Failure::failed)?;
    network.pack(id, out).map_err(Failure::failed)?;
    println!("{}: for the machine of {name}; there: duohuo setup {}", out.display(), base_name(out));
    Ok(())
}

/// What the directory is called where it is brought to.
fn base_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string())
}

fn found(network: &Network, name: &str) -> Result<NodeId, Failure> {
    network.find(name).map(|(_, id)| id).ok_or_else(|| {
        Failure::failed(format!("no node {name} in the roster; duohuo roster show lists them"))
    })
}

/// The roster is changed, but nobody knows.
fn untold(network: &Network, why: &str) -> Failure {
    Failure::failed(format!(
        "{why}; version {} is written, do not repeat the change: put {} where the authority reads it and tell it (systemctl reload duohuo-authority, or SIGHUP)",
        network.roster.version,
        network.directory.join("roster.toml").display()
    ))
}

/// Let the authority read the new version, or say how.
fn told(network: &Network, reload: Option<&str>) -> Result<(), Failure> {
    let Some(whom) = reload else {
        println!(
            "put {} where the authority reads it, and tell it: systemctl reload duohuo-authority (or SIGHUP)",
            network.directory.join("roster.toml").display()
        );
        return Ok(());
    };
    if let Some(pid) = whom.parse().ok().and_then(Pid::from_raw) {
        return kill_process(pid, Signal::HUP).map_err(|e| untold(network, &format!("process {whom}: {e}")));
    }
    let status = std::process::Command::new("systemctl").arg("reload").arg(whom).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(untold(network, &format!("systemctl reload {whom}: {status}"))),
        Err(e) => Err(untold(network, &format!("systemctl: {e}; expected systemd here, or --reload PID"))),
    }
}

fn show(file: &Path, operator: Option<&Path>) -> Result<String, Failure> {
    let roster = roster_file::read_unverified(file)?;
    let signed = match operator {
        None => "signature not verified (--operator-public-key)",
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Failure::invalid(format!("{}: {e}", path.display())))?;
            let key = keys::parse_hex::<32>(text.trim()).and_then(|k| VerifyingKey::from_bytes(&k).ok());
            if !key.is_some_and(|key| roster.verify(&key)) {
                return Err(Failure::invalid(format!(
                    "{}: the signature is not the operator's; expected one by {}; sign it: duohuo roster sign",
                    file.display(),
                    text.trim()
                )));
            }
            "signed by the operator"
        }
    };
    let mut out = String::new();
    // writing to a string cannot fail
    let _ =
        writeln!(out, "version {}, consortium {}, {signed}", roster.version, keys::hex(&roster.consortium));
    let _ = writeln!(out, "authority {}", roster.authority.address);
    for cluster in &roster.clusters {
        let _ = writeln!(out, "cluster {} ({}), group {}", cluster.name, cluster.id.0, cluster.group);
        for n in &cluster.nodes {
            let priority =
                if n.priority == 0 { "never leads".into() } else { format!("priority {}", n.priority) };
            let _ = writeln!(
                out,
                "  {:<12} {:>6}  room {:<4} {:<21} {priority}  session key {}",
                n.name,
                n.id.0,
                n.room.0,
                n.address.to_string(),
                keys::hex(n.session_key.get(..8).unwrap_or_default())
            );
        }
    }
    for client in &roster.clients {
        let _ = writeln!(out, "client {} ({})", client.name, client.id.0);
    }
    Ok(out)
}
