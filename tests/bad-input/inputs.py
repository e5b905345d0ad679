"""Bad bodies and bad packets, class by class, and what the specification's own reader says of each.

Nothing here knows a daemon. `verdict` is tools/vectors/wire.py: the label of the first broken rule, or the fields.
"""

import hashlib
import json
import struct

from wirecraft import HEADER, ROOT, header, unsealed, wire, with_crc

MOST = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF, 8: 2**64 - 1}


def bases(kind):
    """Bodies of a type that hold: the smallest and the usual one of spec/vectors, without extensions of a known type."""
    [path] = (ROOT / "spec/vectors").glob(f"packet_{kind:02x}_*.json")
    held = [t for t in json.loads(path.read_text())["tests"] if t["result"] == "valid" and "extensions" not in t.get("fields", {})
            and not t.get("fields", {}).get("heard")]
    bodies = sorted({bytes.fromhex(t["body"]) for t in held if len(t["body"]) <= 1200}, key=len)
    return [bodies[0], bodies[len(bodies) // 2]] if len(bodies) > 1 else bodies


class Traced(wire.Reader):
    """Remembers where each primitive field stands."""

    def __init__(self, data):
        super().__init__(data)
        self.spans = []

    def number(self, width, field):
        self.spans.append((field, self.at, width))
        return super().number(width, field)


def spans(kind, body):
    reader = Traced(body)
    for field, read in wire.PACKETS[kind][1]:
        read(reader, field)
    return reader.spans


def verdict(kind, body):
    """(label, None) if the body is refused, (None, fields) if not."""
    try:
        return None, wire.decode_body(kind, body)
    except wire.Refused as why:
        return why.reason, None


# --- classes of bodies ----------------------------------------------------------------------------------------------------


def truncated(kind):
    for body in bases(kind):
        for length in range(len(body)):
            yield body[:length]


def bounds(kind):
    """Each number at 0, 1, its greatest value and beside it; counts and lengths are numbers too."""
    for body in bases(kind):
        for field, at, width in spans(kind, body):
            now = int.from_bytes(body[at : at + width], "big")
            most = MOST[width]
            for value in {0, 1, now + 1 & most, now - 1 & most, most >> 1, (most >> 1) + 1, most - 1, most} - {now}:
                yield body[:at] + value.to_bytes(width, "big") + body[at + width :]


def followed_by(*ends):
    """A body that holds, and something behind it."""
    return lambda kind: (body + end for body in bases(kind) for end in ends)


trailing = followed_by(b"\0", b"\0\0", b"\0\0\0", b"\xff", b"\x0a\x0a\0\1", b"\x0a\x0a\xff\xff", b"\x0a\x0a\0\2\0")
critical = followed_by(b"\x8a\x0a\0\0", b"\xff\xff\0\0", b"\x80\0\0\1\0", b"\x0a\x0a\0\0\x8a\x0b\0\0")
disorder = followed_by(b"\x0a\x0a\0\0\x0a\x0a\0\0", b"\x0a\x0b\0\0\x0a\x0a\0\0", b"\x8a\x0a\0\0\x0a\x0a\0\0")
uncritical = followed_by(b"\x0a\x0a\0\0", b"\x0a\x0a\0\4abcd", b"\x0a\x0a\0\0\x0a\x0b\0\1x", b"\x7f\xff\0\0")


def noise(kind):
    """The same bytes in every run."""
    seed = b"duohuo bad input" + bytes([kind])
    for n in range(24):
        stream = b"".join(hashlib.sha256(seed + bytes([n, k])).digest() for k in range(1 + n % 6))
        yield stream[: 1 + (n * 37) % len(stream)]


def usual(kind):
    """Right in form: wrong sender, wrong way or wrong state is all that is wrong with it."""
    yield from bases(kind)


BODY_CLASSES = {
    "in order, from one who must not or at the wrong time": usual,
    "body truncated at each byte": truncated,
    "each number at its bounds and beyond": bounds,
    "bytes after the end": trailing,
    "unknown critical extension": critical,
    "extensions out of order": disorder,
    "unknown uncritical extension": uncritical,
    "random body": noise,
}


# --- classes of whole packets, unsealed -------------------------------------------------------------------------------------


def header_faults(kind, body, **over):
    """Each field of the header wrong, alone; the CRC holds unless it is what is wrong. Pairs of a name and a packet."""
    whole = HEADER + len(body) + 4
    make = lambda **more: unsealed(kind, body, **{**over, **more})  # noqa: E731
    for value in (b"DUOI", b"\0\0\0\0", b"HTTP", b"HOUD"):
        yield "wrong magic", make(magic=value)
    for value in (0, 2, 255):
        yield "unknown version", make(version=value)
    for value in (0x00, 0x04, 0x0F):
        yield "unknown type", unsealed(value, body, **over)
    for value in (0x0000, 0x80 << 1, 0x8000, 0xFF00):
        if value:
            yield "unknown flag", make(flags=value)
    for value in (0, 43, 44, whole - 1, whole + 1, 1201, 8192, 8 << 20, 2**31, 2**32 - 1):
        if value != whole:
            yield "length is not the length", make(length=value)
    for value in (0, 9, 11, 255):
        yield "header length", make(hdr_len=value)
    for value in (0, 2, 255):
        yield "unknown suite", make(suite=value)
    for value in (1, 0x8000, 0xFFFF):
        yield "reserved field set", make(reserved=value)
    for name in ("session", "sequence", "group"):
        yield "handshake with a session, a sequence or a group", make(**{name: 1})
    yield "sealed type in clear", unsealed(0x52, body, **over)
    yield "sealed type in clear", unsealed(0xFF, body, **over)
    yield "handshake that says it is sealed", make(flags=1)
    right = make()
    for at in range(0, len(right), 7):
        yield "one bit turned, CRC not made anew", right[:at] + bytes([right[at] ^ 0x10]) + right[at + 1 :]
    yield "CRC wrong", right[:-1] + bytes([right[-1] ^ 1])
    yield "CRC wrong", right[:-4] + bytes(4)


def cut_each_byte(packet):
    for length in range(len(packet)):
        yield packet[:length]


def cut_and_mended(kind, body, **over):
    """Cut at each byte of the body, with length and CRC made for what is left."""
    for length in range(len(body)):
        yield unsealed(kind, body[:length], **over)


def garbage(count, most):
    for n in range(count):
        seed = hashlib.sha256(b"garbage" + struct.pack("!I", n)).digest()
        yield (seed * (most // 32 + 1))[: 1 + int.from_bytes(seed[:4], "big") % most]


def judge_datagram(data):
    """The label of steps 1 to 12 and of an unsealed body, or None: what comes then depends on who was asked."""
    try:
        fields = wire.decode_header(data)
        if not fields["flags"] & 1:
            wire.decode_body(fields["type"], data[HEADER:-4])
        return None
    except wire.Refused as why:
        return why.reason


def judge_stream_start(data):
    """Of the first bytes of a stream: a label; "waits" if a whole packet is not there; None if it is one that reads."""
    try:
        # The first alone: what comes behind it is looked at when that one was taken.
        length = int.from_bytes(data[8:12], "big")
        cut = wire.cut_stream(data[: max(length, 12)], 8192)
        if not cut["packets"]:
            return "waits"
        first = data[:length]
        fields = wire.decode_header(first, 8192)
        if not fields["flags"] & 1:
            wire.decode_body(fields["type"], first[HEADER:-4])
        return None
    except wire.Refused as why:
        return why.reason
