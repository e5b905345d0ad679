//! What can go wrong in the world, told so that a person knows what, where, what was expected, and what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A failure of the driver: the world's fault or the configuration's, never a peer's.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A system call that does not fail on a healthy machine.
    #[error(
        "{call}: {source}; the system is out of resources or forbids the call: look at ulimit -n and at the sandbox of the service"
    )]
    System {
        /// Which.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// Somebody else has the address.
    #[error(
        "{protocol} {address}: the port is in use; expected it free for this process: stop the other process (ss -lnp shows it) or give this node another address in the roster"
    )]
    PortInUse {
        /// "UDP" or "TCP".
        protocol: &'static str,
        /// The address of the roster.
        address: SocketAddr,
    },
    /// No interface owns the address.
    #[error(
        "{address}: this machine has no interface with that address; expected the address that the roster gives this node: configure the interface, or correct the roster"
    )]
    NoInterface {
        /// The address of the roster.
        address: SocketAddr,
    },
    /// A socket could not be made ready.
    #[error(
        "{protocol} {address}: {call}: {source}; expected a socket there: check the address in the roster, the interface and the firewall"
    )]
    Socket {
        /// "UDP", "TCP" or "multicast".
        protocol: &'static str,
        /// Where.
        address: SocketAddr,
        /// What was tried.
        call: &'static str,
        /// Its error.
        source: io::Error,
    },
    /// The multicast group is no IPv4 multicast address.
    #[error(
        "multicast group {group}: not an IPv4 multicast address with a port; expected 224.0.0.0..=239.255.255.255, such as 239.77.0.1:4750: correct `group` of the cluster in the roster and sign it again"
    )]
    BadGroup {
        /// Of the roster.
        group: SocketAddr,
    },
    /// A socket of this machine.
    #[error(
        "{}: {source}; expected a place where a socket can be made: correct `{key}`, or stop who listens there", path.display()
    )]
    LocalSocket {
        /// Where.
        path: PathBuf,
        /// The key that names it.
        key: &'static str,
        /// What was tried.
        source: io::Error,
    },
    /// The store; see there.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A file of the operator; see there.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The key log cannot be written.
    #[cfg(feature = "key-log")]
    #[error("{path}: {source}; expected a file that can be made or appended to: give --key-log another")]
    KeyLog {
        /// Where.
        path: PathBuf,
        /// What was tried.
        source: io::Error,
    },
    /// The machine refuses to start.
    #[error("{path}: the machine refuses to start: {reason}")]
    Start {
        /// The store whose content it refuses.
        path: PathBuf,
        /// Its words.
        reason: String,
    },
}

impl DriverError {
    pub(crate) fn system(call: &'static str, source: io::Error) -> Self {
        Self::System { call, source }
    }

    pub(crate) fn socket(
        protocol: &'static str,
        address: SocketAddr,
        call: &'static str,
        source: io::Error,
    ) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { protocol, address },
            io::ErrorKind::AddrNotAvailable => Self::NoInterface { address },
            _ => Self::Socket { protocol, address, call, source },
        }
    }
}
