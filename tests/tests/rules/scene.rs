//! Node 22 with the authority and, when asked, its master.

use bytes::Bytes;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{Consortium, FIG_18, cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_wire::ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version};
use duohuo_wire::packet::*;

/// The cluster of the node under test, which is its standby.
pub(crate) const A: ClusterId = ClusterId(2);
/// Its place in the layout, and that of another cluster.
pub(crate) const OWN: usize = 1;
pub(crate) const OTHER: usize = 0;
/// The master of that other cluster; it has a lower number, so it dials.
pub(crate) const PEER: NodeId = NodeId(11);
pub(crate) const M: NodeId = NodeId(21);
pub(crate) const ME: NodeId = NodeId(22);
pub(crate) const THIRD: NodeId = NodeId(23);
pub(crate) const SEALED: [u8; 84] = [0x5E; 84];

/// Node 12 with the authority and, when asked, its master.
pub(crate) struct Scene {
    pub(crate) n: Lone,
    pub(crate) z: Peer,
}

impl Scene {
    /// Started; the authority is there and has been asked to join.
    pub(crate) fn new() -> Self {
        let mut n = Lone::new(Consortium::new(1, &FIG_18), ME);
        let mut z = Peer::new(&n, NodeId::AUTHORITY);
        z.accept_stream(&mut n);
        z.accept_datagram(&mut n);
        Self { n, z }
    }

    /// Let in, with the history of all clusters.
    pub(crate) fn joined() -> Self {
        let mut scene = Self::new();
        scene.let_in();
        scene.histories(4);
        scene
    }

    pub(crate) fn let_in(&mut self) {
        let request = self.z.read(&mut self.n).iter().find_map(|p| match p {
            Packet::Join(join) => Some(join.request),
            _ => None,
        });
        let answer = JoinAnswer {
            request: request.expect("it joins"),
            verdict: JoinVerdict::Accepted,
            roster_version: 1,
            sealed_id: Bytes::from_static(&SEALED),
            ..Default::default()
        };
        self.z.tell(&mut self.n, answer);
    }

    pub(crate) fn histories(&mut self, clusters: usize) {
        for c in 0..clusters {
            let history = History::sign(cluster_id(c), Epoch(1), vec![node(c, 0)], &self.z.keys.signing);
            self.z.tell(&mut self.n, history);
        }
    }

    /// In the in-sync set of epoch 1, whose master gave it its (empty) log.
    pub(crate) fn following() -> (Self, Peer) {
        let mut scene = Self::joined();
        let n = &mut scene.n;
        let first = row(n, OWN, 1, 0, M, &[M]);
        scene.z.say(n, notice(first));
        let mut m = Peer::new(n, M);
        m.open_stream(n, true);
        m.tell(n, Resync { epoch: Epoch(1), ..Default::default() });
        assert_eq!(acks(&m.read(n)), [(1, 0, 1)]);
        let in_sync = row(n, OWN, 1, 2, M, &[M, ME, THIRD]);
        scene.z.say(n, notice(in_sync));
        (scene, m)
    }

    /// Granted epoch 2 with this set.
    pub(crate) fn granted(&mut self, in_sync: &[NodeId]) {
        let grant = row(&self.n, OWN, 2, 0, ME, in_sync);
        self.z.say(&mut self.n, notice(grant));
    }

    pub(crate) fn leads(&self) -> bool {
        let role = self.n.events.iter().rev().find_map(|e| match e {
            Event::RoleChanged { role, .. } => Some(*role),
            _ => None,
        });
        role == Some(Role::Master)
    }

    pub(crate) fn claims(&mut self) -> Vec<Update> {
        let of = |p| match p {
            Packet::Update(update) => Some(update),
            _ => None,
        };
        self.z.heard(&mut self.n).into_iter().filter_map(of).collect()
    }
}

pub(crate) fn row(
    lone: &Lone,
    cluster: usize,
    epoch: u64,
    version: u64,
    master: NodeId,
    in_sync: &[NodeId],
) -> SignedRow {
    let row = Row {
        cluster: cluster_id(cluster),
        epoch: Epoch(epoch),
        version: Version(version),
        master,
        in_sync: in_sync.to_vec(),
        barred: vec![],
        unfenced: false,
        table_version: epoch.saturating_mul(100).saturating_add(version),
    };
    SignedRow::sign(row, &lone.consortium.keys[&NodeId::AUTHORITY].signing)
}

pub(crate) fn notice(row: SignedRow) -> Notice {
    let table_version = row.row.table_version;
    Notice { request: 0, outcome: Outcome::Notice, table_version, row, ..Default::default() }
}

/// The acknowledgements among packets, as (epoch, end, synced).
pub(crate) fn acks(packets: &[Packet]) -> Vec<(u64, u64, u64)> {
    let of = |p: &Packet| match p {
        Packet::Ack(ack) => Some((ack.epoch.0, ack.end.0, ack.synced.0)),
        _ => None,
    };
    packets.iter().filter_map(of).collect()
}

pub(crate) fn record(height: u64, epoch: u64, word: &'static [u8]) -> WireRecord {
    WireRecord { height: Height(height), epoch: Epoch(epoch), bytes: Bytes::from_static(word) }
}

pub(crate) fn append(start: u64, records: Vec<WireRecord>) -> Append {
    Append { epoch: Epoch(1), start: LogIndex(start), records, ..Default::default() }
}
