"""The table's rows, as what is done: each way in, times each class, times each packet type."""

import collections
import struct
import time
import zlib

import inputs
import roles
from wirecraft import BARRIER, NAMES, TYPES, Closed, Initiation, drain

UNSUPPORTED = TYPES["Unsupported"]
NOTHING = frozenset()

# What one input must lead to: labels one of which is counted (None: it need not be), answers that may come, whether the stream closes.
Want = collections.namedtuple("Want", "labels answers must closes", defaults=(NOTHING, NOTHING, False))


def refused(label):
    return Want(frozenset([label] if isinstance(label, str) else label))


class Tally:
    """Cases and inputs, and what failed."""

    def __init__(self):
        self.cases, self.inputs, self.flooded, self.failures, self.rows = 0, 0, 0, [], {}

    def count(self, way, group, inputs, why):
        self.cases += 1
        self.inputs += inputs
        row = self.rows.setdefault((way, group), [0, 0, 0])
        row[0] += 1
        row[1] += inputs
        if why:
            row[2] += 1
            self.failures.append(f"{way} / {group}: {why}")


def matches(wants, grown):
    """Whether counters that grew so are what these inputs must lead to; else why not."""
    for label, count in grown.items():
        if count > sum(label in want.labels for want in wants):
            return f"counted {count} times as {label}, at most {sum(label in w.labels for w in wants)} expected"
    for label in {l for want in wants for l in want.labels if l}:
        least = sum(want.labels == {label} for want in wants)
        if grown.get(label, 0) < least:
            return f"counted {grown.get(label, 0)} times as {label}, {least} expected"
    least = sum(None not in want.labels for want in wants)
    if sum(grown.values()) < least:
        return f"{sum(grown.values())} refusals counted, {least} expected"
    return None


def lacking(wants, came):
    """Which answer of these inputs did not come as often as it must."""
    for kind in {k for want in wants for k in want.must}:
        least = sum(kind in want.must for want in wants)
        if came[kind] < least:
            return f"{came[kind]} answers {NAMES[kind]}, {least} expected"
    return None


def growth(before, after):
    return {label: count - before.get(label, 0) for label, count in after.items() if count > before.get(label, 0)}


# --- inside a session -------------------------------------------------------------------------------------------------------


def want_in_session(kind, body, role, stream, group=False):
    """By the specification's reader first, by the role's table then."""
    if group and NAMES.get(kind) not in ("NodeKeepalive", "Probe", "ProbeAnswer"):
        return refused("bad_value")
    if kind not in NAMES:
        return Want(frozenset(["unknown_type"]), frozenset([UNSUPPORTED]) if stream else NOTHING, frozenset([UNSUPPORTED]) if stream else NOTHING)
    label, fields = inputs.verdict(kind, body)
    if label:
        answers = frozenset([UNSUPPORTED]) if label == "unknown_critical_tlv" and stream else NOTHING
        return Want(frozenset([label]), answers, answers)
    name = NAMES[kind]
    found = role.get(name, roles.FORBIDDEN)
    labels, answers = found(fields) if callable(found) else found
    # What has a verdict has one always.
    return Want(labels, answers, NOTHING)


class InStream:
    """A way in: a stream session of a party, made anew when it was closed."""

    def __init__(self, network, party, peer, role, name):
        self.network, self.party, self.peer, self.role, self.name = network, party, peer, role, name
        self.session = None

    def open(self):
        if self.session is None:
            self.session = self.network.stream(self.party, self.peer, timeout=20)
            self.ask_barrier()
        return self.session

    def close(self):
        if self.session:
            self.session.close()
        self.session = None

    def ask_barrier(self):
        """All that came before was handled once an unknown type is answered; what else came until then."""
        return collections.Counter(kind for kind, _ in self.session.barrier())

    def attempt(self, sent):
        """Send pairs of type and body; what was counted and what came."""
        session = self.open()
        before = self.network.discards(self.peer)
        for kind, body in sent:
            session.send(kind, body)
        came = self.ask_barrier()
        grown = growth(before, self.network.discards(self.peer))
        grown["unknown_type"] = grown.get("unknown_type", 0) - 1
        return {label: count for label, count in grown.items() if count}, came

    def judge(self, sent):
        wants = [want_in_session(kind, body, self.role, True) for kind, body in sent]
        try:
            grown, came = self.attempt(sent)
        except Closed:
            self.close()
            return "the stream was closed, and must stay open"
        why = matches(wants, grown)
        if why:
            return why
        # A Watch, a Subscribe of an earlier input go on.
        unasked = roles.UNASKED if self.party.number < 9000 else frozenset([TYPES["Event"], TYPES["BlockAnswer"]])
        for kind, count in came.items():
            if kind in unasked:
                continue
            if not any(kind in want.answers for want in wants):
                return f"answered with {NAMES.get(kind, kind)}, nothing expected"
        return lacking(wants, came)


def in_parts(items, most=150):
    for at in range(0, len(items), most):
        yield items[at : at + most]


def first_culprit(judge, sent):
    """The one input that alone does what all of them did, if there is one."""
    for one in sent[:400]:
        why = judge([one])
        if why:
            return f"type {one[0]:#04x} body {one[1].hex() or '(empty)'}: {why}"
    return None


def run_bodies(tally, way, skip=(), only=None):
    """Each type times each class of bodies."""
    for group, make in inputs.BODY_CLASSES.items():
        for kind, name in sorted(NAMES.items()):
            if name in roles.IN_CLEAR or name in skip or (only and name not in only):
                continue
            sent = [(kind, body) for body in make(kind)]
            why = None
            for part in in_parts(sent):
                why = way.judge(part)
                if why:
                    why = first_culprit(way.judge, part) or f"{name}: {why} (all of the case together)"
                    break
            tally.count(way.name, group, len(sent), why and f"{name}: {why}")
    kinds = [k for k in range(0x10, 0x100) if k not in NAMES and k != BARRIER]
    why = None
    for part in in_parts([(k, b"") for k in kinds] + [(k, b"\0" * 40) for k in kinds]):
        why = why or way.judge(part)
    tally.count(way.name, "unknown type", 2 * len(kinds), why)


def run_stream_faults(tally, network, party, peer, name):
    """What must close a session's stream: one session for each."""
    kind, body = TYPES["StatusQuery"], struct.pack("!Q", 1)
    # What comes before the bad packet is in order, but a node must not ask for it.
    before_it = {"replayed in its session": 1, "reordered": 0}

    def later(s, n):
        s.sequence += n
        return s.seal(kind, body)

    def earlier(s):
        first = s.seal(kind, body)
        s.raw(first)
        return first

    def swapped(s):
        first, second = s.seal(kind, body), s.seal(kind, body)
        return second + first

    turned = lambda s, at: (lambda p: p[:at] + bytes([p[at] ^ 1]) + p[at + 1 :])(s.seal(kind, body))  # noqa: E731

    def mend(p):
        return p[:-4] + struct.pack("!I", zlib.crc32(p[:-4]))

    rows = [
        ("replayed in its session", "out_of_sequence", earlier),
        ("reordered", "out_of_sequence", swapped),
        *[("sequence from the future", "out_of_sequence", lambda s, n=n: later(s, n)) for n in (1, 1024, 2**31, 2**62)],
        ("sequence at its end", "out_of_sequence", lambda s: s.seal(kind, body, sequence=2**63 - 1)),
        ("sequence beyond its end", "out_of_sequence", lambda s: s.seal(kind, body, sequence=2**63)),
        ("sequence beyond its end", "out_of_sequence", lambda s: s.seal(kind, body, sequence=2**64 - 1)),
        *[("session of nobody", "unknown_session", lambda s, n=n: s.seal(kind, body, session=n)) for n in (0, 1, 2**64 - 1)],
        *[("another's number as sender", "unknown_session", lambda s, n=n: s.seal(kind, body, sender=n)) for n in (0, 101, 9002, 2**32 - 1)],
        ("group set under a session's key", "forged", lambda s: s.seal(kind, body, group=1)),
        ("tag wrong", "forged", lambda s: s.seal(kind, body, spoil=True)),
        *[("ciphertext turned, CRC made anew", "forged", lambda s, at=at: mend(turned(s, at))) for at in (40, 47, 50, 60)],
        *[("header turned, CRC made anew", label, lambda s, at=at: mend(turned(s, at)))
          for at, label in ((0, "bad_magic"), (4, "bad_version"), (5, "forged"), (12, "bad_header_length"), (13, "bad_suite"),
                            (14, "reserved_not_zero"), (6, "unknown_flags"))],
        ("CRC wrong", "bad_crc", lambda s: turned(s, -1 % 68)),
        ("clear where sealed must be", "not_sealed", lambda s: inputs.unsealed(kind, body, sender=party.number)),
        ("handshake inside a session", ("unknown_session", "unexpected"), lambda s: Initiation(party, network.peers[peer], network.consortium, "stream").packet()),
        *[("handshake type sealed", "sealed", lambda s, k=k: s.seal(k, body)) for k in (0, 1, 2, 3, 15)],
        *[("frame length below the least", "bad_length", lambda s, n=n: inputs.header(kind, n, sealed=True)) for n in (0, 11, 12, 43)],
        ("frame length 44, sealed", "too_short", lambda s: inputs.with_crc(inputs.header(kind, 44, sealed=True, session=s.session, sender=party.number))),
        *[("frame length beyond its bound", "too_long", lambda s, n=n: inputs.header(kind, n, sealed=True)[:12]) for n in ((8 << 20) + 1, 2**31, 2**32 - 1)],
    ]
    for group, label, make in rows:
        labels = frozenset([label] if isinstance(label, str) else label)
        why = None
        try:
            session = network.stream(party, peer, timeout=20)
            network.discards(peer)
            before = network.discards(peer)
            data = make(session)
            session.raw(data)
            closed = session.ends(5)
            grown = growth(before, network.discards(peer))
            if not closed:
                why = f"{data[:96].hex()}: the stream stayed open, {grown}"
            elif why := matches([Want(labels)] + [Want(frozenset([None, "forbidden", "old_epoch"]))] * before_it.get(group, 0), grown):
                why = f"{data[:96].hex()}: {why}, counted {grown}"
            session.close()
        except Closed:
            why = "closed before it began"
        tally.count(name, group, 1, why)
    # At its bound: a frame of 8 MiB is taken, and refused for what is in it; the stream goes on.
    session = network.stream(party, peer, timeout=60)
    before = network.discards(peer)
    session.send(kind, bytes(8) + b"\x0a\x0a" * ((8 << 19) - 34))
    session.send(kind, body)
    why = None
    try:
        session.barrier()
    except (Closed, TimeoutError):
        why = "a frame of almost 8 MiB closed the stream"
    tally.count(name, "frame length at its bound", 1, why)
    session.close()


# --- datagrams --------------------------------------------------------------------------------------------------------------


def settle(network, peer, before, wants, patience=3.0):
    """The counters once they are what they must be, or have not moved for a while: datagrams have no answer to wait for."""
    end, last = time.monotonic() + patience, None
    while True:
        grown = growth(before, network.discards(peer))
        why = matches(wants, grown)
        if not why and grown == last:
            return None, grown
        if grown != last:
            last, end = grown, max(end, time.monotonic() + 0.5)
        elif time.monotonic() > end:
            return why, grown
        time.sleep(0.01 if why else 0.03)


class ByDatagram:
    """A way in: raw datagrams from one address. `put` puts one on the wire."""

    # Whether an input says the same when it is sent again: to find the one that is to blame.
    again = True

    def __init__(self, network, peer, sock, name, most=60):
        self.network, self.peer, self.socket, self.name, self.most = network, peer, sock, name, most

    def put(self, one):
        self.socket.sendto(one, self.network.peers[self.peer].address)

    def judge(self, pairs):
        """Pairs of input and Want."""
        for part in in_parts(pairs, self.most):
            drain(self.socket)
            before = self.network.discards(self.peer)
            for one, _ in part:
                self.put(one)
            wants = [want for _, want in part]
            why, grown = settle(self.network, self.peer, before, wants)
            came = drain(self.socket)
            heard = ", ".join(f"{NAMES.get(kind, kind)} x{n}" for kind, n in self.kinds(came).items())
            if why:
                if len(part) == 1:
                    return f"{self.show(part[0][0])}: {why}, counted {grown}"
                for single in part if self.again else ():
                    if found := self.judge([single]):
                        return found
                return f"{self.show(part[0][0])} and what follows: {why} (together), counted {grown}, answered with {heard or 'nothing'}"
            kinds = self.kinds(came)
            for kind in kinds:
                if not any(kind in want.answers for want in wants):
                    return f"{self.show(part[0][0])}{' and what follows' if len(part) > 1 else ''}: answered with {NAMES.get(kind, kind)}, nothing expected"
            if why := lacking(wants, kinds):
                return why
        return None

    def show(self, one):
        return one.hex() if isinstance(one, bytes) else f"type {one[0]:#04x} body {one[1].hex()}"

    def kinds(self, came):
        return collections.Counter(p[5] for p in came)


class InDatagrams(ByDatagram):
    """Types and bodies in a datagram session or under the group seal."""

    def __init__(self, network, peer, session, name, role, group=False):
        super().__init__(network, peer, session.socket, name)
        self.session, self.role, self.group = session, role, group

    def put(self, one):
        self.session.send(*one)

    def wanted(self, kind, body):
        # What does not fit into a datagram is not sent here.
        return want_in_session(kind, body, self.role, False, self.group)

    def judge_bodies(self, sent):
        return self.judge([(one, self.wanted(*one)) for one in sent])


def run_datagram_bodies(tally, way, only=None):
    for group, make in inputs.BODY_CLASSES.items():
        for kind, name in sorted(NAMES.items()):
            if name in roles.IN_CLEAR or (only and name not in only):
                continue
            sent = [(kind, body) for body in make(kind) if len(body) < 1060]
            tally.count(way.name, group, len(sent), (why := way.judge_bodies(sent)) and f"{name}: {why}")
    kinds = [k for k in range(0x10, 0x100) if k not in NAMES]
    why = way.judge_bodies([(k, b"") for k in kinds])
    tally.count(way.name, "unknown type", len(kinds), why)
