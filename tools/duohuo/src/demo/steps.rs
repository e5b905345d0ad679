//! The steps of the tour and of the single scenarios: which fault, and what must follow.

use super::picture::kind;
use super::stage::{Detection, RECOVERY_TIMEOUT, SETTLE_TIMEOUT, Stage, Step};
use crate::layout::{ADDED_PRIORITY, LayoutNode, loopback};
use crate::network::places;
use duohuo_driver::keys;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::statement::Row;
use duohuo_wire::status::Role;
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Clusters of the demo's chain that must act: a quorum of four.
const QUORUM: usize = 3;
/// The authority stays away for at least so long.
const AUTHORITY_AWAY: Duration = Duration::from_millis(800);
/// How often a fault is tried that hits no master.
const FAULT_ATTEMPTS: u32 = 4;
/// Blocks that must come meanwhile.
const BLOCKS_WITHOUT_AUTHORITY: u64 = 5;

/// One of `--scenario`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// All steps, under a minute
    Tour,
    /// kill -9 the master of A (REC-1)
    MasterFails,
    /// kill -9 master and standby of B together (REC-2)
    MasterAndStandbyFail,
    /// The master of C computes wrong balances (REC-3)
    WrongResult,
    /// Rooms 3 and 4 go dark, then one more (DEP-2, DEP-3)
    RoomsFail,
    /// One node more per cluster, added while running; then any three rooms go dark (DEP-4)
    NodesAdded,
    /// The authority goes away and comes back (P4)
    AuthorityFails,
    /// Two rooms, four clusters of two nodes; one room goes dark (DEP-1)
    TwoCompanies,
}

impl Stage {
    /// Carry out a scenario; the reports are in the stage.
    pub(crate) fn play(&mut self, scenario: Scenario, repeat: u32) -> Result<(), String> {
        match scenario {
            Scenario::Tour => self.tour(),
            Scenario::MasterFails => {
                for round in 1..=repeat {
                    self.until_it_hits(|stage| stage.master_fails("A"))?;
                    if round < repeat {
                        self.revive()?;
                    }
                }
                Ok(())
            }
            Scenario::MasterAndStandbyFail => self.until_it_hits(|stage| stage.master_and_standby_fail("B")),
            Scenario::WrongResult => self.until_it_hits(|stage| stage.wrong_result("C")),
            Scenario::RoomsFail => self.until_it_hits(Self::rooms_fail),
            Scenario::NodesAdded => {
                self.add_nodes()?;
                self.until_it_hits(Self::any_three_rooms_fail)
            }
            Scenario::AuthorityFails => self.authority_fails(),
            Scenario::TwoCompanies => self.until_it_hits(Self::one_room_of_two_fails),
        }
    }

    fn tour(&mut self) -> Result<(), String> {
        self.until_it_hits(|stage| stage.master_fails("A"))?;
        self.until_it_hits(|stage| stage.master_and_standby_fail("B"))?;
        self.until_it_hits(|stage| stage.wrong_result("C"))?;
        self.everybody_returns()?;
        self.until_it_hits(Self::rooms_fail)?;
        self.revive()?;
        self.add_nodes()?;
        self.until_it_hits(Self::any_three_rooms_fail)?;
        self.revive()?;
        self.authority_fails()
    }

    /// On a busy machine a cluster can switch for another reason in the moment of the fault, which then hits no master,
    /// or take a slow member out of its in-sync set just before it would be needed: two faults at once, which show
    /// nothing about one. So it is done again.
    fn until_it_hits(&mut self, step: impl Fn(&mut Self) -> Result<(), String>) -> Result<(), String> {
        for _ in 1..FAULT_ATTEMPTS {
            let done = step(self);
            if !self.overtaken {
                return done;
            }
            let why = done.err().unwrap_or_default();
            self.screen.say(&format!("{why}: the same fault again"));
            self.revive()?;
        }
        step(self)
    }

    fn master_fails(&mut self, name: &str) -> Result<(), String> {
        self.settle()?;
        let master = self.master_of(self.cluster_named(name)?)?;
        let victims = BTreeSet::from([master]);
        let what = format!("kill -9 {}, the master of {name}", self.name_of(master));
        self.fault(
            Step { name: "master-fails", requirement: "REC-1", what },
            &victims,
            Detection::Silence,
            |stage| {
                stage.kill(&victims);
            },
        )
    }

    fn master_and_standby_fail(&mut self, name: &str) -> Result<(), String> {
        self.settle()?;
        let cluster = self.cluster_named(name)?;
        let (master, standby) = (self.master_of(cluster)?, self.standby_of(cluster)?);
        let victims = BTreeSet::from([master, standby]);
        let what = format!(
            "kill -9 {} and {}, master and standby of {name}, together",
            self.name_of(master),
            self.name_of(standby)
        );
        let step = Step { name: "master-and-standby-fail", requirement: "REC-2", what };
        self.fault(step, &victims, Detection::Silence, |stage| stage.kill(&victims))
    }

    fn wrong_result(&mut self, name: &str) -> Result<(), String> {
        self.settle()?;
        let cluster = self.cluster_named(name)?;
        let master = self.master_of(cluster)?;
        let victims = BTreeSet::from([master]);
        let what = format!("{}, the master of {name}, computes wrong balances", self.name_of(master));
        let step = Step { name: "wrong-result", requirement: "REC-3", what };
        let done = self.fault(step, &victims, Detection::WrongResult, |stage| {
            stage.picture.view().drilled.insert(master);
            stage.processes.signal(master, Signal::USR1);
        });
        // it starts anew without the fault; it stays barred until an operator clears it
        self.screen.doing(&format!("{} starts anew, barred", self.name_of(master)));
        self.kill(&victims);
        self.picture.view().drilled.remove(&master);
        self.start(master)?;
        done?;
        self.wait(SETTLE_TIMEOUT, |stage| {
            let barred = stage.rows().get(&cluster).is_some_and(|row| row.barred.contains(&master));
            (!barred).then(|| format!("{} is not barred", stage.name_of(master)))
        })
    }

    /// Start what is dead, and wait until everybody is in sync or barred.
    fn revive(&mut self) -> Result<(), String> {
        let dead = self.dead();
        self.screen.doing(&format!("bring back {} nodes", dead.len()));
        for id in dead {
            self.start(id)?;
        }
        self.settle()
    }

    fn everybody_returns(&mut self) -> Result<(), String> {
        let dead = self.dead();
        let what = format!("everything killed comes back: {}", self.names(&dead));
        self.calm(Step { name: "everybody-returns", requirement: "SYS-7", what }, |stage| {
            stage.revive()?;
            for id in &dead {
                stage.rejoined(*id)?;
            }
            Ok(())
        })
    }

    /// Who came back joins its cluster's in-sync set first. On a busy machine the cluster may then switch to it.
    fn rejoined(&self, id: NodeId) -> Result<(), String> {
        let view = self.picture.view();
        let told = |kind| view.first(0, |s| s.from == NodeId::AUTHORITY && s.kind == kind && s.node == id);
        let Some(granted) = told(kind::GRANTED) else { return Ok(()) };
        let name = self.name_of(id);
        if told(kind::IN_SYNC_CHANGED).is_none_or(|joined| joined.at_us > granted.at_us) {
            return Err(format!("{name} came back as master"));
        }
        self.screen
            .say(&format!("{name} was in sync again, then its cluster switched to it for another reason"));
        Ok(())
    }

    fn rooms_fail(&mut self) -> Result<(), String> {
        self.settle()?;
        // Rooms 3 and 4, unless a barred node is all that they would leave of a cluster.
        let splits = [[3, 4, 1, 2], [1, 2, 3, 4], [2, 4, 1, 3], [1, 3, 2, 4], [2, 3, 1, 4], [1, 4, 2, 3]];
        let all = self.network.roster.clusters.len();
        let split =
            splits.into_iter().find(|[a, b, ..]| self.outcome_without(&self.live_in(&[*a, *b])).0 == all);
        let [a, b, left, right] = split.ok_or("no two rooms hold an electable node of every cluster")?;
        let victims = self.live_in(&[a, b]);
        let step = Step {
            name: "two-rooms-fail",
            requirement: "DEP-2",
            what: format!("rooms {a} and {b} go dark: {}", self.names(&victims)),
        };
        self.fault(step, &victims, Detection::Silence, |stage| stage.kill(&victims))?;
        self.require_masters(all, &[left, right])?;
        self.settle()?;
        // the room to lose: the one whose loss leaves the most clusters, then the one that makes most of them switch
        let [by_left, by_right] = [left, right].map(|lost| self.outcome_without(&self.live_in(&[lost])));
        let (lost, kept) = if by_left > by_right { (left, right) } else { (right, left) };
        let victims = self.live_in(&[lost]);
        let what = format!("room {lost} goes dark too: {}; room {kept} is left", self.names(&victims));
        let step = Step { name: "three-rooms-fail", requirement: "DEP-3", what };
        self.fault(step, &victims, Detection::Silence, |stage| stage.kill(&victims))?;
        self.require_masters(QUORUM, &[kept])
    }

    /// How many clusters have an electable node outside `lost`, and how many of these lose their master.
    fn outcome_without(&self, lost: &BTreeSet<NodeId>) -> (usize, usize) {
        let left: Vec<ClusterId> = self
            .network
            .roster
            .clusters
            .iter()
            .map(|c| c.id)
            .filter(|id| self.electable(*id).iter().any(|node| !lost.contains(node)))
            .collect();
        let rows = self.rows();
        let switches = left.iter().filter_map(|id| rows.get(id)).filter(|row| lost.contains(&row.master));
        (left.len(), switches.count())
    }

    /// So many clusters must have a master that acts in one of these rooms.
    fn require_masters(&mut self, count: usize, rooms: &[u16]) -> Result<(), String> {
        let places = places(&self.network.roster);
        let done = self.wait(SETTLE_TIMEOUT, |stage| {
            let rows = stage.rows();
            let view = stage.picture.view();
            let acting = rows
                .values()
                .filter(|row| places.get(&row.master).is_some_and(|(_, room)| rooms.contains(&room.0)))
                .filter(|row| view.nodes.get(&row.master).and_then(|n| n.role) == Some(Role::Master))
                .count();
            (acting < count).then(|| format!("{acting} clusters act in rooms {rooms:?}, expected {count}"))
        });
        self.fail_last(done)
    }

    /// A check that belongs to the step that was just reported.
    fn fail_last(&mut self, done: Result<(), String>) -> Result<(), String> {
        if let (Err(why), Some(report)) = (&done, self.reports.last_mut()) {
            report.failure = Some(why.clone());
        }
        done
    }

    fn add_nodes(&mut self) -> Result<(), String> {
        self.settle()?;
        let rooms = self.rooms();
        let what = "one ordinary node more for each cluster, while it runs".to_owned();
        self.calm(Step { name: "nodes-added", requirement: "SYS-6", what }, |stage| {
            let masters: BTreeMap<ClusterId, NodeId> =
                stage.rows().values().map(|row| (row.cluster, row.master)).collect();
            let mut added = Vec::new();
            for cluster in stage.network.roster.clusters.clone() {
                let free = rooms
                    .iter()
                    .find(|room| cluster.nodes.iter().all(|n| n.room.0 != **room))
                    .copied()
                    .unwrap_or(1);
                let position = u8::try_from(cluster.nodes.len() + 1).unwrap_or(u8::MAX);
                let port = cluster.nodes.first().map_or(0, |n| n.address.port());
                let node = LayoutNode {
                    name: format!("{}{position}", cluster.name),
                    room: free,
                    priority: ADDED_PRIORITY,
                    address: loopback(free, u8::try_from(cluster.id.0).unwrap_or(u8::MAX), position, port),
                };
                added.push(stage.network.add_node(cluster.id, &node).map_err(|e| e.to_string())?);
            }
            stage.network.publish().map_err(|e| e.to_string())?;
            stage.processes.signal(NodeId::AUTHORITY, Signal::HUP);
            for id in added {
                stage.start(id)?;
            }
            stage.watch_all();
            stage.settle()?;
            // allowed, since a wrong suspicion costs a switch and no more, but worth a word
            for row in stage.rows().values().filter(|row| masters.get(&row.cluster) != Some(&row.master)) {
                stage.screen.say(&format!(
                    "cluster {} changed its master to {} meanwhile",
                    row.cluster.0,
                    stage.name_of(row.master)
                ));
            }
            Ok(())
        })
    }

    fn any_three_rooms_fail(&mut self) -> Result<(), String> {
        self.settle()?;
        let rooms = self.rooms();
        let all = self.network.roster.clusters.len();
        // a barred node cannot be master: the room that is left must hold an electable node of every cluster
        let valid: Vec<u16> = rooms
            .iter()
            .copied()
            .filter(|kept| {
                let lost: Vec<u16> = rooms.iter().copied().filter(|room| room != kept).collect();
                self.outcome_without(&self.live_in(&lost)).0 == all
            })
            .collect();
        let choice = usize::from(keys::random().first().copied().unwrap_or(0)) % valid.len().max(1);
        let Some(kept) = valid.get(choice).copied() else {
            return Err("no room holds an electable node of every cluster".into());
        };
        let lost: Vec<u16> = rooms.iter().copied().filter(|room| *room != kept).collect();
        let victims = self.live_in(&lost);
        let what = format!("rooms {lost:?} go dark; room {kept} is left (chosen at random of {valid:?})");
        let step = Step { name: "any-three-rooms-fail", requirement: "DEP-4", what };
        self.fault(step, &victims, Detection::Silence, |stage| stage.kill(&victims))?;
        self.require_masters(all, &[kept])
    }

    fn one_room_of_two_fails(&mut self) -> Result<(), String> {
        self.settle()?;
        let victims = self.live_in(&[1]);
        let what = format!("room 1 goes dark: {}", self.names(&victims));
        let step = Step { name: "two-companies", requirement: "DEP-1", what };
        self.fault(step, &victims, Detection::Silence, |stage| stage.kill(&victims))?;
        self.require_masters(4, &[2])
    }

    fn authority_fails(&mut self) -> Result<(), String> {
        self.settle()?;
        let what = "kill -9 the authority for a while, then start it again".to_owned();
        self.calm(Step { name: "authority-fails", requirement: "P4", what }, |stage| {
            let before = stage.rows();
            stage.kill(&BTreeSet::from([NodeId::AUTHORITY]));
            let height = stage.picture.view().height();
            stage.pause(AUTHORITY_AWAY)?;
            stage.wait(RECOVERY_TIMEOUT, |stage| {
                let blocks = stage.picture.view().height() - height;
                let too_few = blocks < BLOCKS_WITHOUT_AUTHORITY;
                too_few.then(|| format!("only {blocks} blocks without the authority"))
            })?;
            stage.picture.view().rows_at = None;
            stage.start(NodeId::AUTHORITY)?;
            stage.wait(SETTLE_TIMEOUT, |stage| {
                stage.picture.view().rows_at.is_none().then(|| "the authority does not answer".to_owned())
            })?;
            remembered(&before, &stage.rows())?;
            stage.settle()
        })
    }

    fn names(&self, ids: &BTreeSet<NodeId>) -> String {
        ids.iter().map(|id| self.name_of(*id)).collect::<Vec<_>>().join(" ")
    }
}

/// A restarted authority has forgotten nothing: no row went back, none changed without a new version, nobody was
/// pardoned. Rows may have gone on, since members come and go at any time.
fn remembered(before: &BTreeMap<ClusterId, Row>, after: &BTreeMap<ClusterId, Row>) -> Result<(), String> {
    for (cluster, row) in before {
        let kept = after.get(cluster).is_some_and(|now| {
            let (was, is) = ((row.epoch, row.version), (now.epoch, now.version));
            let same = now.master == row.master && now.in_sync == row.in_sync && now.barred == row.barred;
            (is > was || (is == was && same)) && row.barred.iter().all(|id| now.barred.contains(id))
        });
        if !kept {
            return Err(format!(
                "cluster {}: the row was {row:?} and is {:?}",
                cluster.0,
                after.get(cluster)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::{Epoch, Version};

    fn rows(epoch: u64, version: u64, barred: &[u32]) -> BTreeMap<ClusterId, Row> {
        let row = Row {
            cluster: ClusterId(1),
            epoch: Epoch(epoch),
            version: Version(version),
            master: NodeId(101),
            in_sync: vec![NodeId(101), NodeId(102)],
            barred: barred.iter().map(|id| NodeId(*id)).collect(),
            unfenced: false,
            table_version: 9,
        };
        BTreeMap::from([(ClusterId(1), row)])
    }

    #[test]
    fn a_row_may_go_on_but_never_back_and_nobody_is_pardoned() {
        assert!(remembered(&rows(3, 2, &[103]), &rows(3, 2, &[103])).is_ok());
        assert!(remembered(&rows(3, 2, &[]), &rows(4, 0, &[])).is_ok());
        assert!(remembered(&rows(3, 2, &[]), &rows(3, 1, &[])).is_err());
        assert!(remembered(&rows(3, 2, &[]), &rows(2, 9, &[])).is_err());
        assert!(remembered(&rows(3, 2, &[103]), &rows(4, 0, &[])).is_err());
        assert!(remembered(&rows(3, 2, &[]), &rows(3, 2, &[103])).is_err());
        assert!(remembered(&rows(3, 2, &[]), &BTreeMap::new()).is_err());
    }
}
