//! Sessions over streams: the dialler is the initiator; packets follow each other in strict sequence.

use super::allowance::StreamAllowances;
use super::{Identity, PROOF, Party, Peer, Turn, agrees};
use crate::discard::Discard;
use crate::held::Held;
use crate::io::{Output, StreamId};
use crate::outbox::Outbox;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use core::net::IpAddr;
use duohuo_wire::handshake::{self, Initiation, Initiator, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::header::{MAX_FRAME, MAX_HANDSHAKE_FRAME};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Packet;
use duohuo_wire::roster::Roster;
use duohuo_wire::seal::{OpenError, OpeningKey, SealingKey};
use duohuo_wire::stream::FrameReader;
use duohuo_wire::versions::{Agreement, Versions};
use std::collections::{BTreeMap, BTreeSet};

/// A stream this old is replaced by its dialler with a new one: often enough that a key that leaks opens a day, seldom enough
/// that the hiccup of a new stream does not matter.
const RENEW_INTERVAL: Duration = Duration::from_secs(86_400);
/// And one on which so many packets went either way.
const RENEW_PACKETS: u64 = 1 << 27;
/// After a dial that was to replace a stream, the next one for the same stream.
const RENEW_RETRY: Duration = Duration::from_secs(60);
/// A key seals no more than this (W-SEAL-1); its stream is closed.
const KEY_PACKETS: u64 = 1 << 28;

/// What came of a stream's bytes.
#[derive(Debug)]
pub(crate) enum StreamEvent {
    /// The handshake is done: the party is known and the stream usable.
    Established(Party),
    /// A packet.
    Packet(Party, Packet),
    /// A packet we cannot read, inside a proven session: the stream goes on.
    Refused(Party, Discard),
    /// The stream broke a rule and was closed.
    Broken(Option<Party>, Discard),
}

impl StreamEvent {
    /// Who said what is in it; `None`: nobody, or it is not known.
    pub(crate) const fn party(&self) -> Option<Party> {
        match self {
            Self::Established(_) => None,
            Self::Packet(party, _) | Self::Refused(party, _) => Some(*party),
            Self::Broken(party, _) => *party,
        }
    }
}

struct Session {
    party: Party,
    sealing: SealingKey,
    opening: OpeningKey,
    remote_session: u64,
    local_session: u64,
    next_sent: u64,
    next_received: u64,
    /// If we dialled: when to dial anew.
    renew_at: Option<Instant>,
    /// A first message can be replayed; a sealed packet cannot. Until one came, an accepted stream is nobody's.
    proven: bool,
    version: u8,
    agreement: Agreement,
}

impl Session {
    /// So many packets went one way: at the bound the dialler has something to do.
    const fn wear(&mut self, count: u64) {
        if count == RENEW_PACKETS && self.renew_at.is_some() {
            self.renew_at = Some(Instant::ZERO);
        }
    }
}

enum State {
    /// We asked the caller to dial.
    Dialling {
        key: [u8; 32],
    },
    /// We sent the first message.
    Initiated {
        initiator: Box<Initiator>,
        session: u64,
    },
    /// A peer dialled us and owes the first message.
    Accepted {
        from: IpAddr,
    },
    Established(Box<Session>),
}

struct Stream {
    /// Known from the start if we dialled.
    party: Option<Party>,
    state: State,
    reader: FrameReader,
    /// Until when the handshake must be done.
    deadline_at: Option<Instant>,
}

/// Accepted streams of addresses that the roster does not name whose handshake is not done: what is left of the process's
/// bound is for members and for clients that proved who they are.
const STRANGERS: usize = 256;
/// That one client may have; who opens another loses the oldest.
const CLIENT_STREAMS: usize = 8;

impl Stream {
    fn deadlines(&self) -> [Option<Instant>; 2] {
        let renew_at = match &self.state {
            State::Established(session) => session.renew_at,
            _ => None,
        };
        [self.deadline_at, renew_at]
    }
}

pub(super) struct Streams {
    streams: BTreeMap<StreamId, Stream>,
    /// The newest established stream of each party.
    current: BTreeMap<Party, StreamId>,
    next_id: u64,
    deadline: Duration,
    allowances: StreamAllowances,
    /// Of no address of the roster, and nobody's yet: oldest first.
    strangers: BTreeSet<StreamId>,
    /// Counts what a deadline or the choice of a stream may depend on.
    changes: u64,
}

impl Streams {
    pub(super) fn new(deadline: Duration, roster: &Roster) -> Self {
        Self {
            streams: BTreeMap::new(),
            current: BTreeMap::new(),
            next_id: 1,
            deadline,
            allowances: StreamAllowances::of(roster),
            strangers: BTreeSet::new(),
            changes: 0,
        }
    }

    /// Grows with each stream that begins, is proven, or ends, and with each deadline that moves.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn dial(&mut self, turn: &mut Turn<'_>, peer: Peer) -> StreamId {
        let stream = StreamId(self.next_id);
        self.next_id += 2;
        self.insert(turn.now, stream, Some(peer.party), State::Dialling { key: peer.key });
        turn.out.push(Output::Dial { stream, to: peer.address });
        stream
    }

    /// One too many of those that are nobody's yet: the oldest had the longest time to say who it is.
    pub(super) fn accepted(
        &mut self,
        now: Instant,
        stream: StreamId,
        from: IpAddr,
        out: &mut Outbox,
    ) -> Result<(), Discard> {
        self.insert(now, stream, None, State::Accepted { from });
        if self.allowances.is_of_member(from) {
            return Ok(());
        }
        self.strangers.insert(stream);
        match self.strangers.first().copied() {
            Some(oldest) if self.strangers.len() > STRANGERS => {
                self.close(oldest, out);
                Err(Discard::RateLimited)
            }
            _ => Ok(()),
        }
    }

    fn insert(&mut self, now: Instant, stream: StreamId, party: Option<Party>, state: State) {
        self.changes += 1;
        let reader = FrameReader::new(MAX_HANDSHAKE_FRAME);
        let deadline_at = Some(now + self.deadline);
        self.streams.insert(stream, Stream { party, state, reader, deadline_at });
    }

    pub(super) fn opened(&mut self, turn: &mut Turn<'_>, identity: &mut Identity, stream: StreamId) {
        let Some(entry) = self.streams.get_mut(&stream) else {
            return;
        };
        let State::Dialling { key } = entry.state else {
            return;
        };
        let session = turn.random.u64().max(1);
        let timestamp = identity.timestamp(turn.now);
        let prologue = identity.prologue(Transport::Stream);
        let Ok((initiator, init)) = Initiation {
            local: &identity.secret,
            remote_public: &key,
            prologue: &prologue,
            ephemeral: turn.random.key(),
            timestamp,
            session,
            cookie: None,
            sender: identity.me,
            versions: Some(identity.versions),
        }
        .begin() else {
            return; // the roster's key is no key: the deadline closes the stream
        };
        entry.state = State::Initiated { initiator: Box::new(initiator), session };
        turn.out.push(Output::StreamBytes {
            stream,
            bytes: Packet::from(init).encode_unsealed(identity.me).freeze(),
        });
    }

    pub(super) fn bytes(
        &mut self,
        turn: &mut Turn<'_>,
        identity: &Identity,
        stream: StreamId,
        bytes: &Bytes,
    ) -> Vec<StreamEvent> {
        let mut events = Vec::new();
        let Some(entry) = self.streams.get_mut(&stream) else {
            return events;
        };
        entry.reader.push(bytes);
        loop {
            let Some(entry) = self.streams.get_mut(&stream) else {
                return events;
            };
            let step = match entry.reader.next() {
                Ok(None) => return events,
                Ok(Some(frame)) => {
                    let before = (entry.deadlines(), entry.party);
                    let step = step(entry, &mut self.allowances, turn, identity, stream, &frame);
                    self.changes += u64::from((entry.deadlines(), entry.party) != before);
                    step
                }
                Err(error) => Err(Discard::Decode(error)),
            };
            match step {
                Ok(step) => {
                    for event in step.into_iter().flatten() {
                        if let StreamEvent::Established(party) = event {
                            self.changes += 1;
                            self.strangers.remove(&stream);
                            let newest = self.current.insert(party, stream);
                            let old = match party {
                                // One person looks from several windows.
                                Party::Client(_) => self.one_too_many(party),
                                // A newer stream replaces the older one, of which nothing more is heard.
                                _ => newest.filter(|old| *old != stream),
                            };
                            if let Some(old) = old {
                                self.close(old, turn.out);
                            }
                        }
                        events.push(event);
                    }
                }
                Err(why) => {
                    let party = self.close(stream, turn.out);
                    events.push(StreamEvent::Broken(party, why));
                    return events;
                }
            }
        }
    }

    /// The oldest stream of a client that has more than it may.
    fn one_too_many(&self, client: Party) -> Option<StreamId> {
        let named = |s: &Stream| s.party == Some(client) && matches!(s.state, State::Established(_));
        let mut ids = self.streams.iter().filter(|(_, s)| named(s)).map(|(id, _)| *id);
        let oldest = ids.next();
        (1 + ids.count() > CLIENT_STREAMS).then_some(oldest).flatten()
    }

    pub(super) fn send(&mut self, me: NodeId, stream: StreamId, packet: &Packet, out: &mut Outbox) -> bool {
        let Some(Stream { state: State::Established(session), .. }) = self.streams.get_mut(&stream) else {
            return false;
        };
        if session.next_sent >= KEY_PACKETS {
            return false;
        }
        let bytes = session.sealing.seal(packet, me, session.remote_session, session.next_sent);
        session.next_sent += 1;
        session.wear(session.next_sent);
        self.changes += u64::from(session.next_sent == RENEW_PACKETS || session.next_sent == KEY_PACKETS);
        out.push(Output::StreamBytes { stream, bytes });
        true
    }

    pub(super) fn of(&self, party: Party) -> Option<StreamId> {
        self.current.get(&party).copied()
    }

    pub(super) fn is_dialling(&self, party: Party) -> bool {
        self.streams.values().any(|s| s.party == Some(party))
    }

    pub(super) fn parties(&self) -> Vec<Party> {
        self.current.keys().copied().collect()
    }

    /// The stream is gone. The party whose *current* stream it was: a stream that was replaced is nobody's news.
    pub(super) fn closed(&mut self, stream: StreamId) -> Option<Party> {
        let closed = self.streams.remove(&stream)?;
        self.strangers.remove(&stream);
        self.changes += 1;
        let party = closed.party?;
        if self.current.get(&party) == Some(&stream) {
            self.current.remove(&party);
            return Some(party);
        }
        None
    }

    pub(super) fn close(&mut self, stream: StreamId, out: &mut Outbox) -> Option<Party> {
        if self.streams.contains_key(&stream) {
            out.push(Output::CloseStream { stream });
        }
        self.closed(stream)
    }

    /// A roster is in force: streams of such parties end.
    pub(super) fn succeed(
        &mut self,
        roster: &Roster,
        is_withdrawn: impl Fn(Party) -> bool,
        out: &mut Outbox,
    ) -> Vec<(StreamId, Option<Party>)> {
        self.allowances = StreamAllowances::of(roster);
        let over: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.party.is_some_and(&is_withdrawn))
            .map(|(id, _)| *id)
            .collect();
        over.into_iter().map(|id| (id, self.close(id, out))).collect()
    }

    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) -> Vec<(StreamId, Option<Party>)> {
        let is_over = |stream: &Stream| match &stream.state {
            State::Established(session) if session.next_sent >= KEY_PACKETS => true,
            _ => stream.deadline_at.is_some_and(|at| turn.now >= at),
        };
        let over: Vec<StreamId> =
            self.streams.iter().filter(|(_, s)| is_over(s)).map(|(id, _)| *id).collect();
        over.into_iter()
            .map(|id| {
                let named = self.streams.get(&id).and_then(|s| s.party);
                self.close(id, turn.out);
                // A dial that was to replace a stream came to nothing: that one goes on.
                (id, named.filter(|party| !self.current.contains_key(party)))
            })
            .collect()
    }

    /// Parties whose stream we dialled and that is to be replaced: by age, or by use. Each is named once, and again after a
    /// while if the dial came to nothing.
    pub(super) fn take_due_for_renewal(&mut self, now: Instant) -> Vec<Party> {
        let mut due = Vec::new();
        for (party, id) in &self.current {
            let Some(Stream { state: State::Established(session), .. }) = self.streams.get_mut(id) else {
                continue;
            };
            if session.renew_at.is_some_and(|at| now >= at) {
                session.renew_at = Some(now + RENEW_RETRY);
                self.changes += 1;
                due.push(*party);
            }
        }
        due
    }

    /// What the newest stream of each party speaks.
    pub(super) fn versions(&self) -> impl Iterator<Item = (NodeId, u8)> + '_ {
        self.current.iter().filter_map(|(party, id)| match &self.streams.get(id)?.state {
            State::Established(session) => Some((party.id(), session.version)),
            _ => None,
        })
    }

    pub(super) fn held(&self) -> Held {
        let bytes = self.streams.values().map(|stream| stream.reader.buffered()).sum();
        Held { name: "streams", entries: self.streams.len(), bytes }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.streams.values().flat_map(Stream::deadlines).flatten().min()
    }
}

/// One frame of a stream.
fn step(
    entry: &mut Stream,
    allowances: &mut StreamAllowances,
    turn: &mut Turn<'_>,
    identity: &Identity,
    stream: StreamId,
    frame: &Bytes,
) -> Result<[Option<StreamEvent>; 2], Discard> {
    let header = Header::decode(frame).map_err(Discard::Decode)?;
    if let State::Established(session) = &mut entry.state {
        let was_proven = session.proven;
        let events = receive_sealed(session, identity.versions, &header, frame)?;
        if !was_proven {
            entry.reader.set_limit(MAX_FRAME);
            entry.deadline_at = None;
        }
        return Ok(events);
    }
    if header.is_sealed() {
        // Nothing is sealed before there is a session (W-RCV-1).
        return Err(Discard::UnknownSession);
    }
    let (_, packet) = Packet::decode_unsealed(frame).map_err(Discard::Decode)?;
    if !handshake::check_mac1(&identity.public, frame) {
        return Err(Discard::BadMac);
    }
    let session = match (&mut entry.state, packet) {
        (State::Accepted { from }, Packet::HandshakeInit(init)) => {
            if !allowances.take(turn.now, *from) {
                return Err(Discard::RateLimited);
            }
            let prologue = identity.prologue(Transport::Stream);
            let opened = handshake::open(&identity.secret, &prologue, &init, turn.random.key())
                .map_err(|error| Discard::handshake(error, NodeId(0)))?;
            // A replayed first message gets this far and no further: it cannot prove the keys in a sealed packet.
            let (party, _) = *identity.parties.get(&opened.remote_public).ok_or(Discard::UnknownKey)?;
            let local_session = turn.random.u64().max(1);
            let accepted = opened
                .answer(identity.versions, local_session, identity.me)
                .map_err(|error| Discard::handshake(error, party.id()))?;
            #[cfg(feature = "key-log")]
            turn.out.keys(&accepted.keys, local_session, init.initiator_session);
            let bytes = Packet::from(accepted.response).encode_unsealed(identity.me).freeze();
            turn.out.push(Output::StreamBytes { stream, bytes });
            session(party, accepted.keys, init.initiator_session, local_session, false)
        }
        (State::Initiated { initiator, session: local_session }, Packet::HandshakeResponse(response)) => {
            let party = entry.party.ok_or(Discard::Unexpected)?;
            if response.initiator_session != *local_session {
                return Err(Discard::UnknownSession);
            }
            let keys =
                initiator.try_finish(&response).map_err(|error| Discard::handshake(error, party.id()))?;
            #[cfg(feature = "key-log")]
            turn.out.keys(&keys, *local_session, response.responder_session);
            let mut session = session(party, keys, response.responder_session, *local_session, true);
            // Prove the keys at once: the responder believes nobody before.
            let proof = Packet::from(session.agreement.proof());
            let bytes = session.sealing.seal(&proof, identity.me, session.remote_session, 0);
            session.next_sent = 1;
            session.renew_at = Some(turn.now + RENEW_INTERVAL);
            turn.out.push(Output::StreamBytes { stream, bytes });
            session
        }
        _ => return Err(Discard::Unexpected),
    };
    let (party, proven) = (session.party, session.proven);
    entry.party = Some(party);
    entry.state = State::Established(Box::new(session));
    if !proven {
        return Ok([None, None]);
    }
    entry.reader.set_limit(MAX_FRAME);
    entry.deadline_at = None;
    Ok([Some(StreamEvent::Established(party)), None])
}

fn session(
    party: Party,
    keys: handshake::Keys,
    remote_session: u64,
    local_session: u64,
    proven: bool,
) -> Session {
    Session {
        party,
        version: keys.version,
        agreement: keys.agreement,
        sealing: keys.sealing,
        opening: keys.opening,
        remote_session,
        local_session,
        next_sent: 0,
        next_received: 0,
        renew_at: None,
        proven,
    }
}

fn receive_sealed(
    session: &mut Session,
    ours: Versions,
    header: &Header,
    frame: &Bytes,
) -> Result<[Option<StreamEvent>; 2], Discard> {
    if !header.is_sealed() || header.session != session.local_session || header.sender != session.party.id() {
        return Err(Discard::UnknownSession);
    }
    if header.sequence != session.next_received {
        return Err(Discard::OutOfSequence);
    }
    let opened = match session.opening.open(header, frame) {
        Err(OpenError::Forged) => return Err(Discard::Forged),
        Err(OpenError::Decode(error)) => Err(error),
        Ok(packet) => Ok(packet),
    };
    let dialled_here = session.renew_at.is_some();
    let first = opened.as_ref().ok().filter(|_| !dialled_here);
    if !agrees(session.agreement, session.version, ours, first, session.proven) {
        return Err(Discard::BadHandshake);
    }
    let event = match opened {
        Ok(Packet::Probe(probe)) if probe.nonce == PROOF => None,
        Ok(packet) if packet.packet_type().travels_over(Transport::Stream) => {
            Some(StreamEvent::Packet(session.party, packet))
        }
        Ok(_) => Some(StreamEvent::Refused(session.party, Discard::Forbidden)),
        Err(error) => Some(StreamEvent::Refused(session.party, Discard::Decode(error))),
    };
    session.next_received += 1;
    session.wear(session.next_received);
    let established = (!session.proven).then_some(StreamEvent::Established(session.party));
    session.proven = true;
    Ok([established, event])
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
