//! A client that dials the authority, without the machines around.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::random::Random;
use duohuo_wire::packet::Probe;
use duohuo_wire::roster::{ClientEntry, Party as Entry};

const AUTHORITY: Party = Party::Authority;
const DAY: Duration = Duration::from_secs(86_400);
const NANOSECOND: Duration = Duration::from_nanos(1);

/// An authority at 127.0.0.1 and one client.
fn roster() -> Roster {
    let authority = Entry {
        address: ([127, 0, 0, 1], 1).into(),
        session_key: handshake::public_key(&[2; 32]),
        signing_key: [0; 32],
    };
    let session_key = handshake::public_key(&[1; 32]);
    let client = ClientEntry { id: NodeId(9), name: "c".to_owned(), session_key };
    Roster {
        consortium: [3; 16],
        version: 1,
        authority,
        clusters: vec![],
        clients: vec![client],
        signature: [0; 64],
    }
}

struct Side {
    streams: Streams,
    identity: Identity,
    random: Random,
    out: Outbox,
}

fn side(me: NodeId, secret: [u8; 32]) -> Side {
    let identity = Identity {
        me,
        secret: secret.into(),
        public: handshake::public_key(&secret),
        consortium: [3; 16],
        versions: Versions::ALL,
        parties: super::super::by_session_key(&roster()),
        unix_at_zero: Duration::ZERO,
        last_timestamp: 0,
    };
    let streams = Streams::new(Duration::from_secs(1), &roster());
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
        let roster = roster();
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
                    let ip = IpAddr::from([127, 0, 0, 9]);
                    to.streams.accepted(self.now, there(stream), ip, &mut to.out).unwrap();
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

/// B-BND-3: strangers that say nothing take the place of each other, and of nobody else.
#[test]
fn of_257_strangers_streams_the_oldest_is_closed_and_no_members_is() {
    let mut side = side(NodeId::AUTHORITY, [2; 32]);
    let mut accept = |number: u64, from: [u8; 4]| {
        let from = IpAddr::from(from);
        side.streams.accepted(Instant::ZERO, StreamId(2 * number), from, &mut side.out)
    };
    for number in 1..=10 {
        assert_eq!(accept(number, [127, 0, 0, 1]), Ok(()), "the address of a party");
    }
    for number in 11..=266 {
        assert_eq!(accept(number, [127, 0, 0, 9]), Ok(()));
    }
    assert_eq!(accept(267, [127, 0, 0, 8]), Err(Discard::RateLimited));
    assert_eq!(accept(268, [127, 0, 0, 1]), Ok(()));
    assert!(matches!(side.out.pop(), Some(Output::CloseStream { stream: StreamId(22) })));
    assert!(side.out.pop().is_none());
}

/// B-BND-3: a client that proved who it is counts no more among the strangers.
#[test]
fn a_client_that_proved_itself_loses_its_stream_to_no_stranger() {
    let mut pair = Pair::connected();
    let side = &mut pair.authority;
    for number in 10..=265 {
        let from = IpAddr::from([127, 0, 0, 9]);
        assert_eq!(side.streams.accepted(Instant::ZERO, StreamId(2 * number), from, &mut side.out), Ok(()));
    }
    assert!(side.out.pop().is_none());
    assert!(pair.authority.streams.of(Party::Client(NodeId(9))).is_some());
}

/// W-HSK-13: of 401 initiations at once the last one is not looked at; it is a matter of its address.
#[test]
fn strangers_share_what_handshakes_there_are_and_take_none_of_the_members() {
    let roster = roster();
    let mut allowances = StreamAllowances::of(&roster);
    let taken = |allowances: &mut StreamAllowances, now, from: [u8; 4]| {
        (0..1_000).filter(|_| allowances.take(now, IpAddr::from(from))).count()
    };
    let now = Instant::from_nanos(1_000_000_000);
    assert_eq!(taken(&mut allowances, now, [127, 0, 0, 9]), 400);
    assert_eq!(taken(&mut allowances, now, [127, 0, 0, 8]), 0);
    assert_eq!(taken(&mut allowances, now, [127, 0, 0, 1]), 100);
    let later = now + Duration::from_millis(20);
    assert_eq!(taken(&mut allowances, later, [127, 0, 0, 9]), 8);
    assert_eq!(taken(&mut allowances, later, [127, 0, 0, 1]), 1);
}

/// Both sides held to a range, and what their stream speaks.
fn spoken_between(client: Versions, authority: Versions) -> [Option<u8>; 2] {
    let mut pair = Pair::new();
    pair.client.identity.versions = client;
    pair.authority.identity.versions = authority;
    pair.dial();
    pair.run(true);
    [&pair.client, &pair.authority].map(|side| side.streams.versions().next().map(|(_, version)| version))
}

/// W-VER-2
#[test]
fn a_stream_speaks_the_highest_version_of_both_and_none_stands_without_one() {
    let two = Versions { lowest: 2, highest: 2 };
    for (client, authority, spoken) in [
        (Versions::ALL, Versions::ALL, Some(2)),
        (Versions::FIRST, Versions::ALL, Some(1)),
        (Versions::ALL, Versions::FIRST, Some(1)),
        (Versions::FIRST, Versions::FIRST, Some(1)),
        (two, Versions::ALL, Some(2)),
        (two, Versions::FIRST, None),
        (Versions::FIRST, two, None),
    ] {
        assert_eq!(spoken_between(client, authority), [spoken; 2], "{client} and {authority}");
    }
}

/// What the responder makes of an initiation that states `stated`, and of the first packet that `first` makes of the
/// true agreement and version 1's keys.
fn first_packet(stated: Option<Versions>, first: impl Fn(&handshake::Keys) -> Packet) -> Vec<StreamEvent> {
    let mut pair = Pair::new();
    let side = &mut pair.authority;
    side.streams.accepted(Instant::ZERO, StreamId(2), [127, 0, 0, 9].into(), &mut side.out).unwrap();
    let public = handshake::public_key(&[2; 32]);
    let prologue = side.identity.prologue(Transport::Stream);
    let (initiator, init) = Initiation {
        local: &[1; 32],
        remote_public: &public,
        prologue: &prologue,
        ephemeral: [4; 32],
        timestamp: [5; 12],
        session: 7,
        cookie: None,
        sender: NodeId(9),
        versions: stated,
    }
    .begin()
    .unwrap();
    let mut give = |bytes: Bytes| {
        let turn = &mut Turn {
            now: Instant::ZERO,
            roster: &pair.roster,
            random: &mut side.random,
            out: &mut side.out,
        };
        side.streams.bytes(turn, &side.identity, StreamId(2), &bytes)
    };
    assert!(give(Packet::from(init).encode_unsealed(NodeId(9)).freeze()).is_empty());
    let bytes = loop {
        if let Output::StreamBytes { bytes, .. } = side.out.pop().expect("the response") {
            break bytes;
        }
    };
    let Packet::HandshakeResponse(response) = Packet::decode_unsealed(&bytes).unwrap().1 else {
        panic!("the response")
    };
    let keys = initiator.finish(&response).unwrap();
    let sealed = keys.sealing.seal(&first(&keys), NodeId(9), response.responder_session, 0);
    let turn =
        &mut Turn { now: Instant::ZERO, roster: &pair.roster, random: &mut side.random, out: &mut side.out };
    side.streams.bytes(turn, &side.identity, StreamId(2), &sealed)
}

fn is_established(events: &[StreamEvent]) -> bool {
    matches!(events, [StreamEvent::Established(Party::Client(NodeId(9)))])
}

fn is_bad_handshake(events: &[StreamEvent]) -> bool {
    matches!(events, [StreamEvent::Broken(_, Discard::BadHandshake)])
}

/// W-VER-3: the initiator's range was taken away on the way, or lowered, or one was put into the packet of an older program.
#[test]
fn a_stream_whose_proof_tells_other_ranges_than_the_handshake_is_closed() {
    let proof = |keys: &handshake::Keys| Packet::from(keys.agreement.proof());
    let silent = |_: &handshake::Keys| Packet::from(Probe::default());
    assert!(is_established(&first_packet(Some(Versions::ALL), proof)));
    assert!(is_established(&first_packet(Some(Versions::FIRST), proof)));
    assert!(is_established(&first_packet(None, silent)));
    let told = |initiator, responder| {
        move |_: &handshake::Keys| Packet::from(Agreement { initiator, responder }.proof())
    };
    for (stated, initiator, responder) in [
        (None, Versions::ALL, Versions::FIRST),
        (Some(Versions::FIRST), Versions::ALL, Versions::ALL),
        (Some(Versions::FIRST), Versions::FIRST, Versions::FIRST),
    ] {
        assert!(is_bad_handshake(&first_packet(stated, told(initiator, responder))), "{stated:?}");
    }
    assert!(is_bad_handshake(&first_packet(Some(Versions::FIRST), silent)));
}

/// W-VER-3: the proof that would tell is held back.
#[test]
fn in_version_1_a_party_that_speaks_more_takes_nothing_before_the_proof() {
    let other = |_: &handshake::Keys| Packet::from(Probe { nonce: 5, ..Probe::default() });
    assert!(is_bad_handshake(&first_packet(Some(Versions::FIRST), other)));
    assert!(is_bad_handshake(&first_packet(None, other)));
    // Under the keys of version 2 whatever opens proves the ranges.
    let query = |_: &handshake::Keys| Packet::from(duohuo_wire::packet::StatusQuery::default());
    let events = first_packet(Some(Versions::ALL), query);
    assert!(matches!(events[..], [StreamEvent::Established(_), StreamEvent::Packet(..)]));
}
