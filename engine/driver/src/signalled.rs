//! What signals do is kept as what the control socket asks (B-CTL-3), by a thread of its own: the loop waits for no disk, and nobody
//! is kept from stopping a process by one that does not write.

use crate::acts::{Acts, path_beside};
use crate::socket::Caller;
use duohuo_wire::sign::SigningKey;
use std::io::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Signals that wait for the disk.
const MOST_WAITING: usize = 32;

/// What one did.
#[derive(Debug)]
pub(crate) struct Signalled {
    pub(crate) what: &'static str,
    pub(crate) why: String,
    pub(crate) caller: Caller,
    /// The process ends by it.
    pub(crate) stops: bool,
}

/// Where acts are kept.
pub(crate) enum Place {
    /// The control socket has it open.
    Open(Arc<Acts>),
    /// Opened with the first signal: who never gets one has no such file.
    Beside(PathBuf, SigningKey),
}

impl Place {
    /// Beside a store.
    pub(crate) fn beside(store: &Path, key: &SigningKey) -> Self {
        Self::Beside(path_beside(store), key.clone())
    }

    fn acts(&mut self) -> Result<Arc<Acts>, Error> {
        let acts = match self {
            Self::Open(acts) => Arc::clone(acts),
            Self::Beside(path, key) => Arc::new(Acts::open(path, key.clone())?),
        };
        *self = Self::Open(Arc::clone(&acts));
        Ok(acts)
    }
}

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Keeping {
    kept: SyncSender<Signalled>,
    done: Receiver<()>,
}

impl Keeping {
    /// # Errors
    /// No thread can be made.
    pub(crate) fn start(mut place: Place) -> Result<Self, Error> {
        let (kept, signals) = sync_channel::<Signalled>(MOST_WAITING);
        let (ends, done) = sync_channel(1);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for Signalled { what, why, caller, stops } in signals {
                let written = place.acts().and_then(|acts| acts.record_signal(what, &why, caller, stops));
                if let Err(e) = written {
                    tracing::warn!("{what}: {why}: it is done, and not kept among the acts: {e}");
                }
            }
            drop(ends);
        })?;
        Ok(Self { kept, done })
    }

    /// Keep it; the loop goes on.
    pub(crate) fn keep(&self, signalled: Signalled) {
        if let Err(e) = self.kept.try_send(signalled) {
            tracing::warn!("a signal is not kept among the acts: {e}");
        }
    }

    /// The process ends: what waits for the disk is waited for, as long as `patience` lasts.
    pub(crate) fn finish(self, patience: Duration) {
        let Self { kept, done } = self;
        drop(kept);
        let _ = done.recv_timeout(patience);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acts::{UNTOLD, read};

    #[test]
    fn b_ctl_3_what_was_signalled_is_on_the_disk_when_the_process_ends() {
        let directory = tempfile::tempdir().expect("directory");
        let store = directory.path().join("node.redb");
        let key = SigningKey::from_bytes(&[5; 32]);
        let keeping = Keeping::start(Place::beside(&store, &key)).expect("a thread");
        assert!(!path_beside(&store).exists(), "no signal, no file");
        let caller = Caller { user: 0, group: UNTOLD, process: 1 };
        for what in ["reload", "stop"] {
            keeping.keep(Signalled { what, why: "signal".into(), caller, stops: what == "stop" });
        }
        keeping.finish(Duration::from_secs(60));
        let acts = read(&path_beside(&store), &key.verifying_key()).expect("they hold");
        assert_eq!(acts.iter().map(|a| a.what.as_str()).collect::<Vec<_>>(), ["reload", "stop"]);
    }

    /// B-CTL-3: what cannot be kept is done all the same.
    #[test]
    fn b_ctl_3_a_place_that_cannot_be_written_ends_nothing() {
        let key = SigningKey::from_bytes(&[5; 32]);
        let nowhere = Path::new("/nonexistent/node.redb");
        let keeping = Keeping::start(Place::beside(nowhere, &key)).expect("a thread");
        let caller = Caller { user: 0, group: UNTOLD, process: 0 };
        keeping.keep(Signalled { what: "stop", why: "signal TERM".into(), caller, stops: true });
        keeping.finish(Duration::from_secs(60));
    }
}
