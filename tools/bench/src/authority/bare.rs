//! The bare limit: what any receiver of sealed keepalives must do, in a loop with nothing else in it. Receive, check the
//! CRC, find the session, look at the window, open, read the fields, move the window, refresh the table.

use super::stage::{Everybody, Member};
use bytes::Bytes;
use duohuo_core::Instant;
use duohuo_driver::clock;
use duohuo_wire::handshake::Keys;
use duohuo_wire::header::Header;
use duohuo_wire::ids::{Height, NodeId};
use duohuo_wire::packet::{MasterKeepaliveAnswer, Packet};
use duohuo_wire::seal::ReplayWindow;
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};

/// One session, and the row of the table that it refreshes.
struct Session {
    keys: Keys,
    window: ReplayWindow,
    sequence: u64,
    challenge: u64,
    heard_at: Instant,
    height: Height,
}

/// What becomes of the answer to a keepalive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answers {
    /// There is none.
    None,
    /// It is sealed and goes nowhere.
    Sealed,
    /// It is sent.
    Sent,
}

/// A receiver without an engine.
pub(super) struct Bare {
    sessions: HashMap<u64, Session>,
    socket: UdpSocket,
    buffer: Vec<u8>,
    pub(super) members: Vec<Member>,
}

impl Bare {
    pub(super) fn new(everybody: &Everybody) -> Result<Self, String> {
        let (members, others) = everybody.sessions()?;
        let session = |keys| Session {
            keys,
            window: ReplayWindow::new(),
            sequence: 0,
            challenge: 0,
            heard_at: Instant::ZERO,
            height: Height(0),
        };
        let sessions = members.iter().map(|m| m.session).zip(others.into_iter().map(session)).collect();
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        socket.set_nonblocking(true).map_err(|e| e.to_string())?;
        Ok(Self { sessions, socket, buffer: vec![0; 2048], members })
    }

    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        self.socket.local_addr().map_err(|e| e.to_string())
    }

    /// Take what is there: how many were good.
    pub(super) fn drain(&mut self, answers: Answers, kept: &mut Vec<Bytes>) -> usize {
        let mut good = 0;
        while let Ok((length, from)) = self.socket.recv_from(&mut self.buffer) {
            if let Some(answer) = self.take(length, answers) {
                good += 1;
                match answer {
                    Some(bytes) if answers == Answers::Sent => {
                        // as the engine's driver does: what cannot be sent is lost
                        let _ = self.socket.send_to(&bytes, from);
                    }
                    Some(bytes) => kept.push(bytes),
                    None => {}
                }
            }
        }
        good
    }

    fn take(&mut self, length: usize, answers: Answers) -> Option<Option<Bytes>> {
        let bytes = self.buffer.get(..length)?;
        let header = Header::decode_datagram(bytes).ok()?;
        let session = self.sessions.get_mut(&header.session)?;
        if !session.window.check(header.sequence) {
            return None;
        }
        let Packet::MasterKeepalive(keepalive) = session.keys.opening.open(&header, bytes).ok()? else {
            return None;
        };
        session.window.commit(header.sequence);
        session.heard_at = clock::now();
        session.height = keepalive.height;
        if answers == Answers::None {
            return Some(None);
        }
        session.challenge = session.challenge.wrapping_add(1);
        session.sequence += 1;
        let answer = MasterKeepaliveAnswer { challenge: session.challenge, ..Default::default() };
        let sealing = &session.keys.sealing;
        Some(Some(sealing.seal(&Packet::from(answer), NodeId::AUTHORITY, header.session, session.sequence)))
    }
}
