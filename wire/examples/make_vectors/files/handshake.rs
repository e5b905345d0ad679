//! Transcripts of whole handshakes with fixed keys, and messages that must be refused.

use super::{
    Pairs, Suite,
    crypto::{Noise, NoiseKeys, Seal, dh, header, mac1_key, mac16, mend_crc, noise, public, unsealed},
    json::{J, obj},
    parties::{INITIATOR_SESSION, NODE, RESPONDER_SESSION, datagram_keys, stream_keys},
};
use duohuo_wire::{
    handshake::{Initiation, Prologue, Transport, open},
    ids::NodeId,
    packet::Packet,
    show::Show as _,
    versions::Versions,
};

const COOKIE: [u8; 16] = [0xC0; 16];
const COOKIE_SECRET: [u8; 32] = [1; 32];

/// One handshake: its keys, its messages, the packets that carry them.
pub(crate) struct Transcript {
    pub(crate) keys: NoiseKeys,
    pub(crate) noise: Noise,
    pub(crate) sessions: [u64; 2],
    pub(crate) parties: [u32; 2],
    /// What each states, initiator first; none: neither states anything.
    pub(crate) ranges: Option<[[u8; 2]; 2]>,
    pub(crate) init: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

impl Transcript {
    /// Initiator first in each pair.
    pub(crate) fn new(
        keys: NoiseKeys,
        sessions: [u64; 2],
        parties: [u32; 2],
        cookie: Option<[u8; 16]>,
    ) -> Self {
        Self::stating(None, keys, sessions, parties, cookie)
    }

    pub(crate) fn stating(
        ranges: Option<[[u8; 2]; 2]>,
        keys: NoiseKeys,
        sessions: [u64; 2],
        parties: [u32; 2],
        cookie: Option<[u8; 16]>,
    ) -> Self {
        let noise = noise(&keys);
        let stated = |side: usize| ranges.map_or_else(Vec::new, |ranges| extension(&ranges[side]));
        let to = public(&keys.responder);
        let init = init_stating(&stated(0), &noise.message_1, &to, sessions[0], parties[0], cookie);
        let body = [&sessions[0].to_be_bytes()[..], &sessions[1].to_be_bytes(), &noise.message_2].concat();
        let response = with_mac(2, parties[1], &body, &stated(1), &public(&keys.initiator));
        let transcript = Self { keys, noise, sessions, parties, ranges, init, response };
        transcript.agrees_with_the_crate(cookie);
        transcript
    }

    /// What initiator and responder seal with.
    pub(crate) fn seals(&self) -> [Seal; 2] {
        [self.noise.k1, self.noise.k2].map(|key| match self.ranges {
            Some(ranges) if self.version() == 2 => Seal::bound(&key, self.sessions, ranges),
            _ => Seal::session(&key),
        })
    }

    /// What the session speaks.
    fn version(&self) -> u8 {
        self.ranges.map_or(1, |[initiator, responder]| initiator[1].min(responder[1]))
    }

    fn agrees_with_the_crate(&self, cookie: Option<[u8; 16]>) {
        let transport = if self.keys.transport == 0 { Transport::Datagram } else { Transport::Stream };
        let prologue = Prologue { consortium: self.keys.consortium, transport };
        let [from, to] = self.parties.map(NodeId);
        let range = |[lowest, highest]: [u8; 2]| Versions::new(lowest, highest).unwrap();
        let (_, init) = Initiation {
            local: &self.keys.initiator,
            remote_public: &public(&self.keys.responder),
            prologue: &prologue,
            ephemeral: self.keys.initiator_ephemeral,
            timestamp: self.keys.timestamp,
            session: self.sessions[0],
            cookie,
            sender: from,
            versions: self.ranges.map(|ranges| range(ranges[0])),
        }
        .begin()
        .unwrap();
        let accepted = open(&self.keys.responder, &prologue, &init, self.keys.responder_ephemeral)
            .unwrap()
            .answer(self.ranges.map_or(Versions::FIRST, |ranges| range(ranges[1])), self.sessions[1], to)
            .unwrap();
        assert_eq!(accepted.keys.version, self.version());
        assert_eq!(Packet::from(init).encode_unsealed(from), self.init);
        assert_eq!(Packet::from(accepted.response).encode_unsealed(to), self.response);
    }

    /// Every key and every intermediate value.
    pub(crate) fn show(&self) -> J {
        let [first, second] = self.seals();
        let keys = &self.keys;
        let mut shown = obj! {
            "transport": J::text(if keys.transport == 0 { "datagram" } else { "stream" }),
            "consortium": keys.consortium.show(),
            "initiator": self.parties[0].show(),
            "responder": self.parties[1].show(),
            "initiator_secret": keys.initiator.show(),
            "initiator_public": public(&keys.initiator).show(),
            "responder_secret": keys.responder.show(),
            "responder_public": public(&keys.responder).show(),
            "initiator_ephemeral_secret": keys.initiator_ephemeral.show(),
            "responder_ephemeral_secret": keys.responder_ephemeral.show(),
            "timestamp": keys.timestamp.show(),
            "initiator_session": self.sessions[0].show(),
            "responder_session": self.sessions[1].show(),
            "prologue": J::hex(&self.noise.prologue),
            "es": dh(&keys.initiator_ephemeral, &public(&keys.responder)).show(),
            "ss": dh(&keys.initiator, &public(&keys.responder)).show(),
            "ee": dh(&keys.initiator_ephemeral, &public(&keys.responder_ephemeral)).show(),
            "se": dh(&keys.initiator, &public(&keys.responder_ephemeral)).show(),
            "hash_after_message_1": self.noise.hash_1.show(),
            "hash_after_message_2": self.noise.hash_2.show(),
            "chaining_key": self.noise.chaining_key.show(),
            "mac1_key_of_responder": mac1_key(&public(&keys.responder)).show(),
            "mac1_key_of_initiator": mac1_key(&public(&keys.initiator)).show(),
            "k1": self.noise.k1.show(),
            "k2": self.noise.k2.show(),
            "initiator_seal_key": first.key.show(),
            "initiator_seal_iv": first.iv.show(),
            "responder_seal_key": second.key.show(),
            "responder_seal_iv": second.iv.show(),
        };
        if let (Some([initiator, responder]), J::Object(fields)) = (self.ranges, &mut shown) {
            fields.push(("initiator_versions", J::hex(&initiator)));
            fields.push(("responder_versions", J::hex(&responder)));
            fields.push(("version", self.version().show()));
        }
        shown
    }
}

/// A body, its mac1 under the receiver's public key, the packet around it.
fn with_mac(kind: u8, sender: u32, body: &[u8], extensions: &[u8], receiver: &[u8; 32]) -> Vec<u8> {
    let packet = unsealed(kind, sender, &[body, &[0; 16], extensions].concat());
    let mac1 = mac16(&mac1_key(receiver), &packet[..40 + body.len()]);
    unsealed(kind, sender, &[body, &mac1, extensions].concat())
}

/// A range as an extension of type 1.
fn extension(range: &[u8]) -> Vec<u8> {
    [&[0, 1, 0, range.len() as u8], range].concat()
}

fn init_packet(
    message: &[u8],
    responder: &[u8; 32],
    session: u64,
    sender: u32,
    cookie: Option<[u8; 16]>,
) -> Vec<u8> {
    init_stating(&[], message, responder, session, sender, cookie)
}

fn init_stating(
    extensions: &[u8],
    message: &[u8],
    responder: &[u8; 32],
    session: u64,
    sender: u32,
    cookie: Option<[u8; 16]>,
) -> Vec<u8> {
    let body = [&session.to_be_bytes()[..], message].concat();
    let mut packet = unsealed(1, sender, &[&body[..], &[0; 32], extensions].concat());
    let mac1 = mac16(&mac1_key(responder), &packet[..156]);
    packet[156..172].copy_from_slice(&mac1);
    if let Some(cookie) = cookie {
        let mac2 = mac16(&cookie, &packet[..172]);
        packet[172..188].copy_from_slice(&mac2);
    }
    mend_crc(&mut packet);
    packet
}

fn decoded(packet: &[u8]) -> Packet {
    Packet::decode_unsealed(packet).unwrap().1
}

pub(crate) fn suite() -> Suite {
    let sessions = [INITIATOR_SESSION, RESPONDER_SESSION];
    let parties = [NODE, 0];
    let datagram = Transcript::new(datagram_keys(), sessions, parties, Some(COOKIE));
    let stream = Transcript::new(stream_keys(), sessions, parties, None);
    let stating =
        |ranges| Transcript::stating(Some(ranges), datagram_keys(), sessions, parties, Some(COOKIE));
    let second = stating([[1, 2], [1, 3]]);
    let held = stating([[1, 1], [1, 2]]);
    let mut suite = Suite::new(
        "handshake",
        "handshake",
        &[
            "transcript names the keys. The receiver of HandshakeInit has responder_secret, that of HandshakeResponse is the initiator, waiting with its ephemeral key.",
            "mac2 says whether mac2 is right under cookie; a receiver asks under load, and when the timestamp is old (W-HSK-6).",
            "Order: header, body, for a response the session it answers (unknown_session), mac1 (bad_mac), Noise (bad_handshake), enrolled (unknown_key), source, if given (wrong_address), last_timestamp (old_handshake).",
            "source is from where the datagram came; the roster has cookie.address for the initiator.",
            "A transcript with versions: both sides state their range; it is in what they send, and in the keys of version 2.",
            "A Probe with nonce 0 is the proof: its ranges must be the transcript's (W-VER-3), else bad_handshake.",
            "Packets of other types are sealed under the transcript's keys, from = who sealed them; they come after the handshake.",
        ],
    )
    .with("transcripts", obj! {
        "datagram": datagram.show(), "stream": stream.show(), "version_2": second.show(), "held": held.show(),
    })
    .with("enrolled", J::List(vec![public(&datagram.keys.initiator).show()]))
    .with("cookie", obj! {
        "secret": COOKIE_SECRET.show(), "address": J::text("10.0.0.1:7400"),
        "address_6": J::text("[2001:db8::1]:7400"), "cookie": COOKIE.show(),
    });
    transcript(&mut suite, "datagram", &datagram, true);
    transcript(&mut suite, "stream", &stream, false);
    transcript(&mut suite, "version_2", &second, true);
    transcript(&mut suite, "held", &held, true);
    cookies(&mut suite, &datagram);
    timestamps(&mut suite, &datagram);
    refused_init(&mut suite, &datagram, &stream);
    refused_response(&mut suite, &datagram);
    refused_seal(&mut suite, &datagram);
    versions(&mut suite, &second, &held);
    suite
}

fn transcript(suite: &mut Suite, name: &str, transcript: &Transcript, mac2: bool) {
    let said = |packet: &Packet, bytes: &[u8]| -> Pairs {
        vec![
            ("transcript", J::text(name)),
            ("packet", J::text(packet.name())),
            ("hex", J::hex(bytes)),
            ("fields", packet.show()),
        ]
    };
    let init = decoded(&transcript.init);
    let mut more = said(&init, &transcript.init);
    more.push(("mac2", mac2.show()));
    suite.valid("message 1", more);
    let response = decoded(&transcript.response);
    suite.valid("message 2", said(&response, &transcript.response));
    let [first, second] = transcript.seals();
    let sealed = [
        ("the initiator's first packet", "initiator", 0_u64, 0x52_u8),
        ("the initiator's second packet", "initiator", 1, 0x52),
        ("the responder's first packet", "responder", 0, 0x52),
        ("the responder skips a sequence", "responder", 5, 0x36),
    ];
    for (comment, from, sequence, kind) in sealed {
        let body = (0xF0 + sequence).to_be_bytes();
        let (seal, session, sender) = if from == "initiator" {
            (first, transcript.sessions[1], transcript.parties[0])
        } else {
            (second, transcript.sessions[0], transcript.parties[1])
        };
        let bytes = seal.packet(kind, session, sequence, sender, &body);
        let packet = Packet::decode(kind, &body).unwrap();
        let mut more = said(&packet, &bytes);
        more.push(("from", J::text(from)));
        suite.valid(comment, more);
    }
}

fn cookies(suite: &mut Suite, transcript: &Transcript) {
    let ephemeral = &transcript.noise.message_1[..32];
    for (comment, address) in [
        ("the cookie for 10.0.0.1:7400", &[10, 0, 0, 1][..]),
        ("the cookie for [2001:db8::1]:7400", &[0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        let cookie = mac16(&COOKIE_SECRET, &[address, &7400_u16.to_be_bytes(), ephemeral].concat());
        let bytes = unsealed(3, 0, &[&INITIATOR_SESSION.to_be_bytes()[..], &cookie].concat());
        let packet = decoded(&bytes);
        let family = if address.len() == 4 { "address" } else { "address_6" };
        suite.valid(
            comment,
            vec![
                ("transcript", J::text("datagram")),
                ("packet", J::text("Cookie")),
                ("hex", J::hex(&bytes)),
                ("for", J::text(family)),
                ("fields", packet.show()),
            ],
        );
    }
    // The same initiation again, now with the cookie it was given: e and timestamp stay, so all but mac2 is the same.
    let keys = &transcript.keys;
    let message = &transcript.noise.message_1;
    let responder = public(&keys.responder);
    for (comment, cookie, mac2) in [
        ("without a cookie mac2 is zero", None, false),
        ("mac2 under another cookie", Some([0xC1; 16]), false),
    ] {
        let bytes = init_packet(message, &responder, INITIATOR_SESSION, NODE, cookie);
        let packet = decoded(&bytes);
        suite.valid(
            comment,
            vec![
                ("transcript", J::text("datagram")),
                ("packet", J::text("HandshakeInit")),
                ("hex", J::hex(&bytes)),
                ("mac2", mac2.show()),
                ("fields", packet.show()),
            ],
        );
    }
}

/// W-HSK-6: from where it comes, and what the responder has accepted of this key before; with mac2 right or not.
fn timestamps(suite: &mut Suite, transcript: &Transcript) {
    let responder = public(&transcript.keys.responder);
    let message = &transcript.noise.message_1;
    let bare = init_packet(message, &responder, INITIATOR_SESSION, NODE, None);
    let said = |packet: &[u8]| -> Pairs {
        vec![
            ("transcript", J::text("datagram")),
            ("packet", J::text("HandshakeInit")),
            ("hex", J::hex(packet)),
        ]
    };
    let after = |packet: &[u8], last: &[u8; 12]| {
        let mut pairs = said(packet);
        pairs.push(("last_timestamp", last.show()));
        pairs
    };
    let own = transcript.keys.timestamp;
    let other = |at: usize, change: i8| {
        let mut last = own;
        last[at] = last[at].wrapping_add_signed(change);
        last
    };
    let mut second = other(7, 1);
    second[8..].fill(0);
    for (comment, packet, last, mac2) in [
        ("a nanosecond newer than the last", &bare, other(11, -1), false),
        (
            "a nanosecond older than the last, with the cookie: a clock that went back",
            &transcript.init,
            other(11, 1),
            true,
        ),
        ("a second older than the last, with the cookie", &transcript.init, second, true),
    ] {
        let mut pairs = after(packet, &last);
        pairs.push(("mac2", mac2.show()));
        pairs.push(("fields", decoded(packet).show()));
        suite.valid(comment, pairs);
    }
    let wrong_cookie = init_packet(message, &responder, INITIATOR_SESSION, NODE, Some([0xC1; 16]));
    for (comment, packet, last) in [
        ("the same timestamp again: a replay", &bare, own),
        ("the same timestamp again, with the cookie", &transcript.init, own),
        ("a nanosecond older than the last", &bare, other(11, 1)),
        ("a nanosecond older than the last, under another cookie", &wrong_cookie, other(11, 1)),
        ("a second older than the last, with more nanoseconds", &bare, second),
    ] {
        suite.invalid(comment, "W-HSK-6", "old_handshake", after(packet, &last));
    }
    let mut elsewhere = said(&transcript.init);
    elsewhere.push(("source", J::text("10.0.0.1:7401")));
    suite.invalid("from another port than the roster has", "W-HSK-6", "wrong_address", elsewhere);
    let mut elsewhere = after(&bare, &own);
    elsewhere.push(("source", J::text("10.0.0.2:7400")));
    suite.invalid("a replay from another address", "W-HSK-6", "wrong_address", elsewhere);
    let stranger = noise(&NoiseKeys { initiator: [0x12; 32], ..transcript.keys });
    let packet = init_packet(&stranger.message_1, &responder, INITIATOR_SESSION, NODE, None);
    suite.invalid("a key that is not enrolled", "W-HSK-6", "unknown_key", said(&packet));
    let mut elsewhere = said(&packet);
    elsewhere.push(("source", J::text("10.0.0.2:7400")));
    suite.invalid("a key that is not enrolled, from another address", "W-HSK-6", "unknown_key", elsewhere);
}

fn refused_init(suite: &mut Suite, datagram: &Transcript, stream: &Transcript) {
    let responder = public(&datagram.keys.responder);
    let mut refuse = |comment: &str, rule: &str, reason: &str, packet: &[u8]| {
        suite.invalid(
            comment,
            rule,
            reason,
            vec![
                ("transcript", J::text("datagram")),
                ("packet", J::text("HandshakeInit")),
                ("hex", J::hex(packet)),
            ],
        );
    };
    let damaged = |at: usize| {
        let mut packet = datagram.init.clone();
        packet[at] ^= 1;
        mend_crc(&mut packet);
        packet
    };
    refuse("mac1 changed", "W-HSK-1", "bad_mac", &damaged(156));
    refuse("another sender in the header: mac1 covers it", "W-HSK-1", "bad_mac", &damaged(35));
    refuse("another initiator_session: mac1 covers it", "W-HSK-1", "bad_mac", &damaged(47));
    refuse("Noise changed, mac1 not", "W-HSK-1", "bad_mac", &damaged(100));
    let message = &datagram.noise.message_1;
    let init = |message: &[u8], to: &[u8; 32]| init_packet(message, to, INITIATOR_SESSION, NODE, None);
    refuse("mac1 for another responder", "W-HSK-1", "bad_mac", &init(message, &public(&[0x23; 32])));
    let changed = |at: usize| {
        let mut message = message.clone();
        message[at] ^= 1;
        init(&message, &responder)
    };
    refuse("e changed, mac1 right", "3", "bad_handshake", &changed(0));
    refuse("the static key changed, mac1 right", "3", "bad_handshake", &changed(32));
    refuse("the timestamp changed, mac1 right", "3", "bad_handshake", &changed(80));
    refuse("the last tag changed, mac1 right", "3", "bad_handshake", &changed(107));
    let mut zero = message.clone();
    zero[..32].fill(0);
    refuse("e is zero: the shared secret is zero", "W-HSK-5", "bad_handshake", &init(&zero, &responder));
    zero[0] = 1;
    refuse("e is 1: the shared secret is zero", "W-HSK-5", "bad_handshake", &init(&zero, &responder));
    refuse("made for a stream", "3", "bad_handshake", &init(&stream.noise.message_1, &responder));
    let other = noise(&NoiseKeys { consortium: [0x34; 16], ..datagram.keys });
    refuse("of another consortium", "3", "bad_handshake", &init(&other.message_1, &responder));
}

fn refused_response(suite: &mut Suite, datagram: &Transcript) {
    let initiator = public(&datagram.keys.initiator);
    let mut refuse = |comment: &str, rule: &str, reason: &str, packet: &[u8]| {
        suite.invalid(
            comment,
            rule,
            reason,
            vec![
                ("transcript", J::text("datagram")),
                ("packet", J::text("HandshakeResponse")),
                ("hex", J::hex(packet)),
            ],
        );
    };
    let response = |session: u64, message: &[u8], to: &[u8; 32]| {
        let body = [&session.to_be_bytes()[..], &RESPONDER_SESSION.to_be_bytes(), message].concat();
        with_mac(2, 0, &body, &[], to)
    };
    let message = &datagram.noise.message_2;
    let mut damaged = datagram.response.clone();
    damaged[104] ^= 1;
    mend_crc(&mut damaged);
    refuse("mac1 changed", "W-HSK-1", "bad_mac", &damaged);
    refuse("mac1 for another initiator", "W-HSK-1", "bad_mac", &response(77, message, &public(&[0x12; 32])));
    refuse("answers another initiation", "W-HSK-7", "unknown_session", &response(78, message, &initiator));
    let mut changed = message.clone();
    changed[47] ^= 1;
    refuse("the tag changed, mac1 right", "W-HSK-7", "bad_handshake", &response(77, &changed, &initiator));
    changed[..32].fill(0);
    refuse("e is zero", "W-HSK-5", "bad_handshake", &response(77, &changed, &initiator));
    let other = noise(&NoiseKeys { responder: [0x23; 32], ..datagram.keys });
    refuse("made by another key", "W-HSK-7", "bad_handshake", &response(77, &other.message_2, &initiator));
    let stream = noise(&NoiseKeys { transport: 1, ..datagram.keys });
    refuse("made for a stream", "W-HSK-7", "bad_handshake", &response(77, &stream.message_2, &initiator));
}

/// W-VER-3, W-VER-4, W-SEAL-2: what must not be taken where both sides state their range.
fn versions(suite: &mut Suite, second: &Transcript, held: &Transcript) {
    let said = |name: &str, packet: &[u8], what: &str| -> Pairs {
        vec![
            ("transcript", J::text(name)),
            ("packet", J::text(what)),
            ("hex", J::hex(packet)),
            ("from", J::text("initiator")),
        ]
    };
    let proof =
        |ranges: &[u8]| [vec![0; 16], if ranges.is_empty() { vec![] } else { extension(ranges) }].concat();
    for (name, transcript, right) in [("version_2", second, [1, 2, 1, 3]), ("held", held, [1, 1, 1, 2])] {
        let [seal, _] = transcript.seals();
        let sealed = |body: &[u8]| seal.packet(0x1C, RESPONDER_SESSION, 0, NODE, body);
        let mut right_proof = said(name, &sealed(&proof(&right)), "Probe");
        right_proof.push(("fields", Packet::decode(0x1C, &proof(&right)).unwrap().show()));
        suite.valid("the proof", right_proof);
        for (comment, ranges) in [
            ("a proof that tells nothing", &[][..]),
            ("a proof that tells another range of the initiator", &[1, 7, right[2], right[3]]),
            ("a proof that tells another range of the responder", &[right[0], right[1], 1, 1]),
        ] {
            let packet = sealed(&proof(ranges));
            suite.invalid(comment, "W-VER-3", "bad_handshake", said(name, &packet, "Probe"));
        }
        let body = 5_u64.to_be_bytes();
        let other = Seal { version: 3 - seal.version, ..seal };
        let packet = other.packet(0x52, RESPONDER_SESSION, 3, NODE, &body);
        let comment = "sealed rightly, but the header names the other version";
        suite.invalid(comment, "W-SEAL-2", "forged", said(name, &packet, "StatusQuery"));
    }
    let body = 5_u64.to_be_bytes();
    let k1 = &second.noise.k1;
    let sessions = [INITIATOR_SESSION, RESPONDER_SESSION];
    let first = Seal { version: 2, ..Seal::session(k1) };
    for (comment, seal) in [
        ("sealed under version 1's key", first),
        ("the responder's range came as 1 to 2", Seal::bound(k1, sessions, [[1, 2], [1, 2]])),
        ("the initiator's range came as 1 to 3", Seal::bound(k1, sessions, [[1, 3], [1, 3]])),
        (
            "initiator_session was changed on the way",
            Seal::bound(k1, [INITIATOR_SESSION + 1, RESPONDER_SESSION], [[1, 2], [1, 3]]),
        ),
        (
            "responder_session was changed on the way",
            Seal::bound(k1, [INITIATOR_SESSION, RESPONDER_SESSION + 1], [[1, 2], [1, 3]]),
        ),
    ] {
        let packet = seal.packet(0x52, RESPONDER_SESSION, 3, NODE, &body);
        suite.invalid(comment, "W-VER-4", "forged", said("version_2", &packet, "StatusQuery"));
    }
}

fn refused_seal(suite: &mut Suite, datagram: &Transcript) {
    let [first, second] = datagram.seals();
    let body = 5_u64.to_be_bytes();
    let right = first.packet(0x52, RESPONDER_SESSION, 3, NODE, &body);
    let unknown = first.packet(0xEE, RESPONDER_SESSION, 4, NODE, &body);
    suite.invalid(
        "an authentic packet of an unknown type: to be answered with Unsupported",
        "W-RCV-5",
        "unknown_type",
        vec![
            ("transcript", J::text("datagram")),
            ("packet", J::text("Unknown")),
            ("hex", J::hex(&unknown)),
            ("from", J::text("initiator")),
        ],
    );
    let mut refuse = |comment: &str, rule: &str, packet: &[u8]| {
        suite.invalid(
            comment,
            rule,
            "forged",
            vec![
                ("transcript", J::text("datagram")),
                ("packet", J::text("StatusQuery")),
                ("hex", J::hex(packet)),
                ("from", J::text("initiator")),
            ],
        );
    };
    let damaged = |at: usize, bit: u8| {
        let mut packet = right.clone();
        packet[at] ^= bit;
        mend_crc(&mut packet);
        packet
    };
    refuse("the body changed", "W-RCV-3", &damaged(40, 1));
    refuse("the tag changed", "W-RCV-3", &damaged(50, 1));
    refuse("the sequence changed", "W-RCV-3", &damaged(31, 1));
    refuse("the sender changed", "W-RCV-3", &damaged(35, 1));
    refuse("the type changed", "W-RCV-3", &damaged(5, 1));
    refuse("a flag that is ignored changed", "W-RCV-3", &damaged(7, 2));
    let grouped = header(0x52, 1, body.len() + 60, RESPONDER_SESSION, 3, NODE, 5);
    refuse(
        "sealed rightly with the session's key, but naming a generation of a group",
        "W-SEAL-2",
        &first.finish(&grouped, 3, &body),
    );
    refuse("sent back to its sender", "W-RCV-3", &second.packet(0x52, RESPONDER_SESSION, 3, NODE, &body));
    let swapped = Seal { iv: second.iv, ..first };
    refuse(
        "sealed with the iv of the other direction",
        "W-RCV-3",
        &swapped.packet(0x52, RESPONDER_SESSION, 3, NODE, &body),
    );
    let raw = Seal { key: datagram.noise.k1, ..first };
    refuse("sealed with Noise's own key", "W-RCV-3", &raw.packet(0x52, RESPONDER_SESSION, 3, NODE, &body));
}
