#!/usr/bin/env python3
"""The Scapy layer against spec/vectors, and against a real capture. The last line is the sum: "N passed, M failed"."""

import ipaddress
import json
import pathlib
import random
import re
import sys

from scapy.all import raw, rdpcap
from scapy.layers.inet import UDP
from scapy.packet import Padding, fuzz

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

import duohuo  # noqa: E402
import session  # noqa: E402
from duohuo import BODIES, HEARD, Address, Duohuo, Extension, Heard, OptionalAddress  # noqa: E402

ROOT = HERE.parent.parent
VECTORS, CAPTURES = ROOT / "spec" / "vectors", ROOT / "tools" / "wireshark" / "captures"
results = []


def report(name, problem=""):
    results.append(not problem)
    if problem:
        print(f"FAILED {name}: {problem}"[:600])


# --- a packet of Scapy as the vectors write it, and back --------------------------------------------------------------------

BYTES = (duohuo.StrFixedLenField, duohuo.StrLenField)


def shown(packet):
    """The fields of a layer, as `fields` of a vector."""
    out = {}
    for field in packet.fields_desc:
        if re.search("_(length|count)$", field.name) or field.name == "extensions":
            continue
        out[field.name.rstrip("_")] = shown_value(field, packet.getfieldval(field.name))
    extensions = list(getattr(packet, "extensions", []))
    if isinstance(packet, duohuo.NodeKeepalive):
        heard = next((e.value for e in extensions if e.type == HEARD), b"")
        out["heard"] = [shown(Heard(heard[at : at + 8])) for at in range(0, len(heard), 8)]
        extensions = [e for e in extensions if e.type != HEARD]
    if extensions:
        out["extensions"] = [{"type": e.type, "value": e.value.hex()} for e in extensions]
    return out


def shown_value(field, value):
    if isinstance(value, OptionalAddress):
        return text_of(value.address) if value.present else None
    if isinstance(value, Address):
        return text_of(value)
    if isinstance(value, duohuo.Part):
        return shown(value)
    if isinstance(value, list):
        return [shown(item) if isinstance(item, duohuo.Part) else item for item in value]
    if isinstance(field, duohuo.Text):
        return value.decode()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(field, duohuo.ByteEnumField):
        return field.i2s[value]
    if isinstance(field, duohuo.LongField):
        return str(value)
    return bool(value) if field.name in ("in_sync", "unfenced", "proven", "known") and not isinstance(value, list) else value


def text_of(address):
    if address.family == 4:
        return f"{address.ip}:{address.port}"
    ip = ipaddress.IPv6Address(address.ip)
    return f"[{'::ffff:' + str(ip.ipv4_mapped) if ip.ipv4_mapped else ip}]:{address.port}"


def made(layer, fields):
    """The inverse: a layer from `fields` alone, nothing of its bytes known."""
    fields, given = dict(fields), {}
    extensions = [Extension(type=e["type"], value=bytes.fromhex(e["value"])) for e in fields.pop("extensions", [])]
    heard = fields.pop("heard", [])
    if heard:
        extensions.insert(0, duohuo.heard(*((h["node"], h["sequence"]) for h in heard)))
    known = {field.name.rstrip("_"): field for field in layer.fields_desc}
    for name, value in fields.items():
        given[known[name].name] = made_value(known[name], value)
    if "extensions" in known:
        given["extensions"] = extensions
    return layer(**given)


def made_value(field, value):
    holder = getattr(field, "cls", None)
    if holder is OptionalAddress:
        return OptionalAddress() if value is None else OptionalAddress(present=1, address=made_address(value))
    if holder is Address:
        return made_address(value)
    if holder and isinstance(value, list):
        return [made(holder, item) for item in value]
    if holder:
        return made(holder, value)
    if isinstance(field, duohuo.Text):
        return value.encode()
    if isinstance(field, BYTES):
        return bytes.fromhex(value)
    if isinstance(field, duohuo.ByteEnumField):
        return field.s2i[value]
    return int(value) if isinstance(value, (str, bool)) else value


def made_address(text):
    ip, _, port = text.rpartition(":")
    return Address(family=6 if "[" in ip else 4, ip=ip.strip("[]"), port=int(port))


def rebuilt(packet):
    """Its bytes, built from its fields: no layer remembers what it was read from."""
    packet = packet.copy()
    packet.clear_cache()
    return raw(packet)


# --- the vectors ------------------------------------------------------------------------------------------------------------


def group_keys(group):
    return session.crypto.Seal.group(group["cluster"], group["generation"], bytes.fromhex(group["secret"]), group["sender"], int(group["boot"]))


def check_packet(name, file, test):
    """Dissect, compare, rebuild; seal again to the same bytes; and craft it from its fields."""
    wire = bytes.fromhex(test["hex"])
    packet = Duohuo(wire)
    report(f"{name} rebuilds", "" if rebuilt(packet) == wire else f"{rebuilt(packet).hex()} instead of {wire.hex()}")
    clear, signature = packet, None
    if file["seal"] != "none":
        grouped = file["seal"] == "group"
        keys = group_keys(file["group"]) if grouped else session.crypto.Seal(bytes.fromhex(file["session"]["key"] + file["session"]["iv"]))
        clear, signature = session.unseal(packet, keys, grouped)
    body = clear.payload
    report(f"{name} body", "" if rebuilt(body).hex() == test["body"] else f"{rebuilt(body).hex()} instead of {test['body']}")
    report(f"{name} fields", "" if shown(body) == test["fields"] else f"{shown(body)} instead of {test['fields']}")
    crafted = Duohuo(sender=packet.sender, session=packet.session, sequence=packet.sequence, group=packet.group) / made(BODIES[packet.type], test["fields"])
    if file["seal"] != "none":
        crafted = session.seal(crafted, keys, signature=signature)
    report(f"{name} crafted", "" if raw(crafted) == wire else f"{raw(crafted).hex()} instead of {wire.hex()}")


def vectors():
    count = 0
    for path in sorted(VECTORS.glob("*.json")):
        file = json.loads(path.read_text())
        for test in file.get("tests", []):
            name = f"{path.name} {test['id']}"
            if test["result"] != "valid" or file["kind"] not in ("packet", "header", "group", "handshake", "exchange"):
                continue
            count += 1
            if file["kind"] == "packet":
                check_packet(name, file, test)
                continue
            wire = bytes.fromhex(test["hex"])
            packet = Duohuo(wire)
            # those of header.json have a good header, and a body of zeros
            most = duohuo.HEADER if file["kind"] == "header" else len(wire)
            report(f"{name} rebuilds", "" if rebuilt(packet)[:most] == wire[:most] else f"{rebuilt(packet).hex()} instead of {wire.hex()}")
            if file["kind"] == "header":
                found = {n: getattr(packet, n) for n in test["fields"]} | {"flags": int(packet.flags)}
                found |= {"session": str(packet.session), "sequence": str(packet.sequence)}
                report(f"{name} fields", "" if found == test["fields"] else f"{found} instead of {test['fields']}")
    report("there are vectors", "" if count > 250 else f"{count}")


def refused_vectors():
    """Whoever looks at broken packets sees something, and what is built from it is what came."""
    for path in sorted(VECTORS.glob("*.json")):
        file = json.loads(path.read_text())
        for test in file.get("tests", []):
            if test["result"] == "invalid" and file["kind"] in ("packet", "header"):
                wire = bytes.fromhex(test["hex"])
                try:
                    Duohuo(wire).show2(dump=True)
                except Exception as error:  # what a reader of packets must never do, whatever it is
                    report(f"{path.name} {test['id']} is shown", repr(error))
                else:
                    report(f"{path.name} {test['id']} is shown")


# --- a real capture, and packets of one's own -------------------------------------------------------------------------------


def capture():
    log = session.KeyLog.read(CAPTURES / "demo-rec-1.keys")
    duohuo.bind(next(p[UDP].sport for p in rdpcap(str(CAPTURES / "demo-rec-1.pcapng")) if UDP in p))
    seen = {}
    for packet in rdpcap(str(CAPTURES / "demo-rec-1.pcapng")):
        if UDP not in packet:
            continue
        layer = packet[UDP].payload
        clear = log.open(layer)
        report(f"a datagram at {packet.time} is whole", "" if clear and rebuilt(layer) == raw(packet[UDP].payload) and Padding not in layer else "not")
        if clear:
            seen[duohuo.TYPES[layer.type]] = clear
    for name in ("NodeKeepalive", "Probe", "Update", "Notice", "MasterKeepalive", "MasterKeepaliveAnswer"):
        report(f"the failover shows a {name}", "" if name in seen else "none")
    notice = seen["Notice"].payload
    report("the notice grants the second epoch", "" if (notice.row.cluster, notice.row.epoch) == (1, 2) else str(shown(notice)))


def crafting():
    keys = session.crypto.Seal(bytes(range(44)))
    sealed = session.seal(Duohuo(session=5, sequence=9, sender=101) / duohuo.StatusQuery(request=1), keys)
    report("lengths and flags follow", "" if (sealed.length, int(sealed.flags), sealed.type) == (68, 1, 0x52) else sealed.show(dump=True))
    report("what is sealed opens", "" if session.unseal(Duohuo(raw(sealed)), keys)[0].payload.request == 1 else "no")
    changed = bytearray(raw(sealed))
    changed[-6] ^= 1
    try:
        session.unseal(Duohuo(bytes(changed)), keys)
        report("a changed tag is refused", "it opens")
    except session.Refused as why:
        report("a changed tag is refused", "" if why.reason == "forged" else why.reason)
    given = raw(Duohuo(length=7, crc32=1, flags=0x8000) / duohuo.Cookie())
    report("what is given wrong is sent wrong", "" if given[8:12] == b"\0\0\0\7" and given[-4:] == b"\0\0\0\1" and given[6] == 0x80 else given.hex())
    random.seed(1)
    for code, layer in BODIES.items():
        built = raw(Duohuo(sender=1) / fuzz(layer(), _inplace=0))
        report(f"fuzz() of {layer.__name__} builds", "" if built[5] == code else built.hex())
    try:
        session.KeyLog("session 12 nonsense")
        report("a bad key log is told", "it is taken")
    except ValueError as why:
        report("a bad key log is told", "" if "line 1" in str(why) else str(why))


if __name__ == "__main__":
    vectors()
    refused_vectors()
    capture()
    crafting()
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))
