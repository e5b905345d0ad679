//! From an operator's files to a running process.

use crate::board::{Board, Notes};
use crate::clock;
use crate::config::{AuthoritySettings, NodeSettings};
use crate::error::DriverError;
use crate::event_loop::{self, Exit, World};
use crate::hooks::keeper::Instance;
use crate::keys;
use crate::live::Live;
use crate::store::{Identity, OpenMode, OpenStore};
use duohuo_chain::{Bystander, Embedded, EmbeddedConfig, Genesis};
use duohuo_core::authority::Authority;
use duohuo_core::chain::Chain;
use duohuo_core::config::{AuthorityConfig, NodeConfig};
use duohuo_core::node::Node;
use duohuo_wire::ids::NodeId;
use duohuo_wire::sign::SigningKey;

/// What stands around a process without being part of what it does.
#[derive(Debug, Default)]
pub struct Around {
    /// Where it shows what happens.
    pub board: Option<Board>,
    /// What is read again when it is told to reload.
    pub live: Option<Live>,
}

impl Around {
    fn notes(&self, node: NodeId, timers: &Timers) -> Option<Notes> {
        let board = self.board.clone()?;
        Some(Notes::new(board, node, timers.keepalive_interval))
    }
}

/// Run a node until it is told to stop or cannot go on.
///
/// # Errors
/// It cannot start: see [`DriverError`].
///
/// # Panics
/// The node is not in the roster, which [`NodeSettings::read`] has checked.
pub fn run_node(settings: NodeSettings, mode: OpenMode, around: Around) -> Result<Exit, DriverError> {
    let (cluster, entry) = settings.roster.node(settings.node).expect("checked when the settings were read");
    let (local, group, cluster) = (entry.address, cluster.group, cluster.id);
    let instance = Instance { cluster, node: settings.node, priority: entry.priority };
    let identity = Identity { consortium: settings.roster.consortium, node: settings.node };
    let notes = around.notes(settings.node, &settings.timers);
    let store = OpenStore::open(&settings.store, identity, mode)?;
    let signing_key = SigningKey::from_bytes(&settings.signing_secret);
    let mut chain: Box<dyn Chain> = match &settings.hooks {
        Some(_) => Box::new(Bystander::default()),
        None => Box::new(Embedded::new(EmbeddedConfig {
            cluster,
            node: settings.node,
            signing_key: signing_key.clone(),
            roster: settings.roster.clone(),
            genesis: Genesis { accounts: settings.genesis.clone() },
            timing: settings.chain,
        })),
    };
    let stored = store.load()?;
    let height = store.blocks(|_, block| chain.restore(&block).map(|_| ()).map_err(|e| format!("{e:?}")))?;
    let config = NodeConfig {
        node: settings.node,
        session_secret: settings.session_secret,
        signing_key,
        roster: settings.roster,
        operator_key: settings.roster_source.operator_key(),
        group_secret: settings.group_secret,
        timers: settings.timers,
        outside: settings.hooks.as_ref().map(crate::hooks::settings::HooksSettings::outside),
        seed: keys::random(),
        unix_at_zero: clock::unix_at_zero(),
    };
    let world = World::new(local, Some(group), store, settings.roster_source, settings.drill_allowed)?;
    let world = match &settings.hooks {
        Some(hooks) => world.with_hooks(&settings.file, instance, hooks)?,
        None => world,
    };
    #[cfg(feature = "key-log")]
    let world = world.with_key_log(settings.key_log.as_deref())?;
    let mut node = Node::new(config, stored, chain)
        .map_err(|e| DriverError::Start { path: settings.store.clone(), reason: e.to_string() })?;
    tracing::info!(node = settings.node.0, cluster = cluster.0, %local, %group, height = height.0, "node started");
    event_loop::run(&mut node, world, &settings.store)
}

/// Run the authority until it is told to stop or cannot go on.
///
/// # Errors
/// It cannot start: see [`DriverError`].
pub fn run_authority(
    settings: AuthoritySettings,
    mode: OpenMode,
    around: Around,
) -> Result<Exit, DriverError> {
    let identity = Identity { consortium: settings.roster.consortium, node: NodeId::AUTHORITY };
    let notes = around.notes(NodeId::AUTHORITY, &settings.timers);
    let store = OpenStore::open(&settings.store, identity, mode)?;
    let stored = store.load()?;
    let local = settings.roster.authority.address;
    let clusters = settings.roster.clusters.len();
    let config = AuthorityConfig {
        session_secret: settings.session_secret,
        signing_key: SigningKey::from_bytes(&settings.signing_secret),
        sealing_secret: settings.sealing_secret,
        roster: settings.roster,
        operator_key: settings.roster_source.operator_key(),
        timers: settings.timers,
        seed: keys::random(),
        unix_at_zero: clock::unix_at_zero(),
    };
    let world = World::new(local, None, store, settings.roster_source, false)?;
    let world = world.with_notes(notes).with_live(around.live);
    #[cfg(feature = "key-log")]
    let world = world.with_key_log(settings.key_log.as_deref())?;
    let mut authority = Authority::new(config, stored)
        .map_err(|e| DriverError::Start { path: settings.store.clone(), reason: e.to_string() })?;
    tracing::info!(%local, clusters, "authority started");
    event_loop::run(&mut authority, world, &settings.store)
}
