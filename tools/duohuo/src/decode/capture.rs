//! Capture files: what pcap and pcapng hold, cut down to the datagrams and TCP segments in it.

use etherparse::{EtherType, LaxSlicedPacket, TransportSlice};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapNGPacketBlock as _;
use pcap_parser::{Linktype, PcapBlockOwned, PcapError, create_reader};
use std::net::{IpAddr, SocketAddr};

/// One UDP datagram or TCP segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// As other tools number it: from 1, everything in the file counted.
    pub(crate) number: usize,
    /// Microseconds since 1970.
    pub(crate) at_unix_us: u64,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) kind: Kind,
    pub(crate) payload: Vec<u8>,
}

/// What carried a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Datagram,
    Segment { sequence: u32, syn: bool },
}

/// Whether bytes begin like a capture file.
pub(crate) fn is_capture(bytes: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 5] = [
        [0x0A, 0x0D, 0x0D, 0x0A], // pcapng
        [0xA1, 0xB2, 0xC3, 0xD4],
        [0xD4, 0xC3, 0xB2, 0xA1],
        [0xA1, 0xB2, 0x3C, 0x4D], // nanoseconds
        [0x4D, 0x3C, 0xB2, 0xA1],
    ];
    MAGICS.iter().any(|magic| bytes.starts_with(magic))
}

/// How the interface of a packet counts.
#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Units per second.
    resolution: u64,
    /// Seconds.
    offset: i64,
}

/// All datagrams and segments of a capture, and what is wrong with the file: those before that are good.
pub(crate) fn read(bytes: &[u8]) -> (Vec<Frame>, Result<(), String>) {
    let mut frames = Vec::new();
    let outcome = read_into(bytes, &mut frames);
    (frames, outcome)
}

fn read_into(bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), String> {
    const SPARE: usize = 1 << 16;
    let mut reader = create_reader(bytes.len() + SPARE, bytes)
        .map_err(|e| format!("not a readable pcap or pcapng file: {}", told(&e)))?;
    let mut interfaces = Vec::new();
    let mut number = 0;
    loop {
        match reader.next() {
            Ok((used, block)) => {
                if let Some((link, at_unix_us, data)) = packet(&block, &mut interfaces) {
                    number += 1;
                    frames.extend(frame(number, at_unix_us, link, data));
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                if reader.reader_exhausted() {
                    return Err(format!("the file ends inside a packet, after {number} whole ones"));
                }
                reader.refill().map_err(|e| format!("after packet {number}: {}", told(&e)))?;
            }
            Err(e) => return Err(format!("after packet {number}: {}", told(&e))),
        }
    }
}

/// The packet of a block, if it is one: its link, when it was captured, and its bytes.
fn packet<'a>(
    block: &'a PcapBlockOwned<'_>,
    interfaces: &mut Vec<Interface>,
) -> Option<(Linktype, u64, &'a [u8])> {
    match block {
        PcapBlockOwned::LegacyHeader(header) => {
            let nanoseconds = matches!(header.magic_number, 0xA1B2_3C4D | 0x4D3C_B2A1);
            let resolution = if nanoseconds { 1_000_000_000 } else { 1_000_000 };
            interfaces.push(Interface { link: header.network, resolution, offset: 0 });
            None
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interfaces.first()?;
            let at = whole(packet.ts_sec.into(), packet.ts_usec.into(), interface.resolution);
            Some((interface.link, at, packet.data))
        }
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
            interfaces.push(Interface {
                link: block.linktype,
                resolution: block.ts_resolution().unwrap_or(1_000_000).max(1),
                offset: block.ts_offset(),
            });
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
            let interface = interfaces.get(usize::try_from(block.if_id).ok()?)?;
            let units = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
            let seconds = (units / interface.resolution).saturating_add_signed(interface.offset);
            let at = whole(seconds, units % interface.resolution, interface.resolution);
            Some((interface.link, at, block.packet_data()))
        }
        PcapBlockOwned::NG(Block::SimplePacket(block)) => {
            Some((interfaces.first()?.link, 0, block.packet_data()))
        }
        PcapBlockOwned::NG(_) => None,
    }
}

/// Microseconds.
fn whole(seconds: u64, units: u64, resolution: u64) -> u64 {
    let fraction = u128::from(units) * 1_000_000 / u128::from(resolution);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(fraction).unwrap_or(0))
}

/// The kind of an error, without the megabytes it may quote.
fn told<I: std::fmt::Debug>(error: &PcapError<I>) -> &'static str {
    match error {
        PcapError::Eof | PcapError::UnexpectedEof | PcapError::Incomplete(_) => "it ends too early",
        PcapError::BufferTooSmall => "a packet claims to be larger than the file",
        PcapError::HeaderNotRecognized => "its first bytes are of neither format",
        PcapError::ReadError => "it cannot be read",
        _ => "it is damaged",
    }
}

/// The datagram or segment in a captured packet, if it is one and whole.
fn frame(number: usize, at_unix_us: u64, link: Linktype, data: &[u8]) -> Option<Frame> {
    let sliced = match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(data).ok()?,
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 | Linktype(12 | 14) => {
            LaxSlicedPacket::from_ip(data).ok()?
        }
        // "any" on Linux: the protocol stands at the end of the first header, at the start of the second
        Linktype::LINUX_SLL => {
            LaxSlicedPacket::from_ether_type(ether_type(data.get(14..16)?), data.get(16..)?)
        }
        Linktype::LINUX_SLL2 => LaxSlicedPacket::from_ether_type(ether_type(data.get(..2)?), data.get(20..)?),
        // loopback of BSD: four bytes of family
        Linktype::NULL | Linktype::LOOP => LaxSlicedPacket::from_ip(data.get(4..)?).ok()?,
        _ => return None,
    };
    let (source, destination): (IpAddr, IpAddr) = match &sliced.net {
        Some(etherparse::LaxNetSlice::Ipv4(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        Some(etherparse::LaxNetSlice::Ipv6(ip)) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        _ => return None,
    };
    let (ports, kind, payload) = match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => {
            ((udp.source_port(), udp.destination_port()), Kind::Datagram, udp.payload())
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let kind = Kind::Segment { sequence: tcp.sequence_number(), syn: tcp.syn() };
            ((tcp.source_port(), tcp.destination_port()), kind, tcp.payload())
        }
        _ => return None,
    };
    Some(Frame {
        number,
        at_unix_us,
        source: SocketAddr::new(source, ports.0),
        destination: SocketAddr::new(destination, ports.1),
        kind,
        payload: payload.to_vec(),
    })
}

fn ether_type(bytes: &[u8]) -> EtherType {
    EtherType(bytes.first_chunk::<2>().map_or(0, |two| u16::from_be_bytes(*two)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a wrong index fails the test")]
    use super::*;
    use etherparse::PacketBuilder;

    /// A datagram "DUOH!" from 10.0.0.1:7400 to 10.0.0.2:7401, as IPv4.
    fn datagram() -> Vec<u8> {
        let mut out = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9)
            .udp(7400, 7401)
            .write(&mut out, b"DUOH!")
            .expect("it fits");
        out
    }

    fn pcap(
        magic: [u8; 4],
        word: fn(u32) -> [u8; 4],
        half: fn(u16) -> [u8; 2],
        link: u32,
        packet: &[u8],
    ) -> Vec<u8> {
        let length = u32::try_from(packet.len()).expect("small");
        let mut out =
            [&magic[..], &half(2), &half(4), &word(0), &word(0), &word(65_535), &word(link)].concat();
        out.extend([word(1_700_000_000), word(250_000), word(length), word(length)].concat());
        out.extend(packet);
        out
    }

    fn little(link: u32, packet: &[u8]) -> Vec<u8> {
        pcap([0xD4, 0xC3, 0xB2, 0xA1], u32::to_le_bytes, u16::to_le_bytes, link, packet)
    }

    fn only(bytes: &[u8]) -> Frame {
        assert!(is_capture(bytes));
        let (frames, outcome) = read(bytes);
        assert_eq!(outcome, Ok(()));
        assert_eq!(frames.len(), 1);
        frames.into_iter().next().expect("counted")
    }

    #[test]
    fn a_datagram_is_found_whatever_carries_it() {
        let ip = datagram();
        let ethernet = [&[2; 12][..], &[8, 0], &ip].concat();
        let any = [&[0; 14][..], &[8, 0], &ip].concat();
        let any_2 = [&[8, 0][..], &[0; 18], &ip].concat();
        let loopback = [&[2, 0, 0, 0][..], &ip].concat();
        for (link, packet) in [(1, ethernet), (101, ip), (113, any), (276, any_2), (0, loopback)] {
            let frame = only(&little(link, &packet));
            assert_eq!(
                (frame.number, frame.at_unix_us, frame.kind),
                (1, 1_700_000_000_250_000, Kind::Datagram),
                "{link}"
            );
            assert_eq!(frame.source.to_string(), "10.0.0.1:7400", "{link}");
            assert_eq!(
                (frame.destination.to_string().as_str(), &frame.payload[..]),
                ("10.0.0.2:7401", &b"DUOH!"[..]),
                "{link}"
            );
        }
    }

    #[test]
    fn a_big_endian_file_with_nanoseconds_tells_the_same_time() {
        let bytes = pcap([0xA1, 0xB2, 0x3C, 0x4D], u32::to_be_bytes, u16::to_be_bytes, 101, &datagram());
        assert_eq!(only(&bytes).at_unix_us, 1_700_000_000_000_250);
    }

    #[test]
    fn what_is_neither_a_datagram_nor_a_segment_counts_and_is_left_out() {
        let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
        let (frames, outcome) = read(&little(1, &arp));
        assert_eq!((frames, outcome), (vec![], Ok(())));
    }

    #[test]
    fn a_file_that_is_cut_gives_what_was_whole() {
        let one = little(101, &datagram());
        let two = [&one[..], &one[24..]].concat();
        let (frames, outcome) = read(&two[..two.len() - 1]);
        assert_eq!(frames.len(), 1);
        assert!(outcome.is_err_and(|why| !why.is_empty()));
    }
}
