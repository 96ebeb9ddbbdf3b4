"""A child of `LocalProcesses`: one line on standard input says what to call; the end of input ends the process."""

import json
import os
import sys
from threading import Thread

from cluster.launchers.member import call


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # returns when the other end is closed: nothing more is ever sent
    os._exit(1)


if __name__ == "__main__":
    entry, argument = json.loads(sys.stdin.buffer.readline())
    Thread(target=_end_with_parent, daemon=True).start()
    call(entry, argument, path=())
