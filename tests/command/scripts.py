"""The scripts of tests/unit/command, which knows no sockets, through one."""
import importlib
import os
import re
import sys

import resp

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "unit", "command"))


def family(name):
    """A family_*.py there."""
    return importlib.import_module(name)


def commands_of(name):
    """A family's script: [[word, ...], ...]."""
    commands = []
    for line in family(name).SCRIPT.strip().split("\n"):
        for call in line.split("|"):
            words = [word.strip('"') for word in re.findall(r'"[^"]*"|[^ ]+|(?<= )$', call)]
            words = ["v" * int(word[1:]) if re.fullmatch(r"%\d+", word) else word for word in words]
            commands.append([resp.as_bytes(word) for word in words])
    return commands
