//! A node: the log of its master.

use crate::scene::*;
use duohuo_core::event::Event;
use duohuo_tests::lone::Peer;
use duohuo_wire::ids::{Epoch, Height, LogIndex};
use duohuo_wire::packet::*;

/// B-LOG-1: a log is taken from the master of the newest row, of its epoch, and from nobody else.
#[test]
fn b_log_1_a_log_is_taken_from_the_rows_master_only() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.tell(n, append(0, vec![record(1, 1, b"a")]));
    assert_eq!(acks(&m.read(n)), [(1, 1, 1)]);
    let stream = n.take_dial("127.4.2.3:4751".parse().unwrap());
    assert!(stream.is_some(), "it dials the higher number");
    m.tell(n, Append { epoch: Epoch(0), ..append(1, vec![]) });
    m.tell(n, Resync { epoch: Epoch(2), ..Default::default() });
    assert_eq!((n.discards("old_epoch"), n.discards("unknown_epoch")), (1, 1));
    // A newer row: its master is heard, the old one not, whatever epoch it names.
    let newer = row(n, OWN, 2, 0, THIRD, &[ME, THIRD]);
    scene.z.say(n, notice(newer));
    m.tell(n, append(1, vec![record(1, 1, b"b")]));
    m.tell(n, Append { epoch: Epoch(2), ..append(1, vec![record(1, 2, b"b")]) });
    assert_eq!((n.discards("old_epoch"), n.discards("forbidden")), (2, 1));
    assert_eq!(acks(&m.read(n)), []);
}

/// B-LOG-1: nor does who adopts or leads follow anybody.
#[test]
fn who_leads_follows_nobody() {
    let (mut scene, mut m) = Scene::following();
    scene.granted(&[M, ME]);
    m.tell(&mut scene.n, append(0, vec![record(1, 1, b"a")]));
    m.tell(&mut scene.n, Append { epoch: Epoch(2), ..append(0, vec![]) });
    assert_eq!((scene.n.discards("old_epoch"), scene.n.discards("forbidden")), (1, 1));
    assert_eq!(acks(&m.read(&mut scene.n)), []);
}

/// B-LOG-2, B-LOG-3, B-LOG-5: an acknowledgement tells what is durable, not what was received; in an epoch nothing is cut.
#[test]
fn b_log_5_an_acknowledgement_waits_for_the_disk() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    n.quick_disk = false;
    m.tell(n, append(0, vec![record(1, 1, b"a"), record(1, 1, b"b")]));
    assert_eq!(m.read(n), []);
    n.sync();
    assert_eq!(acks(&m.read(n)), [(1, 2, 1)]);
    // Late repetitions, shorter or different, cut nothing.
    m.tell(n, Resync { epoch: Epoch(1), ..Default::default() });
    m.tell(n, append(0, vec![record(1, 1, b"x")]));
    n.sync();
    assert_eq!(acks(&m.read(n)), [(1, 2, 1), (1, 2, 1)]);
    // A record of the height after the next is not acknowledged: the block before it is not here.
    m.tell(n, append(2, vec![record(2, 1, b"c")]));
    n.sync();
    assert_eq!(acks(&m.read(n)), [(1, 2, 1)]);
    m.tell(n, append(9, vec![record(1, 1, b"gap")]));
    assert_eq!(n.discards("unexpected"), 1);
}

/// B-LOG-4: the log of a master that is higher is not taken before its blocks: they are asked for.
#[test]
fn b_log_4_blocks_come_before_the_log() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(
        n,
        Resync {
            epoch: Epoch(1),
            height: Height(4),
            records: vec![record(5, 1, b"a")],
            ..Default::default()
        },
    );
    let read = m.read(n);
    assert_eq!(acks(&read), []);
    assert!(read.iter().any(|p| matches!(p, Packet::ChainQuery(q) if q.from == Height(1))));
    // Nor is anything appended before it is in step again.
    m.tell(n, append(0, vec![record(1, 1, b"a")]));
    assert_eq!((n.discards("unexpected"), acks(&m.read(n))), (1, vec![]));
    m.tell(n, ChainEnd { height: Height(0), ..Default::default() });
    assert_eq!(acks(&m.read(n)), [(1, 0, 0)], "it asks for the log again");
}

/// B-LOG-6, R8: a new master that lacks a released record is a divergence; the node halts.
#[test]
fn b_log_6_a_released_record_is_never_cut() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.tell(n, Append { released: LogIndex(1), ..append(0, vec![record(1, 1, b"a")]) });
    let newer = row(n, OWN, 2, 0, THIRD, &[ME, THIRD]);
    scene.z.say(n, notice(newer));
    let mut third = Peer::new(n, THIRD);
    third.accept_stream(n);
    third.tell(n, Resync { epoch: Epoch(2), ..Default::default() });
    assert!(n.events.iter().any(|e| matches!(e, Event::Halted { .. })));
    assert_eq!(acks(&third.read(n)), []);
}

/// B-LOG-4: when the blocks are here the log is asked for, whoever brought them and although no ChainEnd came.
#[test]
fn b_log_4_the_log_is_asked_for_as_soon_as_its_blocks_are_here() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, Resync { epoch: Epoch(1), height: Height(0), ..Default::default() });
    assert_eq!(acks(&m.read(n)), [(1, 0, 1)]);
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, Resync { epoch: Epoch(1), height: Height(1), ..Default::default() });
    let read = m.read(n);
    assert!(read.iter().any(|p| matches!(p, Packet::ChainQuery(q) if q.from == Height(1))));
    // The stream ends, and the answer with it: the next stream's Resync starts another query at once.
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, Resync { epoch: Epoch(1), height: Height(1), ..Default::default() });
    let read = m.read(n);
    assert!(read.iter().any(|p| matches!(p, Packet::ChainQuery(q) if q.from == Height(1))));
}
