//! A node that lacks blocks: whom it asks, and when again.

use super::scene::*;
use duohuo_core::event::Event;
use duohuo_tests::consortium::{Consortium, FIG_18, node};
use duohuo_tests::lone::{Lone, Peer};
use duohuo_tests::scenario::ms;
use duohuo_tests::world::{Luck, World};
use duohuo_wire::ids::{Epoch, Height, NodeId};
use duohuo_wire::packet::*;

/// What it asks for blocks.
fn asks_for_blocks(n: &mut Lone, peer: &mut Peer) -> usize {
    peer.read(n).iter().filter(|p| matches!(p, Packet::ChainQuery(_))).count()
}

/// It lacks four blocks, has asked its master for them, and was answered with none.
fn answered_with_nothing() -> (Scene, Peer) {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, Resync { epoch: Epoch(1), height: Height(4), ..Default::default() });
    assert_eq!(asks_for_blocks(n, &mut m), 1);
    m.tell(n, ChainEnd { height: Height(4), ..Default::default() });
    (scene, m)
}

/// B-BLK-12: a question and an empty answer are not a loop at the speed of the network.
#[test]
fn b_blk_12_who_brought_nothing_is_not_asked_again_by_its_answer() {
    let (mut scene, mut m) = answered_with_nothing();
    let n = &mut scene.n;
    for _ in 0..9 {
        m.tell(n, ChainEnd { height: Height(4), ..Default::default() });
    }
    assert_eq!(asks_for_blocks(n, &mut m), 0);
    n.pass(ms(249));
    assert_eq!(asks_for_blocks(n, &mut m), 0);
    n.pass(ms(2));
    assert_eq!(asks_for_blocks(n, &mut m), 1);
}

/// B-BLK-12: a grant may be what was lacking, before the answer's end or after it; and somebody else may have the blocks.
#[test]
fn b_blk_12_who_brought_nothing_keeps_nobody_else_from_being_asked() {
    let (mut scene, mut m) = answered_with_nothing();
    let (n, z) = (&mut scene.n, &mut scene.z);
    let learnt = row(n, OTHER, 7, 0, PEER, &[PEER]);
    m.tell(n, notice(learnt));
    assert_eq!(asks_for_blocks(n, &mut m), 1);
    let learnt = row(n, OTHER, 8, 0, PEER, &[PEER]);
    m.tell(n, notice(learnt));
    let nothing = ChainEnd { height: Height(4), ..Default::default() };
    m.tell(n, nothing.clone());
    assert_eq!(asks_for_blocks(n, &mut m), 1, "what it had could not be taken before that");
    m.tell(n, nothing.clone());
    assert_eq!(asks_for_blocks(n, &mut m), 0);

    let newer = row(n, OWN, 2, 0, THIRD, &[ME, THIRD]);
    z.say(n, notice(newer));
    m.tell(n, nothing);
    m.read(n);
    let mut third = Peer::new(n, THIRD);
    third.accept_stream(n);
    third.tell(n, Resync { epoch: Epoch(2), height: Height(4), ..Default::default() });
    assert_eq!((asks_for_blocks(n, &mut m), asks_for_blocks(n, &mut third)), (0, 1));
}

/// B-BLK-12: nor are several asked at once again, whatever says how far behind this node is.
#[test]
fn b_blk_12_several_who_brought_nothing_are_not_asked_at_once_again() {
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    let far = Resync { epoch: Epoch(1), height: Height(90), ..Default::default() };
    let asks_for_ranges = |n: &mut Lone, m: &mut Peer| {
        m.read(n).into_iter().filter(|p| matches!(p, Packet::RangeQuery(_))).count()
    };
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, far.clone());
    for _ in 0..3 {
        assert_eq!(asks_for_ranges(n, &mut m), 1);
        m.tell(n, ChainEnd { height: Height(90), ..Default::default() });
    }
    assert_eq!(asks_for_blocks(n, &mut m), 1, "in the plain way");
    for _ in 0..9 {
        m.tell(n, far.clone());
    }
    assert_eq!(asks_for_ranges(n, &mut m), 0);
    n.pass(ms(251));
    m.tell(n, far);
    assert_eq!(asks_for_ranges(n, &mut m), 1);
}

/// The newest proven snapshot of a network with the keys of a scene, as it is offered, and its pieces.
fn proven_snapshot() -> (SnapshotOffer, Vec<SnapshotChunk>) {
    let mut world = World::new(1, Consortium::new(1, &FIG_18), Luck::default());
    // Those who make blocks, and nobody else: it takes a thousand.
    world.start(NodeId::AUTHORITY);
    (0..4).for_each(|c| world.start(node(c, 0)));
    world.start_client(ms(5), duohuo_core::Instant::from_nanos(u64::MAX / 2));
    let of = node(OWN, 0);
    let proven = |w: &World| w.snapshots(of).into_iter().find(|(kept, _)| kept.is_proven());
    assert!(world.run_until(ms(60_000), |w| proven(w).is_some()));
    let (kept, pieces) = proven(&world).unwrap();
    let offer = SnapshotOffer {
        height: kept.height,
        manifest: kept.manifest,
        proof: kept.proof,
        ..Default::default()
    };
    let chunk =
        |(chunk, content)| SnapshotChunk { height: kept.height, chunk, content, ..Default::default() };
    (offer, (0..).zip(pieces).map(chunk).collect())
}

/// B-BLK-12: an offer of a snapshot that is still being written is no loop at the speed of the network either, and helps as
/// soon as the snapshot is there.
#[test]
fn b_blk_12_who_offers_a_snapshot_that_it_lacks_is_not_asked_at_once_again() {
    // Both take the same for a signature.
    let _remembering = duohuo_wire::memory::remember();
    let (offer, pieces) = proven_snapshot();
    let height = offer.height;
    let (mut scene, mut m) = Scene::following();
    let n = &mut scene.n;
    m.hang_up(n);
    m.open_stream(n, true);
    m.tell(n, Resync { epoch: Epoch(1), height, ..Default::default() });
    // It is answered until it asks nothing more; how often it asked.
    let answer_all = |n: &mut Lone, m: &mut Peer, has_pieces: bool| {
        let mut asked = 0;
        loop {
            let before = asked;
            for question in m.read(n) {
                match question {
                    Packet::ChainQuery(_) | Packet::RangeQuery(_) => {
                        m.tell(n, offer.clone());
                        m.tell(n, ChainEnd { height, ..Default::default() });
                    }
                    Packet::SnapshotQuery(query) => {
                        let lacked = SnapshotChunk { height, chunk: query.chunk, ..Default::default() };
                        let piece = pieces.get(query.chunk as usize).filter(|_| has_pieces).cloned();
                        m.tell(n, piece.unwrap_or(lacked));
                    }
                    _ => continue,
                }
                asked += 1;
            }
            if asked == before || asked > 100 {
                return asked;
            }
        }
    };
    let first = answer_all(n, &mut m, false);
    assert!((2..20).contains(&first), "it tried, and not for ever: {first} questions");
    n.pass(ms(249));
    assert_eq!(answer_all(n, &mut m, false), 0);
    n.pass(ms(2));
    assert!((1..20).contains(&answer_all(n, &mut m, false)));
    n.pass(ms(251));
    answer_all(n, &mut m, true);
    assert!(n.events.iter().any(|e| matches!(e, Event::CaughtUp { height: here } if *here == height)));
    assert_eq!((n.discards("bad_block"), n.discards("unexpected")), (0, 0));
}
