//! Key files: 32 secret bytes as 64 hex digits, readable by their owner alone.

use crate::config::ConfigError;
use duohuo_wire::secret::{Secret, Zeroizing};
use duohuo_wire::sign::SigningKey;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Read a secret; refused if anybody but its owner may read it.
///
/// # Errors
/// The file is missing, too open, or holds no 64 hex digits.
pub fn read_secret(path: &Path) -> Result<Secret, ConfigError> {
    let unreadable = |e: std::io::Error| {
        let advice = if e.kind() == std::io::ErrorKind::PermissionDenied {
            format!(
                "give it to the account that this runs as: chown -R duohuo: {}",
                path.parent().unwrap_or(path).display()
            )
        } else {
            "check the path; the operator's directory has all keys (duohuo roster pack writes those of one machine)".into()
        };
        ConfigError::new(path, "file", e.to_string(), "a key file that can be read", advice)
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(ConfigError::new(
            path,
            "permissions",
            format!("{mode:04o} lets others read the secret"),
            "0600",
            format!("chmod 600 {}; if others had access, make new keys", path.display()),
        ));
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
    parse_hex(text.trim()).map(Secret::from).ok_or_else(|| {
        ConfigError::new(
            path,
            "content",
            format!("{} characters that are not one key", text.trim().len()),
            "64 hex digits",
            "bring it again from the operator's directory (duohuo roster pack)",
        )
    })
}

/// Write a new secret, readable by its owner alone; never over an existing file.
///
/// # Errors
/// The file exists, or the disk's error.
pub fn write_secret(path: &Path, secret: &[u8; 32]) -> Result<(), ConfigError> {
    let failed = |e: std::io::Error| {
        ConfigError::new(
            path,
            "file",
            e.to_string(),
            "a new file in a writable directory",
            "choose an empty directory: keys are never overwritten",
        )
    };
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = Zeroizing::new(hex(secret));
    writeln!(file, "{}", *text).map_err(failed)
}

/// 32 fresh random bytes of the system.
///
/// # Panics
/// The system has no source of randomness: nothing of this program is safe there.
#[must_use]
pub fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system's source of randomness");
    bytes
}

/// The X25519 public key of a secret.
#[must_use]
pub fn session_public(secret: &[u8; 32]) -> [u8; 32] {
    duohuo_wire::handshake::public_key(secret)
}

/// The Ed25519 public key of a secret.
#[must_use]
pub fn signing_public(secret: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(secret).verifying_key().to_bytes()
}

/// Lower case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Exactly `N` bytes of hex.
#[must_use]
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0u8; N];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(bytes)
}
