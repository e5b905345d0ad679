//! Verifying committed blocks without a chain: what a client does with the proof that it is handed.

use crate::block::{CommittedBlock, id_of};
use crate::keys::Keys;
use bytes::Bytes;
use duohuo_core::chain::BlockError;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use duohuo_wire::roster::Roster;
use duohuo_wire::sign::SigningKey;

/// Who was granted what, and the certificates that follow from it.
pub struct Verifier {
    keys: Keys,
}

impl Verifier {
    /// Knows the keys of a roster and no grant yet.
    #[must_use]
    pub fn new(roster: &Roster) -> Self {
        // It signs nothing: the key is never used.
        let unused = SigningKey::from_bytes(&[0; 32]);
        Self { keys: Keys::new(ClusterId(0), NodeId(0), unused, roster) }
    }

    /// A grant that the authority signed; the caller has verified that.
    pub fn learn_grant(&mut self, cluster: ClusterId, epoch: Epoch, node: NodeId) {
        self.keys.learn_grant(cluster, epoch, node);
    }

    /// A committed block whose certificate holds, from the bytes that are stored and pushed.
    ///
    /// # Errors
    /// [`BlockError::UnknownGrant`]: learn it and try again. Else it is no committed block.
    pub fn verify(&mut self, bytes: &Bytes) -> Result<CommittedBlock, BlockError> {
        let committed = CommittedBlock::decode(bytes).ok_or(BlockError::Malformed)?;
        let height = committed.block.first_chunk::<8>().ok_or(BlockError::Malformed)?;
        let of_it = committed.certificate.height == Height(u64::from_be_bytes(*height))
            && committed.certificate.block == id_of(&committed.block).0;
        if !of_it {
            return Err(BlockError::BadCertificate);
        }
        committed.certificate.verify(&mut self.keys)?;
        // Blocks come in any order: nothing is worth remembering for long.
        self.keys.forget_below(Height(u64::MAX));
        Ok(committed)
    }
}
