#!/usr/bin/env python3
"""Fuzzes an authority of its own on loopback with boofuzz: the framing of a stream, the handshake, and packets inside a session.

    boofuzz_example.py [--duohuo PROGRAM]         about 200 cases, half a minute

The authority is a real one, in a network made for this (`duohuo keygen network`), and nothing leaves 127.0.0.0/8. After each case it
must run and answer an honest client. What it refused is counted by itself, and shown at the end. Take it as a beginning: more
values, other packets, or another target are a few lines.
"""

import argparse
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

from boofuzz import (
    BaseMonitor, Block, Checksum, Group, ITargetConnection, RandomData, Request, Session, Static, Target, TCPSocketConnection, exception,
)

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

import duohuo  # noqa: E402
from session import Client, Refused, mac1  # noqa: E402
import wire  # noqa: E402  (tools/vectors: session.py put it on the path)

CLIENT = 9001
# How long an answer to a fuzzed packet is waited for.
ANSWER_S = 0.05


# --- the target -----------------------------------------------------------------------------------------------------------


class Authority:
    """A real one, its roster, and an enrolled client's key."""

    def __init__(self, program, folder):
        self.folder, self.port = folder, free_port()
        subprocess.run([program, "keygen", "network", "--dir", folder / "net", "--clusters", "1", "--nodes", "2", "--port", str(self.port)],
                       check=True, stdout=subprocess.DEVNULL)
        roster = tomllib.loads((folder / "net/roster.toml").read_text())
        host, _, port = roster["authority"]["address"].rpartition(":")
        self.address = host, int(port)
        assert host.startswith("127."), "this fuzzes loopback only"
        self.key, self.consortium = bytes.fromhex(roster["authority"]["session_key"]), bytes.fromhex(roster["consortium"])
        self.client_secret = bytes.fromhex((folder / "net/client.key").read_text().strip())
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen([program, "authority", "--init", "--config", folder / "net/authority/authority.toml"], stderr=log)
        for _ in range(100):
            try:
                self.report()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"the authority did not start: {(folder / 'log').read_text()}")

    def client(self, range_=None):
        return Client(self.address, self.client_secret, CLIENT, self.key, self.consortium, range_=range_)

    def report(self):
        """What it tells an honest client, as section 8 has it."""
        client = self.client((1, 2))
        try:
            client.handshake()
            assert client.version == 2, "both speak it"
            client.send(duohuo.StatusQuery(request=1))
            answer = client.receive().payload
            assert isinstance(answer, duohuo.StatusAnswer) and answer.request == 1
            return wire.whole(wire.status_report, answer.report)
        finally:
            client.close()

    def discards(self):
        return {entry["label"]: int(entry["count"]) for entry in self.report()["discards"]}

    def stop(self):
        self.process.terminate()
        return self.process.wait(10)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Alive(BaseMonitor):
    """After each case: the process runs, and an honest client is answered."""

    def __init__(self, authority):
        super().__init__()
        self.authority, self.failures = authority, []

    def post_send(self, target=None, fuzz_data_logger=None, session=None):
        try:
            if self.authority.process.poll() is not None:
                raise OSError(f"the process ended with status {self.authority.process.returncode}")
            self.authority.report()
            return True
        except (OSError, AssertionError, Refused) as why:
            self.failures.append(f"case {session.total_mutant_index}: {why!r}")
            return False

    def get_crash_synopsis(self):
        return "\n".join(self.failures[-1:])


class InSession(ITargetConnection):
    """What is sent is the type and body of a packet, which travels sealed in a session of an enrolled client."""

    def __init__(self, authority):
        self.authority = authority

    def open(self):
        self.client = self.authority.client().handshake()
        self.client.socket.settimeout(ANSWER_S)

    def close(self):
        self.client.close()

    def recv(self, max_bytes):
        try:
            return self.client.socket.recv(max_bytes)
        except (TimeoutError, ConnectionError):
            return b""

    def send(self, data):
        try:
            self.client.send(duohuo.Raw(data[1:]), type=data[0])
        except ConnectionError as why:
            raise exception.BoofuzzTargetConnectionReset() from why
        return len(data)

    @property
    def info(self):
        return f"a session with {self.authority.address}"


# --- what is sent ---------------------------------------------------------------------------------------------------------


def values(name, default, *others, width=1):
    """A number, right first."""
    return Group(name, values=[value.to_bytes(width, "big") for value in (default, *others)])


def framing():
    """Lengths that promise more, less, and nothing."""
    lengths = (60, 0, 1, 11, 43, 44, 59, 61, 8192, 8193, 8 << 20, (8 << 20) + 1, 2**31, 2**32 - 1)
    return Request("framing", children=(
        Static("start", b"DUOH\x01\x01\x00\x00"), values("length", *lengths, width=4),
        RandomData("rest", b"\x0a\x01" + bytes(46), min_length=0, max_length=9000, max_mutations=30),
    ))


def handshake(authority):
    """An initiation that holds; mac1 and CRC are made after the change, so that it gets as far as it can."""
    client = authority.client()
    init = client.initiation().payload
    client.close()
    return Request("handshake", children=(
        Block("packet", children=(
            Block("covered", children=(
                Group("magic", values=[b"DUOH", b"DUOI", b"\0\0\0\0", b"HTTP"]),
                values("version", 1, 0, 2, 255), values("type", 1, 0, 2, 3, 4, 0x10, 0x20, 0x5F, 0x80, 0xFF),
                values("flags", 0, 1, 0x80, 0x100, 0x8000, 0xFFFF, width=2), values("length", 192, 191, 193, 44, width=4),
                values("hdr_len", 10, 0, 9, 11, 255), values("suite", 1, 0, 2), values("reserved", 0, 1, 0xFFFF, width=2),
                values("session", 0, 1, 2**63, 2**64 - 1, width=8), values("sequence", 0, 1, 2**64 - 1, width=8),
                values("sender", CLIENT, 0, 101, 2**32 - 1, width=4), values("group", 0, 1, 2**32 - 1, width=4),
                values("initiator_session", init.initiator_session, 0, 2**64 - 1, width=8),
                RandomData("e", init.noise[:32], min_length=32, max_length=32, max_mutations=12),
                RandomData("static", init.noise[32:80], min_length=48, max_length=48, max_mutations=12),
                RandomData("timestamp", init.noise[80:], min_length=28, max_length=28, max_mutations=12),
            )),
            Checksum("mac1", block_name="covered", algorithm=lambda data: mac1(authority.key, data), length=16, fuzzable=False),
            RandomData("mac2", bytes(16), min_length=16, max_length=16, max_mutations=5),
        )),
        Checksum("crc32", block_name="packet", algorithm="crc32", length=4, endian=">", fuzzable=False),
    ))


def in_session():
    """Bodies of packets that a client may send, and of some that it may not."""
    return Request("session", children=(
        values("type", 0x52, 0x10, 0x11, 0x12, 0x19, 0x1A, 0x1F, 0x30, 0x40, 0x50, 0x54, 0x5F, 0x7E, 0xFF),
        RandomData("request", (1).to_bytes(8, "big"), min_length=0, max_length=64, max_mutations=50),
        Group("extensions", values=[b"", b"\0", b"\x0a\x0a\0\1", b"\x8a\x0a\0\0", b"\x0a\x0a\0\0\x0a\x0a\0\0", b"\x0a\x0a\xff\xff"]),
    ))


# --- the run --------------------------------------------------------------------------------------------------------------


def fuzz(request, connection, monitor, folder):
    run = Session(target=Target(connection=connection, monitors=[monitor]), web_port=None, keep_web_open=False, fuzz_loggers=[],
                  db_filename=str(folder / f"{request.name}.db"), ignore_connection_reset=True, ignore_connection_aborted=True,
                  receive_data_after_fuzz=True, reuse_target_connection=False, restart_sleep_time=0)
    run.connect(request)
    run.fuzz(max_depth=1)
    return run.num_cases_actually_fuzzed


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"))
    arguments.add_argument("--duohuo", metavar="PROGRAM", type=pathlib.Path, default=target / "release/duohuo")
    program = arguments.parse_args().duohuo.resolve()
    if not program.exists():
        sys.exit(f"{program} is not there; run: cargo build --release, or give --duohuo another")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        os.chdir(folder)  # boofuzz leaves its results where it stands
        authority = Authority(program, folder)
        monitor = Alive(authority)
        tcp = TCPSocketConnection(*authority.address, send_timeout=1, recv_timeout=ANSWER_S)
        cases = 0
        try:
            before = authority.discards()
            for request, connection in ((framing(), tcp), (handshake(authority), tcp), (in_session(), InSession(authority))):
                done = fuzz(request, connection, monitor, folder)
                print(f"{request.name}: {done} cases")
                cases += done
            after = authority.discards()
        finally:
            status = authority.stop()
        counted = {label: count - before.get(label, 0) for label, count in sorted(after.items()) if count > before.get(label, 0)}
        for label, count in counted.items():
            print(f"  refused as {label}: {count}")
        for failure in monitor.failures:
            print(f"FAILED {failure}")
        alive = not monitor.failures and status == 0
        print(f"{cases} cases, {sum(counted.values())} refusals counted under {len(counted)} labels,"
              f" the authority {'lived on and stopped in good order' if alive else f'FAILED (status {status})'}")
        sys.exit(not (alive and cases >= 150 and len(counted) >= 8))


if __name__ == "__main__":
    main()
