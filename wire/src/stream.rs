//! A stream of bytes cut into packets by their length field.

use bytes::{Bytes, BytesMut};

use crate::{
    error::DecodeError,
    header::{self, MIN_BYTES},
};

/// Cuts a stream into packets. Magic, version and length are checked as soon as 12 bytes are there, so that it never
/// holds more than one packet within the limit and what was pushed after it. After an error the stream is lost:
/// every later call gives the same error.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    limit: u32,
    failed: Option<DecodeError>,
}

impl FrameReader {
    /// With the most bytes a packet may have: [`header::MAX_HANDSHAKE_FRAME`] before the handshake.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self { buffer: BytesMut::new(), limit, failed: None }
    }

    /// Takes bytes from the stream; drain with [`FrameReader::next`] until `None` after each.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole packet, header to CRC; its header is still to be decoded.
    ///
    /// # Errors
    /// What comes next is no packet, or longer than the limit: close the stream.
    #[allow(clippy::should_implement_trait, reason = "not an iterator: `None` means: not yet")]
    pub fn next(&mut self) -> Result<Option<Bytes>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.cut().inspect_err(|error| {
            self.failed = Some(*error);
            self.buffer = BytesMut::new();
        })
    }

    /// Changes the limit: [`header::MAX_FRAME`] after the handshake.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Bytes that wait for the rest of their packet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn cut(&mut self) -> Result<Option<Bytes>, DecodeError> {
        let length = match header::frame_length(&self.buffer) {
            Err(DecodeError::TooShort) => return Ok(None),
            other => other?,
        };
        if length > self.limit {
            return Err(DecodeError::TooLong);
        }
        let length = usize::try_from(length).map_err(|_| DecodeError::TooLong)?;
        if length < MIN_BYTES {
            return Err(DecodeError::BadLength);
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;
    use crate::{
        ids::NodeId,
        packet::{Cookie, Packet},
        tlv::Extensions,
    };

    fn packet(n: u8) -> Bytes {
        let packet: Packet =
            Cookie { initiator_session: 1, cookie: [n; 16], extensions: Extensions::default() }.into();
        packet.encode_unsealed(NodeId(n.into())).freeze()
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_packets(cuts in proptest::collection::vec(1_usize..90, 1..60)) {
            let packets: Vec<Bytes> = (1..20).map(packet).collect();
            let stream = packets.concat();
            let mut reader = FrameReader::new(header::MAX_HANDSHAKE_FRAME);
            let (mut rest, mut got) = (&stream[..], Vec::new());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                reader.push(now);
                while let Some(packet) = reader.next().unwrap() {
                    got.push(packet);
                }
                prop_assert!(reader.buffered() < 68);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(got, packets);
        }
    }

    #[test]
    fn a_packet_at_the_limit_passes_and_one_beyond_it_does_not() {
        let bytes = packet(1);
        for (limit, expected) in [(67, Err(DecodeError::TooLong)), (68, Ok(Some(bytes.clone())))] {
            let mut reader = FrameReader::new(limit);
            reader.push(&bytes);
            assert_eq!(reader.next(), expected);
        }
        let mut reader = FrameReader::new(10);
        reader.set_limit(68);
        reader.push(&bytes);
        assert_eq!(reader.next(), Ok(Some(bytes)));
        assert_eq!(reader.next(), Ok(None));
    }

    #[test]
    fn what_is_no_packet_is_refused_after_twelve_bytes_and_for_good() {
        let start = |change: fn(&mut [u8])| {
            let mut bytes = packet(1)[..12].to_vec();
            change(&mut bytes);
            let mut reader = FrameReader::new(8192);
            reader.push(&bytes[..11]);
            assert_eq!(reader.next(), Ok(None));
            reader.push(&bytes[11..]);
            let first = reader.next();
            reader.push(&packet(1));
            assert_eq!(reader.next().is_err(), first.is_err());
            assert_eq!(reader.buffered() == 0, first.is_err());
            first
        };
        assert_eq!(start(|bytes| bytes[0] = 0), Err(DecodeError::BadMagic));
        assert_eq!(start(|bytes| bytes[4] = 3), Err(DecodeError::BadVersion(3)));
        assert_eq!(start(|bytes| bytes[8] = 0xFF), Err(DecodeError::TooLong));
        assert_eq!(start(|bytes| bytes[11] = 43), Err(DecodeError::BadLength));
    }
}
