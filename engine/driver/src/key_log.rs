//! The key log's file: one line a key, as [`duohuo_wire::key_log`] has it.

use crate::error::DriverError;
use duohuo_wire::key_log::Entry;
use std::fs::{File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// For its owner's eyes.
const MODE: u32 = 0o600;

/// A file that keys are appended to.
#[derive(Debug)]
pub struct KeyLogFile {
    path: PathBuf,
    file: File,
}

impl KeyLogFile {
    /// Open, or make, for its owner alone; an older one is appended to. Says on standard error, whatever the level of
    /// the log, what is going on.
    ///
    /// # Errors
    /// [`DriverError::KeyLog`].
    pub fn open(path: &Path) -> Result<Self, DriverError> {
        let failed = |source| DriverError::KeyLog { path: path.to_owned(), source };
        let file = OpenOptions::new().create(true).append(true).mode(MODE).open(path).map_err(failed)?;
        file.set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
        eprintln!(
            "\nWARNING: THE KEYS OF ALL SESSIONS ARE WRITTEN TO {}: whoever reads that file reads all that this process says and \
             hears. For tests only; never on a real network.\n",
            path.display()
        );
        Ok(Self { path: path.to_owned(), file })
    }

    /// Append a line, at once: a process that is killed has logged all it used. A file that fails is told and forgiven.
    pub fn write(&mut self, entry: &Entry) {
        // one write, so that several processes may share a file
        if let Err(e) = self.file.write_all(format!("{entry}\n").as_bytes()) {
            tracing::error!(
                "key log {}: {e}; captures of this session cannot be opened",
                self.path.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_are_appended_to_a_file_of_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys");
        std::fs::write(&path, "# mine\n").unwrap();
        let line = format!("session 0000000000000055 {} {}", "01".repeat(32), "02".repeat(12));
        let entry: Entry = line.parse().unwrap();
        KeyLogFile::open(&path).unwrap().write(&entry);
        KeyLogFile::open(&path).unwrap().write(&entry);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("# mine\n{line}\n{line}\n"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = KeyLogFile::open(Path::new("/nowhere/keys")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/keys: "), "{error}");
        assert!(error.contains("--key-log"), "{error}");
    }
}
