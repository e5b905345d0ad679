"""A node of the in-sync set, and a whole cluster, in the hands of an enemy: what they say is signed and in order, and it is a lie.

Nothing but their own share may break: no row moves but theirs, no role but theirs, and the chain goes on; what a decision followed from stands
in the history under their name. The daemons whose keys speak stand still meanwhile.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import time

from cases import growth, matches, Want
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from floods import spoofed
from hostile import Claimant, sealed_id_of
from members import group_key
from network import INSIDER, OBSERVER
from wirecraft import TYPES, Closed, Group, bound, wire

PROPOSAL, VOTE, RESULT = 2, 3, 7
PREVOTE, PRECOMMIT = 1, 2
NIL_ROUND = 2**32 - 1
RECEIVED = 10
MASTER = 2
HEARD = 1


class Stolen:
    """The address of a daemon that stands still: sent from by raw packets, received by a copy of what reaches it."""

    def __init__(self, address):
        self.address = address
        self.sending = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.receiving = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        self.receiving.bind((address[0], 0))
        self.settimeout, self.setblocking = self.receiving.settimeout, self.receiving.setblocking

    def sendto(self, data, target):
        self.sending.sendto(spoofed(self.address, target, data), (target[0], 0))

    def recv(self, most):
        while True:
            packet = self.receiving.recv(most)
            start = (packet[0] & 15) * 4
            if int.from_bytes(packet[start + 2 : start + 4], "big") == self.address[1]:
                return packet[start + 8 :]

    def close(self):
        self.sending.close()
        self.receiving.close()


@contextlib.contextmanager
def standing_still(network, *numbers):
    for number in numbers:
        network.processes[number].send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for number in numbers:
            network.processes[number].send_signal(signal.SIGCONT)


def named(network, teller, event, *words):
    """The lines of a log in which this event names somebody."""
    lines = (network.folder / f"{teller}.log").read_text(errors="replace").splitlines()
    return [line for line in lines if f" {event} " in line and all(word in line for word in words)]


def is_named(tally, network, name, teller, offender, offence):
    """B-OFF-1: the log of who was lied to says who it was."""
    lines = named(network, teller, "offended", f"node: NodeId({offender})", f"offence: {offence},")
    tally.count(name, f"the log names it: {offence}", 0, None if lines else f"{teller} names {offender} nowhere")


# --- one node -----------------------------------------------------------------------------------------------------------------


def run_node(trial):
    """Cluster 2: a member that lies about what it hears, and one of the in-sync set that claims without cause."""
    tally, network, name = trial.tally, trial.network, "a malicious member"
    lie_about_hearing(trial, name)
    # Nobody submits meanwhile, so that it owes no acknowledgement and stays in the set.
    row, thief = network.row(2), network.party(202)
    with standing_still(network, 202):
        sealed = sealed_id_of(network, thief)
        with contextlib.closing(Stolen(thief.address)) as sock:
            one = Claimant(tally, network, thief, name, sock)
            for alive in ([202], [202, 203], [201, 202], [], [202, 9001], [1, 2, 202]):
                for reason in range(5):
                    one.claim(sealed, ("IncumbentHeard",), "a claim without cause, from the in-sync set, with a lying list", reason=reason, alive=alive)
            one.claim(sealed_id_of(network, network.party(INSIDER)), ("BadSealedId",), "with a mate's sealed ID")
            for _ in range(4):
                one.claim(sealed_id_of(network, network.party(INSIDER)), ("BadSealedId",), "with a mate's sealed ID, again and again")
            is_named(tally, network, name, 0, 202, "ClaimsInVain")
            is_named(tally, network, name, 0, 202, "BadSealedIds")
            for kind in range(3):
                one.change(kind, 201, ("NotMaster",), "a change of the set, or a resignation, in its master's place")
            began = time.monotonic()
            while time.monotonic() - began < 1:
                one.claim(sealed, ("IncumbentHeard",), "claims for a second, as fast as they are answered")
    tally.count(name, "its cluster's row stands", 0, None if network.row(2) == row else f"was {row}, is {network.row(2)}")
    status, said = network.command("wait", "in-sync", "--node", "cluster 22", "--timeout", "60")
    tally.count(name, "its own daemon goes on in its place", 0, said if status else None)


def lie_about_hearing(trial, name):
    """Keepalives that echo what their readers sent, so that they count as fresh: of a master, in sync, first in the order, epochs ahead. Its
    mates see a neighbour, and nothing else follows."""
    tally, network = trial.tally, trial.network
    insider, peers = network.party(INSIDER), (201, 202)
    standby = network.report(201)["standby"]
    generation, key = group_key(network, insider, 201)
    before = {n: network.discards(n) for n in peers}
    lies = [dict(epoch=e, version=v, promised=p, role=r, ghost=g) for e in (0, 1, 999, 2**63) for v in (0, 2**63) for p in (0, 2**63)
            for r in (0, 1, MASTER) for g in (False, True)]
    seen, sent = False, 0
    with bound(insider.address) as sock, group_socket(network, 2, insider) as ear:
        groups = [Group(insider, network.peers[n], generation, key, sock) for n in peers]
        for lie in lies:
            newest = hear(ear)
            for group in groups:
                group.send(TYPES["NodeKeepalive"], keepalive(insider, newest, **lie))
                sent += 1
            seen = seen or any(n["node"] == INSIDER and int(n["age_us"]) < 10**6 for n in network.report(201)["neighbours"])
    grown = {n: growth(before[n], network.discards(n)) for n in peers}
    roles = {n: network.report(n)["role"] for n in peers}
    why = None if seen else "201 never took it for alive: the lies were not heard at all"
    why = why or (None if not any(grown.values()) else f"counted {grown}")
    why = why or (None if roles[201] == "Master" and roles[202] != "Master" else f"roles: {roles}")
    why = why or (None if network.report(201)["standby"] == standby else "another standby, who is not in the set")
    tally.count(name, "lying heard lists, roles, epochs and priorities", sent, why)
    tally.count(name, "meanwhile a transfer is committed", 0, trial.submit())
    for peer in peers:
        is_named(tally, network, name, peer, INSIDER, "FalseKeepalives")


def keepalive(party, newest, epoch, version, promised, role, ghost):
    """`ghost`: it hears somebody besides whom nobody hears."""
    echo = b"".join(struct.pack("!II", n, s & 0xFFFFFFFF) for n, s in sorted(newest.items()))
    if ghost:
        echo += struct.pack("!II", 999, 2**32 - 1)
    ip, port = party.address
    return struct.pack("!IBBBIQQQQQ", 2, 254, role, 1, 100_000, epoch, version, promised, 2**40, 2**40) + b"\x04" + socket.inet_aton(ip) \
        + struct.pack("!H", port) + struct.pack("!HH", HEARD, len(echo)) + echo


def group_socket(network, cluster, party):
    """Where the cluster's keepalives are heard: multicast, on the member's interface."""
    ip, port = network.groups[cluster]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((ip, port))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(ip) + socket.inet_aton(party.address[0]))
    return sock


def hear(ear, senders=(201, 202), seconds=2):
    """The newest sequence of each, from headers in clear."""
    newest, end = {}, time.monotonic() + seconds
    while time.monotonic() < end and not all(n in newest for n in senders):
        ear.settimeout(max(0.001, end - time.monotonic()))
        try:
            packet = ear.recv(2000)
        except TimeoutError:
            break
        newest[int.from_bytes(packet[32:36], "big")] = int.from_bytes(packet[24:32], "big")
    return {n: s for n, s in newest.items() if n in senders}


# --- a whole cluster ------------------------------------------------------------------------------------------------------------


class Words:
    """What a master of a cluster signs."""

    def __init__(self, network, party, epoch):
        self.consortium, self.party, self.epoch = network.consortium, party, epoch
        self.key = Ed25519PrivateKey.from_private_bytes(party.signing)

    def packet(self, message):
        return struct.pack("!IQI", self.party.cluster, self.epoch, len(message)) + message

    def signer(self, signed):
        whose = struct.pack("!IQI", self.party.cluster, self.epoch, self.party.number)
        return whose + self.key.sign(b"duohuo vote 1" + self.consortium + whose + signed)

    def vote(self, kind, height, round_, block=None):
        value = b"\0" if block is None else b"\1" + block
        signed = struct.pack("!QIB", height, round_, kind) + value + struct.pack("!I", NIL_ROUND)
        return self.packet(struct.pack("!BQIB", VOTE, height, round_, kind) + value + self.signer(signed))

    def why_no_evidence(self, lines):
        """Two lines of a log must be what this key signed twice for one place: what anybody could verify who has the roster."""
        if len(lines) != 2:
            return f"{len(lines)} lines"
        first, second = lines
        if any(first[k] != second[k] for k in ("cluster", "epoch", "height", "round", "kind")) or first["value"] == second["value"]:
            return f"no contradiction: {lines}"
        codes = {"Proposal": 0, "Prevote": PREVOTE, "Precommit": PRECOMMIT}
        for line in lines:
            value = b"\0" if line["value"] == "nil" else b"\1" + bytes.fromhex(line["value"])
            signed = struct.pack("!QIB", int(line["height"]), int(line["round"]), codes[line["kind"]]) + value + struct.pack("!I", NIL_ROUND)
            whose = struct.pack("!IQI", int(line["cluster"]), int(line["epoch"]), int(line["node"]))
            try:
                self.key.public_key().verify(bytes.fromhex(line["signature"]), b"duohuo vote 1" + self.consortium + whose + signed)
            except InvalidSignature:
                return f"its signature does not hold: {line}"
        return None

    def proposal(self, height, round_, block):
        signed = struct.pack("!QIB", height, round_, 0) + b"\1" + block + struct.pack("!I", NIL_ROUND)
        return self.packet(struct.pack("!BQI", PROPOSAL, height, round_) + block + struct.pack("!I", NIL_ROUND) + self.signer(signed))

    def signed_result(self, height, digest):
        fields = struct.pack("!IIQQ", self.party.cluster, self.party.number, self.epoch, height) + digest
        return fields + self.key.sign(b"duohuo result 1" + fields)

    def result(self, height, digest):
        return self.packet(bytes([RESULT]) + self.signed_result(height, digest))


def run_cluster(trial):
    """Cluster 4, both of its daemons standing still."""
    tally, network, name = trial.tally, trial.network, "a malicious cluster"
    row = network.row(4)
    thief = network.party(row["master"])
    words = Words(network, thief, int(row["epoch"]))
    others = (101, 201, 301)
    rows = [r for r in network.rows() if r["cluster"] != 4]

    def stands(what):
        now = [r for r in network.rows() if r["cluster"] != 4]
        tally.count(name, f"{what}: no other row moved", 0, None if now == rows else f"were {rows}, are {now}")
        tally.count(name, f"{what}: a transfer is committed", 0, trial.submit())
        halted = [n for n in others if network.report(n)["halted"] or network.report(n)["role"] != "Master"]
        tally.count(name, f"{what}: the other masters lead", 0, f"{halted} do not" if halted else None)

    logs = log_bytes(network, others)
    with standing_still(network, 401, 402):
        streams = {n: network.stream(thief, n, timeout=20) for n in others}
        equivocate(tally, network, name, words, streams)
        trial.equivocated = True
        stands("two words for one")
        flood_sessions(tally, network, name, words, streams)
        is_named(tally, network, name, 101, thief.number, "RefusedPackets")
        stands("a flood inside a session")
        false_reports(tally, network, name, words, streams)
        is_named(tally, network, name, 0, thief.number, "FalseReports")
        stands("false reports")
        false_results(trial, name, words, streams)
        stands("false results")
        # B-BND-1: nothing that a peer says is logged one by one. What is left are events of their own.
        grown = {n: now - logs[n] for n, now in log_bytes(network, others).items()}
        tally.count(name, "the logs of the others do not grow with what it says", 0, None if max(grown.values()) < 8192 else f"bytes: {grown}")
        for session in streams.values():
            session.close()
    # Its own cluster goes on under another node: that is all that its lies brought about.
    status, said = network.command("wait", "led", "--timeout", "30", "--cluster", "cluster 4")
    tally.count(name, "its own cluster has another master", 0, said if status else None)
    tally.count(name, "the liar is barred", 0, None if thief.number in network.row(4)["barred"] else f"{network.row(4)}")
    trial.before = network.rows()


def log_bytes(network, numbers):
    return {n: (network.folder / f"{n}.log").stat().st_size for n in numbers}


def equivocate(tally, network, name, words, streams):
    """Two votes for one height, round and kind, and two proposals where it is its turn; each master is told both, in another order."""
    witness = network.stream(network.party(OBSERVER), 101, timeout=20)
    witness.send(TYPES["Watch"], struct.pack("!QI", 1, 1 << RECEIVED))
    witness.barrier()
    height = int(network.report(101)["height"]) + 1
    pairs = []
    for kind in (PREVOTE, PRECOMMIT):
        for round_ in range(3):
            for first, second in ((None, os.urandom(32)), (os.urandom(32), os.urandom(32))):
                pairs.append((words.vote(kind, height, round_, first), words.vote(kind, height, round_, second)))
    pairs += [(words.proposal(height, r, os.urandom(32)), words.proposal(height, r, os.urandom(32))) for r in range(4)]
    before = {n: network.discards(n) for n in streams}
    for turn, (peer, session) in enumerate(streams.items()):
        for first, second in pairs:
            for body in (first, second) if turn % 2 else (second, first):
                session.send(TYPES["Consensus"], body)
    for peer, session in streams.items():
        why = None
        try:
            session.barrier()
        except (Closed, TimeoutError):
            why = "its stream was closed: its words are in order"
        grown = growth(before[peer], network.discards(peer))
        grown.pop("unknown_type", None)
        why = why or matches([Want(frozenset([None, "bad_consensus", "unexpected"]))] * 2 * len(pairs), grown)
        tally.count(name, "two words for one height, round and kind", 2 * len(pairs), why and f"{pairs[0][0].hex()} to {peer}: {why}, counted {grown}")
        counted = int(network.report(peer)["conflicts"])
        tally.count(name, "two words for one: counted once an epoch", 0, None if counted == 1 else f"{peer} counted {counted}")
        both = [dict(pair.split("=", 1) for pair in line.replace('"', "").split() if "=" in pair)
                for line in named(network, peer, "equivocated", f"cluster={words.party.cluster} ", f"node={words.party.number} ")]
        tally.count(name, "two words for one: the log names it, with both", 0, words.why_no_evidence(both))
    # Who watches holds both, signed.
    events = [wire.decode_body(k, b) for k, b in witness.barrier() if k == TYPES["Event"]]
    witness.close()
    told = {}
    for event in events:
        if event["cluster"] == words.party.cluster and int(event["height"]) == height:
            told.setdefault((event["round"], int(event["detail"]) & 15), set()).add((event["hash"], int(event["detail"]) & 16))
    twice = sum(len(values) > 1 for values in told.values())
    tally.count(name, "a witness is told both words", 0, None if twice else f"of {len(events)} events none contradicts another: {list(told)[:5]}")


def flood_sessions(tally, network, name, words, streams):
    """Words that hold, of heights and rounds to come, and words that do not, as fast as one stream takes them, while transfers are committed."""
    height = int(network.report(101)["height"]) + 1
    bodies = [words.vote(PREVOTE, height + n % 3, n) for n in range(2000)]
    bodies += [body[:-64] + os.urandom(64) for body in bodies[:1000]]
    sent, took = 0, []
    before = network.discards(101)
    for _ in range(5):
        for body in bodies:
            streams[101].send(TYPES["Consensus"], body)
            sent += 1
        began = time.monotonic()
        status, said = network.command("submit", "--from", "1", "--to", "2", "--amount", "1", "--timeout", "30")
        took.append(time.monotonic() - began)
        if status:
            tally.count(name, "a transfer during a flood inside a session", 0, said)
    grown = growth(before, network.discards(101))
    print(f"  {sent} words in one session: transfers took {', '.join(f'{1000 * t:.0f}' for t in took)} ms meanwhile, counted {grown}")
    tally.count(name, "a flood inside a session", sent, None)


def true_result(streams, accused):
    """A signed result of another cluster's master, as it sends it to every master."""
    for kind, body in streams[accused].barrier():
        if kind == TYPES["Consensus"] and body[16:17] == bytes([RESULT]):
            found = body[17:]
    return found


def false_reports(tally, network, name, words, streams):
    """It accuses cluster 1 with what it signed itself: one liar of four deposes nobody, and has a budget."""
    assert not network.command("submit", "--from", "1", "--to", "2", "--amount", "1", "--timeout", "30")[0]
    accused = true_result(streams, 101)
    height = int.from_bytes(accused[16:24], "big")
    own = words.signed_result(height, os.urandom(32))
    session = network.stream(words.party, 0, timeout=20)

    def report(group, evidence, labels, count=1, at=height):
        before = network.discards(0)
        body = struct.pack("!QQH", 5, at, len(evidence)) + b"".join(evidence)
        for _ in range(count):
            session.send(TYPES["ConsensusError"], body)
        came = session.barrier()
        grown = growth(before, network.discards(0))
        grown.pop("unknown_type", None)
        why = matches([Want(frozenset(labels))] * count, grown)
        if any(kind == TYPES["ForcedSwitch"] for kind, _ in came):
            why = "answered with a forced switch"
        tally.count(name, group, count, why and f"{body.hex()}: {why}, counted {grown}")

    report("a report with its own word alone against another's", [accused, own], [None])
    report("a report with its own word twice", [accused, own, own], ["bad_statement", None])
    report("a report with words of others that they never said", [accused, own, *(own[:3] + bytes([c]) + own[4:] for c in (2, 3))], ["bad_statement"])
    report("a report against itself that proves nothing", [own, accused], ["forbidden"])
    report("a report without evidence", [], ["bad_statement"])
    report("a report of another height", [words.signed_result(height + 1, bytes(32)), own], ["bad_statement", None])
    report("a report without a contradiction", [accused, accused], ["bad_statement"])
    report("more reports than its budget", [accused, own], [None, "forbidden"], 200)
    report("beyond its budget", [accused, own], ["forbidden"], 5)
    session.close()


def false_results(trial, name, words, streams):
    """Of the next block it signs a state that nobody else has: the others accuse it with proof, and it is barred by name."""
    tally, network = trial.tally, trial.network
    tally.count(name, "a transfer before its false result", 0, trial.submit())
    height = int(network.report(101)["height"])
    for session in streams.values():
        session.send(TYPES["Consensus"], words.result(height, b"\x66" * 32))
    end = time.monotonic() + 10
    while words.party.number not in network.row(4)["barred"] and time.monotonic() < end:
        time.sleep(0.05)
    row = network.row(4)
    tally.count(name, "a false result", len(streams), None if words.party.number in row["barred"] else f"not barred: {row}")
    _, said = network.command("history", "-o", "json", "cluster 4")
    entries = json.loads(said)["entries"]
    named = [e for e in entries if words.party.number in (e["old"], e["node"]) and "bar" in e["what"].lower()]
    tally.count(name, "the history names it", 0, None if named else f"{entries[-3:]}")
