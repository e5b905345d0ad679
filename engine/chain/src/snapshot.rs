//! Snapshots (spec/chain.md "Snapshots"): the state after a height in pieces, each with a hash, and all of them bound
//! to the hash of the state, which a quorum of clusters signs as its result.

use crate::codec::{
    Parsed, array, be_u16, be_u32, be_u64, count16, count32, items, put_u16, put_u32, put_u64, refuse, whole,
};
use bytes::{Bytes, BytesMut};
use duohuo_core::chain::Snapshot;
use duohuo_wire::ids::Height;
use duohuo_wire::statement::SignedResult;
use sha2::{Digest, Sha256};

/// Bytes of a chunk; the last one may be shorter.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Chunks of a snapshot, at most: 16 GiB. Bounds what a peer can promise.
pub const MAX_CHUNKS: usize = 1 << 16;
/// Bytes of a signed result.
const RESULT_BYTES: usize = 120;
/// Results in a proof: one a cluster.
const MAX_RESULTS: usize = 254;
/// Bytes of a manifest before the hashes.
const MANIFEST_BYTES: usize = 84;

/// What a snapshot is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Manifest {
    /// The height of the last block in it.
    pub height: Height,
    /// That block.
    pub block: [u8; 32],
    /// The link of that height: what the state hash would be if no snapshot were taken there.
    pub link: [u8; 32],
    /// Bytes of the state.
    pub length: u64,
    /// SHA-256 of each chunk.
    pub chunks: Vec<[u8; 32]>,
}

impl Manifest {
    /// Cuts a state into a snapshot.
    pub(crate) fn of(height: Height, block: [u8; 32], link: [u8; 32], state: &Bytes) -> (Self, Vec<Bytes>) {
        let pieces: Vec<Bytes> = (0..state.len())
            .step_by(CHUNK_BYTES)
            .map(|at| state.slice(at..state.len().min(at + CHUNK_BYTES)))
            .collect();
        let chunks = pieces.iter().map(|piece| Sha256::digest(piece).into()).collect();
        (Self { height, block, link, length: state.len() as u64, chunks }, pieces)
    }

    /// The bytes that are kept and handed on.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(MANIFEST_BYTES + self.chunks.len() * 32);
        put_u64(&mut out, self.height.0);
        out.extend_from_slice(&self.block);
        out.extend_from_slice(&self.link);
        put_u64(&mut out, self.length);
        put_u32(&mut out, count32(self.chunks.len()));
        for hash in &self.chunks {
            out.extend_from_slice(hash);
        }
        out.into()
    }

    /// Reads exactly one, whose length and chunks agree.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        whole(bytes, Self::parse)
    }

    fn parse(input: &[u8]) -> Parsed<'_, Self> {
        let (rest, height) = be_u64(input)?;
        let (rest, block) = array::<32>(rest)?;
        let (rest, link) = array::<32>(rest)?;
        let (rest, length) = be_u64(rest)?;
        let (rest, count) = be_u32(rest)?;
        let fits = length.div_ceil(CHUNK_BYTES as u64) == u64::from(count);
        match usize::try_from(count) {
            Ok(count) if fits && (1..=MAX_CHUNKS).contains(&count) => {
                let (rest, chunks) = items(rest, count, 32, array::<32>)?;
                Ok((rest, Self { height: Height(height), block, link, length, chunks }))
            }
            _ => refuse(input),
        }
    }

    /// Whether these bytes are a chunk.
    #[must_use]
    pub fn is_chunk(&self, index: usize, bytes: &[u8]) -> bool {
        bytes.len() <= CHUNK_BYTES
            && self.chunks.get(index).is_some_and(|hash| *hash == <[u8; 32]>::from(Sha256::digest(bytes)))
    }

    /// The hash of the state at the height of a snapshot: link and snapshot.
    #[must_use]
    pub fn state_hash(&self) -> [u8; 32] {
        let mut snapshot = Sha256::new()
            .chain_update(b"duohuo snapshot 1")
            .chain_update(self.height.0.to_be_bytes())
            .chain_update(self.block)
            .chain_update(self.length.to_be_bytes());
        for hash in &self.chunks {
            snapshot.update(hash);
        }
        Sha256::new()
            .chain_update(b"duohuo state 1")
            .chain_update(self.link)
            .chain_update(snapshot.finalize())
            .finalize()
            .into()
    }

    pub(crate) fn into_snapshot(self, chunks: Vec<Bytes>) -> Snapshot {
        Snapshot { height: self.height, manifest: self.encode(), chunks }
    }
}

/// The signed results that prove a snapshot, as they are kept and handed on.
pub(crate) fn encode_proof(results: &[SignedResult]) -> Bytes {
    let mut out = Vec::with_capacity(2 + results.len() * RESULT_BYTES);
    put_u16(&mut out, count16(results.len()));
    for result in results {
        let mut bytes = BytesMut::with_capacity(RESULT_BYTES);
        result.encode(&mut bytes);
        out.extend_from_slice(&bytes);
    }
    out.into()
}

/// Reads what [`encode_proof`] wrote.
pub(crate) fn decode_proof(bytes: &[u8]) -> Option<Vec<SignedResult>> {
    whole(bytes, |input| {
        let (rest, count) = be_u16(input)?;
        if usize::from(count) > MAX_RESULTS {
            return refuse(input);
        }
        items(rest, usize::from(count), RESULT_BYTES, |input| {
            let (rest, bytes) = array::<RESULT_BYTES>(input)?;
            match SignedResult::decode(&bytes) {
                Ok(result) => Ok((rest, result)),
                Err(_) => refuse(input),
            }
        })
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use super::*;

    fn cut(length: usize) -> (Manifest, Vec<Bytes>) {
        Manifest::of(Height(9), [1; 32], [2; 32], &Bytes::from(vec![7; length]))
    }

    #[test]
    fn a_state_is_cut_at_every_256_kib() {
        for (length, chunks) in [(1, 1), (262_144, 1), (262_145, 2), (524_289, 3)] {
            let (manifest, pieces) = cut(length);
            assert_eq!((manifest.chunks.len(), pieces.len()), (chunks, chunks));
            assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), length);
            assert_eq!(Manifest::decode(&manifest.encode()), Some(manifest));
        }
    }

    #[test]
    fn a_manifest_whose_length_and_chunks_differ_is_refused() {
        let (manifest, _) = cut(262_145);
        for length in [262_144, 524_289, 0, u64::MAX] {
            assert_eq!(Manifest::decode(&Manifest { length, ..manifest.clone() }.encode()), None);
        }
        assert_eq!(
            Manifest::decode(&Manifest { length: 0, chunks: vec![], ..manifest.clone() }.encode()),
            None
        );
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(bytes.len(), 84 + 2 * 32);
    }

    #[test]
    fn everything_in_a_manifest_enters_the_state_hash() {
        let (manifest, pieces) = cut(300_000);
        let hash = manifest.state_hash();
        let mut other = manifest.clone();
        other.chunks[1][0] ^= 1;
        let others = [
            Manifest { height: Height(10), ..manifest.clone() },
            Manifest { block: [9; 32], ..manifest.clone() },
            Manifest { link: [9; 32], ..manifest.clone() },
            Manifest { length: 300_001, ..manifest.clone() },
            other,
        ];
        assert!(others.iter().all(|m| m.state_hash() != hash));
        assert!(manifest.is_chunk(1, &pieces[1]) && !manifest.is_chunk(0, &pieces[1]));
        assert!(!manifest.is_chunk(2, &pieces[1]));
    }
}
