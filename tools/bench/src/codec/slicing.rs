//! The peer: what somebody would write by hand for these packets. It makes the checks that the specification asks, as the
//! codec does, since a reader that does not is no peer, and keeps all that it must give back; there are no names of fields
//! in its errors, and it knows four types of packet.

use bytes::Bytes;
use duohuo_wire::packet::PacketType;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// One of the packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Peer {
    MasterKeepalive(MasterKeepalive),
    NodeKeepalive(NodeKeepalive),
    Append(Append),
    BlockPush(BlockPush),
}

impl Peer {
    pub(super) fn decode(packet_type: u8, body: &[u8]) -> Option<Self> {
        const MASTER_KEEPALIVE: u8 = PacketType::MasterKeepalive.code();
        const NODE_KEEPALIVE: u8 = PacketType::NodeKeepalive.code();
        const APPEND: u8 = PacketType::Append.code();
        const BLOCK_PUSH: u8 = PacketType::BlockPush.code();
        match packet_type {
            MASTER_KEEPALIVE => MasterKeepalive::decode(body).map(Self::MasterKeepalive),
            NODE_KEEPALIVE => NodeKeepalive::decode(body).map(Self::NodeKeepalive),
            APPEND => Append::decode(body).map(Self::Append),
            BLOCK_PUSH => BlockPush::decode(body).map(Self::BlockPush),
            _ => None,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::MasterKeepalive(packet) => packet.encode(out),
            Self::NodeKeepalive(packet) => packet.encode(out),
            Self::Append(packet) => packet.encode(out),
            Self::BlockPush(packet) => packet.encode(out),
        }
    }
}

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
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    #[inline]
    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    fn bool(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.u8()? {
            4 => Ipv4Addr::from(self.array::<4>()?).into(),
            6 => Ipv6Addr::from(self.array::<16>()?).into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.u16()?))
    }

    /// The extensions that the packet does not know, as they came, and the value of the one it does.
    #[inline]
    fn extensions(self, own: Option<u16>) -> Option<(Vec<u8>, Option<&'a [u8]>)> {
        if self.0.is_empty() { Some((Vec::new(), None)) } else { self.some_extensions(own) }
    }

    fn some_extensions(self, own: Option<u16>) -> Option<(Vec<u8>, Option<&'a [u8]>)> {
        let (mut rest, mut others, mut value) = (self, Vec::new(), None);
        let mut last = None;
        while !rest.0.is_empty() {
            let whole = rest.0;
            let (kind, length) = (rest.u16()?, rest.u16()?);
            let bytes = rest.take(usize::from(length))?;
            if last.is_some_and(|last| kind <= last) {
                return None;
            }
            last = Some(kind);
            if own == Some(kind) {
                value = Some(bytes);
            } else if kind & 0x8000 != 0 {
                return None;
            } else {
                others.extend_from_slice(whole.get(..4 + bytes.len())?);
            }
        }
        Some((others, value))
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
    extensions: Vec<u8>,
}

impl MasterKeepalive {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        Some(Self {
            cluster: rest.u32()?,
            epoch: rest.u64()?,
            height: rest.u64()?,
            challenge: rest.u64()?,
            table_version: rest.u64()?,
            extensions: rest.extensions(None)?.0,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster.to_be_bytes());
        for number in [self.epoch, self.height, self.challenge, self.table_version] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.extensions);
    }
}

/// NodeKeepalive, with its heard list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NodeKeepalive {
    cluster: u32,
    priority: u8,
    role: u8,
    in_sync: bool,
    interval_us: u32,
    numbers: [u64; 5],
    address: SocketAddr,
    heard: Vec<(u32, u32)>,
    extensions: Vec<u8>,
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
        let address = rest.address()?;
        let (extensions, value) = rest.extensions(Some(1))?;
        let mut heard = Vec::new();
        if let Some(value) = value {
            if value.is_empty() || value.len() % 8 != 0 {
                return None;
            }
            heard.reserve_exact(value.len() / 8);
            let mut value = Rest(value);
            while !value.0.is_empty() {
                let next = (value.u32()?, value.u32()?);
                if heard.last().is_some_and(|(node, _)| *node >= next.0) {
                    return None;
                }
                heard.push(next);
            }
        }
        Some(Self { cluster, priority, role, in_sync, interval_us, numbers, address, heard, extensions })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster.to_be_bytes());
        out.extend_from_slice(&[self.priority, self.role, u8::from(self.in_sync)]);
        out.extend_from_slice(&self.interval_us.to_be_bytes());
        for number in self.numbers {
            out.extend_from_slice(&number.to_be_bytes());
        }
        match self.address {
            SocketAddr::V4(address) => {
                out.push(4);
                out.extend_from_slice(&address.ip().octets());
            }
            SocketAddr::V6(address) => {
                out.push(6);
                out.extend_from_slice(&address.ip().octets());
            }
        }
        out.extend_from_slice(&self.address.port().to_be_bytes());
        if !self.heard.is_empty() {
            out.extend_from_slice(&1_u16.to_be_bytes());
            out.extend_from_slice(&u16::try_from(self.heard.len() * 8).unwrap_or(u16::MAX).to_be_bytes());
            for (node, sequence) in &self.heard {
                out.extend_from_slice(&node.to_be_bytes());
                out.extend_from_slice(&sequence.to_be_bytes());
            }
        }
        out.extend_from_slice(&self.extensions);
    }
}

/// Append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Append {
    numbers: [u64; 3],
    records: Vec<(u64, u64, Bytes)>,
    extensions: Vec<u8>,
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
        Some(Self { numbers, records, extensions: rest.extensions(None)?.0 })
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
        out.extend_from_slice(&self.extensions);
    }
}

/// BlockPush.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct BlockPush {
    height: u64,
    block: Bytes,
    extensions: Vec<u8>,
}

impl BlockPush {
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let (height, length) = (rest.u64()?, rest.u32()?);
        let block = Bytes::copy_from_slice(rest.take(usize::try_from(length).ok()?)?);
        Some(Self { height, block, extensions: rest.extensions(None)?.0 })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&u32::try_from(self.block.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(&self.block);
        out.extend_from_slice(&self.extensions);
    }
}
