//! Who takes part in the vectors, with which keys. Every key is a byte repeated: nothing here is secret.

use super::crypto::{Noise, NoiseKeys, Seal, noise};

pub(crate) const CONSORTIUM: [u8; 16] = [0x33; 16];
/// The sessions of the packet vectors: node 7 began them.
pub(crate) const INITIATOR: [u8; 32] = [0x11; 32];
/// With the authority.
pub(crate) const RESPONDER: [u8; 32] = [0x22; 32];
pub(crate) const INITIATOR_SESSION: u64 = 77;
pub(crate) const RESPONDER_SESSION: u64 = 88;
pub(crate) const NODE: u32 = 7;
/// 2026-11-23 01:00:00 UTC and a little.
pub(crate) const NOW_S: u64 = 1_795_395_600;

/// u64 seconds, u32 nanoseconds.
pub(crate) fn timestamp(seconds: u64, nanoseconds: u32) -> [u8; 12] {
    let mut out = [0; 12];
    out[..8].copy_from_slice(&seconds.to_be_bytes());
    out[8..].copy_from_slice(&nanoseconds.to_be_bytes());
    out
}

pub(crate) fn datagram_keys() -> NoiseKeys {
    NoiseKeys {
        consortium: CONSORTIUM,
        transport: 0,
        initiator: INITIATOR,
        responder: RESPONDER,
        initiator_ephemeral: [0x44; 32],
        responder_ephemeral: [0x55; 32],
        timestamp: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    }
}

pub(crate) fn stream_keys() -> NoiseKeys {
    NoiseKeys {
        transport: 1,
        initiator_ephemeral: [0x46; 32],
        responder_ephemeral: [0x57; 32],
        timestamp: timestamp(NOW_S, 1),
        ..datagram_keys()
    }
}

/// The stream's handshake, and what its initiator seals with.
pub(crate) fn stream_session() -> (Noise, Seal) {
    let noise = noise(&stream_keys());
    let seal = Seal::session(&noise.k1);
    (noise, seal)
}

/// The group of cluster 3.
pub(crate) mod group {
    use super::Seal;
    use crate::files::crypto::GroupPlace;

    pub(crate) const CLUSTER: u32 = 3;
    pub(crate) const SECRET: [u8; 32] = [9; 32];
    pub(crate) const SIGNING: [u8; 32] = [4; 32];

    pub(crate) fn place(sequence: u64) -> GroupPlace {
        GroupPlace { generation: 5, sender: super::NODE, boot: 0xB007, sequence }
    }

    pub(crate) fn seal(place: &GroupPlace) -> Seal {
        Seal::group(CLUSTER, place.generation, &SECRET, place.sender, place.boot)
    }
}
