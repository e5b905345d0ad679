//! The journal: every decision of the authority in order, each chained to the one before by a hash, the last one signed
//! (spec/wire.md 5.7). Who has read it once notices if a line of it is changed later.

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field, Parsed},
    crypt::sha256,
    error::DecodeError,
    ids::{ClusterId, Epoch, NodeId, Version},
};

crate::codec::code_enum! {
    /// What was decided.
    DecisionKind {
        /// A cluster's first master.
        Register = 0,
        /// A new master.
        Grant = 1,
        /// A node joined the in-sync set.
        Add = 2,
        /// A node left the in-sync set.
        Remove = 3,
        /// The master was barred after a wrong result.
        Bar = 4,
        /// An operator's order.
        Order = 5,
        /// A forced master's fence stands.
        Fenced = 6,
    }
}

crate::codec::code_enum! {
    /// Why a master was granted.
    DecisionReason {
        /// Not known, or none was needed.
        None = 0,
        /// The master did not answer its neighbour.
        Suspicion = 1,
        /// The master's stream closed.
        StreamClosed = 2,
        /// The master was barred.
        Forced = 3,
        /// Nobody acted.
        Vacant = 4,
        /// The master itself restarted.
        Restart = 5,
        /// An operator wanted it.
        Order = 6,
    }
}

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalEntry {
    /// From 1, without gaps: the version of the table after it.
    pub number: u64,
    /// When it was decided, microseconds since 1970; 0 = not known.
    pub at_unix_us: u64,
    /// What.
    pub kind: DecisionKind,
    /// Why, of a new master.
    pub reason: DecisionReason,
    /// Where; 0 = everywhere.
    pub cluster: ClusterId,
    /// The row's epoch after it.
    pub epoch: Epoch,
    /// The row's version after it.
    pub version: Version,
    /// The master before; 0 = none.
    pub old: NodeId,
    /// The master after it.
    pub new: NodeId,
    /// Whom it is about; 0 = nobody.
    pub node: NodeId,
    /// The signed order, if it was one: 5.6.
    pub order: Bytes,
}

impl JournalEntry {
    /// The chain's hash after this entry: SHA-256 of the hash before it and its encoding. The first one has 32 zeros
    /// before it.
    #[must_use]
    pub fn chained(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut bytes = BytesMut::from(&before[..]);
        self.put(&mut bytes);
        sha256(&[&bytes])
    }

    /// Reads one entry and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut or out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::whole(bytes, "entry")
    }

    /// Appends the fields.
    pub fn encode(&self, out: &mut BytesMut) {
        self.put(out);
    }
}

impl Field for JournalEntry {
    const LEAST: usize = 52;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let entry = Self {
            number: codec::get(input, "entry.number")?,
            at_unix_us: codec::get(input, "entry.at_unix_us")?,
            kind: codec::get(input, "entry.kind")?,
            reason: codec::get(input, "entry.reason")?,
            cluster: codec::get(input, "entry.cluster")?,
            epoch: codec::get(input, "entry.epoch")?,
            version: codec::get(input, "entry.version")?,
            old: codec::get(input, "entry.old")?,
            new: codec::get(input, "entry.new")?,
            node: codec::get(input, "entry.node")?,
            order: codec::get_bytes16(input, "entry.order")?,
        };
        Ok((input, entry))
    }
    fn put(&self, out: &mut BytesMut) {
        self.number.put(out);
        self.at_unix_us.put(out);
        self.kind.put(out);
        self.reason.put(out);
        self.cluster.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.old.put(out);
        self.new.put(out);
        self.node.put(out);
        codec::put_bytes16(&self.order, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_entry_is_as_long_as_is_said() {
        let mut bytes = BytesMut::new();
        JournalEntry::default().encode(&mut bytes);
        assert_eq!(bytes.len(), JournalEntry::LEAST);
    }

    #[test]
    fn each_hash_depends_on_the_entry_and_on_all_before_it() {
        let one = JournalEntry { number: 1, ..Default::default() };
        let other = JournalEntry { number: 1, node: NodeId(7), ..Default::default() };
        let start = [0; 32];
        assert_ne!(one.chained(&start), other.chained(&start));
        assert_ne!(one.chained(&one.chained(&start)), one.chained(&start));
        // The hash of 32 zeros and the 52 bytes of the first entry, by sha256sum.
        let expected = "6a37b5aae10e597af0b93a67b62e42df61313bf30bed9abad7c8626e595518cb";
        let hex: String = one.chained(&start).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
