//! Stand-ins for what costs most, for whoever runs a whole network in one thread: the simulator and the fuzz targets of the
//! machines. Only a build with the feature `stand-ins` has it at all, which `tools/test` looks for in the product; and there,
//! nothing is done before somebody calls [`remember`].
//!
//! While a thread remembers ([decision 30](../../spec/decisions/0030-stand-ins-in-the-simulator.md)):
//!
//! - a signature is a hash of the bytes under the *secret* key, twice. Whoever signs leaves its secret here, and whoever
//!   verifies computes the hash anew from the secret of the very key it verifies with. What is no such hash, or is under a
//!   key that nobody signed with here, is verified as always: a true signature stays good, and anything else bad;
//! - what two parties share is a hash of both public keys, in an order of their own. A key of small order shares nothing,
//!   as always;
//! - a public key is computed as always, once for each secret; that of a secret for one exchange is a hash of it;
//! - what is sealed stays plain, and its tag is a hash under key and nonce.
//!
//! So no verdict changes: who has not the secret makes no signature that is accepted, and no flipped bit is overlooked. What
//! is not kept is secrecy towards an observer who knows how this works, and no part of a simulation is one. Keys and
//! sessions that began before the value lived and are used after are worth nothing then: it lives as long as its world.

use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::marker::PhantomData;
use std::rc::Rc;

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
}

/// While the value lives, this thread uses stand-ins. A second one while the first lives shares its memory; the last ends it.
#[must_use]
pub fn remember() -> Remembering {
    MEMORY.with_borrow_mut(|memory| memory.get_or_insert_default().users += 1);
    Remembering(PhantomData)
}

/// While it lives, its thread remembers: see [`remember`].
#[derive(Debug)]
pub struct Remembering(PhantomData<Rc<()>>);

impl Drop for Remembering {
    fn drop(&mut self) {
        MEMORY.with_borrow_mut(|slot| {
            if let Some(memory) = slot {
                memory.users -= 1;
                if memory.users == 0 {
                    *slot = None;
                }
            }
        });
    }
}

/// What stands for this key's signature of these bytes; `None` if this thread does not remember.
pub(crate) fn sign(public: &[u8; 32], secret: &[u8; 32], bytes: &[u8]) -> Option<[u8; 64]> {
    with(|memory| {
        if memory.secrets.get(public) != Some(secret) {
            memory.secrets.insert(*public, *secret);
        }
        signature_of(secret, bytes)
    })
}

/// Whether this is what stands for the key's signature of these bytes. `false` says nothing: it may be a true signature.
pub(crate) fn is_signed(public: &[u8; 32], bytes: &[u8], signature: &[u8; 64]) -> bool {
    let secret = with(|memory| memory.secrets.get(public).copied()).flatten();
    secret.is_some_and(|secret| signature_of(&secret, bytes) == *signature)
}

/// The public key of this secret: computed by `compute` unless it was before.
pub(crate) fn public_key(secret: &[u8; 32], compute: impl FnOnce() -> [u8; 32]) -> [u8; 32] {
    let known = with(|memory| {
        let kept = memory.publics.get(secret).filter(|kept| kept.secret == *secret);
        kept.map(|kept| kept.public)
    });
    known.flatten().unwrap_or_else(|| {
        let public = compute();
        with(|memory| memory.publics.put(secret, Pair { secret: *secret, public }));
        public
    })
}

/// Whether this thread remembers.
fn is_used() -> bool {
    MEMORY.with_borrow(Option::is_some)
}

/// What stands for the secret that the holders of two public keys share; `None` if this thread does not remember.
pub(crate) fn shared(own: impl FnOnce() -> [u8; 32], other: &[u8; 32]) -> Option<[u8; 32]> {
    is_used().then(|| {
        let own = &own();
        let (first, second) = if own <= other { (own, other) } else { (other, own) };
        digest(&[b"duohuo shared", first, second])
    })
}

/// What stands for the public key of a secret for one exchange; `None` if this thread does not remember.
pub(crate) fn ephemeral_public_key(secret: &[u8; 32]) -> Option<[u8; 32]> {
    is_used().then(|| digest(&[b"duohuo ephemeral", secret]))
}

/// What stands for a cipher under this key; `None` if this thread does not remember.
pub(crate) fn stand_in(key: &[u8; 32]) -> Option<StandIn> {
    is_used().then_some(StandIn(*key))
}

/// Plain text and a keyed hash.
pub(crate) struct StandIn([u8; 32]);

impl StandIn {
    /// SipHash of all that a tag depends on, twice.
    pub(crate) fn tag(&self, nonce: &[u8; 12], additional: &[u8], bytes: &[u8]) -> [u8; 16] {
        let mut hash = DefaultHasher::new();
        hash.write(&self.0);
        hash.write(nonce);
        hash.write_usize(additional.len());
        hash.write(additional);
        hash.write(bytes);
        let half = hash.finish().to_be_bytes();
        let mut tag = [0; 16];
        let (first, second) = tag.split_at_mut(8);
        first.copy_from_slice(&half);
        second.copy_from_slice(&half);
        tag
    }
}

fn signature_of(secret: &[u8; 32], bytes: &[u8]) -> [u8; 64] {
    let half = digest(&[b"duohuo signed", secret, bytes]);
    let mut signature = [0; 64];
    let (first, second) = signature.split_at_mut(32);
    first.copy_from_slice(&half);
    second.copy_from_slice(&half);
    signature
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn with<T>(look: impl FnOnce(&mut Memory) -> T) -> Option<T> {
    MEMORY.with_borrow_mut(|memory| memory.as_mut().map(look))
}

struct Pair {
    secret: [u8; 32],
    public: [u8; 32],
}

#[derive(Default)]
struct Memory {
    users: u32,
    /// By public key: the secrets of all who signed. As many as there are keys.
    secrets: BTreeMap<[u8; 32], [u8; 32]>,
    publics: Slots<Pair>,
}

/// As many public keys as are remembered.
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
    use crate::crypt::{Cipher, diffie_hellman, public_key};
    use crate::sign::{SigningKey, sign, verify};

    #[test]
    fn a_stand_in_is_good_for_its_key_and_bytes_only_and_ends_with_its_value() {
        let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
        let (public, other_public) = (key.verifying_key(), other.verifying_key());
        let before = sign(&key, b"duohuo test 1 before");
        let remembering = remember();
        let made = sign(&key, b"duohuo test 1 made");
        let of_other = sign(&other, b"duohuo test 1 made");
        assert!(verify(&public, b"duohuo test 1 made", &made));
        assert!(verify(&other_public, b"duohuo test 1 made", &of_other));
        assert_eq!(made, sign(&key, b"duohuo test 1 made"), "the same bytes each time, as of Ed25519");
        // Another key, other bytes, another signature: each by itself is enough.
        assert!(!verify(&other_public, b"duohuo test 1 made", &made));
        assert!(!verify(&public, b"duohuo test 1 made", &of_other));
        assert!(!verify(&public, b"duohuo test 1 Made", &made));
        for at in 0..64 {
            let mut changed = made;
            *changed.get_mut(at).unwrap() ^= 1;
            assert!(!verify(&public, b"duohuo test 1 made", &changed), "byte {at}");
        }
        drop(remembering);
        assert!(!verify(&public, b"duohuo test 1 made", &made), "to the product it is no signature");
        let again = sign(&key, b"duohuo test 1 before");
        assert_eq!(before, again, "Ed25519 again");
    }

    #[test]
    fn a_true_signature_stays_good_while_a_thread_remembers() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let public = key.verifying_key();
        let before = sign(&key, b"duohuo test 1 before");
        let _remembering = remember();
        assert!(verify(&public, b"duohuo test 1 before", &before), "nobody signed with this key here");
        let made = sign(&key, b"duohuo test 1 made");
        assert!(verify(&public, b"duohuo test 1 before", &before));
        assert!(verify(&public, b"duohuo test 1 made", &made));
        let mut changed = before;
        changed[5] ^= 1;
        assert!(!verify(&public, b"duohuo test 1 before", &changed));
    }

    #[test]
    fn a_second_value_shares_the_memory_of_the_first() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let first = remember();
        let made = sign(&key, b"duohuo test 1 made");
        drop(remember());
        assert!(verify(&key.verifying_key(), b"duohuo test 1 made", &made));
        drop(first);
        assert!(!is_used());
    }

    #[test]
    fn both_ends_of_an_exchange_and_nobody_else_share_the_same() {
        let (a, b, c) = ([3; 32], [4; 32], [5; 32]);
        let (public_a, public_b) = (public_key(&a), public_key(&b));
        let _remembering = remember();
        assert_eq!((public_key(&a), public_key(&b)), (public_a, public_b), "public keys are what they are");
        let shared = diffie_hellman(&a, &public_b).unwrap();
        assert_eq!(*diffie_hellman(&b, &public_a).unwrap(), *shared);
        assert_ne!(*diffie_hellman(&c, &public_b).unwrap(), *shared);
        assert_ne!(*diffie_hellman(&c, &public_a).unwrap(), *shared);
        for at in 0..32 {
            let mut changed = public_b;
            *changed.get_mut(at).unwrap() ^= 1;
            assert_ne!(*diffie_hellman(&a, &changed).unwrap(), *shared, "byte {at}");
        }
    }

    #[test]
    fn what_is_sealed_with_a_stand_in_opens_under_its_key_and_sequence_only_and_whole() {
        let _remembering = remember();
        let (cipher, other) = (Cipher::new(&[1; 32], [2; 12]), Cipher::new(&[3; 32], [2; 12]));
        let mut body = *b"a body of some twenty bytes";
        let tag = cipher.seal(7, b"head", &mut body);
        let opens = |cipher: &Cipher, sequence, head: &[u8], body: &[u8], tag: &[u8; 16]| {
            cipher.open(sequence, head, &mut body.to_vec(), tag)
        };
        assert!(opens(&cipher, 7, b"head", &body, &tag));
        assert!(!opens(&other, 7, b"head", &body, &tag) && !opens(&cipher, 8, b"head", &body, &tag));
        assert!(!opens(&cipher, 7, b"heat", &body, &tag) && !opens(&cipher, 7, b"hea", &body, &tag));
        for bit in 0..body.len() * 8 {
            let mut changed = body;
            *changed.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            assert!(!opens(&cipher, 7, b"head", &changed, &tag), "bit {bit}");
        }
        for bit in 0..128 {
            let mut changed = tag;
            *changed.get_mut(bit / 8).unwrap() ^= 1 << (bit % 8);
            assert!(!opens(&cipher, 7, b"head", &body, &changed), "bit {bit} of the tag");
        }
    }

    /// The encodings of the points of small order (https://cr.yp.to/ecdh.html, "Validate"), computed in both ways.
    #[test]
    fn a_key_of_small_order_shares_nothing_in_either_way() {
        for key in crate::crypt::SMALL_ORDER {
            assert!(diffie_hellman(&[7; 32], key).is_none(), "{key:?}");
        }
        let _remembering = remember();
        for key in crate::crypt::SMALL_ORDER {
            let mut with_top_bit = *key;
            with_top_bit[31] |= 0x80; // X25519 ignores it
            assert!(diffie_hellman(&[7; 32], key).is_none(), "{key:?}");
            assert!(diffie_hellman(&[7; 32], &with_top_bit).is_none(), "{key:?}");
        }
    }
}
