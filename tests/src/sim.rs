//! A run of the simulator: a plan carried out, watched, and then given time to converge.

use crate::consortium::Consortium;
use crate::faults::{Fault, Injector, Kind, everybody};
use crate::host::Settings;
use crate::plan::Plan;
use crate::world::{Luck, World};
use core::time::Duration;
use duohuo_core::Instant;
use duohuo_core::io::Table;
use duohuo_wire::ids::{ClusterId, Epoch, NodeId};
use duohuo_wire::packet::OrderKind;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// After the faults stop, everything has converged within so much virtual time (S10): a hold-down of 6.4 s, a round
/// of the chain that has grown to its longest time-outs, a session that is given up; and forty keepalives: an authority
/// that starts listens for twenty of them, and so does a node.
#[must_use]
pub fn convergence(settings: &Settings) -> Duration {
    Duration::from_secs(60) + settings.keepalive * 40
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What was broken; empty: nothing.
    pub failure: Option<String>,
    /// How often each fault had an effect.
    pub felt: BTreeMap<Kind, u64>,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Machines, the authority included.
    pub hosts: u64,
    /// Masters granted after the first.
    pub switches: u64,
    /// Blocks.
    pub height: u64,
    /// Words said in rounds above 0.
    pub late_rounds: u64,
    /// How long the network took to converge after the faults.
    pub converged_in: Duration,
    /// Digest of everything that happened.
    pub digest: u64,
    /// The most that any machine held in memory: entries and bytes.
    pub most_held: BTreeMap<&'static str, (usize, usize)>,
    /// The most packets that any machine sent within a second.
    pub most_said: usize,
}

/// Carry out a plan.
#[must_use]
pub fn run(plan: &Plan, trace: bool) -> Outcome {
    run_in(&mut world_of(plan), plan, trace)
}

/// The world of a plan, before anything runs.
#[must_use]
pub fn world_of(plan: &Plan) -> World {
    // From the first key on.
    let remembering = plan.remembers.then(duohuo_wire::memory::remember);
    let layout: Vec<&[(u16, u8)]> = plan.layout.iter().map(Vec::as_slice).collect();
    let consortium = Consortium::new(plan.seed, &layout);
    let mut world = World::with_settings(plan.seed, consortium, plan.luck, plan.settings);
    world.remembering = remembering;
    world
}

/// Carry out a plan in its world.
pub fn run_in(world: &mut World, plan: &Plan, trace: bool) -> Outcome {
    world.trace |= trace;
    let mut outcome = Outcome::default();
    let done = catch_unwind(AssertUnwindSafe(|| play(plan, world, trace)));
    outcome.failure = match done {
        Ok(Ok(converged_in)) => {
            outcome.converged_in = converged_in;
            None
        }
        Ok(Err(why)) => Some(why),
        Err(panic) => Some(said(panic.as_ref())),
    };
    outcome.felt.clone_from(&world.felt);
    outcome.virtual_time = Duration::from_nanos(world.now().as_nanos());
    outcome.hosts = everybody(world).len() as u64;
    outcome.switches = (world.checker.grants().len() as u64).saturating_sub(plan.layout.len() as u64);
    outcome.height = world.checker.height().0;
    outcome.late_rounds = world.checker.late_rounds;
    outcome.digest = world.digest();
    outcome.most_held.clone_from(&world.checker.most_held);
    outcome.most_said = world.checker.most_said;
    outcome
}

/// What a panic says.
fn said(panic: &(dyn core::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

fn play(plan: &Plan, world: &mut World, trace: bool) -> Result<Duration, String> {
    world.start_all();
    world.start_client(plan.rate, Instant::from_nanos(u64::MAX / 2));
    let mut injector = Injector::default();
    for fault in &plan.faults {
        run_to(world, &mut injector, Instant::ZERO + fault.at);
        if fault.mid_word {
            let said = world.checker.said;
            world.run_until(plan.settings.keepalive * 4, |w| w.checker.said > said);
        }
        let done = injector.inject(world, fault);
        if trace {
            let done = if done { "" } else { " (not possible now)" };
            println!("{} FAULT {:?} for {:?}{done}", world.now(), fault.kind, fault.span);
        }
    }
    run_to(world, &mut injector, Instant::ZERO + plan.end);
    if trace {
        println!("{} the faults stop", world.now());
    }
    world.set_luck(Luck::default());
    injector.stop(world);
    let stopped = world.now();
    let bound = convergence(&plan.settings);
    resume(world, bound)?;
    let converged = converge(world, bound, "after the faults");
    if trace && converged.is_err() {
        explain(world);
    }
    converged?;
    let converged_in = world.now() - stopped;
    without_the_authority(world, plan, trace)?;
    one_more_switch(world, bound)?;
    converge(world, bound, "after the last switch")?;
    quiet(world, plan)?;
    let answered = world.book.borrow().committed.len();
    if answered == 0 {
        return Err("not one transfer was answered".into());
    }
    for id in everybody(world).into_iter().filter(|id| *id != NodeId::AUTHORITY) {
        world.audit(id);
    }
    Ok(converged_in)
}

/// The operator's last act: whatever is paused still, because an order to resume was refused, is not.
fn resume(world: &mut World, within: Duration) -> Result<(), String> {
    let until = world.now() + within;
    let clusters = world.consortium.roster.clusters.iter().map(|c| c.id);
    let places: Vec<ClusterId> = core::iter::once(ClusterId(0)).chain(clusters).collect();
    for place in places {
        // An authority that has just started says so, and is asked again.
        while world.checker.rows().is_paused(place) {
            let number = world.order(OrderKind::Resume, place, NodeId(0));
            let left = until.max(world.now()) - world.now();
            if !world.run_until(left, |w| w.answered(number).is_some()) {
                return Err(format!("an order to resume {place} gets no answer"));
            }
            world.run_for(world.settings().keepalive);
        }
    }
    Ok(())
}

/// Let time pass to `at`, and end the faults that are over.
fn run_to(world: &mut World, injector: &mut Injector, at: Instant) {
    while let Some(next) = injector.next_ending().filter(|next| *next <= at) {
        world.run_for(next.max(world.now()) - world.now());
        injector.end_due(world);
    }
    world.run_for(at.max(world.now()) - world.now());
}

/// S10: within this span, [`convergence`] in a run, every cluster has a master, the chain goes on, everybody holds every block, and everybody
/// that is not barred is in sync.
///
/// # Errors
/// What did not come about.
pub fn converge(world: &mut World, within: Duration, when: &str) -> Result<(), String> {
    let clusters: Vec<ClusterId> = world.consortium.roster.clusters.iter().map(|c| c.id).collect();
    let acts = world.settings().outside.is_some();
    let height = world.checker.height().0;
    let until = world.now() + within;
    let wait = |world: &mut World, what: &str, done: &dyn Fn(&World) -> bool| {
        let left = until.max(world.now()) - world.now();
        if world.run_until(left, |w| done(w)) { Ok(()) } else { Err(format!("S10: {when}: {what}")) }
    };
    wait(world, "a cluster has no master", &|w| clusters.iter().all(|c| w.master(*c).is_some()))?;
    wait(world, "the chain stands still", &|w| w.checker.height().0 > height + 5)?;
    let reached = world.checker.height().0;
    wait(world, "a node lacks blocks", &|w| {
        let mut nodes = w.consortium.roster.all_nodes().map(|(_, n)| n.id);
        nodes.all(|id| w.last_key(id, Table::Block).is_some_and(|height| height >= reached))
    })?;
    wait(world, "somebody is not in sync", &|w| {
        let row = |c: ClusterId| w.checker.rows().entry(c).map(|entry| &entry.row);
        w.consortium.roster.all_nodes().all(|(cluster, node)| {
            row(cluster.id).is_some_and(|row| row.in_sync.contains(&node.id) || row.barred.contains(&node.id))
        })
    })?;
    wait(world, "nobody acts outside the chain", &|w| {
        !acts || clusters.iter().all(|c| w.acts_outside(*c).map(|(node, _)| node) == w.master(*c))
    })
}

/// Where everybody stands, for whoever looks at a failed run.
fn explain(world: &World) {
    for id in everybody(world) {
        let height = world.last_key(id, Table::Block).unwrap_or(0);
        let role = world.checker.role(id);
        println!(
            "{id}: up {}, height {height}, {role:?}, dropped {:?}",
            world.is_up(id),
            world.all_discards(id)
        );
    }
    for (cluster, entry) in world.checker.rows().entries() {
        println!("{cluster}: {:?}", entry.row);
    }
}

/// P4: with the authority away and nobody else at fault the chain goes on.
///
/// # Errors
/// It does not.
pub fn without_the_authority(world: &mut World, plan: &Plan, trace: bool) -> Result<(), String> {
    world.run_for(plan.settings.keepalive * 10);
    // Half of the runs: on a busy machine, which must not matter.
    world.set_busy(Duration::from_millis(if plan.seed.is_multiple_of(2) { 0 } else { 40 }));
    world.run_for(plan.settings.keepalive * 10);
    world.kill(NodeId::AUTHORITY);
    let height = world.checker.height().0;
    // A block needs a transfer, and time to pass since the one before.
    let block = plan.settings.timing.block_interval + plan.rate;
    let goes_on =
        world.run_until(Duration::from_secs(10) + block * 10, |w| w.checker.height().0 > height + 10);
    world.set_busy(Duration::ZERO);
    if trace && !goes_on {
        explain(world);
    }
    world.start(NodeId::AUTHORITY);
    if goes_on { Ok(()) } else { Err("P4: without the authority the chain stands still".into()) }
}

/// P3: a master that is killed is followed by another, if there is one that may be.
///
/// # Errors
/// The network does not converge, or nobody follows.
pub fn one_more_switch(world: &mut World, bound: Duration) -> Result<(), String> {
    converge(world, bound, "after the authority came back")?;
    let heirs = |w: &World, c: ClusterId| {
        let row = w.checker.rows().entry(c).map(|entry| entry.row.clone());
        row.map_or(0, |row| row.in_sync.iter().filter(|id| !row.barred.contains(id)).count())
    };
    let clusters: Vec<ClusterId> = world.consortium.roster.clusters.iter().map(|c| c.id).collect();
    let Some(cluster) = clusters.into_iter().find(|c| heirs(world, *c) > 1) else { return Ok(()) };
    let Some(master) = world.master(cluster) else { return Err("P3: a master got lost".into()) };
    let granted = |w: &World| {
        let of_it = (cluster, Epoch(0))..=(cluster, Epoch(u64::MAX));
        w.checker.grants().range(of_it).next_back().map(|((_, epoch), _)| *epoch)
    };
    let before = granted(world);
    world.kill(master);
    let followed = world.run_until(bound, |w| granted(w) > before);
    world.start(master);
    if followed { Ok(()) } else { Err(format!("P3: nobody followed {master}, the master of {cluster}")) }
}

/// Nothing fails: no master changes (L4), and blocks are committed (L6).
///
/// # Errors
/// Which of them is not so.
pub fn quiet(world: &mut World, plan: &Plan) -> Result<(), String> {
    let before = (world.checker.grants().len(), world.checker.height());
    let block = plan.settings.timing.block_interval + plan.rate;
    world.run_for(plan.settings.keepalive * 30 + block * 2 + Duration::from_secs(1));
    if world.checker.grants().len() > before.0 {
        return Err("L4: a master changed though nothing failed".into());
    }
    if world.checker.height() <= before.1 {
        return Err("L6: the chain stands still though nothing failed".into());
    }
    Ok(())
}

/// The fewest faults of a plan that still make it fail, by leaving out ever smaller parts; gives up after `tries` runs.
#[must_use]
pub fn minimise(plan: &Plan, tries: usize) -> Plan {
    let mut best = plan.clone();
    let mut left = tries;
    let mut size = best.faults.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut smaller = false;
        while at < best.faults.len() && left > 0 {
            left -= 1;
            let end = (at + size).min(best.faults.len());
            let faults: Vec<Fault> =
                best.faults.iter().take(at).chain(best.faults.iter().skip(end)).cloned().collect();
            let candidate = Plan { faults, ..best.clone() };
            if run(&candidate, false).failure.is_some() {
                best = candidate;
                smaller = true;
            } else {
                at = end;
            }
        }
        if left == 0 || (size == 1 && !smaller) {
            return best;
        }
        size = (size / 2).max(1);
    }
}
