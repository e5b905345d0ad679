//! Versions of the wire: what a party says that it speaks, and which of them a session speaks (spec/wire.md 3.3).
//!
//! The range travels beside Noise, as an extension of both messages, since a party that knows only version 1 hashes none. So it
//! is told once more under the seal: in version 1 by the proof, in version 2 by the keys, which are derived from it.

use crate::{
    assigned::VERSIONS,
    packet::{HandshakeInit, HandshakeResponse, Probe},
    tlv::Extensions,
};

/// What the handshake, everything under the group seal, and a session with a party that states no range speak.
pub const FIRST: u8 = 1;
/// The highest version that this crate speaks.
pub const NEWEST: u8 = 2;

/// The versions that a party speaks, lowest and highest included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Versions {
    /// 1 or more.
    pub lowest: u8,
    /// `lowest` or more.
    pub highest: u8,
}

impl Versions {
    /// Version 1 alone: what a party speaks that states nothing.
    pub const FIRST: Self = Self { lowest: FIRST, highest: FIRST };
    /// All that this crate speaks.
    pub const ALL: Self = Self { lowest: FIRST, highest: NEWEST };

    /// From `lowest` to `highest`; `None` if that is no range.
    #[must_use]
    pub const fn new(lowest: u8, highest: u8) -> Option<Self> {
        if lowest == 0 || lowest > highest { None } else { Some(Self { lowest, highest }) }
    }

    /// The highest version in both; `None` if there is none.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u8> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }

    fn bytes(self) -> [u8; 2] {
        [self.lowest, self.highest]
    }

    fn stated(extensions: &Extensions) -> Option<Self> {
        let [lowest, highest] = extensions.get(VERSIONS)?.try_into().ok()?;
        Self::new(lowest, highest)
    }

    /// What an initiation states; `None`: nothing, or nothing that is a range.
    #[must_use]
    pub fn of_init(init: &HandshakeInit) -> Option<Self> {
        Self::stated(&init.extensions)
    }

    /// What a response states.
    #[must_use]
    pub fn of_response(response: &HandshakeResponse) -> Option<Self> {
        Self::stated(&response.extensions)
    }

    pub(crate) fn state(self, extensions: &mut Extensions) {
        extensions.insert(VERSIONS, &self.bytes());
    }
}

/// Shown as `1`, or as `1..2`.
impl core::fmt::Display for Versions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.lowest == self.highest {
            write!(f, "{}", self.lowest)
        } else {
            write!(f, "{}..{}", self.lowest, self.highest)
        }
    }
}

/// Both ranges of a handshake, as one side knows them: what it stated, and what came of the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// The initiator's.
    pub initiator: Versions,
    /// The responder's; version 1 alone if the initiator stated nothing.
    pub responder: Versions,
}

impl Agreement {
    /// What the proof tells: [`Versions::FIRST`] of both if it says nothing.
    #[must_use]
    pub fn of(proof: &Probe) -> Self {
        let told = || {
            let [a, b, c, d] = proof.extensions.get(VERSIONS)?.try_into().ok()?;
            Some(Self { initiator: Versions::new(a, b)?, responder: Versions::new(c, d)? })
        };
        told().unwrap_or(Self { initiator: Versions::FIRST, responder: Versions::FIRST })
    }

    /// The first packet of an initiator that stated its range (W-HSK-11, W-VER-3).
    #[must_use]
    pub fn proof(self) -> Probe {
        let mut proof = Probe::default();
        proof.extensions.insert(VERSIONS, &self.bytes());
        proof
    }

    /// The version that the session speaks.
    #[must_use]
    pub fn version(self) -> Option<u8> {
        self.initiator.common(self.responder)
    }

    pub(crate) fn bytes(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.initiator.bytes(), self.responder.bytes());
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn range(lowest: u8, highest: u8) -> Versions {
        Versions::new(lowest, highest).unwrap()
    }

    #[test]
    fn the_highest_version_that_both_hold_is_spoken() {
        for (one, other, common) in [
            (range(1, 2), range(1, 2), Some(2)),
            (range(1, 2), range(1, 1), Some(1)),
            (range(1, 3), range(2, 7), Some(3)),
            (range(2, 2), range(1, 1), None),
            (range(3, 9), range(1, 2), None),
            (range(255, 255), range(1, 255), Some(255)),
        ] {
            assert_eq!((one.common(other), other.common(one)), (common, common), "{one} and {other}");
        }
    }

    #[test]
    fn what_is_no_range_is_as_if_nothing_were_stated() {
        for value in [&[][..], &[1], &[0, 1], &[2, 1], &[1, 2, 3]] {
            let mut init = HandshakeInit::default();
            init.extensions.insert(0x0001, value);
            assert_eq!(Versions::of_init(&init), None, "{value:?}");
        }
        let mut init = HandshakeInit::default();
        init.extensions.insert(0x0001, &[1, 2]);
        assert_eq!(Versions::of_init(&init), Some(range(1, 2)));
        assert_eq!(Versions::of_init(&HandshakeInit::default()), None);
    }

    #[test]
    fn the_proof_tells_both_ranges() {
        let agreement = Agreement { initiator: range(1, 2), responder: range(1, 3) };
        let proof = agreement.proof();
        assert_eq!(proof.extensions.get(0x0001), Some(&[1, 2, 1, 3][..]));
        assert_eq!(Agreement::of(&proof), agreement);
        let silent = Agreement { initiator: range(1, 1), responder: range(1, 1) };
        assert_eq!(Agreement::of(&Probe::default()), silent);
        for value in [&[1, 2, 1][..], &[1, 2, 1, 3, 0], &[0, 2, 1, 3], &[1, 2, 3, 1]] {
            let mut bent = Probe::default();
            bent.extensions.insert(0x0001, value);
            assert_eq!(Agreement::of(&bent), silent, "{value:?}");
        }
    }

    #[test]
    fn a_range_is_shown_as_one_number_or_two() {
        assert_eq!((range(1, 1).to_string(), range(1, 2).to_string()), ("1".into(), "1..2".into()));
    }
}
