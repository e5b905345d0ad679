//! Why an input had no effect: counted, never answered, never logged one by one.

use duohuo_wire::error::DecodeError;
use duohuo_wire::handshake::HandshakeError;
use duohuo_wire::ids::NodeId;
use duohuo_wire::versions::Versions;
use std::collections::BTreeMap;

/// Why an input was dropped. The label of each is its metric label and stands in the spec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discard {
    /// The bytes break a rule of the format.
    Decode(DecodeError),
    /// The seal does not hold: a wrong key, or somebody tampered.
    Forged,
    /// The sender's signature inside a group packet does not hold.
    BadSignature,
    /// Its sequence was seen already, or is too old to tell.
    Replayed,
    /// No session of that number.
    UnknownSession,
    /// The key is not in the roster.
    UnknownKey,
    /// A known key, but not from its address in the roster.
    WrongAddress,
    /// The group generation is not one in use.
    UnknownGeneration,
    /// The first MAC of a handshake does not hold.
    BadMac,
    /// A handshake's timestamp is not above the last one of that key.
    OldHandshake,
    /// A handshake that did not complete.
    BadHandshake,
    /// A handshake that holds, with a party with which there is no version in common.
    NoCommonVersion {
        /// Who.
        party: NodeId,
        /// What it says that it speaks.
        theirs: Versions,
    },
    /// Over the rate at which handshakes are taken.
    RateLimited,
    /// Not allowed for this sender: another cluster's node, a client, a node that is not master.
    Forbidden,
    /// Of an older epoch than the one known.
    OldEpoch,
    /// Of an epoch whose grant is not known here.
    UnknownEpoch,
    /// Nothing like it is awaited.
    Unexpected,
    /// A stream's sequence is not the next one.
    OutOfSequence,
    /// Our own packet came back.
    Reflected,
    /// A well-formed consensus message that the chain found wrong.
    BadConsensus,
    /// A block that was refused.
    BadBlock,
    /// A signed statement whose signature does not hold.
    BadStatement,
    /// A stream that did not finish its handshake or its packet in time.
    TooSlow,
}

impl Discard {
    /// Metric label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Decode(error) => error.label(),
            Self::Forged => "forged",
            Self::BadSignature => "bad_signature",
            Self::Replayed => "replayed",
            Self::UnknownSession => "unknown_session",
            Self::UnknownKey => "unknown_key",
            Self::WrongAddress => "wrong_address",
            Self::UnknownGeneration => "unknown_generation",
            Self::BadMac => "bad_mac",
            Self::OldHandshake => "old_handshake",
            Self::BadHandshake => "bad_handshake",
            Self::NoCommonVersion { .. } => "bad_version",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::OldEpoch => "old_epoch",
            Self::UnknownEpoch => "unknown_epoch",
            Self::Unexpected => "unexpected",
            Self::OutOfSequence => "out_of_sequence",
            Self::Reflected => "reflected",
            Self::BadConsensus => "bad_consensus",
            Self::BadBlock => "bad_block",
            Self::BadStatement => "bad_statement",
            Self::TooSlow => "too_slow",
        }
    }
}

impl Discard {
    /// Why a handshake with that party came to nothing.
    #[must_use]
    pub const fn handshake(error: HandshakeError, party: NodeId) -> Self {
        match error {
            HandshakeError::Forged | HandshakeError::BadKey => Self::BadHandshake,
            HandshakeError::WrongSession => Self::UnknownSession,
            HandshakeError::NoCommonVersion(theirs) => Self::NoCommonVersion { party, theirs },
        }
    }
}

/// The counters, by label.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Discards(BTreeMap<&'static str, u64>);

impl Discards {
    /// Count one.
    pub fn count(&mut self, why: Discard) {
        let n = self.0.entry(why.label()).or_default();
        *n = n.saturating_add(1);
    }

    /// How many with this label.
    #[must_use]
    pub fn of(&self, label: &str) -> u64 {
        self.0.get(label).copied().unwrap_or(0)
    }

    /// All that are not zero, by label.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(label, n)| (*label, *n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W-HSK-5: the crate of the wire and the machines count one refusal under one label.
    #[test]
    fn a_refused_handshake_has_one_label() {
        let version = HandshakeError::NoCommonVersion(Versions::FIRST);
        for error in [HandshakeError::Forged, HandshakeError::WrongSession, HandshakeError::BadKey, version] {
            assert_eq!(Discard::handshake(error, NodeId(7)).label(), error.label());
        }
        assert_eq!(version.label(), "bad_version");
        assert_eq!(HandshakeError::Forged.label(), "bad_handshake");
        assert_eq!(HandshakeError::WrongSession.label(), "unknown_session");
    }
}
