//! A fault on purpose: proof that the machinery finds what is there. Never part of a campaign.

/// Panics on the planted sequence, which is found a byte at a time if coverage guides the search.
pub(crate) fn planted(data: &[u8]) {
    if let [b'D', b'U', b'O', b'H', 0x5F, b'!', ..] = data {
        panic!("the planted fault was reached");
    }
}
