#!/usr/bin/python3
"""Snapshots against redis-server's RDB, in turns on the same data.

    tests/bench/snapshot_bench.py BENCH DIR [KEYS[:VALUE_BYTES[:RANDOM]]...] [--rounds N]

BENCH is snapshot_bench (see snapshot_bench.c for how to build it).  For each data set a redis-server
(rdbcompression yes, no checks but its own) is filled; then, in turns: SAVE, a restart (the time its log says the
loading took), and the same with BENCH.  Printed: medians and their ratios.
"""
import os
import re
import statistics
import subprocess
import sys
import time

PORT = 17399


def cli(*words):
    return subprocess.run(["redis-cli", "-p", str(PORT), *words], capture_output=True, text=True).stdout.strip()


def start(folder):
    log = os.path.join(folder, "redis.log")
    if os.path.exists(log):
        os.remove(log)
    server = subprocess.Popen(["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--dir", folder, "--save", "",
                               "--logfile", "redis.log", "--rdbcompression", "yes"])
    while cli("PING") != "PONG":
        time.sleep(0.05)
    found = re.search(r"DB loaded from disk: ([0-9.]+)", open(log).read())
    return server, float(found.group(1)) * 1000 if found else None


def stop(server):
    cli("SHUTDOWN", "NOSAVE")
    server.wait()


def compare(bench, folder, keys, value_bytes, is_random, rounds):
    rdb = os.path.join(folder, "dump.rdb")
    if os.path.exists(rdb):
        os.remove(rdb)
    words = [str(keys), str(value_bytes), str(is_random)]
    server, _ = start(folder)
    source = subprocess.Popen([bench, "commands", *words], stdout=subprocess.PIPE)
    subprocess.run(["redis-cli", "-p", str(PORT), "--pipe"], stdin=source.stdout, stdout=subprocess.DEVNULL, check=True)
    figures = {}
    for _ in range(rounds):
        begin = time.monotonic()
        cli("SAVE")
        figures.setdefault(("redis", "save_ms"), []).append((time.monotonic() - begin) * 1000)
        figures.setdefault(("redis", "bytes"), []).append(os.path.getsize(rdb))
        stop(server)
        server, load_ms = start(folder)
        figures.setdefault(("redis", "load_ms"), []).append(load_ms)
        output = subprocess.run([bench, "speed", *words, folder, "1"], capture_output=True, text=True, check=True).stdout
        for line in output.splitlines():
            form, *fields = line.split()
            for name, value in zip(fields[::2], fields[1::2]):
                figures.setdefault((form, name), []).append(float(value))
    stop(server)
    print("%d keys, values of %d bytes, %s" % (keys, value_bytes, "random" if is_random else "compressible"))
    median = {key: statistics.median(values) for key, values in figures.items()}
    for (who, name), value in median.items():
        against = median.get(("redis", name))
        ratio = "" if who == "redis" or not against else "  %.2f of redis" % (value / against)
        print("  %-6s %-16s %12.0f%s" % (who, name, value, ratio))
    sys.stdout.flush()


def main():
    words, rounds = sys.argv[1:], 5
    if "--rounds" in words:
        at = words.index("--rounds")
        rounds = int(words[at + 1])
        del words[at:at + 2]
    bench, folder, sets = words[0], words[1], words[2:] or ["1000000:16:1", "1000000:64:0"]
    os.makedirs(folder, exist_ok=True)
    for text in sets:
        keys, value_bytes, is_random = (text.split(":") + ["16", "1"][text.count(":"):])[:3]
        compare(os.path.abspath(bench), folder, int(keys), int(value_bytes), int(is_random), rounds)


main()
