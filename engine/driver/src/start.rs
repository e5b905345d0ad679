//! From an operator's files to a running process.

use crate::board::{Board, Notes};
use crate::clock;
use crate::config::{AuthoritySettings, LogFormat, NodeSettings};
use crate::error::DriverError;
use crate::event_loop::{self, Exit, World};
use crate::hooks::Charge;
use crate::keys;
use crate::live::Live;
use crate::store::{Identity, OpenMode, OpenStore};
use duohuo_chain::{Accounts, Application, Bystander, EmbeddedConfig, EmbeddedOf, Genesis};
use duohuo_core::authority::Authority;
use duohuo_core::chain::Chain;
use duohuo_core::config::{AuthorityConfig, NodeConfig, Timers};
use duohuo_core::io::Stored;
use duohuo_core::node::Node;
use duohuo_wire::ids::{Height, NodeId};
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
    if settings.hooks.is_some() {
        let signing_key = SigningKey::from_bytes(&settings.signing_secret);
        let (cluster, _) = settings.roster.node(settings.node).expect("checked when the settings were read");
        let chain = Bystander::new(cluster.id, settings.node, signing_key, &settings.roster);
        return run_node_with(settings, mode, around, Box::new(chain));
    }
    let accounts = Accounts::new(&Genesis { accounts: settings.genesis.clone() });
    run_node_as(settings, mode, around, accounts)
}

/// As [`run_node`], with an application of one's own in its state before the first block (tools/examples/register).
///
/// # Errors
/// It cannot start: see [`DriverError`].
///
/// # Panics
/// The node is not in the roster, which [`NodeSettings::read`] has checked.
pub fn run_node_as<A: Application + 'static>(
    settings: NodeSettings,
    mode: OpenMode,
    around: Around,
    genesis: A,
) -> Result<Exit, DriverError> {
    let (cluster, _) = settings.roster.node(settings.node).expect("checked when the settings were read");
    let chain = EmbeddedOf::with_application(EmbeddedConfig {
        cluster: cluster.id,
        node: settings.node,
        signing_key: SigningKey::from_bytes(&settings.signing_secret),
        roster: settings.roster.clone(),
        genesis,
        timing: settings.chain,
    });
    run_node_with(settings, mode, around, Box::new(chain))
}

fn run_node_with(
    settings: NodeSettings,
    mode: OpenMode,
    around: Around,
    mut chain: Box<dyn Chain>,
) -> Result<Exit, DriverError> {
    crate::privacy::keep_private();
    let (cluster, entry) = settings.roster.node(settings.node).expect("checked when the settings were read");
    let charge = settings.hooks.clone().map(|hooks| Charge {
        cluster: cluster.id.0,
        node: settings.node.0,
        priority: entry.priority,
        lock: settings.store.with_extension("keeper"),
        json_log: settings.log.format == LogFormat::Json,
        settings: hooks,
    });
    let (local, group, cluster) = (entry.address, cluster.group, cluster.id);
    let identity = Identity { consortium: settings.roster.consortium, node: settings.node };
    let notes = around.notes(settings.node, &settings.timers);
    let store = OpenStore::open(&settings.store, identity, mode)?;
    let signing_key = SigningKey::from_bytes(&settings.signing_secret);
    let stored = store.load()?;
    let height = load_chain(&store, &stored, chain.as_mut())?;
    let config = NodeConfig {
        node: settings.node,
        session_secret: settings.session_secret,
        signing_key,
        roster: settings.roster,
        operator_key: settings.roster_source.operator_key(),
        group_secret: settings.group_secret,
        timers: settings.timers,
        versions: settings.versions,
        outside: match (&settings.hooks, &settings.vip) {
            (Some(hooks), _) => Some(hooks.outside()),
            (None, vip) => vip.as_ref().map(crate::vip::VipSettings::outside),
        },
        keep_blocks: settings.keep_blocks,
        log_packet_bytes: duohuo_core::limits::LOG_PACKET_BYTES,
        seed: keys::random(),
        unix_at_zero: clock::unix_at_zero(),
    };
    let world = World::new(local, Some(group), store, settings.roster_source, settings.drill_allowed)?;
    let world = world.with_notes(notes).with_live(around.live).with_hooks(charge)?;
    let world = world
        .with_control(settings.control, &settings.store, &config.signing_key)?
        .with_vip(settings.vip.as_ref())?;
    #[cfg(feature = "key-log")]
    let world = world.with_key_log(settings.key_log.as_deref())?;
    let mut node = Node::new(config, stored, chain)
        .map_err(|e| DriverError::Start { path: settings.store.clone(), reason: e.to_string() })?;
    tracing::info!(node = settings.node.0, cluster = cluster.0, %local, %group, height = height.0, "node started");
    event_loop::run(&mut node, world, &settings.store)
}

/// The chain as the store has it: from the newest snapshot, or from the genesis, block by block.
///
/// # Errors
/// The store is damaged.
pub fn load_chain(store: &OpenStore, stored: &Stored, chain: &mut dyn Chain) -> Result<Height, DriverError> {
    let kept = duohuo_core::store::snapshots(&stored.meta).map_err(|e| store.refused(&e.to_string()))?;
    // B-BLK-11: one that nobody else signed may be of a state that this node computed wrongly.
    if let Some(newest) = kept.iter().rev().find(|snapshot| snapshot.is_proven()) {
        let chunks = store.snapshot(newest)?;
        chain
            .restore_snapshot(&newest.manifest, &chunks)
            .map_err(|e| store.refused(&format!("snapshot {}: {e:?}", newest.height.0)))?;
    }
    let from = chain.status().height.next();
    let restore = |_, block| chain.restore(&block).map(|_| ()).map_err(|e| format!("{e:?}"));
    Ok(store.blocks(from, restore)?)
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
    crate::privacy::keep_private();
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
        versions: settings.versions,
        seed: keys::random(),
        unix_at_zero: clock::unix_at_zero(),
    };
    let world = World::new(local, None, store, settings.roster_source, false)?;
    let world = world.with_notes(notes).with_live(around.live).with_control(
        settings.control,
        &settings.store,
        &config.signing_key,
    )?;
    #[cfg(feature = "key-log")]
    let world = world.with_key_log(settings.key_log.as_deref())?;
    let mut authority = Authority::new(config, stored)
        .map_err(|e| DriverError::Start { path: settings.store.clone(), reason: e.to_string() })?;
    tracing::info!(%local, clusters, "authority started");
    event_loop::run(&mut authority, world, &settings.store)
}
