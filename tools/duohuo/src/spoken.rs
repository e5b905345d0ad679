//! `duohuo neighbours --versions`: which version of the wire each process speaks with whom.

use crate::access::{Access, Server, ask_answer};
use duohuo_wire::ids::NodeId;
use duohuo_wire::operations::Spoken;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a process tells; `None`: it does not answer.
pub(crate) type Told = (Server, Option<Answered>);

/// What one that answers tells; `None`: nothing, since its program knows version 1 alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answered(Option<Spoken>);

/// Everybody at the same time, the authority first.
pub(crate) fn ask_all(access: &Access, timeout: Duration) -> Vec<Told> {
    let servers: Vec<_> = std::iter::once(access.authority()).chain(access.nodes()).collect();
    std::thread::scope(|scope| {
        let ask = |server: Server| {
            let mut client = access.connect(&server, timeout).ok()?;
            let (_, extensions) = ask_answer(&mut client, timeout).ok()?;
            Some(Answered(Spoken::of(&extensions)))
        };
        let asked: Vec<_> =
            servers.iter().map(|server| scope.spawn(move || (*server, ask(*server)))).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

/// One line for each process: its range, and with whom it speaks what.
pub(crate) fn table(access: &Access, told: &[Told]) -> String {
    let name = |id: NodeId| {
        access.roster.node(id).map_or_else(|| "authority".to_owned(), |(_, node)| node.name.clone())
    };
    let width = told.iter().map(|(server, _)| name(server.id).len()).max().unwrap_or(0);
    let mut out =
        String::from("who speaks which versions of the wire, and which one in its sessions with whom\n");
    for (server, answered) in told {
        let text = match answered {
            None => "?".to_owned(),
            Some(Answered(None)) => "1: its program knows no other".to_owned(),
            Some(Answered(Some(spoken))) => {
                let mut by_version: BTreeMap<u8, Vec<String>> = BTreeMap::new();
                let servers: BTreeSet<NodeId> = told.iter().map(|(server, _)| server.id).collect();
                for (party, version) in spoken.sessions.iter().filter(|(party, _)| servers.contains(party)) {
                    by_version.entry(*version).or_default().push(name(*party));
                }
                let sessions = by_version.iter().map(|(v, names)| format!("; {v} with {}", names.join(", ")));
                format!("{}{}", spoken.ours, sessions.collect::<String>())
            }
        };
        out.push_str(&format!("{:<width$}  {text}\n", name(server.id)));
    }
    out
}
