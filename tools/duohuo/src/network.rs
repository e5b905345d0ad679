//! Makes a network's files: keys, the signed roster, one directory per process with its configuration.

use crate::layout::{Layout, LayoutNode};
use duohuo_driver::config::ConfigError;
use duohuo_driver::config_keys::{self, Process};
use duohuo_driver::{keys, roster_file};
use duohuo_wire::ids::{ClusterId, NodeId, RoomId};
use duohuo_wire::roster::{ClientEntry, ClusterEntry, NOWHERE, NodeEntry, Party, Roster};
use duohuo_wire::sign::SigningKey;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Clients that every new network enrols: name and id.
pub const CLIENTS: [(&str, u32); 3] = [("client", 9001), ("load", 9002), ("observer", 9003)];
/// Accounts of a new network's ledger.
pub const ACCOUNTS: u32 = 100;
/// What each holds at the beginning, in the ledger's smallest unit.
pub const OPENING_BALANCE: u64 = 1_000_000_000;

/// The session key of a node that was taken out: a hash, so that nobody has the private half, and everybody who looks
/// knows that nobody has.
fn retired_key(id: NodeId) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"duohuo: this node was taken out")
        .chain_update(id.0.to_be_bytes())
        .finalize()
        .into()
}

/// Whether a node was taken out of its network for good.
#[must_use]
pub fn is_retired(node: &NodeEntry) -> bool {
    node.priority == 0 && node.session_key == retired_key(node.id)
}

/// The clusters with those of their nodes that were not taken out.
#[must_use]
pub fn in_service(roster: &Roster) -> Vec<ClusterEntry> {
    let mut clusters = roster.clusters.clone();
    clusters.iter_mut().for_each(|cluster| cluster.nodes.retain(|node| !is_retired(node)));
    clusters
}

/// What stands in the configurations besides keys and places.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Milliseconds.
    pub keepalive_interval_ms: u64,
    /// Whether SIGUSR1 may start a drill.
    pub drill: bool,
}

/// A network on disk.
#[derive(Clone, Debug)]
pub struct Network {
    /// Where its files are.
    pub directory: PathBuf,
    /// As it was last changed.
    pub roster: Roster,
    settings: Settings,
    operator: SigningKey,
}

impl Network {
    /// Make all files in a new or empty directory.
    ///
    /// # Errors
    /// A file cannot be written, or the layout breaks a rule of rosters.
    pub fn create(directory: &Path, layout: &Layout, settings: Settings) -> Result<Self, ConfigError> {
        make_directory(directory)?;
        let operator_secret = keys::random();
        keys::write_secret(&directory.join("operator.key"), &operator_secret)?;
        let operator = SigningKey::from_bytes(&operator_secret);
        write_file(
            &directory.join("operator.pub"),
            &format!("{}\n", keys::hex(&operator.verifying_key().to_bytes())),
        )?;
        write_file(&directory.join("genesis.toml"), &genesis())?;
        let authority = directory.join("authority");
        make_directory(&authority)?;
        let (session_key, signing_key) = write_identity(&authority)?;
        keys::write_secret(&authority.join("sealing.key"), &keys::random())?;
        let mut clusters = Vec::new();
        for (id, cluster) in (1u32..).zip(&layout.cluster) {
            let secret = keys::random();
            let mut nodes = Vec::new();
            for (position, node) in (1u32..).zip(&cluster.node) {
                nodes.push(write_node(directory, NodeId(id * 100 + position), node, &secret)?);
            }
            clusters.push(ClusterEntry {
                id: ClusterId(id),
                name: cluster.name.clone(),
                group: cluster.group,
                nodes,
            });
        }
        let mut clients = Vec::new();
        for (name, id) in CLIENTS {
            let secret = keys::random();
            keys::write_secret(&directory.join(format!("{name}.key")), &secret)?;
            clients.push(ClientEntry {
                id: NodeId(id),
                name: name.into(),
                session_key: keys::session_public(&secret),
            });
        }
        let roster = Roster {
            consortium: keys::random().first_chunk::<16>().copied().unwrap_or_default(),
            version: 1,
            authority: Party { address: layout.authority, session_key, signing_key },
            clusters,
            clients,
            signature: [0; 64],
        };
        let mut network = Self { directory: directory.into(), roster, settings, operator };
        network.publish()?;
        write_file(&authority.join("authority.toml"), &network.authority_config())?;
        for (_, node) in network.roster.all_nodes() {
            write_file(&network.node_config_path(node.id), &network.node_config(node.id))?;
        }
        for (name, _) in CLIENTS {
            write_file(&directory.join(format!("{name}.toml")), &network.client_config(name))?;
        }
        Ok(network)
    }

    /// A network that `create` made: for changes of its roster.
    ///
    /// # Errors
    /// A file is missing or wrong.
    pub fn open(directory: &Path) -> Result<Self, ConfigError> {
        if !directory.join("operator.key").exists() {
            return Err(ConfigError::new(
                directory,
                "file",
                "there is no operator.key in it",
                "the directory that duohuo keygen network made, on the operator's machine",
                "check the path",
            ));
        }
        let operator = SigningKey::from_bytes(&*keys::read_secret(&directory.join("operator.key"))?);
        let public = operator.verifying_key().to_bytes();
        let roster = roster_file::read_verified(&directory.join("roster.toml"), &public)?;
        let config = directory.join("authority/authority.toml");
        let keys = config_keys::effective(&config, Process::Authority)?;
        let keepalive = keys.iter().find(|e| e.name == "timers.keepalive_interval_ms");
        let keepalive_interval_ms = keepalive.and_then(|e| e.value.parse().ok()).unwrap_or(100);
        let settings = Settings { keepalive_interval_ms, drill: false };
        Ok(Self { directory: directory.into(), roster, settings, operator })
    }

    /// A node's number and its cluster's, by name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(ClusterId, NodeId)> {
        self.roster.all_nodes().find(|(_, n)| n.name == name).map(|(c, n)| (c.id, n.id))
    }

    /// Take a node out: it keeps its place in the roster, since blocks that it signed must verify for ever, but nobody
    /// has the key of its sessions any more, and it is never elected. In force by [`Network::publish`].
    pub fn retire(&mut self, id: NodeId) {
        if let Some(entry) = self.entry_mut(id) {
            entry.priority = 0;
            entry.session_key = retired_key(id);
            entry.address = NOWHERE;
        }
    }

    /// Put a new node, with new keys and a new number, in the place of one that lost its disk: same name, room, address
    /// and priority. The old one is taken out. In force by [`Network::publish`].
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn replace_node(&mut self, id: NodeId) -> Result<NodeId, ConfigError> {
        let Some((cluster, old)) = self.roster.node(id).map(|(c, n)| (c.id, n.clone())) else {
            return Ok(NodeId::AUTHORITY);
        };
        let place = LayoutNode {
            name: old.name.clone(),
            room: old.room.0,
            priority: old.priority,
            address: old.address,
        };
        let new = self.add_node(cluster, &place)?;
        self.retire(id);
        if let Some(entry) = self.entry_mut(id) {
            entry.name = format!("{}-{}", old.name, id.0);
        }
        Ok(new)
    }

    /// Give a node another session key. In force by [`Network::publish`], and for the node when it starts again.
    pub fn rotate(&mut self, id: NodeId, session_key: [u8; 32]) {
        if let Some(entry) = self.entry_mut(id) {
            entry.session_key = session_key;
        }
    }

    fn entry_mut(&mut self, id: NodeId) -> Option<&mut NodeEntry> {
        self.roster.clusters.iter_mut().flat_map(|c| &mut c.nodes).find(|n| n.id == id)
    }

    /// Of a node's process, or of the authority's (0).
    #[must_use]
    pub fn process_directory(&self, id: NodeId) -> PathBuf {
        match id {
            NodeId::AUTHORITY => self.directory.join("authority"),
            id => node_directory(&self.directory, id),
        }
    }

    /// All that one process needs, in a directory of its own, as it goes to `/etc/duohuo` of its machine.
    ///
    /// # Errors
    /// A file cannot be read or written, or is there already.
    pub fn pack(&self, id: NodeId, out: &Path) -> Result<(), ConfigError> {
        make_directory(out)?;
        let from = self.process_directory(id);
        let (secrets, name, config) = match id {
            NodeId::AUTHORITY => {
                (["session.key", "signing.key", "sealing.key"], "authority", self.authority_config())
            }
            id => (["session.key", "signing.key", "group.key"], "node", self.node_config(id)),
        };
        for secret in secrets {
            keys::write_secret(&out.join(secret), &*keys::read_secret(&from.join(secret))?)?;
        }
        let store = format!("store = \"/var/lib/duohuo/{name}.redb\"");
        let config = config.replace("\"../", "\"").replace(&format!("store = \"{name}.redb\""), &store);
        write_file(&out.join(format!("{name}.toml")), &config)?;
        for shared in ["roster.toml", "genesis.toml"] {
            let path = self.directory.join(shared);
            std::fs::copy(&path, out.join(shared)).map_err(|e| failed(&path, &e, "a readable file"))?;
        }
        Ok(())
    }

    /// Enrol one more node; the roster takes effect by [`Network::publish`].
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn add_node(&mut self, cluster: ClusterId, node: &LayoutNode) -> Result<NodeId, ConfigError> {
        let directory = self.directory.clone();
        let Some(entry) = self.roster.clusters.iter_mut().find(|c| c.id == cluster) else {
            return Ok(NodeId::AUTHORITY);
        };
        let last = entry.nodes.last().map_or(cluster.0 * 100, |n| n.id.0);
        let first = entry.nodes.first().map_or(NodeId(cluster.0 * 100 + 1), |n| n.id);
        let id = NodeId(last + 1);
        let secret = keys::read_secret(&node_directory(&directory, first).join("group.key"))?;
        entry.nodes.push(write_node(&directory, id, node, &secret)?);
        write_file(&self.node_config_path(id), &self.node_config(id))?;
        Ok(id)
    }

    /// Sign the roster and write it where all processes read it.
    ///
    /// # Errors
    /// It breaks a rule of rosters, or cannot be written.
    pub fn publish(&mut self) -> Result<(), ConfigError> {
        let path = self.directory.join("roster.toml");
        if path.exists() {
            self.roster.version += 1;
        }
        self.roster.validate().map_err(|e| {
            ConfigError::new(
                &path,
                "content",
                e.to_string(),
                "a roster that obeys the rules of the spec",
                "correct the layout and start again in an empty directory",
            )
        })?;
        self.roster = self.roster.clone().sign(&self.operator);
        roster_file::write(&path, &self.roster)
    }

    /// Of a node's process.
    #[must_use]
    pub fn node_config_path(&self, id: NodeId) -> PathBuf {
        node_directory(&self.directory, id).join("node.toml")
    }

    /// Of the authority's process.
    #[must_use]
    pub fn authority_config_path(&self) -> PathBuf {
        self.directory.join("authority/authority.toml")
    }

    /// What a node must not forget.
    #[must_use]
    pub fn store_path(&self, id: NodeId) -> PathBuf {
        node_directory(&self.directory, id).join("node.redb")
    }

    fn common_config(&self) -> String {
        format!(
            "roster = \"../roster.toml\"\noperator_public_key = \"{}\"\n",
            keys::hex(&self.operator.verifying_key().to_bytes())
        )
    }

    fn timers_config(&self) -> String {
        format!(
            "\n[timers]\n# the same for the whole network, 1..=10000; all other spans follow from it\nkeepalive_interval_ms = {}\n\n\
             [log]\nformat = \"plain\"  # or \"json\"\nlevel = \"info\"    # error, warn, info, debug\n",
            self.settings.keepalive_interval_ms
        )
    }

    fn node_config(&self, id: NodeId) -> String {
        format!(
            "# Configuration of node {n}; paths are relative to this file.\nnode = {n}\n{common}store = \"node.redb\"\ngenesis = \"../genesis.toml\"\n\n\
             [keys]\nsession = \"session.key\"\nsigning = \"signing.key\"\ngroup = \"group.key\"\n{timers}\n\
             [drill]\n# whether SIGUSR1 may make this node compute wrong results\nallow = {drill}\n",
            n = id.0,
            common = self.common_config(),
            timers = self.timers_config(),
            drill = self.settings.drill
        )
    }

    fn authority_config(&self) -> String {
        format!(
            "# Configuration of the authority; paths are relative to this file.\n{}store = \"authority.redb\"\n\n\
             [keys]\nsession = \"session.key\"\nsigning = \"signing.key\"\nsealing = \"sealing.key\"\n{}",
            self.common_config(),
            self.timers_config()
        )
    }

    fn client_config(&self, name: &str) -> String {
        format!(
            "# Access of client \"{name}\", for duohuo status and duohuo submit.\nroster = \"roster.toml\"\noperator_public_key = \"{}\"\nkey = \"{name}.key\"\n",
            keys::hex(&self.operator.verifying_key().to_bytes())
        )
    }
}

fn node_directory(directory: &Path, id: NodeId) -> PathBuf {
    directory.join(format!("node-{}", id.0))
}

fn write_node(
    directory: &Path,
    id: NodeId,
    node: &LayoutNode,
    group: &[u8; 32],
) -> Result<NodeEntry, ConfigError> {
    let directory = node_directory(directory, id);
    make_directory(&directory)?;
    let (session_key, signing_key) = write_identity(&directory)?;
    keys::write_secret(&directory.join("group.key"), group)?;
    Ok(NodeEntry {
        id,
        name: node.name.clone(),
        room: RoomId(node.room),
        priority: node.priority,
        address: node.address,
        session_key,
        signing_key,
    })
}

/// Two new key files; the public halves.
///
/// # Errors
/// A file is there already, or cannot be written.
pub fn write_identity(directory: &Path) -> Result<([u8; 32], [u8; 32]), ConfigError> {
    let (session, signing) = (keys::random(), keys::random());
    keys::write_secret(&directory.join("session.key"), &session)?;
    keys::write_secret(&directory.join("signing.key"), &signing)?;
    Ok((keys::session_public(&session), keys::signing_public(&signing)))
}

fn genesis() -> String {
    let mut text = String::from("# Opening balances of the ledger; the same file on every node.\n");
    for id in 1..=ACCOUNTS {
        // writing to a string cannot fail
        let _ = write!(text, "\n[[account]]\nid = {id}\nbalance = {OPENING_BALANCE}\n");
    }
    text
}

/// A directory and what it lies in.
///
/// # Errors
/// The disk's.
pub fn make_directory(path: &Path) -> Result<(), ConfigError> {
    std::fs::create_dir_all(path).map_err(|e| failed(path, &e, "a directory that can be made"))
}

fn write_file(path: &Path, text: &str) -> Result<(), ConfigError> {
    std::fs::write(path, text).map_err(|e| failed(path, &e, "a writable directory"))
}

fn failed(path: &Path, e: &std::io::Error, expected: &str) -> ConfigError {
    ConfigError::new(
        path,
        "file",
        e.to_string(),
        expected,
        "choose another directory, or check its permissions and the disk",
    )
}

/// The nodes of a network by id: cluster and entry.
pub fn places(roster: &Roster) -> BTreeMap<NodeId, (ClusterId, RoomId)> {
    roster.all_nodes().map(|(c, n)| (n.id, (c.id, n.room))).collect()
}
