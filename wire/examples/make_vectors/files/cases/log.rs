//! A cluster's log and the committed blocks.

use super::*;

pub(super) fn resync() -> Case {
    let mut patches = Vec::new();
    patches.extend(record_patches());
    let valid = vec![
        ("smallest: no record", Resync::default().into()),
        (
            "usual",
            Resync {
                epoch: Epoch(5),
                height: Height(100),
                start: LogIndex(812),
                records: records(&[40, 3]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "twenty records, one of them empty",
            Resync {
                epoch: Epoch(MAX),
                height: Height(MAX),
                start: LogIndex(MAX),
                records: records(&[20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 200]),
                extensions: none(),
            }
            .into(),
        ),
        ("the first part of a log", part(900, LogPart { first: LogIndex(900), is_followed: true })),
        ("its last part", part(901, LogPart { first: LogIndex(900), is_followed: false })),
    ];
    Case { valid, patches }
}

pub(super) fn append() -> Case {
    let mut patches = Vec::new();
    patches.extend(record_patches());
    let valid = vec![
        ("smallest: no record", Append::default().into()),
        (
            "usual",
            Append {
                epoch: Epoch(5),
                start: LogIndex(814),
                released: LogIndex(812),
                records: records(&[40, 3]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "twenty records, one of them empty",
            Append {
                epoch: Epoch(MAX),
                start: LogIndex(MAX),
                released: LogIndex(MAX),
                records: records(&[20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 200]),
                extensions: none(),
            }
            .into(),
        ),
        ("a lease is asked for", asking(LeaseRequest { nonce: 0x1ea5e, span_us: 150_000 }.extensions())),
        ("a lease is given back", asking(LeaseRequest { nonce: MAX, span_us: 0 }.extensions())),
        ("a lease of another length: as if it were absent", asking(extension(&[0; 11]))),
    ];
    Case { valid, patches }
}

/// A Resync that holds one record of a longer log.
fn part(start: u64, part: LogPart) -> Packet {
    let (epoch, height, start) = (Epoch(5), Height(100), LogIndex(start));
    Resync { epoch, height, start, records: records(&[3]), extensions: part.extensions() }.into()
}

/// An Append that has no records, for the sake of its extension.
fn asking(extensions: Extensions) -> Packet {
    let (epoch, start, released) = (Epoch(5), LogIndex(816), LogIndex(816));
    Append { epoch, start, released, records: Vec::new(), extensions }.into()
}

/// An Ack for the sake of its extension.
fn giving(extensions: Extensions) -> Packet {
    let (epoch, end, height, synced) = (Epoch(5), LogIndex(816), Height(100), Epoch(5));
    Ack { epoch, end, height, synced, extensions }.into()
}

fn extension(value: &[u8]) -> Extensions {
    let mut extensions = none();
    extensions.insert(1, value);
    extensions
}

pub(super) fn ack() -> Case {
    Case::of(vec![
        ("smallest", Ack::default().into()),
        (
            "usual",
            Ack {
                epoch: Epoch(5),
                end: LogIndex(816),
                height: Height(100),
                synced: Epoch(5),
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            Ack {
                epoch: Epoch(MAX),
                end: LogIndex(MAX),
                height: Height(MAX),
                synced: Epoch(MAX),
                extensions: none(),
            }
            .into(),
        ),
        (
            "a lease is given by a copy in step",
            giving(LeaseGiven { nonce: 0x1ea5e, is_in_step: true, position: 99 }.extensions()),
        ),
        (
            "only the copy's state is told",
            giving(LeaseGiven { nonce: 0, is_in_step: false, position: MAX }.extensions()),
        ),
        ("a lease with a state that is none: as if it were absent", giving(extension(&[2; 17]))),
        (
            "the next part of a log is asked for",
            giving(PartsHeld { first: LogIndex(900), next: LogIndex(901) }.extensions()),
        ),
    ])
}

pub(super) fn block_push() -> Case {
    let patches = vec![
        ("the block is longer than what is left", "W-ENC-2", "truncated", 8, vec![0, 0, 0, 200]),
        ("a block of 4 GiB is promised", "W-ENC-2", "truncated", 8, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest: an empty block", BlockPush::default().into()),
        (
            "usual",
            BlockPush { height: Height(101), block: Bytes::from(vec![0xB1; 60]), extensions: none() }.into(),
        ),
        (
            "a longer one",
            BlockPush { height: Height(MAX), block: Bytes::from(vec![0xFF; 1500]), extensions: none() }
                .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn chain_query() -> Case {
    Case::of(vec![
        ("smallest", ChainQuery::default().into()),
        ("usual", ChainQuery { from: Height(90), max_bytes: 262_144, extensions: none() }.into()),
        ("every bit set", ChainQuery { from: Height(MAX), max_bytes: u32::MAX, extensions: none() }.into()),
    ])
}

pub(super) fn chain_end() -> Case {
    Case::of(vec![
        ("smallest", ChainEnd::default().into()),
        ("usual", ChainEnd { height: Height(100), extensions: none() }.into()),
        ("every bit set", ChainEnd { height: Height(MAX), extensions: none() }.into()),
    ])
}

pub(super) fn consensus() -> Case {
    let patches = vec![
        ("the message is longer than what is left", "W-ENC-2", "truncated", 12, vec![0, 0, 0, 200]),
        ("a message of 4 GiB is promised", "W-ENC-2", "truncated", 12, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest: an empty message", Consensus::default().into()),
        (
            "usual",
            Consensus {
                cluster: ClusterId(3),
                epoch: Epoch(4),
                message: Bytes::from(vec![0xC5; 60]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "a longer one",
            Consensus {
                cluster: ClusterId(u32::MAX),
                epoch: Epoch(MAX),
                message: Bytes::from(vec![0xFF; 1500]),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

fn records(sizes: &[usize]) -> Vec<WireRecord> {
    sizes
        .iter()
        .enumerate()
        .map(|(at, size)| WireRecord {
            height: Height(101),
            epoch: Epoch(4 + at as u64),
            bytes: Bytes::from(vec![0xD0 + at as u8; *size]),
        })
        .collect()
}

/// A list of two records, its count at offset 24, the first one of 40 bytes.
fn record_patches() -> [Patch; 4] {
    [
        ("four thousand million records promised", "W-ENC-2", "truncated", 24, vec![0xFF; 4]),
        ("one more record promised than there is", "W-ENC-2", "truncated", 24, vec![0, 0, 0, 3]),
        ("a record of 4 GiB is promised", "W-ENC-2", "truncated", 44, vec![0xFF; 4]),
        ("the last record is longer than what is left", "W-ENC-2", "truncated", 104, vec![0, 0, 0, 4]),
    ]
}
