"""Packets and sessions, made by hand: what is given is sent, right or wrong.

Reading is that of tools/vectors/wire.py and the cryptography that of tools/vectors/seal.py, both written from spec/wire.md alone, so that
what these say a daemon must refuse does not come from the daemon. Scapy would do the same (tools/scapy), some fifty times slower.
"""

import os
import pathlib
import socket
import struct
import sys
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/vectors"))

import seal as crypto  # noqa: E402
import wire  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402

HEADER = 40
# A type that nobody knows: what answers it has handled all before it.
BARRIER = 0x7E
TYPES = wire.TYPES
NAMES = {code: name for name, code in TYPES.items()}


def header(kind, length, sealed=False, session=0, sequence=0, sender=0, group=0, magic=b"DUOH", version=1, flags=None, hdr_len=10, suite=1,
           reserved=0):
    flags = int(sealed) if flags is None else flags
    return magic + struct.pack("!BBHIBBHQQII", version, kind, flags, length, hdr_len, suite, reserved, session, sequence, sender, group)


def with_crc(data):
    return data + struct.pack("!I", zlib.crc32(data))


def unsealed(kind, body, length=None, **over):
    return with_crc(header(kind, HEADER + len(body) + 4 if length is None else length, **over) + body)


def sealed(kind, body, keys, signing=None, signature=None, length=None, spoil=False, **over):
    """A sealed packet; under the group seal with the sender's signature. `spoil` turns one bit of the tag."""
    grouped = signing is not None or signature is not None
    whole = HEADER + len(body) + 16 + 4 + (64 if signature is None and grouped else len(signature or b""))
    head = header(kind, whole if length is None else length, sealed=True, **over)
    if grouped:
        body = body + (signature if signature is not None
                       else Ed25519PrivateKey.from_private_bytes(signing).sign(b"duohuo group sign 1" + head + body))
    nonce = bytes(a ^ b for a, b in zip(keys.iv, over.get("sequence", 0).to_bytes(12, "big")))
    text = AESGCM(keys.key).encrypt(nonce, body, head)
    if spoil:
        text = text[:-1] + bytes([text[-1] ^ 1])
    return with_crc(head + text)


def opened(packet, keys):
    """Type and body of a sealed packet of a session."""
    return packet[5], keys.open(packet, {"sequence": int.from_bytes(packet[24:32], "big")})


class Party:
    """Who speaks: number, secrets, address if it has one."""

    def __init__(self, number, secret, address=None, signing=None, cluster=None, group_secret=None):
        self.number, self.secret, self.address = number, secret, address
        self.signing, self.cluster, self.group_secret = signing, cluster, group_secret


class Peer:
    """Who is spoken to."""

    def __init__(self, number, address, key, cluster=None):
        self.number, self.address, self.key, self.cluster = number, address, key, cluster


class Initiation:
    """A HandshakeInit that holds, with fresh keys, and what is needed to go on."""

    def __init__(self, party, peer, consortium, transport, timestamp=None, responder_key=None, ephemeral=None, session=None):
        self.party, self.peer = party, peer
        self.ephemeral = ephemeral or os.urandom(32)
        self.session = int.from_bytes(os.urandom(8), "big") | 1 if session is None else session
        when = time.time_ns() if timestamp is None else timestamp
        self.timestamp = (when // 10**9).to_bytes(8, "big") + (when % 10**9).to_bytes(4, "big")
        self.state, self.noise = crypto.write_message_1(
            crypto.prologue(consortium, transport), party.secret, self.ephemeral, responder_key or peer.key, self.timestamp)

    def packet(self, noise=None, mac1=None, mac2=bytes(16), cookie=None, mac_key=None, extensions=b"", **over):
        body = struct.pack("!Q", self.session) + (self.noise if noise is None else noise)
        kind = over.pop("kind", 1)
        over.setdefault("sender", self.party.number)
        head = header(kind, over.pop("length", HEADER + len(body) + 32 + len(extensions) + 4), **over)
        mac1 = crypto.mac16(crypto.mac1_key(mac_key or self.peer.key), head + body) if mac1 is None else mac1
        if cookie is not None:
            mac2 = crypto.mac16(cookie, head + body + mac1)
        return with_crc(head + body + mac1 + mac2 + extensions)

    def finish(self, response):
        """Session number of the other side, and both seals."""
        fields = wire.decode_body(2, response[HEADER:-4])
        if int(fields["initiator_session"]) != self.session:
            raise wire.Refused("unknown_session")
        crypto.read_message_2(self.state, self.party.secret, self.ephemeral, bytes.fromhex(fields["noise"]))
        sealing, opening = map(crypto.Seal.session, crypto.split(self.state))
        return int(fields["responder_session"]), sealing, opening


class Closed(Exception):
    """The other side closed the stream."""


class Session:
    """What streams and datagrams have in common: packets of a session, in their order unless told otherwise."""

    def seal(self, kind, body, **over):
        over.setdefault("sender", self.party.number)
        over.setdefault("session", self.session)
        if "sequence" not in over:
            over["sequence"] = self.sequence
            self.sequence += 1
        return sealed(kind, body, self.sealing, **over)

    def send(self, kind, body, **over):
        self.raw(self.seal(kind, body, **over))


class Stream(Session):
    """A stream session of a party, which dials."""

    def __init__(self, party, peer, consortium, timeout=5.0, prove=True):
        self.party, self.peer = party, peer
        self.socket = socket.create_connection(peer.address, timeout, source_address=(party.address[0], 0) if party.address else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.sequence = b"", 0
        init = Initiation(party, peer, consortium, "stream")
        self.socket.sendall(init.packet())
        self.session, self.sealing, self.opening = init.finish(self.frame())
        if prove:
            self.send(TYPES["Probe"], bytes(16))

    def frame(self):
        while len(self.buffer) < 12 or len(self.buffer) < int.from_bytes(self.buffer[8:12], "big"):
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionError:
                more = b""
            if not more:
                raise Closed
            self.buffer += more
        length = int.from_bytes(self.buffer[8:12], "big")
        packet, self.buffer = self.buffer[:length], self.buffer[length:]
        return packet

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except ConnectionError:
            raise Closed from None

    def receive(self):
        return opened(self.frame(), self.opening)

    def barrier(self):
        """What came until all that was sent before was handled: an unknown type is answered."""
        came = []
        self.send(BARRIER, b"")
        while True:
            kind, body = self.receive()
            if kind == TYPES["Unsupported"] and body[:1] == bytes([BARRIER]):
                return came
            came.append((kind, body))

    def ends(self, seconds):
        """Whether the other side closes within so long; what came before is thrown away."""
        return closes(self.socket, seconds)

    def close(self):
        self.socket.close()


def closes(sock, seconds):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            if not sock.recv(1 << 16):
                return True
        except TimeoutError:
            return False
        except OSError:
            return True
    return False


class Datagrams(Session):
    """A datagram session of a node with the authority, from the node's own address."""

    def __init__(self, party, peer, consortium, sock):
        self.party, self.peer, self.socket, self.sequence = party, peer, sock, 0
        drain(sock)
        init = Initiation(party, peer, consortium, "datagram")
        sock.sendto(init.packet(), peer.address)
        sock.settimeout(5)
        while True:
            packet = sock.recv(2000)
            if packet[5] == 2:
                break
        self.own = init.session
        self.session, self.sealing, self.opening = init.finish(packet)
        self.send(TYPES["Probe"], bytes(16))

    def raw(self, data):
        self.socket.sendto(data, self.peer.address)


class Group:
    """A member of a cluster that speaks under the group seal, to one other."""

    def __init__(self, party, peer, generation, secret, sock):
        self.party, self.peer, self.socket = party, peer, sock
        self.generation, self.secret = generation, secret
        self.boot = int.from_bytes(os.urandom(8), "big")
        self.sequence = int.from_bytes(os.urandom(3), "big")

    def seal(self, kind, body, generation=None, boot=None, signing=None, signature=None, secret=None, **over):
        generation = self.generation if generation is None else generation
        boot = self.boot if boot is None else boot
        over.setdefault("sender", self.party.number)
        keys = crypto.Seal.group(self.party.cluster, generation, secret or self.secret, over["sender"], boot)
        if "sequence" not in over:
            over["sequence"] = self.sequence
            self.sequence += 1
        if signature is None:
            signing = signing or self.party.signing
        return sealed(kind, body, keys, session=boot, group=generation, signing=signing if signature is None else None, signature=signature, **over)

    def send(self, kind, body, **over):
        self.raw(self.seal(kind, body, **over))

    def raw(self, data):
        self.socket.sendto(data, self.peer.address)


def bound(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind(address)
    return sock


def drain(sock):
    """All datagrams that are there."""
    found = []
    sock.setblocking(False)
    try:
        while True:
            found.append(sock.recv(2000))
    except (BlockingIOError, ConnectionError):
        return found
    finally:
        sock.setblocking(True)


def forged_keepalive(sender, n):
    """A NodeKeepalive under the group seal whose tag does not hold."""
    return header(TYPES["NodeKeepalive"], HEADER + 150 + 4, sealed=True, sender=sender, session=n + 1, sequence=n, group=1) + os.urandom(150)
