//! What clients ask, and the answer to what is not known.

use super::*;

pub(super) fn submit() -> Case {
    let patches = vec![
        ("the transaction is longer than what is left", "W-ENC-2", "truncated", 8, vec![0, 0, 0, 200]),
        ("a transaction of 4 GiB is promised", "W-ENC-2", "truncated", 8, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest: an empty transaction", Submit::default().into()),
        (
            "usual",
            Submit { request: 13, transaction: Bytes::from(vec![0x7A; 60]), extensions: none() }.into(),
        ),
        (
            "a longer one",
            Submit { request: MAX, transaction: Bytes::from(vec![0xFF; 1500]), extensions: none() }.into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn submit_answer() -> Case {
    let mut patches = Vec::new();
    patches.extend(enum_patches("verdict 6", "verdict 255", 8, 6));
    patches.push(("master is neither there nor absent", "W-ENC-1", "bad_value", 17, vec![2]));
    patches.push(("address of family 7", "W-ENC-1", "bad_value", 18, vec![7]));
    patches.push(("an IPv4 address taken for one of IPv6 is cut", "W-ENC-2", "truncated", 18, vec![6]));
    let answer = |verdict, height, master: Option<&str>| -> Packet {
        SubmitAnswer {
            request: 13,
            verdict,
            height: Height(height),
            master: master.map(|text| text.parse().unwrap()),
            extensions: none(),
        }
        .into()
    };
    let valid = vec![
        ("smallest: committed at 0", SubmitAnswer::default().into()),
        ("usual: ask the master", answer(SubmitVerdict::NotMaster, 0, Some("10.0.0.9:7400"))),
        (
            "expired, every other bit set",
            SubmitAnswer {
                request: MAX,
                verdict: SubmitVerdict::Expired,
                height: Height(MAX),
                master: Some("[2001:db8::9]:65535".parse().unwrap()),
                extensions: none(),
            }
            .into(),
        ),
        ("committed", answer(SubmitVerdict::Committed, 101, None)),
        ("refused", answer(SubmitVerdict::Refused, 101, None)),
        ("try later", answer(SubmitVerdict::TryLater, 0, None)),
        ("malformed", answer(SubmitVerdict::Malformed, 0, None)),
    ];
    Case { valid, patches }
}

pub(super) fn status_query() -> Case {
    Case::of(vec![
        ("smallest", StatusQuery::default().into()),
        ("usual", StatusQuery { request: 14, extensions: none() }.into()),
        ("every bit set", StatusQuery { request: MAX, extensions: none() }.into()),
    ])
}

pub(super) fn status_answer() -> Case {
    let patches = vec![
        ("the report is longer than what is left", "W-ENC-2", "truncated", 8, vec![0, 0, 0, 200]),
        ("a report of 4 GiB is promised", "W-ENC-2", "truncated", 8, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest: no byte (no report, see status.json)", StatusAnswer::default().into()),
        (
            "usual: the packet does not look into it",
            StatusAnswer { request: 14, report: Bytes::from(vec![0x57; 60]), extensions: none() }.into(),
        ),
        (
            "a longer one",
            StatusAnswer { request: MAX, report: Bytes::from(vec![0xFF; 1500]), extensions: none() }.into(),
        ),
        ("the disk", telling(Some(DiskTimes { last_us: 850, worst_us: 12_200 }), None, &[])),
        ("nothing is paused", telling(None, Some(&[]), &[])),
        (
            "the disk, and two pauses",
            telling(Some(DiskTimes { last_us: 0, worst_us: u32::MAX }), Some(&[0, 3]), &[]),
        ),
        (
            "a disk and pauses of another length: as if they were absent",
            telling(None, None, &[(1, &[0; 7]), (2, &[0; 5])]),
        ),
        (
            "speaks 1 and 2; 2 with the authority, 1 with node 7",
            telling(None, None, &[(3, &[1, 2, 0, 0, 0, 0, 2, 0, 0, 0, 7, 1])]),
        ),
        (
            "versions of another length: as if they were absent",
            telling(None, None, &[(3, &[1, 2, 0, 0, 0, 0])]),
        ),
    ];
    Case { valid, patches }
}

/// A StatusAnswer for the sake of its extensions.
fn telling(disk: Option<DiskTimes>, pauses: Option<&[u32]>, bent: &[(u16, &[u8])]) -> Packet {
    let mut extensions = none();
    if let Some(times) = disk {
        times.put(&mut extensions);
    }
    if let Some(pauses) = pauses {
        put_paused(pauses.iter().copied().map(ClusterId), &mut extensions);
    }
    for (kind, value) in bent {
        extensions.insert(*kind, value);
    }
    StatusAnswer { request: 14, report: Bytes::new(), extensions }.into()
}

pub(super) fn watch() -> Case {
    Case::of(vec![
        ("smallest", Watch::default().into()),
        ("usual", Watch { request: 15, kinds: 0x0000_00FF, extensions: none() }.into()),
        ("every bit set", Watch { request: MAX, kinds: u32::MAX, extensions: none() }.into()),
    ])
}

pub(super) fn event() -> Case {
    Case::of(vec![
        ("smallest", Event::default().into()),
        (
            "usual",
            Event {
                at_unix_us: 1_795_395_600_000_000,
                kind: 6,
                cluster: ClusterId(3),
                node: NodeId(7),
                epoch: Epoch(5),
                height: Height(100),
                round: 0,
                detail: 0,
                hash: [0xAA; 32],
                signature: [0x51; 64],
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            Event {
                at_unix_us: MAX,
                kind: u16::MAX,
                cluster: ClusterId(u32::MAX),
                node: NodeId(u32::MAX),
                epoch: Epoch(MAX),
                height: Height(MAX),
                round: u32::MAX,
                detail: u32::MAX,
                hash: [0xFF; 32],
                signature: [0xFF; 64],
                extensions: none(),
            }
            .into(),
        ),
    ])
}

pub(super) fn unsupported() -> Case {
    Case::of(vec![
        ("smallest", Unsupported::default().into()),
        (
            "usual: an extension",
            Unsupported { packet_type: 0x52, critical_tlv: 0x8A0A, extensions: none() }.into(),
        ),
        ("every bit set", Unsupported { packet_type: 0xFF, critical_tlv: 0xFFFF, extensions: none() }.into()),
    ])
}
