//! What a log keeps, cuts and writes.
#![allow(clippy::unwrap_used)]

use super::*;
use bytes::Bytes;

const E1: Epoch = Epoch(1);
const E2: Epoch = Epoch(2);

fn record(height: u64, epoch: Epoch, word: &'static str) -> Record {
    Record { height: Height(height), epoch, bytes: Bytes::from_static(word.as_bytes()) }
}

/// A follower of epoch 1 at height 4 with records 10, 11, 12 of height 5.
fn follower() -> Log {
    let mut log = Log { height: Height(4), ..Log::default() };
    let records = vec![record(5, E1, "a"), record(5, E1, "b"), record(5, E1, "c")];
    log.resync(E1, Height(4), 10, records).unwrap();
    log
}

fn words(log: &Log) -> Vec<(u64, &[u8])> {
    log.records.iter().map(|(index, r)| (*index, r.bytes.as_ref())).collect()
}

/// What a crash now would leave: the store after these writes, read back.
fn reload(writes: &[Write], height: u64) -> Log {
    let mut stored = Stored::default();
    for write in writes {
        match write {
            Write::Put { table: Table::Meta, key, value } => drop(stored.meta.insert(*key, value.clone())),
            Write::Put { table: Table::Record, key, value } => {
                drop(stored.records.insert(*key, value.clone()));
            }
            Write::DeleteRange { table: Table::Record, from, to } => {
                stored.records.retain(|key, _| key < from || key >= to);
            }
            _ => panic!("a log writes meta and records only"),
        }
    }
    Log::load(&stored, Height(height)).unwrap()
}

#[test]
fn a_follower_takes_the_log_of_its_master() {
    let log = follower();
    assert_eq!(words(&log), [(10, &b"a"[..]), (11, b"b"), (12, b"c")]);
    assert_eq!((log.end(), log.promised(), log.synced()), (13, E1, E1));
}

#[test]
fn in_an_epoch_the_log_only_grows_whatever_comes_late() {
    let mut log = follower();
    log.extend(10, vec![record(5, E1, "a")]).unwrap();
    log.extend(11, vec![record(5, E1, "x"), record(5, E1, "y")]).unwrap();
    log.resync(E1, Height(4), 10, vec![record(5, E1, "a")]).unwrap();
    assert_eq!(words(&log), [(10, &b"a"[..]), (11, b"b"), (12, b"c")]);
    log.extend(12, vec![record(5, E1, "c"), record(5, E1, "d")]).unwrap();
    assert_eq!(log.end(), 14);
}

#[test]
fn indices_at_the_end_of_their_range_are_none() {
    assert!(Log::is_in_range((1 << 62) - 1));
    assert!(!Log::is_in_range(1 << 62));
    assert!(!Log::is_in_range(u64::MAX));
}

#[test]
fn a_gap_is_refused() {
    assert_eq!(follower().extend(14, vec![record(5, E1, "z")]), None);
}

#[test]
fn a_new_epoch_cuts_at_the_common_prefix_and_extends() {
    let mut log = follower();
    let theirs = vec![record(5, E1, "a"), record(5, E2, "B"), record(5, E2, "C"), record(5, E2, "D")];
    log.resync(E2, Height(4), 10, theirs).unwrap();
    assert_eq!(words(&log), [(10, &b"a"[..]), (11, b"B"), (12, b"C"), (13, b"D")]);
    assert_eq!((log.promised(), log.synced()), (E2, E2));
}

#[test]
fn a_shorter_log_of_a_new_epoch_cuts_what_was_never_released() {
    let mut log = follower();
    log.resync(E2, Height(4), 10, vec![record(5, E1, "a")]).unwrap();
    assert_eq!(words(&log), [(10, &b"a"[..])]);
    assert_eq!(log.end(), 11);
}

#[test]
fn a_new_master_without_a_released_record_is_a_divergence_and_changes_nothing() {
    let mut log = follower();
    log.note_released(12);
    let before = log.clone();
    assert_eq!(log.resync(E2, Height(4), 10, vec![record(5, E1, "a")]), Err(Divergence));
    assert_eq!(log.resync(E2, Height(4), 10, vec![record(5, E1, "a"), record(5, E1, "x")]), Err(Divergence));
    assert_eq!(log, before);
}

#[test]
fn what_was_released_at_a_height_the_new_master_has_committed_is_history() {
    let mut log = follower();
    log.note_released(12);
    log.commit(Height(5));
    log.resync(E2, Height(5), 20, vec![record(6, E2, "n")]).unwrap();
    assert_eq!(words(&log), [(20, &b"n"[..])]);
}

#[test]
#[should_panic(expected = "an older epoch is not listened to")]
fn an_older_epoch_never_gets_as_far_as_the_log() {
    let mut log = follower();
    log.resync(E2, Height(4), 10, Vec::new()).unwrap();
    let _ = log.resync(E1, Height(4), 10, Vec::new());
}

/// A master that lies cannot make a member fall over: what it must not say is named, and nothing is changed.
#[test]
fn a_log_of_the_same_epoch_that_begins_after_a_gap_is_told_from_one_above_committed_history() {
    let mut log = follower();
    assert!(log.leaves_gap(E1, 14) && !log.leaves_gap(E1, 13) && !log.leaves_gap(E2, 14));
    log.commit(Height(5));
    assert!(!log.leaves_gap(E1, 14), "all that lies between is committed");
}

/// A closed record gives up what lies at its height; what was released above must come again, and stays released.
#[test]
fn what_was_released_above_a_closed_record_is_cut_only_to_come_again() {
    let mut log = follower();
    log.extend(13, vec![record(6, E1, "n")]).unwrap();
    log.note_released(14);
    let closed = Record { bytes: Bytes::from_static(&[0xFF]), ..record(5, E2, "") };
    let before = log.clone();
    assert_eq!(log.resync(E2, Height(4), 10, vec![closed.clone()]), Err(Divergence));
    assert_eq!(log, before);
    let theirs = vec![closed.clone(), closed.clone(), closed, record(6, E1, "n")];
    log.resync(E2, Height(4), 10, theirs).unwrap();
    assert_eq!((log.end(), log.released), (14, 14));
    assert_eq!(words(&log).last(), Some(&(13, &b"n"[..])));
}

#[test]
fn a_record_is_acknowledged_only_by_who_holds_the_block_before_it() {
    let mut log = follower();
    log.extend(13, vec![record(6, E1, "next height")]).unwrap();
    assert_eq!((log.end(), log.acknowledged()), (14, 13));
    log.commit(Height(5));
    assert_eq!(log.acknowledged(), 14);
}

#[test]
fn a_committed_height_drops_its_records_and_keeps_the_count() {
    let mut log = follower();
    let writes = log.commit(Height(5));
    assert_eq!(writes, [Write::DeleteRange { table: Table::Record, from: 10, to: 13 }]);
    assert_eq!((log.start(), log.end()), (13, 13));
}

#[test]
fn a_grantee_promises_and_drops_what_it_never_acknowledged() {
    let mut log = follower();
    log.extend(13, vec![record(6, E1, "next height")]).unwrap();
    log.adopt(E2);
    assert_eq!((log.end(), log.promised(), log.synced()), (13, E2, E2));
}

#[test]
#[should_panic(expected = "a row is adopted once")]
fn a_row_is_adopted_once() {
    follower().adopt(E1);
}

#[test]
fn the_store_gives_the_same_log_back_after_each_change() {
    let mut log = Log { height: Height(4), ..Log::default() };
    let mut writes = log.resync(E1, Height(4), 10, vec![record(5, E1, "a"), record(5, E1, "b")]).unwrap();
    assert_eq!(reload(&writes, 4), log);
    writes.extend(log.extend(12, vec![record(5, E1, "c")]).unwrap());
    assert_eq!(reload(&writes, 4), log);
    writes.extend(log.resync(E2, Height(4), 10, vec![record(5, E1, "a"), record(5, E2, "B")]).unwrap());
    assert_eq!(reload(&writes, 4), log);
    writes.extend(log.commit(Height(5)));
    assert_eq!(reload(&writes, 5), log);
    writes.extend(log.adopt(Epoch(3)));
    assert_eq!(reload(&writes, 5), log);
    writes.extend(log.append(record(6, Epoch(3), "own")));
    assert_eq!(reload(&writes, 5), log);
}

fn closed(height: u64, epoch: Epoch) -> Record {
    Record { height: Height(height), epoch, bytes: Bytes::from_static(&[0xFF]) }
}

#[test]
fn a_closed_log_holds_nothing_but_that_it_is_closed() {
    let mut log = Log { height: Height(4), ..Log::default() };
    let mut writes = log.resync(E1, Height(4), 10, vec![record(5, E1, "a"), record(5, E1, "b")]).unwrap();
    log.note_released(12);
    writes.extend(log.adopt(E2));
    writes.extend(log.close(closed(7, E2)));
    assert_eq!(words(&log), [(12, &b"\xFF"[..])]);
    assert_eq!(Log { released: 0, ..log.clone() }, log);
    assert_eq!(reload(&writes, 4), log);
    writes.extend(log.commit(Height(6)));
    assert_eq!(log.end() - log.start(), 1, "it stays until its height is committed");
    writes.extend(log.commit(Height(7)));
    assert_eq!(reload(&writes, 7), log);
}

/// Seed 175094563935952: the next grant cut it, since it lies two heights above the chain, and the cluster spoke again where
/// it had said something else before the force.
#[test]
fn a_fence_that_stands_far_above_the_chain_outlives_the_next_grant() {
    let mut log = Log { height: Height(4), ..Log::default() };
    let mut writes = log.adopt(E1);
    writes.extend(log.close(closed(7, E1)));
    assert_eq!(log.acknowledged(), log.end());
    writes.extend(log.adopt(E2));
    assert_eq!(words(&log), [(0, &b"\xFF"[..])]);
    assert_eq!(reload(&writes, 4), log);
}

#[test]
#[should_panic(expected = "it closes all that is there")]
fn a_fence_below_a_record_is_none() {
    let mut log = follower();
    log.extend(13, vec![record(6, E1, "high")]).unwrap();
    let _ = log.close(closed(5, E2));
}

/// A member of the lost set returns: what it released is given up up to the fence, and not above.
#[test]
fn what_a_fence_closed_is_history() {
    let mut log = follower();
    log.note_released(13);
    assert_eq!(log.clone().resync(E2, Height(4), 8, vec![record(5, E2, "x")]), Err(Divergence));
    let mut returned = log.clone();
    returned.resync(E2, Height(4), 8, vec![closed(6, E2)]).unwrap();
    assert_eq!(words(&returned), [(8, &b"\xFF"[..])]);
    assert_eq!(returned.end(), 9);
    returned.extend(9, vec![record(7, E2, "n")]).unwrap();
    let successor = returned.resync(Epoch(3), Height(4), 8, vec![closed(6, E2)]);
    assert!(successor.is_ok(), "the forced log ends below the old one, and had released nothing");
    assert_eq!(words(&returned), [(8, &b"\xFF"[..])]);
    log.extend(13, vec![record(9, E1, "high")]).unwrap();
    log.note_released(14);
    assert_eq!(log.resync(E2, Height(4), 8, vec![closed(6, E2)]), Err(Divergence), "above the fence");
}

#[test]
fn a_store_with_a_hole_in_the_log_is_refused() {
    let mut log = Log { height: Height(4), ..Log::default() };
    let writes = log.resync(E1, Height(4), 10, vec![record(5, E1, "a"), record(5, E1, "b")]).unwrap();
    let mut stored = Stored::default();
    for write in writes {
        match write {
            Write::Put { table: Table::Meta, key, value } => drop(stored.meta.insert(key, value)),
            Write::Put { key: 11, value, .. } => drop(stored.records.insert(10, value)),
            _ => {}
        }
    }
    assert_eq!(Log::load(&stored, Height(4)), Err(StartError::Damaged("log with a gap")));
}

/// A closed record may be of a later height than what is logged behind it: what a commit leaves is what a start takes.
#[test]
fn what_stands_behind_a_closed_record_of_a_later_height_is_there_after_a_restart() {
    let mut log = Log { height: Height(4), ..Log::default() };
    let theirs = vec![closed(9, E1), record(5, E1, "a"), record(9, E1, "b")];
    let mut stored = Stored::default();
    for write in log.resync(E1, Height(4), 10, theirs).unwrap() {
        match write {
            Write::Put { table: Table::Meta, key, value } => drop(stored.meta.insert(key, value)),
            Write::Put { key, value, .. } => drop(stored.records.insert(key, value)),
            _ => {}
        }
    }
    assert_eq!(log.commit(Height(5)), [], "nothing before it, and it stays");
    let loaded = Log::load(&stored, Height(5)).unwrap();
    assert_eq!(words(&loaded), words(&log));
    assert_eq!((loaded.start(), loaded.end()), (10, 13));
}

#[test]
fn it_says_what_it_holds_and_how_high_it_reaches() {
    let mut log = follower();
    assert_eq!(log.held(), Held { name: "log", entries: 3, bytes: 3 });
    assert_eq!((log.start(), log.last_height()), (10, Some(Height(5))));
    log.extend(13, vec![record(7, E1, "above"), record(6, E1, "n")]).unwrap();
    assert_eq!((log.held().bytes, log.last_height()), (9, Some(Height(7))));
    let from = |index| log.records_from(index).map(|r| r.bytes.as_ref()).collect::<Vec<_>>();
    assert_eq!(from(12), [&b"c"[..], b"above", b"n"]);
    assert_eq!(from(15), [&b""[..]; 0]);
    assert_eq!((Log::default().start(), Log::default().last_height()), (0, None));
}

/// Rule 13, B-LOG-8: a log is loaded whole, above the chain, and with the promise that goes with it.
#[test]
fn of_a_store_the_records_above_the_chain_are_loaded_and_no_promise_below_what_was_synced() {
    let stored = |promised, synced, end| {
        let mut stored = Stored::default();
        stored.meta.insert(META_PROMISE, encode_promise(Epoch(promised), Epoch(synced)));
        stored.meta.insert(META_LOG_END, encode_u64(end));
        for (index, height) in [(10, 4), (11, 5), (12, 6)] {
            stored.records.insert(index, encode_record(&record(height, E1, "r")));
        }
        stored
    };
    let log = Log::load(&stored(2, 1, 13), Height(4)).unwrap();
    assert_eq!((log.start(), log.end(), log.promised(), log.synced()), (11, 13, E2, E1));
    assert!(Log::load(&stored(2, 2, 13), Height(4)).is_ok());
    assert_eq!(Log::load(&stored(1, 2, 13), Height(4)), Err(StartError::Damaged("log with a gap")));
    for end in [0, 12, 14] {
        assert_eq!(Log::load(&stored(2, 1, end), Height(4)), Err(StartError::Damaged("log with a gap")));
    }
    assert_eq!(Log::load(&stored(2, 1, 99), Height(6)).unwrap().start(), 99, "all of it is history");
}

/// Rule 11: what lies between is committed here, and the writes are exactly what is new.
#[test]
fn what_is_written_of_an_extension_is_what_was_not_there() {
    let mut log = follower();
    assert_eq!(log.extend(10, vec![record(5, E1, "a")]), Some(vec![log.put_end()]), "a repetition");
    let put = |index, r: &Record| Write::Put { table: Table::Record, key: index, value: encode_record(r) };
    let new = record(5, E1, "d");
    let writes = log.extend(12, vec![record(5, E1, "c"), new.clone()]).unwrap();
    assert_eq!(writes, [put(13, &new), log.put_end()]);
    // Of a height that is committed here only the place is kept.
    log.commit(Height(5));
    assert_eq!(log.extend(14, vec![record(5, E1, "old")]), Some(vec![log.put_end()]));
    assert_eq!((log.end(), log.records.len()), (15, 0));
    assert_eq!(log.extend(15, vec![]), Some(vec![]), "nothing to say");
    assert_eq!(log.extend(16, vec![]), None);
    log.resync(E1, Height(5), 20, vec![record(6, E1, "n")]).unwrap();
    assert_eq!((log.start(), log.end()), (20, 21));
    log.resync(E1, Height(5), 20, vec![]).unwrap();
    assert_eq!(log.end(), 21);
}

#[test]
fn what_a_commit_drops_is_told_once() {
    let mut log = follower();
    assert_eq!(log.commit(Height(4)), []);
    log.extend(13, vec![record(6, E1, "n")]).unwrap();
    assert_eq!(log.commit(Height(5)), [Write::DeleteRange { table: Table::Record, from: 10, to: 13 }]);
    assert_eq!((log.commit(Height(5)), log.commit(Height(3))), (vec![], vec![]));
    assert_eq!(words(&log), [(13, &b"n"[..])]);
    assert_eq!(log.height, Height(5), "it does not go back");
}

#[test]
fn what_is_cut_is_told_and_nothing_else_is_written() {
    let mut log = follower();
    let writes = log.resync(E2, Height(4), 10, vec![record(5, E1, "a"), record(5, E2, "x")]).unwrap();
    let put = |index, r: &Record| Write::Put { table: Table::Record, key: index, value: encode_record(r) };
    let end = |end| Write::Put { table: Table::Meta, key: META_LOG_END, value: encode_u64(end) };
    let promise = Write::Put { table: Table::Meta, key: META_PROMISE, value: encode_promise(E2, E2) };
    let cut = Write::DeleteRange { table: Table::Record, from: 11, to: 13 };
    assert_eq!(writes, [cut, end(11), put(11, &record(5, E2, "x")), end(12), promise]);
    // An empty log that is closed has nothing to delete.
    let mut empty = Log { height: Height(4), ..Log::default() };
    assert_eq!(empty.close(closed(7, E1)), [put(0, &closed(7, E1)), end(1)]);
}

/// What a closed record gave up is not released any more, whatever lay above it unreleased.
#[test]
fn what_was_given_up_to_a_closed_record_counts_as_released_no_more() {
    let mut log = follower();
    log.extend(13, vec![record(6, E1, "unreleased")]).unwrap();
    log.note_released(13);
    log.resync(E2, Height(4), 10, vec![closed(5, E2), closed(5, E2), closed(5, E2)]).unwrap();
    assert_eq!((log.released, log.end()), (10, 13));
}

#[test]
fn records_of_a_height_that_is_committed_here_take_their_places_and_are_not_kept() {
    let mut log = Log { height: Height(4), ..Log::default() };
    log.resync(E1, Height(4), 8, vec![record(3, E1, "x"), record(4, E1, "y"), record(5, E1, "z")]).unwrap();
    assert_eq!((words(&log), log.end()), (vec![(10, &b"z"[..])], 11));
}

#[test]
#[should_panic(expected = "a released record is never cut (I3)")]
fn nothing_cuts_a_released_record() {
    let mut log = follower();
    log.note_released(12);
    let _ = log.cut(10);
}
