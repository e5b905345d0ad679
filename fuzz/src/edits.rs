//! Changes to bytes that were genuine, drawn from the input: what an attacker on the way can do.

use bytes::Bytes;
use duohuo_wire::header::CRC_BYTES;

use duohuo_tests::crc::crc32;

use crate::draw::Draw;

/// Edits a packet and makes its length and CRC right again (or leaves them, by choice). No edit drawn: the packet as it
/// was.
pub(crate) fn edit(packet: &[u8], draw: &mut Draw<'_>) -> Bytes {
    let mut bytes = damage(packet, draw);
    if bytes != packet && draw.byte() != 0xFF {
        repair(&mut bytes);
    }
    bytes.into()
}

/// Edits any bytes.
pub(crate) fn damage(genuine: &[u8], draw: &mut Draw<'_>) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for _ in 0..draw.byte() % 8 {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(draw.u16()) % bytes.len();
        match draw.byte() % 6 {
            0 => bytes[at] ^= 1 << (draw.byte() % 8),
            1 => bytes[at] = draw.byte(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, draw.byte()),
            4 => {
                let with = draw.short();
                let end = (at + with.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&with[..end - at]);
            }
            _ => {
                bytes.remove(at);
            }
        }
    }
    bytes
}

/// Makes length and CRC those of the bytes: damage that only keys can tell.
pub(crate) fn repair(bytes: &mut [u8]) {
    let Some(covered) = bytes.len().checked_sub(CRC_BYTES) else {
        return;
    };
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    if let Some(field) = bytes.get_mut(8..12) {
        field.copy_from_slice(&length.to_be_bytes());
    }
    let crc = crc32(&bytes[..covered]);
    bytes[covered..].copy_from_slice(&crc.to_be_bytes());
}
