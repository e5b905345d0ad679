//! A node: the log of its master.

use super::scene::*;
use bytes::Bytes;
use duohuo_chain::{Embedded, EmbeddedConfig, Genesis, Timing, Transfer};
use duohuo_core::Instant;
use duohuo_core::chain::{Chain as _, ChainOutput, HaltReason, TransactionId, VoteKind};
use duohuo_core::event::Event;
use duohuo_core::io::Table;
use duohuo_core::store::META_LOG_END;
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::ids::{Epoch, Height, LogIndex, NodeId};
use duohuo_wire::packet::*;
use duohuo_wire::parts::{LogPart, PartsHeld};
use duohuo_wire::statement::SignedRow;

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

/// The prevote for nil that the master of a cluster casts at the first height when no proposal comes.
fn prevote_for_nil(lone: &Lone, cluster: usize) -> Bytes {
    let id = node(cluster, 0);
    let mut chain = Embedded::new(EmbeddedConfig {
        cluster: cluster_id(cluster),
        node: id,
        signing_key: lone.consortium.keys[&id].signing.clone(),
        roster: lone.consortium.roster.clone(),
        genesis: Genesis { accounts: (0..16).map(|a| (a, 1_000_000)).collect() },
        timing: Timing::default(),
    });
    for c in 0..4 {
        chain.learn_grant(cluster_id(c), Epoch(1), node(c, 0));
    }
    chain.lead(Instant::ZERO, Epoch(1), &[], Height(0));
    let id = TransactionId([7; 16]);
    let mut transfer = Vec::new();
    Transfer { id, from: 0, to: 1, amount: 1, valid_until: Height(9) }.encode(&mut transfer);
    chain.submit(Instant::ZERO, &transfer.into()).unwrap();
    for _ in 0..10 {
        while let Some(output) = chain.poll_output() {
            let ChainOutput::Send { bytes, .. } = output else { continue };
            let words = chain.votes_in(&bytes);
            if words.len() == 1 && words[0].kind == VoteKind::Prevote && words[0].value.is_none() {
                return bytes;
            }
        }
        let at = chain.poll_timeout().expect("it waits for a proposal");
        chain.tick(at);
    }
    panic!("it never gives up waiting")
}

/// B-FNC-2, decision 25: a promise to a forced master goes into the log behind what was logged before it and waited for
/// a word: on the disk, and at the members.
#[test]
fn b_fnc_2_a_promise_leaves_no_gap_in_the_log() {
    let (mut scene, _m) = Scene::following();
    let in_sync = [ME, THIRD];
    scene.granted(&in_sync);
    let n = &mut scene.n;
    let mut third = Peer::new(n, THIRD);
    third.accept_stream(n);
    let asker = node(OTHER, 1);
    let mut forced = row(n, OTHER, 2, 0, asker, &[asker]).row;
    forced.unfenced = true;
    let forced = SignedRow::sign(forced, &scene.z.keys.signing);
    let mut asker = Peer::new(n, asker);
    asker.open_stream(n, true);
    // It is known and greeted before it asks.
    scene.z.say(n, notice(forced.clone()));
    let logged = |n: &Lone| -> Vec<u64> {
        n.disk().keys().filter(|(table, _)| *table == Table::Record).map(|(_, index)| *index).collect()
    };
    // The first vote begins the height, in which it is on our node to propose.
    let mut before = Vec::new();
    for voter in [2, 3] {
        let master = node(voter, 0);
        let known = row(n, voter, 1, 0, master, &[master]);
        scene.z.say(n, notice(known));
        let mut peer = Peer::new(n, master);
        peer.accept_stream(n);
        before = logged(n);
        let (cluster, message) = (cluster_id(voter), prevote_for_nil(n, voter));
        peer.tell(n, Consensus { cluster, epoch: Epoch(1), message, ..Default::default() });
    }
    assert_eq!(n.discards("bad_consensus"), 0);
    assert!(!before.is_empty());
    assert_eq!(logged(n), before, "the second vote waits for a word");
    third.read(n);
    asker.tell(n, Fence { row: forced, ..Default::default() });
    let after = logged(n);
    assert_eq!(after.len(), before.len() + 2, "the vote, and the promise");
    assert_eq!(after, (0..after.len() as u64).collect::<Vec<_>>());
    let end = n.disk()[&(Table::Meta, META_LOG_END)].last().copied();
    assert_eq!(end.map(u64::from), Some(after.len() as u64));
    let mut sent = Vec::new();
    for packet in third.read(n) {
        if let Packet::Append(append) = packet {
            sent.extend((append.start.0..).zip(append.records).map(|(index, _)| index));
        }
    }
    assert_eq!(sent, after[before.len()..], "each once, in order");
}

/// B-LOG-11: the log that did not get here is asked for, and not with every record that is appended meanwhile.
#[test]
fn b_log_11_who_is_appended_to_out_of_step_asks_for_the_log() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    let appended = append(0, vec![record(1, 1, b"a")]);
    m.tell(n, appended.clone());
    assert_eq!(acks(&m.read(n)), [(1, 1, 1)]);
    m.hang_up(n);
    m.open_stream(n, true);
    for _ in 0..3 {
        m.tell(n, append(1, vec![]));
    }
    assert_eq!((n.discards("unexpected"), acks(&m.read(n))), (3, vec![(1, 1, 0)]));
    n.pass(ms(20));
    m.tell(n, append(1, vec![]));
    assert_eq!(acks(&m.read(n)), [(1, 1, 0)], "nor did this one get there");
    m.tell(n, Resync { epoch: Epoch(1), records: appended.records, ..Default::default() });
    m.tell(n, append(1, vec![record(1, 1, b"b")]));
    assert_eq!(acks(&m.read(n)), [(1, 1, 1), (1, 2, 1)]);
}

/// B-ROL-1, B-LOG-1: a role that is over before its promise is written keeps nobody from following.
#[test]
fn the_log_of_a_successor_is_taken_while_the_own_promise_is_being_written() {
    let (mut scene, _) = Scene::following();
    let mut third = Peer::new(&scene.n, THIRD);
    third.accept_stream(&mut scene.n);
    scene.n.quick_disk = false;
    scene.granted(&[ME, THIRD]);
    let newer = row(&scene.n, OWN, 3, 0, THIRD, &[ME, THIRD]);
    scene.z.say(&mut scene.n, notice(newer));
    third.tell(&mut scene.n, Resync { epoch: Epoch(3), ..Default::default() });
    assert_eq!((acks(&third.read(&mut scene.n)), scene.n.discards("forbidden")), (vec![], 0));
    scene.n.sync();
    assert_eq!(acks(&third.read(&mut scene.n)), [(3, 0, 3)]);
    assert!(!scene.leads());
}

/// B-LOG-4: a log that leaves a gap after records that are kept is no honest master's: refused, and nothing falls over.
#[test]
fn b_log_4_a_log_that_leaves_a_gap_after_what_is_kept_is_refused() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.tell(n, append(0, vec![record(1, 1, b"a")]));
    assert_eq!(acks(&m.read(n)), [(1, 1, 1)]);
    m.tell(n, Resync { epoch: Epoch(1), start: LogIndex(9), ..Default::default() });
    assert_eq!((n.discards("unexpected"), acks(&m.read(n))), (1, vec![]));
    m.tell(n, append(1, vec![record(1, 1, b"b")]));
    assert_eq!(acks(&m.read(n)), [(1, 2, 1)], "it goes on from where it was");
}

/// B-LOG-9: indexes that a master made up end, and a successor that inherits them stops with a reason instead of beginning anew.
#[test]
fn b_log_9_a_log_at_the_end_of_its_indexes_has_a_last_record() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    let last = (1 << 62) - 1;
    m.tell(n, Resync { epoch: Epoch(1), start: LogIndex(last + 1), ..Default::default() });
    assert_eq!((n.discards("unexpected"), acks(&m.read(n))), (1, vec![]));
    m.tell(n, Resync { epoch: Epoch(1), start: LogIndex(last), ..Default::default() });
    assert_eq!(acks(&m.read(n)), [(1, last, 1)]);
    scene.granted(&[ME]);
    // Two forced masters, one after the other, have it write a record of its own.
    let forced = NodeId(12);
    let before = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    scene.z.say(&mut scene.n, notice(before));
    let mut asker = Peer::new(&scene.n, forced);
    asker.open_stream(&mut scene.n, true);
    let mut has_halted = |epoch| {
        let mut unfenced = row(&scene.n, OTHER, epoch, 0, forced, &[forced]).row;
        unfenced.unfenced = true;
        let row = SignedRow::sign(unfenced, &scene.n.consortium.keys[&NodeId::AUTHORITY].signing);
        asker.tell(&mut scene.n, Fence { row, ..Default::default() });
        scene.n.events.contains(&Event::Halted { reason: HaltReason::FullLog })
    };
    assert!(!has_halted(2), "index 2^62 - 1 is the last one");
    assert!(has_halted(3));
    assert!(!scene.leads());
}

/// One part of the log of epoch 2 that begins at 0.
fn part(start: u64, is_followed: bool, records: Vec<WireRecord>) -> Resync {
    let extensions = LogPart { first: LogIndex(0), is_followed }.extensions();
    Resync { epoch: Epoch(2), start: LogIndex(start), records, extensions, ..Default::default() }
}

/// The acknowledgements that ask for a part: what they claim, and from where.
fn asks_for_part(packets: &[Packet]) -> Vec<(u64, u64, u64, u64)> {
    let of = |p: &Packet| match p {
        Packet::Ack(ack) => {
            let held = PartsHeld::of(&ack.extensions)?;
            Some((ack.end.0, ack.synced.0, held.first.0, held.next.0))
        }
        _ => None,
    };
    packets.iter().filter_map(of).collect()
}

fn stored_records(n: &Lone) -> Vec<u64> {
    n.disk().keys().filter(|(table, _)| *table == Table::Record).map(|(_, index)| *index).collect()
}

/// Follows the master of epoch 1 with two records of its log, and hears of the next master, number 23.
fn succeeded() -> (Scene, Peer) {
    let (mut scene, mut m) = Scene::following();
    m.tell(&mut scene.n, append(0, vec![record(1, 1, b"a"), record(1, 1, b"b")]));
    let newer = row(&scene.n, OWN, 2, 0, THIRD, &[ME, THIRD]);
    scene.z.say(&mut scene.n, notice(newer));
    let mut third = Peer::new(&scene.n, THIRD);
    third.accept_stream(&mut scene.n);
    third.read(&mut scene.n);
    (scene, third)
}

/// B-LOG-12: what comes in parts has no effect before the last is here, and then that of one Resync, all at once.
#[test]
fn b_log_12_a_log_in_parts_has_no_effect_before_the_last_is_here() {
    let (mut scene, mut third) = succeeded();
    let n = &mut scene.n;
    n.quick_disk = false;
    third.tell(n, part(0, true, vec![record(1, 1, b"a")]));
    assert_eq!(
        asks_for_part(&third.read(n)),
        [(2, 0, 0, 1)],
        "what is durable, and nothing of the new epoch"
    );
    third.tell(n, part(1, true, vec![record(1, 2, b"x")]));
    assert_eq!(asks_for_part(&third.read(n)), [(2, 0, 0, 2)]);
    assert!(!n.is_writing(), "nothing is cut, nothing is promised");
    third.tell(n, part(2, false, vec![record(1, 2, b"y")]));
    assert_eq!(acks(&third.read(n)), []);
    assert!(n.sync_one());
    assert!(!n.is_writing(), "all of it is one write");
    assert_eq!(acks(&third.read(n)), [(2, 3, 2)]);
    assert_eq!(stored_records(n), [0, 1, 2]);
}

/// B-LOG-12: a node that restarts, or is granted, between two parts has its log as it was.
#[test]
fn b_log_12_who_has_a_part_only_has_its_log_as_it_was() {
    let (mut scene, mut third) = succeeded();
    third.tell(&mut scene.n, part(0, true, vec![record(1, 2, b"other")]));
    assert_eq!(stored_records(&scene.n), [0, 1]);
    let grant = row(&scene.n, OWN, 3, 0, ME, &[ME, THIRD]);
    scene.z.say(&mut scene.n, notice(grant));
    let given = third.read(&mut scene.n).into_iter().find_map(|p| match p {
        Packet::Resync(resync) => Some(resync.records),
        _ => None,
    });
    assert_eq!(given, Some(vec![record(1, 1, b"a"), record(1, 1, b"b")]));
}

/// B-LOG-12: parts that do not follow each other make no log; the member asks from the beginning, and once in a while only.
#[test]
fn b_log_12_a_part_that_does_not_go_on_is_dropped() {
    let (mut scene, mut third) = succeeded();
    let n = &mut scene.n;
    third.tell(n, part(1, false, vec![record(1, 2, b"x")]));
    let read = third.read(n);
    assert_eq!((n.discards("unexpected"), acks(&read), asks_for_part(&read)), (1, vec![(2, 2, 0)], vec![]));
    third.tell(n, part(0, true, vec![record(1, 1, b"a")]));
    assert_eq!(asks_for_part(&third.read(n)), [(2, 0, 0, 1)]);
    // A gap, another log's part, and one that begins before its log: dropped, and what is here stays.
    third.tell(n, part(2, false, vec![record(1, 2, b"x")]));
    third.tell(n, Resync { height: Height(0), epoch: Epoch(1), ..part(1, false, vec![]) });
    let before = LogPart { first: LogIndex(5), is_followed: false }.extensions();
    third.tell(n, Resync { extensions: before, ..part(1, false, vec![]) });
    assert_eq!((n.discards("unexpected"), n.discards("old_epoch")), (3, 1));
    // The same part again is no news.
    third.tell(n, part(0, true, vec![record(1, 1, b"a")]));
    assert_eq!(acks(&third.read(n)), []);
    // What is appended meanwhile comes in a later part; one that is long in coming is asked for again.
    third.tell(n, Append { epoch: Epoch(2), ..append(2, vec![]) });
    assert_eq!(acks(&third.read(n)), []);
    n.pass(ms(250));
    third.tell(n, Append { epoch: Epoch(2), ..append(2, vec![]) });
    assert_eq!(asks_for_part(&third.read(n)), [(2, 0, 0, 1)]);
    assert_eq!(n.discards("unexpected"), 3);
    third.tell(n, part(1, false, vec![record(1, 2, b"x")]));
    assert_eq!(acks(&third.read(n)), [(2, 2, 2)]);
}

/// B-LOG-12: what came by a stream that ended is gone.
#[test]
fn b_log_12_parts_of_a_stream_that_ended_are_worth_nothing() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    let of_epoch_1 = |part: Resync| Resync { epoch: Epoch(1), ..part };
    for _ in 0..2 {
        m.hang_up(n);
        m.open_stream(n, true);
        m.tell(n, of_epoch_1(part(0, true, vec![record(1, 1, b"a")])));
        assert_eq!(asks_for_part(&m.read(n)), [(0, 0, 0, 1)]);
    }
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, of_epoch_1(part(1, false, vec![record(1, 1, b"b")])));
    assert_eq!((n.discards("unexpected"), acks(&m.read(n))), (1, vec![(1, 0, 0)]));
    assert_eq!(stored_records(n), [0; 0]);
}

/// A body of so many MiB as the log has it.
fn big(byte: u8, mebibytes: u8) -> WireRecord {
    let mut bytes = vec![byte; 5 + (usize::from(mebibytes) << 20)];
    bytes[..5].copy_from_slice(&[1, 0, mebibytes << 4, 0, 0]);
    WireRecord { height: Height(1), epoch: Epoch(1), bytes: bytes.into() }
}

/// Leads with four bodies of 3 MiB in the log that it inherited; what its member was given, and the member.
fn leads_with_a_long_log() -> (Scene, Peer, Vec<Packet>) {
    leads_with_bodies(4, 3)
}

fn leads_with_bodies(count: u8, mebibytes: u8) -> (Scene, Peer, Vec<Packet>) {
    let (mut scene, mut m) = Scene::following();
    for byte in 0..count {
        m.tell(&mut scene.n, append(byte.into(), vec![big(byte, mebibytes)]));
    }
    assert_eq!(acks(&m.read(&mut scene.n)).last(), Some(&(1, count.into(), 1)));
    scene.granted(&[ME, THIRD]);
    assert!(scene.leads());
    let mut third = Peer::new(&scene.n, THIRD);
    third.accept_stream(&mut scene.n);
    let given = third.read(&mut scene.n);
    (scene, third, given)
}

/// The parts among packets: where each begins, where its log begins, its records, and whether another follows.
fn parts(packets: Vec<Packet>) -> Vec<(u64, u64, u64, bool)> {
    let of = |p| match p {
        Packet::Resync(resync) => {
            let part = LogPart::of(&resync.extensions).expect("it does not fit into one");
            Some((resync.start.0, part.first.0, resync.records.len() as u64, part.is_followed))
        }
        _ => None,
    };
    packets.into_iter().filter_map(of).collect()
}

fn asks(first: u64, next: u64) -> Ack {
    let extensions = PartsHeld { first: LogIndex(first), next: LogIndex(next) }.extensions();
    Ack { epoch: Epoch(2), extensions, ..Default::default() }
}

fn log_end(n: &Lone) -> u64 {
    n.disk()[&(Table::Meta, META_LOG_END)].last().copied().map_or(0, u64::from)
}

/// B-LOG-12: a log of 12 MiB is given in parts that fit, each when it is asked for.
#[test]
fn b_log_12_a_log_that_does_not_fit_is_given_in_parts() {
    let (mut scene, mut third, given) = leads_with_a_long_log();
    let n = &mut scene.n;
    // Two bodies, two more, and what the chain said since.
    let end = log_end(n);
    assert_eq!(parts(given), [(0, 0, 2, true)], "and no more of it before it is asked for");
    third.tell(n, asks(0, 2));
    assert_eq!(parts(third.read(n)), [(2, 0, end - 2, false)]);
    third.tell(n, asks(0, 2));
    assert_eq!(parts(third.read(n)), [], "it asked twice, and the last part is on its way");
    // Of another log, beyond the end, from the beginning, or no question at all: from the beginning.
    for ack in [asks(1, 2), asks(0, end + 1), asks(0, 0), Ack { epoch: Epoch(2), ..Default::default() }] {
        third.tell(n, ack);
        assert_eq!(parts(third.read(n)), [(0, 0, 2, true)]);
    }
}

/// B-LOG-13: while a member is given the log, what is new is not sent to it beside: a part has it.
#[test]
fn b_log_13_who_is_given_a_log_in_parts_is_sent_no_records_beside() {
    let (mut scene, mut third, _) = leads_with_a_long_log();
    let forced = NodeId(12);
    let before = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    scene.z.say(&mut scene.n, notice(before));
    let mut asker = Peer::new(&scene.n, forced);
    asker.open_stream(&mut scene.n, true);
    let mut unfenced = row(&scene.n, OTHER, 2, 0, forced, &[forced]).row;
    unfenced.unfenced = true;
    let forced = SignedRow::sign(unfenced, &scene.n.consortium.keys[&NodeId::AUTHORITY].signing);
    // What it promises a forced master is a record.
    let end = log_end(&scene.n);
    asker.tell(&mut scene.n, Fence { row: forced, ..Default::default() });
    let n = &mut scene.n;
    let appended: Vec<(u64, usize)> = third
        .read(n)
        .iter()
        .filter_map(|p| match p {
            Packet::Append(append) => Some((append.start.0, append.records.len())),
            _ => None,
        })
        .collect();
    assert_eq!((appended, log_end(n)), (vec![(end + 1, 0)], end + 1), "a sign that there is more");
    third.tell(n, asks(0, 2));
    assert_eq!(parts(third.read(n)), [(2, 0, end - 1, false)]);
}

/// B-LOG-12: a member of an older program says that it knows no parts. That is no offence, and it has the log when it fits again.
#[test]
fn b_log_12_a_member_that_knows_no_parts_says_so_without_offence() {
    let (mut scene, mut third, _) = leads_with_a_long_log();
    let n = &mut scene.n;
    for _ in 0..100 {
        third.tell(n, Unsupported { critical_tlv: 0x8001, ..Default::default() });
    }
    assert_eq!((n.discards("unexpected"), n.discards("forbidden")), (100, 0));
    assert!(!n.events.iter().any(|e| matches!(e, Event::Offended { .. })));
    assert_eq!(parts(third.read(n)), [], "nor is it sent again and again");
}

/// What one machine gives as master is told to another one that follows, and what that one answers to the first, until nothing
/// more is given: how many parts there were, and the machine that follows, with who speaks to it.
fn handed_on(leader: (Scene, Peer, Vec<Packet>)) -> (usize, Scene, Scene, Peer) {
    let (mut leads, mut asks_as, mut given) = leader;
    let (mut follows, mut tells_as) = succeeded();
    let mut count = 0;
    loop {
        let is_part = |p: &Packet| matches!(p, Packet::Resync(_));
        let parts: Vec<Packet> = given.into_iter().filter(is_part).collect();
        if parts.is_empty() {
            return (count, leads, follows, tells_as);
        }
        count += parts.len();
        for part in parts {
            tells_as.tell(&mut follows.n, part);
        }
        for answer in tells_as.read(&mut follows.n) {
            if matches!(answer, Packet::Ack(_)) {
                asks_as.tell(&mut leads.n, answer);
            }
        }
        given = asks_as.read(&mut leads.n);
    }
}

/// B-LOG-12: fifteen blocks of the greatest size at one height, each of which fills a packet, are 60 MiB: they get there.
#[test]
fn b_log_12_a_log_just_below_64_mib_is_handed_on_whole() {
    let (count, leads, follows, _) = handed_on(leads_with_bodies(15, 4));
    let records = |n: &Lone| {
        let of = |((table, index), value): (&(Table, u64), &Bytes)| {
            (*table == Table::Record).then(|| (*index, value.clone()))
        };
        n.disk().iter().filter_map(of).collect::<Vec<_>>()
    };
    let (theirs, ours) = (records(&leads.n), records(&follows.n));
    assert!(count >= 15 && theirs.len() >= 15, "{count} parts of {} records", theirs.len());
    assert!(theirs == ours, "byte for byte");
    assert_eq!(log_end(&follows.n), log_end(&leads.n));
    assert_eq!(follows.n.discards("unexpected"), 0);
}

/// B-LOG-12: sixteen are above it: nothing of them is kept, the log stays as it was, and the next one is taken.
#[test]
fn b_log_12_of_a_log_above_64_mib_nothing_is_kept() {
    let (count, leads, mut follows, mut third) = handed_on(leads_with_bodies(16, 4));
    let n = &mut follows.n;
    assert_eq!((count, n.discards("unexpected")), (16, 1), "the last one is too much");
    assert!(leads.leads(), "who gave it is as it was");
    assert_eq!((stored_records(n), log_end(n)), (vec![0, 1], 2));
    // What is appended meanwhile is nothing, and nothing is asked for again.
    n.pass(ms(1_000));
    third.tell(n, Append { epoch: Epoch(2), ..append(16, vec![]) });
    assert_eq!(acks(&third.read(n)), []);
    let newer = row(n, OWN, 3, 0, THIRD, &[ME, THIRD]);
    follows.z.say(&mut follows.n, notice(newer));
    let short = vec![record(1, 1, b"a"), record(1, 3, b"c")];
    third.tell(&mut follows.n, Resync { epoch: Epoch(3), records: short, ..Default::default() });
    assert_eq!(acks(&third.read(&mut follows.n)), [(3, 2, 3)]);
    assert_eq!(stored_records(&follows.n), [0, 1]);
}
