//! The authority's log, cut at every point where a crash can cut it.

use super::network::*;
use bytes::Bytes;
use duohuo_core::authority::Authority;
use duohuo_core::authority::table::{At, Command};
use duohuo_core::io::Stored;
use duohuo_core::store::StartError;
use duohuo_tests::consortium::{Consortium, FIG_18};
use duohuo_tests::lone::{Lone, authority_config};
use duohuo_wire::ids::{Epoch, Height, NodeId, Version};
use duohuo_wire::packet::*;

const THIRD: NodeId = NodeId(13);

/// A row: epoch, version, master, in sync, barred.
type Fields<List> = (u64, u64, u32, List, List);

/// A log with every kind of command. Each grant's set has one member: a set cut between two of its members would read as
/// a smaller one, which only the checksum that the store puts on each value excludes. Beside each command, the row of cluster A after
/// it.
fn log() -> Vec<(Command, Fields<&'static [u32]>)> {
    let at = |epoch, version| At { epoch: Epoch(epoch), version: Version(version) };
    let add = |at, node| Command::Add { cluster: A, at, node };
    let grant =
        |at, node, in_sync: &[NodeId]| Command::Grant { cluster: A, at, node, in_sync: in_sync.into() };
    vec![
        (Command::Register { cluster: A, node: M }, (1, 0, 11, &[11], &[])),
        (add(at(1, 0), STANDBY), (1, 1, 11, &[11, 12], &[])),
        (add(at(1, 1), THIRD), (1, 2, 11, &[11, 12, 13], &[])),
        (Command::Remove { cluster: A, at: at(1, 2), node: THIRD }, (1, 3, 11, &[11, 12], &[])),
        (grant(at(1, 3), STANDBY, &[STANDBY]), (2, 0, 12, &[12], &[])),
        (add(at(2, 0), THIRD), (2, 1, 12, &[12, 13], &[])),
        (
            Command::Bar { cluster: A, at: at(2, 1), height: Height(9), hash: [7; 32] },
            (2, 2, 12, &[12, 13], &[12]),
        ),
        (grant(at(2, 2), THIRD, &[THIRD]), (3, 0, 13, &[13], &[12])),
    ]
}

fn start(commands: &[Bytes]) -> Result<Authority, StartError> {
    let commands = (1..).zip(commands.iter().cloned()).collect();
    Authority::new(authority_config(&Consortium::new(1, &FIG_18)), Stored { commands, ..Stored::default() })
}

fn row_of(authority: &Authority) -> Option<Fields<Vec<u32>>> {
    let ids = |ids: &[NodeId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
    let row = &authority.table().entry(A)?.row;
    Some((row.epoch.0, row.version.0, row.master.0, ids(&row.in_sync), ids(&row.barred)))
}

/// B-AUTH-2: after each of its commands the log may end; it then means what was decided up to there.
#[test]
fn b_auth_2_every_prefix_of_the_log_is_a_table() {
    let bytes: Vec<Bytes> = log().iter().map(|(command, _)| command.encode()).collect();
    assert_eq!(row_of(&start(&[]).unwrap()), None);
    for (n, (_, (epoch, version, master, in_sync, barred))) in log().into_iter().enumerate() {
        let authority = start(&bytes[..=n]).unwrap();
        let row = (epoch, version, master, in_sync.to_vec(), barred.to_vec());
        assert_eq!(row_of(&authority), Some(row), "after command {}", n + 1);
    }
}

/// B-AUTH-2: a last command that is torn at any byte, or has one too many, stops the start; so does a log that lacks
/// any command before its last.
#[test]
fn b_auth_2_every_torn_tail_and_every_hole_stops_the_start() {
    let bytes: Vec<Bytes> = log().iter().map(|(command, _)| command.encode()).collect();
    let refused = |commands: &[Bytes], what: &str| {
        assert!(matches!(start(commands), Err(StartError::Damaged(_))), "{what} was accepted");
    };
    let mut torn = 0;
    for end in 1..=bytes.len() {
        let (last, before) = bytes[..end].split_last().unwrap();
        for length in 0..last.len() {
            let tail = last.slice(..length);
            refused(&[before, &[tail]].concat(), &format!("command {end} cut to {length} bytes"));
            torn += 1;
        }
        let longer: Bytes = [&last[..], &[0]].concat().into();
        refused(&[before, &[longer]].concat(), &format!("command {end} with a byte too many"));
        for hole in 0..end - 1 {
            let rest: Vec<Bytes> = before.iter().chain([last]).cloned().collect();
            let without = [&rest[..hole], &rest[hole + 1..]].concat();
            refused(&without, &format!("commands 1 to {end} without {}", hole + 1));
        }
    }
    assert_eq!(torn, log().iter().map(|(command, _)| command.encode().len()).sum::<usize>());
}

/// B-AUTH-1, B-AUTH-2: killed before a decision is on disk, the authority has told nobody and has not decided; killed
/// after, it has. So at each decision of a cluster's life.
#[test]
fn b_auth_2_a_crash_before_or_after_each_decision() {
    let changes = [
        change(ChangeKind::Add, 1, 0, STANDBY),
        change(ChangeKind::Add, 1, 1, THIRD),
        change(ChangeKind::Remove, 1, 2, THIRD),
        change(ChangeKind::Add, 1, 3, THIRD),
    ];
    for done in 0..changes.len() {
        let crashed = |on_disk: bool| -> (Lone, bool) {
            let mut z = ready();
            let (mut m, _) = register(&mut z, 0);
            for change in &changes[..done] {
                m.say(&mut z, change.clone());
            }
            m.heard(&mut z);
            z.quick_disk = false;
            m.say(&mut z, changes[done].clone());
            assert!(z.is_writing());
            if on_disk {
                z.sync();
            }
            let told = !notices(&m.heard(&mut z)).is_empty();
            (z.restarted(), told)
        };
        let version = |z: &Lone| z.row(A).unwrap().version.0;
        let (before, told) = crashed(false);
        assert_eq!((version(&before), told), (done as u64, false), "killed before change {done} was on disk");
        let (after, told) = crashed(true);
        assert_eq!(
            (version(&after), told),
            (done as u64 + 1, true),
            "killed after change {done} was on disk"
        );
    }
}
