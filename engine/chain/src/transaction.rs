//! The one kind of transaction of the account ledger (spec/chain.md "Transaction"): a transfer, 40 bytes.

use crate::application::Transaction;
use crate::codec::{Parsed, array, be_u32, be_u64, put_u32, put_u64, whole};
use duohuo_core::chain::TransactionId;
use duohuo_wire::ids::Height;

/// Length of an encoded transfer in bytes.
pub const TRANSFER_BYTES: usize = 40;
/// How far ahead of the chain a transaction's last valid height may be: bounds how long committed IDs are remembered.
pub const MAX_VALID_AHEAD: u64 = 1_000;

/// Moves `amount` from one account to another, at most once, in a block of height `valid_until` or below.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Chosen at random by the client.
    pub id: TransactionId,
    /// The account that pays.
    pub from: u32,
    /// The account that is paid.
    pub to: u32,
    /// In the ledger's smallest unit.
    pub amount: u64,
    /// The last height whose block may hold it.
    pub valid_until: Height,
}

impl Transfer {
    /// Appends the 40 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        put_u32(out, self.from);
        put_u32(out, self.to);
        put_u64(out, self.amount);
        put_u64(out, self.valid_until.0);
    }

    /// Reads exactly one transfer.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        whole(bytes, Self::parse)
    }

    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, id) = array::<16>(input)?;
        let (rest, from) = be_u32(rest)?;
        let (rest, to) = be_u32(rest)?;
        let (rest, amount) = be_u64(rest)?;
        let (rest, valid_until) = be_u64(rest)?;
        Ok((rest, Self { id: TransactionId(id), from, to, amount, valid_until: Height(valid_until) }))
    }
}

impl Transaction for Transfer {
    const SHORTEST: usize = TRANSFER_BYTES;

    fn id(&self) -> TransactionId {
        self.id
    }

    fn valid_until(&self) -> Height {
        self.valid_until
    }

    fn length(&self) -> usize {
        TRANSFER_BYTES
    }

    fn put(&self, out: &mut Vec<u8>) {
        self.encode(out);
    }

    fn read(input: &[u8]) -> Option<(Self, &[u8])> {
        Self::parse(input).ok().map(|(rest, transfer)| (transfer, rest))
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_has_these_forty_bytes() {
        let transfer =
            Transfer { id: TransactionId([7; 16]), from: 1, to: 2, amount: 3, valid_until: Height(4) };
        let mut bytes = Vec::new();
        transfer.encode(&mut bytes);
        let mut expected = vec![7; 16];
        expected.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4]);
        assert_eq!(bytes, expected);
        assert_eq!(Transfer::decode(&bytes), Some(transfer));
        assert_eq!(Transfer::decode(&bytes[..39]), None);
        bytes.push(0);
        assert_eq!(Transfer::decode(&bytes), None);
    }

    #[test]
    fn a_transfer_is_in_time_up_to_its_last_height_and_not_too_far_before() {
        let transfer =
            Transfer { id: TransactionId([7; 16]), from: 1, to: 2, amount: 3, valid_until: Height(2_000) };
        assert!(!transfer.in_time(Height(999)));
        assert!(transfer.in_time(Height(1_000)));
        assert!(transfer.in_time(Height(2_000)));
        assert!(!transfer.in_time(Height(2_001)));
    }
}
