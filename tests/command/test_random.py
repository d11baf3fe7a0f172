"""Random sequences, compared with the oracle.

Method: episodes of a few hundred generated commands, each from an empty store,
sent in random batches that go round the replicas.  First each family of commands
on keys of its own, then all types mixed (mixture.py), which ends with a look at every key
and, on three replicas, with equal digests.  COMMANDS (environment) says how many
per variant, SEED where to start; a difference is shrunk and printed.
"""
import os
import random

import servers
from generator import Generator
from mixture import Mixture, prologue

COMMANDS = int(os.environ.get("COMMANDS", "30000"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
EPISODE = 400


def run_episodes(pair, make, after=lambda: None):
    print("SEED=%d" % SEED)
    for number in range(max(1, COMMANDS // EPISODE)):
        seed = SEED + number
        sizes = random.Random(seed)
        pair.clear()
        pair.check_random(make(seed).episode(EPISODE), lambda: sizes.choice([1, 1, 2, 5, 20, 100]), seed)
        after()


def test_random_sequences(pair):
    run_episodes(pair, Generator)


def test_all_types_mixed(pair):
    pair.prologue = prologue()

    def have_equal_digests():
        if not servers.is_oracle():
            servers.wait_digests_equal(pair.ours.servers)
    try:
        run_episodes(pair, Mixture, have_equal_digests)
    finally:
        pair.restart_sessions()  # the thresholds of the prologue
