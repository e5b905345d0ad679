//! The roster as a file that a person can read and a version control system can compare: TOML with hex keys. What the
//! operator signs is the roster's canonical wire form, so layout and comments do not matter.

use crate::config::{ConfigError, read_toml};
use crate::keys::{hex, parse_hex};
use duohuo_wire::ids::{ClusterId, NodeId, RoomId};
use duohuo_wire::roster::{ClientEntry, ClusterEntry, NodeEntry, Party, Roster};
use duohuo_wire::sign::VerifyingKey;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;

const ADVICE: &str = "take the roster that the operator signed, unchanged";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u64,
    consortium: String,
    signature: String,
    authority: PartyFile,
    cluster: Vec<ClusterFile>,
    #[serde(default)]
    client: Vec<ClientFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartyFile {
    address: SocketAddr,
    session_key: String,
    signing_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterFile {
    id: u32,
    name: String,
    group: SocketAddr,
    node: Vec<NodeFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    id: u32,
    name: String,
    room: u16,
    priority: u8,
    address: SocketAddr,
    session_key: String,
    signing_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    id: u32,
    name: String,
    session_key: String,
}

/// Read a roster and check everything, the operator's signature too.
///
/// # Errors
/// What is wrong, by key.
pub fn read_verified(path: &Path, operator_key: &[u8; 32]) -> Result<Roster, ConfigError> {
    let roster = read_unverified(path)?;
    let verified = VerifyingKey::from_bytes(operator_key).is_ok_and(|key| roster.verify(&key));
    if verified {
        return Ok(roster);
    }
    Err(ConfigError::new(
        path,
        "`signature`",
        "it is not the operator's over this content",
        format!("the signature of the key {}", hex(operator_key)),
        "take the roster that the operator signed, unchanged, and check `operator_public_key` of the configuration",
    ))
}

/// Read a roster and check everything but its signature: for those who are about to sign it.
///
/// # Errors
/// What is wrong, by key.
pub fn read_unverified(path: &Path) -> Result<Roster, ConfigError> {
    let file: File = read_toml(path, ADVICE)?;
    let key = |what: String, text: &str| {
        parse_hex::<32>(text).ok_or_else(|| {
            ConfigError::new(path, format!("`{what}`"), "not a public key", "64 hex digits", ADVICE)
        })
    };
    let mut clusters = Vec::new();
    for c in file.cluster {
        let mut nodes = Vec::new();
        for n in c.node {
            nodes.push(NodeEntry {
                id: NodeId(n.id),
                session_key: key(format!("session_key of node {}", n.id), &n.session_key)?,
                signing_key: key(format!("signing_key of node {}", n.id), &n.signing_key)?,
                name: n.name,
                room: RoomId(n.room),
                priority: n.priority,
                address: n.address,
            });
        }
        clusters.push(ClusterEntry { id: ClusterId(c.id), name: c.name, group: c.group, nodes });
    }
    let mut clients = Vec::new();
    for c in file.client {
        let session_key = key(format!("session_key of client {}", c.id), &c.session_key)?;
        clients.push(ClientEntry { id: NodeId(c.id), name: c.name, session_key });
    }
    let roster = Roster {
        consortium: parse_hex(&file.consortium).ok_or_else(|| {
            ConfigError::new(path, "`consortium`", "not a consortium id", "32 hex digits", ADVICE)
        })?,
        version: file.version,
        authority: Party {
            address: file.authority.address,
            session_key: key("authority.session_key".into(), &file.authority.session_key)?,
            signing_key: key("authority.signing_key".into(), &file.authority.signing_key)?,
        },
        clusters,
        clients,
        signature: parse_hex(&file.signature).ok_or_else(|| {
            ConfigError::new(path, "`signature`", "not a signature", "128 hex digits", ADVICE)
        })?,
    };
    roster.validate().map_err(|e| {
        ConfigError::new(
            path,
            "content",
            e.to_string(),
            "a roster that obeys the rules of the spec",
            "correct it and sign it again (duohuo keygen sign)",
        )
    })?;
    Ok(roster)
}

/// The roster as the text of its file.
#[must_use]
pub fn to_text(roster: &Roster) -> String {
    let file = File {
        version: roster.version,
        consortium: hex(&roster.consortium),
        signature: hex(&roster.signature),
        authority: PartyFile {
            address: roster.authority.address,
            session_key: hex(&roster.authority.session_key),
            signing_key: hex(&roster.authority.signing_key),
        },
        cluster: roster
            .clusters
            .iter()
            .map(|c| ClusterFile {
                id: c.id.0,
                name: c.name.clone(),
                group: c.group,
                node: c
                    .nodes
                    .iter()
                    .map(|n| NodeFile {
                        id: n.id.0,
                        name: n.name.clone(),
                        room: n.room.0,
                        priority: n.priority,
                        address: n.address,
                        session_key: hex(&n.session_key),
                        signing_key: hex(&n.signing_key),
                    })
                    .collect(),
            })
            .collect(),
        client: roster
            .clients
            .iter()
            .map(|c| ClientFile { id: c.id.0, name: c.name.clone(), session_key: hex(&c.session_key) })
            .collect(),
    };
    // numbers and strings only: there is nothing TOML could refuse
    let body = toml::to_string(&file).unwrap_or_default();
    format!(
        "# Everybody in this consortium. Signed by the operator: after any change, raise `version` and sign again\n# (duohuo keygen sign). Layout and comments are not part of what is signed.\n{body}"
    )
}

/// Write a roster's file, whole or not at all: a process that reads it meanwhile sees the old or the new one.
///
/// # Errors
/// The disk's.
pub fn write(path: &Path, roster: &Roster) -> Result<(), ConfigError> {
    let failed = |e: std::io::Error| {
        ConfigError::new(
            path,
            "file",
            e.to_string(),
            "a writable directory",
            "check its permissions and the disk",
        )
    };
    let new = path.with_extension("new");
    std::fs::write(&new, to_text(roster)).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

#[cfg(test)]
#[path = "roster_file_tests.rs"]
mod tests;
