#!/usr/bin/python3
"""Compares us with redis-server under the same load, in one run.

    tests/bench/bench.py [--quick | --smoke] [--pairs N] [--seconds S] [--only NAME,...]

Settings: kvstore alone, kvstore with three replicas (clients spread over all),
redis alone, redis with two replicas, and the same with WAIT 1 after each SET.
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
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import servers  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
# Ours against theirs, as ratios are printed.
COMPARED = [("kvstore-1", "redis-1"), ("kvstore-3", "redis-3"), ("kvstore-3", "redis-3-wait")]


class Setting:
    """Servers and the ports the load goes to."""

    def __init__(self, name, processes, ports, set_kind="set"):
        self.name, self.processes, self.ports, self.set_kind = name, processes, ports, set_kind

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


def redis(options=()):
    return servers.Server(servers.ORACLE, servers.free_ports(1)[0], ["--save", "", "--repl-diskless-sync-delay", "0", *options])


def redis_with_replicas(name, set_kind):
    primary = redis().start()
    replicas = [redis(["--replicaof", "127.0.0.1 %d" % primary.port]).start() for _ in range(2)]
    servers.wait_for(lambda: servers.info_fields(primary.ask("INFO", "replication")).get("connected_slaves") == "2"
                     and primary.ask("WAIT", "2", "100") == 2, "two replicas of redis")
    return Setting(name, [primary, *replicas], [primary.port], set_kind)


def start(name, binary, options):
    if name == "redis-1":
        server = redis().start()
        return Setting(name, [server], [server.port])
    if name == "redis-3":
        return redis_with_replicas(name, "set")
    if name == "redis-3-wait":
        return redis_with_replicas(name, "setwait")
    os.environ["KVSTORE_SERVER"] = binary
    if name == "kvstore-1":
        server = servers.Server(servers.binary_path(), servers.free_ports(1)[0], options)
        server.start()
        return Setting(name, [server], [server.port])
    cluster = servers.Cluster(3, options).start()
    return Setting(name, list(cluster), [server.port for server in cluster])


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
    out("%-13s %-4s %5s %12s %8s %8s %8s %9s %9s %9s" % (
        "", "", "pipe", "ops/s", "cpu", "user", "system", "p50 us", "p99 us", "max us"))
    for (name, kind, depth), results in rows.items():
        out("%-13s %-4s %5d %12s %8.2f %8.2f %8.2f %9d %9d %9d" % (
            name, kind, depth, "{:,.0f}".format(median(results, "rate")), median(results, "cpu"),
            median(results, "cpu_user"), median(results, "cpu_system"), median(results, "p50_us"),
            median(results, "p99_us"), median(results, "max_us")))


def ratios(rows, out):
    found = []
    out("%-27s %-4s %5s %10s %10s %10s %10s" % ("", "", "pipe", "ops/s", "cpu", "p50", "p99"))
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
            out("%-27s %-4s %5d %9.2fx %9.2fx %9.2fx %9.2fx" % (
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
    parser.add_argument("--only", default="kvstore-1,kvstore-3,redis-1,redis-3,redis-3-wait", help="settings")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.5 s")
    parser.add_argument("--smoke", action="store_true", help="does it work; figures mean nothing")
    parser.add_argument("--out", default="build/bench", help="where the JSON goes")
    parser.add_argument("option", nargs="*", help="after --: options of our servers")
    arguments = parser.parse_args()
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
            load(arguments, setting, "fill", 64, 0, 1)
            memory[setting.name] = {"keys": arguments.keys, "bytes_per_key": (setting.resident() - before) / arguments.keys}
        for number in range(arguments.pairs):
            for depth in map(int, arguments.pipelines.split(",")):
                for kind in ("SET", "GET"):
                    # Every round starts with another setting.
                    turn = number % len(settings)
                    for setting in settings[turn:] + settings[:turn]:
                        if kind == "GET" and setting.set_kind == "setwait":
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
