//! Why a store cannot be used, and what to do then.

use super::FORMAT_VERSION;
use duohuo_wire::ids::NodeId;
use std::path::PathBuf;

/// Why a store cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing at the path.
    #[error("store {path}: the file is missing; expected the store of this {kind}. Before its very first start: duohuo store init, or start it with --init. {advice}", kind = kind(*node), advice = lost(*node))]
    Missing {
        /// The file.
        path: PathBuf,
        /// Its owner.
        node: NodeId,
    },
    /// `--init`, but there is a store.
    #[error(
        "store {path}: there is a store already; --init is for the very first start only: start without it"
    )]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds it.
    #[error(
        "store {path}: in use by another process; expected one process per store: stop the other one first (fuser {path} names it)"
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error(
        "store {path}: it belongs to {found}, expected {expected}; check `store` and `node` in the configuration: a store must never be copied or lent to another node"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked.
        expected: String,
    },
    /// Written by another version.
    #[error(
        "store {path}: its format is version {found}, this program reads version {FORMAT_VERSION}; use the program that wrote it, or the migration that its release notes name"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
    },
    /// Its content is not what was written.
    #[error("store {path}: damaged: {what}. {advice}", advice = lost(*node))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        what: String,
        /// Its owner.
        node: NodeId,
    },
    /// Not what `duohuo backup` makes.
    #[error("{path}: {what}; expected a file that duohuo backup made: a store is never copied by hand")]
    NoCopy {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The disk does not answer.
    #[error(
        "store {path}: {what}; expected a readable and writable file on a disk with free space: check the directory, its owner and the disk, then start again"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        what: String,
    },
}

fn kind(node: NodeId) -> &'static str {
    if node == NodeId::AUTHORITY { "authority" } else { "node" }
}

/// What to do about a lost log (spec: rule 13).
fn lost(node: NodeId) -> &'static str {
    if node == NodeId::AUTHORITY {
        "Do not start it empty: an authority that forgot its table can grant an epoch twice. Restore the newest copy of \
         its disk only if you know that nothing was decided after it; otherwise enrol a new consortium table with the operator"
    } else {
        "Do not start it empty under its old name: a node that lost its log must not vote. Move the file and its .witness away, give \
         its machine a new number (duohuo roster replace), and make a store for that (duohuo store init, or store restore from a \
         backup of the chain): it comes back outside the in-sync set and catches up"
    }
}
