//! What whoever operates a network asks a process beside its report: extensions of StatusAnswer (spec/wire.md 7.33).
//!
//! A value of another length is as if the extension were absent: nobody decides anything by it.

use crate::assigned::{DISK, PAUSES, SPOKEN};
use crate::ids::{ClusterId, NodeId};
use crate::tlv::Extensions;
use crate::versions::Versions;

/// Sessions that one answer tells of.
const SESSIONS: usize = 13_000;

/// How long writes to disk take, from the asking until they are durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskTimes {
    /// Microseconds that the last one took.
    pub last_us: u32,
    /// The longest of the recent past, which decays by 1/64 with each.
    pub worst_us: u32,
}

impl DiskTimes {
    /// What an answer tells of it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (last_us, worst_us) = extensions.field(DISK)?;
        Some(Self { last_us, worst_us })
    }

    /// Add it to an answer.
    pub fn put(self, extensions: &mut Extensions) {
        extensions.insert_field(DISK, &(self.last_us, self.worst_us));
    }
}

/// Where an operator paused automatic switches, as the authority tells; cluster 0 is everywhere. `None`: it does not say.
#[must_use]
pub fn paused(extensions: &Extensions) -> Option<Vec<ClusterId>> {
    let (clusters, rest) = extensions.get(PAUSES)?.as_chunks::<4>();
    rest.is_empty().then(|| clusters.iter().map(|c| ClusterId(u32::from_be_bytes(*c))).collect())
}

/// Add it to an answer.
pub fn put_paused(clusters: impl Iterator<Item = ClusterId>, extensions: &mut Extensions) {
    let value: Vec<u8> = clusters.flat_map(|cluster| cluster.0.to_be_bytes()).collect();
    extensions.insert(PAUSES, &value);
}

/// The versions of the wire: what a process speaks, and what each of its sessions speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spoken {
    /// What it speaks.
    pub ours: Versions,
    /// By party, ascending.
    pub sessions: Vec<(NodeId, u8)>,
}

impl Spoken {
    /// What an answer tells of it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let ([lowest, highest], sessions) = extensions.get(SPOKEN)?.split_first_chunk()?;
        let (sessions, rest) = sessions.as_chunks::<5>();
        let session = |&[a, b, c, d, version]: &[u8; 5]| (NodeId(u32::from_be_bytes([a, b, c, d])), version);
        let ours = Versions::new(*lowest, *highest)?;
        rest.is_empty().then(|| Self { ours, sessions: sessions.iter().map(session).collect() })
    }

    /// Add it to an answer.
    pub fn put(&self, extensions: &mut Extensions) {
        let mut value = vec![self.ours.lowest, self.ours.highest];
        for (party, version) in self.sessions.iter().take(SESSIONS) {
            value.extend(party.0.to_be_bytes());
            value.push(*version);
        }
        extensions.insert(SPOKEN, &value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_bytes_both_ways() {
        let times = DiskTimes { last_us: 0x0001_0203, worst_us: 0x0405_0607 };
        let mut extensions = Extensions::new();
        times.put(&mut extensions);
        put_paused([ClusterId(1), ClusterId(0x0A0B_0C0D)].into_iter(), &mut extensions);
        assert_eq!(extensions.get(0x0001), Some(&[0, 1, 2, 3, 4, 5, 6, 7][..]));
        assert_eq!(extensions.get(0x0002), Some(&[0, 0, 0, 1, 10, 11, 12, 13][..]));
        let spoken = Spoken {
            ours: Versions { lowest: 1, highest: 2 },
            sessions: vec![(NodeId(0), 2), (NodeId(0x0102_0304), 1)],
        };
        spoken.put(&mut extensions);
        assert_eq!(extensions.get(0x0003), Some(&[1, 2, 0, 0, 0, 0, 2, 1, 2, 3, 4, 1][..]));
        assert_eq!(Spoken::of(&extensions), Some(spoken));
        assert_eq!(DiskTimes::of(&extensions), Some(times));
        assert_eq!(paused(&extensions), Some(vec![ClusterId(1), ClusterId(0x0A0B_0C0D)]));
    }

    #[test]
    fn a_value_of_another_length_is_as_if_it_were_absent() {
        for length in [0, 7, 9] {
            assert_eq!(DiskTimes::of(&Extensions::one(0x0001, &vec![0; length])), None, "{length}");
        }
        assert_eq!(paused(&Extensions::one(0x0002, &[0, 0, 0, 1, 0])), None);
        assert_eq!(paused(&Extensions::one(0x0002, &[])), Some(vec![]));
        for value in [&[][..], &[1], &[0, 1], &[2, 1], &[1, 2, 0, 0, 0, 0]] {
            assert_eq!(Spoken::of(&Extensions::one(0x0003, value)), None, "{value:?}");
        }
        assert_eq!((DiskTimes::of(&Extensions::new()), paused(&Extensions::new())), (None, None));
    }
}
