//! What the crypto costs as this program was built: `portable`, or with the instructions that it was told of
//! (`RUSTFLAGS="-C target-cpu=x86-64-v3"`). Processor time.

use crate::statistics::{Summary, processor_seconds};
use duohuo_wire::handshake::{self, Initiation, Keys, Prologue, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{MasterKeepalive, Packet};
use duohuo_wire::sign::{self, SigningKey};
use serde::Serialize;
use std::hint::black_box;

const SAMPLES: usize = 60;
const RESPONDER: [u8; 32] = [1; 32];
const INITIATOR: [u8; 32] = [2; 32];

/// One operation.
#[derive(Serialize)]
pub(super) struct Cost {
    operation: &'static str,
    ns: Summary,
    /// On one core.
    a_second: f64,
}

impl Cost {
    fn of(operation: &'static str, repetitions: u32, mut call: impl FnMut()) -> Self {
        let mut sample = || {
            let begun = processor_seconds(false);
            for _ in 0..repetitions {
                call();
            }
            (processor_seconds(false) - begun) * 1e9 / f64::from(repetitions)
        };
        // the first warms caches up
        sample();
        let ns = Summary::of((0..SAMPLES).map(|_| sample()).collect()).expect("there are samples");
        Self { operation, ns, a_second: 1e9 / ns.median }
    }

    pub(super) fn print(&self) {
        println!("{:<44}{:>12.0} ns{:>14.0}/s", self.operation, self.ns.median, self.a_second);
    }
}

/// Instructions that the compiler was allowed to use everywhere.
pub(super) const fn build() -> &'static str {
    if cfg!(target_feature = "avx512f") {
        "x86-64-v4"
    } else if cfg!(target_feature = "avx2") {
        "x86-64-v3"
    } else {
        "portable"
    }
}

pub(super) fn costs() -> Vec<Cost> {
    let (sealing, opening) = (keys().0.sealing, keys().1.opening);
    let keepalive = Packet::from(MasterKeepalive::default());
    let sealed = sealing.seal(&keepalive, NodeId(7), 1, 1);
    let signing = SigningKey::from_bytes(&[3; 32]);
    let verifying = signing.verifying_key();
    let message = [0x5A; 150];
    let signature = sign::sign(&signing, &message);
    vec![
        Cost::of("handshake, both sides", 4, || drop(black_box(keys()))),
        Cost::of("seal a master's keepalive", 500, || {
            drop(black_box(sealing.seal(&keepalive, NodeId(7), 1, 1)))
        }),
        Cost::of("read its header, check its CRC and open it", 500, || {
            let header = Header::decode_datagram(black_box(&sealed)).expect("just sealed");
            drop(black_box(opening.open(&header, &sealed)));
        }),
        Cost::of("sign 150 bytes", 20, || {
            black_box(sign::sign(&signing, black_box(&message)));
        }),
        Cost::of("verify that", 20, || {
            black_box(sign::verify(&verifying, black_box(&message), &signature));
        }),
    ]
}

/// A whole handshake: the keys of both sides.
fn keys() -> (Keys, Keys) {
    let prologue = Prologue { consortium: [3; 16], transport: Transport::Datagram };
    let public = handshake::public_key(&RESPONDER);
    let started = Initiation {
        local: &INITIATOR,
        remote_public: &public,
        prologue: &prologue,
        ephemeral: [4; 32],
        timestamp: [5; 12],
        session: 7,
        cookie: None,
        sender: NodeId(7),
        versions: None,
    }
    .begin();
    let (mut initiator, init) = started.expect("the key is one");
    let accepted = handshake::respond(&RESPONDER, &prologue, &init, [6; 32], 8, NodeId::AUTHORITY);
    let accepted = accepted.expect("made for it");
    let keys = initiator.try_finish(&accepted.response).expect("the answer to it");
    (keys, accepted.keys)
}
