"""Killing a process in the middle of what it does, as a crash would."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_and_kill(script: str, *arguments: object, when: Callable[[], bool]) -> None:
    """Run Python code in a process of its own, and `kill -9` it as soon as `when` is so."""
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT)
    try:
        while not when():  # pytest's own limit ends what waits for ever
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
