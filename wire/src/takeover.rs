//! How a master came to act: what it measured itself, an extension of MasterKeepalive (spec/wire.md 7.11), and what the
//! authority keeps of it, signed and chained, an extension of Journal (5.8, 7.49).
//!
//! A value of another length is as if the extension were absent: nobody decides anything by it.

use bytes::{BufMut as _, BytesMut};

use crate::{
    assigned::{TAKEOVER, TAKEOVERS},
    codec::{self, Field, Parsed},
    crypt::sha256,
    error::DecodeError,
    sign::{self, SigningKey, VerifyingKey},
    tlv::Extensions,
};

/// A span that was not measured.
const UNMEASURED: u64 = u64::MAX;

/// Microseconds, or nothing where nobody measured: never 0 for that.
type Span = Option<u64>;

/// As the new master measured it on its own clock, counted from the moment when its grant came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Takeover {
    /// So long before, it last heard the one before as master.
    pub heard_us: Span,
    /// So long before, it suspected that one.
    pub suspected_us: Span,
    /// So long before, it first claimed.
    pub claimed_us: Span,
    /// So long after, its promise was durable.
    pub promised_us: Span,
    /// So long after, nothing more was in the way of a word: its log was on the disks of its whole in-sync set; or what
    /// acts outside the chain was told to begin.
    pub ready_us: Span,
    /// So long after, its first signed word left it.
    pub spoke_us: Span,
    /// So long after, its first block was committed.
    pub committed_us: Span,
}

/// As the authority measured it on its own clock, counted from the decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Granting {
    /// So long before, it last heard the master before.
    pub heard_us: Span,
    /// So long before, the claim or the order came.
    pub asked_us: Span,
    /// So long after, the decision was durable.
    pub durable_us: Span,
}

/// What the authority keeps of one takeover.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedTakeover {
    /// Counts them from 1 without gaps.
    pub number: u64,
    /// SHA-256 of the one before as encoded; 32 zeros before the first.
    pub before: [u8; 32],
    /// The number of the last decision in the journal when this was noted.
    pub after: u64,
    /// The number of the decision that it is about.
    pub decision: u64,
    /// By the authority's clock.
    pub granting: Granting,
    /// By the new master's clock.
    pub takeover: Takeover,
    /// By the authority, over "duohuo takeover 1" and all above.
    pub signature: [u8; 64],
}

impl Takeover {
    /// Bytes of it.
    pub const LENGTH: usize = 56;

    /// What a master's keepalive tells of its takeover.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.field(TAKEOVER)
    }

    /// Add it to a keepalive.
    pub fn add_to(self, extensions: &mut Extensions) {
        extensions.insert_field(TAKEOVER, &self);
    }

    /// In the order of the wire.
    const fn spans(&self) -> [Span; 7] {
        [
            self.heard_us,
            self.suspected_us,
            self.claimed_us,
            self.promised_us,
            self.ready_us,
            self.spoke_us,
            self.committed_us,
        ]
    }
}

impl Field for Takeover {
    const LEAST: usize = Self::LENGTH;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let takeover = Self {
            heard_us: get_span(input, "takeover.heard_us")?,
            suspected_us: get_span(input, "takeover.suspected_us")?,
            claimed_us: get_span(input, "takeover.claimed_us")?,
            promised_us: get_span(input, "takeover.promised_us")?,
            ready_us: get_span(input, "takeover.ready_us")?,
            spoke_us: get_span(input, "takeover.spoke_us")?,
            committed_us: get_span(input, "takeover.committed_us")?,
        };
        Ok((input, takeover))
    }
    fn put(&self, out: &mut BytesMut) {
        put_spans(&self.spans(), out);
    }
}

fn get_span(input: &mut &[u8], field: &'static str) -> Result<Span, DecodeError> {
    Ok(Some(codec::get::<u64>(input, field)?).filter(|us| *us != UNMEASURED))
}

fn put_spans(spans: &[Span], out: &mut BytesMut) {
    for span in spans {
        out.put_u64(span.unwrap_or(UNMEASURED));
    }
}

impl SignedTakeover {
    /// Bytes of it.
    pub const LENGTH: usize = 200;
    /// As many as a page of the journal has room for.
    pub const MOST: usize = 256;

    /// States and signs what follows `last`.
    #[must_use]
    pub fn sign(
        last: Option<&Self>,
        after: u64,
        decision: u64,
        granting: Granting,
        takeover: Takeover,
        key: &SigningKey,
    ) -> Self {
        let number = last.map_or(1, |last| last.number.saturating_add(1));
        let before = last.map_or([0; 32], Self::hash);
        let mut kept = Self { number, before, after, decision, granting, takeover, signature: [0; 64] };
        kept.signature = sign::sign(key, &kept.canonical());
        kept
    }

    /// Whether the holder of `key` signed exactly this.
    #[must_use]
    pub fn verify(&self, key: &VerifyingKey) -> bool {
        sign::verify(key, &self.canonical(), &self.signature)
    }

    /// What the next one names.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut bytes = BytesMut::with_capacity(Self::LENGTH);
        self.encode(&mut bytes);
        sha256(&[&bytes])
    }

    /// Whether this is the one after `last`.
    #[must_use]
    pub fn follows(&self, last: &Self) -> bool {
        last.number.checked_add(1) == Some(self.number) && self.before == last.hash()
    }

    /// How long the cluster had nobody who could speak, in microseconds: by the new master's clock from its last hearing the
    /// one before. One that did not hear it: by the authority's clock, and the way of the grant is not in it.
    #[must_use]
    pub fn outage_us(&self) -> Span {
        let ready = self.takeover.ready_us?;
        let before = self
            .takeover
            .heard_us
            .or_else(|| self.granting.heard_us?.checked_add(self.granting.durable_us?))?;
        before.checked_add(ready)
    }

    /// Reads one and nothing after it.
    ///
    /// # Errors
    /// It is cut, or bytes follow.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::whole(bytes, "takeover")
    }

    /// Appends it.
    pub fn encode(&self, out: &mut BytesMut) {
        Field::put(self, out);
    }

    /// What a page of the journal tells of them, in order.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Vec<Self>> {
        let (kept, rest) = extensions.get(TAKEOVERS)?.as_chunks::<{ Self::LENGTH }>();
        rest.is_empty().then(|| kept.iter().filter_map(|bytes| Self::decode(bytes).ok()).collect())
    }

    /// Add them to a page; none that has no room.
    pub fn add_to(kept: &[Self], extensions: &mut Extensions) {
        let mut value = BytesMut::with_capacity(kept.len() * Self::LENGTH);
        kept.iter().take(Self::MOST).for_each(|one| one.encode(&mut value));
        extensions.insert(TAKEOVERS, &value);
    }

    fn canonical(&self) -> BytesMut {
        let mut out = BytesMut::from(&b"duohuo takeover 1"[..]);
        self.put_fields(&mut out);
        out
    }

    fn put_fields(&self, out: &mut BytesMut) {
        self.number.put(out);
        self.before.put(out);
        self.after.put(out);
        self.decision.put(out);
        put_spans(&[self.granting.heard_us, self.granting.asked_us, self.granting.durable_us], out);
        self.takeover.put(out);
    }
}

impl Field for SignedTakeover {
    const LEAST: usize = Self::LENGTH;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let kept = Self {
            number: codec::get(input, "takeover.number")?,
            before: codec::get(input, "takeover.before")?,
            after: codec::get(input, "takeover.after")?,
            decision: codec::get(input, "takeover.decision")?,
            granting: Granting {
                heard_us: get_span(input, "takeover.granting.heard_us")?,
                asked_us: get_span(input, "takeover.granting.asked_us")?,
                durable_us: get_span(input, "takeover.granting.durable_us")?,
            },
            takeover: codec::get(input, "taken.takeover")?,
            signature: codec::get(input, "takeover.signature")?,
        };
        Ok((input, kept))
    }
    fn put(&self, out: &mut BytesMut) {
        self.put_fields(out);
        self.signature.put(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn takeover() -> Takeover {
        Takeover { heard_us: Some(0x0102), suspected_us: None, ready_us: Some(0), ..Default::default() }
    }

    fn signed(last: Option<&SignedTakeover>) -> SignedTakeover {
        let granting = Granting { heard_us: Some(9), asked_us: Some(8), durable_us: Some(7) };
        SignedTakeover::sign(last, 12, 11, granting, takeover(), &key())
    }

    #[test]
    fn the_literal_bytes_both_ways_and_what_was_not_measured_is_no_zero() {
        let mut extensions = Extensions::new();
        takeover().add_to(&mut extensions);
        let literal = [
            &[0, 0, 0, 0, 0, 0, 1, 2][..], // heard
            &[0xFF; 16],                   // suspected, claimed
            &[0xFF; 8],                    // promised
            &[0; 8],                       // ready
            &[0xFF; 16],                   // spoke, committed
        ]
        .concat();
        assert_eq!(extensions.get(0x0001), Some(&literal[..]));
        assert_eq!(Takeover::of(&extensions), Some(takeover()));
    }

    #[test]
    fn what_is_kept_holds_for_exactly_its_bytes() {
        let one = signed(None);
        let mut bytes = BytesMut::new();
        one.encode(&mut bytes);
        assert_eq!(bytes.len(), SignedTakeover::LENGTH);
        assert_eq!(SignedTakeover::decode(&bytes), Ok(one));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(!SignedTakeover::decode(&changed).unwrap().verify(&key().verifying_key()), "byte {at}");
        }
        assert!(SignedTakeover::decode(&bytes[1..]).is_err());
        bytes.put_u8(0);
        assert_eq!(SignedTakeover::decode(&bytes), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn each_names_the_one_before_it() {
        let first = signed(None);
        assert_eq!((first.number, first.before), (1, [0; 32]));
        let second = signed(Some(&first));
        assert!(second.number == 2 && second.follows(&first));
        assert!(!second.follows(&second) && !first.follows(&second));
        let other = SignedTakeover { decision: 10, ..first };
        assert!(!second.follows(&other), "one that was changed is not what it names");
    }

    #[test]
    fn a_page_holds_them_in_order_and_another_length_is_as_if_absent() {
        let (first, mut page) = (signed(None), Extensions::new());
        let both = [first.clone(), signed(Some(&first))];
        SignedTakeover::add_to(&both, &mut page);
        assert_eq!(SignedTakeover::of(&page).unwrap(), both);
        for length in [1, 55, 57, 199, 201] {
            let mut other = Extensions::new();
            other.insert(0x0001, &vec![0; length]);
            assert_eq!((Takeover::of(&other), SignedTakeover::of(&other)), (None, None), "{length}");
        }
        let many = vec![first; SignedTakeover::MOST + 1];
        SignedTakeover::add_to(&many, &mut page);
        assert_eq!(SignedTakeover::of(&page).unwrap().len(), SignedTakeover::MOST);
    }

    #[test]
    fn an_outage_is_measured_by_one_clock_or_not_told() {
        let of = |granting, takeover| SignedTakeover { granting, takeover, ..signed(None) }.outage_us();
        let (none, by_authority) =
            (Granting::default(), Granting { heard_us: Some(50), asked_us: None, durable_us: Some(2) });
        let (ready, both) = (
            Takeover { ready_us: Some(3), ..Default::default() },
            Takeover { heard_us: Some(10), ready_us: Some(3), ..Default::default() },
        );
        assert_eq!(of(by_authority, both), Some(13));
        assert_eq!(of(by_authority, ready), Some(55));
        assert_eq!(of(none, ready), None);
        assert_eq!(of(by_authority, Takeover::default()), None);
        assert_eq!(of(Granting { durable_us: None, ..by_authority }, ready), None);
    }
}
