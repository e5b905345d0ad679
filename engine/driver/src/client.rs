//! A blocking client: one Noise session over one TCP connection. For commands and drills, not for nodes.

use crate::clock;
use bytes::Bytes;
use duohuo_core::Duration;
use duohuo_wire::handshake::{self, HandshakeError, Initiation, Prologue, Transport};
use duohuo_wire::header::{Header, MAX_FRAME, MAX_HANDSHAKE_FRAME};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Packet;
use duohuo_wire::seal::OpenError;
use duohuo_wire::seal::{OpeningKey, SealingKey};
use duohuo_wire::stream::FrameReader;
use duohuo_wire::versions::Versions;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Instant;

/// Why a client's session failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody there, or the connection broke.
    #[error("{address}: {source}{}", advice(source))]
    Io {
        /// The server.
        address: SocketAddr,
        /// The error.
        source: io::Error,
    },
    /// The server did not prove to be who the roster says.
    #[error(
        "{address}: the handshake failed: it is not the party of the roster, or does not know our key; check the roster and the key file"
    )]
    Handshake {
        /// The server.
        address: SocketAddr,
    },
    /// It is the party of the roster, and speaks no version that this program speaks.
    #[error(
        "{address}: it speaks versions {theirs} of the wire, this program {}; use the program of the release that runs there",
        Versions::ALL
    )]
    Versions {
        /// The server.
        address: SocketAddr,
        /// What it speaks.
        theirs: Versions,
    },
    /// The server broke a rule of the wire.
    #[error("{address}: it sent bytes that are no packet of this session")]
    Protocol {
        /// The server.
        address: SocketAddr,
    },
}

/// What to look at.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "; nothing listens there: is the process started?",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
            "; no way there: look at the roster's address and the routes"
        }
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "; nothing came back: is the machine up, and does the firewall let TCP pass?"
        }
        _ => "",
    }
}

/// Who the client is and what it trusts.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Its id in the roster.
    pub id: NodeId,
    /// Its X25519 private key.
    pub secret: duohuo_wire::secret::Secret,
    /// The consortium.
    pub consortium: [u8; 16],
}

/// An open session.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    socket: TcpStream,
    reader: FrameReader,
    me: NodeId,
    sealing: SealingKey,
    opening: OpeningKey,
    remote_session: u64,
    local_session: u64,
    next_sent: u64,
    next_received: u64,
    buffer: Vec<u8>,
}

impl Client {
    /// Connect and shake hands; `server_public` is the session key of the roster.
    ///
    /// # Errors
    /// Nobody there within `timeout`, or the handshake fails.
    pub fn connect(
        address: SocketAddr,
        server_public: &[u8; 32],
        credentials: &Credentials,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let io = |source| ClientError::Io { address, source };
        let refused = || ClientError::Handshake { address };
        let deadline = Instant::now() + timeout;
        let mut socket = TcpStream::connect_timeout(&address, timeout).map_err(io)?;
        socket.set_nodelay(true).map_err(io)?;
        socket.set_write_timeout(Some(timeout)).map_err(io)?;
        let local_session = u64::from_be_bytes(first_eight(&crate::keys::random())) | 1;
        let prologue = Prologue { consortium: credentials.consortium, transport: Transport::Stream };
        let (initiator, init) = Initiation {
            local: &credentials.secret,
            remote_public: server_public,
            prologue: &prologue,
            ephemeral: crate::keys::random(),
            timestamp: timestamp(),
            session: local_session,
            cookie: None,
            sender: credentials.id,
            versions: Some(Versions::ALL),
        }
        .begin()
        .map_err(|_| refused())?;
        socket.write_all(&Packet::from(init).encode_unsealed(credentials.id)).map_err(io)?;
        let mut reader = FrameReader::new(MAX_HANDSHAKE_FRAME);
        let mut buffer = vec![0; 64 << 10];
        let frame = loop {
            if let Some(frame) = reader.next().map_err(|_| refused())? {
                break frame;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io(io::ErrorKind::TimedOut.into()));
            }
            socket.set_read_timeout(Some(left)).map_err(io)?;
            match socket.read(&mut buffer) {
                // a server that does not know the key closes without a word
                Ok(0) => return Err(refused()),
                Ok(length) => reader.push(buffer.get(..length).unwrap_or_default()),
                Err(e) if is_timeout(&e) => {}
                Err(e) => return Err(io(e)),
            }
        };
        let Ok((_, Packet::HandshakeResponse(response))) = Packet::decode_unsealed(&frame) else {
            return Err(refused());
        };
        if response.initiator_session != local_session
            || !handshake::check_mac1(&crate::keys::session_public(&credentials.secret), &frame)
        {
            return Err(refused());
        }
        let keys = initiator.finish(&response).map_err(|error| match error {
            HandshakeError::NoCommonVersion(theirs) => ClientError::Versions { address, theirs },
            _ => refused(),
        })?;
        let proof = Packet::from(keys.agreement.proof());
        reader.set_limit(MAX_FRAME);
        let mut client = Self {
            address,
            socket,
            reader,
            me: credentials.id,
            sealing: keys.sealing,
            opening: keys.opening,
            remote_session: response.responder_session,
            local_session,
            next_sent: 0,
            next_received: 0,
            buffer,
        };
        // prove the keys at once: the server believes nobody before
        client.send(&proof)?;
        Ok(client)
    }

    /// The server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Send a packet.
    ///
    /// # Errors
    /// The connection broke or the server does not read.
    pub fn send(&mut self, packet: &Packet) -> Result<(), ClientError> {
        let bytes = self.sealing.seal(packet, self.me, self.remote_session, self.next_sent);
        self.next_sent += 1;
        self.socket.write_all(&bytes).map_err(|source| ClientError::Io { address: self.address, source })
    }

    /// The next packet, or `None` if none came in time.
    ///
    /// # Errors
    /// The connection ended, or the server broke a rule.
    pub fn recv(&mut self, timeout: Duration) -> Result<Option<Packet>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(frame) =
                self.reader.next().map_err(|_| ClientError::Protocol { address: self.address })?
            {
                if let Some(packet) = self.open(&frame)? {
                    return Ok(Some(packet));
                }
                continue;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.read(left)?;
        }
    }

    fn read(&mut self, timeout: Duration) -> Result<(), ClientError> {
        let io = |source| ClientError::Io { address: self.address, source };
        self.socket.set_read_timeout(Some(timeout)).map_err(io)?;
        match self.socket.read(&mut self.buffer) {
            Ok(0) => Err(io(io::ErrorKind::UnexpectedEof.into())),
            Ok(length) => {
                self.reader.push(self.buffer.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(e) if is_timeout(&e) => Ok(()),
            Err(e) => Err(io(e)),
        }
    }

    /// A packet of a type that we do not know is skipped.
    fn open(&mut self, frame: &Bytes) -> Result<Option<Packet>, ClientError> {
        let broken = || ClientError::Protocol { address: self.address };
        let header = Header::decode(frame).map_err(|_| broken())?;
        if !header.is_sealed()
            || header.session != self.local_session
            || header.sequence != self.next_received
        {
            return Err(broken());
        }
        self.next_received += 1;
        match self.opening.open(&header, frame) {
            Ok(packet) => Ok(Some(packet)),
            Err(OpenError::Decode(_)) => Ok(None),
            Err(OpenError::Forged) => Err(broken()),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // the connection may be gone already
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn first_eight(bytes: &[u8; 32]) -> [u8; 8] {
    bytes.first_chunk::<8>().copied().unwrap_or_default()
}

fn timestamp() -> [u8; 12] {
    let unix = clock::unix_at_zero() + Duration::from_nanos(clock::now().as_nanos());
    let mut bytes = [0; 12];
    let (seconds, nanos) = bytes.split_at_mut(8);
    seconds.copy_from_slice(&unix.as_secs().to_be_bytes());
    nanos.copy_from_slice(&unix.subsec_nanos().to_be_bytes());
    bytes
}
