//! A set of nodes, small enough to copy.

use core::fmt;
use duohuo_wire::ids::NodeId;

/// A set of nodes, one bit each; node k of the model is `NodeId(k + 1)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Members(pub u8);

/// The number by which the authority knows node k.
#[must_use]
pub const fn id(node: u8) -> NodeId {
    NodeId(node as u32 + 1)
}

/// The node of the model behind a number.
///
/// # Panics
/// If the number was not made by [`id`].
#[must_use]
pub fn index(id: NodeId) -> u8 {
    id.0.checked_sub(1).and_then(|k| u8::try_from(k).ok()).expect("a number made by id()")
}

impl Members {
    /// One node.
    #[must_use]
    pub const fn one(node: u8) -> Self {
        Self(1 << node)
    }

    /// The first `n` nodes.
    #[must_use]
    pub const fn first(n: u8) -> Self {
        Self((1 << n) - 1)
    }

    /// From the authority's list.
    #[must_use]
    pub fn of(ids: &[NodeId]) -> Self {
        ids.iter().fold(Self::default(), |set, node| set.with(index(*node)))
    }

    /// As the authority lists them: ascending.
    #[must_use]
    pub fn ids(self) -> Vec<NodeId> {
        self.iter().map(id).collect()
    }

    /// Whether it holds this node.
    #[must_use]
    pub const fn has(self, node: u8) -> bool {
        self.0 & (1 << node) != 0
    }

    /// With this node.
    #[must_use]
    pub const fn with(self, node: u8) -> Self {
        Self(self.0 | 1 << node)
    }

    /// Without this node.
    #[must_use]
    pub const fn without(self, node: u8) -> Self {
        Self(self.0 & !(1 << node))
    }

    /// In either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// In this one and not in the other.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Nobody.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |node| self.has(*node))
    }

    /// All its subsets, the empty one too.
    pub fn subsets(self) -> impl Iterator<Item = Self> {
        (0..=self.0).filter(move |bits| bits & !self.0 == 0).map(Self)
    }

    /// The same set after the nodes were given other names.
    #[must_use]
    pub fn renamed(self, names: &[u8]) -> Self {
        self.iter().fold(Self::default(), |set, node| set.with(names[usize::from(node)]))
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
