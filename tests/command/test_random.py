"""Random sequences, compared with the oracle.

Method: episodes of a few hundred generated commands, each from an empty store,
sent in random batches that go round the replicas.  COMMANDS (environment) says
how many per variant, SEED where to start; a difference is shrunk and printed.
"""
import os
import random

import pytest

from generator import Generator

COMMANDS = int(os.environ.get("COMMANDS", "30000"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
EPISODE = 400


def test_random_sequences(pair):
    print("SEED=%d" % SEED)
    for number in range(max(1, COMMANDS // EPISODE)):
        seed = SEED + number
        sizes = random.Random(seed)
        pair.clear()
        pair.check_random(Generator(seed).episode(EPISODE), lambda: sizes.choice([1, 1, 2, 5, 20, 100]), seed)
