//! A takeover that is rehearsed (spec/behaviour.md 6.2): what a client asks for, what passes between the parties, and what it came
//! to. All of it are extensions, of StatusQuery, Update, Resync, Ack and StatusAnswer (spec/wire.md); those between parties stand
//! in packets of epoch 0, which nobody is ever granted, so that who does not know them drops the packet as one of an old epoch.
//!
//! A value of another length is as if the extension were absent.

use bytes::{BufMut as _, BytesMut};

use crate::{
    assigned::{REHEARSAL, REHEARSED, REHEARSED_WRITE},
    codec::{self, Field, Parsed},
    error::DecodeError,
    ids::NodeId,
    packet::Outcome,
    tlv::Extensions,
};

/// What was not measured.
const UNMEASURED: u32 = u32::MAX;
/// No outcome.
const NO_OUTCOME: u8 = u8::MAX;

crate::codec::code_enum! {
    /// How a rehearsal ended.
    RehearsalEnd {
        /// All of it was gone through.
        Whole = 0,
        /// This node would not claim now: it is the master, or barred, out of the set, halted, catching up or about to take over.
        Unfit = 1,
        /// Another rehearsal is on, or was a moment ago.
        Busy = 2,
        /// The authority did not answer in time, or there is no session with it.
        NoAuthority = 3,
        /// The authority would refuse the claim.
        Refused = 4,
        /// The log does not replay: this node would halt instead of speaking.
        WouldHalt = 5,
        /// Not all whom it would wait for answered in time.
        NoMember = 6,
        /// A real takeover, or a catch-up, came in between.
        Overtaken = 7,
        /// The log of the open height is too long to be sent for a rehearsal.
        TooLong = 8,
    }
}

/// One whom the new master would wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rehearsing {
    /// Who.
    pub node: NodeId,
    /// From the authority's answer until its acknowledgement was here, in microseconds.
    pub acknowledged_us: Option<u32>,
    /// Of it, its own write.
    pub durable_us: Option<u32>,
}

/// What a rehearsal came to, by the clock of the node that rehearsed; spans are microseconds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rehearsed {
    /// How it ended.
    pub end: RehearsalEnd,
    /// What the authority answered.
    pub outcome: Option<Outcome>,
    /// So long after its last keepalive the master would be suspected, and the claim sent.
    pub suspected_us: Option<u32>,
    /// The claim's way to the authority, its write, and the way back.
    pub claimed_us: Option<u32>,
    /// The own write beside it: the note of the epoch.
    pub noted_us: Option<u32>,
    /// From the authority's answer until the chain's core was up from the log and its first words were made, and dropped.
    pub started_us: Option<u32>,
    /// From the authority's answer until the own promise was durable.
    pub promised_us: Option<u32>,
    /// Records of the open height that were replayed and sent.
    pub records: u32,
    /// Words that it would have said or said again.
    pub words: u32,
    /// Whom it would wait for, ascending.
    pub members: Vec<Rehearsing>,
}

/// What a member answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Of the rehearsal.
    pub nonce: u64,
    /// How long its write took, in microseconds.
    pub durable_us: u32,
}

/// The extensions of a StatusQuery that asks for a rehearsal.
#[must_use]
pub fn asking() -> Extensions {
    Extensions::one(REHEARSAL, &[])
}

/// Whether a StatusQuery asks for one.
#[must_use]
pub fn is_asked(extensions: &Extensions) -> bool {
    extensions.get(REHEARSAL).is_some_and(<[u8]>::is_empty)
}

/// The extensions of an Update or a Resync of epoch 0 that belongs to a rehearsal.
#[must_use]
pub fn rehearsing(nonce: u64) -> Extensions {
    Extensions::of(REHEARSAL, &nonce)
}

/// The rehearsal that an Update or a Resync belongs to.
#[must_use]
pub fn nonce_of(extensions: &Extensions) -> Option<u64> {
    extensions.field(REHEARSAL)
}

impl Kept {
    /// What an Ack tells.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (nonce, durable_us) = extensions.field(REHEARSED_WRITE)?;
        Some(Self { nonce, durable_us })
    }

    /// The extensions of an Ack of epoch 0 that tells it.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        Extensions::of(REHEARSED_WRITE, &(self.nonce, self.durable_us))
    }
}

impl Rehearsed {
    /// What a StatusAnswer tells.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.field(REHEARSED)
    }

    /// Add it to a StatusAnswer.
    pub fn put_in(&self, extensions: &mut Extensions) {
        extensions.insert_field(REHEARSED, self);
    }
}

impl Field for Rehearsed {
    const LEAST: usize = 32;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let end = codec::get(input, "rehearsed.end")?;
        let outcome = match codec::get::<u8>(input, "rehearsed.outcome")? {
            NO_OUTCOME => None,
            code => Some(Outcome::from_code(code).ok_or(codec::bad_value("rehearsed.outcome"))?),
        };
        let rehearsed = Self {
            end,
            outcome,
            suspected_us: get_span(input, "rehearsed.suspected_us")?,
            claimed_us: get_span(input, "rehearsed.claimed_us")?,
            noted_us: get_span(input, "rehearsed.noted_us")?,
            started_us: get_span(input, "rehearsed.started_us")?,
            promised_us: get_span(input, "rehearsed.promised_us")?,
            records: codec::get(input, "rehearsed.records")?,
            words: codec::get(input, "rehearsed.words")?,
            members: codec::get_ascending(input, "rehearsed.members", |member: &Rehearsing| member.node)?,
        };
        Ok((input, rehearsed))
    }
    fn put(&self, out: &mut BytesMut) {
        self.end.put(out);
        out.put_u8(self.outcome.map_or(NO_OUTCOME, Outcome::code));
        for span in [self.suspected_us, self.claimed_us, self.noted_us, self.started_us, self.promised_us] {
            out.put_u32(span.unwrap_or(UNMEASURED));
        }
        self.records.put(out);
        self.words.put(out);
        codec::put_ascending(&self.members, out, |member| member.node);
    }
}

impl Field for Rehearsing {
    const LEAST: usize = 12;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let member = Self {
            node: codec::get(input, "rehearsed.members.node")?,
            acknowledged_us: get_span(input, "rehearsed.members.acknowledged_us")?,
            durable_us: get_span(input, "rehearsed.members.durable_us")?,
        };
        Ok((input, member))
    }
    fn put(&self, out: &mut BytesMut) {
        self.node.put(out);
        out.put_u32(self.acknowledged_us.unwrap_or(UNMEASURED));
        out.put_u32(self.durable_us.unwrap_or(UNMEASURED));
    }
}

fn get_span(input: &mut &[u8], field: &'static str) -> Result<Option<u32>, DecodeError> {
    Ok(Some(codec::get::<u32>(input, field)?).filter(|us| *us != UNMEASURED))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn rehearsed() -> Rehearsed {
        Rehearsed {
            end: RehearsalEnd::NoMember,
            outcome: Some(Outcome::Done),
            suspected_us: Some(150_000),
            claimed_us: Some(0x0102),
            noted_us: Some(0),
            started_us: None,
            promised_us: Some(3),
            records: 4,
            words: 2,
            members: vec![
                Rehearsing { node: NodeId(101), acknowledged_us: Some(5), durable_us: Some(4) },
                Rehearsing { node: NodeId(103), acknowledged_us: None, durable_us: None },
            ],
        }
    }

    #[test]
    fn the_literal_bytes_both_ways_and_what_was_not_measured_is_no_zero() {
        let mut extensions = Extensions::new();
        rehearsed().put_in(&mut extensions);
        let literal = [
            &[6, 1][..],
            &[0x00, 0x02, 0x49, 0xF0], // suspected
            &[0, 0, 1, 2],             // claimed
            &[0; 4],                   // noted
            &[0xFF; 4],                // started
            &[0, 0, 0, 3],             // promised
            &[0, 0, 0, 4],             // records
            &[0, 0, 0, 2],             // words
            &[0, 2],
            &[0, 0, 0, 101, 0, 0, 0, 5, 0, 0, 0, 4],
            &[0, 0, 0, 103],
            &[0xFF; 8],
        ]
        .concat();
        assert_eq!(extensions.get(0x0004), Some(&literal[..]));
        assert_eq!(Rehearsed::of(&extensions), Some(rehearsed()));
        assert_eq!(asking().get(0x0001), Some(&[][..]));
        assert_eq!(rehearsing(0x0102_0304_0506_0708).get(0x0001), Some(&[1, 2, 3, 4, 5, 6, 7, 8][..]));
        let kept = Kept { nonce: 9, durable_us: 0x0A0B };
        assert_eq!(kept.extensions().get(0x0003), Some(&[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x0A, 0x0B][..]));
        assert_eq!(Kept::of(&kept.extensions()), Some(kept));
    }

    #[test]
    fn a_value_of_another_shape_is_as_if_it_were_absent() {
        for length in [1, 7, 9, 12] {
            let extensions = Extensions::one(0x0001, &vec![0; length]);
            assert!(!is_asked(&extensions) && nonce_of(&extensions).is_none(), "{length}");
        }
        assert!(is_asked(&asking()) && !is_asked(&Extensions::new()));
        assert_eq!(nonce_of(&rehearsing(7)), Some(7));
        for length in [0, 11, 13] {
            assert_eq!(Kept::of(&Extensions::one(0x0003, &vec![0; length])), None, "{length}");
        }
        let mut whole = Extensions::new();
        rehearsed().put_in(&mut whole);
        let bytes = whole.get(0x0004).unwrap().to_vec();
        for cut in 0..bytes.len() {
            assert_eq!(Rehearsed::of(&Extensions::one(0x0004, &bytes[..cut])), None, "{cut}");
        }
        for (at, wrong) in [(0, 9), (1, 14), (33, 105)] {
            let mut changed = bytes.clone();
            changed[at] = wrong;
            assert_ne!(Rehearsed::of(&Extensions::one(0x0004, &changed)), Some(rehearsed()), "{at}");
        }
        assert_eq!(Rehearsed::of(&Extensions::one(0x0004, &[bytes, vec![0]].concat())), None);
    }
}
