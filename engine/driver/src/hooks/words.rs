//! What the service beside a node says to it, and is answered: one JSON object a line (spec/hooks.md, "The socket").

use crate::socket::Question;
use duohuo_core::Instant;
use duohuo_core::io::Machine;
use duohuo_core::outside::{Word, WordAnswer};
use duohuo_wire::ids::{ClusterId, Epoch, Height};
use duohuo_wire::packet::Role;
use duohuo_wire::roster::Roster;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A line, the end of line included.
pub(crate) const MOST_LINE: usize = 1024;

/// A question.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// Who acts, and until when?
    State {},
    /// What this node's own chain computed.
    Result {
        height: u64,
        /// 64 hexadecimal digits.
        hash: String,
    },
    /// That cluster's result is wrong.
    Accuse { cluster: Cluster, height: u64 },
}

/// By its number, or by its name in the roster.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Cluster {
    Number(u32),
    Name(String),
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Answer {
    ok: bool,
    /// One word, of the table in spec/hooks.md.
    pub(crate) answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    state: Option<Box<State>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct State {
    node: u32,
    cluster: u32,
    role: &'static str,
    epoch: u64,
    master: u32,
    in_sync: Vec<u32>,
    acting: bool,
    /// On CLOCK_BOOTTIME of this machine; 0: it does not act.
    stop_at_ns: u64,
    until_ns: u64,
    now_ns: u64,
}

/// What a node may do now outside the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    /// In this epoch.
    pub(crate) epoch: Epoch,
    /// Then it begins to end.
    pub(crate) stop_at: Instant,
    /// Then it has ended.
    pub(crate) until: Instant,
}

/// What the loop must do for a question.
pub(super) enum Todo {
    /// It is answered.
    Done(Answer),
    /// The machine answers it.
    Ask(Word),
}

impl Answer {
    /// It is done.
    pub(crate) const fn done() -> Self {
        Self { ok: true, answer: "done", about: None, state: None }
    }

    pub(crate) fn refusal(answer: &'static str, about: impl Into<String>) -> Self {
        Self { ok: false, answer, about: Some(about.into()), state: None }
    }

    pub(crate) fn of(answer: WordAnswer) -> Self {
        let about = match answer {
            WordAnswer::Told | WordAnswer::Kept | WordAnswer::Reported => None,
            WordAnswer::Contradicts => {
                Some("this node signed another result of that height in this epoch; the first stands")
            }
            WordAnswer::Agrees => Some("that cluster's result is the same as ours"),
            WordAnswer::NotMaster => Some("only the master of a cluster is heard; this node is not"),
            WordAnswer::NoCluster => Some("expected another cluster of the roster, by number or name"),
            WordAnswer::NoHooks => Some("this node's chain is embedded"),
        };
        Self { ok: answer.is_taken(), answer: answer.name(), about: about.map(Into::into), state: None }
    }

    /// As it goes out.
    pub(crate) fn line(&self) -> String {
        // numbers, words and text: nothing that JSON has not
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }
}

impl Question for Request {
    fn read(line: &[u8]) -> Result<Self, Answer> {
        read(line)
    }
}

/// A line as a question, or what is wrong with it.
pub(crate) fn read<Q: DeserializeOwned>(line: &[u8]) -> Result<Q, Answer> {
    // serde would take the fields of an object as an array, too
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(Answer::refusal("malformed", "expected one JSON object"));
    }
    serde_json::from_slice(line).map_err(|e| Answer::refusal("malformed", e.to_string()))
}

/// Whatever can be answered without the machine's changing is.
pub(super) fn consider(request: &Request, machine: &dyn Machine, lease: Option<Lease>, now: Instant) -> Todo {
    match word_of(request, machine.roster_in_force()) {
        Ok(None) => Todo::Done(state(machine, lease, now)),
        Ok(Some(word)) => Todo::Ask(word),
        Err(refusal) => Todo::Done(refusal),
    }
}

/// What the machine is told; `None`: it is asked for its state.
fn word_of(request: &Request, roster: Option<&Roster>) -> Result<Option<Word>, Answer> {
    match request {
        Request::State {} => Ok(None),
        Request::Result { height, hash } => match crate::keys::parse_hex::<32>(hash) {
            Some(hash) => Ok(Some(Word::Result { height: Height(*height), hash })),
            None => Err(Answer::refusal("malformed", "hash: expected 64 hexadecimal digits")),
        },
        Request::Accuse { cluster, height } => match find(cluster, roster) {
            Some(cluster) => Ok(Some(Word::Accuse { cluster, height: Height(*height) })),
            None => Err(Answer::of(WordAnswer::NoCluster)),
        },
    }
}

/// A line of the socket as a node understands it, without one: the word for its machine (`None`: the line asks for the
/// state), or the line that it is refused with.
///
/// # Errors
/// It is no question, or names no cluster of the roster.
pub fn heard(line: &[u8], roster: &Roster) -> Result<Option<Word>, String> {
    read::<Request>(line)
        .and_then(|request| word_of(&request, Some(roster)))
        .map_err(|refusal| refusal.line())
}

fn find(cluster: &Cluster, roster: Option<&Roster>) -> Option<ClusterId> {
    let mut all = roster?.clusters.iter();
    all.find(|entry| match cluster {
        Cluster::Number(number) => entry.id.0 == *number,
        Cluster::Name(name) => entry.name == *name,
    })
    .map(|entry| entry.id)
}

pub(crate) fn state(machine: &dyn Machine, lease: Option<Lease>, now: Instant) -> Answer {
    let report = machine.about();
    let lease = lease.filter(|lease| now < lease.stop_at);
    let role = match report.role {
        Role::Master => "master",
        Role::Standby => "standby",
        _ => "ordinary",
    };
    let state = State {
        node: report.node.0,
        cluster: report.cluster.0,
        role,
        epoch: lease.map_or(report.epoch, |lease| lease.epoch).0,
        master: report.master.0,
        in_sync: report.in_sync.iter().map(|node| node.0).collect(),
        acting: lease.is_some(),
        stop_at_ns: lease.map_or(0, |lease| lease.stop_at.as_nanos()),
        until_ns: lease.map_or(0, |lease| lease.until.as_nanos()),
        now_ns: now.as_nanos(),
    };
    Answer { ok: true, answer: "state", about: None, state: Some(Box::new(state)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duohuo_wire::ids::NodeId;
    use duohuo_wire::status::StatusReport;

    struct Master;

    impl Machine for Master {
        fn handle(&mut self, _: Instant, _: duohuo_core::io::Input) {}
        fn poll_output(&mut self) -> Option<duohuo_core::io::Output> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
        fn about(&self) -> StatusReport {
            StatusReport {
                node: NodeId(11),
                cluster: ClusterId(1),
                role: Role::Master,
                epoch: Epoch(4),
                master: NodeId(11),
                in_sync: vec![NodeId(11), NodeId(12)],
                ..Default::default()
            }
        }
    }

    fn answer(line: &str) -> String {
        let now = Instant::from_nanos(50);
        let lease =
            Lease { epoch: Epoch(4), stop_at: Instant::from_nanos(70), until: Instant::from_nanos(90) };
        match read::<Request>(line.as_bytes()) {
            Err(answer) => answer.line(),
            Ok(request) => match consider(&request, &Master, Some(lease), now) {
                Todo::Done(answer) => answer.line(),
                Todo::Ask(word) => format!("{word:?}"),
            },
        }
    }

    #[test]
    fn b_hook_10_a_state_says_who_acts_and_until_when() {
        assert_eq!(
            answer("{\"do\":\"state\"}"),
            "{\"ok\":true,\"answer\":\"state\",\"node\":11,\"cluster\":1,\"role\":\"master\",\"epoch\":4,\"master\":11,\"in_sync\":[11,12],\
             \"acting\":true,\"stop_at_ns\":70,\"until_ns\":90,\"now_ns\":50}\n"
        );
        let over =
            Lease { epoch: Epoch(4), stop_at: Instant::from_nanos(50), until: Instant::from_nanos(90) };
        let said = state(&Master, Some(over), Instant::from_nanos(50)).line();
        assert!(said.contains("\"acting\":false,\"stop_at_ns\":0,\"until_ns\":0"), "{said}");
    }

    #[test]
    fn a_result_and_an_accusation_are_words_for_the_machine() {
        let hash = "0f".repeat(32);
        assert!(
            answer(&format!("{{\"do\":\"result\",\"height\":7,\"hash\":\"{hash}\"}}"))
                .starts_with("Result { height: ")
        );
        assert!(
            answer("{\"do\":\"accuse\",\"cluster\":\"B\",\"height\":7}").contains("no_cluster"),
            "no roster"
        );
        assert_eq!(Answer::of(WordAnswer::Reported).line(), "{\"ok\":true,\"answer\":\"reported\"}\n");
        assert!(
            Answer::of(WordAnswer::Agrees)
                .line()
                .starts_with("{\"ok\":false,\"answer\":\"agrees\",\"about\":")
        );
    }

    #[test]
    fn b_hook_10_what_is_no_question_is_refused_and_told_why() {
        for line in [
            "",
            "state",
            "{}",
            "{\"do\":\"dance\"}",
            "{\"do\":\"state\",\"more\":1}",
            "{\"do\":\"state\"} {\"do\":\"state\"}",
            "{\"do\":\"result\",\"height\":-1,\"hash\":\"00\"}",
            "{\"do\":\"result\",\"height\":18446744073709551616,\"hash\":\"00\"}",
            "{\"do\":\"result\",\"height\":1,\"hash\":\"00\"}",
            "{\"do\":\"result\",\"height\":1}",
            "{\"do\":\"accuse\",\"cluster\":1.5,\"height\":1}",
            "[[[[[[[[[[[[[[[[[[[[[[[[",
            "[\"state\"]",
            "[\"accuse\",1,7]",
            "\u{0}",
        ] {
            let said = answer(line);
            assert!(
                said.starts_with("{\"ok\":false,\"answer\":\"malformed\",\"about\":\""),
                "{line}: {said}"
            );
        }
    }
}
