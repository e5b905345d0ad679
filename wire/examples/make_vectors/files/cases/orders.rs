//! An operator's orders, the journal, and the fence of a forced master.

use super::*;

pub(crate) fn signed_order() -> SignedOrder {
    let order = SignedOrder {
        consortium: [0xC0; 16],
        number: 7,
        kind: OrderKind::Switch,
        cluster: ClusterId(3),
        node: NodeId(8),
        epoch: Epoch(4),
        expires: 1_800_000_000,
        who: "Ada".to_owned(),
        why: "a new floor".to_owned(),
        signature: [0; 64],
    };
    order.sign(&SigningKey::from_bytes(&[7; 32]))
}

pub(super) fn order() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("kind 5", "kind 255", 32, 5));
    patches.push(("who is longer than what is left", "W-ENC-2", "truncated", 57, vec![0xFF]));
    patches.push(("who is not UTF-8", "W-ENC-1", "bad_value", 58, vec![0xFF]));
    let longest = SignedOrder {
        kind: OrderKind::Force,
        number: MAX,
        expires: MAX,
        who: "w".repeat(255),
        why: "y".repeat(255),
        ..signed_order()
    };
    let of = |kind| Order { request: 5, order: SignedOrder { kind, ..signed_order() }, extensions: none() };
    let valid = vec![
        ("smallest: all zero, without a signature", Order::default().into()),
        (
            "usual: a switch to a named node",
            Order { request: 5, order: signed_order(), extensions: none() }.into(),
        ),
        (
            "the longest texts, and a signature that does not hold: not asked here",
            Order { request: MAX, order: longest, extensions: none() }.into(),
        ),
        ("unbar", of(OrderKind::Unbar).into()),
        ("pause", of(OrderKind::Pause).into()),
        ("resume", of(OrderKind::Resume).into()),
    ];
    Case { valid, patches }
}

pub(super) fn order_answer() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("outcome 22", "outcome 255", 8, 22));
    let mut valid: Vec<(&'static str, Packet)> = vec![
        ("smallest: done", OrderAnswer::default().into()),
        (
            "usual",
            OrderAnswer {
                request: 5,
                outcome: OrderOutcome::Done,
                number: 7,
                table_version: 55,
                extensions: none(),
            }
            .into(),
        ),
    ];
    for outcome in OrderOutcome::ALL.iter().skip(1) {
        let answer = OrderAnswer { request: 5, outcome: *outcome, number: 7, ..Default::default() };
        valid.push(("refused", answer.into()));
    }
    Case { valid, patches }
}

pub(super) fn journal_query() -> Case {
    Case::of(vec![
        ("smallest", JournalQuery::default().into()),
        ("usual: from the first", JournalQuery { request: 5, from: 1, extensions: none() }.into()),
        ("every bit set", JournalQuery { request: MAX, from: MAX, extensions: none() }.into()),
    ])
}

pub(super) fn journal() -> Case {
    let grant = JournalEntry {
        number: 12,
        at_unix_us: 1_800_000_000_000_000,
        kind: DecisionKind::Grant,
        reason: DecisionReason::StreamClosed,
        cluster: ClusterId(3),
        epoch: Epoch(5),
        version: Version(0),
        old: NodeId(9),
        new: NodeId(8),
        node: NodeId(8),
        order: Bytes::new(),
    };
    let mut order = BytesMut::new();
    signed_order().encode(&mut order);
    let ordered = JournalEntry {
        number: 13,
        kind: DecisionKind::Order,
        reason: DecisionReason::Order,
        order: order.freeze(),
        ..grant.clone()
    };
    let before = [0xBE; 32];
    let hash = ordered.chained(&grant.chained(&before));
    let patches = vec![
        ("more entries promised than there are bytes", "W-ENC-2", "truncated", 40, vec![0xFF, 0xFF]),
        ("kind 7", "W-ENC-1", "bad_value", 58, vec![7]),
        ("reason 7", "W-ENC-1", "bad_value", 59, vec![7]),
    ];
    let key = SigningKey::from_bytes(&[7; 32]);
    let valid = vec![
        ("smallest: nothing was decided yet", Journal::sign(1, [0; 32], vec![], 0, [0; 32], &key).into()),
        (
            "usual: a grant and an order, chained to the head",
            Journal::sign(5, before, vec![grant.clone(), ordered], 13, hash, &key).into(),
        ),
        (
            "a page in the middle",
            Journal::sign(MAX, before, vec![grant.clone()], MAX, [0xFF; 32], &key).into(),
        ),
        ("two takeovers, the later one chained to the earlier", {
            let first = signed_takeover();
            let second =
                SignedTakeover::sign(Some(&first), 12, 12, Granting::default(), Takeover::default(), &key);
            let mut page = Journal::sign(6, before, vec![grant.clone()], 12, [0xFF; 32], &key);
            SignedTakeover::add_to(&[first, second], &mut page.extensions);
            page.into()
        }),
        ("takeovers of another length: as if they were absent", {
            let mut page = Journal::sign(6, before, vec![grant], 12, [0xFF; 32], &key);
            page.extensions.insert(1, &[0; 199]);
            page.into()
        }),
    ];
    Case { valid, patches }
}

pub(crate) fn signed_takeover() -> SignedTakeover {
    let granting = Granting { heard_us: Some(48_000), asked_us: Some(1_500), durable_us: Some(820) };
    let key = SigningKey::from_bytes(&[7; 32]);
    SignedTakeover::sign(None, 12, 11, granting, super::liveness::takeover(), &key)
}

pub(super) fn fence() -> Case {
    let row = Row { unfenced: true, in_sync: nodes([9]), barred: vec![], ..signed_row().row };
    let signed = SignedRow::sign(row, &SigningKey::from_bytes(&[7; 32]));
    let patches = vec![("unfenced is 2", "W-ENC-1", "bad_value", 32, vec![2])];
    let valid = vec![
        ("smallest: all zero, without a signature", Fence::default().into()),
        ("usual: a row that is unfenced", Fence { row: signed, extensions: none() }.into()),
        ("one that is not: judged elsewhere", Fence { row: signed_row(), extensions: none() }.into()),
    ];
    Case { valid, patches }
}

pub(super) fn fence_answer() -> Case {
    Case::of(vec![
        ("smallest", FenceAnswer::default().into()),
        (
            "usual",
            FenceAnswer { cluster: ClusterId(3), epoch: Epoch(5), height: Height(101), extensions: none() }
                .into(),
        ),
        (
            "every bit set",
            FenceAnswer {
                cluster: ClusterId(u32::MAX),
                epoch: Epoch(MAX),
                height: Height(MAX),
                extensions: none(),
            }
            .into(),
        ),
    ])
}

pub(super) fn fenced() -> Case {
    Case::of(vec![
        ("smallest", Fenced::default().into()),
        (
            "usual",
            Fenced {
                request: 5,
                cluster: ClusterId(3),
                epoch: Epoch(5),
                version: Version(0),
                height: Height(102),
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            Fenced {
                request: MAX,
                cluster: ClusterId(u32::MAX),
                epoch: Epoch(MAX),
                version: Version(MAX),
                height: Height(MAX),
                extensions: none(),
            }
            .into(),
        ),
    ])
}
