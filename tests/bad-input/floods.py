"""Floods from another process while masters are killed: how long a recovery takes, what each target needs, and that it recovers at all."""

import contextlib
import json
import multiprocessing
import os
import pathlib
import platform
import socket
import statistics
import struct
import time

from wirecraft import Initiation, Party, forged_keepalive, unsealed, with_crc

# Inputs a second from one process, over four targets: what two cores bear besides ten daemons.
FLOODS = {
    "handshake": (10_000, "initiations with a right mac1, from strangers' addresses"),
    "spoofed handshake": (10_000, "the same, from addresses of the roster"),
    "cookie": (10_000, "cookies that nobody asked for"),
    "keepalive": (10_000, "keepalives under the group seal in each mate's name, tag wrong"),
    "TCP": (1_000, "connections, 64 bytes of rubbish, closed"),
    "TCP handshake": (1_000, "connections, a right initiation of a stranger, held open"),
}
ROUNDS = 5
BURST_S = 0.005
# Connections held open at a time by one process.
HELD = 900


def spoofed(source, target, payload):
    """A whole IPv4 packet: the kernel fills in the checksum."""
    udp = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, socket.inet_aton(source[0]), socket.inet_aton(target[0])) + udp


def packets_of(kind, network, targets):
    """Pairs of a packet and where it goes."""
    peers = [network.peers[n] for n in targets]

    def initiations(peer, transport, count=200):
        # Each with a right mac1, so that it costs what it can.
        return [Initiation(Party(9001, os.urandom(32)), peer, network.consortium, transport).packet() for _ in range(count)]

    if kind == "handshake":
        return [(packet, peer.address) for peer in peers for packet in initiations(peer, "datagram")]
    if kind == "spoofed handshake":
        return [(spoofed(other.address, peer.address, packet), (peer.address[0], 0)) for peer in peers
                for other in network.peers.values() if other is not peer and other.address[1] != 1 for packet in initiations(peer, "datagram", 30)]
    if kind == "cookie":
        return [(unsealed(3, os.urandom(24)), peer.address) for peer in peers for _ in range(200)]
    if kind == "keepalive":
        # Of a generation that it holds: it costs a derivation and a tag.
        return [(with_crc(forged_keepalive(mate, n)), peer.address) for peer in peers
                for mate in network.peers if mate and peer.cluster == network.peers[mate].cluster and mate != peer.number for n in range(100)]
    if kind == "TCP":
        return [(os.urandom(64), peer.address) for peer in peers]
    return [(packet, peer.address) for peer in peers for packet in initiations(peer, "stream", 50)]


def sender(kind, rate, packets, sent, stop):
    """So many a second, in small bursts; `sent` counts."""
    held = []

    def connect(packet, address):
        stream = socket.create_connection(address, 1)
        stream.sendall(packet)
        if kind == "TCP":
            stream.close()
            return
        held.append(stream)
        if len(held) > HELD:
            held.pop(0).close()

    raw = kind == "spoofed handshake"
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW if raw else socket.SOCK_DGRAM, socket.IPPROTO_RAW if raw else 0)
    put = connect if kind.startswith("TCP") else sock.sendto
    began, done = time.monotonic(), 0
    while not stop.is_set():
        due = int((time.monotonic() - began) * rate)
        for at in range(done, due):
            try:
                put(*packets[at * 101 % len(packets)])
            except OSError:
                pass
        done = max(done, due)
        sent.value = done
        time.sleep(BURST_S)


class Flood:
    """One that goes on as long as the block."""

    def __init__(self, kind, network, targets):
        rate, _ = FLOODS[kind]
        if kind == "spoofed handshake":
            socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).close()  # refused here, not in the other process
        context = multiprocessing.get_context("fork")
        self.stop, self.sent = context.Event(), context.Value("Q", 0)
        self.process = context.Process(target=sender, args=(kind, rate, packets_of(kind, network, targets), self.sent, self.stop), daemon=True)

    def __enter__(self):
        self.process.start()
        self.began = time.monotonic()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
        self.a_second = self.sent.value / (time.monotonic() - self.began)


def cpu_s(network, number):
    fields = pathlib.Path(f"/proc/{network.processes[number].pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy(network, targets, seconds=2):
    """The share of a core that each target needs."""
    before = [cpu_s(network, n) for n in targets]
    time.sleep(seconds)
    return max((cpu_s(network, n) - b) / seconds for n, b in zip(targets, before))


def recoveries(trial, failover, cluster, rounds, under=""):
    """Seconds from each kill: until another master leads, and until a transfer is committed. An empty list: once there was none."""
    took = []
    for _ in range(rounds):
        took.append(failover(trial, cluster, under))
        if took[-1] is None:
            return []
        # Who has just started claims nothing for its startup_interval of 2 s.
        time.sleep(2.2)
    return took


def run(trial, failover, rounds=ROUNDS, path=None):
    """Quiet rounds, then as many under each flood; a table, and a file of figures if `path`."""
    network, cluster, figures = trial.network, 1, {}
    targets = (0, *(n for n in network.processes if network.peers[n].cluster == cluster))
    for kind in (None, *FLOODS):
        try:
            with Flood(kind, network, targets) if kind else contextlib.nullcontext() as flood:
                time.sleep(1)
                share = busy(network, targets)
                took = recoveries(trial, failover, cluster, rounds, f" under a {kind} flood" if kind else "")
        except PermissionError:
            print(f"{kind} flood: left out, it needs a raw socket")
            continue
        led, committed = ([round(1000 * t[which], 1) for t in took] for which in (0, 1))
        figures[kind or "quiet"] = {
            "what": FLOODS[kind][1] if kind else "no flood", "a_second": round(flood.a_second) if kind else 0, "led_ms": led, "committed_ms": committed,
            "busiest_target_percent_of_a_core": round(100 * share, 1), "peak_memory_mib": round(max(network.peak_kib().values()) / 1024, 1)}
        if kind:
            trial.tally.count("floods", f"recovers under a {kind} flood", 0, None if took else "no new master within 30 s")
            trial.tally.flooded += flood.sent.value
            trial.look(f"flood: {kind}")
    show(figures, rounds)
    if path:
        machine = {"cores": os.cpu_count(), "kernel": platform.release()}
        path.write_text(json.dumps({"machine": machine, "keepalive_interval_ms": 100, "rounds": rounds, "floods": figures}, indent=1) + "\n")


def show(figures, rounds):
    """Each line against the quiet one."""
    quiet = figures["quiet"]
    print(f"a master is killed; {rounds} rounds, median (greatest), against the quiet ones:")
    print(f"{'flood':18} {'a second':>8} {'led ms':>16} {'ratio':>6} {'committed ms':>16} {'ratio':>6} {'core %':>6} {'MiB':>5}")
    for kind, row in figures.items():
        cells = []
        for which in ("led_ms", "committed_ms"):
            if row[which] and quiet[which]:
                median = statistics.median(row[which])
                cells += [f"{median:.0f} ({max(row[which]):.0f})", f"{median / statistics.median(quiet[which]):.2f}"]
            else:
                cells += ["none in time", "-"]
        print(f"{kind:18} {row['a_second']:8} {cells[0]:>16} {cells[1]:>6} {cells[2]:>16} {cells[3]:>6}"
              f" {row['busiest_target_percent_of_a_core']:6} {row['peak_memory_mib']:5}")
