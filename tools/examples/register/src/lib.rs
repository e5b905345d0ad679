//! A register of documents: whoever enters a name first owns it, with the hash of a document, for ever. Not a ledger of
//! accounts, and with transactions of any length: the second application on the chain, beside the account ledger.
//!
//! README.md beside it goes through what is here, step by step.

use duohuo_chain::{Application, Transaction};
use duohuo_core::chain::TransactionId;
use duohuo_wire::ids::Height;
use std::collections::BTreeMap;

/// Bytes of a name, at most.
pub const MAX_NAME_BYTES: usize = 200;

/// Enters a document under a name: id 16, valid_until u64, name (u8 length and bytes), digest 32.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deed {
    /// Chosen by the client at random.
    pub id: TransactionId,
    /// The last height whose block may hold it.
    pub valid_until: Height,
    /// 1 to [`MAX_NAME_BYTES`] bytes.
    pub name: Vec<u8>,
    /// SHA-256 of the document, say; the register does not look at it.
    pub digest: [u8; 32],
}

impl Transaction for Deed {
    const SHORTEST: usize = 16 + 8 + 1 + 1 + 32;

    fn id(&self) -> TransactionId {
        self.id
    }

    fn valid_until(&self) -> Height {
        self.valid_until
    }

    fn length(&self) -> usize {
        16 + 8 + 1 + self.name.len() + 32
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.valid_until.0.to_be_bytes());
        out.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&self.digest);
    }

    fn read(input: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = input.split_first_chunk::<16>()?;
        let (valid_until, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first()?;
        let length = usize::from(*length);
        if length == 0 || length > MAX_NAME_BYTES {
            return None;
        }
        let (name, rest) = rest.split_at_checked(length)?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let deed = Self {
            id: TransactionId(*id),
            valid_until: Height(u64::from_be_bytes(*valid_until)),
            name: name.to_vec(),
            digest: *digest,
        };
        Some((deed, rest))
    }
}

/// The register after the last block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Register {
    /// Name -> digest.
    entries: BTreeMap<Vec<u8>, [u8; 32]>,
    /// Entered by the block that is being carried out.
    entered: Vec<Vec<u8>>,
    wrong: bool,
}

impl Register {
    /// What stands under a name.
    #[must_use]
    pub fn entry(&self, name: &[u8]) -> Option<[u8; 32]> {
        self.entries.get(name).copied()
    }

    fn put(out: &mut Vec<u8>, name: &[u8], digest: &[u8; 32]) {
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name);
        out.extend_from_slice(digest);
    }
}

impl Application for Register {
    type Transaction = Deed;

    /// It begins empty: nothing to tell two registers apart by but this.
    fn genesis(&self) -> Vec<u8> {
        b"register 1".to_vec()
    }

    fn execute(&mut self, deed: &Deed) -> bool {
        if self.entries.contains_key(&deed.name) {
            return false;
        }
        let mut digest = deed.digest;
        if self.wrong
            && let Some(first) = digest.first_mut()
        {
            *first ^= 1;
        }
        self.entries.insert(deed.name.clone(), digest);
        self.entered.push(deed.name.clone());
        true
    }

    fn end_block(&mut self, _: Height, changes: &mut Vec<u8>) {
        for name in core::mem::take(&mut self.entered) {
            if let Some(digest) = self.entries.get(&name) {
                Self::put(changes, &name, digest);
            }
        }
    }

    fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, digest) in &self.entries {
            Self::put(&mut out, name, digest);
        }
        out
    }

    fn restore(&mut self, mut snapshot: &[u8]) -> bool {
        let mut entries = BTreeMap::new();
        while let Some((length, rest)) = snapshot.split_first() {
            let Some((name, rest)) = rest.split_at_checked(usize::from(*length)) else { return false };
            let Some((digest, rest)) = rest.split_first_chunk::<32>() else { return false };
            let above =
                entries.last_key_value().is_none_or(|(last, _): (&Vec<u8>, _)| last.as_slice() < name);
            if !above {
                return false;
            }
            entries.insert(name.to_vec(), *digest);
            snapshot = rest;
        }
        self.entries = entries;
        self.entered.clear();
        true
    }

    /// A name; the answer is its digest, or nothing if nobody entered it.
    fn query(&self, question: &[u8]) -> Option<Vec<u8>> {
        Some(self.entry(question).map(|digest| digest.to_vec()).unwrap_or_default())
    }

    fn inject_wrong_results(&mut self, on: bool) {
        self.wrong = on;
    }
}
