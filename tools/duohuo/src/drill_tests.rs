#![allow(clippy::indexing_slicing, reason = "a wrong index fails the test")]

use super::*;
use duohuo_wire::ids::{Epoch, RoomId, Version};
use duohuo_wire::rehearsal::Rehearsing;

const A1: NodeId = NodeId(101);
const A2: NodeId = NodeId(102);
const A3: NodeId = NodeId(103);

fn cluster() -> ClusterEntry {
    let node = |id: NodeId, priority| NodeEntry {
        id,
        name: format!("a{}", id.0 - 100),
        room: RoomId(1),
        priority,
        address: std::net::SocketAddr::from(([127, 0, 0, 1], 1)),
        session_key: [0; 32],
        signing_key: [0; 32],
    };
    ClusterEntry {
        id: ClusterId(1),
        name: "A".into(),
        group: std::net::SocketAddr::from(([239, 0, 0, 1], 1)),
        nodes: vec![node(A1, 200), node(A2, 150), node(A3, 100)],
    }
}

fn row() -> Row {
    Row {
        cluster: ClusterId(1),
        epoch: Epoch(7),
        version: Version(2),
        master: A1,
        in_sync: vec![A1, A2, A3],
        ..Default::default()
    }
}

fn asked(id: NodeId) -> Asked {
    let report = StatusReport {
        node: id,
        epoch: Epoch(7),
        version: Version(2),
        authority_up: true,
        ..Default::default()
    };
    Asked { report, paused: Vec::new() }
}

fn all() -> BTreeMap<NodeId, Result<Asked, String>> {
    [A1, A2, A3].into_iter().map(|id| (id, Ok(asked(id)))).collect()
}

fn whole(member: NodeId) -> Rehearsed {
    Rehearsed {
        end: RehearsalEnd::Whole,
        outcome: Some(Outcome::Done),
        suspected_us: Some(150_000),
        claimed_us: Some(2_500),
        noted_us: Some(1_000),
        started_us: Some(300),
        promised_us: Some(1_200),
        records: 12,
        words: 3,
        members: vec![Rehearsing { node: member, acknowledged_us: Some(2_000), durable_us: Some(1_400) }],
    }
}

fn as_ever(id: NodeId) -> Result<Rehearsed, String> {
    Ok(whole(if id == A2 { A3 } else { A2 }))
}

#[test]
fn every_standby_rehearses_and_the_phases_add_up() {
    let cluster = cluster();
    let mut who = Vec::new();
    let drill = hold(&cluster, row(), &asked(NodeId(0)), &all(), |id| {
        who.push(id);
        as_ever(id)
    });
    assert_eq!(who, [A2, A3], "one after the other, who would be granted first");
    assert!(drill.against.is_empty() && drill.beside.is_empty(), "{:?} {:?}", drill.against, drill.beside);
    let told = as_table(&cluster, &drill);
    assert!(told.contains("would grant epoch 8 to a2, in sync: a2, a3\n"), "{told}");
    let line = |name: &str| {
        let line = told.lines().find(|line| line.contains(name));
        line.map(|line| line.replace(name, "").split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    for (name, figure) in [
        ("its master would be suspected after a silence of", "150.0"),
        ("its claim at the authority, written there, answered", "2.5"),
        ("its log on the disks of all others of its set", "2.0"),
        ("from its claim to its first word", "7.5"),
        ("from its master's last keepalive, at most", "157.5"),
    ] {
        assert_eq!(line(name), Some(vec![figure.to_owned(), figure.to_owned()]), "{name}\n{told}");
    }
    assert!(told.contains(
        "a2: 12 records replayed, 3 words made and thrown away; a3 2.0 ms, of it its disk 1.4 ms\n"
    ));
    assert_eq!(told.matches("not exercised: ").count(), 4);
    assert!(told.ends_with("it could; nothing was changed\n"), "{told}");
    let json = as_json(&cluster, &drill);
    assert_eq!((&json["schema"], &json["would_grant"]), (&json!(2), &json!(102)));
    assert_eq!(json["would_be_in_sync"], json!([102, 103]));
    let phases = &json["standbys"][1]["phases"];
    assert_eq!((&phases["from_claim_ms"], &phases["noted_ms"]), (&json!(7.5), &json!(1.0)));
    assert_eq!((&json["could"], &json["standbys"][0]["whole"]), (&json!(true), &json!(true)));
}

#[test]
fn a_rehearsal_that_does_not_go_all_the_way_says_why() {
    let cluster = cluster();
    let short = |end, outcome| Rehearsed { end, outcome, ..whole(A3) };
    let late = vec![Rehearsing { node: A3, ..Default::default() }];
    for (came_to, told) in [
        (Ok(short(RehearsalEnd::Unfit, None)), "a2 would not claim now"),
        (Ok(short(RehearsalEnd::NoAuthority, None)), "a2 got no answer from the authority"),
        (
            Ok(short(RehearsalEnd::Refused, Some(Outcome::HoldDown))),
            "a2 would be refused: its cluster was switched",
        ),
        (Ok(short(RehearsalEnd::WouldHalt, None)), "a2 would halt: its log does not replay"),
        (
            Ok(Rehearsed { members: late, ..short(RehearsalEnd::NoMember, None) }),
            "acknowledgement within 2 s of a3:",
        ),
        (Err("its program is older".to_owned()), "a2 could not be asked to rehearse: its program is older"),
    ] {
        let first = |id| if id == A2 { came_to.clone() } else { as_ever(id) };
        let drill = hold(&cluster, row(), &asked(NodeId(0)), &all(), first);
        assert!(drill.against[0].contains(told), "{:?}", drill.against);
        assert!(as_table(&cluster, &drill).ends_with("it could not; nothing was changed\n"));
        // Of one that would not be granted it is only worth knowing.
        let second = |id| if id == A3 { came_to.clone() } else { as_ever(id) };
        let drill = hold(&cluster, row(), &asked(NodeId(0)), &all(), second);
        assert!(drill.against.is_empty() && drill.beside.len() == 1, "{:?}", drill.beside);
    }
}

#[test]
fn who_is_barred_away_halted_or_not_in_sync_is_passed_over_and_the_reason_told() {
    let cluster = cluster();
    let mut nodes = all();
    nodes.insert(A2, Err("refused".into()));
    let drill = hold(&cluster, row(), &asked(NodeId(0)), &nodes, as_ever);
    assert_eq!(drill.standbys.iter().map(|s| s.node.id).collect::<Vec<_>>(), [A3]);
    assert!(drill.beside.contains(&"a2 does not answer".to_owned()), "{:?}", drill.beside);
    let barred = Row { barred: vec![A2], in_sync: vec![A1, A2], ..row() };
    let drill = hold(&cluster, barred, &asked(NodeId(0)), &all(), as_ever);
    assert_eq!((drill.standbys.len(), &drill.against[..]), (0, &["nobody could take over".to_owned()][..]));
    assert!(
        as_table(&cluster, &drill)
            .ends_with("NO: nobody could take over\nit could not; nothing was changed\n")
    );
}

#[test]
fn a_pause_and_a_fence_that_does_not_stand_are_against_it() {
    let cluster = cluster();
    let hold = |row, paused| {
        let authority = Asked { paused, ..asked(NodeId(0)) };
        hold(&cluster, row, &authority, &all(), as_ever).against
    };
    for paused in [ClusterId(0), ClusterId(1)] {
        assert!(hold(row(), vec![paused]).iter().any(|why| why.contains("paused")), "{paused:?}");
    }
    assert!(hold(row(), vec![ClusterId(2)]).is_empty());
    let against = hold(Row { unfenced: true, ..row() }, vec![]);
    assert!(against.iter().any(|why| why.contains("fence")), "{against:?}");
}

#[test]
fn an_authority_that_writes_nothing_and_a_set_of_one_are_told() {
    let cluster = cluster();
    let alone = Rehearsed { outcome: Some(Outcome::Stale), members: vec![], ..whole(A3) };
    let drill = hold(&cluster, row(), &asked(NodeId(0)), &all(), |_| Ok(alone.clone()));
    assert!(drill.against.is_empty());
    assert!(
        drill.beside.iter().any(|note| note.contains("its write is not in the figures")),
        "{:?}",
        drill.beside
    );
    assert!(drill.beside.iter().any(|note| note.starts_with("a2 would be alone")), "{:?}", drill.beside);
    assert_eq!(from_claim_us(&alone), Some(2_500 + 3_000 + 1_200));
    // Who is waited for and does not come makes no sum.
    let mut late = whole(A3);
    late.members.push(Rehearsing { node: NodeId(104), ..Default::default() });
    assert_eq!((last_member_us(&late), from_claim_us(&late), from_last_heard_us(&late)), (None, None, None));
}
