//! The cut of a stream into reads changes nothing: the same packets, or the same refusal.
#![no_main]

use bytes::Bytes;
use duohuo_wire::error::DecodeError;
use duohuo_wire::header::MAX_HANDSHAKE_FRAME;
use duohuo_wire::stream::FrameReader;
use libfuzzer_sys::fuzz_target;

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Bytes>, Option<DecodeError>) {
    let mut reader = FrameReader::new(MAX_HANDSHAKE_FRAME);
    let mut frames = Vec::new();
    for piece in pieces {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|data: &[u8]| {
    // The first byte is the length of the pieces.
    let Some((size, stream)) = data.split_first() else {
        return;
    };
    let whole = read(core::iter::once(stream));
    let cut = read(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, cut);
});
