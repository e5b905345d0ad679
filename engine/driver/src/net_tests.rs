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
        std::iter::from_fn(|| self.net.next_input()).collect()
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
