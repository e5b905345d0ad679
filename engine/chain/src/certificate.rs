//! Commit certificates (spec/chain.md "Commit certificate"): the precommits of a quorum of clusters for one block,
//! each under the key of the node that was master in the epoch it names.

use crate::codec::{
    Parsed, array, be_u16, be_u32, be_u64, count16, items, put_u16, put_u32, put_u64, refuse,
};
use crate::context::{Address, BlockId, ChainHeight, Context, Signature, SignedVote, Vote};
use crate::keys::Keys;
use arc_malachitebft_core_types as mbft;
use duohuo_core::chain::BlockError;
use duohuo_wire::ids::{ClusterId, Epoch, Height, NodeId};
use mbft::{NilOrVal, Round, VoteType};
use std::collections::BTreeSet;

/// A roster has at most 254 clusters; no certificate holds more signatures.
pub(crate) const MAX_SIGNATURES: usize = 254;
/// Bytes of one signature with its signer.
pub(crate) const SIGNER_BYTES: usize = 80;
/// Before the signers: height, round, block, and how many there are.
const CERTIFICATE_HEADER_BYTES: usize = 46;

/// One precommit of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitSignature {
    /// Who voted.
    pub cluster: ClusterId,
    /// Under which epoch.
    pub epoch: Epoch,
    /// Its master in that epoch.
    pub node: NodeId,
    /// Ed25519 over the bytes of the precommit (keys.rs).
    pub signature: [u8; 64],
}

/// The proof that a block was decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitCertificate {
    /// Height of the block.
    pub height: Height,
    /// The round of the precommits.
    pub round: u32,
    /// The block.
    pub block: [u8; 32],
    /// Of distinct clusters.
    pub signatures: Vec<CommitSignature>,
}

impl CommitCertificate {
    pub(crate) fn from_core(certificate: &mbft::CommitCertificate<Context>) -> Self {
        Self {
            height: Height(certificate.height.0),
            round: certificate.round.as_u32().unwrap_or(0),
            block: certificate.value_id.0,
            signatures: certificate
                .commit_signatures
                .iter()
                .map(|s| CommitSignature {
                    cluster: s.address.0,
                    epoch: s.signature.epoch,
                    node: s.signature.node,
                    signature: s.signature.bytes,
                })
                .collect(),
        }
    }

    /// Bytes of its encoding.
    pub(crate) fn length(&self) -> usize {
        CERTIFICATE_HEADER_BYTES + self.signatures.len() * SIGNER_BYTES
    }

    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.height.0);
        put_u32(out, self.round);
        out.extend_from_slice(&self.block);
        put_u16(out, count16(self.signatures.len()));
        for s in &self.signatures {
            put_signer(out, s.cluster, &Signature { epoch: s.epoch, node: s.node, bytes: s.signature });
        }
    }

    pub(crate) fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, height) = be_u64(input)?;
        let (rest, round) = be_u32(rest)?;
        let (rest, block) = array::<32>(rest)?;
        let (rest, count) = be_u16(rest)?;
        if usize::from(count) > MAX_SIGNATURES {
            return refuse(input);
        }
        let (rest, signers) = items(rest, usize::from(count), SIGNER_BYTES, parse_signer)?;
        let signatures = signers
            .into_iter()
            .map(|(address, s)| CommitSignature {
                cluster: address.0,
                epoch: s.epoch,
                node: s.node,
                signature: s.bytes,
            })
            .collect();
        Ok((rest, Self { height: Height(height), round, block, signatures }))
    }

    /// Whether a quorum of distinct clusters signed it, each with the key of the master it names.
    ///
    /// # Errors
    /// [`BlockError::UnknownGrant`] for the first epoch that we have no grant of, else [`BlockError::BadCertificate`].
    pub(crate) fn verify(&self, keys: &mut Keys) -> Result<(), BlockError> {
        let mut signers = BTreeSet::new();
        for s in &self.signatures {
            if !keys.is_cluster(s.cluster) || !signers.insert(s.cluster) {
                return Err(BlockError::BadCertificate);
            }
            if keys.master(s.cluster, s.epoch).is_none() {
                return Err(BlockError::UnknownGrant(s.cluster, s.epoch));
            }
            let vote = Vote {
                kind: VoteType::Precommit,
                height: ChainHeight(self.height.0),
                round: Round::new(self.round),
                value: NilOrVal::Val(BlockId(self.block)),
                address: Address(s.cluster),
            };
            let signature = Signature { epoch: s.epoch, node: s.node, bytes: s.signature };
            if !keys.verify_vote(&SignedVote::new(vote, signature)) {
                return Err(BlockError::BadCertificate);
            }
        }
        if signers.len() < keys.quorum() { Err(BlockError::BadCertificate) } else { Ok(()) }
    }
}

/// A signer and its signature: 80 bytes.
pub(crate) fn put_signer(out: &mut Vec<u8>, cluster: ClusterId, signature: &Signature) {
    put_u32(out, cluster.0);
    put_u64(out, signature.epoch.0);
    put_u32(out, signature.node.0);
    out.extend_from_slice(&signature.bytes);
}

/// Reads what [`put_signer`] wrote.
pub(crate) fn parse_signer(input: &[u8]) -> Parsed<'_, (Address, Signature)> {
    let (rest, cluster) = be_u32(input)?;
    let (rest, epoch) = be_u64(rest)?;
    let (rest, node) = be_u32(rest)?;
    let (rest, bytes) = array::<64>(rest)?;
    Ok((rest, (Address(ClusterId(cluster)), Signature { epoch: Epoch(epoch), node: NodeId(node), bytes })))
}
