"""A whole network on loopback for hours: random faults one after the other, transfers all the time, and nothing that grows.

    tools/soak [--hours N] [--seed N] [--duohuo PROGRAM] [--keep-files]

A fault is one of FAULTS, of a node drawn at random. After each the network must be whole again: every cluster led, every started node in sync,
a transfer committed. Each five minutes the memory and the open files of each process are noted. At the end: what each needed at the first and at
the last look, no line in a log that nobody explains, every ledger proven, and each log cut in the middle of the run (as logrotate's copytruncate
does) goes on. The same seed gives the same faults, not the same run.
"""

import argparse
import collections
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

from network import STARTED, Network
from wirecraft import ROOT

LOOK_S = 300
# Between the first look and the last a process may grow by so much: what its tables and its counters fill.
GROWTH_KIB, GROWTH_FILES = 8 << 10, 8
# Lines above INFO that these faults explain: the beginning of what follows the level.
EXPLAINED = ("dead ", "unstable ", "ordered ", "network: since the start", "forced_switch ", "consensus_error_reported ", "drill: ")


def kill(network, node, _):
    network.kill(node)
    time.sleep(random.uniform(0.1, 3))
    network.launch(node)


def stop(network, node, _):
    network.stop(node)
    time.sleep(random.uniform(0.1, 3))
    network.launch(node)


def pause(network, node, _):
    network.processes[node].send_signal(signal.SIGSTOP)
    time.sleep(random.uniform(0.05, 3))
    network.processes[node].send_signal(signal.SIGCONT)


def authority(network, *_):
    network.kill(0)
    time.sleep(random.uniform(0.1, 5))
    network.launch(0)


def reload(network, node, _):
    network.processes[node].send_signal(signal.SIGHUP)


def order(network, node, _):
    """A planned switch; refused if it is the master, or nobody else can be."""
    network.command("switchover", "--operator-key", network.net / "operator.key", "--why", "soak", "--who", "soak", f"cluster {node // 100}")


# Clusters 3 and 4 are only paused and switched: their daemons run from the beginning to the end, so that what grows shows.
MORTAL = tuple(n for n in STARTED if n < 300)
FAULTS = (kill, kill, stop, pause, pause, authority, reload, order)


def needed(process):
    """KiB in memory and open files."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]), len(os.listdir(f"/proc/{process.pid}/fd"))


class Soak:
    def __init__(self, network):
        self.network, self.failures, self.looks = network, [], []
        self.faults, self.transfers = collections.Counter(), 0

    def whole_again(self, after):
        for words in (("wait", "led", "--timeout", "60"), *(("wait", "in-sync", "--node", f"cluster {n // 100}{n % 100}", "--timeout", "90") for n in STARTED)):
            status, said = self.network.command(*words, timeout=120)
            if status:
                self.failures.append(f"after {after}: {' '.join(words)} ended with {status}: {said.strip()}")
                return
        for number in self.network.dead():
            self.failures.append(f"after {after}: {number} ended by itself")
            self.network.processes.pop(number)
            self.network.launch(number)
        status, said = self.network.command("submit", "--from", "1", "--to", "2", "--amount", "1", "--timeout", "30")
        self.transfers += not status
        if status:
            self.failures.append(f"after {after}: a transfer was not committed: {said.strip()}")

    def look(self, began):
        """What each process needs now."""
        at = time.monotonic() - began
        now = {n: (p.pid, *needed(p)) for n, p in self.network.processes.items() if p.poll() is None}
        self.looks.append((at, now))
        memory, files = max(k for _, k, _ in now.values()), max(f for *_, f in now.values())
        print(f"{at / 60:.0f} min: {sum(self.faults.values())} faults, {self.transfers} transfers, at most {memory / 1024:.1f} MiB and {files} files",
              flush=True)

    def grew(self):
        """The last look against the first one after the start, of each process that is still the same."""
        (_, first), (_, last) = self.looks[min(1, len(self.looks) - 1)], self.looks[-1]
        for number in sorted(n for n in last if n in first and last[n][0] == first[n][0]):
            for which, bound, what in ((1, GROWTH_KIB, "KiB of memory"), (2, GROWTH_FILES, "open files")):
                before, after = first[number][which], last[number][which]
                print(f"{number}: {before} {what} at the first look, {after} at the last")
                if after > before + bound:
                    self.failures.append(f"{number} grew from {before} {what} to {after}")

    def unexplained(self):
        lines = collections.Counter()
        for log in self.network.folder.glob("*.log"):
            for line in log.read_text(errors="replace").splitlines():
                words = line.split(None, 2)
                if "panicked" in line or (len(words) == 3 and words[1] in ("WARN", "ERROR") and not words[2].startswith(EXPLAINED)):
                    lines[f"{log.name}: {' '.join(words[1:])[:200]}"] += 1
        self.failures += [f"a line that nobody explains, {n} times: {line}" for line, n in lines.items()]

    def rotate(self):
        """A copy, and the file cut: the daemon, which appends, goes on at its new beginning."""
        for log in self.network.folder.glob("[0-9]*.log"):
            if ".old" not in log.name:
                with open(log.with_name(f"{log.stem}.old.log"), "a") as old:
                    old.write(log.read_text(errors="replace"))
                os.truncate(log, 0)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    arguments.add_argument("--hours", type=float, default=1.0)
    arguments.add_argument("--seed", type=int, default=None, help="of the faults; else drawn and printed")
    arguments.add_argument("--duohuo", metavar="PROGRAM", type=pathlib.Path, default=target / "release/duohuo")
    arguments.add_argument("--keep-files", action="store_true", help="keep keys, stores and logs")
    given = arguments.parse_args()
    seed = random.randrange(2**32) if given.seed is None else given.seed
    random.seed(seed)
    print(f"seed {seed}, {given.hours} hours", flush=True)
    folder = tempfile.mkdtemp(prefix="duohuo-soak-")
    network = Network(given.duohuo.resolve(), folder)
    soak = Soak(network)
    try:
        network.start()
        began = looked = time.monotonic()
        soak.look(began)
        rotated = False
        while time.monotonic() - began < given.hours * 3600:
            fault = random.choice(FAULTS)
            node = random.choice(MORTAL if fault in (kill, stop) else STARTED)
            soak.faults[fault.__name__] += 1
            fault(network, node, soak)
            network.monitors.clear()
            soak.whole_again(f"{fault.__name__} of {node}")
            if time.monotonic() - looked > min(LOOK_S, given.hours * 900):
                looked = time.monotonic()
                soak.look(began)
            if not rotated and time.monotonic() - began > given.hours * 1800:
                rotated = True
                soak.rotate()
        soak.look(began)
        soak.grew()
        for number in STARTED:
            network.stop(number)
            # Who was master when is told by those that run.
            status, said = network.command("ledger", "verify", "--node", network.net / f"node-{number}/node.toml")
            if status:
                soak.failures.append(f"the ledger of {number} is not proven: {said.strip()}")
            network.launch(number)
            network.wait_for(number)
    finally:
        statuses = network.stop_all()
    if any(statuses.values()):
        soak.failures.append(f"not all stopped in good order: {statuses}")
    if any(not (network.folder / f"{n}.log").stat().st_size for n in (0, *STARTED)):
        soak.failures.append("a log that was cut did not go on")
    soak.unexplained()
    for line in soak.failures:
        print(f"FAILED {line}")
    if soak.failures or given.keep_files:
        print(f"files: {folder}")
    else:
        shutil.rmtree(folder)
    print(f"{sum(soak.faults.values())} faults ({', '.join(f'{n} {k}' for k, n in sorted(soak.faults.items()))}), {soak.transfers} transfers, {len(soak.failures)} failed")
    sys.exit(bool(soak.failures))


if __name__ == "__main__":
    main()
