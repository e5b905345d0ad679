"""A whole network in network namespaces for hours: the tour in a loop and random faults between its steps, transfers all the time, and nothing
that grows.

    tools/soak [--hours N] [--seed N] [--duohuo PROGRAM] [--keep-files]

Each round is the tour's steps (TOUR) and as many faults drawn at random (FAULTS). After each of them the network must be whole again: every cluster
led, every node in sync, a transfer committed. Meanwhile a client submits one transfer after the other; what was answered is committed. Each five
minutes the memory and the open files of each process are noted, and each log is cut (as logrotate's copytruncate does). At the end: what each needed at
the first and at the last look; no line in a log above INFO that EXPLAINED does not explain; every ledger proven. The same seed gives the
same faults, not the same run.
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
import threading
import time

from hosts import AUTHORITY_ROOM, CLUSTERS, ROOMS, Hosts, name, run
from wirecraft import ROOT

LOOK_S = 300
# Between the first look and the last a process may grow by so much: what its tables and its counters fill.
GROWTH_KIB, GROWTH_FILES = 8 << 10, 8
# Lines above INFO that this run explains: how what follows the level begins, and why it is no fault.
EXPLAINED = {
    "dead ": "a node was killed, stopped, paused or cut off",
    "unstable ": "a cluster was switched three times in ten seconds, by faults that followed each other",
    "ordered ": "a switch or an unbar that this program ordered",
    "authority_reachable: no stream": "the step authority_fails, or a node was cut off from the authority",
    "network: since the start": "datagrams that could not be sent while a room was cut",
    "forced_switch ": "the step wrong_result",
    "consensus_error_reported ": "the step wrong_result",
    "drill: ": "the step wrong_result",
    "alarm ": "the successor of wrong_result's master was told of results of before the switch",
    "offended event=Offended { cluster: ": "told apart in is_explained",
}
# Who is named for what in a network in which nobody lies: claims of a node that is cut off from its master, which the authority hears.
HONEST_OFFENCES = ("ClaimsInVain",)


# --- the tour -------------------------------------------------------------------------------------------------------------------


def master_fails(soak):
    """REC-1."""
    soak.fall(soak.master(soak.cluster()))


def master_and_standby_fail(soak):
    """REC-2."""
    cluster = soak.cluster()
    master = soak.master(cluster)
    standby = int(soak.network.report(master)["standby"])
    soak.fall(master, *([standby] if standby else []))


def wrong_result(soak):
    """REC-3: the master is barred, another one leads, and an operator lets the barred one lead again."""
    network, cluster = soak.network, soak.cluster()
    master = soak.master(cluster)
    network.processes[master].send_signal(signal.SIGUSR1)
    end = time.monotonic() + 20
    while master not in network.row(cluster)["barred"] and time.monotonic() < end:
        soak.transfer()
    network.processes[master].send_signal(signal.SIGUSR1)
    if master not in network.row(cluster)["barred"]:
        soak.fail(f"{master} computed wrong results and was not barred")
    # Its own state is wrong from there on: it begins anew from its store.
    network.stop(master)
    network.launch(master)
    network.wait_for(master)
    status, said = network.order("unbar", name(master))
    if status:
        soak.fail(f"{master} was not let lead again: {said.strip()}")


def room_fails(soak):
    """A room loses its cable: the three others go on."""
    soak.network.cut(random.choice(ROOMS))
    time.sleep(random.uniform(0.5, 5))


def authority_fails(soak):
    """The chain goes on meanwhile."""
    soak.network.kill(0)
    time.sleep(random.uniform(0.5, 5))
    soak.network.launch(0)


TOUR = (master_fails, master_and_standby_fail, wrong_result, room_fails, authority_fails)


# --- faults at random -------------------------------------------------------------------------------------------------------------


def kill(soak):
    soak.fall(random.choice(soak.mortal))


def stop(soak):
    node = random.choice(soak.mortal)
    soak.network.stop(node)
    time.sleep(random.uniform(0.1, 3))
    soak.network.launch(node)


def pause(soak):
    node = random.choice((0, *soak.network.numbers))
    soak.network.processes[node].send_signal(signal.SIGSTOP)
    time.sleep(random.uniform(0.05, 3))
    soak.network.processes[node].send_signal(signal.SIGCONT)


def reload(soak):
    soak.network.processes[random.choice(soak.network.numbers)].send_signal(signal.SIGHUP)


def order(soak):
    """A planned switch; refused if nobody else can be."""
    soak.network.order("switchover", "ABCD"[soak.cluster() - 1])


def moved_clock(soak):
    """It comes back with its clocks days ahead of before, or not ahead at all."""
    node = random.choice(soak.mortal)
    soak.network.moved_clock(node, random.choice((0, 3_600, 86_400, 1_000_000)))
    soak.fall(node)


def one_way(soak):
    room = random.choice(ROOMS)
    soak.network.filter(random.choice((f"up{room}", f"down{room}")), "drop")
    time.sleep(random.uniform(0.5, 4))


def loss(soak):
    for room in ROOMS:
        soak.network.filter(f"down{room}", f"numgen random mod 100 < {random.randint(5, 30)} drop")
    time.sleep(random.uniform(0.5, 4))


def separated(soak):
    """Two rooms do not see each other, and both see all the others."""
    a, b = random.sample((*ROOMS, AUTHORITY_ROOM), 2)
    soak.network.filter(f"down{a}", f"ip saddr 10.77.{b}.0/24 drop")
    soak.network.filter(f"down{b}", f"ip saddr 10.77.{a}.0/24 drop")
    time.sleep(random.uniform(0.5, 4))


def narrow(soak):
    room = random.choice(ROOMS)
    for device in (f"up{room}", f"down{room}"):
        run("tc", "qdisc", "replace", "dev", device, "root", "tbf", "rate", "400kbit", "burst", "4kb", "latency", "50ms")
    time.sleep(random.uniform(0.5, 4))


def unplugged(soak):
    run("ip", "link", "set", name(random.choice((0, *soak.network.numbers))), "down")
    time.sleep(random.uniform(0.5, 4))


FAULTS = (kill, stop, pause, pause, reload, order, moved_clock, one_way, loss, separated, narrow, unplugged)


# --- the run ----------------------------------------------------------------------------------------------------------------------


class Soak:
    def __init__(self, network):
        self.network, self.failures, self.looks = network, [], []
        self.faults, self.transfers, self.unanswered = collections.Counter(), 0, 0
        # The processes of cluster 4 are only paused and cut off: they run from the beginning to the end, so that what grows shows.
        self.mortal = tuple(n for n in network.numbers if n // 100 < CLUSTERS)
        self.over = threading.Event()
        self.load = threading.Thread(target=self.submit_all_the_time, daemon=True)

    def fail(self, what):
        self.failures.append(what)
        print(f"FAILED {what}", flush=True)

    def cluster(self):
        return random.randrange(1, CLUSTERS)

    def master(self, cluster):
        return self.network.row(cluster)["master"]

    def fall(self, *nodes):
        for node in nodes:
            self.network.kill(node)
        time.sleep(random.uniform(0.1, 3))
        for node in nodes:
            self.network.launch(node)

    def transfer(self):
        return self.network.command("submit", "--from", "1", "--to", "2", "--amount", "1", "--timeout", "30")

    def submit_all_the_time(self):
        """What is not answered in time may or may not be committed: a room with the master that was asked was cut."""
        while not self.over.wait(0.5):
            status, _ = self.network.command("submit", "--from", "3", "--to", "4", "--amount", "1", "--timeout", "30")
            if status:
                self.unanswered += 1
            else:
                self.transfers += 1

    def suffer(self, fault):
        self.faults[fault.__name__] += 1
        fault(self)
        self.network.heal()
        self.network.monitors.clear()
        self.whole_again(fault.__name__)

    def whole_again(self, after):
        status, said = self.network.command("wait", "settled", "--timeout", "90", timeout=120)
        if status:
            self.fail(f"after {after}: not settled: {said.strip()}")
            return
        for number in self.network.dead():
            self.fail(f"after {after}: {number} ended by itself")
            self.network.processes.pop(number)
            self.network.launch(number)
        status, said = self.transfer()
        if status:
            self.fail(f"after {after}: a transfer was not committed: {said.strip()}")

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
                    self.fail(f"{number} grew from {before} {what} to {after}")

    def unexplained(self):
        lines, known = collections.Counter(), collections.Counter()
        for log in self.network.folder.glob("*.log"):
            for line in log.read_text(errors="replace").splitlines():
                words = line.split(None, 2)
                above = len(words) == 3 and words[1] in ("WARN", "ERROR")
                why = next((begin for begin in EXPLAINED if above and words[2].startswith(begin)), None)
                if "panicked" in line or (above and not (why and is_explained(words[2]))):
                    lines[f"{log.name}: {' '.join(words[1:])[:200]}"] += 1
                elif above:
                    known[why] += 1
        for begin, count in sorted(known.items()):
            print(f"{count} lines \"{begin.strip()}\": {EXPLAINED[begin]}")
        for line, count in lines.items():
            self.fail(f"a line that nobody explains, {count} times: {line}")

    def rotate(self):
        """A copy, and the file cut: the daemon, which appends, goes on at its new beginning."""
        for log in self.network.folder.glob("*.log"):
            if ".old" not in log.name:
                with open(log.with_name(f"{log.stem}.old.log"), "a") as old:
                    old.write(log.read_text(errors="replace"))
                os.truncate(log, 0)

    def run(self, hours):
        """Rounds until the time is over."""
        began = looked = time.monotonic()
        self.load.start()
        self.look(began)
        steps = []
        while time.monotonic() - began < hours * 3600:
            if not steps:
                steps = [fault for step in TOUR for fault in (step, random.choice(FAULTS))]
            self.suffer(steps.pop(0))
            if time.monotonic() - looked > min(LOOK_S, hours * 900):
                looked = time.monotonic()
                self.look(began)
                self.rotate()
        self.look(began)
        self.over.set()
        self.load.join(60)
        self.grew()

    def ledgers(self):
        for number in self.network.numbers:
            self.network.stop(number)
            # Who was master when is told by those that run.
            status, said = self.network.command("ledger", "verify", "--node", self.network.net / f"node-{number}/node.toml")
            if status:
                self.fail(f"the ledger of {number} is not proven: {said.strip()}")
            self.network.launch(number)
            self.network.wait_for(number)


def needed(process):
    """KiB in memory and open files."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]), len(os.listdir(f"/proc/{process.pid}/fd"))


def is_explained(line):
    return not line.startswith("offended ") or any(f"offence: {offence}," in line for offence in HONEST_OFFENCES)


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
    folder = pathlib.Path(tempfile.mkdtemp(prefix="duohuo-soak-"))
    # A copy, so that a build beside it changes nothing.
    program = shutil.copy(given.duohuo.resolve(), folder / "duohuo")
    network = Hosts(program, folder)
    soak = Soak(network)
    try:
        network.start()
        soak.run(given.hours)
        soak.ledgers()
    finally:
        statuses = network.stop_all()
    if any(statuses.values()):
        soak.fail(f"not all stopped in good order: {statuses}")
    soak.rotate()
    if any(not (folder / f"{n}.old.log").stat().st_size for n in (0, *network.numbers)):
        soak.fail("a log that was cut did not go on")
    soak.unexplained()
    if soak.failures or given.keep_files:
        print(f"files: {folder}")
    else:
        shutil.rmtree(folder)
    print(f"{sum(soak.faults.values())} faults ({', '.join(f'{n} {k}' for k, n in sorted(soak.faults.items()))}), {soak.transfers} transfers beside them,"
          f" {soak.unanswered} not answered in 30 s, {len(soak.failures)} failed")
    sys.exit(bool(soak.failures))


if __name__ == "__main__":
    main()
