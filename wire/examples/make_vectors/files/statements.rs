//! Signed statements, and the status report.

use bytes::{BufMut as _, BytesMut};
use duohuo_wire::{
    ids::{ClusterId, Epoch, Height, NodeId, Version},
    packet::{GroupKey, History, Packet, Role, Row, SignedResult, SignedRow, SignedSwitch},
    show::Show as _,
    status::{NeighbourStatus, StatusReport},
};
use ed25519_dalek::{Signer as _, SigningKey};

use super::{
    Pairs, Suite,
    cases::{signed_order, signed_row, signed_takeover},
    json::J,
};

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public() -> [u8; 32] {
    key().verifying_key().to_bytes()
}

/// A valid signature made another one by adding the order of the group to S.
pub(crate) fn add_order(mut signature: [u8; 64]) -> [u8; 64] {
    const ORDER: [u8; 32] = [
        0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7, 0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0_u16;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    signature
}

fn said(what: &str, key: [u8; 32], bytes: &[u8]) -> Pairs {
    vec![("statement", J::text(what)), ("signing_key", key.show()), ("hex", J::hex(bytes))]
}

fn encoded(put: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out);
    out.to_vec()
}

/// Of each kind: the label, its bytes without the signature, and how it is shown.
fn examples() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>, J)> {
    let full = Row {
        cluster: ClusterId(u32::MAX),
        epoch: Epoch(u64::MAX),
        version: Version(u64::MAX),
        master: NodeId(u32::MAX),
        in_sync: (1..=64).map(NodeId).collect(),
        barred: (2..=64).map(NodeId).collect(),
        unfenced: false,
        table_version: u64::MAX,
    };
    let mut list = Vec::new();
    let rows = [
        ("a row", signed_row()),
        (
            "a row of epoch 0: never registered",
            SignedRow::sign(Row { cluster: ClusterId(3), ..Row::default() }, &key()),
        ),
        ("a row of 64 nodes", SignedRow::sign(full, &key())),
    ];
    for (comment, row) in rows {
        assert!(row.verify(&key().verifying_key()));
        list.push(("row", "duohuo row 1", comment, encoded(|out| row.encode(out)), row.show()));
    }
    let result = SignedResult::sign(ClusterId(3), NodeId(9), Epoch(4), Height(101), [0xAA; 32], &key());
    assert!(result.verify(&key().verifying_key()));
    list.push(("result", "duohuo result 1", "a result", encoded(|out| result.encode(out)), result.show()));
    for (comment, height, proven) in
        [("a switch that is proven", 101, true), ("a switch ordered by a person", 0, false)]
    {
        let order = SignedSwitch::sign(ClusterId(3), Epoch(4), NodeId(9), Height(height), proven, &key());
        assert!(order.verify(&key().verifying_key()));
        list.push(("switch", "duohuo switch 1", comment, encoded(|out| order.encode(out)), order.show()));
    }
    let order = signed_order();
    assert!(order.verify(&key().verifying_key()));
    list.push(("order", "duohuo order 1", "an order", encoded(|out| order.encode(out)), order.show()));
    let takeover = signed_takeover();
    assert!(takeover.verify(&key().verifying_key()));
    list.push((
        "takeover",
        "duohuo takeover 1",
        "a takeover",
        encoded(|out| takeover.encode(out)),
        takeover.show(),
    ));
    for (comment, nodes) in [("a history", vec![9, 7, 9]), ("a history of nobody", vec![])] {
        let nodes = nodes.into_iter().map(NodeId).collect();
        let history: Packet = History::sign(ClusterId(3), Epoch(1), nodes, &key()).into();
        list.push((
            "history",
            "duohuo history 1",
            comment,
            encoded(|out| history.encode(out)),
            history.show(),
        ));
    }
    let group: Packet = GroupKey::sign(ClusterId(3), 5, [9; 32], NodeId(9), &key()).into();
    list.push((
        "group_key",
        "duohuo group key 1",
        "a group key",
        encoded(|out| group.encode(out)),
        group.show(),
    ));
    list
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new(
        "statements",
        "statement",
        &[
            "hex is the statement with its signature; history and group_key are the bodies of their packets, without extensions.",
            "signing_key is the Ed25519 public key of who should have signed. First the bytes are read, then the signature is asked (bad_signature).",
        ],
    );
    for (what, _, comment, bytes, fields) in examples() {
        let mut more = said(what, public(), &bytes);
        more.push(("fields", fields));
        suite.valid(comment, more);
    }
    for (what, label, _, bytes, _) in examples().into_iter().filter(|example| {
        ["a row", "a result", "a switch that is proven", "an order", "a takeover", "a history", "a group key"]
            .contains(&example.2)
    }) {
        forged(&mut suite, what, label, &bytes);
        if what != "history" && what != "group_key" {
            let longer = [&bytes[..], &[0]].concat();
            suite.invalid(
                &format!("{what}: a byte follows"),
                "W-ENC-4",
                "trailing_bytes",
                said(what, public(), &longer),
            );
        }
        let shorter = &bytes[..bytes.len() - 1];
        suite.invalid(
            &format!("{what}: the last byte is missing"),
            "W-ENC-2",
            "truncated",
            said(what, public(), shorter),
        );
    }
    let result = encoded(|out| {
        let hash = [0xAA; 32];
        SignedResult::sign(ClusterId(3), NodeId(9), Epoch(4), Height(101), hash, &key()).encode(out);
    });
    suite.invalid(
        "result: R of small order",
        "W-STM-1",
        "bad_signature",
        said("result", public(), &[&result[..result.len() - 64], &small_r()].concat()),
    );
    let row = encoded(|out| signed_row().encode(out));
    let mut refuse = |comment: &str, rule: &str, reason: &str, at: usize, value: &[u8]| {
        let mut bytes = row.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        suite.invalid(comment, rule, reason, said("row", public(), &bytes));
    };
    refuse("row: the same node twice in in_sync", "W-ENC-3", "not_canonical", 30, &[0, 0, 0, 7]);
    refuse("row: in_sync in descending order", "W-ENC-3", "not_canonical", 26, &[0, 0, 0, 10]);
    refuse("row: more barred nodes than there are bytes", "W-ENC-2", "truncated", 34, &[0xFF, 0xFF]);
    refuse("row: unfenced is 2", "W-ENC-1", "bad_value", 40, &[2]);
    suite
}

fn forged(suite: &mut Suite, what: &str, label: &str, bytes: &[u8]) {
    let (fields, signature) = bytes.split_last_chunk::<64>().unwrap();
    let mut refuse = |comment: &str, key: [u8; 32], rule: &str, signature: [u8; 64]| {
        let bytes = [fields, &signature].concat();
        suite.invalid(&format!("{what}: {comment}"), rule, "bad_signature", said(what, key, &bytes));
    };
    let sign = |label: &str| key().sign(&[label.as_bytes(), fields].concat()).to_bytes();
    assert_eq!(sign(label), *signature);
    refuse("signed by another", SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes(), "5", *signature);
    refuse(
        "signed under the label of another kind",
        public(),
        "W-STM-2",
        sign(if what == "row" { "duohuo result 1" } else { "duohuo row 1" }),
    );
    refuse("signed without a label", public(), "W-STM-2", sign(""));
    refuse(
        "S is not canonical: the order of the group was added",
        public(),
        "W-STM-1",
        add_order(*signature),
    );
    let mut changed = *signature;
    changed[0] ^= 1;
    refuse("R changed", public(), "W-STM-1", changed);
    // The neutral point as key and as R, S = 0: holds for every message wherever small orders are not refused.
    let mut neutral = [0; 64];
    neutral[0] = 1;
    let small: [u8; 32] = neutral[..32].try_into().unwrap();
    refuse("a key of small order", small, "W-STM-1", neutral);
}

/// A signature of the result by the right key whose R is the neutral point: S = SHA-512(R, A, message) times the secret.
/// It holds wherever only the key's order is asked, and only who has the secret can make it.
fn small_r() -> [u8; 64] {
    let mut signature = [0; 64];
    signature[0] = 1;
    signature[32..].copy_from_slice(&[
        0x76, 0xD8, 0x53, 0xA2, 0x0C, 0x80, 0xCD, 0xC6, 0xF1, 0x4E, 0x22, 0x66, 0x1E, 0xA3, 0x37, 0xBC, 0xD0,
        0xC7, 0x80, 0xE8, 0x8C, 0x28, 0x6B, 0xC7, 0x78, 0xA8, 0xBE, 0x67, 0x07, 0x3D, 0x00, 0x09,
    ]);
    signature
}

pub(crate) fn status() -> Suite {
    let mut suite = Suite::new(
        "status",
        "status",
        &["hex is StatusAnswer.report: no extensions, and nothing may follow."],
    );
    let usual = StatusReport {
        role: Role::Standby,
        node: NodeId(7),
        cluster: ClusterId(3),
        epoch: Epoch(4),
        version: Version(2),
        master: NodeId(9),
        in_sync: vec![NodeId(7), NodeId(9)],
        barred: vec![],
        height: Height(100),
        state_hash: [0xAA; 32],
        pool: 12,
        neighbours: vec![
            NeighbourStatus {
                node: NodeId(9),
                alive: true,
                role: Role::Master,
                priority: 100,
                height: Height(101),
                age_us: 5000,
            },
            NeighbourStatus {
                node: NodeId(8),
                alive: false,
                role: Role::Ordinary,
                priority: 0,
                height: Height(90),
                age_us: u64::MAX,
            },
        ],
        discards: vec![("bad_crc".to_owned(), 3), ("forged".to_owned(), 1)],
        authority_up: true,
        standby: NodeId(7),
        halted: false,
        uptime_ms: 60_000,
        rows: vec![],
        conflicts: 0,
    };
    let authority = StatusReport {
        rows: vec![signed_row().row, Row { cluster: ClusterId(4), ..Row::default() }],
        discards: vec![("\u{591a}\u{6d3b}".to_owned(), u64::MAX), (String::new(), 0)],
        halted: true,
        authority_up: false,
        ..StatusReport::default()
    };
    for (comment, report) in [
        ("smallest: all zero", StatusReport::default()),
        ("a standby", usual.clone()),
        ("an authority, with labels of any text", authority),
    ] {
        suite.valid(
            comment,
            vec![("hex", J::hex(&encoded(|out| report.encode(out)))), ("fields", report.show())],
        );
    }
    let bytes = encoded(|out| usual.encode(out));
    let mut refuse = |comment: &str, rule: &str, reason: &str, bytes: &[u8]| {
        suite.invalid(comment, rule, reason, vec![("hex", J::hex(bytes))]);
    };
    refuse("nothing", "W-ENC-2", "truncated", &[]);
    refuse("the last byte is missing", "W-ENC-2", "truncated", &bytes[..bytes.len() - 1]);
    refuse("a byte follows", "W-ENC-4", "trailing_bytes", &[&bytes[..], &[0]].concat());
    refuse("an extension follows", "W-ENC-4", "trailing_bytes", &[&bytes[..], b"\x0A\x0A\0\0"].concat());
    // in_sync at 29, barred at 39, neighbours at 85, discards at 133, then two labels.
    let patches: &[(&str, &str, &str, usize, &[u8])] = &[
        ("role 3", "W-ENC-1", "bad_value", 0, &[3]),
        ("in_sync in descending order", "W-ENC-3", "not_canonical", 31, &[0, 0, 0, 9, 0, 0, 0, 7]),
        ("more barred nodes than there are bytes", "W-ENC-2", "truncated", 39, &[0xFF, 0xFF]),
        ("more neighbours than there are bytes", "W-ENC-2", "truncated", 85, &[0xFF, 0xFF]),
        ("alive is 2", "W-ENC-1", "bad_value", 91, &[2]),
        (
            "a hundred neighbours promised and the first is broken: the count is asked first",
            "W-ENC-2",
            "truncated",
            85,
            &[0, 100, 0, 0, 0, 9, 2],
        ),
        ("a neighbour's role 3", "W-ENC-1", "bad_value", 92, &[3]),
        ("more discards than there are bytes", "W-ENC-2", "truncated", 133, &[0xFF, 0xFF]),
        ("a label that is not UTF-8", "W-ENC-1", "bad_value", 136, &[0xC3]),
        ("a label longer than what is left", "W-ENC-2", "truncated", 135, &[0xFF]),
    ];
    for (comment, rule, reason, at, value) in patches {
        let mut changed = bytes.clone();
        changed[*at..*at + value.len()].copy_from_slice(value);
        refuse(comment, rule, reason, &changed);
    }
    let tail = bytes.len() - (2 + 8) - 8 - 1 - 4 - 1;
    for (comment, at) in [("authority_up is 2", tail), ("halted is 2", tail + 5)] {
        let mut changed = bytes.clone();
        changed[at] = 2;
        refuse(comment, "W-ENC-1", "bad_value", &changed);
    }
    let mut rows = bytes[..bytes.len() - 10].to_vec();
    rows.put_u16(9);
    rows.put_u64(0);
    refuse("more rows than there are bytes", "W-ENC-2", "truncated", &rows);
    let with_row = StatusReport { rows: vec![signed_row().row], ..usual };
    let mut with_row = encoded(|out| with_row.encode(out));
    let unfenced = with_row.len() - 8 - 8 - 1;
    with_row[unfenced] = 2;
    refuse("a row whose unfenced is 2", "W-ENC-1", "bad_value", &with_row);
    suite
}
