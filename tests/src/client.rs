//! A client as a machine: keeps one stream per cluster's master and submits transfers until each is answered.

use bytes::Bytes;
use core::net::SocketAddr;
use core::time::Duration;
use duohuo_chain::transaction::Transfer;
use duohuo_core::Instant;
use duohuo_core::chain::TransactionId;
use duohuo_core::io::{Input, Machine, Output, StreamId};
use duohuo_wire::handshake::{Initiator, Keys, Prologue, Transport};
use duohuo_wire::header::{Header, MAX_FRAME};
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::packet::{Packet, Submit, SubmitVerdict};
use duohuo_wire::roster::Roster;
use duohuo_wire::stream::FrameReader;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// Between two attempts to reach one node.
const REDIAL: Duration = Duration::from_millis(20);
/// A transfer that got no answer for so long is submitted elsewhere.
const PATIENCE: Duration = Duration::from_millis(300);

enum State {
    Dialling,
    Handshake(Box<Initiator>),
    Up { keys: Box<Keys>, session: u64, sent: u64 },
}

struct Link {
    to: NodeId,
    state: State,
    reader: FrameReader,
}

/// What the client was answered: kept outside of its machine, so that a scenario can read it.
#[derive(Default)]
pub struct Book {
    /// Answered as committed, and where.
    pub committed: BTreeMap<TransactionId, Height>,
    /// Submitted so far.
    pub submitted: u64,
}

/// Submits `rate` transfers a second, round robin over the nodes, each until it is committed.
pub struct Client {
    id: NodeId,
    secret: [u8; 32],
    roster: Roster,
    rate: Duration,
    next_at: Instant,
    until: Instant,
    links: BTreeMap<StreamId, Link>,
    redial_at: BTreeMap<NodeId, Instant>,
    next_stream: u64,
    next_session: u64,
    next_transfer: u64,
    waiting: BTreeMap<u64, (Transfer, Instant)>,
    /// Which nodes to try, newest hint first.
    targets: Vec<NodeId>,
    turn: usize,
    out: VecDeque<Output>,
    now: Instant,
    /// The height last told in an answer: transfers are valid for a while from there.
    height: Height,
    book: Rc<RefCell<Book>>,
}

impl Client {
    /// A client that submits one transfer every `rate` until `until`.
    #[must_use]
    pub fn new(
        id: NodeId,
        secret: [u8; 32],
        roster: Roster,
        rate: Duration,
        until: Instant,
        book: Rc<RefCell<Book>>,
    ) -> Self {
        let targets = roster.all_nodes().map(|(_, n)| n.id).collect();
        Self {
            id,
            secret,
            roster,
            rate,
            next_at: Instant::ZERO,
            until,
            links: BTreeMap::new(),
            redial_at: BTreeMap::new(),
            next_stream: 1,
            next_session: 1,
            next_transfer: 1,
            waiting: BTreeMap::new(),
            targets,
            turn: 0,
            out: VecDeque::new(),
            now: Instant::ZERO,
            height: Height(0),
            book,
        }
    }

    fn dial_missing(&mut self) {
        let nodes: Vec<(NodeId, SocketAddr)> =
            self.roster.all_nodes().map(|(_, n)| (n.id, n.address)).collect();
        for (node, to) in nodes {
            let due = self.redial_at.get(&node).is_none_or(|at| self.now >= *at);
            if !due || self.links.values().any(|l| l.to == node) {
                continue;
            }
            self.redial_at.insert(node, self.now + REDIAL.max(self.rate));
            let stream = StreamId(self.next_stream);
            self.next_stream += 2;
            self.links.insert(
                stream,
                Link { to: node, state: State::Dialling, reader: FrameReader::new(MAX_FRAME) },
            );
            self.out.push_back(Output::Dial { stream, to });
        }
    }

    fn send(&mut self, stream: StreamId, packet: &Packet) {
        let id = self.id;
        let Some(link) = self.links.get_mut(&stream) else {
            return;
        };
        let State::Up { keys, session, sent } = &mut link.state else {
            return;
        };
        let bytes = keys.sealing.seal(packet, id, *session, *sent);
        *sent += 1;
        self.out.push_back(Output::StreamBytes { stream, bytes });
    }

    /// To every node that is up, in turn: those that are not master say so at once.
    fn submit(&mut self, request: u64, transfer: &Transfer) {
        let up: Vec<StreamId> = self
            .targets
            .iter()
            .filter_map(|node| {
                self.links
                    .iter()
                    .find(|(_, l)| l.to == *node && matches!(l.state, State::Up { .. }))
                    .map(|(stream, _)| *stream)
            })
            .collect();
        if up.is_empty() {
            return;
        }
        let stream = up[self.turn % up.len()];
        self.turn += 1;
        let mut transaction = Vec::new();
        transfer.encode(&mut transaction);
        let packet = Packet::from(Submit { request, transaction: transaction.into(), ..Default::default() });
        self.send(stream, &packet);
    }

    fn on_packet(&mut self, from: NodeId, packet: Packet) {
        let Packet::SubmitAnswer(answer) = packet else {
            return;
        };
        let Some((transfer, _)) = self.waiting.get(&answer.request).copied() else {
            return;
        };
        self.height = self.height.max(answer.height);
        match answer.verdict {
            SubmitVerdict::Committed | SubmitVerdict::Refused => {
                self.waiting.remove(&answer.request);
                self.book.borrow_mut().committed.insert(transfer.id, answer.height);
                // Whoever commits is worth asking again.
                self.targets.retain(|n| *n != from);
                self.targets.insert(0, from);
            }
            _ => {
                if let Some((_, at)) = self.waiting.get_mut(&answer.request) {
                    *at = self.now + Duration::from_millis(5);
                }
            }
        }
    }

    fn step(&mut self) {
        self.dial_missing();
        if self.now >= self.next_at && self.now < self.until {
            let n = self.next_transfer;
            self.next_transfer += 1;
            let mut id = [0; 16];
            id[8..].copy_from_slice(&n.to_be_bytes());
            let transfer = Transfer {
                id: TransactionId(id),
                from: u32::try_from(n % 16).unwrap_or(0),
                to: u32::try_from((n + 1) % 16).unwrap_or(0),
                amount: 1 + n % 7,
                valid_until: Height(self.height.0 + 900),
            };
            self.book.borrow_mut().submitted += 1;
            self.waiting.insert(n, (transfer, self.now + PATIENCE));
            self.submit(n, &transfer);
            self.next_at = self.now + self.rate;
        }
        let due: Vec<u64> =
            self.waiting.iter().filter(|(_, (_, at))| self.now >= *at).map(|(r, _)| *r).collect();
        for request in due {
            if let Some((transfer, at)) = self.waiting.get_mut(&request) {
                *at = self.now + PATIENCE;
                let transfer = *transfer;
                self.submit(request, &transfer);
            }
        }
    }

    fn on_bytes(&mut self, stream: StreamId, bytes: &Bytes) {
        let Some(link) = self.links.get_mut(&stream) else {
            return;
        };
        link.reader.push(bytes);
        loop {
            let Some(link) = self.links.get_mut(&stream) else {
                return;
            };
            let Ok(Some(frame)) = link.reader.next() else {
                return;
            };
            match &mut link.state {
                State::Handshake(initiator) => {
                    let Ok((_, Packet::HandshakeResponse(response))) = Packet::decode_unsealed(&frame) else {
                        return;
                    };
                    let Ok(keys) = initiator.try_finish(&response) else {
                        return;
                    };
                    link.state =
                        State::Up { keys: Box::new(keys), session: response.responder_session, sent: 0 };
                }
                State::Up { keys, .. } => {
                    let Ok(header) = Header::decode(&frame) else {
                        return;
                    };
                    let Ok(packet) = keys.opening.open(&header, &frame) else {
                        return;
                    };
                    let from = link.to;
                    self.on_packet(from, packet);
                }
                State::Dialling => return,
            }
        }
    }
}

impl Machine for Client {
    fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        match input {
            Input::StreamOpened { stream } => {
                let Some(link) = self.links.get_mut(&stream) else {
                    return;
                };
                let Some((_, server)) = self.roster.node(link.to) else {
                    return;
                };
                let session = self.next_session;
                self.next_session += 1;
                let mut ephemeral = [7; 32];
                ephemeral[..8].copy_from_slice(&session.to_be_bytes());
                let prologue = Prologue { consortium: self.roster.consortium, transport: Transport::Stream };
                let started = Initiator::start(
                    &self.secret,
                    &server.session_key,
                    &prologue,
                    ephemeral,
                    [0; 12],
                    session,
                    None,
                    self.id,
                );
                if let Ok((initiator, init)) = started {
                    link.state = State::Handshake(Box::new(initiator));
                    let bytes = Packet::from(init).encode_unsealed(self.id).freeze();
                    self.out.push_back(Output::StreamBytes { stream, bytes });
                }
            }
            Input::StreamBytes { stream, bytes } => self.on_bytes(stream, &bytes),
            Input::StreamClosed { stream } => {
                self.links.remove(&stream);
            }
            _ => {}
        }
        self.step();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // Often enough for its rate, its retries, and dialling whom it lost.
        Some(self.now + self.rate)
    }
}
