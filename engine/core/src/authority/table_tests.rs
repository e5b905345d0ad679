//! The table's rules, each obeyed and broken.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

const C: ClusterId = ClusterId(1);
const fn at(epoch: u64, version: u64) -> At {
    At { epoch: Epoch(epoch), version: Version(version) }
}
fn ids(ids: &[u32]) -> Vec<NodeId> {
    ids.iter().map(|id| NodeId(*id)).collect()
}
fn add(at: At, node: u32) -> Command {
    Command::Add { cluster: C, at, node: NodeId(node) }
}
fn grant(at: At, node: u32, set: &[u32]) -> Command {
    Command::Grant { cluster: C, at, node: NodeId(node), in_sync: ids(set) }
}
fn bar(at: At) -> Command {
    Command::Bar { cluster: C, at, height: Height(9), hash: [7; 32] }
}

fn command(order: SignedOrder, at: At, node: u32, set: &[u32], height: u64) -> Command {
    Command::Order {
        order: Box::new(order),
        at,
        node: NodeId(node),
        in_sync: ids(set),
        height: Height(height),
    }
}
fn order(number: u64, kind: OrderKind, cluster: ClusterId, at: At, node: u32) -> Command {
    let node_id = NodeId(node);
    command(SignedOrder { number, kind, cluster, node: node_id, ..Default::default() }, at, node, &[], 0)
}
fn switch(number: u64, at: At, node: u32, set: &[u32]) -> Command {
    let order = SignedOrder { number, kind: OrderKind::Switch, cluster: C, ..Default::default() };
    command(order, at, node, set, 0)
}
fn force(number: u64, cluster: ClusterId, at: At, node: u32, height: u64) -> Command {
    let order =
        SignedOrder { number, kind: OrderKind::Force, cluster, node: NodeId(node), ..Default::default() };
    command(order, at, node, &[], height)
}
fn fenced(at: At, height: u64) -> Command {
    Command::Fenced { cluster: C, at, height: Height(height) }
}

/// A table with nodes 1, 2, 3 in sync, 1 master of epoch 1, version 2.
fn table() -> Table {
    let mut t = Table::default();
    t.apply(&Command::Register { cluster: C, node: NodeId(1) }).unwrap();
    t.apply(&add(at(1, 0), 2)).unwrap();
    t.apply(&add(at(1, 1), 3)).unwrap();
    t
}

#[test]
fn a_registered_cluster_is_in_epoch_one_with_its_master_alone_in_sync() {
    let mut t = Table::default();
    t.apply(&Command::Register { cluster: C, node: NodeId(1) }).unwrap();
    let row = &t.entry(C).unwrap().row;
    assert_eq!((row.epoch, row.version, row.master), (Epoch(1), Version(0), NodeId(1)));
    assert_eq!(row.in_sync, ids(&[1]));
}

#[test]
fn a_cluster_registers_once() {
    assert_eq!(
        table().apply(&Command::Register { cluster: C, node: NodeId(2) }),
        Err(Conflict::AlreadyRegistered)
    );
}

#[test]
fn a_grant_raises_the_epoch_and_starts_the_version_anew() {
    let mut t = table();
    t.apply(&grant(at(1, 2), 2, &[2, 3])).unwrap();
    let row = &t.entry(C).unwrap().row;
    assert_eq!((row.epoch, row.version, row.master), (Epoch(2), Version(0), NodeId(2)));
    assert_eq!(t.master_of(C, Epoch(1)), Some(NodeId(1)));
    assert_eq!(t.master_of(C, Epoch(2)), Some(NodeId(2)));
    assert_eq!(t.master_of(C, Epoch(3)), None);
}

#[test]
fn both_epoch_and_version_must_equal_the_rows() {
    let mut t = table();
    for stale in [at(1, 1), at(1, 3), at(0, 2), at(2, 2)] {
        assert_eq!(t.apply(&grant(stale, 2, &[2])), Err(Conflict::Stale));
    }
    assert_eq!(t, table());
}

#[test]
fn only_a_member_of_the_set_is_granted() {
    assert_eq!(table().apply(&grant(at(1, 2), 4, &[2])), Err(Conflict::NotInSync));
}

#[test]
fn the_new_set_lies_within_the_old_one_and_holds_the_new_master() {
    assert_eq!(table().apply(&grant(at(1, 2), 2, &[2, 4])), Err(Conflict::BadSet));
    assert_eq!(table().apply(&grant(at(1, 2), 2, &[3])), Err(Conflict::BadSet));
    assert_eq!(table().apply(&grant(at(1, 2), 2, &[3, 2])), Err(Conflict::BadSet));
    assert_eq!(table().apply(&grant(at(1, 2), 2, &[2, 2])), Err(Conflict::BadSet), "ascending, nobody twice");
}

#[test]
fn the_master_is_never_removed_from_its_set() {
    let remove = Command::Remove { cluster: C, at: at(1, 2), node: NodeId(1) };
    assert_eq!(table().apply(&remove), Err(Conflict::IsMaster));
}

#[test]
fn a_barred_master_is_not_granted_again_and_changes_no_set() {
    let mut t = table();
    t.apply(&bar(at(1, 2))).unwrap();
    assert_eq!(t.entry(C).unwrap().row.barred, ids(&[1]));
    assert_eq!(t.apply(&grant(at(1, 3), 1, &[1])), Err(Conflict::Barred));
    assert_eq!(t.apply(&add(at(1, 3), 4)), Err(Conflict::Barred));
    assert_eq!(
        t.apply(&Command::Remove { cluster: C, at: at(1, 3), node: NodeId(2) }),
        Err(Conflict::Barred)
    );
    assert_eq!(t.apply(&grant(at(1, 3), 2, &[1, 2])), Err(Conflict::BadSet));
    t.apply(&grant(at(1, 3), 2, &[2, 3])).unwrap();
    assert_eq!(t.apply(&add(at(2, 0), 1)), Err(Conflict::Barred));
}

#[test]
fn the_last_electable_member_is_not_barred() {
    let mut t = Table::default();
    t.apply(&Command::Register { cluster: C, node: NodeId(1) }).unwrap();
    assert_eq!(t.apply(&bar(at(1, 0))), Err(Conflict::LastMember));
}

#[test]
fn every_command_survives_the_log() {
    let all = [
        Command::Register { cluster: C, node: NodeId(1) },
        grant(at(1, 2), 2, &[2, 3]),
        add(at(1, 0), 2),
        Command::Remove { cluster: C, at: at(1, 2), node: NodeId(3) },
        bar(at(1, 2)),
        switch(1, at(1, 2), 2, &[1, 2]),
        order(2, OrderKind::Pause, C, at(0, 0), 0),
        fenced(at(2, 0), 9),
    ];
    for command in all {
        assert_eq!(Command::decode(&command.encode()), Some(command));
    }
}

#[test]
fn a_damaged_command_is_refused() {
    let whole = bar(at(1, 2)).encode();
    for cut in 0..whole.len() {
        assert_eq!(Command::decode(&whole.slice(..cut)), None);
    }
    assert_eq!(Command::decode(&Bytes::from_static(&[9, 0, 0, 0, 1])), None);
}

/// The table of [`table`] and three clusters more, each with one node: n = 4, f = 1.
fn four() -> Table {
    let mut t = table();
    for c in 2..=4 {
        t.apply(&Command::Register { cluster: ClusterId(c), node: NodeId(c * 10) }).unwrap();
    }
    t
}

#[test]
fn an_orders_number_only_grows() {
    let mut t = table();
    t.apply(&order(5, OrderKind::Pause, C, at(0, 0), 0)).unwrap();
    let before = t.clone();
    for number in [5, 4, 0] {
        assert_eq!(t.apply(&order(number, OrderKind::Resume, C, at(0, 0), 0)), Err(Conflict::Replayed));
    }
    assert_eq!(t, before);
    t.apply(&order(6, OrderKind::Resume, C, at(0, 0), 0)).unwrap();
    assert_eq!(t.orders(), 6);
}

#[test]
fn a_pause_holds_where_it_was_ordered_until_it_is_resumed_there() {
    let mut t = four();
    t.apply(&order(1, OrderKind::Pause, EVERYWHERE, at(0, 0), 0)).unwrap();
    assert!(t.is_paused(C) && t.is_paused(ClusterId(2)));
    assert_eq!(t.apply(&order(2, OrderKind::Pause, EVERYWHERE, at(0, 0), 0)), Err(Conflict::Unchanged));
    assert_eq!(t.apply(&order(2, OrderKind::Resume, C, at(0, 0), 0)), Err(Conflict::Unchanged));
    t.apply(&order(2, OrderKind::Pause, C, at(0, 0), 0)).unwrap();
    t.apply(&order(3, OrderKind::Resume, EVERYWHERE, at(0, 0), 0)).unwrap();
    assert!(t.is_paused(C) && !t.is_paused(ClusterId(2)));
    let row = &t.entry(C).unwrap().row;
    assert_eq!((row.epoch, row.version, row.table_version), (Epoch(1), Version(5), t.version()));
    assert_eq!(t.apply(&order(4, OrderKind::Pause, ClusterId(9), at(0, 0), 0)), Err(Conflict::Unregistered));
}

#[test]
fn an_unbarred_node_may_be_granted_again() {
    let mut t = table();
    t.apply(&bar(at(1, 2))).unwrap();
    assert_eq!(t.apply(&order(1, OrderKind::Unbar, C, at(1, 3), 2)), Err(Conflict::NotBarred));
    assert_eq!(t.apply(&order(1, OrderKind::Unbar, C, at(1, 2), 1)), Err(Conflict::Stale));
    t.apply(&order(1, OrderKind::Unbar, C, at(1, 3), 1)).unwrap();
    assert_eq!(t.entry(C).unwrap().row.barred, ids(&[]));
    t.apply(&grant(at(1, 4), 1, &[1, 2, 3])).unwrap();
}

#[test]
fn a_switch_by_order_is_a_grant_and_keeps_its_rules() {
    let mut t = table();
    assert_eq!(t.apply(&switch(1, at(1, 1), 2, &[1, 2, 3])), Err(Conflict::Stale));
    assert_eq!(t.apply(&switch(1, at(1, 2), 1, &[1, 2, 3])), Err(Conflict::IsMaster));
    assert_eq!(t.apply(&switch(1, at(1, 2), 4, &[1, 2, 3])), Err(Conflict::NotInSync));
    assert_eq!(t.apply(&switch(1, at(1, 2), 2, &[1, 2, 4])), Err(Conflict::BadSet));
    assert_eq!(t.apply(&switch(1, at(1, 2), 2, &[1, 3])), Err(Conflict::BadSet));
    t.apply(&switch(1, at(1, 2), 2, &[1, 2, 3])).unwrap();
    let row = &t.entry(C).unwrap().row;
    assert_eq!((row.epoch, row.version, row.master), (Epoch(2), Version(0), NodeId(2)));
    assert_eq!(t.master_of(C, Epoch(2)), Some(NodeId(2)));
}

#[test]
fn a_forced_master_is_alone_and_owes_the_fence_from_grant_to_grant() {
    let mut t = four();
    assert_eq!(t.apply(&force(1, C, at(1, 2), 3, 0)), Err(Conflict::AlreadyInSync));
    assert_eq!(t.apply(&force(1, C, at(1, 1), 4, 0)), Err(Conflict::Stale));
    t.apply(&force(1, C, at(1, 2), 4, 0)).unwrap();
    assert_eq!(t.entry(C).unwrap().row.in_sync, ids(&[4]));
    assert_eq!(t.apply(&add(at(2, 0), 1)), Err(Conflict::Unfenced));
    assert_eq!(t.apply(&switch(2, at(2, 0), 1, &[1])), Err(Conflict::Unfenced));
    t.apply(&grant(at(2, 0), 4, &[4])).unwrap();
    assert!(t.entry(C).unwrap().row.unfenced, "F3: the duty is inherited");
    assert_eq!(t.apply(&fenced(at(2, 0), 9)), Err(Conflict::Stale));
    t.apply(&fenced(at(3, 0), 9)).unwrap();
    let entry = t.entry(C).unwrap();
    assert_eq!((entry.row.version, entry.row.unfenced, entry.closed), (Version(1), false, Some(Height(9))));
    assert_eq!(t.apply(&fenced(at(3, 1), 9)), Err(Conflict::Unchanged));
    t.apply(&add(at(3, 1), 1)).unwrap();
}

#[test]
fn a_barred_node_is_not_forced() {
    let mut t = four();
    t.apply(&bar(at(1, 2))).unwrap();
    t.apply(&grant(at(1, 3), 2, &[2, 3])).unwrap();
    assert_eq!(t.apply(&force(1, C, at(2, 0), 1, 0)), Err(Conflict::Barred));
}

#[test]
fn no_more_clusters_are_cold_than_the_chain_can_do_without() {
    let mut t = four();
    let other = |number, height| force(number, ClusterId(2), at(1, 0), 21, height);
    t.apply(&force(1, C, at(1, 2), 4, 0)).unwrap();
    assert_eq!(t.apply(&other(2, 100)), Err(Conflict::TooManyForced));
    t.apply(&fenced(at(2, 0), 9)).unwrap();
    assert_eq!(t.apply(&other(2, 8)), Err(Conflict::TooManyForced));
    t.apply(&other(2, 9)).unwrap();
    let mut small = table();
    assert_eq!(small.apply(&force(1, C, at(1, 2), 4, 0)), Err(Conflict::TooManyForced), "f = 0");
}

/// A table whose cluster stands at this row and this count of commands; who was master before is left out.
fn near_the_end(epoch: u64, version: u64, table_version: u64) -> Table {
    let mut t = table();
    t.version = table_version;
    let row = &mut t.clusters.get_mut(&C).unwrap().row;
    (row.epoch, row.version) = (Epoch(epoch), Version(version));
    t
}

/// B-TAB-9: no number begins anew: the last epoch is 2^32 - 1, the last version 2^64 - 1.
#[test]
fn numbers_of_a_row_and_of_the_table_end_and_do_not_wrap() {
    let last = u64::from(u32::MAX);
    let t = near_the_end(last - 1, 4, 9);
    assert_eq!(t.check(&grant(at(last - 1, 4), 2, &[2])), Ok(()));
    assert_eq!(t.check(&switch(1, at(last - 1, 4), 2, &[2])), Ok(()));
    let mut t = near_the_end(last, 4, 9);
    let before = t.clone();
    assert_eq!(t.apply(&grant(at(last, 4), 2, &[2])), Err(Conflict::Exhausted));
    assert_eq!(t.apply(&switch(1, at(last, 4), 2, &[2])), Err(Conflict::Exhausted));
    assert_eq!(t.apply(&force(1, C, at(last, 4), 4, 0)), Err(Conflict::Exhausted));
    assert_eq!(t, before);
    // Its last master goes on: only others do not follow it.
    assert_eq!(t.check(&add(at(last, 4), 4)), Ok(()));

    let t = near_the_end(1, u64::MAX - 1, 9);
    assert_eq!(t.check(&add(at(1, u64::MAX - 1), 4)), Ok(()));
    let mut t = near_the_end(1, u64::MAX, 9);
    let before = t.clone();
    assert_eq!(t.apply(&add(at(1, u64::MAX), 4)), Err(Conflict::Exhausted));
    assert_eq!(t.apply(&bar(at(1, u64::MAX))), Err(Conflict::Exhausted));
    assert_eq!(t.apply(&order(1, OrderKind::Pause, C, at(0, 0), 0)), Err(Conflict::Exhausted));
    assert_eq!(t.apply(&order(1, OrderKind::Pause, EVERYWHERE, at(0, 0), 0)), Err(Conflict::Exhausted));
    assert_eq!(t, before);
    assert_eq!(t.check(&grant(at(1, u64::MAX), 2, &[2])), Ok(()), "the next epoch counts from 0");

    let mut t = near_the_end(1, 4, u64::MAX - 1);
    t.clusters.get_mut(&C).unwrap().masters = ids(&[1]);
    t.apply(&add(at(1, 4), 4)).unwrap();
    assert_eq!(t.version(), u64::MAX);
    assert_eq!(t.apply(&add(at(1, 5), 5)), Err(Conflict::Exhausted));
    let other = Command::Register { cluster: ClusterId(7), node: NodeId(70) };
    assert_eq!(t.apply(&other), Err(Conflict::Exhausted));
}

/// B-TAB-6: after the highest number there is none, and that is told as any number that was used.
#[test]
fn after_the_highest_order_number_every_order_is_a_replay() {
    let mut t = table();
    t.apply(&order(u64::MAX - 1, OrderKind::Pause, C, at(0, 0), 0)).unwrap();
    t.apply(&order(u64::MAX, OrderKind::Resume, C, at(0, 0), 0)).unwrap();
    for number in [0, 1, u64::MAX - 1, u64::MAX] {
        assert_eq!(t.apply(&order(number, OrderKind::Pause, C, at(0, 0), 0)), Err(Conflict::Replayed));
    }
}

#[test]
fn who_is_removed_leaves_and_who_is_added_stands_in_its_place() {
    let remove = |at, node| Command::Remove { cluster: C, at, node: NodeId(node) };
    let mut t = table();
    let seen = |t: &Table| {
        let row = &t.entry(C).unwrap().row;
        (row.version.0, row.in_sync.clone(), row.table_version)
    };
    assert_eq!(t.apply(&remove(at(1, 2), 4)), Err(Conflict::NotInSync));
    t.apply(&remove(at(1, 2), 2)).unwrap();
    assert_eq!(seen(&t), (3, ids(&[1, 3]), 4));
    assert_eq!(t.apply(&add(at(1, 3), 3)), Err(Conflict::AlreadyInSync));
    t.apply(&add(at(1, 3), 2)).unwrap();
    assert_eq!(seen(&t), (4, ids(&[1, 2, 3]), 5));
    assert_eq!((t.version(), t.orders()), (5, 0));
    assert_eq!(t.apply(&add(at(1, 4), 3)), Err(Conflict::AlreadyInSync));
    let elsewhere = Command::Add { cluster: ClusterId(9), at: at(1, 4), node: NodeId(4) };
    assert_eq!(t.apply(&elsewhere), Err(Conflict::Unregistered));
    assert_eq!(t.version(), 5, "what does not apply is not counted");
}

#[test]
fn the_table_tells_who_was_master_when_where_it_is_paused_and_how_many_it_can_do_without() {
    let mut t = four();
    t.apply(&grant(at(1, 2), 2, &[2])).unwrap();
    let of = |t: &Table, epoch| t.master_of(C, Epoch(epoch)).map(|node| node.0);
    assert_eq!([of(&t, 0), of(&t, 1), of(&t, 2), of(&t, 3)], [None, Some(1), Some(2), None]);
    assert_eq!(t.master_of(ClusterId(9), Epoch(1)), None);
    let clusters = |t: &Table| t.entries().map(|(id, _)| id.0).collect::<Vec<_>>();
    assert_eq!((clusters(&t), t.bearable()), (vec![1, 2, 3, 4], 1));
    for c in 5..=7 {
        t.apply(&Command::Register { cluster: ClusterId(c), node: NodeId(c * 10) }).unwrap();
        assert_eq!(t.bearable(), if c == 7 { 2 } else { 1 });
    }
    assert_eq!((Table::default().bearable(), Table::default().version()), (0, 0));
    t.apply(&order(1, OrderKind::Pause, ClusterId(3), at(0, 0), 0)).unwrap();
    assert_eq!(t.paused().collect::<Vec<_>>(), [ClusterId(3)]);
    assert!(t.is_paused(ClusterId(3)) && !t.is_paused(C) && !t.is_paused(EVERYWHERE));
    let versions = |t: &Table| t.entries().map(|(_, e)| e.row.version.0).collect::<Vec<_>>();
    assert_eq!(versions(&t), [0, 0, 1, 0, 0, 0, 0], "the rows that it is about move on, and no others");
    t.apply(&order(2, OrderKind::Pause, EVERYWHERE, at(0, 0), 0)).unwrap();
    assert_eq!(versions(&t), [1, 1, 2, 1, 1, 1, 1]);
}

#[test]
fn a_command_names_its_cluster_and_is_read_to_its_end() {
    let all = [
        Command::Register { cluster: C, node: NodeId(1) },
        grant(at(1, 2), 2, &[2, 3]),
        Command::Remove { cluster: C, at: at(1, 2), node: NodeId(3) },
        force(1, C, at(1, 2), 4, 9),
        switch(1, at(1, 2), 2, &[1, 2]),
        fenced(at(2, 0), 9),
    ];
    for command in all {
        assert_eq!(command.cluster(), C);
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes), Some(command.clone()));
        let longer = Bytes::from([&bytes[..], &[0]].concat());
        assert_eq!(Command::decode(&longer), None, "{command:?}");
        for cut in 0..bytes.len() {
            assert_ne!(
                Command::decode(&bytes.slice(..cut)),
                Some(command.clone()),
                "{command:?} cut at {cut}"
            );
        }
    }
    // The log's own cluster is the order's.
    let mut other = order(1, OrderKind::Pause, C, at(0, 0), 0).encode().to_vec();
    other[4] ^= 1;
    assert_eq!(Command::decode(&Bytes::from(other)), None);
}

/// B-TAB-8: a cluster that was forced and is fenced counts until the chain is above the height that it closed.
#[test]
fn a_cluster_is_cold_until_the_chain_is_above_what_it_closed() {
    let mut t = four();
    let warm = |t: &Table, height| t.cold(ClusterId(2), Height(height)) == 0;
    assert!(warm(&t, 0));
    t.apply(&force(1, C, at(1, 2), 4, 0)).unwrap();
    assert!(!warm(&t, 100) && t.cold(C, Height(100)) == 0, "its own force does not count");
    t.apply(&fenced(at(2, 0), 9)).unwrap();
    assert!(!warm(&t, 8) && warm(&t, 9) && warm(&t, 10));
    assert_eq!(t.entry(C).unwrap().row.table_version, t.version());
}
