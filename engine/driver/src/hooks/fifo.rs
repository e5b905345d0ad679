//! keepalived's fifo: a line at each change of state, and nobody is waited for.

use super::runner::State;
use super::settings::HooksSettings;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::io::{Error, ErrorKind};
use std::path::Path;

/// The fifo, held open both ways as keepalived does: lines wait in it for a reader that comes later.
pub(super) struct Fifo(rustix::fd::OwnedFd);

impl Fifo {
    /// Made if there is none.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        match rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR) {
            Err(e) if e != rustix::io::Errno::EXIST => return Err(e.into()),
            _ => {}
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fifo = rustix::fs::open(path, flags, Mode::empty())?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fifo)?.st_mode) != FileType::Fifo {
            return Err(Error::new(ErrorKind::InvalidInput, "there is something else of that name"));
        }
        Ok(Self(fifo))
    }

    /// A line, whole or not at all.
    pub(super) fn write(&self, line: &str) -> Result<(), Error> {
        rustix::io::write(&self.0, line.as_bytes())?;
        Ok(())
    }
}

/// As keepalived writes it.
pub(super) fn line(settings: &HooksSettings, state: State, priority: u8) -> String {
    format!("{} \"{}\" {} {priority}\n", settings.kind.name(), settings.name, state.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn lines_wait_for_a_reader_that_comes_later() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("notify.fifo");
        let fifo = Fifo::open(&path).expect("made");
        fifo.write("INSTANCE \"VI_1\" BACKUP 100\n").expect("written");
        fifo.write("INSTANCE \"VI_1\" MASTER 100\n").expect("written");
        let mut reader = std::fs::File::open(&path).expect("open");
        let mut read = [0; 54];
        reader.read_exact(&mut read).expect("read");
        assert_eq!(&read, b"INSTANCE \"VI_1\" BACKUP 100\nINSTANCE \"VI_1\" MASTER 100\n");
        assert!(Fifo::open(&path).is_ok(), "one that is there is taken");
    }

    #[test]
    fn a_full_fifo_loses_whole_lines_and_keeps_nobody_waiting() {
        let directory = tempfile::tempdir().expect("directory");
        let fifo = Fifo::open(&directory.path().join("f")).expect("made");
        let line = "x".repeat(4000);
        let written = (0..100).take_while(|_| fifo.write(&line).is_ok()).count();
        assert!((1..100).contains(&written), "{written}");
    }

    #[test]
    fn what_is_no_fifo_is_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "").expect("written");
        assert!(Fifo::open(&path).is_err());
    }
}
