//! Keepalives of masters through the whole of an authority: the driver's loop, its sockets, the engine. In turn with the
//! bare limit, batch by batch in one thread: the queue of the socket is filled, the clock is started, the queue is emptied.
//! Processor time of that thread, so that what others want of the machine does not enter.

use super::bare::{Answers, Bare};
use super::stage::{Everybody, Member, operator};
use crate::statistics::{Summary, processor_seconds};
use bytes::Bytes;
use duohuo_core::authority::Authority;
use duohuo_core::config::Timers;
use duohuo_core::io::{Input, Machine, Output};
use duohuo_core::{Duration, Instant};
use duohuo_driver::config::RosterSource;
use duohuo_driver::event_loop::World;
use duohuo_driver::roster_file;
use duohuo_driver::store::{Identity, OpenMode, OpenStore};
use duohuo_wire::ids::{Epoch, Height, NodeId};
use duohuo_wire::packet::{MasterKeepalive, Packet};
use serde::Serialize;
use std::cell::Cell;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

/// Packets of each kind at least, after a first pass that only warms up.
const PACKETS: usize = 64 * 512;

/// Nanoseconds of processor time for each keepalive.
#[derive(Serialize, Clone)]
pub(super) struct Keepalives {
    pub(super) masters: u32,
    /// Keepalives that wait in the socket when the loop wakes.
    pub(super) waiting: usize,
    /// Receive, CRC, session, window, open, table.
    bare_ns: Summary,
    /// And the answer made and sealed.
    bare_answered_ns: Summary,
    /// And sent.
    bare_sent_ns: Summary,
    /// The authority, its answers sealed and dropped.
    authority_ns: Summary,
    /// The authority, its answers sent.
    authority_sent_ns: Summary,
    /// In a second on one core, answers sent.
    pub(super) a_second: f64,
    /// Bare against the authority, medians: without an answer on the bare side; answers made on both; sent on both.
    pub(super) ratio_unanswered: f64,
    pub(super) ratio: f64,
    pub(super) ratio_sent: f64,
    /// What the authority holds for each cluster and its master's session.
    pub(super) bytes_a_cluster: f64,
}

impl Keepalives {
    pub(super) fn cost_ns(&self) -> f64 {
        self.authority_ns.median
    }

    pub(super) fn print(&self) {
        println!(
            "{:>6} masters, {:>3} at a time: bare {:.0} ns, answered {:.0}, sent {:.0}; authority {:.0}, sent {:.0}: {:.0}/s; ratios {:.2} unanswered, {:.2} answered, {:.2} sent; {:.0} bytes a cluster",
            self.masters,
            self.waiting,
            self.bare_ns.median,
            self.bare_answered_ns.median,
            self.bare_sent_ns.median,
            self.authority_ns.median,
            self.authority_sent_ns.median,
            self.a_second,
            self.ratio_unanswered,
            self.ratio,
            self.ratio_sent,
            self.bytes_a_cluster
        );
    }
}

pub(super) fn measure(masters: u32, batch: usize, directory: &Path) -> Result<Keepalives, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    socket.set_nonblocking(true).map_err(|e| e.to_string())?;
    let members_at = socket.local_addr().map_err(|e| e.to_string())?;
    let at = free_address()?;
    // slow enough that nobody ages while one pass takes its time
    let timers = Timers::for_keepalive(Duration::from_secs(5));
    let everybody = Everybody::new(masters, 1, at, members_at);
    let bare = Bare::new(&everybody)?;
    let mut members = Vec::with_capacity(masters as usize);
    let mut made: Result<Authority, String> = Err(String::new());
    let held = allocation_counter::measure(|| {
        made = everybody.authority(timers).and_then(|mut authority| {
            everybody.enter(&mut authority, timers, &mut members, |_| true)?;
            Ok(authority)
        });
    });
    let mut authority = made?;
    let mut meter = Meter {
        authority: &mut authority,
        members,
        bare,
        socket,
        at,
        batch,
        next: 0,
        is_sending: false,
        packets: 0,
        taken: 0,
        begun: 0.0,
        is_waiting: Cell::new(true),
        kept: Vec::new(),
        samples: Default::default(),
        failed: None,
        exit: None,
    };
    let world = world(directory, &everybody, at)?;
    world.run(&mut meter).map_err(|e| e.to_string())?;
    if let Some(why) = meter.failed {
        return Err(why);
    }
    let discarded: Vec<_> = meter.authority.discards().iter().filter(|(_, n)| *n > 0).collect();
    if !discarded.is_empty() {
        return Err(format!("the authority discarded {discarded:?}"));
    }
    let [bare, bare_answered, authority_ns, bare_sent, authority_sent] =
        meter.samples.map(|samples| Summary::of(samples).ok_or("no samples"));
    let (bare_ns, bare_answered_ns, bare_sent_ns) = (bare?, bare_answered?, bare_sent?);
    let (authority_ns, authority_sent_ns) = (authority_ns?, authority_sent?);
    Ok(Keepalives {
        masters,
        waiting: batch,
        bare_ns,
        bare_answered_ns,
        bare_sent_ns,
        authority_ns,
        authority_sent_ns,
        a_second: 1e9 / authority_sent_ns.median,
        ratio_unanswered: bare_ns.median / authority_ns.median,
        ratio: bare_answered_ns.median / authority_ns.median,
        ratio_sent: bare_sent_ns.median / authority_sent_ns.median,
        bytes_a_cluster: held.bytes_current as f64 / f64::from(masters),
    })
}

/// A port of loopback that is free for datagrams and streams.
pub(super) fn free_address() -> Result<SocketAddr, String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    listener.local_addr().map_err(|e| e.to_string())
}

/// The world of an authority, with a store of its own.
pub(super) fn world(directory: &Path, everybody: &Everybody, at: SocketAddr) -> Result<World, String> {
    let identity = Identity { consortium: everybody.roster.consortium, node: NodeId::AUTHORITY };
    let store =
        OpenStore::open(&directory.join("store"), identity, OpenMode::Create).map_err(|e| e.to_string())?;
    // what a reload would read: a roster as large as ours is no file of an operator
    let mut small = Everybody::new(1, 2, at, at).roster;
    small
        .clusters
        .iter_mut()
        .flat_map(|c| &mut c.nodes)
        .zip(1u8..)
        .for_each(|(n, i)| n.address.set_port(u16::from(i)));
    let path = directory.join("roster.toml");
    roster_file::write(&path, &small.sign(&operator())).map_err(|e| e.to_string())?;
    let (source, _) =
        RosterSource::open(&path, operator().verifying_key().to_bytes()).map_err(|e| e.to_string())?;
    World::new(at, None, store, source, false).map_err(|e| e.to_string())
}

/// Which figure a batch belongs to.
const BARE: usize = 0;
const BARE_ANSWERED: usize = 1;
const AUTHORITY: usize = 2;
const BARE_SENT: usize = 3;
const AUTHORITY_SENT: usize = 4;

/// The authority, and between its batches the masters and the bare limit.
struct Meter<'a> {
    authority: &'a mut Authority,
    members: Vec<Member>,
    bare: Bare,
    socket: UdpSocket,
    at: SocketAddr,
    batch: usize,
    next: usize,
    is_sending: bool,
    packets: usize,
    /// Of the batch under way.
    taken: usize,
    begun: f64,
    /// For the next batch to be filled.
    is_waiting: Cell<bool>,
    kept: Vec<Bytes>,
    samples: [Vec<f64>; 5],
    failed: Option<String>,
    exit: Option<Output>,
}

impl Meter<'_> {
    fn passes(&self) -> usize {
        PACKETS.max(self.members.len() * 2) / self.batch
    }

    /// Between two batches: the bare ones, then the queue is filled again.
    fn turn(&mut self) -> Result<(), String> {
        let done = self.packets / self.batch;
        if done == self.passes() * 2 {
            self.exit = Some(Output::Exit);
            self.is_waiting.set(false);
            return Ok(());
        }
        self.is_sending = done >= self.passes();
        let batch: Vec<usize> = (0..self.batch).map(|i| (self.next + i) % self.members.len()).collect();
        self.next = (self.next + self.batch) % self.members.len();
        let kinds: &[(Answers, usize)] = if self.is_sending {
            &[(Answers::Sent, BARE_SENT)]
        } else {
            &[(Answers::None, BARE), (Answers::Sealed, BARE_ANSWERED)]
        };
        // the first pass over all masters, or a few batches, warms up
        let counts = done % self.passes() >= (self.members.len() / self.batch).max(8);
        for (answers, figure) in kinds {
            let to = self.bare.address()?;
            let (mut kept, count) = (Vec::with_capacity(self.batch), self.batch);
            let bare = &mut self.bare;
            // Others than those of the first kind: theirs would be in the cache still.
            let away = if *answers == Answers::Sealed { self.members.len() / 2 } else { 0 };
            let batch: Vec<usize> = batch.iter().map(|i| (i + away) % self.members.len()).collect();
            fill(&self.socket, to, &batch, &mut bare.members)?;
            let begun = processor_seconds(false);
            let good = bare.drain(*answers, &mut kept);
            let taken = processor_seconds(false) - begun;
            if good != self.batch {
                return Err(format!("the bare limit took {good} of {count}"));
            }
            if counts && let Some(samples) = self.samples.get_mut(*figure) {
                samples.push(taken * 1e9 / self.batch as f64);
            }
            if *answers == Answers::Sent {
                self.answers(self.batch)?;
            }
        }
        self.is_waiting.set(false);
        self.taken = 0;
        fill(&self.socket, self.at, &batch, &mut self.members)?;
        self.begun = processor_seconds(false);
        Ok(())
    }

    /// The authority has taken the batch.
    fn batch_is_done(&mut self) -> Result<(), String> {
        let taken = processor_seconds(false) - self.begun;
        let done = self.packets / self.batch;
        let figure = if self.is_sending { AUTHORITY_SENT } else { AUTHORITY };
        let counts = done % self.passes() >= (self.members.len() / self.batch).max(8);
        if counts && let Some(samples) = self.samples.get_mut(figure) {
            samples.push(taken * 1e9 / self.batch as f64);
        }
        self.packets += self.batch;
        self.taken = 0;
        self.is_waiting.set(true);
        let answers =
            if self.is_sending { self.answers(self.batch)? } else { std::mem::take(&mut self.kept) };
        if answers.len() != self.batch {
            return Err(format!("{} answers to {} keepalives", answers.len(), self.batch));
        }
        let count = self.members.len();
        let first = (self.next + count * self.batch - self.batch) % count;
        for (i, bytes) in answers.iter().enumerate() {
            // one thread, one queue: in the order of the keepalives
            let Some(member) = self.members.get_mut((first + i) % count) else { continue };
            match member.open(bytes) {
                Some(Packet::MasterKeepaliveAnswer(answer)) => member.challenge = answer.challenge,
                other => return Err(format!("an answer is {other:?}")),
            }
        }
        Ok(())
    }

    /// What came back to the masters.
    fn answers(&self, wanted: usize) -> Result<Vec<Bytes>, String> {
        let mut buffer = [0; 2048];
        let mut answers = Vec::with_capacity(wanted);
        while let Ok(length) = self.socket.recv(&mut buffer) {
            answers.push(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default()));
        }
        if answers.len() == wanted {
            Ok(answers)
        } else {
            Err(format!("{} of {wanted} answers", answers.len()))
        }
    }
}

/// Keepalives of some masters into a queue.
fn fill(socket: &UdpSocket, to: SocketAddr, batch: &[usize], members: &mut [Member]) -> Result<(), String> {
    for at in batch {
        let Some(member) = members.get_mut(*at) else { continue };
        let keepalive = MasterKeepalive {
            cluster: member.cluster,
            epoch: Epoch(1),
            height: Height(1),
            challenge: member.challenge,
            ..Default::default()
        };
        let bytes = member.seal(&Packet::from(keepalive));
        socket.send_to(&bytes, to).map_err(|e| e.to_string())?;
    }
    Ok(())
}

impl Machine for Meter<'_> {
    fn handle(&mut self, now: Instant, input: Input) {
        if self.is_waiting.get() {
            if let Err(why) = self.turn() {
                self.failed = Some(why);
                self.exit = Some(Output::Exit);
                self.is_waiting.set(false);
            }
            return;
        }
        self.taken += usize::from(matches!(input, Input::Datagram { .. }));
        self.authority.handle(now, input);
    }

    fn poll_output(&mut self) -> Option<Output> {
        if let Some(exit) = self.exit.take() {
            return Some(exit);
        }
        loop {
            match self.authority.poll_output() {
                Some(Output::Datagram { bytes, .. }) if !self.is_sending => self.kept.push(bytes),
                Some(output) => return Some(output),
                None => break,
            }
        }
        if self.taken == self.batch
            && let Err(why) = self.batch_is_done()
        {
            self.failed = Some(why);
            self.is_waiting.set(false);
            return Some(Output::Exit);
        }
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.is_waiting.get() { Some(Instant::ZERO) } else { self.authority.poll_timeout() }
    }
}
