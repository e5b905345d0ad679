//! `Order` (type 0x60): an operator's signed order, handed in by a client (AUTH-5, AUTH-6).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                            request                            |
//! +                                                               +
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                   order: signed order (5.6)                   |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        extensions ...                         |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use bytes::BytesMut;

use crate::{
    codec::{self, Field as _},
    error::DecodeError,
    order::SignedOrder,
    tlv::Extensions,
};

/// An operator's signed order, handed in by a client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// The asker's number for this exchange, echoed in the answer; 0 = not asked for.
    pub request: u64,
    /// The order; whoever holds it may hand it in.
    pub order: SignedOrder,
    /// Extensions this version does not know.
    pub extensions: Extensions,
}

impl Order {
    /// Reads a body and nothing after it.
    ///
    /// # Errors
    /// The first field that is cut, out of range, or not canonical.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut input = body;
        let input = &mut input;
        Ok(Self {
            request: codec::get(input, "order.request")?,
            order: codec::get(input, "order.order")?,
            extensions: Extensions::decode(input)?,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut BytesMut) {
        self.request.put(out);
        self.order.put(out);
        self.extensions.encode(out);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::packet::{Packet, testing};
    use crate::{
        ids::{ClusterId, Epoch, NodeId},
        order::OrderKind,
    };

    fn sample() -> Order {
        Order {
            request: 0x0102_0304_0506_0720,
            order: SignedOrder {
                consortium: [0xC0; 16],
                number: 7,
                kind: OrderKind::Force,
                cluster: ClusterId(3),
                node: NodeId(9),
                epoch: Epoch(4),
                expires: 100,
                who: "ada".to_owned(),
                why: "fire".to_owned(),
                signature: [0xBB; 64],
            },
            extensions: Extensions::default(),
        }
    }

    fn literal() -> Vec<u8> {
        [
            &[0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x20][..], // request
            &[
                0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0, 0xc0,
                0xc0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x04, 0x00, 0x00, 0x00, 0x03, 0x00,
                0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00,
                0x00, 0x00, 0x00, 0x64, 0x03, 0x61, 0x64, 0x61, 0x04, 0x66, 0x69, 0x72, 0x65, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
                0xbb, 0xbb,
            ], // order
        ]
        .concat()
    }

    #[test]
    fn the_literal_bytes_decode_and_encode_back() {
        testing::both_ways(&Packet::Order(sample()), &literal());
    }

    #[test]
    fn every_cut_is_refused() {
        testing::every_cut_is_refused(0x60, &literal(), &[]);
        assert_eq!(Order::decode(&[]), Err(DecodeError::Truncated { field: "order.request" }));
    }

    #[test]
    fn a_value_out_of_range_names_its_field() {
        testing::refused_with(0x60, &literal(), 32, 0xEE, DecodeError::BadValue { field: "order.kind" });
        testing::refused_with(0x60, &literal(), 58, 0xFF, DecodeError::BadValue { field: "order.who" });
    }
}
