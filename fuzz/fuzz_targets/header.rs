//! The checks of spec/wire.md section 2.1 on any bytes: a whole unsealed packet that is accepted is well-formed.
#![no_main]

use duohuo_wire::header::Header;
use duohuo_wire::packet::Packet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A fuzzer seldom finds a CRC: the right one is put in place, and the bytes are tried as they are as well.
    let _ = Header::decode(data);
    let _ = Packet::decode_unsealed(data);
    let Some(body) = data.len().checked_sub(4) else {
        return;
    };
    let mut bytes = data.to_vec();
    let crc = crc32(&bytes[..body]);
    bytes[body..].copy_from_slice(&crc.to_be_bytes());
    let header = Header::decode(&bytes);
    if let Ok((accepted, _)) = Packet::decode_unsealed(&bytes) {
        assert_eq!(Ok(accepted), header, "what is read whole has a header that is read alone");
    }
});

/// IEEE CRC-32, bit by bit: not the code under test.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
