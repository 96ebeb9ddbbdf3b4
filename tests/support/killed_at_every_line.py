"""Engines that append to a journal and are SIGKILLed at the 1st, 2nd, 3rd, … line that they execute of its code.

    python -m tests.support.killed_at_every_line FOLDER RUN LINES

For each line a new journal, and on it two engines that die at that line: one that begins and one that goes on.
Whatever `append` returned for must be there. Forked, because starting Python anew for each would take minutes.
Prints how many records were written in all.
"""

import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import orchestrator.journal
from orchestrator.journal.file import FileJournal
from orchestrator.journal.reader import JournalReader
from orchestrator.records import Wake

_CODE = str(Path(orchestrator.journal.__file__).parent)
_SEGMENT_BYTES = 200


def main() -> None:
    parent, run, lines = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    total = 0
    for line in range(1, lines + 1):
        folder = parent / str(line)
        folder.mkdir()
        written = 0
        for _ in range(2):
            acknowledged = written + append_until_killed(folder, run, line)
            there = list(JournalReader(folder).records())
            written = len(there)
            assert there == [Wake(float(position), ()) for position in range(written)]
            assert acknowledged <= written <= acknowledged + 1, f"line {line}: {acknowledged} of {written} acknowledged"
        total += written
        shutil.rmtree(folder)
    print(total)


def append_until_killed(folder: Path, run: str, line: int) -> int:
    """How many records a child appended that was killed at this line."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        kill_at(line)
        journal = FileJournal(folder, run, segment_bytes=_SEGMENT_BYTES)
        while True:
            journal.append(Wake(float(journal.position), ()))
            os.write(writing, b".")
    os.close(writing)
    with os.fdopen(reading, "rb") as acknowledged:
        count = len(acknowledged.read())
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"line {line}: the child failed by itself"
    return count


def kill_at(line: int) -> None:
    """Ends this process, by SIGKILL, when any of its threads comes to the n-th line of the journal's code."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(_CODE):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


if __name__ == "__main__":
    main()
