//! Sessions over streams: the dialler is the initiator; packets follow each other in strict sequence.

use super::{Identity, PROOF, Party, Peer, Turn, party_of_key};
use crate::discard::Discard;
use crate::held::Held;
use crate::io::{Output, StreamId};
use crate::outbox::Outbox;
use crate::time::{Duration, Instant};
use bytes::Bytes;
use duohuo_wire::handshake::{self, Initiator, Transport};
use duohuo_wire::header::Header;
use duohuo_wire::header::{MAX_FRAME, MAX_HANDSHAKE_FRAME};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Packet, Probe};
use duohuo_wire::seal::{OpenError, OpeningKey, SealingKey};
use duohuo_wire::stream::FrameReader;
use std::collections::BTreeMap;

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
    Refused(Discard),
    /// The stream broke a rule and was closed.
    Broken(Option<Party>, Discard),
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
    Accepted,
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
    /// Counts what a deadline or the choice of a stream may depend on.
    changes: u64,
}

impl Streams {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { streams: BTreeMap::new(), current: BTreeMap::new(), next_id: 1, deadline, changes: 0 }
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

    pub(super) fn accepted(&mut self, now: Instant, stream: StreamId) {
        self.insert(now, stream, None, State::Accepted);
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
        let Ok((initiator, init)) = Initiator::start(
            &identity.secret,
            &key,
            &prologue,
            turn.random.key(),
            timestamp,
            session,
            None,
            identity.me,
        ) else {
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
                    let step = step(entry, turn, identity, stream, &frame);
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

    /// Streams of such parties end.
    pub(super) fn end(
        &mut self,
        is_withdrawn: impl Fn(Party) -> bool,
        out: &mut Outbox,
    ) -> Vec<(StreamId, Option<Party>)> {
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
    turn: &mut Turn<'_>,
    identity: &Identity,
    stream: StreamId,
    frame: &Bytes,
) -> Result<[Option<StreamEvent>; 2], Discard> {
    let header = Header::decode(frame).map_err(Discard::Decode)?;
    if let State::Established(session) = &mut entry.state {
        let was_proven = session.proven;
        let events = receive_sealed(session, &header, frame)?;
        if !was_proven {
            entry.reader.set_limit(MAX_FRAME);
            entry.deadline_at = None;
        }
        return Ok(events);
    }
    if header.is_sealed() {
        return Err(Discard::Unexpected);
    }
    let (_, packet) = Packet::decode_unsealed(frame).map_err(Discard::Decode)?;
    if !handshake::check_mac1(&identity.public, frame) {
        return Err(Discard::BadMac);
    }
    let session = match (&mut entry.state, packet) {
        (State::Accepted, Packet::HandshakeInit(init)) => {
            let local_session = turn.random.u64().max(1);
            let prologue = identity.prologue(Transport::Stream);
            let accepted = handshake::respond(
                &identity.secret,
                &prologue,
                &init,
                turn.random.key(),
                local_session,
                identity.me,
            )
            .map_err(Discard::from)?;
            // A replayed first message gets this far and no further: it cannot prove the keys in a sealed packet.
            let (party, _) = party_of_key(turn.roster, &accepted.remote_public).ok_or(Discard::UnknownKey)?;
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
            let keys = initiator.try_finish(&response).map_err(Discard::from)?;
            #[cfg(feature = "key-log")]
            turn.out.keys(&keys, *local_session, response.responder_session);
            let mut session = session(party, keys, response.responder_session, *local_session, true);
            // Prove the keys at once: the responder believes nobody before.
            let proof = Packet::from(Probe { nonce: PROOF, ..Default::default() });
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
    header: &Header,
    frame: &Bytes,
) -> Result<[Option<StreamEvent>; 2], Discard> {
    if !header.is_sealed() || header.session != session.local_session || header.sender != session.party.id() {
        return Err(Discard::UnknownSession);
    }
    if header.sequence != session.next_received {
        return Err(Discard::OutOfSequence);
    }
    let event = match session.opening.open(header, frame) {
        Ok(Packet::Probe(probe)) if probe.nonce == PROOF => None,
        Ok(packet) if packet.packet_type().travels_over(Transport::Stream) => {
            Some(StreamEvent::Packet(session.party, packet))
        }
        Ok(_) => Some(StreamEvent::Refused(Discard::Forbidden)),
        Err(OpenError::Forged) => return Err(Discard::Forged),
        Err(OpenError::Decode(error)) => Some(StreamEvent::Refused(Discard::Decode(error))),
    };
    session.next_received += 1;
    session.wear(session.next_received);
    let established = (!session.proven).then_some(StreamEvent::Established(session.party));
    session.proven = true;
    Ok([established, event])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::random::Random;
    use duohuo_wire::roster::{ClientEntry, Party as Entry, Roster};

    const AUTHORITY: Party = Party::Authority;
    const DAY: Duration = Duration::from_secs(86_400);
    const NANOSECOND: Duration = Duration::from_nanos(1);

    struct Side {
        streams: Streams,
        identity: Identity,
        random: Random,
        out: Outbox,
    }

    fn side(me: NodeId, secret: [u8; 32]) -> Side {
        let identity = Identity {
            me,
            secret,
            public: handshake::public_key(&secret),
            consortium: [3; 16],
            unix_at_zero: Duration::ZERO,
            last_timestamp: 0,
        };
        let streams = Streams::new(Duration::from_secs(1));
        Side { streams, identity, random: Random::new(secret), out: Outbox::default() }
    }

    /// A client that dials the authority, and the authority. The authority's number of a stream is the client's and one.
    struct Pair {
        roster: Roster,
        now: Instant,
        client: Side,
        authority: Side,
    }

    impl Pair {
        fn new() -> Self {
            let entry = |secret| Entry {
                address: ([127, 0, 0, 1], 1).into(),
                session_key: handshake::public_key(&secret),
                signing_key: [0; 32],
            };
            let session_key = handshake::public_key(&[1; 32]);
            let client = ClientEntry { id: NodeId(9), name: "c".to_owned(), session_key };
            let roster = Roster {
                consortium: [3; 16],
                version: 1,
                authority: entry([2; 32]),
                clusters: vec![],
                clients: vec![client],
                signature: [0; 64],
            };
            let (client, authority) = (side(NodeId(9), [1; 32]), side(NodeId::AUTHORITY, [2; 32]));
            Self { roster, now: Instant::ZERO, client, authority }
        }

        /// With a stream that stands.
        fn connected() -> Self {
            let mut pair = Self::new();
            pair.dial();
            pair.run(true);
            assert_eq!(pair.client.streams.of(AUTHORITY), Some(StreamId(1)));
            pair
        }

        fn dial(&mut self) {
            let peer = Peer {
                party: AUTHORITY,
                address: self.roster.authority.address,
                key: self.roster.authority.session_key,
            };
            let turn = &mut Turn {
                now: self.now,
                roster: &self.roster,
                random: &mut self.client.random,
                out: &mut self.client.out,
            };
            self.client.streams.dial(turn, peer);
        }

        /// All that is on its way arrives, both ways; what is dialled is answered or not.
        fn run(&mut self, answer: bool) {
            while let Some((to_authority, output)) = self
                .client
                .out
                .pop()
                .map(|output| (true, output))
                .or_else(|| self.authority.out.pop().map(|output| (false, output)))
            {
                let (from, to, step) = if to_authority {
                    (&mut self.client, &mut self.authority, 1)
                } else {
                    (&mut self.authority, &mut self.client, -1)
                };
                let there = |stream: StreamId| StreamId(stream.0.wrapping_add_signed(step));
                match output {
                    Output::Dial { stream, .. } if answer => {
                        to.streams.accepted(self.now, there(stream));
                        let turn = &mut Turn {
                            now: self.now,
                            roster: &self.roster,
                            random: &mut from.random,
                            out: &mut from.out,
                        };
                        from.streams.opened(turn, &mut from.identity, stream);
                    }
                    Output::StreamBytes { stream, bytes } => {
                        let turn = &mut Turn {
                            now: self.now,
                            roster: &self.roster,
                            random: &mut to.random,
                            out: &mut to.out,
                        };
                        to.streams.bytes(turn, &to.identity, there(stream), &bytes);
                    }
                    Output::CloseStream { stream } => {
                        to.streams.closed(there(stream));
                    }
                    _ => {}
                }
            }
        }

        fn session(&mut self) -> &mut Session {
            let stream = self.client.streams.streams.get_mut(&StreamId(1)).unwrap();
            let State::Established(session) = &mut stream.state else { panic!("it stands") };
            session
        }

        fn send(&mut self) -> bool {
            let packet = Packet::from(Probe::default());
            let Side { streams, out, .. } = &mut self.client;
            streams.send(NodeId(9), StreamId(1), &packet, out)
        }

        fn due(&mut self) -> Vec<Party> {
            assert_eq!(self.authority.streams.take_due_for_renewal(self.now), [], "who accepted waits");
            self.client.streams.take_due_for_renewal(self.now)
        }

        fn tick(&mut self) -> Vec<(StreamId, Option<Party>)> {
            let turn = &mut Turn {
                now: self.now,
                roster: &self.roster,
                random: &mut self.client.random,
                out: &mut self.client.out,
            };
            self.client.streams.tick(turn)
        }
    }

    /// W-SEAL-1
    #[test]
    fn a_stream_is_renewed_by_who_dialled_it_after_a_day() {
        let mut pair = Pair::connected();
        assert_eq!(pair.client.streams.poll_timeout(), Some(Instant::ZERO + DAY));
        pair.now = Instant::ZERO + (DAY - NANOSECOND);
        assert_eq!(pair.due(), []);
        pair.now = Instant::ZERO + DAY;
        assert_eq!(pair.due(), [AUTHORITY]);
        pair.dial();
        pair.run(true);
        assert_eq!(pair.client.streams.of(AUTHORITY), Some(StreamId(3)));
        assert_eq!(pair.authority.streams.of(Party::Client(NodeId(9))), Some(StreamId(4)));
        let left = [pair.client.streams.streams.len(), pair.authority.streams.streams.len()];
        assert_eq!(left, [1, 1], "the old one is closed on both sides");
        assert_eq!(pair.due(), []);
        assert_eq!(pair.client.streams.poll_timeout(), Some(Instant::ZERO + DAY * 2));
    }

    /// W-SEAL-1
    #[test]
    fn a_stream_is_renewed_after_2_to_the_27_packets_either_way() {
        let mut pair = Pair::connected();
        pair.session().next_sent = 134_217_726;
        assert!(pair.send());
        assert_eq!(pair.due(), []);
        assert!(pair.send());
        assert_eq!(pair.due(), [AUTHORITY]);
        assert_eq!(pair.due(), [], "the dial is under way");

        let mut pair = Pair::connected();
        for (before, due) in [(134_217_726, vec![]), (134_217_727, vec![AUTHORITY])] {
            pair.session().next_received = before;
            let there = pair.authority.streams.streams.get_mut(&StreamId(2)).unwrap();
            let State::Established(session) = &mut there.state else { panic!("it stands") };
            session.next_sent = before;
            let packet = Packet::from(Probe::default());
            let Side { streams, out, .. } = &mut pair.authority;
            assert!(streams.send(NodeId::AUTHORITY, StreamId(2), &packet, out));
            pair.run(true);
            assert_eq!(pair.due(), due);
        }
    }

    #[test]
    fn a_dial_that_was_to_renew_a_stream_and_failed_is_repeated_and_costs_nobody_the_stream() {
        let mut pair = Pair::connected();
        pair.now = Instant::ZERO + DAY;
        assert_eq!(pair.due(), [AUTHORITY]);
        pair.dial();
        pair.run(false);
        pair.now = pair.now + Duration::from_secs(1);
        assert_eq!(pair.tick(), [(StreamId(3), None)]);
        assert_eq!(pair.client.streams.of(AUTHORITY), Some(StreamId(1)));
        assert!(pair.send());
        pair.now = Instant::ZERO + (DAY + Duration::from_secs(60) - NANOSECOND);
        assert_eq!(pair.due(), []);
        pair.now = pair.now + NANOSECOND;
        assert_eq!(pair.due(), [AUTHORITY]);
    }

    /// W-SEAL-1
    #[test]
    fn a_stream_whose_key_is_used_up_is_closed() {
        let mut pair = Pair::connected();
        pair.session().next_sent = 268_435_455;
        assert!(pair.send());
        assert!(!pair.send(), "2^28 were sealed");
        assert_eq!(pair.tick(), [(StreamId(1), Some(AUTHORITY))]);
        assert_eq!(pair.client.streams.of(AUTHORITY), None);
    }
}
