//! A stream cut into packets, and the window that refuses repeats.

use duohuo_wire::show::Show as _;

use super::{
    Suite,
    crypto::{header, put_crc, unsealed},
    json::J,
};

fn cookie(length: usize) -> Vec<u8> {
    unsealed(3, 7, &vec![0xC0; length - 44])
}

/// Of any length, sealed; what is inside does not matter here.
fn sealed(length: usize) -> Vec<u8> {
    let mut packet = header(0x52, 1, length, 88, 0, 7, 0);
    packet.extend(vec![0; length - 44]);
    put_crc(&mut packet);
    packet
}

pub(crate) fn suite() -> Suite {
    let mut suite = Suite::new(
        "stream",
        "stream",
        &[
            "hex is what a stream has brought so far. limit is that of the moment: 8192 before the handshake is done, 8388608 after it.",
            "fields.packets are the lengths of the packets cut off it, fields.waiting the bytes that wait for more.",
            "Of a packet only W-HDR-2 to W-HDR-5 are asked here, in any split of the stream.",
        ],
    );
    let early = 8192_u32;
    let late = 8_388_608_u32;
    let mut accept = |comment: &str, limit: u32, bytes: &[u8], packets: &[u64], waiting: u64| {
        let packets = packets.iter().map(|length| J::Number(*length)).collect();
        let fields = J::Object(vec![("packets", J::List(packets)), ("waiting", J::Number(waiting))]);
        suite.valid(comment, vec![("limit", limit.show()), ("hex", J::hex(bytes)), ("fields", fields)]);
    };
    accept("nothing", early, &[], &[], 0);
    accept("eleven bytes decide nothing", early, &cookie(68)[..11], &[], 11);
    accept("twelve bytes of a packet", early, &cookie(68)[..12], &[], 12);
    accept("all but the last byte", early, &cookie(68)[..67], &[], 67);
    accept("one packet", early, &cookie(68), &[68], 0);
    accept("the smallest packet", early, &cookie(44), &[44], 0);
    accept(
        "three packets and a piece",
        early,
        &[&cookie(68)[..], &cookie(44), &sealed(100), &cookie(68)[..30]].concat(),
        &[68, 44, 100],
        30,
    );
    accept("a promise of 8 KiB, before the handshake is done", early, &sealed(8192)[..20], &[], 20);
    accept("a promise of 8 MiB, after it", late, &header(0x52, 1, 8_388_608, 88, 0, 7, 0), &[], 40);
    accept("eleven bytes that are no packet decide nothing yet", early, &[0; 11], &[], 11);
    let mut refuse = |comment: &str, rule: &str, reason: &str, limit: u32, bytes: &[u8]| {
        suite.invalid(comment, rule, reason, vec![("limit", limit.show()), ("hex", J::hex(bytes))]);
    };
    let start = |at: usize, value: u8| {
        let mut bytes = cookie(68)[..12].to_vec();
        bytes[at] = value;
        bytes
    };
    let length = |length: u32| [&b"DUOH\x01\x03\0\0"[..], &length.to_be_bytes()].concat();
    refuse("another magic in the first 12 bytes", "W-HDR-2", "bad_magic", early, &start(0, 0));
    refuse("version 3 in the first 12 bytes", "W-HDR-3", "bad_version", early, &start(4, 3));
    refuse("a length of 43", "W-HDR-4", "bad_length", early, &length(43));
    refuse("a length of 0", "W-HDR-4", "bad_length", late, &length(0));
    refuse("8 KiB and one byte, before the handshake is done", "W-HDR-5", "too_long", early, &length(8193));
    refuse("8 MiB and one byte, after it", "W-HDR-5", "too_long", late, &length(8_388_609));
    refuse("4 GiB", "W-HDR-5", "too_long", late, &length(u32::MAX));
    refuse(
        "another magic after a packet",
        "W-HDR-2",
        "bad_magic",
        early,
        &[&cookie(68)[..], &start(3, 0)].concat(),
    );
    refuse("another magic and version", "W-HDR-2", "bad_magic", early, &[0; 12]);
    suite
}

pub(crate) fn windows() -> Suite {
    let mut suite = Suite::new(
        "window",
        "window",
        &[
            "sequences come in this order in packets that open; accepted says which are taken (W-RCV-2, W-RCV-7).",
            "Every case is valid: what is refused is one sequence.",
        ],
    );
    let high = (1_u64 << 63) - 1;
    let cases: &[(&str, &[(u64, bool)])] = &[
        ("in order", &[(0, true), (1, true), (2, true)]),
        ("a repeat", &[(0, true), (0, false), (1, true), (1, false), (0, false)]),
        ("out of order, each once", &[(5, true), (3, true), (4, true), (3, false), (0, true), (5, false)]),
        ("the first may be any", &[(1_000_000, true), (1_000_000, false), (1_000_001, true)]),
        (
            "n - 1023 is in the window, n - 1024 is not",
            &[(1023, true), (0, true), (2000, true), (977, true), (976, false), (977, false)],
        ),
        (
            "a jump empties the window",
            &[(7, true), (5000, true), (7, false), (3977, true), (3976, false), (4500, true), (4500, false)],
        ),
        ("a jump by just the window", &[(10, true), (1034, true), (11, true), (10, false), (1034, false)]),
        (
            "the highest sequence, and 2^63",
            &[(high, true), (high, false), (1 << 63, false), (u64::MAX, false), (high - 1, true)],
        ),
        ("2^63 first", &[(1 << 63, false), (0, true)]),
        (
            "a refused sequence moves nothing",
            &[(100, true), (1 << 63, false), (0, true), (1123, true), (99, false), (101, true)],
        ),
    ];
    for (comment, steps) in cases {
        let sequences = steps.iter().map(|(sequence, _)| sequence.show()).collect();
        let accepted = steps.iter().map(|(_, accepted)| accepted.show()).collect();
        suite.valid(comment, vec![("sequences", J::List(sequences)), ("accepted", J::List(accepted))]);
    }
    suite
}
