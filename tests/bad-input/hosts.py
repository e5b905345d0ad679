"""A network whose machines are network namespaces: four rooms, each a bridge; one in the middle that joins them; the authority in a room of
its own. The same wires as the scenarios of tools/duohuo/tests/namespaces have, for a run of hours.

    A1 --+                                   +-- authority
    B4 --+-- room1 --down1===up1-- core --up9===down9-- room9
                                    |
                                  this program (10.77.0.1)
"""

import subprocess
import tomllib

from network import Network, address
from wirecraft import Peer

ROOMS, AUTHORITY_ROOM = (1, 2, 3, 4), 9
CLUSTERS, NODES = 4, 3
PORT = 4750


def run(*words, text=""):
    done = subprocess.run(list(map(str, words)), input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


class Hosts(Network):
    """Node c * 100 + p is the p-th of cluster c, in room 1 + (c + p) mod 4; number 0 is the authority."""

    def __init__(self, program, folder):
        self.program, self.folder = str(program), folder
        self.net = folder / "net"
        self.processes, self.monitors, self.before = {}, {}, {}
        self.rooms = {0: AUTHORITY_ROOM}
        layout = [f'authority = "{self.address_of(0)}:{PORT}"']
        for cluster in range(1, CLUSTERS + 1):
            layout.append(f'[[cluster]]\nname = "{name(cluster * 100)[0]}"\ngroup = "239.77.0.{cluster}:{PORT}"')
            for place in range(1, NODES + 1):
                number = cluster * 100 + place
                self.rooms[number] = 1 + (cluster + place) % len(ROOMS)
                layout.append(f'[[cluster.node]]\nname = "{name(number)}"\nroom = {self.rooms[number]}\npriority = {250 - 50 * place}\n'
                              f'address = "{self.address_of(number)}:{PORT}"')
        (folder / "layout.toml").write_text("\n".join(layout))
        self.run("keygen", "network", "--dir", self.net, "--layout", folder / "layout.toml", "--keepalive-interval-ms", 100)
        roster = tomllib.loads((self.net / "roster.toml").read_text())
        self.consortium, self.roster_version = bytes.fromhex(roster["consortium"]), roster["version"]
        entry = roster["authority"]
        self.peers = {0: Peer(0, address(entry["address"]), bytes.fromhex(entry["session_key"]))}
        for cluster in roster["cluster"]:
            for node in cluster["node"]:
                self.peers[node["id"]] = Peer(node["id"], address(node["address"]), bytes.fromhex(node["session_key"]), cluster["id"])
        self.numbers = tuple(sorted(n for n in self.peers if n))
        for number in self.numbers:
            config = self.net / f"node-{number}/node.toml"
            text = config.read_text()
            # Snapshots often, so that every kind of fault meets one.
            config.write_text(text.replace("allow = false", "allow = true") + "\n[chain]\nsnapshot_interval = 50\n")
        self.lay()

    def address_of(self, number):
        place = number // 100 * 10 + number % 100 if number else 1
        return f"10.77.{self.rooms[number]}.{place}"

    # --- wires ------------------------------------------------------------------------------------------------------------------

    def lay(self):
        lines = ["link set lo up", "link add core type bridge mcast_snooping 0", "link set core up", "address add 10.77.0.1/16 dev core"]
        for room in (*ROOMS, AUTHORITY_ROOM):
            lines += [f"link add room{room} type bridge mcast_snooping 0", f"link set room{room} up",
                      f"link add up{room} type veth peer name down{room}", f"link set up{room} master core up", f"link set down{room} master room{room} up"]
        run("ip", "-batch", "-", text="\n".join(lines))
        for number in (0, *self.numbers):
            host = name(number)
            run("ip", "netns", "add", host)
            run("ip", "-batch", "-", text=f"link add {host} type veth peer name eth0 netns {host}\nlink set {host} master room{self.rooms[number]} up\n")
            run("ip", "-netns", host, "-batch", "-", text=f"link set lo up\naddress add {self.address_of(number)}/16 dev eth0\nlink set eth0 up\n"
                "route add 224.0.0.0/4 dev eth0\n")
        run("nft", "-f", "-", text="add table netdev faults")

    def cut(self, room):
        run("ip", "link", "set", f"down{room}", "down")

    def filter(self, device, rule):
        run("nft", "-f", "-", text=f'add chain netdev faults {device} {{ type filter hook ingress device "{device}" priority 0; }}\n'
            f"add rule netdev faults {device} {rule}\n")

    def heal(self):
        run("nft", "-f", "-", text="flush ruleset\nadd table netdev faults")
        for room in (*ROOMS, AUTHORITY_ROOM):
            run("ip", "link", "set", f"down{room}", "up")
            for device in (f"up{room}", f"down{room}"):
                subprocess.run(["tc", "qdisc", "delete", "dev", device, "root"], capture_output=True)
        for number in (0, *self.numbers):
            run("ip", "link", "set", name(number), "up")

    # --- processes --------------------------------------------------------------------------------------------------------------

    def start(self):
        for number in (0, *self.numbers):
            self.launch(number, True)
        status, said = self.command("wait", "settled", "--timeout", 60)
        if status:
            raise SystemExit(f"the network did not come up: {said}")

    def launch(self, number, first=False):
        whose = self.net / ("authority/authority.toml" if number == 0 else f"node-{number}/node.toml")
        words = ["nsenter", f"--net=/run/netns/{name(number)}", "--", *self.before.get(number, ()), self.program,
                 "node" if number else "authority", *(["--init"] if first else []), "--config", str(whose)]
        with open(self.folder / f"{number}.log", "a") as log:
            self.processes[number] = subprocess.Popen(words, stdout=log, stderr=log)

    def moved_clock(self, number, seconds):
        """From its next start on its monotonic clocks are so many seconds ahead."""
        self.before[number] = ["unshare", "--time", "--monotonic", str(seconds), "--boottime", str(seconds), "--"]

    def order(self, *words):
        return self.command(*words, "--operator-key", self.net / "operator.key", "--why", "soak", "--who", "soak")


def name(number):
    return f"{'ABCD'[number // 100 - 1]}{number % 100}" if number else "authority"
