//! REC-1 (Fig. 13): the master fails, the standby takes over.

use super::*;

pub(super) fn suite() -> Suite {
    let mut exchange = begin(
        "exchange",
        &[
            "REC-1 of spec/behaviour.md, section 12: 9 is the master m of cluster 3, 7 the standby a, 8 the ordinary node a1, 0 the authority Z, 11 the master N of cluster 4.",
            "All packets in order; step names the row of the table. Between S1303's keepalive and S1304 node 9 dies and its streams close.",
            "session names the session a packet travels in, group = the group seal, generation 4 as all of these are sent within the group grace.",
        ],
        2,
        &[0, 7, 8, 9, 11],
        &[
            ("7-0 datagram", 7, 0, 0),
            ("8-0 datagram", 8, 0, 0),
            ("9-0 datagram", 9, 0, 0),
            ("11-0 datagram", 11, 0, 0),
            ("7-8 stream", 7, 8, 1),
            ("7-11 stream", 7, 11, 1),
        ],
    );
    before(&mut exchange, ["S1301", "S1302"], &[11]);
    suspicion(&mut exchange);
    grant(&mut exchange);
    after(&mut exchange);
    exchange.suite
}

fn suspicion(exchange: &mut Exchange) {
    exchange.tell("S1304", "the master's stream closed: the first probe of 7", 7, &[9], probe(0x7001));
    let claim = claim(7, 2, ClaimReason::StreamClosed, &[7, 8]);
    exchange.send("S1307", "the standby claims, already at the suspicion", "7-0 datagram", 7, claim);
    exchange.tell("S1304", "the first probe of 8", 8, &[9], probe(0x8001));
    exchange.send(
        "S1310",
        "the authority asks the incumbent: once, its stream is gone",
        "9-0 datagram",
        0,
        probe(0xA001),
    );
    for comment in ["the second probe of 7", "the third probe of 7"] {
        exchange.tell("S1304", comment, 7, &[9], probe(0x7001));
    }
    for comment in ["the second probe of 8", "the third probe of 8"] {
        exchange.tell("S1304", comment, 8, &[9], probe(0x8001));
    }
}

fn grant(exchange: &mut Exchange) {
    let new = row(3, 5, 0, 7, &[7, 8], 56);
    exchange.send(
        "S1312",
        "no answer: the grant, to the claimant",
        "7-0 datagram",
        0,
        notice(1, Outcome::Done, 56, new.clone()),
    );
    for (name, comment) in [
        ("9-0 datagram", "to the old master, which is dead"),
        ("7-0 datagram", "to the new master as to all nodes of the cluster"),
        ("8-0 datagram", "to the ordinary node"),
        ("11-0 datagram", "to the masters of the other clusters"),
    ] {
        exchange.send("S1312", comment, name, 0, notice(0, Outcome::Notice, 56, new.clone()));
    }
}

fn after(exchange: &mut Exchange) {
    let new = row(3, 5, 0, 7, &[7, 8], 56);
    let other = row(4, 2, 1, 11, &[11, 12], 40);
    greet(exchange, "S1313", "7-8 stream", 7, &[new.clone(), other]);
    resync(exchange, "S1313", "7-8 stream", 7, 8, "log, promise and synced are durable at 8");
    speak(exchange, "S1313", "7-11 stream", 7, &new, 56);
    let leads = keepalive(7, Role::Master, 5, 0, &[(8, 3)]);
    exchange.tell("S1313", "the group hears who leads", 7, &[8, 9], leads);
    exchange.tell("S1308", "and who is next", 8, &[7, 9], keepalive(8, Role::Standby, 5, 0, &[(7, 4)]));
}
