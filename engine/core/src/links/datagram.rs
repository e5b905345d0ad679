//! Sessions over datagrams: handshake with retries, cookie under load, anti-replay, rekey.

use super::allowance::{self, Allowance};
use super::{DatagramEvent, Identity, PROOF, Party, Peer, Turn, party_of_key};
use crate::discard::Discard;
use crate::held::Held;
use crate::io::Output;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_wire::handshake::{self, Initiator, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Cookie, HandshakeInit, HandshakeResponse, Packet, Probe};
use duohuo_wire::roster::Roster;
use duohuo_wire::seal::{OpenError, OpeningKey, ReplayWindow, SealingKey};
use std::collections::BTreeMap;

/// First wait for a handshake's answer; doubled up to `RETRY_MAX`.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// A session this old is replaced by a new handshake of its initiator.
const REKEY_INTERVAL: Duration = Duration::from_secs(300);
/// And one that has sealed so many packets.
const REKEY_PACKETS: u64 = 1 << 27;
/// A key seals no more than this (W-SEAL-1).
const KEY_PACKETS: u64 = 1 << 28;
/// A session this old is refused: three times the rekey interval.
const REJECT_INTERVAL: Duration = Duration::from_secs(900);
/// The cookie's secret changes so often; the one before stays valid.
const COOKIE_INTERVAL: Duration = Duration::from_secs(120);

struct Session {
    party: Party,
    address: SocketAddr,
    sealing: SealingKey,
    opening: OpeningKey,
    window: ReplayWindow,
    remote_session: u64,
    next_sequence: u64,
    established_at: Instant,
    initiated_here: bool,
    /// The peer has proved the key: we opened it, or it sent under it.
    proven: bool,
}

impl Session {
    /// Old enough, or used enough, to be replaced.
    fn is_worn(&self, now: Instant) -> bool {
        now - self.established_at >= REKEY_INTERVAL || self.next_sequence >= REKEY_PACKETS
    }
}

struct Attempt {
    peer: Peer,
    initiator: Option<Initiator>,
    session: u64,
    /// The cookie is bound to the first message's ephemeral key: the repetition with it uses the same, at the same
    /// timestamp.
    ephemeral: [u8; 32],
    timestamp: [u8; 12],
    cookie: Option<[u8; 16]>,
    retry_at: Instant,
    retry_interval: Duration,
}

pub(super) struct DatagramSessions {
    /// By the session number that we chose.
    sessions: BTreeMap<u64, Session>,
    /// Which session we send on.
    current: BTreeMap<Party, u64>,
    attempts: BTreeMap<Party, Attempt>,
    last_timestamps: BTreeMap<NodeId, [u8; 12]>,
    cookie_secret: [u8; 32],
    cookie_secret_before: [u8; 32],
    cookie_rotates_at: Option<Instant>,
    /// Who can have a session, and what its address took of its allowance.
    addresses: BTreeMap<SocketAddr, Allowance>,
    unproved: Allowance,
    /// Counts what a deadline may depend on.
    changes: u64,
}

impl DatagramSessions {
    pub(super) fn new(cookie_secret: [u8; 32], roster: &Roster) -> Self {
        Self {
            sessions: BTreeMap::new(),
            current: BTreeMap::new(),
            attempts: BTreeMap::new(),
            last_timestamps: BTreeMap::new(),
            cookie_secret,
            cookie_secret_before: cookie_secret,
            cookie_rotates_at: None,
            addresses: allowance::by_address(roster),
            unproved: Allowance::default(),
            changes: 0,
        }
    }

    /// Grows with each session or attempt that begins, is proven or ends, and with each deadline that moves.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn has(&self, party: Party) -> bool {
        self.current.contains_key(&party)
    }

    pub(super) fn open(&mut self, turn: &mut Turn<'_>, identity: &mut Identity, peer: Peer) {
        self.changes += 1;
        if let Some(attempt) = begin(turn, identity, peer, RETRY_FIRST) {
            self.attempts.insert(peer.party, attempt);
        }
    }

    /// A roster is in force: sessions and attempts of such parties end.
    pub(super) fn succeed(&mut self, roster: &Roster, is_withdrawn: impl Fn(Party) -> bool) {
        self.changes += 1;
        self.addresses = allowance::by_address(roster);
        self.sessions.retain(|_, session| !is_withdrawn(session.party));
        self.current.retain(|party, _| !is_withdrawn(*party));
        self.attempts.retain(|party, _| !is_withdrawn(*party));
    }

    pub(super) fn send(&mut self, me: NodeId, party: Party, packet: &Packet, out: &mut Outbox) -> bool {
        let Some(session) = self.current.get(&party).and_then(|id| self.sessions.get_mut(id)) else {
            return false;
        };
        if session.next_sequence >= KEY_PACKETS {
            return false;
        }
        let bytes = session.sealing.seal(packet, me, session.remote_session, session.next_sequence);
        session.next_sequence += 1;
        self.changes += u64::from(session.next_sequence == REKEY_PACKETS);
        out.push(Output::Datagram { to: session.address, bytes });
        true
    }

    pub(super) fn receive(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &mut Identity,
        from: SocketAddr,
        bytes: &Bytes,
    ) -> Result<DatagramEvent, Discard> {
        let header = Header::decode_datagram(bytes).map_err(Discard::Decode)?;
        if header.is_sealed() {
            return self.receive_sealed(turn, from, &header, bytes);
        }
        match Packet::decode_unsealed(bytes).map_err(Discard::Decode)?.1 {
            Packet::HandshakeInit(init) => self.receive_init(turn, identity, from, bytes, &init),
            Packet::HandshakeResponse(response) => {
                self.receive_response(turn, identity, from, bytes, &response)
            }
            Packet::Cookie(cookie) => self.receive_cookie(turn, identity, from, &cookie),
            _ => Err(Discard::Unexpected),
        }
    }

    fn receive_sealed(
        &mut self,
        turn: &Turn<'_>,
        from: SocketAddr,
        header: &Header,
        bytes: &Bytes,
    ) -> Result<DatagramEvent, Discard> {
        let session = self.sessions.get_mut(&header.session).ok_or(Discard::UnknownSession)?;
        if session.party.id() != header.sender || turn.now - session.established_at > REJECT_INTERVAL {
            return Err(Discard::UnknownSession);
        }
        if !session.window.check(header.sequence) {
            return Err(Discard::Replayed);
        }
        let packet = session.opening.open(header, bytes).map_err(|error| match error {
            OpenError::Forged => Discard::Forged,
            OpenError::Decode(error) => Discard::Decode(error),
        })?;
        if session.address != from {
            return Err(Discard::WrongAddress);
        }
        session.window.commit(header.sequence);
        let party = session.party;
        if !is_enrolled(turn.roster, party) {
            return Err(Discard::UnknownKey);
        }
        if !session.proven {
            session.proven = true;
            self.make_current(party, header.session);
        }
        match packet {
            Packet::Probe(probe) if probe.nonce == PROOF => Ok(DatagramEvent::Nothing),
            packet if packet.packet_type().travels_over(Transport::Datagram) => {
                Ok(DatagramEvent::Packet(party, packet))
            }
            _ => Err(Discard::Forbidden),
        }
    }

    /// The first sealed packet of an initiator proves that it holds the key: only now do we use the session.
    fn make_current(&mut self, party: Party, session: u64) {
        self.changes += 1;
        self.current.insert(party, session);
        // Older sessions of the party stay for packets under way, but no more than two.
        let mut of_party: Vec<(Instant, u64)> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.party == party)
            .map(|(id, s)| (s.established_at, *id))
            .collect();
        of_party.sort_unstable();
        let surplus = of_party.len().saturating_sub(2);
        for (_, id) in of_party.into_iter().take(surplus) {
            if id != session {
                self.sessions.remove(&id);
            }
        }
    }

    fn receive_init(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
        from: SocketAddr,
        bytes: &Bytes,
        init: &HandshakeInit,
    ) -> Result<DatagramEvent, Discard> {
        if !handshake::check_mac1(&identity.public, bytes) {
            return Err(Discard::BadMac);
        }
        // Nobody at this address can have a session: no key operation is owed.
        if !self.addresses.contains_key(&from) {
            return Err(Discard::WrongAddress);
        }
        self.renew_cookie_secret(turn);
        let has_cookie = self.has_cookie(from, bytes, init);
        self.take_allowance(turn, identity, from, init, has_cookie)?;
        let prologue = identity.prologue(Transport::Datagram);
        let opened = handshake::open(&identity.secret, &prologue, init, turn.random.key())?;
        let (party, address) = party_of_key(turn.roster, &opened.remote_public).ok_or(Discard::UnknownKey)?;
        if address != Some(from) {
            return Err(Discard::WrongAddress);
        }
        // With a cookie a timestamp may be old, and a copy is known by its session alone: it must not take the place of the
        // one that its initiator is about to use.
        let is_of = |s: &Session| s.party == party && s.remote_session == init.initiator_session;
        if self.sessions.values().any(is_of) {
            return Err(Discard::OldHandshake);
        }
        let last = self.last_timestamps.get(&party.id()).copied().unwrap_or_default();
        if opened.timestamp <= last {
            // A repetition of what came long ago, or a party whose wall clock went back: that one is there to answer.
            if opened.timestamp == last || !has_cookie {
                if opened.timestamp < last {
                    self.send_cookie(turn, identity, from, init);
                }
                return Err(Discard::OldHandshake);
            }
        } else {
            self.last_timestamps.insert(party.id(), opened.timestamp);
        }
        let session = fresh_session(&self.sessions, turn.random);
        let accepted = opened.answer(session, identity.me)?;
        #[cfg(feature = "key-log")]
        turn.out.keys(&accepted.keys, session, init.initiator_session);
        self.changes += 1;
        // A party that restarts its handshake leaves its unproven one behind: one at a time.
        self.sessions.retain(|_, s| s.party != party || s.proven);
        self.sessions.insert(
            session,
            Session {
                party,
                address: from,
                sealing: accepted.keys.sealing,
                opening: accepted.keys.opening,
                window: ReplayWindow::default(),
                remote_session: init.initiator_session,
                next_sequence: 0,
                established_at: turn.now,
                initiated_here: false,
                proven: false,
            },
        );
        let answer = Packet::from(accepted.response).encode_unsealed(identity.me).freeze();
        turn.out.push(Output::Datagram { to: from, bytes: answer });
        Ok(DatagramEvent::Nothing)
    }

    fn renew_cookie_secret(&mut self, turn: &mut Turn<'_>) {
        if self.cookie_rotates_at.is_none_or(|at| turn.now >= at) {
            self.cookie_secret_before = self.cookie_secret;
            self.cookie_secret = turn.random.key();
            self.cookie_rotates_at = Some(turn.now + COOKIE_INTERVAL);
        }
    }

    /// An address that was proved has an allowance of its own, which nobody else can use up; all that were not share one.
    fn take_allowance(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
        from: SocketAddr,
        init: &HandshakeInit,
        has_cookie: bool,
    ) -> Result<(), Discard> {
        let own = if has_cookie { self.addresses.get_mut(&from) } else { None };
        let may = match own {
            Some(own) => own.take(turn.now, allowance::PROVED),
            None => self.unproved.take(turn.now, allowance::UNPROVED),
        };
        if may {
            return Ok(());
        }
        if !has_cookie {
            self.send_cookie(turn, identity, from, init);
        }
        Err(Discard::RateLimited)
    }

    /// Whether an initiation carries the cookie that its address was sent.
    fn has_cookie(&self, from: SocketAddr, bytes: &Bytes, init: &HandshakeInit) -> bool {
        let proves = |secret| handshake::check_mac2(&handshake::cookie(secret, &from, init), bytes);
        proves(&self.cookie_secret) || proves(&self.cookie_secret_before)
    }

    fn send_cookie(&self, turn: &mut Turn<'_>, identity: &Identity, from: SocketAddr, init: &HandshakeInit) {
        let cookie = Cookie {
            initiator_session: init.initiator_session,
            cookie: handshake::cookie(&self.cookie_secret, &from, init),
            ..Default::default()
        };
        let bytes = Packet::from(cookie).encode_unsealed(identity.me).freeze();
        turn.out.push(Output::Datagram { to: from, bytes });
    }

    fn receive_response(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
        from: SocketAddr,
        bytes: &Bytes,
        response: &HandshakeResponse,
    ) -> Result<DatagramEvent, Discard> {
        let party = self
            .attempts
            .iter()
            .find(|(_, a)| a.session == response.initiator_session && a.peer.address == from)
            .map(|(party, _)| *party)
            .ok_or(Discard::UnknownSession)?;
        if !handshake::check_mac1(&identity.public, bytes) {
            return Err(Discard::BadMac);
        }
        let attempt = self.attempts.get_mut(&party).ok_or(Discard::UnknownSession)?;
        // A response that does not open does not end the attempt.
        let initiator = attempt.initiator.as_mut().ok_or(Discard::BadHandshake)?;
        let keys = initiator.try_finish(response).map_err(Discard::from)?;
        #[cfg(feature = "key-log")]
        turn.out.keys(&keys, attempt.session, response.responder_session);
        let session = Session {
            party,
            address: from,
            sealing: keys.sealing,
            opening: keys.opening,
            window: ReplayWindow::default(),
            remote_session: response.responder_session,
            next_sequence: 0,
            established_at: turn.now,
            initiated_here: true,
            proven: true,
        };
        let id = attempt.session;
        self.attempts.remove(&party);
        self.sessions.insert(id, session);
        self.make_current(party, id);
        let proof = Packet::from(Probe { nonce: PROOF, ..Default::default() });
        self.send(identity.me, party, &proof, turn.out);
        Ok(DatagramEvent::Established)
    }

    fn receive_cookie(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
        from: SocketAddr,
        cookie: &Cookie,
    ) -> Result<DatagramEvent, Discard> {
        let attempt = self
            .attempts
            .values_mut()
            .find(|a| a.session == cookie.initiator_session && a.peer.address == from && a.cookie.is_none())
            .ok_or(Discard::UnknownSession)?;
        self.changes += 1;
        attempt.cookie = Some(cookie.cookie);
        attempt.retry_at = turn.now + attempt.retry_interval;
        attempt.send(identity, turn.out).ok_or(Discard::BadHandshake)?;
        Ok(DatagramEvent::Nothing)
    }

    pub(super) fn tick(&mut self, turn: &mut Turn<'_>, identity: &mut Identity) {
        let now = turn.now;
        self.changes += 1;
        let due: Vec<(Peer, Duration)> = self
            .attempts
            .values()
            .filter(|a| now >= a.retry_at)
            .map(|a| (a.peer, a.retry_interval))
            .collect();
        for (peer, before) in due {
            if let Some(again) = begin(turn, identity, peer, (before * 2).min(RETRY_MAX)) {
                self.attempts.insert(peer.party, again);
            }
        }
        self.sessions.retain(|_, s| now - s.established_at <= REJECT_INTERVAL);
        self.current.retain(|_, id| self.sessions.contains_key(id));
    }

    pub(super) fn held(&self) -> Held {
        let entries = self.sessions.len() + self.attempts.len() + self.last_timestamps.len();
        Held::entries("datagram sessions", entries)
    }

    /// Parties whose session we opened and that is old enough to be replaced.
    pub(super) fn due_for_rekey(&self, now: Instant) -> Vec<Party> {
        self.current
            .iter()
            .filter(|(party, id)| {
                !self.attempts.contains_key(party)
                    && self.sessions.get(id).is_some_and(|s| s.initiated_here && s.is_worn(now))
            })
            .map(|(party, _)| *party)
            .collect()
    }

    /// When the oldest session is over: nobody need be woken for it.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        let oldest = self.sessions.values().map(|s| s.established_at).min()?;
        Some(oldest + REJECT_INTERVAL + Duration::from_nanos(1))
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let rekey = self
            .current
            .iter()
            .filter(|(party, _)| !self.attempts.contains_key(party))
            .filter_map(|(_, id)| self.sessions.get(id))
            .filter(|s| s.initiated_here)
            .map(|s| s.established_at + REKEY_INTERVAL);
        self.attempts.values().map(|a| a.retry_at).chain(rekey).min()
    }
}

fn is_enrolled(roster: &Roster, party: Party) -> bool {
    match party {
        Party::Authority => true,
        Party::Node(node) => roster.node(node).is_some(),
        Party::Client(client) => roster.clients.iter().any(|c| c.id == client),
    }
}

fn fresh_session(sessions: &BTreeMap<u64, Session>, random: &mut Random) -> u64 {
    loop {
        let id = random.u64();
        if id != 0 && !sessions.contains_key(&id) {
            return id;
        }
    }
}

fn begin(
    turn: &mut Turn<'_>,
    identity: &mut Identity,
    peer: Peer,
    retry_interval: Duration,
) -> Option<Attempt> {
    let mut attempt = Attempt {
        peer,
        initiator: None,
        session: turn.random.u64().max(1),
        ephemeral: turn.random.key(),
        timestamp: identity.timestamp(turn.now),
        cookie: None,
        retry_at: turn.now + retry_interval,
        retry_interval,
    };
    attempt.send(identity, turn.out)?;
    Some(attempt)
}

impl Attempt {
    /// Send the first message, with the cookie if there is one. `None`: the peer's key is unusable.
    fn send(&mut self, identity: &Identity, out: &mut Outbox) -> Option<()> {
        let prologue = identity.prologue(Transport::Datagram);
        let (initiator, init) = Initiator::start(
            &identity.secret,
            &self.peer.key,
            &prologue,
            self.ephemeral,
            self.timestamp,
            self.session,
            self.cookie,
            identity.me,
        )
        .ok()?;
        self.initiator = Some(initiator);
        let bytes = Packet::from(init).encode_unsealed(identity.me).freeze();
        out.push(Output::Datagram { to: self.peer.address, bytes });
        Some(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use duohuo_wire::handshake::Prologue;

    const PARTY: Party = Party::Authority;

    fn empty_roster() -> Roster {
        Roster {
            consortium: [3; 16],
            version: 1,
            authority: duohuo_wire::roster::Party {
                address: SocketAddr::from(([127, 0, 0, 1], 1)),
                session_key: [0; 32],
                signing_key: [0; 32],
            },
            clusters: vec![],
            clients: vec![],
            signature: [0; 64],
        }
    }

    fn with_sequence(next_sequence: u64) -> DatagramSessions {
        let prologue = Prologue { consortium: [3; 16], transport: Transport::Datagram };
        let public = handshake::public_key(&[2; 32]);
        let (mut initiator, init) =
            Initiator::start(&[1; 32], &public, &prologue, [4; 32], [5; 12], 7, None, NodeId(7)).unwrap();
        let accepted = handshake::respond(&[2; 32], &prologue, &init, [6; 32], 8, NodeId::AUTHORITY).unwrap();
        let keys = initiator.try_finish(&accepted.response).unwrap();
        let mut sessions = DatagramSessions::new([0; 32], &empty_roster());
        let session = Session {
            party: PARTY,
            address: SocketAddr::from(([127, 0, 0, 1], 1)),
            sealing: keys.sealing,
            opening: keys.opening,
            window: ReplayWindow::default(),
            remote_session: 8,
            next_sequence,
            established_at: Instant::ZERO,
            initiated_here: true,
            proven: true,
        };
        sessions.sessions.insert(7, session);
        sessions.current.insert(PARTY, 7);
        sessions
    }

    /// W-SEAL-1: renewed by age or by use, whichever comes first, and used up at 2^28.
    #[test]
    fn a_key_is_renewed_after_300_s_or_2_to_the_27_packets_and_seals_no_more_than_2_to_the_28() {
        let due = |sequence, s| with_sequence(sequence).due_for_rekey(Instant::ZERO + Duration::from_secs(s));
        assert_eq!((due(134_217_727, 299), due(0, 300)), (vec![], vec![PARTY]));
        assert_eq!(due(134_217_728, 0), [PARTY]);
        let mut out = Outbox::default();
        let mut sends = |sequence| {
            with_sequence(sequence).send(NodeId(7), PARTY, &Packet::from(Probe::default()), &mut out)
        };
        assert!(sends(268_435_455) && !sends(268_435_456));
    }
}
