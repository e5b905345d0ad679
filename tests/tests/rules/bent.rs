//! Rules that bind ourselves, each broken by something of ours between the machine and the world: a driver that swallows, holds
//! back or adds, a disk that lies, randomness that comes twice, an authority that withholds. Each check is made of the
//! machine as it is, and must be silent, and of the bent one, and must speak.

use super::{network, scene};
use duohuo_core::authority::table::{Command, Table as Rows};
use duohuo_core::event::Event;
use duohuo_core::io::{Output, Table, Write};
use duohuo_core::store::{META_NOTE, META_PROMISE};
use duohuo_tests::consortium::{Consortium, FIG_18, cluster_id, node};
use duohuo_tests::lone::{Bend, Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_wire::header::Header;
use duohuo_wire::ids::{ClusterId, Epoch, Height, LogIndex, NodeId};
use duohuo_wire::packet::*;
use scene::{ME, OTHER, OWN, PEER, Scene, THIRD, append, notice, record, row};
use std::collections::BTreeSet;

/// The type of the packet that an output sends, if it sends one.
fn sends(output: &Output) -> Option<PacketType> {
    let (Output::Datagram { bytes, .. } | Output::StreamBytes { bytes, .. }) = output else {
        return None;
    };
    PacketType::from_code(*bytes.get(5)?)
}

/// A driver that swallows what this says.
fn swallowing(what: impl Fn(&Output) -> bool + 'static) -> Bend {
    Box::new(move |output| if what(&output) { vec![] } else { vec![output] })
}

/// The authority's row of a cluster as its disk has it.
fn durable_row(z: &Lone, cluster: ClusterId) -> Row {
    let mut rows = Rows::default();
    for ((table, _), command) in z.disk() {
        if *table == Table::Command {
            rows.apply(&Command::decode(command).unwrap()).unwrap();
        }
    }
    rows.entry(cluster).unwrap().row.clone()
}

/// The rows told that are not durable, as (epoch, version).
fn told_too_early(z: &Lone, told: &[Packet]) -> Vec<(u64, u64)> {
    let durable = durable_row(z, network::A);
    let rows = network::notices(told).into_iter().map(|(_, _, epoch, version)| (epoch, version));
    rows.filter(|told| *told > (durable.epoch.0, durable.version.0)).collect()
}

/// B-AUTH-9: two decisions are under way; with the first durable only the first is told.
#[test]
fn b_auth_9_a_disk_that_says_both_decisions_are_durable_shows_the_later_one() {
    let two = || {
        let (mut z, mut m, _, _) = network::three();
        z.quick_disk = false;
        m.say(&mut z, network::change(ChangeKind::Remove, 1, 2, NodeId(13)));
        m.say(&mut z, network::change(ChangeKind::Remove, 1, 3, network::STANDBY));
        (z, m)
    };
    let (mut z, mut m) = two();
    assert!(z.sync_one());
    let told = m.heard(&mut z);
    assert_eq!((network::notices(&told).len(), told_too_early(&z, &told)), (2, vec![]));
    assert!(z.sync_one());
    let told = m.heard(&mut z);
    assert_eq!((network::notices(&told).len(), told_too_early(&z, &told)), (2, vec![]));

    let (mut z, mut m) = two();
    z.lie_about_the_disk();
    let told = m.heard(&mut z);
    assert!(told_too_early(&z, &told).contains(&(1, 4)));
}

/// B-AUTH-5: whoever was not told of the removal of node 13, among those who must be.
fn untold(bend: Option<Bend>) -> Vec<NodeId> {
    let (mut z, m, a, _) = network::three();
    let (other, _) = network::register(&mut z, 1);
    let third = network::connected(&mut z, NodeId(13));
    z.pass(ms(10));
    let mut peers = [m, a, third, other];
    for peer in &mut peers {
        peer.heard(&mut z);
    }
    z.bend = bend;
    peers[0].say(&mut z, network::change(ChangeKind::Remove, 1, 2, NodeId(13)));
    let news = (0, Outcome::Notice, 1, 3);
    let is_told = |peer: &mut Peer, z: &mut Lone| network::notices(&peer.heard(z)).contains(&news);
    peers.iter_mut().filter_map(|peer| (!is_told(peer, &mut z)).then_some(peer.id)).collect()
}

#[test]
fn b_auth_5_a_driver_that_swallows_a_notice_is_noticed() {
    assert_eq!(untold(None), []);
    let other = network::ready().consortium.roster.node(node(1, 0)).unwrap().1.address;
    let to_other = move |output: &Output| matches!(output, Output::Datagram { to, .. } if *to == other);
    assert_eq!(untold(Some(swallowing(to_other))), [node(1, 0)]);
    assert_eq!(untold(Some(swallowing(|o| sends(o) == Some(PacketType::Notice)))).len(), 4);
}

/// B-ERR-4: what is wrong with how the proven report of cluster A's master becomes an order.
fn wrong_with_the_order(bend: Option<Bend>, honest_disk: bool) -> BTreeSet<&'static str> {
    let (mut z, m, a, _) = network::three();
    let mut others: Vec<Peer> = (1..4).map(|c| network::register(&mut z, c).0).collect();
    let third = network::connected(&mut z, NodeId(13));
    let mut cluster = [m, a, third];
    for peer in &mut cluster {
        peer.heard(&mut z);
        peer.read(&mut z);
    }
    z.bend = bend;
    z.quick_disk = false;
    let result = |c: usize, hash| {
        let key = &z.consortium.keys[&node(c, 0)].signing;
        SignedResult::sign(cluster_id(c), node(c, 0), Epoch(1), Height(9), [hash; 32], key)
    };
    let evidence = vec![result(0, 6), result(1, 5), result(2, 5), result(3, 5)];
    let report = ConsensusError { request: 1, height: Height(9), evidence, ..Default::default() };
    others[0].tell(&mut z, report);
    if honest_disk {
        z.sync();
    } else {
        z.lie_about_the_disk();
    }
    let mut wrong = BTreeSet::new();
    let is_order = |p: &Packet| matches!(p, Packet::ForcedSwitch(_));
    let is_barred = durable_row(&z, network::A).barred.contains(&network::M);
    for peer in &mut cluster {
        let by_datagram = peer.heard(&mut z).iter().any(is_order);
        let by_stream = peer.read(&mut z).iter().any(is_order);
        if (by_datagram || by_stream) && !is_barred {
            wrong.insert("an order before its bar is durable");
        }
        if !by_datagram {
            wrong.insert("a node that got no datagram");
        }
        if !by_stream {
            wrong.insert("a node that got nothing by stream");
        }
    }
    wrong
}

#[test]
fn b_err_4_an_order_that_is_early_or_goes_one_way_only_is_noticed() {
    assert_eq!(wrong_with_the_order(None, true), BTreeSet::new());
    assert_eq!(wrong_with_the_order(None, false), BTreeSet::from(["an order before its bar is durable"]));
    let order = |output: &Output| sends(output) == Some(PacketType::ForcedSwitch);
    let by_datagram = move |o: &Output| order(o) && matches!(o, Output::Datagram { .. });
    let by_stream = move |o: &Output| order(o) && matches!(o, Output::StreamBytes { .. });
    assert_eq!(
        wrong_with_the_order(Some(swallowing(by_datagram)), true),
        BTreeSet::from(["a node that got no datagram"])
    );
    assert_eq!(
        wrong_with_the_order(Some(swallowing(by_stream)), true),
        BTreeSet::from(["a node that got nothing by stream"])
    );
}

/// B-CLM-15: how many of three streams to the authority, one after the other, begin with a Join.
fn joins(bend: fn() -> Option<Bend>) -> usize {
    let mut n = Lone::new(Consortium::new(1, &FIG_18), ME);
    n.bend = bend();
    let mut z = Peer::new(&n, NodeId::AUTHORITY);
    let mut joins = 0;
    for _ in 0..3 {
        z.accept_stream(&mut n);
        joins += usize::from(z.read(&mut n).iter().any(|p| matches!(p, Packet::Join(_))));
        z.hang_up(&mut n);
        n.pass(ms(60));
    }
    joins
}

/// B-CLM-15: the claims of a node before the authority, which answers its Join so, has let it in.
fn claims_of(verdict: JoinVerdict, remembered: JoinVerdict) -> usize {
    let mut scene = Scene::new();
    let request = scene.z.read(&mut scene.n).iter().find_map(|p| match p {
        Packet::Join(join) => Some(join.request),
        _ => None,
    });
    let sealed_id = vec![0x5E; 84].into();
    let request = request.expect("it joins");
    scene.z.tell(
        &mut scene.n,
        JoinAnswer { request, verdict, roster_version: 1, sealed_id, ..Default::default() },
    );
    scene.histories(4);
    let first = row(&scene.n, OWN, 1, 0, scene::M, &[scene::M]);
    scene.z.say(&mut scene.n, notice(first));
    let mut m = Peer::new(&scene.n, scene::M);
    m.open_stream(&mut scene.n, true);
    m.tell(&mut scene.n, Resync { epoch: Epoch(1), ..Default::default() });
    let in_sync = row(&scene.n, OWN, 1, 2, scene::M, &[scene::M, ME, THIRD]);
    scene.z.say(&mut scene.n, notice(in_sync));
    scene.n.pass(ms(400));
    let claims = scene.claims().len();
    if remembered == JoinVerdict::Accepted { 0 } else { claims }
}

#[test]
fn b_clm_15_who_does_not_ask_or_claims_without_being_let_in_is_noticed() {
    assert_eq!(joins(|| None), 3);
    assert_eq!(joins(|| Some(swallowing(|o| sends(o) == Some(PacketType::Join)))), 0);
    assert_eq!(claims_of(JoinVerdict::Accepted, JoinVerdict::Accepted), 0);
    assert_eq!(claims_of(JoinVerdict::UnknownNode, JoinVerdict::UnknownNode), 0);
    // An authority that says yes and remembers no: the node claims, and who looks from there sees it.
    assert_ne!(claims_of(JoinVerdict::Accepted, JoinVerdict::UnknownNode), 0);
}

/// B-CLM-11: whether a claim and its refusal left the claimant's disk as it was, but for the note.
fn leaves_the_disk(bend: Option<Bend>) -> bool {
    let (mut scene, _m) = Scene::following();
    let before = scene.n.disk().clone();
    scene.n.bend = bend;
    scene.n.pass(ms(265));
    let claims = scene.claims();
    let standing = row(&scene.n, OWN, 1, 2, scene::M, &[scene::M, ME, THIRD]);
    let refusal = Notice { request: claims[0].request, outcome: Outcome::IncumbentHeard, ..notice(standing) };
    scene.z.say(&mut scene.n, refusal);
    let mut after = scene.n.disk().clone();
    after.remove(&(Table::Meta, META_NOTE));
    after == before
}

#[test]
fn b_clm_11_a_claimant_that_promises_at_once_is_noticed() {
    assert!(leaves_the_disk(None));
    // Epoch 2 promised with the claim, as a machine would that took the grant for certain.
    let promise = [2_u64.to_be_bytes(), 1_u64.to_be_bytes()].concat();
    let promising: Bend = Box::new(move |output| {
        let early = Write::Put { table: Table::Meta, key: META_PROMISE, value: promise.clone().into() };
        let early = Output::Persist { token: 0, writes: vec![early] };
        if sends(&output) == Some(PacketType::Update) { vec![early, output] } else { vec![output] }
    });
    assert!(!leaves_the_disk(Some(promising)));
}

/// B-ROW-2: the clusters of whose rows a new master, which says which table version it knows, was not told. The authority has
/// one row of another cluster at version 300, and hands it over or not.
fn lacking(handed: bool) -> Vec<ClusterId> {
    let (mut scene, _m) = Scene::following();
    scene.granted(&[ME]);
    let query = scene.z.read(&mut scene.n).into_iter().rev().find_map(|p| match p {
        Packet::Query(q) if q.scope == QueryScope::Changed => Some(q.request),
        _ => None,
    });
    let other = row(&scene.n, OTHER, 1, 0, PEER, &[PEER]);
    let own = row(&scene.n, OWN, 2, 0, ME, &[ME]);
    let answer = if handed { other } else { own };
    let answer = Notice { request: query.unwrap(), table_version: 300, ..notice(answer) };
    scene.z.tell(&mut scene.n, answer);
    scene.z.heard(&mut scene.n);
    scene.n.pass(ms(11));
    let told = scene.z.heard(&mut scene.n).iter().find_map(|p| match p {
        Packet::MasterKeepalive(k) => Some(k.table_version),
        _ => None,
    });
    let table = [(300, cluster_id(OTHER))];
    table.into_iter().filter(|(at, _)| told >= Some(*at) && !handed).map(|(_, cluster)| cluster).collect()
}

#[test]
fn b_row_2_an_authority_that_withholds_a_row_is_noticed() {
    assert_eq!(lacking(true), []);
    assert_eq!(lacking(false), [cluster_id(OTHER)]);
}

/// B-ROL-4: the acknowledgements that left a node after it halted, at a master that lacks a released record (R8).
fn acknowledged_after_the_halt(bend: Option<Bend>) -> usize {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    n.bend = bend;
    m.tell(n, Append { released: LogIndex(1), ..append(0, vec![record(1, 1, b"a")]) });
    m.read(n);
    let newer = row(n, OWN, 2, 0, THIRD, &[ME, THIRD]);
    scene.z.say(n, notice(newer));
    let mut third = Peer::new(n, THIRD);
    third.accept_stream(n);
    third.tell(n, Resync { epoch: Epoch(2), ..Default::default() });
    assert!(n.events.iter().any(|e| matches!(e, Event::Halted { .. })));
    m.tell(n, append(1, vec![record(1, 1, b"b")]));
    n.pass(ms(400));
    scene::acks(&m.read(n)).len() + scene::acks(&third.read(n)).len() + scene.claims().len()
}

#[test]
fn b_rol_4_a_driver_that_sends_late_what_was_said_before_the_halt_is_noticed() {
    assert_eq!(acknowledged_after_the_halt(None), 0);
    let mut held = Vec::new();
    let holding: Bend = Box::new(move |output| {
        if sends(&output) == Some(PacketType::Ack) {
            held.push(output);
            return vec![];
        }
        let halted = matches!(output, Output::Event(Event::Halted { .. }));
        let late = if halted { std::mem::take(&mut held) } else { vec![] };
        std::iter::once(output).chain(late).collect()
    });
    assert_eq!(acknowledged_after_the_halt(Some(holding)), 1);
}

/// What two lives of one node draw: (ephemeral keys, numbers of sessions, nonces under the group's key) that came twice.
fn drawn_twice(seed_of_the_second: [u8; 32]) -> [usize; 3] {
    let first = Lone::new(Consortium::new(1, &FIG_18), ME);
    let (mut ephemerals, mut numbers, mut nonces) = (Vec::new(), Vec::new(), Vec::new());
    let group = first.consortium.roster.cluster(scene::A).unwrap().group;
    let mut look = |n: &mut Lone| {
        let mut z = Peer::new(n, NodeId::AUTHORITY);
        z.accept_stream(n);
        n.pass(ms(100));
        for bytes in n.take_datagrams(z.address) {
            if let Ok((_, Packet::HandshakeInit(init))) = Packet::decode_unsealed(&bytes) {
                ephemerals.push(init.noise[..32].to_vec());
                numbers.push(init.initiator_session);
            }
        }
        for bytes in n.take_datagrams(group) {
            let header = Header::decode(&bytes).unwrap();
            nonces.push((header.group, header.session, header.sequence));
        }
    };
    let mut first = first;
    look(&mut first);
    let mut second = first.restarted_with(seed_of_the_second);
    look(&mut second);
    assert!(ephemerals.len() > 2 && nonces.len() > 10 && numbers.iter().all(|number| *number != 0));
    [twice(ephemerals), twice(numbers), twice(nonces)]
}

fn twice<T: Ord>(list: Vec<T>) -> usize {
    list.len() - list.into_iter().collect::<BTreeSet<T>>().len()
}

/// W-HSK-9, W-HSK-10, W-GRP-1: what must be fresh is drawn anew with each start; an operating system that gives the same
/// randomness twice is noticed.
#[test]
fn w_hsk_9_w_hsk_10_w_grp_1_randomness_that_comes_twice_is_noticed() {
    assert_eq!(drawn_twice([0x5F; 32]), [0, 0, 0]);
    let [ephemerals, numbers, nonces] = drawn_twice([0x5E; 32]);
    assert!(ephemerals > 2 && numbers > 2 && nonces > 10, "{ephemerals} {numbers} {nonces}");
}
