//! The kernel's side: the address by netlink, gratuitous ARP by a packet socket.

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope, CacheInfo};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use pnet_datalink::{Channel, Config, NetworkInterface};
use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, Ipv4Addr};

/// Everybody on a wire.
const BROADCAST: [u8; 6] = [0xFF; 6];
/// Of an address that we asked to be dropped and that was not there.
const NOT_THERE: i32 = -99;
/// The same, of an older kernel; and of a link that is gone.
const NO_SUCH: [i32; 2] = [-2, -19];

/// One address on one interface.
pub(crate) struct Place {
    address: Ipv4Addr,
    prefix: u8,
    link: NetworkInterface,
    mac: [u8; 6],
    netlink: Socket,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} on {}", self.address, self.prefix, self.link.name)
    }
}

impl Place {
    /// Find the interface, open both sockets; needs CAP_NET_ADMIN and CAP_NET_RAW.
    ///
    /// # Errors
    /// There is no such interface, it has no Ethernet address, or the rights are missing.
    pub(crate) fn open(address: Ipv4Addr, prefix: u8, interface: &str) -> Result<Self> {
        let links = pnet_datalink::interfaces();
        let link = links.into_iter().find(|found| found.name == interface).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no interface {interface}: ip link shows them"))
        })?;
        let mac = link.mac.map(|mac| mac.octets()).filter(|mac| *mac != [0; 6]).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, format!("{interface} has no Ethernet address"))
        })?;
        let mut netlink = Socket::new(NETLINK_ROUTE)?;
        netlink.bind_auto()?;
        netlink.connect(&SocketAddr::new(0, 0))?;
        let place = Self { address, prefix, link, mac, netlink };
        // whether we may: told now and not when it is needed
        place.sender().map(|_| place)
    }

    fn message(&self, valid_seconds: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = self.prefix;
        message.header.scope = AddressScope::Universe;
        message.header.index = self.link.index;
        let address = IpAddr::V4(self.address);
        message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        if valid_seconds > 0 {
            let mut lifetime = CacheInfo::default();
            lifetime.ifa_preferred = valid_seconds;
            lifetime.ifa_valid = valid_seconds;
            message.attributes.push(AddressAttribute::CacheInfo(lifetime));
        }
        message
    }

    /// Have the address, for so many seconds at most: if this process hangs, the kernel drops it. Again to renew that.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn take(&self, valid_seconds: u32) -> Result<()> {
        let message = RouteNetlinkMessage::NewAddress(self.message(valid_seconds.max(1)));
        self.ask(message, NLM_F_CREATE | NLM_F_REPLACE).map(|_| ())
    }

    /// Have it no longer; whether it was there.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn drop_it(&self) -> Result<bool> {
        self.ask(RouteNetlinkMessage::DelAddress(self.message(0)), 0)
    }

    /// `false`: there was nothing to drop.
    fn ask(&self, message: RouteNetlinkMessage, flags: u16) -> Result<bool> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.netlink.send(&bytes, 0)?;
        let (answer, _) = self.netlink.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|e| Error::new(ErrorKind::InvalidData, e.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(e) => match e.raw_code() {
                0 => Ok(true),
                code if code == NOT_THERE || NO_SUCH.contains(&code) => Ok(false),
                code => Err(Error::from_raw_os_error(-code)),
            },
            _ => Ok(true),
        }
    }

    /// Tell all on the wire that the address is here: a gratuitous ARP request and reply, since some listen to one only.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn announce(&self) -> Result<()> {
        let mut sender = self.sender()?;
        for operation in [ArpOperation::REQUEST, ArpOperation::REPLY] {
            sender
                .send_to(&self.frame(operation), None)
                .unwrap_or_else(|| Err(ErrorKind::OutOfMemory.into()))?;
        }
        Ok(())
    }

    /// Open only while it is used: such a socket is given all that passes.
    fn sender(&self) -> Result<Box<dyn pnet_datalink::DataLinkSender>> {
        let config = Config { promiscuous: false, ..Config::default() };
        match pnet_datalink::channel(&self.link, config)? {
            Channel::Ethernet(sender, _) => Ok(sender),
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn frame(&self, operation: ArpOperation) -> Vec<u8> {
        let header = Ethernet2Header { source: self.mac, destination: BROADCAST, ether_type: EtherType::ARP };
        let (address, target) =
            (self.address.octets(), if operation == ArpOperation::REPLY { BROADCAST } else { [0; 6] });
        let mut frame = header.to_bytes().to_vec();
        if let Ok(arp) = ArpPacket::new(
            ArpHardwareId::ETHERNET,
            EtherType::IPV4,
            operation,
            &self.mac,
            &address,
            &target,
            &address,
        ) {
            frame.extend_from_slice(&arp.to_bytes());
        }
        frame
    }
}
