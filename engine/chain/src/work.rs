//! One height: the consensus core, fed and replayed (research/consensus.md sections 5 and 6).

use crate::Timing;
use crate::application::Application;
use crate::block::{BLOCK_HEADER_BYTES, BlockOf, MAX_BLOCK_BYTES, id_of};
use crate::context::{Address, BlockId, ChainHeight, Context, SignedProposal, ValidatorSet};
use crate::effects::{Handler, Side, Word};
use crate::keys::Keys;
use crate::ledger::LedgerOf;
use crate::message::{Hello, MAX_HELLO_BODIES, Message};
use crate::pool::Pool;
use crate::record::Entry;
use arc_malachitebft_core_consensus::{
    Error, Input, LocallyProposedValue, Params, ProposedValue, State, ValuePayload, process,
};
use arc_malachitebft_core_types::{Round, Timeout, Validity, ValueOrigin, VoteExtensionPolicy};
use bytes::Bytes;
use duohuo_core::chain::{ChainOutput, HaltReason, Record};
use duohuo_core::time::Instant;
use duohuo_wire::ids::{ClusterId, Epoch, Height};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Blocks from one cluster that no proposal has named yet.
const MAX_UNCLAIMED: usize = 2;

/// Bytes of blocks in the answer to one hello: two of the greatest size, half of what a stream may have in its queue.
const MAX_ANSWER_BYTES: usize = 2 * MAX_BLOCK_BYTES;

/// What a height's work needs from the chain around it.
pub(crate) struct Around<'a, A: Application> {
    pub(crate) keys: &'a mut Keys,
    pub(crate) outputs: &'a mut VecDeque<ChainOutput>,
    pub(crate) ledger: &'a LedgerOf<A>,
    pub(crate) pool: &'a Pool<A::Transaction>,
    pub(crate) timing: &'a Timing,
    pub(crate) parent_commit_round: u32,
    pub(crate) now: Instant,
}

/// A height in work.
pub(crate) struct Work {
    core: State<Context>,
    pub(crate) side: Side,
    queue: VecDeque<Input<Context>>,
    unclaimed: BTreeMap<ClusterId, VecDeque<(BlockId, Bytes)>>,
    /// Our own blocks by round, from the log: a proposer that died before it proposed offers the same block again.
    own_values: BTreeMap<u32, BlockId>,
}

impl Work {
    /// Starts the core at the height after the ledger's, from the log if there is one.
    pub(crate) fn start<A: Application>(
        cluster: ClusterId,
        epoch: Epoch,
        log: &[Record],
        around: &mut Around<'_, A>,
    ) -> Self {
        let height = around.ledger.height().next();
        let set = ValidatorSet::new(around.ledger.turns());
        let params = Params {
            address: Address(cluster),
            threshold_params: arc_malachitebft_core_consensus::ThresholdParams::default(),
            value_payload: ValuePayload::ProposalAndParts,
            enabled: true,
        };
        let mut work = Self {
            // The core's own queue for later heights is not used: embedded.rs keeps early messages.
            core: State::new(Context, ChainHeight::from(height), set.clone(), params, 1, 1),
            side: Side::new(height, cluster, epoch),
            queue: VecDeque::new(),
            unclaimed: BTreeMap::new(),
            own_values: BTreeMap::new(),
        };
        let start =
            Input::StartHeight(ChainHeight::from(height), set, false, None, VoteExtensionPolicy::Disabled);
        if log.is_empty() {
            work.feed(start, around);
        } else {
            work.replay(start, log, around);
        }
        work
    }

    /// Gives the core an input, and what follows from it.
    pub(crate) fn feed<A: Application>(&mut self, input: Input<Context>, around: &mut Around<'_, A>) {
        self.queue.push_back(input);
        self.run(around);
    }

    fn run<A: Application>(&mut self, around: &mut Around<'_, A>) {
        while let Some(input) = self.queue.pop_front() {
            self.process(input, around);
            if self.is_over() {
                self.queue.clear();
                return;
            }
            self.offer_bodies(around);
            self.propose(around);
        }
    }

    /// Decided or halted: the core gets nothing more.
    pub(crate) fn is_over(&self) -> bool {
        self.side.decided.is_some() || self.side.halted.is_some()
    }

    fn process<A: Application>(&mut self, input: Input<Context>, around: &mut Around<'_, A>) {
        if self.is_over() {
            return;
        }
        let Self { core, side, .. } = self;
        let mut handler = Handler {
            side,
            keys: around.keys,
            outputs: around.outputs,
            timing: around.timing,
            now: around.now,
        };
        let result: Result<(), Error<Context>> = process!(
            input: input,
            state: core,
            metrics: &(),
            with: effect => handler.handle(effect)
        );
        match result {
            Ok(()) => {}
            Err(Error::ReplayDivergence(..)) => self.side.halt(HaltReason::ReplayDivergence),
            Err(_) => self.side.halt(HaltReason::Core),
        }
    }

    /// Design R4: the core as the predecessor (or we, before a restart) left it, then the recorded bytes again.
    fn replay<A: Application>(&mut self, start: Input<Context>, log: &[Record], around: &mut Around<'_, A>) {
        let mut entries = Vec::with_capacity(log.len());
        for record in log {
            match Entry::decode(&record.bytes, self.side.height) {
                Some(entry) => entries.push(entry),
                None => return self.side.halt(HaltReason::BadRecord),
            }
        }
        self.side.replayed = Some(log.iter().map(|record| record.bytes.clone()).collect());
        let inputs: Vec<Input<Context>> = entries.iter().filter_map(Entry::as_input).cloned().collect();
        for input in &inputs {
            if let Some(word) = own_word(input, self.side.cluster) {
                self.side.keep_word(word);
            }
        }
        self.process(start, around);
        self.core.index_wal_entries(inputs.iter());
        for entry in entries {
            match entry {
                Entry::Body(block) => {
                    let id = id_of(&block);
                    self.side.logged_bodies.insert(id);
                    self.side.bodies.insert(id, block);
                }
                Entry::Input(input) => self.replay_input(input, around),
            }
        }
        self.core.reset_entries_index();
        self.side.replayed = None;
        if self.side.halted.is_some() {
            return;
        }
        self.send_own_words(around);
        if !self.is_over() {
            self.offer_bodies(around);
            self.propose(around);
            self.run(around);
        }
    }

    fn replay_input<A: Application>(&mut self, input: Input<Context>, around: &mut Around<'_, A>) {
        if self.is_over() {
            return;
        }
        match &input {
            Input::ProposedValue(value, _) => {
                let round = value.round.as_u32().unwrap_or(0);
                self.side.fed.insert((round, value.value));
                if value.proposer.0 == self.side.cluster {
                    self.own_values.insert(round, value.value);
                }
            }
            // A vote of ours must have come out of what was replayed before it.
            Input::Vote(vote)
                if vote.address.0 == self.side.cluster && !self.core.driver.votes().has_vote(vote) =>
            {
                return self.side.halt(HaltReason::ReplayDivergence);
            }
            _ => {}
        }
        self.process(input, around);
    }

    fn send_own_words<A: Application>(&mut self, around: &mut Around<'_, A>) {
        let words: Vec<Word> = self.side.words.values().cloned().collect();
        for word in words {
            match word {
                Word::Vote(vote) => send(around, None, &Message::Vote(vote)),
                Word::Proposal(proposal) => {
                    let id = proposal.value;
                    send(around, None, &Message::Proposal(proposal));
                    if let Some(block) = self.side.bodies.get(&id) {
                        send(around, None, &Message::Body { height: self.side.height, block: block.clone() });
                    }
                }
            }
        }
        self.send_round_certificate(None, around);
    }

    fn send_round_certificate<A: Application>(&self, to: Option<ClusterId>, around: &mut Around<'_, A>) {
        if let Some(entered) = self.core.round_certificate() {
            send(around, to, &Message::Round(entered.certificate.clone()));
        }
    }

    /// A block arrived. It is kept if a proposal names it, else in a small waiting room of its sender.
    pub(crate) fn take_body<A: Application>(
        &mut self,
        from: ClusterId,
        block: Bytes,
        around: &mut Around<'_, A>,
    ) {
        let id = id_of(&block);
        if self.side.bodies.contains_key(&id) || self.is_over() {
            return;
        }
        if self.is_proposed(id) {
            self.side.bodies.insert(id, block);
            self.offer_bodies(around);
            self.run(around);
            return;
        }
        let waiting = self.unclaimed.entry(from).or_default();
        if waiting.iter().any(|(known, _)| *known == id) {
            return;
        }
        if waiting.len() >= MAX_UNCLAIMED {
            waiting.pop_front();
        }
        waiting.push_back((id, block));
    }

    /// A proposal arrived; one that the core took already is not worth a second look.
    pub(crate) fn take_proposal<A: Application>(
        &mut self,
        proposal: SignedProposal,
        around: &mut Around<'_, A>,
    ) {
        let key = (proposal.round.as_u32().unwrap_or(0), proposal.value);
        if self.side.proposals.get(&key).is_some_and(|known| known.message == proposal.message) {
            return;
        }
        self.feed(Input::Proposal(proposal), around);
    }

    fn is_proposed(&self, id: BlockId) -> bool {
        self.side.proposals.keys().any(|(_, proposed)| *proposed == id)
    }

    /// Hands the core the verdict on every proposed block that is here.
    fn offer_bodies<A: Application>(&mut self, around: &mut Around<'_, A>) {
        let open: Vec<SignedProposal> = self
            .side
            .proposals
            .iter()
            .filter(|(key, _)| !self.side.fed.contains(*key))
            .map(|(_, proposal)| proposal.clone())
            .collect();
        for proposal in open {
            let id = proposal.value;
            self.claim(id);
            let Some(block) = self.side.bodies.get(&id).cloned() else {
                continue;
            };
            self.side.fed.insert((proposal.round.as_u32().unwrap_or(0), id));
            self.log_body(id, || Entry::body(&block), around);
            let is_good =
                BlockOf::<A::Transaction>::decode(&block).is_some_and(|b| around.ledger.accepts(&b));
            let value = ProposedValue {
                height: proposal.height,
                round: proposal.round,
                valid_round: Round::Nil,
                proposer: proposal.address,
                value: id,
                validity: Validity::from_bool(is_good),
            };
            self.queue.push_back(Input::ProposedValue(value, ValueOrigin::Consensus));
        }
    }

    fn claim(&mut self, id: BlockId) {
        for waiting in self.unclaimed.values_mut() {
            if let Some(place) = waiting.iter().position(|(known, _)| *known == id)
                && let Some((_, block)) = waiting.remove(place)
            {
                self.side.bodies.insert(id, block);
            }
        }
    }

    fn log_body<A: Application>(
        &mut self,
        id: BlockId,
        entry: impl FnOnce() -> Bytes,
        around: &mut Around<'_, A>,
    ) {
        if self.side.logged_bodies.insert(id) {
            around.outputs.push_back(ChainOutput::Log { height: self.side.height, bytes: entry() });
        }
    }

    /// Answers the core's wish for a value, if it still stands.
    fn propose<A: Application>(&mut self, around: &mut Around<'_, A>) {
        let Some(round) = self.side.wants_value.take() else {
            return;
        };
        let number = round.as_u32().unwrap_or(0);
        let has_proposed = self.side.words.contains_key(&(number, duohuo_core::chain::VoteKind::Proposal));
        if self.core.round() != round || !self.core.driver.step_is_propose() || has_proposed {
            return;
        }
        let recorded = self.own_values.get(&number).filter(|id| self.side.bodies.contains_key(id)).copied();
        let id = recorded.unwrap_or_else(|| self.build(around));
        self.side.fed.insert((number, id));
        let value = LocallyProposedValue::new(ChainHeight::from(self.side.height), round, id);
        self.queue.push_back(Input::Propose(value));
    }

    fn build<A: Application>(&mut self, around: &mut Around<'_, A>) -> BlockId {
        let height = self.side.height;
        let room = around.timing.max_block_bytes.saturating_sub(BLOCK_HEADER_BYTES);
        let block = BlockOf {
            height,
            parent: around.ledger.last_block().0,
            proposer: self.side.cluster,
            parent_commit_round: around.parent_commit_round,
            transactions: around.pool.choose(
                around.ledger,
                height,
                around.timing.max_block_transactions,
                room,
            ),
        };
        let (entry, bytes) = Entry::of_block(&block);
        let id = id_of(&bytes);
        self.log_body(id, || entry, around);
        self.side.bodies.insert(id, bytes);
        id
    }

    /// Everything of this height that a peer may lack.
    pub(crate) fn send_all<A: Application>(
        &self,
        to: ClusterId,
        held: &[BlockId],
        around: &mut Around<'_, A>,
    ) {
        let height = self.side.height;
        let held: BTreeSet<BlockId> = held.iter().copied().collect();
        for proposal in self.side.proposals.values() {
            send(around, Some(to), &Message::Proposal(proposal.clone()));
        }
        let named = self.side.bodies.iter().filter(|(id, _)| !held.contains(id) && self.is_proposed(**id));
        let mut bytes = 0;
        for (_, block) in named {
            bytes += block.len();
            if bytes > MAX_ANSWER_BYTES {
                break; // it asks again, and names what it has by then
            }
            send(around, Some(to), &Message::Body { height, block: block.clone() });
        }
        for certificate in &self.side.polkas {
            send(around, Some(to), &Message::Polka(certificate.clone()));
        }
        for vote in &self.side.votes {
            send(around, Some(to), &Message::Vote(vote.clone()));
        }
        self.send_round_certificate(Some(to), around);
    }

    /// Our hello while we work here.
    pub(crate) fn hello(&self, asks: bool) -> Hello {
        Hello {
            height: Height(self.side.height.0.saturating_sub(1)),
            round: self.core.round(),
            asks,
            bodies: self.side.bodies.keys().take(MAX_HELLO_BODIES).copied().collect(),
        }
    }

    /// The first timer that ran out.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timeout> {
        let (key, at) =
            self.side.timers.iter().map(|(key, (at, _))| (*key, *at)).min_by_key(|(_, at)| *at)?;
        if at > now {
            return None;
        }
        self.side.timers.remove(&key).map(|(_, timeout)| timeout)
    }

    pub(crate) fn next_timer(&self) -> Option<Instant> {
        if self.is_over() {
            return None;
        }
        self.side.timers.values().map(|(at, _)| *at).min()
    }
}

fn own_word(input: &Input<Context>, cluster: ClusterId) -> Option<Word> {
    match input {
        Input::Vote(vote) if vote.address.0 == cluster => Some(Word::Vote(vote.clone())),
        Input::Proposal(proposal) if proposal.address.0 == cluster => Some(Word::Proposal(proposal.clone())),
        _ => None,
    }
}

pub(crate) fn send<A: Application>(
    around: &mut Around<'_, A>,
    to: Option<ClusterId>,
    message: &Message<A::Transaction>,
) {
    around.outputs.push_back(ChainOutput::Send { to, bytes: message.encode() });
}
