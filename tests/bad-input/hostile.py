"""Enrolled and malicious: what a member, a stranger and a stolen master can say that is in order, and what must come of it."""

import struct
import time

from cases import growth, matches, refused
from network import INSIDER
from wirecraft import TYPES, Closed, Datagrams, bound, drain, opened, wire

CLUSTER = 2


def run(tally, network):
    name = "hostile neighbours"
    insider = network.party(INSIDER)

    # Of two nodes the lower number dials: who turns that round to a node that has no business with it is left again, at once.
    before = network.discards(101)
    session = network.stream(insider, 101, timeout=10)
    why = None if session.ends(5) else "the stream stays"
    session.close()
    tally.count(name, "a stranger that dials against the order of numbers", 1, why or matches([], growth(before, network.discards(101))))

    # A master's stream taken over with its stolen key: the true one is dialled again, and the chain goes on (the look that follows).
    thief = network.stream(network.party(401), 101, timeout=10)
    thief.close()
    tally.count(name, "a master's stream taken over and dropped", 1, None)

    # Registration data that names another cluster, from its own member.
    before = network.discards(201)
    session = network.stream(insider, 201, timeout=10)
    session.send(TYPES["RegistrationSync"], struct.pack("!IIH", 3, 1, 0))
    session.send(TYPES["RegistrationSync"], struct.pack("!IIH", 0xFFFFFFFF, 0xFFFFFFFF, 0))
    session.send(0x7E, b"")
    try:
        while session.receive()[0] != TYPES["Unsupported"]:
            pass
    except (Closed, TimeoutError):
        pass
    grown = growth(before, network.discards(201))
    grown.pop("unknown_type", None)
    session.close()
    why = matches([refused("forbidden")] * 2, grown)
    tally.count(name, "registration data of another cluster", 2, why and f"RegistrationSync 00000003000000010000: {why}, counted {grown}")

    # False sealed IDs for all mates, from one who is not their master (IN-4: the master hands them on).
    for peer in (201, 202):
        before = network.discards(peer)
        session = network.stream(insider, peer, timeout=10)
        body = struct.pack("!IIH", CLUSTER, 1, 2) + b"".join(struct.pack("!IH", n, 84) + b"\x5a" * 84 for n in (201, 202))
        session.send(TYPES["RegistrationSync"], body)
        session.send(0x7E, b"")
        try:
            while session.receive()[0] != TYPES["Unsupported"]:
                pass
        except (Closed, TimeoutError):
            pass
        grown = growth(before, network.discards(peer))
        grown.pop("unknown_type", None)
        session.close()
        why = matches([refused("forbidden")], grown)
        tally.count(name, "false sealed IDs from one who is not master", 1, why and f"RegistrationSync {body.hex()} to {peer}: {why}, counted {grown}")

    # Claims without cause, one after the other: the master answers, so nothing moves.
    session = network.stream(insider, 0, timeout=10)
    session.send(TYPES["Join"], struct.pack("!QIQ", 9, CLUSTER, network.roster_version))
    sealed_id = b""
    while not sealed_id:
        kind, body = session.receive()
        if kind == TYPES["JoinAnswer"]:
            sealed_id = body[19:]
    session.close()
    claims(tally, network, insider, name, sealed_id)


def claims(tally, network, insider, name, sealed_id):
    """Updates with its own true sealed ID. It is in no in-sync set, so each is refused, and the row does not move."""
    row = next(r for r in network.rows() if r["cluster"] == CLUSTER)
    with bound(insider.address) as sock:
        session = Datagrams(insider, network.peers[0], network.consortium, sock)

        def ask(kind, body, expected, group):
            drain(sock)
            session.send(kind, body)
            end, outcome = time.monotonic() + 5, None
            while time.monotonic() < end and outcome is None:
                sock.settimeout(5)
                try:
                    packet = sock.recv(2000)
                except TimeoutError:
                    break
                if packet[5] == TYPES["Notice"]:
                    fields = wire.decode_body(*opened(packet, session.opening))
                    if fields["request"] == "77":
                        outcome = fields["outcome"]
            tally.count(name, group, 1, None if outcome in expected else f"{body.hex()}: verdict {outcome}, expected {expected}")

        def update(epoch, version, sealed, reason=0, cluster=CLUSTER):
            return struct.pack("!QIQQBH", 77, cluster, epoch, version, reason, 1) + struct.pack("!IQH", INSIDER, 0, len(sealed)) + sealed

        epoch, version = int(row["epoch"]), int(row["version"])
        at = (("this row", epoch, version, ("NotInSync",)), ("an old epoch", epoch - 1, version, ("Stale",)), ("a future epoch", epoch + 1, version, ("Stale",)),
              ("the last epoch there is", 2**64 - 1, 2**64 - 1, ("Stale",)), ("a future version", epoch, version + 1, ("Stale",)))
        for which, e, v, expected in at:
            for reason in range(5):
                ask(TYPES["Update"], update(e, v, sealed_id, reason), expected, f"a claim of {which}")
        for which, sealed in (("none", b""), ("short", sealed_id[:83]), ("long", sealed_id + b"\0"), ("forged", sealed_id[:-1] + bytes([sealed_id[-1] ^ 1])),
                              ("of zeros", bytes(84)), ("another ephemeral key", bytes([sealed_id[0] ^ 1]) + sealed_id[1:])):
            ask(TYPES["Update"], update(epoch, version, sealed), ("BadSealedId",), f"a claim with a sealed ID: {which}")
        for kind in range(3):
            for node in (INSIDER, row["master"], 101, 0, 2**32 - 1):
                ask(TYPES["Change"], struct.pack("!QIQQBI", 77, CLUSTER, epoch, version, kind, node), ("NotMaster",), "a change from one who is not master")
