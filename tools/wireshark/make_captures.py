#!/usr/bin/env python3
"""Writes the sample captures and their key logs, from fixed keys: the same bytes each time.

    make_captures.py [FOLDER]        default: captures/ beside this file

Needs the standard library and what packets.py needs. The captures named demo-* are not made here: they are of `duohuo demo`.
"""

import hashlib
import pathlib
import struct
import sys

import packets
from packets import (
    address, AUTHORITY, block, bytes16, bytes32, CLIENT, CONSORTIUM, GROUP_IP, group_key, group_packet, handshake, header, hmac256,
    items, items32, keepalive, KeyLog, N11, N12, N13, N21, numbers, OPERATOR, PORT, roster, sealed_id, seed, signed_result,
    signed_row, signed_switch, signer, str8, T0, tlv, transfer, u16, u32, u64, u8, unsealed, with_crc,
)


def ip_packet(source, target, protocol, payload):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0,
                       bytes(map(int, source.split("."))), bytes(map(int, target.split("."))))
    total = sum(struct.unpack(">10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + u16(~total & 0xFFFF) + head[12:] + payload


class Capture:
    def __init__(self, name):
        self.name, self.now, self.frames, self.log = name, T0, [], KeyLog()

    def later(self, us): self.now += us

    def frame(self, data):
        self.frames.append(struct.pack("<IIII", self.now // 1_000_000, self.now % 1_000_000, len(data), len(data)) + data)
        self.now += 137

    def udp(self, source, target_ip, payload, source_port=PORT, target_port=PORT):
        self.frame(ip_packet(source.ip, target_ip, 17,
                             struct.pack(">HHHH", source_port, target_port, 8 + len(payload), 0) + payload))

    def write(self, folder):
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
        (folder / f"{self.name}.pcap").write_bytes(head + b"".join(self.frames))
        (folder / f"{self.name}.keys").write_text("\n".join(self.log.lines) + "\n")


class Stream:
    """A TCP connection; `a` dialled."""
    def __init__(self, capture, a, b, a_port=40000):
        self.capture, self.ends = capture, {a: (a, b, a_port, PORT), b: (b, a, PORT, a_port)}
        self.next = {a: 1000, b: 5000}
        self.segment(a, b"", 0x02)
        self.segment(b, b"", 0x12)
        self.segment(a, b"", 0x10)

    def segment(self, sender, payload, flags=0x18):
        me, peer, port, peer_port = self.ends[sender]
        acknowledged = 0 if flags == 0x02 else self.next[peer]
        self.capture.frame(ip_packet(me.ip, peer.ip, 6, struct.pack(
            ">HHIIBBHHH", port, peer_port, self.next[sender], acknowledged, 0x50, flags, 65535, 0, 0) + payload))
        self.next[sender] += len(payload) + (1 if flags & 0x03 else 0)

    def send(self, sender, payload, cuts=()):
        at = 0
        for cut in (*cuts, len(payload)):
            self.segment(sender, payload[at:cut])
            at = cut

    def handshake(self, a, b):
        init, response, up, down = handshake(self.capture.log, a, b, True, self.capture.name + " stream")
        self.send(a, init)
        self.send(b, response)
        return up, down


def make_handshake():
    c = Capture("handshake")
    name = "handshake"
    plain = handshake(KeyLog(), N11, AUTHORITY, False, name)[0]
    cookie = hmac256(seed("cookie secret"), bytes([10, 0, 1, 1]) + u16(PORT) + plain[48:80])[:16]
    init, response, up, down = handshake(c.log, N11, AUTHORITY, False, name, cookie=cookie)
    c.udp(N11, AUTHORITY.ip, plain)
    c.udp(AUTHORITY, N11.ip, unsealed(0x03, 0, plain[40:48] + cookie))
    c.udp(N11, AUTHORITY.ip, init)
    c.udp(AUTHORITY, N11.ip, response)
    c.udp(N11, AUTHORITY.ip, up("Query", u64(1) + u8(0) + u32(1) + u64(0)))
    c.udp(AUTHORITY, N11.ip, down("Notice", u64(1) + u8(0) + u64(1) + signed_row(1, 0, 0, 0, ())))
    # Both speak versions 1 and 2; then one that is held to version 1.
    for node, ranges in ((N12, ((1, 2), (1, 2))), (N13, ((1, 1), (1, 2)))):
        init, response, up, down = handshake(c.log, node, AUTHORITY, False, "versions", ranges=ranges)
        c.udp(node, AUTHORITY.ip, init)
        c.udp(AUTHORITY, node.ip, response)
        c.udp(node, AUTHORITY.ip, up("Probe", u64(0) + u64(0) + tlv(1, bytes(ranges[0] + ranges[1]))))
        c.udp(node, AUTHORITY.ip, up("Query", u64(1) + u8(0) + u32(1) + u64(0)))
        c.udp(AUTHORITY, node.ip, down("Notice", u64(1) + u8(0) + u64(1) + signed_row(1, 0, 0, 0, ())))
    return c


def make_join():
    c = Capture("join-register")
    s = Stream(c, N11, AUTHORITY)
    up, down = s.handshake(N11, AUTHORITY)
    s.send(N11, up("Join", u64(1) + u32(1) + u64(6)))
    s.send(AUTHORITY, down("JoinAnswer", u64(1) + u8(0) + u64(7) + bytes16(b"")))
    s.send(AUTHORITY, down("RosterPush", bytes32(roster())))
    s.send(N11, up("Register", u64(2) + u32(1)))
    ids = items([u32(p.number) + bytes16(sealed_id(p)) for p in (N11, N12, N13)])
    s.send(AUTHORITY, down("Registered", u64(2) + u8(0) + u32(1) + ids)
           + down("Notice", u64(0) + u8(0) + u64(1) + signed_row(1, 1, 0, 11, [11])))
    s.send(N11, up("Query", u64(3) + u8(2) + u32(1) + u64(0)))
    history = u32(1) + u64(1) + items32([u32(11)])
    s.send(AUTHORITY, down("History", history + AUTHORITY.sign("duohuo history 1", history)))
    inner = Stream(c, N11, N12, 40001)
    up, down = inner.handshake(N11, N12)
    inner.send(N11, up("GroupKey", group_key(N11, 1)) + up("RegistrationSync", u32(1) + u32(1) + ids))
    join = Stream(c, N12, AUTHORITY, 40002)
    up, down = join.handshake(N12, AUTHORITY)
    join.send(N12, up("Join", u64(1) + u32(2) + u64(7)))
    join.send(AUTHORITY, down("JoinAnswer", u64(1) + u8(2) + u64(7) + bytes16(b"")))
    join.send(N12, up("Join", u64(2) + u32(1) + u64(7)))
    join.send(AUTHORITY, down("JoinAnswer", u64(2) + u8(0) + u64(7) + bytes16(sealed_id(N12))))
    return c


def make_keepalives():
    c = Capture("keepalives")
    _, _, up, down = handshake(c.log, N11, AUTHORITY, False, "keepalives")
    for p in (N11, N12, N13):
        p.group_sequence = {}
    challenge = 0
    for n in range(3):
        heard = [[], [], []] if n == 0 else [[(q.number, n - 1) for q in (N11, N12, N13) if q is not p] for p in (N11, N12, N13)]
        for p, role, hears in zip((N11, N12, N13), (2, 1, 0), heard):
            # One sender of a newer version: an extension that is ignored.
            extra = tlv(0x0A0A, b"newer") if p is N13 else b""
            c.udp(p, GROUP_IP, group_packet(c.log, p, 1, "NodeKeepalive", keepalive(p, role, 1, 2, 40 + n, 7, hears, extra=extra)))
        c.udp(N11, AUTHORITY.ip, up("MasterKeepalive", u32(1) + u64(1) + u64(7) + u64(challenge) + u64(9)))
        challenge = int.from_bytes(seed("challenge", n)[:8], "big")
        c.udp(AUTHORITY, N11.ip, down("MasterKeepaliveAnswer", u64(challenge) + u64(1) + u64(9)))
        c.later(95_000)
    nonce = u64(0xC0FFEE)
    c.udp(N12, N13.ip, group_packet(c.log, N12, 1, "Probe", nonce + u64(1)))
    c.udp(N13, N12.ip, group_packet(c.log, N13, 1, "ProbeAnswer", nonce + u8(0) + u64(1)))
    # Unicast copies of the same bytes to two members are no repetition.
    copy = group_packet(c.log, N11, 1, "NodeKeepalive", keepalive(N11, 2, 1, 2, 44, 8, [(12, 2), (13, 2)]))
    c.udp(N11, N12.ip, copy)
    c.udp(N11, N13.ip, copy)
    return c


def make_failover():
    """REC-1: n11 dies, n12 takes over."""
    c = Capture("failover")
    sessions = {p: handshake(c.log, p, AUTHORITY, False, f"failover {p.number}") for p in (N11, N12, N13, N21)}
    for p in (N11, N12, N13):
        p.group_sequence = {}
    for p, (init, response, _, _) in sessions.items():
        c.udp(p, AUTHORITY.ip, init)
        c.udp(AUTHORITY, p.ip, response)
    mesh = Stream(c, N12, N13, 41000)
    up, down = mesh.handshake(N12, N13)
    for p, role in ((N11, 2), (N12, 1), (N13, 0)):
        c.udp(p, GROUP_IP, group_packet(c.log, p, 1, "NodeKeepalive", keepalive(p, role, 1, 2, 40, 7)))
    c.later(30_000)  # S1303: n11 is gone
    nonce = u64(0x1304)
    for _ in range(3):  # S1304
        c.udp(N12, N11.ip, group_packet(c.log, N12, 1, "Probe", nonce + u64(1)))
        c.later(1_000)
    update = u64(77) + u32(1) + u64(1) + u64(2) + u8(1) + numbers(12, 13) + u64(7) + bytes16(sealed_id(N12))
    c.udp(N12, AUTHORITY.ip, sessions[N12][2]("Update", update))  # S1307
    for _ in range(3):  # S1310
        c.udp(AUTHORITY, N11.ip, sessions[N11][3]("Probe", u64(0x1310) + u64(1)))
        c.later(1_000)
    c.later(16_000)
    c.udp(N12, AUTHORITY.ip, sessions[N12][2]("Update", update))  # the claim repeated, unchanged
    row = signed_row(1, 2, 0, 12, [12, 13], table=10)
    c.udp(AUTHORITY, N12.ip, sessions[N12][3]("Notice", u64(77) + u8(1) + u64(10) + row))  # S1312
    for p in (N11, N12, N13, N21):
        c.udp(AUTHORITY, p.ip, sessions[p][3]("Notice", u64(0) + u8(0) + u64(10) + row))
    c.later(2_000)  # S1313: the promise becomes durable
    mesh.send(N12, up("GroupKey", group_key(N12, 2)) + up("Notice", u64(0) + u8(0) + u64(10) + row))
    vote = u64(8) + u32(0) + u8(1) + u8(1) + seed("block", 8) + signer(N11, 1, b"vote")
    timeout = u8(5) + u8(0) + u32(0)
    records = items32([u64(8) + u64(1) + bytes32(u8(4) + vote), u64(8) + u64(1) + bytes32(timeout)])
    mesh.send(N12, up("Resync", u64(2) + u64(7) + u64(38) + records))
    mesh.send(N13, down("Ack", u64(2) + u64(40) + u64(7) + u64(2)))
    mesh.send(N12, up("Append", u64(2) + u64(40) + u64(40) + items32([])))
    c.udp(N12, GROUP_IP, group_packet(c.log, N12, 2, "NodeKeepalive", keepalive(N12, 2, 2, 0, 40, 7, [(13, 0)])))
    c.udp(N13, GROUP_IP, group_packet(c.log, N13, 2, "NodeKeepalive", keepalive(N13, 1, 2, 0, 40, 7, [(12, 0)])))
    c.udp(N12, AUTHORITY.ip, sessions[N12][2]("Change", u64(78) + u32(1) + u64(2) + u64(0) + u8(1) + u32(13)))
    c.udp(AUTHORITY, N12.ip, sessions[N12][3]("Notice", u64(78) + u8(10) + u64(10) + row))
    return c


def make_drill():
    """A client asks node 12, which stands by, to rehearse a takeover; then node 12 is given a log in two parts by its master."""
    c = Capture("drill")
    s = Stream(c, CLIENT, N12, 45000)
    up, down = s.handshake(CLIENT, N12)
    init, response, claim, answer = handshake(c.log, N12, AUTHORITY, False, "drill 12")
    c.udp(N12, AUTHORITY.ip, init)
    c.udp(AUTHORITY, N12.ip, response)
    member = Stream(c, N12, N13, 45001)
    give, told = member.handshake(N12, N13)
    nonce = tlv(1, u64(0xD111))
    s.send(CLIENT, up("StatusQuery", u64(1) + tlv(1, b"")))
    update = u64(78) + u32(1) + u64(0) + u64(0) + u8(1) + numbers(11, 12, 13) + u64(7) + bytes16(sealed_id(N12)) + nonce
    c.udp(N12, AUTHORITY.ip, claim("Update", update))
    c.later(2_500)
    row = signed_row(1, 1, 4, 11, [11, 12, 13], table=9)
    c.udp(AUTHORITY, N12.ip, answer("Notice", u64(78) + u8(1) + u64(9) + row))
    vote = u64(8) + u32(0) + u8(1) + u8(1) + seed("block", 8) + signer(N11, 1, b"vote")
    record = u64(8) + u64(1) + bytes32(u8(4) + vote)
    member.send(N12, give("Resync", u64(0) + u64(7) + u64(38) + items32([record]) + nonce))
    c.later(1_200)
    member.send(N13, told("Ack", u64(0) + u64(39) + u64(7) + u64(0) + tlv(3, u64(0xD111) + u32(900))))
    spans = u32(15_000) + u32(2_500) + u32(800) + u32(400) + u32(0xFFFFFFFF)
    rehearsed = u8(6) + u8(1) + spans + u32(1) + u32(2) + items([u32(11) + u32(0xFFFFFFFF) + u32(0xFFFFFFFF), u32(13) + u32(1_200) + u32(900)])
    status = (u8(1) + u32(12) + u32(1) + u64(1) + u64(4) + u32(11) + numbers(11, 12, 13) + numbers() + u64(7) + seed("state", "right")
              + u32(4) + items([]) + items([]) + u8(1) + u32(12) + u8(0) + u64(60_000) + items([]) + u64(0))
    s.send(N12, down("StatusAnswer", u64(1) + bytes32(status) + tlv(4, rehearsed)))
    parts = Stream(c, N11, N12, 45002)
    give, told = parts.handshake(N11, N12)
    parts.send(N11, give("Resync", u64(1) + u64(7) + u64(38) + items32([record]) + tlv(0x8001, u64(38) + u8(1))))
    parts.send(N12, told("Ack", u64(1) + u64(38) + u64(7) + u64(0) + tlv(2, u64(38) + u64(39))))
    parts.send(N11, give("Resync", u64(1) + u64(7) + u64(39) + items32([record]) + tlv(0x8001, u64(38) + u8(0))))
    parts.send(N12, told("Ack", u64(1) + u64(40) + u64(7) + u64(1)))
    return c


def make_forced_switch():
    """REC-3: the master of cluster 1 computes another state."""
    c = Capture("forced-switch")
    s = Stream(c, N21, AUTHORITY, 42000)
    up, down = s.handshake(N21, AUTHORITY)
    evidence = items([signed_result(N11, 1, 9, "wrong"), signed_result(N21, 3, 9, "right")])
    s.send(N21, up("ConsensusError", u64(5) + u64(9) + evidence), cuts=(100, 250))
    sessions = {p: handshake(c.log, p, AUTHORITY, False, f"forced switch {p.number}") for p in (N11, N12, N13)}
    for p, (init, response, _, _) in sessions.items():
        c.udp(p, AUTHORITY.ip, init)
        c.udp(AUTHORITY, p.ip, response)
    order, row = signed_switch(1, 1, 11, 9), signed_row(1, 1, 3, 11, [11, 12, 13], [11], table=11)
    for p in (N11, N12, N13):
        c.udp(AUTHORITY, p.ip, sessions[p][3]("ForcedSwitch", order))
        c.udp(AUTHORITY, p.ip, sessions[p][3]("Notice", u64(0) + u8(0) + u64(11) + row))
    update = u64(6) + u32(1) + u64(1) + u64(3) + u8(2) + numbers(12, 13) + u64(9) + bytes16(sealed_id(N12))
    c.udp(N12, AUTHORITY.ip, sessions[N12][2]("Update", update))
    row = signed_row(1, 2, 0, 12, [12, 13], [11], unfenced=True, table=12)
    c.udp(AUTHORITY, N12.ip, sessions[N12][3]("Notice", u64(6) + u8(1) + u64(12) + row))
    s.send(AUTHORITY, down("ForcedSwitch", order) + down("Notice", u64(0) + u8(0) + u64(12) + row))
    return c


def signed_order(number, kind, cluster, node, who, why, epoch=0):
    body = CONSORTIUM + u64(number) + u8(kind) + u32(cluster) + u32(node) + u64(epoch) + u64(1_800_000_600) + str8(who) + str8(why)
    return body + OPERATOR.sign(b"duohuo order 1" + body)


def make_orders():
    """An operator forces node 13, as the whole in-sync set of cluster 1 is lost; its fence; the journal of it."""
    c = Capture("orders")
    s = Stream(c, CLIENT, AUTHORITY, 44000)
    up, down = s.handshake(CLIENT, AUTHORITY)
    s.send(CLIENT, up("Order", u64(1) + signed_order(6, 1, 1, 13, "Ada", "the room burns")))
    s.send(AUTHORITY, down("OrderAnswer", u64(1) + u8(10) + u64(5) + u64(0)))
    forced = signed_order(7, 4, 1, 13, "Ada", "the room burnt", epoch=1)
    s.send(CLIENT, up("Order", u64(2) + forced), cuts=(90, 200))
    s.send(AUTHORITY, down("OrderAnswer", u64(2) + u8(0) + u64(7) + u64(11)))
    t = Stream(c, N13, N21, 44001)
    ask, answer = t.handshake(N13, N21)
    t.send(N13, ask("Fence", signed_row(1, 2, 0, 13, [13], unfenced=True, table=11)))
    t.send(N21, answer("FenceAnswer", u32(1) + u64(2) + u64(9)))
    init, response, node, _ = handshake(c.log, N13, AUTHORITY, False, "fence 13")
    c.udp(N13, AUTHORITY.ip, init)
    c.udp(AUTHORITY, N13.ip, response)
    c.udp(N13, AUTHORITY.ip, node("Fenced", u64(3) + u32(1) + u64(2) + u64(0) + u64(10)))
    s.send(CLIENT, up("JournalQuery", u64(4) + u64(11)))
    before, head = seed("journal", 10), u64(11)
    entry = head + u64(T0) + u8(5) + u8(6) + u32(1) + u64(2) + u64(0) + u32(11) + u32(13) + u32(13) + bytes16(forced)
    digest = hashlib.sha256(before + entry).digest()
    signature = AUTHORITY.sign("duohuo journal 1", head + digest)
    s.send(AUTHORITY, down("Journal", u64(4) + before + items([entry]) + head + digest + signature[-64:]))
    return c


def make_stream():
    """What masters and clients say to each other, in awkward segments; every chain message and record."""
    c = Capture("stream")
    s = Stream(c, N11, N21, 43000)
    up, down = s.handshake(N11, N21)
    def consensus(message): return up("Consensus", u32(1) + u64(1) + bytes32(message))
    transfers = [transfer("a", 1, 2, 500), transfer("b", 2, 1, 20)]
    body = block(8, 1, transfers)
    block_id = hashlib.sha256(body).digest()
    proposal = u64(8) + u32(0) + block_id + u32(0xFFFFFFFF) + signer(N11, 1, b"proposal")
    vote = u64(8) + u32(0) + u8(1) + u8(1) + block_id + signer(N11, 1, b"vote")
    nil_vote = u64(8) + u32(1) + u8(2) + u8(0) + signer(N11, 1, b"nil")
    polka = u64(8) + u32(0) + block_id + items([signer(N11, 1, b"p"), signer(N21, 3, b"p")])
    messages = [
        u8(1) + u64(7) + u32(0xFFFFFFFF) + u8(1) + items([]), u8(1) + u64(7) + u32(2) + u8(0) + items([block_id]),
        u8(2) + proposal, u8(3) + vote, u8(3) + nil_vote, u8(4) + u64(8) + bytes32(body), u8(5) + polka,
        u8(6) + u64(8) + u32(1) + u8(1) + items([u8(2) + u8(0) + signer(N21, 3, b"r"), u8(2) + u8(1) + block_id + signer(N11, 1, b"r")]),
        u8(7) + signed_result(N11, 1, 8, "right"), u8(8) + items32(transfers),
        u8(9) + b"of a later version", u8(3) + vote[:30],
    ]
    for i, message in enumerate(messages):
        packet = consensus(message)
        s.send(N11, packet, cuts=(5, 11, 60) if i % 2 == 0 else ())
    records = [u8(1) + bytes32(body), u8(2) + u32(0) + u32(0xFFFFFFFF) + u32(1) + block_id + u8(1), u8(3) + proposal, u8(4) + vote,
               u8(5) + u8(1) + u32(0), u8(6) + polka]
    append = up("Append", u64(1) + u64(30) + u64(29) + items32([u64(8) + u64(1) + bytes32(r) for r in records]))
    certificate = u64(8) + u32(0) + block_id + items([signer(N11, 1, b"c"), signer(N21, 3, b"c")])
    both = append + up("BlockPush", u64(8) + bytes32(bytes32(body) + certificate))
    s.send(N11, both, cuts=(333, 666, 999))
    s.send(N21, down("ChainQuery", u64(1) + u32(262144)))
    s.send(N11, up("ChainEnd", u64(8)))
    s.send(N21, down("RangeQuery", u64(2) + u64(8) + u32(262144)) + down("SnapshotQuery", u64(0) + u32(0xFFFFFFFF)))
    manifest = u64(8) + block_id + seed("link", 8) + u64(5) + items32([hashlib.sha256(b"state").digest()])
    proof = items([signed_result(N11, 1, 8, "right"), signed_result(N21, 3, 8, "right")])
    s.send(N11, up("SnapshotOffer", u64(8) + bytes32(manifest) + bytes32(proof)))
    s.send(N21, down("SnapshotQuery", u64(8) + u32(0)))
    s.send(N11, up("SnapshotChunk", u64(8) + u32(0) + bytes32(b"state")))
    s.send(N21, down("Ack", u64(1) + u64(36) + u64(8) + u64(1)))
    s.send(N21, down("Unsupported", u8(0x77) + u16(0)) + down("Unsupported", u8(0x32) + u16(0x8123)))
    t = Stream(c, CLIENT, N11, 43001)
    up, down = t.handshake(CLIENT, N11)
    t.send(CLIENT, up("Submit", u64(1) + bytes32(transfer("c", 1, 2, 7))) + up("StatusQuery", u64(2)) + up("Watch", u64(3) + u32(0xFFFFFFFF)))
    t.send(N11, down("SubmitAnswer", u64(1) + u8(3) + u64(0) + u8(1) + address(N12.ip)))
    status = (u8(2) + u32(11) + u32(1) + u64(1) + u64(2) + u32(11) + numbers(11, 12) + numbers() + u64(8) + seed("state", "right")
              + u32(4) + items([u32(12) + u8(1) + u8(1) + u8(98) + u64(8) + u64(4000)]) + items([str8("bad_crc") + u64(3)])
              + u8(1) + u32(12) + u8(0) + u64(60_000)
              + items([u32(1) + u64(1) + u64(2) + u32(11) + numbers(11, 12) + numbers() + u8(0) + u64(9)]) + u64(0))
    t.send(N11, down("StatusAnswer", u64(2) + bytes32(status)))
    t.send(N11, down("Event", u64(T0) + u16(11) + u32(1) + u32(0) + u64(1) + u64(8) + u32(0) + u32(0) + seed("state", "right") + bytes(64)))
    t.send(N11, down("SubmitAnswer", u64(4) + u8(0) + u64(8) + u8(0) + tlv(0x0A0A, b"")))
    t.send(CLIENT, up("StateQuery", u64(5) + bytes32(u32(2))) + up("BlockQuery", u64(6) + u64(8)) + up("Subscribe", u64(7) + u64(9) + u32(256)))
    t.send(N11, down("StateAnswer", u64(5) + u8(1) + u64(8) + bytes32(u64(1000))))
    t.send(N11, down("BlockAnswer", u64(6) + u64(8) + bytes32(bytes32(body) + certificate)))
    return c


def make_broken():
    """Each reception rule, broken once, in the order of wire.md 2.1; the list says what the dissector must find."""
    c = Capture("broken")
    init, response, up, down = handshake(c.log, N11, AUTHORITY, False, "broken")
    c.udp(N11, AUTHORITY.ip, init)
    c.udp(AUTHORITY, N11.ip, response)
    expected = ["-", "-"]

    def bad(label, packet):
        expected.append(label)
        c.udp(N11, AUTHORITY.ip, packet)

    probe = u64(1) + u64(1)
    def changed(packet, at, value): return with_crc(packet[:at] + value + packet[at + len(value):-4])
    bad("-", up("Probe", probe))
    bad("too_short", up("Probe", probe)[:43])
    bad("bad_magic", changed(up("Probe", probe), 0, b"HTTP"))
    bad("bad_version", up("Probe", probe, version=3))
    bad("bad_length", up("Probe", probe, length=77))
    bad("too_long", up("Probe", probe + tlv(0x0A0A, bytes(1200))))
    bad("bad_header_length", up("Probe", probe, words=11))
    whole = up("Probe", probe)
    bad("bad_crc", whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    bad("unknown_flags", up("Probe", probe, flags=0x8001))
    bad("-", up("Probe", probe, flags=0x0003))  # bits 7..1 are ignored
    bad("bad_suite", up("Probe", probe, suite=2))
    bad("reserved_not_zero", up("Probe", probe, reserved=1))
    bad("sealed", up(0x01, bytes(160)))
    bad("not_sealed", unsealed(0x1C, 11, probe))
    bad("too_short", with_crc(header(0x1C, 52, 11, 1, 1, 0, 1) + bytes(8)))
    bad("bad_version", unsealed(0x03, 11, bytes(24), version=2))
    bad("unknown_type", unsealed(0x0F, 11, b""))
    bad("bad_value", unsealed(0x03, 11, bytes(24), session=5))
    bad("bad_value", unsealed(0x03, 11, bytes(24), sequence=5))
    bad("bad_value", unsealed(0x03, 11, bytes(24), group=5))
    bad("-", packets.seal(seed("nobody"), seed("nobody")[:12], 0x1C, 11, 0xDEAD, 0, 0, probe))  # W-RCV-1: no key
    bad("replayed", up("Probe", probe, sequence=2 ** 63))
    again = up("Probe", probe)
    bad("-", again)
    bad("replayed", again)
    bad("-", up("Probe", probe, sequence=5000))
    bad("replayed", up("Probe", probe, sequence=5000 - 1024))
    bad("-", up("Probe", probe, sequence=5000 - 1023))
    up.sequence = 5001
    sealed = up("Probe", probe)
    bad("forged", changed(sealed, 41, bytes([sealed[41] ^ 1])))
    bad("-", sealed)  # a forged packet moved nothing
    bad("bad_value", group_packet(c.log, N11, 1, "Update", bytes(40), sequence=0))
    bad("truncated", group_packet(c.log, N11, 1, "Probe", bytes(20), cut_signature=True, sequence=1))
    bad("unknown_type", up(0x77, b"from a later version"))
    bad("unknown_critical_tlv", up("Probe", probe + tlv(0x8001, b"")))
    bad("tlv_order", up("Probe", probe + tlv(2, b"") + tlv(1, b"")))
    bad("tlv_order", up("Probe", probe + tlv(2, b"") + tlv(2, b"")))
    bad("tlv_truncated", up("Probe", probe + b"\0\1\0"))
    bad("tlv_truncated", up("Probe", probe + b"\0\1\0\2\0"))
    bad("-", up("Probe", probe + tlv(1, b"") + tlv(0x7FFF, b"kept")))
    bad("truncated", up("Probe", probe[:15]))
    bad("truncated", up("Probe", b""))
    bad("bad_value", up("ProbeAnswer", u64(1) + u8(3) + u64(1)))
    claim = u64(1) + u32(1) + u64(1) + u64(1)
    bad("not_canonical", up("Update", claim + u8(0) + numbers(12, 11) + u64(1) + bytes16(b"")))
    bad("truncated", up("Update", claim + u8(0) + u16(65535) + u32(11) + u64(1)))
    bad("bad_value", up("Update", claim + u8(5) + numbers(11) + u64(1) + bytes16(b"")))
    row = signed_row(1, 1, 0, 11, [11])
    bad("bad_value", up("Notice", u64(0) + u8(0) + u64(1) + row[:-73] + u8(2) + row[-72:]))
    def kept(body, label, n): bad(label, group_packet(c.log, N11, 1, "NodeKeepalive", body, sequence=n))
    alive = keepalive(N11, 2, 1, 1, 1, 1)
    kept(alive[:4] + u8(255) + alive[5:], "bad_value", 2)
    kept(alive[:6] + u8(2) + alive[7:], "bad_value", 3)
    kept(alive[:-7] + u8(5) + alive[-6:], "bad_value", 4)
    kept(alive + tlv(1, b""), "not_canonical", 5)
    kept(alive + tlv(1, u32(12) + u32(1) + u32(12) + u32(1)), "not_canonical", 6)
    kept(alive + tlv(1, u32(12) + u16(1)), "truncated", 7)
    bad("-", up("Join", u64(1) + u32(1) + u64(1)))  # streams only: a note, no rule refuses it
    # Two packets under one sequence; and a generation older than the two kept.
    fresh = up.sequence
    bad("-", up("Probe", probe, sequence=fresh))
    bad("replayed", up("Probe", u64(2) + u64(1), sequence=fresh))
    for generation in (2, 3):
        bad("-", group_packet(c.log, N11, generation, "Probe", probe, sequence=0))
    bad("-", group_packet(c.log, N11, 1, "Probe", probe, sequence=8))

    s = Stream(c, N11, AUTHORITY, 44000)
    for label, packet in (
            ("too_long", header(0x01, 8193, 11) + bytes(8193 - 40)), ("bad_length", header(0x10, 20, 11, 1, 1, 0, 1)),
            ("too_long", header(0x10, 8 * 1024 * 1024 + 1, 11, 1, 1, 0, 1)), ("bad_magic", b"GET / HTTP/1.0\r\n\r\n")):
        expected.append(label)
        s.send(N11, packet)
    # A roster that W-ROS-2 refuses: the packet is well-formed, its content is not.
    up, down = s.handshake(N11, AUTHORITY)
    expected.extend(["-", "-", "-"])
    twice = roster().replace(u32(900) + str8("clearing"), u32(21) + str8("clearing"))
    s.send(AUTHORITY, down("RosterPush", bytes32(twice)))
    c.expected = expected
    return c


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "captures")
    folder.mkdir(exist_ok=True)
    for make in (make_handshake, make_join, make_keepalives, make_failover, make_drill, make_forced_switch, make_orders, make_stream, make_broken):
        capture = make()
        capture.write(folder)
        if hasattr(capture, "expected"):
            (folder / f"{capture.name}.expected").write_text("\n".join(capture.expected) + "\n")


if __name__ == "__main__":
    main()
