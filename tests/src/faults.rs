//! The faults of a simulated run: what can happen, and how it is done to a [`World`].

use crate::world::World;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::io::Input;
use duohuo_wire::ids::{ClusterId, NodeId};
use duohuo_wire::packet::OrderKind;
use rand_core::Rng;
use std::collections::BTreeSet;

macro_rules! kinds {
    ($($kind:ident $number:literal $name:literal $text:literal,)*) => {
        /// The kinds of faults, with the numbers of spec/faults.md.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Kind {
            $(#[doc = $text] $kind,)*
        }

        impl Kind {
            /// All.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Number in spec/faults.md.
            #[must_use]
            pub const fn number(self) -> &'static str {
                match self { $(Self::$kind => $number,)* }
            }

            /// Name in output and options.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What it is.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$kind => $text,)* }
            }
        }
    };
}

kinds! {
    Loss "F1" "loss" "Datagrams are lost at random",
    Duplication "F2" "duplication" "Datagrams come twice",
    Reorder "F3" "reorder" "Datagrams overtake each other",
    Slow "F4" "slow-link" "A link is slow, one way or both",
    OneWay "F5" "one-way" "A link works one way only",
    Cut "F6" "cut" "Links or whole rooms are cut off from each other",
    Flap "F7" "flapping" "A link comes and goes",
    NoMulticast "F8" "no-multicast" "Multicast of one node gets nowhere",
    Narrow "F9" "narrow" "A link loses long datagrams",
    Corruption "F10" "corruption" "Bits flip",
    Replay "F11" "replay" "Datagrams of long ago come again, of earlier lives too",
    Clog "F12" "clog" "A link keeps everything back, then lets all go at once",
    Astray "F14" "astray" "Datagrams come to somebody else as well",
    Flood "F15" "flood" "A host gets a thousand datagrams of nonsense at once",
    ClockRate "F16" "clock-rate" "A clock runs too fast or too slow, up to 30 %",
    WallClock "F17" "wall-clock" "A wall clock is wrong by up to a day from the next start on",
    VmPause "F18" "vm-pause" "A machine stands still with its network, then goes on",
    Pause "F20" "pause" "A process stands still, then goes on",
    CrashAtOutput "F21" "crash-at-output" "A process dies between two things that it says",
    CrashLoop "F22" "crash-loop" "A process dies again and again as soon as it is up",
    ShutDown "F23" "shut-down" "A process is stopped in good order",
    LateStart "F26" "late-start" "A process comes back long after it died",
    LaterVersion "F27" "later-version" "A host speaks a later version of the protocol, which the others do not know",
    Enrol "F28" "enrol" "A node is added while the network runs",
    NoDescriptors "F29" "no-descriptors" "A process can open and accept no stream",
    SlowDisk "F30" "slow-disk" "Durable writes take up to a thousand times as long",
    LostWrites "F33" "lost-writes" "What was written and not yet durable is lost in a crash",
    FullDisk "F36" "full-disk" "A write fails, and all after it",
    AuthorityAway "F38" "authority-away" "The authority is down for a while",
    AuthorityCrash "F39" "authority-crash" "The authority dies between two things that it says",
    Slander "F43" "slander" "A cluster accuses others of what they did not do",
    WrongResults "F44" "wrong-results" "A master computes wrong results",
    OrderedSwitch "F47" "ordered-switch" "An operator orders a switch",
    OrderedPause "F47" "ordered-pause" "An operator suspends automatic switches for a while",
    OrderedUnbar "F47" "ordered-unbar" "An operator clears a barred node, which may lead again",
    OrderedForce "F47" "ordered-force" "A whole in-sync set is lost or cut off, and an operator forces a start with who is left",
    RoomDark "F49" "room-dark" "A room loses power, and gets it back",
    MasterAndStandby "F50" "master-and-standby" "Master and standby of a cluster die together",
    MostRoomsDark "F51" "most-rooms-dark" "All rooms but one lose power",
    Busy "F54" "busy" "All processes share a busy machine: each stands still now and then",
    Reset "F52" "reset" "All streams between two hosts are reset",
    Kill "F53" "kill" "A process is killed and starts again",
}

/// One fault of a plan, at its time. `span`: how long it lasts.
#[derive(Clone, Debug)]
pub struct Fault {
    /// After the start of the run.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// Whom it is done to: drawn when the plan is made; taken modulo those who can have it.
    pub whom: u64,
    /// The other one, the amount: whatever the kind needs.
    pub more: u64,
    /// How long.
    pub span: Duration,
    /// Not at any time, but as soon as somebody says a word of the consensus: most of the time nobody does.
    pub mid_word: bool,
}

/// For so long the authority counts a report: a cluster that lied is one of the faulty ones until then.
const REPORT_WINDOW: Duration = Duration::from_secs(10);

/// What ends a fault.
enum Ending {
    Start(NodeId),
    StartRoom(u16),
    Resume(NodeId),
    Reconnect(NodeId),
    Mend(Vec<(NodeId, NodeId)>),
    Truthful(ClusterId, NodeId),
    Unpause(ClusterId),
    Forgotten(ClusterId),
    Wide(NodeId, NodeId),
    Unmute(NodeId),
    Quiet,
    FastDisk(NodeId),
    Descriptors(NodeId),
    Version(NodeId),
    Flap(NodeId, NodeId, u32),
    CrashAgain(NodeId, u32),
    /// Who is to be forced is down: once it is out of the set, all of that is lost.
    LoseSet(Force),
}

/// A start by force, in the making.
struct Force {
    cluster: ClusterId,
    /// Who is to be the master.
    node: NodeId,
    /// The set is cut off, not killed: its master lives on, where nobody hears it.
    cuts: bool,
    /// For so long the set is away.
    span: Duration,
    /// How often its leaving the set was waited for.
    tries: u32,
}

/// Does faults to a world, and ends them.
#[derive(Default)]
pub struct Injector {
    endings: Vec<(Instant, Ending)>,
}

impl Injector {
    /// When the next fault ends.
    #[must_use]
    pub fn next_ending(&self) -> Option<Instant> {
        self.endings.iter().map(|(at, _)| *at).min()
    }

    /// End what is due.
    pub fn end_due(&mut self, world: &mut World) {
        let now = world.now();
        let mut due: Vec<(Instant, Ending)> = Vec::new();
        let all = core::mem::take(&mut self.endings);
        for ending in all {
            if ending.0 <= now { due.push(ending) } else { self.endings.push(ending) }
        }
        due.sort_by_key(|(at, _)| *at);
        for (_, ending) in due {
            self.end(world, ending);
        }
    }

    fn end(&mut self, world: &mut World, ending: Ending) {
        match ending {
            Ending::Start(id) => start(world, id),
            Ending::StartRoom(room) => in_room(world, room).into_iter().for_each(|id| start(world, id)),
            Ending::Resume(id) => world.resume(id),
            Ending::Reconnect(id) => {
                for other in everybody(world) {
                    world.set_cut(id, other, false);
                }
                world.resume(id);
            }
            Ending::Mend(pairs) => {
                for (a, b) in pairs {
                    world.set_cut(a, b, false);
                    world.set_slow(a, b, Duration::ZERO);
                    world.set_slow(b, a, Duration::ZERO);
                    world.set_clogged(a, b, false);
                }
            }
            Ending::Truthful(cluster, id) => {
                world.lie(id, false);
                if world.checker.is_wrong(id) {
                    // As an operator would: the process starts anew without the fault.
                    world.kill(id);
                    world.start(id);
                }
                self.endings.push((world.now() + REPORT_WINDOW, Ending::Forgotten(cluster)));
            }
            Ending::Unpause(cluster) => {
                world.order(OrderKind::Resume, cluster, NodeId(0));
            }
            Ending::Forgotten(cluster) => world.checker.is_honest(cluster),
            Ending::Wide(a, b) => {
                world.set_narrow(a, b, None);
                world.set_narrow(b, a, None);
            }
            Ending::Unmute(id) => world.set_mute(id, false),
            Ending::Quiet => world.set_busy(Duration::ZERO),
            Ending::FastDisk(id) => world.slow_disk(id, 1),
            Ending::Descriptors(id) => world.refuse_streams(id, false),
            Ending::Version(id) => world.set_later(id, false),
            Ending::Flap(a, b, left) => {
                world.set_cut(a, b, left % 2 == 1);
                if left > 0 {
                    let at = world.now() + Duration::from_millis(u64::from(7 * (left % 5) + 5));
                    self.endings.push((at, Ending::Flap(a, b, left - 1)));
                }
            }
            Ending::CrashAgain(id, left) => {
                world.kill(id);
                start(world, id);
                if left > 0 {
                    let at = world.now() + Duration::from_millis(u64::from(3 * left + 2));
                    self.endings.push((at, Ending::CrashAgain(id, left - 1)));
                }
            }
            Ending::LoseSet(force) => self.lose_set(world, force),
        }
    }

    /// The rest of the set goes away, and the operator, who sees nobody of it, forces a start with the node that was removed
    /// before. Whether it comes to that is the authority's to say: somebody may be back by then.
    fn lose_set(&mut self, world: &mut World, force: Force) {
        let Force { cluster, node, cuts, span, tries } = force;
        let row = world.checker.rows().entry(cluster).map(|entry| entry.row.clone());
        let Some(row) = row.filter(|row| !row.barred.contains(&node)) else { return start(world, node) };
        if row.in_sync.contains(&node) {
            if tries < 5 && !world.is_up(node) {
                let at = world.now() + world.settings().keepalive * 10;
                self.endings.push((at, Ending::LoseSet(Force { tries: tries + 1, ..force })));
            } else {
                start(world, node);
            }
            return;
        }
        let until = world.now() + span;
        if cuts {
            let away = |id: &NodeId| row.in_sync.contains(id);
            let pairs = everybody(world).into_iter().filter(|id| !away(id));
            let pairs: Vec<(NodeId, NodeId)> =
                pairs.flat_map(|id| row.in_sync.iter().map(move |member| (id, *member))).collect();
            pairs.iter().for_each(|(a, b)| world.set_cut(*a, *b, true));
            self.endings.push((until, Ending::Mend(pairs)));
        } else {
            for member in &row.in_sync {
                world.kill(*member);
                self.endings.push((until, Ending::Start(*member)));
            }
        }
        start(world, node);
        world.order(OrderKind::Force, cluster, node);
    }

    /// End everything at once: the faults stop.
    pub fn stop(&mut self, world: &mut World) {
        let all = core::mem::take(&mut self.endings);
        for (_, ending) in all {
            match ending {
                Ending::Flap(a, b, _) => world.set_cut(a, b, false),
                Ending::CrashAgain(id, _) => start(world, id),
                Ending::LoseSet(force) => start(world, force.node),
                other => self.end(world, other),
            }
        }
        world.mend_network();
        world.set_busy(Duration::ZERO);
        for id in everybody(world) {
            if world.has_full_disk(id) {
                world.kill(id);
            }
            world.disarm(id);
            world.resume(id);
            world.slow_disk(id, 1);
            world.refuse_streams(id, false);
            world.set_clock_rate(id, 0);
            start(world, id);
        }
    }

    /// Do it. Whether it was possible.
    pub fn inject(&mut self, world: &mut World, fault: &Fault) -> bool {
        let all = everybody(world);
        let nodes: Vec<NodeId> = all.iter().copied().filter(|id| *id != NodeId::AUTHORITY).collect();
        let pick = |list: &[NodeId], n: u64| list[usize::try_from(n % list.len() as u64).unwrap_or(0)];
        let (any, node) = (pick(&all, fault.whom), pick(&nodes, fault.whom));
        let other = pick(&all, fault.more);
        let until = world.now() + fault.span;
        let mut later = |ending| self.endings.push((until, ending));
        match fault.kind {
            // These are luck, for a whole run; or follow from others.
            Kind::Loss
            | Kind::Duplication
            | Kind::Reorder
            | Kind::Corruption
            | Kind::Replay
            | Kind::Astray
            | Kind::LostWrites => return false,
            Kind::Kill | Kind::LateStart => {
                world.kill(node);
                later(Ending::Start(node));
            }
            Kind::CrashLoop => {
                world.kill(node);
                later(Ending::CrashAgain(node, 5));
            }
            Kind::ShutDown => {
                world.shut_down(node);
                later(Ending::Start(node));
            }
            Kind::CrashAtOutput => {
                world.crash_after(node, u32::try_from(fault.more % 400).unwrap_or(0));
                later(Ending::Start(node));
                return true; // felt when it happens
            }
            Kind::AuthorityAway => {
                world.kill(NodeId::AUTHORITY);
                later(Ending::Start(NodeId::AUTHORITY));
            }
            Kind::AuthorityCrash => {
                world.crash_after(NodeId::AUTHORITY, u32::try_from(fault.more % 200).unwrap_or(0));
                later(Ending::Start(NodeId::AUTHORITY));
            }
            Kind::MasterAndStandby => {
                let cluster = cluster_of(world, fault.whom);
                let Some(master) = world.master(cluster) else { return false };
                let members = members(world, cluster);
                let standby = members.iter().copied().find(|id| *id != master && world.is_up(*id));
                for id in core::iter::once(master).chain(standby) {
                    world.kill(id);
                    later(Ending::Start(id));
                }
            }
            Kind::RoomDark | Kind::MostRoomsDark => {
                let rooms: BTreeSet<u16> = rooms(world);
                let chosen =
                    rooms.iter().copied().nth(usize::try_from(fault.whom).unwrap_or(0) % rooms.len());
                let dark = |room: u16| (Some(room) == chosen) == (fault.kind == Kind::RoomDark);
                for room in rooms.into_iter().filter(|room| dark(*room)) {
                    in_room(world, room).into_iter().for_each(|id| world.kill(id));
                    later(Ending::StartRoom(room));
                }
            }
            Kind::Pause => {
                world.pause(any);
                later(Ending::Resume(any));
            }
            Kind::VmPause => {
                world.pause(any);
                all.iter().filter(|id| **id != any).for_each(|id| world.set_cut(any, *id, true));
                later(Ending::Reconnect(any));
            }
            Kind::Cut => {
                let pairs = cut(world, fault.whom, fault.more);
                for (a, b) in &pairs {
                    world.set_cut(*a, *b, true);
                }
                later(Ending::Mend(pairs));
            }
            Kind::OneWay if any != other => {
                world.cut_one_way(any, other);
                later(Ending::Mend(vec![(any, other)]));
            }
            Kind::Flap if any != other => {
                world.set_cut(any, other, true);
                later(Ending::Flap(any, other, 12));
            }
            Kind::Slow if any != other => {
                let extra = Duration::from_micros(100 << (fault.more % 10));
                world.set_slow(any, other, extra);
                if fault.more.is_multiple_of(2) {
                    world.set_slow(other, any, extra);
                }
                later(Ending::Mend(vec![(any, other)]));
                return true; // felt per datagram
            }
            Kind::Clog if any != other => {
                world.set_clogged(any, other, true);
                later(Ending::Mend(vec![(any, other)]));
                return true;
            }
            Kind::Narrow => {
                // Where datagrams go: between a node and the authority, and inside a cluster.
                let fellows = world.consortium.roster.node(node).map(|(c, _)| members(world, c.id));
                let fellows: Vec<NodeId> = fellows.into_iter().flatten().filter(|id| *id != node).collect();
                let far = if fault.more.is_multiple_of(2) || fellows.is_empty() {
                    NodeId::AUTHORITY
                } else {
                    pick(&fellows, fault.more / 4)
                };
                let (from, to) = if (fault.more / 2).is_multiple_of(2) { (node, far) } else { (far, node) };
                let most = usize::try_from(100 + fault.more / 4 % 200).unwrap_or(200);
                world.set_narrow(from, to, Some(most));
                later(Ending::Wide(from, to));
                return true; // felt per datagram
            }
            Kind::Reset if any != other => {
                world.reset_streams(any, other);
                return true;
            }
            Kind::OneWay | Kind::Flap | Kind::Slow | Kind::Clog | Kind::Reset => return false,
            Kind::NoMulticast => {
                world.set_mute(node, true);
                later(Ending::Unmute(node));
                return true;
            }
            Kind::Busy => {
                let tenth = u32::try_from(1 + fault.more % 20).unwrap_or(1);
                world.set_busy(world.settings().keepalive / 10 * tenth);
                later(Ending::Quiet);
                return true; // felt each time somebody stands still
            }
            Kind::Flood => flood(world, any, fault.more),
            Kind::ClockRate => {
                let ppm = i32::try_from(fault.more % 600_000).unwrap_or(0) - 300_000;
                world.set_clock_rate(any, ppm);
            }
            Kind::WallClock => {
                let seconds = i64::try_from(fault.more % 172_800).unwrap_or(0) - 86_400;
                world.set_wall_clock(any, seconds);
                world.kill(any);
                later(Ending::Start(any));
            }
            Kind::Enrol => {
                let cluster = cluster_of(world, fault.whom);
                if members(world, cluster).len() > 6 || !world.is_up(NodeId::AUTHORITY) {
                    return false;
                }
                let rooms: Vec<u16> = rooms(world).into_iter().collect();
                let room = rooms[usize::try_from(fault.more).unwrap_or(0) % rooms.len()];
                let Some(id) = world.enrol(cluster, room, 50) else { return false };
                world.start(id);
            }
            Kind::LaterVersion => {
                world.set_later(any, true);
                later(Ending::Version(any));
                return true; // felt per packet
            }
            Kind::NoDescriptors => {
                world.refuse_streams(any, true);
                later(Ending::Descriptors(any));
                return true;
            }
            Kind::SlowDisk => {
                world.slow_disk(any, u32::try_from(1 << (fault.more % 11)).unwrap_or(1));
                later(Ending::FastDisk(any));
            }
            Kind::FullDisk => {
                world.fill_disk(any);
                later(Ending::Start(any));
            }
            Kind::OrderedSwitch => {
                let cluster = cluster_of(world, fault.whom);
                let to = if fault.more.is_multiple_of(2) {
                    NodeId(0)
                } else {
                    pick(&members(world, cluster), fault.more / 2)
                };
                world.order(OrderKind::Switch, cluster, to);
                return true; // felt when it is carried out
            }
            Kind::OrderedPause => {
                let everywhere = fault.more.is_multiple_of(4);
                let cluster = if everywhere { ClusterId(0) } else { cluster_of(world, fault.whom) };
                world.order(OrderKind::Pause, cluster, NodeId(0));
                later(Ending::Unpause(cluster));
                return true;
            }
            Kind::OrderedUnbar => {
                // As an operator would: not while it still computes wrong results.
                let rows = world.checker.rows().entries();
                let barred = rows.flat_map(|(c, entry)| entry.row.barred.iter().map(|node| (*c, *node)));
                let cured = barred.filter(|(c, _)| !world.checker.faulty().contains(c)).collect::<Vec<_>>();
                let Some((cluster, node)) =
                    cured.get(usize::try_from(fault.whom).unwrap_or(0) % cured.len().max(1))
                else {
                    return false;
                };
                world.order(OrderKind::Unbar, *cluster, *node);
                return true;
            }
            Kind::OrderedForce => {
                let cluster = cluster_of(world, fault.whom);
                let Some(master) = world.master(cluster) else { return false };
                let others: Vec<NodeId> =
                    members(world, cluster).into_iter().filter(|n| *n != master).collect();
                if others.is_empty() {
                    return false;
                }
                let node = pick(&others, fault.more / 2);
                let cuts = fault.more.is_multiple_of(2);
                world.kill(node);
                let at = world.now() + world.settings().keepalive * 10;
                let span = world.settings().keepalive * 20 + fault.span;
                let force = Force { cluster, node, cuts, span, tries: 0 };
                self.endings.push((at, Ending::LoseSet(force)));
                return true; // felt when it is carried out
            }
            Kind::WrongResults | Kind::Slander => {
                let cluster = cluster_of(world, fault.whom);
                let faulty = world.checker.faulty();
                if faulty.contains(&cluster) || faulty.len() >= world.checker.tolerated() {
                    return false; // S11: the network promises to bear no more
                }
                let Some(master) = world.master(cluster) else { return false };
                if fault.kind == Kind::WrongResults {
                    world.checker.expect_wrong_results(cluster, master);
                    world.wrong_results(master, true);
                } else {
                    world.checker.expect_lies(cluster);
                    world.lie(master, true);
                }
                later(Ending::Truthful(cluster, master));
            }
        }
        world.feel(fault.kind);
        true
    }
}

/// It starts if it is enrolled and not running.
fn start(world: &mut World, id: NodeId) {
    if !world.is_up(id) {
        world.start(id);
    }
}

/// The authority and all enrolled nodes.
#[must_use]
pub fn everybody(world: &World) -> Vec<NodeId> {
    core::iter::once(NodeId::AUTHORITY)
        .chain(world.consortium.roster.all_nodes().map(|(_, n)| n.id))
        .collect()
}

fn members(world: &World, cluster: ClusterId) -> Vec<NodeId> {
    let entry = world.consortium.roster.cluster(cluster);
    entry.map(|c| c.nodes.iter().map(|n| n.id).collect()).unwrap_or_default()
}

fn cluster_of(world: &World, n: u64) -> ClusterId {
    let clusters = &world.consortium.roster.clusters;
    clusters[usize::try_from(n % clusters.len() as u64).unwrap_or(0)].id
}

fn rooms(world: &World) -> BTreeSet<u16> {
    world.consortium.roster.all_nodes().map(|(_, n)| n.room.0).collect()
}

fn in_room(world: &World, room: u16) -> Vec<NodeId> {
    world.consortium.roster.all_nodes().filter(|(_, n)| n.room.0 == room).map(|(_, n)| n.id).collect()
}

/// Which links a cut takes: one, all of one host, or those between two sets of rooms, the authority on either side.
fn cut(world: &World, whom: u64, more: u64) -> Vec<(NodeId, NodeId)> {
    let all = everybody(world);
    let pick = |n: u64| all[usize::try_from(n % all.len() as u64).unwrap_or(0)];
    match more % 3 {
        0 => {
            let (a, b) = (pick(whom), pick(more / 3));
            if a == b { Vec::new() } else { vec![(a, b)] }
        }
        1 => all.iter().copied().filter(|id| *id != pick(whom)).map(|id| (pick(whom), id)).collect(),
        _ => {
            let room = |id: NodeId| world.consortium.roster.node(id).map_or(0, |(_, n)| n.room.0);
            let far = |id: NodeId| whom & (1 << (room(id) % 16)) != 0;
            let pairs = all.iter().flat_map(|a| all.iter().map(move |b| (*a, *b)));
            pairs.filter(|(a, b)| a < b && far(*a) != far(*b)).collect()
        }
    }
}

/// Datagrams that look like ours up to some point.
fn flood(world: &mut World, to: NodeId, seed: u64) {
    let Ok(from) = "127.66.6.6:6666".parse::<SocketAddr>() else { return };
    let mut rng = <rand_chacha::ChaCha12Rng as rand_core::SeedableRng>::seed_from_u64(seed);
    for _ in 0..1000 {
        let mut bytes = vec![0; usize::try_from(rng.next_u32() % 300).unwrap_or(0)];
        rng.fill_bytes(&mut bytes);
        if let Some(magic) = bytes.get_mut(..4) {
            magic.copy_from_slice(b"DUOH");
        }
        world.arrive(to, Input::Datagram { from, group: rng.next_u32() % 2 == 0, bytes: bytes.into() });
    }
}
