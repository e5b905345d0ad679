//! The bodies of each type of packet: three or more that are right, and where its fields can go wrong. One table in the
//! order of the specification, so that page and table are read side by side; that is why the file is long.

use bytes::Bytes;
use duohuo_wire::{
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version},
    packet::*,
    tlv::Extensions,
};
use ed25519_dalek::SigningKey;

/// What is said of one type beside what holds for all.
pub(super) struct Case {
    /// Smallest, usual, and near the limits; the usual one comes second.
    pub(super) valid: Vec<(&'static str, Packet)>,
    /// The usual body with some bytes changed.
    pub(super) patches: Vec<Patch>,
}

/// (comment, rule, reason, offset in the usual body, bytes written there).
pub(super) type Patch = (&'static str, &'static str, &'static str, usize, Vec<u8>);

fn none() -> Extensions {
    Extensions::default()
}

fn nodes(ids: impl IntoIterator<Item = u32>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

fn sealed_ids(ids: impl IntoIterator<Item = u32>) -> Vec<NodeSealedId> {
    ids.into_iter()
        .map(|id| NodeSealedId { node: NodeId(id), sealed_id: Bytes::from(vec![id.to_be_bytes()[3]; 84]) })
        .collect()
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

fn result(cluster: u32, node: u32, hash: u8) -> SignedResult {
    let key = SigningKey::from_bytes(&[node.to_be_bytes()[3]; 32]);
    SignedResult::sign(ClusterId(cluster), NodeId(node), Epoch(4), Height(101), [hash; 32], &key)
}

/// An enum's first unassigned value, and the highest.
fn enum_patches(what: &'static str, more: &'static str, offset: usize, first_free: u8) -> [Patch; 2] {
    [
        (what, "W-ENC-1", "bad_value", offset, vec![first_free]),
        (more, "W-ENC-1", "bad_value", offset, vec![255]),
    ]
}

const MAX: u64 = u64::MAX;

#[allow(
    clippy::too_many_lines,
    reason = "a table: one entry for each type, in the order of the specification"
)]
pub(super) fn case(kind: PacketType) -> Case {
    let mut patches = Vec::new();
    let cut = "W-ENC-2";
    let valid: Vec<(&'static str, Packet)> = match kind {
        PacketType::HandshakeInit => vec![
            ("smallest", HandshakeInit { initiator_session: 1, ..HandshakeInit::default() }.into()),
            (
                "usual: only the shape is checked here, see handshake.json",
                HandshakeInit {
                    initiator_session: 77,
                    noise: [0xA1; 108],
                    mac1: [0xB1; 16],
                    mac2: [0; 16],
                    extensions: none(),
                }
                .into(),
            ),
            (
                "every bit set",
                HandshakeInit {
                    initiator_session: MAX,
                    noise: [0xFF; 108],
                    mac1: [0xFF; 16],
                    mac2: [0xFF; 16],
                    extensions: none(),
                }
                .into(),
            ),
        ],
        PacketType::HandshakeResponse => vec![
            (
                "smallest",
                HandshakeResponse {
                    initiator_session: 1,
                    responder_session: 1,
                    ..HandshakeResponse::default()
                }
                .into(),
            ),
            (
                "usual: only the shape is checked here, see handshake.json",
                HandshakeResponse {
                    initiator_session: 77,
                    responder_session: 88,
                    noise: [0xA2; 48],
                    mac1: [0xB2; 16],
                    extensions: none(),
                }
                .into(),
            ),
            (
                "every bit set",
                HandshakeResponse {
                    initiator_session: MAX,
                    responder_session: MAX,
                    noise: [0xFF; 48],
                    mac1: [0xFF; 16],
                    extensions: none(),
                }
                .into(),
            ),
        ],
        PacketType::Cookie => vec![
            ("smallest", Cookie { initiator_session: 1, cookie: [0; 16], extensions: none() }.into()),
            ("usual", Cookie { initiator_session: 77, cookie: [0xC0; 16], extensions: none() }.into()),
            (
                "every bit set",
                Cookie { initiator_session: MAX, cookie: [0xFF; 16], extensions: none() }.into(),
            ),
        ],
        PacketType::Join => vec![
            ("smallest", Join::default().into()),
            (
                "usual",
                Join { request: 5, cluster: ClusterId(3), roster_version: 12, extensions: none() }.into(),
            ),
            (
                "every bit set",
                Join { request: MAX, cluster: ClusterId(u32::MAX), roster_version: MAX, extensions: none() }
                    .into(),
            ),
        ],
        PacketType::JoinAnswer => {
            patches.extend(enum_patches("verdict 4", "verdict 255", 8, 4));
            patches.push(("sealed_id is longer than what is left", cut, "truncated", 17, vec![0xFF, 0xFF]));
            vec![
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
                    JoinAnswer { request: 6, verdict: JoinVerdict::WrongCluster, ..JoinAnswer::default() }
                        .into(),
                ),
            ]
        }
        PacketType::Register => vec![
            ("smallest", Register::default().into()),
            ("usual", Register { request: 6, cluster: ClusterId(3), extensions: none() }.into()),
            (
                "every bit set",
                Register { request: MAX, cluster: ClusterId(u32::MAX), extensions: none() }.into(),
            ),
        ],
        PacketType::Registered => {
            patches.extend(enum_patches("verdict 4", "verdict 255", 8, 4));
            patches.extend(sealed_id_patches(13));
            vec![
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
                    Registered {
                        request: 7,
                        verdict: RegisterVerdict::AlreadyRegistered,
                        ..Registered::default()
                    }
                    .into(),
                ),
            ]
        }
        PacketType::Update => {
            patches.extend(enum_patches("reason 5", "reason 255", 28, 5));
            patches.extend(node_list_patches(29, 31));
            patches.push(("sealed_id is longer than what is left", cut, "truncated", 47, vec![0xFF, 0xFF]));
            patches.push((
                "a broken field before a broken list: the first is named",
                "W-ENC-1",
                "bad_value",
                28,
                vec![9, 0xFF, 0xFF],
            ));
            vec![
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
                (
                    "forced",
                    Update { reason: ClaimReason::Forced, alive: nodes([7]), ..Update::default() }.into(),
                ),
                (
                    "vacant",
                    Update { reason: ClaimReason::Vacant, alive: nodes([0, u32::MAX]), ..Update::default() }
                        .into(),
                ),
            ]
        }
        PacketType::Change => {
            patches.extend(enum_patches("kind 3", "kind 255", 28, 3));
            vec![
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
            ]
        }
        PacketType::Notice => {
            patches.extend(enum_patches("outcome 12", "outcome 255", 8, 12));
            patches.extend(node_list_patches(41, 43));
            patches.push((
                "the barred list is longer than what is left",
                cut,
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
                    Notice { request: 8, outcome, table_version: 55, row: row.clone(), extensions: none() }
                        .into(),
                ));
            }
            list
        }
        PacketType::MasterKeepalive => vec![
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
        ],
        PacketType::MasterKeepaliveAnswer => vec![
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
        ],
        PacketType::Query => {
            patches.extend(enum_patches("scope 3", "scope 255", 8, 3));
            vec![
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
            ]
        }
        PacketType::ConsensusError => {
            patches.push(("more results promised than there are bytes", cut, "truncated", 16, vec![0, 4]));
            patches.push(("65,535 results promised", cut, "truncated", 16, vec![0xFF, 0xFF]));
            vec![
                (
                    "smallest: no evidence",
                    ConsensusError { request: 1, height: Height(1), evidence: vec![], extensions: none() }
                        .into(),
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
            ]
        }
        PacketType::ForcedSwitch => {
            patches.push(("proven is 2", "W-ENC-1", "bad_value", 24, vec![2]));
            let key = SigningKey::from_bytes(&[7; 32]);
            let order = |height, proven| {
                SignedSwitch::sign(ClusterId(3), Epoch(4), NodeId(9), Height(height), proven, &key)
            };
            vec![
                (
                    "smallest: all zero, without a signature",
                    ForcedSwitch { order: SignedSwitch::default(), extensions: none() }.into(),
                ),
                ("usual: proven", ForcedSwitch { order: order(101, true), extensions: none() }.into()),
                ("ordered by a person", ForcedSwitch { order: order(0, false), extensions: none() }.into()),
            ]
        }
        PacketType::Probe => vec![
            ("smallest", Probe { nonce: 0, epoch: Epoch(0), extensions: none() }.into()),
            ("usual", Probe { nonce: 0x7E57, epoch: Epoch(4), extensions: none() }.into()),
            ("every bit set", Probe { nonce: MAX, epoch: Epoch(MAX), extensions: none() }.into()),
        ],
        PacketType::ProbeAnswer => {
            patches.extend(enum_patches("role 3", "role 255", 8, 3));
            vec![
                (
                    "smallest",
                    ProbeAnswer { nonce: 0, role: Role::Ordinary, epoch: Epoch(0), extensions: none() }
                        .into(),
                ),
                (
                    "usual",
                    ProbeAnswer { nonce: 0x7E57, role: Role::Standby, epoch: Epoch(4), extensions: none() }
                        .into(),
                ),
                (
                    "every bit set",
                    ProbeAnswer { nonce: MAX, role: Role::Master, epoch: Epoch(MAX), extensions: none() }
                        .into(),
                ),
            ]
        }
        PacketType::RosterPush => {
            patches.push(("the roster is longer than what is left", cut, "truncated", 0, vec![0, 0, 0, 200]));
            patches.push(("a roster of 4 GiB is promised", cut, "truncated", 0, vec![0xFF; 4]));
            vec![
                (
                    "smallest: no byte (no roster, see roster.json)",
                    RosterPush { roster: Bytes::new(), extensions: none() }.into(),
                ),
                (
                    "usual: the packet does not look into it",
                    RosterPush { roster: Bytes::from(vec![0x52; 40]), extensions: none() }.into(),
                ),
                (
                    "a longer one",
                    RosterPush { roster: Bytes::from(vec![0xFF; 1500]), extensions: none() }.into(),
                ),
            ]
        }
        PacketType::History => {
            patches.push((
                "more nodes promised than there are bytes",
                cut,
                "truncated",
                12,
                vec![0, 0, 1, 0],
            ));
            patches.push(("four thousand million nodes promised", cut, "truncated", 12, vec![0xFF; 4]));
            let key = SigningKey::from_bytes(&[7; 32]);
            vec![
                ("smallest: nobody, without a signature", History::default().into()),
                (
                    "usual: no order, and a node may come again",
                    History::sign(ClusterId(3), Epoch(1), nodes([9, 7, 9, 9]), &key).into(),
                ),
                (
                    "a hundred epochs",
                    History::sign(
                        ClusterId(u32::MAX),
                        Epoch(MAX - 100),
                        nodes((0..100).map(|at| at % 3)),
                        &key,
                    )
                    .into(),
                ),
            ]
        }
        PacketType::NodeKeepalive => {
            patches.push(("priority 255", "W-ENC-1", "bad_value", 4, vec![255]));
            patches.extend(enum_patches("role 3", "role 255", 5, 3));
            patches.push(("in_sync is 2", "W-ENC-1", "bad_value", 6, vec![2]));
            patches.push(("address of family 0", "W-ENC-1", "bad_value", 51, vec![0]));
            patches.push(("address of family 5", "W-ENC-1", "bad_value", 51, vec![5]));
            patches.push(("heard: the same node twice", "W-ENC-3", "not_canonical", 70, vec![0, 0, 0, 8]));
            patches.push(("heard: in descending order", "W-ENC-3", "not_canonical", 70, vec![0, 0, 0, 1]));
            keepalives()
        }
        PacketType::GroupKey => {
            let key = SigningKey::from_bytes(&[9; 32]);
            vec![
                (
                    "smallest: all zero but the generation, without a signature",
                    GroupKey { generation: 1, ..GroupKey::default() }.into(),
                ),
                ("usual", GroupKey::sign(ClusterId(3), 5, [9; 32], NodeId(9), &key).into()),
                (
                    "every bit set",
                    GroupKey::sign(ClusterId(u32::MAX), u32::MAX, [0xFF; 32], NodeId(u32::MAX), &key).into(),
                ),
            ]
        }
        PacketType::RegistrationSync => {
            patches.extend(sealed_id_patches(8));
            vec![
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
            ]
        }
        PacketType::Resync => {
            patches.extend(record_patches());
            vec![
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
                        records: records(&[
                            20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 200,
                        ]),
                        extensions: none(),
                    }
                    .into(),
                ),
            ]
        }
        PacketType::Append => {
            patches.extend(record_patches());
            vec![
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
                        records: records(&[
                            20, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 200,
                        ]),
                        extensions: none(),
                    }
                    .into(),
                ),
            ]
        }
        PacketType::Ack => vec![
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
        ],
        PacketType::BlockPush => {
            patches.push(("the block is longer than what is left", cut, "truncated", 8, vec![0, 0, 0, 200]));
            patches.push(("a block of 4 GiB is promised", cut, "truncated", 8, vec![0xFF; 4]));
            vec![
                ("smallest: an empty block", BlockPush::default().into()),
                (
                    "usual",
                    BlockPush { height: Height(101), block: Bytes::from(vec![0xB1; 60]), extensions: none() }
                        .into(),
                ),
                (
                    "a longer one",
                    BlockPush {
                        height: Height(MAX),
                        block: Bytes::from(vec![0xFF; 1500]),
                        extensions: none(),
                    }
                    .into(),
                ),
            ]
        }
        PacketType::ChainQuery => vec![
            ("smallest", ChainQuery::default().into()),
            ("usual", ChainQuery { from: Height(90), max_bytes: 262_144, extensions: none() }.into()),
            (
                "every bit set",
                ChainQuery { from: Height(MAX), max_bytes: u32::MAX, extensions: none() }.into(),
            ),
        ],
        PacketType::ChainEnd => vec![
            ("smallest", ChainEnd::default().into()),
            ("usual", ChainEnd { height: Height(100), extensions: none() }.into()),
            ("every bit set", ChainEnd { height: Height(MAX), extensions: none() }.into()),
        ],
        PacketType::Consensus => {
            patches.push((
                "the message is longer than what is left",
                cut,
                "truncated",
                12,
                vec![0, 0, 0, 200],
            ));
            patches.push(("a message of 4 GiB is promised", cut, "truncated", 12, vec![0xFF; 4]));
            vec![
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
            ]
        }
        PacketType::Submit => {
            patches.push((
                "the transaction is longer than what is left",
                cut,
                "truncated",
                8,
                vec![0, 0, 0, 200],
            ));
            patches.push(("a transaction of 4 GiB is promised", cut, "truncated", 8, vec![0xFF; 4]));
            vec![
                ("smallest: an empty transaction", Submit::default().into()),
                (
                    "usual",
                    Submit { request: 13, transaction: Bytes::from(vec![0x7A; 60]), extensions: none() }
                        .into(),
                ),
                (
                    "a longer one",
                    Submit { request: MAX, transaction: Bytes::from(vec![0xFF; 1500]), extensions: none() }
                        .into(),
                ),
            ]
        }
        PacketType::SubmitAnswer => {
            patches.extend(enum_patches("verdict 6", "verdict 255", 8, 6));
            patches.push(("master is neither there nor absent", "W-ENC-1", "bad_value", 17, vec![2]));
            patches.push(("address of family 7", "W-ENC-1", "bad_value", 18, vec![7]));
            patches.push(("an IPv4 address taken for one of IPv6 is cut", cut, "truncated", 18, vec![6]));
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
            vec![
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
            ]
        }
        PacketType::StatusQuery => vec![
            ("smallest", StatusQuery::default().into()),
            ("usual", StatusQuery { request: 14, extensions: none() }.into()),
            ("every bit set", StatusQuery { request: MAX, extensions: none() }.into()),
        ],
        PacketType::StatusAnswer => {
            patches.push(("the report is longer than what is left", cut, "truncated", 8, vec![0, 0, 0, 200]));
            patches.push(("a report of 4 GiB is promised", cut, "truncated", 8, vec![0xFF; 4]));
            vec![
                ("smallest: no byte (no report, see status.json)", StatusAnswer::default().into()),
                (
                    "usual: the packet does not look into it",
                    StatusAnswer { request: 14, report: Bytes::from(vec![0x57; 60]), extensions: none() }
                        .into(),
                ),
                (
                    "a longer one",
                    StatusAnswer { request: MAX, report: Bytes::from(vec![0xFF; 1500]), extensions: none() }
                        .into(),
                ),
            ]
        }
        PacketType::Watch => vec![
            ("smallest", Watch::default().into()),
            ("usual", Watch { request: 15, kinds: 0x0000_00FF, extensions: none() }.into()),
            ("every bit set", Watch { request: MAX, kinds: u32::MAX, extensions: none() }.into()),
        ],
        PacketType::Event => vec![
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
        ],
        PacketType::Unsupported => vec![
            ("smallest", Unsupported::default().into()),
            (
                "usual: an extension",
                Unsupported { packet_type: 0x52, critical_tlv: 0x8A0A, extensions: none() }.into(),
            ),
            (
                "every bit set",
                Unsupported { packet_type: 0xFF, critical_tlv: 0xFFFF, extensions: none() }.into(),
            ),
        ],
    };
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

/// A list of two nodes: its count and its first node stand at these offsets.
fn node_list_patches(count: usize, first: usize) -> [Patch; 4] {
    [
        ("more nodes promised than there are bytes", "W-ENC-2", "truncated", count, vec![0xFF, 0xFF]),
        ("the same node twice", "W-ENC-3", "not_canonical", first, vec![0, 0, 0, 7, 0, 0, 0, 7]),
        ("nodes in descending order", "W-ENC-3", "not_canonical", first, vec![0, 0, 0, 9, 0, 0, 0, 8]),
        (
            "descending as unsigned numbers",
            "W-ENC-3",
            "not_canonical",
            first,
            vec![0xFF, 0, 0, 9, 0, 0, 0, 8],
        ),
    ]
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

/// A list of two records, its count at offset 24, the first one of 40 bytes.
fn record_patches() -> [Patch; 4] {
    [
        ("four thousand million records promised", "W-ENC-2", "truncated", 24, vec![0xFF; 4]),
        ("one more record promised than there is", "W-ENC-2", "truncated", 24, vec![0, 0, 0, 3]),
        ("a record of 4 GiB is promised", "W-ENC-2", "truncated", 44, vec![0xFF; 4]),
        ("the last record is longer than what is left", "W-ENC-2", "truncated", 104, vec![0, 0, 0, 4]),
    ]
}
