//! The order of the reception checks that need keys (spec/wire.md section 2.1, 13 to 15) and those before them: of any two
//! that are broken, the first is the one counted, and the authority says nothing.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use duohuo_core::Instant;
use duohuo_core::io::{Input, Machine as _, Output};
use duohuo_tests::consortium::{Consortium, FIG_16, node};
use duohuo_tests::crc::crc32;
use duohuo_tests::host::{Anyone, Disk, start};
use duohuo_wire::handshake::{Initiation, Keys, Prologue, Transport, public_key};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Packet, Probe};

/// A fault of a sealed datagram, in the order of the checks. `again`: it repeats a sequence that was accepted.
struct Fault {
    label: &'static str,
    again: bool,
    change: fn(&mut Vec<u8>),
}

const fn fault(label: &'static str, change: fn(&mut Vec<u8>)) -> Fault {
    Fault { label, again: false, change }
}

const FAULTS: &[Fault] = &[
    fault("too_short", |bytes| bytes.truncate(43)),
    fault("bad_magic", |bytes| bytes[0] = 0),
    fault("bad_version", |bytes| bytes[4] = 3),
    fault("bad_length", |bytes| bytes[11] ^= 1),
    fault("bad_header_length", |bytes| bytes[12] = 9),
    fault("bad_crc", |bytes| *bytes.last_mut().unwrap() ^= 1),
    fault("unknown_flags", |bytes| bytes[6] = 1),
    fault("bad_suite", |bytes| bytes[13] = 2),
    fault("reserved_not_zero", |bytes| bytes[14] = 1),
    fault("not_sealed", |bytes| bytes[7] = 0),
    fault("unknown_session", |bytes| bytes[16] ^= 0x80),
    Fault { label: "replayed", again: true, change: |_| {} },
    fault("forged", |bytes| bytes[41] ^= 1),
    // Below the seal: whoever changes them has broken the seal first.
    fault("forged", |bytes| bytes[5] = 0xEE),
];

/// The authority with an established session of a node, from the node's side.
struct Session {
    authority: Anyone,
    keys: Keys,
    remote: u64,
    next: u64,
}

const NODE: usize = 0;

impl Session {
    fn new() -> Self {
        let consortium = Consortium::new(7, &FIG_16);
        let me = node(NODE, 0);
        let mut authority = start(NodeId::AUTHORITY, &consortium, &Disk::new(), [1; 32]);
        let prologue = Prologue { consortium: consortium.roster.consortium, transport: Transport::Datagram };
        let (initiator, init) = Initiation {
            local: &consortium.keys[&me].session,
            remote_public: &public_key(&consortium.keys[&NodeId::AUTHORITY].session),
            prologue: &prologue,
            ephemeral: [4; 32],
            timestamp: [9; 12],
            session: 77,
            cookie: None,
            sender: me,
            versions: None,
        }
        .begin()
        .unwrap();
        let answers = give(&mut authority, Packet::from(init).encode_unsealed(me).freeze());
        let (_, Packet::HandshakeResponse(response)) = Packet::decode_unsealed(&answers[0]).unwrap() else {
            panic!("an initiation is answered with a response");
        };
        let remote = response.responder_session;
        let keys = initiator.finish(&response).unwrap();
        let mut session = Self { authority, keys, remote, next: 0 };
        let proof = session.keys.sealing.seal(&Packet::from(Probe::default()), me, remote, 0);
        session.next = 1;
        give(&mut session.authority, proof);
        session
    }

    fn sealed(&mut self) -> Bytes {
        self.next += 1;
        self.sealed_as(self.next - 1)
    }

    fn sealed_as(&self, sequence: u64) -> Bytes {
        let probe = Packet::from(Probe { nonce: 5, ..Default::default() });
        self.keys.sealing.seal(&probe, node(NODE, 0), self.remote, sequence)
    }

    /// A datagram with these faults; its CRC is right unless that is one of them.
    fn with(&mut self, faults: &[&Fault]) -> Bytes {
        let again = faults.iter().any(|fault| fault.again);
        let mut bytes = if again { self.sealed_as(0) } else { self.sealed() }.to_vec();
        let crc = |bytes: &mut Vec<u8>| {
            let covered = bytes.len() - 4;
            let crc = crc32(&bytes[..covered]);
            bytes[covered..].copy_from_slice(&crc.to_be_bytes());
        };
        let last = |label| ["bad_crc", "too_short"].contains(&label);
        for fault in faults.iter().filter(|fault| !last(fault.label)) {
            (fault.change)(&mut bytes);
        }
        crc(&mut bytes);
        for fault in faults.iter().filter(|fault| last(fault.label)) {
            (fault.change)(&mut bytes);
        }
        bytes.into()
    }

    /// What one datagram added to the counters, and how many datagrams answered it.
    fn verdict(&mut self, datagram: Bytes) -> (Vec<&'static str>, usize) {
        let before: Vec<_> = self.authority.discards().unwrap().iter().collect();
        let answers = give(&mut self.authority, datagram).len();
        let after = self.authority.discards().unwrap().iter();
        (after.filter(|counter| !before.contains(counter)).map(|(label, _)| label).collect(), answers)
    }
}

/// Gives a datagram of the node to the authority; what it sends.
fn give(authority: &mut Anyone, bytes: Bytes) -> Vec<Bytes> {
    let from = Consortium::new(7, &FIG_16).roster.node(node(NODE, 0)).unwrap().1.address;
    authority.handle(Instant::from_nanos(1), Input::Datagram { from, group: false, bytes });
    let mut sent = Vec::new();
    while let Some(output) = authority.poll_output() {
        if let Output::Datagram { bytes, .. } = output {
            sent.push(bytes);
        }
    }
    sent
}

#[test]
fn a_datagram_without_a_fault_is_answered() {
    let mut session = Session::new();
    let good = session.with(&[]);
    assert_eq!(session.verdict(good), (Vec::new(), 1));
}

#[test]
fn of_two_faults_the_first_is_counted_and_nothing_is_answered() {
    let mut session = Session::new();
    for (place, first) in FAULTS.iter().enumerate() {
        let alone = session.with(&[first]);
        assert_eq!(session.verdict(alone), (vec![first.label], 0), "alone");
        for second in &FAULTS[place + 1..] {
            let both = session.with(&[first, second]);
            assert_eq!(session.verdict(both), (vec![first.label], 0), "before {}", second.label);
        }
    }
    // None of them moved the window or ended the session.
    let good = session.with(&[]);
    assert_eq!(session.verdict(good), (Vec::new(), 1));
}
