//! Sessions over datagrams: handshake with retries, cookie under load, anti-replay, rekey.

use super::allowance::{self, Allowance};
use super::{DatagramEvent, Identity, PROOF, Party, Peer, Turn, agrees};
use crate::deadlines::Deadlines;
use crate::discard::Discard;
use crate::held::Held;
use crate::io::Output;
use crate::numbered::Numbered;
use crate::outbox::Outbox;
use crate::random::Random;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use core::net::SocketAddr;
use duohuo_wire::handshake::{self, Initiation, Initiator, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Cookie, HandshakeInit, HandshakeResponse, Packet};
use duohuo_wire::roster::Roster;
use duohuo_wire::seal::{OpenError, OpeningKey, ReplayWindow, SealingKey};
use duohuo_wire::secret::Secret;
use duohuo_wire::versions::{Agreement, Versions};
use std::collections::BTreeMap;

/// First wait for a handshake's answer; doubled up to `RETRY_MAX`.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);
/// So long an initiator has to prove a session, before its proof counts as lost (W-HSK-14).
const PROOF_INTERVAL: Duration = Duration::from_secs(1);
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
    /// What we say to the party goes by this one.
    is_current: bool,
    version: u8,
    /// What each side stated: the proof must say the same.
    agreement: Agreement,
}

struct Attempt {
    peer: Peer,
    initiator: Option<Initiator>,
    session: u64,
    /// The cookie is bound to the first message's ephemeral key: the repetition with it uses the same, at the same
    /// timestamp.
    ephemeral: Secret,
    timestamp: [u8; 12],
    cookie: Option<[u8; 16]>,
    retry_interval: Duration,
}

/// What is to be done at a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    /// Repeat an attempt that was not answered.
    Retry(Party),
    /// Begin another session with a party: the one that we opened is worn, or the one that it opened stays unproven.
    Rekey(Party),
    /// This session is over.
    End(u64),
}

pub(super) struct DatagramSessions {
    /// By the session number that we chose. Boxed: a key stays where it is until it is wiped.
    sessions: Numbered<u64, Box<Session>>,
    /// Those of each party.
    of_party: BTreeMap<Party, Vec<u64>>,
    /// Which session we send on.
    current: BTreeMap<Party, u64>,
    /// Who spoke last, and which session we send to it on: who speaks is mostly answered.
    spoke: Option<(Party, u64)>,
    attempts: BTreeMap<Party, Attempt>,
    deadlines: Deadlines<Due>,
    last_timestamps: BTreeMap<NodeId, [u8; 12]>,
    cookie_secret: Secret,
    cookie_secret_before: Secret,
    cookie_rotates_at: Option<Instant>,
    /// Who can have a session, and what its address took of its allowance.
    addresses: BTreeMap<SocketAddr, Allowance>,
    unproved: Allowance,
}

impl DatagramSessions {
    pub(super) fn new(cookie_secret: [u8; 32], roster: &Roster) -> Self {
        Self {
            sessions: Numbered::default(),
            of_party: BTreeMap::new(),
            current: BTreeMap::new(),
            spoke: None,
            attempts: BTreeMap::new(),
            deadlines: Deadlines::default(),
            last_timestamps: BTreeMap::new(),
            cookie_secret: cookie_secret.into(),
            cookie_secret_before: cookie_secret.into(),
            cookie_rotates_at: None,
            addresses: allowance::by_address(roster),
            unproved: Allowance::default(),
        }
    }

    pub(super) fn has(&self, party: Party) -> bool {
        self.current.contains_key(&party)
    }

    pub(super) fn open(&mut self, turn: &mut Turn<'_>, identity: &mut Identity, peer: Peer) {
        self.attempt(turn, identity, peer, RETRY_FIRST);
    }

    fn attempt(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &mut Identity,
        peer: Peer,
        retry_interval: Duration,
    ) {
        if let Some(attempt) = begin(turn, identity, peer, retry_interval) {
            self.attempts.insert(peer.party, attempt);
            self.deadlines.set(Due::Retry(peer.party), turn.now + retry_interval);
        }
    }

    /// A roster is in force: sessions and attempts of such parties end.
    pub(super) fn succeed(&mut self, roster: &Roster, is_withdrawn: impl Fn(Party) -> bool) {
        self.addresses = allowance::by_address(roster);
        let over: Vec<u64> =
            self.sessions.ascending().filter(|(_, s)| is_withdrawn(s.party)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.remove(id));
        let over: Vec<Party> = self.attempts.keys().copied().filter(|party| is_withdrawn(*party)).collect();
        for party in over {
            self.attempts.remove(&party);
            self.deadlines.clear(Due::Retry(party));
        }
    }

    fn insert(&mut self, id: u64, session: Session) {
        self.of_party.entry(session.party).or_default().push(id);
        // one nanosecond more: it is good up to and at its age
        let over_at = session.established_at + REJECT_INTERVAL + Duration::from_nanos(1);
        self.deadlines.set(Due::End(id), over_at);
        self.sessions.insert(id, Box::new(session));
    }

    fn remove(&mut self, id: u64) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.deadlines.clear(Due::End(id));
        let party = session.party;
        if let Some(ids) = self.of_party.get_mut(&party) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of_party.remove(&party);
            }
        }
        if self.current.get(&party) == Some(&id) {
            self.current.remove(&party);
            self.deadlines.clear(Due::Rekey(party));
        }
        self.spoke = None;
    }

    pub(super) fn send(&mut self, me: NodeId, party: Party, packet: &Packet, out: &mut Outbox) -> bool {
        let id = match self.spoke {
            Some((who, id)) if who == party => Some(id),
            _ => self.current.get(&party).copied(),
        };
        let Some(session) = id.and_then(|id| self.sessions.get_mut(&id)) else {
            return false;
        };
        if session.next_sequence >= KEY_PACKETS {
            return false;
        }
        let bytes = session.sealing.seal(packet, me, session.remote_session, session.next_sequence);
        session.next_sequence += 1;
        if session.next_sequence == REKEY_PACKETS && session.initiated_here {
            self.deadlines.set(Due::Rekey(party), Instant::ZERO);
        }
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
            return self.receive_sealed(turn, identity.versions, from, &header, bytes);
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
        ours: Versions,
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
        let first = (!session.initiated_here).then_some(&packet);
        if !agrees(session.agreement, session.version, ours, first, session.proven) {
            // A proof that says something else: the ranges were changed on the way.
            if is_proof(&packet) {
                self.remove(header.session);
            } else {
                // Its proof was lost, and who knows only version 1 sends it once (W-VER-6).
                let party = session.party;
                self.deadlines.set(Due::Rekey(party), Instant::ZERO);
            }
            return Err(Discard::BadHandshake);
        }
        session.window.commit(header.sequence);
        let party = session.party;
        if session.is_current {
            self.spoke = Some((party, header.session));
        } else if !session.proven {
            session.proven = true;
            self.make_current(party, header.session);
        }
        match packet {
            packet if is_proof(&packet) => Ok(DatagramEvent::Nothing),
            packet if packet.packet_type().travels_over(Transport::Datagram) => {
                Ok(DatagramEvent::Packet(party, packet))
            }
            _ => Err(Discard::Forbidden),
        }
    }

    /// The first sealed packet of an initiator proves that it holds the key: only now do we use the session.
    fn make_current(&mut self, party: Party, session: u64) {
        self.spoke = None;
        let before = self.current.insert(party, session);
        if let Some(before) = before.and_then(|id| self.sessions.get_mut(&id)) {
            before.is_current = false;
        }
        let current = self.sessions.get_mut(&session);
        let rekey_at = current.and_then(|current| {
            current.is_current = true;
            current.initiated_here.then_some(current.established_at + REKEY_INTERVAL)
        });
        match rekey_at {
            Some(at) => self.deadlines.set(Due::Rekey(party), at),
            None => self.deadlines.clear(Due::Rekey(party)),
        }
        // Older sessions of the party stay for packets under way, but no more than two.
        let ids = self.of_party.get(&party).into_iter().flatten();
        let mut of_party: Vec<(Instant, u64)> =
            ids.filter_map(|id| Some((self.sessions.get(id)?.established_at, *id))).collect();
        of_party.sort_unstable();
        let surplus = of_party.len().saturating_sub(2);
        for (_, id) in of_party.into_iter().take(surplus) {
            if id != session {
                self.remove(id);
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
        let opened = handshake::open(&identity.secret, &prologue, init, turn.random.key())
            .map_err(|error| Discard::handshake(error, NodeId(0)))?;
        let (party, address) = *identity.parties.get(&opened.remote_public).ok_or(Discard::UnknownKey)?;
        if address != Some(from) {
            return Err(Discard::WrongAddress);
        }
        // With a cookie a timestamp may be old, and a copy is known by its session alone: it must not take the place of the
        // one that its initiator is about to use.
        let is_of =
            |id: &u64| self.sessions.get(id).is_some_and(|s| s.remote_session == init.initiator_session);
        if self.of_party.get(&party).into_iter().flatten().any(is_of) {
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
        let accepted = opened
            .answer(identity.versions, session, identity.me)
            .map_err(|error| Discard::handshake(error, party.id()))?;
        #[cfg(feature = "key-log")]
        turn.out.keys(&accepted.keys, session, init.initiator_session);
        // A party that restarts its handshake leaves its unproven one behind: one at a time.
        let is_unproven = |id: &u64| self.sessions.get(id).is_some_and(|s| !s.proven);
        let unproven: Vec<u64> =
            self.of_party.get(&party).into_iter().flatten().copied().filter(is_unproven).collect();
        unproven.into_iter().for_each(|id| self.remove(id));
        self.insert(
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
                is_current: false,
                version: accepted.keys.version,
                agreement: accepted.keys.agreement,
            },
        );
        // The proof is sent once, and who has nothing to say says nothing else: it would never hear us again.
        self.deadlines.set(Due::Rekey(party), turn.now + PROOF_INTERVAL);
        let answer = Packet::from(accepted.response).encode_unsealed(identity.me).freeze();
        turn.out.push(Output::Datagram { to: from, bytes: answer });
        Ok(DatagramEvent::Nothing)
    }

    fn renew_cookie_secret(&mut self, turn: &mut Turn<'_>) {
        if self.cookie_rotates_at.is_none_or(|at| turn.now >= at) {
            let fresh = turn.random.key().into();
            self.cookie_secret_before = core::mem::replace(&mut self.cookie_secret, fresh);
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
        let proves = |secret: &Secret| handshake::check_mac2(&handshake::cookie(secret, &from, init), bytes);
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
        let keys = initiator.try_finish(response).map_err(|error| Discard::handshake(error, party.id()))?;
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
            is_current: false,
            version: keys.version,
            agreement: keys.agreement,
        };
        let id = attempt.session;
        self.attempts.remove(&party);
        self.deadlines.clear(Due::Retry(party));
        self.insert(id, session);
        self.make_current(party, id);
        let proof = Packet::from(keys.agreement.proof());
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
        attempt.cookie = Some(cookie.cookie);
        self.deadlines.set(Due::Retry(attempt.peer.party), turn.now + attempt.retry_interval);
        attempt.send(identity, turn.out).ok_or(Discard::BadHandshake)?;
        Ok(DatagramEvent::Nothing)
    }

    /// What is due by now. The parties whose session we opened and that is to be replaced.
    pub(super) fn tick(&mut self, turn: &mut Turn<'_>, identity: &mut Identity) -> Vec<Party> {
        let mut worn = Vec::new();
        while let Some(due) = self.deadlines.pop_due(turn.now) {
            match due {
                Due::Retry(party) => {
                    if let Some(before) = self.attempts.get(&party) {
                        let interval = (before.retry_interval * 2).min(RETRY_MAX);
                        self.attempt(turn, identity, before.peer, interval);
                    }
                }
                // one that is under way will replace it
                Due::Rekey(party) if self.attempts.contains_key(&party) => {}
                Due::Rekey(party) => worn.push(party),
                Due::End(id) => self.remove(id),
            }
        }
        worn
    }

    /// What the session that we send on speaks, of each party.
    pub(super) fn versions(&self) -> impl Iterator<Item = (NodeId, u8)> + '_ {
        let version = |id| self.sessions.get(id).map(|session| session.version);
        self.current.iter().filter_map(move |(party, id)| Some((party.id(), version(id)?)))
    }

    pub(super) fn held(&self) -> Held {
        let entries = self.sessions.len() + self.attempts.len() + self.last_timestamps.len();
        Held::entries("datagram sessions", entries)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

fn is_proof(packet: &Packet) -> bool {
    matches!(packet, Packet::Probe(probe) if probe.nonce == PROOF)
}

fn fresh_session(sessions: &Numbered<u64, Box<Session>>, random: &mut Random) -> u64 {
    loop {
        let id = random.u64();
        if id != 0 && !sessions.contains(&id) {
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
        ephemeral: turn.random.key().into(),
        timestamp: identity.timestamp(turn.now),
        cookie: None,
        retry_interval,
    };
    attempt.send(identity, turn.out)?;
    Some(attempt)
}

impl Attempt {
    /// Send the first message, with the cookie if there is one. `None`: the peer's key is unusable.
    fn send(&mut self, identity: &Identity, out: &mut Outbox) -> Option<()> {
        let prologue = identity.prologue(Transport::Datagram);
        let (initiator, init) = Initiation {
            local: &identity.secret,
            remote_public: &self.peer.key,
            prologue: &prologue,
            ephemeral: *self.ephemeral,
            timestamp: self.timestamp,
            session: self.session,
            cookie: self.cookie,
            sender: identity.me,
            versions: Some(identity.versions),
        }
        .begin()
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
    use duohuo_wire::packet::Probe;

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
        let (mut initiator, init) = Initiation {
            local: &[1; 32],
            remote_public: &public,
            prologue: &prologue,
            ephemeral: [4; 32],
            timestamp: [5; 12],
            session: 7,
            cookie: None,
            sender: NodeId(7),
            versions: None,
        }
        .begin()
        .unwrap();
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
            is_current: false,
            version: keys.version,
            agreement: keys.agreement,
        };
        sessions.insert(7, session);
        sessions.make_current(PARTY, 7);
        sessions
    }

    /// W-SEAL-1: renewed by age or by use, whichever comes first, and used up at 2^28.
    #[test]
    fn a_key_is_renewed_after_300_s_or_2_to_the_27_packets_and_seals_no_more_than_2_to_the_28() {
        let due = |sessions: &mut DatagramSessions, s| {
            sessions.deadlines.pop_due(Instant::ZERO + Duration::from_secs(s))
        };
        let probe = Packet::from(Probe::default());
        let mut aged = with_sequence(0);
        assert_eq!((due(&mut aged, 299), due(&mut aged, 300)), (None, Some(Due::Rekey(PARTY))));
        let mut used = with_sequence(134_217_726);
        used.send(NodeId(7), PARTY, &probe, &mut Outbox::default());
        assert_eq!(due(&mut used, 0), None);
        used.send(NodeId(7), PARTY, &probe, &mut Outbox::default());
        assert_eq!(due(&mut used, 0), Some(Due::Rekey(PARTY)));
        let mut out = Outbox::default();
        let mut sends = |sequence| with_sequence(sequence).send(NodeId(7), PARTY, &probe, &mut out);
        assert!(sends(268_435_455) && !sends(268_435_456));
    }
}
