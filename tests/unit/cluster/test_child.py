"""The process of a local member: it ends when it is told to, whatever it is at."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


class SlowToGo:
    """Says so when it is finalised, and takes its time."""

    def __del__(self) -> None:
        print("going", flush=True)
        time.sleep(0.2)


def finalising_half_of_the_time(argument: str) -> None:
    while True:
        SlowToGo()
        time.sleep(0.2)


def test_a_signal_that_meets_a_finaliser_is_not_lost() -> None:
    entry = "tests.unit.cluster.test_child:finalising_half_of_the_time"
    child = subprocess.Popen(
        [sys.executable, "-m", "cluster.child"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps([entry, ""]) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "going\n"
        child.terminate()
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode in (128 + signal.SIGTERM, 128 + signal.SIGALRM)
    assert "Exception ignored" not in told
