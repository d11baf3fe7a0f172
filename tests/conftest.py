"""Makes tests/support importable for every test."""
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "support"))


def pytest_configure(config):
    config.addinivalue_line("markers", "robustness: broken input and limits; also run under the sanitizers")
