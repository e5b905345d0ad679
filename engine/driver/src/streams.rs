//! One TCP connection: a bounded queue of what is to be written, reads in chunks, an orderly or a hard end.

use bytes::{Buf, Bytes};
use duohuo_core::Instant;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A stream whose peer does not acknowledge is asked after this, and over after twice this. Detection does not rest on
/// it (probes do); it only clears away what a power cut or a cut link left behind.
const SILENCE: Duration = Duration::from_secs(1);

/// Bytes that may wait for one peer: two frames of the largest size. Over it the peer counts as dead.
pub(crate) const QUEUE_BYTES: usize = 16 << 20;
/// Read at a time.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// Handled at a time: what is dear about a word, a signature above all, comes to some 10 ms in so many bytes of short ones.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces handed to the kernel in one call.
const PIECES: usize = 32;

/// The stream is over: the peer closed it, it was refused, or it broke.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StreamEnd;

#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    connecting: bool,
    queue: VecDeque<Bytes>,
    queued_bytes: usize,
    linger_at: Option<Instant>,
}

/// Begin a connection from `source`, any port.
pub(crate) fn dial(source: IpAddr, to: SocketAddr) -> io::Result<Stream> {
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    match socket.connect(&SockAddr::from(to)) {
        Ok(()) => {}
        // EINPROGRESS (115): the answer comes as an event
        Err(e) if e.raw_os_error() == Some(115) || e.kind() == io::ErrorKind::WouldBlock => {}
        Err(e) => return Err(e),
    }
    let mut stream = Stream::open(TcpStream::from_std(socket.into()));
    stream.connecting = true;
    Ok(stream)
}

/// A chunk in the pieces in which it is handled.
pub(crate) fn pieces(mut chunk: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = chunk.split_to(chunk.len().min(PIECE_BYTES));
        (!piece.is_empty()).then_some(piece)
    })
}

impl Stream {
    pub(crate) fn open(socket: TcpStream) -> Self {
        // a failure shows at the next write
        let _ = socket.set_nodelay(true);
        let raw = SockRef::from(&socket);
        // A peer that lost its power says nothing: what it did not acknowledge for so long, or an unanswered
        // keepalive on a quiet stream, ends the stream.
        let keepalive = TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE).with_retries(2);
        let _ = raw.set_tcp_keepalive(&keepalive);
        let _ = raw.set_tcp_user_timeout(Some(SILENCE * 2));
        Self { socket, connecting: false, queue: VecDeque::new(), queued_bytes: 0, linger_at: None }
    }

    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    pub(crate) fn deregister(&mut self, registry: &Registry) {
        // closing the descriptor, which follows, does the same
        let _ = registry.deregister(&mut self.socket);
    }

    /// Whether the connection just came up.
    pub(crate) fn connected(&mut self) -> Result<bool, StreamEnd> {
        if !self.connecting {
            return Ok(false);
        }
        if !matches!(self.socket.take_error(), Ok(None)) {
            return Err(StreamEnd);
        }
        match self.socket.peer_addr() {
            Ok(_) => {
                self.connecting = false;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(_) => Err(StreamEnd),
        }
    }

    /// Read one chunk, others must have their turn; `true` if there may be more.
    pub(crate) fn read(&mut self, buffer: &mut [u8], chunks: &mut Vec<Bytes>) -> Result<bool, StreamEnd> {
        if self.connecting {
            // a refused connection is readable: its error tells
            return if matches!(self.socket.take_error(), Ok(None)) { Ok(false) } else { Err(StreamEnd) };
        }
        match self.socket.read(buffer) {
            Ok(0) => return Err(StreamEnd),
            Ok(length) => chunks.extend(buffer.get(..length).map(Bytes::copy_from_slice)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(StreamEnd),
        }
        Ok(true)
    }

    /// `false`: over the bound.
    pub(crate) fn queue(&mut self, bytes: Bytes) -> bool {
        if self.linger_at.is_some() || bytes.is_empty() {
            return true;
        }
        self.queued_bytes += bytes.len();
        self.queue.push_back(bytes);
        self.queued_bytes <= QUEUE_BYTES
    }

    pub(crate) fn flush(&mut self) -> Result<(), StreamEnd> {
        if self.connecting {
            return Ok(());
        }
        while !self.queue.is_empty() {
            let pieces: Vec<_> = self.queue.iter().take(PIECES).map(|b| IoSlice::new(b)).collect();
            match self.socket.write_vectored(&pieces) {
                Ok(0) => return Err(StreamEnd),
                Ok(length) => self.advance(length),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(StreamEnd),
            }
        }
        Ok(())
    }

    fn advance(&mut self, mut length: usize) {
        self.queued_bytes -= length;
        while let Some(first) = self.queue.front_mut() {
            if first.len() > length {
                first.advance(length);
                return;
            }
            length -= first.len();
            self.queue.pop_front();
        }
    }

    pub(crate) fn is_flushed(&self) -> bool {
        self.queue.is_empty()
    }

    /// End it once the queue is empty, at the latest at `at`.
    pub(crate) fn close_at(&mut self, at: Instant) {
        if self.connecting {
            self.queue.clear();
            self.queued_bytes = 0;
        }
        self.linger_at = Some(at);
    }

    /// Set once the machine closed it.
    pub(crate) fn linger_at(&self) -> Option<Instant> {
        self.linger_at
    }
}
