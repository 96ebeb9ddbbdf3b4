"""A command whose workers are killed by schedule, from the moment that the first of them computes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.goodput.history import Kill

START_S = 240.0  # how long the first gradient may take
STOP_S = 15.0
LOG = "log.txt"


class NeverComputed(Exception):
    """A system did not get to its first gradient. tail: the end of what it printed."""

    def __init__(self, tail: str) -> None:
        super().__init__(tail)
        self.tail = tail

    def __str__(self) -> str:
        return f"no worker computed anything within {START_S:g} s: {self.tail}"


def disturbed(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, kills: Sequence[Kill], window_s: float
) -> tuple[float, Sequence[float]]:
    """Runs the command for `window_s` from its first gradient; every process of it is gone afterwards.

    Its workers leave their ids in folder/pids when they begin to compute. SIGKILL goes to one that is alive.
    Returns:
        Seconds from the command to the first gradient; and when the kills that found one alive came, time.time().
    Raises:
        NeverComputed
    """
    started_s = time.monotonic()
    with (folder / LOG).open("w") as log:
        process = subprocess.Popen(
            command, env=dict(environment), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            first_s = _first_gradient(process, folder, started_s + START_S)
            hits = [at for kill in kills if (at := _kill(kill, first_s, folder)) is not None]
            time.sleep(max(0.0, first_s + window_s - time.monotonic()))
        finally:
            _end(process)
    return first_s - started_s, hits


def _first_gradient(process: subprocess.Popen[bytes], folder: Path, last_s: float) -> float:
    while not _alive(folder):
        if process.poll() is not None or time.monotonic() > last_s:
            raise NeverComputed((folder / LOG).read_text(errors="replace")[-500:])
        time.sleep(0.02)
    return time.monotonic()


def _kill(kill: Kill, first_s: float, folder: Path) -> float | None:
    time.sleep(max(0.0, first_s + kill.at_s - time.monotonic()))
    alive = _alive(folder)
    if not alive:
        return None
    with suppress(ProcessLookupError):
        os.kill(alive[int(kill.victim * len(alive))], signal.SIGKILL)
    return time.time()


def _alive(folder: Path) -> list[int]:
    """The workers that compute, oldest first."""
    with suppress(FileNotFoundError):
        files = sorted((folder / "pids").iterdir(), key=lambda file: file.stat().st_mtime)
        return [int(file.name) for file in files if _running(int(file.name))]
    return []


def _running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
    process.kill()
    process.wait()
