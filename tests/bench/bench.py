#!/usr/bin/python3
"""Compares us with redis-server under the same load, in one run.

    tests/bench/bench.py [--quick | --smoke] [--pairs N] [--seconds S] [--only NAME,...]

Settings: kvstore alone, kvstore with three replicas (clients spread over all),
redis alone, redis with two replicas, and the same with WAIT 1 after each SET, all
without a journal; with --disk the same with one, flushed every second or before
each answer, and three members of etcd 3.4 through its JSON gateway.
With --down three replicas with the third killed against the same with all up, clients on the first
two in both.
SET and GET of 64-byte values under a million random keys by 50 clients, with
pipelines of 1, 16 and 128.  Settings take turns within every round, so that
what the machine does meanwhile meets all of them; figures are medians over
rounds (--pairs), ratios are medians of each round's ratio.

CPU is user and system time of all server processes over the measured interval,
in seconds per million operations, from /proc/PID/stat.  --smoke checks in a
few seconds that all this works.  JSON goes to build/bench/.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import servers  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
# Ours against theirs, as ratios are printed.
COMPARED = [("kvstore-1", "redis-1"), ("kvstore-3", "redis-3"), ("kvstore-3", "redis-3-wait"),
            ("kvstore-1-everysec", "redis-1-everysec"), ("kvstore-1-always", "redis-1-always"),
            ("kvstore-3-everysec", "redis-3-everysec"), ("kvstore-3-always", "etcd-3"),
            *(("kvstore-3-%s-down" % mode, "kvstore-3-%s-two" % mode) for mode in ("none", "everysec", "always"))]
IN_MEMORY = "kvstore-1,kvstore-3,redis-1,redis-3,redis-3-wait"
ON_DISK = "kvstore-1-everysec,redis-1-everysec,kvstore-1-always,redis-1-always,kvstore-3-everysec,redis-3-everysec,kvstore-3-always,etcd-3"
ONE_DOWN = ",".join("%s,%s" % pair[::-1] for pair in COMPARED if pair[0].endswith("-down"))


class Setting:
    """Servers and the ports the load goes to."""

    def __init__(self, name, processes, ports, set_kind="set", cluster=None):
        self.name, self.processes, self.ports, self.set_kind, self.cluster = name, processes, ports, set_kind, cluster

    def cpu(self):
        user = system = 0.0
        for server in self.processes:
            with open("/proc/%d/stat" % server.process.pid) as stat:
                fields = stat.read().rpartition(")")[2].split()
            user += int(fields[11]) / TICKS
            system += int(fields[12]) / TICKS
        return user, system

    def resident(self):
        return max(server.resident_bytes() for server in self.processes)

    def stop(self):
        for server in self.processes:
            server.kill()
            server.remove()
        if self.cluster:
            self.cluster.remove()


def redis(options=()):
    return servers.Server(servers.ORACLE, servers.free_ports(1)[0], ["--save", "", "--repl-diskless-sync-delay", "0", *options])


def redis_with_replicas(name, set_kind, options=()):
    primary = redis(options).start()
    replicas = [redis(["--replicaof", "127.0.0.1 %d" % primary.port, *options]).start() for _ in range(2)]
    servers.wait_for(lambda: servers.info_fields(primary.ask("INFO", "replication")).get("connected_slaves") == "2"
                     and primary.ask("WAIT", "2", "100") == 2, "two replicas of redis")
    return Setting(name, [primary, *replicas], [primary.port], set_kind)


class Etcd:
    """A member of a cluster of three etcd servers, as far as Setting needs it."""

    def __init__(self, number, ports, peer_ports):
        self.port, self.directory = ports[number], tempfile.mkdtemp(prefix="kvstore-bench-etcd-")
        peers = ",".join("m%d=http://127.0.0.1:%d" % (i, port) for i, port in enumerate(peer_ports))
        client, peer = "http://127.0.0.1:%d" % self.port, "http://127.0.0.1:%d" % peer_ports[number]
        self.process = subprocess.Popen(
            ["etcd", "--name", "m%d" % number, "--data-dir", self.directory, "--listen-client-urls", client,
             "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
             "--initial-cluster", peers, "--initial-cluster-state", "new", "--log-level", "error"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_healthy(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/health" % self.port, timeout=1) as answer:
                return b"true" in answer.read()
        except OSError:
            return False

    def resident_bytes(self):
        with open("/proc/%d/statm" % self.process.pid) as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)


def etcd(name):
    ports = servers.free_ports(6)
    members = [Etcd(number, ports[:3], ports[3:]) for number in range(3)]
    servers.wait_for(lambda: all(member.is_healthy() for member in members), "three members of etcd")
    return Setting(name, members, ports[:3], "etcdput")


def start(name, binary, options):
    """name: who, how many, how the journal is flushed ("" or none: there is none), and two: clients on
    the first two alone; down: and the third killed."""
    who, count, mode, variant = (name.split("-") + ["", ""])[:4]
    mode = "" if mode == "none" else mode
    if who == "etcd":
        return etcd(name)
    if who == "redis":
        wanted = ["--appendonly", "yes", "--appendfsync", mode] if mode in ("everysec", "always") else []
        if count == "3":
            return redis_with_replicas(name, "setwait" if mode == "wait" else "set", wanted)
        server = redis(wanted).start()
        return Setting(name, [server], [server.port])
    os.environ["KVSTORE_SERVER"] = binary
    wanted = ["--save", "", "--appendonly", "yes" if mode else "no", *(["--appendfsync", mode] if mode else []), *options]
    if count == "1":
        server = servers.Server(servers.binary_path(), servers.free_ports(1)[0], wanted)
        server.start()
        return Setting(name, [server], [server.port])
    cluster = servers.Cluster(int(count), wanted).start()
    serving = list(cluster)[:2] if variant else list(cluster)
    if variant == "down":
        cluster[3].kill()
    return Setting(name, serving if variant == "down" else list(cluster), [server.port for server in serving], cluster=cluster)


def load(arguments, setting, kind, depth, seconds, seed):
    """One run of the generator, with the servers' CPU beside its figures."""
    words = [arguments.load, "-p", ",".join(map(str, setting.ports)), "-t", kind, "-P", str(depth), "-S", str(seconds),
             "-c", str(arguments.clients), "-r", str(arguments.keys), "-d", str(arguments.bytes), "-s", str(seed)]
    user, system = setting.cpu()
    done = subprocess.run(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=600)
    if done.returncode:
        raise SystemExit("bench: the load on %s failed" % setting.name)
    result = json.loads(done.stdout)
    after_user, after_system = setting.cpu()
    millions = max(1, result["operations"]) / 1e6
    result["cpu_user"] = (after_user - user) / millions
    result["cpu_system"] = (after_system - system) / millions
    result["cpu"] = result["cpu_user"] + result["cpu_system"]
    if result["errors"]:
        raise SystemExit("bench: %s answered %d errors" % (setting.name, result["errors"]))
    return result


def median(results, field):
    return statistics.median(result[field] for result in results)


def table(rows, out):
    out("%-23s %-4s %5s %12s %8s %8s %8s %9s %9s %9s" % (
        "", "", "pipe", "ops/s", "cpu", "user", "system", "p50 us", "p99 us", "max us"))
    for (name, kind, depth), results in rows.items():
        out("%-23s %-4s %5d %12s %8.2f %8.2f %8.2f %9d %9d %9d" % (
            name, kind, depth, "{:,.0f}".format(median(results, "rate")), median(results, "cpu"),
            median(results, "cpu_user"), median(results, "cpu_system"), median(results, "p50_us"),
            median(results, "p99_us"), median(results, "max_us")))


def ratios(rows, out):
    found = []
    out("%-43s %-4s %5s %10s %10s %10s %10s" % ("", "", "pipe", "ops/s", "cpu", "p50", "p99"))
    kinds = sorted({(kind, depth) for _, kind, depth in rows}, key=lambda k: (k[0] != "SET", k[1]))
    for ours, theirs in COMPARED:
        for kind, depth in kinds:
            a, b = rows.get((ours, kind, depth)), rows.get((theirs, kind, depth))
            if not a or not b:
                continue

            def of(field):
                return statistics.median(x[field] / y[field] if y[field] else float("nan") for x, y in zip(a, b))
            row = {"ours": ours, "theirs": theirs, "kind": kind, "pipeline": depth, "rate": of("rate"), "cpu": of("cpu"),
                   "p50": of("p50_us"), "p99": of("p99_us")}
            found.append(row)
            out("%-43s %-4s %5d %9.2fx %9.2fx %9.2fx %9.2fx" % (
                ours + " : " + theirs, kind, depth, row["rate"], row["cpu"], row["p50"], row["p99"]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/release/kvstore-server")
    parser.add_argument("--load", default="build/release/load")
    parser.add_argument("--pairs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement (default 1.5)")
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--pipelines", default="1,16,128")
    parser.add_argument("--only", default=IN_MEMORY, help="settings")
    parser.add_argument("--disk", action="store_true", help="the settings that keep a journal instead, etcd among them")
    parser.add_argument("--down", action="store_true", help="three replicas with one down, against all up")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.5 s")
    parser.add_argument("--smoke", action="store_true", help="does it work; figures mean nothing")
    parser.add_argument("--out", default="build/bench", help="where the JSON goes")
    parser.add_argument("option", nargs="*", help="after --: options of our servers")
    arguments = parser.parse_args()
    if arguments.disk:
        arguments.only = ON_DISK
    if arguments.down:
        arguments.only = ONE_DOWN
    if arguments.quick:
        arguments.pairs, arguments.seconds = 2, 0.5
    if arguments.smoke:
        arguments.pairs, arguments.seconds, arguments.keys, arguments.pipelines = 1, 0.1, 10000, "1,16"
    arguments.load = os.path.join(ROOT, arguments.load)

    rows, settings = {}, []
    began = time.monotonic()
    try:
        for name in arguments.only.split(","):
            settings.append(start(name, arguments.binary, arguments.option))
        memory = {}
        for setting in settings:
            before = setting.resident()
            if setting.set_kind != "etcdput":
                load(arguments, setting, "fill", 64, 0, 1)
            memory[setting.name] = {"keys": arguments.keys, "bytes_per_key": (setting.resident() - before) / arguments.keys}
        for number in range(arguments.pairs):
            for depth in map(int, arguments.pipelines.split(",")):
                for kind in ("SET", "GET"):
                    # Every round starts with another setting.
                    turn = number % len(settings)
                    for setting in settings[turn:] + settings[:turn]:
                        if kind == "GET" and setting.set_kind != "set" or setting.set_kind == "etcdput" and depth > 1:
                            continue
                        chosen = setting.set_kind if kind == "SET" else "get"
                        result = load(arguments, setting, chosen, depth, arguments.seconds, number * 100 + depth)
                        rows.setdefault((setting.name, kind, depth), []).append(result)
            if sys.stderr.isatty():
                print("round %d of %d" % (number + 1, arguments.pairs), file=sys.stderr)
    finally:
        for setting in settings:
            setting.stop()

    order = {name: at for at, name in enumerate(arguments.only.split(","))}
    rows = dict(sorted(rows.items(), key=lambda row: (row[0][1] != "SET", row[0][2], order[row[0][0]])))
    print("%d clients, %d random keys, %d-byte values; medians of %d rounds of %g s\n"
          "cpu: seconds per million operations over all server processes\n" % (
              arguments.clients, arguments.keys, arguments.bytes, arguments.pairs, arguments.seconds))
    table(rows, print)
    print("\nratios (rate: more is better; the others: less is better)\n")
    found = ratios(rows, print)
    print("\nresident bytes per key (fullest process): " +
          ", ".join("%s %.0f" % (name, figures["bytes_per_key"]) for name, figures in memory.items()))
    out = os.path.join(ROOT, arguments.out)
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, time.strftime("%Y%m%d-%H%M%S") + ".json")
    with open(path, "w") as file:
        json.dump({"settings": {k: v for k, v in vars(arguments).items() if k not in ("load", "out")}, "memory": memory,
                   "rows": [{"setting": name, "kind": kind, "pipeline": depth, "runs": results}
                            for (name, kind, depth), results in rows.items()], "ratios": found}, file, indent=1)
    print("%s, %.0f s" % (os.path.relpath(path, ROOT), time.monotonic() - began))
    return 0


if __name__ == "__main__":
    sys.exit(main())
