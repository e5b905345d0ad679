//! The authority and the nodes as real child processes: started, killed, signalled, and gone when the demo is.

use crate::network::Network;
use duohuo_wire::ids::NodeId;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An orderly stop may take so long.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);

/// All of them.
#[derive(Debug)]
pub struct Processes {
    program: PathBuf,
    /// Given to each.
    arguments: Vec<OsString>,
    /// Commands that start it elsewhere, as in a network namespace.
    places: BTreeMap<NodeId, Vec<OsString>>,
    children: BTreeMap<NodeId, Child>,
    initialised: BTreeSet<NodeId>,
}

impl Processes {
    /// None yet. `program` is the command `duohuo`; `arguments` are given to each, after its configuration.
    #[must_use]
    pub fn new(program: PathBuf, arguments: Vec<OsString>) -> Self {
        Self {
            program,
            arguments,
            places: BTreeMap::new(),
            children: BTreeMap::new(),
            initialised: BTreeSet::new(),
        }
    }

    /// From now on start this one by `command`, which is given the program and its arguments and becomes it.
    pub fn place(&mut self, id: NodeId, command: Vec<OsString>) {
        self.places.insert(id, command);
    }

    /// Start one; 0 is the authority.
    ///
    /// # Errors
    /// The program or its log cannot be opened.
    pub fn start(&mut self, network: &Network, id: NodeId) -> Result<(), String> {
        let (command, config) = match id {
            NodeId::AUTHORITY => ("authority", network.authority_config_path()),
            id => ("node", network.node_config_path(id)),
        };
        let log = config.with_file_name("log");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| format!("{}: {e}", log.display()))?;
        let place = self.places.get(&id).into_iter().flatten().cloned();
        let mut words = place.chain([OsString::from(&self.program)]);
        let first = words.next().unwrap_or_default();
        let mut process = Command::new(&first);
        process.args(words);
        process.arg(command).arg("--config").arg(&config).arg("--exit-with-parent").args(&self.arguments);
        if self.initialised.insert(id) {
            process.arg("--init");
        }
        // its own process group: Ctrl-C is for the demo, which then ends it in order
        process.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = process.spawn().map_err(|e| format!("{}: {e}", first.display()))?;
        self.children.insert(id, child);
        Ok(())
    }

    /// Which nodes run.
    #[must_use]
    pub fn live(&self) -> BTreeSet<NodeId> {
        self.children.keys().copied().filter(|id| *id != NodeId::AUTHORITY).collect()
    }

    /// Whether it was started and not ended.
    #[must_use]
    pub fn is_live(&self, id: NodeId) -> bool {
        self.children.contains_key(&id)
    }

    /// The process of one that runs.
    #[must_use]
    pub fn pid(&self, id: NodeId) -> Option<u32> {
        self.children.get(&id).map(Child::id)
    }

    /// kill -9, all at once.
    pub fn kill(&mut self, ids: &BTreeSet<NodeId>) {
        for id in ids {
            self.signal(*id, Signal::KILL);
        }
        for id in ids {
            if let Some(mut child) = self.children.remove(id) {
                let _ = child.wait();
            }
        }
    }

    /// Send a signal; whoever is gone already gets none.
    pub fn signal(&self, id: NodeId, signal: Signal) {
        if let Some(pid) =
            self.children.get(&id).and_then(|c| i32::try_from(c.id()).ok()).and_then(Pid::from_raw)
        {
            // an error: it is gone already, which the next check tells
            let _ = kill_process(pid, signal);
        }
    }

    /// Those that ended without being told to.
    pub fn fallen(&mut self) -> Vec<(NodeId, String)> {
        let fallen: Vec<_> = self
            .children
            .iter_mut()
            .filter_map(|(id, child)| child.try_wait().ok().flatten().map(|status| (*id, status.to_string())))
            .collect();
        for (id, _) in &fallen {
            self.children.remove(id);
        }
        fallen
    }

    /// Stop in good order; whoever does not in time is killed and named.
    pub fn stop(&mut self, ids: &BTreeSet<NodeId>) -> Vec<NodeId> {
        for id in ids {
            self.signal(*id, Signal::TERM);
        }
        let until = Instant::now() + STOP_TIMEOUT;
        let mut late = Vec::new();
        for id in ids {
            let Some(mut child) = self.children.remove(id) else { continue };
            while matches!(child.try_wait(), Ok(None)) {
                if Instant::now() >= until {
                    late.push(*id);
                    let _ = child.kill();
                }
                std::thread::sleep(PAUSE);
            }
        }
        late
    }

    /// Everybody, the authority last.
    pub fn stop_all(&mut self) -> Vec<NodeId> {
        let nodes = self.live();
        let mut late = self.stop(&nodes);
        late.extend(self.stop(&BTreeSet::from([NodeId::AUTHORITY])));
        late
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let all: BTreeSet<_> = self.children.keys().copied().collect();
        self.kill(&all);
    }
}
