//! How far an exploration goes.

/// Nodes at most.
pub const MAX_NODES: usize = 4;
/// Epochs at most; one more is kept for asking whether a state could go on.
pub const MAX_EPOCHS: usize = 7;
/// Slots at most.
pub const MAX_SLOTS: usize = 4;

/// The bounds of an exploration: within them it is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Nodes of the cluster, 2 ..= 4. All are in sync at the start and node 0 is master of epoch 1.
    pub nodes: u8,
    /// The last epoch that is granted, 1 ..= 7.
    pub epochs: u8,
    /// Additions and removals in one epoch.
    pub changes: u8,
    /// Slots that the cluster may sign, 1 ..= 4; each has one record.
    pub slots: u8,
    /// Values that a master chooses from, 1 or 2. Two records of different epochs differ with one value too.
    pub values: u8,
    /// Different messages that were ever sent in one state, rows included; `usize::MAX`: as many as there are.
    pub messages: usize,
    /// Whether masters may be accused of errors and barred.
    pub bars: bool,
    /// Starts by an operator's force.
    pub forces: u8,
    /// Whether nodes note an epoch before it is granted (decision 43).
    pub notes: bool,
}

impl Bounds {
    /// Whether the model can be built so large.
    ///
    /// # Errors
    /// What is out of range, and the range.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: u8, least: u8, most: usize| {
            if value < least || usize::from(value) > most {
                return Err(format!("{name} is {value}, expected {least} to {most}"));
            }
            Ok(())
        };
        within("--nodes", self.nodes, 2, MAX_NODES)?;
        within("--epochs", self.epochs, 1, MAX_EPOCHS)?;
        within("--slots", self.slots, 1, MAX_SLOTS)?;
        within("--values", self.values, 1, 2)?;
        within("--changes", self.changes, 0, 16)?;
        within("--forces", self.forces, 0, MAX_EPOCHS)
    }
}
