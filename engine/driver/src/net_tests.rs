use super::*;
use crate::clock;
use mio::{Events, Poll};
use std::time::Duration as Span;

struct Side {
    poll: Poll,
    net: Net,
}

fn free_port(ip: &str) -> SocketAddr {
    let socket = std::net::UdpSocket::bind((ip, 0)).expect("bind");
    socket.local_addr().expect("address")
}

impl Side {
    fn new(local: SocketAddr, group: Option<SocketAddr>) -> Self {
        let poll = Poll::new().expect("poll");
        let net = Net::bind(poll.registry(), local, group).expect("sockets");
        Self { poll, net }
    }

    fn turn(&mut self) -> Vec<Input> {
        let mut events = Events::with_capacity(64);
        let wait = if self.net.is_busy() { Span::ZERO } else { Span::from_millis(10) };
        self.poll.poll(&mut events, Some(wait)).expect("poll");
        for event in &events {
            self.net.ready(event.token(), event.token().0 >= FIRST_STREAM && event.is_writable());
        }
        self.net.read();
        self.net.flush();
        let mut inputs: Vec<Input> = std::iter::from_fn(|| self.net.next_datagram()).collect();
        inputs.extend(std::iter::from_fn(|| self.net.next_input()));
        inputs
    }

    fn until(&mut self, mut done: impl FnMut(&Input) -> bool) -> Vec<Input> {
        let mut seen = Vec::new();
        for _ in 0..500 {
            for input in self.turn() {
                let stop = done(&input);
                seen.push(input);
                if stop {
                    return seen;
                }
            }
        }
        panic!("not in time: {seen:?}");
    }
}

#[test]
fn a_datagram_reaches_the_other_side_with_its_source_and_the_group_reaches_all_but_its_sender() {
    let (a, b) = (free_port("127.3.1.1"), free_port("127.3.1.2"));
    let group: SocketAddr = format!("239.77.3.1:{}", a.port()).parse().expect("group");
    let mut left = Side::new(a, Some(group));
    let mut right = Side::new(b, Some(group));
    left.net.send(b, &Bytes::from_static(b"to you"));
    left.net.send(group, &Bytes::from_static(b"to all"));
    let mut seen = Vec::new();
    for _ in 0..500 {
        for input in right.turn() {
            if let Input::Datagram { from, group, bytes } = input {
                assert_eq!(from, a);
                seen.push((group, bytes));
            }
        }
        if seen.len() == 2 {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, [(false, Bytes::from_static(b"to you")), (true, Bytes::from_static(b"to all"))]);
    assert!(left.turn().is_empty());
}

#[test]
fn a_stream_carries_bytes_both_ways_and_its_end_is_told() {
    let (a, b) = (free_port("127.3.2.1"), free_port("127.3.2.2"));
    let mut left = Side::new(a, None);
    let mut right = Side::new(b, None);
    left.net.dial(StreamId(1), b);
    left.net.write(StreamId(1), Bytes::from_static(b"early"));
    left.until(|i| matches!(i, Input::StreamOpened { stream: StreamId(1) }));
    left.net.flush();
    let inputs = right.until(|i| matches!(i, Input::StreamBytes { .. }));
    assert!(
        matches!(inputs.first(), Some(Input::StreamAccepted { stream: StreamId(2), from }) if from.ip() == a.ip())
    );
    assert!(matches!(inputs.last(), Some(Input::StreamBytes { bytes, .. }) if bytes.as_ref() == b"early"));

    let big = Bytes::from(vec![3u8; 3 << 20]);
    right.net.write(StreamId(2), big.clone());
    right.net.close(StreamId(2), clock::now());
    right.net.flush();
    let mut received = 0;
    for _ in 0..2000 {
        right.turn();
        for input in left.turn() {
            match input {
                Input::StreamBytes { bytes, .. } => received += bytes.len(),
                Input::StreamClosed { stream: StreamId(1) } => {
                    assert_eq!(received, big.len(), "what was queued before the close arrives");
                    return;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("never closed, {received} bytes");
}

#[test]
fn a_refused_connection_is_a_closed_stream() {
    let (a, b) = (free_port("127.3.3.1"), free_port("127.3.3.2"));
    let mut left = Side::new(a, None);
    left.net.dial(StreamId(1), b);
    let inputs = left.until(|i| matches!(i, Input::StreamClosed { stream: StreamId(1) }));
    assert_eq!(inputs.len(), 1);
}

#[test]
fn a_peer_that_does_not_read_is_given_up_at_the_bound() {
    let (a, b) = (free_port("127.3.4.1"), free_port("127.3.4.2"));
    let mut left = Side::new(a, None);
    let _never_read = std::net::TcpListener::bind(b).expect("listen");
    left.net.dial(StreamId(1), b);
    left.until(|i| matches!(i, Input::StreamOpened { .. }));
    for _ in 0..40 {
        left.net.write(StreamId(1), Bytes::from(vec![0u8; 1 << 20]));
        left.net.flush();
    }
    left.until(|i| matches!(i, Input::StreamClosed { stream: StreamId(1) }));
    assert_eq!(left.net.counters().queues_over, 1);
}

#[test]
fn a_taken_port_and_a_foreign_address_are_told_apart() {
    let poll = Poll::new().expect("poll");
    let a = free_port("127.3.5.1");
    let _first = Side::new(a, None);
    let error = Net::bind(poll.registry(), a, None).expect_err("taken");
    assert_eq!(
        error.to_string(),
        format!(
            "TCP {a}: the port is in use; expected it free for this process: stop the other process (ss -lnp shows it) or give this node another address in the roster"
        )
    );
    let nowhere: SocketAddr = "192.0.2.1:4750".parse().expect("address");
    let error = Net::bind(poll.registry(), nowhere, None).expect_err("not ours");
    assert_eq!(
        error.to_string(),
        "192.0.2.1:4750: this machine has no interface with that address; expected the address that the roster gives this node: configure the interface, or correct the roster"
    );
    let b = free_port("127.3.5.2");
    let error = Net::bind(poll.registry(), b, Some(b)).expect_err("no group");
    assert!(matches!(error, DriverError::BadGroup { .. }), "{error}");
}

fn datagram(kind: u8, number: u8) -> Bytes {
    Bytes::from(vec![b'D', b'U', b'O', b'H', 1, kind, number])
}

fn seen(inputs: &[Input]) -> Vec<(u8, u8)> {
    let of = |input: &Input| match input {
        Input::Datagram { bytes, .. } => Some((*bytes.get(5)?, *bytes.get(6)?)),
        _ => None,
    };
    inputs.iter().filter_map(of).collect()
}

/// B-BND-2
#[test]
fn b_bnd_2_what_is_sealed_overtakes_the_initiations_before_it() {
    let (a, b) = (free_port("127.3.6.1"), free_port("127.3.6.2"));
    let (mut left, mut right) = (Side::new(a, None), Side::new(b, None));
    for number in 0..3 {
        left.net.send(b, &datagram(0x01, number));
    }
    left.net.send(b, &datagram(0x20, 9));
    let mut others = Vec::new();
    while others.is_empty() {
        others = right.turn();
    }
    assert_eq!(seen(&others), [(0x20, 9)]);
    assert!(right.net.is_busy(), "there is something to do");
    let initiations: Vec<Input> = std::iter::from_fn(|| right.net.next_initiation()).collect();
    assert_eq!(seen(&initiations), [(1, 0), (1, 1), (1, 2)], "in their order");
}

/// B-BND-2
#[test]
fn b_bnd_2_of_initiations_that_wait_the_oldest_goes() {
    let (a, b) = (free_port("127.3.7.1"), free_port("127.3.7.2"));
    let (mut left, mut right) = (Side::new(a, None), Side::new(b, None));
    for number in 0..=255 {
        left.net.send(b, &datagram(0x01, number));
    }
    for number in 0..4 {
        left.net.send(b, &datagram(0x01, number));
    }
    left.net.send(b, &datagram(0x20, 9));
    let mut others = Vec::new();
    while others.is_empty() {
        others = right.turn();
    }
    let initiations: Vec<Input> = std::iter::from_fn(|| right.net.next_initiation()).collect();
    assert_eq!((initiations.len(), right.net.counters().initiations_over), (256, 4));
    assert_eq!(seen(&initiations).first(), Some(&(1, 4)));
}

/// W-HDR-5: how long a datagram was is the machine's to judge.
#[test]
fn a_datagram_longer_than_any_packet_is_handed_on_whole() {
    let (a, b) = (free_port("127.3.8.1"), free_port("127.3.8.2"));
    let (mut left, mut right) = (Side::new(a, None), Side::new(b, None));
    left.net.send(b, &Bytes::from(vec![7u8; 65_507]));
    let inputs = right.until(|i| matches!(i, Input::Datagram { .. }));
    assert!(matches!(inputs.last(), Some(Input::Datagram { bytes, .. }) if bytes.len() == 65_507));
}

/// B-BND-2: who says much by a stream is read no further before that was handled, and delays no datagram.
#[test]
fn b_bnd_2_a_stream_that_says_much_delays_no_datagram() {
    let (a, b) = (free_port("127.3.9.1"), free_port("127.3.9.2"));
    let (mut left, mut right) = (Side::new(a, None), Side::new(b, None));
    left.net.dial(StreamId(1), b);
    left.until(|i| matches!(i, Input::StreamOpened { .. }));
    left.net.write(StreamId(1), Bytes::from(vec![0u8; 1 << 20]));
    left.net.flush();
    right.until(|i| matches!(i, Input::StreamAccepted { .. }));
    let look = |right: &mut Side| {
        let mut events = Events::with_capacity(64);
        right.poll.poll(&mut events, Some(Span::from_millis(10))).expect("poll");
        for event in &events {
            right.net.ready(event.token(), false);
        }
        right.net.read();
    };
    while right.net.inputs.is_empty() {
        look(&mut right);
    }
    let waiting = right.net.inputs.len();
    left.net.send(b, &datagram(0x20, 9));
    while right.net.datagrams.is_empty() {
        look(&mut right);
    }
    assert_eq!(seen(&Vec::from_iter(right.net.next_datagram())), [(0x20, 9)]);
    assert_eq!(right.net.inputs.len(), waiting, "nothing more was read of the stream");
    assert!(waiting <= 5, "64 KiB in pieces of 16 KiB");
    let longest = right
        .net
        .inputs
        .iter()
        .map(|i| if let Input::StreamBytes { bytes, .. } = i { bytes.len() } else { 0 });
    assert!(longest.max() <= Some(16 << 10));
}
