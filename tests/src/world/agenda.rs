//! What is going to happen, in order of time.

use core::net::SocketAddr;
use duohuo_core::Instant;
use duohuo_core::io::{Input, StreamId};
use duohuo_wire::ids::NodeId;

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

pub(super) struct Scheduled {
    pub(super) at: Instant,
    pub(super) order: u64,
    pub(super) what: What,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}
