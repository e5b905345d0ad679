//! The lines between node and keeper: first what the keeper is for, as JSON, then words and numbers. Instants are
//! nanoseconds of CLOCK_BOOTTIME, which is one for the whole machine.

use super::settings::HooksSettings;
use duohuo_core::Instant;
use duohuo_core::outside::{Ending, Program, Report};
use duohuo_wire::ids::{Epoch, NodeId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// What a keeper is for: the first line that it reads. The settings are those of its node, and not those of a file that may
/// have changed since.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// The cluster.
    pub cluster: u32,
    /// The node.
    pub node: u32,
    /// Its priority in the roster.
    pub priority: u8,
    /// Whoever holds it runs the programs.
    pub lock: PathBuf,
    /// Whether it logs as JSON.
    pub json_log: bool,
    /// What runs.
    pub settings: HooksSettings,
}

/// What the node says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Act { epoch: Epoch, stop_at: Instant, until: Instant },
    Stop,
    Cover { members: Vec<NodeId> },
    Follow { epoch: Epoch, master: NodeId, address: IpAddr },
}

impl Said {
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Act { epoch, stop_at, until } => {
                format!("act {} {} {}\n", epoch.0, stop_at.as_nanos(), until.as_nanos())
            }
            Self::Stop => "stop\n".into(),
            Self::Cover { members } => format!("cover{}\n", numbers(members)),
            Self::Follow { epoch, master, address } => {
                format!("follow {} {} {address}\n", epoch.0, master.0)
            }
        }
    }

    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let said = match words.next()? {
            "act" => Self::Act {
                epoch: Epoch(words.next()?.parse().ok()?),
                stop_at: Instant::from_nanos(words.next()?.parse().ok()?),
                until: Instant::from_nanos(words.next()?.parse().ok()?),
            },
            "stop" => Self::Stop,
            "cover" => Self::Cover { members: nodes(&mut words)? },
            "follow" => Self::Follow {
                epoch: Epoch(words.next()?.parse().ok()?),
                master: NodeId(words.next()?.parse().ok()?),
                address: words.next()?.parse().ok()?,
            },
            _ => return None,
        };
        words.next().is_none().then_some(said)
    }
}

const PROGRAMS: [Program; 7] = [
    Program::Promote,
    Program::Demote,
    Program::Kill,
    Program::Health,
    Program::Sync,
    Program::Cover,
    Program::Follow,
];
const ENDINGS: [Ending; 5] =
    [Ending::Done, Ending::Failed, Ending::TimedOut, Ending::Overtaken, Ending::NotStarted];

/// What the keeper says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// For the machine.
    Report(Report),
    /// This process group runs; 0: none does. Should the keeper die, it is the node's to kill.
    Group(i32),
}

/// The line of a group.
pub(crate) fn group_line(group: i32) -> String {
    format!("group {group}\n")
}

/// A report as a line; what only the node itself reports has none.
pub(crate) fn report_line(report: &Report) -> Option<String> {
    Some(match report {
        Report::Stopped => "stopped\n".into(),
        Report::Ran { program, ending } => format!("ran {} {}\n", program.name(), ending.name()),
        Report::Health { cut } => format!("health {cut}\n"),
        Report::Copy { in_step, position } => format!("copy {} {position}\n", u8::from(*in_step)),
        Report::Covers { members } => format!("covers{}\n", numbers(members)),
        Report::Restarted | Report::Word { .. } => return None,
    })
}

/// What a keeper said, from its line.
pub(crate) fn read_heard(line: &str) -> Option<Heard> {
    let mut words = line.split_whitespace();
    let report = match words.next()? {
        "group" => {
            let group = words.next()?.parse().ok().filter(|group| *group >= 0)?;
            return words.next().is_none().then_some(Heard::Group(group));
        }
        "stopped" => Report::Stopped,
        "ran" => {
            let (program, ending) = (words.next()?, words.next()?);
            Report::Ran {
                program: *PROGRAMS.iter().find(|p| p.name() == program)?,
                ending: *ENDINGS.iter().find(|e| e.name() == ending)?,
            }
        }
        "health" => Report::Health { cut: words.next()?.parse().ok()? },
        "copy" => Report::Copy {
            in_step: words.next()?.parse::<u8>().ok()? == 1,
            position: words.next()?.parse().ok()?,
        },
        "covers" => Report::Covers { members: nodes(&mut words)? },
        _ => return None,
    };
    words.next().is_none().then_some(Heard::Report(report))
}

fn numbers(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| format!(" {}", node.0)).collect()
}

fn nodes<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Vec<NodeId>> {
    words.map(|word| word.parse().ok().map(NodeId)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_these_words_both_ways() {
        let lines = [
            (
                Said::Act {
                    epoch: Epoch(4),
                    stop_at: Instant::from_nanos(70),
                    until: Instant::from_nanos(90),
                },
                "act 4 70 90\n",
            ),
            (Said::Stop, "stop\n"),
            (Said::Cover { members: vec![NodeId(12), NodeId(13)] }, "cover 12 13\n"),
            (Said::Cover { members: vec![] }, "cover\n"),
            (
                Said::Follow { epoch: Epoch(5), master: NodeId(12), address: IpAddr::from([127, 0, 0, 1]) },
                "follow 5 12 127.0.0.1\n",
            ),
        ];
        for (said, line) in lines {
            assert_eq!(said.line(), line);
            assert_eq!(Said::read(line), Some(said));
        }
        for line in ["", "act 4 70", "act 4 70 90 1", "stop now", "cover x", "dance"] {
            assert_eq!(Said::read(line), None, "{line}");
        }
    }

    #[test]
    fn a_report_is_these_words_both_ways() {
        let lines = [
            (Report::Stopped, "stopped\n"),
            (Report::Ran { program: Program::Demote, ending: Ending::TimedOut }, "ran demote timed_out\n"),
            (Report::Health { cut: 255 }, "health 255\n"),
            (Report::Copy { in_step: true, position: 7 }, "copy 1 7\n"),
            (Report::Covers { members: vec![NodeId(12)] }, "covers 12\n"),
        ];
        for (report, line) in lines {
            assert_eq!(report_line(&report).as_deref(), Some(line));
            assert_eq!(read_heard(line), Some(Heard::Report(report)));
        }
        assert_eq!(read_heard("group 4711\n"), Some(Heard::Group(4711)));
        assert_eq!(read_heard(&group_line(0)), Some(Heard::Group(0)));
        for line in [
            "",
            "health 256",
            "group -1",
            "group 1 2",
            "ran promote",
            "ran dance done",
            "stopped now",
            "dance",
        ] {
            assert_eq!(read_heard(line), None, "{line}");
        }
    }
}
