//! `ForcedSwitch` (type 0x1b): the authority's signed order that a cluster change its master (AUTH-6, OUT-9,
//! REC-3).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                order: signed switch (89 bytes)                |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                         extensions ...                        |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    statement::SignedSwitch,
    tlv::Extensions,
};

/// The authority's signed order that a cluster change its master.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ForcedSwitch {
    /// The order; anyone may relay it.
    pub order: SignedSwitch,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl ForcedSwitch {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self { order: codec::get(input, "forced_switch.order")?, extensions: Extensions::decode(input)? })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.order.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::ids::{ClusterId, Epoch, Height, NodeId};
    use crate::packet::{Packet, testing};

    fn sample() -> ForcedSwitch {
        ForcedSwitch {
            order: SignedSwitch {
                cluster: ClusterId(3),
                epoch: Epoch(4),
                old_master: NodeId(9),
                height: Height(100),
                proven: true,
                signature: [0xBB; 64],
            },
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[
                0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00,
                0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x64, 0x01, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
            ][..], // order
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::ForcedSwitch(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x1b, &literal(), &[]);
        assert_eq!(ForcedSwitch::decode(&[]), Err(DecodeError::Truncated { field: "switch.cluster" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x1b, &literal(), 24, 0xEE, DecodeError::BadValue { field: "switch.proven" });
    }
}
