"""Enrolled nodes by datagram: in a session with the authority, and under the group seal of their cluster."""

import os
import struct

from cases import InDatagrams, Want, growth, matches, refused, run_datagram_bodies
from network import REMOVED
from roles import member_under_group_seal, node_to_authority_datagram
from wirecraft import TYPES, Closed, Datagrams, Group, bound, with_crc

PROBE, ANSWER = TYPES["Probe"], TYPES["ProbeAnswer"]
ANSWERED = Want(frozenset([None]), frozenset([ANSWER]), frozenset([ANSWER]))


class Raw(InDatagrams):
    """Whole packets, made before: a second time they are replayed."""

    again = False

    def put(self, one):
        self.session.raw(one)


def probe(nonce=5):
    return struct.pack("!QQ", nonce, 0)


def run_authority_datagrams(tally, network, party, sock, other):
    name = "node to the authority, datagrams"
    session = Datagrams(party, network.peers[0], network.consortium, sock)
    run_datagram_bodies(tally, InDatagrams(network, 0, session, name, node_to_authority_datagram(party.cluster)))

    def case(group, pairs, source=None):
        way = Raw(network, 0, session, name, {})
        if source:
            way.put = lambda one: source.sendto(one, network.peers[0].address)
        tally.count(name, group, len(pairs), way.judge(pairs))

    seal = session.seal
    one = seal(PROBE, probe())
    case("replayed", [(one, ANSWERED), (one, refused("replayed")), (one, refused("replayed"))])
    first, second = seal(PROBE, probe()), seal(PROBE, probe())
    case("reordered inside the window", [(second, ANSWERED), (first, ANSWERED), (first, refused("replayed"))])
    now = session.sequence
    case("sequence from the future", [(seal(PROBE, probe(), sequence=now + n), ANSWERED) for n in (10, 2000, 2**40)])
    session.sequence = now + 2**40 + 1
    case("older than the window", [(seal(PROBE, probe(), sequence=n), refused("replayed")) for n in (now, now + 1, now + 2**40 - 1024)])
    case("the oldest of the window", [(seal(PROBE, probe(), sequence=now + 2**40 - 1023), ANSWERED)])
    case("sequence beyond its end", [(seal(PROBE, probe(), sequence=n), refused("replayed")) for n in (2**63, 2**64 - 1)])
    forged = [seal(PROBE, probe(), spoil=True) for _ in range(3)]
    case("tag wrong", [(p, refused("forged")) for p in forged])
    case("a forged packet moves no window", [(seal(PROBE, probe(), sequence=2**62, spoil=True), refused("forged")), (seal(PROBE, probe()), ANSWERED)])
    case("group set under a session's key", [(seal(PROBE, probe(), group=1), refused("forged"))])
    case("session of nobody", [(seal(PROBE, probe(), session=n), refused("unknown_session")) for n in (0, 1, 2**64 - 1)])
    case("another's number as sender", [(seal(PROBE, probe(), sender=n), refused("unknown_session")) for n in (0, 101, 9001, 2**32 - 1)])
    case("handshake type sealed", [(seal(k, bytes(24)), refused("sealed")) for k in (0, 1, 2, 3, 15)])
    with bound(other.address) as elsewhere, bound((party.address[0], 0)) as beside:
        case("from another's address", [(seal(PROBE, probe()), refused("wrong_address")) for _ in range(3)], elsewhere)
        case("from another port", [(seal(PROBE, probe()), refused("wrong_address")) for _ in range(3)], beside)
    case("sealed packet truncated at each byte", [(one[:n], refused("too_short" if n < 44 else "bad_length")) for n in range(len(one))])
    cut = [with_crc(one[:8] + struct.pack("!I", n + 4) + one[12:n]) for n in range(44, len(one) - 4)]
    case("sealed packet truncated, length and CRC made anew", [(p, refused("too_short") if len(p) < 60 else refused("replayed")) for p in cut])
    body = struct.pack("!QBIQ", 1, 0, 0, 0)
    case("as large as a datagram can be", [(seal(TYPES["Query"], body + struct.pack("!HH", 0x0A0A, n) + bytes(n)), Want(frozenset([None]), frozenset([TYPES["Notice"]])))
                                           for n in (1200 - 40 - 20 - len(body) - 4,)])
    case("one byte larger", [(seal(TYPES["Query"], body + struct.pack("!HH", 0x0A0A, n) + bytes(n)), refused("too_long"))
                             for n in (1200 - 40 - 20 - len(body) - 3,)])
    held = [seal(PROBE, probe()) for _ in range(2)]
    newer = Datagrams(party, network.peers[0], network.consortium, sock)
    network.report(0)
    case("delayed from the session before", [(held[0], Want(frozenset([None]), frozenset([ANSWER])))])
    newest = Datagrams(party, network.peers[0], network.consortium, sock)
    network.report(0)
    case("delayed from a session long replaced", [(held[1], refused("unknown_session"))])
    assert newer and newest


def group_key(network, party, peer):
    """The newest generation and its secret, as a mate hands them over."""
    stream = network.stream(party, peer, timeout=20)
    generation, key = 0, party.group_secret
    for kind, body in stream.barrier():
        if kind == TYPES["GroupKey"]:
            generation, key = int.from_bytes(body[4:8], "big"), body[8:40]
    stream.close()
    return generation, key


def run_group(tally, network, party, sock):
    """As a member of cluster 2 to its master, which hands over the key of the group as to any member."""
    name, peer = "member under the group seal", 201
    generation, key = group_key(network, party, peer)
    group = Group(party, network.peers[peer], generation, key, sock)
    way = InDatagrams(network, peer, group, name, member_under_group_seal(party.cluster), group=True)
    run_datagram_bodies(tally, way)

    def case(which, pairs, source=None):
        raw = Raw(network, peer, group, name, {}, group=True)
        if source:
            raw.put = lambda one: source.sendto(one, network.peers[peer].address)
        tally.count(name, which, len(pairs), raw.judge(pairs))

    seal = group.seal
    one = seal(PROBE, probe())
    case("replayed", [(one, ANSWERED), (one, refused("replayed"))])
    first, second = seal(PROBE, probe()), seal(PROBE, probe())
    case("reordered inside the window", [(second, ANSWERED), (first, ANSWERED), (first, refused("replayed"))])
    now = group.sequence
    case("sequence from the future", [(seal(PROBE, probe(), sequence=now + n), ANSWERED) for n in (10, 2000, 2**40)])
    group.sequence = now + 2**40 + 1
    case("older than the window", [(seal(PROBE, probe(), sequence=n), refused("replayed")) for n in (now, now + 2**40 - 1024)])
    case("sequence beyond its end", [(seal(PROBE, probe(), sequence=n), refused("replayed")) for n in (2**63, 2**64 - 1)])
    case("tag wrong", [(seal(PROBE, probe(), spoil=True), refused("forged")) for _ in range(3)])
    case("a forged packet moves no window", [(seal(PROBE, probe(), sequence=2**62, spoil=True), refused("forged")), (seal(PROBE, probe()), ANSWERED)])
    case("signature wrong", [(seal(PROBE, probe(), signature=s), refused("bad_signature")) for s in (bytes(64), b"\xff" * 64, os.urandom(64))])
    case("signed by another member", [(seal(PROBE, probe(), signing=network.party(202).signing), refused("bad_signature"))])
    case("in another member's name", [(seal(PROBE, probe(), sender=202, boot=5), refused("bad_signature"))])
    case("no room for a signature", [(seal(PROBE, b"\0" * n, signature=b""), refused("truncated")) for n in (0, 16, 63)])
    case("the generation before", [(seal(PROBE, probe(), generation=0, secret=party.group_secret), Want(frozenset([None, "unknown_generation"]), frozenset([ANSWER])))])
    case("a generation that is not held", [(seal(PROBE, probe(), generation=g), refused("unknown_generation")) for g in (generation + 1, 77, 2**32 - 1)])
    case("the receiver's own number", [(seal(PROBE, probe(), sender=peer), refused("reflected"))])
    case("a node of another cluster", [(seal(PROBE, probe(), sender=n), refused("forbidden")) for n in (101, 403)])
    case("a number of nobody", [(seal(PROBE, probe(), sender=n), refused("unknown_session")) for n in (0, 9001, 77)])
    with bound((party.address[0], 0)) as beside:
        case("from another port", [(seal(PROBE, probe()), refused("wrong_address")) for _ in range(3)], beside)
    case("one boot after the other", [(seal(PROBE, probe(), boot=n + 1), ANSWERED) for n in range(50)])
    case("of a boot long gone, again", [(one, Want(frozenset([None, "replayed"]), frozenset([ANSWER])))])
    other = Group(party, network.peers[101], generation, key, sock)
    raw = Raw(network, 101, other, name, {}, group=True)
    tally.count(name, "to a node of another cluster", 1, raw.judge([(other.seal(PROBE, probe()), refused("forbidden"))]))


def run_removed(tally, network):
    """A node that was taken out keeps the secret of enrolment and its keys: its mates must not answer it, from wherever it speaks."""
    name, peer = "a removed node", 301
    removed = network.party(REMOVED)
    silence = Want(frozenset(["unknown_key", "unknown_session", "unknown_generation", "wrong_address", "forbidden"]))
    # Its own address of before, and the one that the roster has in its place.
    for place in (removed.address, ("127.0.0.1", 1)):
        try:
            sock = bound(place)
        except PermissionError:
            continue
        with sock:
            group = Group(removed, network.peers[peer], 0, removed.group_secret, sock)
            way = Raw(network, peer, group, name, {}, group=True)
            sent = [group.seal(PROBE, probe(n)) for n in range(1, 6)]
            tally.count(name, f"under the group seal, from {'its former address' if place[1] != 1 else 'the address of who is out'}", len(sent),
                        way.judge([(one, silence) for one in sent]))
    for peer in (0, 301, 302, 101):
        before = network.discards(peer)
        try:
            network.stream(removed, peer, timeout=5).close()
            why = "let in"
        except Closed:
            why = matches([refused("unknown_key")], growth(before, network.discards(peer)))
        tally.count(name, "a stream", 1, why and f"to {peer}: {why}")
