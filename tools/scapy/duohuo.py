"""Duohuo for Scapy: every packet of spec/wire.md, versions 1 and 2, to look at and to craft. Written from that page; needs only Scapy.

    from duohuo import *
    packet = Duohuo(sender=7) / Cookie(initiator_session=5, cookie=bytes(16))
    bytes(packet)                       length and crc32 are filled in where they are None
    Duohuo(bytes(packet)).show()

What is given is sent, right or wrong: lengths, counts and the CRC are computed only where they are None. A sealed packet shows a
`Sealed` body; session.py opens and seals. Fields have the page's names; `from` of ChainQuery is a word of Python, so it is
ChainQuery(from_=1).
"""

import struct
import zlib

from scapy.fields import (
    ByteEnumField, ByteField, ConditionalField, FieldLenField, FieldListField, FlagsField, IntField, IP6Field, IPField,
    LongField, MultipleTypeField, PacketField, PacketListField, ShortField, StrField, StrFixedLenField, StrLenField, XIntField, XLongField, XShortField,
)
from scapy.layers.inet import TCP, UDP
from scapy.packet import Packet, Raw, bind_layers

HEADER, CRC, TAG, SIGNATURE = 40, 4, 16, 64
MAGIC = 0x44554F48
SEALED = 0x0001
DATAGRAM_MOST, STREAM_MOST = 1200, 8 << 20


class Part(Packet):
    """A struct inside a body: what follows it is not its own."""

    def extract_padding(self, rest):
        return b"", rest


# --- kinds of fields (section 1); each gives a list, since some are more than one of Scapy's ------------------------------


def u8(name): return [ByteField(name, 0)]
def u16(name): return [ShortField(name, 0)]
def u32(name): return [IntField(name, 0)]
def u64(name): return [LongField(name, 0)]
def id64(name): return [XLongField(name, 0)]
def boolean(name): return [ByteField(name, 0)]
def enum(name, values): return [ByteEnumField(name, 0, values)]
def fixed(name, length): return [StrFixedLenField(name, bytes(length), length)]


class Text(StrLenField):
    """UTF-8; given as bytes or as text."""


def counted(name, form, kind=StrLenField):
    """bytes16, bytes32, str8."""
    length = name + "_length"
    return [FieldLenField(length, None, length_of=name, fmt=form), kind(name, b"", length_from=lambda p: p.getfieldval(length))]


def bytes16(name): return counted(name, "!H")
def bytes32(name): return counted(name, "!I")
def str8(name): return counted(name, "!B", Text)


def listed(name, item, form="!H"):
    """list, list32: of u32, or of a Part."""
    count = name + "_count"
    counter = FieldLenField(count, None, count_of=name, fmt=form)
    if item == "u32":
        return [counter, FieldListField(name, [], IntField("", 0), count_from=lambda p: p.getfieldval(count))]
    return [counter, PacketListField(name, [], item, count_from=lambda p: p.getfieldval(count))]


def nodes(name): return listed(name, "u32")
def struct_of(name, part): return [PacketField(name, part(), part)]


def layout(*fields):
    return [field for group in fields for field in group]


def part(name, *fields):
    return type(name, (Part,), {"name": name, "fields_desc": layout(*fields)})


class Address(Part):
    """u8 family, 4 or 16 bytes, u16 port."""

    name = "Address"
    fields_desc = [
        ByteField("family", 4),
        MultipleTypeField([(IP6Field("ip", "::"), lambda p: p.family == 6)], IPField("ip", "0.0.0.0")),
        ShortField("port", 0),
    ]


class OptionalAddress(Part):
    """u8 0, or u8 1 and an address."""

    name = "OptionalAddress"
    fields_desc = [ByteField("present", 0), ConditionalField(PacketField("address", Address(), Address), lambda p: p.present)]


# --- extensions (section 2.2) ---------------------------------------------------------------------------------------------


class Extension(Part):
    """C, type, length, value."""

    name = "Extension"
    fields_desc = [
        XShortField("type", 0), FieldLenField("length", None, length_of="value", fmt="!H"),
        StrLenField("value", b"", length_from=lambda p: p.length),
    ]


Heard = part("Heard", u32("node"), u32("sequence"))
HEARD = 0x0001


def heard(*pairs):
    """The extension of NodeKeepalive that says whom the sender hears: pairs of node and sequence."""
    return Extension(type=HEARD, value=b"".join(struct.pack("!II", *pair) for pair in pairs))


LEASE = 0x0001


def lease(nonce, span):
    """The extension of Append that asks for so many microseconds; 0 gives back what was acknowledged."""
    return Extension(type=LEASE, value=struct.pack("!QI", nonce, span))


def lease_given(nonce, in_step, position):
    """The extension of Ack that acknowledges it: whether the sender's copy is in step, and how far it is."""
    return Extension(type=LEASE, value=struct.pack("!QBQ", nonce, in_step, position))


PART = 0x8001
PARTS = 0x0002


def part_of(first, is_followed):
    """The extension of Resync that makes it one part of a log that begins at `first`."""
    return Extension(type=PART, value=struct.pack("!QB", first, is_followed))


def parts_held(first, next_):
    """The extension of Ack that asks for the next part of the log that begins at `first`: those up to `next_` are held."""
    return Extension(type=PARTS, value=struct.pack("!QQ", first, next_))


RANGE = 0x0001


def versions(*ranges):
    """The extension of HandshakeInit and HandshakeResponse that states one range, (lowest, highest), and of the proof, two."""
    return Extension(type=RANGE, value=b"".join(map(bytes, ranges)))


DISK = 0x0001
PAUSES = 0x0002
SPOKEN = 0x0003


def spoken(lowest, highest, *sessions):
    """The extension of StatusAnswer that tells what the sender speaks, and its sessions: pairs of party and version."""
    return Extension(type=SPOKEN, value=bytes([lowest, highest]) + b"".join(struct.pack("!IB", *pair) for pair in sessions))


def disk(last, worst):
    """The extension of StatusAnswer that tells how many microseconds writes took until they were durable."""
    return Extension(type=DISK, value=struct.pack("!II", last, worst))


def pauses(*clusters):
    """The extension of StatusAnswer that tells where automatic switches are paused; 0 is everywhere."""
    return Extension(type=PAUSES, value=b"".join(struct.pack("!I", cluster) for cluster in clusters))


REHEARSED = 0x0004
REHEARSAL = 0x0001
REHEARSAL_KEPT = 0x0003


def rehearse():
    """The extension of StatusQuery that asks for a rehearsal of a takeover."""
    return Extension(type=REHEARSAL, value=b"")


def rehearsal(nonce):
    """The extension of Update and Resync of epoch 0 that says which rehearsal they belong to."""
    return Extension(type=REHEARSAL, value=struct.pack("!Q", nonce))


def rehearsal_kept(nonce, durable):
    """The extension of Ack of epoch 0 that answers it: how many microseconds the sender's write took."""
    return Extension(type=REHEARSAL_KEPT, value=struct.pack("!QI", nonce, durable))


def rehearsed(end, outcome, *spans_and_members):
    """The extension of StatusAnswer that tells what a rehearsal came to: five spans, two counts, then (node, acknowledged, durable) each."""
    spans, members = spans_and_members[:7], spans_and_members[7:]
    value = struct.pack("!BB7IH", end, outcome, *spans, len(members)) + b"".join(struct.pack("!3I", *member) for member in members)
    return Extension(type=REHEARSED, value=value)


TAKEOVER = 0x0001
UNMEASURED = 2**64 - 1


def takeover(
    heard=UNMEASURED,
    suspected=UNMEASURED,
    claimed=UNMEASURED,
    promised=UNMEASURED,
    ready=UNMEASURED,
    spoke=UNMEASURED,
    committed=UNMEASURED,
):
    """The extension of MasterKeepalive that tells how its sender came to act: microseconds before, then after, its grant came."""
    return Extension(type=TAKEOVER, value=struct.pack("!7Q", heard, suspected, claimed, promised, ready, spoke, committed))


def takeovers(*signed):
    """The extension of Journal that holds what the authority kept of takeovers: SignedTakeover (5.8), 200 bytes each."""
    return Extension(type=TAKEOVER, value=b"".join(signed))


# --- statements (section 5) -----------------------------------------------------------------------------------------------

SIGNED = fixed("signature", SIGNATURE)
SignedRow = part("SignedRow", u32("cluster"), u64("epoch"), u64("version"), u32("master"), nodes("in_sync"), nodes("barred"),
                 boolean("unfenced"), u64("table_version"), SIGNED)
SignedResult = part("SignedResult", u32("cluster"), u32("node"), u64("epoch"), u64("height"), fixed("hash", 32), SIGNED)
SignedSwitch = part("SignedSwitch", u32("cluster"), u64("epoch"), u32("old_master"), u64("height"), boolean("proven"), SIGNED)
NodeSealedId = part("NodeSealedId", u32("node"), bytes16("sealed_id"))
Record = part("Record", u64("height"), u64("epoch"), bytes32("bytes"))


# --- bodies (section 7) ---------------------------------------------------------------------------------------------------


class Body(Packet):
    """The fixed part and the extensions of a packet."""

    code = None


BODIES = {}


def body(code, name, *fields):
    extensions = PacketListField("extensions", [], Extension)
    made = type(name, (Body,), {"name": name, "code": code, "fields_desc": [*layout(*fields), extensions]})
    BODIES[code] = made
    return made


ROLE = ["Ordinary", "Standby", "Master"]
OUTCOME = ["Notice", "Done", "Stale", "NotInSync", "Barred", "IncumbentHeard", "BadSealedId", "HoldDown", "Starting", "NotMaster",
           "LastMember", "Unregistered", "Paused", "Unfenced"]
ORDER_KIND = ["Unbar", "Switch", "Pause", "Resume", "Force"]
ORDER_OUTCOME = ["Done", "BadSignature", "WrongConsortium", "Malformed", "Expired", "Replayed", "Unknown", "Starting",
                 "Unregistered", "Stale", "NotInSync", "Barred", "NotBarred", "IsMaster", "Unheard", "NobodyElse",
                 "Busy", "Unchanged", "InSync", "SetAlive", "TooManyForced", "Unfenced"]
DECISION_KIND = ["Register", "Grant", "Add", "Remove", "Bar", "Order", "Fenced"]
DECISION_REASON = ["None", "Suspicion", "StreamClosed", "Forced", "Vacant", "Restart", "Order"]

SignedOrder = part("SignedOrder", fixed("consortium", 16), u64("number"), enum("kind", ORDER_KIND), u32("cluster"), u32("node"), u64("epoch"),
                   u64("expires"), str8("who"), str8("why"), SIGNED)
JournalEntry = part("JournalEntry", u64("number"), u64("at_unix_us"), enum("kind", DECISION_KIND), enum("reason", DECISION_REASON),
                    u32("cluster"), u64("epoch"), u64("version"), u32("old"), u32("new"), u32("node"), bytes16("order"))

HandshakeInit = body(0x01, "HandshakeInit", id64("initiator_session"), fixed("noise", 108), fixed("mac1", 16), fixed("mac2", 16))
HandshakeResponse = body(0x02, "HandshakeResponse", id64("initiator_session"), id64("responder_session"), fixed("noise", 48), fixed("mac1", 16))
Cookie = body(0x03, "Cookie", id64("initiator_session"), fixed("cookie", 16))
Join = body(0x10, "Join", u64("request"), u32("cluster"), u64("roster_version"))
JoinAnswer = body(0x11, "JoinAnswer", u64("request"), enum("verdict", ["Accepted", "UnknownNode", "WrongCluster", "Starting"]),
                  u64("roster_version"), bytes16("sealed_id"))
Register = body(0x12, "Register", u64("request"), u32("cluster"))
Registered = body(0x13, "Registered", u64("request"), enum("verdict", ["Accepted", "AlreadyRegistered", "Refused", "Starting"]),
                  u32("registration_epoch"), listed("sealed_ids", NodeSealedId))
Update = body(0x14, "Update", u64("request"), u32("cluster"), u64("epoch"), u64("version"),
              enum("reason", ["Suspicion", "StreamClosed", "Forced", "Vacant", "Restart"]), nodes("alive"), u64("height"), bytes16("sealed_id"))
Change = body(0x15, "Change", u64("request"), u32("cluster"), u64("epoch"), u64("version"), enum("kind", ["Add", "Remove", "Resign"]), u32("node"))
Notice = body(0x16, "Notice", u64("request"), enum("outcome", OUTCOME), u64("table_version"), struct_of("row", SignedRow))
MasterKeepalive = body(0x17, "MasterKeepalive", u32("cluster"), u64("epoch"), u64("height"), id64("challenge"), u64("table_version"))
MasterKeepaliveAnswer = body(0x18, "MasterKeepaliveAnswer", id64("challenge"), u64("epoch"), u64("table_version"))
Query = body(0x19, "Query", u64("request"), enum("scope", ["Cluster", "Changed", "History"]), u32("cluster"), u64("since"))
ConsensusError = body(0x1A, "ConsensusError", u64("request"), u64("height"), listed("evidence", SignedResult))
ForcedSwitch = body(0x1B, "ForcedSwitch", struct_of("order", SignedSwitch))
Probe = body(0x1C, "Probe", id64("nonce"), u64("epoch"))
ProbeAnswer = body(0x1D, "ProbeAnswer", id64("nonce"), enum("role", ROLE), u64("epoch"))
RosterPush = body(0x1E, "RosterPush", bytes32("roster"))
History = body(0x1F, "History", u32("cluster"), u64("first_epoch"), listed("nodes", "u32", "!I"), SIGNED)
NodeKeepalive = body(0x20, "NodeKeepalive", u32("cluster"), u8("priority"), enum("role", ROLE), boolean("in_sync"), u32("interval_us"),
                     u64("epoch"), u64("version"), u64("promised"), u64("log_end"), u64("height"), struct_of("address", Address))
GroupKey = body(0x21, "GroupKey", u32("cluster"), u32("generation"), fixed("secret", 32), u32("master"), SIGNED)
RegistrationSync = body(0x30, "RegistrationSync", u32("cluster"), u32("registration_epoch"), listed("sealed_ids", NodeSealedId))
Resync = body(0x31, "Resync", u64("epoch"), u64("height"), u64("start"), listed("records", Record, "!I"))
Append = body(0x32, "Append", u64("epoch"), u64("start"), u64("released"), listed("records", Record, "!I"))
Ack = body(0x33, "Ack", u64("epoch"), u64("end"), u64("height"), u64("synced"))
BlockPush = body(0x34, "BlockPush", u64("height"), bytes32("block"))
ChainQuery = body(0x35, "ChainQuery", u64("from_"), u32("max_bytes"))
ChainEnd = body(0x36, "ChainEnd", u64("height"))
SnapshotQuery = body(0x3C, "SnapshotQuery", u64("height"), u32("chunk"))
SnapshotOffer = body(0x3D, "SnapshotOffer", u64("height"), bytes32("manifest"), bytes32("proof"))
SnapshotChunk = body(0x3E, "SnapshotChunk", u64("height"), u32("chunk"), bytes32("content"))
RangeQuery = body(0x3F, "RangeQuery", u64("from_"), u64("to"), u32("max_bytes"))
Consensus = body(0x40, "Consensus", u32("cluster"), u64("epoch"), bytes32("message"))
Submit = body(0x50, "Submit", u64("request"), bytes32("transaction"))
SubmitAnswer = body(0x51, "SubmitAnswer", u64("request"),
                    enum("verdict", ["Committed", "Refused", "TryLater", "NotMaster", "Malformed", "Expired"]), u64("height"),
                    struct_of("master", OptionalAddress))
StatusQuery = body(0x52, "StatusQuery", u64("request"))
StatusAnswer = body(0x53, "StatusAnswer", u64("request"), bytes32("report"))
Watch = body(0x54, "Watch", u64("request"), u32("kinds"))
Event = body(0x55, "Event", u64("at_unix_us"), u16("kind"), u32("cluster"), u32("node"), u64("epoch"), u64("height"), u32("round"),
             u32("detail"), fixed("hash", 32), SIGNED)
StateQuery = body(0x56, "StateQuery", u64("request"), bytes32("question"))
StateAnswer = body(0x57, "StateAnswer", u64("request"), boolean("known"), u64("height"), bytes32("answer"))
BlockQuery = body(0x58, "BlockQuery", u64("request"), u64("height"))
BlockAnswer = body(0x59, "BlockAnswer", u64("request"), u64("height"), bytes32("block"))
Subscribe = body(0x5A, "Subscribe", u64("request"), u64("from_"), u32("count"))
Unsupported = body(0x5F, "Unsupported", u8("packet_type"), u16("critical_tlv"))
Order = body(0x60, "Order", u64("request"), struct_of("order", SignedOrder))
OrderAnswer = body(0x61, "OrderAnswer", u64("request"), enum("outcome", ORDER_OUTCOME), u64("number"), u64("table_version"))
JournalQuery = body(0x62, "JournalQuery", u64("request"), u64("from_"))
Journal = body(0x63, "Journal", u64("request"), fixed("before", 32), listed("entries", JournalEntry), u64("head"), fixed("head_hash", 32), SIGNED)
Fence = body(0x64, "Fence", struct_of("row", SignedRow))
FenceAnswer = body(0x65, "FenceAnswer", u32("cluster"), u64("epoch"), u64("height"))
Fenced = body(0x66, "Fenced", u64("request"), u32("cluster"), u64("epoch"), u64("version"), u64("height"))

TYPES = {code: made.__name__ for code, made in BODIES.items()}


class Sealed(Packet):
    """A body that is not opened; the last 16 bytes are the tag."""

    name = "Sealed"
    fields_desc = [StrField("ciphertext", b"")]


# --- the packet (section 2) -----------------------------------------------------------------------------------------------


class Duohuo(Packet):
    """The header, and the CRC, which stands last on the wire."""

    name = "Duohuo"
    fields_desc = [
        XIntField("magic", MAGIC), ByteField("version", 1), ByteEnumField("type", None, TYPES),
        FlagsField("flags", None, 16, ["sealed", *(f"bit{n}" for n in range(1, 16))]),
        IntField("length", None), ByteField("hdr_len", 10), ByteField("suite", 1), XShortField("reserved", 0),
        XLongField("session", 0), LongField("sequence", 0), IntField("sender", 0), IntField("group", 0), XIntField("crc32", None),
    ]

    @classmethod
    def dispatch_hook(cls, _pkt=b"", *arguments, **fields):
        # Less than a header and a CRC is no packet.
        return Raw if 0 < len(_pkt or b"") < HEADER + CRC else cls

    def pre_dissect(self, data):
        end = self.end(data)
        return data[:HEADER] + data[end - CRC : end] + data[HEADER : end - CRC] + data[end:] if end else data

    @staticmethod
    def end(data):
        """Where the first packet in some bytes ends; 0 if they are none."""
        if len(data) < HEADER + CRC:
            return 0
        length = int.from_bytes(data[8:12], "big")
        return length if HEADER + CRC <= length <= len(data) else len(data)

    def post_dissect(self, rest):
        # The CRC was moved: the cache is not what came.
        self.raw_packet_cache = None
        return rest

    def extract_padding(self, rest):
        length = max(self.length - HEADER - CRC, 0)
        return (rest[:length], rest[length:]) if self.length >= HEADER + CRC else (rest, b"")

    def guess_payload_class(self, payload):
        return Sealed if int(self.flags) & SEALED else BODIES.get(self.type, Raw)

    def self_build(self):
        # What is None follows from the body.
        kind, flags = self.type, self.flags
        if kind is None:
            self.fields["type"] = getattr(self.payload, "code", None) or 0
        if flags is None:
            self.fields["flags"] = SEALED if isinstance(self.payload, Sealed) else 0
        built = super().self_build()
        for name, value in (("type", kind), ("flags", flags)):
            if value is None:
                del self.fields[name]
        return built

    def post_build(self, header, payload):
        header, crc = header[:HEADER], header[HEADER:]
        if self.length is None:
            header = header[:8] + struct.pack("!I", len(header) + len(payload) + CRC) + header[12:]
        if self.crc32 is None:
            crc = struct.pack("!I", zlib.crc32(header + payload))
        return header + payload + crc

    @classmethod
    def tcp_reassemble(cls, data, metadata, session):
        """For TCPSession: a packet once all of it is there."""
        if len(data) < 12 or len(data) < int.from_bytes(data[8:12], "big"):
            return None
        return cls(data)

    def mysummary(self):
        return self.sprintf("Duohuo %Duohuo.type% from %Duohuo.sender%")


def bind(port):
    """Let Scapy see Duohuo in datagrams and streams of a port."""
    for layer in (UDP, TCP):
        bind_layers(layer, Duohuo, sport=port)
        bind_layers(layer, Duohuo, dport=port)
