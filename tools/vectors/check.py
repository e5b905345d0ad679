#!/usr/bin/env python3
"""Reads every file of spec/vectors with a decoder written from spec/wire.md alone, and says whether it agrees.

    check.py [FILE...]                 check all vectors, or these files; prints `N passed, M failed`
    check.py --decode HEX              a whole packet: header, and the body if it is not sealed
    check.py --decode HEX --type TYPE  a body, TYPE as name or number
    check.py --batch                   lines `TYPE HEX` on standard input, one line of JSON each on standard output

Needs the module `cryptography`; `jsonschema` for the check against schema.json, which fails without it.
"""

import argparse
import ipaddress
import json
import re
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import seal  # noqa: E402
import wire  # noqa: E402
from wire import Refused  # noqa: E402

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"


class Disagreement(Exception):
    """What the vectors say and what was found."""


def unhex(text):
    return bytes.fromhex(text)


def equal(what, found, stated):
    if found != stated:
        raise Disagreement(f"{what}: found {found!r}, stated {stated!r}")


# One reader for each kind of file: gives the fields or raises Refused; raises Disagreement for anything else.


def read_packet(file, test):
    kind = file["type"]
    equal("name", wire.PACKETS[kind][0], file["packet"])
    packet, body = unhex(test["hex"]), unhex(test["body"])
    header = wire.decode_header(packet, wire.STREAM_LIMIT)
    equal("type", header["type"], kind)
    if file["seal"] == "none":
        carried = packet[wire.HEADER : -4]
    elif file["seal"] == "session":
        equal("group", header["group"], 0)
        carried = seal.Seal(unhex(file["session"]["key"]) + unhex(file["session"]["iv"])).open(packet, header)
    else:
        carried = open_group(file["group"], file["group"], packet, header)
    equal("body", carried.hex(), body.hex())
    return wire.decode_body(kind, body)


def open_group(group, named, packet, header):
    key = seal.Seal.group(
        group["cluster"], named["generation"], unhex(group["secret"]), named["sender"], int(named["boot"])
    )
    equal("key", key.key.hex(), named["key"])
    equal("iv", key.iv.hex(), named["iv"])
    return seal.open_group(key, packet, header, unhex(group["signing_key"]))


def read_header(_file, test):
    return wire.show_header(wire.decode_header(unhex(test["hex"])))


def read_stream(_file, test):
    return wire.cut_stream(unhex(test["hex"]), test["limit"])


def read_window(_file, test):
    window = seal.Window()
    equal("accepted", [window.take(int(sequence)) for sequence in test["sequences"]], test["accepted"])
    return None


def read_group(file, test):
    packet = unhex(test["hex"])
    header = wire.decode_header(packet)
    named = test.get("group", file["group"])
    body = open_group(file["group"], named, packet, header)
    fields = wire.decode_body(header["type"], body)
    equal("lookup", (header["group"], header["sender"], header["session"]), (named["generation"], named["sender"], int(named["boot"])))
    equal("body", body.hex(), test["body"])
    equal("packet", wire.PACKETS[header["type"]][0], test["packet"])
    return fields


class Handshake:
    """A transcript done once more, from its secrets; every stated value is compared."""

    def __init__(self, stated):
        get = lambda name: unhex(stated[name])
        self.stated = stated
        self.preamble = seal.prologue(get("consortium"), stated["transport"])
        equal("prologue", self.preamble.hex(), stated["prologue"])
        for side in ("initiator", "responder"):
            equal(side, seal.public_key(get(f"{side}_secret")).hex(), stated[f"{side}_public"])
            equal("mac1 key", seal.mac1_key(get(f"{side}_public")).hex(), stated[f"mac1_key_of_{side}"])
        ei, er, si, sr = (
            get(name)
            for name in (
                "initiator_ephemeral_secret",
                "responder_ephemeral_secret",
                "initiator_secret",
                "responder_secret",
            )
        )
        for name, product in (
            ("es", seal.dh(ei, get("responder_public"))),
            ("ss", seal.dh(si, get("responder_public"))),
            ("ee", seal.dh(ei, seal.public_key(er))),
            ("se", seal.dh(si, seal.public_key(er))),
        ):
            equal(name, product.hex(), stated[name])
        self.initiator, self.message_1 = seal.write_message_1(
            self.preamble, si, ei, get("responder_public"), get("timestamp")
        )
        equal("hash after message 1", self.initiator.h.hex(), stated["hash_after_message_1"])
        state, e, static, timestamp = seal.read_message_1(self.preamble, sr, self.message_1)
        equal("timestamp", timestamp.hex(), stated["timestamp"])
        self.message_2 = seal.write_message_2(state, er, e, static)
        equal("hash after message 2", state.h.hex(), stated["hash_after_message_2"])
        equal("chaining key", state.ck.hex(), stated["chaining_key"])
        k1, k2 = seal.split(state)
        equal("k1, k2", [k1.hex(), k2.hex()], [stated["k1"], stated["k2"]])
        # Who states nothing speaks version 1.
        self.ranges = [tuple(get(f"{side}_versions")) if f"{side}_versions" in stated else (1, 1) for side in ("initiator", "responder")]
        version = min(highest for _, highest in self.ranges)
        equal("version", version, stated.get("version", 1))
        sessions = [int(stated["initiator_session"]), int(stated["responder_session"])]
        made = lambda k: seal.Seal.session(k) if version == 1 else seal.Seal.bound(k, sessions, self.ranges)
        self.seals = {"initiator": made(k1), "responder": made(k2)}
        for side, key in self.seals.items():
            equal("seal", [key.key.hex(), key.iv.hex()], [stated[f"{side}_seal_key"], stated[f"{side}_seal_iv"]])

    def read_init(self, packet, fields, enrolled=None, elsewhere=False, last=None, has_cookie=False):
        """Of the responder, after the body: who it is, from where, and when. W-HSK-6 if it is told what it must know."""
        responder = unhex(self.stated["responder_public"])
        if seal.mac16(seal.mac1_key(responder), packet[:156]).hex() != fields["mac1"]:
            raise Refused("bad_mac")
        self.stated_by("initiator", fields)
        secret = unhex(self.stated["responder_secret"])
        _, _, static, timestamp = seal.read_message_1(self.preamble, secret, unhex(fields["noise"]))
        if enrolled is not None and static.hex() not in enrolled:
            raise Refused("unknown_key")
        if elsewhere:
            raise Refused("wrong_address")
        if last is not None and (timestamp == unhex(last) or (timestamp < unhex(last) and not has_cookie)):
            raise Refused("old_handshake")
        equal("static", static.hex(), self.stated["initiator_public"])
        equal("timestamp", timestamp.hex(), self.stated["timestamp"])

    def read_response(self, packet, fields):
        """Of the initiator, after the body."""
        if fields["initiator_session"] != self.stated["initiator_session"]:
            raise Refused("unknown_session")
        initiator = unhex(self.stated["initiator_public"])
        if seal.mac16(seal.mac1_key(initiator), packet[:104]).hex() != fields["mac1"]:
            raise Refused("bad_mac")
        self.stated_by("responder", fields)
        get = lambda name: unhex(self.stated[name])
        state, _ = seal.write_message_1(
            self.preamble,
            get("initiator_secret"),
            get("initiator_ephemeral_secret"),
            get("responder_public"),
            get("timestamp"),
        )
        seal.read_message_2(
            state, get("initiator_secret"), get("initiator_ephemeral_secret"), unhex(fields["noise"])
        )
        equal("message 2", fields["noise"], self.message_2.hex())
        equal("keys", [key.hex() for key in seal.split(state)], [self.stated["k1"], self.stated["k2"]])

    def open(self, packet, header, sender):
        other = {"initiator": "responder", "responder": "initiator"}[sender]
        equal("session", str(header["session"]), self.stated[f"{other}_session"])
        if header["group"] != 0:
            raise Refused("forged")  # W-SEAL-2
        fields = seal.open_body(self.seals[sender], packet, header)
        if wire.TYPES["Probe"] == header["type"] and fields["nonce"] == "0":
            # W-VER-3: the proof.
            if (wire.ranges(fields, 2) or [(1, 1), (1, 1)]) != self.ranges:
                raise Refused("bad_handshake")
        return fields

    def stated_by(self, side, fields):
        """W-VER-1: what a message states is what the transcript says."""
        stated = wire.ranges(fields, 1)
        equal(f"the {side}'s versions", stated, [self.ranges[self.side(side)]] if f"{side}_versions" in self.stated else None)

    @staticmethod
    def side(name):
        return ("initiator", "responder").index(name)


def read_handshake(file, test):
    transcript = Handshake(file["transcripts"][test["transcript"]])
    packet = unhex(test["hex"])
    header = wire.decode_header(packet)
    if header["flags"] & 1:
        return transcript.open(packet, header, test["from"])
    equal("packet", wire.PACKETS[header["type"]][0], test["packet"])
    fields = wire.decode_body(header["type"], packet[wire.HEADER : -4])
    given = file["cookie"]
    if test["packet"] == "HandshakeInit":
        has_cookie = seal.mac16(unhex(given["cookie"]), packet[:172]).hex() == fields["mac2"]
        elsewhere = test.get("source", given["address"]) != given["address"]
        transcript.read_init(packet, fields, file["enrolled"], elsewhere, test.get("last_timestamp"), has_cookie)
        equal("mac2", has_cookie, test["mac2"])
    elif test["packet"] == "HandshakeResponse":
        transcript.read_response(packet, fields)
    else:
        host, port = given[test["for"]].rsplit(":", 1)
        raw = ipaddress.ip_address(host.strip("[]")).packed
        made = seal.cookie(unhex(given["secret"]), raw, int(port), transcript.message_1[:32])
        equal("cookie", made.hex(), fields["cookie"])
    return fields


def read_sealed_id(_file, test):
    claims = seal.open_sealed_id(
        unhex(test["secret"]),
        unhex(test["hex"]),
        test["declared_cluster"],
        unhex(test["consortium"]),
        unhex(test["session_key"]),
        unhex(test["signing_key"]),
    )
    for time in test["times"]:
        holds = int(claims["issued"]) <= int(time["at"]) < int(claims["expires"])
        equal(f"valid at {time['at']}", holds, time["holds"])
    return claims


STATEMENTS = {
    "row": wire.signed_row,
    "result": wire.signed_result,
    "switch": wire.signed_switch,
    "order": wire.signed_order,
    "takeover": wire.signed_takeover,
}


def read_statement(_file, test):
    what, data = test["statement"], unhex(test["hex"])
    if what in STATEMENTS:
        fields = wire.whole(STATEMENTS[what], data)
    else:
        fields = wire.decode_body({"history": 0x1F, "group_key": 0x21}[what], data)
    # The signature is the last field of each.
    must_be_signed(what, data, unhex(test["signing_key"]))
    return fields


def must_be_signed(what, data, key):
    if not seal.verify(key, wire.LABELS[what] + data[:-64], data[-64:]):
        raise Refused("bad_signature")


def read_status(_file, test):
    return wire.whole(wire.status_report, unhex(test["hex"]))


def read_roster(_file, test):
    data = unhex(test["hex"])
    roster = wire.decode_roster(data)
    must_be_signed("roster", data, unhex(test["signing_key"]))
    return roster


class Exchange:
    """A failover, followed packet by packet, each party with its own keys."""

    def __init__(self, file):
        self.file = file
        data = unhex(file["roster"])
        self.roster = wire.decode_roster(data)
        must_be_signed("roster", data, unhex(file["operator_key"]))
        nodes = [node for cluster in self.roster["clusters"] for node in cluster["nodes"]]
        self.parties = {node["id"]: node for node in nodes}
        self.parties[0] = self.roster["authority"]
        for party in file["parties"]:
            entry = self.parties[party["node"]]
            equal("session key", seal.public_key(unhex(party["session_secret"])).hex(), entry["session_key"])
            equal("signing key", party["signing_key"], entry["signing_key"])
        self.sessions = {session["name"]: Handshake(session) for session in file["sessions"]}
        self.windows = {}
        self.claim = self.row = self.ended = self.proven = None

    def read(self, _file, test):
        packet = unhex(test["hex"])
        header = wire.decode_header(packet, wire.STREAM_LIMIT)
        sender = test["from"]
        equal("sender", header["sender"], sender)
        equal("packet", wire.PACKETS[header["type"]][0], test["packet"])
        body = packet[wire.HEADER : -4]
        if test["session"] == "group":
            group = self.file["group"]
            equal("generation", header["group"], group["generation"])
            key = seal.Seal.group(
                group["cluster"], header["group"], unhex(group["secret"]), sender, header["session"]
            )
            body = seal.open_group(key, packet, header, unhex(self.parties[sender]["signing_key"]))
        elif header["flags"] & 1:
            session = self.sessions[test["session"]]
            side = "initiator" if session.stated["initiator"] == sender else "responder"
            session.open(packet, header, side)
            body = session.seals[side].open(packet, header)
        if header["flags"] & 1:
            window = self.windows.setdefault((test["session"], sender), seal.Window())
            equal("fresh", window.take(header["sequence"]), True)
            equal("body", body.hex(), test["body"])
        fields = wire.decode_body(header["type"], body)
        self.follow(test, packet, body, fields)
        return fields

    def follow(self, test, packet, body, fields):
        """What a packet must be, coming after those before it."""
        name = test["packet"]
        if name == "HandshakeInit":
            self.sessions[test["session"]].read_init(packet, fields)
        elif name == "HandshakeResponse":
            self.sessions[test["session"]].read_response(packet, fields)
        elif name == "Update":
            self.follow_claim(test, fields)
        elif name == "Notice":
            row = body[17:]
            must_be_signed("row", row, unhex(self.parties[0]["signing_key"]))
            self.follow_row(fields)
        elif name == "GroupKey":
            must_be_signed("group_key", body, unhex(self.parties[fields["master"]]["signing_key"]))
            equal("master", fields["master"], self.row["master"])
        elif name == "ConsensusError":
            self.follow_report(fields, body)
        elif name == "ForcedSwitch":
            must_be_signed("switch", body, unhex(self.parties[0]["signing_key"]))
            order = fields["order"]
            equal("the order", [order["cluster"], order["epoch"], order["old_master"]],
                  [self.row["cluster"], self.row["epoch"], self.row["master"]])
            equal("proven", order["proven"], self.proven)
        elif name == "Resync":
            equal("epoch", fields["epoch"], self.row["epoch"])
            self.ended = int(fields["start"]) + len(fields["records"])
        elif name == "Ack":
            equal("end", int(fields["end"]), self.ended)
            equal("epochs", [fields["epoch"], fields["synced"]], [self.row["epoch"]] * 2)

    def follow_report(self, fields, body):
        """B-ERR-2 and B-ERR-3: what the evidence is worth."""
        results, size = fields["evidence"], 120
        for at, result in enumerate(results):
            signed = body[18 + at * size : 18 + (at + 1) * size]
            must_be_signed("result", signed, unhex(self.parties[result["node"]]["signing_key"]))
        accused, *others = results
        equal("accused", [accused["node"], accused["epoch"]], [self.row["master"], self.row["epoch"]])
        equal("one other hash", len({other["hash"] for other in others} - {accused["hash"]}), 1)
        equal("one height", {result["height"] for result in results}, {fields["height"]})
        clusters = len(self.roster["clusters"])
        self.proven = len({other["cluster"] for other in others}) >= clusters - (clusters - 1) // 3

    def follow_claim(self, test, fields):
        node = self.parties[test["from"]]
        claims = seal.open_sealed_id(
            unhex(self.file["authority_sealing_secret"]),
            unhex(fields["sealed_id"]),
            fields["cluster"],
            unhex(self.roster["consortium"]),
            unhex(node["session_key"]),
            unhex(node["signing_key"]),
        )
        now = int(self.file["unix_s"])
        equal("claimed node", claims["node"], test["from"])
        equal("registration", claims["registration_epoch"], self.file["registration_epoch"])
        equal("in time", int(claims["issued"]) <= now < int(claims["expires"]), True)
        equal("builds on", [fields["epoch"], fields["version"]], [self.row["epoch"], self.row["version"]])
        equal("in sync", test["from"] in self.row["in_sync"], True)
        self.claim = (test["from"], fields)

    def follow_row(self, fields):
        row = fields["row"]
        if row["cluster"] != 3:
            return
        if fields["outcome"] == "Done":
            claimant, claim = self.claim
            equal("request", fields["request"], claim["request"])
            equal("master", row["master"], claimant)
            equal("epoch", int(row["epoch"]), int(self.row["epoch"]) + 1)
            kept = [n for n in self.row["in_sync"] if n in claim["alive"] and n not in self.row["barred"]]
            equal("set", row["in_sync"], kept)
            equal("barred", row["barred"], self.row["barred"])
        else:
            equal("request", fields["request"], "0")
        self.row = row


READERS = {
    "packet": read_packet,
    "header": read_header,
    "stream": read_stream,
    "window": read_window,
    "handshake": read_handshake,
    "group": read_group,
    "sealed_id": read_sealed_id,
    "statement": read_statement,
    "status": read_status,
    "roster": read_roster,
}


def check_test(reader, file, test):
    """None if the decoder agrees with the vector; else in what not."""
    try:
        fields = reader(file, test)
    except Disagreement as disagreement:
        return str(disagreement)
    except Refused as refused:
        if test["result"] == "valid":
            return f"refused: {refused}"
        return None if refused.reason == test["reason"] else f"refused as {refused}, stated {test['reason']}"
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return f"the vector cannot be read: {error!r}"
    if test["result"] != "valid":
        return f"accepted, stated {test['reason']}"
    return None if fields == test.get("fields") else f"fields: found {fields}, stated {test.get('fields')}"


def check_file(path, validator):
    """(passed, failed) of one file."""
    file = json.loads(path.read_text())
    failures = [f"schema: {error.json_path}: {error.message}" for error in validator.iter_errors(file)]
    if failures:
        tests, reader = [], None
    else:
        tests = file["tests"]
        try:
            reader = Exchange(file).read if file["kind"] == "exchange" else READERS[file["kind"]]
        except (Disagreement, Refused) as error:
            failures.append(f"what all tests share: {error}")
            tests = []
    if not failures and [test["id"] for test in tests] != list(range(1, file["number_of_tests"] + 1)):
        failures.append("the tests are not numbered from 1 to number_of_tests")
    passed = 0 if failures else 1
    for test in tests:
        wrong = check_test(reader, file, test)
        if wrong is None:
            passed += 1
        else:
            failures.append(f"{test['id']} ({test['comment']}): {wrong}")
    for failure in failures:
        print(f"{path.name}: {failure}")
    return passed, len(failures)


PAGE = VECTORS.parent / "wire.md"


def check_page():
    """(passed, failed): section 7 of the page has the packets, fields, encodings and enums of this decoder, in its order."""
    _, *sections = re.split(r"^### 7\.[0-9]+\. ", PAGE.read_text().split("\n## 8.")[0], flags=re.MULTILINE)
    failures, seen = [], set()
    for section in sections:
        title = re.match(r"(\w+) \(0x([0-9A-F]{2})\)", section)
        name, code = title.group(1), int(title.group(2), 16)
        seen.add(code)
        rows = re.findall(r"^\| (\w+) \| ([^|]+) \|", section.split("| field |")[-1], flags=re.MULTILINE)
        enums = [re.findall(r"[0-9]+ = (\w+)", line) for line in re.findall(r"^\w+: 0 = .*$", section, flags=re.MULTILINE)]
        known = wire.PACKETS.get(code, ("", []))
        layout = [(field, kind.page) for field, kind in known[1]]
        names = [kind.names for _, kind in known[1] if hasattr(kind, "names")]
        if known[0] != name or layout != rows or names != enums:
            failures.append(f"{name}: the page says {rows} {enums}, the decoder {layout} {names}")
    if missing := wire.PACKETS.keys() - seen:
        failures.append(f"the page does not have {sorted(missing)}")
    for failure in failures:
        print(f"wire.md: {failure}")
    return len(sections) - len(failures), len(failures)


def check(paths):
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        sys.exit("the Python module jsonschema is missing: apt-get install python3-jsonschema, or run tools/vectors/run")
    schema = json.loads((VECTORS / "schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    paths = paths or sorted(path for path in VECTORS.glob("*.json") if path.name != "schema.json")
    if not paths:
        sys.exit(f"no vectors in {VECTORS}")
    counts = [check_page(), *(check_file(Path(path), validator) for path in paths)]
    passed, failed = (sum(column) for column in zip(*counts))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def decode(data, packet_type=None):
    """What one packet or body is, or why it is none."""
    result = {"result": "valid"}
    try:
        if packet_type is None:
            header = wire.decode_header(data, wire.STREAM_LIMIT)
            result["header"] = wire.show_header(header)
            packet_type = header["type"]
            if header["flags"] & 1:
                result["packet"] = wire.PACKETS[packet_type][0] if packet_type in wire.PACKETS else None
                return {**result, "body": "sealed"}
            data = data[wire.HEADER : -4]
        fields = wire.decode_body(packet_type, data)
        return {**result, "packet": wire.PACKETS[packet_type][0], "fields": fields}
    except Refused as refused:
        return {**result, "result": "invalid", "reason": refused.reason, "field": refused.field}


def type_number(text):
    return wire.TYPES[text] if text in wire.TYPES else int(text, 0)


def main():
    parser = argparse.ArgumentParser(description="Checks spec/vectors with a decoder written from spec/wire.md alone.")
    parser.add_argument("files", nargs="*", help="vectors to check (default: all of spec/vectors)")
    parser.add_argument("--decode", metavar="HEX", help="decode one packet and print it as JSON")
    parser.add_argument("--type", metavar="TYPE", help="HEX is the body of a packet of this type (name or number)")
    parser.add_argument("--batch", action="store_true", help="decode the lines `TYPE HEX` of standard input")
    arguments = parser.parse_args()
    if arguments.batch:
        for line in sys.stdin:
            kind, _, data = line.strip().partition(" ")
            print(json.dumps(decode(unhex(data), type_number(kind)), ensure_ascii=False), flush=True)
        return 0
    if arguments.decode is not None:
        kind = None if arguments.type is None else type_number(arguments.type)
        found = decode(unhex(arguments.decode), kind)
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return 0 if found["result"] == "valid" else 1
    return check(arguments.files)


if __name__ == "__main__":
    sys.exit(main())
