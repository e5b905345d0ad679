//! A socket at which somebody on this machine speaks to the process: the service beside a node, or its operator. It has threads
//! of its own, and the loop takes one question after the other: whoever floods it makes only itself wait. Who calls is asked of
//! the kernel.

use crate::acts::Acts;
use crate::hooks::words::{Answer, MOST_LINE};
use mio::Waker;
use rustix::process::{Gid, Uid};
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

/// What can be asked.
pub(crate) trait Question: Sized + Send + 'static {
    /// A line as a question.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(line: &[u8]) -> Result<Self, Answer>;

    /// What it would change, and why, if that is to be kept.
    fn act(&self) -> Option<(&'static str, &str)> {
        None
    }
}

/// Who calls, as the kernel says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) process: i32,
}

/// Who may call, beside our own user and root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Admitted {
    pub(crate) users: Vec<u32>,
    /// Their primary group: the kernel tells no other.
    pub(crate) groups: Vec<u32>,
}

/// A question that waits for the loop.
#[derive(Debug)]
pub(crate) struct Asked<Q> {
    pub(crate) request: Q,
    pub(crate) caller: Caller,
    pub(crate) reply: SyncSender<Answer>,
}

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Socket<Q> {
    path: PathBuf,
    asked: Receiver<Asked<Q>>,
}

struct Shared<Q> {
    asked: SyncSender<Asked<Q>>,
    waker: Waker,
    admitted: Admitted,
    /// Where acts are kept, if they are.
    acts: Option<Arc<Acts>>,
    connections: AtomicUsize,
    refused: AtomicUsize,
}

impl<Q: Question> Socket<Q> {
    /// Bind it, mode 0600, in the place of one that nobody listens at any more; `waker` is woken for each question. With
    /// others admitted than its owner all may connect, and the kernel's word about them decides.
    ///
    /// # Errors
    /// Somebody listens there, something else is there, or the directory is not ours to write to.
    pub(crate) fn listen(
        path: &Path,
        waker: Waker,
        admitted: Admitted,
        acts: Option<Arc<Acts>>,
    ) -> Result<Self, Error> {
        let mode = if admitted == Admitted::default() { 0o600 } else { 0o666 };
        let listener = bind(path, mode)?;
        let (sender, asked) = sync_channel(MOST_WAITING);
        let shared = Arc::new(Shared {
            asked: sender,
            waker,
            admitted,
            acts,
            connections: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        });
        let accepting = std::thread::Builder::new().name("socket".into());
        accepting.spawn(move || accept(&listener, &shared))?;
        Ok(Self { path: path.into(), asked })
    }

    /// The next question.
    pub(crate) fn next(&self) -> Option<Asked<Q>> {
        self.asked.try_recv().ok()
    }
}

impl<Q> Drop for Socket<Q> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind(path: &Path, mode: u32) -> Result<UnixListener, Error> {
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
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode))?;
    std::fs::rename(&new, path)?;
    Ok(listener)
}

fn accept<Q: Question>(listener: &UnixListener, shared: &Arc<Shared<Q>>) {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // out of descriptors, most likely
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let admitted = admit(&stream, shared);
        // Who is refused is told, too, unless so many are that they are a flood.
        let (counter, most) = match admitted {
            Ok(_) => (&shared.connections, MOST_CONNECTIONS),
            Err(_) => (&shared.refused, MOST_REFUSED),
        };
        if counter.load(Ordering::Relaxed) >= most {
            continue;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let served = Arc::clone(shared);
        let is_refused = admitted.is_err();
        let spawned = std::thread::Builder::new().name("socket-words".into()).spawn(move || {
            // an error: the other side is gone
            let _ = match admitted {
                Ok(caller) => serve(&stream, caller, &served),
                Err(refusal) => refuse(&stream, &refusal),
            };
            let counter = if is_refused { &served.refused } else { &served.connections };
            counter.fetch_sub(1, Ordering::Relaxed);
        });
        if spawned.is_err() {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Our own user, root, or one of those admitted; the mode may say the same, but a mode can be changed.
fn admit<Q>(stream: &UnixStream, shared: &Shared<Q>) -> Result<Caller, Answer> {
    let refused = |about: String| Answer::refusal("forbidden", about);
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|e| refused(e.to_string()))?;
    let own = rustix::process::geteuid();
    if !may_speak(peer.uid, peer.gid, own, &shared.admitted) {
        let others = if shared.admitted == Admitted::default() { "" } else { ", and who is admitted" };
        return Err(refused(format!(
            "user {} may not speak here, only {} and root{others}",
            peer.uid.as_raw(),
            own.as_raw()
        )));
    }
    if shared.connections.load(Ordering::Relaxed) >= MOST_CONNECTIONS {
        return Err(Answer::refusal("too_many", format!("at most {MOST_CONNECTIONS} connections")));
    }
    Ok(Caller {
        user: peer.uid.as_raw(),
        group: peer.gid.as_raw(),
        process: rustix::process::Pid::as_raw(Some(peer.pid)),
    })
}

fn may_speak(user: Uid, group: Gid, own: Uid, admitted: &Admitted) -> bool {
    user == own
        || user.is_root()
        || admitted.users.contains(&user.as_raw())
        || admitted.groups.contains(&group.as_raw())
}

/// One question after the other, until the other side ends, is silent, or says what is none.
fn serve<Q: Question>(stream: &UnixStream, caller: Caller, shared: &Shared<Q>) -> Result<(), Error> {
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
        let answer = match Q::read(&line) {
            Ok(request) => {
                // on this thread: the loop waits for no disk
                let kept = match (request.act(), &shared.acts) {
                    (Some((what, why)), Some(acts)) => acts.record(what, why, caller),
                    _ => Ok(()),
                };
                kept.map_or_else(|refusal| refusal, |()| ask(request, caller, shared))
            }
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

fn ask<Q>(request: Q, caller: Caller, shared: &Shared<Q>) -> Answer {
    let (reply, answered) = sync_channel(1);
    match shared.asked.try_send(Asked { request, caller, reply }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => return Answer::refusal("busy", "try again"),
        Err(TrySendError::Disconnected(_)) => return Answer::refusal("busy", "this process stops"),
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
