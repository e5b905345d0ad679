//! A memory of what was computed, for a simulator that runs a whole network in one thread: there each signature is verified
//! by many, and both ends of each key exchange are at hand. Nothing else calls [`remember`] (`tools/test` looks).
//!
//! It cannot change a result. It is written by `sign`, `verify`, `public_key` and `diffie_hellman` only, with what they
//! have just computed:
//!
//! - a signature is remembered when it was made or found good, and is known only for the same key, the same bytes and the
//!   same signature, each compared whole; what is not good is computed each time;
//! - a public key is known only for the secret that it was computed from;
//! - a shared secret is known for the two public keys whose secrets were both seen, because X25519(a, B) = X25519(b, A)
//!   if A and B are the public keys of a and b.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// While the value lives, this thread does not compute the same thing twice.
#[must_use]
pub fn remember() -> Remembering {
    MEMORY.set(Some(Memory::default()));
    Remembering(PhantomData)
}

/// While it lives, its thread remembers: see [`remember`].
pub struct Remembering(PhantomData<Rc<()>>);

impl Remembering {
    /// Computations spared so far.
    #[must_use]
    pub fn hits(&self) -> u64 {
        MEMORY.with_borrow(|memory| memory.as_ref().map_or(0, |memory| memory.hits))
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        MEMORY.set(None);
    }
}

/// This signature is good: just made, or just verified.
pub(crate) fn keep_signature(key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) {
    with(|memory| {
        memory.signatures.put(signature, Signed { key: *key, signature: *signature, bytes: bytes.into() });
    });
}

/// Whether this very signature of these bytes by this key was found good.
pub(crate) fn knows_signature(key: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> bool {
    let same = |kept: &Signed| kept.signature == *signature && kept.key == *key && *kept.bytes == *bytes;
    look(|memory| memory.signatures.get(signature).filter(|kept| same(kept)).map(|_| ())).is_some()
}

/// The public key of this secret, if it was computed before.
pub(crate) fn known_public(secret: &[u8; 32]) -> Option<[u8; 32]> {
    look(|memory| memory.public_of(secret))
}

/// The public key of a secret was computed.
pub(crate) fn keep_public(secret: &[u8; 32], public: &[u8; 32]) {
    with(|memory| memory.publics.put(secret, Pair { secret: *secret, public: *public }));
}

/// What this secret and this public key share, if either side computed it before.
pub(crate) fn known_shared(secret: &[u8; 32], public: &[u8; 32]) -> Option<[u8; 32]> {
    look(|memory| {
        let pair = ordered(memory.public_of(secret)?, *public);
        memory.shared.get(&pair.0).filter(|kept| kept.pair == pair).map(|kept| kept.shared)
    })
}

/// It was computed.
pub(crate) fn keep_shared(secret: &[u8; 32], public: &[u8; 32], shared: &[u8; 32]) {
    with(|memory| {
        if let Some(own) = memory.public_of(secret) {
            let pair = ordered(own, *public);
            memory.shared.put(&pair.0, Shared { pair, shared: *shared });
        }
    });
}

fn ordered(a: [u8; 32], b: [u8; 32]) -> ([u8; 32], [u8; 32]) {
    if a <= b { (a, b) } else { (b, a) }
}

fn with(change: impl FnOnce(&mut Memory)) {
    MEMORY.with_borrow_mut(|memory| memory.as_mut().map(change));
}

fn look<T>(find: impl FnOnce(&Memory) -> Option<T>) -> Option<T> {
    MEMORY.with_borrow_mut(|memory| {
        let memory = memory.as_mut()?;
        let found = find(memory);
        memory.hits += u64::from(found.is_some());
        found
    })
}

struct Signed {
    key: [u8; 32],
    signature: [u8; 64],
    bytes: Box<[u8]>,
}

struct Pair {
    secret: [u8; 32],
    public: [u8; 32],
}

struct Shared {
    pair: ([u8; 32], [u8; 32]),
    shared: [u8; 32],
}

#[derive(Default)]
struct Memory {
    signatures: Slots<Signed>,
    publics: Slots<Pair>,
    shared: Slots<Shared>,
    hits: u64,
}

impl Memory {
    fn public_of(&self, secret: &[u8; 32]) -> Option<[u8; 32]> {
        self.publics.get(secret).filter(|kept| kept.secret == *secret).map(|kept| kept.public)
    }
}

/// As many as are remembered of each kind.
const SLOTS: usize = 1 << 12;

/// A bounded table: the name's first bytes, as good as random, say where; a newer entry takes the place of an older.
struct Slots<T>(Vec<Option<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| None).collect())
    }
}

impl<T> Slots<T> {
    fn at(name: &[u8]) -> usize {
        let first = name.first_chunk::<2>().copied().unwrap_or_default();
        usize::from(u16::from_le_bytes(first)) % SLOTS
    }

    fn get(&self, name: &[u8]) -> Option<&T> {
        self.0.get(Self::at(name))?.as_ref()
    }

    fn put(&mut self, name: &[u8], entry: T) {
        if let Some(slot) = self.0.get_mut(Self::at(name)) {
            *slot = Some(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::crypt::{diffie_hellman, public_key};
    use crate::sign::{SigningKey, sign, verify};

    #[test]
    fn a_memory_changes_no_verdict_and_ends_with_its_value() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let (public, other_public) = (key.verifying_key(), other.verifying_key());
        let before = sign(&key, b"duohuo test 1 before");
        let remembering = remember();
        assert!(verify(&public, b"duohuo test 1 before", &before));
        assert_eq!(remembering.hits(), 0, "it was not made while remembering: verified");
        assert!(verify(&public, b"duohuo test 1 before", &before));
        assert_eq!(remembering.hits(), 1);
        let made = sign(&key, b"duohuo test 1 made");
        assert!(verify(&public, b"duohuo test 1 made", &made));
        assert_eq!(remembering.hits(), 2);
        // Another key, other bytes, another signature: each by itself is enough.
        assert!(!verify(&other_public, b"duohuo test 1 made", &made));
        assert!(!verify(&public, b"duohuo test 1 Made", &made));
        for at in 0..64 {
            let mut changed = made;
            *changed.get_mut(at).unwrap() ^= 1;
            assert!(!verify(&public, b"duohuo test 1 made", &changed), "byte {at}");
            assert!(!verify(&public, b"duohuo test 1 made", &changed), "byte {at}, again");
        }
        assert_eq!(remembering.hits(), 2);
        drop(remembering);
        assert_eq!(known_public(&[3; 32]), None);
        assert!(verify(&public, b"duohuo test 1 made", &made));
    }

    #[test]
    fn both_ends_of_an_exchange_share_what_they_would_without_a_memory() {
        let (a, b, c) = ([3; 32], [4; 32], [5; 32]);
        let (public_a, public_b) = (public_key(&a), public_key(&b));
        let shared = diffie_hellman(&a, &public_b).unwrap();
        let strange = diffie_hellman(&c, &public_b).unwrap();
        let remembering = remember();
        assert_eq!((public_key(&a), public_key(&b)), (public_a, public_b));
        assert_eq!(*diffie_hellman(&a, &public_b).unwrap(), *shared);
        assert_eq!(remembering.hits(), 0);
        assert_eq!(*diffie_hellman(&b, &public_a).unwrap(), *shared);
        assert_eq!(public_key(&a), public_a);
        assert_eq!(remembering.hits(), 2);
        assert_eq!(
            *diffie_hellman(&c, &public_b).unwrap(),
            *strange,
            "the public key of c was never computed"
        );
        assert!(diffie_hellman(&a, &[0; 32]).is_none() && diffie_hellman(&a, &[0; 32]).is_none());
        assert_eq!(remembering.hits(), 2);
    }
}
