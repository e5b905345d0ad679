//! What was done to one process on its machine, at its control socket or by signals, as the process kept it beside its store
//! (spec/behaviour.md, B-CTL-2 and 3): read and verified by its key of the roster.

use crate::failure::Failure;
use duohuo_driver::acts::{self, Act, UNTOLD};
use duohuo_driver::config::{AuthoritySettings, NodeSettings};
use duohuo_driver::config_keys::{Process, process_of};
use duohuo_wire::ids::NodeId;
use duohuo_wire::sign::VerifyingKey;
use jiff::Timestamp;
use std::path::Path;

/// The acts of one process, each signed by it and chained to the one before.
pub(crate) struct LocalActs {
    pub(crate) node: NodeId,
    pub(crate) name: String,
    /// Its cluster's name; empty: it is the authority.
    pub(crate) cluster: String,
    pub(crate) acts: Vec<Act>,
}

impl LocalActs {
    /// Of the process with this configuration.
    pub(crate) fn read(config: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(config).unwrap_or_default();
        let (store, roster, node) = match process_of(&text) {
            Some(Process::Authority) => {
                let s = AuthoritySettings::read(config)?;
                (s.store, s.roster, NodeId::AUTHORITY)
            }
            _ => {
                let s = NodeSettings::read(config)?;
                (s.store, s.roster, s.node)
            }
        };
        let (cluster, name, key) = roster.node(node).map_or_else(
            || (String::new(), "authority".into(), roster.authority.signing_key),
            |(cluster, node)| (cluster.name.clone(), node.name.clone(), node.signing_key),
        );
        let key = VerifyingKey::from_bytes(&key)
            .map_err(|_| Failure::invalid("the roster's key of this process is no key"))?;
        let path = acts::path_beside(&store);
        if !path.exists() {
            return Err(Failure::failed(format!(
                "{}: not there: nothing was ever asked of that process, at its control socket ([control] in {}) or by a signal",
                path.display(),
                config.display()
            )));
        }
        let acts = acts::read(&path, &key)
            .map_err(|why| Failure::failed(format!("the record does not hold: {why}")))?;
        Ok(Self { node, name, cluster, acts })
    }

    /// One line each, and what was verified.
    pub(crate) fn as_lines(&self) -> String {
        let mut out = String::new();
        for act in &self.acts {
            let at = i64::try_from(act.at_unix_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
            let at = at.map_or_else(String::new, |at| format!("{at:.3}"));
            out.push_str(&format!("{:>4}  {at}  {}  by {}\n", act.number, act.what, Self::by_whom(act)));
        }
        out.push_str(&self.sum());
        out.push('\n');
        out
    }

    /// What holds of them.
    pub(crate) fn sum(&self) -> String {
        format!(
            "{} acts at {}, each signed by the process and chained to the one before",
            self.acts.len(),
            self.name
        )
    }

    /// Who, and why. A reason stands in quotation marks: it cannot make a line of its own.
    pub(crate) fn by_whom(act: &Act) -> String {
        let name = if act.name.is_empty() { String::new() } else { format!(" ({})", act.name) };
        let user = if act.user == UNTOLD { "unknown".into() } else { act.user.to_string() };
        let group = if act.group == UNTOLD { String::new() } else { format!(", group {}", act.group) };
        let process = match act.process {
            0 => ", from a terminal".into(),
            process => format!(", process {process}"),
        };
        format!("user {user}{name}{group}{process}: {:?}", act.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn act(line: &str) -> Act {
        serde_json::from_str(line).expect("an act")
    }

    #[test]
    fn who_the_kernel_did_not_tell_is_said_to_be_unknown() {
        let socket = act(
            r#"{"number":1,"at_unix_us":1,"what":"stop","why":"a\nb","user":0,"name":"root","group":0,"process":7,"before":"","signature":""}"#,
        );
        assert_eq!(LocalActs::by_whom(&socket), r#"user 0 (root), group 0, process 7: "a\nb""#);
        let systemd = act(
            r#"{"number":1,"at_unix_us":1,"what":"stop","why":"signal TERM from systemd","user":0,"name":"root","group":4294967295,"process":1,"before":"","signature":""}"#,
        );
        assert_eq!(LocalActs::by_whom(&systemd), r#"user 0 (root), process 1: "signal TERM from systemd""#);
        let terminal = act(
            r#"{"number":1,"at_unix_us":1,"what":"stop","why":"signal INT","user":4294967295,"name":"","group":4294967295,"process":0,"before":"","signature":""}"#,
        );
        assert_eq!(LocalActs::by_whom(&terminal), r#"user unknown, from a terminal: "signal INT""#);
    }
}
