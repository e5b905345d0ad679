//! REC-3 (Fig. 15): the master errs in consensus, is barred by order, and follows its successor.

use super::*;

/// The state after height 101 as three clusters have it, and as cluster 3 has it.
const RIGHT: [u8; 32] = [0xAA; 32];
const WRONG: [u8; 32] = [0xBB; 32];
/// The masters of the other clusters.
const OTHERS: [(u32, u32); 3] = [(4, 11), (5, 13), (6, 15)];

fn result(cluster: u32, node: u32, epoch: u64, hash: [u8; 32]) -> SignedResult {
    SignedResult::sign(ClusterId(cluster), NodeId(node), Epoch(epoch), Height(101), hash, &signing(node))
}

/// Of the accused.
fn wrong() -> SignedResult {
    result(3, 9, 4, WRONG)
}

pub(super) fn suite() -> Suite {
    let mut exchange = begin(
        "exchange_rec_3",
        &[
            "REC-3 of spec/behaviour.md, section 12: 9 is the master m of cluster 3, 7 the standby a, 8 the ordinary node a1, 0 the authority Z; 11, 13, 15 are the masters N of clusters 4, 5, 6, in epoch 2 each.",
            "The first report proves nothing by itself and is counted: one of the two clusters that it takes. The second is proof: the results of three of four clusters contradict the accused's own.",
            "session names the session a packet travels in, group = the group seal, generation 4. A Result is message type 7 of spec/chain.md.",
        ],
        4,
        &[0, 7, 8, 9, 11, 13, 15],
        &[
            ("7-0 datagram", 7, 0, 0),
            ("8-0 datagram", 8, 0, 0),
            ("9-0 datagram", 9, 0, 0),
            ("11-0 datagram", 11, 0, 0),
            ("13-0 datagram", 13, 0, 0),
            ("15-0 datagram", 15, 0, 0),
            ("7-0 stream", 7, 0, 1),
            ("8-0 stream", 8, 0, 1),
            ("9-0 stream", 9, 0, 1),
            ("11-0 stream", 11, 0, 1),
            ("13-0 stream", 13, 0, 1),
            ("9-11 stream", 9, 11, 1),
            ("11-13 stream", 11, 13, 1),
            ("11-15 stream", 11, 15, 1),
            ("7-8 stream", 7, 8, 1),
            ("7-9 stream", 7, 9, 1),
            ("7-11 stream", 7, 11, 1),
        ],
    );
    before(&mut exchange, ["S1501", "S1501"], &[11, 13, 15]);
    results(&mut exchange);
    reports(&mut exchange);
    order(&mut exchange);
    grant(&mut exchange);
    after(&mut exchange);
    exchange.suite
}

/// What each master tells the master of cluster 4 that it computed.
fn results(exchange: &mut Exchange) {
    for (session, from, cluster, epoch, result) in [
        ("9-11 stream", 9, 3, 4, wrong()),
        ("11-13 stream", 13, 5, 2, result(5, 13, 2, RIGHT)),
        ("11-15 stream", 15, 6, 2, result(6, 15, 2, RIGHT)),
    ] {
        let mut message = BytesMut::from(&[7][..]);
        result.encode(&mut message);
        let word = Consensus {
            cluster: ClusterId(cluster),
            epoch: Epoch(epoch),
            message: message.freeze(),
            extensions: none(),
        };
        exchange.send("S1501", "the result of height 101", session, from, word);
    }
}

fn reports(exchange: &mut Exchange) {
    let report = |evidence| ConsensusError { request: 11, height: Height(101), evidence, extensions: none() };
    let counted = report(vec![wrong(), result(4, 11, 2, RIGHT)]);
    exchange.send("S1502", "a report that is counted: one cluster of two", "11-0 stream", 11, counted);
    let all = OTHERS.map(|(cluster, node)| result(cluster, node, 2, RIGHT));
    let proof = report([vec![wrong()], all.into()].concat());
    exchange.send("S1502", "a report that is proof", "13-0 stream", 13, proof);
}

/// The bar is durable; the order goes both ways, the row to all.
fn order(exchange: &mut Exchange) {
    let order = SignedSwitch::sign(CLUSTER, Epoch(4), NodeId(9), Height(101), true, &signing(0));
    for (node, datagram, stream) in [
        (7, "7-0 datagram", "7-0 stream"),
        (8, "8-0 datagram", "8-0 stream"),
        (9, "9-0 datagram", "9-0 stream"),
    ] {
        let comment = format!("the order, to {node} by datagram");
        let switch = || ForcedSwitch { order: order.clone(), extensions: none() };
        exchange.send("S1504", &comment, datagram, 0, switch());
        exchange.send("S1504", "and by stream", stream, 0, switch());
    }
    let barred = row_with(3, 4, 3, 9, &[7, 8, 9], &[9], 56);
    for node in [7, 8, 9, 11, 13, 15] {
        let told = notice(0, Outcome::Notice, 56, barred.clone());
        exchange.send("S1504", "the row: its master is barred", with_authority(node), 0, told);
    }
    let steps_down = keepalive(9, Role::Ordinary, 4, 3, &[(7, 0), (8, 0)]);
    exchange.tell("S1505", "the old master is an ordinary node", 9, &[7, 8], steps_down);
}

fn grant(exchange: &mut Exchange) {
    let claim = claim(7, 3, ClaimReason::Forced, &[7, 8, 9]);
    exchange.send("S1507", "the standby claims; it hears the barred one still", "7-0 datagram", 7, claim);
    let new = row_with(3, 5, 0, 7, &[7, 8], &[9], 57);
    let done = notice(1, Outcome::Done, 57, new.clone());
    exchange.send("S1511", "the master is barred: nobody is asked", "7-0 datagram", 0, done);
    for node in [7, 8, 9, 11, 13, 15] {
        let told = notice(0, Outcome::Notice, 57, new.clone());
        exchange.send("S1512", "the grant, to all", with_authority(node), 0, told);
    }
}

fn after(exchange: &mut Exchange) {
    let new = row_with(3, 5, 0, 7, &[7, 8], &[9], 57);
    for (stream, member, comment) in [
        ("7-8 stream", 8, "log, promise and synced are durable at 8"),
        ("7-9 stream", 9, "the old master follows, outside the set"),
    ] {
        greet(exchange, "S1513", stream, 7, core::slice::from_ref(&new));
        resync(exchange, "S1513", stream, 7, member, comment);
    }
    speak(exchange, "S1513", "7-11 stream", 7, &new, 57);
    let leads = keepalive(7, Role::Master, 5, 0, &[(8, 0), (9, 1)]);
    exchange.tell("S1513", "the group hears who leads", 7, &[8, 9], leads);
    let next = keepalive(8, Role::Standby, 5, 0, &[(7, 1), (9, 1)]);
    exchange.tell("S1508", "and who is next; 9 never is", 8, &[7, 9], next);
}
