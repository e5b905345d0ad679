//! What a node or the authority tells about itself: the report inside [`crate::packet::StatusAnswer`].

use bytes::BytesMut;

use crate::{
    codec::{self, Field, Parsed, code_enum},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, NodeId, Version},
    statement::Row,
};

code_enum! {
    /// A node's place in its cluster (SYS-4).
    Role {
        /// Neither master nor standby.
        Ordinary = 0,
        /// The next master.
        Standby = 1,
        /// The one that takes part in the chain.
        Master = 2,
    }
}

/// One neighbour, as the reporting node sees it (IN-1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NeighbourStatus {
    /// Who.
    pub node: NodeId,
    /// Heard within the dead interval.
    pub alive: bool,
    /// As it last announced.
    pub role: Role,
    /// As it last announced; 0 = never master.
    pub priority: u8,
    /// As it last announced.
    pub height: Height,
    /// Microseconds since it was last heard.
    pub age_us: u64,
}

/// The report.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StatusReport {
    /// The reporter's role.
    pub role: Role,
    /// The reporter; 0 = the authority.
    pub node: NodeId,
    /// Its cluster; 0 at the authority.
    pub cluster: ClusterId,
    /// Of the newest row it knows of its cluster.
    pub epoch: Epoch,
    /// Of the same row.
    pub version: Version,
    /// Of the same row; 0 = none.
    pub master: NodeId,
    /// Of the same row, ascending.
    pub in_sync: Vec<NodeId>,
    /// Of the same row, ascending.
    pub barred: Vec<NodeId>,
    /// Of the reporter's own chain.
    pub height: Height,
    /// SHA-256 of the state at that height.
    pub state_hash: [u8; 32],
    /// Transactions that wait.
    pub pool: u32,
    /// The neighbour table, in the order reported.
    pub neighbours: Vec<NeighbourStatus>,
    /// What was discarded since the start, by metric label.
    pub discards: Vec<(String, u64)>,
    /// The session with the authority is up.
    pub authority_up: bool,
    /// The elected standby; 0 = none.
    pub standby: NodeId,
    /// The reporter stopped itself and needs a person.
    pub halted: bool,
    /// Milliseconds since the process started.
    pub uptime_ms: u64,
    /// The authority's whole table; empty at nodes.
    pub rows: Vec<Row>,
    /// How often a cluster was found to have signed two words for one since the start (CH-15).
    pub conflicts: u64,
}

impl StatusReport {
    /// Appends the report.
    pub fn encode(&self, out: &mut BytesMut) {
        self.role.put(out);
        self.node.put(out);
        self.cluster.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.master.put(out);
        codec::put_ascending(&self.in_sync, out, |node| *node);
        codec::put_ascending(&self.barred, out, |node| *node);
        self.height.put(out);
        self.state_hash.put(out);
        self.pool.put(out);
        codec::put_list(&self.neighbours, out);
        codec::put_list(&self.discards, out);
        self.authority_up.put(out);
        self.standby.put(out);
        self.halted.put(out);
        self.uptime_ms.put(out);
        codec::put_list(&self.rows, out);
        self.conflicts.put(out);
    }

    /// Reads one report and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = bytes;
        let input = &mut input;
        let report = Self {
            role: codec::get(input, "status.role")?,
            node: codec::get(input, "status.node")?,
            cluster: codec::get(input, "status.cluster")?,
            epoch: codec::get(input, "status.epoch")?,
            version: codec::get(input, "status.version")?,
            master: codec::get(input, "status.master")?,
            in_sync: codec::get_ascending(input, "status.in_sync", |node: &NodeId| *node)?,
            barred: codec::get_ascending(input, "status.barred", |node: &NodeId| *node)?,
            height: codec::get(input, "status.height")?,
            state_hash: codec::get(input, "status.state_hash")?,
            pool: codec::get(input, "status.pool")?,
            neighbours: codec::get_list(input, "status.neighbours")?,
            discards: codec::get_list(input, "status.discards")?,
            authority_up: codec::get(input, "status.authority_up")?,
            standby: codec::get(input, "status.standby")?,
            halted: codec::get(input, "status.halted")?,
            uptime_ms: codec::get(input, "status.uptime_ms")?,
            rows: codec::get_list(input, "status.rows")?,
            conflicts: codec::get(input, "status.conflicts")?,
        };
        if input.is_empty() { Ok(report) } else { Err(DecodeError::TrailingBytes) }
    }
}

impl Field for NeighbourStatus {
    const LEAST: usize = 23;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let neighbour = Self {
            node: codec::get(input, "neighbour.node")?,
            alive: codec::get(input, "neighbour.alive")?,
            role: codec::get(input, "neighbour.role")?,
            priority: codec::get(input, "neighbour.priority")?,
            height: codec::get(input, "neighbour.height")?,
            age_us: codec::get(input, "neighbour.age_us")?,
        };
        Ok((input, neighbour))
    }
    fn put(&self, out: &mut BytesMut) {
        self.node.put(out);
        self.alive.put(out);
        self.role.put(out);
        self.priority.put(out);
        self.height.put(out);
        self.age_us.put(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn report() -> StatusReport {
        StatusReport {
            role: Role::Standby,
            node: NodeId(7),
            cluster: ClusterId(3),
            epoch: Epoch(4),
            version: Version(2),
            master: NodeId(9),
            in_sync: vec![NodeId(7), NodeId(9)],
            barred: vec![],
            height: Height(100),
            state_hash: [0xAA; 32],
            pool: 12,
            neighbours: vec![NeighbourStatus {
                node: NodeId(9),
                alive: true,
                role: Role::Master,
                priority: 100,
                height: Height(101),
                age_us: 5_000,
            }],
            discards: vec![("bad_crc".to_owned(), 3)],
            authority_up: true,
            standby: NodeId(7),
            halted: false,
            uptime_ms: 60_000,
            rows: vec![Row { cluster: ClusterId(3), ..Row::default() }],
            conflicts: 0,
        }
    }

    #[test]
    fn a_report_survives_the_round_trip_and_no_cut_of_it_does() {
        let mut bytes = BytesMut::new();
        report().encode(&mut bytes);
        assert_eq!(StatusReport::decode(&bytes), Ok(report()));
        for length in 0..bytes.len() {
            assert!(StatusReport::decode(&bytes[..length]).is_err(), "{length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(StatusReport::decode(&longer), Err(DecodeError::TrailingBytes));
    }

    #[test]
    fn the_report_starts_with_these_bytes() {
        let mut bytes = BytesMut::new();
        report().encode(&mut bytes);
        assert_eq!(&bytes[..9], &[1, 0, 0, 0, 7, 0, 0, 0, 3]);
        bytes[0] = 3;
        assert_eq!(StatusReport::decode(&bytes), Err(DecodeError::BadValue { field: "status.role" }));
    }
}
