//! Messages of a height that has not begun here, a bounded number of each cluster.

use crate::application::Transaction;
use crate::message::Message;
use duohuo_core::held::Held;
use duohuo_wire::ids::{ClusterId, Height};
use std::collections::{BTreeMap, VecDeque};

/// Messages of one cluster.
const MAX_EARLY: usize = 256;
/// Of these, blocks.
const MAX_EARLY_BODIES: usize = 2;

pub(crate) struct Early<T>(BTreeMap<ClusterId, VecDeque<Message<T>>>);

impl<T> Default for Early<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Transaction> Early<T> {
    /// Keep a message. It takes the place of the oldest of its cluster if there are too many, a block that of a block.
    pub(crate) fn keep(&mut self, from: ClusterId, message: Message<T>) {
        let list = self.0.entry(from).or_default();
        let is_body = |m: &Message<T>| matches!(m, Message::Body { .. });
        if list.contains(&message) {
            return;
        }
        if is_body(&message) && list.iter().filter(|m| is_body(m)).count() >= MAX_EARLY_BODIES {
            if let Some(oldest) = list.iter().position(is_body) {
                list.remove(oldest);
            }
        } else if list.len() >= MAX_EARLY {
            list.pop_front();
        }
        list.push_back(message);
    }

    /// Whether somebody works on this height.
    pub(crate) fn has(&self, height: Height) -> bool {
        self.0.values().flatten().any(|message| message.working_height() == Some(height))
    }

    /// What came for this height, each cluster's in its order. Later ones stay, earlier ones are dropped.
    pub(crate) fn take(&mut self, height: Height) -> Vec<(ClusterId, Message<T>)> {
        let mut due = Vec::new();
        for (from, list) in &mut self.0 {
            let later = |m: &Message<T>| m.working_height().is_some_and(|of| of > height);
            let (later, rest): (VecDeque<_>, VecDeque<_>) =
                core::mem::take(list).into_iter().partition(later);
            *list = later;
            due.extend(rest.into_iter().filter(|m| m.working_height() == Some(height)).map(|m| (*from, m)));
        }
        due
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn held(&self) -> Held {
        Held::entries("early messages", self.0.values().map(VecDeque::len).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Transfer;
    use bytes::Bytes;

    const FROM: ClusterId = ClusterId(2);

    fn body(height: u64, block: u8) -> Message<Transfer> {
        Message::Body { height: Height(height), block: Bytes::from(vec![block]) }
    }

    fn kept(messages: impl IntoIterator<Item = Message<Transfer>>) -> Early<Transfer> {
        let mut early = Early::default();
        messages.into_iter().for_each(|message| early.keep(FROM, message));
        early
    }

    #[test]
    fn what_came_for_a_height_is_given_once_later_stays_and_earlier_goes() {
        let mut early = kept([body(5, 1), body(6, 2)]);
        early.keep(ClusterId(3), body(7, 3));
        assert!(early.has(Height(6)) && !early.has(Height(8)));
        assert_eq!(early.take(Height(6)), [(FROM, body(6, 2))]);
        assert_eq!(early.held().entries, 1, "the one of 7");
        assert_eq!(early.take(Height(6)), []);
        assert_eq!(early.take(Height(7)), [(ClusterId(3), body(7, 3))]);
        assert_eq!(early.held().entries, 0);
    }

    #[test]
    fn of_the_blocks_of_a_cluster_the_newest_two_are_kept_and_a_repetition_is_none() {
        let mut early = kept([body(6, 1), body(6, 2), body(6, 2), body(6, 3)]);
        assert_eq!(early.take(Height(6)), [(FROM, body(6, 2)), (FROM, body(6, 3))]);
    }
}
