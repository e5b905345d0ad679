//! REC-2 (Fig. 14): master and standby fail together, the ordinary node takes over.

use super::*;

pub(super) fn suite() -> Suite {
    let mut exchange = begin(
        "exchange_rec_2",
        &[
            "REC-2 of spec/behaviour.md, section 12: 9 is the master m of cluster 3, 7 the standby a, 8 the ordinary node a1, 0 the authority Z, 11 the master N of cluster 4.",
            "Between S1404 and S1406 nodes 7 and 9 die and their streams close. 8 is granted because it is in the in-sync set; alone in the new one, it releases when its own disk has the log.",
            "session names the session a packet travels in, group = the group seal, generation 4.",
        ],
        2,
        &[0, 7, 8, 9, 11],
        &[
            ("7-0 datagram", 7, 0, 0),
            ("8-0 datagram", 8, 0, 0),
            ("9-0 datagram", 9, 0, 0),
            ("11-0 datagram", 11, 0, 0),
            ("8-11 stream", 8, 11, 1),
        ],
    );
    before(&mut exchange, ["S1401", "S1403"], &[11]);
    both_are_gone(&mut exchange);
    granted(&mut exchange);
    exchange.suite
}

fn both_are_gone(exchange: &mut Exchange) {
    exchange.tell("S1406", "the master's stream closed: its first probe", 8, &[9], probe(0x8001));
    // While 7 still counts as alive it comes first in the order; now it is suspected, too.
    exchange.tell("S1406", "the standby's stream closed: its first probe", 8, &[7], probe(0x8002));
    let claim = claim(8, 2, ClaimReason::StreamClosed, &[8]);
    exchange.send("S1409", "the ordinary node claims: nobody comes before it", "8-0 datagram", 8, claim);
    exchange.send(
        "S1411",
        "the authority asks the incumbent: once, its stream is gone",
        "9-0 datagram",
        0,
        probe(0xA001),
    );
    for (comment, node, nonce) in [
        ("the second probe of the master", 9, 0x8001),
        ("the second probe of the standby", 7, 0x8002),
        ("the third probe of the master", 9, 0x8001),
        ("the third probe of the standby", 7, 0x8002),
    ] {
        exchange.tell("S1406", comment, 8, &[node], probe(nonce));
    }
}

fn granted(exchange: &mut Exchange) {
    let new = row(3, 5, 0, 8, &[8], 56);
    let done = notice(1, Outcome::Done, 56, new.clone());
    exchange.send("S1413", "no answer: the grant, to the claimant", "8-0 datagram", 0, done);
    for (node, comment) in [
        (7, "to the old standby, which is dead"),
        (8, "to the new master as to all nodes of the cluster"),
        (9, "to the old master, which is dead"),
        (11, "to the masters of the other clusters"),
    ] {
        let told = notice(0, Outcome::Notice, 56, new.clone());
        exchange.send("S1413", comment, with_authority(node), 0, told);
    }
    speak(exchange, "S1414", "8-11 stream", 8, &new, 56);
    let leads = keepalive(8, Role::Master, 5, 0, &[]);
    exchange.tell("S1414", "the group would hear who leads", 8, &[7, 9], leads);
}
