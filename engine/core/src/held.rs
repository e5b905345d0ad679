//! What a machine holds in memory, for whoever watches that it stays bounded (design P6).

/// Entries of one kind, and their bytes where these can be many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// What they are.
    pub name: &'static str,
    /// How many.
    pub entries: usize,
    /// Their bytes; 0 where an entry is small and of one size.
    pub bytes: usize,
}

impl Held {
    /// Entries of a fixed size.
    #[must_use]
    pub const fn entries(name: &'static str, entries: usize) -> Self {
        Self { name, entries, bytes: 0 }
    }
}
