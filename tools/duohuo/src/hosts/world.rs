//! One network on its hosts, a client that loads it, an observer that sees all, and the judgement at the end.

use super::cell;
use super::wires::{self, Host, PORT, node_address};
use crate::access::{Access, Server};
use crate::audit::{self, Transactions};
use crate::layout::Layout;
use crate::load::Load;
use crate::network::{Network, Settings};
use crate::observer::Observer;
use crate::picture::{Picture, Seen, unix_us};
use crate::processes::Processes;
use crate::settled::unsettled;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::roster::NodeEntry;
use duohuo_wire::statement::Row;
use duohuo_wire::status::Role;
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Of a step of a scenario; the words say what was missing.
pub type Outcome<T = ()> = Result<T, String>;

/// Far above what is needed (a second or two): other work on the machine must not fail a scenario.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// So that a busy machine seldom switches for no reason.
const KEEPALIVE_INTERVAL_MS: u64 = 50;
/// A network must stay whole for so long before the next fault.
const STEADY: Duration = Duration::from_millis(400);
/// New blocks that prove that the chain goes on.
const PROOF_HEIGHTS: u64 = 5;
/// A little quiet after the last transfer, so that every node has the last block.
const QUIET: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);

/// A network that runs.
pub struct World {
    /// Its files and keys.
    pub network: Network,
    /// The authority and the nodes.
    pub processes: Processes,
    /// What the observer saw.
    pub picture: Arc<Picture>,
    rooms: Vec<u8>,
    hosts: BTreeMap<NodeId, Host>,
    observer: Observer,
    load: Load,
    /// Who may end by itself.
    may_fall: BTreeSet<NodeId>,
    passed: bool,
    /// File systems of a scenario's own.
    mounts: Vec<PathBuf>,
    /// With keys, stores and logs; the last to be dropped.
    directory: TempDir,
}

impl World {
    /// Lay the wires and start everybody; `clusters` as in [`Layout::placed`]. Whole and committing when it returns.
    ///
    /// # Errors
    /// What could not be done, or did not come about.
    pub fn start(clusters: &[(&str, &[u16])], authority_room: u8) -> Outcome<Self> {
        Self::prepared(clusters, authority_room, |_| Ok(()))
    }

    /// As [`World::start`]; `prepare` is called when all files are there and nobody runs yet.
    pub fn prepared(
        clusters: &[(&str, &[u16])],
        authority_room: u8,
        prepare: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome<Self> {
        Self::paced(clusters, authority_room, KEEPALIVE_INTERVAL_MS, prepare)
    }

    /// As [`World::prepared`], with keepalives every `keepalive_interval_ms`.
    ///
    /// # Errors
    /// What could not be done, or did not come about.
    pub fn paced(
        clusters: &[(&str, &[u16])],
        authority_room: u8,
        keepalive_interval_ms: u64,
        prepare: impl FnOnce(&mut Self) -> Outcome,
    ) -> Outcome<Self> {
        let authority = Host { name: "authority".into(), room: authority_room, number: 1 };
        let layout = Layout::placed(clusters, SocketAddr::from((authority.address(), PORT)), node_address);
        let settings = Settings { keepalive_interval_ms, drill: true };
        let mut directory = tempfile::Builder::new()
            .prefix("duohuo-namespaces-")
            .tempdir()
            .map_err(|e| format!("temporary directory: {e}; set TMPDIR to a writable one"))?;
        // kept if the scenario does not pass
        directory.disable_cleanup(true);
        let network = Network::create(directory.path(), &layout, settings).map_err(|e| e.to_string())?;
        let mut rooms: Vec<u8> =
            clusters.iter().flat_map(|(_, rooms)| rooms.iter()).map(|r| room_number(*r)).collect();
        rooms.push(authority_room);
        rooms.sort_unstable();
        rooms.dedup();
        wires::lay(&rooms)?;
        let access = |name: &str| {
            Access::from_config(&directory.path().join(format!("{name}.toml"))).map_err(|e| e.to_string())
        };
        let picture = Arc::new(Picture::default());
        let observer = Observer::new(access("observer")?, Arc::clone(&picture), Arc::new(|_, _| ()));
        let load = Load::start(access("load")?);
        let program = program()?;
        let mut world = Self {
            network,
            processes: Processes::new(program, Vec::new()),
            picture,
            rooms,
            hosts: BTreeMap::new(),
            observer,
            load,
            may_fall: BTreeSet::new(),
            passed: false,
            mounts: Vec::new(),
            directory,
        };
        world.plug_in(NodeId::AUTHORITY, authority)?;
        for entry in world.entries() {
            world.plug_in_node(&entry)?;
        }
        prepare(&mut world)?;
        world.run(NodeId::AUTHORITY)?;
        for entry in world.entries() {
            world.run(entry.id)?;
        }
        world.settle()?;
        world.goes_on()?;
        Ok(world)
    }

    fn entries(&self) -> Vec<NodeEntry> {
        self.network.roster.all_nodes().map(|(_, node)| node.clone()).collect()
    }

    /// Give a node of the roster its host.
    pub fn plug_in_node(&mut self, entry: &NodeEntry) -> Outcome {
        let number = match entry.address {
            SocketAddr::V4(at) => at.ip().octets()[3],
            SocketAddr::V6(at) => return Err(format!("{at}: expected an IPv4 address")),
        };
        self.plug_in(entry.id, Host { name: entry.name.clone(), room: room_number(entry.room.0), number })
    }

    fn plug_in(&mut self, id: NodeId, host: Host) -> Outcome {
        wires::plug_in(&host)?;
        self.processes.place(id, host.enter().map(Into::into).into());
        self.hosts.insert(id, host);
        Ok(())
    }

    /// Start one and watch it.
    pub fn run(&mut self, id: NodeId) -> Outcome {
        self.processes.start(&self.network, id)?;
        let authority = &self.network.roster.authority;
        let (address, key) = match self.network.roster.node(id) {
            Some((_, node)) => (node.address, node.session_key),
            None => (authority.address, authority.session_key),
        };
        self.observer.watch(Server { id, address, key });
        Ok(())
    }

    /// This host's own cable is pulled: it hears nobody, and nobody hears it but the observer.
    ///
    /// # Errors
    /// The kernel's.
    pub fn unplug(&self, id: NodeId) -> Outcome {
        self.hosts.get(&id).map_or(Ok(()), |host| wires::link(host, false))
    }

    /// And put back.
    ///
    /// # Errors
    /// The kernel's.
    pub fn replug(&self, id: NodeId) -> Outcome {
        self.hosts.get(&id).map_or(Ok(()), |host| wires::link(host, true))
    }

    /// Start all that do not run.
    pub fn revive(&mut self) -> Outcome {
        if !self.processes.is_live(NodeId::AUTHORITY) {
            self.run(NodeId::AUTHORITY)?;
        }
        for entry in self.entries() {
            if !self.processes.is_live(entry.id) {
                self.run(entry.id)?;
            }
        }
        self.settle()
    }

    /// Start it by a command that comes after the one that enters its host.
    pub fn run_by(&mut self, id: NodeId, command: &[&str]) {
        if let Some(host) = self.hosts.get(&id) {
            let words = host.enter().into_iter().chain(command.iter().map(|word| (*word).to_owned()));
            self.processes.place(id, words.map(Into::into).collect());
        }
    }

    /// The cluster of this name; 0 if there is none.
    pub fn cluster(&self, name: &str) -> ClusterId {
        self.network.roster.clusters.iter().find(|c| c.name == name).map_or(ClusterId(0), |c| c.id)
    }

    /// What it is called in the layout.
    pub fn name(&self, id: NodeId) -> String {
        self.hosts.get(&id).map_or_else(|| format!("node {}", id.0), |host| host.name.clone())
    }

    /// As the authority last told.
    pub fn row(&self, cluster: ClusterId) -> Row {
        self.picture.view().rows.get(&cluster).cloned().unwrap_or_default()
    }

    /// The authority's table, as it last told.
    pub fn rows(&self) -> BTreeMap<ClusterId, Row> {
        self.picture.view().rows.clone()
    }

    /// Which node another one reports as its cluster's standby.
    pub fn standby(&self, cluster: ClusterId) -> Outcome<NodeId> {
        let master = self.row(cluster).master;
        let view = self.picture.view();
        let standby =
            view.nodes.get(&master).and_then(|n| n.report.as_ref()).map_or(NodeId(0), |r| r.standby);
        if standby == NodeId(0) { Err(format!("cluster {} has no standby", cluster.0)) } else { Ok(standby) }
    }

    /// Nodes in a room, running or not.
    pub fn in_room(&self, room: u8) -> BTreeSet<NodeId> {
        let nodes = self.hosts.iter().filter(|(id, host)| host.room == room && **id != NodeId::AUTHORITY);
        nodes.map(|(id, _)| *id).collect()
    }

    /// kill -9, all at once.
    pub fn kill(&mut self, ids: &BTreeSet<NodeId>) {
        self.processes.kill(ids);
    }

    /// Send it a signal.
    pub fn signal(&self, id: NodeId, signal: Signal) {
        self.processes.signal(id, signal);
    }

    /// The room loses its power: its processes end, its cable is dead.
    pub fn dark(&mut self, room: u8) -> Outcome {
        let mut all = self.in_room(room);
        all.extend(self.hosts.iter().filter(|(_, host)| host.room == room).map(|(id, _)| *id));
        self.kill(&all);
        wires::cut(room)
    }

    /// All cables are whole again.
    pub fn heal(&self) -> Outcome {
        wires::heal(&self.rooms)
    }

    /// A command of the operator's, with its means; what it says if it is carried out.
    ///
    /// # Errors
    /// What it says if not.
    pub fn order(&self, arguments: &[&str]) -> Outcome<String> {
        let file = |name: &str| self.network.directory.join(name);
        let output = std::process::Command::new(program()?)
            .args(arguments)
            .arg("--config")
            .arg(file("client.toml"))
            .arg("--operator-key")
            .arg(file("operator.key"))
            .output()
            .map_err(|e| e.to_string())?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// A file system was mounted over a directory of the network.
    pub fn mounted(&mut self, at: PathBuf) {
        self.mounts.push(at);
    }

    /// This one will end by itself, and that is no failure.
    pub fn may_fall(&mut self, id: NodeId) {
        self.may_fall.insert(id);
    }

    /// The client leaves these nodes alone, from a moment later on.
    pub fn keep_load_from(&self, nodes: BTreeSet<NodeId>) {
        self.load.avoid(nodes);
    }

    fn pump(&mut self) -> Outcome {
        for (id, status) in self.processes.fallen() {
            if !self.may_fall.contains(&id) {
                return Err(format!("{} ended by itself: {status}\n{}", self.name(id), self.log(id)));
            }
        }
        let height = self.picture.view().height();
        self.load.state.height.store(height, Ordering::Relaxed);
        Ok(())
    }

    /// The end of a process's log.
    pub fn log(&self, id: NodeId) -> String {
        let config = match id {
            NodeId::AUTHORITY => self.network.authority_config_path(),
            id => self.network.node_config_path(id),
        };
        let text = std::fs::read_to_string(config.with_file_name("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n")
    }

    /// Wait until `why_not` answers `None`.
    pub fn wait(&mut self, mut why_not: impl FnMut(&mut Self) -> Option<String>) -> Outcome {
        let until = Instant::now() + PATIENCE;
        loop {
            self.pump()?;
            let Some(why) = why_not(self) else { return Ok(()) };
            if Instant::now() >= until {
                return Err(format!("not within {} s: {why}", PATIENCE.as_secs()));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Let time pass; whoever ends by itself meanwhile is an error.
    ///
    /// # Errors
    /// Somebody ended.
    pub fn pause(&mut self, span: Duration) -> Outcome {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.pump()?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Wait until every cluster of which somebody runs is whole.
    pub fn settle(&mut self) -> Outcome {
        let mut since = None;
        self.wait(|world| {
            let missing = unsettled(&world.picture.view(), &world.network.roster, &world.processes.live());
            if missing.is_some() {
                since = None;
                return missing;
            }
            let settled = since.get_or_insert_with(Instant::now).elapsed();
            (settled < STEADY).then(|| "it does not last".to_owned())
        })
    }

    /// The highest block of these nodes.
    pub fn height(&self, ids: &BTreeSet<NodeId>) -> u64 {
        let view = self.picture.view();
        ids.iter().filter_map(|id| view.nodes.get(id)).map(|node| node.height).max().unwrap_or(0)
    }

    /// New blocks come, somewhere.
    pub fn goes_on(&mut self) -> Outcome {
        let height = self.picture.view().height();
        self.wait(|world| {
            let now = world.picture.view().height();
            (now < height + PROOF_HEIGHTS).then(|| format!("the chain stands at height {now}"))
        })
    }

    /// Each of these clusters gets a master out of `heirs` in an epoch above that of `before`, which acts.
    pub fn switched(
        &mut self,
        before: &BTreeMap<ClusterId, Row>,
        clusters: &[ClusterId],
        heirs: &BTreeSet<NodeId>,
    ) -> Outcome {
        self.wait(|world| {
            let rows = world.rows();
            let view = world.picture.view();
            clusters.iter().find_map(|cluster| {
                let old = before.get(cluster).map(|row| row.epoch);
                let Some(row) = rows.get(cluster) else {
                    return Some(format!("cluster {} has no row", cluster.0));
                };
                if Some(row.epoch) <= old || !heirs.contains(&row.master) {
                    return Some(format!(
                        "cluster {} still has master {}",
                        cluster.0,
                        world.name(row.master)
                    ));
                }
                let acts = view.nodes.get(&row.master).and_then(|n| n.role) == Some(Role::Master);
                (!acts).then(|| format!("{} does not act as master", world.name(row.master)))
            })
        })
    }

    /// Somebody told such an event since `since_us`.
    pub fn saw(&mut self, what: &str, since_us: u64, wanted: impl Fn(&Seen) -> bool) -> Outcome<Seen> {
        let mut found = None;
        self.wait(|world| {
            found = world.picture.view().first(since_us, &wanted);
            found.is_none().then(|| format!("nobody told: {what}"))
        })?;
        found.ok_or_else(|| what.to_owned())
    }

    /// Now, for [`World::saw`].
    pub fn now_us() -> u64 {
        unix_us()
    }

    /// No new transfers, all old ones answered; everybody stops; then nothing may be lost or contradict itself.
    pub fn judge(mut self) -> Outcome {
        let answered = self.load.finish(PATIENCE);
        self.pause(QUIET)?;
        let state = &self.load.state;
        let failed = state.failed.load(Ordering::Relaxed);
        let waiting = state.outstanding.load(Ordering::Relaxed);
        let late = self.processes.stop_all();
        let mut wrong = Vec::new();
        let mut require = |holds: bool, otherwise: String| {
            if !holds {
                wrong.push(otherwise);
            }
        };
        require(answered, format!("{waiting} transfers were never answered"));
        require(failed == 0, format!("{failed} transfers were refused or expired"));
        require(late.is_empty(), format!("did not stop when told to: {late:?}"));
        let ids = self.load.ids();
        let roster = &self.network.roster;
        let stores: Vec<_> = roster.all_nodes().map(|(_, n)| (n.id, self.network.store_path(n.id))).collect();
        let audit = audit::audit(stores.iter().map(|(id, path)| (*id, path.as_path())), roster.consortium);
        let transactions = Transactions::count(&ids, &audit.counts);
        require(transactions.submitted > 0, "nothing was submitted".into());
        require(transactions.lost == 0, format!("{} answered transfers are lost", transactions.lost));
        require(
            transactions.duplicated == 0,
            format!("{} transfers were applied twice", transactions.duplicated),
        );
        require(
            audit.different_blocks == 0,
            format!("{} different blocks at one height", audit.different_blocks),
        );
        require(audit.problems.is_empty(), audit.problems.join("; "));
        let view = self.picture.view();
        require(view.votes_compared() > 0, "no vote was seen".into());
        require(view.conflicting_votes == 0, format!("{} conflicting votes", view.conflicting_votes));
        require(view.different_hashes == 0, format!("{} different ledgers", view.different_hashes));
        require(
            view.broken_epochs == 0,
            format!("{} second masters or rows that went back", view.broken_epochs),
        );
        require(view.halted.is_empty(), format!("stopped signing by themselves: {:?}", view.halted));
        require(view.told.is_empty(), view.told.join("; "));
        println!(
            "     height {}, {} transfers, {} words compared",
            audit.height,
            transactions.committed,
            view.votes_compared()
        );
        drop(view);
        if wrong.is_empty() {
            self.passed = true;
            self.directory.disable_cleanup(false);
            return Ok(());
        }
        Err(wrong.join("; "))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.passed {
            println!("     keys, stores and logs are in {}", self.directory.path().display());
        }
        if cell::is_kept() {
            if self.passed
                && let Err(why) = self.heal().and_then(|()| self.revive())
            {
                println!("     started again, but {why}");
            }
            println!("     kept until Ctrl-C; files: {}", self.directory.path().display());
            cell::wait_for_ever();
        }
        if self.passed {
            for at in &self.mounts {
                // an error: the directory stays, and is in the way of nobody
                let _ = cell::run("umount", &["-l", &at.display().to_string()], "");
            }
        }
    }
}

/// The command `duohuo` beside the program that runs, or, of a test, in the directory above it.
///
/// # Errors
/// It is not there.
pub fn program() -> Outcome<PathBuf> {
    let this = std::env::current_exe().map_err(|e| format!("where is this program: {e}"))?;
    let places = this.ancestors().skip(1).take(2).map(|directory| directory.join("duohuo"));
    let found = places.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        format!("there is no command duohuo beside {}: cargo build --release -p duohuo", this.display())
    })
}

fn room_number(room: u16) -> u8 {
    u8::try_from(room).unwrap_or(u8::MAX)
}
