//! The order of the reception checks (spec/wire.md section 2.1): of any two that are broken, the first names the refusal.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use duohuo_tests::crc::crc32;
use duohuo_wire::header::{Header, MAX_DATAGRAM};

/// A check and how to break it, in the order of the specification; a breaker leaves length and CRC to `broken`.
struct Check {
    rule: &'static str,
    label: &'static str,
    sealed: bool,
    breaks: fn(&mut Packet),
}

/// A packet being broken.
struct Packet {
    bytes: Vec<u8>,
    length_off_by: u32,
    wrong_crc: bool,
    cut_to: Option<usize>,
}

const fn check(rule: &'static str, label: &'static str, sealed: bool, breaks: fn(&mut Packet)) -> Check {
    Check { rule, label, sealed, breaks }
}

/// Those of a packet that must be sealed.
const OF_SEALED: &[Check] = &[
    check("W-HDR-1", "too_short", true, |p| p.cut_to = Some(43)),
    check("W-HDR-2", "bad_magic", true, |p| p.bytes[0] = 0),
    check("W-HDR-3", "bad_version", true, |p| p.bytes[4] = 3),
    check("W-HDR-4", "bad_length", true, |p| p.length_off_by = 1),
    check("W-HDR-5", "too_long", true, |p| p.bytes.resize(MAX_DATAGRAM as usize + 1, 0)),
    check("W-HDR-6", "bad_header_length", true, |p| p.bytes[12] = 11),
    check("W-HDR-7", "bad_crc", true, |p| p.wrong_crc = true),
    check("W-HDR-8", "unknown_flags", true, |p| p.bytes[6] = 0x80),
    check("W-HDR-9", "bad_suite", true, |p| p.bytes[13] = 2),
    check("W-HDR-10", "reserved_not_zero", true, |p| p.bytes[15] = 1),
    check("W-HDR-11", "not_sealed", true, |p| p.bytes[7] = 0),
];

/// Those of a packet of the handshake; the checks before are the same.
const OF_UNSEALED: &[Check] = &[
    check("W-HDR-11", "sealed", false, |p| p.bytes[7] = 1),
    check("W-HDR-12", "bad_version", false, |p| p.bytes[4] = 2),
    check("W-HDR-12", "unknown_type", false, |p| p.bytes[5] = 4),
    check("W-HDR-12", "bad_value", false, |p| p.bytes[23] = 1),
];

fn good(sealed: bool) -> Packet {
    let mut bytes = vec![0; 100];
    bytes[..8].copy_from_slice(&[
        0x44,
        0x55,
        0x4F,
        0x48,
        1,
        if sealed { 0x52 } else { 3 },
        0,
        u8::from(sealed),
    ]);
    bytes[12..14].copy_from_slice(&[10, 1]);
    if sealed {
        bytes[23] = 9;
    }
    Packet { bytes, length_off_by: 0, wrong_crc: false, cut_to: None }
}

fn broken(sealed: bool, breaks: &[fn(&mut Packet)]) -> Vec<u8> {
    let mut packet = good(sealed);
    for one in breaks {
        one(&mut packet);
    }
    let mut bytes = packet.bytes;
    let length = u32::try_from(bytes.len()).unwrap() + packet.length_off_by;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let covered = bytes.len() - 4;
    let crc = crc32(&bytes[..covered]) ^ u32::from(packet.wrong_crc);
    bytes[covered..].copy_from_slice(&crc.to_be_bytes());
    if let Some(length) = packet.cut_to {
        bytes.truncate(length);
    }
    bytes
}

fn label(bytes: &[u8]) -> &'static str {
    Header::decode_datagram(bytes).map_or_else(|error| error.label(), |_| "accepted")
}

#[test]
fn what_breaks_no_check_is_accepted() {
    assert_eq!(label(&broken(true, &[])), "accepted");
    assert_eq!(label(&broken(false, &[])), "accepted");
}

#[test]
fn of_two_broken_checks_the_first_names_the_refusal() {
    let mut pairs = 0;
    for checks in [OF_SEALED, OF_UNSEALED] {
        for (place, first) in checks.iter().enumerate() {
            assert_eq!(label(&broken(first.sealed, &[first.breaks])), first.label, "{} alone", first.rule);
            for second in &checks[place + 1..] {
                let both = broken(first.sealed, &[first.breaks, second.breaks]);
                assert_eq!(label(&both), first.label, "{} before {}", first.rule, second.rule);
                pairs += 1;
            }
        }
    }
    // The checks up to W-HDR-10 are those of every packet: each comes before the four of unsealed ones too.
    for first in &OF_SEALED[..10] {
        for second in OF_UNSEALED {
            let both = broken(false, &[first.breaks, second.breaks]);
            assert_eq!(label(&both), first.label, "{} before {}", first.rule, second.label);
            pairs += 1;
        }
    }
    assert_eq!(pairs, 55 + 6 + 40);
}

#[test]
fn the_length_of_a_sealed_packet_is_asked_after_everything_else() {
    for (breaks, expected) in [
        (None, "too_short"),
        (Some((|p: &mut Packet| p.bytes[15] = 1) as fn(&mut Packet)), "reserved_not_zero"),
        (Some(|p: &mut Packet| p.bytes[7] = 0), "not_sealed"),
    ] {
        let truncate: fn(&mut Packet) = |p| p.bytes.truncate(59);
        let breaks: Vec<fn(&mut Packet)> = [Some(truncate), breaks].into_iter().flatten().collect();
        assert_eq!(label(&broken(true, &breaks)), expected);
    }
}
