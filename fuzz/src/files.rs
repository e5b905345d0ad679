//! The files of an operator: whatever their text, they are read or refused with a reason, and nothing panics.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use duohuo_driver::{
    config::{AuthoritySettings, ConfigError, NodeSettings, log_settings, read_genesis},
    keys, roster_file,
};
use duohuo_tests::consortium::{Consortium, Place, node};
use duohuo_wire::ids::NodeId;

/// A node's and the authority's files of one small network, all but the one that the input is; one directory per process.
static NETWORK: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("duohuo-fuzz-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("a directory for files");
    let consortium = consortium();
    roster_file::write(&directory.join("roster.toml"), &consortium.roster).expect("roster");
    for (party, id) in [("node", node(0, 0)), ("authority", NodeId::AUTHORITY)] {
        let secrets = &consortium.keys[&id];
        let key = |kind: &str, secret: &[u8; 32]| {
            keys::write_secret(&directory.join(format!("{party}-{kind}.key")), secret).expect("key");
        };
        key("session", &secrets.session);
        key("signing", &secrets.signing.to_bytes());
    }
    keys::write_secret(&directory.join("group.key"), &[5; 32]).expect("key");
    keys::write_secret(&directory.join("sealing.key"), &consortium.sealing).expect("key");
    fs::write(directory.join("genesis.toml"), GENESIS).expect("genesis");
    directory
});

/// A genesis file, and what the others are mutated from.
pub(crate) const GENESIS: &str = "[[account]]\nid = 1\nbalance = 100\n";

fn consortium() -> Consortium {
    let pair: &[Place] = &[(1, 200), (2, 150)];
    Consortium::new(7, &[pair])
}

/// A node's configuration that is right.
pub(crate) fn node_example() -> String {
    format!(
        "node = 11\nroster = \"roster.toml\"\noperator_public_key = \"{}\"\nstore = \"node.redb\"\ngenesis = \"genesis.toml\"\n\n\
         [keys]\nsession = \"node-session.key\"\nsigning = \"node-signing.key\"\ngroup = \"group.key\"\n\n\
         [timers]\nkeepalive_interval_ms = 10\n\n[chain]\nblock_interval_ms = 20\npropose_timeout_ms = 50\n\n\
         [drill]\nallow = true\n\n[log]\nformat = \"json\"\nlevel = \"info\"\n",
        keys::hex(&consortium().operator.verifying_key().to_bytes())
    )
}

/// The authority's configuration that is right.
pub(crate) fn authority_example() -> String {
    format!(
        "roster = \"roster.toml\"\noperator_public_key = \"{}\"\nstore = \"authority.redb\"\n\n[keys]\n\
         session = \"authority-session.key\"\nsigning = \"authority-signing.key\"\nsealing = \"sealing.key\"\n",
        keys::hex(&consortium().operator.verifying_key().to_bytes())
    )
}

/// The roster's text that is right.
pub(crate) fn roster_example() -> String {
    roster_file::to_text(&consortium().roster)
}

/// Writes the input where the file is looked for. A name in it that leads out of the directory is not followed: a
/// fuzzer has no business with the files of its machine.
fn put(name: &str, data: &[u8]) -> Option<PathBuf> {
    let leads_out = data.contains(&b'/') || data.contains(&b'\\');
    let path = NETWORK.join(name);
    fs::write(&path, data).expect("the directory takes files");
    (!leads_out).then_some(path)
}

fn says_what_and_where(error: &ConfigError, path: &Path) {
    assert!(error.file.starts_with(path.parent().unwrap_or(path)), "names a file of this network");
    for part in [&*error.key, &*error.wrong, &*error.expected, &*error.advice] {
        assert!(!part.trim().is_empty(), "says what, where, what was expected and what to do: {error:?}");
    }
}

/// A node's configuration.
pub(crate) fn node_config(data: &[u8]) {
    let Some(path) = put("node.toml", data) else { return };
    let _ = log_settings(&path);
    match NodeSettings::read(&path) {
        Ok(settings) => {
            assert!(settings.roster.node(settings.node).is_some());
            assert!(!settings.timers.keepalive_interval.is_zero());
        }
        Err(error) => says_what_and_where(&error, &path),
    }
}

/// The authority's configuration.
pub(crate) fn authority_config(data: &[u8]) {
    let Some(path) = put("authority.toml", data) else { return };
    if let Err(error) = AuthoritySettings::read(&path) {
        says_what_and_where(&error, &path);
    }
}

/// A roster's text: what is read is written to a text that reads the same.
pub(crate) fn roster(data: &[u8]) {
    let path = NETWORK.join("other-roster.toml");
    fs::write(&path, data).expect("the directory takes files");
    match roster_file::read_unverified(&path) {
        Ok(roster) => {
            assert_eq!(roster.validate(), Ok(()));
            fs::write(&path, roster_file::to_text(&roster)).expect("the directory takes files");
            assert_eq!(roster_file::read_unverified(&path), Ok(roster));
        }
        Err(error) => says_what_and_where(&error, &path),
    }
}

/// A genesis file, and a key file of the same bytes.
pub(crate) fn genesis_and_key(data: &[u8]) {
    let Some(path) = put("other-genesis.toml", data) else { return };
    match read_genesis(&path) {
        Ok(accounts) => assert!(accounts.is_sorted_by(|a, b| a.0 < b.0), "each account once"),
        Err(error) => says_what_and_where(&error, &path),
    }
    if let Ok(text) = core::str::from_utf8(data)
        && let Some(key) = keys::parse_hex::<32>(text)
    {
        assert_eq!(keys::hex(&key), text.to_lowercase(), "64 hex digits and nothing else");
    }
}
