"""Bad input, systematically: every packet type times every class of badness, against real daemons on loopback.

    tests/bad-input/run [--duohuo PROGRAM] [--rows] [--only WORDS] [--no-floods] [--keep-files]
    tests/bad-input/run --floods [--rounds N] [--figures FILE]

A network of four clusters and an authority is made and started. From outside, as an enrolled client, as two enrolled nodes, as a master
whose key was stolen, as a removed node, it is sent everything of the table; after each case the counter of the reason must have grown by
what it must, nobody may have answered who must not, and a stream is closed or not as the specification says. Rows of the authority
must not move. At the end a master is killed, another takes over and commits, and all ledgers are proven.
"""

import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import clear
import custody
import findings
import floods
import hostile
import malicious
import members
import roles
from cases import ByDatagram, InStream, Tally, run_bodies, run_stream_faults
from network import CLIENT, INSIDER, OTHER_INSIDER, Network
from wirecraft import ROOT, bound

# No daemon may need more at its worst, in KiB.
PEAK_BOUND_KIB = 64 << 10


class Trial:
    def __init__(self, network, only=()):
        self.network, self.tally, self.only = network, Tally(), only
        self.before, self.equivocated = network.rows(), False

    def part(self, name, run):
        """One way in: its cases, then the network as a whole."""
        if self.only and not any(word in name for word in self.only):
            return
        began, cases, sent = time.monotonic(), self.tally.cases, self.tally.inputs
        failed = len(self.tally.failures)
        try:
            run()
        except Exception as why:  # a part that breaks is a failure, and the others still run
            traceback.print_exc()
            self.tally.count(name, "the part itself", 0, f"broke: {why!r}")
        self.look(name)
        print(f"{name}: {self.tally.cases - cases} cases, {self.tally.inputs - sent} inputs, {time.monotonic() - began:.1f} s,"
              f" {len(self.tally.failures) - failed} failed", flush=True)

    def look(self, name):
        """Everybody lives, no row moved, and the chain goes on."""
        dead = self.network.dead()
        self.tally.count(name, "afterwards: all processes run", 0, f"ended: {dead}" if dead else None)
        for number in dead:
            self.network.processes.pop(number)
        kept = ("cluster", "epoch", "version", "master", "in_sync", "barred", "unfenced")
        now = self.network.rows()
        moved = [[{k: r[k] for k in kept} for r in rows] for rows in (self.before, now)]
        self.tally.count(name, "afterwards: no row moved", 0, None if moved[0] == moved[1] else f"rows were {moved[0]}, are {moved[1]}")
        self.before = now
        self.tally.count(name, "afterwards: a transfer is committed", 0, self.submit())

    def submit(self):
        status, said = self.network.command("submit", "--from", "1", "--to", "2", "--amount", "1", "--timeout", "30")
        return f"submit ended with {status}: {said}" if status else None


def failover(trial, cluster, under=""):
    """Kill a master; another one leads and commits; the killed one comes back. Seconds from the kill: until the other leads, and until a
    transfer is committed by it."""
    network, tally = trial.network, trial.tally
    name = f"failover of cluster {cluster}{under}"
    old = network.row(cluster)["master"]
    began = time.monotonic()
    network.kill(old)
    new, led = old, None
    while led is None and time.monotonic() - began < 30:
        new = network.row(cluster)["master"]
        if new not in (old, 0) and network.report(new)["role"] == "Master":
            led = time.monotonic() - began
        time.sleep(0.002)
    tally.count(name, "another one leads", 0, None if led else f"none within 30 s: {network.row(cluster)}")
    tally.count(name, "a transfer is committed", 0, trial.submit())
    committed = time.monotonic() - began
    network.launch(old)
    status, said = network.command("wait", "in-sync", "--node", f"cluster {old // 100}{old % 100}", "--timeout", "60")
    tally.count(name, "the killed one is in sync again", 0, said if status else None)
    trial.before = network.rows()
    print(f"{name}: {old} was killed, {new} led after {1000 * (led or -1):.0f} ms, a transfer was committed after {1000 * committed:.0f} ms", flush=True)
    return (led, committed) if led else None


def streams(trial, number, peer, role, name, **more):
    way = InStream(trial.network, trial.network.party(number), peer, role, name)
    run_bodies(trial.tally, way, **more)
    way.close()


def attack(trial):
    network, tally, part = trial.network, trial.tally, trial.part
    insider, other = network.party(INSIDER), network.party(OTHER_INSIDER)
    sock = bound(insider.address)
    for peer, whom in ((0, "the authority"), (101, "a master"), (102, "a standby")):
        part(f"clear datagrams to {whom}", lambda: clear.run_datagrams(tally, network, ByDatagram(network, peer, sock, f"clear datagrams to {whom}"), insider))
    for peer, whom in ((0, "the authority"), (101, "a master")):
        part(f"clear streams to {whom}", lambda: clear.run_streams(tally, network, insider, peer, f"clear streams to {whom}"))
        part(f"connections to {whom}", lambda: (clear.run_many(tally, network, peer, f"connections to {whom}", 3000),
                                                clear.run_one_too_many(tally, network, peer, f"connections to {whom}")))
    part("client to the authority", lambda: streams(trial, CLIENT, 0, roles.client_to_authority(), "client to the authority"))
    part("client to a master", lambda: streams(trial, CLIENT, 101, roles.client_to_node(), "client to a master"))
    part("client to a standby", lambda: streams(trial, CLIENT, 102, roles.client_to_node(), "client to a standby"))
    for number, peer in ((CLIENT, 0), (CLIENT, 101), (INSIDER, 0), (INSIDER, 301), (INSIDER, 201)):
        name = f"session broken by {number} with {peer}"
        part(name, lambda: run_stream_faults(tally, network, network.party(number), peer, name))
    part("node to the authority, stream", lambda: streams(trial, INSIDER, 0, roles.node_to_authority(2), "node to the authority, stream"))
    part("node to the authority, datagrams", lambda: members.run_authority_datagrams(tally, network, insider, sock, other))
    part("node to a master of another cluster", lambda: streams(trial, INSIDER, 301, roles.stranger_to_master(2), "node to a master of another cluster"))
    part("node to a standby of another cluster", lambda: streams(trial, INSIDER, 302, roles.stranger_to_follower(2), "node to a standby of another cluster"))
    part("member under the group seal", lambda: members.run_group(tally, network, insider, sock))
    part("stolen master to a master", lambda: streams(trial, 401, 101, roles.master_to_master(4), "stolen master to a master"))

    part("member to its master", lambda: streams(trial, INSIDER, 201, roles.member_to_master(2), "member to its master"))
    sock.close()
    part("a removed node", lambda: members.run_removed(tally, network))
    part("hostile neighbours", lambda: hostile.run(tally, network))
    if os.geteuid() == 0:
        part("a malicious member", lambda: malicious.run_node(trial))
    else:
        print("a malicious member: left out, it needs raw sockets (root)")
    part("a malicious cluster", lambda: malicious.run_cluster(trial))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    arguments.add_argument("--duohuo", metavar="PROGRAM", type=pathlib.Path, default=target / "release/duohuo")
    arguments.add_argument("--rows", action="store_true", help="print the table: way in, class, cases, inputs, failed")
    arguments.add_argument("--only", action="append", metavar="WORDS", help="only the ways in whose name holds these words")
    arguments.add_argument("--no-floods", action="store_true", help="leave the floods out")
    arguments.add_argument("--floods", action="store_true", help="nothing but the floods")
    arguments.add_argument("--rounds", type=int, default=floods.ROUNDS, metavar="N", help="masters killed in quiet, and under each flood (%(default)s)")
    arguments.add_argument("--figures", type=pathlib.Path, metavar="FILE", help="write the floods' figures here, as JSON")
    arguments.add_argument("--keep-files", action="store_true", help="keep keys, stores and logs")
    given = arguments.parse_args()
    program = given.duohuo.resolve()
    if not program.exists():
        sys.exit(f"{program} is not there; run: cargo build --release, or give --duohuo another")
    folder, began = tempfile.mkdtemp(prefix="duohuo-bad-input-"), time.monotonic()
    network = Network(program, folder)
    network.level(custody.TALKATIVE, "debug")
    try:
        network.start()
        trial = Trial(network, given.only or ())
        if not given.floods:
            attack(trial)
        if not trial.only and not given.floods:
            failover(trial, 1)
            # Its own member lied to it for long: it must still have another master.
            failover(trial, 2)
        if not given.no_floods:
            floods.run(trial, failover, given.rounds, given.figures)
        peaks = network.peak_kib()
        worst = max(peaks, key=peaks.get)
        print(f"peak memory: {', '.join(f'{n} {kib >> 10} MiB' for n, kib in sorted(peaks.items()))}")
        trial.tally.count("memory", "within its bound", 0, None if peaks[worst] <= PEAK_BOUND_KIB else f"{worst} needed {peaks[worst]} KiB, bound {PEAK_BOUND_KIB}")
        conflicts = {n: network.report(n)["conflicts"] for n in network.processes}
        # Those of the malicious cluster are counted once; malicious.py looks at them.
        most = 1 if trial.equivocated else 0
        trial.tally.count("end", "no other conflicting words were seen", 0, None if all(int(c) <= most for c in conflicts.values()) else f"{conflicts}")
        custody.run(trial)
        ledgers(trial)
    finally:
        statuses = network.stop_all()
    trial.tally.count("end", "all processes stopped in good order", 0, None if not any(statuses.values()) else f"{statuses}")
    done(trial.tally, given, folder, time.monotonic() - began)


def ledgers(trial):
    """One node after the other is stopped and its store proven from the genesis, against what the others were told by the authority."""
    network = trial.network
    for number in sorted(n for n in network.processes if n):
        status = network.stop(number)
        proven, said = network.command("ledger", "verify", "--node", network.net / f"node-{number}/node.toml")
        trial.tally.count("end", "stopped in good order, and the ledger is proven", 0, f"{number}: {status}, {proven}: {said}" if status or proven else None)
        network.launch(number)
        network.wait_for(number)


def done(tally, given, folder, seconds):
    if given.rows:
        for (way, group), (cases, sent, failed) in tally.rows.items():
            print(f"{way} | {group} | {cases} cases | {sent} inputs | {failed or 'none'} failed")
    known, failures, stale = findings.split(tally.failures)
    if given.only or given.floods:
        stale = []  # what was not run shows nothing
    for line in failures:
        print(f"FAILED {line[:3000]}")
    for mark, lines in known.items():
        print(f"open finding ({len(lines)} cases): {mark}\n    for example: {lines[0][:600]}")
    for mark in stale:
        print(f"FAILED the open finding is none any more, take it off the list: {mark}")
    if failures or given.keep_files:
        print(f"files: {folder}")
    else:
        shutil.rmtree(folder)
    open_cases = sum(map(len, known.values()))
    failed = len(failures) + len(stale)
    print(f"{tally.cases} cases, {tally.inputs} inputs sent and {tally.flooded} in floods, {seconds:.0f} s, {open_cases} cases open under {len(known)} findings")
    print(f"{tally.cases - len(failures) - open_cases} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
