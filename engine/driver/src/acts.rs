//! What was asked of a process at its control socket or by a signal, kept beside its store: who, when and why, each line signed by the
//! process and chained to the one before (spec/behaviour.md, B-CTL-2 and 3). `duohuo history --config` with the process's
//! configuration shows it.

use crate::hooks::words::Answer;
use crate::keys::{hex, parse_hex};
use crate::socket::Caller;
use duohuo_wire::sign::{self, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{Error, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LABEL: &[u8] = b"duohuo act 1";
/// Taken at once.
const BURST: u32 = 20;
/// Another one after so long.
const PACE: Duration = Duration::from_secs(60);
/// Of a longer file the older half is dropped.
const MOST_BYTES: u64 = 1 << 20;

/// In the place of a user or a group that the kernel did not tell: no user and no group has that number.
pub const UNTOLD: u32 = u32::MAX;

/// One thing that was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// From 1, without gaps.
    pub number: u64,
    /// When, by this machine's clock.
    pub at_unix_us: u64,
    /// What.
    pub what: String,
    /// In the words of who asked.
    pub why: String,
    /// Who, as the kernel said: the number of the user; [`UNTOLD`]: it did not.
    pub user: u32,
    /// Its name on this machine then; empty: it had none.
    pub name: String,
    /// Its primary group; [`UNTOLD`]: the kernel does not tell it with a signal.
    pub group: u32,
    /// From which process; 0: the kernel did not say.
    pub process: i32,
    /// SHA-256 of the line before, in hexadecimal; zeros before the first.
    before: String,
    /// By the process's signing key, over the label and the line with an empty signature.
    signature: String,
}

/// Where the acts of a process are kept.
#[must_use]
pub fn path_beside(store: &Path) -> PathBuf {
    store.with_extension("acts")
}

/// The acts that a file holds, verified: each signed, each chained to the one before.
///
/// # Errors
/// It cannot be read, or its first line that does not hold.
pub fn read(path: &Path, key: &VerifyingKey) -> Result<Vec<Act>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut acts: Vec<Act> = Vec::new();
    let mut last = None;
    // what does not end was not answered, and nothing was done
    for (number, line) in (1..).zip(text.split_inclusive('\n').filter(|line| line.ends_with('\n'))) {
        let wrong = |what: &str| Err(format!("{}: line {number}: {what}", path.display()));
        let Ok(act) = serde_json::from_str::<Act>(line) else { return wrong("no act") };
        if !is_signed(&act, key) {
            return wrong("not signed by the process");
        }
        let follows = acts.last().is_none_or(|before| act.number == before.number + 1);
        if !follows || last.is_some_and(|hash: String| hash != act.before) {
            return wrong("does not follow the line before: something was changed or taken away");
        }
        last = Some(hash(line));
        acts.push(act);
    }
    Ok(acts)
}

fn hash(line: &str) -> String {
    hex(&Sha256::digest(line.trim_end().as_bytes()))
}

fn signed_bytes(act: &Act) -> Vec<u8> {
    let bare = Act { signature: String::new(), ..act.clone() };
    [LABEL, serde_json::to_string(&bare).unwrap_or_default().as_bytes()].concat()
}

fn is_signed(act: &Act, key: &VerifyingKey) -> bool {
    parse_hex::<64>(&act.signature).is_some_and(|signature| sign::verify(key, &signed_bytes(act), &signature))
}

/// The end of the file, to which acts are added.
pub(crate) struct Acts {
    path: PathBuf,
    key: SigningKey,
    inner: Mutex<Inner>,
}

struct Inner {
    file: File,
    number: u64,
    before: String,
    /// What the socket may still ask, and signals, so that neither keeps the other from being kept.
    by_socket: Allowance,
    by_signal: Allowance,
}

/// So many at once, and another one after a while.
struct Allowance {
    left: u32,
    filled_at: Instant,
}

impl std::fmt::Debug for Acts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Acts({}, ..)", self.path.display())
    }
}

impl Acts {
    /// Goes on where the file ends. A last line that is cut was never answered, and goes.
    ///
    /// # Errors
    /// The file cannot be read or written, or its last line is none of this process.
    pub(crate) fn open(path: &Path, key: SigningKey) -> Result<Self, Error> {
        let text = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.set_len(u64::try_from(whole).unwrap_or(u64::MAX))?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        let (number, before) = match text.get(..whole).and_then(|text| text.lines().last()) {
            None => (0, "0".repeat(64)),
            Some(line) => {
                let act = serde_json::from_str::<Act>(line).ok();
                let own = act.filter(|act| is_signed(act, &key.verifying_key()));
                let damaged = "its last line is no act of this process: move the file away, and if no node of another number was here before, find out who changed it";
                (own.ok_or_else(|| Error::other(damaged))?.number, hash(line))
            }
        };
        let full = || Allowance { left: BURST, filled_at: Instant::now() };
        let inner = Inner { file, number, before, by_socket: full(), by_signal: full() };
        Ok(Self { path: path.into(), key, inner: Mutex::new(inner) })
    }

    /// On disk, or refused: then nothing may be done.
    pub(crate) fn record(&self, what: &str, why: &str, caller: Caller) -> Result<(), Answer> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.by_socket.take(Instant::now()) {
            let about = format!(
                "{BURST} at once and one a minute are taken, since all are kept; systemctl and signals do the same"
            );
            return Err(Answer::refusal("too_many", about));
        }
        self.keep(&mut inner, what, why, caller).map_err(|e| {
            Answer::refusal("not_kept", format!("{}: {e}; nothing was done", self.path.display()))
        })
    }

    /// What a signal does, which is done whatever becomes of this (B-CTL-3). A stop is kept however many came before: there is one.
    ///
    /// # Errors
    /// The disk, or there were too many.
    pub(crate) fn record_signal(
        &self,
        what: &str,
        why: &str,
        caller: Caller,
        stops: bool,
    ) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !stops && !inner.by_signal.take(Instant::now()) {
            return Err(Error::other(format!("{BURST} at once and one a minute are kept")));
        }
        self.keep(&mut inner, what, why, caller)
    }

    fn keep(&self, inner: &mut Inner, what: &str, why: &str, caller: Caller) -> Result<(), Error> {
        let mut act = Act {
            number: inner.number + 1,
            at_unix_us: now_us(),
            what: what.into(),
            why: why.into(),
            user: caller.user,
            name: name_of(caller.user),
            group: caller.group,
            process: caller.process,
            before: inner.before.clone(),
            signature: String::new(),
        };
        act.signature = hex(&sign::sign(&self.key, &signed_bytes(&act)));
        self.append(inner, &act)
    }

    fn append(&self, inner: &mut Inner, act: &Act) -> Result<(), Error> {
        let line = serde_json::to_string(act)? + "\n";
        let end = inner.file.metadata()?.len();
        let added = inner.file.write_all(line.as_bytes()).and_then(|()| inner.file.sync_data());
        if let Err(e) = added {
            // half a line would end the chain
            inner.file.set_len(end)?;
            return Err(e);
        }
        (inner.number, inner.before) = (act.number, hash(&line));
        if end > MOST_BYTES {
            inner.file = self.halved()?;
        }
        Ok(())
    }

    /// The newer half of the lines in the place of all.
    fn halved(&self) -> Result<File, Error> {
        let text = std::fs::read_to_string(&self.path)?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let newer = lines.iter().skip(lines.len() / 2).copied().collect::<String>();
        let aside = self.path.with_extension("acts-new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(newer.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&aside, &self.path)?;
        OpenOptions::new().append(true).open(&self.path)
    }
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        while self.left < BURST && now.saturating_duration_since(self.filled_at) >= PACE {
            self.left += 1;
            self.filled_at += PACE;
        }
        if self.left == BURST {
            self.filled_at = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Of a user of this machine.
fn name_of(user: u32) -> String {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(user)).then(|| name.to_owned())
    };
    accounts.lines().find_map(named).unwrap_or_default()
}

#[cfg(test)]
#[path = "acts_tests.rs"]
mod tests;
