//! What nothing that is durable and replicated can be faster than, on this disk and this loopback.

use crate::statistics::Summary;
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

const SAMPLES: usize = 200;

/// Durable writes and messages.
#[derive(Serialize)]
pub(crate) struct Floor {
    /// Appending 4 KiB and fdatasync, in milliseconds.
    pub(crate) fsync_ms: Summary,
    /// 128 bytes there and back by TCP on loopback.
    pub(crate) round_trip_ms: Summary,
    /// One durable write, proposal, prevote, precommit one way each, and the client's round trip.
    pub(crate) commit_ms: f64,
}

pub(crate) fn measure(directory: &Path) -> Result<Floor, String> {
    let fsync_ms = Summary::of(fsync(directory).map_err(|e| format!("{}: {e}", directory.display()))?)
        .ok_or("no samples")?;
    let round_trip_ms =
        Summary::of(round_trips().map_err(|e| format!("loopback: {e}"))?).ok_or("no samples")?;
    let commit_ms = fsync_ms.median + 2.5 * round_trip_ms.median;
    Ok(Floor { fsync_ms, round_trip_ms, commit_ms })
}

fn fsync(directory: &Path) -> std::io::Result<Vec<f64>> {
    let path = directory.join(format!("duohuo-bench-{}", std::process::id()));
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begin = Instant::now();
        file.write_all(&[0x5A; 4096])?;
        file.sync_data()?;
        samples.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(&path)?;
    Ok(samples)
}

fn round_trips() -> std::io::Result<Vec<f64>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut bytes = [0; 128];
        for _ in 0..SAMPLES {
            stream.read_exact(&mut bytes)?;
            stream.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut bytes = [0; 128];
    let mut samples = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let begin = Instant::now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        samples.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let _ = echo.join();
    Ok(samples)
}
