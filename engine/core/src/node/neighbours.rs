//! The neighbour table (mission IN-1, IN-3): who of the cluster is there, judged by keepalives and probes.
//!
//! A neighbour is *alive* while fresh keepalives come, *suspect* after 1.5 of its intervals without one or when its
//! stream closes, and *dead* when three probes go unanswered. A wrong suspicion costs a question, never safety.

use crate::config::Timers;
use crate::lateness::Lateness;
use crate::time::{Duration, Instant};
use duohuo_wire::ids::{Epoch, Height, NodeId};
use duohuo_wire::packet::{NodeKeepalive, Role};
use std::collections::BTreeMap;

/// Probes before the verdict (design "Fast without being rash").
const PROBES: u32 = 3;
/// A neighbour may announce any interval, but not stretch its own detection beyond so many of ours.
const INTERVAL_STRETCH: u32 = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Liveness {
    /// Never heard in this run, or dead.
    Dead,
    Alive {
        suspect_at: Instant,
    },
    Suspect {
        nonce: u64,
        probes_sent: u32,
        next_at: Instant,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    /// Of the roster.
    enrolled: u8,
    /// What it announces, but never above the roster's: what acts outside may be unwell there.
    pub(super) priority: u8,
    pub(super) liveness: Liveness,
    pub(super) heard_at: Option<Instant>,
    pub(super) role: Role,
    pub(super) promised: Epoch,
    pub(super) height: Height,
    /// Its newest sequence, echoed in our heard list.
    pub(super) sequence: u64,
    lateness: Lateness,
}

impl Neighbour {
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.liveness, Liveness::Alive { .. })
    }

    /// Alive, or not yet judged.
    pub(super) fn is_not_dead(&self) -> bool {
        self.liveness != Liveness::Dead
    }
}

/// What the table wants done after time passed or news came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Suspected(NodeId),
    Probe { node: NodeId, nonce: u64 },
    Dead(NodeId),
}

#[derive(Debug)]
pub(super) struct Neighbours {
    table: BTreeMap<NodeId, Neighbour>,
    timers: Timers,
}

impl Neighbours {
    pub(super) fn new(timers: Timers) -> Self {
        Self { table: BTreeMap::new(), timers }
    }

    /// The roster says who may be a neighbour.
    pub(super) fn enrol(&mut self, members: &[(NodeId, u8)]) {
        self.table.retain(|node, _| members.iter().any(|(id, _)| id == node));
        for (node, priority) in members {
            self.table
                .entry(*node)
                .or_insert(Neighbour {
                    enrolled: *priority,
                    priority: *priority,
                    liveness: Liveness::Dead,
                    heard_at: None,
                    role: Role::Ordinary,
                    promised: Epoch(0),
                    height: Height(0),
                    sequence: 0,
                    lateness: Lateness::default(),
                })
                .enrolled = *priority;
            if let Some(neighbour) = self.table.get_mut(node) {
                neighbour.priority = neighbour.priority.min(*priority);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&NodeId, &Neighbour)> {
        self.table.iter()
    }

    pub(super) fn of(&self, node: NodeId) -> Option<&Neighbour> {
        self.table.get(&node)
    }

    pub(super) fn is_alive(&self, node: NodeId) -> bool {
        self.table.get(&node).is_some_and(Neighbour::is_alive)
    }

    /// How long after its last word a neighbour that is alive would be suspected, were it silent from then on.
    pub(super) fn suspected_after(&self, node: NodeId) -> Option<Duration> {
        let neighbour = self.table.get(&node)?;
        let Liveness::Alive { suspect_at } = neighbour.liveness else { return None };
        neighbour.heard_at.map(|at| suspect_at - at)
    }

    /// A keepalive that proved to be fresh. `true` if the neighbour was not alive before.
    pub(super) fn heard(&mut self, now: Instant, node: NodeId, keepalive: &NodeKeepalive) -> bool {
        let interval = Duration::from_micros(u64::from(keepalive.interval_us))
            .clamp(Duration::from_millis(1), self.timers.keepalive_interval * INTERVAL_STRETCH);
        let Some(neighbour) = self.table.get_mut(&node) else {
            return false;
        };
        let was_alive = neighbour.is_not_dead();
        neighbour.lateness.came(now, interval);
        let margin = neighbour.lateness.margin(self.timers.dead_interval);
        neighbour.heard_at = Some(now);
        neighbour.liveness = Liveness::Alive { suspect_at: now + interval * 3 / 2 + margin };
        neighbour.priority = keepalive.priority.min(neighbour.enrolled);
        neighbour.role = keepalive.role;
        neighbour.promised = keepalive.promised;
        neighbour.height = keepalive.height;
        !was_alive
    }

    /// Its newest sequence, fresh or not: what the heard list echoes.
    pub(super) fn saw_sequence(&mut self, node: NodeId, sequence: u64) {
        if let Some(neighbour) = self.table.get_mut(&node) {
            neighbour.sequence = sequence;
        }
    }

    /// An answer to a probe. `None`: nothing like it is awaited.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        node: NodeId,
        nonce: u64,
        role: Role,
        promised: Epoch,
    ) -> Option<()> {
        let suspect_interval = self.timers.suspect_interval;
        let neighbour = self.table.get_mut(&node)?;
        let Liveness::Suspect { nonce: awaited, .. } = neighbour.liveness else {
            return None;
        };
        if awaited != nonce {
            return None;
        }
        neighbour.heard_at = Some(now);
        neighbour.lateness.spoke(now);
        let margin = neighbour.lateness.margin(self.timers.dead_interval);
        neighbour.liveness = Liveness::Alive { suspect_at: now + suspect_interval + margin };
        (neighbour.role, neighbour.promised) = (role, promised);
        Some(())
    }

    /// Its stream closed or its port is unreachable: suspect it now.
    pub(super) fn suspect(&mut self, now: Instant, node: NodeId, nonce: u64) -> bool {
        let Some(neighbour) = self.table.get_mut(&node) else {
            return false;
        };
        if !neighbour.is_alive() {
            return false;
        }
        neighbour.liveness = Liveness::Suspect { nonce, probes_sent: 0, next_at: now };
        true
    }

    /// Our own loop came late: what we did not hear proves nothing. Everybody gets a fresh interval.
    pub(super) fn forgive(&mut self, now: Instant) {
        for neighbour in self.table.values_mut() {
            neighbour.lateness.excuse();
            match &mut neighbour.liveness {
                Liveness::Dead => {}
                Liveness::Alive { suspect_at } => *suspect_at = now + self.timers.suspect_interval,
                Liveness::Suspect { probes_sent, next_at, .. } => (*probes_sent, *next_at) = (0, now),
            }
        }
    }

    /// Time passed: what is due. `nonce` draws a fresh number.
    pub(super) fn tick(&mut self, now: Instant, mut nonce: impl FnMut() -> u64) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for (node, neighbour) in &mut self.table {
            if let Liveness::Alive { suspect_at } = neighbour.liveness
                && now >= suspect_at
            {
                neighbour.liveness = Liveness::Suspect { nonce: nonce(), probes_sent: 0, next_at: now };
                verdicts.push(Verdict::Suspected(*node));
            }
            let Liveness::Suspect { nonce, probes_sent, next_at } = &mut neighbour.liveness else {
                continue;
            };
            if now < *next_at {
                continue;
            }
            if *probes_sent < PROBES {
                *probes_sent += 1;
                *next_at = now + self.timers.probe_interval;
                if *probes_sent == PROBES {
                    *next_at = *next_at + neighbour.lateness.margin(self.timers.dead_interval);
                }
                verdicts.push(Verdict::Probe { node: *node, nonce: *nonce });
            } else {
                neighbour.liveness = Liveness::Dead;
                neighbour.lateness.excuse();
                neighbour.role = Role::Ordinary;
                verdicts.push(Verdict::Dead(*node));
            }
        }
        verdicts
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.table
            .values()
            .filter_map(|n| match n.liveness {
                Liveness::Dead => None,
                Liveness::Alive { suspect_at } => Some(suspect_at),
                Liveness::Suspect { next_at, .. } => Some(next_at),
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::{ClusterId, LogIndex, Version};

    const N: NodeId = NodeId(2);

    fn ms(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn keepalive(interval_us: u32) -> NodeKeepalive {
        NodeKeepalive {
            cluster: ClusterId(1),
            priority: 100,
            role: Role::Standby,
            in_sync: true,
            interval_us,
            epoch: Epoch(3),
            version: Version(0),
            promised: Epoch(3),
            log_end: LogIndex(0),
            height: Height(7),
            address: "127.0.0.1:1".parse().expect("an address"),
            heard: Vec::new(),
            extensions: Default::default(),
        }
    }

    fn table() -> Neighbours {
        let mut n = Neighbours::new(Timers::for_keepalive(Duration::from_millis(10)));
        n.enrol(&[(N, 100)]);
        n
    }

    #[test]
    fn a_silent_neighbour_is_suspected_after_one_and_a_half_of_its_intervals() {
        let mut n = table();
        assert!(n.heard(ms(100), N, &keepalive(10_000)));
        assert_eq!(n.poll_timeout(), Some(ms(115)));
        assert_eq!(n.tick(ms(114), || 9), []);
        assert_eq!(n.tick(ms(115), || 9), [Verdict::Suspected(N), Verdict::Probe { node: N, nonce: 9 }]);
    }

    #[test]
    fn a_suspect_is_dead_when_three_probes_a_millisecond_apart_go_unanswered() {
        let mut n = table();
        n.heard(ms(100), N, &keepalive(10_000));
        assert!(n.suspect(ms(101), N, 9));
        let probe = [Verdict::Probe { node: N, nonce: 9 }];
        assert_eq!(n.tick(ms(101), || 0), probe);
        assert_eq!(n.tick(ms(102), || 0), probe);
        assert_eq!(n.tick(ms(103), || 0), probe);
        assert!(!n.is_alive(N));
        assert_eq!(n.tick(ms(104), || 0), [Verdict::Dead(N)]);
        assert_eq!(n.poll_timeout(), None);
    }

    #[test]
    fn who_comes_late_as_a_rule_is_given_twice_that_time_before_it_is_suspected() {
        let mut n = table();
        n.heard(ms(100), N, &keepalive(10_000));
        n.heard(ms(114), N, &keepalive(10_000));
        assert_eq!(n.poll_timeout(), Some(ms(114 + 15 + 8)));
        n.suspect(ms(120), N, 9);
        for at in [120, 121, 122] {
            assert_eq!(n.tick(ms(at), || 0), [Verdict::Probe { node: N, nonce: 9 }]);
        }
        assert_eq!(n.tick(ms(130), || 0), []);
        assert_eq!(n.tick(ms(131), || 0), [Verdict::Dead(N)]);
    }

    #[test]
    fn only_the_answer_to_the_newest_probe_clears_a_suspicion() {
        let mut n = table();
        n.heard(ms(100), N, &keepalive(10_000));
        n.suspect(ms(101), N, 9);
        assert_eq!(n.answered(ms(102), N, 8, Role::Master, Epoch(3)), None);
        assert_eq!(n.answered(ms(102), N, 9, Role::Master, Epoch(3)), Some(()));
        assert!(n.is_alive(N));
        assert_eq!(n.answered(ms(103), N, 9, Role::Master, Epoch(3)), None);
    }

    #[test]
    fn a_neighbour_cannot_stretch_its_own_detection_without_bound() {
        let mut n = table();
        n.heard(ms(0), N, &keepalive(u32::MAX));
        assert_eq!(n.poll_timeout(), Some(ms(150)));
    }

    #[test]
    fn our_own_lateness_voids_suspicions() {
        let mut n = table();
        n.heard(ms(100), N, &keepalive(10_000));
        n.forgive(ms(500));
        assert_eq!(n.tick(ms(514), || 9), []);
        assert!(n.is_alive(N));
        n.heard(ms(514), N, &keepalive(10_000));
        assert_eq!(n.poll_timeout(), Some(ms(529)), "nor did it come 404 ms late");
    }

    #[test]
    fn who_was_dead_was_not_late() {
        let mut n = table();
        n.heard(ms(100), N, &keepalive(10_000));
        for at in [115, 116, 117, 118] {
            n.tick(ms(at), || 9);
        }
        assert!(!n.is_alive(N));
        assert!(n.heard(ms(200), N, &keepalive(10_000)));
        assert_eq!(n.poll_timeout(), Some(ms(215)));
    }

    #[test]
    fn who_is_not_enrolled_is_no_neighbour() {
        let mut n = table();
        assert!(!n.heard(ms(0), NodeId(99), &keepalive(10_000)));
        assert_eq!(n.iter().count(), 1);
    }
}
