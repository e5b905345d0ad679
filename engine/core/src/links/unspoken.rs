//! Whom we cannot speak to, told to an operator: of each party once a minute at most (W-VER-2).

use crate::discard::Discard;
use crate::event::Event;
use crate::outbox::Outbox;
use crate::time::{Duration, Instant};
use duohuo_wire::ids::NodeId;
use duohuo_wire::versions::Versions;
use std::collections::BTreeMap;

/// Between two lines about one party.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

/// When each party was told of. Only keys of the roster come so far, which bounds it.
#[derive(Default)]
pub(super) struct Unspoken(BTreeMap<NodeId, Instant>);

impl Unspoken {
    pub(super) fn note(&mut self, now: Instant, why: &Discard, ours: Versions, out: &mut Outbox) {
        let Discard::NoCommonVersion { party, theirs } = *why else { return };
        if self.0.get(&party).is_none_or(|at| now - *at >= TELL_INTERVAL) {
            self.0.insert(party, now);
            out.event(Event::NoCommonVersion { party, theirs, ours });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Output;

    #[test]
    fn each_party_is_told_of_once_a_minute() {
        let (mut unspoken, mut out) = (Unspoken::default(), Outbox::default());
        let ours = Versions { lowest: 2, highest: 2 };
        let at = |ms: u64| Instant::ZERO + Duration::from_millis(ms);
        let why = |party| Discard::NoCommonVersion { party: NodeId(party), theirs: Versions::FIRST };
        let mut told = |ms, why: &Discard| {
            unspoken.note(at(ms), why, ours, &mut out);
            out.pop()
        };
        let expected = Event::NoCommonVersion { party: NodeId(7), theirs: Versions::FIRST, ours };
        assert!(matches!(told(0, &why(7)), Some(Output::Event(event)) if event == expected));
        assert!(told(59_999, &why(7)).is_none());
        assert!(told(59_999, &why(8)).is_some());
        assert!(told(60_000, &why(7)).is_some());
        assert!(told(60_001, &why(7)).is_none());
        assert!(told(200_000, &Discard::BadHandshake).is_none());
    }
}
