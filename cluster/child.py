"""A child of `LocalProcesses`: one line on standard input says what to call; the end of input ends the process."""

from __future__ import annotations

import json
import os
import signal
import sys
from threading import Thread
from types import FrameType

from cluster.entry import call

AGAIN_S = 0.01
"""After so long a wish to end that got lost is made again."""


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the other end is closed: nothing more is ever sent
    os.kill(os.getpid(), signal.SIGTERM)


def _exit(signal_number: int, frame: FrameType | None) -> None:
    """Once: whoever is being called may clean up."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal_number)


def _end_after_all(unraisable: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised while an object is finalised, and so the wish to end; it is made again."""
    if unraisable.exc_type is SystemExit:
        signal.signal(signal.SIGALRM, _exit)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    sys.unraisablehook = _end_after_all
    entry, argument = json.loads(sys.stdin.buffer.readline())
    signal.signal(signal.SIGTERM, _exit)
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        call(entry, argument, path=())
    finally:
        for ending in (signal.SIGTERM, signal.SIGALRM):  # the interpreter is on its way out
            signal.signal(ending, signal.SIG_IGN)
