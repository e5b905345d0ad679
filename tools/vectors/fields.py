"""Section 1 of spec/wire.md, read: numbers, bytes, text, lists. Written from that page alone."""

import ipaddress
import zlib


class Refused(Exception):
    """Bytes that are refused; `reason` is the label of the first broken rule, `field` where it was broken."""

    def __init__(self, reason, field=""):
        super().__init__(f"{reason} ({field})" if field else reason)
        self.reason = reason
        self.field = field


# Section 1: fields. `least` is the fewest bytes one takes, `page` how section 7 writes it.


class Reader:
    """Bytes that are taken from the front."""

    def __init__(self, data):
        self.data = bytes(data)
        self.at = 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count, field):
        if count > self.left():
            raise Refused("truncated", field)
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width, field):
        return int.from_bytes(self.take(width, field), "big")


def unsigned(width):
    def read(reader, field):
        value = reader.number(width, field)
        return str(value) if width == 8 else value

    read.least, read.page = width, f"u{8 * width}"
    return read


u8, u16, u32, u64 = unsigned(1), unsigned(2), unsigned(4), unsigned(8)


def fixed(count):
    def read(reader, field):
        return reader.take(count, field).hex()

    read.least, read.page = count, f"{count} bytes"
    return read


def counted(width):
    """bytes16, bytes32"""

    def read(reader, field):
        return reader.take(reader.number(width, field), field).hex()

    read.least, read.page = width, f"bytes{8 * width}"
    return read


bytes16, bytes32 = counted(2), counted(4)
key, hash32, signature = fixed(32), fixed(32), fixed(64)


def boolean(reader, field):
    value = reader.number(1, field)
    if value > 1:
        raise Refused("bad_value", field)
    return value == 1


boolean.least, boolean.page = 1, "u8, 0 or 1"


def str8(reader, field):
    try:
        return reader.take(reader.number(1, field), field).decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("bad_value", field) from None


str8.least, str8.page = 1, "str8"


def enum(*names):
    def read(reader, field):
        value = reader.number(1, field)
        if value >= len(names):
            raise Refused("bad_value", field)
        return names[value]

    read.least, read.page, read.names = 1, "u8 enum", list(names)
    return read


def address(reader, field):
    family = reader.number(1, field)
    if family not in (4, 6):
        raise Refused("bad_value", field)
    raw = reader.take(4 if family == 4 else 16, field)
    port = reader.number(2, field)
    if family == 4:
        return f"{ipaddress.IPv4Address(raw)}:{port}"
    ip = ipaddress.IPv6Address(raw)
    # RFC 5952, section 5: a mapped address is shown with its dotted part.
    text = f"::ffff:{ip.ipv4_mapped}" if ip.ipv4_mapped else str(ip)
    return f"[{text}]:{port}"


address.least, address.page = 7, "address"


def optional(inner):
    def read(reader, field):
        return inner(reader, field) if boolean(reader, field) else None

    read.least, read.page = 1, f"u8 0, or u8 1 and an {inner.page}"
    return read


def record(*fields):
    """Named fields, one after the other."""

    def read(reader, _field):
        return {name: kind(reader, name) for name, kind in fields}

    read.least = sum(kind.least for _, kind in fields)
    read.page = "{" + ", ".join(f"{name} {getattr(kind, 'page', '')}" for name, kind in fields) + "}"
    return read


def listed(width, inner, ascending=None):
    """list, list32. `ascending` gives what must ascend strictly."""

    def read(reader, field):
        count = reader.number(width, field)
        # W-ENC-2: before anything is set aside.
        if count * inner.least > reader.left():
            raise Refused("truncated", field)
        items = [inner(reader, field) for _ in range(count)]
        if ascending:
            require_ascending([ascending(item) for item in items], field)
        return items

    read.least = width
    read.page = f"list{'32' if width == 4 else ''} of {inner.page}"
    if ascending:
        read.page += ", strictly ascending" + (f" by {ascending.key}" if ascending is not same else "")
    return read


def require_ascending(keys, field):
    if any(a >= b for a, b in zip(keys, keys[1:])):
        raise Refused("not_canonical", field)


def same(item):
    return item


def by(name):
    def key_of(item):
        return item[name]

    key_of.key = name
    return key_of
