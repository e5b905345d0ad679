//! The header's rules, one by one and in pairs: of two broken rules the one that stands first is named.

use duohuo_wire::header::Header;
use duohuo_wire::show::Show as _;

use super::{
    Pairs, Suite,
    crypto::{header, mend_crc, put_crc, unsealed},
    json::J,
};

const SEALED_TYPE: u8 = 0x52;

/// One way to break one rule of a packet.
struct Fault {
    rule: &'static str,
    reason: &'static str,
    comment: &'static str,
    /// Which packets it can be done to.
    base: Base,
    change: fn(&mut Vec<u8>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Base {
    Any,
    Handshake,
    Session,
}

const FAULTS: &[Fault] = &[
    fault("W-HDR-2", "bad_magic", "another magic", Base::Any, |packet| packet[0] = b'd'),
    fault("W-HDR-3", "bad_version", "version 3", Base::Any, |packet| packet[4] = 3),
    fault("W-HDR-4", "bad_length", "one byte more than the length says", Base::Any, |packet| packet[11] -= 1),
    fault("W-HDR-5", "too_long", "1,201 bytes and more in a datagram", Base::Any, |packet| {
        packet.resize(packet.len() + 1157, 0);
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        packet[10..12].copy_from_slice(&length);
    }),
    fault("W-HDR-6", "bad_header_length", "a header of 11 words", Base::Any, |packet| packet[12] = 11),
    fault("W-HDR-7", "bad_crc", "a damaged CRC", Base::Any, |_| {}),
    fault("W-HDR-8", "unknown_flags", "a critical flag that is not assigned", Base::Any, |packet| {
        packet[6] = 1
    }),
    fault("W-HDR-9", "bad_suite", "suite 2", Base::Any, |packet| packet[13] = 2),
    fault("W-HDR-10", "reserved_not_zero", "reserved is 1", Base::Any, |packet| packet[15] = 1),
    fault("W-HDR-11", "sealed", "a handshake packet that is sealed", Base::Handshake, |packet| {
        packet[7] |= 1
    }),
    fault("W-HDR-11", "not_sealed", "a packet that must be sealed and is not", Base::Session, |packet| {
        packet[7] &= 0xFE;
    }),
    fault("W-HDR-12", "bad_version", "version 2 in the handshake", Base::Handshake, |packet| packet[4] = 2),
    fault("W-HDR-12", "unknown_type", "an unknown type of the handshake", Base::Handshake, |packet| {
        packet[5] = 4
    }),
    fault("W-HDR-12", "bad_value", "a session in the handshake", Base::Handshake, |packet| packet[23] = 1),
];

const fn fault(
    rule: &'static str,
    reason: &'static str,
    comment: &'static str,
    base: Base,
    change: fn(&mut Vec<u8>),
) -> Fault {
    Fault { rule, reason, comment, base, change }
}

/// A cookie from node 7.
fn handshake() -> Vec<u8> {
    unsealed(3, 7, &[&77_u64.to_be_bytes()[..], &[0xC0; 16]].concat())
}

/// A sealed packet of 60 bytes and so many more; what is inside does not matter here.
fn sealed(more: usize) -> Vec<u8> {
    let mut packet = header(SEALED_TYPE, 1, 60 + more, 88, 3, 7, 0);
    packet.extend(vec![0x5A; 16 + more]);
    put_crc(&mut packet);
    packet
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new(
        "header",
        "header",
        &[
            "hex is one datagram. Only W-HDR-1 to W-HDR-12 are asked; the seal of a valid packet here opens under no key.",
            "A fault leaves the CRC right, save where the CRC is the fault.",
        ],
    );
    valid(&mut suite);
    for fault in FAULTS {
        single(&mut suite, fault);
    }
    edges(&mut suite);
    for (at, first) in FAULTS.iter().enumerate() {
        for second in &FAULTS[at + 1..] {
            pair(&mut suite, first, second);
        }
    }
    suite
}

fn accept(suite: &mut Suite, comment: &str, packet: &[u8]) {
    let header = Header::decode(packet).unwrap();
    suite.valid(comment, vec![("hex", J::hex(packet)), ("fields", header.show())]);
}

fn hex(packet: &[u8]) -> Pairs {
    vec![("hex", J::hex(packet))]
}

/// A packet with bytes changed and its CRC right.
fn changed(mut packet: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut packet);
    mend_crc(&mut packet);
    packet
}

fn valid(suite: &mut Suite) {
    accept(
        suite,
        "the smallest packet of the handshake: no body (which is refused next)",
        &unsealed(3, 7, &[]),
    );
    accept(suite, "a packet of the handshake", &handshake());
    accept(suite, "the authority's number is 0", &unsealed(2, 0, &[0; 16]));
    accept(suite, "the smallest sealed packet", &sealed(0));
    accept(suite, "a sealed packet", &sealed(30));
    accept(suite, "a sealed packet of version 2", &changed(sealed(30), |packet| packet[4] = 2));
    accept(suite, "the largest datagram", &sealed(1140));
    accept(suite, "flags 7 to 1 are ignored", &changed(sealed(30), |packet| packet[7] = 0xFF));
    accept(
        suite,
        "flags 7 to 1 are ignored in the handshake",
        &changed(handshake(), |packet| packet[7] = 0xFE),
    );
    accept(
        suite,
        "an unknown type passes when it is sealed: it is answered when it opens",
        &changed(sealed(8), |packet| packet[5] = 0xEE),
    );
    let highest = |packet: &mut Vec<u8>| {
        packet[16..24].fill(0xFF);
        packet[24..32].copy_from_slice(&((1_u64 << 63) - 1).to_be_bytes());
        packet[32..40].fill(0xFF);
    };
    accept(suite, "the highest session, sequence, sender and group", &changed(sealed(8), highest));
}

fn single(suite: &mut Suite, fault: &Fault) {
    for (name, base, packet) in
        [("handshake", Base::Handshake, handshake()), ("sealed", Base::Session, sealed(30))]
    {
        if fault.base == Base::Any || fault.base == base {
            let packet = broken(packet, &[fault]);
            suite.invalid(&format!("{}: {name}", fault.comment), fault.rule, fault.reason, hex(&packet));
        }
    }
}

fn broken(packet: Vec<u8>, faults: &[&Fault]) -> Vec<u8> {
    let mut packet = changed(packet, |packet| faults.iter().for_each(|fault| (fault.change)(packet)));
    if faults.iter().any(|fault| fault.reason == "bad_crc") {
        *packet.last_mut().unwrap() ^= 1;
    }
    packet
}

fn pair(suite: &mut Suite, first: &Fault, second: &Fault) {
    let base = match (first.base, second.base) {
        (Base::Handshake, Base::Session) | (Base::Session, Base::Handshake) => return,
        (Base::Session, _) | (_, Base::Session) => sealed(0),
        _ => handshake(),
    };
    // The longer packet has its own length: the length is spoilt after it.
    let order = if first.reason == "bad_length" { [second, first] } else { [first, second] };
    let comment = format!("{}, and {}", first.comment, second.comment);
    suite.invalid(&comment, first.rule, first.reason, hex(&broken(base, &order)));
}

fn edges(suite: &mut Suite) {
    let whole = handshake();
    for length in [0, 1, 11, 12, 40, 43] {
        suite.invalid(&format!("{length} bytes"), "W-HDR-1", "too_short", hex(&whole[..length]));
    }
    let mut other = whole[..43].to_vec();
    other[0] = 0;
    suite.invalid("43 bytes of another magic", "W-HDR-1", "too_short", hex(&other));
    suite.invalid("the last byte is missing", "W-HDR-4", "bad_length", hex(&whole[..whole.len() - 1]));
    suite.invalid("a byte follows", "W-HDR-4", "bad_length", hex(&[&whole[..], &[0]].concat()));
    let huge = changed(handshake(), |packet| packet[8..12].fill(0xFF));
    suite.invalid("a length of 4 GiB", "W-HDR-4", "bad_length", hex(&huge));
    let zero = changed(handshake(), |packet| packet[8..12].fill(0));
    suite.invalid("a length of 0", "W-HDR-4", "bad_length", hex(&zero));
    suite.invalid("version 0", "W-HDR-3", "bad_version", hex(&changed(handshake(), |packet| packet[4] = 0)));
    suite.invalid("1,201 bytes", "W-HDR-5", "too_long", hex(&sealed(1141)));
    for words in [0, 9, 255] {
        let packet = changed(handshake(), |packet| packet[12] = words);
        suite.invalid(&format!("a header of {words} words"), "W-HDR-6", "bad_header_length", hex(&packet));
    }
    let mut damaged = handshake();
    damaged[45] ^= 0x10;
    suite.invalid("a damaged body", "W-HDR-7", "bad_crc", hex(&damaged));
    let mut swapped = handshake();
    let end = swapped.len();
    swapped[end - 4..].reverse();
    suite.invalid("the CRC in the other byte order", "W-HDR-7", "bad_crc", hex(&swapped));
    for bit in 0..8 {
        let packet = changed(handshake(), |packet| packet[6] = 1 << bit);
        suite.invalid(&format!("flag {}", bit + 8), "W-HDR-8", "unknown_flags", hex(&packet));
    }
    suite.invalid("suite 0", "W-HDR-9", "bad_suite", hex(&changed(handshake(), |packet| packet[13] = 0)));
    let high = changed(handshake(), |packet| packet[14] = 0x80);
    suite.invalid("reserved is 0x8000", "W-HDR-10", "reserved_not_zero", hex(&high));
    let first = changed(handshake(), |packet| packet[5] = 0x10);
    suite.invalid("type 0x10 must be sealed", "W-HDR-11", "not_sealed", hex(&first));
    let last = changed(sealed(30), |packet| packet[5] = 0x0F);
    suite.invalid("type 0x0F must not be sealed", "W-HDR-11", "sealed", hex(&last));
    let unknown = changed(handshake(), |packet| packet[5] = 0xEE);
    suite.invalid("an unknown type above 0x0F must be sealed", "W-HDR-11", "not_sealed", hex(&unknown));
    let mut short = header(SEALED_TYPE, 1, 59, 88, 3, 7, 0);
    short.extend([0x5A; 15]);
    put_crc(&mut short);
    suite.invalid("59 bytes, sealed", "W-HDR-11", "too_short", hex(&short));
    for kind in [0, 4, 0x0F] {
        let packet = changed(handshake(), |packet| packet[5] = kind);
        suite.invalid(&format!("type {kind:#04x}"), "W-HDR-12", "unknown_type", hex(&packet));
    }
    for (what, at) in [("sequence", 31), ("group", 39), ("the first bit of session", 16)] {
        let packet = changed(handshake(), |packet| packet[at] = if at == 16 { 0x80 } else { 1 });
        suite.invalid(&format!("{what} in the handshake"), "W-HDR-12", "bad_value", hex(&packet));
    }
}
