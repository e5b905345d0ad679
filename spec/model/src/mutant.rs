//! The rules that can be left out, one at a time, to see that the model needs each of them.

use core::str::FromStr;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutant {
    /// The master releases after its own write alone (B-GATE-2).
    ReleaseAlone,
    /// The master releases after more than half of the set have acknowledged (B-GATE-2).
    ReleaseAfterMajority,
    /// The master releases before its own disk has the record (B-GATE-2).
    ReleaseBeforeOwnDisk,
    /// A follower acknowledges before its disk has what it acknowledges (B-LOG-5).
    AcknowledgeBeforeDurable,
    /// A follower acknowledges an epoch below the promised one (B-LOG-1).
    AcknowledgeOldEpoch,
    /// In an epoch that is synced, a late shorter log overwrites a newer one (B-LOG-3).
    LateResyncOverwrites,
    /// A node takes the first part of a new master's log for the whole of it (B-LOG-12).
    LogPartByPart,
    /// The master stops waiting for a member when it asks for its removal (B-GATE-6).
    ShrinkBeforeConfirmed,
    /// The master asks for the addition of a node that has not acknowledged all that was exposed (B-ISS-4).
    GrowBeforeCaughtUp,
    /// The master does not wait for a node whose addition it asked for (B-ISS-4).
    GrowWithoutWaiting,
    /// What a master inherited does not count as exposed, and a node that acknowledged nothing in this epoch as one that
    /// acknowledged a log of length 0 (B-GATE-4).
    InheritedNotExposed,
    /// A restarted master takes its role up again when it reads the row (B-ROL-2).
    RestartKeepsRole,
    /// A granted node acts before its promise is durable (B-ROL-1).
    ActBeforePromise,
    /// A granted node gives its log to the others before its promise is durable (B-ROL-1).
    GiveLogBeforePromise,
    /// The authority compares the epoch only, not the version (B-TAB-1).
    NoVersions,
    /// The authority grants to a node outside the in-sync set (B-TAB-2).
    GrantOutside,
    /// The authority tells a decision before it is durable, and has forgotten it after a restart (B-AUTH-1).
    AuthorityForgets,
    /// The authority grants to a barred node (B-TAB-2).
    BarredGranted,
    /// The authority counts reports by packet and not by cluster (B-ERR-3).
    ReportsPerPacket,
    /// A forced master speaks without putting up a fence (B-FNC-1).
    NoFence,
    /// The others tell a forced master what they counted, and promise nothing (B-FNC-2).
    FenceWithoutPromise,
    /// The duty to fence ends with the grant that the force made (B-TAB-7).
    DutyNotInherited,
    /// A forced master knows what its fence closed, and its log does not (B-FNC-3, B-FNC-4).
    FenceNotInLog,
    /// A restarted node takes no heed of what it noted (decision 43).
    NoteForgotten,
    /// An old row, that anybody may have, ends the doubt of a restarted node (decision 43).
    DoubtEndsByAnyRow,
    /// A note takes the place of an older one under which the node acts, and its promise is on no disk (decision 43).
    NoteReplacesPromise,
    /// A granted node acts by the note of another epoch (decision 43).
    ActByAnotherNote,
    /// A note stands for whatever log its node is given (decision 48).
    NoteForAnotherLog,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::ReleaseAlone,
        Self::ReleaseAfterMajority,
        Self::ReleaseBeforeOwnDisk,
        Self::AcknowledgeBeforeDurable,
        Self::AcknowledgeOldEpoch,
        Self::LateResyncOverwrites,
        Self::LogPartByPart,
        Self::ShrinkBeforeConfirmed,
        Self::GrowBeforeCaughtUp,
        Self::GrowWithoutWaiting,
        Self::InheritedNotExposed,
        Self::RestartKeepsRole,
        Self::ActBeforePromise,
        Self::GiveLogBeforePromise,
        Self::NoVersions,
        Self::GrantOutside,
        Self::AuthorityForgets,
        Self::BarredGranted,
        Self::ReportsPerPacket,
        Self::NoFence,
        Self::FenceWithoutPromise,
        Self::DutyNotInherited,
        Self::FenceNotInLog,
        Self::NoteForgotten,
        Self::DoubtEndsByAnyRow,
        Self::NoteReplacesPromise,
        Self::ActByAnotherNote,
        Self::NoteForAnotherLog,
    ];
}

impl FromStr for Mutant {
    type Err = String;

    /// By the name of the variant.
    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|mutant| format!("{mutant:?}") == name).copied();
        known.ok_or_else(|| format!("no rule {name:?}; expected one of {:?}", Self::ALL))
    }
}
