//! The peer: what somebody would write by hand for one packet each. Bounds, values and order are checked as the
//! specification asks, since a reader that does not is no peer; there are no names of fields in its errors.

use bytes::Bytes;

/// A reader over what is left.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    #[inline]
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    #[inline]
    fn u8(&mut self) -> Option<u8> {
        let [byte] = self.take(1)?.try_into().ok()?;
        Some(byte)
    }

    #[inline]
    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    #[inline]
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    #[inline]
    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    #[inline]
    fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// The peer's packets carry no unknown extensions.
    #[inline]
    fn end<T>(&self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

/// MasterKeepalive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MasterKeepalive {
    cluster: u32,
    epoch: u64,
    height: u64,
    challenge: u64,
    table_version: u64,
}

impl MasterKeepalive {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let packet = Self {
            cluster: rest.u32()?,
            epoch: rest.u64()?,
            height: rest.u64()?,
            challenge: rest.u64()?,
            table_version: rest.u64()?,
        };
        rest.end(packet)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster.to_be_bytes());
        for number in [self.epoch, self.height, self.challenge, self.table_version] {
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// NodeKeepalive from an IPv4 address, with its heard list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NodeKeepalive {
    cluster: u32,
    priority: u8,
    role: u8,
    in_sync: bool,
    interval_us: u32,
    numbers: [u64; 5],
    address: [u8; 7],
    heard: Vec<(u32, u32)>,
}

impl NodeKeepalive {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let cluster = rest.u32()?;
        let priority = rest.u8().filter(|priority| *priority <= 254)?;
        let role = rest.u8().filter(|role| *role <= 2)?;
        let in_sync = rest.bool()?;
        let interval_us = rest.u32()?;
        let numbers = [rest.u64()?, rest.u64()?, rest.u64()?, rest.u64()?, rest.u64()?];
        let address: [u8; 7] = rest.take(7)?.try_into().ok().filter(|a: &[u8; 7]| a.first() == Some(&4))?;
        let mut heard = Vec::new();
        if !rest.0.is_empty() {
            if rest.u16()? != 1 {
                return None;
            }
            let bytes = usize::from(rest.u16()?);
            if bytes == 0 || bytes % 8 != 0 || bytes > rest.0.len() {
                return None;
            }
            heard.reserve_exact(bytes / 8);
            for _ in 0..bytes / 8 {
                let next = (rest.u32()?, rest.u32()?);
                if heard.last().is_some_and(|(node, _)| *node >= next.0) {
                    return None;
                }
                heard.push(next);
            }
        }
        rest.end(Self { cluster, priority, role, in_sync, interval_us, numbers, address, heard })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster.to_be_bytes());
        out.extend_from_slice(&[self.priority, self.role, u8::from(self.in_sync)]);
        out.extend_from_slice(&self.interval_us.to_be_bytes());
        for number in self.numbers {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.address);
        if !self.heard.is_empty() {
            out.extend_from_slice(&1_u16.to_be_bytes());
            out.extend_from_slice(&u16::try_from(self.heard.len() * 8).unwrap_or(u16::MAX).to_be_bytes());
            for (node, sequence) in &self.heard {
                out.extend_from_slice(&node.to_be_bytes());
                out.extend_from_slice(&sequence.to_be_bytes());
            }
        }
    }
}

/// Append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Append {
    numbers: [u64; 3],
    records: Vec<(u64, u64, Bytes)>,
}

impl Append {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let numbers = [rest.u64()?, rest.u64()?, rest.u64()?];
        let count = usize::try_from(rest.u32()?).ok()?;
        if count.checked_mul(20).is_none_or(|least| least > rest.0.len()) {
            return None;
        }
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let (height, epoch, length) = (rest.u64()?, rest.u64()?, rest.u32()?);
            let bytes = rest.take(usize::try_from(length).ok()?)?;
            records.push((height, epoch, Bytes::copy_from_slice(bytes)));
        }
        rest.end(Self { numbers, records })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for number in self.numbers {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&u32::try_from(self.records.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (height, epoch, bytes) in &self.records {
            out.extend_from_slice(&height.to_be_bytes());
            out.extend_from_slice(&epoch.to_be_bytes());
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(bytes);
        }
    }
}

/// BlockPush.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BlockPush {
    height: u64,
    block: Bytes,
}

impl BlockPush {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let (height, length) = (rest.u64()?, rest.u32()?);
        let block = Bytes::copy_from_slice(rest.take(usize::try_from(length).ok()?)?);
        rest.end(Self { height, block })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&u32::try_from(self.block.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.block);
    }
}
