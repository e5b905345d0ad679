//! Malformed, unsealed, replayed, forged, from strangers: a counted discard with its reason, and no effect.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use bytes::Bytes;
use duohuo_core::io::{Input, StreamId};
use duohuo_tests::consortium::{cluster_id, node};
use duohuo_tests::scenario::{ms, settled_with};
use duohuo_tests::world::{Luck, World};
use duohuo_wire::handshake::{Initiation, Prologue, Transport};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::Packet;

/// A network that has run for a while, everything on the wire captured.
fn captured(seed: u64) -> World {
    let mut world = settled_with(seed, Luck { replay: 1, ..Luck::default() });
    world.run_for(ms(500));
    world
}

/// After whatever was done to it, the network still fails over.
fn still_fails_over(world: &mut World) {
    world.kill(node(0, 0));
    assert!(world.run_until(ms(1000), |w| w.master(cluster_id(0)) == Some(node(0, 1))));
    let height = world.checker.height();
    assert!(world.run_until(ms(1000), |w| w.checker.height().0 > height.0 + 5));
}

fn datagram(world: &World, from: NodeId, bytes: Bytes) -> Input {
    let roster = &world.consortium.roster;
    let from = if from == NodeId::AUTHORITY {
        roster.authority.address
    } else {
        roster.node(from).unwrap().1.address
    };
    Input::Datagram { from, group: false, bytes }
}

#[test]
fn every_captured_datagram_replayed_is_dropped_and_moves_nothing() {
    let mut world = captured(1);
    let captured = world.captured().to_vec();
    assert!(captured.len() > 1000);
    let grants = world.checker.grants().len();
    let replayed = |w: &World| -> u64 {
        (0..4).flat_map(|c| (0..3).map(move |n| node(c, n))).map(|id| w.discards(id, "replayed")).sum()
    };
    let before = replayed(&world);
    for (receiver, input) in captured.iter().take(2000) {
        world.inject(*receiver, input.clone());
    }
    world.run_for(ms(200));
    assert!(replayed(&world) > before + 1000, "counted as replayed");
    assert_eq!(world.checker.grants().len(), grants, "nobody was granted anything");
    still_fails_over(&mut world);
}

#[test]
fn a_captured_life_replayed_to_a_restarted_node_keeps_nobody_alive() {
    let mut world = captured(2);
    let (old, standby) = (node(0, 0), node(0, 1));
    let captured: Vec<Input> =
        world.captured().iter().filter(|(to, _)| *to == standby).map(|(_, input)| input.clone()).collect();
    world.kill(standby);
    world.run_for(ms(50));
    world.start(standby);
    world.run_for(ms(400));
    world.kill(old);
    // An attacker keeps on playing back the dead master's packets to the restarted standby.
    let died = world.now();
    let mut turn = 0;
    let mut taken_over = false;
    while world.now() - died < ms(500) && !taken_over {
        for _ in 0..20 {
            world.inject(standby, captured[turn % captured.len()].clone());
            turn += 1;
        }
        taken_over = world.run_until(ms(2), |w| w.master(cluster_id(0)).is_some());
    }
    assert!(taken_over, "the dead master's old words do not keep it alive");
}

#[test]
fn garbage_of_every_length_is_counted_and_nothing_more() {
    let mut world = captured(3);
    for target in [NodeId::AUTHORITY, node(0, 0), node(0, 1)] {
        for length in 0..200u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(37) ^ length).collect();
            let input = datagram(&world, node(0, 2), bytes.into());
            world.inject(target, input);
        }
        let dropped = world.discards(target, "too_short") + world.discards(target, "bad_magic");
        assert_eq!(dropped, 200);
    }
    still_fails_over(&mut world);
}

#[test]
fn a_flipped_bit_anywhere_is_counted_and_nothing_more() {
    let mut world = captured(4);
    let target = node(0, 1);
    let sample = world.captured().iter().find_map(|(to, input)| match input {
        Input::Datagram { from, group, bytes } if *to == target => Some((*from, *group, bytes.clone())),
        _ => None,
    });
    let (from, group, bytes) = sample.unwrap();
    let crc = world.discards(target, "bad_crc");
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        world.inject(target, Input::Datagram { from, group, bytes: damaged.into() });
    }
    assert!(world.discards(target, "bad_crc") > crc + u64::try_from(bytes.len()).unwrap() / 2);
    still_fails_over(&mut world);
}

#[test]
fn a_stranger_with_a_key_of_its_own_is_an_unknown_key() {
    let mut world = captured(5);
    let roster = world.consortium.roster.clone();
    let prologue = Prologue { consortium: roster.consortium, transport: Transport::Datagram };
    let server = roster.authority.session_key;
    let timestamp = [0xff; 12];
    let (_, init) = Initiation {
        local: &[9; 32],
        remote_public: &server,
        prologue: &prologue,
        ephemeral: [8; 32],
        timestamp,
        session: 77,
        cookie: None,
        sender: node(0, 0),
        versions: None,
    }
    .begin()
    .unwrap();
    let bytes = Packet::from(init).encode_unsealed(node(0, 0)).freeze();
    let input = datagram(&world, node(0, 0), bytes);
    world.inject(NodeId::AUTHORITY, input);
    assert_eq!(world.discards(NodeId::AUTHORITY, "unknown_key"), 1);
    still_fails_over(&mut world);
}

#[test]
fn a_known_key_from_another_address_gets_no_session() {
    let mut world = captured(6);
    let roster = world.consortium.roster.clone();
    let prologue = Prologue { consortium: roster.consortium, transport: Transport::Datagram };
    let stolen = world.consortium.keys[&node(0, 0)].session;
    let server = roster.authority.session_key;
    let (_, init) = Initiation {
        local: &stolen,
        remote_public: &server,
        prologue: &prologue,
        ephemeral: [8; 32],
        timestamp: [0xff; 12],
        session: 77,
        cookie: None,
        sender: node(0, 0),
        versions: None,
    }
    .begin()
    .unwrap();
    let bytes = Packet::from(init).encode_unsealed(node(0, 0)).freeze();
    let input = datagram(&world, node(0, 2), bytes);
    world.inject(NodeId::AUTHORITY, input);
    assert_eq!(world.discards(NodeId::AUTHORITY, "wrong_address"), 1);
    still_fails_over(&mut world);
}

#[test]
fn a_stream_that_says_nothing_is_closed_and_one_that_babbles_at_once() {
    let mut world = captured(7);
    let target = node(0, 1);
    let from = "127.66.0.1:9".parse().unwrap();
    world.inject(target, Input::StreamAccepted { stream: StreamId(1_000_000), from });
    world.run_for(ms(2100));
    assert_eq!(world.discards(target, "too_slow"), 1);
    world.inject(target, Input::StreamAccepted { stream: StreamId(1_000_002), from });
    let babble = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: duohuo\r\n\r\n");
    world.inject(target, Input::StreamBytes { stream: StreamId(1_000_002), bytes: babble });
    assert_eq!(world.discards(target, "bad_magic"), 1);
    still_fails_over(&mut world);
}
