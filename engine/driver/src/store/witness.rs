//! How much a store has promised: the number of its last commit, in a small file beside it.
//!
//! One-phase commit lets redb take a damaged newest commit for a torn one and go back to the commit before it. After a
//! power cut that is right: nobody was told that the torn one was durable. After bit rot, or when an old copy of the file
//! was put in place, it would be forgetting a promise, and with it perhaps a vote. So each commit carries its number,
//! and after the commit is durable the number is written here, without a sync of its own: the witness is never ahead of
//! the disk, and behind it only after a power cut. A store that is behind its witness has forgotten something.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The number and its CRC-32; less than a sector, so that it is never torn.
const BYTES: usize = 12;

/// The file beside a store.
#[derive(Debug)]
pub(super) struct Witness(File);

/// Where the witness of a store is.
pub(super) fn path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".witness");
    name.into()
}

impl Witness {
    /// Of a new store that has promised nothing; durable with the next sync of the directory.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(store: &Path) -> io::Result<Self> {
        let file = File::options().write(true).create(true).truncate(true).open(path(store))?;
        let witness = Self(file);
        witness.saw(0)?;
        witness.0.sync_all()?;
        Ok(witness)
    }

    /// Of a store that is there.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(store: &Path) -> io::Result<Self> {
        File::options().write(true).open(path(store)).map(Self)
    }

    /// This commit is durable.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn saw(&self, commit: u64) -> io::Result<()> {
        let number = commit.to_be_bytes();
        let mut bytes = [0; BYTES];
        let (head, tail) = bytes.split_at_mut(number.len());
        head.copy_from_slice(&number);
        tail.copy_from_slice(&crc32fast::hash(&number).to_be_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

/// The last commit that a store's witness saw; `None`: its bytes are no witness.
///
/// # Errors
/// The disk's; [`io::ErrorKind::NotFound`] if there is none.
pub(super) fn read(store: &Path) -> io::Result<Option<u64>> {
    let bytes = std::fs::read(path(store))?;
    let Some((number, crc)) = bytes.split_first_chunk::<8>() else { return Ok(None) };
    Ok((crc == crc32fast::hash(number).to_be_bytes()).then(|| u64::from_be_bytes(*number)))
}
