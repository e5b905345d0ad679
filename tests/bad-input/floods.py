"""Floods from another process while a master is killed: figures, and that the network recovers at all."""

import multiprocessing
import os
import socket
import statistics
import time

from wirecraft import Initiation, Party, forged_keepalive, unsealed, with_crc

# Inputs a second from one process, over four targets: what two cores bear besides ten daemons. Of handshakes it is ten times what a
# process answers before it asks for a cookie.
FLOODS = {"handshake": 10_000, "cookie": 10_000, "keepalive": 10_000, "TCP": 1_000}
ROUNDS = 5
BURST_S = 0.005


def sender(kind, rate, network, targets, sent, stop):
    """So many a second, in small bursts; `sent` counts."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peers = [network.peers[n] for n in targets]
    if kind == "handshake":
        # Each with a right mac1, so that it costs what it can: a key operation at the other side until the cookie is asked for.
        packets = [(Initiation(Party(9001, os.urandom(32)), peer, network.consortium, "datagram").packet(), peer.address)
                   for peer in peers for _ in range(200)]
    elif kind == "cookie":
        packets = [(unsealed(3, os.urandom(24)), peer.address) for peer in peers for _ in range(200)]
    elif kind == "keepalive":
        # In the name of each of its members, of a generation that it holds: it costs a derivation and a tag.
        packets = [(with_crc(forged_keepalive(mate, n)), peer.address) for peer in peers
                   for mate in network.peers if mate and peer.cluster == network.peers[mate].cluster and mate != peer.number for n in range(100)]
    else:
        packets = [(b"", peer.address) for peer in peers]
    began, done = time.monotonic(), 0
    while not stop.is_set():
        due = int((time.monotonic() - began) * rate) if rate else done + 100
        for at in range(done, due):
            packet, address = packets[at * 101 % len(packets)]
            try:
                if kind == "TCP":
                    with socket.create_connection(address, 1) as stream:
                        stream.sendall(packet or os.urandom(64))
                else:
                    sock.sendto(packet, address)
            except OSError:
                pass
        done = max(done, due)
        sent.value = done
        if rate:
            time.sleep(BURST_S)


def median_recovery(trial, failover, cluster, under=""):
    """None once there was no recovery: then the rest would only wait."""
    took = []
    for _ in range(ROUNDS):
        took.append(failover(trial, cluster, under))
        if took[-1] is None:
            return None
    return statistics.median(took)


def run(trial, failover, floods=FLOODS):
    network, cluster = trial.network, 1
    quiet = median_recovery(trial, failover, cluster)
    figures = []
    for kind, rate in floods.items():
        context = multiprocessing.get_context("fork")
        stop, sent = context.Event(), context.Value("Q", 0)
        flood = context.Process(target=sender, args=(kind, rate, network, (0, 101, 102, 103), sent, stop), daemon=True)
        flood.start()
        began = time.monotonic()
        try:
            time.sleep(1)
            under = median_recovery(trial, failover, cluster, f" under a {kind} flood")
        finally:
            stop.set()
            flood.join(5)
            if flood.is_alive():
                flood.kill()
        seconds = time.monotonic() - began
        trial.tally.count("floods", f"recovers under a {kind} flood", 0, None if under else "no new master within 30 s")
        trial.tally.flooded += sent.value
        figures.append((kind, under, sent.value / seconds))
        trial.look(f"flood: {kind}")
    for kind, under, rate in figures:
        found = f"{under * 1000:.0f} ms, ratio {under / quiet:.2f}" if quiet and under else "none in time"
        print(f"recovery, median of {ROUNDS}: quiet {quiet * 1000 if quiet else -1:.0f} ms, under a {kind} flood of {rate:.0f} a second {found}")
