//! How a command reaches a network: the roster and a client's key.

use crate::network::is_retired;
use clap::Args;
use duohuo_driver::client::{Client, ClientError, Credentials};
use duohuo_driver::config::{ConfigError, RosterSource, beside, read_toml};
use duohuo_driver::config_keys::{Process, process_of};
use duohuo_driver::{keys, roster_file};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Packet, StatusQuery};
use duohuo_wire::roster::{PartyRef, Roster};
use duohuo_wire::status::StatusReport;
use duohuo_wire::tlv::Extensions;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the files are.
#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    /// A client's configuration, as keygen network writes it (roster, operator's key, client's key)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["roster", "key"], required_unless_present = "roster")]
    config: Option<PathBuf>,
    /// The roster; believed as it is: without a configuration there is no operator's key to verify it with
    #[arg(long, value_name = "FILE", requires = "key")]
    roster: Option<PathBuf>,
    /// The client's key file
    #[arg(long, value_name = "FILE", requires = "roster")]
    key: Option<PathBuf>,
}

impl AccessArgs {
    /// The configuration, if it is that of a node or of the authority.
    #[must_use]
    pub fn of_a_process(&self) -> Option<&Path> {
        let config = self.config.as_deref()?;
        let text = std::fs::read_to_string(config).ok()?;
        matches!(process_of(&text), Some(Process::Node | Process::Authority)).then_some(config)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    roster: PathBuf,
    operator_public_key: String,
    key: PathBuf,
}

/// A client's means.
#[derive(Clone, Debug)]
pub struct Access {
    /// Whom it reaches.
    pub roster: Roster,
    /// Who it is.
    pub credentials: Credentials,
}

/// One party that can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its number in the roster.
    pub id: NodeId,
    /// TCP.
    pub address: SocketAddr,
    /// The session key of the roster.
    pub key: [u8; 32],
}

impl Access {
    /// By the arguments of a command.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn open(args: &AccessArgs) -> Result<Self, ConfigError> {
        match (&args.config, &args.roster, &args.key) {
            (Some(config), _, _) => Self::from_config(config),
            (None, Some(roster), Some(key)) => Self::with(roster_file::read_unverified(roster)?, key),
            _ => Err(problem(
                Path::new("command line"),
                "neither --config nor --roster and --key",
                "one of them",
                "see duohuo status --help",
            )),
        }
    }

    /// By a client's configuration, as `duohuo keygen network` writes it.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn from_config(config: &Path) -> Result<Self, ConfigError> {
        let whose = std::fs::read_to_string(config).ok().and_then(|text| process_of(&text));
        if let Some(process @ (Process::Node | Process::Authority)) = whose {
            let whose = if process == Process::Node { "a node" } else { "the authority" };
            return Err(problem(
                config,
                &format!("it is the configuration of {whose}"),
                "a client's, with the keys roster, operator_public_key and key",
                "duohuo keygen network made one: client.toml",
            ));
        }
        let file: ClientFile = read_toml(config, "duohuo keygen network writes complete examples")?;
        let operator = keys::parse_hex::<32>(&file.operator_public_key).ok_or_else(|| {
            problem(
                config,
                "`operator_public_key` is no public key",
                "64 hex digits",
                "copy operator.pub into it",
            )
        })?;
        let (_, roster) = RosterSource::open(&beside(config, &file.roster), operator)?;
        Self::with(roster, &beside(config, &file.key))
    }

    fn with(roster: Roster, key: &Path) -> Result<Self, ConfigError> {
        let secret = keys::read_secret(key)?;
        let Some(PartyRef::Client(client)) = roster.by_session_key(&keys::session_public(&secret)) else {
            return Err(problem(
                key,
                "the key is of no client of the roster",
                "the key of an enrolled client",
                "use another key file, or have the operator enrol this client in a new roster",
            ));
        };
        let credentials = Credentials { id: client.id, secret, consortium: roster.consortium };
        Ok(Self { credentials, roster })
    }

    /// The authority.
    #[must_use]
    pub fn authority(&self) -> Server {
        let authority = &self.roster.authority;
        Server { id: NodeId::AUTHORITY, address: authority.address, key: authority.session_key }
    }

    /// All nodes of the roster but those that were taken out.
    #[must_use]
    pub fn nodes(&self) -> Vec<Server> {
        self.roster
            .all_nodes()
            .filter(|(_, n)| !is_retired(n))
            .map(|(_, n)| Server { id: n.id, address: n.address, key: n.session_key })
            .collect()
    }

    /// Open a session.
    ///
    /// # Errors
    /// See [`Client::connect`].
    pub fn connect(&self, server: &Server, timeout: Duration) -> Result<Client, ClientError> {
        Client::connect(server.address, &server.key, &self.credentials, timeout)
    }

    /// Ask for one report.
    ///
    /// # Errors
    /// Nobody there, or no answer within `timeout`.
    pub fn status(&self, server: &Server, timeout: Duration) -> Result<StatusReport, ClientError> {
        let mut client = self.connect(server, timeout)?;
        ask_status(&mut client, timeout)
    }
}

/// Ask over an open session; other packets that come meanwhile are dropped.
///
/// # Errors
/// The session broke, or no answer came within `timeout`.
pub fn ask_status(client: &mut Client, timeout: Duration) -> Result<StatusReport, ClientError> {
    ask_answer(client, timeout).map(|(report, _)| report)
}

/// As [`ask_status`], with what the answer tells beside the report.
///
/// # Errors
/// As [`ask_status`].
pub fn ask_answer(client: &mut Client, timeout: Duration) -> Result<(StatusReport, Extensions), ClientError> {
    ask_with(client, Extensions::new(), timeout)
}

/// The same for a question with extensions.
///
/// # Errors
/// As [`ask_status`].
pub fn ask_with(
    client: &mut Client,
    extensions: Extensions,
    timeout: Duration,
) -> Result<(StatusReport, Extensions), ClientError> {
    client.send(&Packet::from(StatusQuery { request: 1, extensions }))?;
    let until = Instant::now() + timeout;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let source = std::io::ErrorKind::TimedOut.into();
            return Err(ClientError::Io { address: client.address(), source });
        }
        if let Some(Packet::StatusAnswer(answer)) = client.recv(left)? {
            let report = StatusReport::decode(&answer.report)
                .map_err(|_| ClientError::Protocol { address: client.address() })?;
            return Ok((report, answer.extensions));
        }
    }
}

fn problem(file: &Path, wrong: &str, expected: &str, advice: &str) -> ConfigError {
    ConfigError::new(file, "access", wrong, expected, advice)
}
