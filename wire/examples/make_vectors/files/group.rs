//! Packets under the group seal: each member's key, and the signature inside.

use bytes::BytesMut;
use duohuo_wire::{
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version},
    packet::{Heard, NodeKeepalive, Packet, Probe, ProbeAnswer, Role, StatusQuery},
    show::Show as _,
    tlv::Extensions,
};
use ed25519_dalek::{Signer as _, SigningKey};

use super::{
    Pairs, Suite,
    crypto::{GroupPlace, Seal, mend_crc},
    json::{J, obj},
    packets::group_keys,
    parties::{NODE, group},
    statements::add_order,
};

fn signing() -> SigningKey {
    SigningKey::from_bytes(&group::SIGNING)
}

fn body(packet: &Packet) -> Vec<u8> {
    let mut out = BytesMut::new();
    packet.encode(&mut out);
    out.to_vec()
}

fn probe() -> Packet {
    Probe { nonce: 1, epoch: Epoch(2), extensions: Extensions::default() }.into()
}

fn keepalive() -> Packet {
    NodeKeepalive {
        cluster: ClusterId(3),
        priority: 100,
        role: Role::Standby,
        in_sync: true,
        interval_us: 100_000,
        epoch: Epoch(4),
        version: Version(2),
        promised: Epoch(4),
        log_end: LogIndex(816),
        height: Height(100),
        address: "10.0.0.7:7400".parse().unwrap(),
        heard: vec![Heard { node: NodeId(9), sequence: 41 }],
        extensions: Extensions::default(),
    }
    .into()
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new(
        "group",
        "group",
        &[
            "The receiver knows group.secret, and signing_key from its roster; it looks the key up by (group, sender, session).",
            "A packet that names another generation, sender or boot id than the group's is another key's: see forged.",
        ],
    )
    .with("group", group_keys());
    let place = group::place;
    let seal = |place: &GroupPlace, packet: &Packet| {
        group::seal(place).group_packet(place, packet.packet_type().code(), &body(packet), &signing())
    };
    let shown = |packet: &Packet, bytes: &[u8]| -> Pairs {
        vec![
            ("packet", J::text(packet.name())),
            ("body", J::hex(&body(packet))),
            ("hex", J::hex(bytes)),
            ("fields", packet.show()),
        ]
    };
    let answer: Packet =
        ProbeAnswer { nonce: 1, role: Role::Master, epoch: Epoch(4), extensions: Extensions::default() }
            .into();
    let mut extended = Extensions::default();
    extended.insert(0x0A0A, b"\x77");
    let extended: Packet = Probe { nonce: 1, epoch: Epoch(2), extensions: extended }.into();
    for (comment, packet, sequence) in [
        ("a probe, the first packet after the start", probe(), 0),
        ("an answer", answer, 1),
        ("a keepalive", keepalive(), 2),
        ("an unknown extension that is not critical", extended, 3),
        ("the highest sequence", keepalive(), (1 << 63) - 1),
    ] {
        suite.valid(comment, shown(&packet, &seal(&place(sequence), &packet)));
    }
    let other = GroupPlace { generation: 6, sender: 8, boot: 0xB008, sequence: 0 };
    let mut of_another = shown(&keepalive(), &seal(&other, &keepalive()));
    of_another.insert(0, ("group", obj! {
        "generation": other.generation.show(), "sender": other.sender.show(), "boot": other.boot.show(),
        "key": group::seal(&other).key.show(), "iv": group::seal(&other).iv.show(),
    }));
    suite.valid("another member, start and generation: another key of the same secret", of_another);
    forged(&mut suite);
    signatures(&mut suite);
    inside(&mut suite);
    suite
}

fn forged(suite: &mut Suite) {
    let place = group::place(9);
    let code = 0x1C;
    let right = group::seal(&place).group_packet(&place, code, &body(&probe()), &signing());
    let mut refuse = |comment: &str, mut packet: Vec<u8>| {
        mend_crc(&mut packet);
        suite.invalid(comment, "W-RCV-3", "forged", vec![("hex", J::hex(&packet))]);
    };
    for (comment, at) in [
        ("a bit of the sequence changed", 31),
        ("a flag that is ignored changed: the header is authenticated as sent", 7),
        ("a bit of the body changed", 40),
        ("a bit of the signature changed", 60),
        ("a bit of the tag changed", right.len() - 5),
    ] {
        let mut packet = right.clone();
        packet[at] ^= 0x10;
        refuse(comment, packet);
    }
    let mut typed = right.clone();
    typed[5] = 0x1D;
    refuse("another type", typed);
    let seals = [
        ("sealed for another cluster with the same secret", Seal::group(4, 5, &group::SECRET, NODE, 0xB007)),
        ("sealed with another secret", Seal::group(3, 5, &[8; 32], NODE, 0xB007)),
        ("sealed with the key of another sender", Seal::group(3, 5, &group::SECRET, 8, 0xB007)),
        ("sealed with the key of another start", Seal::group(3, 5, &group::SECRET, NODE, 0xB008)),
        ("sealed with the key of another generation", Seal::group(3, 4, &group::SECRET, NODE, 0xB007)),
    ];
    for (comment, seal) in seals {
        refuse(comment, seal.group_packet(&place, code, &body(&probe()), &signing()));
    }
}

fn signatures(suite: &mut Suite) {
    let code = 0x1C;
    let place = group::place(10);
    let header = place.header(code, 16 + 64);
    let probe = body(&probe());
    let mut refuse = |comment: &str, signature: [u8; 64]| {
        let packet = group::seal(&place).finish(&header, place.sequence, &[&probe[..], &signature].concat());
        suite.invalid(comment, "W-RCV-4", "bad_signature", vec![("hex", J::hex(&packet))]);
    };
    let label = &b"duohuo group sign 1"[..];
    let sign = |parts: &[&[u8]]| signing().sign(&parts.concat()).to_bytes();
    let right = sign(&[label, &header, &probe]);
    refuse(
        "a member speaks for another",
        SigningKey::from_bytes(&[5; 32]).sign(&[label, &header, &probe].concat()).to_bytes(),
    );
    refuse("signed under another label", sign(&[b"duohuo group sign 2", &header, &probe]));
    refuse("the header is not signed", sign(&[label, &probe]));
    let mut short = header.clone();
    short[11] -= 64;
    refuse("signed under the length without the signature", sign(&[label, &short, &probe]));
    let mut other = header.clone();
    other[31] += 1;
    refuse("signed for another sequence", sign(&[label, &other, &probe]));
    refuse("S is not canonical: the order of the group was added", add_order(right));
    refuse("zero", [0; 64]);
}

fn inside(suite: &mut Suite) {
    let place = group::place(11);
    let key = group::seal(&place);
    let query: Packet = StatusQuery { request: 1, extensions: Extensions::default() }.into();
    let mut refuse = |comment: &str, rule: &str, reason: &str, packet: Vec<u8>| {
        suite.invalid(comment, rule, reason, vec![("hex", J::hex(&packet))]);
    };
    let sealed = |code: u8, body: &[u8]| key.group_packet(&place, code, body, &signing());
    refuse(
        "no room for a signature",
        "W-RCV-4",
        "truncated",
        key.finish(&place.header(0x1C, 63), 11, &[0; 63]),
    );
    refuse("a type that must not travel so", "W-RCV-4", "bad_value", sealed(0x52, &body(&query)));
    refuse("an unknown type", "W-RCV-4", "bad_value", sealed(0xEE, &body(&query)));
    refuse("a row under the group seal", "W-GRP-3", "bad_value", sealed(0x16, &[0; 118]));
    refuse("the body is cut", "W-RCV-6", "truncated", sealed(0x1C, &body(&probe())[..15]));
    refuse(
        "an unknown critical extension",
        "W-TLV-3",
        "unknown_critical_tlv",
        sealed(0x1C, &[&body(&probe())[..], b"\x8A\x0A\0\0"].concat()),
    );
    refuse(
        "a wrong role in an answer",
        "W-ENC-1",
        "bad_value",
        sealed(0x1D, &[0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0, 0, 0, 0, 0, 4]),
    );
}
