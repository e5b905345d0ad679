//! The running network and everybody around it: what the steps act on, and how they wait and measure.

use super::load::Load;
use super::observer::Observer;
use super::picture::{Picture, Seen, View, kind, unix_us};
use super::processes::Processes;
use super::report::{Marks, StepReport};
use super::screen::Screen;
use crate::access::Server;
use crate::network::{Network, places};
use duohuo_rig::settled::unsettled;
use duohuo_wire::ids::{ClusterId, NodeId, RoomId};
use duohuo_wire::statement::Row;
use duohuo_wire::status::Role;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// All live nodes in sync and near the head: at the start and between faults.
///
/// This and the next are far above what is needed: a busy machine must not fail the demo. The times it prints are measured.
pub(crate) const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// From a fault to the first commit of every new master.
pub(crate) const RECOVERY_TIMEOUT: Duration = Duration::from_secs(15);
/// A switch that came just before a fault is seen within this.
const OVERTAKEN_AFTER: Duration = Duration::from_secs(1);
/// The chain is watched for so long after a recovery.
const AFTERMATH: Duration = Duration::from_millis(300);
/// A network must stay settled for so long before the next fault: a busy machine can drop a member at any moment.
const STEADY: Duration = Duration::from_millis(200);
/// New heights that prove that the chain goes on.
const PROOF_HEIGHTS: u64 = 3;

pub(crate) struct Stage {
    pub(crate) network: Network,
    pub(crate) processes: Processes,
    pub(crate) observer: Observer,
    pub(crate) load: Option<Load>,
    pub(crate) picture: Arc<Picture>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) reports: Vec<StepReport>,
    /// Processes that ended by themselves: each fails the demo.
    pub(crate) fallen: Vec<String>,
    /// The last fault hit no master: a switch for another reason came just before.
    pub(crate) overtaken: bool,
}

/// A step under way.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) requirement: &'static str,
    pub(crate) what: String,
}

/// Which events count as detection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detection {
    /// Somebody suspects a victim.
    Silence,
    /// Somebody reports a wrong result.
    WrongResult,
}

impl Stage {
    /// Start a process and show it.
    pub(crate) fn start(&mut self, id: NodeId) -> Result<(), String> {
        self.processes.start(&self.network, id)?;
        self.show_live();
        Ok(())
    }

    pub(crate) fn start_all(&mut self) -> Result<(), String> {
        self.start(NodeId::AUTHORITY)?;
        let ids: Vec<_> = self.network.roster.all_nodes().map(|(_, n)| n.id).collect();
        for id in ids {
            self.start(id)?;
        }
        self.watch_all();
        Ok(())
    }

    /// Let the observer see everybody in the roster.
    pub(crate) fn watch_all(&mut self) {
        let authority = &self.network.roster.authority;
        self.observer.watch(Server {
            id: NodeId::AUTHORITY,
            address: authority.address,
            key: authority.session_key,
        });
        for (_, node) in self.network.roster.all_nodes() {
            self.observer.watch(Server { id: node.id, address: node.address, key: node.session_key });
        }
        self.screen.set_roster(&self.network.roster);
    }

    pub(crate) fn show_live(&self) {
        self.screen.set_live(self.processes.live(), self.processes.is_live(NodeId::AUTHORITY));
    }

    pub(crate) fn kill(&mut self, victims: &BTreeSet<NodeId>) {
        self.processes.kill(victims);
        self.show_live();
    }

    /// Who does not run.
    pub(crate) fn dead(&self) -> BTreeSet<NodeId> {
        let live = self.processes.live();
        self.network.roster.all_nodes().map(|(_, n)| n.id).filter(|id| !live.contains(id)).collect()
    }

    /// Nodes in some rooms that run.
    pub(crate) fn live_in(&self, rooms: &[u16]) -> BTreeSet<NodeId> {
        let live = self.processes.live();
        places(&self.network.roster)
            .into_iter()
            .filter(|(id, (_, room))| live.contains(id) && rooms.contains(&room.0))
            .map(|(id, _)| id)
            .collect()
    }

    pub(crate) fn rooms(&self) -> BTreeSet<u16> {
        places(&self.network.roster).values().map(|(_, RoomId(room))| *room).collect()
    }

    pub(crate) fn rows(&self) -> BTreeMap<ClusterId, Row> {
        self.picture.view().rows.clone()
    }

    pub(crate) fn cluster_named(&self, name: &str) -> Result<ClusterId, String> {
        let cluster = self.network.roster.clusters.iter().find(|c| c.name == name);
        cluster.map(|c| c.id).ok_or_else(|| format!("there is no cluster {name}"))
    }

    pub(crate) fn name_of(&self, id: NodeId) -> String {
        self.network.roster.node(id).map_or_else(|| format!("node {}", id.0), |(_, n)| n.name.clone())
    }

    pub(crate) fn master_of(&self, cluster: ClusterId) -> Result<NodeId, String> {
        let row =
            self.rows().get(&cluster).cloned().ok_or_else(|| format!("cluster {} has no row", cluster.0))?;
        Ok(row.master)
    }

    /// As the master itself has elected it, or any other node of the cluster that reports one.
    pub(crate) fn standby_of(&self, cluster: ClusterId) -> Result<NodeId, String> {
        let master = self.master_of(cluster)?;
        let view = self.picture.view();
        let reported = view.nodes.get(&master).and_then(|n| n.report.as_ref()).map(|r| r.standby);
        let elected = view.nodes.iter().find(|(id, n)| {
            n.role == Some(Role::Standby)
                && self.network.roster.node(**id).is_some_and(|(c, _)| c.id == cluster)
        });
        match (reported, elected) {
            (Some(standby), _) if standby != NodeId(0) => Ok(standby),
            (_, Some((id, _))) => Ok(*id),
            _ => Err(format!("cluster {} has no standby", cluster.0)),
        }
    }

    /// Could become master: runs, in the in-sync set, not barred.
    pub(crate) fn electable(&self, cluster: ClusterId) -> BTreeSet<NodeId> {
        let live = self.processes.live();
        let rows = self.rows();
        let Some(row) = rows.get(&cluster) else { return BTreeSet::new() };
        row.in_sync.iter().copied().filter(|id| live.contains(id) && !row.barred.contains(id)).collect()
    }

    /// Keep the books while waiting. Error: stop the demo.
    pub(crate) fn pump(&mut self) -> Result<(), String> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        for (id, status) in self.processes.fallen() {
            let text = format!("{} ended by itself: {status}; see its log", self.name_of(id));
            self.screen.say(&text);
            self.fallen.push(text);
            self.show_live();
        }
        let height = self.picture.view().height();
        if let Some(load) = &self.load {
            load.state.height.store(height, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Wait until `why_not` answers `None`.
    pub(crate) fn wait(
        &mut self,
        timeout: Duration,
        mut why_not: impl FnMut(&mut Self) -> Option<String>,
    ) -> Result<(), String> {
        let until = Instant::now() + timeout;
        loop {
            self.pump()?;
            let Some(why) = why_not(self) else { return Ok(()) };
            if Instant::now() >= until {
                return Err(format!("not within {} s: {why}", timeout.as_secs_f32()));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    pub(crate) fn pause(&mut self, span: Duration) -> Result<(), String> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.pump()?;
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    /// Wait until every cluster that has live nodes is whole again.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let mut since = None;
        self.wait(SETTLE_TIMEOUT, |stage| {
            let missing = stage.unsettled();
            if missing.is_some() {
                since = None;
                return missing;
            }
            let settled = since.get_or_insert_with(Instant::now).elapsed();
            (settled < STEADY).then(|| "it does not last".to_owned())
        })
    }

    /// What is still missing.
    pub(crate) fn unsettled(&self) -> Option<String> {
        unsettled(&self.picture.view(), &self.network.roster, &self.processes.live())
    }

    /// Make a fault, wait for all switches it causes, and take the times.
    pub(crate) fn fault(
        &mut self,
        step: Step,
        victims: &BTreeSet<NodeId>,
        detection: Detection,
        inject: impl FnOnce(&mut Self),
    ) -> Result<(), String> {
        self.screen.doing(&step.what);
        let before = self.rows();
        let mut expected: BTreeSet<ClusterId> = before
            .values()
            .filter(|row| {
                victims.contains(&row.master)
                    && row.in_sync.iter().any(|id| !victims.contains(id) && !row.barred.contains(id))
            })
            .map(|row| row.cluster)
            .collect();
        self.picture.view().forget_events();
        let fault_us = unix_us();
        inject(self);
        let mut switches = BTreeMap::new();
        let mut stranded = None;
        let anybody = !expected.is_empty();
        let injected = Instant::now();
        let waited = self.wait(RECOVERY_TIMEOUT, |stage| {
            let without_heir = expected.iter().copied().find(|c| stage.electable(*c).is_empty());
            let view = stage.picture.view();
            switches =
                expected.iter().map(|c| (*c, marks(&view, *c, fault_us, victims, detection))).collect();
            if injected.elapsed() > OVERTAKEN_AFTER {
                let overtaken = |c: &ClusterId, m: &Marks| switched_before(&view, *c, m, victims, detection);
                switches.retain(|c, m| !overtaken(c, m));
                expected.retain(|c| switches.contains_key(c));
                if let Some(cluster) = without_heir.filter(|c| expected.contains(c)) {
                    stranded = Some(cluster);
                    return None;
                }
            }
            let missing = switches.iter().find(|(_, m)| !m.complete());
            missing.map(|(cluster, m)| format!("cluster {}: {}", cluster.0, missing_mark(m)))
        });
        self.overtaken = anybody && expected.is_empty();
        if self.overtaken {
            return Err("a switch for another reason came just before the fault".into());
        }
        if let Some(cluster) = stranded {
            self.overtaken = true;
            return Err(format!(
                "in the moment of the fault cluster {} took all that were left out of its in-sync set (R5)",
                cluster.0
            ));
        }
        let goes_on = waited.and_then(|()| self.chain_goes_on());
        let goes_on = goes_on.and_then(|()| self.pause(AFTERMATH));
        let gap_ms = self.picture.view().longest_gap_ms(fault_us, unix_us());
        self.finish(StepReport {
            name: step.name,
            requirement: step.requirement,
            failure: goes_on.err(),
            fault_us: Some(fault_us),
            switches,
            gap_ms,
            what: step.what,
        })
    }

    /// A step that is no fault: do it, and take the longest gap.
    pub(crate) fn calm(
        &mut self,
        step: Step,
        act: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.screen.doing(&step.what);
        self.picture.view().forget_events();
        let begun_us = unix_us();
        let failure = act(self).and_then(|()| self.chain_goes_on()).err();
        let gap_ms = self.picture.view().longest_gap_ms(begun_us, unix_us());
        self.finish(StepReport {
            name: step.name,
            requirement: step.requirement,
            failure,
            fault_us: None,
            switches: BTreeMap::new(),
            gap_ms,
            what: step.what,
        })
    }

    /// New blocks come.
    pub(crate) fn chain_goes_on(&mut self) -> Result<(), String> {
        let height = self.picture.view().height();
        self.wait(RECOVERY_TIMEOUT, |stage| {
            let now = stage.picture.view().height();
            (now < height + PROOF_HEIGHTS).then(|| format!("the chain stands at height {now}"))
        })
    }

    fn finish(&mut self, report: StepReport) -> Result<(), String> {
        self.screen.json("step", report.detailed_json());
        self.screen.say(&report.line());
        let failure = report.failure.clone();
        self.reports.push(report);
        failure.map_or(Ok(()), Err)
    }
}

/// Whether the victim of a fault had lost its cluster for another reason, as happens on a busy machine, so that the
/// fault could cause no switch there.
fn switched_before(
    view: &View,
    cluster: ClusterId,
    marks: &Marks,
    victims: &BTreeSet<NodeId>,
    detection: Detection,
) -> bool {
    match detection {
        Detection::Silence => {
            marks.granted.is_none()
                && view.rows.get(&cluster).is_some_and(|row| {
                    !victims.contains(&row.master)
                        && view.nodes.get(&row.master).and_then(|n| n.role) == Some(Role::Master)
                })
        }
        Detection::WrongResult => marks.granted.is_some() && marks.detected.is_none(),
    }
}

fn missing_mark(m: &Marks) -> &'static str {
    if m.detected.is_none() {
        "nobody noticed the fault"
    } else if m.granted.is_none() {
        "no new master was granted"
    } else if m.voted.is_none() {
        "the new master did not vote"
    } else {
        "the new master did not commit"
    }
}

/// The times of one cluster's switch.
fn marks(
    view: &View,
    cluster: ClusterId,
    fault_us: u64,
    victims: &BTreeSet<NodeId>,
    detection: Detection,
) -> Marks {
    let noticed = |s: &Seen| match detection {
        // several rooms fail at once: only this cluster's victims count for it (nodes are numbered by cluster)
        Detection::Silence => {
            matches!(s.kind, kind::SUSPECTED | kind::DEAD | kind::AGED_OUT)
                && !victims.contains(&s.from)
                && victims.contains(&s.node)
                && s.node.0 / 100 == cluster.0
        }
        Detection::WrongResult => {
            matches!(s.kind, kind::CONSENSUS_ERROR_REPORTED | kind::FORCED_SWITCH | kind::ALARM)
                && s.cluster == cluster
        }
    };
    let mut marks = Marks { detected: view.first(fault_us, noticed).map(|s| s.at_us), ..Marks::default() };
    let granted = |s: &Seen| {
        s.kind == kind::GRANTED
            && s.from == NodeId::AUTHORITY
            && s.cluster == cluster
            && !victims.contains(&s.node)
    };
    // a new master may be suspected in its turn before it votes: the first one that commits ends the switch
    let mut grants: Vec<Seen> =
        view.seen.iter().filter(|s| s.at_us >= fault_us && granted(s)).copied().collect();
    grants.sort_by_key(|s| s.at_us);
    for grant in grants {
        let master = grant.node;
        let acted = Marks { granted: Some(grant.at_us), voted: None, committed: None, ..marks };
        let voted = view.first(grant.at_us, |s| s.kind == kind::RELEASED && s.from == master);
        let committed =
            voted.and_then(|vote| view.first(vote.at_us, |s| s.kind == kind::COMMITTED && s.from == master));
        let acted = Marks { voted: voted.map(|s| s.at_us), committed: committed.map(|s| s.at_us), ..acted };
        if acted.committed.is_some() {
            return acted;
        }
        if marks.granted.is_none() {
            marks = acted;
        }
    }
    marks
}
