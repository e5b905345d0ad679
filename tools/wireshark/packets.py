"""What the sample captures are made of: encodings, seals, handshakes, statements, and who takes part, from fixed keys.

Written from spec/wire.md and spec/chain.md; shares no code with the dissector or the protocol's implementation. Needs the
standard library and `cryptography`.
"""

import hashlib
import hmac
import struct
import zlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PORT = 7400
T0 = 1_800_000_000_000_000  # microseconds since 1970: when every capture begins
CONSORTIUM = bytes([0x33]) * 16


# --- encodings (wire.md 1) -------------------------------------------------------------------------------------------

def u8(n): return struct.pack(">B", n)
def u16(n): return struct.pack(">H", n)
def u32(n): return struct.pack(">I", n)
def u64(n): return struct.pack(">Q", n)
def bytes16(b): return u16(len(b)) + b
def bytes32(b): return u32(len(b)) + b
def str8(s): return u8(len(s.encode())) + s.encode()
def items(encoded): return u16(len(encoded)) + b"".join(encoded)
def items32(encoded): return u32(len(encoded)) + b"".join(encoded)
def numbers(*ids): return items([u32(i) for i in ids])
def address(ip, port=PORT): return u8(4) + bytes(map(int, ip.split("."))) + u16(port)
def tlv(kind, value): return u16(kind) + bytes16(value)


def seed(*parts):
    """32 fixed bytes for a name."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).digest()


def x_public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def dh(private, public):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def hmac256(key, data): return hmac.new(key, data, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac256(prk, block + info + bytes([counter]))
        out, counter = out + block, counter + 1
    return out[:length]


class Party:
    def __init__(self, number, ip, cluster=0, priority=0, boot=0):
        self.number, self.ip, self.cluster, self.priority = number, ip, cluster, priority
        self.boot = boot or int.from_bytes(seed("boot", number)[:8], "big")
        self.session_private = seed("x25519", number)
        self.session_public = x_public(self.session_private)
        self.signing = Ed25519PrivateKey.from_private_bytes(seed("ed25519", number))
        self.signing_public = self.signing.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.group_sequence = {}

    def sign(self, label, fields): return self.signing.sign(label.encode() + fields)


AUTHORITY = Party(0, "10.0.0.1")
N11, N12, N13 = (Party(10 + i, f"10.0.{i}.1", 1, 100 - i) for i in (1, 2, 3))
N21 = Party(21, "10.0.1.2", 2, 90)
CLIENT = Party(900, "10.0.9.9")
GROUP_IP = "239.77.0.1"
OPERATOR = Ed25519PrivateKey.from_private_bytes(seed("operator"))


# --- packets (wire.md 2, 4) ------------------------------------------------------------------------------------------

TYPES = dict(
    HandshakeInit=0x01, HandshakeResponse=0x02, Cookie=0x03, Join=0x10, JoinAnswer=0x11, Register=0x12, Registered=0x13,
    Update=0x14, Change=0x15, Notice=0x16, MasterKeepalive=0x17, MasterKeepaliveAnswer=0x18, Query=0x19,
    ConsensusError=0x1A, ForcedSwitch=0x1B, Probe=0x1C, ProbeAnswer=0x1D, RosterPush=0x1E, History=0x1F,
    NodeKeepalive=0x20, GroupKey=0x21, RegistrationSync=0x30, Resync=0x31, Append=0x32, Ack=0x33, BlockPush=0x34,
    ChainQuery=0x35, ChainEnd=0x36, SnapshotQuery=0x3C, SnapshotOffer=0x3D, SnapshotChunk=0x3E, RangeQuery=0x3F,
    Consensus=0x40, Submit=0x50, SubmitAnswer=0x51, StatusQuery=0x52,
    StatusAnswer=0x53, Watch=0x54, Event=0x55, StateQuery=0x56, StateAnswer=0x57, BlockQuery=0x58,
    BlockAnswer=0x59, Subscribe=0x5A, Unsupported=0x5F, Order=0x60, OrderAnswer=0x61,
    JournalQuery=0x62, Journal=0x63, Fence=0x64, FenceAnswer=0x65, Fenced=0x66)


def header(kind, length, sender, session=0, sequence=0, group=0, flags=0, magic=0x44554F48, version=1, words=10, suite=1,
           reserved=0):
    return struct.pack(">IBBHIBBHQQII", magic, version, kind, flags, length, words, suite, reserved, session, sequence,
                       sender, group)


def with_crc(data): return data + u32(zlib.crc32(data))


def unsealed(kind, sender, body, **header_fields):
    return with_crc(header(kind, 44 + len(body), sender, **header_fields) + body)


def seal(key, iv, kind, sender, session, sequence, group, body, length=None, flags=1, **header_fields):
    head = header(kind, length or 60 + len(body), sender, session, sequence, group, flags, **header_fields)
    nonce = iv[:4] + bytes(a ^ b for a, b in zip(iv[4:], u64(sequence)))
    return with_crc(head + AESGCM(key).encrypt(nonce, body, head))


class KeyLog:
    def __init__(self): self.lines = ["# Key log of a sample capture: made-up keys, see tools/wireshark/README.md"]
    def session(self, number, key, iv): self.lines.append(f"session {number:016x} {key.hex()} {iv.hex()}")

    def group(self, cluster, generation, sender, boot, key, iv):
        line = f"group {cluster} {generation} {sender} {boot:016x} {key.hex()} {iv.hex()}"
        if line not in self.lines:
            self.lines.append(line)


class Direction:
    """Packets of one party in one session."""
    def __init__(self, sender, session, key, iv, version=1):
        self.sender, self.session, self.key, self.iv, self.sequence = sender, session, key, iv, 0
        self.version = version

    def __call__(self, name, body, **fields):
        kind = TYPES[name] if isinstance(name, str) else name
        sequence = fields.pop("sequence", None)
        if sequence is None:
            sequence, self.sequence = self.sequence, self.sequence + 1
        fields = dict(session=self.session, group=0, version=self.version) | fields
        return seal(self.key, self.iv, kind, self.sender.number, sequence=sequence, body=body, **fields)


def group_packet(log, sender, generation, name, body, cut_signature=False, sequence=None):
    secret = seed("group", sender.cluster, generation)
    prk = hmac256(u32(sender.cluster) + u32(generation), secret)
    keyed = expand(prk, b"duohuo group 1" + u32(sender.number) + u64(sender.boot), 44)
    log.group(sender.cluster, generation, sender.number, sender.boot, keyed[:32], keyed[32:])
    if sequence is None:
        sequence = sender.group_sequence.get(generation, 0)
        sender.group_sequence[generation] = sequence + 1
    kind = TYPES[name]
    if cut_signature:
        return seal(keyed[:32], keyed[32:], kind, sender.number, sender.boot, sequence, generation, body)
    head = header(kind, 60 + len(body) + 64, sender.number, sender.boot, sequence, generation, 1)
    signature = sender.sign("duohuo group sign 1", head + body)
    return seal(keyed[:32], keyed[32:], kind, sender.number, sender.boot, sequence, generation, body + signature)


# --- handshake (wire.md 3) -------------------------------------------------------------------------------------------

class Noise:
    def __init__(self, responder_public, stream):
        name = b"Noise_IK_25519_AESGCM_SHA256"
        self.h = name + bytes(32 - len(name))
        self.ck, self.k, self.n = self.h, None, 0
        self.mix_hash(b"duohuo" + u8(1) + u8(1) + CONSORTIUM + u8(1 if stream else 0))
        self.mix_hash(responder_public)

    def mix_hash(self, data): self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, shared):
        out = expand(hmac256(self.ck, shared), b"", 64)
        self.ck, self.k, self.n = out[:32], out[32:], 0

    def encrypt(self, plain):
        sealed = AESGCM(self.k).encrypt(bytes(4) + u64(self.n), plain, self.h)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def split(self):
        out = expand(hmac256(self.ck, b""), b"", 64)
        return out[:32], out[32:]


def mac1_key(public): return hashlib.sha256(b"duohuo mac1" + public).digest()


def handshake(log, initiator, responder, stream, name, timestamp=1_800_000_000, cookie=None, ranges=None):
    """(HandshakeInit, HandshakeResponse, direction of the initiator, direction of the responder); ranges: what each states."""
    stated = [tlv(1, bytes(of)) for of in ranges] if ranges else [b"", b""]
    version = min(of[1] for of in ranges) if ranges else 1
    name = f"{name} {initiator.number} {responder.number}"
    e_i, e_r = seed(name, "e", initiator.number), seed(name, "e", responder.number)
    s_i, s_r = (int.from_bytes(seed(name, "session", p.number)[:8], "big") for p in (initiator, responder))
    noise = Noise(responder.session_public, stream)
    e_public = x_public(e_i)
    noise.mix_hash(e_public)
    noise.mix_key(dh(e_i, responder.session_public))
    first = e_public + noise.encrypt(initiator.session_public)
    noise.mix_key(dh(initiator.session_private, responder.session_public))
    first += noise.encrypt(u64(timestamp) + u32(0))
    body = header(0x01, 192 + len(stated[0]), initiator.number) + u64(s_i) + first
    mac1 = hmac256(mac1_key(responder.session_public), body)[:16]
    mac2 = hmac256(cookie, body + mac1)[:16] if cookie else bytes(16)
    init = with_crc(body + mac1 + mac2 + stated[0])

    e_public = x_public(e_r)
    noise.mix_hash(e_public)
    noise.mix_key(dh(e_r, x_public(e_i)))
    noise.mix_key(dh(e_r, initiator.session_public))
    second = e_public + noise.encrypt(b"")
    body = header(0x02, 124 + len(stated[1]), responder.number) + u64(s_i) + u64(s_r) + second
    response = with_crc(body + hmac256(mac1_key(initiator.session_public), body)[:16] + stated[1])

    info = b"duohuo seal 1"
    if version == 2:
        info = b"duohuo seal 2" + u64(s_i) + u64(s_r) + bytes(ranges[0]) + bytes(ranges[1])
    k1, k2 = (expand(k, info, 44) for k in noise.split())
    log.session(s_r, k1[:32], k1[32:])
    log.session(s_i, k2[:32], k2[32:])
    return (init, response, Direction(initiator, s_r, k1[:32], k1[32:], version),
            Direction(responder, s_i, k2[:32], k2[32:], version))


# --- statements (wire.md 5, 6) and chain contents (chain.md) ------------------------------------------------------------

def signed_row(cluster, epoch, version, master, in_sync, barred=(), unfenced=False, table=1):
    fields = (u32(cluster) + u64(epoch) + u64(version) + u32(master) + numbers(*in_sync) + numbers(*barred) + u8(unfenced)
              + u64(table))
    return fields + AUTHORITY.sign("duohuo row 1", fields)


def signed_result(node, epoch, height, state):
    fields = u32(node.cluster) + u32(node.number) + u64(epoch) + u64(height) + seed("state", state)
    return fields + node.sign("duohuo result 1", fields)


def signed_switch(cluster, epoch, old, height, proven=True):
    fields = u32(cluster) + u64(epoch) + u32(old) + u64(height) + u8(proven)
    return fields + AUTHORITY.sign("duohuo switch 1", fields)


def sealed_id(node, serial=1):
    s, e = seed("sealing"), seed("sealed id", node.number)
    prk = hmac256(b"duohuo sealed id 1", dh(e, x_public(s)) + dh(s, x_public(s)))
    binding = hashlib.sha256(node.session_public + node.signing_public).digest()
    keyed = expand(prk, CONSORTIUM + binding + u32(node.cluster), 44)
    claims = (u32(node.cluster) + u32(node.number) + u32(1) + u64(serial) + u64(1_800_000_000) + u64(1_800_086_400))
    return x_public(e) + AESGCM(keyed[:32]).encrypt(keyed[32:], claims, x_public(e))


def group_key(master, generation):
    fields = u32(master.cluster) + u32(generation) + seed("group", master.cluster, generation) + u32(master.number)
    return fields + master.sign("duohuo group key 1", fields)


def roster(version=7):
    def node(p): return (u32(p.number) + str8(f"node {p.number}") + u16(p.number % 10) + u8(p.priority) + address(p.ip)
                         + p.session_public + p.signing_public)
    n22 = Party(22, "10.0.2.2", 2, 80)
    fields = (CONSORTIUM + u64(version) + address(AUTHORITY.ip) + AUTHORITY.session_public + AUTHORITY.signing_public
              + items([u32(1) + str8("Bank A") + address(GROUP_IP) + items([node(N11), node(N12), node(N13)]),
                       u32(2) + str8("Bank B") + address("239.77.0.2") + items([node(N21), node(n22)])])
              + items([u32(CLIENT.number) + str8("clearing") + CLIENT.session_public]))
    return fields + OPERATOR.sign(b"duohuo roster 1" + fields)


def transfer(name, source, target, amount, until=1000):
    return seed("transfer", name)[:16] + u32(source) + u32(target) + u64(amount) + u64(until)


def block(height, proposer, transfers): return (u64(height) + seed("block", height - 1) + u32(proposer) + u32(0)
                                                + items32(transfers))


def signer(node, epoch, what): return u32(node.cluster) + u64(epoch) + u32(node.number) + node.sign("duohuo vote 1", what)


def keepalive(node, role, epoch, version, log_end, height, heard=(), in_sync=1, extra=b""):
    body = (u32(node.cluster) + u8(node.priority) + u8(role) + u8(in_sync) + u32(100_000) + u64(epoch) + u64(version)
            + u64(epoch) + u64(log_end) + u64(height) + address(node.ip))
    if heard:
        body += tlv(0x0001, b"".join(u32(n) + u32(s) for n, s in heard))
    return body + extra
