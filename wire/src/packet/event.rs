//! `Event` (type 0x55): something happened (OUT-4).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                           at_unix_us                          |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |              kind             |            cluster            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |        cluster (cont.)        |              node             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          node (cont.)         |             epoch             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         epoch (cont.)                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         epoch (cont.)         |             height            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         height (cont.)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         height (cont.)        |             round             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         round (cont.)         |             detail            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |         detail (cont.)        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        hash (32 bytes)                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                      signature (64 bytes)                     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, NodeId},
    tlv::Extensions,
};

/// Something happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, microseconds since 1970.
    pub at_unix_us: u64,
    /// What; the numbers are in the specification of behaviour.
    pub kind: u16,
    /// About which cluster; 0 = none.
    pub cluster: ClusterId,
    /// About which node; 0 = the authority or none.
    pub node: NodeId,
    /// In which epoch.
    pub epoch: Epoch,
    /// At which height.
    pub height: Height,
    /// In which round of consensus.
    pub round: u32,
    /// By kind.
    pub detail: u32,
    /// By kind; zero if unused.
    pub hash: [u8; 32],
    /// By kind; zero if unused.
    pub signature: [u8; 64],
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

/// All zero: for filling in.
impl Default for Event {
    fn default() -> Self {
        Self {
            at_unix_us: Default::default(),
            kind: Default::default(),
            cluster: Default::default(),
            node: Default::default(),
            epoch: Default::default(),
            height: Default::default(),
            round: Default::default(),
            detail: Default::default(),
            hash: [0; 32],
            signature: [0; 64],
            extensions: Extensions::default(),
        }
    }
}

impl Event {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            at_unix_us: codec::get(input, "event.at_unix_us")?,
            kind: codec::get(input, "event.kind")?,
            cluster: codec::get(input, "event.cluster")?,
            node: codec::get(input, "event.node")?,
            epoch: codec::get(input, "event.epoch")?,
            height: codec::get(input, "event.height")?,
            round: codec::get(input, "event.round")?,
            detail: codec::get(input, "event.detail")?,
            hash: codec::get(input, "event.hash")?,
            signature: codec::get(input, "event.signature")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.at_unix_us.put(out);
        self.kind.put(out);
        self.cluster.put(out);
        self.node.put(out);
        self.epoch.put(out);
        self.height.put(out);
        self.round.put(out);
        self.detail.put(out);
        self.hash.put(out);
        self.signature.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};

    fn sample() -> Event {
        Event {
            at_unix_us: 0x0102_0304_0506_075e,
            kind: 1887,
            cluster: ClusterId(0x0506_0760),
            node: NodeId(0x0506_0761),
            epoch: Epoch(0x0102_0304_0506_0762),
            height: Height(0x0102_0304_0506_0763),
            round: 0x0506_0764,
            detail: 0x0506_0765,
            hash: [0xae; 32],
            signature: [0xaf; 64],
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x5e][..], // at_unix_us
            &[0x07, 0x5f],                                         // kind
            &[0x05, 0x06, 0x07, 0x60],                             // cluster
            &[0x05, 0x06, 0x07, 0x61],                             // node
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x62],     // epoch
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x63],     // height
            &[0x05, 0x06, 0x07, 0x64],                             // round
            &[0x05, 0x06, 0x07, 0x65],                             // detail
            &[0xae; 32],                                           // hash
            &[0xaf; 64],                                           // signature
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Event(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x55, &literal(), &[]);
        assert_eq!(Event::decode(&[]), Err(DecodeError::Truncated { field: "event.at_unix_us" }));
    }
}
