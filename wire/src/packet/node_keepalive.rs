//! `NodeKeepalive` (type 0x20): every node, on a timer, to its whole cluster: what fills the neighbour tables
//! (IN-1, IN-3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            cluster                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    priority   |      role     |    in_sync    |  interval_us  |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |              interval_us (cont.)              |     epoch     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         epoch (cont.)                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                 epoch (cont.)                 |    version    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        version (cont.)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                version (cont.)                |    promised   |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        promised (cont.)                       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                promised (cont.)               |    log_end    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        log_end (cont.)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                log_end (cont.)                |     height    |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         height (cont.)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                 height (cont.)                |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          address: u8 family, 4 or 16 bytes, u16 port          |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//! Extension 0x0001 (heard): one `node u32, sequence u32` for each neighbour heard, ascending by node; sequence =
//! the low 32 bits of the newest sequence heard from it. Absent when nobody is heard; empty is refused.

use core::net::SocketAddr;

use bytes::BytesMut;

use crate::{
    assigned::HEARD,
    codec::{self, Field},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, Version},
    status::Role,
    tlv::Extensions,
};

/// What fits an extension: 8,191 neighbours.
const MAX_HEARD_BYTES: u16 = 65_528;

/// One neighbour the sender hears: proves that the way is open in both directions, and that the keepalive is
/// younger than the neighbour's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Heard {
    /// The neighbour.
    pub node: NodeId,
    /// The low 32 bits of the newest sequence heard from it.
    pub sequence: u32,
}

/// Every node, on a timer, to its whole cluster: what fills the neighbour tables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeKeepalive {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// 1..=254, the higher the sooner master; 0 = never. 255 is refused.
    pub priority: u8,
    /// The sender's role.
    pub role: Role,
    /// The sender is in the in-sync set of the newest row it knows.
    pub in_sync: bool,
    /// Microseconds until its next keepalive at the latest: what the neighbours' dead interval is counted
    /// in (up to 71 minutes).
    pub interval_us: u32,
    /// Of the newest row it knows.
    pub epoch: Epoch,
    /// Of the newest row it knows.
    pub version: Version,
    /// The highest epoch it has promised.
    pub promised: Epoch,
    /// The end of its log.
    pub log_end: LogIndex,
    /// Its chain height.
    pub height: Height,
    /// Its address.
    pub address: SocketAddr,
    /// Extension 0x0001: whom the sender hears, ascending by node; at most one per member of the cluster.
    pub heard: Vec<Heard>,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for NodeKeepalive {
    fn default() -> Self {
        Self {
            cluster: Default::default(),
            priority: Default::default(),
            role: Default::default(),
            in_sync: Default::default(),
            interval_us: Default::default(),
            epoch: Default::default(),
            version: Default::default(),
            promised: Default::default(),
            log_end: Default::default(),
            height: Default::default(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            heard: Vec::new(),
            extensions: Extensions::default(),
        }
    }
}

impl NodeKeepalive {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        let cluster = codec::get(input, "node_keepalive.cluster")?;
        let priority = codec::get(input, "node_keepalive.priority")?;
        if priority > crate::roster::MAX_PRIORITY {
            return Err(DecodeError::BadValue { field: "node_keepalive.priority" });
        }
        let role = codec::get(input, "node_keepalive.role")?;
        let in_sync = codec::get(input, "node_keepalive.in_sync")?;
        let interval_us = codec::get(input, "node_keepalive.interval_us")?;
        let epoch = codec::get(input, "node_keepalive.epoch")?;
        let version = codec::get(input, "node_keepalive.version")?;
        let promised = codec::get(input, "node_keepalive.promised")?;
        let log_end = codec::get(input, "node_keepalive.log_end")?;
        let height = codec::get(input, "node_keepalive.height")?;
        let address = codec::get(input, "node_keepalive.address")?;
        let (extensions, heard) = Extensions::decode_with(input, HEARD)?;
        Ok(Self {
            cluster,
            priority,
            role,
            in_sync,
            interval_us,
            epoch,
            version,
            promised,
            log_end,
            height,
            address,
            heard: heard.map_or(Ok(Vec::new()), decode_heard)?,
            extensions,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.cluster.put(out);
        self.priority.put(out);
        self.role.put(out);
        self.in_sync.put(out);
        self.interval_us.put(out);
        self.epoch.put(out);
        self.version.put(out);
        self.promised.put(out);
        self.log_end.put(out);
        self.height.put(out);
        self.address.put(out);
        if self.heard.is_empty() {
            self.extensions.encode(out);
            return;
        }
        let heard = codec::ascending(&self.heard, |heard| heard.node);
        let length = u16::try_from(heard.len() * Heard::LEAST).unwrap_or(MAX_HEARD_BYTES);
        self.extensions.encode_with(out, HEARD, length, |out| {
            heard.iter().take(usize::from(length) / Heard::LEAST).for_each(|heard| heard.put(out));
        });
    }
}

fn decode_heard(value: &[u8]) -> Result<Vec<Heard>, DecodeError> {
    const FIELD: &str = "node_keepalive.heard";
    if value.is_empty() {
        return Err(DecodeError::NotCanonical { field: FIELD });
    }
    let mut input = value;
    let mut heard: Vec<Heard> = Vec::with_capacity(value.len() / Heard::LEAST);
    while !input.is_empty() {
        heard.push(codec::get(&mut input, FIELD)?);
    }
    codec::require_ascending(&heard, FIELD, |heard| heard.node)?;
    Ok(heard)
}

impl Field for Heard {
    const LEAST: usize = 8;
    #[inline]
    fn parse<'a>(mut input: &'a [u8], field: &'static str) -> codec::Parsed<'a, Self> {
        let input = &mut input;
        let heard = Self { node: codec::get(input, field)?, sequence: codec::get(input, field)? };
        Ok((input, heard))
    }
    fn put(&self, out: &mut BytesMut) {
        self.node.put(out);
        self.sequence.put(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> NodeKeepalive {
        NodeKeepalive {
            cluster: ClusterId(0x0506_0729),
            priority: 100,
            role: Role::Standby,
            in_sync: true,
            interval_us: 0x0506_072d,
            epoch: Epoch(0x0102_0304_0506_072e),
            version: Version(0x0102_0304_0506_072f),
            promised: Epoch(0x0102_0304_0506_0730),
            log_end: LogIndex(0x0102_0304_0506_0731),
            height: Height(0x0102_0304_0506_0732),
            address: SocketAddr::from(([10, 0, 0, 1], 7400)),
            heard: vec![
                Heard { node: NodeId(7), sequence: 0x0102_0304 },
                Heard { node: NodeId(8), sequence: 1 },
            ],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x05, 0x06, 0x07, 0x29][..],                     // cluster
            &[0x64],                                           // priority
            &[0x01],                                           // role
            &[0x01],                                           // in_sync
            &[0x05, 0x06, 0x07, 0x2d],                         // interval_us
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x2e], // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x2f], // version
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x30], // promised
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x31], // log_end
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x32], // height
            &[0x04, 0x0a, 0x00, 0x00, 0x01, 0x1c, 0xe8],       // address
            &[
                0x00, 0x01, 0x00, 0x10, 0x00, 0x00, 0x00, 0x07, 0x01, 0x02, 0x03, 0x04, 0x00, 0x00, 0x00,
                0x08, 0x00, 0x00, 0x00, 0x01,
            ], // extensions
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::NodeKeepalive(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x20, &literal(), &[58]);
        assert_eq!(
            NodeKeepalive::decode(&[]),
            Err(DecodeError::Truncated { field: "node_keepalive.cluster" })
        );
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(
            0x20,
            &literal(),
            5,
            0xEE,
            DecodeError::BadValue { field: "node_keepalive.role" },
        );
        testing::refused_with(
            0x20,
            &literal(),
            6,
            0xEE,
            DecodeError::BadValue { field: "node_keepalive.in_sync" },
        );
        testing::refused_with(
            0x20,
            &literal(),
            51,
            0xEE,
            DecodeError::BadValue { field: "node_keepalive.address" },
        );
        testing::refused_with(
            0x20,
            &literal(),
            4,
            255,
            DecodeError::BadValue { field: "node_keepalive.priority" },
        );
    }

    #[test]
    fn the_heard_list_must_ascend_and_not_be_empty_nor_cut() {
        const FIELD: &str = "node_keepalive.heard";
        let fixed = literal().len() - 20;
        let with = |tlv: &[u8]| NodeKeepalive::decode(&[&literal()[..fixed], tlv].concat());
        assert_eq!(with(&[0, 1, 0, 0]), Err(DecodeError::NotCanonical { field: FIELD }));
        assert_eq!(with(&[0, 1, 0, 7, 0, 0, 0, 1, 0, 0, 0]), Err(DecodeError::Truncated { field: FIELD }));
        let twice = [0, 1, 0, 16, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1];
        assert_eq!(with(&twice), Err(DecodeError::NotCanonical { field: FIELD }));
        assert!(with(&[]).unwrap().heard.is_empty());
    }
}
