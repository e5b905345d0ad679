"""What a daemon lets be read of its keys: nothing in its log, whatever it was sent, and no core dump."""

import base64
import os
import signal

from network import STARTED

# Its log has level debug, so that what is said there is looked at as well.
TALKATIVE = 302


def forms(secret):
    """How a program may have written it down: bytes in hexadecimal, base64, or as a list, in part or whole."""
    text = secret.hex()
    decimal = ", ".join(str(byte) for byte in secret[:8])
    return (text[:24], text[:24].upper(), text[-24:], base64.b64encode(secret).decode()[:20], decimal)


def run(trial):
    network, tally, name = trial.network, trial.tally, "custody of keys"
    keys = {path: bytes.fromhex(path.read_text().strip()) for path in sorted(network.net.rglob("*.key"))}
    logs = {path.name: path.read_text(errors="replace") for path in network.folder.glob("*.log")}
    told = [f"{log} has {path.relative_to(network.net)}" for log, text in logs.items() for path, secret in keys.items()
            if any(form in text for form in forms(secret))]
    why = None if len(keys) > 3 * len(STARTED) and sum(map(len, logs.values())) > 1_000 else f"looked at {len(keys)} keys, {len(logs)} logs"
    tally.count(name, "no log holds a key", len(keys) * len(logs), why or (f"{told}" if told else None))
    dumps = {}
    for number, process in network.processes.items():
        with open(f"/proc/{process.pid}/limits") as limits:
            dumps[number] = next(line.split()[4] for line in limits if line.startswith("Max core file size"))
    tally.count(name, "no daemon may write a core dump", len(dumps), None if set(dumps.values()) == {"0"} else f"{dumps}")
    # And none does when it is aborted.
    process = network.processes[TALKATIVE]
    process.send_signal(signal.SIGABRT)
    ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    tally.count(name, "a daemon that is aborted leaves no core dump", 1, None if ended.si_code == os.CLD_KILLED else f"ended with code {ended.si_code}")
    process.wait(20)
    network.processes.pop(TALKATIVE)
    network.monitors.pop(TALKATIVE, None)
    network.launch(TALKATIVE)
    network.wait_for(TALKATIVE)
