//! Bytes of strangers on a node's ports: counted, without effect, without a flood of log lines.

use crate::network::{Network, eventually};
use duohuo_wire::ids::NodeId;
use duohuo_wire::packet::{Packet, Probe};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 1000;

/// The same "random" bytes in every run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn discards(network: &Network, id: u32) -> u64 {
    let status = network.status_of(id);
    status["discards"].as_object().map_or(0, |all| all.values().filter_map(Value::as_u64).sum())
}

#[test]
fn garbage_is_counted_and_has_no_effect() {
    let network = Network::new(2);
    let (authority, mut nodes) = network.start(&[101, 102]);
    network.commit();
    let before = [0, 101].map(|id| discards(&network, id));
    let epoch = network.status_of(101)["epoch"].clone();
    let lines = [authority.log(), nodes[0].log()].map(|log| log.lines().count());

    for target in [network.address(0), network.address(1)] {
        datagrams(target);
    }
    let slow = std::thread::spawn({
        let target = network.address(1);
        move || slow_bytes(target)
    });
    let held = connections(network.address(1));
    assert!(held.len() > 900, "only {} connections", held.len());
    // while strangers hold a thousand connections
    network.commit();
    assert_eq!(network.status_of(101)["role"], "MASTER");
    drop(held);
    slow.join().expect("slow bytes");

    for (id, before) in [0, 101].into_iter().zip(before) {
        eventually("the discards are counted", || (discards(&network, id) >= before + 200).then_some(()));
    }
    let reasons = network.status_of(101)["discards"].clone();
    assert!(reasons.as_object().is_some_and(|all| all.len() >= 2), "several reasons: {reasons}");
    network.commit();
    assert_eq!(network.status_of(101)["epoch"], epoch, "nobody was deposed");
    assert!(nodes.iter_mut().all(crate::network::Process::is_running));
    for (log, before) in [authority.log(), nodes[0].log()].into_iter().zip(lines) {
        let grown = log.lines().count() - before;
        assert!(grown <= 5, "{grown} new lines:\n{log}");
    }
}

/// Noise of all sizes, and a packet with every part of it cut off or changed.
fn datagrams(target: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
    let packet = Packet::from(Probe::default()).encode_unsealed(NodeId(102));
    let send = |bytes: &[u8]| {
        socket.send_to(bytes, target).expect("sent");
        // no faster than a socket's buffer is read, so that they count one by one
        std::thread::sleep(Duration::from_micros(200));
    };
    for n in 0..200u16 {
        send(&noise(usize::from(n) * 7, u64::from(n)));
    }
    for length in [1200, 1201, 1500, 9000, 65_000] {
        send(&noise(length, 7));
    }
    for length in 0..packet.len() {
        send(packet.get(..length).unwrap_or_default());
        let mut changed = packet.to_vec();
        changed[length] ^= 0x10;
        send(&changed);
    }
}

/// As many connections as we may have, each with another piece of nonsense, all held open.
fn connections(target: SocketAddr) -> Vec<TcpStream> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = CONNECTIONS as u64 + 200;
    if limit.current.is_some_and(|n| n < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }).expect("below the hard limit");
    }
    let packet = Packet::from(Probe::default()).encode_unsealed(NodeId(102));
    let mut held = Vec::new();
    for n in 0..CONNECTIONS {
        let Ok(mut stream) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) else { continue };
        // refused bytes close a connection from the other side: that is an error of ours only now and then
        let _ = match n % 4 {
            0 => Ok(()),
            1 => stream.write_all(&noise(n, n as u64)),
            2 => stream.write_all(packet.get(..packet.len() / 2).unwrap_or_default()),
            _ => stream.write_all(&packet),
        };
        held.push(stream);
    }
    held
}

/// A frame that never ends.
fn slow_bytes(target: SocketAddr) {
    let packet = Packet::from(Probe::default()).encode_unsealed(NodeId(102));
    let Ok(mut stream) = TcpStream::connect(target) else { return };
    let until = Instant::now() + Duration::from_secs(3);
    for byte in packet.iter().cycle() {
        if Instant::now() > until || stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
