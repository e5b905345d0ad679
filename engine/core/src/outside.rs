//! What acts outside the chain (design R7): a service of the operator's, a virtual address. The words in which the
//! driver, which runs its programs, and the node's machine speak of it. Nothing here decides.

use crate::lease::LeaseTerms;
use duohuo_wire::ids::{ClusterId, Height, NodeId};

pub use crate::lease::Ended;

/// What a node is told about what acts outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutsideConfig {
    /// The lease. The same on all nodes of the cluster.
    pub lease: LeaseTerms,
    /// Whether this node's copy is out of step until [`Report::Copy`] says otherwise.
    pub has_copy: bool,
    /// Whether a member is added only when [`Report::Covers`] names it.
    pub has_cover: bool,
}

/// What the driver reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// What acted has ended: said after each `StopActing`, when it is so.
    Stopped,
    /// A program ended.
    Ran {
        /// Which.
        program: Program,
        /// How.
        ending: Ending,
    },
    /// The service is well (0), its node's priority is lower by so much (1..=254), or it is unfit to act (255).
    Health {
        /// See above.
        cut: u8,
    },
    /// Whether this node's copy is in step with the master's, and how far it is.
    Copy {
        /// In step.
        in_step: bool,
        /// How far, as the program counts.
        position: u64,
    },
    /// What acts confirms nothing any more that one of these lacks, and they have all that was confirmed before.
    Covers {
        /// The members of the last `Output::Cover` that was carried out.
        members: Vec<NodeId>,
    },
    /// What ran the programs was lost and begins anew: it ends what acts first, and covers nobody yet.
    Restarted,
    /// What the chain beside this node says; answered by `Output::Answer`.
    Word {
        /// Names the question.
        token: u64,
        /// What it says.
        word: Word,
    },
}

/// What a chain that runs beside a node tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// The state after the block of that height, as this node's own chain computed it.
    Result {
        /// Of the chain beside.
        height: Height,
        /// Over its state.
        hash: [u8; 32],
    },
    /// That cluster's result at that height is wrong.
    Accuse {
        /// Whose.
        cluster: ClusterId,
        /// Where.
        height: Height,
    },
}

/// What came of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WordAnswer {
    /// A result: signed and told to the other masters.
    Told,
    /// A result: kept until this node leads; an accusation: until there are two results that differ.
    Kept,
    /// The authority has, or is being sent, the two results that differ.
    Reported,
    /// This node signed another result of that height in this epoch: it contradicts itself, and the first stands.
    Contradicts,
    /// An accusation: both results are the same.
    Agrees,
    /// An accusation: this node is not master, and only a master is heard.
    NotMaster,
    /// There is no such cluster, or it is our own.
    NoCluster,
    /// The node's chain is no chain beside it.
    NoHooks,
}

impl WordAnswer {
    /// Its name on the socket and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Kept => "kept",
            Self::Reported => "reported",
            Self::Contradicts => "contradicts",
            Self::Agrees => "agrees",
            Self::NotMaster => "not_master",
            Self::NoCluster => "no_cluster",
            Self::NoHooks => "no_hooks",
        }
    }

    /// Whether the word was taken.
    #[must_use]
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Told | Self::Kept | Self::Reported)
    }
}

/// A cut that makes a node unfit to act.
pub const UNFIT: u8 = 255;

/// The programs an operator may name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Program {
    /// Begins to act.
    Promote = 1,
    /// Ends it.
    Demote = 2,
    /// Ends it by force, when the one before did not in time.
    Kill = 3,
    /// Whether the service is well.
    Health = 4,
    /// Whether this copy is in step.
    Sync = 5,
    /// Makes what acts wait for these members.
    Cover = 6,
    /// Makes this node's copy follow the master's.
    Follow = 7,
}

impl Program {
    /// Its key in the configuration, and its name in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Demote => "demote",
            Self::Kill => "kill",
            Self::Health => "health",
            Self::Sync => "sync",
            Self::Cover => "cover",
            Self::Follow => "follow",
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ending {
    /// With status 0.
    Done = 0,
    /// With another status, or by a signal that was not ours.
    Failed = 1,
    /// It was killed at its limit.
    TimedOut = 2,
    /// It was killed because something more urgent came.
    Overtaken = 3,
    /// It could not be started.
    NotStarted = 4,
}

impl Ending {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Overtaken => "overtaken",
            Self::NotStarted => "not_started",
        }
    }
}
