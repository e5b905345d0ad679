"""Enrolled and malicious: what a member, a stranger and a stolen master can say that is in order, and what must come of it."""

import struct
import time

from cases import growth, matches, refused
from network import INSIDER, OTHER_INSIDER
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

    def hand_on(peer, group, *bodies):
        """Registration data from one who is not the receiver's master (IN-4): each is refused."""
        before = network.discards(peer)
        session = network.stream(insider, peer, timeout=10)
        for body in bodies:
            session.send(TYPES["RegistrationSync"], body)
        try:
            session.barrier()
        except (Closed, TimeoutError):
            pass
        grown = growth(before, network.discards(peer))
        grown.pop("unknown_type", None)
        session.close()
        why = matches([refused("forbidden")] * len(bodies), grown)
        tally.count(name, group, len(bodies), why and f"RegistrationSync {bodies[0].hex()} to {peer}: {why}, counted {grown}")

    hand_on(201, "registration data of another cluster", struct.pack("!IIH", 3, 1, 0), struct.pack("!IIH", 0xFFFFFFFF, 0xFFFFFFFF, 0))
    false = struct.pack("!IIH", CLUSTER, 1, 2) + b"".join(struct.pack("!IH", n, 84) + b"\x5a" * 84 for n in (201, 202))
    for peer in (201, 202):
        hand_on(peer, "false sealed IDs from one who is not master", false)

    # Claims without cause, one after the other: the master answers, so nothing moves.
    sealed_id = sealed_id_of(network, insider)
    claims(tally, network, insider, name, sealed_id)


def sealed_id_of(network, party):
    """What the authority gives a node that joins."""
    session = network.stream(party, 0, timeout=10)
    session.send(TYPES["Join"], struct.pack("!QIQ", 9, party.cluster, network.roster_version))
    while True:
        kind, body = session.receive()
        if kind == TYPES["JoinAnswer"]:
            session.close()
            return body[19:]


class Claimant:
    """A node that asks the authority for what it must not have, by datagram from its own address; each verdict is looked at."""

    def __init__(self, tally, network, party, name, sock):
        self.tally, self.party, self.name, self.socket = tally, party, name, sock
        self.session = Datagrams(party, network.peers[0], network.consortium, sock)
        row = network.row(party.cluster)
        self.epoch, self.version = int(row["epoch"]), int(row["version"])

    def ask(self, kind, body, expected, group):
        drain(self.socket)
        self.session.send(kind, body)
        end, outcome = time.monotonic() + 5, None
        while time.monotonic() < end and outcome is None:
            self.socket.settimeout(5)
            try:
                packet = self.socket.recv(2000)
            except TimeoutError:
                break
            if packet[5] == TYPES["Notice"]:
                fields = wire.decode_body(*opened(packet, self.session.opening))
                if fields["request"] == "77":
                    outcome = fields["outcome"]
        self.tally.count(self.name, group, 1, None if outcome in expected else f"{body.hex()}: verdict {outcome}, expected {expected}")

    def claim(self, sealed, expected, group, epoch=None, version=None, reason=0, alive=None):
        alive = [self.party.number] if alive is None else alive
        epoch, version = (self.epoch if epoch is None else epoch), (self.version if version is None else version)
        self.ask(TYPES["Update"], struct.pack("!QIQQBH", 77, self.party.cluster, epoch, version, reason, len(alive))
                 + struct.pack(f"!{len(alive)}I", *alive) + struct.pack("!QH", 0, len(sealed)) + sealed, expected, group)

    def change(self, kind, node, expected, group):
        self.ask(TYPES["Change"], struct.pack("!QIQQBI", 77, self.party.cluster, self.epoch, self.version, kind, node), expected, group)


def claims(tally, network, insider, name, sealed_id):
    """Updates with its own true sealed ID. It is in no in-sync set, so each is refused, and the row does not move."""
    with bound(insider.address) as sock:
        one = Claimant(tally, network, insider, name, sock)
        epoch, version = one.epoch, one.version
        at = (("this row", epoch, version, ("NotInSync",)), ("an old epoch", epoch - 1, version, ("Stale",)), ("a future epoch", epoch + 1, version, ("Stale",)),
              ("the last epoch there is", 2**64 - 1, 2**64 - 1, ("Stale",)), ("a future version", epoch, version + 1, ("Stale",)))
        for which, e, v, expected in at:
            for reason in range(5):
                one.claim(sealed_id, expected, f"a claim of {which}", e, v, reason)
        for which, sealed in (("none", b""), ("short", sealed_id[:83]), ("long", sealed_id + b"\0"), ("forged", sealed_id[:-1] + bytes([sealed_id[-1] ^ 1])),
                              ("of zeros", bytes(84)), ("another ephemeral key", bytes([sealed_id[0] ^ 1]) + sealed_id[1:]),
                              ("another node's", sealed_id_of(network, network.party(OTHER_INSIDER)))):
            one.claim(sealed, ("BadSealedId",), f"a claim with a sealed ID: {which}")
        for kind in range(3):
            for node in (INSIDER, network.row(CLUSTER)["master"], 101, 0, 2**32 - 1):
                one.change(kind, node, ("NotMaster",), "a change from one who is not master")
