"""A child of `LocalProcesses`: one line on standard input says what to call; the end of input ends the process."""

import json
import os
import signal
import sys
from threading import Thread
from types import FrameType

from cluster.entry import call


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the other end is closed: nothing more is ever sent
    os.kill(os.getpid(), signal.SIGTERM)


def _exit(signal_number: int, frame: FrameType | None) -> None:
    """Once: whoever is being called may clean up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal_number)


if __name__ == "__main__":
    entry, argument = json.loads(sys.stdin.buffer.readline())
    signal.signal(signal.SIGTERM, _exit)
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        call(entry, argument, path=())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the interpreter is on its way out
