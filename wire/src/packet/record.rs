//! One record of a cluster's log, as `Append` and `Resync` carry it.

use bytes::{Bytes, BytesMut};

use crate::{
    codec::{self, Field, Parsed},
    ids::{Epoch, Height},
};

/// One record of a cluster's log, as it travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireRecord {
    /// The height it belongs to.
    pub height: Height,
    /// The epoch it was written in.
    pub epoch: Epoch,
    /// As the consensus core encodes it.
    pub bytes: Bytes,
}

impl Field for WireRecord {
    const LEAST: usize = 20;
    fn parse<'a>(mut input: &'a [u8], _: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let record = Self {
            height: codec::get(input, "record.height")?,
            epoch: codec::get(input, "record.epoch")?,
            bytes: codec::get_bytes32(input, "record.bytes")?,
        };
        Ok((input, record))
    }
    fn put(&self, out: &mut BytesMut) {
        self.height.put(out);
        self.epoch.put(out);
        codec::put_bytes32(&self.bytes, out);
    }
}
