//! Sessions over streams: the dialler is the initiator; packets follow each other in strict sequence.

use super::{Identity, PROOF, Party, Peer, Turn, party_of_key};
use crate::discard::Discard;
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
    /// A first message can be replayed; a sealed packet cannot. Until one came, an accepted stream is nobody's.
    proven: bool,
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

pub(super) struct Streams {
    streams: BTreeMap<StreamId, Stream>,
    /// The newest established stream of each party.
    current: BTreeMap<Party, StreamId>,
    next_id: u64,
    deadline: Duration,
}

impl Streams {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { streams: BTreeMap::new(), current: BTreeMap::new(), next_id: 1, deadline }
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
                Ok(Some(frame)) => step(entry, turn, identity, stream, &frame),
                Err(error) => Err(Discard::Decode(error)),
            };
            match step {
                Ok(step) => {
                    for event in step.into_iter().flatten() {
                        if let StreamEvent::Established(party) = event {
                            // A newer stream replaces the older one, of which nothing more is heard.
                            let old = self.current.insert(party, stream);
                            if let Some(old) = old.filter(|old| *old != stream) {
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

    pub(super) fn send(&mut self, me: NodeId, stream: StreamId, packet: &Packet, out: &mut Outbox) -> bool {
        let Some(Stream { state: State::Established(session), .. }) = self.streams.get_mut(&stream) else {
            return false;
        };
        let bytes = session.sealing.seal(packet, me, session.remote_session, session.next_sent);
        session.next_sent += 1;
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
        let party = self.streams.remove(&stream)?.party?;
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

    pub(super) fn tick(&mut self, turn: &mut Turn<'_>) -> Vec<(StreamId, Option<Party>)> {
        let late: Vec<StreamId> = self
            .streams
            .iter()
            .filter(|(_, s)| s.deadline_at.is_some_and(|at| turn.now >= at))
            .map(|(id, _)| *id)
            .collect();
        late.into_iter()
            .map(|id| {
                let party = self.streams.get(&id).and_then(|s| s.party);
                self.close(id, turn.out);
                (id, party)
            })
            .collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.streams.values().filter_map(|s| s.deadline_at).min()
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
    let established = (!session.proven).then_some(StreamEvent::Established(session.party));
    session.proven = true;
    Ok([established, event])
}
