//! A store opened so that its file is not touched: whatever redb writes while it verifies or repairs stays in memory.
//! A file that turns out to be damaged or foreign is then still what it was, for those who want to save it.

use redb::{BackendError, StorageBackend};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{File, TryLockError};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Written over the file in pieces of this size.
const PIECE_BYTES: u64 = 4096;

/// A file below, what was written above it in memory.
#[derive(Debug)]
pub(super) struct Scratch {
    file: File,
    /// Bytes of the file that still show.
    file_bytes: u64,
    above: Mutex<Above>,
}

#[derive(Debug)]
struct Above {
    length: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl Scratch {
    /// Over this file, which is only read.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(super) fn over(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        Ok(Self {
            file,
            file_bytes,
            above: Mutex::new(Above { length: file_bytes, pieces: BTreeMap::new() }),
        })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's own bytes; zero beyond its end.
    fn below(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let there = self.file_bytes.saturating_sub(offset).min(out.len() as u64);
        let there = usize::try_from(there).unwrap_or(out.len());
        out.get_mut(..there).map_or(Ok(()), |out| self.file.read_exact_at(out, offset))
    }

    fn lock(&self) -> Result<bool, io::Error> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }
}

/// The piece that holds `offset`, the place in it, and how much of `length` is in it.
fn piece(offset: u64, length: usize) -> (u64, usize, usize) {
    let (index, place) = (offset / PIECE_BYTES, offset % PIECE_BYTES);
    let part = (PIECE_BYTES - place).min(length as u64);
    (index, usize::try_from(place).unwrap_or(0), usize::try_from(part).unwrap_or(length))
}

impl StorageBackend for Scratch {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.above().length)
    }

    fn read(&self, mut offset: u64, mut out: &mut [u8]) -> Result<(), io::Error> {
        let above = self.above();
        if offset.saturating_add(out.len() as u64) > above.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !out.is_empty() {
            let (index, place, part) = piece(offset, out.len());
            let (now, rest) = out.split_at_mut(part);
            match above.pieces.get(&index).and_then(|bytes| bytes.get(place..place + part)) {
                Some(bytes) => now.copy_from_slice(bytes),
                None => self.below(offset, now)?,
            }
            offset += part as u64;
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.above().length = length;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, mut offset: u64, mut data: &[u8]) -> Result<(), io::Error> {
        let mut above = self.above();
        while !data.is_empty() {
            let (index, place, part) = piece(offset, data.len());
            let (now, rest) = data.split_at(part);
            let bytes = match above.pieces.entry(index) {
                Entry::Occupied(piece) => piece.into_mut(),
                Entry::Vacant(place) => {
                    let mut bytes = vec![0; usize::try_from(PIECE_BYTES).unwrap_or(0)];
                    self.below(index * PIECE_BYTES, &mut bytes)?;
                    place.insert(bytes)
                }
            };
            if let Some(bytes) = bytes.get_mut(place..place + part) {
                bytes.copy_from_slice(now);
            }
            offset += part as u64;
            data = rest;
        }
        Ok(())
    }

    // the whole file, as redb's own backend does: it asks for no other range of an exclusive writer
    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        self.lock().map_err(BackendError::from)
    }

    fn unlock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock().map_err(BackendError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays_as_it_was() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        let old: Vec<u8> = (0..=250u8).cycle().take(10_000).collect();
        std::fs::write(&path, &old).expect("file");
        let scratch = Scratch::over(&path).expect("open");
        // over the border of two pieces
        scratch.write(4090, &[0xee; 20]).expect("write");
        scratch.set_len(20_000).expect("grow");
        scratch.write(12_287, &[0xdd; 2]).expect("write beyond the file");
        let mut out = [0u8; 30];
        scratch.read(4085, &mut out).expect("read");
        let (before, rest) = out.split_at(5);
        let (written, after) = rest.split_at(20);
        assert_eq!(Some(before), old.get(4085..4090));
        assert_eq!(written, [0xee; 20]);
        assert_eq!(Some(after), old.get(4110..4115));
        let mut out = [7u8; 4];
        scratch.read(12_286, &mut out).expect("read");
        assert_eq!(out, [0, 0xdd, 0xdd, 0]);
        assert!(scratch.read(19_999, &mut out).is_err());
        assert_eq!(std::fs::read(&path).expect("read"), old);
    }
}
