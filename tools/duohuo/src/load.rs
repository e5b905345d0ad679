//! The client: submits transfers all the time, follows the masters, and submits again under the same id until answered.

use crate::access::{Access, Server};
use crate::network::ACCOUNTS;
use duohuo_chain::Transfer;
use duohuo_core::chain::TransactionId;
use duohuo_driver::client::{Client, ClientError};
use duohuo_driver::keys;
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::packet::{Packet, Submit, SubmitAnswer, SubmitVerdict};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two new transfers: 200 a second.
const SUBMIT_INTERVAL: Duration = Duration::from_millis(5);
/// Most without an answer at a time.
const OUTSTANDING: usize = 64;
/// A node that does not answer for so long is left for another.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(10);
/// Heights in which a transfer may be committed; the chain allows 1000.
const VALID_FOR: u64 = 900;

/// What the client did, readable at any time.
#[derive(Debug, Default)]
pub struct LoadState {
    /// The chain's height, as the observer knows it.
    pub height: AtomicU64,
    /// Different transfers submitted.
    pub submitted: AtomicU64,
    /// Answered: committed.
    pub committed: AtomicU64,
    /// Answered: committed without effect, expired or malformed; none of these may happen here.
    pub failed: AtomicU64,
    /// Submitted again after a node went away.
    pub repeated: AtomicU64,
    /// Not yet answered.
    pub outstanding: AtomicU64,
    ids: Mutex<Vec<[u8; 16]>>,
}

/// The running client.
#[derive(Debug)]
pub struct Load {
    /// What it did so far.
    pub state: Arc<LoadState>,
    finish: Arc<AtomicBool>,
    abandon: Arc<AtomicBool>,
    avoided: Arc<Mutex<BTreeSet<NodeId>>>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// A client of these means, from now on.
    #[must_use]
    pub fn start(access: Access) -> Self {
        let state = Arc::new(LoadState::default());
        let (finish, abandon) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let avoided = Arc::default();
        let worker = Worker {
            avoided: Arc::clone(&avoided),
            servers: access.nodes(),
            access,
            state: Arc::clone(&state),
            finish: Arc::clone(&finish),
            abandon: Arc::clone(&abandon),
            pending: BTreeMap::new(),
            next_request: 1,
        };
        let thread = std::thread::spawn(move || worker.run());
        Self { state, finish, abandon, avoided, thread: Some(thread) }
    }

    /// From now on it uses none of these nodes.
    pub fn avoid(&self, nodes: BTreeSet<NodeId>) {
        *self.avoided.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    /// Submit nothing new, and wait until all is answered; `false`: not in time.
    pub fn finish(&mut self, timeout: Duration) -> bool {
        self.finish.store(true, Ordering::Relaxed);
        let until = Instant::now() + timeout;
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) {
            if Instant::now() >= until {
                self.stop();
                return false;
            }
            std::thread::sleep(PAUSE);
        }
        self.stop();
        self.state.outstanding.load(Ordering::Relaxed) == 0
    }

    fn stop(&mut self) {
        self.abandon.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// All ids ever submitted.
    #[must_use]
    pub fn ids(&self) -> Vec<[u8; 16]> {
        self.state.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Pending {
    transaction: bytes::Bytes,
    /// When to send it (again).
    send_at: Instant,
    sent: bool,
    sent_at: Instant,
}

struct Worker {
    avoided: Arc<Mutex<BTreeSet<NodeId>>>,
    access: Access,
    servers: Vec<Server>,
    state: Arc<LoadState>,
    finish: Arc<AtomicBool>,
    abandon: Arc<AtomicBool>,
    pending: BTreeMap<u64, Pending>,
    next_request: u64,
}

impl Worker {
    fn run(mut self) {
        let mut go_to = None;
        while !self.is_done() {
            let server = go_to.take().and_then(|at| self.server_at(at)).or_else(|| self.next_server());
            let Some(server) = server else { return };
            match self.access.connect(&server, CONNECT_TIMEOUT) {
                Ok(client) => go_to = self.serve(server, client).unwrap_or(None),
                Err(_) => std::thread::sleep(PAUSE),
            }
            let now = Instant::now();
            for pending in self.pending.values_mut() {
                pending.send_at = now;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.abandon.load(Ordering::Relaxed)
            || (self.finish.load(Ordering::Relaxed) && self.pending.is_empty())
    }

    fn is_avoided(&self, server: Server) -> bool {
        self.avoided.lock().unwrap_or_else(PoisonError::into_inner).contains(&server.id)
    }

    /// `None`: all are avoided.
    fn next_server(&mut self) -> Option<Server> {
        if !self.servers.is_empty() {
            self.servers.rotate_left(1);
        }
        self.servers.iter().copied().find(|server| !self.is_avoided(*server))
    }

    fn server_at(&self, address: SocketAddr) -> Option<Server> {
        self.servers.iter().find(|s| s.address == address && !self.is_avoided(**s)).copied()
    }

    /// Use one node until it fails, does not answer, is avoided, or is not master: then where to go.
    fn serve(&mut self, server: Server, mut client: Client) -> Result<Option<SocketAddr>, ClientError> {
        let mut submit_at = Instant::now();
        let mut trusted_until = Instant::now() + ANSWER_TIMEOUT;
        while !self.is_done() && !self.is_avoided(server) {
            let now = Instant::now();
            if now >= submit_at {
                self.make_transfer(now);
                submit_at = (submit_at + SUBMIT_INTERVAL).max(now);
            }
            self.send_due(&mut client, now)?;
            match client
                .recv(submit_at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)))?
            {
                Some(Packet::SubmitAnswer(answer)) => {
                    if answer.verdict == SubmitVerdict::NotMaster {
                        std::thread::sleep(PAUSE);
                        return Ok(answer.master);
                    }
                    trusted_until = Instant::now() + ANSWER_TIMEOUT;
                    self.answered(&answer);
                }
                Some(_) => {}
                None => {
                    let waits =
                        self.pending.values().any(|p| p.sent && p.sent_at + ANSWER_TIMEOUT < Instant::now());
                    if waits && Instant::now() > trusted_until {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    fn make_transfer(&mut self, now: Instant) {
        if self.finish.load(Ordering::Relaxed) || self.pending.len() >= OUTSTANDING {
            return;
        }
        let random = keys::random();
        let id = random.first_chunk::<16>().copied().unwrap_or_default();
        let account = |byte: Option<&u8>| u32::from(byte.copied().unwrap_or(0)) % ACCOUNTS + 1;
        let transfer = Transfer {
            id: TransactionId(id),
            from: account(random.get(16)),
            to: account(random.get(17)),
            amount: u64::from(random.get(18).copied().unwrap_or(0)) + 1,
            valid_until: Height(self.state.height.load(Ordering::Relaxed) + VALID_FOR),
        };
        let mut transaction = Vec::new();
        transfer.encode(&mut transaction);
        self.pending.insert(
            self.next_request,
            Pending { transaction: transaction.into(), send_at: now, sent: false, sent_at: now },
        );
        self.next_request += 1;
        self.state.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.state.submitted.fetch_add(1, Ordering::Relaxed);
        self.state.outstanding.store(self.pending.len() as u64, Ordering::Relaxed);
    }

    fn send_due(&mut self, client: &mut Client, now: Instant) -> Result<(), ClientError> {
        for (request, pending) in self.pending.iter_mut().filter(|(_, p)| p.send_at <= now) {
            if pending.sent {
                self.state.repeated.fetch_add(1, Ordering::Relaxed);
            }
            pending.sent = true;
            pending.sent_at = now;
            // until an answer or another session
            pending.send_at = now + Duration::from_secs(3600);
            let submit =
                Submit { request: *request, transaction: pending.transaction.clone(), ..Default::default() };
            client.send(&Packet::from(submit))?;
        }
        Ok(())
    }

    fn answered(&mut self, answer: &SubmitAnswer) {
        let counter = match answer.verdict {
            SubmitVerdict::Committed => &self.state.committed,
            SubmitVerdict::Refused | SubmitVerdict::Malformed | SubmitVerdict::Expired => &self.state.failed,
            SubmitVerdict::TryLater | SubmitVerdict::NotMaster => {
                if let Some(pending) = self.pending.get_mut(&answer.request) {
                    pending.send_at = Instant::now() + PAUSE;
                }
                return;
            }
        };
        if self.pending.remove(&answer.request).is_some() {
            counter.fetch_add(1, Ordering::Relaxed);
            self.state.outstanding.store(self.pending.len() as u64, Ordering::Relaxed);
        }
    }
}
