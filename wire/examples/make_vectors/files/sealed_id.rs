//! Sealed cluster IDs: for whom they open, what they claim, and what does not open.

use bytes::BufMut as _;
use duohuo_wire::{
    ids::{ClusterId, NodeId},
    sealed_id::{self, SealedClaims},
    show::Show as _,
};
use hkdf::Hkdf;

use super::{
    Pairs, Suite,
    crypto::{Seal, aead, dh, public},
    json::{J, obj},
};

const SECRET: [u8; 32] = [1; 32];
const CONSORTIUM: [u8; 16] = [2; 16];
const SESSION_KEY: [u8; 32] = [6; 32];
const SIGNING_KEY: [u8; 32] = [7; 32];
const EPHEMERAL: [u8; 32] = [8; 32];

fn claims() -> SealedClaims {
    SealedClaims {
        cluster: ClusterId(3),
        node: NodeId(7),
        registration_epoch: 4,
        serial: 5,
        issued: 1000,
        expires: 2000,
    }
}

fn plain(claims: &SealedClaims) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(claims.cluster.0);
    out.put_u32(claims.node.0);
    out.put_u32(claims.registration_epoch);
    out.put_u64(claims.serial);
    out.put_u64(claims.issued);
    out.put_u64(claims.expires);
    out
}

/// Seals with any second product and any declared cluster: a forger's way.
fn seal(own: &[u8; 32], authority: &[u8; 32], declared: u32, plain: &[u8]) -> Vec<u8> {
    let binding = sealed_id::binding(&SESSION_KEY, &SIGNING_KEY);
    let material = [dh(&EPHEMERAL, authority), dh(own, authority)].concat();
    let info = [&CONSORTIUM[..], &binding, &declared.to_be_bytes()].concat();
    let seal = Seal::expand(&Hkdf::new(Some(b"duohuo sealed id 1"), &material), &info);
    let ephemeral = public(&EPHEMERAL);
    [&ephemeral[..], &aead(&seal.key, &seal.iv, &ephemeral, plain)].concat()
}

/// What the one who opens knows, as far as it differs from the usual.
#[derive(Clone, Copy)]
struct Opener {
    declared: u32,
    session_key: [u8; 32],
    signing_key: [u8; 32],
    consortium: [u8; 16],
    secret: [u8; 32],
}

const USUAL: Opener = Opener {
    declared: 3,
    session_key: SESSION_KEY,
    signing_key: SIGNING_KEY,
    consortium: CONSORTIUM,
    secret: SECRET,
};

fn said(opener: &Opener, bytes: &[u8]) -> Pairs {
    vec![
        ("secret", opener.secret.show()),
        ("consortium", opener.consortium.show()),
        ("session_key", opener.session_key.show()),
        ("signing_key", opener.signing_key.show()),
        ("declared_cluster", opener.declared.show()),
        ("hex", J::hex(bytes)),
    ]
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new(
        "sealed_id",
        "sealed_id",
        &[
            "secret is the authority's sealing key (X25519), session_key and signing_key are the node's in the roster.",
            "A valid case shows the claims; times lists whether they hold at a Unix second (issued <= t < expires).",
            "An expired ID opens: that it has expired is said by its claims, and refused by W-SID-2.",
        ],
    )
    .with("ephemeral_secret", EPHEMERAL.show());
    for (comment, claims) in [
        ("usual", claims()),
        (
            "of another node: the claims say so, and W-SID-2 refuses it",
            SealedClaims { node: NodeId(8), ..claims() },
        ),
        ("of an older registration: the claims say so", SealedClaims { registration_epoch: 3, ..claims() }),
        (
            "never valid: expires before it was issued",
            SealedClaims { issued: 2000, expires: 1000, ..claims() },
        ),
        ("valid for one second", SealedClaims { issued: 1999, expires: 2000, ..claims() }),
        (
            "every bit of the claims set",
            SealedClaims {
                cluster: ClusterId(u32::MAX),
                node: NodeId(u32::MAX),
                registration_epoch: u32::MAX,
                serial: u64::MAX,
                issued: u64::MAX,
                expires: u64::MAX,
            },
        ),
    ] {
        let bytes = seal(&SECRET, &public(&SECRET), claims.cluster.0, &plain(&claims));
        let binding = sealed_id::binding(&SESSION_KEY, &SIGNING_KEY);
        assert_eq!(sealed_id::seal(&SECRET, EPHEMERAL, &claims, &CONSORTIUM, &binding), bytes);
        let mut more = said(&Opener { declared: claims.cluster.0, ..USUAL }, &bytes);
        more.push(("fields", claims.show()));
        let times = [0, 999, 1000, 1999, 2000, u64::MAX];
        let times = times.map(|at| obj! { "at": at.show(), "holds": claims.is_valid_at(at).show() });
        more.push(("times", J::List(times.into())));
        suite.valid(comment, more);
    }
    refused(&mut suite);
    suite
}

fn refused(suite: &mut Suite) {
    let authority = public(&SECRET);
    let usual = seal(&SECRET, &authority, 3, &plain(&claims()));
    let forged = "sealed_id_forged";
    let mut refuse = |comment: &str, rule: &str, reason: &str, opener: Opener, bytes: &[u8]| {
        suite.invalid(comment, rule, reason, said(&opener, bytes));
    };
    refuse("another cluster is declared", "W-SID-1", forged, Opener { declared: 4, ..USUAL }, &usual);
    refuse(
        "a node with another session key presents it",
        "W-SID-1",
        forged,
        Opener { session_key: [5; 32], ..USUAL },
        &usual,
    );
    refuse(
        "a node with another signing key presents it",
        "W-SID-1",
        forged,
        Opener { signing_key: [8; 32], ..USUAL },
        &usual,
    );
    refuse(
        "the node's keys exchanged",
        "W-SID-1",
        forged,
        Opener { session_key: SIGNING_KEY, signing_key: SESSION_KEY, ..USUAL },
        &usual,
    );
    refuse("another consortium", "W-SID-1", forged, Opener { consortium: [3; 16], ..USUAL }, &usual);
    refuse("another authority", "W-SID-1", forged, Opener { secret: [9; 32], ..USUAL }, &usual);
    refuse(
        "made by who knows only the public key",
        "W-SID-3",
        forged,
        USUAL,
        &seal(&[9; 32], &authority, 3, &plain(&claims())),
    );
    refuse(
        "sealed for cluster 3, but the claims say 4",
        "W-SID-2",
        forged,
        USUAL,
        &seal(&SECRET, &authority, 3, &plain(&SealedClaims { cluster: ClusterId(4), ..claims() })),
    );
    for (comment, at, bit) in [
        ("e changed", 0, 1),
        ("the top bit of e changed: X25519 ignores it, the seal does not", 31, 0x80),
        ("the claimed node changed", 39, 1),
        ("expires changed", 67, 1),
        ("the tag changed", 83, 1),
    ] {
        let mut bytes = usual.clone();
        bytes[at] ^= bit;
        refuse(comment, "W-SID-1", forged, USUAL, &bytes);
    }
    refuse("e is zero", "W-SID-1", forged, USUAL, &[0; 84]);
    for (comment, bytes) in
        [("nothing", &[][..]), ("83 bytes", &usual[..83]), ("85 bytes", &[&usual[..], &[0]].concat())]
    {
        refuse(comment, "W-SID-1", "sealed_id_bad_length", USUAL, bytes);
    }
}
