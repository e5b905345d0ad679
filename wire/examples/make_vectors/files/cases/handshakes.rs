//! Opening a session.

use super::*;

pub(super) fn handshake_init() -> Case {
    Case::of(vec![
        ("smallest", HandshakeInit { initiator_session: 1, ..HandshakeInit::default() }.into()),
        (
            "usual: only the shape is checked here, see handshake.json",
            HandshakeInit {
                initiator_session: 77,
                noise: [0xA1; 108],
                mac1: [0xB1; 16],
                mac2: [0; 16],
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            HandshakeInit {
                initiator_session: MAX,
                noise: [0xFF; 108],
                mac1: [0xFF; 16],
                mac2: [0xFF; 16],
                extensions: none(),
            }
            .into(),
        ),
        (
            "speaks 1 and 2",
            HandshakeInit { initiator_session: 1, extensions: range(&[1, 2]), ..Default::default() }.into(),
        ),
        (
            "a range whose ends are the wrong way round: as if it were absent",
            HandshakeInit { initiator_session: 1, extensions: range(&[2, 1]), ..Default::default() }.into(),
        ),
    ])
}

fn range(versions: &[u8]) -> Extensions {
    let mut extensions = none();
    extensions.insert(1, versions);
    extensions
}

pub(super) fn handshake_response() -> Case {
    Case::of(vec![
        (
            "smallest",
            HandshakeResponse { initiator_session: 1, responder_session: 1, ..HandshakeResponse::default() }
                .into(),
        ),
        (
            "usual: only the shape is checked here, see handshake.json",
            HandshakeResponse {
                initiator_session: 77,
                responder_session: 88,
                noise: [0xA2; 48],
                mac1: [0xB2; 16],
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            HandshakeResponse {
                initiator_session: MAX,
                responder_session: MAX,
                noise: [0xFF; 48],
                mac1: [0xFF; 16],
                extensions: none(),
            }
            .into(),
        ),
        (
            "speaks 1 to 3",
            HandshakeResponse {
                initiator_session: 1,
                responder_session: 2,
                extensions: range(&[1, 3]),
                ..Default::default()
            }
            .into(),
        ),
    ])
}

pub(super) fn cookie() -> Case {
    Case::of(vec![
        ("smallest", Cookie { initiator_session: 1, cookie: [0; 16], extensions: none() }.into()),
        ("usual", Cookie { initiator_session: 77, cookie: [0xC0; 16], extensions: none() }.into()),
        ("every bit set", Cookie { initiator_session: MAX, cookie: [0xFF; 16], extensions: none() }.into()),
    ])
}
