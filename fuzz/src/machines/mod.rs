//! A production machine among enrolled parties that say what the input wants them to say.
//!
//! The input is a script: its first bytes choose a setting, each step then one operation. The parties have their true
//! keys, so that what they say passes every seal and reaches the code behind it; what the machine says is opened by
//! whom it is meant for. The machine's own assertions are the first check; `rules` are the others.

mod cast;
mod craft;
mod rules;
mod script;
mod seeds;

use std::{collections::VecDeque, sync::LazyLock};

use cast::Cast;
use core::time::Duration;
use craft::Known;
use duohuo_core::{
    Instant,
    io::{Input, Machine as _, Output, Table, Write},
};
use duohuo_tests::{
    consortium::{Consortium, Place, node as node_id},
    host::{self, Anyone, Disk},
};
use duohuo_wire::{
    ids::{Height, NodeId},
    memory::Remembering,
    packet::Packet,
};
use rules::Rules;
pub(crate) use seeds::{authority as authority_seeds, node as node_seeds};

use crate::draw::Draw;

/// One cluster of three, whose master commits blocks alone; and two clusters, whose masters need each other.
static CONSORTIA: LazyLock<[Consortium; 2]> = LazyLock::new(|| {
    let three: &[Place] = &[(1, 200), (2, 150), (3, 100)];
    let two: &[Place] = &[(2, 200), (1, 150)];
    [Consortium::new(7, &[three]), Consortium::new(8, &[three, two])]
});

/// Inputs of one script: beyond that it says nothing new.
const MAX_STEPS: usize = 400;

pub(crate) fn authority(data: &[u8]) {
    let _remembering = remember();
    Bench::new(NodeId::AUTHORITY, &mut Draw::new(data))
        .run(&mut Draw::new(data.get(1..).unwrap_or_default()));
}

pub(crate) fn node(data: &[u8]) {
    let _remembering = remember();
    Bench::new(node_id(0, 0), &mut Draw::new(data)).run(&mut Draw::new(data.get(1..).unwrap_or_default()));
}

/// Stand-ins for the costly cryptography, for one input ([`duohuo_wire::memory`]); the keys that all inputs share are made
/// without.
fn remember() -> Remembering {
    LazyLock::force(&CONSORTIA);
    duohuo_wire::memory::remember()
}

/// The machine and its surroundings.
struct Bench {
    target: NodeId,
    consortium: &'static Consortium,
    machine: Anyone,
    now: Instant,
    disk: Disk,
    /// Batches not yet durable.
    writing: VecDeque<(u64, Vec<Write>)>,
    /// Blocks asked for: token, first height, bytes.
    reading: VecDeque<(u64, Height, u32)>,
    reading_chunks: VecDeque<(u64, u64)>,
    cast: Cast,
    known: Known,
    rules: Rules,
    /// What was given to it, so that it can come again.
    given: Vec<Input>,
    /// Writes are durable at once.
    prompt_disk: bool,
    /// Dials are answered at once.
    prompt_peers: bool,
    lives: u8,
    over: bool,
}

impl Bench {
    fn new(target: NodeId, draw: &mut Draw<'_>) -> Self {
        let setting = draw.byte();
        let consortium = &CONSORTIA[usize::from(setting & 1)];
        let disk = Disk::new();
        Self {
            target,
            consortium,
            machine: host::start(target, consortium, &disk, [1; 32]),
            now: Instant::from_nanos(1),
            disk,
            writing: VecDeque::new(),
            reading: VecDeque::new(),
            reading_chunks: VecDeque::new(),
            cast: Cast::new(consortium, target),
            known: Known::new(consortium),
            rules: Rules::new(target, consortium),
            given: Vec::new(),
            prompt_disk: setting & 2 == 0,
            prompt_peers: setting & 4 == 0,
            lives: 1,
            over: false,
        }
    }

    /// One input, its outputs, and what the parties answer to them.
    fn give(&mut self, input: Input) {
        self.step(input);
        // Parties answer handshakes, which causes more; a bound keeps a conversation finite.
        for _ in 0..64 {
            let replies = core::mem::take(&mut self.cast.replies);
            if replies.is_empty() {
                break;
            }
            for reply in replies {
                self.step(reply);
            }
        }
    }

    /// Gives what the parties have ready.
    fn deliver(&mut self) {
        self.give(Input::Tick);
    }

    fn step(&mut self, input: Input) {
        if self.over {
            return;
        }
        let asked = match &input {
            Input::Datagram { from, bytes, .. } => Some((*from, bytes.len())),
            _ => None,
        };
        if self.given.len() < 64 {
            self.given.push(input.clone());
        }
        self.machine.handle(self.now, input);
        self.rules.begin();
        let mut unsealed = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            self.rules.output(self.now, self.target, &output);
            if let Output::Datagram { to, bytes } = &output
                && bytes.get(7).is_some_and(|flags| flags & 1 == 0)
                && bytes.get(5) != Some(&1)
            {
                unsealed.push((*to, bytes.len()));
            }
            for (_, _, packet) in self.cast.hear(&output) {
                self.rules.said(&packet);
                self.known.heard(&packet);
                if let Packet::GroupKey(key) = &packet {
                    self.cast.learn_secret(key);
                }
            }
            self.carry_out(output);
        }
        if let Some((from, bytes)) = asked {
            self.rules.answered(from, bytes, &unsealed);
        }
        if self.prompt_peers {
            while self.cast.answer_dial(true) {}
        }
        if self.prompt_disk {
            self.write(usize::MAX);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist { token, writes } => self.writing.push_back((token, writes)),
            Output::ReadBlocks { token, from, max_bytes } => self.reading.push_back((token, from, max_bytes)),
            Output::ReadChunk { token, key } => self.reading_chunks.push_back((token, key)),
            Output::Exit => self.over = true,
            _ => {}
        }
    }

    /// At most so many batches become durable, and it is told.
    fn write(&mut self, count: usize) {
        let mut last = None;
        for _ in 0..count {
            let Some((token, writes)) = self.writing.pop_front() else { break };
            host::write(&mut self.disk, &writes);
            self.rules.durable(&writes, &self.disk);
            last = Some(token);
        }
        if let Some(token) = last {
            self.step(Input::Persisted { token });
        }
    }

    fn read(&mut self) {
        if let Some((token, from, max_bytes)) = self.reading.pop_front() {
            let blocks = host::read_blocks(&self.disk, from, max_bytes);
            self.give(Input::BlocksRead { token, blocks });
        }
        if let Some((token, key)) = self.reading_chunks.pop_front() {
            let chunk = self.disk.get(&(Table::Snapshot, key)).cloned().unwrap_or_default();
            self.give(Input::ChunkRead { token, chunk });
        }
    }

    /// kill -9 and a start from what was durable.
    fn restart(&mut self) {
        self.lives = self.lives.saturating_add(1);
        if self.lives > 6 {
            return;
        }
        self.writing.clear();
        self.reading.clear();
        self.reading_chunks.clear();
        self.cast.forget();
        self.rules.restarted();
        self.over = false;
        self.machine = host::start(self.target, self.consortium, &self.disk, [self.lives; 32]);
    }

    /// Time goes on to where the machine wants it, and it is told; a machine that wants the same instant for ever would
    /// spin.
    fn run_to_timeout(&mut self) {
        if let Some(at) = self.machine.poll_timeout() {
            self.now = self.now.max(at);
        }
        self.give(Input::Tick);
        let mut spins = 0;
        while !self.over && self.machine.poll_timeout().is_some_and(|at| at <= self.now) {
            spins += 1;
            assert!(spins < 1_000, "it wants the instant that is, again and again");
            self.give(Input::Tick);
        }
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.give(Input::Tick);
    }
}
