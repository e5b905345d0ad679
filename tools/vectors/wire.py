"""The wire protocol of spec/wire.md, read: header, bodies, statements. Written from that page alone.

Whoever wants to know what a field means reads the page; here stand only its name and its encoding. A value is shown as
in spec/vectors: 64-bit numbers as decimal text, bytes as hex, enums by name, addresses as text.
"""

import zlib

from fields import (  # noqa: F401: Refused is this module's, too
    Reader,
    Refused,
    address,
    boolean,
    by,
    bytes16,
    bytes32,
    enum,
    fixed,
    hash32,
    key,
    listed,
    optional,
    record,
    require_ascending,
    same,
    signature,
    str8,
    u8,
    u16,
    u32,
    u64,
)

nodes = listed(2, u32, same)
sealed_ids = listed(2, record(("node", u32), ("sealed_id", bytes16)), by("node"))
records = listed(4, record(("height", u64), ("epoch", u64), ("bytes", bytes32)))
role = enum("Ordinary", "Standby", "Master")

# Section 5: statements. (label, fields before the signature)

ROW = (
    ("cluster", u32),
    ("epoch", u64),
    ("version", u64),
    ("master", u32),
    ("in_sync", nodes),
    ("barred", nodes),
    ("unfenced", boolean),
    ("table_version", u64),
)
RESULT = (("cluster", u32), ("node", u32), ("epoch", u64), ("height", u64), ("hash", hash32))
SWITCH = (("cluster", u32), ("epoch", u64), ("old_master", u32), ("height", u64), ("proven", boolean))
SIGNATURE = (("signature", signature),)

row = record(*ROW)
signed_row = record(*ROW, *SIGNATURE)
signed_result = record(*RESULT, *SIGNATURE)
signed_switch = record(*SWITCH, *SIGNATURE)
signed_row.page = "SignedRow (5.1)"
signed_result.page = "SignedResult (5.2)"
signed_switch.page = "SignedSwitch (5.3)"

order_outcome = enum(
    "Done",
    "BadSignature",
    "WrongConsortium",
    "Malformed",
    "Expired",
    "Replayed",
    "Unknown",
    "Starting",
    "Unregistered",
    "Stale",
    "NotInSync",
    "Barred",
    "NotBarred",
    "IsMaster",
    "Unheard",
    "NobodyElse",
    "Busy",
    "Unchanged",
    "InSync",
    "SetAlive",
    "TooManyForced",
    "Unfenced",
)
order_kind = enum("Unbar", "Switch", "Pause", "Resume", "Force")
decision_kind = enum("Register", "Grant", "Add", "Remove", "Bar", "Order", "Fenced")
decision_reason = enum("None", "Suspicion", "StreamClosed", "Forced", "Vacant", "Restart", "Order")

signed_order = record(
    ("consortium", fixed(16)),
    ("number", u64),
    ("kind", order_kind),
    ("cluster", u32),
    ("node", u32),
    ("epoch", u64),
    ("expires", u64),
    ("who", str8),
    ("why", str8),
    *SIGNATURE,
)
signed_order.page = "SignedOrder (5.6)"
journal_entry = record(
    ("number", u64),
    ("at_unix_us", u64),
    ("kind", decision_kind),
    ("reason", decision_reason),
    ("cluster", u32),
    ("epoch", u64),
    ("version", u64),
    ("old", u32),
    ("new", u32),
    ("node", u32),
    ("order", bytes16),
)
journal_entry.page = "JournalEntry (5.7)"
signed_takeover = record(
    ("number", u64),
    ("before", hash32),
    ("after", u64),
    ("decision", u64),
    ("granting_heard_us", u64),
    ("granting_asked_us", u64),
    ("granting_durable_us", u64),
    ("heard_us", u64),
    ("suspected_us", u64),
    ("claimed_us", u64),
    ("promised_us", u64),
    ("ready_us", u64),
    ("spoke_us", u64),
    ("committed_us", u64),
    *SIGNATURE,
)

LABELS = {
    "row": b"duohuo row 1",
    "result": b"duohuo result 1",
    "switch": b"duohuo switch 1",
    "group_key": b"duohuo group key 1",
    "history": b"duohuo history 1",
    "roster": b"duohuo roster 1",
    "order": b"duohuo order 1",
    "journal": b"duohuo journal 1",
    "takeover": b"duohuo takeover 1",
}

# Section 7: bodies.

PACKETS = {
    0x01: ("HandshakeInit", [("initiator_session", u64), ("noise", fixed(108)), ("mac1", fixed(16)), ("mac2", fixed(16))]),
    0x02: (
        "HandshakeResponse",
        [("initiator_session", u64), ("responder_session", u64), ("noise", fixed(48)), ("mac1", fixed(16))],
    ),
    0x03: ("Cookie", [("initiator_session", u64), ("cookie", fixed(16))]),
    0x10: ("Join", [("request", u64), ("cluster", u32), ("roster_version", u64)]),
    0x11: (
        "JoinAnswer",
        [
            ("request", u64),
            ("verdict", enum("Accepted", "UnknownNode", "WrongCluster", "Starting")),
            ("roster_version", u64),
            ("sealed_id", bytes16),
        ],
    ),
    0x12: ("Register", [("request", u64), ("cluster", u32)]),
    0x13: (
        "Registered",
        [
            ("request", u64),
            ("verdict", enum("Accepted", "AlreadyRegistered", "Refused", "Starting")),
            ("registration_epoch", u32),
            ("sealed_ids", sealed_ids),
        ],
    ),
    0x14: (
        "Update",
        [
            ("request", u64),
            ("cluster", u32),
            ("epoch", u64),
            ("version", u64),
            ("reason", enum("Suspicion", "StreamClosed", "Forced", "Vacant", "Restart")),
            ("alive", nodes),
            ("height", u64),
            ("sealed_id", bytes16),
        ],
    ),
    0x15: (
        "Change",
        [
            ("request", u64),
            ("cluster", u32),
            ("epoch", u64),
            ("version", u64),
            ("kind", enum("Add", "Remove", "Resign")),
            ("node", u32),
        ],
    ),
    0x16: (
        "Notice",
        [
            ("request", u64),
            (
                "outcome",
                enum(
                    "Notice",
                    "Done",
                    "Stale",
                    "NotInSync",
                    "Barred",
                    "IncumbentHeard",
                    "BadSealedId",
                    "HoldDown",
                    "Starting",
                    "NotMaster",
                    "LastMember",
                    "Unregistered",
                    "Paused",
                    "Unfenced",
                ),
            ),
            ("table_version", u64),
            ("row", signed_row),
        ],
    ),
    0x17: (
        "MasterKeepalive",
        [("cluster", u32), ("epoch", u64), ("height", u64), ("challenge", u64), ("table_version", u64)],
    ),
    0x18: ("MasterKeepaliveAnswer", [("challenge", u64), ("epoch", u64), ("table_version", u64)]),
    0x19: (
        "Query",
        [("request", u64), ("scope", enum("Cluster", "Changed", "History")), ("cluster", u32), ("since", u64)],
    ),
    0x1A: ("ConsensusError", [("request", u64), ("height", u64), ("evidence", listed(2, signed_result))]),
    0x1B: ("ForcedSwitch", [("order", signed_switch)]),
    0x1C: ("Probe", [("nonce", u64), ("epoch", u64)]),
    0x1D: ("ProbeAnswer", [("nonce", u64), ("role", role), ("epoch", u64)]),
    0x1E: ("RosterPush", [("roster", bytes32)]),
    0x1F: ("History", [("cluster", u32), ("first_epoch", u64), ("nodes", listed(4, u32)), ("signature", signature)]),
    0x20: (
        "NodeKeepalive",
        [
            ("cluster", u32),
            ("priority", u8),
            ("role", role),
            ("in_sync", boolean),
            ("interval_us", u32),
            ("epoch", u64),
            ("version", u64),
            ("promised", u64),
            ("log_end", u64),
            ("height", u64),
            ("address", address),
        ],
    ),
    0x21: (
        "GroupKey",
        [("cluster", u32), ("generation", u32), ("secret", fixed(32)), ("master", u32), ("signature", signature)],
    ),
    0x30: ("RegistrationSync", [("cluster", u32), ("registration_epoch", u32), ("sealed_ids", sealed_ids)]),
    0x31: ("Resync", [("epoch", u64), ("height", u64), ("start", u64), ("records", records)]),
    0x32: ("Append", [("epoch", u64), ("start", u64), ("released", u64), ("records", records)]),
    0x33: ("Ack", [("epoch", u64), ("end", u64), ("height", u64), ("synced", u64)]),
    0x34: ("BlockPush", [("height", u64), ("block", bytes32)]),
    0x35: ("ChainQuery", [("from", u64), ("max_bytes", u32)]),
    0x36: ("ChainEnd", [("height", u64)]),
    0x3C: ("SnapshotQuery", [("height", u64), ("chunk", u32)]),
    0x3D: ("SnapshotOffer", [("height", u64), ("manifest", bytes32), ("proof", bytes32)]),
    0x3E: ("SnapshotChunk", [("height", u64), ("chunk", u32), ("content", bytes32)]),
    0x3F: ("RangeQuery", [("from", u64), ("to", u64), ("max_bytes", u32)]),
    0x40: ("Consensus", [("cluster", u32), ("epoch", u64), ("message", bytes32)]),
    0x50: ("Submit", [("request", u64), ("transaction", bytes32)]),
    0x51: (
        "SubmitAnswer",
        [
            ("request", u64),
            ("verdict", enum("Committed", "Refused", "TryLater", "NotMaster", "Malformed", "Expired")),
            ("height", u64),
            ("master", optional(address)),
        ],
    ),
    0x52: ("StatusQuery", [("request", u64)]),
    0x53: ("StatusAnswer", [("request", u64), ("report", bytes32)]),
    0x54: ("Watch", [("request", u64), ("kinds", u32)]),
    0x55: (
        "Event",
        [
            ("at_unix_us", u64),
            ("kind", u16),
            ("cluster", u32),
            ("node", u32),
            ("epoch", u64),
            ("height", u64),
            ("round", u32),
            ("detail", u32),
            ("hash", hash32),
            ("signature", signature),
        ],
    ),
    0x56: ("StateQuery", [("request", u64), ("question", bytes32)]),
    0x57: ("StateAnswer", [("request", u64), ("known", boolean), ("height", u64), ("answer", bytes32)]),
    0x58: ("BlockQuery", [("request", u64), ("height", u64)]),
    0x59: ("BlockAnswer", [("request", u64), ("height", u64), ("block", bytes32)]),
    0x5A: ("Subscribe", [("request", u64), ("from", u64), ("count", u32)]),
    0x5F: ("Unsupported", [("packet_type", u8), ("critical_tlv", u16)]),
    0x60: ("Order", [("request", u64), ("order", signed_order)]),
    0x61: (
        "OrderAnswer",
        [
            ("request", u64),
            ("outcome", order_outcome),
            ("number", u64),
            ("table_version", u64),
        ],
    ),
    0x62: ("JournalQuery", [("request", u64), ("from", u64)]),
    0x63: (
        "Journal",
        [
            ("request", u64),
            ("before", hash32),
            ("entries", listed(2, journal_entry)),
            ("head", u64),
            ("head_hash", hash32),
            ("signature", signature),
        ],
    ),
    0x64: ("Fence", [("row", signed_row)]),
    0x65: ("FenceAnswer", [("cluster", u32), ("epoch", u64), ("height", u64)]),
    0x66: ("Fenced", [("request", u64), ("cluster", u32), ("epoch", u64), ("version", u64), ("height", u64)]),
}

TYPES = {name: code for code, (name, _) in PACKETS.items()}
IN_GROUP = {TYPES[name] for name in ("NodeKeepalive", "Probe", "ProbeAnswer")}
HEARD = 0x0001
# The critical extensions, and what of a value holds (7.23).
CRITICAL = {("Resync", 0x8001): lambda value: len(value) == 9 and value[8] <= 1}


def extensions(reader, name):
    """Section 2.2: all that is left. Pairs of type and value."""
    found = []
    while reader.left():
        if reader.left() < 4:
            raise Refused("tlv_truncated")
        kind, length = reader.number(2, "type"), reader.number(2, "length")
        if length > reader.left():
            raise Refused("tlv_truncated")
        if found and kind <= found[-1][0]:
            raise Refused("tlv_order")
        if kind & 0x8000 and (name, kind) not in CRITICAL:
            raise Refused("unknown_critical_tlv")
        found.append((kind, reader.take(length, "value")))
    for kind, value in found:
        if kind & 0x8000 and not CRITICAL[name, kind](value):
            raise Refused("bad_value", "part")
    return found


def heard_list(value):
    """The extension 0x0001 of NodeKeepalive."""
    if not value:
        raise Refused("not_canonical", "heard")
    reader, heard = Reader(value), []
    while reader.left():
        heard.append({"node": reader.number(4, "heard"), "sequence": reader.number(4, "heard")})
    require_ascending([entry["node"] for entry in heard], "heard")
    return heard


def decode_body(packet_type, body):
    """W-RCV-6, and the unknown type before it: the fields of a body."""
    if packet_type not in PACKETS:
        raise Refused("unknown_type")
    name, layout = PACKETS[packet_type]
    reader, fields = Reader(body), {}
    for field, kind in layout:
        fields[field] = kind(reader, field)
        if (name, field) == ("NodeKeepalive", "priority") and fields[field] == 255:
            raise Refused("bad_value", field)
    found = extensions(reader, name)
    if name == "NodeKeepalive":
        fields["heard"] = [entry for kind, value in found if kind == HEARD for entry in heard_list(value)]
        found = [(kind, value) for kind, value in found if kind != HEARD]
    if found:
        fields["extensions"] = [{"type": kind, "value": value.hex()} for kind, value in found]
    return fields


# Section 3.3: versions, in the extension 0x0001 of both messages of the handshake and of the proof.

RANGE = 0x0001


def ranges(fields, count):
    """So many ranges out of a packet's fields; None if there are none, or what is there is no such thing."""
    for extension in fields.get("extensions", []):
        value = bytes.fromhex(extension["value"])
        if extension["type"] == RANGE and len(value) == 2 * count:
            found = [(value[at], value[at + 1]) for at in range(0, len(value), 2)]
            if all(0 < lowest <= highest for lowest, highest in found):
                return found
    return None


# Section 2: the packet.

HEADER = 40
MAGIC = 0x44554F48
VERSIONS = (1, 2)
DATAGRAM_LIMIT = 1200
STREAM_LIMIT = 8 << 20


def decode_header(packet, limit=DATAGRAM_LIMIT):
    """W-HDR-1 to W-HDR-12 over one whole packet."""
    if len(packet) < 44:
        raise Refused("too_short")
    reader = Reader(packet)
    if reader.number(4, "magic") != MAGIC:
        raise Refused("bad_magic")
    version = reader.number(1, "version")
    if version not in VERSIONS:
        raise Refused("bad_version")
    kind, flags, length = reader.number(1, "type"), reader.number(2, "flags"), reader.number(4, "length")
    if length != len(packet):
        raise Refused("bad_length")
    if length > limit:
        raise Refused("too_long")
    if reader.number(1, "hdr_len") != 10:
        raise Refused("bad_header_length")
    if zlib.crc32(packet[:-4]) != int.from_bytes(packet[-4:], "big"):
        raise Refused("bad_crc")
    if flags & 0xFF00:
        raise Refused("unknown_flags")
    if reader.number(1, "suite") != 1:
        raise Refused("bad_suite")
    if reader.number(2, "reserved") != 0:
        raise Refused("reserved_not_zero")
    sealed = bool(flags & 1)
    if kind < 0x10 and sealed:
        raise Refused("sealed")
    if kind >= 0x10 and not sealed:
        raise Refused("not_sealed")
    if sealed and length < 60:
        raise Refused("too_short")
    fields = {"version": version, "type": kind, "flags": flags, "length": length}
    for name, width in (("session", 8), ("sequence", 8), ("sender", 4), ("group", 4)):
        fields[name] = reader.number(width, name)
    if not sealed:
        if version != 1:
            raise Refused("bad_version")
        if kind not in PACKETS:
            raise Refused("unknown_type")
        for name in ("session", "sequence", "group"):
            if fields[name]:
                raise Refused("bad_value", name)
    return fields


def show_header(fields):
    return {**fields, "session": str(fields["session"]), "sequence": str(fields["sequence"])}


def cut_stream(stream, limit):
    """The lengths of the packets in a stream, and how many bytes wait."""
    packets, at = [], 0
    while len(stream) - at >= 12:
        start = stream[at : at + 12]
        if start[:4] != b"DUOH":
            raise Refused("bad_magic")
        if start[4] not in VERSIONS:
            raise Refused("bad_version")
        length = int.from_bytes(start[8:], "big")
        if length < 44:
            raise Refused("bad_length")
        if length > limit:
            raise Refused("too_long")
        if length > len(stream) - at:
            break
        packets.append(length)
        at += length
    return {"packets": packets, "waiting": len(stream) - at}


# What stands alone: statements, report, roster.


def whole(kind, data):
    """One value and nothing after it."""
    reader = Reader(data)
    value = kind(reader, "")
    if reader.left():
        raise Refused("trailing_bytes")
    return value


status_report = record(
    ("role", role),
    ("node", u32),
    ("cluster", u32),
    ("epoch", u64),
    ("version", u64),
    ("master", u32),
    ("in_sync", nodes),
    ("barred", nodes),
    ("height", u64),
    ("state_hash", hash32),
    ("pool", u32),
    (
        "neighbours",
        listed(
            2,
            record(("node", u32), ("alive", boolean), ("role", role), ("priority", u8), ("height", u64), ("age_us", u64)),
        ),
    ),
    ("discards", listed(2, record(("label", str8), ("count", u64)))),
    ("authority_up", boolean),
    ("standby", u32),
    ("halted", boolean),
    ("uptime_ms", u64),
    ("rows", listed(2, row)),
    ("conflicts", u64),
)

roster_fields = record(
    ("consortium", fixed(16)),
    ("version", u64),
    ("authority", record(("address", address), ("session_key", key), ("signing_key", key))),
    (
        "clusters",
        listed(
            2,
            record(
                ("id", u32),
                ("name", str8),
                ("group", address),
                (
                    "nodes",
                    listed(
                        2,
                        record(
                            ("id", u32),
                            ("name", str8),
                            ("room", u16),
                            ("priority", u8),
                            ("address", address),
                            ("session_key", key),
                            ("signing_key", key),
                        ),
                    ),
                ),
            ),
        ),
    ),
    ("clients", listed(2, record(("id", u32), ("name", str8), ("session_key", key)))),
    ("signature", signature),
)


def decode_roster(data):
    """Section 5.5: the encoding, then W-ROS-1 to W-ROS-3."""
    roster = whole(roster_fields, data)
    clusters, clients = roster["clusters"], roster["clients"]

    def must(holds, field):
        if not holds:
            raise Refused("bad_value", field)

    must(1 <= len(clusters) <= 254, "clusters")
    require_ascending([cluster["id"] for cluster in clusters], "clusters")
    require_ascending([client["id"] for client in clients], "clients")
    for cluster in clusters:
        must(cluster["id"], "cluster.id")
        must(cluster["name"], "cluster.name")
        must(not cluster["group"].startswith("["), "cluster.group")
        must(2 <= len(cluster["nodes"]) <= 64, "cluster.nodes")
        require_ascending([node["id"] for node in cluster["nodes"]], "nodes")
        for node in cluster["nodes"]:
            must(node["id"], "node.id")
            must(node["name"], "node.name")
            must(node["priority"] <= 254, "node.priority")
    for client in clients:
        must(client["id"], "client.id")
        must(client["name"], "client.name")
    parties = [node for cluster in clusters for node in cluster["nodes"]] + clients
    ids = [party["id"] for party in parties]
    keys = [roster["authority"]["session_key"]] + [party["session_key"] for party in parties]
    must(len(set(ids)) == len(ids), "id")
    must(len(set(keys)) == len(keys), "session_key")
    return roster
