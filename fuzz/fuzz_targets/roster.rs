//! A roster that is accepted is valid, and encodes to the bytes it came from.
#![no_main]

use bytes::BytesMut;
use duohuo_wire::roster::Roster;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(roster) = Roster::decode(data) else {
        return;
    };
    assert_eq!(roster.validate(), Ok(()));
    let mut bytes = BytesMut::new();
    roster.encode(&mut bytes);
    assert_eq!(&bytes[..], data);
});
