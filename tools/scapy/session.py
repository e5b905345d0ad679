"""Sealing and opening Duohuo packets, with the keys of a key log or of a session of one's own, which `Client` begins.

The cryptography is that of tools/vectors/seal.py, written from spec/wire.md; this file needs Python's `cryptography`.
"""

import os
import pathlib
import socket
import sys
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "vectors"))

import seal as crypto  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402
from duohuo import (  # noqa: E402
    CRC, HEADER, RANGE, SEALED, SIGNATURE, TAG, BODIES, Duohuo, HandshakeInit, Probe, Raw, Sealed, versions,
)

Refused = crypto.Refused


def header_of(packet, length):
    """The 40 bytes that are authenticated: of a packet in clear, as they will be when it is sealed."""
    header = packet.copy()
    header.type = packet.type if packet.type is not None else getattr(packet.payload, "code", 0)
    header.flags = int(packet.flags or 0) | SEALED
    header.length = packet.length if packet.length is not None else length
    header.remove_payload()
    return bytes(header)[:HEADER]


def seal(packet, keys, signing=None, signature=None):
    """A packet in clear, sealed. Under the group seal `signing` is the sender's Ed25519 secret, or `signature` what to put instead."""
    body = bytes(packet.payload)
    grouped = signing is not None or signature is not None
    head = header_of(packet, HEADER + len(body) + (SIGNATURE if grouped else 0) + TAG + CRC)
    if grouped:
        if signature is None:
            signature = Ed25519PrivateKey.from_private_bytes(signing).sign(b"duohuo group sign 1" + head + body)
        body += signature
    sealed = AESGCM(keys.key).encrypt(nonce(keys, int.from_bytes(head[24:32], "big")), body, head)
    out = Duohuo(head + sealed + bytes(CRC))
    out.crc32 = packet.crc32
    return out


def nonce(keys, sequence):
    return bytes(a ^ b for a, b in zip(keys.iv, sequence.to_bytes(12, "big")))


def unseal(packet, keys, grouped=False):
    """A sealed packet in clear, and the signature under the group seal. Its header and CRC stay those of the sealed one.

    Raises Refused("forged") if the tag does not hold."""
    raw = bytes(packet)
    body = keys.open(raw, {"sequence": packet.sequence})
    signature = None
    if grouped:
        body, signature = body[:-SIGNATURE], body[-SIGNATURE:]
    clear = packet.copy()
    clear.remove_payload()
    return clear / BODIES.get(packet.type, Raw)(body), signature


class KeyLog:
    """The keys of a key log (tools/wireshark/README.md)."""

    def __init__(self, text):
        self.keys = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split("#")[0].split()
            try:
                if words[:1] == ["session"] and len(words) == 4:
                    name = (int(words[1], 16),)
                elif words[:1] == ["group"] and len(words) == 7:
                    name = (int(words[2]), int(words[3]), int(words[4], 16))
                elif not words:
                    continue
                else:
                    raise ValueError
                material = bytes.fromhex(words[-2]) + bytes.fromhex(words[-1])
                if len(material) != 44:
                    raise ValueError
            except ValueError:
                raise ValueError(
                    f"key log, line {number}: expected `session ID KEY IV` or `group CLUSTER GENERATION SENDER BOOT KEY IV`"
                ) from None
            self.keys[name] = crypto.Seal(material)

    @classmethod
    def read(cls, path):
        return cls(pathlib.Path(path).read_text())

    def open(self, packet):
        """The packet in clear; None if it is sealed and there is no key for it."""
        if not isinstance(packet.payload, Sealed):
            return packet
        grouped = self.keys.get((packet.group, packet.sender, packet.session))
        keys = grouped or self.keys.get((packet.session,))
        return keys and unseal(packet, keys, grouped is not None)[0]


class Client:
    """A stream session of an enrolled party with another: Noise IK as its initiator (section 3)."""

    def __init__(self, address, secret, number, responder_key, consortium, timeout=5, range_=None):
        """range_: the versions it states, (lowest, highest); without one it speaks version 1, as a program that knows no other."""
        self.range, self.version = range_, 1
        self.number, self.responder_key, self.secret = number, responder_key, secret
        self.preamble = crypto.prologue(consortium, "stream")
        self.socket = socket.create_connection(address, timeout)
        self.buffer, self.sent, self.session = b"", 0, None

    def initiation(self):
        """A HandshakeInit that holds, with fresh keys."""
        self.ephemeral, self.own_session = os.urandom(32), int.from_bytes(os.urandom(8), "big") | 1
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        timestamp = seconds.to_bytes(8, "big") + nanoseconds.to_bytes(4, "big")
        self.state, message = crypto.write_message_1(self.preamble, self.secret, self.ephemeral, self.responder_key, timestamp)
        packet = Duohuo(sender=self.number) / HandshakeInit(initiator_session=self.own_session, noise=message)
        packet[HandshakeInit].extensions = [versions(self.range)] if self.range else []
        packet[HandshakeInit].mac1 = mac1(self.responder_key, bytes(packet))
        return packet

    def handshake(self):
        """To the end, and the first sealed packet, which proves the keys."""
        self.socket.sendall(bytes(self.initiation()))
        response = self.receive_raw().payload
        crypto.read_message_2(self.state, self.secret, self.ephemeral, response.noise)
        self.session, keys = response.responder_session, crypto.split(self.state)
        stated = [extension for extension in response.extensions if extension.type == RANGE]
        both = [self.range or (1, 1), tuple(stated[0].value) if stated else (1, 1)]
        self.version = min(highest for _, highest in both)
        sessions = [self.own_session, self.session]
        derive = crypto.Seal.session if self.version == 1 else lambda key: crypto.Seal.bound(key, sessions, both)
        self.sealing, self.opening = map(derive, keys)
        self.send(Probe(extensions=[versions(*both)] if self.range else []))
        return self

    def seal(self, body, **header):
        """The next packet of the session, sealed."""
        packet = Duohuo(**{"version": self.version, "sender": self.number, "session": self.session, "sequence": self.sent} | header) / body
        self.sent += 1
        return seal(packet, self.sealing)

    def send(self, body, **header):
        self.socket.sendall(bytes(self.seal(body, **header)))

    def receive_raw(self):
        while len(self.buffer) < 12 or len(self.buffer) < int.from_bytes(self.buffer[8:12], "big"):
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("the other side closed the stream")
            self.buffer += more
        length = int.from_bytes(self.buffer[8:12], "big")
        packet, self.buffer = self.buffer[:length], self.buffer[length:]
        return Duohuo(packet)

    def receive(self):
        """The next packet, in clear."""
        return unseal(self.receive_raw(), self.opening)[0]

    def close(self):
        self.socket.close()


def mac1(receiver_key, packet):
    """W-HSK-1, over the first 156 bytes of an initiation."""
    return crypto.mac16(crypto.mac1_key(receiver_key), packet[:156])
