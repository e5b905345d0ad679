//! The socket at which the service beside a node speaks to it. It has threads of its own, and the loop takes one question
//! after the other: whoever floods it makes only itself wait.

use super::words::{self, Answer, MOST_LINE, Request};
use crate::error::DriverError;
use mio::Waker;
use rustix::process::Uid;
use std::io::{BufRead as _, BufReader, Error, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Connections at a time.
const MOST_CONNECTIONS: usize = 8;
/// Connections that are being told why they are refused.
const MOST_REFUSED: usize = 8;
/// Questions that wait for the loop.
const MOST_WAITING: usize = 16;
/// Questions of one connection in [`PACE`]; the rest waits.
const MOST_IN_PACE: u32 = 100;
const PACE: Duration = Duration::from_secs(1);
/// Of a line that is too long so much more is read, and dropped.
const MOST_DROPPED: u64 = 64 * 1024;
/// A connection that is silent for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// How long an answer of the loop, or the taking of one, may last.
const PATIENCE: Duration = Duration::from_secs(2);

/// A question that waits for the loop.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) reply: SyncSender<Answer>,
}

/// The loop's end.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    asked: Receiver<Asked>,
}

struct Shared {
    asked: SyncSender<Asked>,
    waker: Waker,
    connections: AtomicUsize,
    refused: AtomicUsize,
}

impl Socket {
    /// Bind it, mode 0600, in the place of one that nobody listens at any more; `waker` is woken for each question.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the directory is not ours to write to.
    pub(super) fn listen(path: &Path, waker: Waker) -> Result<Self, DriverError> {
        let wrong = |source| DriverError::HookSocket { path: path.into(), source };
        let listener = bind(path).map_err(wrong)?;
        let (sender, asked) = sync_channel(MOST_WAITING);
        let shared = Arc::new(Shared {
            asked: sender,
            waker,
            connections: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let accepting = std::thread::Builder::new().name("hook-socket".into());
        accepting.spawn(move || accept(&listener, &shared)).map_err(wrong)?;
        Ok(Self { path: path.into(), asked })
    }

    /// The next question.
    pub(super) fn next(&self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind(path: &Path) -> Result<UnixListener, Error> {
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(Error::new(ErrorKind::AlreadyExists, "something that is no socket is there"));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => {}
            Err(e) => return Err(e),
            Ok(_) => return Err(Error::new(ErrorKind::AddrInUse, "another process listens there")),
        },
    }
    // Nobody may connect before the mode is right.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let _ = std::fs::remove_file(&new);
    let listener = UnixListener::bind(&new)?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // out of descriptors, most likely
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let refusal = admit(&stream, shared).err();
        // Who is refused is told, too, unless so many are that they are a flood.
        let (counter, most) = match refusal {
            None => (&shared.connections, MOST_CONNECTIONS),
            Some(_) => (&shared.refused, MOST_REFUSED),
        };
        if counter.load(Ordering::Relaxed) >= most {
            continue;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let served = Arc::clone(shared);
        let is_refused = refusal.is_some();
        let spawned = std::thread::Builder::new().name("hook-words".into()).spawn(move || {
            // an error: the other side is gone
            let _ = refusal.map_or_else(|| serve(&stream, &served), |refusal| refuse(&stream, &refusal));
            let counter = if is_refused { &served.refused } else { &served.connections };
            counter.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Our own user, or root; the mode says the same, but a mode can be changed.
fn admit(stream: &UnixStream, shared: &Shared) -> Result<(), Answer> {
    let refused = |about: String| Answer::refusal("forbidden", about);
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| refused(e.to_string()))?;
    let own = rustix::process::geteuid();
    if !may_speak(peer.uid, own) {
        return Err(refused(format!(
            "user {} may not speak here, only {} and root",
            peer.uid.as_raw(),
            own.as_raw()
        )));
    }
    if shared.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
        return Err(Answer::refusal("too_many", format!("at most {MOST_CONNECTIONS} connections")));
    }
    Ok(())
}

fn may_speak(peer: Uid, own: Uid) -> bool {
    peer == own || peer.is_root()
}

/// One question after the other, until the other side ends, is silent, or says what is none.
fn serve(stream: &UnixStream, shared: &Shared) -> Result<(), Error> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut input = BufReader::with_capacity(MOST_LINE, stream);
    let (mut begun, mut count) = (Instant::now(), 0);
    loop {
        let mut line = Vec::new();
        let limit = u64::try_from(MOST_LINE).unwrap_or(u64::MAX);
        let read = (&mut input).take(limit).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            let refusal = match read {
                MOST_LINE => Answer::refusal("too_long", format!("a line has at most {MOST_LINE} bytes")),
                _ => Answer::refusal("malformed", "the line does not end"),
            };
            return refuse(stream, &refusal);
        }
        let answer = match words::read(&line) {
            Ok(request) => ask(request, shared),
            Err(refusal) => refusal,
        };
        (&*stream).write_all(answer.line().as_bytes())?;
        count += 1;
        let age = begun.elapsed();
        if age >= PACE {
            (begun, count) = (Instant::now(), 0);
        } else if count >= MOST_IN_PACE {
            std::thread::sleep(PACE - age);
        }
    }
}

/// The last word. What was sent already is read and dropped, up to a bound: else the other side would be told of a
/// reset before it has read the answer.
fn refuse(mut stream: &UnixStream, refusal: &Answer) -> Result<(), Error> {
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(refusal.line().as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    std::io::copy(&mut stream.take(MOST_DROPPED), &mut std::io::sink()).map(|_| ())
}

fn ask(request: Request, shared: &Shared) -> Answer {
    let (reply, answered) = sync_channel(1);
    match shared.asked.try_send(Asked { request, reply }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return Answer::refusal("busy", "try again"),
        Err(TrySendError::Disconnected(_)) => return Answer::refusal("busy", "the node stops"),
    }
    // an error: the loop is gone, and nobody answers
    let _ = shared.waker.wake();
    answered.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        Answer::refusal("busy", "no answer in time; what was said may have been taken: say it again")
    })
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
