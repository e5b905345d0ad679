//! What clients ask of the state and of blocks.

use super::*;

pub(super) fn state_query() -> Case {
    let patches = vec![
        ("the question is longer than what is left", "W-ENC-2", "truncated", 8, vec![0, 0, 0, 200]),
        ("a question of 4 GiB is promised", "W-ENC-2", "truncated", 8, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest", StateQuery::default().into()),
        (
            "usual",
            StateQuery { request: 7, question: Bytes::from(vec![0xB1; 60]), extensions: none() }.into(),
        ),
        (
            "every bit set",
            StateQuery { request: MAX, question: Bytes::from(vec![0xFF; 1500]), extensions: none() }.into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn state_answer() -> Case {
    let patches = vec![
        ("known is neither 0 nor 1", "W-ENC-1", "bad_value", 8, vec![2]),
        ("the answer is longer than what is left", "W-ENC-2", "truncated", 17, vec![0, 0, 0, 200]),
        ("a answer of 4 GiB is promised", "W-ENC-2", "truncated", 17, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest", StateAnswer::default().into()),
        (
            "usual",
            StateAnswer {
                request: 7,
                known: true,
                height: Height(101),
                answer: Bytes::from(vec![0xB1; 60]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            StateAnswer {
                request: MAX,
                known: true,
                height: Height(MAX),
                answer: Bytes::from(vec![0xFF; 1500]),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn block_query() -> Case {
    Case::of(vec![
        ("smallest", BlockQuery::default().into()),
        ("usual", BlockQuery { request: 7, height: Height(101), extensions: none() }.into()),
        ("every bit set", BlockQuery { request: MAX, height: Height(MAX), extensions: none() }.into()),
    ])
}

pub(super) fn block_answer() -> Case {
    let patches = vec![
        ("the block is longer than what is left", "W-ENC-2", "truncated", 16, vec![0, 0, 0, 200]),
        ("a block of 4 GiB is promised", "W-ENC-2", "truncated", 16, vec![0xFF; 4]),
    ];
    let valid = vec![
        ("smallest", BlockAnswer::default().into()),
        (
            "usual",
            BlockAnswer {
                request: 7,
                height: Height(101),
                block: Bytes::from(vec![0xB1; 60]),
                extensions: none(),
            }
            .into(),
        ),
        (
            "every bit set",
            BlockAnswer {
                request: MAX,
                height: Height(MAX),
                block: Bytes::from(vec![0xFF; 1500]),
                extensions: none(),
            }
            .into(),
        ),
    ];
    Case { valid, patches }
}

pub(super) fn subscribe() -> Case {
    Case::of(vec![
        ("smallest", Subscribe::default().into()),
        ("usual", Subscribe { request: 7, from: Height(101), count: 3, extensions: none() }.into()),
        (
            "every bit set",
            Subscribe { request: MAX, from: Height(MAX), count: u32::MAX, extensions: none() }.into(),
        ),
    ])
}
