//! Snapshots and ranges of blocks.

use super::*;

pub(super) fn snapshot_query() -> Case {
    Case::of(vec![
        ("smallest", SnapshotQuery::default().into()),
        ("usual", SnapshotQuery { height: Height(101), chunk: 3, extensions: none() }.into()),
        ("every bit set", SnapshotQuery { height: Height(MAX), chunk: u32::MAX, extensions: none() }.into()),
    ])
}

pub(super) fn snapshot_offer() -> Case {
    let patches = vec![
        ("the manifest is longer than what is left", "W-ENC-2", "truncated", 8, vec![0, 0, 0, 200]),
        ("a manifest of 4 GiB is promised", "W-ENC-2", "truncated", 8, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest", SnapshotOffer::default().into()),
        (
            "usual",
            SnapshotOffer {
                height: Height(101),
                manifest: Bytes::from(vec![0xB1; 60]),
                proof: Bytes::from(vec![0xB1; 60]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            SnapshotOffer {
                height: Height(MAX),
                manifest: Bytes::from(vec![0xFF; 1500]),
                proof: Bytes::from(vec![0xFF; 1500]),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn snapshot_chunk() -> Case {
    let patches = vec![
        ("the content is longer than what is left", "W-ENC-2", "truncated", 12, vec![0, 0, 0, 200]),
        ("a content of 4 GiB is promised", "W-ENC-2", "truncated", 12, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest", SnapshotChunk::default().into()),
        (
            "usual",
            SnapshotChunk {
                height: Height(101),
                chunk: 3,
                content: Bytes::from(vec![0xB1; 60]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            SnapshotChunk {
                height: Height(MAX),
                chunk: u32::MAX,
                content: Bytes::from(vec![0xFF; 1500]),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn range_query() -> Case {
    Case::of(vec![
        ("smallest", RangeQuery::default().into()),
        ("usual", RangeQuery { from: Height(101), to: Height(101), max_bytes: 3, extensions: none() }.into()),
        (
            "every bit set",
            RangeQuery { from: Height(MAX), to: Height(MAX), max_bytes: u32::MAX, extensions: none() }.into(),
        ),
    ])
}
