//! Bytes that the authority did not seal open to nothing, and nothing panics (mission AUTH-5).
#![no_main]

use duohuo_wire::ids::ClusterId;
use duohuo_wire::sealed_id;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let binding = sealed_id::binding(&[3; 32], &[4; 32]);
    let opened = sealed_id::open(&[7; 32], data, ClusterId(1), &[1; 16], &binding);
    assert!(opened.is_err(), "who has no key of the authority cannot make a sealed ID");
});
