#!/usr/bin/python3
"""What a replica that comes back after a long outage costs the others.

    tests/bench/catch_up.py [--keys 10000,1000000,5000000] [--outage SECONDS] [--mode everysec] [--nice N] [--smoke]

Three replicas; a load of SETs goes to the first two all the time.  For each number
of keys: all up; the third killed; down for --outage seconds, so that the others'
memory of decided batches has been written through some times; started again, until it is up
and has the others' position; all up.

Throughput of the others in each part comes from their counters
(total_commands_processed), memory from VmHWM of /proc, reset when the third starts.
Everything shares the processors there are: "during" pays for what the third uses to
catch up, too, which it would not where each has a machine of its own.  --nice N comes closer
to that: the third starts with that niceness.
"""
import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import servers  # noqa: E402

MIB = 1 << 20


def high_water(server, reset=False):
    if reset:
        with open("/proc/%d/clear_refs" % server.process.pid, "w") as file:
            file.write("5")
    with open("/proc/%d/status" % server.process.pid) as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def served(survivors):
    return sum(int(servers.info_fields(server.ask("INFO", "stats"))["total_commands_processed"]) for server in survivors)


class Part:
    """Throughput of the others between begin and end."""

    def __init__(self, survivors):
        self.survivors = survivors
        self.count, self.moment = served(survivors), time.monotonic()

    def end(self):
        self.seconds = time.monotonic() - self.moment
        return (served(self.survivors) - self.count) / self.seconds


class Load:
    def __init__(self, arguments, ports, keys):
        self.words = [arguments.load, "-p", ",".join(map(str, ports)), "-t", "set", "-P", str(arguments.pipeline), "-S", "36000",
                      "-c", str(arguments.clients), "-r", str(keys), "-d", str(arguments.bytes)]
        self.process = subprocess.Popen(self.words, stdout=subprocess.DEVNULL, preexec_fn=servers.end_with_parent)

    def check(self):
        if self.process.poll() is not None:
            raise SystemExit("catch_up: the load ended by itself")

    def end(self):
        self.process.kill()
        self.process.wait()


def fill(arguments, ports, keys):
    subprocess.run([arguments.load, "-p", ",".join(map(str, ports)), "-t", "fill", "-P", "64", "-c", "50", "-r", str(keys),
                    "-d", str(arguments.bytes)], stdout=subprocess.DEVNULL, check=True)


def is_back(server, leader):
    """Up, and where the leader was just before."""
    lap = int(servers.rabia(leader)["frontier"])
    own = servers.rabia(server)
    return own.get("rabia_state") == "up" and int(own["frontier"]) >= lap


def measure(arguments, keys):
    os.environ["KVSTORE_SERVER"] = arguments.binary
    mode = ["--appendonly", "no"] if arguments.mode == "none" else ["--appendonly", "yes", "--appendfsync", arguments.mode]
    cluster = servers.Cluster(3, ["--save", "", *mode, *arguments.option]).start()
    load = None
    try:
        others, back = [cluster[1], cluster[2]], cluster[3]
        ports = [server.port for server in others]
        fill(arguments, ports, keys)
        load = Load(arguments, ports, keys)
        time.sleep(1)
        row = {"keys": keys}
        part = Part(others)
        time.sleep(arguments.seconds)
        row["before"] = part.end()
        back.kill()
        part = Part(others)
        time.sleep(arguments.outage)
        row["down"] = part.end()
        row["missed"] = int(row["down"] * part.seconds)
        row["resident_before"] = [server.resident_bytes() for server in others]
        for server in others:
            high_water(server, reset=True)
        before = [servers.rabia(server) for server in others]
        part = Part(others)
        back.start(wait=False)
        os.setpriority(os.PRIO_PROCESS, back.process.pid, arguments.nice)
        servers.wait_for(back.ping, "the replica to answer", 600)
        try:
            servers.wait_for(lambda: is_back(back, others[0]), "the replica to be back", arguments.limit, 0.1)
        except AssertionError as error:
            raise SystemExit("catch_up: %s:\n%s" % (error, back.output(8000)))
        row["during"] = part.end()
        row["rejoin_s"] = part.seconds
        load.check()
        row["others_high"] = [high_water(server) for server in others]
        row["back_high"] = high_water(back)
        row["snapshots"] = sum(int(servers.rabia(server)["snapshots_sent"]) - int(was["snapshots_sent"])
                               for server, was in zip(others, before))
        part = Part(others)
        time.sleep(arguments.seconds)
        row["after"] = part.end()
        row["niceness"] = arguments.nice
        row["log"] = [line for line in back.output(20000).splitlines() if "snapshot" in line][-12:]
        load.end()
        cluster.wait_equal(limit_s=120)
        return row
    finally:
        if load:
            load.end()
        cluster.stop()
        cluster.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/kvstore-server")
    parser.add_argument("--load", default="build/release/load")
    parser.add_argument("--keys", default="10000,1000000,5000000")
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--mode", default="everysec", help="appendfsync, or none for no journal")
    parser.add_argument("--seconds", type=float, default=5, help="of the parts before and after")
    parser.add_argument("--outage", type=float, default=20, help="seconds")
    parser.add_argument("--nice", type=int, default=0, help="niceness of the one that comes back (default 0)")
    parser.add_argument("--limit", type=float, default=300, help="give up when it is not back by then")
    parser.add_argument("--smoke", action="store_true", help="does it work; figures mean nothing")
    parser.add_argument("--out", default="build/bench", help="where the JSON goes")
    parser.add_argument("option", nargs="*", help="after --: options of our servers")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.keys, arguments.seconds, arguments.outage = "10000", 0.3, 0.5
    arguments.load = os.path.join(ROOT, arguments.load)
    print("%d clients, pipeline %d, %d-byte values, journal %s; others' SET/s, MiB at most while it comes back" % (
        arguments.clients, arguments.pipeline, arguments.bytes, arguments.mode))
    print("%9s %9s %9s %9s %9s %11s %9s %9s %13s %9s %6s" % (
        "keys", "before", "down", "during", "after", "missed", "rejoin s", "during:", "others MiB", "back MiB", "snaps"))
    rows = []
    for keys in map(int, arguments.keys.split(",")):
        row = measure(arguments, keys)
        rows.append(row)
        print("%9d %9.0f %9.0f %9.0f %9.0f %11d %9.1f %8.2fx %6.0f>%6.0f %9.0f %6d" % (
            keys, row["before"], row["down"], row["during"], row["after"], row["missed"], row["rejoin_s"],
            row["during"] / row["before"], max(row["resident_before"]) / MIB, max(row["others_high"]) / MIB,
            row["back_high"] / MIB, row["snapshots"]), flush=True)
    out = os.path.join(ROOT, arguments.out)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, time.strftime("catch-up-%Y%m%d-%H%M%S.json")), "w") as file:
        json.dump(rows, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
