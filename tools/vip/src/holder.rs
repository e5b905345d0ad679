//! When the address is held: a function of what the node last said and of the clock that runs through suspend. No IO.
//!
//! The node's lease (spec/behaviour.md 15) says until when this machine may act at most; nobody else acts before that. So the
//! address is held only while the node said *acting* and `stop_at` is not reached, whatever becomes of the node, of its
//! socket or of this process's own turn.

/// Nanoseconds of CLOCK_BOOTTIME.
pub(crate) type Nanos = u64;

/// The node's newest word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Word {
    /// Whether its node may act.
    pub(crate) acting: bool,
    /// From then on it may not, without another word.
    pub(crate) stop_at: Nanos,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// Take the address, and tell all who listen that it is here now.
    Take,
    /// Tell them once more: the first may have been lost.
    Announce,
    /// Give the address up.
    Drop,
}

/// When an address that was taken is announced again, after the taking.
const ANNOUNCE_AFTER: [Nanos; 4] = [100_000_000, 500_000_000, 2_000_000_000, 10_000_000_000];

/// Whether the address is held here, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Holder {
    /// Until when at most; `None`: it is not held.
    held_until: Option<Nanos>,
    taken_at: Nanos,
    announced: usize,
}

impl Holder {
    /// The node said so.
    pub(crate) fn hear(&mut self, now: Nanos, word: Word) -> Option<Deed> {
        let may = word.acting && now < word.stop_at;
        match (may, self.held_until) {
            (true, None) => {
                *self = Self { held_until: Some(word.stop_at), taken_at: now, announced: 0 };
                Some(Deed::Take)
            }
            // a word that is older than the one before takes nothing back: it was true when it was said
            (true, Some(until)) => {
                self.held_until = Some(until.max(word.stop_at));
                self.turn(now)
            }
            (false, Some(_)) => self.give_up(),
            (false, None) => None,
        }
    }

    /// The node is gone: it ends what acts, and so do we.
    pub(crate) fn lose(&mut self) -> Option<Deed> {
        self.held_until.is_some().then(|| self.give_up()).flatten()
    }

    /// Time passed.
    pub(crate) fn turn(&mut self, now: Nanos) -> Option<Deed> {
        let until = self.held_until?;
        if now >= until {
            return self.give_up();
        }
        let next = self.taken_at + ANNOUNCE_AFTER.get(self.announced)?;
        if now < next {
            return None;
        }
        self.announced += 1;
        Some(Deed::Announce)
    }

    fn give_up(&mut self) -> Option<Deed> {
        self.held_until = None;
        Some(Deed::Drop)
    }

    /// Until when it is held at most.
    #[must_use]
    pub(crate) const fn held_until(&self) -> Option<Nanos> {
        self.held_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    fn acting(stop_at: Nanos) -> Word {
        Word { acting: true, stop_at }
    }

    #[test]
    fn it_is_taken_when_the_node_acts_and_dropped_when_it_does_not() {
        let mut holder = Holder::default();
        assert_eq!(holder.hear(0, Word { acting: false, stop_at: 0 }), None);
        assert_eq!(holder.hear(S, acting(3 * S)), Some(Deed::Take));
        assert_eq!(holder.hear(S + 1, acting(4 * S)), None);
        assert_eq!(holder.held_until(), Some(4 * S));
        assert_eq!(holder.hear(S + 2, Word { acting: false, stop_at: 4 * S }), Some(Deed::Drop));
        assert_eq!(holder.hear(S + 3, Word { acting: false, stop_at: 4 * S }), None);
    }

    #[test]
    fn without_another_word_it_is_dropped_at_stop_at_and_not_before() {
        let mut holder = Holder::default();
        assert_eq!(holder.hear(0, acting(S)), Some(Deed::Take));
        holder.announced = ANNOUNCE_AFTER.len();
        assert_eq!(holder.turn(S - 1), None);
        assert_eq!(holder.turn(S), Some(Deed::Drop));
        assert_eq!(holder.turn(S + 1), None);
    }

    #[test]
    fn a_word_that_comes_too_late_takes_nothing() {
        let mut holder = Holder::default();
        assert_eq!(holder.hear(S, acting(S)), None, "its time is over");
        assert_eq!(holder.hear(S - 1, acting(S)), Some(Deed::Take));
        assert_eq!(holder.hear(2 * S, acting(S)), Some(Deed::Drop), "we were not on the processor meanwhile");
    }

    #[test]
    fn a_node_that_is_gone_takes_the_address_with_it() {
        let mut holder = Holder::default();
        assert_eq!(holder.lose(), None);
        assert_eq!(holder.hear(0, acting(S)), Some(Deed::Take));
        assert_eq!(holder.lose(), Some(Deed::Drop));
        assert_eq!(holder.lose(), None);
    }

    #[test]
    fn what_is_taken_is_announced_four_times_more() {
        let mut holder = Holder::default();
        assert_eq!(holder.hear(0, acting(60 * S)), Some(Deed::Take));
        let times: Vec<Nanos> =
            (0..200).map(|n| n * S / 10).filter(|now| holder.turn(*now) == Some(Deed::Announce)).collect();
        assert_eq!(times, [S / 10, S / 2, 2 * S, 10 * S]);
    }
}
