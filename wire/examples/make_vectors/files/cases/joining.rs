//! Joining, registering, and what every member is given: rosters, registration data, group keys.

use super::*;

pub(super) fn join() -> Case {
    Case::of(vec![
        ("smallest", Join::default().into()),
        ("usual", Join { request: 5, cluster: ClusterId(3), roster_version: 12, extensions: none() }.into()),
        (
            "every bit set",
            Join { request: MAX, cluster: ClusterId(u32::MAX), roster_version: MAX, extensions: none() }
                .into(),
        ),
    ])
}

pub(super) fn join_answer() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("verdict 4", "verdict 255", 8, 4));
    patches.push(("sealed_id is longer than what is left", "W-ENC-2", "truncated", 17, vec![0xFF, 0xFF]));
    let valid = vec![
        ("smallest: the cluster is not registered", JoinAnswer::default().into()),
        (
            "usual",
            JoinAnswer {
                request: 5,
                verdict: JoinVerdict::Accepted,
                roster_version: 12,
                sealed_id: Bytes::from(vec![0x5E; 84]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "the highest verdict, a long sealed ID",
            JoinAnswer {
                request: MAX,
                verdict: JoinVerdict::Starting,
                roster_version: MAX,
                sealed_id: Bytes::from(vec![0xFF; 300]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "wrong cluster",
            JoinAnswer { request: 6, verdict: JoinVerdict::WrongCluster, ..JoinAnswer::default() }.into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn register() -> Case {
    Case::of(vec![
        ("smallest", Register::default().into()),
        ("usual", Register { request: 6, cluster: ClusterId(3), extensions: none() }.into()),
        ("every bit set", Register { request: MAX, cluster: ClusterId(u32::MAX), extensions: none() }.into()),
    ])
}

pub(super) fn registered() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("verdict 4", "verdict 255", 8, 4));
    patches.extend(sealed_id_patches(13));
    let valid = vec![
        (
            "smallest: refused",
            Registered { verdict: RegisterVerdict::Refused, ..Registered::default() }.into(),
        ),
        (
            "usual: one sealed ID for each node",
            Registered {
                request: 6,
                verdict: RegisterVerdict::Accepted,
                registration_epoch: 1,
                sealed_ids: sealed_ids([7, 9]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "a cluster of 64 nodes",
            Registered {
                request: MAX,
                verdict: RegisterVerdict::Accepted,
                registration_epoch: u32::MAX,
                sealed_ids: sealed_ids(1..=64),
                extensions: none(),
            }
            .into(),
        ),
        (
            "already registered",
            Registered { request: 7, verdict: RegisterVerdict::AlreadyRegistered, ..Registered::default() }
                .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn roster_push() -> Case {
    let patches = vec![
        ("the roster is longer than what is left", "W-ENC-2", "truncated", 0, vec![0, 0, 0, 200]),
        ("a roster of 4 GiB is promised", "W-ENC-2", "truncated", 0, vec![0xFF; 4]),
    ];
    let valid = vec![
        (
            "smallest: no byte (no roster, see roster.json)",
            RosterPush { roster: Bytes::new(), extensions: none() }.into(),
        ),
        (
            "usual: the packet does not look into it",
            RosterPush { roster: Bytes::from(vec![0x52; 40]), extensions: none() }.into(),
        ),
        ("a longer one", RosterPush { roster: Bytes::from(vec![0xFF; 1500]), extensions: none() }.into()),
    ];
    Case { valid, patches }
}

pub(super) fn registration_sync() -> Case {
    let mut patches = Vec::new();
    patches.extend(sealed_id_patches(8));
    let valid = vec![
        ("smallest", RegistrationSync::default().into()),
        (
            "usual",
            RegistrationSync {
                cluster: ClusterId(3),
                registration_epoch: 1,
                sealed_ids: sealed_ids([7, 9]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "a cluster of 64 nodes",
            RegistrationSync {
                cluster: ClusterId(u32::MAX),
                registration_epoch: u32::MAX,
                sealed_ids: sealed_ids(1..=64),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn group_key() -> Case {
    let key = SigningKey::from_bytes(&[9; 32]);
    Case::of(vec![
        (
            "smallest: all zero but the generation, without a signature",
            GroupKey { generation: 1, ..GroupKey::default() }.into(),
        ),
        ("usual", GroupKey::sign(ClusterId(3), 5, [9; 32], NodeId(9), &key).into()),
        (
            "every bit set",
            GroupKey::sign(ClusterId(u32::MAX), u32::MAX, [0xFF; 32], NodeId(u32::MAX), &key).into(),
        ),
    ])
}

fn sealed_ids(ids: impl IntoIterator<Item = u32>) -> Vec<NodeSealedId> {
    ids.into_iter()
        .map(|id| NodeSealedId { node: NodeId(id), sealed_id: Bytes::from(vec![id.to_be_bytes()[3]; 84]) })
        .collect()
}

/// A list of sealed IDs of nodes 7 and 9, 84 bytes each: its count stands at this offset.
fn sealed_id_patches(count: usize) -> [Patch; 5] {
    let second = count + 2 + 90;
    [
        ("more sealed IDs promised than there are bytes", "W-ENC-2", "truncated", count, vec![0xFF, 0xFF]),
        ("one more sealed ID promised than there is", "W-ENC-2", "truncated", count, vec![0, 3]),
        ("a sealed ID is longer than what is left", "W-ENC-2", "truncated", second + 4, vec![0, 85]),
        ("the same node twice", "W-ENC-3", "not_canonical", second, vec![0, 0, 0, 7]),
        ("nodes in descending order", "W-ENC-3", "not_canonical", second, vec![0, 0, 0, 1]),
    ]
}
