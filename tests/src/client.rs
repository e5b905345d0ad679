//! A client as a machine: keeps one stream per cluster's master and submits transfers until each is answered.

use bytes::Bytes;
use core::time::Duration;
use duohuo_chain::transaction::Transfer;
use duohuo_core::Instant;
use duohuo_core::chain::TransactionId;
use duohuo_core::io::{Input, Machine, Output, StreamId};
use duohuo_wire::handshake::{Initiation, Initiator, Keys, Prologue, Transport};
use duohuo_wire::header::{Header, MAX_FRAME};
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::order::SignedOrder;
use duohuo_wire::packet::{Order, OrderOutcome, Packet, Probe, StatusQuery, Submit, SubmitVerdict};
use duohuo_wire::rehearsal::{self, Rehearsed};
use duohuo_wire::roster::Roster;
use duohuo_wire::stream::FrameReader;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Between two attempts to reach one node.
const REDIAL: Duration = Duration::from_millis(20);
/// A transfer that got no answer for so long is submitted elsewhere.
const PATIENCE: Duration = Duration::from_millis(300);

/// A transfer that is not committed yet.
#[derive(Clone, Copy)]
struct Waiting {
    transfer: Transfer,
    /// When it is submitted again.
    again_at: Instant,
    /// How often nobody took it.
    refused: u32,
}

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
    /// Those that nobody has looked at yet.
    pub fresh: Vec<(TransactionId, Height)>,
    /// Submitted so far.
    pub submitted: u64,
    /// Orders to be handed in to the authority, in this order, each until it is answered.
    pub orders: VecDeque<SignedOrder>,
    /// What became of the orders, by their numbers.
    pub answered: Vec<(u64, OrderOutcome)>,
    /// Nodes that are to be asked to rehearse a takeover.
    pub to_rehearse: VecDeque<NodeId>,
    /// What they answered.
    pub rehearsed: Vec<(NodeId, Rehearsed)>,
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
    /// Before that nobody need be dialled, as long as no stream ends and there are orders as before.
    dial_at: Instant,
    had_orders: bool,
    next_stream: u64,
    next_session: u64,
    next_transfer: u64,
    waiting: BTreeMap<u64, Waiting>,
    /// The same by the time when each is submitted again.
    again: BTreeSet<(Instant, u64)>,
    /// When the order at hand is handed in again.
    order_at: Instant,
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
            dial_at: Instant::ZERO,
            had_orders: false,
            next_stream: 1,
            next_session: 1,
            next_transfer: 1,
            waiting: BTreeMap::new(),
            again: BTreeSet::new(),
            order_at: Instant::ZERO,
            targets,
            turn: 0,
            out: VecDeque::new(),
            now: Instant::ZERO,
            height: Height(0),
            book,
        }
    }

    fn dial_missing(&mut self) {
        let has_orders = !self.book.borrow().orders.is_empty();
        if self.now < self.dial_at && has_orders == self.had_orders {
            return;
        }
        (self.had_orders, self.dial_at) = (has_orders, Instant::ZERO);
        let nodes_dialled = self.links.values().filter(|l| l.to != NodeId::AUTHORITY).count();
        if nodes_dialled == self.targets.len() && !has_orders {
            self.dial_at = Instant::from_nanos(u64::MAX);
            return;
        }
        let authority = has_orders.then_some((NodeId::AUTHORITY, self.roster.authority.address));
        let mut next = Instant::from_nanos(u64::MAX);
        for (node, to) in self.roster.all_nodes().map(|(_, n)| (n.id, n.address)).chain(authority) {
            if self.links.values().any(|l| l.to == node) {
                continue;
            }
            if let Some(at) = self.redial_at.get(&node).filter(|at| self.now < **at) {
                next = next.min(*at);
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
        self.dial_at = next;
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
        let is_up = |(_, l): &(&StreamId, &Link)| matches!(l.state, State::Up { .. });
        let links: Vec<(NodeId, StreamId)> =
            self.links.iter().filter(is_up).map(|(stream, l)| (l.to, *stream)).collect();
        let stream_to = |node: &NodeId| links.iter().find(|(to, _)| to == node).map(|(_, stream)| *stream);
        let up: Vec<StreamId> = self.targets.iter().filter_map(stream_to).collect();
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

    /// The first order that is not answered, to the authority.
    fn hand_in(&mut self) {
        if self.now < self.order_at {
            return;
        }
        let Some(order) = self.book.borrow().orders.front().cloned() else { return };
        let up = |l: &Link| l.to == NodeId::AUTHORITY && matches!(l.state, State::Up { .. });
        let Some(stream) = self.links.iter().find(|(_, l)| up(l)).map(|(stream, _)| *stream) else { return };
        self.order_at = self.now + PATIENCE;
        let packet = Packet::from(Order { request: order.number, order, ..Default::default() });
        self.send(stream, &packet);
    }

    fn ask_to_rehearse(&mut self) {
        let Some(node) = self.book.borrow().to_rehearse.front().copied() else { return };
        let up = |l: &Link| l.to == node && matches!(l.state, State::Up { .. });
        let Some(stream) = self.links.iter().find(|(_, l)| up(l)).map(|(stream, _)| *stream) else { return };
        self.book.borrow_mut().to_rehearse.pop_front();
        let query = StatusQuery { request: 1, extensions: rehearsal::asking() };
        self.send(stream, &Packet::from(query));
    }

    fn on_order_answer(&mut self, request: u64, outcome: OrderOutcome) {
        let mut book = self.book.borrow_mut();
        if book.orders.front().is_some_and(|order| order.number == request) {
            book.orders.pop_front();
            book.answered.push((request, outcome));
            self.order_at = self.now;
        }
    }

    fn on_packet(&mut self, from: NodeId, packet: Packet) {
        let answer = match packet {
            Packet::SubmitAnswer(answer) => answer,
            Packet::OrderAnswer(answer) => return self.on_order_answer(answer.request, answer.outcome),
            Packet::StatusAnswer(answer) => {
                let rehearsed = Rehearsed::of(&answer.extensions).map(|rehearsed| (from, rehearsed));
                return self.book.borrow_mut().rehearsed.extend(rehearsed);
            }
            _ => return,
        };
        let Some(Waiting { transfer, .. }) = self.waiting.get(&answer.request).copied() else {
            return;
        };
        self.height = self.height.max(answer.height);
        match answer.verdict {
            SubmitVerdict::Committed | SubmitVerdict::Refused => {
                if let Some(waiting) = self.waiting.remove(&answer.request) {
                    self.again.remove(&(waiting.again_at, answer.request));
                }
                let mut book = self.book.borrow_mut();
                book.committed.insert(transfer.id, answer.height);
                book.fresh.push((transfer.id, answer.height));
                drop(book);
                // Whoever commits is worth asking again.
                self.targets.retain(|n| *n != from);
                self.targets.insert(0, from);
            }
            _ => {
                // Not a master: another may be. The longer there is none, the more seldom it is tried.
                let (now, patience) = (self.now, self.patience());
                if let Some(waiting) = self.waiting.get_mut(&answer.request) {
                    let pause = Duration::from_millis(5) * (1 << (waiting.refused / 8).min(10));
                    self.again.remove(&(waiting.again_at, answer.request));
                    waiting.again_at = now + pause.min(patience);
                    waiting.refused += 1;
                    self.again.insert((waiting.again_at, answer.request));
                }
            }
        }
    }

    fn patience(&self) -> Duration {
        PATIENCE.max(self.rate)
    }

    fn step(&mut self) {
        self.dial_missing();
        self.hand_in();
        self.ask_to_rehearse();
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
            let again_at = self.now + self.patience();
            self.waiting.insert(n, Waiting { transfer, again_at, refused: 0 });
            self.again.insert((again_at, n));
            self.submit(n, &transfer);
            self.next_at = self.now + self.rate;
        }
        let due = self.again.range(..=(self.now, u64::MAX));
        let mut due: Vec<u64> = due.map(|(_, request)| *request).collect();
        due.sort_unstable();
        for request in due {
            let again_at = self.now + self.patience();
            if let Some(waiting) = self.waiting.get_mut(&request) {
                self.again.remove(&(waiting.again_at, request));
                self.again.insert((again_at, request));
                waiting.again_at = again_at;
                let transfer = waiting.transfer;
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
                    // The node believes nobody who has not proved the keys, and closes the stream after a while.
                    self.send(stream, &Packet::from(Probe::default()));
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
                let server_key = match self.roster.node(link.to) {
                    Some((_, server)) => server.session_key,
                    None => self.roster.authority.session_key,
                };
                let session = self.next_session;
                self.next_session += 1;
                let mut ephemeral = [7; 32];
                ephemeral[..8].copy_from_slice(&session.to_be_bytes());
                let prologue = Prologue { consortium: self.roster.consortium, transport: Transport::Stream };
                let started = Initiation {
                    local: &self.secret,
                    remote_public: &server_key,
                    prologue: &prologue,
                    ephemeral,
                    timestamp: [0; 12],
                    session,
                    cookie: None,
                    sender: self.id,
                    versions: None,
                }
                .begin();
                if let Ok((initiator, init)) = started {
                    link.state = State::Handshake(Box::new(initiator));
                    let bytes = Packet::from(init).encode_unsealed(self.id).freeze();
                    self.out.push_back(Output::StreamBytes { stream, bytes });
                }
            }
            Input::StreamBytes { stream, bytes } => self.on_bytes(stream, &bytes),
            Input::StreamClosed { stream } => {
                self.links.remove(&stream);
                self.dial_at = Instant::ZERO;
            }
            Input::Roster(roster) => {
                // The operator brings it to clients as to the authority: those who lead may all have been enrolled since.
                self.targets = roster.all_nodes().map(|(_, n)| n.id).collect();
                self.roster = *roster;
                self.dial_at = Instant::ZERO;
            }
            _ => {}
        }
        self.step();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let again = self.again.first().map(|(at, _)| *at);
        // Often enough for its rate, and for dialling whom it lost.
        Some(again.map_or(self.now + self.rate, |at| at.min(self.now + self.rate)))
    }
}
