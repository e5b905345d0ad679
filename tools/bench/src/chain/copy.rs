//! The peer of catching up: the same number of bytes by plain TCP on loopback, sealed with AES-GCM in pieces of 256 KiB.

use crate::statistics::processor_seconds;
use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

const PIECE: usize = 256 << 10;
const TAG: usize = 16;

fn nonce(number: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    let (_, low) = bytes.split_at_mut(4);
    low.copy_from_slice(&number.to_be_bytes());
    bytes
}

fn send(listener: &TcpListener, pieces: u64) -> Result<(), String> {
    let (mut stream, _) = listener.accept().map_err(|e| e.to_string())?;
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let mut piece = vec![0x5A; PIECE];
    for number in 0..pieces {
        let tag: [u8; TAG] = cipher
            .encrypt_inout_detached((&nonce(number)).into(), &[], piece.as_mut_slice().into())
            .map_err(|e| e.to_string())?
            .into();
        stream.write_all(&piece).and_then(|()| stream.write_all(&tag)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Megabytes a second, and a second of processor time of both ends together.
pub(crate) fn speeds(bytes: usize) -> Result<[f64; 2], String> {
    let from = processor_seconds(true);
    let pieces = bytes.div_ceil(PIECE).max(1);
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let begin = Instant::now();
    let sender = std::thread::spawn(move || send(&listener, pieces as u64));
    let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    let cipher = Aes256Gcm::new(&[7; 32].into());
    let (mut piece, mut tag) = (vec![0; PIECE], [0; TAG]);
    for number in 0..pieces as u64 {
        stream
            .read_exact(&mut piece)
            .and_then(|()| stream.read_exact(&mut tag))
            .map_err(|e| e.to_string())?;
        cipher
            .decrypt_inout_detached((&nonce(number)).into(), &[], piece.as_mut_slice().into(), (&tag).into())
            .map_err(|e| e.to_string())?;
        std::hint::black_box(&piece);
    }
    sender.join().map_err(|_| "the sender broke")??;
    let megabytes = (pieces * PIECE) as f64 / 1e6;
    Ok([megabytes / begin.elapsed().as_secs_f64(), megabytes / (processor_seconds(true) - from)])
}
