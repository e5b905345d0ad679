//! What is going to happen, in order of time.

use core::cmp::Reverse;
use core::net::SocketAddr;
use duohuo_core::Instant;
use duohuo_core::io::{Input, StreamId};
use duohuo_wire::ids::NodeId;
use std::collections::BinaryHeap;

pub(super) enum What {
    Input {
        to: NodeId,
        life: u32,
        input: Input,
    },
    DiskDone {
        host: NodeId,
        life: u32,
    },
    Timer {
        host: NodeId,
        life: u32,
    },
    /// The machine under all of them is busy: somebody is not given a processor for a while.
    Busy,
    /// It is given one again.
    Resume {
        host: NodeId,
        life: u32,
    },
    /// A cut has lasted for as long as a stream waits for acknowledgements.
    CutTimeout {
        a: NodeId,
        b: NodeId,
        since: Instant,
    },
    /// A dial arrives.
    Dial {
        from: NodeId,
        life: u32,
        stream: StreamId,
        to: SocketAddr,
    },
}

/// What is scheduled for one moment happens in the order in which it was scheduled.
#[derive(Default)]
pub(super) struct Agenda {
    /// When, the how manieth of all, and where it is: small, since most of the work is to keep them in order.
    order: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    scheduled: u64,
    places: Vec<Option<What>>,
    free: Vec<usize>,
}

impl Agenda {
    pub(super) fn push(&mut self, at: Instant, what: What) {
        self.scheduled += 1;
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(None);
        }
        self.places[place] = Some(what);
        self.order.push(Reverse((at, self.scheduled, place)));
    }

    /// What is next, unless that is later than `until`.
    pub(super) fn pop(&mut self, until: Instant) -> Option<(Instant, What)> {
        let Reverse((at, _, place)) = *self.order.peek().filter(|Reverse((at, ..))| *at <= until)?;
        self.order.pop();
        self.free.push(place);
        Some((at, self.places[place].take()?))
    }
}
