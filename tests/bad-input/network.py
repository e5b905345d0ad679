"""A whole network of the shipped binary on loopback, and a look at it that no case shares.

Four clusters. Nodes 203 and 403 are enrolled and never started: who attacks from within has their keys and addresses. Node 303 was taken
out of the roster before the start: a removed node.
"""

import json
import os
import pathlib
import socket
import struct
import subprocess
import time
import tomllib

from wirecraft import TYPES, Party, Peer, Stream, wire

STARTED = (101, 102, 103, 201, 202, 301, 302, 401, 402)
INSIDER, OTHER_INSIDER, REMOVED = 203, 403, 303
CLIENT, OBSERVER = 9001, 9003


class Network:
    def __init__(self, program, folder):
        self.program, self.folder = str(program), pathlib.Path(folder)
        self.net = self.folder / "net"
        self.port = free_port()
        self.processes, self.monitors, self.launched = {}, {}, {}
        self.run("keygen", "network", "--dir", self.net, "--port", self.port, "--clusters", 4, "--nodes", 3, "--keepalive-interval-ms", 100)
        before = tomllib.loads((self.net / "roster.toml").read_text())
        # Its address is gone from the roster once it is out.
        self.removed_address = next(address(n["address"]) for c in before["cluster"] for n in c["node"] if n["id"] == REMOVED)
        self.run("roster", "remove", "--dir", self.net, "--node", "cluster 33")
        roster = tomllib.loads((self.net / "roster.toml").read_text())
        self.consortium, self.roster_version = bytes.fromhex(roster["consortium"]), roster["version"]
        entry = roster["authority"]
        self.peers = {0: Peer(0, address(entry["address"]), bytes.fromhex(entry["session_key"]))}
        self.groups = {cluster["id"]: address(cluster["group"]) for cluster in roster["cluster"]}
        for cluster in roster["cluster"]:
            for node in cluster["node"]:
                self.peers[node["id"]] = Peer(node["id"], address(node["address"]), bytes.fromhex(node["session_key"]), cluster["id"])
        assert all(peer.address[0].startswith("127.") for peer in self.peers.values()), "loopback only"

    def level(self, number, level):
        """Of its log, from its next start on."""
        config = self.net / f"node-{number}/node.toml"
        config.write_text(config.read_text().replace('level = "info" ', f'level = "{level}"'))

    def run(self, *words, timeout=60):
        return subprocess.run([self.program, *map(str, words)], check=True, capture_output=True, text=True, timeout=timeout).stdout

    def command(self, *words, timeout=90):
        """A command that looks or submits: its exit status and what it said."""
        done = subprocess.run([self.program, *map(str, words), "--config", str(self.net / "client.toml")], capture_output=True, text=True,
                              timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def start(self):
        for number in (0, *STARTED):
            self.launch(number, True)
        status, said = self.command("wait", "led", "--timeout", 60)
        if status:
            raise SystemExit(f"the network did not come up: {said}")
        # All that start takes part: then nothing moves any more.
        end = time.monotonic() + 60
        while time.monotonic() < end:
            sets = {row["cluster"]: row["in_sync"] for row in self.rows()}
            if all(n in sets.get(n // 100, ()) for n in STARTED):
                return
            time.sleep(0.2)
        raise SystemExit(f"not all nodes came in sync: {self.rows()}")

    def launch(self, number, first=False):
        whose = self.net / ("authority/authority.toml" if number == 0 else f"node-{number}/node.toml")
        words = [self.program, "node" if number else "authority", *(["--init"] if first else []), "--config", str(whose)]
        with open(self.folder / f"{number}.log", "a") as log:
            self.processes[number] = subprocess.Popen(words, stdout=log, stderr=log)

    def party(self, number):
        if number >= 9000:
            name = {CLIENT: "client", OBSERVER: "observer"}[number]
            return Party(number, secret(self.net / f"{name}.key"))
        home = self.net / f"node-{number}"
        where = self.removed_address if number == REMOVED else self.peers[number].address
        return Party(number, secret(home / "session.key"), where, secret(home / "signing.key"), number // 100, secret(home / "group.key"))

    def stream(self, party, peer, **more):
        return Stream(party, self.peers[peer], self.consortium, **more)

    def report(self, number):
        """What a process tells an observer, over a stream that stays."""
        for attempt in (1, 2):
            if number not in self.monitors:
                self.monitors[number] = self.stream(self.party(OBSERVER), number, timeout=20)
            monitor = self.monitors[number]
            try:
                monitor.send(TYPES["StatusQuery"], struct.pack("!Q", 7))
                while True:
                    kind, body = monitor.receive()
                    if kind == TYPES["StatusAnswer"]:
                        return wire.whole(wire.status_report, bytes.fromhex(wire.decode_body(kind, body)["report"]))
            except Exception:
                del self.monitors[number]
                if attempt == 2:
                    raise

    def wait_for(self, number):
        """Until it answers."""
        end = time.monotonic() + 20
        while True:
            try:
                return self.report(number)
            except Exception:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def discards(self, number):
        return {entry["label"]: int(entry["count"]) for entry in self.report(number)["discards"]}

    def rows(self):
        return self.report(0)["rows"]

    def row(self, cluster):
        return next(r for r in self.rows() if r["cluster"] == cluster)

    def dead(self):
        """Processes that ended and should not have."""
        return {n: p.returncode for n, p in self.processes.items() if p.poll() is not None}

    def peak_kib(self):
        """VmHWM of each process."""
        peaks = {}
        for number, process in self.processes.items():
            if process.poll() is None:
                text = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                peaks[number] = int(text.split("VmHWM:")[1].split()[0])
        return peaks

    def stop(self, number):
        process = self.processes.pop(number)
        self.monitors.pop(number, None)
        process.terminate()
        return process.wait(20)

    def kill(self, number):
        process = self.processes.pop(number)
        self.monitors.pop(number, None)
        process.kill()
        process.wait(20)

    def stop_all(self):
        for process in self.processes.values():
            process.terminate()
        statuses = {n: p.wait(20) for n, p in self.processes.items()}
        self.processes = {}
        return statuses

    def status(self):
        return json.loads(self.command("status", "-o", "json")[1])


def secret(path):
    return bytes.fromhex(path.read_text().strip())


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def free_port():
    """One that is free now, from a range that belongs to no dialler."""
    for port in range(21000 + os.getpid() % 2000, 32000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port")
