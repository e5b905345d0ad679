//! Every body that is accepted has exactly one encoding (W-ENC-4), whatever its type; nothing panics (W-ENC-5).
#![no_main]

use bytes::BytesMut;
use duohuo_wire::packet::{Packet, PacketType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The first byte picks the type, so that one corpus serves all of them.
    let Some((pick, body)) = data.split_first() else {
        return;
    };
    let types = PacketType::ALL;
    let code = types[usize::from(*pick) % types.len()].code();
    let Ok(packet) = Packet::decode(code, body) else {
        return;
    };
    let mut bytes = BytesMut::new();
    packet.encode(&mut bytes);
    assert_eq!(&bytes[..], body, "an accepted body encodes to itself");
    assert_eq!(Packet::decode(code, &bytes), Ok(packet));
});
