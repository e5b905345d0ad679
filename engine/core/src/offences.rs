//! What no honest party does, or none so often, counted by who did it and told once in a while: so that what one sees of a liar
//! afterwards is its name, and not only that something was refused (spec/behaviour.md, B-OFF-1).

use crate::discard::Discard;
use crate::held::Held;
use crate::links::Party;
use crate::time::{Duration, Instant};
use duohuo_wire::error::DecodeError;
use duohuo_wire::ids::NodeId;
use std::collections::BTreeMap;

/// So long it is counted, and told once.
const WINDOW: Duration = Duration::from_secs(10);

/// What somebody did again and again. The number stands in the event's detail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Offence {
    /// Packets inside its own session that were refused for what they say.
    RefusedPackets = 1,
    /// Claims with a sealed cluster ID that does not open, is another's, or is expired.
    BadSealedIds = 2,
    /// Claims that are not its to make, or while its master is heard. An honest node whose link to its master is cut makes
    /// these too: it is told either way, for somebody should look.
    ClaimsInVain = 3,
    /// Consensus-error reports whose evidence proves nothing: who is honest reports with a quorum's words.
    FalseReports = 4,
    /// Keepalives that say what cannot be: master of an epoch that is another's, or hearing a node that nobody enrolled.
    FalseKeepalives = 5,
}

impl Offence {
    /// How many in a window are told. What accidents and races make of it stays below: a row on its way, a roster, a sealed ID that
    /// expired.
    const fn bound(self) -> u32 {
        match self {
            Self::RefusedPackets => 64,
            Self::BadSealedIds => 4,
            Self::ClaimsInVain | Self::FalseReports | Self::FalseKeepalives => 8,
        }
    }
}

/// Against whom it speaks that a packet was refused: who said it in its own session, if no honest one does (B-OFF-1).
pub(crate) fn offender(party: Option<Party>, why: Discard) -> Option<NodeId> {
    party.filter(|_| is_offence(why)).map(Party::id)
}

/// What is late or early is none, nor what a newer version may say.
const fn is_offence(why: Discard) -> bool {
    match why {
        Discard::Decode(
            DecodeError::UnknownType(_) | DecodeError::UnknownFlags(_) | DecodeError::UnknownCriticalTlv(_),
        ) => false,
        Discard::Decode(_)
        | Discard::Forged
        | Discard::Forbidden
        | Discard::OutOfSequence
        | Discard::BadConsensus
        | Discard::BadBlock
        | Discard::BadStatement => true,
        _ => false,
    }
}

/// By party and kind: since when, and how many. Parties are enrolled, so that there are not many.
#[derive(Debug, Default)]
pub(crate) struct Offences(BTreeMap<(NodeId, Offence), (Instant, u32)>);

impl Offences {
    /// One more. How many it is in this window, when that is to be told.
    pub(crate) fn note(&mut self, now: Instant, who: NodeId, what: Offence) -> Option<u32> {
        let (since, count) = self.0.entry((who, what)).or_insert((now, 0));
        if now - *since >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        (*count == what.bound()).then_some(*count)
    }

    pub(crate) fn held(&self) -> Held {
        Held::entries("offences", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: NodeId = NodeId(7);

    fn told(offences: &mut Offences, from_ms: u64, count: u64) -> Vec<u32> {
        let at = |n| Instant::ZERO + Duration::from_millis(from_ms + n);
        (0..count).filter_map(|n| offences.note(at(n), WHO, Offence::FalseReports)).collect()
    }

    #[test]
    fn who_offends_is_told_at_the_bound_and_once_in_a_window() {
        let mut offences = Offences::default();
        assert_eq!(told(&mut offences, 0, 7), []);
        assert_eq!(told(&mut offences, 9_998, 2), [8], "the window is 10 s from the first");
        assert_eq!(told(&mut offences, 10_000, 7), [], "it is counted anew");
        assert_eq!(told(&mut offences, 10_007, 500), [8]);
    }

    #[test]
    fn each_party_and_each_kind_is_counted_by_itself() {
        let mut offences = Offences::default();
        assert_eq!(told(&mut offences, 0, 7), []);
        assert_eq!(offences.note(Instant::ZERO, NodeId(8), Offence::FalseReports), None);
        for n in 1..=3 {
            assert_eq!(offences.note(Instant::ZERO, WHO, Offence::BadSealedIds), None, "{n}");
        }
        assert_eq!(offences.note(Instant::ZERO, WHO, Offence::BadSealedIds), Some(4));
        assert_eq!(offences.held().entries, 3);
    }

    #[test]
    fn what_is_late_or_of_a_newer_version_is_no_offence() {
        for why in [Discard::OldEpoch, Discard::UnknownEpoch, Discard::Unexpected, Discard::Replayed] {
            assert!(!is_offence(why), "{why:?}");
        }
        for why in [Discard::BadConsensus, Discard::BadStatement, Discard::Forbidden, Discard::BadBlock] {
            assert!(is_offence(why), "{why:?}");
        }
        assert!(!is_offence(Discard::Decode(DecodeError::UnknownType(0xEE))));
        assert!(is_offence(Discard::Decode(DecodeError::TrailingBytes)));
        assert_eq!(offender(Some(Party::Node(WHO)), Discard::Forbidden), Some(WHO));
        assert_eq!(offender(Some(Party::Node(WHO)), Discard::OldEpoch), None);
        assert_eq!(offender(None, Discard::Forbidden), None, "nobody is named for what came in no session");
    }
}
