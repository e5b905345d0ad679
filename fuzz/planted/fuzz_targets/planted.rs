//! A fault on purpose: proof that the machinery finds what is there. Never part of a campaign.
#![no_main]

// Found a byte at a time, if coverage guides the search.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let [b'D', b'U', b'O', b'H', 0x5F, b'!', ..] = data {
        panic!("the planted fault was reached");
    }
});
