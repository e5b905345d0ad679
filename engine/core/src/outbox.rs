//! The one ordered queue of a machine's outputs, and the drain rule.

use crate::event::Event;
use crate::io::{Output, Write};
use std::collections::VecDeque;

/// Ordered outputs; asserts that the caller drains.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
    last_token: u64,
}

impl Outbox {
    /// At the entry of `handle`.
    pub(crate) fn assert_drained(&self) {
        assert!(self.queue.is_empty(), "drain poll_output() to None before the next handle()");
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.queue.push_back(Output::Event(event));
    }

    /// Both keys of a new session, for the key log: each is named by the id its receiver chose.
    #[cfg(feature = "key-log")]
    pub(crate) fn keys(
        &mut self,
        keys: &duohuo_wire::handshake::Keys,
        local_session: u64,
        remote_session: u64,
    ) {
        self.push(Output::Key(keys.sealing.key_log(remote_session)));
        self.push(Output::Key(keys.opening.key_log(local_session)));
    }

    /// Queue a batch; its token.
    pub(crate) fn persist(&mut self, writes: Vec<Write>) -> u64 {
        self.last_token += 1;
        self.queue.push_back(Output::Persist { token: self.last_token, writes });
        self.last_token
    }

    /// Token of the last batch; 0 = none yet.
    pub(crate) const fn last_token(&self) -> u64 {
        self.last_token
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}
