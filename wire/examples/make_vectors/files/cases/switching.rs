//! Consensus errors and the switch they lead to.

use super::*;

pub(super) fn consensus_error() -> Case {
    let patches = vec![
        ("more results promised than there are bytes", "W-ENC-2", "truncated", 16, vec![0, 4]),
        ("65,535 results promised", "W-ENC-2", "truncated", 16, vec![0xFF, 0xFF]),
    ];
    let valid = vec![
        (
            "smallest: no evidence",
            ConsensusError { request: 1, height: Height(1), evidence: vec![], extensions: none() }.into(),
        ),
        (
            "usual: the accused, and two that contradict",
            ConsensusError {
                request: 11,
                height: Height(101),
                evidence: vec![result(3, 9, 0xBB), result(1, 1, 0xAA), result(2, 4, 0xAA)],
                extensions: none(),
            }
            .into(),
        ),
        (
            "a dozen results, in any order",
            ConsensusError {
                request: MAX,
                height: Height(MAX),
                evidence: (1..=12).rev().map(|id| result(id, id + 20, 0xAA)).collect(),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn forced_switch() -> Case {
    let patches = vec![("proven is 2", "W-ENC-1", "bad_value", 24, vec![2])];
    let key = SigningKey::from_bytes(&[7; 32]);
    let order =
        |height, proven| SignedSwitch::sign(ClusterId(3), Epoch(4), NodeId(9), Height(height), proven, &key);
    let valid = vec![
        (
            "smallest: all zero, without a signature",
            ForcedSwitch { order: SignedSwitch::default(), extensions: none() }.into(),
        ),
        ("usual: proven", ForcedSwitch { order: order(101, true), extensions: none() }.into()),
        ("ordered by a person", ForcedSwitch { order: order(0, false), extensions: none() }.into()),
    ];
    Case { valid, patches }
}

fn result(cluster: u32, node: u32, hash: u8) -> SignedResult {
    let key = SigningKey::from_bytes(&[node.to_be_bytes()[3]; 32]);
    SignedResult::sign(ClusterId(cluster), NodeId(node), Epoch(4), Height(101), [hash; 32], &key)
}
