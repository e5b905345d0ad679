//! Who is there: keepalives and probes.

use super::*;

pub(super) fn master_keepalive() -> Case {
    Case::of(vec![
        ("smallest", MasterKeepalive::default().into()),
        (
            "usual",
            MasterKeepalive {
                cluster: ClusterId(3),
                epoch: Epoch(4),
                height: Height(100),
                challenge: 0xC4A1,
                table_version: 55,
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            MasterKeepalive {
                cluster: ClusterId(u32::MAX),
                epoch: Epoch(MAX),
                height: Height(MAX),
                challenge: MAX,
                table_version: MAX,
                extensions: none(),
            }
            .into(),
        ),
        ("how it came to act", telling(takeover())),
        ("how it came to act: nothing of it was measured", telling(Takeover::default())),
        ("a takeover of another length: as if it were absent", {
            let mut extensions = none();
            extensions.insert(1, &[0; 55]);
            MasterKeepalive { extensions, ..Default::default() }.into()
        }),
    ])
}

/// One whose master before was not suspected: it resigned.
pub(super) fn takeover() -> Takeover {
    Takeover {
        heard_us: Some(7_200),
        suspected_us: None,
        claimed_us: Some(1_900),
        promised_us: Some(650),
        ready_us: Some(2_100),
        spoke_us: Some(2_300),
        committed_us: Some(14_000),
    }
}

/// A MasterKeepalive for the sake of its extension.
fn telling(takeover: Takeover) -> Packet {
    let mut extensions = none();
    takeover.add_to(&mut extensions);
    MasterKeepalive { cluster: ClusterId(3), epoch: Epoch(4), extensions, ..Default::default() }.into()
}

pub(super) fn master_keepalive_answer() -> Case {
    Case::of(vec![
        ("smallest", MasterKeepaliveAnswer::default().into()),
        (
            "usual",
            MasterKeepaliveAnswer {
                challenge: 0xC4A2,
                epoch: Epoch(4),
                table_version: 55,
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            MasterKeepaliveAnswer {
                challenge: MAX,
                epoch: Epoch(MAX),
                table_version: MAX,
                extensions: none(),
            }
            .into(),
        ),
    ])
}

pub(super) fn probe() -> Case {
    Case::of(vec![
        ("smallest", Probe { nonce: 0, epoch: Epoch(0), extensions: none() }.into()),
        ("usual", Probe { nonce: 0x7E57, epoch: Epoch(4), extensions: none() }.into()),
        ("every bit set", Probe { nonce: MAX, epoch: Epoch(MAX), extensions: none() }.into()),
        ("the proof of an initiator that speaks 1 and 2, to a responder of 1 to 3", proof(&[1, 2, 1, 3])),
        ("ranges of another length: as if they were absent", proof(&[1, 2, 1])),
    ])
}

fn proof(ranges: &[u8]) -> Packet {
    let mut extensions = none();
    extensions.insert(1, ranges);
    Probe { nonce: 0, epoch: Epoch(0), extensions }.into()
}

pub(super) fn probe_answer() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("role 3", "role 255", 8, 3));
    let valid = vec![
        (
            "smallest",
            ProbeAnswer { nonce: 0, role: Role::Ordinary, epoch: Epoch(0), extensions: none() }.into(),
        ),
        (
            "usual",
            ProbeAnswer { nonce: 0x7E57, role: Role::Standby, epoch: Epoch(4), extensions: none() }.into(),
        ),
        (
            "every bit set",
            ProbeAnswer { nonce: MAX, role: Role::Master, epoch: Epoch(MAX), extensions: none() }.into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn node_keepalive() -> Case {
    let mut patches = vec![("priority 255", "W-ENC-1", "bad_value", 4, vec![255])];
    patches.extend(enum_patches("role 3", "role 255", 5, 3));
    patches.push(("in_sync is 2", "W-ENC-1", "bad_value", 6, vec![2]));
    patches.push(("address of family 0", "W-ENC-1", "bad_value", 51, vec![0]));
    patches.push(("address of family 5", "W-ENC-1", "bad_value", 51, vec![5]));
    patches.push(("heard: the same node twice", "W-ENC-3", "not_canonical", 70, vec![0, 0, 0, 8]));
    patches.push(("heard: in descending order", "W-ENC-3", "not_canonical", 70, vec![0, 0, 0, 1]));
    let valid = keepalives();
    Case { valid, patches }
}

fn keepalives() -> Vec<(&'static str, Packet)> {
    let heard = |ids: &[u32]| {
        ids.iter().map(|id| Heard { node: NodeId(*id), sequence: 0xFFFF_FFF0 + id % 16 }).collect::<Vec<_>>()
    };
    let usual = NodeKeepalive {
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
        heard: heard(&[8, 9]),
        extensions: none(),
    };
    let ids: Vec<u32> = (1..=63).collect();
    vec![
        ("smallest: nobody is heard", NodeKeepalive::default().into()),
        ("usual: two neighbours heard", usual.clone().into()),
        (
            "63 neighbours heard, an IPv6 address",
            NodeKeepalive {
                cluster: ClusterId(u32::MAX),
                priority: 254,
                role: Role::Master,
                in_sync: true,
                interval_us: u32::MAX,
                epoch: Epoch(MAX),
                version: Version(MAX),
                promised: Epoch(MAX),
                log_end: LogIndex(MAX),
                height: Height(MAX),
                address: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
                heard: heard(&ids),
                extensions: none(),
            }
            .into(),
        ),
        (
            "an IPv4-mapped address stays one of family 6",
            NodeKeepalive { address: "[::ffff:10.0.0.7]:7400".parse().unwrap(), ..usual.clone() }.into(),
        ),
        (
            "never to be master, one neighbour",
            NodeKeepalive { priority: 0, heard: heard(&[9]), ..usual }.into(),
        ),
    ]
}
