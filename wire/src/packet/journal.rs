//! `Journal` (type 0x63): a page of the authority's decisions, chained by hashes, the head signed (AUTH-7).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       before (32 bytes)                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         entries count         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                 entries: count x entry (5.7)                  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             head                              |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     head_hash (32 bytes)                      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     signature (64 bytes)                      |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        extensions ...                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    journal::JournalEntry,
    sign::{self, SigningKey, VerifyingKey},
    tlv::Extensions,
};

/// A page of the authority's decisions, chained by hashes, the head signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Journal {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The chain's hash before the first entry of this page.
    pub before: [u8; 32],
    /// In order, without gaps.
    pub entries: Vec<JournalEntry>,
    /// The number of the last decision of all.
    pub head: u64,
    /// The chain's hash after it.
    pub head_hash: [u8; 32],
    /// By the authority, over "duohuo journal 1", head and head_hash.
    pub signature: [u8; 64],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for Journal {
    fn default() -> Self {
        Self {
            request: Default::default(),
            before: Default::default(),
            entries: Default::default(),
            head: Default::default(),
            head_hash: Default::default(),
            signature: [0; 64],
            extensions: Extensions::default(),
        }
    }
}

impl Journal {
    /// States and signs.
    #[must_use]
    pub fn sign(
        request: u64,
        before: [u8; 32],
        entries: Vec<JournalEntry>,
        head: u64,
        head_hash: [u8; 32],
        key: &SigningKey,
    ) -> Self {
        let mut page = Self {
            request,
            before,
            entries,
            head,
            head_hash,
            signature: [0; 64],
            extensions: Extensions::default(),
        };
        page.signature = sign::sign(key, &page.canonical());
        page
    }

    /// Whether the holder of `key` signed exactly this head. What leads to it is proven by the chain.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    fn canonical(&self) -> BytesMut {
        let mut out = BytesMut::from(&b"duohuo journal 1"[..]);
        self.head.put(&mut out);
        self.head_hash.put(&mut out);
        out
    }

    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "journal.request")?,
            before: codec::get(input, "journal.before")?,
            entries: codec::get_list(input, "journal.entries")?,
            head: codec::get(input, "journal.head")?,
            head_hash: codec::get(input, "journal.head_hash")?,
            signature: codec::get(input, "journal.signature")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.before.put(out);
        codec::put_list(&self.entries, out);
        self.head.put(out);
        self.head_hash.put(out);
        self.signature.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};
    use crate::{
        ids::{ClusterId, Epoch, NodeId, Version},
        journal::{DecisionKind, DecisionReason},
    };
    use bytes::Bytes;

    fn sample() -> Journal {
        Journal {
            request: 0x0102_0304_0506_0720,
            before: [0xa1; 32],
            entries: vec![JournalEntry {
                number: 12,
                at_unix_us: 34,
                kind: DecisionKind::Grant,
                reason: DecisionReason::Vacant,
                cluster: ClusterId(3),
                epoch: Epoch(5),
                version: Version(0),
                old: NodeId(9),
                new: NodeId(8),
                node: NodeId(8),
                order: Bytes::from_static(&[0x77]),
            }],
            head: 0x0102_0304_0506_0723,
            head_hash: [0xa4; 32],
            signature: [0xBB; 64],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x20][..], // request
            &[
                0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1,
                0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1, 0xa1,
                0xa1, 0xa1,
            ], // before
            &[
                0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x22, 0x01, 0x04, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x09, 0x00,
                0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x08, 0x00, 0x01, 0x77,
            ], // entries
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x23],     // head
            &[
                0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4,
                0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4, 0xa4,
                0xa4, 0xa4,
            ], // head_hash
            &[
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb,
            ], // signature
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Journal(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x63, &literal(), &[]);
        assert_eq!(Journal::decode(&[]), Err(DecodeError::Truncated { field: "journal.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x63, &literal(), 58, 0xEE, DecodeError::BadValue { field: "entry.kind" });
        testing::refused_with(0x63, &literal(), 59, 0xEE, DecodeError::BadValue { field: "entry.reason" });
    }
}
