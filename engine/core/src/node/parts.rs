//! A log that does not fit into one packet comes in parts (B-LOG-12): they are kept here, without effect, until the last is
//! there. A member that cut its log to the first part could be granted next, and would lack what it acknowledged.

use crate::chain::Record;
use crate::held::Held;
use crate::limits::LOG_PARTS_BYTES;
use core::cmp::Ordering;
use duohuo_wire::ids::{Epoch, Height};

/// What a record takes in memory beside its bytes.
const RECORD_BYTES: usize = 64;

/// Which log it is: another epoch, or a height that is done meanwhile, and it is another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LogName {
    pub(super) epoch: Epoch,
    /// The committed height of the master: its log stands above it.
    pub(super) height: Height,
    /// The index of the first record.
    pub(super) first: u64,
}

/// What is here of a log.
#[derive(Default)]
pub(super) struct Parts {
    of: Option<LogName>,
    records: Vec<Record>,
    bytes: usize,
    /// It is longer than what is kept: nothing of it is, until another log comes.
    is_given_up: bool,
}

#[derive(PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is whole.
    Whole(Vec<Record>),
    /// The next part begins here.
    Next(u64),
    /// It came before, or is of a log that was given up.
    Known,
    /// It is of another log than what is here, or leaves a gap; what is here stays.
    Stray,
    /// It is longer than what a node keeps for its master.
    TooLong,
}

impl Parts {
    /// The log that is on its way, if one is.
    pub(super) const fn log(&self) -> Option<LogName> {
        self.of
    }

    /// Whether its next part is worth asking for.
    pub(super) const fn is_wanted(&self) -> bool {
        self.of.is_some() && !self.is_given_up
    }

    /// Where its next part begins.
    pub(super) fn next(&self) -> u64 {
        self.of.map_or(0, |of| of.first + self.records.len() as u64)
    }

    /// The chain stands at `height` here: what is left of a log that was too long is another log now, and may be asked for.
    pub(super) fn forget_given_up(&mut self, height: Height) {
        if self.is_given_up && self.of.is_some_and(|of| height > of.height) {
            *self = Self::default();
        }
    }

    pub(super) fn held(&self) -> Held {
        Held { name: "parts of a log", entries: self.records.len(), bytes: self.bytes }
    }

    /// The records of a log from `start`, the last of it or not.
    pub(super) fn take(&mut self, of: LogName, start: u64, is_followed: bool, records: Vec<Record>) -> Taken {
        if self.of != Some(of) {
            if start != of.first {
                return Taken::Stray;
            }
            *self = Self { of: Some(of), ..Self::default() };
        }
        if self.is_given_up {
            return Taken::Known;
        }
        match start.cmp(&self.next()) {
            Ordering::Less => return Taken::Known,
            Ordering::Greater => return Taken::Stray,
            Ordering::Equal => {}
        }
        let bytes = |record: &Record| record.bytes.len() + RECORD_BYTES;
        self.bytes += records.iter().map(bytes).sum::<usize>();
        if self.bytes > LOG_PARTS_BYTES {
            *self = Self { of: Some(of), is_given_up: true, ..Self::default() };
            return Taken::TooLong;
        }
        self.records.extend(records);
        if is_followed { Taken::Next(self.next()) } else { Taken::Whole(core::mem::take(self).records) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const LOG: LogName = LogName { epoch: Epoch(3), height: Height(9), first: 100 };

    fn record(byte: u8) -> Record {
        Record { height: Height(10), epoch: Epoch(2), bytes: Bytes::copy_from_slice(&[byte]) }
    }

    #[test]
    fn parts_that_follow_each_other_are_the_log_when_the_last_is_there() {
        let mut parts = Parts::default();
        assert_eq!(parts.take(LOG, 100, true, vec![record(1), record(2)]), Taken::Next(102));
        assert_eq!(parts.held(), Held { name: "parts of a log", entries: 2, bytes: 130 });
        assert_eq!(parts.take(LOG, 102, true, vec![]), Taken::Next(102));
        let whole = vec![record(1), record(2), record(3)];
        assert_eq!(parts.take(LOG, 102, false, vec![record(3)]), Taken::Whole(whole));
        assert_eq!((parts.log(), parts.held().entries), (None, 0));
    }

    #[test]
    fn the_first_part_of_another_log_takes_the_place_of_what_is_here() {
        for other in [
            LogName { epoch: Epoch(4), ..LOG },
            LogName { height: Height(10), ..LOG },
            LogName { first: 102, ..LOG },
        ] {
            let mut parts = Parts::default();
            assert_eq!(parts.take(LOG, 100, true, vec![record(1), record(2)]), Taken::Next(102));
            assert_eq!(parts.take(other, other.first, true, vec![record(7)]), Taken::Next(other.first + 1));
            assert_eq!((parts.log(), parts.next()), (Some(other), other.first + 1));
            let whole = vec![record(7), record(8)];
            assert_eq!(parts.take(other, other.first + 1, false, vec![record(8)]), Taken::Whole(whole));
        }
    }

    /// Two questions may be under way, and then every part comes twice.
    #[test]
    fn what_came_before_or_does_not_go_on_changes_nothing() {
        let mut parts = Parts::default();
        assert_eq!(parts.take(LOG, 101, false, vec![record(2)]), Taken::Stray, "nothing is here");
        assert_eq!(parts.take(LOG, 100, true, vec![record(1)]), Taken::Next(101));
        assert_eq!(parts.take(LOG, 100, true, vec![record(1)]), Taken::Known);
        assert_eq!(parts.take(LOG, 102, false, vec![record(3)]), Taken::Stray);
        for other in [
            LogName { epoch: Epoch(4), ..LOG },
            LogName { height: Height(10), ..LOG },
            LogName { first: 99, ..LOG },
        ] {
            assert_eq!(parts.take(other, 101, false, vec![record(2)]), Taken::Stray, "{other:?}");
        }
        assert_eq!((parts.log(), parts.next()), (Some(LOG), 101));
        let whole = vec![record(1), record(2)];
        assert_eq!(parts.take(LOG, 101, false, vec![record(2)]), Taken::Whole(whole));
    }

    #[test]
    fn a_log_of_more_than_64_mib_is_not_kept() {
        let mut parts = Parts::default();
        let big = || Record { bytes: vec![0; (32 << 20) - 64].into(), ..record(0) };
        assert_eq!(parts.take(LOG, 100, true, vec![big()]), Taken::Next(101));
        assert_eq!(parts.take(LOG, 101, true, vec![big()]), Taken::Next(102), "64 MiB");
        assert!(parts.is_wanted());
        assert_eq!(parts.take(LOG, 102, false, vec![record(1)]), Taken::TooLong);
        assert_eq!((parts.held().entries, parts.held().bytes), (0, 0));
        // It is not begun again by itself: it would come to the same end.
        assert!(parts.log().is_some() && !parts.is_wanted());
        assert_eq!(parts.take(LOG, 100, true, vec![record(1)]), Taken::Known);
        parts.forget_given_up(LOG.height);
        assert_eq!(parts.log(), Some(LOG), "it is as long as it was");
        let next = LogName { height: Height(10), first: 103, ..LOG };
        assert_eq!(parts.take(next, 103, true, vec![record(1)]), Taken::Next(104));
        assert!(parts.is_wanted());
        parts.forget_given_up(Height(11));
        assert_eq!(parts.log(), Some(next), "it is on its way");
        assert_eq!(parts.take(next, 104, true, vec![big(), big()]), Taken::TooLong);
        parts.forget_given_up(Height(11));
        assert_eq!(parts.log(), None, "the master may take it to be in step: it asks for the log");
    }
}
