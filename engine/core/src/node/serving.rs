//! Serving others what they lack: blocks and pieces of snapshots, so many bytes in a span, so that who is far behind
//! slows nobody who votes.

use super::{Duty, Node};
use crate::io::{Output, StreamId};
use crate::links::Party;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::ids::Height;
use duohuo_wire::packet::{
    BlockAnswer, BlockPush, ChainEnd, ChainQuery, Packet, RangeQuery, SnapshotChunk, SnapshotOffer,
    SnapshotQuery,
};
use std::collections::{BTreeMap, VecDeque};

/// Blocks of one answer to a query.
pub(super) const CATCH_UP_BYTES: u32 = 256 * 1024;
/// Questions under way for others: more are dropped, the asker asks again.
const READS_AT_ONCE: usize = 64;
/// The budget is for this span.
const BUDGET_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes a master serves in it: 10 MiB/s.
const MASTER_BUDGET: u64 = 1 << 20;
/// Bytes any other node serves in it: 80 MiB/s.
const BUDGET: u64 = 8 << 20;
/// [`SnapshotQuery::chunk`]: not a piece, but what there is.
pub(super) const MANIFEST: u32 = u32::MAX;

/// What somebody wants.
#[derive(Clone, Copy, Debug)]
enum Want {
    Blocks {
        asker: Party,
        from: Height,
        to: Height,
        max_bytes: u32,
    },
    Chunk {
        asker: Party,
        height: Height,
        chunk: u32,
    },
    /// One block for a client.
    Block {
        stream: StreamId,
        request: u64,
        height: Height,
    },
    /// The next blocks for a client that subscribed.
    Next {
        stream: StreamId,
        from: Height,
    },
}

#[derive(Default)]
pub(super) struct Serving {
    /// Waits for the budget.
    queue: VecDeque<Want>,
    /// Reads of our store.
    reads: BTreeMap<u64, Want>,
    last_read: u64,
    /// Bytes served, or promised, in the span that began then.
    spent: u64,
    since: Instant,
}

impl Serving {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (!self.queue.is_empty()).then(|| self.since + BUDGET_INTERVAL)
    }
}

impl Node {
    /// Somebody asks for blocks.
    pub(super) fn serve_blocks(&mut self, asker: Party, query: &ChainQuery) {
        let to = Height(u64::MAX);
        self.serve(Want::Blocks { asker, from: query.from, to, max_bytes: query.max_bytes });
    }

    pub(super) fn serve_range(&mut self, asker: Party, query: &RangeQuery) {
        self.serve(Want::Blocks { asker, from: query.from, to: query.to, max_bytes: query.max_bytes });
    }

    pub(super) fn serve_snapshot(&mut self, asker: Party, query: &SnapshotQuery) {
        if query.chunk == MANIFEST {
            self.offer_snapshot(asker);
        } else {
            self.serve(Want::Chunk { asker, height: query.height, chunk: query.chunk });
        }
    }

    /// What the newest proven snapshot is made of; height 0: there is none.
    fn offer_snapshot(&mut self, asker: Party) {
        let offer = self.snapshots.proven().map_or_else(SnapshotOffer::default, |s| SnapshotOffer {
            height: s.height,
            manifest: s.manifest.clone(),
            proof: s.proof.clone(),
            ..Default::default()
        });
        self.links.send_stream(asker, &Packet::from(offer), &mut self.out);
    }

    /// One block for a client.
    pub(super) fn serve_block(&mut self, stream: StreamId, request: u64, height: Height) {
        if !self.serve(Want::Block { stream, request, height }) {
            self.send_block(stream, request, height, Bytes::new());
        }
    }

    /// The next blocks for a client; whether there is room for the question.
    pub(super) fn serve_next(&mut self, stream: StreamId, from: Height) -> bool {
        self.serve(Want::Next { stream, from })
    }

    fn serve(&mut self, want: Want) -> bool {
        if self.serving.reads.len() + self.serving.queue.len() >= READS_AT_ONCE {
            return false;
        }
        self.serving.queue.push_back(want);
        self.run_serving();
        true
    }

    /// Starts what the budget allows.
    pub(super) fn run_serving(&mut self) {
        if self.now - self.serving.since >= BUDGET_INTERVAL {
            self.serving.since = self.now;
            // What is still being read was promised in an earlier span.
            self.serving.spent = u64::from(CATCH_UP_BYTES) * self.serving.reads.len() as u64;
        }
        let budget = if matches!(self.duty, Duty::Lead(_)) { MASTER_BUDGET } else { BUDGET };
        while self.serving.spent < budget {
            let Some(want) = self.serving.queue.pop_front() else { return };
            self.start_read(want);
        }
    }

    fn start_read(&mut self, want: Want) {
        let output = match want {
            Want::Blocks { asker, from, .. } if from < self.snapshots.lowest() => {
                // Pruned: who lacks this block needs a snapshot.
                self.offer_snapshot(asker);
                self.end_blocks(asker);
                return;
            }
            Want::Blocks { from, max_bytes, .. } => {
                let max_bytes = max_bytes.min(CATCH_UP_BYTES);
                Output::ReadBlocks { token: self.next_read(want), from, max_bytes }
            }
            Want::Chunk { asker, height, chunk } => {
                let Some(key) = self.snapshots.at(height).filter(|s| chunk < s.chunks).map(|s| s.key(chunk))
                else {
                    self.send_chunk(asker, height, chunk, Bytes::new());
                    return;
                };
                Output::ReadChunk { token: self.next_read(want), key }
            }
            Want::Block { height, .. } => {
                Output::ReadBlocks { token: self.next_read(want), from: height, max_bytes: 1 }
            }
            Want::Next { from, .. } => {
                Output::ReadBlocks { token: self.next_read(want), from, max_bytes: CATCH_UP_BYTES }
            }
        };
        self.serving.spent += u64::from(CATCH_UP_BYTES);
        self.out.push(output);
    }

    fn next_read(&mut self, want: Want) -> u64 {
        self.serving.last_read += 1;
        self.serving.reads.insert(self.serving.last_read, want);
        self.serving.last_read
    }

    /// A read is done and took less than was promised for it.
    fn refund(&mut self, bytes: usize) {
        let left = u64::from(CATCH_UP_BYTES).saturating_sub(bytes as u64);
        self.serving.spent = self.serving.spent.saturating_sub(left);
    }

    pub(super) fn send_blocks(&mut self, token: u64, blocks: Vec<(Height, Bytes)>) {
        let bytes = match self.serving.reads.remove(&token) {
            Some(Want::Blocks { asker, to, .. }) => {
                let mut bytes = 0;
                for (height, block) in blocks.into_iter().take_while(|(height, _)| *height <= to) {
                    bytes += block.len();
                    let push = Packet::from(BlockPush { height, block, ..Default::default() });
                    self.links.send_stream(asker, &push, &mut self.out);
                }
                self.end_blocks(asker);
                bytes
            }
            Some(Want::Block { stream, request, height }) => {
                let block = blocks.into_iter().find(|(at, _)| *at == height).map(|(_, block)| block);
                let block = block.unwrap_or_default();
                let bytes = block.len();
                self.send_block(stream, request, height, block);
                bytes
            }
            Some(Want::Next { stream, from }) => {
                let bytes = blocks.iter().map(|(_, block)| block.len()).sum();
                self.feed_subscriber(stream, from, blocks);
                bytes
            }
            Some(Want::Chunk { .. }) | None => return,
        };
        self.refund(bytes);
        self.run_serving();
    }

    pub(super) fn send_block(&mut self, stream: StreamId, request: u64, height: Height, block: Bytes) {
        let answer = BlockAnswer { request, height, block, ..Default::default() };
        self.links.send_on(stream, &Packet::from(answer), &mut self.out);
    }

    fn end_blocks(&mut self, asker: Party) {
        let end = Packet::from(ChainEnd { height: self.height, ..Default::default() });
        self.links.send_stream(asker, &end, &mut self.out);
    }

    pub(super) fn chunk_read(&mut self, token: u64, content: Bytes) {
        let Some(Want::Chunk { asker, height, chunk }) = self.serving.reads.remove(&token) else {
            return;
        };
        // The place may have been written over since.
        let is_there = self.snapshots.at(height).is_some();
        let content = if is_there { content } else { Bytes::new() };
        self.refund(content.len());
        self.send_chunk(asker, height, chunk, content);
        self.run_serving();
    }

    fn send_chunk(&mut self, asker: Party, height: Height, chunk: u32, content: Bytes) {
        let packet = SnapshotChunk { height, chunk, content, ..Default::default() };
        self.links.send_stream(asker, &Packet::from(packet), &mut self.out);
    }
}
