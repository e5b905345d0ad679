#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Per cluster the rooms of master, standby, ordinary nodes.
fn place(clusters: &[&[u16]], authority: u16) -> Placement {
    let cluster = |(letter, rooms): (char, &&[u16])| PlacedCluster {
        name: letter.to_string(),
        nodes: rooms
            .iter()
            .zip([200, 150, 100].into_iter().chain(core::iter::repeat(50)))
            .map(|(room, priority)| PlacedNode {
                name: format!("{letter}{room}"),
                room: RoomId(*room),
                priority,
            })
            .collect(),
    };
    Placement { authority: RoomId(authority), clusters: ('A'..='Z').zip(clusters).map(cluster).collect() }
}

/// Figs. 16 and 18, and Fig. 18 with one ordinary node more per cluster.
const DEP_1: &[&[u16]] = &[&[1, 2], &[1, 2], &[2, 1], &[2, 1]];
const DEP_2: &[&[u16]] = &[&[1, 3, 2], &[2, 1, 4], &[3, 4, 1], &[4, 2, 3]];
const DEP_4: &[&[u16]] = &[&[1, 3, 2, 4], &[2, 1, 4, 3], &[3, 4, 1, 2], &[4, 2, 3, 1]];

fn rooms(of: &[u16]) -> BTreeSet<RoomId> {
    of.iter().map(|r| RoomId(*r)).collect()
}

fn lost(placement: &Placement, of: &[u16]) -> Verdict {
    judge(placement, &Fault::Lost(rooms(of)))
}

#[test]
fn dep_1_either_room_carries_all_four_masters() {
    let placement = place(DEP_1, 9);
    assert_eq!(lost(&placement, &[1]).acting_where_it_goes_on(), Some(4));
    assert_eq!(lost(&placement, &[2]).acting_where_it_goes_on(), Some(4));
    assert_eq!(placement.survives(), [4]);
}

#[test]
fn dep_2_any_two_rooms_carry_all_four_clusters_and_dep_3_the_last_room_three() {
    assert_eq!(place(DEP_2, 9).survives(), [4, 4, 3]);
}

#[test]
fn dep_4_any_one_room_carries_all_four_clusters() {
    assert_eq!(place(DEP_4, 9).survives(), [4, 4, 4]);
}

#[test]
fn the_authority_in_a_room_with_nodes_makes_that_room_the_one_that_must_not_be_lost() {
    for layout in [DEP_1, DEP_2, DEP_4] {
        let masters_elsewhere = |room: u16| layout.iter().filter(|c| !c.contains(&room)).count();
        for room in 1..=2 {
            let placement = place(layout, room);
            let verdict = lost(&placement, &[room]);
            assert_eq!(masters_elsewhere(room), if layout == DEP_2 { 1 } else { 0 });
            assert!(!verdict.goes_on(), "{layout:?} {room}");
            assert!(placement.survives().is_empty());
        }
        assert!(lost(&place(layout, 9), &[9]).goes_on(), "P4: alone, its loss only stops changes");
    }
}

#[test]
fn why_nobody_acts_is_told() {
    let placement = place(DEP_2, 1);
    let fates = lost(&placement, &[1]).fates;
    assert_eq!(
        fates,
        [
            Fate::Waits(Why::CannotClaim),
            Fate::Waits(Why::CannotShrink),
            Fate::Waits(Why::CannotShrink),
            Fate::Stays { master: 0 }
        ]
    );
    let placement = place(DEP_2, 9);
    assert_eq!(lost(&placement, &[1, 2, 3]).fates[0], Fate::Waits(Why::NobodyLeft));
    let mut placement = place(DEP_1, 9);
    placement.clusters[0].nodes[1].priority = 0;
    assert_eq!(lost(&placement, &[1]).fates[0], Fate::Waits(Why::NobodyElectable));
}

#[test]
fn a_cut_lets_the_authoritys_side_act_and_what_stands_whole_on_the_other() {
    // rooms 3 and 4 away from the authority: every cluster has a node on its side
    let verdict = judge(&place(DEP_2, 9), &Fault::Cut(rooms(&[3, 4])));
    assert_eq!(
        verdict.fates,
        [Fate::Stays { master: 0 }, Fate::Stays { master: 0 }, Fate::Moves { to: 2 }, Fate::Moves { to: 1 }]
    );
    let sides: Vec<_> = verdict.sides.iter().map(|s| (s.authority, s.acting, s.goes_on)).collect();
    assert_eq!(sides, [(true, 4, true), (false, 0, false)]);
    // only the authority away: nobody needs it
    let verdict = judge(&place(DEP_2, 9), &Fault::Cut(rooms(&[1, 2, 3, 4])));
    assert_eq!(verdict.sides.iter().map(|s| s.goes_on).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn one_cut_link_between_the_two_rooms_of_dep_1_stops_the_chain_while_the_authority_hears_both() {
    let link = Fault::Link(RoomId(1), RoomId(2));
    let verdict = judge(&place(DEP_1, 9), &link);
    assert!(verdict.fates.iter().all(|f| *f == Fate::Stays { master: 0 }), "R6: no master moves");
    assert!(!verdict.goes_on(), "two masters on each side, three decide");
    // with the authority in room 1 the same cable is a cut, and its side carries all
    assert_eq!(judge(&place(DEP_1, 1), &link).acting_where_it_goes_on(), Some(4));
    assert!(judge(&place(DEP_2, 9), &link).goes_on());
}

#[test]
fn a_placement_that_makes_no_sense_is_refused() {
    assert_eq!(place(&[], 9).validate(), Err(PlacementError::Empty));
    assert_eq!(place(&[&[]], 9).validate(), Err(PlacementError::Empty));
    let mut nobody = place(DEP_1, 9);
    nobody.clusters[2].nodes.iter_mut().for_each(|n| n.priority = 0);
    assert_eq!(nobody.validate(), Err(PlacementError::NoLeader("C".into())));
    let many: Vec<u16> = (1..=13).collect();
    assert_eq!(place(&[&many[..]], 99).validate(), Err(PlacementError::TooManyRooms(13)));
    assert_eq!(place(DEP_4, 9).validate(), Ok(()));
}

#[test]
#[cfg_attr(miri, ignore = "it judges every loss of every plan: arithmetic alone, and too long under Miri")]
fn a_plan_survives_what_it_was_asked_for_and_no_room_carries_more_than_its_share() {
    for (count, survive, clusters) in
        [(2, 1, 4), (3, 1, 4), (3, 2, 4), (4, 1, 4), (4, 2, 4), (4, 3, 4), (5, 2, 7), (6, 1, 10)]
    {
        let planned = plan(count, survive, clusters).unwrap();
        planned.validate().unwrap();
        let what = format!("{count} rooms, {survive} lost, {clusters} clusters: {planned:?}");
        assert!(planned.clusters.iter().all(|c| c.nodes.len() == survive + 1), "{what}");
        assert_eq!(planned.survives()[..survive], vec![clusters; survive], "{what}");
        assert!(!planned.node_rooms().contains(&planned.authority), "{what}");
    }
    // as Fig. 18: whichever two of four rooms are lost, the others carry two masters each
    let planned = plan(4, 2, 4).unwrap();
    let all: Vec<RoomId> = planned.node_rooms().into_iter().collect();
    for gone in subsets(&all).filter(|s| s.len() <= 2) {
        let verdict = judge(&planned, &Fault::Lost(gone.clone()));
        let at = |room: RoomId| {
            let here = |(c, f): &(&PlacedCluster, &Fate)| c.nodes[f.acting().unwrap()].room == room;
            planned.clusters.iter().zip(&verdict.fates).filter(here).count()
        };
        let share = 4usize.div_ceil(4 - gone.len());
        assert!(all.iter().all(|room| at(*room) <= share), "{gone:?}: {planned:?}");
    }
}

#[test]
fn an_impossible_plan_is_refused_with_what_it_would_take() {
    assert_eq!(plan(2, 2, 4), Err(PlanError::TooFewRooms { rooms: 2, survive: 2 }));
    assert_eq!(
        plan(2, 2, 4).unwrap_err().to_string(),
        "2 rooms cannot survive the loss of 2: expected at least 3 rooms with nodes"
    );
    assert_eq!(plan(13, 2, 4), Err(PlanError::TooManyRooms(13)));
    assert_eq!(plan(4, 2, 27), Err(PlanError::Clusters(27)));
}

/// The rules one step at a time, in any order, until nothing more can happen; shares nothing with `judge` but the words.
mod by_steps {
    use super::*;

    struct Row {
        master: usize,
        set: BTreeSet<usize>,
    }

    pub(super) struct World<'a> {
        pub(super) placement: &'a Placement,
        pub(super) dead: BTreeSet<RoomId>,
        /// Pairs of rooms that do not hear each other.
        pub(super) deaf: BTreeSet<(RoomId, RoomId)>,
        rows: Vec<Row>,
    }

    impl<'a> World<'a> {
        pub(super) fn new(
            placement: &'a Placement,
            dead: BTreeSet<RoomId>,
            deaf: BTreeSet<(RoomId, RoomId)>,
        ) -> Self {
            let rows = placement.clusters.iter().map(|c| {
                let mut order: Vec<usize> = (0..c.nodes.len()).collect();
                order.sort_by_key(|i| (255 - c.nodes[*i].priority, *i));
                Row { master: order[0], set: (0..c.nodes.len()).collect() }
            });
            Self { rows: rows.collect(), placement, dead, deaf }
        }

        fn hears(&self, a: RoomId, b: RoomId) -> bool {
            !self.dead.contains(&a)
                && !self.dead.contains(&b)
                && !self.deaf.contains(&(a, b))
                && !self.deaf.contains(&(b, a))
        }

        fn node(&self, cluster: usize, i: usize) -> &PlacedNode {
            &self.placement.clusters[cluster].nodes[i]
        }

        /// Nodes of the set that `i` hears, itself included.
        fn heard(&self, cluster: usize, i: usize) -> BTreeSet<usize> {
            let at = self.node(cluster, i).room;
            let set = &self.rows[cluster].set;
            set.iter().copied().filter(|j| self.hears(at, self.node(cluster, *j).room)).collect()
        }

        /// One step of one node, if it may take one: a master takes one member out, another node claims.
        fn step(&mut self, cluster: usize, i: usize, pick: usize) -> bool {
            let (at, zone) = (self.node(cluster, i).room, self.placement.authority);
            let row = &self.rows[cluster];
            if !self.hears(at, zone) || !row.set.contains(&i) {
                return false;
            }
            if row.master == i {
                let missing: Vec<usize> = row.set.difference(&self.heard(cluster, i)).copied().collect();
                let Some(gone) = missing.get(pick % missing.len().max(1)).copied() else { return false };
                self.rows[cluster].set.remove(&gone);
                return true;
            }
            let master = self.node(cluster, row.master).room;
            let heard = self.heard(cluster, i);
            let asks = |room: RoomId| !self.hears(room, master) && self.hears(room, zone);
            // whoever is later in the order waits longer (B-CLM-9)
            let first = heard
                .iter()
                .copied()
                .filter(|j| self.node(cluster, *j).priority > 0 && asks(self.node(cluster, *j).room))
                .min_by_key(|j| (255 - self.node(cluster, *j).priority, *j));
            if !asks(at) || self.hears(zone, master) || first != Some(i) {
                return false;
            }
            self.rows[cluster] = Row { master: i, set: heard };
            true
        }

        pub(super) fn run(&mut self, rng: &mut ChaCha12Rng) {
            let mut quiet = 0;
            while quiet < 400 {
                let cluster = usize::try_from(rng.next_u32()).unwrap() % self.rows.len();
                let nodes = self.placement.clusters[cluster].nodes.len();
                let i = usize::try_from(rng.next_u32()).unwrap() % nodes;
                let pick = usize::try_from(rng.next_u32()).unwrap();
                quiet = if self.step(cluster, i, pick) { 0 } else { quiet + 1 };
            }
        }

        /// Who acts: it is alive and hears its whole set.
        pub(super) fn acting(&self, cluster: usize) -> Option<usize> {
            let row = &self.rows[cluster];
            (self.heard(cluster, row.master) == row.set).then_some(row.master)
        }

        /// Whether some n - f acting masters all hear each other.
        pub(super) fn goes_on(&self) -> bool {
            let acting: Vec<RoomId> =
                (0..self.rows.len()).filter_map(|c| self.acting(c).map(|i| self.node(c, i).room)).collect();
            let n = self.rows.len();
            let quorum = n - (n - 1) / 3;
            (0u32..1 << acting.len()).any(|mask| {
                let of: Vec<RoomId> = acting
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| mask & (1 << i) != 0)
                    .map(|(_, r)| *r)
                    .collect();
                of.len() >= quorum && of.iter().all(|a| of.iter().all(|b| self.hears(*a, *b)))
            })
        }
    }
}

fn faults(placement: &Placement) -> Vec<Fault> {
    let all: Vec<RoomId> = placement.rooms().into_iter().collect();
    let links = all.iter().flat_map(|a| all.iter().filter(move |b| a < *b).map(move |b| Fault::Link(*a, *b)));
    let sets = || subsets(&all).collect::<Vec<_>>().into_iter();
    sets().map(Fault::Lost).chain(sets().map(Fault::Cut)).chain(links).collect()
}

fn agree(placement: &Placement, rng: &mut ChaCha12Rng) -> usize {
    let all = placement.rooms();
    let faults = faults(placement);
    for fault in &faults {
        let none = BTreeSet::new();
        let (dead, deaf) = match fault {
            Fault::Lost(rooms) => (rooms.clone(), none),
            Fault::Cut(away) => {
                let near = all.difference(away);
                (BTreeSet::new(), near.flat_map(|a| away.iter().map(|b| (*a, *b))).collect())
            }
            Fault::Link(a, b) => (BTreeSet::new(), [(*a, *b)].into()),
        };
        let mut world = by_steps::World::new(placement, dead, deaf);
        world.run(rng);
        let verdict = judge(placement, fault);
        for (c, fate) in verdict.fates.iter().enumerate() {
            assert_eq!(world.acting(c), fate.acting(), "cluster {c}, {fault:?}, {placement:?}");
        }
        assert_eq!(world.goes_on(), verdict.goes_on(), "{fault:?}, {placement:?}");
        let sides = verdict.sides.iter().filter(|s| s.goes_on).count();
        assert!(sides <= 1 || matches!(fault, Fault::Link(..)), "{fault:?}: two sides go on");
    }
    faults.len()
}

#[test]
fn every_fault_of_the_figures_ends_as_the_rules_step_by_step_end_it() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut judged = 0;
    for layout in [DEP_1, DEP_2, DEP_4] {
        for authority in [9, 1, 2] {
            judged += agree(&place(layout, authority), &mut rng);
        }
    }
    assert!(judged > 300, "{judged}");
}

#[test]
fn every_fault_of_random_placements_ends_as_the_rules_step_by_step_end_it() {
    let mut rng = ChaCha12Rng::seed_from_u64(2);
    let mut draw = move |most: u32| rng.next_u32() % most;
    let mut steps = ChaCha12Rng::seed_from_u64(3);
    for _ in 0..60 {
        let count = draw(4) + 1;
        let rooms = draw(4) + 1;
        let clusters = (0..count).map(|c| PlacedCluster {
            name: c.to_string(),
            nodes: (0..draw(4) + 1)
                .map(|n| PlacedNode {
                    name: n.to_string(),
                    room: RoomId(u16::try_from(draw(rooms) + 1).unwrap()),
                    // equal ones and zero as well
                    priority: u8::try_from(if n == 0 { 3 } else { draw(4) }).unwrap(),
                })
                .collect(),
        });
        let clusters = clusters.collect();
        let authority = RoomId(u16::try_from(draw(rooms + 1) + 1).unwrap());
        agree(&Placement { authority, clusters }, &mut steps);
    }
}
