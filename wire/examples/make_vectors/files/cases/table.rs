//! The authority's table: claims, changes, rows, questions.

use super::*;

pub(super) fn update() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("reason 5", "reason 255", 28, 5));
    patches.extend(node_list_patches(29, 31));
    patches.push(("sealed_id is longer than what is left", "W-ENC-2", "truncated", 47, vec![0xFF, 0xFF]));
    patches.push((
        "a broken field before a broken list: the first is named",
        "W-ENC-1",
        "bad_value",
        28,
        vec![9, 0xFF, 0xFF],
    ));
    let valid = vec![
        ("smallest", Update::default().into()),
        (
            "usual: the standby claims when the master's stream closed",
            Update {
                request: 8,
                cluster: ClusterId(3),
                epoch: Epoch(4),
                version: Version(2),
                reason: ClaimReason::StreamClosed,
                alive: nodes([7, 8]),
                height: Height(100),
                sealed_id: Bytes::from(vec![0x5E; 84]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "64 nodes alive",
            Update {
                request: MAX,
                cluster: ClusterId(u32::MAX),
                epoch: Epoch(MAX),
                version: Version(MAX),
                reason: ClaimReason::Restart,
                alive: nodes(1..=64),
                height: Height(MAX),
                sealed_id: Bytes::from(vec![0xFF; 84]),
                extensions: none(),
            }
            .into(),
        ),
        ("forced", Update { reason: ClaimReason::Forced, alive: nodes([7]), ..Update::default() }.into()),
        (
            "vacant",
            Update { reason: ClaimReason::Vacant, alive: nodes([0, u32::MAX]), ..Update::default() }.into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn change() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("kind 3", "kind 255", 28, 3));
    let valid = vec![
        ("smallest: add node 0", Change::default().into()),
        (
            "usual: a node that does not acknowledge is taken out",
            Change {
                request: 9,
                cluster: ClusterId(3),
                epoch: Epoch(4),
                version: Version(2),
                kind: ChangeKind::Remove,
                node: NodeId(8),
                extensions: none(),
            }
            .into(),
        ),
        (
            "the master resigns, every other bit set",
            Change {
                request: MAX,
                cluster: ClusterId(u32::MAX),
                epoch: Epoch(MAX),
                version: Version(MAX),
                kind: ChangeKind::Resign,
                node: NodeId(u32::MAX),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn notice() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("outcome 14", "outcome 255", 8, 14));
    patches.extend(node_list_patches(41, 43));
    patches.push((
        "the barred list is longer than what is left",
        "W-ENC-2",
        "truncated",
        51,
        vec![0xFF, 0xFF],
    ));
    patches.push(("unfenced is 2", "W-ENC-1", "bad_value", 57, vec![2]));
    patches.push(("unfenced is 255", "W-ENC-1", "bad_value", 57, vec![255]));
    let full = Row {
        in_sync: nodes(1..=64),
        barred: nodes(2..=64),
        cluster: ClusterId(3),
        epoch: Epoch(MAX),
        version: Version(MAX),
        master: NodeId(1),
        unfenced: false,
        table_version: MAX,
    };
    let row = signed_row();
    let mut list: Vec<(&'static str, Packet)> = vec![
        ("smallest: an empty row without a signature", Notice::default().into()),
        (
            "usual",
            Notice {
                request: 8,
                outcome: Outcome::Done,
                table_version: 55,
                row: row.clone(),
                extensions: none(),
            }
            .into(),
        ),
        (
            "64 nodes in sync, 63 barred",
            Notice {
                request: MAX,
                outcome: Outcome::Unregistered,
                table_version: MAX,
                row: SignedRow::sign(full, &SigningKey::from_bytes(&[7; 32])),
                extensions: none(),
            }
            .into(),
        ),
    ];
    for (comment, outcome) in [
        ("the request built on another row", Outcome::Stale),
        ("the claimant is not in sync", Outcome::NotInSync),
        ("the claimant is barred", Outcome::Barred),
        ("the master still answers", Outcome::IncumbentHeard),
        ("the sealed cluster ID does not open", Outcome::BadSealedId),
        ("too soon", Outcome::HoldDown),
        ("not ready", Outcome::Starting),
        ("only the master may ask", Outcome::NotMaster),
        ("the set would be empty", Outcome::LastMember),
    ] {
        list.push((
            comment,
            Notice { request: 8, outcome, table_version: 55, row: row.clone(), extensions: none() }.into(),
        ));
    }
    let valid = list;
    Case { valid, patches }
}

pub(super) fn query() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("scope 3", "scope 255", 8, 3));
    let valid = vec![
        ("smallest: all rows", Query::default().into()),
        (
            "usual: what changed since table version 50",
            Query {
                request: 10,
                scope: QueryScope::Changed,
                cluster: ClusterId(0),
                since: 50,
                extensions: none(),
            }
            .into(),
        ),
        (
            "the history, every other bit set",
            Query {
                request: MAX,
                scope: QueryScope::History,
                cluster: ClusterId(u32::MAX),
                since: MAX,
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn history() -> Case {
    let patches = vec![
        ("more nodes promised than there are bytes", "W-ENC-2", "truncated", 12, vec![0, 0, 1, 0]),
        ("four thousand million nodes promised", "W-ENC-2", "truncated", 12, vec![0xFF; 4]),
    ];
    let key = SigningKey::from_bytes(&[7; 32]);
    let valid = vec![
        ("smallest: nobody, without a signature", History::default().into()),
        (
            "usual: no order, and a node may come again",
            History::sign(ClusterId(3), Epoch(1), nodes([9, 7, 9, 9]), &key).into(),
        ),
        (
            "a hundred epochs",
            History::sign(ClusterId(u32::MAX), Epoch(MAX - 100), nodes((0..100).map(|at| at % 3)), &key)
                .into(),
        ),
    ];
    Case { valid, patches }
}

/// Signed by the authority of the vectors.
pub(crate) fn signed_row() -> SignedRow {
    let row = Row {
        cluster: ClusterId(3),
        epoch: Epoch(4),
        version: Version(2),
        master: NodeId(9),
        in_sync: nodes([7, 9]),
        barred: nodes([8]),
        unfenced: true,
        table_version: 55,
    };
    SignedRow::sign(row, &SigningKey::from_bytes(&[7; 32]))
}
