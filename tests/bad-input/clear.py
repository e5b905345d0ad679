"""What anybody can send: datagrams and streams in clear, handshakes, and streams that are held open."""

import os
import socket
import struct
import time

import inputs
from cases import ByDatagram, Want, growth, matches, refused, settle
from network import CLIENT, REMOVED
from wirecraft import HEADER, TYPES, Closed, Initiation, Party, Stream, bound, closes, drain, unsealed, with_crc

INIT, RESPONSE, COOKIE = 1, 2, 3
STREAM_DEADLINE_S = 2
LOW_ORDER = [bytes(32), bytes([1]) + bytes(31), bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
             bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]
RESPONDS = Want(frozenset([None]), frozenset([RESPONSE]), frozenset([RESPONSE]))
STALE = Want(frozenset(["old_handshake"]), frozenset([COOKIE]), frozenset([COOKIE]))


def body_of(packet):
    return packet[HEADER:-4]


def common_clear(network, party, peer, transport):
    """Rows that a datagram and the first packet of a stream share: a class, and packets with the label that refuses them."""
    fresh = lambda **more: Initiation(party, network.peers[peer], network.consortium, transport, **more)  # noqa: E731
    other = "stream" if transport == "datagram" else "datagram"
    good = fresh()
    yield "mac1 wrong", [(fresh().packet(mac1=m), "bad_mac") for m in (bytes(16), b"\xff" * 16, os.urandom(16))]
    yield "mac1 under another's key", [(fresh().packet(mac_key=network.peers[n].key), "bad_mac") for n in (0, 102, 201, 301) if n != peer]
    yield "made for another responder", [(fresh(responder_key=network.peers[n].key).packet(), "bad_handshake") for n in (0, 102, 201, 301) if n != peer]
    yield "made for the other transport", [(Initiation(party, network.peers[peer], network.consortium, other).packet(), "bad_handshake")]
    yield "another consortium", [(Initiation(party, network.peers[peer], c, transport).packet(), "bad_handshake") for c in (bytes(16), b"\xff" * 16)]
    yield "ephemeral key of small order", [(good.packet(noise=e + good.noise[32:]), "bad_handshake") for e in LOW_ORDER]
    turned = [good.noise[:at] + bytes([good.noise[at] ^ 1]) + good.noise[at + 1 :] for at in range(0, 108, 4)]
    yield "one bit of the Noise message turned", [(good.packet(noise=n), "bad_handshake") for n in turned]
    yield "Noise message of zeros, of ones", [(good.packet(noise=bytes([b]) * 108), "bad_handshake") for b in (0, 255)]
    yield "a key that is enrolled nowhere", [
        (Initiation(Party(n, os.urandom(32)), network.peers[peer], network.consortium, transport).packet(), "unknown_key") for n in (0, 203, 9001, 77)]
    yield "a removed node's key", [(Initiation(network.party(REMOVED), network.peers[peer], network.consortium, transport).packet(), "unknown_key")]
    yield "unknown critical extension", [(fresh().packet(extensions=e), "unknown_critical_tlv") for e in (b"\x8a\x0a\0\0", b"\xff\xff\0\1x")]
    yield "extensions out of order", [(fresh().packet(extensions=b"\x0a\x0a\0\0\x0a\x0a\0\0"), "tlv_order")]
    yield "bytes after the end", [(fresh().packet(extensions=e), "tlv_truncated") for e in (b"\0", b"\0\0", b"\0\0\0", b"\x0a\x0a\0\1")]
    for kind, body in ((INIT, body_of(good.packet())), (RESPONSE, bytes(80)), (COOKIE, bytes(24))):
        named = {INIT: "HandshakeInit", RESPONSE: "HandshakeResponse", COOKIE: "Cookie"}[kind]
        cut = list(inputs.cut_and_mended(kind, body, sender=party.number))
        yield f"{named}: body truncated at each byte", [(p, inputs.judge_datagram(p)) for p in cut]


# --- datagrams --------------------------------------------------------------------------------------------------------------


def run_datagrams(tally, network, way, party):
    """Unsealed datagrams, and sealed ones of no session, from a node's own address."""
    peer, sock, name = way.peer, way.socket, way.name

    def case(group, pairs):
        pairs = [(p, w if isinstance(w, Want) else refused(w)) for p, w in pairs]
        tally.count(name, group, len(pairs), way.judge(pairs))

    fresh = lambda **more: Initiation(party, network.peers[peer], network.consortium, "datagram", **more)  # noqa: E731
    for group, pairs in common_clear(network, party, peer, "datagram"):
        case(group, pairs)
    bodies = {INIT: body_of(fresh().packet()), RESPONSE: bytes(80), COOKIE: bytes(24)}
    for kind, body in bodies.items():
        faults = {}
        for group, packet in inputs.header_faults(kind, body, sender=party.number):
            faults.setdefault(group, []).append(packet)
        for group, packets in faults.items():
            case(f"{group}", [(p, inputs.judge_datagram(p)) for p in packets])
        whole = unsealed(kind, body, sender=party.number)
        case("datagram truncated at each byte", [(p, inputs.judge_datagram(p)) for p in inputs.cut_each_byte(whole)])
    case("garbage", [(g, inputs.judge_datagram(g)) for g in inputs.garbage(400, 1200)])
    case("oversize", [(unsealed(INIT, bytes(n - HEADER - 4), sender=party.number), "too_long") for n in (1201, 1202, 1472, 2047)])
    case("oversize beyond the buffer", [(unsealed(INIT, bytes(n - HEADER - 4), sender=party.number), "too_long") for n in (2048, 9000, 65507)])
    case("at the bound of a datagram", [(unsealed(INIT, bytes(1200 - HEADER - 4), sender=party.number), ("bad_mac", "tlv_order"))])
    case("an answer that nobody asked for", [(unsealed(k, struct.pack("!Q", n) + bytes(rest), sender=0), "unknown_session")
                                            for k, rest in ((RESPONSE, 72), (COOKIE, 16)) for n in (0, 1, 2**64 - 1)])
    # A handshake that holds, and what can be done with it.
    first = fresh()
    case("a handshake that holds", [(first.packet(), RESPONDS)])
    case("replayed handshake", [(first.packet(), refused("old_handshake")), (first.packet(), refused("old_handshake"))])
    case("delayed handshake", [(fresh(timestamp=time.time_ns() - ns).packet(), STALE) for ns in (10**10, 3600 * 10**9, 10**18)])
    case("session number of an initiation at its bounds", [(fresh(session=n).packet(), RESPONDS) for n in (0, 1, 2**64 - 1)])
    case("unknown uncritical extension", [(fresh().packet(extensions=b"\x0a\x0a\0\1x"), RESPONDS)])
    drain(sock)
    late = fresh(timestamp=time.time_ns() - 60 * 10**9)
    way.put(late.packet())
    sock.settimeout(5)
    cookie = sock.recv(2000)[HEADER + 8 : HEADER + 24]
    later = fresh(timestamp=time.time_ns() - 60 * 10**9)
    case("the cookie of another initiation", [(later.packet(cookie=cookie), STALE)])
    case("a cookie that is none", [(fresh(timestamp=time.time_ns() - 60 * 10**9).packet(mac2=m), STALE) for m in (b"\xff" * 16, os.urandom(16))])
    case("its own cookie", [(late.packet(cookie=cookie), RESPONDS)])
    with bound((party.address[0], 0)) as elsewhere:
        elsewhere.sendto(b"", network.peers[peer].address)
        away = ByDatagram(network, peer, elsewhere, name)
        time.sleep(0.1)
        for group, pairs in (("from another port", [(fresh().packet(), refused("wrong_address"))]),
                             ("the cookie of another address", [(late.packet(cookie=cookie), refused("wrong_address"))]),
                             ("a client's key in a datagram", [(Initiation(network.party(CLIENT), network.peers[peer], network.consortium, "datagram")
                                                                .packet(), refused("wrong_address"))])):
            tally.count(name, group, len(pairs), away.judge(pairs))
    # Sealed, of no session.
    def lost(**over):
        return with_crc(inputs.header(0x20, HEADER + 100 + 20, sealed=True, **over) + bytes(116))
    if peer == 0:
        case("sealed, of no session", [(lost(sender=s, session=n), "unknown_session") for s in (0, 101, 203, 9001, 55555) for n in (0, 1, 2**64 - 1)])
    else:
        own, others = network.peers[peer].cluster, [n for n, p in network.peers.items() if n and p.cluster != network.peers[peer].cluster]
        mates = [n for n, p in network.peers.items() if n and p.cluster == own and n != peer]
        case("sealed, of no session", [(lost(sender=s, session=n), "unknown_session") for s in (0, 9001, 55555) for n in (0, 1, 2**64 - 1)])
        case("a node of another cluster", [(lost(sender=s, session=n), "forbidden") for s in others for n in (0, 1)])
        case("its own number", [(lost(sender=peer, session=n, group=g), "reflected") for n in (0, 1) for g in (0, 1)])
        case("a generation that it does not hold", [(lost(sender=s, session=1, group=g), "unknown_generation") for s in mates for g in (77, 2**31, 2**32 - 1)])
        case("a generation that it holds, and no seal", [(lost(sender=s, session=1, group=1), "forged") for s in mates])


# --- streams ----------------------------------------------------------------------------------------------------------------


def connect(network, party, peer):
    source = (party.address[0], 0) if party and party.address else None
    return socket.create_connection(network.peers[peer].address, 10, source_address=source)


def run_streams(tally, network, party, peer, name):
    """The first bytes of a stream."""

    def at_once(group, pairs):
        """Each on a connection of its own, which must be closed."""
        why = None
        for part in (pairs[at : at + 40] for at in range(0, len(pairs), 40)):
            before = network.discards(peer)
            socks = []
            for packet, _ in part:
                sock = connect(network, party, peer)
                sock.sendall(packet)
                socks.append(sock)
            network.report(peer)
            left = [p for s, (p, _) in zip(socks, part) if not closes(s, 5 if part[0] else 0)]
            grown = growth(before, network.discards(peer))
            for s in socks:
                s.close()
            if left:
                why = why or f"{left[0][:80].hex()}: not closed"
            elif found := matches([refused(w) for _, w in part], grown):
                if len(part) > 1:
                    for single in part:
                        at = at_once_single(single)
                        if at:
                            found = at
                            break
                else:
                    found = f"{part[0][0][:220].hex()}: {found}"
                why = why or f"{found}, counted {grown}"
        tally.count(name, group, len(pairs), why)

    def at_once_single(pair):
        before = network.discards(peer)
        sock = connect(network, party, peer)
        sock.sendall(pair[0])
        closed = closes(sock, 5)
        sock.close()
        found = matches([refused(pair[1])], growth(before, network.discards(peer)))
        return (found or not closed) and f"{pair[0][:220].hex()}: {found or 'not closed'}"

    def waits(group, starts):
        """All at the same time: none is closed at once, all are when the deadline is over, and counted."""
        before = network.discards(peer)
        began = time.monotonic()
        socks = []
        for start in starts:
            sock = connect(network, party, peer)
            sock.sendall(start)
            socks.append(sock)
        took = time.monotonic() - began
        early = sum(closes(s, 0.001) for s in socks[-5:]) if took < 1 else 0
        left = [s for s, k in zip(starts, socks) if not closes(k, max(0.05, began + took + 3 * STREAM_DEADLINE_S - time.monotonic()))]
        why, grown = settle(network, peer, before, [refused("too_slow")] * len(starts))
        for s in socks:
            s.close()
        tally.count(name, group, len(starts), f"{early} closed at once" if early else f"{len(left)} not closed" if left else why and f"{why}, counted {grown}")

    for group, pairs in common_clear(network, party, peer, "stream"):
        at_once(group, pairs)
    fresh = lambda: Initiation(party, network.peers[peer], network.consortium, "stream")  # noqa: E731
    init = fresh().packet()
    bodies = {INIT: body_of(init), RESPONSE: bytes(80), COOKIE: bytes(24)}
    held_open = []
    for kind, body in bodies.items():
        faults = {}
        for group, packet in inputs.header_faults(kind, body, sender=party.number):
            label = inputs.judge_stream_start(packet)
            if label == "waits":
                held_open.append(packet)
            elif label:
                faults.setdefault(group, []).append((packet, label))
            elif packet[6:8] == b"\0\0":
                faults.setdefault(group, []).append((packet, ("bad_mac", "unexpected", "unknown_session")))
        for group, pairs in faults.items():
            at_once(group, pairs)
    waits("length beyond what comes", held_open)
    starts = [s for s in inputs.cut_each_byte(init)]
    waits("truncated at each byte and held open", starts)
    at_once("garbage", [(g, w) for g in inputs.garbage(120, 2000) if (w := inputs.judge_stream_start(g)) not in (None, "waits")])
    at_once("frame length at its bound and beyond", [(inputs.header(INIT, n)[:12], "too_long") for n in (8193, 8 << 20, 2**31, 2**32 - 1)])
    waits("frame length at its bound", [inputs.header(INIT, 8192)[:12], inputs.header(INIT, 8192) + bytes(8000)])
    at_once("a response or a cookie where an initiation must be", [
        (unsealed(RESPONSE, bytes(80)), ("unexpected", "bad_mac", "unknown_session")), (unsealed(COOKIE, bytes(24)), ("unexpected", "bad_mac", "unknown_session"))])
    at_once("sealed, before any handshake", [(with_crc(inputs.header(0x52, 68, sealed=True, session=n, sender=party.number) + bytes(24)), "unknown_session")
                                           for n in (0, 1, 2**64 - 1)])
    waits("nothing sent", [b""] * 50)

    # A captured initiation holds in a stream, and ends there: nobody can prove the keys (W-HSK-8).
    def answered_and_held(count):
        before = network.discards(peer)
        socks, responses = [], 0
        for _ in range(count):
            sock = connect(network, party, peer)
            sock.sendall(init)
            responses += sock.recv(2000)[5:6] == bytes([RESPONSE])
            socks.append(sock)
        left = sum(not closes(s, 3 * STREAM_DEADLINE_S) for s in socks)
        why, grown = settle(network, peer, before, [refused("too_slow")] * count)
        [s.close() for s in socks]
        return why and f"{why}, {grown}" or (f"{responses} of {count} answered" if responses < count else None) or (f"{left} not closed" if left else None)

    tally.count(name, "replayed handshake, keys never proven", 20, answered_and_held(20))

    def wrong_proof(group, label, make):
        before = network.discards(peer)
        session = Stream(party, network.peers[peer], network.consortium, timeout=10, prove=False)
        data = make(session)
        session.raw(data)
        closed = session.ends(5)
        session.close()
        grown = growth(before, network.discards(peer))
        why = matches([refused(label)], grown) if closed else "not closed"
        tally.count(name, group, 1, why and f"{data.hex()}: {why}, counted {grown}")

    probe = TYPES["Probe"]
    wrong_proof("proof forged", "forged", lambda s: s.seal(probe, bytes(16), spoil=True))
    wrong_proof("proof with sequence 1", "out_of_sequence", lambda s: s.seal(probe, bytes(16), sequence=1))
    wrong_proof("proof in another's name", "unknown_session", lambda s: s.seal(probe, bytes(16), sender=102))
    wrong_proof("proof in clear", "not_sealed", lambda s: unsealed(probe, bytes(16), sender=party.number))
    wrong_proof("a second initiation for a proof", ("unexpected", "unknown_session"), lambda s: fresh().packet())

    def slowly(data, gap):
        before = network.discards(peer)
        sock = connect(network, party, peer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(len(data)):
                sock.sendall(data[at : at + 1])
                time.sleep(gap)
            sock.settimeout(3)
            answer = sock.recv(2000)
        except OSError:
            answer = b""
        sock.close()
        return answer, growth(before, network.discards(peer))

    answer, grown = slowly(fresh().packet(), 0.02)
    tally.count(name, "byte by byte, slower than the deadline", 192, None if not answer and grown == {"too_slow": 1} else f"answered {answer.hex()}, counted {grown}")
    answer, grown = slowly(fresh().packet(), 0.001)
    tally.count(name, "byte by byte, in time", 192, None if answer[5:6] == b"\2" and not grown else f"answered {answer.hex()}, counted {grown}")

    # In a session a frame may come as slowly as it likes: it holds nothing but that party's own stream.
    session = Stream(network.party(CLIENT), network.peers[peer], network.consortium, timeout=20)
    frame = session.seal(0x7F, b"")
    for at in range(len(frame)):
        session.raw(frame[at : at + 1])
        time.sleep(0.04)
    why = None
    try:
        while session.receive()[0] != TYPES["Unsupported"]:
            pass
    except (Closed, TimeoutError):
        why = "no answer"
    tally.count(name, "in a session, byte by byte", len(frame), why)
    session.close()

    # Ends of all kinds: nothing is counted, nothing stays.
    before = network.discards(peer)
    for at in (0, 1, 12, 100, 191):
        for reset in (False, True):
            sock = connect(network, party, peer)
            sock.sendall(init[:at])
            if reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    half = [connect(network, party, peer) for _ in range(10)]
    for sock in half:
        sock.sendall(init[:50])
        sock.shutdown(socket.SHUT_WR)
    left = sum(not closes(s, 2 * STREAM_DEADLINE_S) for s in half)
    [s.close() for s in half]
    grown = growth(before, network.discards(peer))
    tally.count(name, "closed, reset or half closed in the middle", 20, f"{left} not closed" if left else
                matches([Want(frozenset([None, "too_slow"]))] * 20, grown))


def run_many(tally, network, peer, name, count):
    """Thousands of connections that say nothing: all end, and an honest client gets in again."""
    began, socks, failed = time.monotonic(), [], 0
    for n in range(count):
        try:
            socks.append(connect(network, None, peer))
        except OSError:
            failed += 1
    opened = time.monotonic() - began
    standing = network.report(peer)["uptime_ms"]
    left = sum(not closes(s, max(0.01, began + opened + 4 * STREAM_DEADLINE_S - time.monotonic())) for s in socks)
    [s.close() for s in socks]
    why = f"{left} of {count} not closed" if left else None
    try:
        session = network.stream(network.party(CLIENT), peer, timeout=10)
        session.send(TYPES["StatusQuery"], bytes(8))
        session.receive()
        session.close()
    except (OSError, Closed) as error:
        why = f"an honest client is not let in afterwards: {error!r}"
    print(f"  {count} connections to {peer} opened in {opened:.1f} s ({failed} refused by the kernel), the report came all the while ({standing} ms up)")
    tally.count(name, f"{count} connections", count, why)


def run_one_too_many(tally, network, peer, name):
    """B-MESH-2: of a client's nine streams the oldest is closed, and no other."""
    party = network.party(CLIENT)
    sessions = [network.stream(party, peer, timeout=10) for _ in range(9)]
    first = sessions[0].ends(5)
    others = [s.ends(0.02) for s in sessions[1:]]
    [s.close() for s in sessions]
    tally.count(name, "nine streams of one client", 9, None if first and not any(others) else f"oldest closed: {first}, others closed: {sum(others)}")
