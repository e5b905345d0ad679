//! The conversation with a network.

use crate::answers::{Answer, ClientFailure, Receipt, State, Ticket};
use crate::proofs::{Proofs, Verdict};
use crate::trust::Trust;
use bytes::Bytes;
use duohuo_chain::{CommittedBlock, Transaction, Transfer};
use duohuo_core::chain::BlockError;
use duohuo_driver::client::{Client, ClientError, Credentials};
use duohuo_wire::ids::{ClusterId, Height, NodeId};
use duohuo_wire::packet::{
    BlockAnswer, BlockQuery, Packet, Query, QueryScope, StateAnswer, StateQuery, Submit, SubmitAnswer,
    SubmitVerdict, Subscribe,
};
use duohuo_wire::roster::Roster;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A transaction that got no answer for so long is submitted to another master.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first wait after "try later" or a failure; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// A node that could not be reached is left alone for so long.
const REDIAL: Duration = Duration::from_millis(200);
/// How long one look at one connection takes.
const LOOK: Duration = Duration::from_millis(1);
/// Blocks that may come before a subscription is renewed.
const WINDOW: u32 = 256;

enum Stage {
    /// To be submitted, not before then.
    Due(Instant),
    /// Submitted there, at that time, under this request number.
    Sent { to: NodeId, at: Instant, request: u64 },
    /// Committed, as a node says; its block is to prove it.
    Proving { at: Instant, height: Height, applied: bool },
}

struct Submission<T> {
    transaction: T,
    bytes: Bytes,
    stage: Stage,
    pause: Duration,
}

struct Subscription {
    next: Height,
    /// How many more may come.
    left: u32,
    /// Who sends them, and under which request number.
    from: Option<(NodeId, u64)>,
}

/// A network of masters and nodes, as a client uses it.
pub struct Network<T = Transfer> {
    roster: Roster,
    credentials: Credentials,
    trust: Trust,
    links: BTreeMap<NodeId, Client>,
    redial_at: BTreeMap<NodeId, Instant>,
    last_failure: Option<ClientError>,
    /// Grows with every failure: the next in line is asked.
    turn: usize,
    next_request: u64,
    submissions: BTreeMap<Ticket, Submission<T>>,
    /// By request number: submissions that wait for a verdict.
    sent: BTreeMap<u64, Ticket>,
    proofs: Proofs<T>,
    subscription: Option<Subscription>,
    states: BTreeMap<u64, Option<StateAnswer>>,
    blocks: BTreeMap<u64, Option<BlockAnswer>>,
    answers: VecDeque<Answer<T>>,
    told_later: u64,
}

impl<T: Transaction> Network<T> {
    /// Nobody is connected yet.
    #[must_use]
    pub fn new(roster: Roster, credentials: Credentials) -> Self {
        Self {
            trust: Trust::new(&roster),
            roster,
            credentials,
            links: BTreeMap::new(),
            redial_at: BTreeMap::new(),
            last_failure: None,
            turn: 0,
            next_request: 1,
            submissions: BTreeMap::new(),
            sent: BTreeMap::new(),
            proofs: Proofs::new(),
            subscription: None,
            states: BTreeMap::new(),
            blocks: BTreeMap::new(),
            answers: VecDeque::new(),
            told_later: 0,
        }
    }

    /// The masters, as the newest rows say that were heard.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// How often a master said "try later": its pool was full.
    #[must_use]
    pub fn told_later(&self) -> u64 {
        self.told_later
    }

    /// Transactions without an answer yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.submissions.len()
    }

    /// Takes a transaction; [`Network::poll`] submits it, as often as needed, and answers it. Its ID makes that
    /// harmless.
    pub fn submit(&mut self, transaction: T) -> Ticket {
        let ticket = Ticket(self.request());
        let mut bytes = Vec::with_capacity(transaction.length());
        transaction.put(&mut bytes);
        let stage = Stage::Due(Instant::now());
        self.submissions.insert(ticket, Submission { transaction, bytes: bytes.into(), stage, pause: PAUSE });
        ticket
    }

    /// Blocks from this height on, each once and in order, as [`Answer::Block`]; one subscription at a time.
    pub fn subscribe(&mut self, from: Height) {
        self.subscription = Some(Subscription { next: from, left: 0, from: None });
    }

    /// Goes on for at most so long; the next answer, if there is one.
    pub fn poll(&mut self, timeout: Duration) -> Option<Answer<T>> {
        let until = Instant::now() + timeout;
        loop {
            self.submit_due();
            self.renew_subscription();
            self.listen();
            if let Some(answer) = self.answers.pop_front() {
                return Some(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            if self.links.is_empty() {
                std::thread::sleep(left.min(PAUSE));
            }
        }
    }

    /// Submits one transaction and waits for its proof. Answers about others stay for [`Network::poll`].
    ///
    /// # Errors
    /// See [`ClientFailure`].
    pub fn commit(&mut self, transaction: T, timeout: Duration) -> Result<Receipt<T>, ClientFailure> {
        let ticket = self.submit(transaction);
        let is_ours = |answer: &Answer<T>| match answer {
            Answer::Committed(of, _) | Answer::Malformed(of) | Answer::Expired(of) => *of == ticket,
            Answer::Block(..) | Answer::Pruned(_) => false,
        };
        match self.wait_for(timeout, is_ours) {
            Some(Answer::Committed(_, receipt)) => Ok(receipt),
            Some(Answer::Malformed(_)) => Err(ClientFailure::Malformed),
            Some(Answer::Expired(_)) => Err(ClientFailure::Expired),
            Some(Answer::Block(..) | Answer::Pruned(_)) | None => {
                self.submissions.remove(&ticket);
                Err(self.timed_out())
            }
        }
    }

    /// The next block of the subscription, in order; `None`: none came in time, or the height was pruned.
    pub fn next_block(&mut self, timeout: Duration) -> Option<(Height, CommittedBlock)> {
        match self.wait_for(timeout, |a| matches!(a, Answer::Block(..) | Answer::Pruned(_)))? {
            Answer::Block(height, block) => Some((height, block)),
            _ => None,
        }
    }

    fn wait_for(&mut self, timeout: Duration, is_it: impl Fn(&Answer<T>) -> bool) -> Option<Answer<T>> {
        let until = Instant::now() + timeout;
        let mut others = VecDeque::new();
        let found = loop {
            match self.poll(until.saturating_duration_since(Instant::now())) {
                Some(answer) if is_it(&answer) => break Some(answer),
                Some(answer) => others.push_back(answer),
                None => break None,
            }
        };
        others.append(&mut self.answers);
        self.answers = others;
        found
    }

    /// A question about the state, as the application reads it. The answer is one node's word: ask nodes of several
    /// clusters ([`Network::ask_node`]) where that is not enough.
    ///
    /// # Errors
    /// Nobody answered in time.
    pub fn ask(&mut self, question: Bytes, timeout: Duration) -> Result<State, ClientFailure> {
        let until = Instant::now() + timeout;
        while Instant::now() < until {
            let Some(node) = self.somebody() else {
                std::thread::sleep(PAUSE);
                continue;
            };
            if let Ok(state) = self.ask_node(node, question.clone(), PATIENCE.min(timeout)) {
                return Ok(state);
            }
            self.turn += 1;
        }
        Err(self.timed_out())
    }

    /// A question to one node.
    ///
    /// # Errors
    /// It did not answer in time.
    pub fn ask_node(
        &mut self,
        node: NodeId,
        question: Bytes,
        timeout: Duration,
    ) -> Result<State, ClientFailure> {
        let request = self.request();
        let until = Instant::now() + timeout;
        if self.send(node, &StateQuery { request, question, ..Default::default() }.into()) {
            self.states.insert(request, None);
            while Instant::now() < until && self.links.contains_key(&node) {
                self.listen();
                if let Some(Some(StateAnswer { known, height, answer, .. })) = self.states.get(&request) {
                    let state = State { height: *height, answer: known.then(|| answer.clone()) };
                    self.states.remove(&request);
                    return Ok(state);
                }
            }
            self.states.remove(&request);
        }
        Err(self.timed_out())
    }

    /// A committed block, verified; `None`: the nodes that were asked have not got it (not committed yet, or pruned).
    ///
    /// # Errors
    /// Nobody answered in time with a block that holds.
    pub fn block(
        &mut self,
        height: Height,
        timeout: Duration,
    ) -> Result<Option<CommittedBlock>, ClientFailure> {
        let until = Instant::now() + timeout;
        while Instant::now() < until {
            let Some(node) = self.somebody() else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let request = self.request();
            if self.send(node, &BlockQuery { request, height, ..Default::default() }.into()) {
                self.blocks.insert(request, None);
                let answer_by = until.min(Instant::now() + PATIENCE);
                while Instant::now() < answer_by && self.links.contains_key(&node) {
                    self.listen();
                    let Some(Some(answer)) = self.blocks.get(&request) else { continue };
                    if answer.block.is_empty() {
                        self.blocks.remove(&request);
                        return Ok(None);
                    }
                    let bytes = answer.block.clone();
                    match self.verify(node, height, &bytes) {
                        Some(Ok(block)) => {
                            self.blocks.remove(&request);
                            return Ok(Some(block));
                        }
                        Some(Err(())) => break,
                        None => {} // the grants are on their way
                    }
                }
                self.blocks.remove(&request);
            }
            self.turn += 1;
        }
        Err(self.timed_out())
    }

    /// Asks any node who is master, and who was.
    ///
    /// # Errors
    /// Nobody answered in time.
    pub fn find_masters(&mut self, timeout: Duration) -> Result<(), ClientFailure> {
        let until = Instant::now() + timeout;
        while self.trust.masters().len() < self.roster.clusters.len() {
            if Instant::now() >= until {
                return if self.trust.masters().is_empty() { Err(self.timed_out()) } else { Ok(()) };
            }
            match self.somebody() {
                Some(node) => {
                    self.ask_history(node);
                    let answer_by = Instant::now() + PAUSE * 5;
                    while Instant::now() < answer_by.min(until)
                        && self.trust.masters().len() < self.roster.clusters.len()
                    {
                        self.listen();
                    }
                    self.turn += 1;
                }
                None => std::thread::sleep(PAUSE),
            }
        }
        Ok(())
    }

    fn timed_out(&mut self) -> ClientFailure {
        let is_unknown = |(_, master): &(ClusterId, NodeId)| self.roster.node(*master).is_none();
        match self.trust.masters().into_iter().find(is_unknown) {
            Some((cluster, master)) => {
                ClientFailure::OldRoster { version: self.roster.version, cluster, master }
            }
            None => ClientFailure::TimedOut { last: self.last_failure.take() },
        }
    }

    fn request(&mut self) -> u64 {
        let request = self.next_request;
        self.next_request += 1;
        request
    }

    /// Whom to ask: the masters in turn; nodes of the roster until somebody has told who they are.
    fn candidates(&self) -> Vec<NodeId> {
        let masters: Vec<NodeId> = self.trust.masters().into_iter().map(|(_, node)| node).collect();
        let nodes = self.roster.all_nodes().map(|(_, node)| node.id);
        // After a failover the rows are old until somebody else tells: others come after the masters.
        let others: Vec<NodeId> = nodes.filter(|node| !masters.contains(node)).collect();
        let turn = if masters.is_empty() { 0 } else { self.turn % masters.len() };
        let mut all = masters;
        all.rotate_left(turn);
        let at = if others.is_empty() { 0 } else { self.turn % others.len() };
        let mut others = others;
        others.rotate_left(at);
        all.extend(others);
        all
    }

    /// The first of them that can be reached.
    fn somebody(&mut self) -> Option<NodeId> {
        self.candidates().into_iter().find(|node| self.connect(*node))
    }

    fn connect(&mut self, node: NodeId) -> bool {
        if self.links.contains_key(&node) {
            return true;
        }
        let now = Instant::now();
        if self.redial_at.get(&node).is_some_and(|at| now < *at) {
            return false;
        }
        let Some((_, entry)) = self.roster.node(node) else { return false };
        match Client::connect(entry.address, &entry.session_key, &self.credentials, CONNECT_TIMEOUT) {
            Ok(client) => {
                self.links.insert(node, client);
                self.ask_history(node);
                true
            }
            Err(why) => {
                self.last_failure = Some(why);
                self.redial_at.insert(node, now + REDIAL);
                false
            }
        }
    }

    fn ask_history(&mut self, node: NodeId) {
        let request = self.request();
        self.send(node, &Query { request, scope: QueryScope::History, ..Default::default() }.into());
    }

    fn send(&mut self, node: NodeId, packet: &Packet) -> bool {
        if !self.connect(node) {
            return false;
        }
        match self.links.get_mut(&node).map(|link| link.send(packet)) {
            Some(Ok(())) => true,
            Some(Err(why)) => {
                self.lose(node, why);
                false
            }
            None => false,
        }
    }

    /// A connection broke: what was asked by it is asked elsewhere, at once.
    fn lose(&mut self, node: NodeId, why: ClientError) {
        self.links.remove(&node);
        self.redial_at.insert(node, Instant::now() + REDIAL);
        self.last_failure = Some(why);
        self.turn += 1;
        for submission in self.submissions.values_mut() {
            if matches!(submission.stage, Stage::Sent { to, .. } if to == node) {
                submission.stage = Stage::Due(Instant::now());
            }
        }
        let heights = self.proofs.lose(node);
        self.submit_again(&heights, Duration::ZERO);
        if let Some(subscription) = &mut self.subscription
            && subscription.from.is_some_and(|(from, _)| from == node)
        {
            (subscription.from, subscription.left) = (None, 0);
        }
    }

    /// What was to be proven by these blocks is submitted again: whoever is asked then has them.
    fn submit_again(&mut self, heights: &[Height], pause: Duration) {
        let at = Instant::now() + pause;
        for submission in self.submissions.values_mut() {
            if matches!(submission.stage, Stage::Proving { height, .. } if heights.contains(&height)) {
                submission.stage = Stage::Due(at);
            }
        }
    }

    fn submit_due(&mut self) {
        let now = Instant::now();
        let late = self.proofs.late(now, PATIENCE);
        if !late.is_empty() {
            self.turn += 1; // no answer: whoever was asked is not asked first again
            self.submit_again(&late, Duration::ZERO);
        }
        let mut due = Vec::new();
        for (ticket, submission) in &mut self.submissions {
            let is_due = match &submission.stage {
                Stage::Due(at) => now >= *at,
                Stage::Sent { at, .. } | Stage::Proving { at, .. } => now >= *at + PATIENCE,
            };
            if is_due {
                due.push(*ticket);
            }
        }
        for ticket in due {
            let Some(node) = self.somebody() else { return };
            let request = self.request();
            let Some(submission) = self.submissions.get_mut(&ticket) else { continue };
            if let Stage::Sent { request, .. } = submission.stage {
                self.sent.remove(&request);
                self.turn += 1;
            }
            submission.stage = Stage::Sent { to: node, at: now, request };
            self.sent.insert(request, ticket);
            let transaction = submission.bytes.clone();
            self.send(node, &Submit { request, transaction, ..Default::default() }.into());
        }
    }

    fn renew_subscription(&mut self) {
        let Some(subscription) = &self.subscription else { return };
        if subscription.left > WINDOW / 2 {
            return;
        }
        let (next, from) = (subscription.next, subscription.from);
        let node = match from {
            Some((node, _)) => Some(node),
            None => self.somebody(),
        };
        let Some(node) = node else { return };
        let request = self.request();
        let packet = Subscribe { request, from: next, count: WINDOW, ..Default::default() };
        if self.send(node, &packet.into())
            && let Some(subscription) = &mut self.subscription
        {
            (subscription.from, subscription.left) = (Some((node, request)), WINDOW);
        }
    }

    /// Takes what has come.
    fn listen(&mut self) {
        for node in self.links.keys().copied().collect::<Vec<_>>() {
            let mut look = LOOK;
            loop {
                match self.links.get_mut(&node).map(|link| link.recv(look)) {
                    Some(Ok(Some(packet))) => self.take(node, packet),
                    Some(Ok(None)) | None => break,
                    Some(Err(why)) => {
                        self.lose(node, why);
                        break;
                    }
                }
                look = Duration::ZERO;
            }
        }
    }

    fn take(&mut self, node: NodeId, packet: Packet) {
        match packet {
            Packet::SubmitAnswer(answer) => self.on_submit_answer(node, &answer),
            Packet::StateAnswer(answer) => {
                if let Some(place) = self.states.get_mut(&answer.request) {
                    *place = Some(answer);
                }
            }
            Packet::BlockAnswer(answer) => self.on_block(node, answer),
            packet => {
                if self.trust.learn(&packet) {
                    self.prove_again();
                }
            }
        }
    }

    fn on_submit_answer(&mut self, node: NodeId, answer: &SubmitAnswer) {
        let Some(ticket) = self.sent.remove(&answer.request) else { return };
        let Some(submission) = self.submissions.get_mut(&ticket) else { return };
        if !matches!(submission.stage, Stage::Sent { request, .. } if request == answer.request) {
            return; // the connection broke, and it is submitted elsewhere
        }
        let now = Instant::now();
        let wait = |submission: &mut Submission<T>| {
            submission.stage = Stage::Due(now + submission.pause);
            submission.pause = (submission.pause * 2).min(MAX_PAUSE);
        };
        match answer.verdict {
            SubmitVerdict::Committed | SubmitVerdict::Refused => {
                let (height, applied) = (answer.height, answer.verdict == SubmitVerdict::Committed);
                submission.stage = Stage::Proving { at: now, height, applied };
                if self.proofs.lacks(height) {
                    let request = self.request();
                    self.proofs.asked(height, node, now, request);
                    self.send(node, &BlockQuery { request, height, ..Default::default() }.into());
                }
                self.prove(height, &[ticket]);
            }
            SubmitVerdict::TryLater => {
                self.told_later += 1;
                wait(submission);
            }
            SubmitVerdict::NotMaster => {
                wait(submission);
                self.turn += 1;
                self.ask_history(node);
            }
            SubmitVerdict::Malformed => {
                self.submissions.remove(&ticket);
                self.answers.push_back(Answer::Malformed(ticket));
            }
            SubmitVerdict::Expired => {
                self.submissions.remove(&ticket);
                self.answers.push_back(Answer::Expired(ticket));
            }
        }
    }

    fn on_block(&mut self, node: NodeId, answer: BlockAnswer) {
        if let Some(place) = self.blocks.get_mut(&answer.request) {
            *place = Some(answer);
            return;
        }
        let subscribed = self.subscription.as_ref().and_then(|s| s.from);
        if subscribed == Some((node, answer.request)) {
            self.on_next_block(node, &answer);
            return;
        }
        if let Some(height) = self.proofs.arrived(node, answer.request, &answer.block) {
            self.prove_all(height);
        }
    }

    fn on_next_block(&mut self, node: NodeId, answer: &BlockAnswer) {
        let Some(subscription) = &mut self.subscription else { return };
        if answer.height != subscription.next {
            return;
        }
        if answer.block.is_empty() {
            self.answers.push_back(Answer::Pruned(answer.height));
            self.subscription = None;
            return;
        }
        match self.verify(node, answer.height, &answer.block) {
            Some(Ok(block)) => {
                self.answers.push_back(Answer::Block(answer.height, block));
                if let Some(subscription) = &mut self.subscription {
                    subscription.next = answer.height.next();
                    subscription.left = subscription.left.saturating_sub(1);
                }
            }
            // Not known yet who signed it, or not what it should be: asked for again, in the second case elsewhere.
            Some(Err(())) | None => {
                if let Some(subscription) = &mut self.subscription {
                    (subscription.from, subscription.left) = (None, 0);
                }
            }
        }
    }

    /// `None`: a grant is not known, and was asked for.
    fn verify(&mut self, from: NodeId, height: Height, block: &Bytes) -> Option<Result<CommittedBlock, ()>> {
        match self.trust.verify(block) {
            Ok(block) if block.certificate.height == height => Some(Ok(block)),
            Err(BlockError::UnknownGrant(..)) => {
                self.ask_history(from);
                None
            }
            Ok(_) | Err(_) => {
                self.turn += 1;
                Some(Err(()))
            }
        }
    }

    /// More may be known now of who signed the blocks that are here.
    fn prove_again(&mut self) {
        for height in self.proofs.unverified() {
            self.prove_all(height);
        }
    }

    fn prove_all(&mut self, height: Height) {
        let stands_there =
            |s: &Submission<T>| matches!(s.stage, Stage::Proving { height: at, .. } if at == height);
        let tickets: Vec<Ticket> =
            self.submissions.iter().filter(|(_, s)| stands_there(s)).map(|(ticket, _)| *ticket).collect();
        self.prove(height, &tickets);
    }

    /// Answers those of these submissions that the block of a height proves.
    fn prove(&mut self, height: Height, tickets: &[Ticket]) {
        match self.proofs.examine(height, &mut self.trust) {
            Verdict::Waits => return,
            Verdict::Proven => {}
            // It lied, or has not got the block any more: somebody else is asked.
            Verdict::Worthless => {
                self.turn += 1;
                return self.submit_again(&[height], PAUSE);
            }
        }
        for ticket in tickets {
            let Some(submission) = self.submissions.get_mut(ticket) else { continue };
            let Stage::Proving { applied, .. } = submission.stage else { continue };
            match self.proofs.receipt(height, submission.transaction.id(), applied) {
                Some(receipt) => {
                    self.submissions.remove(ticket);
                    self.answers.push_back(Answer::Committed(*ticket, receipt));
                }
                None => {
                    self.turn += 1;
                    submission.stage = Stage::Due(Instant::now() + submission.pause);
                }
            }
        }
    }
}
