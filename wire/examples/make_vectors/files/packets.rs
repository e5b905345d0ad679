//! One file for each type of packet: bodies that must be accepted, and for each rule one that breaks it first.

use bytes::BytesMut;
use duohuo_wire::packet::{Packet, PacketType};
use duohuo_wire::show::Show as _;
use ed25519_dalek::SigningKey;

use super::{
    Pairs, Suite,
    cases::{Case, case},
    crypto::unsealed,
    json::{J, obj},
    parties::{NODE, RESPONDER_SESSION, group, stream_session},
    seal_keys,
};

pub(crate) fn suites() -> Vec<Suite> {
    PacketType::ALL.iter().map(|kind| suite(*kind, case(*kind))).collect()
}

fn suite(kind: PacketType, case: Case) -> Suite {
    let name = format!("packet_{:02x}_{}", kind.code(), snake(kind.name()));
    let mut suite = Suite::new(
        &name,
        "packet",
        &[
            "body is what stands between header and CRC (and tag and signature); hex is the whole packet that carries it.",
            "Every packet here is authentic: a refusal is one of the body's.",
        ],
    )
    .with("packet", J::text(kind.name()))
    .with("type", kind.code().show());
    suite = match protection(kind) {
        Protection::None => suite.with("seal", J::text("none")),
        Protection::Group => suite.with("seal", J::text("group")).with("group", group_keys()),
        Protection::Session => {
            let seal = stream_session().1;
            suite.with("seal", J::text("session")).with("session", seal_keys(&seal.key, &seal.iv))
        }
    };
    for (comment, packet) in &case.valid {
        accept(&mut suite, kind, comment, &body(packet));
    }
    let usual = body(&case.valid[1.min(case.valid.len() - 1)].1);
    let fixed = fixed_length(&case.valid[1.min(case.valid.len() - 1)].1);
    let plain = &usual[..fixed];
    let tail = &usual[fixed..];
    let with = |more: &[u8]| [plain, tail, more].concat();
    accept(
        &mut suite,
        kind,
        "an unknown extension that is not critical is kept",
        &with(b"\x0A\x0A\0\x01\x77"),
    );
    accept(
        &mut suite,
        kind,
        "two of them, the last without a value",
        &with(b"\x0A\x0A\0\x02\x77\x78\x7F\xFF\0\0"),
    );

    refuse(&mut suite, kind, "nothing", "W-ENC-2", "truncated", &[]);
    refuse(
        &mut suite,
        kind,
        "the last byte of the fixed part is missing",
        "W-ENC-2",
        "truncated",
        &plain[..fixed - 1],
    );
    for (comment, rule, reason, offset, bytes) in case.patches {
        let mut changed = usual.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(&bytes);
        refuse(&mut suite, kind, comment, rule, reason, &changed);
    }
    let extensions: [(&str, &str, &str, &[u8]); 11] = [
        ("one byte after the last field", "W-TLV-2", "tlv_truncated", b"\0"),
        ("three bytes that are no extension", "W-TLV-2", "tlv_truncated", b"\x0A\x0A\0"),
        ("an extension that runs past the body", "W-TLV-2", "tlv_truncated", b"\x0A\x0A\0\x02\x77"),
        ("an extension, then one byte", "W-TLV-2", "tlv_truncated", b"\x0A\x0A\0\0\x0B"),
        ("the same extension twice", "W-TLV-1", "tlv_order", b"\x0A\x0A\0\0\x0A\x0A\0\0"),
        ("extensions in descending order", "W-TLV-1", "tlv_order", b"\x0A\x0B\0\0\x0A\x0A\0\0"),
        ("an unknown critical extension", "W-TLV-3", "unknown_critical_tlv", b"\x8A\x0A\0\0"),
        (
            "an unknown critical extension after one that is not",
            "W-TLV-3",
            "unknown_critical_tlv",
            b"\x0A\x0A\0\x01\x77\x8A\x0A\0\x01\x77",
        ),
        (
            "an unknown critical extension that runs past the body",
            "W-TLV-2",
            "tlv_truncated",
            b"\x8A\x0A\0\x02\x77",
        ),
        (
            "an extension out of order that runs past the body",
            "W-TLV-2",
            "tlv_truncated",
            b"\x0A\x0A\0\0\x0A\x09\0\x02\x77",
        ),
        (
            "the highest critical type, then one that is lower",
            "W-TLV-3",
            "unknown_critical_tlv",
            b"\xFF\xFF\0\0\x0A\x0A\0\0",
        ),
    ];
    for (comment, rule, reason, bytes) in extensions {
        refuse(&mut suite, kind, comment, rule, reason, &with(bytes));
    }
    if kind == PacketType::Registered {
        let list = b"\0\x03\0\0\0\x09\0\0\0\0\0\x07\0\0\0\0\0\x08\0\x05\xEE";
        let body = [&usual[..13], list].concat();
        let comment = "descending, and the last is cut: the order is asked when all are read";
        refuse(&mut suite, kind, comment, "W-ENC-2", "truncated", &body);
    }
    if kind == PacketType::Resync {
        let part = |value: &[u8]| [plain, b"\x80\x01\0", &[value.len() as u8], value].concat();
        let broken: [(&str, &[u8]); 3] = [
            ("a part: 8 bytes", b"\0\0\0\0\0\0\0\x09"),
            ("a part: 10 bytes", b"\0\0\0\0\0\0\0\x09\0\0"),
            ("a part that is followed by 2", b"\0\0\0\0\0\0\0\x09\x02"),
        ];
        for (comment, value) in broken {
            refuse(&mut suite, kind, comment, "W-TLV-7", "bad_value", &part(value));
        }
    }
    if kind == PacketType::NodeKeepalive {
        let alone = |more: &[u8]| [plain, more].concat();
        let mut refuse =
            |comment, rule, reason, body: &[u8]| refuse(&mut suite, kind, comment, rule, reason, body);
        refuse("heard: empty", "W-ENC-4", "not_canonical", &alone(b"\0\x01\0\0"));
        refuse("heard: 9 bytes", "W-ENC-2", "truncated", &alone(b"\0\x01\0\x09\0\0\0\x08\0\0\0\x01\0"));
        refuse("heard: 7 bytes", "W-ENC-2", "truncated", &alone(b"\0\x01\0\x07\0\0\0\x08\0\0\0"));
        refuse(
            "heard under its critical number is unknown",
            "W-TLV-3",
            "unknown_critical_tlv",
            &alone(b"\x80\x01\0\x08\0\0\0\x08\0\0\0\x01"),
        );
        refuse(
            "heard is empty, and the extensions descend: they are read whole before one is looked into",
            "W-TLV-1",
            "tlv_order",
            &alone(b"\0\x01\0\0\x0A\x0B\0\0\x0A\x0A\0\0"),
        );
        let mut cut = plain[..fixed - 1].to_vec();
        cut[4] = 255;
        refuse(
            "priority 255, and the address is cut: the first in the drawing is named",
            "W-RCV-6",
            "bad_value",
            &cut,
        );
    }
    suite
}

fn accept(suite: &mut Suite, kind: PacketType, comment: &str, body: &[u8]) {
    let packet = Packet::decode(kind.code(), body).unwrap();
    let mut more = carried(suite, kind, body);
    more.push(("fields", packet.show()));
    suite.valid(comment, more);
}

fn refuse(suite: &mut Suite, kind: PacketType, comment: &str, rule: &str, reason: &str, body: &[u8]) {
    let more = carried(suite, kind, body);
    suite.invalid(comment, rule, reason, more);
}

/// The body, and the packet that brings it.
fn carried(suite: &Suite, kind: PacketType, body: &[u8]) -> Pairs {
    let sequence = suite.next_id();
    let packet = match protection(kind) {
        Protection::None => unsealed(kind.code(), NODE, body),
        Protection::Group => {
            let place = group::place(sequence);
            group::seal(&place).group_packet(
                &place,
                kind.code(),
                body,
                &SigningKey::from_bytes(&group::SIGNING),
            )
        }
        Protection::Session => {
            stream_session().1.packet(kind.code(), RESPONDER_SESSION, sequence, NODE, body)
        }
    };
    vec![("body", J::hex(body)), ("hex", J::hex(&packet))]
}

enum Protection {
    None,
    Group,
    Session,
}

fn protection(kind: PacketType) -> Protection {
    match kind {
        _ if kind.is_handshake() => Protection::None,
        PacketType::NodeKeepalive => Protection::Group,
        _ => Protection::Session,
    }
}

/// What opens the packets of the group.
pub(crate) fn group_keys() -> J {
    let seal = group::seal(&group::place(0));
    obj! {
        "cluster": group::CLUSTER.show(), "generation": 5_u32.show(), "secret": group::SECRET.show(),
        "sender": NODE.show(), "boot": 0xB007_u64.show(),
        "signing_key": SigningKey::from_bytes(&group::SIGNING).verifying_key().to_bytes().show(),
        "key": seal.key.show(), "iv": seal.iv.show(),
    }
}

fn body(packet: &Packet) -> Vec<u8> {
    let mut out = BytesMut::new();
    packet.encode(&mut out);
    out.to_vec()
}

/// Without the extensions (the heard list of a keepalive is one).
fn fixed_length(packet: &Packet) -> usize {
    let mut packet = packet.clone();
    if let Packet::NodeKeepalive(keepalive) = &mut packet {
        keepalive.heard.clear();
    }
    body(&packet).len()
}

fn snake(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}
