//! Catching up: a node comes back to a network that is thousands of blocks further, while clients go on. How fast, against
//! a plain copy, and what the clients feel of it.

use super::copy;
use super::crafted::{Plan, Signer, fill};
use super::network::{LIGHT, Load, Rig, spanning};
use duohuo_rig::layout::Layout;
use duohuo_wire::ids::NodeId;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The first cluster has three nodes, one of which is away; the others have their master alone: as many as two
/// processors can bear.
const AWAY: NodeId = NodeId(103);
/// So many blocks before a snapshot's height the made ones end: the rest comes live, so that the clusters prove it.
const LIVE: u64 = 20;
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How fast a node that was away has everything again.
#[derive(Serialize)]
pub(crate) struct CatchUp {
    /// The chain takes snapshots, so that most blocks need not come.
    by_snapshot: bool,
    blocks: u64,
    transfers_a_block: u64,
    /// Of all blocks that it lacked.
    megabytes: f64,
    seconds: f64,
    /// From the start of its process until it answers for the first time: opening the store, the sessions.
    seconds_until_it_answers: f64,
    blocks_a_second: f64,
    megabytes_a_second: f64,
    /// The same bytes by TCP with AES-GCM and nothing else, in the same minute.
    copy_megabytes_a_second: f64,
    /// Of its own processor time: what others want of the machine does not enter.
    megabytes_a_processor_second: f64,
    /// Of the processor time of both ends of the copy.
    copy_megabytes_a_processor_second: f64,
    /// One transfer in flight at each master, nobody behind.
    quiet: Load,
    /// The same while it catches up.
    meanwhile: Load,
    /// Median latency meanwhile over quiet.
    slowed_ratio: Option<f64>,
    /// Processor seconds of the master of its cluster, of the other member that serves it, and of itself, meanwhile.
    processor_seconds: [f64; 3],
}

impl CatchUp {
    pub(crate) fn print(&self) {
        println!(
            "catch-up {}: {} blocks of {} transfers, {:.1} MB in {:.2} s (answers after {:.2} s): {:.0} blocks/s, {:.1} MB/s; plain copy {:.0} MB/s",
            if self.by_snapshot { "by snapshot" } else { "by blocks" },
            self.blocks,
            self.transfers_a_block,
            self.megabytes,
            self.seconds,
            self.seconds_until_it_answers,
            self.blocks_a_second,
            self.megabytes_a_second,
            self.copy_megabytes_a_second
        );
        let [master, member, itself] = self.processor_seconds;
        println!(
            "  a second of processor time: {:.1} MB; plain copy {:.0} MB",
            self.megabytes_a_processor_second, self.copy_megabytes_a_processor_second
        );
        println!(
            "  meanwhile: latency p50 {:.1} ms, quiet {:.1} ms ({:.2} times); processor seconds: master {master:.2}, member {member:.2}, itself {itself:.2}",
            self.meanwhile.median(),
            self.quiet.median(),
            self.slowed_ratio.unwrap_or(f64::NAN)
        );
    }
}

pub(crate) fn measure(
    program: &Path,
    directory: &Path,
    port: u16,
    blocks: u64,
    transfers_a_block: u64,
    by_snapshot: bool,
) -> Result<CatchUp, String> {
    let layout = Layout::spread(4, 3, port);
    let snapshot_interval = if by_snapshot { 1_000 } else { 0 };
    let chain = format!("[chain]\nsnapshot_interval = {snapshot_interval}\n");
    let mut rig = Rig::start(program, directory, &layout, |id| id.0 / 100 == 1 || id.0 % 100 == 1, &chain)?;
    let signers =
        rig.rows()?.into_iter().map(|row| Signer::of(&rig.network, row.cluster, row.epoch, row.master));
    let signers = signers.collect::<Result<Vec<_>, _>>()?;
    rig.kill_all();
    let made = if by_snapshot { (blocks - LIVE) / 1_000 * 1_000 + 1_000 - LIVE } else { blocks };
    let others: Vec<NodeId> = rig.all.iter().copied().filter(|id| *id != AWAY).collect();
    let plan = Plan { blocks: made, transfers_a_block, snapshot_interval };
    let bytes = fill(&rig.network, &signers, &others, plan)?;
    rig.start_again(&others)?;
    while by_snapshot && rig.height(NodeId(101)).is_none_or(|height| height < made + LIVE + 5) {
        rig.load(LIGHT, spanning(Duration::from_secs(1)))?;
    }
    let quiet = rig.load(LIGHT, spanning(Duration::from_secs(5)))?;
    let head = rig.height(NodeId(101)).ok_or("no height")?;
    let before = [NodeId(101), NodeId(102)].map(|id| rig.processor_seconds(id));
    let begin = Instant::now();
    rig.start_one(AWAY)?;
    let watch = Watch::default();
    let meanwhile = std::thread::scope(|scope| {
        scope.spawn(|| watch.follow(&rig, head, begin));
        let meanwhile = rig.load(LIGHT, |_| watch.is_over());
        watch.over.store(true, Ordering::Relaxed);
        meanwhile
    })?;
    let (answered, done) = (watch.answered(), watch.done());
    let seconds = done.ok_or("it did not catch up in time")?;
    let after = [NodeId(101), NodeId(102), AWAY].map(|id| rig.processor_seconds(id));
    rig.stop();
    let [master, member, itself] = after;
    let [master_before, member_before] = before;
    let megabytes = bytes as f64 / 1e6;
    let [copy, copy_a_processor_second] = copy::speeds(bytes)?;
    let slowed_ratio = (quiet.median() > 0.0).then(|| meanwhile.median() / quiet.median());
    Ok(CatchUp {
        by_snapshot,
        blocks: head,
        transfers_a_block,
        megabytes,
        seconds,
        seconds_until_it_answers: answered.unwrap_or(f64::NAN),
        blocks_a_second: head as f64 / seconds,
        megabytes_a_second: megabytes / seconds,
        copy_megabytes_a_second: copy,
        megabytes_a_processor_second: megabytes / itself,
        copy_megabytes_a_processor_second: copy_a_processor_second,
        quiet,
        meanwhile,
        slowed_ratio,
        processor_seconds: [master - master_before, member - member_before, itself],
    })
}

/// Looks at the node that was away, beside the load; microseconds from its start, 0: not yet.
#[derive(Default)]
struct Watch {
    answered_us: AtomicU64,
    done_us: AtomicU64,
    over: AtomicBool,
}

impl Watch {
    fn follow(&self, rig: &Rig, head: u64, begin: Instant) {
        while !self.is_over() && begin.elapsed() < PATIENCE {
            if let Some(height) = rig.height(AWAY) {
                let us = u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                let _ = self.answered_us.compare_exchange(0, us, Ordering::Relaxed, Ordering::Relaxed);
                if height >= head {
                    self.done_us.store(us, Ordering::Relaxed);
                }
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        self.over.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.done().is_some()
    }

    fn seconds(of: &AtomicU64) -> Option<f64> {
        let us = of.load(Ordering::Relaxed);
        (us > 0).then_some(us as f64 / 1e6)
    }

    fn answered(&self) -> Option<f64> {
        Self::seconds(&self.answered_us)
    }

    fn done(&self) -> Option<f64> {
        Self::seconds(&self.done_us)
    }
}
