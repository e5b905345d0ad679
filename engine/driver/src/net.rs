//! Sockets: one UDP socket for unicast (and for sending to the group), one for receiving the group's multicast, one TCP
//! listener, and byte streams. Non-blocking, edge-triggered, everything bounded.

use crate::error::DriverError;
use crate::streams::{self, Stream, StreamEnd};
use bytes::{Bytes, BytesMut};
use duohuo_core::io::{Input, StreamId};
use duohuo_core::{Duration, Instant};
use duohuo_wire::packet::PacketType;
use mio::net::{TcpListener, UdpSocket};
use mio::{Interest, Registry, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Poll token of the unicast socket.
pub(crate) const UDP: Token = Token(0);
/// Poll token of the multicast socket.
pub(crate) const GROUP: Token = Token(1);
/// Poll token of the listener.
pub(crate) const LISTENER: Token = Token(2);
/// Streams have their id plus this.
pub(crate) const FIRST_STREAM: usize = 16;

/// Datagrams taken from one socket per wake-up, and their bytes: others must have their turn.
const DATAGRAM_BUDGET: usize = 256;
const DATAGRAM_BYTES_BUDGET: usize = 512 << 10;
/// So much is allocated for datagrams at a time.
const ROOM_BYTES: usize = 64 << 10;
/// Initiations of handshakes that may wait until all else that came was handled. The oldest goes: its sender asks again.
const WAITING_INITIATIONS: usize = 256;
/// Connections taken per wake-up.
const ACCEPT_BUDGET: usize = 16;
/// Accepted streams open at a time; more are closed at once. A network of 254 clusters needs 254 + 64 + clients.
const ACCEPTED_STREAMS: usize = 1024;
/// Descriptors that strangers' connections must leave for us: files, sockets, streams that we dial.
const OWN_DESCRIPTORS: usize = 512;
/// Connections the kernel may queue.
const BACKLOG: i32 = 256;
/// Where a packet's header names its type.
const TYPE_AT: usize = 5;
/// A closing stream may flush what was queued for so long.
const LINGER: Duration = Duration::from_secs(1);
/// Kernel receive buffer of the datagram sockets: what 64 nodes say, and a flood, over a stall of some 100 ms. A small packet
/// takes some 800 bytes of it.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Counted, never logged one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetCounters {
    /// Datagrams that a full socket or a missing route swallowed.
    pub datagrams_unsent: u64,
    /// Accepted connections closed at once because too many were open.
    pub accepts_refused: u64,
    /// Streams closed because their peer read too slowly.
    pub queues_over: u64,
    /// Initiations of handshakes by datagram that waited behind too many others, dropped unread.
    pub initiations_over: u64,
}

/// All sockets of a process.
#[derive(Debug)]
pub struct Net {
    registry: Registry,
    local: SocketAddr,
    udp: UdpSocket,
    group: Option<UdpSocket>,
    listener: TcpListener,
    streams: BTreeMap<StreamId, Stream>,
    accepted: usize,
    accepted_limit: usize,
    next_accepted: u64,
    /// Sockets that may hold more: an edge that was not read to its end.
    unread: BTreeSet<Token>,
    /// Streams with fresh bytes in their queue.
    dirty: BTreeSet<StreamId>,
    /// Of sessions and groups.
    datagrams: VecDeque<Input>,
    /// What the streams did.
    inputs: VecDeque<Input>,
    /// Of handshakes by datagram: what is dear and can wait.
    initiations: VecDeque<Input>,
    /// No datagram is longer.
    buffer: Vec<u8>,
    /// Where datagrams wait for their turn: one allocation for many, which is used again when all of them were handled.
    room: BytesMut,
    counters: NetCounters,
}

impl Net {
    /// Bind everything to `local`, and join `group` on the interface that owns `local`.
    ///
    /// # Errors
    /// A port in use, no such interface, no multicast group: see [`DriverError`].
    pub fn bind(
        registry: &Registry,
        local: SocketAddr,
        group: Option<SocketAddr>,
    ) -> Result<Self, DriverError> {
        let registry = registry.try_clone().map_err(|e| DriverError::system("dup(epoll)", e))?;
        let mut listener = listen(local)?;
        let mut udp = unicast(local, group.is_some())?;
        let mut group = group.map(|group| multicast(local, group)).transpose()?;
        let add = |e| DriverError::system("epoll_ctl", e);
        registry.register(&mut udp, UDP, Interest::READABLE).map_err(add)?;
        if let Some(group) = &mut group {
            registry.register(group, GROUP, Interest::READABLE).map_err(add)?;
        }
        registry.register(&mut listener, LISTENER, Interest::READABLE).map_err(add)?;
        Ok(Self {
            registry,
            local,
            udp,
            group,
            listener,
            streams: BTreeMap::new(),
            accepted: 0,
            accepted_limit: accepted_limit(),
            next_accepted: 2,
            unread: BTreeSet::new(),
            dirty: BTreeSet::new(),
            datagrams: VecDeque::new(),
            inputs: VecDeque::new(),
            initiations: VecDeque::new(),
            buffer: vec![0; streams::CHUNK_BYTES],
            room: BytesMut::with_capacity(ROOM_BYTES),
            counters: NetCounters::default(),
        })
    }

    /// What was counted.
    #[must_use]
    pub fn counters(&self) -> NetCounters {
        self.counters
    }

    /// The next datagram that is no initiation: it says who is there, and comes before all else (B-BND-2).
    pub fn next_datagram(&mut self) -> Option<Input> {
        self.datagrams.pop_front()
    }

    /// The next thing that a stream did.
    pub fn next_input(&mut self) -> Option<Input> {
        self.inputs.pop_front()
    }

    /// The next initiation by datagram: after all else that was there.
    pub fn next_initiation(&mut self) -> Option<Input> {
        self.initiations.pop_front()
    }

    /// Whether there is something to do without waiting for the kernel.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let waiting = [&self.datagrams, &self.inputs, &self.initiations];
        !self.unread.is_empty() || waiting.iter().any(|queue| !queue.is_empty())
    }

    /// Whether all queued bytes are with the kernel.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.streams.values().all(Stream::is_flushed)
    }

    /// When [`Net::expire`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.streams.values().filter_map(Stream::linger_at).min()
    }

    /// Drop the closing streams whose peers did not read.
    pub fn expire(&mut self, now: Instant) {
        let over: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, s)| s.linger_at().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.drop_stream(id);
        }
    }

    /// The kernel says that a socket of ours is ready.
    pub fn ready(&mut self, token: Token, writable: bool) {
        if token.0 >= FIRST_STREAM {
            let id = StreamId((token.0 - FIRST_STREAM) as u64);
            if writable {
                self.stream_writable(id);
            }
        }
        self.unread.insert(token);
    }

    /// Read what is there, each socket up to its budget. Of streams nothing more before what was read of them is handled.
    pub fn read(&mut self) {
        let is_behind = !self.inputs.is_empty();
        for token in std::mem::take(&mut self.unread) {
            if is_behind && token != UDP && token != GROUP {
                self.unread.insert(token);
                continue;
            }
            let more = match token {
                UDP | GROUP => self.read_datagrams(token == GROUP),
                LISTENER => self.accept(),
                Token(n) => self.read_stream(StreamId((n.saturating_sub(FIRST_STREAM)) as u64)),
            };
            if more {
                self.unread.insert(token);
            }
        }
    }

    fn read_datagrams(&mut self, group: bool) -> bool {
        let mut bytes_left = DATAGRAM_BYTES_BUDGET;
        for _ in 0..DATAGRAM_BUDGET {
            let socket = if group { self.group.as_ref() } else { Some(&self.udp) };
            let Some(socket) = socket else { return false };
            match socket.recv_from(&mut self.buffer) {
                // our own word, come back by the group
                Ok((_, from)) if group && from == self.local => {}
                Ok((length, from)) => {
                    bytes_left = bytes_left.saturating_sub(length);
                    self.sort(from, group, length);
                    if bytes_left == 0 {
                        return true;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                // an ICMP error of something sent before, or a signal: the socket itself is well
                Err(_) => {}
            }
        }
        true
    }

    /// What is said in a session, or by a group, comes before what strangers can say. What waits longer than a turn is a
    /// copy of its own, so that it keeps no room for others.
    fn sort(&mut self, from: SocketAddr, group: bool, length: usize) {
        let datagram = self.buffer.get(..length).unwrap_or_default();
        let is_initiation = !group && datagram.get(TYPE_AT) == Some(&PacketType::HandshakeInit.code());
        if !is_initiation {
            self.room.extend_from_slice(datagram);
            let bytes = self.room.split().freeze();
            self.datagrams.push_back(Input::Datagram { from, group, bytes });
            return;
        }
        let bytes = Bytes::copy_from_slice(datagram);
        if self.initiations.len() >= WAITING_INITIATIONS {
            self.initiations.pop_front();
            self.counters.initiations_over += 1;
        }
        self.initiations.push_back(Input::Datagram { from, group, bytes });
    }

    fn accept(&mut self) -> bool {
        for _ in 0..ACCEPT_BUDGET {
            match self.listener.accept() {
                Ok((socket, from)) => {
                    if self.accepted >= self.accepted_limit {
                        self.counters.accepts_refused += 1;
                        continue;
                    }
                    let id = StreamId(self.next_accepted);
                    self.next_accepted += 2;
                    let mut stream = Stream::open(socket);
                    if stream.register(&self.registry, token(id)).is_ok() {
                        self.accepted += 1;
                        self.streams.insert(id, stream);
                        self.inputs.push_back(Input::StreamAccepted { stream: id, from });
                        self.unread.insert(token(id));
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return false,
                // out of descriptors, or the peer is gone already: leave the rest for the next edge
                Err(_) => return false,
            }
        }
        true
    }

    fn read_stream(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let mut chunks = Vec::new();
        let more = stream.read(&mut self.buffer, &mut chunks);
        let silent = stream.linger_at().is_some();
        if !silent {
            let pieces = chunks.into_iter().flat_map(streams::pieces);
            self.inputs.extend(pieces.map(|bytes| Input::StreamBytes { stream: id, bytes }));
        }
        match more {
            Ok(more) => more,
            Err(StreamEnd) => {
                self.end_stream(id);
                false
            }
        }
    }

    fn stream_writable(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.connected() {
            Ok(true) => self.inputs.push_back(Input::StreamOpened { stream: id }),
            Ok(false) => {}
            Err(StreamEnd) => return self.end_stream(id),
        }
        self.flush_stream(id);
    }

    /// Send a datagram now, or lose it.
    pub fn send(&mut self, to: SocketAddr, bytes: &Bytes) {
        if self.udp.send_to(bytes, to).is_err() {
            self.counters.datagrams_unsent += 1;
        }
    }

    /// Begin to open a stream from our own address; `StreamOpened` or `StreamClosed` will follow.
    pub fn dial(&mut self, id: StreamId, to: SocketAddr) {
        let dialled = streams::dial(self.local.ip(), to).and_then(|mut stream| {
            stream.register(&self.registry, token(id))?;
            Ok(stream)
        });
        match dialled {
            Ok(stream) => {
                self.streams.insert(id, stream);
            }
            Err(_) => self.inputs.push_back(Input::StreamClosed { stream: id }),
        }
    }

    /// Queue bytes; [`Net::flush`] hands them to the kernel.
    pub fn write(&mut self, id: StreamId, bytes: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.queue(bytes) {
            self.dirty.insert(id);
        } else {
            self.counters.queues_over += 1;
            self.end_stream(id);
        }
    }

    /// End a stream after what is queued; the machine hears no more of it.
    pub fn close(&mut self, id: StreamId, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.close_at(now + LINGER);
            self.dirty.insert(id);
        }
    }

    /// Hand queued bytes to the kernel.
    pub fn flush(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            self.flush_stream(id);
        }
    }

    fn flush_stream(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        match stream.flush() {
            Ok(()) if stream.is_flushed() && stream.linger_at().is_some() => {
                self.drop_stream(id);
            }
            Ok(()) => {}
            Err(StreamEnd) => self.end_stream(id),
        }
    }

    /// The stream is over: say so, unless the machine closed it itself.
    fn end_stream(&mut self, id: StreamId) {
        if self.drop_stream(id) {
            self.inputs.push_back(Input::StreamClosed { stream: id });
        }
    }

    /// Whether the machine still counted on it.
    fn drop_stream(&mut self, id: StreamId) -> bool {
        let Some(mut stream) = self.streams.remove(&id) else { return false };
        stream.deregister(&self.registry);
        if id.0.is_multiple_of(2) {
            self.accepted = self.accepted.saturating_sub(1);
        }
        self.dirty.remove(&id);
        self.unread.remove(&token(id));
        stream.linger_at().is_none()
    }
}

/// How many accepted streams may be open. Raises our own limit on descriptors as far as the system lets us, since with
/// the usual 1024 strangers could take them all.
fn accepted_limit() -> usize {
    let wanted = (ACCEPTED_STREAMS + OWN_DESCRIPTORS) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(limit.maximum.map_or(wanted, |max| max.min(wanted))), ..limit };
        // refused: then what is there must do
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
    }
    let descriptors = limit.current.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    ACCEPTED_STREAMS.min(descriptors.saturating_sub(OWN_DESCRIPTORS).max(descriptors / 2))
}

fn token(id: StreamId) -> Token {
    Token(FIRST_STREAM + usize::try_from(id.0).unwrap_or(usize::MAX - FIRST_STREAM))
}

fn domain(address: SocketAddr) -> Domain {
    if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

fn listen(local: SocketAddr) -> Result<TcpListener, DriverError> {
    let fail = |call| move |e| DriverError::socket("TCP", local, call, e);
    let socket = Socket::new(domain(local), Type::STREAM, Some(Protocol::TCP)).map_err(fail("socket"))?;
    // a process that was just killed leaves connections in TIME_WAIT on its port
    socket.set_reuse_address(true).map_err(fail("SO_REUSEADDR"))?;
    socket.set_nonblocking(true).map_err(fail("O_NONBLOCK"))?;
    socket.bind(&SockAddr::from(local)).map_err(fail("bind"))?;
    socket.listen(BACKLOG).map_err(fail("listen"))?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Beyond the system's bound (net.core.rmem_max) if we may; else what the kernel gives. Keepalives are repeated anyway.
fn enlarge_receive_buffer(socket: &Socket) {
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER_BYTES).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    }
}

fn unicast(local: SocketAddr, sends_to_group: bool) -> Result<UdpSocket, DriverError> {
    let fail = |call| move |e| DriverError::socket("UDP", local, call, e);
    let socket = Socket::new(domain(local), Type::DGRAM, Some(Protocol::UDP)).map_err(fail("socket"))?;
    socket.set_nonblocking(true).map_err(fail("O_NONBLOCK"))?;
    enlarge_receive_buffer(&socket);
    socket.bind(&SockAddr::from(local)).map_err(fail("bind"))?;
    if sends_to_group && let IpAddr::V4(ip) = local.ip() {
        // the interface that owns the address
        socket.set_multicast_if_v4(&ip).map_err(fail("IP_MULTICAST_IF"))?;
        socket.set_multicast_loop_v4(true).map_err(fail("IP_MULTICAST_LOOP"))?;
        // 255: a receiver could demand it, as VRRP does, to keep out what crossed a router
        socket.set_multicast_ttl_v4(255).map_err(fail("IP_MULTICAST_TTL"))?;
    }
    Ok(UdpSocket::from_std(socket.into()))
}

fn multicast(local: SocketAddr, group: SocketAddr) -> Result<UdpSocket, DriverError> {
    let (IpAddr::V4(group_ip), IpAddr::V4(local_ip)) = (group.ip(), local.ip()) else {
        return Err(DriverError::BadGroup { group });
    };
    if !Ipv4Addr::is_multicast(&group_ip) || group.port() == 0 {
        return Err(DriverError::BadGroup { group });
    }
    let fail = |call| {
        move |e: io::Error| match e.raw_os_error() {
            // ENODEV: no interface owns the address
            Some(19) => DriverError::NoInterface { address: local },
            _ => DriverError::socket("multicast", group, call, e),
        }
    };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).map_err(fail("socket"))?;
    // several nodes of one cluster may share a machine
    socket.set_reuse_address(true).map_err(fail("SO_REUSEADDR"))?;
    socket.set_nonblocking(true).map_err(fail("O_NONBLOCK"))?;
    enlarge_receive_buffer(&socket);
    socket.bind(&SockAddr::from(group)).map_err(fail("bind"))?;
    // only what was joined by this socket, not by any other on the machine
    socket.set_multicast_all_v4(false).map_err(fail("IP_MULTICAST_ALL"))?;
    socket.join_multicast_v4(&group_ip, &local_ip).map_err(fail("IP_ADD_MEMBERSHIP"))?;
    Ok(UdpSocket::from_std(socket.into()))
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
