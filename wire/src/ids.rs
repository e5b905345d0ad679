//! The numbers everything is named by: newtypes, so that a cluster can never be taken for a node.

use core::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

number!(
    /// One member of the chain: a cluster of nodes (mission.md, "cluster"). 0 is never assigned.
    ClusterId(u32),
    "c"
);
number!(
    /// One enrolled party of the consortium: a node, or the authority, which is always [`NodeId::AUTHORITY`].
    /// Unique over all clusters and clients.
    NodeId(u32),
    "n"
);
number!(
    /// The reign of one master. Grows by one with every grant of its cluster; 0 = no master was ever registered.
    Epoch(u64),
    "e"
);
number!(
    /// Counts the changes of a row inside one epoch; starts at 0 with every grant.
    Version(u64),
    "v"
);
number!(
    /// Height of a block; 0 = the genesis, which is not a block.
    Height(u64),
    "h"
);
number!(
    /// A failure domain: one machine room.
    RoomId(u16),
    "room "
);
number!(
    /// Position of a record in a cluster's log, from 0.
    LogIndex(u64),
    "#"
);

impl NodeId {
    /// The authentication service.
    pub const AUTHORITY: Self = Self(0);
}

impl Epoch {
    /// The epoch after this one. Epochs are 64 bits wide: at one grant a microsecond they last 584,000 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Height {
    /// The height after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
