//! Grants with a durable log: how many in a second, and how long a room of clusters waits that all lost their masters in one
//! moment. The nodes are one thread with one socket and their own sessions; the authority has its driver, its store, its
//! disk.

use super::keepalives::{free_address, world};
use super::stage::{Everybody, Member};
use crate::statistics::Summary;
use bytes::Bytes;
use duohuo_core::authority::Authority;
use duohuo_core::config::Timers;
use duohuo_core::io::{Input, Machine, Output};
use duohuo_core::{Duration, Instant};
use duohuo_driver::clock;
use duohuo_wire::header::{HEADER_BYTES, Header};
use duohuo_wire::ids::{Epoch, NodeId, Version};
use duohuo_wire::packet::{ClaimReason, Outcome, Packet, Update};
use duohuo_wire::statement::Row;
use serde::Serialize;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Of a cluster here.
const NODES: u32 = 3;
const KEEPALIVE_INTERVAL: Duration = Duration::from_millis(100);
/// How often the loop looks whether the nodes are done.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
/// After which a room is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// First wait for an answer, doubled up to so many times (spec/behaviour.md, 2).
const RETRY: Duration = Duration::from_millis(20);
const RETRY_DOUBLINGS: u32 = 6;

/// Each master asks for a new epoch as soon as it has one.
#[derive(Serialize, Clone)]
pub(super) struct Grants {
    pub(super) clusters: u32,
    pub(super) a_second: f64,
    /// From asking to being told.
    answer_ms: Summary,
}

/// All clusters lose their masters; each one's second node asks for the role.
#[derive(Serialize, Clone)]
pub(super) struct Room {
    pub(super) clusters: u32,
    /// From the first claim to the last grant that came to its claimant.
    pub(super) all_ms: f64,
    /// Of each cluster.
    granted_ms: Summary,
    /// Claims that were sent again.
    repeated: u64,
}

impl Grants {
    pub(super) fn print(&self) {
        println!(
            "{:>6} clusters: {:.0} grants/s, each durable and told to all masters; {:.1} ms from claim to answer (p99 {:.1})",
            self.clusters, self.a_second, self.answer_ms.median, self.answer_ms.p99
        );
    }
}

impl Room {
    pub(super) fn print(&self) {
        println!(
            "{:>6} clusters fail at once: all have masters after {:.0} ms (median {:.0}), {} claims repeated",
            self.clusters, self.all_ms, self.granted_ms.median, self.repeated
        );
    }
}

/// One node that claims.
struct Claimant {
    member: Member,
    sealed_id: Bytes,
    epoch: Epoch,
    version: Version,
    request: u64,
    asked_at: Instant,
    repetitions: u32,
    is_done: bool,
}

impl Claimant {
    fn claim(&mut self, reason: ClaimReason, alive: Vec<NodeId>) -> Bytes {
        let update = Update {
            request: self.request,
            cluster: self.member.cluster,
            epoch: self.epoch,
            version: self.version,
            reason,
            alive,
            sealed_id: self.sealed_id.clone(),
            ..Default::default()
        };
        self.member.seal(&Packet::from(update))
    }

    fn repeats_at(&self) -> Instant {
        self.asked_at + RETRY * 2u32.pow(self.repetitions.min(RETRY_DOUBLINGS))
    }
}

/// The nodes' side.
struct Nodes {
    socket: UdpSocket,
    at: SocketAddr,
    everybody: Everybody,
    claimants: Vec<Claimant>,
    /// By the session number that each chose.
    by_session: HashMap<u64, usize>,
    reason: ClaimReason,
}

impl Nodes {
    fn ask(&mut self, index: usize) -> Result<(), String> {
        let Some(claimant) = self.claimants.get_mut(index) else { return Ok(()) };
        // the incumbent does not hear, or is the claimant itself
        let alive = self.everybody.nodes_of(claimant.member.cluster);
        claimant.asked_at = clock::now();
        let bytes = claimant.claim(self.reason, alive);
        self.socket.send_to(&bytes, self.at).map(drop).map_err(|e| e.to_string())
    }

    /// The next answer that a claimant waits for: whose, the outcome, the row.
    fn answer(&mut self, buffer: &mut [u8]) -> Option<(usize, Outcome, Row)> {
        let length = self.socket.recv(buffer).ok()?;
        let bytes = buffer.get(..length)?;
        if length < HEADER_BYTES {
            return None;
        }
        // what is said to others is not opened: these are other machines
        let session = bytes.get(16..24).and_then(|b| <[u8; 8]>::try_from(b).ok()).map(u64::from_be_bytes)?;
        let index = *self.by_session.get(&session)?;
        let claimant = self.claimants.get(index)?;
        if claimant.is_done {
            return None;
        }
        let header = Header::decode_datagram(bytes).ok()?;
        match claimant.member.keys.opening.open(&header, bytes).ok()? {
            Packet::Notice(notice) if notice.request == claimant.request => {
                Some((index, notice.outcome, notice.row.row))
            }
            _ => None,
        }
    }

    /// Masters that ask again and again, for so long.
    fn go_on(&mut self, span: Duration) -> Result<(Vec<f64>, f64), String> {
        let begun = clock::now();
        let mut taken = Vec::new();
        let mut buffer = [0; 2048];
        for index in 0..self.claimants.len() {
            self.ask(index)?;
        }
        while clock::now() - begun < span {
            let Some((index, outcome, row)) = self.answer(&mut buffer) else {
                self.repeat()?;
                continue;
            };
            let Some(claimant) = self.claimants.get_mut(index) else { continue };
            if outcome == Outcome::Done {
                taken.push((clock::now() - claimant.asked_at).as_secs_f64() * 1e3);
            }
            (claimant.epoch, claimant.version) = (row.epoch, row.version);
            claimant.request += 1;
            claimant.repetitions = 0;
            self.ask(index)?;
        }
        Ok((taken, (clock::now() - begun).as_secs_f64()))
    }

    /// Everybody asks once, and repeats until it is master.
    fn fail_at_once(&mut self) -> Result<(Vec<f64>, u64), String> {
        let begun = clock::now();
        let mut granted = Vec::new();
        let mut buffer = [0; 2048];
        let mut repeated = 0;
        for index in 0..self.claimants.len() {
            self.ask(index)?;
        }
        while granted.len() < self.claimants.len() {
            if clock::now() - begun > PATIENCE {
                return Err(format!("{} of {} have a master", granted.len(), self.claimants.len()));
            }
            match self.answer(&mut buffer) {
                Some((index, outcome, row)) => {
                    let Some(claimant) = self.claimants.get_mut(index) else { continue };
                    // Also told by the answer to a repetition, if the first answer was lost.
                    if row.master == claimant.member.node {
                        claimant.is_done = true;
                        granted.push((clock::now() - begun).as_secs_f64() * 1e3);
                    } else {
                        return Err(format!("a claim came to {outcome:?}"));
                    }
                }
                None => repeated += self.repeat()?,
            }
        }
        Ok((granted, repeated))
    }

    /// Claims that were not answered for a while.
    fn repeat(&mut self) -> Result<u64, String> {
        let now = clock::now();
        let is_due = |c: &Claimant| !c.is_done && now >= c.repeats_at();
        let due: Vec<usize> =
            self.claimants.iter().enumerate().filter(|(_, c)| is_due(c)).map(|(i, _)| i).collect();
        for index in &due {
            if let Some(claimant) = self.claimants.get_mut(*index) {
                claimant.repetitions += 1;
            }
            self.ask(*index)?;
        }
        Ok(due.len() as u64)
    }
}

/// The authority, until the nodes are done.
struct UntilDone<'a> {
    authority: &'a mut Authority,
    is_done: Arc<AtomicBool>,
    look_at: Instant,
    has_left: bool,
}

impl Machine for UntilDone<'_> {
    fn handle(&mut self, now: Instant, input: Input) {
        self.look_at = now + LOOK_INTERVAL;
        self.authority.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        let next = self.authority.poll_output();
        if next.is_none() && self.is_done.load(Ordering::Relaxed) && !self.has_left {
            self.has_left = true;
            return Some(Output::Exit);
        }
        next
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [Some(self.look_at), self.authority.poll_timeout()].into_iter().flatten().min()
    }
}

/// Grants for so long.
pub(super) fn grants(clusters: u32, span: Duration, directory: &Path) -> Result<Grants, String> {
    let (answers, seconds) =
        with_nodes(clusters, 1, ClaimReason::Restart, directory, move |nodes| nodes.go_on(span))?;
    let a_second = answers.len() as f64 / seconds;
    Ok(Grants { clusters, a_second, answer_ms: Summary::of(answers).ok_or("nobody was granted")? })
}

/// A room that fails.
pub(super) fn room(clusters: u32, directory: &Path) -> Result<Room, String> {
    let (granted, repeated) =
        with_nodes(clusters, 2, ClaimReason::StreamClosed, directory, Nodes::fail_at_once)?;
    let granted_ms = Summary::of(granted).ok_or("nobody was granted")?;
    Ok(Room { clusters, all_ms: granted_ms.max, granted_ms, repeated })
}

/// An authority, and node `who` of each cluster in a thread of their own.
fn with_nodes<T: Send + 'static>(
    clusters: u32,
    who: u32,
    reason: ClaimReason,
    directory: &Path,
    what: impl FnOnce(&mut Nodes) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(LOOK_INTERVAL)).map_err(|e| e.to_string())?;
    let members_at = socket.local_addr().map_err(|e| e.to_string())?;
    let at = free_address()?;
    let timers = Timers::for_keepalive(KEEPALIVE_INTERVAL);
    let everybody = Everybody::new(clusters, NODES, at, members_at);
    let mut authority = everybody.authority(timers)?;
    let mut members = Vec::new();
    everybody.enter(&mut authority, timers, &mut members, |_| true)?;
    let world = world(directory, &everybody, at)?;
    let claimant = |member: Member| Claimant {
        sealed_id: everybody.sealed_id(member.cluster, member.node),
        member,
        epoch: Epoch(1),
        version: Version(u64::from(NODES - 1)),
        request: 1,
        asked_at: Instant::ZERO,
        repetitions: 0,
        is_done: false,
    };
    let claimants: Vec<Claimant> =
        members.into_iter().filter(|m| m.node.0 % 4 == who).map(claimant).collect();
    let by_session = claimants.iter().enumerate().map(|(i, c)| (c.member.own_session, i)).collect();
    let mut nodes = Nodes { socket, at, everybody, claimants, by_session, reason };
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    let thread = std::thread::spawn(move || {
        let measured = what(&mut nodes);
        done.store(true, Ordering::Relaxed);
        measured
    });
    let mut machine =
        UntilDone { authority: &mut authority, is_done, look_at: Instant::ZERO, has_left: false };
    world.run(&mut machine).map_err(|e| e.to_string())?;
    thread.join().map_err(|_| "the nodes' thread panicked".to_owned())?
}
