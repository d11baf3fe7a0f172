"""The scripts of tests/unit/command, which knows no sockets, through one."""
import importlib
import os
import re
import sys

import resp

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "unit", "command"))


def commands_of(family):
    """Of family_*.py there: [[word, ...], ...]."""
    commands = []
    for line in importlib.import_module(family).SCRIPT.strip().split("\n"):
        for call in line.split("|"):
            words = [word.strip('"') for word in re.findall(r'"[^"]*"|[^ ]+|(?<= )$', call)]
            words = ["v" * int(word[1:]) if re.fullmatch(r"%\d+", word) else word for word in words]
            commands.append([resp.as_bytes(word) for word in words])
    return commands
